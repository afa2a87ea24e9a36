//! Which block to ask which peer for. Pure: what is known and the time in, a plan or a block out.
//!
//! The *plan* lists the pieces that readers need within seconds, the soonest first, with the time by which the whole
//! swarm could have each. A peer with room takes the first missing block that it can still bring in time; a slow one
//! so works on a later piece and never holds up the first. Where every block of a piece is on its way, a peer that would be
//! faster than whoever is late takes that block too. Pieces that one peer brings about as soon as all together would
//! are left to librqbit: lending them out costs a second hash and gains nothing.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    ops::Range,
    time::Duration,
};

use tokio::time::Instant;

use super::{
    peers::{Peer, seconds},
    pieces::{BLOCK, Geometry, Partial, PeerKey},
    rate::UNKNOWN,
};

/// How far ahead of its reader a piece is urgent, at the rate at which the reader takes or the swarm gives.
const HORIZON: f64 = 10.0;
/// A reader that takes bytes at its own rate is a player: with less than this before it, it comes before those who take
/// whatever comes, and who lose nothing by that. Some bursts of a seed with a limit.
const RESERVE: f64 = 2.0;
/// However fast the swarm is, no more bytes are urgent.
const MOST_URGENT: u64 = 64 << 20;
/// A block may come this much later than the swarm's best, or the last blocks would find no taker. Measured by the
/// prototype: tighter starves, wider lets slow peers hold the piece up.
const SLACK: Duration = Duration::from_millis(350);
/// What a reader must gain for a piece to be taken out of librqbit's hands: less than this nobody notices.
const WORTHWHILE: f64 = 0.1;
/// Pieces that are searched for late blocks: the ones that readers wait for.
const LATE_LOOKS: usize = 2;
/// Pieces of the plan among which they are looked for.
const LATE_AMONG: usize = 8;
/// Pieces that a plan holds: where they are small, what follows is left to librqbit, or to the next plan.
const MOST_PIECES: usize = 256;
/// When a film's index is due: behind what somebody waits for or is about to, before everything that is read ahead.
const INDEX_DUE: Duration = Duration::from_millis(250);
/// How much sooner a second copy of a late block must come.
const SOONER: Duration = Duration::from_millis(100);

/// What one reader needs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Head {
    /// Offset in the torrent of the first byte that is not there.
    pub needs: u64,
    /// Where its range ends.
    pub end: u64,
    /// Bytes that it still has before it.
    pub runway: u64,
    /// Bytes a second that it takes; `None` for one that takes whatever comes.
    pub pace: Option<f64>,
}

/// A piece that a reader needs soon.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Urgent {
    /// The piece.
    pub piece: u32,
    /// When the reader would come to it, had it all bytes before.
    pub due: Instant,
    /// The reader takes whatever comes, and so needs it as soon as it can be there.
    pub hungry: bool,
    /// When the swarm could have it, after what is due before it.
    pub expected: Instant,
    /// librqbit asked for it, or for the one before it, and so will come to it.
    pub awaited: bool,
    /// It is out of turn: librqbit will not come to it before the readers do.
    pub ahead: bool,
}

impl Urgent {
    /// By when it should be there: sooner is of no use, or not to be had.
    fn wanted(&self) -> Instant {
        if self.hungry { self.expected } else { self.expected.max(self.due) }
    }
}

/// What the readers need soon, and what they wait for in spite of it.
#[derive(Debug, Default)]
pub struct Plan {
    /// To be asked for block by block, of every peer.
    pub urgent: Vec<Urgent>,
    /// The pieces at the front of which every block is asked for; to be reset where a request is taken back.
    pub settled: usize,
}

impl Plan {
    /// A piece is there.
    pub fn drop(&mut self, piece: u32) {
        if let Some(at) = self.urgent.iter().position(|urgent| urgent.piece == piece) {
            self.urgent.remove(at);
            self.settled -= usize::from(at < self.settled);
        }
    }
}

/// What a plan is made from.
pub struct Scene<'a> {
    /// How the torrent is cut.
    pub geometry: Geometry,
    /// Whether a piece is there.
    pub have: &'a dyn Fn(u32) -> bool,
    /// The pieces on their way.
    pub partials: &'a HashMap<u32, Partial>,
    /// The peers.
    pub peers: &'a BTreeMap<PeerKey, Peer>,
    /// Now.
    pub now: Instant,
}

impl Scene<'_> {
    /// Makes the plan, for readers and for what players will ask for out of turn: stretches of the torrent.
    pub fn plan(&self, heads: &[Head], indexes: &[Range<u64>]) -> Plan {
        let known = |peer| (peer, Peer::pace(peer, self.now), Peer::rate(peer, self.now));
        let open: Vec<_> = self.open().map(known).collect();
        let swarm_rate: f64 = open.iter().map(|(_, pace, _)| pace).sum();
        let mut urgent = self.needed(heads, swarm_rate.max(UNKNOWN));
        urgent.extend(indexes.iter().flat_map(|index| self.indexed(index)));
        urgent.sort_by_key(|urgent| urgent.due);
        let mut seen = HashSet::new();
        urgent.retain(|urgent| seen.insert(urgent.piece));
        urgent.truncate(MOST_PIECES);
        let mut bytes = 0.0;
        for piece in &mut urgent {
            bytes += self.remaining(piece.piece);
            piece.expected = self.now + seconds(bytes / swarm_rate.max(UNKNOWN));
        }
        // A librqbit that asks for one thing after the other comes to the rest by itself, one that is idle may not.
        let asking = open.iter().any(|(peer, ..)| peer.is_wanted());
        urgent.retain(|urgent| {
            urgent.ahead || !(urgent.awaited || asking) || self.is_worth_lending(urgent.piece, &open)
        });
        Plan { urgent, settled: 0 }
    }

    fn open(&self) -> impl Iterator<Item = &Peer> {
        self.peers.values().filter(|peer| peer.is_open()).inspect(|_| look())
    }

    fn needed(&self, heads: &[Head], swarm_rate: f64) -> Vec<Urgent> {
        let share = swarm_rate / heads.len().max(1) as f64;
        let mut needed = Vec::new();
        for head in heads {
            // A reader that is out of bytes takes whatever comes, whatever it took before.
            let own = head.pace.filter(|_| head.runway > 0);
            let (hungry, pace) = (own.is_none(), own.unwrap_or(share).max(1.0));
            let reserve = if hungry { 0.0 } else { RESERVE };
            let window = ((pace.min(share) * HORIZON) as u64).min(MOST_URGENT / heads.len() as u64);
            let piece_len = u64::from(self.geometry.piece_len);
            // The piece that is needed now, whole, and what the window holds beyond.
            let until =
                (head.needs / piece_len * piece_len + piece_len).max(head.needs + window).min(head.end);
            let pieces = (head.needs / piece_len) as u32..until.div_ceil(piece_len) as u32;
            let mut before = false;
            for piece in pieces.filter(|piece| !(self.have)(*piece)).take(MOST_PIECES) {
                let this = self.partials.get(&piece).is_some_and(|partial| !partial.awaited().is_empty());
                let awaited = this || std::mem::replace(&mut before, this);
                let ahead = (u64::from(piece) * piece_len).saturating_sub(head.needs) + head.runway;
                let due = self.now + seconds(ahead as f64 / pace - reserve);
                needed.push(Urgent { piece, due, hungry, expected: due, awaited, ahead: false });
            }
        }
        needed
    }

    fn indexed(&self, index: &Range<u64>) -> impl Iterator<Item = Urgent> {
        let piece_len = u64::from(self.geometry.piece_len);
        let pieces = (index.start / piece_len) as u32..index.end.div_ceil(piece_len) as u32;
        let due = self.now + INDEX_DUE;
        let urgent =
            move |piece| Urgent { piece, due, hungry: true, expected: due, awaited: false, ahead: true };
        pieces.filter(|piece| !(self.have)(*piece)).take(MOST_PIECES).map(urgent)
    }

    fn remaining(&self, piece: u32) -> f64 {
        match self.partials.get(&piece) {
            Some(partial) => f64::from(partial.remaining()) * f64::from(BLOCK),
            None => f64::from(self.geometry.piece_bytes(piece)),
        }
    }

    /// Whether asking everybody brings the piece noticeably sooner than leaving it to librqbit.
    fn is_worth_lending(&self, piece: u32, open: &[(&Peer, f64, Option<f64>)]) -> bool {
        let partial = self.partials.get(&piece);
        if partial.is_some_and(Partial::is_mixed) {
            return true;
        }
        let having = || open.iter().filter(|(peer, ..)| peer.has.contains(piece)).inspect(|_| look());
        let together: f64 = having().map(|(_, pace, _)| pace).sum();
        let remaining = self.remaining(piece);
        let alone = match partial.and_then(Partial::sole).and_then(|sole| self.peers.get(&sole)) {
            Some(sole) => sole.rate.per_second(self.now).filter(|_| sole.is_open()).map(|rate| {
                // Whatever else it was asked before comes first.
                (remaining + sole.asks.len() as f64 * f64::from(BLOCK)) / rate
            }),
            // librqbit asks a peer for the next piece once it has asked for all of the one before.
            None => having()
                .filter_map(|(_, _, rate)| *rate)
                .reduce(f64::max)
                .map(|fastest| (remaining + f64::from(self.geometry.piece_len)) / fastest),
        };
        alone.is_none_or(|alone| alone - remaining / together.max(1.0) > WORTHWHILE)
    }
}

/// The block of an urgent piece that this peer should bring.
pub fn pick_urgent(
    plan: &mut Plan,
    partials: &mut HashMap<u32, Partial>,
    geometry: &Geometry,
    (key, peer): (PeerKey, &Peer),
    (may_repeat, now): (bool, Instant),
) -> Option<(u32, u32)> {
    let eta = peer.eta(now);
    let (chosen, fresh) = match pick_fresh(plan, partials, geometry, (key, peer), eta) {
        Some((at, piece, index)) => (at, Some((piece, index))),
        None => (plan.urgent.len(), None),
    };
    if !may_repeat {
        return fresh;
    }
    // What a faster peer is late with comes before new work on a later piece.
    let before = plan.urgent[..chosen].iter().take(LATE_AMONG);
    let asked = before.filter(|urgent| peer.has.contains(urgent.piece)).filter_map(|urgent| {
        look();
        let partial = partials.get(&urgent.piece)?;
        (partial.missing() == 0 && !partial.is_full() && partial.is_open_to(key)).then_some((urgent, partial))
    });
    let late = |(urgent, partial): (&Urgent, &Partial)| {
        pick_late(partial, key, eta, urgent.wanted(), now).map(|index| (urgent.piece, index))
    };
    asked.take(LATE_LOOKS).find_map(late).or(fresh)
}

/// The first missing block that the peer can bring in time, and the place of its piece in the plan.
fn pick_fresh(
    plan: &mut Plan,
    partials: &mut HashMap<u32, Partial>,
    geometry: &Geometry,
    (key, peer): (PeerKey, &Peer),
    eta: Instant,
) -> Option<(usize, u32, u32)> {
    for at in plan.settled..plan.urgent.len() {
        let urgent = plan.urgent[at];
        let piece = urgent.piece;
        look();
        if partials.get(&piece).is_some_and(|partial| partial.missing() == 0) {
            // All before this one is asked for, and stays so until something is taken back.
            plan.settled += usize::from(plan.settled == at);
            continue;
        }
        if !peer.has.contains(piece) {
            continue;
        }
        let in_time = eta <= urgent.wanted() + SLACK;
        let partial = partials.get(&piece);
        // Nobody at all is worse than somebody slow.
        if partial.is_none_or(|partial| partial.is_open_to(key) && (in_time || partial.asks().is_empty())) {
            let blocks = geometry.blocks(piece);
            let partial = partials.entry(piece).or_insert_with(|| Partial::new(blocks));
            return partial.first_missing().map(|index| (at, piece, index));
        }
    }
    None
}

/// The latest block of a piece, if this peer would bring it noticeably sooner and the reader would wait for it when the
/// rest of the piece is there.
fn pick_late(partial: &Partial, key: PeerKey, eta: Instant, wanted: Instant, now: Instant) -> Option<u32> {
    let margin = SOONER.max((eta - now) / 2);
    let is_late = |outlook: Instant| outlook > wanted && outlook > eta + margin;
    let asks = partial.asks();
    let once = |index: u32| asks.iter().filter(|ask| ask.index == index).count() == 1;
    asks.iter()
        .filter(|ask| ask.of != key && is_late(ask.outlook(now)) && once(ask.index))
        .max_by_key(|ask| ask.outlook(now))
        .map(|ask| ask.index)
}

/// Something was looked at: counted in tests, which hold that a block costs the same in a large swarm.
pub fn look() {
    #[cfg(test)]
    looks::add();
}

#[cfg(test)]
pub mod looks {
    //! What was looked at to decide, on this thread.

    use std::cell::Cell;

    thread_local! { static LOOKS: Cell<u64> = const { Cell::new(0) }; }

    pub fn reset() {
        LOOKS.set(0);
    }

    pub fn count() -> u64 {
        LOOKS.get()
    }

    pub fn add() {
        LOOKS.set(LOOKS.get() + 1);
    }
}
