//! One torrent's bytes on disk: which pieces are verified, which an earlier run says are there, and who waits for which.
//!
//! `<dir>/<index>-<name>` holds a file, `<dir>/metainfo.torrent` the metainfo, `<dir>/have.json` the have-map,
//! `<dir>/peers` who brought it.
//! A piece is *verified* once its SHA-1 was right in this process, or in an earlier one that saw its file complete and
//! left it untouched since (same length, same modification time, same boot: a crash of the machine may lose pages that
//! a crash of the process cannot). Whatever else the have-map names is only *claimed*, and hashed before its first use.

use std::{
    collections::HashMap,
    fs::{File, OpenOptions},
    hash::{BuildHasher, RandomState},
    io::{self, IoSlice, Read},
    net::SocketAddr,
    os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::{Arc, OnceLock, Weak},
};

use sha1::{Digest, Sha1};
use tokio::{sync::Notify, time::Instant};

use super::{
    Error,
    disk::Disk,
    metainfo::{BLOCK, FileEntry, Metainfo},
    pieces::PieceSet,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
        lock,
    },
    uptime::boot_id,
};

const METAINFO_FILE: &str = "metainfo.torrent";
const HAVE_FILE: &str = "have.json";
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

/// What `have.json` says.
#[derive(serde::Serialize, serde::Deserialize)]
struct HaveMap {
    version: u32,
    info_hash: String,
    /// Bit field in hex.
    pieces: String,
    sealed: Vec<Seal>,
}

/// A file that was complete and verified when this was written.
#[derive(serde::Serialize, serde::Deserialize)]
struct Seal {
    index: usize,
    len: u64,
    mtime_ns: i128,
    boot_id: String,
}

impl Content {
    /// Opens what an earlier run left in `dir`; nothing is created yet.
    pub fn open(dir: &Path, metainfo: Arc<Metainfo>) -> Self {
        let pieces = metainfo.pieces();
        let content = Content {
            handles: metainfo.files.iter().map(|_| OnceLock::new()).collect(),
            read: Mutex::default(),
            dir: dir.to_owned(),
            verified: PieceSet::new(pieces),
            claimed: PieceSet::new(pieces),
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
        if let Some(map) = content.read_have_map() {
            content.believe(&map);
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
        replace(&path, &self.metainfo.torrent_bytes).map_err(|error| Error::storage("writing", path, error))
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
        if let Err(error) = replace(&self.dir.join(PEERS_FILE), lines.as_bytes()) {
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
        self.verified.insert(piece);
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

    /// Hashes a claimed piece; when it is wrong the claim is dropped and the torrent's keeper is told.
    pub fn verify(&self, piece: u32) -> bool {
        if self.verified.contains(piece) {
            return true;
        }
        let right = self.check(piece, false).is_ok_and(|(right, _)| right);
        self.claimed.remove(piece);
        if right {
            self.complete(piece);
        } else {
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

    /// Writes the two halves of a block; a failure is kept with its errno.
    pub fn write_at(&self, file: usize, offset: u64, mut halves: [IoSlice<'_>; 2]) -> io::Result<usize> {
        self.write_slices(file, offset, &mut halves)
    }

    fn write_slices(&self, file: usize, offset: u64, slices: &mut [IoSlice<'_>]) -> io::Result<usize> {
        let len: usize = slices.iter().map(|slice| slice.len()).sum();
        let result = self.handle(file, true).and_then(|handle| write_all_at(handle, offset, slices));
        match result {
            Ok(()) => {
                self.written.fetch_add(len as u64, Ordering::Relaxed);
                self.note_block(file, offset, len as u64);
                Ok(len)
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
        let handle = self.handle(file, true)?;
        if handle.metadata()?.len() != len {
            handle.set_len(len)?;
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

    /// Writes the have-map if it grew since the last time. Not synced: what it claims is hashed before use.
    pub fn save(&self) -> Result<(), Error> {
        let mut saved = lock(&self.saved);
        let counts = self.counts();
        if *saved == counts {
            return Ok(());
        }
        let map = HaveMap {
            version: 1,
            info_hash: self.metainfo.info_hash.to_string(),
            pieces: data_encoding::HEXLOWER.encode(&self.resumable()),
            sealed: self.seals(),
        };
        let path = self.dir.join(HAVE_FILE);
        let text = serde_json::to_vec(&map).map_err(|error| Error::Internal(error.to_string()))?;
        replace(&path, &text).map_err(|error| Error::storage("writing", path, error))?;
        *saved = counts;
        Ok(())
    }

    fn counts(&self) -> (u32, u32) {
        (self.verified.count(), self.claimed.count())
    }

    fn seals(&self) -> Vec<Seal> {
        let Some(boot_id) = boot_id() else { return Vec::new() };
        let complete = |entry: &&FileEntry| {
            !entry.padding && self.verified.first_missing(self.metainfo.pieces_of(entry)).is_none()
        };
        let seal = |entry: &FileEntry| {
            let metadata = std::fs::symlink_metadata(self.path_of(entry.index)).ok()?;
            Some(Seal {
                index: entry.index,
                len: metadata.len(),
                mtime_ns: mtime_ns(&metadata),
                boot_id: boot_id.clone(),
            })
        };
        self.metainfo.files.iter().filter(complete).filter_map(seal).collect()
    }

    fn read_have_map(&self) -> Option<HaveMap> {
        // As large as the largest bit field in hex, and room for the seals: anything longer is not ours.
        let mut text = Vec::new();
        File::open(self.dir.join(HAVE_FILE)).ok()?.take(64 << 20).read_to_end(&mut text).ok()?;
        let map: HaveMap = serde_json::from_slice(&text).ok()?;
        (map.version == 1 && map.info_hash == self.metainfo.info_hash.to_string()).then_some(map)
    }

    fn believe(&self, map: &HaveMap) {
        let bits = data_encoding::HEXLOWER.decode(map.pieces.as_bytes()).unwrap_or_default();
        let Some(said) = PieceSet::from_bytes(self.metainfo.pieces(), &bits) else { return };
        for entry in self.metainfo.files.iter().filter(|entry| entry.len > 0) {
            let on_disk = std::fs::symlink_metadata(self.path_of(entry.index)).ok();
            let sealed = map.sealed.iter().find(|seal| seal.index == entry.index);
            let untouched = sealed.zip(on_disk.as_ref()).is_some_and(|(seal, now)| seal.holds(now));
            let there = entry.padding || on_disk.is_some_and(|now| now.is_file() && now.len() == entry.len);
            for piece in self.metainfo.pieces_of(entry).filter(|piece| there && said.contains(*piece)) {
                if untouched {
                    self.verified.insert(piece)
                } else {
                    self.claimed.insert(piece)
                };
            }
        }
        self.drop_half_backed_claims();
    }

    /// A piece that lies in two files is there only if both are.
    fn drop_half_backed_claims(&self) {
        for piece in (0..self.metainfo.pieces()).filter(|piece| self.claimed.contains(*piece)) {
            let (start, len) = (self.metainfo.piece_start(piece), self.metainfo.piece_len(piece));
            let backed = self.metainfo.spans(start, len).all(|(file, ..)| {
                let entry = &self.metainfo.files[file];
                entry.padding || std::fs::metadata(self.path_of(file)).is_ok_and(|now| now.len() == entry.len)
            });
            if !backed {
                self.claimed.remove(piece);
            }
        }
    }
}

impl Seal {
    fn holds(&self, now: &std::fs::Metadata) -> bool {
        now.is_file()
            && now.len() == self.len
            && mtime_ns(now) == self.mtime_ns
            && boot_id().is_some_and(|boot_id| boot_id == self.boot_id)
    }
}

fn mtime_ns(metadata: &std::fs::Metadata) -> i128 {
    i128::from(metadata.mtime()) * 1_000_000_000 + i128::from(metadata.mtime_nsec())
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

/// New content by temporary file and rename: readers see the old or the new.
fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = path.with_extension("tmp");
    std::fs::remove_file(&temporary).or_else(|error| match error.kind() {
        io::ErrorKind::NotFound => Ok(()),
        _ => Err(error),
    })?;
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
    file.write_all_at(bytes, 0)?;
    std::fs::rename(&temporary, path)
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
        content.write_at(0, 0, [IoSlice::new(&payload()[..20]), IoSlice::new(&payload()[20..25])]).unwrap();
        content.write_at(1, 0, [IoSlice::new(&payload()[25..30]), IoSlice::new(&[])]).unwrap();
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
        assert_eq!(content.verified_run(0, 0, 25), 25, "the first file was sealed");
        assert_eq!(content.verified_bytes(1), 10, "its last piece holds the second file's first bytes");
        assert!(content.covers(0, 0..25) && !content.covers(1, 0..17));
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

    #[test]
    fn a_damaged_or_foreign_have_map_is_no_have_map() {
        let dir = tempfile::tempdir().unwrap();
        started(dir.path());
        let path = dir.path().join(HAVE_FILE);
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
        let block = [IoSlice::new(b"evil"), IoSlice::new(&[])];
        assert!(content.write_at(0, 0, block).is_err());
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
