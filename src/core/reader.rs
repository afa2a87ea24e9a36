//! PieceReader: verified pieces to bytes.

use std::ops::Range;

use bytes::Bytes;

use super::{Error, media::Media};

/// One opened file of one torrent; readers are made from it. Cheap to clone.
#[derive(Clone)]
pub struct Opened {}

impl Opened {
    /// What it delivers.
    pub fn media(&self) -> &Media {
        unimplemented!()
    }

    /// A reader over `range` of the file (clamped to its length).
    pub fn reader(&self, range: Range<u64>) -> PieceReader {
        let _ = range;
        unimplemented!()
    }
}

/// Reads one range of a file, in order, as its pieces are verified.
pub struct PieceReader {}

impl PieceReader {
    /// Waits until at least one byte at the position is verified; how many are, contiguously. 0 at the end.
    pub async fn ready(&mut self) -> Result<u64, Error> {
        unimplemented!()
    }

    /// The next bytes, at most `max` of them, `None` at the end. Waits as [`ready`](Self::ready) does.
    pub async fn chunk(&mut self, max: usize) -> Result<Option<Bytes>, Error> {
        let _ = max;
        unimplemented!()
    }
}
