//! A piece on its way: which of its blocks are missing, asked for or on disk, who sent them, and which of librqbit's
//! requests wait for it.

use std::time::Duration;

use tokio::time::Instant;

pub use crate::core::metainfo::BLOCK;

/// A link, by number; never given out twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerKey(pub u32);

/// One block of the torrent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Block {
    /// The piece.
    pub piece: u32,
    /// Which of its blocks, from 0.
    pub index: u32,
}

impl Block {
    /// Offset in the piece.
    pub fn begin(self) -> u32 {
        self.index * BLOCK
    }
}

/// How a torrent is cut.
#[derive(Debug, Clone, Copy)]
pub struct Geometry {
    /// Bytes of every piece but the last.
    pub piece_len: u32,
    /// Bytes of them all.
    pub total_len: u64,
}

impl Geometry {
    /// How many pieces there are.
    pub fn pieces(&self) -> u32 {
        self.total_len.div_ceil(u64::from(self.piece_len)) as u32
    }

    /// Bytes of one piece.
    pub fn piece_bytes(&self, piece: u32) -> u32 {
        let start = u64::from(piece) * u64::from(self.piece_len);
        u64::from(self.piece_len).min(self.total_len.saturating_sub(start)) as u32
    }

    /// Blocks of one piece.
    pub fn blocks(&self, piece: u32) -> u32 {
        self.piece_bytes(piece).div_ceil(BLOCK)
    }

    /// Bytes of one block; 0 when there is no such block.
    pub fn block_bytes(&self, block: Block) -> u32 {
        let begin = u64::from(block.index) * u64::from(BLOCK);
        u64::from(BLOCK).min(u64::from(self.piece_bytes(block.piece)).saturating_sub(begin)) as u32
    }

    /// Where a block begins in the torrent.
    pub fn start_of(&self, block: Block) -> u64 {
        u64::from(block.piece) * u64::from(self.piece_len) + u64::from(block.begin())
    }

    /// The block that holds a byte of the torrent.
    pub fn block_at(&self, offset: u64) -> Block {
        let piece_len = u64::from(self.piece_len);
        Block { piece: (offset / piece_len) as u32, index: (offset % piece_len) as u32 / BLOCK }
    }

    /// The block that a request or an answer names, if it is one.
    pub fn block(&self, piece: u32, begin: u32, len: u32) -> Option<Block> {
        let block = Block { piece, index: begin / BLOCK };
        (begin.is_multiple_of(BLOCK) && len > 0 && self.block_bytes(block) == len).then_some(block)
    }
}

/// Where a block is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Nowhere yet.
    Missing,
    /// On the wire, from at least one peer.
    Asked,
    /// On disk, from this peer.
    Here(PeerKey),
}

/// A request on the wire.
#[derive(Debug, Clone, Copy)]
pub struct Ask {
    /// Block of the piece.
    pub index: u32,
    /// Of whom.
    pub of: PeerKey,
    /// Since when.
    pub at: Instant,
    /// When it was expected, as its peer was known then.
    pub expected: Instant,
}

impl Ask {
    /// When it can be expected as of now: one that is late will take as long again as it already took.
    pub fn outlook(&self, now: Instant) -> Instant {
        if now < self.expected { self.expected } else { now + (now - self.at) }
    }
}

/// One piece on its way.
#[derive(Debug)]
pub struct Partial {
    places: Vec<Place>,
    asks: Vec<Ask>,
    /// librqbit's requests that are answered once the piece is verified: whose link, which block.
    held: Vec<(PeerKey, u32)>,
    /// No block below is missing.
    cursor: u32,
    missing: u32,
    here: u32,
    /// Blocks that librqbit got right away.
    answered: u32,
    /// Who alone was asked for it, so far.
    sole: Option<PeerKey>,
    mixed: bool,
    /// Only this peer may be asked, since then: an earlier copy was bad.
    parole: Option<(PeerKey, Instant)>,
    /// Who was on parole before and did not bring it, the latest last.
    tried: Vec<PeerKey>,
    /// How often somebody was.
    turns: u32,
    /// Its hash is being looked at.
    pub hashing: bool,
    /// The links on which librqbit asked for some of it.
    awaited: Vec<PeerKey>,
    /// Since when all of it is on disk.
    pub full_since: Option<Instant>,
}

impl Partial {
    /// Nothing asked yet.
    pub fn new(blocks: u32) -> Self {
        Partial {
            places: vec![Place::Missing; blocks as usize],
            asks: Vec::new(),
            held: Vec::new(),
            cursor: 0,
            missing: blocks,
            here: 0,
            answered: 0,
            sole: None,
            mixed: false,
            parole: None,
            tried: Vec::new(),
            turns: 0,
            hashing: false,
            awaited: Vec::new(),
            full_since: None,
        }
    }

    /// Where a block is.
    pub fn place(&self, index: u32) -> Place {
        self.places[index as usize]
    }

    /// Blocks that nobody was asked for.
    pub fn missing(&self) -> u32 {
        self.missing
    }

    /// Blocks that are not on disk.
    pub fn remaining(&self) -> u32 {
        self.places.len() as u32 - self.here
    }

    /// Whether all of it is on disk.
    pub fn is_full(&self) -> bool {
        self.here == self.places.len() as u32
    }

    /// Whether this peer alone may go on with it.
    pub fn is_for(&self, peer: PeerKey) -> bool {
        !self.mixed && self.parole.is_none() && self.sole.is_none_or(|sole| sole == peer)
    }

    /// Whether this peer may bring some of it.
    pub fn is_open_to(&self, peer: PeerKey) -> bool {
        self.parole().is_none_or(|on_parole| on_parole == peer)
    }

    /// Whether several peers bring it.
    pub fn is_mixed(&self) -> bool {
        self.mixed
    }

    /// Who alone was asked for all of it so far.
    pub fn sole(&self) -> Option<PeerKey> {
        self.sole.filter(|_| !self.mixed)
    }

    /// The first block that nobody was asked for.
    pub fn first_missing(&mut self) -> Option<u32> {
        if self.missing == 0 {
            return None;
        }
        while self.places[self.cursor as usize] != Place::Missing {
            self.cursor += 1;
        }
        Some(self.cursor)
    }

    /// Requests on the wire.
    pub fn asks(&self) -> &[Ask] {
        &self.asks
    }

    /// Requests on the wire for blocks that another peer is asked for as well.
    pub fn repeats(&self) -> usize {
        let asked = self.places.len() as u32 - self.missing - self.here;
        self.asks.len() - asked as usize
    }

    /// A peer is asked for a block.
    pub fn ask(&mut self, ask: Ask) {
        let place = &mut self.places[ask.index as usize];
        if *place == Place::Missing {
            *place = Place::Asked;
            self.missing -= 1;
        }
        self.asks.push(ask);
        self.touch(ask.of);
    }

    fn touch(&mut self, peer: PeerKey) {
        match self.sole {
            None => self.sole = Some(peer),
            Some(sole) => self.mixed |= sole != peer,
        }
    }

    /// A peer will not bring a block after all.
    pub fn unask(&mut self, index: u32, of: PeerKey) {
        self.asks.retain(|ask| ask.index != index || ask.of != of);
        self.settle(index);
    }

    fn settle(&mut self, index: u32) {
        let asked = self.asks.iter().any(|ask| ask.index == index);
        if self.places[index as usize] == Place::Asked && !asked {
            self.places[index as usize] = Place::Missing;
            self.missing += 1;
            self.cursor = self.cursor.min(index);
        }
        if self.here == 0 && self.asks.is_empty() {
            self.sole = None;
        }
    }

    /// A block is on disk; the other peers that were asked for it.
    pub fn arrive(&mut self, index: u32, from: PeerKey) -> Vec<PeerKey> {
        let place = &mut self.places[index as usize];
        match place {
            Place::Here(_) => return Vec::new(),
            Place::Missing => (self.missing, self.here) = (self.missing - 1, self.here + 1),
            Place::Asked => self.here += 1,
        }
        *place = Place::Here(from);
        self.touch(from);
        let mut late = Vec::new();
        self.asks.retain(|ask| {
            let other = ask.index == index;
            if other && ask.of != from {
                late.push(ask.of);
            }
            !other
        });
        late
    }

    /// librqbit got a block right away.
    pub fn note_answered(&mut self) {
        self.answered += 1;
    }

    /// Whether librqbit has all of it from one peer and will see to the hash itself.
    pub fn is_librqbits(&self) -> bool {
        self.sole().is_some() && self.answered >= self.places.len() as u32
    }

    /// A request of librqbit's waits.
    pub fn hold(&mut self, link: PeerKey, index: u32) {
        if !self.held.contains(&(link, index)) {
            self.held.push((link, index));
        }
    }

    /// librqbit took a request back; whether it waited here.
    pub fn release(&mut self, link: PeerKey, index: u32) -> bool {
        let before = self.held.len();
        self.held.retain(|held| *held != (link, index));
        self.held.len() < before
    }

    /// A link is gone: what was asked of its peer, and librqbit's requests on it. Whether anything was asked.
    pub fn forget(&mut self, link: PeerKey) -> bool {
        self.held.retain(|(other, _)| *other != link);
        self.awaited.retain(|other| *other != link);
        let asked: Vec<u32> = self.asks.extract_if(.., |ask| ask.of == link).map(|ask| ask.index).collect();
        asked.iter().for_each(|index| self.settle(*index));
        !asked.is_empty()
    }

    /// librqbit asks for some of it on a link.
    pub fn await_on(&mut self, link: PeerKey) {
        if !self.awaited.contains(&link) {
            self.awaited.push(link);
        }
    }

    /// The links on which librqbit asked for some of it.
    pub fn awaited(&self) -> &[PeerKey] {
        &self.awaited
    }

    /// librqbit's requests that wait.
    pub fn held(&self) -> &[(PeerKey, u32)] {
        &self.held
    }

    /// Who sent each block of a full piece.
    pub fn senders(&self) -> Vec<PeerKey> {
        let here = |place: &Place| match place {
            Place::Here(from) => Some(*from),
            _ => None,
        };
        self.places.iter().filter_map(here).collect()
    }

    /// When among all others a peer was on parole, now or before, and did not bring it.
    pub fn tried(&self, peer: PeerKey) -> Option<usize> {
        if self.parole() == Some(peer) {
            return Some(self.tried.len());
        }
        self.tried.iter().position(|tried| *tried == peer)
    }

    /// The only peer that may be asked, if an earlier copy was bad.
    pub fn parole(&self) -> Option<PeerKey> {
        self.parole.map(|(peer, _)| peer)
    }

    /// How long the peer on parole has been, and how many others were before.
    pub fn on_parole(&self, now: Instant) -> Option<(PeerKey, Duration, u32)> {
        self.parole.map(|(peer, since)| (peer, now - since, self.turns))
    }

    /// The copy on disk was bad, or does not come: all over again.
    pub fn reset(&mut self, parole: Option<PeerKey>, now: Instant) {
        if let Some(before) = self.parole() {
            self.tried.retain(|tried| *tried != before);
            self.tried.push(before);
            self.turns += 1;
        }
        self.places.fill(Place::Missing);
        self.asks.clear();
        (self.cursor, self.missing, self.here) = (0, self.places.len() as u32, 0);
        // What librqbit was given of the bad copy it will hash again on disk, and the copy there will be a good one.
        (self.sole, self.mixed) = (None, true);
        self.parole = parole.map(|peer| (peer, now));
        (self.hashing, self.full_since) = (false, None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: PeerKey = PeerKey(1);
    const B: PeerKey = PeerKey(2);

    fn ask(index: u32, of: PeerKey, now: Instant) -> Ask {
        Ask { index, of, at: now, expected: now }
    }

    #[test]
    fn blocks_are_found_by_what_the_wire_says_and_nothing_else_is() {
        let geometry = Geometry { piece_len: 40_000, total_len: 100_000 };
        assert_eq!(geometry.pieces(), 3);
        assert_eq!((geometry.blocks(0), geometry.blocks(2)), (3, 2));
        assert_eq!(geometry.block(0, 32_768, 7232), Some(Block { piece: 0, index: 2 }));
        assert_eq!(geometry.block(2, 16_384, 3616), Some(Block { piece: 2, index: 1 }));
        for (piece, begin, len) in [(0, 1, 16_384), (0, 0, 16_383), (0, 49_152, 1), (3, 0, 16_384), (0, 0, 0)]
        {
            assert_eq!(geometry.block(piece, begin, len), None, "{piece} {begin} {len}");
        }
    }

    #[test]
    fn blocks_are_found_by_where_they_are() {
        let geometry = Geometry { piece_len: 40_000, total_len: 100_000 };
        let last = Block { piece: 1, index: 2 };
        assert_eq!(geometry.start_of(last), 72_768);
        assert_eq!([72_767, 72_768, 79_999].map(|offset| geometry.block_at(offset).index), [1, 2, 2]);
        assert_eq!(geometry.block_at(80_000), Block { piece: 2, index: 0 });
    }

    #[test]
    fn a_block_that_nobody_brings_is_missing_again() {
        let (mut partial, now) = (Partial::new(3), Instant::now());
        for index in 0..3 {
            assert_eq!(partial.first_missing(), Some(index));
            partial.ask(ask(index, A, now));
        }
        assert_eq!(partial.first_missing(), None);
        partial.ask(ask(1, B, now));
        partial.unask(1, A);
        assert_eq!(partial.first_missing(), None, "B still brings it");
        partial.unask(1, B);
        assert_eq!(partial.first_missing(), Some(1));
    }

    #[test]
    fn the_first_answer_wins_and_names_the_others() {
        let (mut partial, now) = (Partial::new(2), Instant::now());
        partial.ask(ask(0, A, now));
        assert_eq!(partial.sole(), Some(A));
        partial.ask(ask(0, B, now));
        assert_eq!(partial.sole(), None);
        assert_eq!(partial.arrive(0, B), [A]);
        assert_eq!(partial.place(0), Place::Here(B));
        assert!(partial.arrive(0, A).is_empty());
        assert_eq!((partial.remaining(), partial.missing()), (1, 1));
        partial.arrive(1, A);
        assert!(partial.is_full());
        partial.reset(Some(B), now);
        assert_eq!((partial.remaining(), partial.first_missing(), partial.parole()), (2, Some(0), Some(B)));
    }
}
