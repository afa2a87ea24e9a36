//! Requests that have not got their file yet: all that is known of a torrent before its metainfo is.

use std::{collections::HashMap, sync::Arc};

use tokio::sync::watch;

use super::{library::TorrentReport, reports};
use crate::core::{
    source::InfoHash,
    status::Status,
    sync::{Mutex, MutexGuard, lock},
};

/// All of them.
#[derive(Default)]
pub struct Attempts(Mutex<Entered>);

#[derive(Default)]
struct Entered {
    last: u64,
    by_number: HashMap<u64, Attempt>,
}

struct Attempt {
    info_hash: InfoHash,
    status: watch::Sender<Status>,
}

/// One of them, until it is dropped.
pub struct UnderWay {
    attempts: Arc<Attempts>,
    number: u64,
}

impl Attempts {
    /// A new one, which will tell its progress by `status`.
    pub fn enter(self: &Arc<Self>, info_hash: InfoHash, status: watch::Sender<Status>) -> UnderWay {
        let mut entered = self.lock();
        entered.last += 1;
        let number = entered.last;
        entered.by_number.insert(number, Attempt { info_hash, status });
        UnderWay { attempts: self.clone(), number }
    }

    /// The torrents that are looked for; of several requests for one, the one that has come furthest tells.
    pub fn searches(&self) -> Vec<TorrentReport> {
        let far = |status: &Status| (status.round, status.peers_seen);
        let mut furthest: HashMap<InfoHash, Status> = HashMap::new();
        for attempt in self.lock().by_number.values() {
            let status = attempt.status.borrow();
            let told = furthest.entry(attempt.info_hash).or_insert_with(|| status.clone());
            if far(&status) > far(told) {
                *told = status.clone();
            }
        }
        furthest.iter().map(|(info_hash, status)| reports::searching(*info_hash, status)).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Entered> {
        lock(&self.0)
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.attempts.lock().by_number.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_request_that_has_come_furthest_tells_of_its_torrent_while_it_lasts() {
        let attempts = Arc::new(Attempts::default());
        let (hash, other) = (InfoHash::new([1; 20]), InfoHash::new([2; 20]));
        let status = |peers_seen| watch::Sender::new(Status { peers_seen, ..Status::default() });
        let ahead = status(3);
        let first = attempts.enter(hash, ahead.clone());
        let _behind = attempts.enter(hash, status(1));
        let _other = attempts.enter(other, status(0));
        let seen = || {
            let mut seen: Vec<_> =
                attempts.searches().iter().map(|one| (one.info_hash, one.peers.seen)).collect();
            seen.sort_unstable();
            seen
        };
        assert_eq!(seen(), [(hash, 3), (other, 0)]);
        ahead.send_modify(|status| status.peers_seen = 4);
        assert_eq!(seen(), [(hash, 4), (other, 0)]);
        drop(first);
        assert_eq!(seen(), [(hash, 1), (other, 0)]);
    }
}
