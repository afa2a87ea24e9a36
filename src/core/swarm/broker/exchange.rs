//! One torrent's desk among the living: its links, its disk, its readers, and the clock.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::{
    runtime::Handle,
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    time::{Instant, MissedTickBehavior, interval},
};
use tokio_util::task::AbortOnDropHandle;

use super::{
    desk::{Action, Desk, Order, PeerReport, Tally},
    index::Indexes,
    picker::Head,
    pieces::{Block, Geometry, PeerKey},
};
use crate::core::{
    content::Content,
    playhead::{Playhead, Playheads},
    status::{Milestone, Timeline},
    sync::{Mutex, lock},
};

/// How often the desk looks at the clock: a tenth of what a waiting reader notices.
const TICK: Duration = Duration::from_millis(50);

/// One torrent's exchange of blocks.
pub struct Exchange {
    geometry: Geometry,
    desk: Mutex<Desk>,
    links: Mutex<HashMap<PeerKey, UnboundedSender<Order>>>,
    content: Arc<Content>,
    runtime: Handle,
    counters: Arc<Counters>,
    /// When what first happened.
    pub timeline: Arc<Timeline>,
}

/// Bytes of blocks, over all torrents.
#[derive(Debug, Default)]
pub struct Counters {
    /// From peers.
    pub received: AtomicU64,
    /// To librqbit, which counts them as fetched.
    pub handed_over: AtomicU64,
}

impl Exchange {
    /// For a torrent; `runtime` is where its hashing is spawned.
    pub fn new(
        content: Arc<Content>,
        runtime: Handle,
        counters: Arc<Counters>,
        timeline: Arc<Timeline>,
    ) -> Arc<Self> {
        let metainfo = content.metainfo();
        let geometry = Geometry { piece_len: metainfo.piece_length, total_len: metainfo.total_len };
        let there = content.clone();
        let have = move |piece| there.verified().contains(piece) || there.is_claimed(piece);
        Arc::new(Exchange {
            geometry,
            desk: Mutex::new(Desk::new(geometry, Box::new(have))),
            links: Mutex::default(),
            content,
            runtime,
            counters,
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

    /// Says something to the desk, and has done what it orders.
    pub fn tell<R>(self: &Arc<Self>, say: impl FnOnce(&mut Desk, Instant) -> R) -> R {
        let (said, actions) = {
            let mut desk = lock(&self.desk);
            let said = say(&mut desk, Instant::now());
            (said, desk.take_actions())
        };
        for action in actions {
            match action {
                Action::Link(key, order) => self.order(key, order),
                Action::Hash { piece, digests } => self.hash(piece, digests),
            }
        }
        said
    }

    fn order(&self, key: PeerKey, order: Order) {
        if let Some(link) = lock(&self.links).get(&key) {
            // A link that is ending has nothing to do any more.
            let _ = link.send(order);
        }
    }

    fn hash(self: &Arc<Self>, piece: u32, digests: bool) {
        let exchange = self.clone();
        self.runtime.spawn(async move {
            let content = exchange.content.clone();
            let hashed = tokio::task::spawn_blocking(move || content.check(piece, digests)).await;
            // A disk that fails is the keeper's to see; the piece stays unverified.
            let Ok(Ok((right, digests))) = hashed else { return };
            if right {
                exchange.timeline.pass(Milestone::Piece);
                exchange.content.complete(piece);
            } else {
                tracing::debug!("torrent {}: piece {piece} is bad", exchange.content.metainfo().info_hash);
            }
            exchange.tell(|desk, now| desk.hashed(piece, right, &digests, now));
        });
    }

    /// librqbit verified a piece.
    pub fn completed(self: &Arc<Self>, piece: u32) {
        self.timeline.pass(Milestone::Piece);
        self.tell(|desk, now| desk.completed(piece, now));
    }

    /// Whether librqbit need not write this part of a file: the broker did, or the piece is verified.
    pub fn is_written(&self, file: usize, offset: u64) -> bool {
        self.is_here(self.geometry.block_at(self.content.metainfo().files[file].offset + offset))
    }

    /// Whether a block is on disk, right or not.
    pub fn is_here(&self, block: Block) -> bool {
        self.content.verified().contains(block.piece) || lock(&self.desk).is_here(block)
    }

    /// A new link; its orders come out of the receiver.
    pub fn join(self: &Arc<Self>, address: SocketAddr) -> (PeerKey, UnboundedReceiver<Order>) {
        let (sender, orders) = unbounded_channel();
        let key = lock(&self.desk).join(address, Instant::now());
        lock(&self.links).insert(key, sender);
        (key, orders)
    }

    /// The link is gone.
    pub fn leave(self: &Arc<Self>, key: PeerKey) {
        lock(&self.links).remove(&key);
        self.tell(|desk, now| desk.leave(key, now));
    }

    /// Whether a peer sent bad blocks.
    pub fn is_banned(&self, address: SocketAddr) -> bool {
        lock(&self.desk).is_banned(address)
    }

    /// Every peer on a link.
    pub fn peers(&self) -> Vec<PeerReport> {
        lock(&self.desk).peers(Instant::now())
    }

    /// Everybody who brought something, the most first.
    pub fn bringers(&self) -> Vec<SocketAddr> {
        lock(&self.desk).bringers()
    }

    /// Says in the log what became of the bytes that came.
    pub fn sum_up(&self) {
        let Tally { taken, wasted, bad } = lock(&self.desk).tally();
        let info_hash = self.content.metainfo().info_hash;
        tracing::debug!("torrent {info_hash}: {taken} bytes came, {wasted} more in vain, {bad} of them bad");
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
        let exchange = self.clone();
        AbortOnDropHandle::new(self.runtime.spawn(async move {
            let mut moved = playheads.follow();
            let mut indexes = Indexes::default();
            let mut ticks = interval(TICK);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                let heads = playheads.snapshot();
                let wanted = indexes.wanted(&exchange, &heads);
                exchange.tell(|desk, now| {
                    desk.set_heads(exchange.heads(heads), now);
                    desk.set_indexes(wanted, now);
                });
                tokio::select! {
                    // Its sender lives as long as the playheads do.
                    _ = moved.changed() => {}
                    _ = ticks.tick() => exchange.tell(|desk, now| desk.tick(now)),
                }
            }
        }))
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
