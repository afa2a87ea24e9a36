//! The core as a [`Library`].

use std::{net::IpAddr, path::Path, sync::Arc, time::Duration};

use time::OffsetDateTime;
use tokio::{
    runtime::Handle,
    sync::watch,
    task::spawn_blocking,
    time::{MissedTickBehavior, interval},
};

use super::{
    attempts::Attempts,
    library::{Condition, Library, RangeOf, TorrentReport, TorrentState, Wanted},
    reports,
};
use crate::core::{
    Error, Streamer,
    failed::FailedTable,
    janitor::{self, CleanupReport, ScratchDir, Space},
    metainfo::Metainfo,
    reader::{Opened, PieceReader},
    settings::Settings,
    source::{InfoHash, Source},
    status::Status,
    streamer::{self, Request},
    sync::{Mutex, lock},
    torrents::Live,
};

/// What is kept of the last reader's wish to come back: a player that seeks lets go of everything for a moment.
const GRACE: Duration = Duration::from_secs(60);
/// Torrents idle for so long are deleted: the seed's cleanup interval.
const KEPT: Duration = Duration::from_secs(30 * 60);
/// How often idle torrents are looked for, in memory and on disk.
const LOOK: Duration = Duration::from_secs(1);
const LOOK_ON_DISK: Duration = Duration::from_secs(60);
/// How often the disk is measured. By walking it, which takes as long as the disk does: nobody who asks waits for that.
const MEASURE: Duration = Duration::from_secs(10);

/// The core, with what it does not tell itself.
pub struct Shelf {
    streamer: Arc<Streamer>,
    settings: Settings,
    measured: Arc<Mutex<Measured>>,
    attempts: Arc<Attempts>,
}

/// What the disk was like when it was measured last.
#[derive(Debug, Clone, Copy, Default)]
struct Measured {
    space: Option<Space>,
    kept: u64,
}

impl Measured {
    fn now(temp_dir: &Path) -> Self {
        let scratch = ScratchDir::existing(temp_dir).ok().flatten();
        let space = scratch.and_then(|scratch| scratch.space().ok());
        let report = janitor::cleanup(temp_dir, Duration::MAX, true, OffsetDateTime::now_utc());
        let kept = report.map_or(0, |report| report.kept.iter().map(|kept| kept.bytes).sum());
        Self { space, kept }
    }
}

impl Shelf {
    /// The core with these settings; nothing is opened or started before it is needed.
    pub fn new(settings: Settings) -> Self {
        let settings = Settings { evict_idle: true, doing: "swarmcat serve", ..settings };
        let streamer = Arc::new(Streamer::new(settings.clone()));
        Self { streamer, settings, measured: Arc::default(), attempts: Arc::default() }
    }

    /// Lets go of what nobody reads, and looks how full the disk is. Never ends.
    pub fn tend(&self) -> impl Future<Output = ()> + Send + 'static {
        let (tidying, measuring) = (self.tidy_up(), self.measure());
        async move {
            tokio::join!(tidying, measuring);
        }
    }

    fn measure(&self) -> impl Future<Output = ()> + Send + 'static {
        let (measured, temp_dir) = (self.measured.clone(), self.settings.temp_dir.clone());
        async move {
            let mut again = interval(MEASURE);
            again.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                again.tick().await;
                let temp_dir = temp_dir.clone();
                if let Ok(now) = spawn_blocking(move || Measured::now(&temp_dir)).await {
                    *lock(&measured) = now;
                }
            }
        }
    }

    /// From memory after a minute, from the disk after half an hour.
    fn tidy_up(&self) -> impl Future<Output = ()> + Send + 'static {
        let (streamer, settings) = (self.streamer.clone(), self.settings.clone());
        async move {
            let (mut look, mut look_on_disk) = (interval(LOOK), interval(LOOK_ON_DISK));
            loop {
                tokio::select! {
                    _ = look.tick() => streamer.let_go_of_idle(GRACE),
                    _ = look_on_disk.tick() => {
                        let (table, temp_dir) = (streamer.table().clone(), settings.temp_dir.clone());
                        let _ = spawn_blocking(move || tidy(&temp_dir, &table)).await;
                    }
                }
            }
        }
    }

    fn is_cooling(&self, info_hash: &InfoHash, client: Option<IpAddr>) -> bool {
        let now = OffsetDateTime::now_utc();
        self.streamer.table().is_cooling(info_hash, client, now).unwrap_or(false)
    }
}

fn tidy(temp_dir: &Path, table: &FailedTable) {
    let now = OffsetDateTime::now_utc();
    match janitor::cleanup(temp_dir, KEPT, false, now) {
        Ok(report) if !report.removed.is_empty() => {
            tracing::info!("removed {} idle torrents, {} bytes", report.removed.len(), report.freed);
        }
        Ok(_) => {}
        Err(error) => tracing::warn!("cleanup: {error}"),
    }
    if let Err(error) = table.purge_expired(now) {
        tracing::warn!("the table of failed torrents was not tidied: {error}");
    }
}

impl Library for Shelf {
    type Content = Opened;

    async fn open(&self, wanted: Wanted, range: RangeOf) -> Result<(Opened, PieceReader), Error> {
        let status = watch::Sender::new(Status::default());
        let _under_way = self.attempts.enter(wanted.magnet.info_hash, status.clone());
        let request = Request {
            source: Source::Magnet(wanted.magnet),
            selector: wanted.selector,
            force: wanted.force,
            client: wanted.client,
            seeks: true,
            range: streamer::at_once(move |opened| Ok(range(opened.media()))),
            status,
        };
        self.streamer.open(request).await
    }

    async fn keep(&self, metainfo: Metainfo) -> Result<(), Error> {
        self.streamer.keep(metainfo).await
    }

    fn starts(&self, wanted: &Wanted) -> bool {
        let info_hash = &wanted.magnet.info_hash;
        let kept = self.settings.temp_dir.join(info_hash.to_string());
        !kept.is_dir()
            && !self.streamer.is_open(info_hash)
            && (wanted.force || !self.is_cooling(info_hash, wanted.client))
    }

    fn asks(&self, wanted: &Wanted) -> bool {
        let info_hash = &wanted.magnet.info_hash;
        let settled =
            |live: &Live| live.is_kept_going() || reports::open(live).state == TorrentState::Complete;
        let mut open = self.streamer.torrents().into_iter();
        match open.find(|live| live.torrent.content.metainfo().info_hash == *info_hash) {
            Some(live) => !settled(&live),
            None => wanted.force || !self.is_cooling(info_hash, wanted.client),
        }
    }

    fn table(&self) -> Arc<FailedTable> {
        self.streamer.table().clone()
    }

    fn torrents(&self) -> Vec<TorrentReport> {
        let mut reports: Vec<_> = self.streamer.torrents().iter().map(|live| reports::open(live)).collect();
        let open: Vec<_> = reports.iter().map(|report| report.info_hash).collect();
        reports
            .extend(self.attempts.searches().into_iter().filter(|search| !open.contains(&search.info_hash)));
        // In an order of their own, so that what did not change looks the same.
        reports.sort_unstable_by_key(|report| report.info_hash);
        reports
    }

    fn count(&self) -> usize {
        self.streamer.torrents().len()
    }

    async fn remove(&self, info_hash: &InfoHash) -> Result<Option<u64>, Error> {
        let freed = self.streamer.remove(info_hash).await?;
        Ok(Some(freed).filter(|freed| *freed > 0))
    }

    fn cleanup(
        &self,
        older_than: Duration,
        dry_run: bool,
        now: OffsetDateTime,
    ) -> Result<CleanupReport, Error> {
        janitor::cleanup(&self.settings.temp_dir, older_than, dry_run, now)
    }

    fn condition(&self) -> Condition {
        let Measured { space, kept } = *lock(&self.measured);
        let traffic = self.streamer.traffic();
        let ours = Handle::try_current().map_or(0, |runtime| runtime.metrics().num_alive_tasks());
        Condition {
            dht_nodes: traffic.and_then(|traffic| traffic.dht_nodes),
            free_bytes: space.map(|space| space.free),
            floor_bytes: space.map_or(0, |space| self.settings.free_floor(space.all)),
            temp_bytes: kept,
            received: traffic.map_or(0, |traffic| traffic.received),
            given: traffic.map_or(0, |traffic| traffic.given),
            tasks: ours + traffic.map_or(0, |traffic| traffic.tasks),
            torrents_most: self.settings.max_torrents,
        }
    }
}
