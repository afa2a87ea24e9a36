//! The first stage of an attempt: find peers, reach one, and learn the info dictionary if it is not known.
//!
//! Peers come from the DHT, from trackers in rounds (each round asks one set more, and again those that failed or
//! named nobody), from the magnet and from the user. They are dialled in parallel with short time-outs; the first
//! useful one ends the search.

use std::{
    collections::{HashMap, HashSet, VecDeque, hash_map::Entry},
    io,
    net::{SocketAddr, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use futures_util::{
    StreamExt,
    stream::{BoxStream, SelectAll, select_all},
};
use librqbit::dht::Dht;
use librqbit_core::Id20;
use librqbit_lsd::LocalServiceDiscovery;
use tokio::{
    net::TcpStream,
    sync::watch,
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval, sleep_until},
};
use tokio_util::sync::CancellationToken;
use url::Url;

use super::{
    MOST_NAMED,
    dialer::Dialer,
    handshake::{self, Greeted, Offer, Patience, Unhelpful},
    lobby::{Guest, Guests, Lobby, Seen},
    seconds::Seconds,
    trackers::{Announcer, Answer, Pace, Transfer, Unanswered},
    verdict::{Evidence, judge},
};
use crate::core::{
    Error,
    reasons::Reason,
    settings::Waits,
    source::InfoHash,
    status::{Milestone, PeerReport, PeerSource, PeerState, Phase, Status, Timeline},
    sync::{Mutex, lock},
};

/// Peers dialled at once: enough to get through a stale list of 200 in a dozen seconds.
const DIALS: usize = 64;
/// And where other torrents' peers have taken all places: those who look for a torrent are not told that it has no peers.
const DIALS_AT_LEAST: usize = 8;
/// Peers that dialled us and are talked to at once.
const GUESTS: usize = 32;
/// A peer that failed is tried again after this, doubled each time.
const REDIAL_AFTER: Duration = Duration::from_secs(3);
/// Times a peer is dialled.
const MAX_DIALS: u32 = 4;
/// How often counts are refreshed and redials looked at.
const TICK: Duration = Duration::from_millis(200);
/// Without a route to anywhere and without an answer, this long is enough to say so.
const OFFLINE_AFTER: Duration = Duration::from_secs(5);

/// What is looked for, and where.
pub struct Search {
    /// The torrent.
    pub info_hash: InfoHash,
    /// Whether the info dictionary is still to be fetched.
    pub want_info: bool,
    /// Peers known from the start, as `host:port`.
    pub peers: Vec<String>,
    /// Sets of trackers; one more is asked in each round.
    pub tiers: Vec<Vec<Url>>,
    /// BEP 27: ask nobody but the torrent's trackers.
    pub private: bool,
}

/// What a search brought.
pub struct Found {
    /// The info dictionary, if it was wanted.
    pub info: Option<Vec<u8>>,
    /// Peers, those that answered first.
    pub peers: Vec<SocketAddr>,
    /// Trackers asked so far.
    pub trackers: Vec<Url>,
    /// Those of them that answered, and when they want to hear of us again.
    pub answered: HashMap<Url, Pace>,
    origins: HashMap<SocketAddr, Origin>,
}

/// Who named a peer first.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Origin {
    /// Whoever asks for the torrent.
    Asker,
    /// A tracker.
    Tracker(Url),
    /// The DHT.
    Dht,
    /// The local network.
    Lan,
}

impl Origin {
    /// Whether everybody may know the peer.
    fn is_public(&self) -> bool {
        matches!(self, Origin::Dht | Origin::Lan)
    }

    fn source(&self) -> PeerSource {
        match self {
            Origin::Asker => PeerSource::Named,
            Origin::Tracker(_) => PeerSource::Tracker,
            Origin::Dht => PeerSource::Dht,
            Origin::Lan => PeerSource::Lan,
        }
    }
}

/// A peer, and what came of it so far.
struct Known {
    origin: Origin,
    state: PeerState,
    reason: Option<Reason>,
}

impl Found {
    /// Who named each peer first.
    pub fn sources(&self) -> HashMap<SocketAddr, PeerSource> {
        self.peers.iter().filter_map(|peer| Some((*peer, self.origins.get(peer)?.source()))).collect()
    }

    /// What is left where the torrent turns out to be private (BEP 27): its own trackers, and the peers that they or
    /// whoever asks for it named. Where that is nobody at all, nobody minds the others.
    pub fn of_private(mut self, own: &[Url]) -> Self {
        let welcome = |peer: &SocketAddr| match self.origins.get(peer) {
            Some(Origin::Tracker(tracker)) => own.contains(tracker),
            Some(Origin::Asker) => true,
            Some(Origin::Dht | Origin::Lan) | None => false,
        };
        if !own.is_empty() || self.peers.iter().any(welcome) {
            self.peers.retain(welcome);
        }
        self.trackers.retain(|tracker| own.contains(tracker));
        self
    }
}

/// Searches; one for a process.
#[derive(Clone)]
pub struct Searcher {
    /// How peers are reached.
    pub dialer: Dialer,
    /// Where those that were greeted wait for what comes next.
    pub lobby: Lobby,
    /// How trackers are asked.
    pub announcer: Announcer,
    /// The DHT, if it is on.
    pub dht: Option<Dht>,
    /// Local service discovery, if it is on.
    pub lsd: Option<LocalServiceDiscovery>,
    /// Where peers can reach us, if they can.
    pub port: Option<u16>,
    /// Our name on the wire.
    pub peer_id: Id20,
    /// Whether peers may tell us of peers.
    pub peer_exchange: bool,
    /// How long to wait.
    pub waits: Waits,
}

/// Counts that dial tasks and the search share.
#[derive(Default)]
struct Tally {
    /// Every peer that took a connection.
    reached: Mutex<HashSet<SocketAddr>>,
    refused: AtomicUsize,
    without_route: AtomicUsize,
    /// Peers that dialled us.
    visitors: AtomicUsize,
    /// Every peer that was greeted, once, in order.
    greeted: Mutex<Vec<SocketAddr>>,
    /// Greeted and still connected.
    talking: AtomicUsize,
    info_bytes: AtomicU64,
    timeline: Arc<Timeline>,
}

impl Tally {
    fn greeted(&self) -> Vec<SocketAddr> {
        lock(&self.greeted).clone()
    }

    fn greet(&self, peer: SocketAddr) {
        self.timeline.pass(Milestone::Peer);
        let mut greeted = lock(&self.greeted);
        if !greeted.contains(&peer) {
            greeted.push(peer);
        }
    }
}

enum News {
    Dialled(SocketAddr, Result<Option<Vec<u8>>, Unhelpful>),
    Visited(SocketAddr, Result<Option<Vec<u8>>, Unhelpful>),
    Announced(Url, Result<Answer, Unanswered>),
    Resolved(Vec<SocketAddr>),
}

impl Searcher {
    /// Runs until a peer is found that helps, or the attempt's time is up.
    pub async fn search(&self, search: Search, status: &watch::Sender<Status>) -> Result<Found, Error> {
        let has_trackers = search.tiers.iter().any(|tier| !tier.is_empty());
        let dht = self.dht.clone().filter(|_| !search.private);
        let lsd = self.lsd.clone().filter(|_| !search.private);
        if search.peers.is_empty() && !has_trackers && dht.is_none() && lsd.is_none() {
            return Err(Error::Usage(format!(
                "torrent {}: there is nobody to ask: no DHT, no trackers, no local discovery, no peers",
                search.info_hash
            )));
        }
        Hunt::new(self, search, dht, lsd, status).run().await
    }

    /// The peers of a torrent that the DHT and the local network name, as far as they are asked.
    pub(super) fn ask_around(&self, info_hash: InfoHash) -> BoxStream<'static, SocketAddr> {
        self.around(info_hash, self.dht.as_ref(), self.lsd.as_ref()).map(|(peer, _)| peer).boxed()
    }

    fn around(&self, info_hash: InfoHash, dht: Option<&Dht>, lsd: Option<&LocalServiceDiscovery>) -> Named {
        let hash = Id20::new(*info_hash.bytes());
        let by = |origin: Origin| move |peer| (peer, origin.clone());
        select_all([
            dht.map_or_else(nobody, |dht| dht.get_peers(hash, None).map(by(Origin::Dht)).boxed()),
            lsd.map_or_else(nobody, |lsd| lsd.announce(hash, self.port).map(by(Origin::Lan)).boxed()),
            // Neither is expected to end; if both did, there would still be trackers and a clock.
            nobody(),
        ])
    }
}

/// Peers, and who names them.
type Named = SelectAll<BoxStream<'static, (SocketAddr, Origin)>>;

fn nobody() -> BoxStream<'static, (SocketAddr, Origin)> {
    futures_util::stream::pending().boxed()
}

/// One running search.
struct Hunt<'a> {
    searcher: &'a Searcher,
    search: Search,
    status: &'a watch::Sender<Status>,
    dht: Option<Dht>,
    /// Peers that the DHT and the local network name.
    named: Named,
    guests: Guests,
    /// Guests that are talked to.
    hosting: usize,
    /// Whether others wait for their places.
    guests_wait: watch::Sender<bool>,
    tally: Arc<Tally>,
    /// Every peer.
    seen: HashMap<SocketAddr, Known>,
    queue: VecDeque<(SocketAddr, u32)>,
    /// Whether peers wait to be dialled until others are done with.
    peers_wait: watch::Sender<bool>,
    later: Vec<(Instant, SocketAddr, u32)>,
    dialling: usize,
    dials: HashMap<SocketAddr, u32>,
    news: JoinSet<News>,
    enough: CancellationToken,
    round: u32,
    announcing: usize,
    answered: HashMap<Url, Pace>,
    failed: HashSet<Url>,
    /// Failed, or named nobody: worth another question in the next round.
    again: HashSet<Url>,
    heard: HashSet<Url>,
    seconds: Seconds,
    began: Instant,
}

impl<'a> Hunt<'a> {
    fn new(
        searcher: &'a Searcher,
        search: Search,
        dht: Option<Dht>,
        lsd: Option<LocalServiceDiscovery>,
        status: &'a watch::Sender<Status>,
    ) -> Self {
        let named = searcher.around(search.info_hash, dht.as_ref(), lsd.as_ref());
        Hunt {
            searcher,
            guests: searcher.lobby.expect(search.info_hash),
            hosting: 0,
            guests_wait: watch::Sender::new(false),
            search,
            status,
            dht,
            named,
            tally: Arc::new(Tally { timeline: status.borrow().timeline.clone(), ..Tally::default() }),
            seen: HashMap::new(),
            queue: VecDeque::new(),
            peers_wait: watch::Sender::new(false),
            later: Vec::new(),
            dialling: 0,
            dials: HashMap::new(),
            news: JoinSet::new(),
            enough: CancellationToken::new(),
            round: 0,
            announcing: 0,
            answered: HashMap::new(),
            failed: HashSet::new(),
            again: HashSet::new(),
            heard: HashSet::new(),
            seconds: Seconds::of(TICK),
            began: Instant::now(),
        }
    }

    async fn run(mut self) -> Result<Found, Error> {
        let waits = self.searcher.waits;
        // The peer time-out is shared out evenly among the rounds.
        let mut rounds = interval((waits.peer_timeout / waits.max_retries.max(1)).max(TICK));
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        for peer in std::mem::take(&mut self.search.peers) {
            self.resolve(peer);
        }
        let (peers_by, data_by) = (self.began + waits.peer_timeout, self.began + waits.timeout);
        loop {
            self.dial();
            self.tell_of_the_crowd();
            tokio::select! {
                Some(news) = self.news.join_next() => {
                    if let Some(found) = self.hear(news) {
                        return Ok(found);
                    }
                }
                Some((peer, origin)) = self.named.next() => self.learn(peer, origin),
                guest = self.guests.next(), if self.hosting < GUESTS => self.host(guest),
                _ = rounds.tick() => self.next_round(),
                _ = ticks.tick() => self.tick()?,
                () = sleep_until(peers_by), if lock(&self.tally.reached).is_empty() => return Err(self.verdict()),
                () = sleep_until(data_by) => return Err(self.verdict()),
            }
        }
    }

    fn resolve(&mut self, peer: String) {
        if let Ok(address) = peer.parse() {
            return self.learn(address, Origin::Asker);
        }
        if !self.searcher.dialer.may_look_up() {
            return tracing::debug!(
                "peer {}: its name is not looked up beside the proxy",
                peer.escape_debug()
            );
        }
        self.news.spawn(async move {
            News::Resolved(tokio::net::lookup_host(peer).await.map(Iterator::collect).unwrap_or_default())
        });
    }

    fn learn(&mut self, peer: SocketAddr, origin: Origin) {
        if peer.port() == 0 || !self.searcher.dialer.may_dial(peer) {
            return;
        }
        let is_room = self.seen.len() < MOST_NAMED;
        match self.seen.entry(peer) {
            // Whom the DHT named first and a tracker as well, the tracker named.
            Entry::Occupied(mut known) if known.get().origin.is_public() => known.get_mut().origin = origin,
            Entry::Vacant(new) if is_room => {
                new.insert(Known { origin, state: PeerState::Waiting, reason: None });
                self.queue.push_back((peer, 0));
            }
            _ => {}
        }
    }

    fn next_round(&mut self) {
        if self.round >= self.searcher.waits.max_retries.max(1) {
            return;
        }
        let fresh = self.search.tiers.get(self.round as usize).cloned().unwrap_or_default();
        let again: Vec<Url> = self.again.drain().collect();
        self.round += 1;
        for tracker in again.into_iter().chain(fresh) {
            self.announce(tracker);
        }
    }

    fn announce(&mut self, tracker: Url) {
        let (announcer, hash) = (self.searcher.announcer.clone(), self.search.info_hash);
        let transfer = Transfer { started: !self.answered.contains_key(&tracker), ..Transfer::UNKNOWN };
        self.announcing += 1;
        self.news.spawn(async move {
            let answer = announcer.announce(&tracker, hash, transfer).await;
            News::Announced(tracker, answer)
        });
    }

    fn dial(&mut self) {
        while self.dialling < DIALS && !self.queue.is_empty() {
            let place = self.searcher.dialer.place();
            if place.is_none() && self.dialling >= DIALS_AT_LEAST {
                return;
            }
            let Some((peer, dials)) = self.queue.pop_front() else { return };
            self.dialling += 1;
            self.dials.insert(peer, dials + 1);
            self.note(peer, PeerState::Connecting, None);
            let call = self.call(&self.peers_wait);
            self.news.spawn(async move {
                let _place = place;
                News::Dialled(peer, call.make(peer).await)
            });
        }
    }

    fn host(&mut self, guest: Guest) {
        self.hosting += 1;
        let (call, peer) = (self.call(&self.guests_wait), guest.address);
        self.news.spawn(async move { News::Visited(peer, call.answer(guest).await) });
    }

    /// Whoever is talked to in vain gives way when others wait.
    fn tell_of_the_crowd(&self) {
        for (crowd, waits) in [
            (&self.peers_wait, !self.queue.is_empty()),
            (&self.guests_wait, self.hosting == GUESTS && self.guests.are_waiting()),
        ] {
            crowd.send_if_modified(|crowded| std::mem::replace(crowded, waits) != waits);
        }
    }

    fn call(&self, crowd: &watch::Sender<bool>) -> Call {
        Call {
            dialer: self.searcher.dialer.clone(),
            info_hash: self.search.info_hash,
            peer_id: self.searcher.peer_id,
            peer_exchange: self.searcher.peer_exchange,
            want_info: self.search.want_info,
            tally: self.tally.clone(),
            lobby: self.searcher.lobby.clone(),
            patience: Patience { enough: self.enough.clone(), crowded: crowd.subscribe() },
        }
    }

    fn hear(&mut self, news: Result<News, tokio::task::JoinError>) -> Option<Found> {
        match news {
            Ok(News::Resolved(peers)) => peers.into_iter().for_each(|peer| self.learn(peer, Origin::Asker)),
            Ok(News::Announced(tracker, answer)) => self.take_answer(tracker, answer),
            Ok(News::Dialled(_, Ok(info)) | News::Visited(_, Ok(info))) => return Some(self.found(info)),
            Ok(News::Dialled(peer, Err(error))) => self.lose(peer, &error),
            Ok(News::Visited(peer, Err(error))) => {
                self.hosting -= 1;
                tracing::debug!("peer {peer}, which dialled us: {error}");
            }
            // A library that panicked over what a peer sent costs that peer its turn, nothing else.
            Err(error) => tracing::debug!("a search task failed: {error}"),
        }
        None
    }

    fn take_answer(&mut self, tracker: Url, answer: Result<Answer, Unanswered>) {
        self.announcing -= 1;
        match answer {
            Ok(Answer { peers, pace }) => {
                tracing::debug!("tracker {} named {} peers", host(&tracker), peers.len());
                self.heard.insert(tracker.clone());
                self.failed.remove(&tracker);
                if peers.is_empty() && !self.search.private && pace.at_least.is_none() {
                    self.again.insert(tracker.clone());
                }
                let origin = Origin::Tracker(tracker.clone());
                self.answered.insert(tracker, pace);
                peers.into_iter().for_each(|peer| self.learn(peer, origin.clone()));
            }
            Err(error) => {
                tracing::debug!("tracker {}: {error}", host(&tracker));
                self.status.send_modify(|status| {
                    status.trouble = Some(format!("tracker {}: {error}", host(&tracker)));
                });
                if error.network_is_up {
                    self.heard.insert(tracker.clone());
                }
                self.again.insert(tracker.clone());
                self.failed.insert(tracker);
            }
        }
        let nobody_left = self.announcing == 0 && self.queue.is_empty() && self.dialling == 0;
        if nobody_left && (self.round as usize) < self.search.tiers.len() {
            self.next_round();
        }
    }

    fn lose(&mut self, peer: SocketAddr, error: &Unhelpful) {
        self.dialling -= 1;
        tracing::debug!("peer {peer}: {error}");
        let (state, reason) = match (Reason::from(error), lock(&self.tally.greeted).contains(&peer)) {
            (reason @ Reason::NoMetadata(_), _) => (PeerState::Greeted, reason),
            (reason @ (Reason::Mute | Reason::Other(_)), true) => (PeerState::Left, reason),
            (_, true) => (PeerState::Left, Reason::Left(error.to_string())),
            (reason, false) => (PeerState::Refused, reason),
        };
        self.note(peer, state, Some(reason));
        let dials = self.dials.get(&peer).copied().unwrap_or(1);
        if dials < MAX_DIALS {
            self.later.push((Instant::now() + REDIAL_AFTER * (1 << (dials - 1)), peer, dials));
        }
    }

    /// What a peer did last is told until it does something else.
    fn note(&mut self, peer: SocketAddr, state: PeerState, reason: Option<Reason>) {
        if let Some(known) = self.seen.get_mut(&peer) {
            known.state = state;
            known.reason = reason.or_else(|| known.reason.take());
        }
    }

    /// Every peer, those that answered first.
    fn peers(&self) -> Vec<PeerReport> {
        let greeted: HashSet<SocketAddr> = self.tally.greeted().into_iter().collect();
        let mut peers: Vec<PeerReport> = self
            .seen
            .iter()
            .map(|(peer, known)| {
                let state = match known.state {
                    PeerState::Connecting if greeted.contains(peer) => PeerState::Greeted,
                    state => state,
                };
                PeerReport {
                    source: Some(known.origin.source()),
                    ..PeerReport::absent(*peer, state, known.reason.clone())
                }
            })
            .collect();
        peers.sort_by_key(|peer| (!greeted.contains(&peer.address), peer.address));
        peers
    }

    fn found(&mut self, info: Option<Vec<u8>>) -> Found {
        // Whoever was greeted by now goes to the lobby by itself.
        self.enough.cancel();
        self.news.detach_all();
        if info.is_some() {
            self.tally.timeline.pass(Milestone::Metadata);
        }
        let mut peers = self.tally.greeted();
        let greeted: HashSet<_> = peers.iter().copied().collect();
        peers.extend(self.seen.keys().filter(|peer| !greeted.contains(peer)));
        let asked = self.search.tiers.iter().take(self.round as usize).flatten();
        Found {
            info,
            peers,
            trackers: asked.cloned().collect(),
            answered: self.answered.clone(),
            origins: self.seen.drain().map(|(peer, known)| (peer, known.origin)).collect(),
        }
    }

    fn tick(&mut self) -> Result<(), Error> {
        let now = Instant::now();
        let due = self.later.extract_if(.., |(at, ..)| *at <= now).map(|(_, peer, dials)| (peer, dials));
        self.queue.extend(due);
        let seen = self.evidence();
        if self.began.elapsed() > OFFLINE_AFTER && !seen.is_online() && seen.asked_outside && !has_route() {
            return Err(self.verdict());
        }
        self.report(&seen);
        Ok(())
    }

    fn report(&mut self, seen: &Evidence) {
        // Thousands may be known.
        let each = self.seconds.begins().then(|| self.peers().into());
        let asked = self.search.tiers.iter().take(self.round as usize).map(Vec::len).sum();
        self.status.send_modify(|status| {
            status.phase = if seen.peers_greeted > 0 { Phase::Metadata } else { Phase::Peers };
            status.discovery.round = self.round;
            status.discovery.rounds = self.searcher.waits.max_retries;
            status.discovery.dht_nodes = self.dht.is_some().then_some(seen.dht_nodes);
            status.discovery.trackers = asked;
            status.discovery.trackers_answered = self.answered.len();
            status.discovery.trackers_failed = self.failed.len();
            status.peers_seen = seen.peers_seen;
            status.peers_connecting = self.dialling;
            status.peers_connected = self.tally.talking.load(Relaxed);
            if let Some(each) = each {
                status.peers = each;
            }
            status.discovery.metadata_bytes = self.tally.info_bytes.load(Relaxed);
            status.elapsed = self.began.elapsed();
        });
    }

    fn evidence(&self) -> Evidence {
        let stats = self.dht.as_ref().map(|dht| dht.stats());
        let visitors = self.tally.visitors.load(Relaxed);
        Evidence {
            asked_outside: self.dht.is_some() || self.search.tiers.iter().any(|tier| !tier.is_empty()),
            dht_nodes: stats.map_or(0, |stats| stats.routing_table_size + stats.routing_table_size_v6),
            trackers_heard: self.heard.len(),
            peers_seen: self.seen.len() + visitors,
            peers_refused: self.tally.refused.load(Relaxed),
            dials_without_route: self.tally.without_route.load(Relaxed),
            peers_reached: lock(&self.tally.reached).len(),
            peers_greeted: self.tally.greeted().len() + visitors,
        }
    }

    fn verdict(&self) -> Error {
        let (mut peers, reached) = (self.peers(), lock(&self.tally.reached).clone());
        for peer in &mut peers {
            let waits = peer.state == PeerState::Connecting && peer.reason.is_none();
            if waits && reached.contains(&peer.address) {
                peer.reason = Some(Reason::Mute);
            }
        }
        judge(self.search.info_hash, &self.evidence(), &peers, self.began.elapsed())
    }
}

/// One dial, from the connection to the info dictionary.
struct Call {
    dialer: Dialer,
    info_hash: InfoHash,
    peer_id: Id20,
    peer_exchange: bool,
    want_info: bool,
    tally: Arc<Tally>,
    lobby: Lobby,
    patience: Patience,
}

impl Call {
    async fn make(self, peer: SocketAddr) -> Result<Option<Vec<u8>>, Unhelpful> {
        let mut greeted = tokio::select! {
            greeted = self.greet(peer) => greeted?,
            () = self.patience.enough.cancelled() => return Err(Unhelpful::Late),
        };
        self.tally.greet(peer);
        let info = self.info(&mut greeted).await;
        if matches!(info, Ok(_) | Err(Unhelpful::Late | Unhelpful::Silent(_))) {
            self.lobby.keep(self.info_hash, peer, greeted);
        }
        info
    }

    /// The same with one that made the call itself.
    async fn answer(self, guest: Guest) -> Result<Option<Vec<u8>>, Unhelpful> {
        let Guest { address, stream, hello, back } = guest;
        let mut greeted = handshake::answer(stream, hello, self.info_hash, self.peer_id).await?;
        self.tally.timeline.pass(Milestone::Peer);
        self.tally.visitors.fetch_add(1, Relaxed);
        lock(&self.tally.reached).insert(address);
        let info = self.info(&mut greeted).await;
        if matches!(info, Ok(_) | Err(Unhelpful::Late | Unhelpful::Silent(_))) {
            // The door may have been shut.
            let _ = back.send(Seen::Greeted(greeted));
        }
        info
    }

    async fn greet(&self, peer: SocketAddr) -> Result<Greeted<TcpStream>, Unhelpful> {
        let stream = self.dialer.dial(peer).await.inspect_err(|error| self.count(error))?;
        lock(&self.tally.reached).insert(peer);
        handshake::greet(stream, self.info_hash, self.peer_id).await
    }

    async fn info(&self, greeted: &mut Greeted<TcpStream>) -> Result<Option<Vec<u8>>, Unhelpful> {
        if !self.want_info {
            return greeted.show_interest().await.map(|()| None);
        }
        if !greeted.is_extended() {
            return Err(Unhelpful::Silent("it cannot give metadata"));
        }
        let progress = |len| {
            self.tally.info_bytes.fetch_add(len, Relaxed);
        };
        self.tally.talking.fetch_add(1, Relaxed);
        let offer = Offer { peer_exchange: self.peer_exchange };
        let info = greeted.fetch_info(self.info_hash, offer, &self.patience, progress).await;
        self.tally.talking.fetch_sub(1, Relaxed);
        info.map(Some)
    }

    fn count(&self, error: &io::Error) {
        match error.kind() {
            io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionReset => {
                self.tally.refused.fetch_add(1, Relaxed);
            }
            io::ErrorKind::NetworkUnreachable | io::ErrorKind::NetworkDown => {
                self.tally.without_route.fetch_add(1, Relaxed);
            }
            _ => {}
        }
    }
}

/// Host and port of a tracker: its path and query may hold a passkey.
pub(super) fn host(tracker: &Url) -> String {
    let host = tracker.host_str().unwrap_or("?");
    tracker.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

/// Whether the kernel knows a way to the internet. Connecting a UDP socket looks the route up and sends nothing;
/// the addresses are reserved for documentation (RFC 5737, RFC 3849).
fn has_route() -> bool {
    let can_reach =
        |from: &str, to: &str| UdpSocket::bind(from).and_then(|socket| socket.connect(to)).is_ok();
    can_reach("0.0.0.0:0", "192.0.2.1:9") || can_reach("[::]:0", "[2001:db8::1]:9")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(peers: &[(&str, Origin)]) -> Found {
        let origins: HashMap<SocketAddr, Origin> =
            peers.iter().map(|(peer, origin)| (peer.parse().unwrap(), origin.clone())).collect();
        let peers = peers.iter().map(|(peer, _)| peer.parse().unwrap()).collect();
        let trackers = vec![url("http://own/"), url("http://other/")];
        Found { info: None, peers, trackers, answered: HashMap::new(), origins }
    }

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    #[test]
    fn of_a_private_torrents_peers_only_those_are_kept_that_its_own_trackers_or_the_asker_named() {
        let tracker = |text| Origin::Tracker(url(text));
        let all = [
            ("192.0.2.1:1", Origin::Dht),
            ("192.0.2.2:1", tracker("http://own/")),
            ("192.0.2.3:1", tracker("http://other/")),
            ("192.0.2.4:1", Origin::Asker),
        ];
        let left = found(&all).of_private(&[url("http://own/")]);
        assert_eq!(left.peers, ["192.0.2.2:1", "192.0.2.4:1"].map(|peer| peer.parse().unwrap()));
        assert_eq!(left.trackers, [url("http://own/")]);
        let nobody = found(&all[..1]).of_private(&[]);
        assert_eq!(nobody.peers.len(), 1, "there is nobody else");
        assert!(found(&all[..1]).of_private(&[url("http://own/")]).peers.is_empty());
    }
}
