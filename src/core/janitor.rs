//! The scratch directory: who uses which torrent's directory, and what may be deleted.
//!
//! Owns `<temp>/<infohash>/`, its lock file `<temp>/<infohash>.lock`, and the directories of running
//! sessions. Whoever streams holds the lock shared (a [`Lease`]), whoever deletes holds it exclusively, so a
//! torrent in use is never deleted, whichever process uses it. Deletes nothing that it did not make: only
//! directories with a 40-hex name beside a lock file with our mark, never through a symbolic link.
//!
//! Everything here blocks; call it from a blocking task when latency matters.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use time::OffsetDateTime;

use super::{Error, source::InfoHash};

/// The temp directory.
#[derive(Debug, Clone)]
pub struct ScratchDir {
    path: PathBuf,
}

/// A torrent's directory in use: while any lease lives, in whatever process, it is not deleted. Cheap to
/// clone.
#[derive(Debug, Clone)]
pub struct Lease {}

/// The right to download into a torrent's directory, held by one process at a time.
#[derive(Debug)]
pub struct WriterLock {}

/// A directory for one running session; gone when dropped, or at the next cleanup after a crash.
#[derive(Debug)]
pub struct SessionDir {}

/// What a cleanup did, or would do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CleanupReport {
    /// Nothing was deleted; `removed` and `freed` say what would be.
    pub dry_run: bool,
    /// Torrents deleted, by info hash.
    pub removed: Vec<Removed>,
    /// Torrents left alone, by info hash.
    pub kept: Vec<Kept>,
    /// Bytes freed: of the torrents removed, and of what a killed process had left behind.
    pub freed: u64,
}

/// A torrent deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Removed {
    /// The torrent.
    pub info_hash: InfoHash,
    /// Bytes that it took on disk.
    pub bytes: u64,
    /// How long nobody had used it.
    pub idle: Duration,
}

/// A torrent left alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// The torrent.
    pub info_hash: InfoHash,
    /// Why.
    pub reason: KeptReason,
    /// Bytes that it takes on disk.
    pub bytes: u64,
    /// How long nobody has used it.
    pub idle: Duration,
}

/// Why a torrent was left alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeptReason {
    /// Somebody holds a lease.
    InUse,
    /// Not idle for long enough.
    Recent,
    /// No lock file of ours is beside it.
    NotOurs,
    /// Deleting failed: what the operating system said.
    Failed(String),
}

impl ScratchDir {
    /// Opens the temp directory, creating it if it is missing. Refuses a symbolic link and another user's.
    pub fn open(temp_dir: &Path) -> Result<Self, Error> {
        let _ = temp_dir;
        unimplemented!()
    }

    /// Opens the temp directory if there is one; never creates it.
    pub fn existing(temp_dir: &Path) -> Result<Option<Self>, Error> {
        let _ = temp_dir;
        unimplemented!()
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Takes a lease on a torrent's directory, creating the directory if it is missing.
    pub fn lease(&self, info_hash: &InfoHash) -> Result<Lease, Error> {
        let _ = info_hash;
        unimplemented!()
    }

    /// Deletes a torrent now; the bytes freed. [`Error::Busy`] while anybody, this process too, has a lease.
    pub fn remove(&self, info_hash: &InfoHash) -> Result<u64, Error> {
        let _ = info_hash;
        unimplemented!()
    }

    /// Bytes that the file system has left for us.
    pub fn free_bytes(&self) -> Result<u64, Error> {
        unimplemented!()
    }

    /// Makes a directory for a running session.
    pub fn session_dir(&self) -> Result<SessionDir, Error> {
        unimplemented!()
    }

    /// Deletes every torrent that nobody uses and nobody has used for `older_than`, and what killed processes
    /// left behind. With `dry_run` only says so.
    pub fn cleanup(
        &self,
        older_than: Duration,
        dry_run: bool,
        now: OffsetDateTime,
    ) -> Result<CleanupReport, Error> {
        let _ = (older_than, dry_run, now);
        unimplemented!()
    }
}

impl Lease {
    /// The torrent's directory.
    pub fn dir(&self) -> &Path {
        unimplemented!()
    }

    /// The torrent.
    pub fn info_hash(&self) -> InfoHash {
        unimplemented!()
    }

    /// Says that the torrent is being used; free when it was said less than a minute ago.
    pub fn touch(&self) {
        unimplemented!()
    }

    /// Takes the right to download; `doing` says to others what this process does. [`Error::Busy`] names the
    /// process that has it.
    pub fn writer(&self, doing: &str) -> Result<WriterLock, Error> {
        let _ = doing;
        unimplemented!()
    }
}

impl SessionDir {
    /// Its path.
    pub fn path(&self) -> &Path {
        unimplemented!()
    }
}

/// [`ScratchDir::cleanup`] of a directory that may be missing: then there is nothing to report.
pub fn cleanup(
    temp_dir: &Path,
    older_than: Duration,
    dry_run: bool,
    now: OffsetDateTime,
) -> Result<CleanupReport, Error> {
    match ScratchDir::existing(temp_dir)? {
        Some(scratch) => scratch.cleanup(older_than, dry_run, now),
        None => Ok(CleanupReport { dry_run, removed: Vec::new(), kept: Vec::new(), freed: 0 }),
    }
}
