//! Keeps a running torrent's trackers told, and takes in the peers that they name. When a reader waits and no peer is left,
//! they are asked sooner, and the DHT and the local network anew.

use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use futures_util::StreamExt as _;
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{Instant, sleep_until, timeout_at},
};
use url::Url;

use super::{
    relay::NamedPeers,
    schedule::{SOON, Schedule},
    search::{Searcher, host},
    trackers::{Announcer, Pace, Transfer},
};
use crate::core::{metainfo::Metainfo, source::InfoHash};

/// A reader waits for so long before peers are looked for anew: those who come and go are replaced by then.
const PATIENCE: Duration = Duration::from_secs(2);
/// The DHT and the local network are asked anew at this pace at the slowest: librqbit asks every minute as well.
const SLOWEST: Duration = Duration::from_secs(240);

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

/// Those who name one torrent's peers; they hear no more of it when this is dropped.
pub(super) struct Announces {
    /// Asks them.
    searcher: Searcher,
    /// The torrent.
    pub(super) info_hash: InfoHash,
    private: bool,
    /// What they are told.
    pub(super) moved: Arc<Moved>,
    /// What they named.
    pub(super) named: Arc<NamedPeers>,
    /// Whether a reader waits, and there is no peer left.
    need: watch::Sender<bool>,
    /// Since when there is none.
    deserted: Option<Instant>,
    tasks: JoinSet<()>,
    asked: HashSet<Url>,
}

impl Announces {
    /// None yet.
    pub(super) fn new(searcher: Searcher, metainfo: &Metainfo) -> Self {
        Announces {
            searcher,
            info_hash: metainfo.info_hash,
            private: metainfo.private,
            moved: Arc::default(),
            named: Arc::default(),
            need: watch::Sender::default(),
            deserted: None,
            tasks: JoinSet::new(),
            asked: HashSet::new(),
        }
    }

    /// Takes a tracker up; one that has `answered` just now is asked again only in due time. Whether it is new.
    pub(super) fn take_up(&mut self, tracker: Url, answered: Option<Pace>) -> bool {
        let is_new = self.asked.insert(tracker.clone());
        if is_new {
            let now = Instant::now();
            let mut schedule = Schedule::new(self.private, now);
            if let Some(pace) = answered {
                schedule.answered(pace, now);
            }
            let talk = Talk {
                announcer: self.searcher.announcer.clone(),
                info_hash: self.info_hash,
                moved: self.moved.clone(),
                named: self.named.clone(),
                need: self.need.subscribe(),
                tracker,
                schedule,
            };
            self.tasks.spawn(talk.go_on());
        }
        is_new
    }

    /// Asks the DHT and the local network as well while there is need. A private torrent (BEP 27) is named to neither.
    pub(super) fn look_around(&mut self) {
        if !self.private {
            let (searcher, named) = (self.searcher.clone(), self.named.clone());
            self.tasks.spawn(look_around(searcher, self.info_hash, named, self.need.subscribe()));
        }
    }

    /// Says whether a reader waits and nobody is left who might bring what it waits for.
    pub(super) fn need(&mut self, deserted: bool) {
        let since = deserted.then(|| self.deserted.unwrap_or_else(Instant::now));
        self.deserted = since;
        let need = since.is_some_and(|since| since.elapsed() >= PATIENCE);
        self.need.send_if_modified(|before| std::mem::replace(before, need) != need);
    }
}

/// Returns when there is need; never without anybody who would say so.
async fn needed(need: &mut watch::Receiver<bool>) {
    if need.wait_for(|need| *need).await.is_err() {
        std::future::pending().await
    }
}

/// One tracker of one torrent.
struct Talk {
    announcer: Announcer,
    info_hash: InfoHash,
    moved: Arc<Moved>,
    named: Arc<NamedPeers>,
    need: watch::Receiver<bool>,
    tracker: Url,
    schedule: Schedule,
}

impl Talk {
    async fn go_on(mut self) {
        loop {
            self.wait().await;
            match self.announcer.announce(&self.tracker, self.info_hash, self.moved.now()).await {
                Ok(answer) => {
                    self.named.learn(answer.peers);
                    self.schedule.answered(answer.pace, Instant::now());
                }
                Err(error) => {
                    tracing::debug!("tracker {}: {error}", host(&self.tracker));
                    self.schedule.failed(Instant::now());
                }
            }
        }
    }

    /// Waits until it is time to ask.
    async fn wait(&mut self) {
        let (due, soonest) = (self.schedule.due(), self.schedule.soonest());
        let in_need = async {
            match soonest {
                Some(soonest) => sleep_until(soonest).await,
                None => std::future::pending().await,
            }
            needed(&mut self.need).await;
        };
        tokio::select! {
            biased;
            () = sleep_until(due) => self.schedule.is_due(),
            () = in_need => {
                tracing::debug!("tracker {}: asked sooner, since no peer is left", host(&self.tracker));
                self.schedule.is_early();
            }
        }
    }
}

async fn look_around(
    searcher: Searcher,
    info_hash: InfoHash,
    named: Arc<NamedPeers>,
    mut need: watch::Receiver<bool>,
) {
    let mut pause = SOON;
    loop {
        needed(&mut need).await;
        let next = Instant::now() + pause;
        let mut peers = searcher.ask_around(info_hash);
        while let Ok(Some(peer)) = timeout_at(next, peers.next()).await {
            named.learn([peer]);
        }
        sleep_until(next).await;
        pause = if *need.borrow() { (2 * pause).min(SLOWEST) } else { SOON };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::settings::SwarmSettings;

    fn talk(need: &watch::Sender<bool>, pace: Pace) -> Talk {
        let mut schedule = Schedule::new(false, Instant::now());
        schedule.answered(pace, Instant::now());
        Talk {
            announcer: Announcer::new(&SwarmSettings::default(), Default::default(), 9).unwrap(),
            info_hash: InfoHash::new([1; 20]),
            moved: Arc::default(),
            named: Arc::default(),
            need: need.subscribe(),
            tracker: Url::parse("http://localhost/announce").unwrap(),
            schedule,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn need_makes_the_wait_shorter_but_not_shorter_than_is_polite() {
        let (need, pace) = (watch::Sender::new(false), Pace { interval: SOON * 20, at_least: None });
        let began = Instant::now();
        talk(&need, pace).wait().await;
        assert_eq!(began.elapsed(), SOON * 20, "no need");

        let began = Instant::now();
        let mut talk = talk(&need, pace);
        let late = async {
            tokio::time::sleep(SOON * 3).await;
            need.send_replace(true);
        };
        tokio::join!(talk.wait(), late);
        assert_eq!(began.elapsed(), SOON * 3, "at once when need comes late");
        talk.schedule.answered(pace, Instant::now());
        talk.wait().await;
        assert_eq!(began.elapsed(), SOON * 4, "and then after a while");
    }
}
