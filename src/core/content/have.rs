//! `have.json`: which pieces a torrent's directory has, and which of its files were complete when somebody looked last.
//!
//! Several processes may have one torrent open, and each knows a part of what is there. So nobody replaces the map by what
//! he knows alone: it is read again and added to, by one at a time. Whether its word is good is for the reader to decide;
//! only a map of another torrent or of another version is refused.

use std::{
    collections::BTreeMap,
    fs::{File, Metadata, OpenOptions},
    io::{self, Read},
    os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt},
    path::Path,
    time::Duration,
};

use crate::core::{
    Error,
    metainfo::Metainfo,
    pieces::PieceSet,
    store::{Hold, hold_within, open_plain},
    sync::others_may_act,
    uptime::boot_id,
};

pub(super) const HAVE_FILE: &str = "have.json";
const LOCK_FILE: &str = "notes.lock";
const VERSION: u32 = 1;
/// As large as the largest bit field in hex, and room for the seals: anything longer is not ours.
const MAX_LEN: u64 = 64 << 20;
/// How long the lock is waited for: a holder needs milliseconds, and whoever ends waits for this.
const LOCK_WAIT: Duration = Duration::from_secs(1);

/// What is said to be there.
#[derive(Debug)]
pub(super) struct HaveMap {
    /// Pieces that somebody has verified or believed.
    pub(super) pieces: PieceSet,
    /// Files that were complete, by index.
    pub(super) sealed: BTreeMap<usize, Seal>,
}

/// How it is written.
#[derive(serde::Serialize, serde::Deserialize)]
struct Written {
    version: u32,
    info_hash: String,
    /// Bit field in hex.
    pieces: String,
    sealed: Vec<Seal>,
}

/// What a file looked like when it was complete and all of it verified.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub(super) struct Seal {
    index: usize,
    len: u64,
    mtime_ns: i128,
    boot_id: String,
}

impl HaveMap {
    /// Nothing is there.
    pub(super) fn empty(metainfo: &Metainfo) -> Self {
        HaveMap { pieces: PieceSet::new(metainfo.pieces()), sealed: BTreeMap::new() }
    }

    /// The map in `dir`; an empty one where there is none, or none of this torrent that makes sense.
    pub(super) fn read(dir: &Path, metainfo: &Metainfo) -> io::Result<Self> {
        let mut text = Vec::new();
        match File::open(dir.join(HAVE_FILE)) {
            Ok(file) => file.take(MAX_LEN).read_to_end(&mut text)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
            Err(error) => return Err(error),
        };
        Ok(Self::parse(&text, metainfo).unwrap_or_else(|| Self::empty(metainfo)))
    }

    fn parse(text: &[u8], metainfo: &Metainfo) -> Option<Self> {
        let written: Written = serde_json::from_slice(text).ok()?;
        let bits = data_encoding::HEXLOWER.decode(written.pieces.as_bytes()).ok()?;
        let ours = written.version == VERSION && written.info_hash == metainfo.info_hash.to_string();
        let pieces = PieceSet::from_bytes(metainfo.pieces(), &bits).filter(|_| ours)?;
        Some(HaveMap { pieces, sealed: written.sealed.into_iter().map(|seal| (seal.index, seal)).collect() })
    }

    /// Writes it; to be [`alone`] for, with the reading before it. Not synced: what it claims is hashed before use, and a seal
    /// is of one start of the machine.
    pub(super) fn write(self, dir: &Path, metainfo: &Metainfo) -> Result<(), Error> {
        let written = Written {
            version: VERSION,
            info_hash: metainfo.info_hash.to_string(),
            pieces: data_encoding::HEXLOWER.encode(&self.pieces.to_bytes()),
            sealed: self.sealed.into_values().collect(),
        };
        let path = dir.join(HAVE_FILE);
        let text = serde_json::to_vec(&written).map_err(|error| Error::Internal(error.to_string()))?;
        replace(&path, &text)
    }
}

impl Seal {
    /// Of a file as it is; `None` where one start of the machine cannot be told from another.
    pub(super) fn of(index: usize, now: &Metadata) -> Option<Self> {
        Some(Seal { index, len: now.len(), mtime_ns: mtime_ns(now), boot_id: boot_id()? })
    }

    /// Whether nobody has touched the file since, as far as can be seen.
    pub(super) fn holds(&self, now: &Metadata) -> bool {
        now.is_file()
            && now.len() == self.len
            && mtime_ns(now) == self.mtime_ns
            && boot_id().is_some_and(|boot_id| boot_id == self.boot_id)
    }
}

fn mtime_ns(metadata: &Metadata) -> i128 {
    i128::from(metadata.mtime()) * 1_000_000_000 + i128::from(metadata.mtime_nsec())
}

/// The right to replace what is noted in `dir` beside the data, until it is dropped: one at a time, in whatever process.
pub(super) fn alone(dir: &Path) -> Result<File, Error> {
    let path = dir.join(LOCK_FILE);
    let failed = |error| Error::storage("locking", &path, error);
    let file = open_plain(OpenOptions::new().read(true).write(true).create(true), &path).map_err(failed)?;
    match hold_within(&file, Hold::Exclusive, LOCK_WAIT).map_err(failed)? {
        true => Ok(file),
        false => Err(Error::Busy(format!("another process holds {} and does not let go", path.display()))),
    }
}

/// New content by temporary file and rename: readers see the old or the new. To be [`alone`] for.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    rename_into(path, bytes).map_err(|error| Error::storage("writing", path, error))
}

fn rename_into(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = path.with_extension("tmp");
    std::fs::remove_file(&temporary).or_else(|error| match error.kind() {
        io::ErrorKind::NotFound => Ok(()),
        _ => Err(error),
    })?;
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
    file.write_all_at(bytes, 0)?;
    others_may_act();
    std::fs::rename(&temporary, path)
}
