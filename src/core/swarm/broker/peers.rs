//! One peer as the desk knows it: what it has, whether it lets us ask, what it was asked, how fast it answers, and what
//! librqbit wants of it.

use std::{
    collections::{HashSet, VecDeque},
    net::SocketAddr,
    time::Duration,
};

use tokio::time::Instant;

use super::{
    pieces::{BLOCK, Block},
    rate::Rate,
};
use crate::core::{
    reasons::Reason,
    status::{PeerReport, PeerState},
};

/// Seconds of a peer's rate that are asked of it ahead. More, and an urgent block waits behind what was asked before;
/// less, and a seed that sends in bursts runs dry between them (0.1 and 0.3 s were measured alike, 1 s twice as slow).
const AHEAD: f64 = 0.3;
/// Blocks asked of a peer that nothing is known of: enough to learn its rate from, little enough to lend elsewhere.
const FIRST: usize = 4;
/// Never fewer, so that the next request is there when an answer leaves.
const LEAST: usize = 2;
/// Never more, unless the peer says that it takes more: what common clients queue.
pub const QUEUE: usize = 250;
/// A peer that chokes again sooner than this is no hurry: real ones reconsider in seconds (10, BEP 3), and whoever says
/// it a million times a second must not have everybody's work dealt out as often.
const FICKLE: Duration = Duration::from_millis(100);
/// A peer that brings nothing of what it was asked for this long is told of as silent: seldom is an answer so late, and
/// whoever looks once a second sees it before the peer is dialled anew.
const QUIET: Duration = Duration::from_secs(2);
/// What is expected of a peer that fell silent: bytes a second.
const SILENT_RATE: f64 = 1024.0;

/// What a peer has.
#[derive(Debug, Default)]
pub struct Has {
    bits: Vec<u8>,
}

impl Has {
    /// As its bit field says, if that is one of so many pieces.
    pub fn set_all(&mut self, bits: &[u8], pieces: u32) -> bool {
        let fits = bits.len() == pieces.div_ceil(8) as usize;
        if fits {
            self.bits = bits.to_vec();
        }
        fits
    }

    /// One piece more, below `pieces`; whether that changes anything.
    pub fn set(&mut self, piece: u32, pieces: u32) -> bool {
        let news = piece < pieces && !self.contains(piece);
        if news {
            self.bits.resize(pieces.div_ceil(8) as usize, 0);
            self.bits[piece as usize / 8] |= 0x80 >> (piece % 8);
        }
        news
    }

    /// As a bit field, unless it has nothing.
    pub fn bits(&self) -> Option<&[u8]> {
        self.bits.iter().any(|byte| *byte != 0).then_some(&self.bits[..])
    }

    /// Whether it has a piece.
    pub fn contains(&self, piece: u32) -> bool {
        self.bits.get(piece as usize / 8).is_some_and(|byte| byte & (0x80 >> (piece % 8)) != 0)
    }
}

/// A request that a peer has not answered.
#[derive(Debug, Clone, Copy)]
pub struct Asked {
    /// For what.
    pub block: Block,
    /// Since when.
    pub at: Instant,
    /// Nothing else was asked then: the answer tells the latency.
    pub alone: bool,
}

/// One peer.
#[derive(Debug)]
pub struct Peer {
    /// Where it is.
    pub address: SocketAddr,
    /// Whether it dialled us.
    pub incoming: bool,
    /// Where it can be dialled, as far as known.
    pub listens_at: Option<SocketAddr>,
    /// What it calls itself.
    pub client: Option<String>,
    /// What it has.
    pub has: Has,
    /// It does not let us ask, since when.
    pub choking: Option<Instant>,
    /// When it last began to.
    pub choked_at: Option<Instant>,
    /// It was told that we want something.
    pub interested: bool,
    /// What it is asked, oldest first.
    pub asks: VecDeque<Asked>,
    /// How fast it answers.
    pub rate: Rate,
    /// The shortest time that an answer took when nothing else was asked.
    pub latency: Option<Duration>,
    /// Requests that it says it queues.
    pub queue: usize,
    /// What librqbit wants of it and was not looked at yet.
    pub fresh: VecDeque<Block>,
    /// What librqbit wants of it and it was asked for.
    pub waiting: HashSet<Block>,
    /// Requests that were taken back, and may have been answered on the way.
    excused: usize,
    /// It fell silent with requests open: others are asked for them, and it for one at a time until it speaks.
    pub silenced: bool,
    /// Its connection is gone, and it is being dialled anew.
    pub severed: bool,
    /// A bad piece had a block of its, and it is not clear whose block was bad.
    pub suspect: bool,
}

impl Peer {
    /// Just connected: choking, as the protocol has it.
    pub fn new(address: SocketAddr, now: Instant) -> Self {
        Peer {
            address,
            incoming: false,
            listens_at: Some(address),
            client: None,
            has: Has::default(),
            choking: Some(now),
            choked_at: None,
            interested: false,
            asks: VecDeque::new(),
            rate: Rate::default(),
            latency: None,
            queue: QUEUE,
            fresh: VecDeque::new(),
            waiting: HashSet::new(),
            excused: 0,
            silenced: false,
            severed: false,
            suspect: false,
        }
    }

    /// What is told of it, while readers wait for these pieces.
    pub fn report(&self, awaited: &[u32], now: Instant) -> PeerReport {
        PeerReport {
            address: self.address,
            source: None,
            incoming: self.incoming,
            client: self.client.clone(),
            state: self.state(now),
            reason: self.reason(awaited, now),
            rate: self.rate(now).map(|rate| rate as u64),
            received: self.rate.total(),
        }
    }

    fn state(&self, now: Instant) -> PeerState {
        match self {
            Peer { severed: true, .. } => PeerState::Connecting,
            Peer { choking: Some(_), .. } => PeerState::Choked,
            peer if peer.silenced || peer.is_silent(QUIET, now) => PeerState::Silent,
            Peer { asks, .. } if asks.is_empty() || self.rate.total() == 0 => PeerState::Unchoked,
            _ => PeerState::Sending,
        }
    }

    /// Why it brings nothing of what is waited for: what it lacks comes first, as nothing else would help.
    fn reason(&self, awaited: &[u32], now: Instant) -> Option<Reason> {
        match self.state(now) {
            PeerState::Connecting => Some(Reason::Left("it left, and is dialled anew".into())),
            _ if !awaited.is_empty() && !awaited.iter().any(|piece| self.has.contains(*piece)) => {
                Some(Reason::LacksPiece)
            }
            PeerState::Choked => self.choking.map(|since| Reason::Choking(now - since)),
            PeerState::Silent => Some(Reason::Silent(self.rate.silent(now))),
            _ => None,
        }
    }

    /// Whether librqbit waits for something of it.
    pub fn is_wanted(&self) -> bool {
        !self.fresh.is_empty() || !self.waiting.is_empty()
    }

    /// Whether it may be asked.
    pub fn is_open(&self) -> bool {
        self.choking.is_none()
    }

    /// Whether it brings nothing of what it is asked for, since longer than `patience`.
    pub fn is_silent(&self, patience: Duration, now: Instant) -> bool {
        !self.asks.is_empty() && self.rate.silent(now) > patience
    }

    /// Whether it choked just now: what it says next can wait for the desk's next look at the clock.
    pub fn is_fickle(&self, now: Instant) -> bool {
        self.choked_at.is_some_and(|at| now - at < FICKLE)
    }

    /// Its connection is gone: it lets us ask nothing. librqbit, which may have heard that it does, need not know.
    pub fn sever(&mut self, now: Instant) {
        if self.choking.replace(now).is_none() {
            self.choked_at = Some(now);
        }
        self.silenced = false;
        self.severed = true;
    }

    /// It was greeted anew, and will say what it has.
    pub fn renew(&mut self) {
        (self.has, self.latency, self.excused, self.severed) = (Has::default(), None, 0, false);
        self.rate.begin_anew();
    }

    /// Bytes a second, guessed when too little is known.
    pub fn pace(&self, now: Instant) -> f64 {
        if self.silenced { SILENT_RATE } else { self.rate.expected(now).max(1.0) }
    }

    /// Bytes a second, where enough is known.
    pub fn rate(&self, now: Instant) -> Option<f64> {
        self.rate.per_second(now).filter(|_| !self.silenced)
    }

    /// Whether it should be asked for more now.
    pub fn has_room(&self, now: Instant) -> bool {
        self.is_open() && self.asks.len() < self.depth(now)
    }

    fn depth(&self, now: Instant) -> usize {
        if self.silenced {
            return 1;
        }
        let Some(rate) = self.rate.per_second(now) else { return FIRST };
        let ahead = AHEAD + self.latency.unwrap_or_default().as_secs_f64();
        // However fast it seems, a newcomer is not trusted with more than it brought already.
        let proven = FIRST + (self.rate.total() / u64::from(BLOCK)) as usize;
        ((rate * ahead / f64::from(BLOCK)).ceil() as usize).clamp(LEAST, self.queue.min(proven).max(LEAST))
    }

    /// When one block more would be here: after all that was asked before, and not before it can have come all the way.
    pub fn eta(&self, now: Instant) -> Instant {
        let bytes = (self.asks.len() + 1) as f64 * f64::from(BLOCK);
        now + seconds(bytes / self.pace(now)).max(self.latency.unwrap_or_default())
    }

    /// It is asked for a block.
    pub fn ask(&mut self, block: Block, now: Instant) {
        self.rate.begin(now);
        self.asks.push_back(Asked { block, at: now, alone: self.asks.is_empty() });
        // librqbit may want it of this very peer already.
        if let Some(at) = self.fresh.iter().position(|fresh| *fresh == block) {
            self.fresh.remove(at);
            self.waiting.insert(block);
        }
    }

    /// A block came; whether it was asked for.
    pub fn answer(&mut self, block: Block, bytes: u64, now: Instant) -> bool {
        let Some(asked) = self.unask(block) else { return false };
        self.rate.arrived(bytes, now);
        if asked.alone {
            let took = now.saturating_duration_since(asked.at);
            self.latency = Some(self.latency.map_or(took, |latency| latency.min(took)));
        }
        self.settle(now);
        true
    }

    /// A request is taken back.
    pub fn cancel(&mut self, block: Block, now: Instant) {
        if self.unask(block).is_some() {
            self.excused += 1;
            self.settle(now);
        }
    }

    /// A block came that it is not asked for; whether it may have been on its way when a request was taken back.
    pub fn excuse(&mut self) -> bool {
        let excused = self.excused > 0;
        self.excused = self.excused.saturating_sub(1);
        excused
    }

    fn unask(&mut self, block: Block) -> Option<Asked> {
        // Peers answer in order, but for what they drop: the search ends at once.
        let at = self.asks.iter().position(|asked| asked.block == block)?;
        self.asks.remove(at)
    }

    fn settle(&mut self, now: Instant) {
        if self.asks.is_empty() {
            self.rate.rest(now);
        }
    }

    /// All that librqbit wants of it in a piece, taken off.
    pub fn take_wants(&mut self, piece: u32) -> Vec<Block> {
        let mut wants: Vec<Block> = self.waiting.extract_if(|block| block.piece == piece).collect();
        self.fresh.retain(|block| {
            let other = block.piece != piece;
            if !other {
                wants.push(*block);
            }
            other
        });
        wants.sort_unstable();
        wants
    }
}

/// A duration that no arithmetic on peers' figures can overflow: a day at most.
pub fn seconds(seconds: f64) -> Duration {
    Duration::from_secs_f64(if seconds.is_finite() { seconds.clamp(0.0, 86_400.0) } else { 86_400.0 })
}
