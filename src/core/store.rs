//! One small TOML file shared by processes: locked while it changes, replaced in one step, never half-written.
//!
//! Owns the lock file and the one temporary name beside it. Readers need no lock, because a rename shows them
//! either the old file or the new one. Refuses to follow symbolic links at any name it opens, to write into a
//! directory of another user, and to replace a file that a newer version wrote. A file that cannot be read as
//! TOML is set aside under a dated name and said so, never overwritten.
//!
//! Everything here blocks; call it from a blocking task when latency matters.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io::{self, Read, Write},
    marker::PhantomData,
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use time::OffsetDateTime;

use super::{
    Error,
    sync::{Mutex, lock, others_may_act, sleep},
};

/// How long a lock is waited for: far longer than any holder needs, and short enough that a stopped holder
/// (`SIGSTOP`, a debugger) is an error that can be told instead of a hang.
pub const LOCK_WAIT: Duration = Duration::from_secs(5);

/// A cached file this young is read again: its time stamp may not yet tell two writes apart. The models have no time for
/// that, and a file system that never gives a number twice.
const SETTLED: Duration = match cfg!(all(test, feature = "models")) {
    true => Duration::ZERO,
    false => Duration::from_millis(100),
};

/// What can be kept in a [`Store`]: a missing file is the default value.
pub trait Document: Default + Serialize + DeserializeOwned {
    /// The newest form this program writes and understands.
    const VERSION: u32;

    /// The form that the value was read in.
    fn version(&self) -> u32;

    /// Reads exactly what this program writes, faster than TOML in general can be read. `None`: it may still
    /// be good TOML.
    fn quick(text: &str) -> Option<Self> {
        let _ = text;
        None
    }
}

/// What an update does with the file.
pub enum Change<R> {
    /// Replace the file.
    Write(R),
    /// Leave it as it is.
    Keep(R),
}

/// The file, its lock and the last value read from it.
pub struct Store<T> {
    path: PathBuf,
    lock_wait: Duration,
    seen: Mutex<Option<(Stamp, Arc<T>)>>,
    holds: PhantomData<fn() -> T>,
}

impl<T: Document> Store<T> {
    /// A store in `path`; nothing is touched yet.
    pub fn new(path: PathBuf) -> Self {
        Self { path, lock_wait: LOCK_WAIT, seen: Mutex::new(None), holds: PhantomData }
    }

    /// The same store, waiting another time for its lock.
    pub fn with_lock_wait(self, lock_wait: Duration) -> Self {
        Self { lock_wait, ..self }
    }

    /// Where the value is kept.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The value now, without a lock; one `stat` when the file has not changed since the last call.
    pub fn read(&self) -> Result<Arc<T>, Error> {
        let stamp = self.stamp()?;
        let mut seen = lock(&self.seen);
        if let (Some(stamp), Some((cached, value))) = (&stamp, &*seen)
            && stamp == cached
        {
            return Ok(value.clone());
        }
        *seen = None;
        let (value, stamp) = match self.load()? {
            Loaded::Missing => (Arc::default(), None),
            Loaded::Value(value, stamp) => (Arc::new(value), stamp.settled().then_some(stamp)),
            Loaded::Corrupt(_) => (Arc::new(self.mend()?), None),
        };
        *seen = stamp.map(|stamp| (stamp, value.clone()));
        Ok(value)
    }

    /// Changes the value under the lock. When this returns `Ok` after [`Change::Write`], the new value is on
    /// disk; on any error the old one still is.
    pub fn update<R>(&self, change: impl FnOnce(&mut T) -> Change<R>) -> Result<R, Error> {
        let _lock = self.lock()?;
        let mut value = self.load_or_set_aside()?;
        match change(&mut value) {
            Change::Keep(result) => Ok(result),
            Change::Write(result) => {
                self.replace(&value)?;
                Ok(result)
            }
        }
    }

    /// Reads again under the lock, because what looked corrupt may have been replaced since.
    fn mend(&self) -> Result<T, Error> {
        let _lock = self.lock()?;
        self.load_or_set_aside()
    }

    fn lock(&self) -> Result<File, Error> {
        private_dir(self.dir())?;
        let path = self.beside("lock");
        let locked = open_plain(OpenOptions::new().read(true).write(true).create(true), &path)
            .and_then(|file| Ok(hold_within(&file, Hold::Exclusive, self.lock_wait)?.then_some(file)))
            .map_err(|e| Error::storage("locking", &path, e))?;
        locked.ok_or_else(|| {
            Error::Busy(format!(
                "another process has held {} for {} seconds; see who with `fuser {0}`, then try again",
                path.display(),
                self.lock_wait.as_secs()
            ))
        })
    }

    fn load_or_set_aside(&self) -> Result<T, Error> {
        match self.load()? {
            Loaded::Missing => Ok(T::default()),
            Loaded::Value(value, _) => Ok(value),
            Loaded::Corrupt(why) => {
                let aside = self.set_aside()?;
                tracing::warn!(
                    "{} cannot be read ({why}); kept as {}, going on without it",
                    self.path.display(),
                    aside.display()
                );
                Ok(T::default())
            }
        }
    }

    fn load(&self) -> Result<Loaded<T>, Error> {
        match self.slurp() {
            Ok((bytes, stamp)) => self.parse(bytes, stamp),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Loaded::Missing),
            Err(e) => Err(Error::storage("reading", &self.path, e)),
        }
    }

    fn slurp(&self) -> io::Result<(Vec<u8>, Stamp)> {
        let mut file = open_plain(OpenOptions::new().read(true), &self.path)?;
        let meta = file.metadata()?;
        let mut bytes = Vec::with_capacity(usize::try_from(meta.len()).unwrap_or(0) + 1);
        file.read_to_end(&mut bytes)?;
        Ok((bytes, Stamp::of(&meta)))
    }

    fn parse(&self, bytes: Vec<u8>, stamp: Stamp) -> Result<Loaded<T>, Error> {
        let text = match String::from_utf8(bytes) {
            Ok(text) => text,
            Err(e) => return Ok(Loaded::Corrupt(e.to_string())),
        };
        match T::quick(&text).map_or_else(|| toml::from_str::<T>(&text), Ok) {
            Ok(value) => self.known(value.version()).map(|()| Loaded::Value(value, stamp)),
            Err(e) => {
                let version = toml::from_str::<Probe>(&text).map_or(0, |probe| probe.version);
                self.known(version).map(|()| Loaded::Corrupt(place(&text, &e)))
            }
        }
    }

    /// A newer form is not corrupt: it belongs to a newer program and is left to it.
    fn known(&self, version: u32) -> Result<(), Error> {
        if version <= T::VERSION {
            return Ok(());
        }
        let newer = format!(
            "it has version {version}, and this swarmcat knows only {}; nothing was changed: \
             use the newer swarmcat, or another --state-dir",
            T::VERSION
        );
        Err(Error::storage("reading", &self.path, io::Error::new(io::ErrorKind::InvalidData, newer)))
    }

    /// Under the lock, so that no other process can take the same name.
    fn set_aside(&self) -> Result<PathBuf, Error> {
        let date = compact_date(OffsetDateTime::now_utc());
        let aside = (1u32..)
            .map(|n| match n {
                1 => self.beside(&format!("corrupt-{date}")),
                n => self.beside(&format!("corrupt-{date}-{n}")),
            })
            .find(|path| fs::symlink_metadata(path).is_err())
            .unwrap_or_else(|| self.beside("corrupt"));
        fs::rename(&self.path, &aside).map_err(|e| Error::storage("setting aside", &self.path, e))?;
        self.sync_dir()?;
        Ok(aside)
    }

    fn replace(&self, value: &T) -> Result<(), Error> {
        let text = toml::to_string(value).map_err(|e| Error::Internal(format!("writing TOML: {e}")))?;
        let temporary = self.beside("tmp");
        let mut options = OpenOptions::new();
        let mut file = open_plain(options.write(true).create(true).truncate(true), &temporary)
            .map_err(|e| Error::storage("writing", &temporary, e))?;
        let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
        if let Err(e) = written {
            // On a full disk even the remains are worth having back.
            let _ = fs::remove_file(&temporary);
            return Err(Error::storage("writing", &temporary, e));
        }
        others_may_act();
        fs::rename(&temporary, &self.path).map_err(|e| Error::storage("replacing", &self.path, e))?;
        self.sync_dir()
    }

    /// Makes a rename survive a power cut.
    fn sync_dir(&self) -> Result<(), Error> {
        let dir = self.dir();
        File::open(dir).and_then(|dir| dir.sync_all()).map_err(|e| Error::storage("syncing", dir, e))
    }

    fn stamp(&self) -> Result<Option<Stamp>, Error> {
        match fs::symlink_metadata(&self.path) {
            Ok(meta) => Ok(Some(Stamp::of(&meta))),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(Error::storage("reading", &self.path, e)),
        }
    }

    fn dir(&self) -> &Path {
        match self.path.parent() {
            Some(dir) if !dir.as_os_str().is_empty() => dir,
            _ => Path::new("."),
        }
    }

    fn beside(&self, suffix: &str) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(".");
        name.push(suffix);
        name.into()
    }
}

enum Loaded<T> {
    Missing,
    Value(T, Stamp),
    Corrupt(String),
}

/// What a text is, read as this program writes it and read as TOML.
pub(crate) fn both_readings<T: Document>(text: &str) -> (Option<T>, Option<T>) {
    (T::quick(text), toml::from_str(text).ok())
}

/// All that is read of a file that does not parse as a whole.
#[derive(Deserialize)]
struct Probe {
    #[serde(default)]
    version: u32,
}

/// `20261122T120000Z`.
fn compact_date(at: OffsetDateTime) -> String {
    let (year, month, day) = (at.year(), u8::from(at.month()), at.day());
    let (hour, minute, second) = (at.hour(), at.minute(), at.second());
    format!("{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}Z")
}

/// Line and message of a parse error, without the excerpt that the library adds.
fn place(text: &str, error: &toml::de::Error) -> String {
    let line = error.span().map(|span| text.bytes().take(span.start).filter(|b| *b == b'\n').count() + 1);
    let message = error.message().escape_debug();
    line.map_or_else(|| message.to_string(), |line| format!("line {line}: {message}"))
}

/// What tells one content of a file from another without reading it.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    len: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    fn of(meta: &fs::Metadata) -> Self {
        Self {
            device: meta.dev(),
            inode: meta.ino(),
            len: meta.len(),
            modified: (meta.mtime(), meta.mtime_nsec()),
            changed: (meta.ctime(), meta.ctime_nsec()),
        }
    }

    fn settled(&self) -> bool {
        let seconds = u64::try_from(self.changed.0).unwrap_or(0);
        let changed = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let changed = changed + Duration::from_nanos(u64::try_from(self.changed.1).unwrap_or(0));
        changed.elapsed().is_ok_and(|age| age > SETTLED)
    }
}

/// How a lock file is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hold {
    /// Beside other readers.
    Shared,
    /// Alone.
    Exclusive,
}

/// Takes the lock if it is free; `false` when it is not.
pub(crate) fn try_hold(file: &File, hold: Hold) -> io::Result<bool> {
    loop {
        others_may_act();
        let held = match hold {
            Hold::Shared => file.try_lock_shared(),
            Hold::Exclusive => file.try_lock(),
        };
        match held {
            Ok(()) => return Ok(true),
            Err(TryLockError::WouldBlock) => return Ok(false),
            Err(TryLockError::Error(e)) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(TryLockError::Error(e)) => return Err(e),
        }
    }
}

/// Takes the lock, waiting at most `wait`; `false` when it was not free in time.
///
/// Who has waited longer asks more often, so that fifty processes at one lock all get their turn.
pub(crate) fn hold_within(file: &File, hold: Hold, wait: Duration) -> io::Result<bool> {
    let start = Instant::now();
    while !try_hold(file, hold)? {
        let left = wait.saturating_sub(start.elapsed());
        if left.is_zero() {
            return Ok(false);
        }
        let patience = left.as_secs_f64() / wait.as_secs_f64();
        let pause = Duration::from_millis(10).mul_f64(patience * patience * rand::random_range(0.1..1.0));
        sleep(pause.max(Duration::from_micros(200)).min(left));
    }
    Ok(true)
}

/// Opens (creating with mode 0600, if `options` say so) a regular file; never through a symbolic link, and
/// never waiting for the other end of a pipe.
pub(crate) fn open_plain(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    others_may_act();
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
    let file = options.mode(0o600).custom_flags(flags).open(path).map_err(|e| match e.raw_os_error() {
        Some(libc::ELOOP) => io::Error::other("it is a symbolic link; remove it and try again"),
        _ => e,
    })?;
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(io::Error::other("it is not a regular file; remove it and try again")),
    }
}

/// Makes sure that `path` is a directory of our own; a missing one is created with mode 0700.
///
/// Another user's directory is refused: its owner could swap whatever is put there, and files of ours would
/// lock that user out.
pub(crate) fn private_dir(path: &Path) -> Result<(), Error> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .and_then(|()| fs::metadata(path))
        .and_then(|meta| owned(&meta))
        .map_err(|e| Error::storage("using directory", path, e))
}

/// Refuses what belongs to another user.
pub(crate) fn owned(meta: &fs::Metadata) -> io::Result<()> {
    let (owner, us) = (meta.uid(), rustix::process::geteuid().as_raw());
    if owner == us {
        return Ok(());
    }
    let whose = format!("it belongs to user {owner}, and this is user {us}; use a directory of your own");
    Err(io::Error::new(io::ErrorKind::PermissionDenied, whose))
}

/// `serde(with)` for a point in time as a TOML date-time.
pub(crate) mod timestamp {
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser};
    use time::{Date, Month, OffsetDateTime, Time, UtcOffset};
    use toml::value as toml;

    pub(crate) fn serialize<S: Serializer>(at: &OffsetDateTime, serializer: S) -> Result<S::Ok, S::Error> {
        let at = at.to_offset(UtcOffset::UTC);
        let year = u16::try_from(at.year()).map_err(ser::Error::custom)?;
        toml::Datetime {
            date: Some(toml::Date { year, month: at.month().into(), day: at.day() }),
            time: Some(toml::Time {
                hour: at.hour(),
                minute: at.minute(),
                second: Some(at.second()),
                nanosecond: (at.nanosecond() > 0).then_some(at.nanosecond()),
            }),
            offset: Some(toml::Offset::Z),
        }
        .serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<OffsetDateTime, D::Error> {
        let at = toml::Datetime::deserialize(deserializer)?;
        let (Some(date), Some(time), Some(offset)) = (at.date, at.time, at.offset) else {
            return Err(de::Error::custom("a date-time needs a date, a time and an offset"));
        };
        instant(date, time, offset).map_err(de::Error::custom)
    }

    fn instant(
        date: toml::Date,
        time: toml::Time,
        offset: toml::Offset,
    ) -> Result<OffsetDateTime, time::error::ComponentRange> {
        let day = Date::from_calendar_date(date.year.into(), Month::try_from(date.month)?, date.day)?;
        // A leap second has no place of its own in Unix time.
        let second = time.second.unwrap_or(0).min(59);
        let time = Time::from_hms_nano(time.hour, time.minute, second, time.nanosecond.unwrap_or(0))?;
        let offset = match offset {
            toml::Offset::Z => UtcOffset::UTC,
            toml::Offset::Custom { minutes } => UtcOffset::from_whole_seconds(i32::from(minutes) * 60)?,
        };
        Ok(OffsetDateTime::new_in_offset(day, time, offset).to_offset(UtcOffset::UTC))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use proptest::prelude::*;
    use tempfile::TempDir;

    use super::{
        super::{
            failed::{FailureKind, Table},
            settings::CooldownSettings,
            source::InfoHash,
        },
        *,
    };

    #[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
    struct Words {
        words: Vec<String>,
    }

    impl Document for Words {
        const VERSION: u32 = 1;

        fn version(&self) -> u32 {
            1
        }
    }

    fn store() -> (TempDir, Store<Words>) {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::new(dir.path().join("state").join("words.toml"));
        (dir, store)
    }

    fn add(store: &Store<Words>, word: &str) -> Result<(), Error> {
        store.update(|words| {
            words.words.push(word.to_owned());
            Change::Write(())
        })
    }

    fn names(store: &Store<Words>) -> Vec<String> {
        let entries = fs::read_dir(store.dir()).unwrap();
        let mut names: Vec<_> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_missing_file_is_empty_and_reading_does_not_create_it() {
        let (_dir, store) = store();
        assert_eq!(*store.read().unwrap(), Words::default());
        assert!(!store.dir().exists());
    }

    #[test]
    fn what_was_written_is_read_by_others_and_by_nobody_else() {
        let (_dir, store) = store();
        add(&store, "one").unwrap();
        add(&store, "two").unwrap();
        assert_eq!(Store::<Words>::new(store.path().to_owned()).read().unwrap().words, ["one", "two"]);
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!([mode(store.dir()), mode(store.path())], [0o700, 0o600]);
        assert_eq!(names(&store), ["words.toml", "words.toml.lock"]);
    }

    #[test]
    fn a_settled_file_is_read_once() {
        let (_dir, store) = store();
        add(&store, "one").unwrap();
        let old = SystemTime::now() - Duration::from_secs(60);
        File::open(store.path()).unwrap().set_modified(old).unwrap();
        let stamp = store.stamp().unwrap().unwrap();
        *store.seen.lock().unwrap() = Some((stamp, Arc::new(Words { words: vec!["cached".to_owned()] })));
        assert_eq!(store.read().unwrap().words, ["cached"]);
        add(&store, "two").unwrap();
        assert_eq!(store.read().unwrap().words, ["one", "two"]);
    }

    #[test]
    fn keeping_writes_nothing() {
        let (_dir, store) = store();
        assert_eq!(store.update(|_| Change::Keep(7)).unwrap(), 7);
        assert!(!store.path().exists());
    }

    #[test]
    fn a_corrupt_file_is_set_aside_and_every_copy_kept() {
        let (_dir, store) = store();
        add(&store, "one").unwrap();
        for (text, word) in [("words = 3", "two"), ("\u{0}\u{0}", "three")] {
            fs::write(store.path(), text).unwrap();
            add(&store, word).unwrap();
            assert_eq!(store.read().unwrap().words, [word]);
        }
        fs::write(store.path(), b"\xff\xfe").unwrap();
        assert_eq!(*store.read().unwrap(), Words::default(), "reading alone sets it aside too");
        assert!(!store.path().exists());
        let mut kept: Vec<_> = names(&store).into_iter().filter(|name| name.contains("corrupt")).collect();
        assert_eq!(kept.len(), 3, "{kept:?}");
        kept.sort_by_key(|name| fs::metadata(store.dir().join(name)).unwrap().len());
        let contents = kept.iter().map(|name| fs::read(store.dir().join(name)).unwrap()).collect::<Vec<_>>();
        assert_eq!(contents, [&b"\0\0"[..], b"\xff\xfe", b"words = 3"].map(<[u8]>::to_vec).to_vec());
        let date = kept[0].strip_prefix("words.toml.corrupt-").unwrap();
        let shape: String = date.chars().take(16).map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
        assert_eq!(shape, "00000000T000000Z");
    }

    #[test]
    fn a_lock_that_is_not_let_go_is_named_and_nothing_changes() {
        let (_dir, store) = store();
        add(&store, "one").unwrap();
        let holder = File::open(store.beside("lock")).unwrap();
        holder.lock().unwrap();
        let hasty = Store::<Words>::new(store.path().to_owned()).with_lock_wait(Duration::from_millis(20));
        let error = add(&hasty, "two").unwrap_err();
        assert!(matches!(&error, Error::Busy(text) if text.contains("words.toml.lock")), "{error}");
        assert_eq!(store.read().unwrap().words, ["one"]);
        holder.unlock().unwrap();
        add(&hasty, "two").unwrap();
    }

    #[test]
    fn a_failed_write_leaves_the_old_content() {
        let (_dir, store) = store();
        add(&store, "one").unwrap();
        fs::create_dir(store.beside("tmp")).unwrap();
        assert!(matches!(add(&store, "two"), Err(Error::Storage { .. })));
        assert_eq!(store.read().unwrap().words, ["one"]);
    }

    #[test]
    fn what_a_killed_writer_left_is_overwritten() {
        let (_dir, store) = store();
        add(&store, "one").unwrap();
        fs::write(store.beside("tmp"), "words = [".repeat(1000)).unwrap();
        add(&store, "two").unwrap();
        assert_eq!(store.read().unwrap().words, ["one", "two"]);
        assert_eq!(names(&store), ["words.toml", "words.toml.lock"]);
    }

    #[test]
    fn planted_links_and_pipes_are_refused_at_every_name() {
        for planted in ["words.toml", "words.toml.tmp", "words.toml.lock"] {
            let (dir, store) = store();
            fs::create_dir(store.dir()).unwrap();
            let victim = dir.path().join("victim");
            fs::write(&victim, "words = []").unwrap();
            symlink(&victim, store.dir().join(planted)).unwrap();
            let error = add(&store, "one").unwrap_err().to_string();
            assert!(error.contains("symbolic link") && error.contains(planted), "{error}");
            assert_eq!(fs::read_to_string(&victim).unwrap(), "words = []");

            fs::remove_file(store.dir().join(planted)).unwrap();
            let path = store.dir().join(planted);
            rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
            assert!(add(&store, "one").is_err(), "{planted}");
        }
    }

    #[test]
    fn another_users_directory_is_refused() {
        // The root directory, unless it is ours: then one that is given away.
        let dir = tempfile::tempdir().unwrap();
        let theirs = match std::os::unix::fs::chown(dir.path(), Some(12_345), None) {
            Ok(()) => dir.path(),
            Err(_) => Path::new("/"),
        };
        let error = private_dir(theirs).unwrap_err().to_string();
        assert!(error.contains("belongs to user"), "{error}");
    }

    fn tables(reason: &'static str) -> impl Strategy<Value = Table> {
        let kinds = [FailureKind::NoPeers, FailureKind::Timeout, FailureKind::BadTorrent];
        let failure =
            (any::<[u8; 20]>(), proptest::sample::select(kinds.to_vec()), reason, any::<Option<[u8; 4]>>());
        let failures = proptest::collection::vec((failure, 0..4_000_000_000i64), 0..8);
        failures.prop_map(|failures| {
            let (mut table, settings) = (Table::default(), CooldownSettings::default());
            for ((hash, kind, reason, client), at) in failures {
                let now = OffsetDateTime::from_unix_timestamp(at).unwrap();
                table.record(InfoHash::new(hash), (kind, &reason), client.map(Into::into), &settings, now);
            }
            table
        })
    }

    fn rows(table: &Table) -> Vec<&crate::core::failed::Entry> {
        table.entries().collect()
    }

    proptest! {
        #[test]
        fn a_table_survives_its_file_whatever_the_reasons_are(table in tables(".*\n?.*")) {
            let text = toml::to_string(&table).unwrap();
            let read: Table = toml::from_str(&text).unwrap();
            prop_assert_eq!(rows(&read), rows(&table));
            if let Some(quick) = Table::quick(&text) {
                prop_assert_eq!(rows(&quick), rows(&table));
            }
        }

        #[test]
        fn ordinary_tables_are_read_quickly(table in tables("[ -!#-\\[\\]-~é]{0,40}")) {
            let quick = Table::quick(&toml::to_string(&table).unwrap());
            prop_assert_eq!(quick.as_ref().map(rows), Some(rows(&table)));
        }

        #[test]
        fn quick_reading_never_accepts_what_toml_reads_otherwise(
            table in tables("[a\"'\\\\# ]{0,6}"),
            cuts in proptest::collection::vec((any::<prop::sample::Index>(), "[-\"'\\\\#=0-9 \n\ta-z\\[\\]]{0,3}"), 1..4),
        ) {
            let mut text = toml::to_string(&table).unwrap();
            for (at, with) in cuts {
                let at = at.index(text.len());
                text.replace_range(at..=at, &with);
            }
            if let Some(quick) = Table::quick(&text) {
                let read: Table = toml::from_str(&text).unwrap();
                prop_assert_eq!(rows(&quick), rows(&read), "{}", text);
            }
        }
    }
}
