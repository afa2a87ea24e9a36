//! Torrents that are being looked for: whoever asks for one meanwhile joins, and begins nothing of his own.

use std::collections::HashMap;

use crate::core::{
    source::InfoHash,
    sync::{Mutex, MutexGuard, lock},
};

/// All of them, and by how many requests each is wanted.
#[derive(Debug, Default)]
pub struct Beginnings(Mutex<HashMap<InfoHash, usize>>);

/// One request's part in looking for a torrent, until it is dropped.
#[derive(Debug)]
pub struct Beginning<'a> {
    all: &'a Beginnings,
    info_hash: InfoHash,
}

impl Beginnings {
    /// Joins whoever looks for this torrent; whoever is the first has to be let by `admit`.
    pub fn enter<E>(
        &self,
        info_hash: InfoHash,
        admit: impl FnOnce() -> Result<(), E>,
    ) -> Result<Beginning<'_>, E> {
        let mut wanted = self.lock();
        if !wanted.contains_key(&info_hash) {
            admit()?;
        }
        *wanted.entry(info_hash).or_default() += 1;
        Ok(Beginning { all: self, info_hash })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<InfoHash, usize>> {
        lock(&self.0)
    }
}

impl Drop for Beginning<'_> {
    fn drop(&mut self) {
        let mut wanted = self.all.lock();
        if let Some(requests) = wanted.get_mut(&self.info_hash) {
            *requests -= 1;
            if *requests == 0 {
                wanted.remove(&self.info_hash);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_first_who_looks_for_a_torrent_is_counted_until_all_have_left() {
        let (all, hash) = (Beginnings::default(), InfoHash::new([1; 20]));
        let refused = || all.enter(hash, || Err("too many"));
        assert_eq!(refused().expect_err("nobody looks for it yet"), "too many");
        let first = all.enter(hash, || Ok::<_, ()>(())).expect("let in");
        let second = refused().expect("somebody looks for it already");
        drop(first);
        let third = refused().expect("somebody still does");
        drop((second, third));
        refused().expect_err("nobody does any more");
    }
}
