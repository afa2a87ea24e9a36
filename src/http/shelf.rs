//! The core as a [`Library`].

use std::{net::IpAddr, sync::Arc, time::Duration};

use time::OffsetDateTime;
use tokio::sync::watch;

use super::library::{Condition, Library, RangeOf, TorrentReport, Wanted};
use crate::core::{
    Error, Streamer,
    failed::FailedTable,
    janitor::{self, CleanupReport, ScratchDir},
    reader::{Opened, PieceReader},
    settings::Settings,
    source::{InfoHash, Source},
    status::Status,
    streamer::Request,
};

/// The core, with what it does not tell itself.
pub struct Shelf {
    streamer: Streamer,
    settings: Settings,
    table: Arc<FailedTable>,
}

impl Shelf {
    /// The core with these settings; nothing is opened or started before it is needed.
    pub fn new(settings: Settings) -> Self {
        let table = Arc::new(FailedTable::new(&settings.state_dir, settings.cooldown));
        Self { streamer: Streamer::new(settings.clone()), settings, table }
    }

    fn is_cooling(&self, info_hash: &InfoHash, client: Option<IpAddr>) -> bool {
        self.table.check(info_hash, client, OffsetDateTime::now_utc()).is_ok_and(|found| found.is_some())
    }
}

impl Library for Shelf {
    type Content = Opened;

    async fn open(&self, wanted: Wanted, range: RangeOf) -> Result<(Opened, PieceReader), Error> {
        let request = Request {
            source: Source::Magnet(wanted.magnet),
            selector: wanted.selector,
            force: wanted.force,
            range: Box::new(move |opened| Ok(range(opened.media()))),
            status: watch::Sender::new(Status::default()),
        };
        self.streamer.open(request).await
    }

    fn starts(&self, wanted: &Wanted) -> bool {
        let info_hash = &wanted.magnet.info_hash;
        let kept = self.settings.temp_dir.join(info_hash.to_string());
        !kept.is_dir() && (wanted.force || !self.is_cooling(info_hash, wanted.client))
    }

    fn table(&self) -> Arc<FailedTable> {
        self.table.clone()
    }

    fn torrents(&self) -> Vec<TorrentReport> {
        Vec::new()
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
        let scratch = ScratchDir::existing(&self.settings.temp_dir).ok().flatten();
        Condition {
            free_bytes: scratch.and_then(|scratch| scratch.free_bytes().ok()),
            floor_bytes: self.settings.min_free,
            ..Condition::default()
        }
    }
}
