//! One torrent inside the session: added, steered, watched, added again when it must be, and taken out at the end.

use std::{
    any::Any,
    collections::{BTreeSet, HashMap, HashSet, VecDeque},
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use anyhow::Context;
use librqbit::{
    AddTorrent, AddTorrentOptions, AddTorrentResponse, ManagedTorrent, Session, TorrentStatsState,
    storage::StorageFactoryExt,
};
use tokio::{
    sync::watch,
    time::{Instant, MissedTickBehavior, interval},
};
use tokio_util::sync::{CancellationToken, DropGuard};
use url::Url;

use super::{
    announces::Announces,
    broker::{Broker, Opened as Brokered},
    metainfo::torrent_file,
    relay::Relay,
    seconds::Seconds,
    session::SwarmSession,
    steering::steer,
    storage::ContentFactory,
    trackers::Pace,
};
use crate::core::{
    Error,
    content::Content,
    playhead::Playheads,
    status::{PeerReport, PeerSource, PeerState, Status},
};

/// How often counts are refreshed and librqbit's state is looked at.
const TICK: Duration = Duration::from_millis(250);
/// How often librqbit asks the relay; each time is one small exchange on loopback.
const RELAY_INTERVAL: Duration = Duration::from_secs(3);

/// A torrent to be kept going.
pub struct Keeping {
    /// Its bytes.
    pub content: Arc<Content>,
    /// The files that are wanted; a file more is taken up while it runs.
    pub wanted: watch::Receiver<BTreeSet<usize>>,
    /// Peers known so far, the best first.
    pub peers: Vec<SocketAddr>,
    /// Who named them.
    pub sources: HashMap<SocketAddr, PeerSource>,
    /// Trackers asked so far.
    pub trackers: Vec<Url>,
    /// Those of them that answered, and when they want to hear of us again.
    pub answered: HashMap<Url, Pace>,
    /// Trackers for later rounds.
    pub later_trackers: Vec<Url>,
    /// How long a round may go without a byte.
    pub round: Duration,
    /// Where the readers are.
    pub playheads: Arc<Playheads>,
    /// What is told of it.
    pub status: watch::Sender<Status>,
    /// Set when no further piece will come.
    pub ended: watch::Sender<Option<Error>>,
    /// Locks that are let go when nothing is written any more.
    pub keeps: Box<dyn Any + Send + Sync>,
}

/// Keeps a torrent going while it lives.
pub struct KeeperGuard {
    stop: DropGuard,
    ended: CancellationToken,
}

impl KeeperGuard {
    /// Stops, and waits until nothing is written any more and every lock is let go.
    pub async fn stop(self) {
        drop(self.stop);
        self.ended.cancelled().await;
    }
}

impl SwarmSession {
    /// Adds the torrent and looks after it until the guard is dropped.
    pub fn keep(&self, keeping: Keeping) -> KeeperGuard {
        let stop = self.stop.child_token();
        let bitfield = self.bitfield_file(&keeping.content.metainfo().info_hash.to_string());
        let announces = Announces::new(self.searcher.clone(), keeping.content.metainfo());
        let (content, playheads) = (keeping.content.clone(), keeping.playheads.clone());
        let timeline = keeping.status.borrow().timeline.clone();
        let ended = CancellationToken::new();
        let runtime = self.threads.enter(ended.clone()).unwrap_or_else(|error| {
            tracing::warn!("cannot start a thread for a torrent: {error}");
            self.runtime.clone()
        });
        let brokered = self.broker.open(content, playheads, runtime.clone(), timeline);
        let keeper = Keeper {
            session: self.session.clone(),
            bitfield,
            keeping,
            announces,
            relay: None,
            relayed: self.relays,
            broker: self.broker.clone(),
            brokered,
        };
        let kept = keeper.keep(stop.clone());
        // Also told when the runtime drops the task unfinished.
        let tell = ended.clone().drop_guard();
        let task = async move {
            kept.await;
            drop(tell);
        };
        self.tasks.spawn_on(task, &runtime);
        KeeperGuard { stop: stop.drop_guard(), ended }
    }
}

struct Keeper {
    session: Arc<Session>,
    bitfield: PathBuf,
    keeping: Keeping,
    announces: Announces,
    relay: Option<Relay>,
    /// Whether trackers are asked at all.
    relayed: bool,
    broker: Arc<Broker>,
    brokered: Brokered,
}

/// Why a torrent is taken out of the session.
enum Turn {
    /// To be added again: a piece was wrong on disk, or other trackers are to be tried.
    Again,
    /// For good.
    End(Error),
}

impl Keeper {
    /// Runs until `stop`, or until the torrent cannot go on.
    async fn keep(mut self, stop: CancellationToken) {
        for tracker in std::mem::take(&mut self.keeping.trackers) {
            let answered = self.keeping.answered.get(&tracker).copied();
            self.announces.take_up(tracker, answered);
        }
        self.announces.look_around();
        if self.relayed {
            // Without one, the peers that are named later come in when the torrent has to be added again.
            self.relay = Relay::start(self.announces.named.clone(), &self.broker).await.ok();
        }
        loop {
            let turn = tokio::select! {
                turn = self.turn() => turn.unwrap_or_else(|error| Turn::End(self.explain(&error))),
                () = stop.cancelled() => Turn::End(Error::Cancelled),
            };
            self.take_out().await;
            if let Turn::End(error) = turn {
                self.remember_peers();
                // The locks first: who hears of the end may want to begin again.
                self.keeping.keeps = Box::new(());
                self.keeping.ended.send_replace(Some(error));
                return;
            }
        }
    }

    async fn turn(&mut self) -> anyhow::Result<Turn> {
        let torrent = self.add().await?;
        torrent.wait_until_initialized().await?;
        let playheads = self.keeping.playheads.clone();
        let parked_in = self.keeping.wanted.borrow().first().copied().unwrap_or(0);
        tokio::select! {
            steered = steer(torrent.clone(), &playheads, parked_in) => {
                steered?;
                Ok(Turn::Again)
            }
            turn = self.watch(&torrent) => Ok(turn),
        }
    }

    async fn add(&self) -> anyhow::Result<Arc<ManagedTorrent>> {
        let metainfo = self.keeping.content.metainfo();
        tokio::fs::write(&self.bitfield, self.keeping.content.resumable())
            .await
            .context("writing the bit field")?;
        let options = AddTorrentOptions {
            only_files: Some(self.keeping.wanted.borrow().iter().copied().collect()),
            overwrite: true,
            output_folder: Some(self.keeping.content.dir().to_string_lossy().into_owned()),
            initial_peers: Some(self.peers()),
            trackers: self.relay.as_ref().map(|relay| vec![relay.url.to_string()]),
            force_tracker_interval: Some(RELAY_INTERVAL),
            storage_factory: Some(ContentFactory(self.brokered.exchange.clone()).boxed()),
            ..AddTorrentOptions::default()
        };
        // Without the file's own trackers: those are asked by us.
        let add = AddTorrent::from_bytes(torrent_file(&metainfo.info_bytes, &[]));
        match self.session.add_torrent(add, Some(options)).await? {
            AddTorrentResponse::Added(_, torrent) => Ok(torrent),
            _ => anyhow::bail!("the torrent is in the session already"),
        }
    }

    /// All peers known by now, the best first.
    fn peers(&self) -> Vec<SocketAddr> {
        let mut peers = self.keeping.peers.clone();
        let known: HashSet<_> = peers.iter().copied().collect();
        peers.extend(self.announces.named.all().into_iter().filter(|peer| !known.contains(peer)));
        peers
    }

    async fn watch(&mut self, torrent: &Arc<ManagedTorrent>) -> Turn {
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut rates, mut round_ends) = (Rates::new(), Instant::now() + self.keeping.round);
        let written = self.keeping.content.written();
        loop {
            tokio::select! {
                () = self.keeping.content.trouble() => {
                    if let Some(error) = self.keeping.content.fault() {
                        return Turn::End(error);
                    }
                    if self.keeping.content.take_lost() {
                        return Turn::Again;
                    }
                }
                Ok(()) = self.keeping.wanted.changed() => {
                    if let Err(error) = self.want(torrent).await {
                        return Turn::End(self.explain(&error));
                    }
                }
                _ = ticks.tick() => {
                    if let Some(reason) = failure(torrent) {
                        return Turn::End(self.explain(&anyhow::anyhow!(reason)));
                    }
                    self.report(torrent, &mut rates);
                    if Instant::now() > round_ends && self.keeping.content.written() == written {
                        round_ends += self.keeping.round;
                        if self.widen() {
                            return Turn::Again;
                        }
                    }
                }
            }
        }
    }

    async fn want(&mut self, torrent: &Arc<ManagedTorrent>) -> anyhow::Result<()> {
        let files = self.keeping.wanted.borrow_and_update().iter().copied().collect();
        self.session.update_only_files(torrent, &files).await
    }

    /// Takes the later trackers up, for a round without a byte. Whether the torrent is to be added again: with peers that
    /// librqbit could not be told of otherwise.
    fn widen(&mut self) -> bool {
        for tracker in std::mem::take(&mut self.keeping.later_trackers) {
            self.announces.take_up(tracker, None);
        }
        self.keeping.status.send_modify(|status| {
            status.discovery.round = (status.discovery.round + 1).min(status.discovery.rounds)
        });
        self.relay.is_none() && !self.announces.named.all().is_empty()
    }

    fn report(&mut self, torrent: &ManagedTorrent, rates: &mut Rates) {
        let Some(live) = torrent.live() else { return };
        let snapshot = live.stats_snapshot();
        let peers = snapshot.peer_stats;
        self.announces.need(self.brokered.exchange.is_deserted());
        let moved = &self.announces.moved;
        moved.uploaded.store(snapshot.uploaded_bytes, Relaxed);
        moved.downloaded.store(self.keeping.content.written(), Relaxed);
        let linked = self.brokered.exchange.peers();
        let are = |states: &[PeerState]| linked.iter().filter(|peer| states.contains(&peer.state)).count();
        let unchoked = are(&[PeerState::Unchoked, PeerState::Sending, PeerState::Silent]);
        let redialled = are(&[PeerState::Connecting]);
        let sending =
            linked.iter().filter(|peer| peer.received > 0 && peer.state != PeerState::Banned).count();
        let each = rates.seconds.begins().then(|| self.each_of(&linked));
        let download_rate = rates.down.of(self.keeping.content.written());
        let upload_rate = rates.up.of(snapshot.uploaded_bytes);
        let wanted = self.keeping.wanted.borrow().clone();
        let verified: u64 = wanted.iter().map(|file| self.keeping.content.verified_bytes(*file)).sum();
        self.keeping.status.send_modify(|status| {
            status.peers_seen = status.peers_seen.max(peers.seen as usize);
            status.peers_connecting = peers.connecting as usize;
            status.peers_connected = (peers.live as usize).saturating_sub(redialled);
            if let Some(each) = each {
                status.peers = each;
            }
            status.peers_unchoked = unchoked;
            status.peers_sending = sending;
            status.download_rate = download_rate;
            status.upload_rate = upload_rate;
            status.verified = verified;
        });
        let len: u64 = wanted.iter().map(|file| self.keeping.content.metainfo().files[*file].len).sum();
        moved.left.store(len.saturating_sub(verified), Relaxed);
        let permille = verified * 1000 / len.max(1);
        // Every percent once: the log is for reading.
        if std::mem::replace(&mut rates.told, permille / 10) != permille / 10 {
            tracing::debug!("Download progress: {}.{}%, peers: {}", permille / 10, permille % 10, peers.live);
        }
    }

    /// Those on a link, and those that are not.
    fn each_of(&self, linked: &[PeerReport]) -> Arc<[PeerReport]> {
        let named = self.announces.named.all().into_iter().map(|peer| (peer, PeerSource::Tracker));
        let sources: HashMap<SocketAddr, PeerSource> = named.chain(self.keeping.sources.clone()).collect();
        let known: HashSet<SocketAddr> = sources.keys().copied().collect();
        let there: HashSet<SocketAddr> = linked.iter().map(|peer| peer.address).collect();
        let absent = self
            .broker
            .absent(self.announces.info_hash, &known)
            .into_iter()
            .filter(|peer| !there.contains(&peer.address));
        let mut each: Vec<PeerReport> = linked.iter().cloned().chain(absent).collect();
        each.iter_mut().for_each(|peer| peer.source = sources.get(&peer.address).copied());
        each.sort_by_key(|peer| (std::cmp::Reverse(peer.received), peer.address));
        each.into()
    }

    fn remember_peers(&self) {
        let bringers = self.brokered.exchange.bringers();
        if !bringers.is_empty() {
            self.keeping.content.keep_peers(&bringers);
        }
    }

    async fn take_out(&self) {
        let hash = librqbit_core::Id20::new(*self.keeping.content.metainfo().info_hash.bytes());
        if let Err(error) = self.session.delete(hash.into(), false).await {
            tracing::debug!("taking the torrent out of the session: {error:#}");
        }
    }

    /// Our own disk's word first: librqbit only passes on that something failed.
    fn explain(&self, error: &anyhow::Error) -> Error {
        self.keeping.content.fault().unwrap_or_else(|| match error.downcast_ref::<std::io::Error>() {
            Some(io) => Error::storage(
                "using",
                self.keeping.content.dir(),
                std::io::Error::new(io.kind(), io.to_string()),
            ),
            None => {
                Error::Internal(format!("torrent {}: {error:#}", self.keeping.content.metainfo().info_hash))
            }
        })
    }
}

fn failure(torrent: &ManagedTorrent) -> Option<String> {
    let stats = torrent.stats();
    matches!(stats.state, TorrentStatsState::Error)
        .then(|| stats.error.unwrap_or_default().lines().next().unwrap_or("unknown error").to_owned())
}

/// What is measured from tick to tick.
struct Rates {
    down: Rate,
    up: Rate,
    /// The percentage that was logged last.
    told: u64,
    seconds: Seconds,
}

impl Rates {
    fn new() -> Self {
        Rates { down: Rate::default(), up: Rate::default(), told: 0, seconds: Seconds::of(TICK) }
    }
}

/// Bytes a second over the last few ticks.
#[derive(Default)]
struct Rate {
    samples: VecDeque<(Instant, u64)>,
}

impl Rate {
    /// Three seconds of ticks: long enough to smooth the bursts of rate-limited seeds.
    const WINDOW: usize = 12;

    fn of(&mut self, bytes: u64) -> u64 {
        let now = Instant::now();
        self.samples.push_back((now, bytes));
        if self.samples.len() > Self::WINDOW {
            self.samples.pop_front();
        }
        let Some(&(then, before)) = self.samples.front() else { return 0 };
        let seconds = (now - then).as_secs_f64();
        if seconds > 0.0 { (bytes.saturating_sub(before) as f64 / seconds) as u64 } else { 0 }
    }
}
