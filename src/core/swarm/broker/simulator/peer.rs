//! A simulated peer: answers in order, at its own rate, after its own distance, while it feels like it.

use std::{collections::VecDeque, time::Duration};

use rand::{Rng, rngs::SmallRng};
use tokio::time::Instant;

use crate::core::swarm::broker::{
    peers::seconds,
    pieces::{Block, PeerKey},
};

/// Bytes a second that a burst goes with: what the line gives, not the limiter.
const LINE: f64 = 100e6;

/// What a peer is like.
#[derive(Debug, Clone)]
pub struct Nature {
    /// Bytes a second.
    pub rate: f64,
    pub rtt: Duration,
    /// Spends its rate in bursts of this long, as limiters do; zero sends smoothly.
    pub burst: Duration,
    /// How long it lets us ask and how long it does not, on average, in turn.
    pub chokes: Option<(Duration, Duration)>,
    pub joins: Duration,
    pub dies: Option<Duration>,
    /// From when on it answers nothing.
    pub silent: Option<Duration>,
    /// Share of the pieces that it has.
    pub has: f64,
    /// Share of its blocks that are bad.
    pub lies: f64,
}

impl Nature {
    /// A seed next door.
    pub fn seed(rate: f64) -> Self {
        Nature {
            rate,
            rtt: Duration::ZERO,
            burst: Duration::ZERO,
            chokes: None,
            joins: Duration::ZERO,
            dies: None,
            silent: None,
            has: 1.0,
            lies: 0.0,
        }
    }
}

/// What a peer is told.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Told {
    Interest,
    Request(Block),
    Cancel(Block),
}

/// What a peer says.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Said {
    Bits(Vec<u8>),
    Unchoke,
    Choke,
    Piece(Block, u64),
}

pub struct SimPeer {
    pub nature: Nature,
    pub bits: Vec<u8>,
    pub key: Option<PeerKey>,
    /// Counts the connections, so that what belongs to an older one is told apart.
    pub epoch: u32,
    pub dead: bool,
    pub interested: bool,
    /// It takes requests.
    pub open: bool,
    /// We know that it takes requests.
    pub lets_us: bool,
    pub queue: VecDeque<Block>,
    /// Until when its line is taken.
    pub sending: Option<Instant>,
    tokens: f64,
    /// When it may spend another burst's bytes, from the start.
    refills: Duration,
    delivered: Option<Instant>,
}

impl SimPeer {
    pub fn new(nature: Nature, pieces: u32, rng: &mut SmallRng) -> Self {
        let mut bits = vec![0_u8; pieces.div_ceil(8) as usize];
        for piece in (0..pieces).filter(|_| nature.has >= 1.0 || rng.random_bool(nature.has)) {
            bits[piece as usize / 8] |= 0x80 >> (piece % 8);
        }
        SimPeer {
            bits,
            key: None,
            epoch: 0,
            dead: false,
            interested: false,
            open: true,
            lets_us: false,
            queue: VecDeque::new(),
            sending: None,
            tokens: 0.0,
            refills: nature.burst.mul_f64(rng.random_range(0.0..1.0)),
            delivered: None,
            nature,
        }
    }

    pub fn join(&mut self, key: PeerKey) {
        self.key = Some(key);
        self.epoch += 1;
        (self.interested, self.open, self.lets_us) = (false, true, false);
    }

    pub fn part(&mut self) -> Option<PeerKey> {
        self.epoch += 1;
        self.queue.clear();
        (self.sending, self.delivered, self.lets_us) = (None, None, false);
        self.key.take()
    }

    pub fn has(&self, piece: u32) -> bool {
        self.bits[piece as usize / 8] & (0x80 >> (piece % 8)) != 0
    }

    /// On a choke it forgets what it was asked (BEP 3).
    pub fn set_open(&mut self, open: bool) {
        self.open = open;
        if !open {
            self.queue.clear();
        }
    }

    pub fn request(&mut self, block: Block) {
        if self.open {
            self.queue.push_back(block);
        }
    }

    /// When what it says now is here.
    pub fn delivery(&mut self, now: Instant) -> (Instant, u32) {
        let leaves = self.sending.map_or(now, |until| until.max(now));
        let at = (leaves + self.nature.rtt / 2).max(self.delivered.unwrap_or(leaves));
        self.delivered = Some(at);
        (at, self.epoch)
    }

    /// The next block to leave and when it has left, or when to look again.
    pub fn next(
        &mut self,
        now: Instant,
        start: Instant,
        block_bytes: impl Fn(Block) -> u32,
    ) -> Option<(Instant, Option<Block>)> {
        let silent = self.nature.silent.is_some_and(|since| now - start >= since);
        if self.sending.is_some() || self.queue.is_empty() || silent {
            return None;
        }
        let (at, block) = if self.nature.burst.is_zero() {
            let block = self.queue.pop_front()?;
            (now + seconds(f64::from(block_bytes(block)) / self.nature.rate), Some(block))
        } else {
            self.spend(now, start, block_bytes)?
        };
        self.sending = Some(at);
        Some((at, block))
    }

    fn spend(
        &mut self,
        now: Instant,
        start: Instant,
        block_bytes: impl Fn(Block) -> u32,
    ) -> Option<(Instant, Option<Block>)> {
        let burst = self.nature.burst;
        let full = self.nature.rate * burst.as_secs_f64();
        while self.refills <= now - start {
            self.refills += burst;
            self.tokens = (self.tokens + full).min(full);
        }
        if self.tokens <= 0.0 {
            return Some((start + self.refills, None));
        }
        let block = self.queue.pop_front()?;
        let bytes = f64::from(block_bytes(block));
        self.tokens -= bytes;
        Some((now + seconds(bytes / LINE), Some(block)))
    }
}
