//! Where the readers of one torrent are: readers write it, whoever fetches pieces reads it.
//!
//! This is the only thing that readers tell the swarm. Nobody guesses a position from what was asked for.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use tokio::{sync::watch, time::Instant};

use super::sync::{Mutex, lock};

/// What one reader needs next.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Playhead {
    /// The file, by index.
    pub file: usize,
    /// Offset in the file of the next byte that it delivers.
    pub position: u64,
    /// Offset in the file of the first byte that it will need and that is not there yet.
    pub needs: u64,
    /// Where its range ends.
    pub end: u64,
    /// Bytes a second that it takes; `None` for one that takes whatever comes, or not long enough to tell.
    pub pace: Option<f64>,
    /// Whether whoever reads goes elsewhere in the file as well, as players do.
    pub seeks: bool,
}

/// A reader that moves less than this, and less than a quarter of the way to what it needs, has not moved.
const STEP: u64 = 1 << 20;
/// Over what a reader's pace is measured: players fill their buffers in steps of a second or two.
const PACE_WINDOW: Duration = Duration::from_secs(4);

/// Measures how fast a reader takes bytes when nothing keeps it waiting.
#[derive(Debug)]
pub struct Pacer {
    since: Instant,
    taken: u64,
    pace: Option<f64>,
}

impl Default for Pacer {
    fn default() -> Self {
        Pacer { since: Instant::now(), taken: 0, pace: None }
    }
}

impl Pacer {
    /// The reader took bytes.
    pub fn took(&mut self, bytes: u64) {
        self.taken += bytes;
        let elapsed = self.since.elapsed();
        if elapsed >= PACE_WINDOW {
            self.pace = Some(self.taken as f64 / elapsed.as_secs_f64());
            (self.since, self.taken) = (Instant::now(), 0);
        }
    }

    /// The reader had to wait: it would have taken more.
    pub fn waited(&mut self) {
        *self = Pacer::default();
    }

    /// Bytes a second, if it was not kept waiting for long enough to tell.
    pub fn pace(&self) -> Option<f64> {
        self.pace
    }
}

/// All playheads of one torrent.
#[derive(Debug, Default)]
pub struct Playheads {
    heads: Mutex<Heads>,
    changed: watch::Sender<()>,
}

#[derive(Debug, Default)]
struct Heads {
    next: u64,
    by_reader: BTreeMap<u64, Playhead>,
}

impl Playheads {
    /// A new reader's mark; it disappears with the value.
    pub fn enter(self: &Arc<Self>, head: Playhead) -> PlayheadMark {
        let mut heads = lock(&self.heads);
        heads.next += 1;
        let reader = heads.next;
        heads.by_reader.insert(reader, head);
        drop(heads);
        self.changed.send_replace(());
        PlayheadMark { heads: self.clone(), reader, last: head }
    }

    /// Every reader's number and playhead, oldest reader first.
    pub fn snapshot(&self) -> Vec<(u64, Playhead)> {
        lock(&self.heads).by_reader.iter().map(|(reader, head)| (*reader, *head)).collect()
    }

    /// Tells of every change from now on.
    pub fn follow(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
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
    /// Moves the mark; telling the same again costs nothing, and neither does a step that changes no decision.
    pub fn publish(&mut self, head: Playhead) {
        let runway = self.last.needs.saturating_sub(self.last.position);
        let step = head.position.abs_diff(self.last.position);
        if head.needs == self.last.needs && head.file == self.last.file && step < STEP.min(runway / 4 + 1) {
            return;
        }
        self.last = head;
        lock(&self.heads.heads).by_reader.insert(self.reader, head);
        self.heads.changed.send_replace(());
    }
}

impl Drop for PlayheadMark {
    fn drop(&mut self) {
        lock(&self.heads.heads).by_reader.remove(&self.reader);
        self.heads.changed.send_replace(());
    }
}
