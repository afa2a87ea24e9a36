//! Who lied: the digests of a bad piece's blocks, kept until a good copy tells which of them were wrong.

use std::collections::{BTreeMap, BTreeSet};

use super::pieces::PeerKey;

/// Digests of a piece's blocks, in order.
pub type Digests = Vec<u64>;

/// Bad pieces that wait for a good copy.
#[derive(Debug, Default)]
pub struct Blame {
    cases: BTreeMap<u32, Vec<(PeerKey, usize, u64)>>,
}

impl Blame {
    /// A copy was bad; `senders` and `digests` block by block.
    pub fn accuse(&mut self, piece: u32, digests: &Digests, senders: &[PeerKey]) {
        let case = self.cases.entry(piece).or_default();
        let blocks = senders.iter().zip(digests).enumerate();
        case.extend(blocks.map(|(index, (sender, digest))| (*sender, index, *digest)));
    }

    /// A copy was good: whoever sent other blocks than these lied. `senders` of the good copy are never among them for
    /// what they sent now.
    pub fn acquit(&mut self, piece: u32, digests: &Digests, senders: &[PeerKey]) -> Vec<PeerKey> {
        let Some(case) = self.cases.remove(&piece) else { return Vec::new() };
        let lied = |(_, index, digest): &&(PeerKey, usize, u64)| {
            digests.get(*index).is_some_and(|good| good != digest)
        };
        let liars: BTreeSet<PeerKey> = case.iter().filter(lied).map(|(sender, ..)| *sender).collect();
        tracing::debug!(
            "piece {piece} is good at last, from {} peers; {} had lied",
            senders.len(),
            liars.len()
        );
        liars.into_iter().collect()
    }

    /// Whether a good copy of this piece is wanted as evidence.
    pub fn is_open(&self, piece: u32) -> bool {
        self.cases.contains_key(&piece)
    }

    /// Whether nothing is left to be found out.
    pub fn is_settled(&self) -> bool {
        self.cases.is_empty()
    }
}
