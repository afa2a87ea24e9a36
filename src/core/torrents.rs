//! The torrents of this process: one attempt at a time for each, one set of locks, pieces and playheads for all its readers.
//!
//! Whoever wants a torrent takes its [`Turn`]. Who had to wait for somebody else's turn and finds that it failed gets that
//! failure, instead of making the same attempt again.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use tokio::sync::watch;

use super::{
    Error,
    janitor::{Lease, WriterLock},
    reader::Torrent,
    source::InfoHash,
    status::Status,
    swarm::{Found, KeeperGuard},
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
        lock,
    },
};

/// Every torrent that is, or lately was, open.
#[derive(Default)]
pub struct Torrents {
    slots: Mutex<HashMap<InfoHash, Arc<Slot>>>,
    /// Those that are being looked for.
    opening: AtomicUsize,
}

/// A place among the torrents that may be open at once, for one that is not live yet.
pub struct Room<'a>(&'a Torrents);

impl Drop for Room<'_> {
    fn drop(&mut self) {
        self.0.opening.fetch_sub(1, Ordering::Relaxed);
    }
}

/// One torrent's place. Whoever has its gate may rely on it: only a place whose gate is free is given up.
#[derive(Default)]
struct Slot {
    gate: Arc<tokio::sync::Mutex<()>>,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    live: Option<Arc<Live>>,
    /// Counts failed turns, with what the last one failed of.
    failures: (u64, Option<Error>),
}

impl Torrents {
    /// Waits for a torrent's turn.
    pub async fn turn(&self, info_hash: InfoHash) -> Result<Turn<'_>, Error> {
        loop {
            let slot = lock(&self.slots).entry(info_hash).or_default().clone();
            let gate = slot.gate().await?;
            // While it was waited for, the place may have been given up, and another one be the torrent's.
            if lock(&self.slots).get(&info_hash).is_some_and(|current| Arc::ptr_eq(current, &slot)) {
                return Ok(Turn { torrents: self, slot, _gate: gate });
            }
        }
    }

    /// Ends a torrent that nobody reads and that is nobody's turn, and waits until nobody writes it any more; whether it is
    /// not open, then.
    pub async fn close_unread(&self, info_hash: &InfoHash) -> bool {
        let live = {
            let mut slots = lock(&self.slots);
            let Some(slot) = slots.get(info_hash).cloned() else { return true };
            let Ok(_gate) = slot.gate.try_lock() else { return false };
            if slot.is_read_within(Duration::ZERO) {
                return false;
            }
            slots.remove(info_hash);
            lock(&slot.inner).live.take()
        };
        if let Some(live) = live {
            let keeper = lock(&live.swarm).keeper.take();
            if let Some(keeper) = keeper {
                keeper.stop().await;
            }
        }
        true
    }

    /// Ends the torrents that nobody reads.
    pub async fn close_idle(&self) {
        let hashes: Vec<_> = lock(&self.slots).keys().copied().collect();
        for hash in hashes {
            self.close_unread(&hash).await;
        }
    }

    /// Whether a torrent is live.
    pub fn is_open(&self, info_hash: &InfoHash) -> bool {
        lock(&self.slots).get(info_hash).is_some_and(|slot| lock(&slot.inner).live.is_some())
    }

    /// The live torrents.
    pub fn live(&self) -> Vec<Arc<Live>> {
        lock(&self.slots).values().filter_map(|slot| lock(&slot.inner).live.clone()).collect()
    }

    /// Makes room for one more beside at most `most` that are live or looked for: the one that was unread for longest gives
    /// way, if any was.
    pub fn make_room(&self, most: usize) -> Result<Room<'_>, Error> {
        let mut slots = lock(&self.slots);
        let live = |slot: &Slot| lock(&slot.inner).live.is_some();
        let open = slots.values().filter(|slot| live(slot)).count() + self.opening.load(Ordering::Relaxed);
        if open >= most {
            let idle = slots.iter().filter(|(_, slot)| live(slot) && !slot.is_kept(Duration::ZERO));
            let oldest = idle.max_by_key(|(_, slot)| slot.idle()).map(|(hash, _)| *hash);
            let oldest = oldest.ok_or_else(|| {
                Error::Busy(format!("{most} torrents are being read or looked for already; try again later"))
            })?;
            slots.remove(&oldest);
        }
        self.opening.fetch_add(1, Ordering::Relaxed);
        Ok(Room(self))
    }

    /// Lets go of torrents that nobody has read for `grace`; to be called every now and then.
    pub fn let_go_of_idle(&self, grace: Duration) {
        lock(&self.slots).retain(|_, slot| slot.is_kept(grace));
    }
}

impl Slot {
    async fn gate(&self) -> Result<tokio::sync::OwnedMutexGuard<()>, Error> {
        let before = lock(&self.inner).failures.0;
        let gate = self.gate.clone().lock_owned().await;
        let failures = lock(&self.inner).failures.clone();
        match failures {
            (after, Some(error)) if after > before => Err(error),
            _ => Ok(gate),
        }
    }

    fn is_kept(&self, grace: Duration) -> bool {
        // Somebody's turn: it is about to be read.
        let Ok(_gate) = self.gate.try_lock() else { return true };
        self.is_read_within(grace)
    }

    /// Whether it is being read, or was so lately.
    fn is_read_within(&self, grace: Duration) -> bool {
        self.idle().is_some_and(|idle| idle < grace || idle.is_zero())
    }

    /// How long nobody has read it; `None` when there is nothing to read.
    fn idle(&self) -> Option<Duration> {
        lock(&self.inner).live.as_ref().map(|live| match live.torrent.audience.readers() {
            0 => live.torrent.audience.idle().max(Duration::from_nanos(1)),
            _ => Duration::ZERO,
        })
    }
}

/// The right to prepare a torrent.
pub struct Turn<'a> {
    torrents: &'a Torrents,
    slot: Arc<Slot>,
    _gate: tokio::sync::OwnedMutexGuard<()>,
}

impl Turn<'_> {
    /// The torrent as an earlier turn left it, or made live now, if there is room for it beside `most` in all.
    pub async fn live_or(
        &self,
        most: usize,
        enliven: impl Future<Output = Result<Live, Error>>,
    ) -> Result<Arc<Live>, Error> {
        if let Some(live) = lock(&self.slot.inner).live.clone() {
            return Ok(live);
        }
        let room = self.torrents.make_room(most)?;
        let live = Arc::new(enliven.await?);
        // It takes the room that it was made in one step for those who count.
        let _slots = lock(&self.torrents.slots);
        lock(&self.slot.inner).live = Some(live.clone());
        drop(room);
        Ok(live)
    }

    /// Ends the turn; those who waited for it get its failure.
    pub fn end<T>(self, result: Result<T, Error>) -> Result<T, Error> {
        let mut inner = lock(&self.slot.inner);
        if let Err(error @ (Error::Failed { .. } | Error::Offline(_))) = &result {
            inner.failures = (inner.failures.0 + 1, Some(error.clone()));
        }
        drop(inner);
        result
    }
}

/// A torrent that is open.
pub struct Live {
    /// What its readers share.
    pub torrent: Arc<Torrent>,
    /// What it is doing.
    pub status: watch::Sender<Status>,
    lease: Lease,
    wanted: watch::Sender<BTreeSet<usize>>,
    swarm: Mutex<Swarming>,
    failure: Arc<SharedFailure>,
}

/// A torrent's failure, which befalls all its readers and is recorded once.
#[derive(Default)]
pub struct SharedFailure(Mutex<Option<u64>>);

impl SharedFailure {
    /// Takes a failure down, with the bytes that had come by then; whether it is the first since the last success.
    pub fn note(&self, written: u64) -> bool {
        let mut failed = lock(&self.0);
        let is_first = failed.is_none();
        failed.get_or_insert(written);
        is_first
    }

    /// Whether nothing has come since, now that so many bytes have.
    fn stands(&self, written: u64) -> bool {
        *lock(&self.0) == Some(written)
    }

    fn forget(&self) {
        *lock(&self.0) = None;
    }
}

/// Its part in the swarm.
#[derive(Default)]
struct Swarming {
    keeper: Option<KeeperGuard>,
    writer: Option<WriterLock>,
    found: Option<Found>,
}

impl Live {
    /// A torrent whose metainfo is known.
    pub fn new(
        torrent: Torrent,
        lease: Lease,
        (writer, found): (Option<WriterLock>, Option<Found>),
        status: watch::Sender<Status>,
        failure: Arc<SharedFailure>,
    ) -> Self {
        Live {
            torrent: Arc::new(torrent),
            status,
            lease,
            wanted: watch::Sender::default(),
            swarm: Mutex::new(Swarming { keeper: None, writer, found }),
            failure,
        }
    }

    /// Bytes that the swarm still fetches.
    pub fn still_wanted(&self) -> u64 {
        let wanted = self.wanted.borrow();
        let missing = |file: &usize| self.torrent.content.missing_bytes(*file);
        if self.is_kept_going() { wanted.iter().map(missing).sum() } else { 0 }
    }

    /// Whether the swarm fetches the file already.
    pub fn wants_already(&self, file: usize) -> bool {
        self.is_kept_going() && self.wanted.borrow().contains(&file)
    }

    /// Adds a file to those that are wanted; whether a keeper runs that takes it up.
    pub fn want(&self, file: usize) -> bool {
        self.wanted.send_modify(|files| {
            files.insert(file);
        });
        self.is_kept_going()
    }

    /// The files that are wanted.
    pub fn wanted(&self) -> watch::Receiver<BTreeSet<usize>> {
        self.wanted.subscribe()
    }

    /// Whether the swarm fetches it.
    pub fn is_kept_going(&self) -> bool {
        lock(&self.swarm).keeper.is_some() && self.torrent.ended.borrow().is_none()
    }

    /// The locks that a keeper holds while it writes.
    pub fn writer(&self, doing: &str) -> Result<(WriterLock, Lease), Error> {
        let mut swarm = lock(&self.swarm);
        // A keeper that ended must have let its lock go before the next one takes it.
        swarm.keeper = None;
        let writer = match swarm.writer.take() {
            Some(writer) => writer,
            None => self.lease.writer(doing)?,
        };
        Ok((writer, self.lease.clone()))
    }

    /// What the search for the metainfo found beside it, once.
    pub fn take_found(&self) -> Option<Found> {
        lock(&self.swarm).found.take()
    }

    /// Whether this failure is the first since the last success: the one that counts.
    pub fn fails_first(&self) -> bool {
        self.failure.note(self.torrent.content.written())
    }

    /// Whether it failed, and nothing has come since.
    pub fn has_failed_lately(&self) -> bool {
        self.failure.stands(self.torrent.content.written())
    }

    /// A reader got its first byte, or another one may try: the next failure counts.
    pub fn begins_anew(&self) {
        self.failure.forget();
    }

    /// The keeper lives as long as the torrent is open.
    pub fn keep(&self, keeper: KeeperGuard) {
        lock(&self.swarm).keeper = Some(keeper);
    }
}

#[cfg(all(test, feature = "models"))]
mod models;
