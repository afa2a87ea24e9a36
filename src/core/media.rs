//! A torrent's files, the choice of one of them, and what is told about it before its bytes.

use super::source::InfoHash;

/// The one file that a stream delivers.
#[derive(Debug, Clone)]
pub struct Media {
    /// The torrent.
    pub info_hash: InfoHash,
    /// 0-based index in the metainfo's order.
    pub index: usize,
    /// Path inside the torrent, components joined by `/` (foreign text: escape before showing).
    pub path: String,
    /// Length in bytes.
    pub len: u64,
}

impl Media {
    /// The last component of the path.
    pub fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or(&self.path)
    }
}
