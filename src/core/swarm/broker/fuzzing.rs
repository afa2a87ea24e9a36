//! Bytes from a peer, and events in any order: what [`crate::fuzzing`] throws at the wire and at the desk.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use tokio::time::Instant;

use super::{
    desk::{Action, Arrival, Desk, Order},
    picker::Head,
    pieces::{BLOCK, Block, Geometry, PeerKey},
};
use crate::core::{
    swarm::wire::{Frame, MAX_FRAME, cancel, frame_len, parse, piece_head, request},
    sync::{Mutex, lock},
};

/// Peers at once; more only make the same things rarer.
const MOST_PEERS: usize = 6;
const GEOMETRY: Geometry = Geometry { piece_len: 3 * BLOCK, total_len: 20 * BLOCK as u64 + 77 };

/// Frames one after the other; what was read of one is what it would be written as.
pub(crate) fn wire(data: &[u8]) {
    let mut rest = data;
    while let Ok(Some(len)) = frame_len(rest, MAX_FRAME) {
        let (frame, after) = rest.split_at(len);
        match parse(frame) {
            Ok(Frame::Request(piece, begin, len)) => assert_eq!(frame, request(piece, begin, len)),
            Ok(Frame::Cancel(piece, begin, len)) => assert_eq!(frame, cancel(piece, begin, len)),
            Ok(Frame::Piece(piece, begin, len)) => {
                assert_eq!(frame[..13], piece_head(piece, begin, len));
                assert!(len > 0 && len <= BLOCK);
            }
            _ => {}
        }
        rest = after;
    }
}

/// Two bytes an event.
pub(crate) fn desk(data: &[u8]) {
    let mut world = World::new();
    for event in data.as_chunks::<2>().0 {
        world.happens(*event);
        world.carry_out();
    }
}

/// The desk, and the links, the disk and the clock around it.
struct World {
    desk: Desk,
    now: Instant,
    links: BTreeMap<PeerKey, Vec<Block>>,
    verified: Arc<Mutex<BTreeSet<u32>>>,
    stored: BTreeSet<Block>,
    hashing: Vec<u32>,
}

impl World {
    fn new() -> Self {
        let verified: Arc<Mutex<BTreeSet<u32>>> = Arc::default();
        let have = verified.clone();
        World {
            desk: Desk::new(GEOMETRY, Box::new(move |piece| lock(&have).contains(&piece))),
            now: Instant::now(),
            links: BTreeMap::new(),
            verified,
            stored: BTreeSet::new(),
            hashing: Vec::new(),
        }
    }

    fn happens(&mut self, [what, how]: [u8; 2]) {
        let some = u32::from(how);
        let (piece, now) = (some % GEOMETRY.pieces(), self.now);
        let block = Block { piece, index: some / 16 % GEOMETRY.blocks(piece) };
        if what % 16 == 0 {
            return self.joins(how);
        }
        if what % 16 == 1 {
            return self.time_passes(some);
        }
        if what % 16 == 2 {
            return self.is_hashed(how);
        }
        if what % 16 == 3 {
            return self.reads(some);
        }
        let Some(key) = self.links.keys().nth(usize::from(what / 16) % self.links.len().max(1)).copied()
        else {
            return;
        };
        match what % 16 {
            4 => self.leaves(key),
            5 => self.desk.has_all_of(key, &[how, !how | 0x0f], now),
            // Also pieces that there are not.
            6 => drop(self.desk.has(key, some, now)),
            7 => self.desk.queues(key, how.into()),
            8 => drop(self.desk.librqbit_is_interested(key, how % 2 == 0)),
            9 => drop(self.desk.unchoked(key, now)),
            10 => {
                self.links.insert(key, Vec::new());
                match how % 4 {
                    0 => self.desk.severed(key, now),
                    1 => {
                        self.desk.severed(key, now);
                        self.desk.renewed(key);
                    }
                    _ => self.desk.choked(key, now),
                }
            }
            11 | 12 => self.desk.wanted(key, block, now),
            13 => self.desk.unwanted(key, block),
            14 => self.arrives(key, block),
            _ => self.answers(key, how),
        }
    }

    fn joins(&mut self, how: u8) {
        if self.links.len() < MOST_PEERS {
            let key = self.desk.join(([127, 0, 0, how], 6881).into(), self.now);
            self.links.insert(key, Vec::new());
            if how.is_multiple_of(3) {
                self.desk.came_in(key);
                self.desk.listens_at(key, how.into());
            }
            self.desk.has_all_of(key, &[0xff; 2], self.now);
        }
    }

    fn leaves(&mut self, key: PeerKey) {
        self.links.remove(&key);
        self.desk.leave(key, self.now);
    }

    fn time_passes(&mut self, tenths: u32) {
        self.now += Duration::from_millis(100) * tenths;
        self.desk.tick(self.now);
    }

    fn reads(&mut self, from: u32) {
        let needs = u64::from(from) * u64::from(BLOCK) / 8;
        let head =
            Head { needs, end: GEOMETRY.total_len, runway: 0, pace: from.is_multiple_of(2).then_some(1e6) };
        self.desk.set_heads(vec![head], self.now);
        let index = GEOMETRY.total_len.saturating_sub(needs)..GEOMETRY.total_len;
        self.desk.set_indexes(vec![index; usize::from(from.is_multiple_of(3))], self.now);
    }

    /// The peer brings what it was asked for.
    fn answers(&mut self, key: PeerKey, how: u8) {
        let Some(asked) = self.links.get_mut(&key).filter(|asked| !asked.is_empty()) else { return };
        let block = asked.remove(usize::from(how) % asked.len());
        self.arrives(key, block);
    }

    fn arrives(&mut self, key: PeerKey, block: Block) {
        if self.desk.arrived(key, block, self.now) == Arrival::Take {
            assert!(!lock(&self.verified).contains(&block.piece), "a verified piece is written over");
            self.stored.insert(block);
            self.desk.stored(key, block, self.now);
        }
    }

    /// Whether a piece is right is decided by the event; whether it could be, by what is on disk.
    fn is_hashed(&mut self, how: u8) {
        if self.hashing.is_empty() {
            return;
        }
        let piece = self.hashing.remove(usize::from(how) % self.hashing.len());
        let blocks = GEOMETRY.blocks(piece);
        let right = lock(&self.verified).contains(&piece) || how.is_multiple_of(2);
        if right {
            let whole = (0..blocks).all(|index| self.stored.contains(&Block { piece, index }));
            assert!(whole, "piece {piece} is hashed before it is whole");
            lock(&self.verified).insert(piece);
        } else {
            self.stored.retain(|block| block.piece != piece);
        }
        let digests =
            (0..blocks).map(|index| u64::from(index) + u64::from(how) * u64::from(!right)).collect();
        self.desk.hashed(piece, right, &digests, self.now);
    }

    fn carry_out(&mut self) {
        for action in self.desk.take_actions() {
            match action {
                Action::Hash { piece, .. } => self.hashing.push(piece),
                Action::Link(key, order) => self.obeys(key, order),
            }
        }
    }

    fn obeys(&mut self, key: PeerKey, order: Order) {
        match order {
            Order::Ask(block) => {
                assert!(GEOMETRY.block_bytes(block) > 0, "{block:?} is no block");
                assert!(!lock(&self.verified).contains(&block.piece), "{block:?} is there");
                // One that was silent for long may be asked again for what it was asked before.
                if let Some(asked) = self.links.get_mut(&key)
                    && !asked.contains(&block)
                {
                    asked.push(block);
                }
            }
            Order::Cancel(block) => {
                if let Some(asked) = self.links.get_mut(&key) {
                    asked.retain(|other| *other != block);
                }
            }
            Order::Answer(block) => {
                let there = lock(&self.verified).contains(&block.piece) || self.stored.contains(&block);
                assert!(there, "librqbit is given {block:?}, which is not there");
            }
            Order::Leave(_) => drop(self.links.remove(&key)),
            Order::Interest => {}
        }
    }
}
