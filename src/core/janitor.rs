//! The scratch directory: who uses which torrent's directory, and what may be deleted.
//!
//! Owns `<temp>/<infohash>/`, its lock file `<temp>/<infohash>.lock`, and the directories of running
//! sessions. Whoever streams holds the lock shared (a [`Lease`]), whoever deletes holds it exclusively, so a
//! torrent in use is never deleted, whichever process uses it. Deletes nothing that it did not make: only
//! directories with a 40-hex name beside a lock file with our mark, never through a symbolic link.
//!
//! A lock file goes together with its directory. That is safe because whoever takes a lock checks afterwards
//! that the path still names the file it locked (`is_current`), and starts again when it does not.
//!
//! Everything here blocks; call it from a blocking task when latency matters.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io,
    os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant, SystemTime},
};

use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::{
    Error,
    source::InfoHash,
    store::{Hold, LOCK_WAIT, hold_within, open_plain, owned, private_dir, try_hold},
    sync::others_may_act,
    uptime::Uptime,
};

/// First bytes of every lock file of ours; behind them stands when its torrent was last used, by [`Uptime`].
const MARK: &[u8] = b"swarmcat\n";

/// How often a lease in use says so on disk; far finer than any sensible `--older-than`.
const TOUCH_EVERY: Duration = Duration::from_secs(60);

/// A calendar that says so much more than the machine has been up since was set meanwhile; less is its usual drift.
const JUMP: Duration = Duration::from_secs(24 * 60 * 60);

/// How often a lock is started over because its file was deleted meanwhile. Each time means that a cleanup
/// went through in between; this many in a row do not happen.
const TAKES: usize = 100;

/// The temp directory.
#[derive(Debug, Clone)]
pub struct ScratchDir {
    path: PathBuf,
}

/// A torrent's directory in use: while any lease lives, in whatever process, it is not deleted. Cheap to
/// clone.
#[derive(Debug, Clone)]
pub struct Lease {
    held: Arc<Held>,
}

#[derive(Debug)]
struct Held {
    info_hash: InfoHash,
    dir: PathBuf,
    lock: File,
    since: Instant,
    /// Milliseconds from `since` to the last touch.
    touched: AtomicU64,
}

/// The right to download into a torrent's directory, held by one process at a time.
#[derive(Debug)]
pub struct WriterLock {
    file: File,
    _lease: Lease,
}

/// A directory for one running session; gone when dropped, or at the next cleanup after a crash.
#[derive(Debug)]
pub struct SessionDir {
    path: PathBuf,
    lock_path: PathBuf,
    _lock: File,
}

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

impl CleanupReport {
    fn new(dry_run: bool) -> Self {
        Self { dry_run, removed: Vec::new(), kept: Vec::new(), freed: 0 }
    }
}

/// The bytes of a file system.
#[derive(Debug, Clone, Copy)]
pub struct Space {
    /// Free for us.
    pub free: u64,
    /// All there are.
    pub all: u64,
}

impl ScratchDir {
    /// Opens the temp directory, creating it if it is missing. Refuses a symbolic link and another user's.
    pub fn open(temp_dir: &Path) -> Result<Self, Error> {
        let path = without_trailing_slash(temp_dir);
        refuse_link(&path)?;
        private_dir(&path)?;
        refuse_link(&path)?;
        Ok(Self { path })
    }

    /// Opens the temp directory if there is one; never creates it.
    pub fn existing(temp_dir: &Path) -> Result<Option<Self>, Error> {
        match fs::symlink_metadata(without_trailing_slash(temp_dir)) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            _ => Self::open(temp_dir).map(Some),
        }
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Takes a lease on a torrent's directory, creating the directory if it is missing.
    pub fn lease(&self, info_hash: &InfoHash) -> Result<Lease, Error> {
        for _ in 0..TAKES {
            if let Some(lock) = self.take_shared(info_hash)? {
                let dir = self.dir(info_hash);
                torrent_dir(&dir).map_err(|e| Error::storage("using directory", &dir, e))?;
                return Ok(Lease { held: Arc::new(Held::new(*info_hash, dir, lock)) });
            }
        }
        Err(being_removed(info_hash))
    }

    /// Deletes a torrent now; the bytes freed. [`Error::Busy`] while anybody, this process too, has a lease.
    pub fn remove(&self, info_hash: &InfoHash) -> Result<u64, Error> {
        let failed = |e| Error::storage("removing", self.dir(info_hash), e);
        match self.judge(info_hash, Duration::ZERO, SystemTime::now()).map_err(failed)? {
            Verdict::Free { lock, .. } => self.take_down(info_hash, lock).map_err(failed),
            Verdict::Keep { reason: KeptReason::InUse, .. } => {
                Err(Error::Busy(format!("torrent {info_hash} is in use; nothing was removed")))
            }
            Verdict::Keep { .. } if self.dir(info_hash).symlink_metadata().is_ok() => {
                Err(failed(io::Error::other("it is not a directory that swarmcat made")))
            }
            Verdict::Keep { .. } | Verdict::Gone => Ok(0),
        }
    }

    /// What the file system has left for us, and in all.
    pub fn space(&self) -> Result<Space, Error> {
        let stat = rustix::fs::statvfs(&self.path);
        let stat = stat.map_err(|e| Error::storage("asking for free space in", &self.path, e.into()))?;
        let bytes = |blocks: u64| blocks.saturating_mul(stat.f_frsize);
        Ok(Space { free: bytes(stat.f_bavail), all: bytes(stat.f_blocks) })
    }

    /// Makes a directory for a running session.
    pub fn session_dir(&self) -> Result<SessionDir, Error> {
        for _ in 0..TAKES {
            let path =
                self.path.join(format!(".session-{}-{:016x}", std::process::id(), rand::random::<u64>()));
            if let Some(session) =
                SessionDir::create(&path).map_err(|e| Error::storage("creating", &path, e))?
            {
                return Ok(session);
            }
        }
        Err(Error::Busy(format!("cleanups keep removing new directories in {}", self.path.display())))
    }

    /// Deletes every torrent that nobody uses and nobody has used for `older_than`, and what killed processes
    /// left behind. With `dry_run` only says so.
    pub fn cleanup(
        &self,
        older_than: Duration,
        dry_run: bool,
        now: OffsetDateTime,
    ) -> Result<CleanupReport, Error> {
        let mut sweep =
            Sweep { scratch: self, older_than, now: now.into(), report: CleanupReport::new(dry_run) };
        for name in self.names().map_err(|e| Error::storage("listing", &self.path, e))? {
            sweep.visit(&name);
        }
        Ok(sweep.report)
    }

    /// Where a torrent is kept, if it is.
    pub fn dir(&self, info_hash: &InfoHash) -> PathBuf {
        self.path.join(info_hash.to_string())
    }

    fn lock_path(&self, info_hash: &InfoHash) -> PathBuf {
        self.path.join(format!("{info_hash}.lock"))
    }

    /// In order, so that reports can be compared; what is not UTF-8 is not ours.
    fn names(&self) -> io::Result<Vec<String>> {
        let names = fs::read_dir(&self.path)?.map(|entry| Ok(entry?.file_name().into_string().ok()));
        let mut names = names.filter_map(Result::transpose).collect::<io::Result<Vec<String>>>()?;
        names.sort_unstable();
        Ok(names)
    }

    /// Holds a torrent's lock shared; `None` when it has to be tried again.
    fn take_shared(&self, info_hash: &InfoHash) -> Result<Option<File>, Error> {
        let path = self.lock_path(info_hash);
        let failed = |e| Error::storage("locking", &path, e);
        let lock =
            open_plain(OpenOptions::new().read(true).write(true).create(true), &path).map_err(failed)?;
        if !hold_within(&lock, Hold::Shared, LOCK_WAIT).map_err(failed)? {
            return Err(being_removed(info_hash));
        }
        match is_current(&lock, &path).and_then(|current| Ok((current, Mark::of(&lock)?))).map_err(failed)? {
            (true, Mark::Ours) => Ok(Some(lock)),
            (true, Mark::Blank) => self.claim(info_hash, &lock).map(|()| None),
            (true, Mark::Foreign) => Err(failed(io::Error::other("it is not a lock file of swarmcat"))),
            (false, _) => Ok(None),
        }
    }

    /// Marks a new lock file as ours. A directory that was there before its lock file is somebody else's: with
    /// our mark beside it, the next cleanup would delete it.
    fn claim(&self, info_hash: &InfoHash, lock: &File) -> Result<(), Error> {
        let (path, dir) = (self.lock_path(info_hash), self.dir(info_hash));
        let failed = |e| Error::storage("locking", &path, e);
        if !hold_within(lock, Hold::Exclusive, LOCK_WAIT).map_err(failed)? {
            return Err(being_removed(info_hash));
        }
        if !is_current(lock, &path).map_err(failed)? || Mark::of(lock).map_err(failed)? != Mark::Blank {
            return Ok(());
        }
        if dir.symlink_metadata().is_ok() {
            fs::remove_file(&path).map_err(failed)?;
            let foreign =
                "swarmcat did not make it (there is no lock file beside it); move it away and try again";
            return Err(Error::storage("using directory", dir, io::Error::other(foreign)));
        }
        // On disk before the directory is, so that no power cut leaves a directory that looks like somebody else's.
        lock.write_all_at(MARK, 0).and_then(|()| lock.sync_all()).map_err(failed)
    }

    fn judge(&self, info_hash: &InfoHash, older_than: Duration, now: SystemTime) -> io::Result<Verdict> {
        let keep = |reason, idle| Ok(Verdict::Keep { reason, idle });
        let path = self.lock_path(info_hash);
        let Some(lock) = open_lock(&path)? else { return keep(KeptReason::NotOurs, Duration::ZERO) };
        if Mark::of(&lock)? != Mark::Ours {
            return keep(KeptReason::NotOurs, Duration::ZERO);
        }
        let idle = idle(&lock, now)?;
        if !try_hold(&lock, Hold::Exclusive)? {
            return keep(KeptReason::InUse, idle);
        }
        if !is_current(&lock, &path)? {
            return Ok(Verdict::Gone);
        }
        match self.dir(info_hash).symlink_metadata() {
            Ok(meta) if !meta.is_dir() || owned(&meta).is_err() => keep(KeptReason::NotOurs, idle),
            Ok(_) if idle < older_than => keep(KeptReason::Recent, idle),
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
            _ => Ok(Verdict::Free { lock, idle }),
        }
    }

    /// Deletes a torrent whose lock is held exclusively; the bytes freed. The lock is let go before the slow
    /// part, so that a new stream of the same torrent need not wait for the old one's deletion.
    fn take_down(&self, info_hash: &InfoHash, lock: File) -> io::Result<u64> {
        let trash = Trash::take(&self.path, &self.dir(info_hash))?;
        let lock_bytes = allocated(&lock.metadata()?);
        others_may_act();
        fs::remove_file(self.lock_path(info_hash))?;
        drop(lock);
        Ok(lock_bytes + trash.map_or(Ok(0), Trash::empty)?)
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
        None => Ok(CleanupReport::new(dry_run)),
    }
}

/// What may be done with a torrent.
enum Verdict {
    /// Nobody uses it; the lock is held exclusively.
    Free { lock: File, idle: Duration },
    /// It stays.
    Keep { reason: KeptReason, idle: Duration },
    /// Somebody else deleted it just now.
    Gone,
}

/// Whose a lock file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mark {
    Ours,
    /// Just created.
    Blank,
    Foreign,
}

impl Mark {
    fn of(lock: &File) -> io::Result<Self> {
        let mut start = [0; MARK.len()];
        match lock.read_at(&mut start, 0)? {
            0 => Ok(Mark::Blank),
            read if start[..read] == *MARK => Ok(Mark::Ours),
            _ => Ok(Mark::Foreign),
        }
    }
}

impl Held {
    fn new(info_hash: InfoHash, dir: PathBuf, lock: File) -> Self {
        let held = Self { info_hash, dir, lock, since: Instant::now(), touched: AtomicU64::new(0) };
        held.stamp();
        held
    }

    /// Starts the idle clock anew. A failure costs no more than an early cleanup of an unused torrent.
    fn stamp(&self) {
        let line = Uptime::now().map(|now| now.line()).unwrap_or_default();
        let written = self.lock.write_all_at(line.as_bytes(), MARK.len() as u64);
        if let Err(e) = written.and_then(|()| self.lock.set_modified(SystemTime::now())) {
            tracing::debug!("Torrent {}: the time of its last use cannot be kept: {e}", self.info_hash);
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.stamp();
    }
}

impl Lease {
    /// The torrent's directory.
    pub fn dir(&self) -> &Path {
        &self.held.dir
    }

    /// The torrent.
    pub fn info_hash(&self) -> InfoHash {
        self.held.info_hash
    }

    /// Says that the torrent is being used; free when it was said less than a minute ago. Taking and dropping
    /// a lease says it too.
    pub fn touch(&self) {
        let now = u64::try_from(self.held.since.elapsed().as_millis()).unwrap_or(u64::MAX);
        let last = self.held.touched.load(Relaxed);
        let due = u128::from(now.saturating_sub(last)) >= TOUCH_EVERY.as_millis();
        if due && self.held.touched.compare_exchange(last, now, Relaxed, Relaxed).is_ok() {
            self.held.stamp();
        }
    }

    /// Takes the right to download; `doing` says to others what this process does. [`Error::Busy`] names the
    /// process that has it.
    pub fn writer(&self, doing: &str) -> Result<WriterLock, Error> {
        let path = self.dir().join("writer.lock");
        let failed = |e| Error::storage("locking", &path, e);
        let file =
            open_plain(OpenOptions::new().read(true).write(true).create(true), &path).map_err(failed)?;
        if !try_hold(&file, Hold::Exclusive).map_err(failed)? {
            return Err(Error::Busy(format!("torrent {} {}", self.info_hash(), writer(&file))));
        }
        // A courtesy to whoever comes second: worth no failure, and a full disk is told elsewhere.
        let _ = file.set_len(0).and_then(|()| file.write_all_at(note(doing).as_bytes(), 0));
        Ok(WriterLock { file, _lease: self.clone() })
    }
}

impl Drop for WriterLock {
    fn drop(&mut self) {
        // While the lock is still held, so that nobody reads an old note beside a new lock.
        let _ = self.file.set_len(0);
    }
}

/// What a writer leaves in its lock file: process, since when, doing what; a line each.
fn note(doing: &str) -> String {
    let since =
        OffsetDateTime::now_utc().replace_nanosecond(0).ok().and_then(|now| now.format(&Rfc3339).ok());
    let doing: String = doing.chars().map(|c| if c.is_control() { ' ' } else { c }).take(200).collect();
    format!("{}\n{}\n{doing}\n", std::process::id(), since.unwrap_or_default())
}

/// Who downloads, from its note; the note may not be there yet.
fn writer(file: &File) -> String {
    let mut note = [0; 1024];
    let read = file.read_at(&mut note, 0).unwrap_or(0);
    let note = String::from_utf8_lossy(&note[..read]);
    match note.lines().collect::<Vec<_>>()[..] {
        [process, since, doing] => {
            format!("is being downloaded by process {process} ({doing}) since {since}")
        }
        _ => "is being downloaded by another process".to_owned(),
    }
}

impl SessionDir {
    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Lock file first: a session's directory without one held is a dead session's. `None` when a cleanup got
    /// hold of the lock in between.
    fn create(path: &Path) -> io::Result<Option<Self>> {
        let lock_path = path.with_extension("lock");
        let lock = open_plain(OpenOptions::new().read(true).write(true).create_new(true), &lock_path)?;
        if !try_hold(&lock, Hold::Exclusive)? || !is_current(&lock, &lock_path)? {
            return Ok(None);
        }
        DirBuilder::new().mode(0o700).create(path)?;
        Ok(Some(Self { path: path.to_owned(), lock_path, _lock: lock }))
    }
}

impl Drop for SessionDir {
    fn drop(&mut self) {
        let removed = fs::remove_dir_all(&self.path).and_then(|()| fs::remove_file(&self.lock_path));
        if let Err(e) = removed {
            tracing::debug!("{} is left to the next cleanup: {e}", self.path.display());
        }
    }
}

/// A directory renamed so that nobody finds it any more, on its way out.
struct Trash {
    path: PathBuf,
    /// Locked, so that another cleanup does not take it for a leftover.
    _dir: File,
}

impl Trash {
    /// Renames `dir` away; `None` when there is no such directory.
    fn take(scratch: &Path, dir: &Path) -> io::Result<Option<Self>> {
        let Some(opened) = open_dir(dir)? else { return Ok(None) };
        // Not every file system locks directories (NFS does not). Without it two cleanups may empty the same
        // trash, which does no harm.
        let _ = try_hold(&opened, Hold::Exclusive);
        others_may_act();
        let path = scratch.join(format!(".trash-{:016x}", rand::random::<u64>()));
        fs::rename(dir, &path)?;
        Ok(Some(Self { path, _dir: opened }))
    }

    /// What a killed cleanup left; `None` when it is gone, or its owner is alive.
    fn leftover(path: PathBuf) -> io::Result<Option<Self>> {
        let Some(opened) = open_dir(&path)? else { return Ok(None) };
        let alive = matches!(try_hold(&opened, Hold::Exclusive), Ok(false));
        Ok((!alive).then_some(Self { path, _dir: opened }))
    }

    /// Deletes it; the bytes freed.
    fn empty(self) -> io::Result<u64> {
        let bytes = disk_usage(&self.path);
        match fs::remove_dir_all(&self.path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
            _ => Ok(bytes),
        }
    }
}

/// One walk over the temp directory.
struct Sweep<'a> {
    scratch: &'a ScratchDir,
    older_than: Duration,
    now: SystemTime,
    report: CleanupReport,
}

impl Sweep<'_> {
    fn visit(&mut self, name: &str) {
        let path = self.scratch.path.join(name);
        let freed = match Name::of(name) {
            Name::Torrent(info_hash) => return self.torrent(info_hash),
            Name::TorrentLock(info_hash) => self.orphan(&info_hash),
            Name::Session => self.session(&path),
            Name::Trash => self.trash(path.clone()),
            Name::Foreign => return,
        };
        match freed {
            Ok(freed) => self.report.freed += freed,
            Err(e) => tracing::warn!("{} cannot be removed: {e}", path.display()),
        }
    }

    fn torrent(&mut self, info_hash: InfoHash) {
        let bytes = disk_usage(&self.scratch.dir(&info_hash));
        let failed = |e: io::Error| (KeptReason::Failed(e.to_string()), Duration::ZERO);
        let removed = match self.scratch.judge(&info_hash, self.older_than, self.now) {
            Ok(Verdict::Gone) => return,
            Ok(Verdict::Keep { reason, idle }) => Err((reason, idle)),
            Ok(Verdict::Free { lock, idle }) if self.report.dry_run => {
                Ok((lock.metadata().map_or(0, |meta| allocated(&meta)) + bytes, idle))
            }
            Ok(Verdict::Free { lock, idle }) => {
                self.scratch.take_down(&info_hash, lock).map(|bytes| (bytes, idle)).map_err(failed)
            }
            Err(e) => Err(failed(e)),
        };
        match removed {
            Ok((bytes, idle)) => {
                self.report.freed += bytes;
                self.report.removed.push(Removed { info_hash, bytes, idle });
            }
            Err((reason, idle)) => self.report.kept.push(Kept { info_hash, reason, bytes, idle }),
        }
    }

    /// A lock file whose directory is gone, as a killed cleanup or a killed start of a stream leaves it.
    fn orphan(&self, info_hash: &InfoHash) -> io::Result<u64> {
        if self.scratch.dir(info_hash).symlink_metadata().is_ok() {
            return Ok(0);
        }
        match self.scratch.judge(info_hash, Duration::ZERO, self.now)? {
            Verdict::Free { lock, .. } if self.report.dry_run => Ok(allocated(&lock.metadata()?)),
            Verdict::Free { lock, .. } => self.scratch.take_down(info_hash, lock),
            Verdict::Keep { .. } | Verdict::Gone => Ok(0),
        }
    }

    /// A session's lock file, and its directory with it.
    fn session(&self, lock_path: &Path) -> io::Result<u64> {
        let Some(lock) = open_lock(lock_path)? else { return Ok(0) };
        if !try_hold(&lock, Hold::Exclusive)? || !is_current(&lock, lock_path)? {
            return Ok(0);
        }
        let dir = lock_path.with_extension("");
        if self.report.dry_run {
            return Ok(disk_usage(&dir));
        }
        let trash = Trash::take(&self.scratch.path, &dir)?;
        fs::remove_file(lock_path)?;
        trash.map_or(Ok(0), Trash::empty)
    }

    fn trash(&self, path: PathBuf) -> io::Result<u64> {
        match Trash::leftover(path)? {
            Some(trash) if self.report.dry_run => Ok(disk_usage(&trash.path)),
            Some(trash) => trash.empty(),
            None => Ok(0),
        }
    }
}

/// What a name in the temp directory stands for.
#[derive(Debug, PartialEq, Eq)]
enum Name {
    Torrent(InfoHash),
    TorrentLock(InfoHash),
    /// The lock file of a session; its directory goes with it.
    Session,
    Trash,
    Foreign,
}

impl Name {
    fn of(name: &str) -> Self {
        if let Some(info_hash) = canonical(name) {
            return Name::Torrent(info_hash);
        }
        if let Some(info_hash) = name.strip_suffix(".lock").and_then(canonical) {
            return Name::TorrentLock(info_hash);
        }
        if name.strip_prefix(".trash-").is_some_and(is_random) {
            return Name::Trash;
        }
        let session = name.strip_prefix(".session-").and_then(|rest| rest.strip_suffix(".lock"));
        match session.and_then(|rest| rest.split_once('-')) {
            Some((process, random)) if process.parse::<u32>().is_ok() && is_random(random) => Name::Session,
            _ => Name::Foreign,
        }
    }
}

/// 40 lower-case hex digits, and nothing else that would also parse as an info hash.
fn canonical(name: &str) -> Option<InfoHash> {
    name.parse::<InfoHash>().ok().filter(|info_hash| info_hash.to_string() == name)
}

fn is_random(text: &str) -> bool {
    text.len() == 16 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

/// How long nobody has used what a lock file is for. Under a calendar that was set back, nothing is idle; under one that
/// was set far ahead, it is as idle as the machine has been up since.
fn idle(lock: &File, now: SystemTime) -> io::Result<Duration> {
    let by_calendar = now.duration_since(lock.metadata()?.modified()?).unwrap_or_default();
    let mut line = [0; 128];
    let read = lock.read_at(&mut line, MARK.len() as u64)?;
    let noted = Uptime::parse(&String::from_utf8_lossy(&line[..read]));
    let by_uptime = noted.and_then(|noted| Uptime::now()?.since(&noted));
    Ok(by_uptime.filter(|uptime| by_calendar.saturating_sub(*uptime) > JUMP).unwrap_or(by_calendar))
}

/// Whether the path still names the file that was locked.
fn is_current(lock: &File, path: &Path) -> io::Result<bool> {
    others_may_act();
    let locked = lock.metadata()?;
    match fs::symlink_metadata(path) {
        Ok(named) => Ok((named.dev(), named.ino()) == (locked.dev(), locked.ino())),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(e) => Err(e),
    }
}

/// Opens a lock file that is there; `None` when there is none, or something that cannot be ours.
fn open_lock(path: &Path) -> io::Result<Option<File>> {
    match fs::symlink_metadata(path) {
        Ok(meta) if meta.is_file() && owned(&meta).is_ok() => {}
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => return Ok(None),
    }
    match open_plain(OpenOptions::new().read(true).write(true), path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        opened => opened.map(Some),
    }
}

/// Opens a real directory of our own; `None` when there is nothing of that name.
fn open_dir(path: &Path) -> io::Result<Option<File>> {
    let flags = libc::O_DIRECTORY | libc::O_NOFOLLOW;
    match OpenOptions::new().read(true).custom_flags(flags).open(path) {
        Ok(dir) => owned(&dir.metadata()?).map(|()| Some(dir)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e),
    }
}

/// Makes sure of a torrent's directory: real, ours, and for nobody else to read when it is new.
fn torrent_dir(path: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(path) {
        Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(e),
        _ => {}
    }
    let meta = path.symlink_metadata()?;
    match meta.is_dir() {
        true => owned(&meta),
        false => Err(io::Error::other("it is not a directory; remove it and try again")),
    }
}

/// Bytes allocated below a path, itself included; links are counted, not followed. What vanishes meanwhile
/// counts nothing.
fn disk_usage(path: &Path) -> u64 {
    let mut bytes = 0;
    let mut left = vec![path.to_owned()];
    while let Some(path) = left.pop() {
        let Ok(meta) = path.symlink_metadata() else { continue };
        bytes += allocated(&meta);
        if meta.is_dir() {
            left.extend(fs::read_dir(&path).into_iter().flatten().flatten().map(|entry| entry.path()));
        }
    }
    bytes
}

/// Sparse files take less than their length.
fn allocated(meta: &fs::Metadata) -> u64 {
    // `st_blocks` counts in 512 bytes, whatever the file system's block size.
    meta.blocks() * 512
}

/// `temp/` would be followed where `temp` is a link.
fn without_trailing_slash(path: &Path) -> PathBuf {
    path.components().collect()
}

fn refuse_link(path: &Path) -> Result<(), Error> {
    match path.symlink_metadata() {
        Ok(meta) if meta.is_symlink() => {
            let why = io::Error::other("it is a symbolic link; name the directory that it points to");
            Err(Error::storage("using directory", path, why))
        }
        _ => Ok(()),
    }
}

fn being_removed(info_hash: &InfoHash) -> Error {
    Error::Busy(format!("torrent {info_hash} is being removed by another process; try again in a moment"))
}

#[cfg(all(test, feature = "models"))]
mod models;
