//! The core as a [`Library`].

use std::{
    collections::HashMap,
    net::IpAddr,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use time::OffsetDateTime;
use tokio::{sync::watch, time::interval};

use super::library::{
    Condition, FileReport, Library, PeerCounts, RangeOf, SearchReport, TorrentReport, TorrentState, Wanted,
};
use crate::core::{
    Error, Streamer,
    content::Content,
    failed::FailedTable,
    janitor::{self, CleanupReport, ScratchDir},
    media::Kind,
    metainfo::{FileEntry, Metainfo},
    playhead::Playhead,
    reader::{Opened, PieceReader},
    settings::Settings,
    source::{InfoHash, Source},
    status::Status,
    streamer::Request,
    subtitles,
    torrents::Live,
};

/// What is kept of the last reader's wish to come back: a player that seeks lets go of everything for a moment.
const GRACE: Duration = Duration::from_secs(60);
/// Torrents idle for so long are deleted: the seed's cleanup interval.
const KEPT: Duration = Duration::from_secs(30 * 60);
/// How often idle torrents are looked for, in memory and on disk.
const LOOK: Duration = Duration::from_secs(1);
const LOOK_ON_DISK: Duration = Duration::from_secs(60);
/// The size of what is kept is measured by walking it, so not with every question.
const MEASURED_FOR: Duration = Duration::from_secs(10);

/// The core, with what it does not tell itself.
pub struct Shelf {
    streamer: Arc<Streamer>,
    settings: Settings,
    measured: Mutex<Option<(Instant, u64)>>,
    attempts: Arc<Attempts>,
}

/// Requests that have not got their file yet.
#[derive(Default)]
struct Attempts(Mutex<(u64, HashMap<u64, (InfoHash, watch::Sender<Status>)>)>);

/// One of them, until it is dropped.
struct UnderWay {
    attempts: Arc<Attempts>,
    number: u64,
}

impl Attempts {
    fn enter(self: &Arc<Self>, info_hash: InfoHash, status: watch::Sender<Status>) -> UnderWay {
        let mut attempts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        attempts.0 += 1;
        let number = attempts.0;
        attempts.1.insert(number, (info_hash, status));
        UnderWay { attempts: self.clone(), number }
    }

    /// The torrents that are looked for; of several requests for one, the one that has come furthest tells.
    fn searches(&self) -> Vec<TorrentReport> {
        let attempts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut furthest: HashMap<InfoHash, Status> = HashMap::new();
        for (info_hash, status) in attempts.1.values() {
            let (status, far) = (status.borrow(), |status: &Status| (status.round, status.peers_seen));
            let told = furthest.entry(*info_hash).or_insert_with(|| status.clone());
            if far(&status) > far(told) {
                *told = status.clone();
            }
        }
        furthest.into_iter().map(|(info_hash, status)| searching(info_hash, &status)).collect()
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.attempts.0.lock().unwrap_or_else(PoisonError::into_inner).1.remove(&self.number);
    }
}

impl Shelf {
    /// The core with these settings; nothing is opened or started before it is needed.
    pub fn new(settings: Settings) -> Self {
        let settings = Settings { evict_idle: true, doing: "swarmcat serve", ..settings };
        let streamer = Arc::new(Streamer::new(settings.clone()));
        Self { streamer, settings, measured: Mutex::default(), attempts: Arc::default() }
    }

    /// Lets go of what nobody reads: from memory after a minute, from the disk after half an hour. Never ends.
    pub fn tend(&self) -> impl Future<Output = ()> + Send + 'static {
        let (streamer, settings) = (self.streamer.clone(), self.settings.clone());
        async move {
            let (mut look, mut look_on_disk) = (interval(LOOK), interval(LOOK_ON_DISK));
            loop {
                tokio::select! {
                    _ = look.tick() => streamer.let_go_of_idle(GRACE),
                    _ = look_on_disk.tick() => {
                        let (table, temp_dir) = (streamer.table().clone(), settings.temp_dir.clone());
                        let _ = tokio::task::spawn_blocking(move || tidy(&temp_dir, &table)).await;
                    }
                }
            }
        }
    }

    fn is_cooling(&self, info_hash: &InfoHash, client: Option<IpAddr>) -> bool {
        let now = OffsetDateTime::now_utc();
        self.streamer.table().is_cooling(info_hash, client, now).unwrap_or(false)
    }

    fn temp_bytes(&self) -> u64 {
        let mut measured = self.measured.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, bytes)) = *measured
            && at.elapsed() < MEASURED_FOR
        {
            return bytes;
        }
        let now = OffsetDateTime::now_utc();
        let report = janitor::cleanup(&self.settings.temp_dir, Duration::MAX, true, now);
        let bytes = report.map_or(0, |report| report.kept.iter().map(|kept| kept.bytes).sum());
        *measured = Some((Instant::now(), bytes));
        bytes
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

fn report(live: &Live) -> TorrentReport {
    let (content, status) = (&live.torrent.content, live.status.borrow());
    let metainfo = content.metainfo();
    let files = files(content);
    let wanted = live.wanted().borrow().clone();
    let complete = |file: &FileReport| file.verified == file.length;
    let state = match live.is_kept_going() {
        _ if files.iter().filter(|file| wanted.contains(&file.index)).all(complete) => TorrentState::Complete,
        true => TorrentState::Downloading,
        false => TorrentState::Paused,
    };
    TorrentReport {
        info_hash: metainfo.info_hash,
        name: Some(metainfo.name.clone()),
        state,
        verified: files.iter().map(|file| file.verified).sum(),
        length: Some(files.iter().map(|file| file.length).sum()),
        files,
        download_rate: status.download_rate,
        upload_rate: status.upload_rate,
        peers: peers(&status),
        search: search(&status),
        awaited: awaited(live),
        positions: Vec::new(),
        readers: live.torrent.audience.readers(),
        idle_seconds: live.torrent.audience.idle().as_secs(),
        piece_length: metainfo.piece_length,
        have: data_encoding::HEXLOWER.encode(&content.verified().to_bytes()),
    }
}

fn files(content: &Content) -> Vec<FileReport> {
    let metainfo = content.metainfo();
    let own = || metainfo.files.iter().filter(|file| !file.padding);
    let paths: Vec<_> = own().map(|file| (file.index, file.display_path())).collect();
    let pairs = subtitles::pairs(paths.iter().map(|(index, path)| (*index, path.as_str())));
    let file = |(file, (index, path)): (&FileEntry, (usize, String))| FileReport {
        index,
        kind: Kind::of(&path),
        path,
        length: file.len,
        offset: file.offset,
        verified: content.verified_bytes(index),
        subtitles_of: pairs.get(&index).copied(),
    };
    own().zip(paths.clone()).map(file).collect()
}

fn peers(status: &Status) -> PeerCounts {
    PeerCounts {
        seen: status.peers_seen,
        connecting: status.peers_connecting,
        connected: status.peers_connected,
        sending: status.peers_sending,
    }
}

fn search(status: &Status) -> SearchReport {
    SearchReport {
        phase: status.phase,
        round: status.round,
        rounds: status.rounds,
        dht_nodes: status.dht_nodes,
        trackers: status.trackers,
        trackers_answered: status.trackers_answered,
        trackers_failed: status.trackers_failed,
        metadata_bytes: status.metadata_bytes,
    }
}

/// The pieces that readers' next missing bytes are in.
fn awaited(live: &Live) -> Vec<u32> {
    let content = &live.torrent.content;
    let metainfo = content.metainfo();
    let piece = |head: &Playhead| Some(metainfo.piece_at(metainfo.files.get(head.file)?.offset + head.needs));
    let heads = live.torrent.playheads.snapshot();
    let mut pieces: Vec<u32> = heads.iter().filter_map(|(_, head)| piece(head)).collect();
    pieces.retain(|piece| !content.verified().contains(*piece));
    pieces.sort_unstable();
    pieces.dedup();
    pieces
}

/// A torrent of which no more is known than how the search for it goes.
fn searching(info_hash: InfoHash, status: &Status) -> TorrentReport {
    TorrentReport {
        info_hash,
        name: None,
        state: TorrentState::Searching,
        files: Vec::new(),
        verified: 0,
        length: None,
        download_rate: 0,
        upload_rate: 0,
        peers: peers(status),
        search: search(status),
        awaited: Vec::new(),
        positions: Vec::new(),
        readers: 0,
        idle_seconds: 0,
        piece_length: 0,
        have: String::new(),
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
            range: Box::new(move |opened| Ok(range(opened.media()))),
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
        let settled = |live: &Live| live.is_kept_going() || report(live).state == TorrentState::Complete;
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
        let mut reports: Vec<_> = self.streamer.torrents().iter().map(|live| report(live)).collect();
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
        let scratch = ScratchDir::existing(&self.settings.temp_dir).ok().flatten();
        let traffic = self.streamer.traffic();
        Condition {
            dht_nodes: traffic.and_then(|traffic| traffic.dht_nodes),
            free_bytes: scratch.and_then(|scratch| scratch.free_bytes().ok()),
            floor_bytes: self.settings.min_free,
            temp_bytes: self.temp_bytes(),
            received: traffic.map_or(0, |traffic| traffic.received),
            given: traffic.map_or(0, |traffic| traffic.given),
            torrents_most: self.settings.max_torrents,
        }
    }
}
