//! What the broker knows and decides for one torrent, without a socket, a clock or a disk of its own: events in, orders out.
//!
//! Every link reports here what its peer and librqbit say, and carries out what is ordered. A block is fetched once,
//! whoever wants it: what librqbit asks for on several links, or what a reader needs as well, waits for the one request
//! that is on the wire. librqbit is given a block right away as long as one peer alone brings its piece, so that the peer
//! that it would blame is the one to blame; a piece that several bring is hashed here first.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    net::{IpAddr, SocketAddr},
    ops::Range,
    time::Duration,
};

use tokio::time::Instant;

use super::{
    blame::{Blame, Digests},
    peers::{Asked, Peer, seconds},
    picker::{Head, Plan, Scene, look, pick_urgent},
    pieces::{Ask, BLOCK, Block, Geometry, Partial, PeerKey, Place},
};
use crate::core::{
    reach::is_inside,
    reasons::Reason,
    status::{PeerReport, PeerState},
};

/// A peer that brings nothing of what it was asked for this long is asked elsewhere.
const SILENCE: Duration = Duration::from_secs(6);
/// And after this long it is left: it holds a place that another could have.
const ABANDON: Duration = Duration::from_secs(45);
/// librqbit's requests on a link that is choked for this long are asked of others.
const CHOKED: Duration = Duration::from_secs(1);
/// One that has choked us for this long may do so for good: most clients look for somebody else to unchoke every 10 s, and
/// at random every 30.
const CHOKED_OUT: Duration = Duration::from_secs(30);
/// This many times slower than the fastest is too slow to bring evidence: at this pace a bad piece of 4 MiB, from a swarm of
/// 1 MB/s, holds a reader up for half a minute, and a stall is a minute.
const VERY_SLOW: f64 = 8.0;
/// Whoever brings evidence has this much time beside, for the first round trip and what it was asked before.
const SETTLING_IN: Duration = Duration::from_secs(3);
/// Late blocks are asked of a second peer as long as no more than this many for each peer came twice, while little is
/// known of anybody: a newcomer is asked for four, and its guessed rate is wrong for about half of them,
const FREE_REPEATS: u64 = 2;
/// (of so many peers: where there are more, somebody is fast),
const FREE_PEERS: u64 = 32;
/// and later one in so many: what comes twice stays below 3 % of the first 64 MiB, and far below of all that follows.
const REPEATS_IN: u64 = 100;
/// What librqbit gets to hash a piece that it has all blocks of.
const LIBRQBITS_TURN: Duration = Duration::from_millis(150);
/// Pieces fetched on librqbit's behalf that are searched for a missing block: those before them are about to be whole.
const ADOPTED_LOOKS: usize = 64;
/// Pieces begun and wanted by nobody that are remembered; the least recent memory is of no use.
const MOST_LEFTOVERS: usize = 256;
/// Peers that left and are remembered.
const MOST_GONE: usize = 1000;

/// What a link is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Order {
    /// Ask the peer for a block.
    Ask(Block),
    /// Take a request back.
    Cancel(Block),
    /// Give librqbit a block from disk.
    Answer(Block),
    /// Tell the peer that we are interested.
    Interest,
    /// Leave the peer.
    Leave(&'static str),
}

/// What the desk wants done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// By a link.
    Link(PeerKey, Order),
    /// Hash a piece on disk and tell [`Desk::hashed`]; with the digests of its blocks if asked, or if it is bad.
    Hash {
        /// The piece.
        piece: u32,
        /// Whether the digests are needed of a good one too.
        digests: bool,
    },
}

/// What to do with a block that came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrival {
    /// Write it, then tell [`Desk::stored`].
    Take,
    /// It is there already, or was not asked for.
    Drop,
}

/// Bytes by what became of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Written.
    pub taken: u64,
    /// Came twice, or too late, or unasked.
    pub wasted: u64,
    /// In pieces that turned out bad.
    pub bad: u64,
}

/// What is remembered of a peer that left.
#[derive(Debug, Clone, Copy)]
struct Gone {
    brought: u64,
    incoming: bool,
    listens_at: Option<SocketAddr>,
}

/// One torrent's desk.
pub struct Desk {
    geometry: Geometry,
    have: Box<dyn Fn(u32) -> bool + Send>,
    peers: BTreeMap<PeerKey, Peer>,
    partials: HashMap<u32, Partial>,
    /// Pieces that librqbit waits for and that are fetched on its behalf.
    adopted: BTreeSet<u32>,
    heads: Vec<Head>,
    indexes: Vec<Range<u64>>,
    plan: Plan,
    blame: Blame,
    banned: HashSet<SocketAddr>,
    /// Whence those of them came that had dialled us, and can do so from any port again.
    banned_hosts: HashSet<IpAddr>,
    /// What is remembered of those that left.
    gone: HashMap<SocketAddr, Gone>,
    /// Who they were: a piece may turn out bad after librqbit, which saw it first, closed the link.
    left: BTreeMap<PeerKey, SocketAddr>,
    next_key: u32,
    tally: Tally,
    /// Bytes that came in vain because we asked for them; what nobody asked for is no reason to ask less.
    repeated: u64,
    /// Requests on the wire that may come to that.
    staked: u64,
    actions: Vec<Action>,
}

impl Desk {
    /// For a torrent of which `have` tells which pieces need no fetching.
    pub fn new(geometry: Geometry, have: Box<dyn Fn(u32) -> bool + Send>) -> Self {
        Desk {
            geometry,
            have,
            peers: BTreeMap::new(),
            partials: HashMap::new(),
            adopted: BTreeSet::new(),
            heads: Vec::new(),
            indexes: Vec::new(),
            plan: Plan::default(),
            blame: Blame::default(),
            banned: HashSet::new(),
            banned_hosts: HashSet::new(),
            gone: HashMap::new(),
            left: BTreeMap::new(),
            next_key: 0,
            tally: Tally::default(),
            repeated: 0,
            staked: 0,
            actions: Vec::new(),
        }
    }

    /// What is to be done since the last call.
    pub fn take_actions(&mut self) -> Vec<Action> {
        std::mem::take(&mut self.actions)
    }

    /// Whether a peer was found to send bad blocks.
    pub fn is_banned(&self, address: SocketAddr) -> bool {
        self.banned.contains(&address) || self.banned_hosts.contains(&address.ip())
    }

    /// Whether whoever dials us from there is not let in: out there, one liar is a host's; in here, where many clients share a
    /// host, it is a connection's.
    pub fn turns_away(&self, address: SocketAddr) -> bool {
        let same_host = |banned: &SocketAddr| banned.ip() == address.ip() && !is_inside(address.ip());
        self.is_banned(address) || self.banned.iter().any(same_host)
    }

    /// A peer dialled us: where it could be dialled is not known.
    pub fn came_in(&mut self, key: PeerKey) {
        if let Some(peer) = self.peers.get_mut(&key) {
            (peer.incoming, peer.listens_at) = (true, None);
        }
    }

    /// A peer that dialled us said where it listens.
    pub fn listens_at(&mut self, key: PeerKey, port: u16) {
        if let Some(peer) = self.peers.get_mut(&key).filter(|peer| peer.incoming && port > 0) {
            peer.listens_at = Some(SocketAddr::new(peer.address.ip(), port));
        }
    }

    /// What became of all bytes.
    pub fn tally(&self) -> Tally {
        self.tally
    }

    /// The pieces that readers need within seconds and that are fetched for them, the soonest first.
    pub fn urgent(&self) -> impl Iterator<Item = u32> + '_ {
        self.plan.urgent.iter().map(|urgent| urgent.piece)
    }

    /// All peers, and those that are banned.
    pub fn peers(&self, now: Instant) -> Vec<PeerReport> {
        let awaited: Vec<u32> = self.awaited().collect();
        let there = self.peers.values().map(|peer| peer.report(&awaited, now));
        let banned = self.banned.iter().map(|address| {
            let report = PeerReport::absent(*address, PeerState::Banned, Some(Reason::Liar));
            match self.gone.get(address) {
                Some(gone) => PeerReport { received: gone.brought, incoming: gone.incoming, ..report },
                None => report,
            }
        });
        there.chain(banned).collect()
    }

    /// A peer said what it calls itself.
    pub fn introduces(&mut self, key: PeerKey, client: String) {
        if let Some(peer) = self.peers.get_mut(&key) {
            peer.client = Some(client);
        }
    }

    /// Everybody who can be dialled, brought something and never a bad block, the most first.
    pub fn bringers(&self) -> Vec<SocketAddr> {
        let gone = self.gone.values().map(|gone| (gone.listens_at, gone.brought));
        let there = self.peers.values().map(|peer| (peer.listens_at, peer.rate.total()));
        let mut brought: HashMap<SocketAddr, u64> = HashMap::new();
        for (listens_at, bytes) in gone.chain(there) {
            if let Some(address) = listens_at.filter(|_| bytes > 0) {
                *brought.entry(address).or_default() += bytes;
            }
        }
        let mut bringers: Vec<_> =
            brought.into_iter().filter(|(address, _)| !self.is_banned(*address)).collect();
        bringers.sort_by_key(|(address, bytes)| (std::cmp::Reverse(*bytes), *address));
        bringers.into_iter().map(|(address, _)| address).collect()
    }

    /// Whether a block of an unfinished piece is on disk: whoever brings it again must not write it.
    pub fn is_here(&self, block: Block) -> bool {
        let place = |partial: &Partial| matches!(partial.place(block.index), Place::Here(_));
        self.partials.get(&block.piece).is_some_and(place)
    }

    /// How many pieces are under way or remembered.
    #[cfg(test)]
    pub fn under_way(&self) -> usize {
        self.partials.len()
    }

    /// All that is known of a piece, for whoever wonders why it does not come.
    #[cfg(test)]
    pub fn describe(&self, piece: u32) -> String {
        let urgent = self.plan.urgent.iter().any(|urgent| urgent.piece == piece);
        let adopted = self.adopted.contains(&piece);
        let partial = self.partials.get(&piece);
        format!("piece {piece}, urgent {urgent}, adopted {adopted}: {partial:?}, peers {:?}", self.peers)
    }

    /// A link was made.
    pub fn join(&mut self, address: SocketAddr, now: Instant) -> PeerKey {
        self.next_key += 1;
        let key = PeerKey(self.next_key);
        self.peers.insert(key, Peer::new(address, now));
        key
    }

    /// A link is gone.
    pub fn leave(&mut self, key: PeerKey, now: Instant) {
        let Some(peer) = self.peers.remove(&key) else { return };
        self.remember(key, &peer);
        // More than it owes: of what came and was to be taken, the link's end may have come first.
        for partial in self.partials.values_mut() {
            if partial.forget(key) {
                self.plan.settled = 0;
            }
        }
        // librqbit may have got all of a piece, or not; whoever left may have seen that it was bad.
        self.hash_all(|partial| !partial.hashing && partial.is_full());
        self.fill_all(now);
    }

    fn remember(&mut self, key: PeerKey, peer: &Peer) {
        if peer.rate.total() == 0 {
            return;
        }
        if self.gone.len() < MOST_GONE || self.gone.contains_key(&peer.address) {
            let gone = self.gone.entry(peer.address).or_insert(Gone {
                brought: 0,
                incoming: peer.incoming,
                listens_at: peer.listens_at,
            });
            gone.brought += peer.rate.total();
        }
        self.left.insert(key, peer.address);
        if self.left.len() > MOST_GONE {
            self.left.pop_first();
        }
    }

    /// A peer said what it has; one that speaks of another number of pieces means another torrent, and is left.
    pub fn has_all_of(&mut self, key: PeerKey, bits: &[u8], now: Instant) {
        let Some(peer) = self.peers.get_mut(&key) else { return };
        if !peer.has.set_all(bits, self.geometry.pieces()) {
            self.order(key, Order::Leave("its bit field has the wrong length"));
            return self.leave(key, now);
        }
        self.show_interest(key);
        self.fill(key, now);
    }

    /// A peer has one piece more. Whether that is news, and so for librqbit's ears.
    pub fn has(&mut self, key: PeerKey, piece: u32, now: Instant) -> bool {
        let Some(peer) = self.peers.get_mut(&key) else { return false };
        let news = peer.has.set(piece, self.geometry.pieces());
        if news {
            self.show_interest(key);
            self.fill(key, now);
        }
        news
    }

    /// A peer said how many requests it queues.
    pub fn queues(&mut self, key: PeerKey, requests: usize) {
        if let Some(peer) = self.peers.get_mut(&key) {
            peer.queue = requests.clamp(1, 2 * super::peers::QUEUE);
        }
    }

    /// librqbit told the peer that it is interested, or that it is not any more. Whether that may be said.
    pub fn librqbit_is_interested(&mut self, key: PeerKey, interested: bool) -> bool {
        let needed = !self.plan.urgent.is_empty() || !self.adopted.is_empty();
        let Some(peer) = self.peers.get_mut(&key) else { return true };
        if !interested && needed {
            return false;
        }
        std::mem::replace(&mut peer.interested, interested) != interested
    }

    fn show_interest(&mut self, key: PeerKey) {
        let Some(peer) = self.peers.get_mut(&key) else { return };
        let useful = !peer.interested
            && (self.plan.urgent.iter().any(|urgent| peer.has.contains(urgent.piece))
                || self.adopted.iter().any(|piece| peer.has.contains(*piece)));
        if useful {
            peer.interested = true;
            self.order(key, Order::Interest);
        }
    }

    /// A peer lets us ask. Whether librqbit must hear of it, which hears of no choke: once.
    pub fn unchoked(&mut self, key: PeerKey, now: Instant) -> bool {
        let Some(peer) = self.peers.get_mut(&key).filter(|peer| !peer.is_open()) else { return false };
        peer.choking = None;
        let first = peer.choked_at.is_none();
        if !peer.is_fickle(now) {
            self.fill(key, now);
        }
        first
    }

    /// A peer does not let us ask any more, and forgets what it was asked (BEP 3).
    pub fn choked(&mut self, key: PeerKey, now: Instant) {
        let Some(peer) = self.peers.get_mut(&key).filter(|peer| peer.is_open()) else { return };
        peer.choking = Some(now);
        let fickle = peer.is_fickle(now);
        peer.choked_at = Some(now);
        self.take_back(key, now);
        if !fickle {
            self.fill_all(now);
        }
    }

    /// A peer's connection is gone, but its link stays: it may be reached anew.
    pub fn severed(&mut self, key: PeerKey, now: Instant) {
        let Some(peer) = self.peers.get_mut(&key) else { return };
        peer.sever(now);
        self.take_back(key, now);
        self.fill_all(now);
    }

    /// It was: it is told again what it was told before, and tells what it has.
    pub fn renewed(&mut self, key: PeerKey) {
        let Some(peer) = self.peers.get_mut(&key) else { return };
        peer.renew();
        if peer.interested {
            self.order(key, Order::Interest);
        }
    }

    /// Whether a reader waits for bytes, a peer is silent that could bring them, and nobody else can.
    pub fn is_missed(&self, key: PeerKey, now: Instant) -> bool {
        self.peers.get(&key).is_some_and(|peer| peer.is_silent(SILENCE, now)) && self.is_last_hope(key, now)
    }

    /// Whether a peer that left is worth waiting for: it brought something, and nobody else brings what a reader waits for.
    pub fn is_worth_waiting_for(&self, key: PeerKey, now: Instant) -> bool {
        let brought = |peer: &Peer| peer.rate.total() > 0 && !self.is_banned(peer.address);
        self.peers.get(&key).is_some_and(brought) && self.is_last_hope(key, now)
    }

    /// Whether a reader waits for a piece that nobody but this peer might bring.
    fn is_last_hope(&self, key: PeerKey, now: Instant) -> bool {
        let brings = |peer: &Peer, piece| {
            peer.is_open() && !peer.silenced && !peer.is_silent(SILENCE, now) && peer.has.contains(piece)
        };
        let others = || self.peers.iter().filter(|(other, _)| **other != key);
        self.awaited().any(|piece| !others().any(|(_, peer)| brings(peer, piece)))
    }

    /// Whether a reader waits for a piece that nobody might bring: whoever is connected lacks it, is silent, or has let us
    /// ask for nothing for long.
    pub fn is_deserted(&self, now: Instant) -> bool {
        let might = |peer: &Peer, piece| {
            let talks = !peer.severed && !peer.silenced && !peer.is_silent(SILENCE, now);
            talks && peer.choking.is_none_or(|since| now - since < CHOKED_OUT) && peer.has.contains(piece)
        };
        self.awaited().any(|piece| !self.peers.values().any(|peer| might(peer, piece)))
    }

    /// The pieces that readers wait for.
    fn awaited(&self) -> impl Iterator<Item = u32> {
        let waiting = self.heads.iter().filter(|head| head.needs < head.end);
        let pieces = waiting.map(|head| (head.needs / u64::from(self.geometry.piece_len)) as u32);
        pieces.filter(|piece| !(self.have)(*piece))
    }

    /// What a peer was asked is asked of nobody again.
    fn take_back(&mut self, key: PeerKey, now: Instant) {
        let Some(peer) = self.peers.get_mut(&key) else { return };
        for Asked { block, .. } in std::mem::take(&mut peer.asks) {
            if let Some(partial) = self.partials.get_mut(&block.piece) {
                partial.unask(block.index, key);
                self.plan.settled = 0;
            }
            if peer.waiting.remove(&block) {
                peer.fresh.push_back(block);
            }
        }
        peer.rate.rest(now);
    }

    /// librqbit wants a block on this link.
    pub fn wanted(&mut self, key: PeerKey, block: Block, now: Instant) {
        self.want(key, block);
        self.fill(key, now);
    }

    fn want(&mut self, key: PeerKey, block: Block) {
        if (self.have)(block.piece) {
            return self.order(key, Order::Answer(block));
        }
        let Some(peer) = self.peers.get_mut(&key) else { return };
        let blocks = self.geometry.blocks(block.piece);
        let partial = self.partials.entry(block.piece).or_insert_with(|| Partial::new(blocks));
        partial.await_on(key);
        match partial.place(block.index) {
            Place::Here(_) if partial.sole() == Some(key) => {
                partial.note_answered();
                self.order(key, Order::Answer(block));
            }
            Place::Asked if partial.sole() == Some(key) => drop(peer.waiting.insert(block)),
            Place::Missing if partial.is_for(key) && peer.has.contains(block.piece) => {
                peer.fresh.push_back(block);
            }
            _ => self.adopt(key, block),
        }
    }

    /// A request of librqbit's waits until its piece is verified, and the piece is seen to.
    fn adopt(&mut self, key: PeerKey, block: Block) {
        let blocks = self.geometry.blocks(block.piece);
        let partial = self.partials.entry(block.piece).or_insert_with(|| Partial::new(blocks));
        partial.hold(key, block.index);
        self.adopted.insert(block.piece);
        if partial.is_full() {
            self.hash(block.piece);
        }
    }

    /// librqbit takes a request back. What is on the wire for it stays: somebody will want the block.
    pub fn unwanted(&mut self, key: PeerKey, block: Block) {
        if let Some(peer) = self.peers.get_mut(&key) {
            peer.fresh.retain(|fresh| *fresh != block);
            peer.waiting.remove(&block);
        }
        if let Some(partial) = self.partials.get_mut(&block.piece) {
            partial.release(key, block.index);
        }
    }

    /// A block came from a peer.
    pub fn arrived(&mut self, key: PeerKey, block: Block, now: Instant) -> Arrival {
        let bytes = u64::from(self.geometry.block_bytes(block));
        let Some(peer) = self.peers.get_mut(&key) else { return Arrival::Drop };
        let asked = peer.answer(block, bytes, now);
        let in_vain = asked || peer.excuse();
        if asked {
            self.trust_again(key, now);
        }
        let partial = self.partials.get(&block.piece).filter(|_| !(self.have)(block.piece));
        let welcome = |partial: &Partial| {
            !matches!(partial.place(block.index), Place::Here(_))
                && !partial.hashing
                && partial.is_open_to(key)
        };
        if asked && partial.is_some_and(welcome) {
            return Arrival::Take;
        }
        self.tally.wasted += bytes;
        if in_vain {
            self.repeated += bytes;
        }
        if asked {
            self.fill(key, now);
        }
        Arrival::Drop
    }

    /// A block that was to be taken is on disk. Whether librqbit may have it right away, as it came.
    pub fn stored(&mut self, key: PeerKey, block: Block, now: Instant) -> bool {
        self.tally.taken += u64::from(self.geometry.block_bytes(block));
        let Some(partial) = self.partials.get_mut(&block.piece) else { return false };
        for late in partial.arrive(block.index, key) {
            self.actions.push(Action::Link(late, Order::Cancel(block)));
            if let Some(peer) = self.peers.get_mut(&late) {
                peer.cancel(block, now);
                if peer.waiting.remove(&block) {
                    partial.hold(late, block.index);
                    self.adopted.insert(block.piece);
                }
            }
        }
        let wanted = self.peers.get_mut(&key).is_some_and(|peer| peer.waiting.remove(&block));
        let at_once = wanted && partial.sole() == Some(key);
        if at_once {
            partial.note_answered();
        } else if wanted {
            partial.hold(key, block.index);
            self.adopted.insert(block.piece);
        }
        if partial.is_full() {
            partial.full_since = Some(now);
            if !partial.is_librqbits() {
                self.hash(block.piece);
            }
        }
        self.fill(key, now);
        at_once
    }

    fn hash(&mut self, piece: u32) {
        if let Some(partial) = self.partials.get_mut(&piece)
            && !std::mem::replace(&mut partial.hashing, true)
        {
            self.actions.push(Action::Hash { piece, digests: self.blame.is_open(piece) });
        }
    }

    /// A piece was hashed: whether it is right, and the digests of its blocks if they were asked for or it is bad.
    pub fn hashed(&mut self, piece: u32, right: bool, digests: &Digests, now: Instant) {
        // A piece stays as it is while it is hashed; without one, the question was only who had lied.
        let hashed = self.partials.get(&piece).filter(|partial| partial.hashing && partial.is_full());
        if right {
            let senders = hashed.map(Partial::senders).unwrap_or_default();
            let liars = self.blame.acquit(piece, digests, &senders);
            self.completed(piece, now);
            self.convict(liars, now);
        } else if hashed.is_some() {
            self.blame_for(piece, digests, now);
            self.refresh(now);
        }
    }

    /// A piece is verified, by whomever: every request of librqbit's for it is answered.
    pub fn completed(&mut self, piece: u32, now: Instant) {
        self.adopted.remove(&piece);
        self.plan.drop(piece);
        if self.blame.is_open(piece) {
            // librqbit saw that it is good; who had lied about it is still to be found out.
            self.actions.push(Action::Hash { piece, digests: true });
        }
        let Some(partial) = self.partials.remove(&piece) else { return };
        let block = |index| Block { piece, index };
        for &(link, index) in partial.held() {
            self.actions.push(Action::Link(link, Order::Answer(block(index))));
        }
        let freed: Vec<PeerKey> = partial.asks().iter().map(|ask| ask.of).collect();
        for ask in partial.asks() {
            self.actions.push(Action::Link(ask.of, Order::Cancel(block(ask.index))));
            if let Some(peer) = self.peers.get_mut(&ask.of) {
                peer.cancel(block(ask.index), now);
            }
        }
        for &key in partial.awaited() {
            let Some(peer) = self.peers.get_mut(&key) else { continue };
            let answers = peer.take_wants(piece).into_iter();
            self.actions.extend(answers.map(|block| Action::Link(key, Order::Answer(block))));
        }
        freed.into_iter().for_each(|key| self.fill(key, now));
    }

    fn blame_for(&mut self, piece: u32, digests: &Digests, now: Instant) {
        let Some(partial) = self.partials.get_mut(&piece) else { return };
        self.tally.bad += u64::from(self.geometry.piece_bytes(piece));
        let senders = partial.senders();
        let unique: BTreeSet<PeerKey> = senders.iter().copied().collect();
        for key in &unique {
            if let Some(peer) = self.peers.get_mut(key) {
                peer.suspect = true;
            }
        }
        self.reset(piece, None, now);
        self.blame.accuse(piece, digests, &senders);
        self.adopted.insert(piece);
        if let (1, Some(liar)) = (unique.len(), unique.first()) {
            self.convict(vec![*liar], now);
        }
        self.choose_parole(piece, now);
    }

    /// One peer alone brings the next copy of a bad piece, so that its blocks tell who lied: one that did not fail to
    /// before, or the longest ago, that is not suspected unless the others are very slow, and the fastest of these.
    fn choose_parole(&mut self, piece: u32, now: Instant) {
        let Some(partial) = self.partials.get(&piece) else { return };
        let able = || self.peers.iter().filter(|(_, peer)| peer.is_open() && peer.has.contains(piece));
        let fastest = able().map(|(_, peer)| peer.pace(now)).fold(0.0, f64::max);
        let rank = |key: PeerKey, peer: &Peer| {
            let pace = peer.pace(now);
            (std::cmp::Reverse(partial.tried(key)), !peer.suspect && pace * VERY_SLOW > fastest, pace)
        };
        let best = able().max_by(|(one_key, one), (other_key, other)| {
            let order = rank(**one_key, one).partial_cmp(&rank(**other_key, other));
            order.unwrap_or(std::cmp::Ordering::Equal)
        });
        let best = best.map(|(key, _)| *key);
        self.reset(piece, best, now);
    }

    /// A piece all over again: what is on the wire for it is taken back, and librqbit waits until it is verified.
    fn reset(&mut self, piece: u32, parole: Option<PeerKey>, now: Instant) {
        let Some(partial) = self.partials.get_mut(&piece) else { return };
        for (key, block) in partial.asks().iter().map(|ask| (ask.of, Block { piece, index: ask.index })) {
            self.actions.push(Action::Link(key, Order::Cancel(block)));
            if let Some(peer) = self.peers.get_mut(&key) {
                peer.cancel(block, now);
            }
        }
        partial.reset(parole, now);
        self.plan.settled = 0;
        for key in partial.awaited().to_vec() {
            let Some(peer) = self.peers.get_mut(&key) else { continue };
            peer.take_wants(piece).into_iter().for_each(|block| partial.hold(key, block.index));
        }
        self.adopted.insert(piece);
    }

    fn convict(&mut self, liars: Vec<PeerKey>, now: Instant) {
        for key in liars {
            let here = self.peers.get(&key).map(|peer| peer.address);
            let Some(address) = here.or_else(|| self.left.get(&key).copied()) else { continue };
            self.ban(address);
            for key in self.peers_that(|peer| match peer.incoming {
                true => self.turns_away(peer.address),
                false => self.is_banned(peer.address),
            }) {
                self.order(key, Order::Leave("it sent bad blocks"));
                self.leave(key, now);
            }
        }
        if self.blame.is_settled() {
            self.peers.values_mut().for_each(|peer| peer.suspect = false);
        }
    }

    fn ban(&mut self, address: SocketAddr) {
        let here = self.peers.values().find(|peer| peer.address == address);
        let known = here.map(|peer| (peer.incoming, peer.listens_at));
        let gone = self.gone.get(&address).map(|gone| (gone.incoming, gone.listens_at));
        if let Some((true, listens_at)) = known.or(gone) {
            self.banned_hosts.extend(Some(address.ip()).filter(|host| !is_inside(*host)));
            self.banned.extend(listens_at);
        }
        if self.banned.insert(address) {
            tracing::info!("peer {address} sent bad blocks and is dropped");
        }
    }

    /// Where the readers are now.
    pub fn set_heads(&mut self, heads: Vec<Head>, now: Instant) {
        // What is urgent changes with the piece that is needed next; the rest the next tick will see.
        let place = |head: &Head| (head.needs / u64::from(self.geometry.piece_len), head.end);
        let moved = !heads.iter().map(place).eq(self.heads.iter().map(place));
        self.heads = heads;
        if moved {
            self.refresh(now);
        }
    }

    /// What players will ask for out of turn: stretches of the torrent.
    pub fn set_indexes(&mut self, indexes: Vec<Range<u64>>, now: Instant) {
        if indexes != self.indexes {
            self.indexes = indexes;
            self.refresh(now);
        }
    }

    /// Looks at the clock: to be called several times a second.
    pub fn tick(&mut self, now: Instant) {
        for key in self.peers_that(|peer| peer.is_silent(SILENCE, now)) {
            self.give_up_on(key, now);
        }
        self.rescue_choked(now);
        self.renew_parole(now);
        self.settle_full(now);
        self.drop_leftovers();
        self.refresh(now);
    }

    /// A silent peer: what it was asked is asked elsewhere; what still comes is welcome.
    fn give_up_on(&mut self, key: PeerKey, now: Instant) {
        let Some(peer) = self.peers.get(&key) else { return };
        if peer.is_silent(ABANDON, now) && !self.is_last_hope(key, now) {
            self.order(key, Order::Leave("it was silent for too long"));
            return self.leave(key, now);
        }
        for Asked { block, .. } in &peer.asks {
            if let Some(partial) = self.partials.get_mut(&block.piece) {
                partial.unask(block.index, key);
                self.plan.settled = 0;
            }
        }
        if let Some(peer) = self.peers.get_mut(&key) {
            peer.silenced = true;
        }
    }

    /// A silent peer spoke: what it still owes counts as asked of it again, but for what others brought or bring.
    fn trust_again(&mut self, key: PeerKey, now: Instant) {
        let Some(peer) = self.peers.get_mut(&key).filter(|peer| peer.silenced) else { return };
        peer.silenced = false;
        let owed: Vec<Block> = peer.asks.iter().map(|asked| asked.block).collect();
        for block in owed {
            let Some(peer) = self.peers.get_mut(&key) else { return };
            let expected = peer.eta(now);
            match self.partials.get_mut(&block.piece) {
                Some(partial) if partial.place(block.index) == Place::Missing && partial.is_open_to(key) => {
                    partial.ask(Ask { index: block.index, of: key, at: now, expected });
                }
                Some(partial)
                    if partial.asks().iter().any(|ask| ask.index == block.index && ask.of == key) => {}
                _ => {
                    peer.cancel(block, now);
                    self.order(key, Order::Cancel(block));
                }
            }
        }
    }

    fn rescue_choked(&mut self, now: Instant) {
        let stuck = |peer: &Peer| {
            let choked = peer.choking.is_some_and(|since| now - since > CHOKED);
            choked || peer.is_silent(SILENCE, now)
        };
        for key in self.peers_that(stuck) {
            let Some(peer) = self.peers.get_mut(&key) else { continue };
            let wants: Vec<Block> = peer.fresh.drain(..).chain(peer.waiting.drain()).collect();
            for block in wants {
                match (self.have)(block.piece) {
                    true => self.order(key, Order::Answer(block)),
                    false => self.adopt(key, block),
                }
            }
        }
    }

    fn order(&mut self, key: PeerKey, order: Order) {
        self.actions.push(Action::Link(key, order));
    }

    fn peers_that(&self, are: impl Fn(&Peer) -> bool) -> Vec<PeerKey> {
        self.peers.iter().filter(|(_, peer)| are(peer)).map(|(key, _)| *key).collect()
    }

    /// In order, whatever the map's.
    fn pieces_that(&self, are: impl Fn(&Partial) -> bool) -> BTreeSet<u32> {
        self.partials.iter().filter(|(_, partial)| are(partial)).map(|(piece, _)| *piece).collect()
    }

    fn hash_all(&mut self, are: impl Fn(&Partial) -> bool) {
        self.pieces_that(are).into_iter().for_each(|piece| self.hash(piece));
    }

    /// Puts somebody else on parole where whoever is does not bring the piece. What is being hashed stays as it is: it may
    /// be verified at any moment.
    fn renew_parole(&mut self, now: Instant) {
        let failing = self.partials.iter().filter(|(piece, partial)| {
            let unguarded = partial.parole().is_none() && self.blame.is_open(**piece);
            !partial.hashing && (unguarded || self.fails_parole(**piece, partial, now))
        });
        let failing: BTreeSet<u32> = failing.map(|(piece, _)| *piece).collect();
        failing.into_iter().for_each(|piece| self.choose_parole(piece, now));
    }

    /// Whether the peer on parole is gone, silent, or takes far longer than another one would. With each turn there is more
    /// time, so that nobody who only seems to be fast can cut everybody else's short for ever.
    fn fails_parole(&self, piece: u32, partial: &Partial, now: Instant) -> bool {
        let Some((key, since, turns)) = partial.on_parole(now) else { return false };
        let Some(peer) = self.peers.get(&key).filter(|peer| peer.is_open()) else { return true };
        if peer.rate.silent(now) > SETTLING_IN {
            return true;
        }
        let able =
            |(other, peer): &(&PeerKey, &Peer)| **other != key && peer.is_open() && peer.has.contains(piece);
        let rates = self.peers.iter().filter(able).filter_map(|(_, peer)| peer.rate(now));
        let fastest = rates.fold(0.0, f64::max);
        let elsewhere = seconds(f64::from(self.geometry.piece_bytes(piece)) / fastest * VERY_SLOW);
        since > (SETTLING_IN + elsewhere) * (1 + turns)
    }

    /// librqbit hashes what it got at once; a full piece that it does not verify in time is hashed here.
    fn settle_full(&mut self, now: Instant) {
        let waited = |since: Instant| now - since > LIBRQBITS_TURN;
        self.hash_all(|partial| !partial.hashing && partial.full_since.is_some_and(waited));
    }

    fn drop_leftovers(&mut self) {
        if self.partials.len() < MOST_LEFTOVERS + self.plan.urgent.len() {
            return;
        }
        let wanted: HashSet<u32> = self
            .peers
            .values()
            .flat_map(|peer| peer.fresh.iter().chain(&peer.waiting))
            .map(|block| block.piece)
            .collect();
        let urgent: HashSet<u32> = self.urgent().collect();
        let adopted = &self.adopted;
        self.partials.retain(|piece, partial| {
            !partial.asks().is_empty()
                || partial.hashing
                || wanted.contains(piece)
                || urgent.contains(piece)
                || adopted.contains(piece)
        });
    }

    /// Makes the plan anew, and asks every peer with room.
    fn refresh(&mut self, now: Instant) {
        let scene = Scene {
            geometry: self.geometry,
            have: &self.have,
            partials: &self.partials,
            peers: &self.peers,
            now,
        };
        self.plan = scene.plan(&self.heads, &self.indexes);
        let under_way = self.plan.urgent.iter().filter_map(|urgent| self.partials.get(&urgent.piece));
        self.staked = under_way.map(|partial| partial.repeats() as u64).sum();
        self.peers_that(|peer| !peer.interested).into_iter().for_each(|key| self.show_interest(key));
        self.fill_all(now);
    }

    fn fill_all(&mut self, now: Instant) {
        let mut keys: Vec<(PeerKey, f64)> = self
            .peers
            .iter()
            .filter(|(_, peer)| peer.has_room(now))
            .map(|(key, peer)| (*key, peer.pace(now)))
            .collect();
        // The fastest choose first.
        keys.sort_by(|(_, one), (_, other)| other.total_cmp(one));
        keys.into_iter().for_each(|(key, _)| self.fill(key, now));
    }

    /// Asks a peer for what it should bring, as far as it has room.
    fn fill(&mut self, key: PeerKey, now: Instant) {
        while self.peers.get(&key).is_some_and(|peer| peer.has_room(now))
            && let Some(block) = self.pick(key, now)
        {
            self.ask(key, block, now);
        }
    }

    fn pick(&mut self, key: PeerKey, now: Instant) -> Option<Block> {
        let peer = self.peers.get(&key)?;
        let scene = (self.may_repeat(), now);
        let urgent = pick_urgent(&mut self.plan, &mut self.partials, &self.geometry, (key, peer), scene);
        if let Some((piece, index)) = urgent {
            return Some(Block { piece, index });
        }
        self.pick_wanted(key).or_else(|| self.pick_adopted(key))
    }

    /// Whether another copy of a late block is still worth its bytes.
    fn may_repeat(&self) -> bool {
        let free = FREE_REPEATS * FREE_PEERS.min(self.peers.len() as u64);
        let allowed = free * u64::from(BLOCK) + self.tally.taken / REPEATS_IN;
        self.repeated + self.staked * u64::from(BLOCK) < allowed
    }

    /// What librqbit wants of this very peer.
    fn pick_wanted(&mut self, key: PeerKey) -> Option<Block> {
        loop {
            let block = self.peers.get_mut(&key)?.fresh.pop_front()?;
            let Some(partial) = self.partials.get(&block.piece) else {
                self.want(key, block);
                // Answered, or the piece was forgotten: then it is back in the queue.
                continue;
            };
            let peer = self.peers.get_mut(&key)?;
            let is_missing = partial.is_for(key) && partial.place(block.index) == Place::Missing;
            // One that was greeted anew may not have what it had before.
            if is_missing && peer.has.contains(block.piece) {
                peer.waiting.insert(block);
                return Some(block);
            }
            self.want(key, block);
        }
    }

    /// What librqbit waits for on any link.
    fn pick_adopted(&mut self, key: PeerKey) -> Option<Block> {
        let peer = self.peers.get(&key)?;
        let having = self.adopted.iter().copied().filter(|piece| peer.has.contains(*piece));
        for piece in having.take(ADOPTED_LOOKS) {
            look();
            let Some(partial) = self.partials.get_mut(&piece) else { continue };
            if partial.is_open_to(key)
                && let Some(index) = partial.first_missing()
            {
                return Some(Block { piece, index });
            }
        }
        None
    }

    fn ask(&mut self, key: PeerKey, block: Block, now: Instant) {
        let Some(peer) = self.peers.get_mut(&key) else { return };
        let expected = peer.eta(now);
        peer.ask(block, now);
        if let Some(partial) = self.partials.get_mut(&block.piece) {
            self.staked += u64::from(partial.place(block.index) == Place::Asked);
            partial.ask(Ask { index: block.index, of: key, at: now, expected });
        }
        self.order(key, Order::Ask(block));
    }
}

#[cfg(all(test, feature = "models"))]
impl Desk {
    /// Whether nobody owes anybody anything.
    pub fn is_at_rest(&self) -> bool {
        let owes = |peer: &Peer| !peer.asks.is_empty() || peer.is_wanted();
        self.partials.is_empty() && self.adopted.is_empty() && !self.peers.values().any(owes)
    }

    /// What a peer is asked for.
    pub fn asked(&self, key: PeerKey) -> BTreeSet<Block> {
        let asks = self.peers.get(&key).map(|peer| peer.asks.iter().map(|asked| asked.block));
        asks.into_iter().flatten().collect()
    }

    /// What counts as asked for or as owed is so by links that are there.
    pub fn assert_sound(&self) {
        for (piece, partial) in &self.partials {
            let links = partial.held().iter().map(|(link, _)| link).chain(partial.awaited());
            for link in partial.asks().iter().map(|ask| &ask.of).chain(links) {
                assert!(self.peers.contains_key(link), "{link:?} is gone: {}", self.describe(*piece));
            }
        }
    }
}

#[cfg(test)]
mod tests;
