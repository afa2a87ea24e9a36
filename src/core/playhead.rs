//! Where the readers of one torrent are: readers write it, whoever fetches pieces reads it.
//!
//! This is the only thing that readers tell the swarm. Nobody guesses a position from what was asked for.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::Notify;

/// What one reader needs next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Playhead {
    /// The file, by index.
    pub file: usize,
    /// Offset in the file of the first byte that it will need and that is not there yet.
    pub needs: u64,
}

/// All playheads of one torrent.
#[derive(Debug, Default)]
pub struct Playheads {
    heads: Mutex<Heads>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Heads {
    next: u64,
    by_reader: BTreeMap<u64, Playhead>,
}

impl Playheads {
    /// A new reader's mark; it disappears with the value.
    pub fn enter(self: &Arc<Self>, head: Playhead) -> PlayheadMark {
        let mut heads = self.lock();
        heads.next += 1;
        let reader = heads.next;
        heads.by_reader.insert(reader, head);
        drop(heads);
        self.changed.notify_one();
        PlayheadMark { heads: self.clone(), reader, last: head }
    }

    /// Every reader's number and playhead, oldest reader first.
    pub fn snapshot(&self) -> Vec<(u64, Playhead)> {
        self.lock().by_reader.iter().map(|(reader, head)| (*reader, *head)).collect()
    }

    /// Waits for a change after the last call; one follower at a time.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }

    fn lock(&self) -> MutexGuard<'_, Heads> {
        self.heads.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One reader's place among the playheads.
#[derive(Debug)]
pub struct PlayheadMark {
    heads: Arc<Playheads>,
    reader: u64,
    last: Playhead,
}

impl PlayheadMark {
    /// Moves the mark; telling the same again costs nothing.
    pub fn publish(&mut self, head: Playhead) {
        if head == self.last {
            return;
        }
        self.last = head;
        self.heads.lock().by_reader.insert(self.reader, head);
        self.heads.changed.notify_one();
    }
}

impl Drop for PlayheadMark {
    fn drop(&mut self) {
        self.heads.lock().by_reader.remove(&self.reader);
        self.heads.changed.notify_one();
    }
}
