//! The failed-torrent table: which torrents failed, why, and until when they are left alone.
//!
//! [`Table`] is the rules alone: pure, with the time as an argument. [`FailedTable`] keeps it in
//! `failed.toml` of the state directory, shared by every process. What counts as a failure of the torrent is
//! not decided here: whatever is recorded cools down.

use std::{collections::BTreeMap, net::IpAddr, path::Path, time::Duration};

use serde::{Deserialize, Serialize};
use time::{Date, Month, OffsetDateTime, Time};

use super::{
    Error,
    settings::CooldownSettings,
    source::InfoHash,
    store::{Change, Document, Store},
};

/// Longest reason that is kept, in characters: enough for any sentence, too little to fill a disk.
const REASON_CHARS: usize = 300;

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
        (left <= settings.longest()).then_some(left)
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

    /// Drops a torrent's entries for every client.
    pub fn remove(&mut self, info_hash: &InfoHash) -> Vec<Entry> {
        let keys: Vec<Key> = self.of(info_hash).map(|entry| (entry.info_hash, entry.client)).collect();
        keys.iter().filter_map(|key| self.entries.remove(key)).collect()
    }

    /// Drops every entry.
    pub fn remove_all(&mut self) -> Vec<Entry> {
        std::mem::take(&mut self.entries).into_values().collect()
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
/// for other processes. An error means that nothing was changed; whether to go on without the table is the
/// caller's choice.
pub struct FailedTable {
    store: Store<Table>,
    settings: CooldownSettings,
}

impl FailedTable {
    /// The table of a state directory; nothing is touched yet.
    pub fn new(state_dir: &Path, settings: CooldownSettings) -> Self {
        Self { store: Store::new(state_dir.join("failed.toml")), settings }
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
        let cooldown = self.store.read()?.check(info_hash, client, &self.settings, now);
        if let Some(Cooldown { entry, remaining }) = &cooldown {
            let (reason, left) = (entry.reason.escape_debug(), seconds(*remaining));
            tracing::info!("Torrent {info_hash} recently failed ({reason}). Cooldown: {left}s remaining.");
        }
        Ok(cooldown)
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
        let (entry, purged) = self.store.update(|table| {
            let entry = table.record(info_hash, (kind, reason), client, &self.settings, now);
            Change::Write((entry, table.purge(&self.settings, now)))
        })?;
        let (reason, left) =
            (entry.reason.escape_debug(), (entry.retry_at - entry.failed_at).whole_seconds());
        tracing::debug!("Marked torrent {info_hash} as failed: {reason}. Will cooldown for {left}s");
        log_purged(purged);
        Ok(entry)
    }

    /// Forgets a torrent that succeeded; whether there was anything to forget. Free when there was not.
    pub fn forget(&self, info_hash: &InfoHash, now: OffsetDateTime) -> Result<bool, Error> {
        if !self.store.read()?.contains(info_hash) {
            return Ok(false);
        }
        self.drop_entries(now, |table| table.remove(info_hash)).map(|dropped| !dropped.is_empty())
    }

    /// Drops the entries of these torrents, or every entry when none is named; returns what was dropped.
    pub fn clear(&self, info_hashes: &[InfoHash], now: OffsetDateTime) -> Result<Vec<Entry>, Error> {
        if info_hashes.is_empty() {
            return self.drop_entries(now, Table::remove_all);
        }
        self.drop_entries(now, |table| info_hashes.iter().flat_map(|hash| table.remove(hash)).collect())
    }

    /// The entries that still cool down, or with `all` also those that are over; the latest failure last.
    pub fn list(&self, all: bool, now: OffsetDateTime) -> Result<Vec<Listed>, Error> {
        let table = self.store.read()?;
        let listed = table.entries().map(|entry| (entry, entry.remaining(&self.settings, now)));
        let mut listed: Vec<Listed> = listed
            .filter(|(_, remaining)| all || remaining.is_some())
            .map(|(entry, remaining)| Listed { entry: entry.clone(), remaining })
            .collect();
        listed.sort_by_key(|listed| listed.entry.failed_at);
        Ok(listed)
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

    fn drop_entries(
        &self,
        now: OffsetDateTime,
        drop: impl FnOnce(&mut Table) -> Vec<Entry>,
    ) -> Result<Vec<Entry>, Error> {
        if self.store.read()?.entries().len() == 0 {
            return Ok(Vec::new());
        }
        let (dropped, purged) = self.store.update(|table| {
            let result = (drop(table), table.purge(&self.settings, now));
            match (result.0.is_empty(), result.1) {
                (true, 0) => Change::Keep(result),
                _ => Change::Write(result),
            }
        })?;
        log_purged(purged);
        Ok(dropped)
    }
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
