//! What a peer wants of librqbit: handed on as librqbit answers, and till then kept here in few bytes each.
//!
//! librqbit takes any number of requests, keeps each in a queue without an end until the peer has taken what it wanted
//! before, and heeds no cancellation. One that asks and asks and takes next to nothing would fill its memory.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::core::swarm::{
    bencode,
    handshake::{self, OUR_UT_METADATA},
    wire,
};

/// With librqbit at a time: 2 MiB of blocks, many times what a socket to this machine holds.
const HANDED: usize = 128;
/// Waiting beyond those. librqbit names no limit, so that libtorrent asks for 500 blocks at most, and whoever asks for
/// more does not expect more than 2000 to be kept, which is libtorrent's own bound. Metadata is 640 pieces at most.
const MOST: usize = 2000;

/// One of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// Piece, offset, length.
    Block(u32, u32, u32),
    /// A piece of the metadata (BEP 9).
    Metadata(u32),
}

/// Those of one peer.
#[derive(Debug, Default)]
pub struct Wishes {
    handed: usize,
    waiting: VecDeque<Wish>,
}

/// The peer wants more than anybody honest.
#[derive(Debug)]
pub struct Insatiable;

impl Wish {
    /// As librqbit hears it.
    pub fn frame(self) -> Bytes {
        match self {
            Wish::Block(piece, begin, len) => Bytes::copy_from_slice(&wire::request(piece, begin, len)),
            Wish::Metadata(piece) => {
                wire::extended(OUR_UT_METADATA, handshake::metadata_request(piece).as_bytes()).into()
            }
        }
    }
}

impl Wishes {
    /// Takes one in; whether librqbit may have it at once.
    pub fn add(&mut self, wish: Wish) -> Result<bool, Insatiable> {
        if self.handed < HANDED {
            self.handed += 1;
            return Ok(true);
        }
        if self.waiting.len() == MOST {
            return Err(Insatiable);
        }
        self.waiting.push_back(wish);
        Ok(false)
    }

    /// The peer takes one back. One that librqbit has is answered.
    pub fn remove(&mut self, wish: Wish) {
        if let Some(at) = self.waiting.iter().position(|waits| *waits == wish) {
            self.waiting.remove(at);
        }
    }

    /// librqbit answered one; the next that it may have.
    pub fn answered(&mut self) -> Option<Wish> {
        let next = self.waiting.pop_front();
        if next.is_none() {
            self.handed = self.handed.saturating_sub(1);
        }
        next
    }

    /// The peer is gone, and with it what it wanted; what librqbit has it answers all the same.
    pub fn forget(&mut self) {
        self.waiting.clear();
    }
}

#[derive(serde::Deserialize)]
struct Metadata {
    msg_type: u64,
    piece: u64,
}

fn metadata(message: &[u8]) -> Option<Metadata> {
    bencode::decode(message).map(|(message, _)| message)
}

/// The piece of metadata that a message asks for, if it does.
pub fn metadata_wanted(message: &[u8]) -> Option<u32> {
    let message = metadata(message).filter(|message| message.msg_type == 0)?;
    u32::try_from(message.piece).ok()
}

/// Whether librqbit speaks of metadata (BEP 9) and not of peers. The number does not tell: it is the peer's choice, in a hello
/// that librqbit may read otherwise than we do.
pub fn is_metadata(message: &[u8]) -> bool {
    metadata(message).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(number: usize) -> Wish {
        Wish::Block(number as u32, 0, 16_384)
    }

    #[test]
    fn librqbit_has_a_few_at_a_time_and_in_the_end_all_that_were_not_taken_back() {
        let mut wishes = Wishes::default();
        let mut handed: Vec<Wish> =
            (0..HANDED + MOST).map(block).filter(|wish| wishes.add(*wish).unwrap()).collect();
        assert_eq!(handed.len(), HANDED);
        assert!(wishes.add(block(9999)).is_err(), "one too many");
        (0..HANDED + MOST).step_by(2).for_each(|number| wishes.remove(block(number)));
        handed.extend(std::iter::from_fn(|| wishes.answered()));
        let left = (0..HANDED).chain((HANDED..HANDED + MOST).filter(|number| number % 2 == 1));
        assert_eq!(handed, left.map(block).collect::<Vec<_>>());
        (0..HANDED).for_each(|_| assert_eq!(wishes.answered(), None));
        assert!(wishes.add(block(1)).unwrap(), "all is answered");
    }

    #[test]
    fn a_peer_that_comes_back_does_not_get_what_it_wanted_before_but_librqbit_may_still_be_at_it() {
        let mut wishes = Wishes::default();
        (0..HANDED + 10).for_each(|number| assert!(wishes.add(block(number)).is_ok()));
        wishes.forget();
        assert!(!wishes.add(block(0)).unwrap());
        assert_eq!(wishes.answered(), Some(block(0)));
    }

    #[test]
    fn only_requests_for_metadata_are_wishes() {
        assert_eq!(metadata_wanted(b"d8:msg_typei0e5:piecei7ee"), Some(7));
        assert_eq!(Wish::Metadata(7).frame()[6..], b"d8:msg_typei0e5:piecei7ee"[..]);
        for other in [
            &b"d8:msg_typei1e5:piecei7e10:total_sizei1eex"[..],
            b"d8:msg_typei0e5:piecei5000000000ee",
            b"de",
            b"d8:",
        ] {
            assert_eq!(metadata_wanted(other), None);
        }
        assert!(is_metadata(b"d8:msg_typei1e5:piecei7e10:total_sizei1eex"));
        assert!(!is_metadata(b"d5:added6:abcdefe"));
    }
}
