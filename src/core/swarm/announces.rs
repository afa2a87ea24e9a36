//! Keeps a running torrent's trackers told, and takes in the peers that they name.

use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::task::JoinSet;
use url::Url;

use super::{
    relay::NamedPeers,
    trackers::{Announcer, Transfer},
};
use crate::core::source::InfoHash;

/// Trackers are not asked more often than this, whatever interval they name.
const SHORTEST: Duration = Duration::from_secs(60);
/// Nor less often than this: a swarm changes.
const LONGEST: Duration = Duration::from_secs(30 * 60);
/// A tracker that fails is asked again after this, doubled each time.
const RETRY: Duration = Duration::from_secs(15);
/// Where the doubling ends: 15 s × 2⁵ = 8 min.
const MOST_DOUBLINGS: u32 = 5;

/// What a torrent has moved so far, as its keeper last saw it.
#[derive(Debug, Default)]
pub(super) struct Moved {
    /// Bytes sent to peers.
    pub(super) uploaded: AtomicU64,
    /// Bytes verified in this run.
    pub(super) downloaded: AtomicU64,
    /// Bytes still wanted.
    pub(super) left: AtomicU64,
}

impl Moved {
    fn now(&self) -> Transfer {
        Transfer {
            uploaded: self.uploaded.load(Relaxed),
            downloaded: self.downloaded.load(Relaxed),
            left: self.left.load(Relaxed),
            started: false,
        }
    }
}

/// The trackers of one torrent; they hear no more of it when this is dropped.
pub(super) struct Announces {
    /// Asks them.
    pub(super) announcer: Announcer,
    /// The torrent.
    pub(super) info_hash: InfoHash,
    /// What they are told.
    pub(super) moved: Arc<Moved>,
    /// What they named.
    pub(super) named: Arc<NamedPeers>,
    tasks: JoinSet<()>,
    asked: HashSet<Url>,
}

impl Announces {
    /// None yet.
    pub(super) fn new(announcer: Announcer, info_hash: InfoHash) -> Self {
        Announces {
            announcer,
            info_hash,
            moved: Arc::default(),
            named: Arc::default(),
            tasks: JoinSet::new(),
            asked: HashSet::new(),
        }
    }

    /// Takes a tracker up; one that has `answered` just now is asked again only in due time. Whether it is new.
    pub(super) fn take_up(&mut self, tracker: Url, answered: bool) -> bool {
        let is_new = self.asked.insert(tracker.clone());
        if is_new {
            let talk = Talk {
                announcer: self.announcer.clone(),
                info_hash: self.info_hash,
                moved: self.moved.clone(),
                named: self.named.clone(),
                tracker,
            };
            self.tasks.spawn(talk.go_on(if answered { LONGEST } else { Duration::ZERO }));
        }
        is_new
    }
}

/// One tracker of one torrent.
struct Talk {
    announcer: Announcer,
    info_hash: InfoHash,
    moved: Arc<Moved>,
    named: Arc<NamedPeers>,
    tracker: Url,
}

impl Talk {
    async fn go_on(self, first_wait: Duration) {
        let (mut wait, mut failures) = (first_wait, 0);
        loop {
            tokio::time::sleep(wait).await;
            match self.announcer.announce(&self.tracker, self.info_hash, self.moved.now()).await {
                Ok(answer) => {
                    self.named.learn(answer.peers);
                    failures = 0;
                    wait = answer.interval.clamp(SHORTEST, LONGEST);
                }
                Err(error) => {
                    tracing::debug!("tracker {}: {error}", super::search::host(&self.tracker));
                    wait = RETRY * (1 << failures.min(MOST_DOUBLINGS));
                    failures += 1;
                }
            }
        }
    }
}
