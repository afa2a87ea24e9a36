//! What the routes need of the core, and no more: so that they can be tested without a swarm, and the core can grow
//! without them.

use std::{future::Future, net::IpAddr, ops::Range, sync::Arc, time::Duration};

use serde::Serialize;
use time::OffsetDateTime;

use super::{
    body::{Chunks, Content},
    lane::Lane,
    readers::{Position, Reader},
};
use crate::core::{
    Error,
    failed::FailedTable,
    janitor::CleanupReport,
    media::{FileSelector, Kind, Media},
    metainfo::Metainfo,
    source::{InfoHash, Magnet},
    status::{Discovery, PeerReport, Phase},
};

/// Chooses the bytes of a file that an answer needs; an empty range opens no reader.
pub type RangeOf = Box<dyn FnOnce(&Media) -> Range<u64> + Send>;

/// One request for a torrent's file.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// The torrent, and where to look for it; nothing in it leads to a private address unless that is allowed.
    pub magnet: Magnet,
    /// Which of its files.
    pub selector: FileSelector,
    /// Try even if it is cooling down.
    pub force: bool,
    /// Who asks, when that is known.
    pub client: Option<IpAddr>,
}

/// The torrents that this process can serve, and the memory of those that failed.
pub trait Library: Send + Sync + 'static {
    /// An opened file.
    type Content: Content;

    /// Opens a file: when this returns, the first bytes of the range are there.
    fn open(
        &self,
        wanted: Wanted,
        range: RangeOf,
    ) -> impl Future<Output = Result<(Self::Content, <Self::Content as Content>::Chunks), Error>> + Send;

    /// Keeps a metainfo that was handed in, so that its torrent is known without a search.
    fn keep(&self, metainfo: Metainfo) -> impl Future<Output = Result<(), Error>> + Send;

    /// Whether opening this would begin to look for a torrent that is not there yet.
    fn starts(&self, wanted: &Wanted) -> bool;

    /// Whether opening this may ask the trackers and peers that it names.
    fn asks(&self, wanted: &Wanted) -> bool;

    /// The failed-torrent table.
    fn table(&self) -> Arc<FailedTable>;

    /// The torrents that are looked for, open, or kept open.
    fn torrents(&self) -> Vec<TorrentReport>;

    /// How many there are.
    fn count(&self) -> usize {
        self.torrents().len()
    }

    /// One of them.
    fn torrent(&self, info_hash: &InfoHash) -> Option<TorrentReport> {
        self.torrents().into_iter().find(|torrent| torrent.info_hash == *info_hash)
    }

    /// Drops a torrent and deletes what is kept of it; the bytes freed, `None` when there was nothing.
    fn remove(&self, info_hash: &InfoHash) -> impl Future<Output = Result<Option<u64>, Error>> + Send;

    /// Deletes what is idle on disk. Blocks.
    fn cleanup(
        &self,
        older_than: Duration,
        dry_run: bool,
        now: OffsetDateTime,
    ) -> Result<CleanupReport, Error>;

    /// How it fares. Cheap: asked with every scrape and every health check.
    fn condition(&self) -> Condition;
}

/// How the core fares.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Condition {
    /// DHT nodes in the routing table; `None` when the DHT is off or not started.
    pub dht_nodes: Option<usize>,
    /// Bytes that the temp directory's file system has left.
    pub free_bytes: Option<u64>,
    /// Bytes that it is to keep.
    pub floor_bytes: u64,
    /// Bytes that our torrents take there.
    pub temp_bytes: u64,
    /// Bytes that came from the swarm since the start.
    pub received: u64,
    /// Bytes that went to the swarm since the start.
    pub given: u64,
    /// Tasks that are alive, ours and the swarm's.
    pub tasks: usize,
    /// Torrents at once at most; 0: no limit.
    pub torrents_most: usize,
}

/// What a torrent does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TorrentState {
    /// No peer has been reached, or the metainfo is not there yet.
    Searching,
    /// Pieces come in.
    Downloading,
    /// It is kept, but nothing is fetched.
    Paused,
    /// Everything that was wanted is there.
    Complete,
}

/// Peers of one torrent by state.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct PeerCounts {
    /// Addresses learnt.
    pub seen: usize,
    /// Being dialled now.
    pub connecting: usize,
    /// Connected now.
    pub connected: usize,
    /// Of those, the ones that let us ask.
    pub unchoked: usize,
    /// Of those, the ones that have sent data.
    pub sending: usize,
    /// What all of them do, in a few words.
    pub doing: String,
}

/// A file of a torrent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FileReport {
    /// Its number, from 0.
    pub index: usize,
    /// Its path inside the torrent (foreign text).
    pub path: String,
    /// Its length in bytes.
    pub length: u64,
    /// Where it begins in the torrent.
    pub offset: u64,
    /// Bytes of it that are verified on disk.
    pub verified: u64,
    /// What it is to a player.
    pub kind: Kind,
    /// For subtitles, the number of the video that they go with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subtitles_of: Option<usize>,
}

/// How the search for a torrent, or for its first bytes, goes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct SearchReport {
    /// What is waited for.
    pub phase: Phase,
    /// How far it has come.
    #[serde(flatten)]
    pub discovery: Discovery,
}

/// A torrent, seen from outside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TorrentReport {
    /// The torrent.
    pub info_hash: InfoHash,
    /// Its name, once known (foreign text).
    pub name: Option<String>,
    /// What it does.
    pub state: TorrentState,
    /// Its files, once known.
    pub files: Vec<FileReport>,
    /// Bytes of it that are verified on disk.
    pub verified: u64,
    /// Its length in bytes, once known.
    pub length: Option<u64>,
    /// Bytes a second from the swarm now.
    pub download_rate: u64,
    /// Bytes a second to the swarm now.
    pub upload_rate: u64,
    /// Its peers.
    pub peers: PeerCounts,
    /// Each of its peers, where one torrent is asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub peer_list: Vec<PeerReport>,
    /// How the search goes, or went.
    pub search: SearchReport,
    /// Pieces that readers need next and that are not there, in order.
    pub awaited: Vec<u32>,
    /// Where answers that are being sent are.
    pub positions: Vec<Position>,
    /// Open readers.
    pub readers: usize,
    /// Since when nobody has read it, in seconds.
    pub idle_seconds: u64,
    /// Bytes of a piece; 0 when not known yet.
    pub piece_length: u32,
    /// Which pieces are verified: one bit each, the first the highest of the first byte, in hexadecimal.
    pub have: String,
}

/// Reads that are counted for as long as they live.
pub struct Counted<C> {
    inner: C,
    reader: Reader,
    _guard: super::metrics::ReaderGuard,
}

impl<C> Counted<C> {
    /// Counts `inner`, whose place is told by `reader`.
    pub fn new(inner: C, reader: Reader, guard: super::metrics::ReaderGuard) -> Self {
        Self { inner, reader, _guard: guard }
    }

    fn moved(&self, bytes: Option<&bytes::Bytes>) {
        self.reader.moved(bytes.map_or(0, |bytes| bytes.len() as u64));
    }
}

impl<C: Chunks> Chunks for Counted<C> {
    async fn chunk(&mut self, max: usize) -> Result<Option<bytes::Bytes>, Error> {
        let chunk = self.inner.chunk(max).await?;
        self.moved(chunk.as_ref());
        Ok(chunk)
    }

    async fn promise(&mut self, max: usize, lane: &Lane) -> Result<Option<bytes::Bytes>, Error> {
        let promised = self.inner.promise(max, lane).await?;
        self.moved(promised.as_ref());
        Ok(promised)
    }
}
