//! One torrent's desk among the living: its links, its disk, its readers, and the clock.

use std::{
    collections::HashMap,
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::{
    runtime::Handle,
    sync::{
        Semaphore,
        mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    },
    time::{Instant, MissedTickBehavior, interval},
};
use tokio_util::task::AbortOnDropHandle;

use super::{
    blame::Digests,
    desk::{Action, Desk, Order, Tally},
    hearsay::Hearsay,
    index::Indexes,
    picker::Head,
    pieces::{Block, Geometry, PeerKey},
    throttle::Throttle,
};
use crate::core::{
    content::Content,
    playhead::{Playhead, Playheads},
    status::{Milestone, PeerReport, Timeline},
    sync::{Mutex, beside, lock},
};

/// How often the desk looks at the clock: a tenth of what a waiting reader notices.
const TICK: Duration = Duration::from_millis(50);

/// Peers of one torrent that are dialled anew at a time: a swarm that died does not take all of librqbit's places.
const REDIALS: usize = 8;

/// One torrent's exchange of blocks.
pub struct Exchange {
    geometry: Geometry,
    office: Mutex<Office>,
    content: Arc<Content>,
    runtime: Handle,
    counters: Arc<Counters>,
    /// Taken by those that dial their peer anew.
    pub redials: Arc<Semaphore>,
    /// Taken by peers that dialled us; as many as the broker gives it.
    pub visits: Arc<Semaphore>,
    /// Whether its peers may tell each other of peers.
    pub peer_exchange: bool,
    /// Whom they told librqbit of.
    pub hearsay: Hearsay,
    /// When what first happened.
    pub timeline: Arc<Timeline>,
}

/// The desk, and the way to those who carry out its orders. An order goes out before anybody else says something: a request
/// that overtook its predecessor's cancellation would be one that the peer forgets and the desk believes in.
struct Office {
    desk: Desk,
    links: HashMap<PeerKey, UnboundedSender<Order>>,
}

/// Bytes of blocks, over all torrents.
#[derive(Debug, Default)]
pub struct Counters {
    /// From peers.
    pub received: AtomicU64,
    /// To librqbit, which counts them as fetched.
    pub handed_over: AtomicU64,
    /// How fast they may come.
    pub throttle: Throttle,
}

impl Exchange {
    /// For a torrent; `runtime` is where all that it does is spawned: one thread, so that no link speaks between another's
    /// block and the writing of it.
    pub fn new(
        content: Arc<Content>,
        runtime: Handle,
        counters: Arc<Counters>,
        timeline: Arc<Timeline>,
        peer_exchange: bool,
    ) -> Arc<Self> {
        let metainfo = content.metainfo();
        let geometry = Geometry { piece_len: metainfo.piece_length, total_len: metainfo.total_len };
        let there = content.clone();
        let have = move |piece| there.verified().contains(piece) || there.is_claimed(piece);
        Arc::new(Exchange {
            geometry,
            office: Mutex::new(Office { desk: Desk::new(geometry, Box::new(have)), links: HashMap::new() }),
            content,
            runtime,
            counters,
            redials: Arc::new(Semaphore::new(REDIALS)),
            visits: Arc::new(Semaphore::new(0)),
            peer_exchange,
            hearsay: Hearsay::default(),
            timeline,
        })
    }

    /// How the torrent is cut.
    pub fn geometry(&self) -> Geometry {
        self.geometry
    }

    /// The torrent's bytes.
    pub fn content(&self) -> &Arc<Content> {
        &self.content
    }

    /// Where the torrent runs.
    pub fn runtime(&self) -> &Handle {
        &self.runtime
    }

    /// Says something to the desk, and has done what it orders.
    pub fn tell<R>(self: &Arc<Self>, say: impl FnOnce(&mut Desk, Instant) -> R) -> R {
        let (said, hashes) = {
            let mut office = lock(&self.office);
            let said = say(&mut office.desk, Instant::now());
            (said, office.give_orders())
        };
        hashes.into_iter().for_each(|(piece, digests)| self.hash(piece, digests));
        said
    }

    fn hash(self: &Arc<Self>, piece: u32, digests: bool) {
        let (exchange, content) = (self.clone(), self.content.clone());
        let check = move || content.check(piece, digests);
        beside(&self.runtime, check, move |hashed| exchange.judge(piece, hashed));
    }

    fn judge(self: &Arc<Self>, piece: u32, hashed: io::Result<(bool, Digests)>) {
        let (right, digests) = match hashed {
            Ok(hashed) => hashed,
            // The keeper sees it, and ends the torrent.
            Err(error) => return self.fail_reading(Block { piece, index: 0 }, error),
        };
        if right {
            self.timeline.pass(Milestone::Piece);
            self.content.complete(piece);
        } else {
            tracing::debug!("torrent {}: piece {piece} is bad", self.content.metainfo().info_hash);
        }
        self.tell(|desk, now| desk.hashed(piece, right, &digests, now));
    }

    /// A block that is on disk cannot be read.
    pub fn fail_reading(&self, block: Block, error: io::Error) {
        self.content.fail_reading(self.geometry.start_of(block), error);
    }

    /// librqbit verified a piece.
    pub fn completed(self: &Arc<Self>, piece: u32) {
        self.timeline.pass(Milestone::Piece);
        self.tell(|desk, now| desk.completed(piece, now));
    }

    /// Whether a block is on disk, right or not.
    pub fn is_here(&self, block: Block) -> bool {
        // In this order: a piece is verified before the desk forgets it.
        lock(&self.office).desk.is_here(block) || self.content.verified().contains(block.piece)
    }

    /// A new link; its orders come out of the receiver.
    pub fn join(self: &Arc<Self>, address: SocketAddr) -> (PeerKey, UnboundedReceiver<Order>) {
        let (sender, orders) = unbounded_channel();
        let mut office = lock(&self.office);
        let key = office.desk.join(address, Instant::now());
        office.links.insert(key, sender);
        (key, orders)
    }

    /// The link is gone.
    pub fn leave(self: &Arc<Self>, key: PeerKey) {
        lock(&self.office).links.remove(&key);
        self.tell(|desk, now| desk.leave(key, now));
    }

    /// Whether a peer sent bad blocks.
    pub fn is_banned(&self, address: SocketAddr) -> bool {
        lock(&self.office).desk.is_banned(address)
    }

    /// Whether whoever dials us from there is not let in.
    pub fn turns_away(&self, address: SocketAddr) -> bool {
        lock(&self.office).desk.turns_away(address)
    }

    /// Every peer on a link, and those that are banned.
    pub fn peers(&self) -> Vec<PeerReport> {
        lock(&self.office).desk.peers(Instant::now())
    }

    /// Whether a reader waits and nobody is there who might bring what it waits for.
    pub fn is_deserted(&self) -> bool {
        lock(&self.office).desk.is_deserted(Instant::now())
    }

    /// Everybody who can be dialled and brought something, the most first.
    pub fn bringers(&self) -> Vec<SocketAddr> {
        lock(&self.office).desk.bringers()
    }

    /// Says in the log what became of the bytes that came.
    pub fn sum_up(&self) {
        let Tally { taken, wasted, bad } = lock(&self.office).desk.tally();
        let info_hash = self.content.metainfo().info_hash;
        tracing::debug!("torrent {info_hash}: {taken} bytes came, {wasted} more in vain, {bad} of them bad");
    }

    /// How fast bytes may come, from all peers of all torrents.
    pub fn throttle(&self) -> &Throttle {
        &self.counters.throttle
    }

    /// Notes bytes that a peer sent.
    pub fn note_received(&self, bytes: u64) {
        self.counters.received.fetch_add(bytes, Relaxed);
    }

    /// Notes bytes that librqbit was given.
    pub fn note_handed_over(&self, bytes: u64) {
        self.counters.handed_over.fetch_add(bytes, Relaxed);
    }

    /// Follows the readers and the clock until the handle is dropped.
    pub fn follow(self: &Arc<Self>, playheads: Arc<Playheads>) -> AbortOnDropHandle<()> {
        AbortOnDropHandle::new(self.runtime.spawn(self.clone().heed(playheads)))
    }

    pub(super) async fn heed(self: Arc<Self>, playheads: Arc<Playheads>) {
        let mut moved = playheads.follow();
        let mut indexes = Indexes::default();
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let heads = playheads.snapshot();
            let wanted = indexes.wanted(&self, &heads);
            self.tell(|desk, now| {
                desk.set_heads(self.heads(heads), now);
                desk.set_indexes(wanted, now);
            });
            tokio::select! {
                // Its sender lives as long as the playheads do.
                _ = moved.changed() => {}
                _ = ticks.tick() => self.tell(|desk, now| desk.tick(now)),
            }
        }
    }

    fn heads(&self, playheads: Vec<(u64, Playhead)>) -> Vec<Head> {
        let files = &self.content.metainfo().files;
        let head = |(_, head): (u64, Playhead)| Head {
            needs: files[head.file].offset + head.needs,
            end: files[head.file].offset + head.end,
            runway: head.needs.saturating_sub(head.position),
            pace: head.pace,
        };
        playheads.into_iter().map(head).collect()
    }
}

impl Office {
    /// Has done what the desk orders of the links; what is to be hashed is left to the caller, and with the digests of its
    /// blocks or not.
    fn give_orders(&mut self) -> Vec<(u32, bool)> {
        let mut hashes = Vec::new();
        for action in self.desk.take_actions() {
            match action {
                Action::Link(key, order) => {
                    if let Some(link) = self.links.get(&key) {
                        // A link that is ending has nothing to do any more.
                        let _ = link.send(order);
                    }
                }
                Action::Hash { piece, digests } => hashes.push((piece, digests)),
            }
        }
        hashes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::{Error, metainfo::tests::sample, swarm::broker::desk::Arrival};

    #[tokio::test]
    async fn a_piece_that_cannot_be_read_back_is_the_torrents_storage_error() {
        let (dir, payload) = (tempfile::tempdir().unwrap(), [7; 100]);
        let content = Arc::new(Content::open(dir.path(), Arc::new(sample(100, &[100], &payload))));
        let exchange =
            Exchange::new(content.clone(), Handle::current(), Arc::default(), Arc::default(), true);
        let (peer, _orders) = exchange.join(([192, 0, 2, 1], 6881).into());
        let (block, head) =
            (Block { piece: 0, index: 0 }, Head { needs: 0, end: 100, runway: 0, pace: None });
        let arrival = exchange.tell(|desk, now| {
            desk.set_heads(vec![head], now);
            desk.has_all_of(peer, &[0x80], now);
            desk.unchoked(peer, now);
            desk.arrived(peer, block, now)
        });
        assert_eq!(arrival, Arrival::Take);
        // It is never written: as if the file had been cut short by somebody else.
        content.set_len(0, 50).unwrap();
        exchange.tell(|desk, now| desk.stored(peer, block, now));
        content.trouble().await;
        assert!(matches!(content.fault(), Some(Error::Storage { .. })), "{:?}", content.fault());
    }
}
