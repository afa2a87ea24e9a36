//! The Streamer: every sub-command is a call on it.
//!
//! [`Streamer::open`] is the whole way of one request: what is complete on disk is read at once; then the cooldown is
//! checked, before any socket; then one attempt is made, and what came of it is remembered.

use std::{
    io,
    ops::Range,
    sync::{Arc, OnceLock},
    time::Duration,
};

use time::OffsetDateTime;
use tokio::{
    sync::{OnceCell, watch},
    time::{Instant, MissedTickBehavior, interval},
};
use tokio_util::task::AbortOnDropHandle;
use url::Url;

use super::{
    Error,
    content::Content,
    failed::{Cooldown, FailedTable, FailureKind},
    fetch,
    janitor::{Lease, ScratchDir, WriterLock},
    media::{FileSelector, Media},
    metainfo::{FileEntry, Metainfo},
    reader::{Opened, PieceReader, Torrent},
    settings::Settings,
    source::{InfoHash, Magnet, Source},
    status::{Phase, Status},
    swarm::{
        Found, Keeping, Search, SwarmSession,
        metainfo::{parse, torrent_file},
    },
};

/// What the lock on a torrent's directory says of us to a second process.
const DOING: &str = "swarmcat stream";

/// How often the have-map is written while pieces come in: what a kill can cost is one second's pieces.
const SAVE_EVERY: Duration = Duration::from_secs(1);

/// What is to be streamed.
pub struct Request {
    /// The torrent.
    pub source: Source,
    /// Which file of it.
    pub selector: FileSelector,
    /// Try even if it is cooling down.
    pub force: bool,
    /// Which bytes of the file, once it is known.
    pub range: RangeOf,
    /// What is told on the way.
    pub status: watch::Sender<Status>,
}

/// Chooses the bytes of an opened file that a request is about.
pub type RangeOf = Box<dyn FnOnce(&Opened) -> Result<Range<u64>, Error> + Send>;

/// The core, for as long as the process.
pub struct Streamer {
    settings: Settings,
    table: Arc<FailedTable>,
    swarm: OnceCell<SwarmSession>,
}

/// A source, as far as it says what the torrent is.
struct Wanted {
    magnet: Magnet,
    metainfo: Option<Arc<Metainfo>>,
}

/// A torrent whose metainfo is known.
struct Learnt {
    lease: Lease,
    metainfo: Arc<Metainfo>,
    /// The right to download, once it is held.
    writer: Option<WriterLock>,
    /// What a search for the metainfo found beside it.
    found: Option<Found>,
}

/// One request on its way.
struct Attempt<'a> {
    streamer: &'a Streamer,
    scratch: ScratchDir,
    wanted: Wanted,
    /// The cooldown was found to be over, or is not to be minded.
    cleared: bool,
    status: watch::Sender<Status>,
    began: Instant,
}

impl Streamer {
    /// Nothing is opened, read or started before it is needed.
    pub fn new(settings: Settings) -> Self {
        let table = Arc::new(FailedTable::new(&settings.state_dir, settings.cooldown));
        Streamer { settings, table, swarm: OnceCell::new() }
    }

    /// Opens a file for reading: when this returns, the first bytes of the range are there.
    pub async fn open(&self, request: Request) -> Result<(Opened, PieceReader), Error> {
        let attempt = self.attempt(&request.source, request.force, request.status).await?;
        attempt.open(&request.selector, request.range).await
    }

    /// The metainfo alone, for listing what there is.
    pub async fn metainfo(
        &self,
        source: &Source,
        force: bool,
        status: watch::Sender<Status>,
    ) -> Result<Arc<Metainfo>, Error> {
        self.attempt(source, force, status).await?.metainfo().await
    }

    /// Deletes what is kept of a torrent, unless somebody else uses it.
    pub async fn remove(&self, info_hash: &InfoHash) -> Result<u64, Error> {
        if let Some(swarm) = self.swarm.get() {
            swarm.settled().await;
        }
        ScratchDir::open(&self.settings.temp_dir)?.remove(info_hash)
    }

    async fn attempt(
        &self,
        source: &Source,
        force: bool,
        status: watch::Sender<Status>,
    ) -> Result<Attempt<'_>, Error> {
        let wanted = self.identify(source).await?;
        let scratch = ScratchDir::open(&self.settings.temp_dir)?;
        Ok(Attempt { streamer: self, scratch, wanted, cleared: force, status, began: Instant::now() })
    }

    async fn identify(&self, source: &Source) -> Result<Wanted, Error> {
        let metainfo = match source {
            Source::Hash(info_hash) => {
                return Ok(Wanted { magnet: Magnet::bare(*info_hash), metainfo: None });
            }
            Source::Magnet(magnet) => return Ok(Wanted { magnet: magnet.clone(), metainfo: None }),
            Source::File(path) => fetch::from_file(path).await?,
            Source::Url(url) => fetch::from_url(url, &self.settings.swarm).await?,
            Source::Stdin => fetch::from_stdin().await?,
        };
        let mut magnet = Magnet::bare(metainfo.info_hash);
        magnet.trackers = metainfo.trackers.clone();
        Ok(Wanted { magnet, metainfo: Some(Arc::new(metainfo)) })
    }

    async fn swarm(&self, scratch: &ScratchDir) -> Result<&SwarmSession, Error> {
        let start = async || SwarmSession::start(&self.settings, scratch.session_dir()?).await;
        self.swarm.get_or_try_init(start).await
    }
}

impl Attempt<'_> {
    fn info_hash(&self) -> InfoHash {
        self.wanted.magnet.info_hash
    }

    async fn open(mut self, selector: &FileSelector, range: RangeOf) -> Result<(Opened, PieceReader), Error> {
        let mut learnt = match self.kept()? {
            Some((lease, metainfo)) => Learnt { lease, metainfo, writer: None, found: None },
            None => self.learn().await?,
        };
        let file = selector.choose(&learnt.metainfo, &self.wanted.magnet.selected)?.clone();
        let content = Arc::new(Content::open(learnt.lease.dir(), learnt.metainfo.clone()));
        let (end, ended) = watch::channel(None);
        let opened = self.assemble(&learnt.lease, content, ended, &file);
        let range = range(&opened)?;
        let mut reader = opened.reader(range.clone());
        self.status.send_modify(|status| {
            status.name = Some(opened.media().path.clone());
            status.total = Some(range.end - range.start);
        });
        if is_on_disk(opened.content(), file.index, range).await? {
            let path = opened.content().path_of(file.index);
            tracing::info!("Using file stream for {}: {}", self.info_hash(), path.display());
            return Ok((opened, reader));
        }
        if learnt.writer.is_none() {
            self.check_cooldown()?;
            learnt.writer = Some(learnt.lease.writer(DOING)?);
        }
        let fetched = self.fetch(&opened, end, learnt, &mut reader).await;
        self.remember(fetched)?;
        Ok((opened, reader))
    }

    async fn metainfo(mut self) -> Result<Arc<Metainfo>, Error> {
        if let Some(metainfo) = self.wanted.metainfo.take() {
            return Ok(metainfo);
        }
        match self.kept()? {
            Some((_, metainfo)) => Ok(metainfo),
            None => Ok(self.learn().await?.metainfo),
        }
    }

    /// What needs no swarm to be known: the source's own metainfo, or the one kept beside the data.
    fn kept(&mut self) -> Result<Option<(Lease, Arc<Metainfo>)>, Error> {
        let dir = self.scratch.path().join(self.info_hash().to_string());
        if !dir.is_dir() {
            // Nothing on disk that could be served while the torrent cools down.
            self.check_cooldown()?;
            if self.wanted.metainfo.is_none() {
                return Ok(None);
            }
        }
        let lease = self.scratch.lease(&self.info_hash())?;
        let metainfo = self.wanted.metainfo.take().or_else(|| {
            let kept = parse(Content::kept_metainfo(lease.dir())?.into()).ok()?;
            (kept.info_hash == self.info_hash()).then(|| Arc::new(kept))
        });
        if metainfo.is_none() {
            self.check_cooldown()?;
        }
        Ok(metainfo.map(|metainfo| (lease, metainfo)))
    }

    fn check_cooldown(&mut self) -> Result<(), Error> {
        if self.cleared {
            return Ok(());
        }
        let info_hash = self.info_hash();
        match self.streamer.table.check(&info_hash, None, OffsetDateTime::now_utc())? {
            None => {
                self.cleared = true;
                Ok(())
            }
            Some(Cooldown { entry, remaining }) => {
                Err(Error::Cooldown { info_hash, kind: entry.kind, reason: entry.reason, remaining })
            }
        }
    }

    /// Fetches the metainfo from the swarm, and keeps it.
    async fn learn(&mut self) -> Result<Learnt, Error> {
        let lease = self.scratch.lease(&self.info_hash())?;
        let writer = lease.writer(DOING)?;
        match self.learn_into(&lease).await {
            Ok((metainfo, found)) => Ok(Learnt { lease, metainfo, writer: Some(writer), found: Some(found) }),
            Err(error) => {
                drop((writer, lease));
                // Nothing of the torrent is there, so an empty directory must not stay for it.
                let _ = self.scratch.remove(&self.info_hash());
                self.remember(Err(error))
            }
        }
    }

    async fn learn_into(&self, lease: &Lease) -> Result<(Arc<Metainfo>, Found), Error> {
        let found = self.search(None).await?;
        let info =
            found.info.as_deref().ok_or_else(|| Error::Internal("a search without a result".into()))?;
        let metainfo =
            parse(torrent_file(info, &self.wanted.magnet.trackers)).map_err(|error| Error::Failed {
                info_hash: self.info_hash(),
                kind: FailureKind::BadTorrent,
                reason: error.to_string(),
            })?;
        let metainfo = Arc::new(metainfo);
        Content::open(lease.dir(), metainfo.clone()).keep_metainfo()?;
        Ok((metainfo, found))
    }

    async fn search(&self, metainfo: Option<&Metainfo>) -> Result<Found, Error> {
        let private = metainfo.is_some_and(|metainfo| metainfo.private);
        let settings = &self.streamer.settings;
        tracing::info!("Starting torrent stream for hash: {}", self.info_hash());
        let search = Search {
            info_hash: self.info_hash(),
            want_info: metainfo.is_none(),
            peers: settings
                .swarm
                .peers
                .iter()
                .map(ToString::to_string)
                .chain(self.wanted.magnet.peers.clone())
                .collect(),
            tiers: tiers(settings, &self.wanted.magnet.trackers, private),
            private,
        };
        let swarm = self.streamer.swarm(&self.scratch).await?;
        let (searcher, status) = (swarm.searcher.clone(), self.status.clone());
        let task = swarm.runtime.spawn(async move { searcher.search(search, &status).await });
        AbortOnDropHandle::new(task).await.map_err(|error| Error::Internal(error.to_string()))?
    }

    fn assemble(
        &self,
        lease: &Lease,
        content: Arc<Content>,
        ended: watch::Receiver<Option<Error>>,
        file: &FileEntry,
    ) -> Opened {
        let media = Media::new(self.info_hash(), file);
        let table = self.streamer.table.clone();
        let torrent = Torrent {
            upkeep: Box::new(Upkeep::start(content.clone(), lease.clone())),
            content,
            playheads: Arc::default(),
            ended,
            stall_timeout: self.streamer.settings.waits.stall_timeout,
            on_stall: Box::new(move |error| record(&table, error)),
            keeper: OnceLock::new(),
        };
        Opened::new(Arc::new(torrent), media)
    }

    /// Fetches until the reader has its first byte; the torrent then goes on by itself, as long as it is read.
    async fn fetch(
        &self,
        opened: &Opened,
        end: watch::Sender<Option<Error>>,
        learnt: Learnt,
        reader: &mut PieceReader,
    ) -> Result<(), Error> {
        let (content, waits) = (opened.content(), self.streamer.settings.waits);
        tracing::info!("Using torrent stream for {} (file not ready)", self.info_hash());
        content.keep_metainfo()?;
        self.check_room(content, opened.media().index)?;
        let found = match learnt.found {
            Some(found) => found,
            None => self.search(Some(content.metainfo())).await?,
        };
        self.status.send_modify(|status| status.phase = Phase::FirstPiece);
        let swarm = self.streamer.swarm(&self.scratch).await?;
        let tiers = tiers(&self.streamer.settings, &self.wanted.magnet.trackers, content.metainfo().private);
        opened.keep(swarm.keep(Keeping {
            content: content.clone(),
            file: opened.media().index,
            peers: found.peers,
            trackers: found.trackers,
            later_trackers: tiers.into_iter().flatten().collect(),
            round: waits.timeout / waits.max_retries.max(1),
            playheads: opened.playheads().clone(),
            status: self.status.clone(),
            ended: end,
            keeps: Box::new((learnt.writer, learnt.lease)),
        }));
        match reader.ready_by(self.began + waits.timeout).await? {
            Some(_) => Ok(()),
            None => Err(Error::Failed {
                info_hash: self.info_hash(),
                kind: FailureKind::Timeout,
                reason: format!(
                    "peers answered, but no data came within {}",
                    humantime::format_duration(waits.timeout)
                ),
            }),
        }
    }

    /// Room for the whole file, and for what the settings keep free beside it.
    fn check_room(&self, content: &Content, file: usize) -> Result<(), Error> {
        let (free, floor) = (self.scratch.free_bytes()?, self.streamer.settings.min_free);
        let needed = content.missing_bytes(file);
        if needed.saturating_add(floor) <= free {
            return Ok(());
        }
        let reason = format!(
            "not enough room for torrent {}: {needed} bytes needed, {free} free, {floor} to be left free; \
             make room (swarmcat cleanup) or choose another --temp-dir",
            self.info_hash()
        );
        Err(Error::storage("using", self.scratch.path(), io::Error::new(io::ErrorKind::StorageFull, reason)))
    }

    /// A failure of the torrent's goes into the table, a success takes it out.
    fn remember<T>(&self, result: Result<T, Error>) -> Result<T, Error> {
        match &result {
            Ok(_) => {
                if let Err(error) = self.streamer.table.forget(&self.info_hash(), OffsetDateTime::now_utc()) {
                    tracing::warn!(
                        "torrent {}: its old failure was not forgotten: {error}",
                        self.info_hash()
                    );
                }
            }
            Err(error) => record(&self.streamer.table, error),
        }
        result
    }
}

/// Records what the torrent did; everything else passes by. A table that cannot be written costs the memory of this
/// failure, not the stream's own outcome.
fn record(table: &FailedTable, error: &Error) {
    let Error::Failed { info_hash, kind, reason } = error else { return };
    if let Err(error) = table.record(*info_hash, *kind, reason, None, OffsetDateTime::now_utc()) {
        tracing::warn!("torrent {info_hash}: its failure was not recorded: {error}");
    }
}

/// Whether the whole range can be read without the swarm. What an earlier run only claims is hashed for it: that run ended
/// before it could seal the file.
async fn is_on_disk(content: &Arc<Content>, file: usize, range: Range<u64>) -> Result<bool, Error> {
    if !content.covers(file, range.clone()) {
        return Ok(false);
    }
    let content = content.clone();
    let hashed = tokio::task::spawn_blocking(move || {
        let mut claimed = content.pieces_under(file, range).filter(|piece| content.is_claimed(*piece));
        claimed.all(|piece| content.verify(piece))
    });
    hashed.await.map_err(|error| Error::Internal(error.to_string()))
}

/// Trackers by round: the source's own and those that were named one by one first, then the rest in equal parts.
/// A private torrent (BEP 27) is announced to its own trackers alone, and nothing goes around a proxy.
fn tiers(settings: &Settings, own: &[Url], private: bool) -> Vec<Vec<Url>> {
    let swarm = &settings.swarm;
    let usable = |url: &&Url| swarm.proxy.is_none() || url.scheme() != "udp";
    if private {
        return vec![own.iter().filter(usable).cloned().collect()];
    }
    let mut tiers = vec![own.iter().chain(&swarm.trackers).filter(usable).cloned().collect()];
    let later = settings.waits.max_retries.saturating_sub(1).max(1) as usize;
    let rest: Vec<Url> = swarm.fallback_trackers.iter().filter(usable).cloned().collect();
    tiers.extend(rest.chunks(rest.len().div_ceil(later).max(1)).map(<[Url]>::to_vec));
    tiers
}

/// Writes the have-map and the idle clock while a torrent is open, and once more at the end.
struct Upkeep {
    content: Arc<Content>,
    lease: Lease,
    task: tokio::task::JoinHandle<()>,
}

impl Upkeep {
    fn start(content: Arc<Content>, lease: Lease) -> Self {
        let (saved, held) = (content.clone(), lease.clone());
        let task = tokio::spawn(async move {
            let mut ticks = interval(SAVE_EVERY);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                ticks.tick().await;
                let (saved, held) = (saved.clone(), held.clone());
                let _ = tokio::task::spawn_blocking(move || tend(&saved, &held)).await;
            }
        });
        Upkeep { content, lease, task }
    }
}

impl Drop for Upkeep {
    fn drop(&mut self) {
        self.task.abort();
        tend(&self.content, &self.lease);
    }
}

fn tend(content: &Content, lease: &Lease) {
    lease.touch();
    if let Err(error) = content.save() {
        tracing::warn!("torrent {}: the have-map was not written: {error}", content.metainfo().info_hash);
    }
}
