//! The Streamer: every sub-command is a call on it.
//!
//! [`Streamer::open`] is the whole way of one request: what is complete on disk is read at once; then the cooldown is
//! checked, before any socket; then one attempt is made, and what came of it is remembered.

use std::{future, io, net::IpAddr, ops::Range, sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use time::OffsetDateTime;
use tokio::{
    sync::{OnceCell, watch},
    time::{Instant, MissedTickBehavior, interval, sleep},
};
use tokio_util::task::AbortOnDropHandle;
use url::Url;

use super::{
    Error,
    content::Content,
    failed::{FailedTable, FailureKind},
    fetch,
    janitor::{Lease, ScratchDir, WriterLock},
    media::{FileSelector, Media},
    metainfo::Metainfo,
    reader::{Audience, Opened, PieceReader, Torrent},
    reasons,
    settings::{CooldownScope, Settings},
    source::{InfoHash, Magnet, Source},
    status::{Check, Milestone, Phase, Status},
    swarm::{
        Found, Keeping, Search, SwarmSession, Traffic,
        metainfo::{parse, torrent_file},
    },
    sync::{Mutex, lock},
    torrents::{Live, SharedFailure, Torrents, Turn},
};

/// How often the have-map is written while pieces come in: what a kill can cost is one second's pieces.
const SAVE_EVERY: Duration = Duration::from_secs(1);

/// Who got a torrent's last byte may still be on its way out when it is removed: so often it is looked whether it has gone,
const LOOKS: u32 = 10;
/// with this pause in between.
const LOOK: Duration = Duration::from_millis(50);

/// What is to be streamed.
pub struct Request {
    /// The torrent.
    pub source: Source,
    /// Which file of it.
    pub selector: FileSelector,
    /// Try even if it is cooling down.
    pub force: bool,
    /// Who asks, if that matters: with [`CooldownScope::Client`] each address has failures of its own.
    pub client: Option<IpAddr>,
    /// Whether it is for a player or the like, which goes elsewhere in the file as well: what such a one asks for before it
    /// shows anything is then fetched early.
    pub seeks: bool,
    /// Which bytes of the file, once it is known.
    pub range: RangeOf,
    /// What is told on the way.
    pub status: watch::Sender<Status>,
}

impl Request {
    /// All of the file that [`FileSelector::Auto`] chooses, with nobody to be told on the way. For the rest, say
    /// `Request { selector, ..Request::of(source) }`.
    pub fn of(source: Source) -> Self {
        Self {
            source,
            selector: FileSelector::Auto,
            force: false,
            client: None,
            seeks: false,
            range: at_once(|opened| Ok(0..opened.media().len)),
            status: watch::Sender::default(),
        }
    }
}

/// Chooses the bytes of an opened file that a request is about. It may take its time: that is no wait for the swarm.
pub type RangeOf = Box<dyn FnOnce(Opened) -> BoxFuture<'static, Result<Range<u64>, Error>> + Send>;

/// A choice that takes no time.
pub fn at_once(choose: impl FnOnce(&Opened) -> Result<Range<u64>, Error> + Send + 'static) -> RangeOf {
    Box::new(move |opened| Box::pin(future::ready(choose(&opened))))
}

/// The core, for as long as the process.
pub struct Streamer {
    settings: Settings,
    table: Arc<FailedTable>,
    // Torrents let go of their keepers before the session waits for them.
    torrents: Torrents,
    swarm: OnceCell<SwarmSession>,
}

/// A source, as far as it says what the torrent is.
struct Wanted {
    magnet: Magnet,
    metainfo: Option<Arc<Metainfo>>,
}

/// One request on its way.
struct Attempt<'a> {
    streamer: &'a Streamer,
    scratch: ScratchDir,
    wanted: Wanted,
    /// There was a directory of the torrent's when the attempt began.
    on_disk: bool,
    /// The cooldown was found to be over, or is not to be minded.
    cleared: bool,
    /// Whose failures count.
    client: Option<IpAddr>,
    status: watch::Sender<Status>,
    /// When the wait for the first byte began; later by what was looked through on the disk.
    began: Instant,
}

impl Streamer {
    /// Nothing is opened, read or started before it is needed.
    pub fn new(settings: Settings) -> Self {
        let table = Arc::new(FailedTable::new(&settings.state_dir, settings.cooldown));
        Streamer { settings, table, torrents: Torrents::default(), swarm: OnceCell::new() }
    }

    /// Opens a file for reading: when this returns, the first bytes of the range are there.
    pub async fn open(&self, request: Request) -> Result<(Opened, PieceReader), Error> {
        let client = request.client.filter(|_| self.settings.cooldown.scope == CooldownScope::Client);
        let attempt = self.attempt(&request.source, request.force, client, request.status).await?;
        attempt.open(&request.selector, request.seeks, request.range).await
    }

    /// The metainfo alone, for listing what there is.
    pub async fn metainfo(
        &self,
        source: &Source,
        force: bool,
        status: watch::Sender<Status>,
    ) -> Result<Arc<Metainfo>, Error> {
        self.attempt(source, force, None, status).await?.metainfo().await
    }

    /// Keeps a metainfo that was handed in, so that its torrent is known without a search, until cleanup takes it.
    pub async fn keep(&self, metainfo: Metainfo) -> Result<(), Error> {
        let scratch = ScratchDir::open(&self.settings.temp_dir)?;
        let lease = scratch.lease(&metainfo.info_hash)?;
        let kept = tokio::task::spawn_blocking(move || {
            Content::open(lease.dir(), Arc::new(metainfo)).keep_metainfo()
        });
        kept.await.map_err(|error| Error::Internal(error.to_string()))?
    }

    /// Deletes what is kept of a torrent, unless somebody uses it.
    pub async fn remove(&self, info_hash: &InfoHash) -> Result<u64, Error> {
        let mut looks = 0;
        while !self.torrents.close_unread(info_hash).await {
            if looks == LOOKS {
                return Err(Error::Busy(format!("torrent {info_hash} is being read; nothing was removed")));
            }
            looks += 1;
            sleep(LOOK).await;
        }
        ScratchDir::open(&self.settings.temp_dir)?.remove(info_hash)
    }

    /// The table of failed torrents.
    pub fn table(&self) -> &Arc<FailedTable> {
        &self.table
    }

    /// The torrents that are open.
    pub fn torrents(&self) -> Vec<Arc<Live>> {
        self.torrents.live()
    }

    /// What the swarm has brought and taken so far; `None` before it was needed.
    pub fn traffic(&self) -> Option<Traffic> {
        Some(self.swarm.get()?.traffic())
    }

    /// Whether a torrent is open.
    pub fn is_open(&self, info_hash: &InfoHash) -> bool {
        self.torrents.is_open(info_hash)
    }

    /// Deletes the torrent that nobody has read for longest, if the settings allow it; whether there was one.
    async fn evict_one(&self, scratch: &ScratchDir) -> bool {
        if !self.settings.evict_idle {
            return false;
        }
        self.torrents.close_idle().await;
        let Ok(idle) = scratch.cleanup(Duration::ZERO, true, OffsetDateTime::now_utc()) else { return false };
        let Some(oldest) = idle.removed.iter().max_by_key(|torrent| torrent.idle) else { return false };
        tracing::info!("torrent {}: deleted to make room", oldest.info_hash);
        scratch.remove(&oldest.info_hash).is_ok()
    }

    /// Lets go of torrents that nobody has read for `grace`; to be called every second or so by who serves many.
    pub fn let_go_of_idle(&self, grace: Duration) {
        self.torrents.let_go_of_idle(grace);
    }

    async fn attempt(
        &self,
        source: &Source,
        force: bool,
        client: Option<IpAddr>,
        status: watch::Sender<Status>,
    ) -> Result<Attempt<'_>, Error> {
        let wanted = self.identify(source).await?;
        let info_hash = wanted.magnet.info_hash;
        let on_disk = self.settings.temp_dir.join(info_hash.to_string()).is_dir();
        // Nothing there that could be served while the torrent cools down, so nothing else needs a look.
        let cleared = force || (!on_disk && !self.torrents.is_open(&info_hash));
        if cleared && !force {
            self.check_cooldown(info_hash, client)?;
        }
        let scratch = ScratchDir::open(&self.settings.temp_dir)?;
        Ok(Attempt {
            streamer: self,
            scratch,
            wanted,
            on_disk,
            cleared,
            client,
            status,
            began: Instant::now(),
        })
    }

    /// A table that cannot be read costs the memory of failures, not the stream.
    fn check_cooldown(&self, info_hash: InfoHash, client: Option<IpAddr>) -> Result<(), Error> {
        match self.table.check(&info_hash, client, OffsetDateTime::now_utc()) {
            Ok(None) => Ok(()),
            Ok(Some(cooldown)) => Err(cooldown.into()),
            Err(error) => {
                tracing::warn!("torrent {info_hash}: going on without the table of failures: {error}");
                Ok(())
            }
        }
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

    async fn open(
        mut self,
        selector: &FileSelector,
        seeks: bool,
        range: RangeOf,
    ) -> Result<(Opened, PieceReader), Error> {
        let turn = self.streamer.torrents.turn(self.info_hash()).await?;
        let prepared = self.prepare(&turn, selector, seeks, range).await;
        let (opened, mut reader, fetched) = turn.end(prepared)?;
        if let Some(live) = fetched {
            let first = self.first_byte(&mut reader).await;
            self.remember(&live, first)?;
            tracing::debug!(
                "torrent {}: first byte after {}",
                self.info_hash(),
                live.status.borrow().timeline
            );
        }
        Ok((opened, reader))
    }

    /// Everything up to the wait for the first byte; others who want the torrent wait meanwhile, and share what comes of it.
    async fn prepare(
        &mut self,
        turn: &Turn<'_>,
        selector: &FileSelector,
        seeks: bool,
        range: RangeOf,
    ) -> Result<(Opened, PieceReader, Option<Arc<Live>>), Error> {
        let live = self.live(turn).await?;
        let metainfo = live.torrent.content.metainfo();
        let file = selector.choose(metainfo, &self.wanted.magnet.selected)?;
        let media = Media::new(metainfo.info_hash, file);
        let opened = Opened::new(live.torrent.clone(), media).for_seeking(seeks);
        self.status.send_modify(|status| status.name = Some(opened.media().path.clone()));
        let looked = Instant::now();
        let range = range(opened.clone()).await?;
        let reader = opened.reader(range.clone());
        self.status.send_modify(|status| status.total = Some(range.end - range.start));
        let on_disk = is_on_disk(opened.content(), file.index, range, &self.status).await?;
        self.began += looked.elapsed();
        if on_disk {
            let path = opened.content().path_of(file.index);
            tracing::info!("Using file stream for {}: {}", self.info_hash(), path.display());
            return Ok((opened, reader, None));
        }
        tracing::info!("Using torrent stream for {} (file not ready)", self.info_hash());
        let fetched = self.fetch(&live, file.index).await;
        self.recorded(fetched)?;
        Ok((opened, reader, Some(live)))
    }

    async fn live(&mut self, turn: &Turn<'_>) -> Result<Arc<Live>, Error> {
        turn.live_or(self.streamer.settings.max_torrents, self.enliven()).await
    }

    async fn enliven(&mut self) -> Result<Live, Error> {
        if let Some((lease, metainfo)) = self.kept()? {
            return Ok(self.assemble(lease, metainfo, None, None));
        }
        self.check_cooldown()?;
        let lease = self.scratch.lease(&self.info_hash())?;
        let writer = lease.writer(self.streamer.settings.doing)?;
        match self.learn(&lease).await {
            Ok((metainfo, found)) => Ok(self.assemble(lease, metainfo, Some(writer), Some(found))),
            Err(error) => {
                let is_empty = !self.on_disk && Content::kept_metainfo(lease.dir()).is_none();
                drop((writer, lease));
                if is_empty {
                    // The directory that was made for it must not stay.
                    let _ = self.scratch.remove(&self.info_hash());
                }
                self.recorded(Err(error))
            }
        }
    }

    async fn metainfo(mut self) -> Result<Arc<Metainfo>, Error> {
        if let Some(metainfo) = self.wanted.metainfo.take() {
            return Ok(metainfo);
        }
        if let Some((_, metainfo)) = self.kept()? {
            return Ok(metainfo);
        }
        // It stays live, with the peers that the search has found: who asks what there is often wants some of it next.
        let turn = self.streamer.torrents.turn(self.info_hash()).await?;
        let live = self.live(&turn).await;
        Ok(turn.end(live)?.torrent.content.metainfo().clone())
    }

    /// What needs no swarm to be known: the source's own metainfo, or the one kept beside the data.
    fn kept(&mut self) -> Result<Option<(Lease, Arc<Metainfo>)>, Error> {
        if !self.on_disk && self.wanted.metainfo.is_none() {
            return Ok(None);
        }
        let lease = self.scratch.lease(&self.info_hash())?;
        let metainfo = self.wanted.metainfo.take().or_else(|| {
            let kept = parse(Content::kept_metainfo(lease.dir())?.into()).ok()?;
            (kept.info_hash == self.info_hash()).then(|| Arc::new(kept))
        });
        Ok(metainfo.map(|metainfo| (lease, metainfo)))
    }

    fn check_cooldown(&mut self) -> Result<(), Error> {
        if !self.cleared {
            self.streamer.check_cooldown(self.info_hash(), self.client)?;
            self.cleared = true;
        }
        Ok(())
    }

    /// Fetches the metainfo from the swarm, and keeps it.
    async fn learn(&self, lease: &Lease) -> Result<(Arc<Metainfo>, Found), Error> {
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
        let found = match metainfo.private {
            true => found.of_private(&self.trackers(Some(&metainfo))),
            false => found,
        };
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
                .chain(Content::kept_peers(&self.scratch.dir(&self.info_hash())))
                .collect(),
            tiers: tiers(settings, &self.trackers(metainfo), private),
            private,
        };
        let swarm = self.streamer.swarm(&self.scratch).await?;
        self.status.borrow().timeline.pass(Milestone::Session);
        let (searcher, status) = (swarm.searcher.clone(), self.status.clone());
        let task = swarm.runtime.spawn(async move { searcher.search(search, &status).await });
        AbortOnDropHandle::new(task).await.map_err(|error| Error::Internal(error.to_string()))?
    }

    /// The trackers that the request names, and those that the metainfo was kept with. A private torrent (BEP 27) has
    /// none but its own, if those are known.
    fn trackers(&self, metainfo: Option<&Metainfo>) -> Vec<Url> {
        let named = &self.wanted.magnet.trackers;
        let Some(metainfo) = metainfo else { return named.clone() };
        if metainfo.private && !metainfo.trackers.is_empty() {
            return metainfo.trackers.clone();
        }
        let kept = metainfo.trackers.iter().filter(|url| !named.contains(url));
        named.iter().chain(kept).cloned().collect()
    }

    fn assemble(
        &self,
        lease: Lease,
        metainfo: Arc<Metainfo>,
        writer: Option<WriterLock>,
        found: Option<Found>,
    ) -> Live {
        let content = Arc::new(Content::open(lease.dir(), metainfo));
        let (table, client) = (self.streamer.table.clone(), self.client);
        let failure = Arc::new(SharedFailure::default());
        let (stalled, fetched) = (failure.clone(), content.clone());
        let torrent = Torrent {
            upkeep: Box::new(Upkeep::start(content.clone(), lease.clone())),
            audience: Audience::default(),
            content,
            playheads: Arc::default(),
            ended: watch::Sender::new(None),
            stall_timeout: self.streamer.settings.waits.stall_timeout,
            status: self.status.subscribe(),
            on_stall: Box::new(move |error| {
                if stalled.note(fetched.written()) {
                    record(&table, error, client);
                }
            }),
        };
        Live::new(torrent, lease, (writer, found), self.status.clone(), failure)
    }

    /// Lets the swarm fetch a file; the torrent then goes on by itself, as long as it is live.
    async fn fetch(&mut self, live: &Live, file: usize) -> Result<(), Error> {
        let (content, waits) = (&live.torrent.content, self.streamer.settings.waits);
        if live.has_failed_lately() {
            self.check_cooldown()?;
        }
        live.begins_anew();
        if live.wants_already(file) {
            return Ok(());
        }
        self.make_room(content, file).await?;
        if live.want(file) {
            return Ok(());
        }
        // What the swarm does from here on is about the torrent, whichever request it is done for.
        self.status = live.status.clone();
        self.check_cooldown()?;
        let keeps = live.writer(self.streamer.settings.doing)?;
        content.keep_metainfo()?;
        let found = match live.take_found() {
            Some(found) => found,
            None => self.search(Some(content.metainfo())).await?,
        };
        self.status.send_modify(|status| status.phase = Phase::FirstPiece);
        let swarm = self.streamer.swarm(&self.scratch).await?;
        let metainfo = content.metainfo();
        let tiers = tiers(&self.streamer.settings, &self.trackers(Some(metainfo)), metainfo.private);
        content.forgive();
        live.torrent.ended.send_replace(None);
        live.keep(swarm.keep(Keeping {
            content: content.clone(),
            wanted: live.wanted(),
            sources: found.sources(),
            peers: found.peers,
            trackers: found.trackers,
            answered: found.answered,
            later_trackers: tiers.into_iter().flatten().collect(),
            round: waits.timeout / waits.max_retries.max(1),
            playheads: live.torrent.playheads.clone(),
            status: self.status.clone(),
            ended: live.torrent.ended.clone(),
            keeps: Box::new(keeps),
        }));
        Ok(())
    }

    async fn first_byte(&self, reader: &mut PieceReader) -> Result<(), Error> {
        let waits = self.streamer.settings.waits;
        match reader.ready_by(self.began + waits.timeout).await? {
            Some(_) => Ok(()),
            None => Err(Error::Failed {
                info_hash: self.info_hash(),
                kind: FailureKind::Timeout,
                reason: reasons::no_data(waits.timeout, &self.status.borrow().peers),
            }),
        }
    }

    /// Room for the whole file beside what the other torrents still want, and for what the settings keep free.
    async fn make_room(&self, content: &Content, file: usize) -> Result<(), Error> {
        let needed = content.missing_bytes(file);
        loop {
            let short = self.shortage(needed)?;
            if short == 0 {
                return Ok(());
            }
            if !self.streamer.evict_one(&self.scratch).await {
                let reason = format!(
                    "torrent {} needs {needed} bytes, and that is {short} more than there is room for; \
                     make room (swarmcat cleanup) or choose another --temp-dir",
                    self.info_hash()
                );
                let full = io::Error::new(io::ErrorKind::StorageFull, reason);
                return Err(Error::storage("using", self.scratch.path(), full));
            }
        }
    }

    /// How many bytes are missing before `needed` more fit.
    fn shortage(&self, needed: u64) -> Result<u64, Error> {
        let settings = &self.streamer.settings;
        let live = self.streamer.torrents.live();
        let needed = needed.saturating_add(live.iter().map(|live| live.still_wanted()).sum());
        let space = self.scratch.space()?;
        let free = space.free.saturating_sub(settings.free_floor(space.all));
        let over_free = needed.saturating_sub(free);
        let Some(most) = settings.max_disk else { return Ok(over_free) };
        let report = self.scratch.cleanup(Duration::MAX, true, OffsetDateTime::now_utc())?;
        let used: u64 = report.kept.iter().map(|kept| kept.bytes).sum();
        Ok(over_free.max(used.saturating_add(needed).saturating_sub(most)))
    }

    /// A success takes the torrent out of the table; a failure goes in, but once for all readers that it befalls.
    fn remember(&self, live: &Live, result: Result<(), Error>) -> Result<(), Error> {
        match &result {
            Ok(()) => live.begins_anew(),
            Err(Error::Failed { .. }) if live.fails_first() => return self.recorded(result),
            Err(_) => return result,
        }
        if let Err(error) = self.streamer.table.forget(&self.info_hash(), OffsetDateTime::now_utc()) {
            tracing::warn!("torrent {}: its old failure was not forgotten: {error}", self.info_hash());
        }
        Ok(())
    }

    fn recorded<T>(&self, result: Result<T, Error>) -> Result<T, Error> {
        result.inspect_err(|error| record(&self.streamer.table, error, self.client))
    }
}

/// Records what the torrent did; everything else passes by. A table that cannot be written costs the memory of this
/// failure, not the stream's own outcome.
fn record(table: &FailedTable, error: &Error, client: Option<IpAddr>) {
    let Error::Failed { info_hash, kind, reason } = error else { return };
    if let Err(error) = table.record(*info_hash, *kind, reason, client, OffsetDateTime::now_utc()) {
        tracing::warn!("torrent {info_hash}: its failure was not recorded: {error}");
    }
}

/// Whether the whole range can be read without the swarm. What an earlier run only claims is hashed for it: that run ended
/// before it could seal the file.
async fn is_on_disk(
    content: &Arc<Content>,
    file: usize,
    range: Range<u64>,
    status: &watch::Sender<Status>,
) -> Result<bool, Error> {
    if !content.covers(file, range.clone()) {
        return Ok(false);
    }
    let claimed = content.pieces_under(file, range).filter(|piece| content.is_claimed(*piece));
    let claimed: Vec<(u32, u64)> =
        claimed.map(|piece| (piece, content.metainfo().piece_len(piece))).collect();
    if claimed.is_empty() {
        return Ok(true);
    }
    let check = Check::begin(status, claimed.iter().map(|(_, len)| len).sum());
    let (content, disk) = (content.clone(), content.disk().clone());
    let hashed = disk.wait(move || {
        Ok(claimed.into_iter().all(|(piece, len)| {
            let right = content.verify(piece);
            check.advance(len);
            right
        }))
    });
    hashed.await.map_err(|error| Error::Internal(error.to_string()))
}

/// Trackers by round: the source's own and those that were named one by one first, then the rest in equal parts.
/// A private torrent (BEP 27) is announced to its own trackers alone, and nothing goes around a proxy.
fn tiers(settings: &Settings, own: &[Url], private: bool) -> Vec<Vec<Url>> {
    let swarm = &settings.swarm;
    if !swarm.use_trackers {
        return Vec::new();
    }
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
    /// Shared with the task, which goes some time after it was told to.
    lease: Arc<Mutex<Option<Lease>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Upkeep {
    fn start(content: Arc<Content>, lease: Lease) -> Self {
        let lease = Arc::new(Mutex::new(Some(lease)));
        let (saved, held) = (content.clone(), lease.clone());
        let task = tokio::spawn(async move {
            let mut ticks = interval(SAVE_EVERY);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                ticks.tick().await;
                let (saved, held) = (saved.clone(), held.clone());
                let tended = move || lock(&held).iter().for_each(|lease| tend(&saved, lease));
                let _ = tokio::task::spawn_blocking(tended).await;
            }
        });
        Upkeep { content, lease, task }
    }
}

impl Drop for Upkeep {
    fn drop(&mut self) {
        self.task.abort();
        let lease = lock(&self.lease).take();
        lease.iter().for_each(|lease| tend(&self.content, lease));
    }
}

fn tend(content: &Content, lease: &Lease) {
    lease.touch();
    if let Err(error) = content.save() {
        tracing::warn!("torrent {}: the have-map was not written: {error}", content.metainfo().info_hash);
    }
}
