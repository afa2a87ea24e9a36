//! A thread for each torrent, with a current-thread runtime of its own.
//!
//! librqbit and the broker write and read files where they run. On one thread for all torrents, a disk that stands still
//! under one of them would hold up every other. What librqbit itself reads for a peer that dialled us it reads on the
//! session's thread all the same.

use std::{io, sync::mpsc, thread};

use tokio::runtime::{Builder, Handle};
use tokio_util::sync::CancellationToken;

use crate::core::sync::{Mutex, lock};

/// The torrents' threads.
#[derive(Default)]
pub(super) struct Threads(Mutex<Vec<Place>>);

struct Place {
    runtime: Handle,
    left: CancellationToken,
}

impl Threads {
    /// A runtime on a thread of its own. Both end, and with them all that was spawned, once `left` is cancelled; nobody
    /// waits for a thread that its disk holds.
    pub(super) fn enter(&self, left: CancellationToken) -> io::Result<Handle> {
        let (ready, started) = mpsc::sync_channel(1);
        let until = left.clone();
        thread::Builder::new().name("torrent".into()).spawn(move || {
            let runtime = match Builder::new_current_thread().enable_all().build() {
                Ok(runtime) => runtime,
                Err(error) => return drop(ready.send(Err(error))),
            };
            // Whoever waits for it is there: it does nothing else meanwhile.
            let _ = ready.send(Ok(runtime.handle().clone()));
            runtime.block_on(until.cancelled());
            runtime.shutdown_background();
        })?;
        let runtime = started.recv().map_err(io::Error::other)??;
        let mut places = lock(&self.0);
        places.retain(|place| !place.left.is_cancelled());
        places.push(Place { runtime: runtime.clone(), left });
        Ok(runtime)
    }

    /// Tasks that their runtimes have.
    pub(super) fn tasks(&self) -> usize {
        let places = lock(&self.0);
        let there = places.iter().filter(|place| !place.left.is_cancelled());
        there.map(|place| place.runtime.metrics().num_alive_tasks()).sum()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn one_that_stands_still_holds_up_no_other_and_all_end_when_they_are_left() {
        let (threads, left) = (Threads::default(), CancellationToken::new());
        let (still, other) =
            (threads.enter(left.child_token()).unwrap(), threads.enter(left.clone()).unwrap());
        let (go, wait) = mpsc::channel::<()>();
        let standing = still.spawn(async move { wait.recv() });
        other.spawn(async {}).await.unwrap();
        // A task is counted for a moment after it was waited for.
        let settles = async {
            while threads.tasks() > 1 {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), settles).await.expect("all but one have ended");
        assert_eq!(threads.tasks(), 1, "the one that stands still");
        go.send(()).unwrap();
        standing.await.unwrap().unwrap();
        let ended = other.spawn(tokio::time::sleep(Duration::from_secs(3600)));
        left.cancel();
        assert!(ended.await.unwrap_err().is_cancelled());
        assert_eq!(threads.tasks(), 0);
    }
}
