//! The failed-torrent table: which torrents failed, why, and until when they are left alone.
//!
//! [`Table`] is the rules alone: pure, with the time as an argument. [`FailedTable`] keeps it in
//! `failed.toml` of the state directory, shared by every process. What counts as a failure of the torrent is
//! not decided here: whatever is recorded cools down.

use std::{collections::BTreeMap, net::IpAddr, path::Path, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};
use time::{Date, Month, OffsetDateTime, Time};

use super::{
    Error,
    settings::CooldownSettings,
    source::InfoHash,
    store::{Change, Document, Store},
    sync::{Mutex, lock},
};

/// Longest reason that is kept, in characters: enough for any sentence, too little to fill a disk.
const REASON_CHARS: usize = 300;

/// How far apart the clocks of two readings may be: a process may have taken its time before it waited for the
/// lock, and clocks are corrected by seconds all the time.
const SKEW: Duration = Duration::from_secs(60);

/// Why a torrent failed; each kind has its own cooldown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// Not one peer was reached.
    NoPeers,
    /// Peers were there, but no byte came in time.
    Timeout,
    /// Peers answered, but none would talk.
    ConnectionError,
    /// The torrent itself is broken.
    BadTorrent,
}

impl FailureKind {
    const ALL: [Self; 4] = [Self::NoPeers, Self::Timeout, Self::ConnectionError, Self::BadTorrent];

    fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }

    /// As written in the table.
    pub fn as_str(self) -> &'static str {
        match self {
            FailureKind::NoPeers => "no_peers",
            FailureKind::Timeout => "timeout",
            FailureKind::ConnectionError => "connection_error",
            FailureKind::BadTorrent => "bad_torrent",
        }
    }
}

/// One failed torrent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The torrent.
    pub info_hash: InfoHash,
    /// What kind of failure the last one was.
    pub kind: FailureKind,
    /// What was seen (may hold foreign text: escape before showing).
    pub reason: String,
    /// When it failed last.
    #[serde(with = "super::store::timestamp")]
    pub failed_at: OffsetDateTime,
    /// When it may be tried again.
    #[serde(with = "super::store::timestamp")]
    pub retry_at: OffsetDateTime,
    /// Consecutive failures.
    #[serde(default = "one")]
    pub attempts: u32,
    /// For whom it failed; `None`: for everybody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<IpAddr>,
}

/// A torrent that is to be left alone for now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cooldown {
    /// What failed, and when.
    pub entry: Entry,
    /// How long it is still left alone.
    pub remaining: Duration,
}

/// An entry as it stands at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The entry.
    pub entry: Entry,
    /// How long the torrent is still left alone; `None`: it may be tried again.
    pub remaining: Option<Duration>,
}

impl From<Cooldown> for Error {
    fn from(Cooldown { entry, remaining }: Cooldown) -> Self {
        let Entry { info_hash, kind, reason, .. } = entry;
        Error::Cooldown { info_hash, kind, reason, remaining }
    }
}

fn one() -> u32 {
    1
}

impl Entry {
    /// How long it is still left alone; `None` when it may be tried again.
    ///
    /// An end further away than any cooldown lasts was written under a clock that has since been set back:
    /// it must not lock a torrent for years.
    pub fn remaining(&self, settings: &CooldownSettings, now: OffsetDateTime) -> Option<Duration> {
        let left = Duration::try_from(self.retry_at - now).ok().filter(|left| !left.is_zero())?;
        let longest = settings.longest();
        (left <= longest + SKEW).then_some(left.min(longest))
    }
}

impl CooldownSettings {
    /// How long a torrent is left alone after its `attempts`-th consecutive failure.
    pub fn cooldown(&self, kind: FailureKind, attempts: u32) -> Duration {
        let first = self.first(kind);
        let factor = self.backoff.max(1).saturating_pow(attempts.saturating_sub(1));
        // `max` ends the multiplying; a longer first cooldown was asked for by name.
        first.saturating_mul(factor).min(self.max.max(first))
    }

    /// No cooldown lasts longer.
    pub fn longest(&self) -> Duration {
        FailureKind::ALL.into_iter().map(|kind| self.first(kind)).fold(self.max, Duration::max)
    }

    fn first(&self, kind: FailureKind) -> Duration {
        match kind {
            FailureKind::NoPeers => self.no_peers,
            FailureKind::Timeout => self.timeout,
            FailureKind::ConnectionError => self.connection_error,
            FailureKind::BadTorrent => self.bad_torrent,
        }
    }
}

/// The entries by torrent and client, and the rules of adding and dropping them.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Form", into = "Form")]
pub struct Table {
    version: u32,
    entries: BTreeMap<Key, Entry>,
}

type Key = (InfoHash, Option<IpAddr>);

/// The table as it is written.
#[derive(Serialize, Deserialize)]
struct Form {
    #[serde(default = "one")]
    version: u32,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    failed: Vec<Entry>,
}

impl From<Form> for Table {
    fn from(form: Form) -> Self {
        let keyed = form.failed.into_iter().map(|entry| ((entry.info_hash, entry.client), entry));
        Self { version: form.version, entries: keyed.collect() }
    }
}

impl From<Table> for Form {
    fn from(table: Table) -> Self {
        Self { version: Table::VERSION, failed: table.entries.into_values().collect() }
    }
}

impl Document for Table {
    const VERSION: u32 = 1;

    fn version(&self) -> u32 {
        self.version
    }

    fn quick(text: &str) -> Option<Self> {
        let mut lines = Lines(text);
        let version = lines.number("version")?;
        let mut failed = Vec::new();
        while !lines.0.is_empty() {
            lines.literal("")?;
            lines.literal("[[failed]]")?;
            failed.push(lines.entry()?);
        }
        Some(Form { version, failed }.into())
    }
}

/// The lines of a table as this program writes it: these keys in this order, one a line. Ten thousand entries
/// are read in a few milliseconds this way, and in a few tens as TOML. Whatever is written otherwise (an
/// escape, a comment, a space more) gives `None`, and is left to TOML.
struct Lines<'a>(&'a str);

impl<'a> Lines<'a> {
    fn next(&mut self) -> Option<&'a str> {
        let (line, rest) = self.0.split_once('\n')?;
        self.0 = rest;
        Some(line)
    }

    fn literal(&mut self, line: &str) -> Option<()> {
        (self.next()? == line).then_some(())
    }

    fn value(&mut self, key: &str) -> Option<&'a str> {
        self.next()?.strip_prefix(key)?.strip_prefix(" = ")
    }

    fn entry(&mut self) -> Option<Entry> {
        Some(Entry {
            info_hash: self.string("info_hash")?.parse().ok()?,
            kind: FailureKind::named(self.string("kind")?)?,
            reason: self.string("reason")?.to_owned(),
            failed_at: self.date("failed_at")?,
            retry_at: self.date("retry_at")?,
            attempts: self.number("attempts")?,
            client: match self.0.starts_with("client") {
                true => Some(self.string("client")?.parse().ok()?),
                false => None,
            },
        })
    }

    fn string(&mut self, key: &str) -> Option<&'a str> {
        let value = self.value(key)?;
        let quote = value.chars().next().filter(|c| matches!(c, '"' | '\''))?;
        let inner = value.strip_prefix(quote)?.strip_suffix(quote)?;
        (!inner.contains(|c: char| c == quote || c == '\\' || c.is_control())).then_some(inner)
    }

    fn number(&mut self, key: &str) -> Option<u32> {
        let value = self.value(key)?;
        let plain = value.bytes().all(|b| b.is_ascii_digit()) && !value.starts_with('0');
        if plain { value.parse().ok() } else { None }
    }

    /// `2026-11-22T12:00:00Z`.
    fn date(&mut self, key: &str) -> Option<OffsetDateTime> {
        let value = self.value(key)?.as_bytes();
        let [y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2, b'T', rest @ ..] = value else { return None };
        let [h1, h2, b':', n1, n2, b':', s1, s2, b'Z'] = rest else { return None };
        let month = Month::try_from(decimal([m1, m2])?).ok()?;
        let year = i32::from(decimal([y1, y2])?) * 100 + i32::from(decimal([y3, y4])?);
        let date = Date::from_calendar_date(year, month, decimal([d1, d2])?).ok()?;
        let time = Time::from_hms(decimal([h1, h2])?, decimal([n1, n2])?, decimal([s1, s2])?).ok()?;
        Some(OffsetDateTime::new_utc(date, time))
    }
}

fn decimal(digits: [&u8; 2]) -> Option<u8> {
    let [tens, ones] = digits.map(|digit| digit.is_ascii_digit().then(|| digit - b'0'));
    Some(tens? * 10 + ones?)
}

impl Table {
    /// The cooldown that holds for `client` now: its own or everybody's, whichever ends later.
    pub fn check(
        &self,
        info_hash: &InfoHash,
        client: Option<IpAddr>,
        settings: &CooldownSettings,
        now: OffsetDateTime,
    ) -> Option<Cooldown> {
        let own = client.and_then(|client| self.entries.get(&(*info_hash, Some(client))));
        let everybodys = self.entries.get(&(*info_hash, None));
        let cooling = own.into_iter().chain(everybodys).filter_map(|entry| {
            let remaining = entry.remaining(settings, now)?;
            Some((entry, remaining))
        });
        let (entry, remaining) = cooling.max_by_key(|(_, remaining)| *remaining)?;
        Some(Cooldown { entry: entry.clone(), remaining })
    }

    /// Adds a failure. One that follows another, expired or not, counts one more attempt.
    pub fn record(
        &mut self,
        info_hash: InfoHash,
        (kind, reason): (FailureKind, &str),
        client: Option<IpAddr>,
        settings: &CooldownSettings,
        now: OffsetDateTime,
    ) -> Entry {
        let before = self.entries.get(&(info_hash, client)).map_or(0, |entry| entry.attempts);
        let attempts = before.saturating_add(1);
        let failed_at = whole_seconds(now);
        let cooldown = time::Duration::try_from(settings.cooldown(kind, attempts));
        let retry_at = failed_at.saturating_add(cooldown.unwrap_or(time::Duration::MAX));
        let reason = reason.chars().take(REASON_CHARS).collect();
        let entry = Entry { info_hash, kind, reason, failed_at, retry_at, attempts, client };
        self.entries.insert((info_hash, client), entry.clone());
        entry
    }

    /// Takes entries over, unless there is a later failure of the same torrent. What others have counted meanwhile stays
    /// counted.
    fn adopt<'a>(&mut self, entries: impl Iterator<Item = &'a Entry>) {
        for entry in entries {
            let key = (entry.info_hash, entry.client);
            let own = self.entries.get(&key);
            if own.is_none_or(|own| own.failed_at <= entry.failed_at) {
                let attempts = own.map_or(0, |own| own.attempts).max(entry.attempts);
                let retry_at = own.map_or(entry.retry_at, |own| own.retry_at.max(entry.retry_at));
                self.entries.insert(key, Entry { attempts, retry_at, ..entry.clone() });
            }
        }
    }

    /// Drops a torrent's entries for every client.
    pub fn remove(&mut self, info_hash: &InfoHash) -> Vec<Entry> {
        let keys: Vec<Key> = self.of(info_hash).map(|entry| (entry.info_hash, entry.client)).collect();
        keys.iter().filter_map(|key| self.entries.remove(key)).collect()
    }

    /// Drops the entries of these torrents, or every entry when none is named.
    pub fn remove_any(&mut self, info_hashes: &[InfoHash]) -> Vec<Entry> {
        match info_hashes {
            [] => std::mem::take(&mut self.entries).into_values().collect(),
            named => named.iter().flat_map(|info_hash| self.remove(info_hash)).collect(),
        }
    }

    /// Whether there is an entry of these torrents, or any at all when none is named.
    fn has_any(&self, info_hashes: &[InfoHash]) -> bool {
        match info_hashes {
            [] => !self.entries.is_empty(),
            named => named.iter().any(|info_hash| self.contains(info_hash)),
        }
    }

    /// Drops what is over; how many entries that was.
    pub fn purge(&mut self, settings: &CooldownSettings, now: OffsetDateTime) -> usize {
        let before = self.entries.len();
        self.entries.retain(|_, entry| entry.remaining(settings, now).is_some());
        before - self.entries.len()
    }

    /// How many entries are over.
    pub fn expired(&self, settings: &CooldownSettings, now: OffsetDateTime) -> usize {
        self.entries().filter(|entry| entry.remaining(settings, now).is_none()).count()
    }

    /// Whether there is an entry for this torrent, of whatever client and age.
    pub fn contains(&self, info_hash: &InfoHash) -> bool {
        self.of(info_hash).next().is_some()
    }

    /// The entries, by info hash.
    pub fn entries(&self) -> impl ExactSizeIterator<Item = &Entry> {
        self.entries.values()
    }

    fn of(&self, info_hash: &InfoHash) -> impl Iterator<Item = &Entry> {
        let info_hash = *info_hash;
        let from_first = self.entries.range((info_hash, None)..);
        from_first.map(|(_, entry)| entry).take_while(move |entry| entry.info_hash == info_hash)
    }
}

/// The table in its file, with the settings that rule it.
///
/// Every method blocks: reading takes no lock, writing waits at most [`LOCK_WAIT`](super::store::LOCK_WAIT)
/// for other processes. An error means that the file was not changed; whether to go on without it is the
/// caller's choice. A failure that could not be written is known to this process all the same, and written with
/// the next one that can be.
pub struct FailedTable {
    store: Store<Table>,
    settings: CooldownSettings,
    unwritten: Mutex<Table>,
}

impl FailedTable {
    /// The table of a state directory; nothing is touched yet.
    pub fn new(state_dir: &Path, settings: CooldownSettings) -> Self {
        let store = Store::new(state_dir.join("failed.toml"));
        Self { store, settings, unwritten: Mutex::default() }
    }

    /// The same table, waiting another time for its lock.
    pub fn with_lock_wait(self, lock_wait: Duration) -> Self {
        Self { store: self.store.with_lock_wait(lock_wait), ..self }
    }

    /// The file.
    pub fn path(&self) -> &Path {
        self.store.path()
    }

    /// The settings that rule it.
    pub fn settings(&self) -> &CooldownSettings {
        &self.settings
    }

    /// The cooldown that holds now for `client` (`None` when clients are not told apart).
    pub fn check(
        &self,
        info_hash: &InfoHash,
        client: Option<IpAddr>,
        now: OffsetDateTime,
    ) -> Result<Option<Cooldown>, Error> {
        let cooldown = self.cooling(info_hash, client, now)?;
        if let Some(Cooldown { entry, remaining }) = &cooldown {
            let (reason, left) = (entry.reason.escape_debug(), seconds(*remaining));
            tracing::info!("Torrent {info_hash} recently failed ({reason}). Cooldown: {left}s remaining.");
        }
        Ok(cooldown)
    }

    /// Whether [`check`](Self::check) would find a cooldown, asked by who does not refuse because of it: nothing is logged.
    pub fn is_cooling(
        &self,
        info_hash: &InfoHash,
        client: Option<IpAddr>,
        now: OffsetDateTime,
    ) -> Result<bool, Error> {
        Ok(self.cooling(info_hash, client, now)?.is_some())
    }

    /// What could not be written counts as well, and also when the file cannot be read.
    fn cooling(
        &self,
        info_hash: &InfoHash,
        client: Option<IpAddr>,
        now: OffsetDateTime,
    ) -> Result<Option<Cooldown>, Error> {
        let told = |table: &Table| table.check(info_hash, client, &self.settings, now);
        let unwritten = told(&lock(&self.unwritten));
        match self.store.read() {
            Ok(table) => {
                Ok(told(&table).into_iter().chain(unwritten).max_by_key(|cooldown| cooldown.remaining))
            }
            Err(error) => unwritten.map(Some).ok_or(error),
        }
    }

    /// Records a failure; the entry says until when the torrent is left alone.
    pub fn record(
        &self,
        info_hash: InfoHash,
        kind: FailureKind,
        reason: &str,
        client: Option<IpAddr>,
        now: OffsetDateTime,
    ) -> Result<Entry, Error> {
        let mut late = Table::default();
        let updated = self.store.update(|table| {
            // Under the file's lock: what is forgotten from here on is forgotten in the file as well.
            late.clone_from(&lock(&self.unwritten));
            table.adopt(late.entries());
            let entry = table.record(info_hash, (kind, reason), client, &self.settings, now);
            Change::Write((entry, table.purge(&self.settings, now)))
        });
        let (entry, purged) = updated.inspect_err(|_| {
            let mut unwritten = lock(&self.unwritten);
            if let Ok(table) = self.store.read() {
                unwritten.adopt(table.of(&info_hash));
            }
            unwritten.record(info_hash, (kind, reason), client, &self.settings, now);
            unwritten.purge(&self.settings, now);
        })?;
        lock(&self.unwritten).entries.retain(|key, entry| late.entries.get(key) != Some(entry));
        let (reason, left) =
            (entry.reason.escape_debug(), (entry.retry_at - entry.failed_at).whole_seconds());
        tracing::debug!("Marked torrent {info_hash} as failed: {reason}. Will cooldown for {left}s");
        log_purged(purged);
        Ok(entry)
    }

    /// Forgets a torrent that succeeded; whether there was anything to forget. Free when there was not.
    pub fn forget(&self, info_hash: &InfoHash, now: OffsetDateTime) -> Result<bool, Error> {
        self.clear(std::slice::from_ref(info_hash), now).map(|dropped| !dropped.is_empty())
    }

    /// Drops the entries of these torrents, or every entry when none is named; returns what was dropped.
    pub fn clear(&self, info_hashes: &[InfoHash], now: OffsetDateTime) -> Result<Vec<Entry>, Error> {
        let dropped = self.drop_entries(info_hashes, now);
        if dropped.is_err() {
            lock(&self.unwritten).remove_any(info_hashes);
        }
        dropped
    }

    /// The entries that still cool down, or with `all` also those that are over; the latest failure last.
    pub fn list(&self, all: bool, now: OffsetDateTime) -> Result<Vec<Listed>, Error> {
        let table = self.known()?;
        let listed = table.entries().map(|entry| (entry, entry.remaining(&self.settings, now)));
        let mut listed: Vec<Listed> = listed
            .filter(|(_, remaining)| all || remaining.is_some())
            .map(|(entry, remaining)| Listed { entry: entry.clone(), remaining })
            .collect();
        listed.sort_by_key(|listed| listed.entry.failed_at);
        Ok(listed)
    }

    /// How many entries cool down.
    pub fn count_cooling(&self, now: OffsetDateTime) -> Result<usize, Error> {
        let table = self.known()?;
        Ok(table.entries().filter(|entry| entry.remaining(&self.settings, now).is_some()).count())
    }

    /// What is in the file, and what could not be written to it yet.
    fn known(&self) -> Result<Arc<Table>, Error> {
        let unwritten = lock(&self.unwritten).clone();
        let mut table = self.store.read()?;
        if !unwritten.entries.is_empty() {
            Arc::make_mut(&mut table).adopt(unwritten.entries());
        }
        Ok(table)
    }

    /// How many entries are over, and would go with the next write.
    pub fn expired(&self, now: OffsetDateTime) -> Result<usize, Error> {
        Ok(self.store.read()?.expired(&self.settings, now))
    }

    /// Drops what is over; how many entries that was. Free when there is nothing.
    pub fn purge_expired(&self, now: OffsetDateTime) -> Result<usize, Error> {
        if self.expired(now)? == 0 {
            return Ok(0);
        }
        let purged = self.store.update(|table| match table.purge(&self.settings, now) {
            0 => Change::Keep(0),
            purged => Change::Write(purged),
        })?;
        log_purged(purged);
        Ok(purged)
    }

    fn drop_entries(&self, info_hashes: &[InfoHash], now: OffsetDateTime) -> Result<Vec<Entry>, Error> {
        // In this order: what is written late is in the file before it is none of the unwritten any more.
        if !lock(&self.unwritten).has_any(info_hashes) && !self.store.read()?.has_any(info_hashes) {
            return Ok(Vec::new());
        }
        let (dropped, purged) = self.store.update(|table| {
            // Under the file's lock: somebody who is writing them for us would bring them back otherwise.
            let unwritten = lock(&self.unwritten).remove_any(info_hashes);
            let written = table.remove_any(info_hashes);
            let purged = table.purge(&self.settings, now);
            let change = if written.is_empty() && purged == 0 { Change::Keep } else { Change::Write };
            change((merged(written, unwritten), purged))
        })?;
        log_purged(purged);
        Ok(dropped)
    }
}

/// Entries, and those of others that there is none of.
fn merged(mut entries: Vec<Entry>, others: Vec<Entry>) -> Vec<Entry> {
    let key = |entry: &Entry| (entry.info_hash, entry.client);
    for other in others {
        if entries.iter().all(|entry| key(entry) != key(&other)) {
            entries.push(other);
        }
    }
    entries
}

fn log_purged(purged: usize) {
    if purged > 0 {
        tracing::debug!("Cleaned up {purged} failed torrent entries from cooldown cache");
    }
}

fn whole_seconds(at: OffsetDateTime) -> OffsetDateTime {
    at.replace_nanosecond(0).unwrap_or(at)
}

/// Rounded up, so that "0s" never means "not yet".
fn seconds(remaining: Duration) -> u64 {
    remaining.as_secs() + u64::from(remaining.subsec_nanos() > 0)
}

#[cfg(all(test, feature = "models"))]
mod models;

#[cfg(test)]
mod tests {
    use std::{
        io::{self, Write},
        sync::{Arc, Mutex},
    };

    use proptest::prelude::*;
    use tempfile::TempDir;
    use tracing::Level;

    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    /// 2026-11-22T12:00:00Z.
    const NOON: OffsetDateTime = match OffsetDateTime::from_unix_timestamp(1_795_348_800) {
        Ok(noon) => noon,
        Err(_) => panic!("a time of this century"),
    };

    fn hash(byte: u8) -> InfoHash {
        InfoHash::new([byte; 20])
    }

    fn ip(last: u8) -> Option<IpAddr> {
        Some(IpAddr::from([192, 0, 2, last]))
    }

    fn table() -> (TempDir, FailedTable) {
        let dir = tempfile::tempdir().unwrap();
        let table = FailedTable::new(dir.path(), CooldownSettings::default());
        (dir, table)
    }

    fn fail(table: &FailedTable, byte: u8, at: OffsetDateTime) -> Entry {
        table.record(hash(byte), FailureKind::NoPeers, "no peers found after 60s", None, at).unwrap()
    }

    fn remaining(table: &FailedTable, byte: u8, at: OffsetDateTime) -> Option<Duration> {
        table.check(&hash(byte), None, at).unwrap().map(|cooldown| cooldown.remaining)
    }

    fn logged(level: Level, act: impl FnOnce()) -> String {
        #[derive(Clone, Default)]
        struct Log(Arc<Mutex<Vec<u8>>>);
        impl Write for Log {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.0.lock().unwrap().write(bytes)
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let log = Log::default();
        let writer = log.clone();
        // Beside one subscriber alone, a log line first met on another test's thread is taken for one that
        // nobody wants; beside two, everybody is asked.
        let _second = tracing::Dispatch::new(tracing_subscriber::registry());
        let subscriber = tracing_subscriber::fmt().with_max_level(level).without_time().with_ansi(false);
        let subscriber = subscriber.with_target(false).with_writer(move || writer.clone()).finish();
        tracing::subscriber::with_default(subscriber, act);
        String::from_utf8(log.0.lock().unwrap().clone()).unwrap()
    }

    #[test]
    fn each_kind_cools_down_for_its_own_time_and_doubles_up_to_an_hour() {
        let settings = CooldownSettings::default();
        let minutes = |kind| {
            [1, 2, 3, 4, 5, 6, u32::MAX].map(|attempts| settings.cooldown(kind, attempts).as_secs() / 60)
        };
        assert_eq!(minutes(FailureKind::NoPeers), [5, 10, 20, 40, 60, 60, 60]);
        assert_eq!(minutes(FailureKind::Timeout), [10, 20, 40, 60, 60, 60, 60]);
        assert_eq!(minutes(FailureKind::ConnectionError), [2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(minutes(FailureKind::BadTorrent), [60; 7]);
    }

    #[test]
    fn a_backoff_of_one_keeps_the_cooldown_flat() {
        let flat = CooldownSettings { backoff: 1, ..Default::default() };
        assert_eq!(flat.cooldown(FailureKind::NoPeers, 100), 5 * MINUTE);
    }

    #[test]
    fn a_first_cooldown_longer_than_the_end_of_doubling_is_kept() {
        let long = CooldownSettings { timeout: 180 * MINUTE, ..Default::default() };
        assert_eq!(long.cooldown(FailureKind::Timeout, 3), 180 * MINUTE);
        assert_eq!(long.longest(), 180 * MINUTE);
    }

    #[test]
    fn the_file_looks_as_documented() {
        let (_dir, table) = table();
        table.record(hash(0x45), FailureKind::NoPeers, "no peers found after 60s", ip(7), NOON).unwrap();
        insta::assert_snapshot!(std::fs::read_to_string(table.path()).unwrap(), @r#"
        version = 1

        [[failed]]
        info_hash = "4545454545454545454545454545454545454545"
        kind = "no_peers"
        reason = "no peers found after 60s"
        failed_at = 2026-11-22T12:00:00Z
        retry_at = 2026-11-22T12:05:00Z
        attempts = 1
        client = "192.0.2.7"
        "#);
    }

    #[test]
    fn a_failed_torrent_is_left_alone_until_its_time_is_over() {
        let (_dir, table) = table();
        assert_eq!(remaining(&table, 1, NOON), None);
        fail(&table, 1, NOON);
        assert_eq!(remaining(&table, 1, NOON + 30 * Duration::from_secs(1)), Some(Duration::from_secs(270)));
        assert_eq!(remaining(&table, 2, NOON), None);
        assert_eq!(remaining(&table, 1, NOON + 5 * MINUTE), None);
    }

    #[test]
    fn failing_again_after_the_cooldown_doubles_it() {
        let (_dir, table) = table();
        fail(&table, 1, NOON);
        let again = fail(&table, 1, NOON + 30 * MINUTE);
        assert_eq!(
            (again.attempts, again.retry_at - again.failed_at),
            (2, (10 * MINUTE).try_into().unwrap())
        );
    }

    #[test]
    fn success_forgets_so_that_the_next_failure_is_a_first_one() {
        let (_dir, table) = table();
        fail(&table, 1, NOON);
        assert!(table.forget(&hash(1), NOON).unwrap());
        assert_eq!(remaining(&table, 1, NOON), None);
        assert_eq!(fail(&table, 1, NOON).attempts, 1);
    }

    #[test]
    fn forgetting_and_clearing_nothing_touches_no_file() {
        let (dir, table) = table();
        assert!(!table.forget(&hash(1), NOON).unwrap());
        assert_eq!(table.clear(&[], NOON).unwrap(), []);
        assert_eq!(table.purge_expired(NOON).unwrap(), 0);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn expired_entries_of_other_torrents_go_at_the_next_write() {
        let (_dir, table) = table();
        fail(&table, 1, NOON);
        fail(&table, 2, NOON + 4 * MINUTE);
        fail(&table, 3, NOON + 6 * MINUTE);
        let left: Vec<_> = table.list(true, NOON).unwrap().iter().map(|l| l.entry.info_hash).collect();
        assert_eq!(left, [hash(2), hash(3)]);
    }

    #[test]
    fn expired_entries_are_listed_only_on_request_until_they_are_purged() {
        let (_dir, table) = table();
        fail(&table, 1, NOON);
        let later = NOON + 5 * MINUTE;
        assert_eq!(table.list(false, later).unwrap(), []);
        assert_eq!((table.count_cooling(NOON).unwrap(), table.count_cooling(later).unwrap()), (1, 0));
        assert_eq!(table.list(true, later).unwrap()[0].remaining, None);
        assert_eq!(table.expired(later).unwrap(), 1);
        assert_eq!(table.purge_expired(later).unwrap(), 1);
        assert_eq!(table.list(true, later).unwrap(), []);
    }

    #[test]
    fn clearing_takes_the_named_torrents_or_all() {
        let (_dir, table) = table();
        for byte in 1..=3 {
            fail(&table, byte, NOON);
        }
        let dropped = table.clear(&[hash(2), hash(9)], NOON).unwrap();
        assert_eq!(dropped.iter().map(|entry| entry.info_hash).collect::<Vec<_>>(), [hash(2)]);
        assert_eq!(table.clear(&[], NOON).unwrap().len(), 2);
        assert_eq!(table.list(true, NOON).unwrap(), []);
    }

    #[test]
    fn a_client_waits_for_its_own_failures_and_for_everybodys() {
        let (_dir, table) = table();
        let kind = FailureKind::Timeout;
        table.record(hash(1), kind, "late", ip(1), NOON).unwrap();
        table.record(hash(2), kind, "late", None, NOON).unwrap();
        let cools = |byte, client| table.check(&hash(byte), client, NOON).unwrap().is_some();
        assert_eq!([cools(1, ip(1)), cools(1, ip(2)), cools(1, None)], [true, false, false]);
        assert_eq!([cools(2, ip(1)), cools(2, None)], [true, true]);
        assert!(table.forget(&hash(1), NOON).unwrap(), "a success is one for every client");
        assert!(!cools(1, ip(1)));
    }

    #[test]
    fn a_clock_set_back_does_not_lock_a_torrent_for_years() {
        let (_dir, table) = table();
        fail(&table, 1, NOON);
        let years_before = NOON - 1000 * 24 * 60 * MINUTE;
        assert_eq!(remaining(&table, 1, years_before), None);
        assert_eq!(fail(&table, 1, years_before).failed_at, years_before);
        assert_eq!(remaining(&table, 1, years_before), Some(10 * MINUTE));
    }

    #[test]
    fn a_writer_that_took_its_time_earlier_does_not_drop_what_came_in_between() {
        let (_dir, table) = table();
        table.record(hash(1), FailureKind::BadTorrent, "broken", None, NOON).unwrap();
        fail(&table, 2, NOON - Duration::from_secs(5));
        assert_eq!(remaining(&table, 1, NOON - Duration::from_secs(5)), Some(60 * MINUTE));
    }

    #[test]
    fn what_another_process_writes_is_seen_at_once() {
        let (dir, table) = table();
        let other = FailedTable::new(dir.path(), CooldownSettings::default());
        for _ in 0..20 {
            assert_eq!(remaining(&table, 1, NOON), None);
            fail(&other, 1, NOON);
            assert!(remaining(&table, 1, NOON).is_some());
            other.clear(&[], NOON).unwrap();
        }
    }

    #[test]
    fn a_long_reason_is_cut() {
        let (_dir, table) = table();
        let entry = table.record(hash(1), FailureKind::BadTorrent, &"é".repeat(1000), None, NOON).unwrap();
        assert_eq!(entry.reason, "é".repeat(REASON_CHARS));
    }

    #[test]
    fn the_log_says_what_the_seed_says_and_cannot_be_forged() {
        let (_dir, table) = table();
        let log = logged(Level::DEBUG, || {
            fail(&table, 0x45, NOON);
            remaining(&table, 0x45, NOON + Duration::from_millis(30_500));
            let reason = "a\n INFO b\u{1b}[2J";
            table.record(hash(2), FailureKind::BadTorrent, reason, None, NOON + 5 * MINUTE).unwrap();
        });
        insta::assert_snapshot!(log, @r"
        DEBUG Marked torrent 4545454545454545454545454545454545454545 as failed: no peers found after 60s. Will cooldown for 300s
         INFO Torrent 4545454545454545454545454545454545454545 recently failed (no peers found after 60s). Cooldown: 270s remaining.
        DEBUG Marked torrent 0202020202020202020202020202020202020202 as failed: a\n INFO b\u{1b}[2J. Will cooldown for 3600s
        DEBUG Cleaned up 1 failed torrent entries from cooldown cache
        ");
        let log = logged(Level::INFO, || {
            remaining(&table, 2, NOON + 6 * MINUTE);
            fail(&table, 3, NOON);
        });
        assert_eq!(log.lines().count(), 1, "{log}");
    }

    #[test]
    fn a_file_of_a_newer_version_is_left_to_the_newer_program() {
        let (_dir, table) = table();
        let newer = "version = 2\n[failed]\nby = { info_hash = [] }\n";
        std::fs::write(table.path(), newer).unwrap();
        let error = table.record(hash(1), FailureKind::Timeout, "late", None, NOON).unwrap_err().to_string();
        assert!(error.contains("version 2") && error.contains("failed.toml"), "{error}");
        assert!(table.check(&hash(2), None, NOON).is_err());
        assert!(table.check(&hash(1), None, NOON).unwrap().is_some(), "what this process saw, it knows");
        assert!(table.forget(&hash(1), NOON).is_err());
        assert!(table.clear(&[], NOON).is_err());
        assert_eq!(std::fs::read_to_string(table.path()).unwrap(), newer);
    }

    #[derive(Debug, Clone)]
    enum Step {
        Fail(u8, FailureKind),
        Succeed(u8),
        Wait(u32),
    }

    fn step() -> impl Strategy<Value = Step> {
        let kind = proptest::sample::select(FailureKind::ALL.to_vec());
        prop_oneof![
            (0..4u8, kind).prop_map(|(torrent, kind)| Step::Fail(torrent, kind)),
            (0..4u8).prop_map(Step::Succeed),
            (0..4000u32).prop_map(Step::Wait),
        ]
    }

    proptest! {
        #[test]
        fn a_torrent_cools_down_exactly_from_its_last_failure_for_as_long_as_its_attempts_say(
            steps in proptest::collection::vec(step(), 0..60),
        ) {
            let settings = CooldownSettings::default();
            let (mut table, mut now) = (Table::default(), NOON);
            let mut last: [Option<Entry>; 4] = Default::default();
            for step in steps {
                match step {
                    Step::Wait(seconds) => now += Duration::from_secs(seconds.into()),
                    Step::Succeed(torrent) => {
                        let dropped = table.remove(&hash(torrent));
                        prop_assert_eq!(dropped.first().cloned(), last[usize::from(torrent)].take());
                    }
                    Step::Fail(torrent, kind) => {
                        let entry = table.record(hash(torrent), (kind, ""), None, &settings, now);
                        let before = last[usize::from(torrent)].replace(entry.clone());
                        prop_assert_eq!(entry.attempts, before.map_or(0, |entry| entry.attempts) + 1);
                        prop_assert_eq!(entry.failed_at + settings.cooldown(kind, entry.attempts), entry.retry_at);
                    }
                }
                for (torrent, entry) in (0..).zip(&last) {
                    let cooldown = table.check(&hash(torrent), None, &settings, now);
                    let cooling = entry.as_ref().filter(|entry| entry.retry_at > now);
                    prop_assert_eq!(cooldown.as_ref().map(|cooldown| &cooldown.entry), cooling);
                    prop_assert!(cooldown.is_none_or(|cooldown| cooldown.remaining <= settings.longest()));
                }
            }
        }
    }
}
