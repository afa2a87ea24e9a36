//! The metainfo of one torrent, validated: what its files and pieces are, where each lies, and what it must hash to.
//!
//! Parsing is in the swarm room (it uses librqbit's bencode and so agrees with it about every file's index);
//! this type is what everybody else sees.

use std::ops::Range;

use bytes::Bytes;
use sha1::{Digest, Sha1};
use url::Url;

use super::source::InfoHash;

/// Bytes of a block, the unit of the wire (BEP 3); a piece's last one may be shorter.
pub const BLOCK: u32 = 16 * 1024;

/// One file of a torrent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileEntry {
    /// 0-based index in the metainfo's order.
    pub index: usize,
    /// Path components inside the torrent (foreign text: escape before showing, never use on disk).
    pub path: Vec<String>,
    /// Length in bytes.
    pub len: u64,
    /// Where it starts in the torrent.
    pub offset: u64,
    /// BEP 47 padding: zeros that are never stored.
    pub padding: bool,
}

impl FileEntry {
    /// The path, joined by `/`.
    pub fn display_path(&self) -> String {
        self.path.join("/")
    }
}

/// A validated torrent: at least one file, at least one piece, and every piece has a hash.
#[derive(Debug, Clone)]
pub struct Metainfo {
    /// v1 info hash.
    pub info_hash: InfoHash,
    /// Suggested name (foreign text).
    pub name: String,
    /// Bytes of every piece but the last.
    pub piece_length: u32,
    /// Bytes of all files, padding included.
    pub total_len: u64,
    /// The files in the metainfo's order, padding included.
    pub files: Vec<FileEntry>,
    /// BEP 27: only the torrent's own trackers may be asked.
    pub private: bool,
    /// The torrent's own trackers.
    pub trackers: Vec<Url>,
    /// SHA-1 of each piece, 20 bytes apiece.
    pub piece_hashes: Bytes,
    /// The info dictionary, bencoded.
    pub info_bytes: Bytes,
    /// The whole `.torrent`.
    pub torrent_bytes: Bytes,
}

impl Metainfo {
    /// How many pieces there are.
    pub fn pieces(&self) -> u32 {
        // Validated to be below 2^18 when parsed.
        (self.piece_hashes.len() / 20) as u32
    }

    /// Bytes of one piece.
    pub fn piece_len(&self, piece: u32) -> u64 {
        let start = self.piece_start(piece);
        u64::from(self.piece_length).min(self.total_len.saturating_sub(start))
    }

    /// Where a piece starts in the torrent.
    pub fn piece_start(&self, piece: u32) -> u64 {
        u64::from(piece) * u64::from(self.piece_length)
    }

    /// The piece that holds a byte of the torrent.
    pub fn piece_at(&self, offset: u64) -> u32 {
        (offset / u64::from(self.piece_length)) as u32
    }

    /// The pieces that hold a file's bytes; empty for an empty file.
    pub fn pieces_of(&self, file: &FileEntry) -> Range<u32> {
        if file.len == 0 {
            return 0..0;
        }
        self.piece_at(file.offset)..self.piece_at(file.offset + file.len - 1) + 1
    }

    /// What a piece must hash to.
    pub fn hash_of(&self, piece: u32) -> Option<&[u8]> {
        let start = piece as usize * 20;
        self.piece_hashes.get(start..start + 20)
    }

    /// Whether `data` is the piece.
    pub fn matches(&self, piece: u32, data: &[u8]) -> bool {
        self.hash_of(piece).is_some_and(|hash| Sha1::digest(data).as_slice() == hash)
    }

    /// The parts of files that a stretch of the torrent covers: file index, offset in it, length.
    pub fn spans(&self, start: u64, len: u64) -> impl Iterator<Item = (usize, u64, u64)> + '_ {
        let end = start + len;
        let first = self.files.partition_point(|file| file.offset + file.len <= start);
        self.files[first..].iter().take_while(move |file| file.offset < end).filter_map(move |file| {
            let from = start.max(file.offset);
            let to = end.min(file.offset + file.len);
            (from < to).then(|| (file.index, from - file.offset, to - from))
        })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A metainfo with these file lengths over a given payload.
    pub(crate) fn sample(piece_length: u32, lens: &[u64], payload: &[u8]) -> Metainfo {
        let mut offset = 0;
        let files = lens.iter().enumerate().map(|(index, &len)| {
            let file = FileEntry { index, path: vec![format!("f{index}.bin")], len, offset, padding: false };
            offset += len;
            file
        });
        let files = files.collect();
        let hashes: Vec<u8> =
            payload.chunks(piece_length as usize).flat_map(|piece| Sha1::digest(piece).to_vec()).collect();
        Metainfo {
            info_hash: InfoHash::new([7; 20]),
            name: "sample".into(),
            piece_length,
            total_len: offset,
            files,
            private: false,
            trackers: Vec::new(),
            piece_hashes: hashes.into(),
            info_bytes: Bytes::new(),
            torrent_bytes: Bytes::new(),
        }
    }

    #[test]
    fn pieces_and_spans_meet_at_file_borders() {
        let meta = sample(10, &[25, 0, 5, 12], &[0; 42]);
        assert_eq!(meta.pieces(), 5);
        assert_eq!(meta.piece_len(4), 2);
        assert_eq!(meta.pieces_of(&meta.files[0]), 0..3);
        assert_eq!(meta.pieces_of(&meta.files[1]), 0..0);
        assert_eq!(meta.pieces_of(&meta.files[2]), 2..3);
        assert_eq!(meta.pieces_of(&meta.files[3]), 3..5);
        let spans: Vec<_> = meta.spans(20, 20).collect();
        assert_eq!(spans, [(0, 20, 5), (2, 0, 5), (3, 0, 10)]);
    }

    #[test]
    fn a_piece_is_told_from_a_flipped_bit() {
        let meta = sample(4, &[8], b"abcdefgh");
        assert!(meta.matches(1, b"efgh"));
        assert!(!meta.matches(1, b"efgi"));
        assert!(!meta.matches(2, b""));
    }
}
