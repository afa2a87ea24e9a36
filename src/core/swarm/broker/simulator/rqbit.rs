//! librqbit 9.1.0 as the broker meets it: a whole piece of one peer at a time, 128 blocks asked ahead, steals, and a hash
//! of its own when it has all blocks.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque},
    time::Duration,
};

use tokio::time::Instant;

use crate::core::swarm::broker::pieces::{Block, Geometry};

/// Blocks that it asks one peer for ahead.
const WINDOW: usize = 128;
/// Bytes that it looks ahead of a reader.
const LOOK_AHEAD: u32 = 32 << 20;

#[derive(Default)]
struct Link {
    unchoked: bool,
    to_ask: VecDeque<Block>,
    outstanding: HashSet<Block>,
    /// Time that a piece takes, on average, and over how many.
    average: Option<(Duration, u32)>,
}

/// What it says after a look at one link.
#[derive(Default)]
pub struct Asks {
    pub wanted: Vec<Block>,
    pub taken_back: Vec<(usize, Block)>,
}

pub struct Rqbit {
    geometry: Geometry,
    queued: BTreeSet<u32>,
    inflight: BTreeMap<u32, (usize, Instant)>,
    received: HashMap<u32, HashSet<u32>>,
    hashing: usize,
    links: Vec<Link>,
}

impl Rqbit {
    pub fn new(geometry: Geometry, links: usize) -> Self {
        Rqbit {
            geometry,
            queued: (0..geometry.pieces()).collect(),
            inflight: BTreeMap::new(),
            received: HashMap::new(),
            hashing: 0,
            links: (0..links).map(|_| Link::default()).collect(),
        }
    }

    pub fn is_done(&self) -> bool {
        self.queued.is_empty() && self.inflight.is_empty() && self.hashing == 0 && self.waits() == 0
    }

    pub fn waits(&self) -> usize {
        self.links.iter().map(|link| link.outstanding.len()).sum()
    }

    pub fn describe(&self) -> String {
        let (queued, inflight) = (&self.queued, &self.inflight);
        format!(
            "queues {queued:?}, fetches {inflight:?}, hashes {}, waits for {:?}",
            self.hashing,
            self.waiting()
        )
    }

    /// What it waits for, by link.
    pub fn waiting(&self) -> Vec<(usize, Block)> {
        let links = self.links.iter().enumerate();
        links.flat_map(|(number, link)| link.outstanding.iter().map(move |block| (number, *block))).collect()
    }

    pub fn unchoked(&mut self, link: usize) {
        self.links[link].unchoked = true;
    }

    /// A link is gone: its pieces are anybody's.
    pub fn lose(&mut self, link: usize) {
        self.links[link] = Link::default();
        let freed: Vec<u32> =
            self.inflight.iter().filter(|(_, (owner, _))| *owner == link).map(|(piece, _)| *piece).collect();
        for piece in freed {
            self.inflight.remove(&piece);
            self.queued.insert(piece);
        }
    }

    /// What it asks for on a link now; `heads` are the pieces that readers stand at.
    pub fn asks(&mut self, link: usize, heads: &[u32], has: impl Fn(u32) -> bool, now: Instant) -> Asks {
        let mut asks = Asks::default();
        if !self.links[link].unchoked {
            return asks;
        }
        while self.links[link].outstanding.len() < WINDOW {
            if let Some(block) = self.links[link].to_ask.pop_front() {
                if self.links[link].outstanding.insert(block) {
                    asks.wanted.push(block);
                }
            } else if let Some(piece) = self.acquire(link, heads, &has, now, &mut asks.taken_back) {
                let blocks = 0..self.geometry.blocks(piece);
                self.links[link].to_ask = blocks.map(|index| Block { piece, index }).collect();
            } else {
                break;
            }
        }
        asks
    }

    fn acquire(
        &mut self,
        link: usize,
        heads: &[u32],
        has: &impl Fn(u32) -> bool,
        now: Instant,
        taken_back: &mut Vec<(usize, Block)>,
    ) -> Option<u32> {
        self.steal(link, 10, has, now, taken_back)
            .or_else(|| {
                let ahead = LOOK_AHEAD.div_ceil(self.geometry.piece_len);
                let windows = heads.iter().map(|head| *head..head.saturating_add(ahead));
                let mut first = windows.flat_map(|window| self.queued.range(window));
                let piece = first
                    .find(|piece| has(**piece))
                    .or_else(|| self.queued.iter().find(|piece| has(**piece)));
                let piece = piece.copied()?;
                self.queued.remove(&piece);
                self.inflight.insert(piece, (link, now));
                Some(piece)
            })
            .or_else(|| self.steal(link, 3, has, now, taken_back))
    }

    fn steal(
        &mut self,
        link: usize,
        times: u32,
        has: &impl Fn(u32) -> bool,
        now: Instant,
        taken_back: &mut Vec<(usize, Block)>,
    ) -> Option<u32> {
        let (average, _) = self.links[link].average?;
        let slow = self.inflight.iter().filter(|(piece, (owner, since))| {
            *owner != link && has(**piece) && now - *since >= average * times
        });
        let piece = *slow.min_by_key(|(_, (_, since))| *since)?.0;
        let (owner, _) = self.inflight.insert(piece, (link, now))?;
        let victim = &mut self.links[owner];
        victim.to_ask.retain(|block| block.piece != piece);
        let mut gone: Vec<Block> = victim.outstanding.iter().copied().filter(|b| b.piece == piece).collect();
        gone.sort_unstable();
        victim.outstanding.retain(|block| block.piece != piece);
        taken_back.extend(gone.into_iter().map(|block| (owner, block)));
        Some(piece)
    }

    /// A block came on a link; the piece if that was the last of it.
    pub fn got(&mut self, link: usize, block: Block, now: Instant) -> Option<u32> {
        let asked = self.links[link].outstanding.remove(&block);
        assert!(
            asked,
            "librqbit gets {block:?} on link {link}, where it did not ask for it or has it already"
        );
        let (owner, since) = *self.inflight.get(&block.piece)?;
        let received = self.received.entry(block.piece).or_default();
        received.insert(block.index);
        if received.len() < self.geometry.blocks(block.piece) as usize {
            return None;
        }
        self.received.remove(&block.piece);
        self.inflight.remove(&block.piece);
        self.hashing += 1;
        let average = &mut self.links[owner].average;
        let (mean, count) = average.unwrap_or_default();
        *average = Some(((mean * count + (now - since)) / (count + 1), count + 1));
        Some(block.piece)
    }

    pub fn hashed(&mut self, piece: u32, right: bool) {
        self.hashing -= 1;
        if !right {
            self.queued.insert(piece);
        }
    }
}
