//! One torrent's bytes on disk: which pieces are verified, which an earlier run says are there, and who waits for which.
//!
//! `<dir>/<index>-<name>` holds a file, `<dir>/metainfo.torrent` the metainfo, `<dir>/have.json` the have-map,
//! `<dir>/peers` who brought it.
//! A piece is *verified* once its SHA-1 was right in this process, or in an earlier one that saw every file which it lies
//! in complete, each of them untouched since (same length, same modification time, same boot: a crash of the machine may
//! lose pages that a crash of the process cannot). Whatever else the have-map names is only *claimed*, and hashed before
//! its first use. What a file looked like is noted once, when its last piece was verified: what others do to it later must
//! show.

mod have;

use std::{
    collections::{BTreeMap, HashMap},
    fs::{File, OpenOptions},
    hash::{BuildHasher, RandomState},
    io::{self, IoSlice},
    net::SocketAddr,
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::{Arc, OnceLock, Weak},
};

use sha1::{Digest, Sha1};
use tokio::{sync::Notify, time::Instant};

use self::have::{HaveMap, Seal, alone, replace};
use super::{
    Error,
    disk::Disk,
    metainfo::{BLOCK, Metainfo},
    pieces::PieceSet,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
        lock,
    },
};

const METAINFO_FILE: &str = "metainfo.torrent";
const PEERS_FILE: &str = "peers";
/// Peers that are remembered: as many as are dialled at once.
const MOST_PEERS: usize = 64;
/// Read and hashed at a time: whole blocks, and small enough to stay in the processor's cache.
const HASHED_AT_ONCE: u64 = 16 * BLOCK as u64;

/// One torrent's directory.
#[derive(Debug)]
pub struct Content {
    metainfo: Arc<Metainfo>,
    dir: PathBuf,
    handles: Vec<OnceLock<File>>,
    /// Files that somebody reads, by index: open once, however many read them.
    read: Mutex<HashMap<usize, Weak<File>>>,
    verified: PieceSet,
    claimed: PieceSet,
    /// What the have-map said in the beginning.
    said: PieceSet,
    /// What the files were like in the beginning.
    found: HashMap<usize, Seal>,
    /// Which of them this process has changed since, by index.
    changed: Vec<AtomicBool>,
    /// What those were like that were completed since, each when its last piece was verified.
    sealed: Mutex<BTreeMap<usize, Seal>>,
    awaited: Mutex<HashMap<u32, Arc<Awaited>>>,
    awaited_len: AtomicUsize,
    fault: Mutex<Option<Error>>,
    /// Something that only whoever runs the torrent can mend: a claimed piece was wrong, or the disk failed.
    trouble: Notify,
    disk: Disk,
    lost: AtomicBool,
    written: AtomicU64,
    saved: Mutex<(u32, u32)>,
}

/// A piece that somebody waits for.
#[derive(Debug)]
pub struct Awaited {
    arrived: Notify,
    /// When a block was last written, or the wait began, and the bytes written since.
    last_block: Mutex<(Instant, u64)>,
}

impl Awaited {
    /// Fires when the piece is verified; enable it before looking at the have-map once more.
    pub fn arrived(&self) -> tokio::sync::futures::Notified<'_> {
        self.arrived.notified()
    }

    /// When a block of it was last written, or the wait began.
    pub fn last_block(&self) -> Instant {
        lock(&self.last_block).0
    }

    /// A block counts while the piece can still be made of such: a peer that sends a bad piece over and over brings
    /// nothing nearer. Twice the piece's length allows for one bad copy, or one lost with its peer.
    fn note_block(&self, len: u64, piece_len: u64) {
        let mut last = lock(&self.last_block);
        last.1 += len;
        if last.1 <= 2 * piece_len {
            last.0 = Instant::now();
        }
    }
}

impl Content {
    /// Opens what an earlier run left in `dir`; nothing is created yet.
    pub fn open(dir: &Path, metainfo: Arc<Metainfo>) -> Self {
        let pieces = metainfo.pieces();
        let mut content = Content {
            handles: metainfo.files.iter().map(|_| OnceLock::new()).collect(),
            changed: metainfo.files.iter().map(|_| AtomicBool::new(false)).collect(),
            read: Mutex::default(),
            dir: dir.to_owned(),
            verified: PieceSet::new(pieces),
            claimed: PieceSet::new(pieces),
            said: PieceSet::new(pieces),
            found: HashMap::new(),
            sealed: Mutex::default(),
            awaited: Mutex::default(),
            awaited_len: AtomicUsize::new(0),
            fault: Mutex::default(),
            trouble: Notify::new(),
            disk: Disk::default(),
            lost: AtomicBool::new(false),
            written: AtomicU64::new(0),
            saved: Mutex::default(),
            metainfo,
        };
        match HaveMap::read(&content.dir, &content.metainfo) {
            Ok(map) => content.believe(map),
            Err(error) => {
                tracing::warn!("torrent {}: have-map not read: {error}", content.metainfo.info_hash);
            }
        }
        *lock(&content.saved) = content.counts();
        content
    }

    /// The metainfo that an earlier run kept in `dir`, as raw bytes.
    pub fn kept_metainfo(dir: &Path) -> Option<Vec<u8>> {
        std::fs::read(dir.join(METAINFO_FILE)).ok()
    }

    /// Keeps the metainfo beside the data, so that the next run needs no swarm to know the files.
    pub fn keep_metainfo(&self) -> Result<(), Error> {
        let path = self.dir.join(METAINFO_FILE);
        if std::fs::read(&path).is_ok_and(|kept| kept == self.metainfo.torrent_bytes) {
            return Ok(());
        }
        let _alone = alone(&self.dir)?;
        replace(&path, &self.metainfo.torrent_bytes)
    }

    /// The peers that brought something in an earlier run, the best first, one a line in `dir`. Hints: what does not look
    /// like one is passed over.
    pub fn kept_peers(dir: &Path) -> Vec<String> {
        let text = std::fs::read_to_string(dir.join(PEERS_FILE)).unwrap_or_default();
        let peers = text.lines().filter(|line| line.parse::<SocketAddr>().is_ok());
        peers.take(MOST_PEERS).map(str::to_owned).collect()
    }

    /// Remembers who brought something. Not having it costs the next run a search, so a failure is only logged.
    pub fn keep_peers(&self, peers: &[SocketAddr]) {
        let lines: String = peers.iter().take(MOST_PEERS).map(|peer| format!("{peer}\n")).collect();
        let path = self.dir.join(PEERS_FILE);
        if let Err(error) = alone(&self.dir).and_then(|_alone| replace(&path, lines.as_bytes())) {
            tracing::debug!("torrent {}: its peers were not kept: {error}", self.metainfo.info_hash);
        }
    }

    /// The torrent.
    pub fn metainfo(&self) -> &Arc<Metainfo> {
        &self.metainfo
    }

    /// The directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The disk that they are on.
    pub fn disk(&self) -> &Disk {
        &self.disk
    }

    /// The verified pieces.
    pub fn verified(&self) -> &PieceSet {
        &self.verified
    }

    /// Whether the piece is claimed by an earlier run and not looked at yet.
    pub fn is_claimed(&self, piece: u32) -> bool {
        self.claimed.contains(piece) && !self.verified.contains(piece)
    }

    /// Verified and claimed pieces as a bit field.
    pub fn resumable(&self) -> Vec<u8> {
        self.verified
            .to_bytes()
            .iter()
            .zip(self.claimed.to_bytes())
            .map(|(verified, claimed)| verified | claimed)
            .collect()
    }

    /// Whether the bytes `range` of a file are all verified or claimed.
    pub fn covers(&self, file: usize, range: std::ops::Range<u64>) -> bool {
        self.pieces_under(file, range)
            .all(|piece| self.verified.contains(piece) || self.claimed.contains(piece))
    }

    /// Bytes of a file that are neither verified nor claimed (whole pieces, so a little more than that).
    pub fn missing_bytes(&self, file: usize) -> u64 {
        let entry = &self.metainfo.files[file];
        self.metainfo
            .pieces_of(entry)
            .filter(|piece| !self.verified.contains(*piece) && !self.claimed.contains(*piece))
            .map(|piece| self.metainfo.piece_len(piece))
            .sum()
    }

    /// Bytes of a file that are verified (whole pieces, clamped to its length).
    pub fn verified_bytes(&self, file: usize) -> u64 {
        let entry = &self.metainfo.files[file];
        let pieces = self.metainfo.pieces_of(entry).filter(|piece| self.verified.contains(*piece));
        pieces.map(|piece| self.metainfo.piece_len(piece)).sum::<u64>().min(entry.len)
    }

    /// How many contiguous bytes from `offset` of a file are verified, at most `most`.
    pub fn verified_run(&self, file: usize, offset: u64, most: u64) -> u64 {
        if most == 0 {
            return 0;
        }
        let start = self.metainfo.files[file].offset + offset;
        let pieces = self.metainfo.piece_at(start)..self.metainfo.piece_at(start + most - 1) + 1;
        match self.verified.first_missing(pieces) {
            None => most,
            Some(piece) => self.metainfo.piece_start(piece).saturating_sub(start).min(most),
        }
    }

    /// The pieces that hold the bytes `range` of a file.
    pub fn pieces_under(&self, file: usize, range: std::ops::Range<u64>) -> std::ops::Range<u32> {
        if range.is_empty() {
            return 0..0;
        }
        let offset = self.metainfo.files[file].offset;
        self.metainfo.piece_at(offset + range.start)..self.metainfo.piece_at(offset + range.end - 1) + 1
    }

    /// Waits for a piece begin here; ask whether it is verified after enabling [`Awaited::arrived`].
    pub fn await_piece(&self, piece: u32) -> Arc<Awaited> {
        let mut awaited = lock(&self.awaited);
        let entry = awaited.entry(piece).or_insert_with(|| {
            Arc::new(Awaited { arrived: Notify::new(), last_block: Mutex::new((Instant::now(), 0)) })
        });
        let entry = entry.clone();
        self.awaited_len.store(awaited.len(), Ordering::Release);
        entry
    }

    /// A piece's hash was right: readers may have it.
    pub fn complete(&self, piece: u32) {
        self.put_in(piece);
        let waiting = {
            let mut awaited = lock(&self.awaited);
            let waiting = awaited.remove(&piece);
            self.awaited_len.store(awaited.len(), Ordering::Release);
            waiting
        };
        if let Some(waiting) = waiting {
            waiting.arrived.notify_waiters();
        }
    }

    /// Seals the files that a piece completes, before anybody can know that it does.
    fn put_in(&self, piece: u32) {
        let mut sealed = lock(&self.sealed);
        if self.verified.contains(piece) {
            return;
        }
        let is_there = |pieces| self.verified.first_missing(pieces).is_none();
        for (file, ..) in self.spans_of(piece) {
            let pieces = self.metainfo.pieces_of(&self.metainfo.files[file]);
            if is_there(pieces.start..piece) && is_there(piece + 1..pieces.end) {
                sealed.extend(self.seal(file).map(|seal| (file, seal)));
            }
        }
        self.verified.insert(piece);
    }

    /// A complete file as it is, if it is our doing, else as it was when this process had verified nothing of it yet.
    fn seal(&self, file: usize) -> Option<Seal> {
        if !self.is_changed(file) {
            return self.found.get(&file).cloned();
        }
        Seal::of(file, &self.handles[file].get()?.metadata().ok()?)
    }

    fn is_changed(&self, file: usize) -> bool {
        self.changed[file].load(Ordering::Acquire)
    }

    /// Hashes a claimed piece; when it is wrong the claim is dropped and the torrent's keeper is told.
    pub fn verify(&self, piece: u32) -> bool {
        if self.verified.contains(piece) {
            return true;
        }
        let right = self.check(piece, false).is_ok_and(|(right, _)| right);
        if right {
            self.complete(piece);
        }
        self.claimed.remove(piece);
        if !right {
            tracing::warn!(
                "torrent {}: piece {piece} on disk does not match its hash; fetching it again",
                self.metainfo.info_hash
            );
            self.lost.store(true, Ordering::Release);
            self.trouble.notify_one();
        }
        right
    }

    /// Fills `buf` from a stretch of the torrent that begins at `start`; padding is zeros.
    pub fn read_torrent(&self, start: u64, buf: &mut [u8]) -> io::Result<()> {
        for (file, offset, len) in self.metainfo.spans(start, buf.len() as u64) {
            let at = (self.metainfo.files[file].offset + offset - start) as usize;
            let part = &mut buf[at..at + len as usize];
            match self.metainfo.files[file].padding {
                true => part.fill(0),
                false => self.read_at(file, offset, part)?,
            }
        }
        Ok(())
    }

    /// Writes blocks that follow each other, the first of them at `start` of the torrent.
    pub fn write_torrent(&self, start: u64, blocks: &[&[u8]]) -> io::Result<()> {
        let len: usize = blocks.iter().map(|block| block.len()).sum();
        let spans: Vec<_> = self.metainfo.spans(start, len as u64).collect();
        for (file, offset, len) in spans {
            let from = (self.metainfo.files[file].offset + offset - start) as usize;
            if !self.metainfo.files[file].padding {
                self.write_slices(file, offset, &mut cut(blocks, from..from + len as usize))?;
            }
        }
        Ok(())
    }

    /// Hashes a piece on disk. Whether it is right; with the digests of its blocks if it is not, or if they are asked for.
    pub fn check(&self, piece: u32, digests: bool) -> io::Result<(bool, Vec<u64>)> {
        let (mut hash, mut blocks) = (Sha1::new(), Vec::new());
        let (start, end) = (self.metainfo.piece_start(piece), self.metainfo.piece_len(piece));
        let mut buf = vec![0; end.min(HASHED_AT_ONCE) as usize];
        let mut done = 0;
        while done < end {
            let part = &mut buf[..(end - done).min(HASHED_AT_ONCE) as usize];
            self.read_torrent(start + done, part)?;
            hash.update(&*part);
            if digests {
                blocks.extend(part.chunks(BLOCK as usize).map(digest));
            }
            done += part.len() as u64;
        }
        let right = self.metainfo.hash_of(piece).is_some_and(|hash_of| hash.finalize().as_slice() == hash_of);
        match right || digests {
            true => Ok((right, blocks)),
            // Rare enough for a second look.
            false => self.check(piece, true),
        }
    }

    /// Whether a claimed piece turned out wrong since the last call.
    pub fn take_lost(&self) -> bool {
        self.lost.swap(false, Ordering::AcqRel)
    }

    /// Waits until a claimed piece turns out wrong or the disk fails; one follower at a time.
    pub async fn trouble(&self) {
        self.trouble.notified().await;
    }

    /// The disk failure that ended this torrent's writes, if there was one.
    pub fn fault(&self) -> Option<Error> {
        lock(&self.fault).clone()
    }

    /// Forgets an old failure of the disk: somebody made room.
    pub fn forgive(&self) {
        lock(&self.fault).take();
    }

    /// Bytes written since it was opened.
    pub fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    /// Fills `buf` from a file.
    pub fn read_at(&self, file: usize, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        self.handle(file, false)?.read_exact_at(buf, offset)
    }

    /// A failure is kept with its errno.
    fn write_slices(&self, file: usize, offset: u64, slices: &mut [IoSlice<'_>]) -> io::Result<()> {
        let len: usize = slices.iter().map(|slice| slice.len()).sum();
        let result = self.changing(file).and_then(|handle| write_all_at(handle, offset, slices));
        match result {
            Ok(()) => {
                self.written.fetch_add(len as u64, Ordering::Relaxed);
                self.note_block(file, offset, len as u64);
                Ok(())
            }
            Err(error) => {
                let kept = io::Error::new(error.kind(), error.to_string());
                self.fail(Error::storage("writing", self.path_of(file), error));
                Err(kept)
            }
        }
    }

    fn fail(&self, error: Error) {
        lock(&self.fault).get_or_insert(error);
        self.trouble.notify_one();
    }

    /// What was written at `start` of the torrent cannot be read back: the disk failed.
    pub fn fail_reading(&self, start: u64, error: io::Error) {
        let file = self.metainfo.spans(start, 1).next().map_or(0, |(file, ..)| file);
        self.fail(Error::storage("reading", self.path_of(file), error));
    }

    fn note_block(&self, file: usize, offset: u64, len: u64) {
        if self.awaited_len.load(Ordering::Acquire) == 0 {
            return;
        }
        let piece = self.metainfo.piece_at(self.metainfo.files[file].offset + offset);
        if let Some(waiting) = lock(&self.awaited).get(&piece) {
            waiting.note_block(len, self.metainfo.piece_len(piece));
        }
    }

    /// Makes a file as long as the torrent says, sparse.
    pub fn set_len(&self, file: usize, len: u64) -> io::Result<()> {
        if self.handle(file, true)?.metadata()?.len() != len {
            self.changing(file)?.set_len(len)?;
        }
        Ok(())
    }

    /// A file, open for all who read it meanwhile. Its position is nobody's: they say where they read.
    pub fn file(&self, file: usize) -> Result<Arc<File>, Error> {
        let open = |read: &HashMap<usize, Weak<File>>| read.get(&file).and_then(Weak::upgrade);
        if let Some(open) = open(&lock(&self.read)) {
            return Ok(open);
        }
        // Nobody waits here for a disk that stands still under somebody else's file.
        let opened = Arc::new(self.open_file(file)?);
        let mut read = lock(&self.read);
        if let Some(sooner) = open(&read) {
            return Ok(sooner);
        }
        read.retain(|_, file| file.strong_count() > 0);
        read.insert(file, Arc::downgrade(&opened));
        Ok(opened)
    }

    /// A file, open for one alone, who may move its position.
    pub fn open_file(&self, file: usize) -> Result<File, Error> {
        let path = self.path_of(file);
        OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_NOFOLLOW)
            .open(&path)
            .map_err(|error| Error::storage("opening", path, error))
    }

    /// A file that is about to be changed.
    fn changing(&self, file: usize) -> io::Result<&File> {
        let handle = self.handle(file, true)?;
        self.changed[file].store(true, Ordering::Release);
        Ok(handle)
    }

    fn handle(&self, file: usize, create: bool) -> io::Result<&File> {
        if let Some(handle) = self.handles[file].get() {
            return Ok(handle);
        }
        let handle = OpenOptions::new()
            .read(true)
            .write(true)
            .create(create)
            .mode(0o600)
            .custom_flags(libc::O_NOFOLLOW)
            .open(self.path_of(file))?;
        Ok(self.handles[file].get_or_init(|| handle))
    }

    /// Where a file is kept.
    pub fn path_of(&self, file: usize) -> PathBuf {
        let entry = &self.metainfo.files[file];
        self.dir.join(disk_name(entry.index, entry.path.last().map_or("", String::as_str)))
    }

    /// Writes the have-map if it grew since the last time, together with what other processes have added to it.
    pub fn save(&self) -> Result<(), Error> {
        let mut saved = lock(&self.saved);
        let counts = self.counts();
        if *saved == counts {
            return Ok(());
        }
        let _alone = alone(&self.dir)?;
        let map = HaveMap::read(&self.dir, &self.metainfo)
            .map_err(|error| Error::storage("reading the have-map in", &self.dir, error))?;
        self.add_to(map).write(&self.dir, &self.metainfo)?;
        *saved = counts;
        Ok(())
    }

    /// The map as it is on disk, and what this process knows better. It writes what it changes alone, so what it refused of
    /// the map in the beginning is not there; of other files, others may know more.
    fn add_to(&self, mut map: HaveMap) -> HaveMap {
        for piece in 0..self.metainfo.pieces() {
            if self.verified.contains(piece) || self.claimed.contains(piece) {
                map.pieces.insert(piece);
            } else if self.said.contains(piece) && map.pieces.contains(piece) && self.has_changed_under(piece)
            {
                map.pieces.remove(piece);
            }
        }
        map.sealed.retain(|file, _| *file < self.changed.len() && !self.is_changed(*file));
        // Later than the pieces: a file that is completed meanwhile is sealed too early at worst, and its piece is not named yet.
        map.sealed.extend(lock(&self.sealed).iter().map(|(file, seal)| (*file, seal.clone())));
        map
    }

    fn has_changed_under(&self, piece: u32) -> bool {
        self.spans_of(piece).any(|(file, ..)| self.is_changed(file))
    }

    fn spans_of(&self, piece: u32) -> impl Iterator<Item = (usize, u64, u64)> + '_ {
        self.metainfo.spans(self.metainfo.piece_start(piece), self.metainfo.piece_len(piece))
    }

    fn counts(&self) -> (u32, u32) {
        (self.verified.count(), self.claimed.count())
    }

    /// A piece is there if every file that it lies in reaches as far, and verified if all of them are as they were sealed.
    fn believe(&mut self, map: HaveMap) {
        if map.pieces.count() == 0 {
            return;
        }
        let found: Vec<Found> = (0..self.metainfo.files.len()).map(|file| self.look_at(file, &map)).collect();
        for piece in (0..self.metainfo.pieces()).filter(|piece| map.pieces.contains(*piece)) {
            let (mut is_there, mut untouched) = (true, true);
            for (file, offset, len) in self.spans_of(piece) {
                is_there &= found[file].len >= offset + len;
                untouched &= found[file].untouched;
            }
            match (is_there, untouched) {
                (false, _) => continue,
                (true, true) => self.verified.insert(piece),
                (true, false) => self.claimed.insert(piece),
            };
        }
        let seals = found.into_iter().enumerate().filter_map(|(file, found)| Some((file, found.seal?)));
        self.found = seals.collect();
        self.said = map.pieces;
    }

    fn look_at(&self, file: usize, map: &HaveMap) -> Found {
        if self.metainfo.files[file].padding {
            return Found { len: u64::MAX, untouched: true, seal: None };
        }
        match std::fs::symlink_metadata(self.path_of(file)) {
            Ok(now) if now.is_file() => Found {
                len: now.len(),
                untouched: map.sealed.get(&file).is_some_and(|seal| seal.holds(&now)),
                seal: Seal::of(file, &now),
            },
            _ => Found { len: 0, untouched: false, seal: None },
        }
    }
}

/// A file as an earlier run left it, or somebody after it.
struct Found {
    len: u64,
    untouched: bool,
    seal: Option<Seal>,
}

/// Writes all of `slices`, with one call where the kernel takes them at once.
fn write_all_at(file: &File, mut offset: u64, mut slices: &mut [IoSlice<'_>]) -> io::Result<()> {
    IoSlice::advance_slices(&mut slices, 0);
    while !slices.is_empty() {
        match rustix::io::pwritev(file, slices, offset) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => {
                offset += written as u64;
                IoSlice::advance_slices(&mut slices, written);
            }
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// The bytes `range` of what `blocks` are one after the other.
fn cut<'a>(blocks: &[&'a [u8]], range: std::ops::Range<usize>) -> Vec<IoSlice<'a>> {
    let mut start = 0;
    let mut parts = Vec::with_capacity(blocks.len());
    for block in blocks {
        let from = range.start.clamp(start, start + block.len()) - start;
        let to = range.end.clamp(start, start + block.len()) - start;
        if from < to {
            parts.push(IoSlice::new(&block[from..to]));
        }
        start += block.len();
    }
    parts
}

/// Enough to tell a wrong block from a right one; whoever made the wrong one does not know the key of this process.
fn digest(block: &[u8]) -> u64 {
    static KEY: OnceLock<RandomState> = OnceLock::new();
    KEY.get_or_init(RandomState::new).hash_one(block)
}

/// `<index>-<name>`, where the name keeps only what no file system, shell or terminal minds.
pub fn disk_name(index: usize, name: &str) -> String {
    // 255 bytes is the limit of a component; the index has at most 20 digits, and 4-byte characters may straddle.
    const MAX_NAME: usize = 120;
    let kept = |c: char| if c.is_alphanumeric() || " ._-()[]+,".contains(c) { c } else { '_' };
    let (stem, extension) = name.rsplit_once('.').filter(|(_, ext)| ext.len() <= 10).unwrap_or((name, ""));
    let mut safe = String::new();
    for c in stem.chars().map(kept) {
        if safe.len() + c.len_utf8() > MAX_NAME {
            break;
        }
        safe.push(c);
    }
    let extension: String = extension.chars().map(kept).collect();
    let dot = if extension.is_empty() { "" } else { "." };
    format!("{index}-{}{dot}{extension}", safe.trim_matches(['.', ' ']))
}

#[cfg(all(test, feature = "models"))]
mod models;

#[cfg(test)]
mod tests {
    use super::{super::metainfo::tests::sample, *};

    fn payload() -> Vec<u8> {
        (0..42u8).map(|n| n.wrapping_mul(37)).collect()
    }

    /// Two files over five pieces, the first three pieces written and verified.
    fn started(dir: &Path) -> Content {
        let content = Content::open(dir, Arc::new(sample(10, &[25, 17], &payload())));
        content.set_len(0, 25).unwrap();
        content.set_len(1, 17).unwrap();
        content.write_torrent(0, &[&payload()[..20], &payload()[20..30]]).unwrap();
        (0..3).for_each(|piece| content.complete(piece));
        content.save().unwrap();
        content
    }

    fn again(dir: &Path) -> Content {
        Content::open(dir, Arc::new(sample(10, &[25, 17], &payload())))
    }

    #[test]
    fn a_complete_untouched_file_is_believed_and_a_partial_one_is_hashed_first() {
        let dir = tempfile::tempdir().unwrap();
        started(dir.path());
        let content = again(dir.path());
        assert_eq!(content.verified_run(0, 0, 25), 20, "the first file was sealed");
        assert!(content.is_claimed(2) && content.covers(0, 0..25) && !content.covers(1, 0..17));
        assert!(content.verify(2), "its last piece holds the second file's first bytes");
        assert_eq!((content.verified_run(0, 0, 25), content.verified_bytes(1)), (25, 10));
        assert_eq!(content.missing_bytes(1), 12);
    }

    #[test]
    fn a_touched_file_is_only_claimed_and_a_wrong_piece_is_lost_not_delivered() {
        let dir = tempfile::tempdir().unwrap();
        started(dir.path());
        let victim = dir.path().join("0-f0.bin");
        let handle = OpenOptions::new().write(true).open(victim).unwrap();
        handle.write_all_at(b"!", 12).unwrap();
        handle.set_modified(std::time::UNIX_EPOCH).unwrap();
        let content = again(dir.path());
        assert_eq!(content.verified_run(0, 0, 25), 0);
        assert!(content.is_claimed(0) && content.verify(0));
        assert!(!content.verify(1) && content.take_lost() && !content.take_lost());
        assert_eq!(content.verified_run(0, 0, 25), 10);
        assert_eq!(content.resumable(), [0b1010_0000]);
    }

    #[test]
    fn blocks_of_the_torrent_land_in_their_files_and_a_wrong_one_is_told_by_its_digest() {
        let dir = tempfile::tempdir().unwrap();
        let (payload, content) = (payload(), again(dir.path()));
        content.write_torrent(0, &[&payload[..7], &payload[7..20], &payload[20..42]]).unwrap();
        let mut read = vec![0; 30];
        content.read_torrent(12, &mut read).unwrap();
        assert_eq!(read, payload[12..]);
        let (right, digests) = content.check(2, true).unwrap();
        assert!(right && content.check(2, false).unwrap() == (true, Vec::new()));
        content.write_torrent(24, &[b"!"]).unwrap();
        let (wrong, others) = content.check(2, false).unwrap();
        assert!(!wrong && others.len() == digests.len() && others != digests);
    }

    #[test]
    fn who_brought_it_is_remembered_and_nonsense_is_not() {
        let dir = tempfile::tempdir().unwrap();
        assert!(Content::kept_peers(dir.path()).is_empty());
        let peers = ["127.0.0.2:6881".parse().unwrap(), "[::1]:7".parse().unwrap()];
        again(dir.path()).keep_peers(&peers);
        assert_eq!(Content::kept_peers(dir.path()), ["127.0.0.2:6881", "[::1]:7"]);
        std::fs::write(dir.path().join(PEERS_FILE), "localhost:1\n127.0.0.3:9\n\u{1b}[31m\n").unwrap();
        assert_eq!(Content::kept_peers(dir.path()), ["127.0.0.3:9"]);
    }

    #[test]
    fn a_missing_or_short_file_is_not_claimed() {
        let dir = tempfile::tempdir().unwrap();
        started(dir.path());
        std::fs::remove_file(dir.path().join("1-f1.bin")).unwrap();
        let handle = OpenOptions::new().write(true).open(dir.path().join("0-f0.bin")).unwrap();
        handle.set_modified(std::time::UNIX_EPOCH).unwrap();
        assert_eq!(again(dir.path()).resumable(), [0b1100_0000], "piece 2 reaches into the missing file");
        handle.set_len(7).unwrap();
        assert_eq!(again(dir.path()).resumable(), [0]);
    }

    /// As [`started`], with both files complete and sealed.
    fn finished(dir: &Path) -> Content {
        let content = started(dir);
        content.write_torrent(30, &[&payload()[30..]]).unwrap();
        (3..5).for_each(|piece| content.complete(piece));
        content.save().unwrap();
        content
    }

    fn change(dir: &Path, name: &str, offset: u64) {
        let file = OpenOptions::new().write(true).open(dir.join(name)).unwrap();
        file.write_all_at(b"!", offset).unwrap();
        // As it would be if it had been written later than it was.
        file.set_modified(std::time::UNIX_EPOCH).unwrap();
    }

    #[test]
    fn a_piece_in_two_files_is_believed_only_if_nobody_touched_either() {
        let dir = tempfile::tempdir().unwrap();
        finished(dir.path());
        let content = again(dir.path());
        assert_eq!((content.verified_run(0, 0, 25), content.verified_run(1, 0, 17)), (25, 17));
        change(dir.path(), "1-f1.bin", 2);
        let content = again(dir.path());
        assert_eq!((content.verified_run(0, 0, 25), content.verified_run(1, 0, 17)), (20, 0));
        assert!(content.covers(1, 0..17) && !content.verify(2) && content.verify(3));
        OpenOptions::new().write(true).open(dir.path().join("1-f1.bin")).unwrap().set_len(0).unwrap();
        let content = again(dir.path());
        assert_eq!(content.resumable(), [0b1100_0000], "not even claimed: there is nothing of it");
        std::fs::remove_file(dir.path().join("1-f1.bin")).unwrap();
        assert_eq!(again(dir.path()).resumable(), [0b1100_0000]);
    }

    #[test]
    fn a_file_that_is_changed_while_it_is_open_is_hashed_when_it_is_opened_again() {
        let dir = tempfile::tempdir().unwrap();
        let content = started(dir.path());
        change(dir.path(), "0-f0.bin", 12);
        content.write_torrent(30, &[&payload()[30..]]).unwrap();
        (3..5).for_each(|piece| content.complete(piece));
        content.save().unwrap();
        let content = again(dir.path());
        assert_eq!((content.verified_run(0, 0, 25), content.verified_run(1, 5, 12)), (0, 12));
        // Also one that was found complete, and is hashed piece by piece.
        assert!(content.verify(0) && !content.verify(1) && content.verify(2));
        content.write_torrent(10, &[&payload()[10..20]]).unwrap();
        content.complete(1);
        content.save().unwrap();
        assert_eq!(again(dir.path()).verified_run(0, 0, 25), 25, "it was mended, and sealed once more");
        change(dir.path(), "0-f0.bin", 20);
        let content = again(dir.path());
        assert!(content.verify(0) && content.verify(1));
        let file = OpenOptions::new().write(true).open(dir.path().join("0-f0.bin")).unwrap();
        file.write_all_at(&payload()[20..21], 20).unwrap();
        assert!(content.verify(2));
        content.save().unwrap();
        assert_eq!(again(dir.path()).verified_run(0, 0, 25), 0, "somebody else wrote while it was hashed");
    }

    #[test]
    fn a_file_that_only_its_clock_says_was_touched_is_sealed_again() {
        let dir = tempfile::tempdir().unwrap();
        finished(dir.path());
        change(dir.path(), "1-f1.bin", 3);
        let file = OpenOptions::new().write(true).open(dir.path().join("1-f1.bin")).unwrap();
        file.write_all_at(&payload()[28..29], 3).unwrap();
        let content = again(dir.path());
        assert!((2..5).all(|piece| content.is_claimed(piece) && content.verify(piece)));
        content.save().unwrap();
        assert_eq!(again(dir.path()).verified.count(), 5);
    }

    #[test]
    fn two_that_have_a_torrent_open_lose_nothing_of_each_other() {
        let dir = tempfile::tempdir().unwrap();
        started(dir.path());
        change(dir.path(), "0-f0.bin", 12);
        let (hashes, fetches) = (again(dir.path()), again(dir.path()));
        fetches.write_torrent(30, &[&payload()[30..]]).unwrap();
        (3..5).for_each(|piece| fetches.complete(piece));
        assert!(fetches.verify(2));
        fetches.save().unwrap();
        assert!(hashes.verify(0) && !hashes.verify(1));
        hashes.save().unwrap();
        let content = again(dir.path());
        assert_eq!(
            content.resumable(),
            [0b1111_1000],
            "what one of them fetched is still there for the other"
        );
        assert_eq!(content.verified_run(1, 5, 12), 12, "and sealed");
    }

    #[test]
    fn what_was_not_there_is_not_claimed_again_once_its_file_is_written() {
        let dir = tempfile::tempdir().unwrap();
        finished(dir.path());
        std::fs::remove_file(dir.path().join("1-f1.bin")).unwrap();
        let content = again(dir.path());
        content.set_len(1, 17).unwrap();
        content.write_torrent(40, &[&payload()[40..]]).unwrap();
        content.complete(4);
        content.save().unwrap();
        assert_eq!(again(dir.path()).resumable(), [0b1100_1000], "the rest of the file is a hole");
    }

    #[test]
    fn a_have_map_that_somebody_holds_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let content = started(dir.path());
        let text = std::fs::read(dir.path().join(have::HAVE_FILE)).unwrap();
        content.complete(3);
        let held = alone(dir.path()).unwrap();
        let error = content.save().unwrap_err();
        assert!(matches!(&error, Error::Busy(text) if text.contains("notes.lock")), "{error}");
        assert!(std::fs::read(dir.path().join(have::HAVE_FILE)).unwrap() == text);
        drop(held);
        content.save().unwrap();
        assert_eq!(again(dir.path()).resumable(), [0b1111_0000]);
    }

    #[test]
    fn a_damaged_or_foreign_have_map_is_no_have_map() {
        let dir = tempfile::tempdir().unwrap();
        started(dir.path());
        let path = dir.path().join(have::HAVE_FILE);
        let text = std::fs::read_to_string(&path).unwrap();
        for bad in
            [text.replace("e0", "e0e0"), text.replace("0707", "0808"), text[..20].to_owned(), String::new()]
        {
            std::fs::write(&path, bad).unwrap();
            assert_eq!(again(dir.path()).resumable(), [0]);
        }
    }

    #[test]
    fn a_link_in_place_of_a_file_is_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("target");
        std::fs::write(&target, "precious").unwrap();
        std::os::unix::fs::symlink(&target, dir.path().join("0-f0.bin")).unwrap();
        let content = again(dir.path());
        assert!(content.write_torrent(0, &[b"evil"]).is_err());
        assert!(matches!(content.fault(), Some(Error::Storage { .. })));
        assert_eq!(std::fs::read_to_string(target).unwrap(), "precious");
    }

    #[test]
    fn a_file_is_open_once_for_all_who_read_it_and_not_longer() {
        let dir = tempfile::tempdir().unwrap();
        let content = started(dir.path());
        let (one, other) = (content.file(0).unwrap(), content.file(0).unwrap());
        let elsewhere = content.file(1).unwrap();
        assert!(Arc::ptr_eq(&one, &other) && !Arc::ptr_eq(&one, &elsewhere));
        let closed = Arc::downgrade(&one);
        drop((one, other));
        assert_eq!(closed.strong_count(), 0);
        std::fs::remove_file(content.path_of(0)).unwrap();
        std::fs::remove_file(content.path_of(1)).unwrap();
        assert!(matches!(content.file(0), Err(Error::Storage { .. })), "nobody had it open");
        let mut bytes = [0; 5];
        content.file(1).unwrap().read_exact_at(&mut bytes, 0).unwrap();
        assert_eq!(bytes, payload()[25..30], "who came while it was read reads the same");
        drop(elsewhere);
        assert!(content.file(1).is_err());
    }

    #[test]
    fn disk_names_stay_one_tame_component() {
        for hostile in
            ["../../etc/passwd", "\u{feff}..", "..", ".", "", "a/b\0c", "x\u{1b}[2J", &"ü".repeat(300)]
        {
            let name = disk_name(3, hostile);
            assert!(name.starts_with("3-") && name.len() <= 160, "{name}");
            assert!(!name.contains(['/', '\0', '\u{1b}', '\u{feff}']) && !name.ends_with('.'), "{name}");
        }
        assert_eq!(disk_name(0, "A film (1999).mkv"), "0-A film (1999).mkv");
        assert_eq!(disk_name(12, &format!("{}.mp4", "n".repeat(300))).len(), 3 + 120 + 4);
    }

    #[tokio::test]
    async fn who_waits_for_a_piece_is_woken_by_it_alone() {
        let dir = tempfile::tempdir().unwrap();
        let content = started(dir.path());
        let (third, fourth) = (content.await_piece(3), content.await_piece(4));
        let mut wanted = std::pin::pin!(third.arrived());
        let mut other = std::pin::pin!(fourth.arrived());
        wanted.as_mut().enable();
        other.as_mut().enable();
        content.complete(3);
        wanted.await;
        assert!(!other.as_mut().enable(), "piece 4 did not arrive");
    }
}
