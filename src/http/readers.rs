//! Where the answers that are being sent are in their files: for those who watch.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use serde::Serialize;

use crate::core::{
    source::InfoHash,
    sync::{Mutex, MutexGuard, lock},
};

/// A place in a file of a torrent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Position {
    /// The file, by index.
    pub file: usize,
    /// Bytes from its beginning.
    pub offset: u64,
}

/// All answers that are being sent.
#[derive(Debug, Clone, Default)]
pub struct Readers(Arc<Mutex<Entered>>);

#[derive(Debug, Default)]
struct Entered {
    last: u64,
    places: BTreeMap<(InfoHash, u64), (usize, Arc<AtomicU64>)>,
}

/// One of them; it is forgotten with the value.
#[derive(Debug)]
pub struct Reader {
    readers: Readers,
    key: (InfoHash, u64),
    offset: Arc<AtomicU64>,
}

impl Readers {
    /// A new answer, from this byte of a file on.
    pub fn enter(&self, info_hash: InfoHash, file: usize, offset: u64) -> Reader {
        let offset = Arc::new(AtomicU64::new(offset));
        let mut entered = self.lock();
        entered.last += 1;
        let key = (info_hash, entered.last);
        entered.places.insert(key, (file, offset.clone()));
        Reader { readers: self.clone(), key, offset }
    }

    /// Where those of one torrent are, the oldest first.
    pub fn of(&self, info_hash: &InfoHash) -> Vec<Position> {
        let entered = self.lock();
        let own = entered.places.range((*info_hash, 0)..=(*info_hash, u64::MAX));
        own.map(|(_, (file, offset))| Position { file: *file, offset: offset.load(Ordering::Relaxed) })
            .collect()
    }

    fn lock(&self) -> MutexGuard<'_, Entered> {
        lock(&self.0)
    }
}

impl Reader {
    /// So many more bytes were taken.
    pub fn moved(&self, bytes: u64) {
        self.offset.fetch_add(bytes, Ordering::Relaxed);
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.readers.lock().places.remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readers_are_told_apart_by_torrent_and_forgotten_when_they_leave() {
        let (one, other) = (InfoHash::new([1; 20]), InfoHash::new([2; 20]));
        let readers = Readers::default();
        let first = readers.enter(one, 3, 10);
        let _elsewhere = readers.enter(other, 0, 0);
        let _second = readers.enter(one, 4, 0);
        first.moved(7);
        let at = |file, offset| Position { file, offset };
        assert_eq!(readers.of(&one), [at(3, 17), at(4, 0)]);
        drop(first);
        assert_eq!(readers.of(&one), [at(4, 0)]);
        assert_eq!(readers.of(&InfoHash::new([3; 20])), []);
    }
}
