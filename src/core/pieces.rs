//! PieceSet: one bit a piece, shared between threads, in the wire's bit order (BEP 3: the high bit first).

use std::ops::Range;

use super::sync::atomic::{AtomicU8, Ordering};

/// A set of pieces. Setting a bit releases, reading it acquires: who sees the bit sees the bytes it stands for.
#[derive(Debug)]
pub struct PieceSet {
    pieces: u32,
    bits: Vec<AtomicU8>,
}

impl PieceSet {
    /// An empty set over `pieces` pieces.
    pub fn new(pieces: u32) -> Self {
        let bits = (0..pieces.div_ceil(8)).map(|_| AtomicU8::new(0)).collect();
        PieceSet { pieces, bits }
    }

    /// From a bit field; `None` when its length is not that of `pieces` pieces.
    pub fn from_bytes(pieces: u32, bytes: &[u8]) -> Option<Self> {
        if bytes.len() != pieces.div_ceil(8) as usize {
            return None;
        }
        let set = PieceSet { pieces, bits: bytes.iter().map(|byte| AtomicU8::new(*byte)).collect() };
        // Spare bits behind the last piece mean nothing and must not be counted.
        (pieces..pieces.next_multiple_of(8)).for_each(|spare| {
            set.clear_bit(spare);
        });
        Some(set)
    }

    /// As a bit field.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.bits.iter().map(|byte| byte.load(Ordering::Acquire)).collect()
    }

    /// Whether the piece is in the set.
    pub fn contains(&self, piece: u32) -> bool {
        self.bits.get(piece as usize / 8).is_some_and(|byte| byte.load(Ordering::Acquire) & mask(piece) != 0)
    }

    /// Puts the piece in; whether it was new.
    pub fn insert(&self, piece: u32) -> bool {
        piece < self.pieces
            && self.bits[piece as usize / 8].fetch_or(mask(piece), Ordering::AcqRel) & mask(piece) == 0
    }

    /// Takes the piece out; whether it was in.
    pub fn remove(&self, piece: u32) -> bool {
        piece < self.pieces && self.clear_bit(piece)
    }

    fn clear_bit(&self, piece: u32) -> bool {
        self.bits[piece as usize / 8].fetch_and(!mask(piece), Ordering::AcqRel) & mask(piece) != 0
    }

    /// The first piece of `range` that is not in the set.
    pub fn first_missing(&self, range: Range<u32>) -> Option<u32> {
        let mut piece = range.start;
        while piece < range.end {
            // Whole bytes are passed over at once: a complete stretch of 100 000 pieces is 12 500 steps.
            if piece.is_multiple_of(8) && self.bits.get(piece as usize / 8)?.load(Ordering::Acquire) == 0xff {
                piece += 8;
            } else if self.contains(piece) {
                piece += 1;
            } else {
                return Some(piece);
            }
        }
        None
    }

    /// How many pieces are in the set.
    pub fn count(&self) -> u32 {
        self.bits.iter().map(|byte| byte.load(Ordering::Acquire).count_ones()).sum()
    }
}

fn mask(piece: u32) -> u8 {
    0x80 >> (piece % 8)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn behaves_like_a_plain_set(pieces in 1u32..70, chosen in prop::collection::btree_set(0u32..80, 0..60)) {
            let set = PieceSet::new(pieces);
            for &piece in &chosen {
                prop_assert_eq!(set.insert(piece), piece < pieces);
                prop_assert!(!set.insert(piece));
            }
            let model: Vec<u32> = chosen.iter().copied().filter(|piece| *piece < pieces).collect();
            prop_assert_eq!(set.count() as usize, model.len());
            for from in 0..pieces {
                let missing = (from..pieces).find(|piece| !model.contains(piece));
                prop_assert_eq!(set.first_missing(from..pieces), missing);
            }
            let copy = PieceSet::from_bytes(pieces, &set.to_bytes()).unwrap();
            prop_assert_eq!(copy.to_bytes(), set.to_bytes());
        }
    }

    #[test]
    fn spare_bits_and_wrong_lengths_are_not_believed() {
        assert_eq!(PieceSet::from_bytes(9, &[0xff, 0xff]).unwrap().count(), 9);
        assert!(PieceSet::from_bytes(9, &[0xff]).is_none());
        assert!(PieceSet::from_bytes(8, &[0xff, 0]).is_none());
    }
}
