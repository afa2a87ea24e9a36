//! What players will ask for out of turn: found in the first bytes of the files that they play, and told to the desk.
//!
//! A file's first block comes within a round trip or two, its piece is whole and known to be right seconds later. So the
//! blocks are looked at as they come, and once more when they are verified. Whoever lies about the first block can
//! have some megabytes of the same torrent fetched early, until then.

use std::{
    collections::{BTreeSet, HashMap},
    ops::Range,
};

use super::exchange::Exchange;
use crate::core::{
    container::{HEAD, Told, look},
    playhead::Playhead,
};

/// What the files that are played told so far.
#[derive(Default)]
pub struct Indexes {
    files: HashMap<usize, Seen>,
}

/// What was seen of a file's beginning, and what it told.
struct Seen {
    head: Head,
    told: Told,
}

/// So much of a file's beginning is on disk, without a gap.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Head {
    len: u64,
    verified: bool,
}

impl Indexes {
    /// The stretches of the torrent that players of its files will ask for and that are not there yet.
    pub fn wanted(&mut self, exchange: &Exchange, playheads: &[(u64, Playhead)]) -> Vec<Range<u64>> {
        let seek = playheads.iter().filter(|(_, playhead)| playhead.seeks);
        let files: BTreeSet<usize> = seek.map(|(_, playhead)| playhead.file).collect();
        files.into_iter().filter_map(|file| self.wanted_of(exchange, file)).collect()
    }

    fn wanted_of(&mut self, exchange: &Exchange, file: usize) -> Option<Range<u64>> {
        let seen = self
            .files
            .entry(file)
            .or_insert(Seen { head: Head { len: 0, verified: false }, told: Told::Little });
        seen.look_again(exchange, file);
        let Told::Index(index) = &seen.told else { return None };
        let content = exchange.content();
        let len = index.end - index.start;
        let start = content.metainfo().files[file].offset + index.start;
        (content.verified_run(file, index.start, len) < len).then_some(start..start + len)
    }
}

impl Seen {
    fn look_again(&mut self, exchange: &Exchange, file: usize) {
        if self.head.verified && self.told != Told::Little {
            return;
        }
        let head = Head::of(exchange, file);
        let news = head.verified != self.head.verified || self.told == Told::Little;
        if head == self.head || !news {
            return;
        }
        let mut bytes = vec![0; head.len as usize];
        // A disk that fails is the keeper's to see.
        if exchange.content().read_at(file, 0, &mut bytes).is_ok() {
            *self = Seen { head, told: look(&bytes, exchange.content().metainfo().files[file].len) };
        }
    }
}

impl Head {
    fn of(exchange: &Exchange, file: usize) -> Self {
        let (content, geometry) = (exchange.content(), exchange.geometry());
        let entry = &content.metainfo().files[file];
        let most = entry.len.min(HEAD);
        let verified = content.verified_run(file, 0, most);
        let (first, mut end) = (entry.offset, entry.offset + verified);
        while end < first + most && exchange.is_here(geometry.block_at(end)) {
            let block = geometry.block_at(end);
            end = geometry.start_of(block) + u64::from(geometry.block_bytes(block));
        }
        Head { len: (end - first).min(most), verified: verified > 0 }
    }
}
