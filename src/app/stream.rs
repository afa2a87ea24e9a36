//! `swarmcat stream`: one torrent's file to stdout, to a file or to a player.

use std::{
    fs::File,
    io::{self, IsTerminal as _, Write as _},
    ops::Range,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
};

use tokio::{runtime, sync::watch};
use tokio_util::task::TaskTracker;

use super::{
    player::Player,
    playing,
    report::is_closed_pipe,
    signals,
    sink::{Sink, wait_until_closed},
};
use crate::{
    config::{Presentation, ProgressMode},
    core::{
        Error, Streamer,
        media::{FileSelector, Kind, Media},
        metainfo::{FileEntry, Metainfo},
        reader::{Opened, PieceReader},
        settings::Settings,
        source::{InfoHash, Source},
        status::{Phase, Status},
        streamer::{self, RangeOf, Request},
        sync::{Mutex, PoisonError, lock},
    },
    http::range,
    ui::{
        choice::{self, Restored},
        listing,
        progress::Progress,
        screen::Screen,
    },
};

/// What `stream` was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamRequest {
    /// The torrent, as it was written.
    pub source: String,
    /// Where the bytes go.
    pub output: Output,
    /// Which of the torrent's files.
    pub choice: Choice,
    /// List the files instead.
    pub list: bool,
    /// List them for scripts.
    pub json: bool,
    /// Part of the file, in HTTP's syntax.
    pub range: Option<String>,
    /// The player to start.
    pub open: Option<String>,
    /// What the player is told beside the URL.
    pub player_args: Vec<String>,
    /// Try although the torrent is cooling down.
    pub force: bool,
    /// Remove the torrent's data afterwards.
    pub remove: bool,
}

/// Where the bytes go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Standard output.
    Stdout,
    /// A file, by way of `FILE.part`.
    File(PathBuf),
}

/// Which of the torrent's files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Choice {
    /// The largest that can be played, else the largest.
    Auto,
    /// By its number in the list, from 0.
    Index(usize),
    /// By an episode or a glob on its path.
    Glob(String),
}

impl StreamRequest {
    /// Whether the choice of the file may be put to somebody: nothing else decides it, and what they see is not in the
    /// way of the bytes or of a script.
    fn leaves_the_choice(&self, source: &Source, progress: ProgressMode) -> bool {
        let told = matches!(source, Source::Magnet(magnet) if !magnet.selected.is_empty());
        let piped = self.output == Output::Stdout && self.open.is_none();
        let seen = matches!(progress, ProgressMode::Auto | ProgressMode::Bar);
        self.choice == Choice::Auto && !self.list && !told && !piped && seen
    }
}

/// Streams.
pub fn run(
    request: StreamRequest,
    settings: Settings,
    presentation: Presentation,
    screen: &Screen,
) -> Result<(), Error> {
    let stop = signals::install()?;
    let source = request.source.parse()?;
    let player = request.open.as_deref().map(Player::find).transpose()?;
    let runtime = runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| Error::Internal(format!("cannot start a runtime: {error}")))?;
    let run = Run {
        request,
        source,
        settings,
        presentation,
        screen: screen.clone(),
        torrent: Arc::default(),
        copies: TaskTracker::new(),
    };
    let result = runtime.block_on(async {
        tokio::select! {
            result = run.go(player) => result,
            () = stop.cancelled() => Err(Error::Cancelled),
        }
    });
    // A write that the reader of our output does not take must not hold up the end.
    runtime.shutdown_background();
    result
}

struct Run {
    request: StreamRequest,
    source: Source,
    settings: Settings,
    presentation: Presentation,
    screen: Screen,
    /// Which it is, once it was opened.
    torrent: Arc<OnceLock<InfoHash>>,
    /// Copies into the output: a thread's work, which goes on when nobody waits for it any more.
    copies: TaskTracker,
}

impl Run {
    async fn go(mut self, player: Option<Player>) -> Result<(), Error> {
        let streamer = Arc::new(Streamer::new(self.settings.clone()));
        let status = watch::Sender::default();
        if self.request.list {
            return self.list(&*self.metainfo(&streamer, &status).await?);
        }
        let open = self.request.leaves_the_choice(&self.source, self.presentation.progress);
        if open && choice::can_be_asked() {
            self.ask(&streamer, &status).await?;
        }
        let progress = self.progress(&status);
        let ended = match player {
            Some(player) => self.play(&streamer, status, &player).await.map(Some),
            None => self.deliver(&streamer, &status).await,
        };
        match ended {
            Ok(Some((media, bytes))) => progress.finish(&media.path, bytes),
            Ok(None) => {}
            Err(error) if is_closed_pipe(&error) => {}
            Err(error) => return Err(error),
        }
        self.tidy(&streamer).await
    }

    fn progress(&self, status: &watch::Sender<Status>) -> Progress {
        Progress::start(self.presentation.progress, &self.screen, status.subscribe())
    }

    async fn metainfo(
        &self,
        streamer: &Streamer,
        status: &watch::Sender<Status>,
    ) -> Result<Arc<Metainfo>, Error> {
        let _progress = self.progress(status);
        streamer.metainfo(&self.source, self.request.force, status.clone()).await
    }

    /// Lets somebody at the terminal choose among several files that play.
    async fn ask(&mut self, streamer: &Streamer, status: &watch::Sender<Status>) -> Result<(), Error> {
        let metainfo = self.metainfo(streamer, status).await?;
        let plays =
            |file: &&FileEntry| !file.padding && file.path.last().is_some_and(|name| Kind::of(name).plays());
        let files: Vec<FileEntry> = metainfo.files.iter().filter(plays).cloned().collect();
        if files.len() < 2 {
            return Ok(());
        }
        let default = self.selector().choose(&metainfo, &[])?.index;
        let _terminal = Restored::when_dropped();
        let answered = tokio::task::spawn_blocking(move || choice::choose(&files, default)).await;
        let chosen = answered.map_err(|error| Error::Internal(error.to_string()))?;
        let chosen = chosen.map_err(|error| match error.kind() {
            // Ctrl-C at the question.
            io::ErrorKind::Interrupted => Error::Cancelled,
            _ => Error::Internal(format!("asking for a file: {error}")),
        })?;
        self.request.choice = Choice::Index(chosen.ok_or(Error::Cancelled)?);
        Ok(())
    }

    /// Whole paths for scripts that read lines, folders for people.
    fn list(&self, metainfo: &Metainfo) -> Result<(), Error> {
        let chosen = self.selector().choose(metainfo, &[]).map(|file| file.index).ok();
        let stdout = io::stdout();
        let people = stdout.is_terminal();
        let mut out = stdout.lock();
        let written = match self.request.json {
            true => listing::files_json(&mut out, metainfo, chosen),
            false if people => listing::tree(&mut out, metainfo, chosen),
            false => listing::files(&mut out, metainfo, chosen),
        };
        written
            .and_then(|()| out.flush())
            .map_err(|error| Error::storage("writing", "standard output", error))
    }

    fn selector(&self) -> FileSelector {
        match &self.request.choice {
            Choice::Auto => FileSelector::Auto,
            Choice::Index(index) => FileSelector::Index(*index),
            Choice::Glob(pattern) => FileSelector::Glob(pattern.clone()),
        }
    }

    fn opening(&self, range: RangeOf, status: watch::Sender<Status>) -> Request {
        let torrent = self.torrent.clone();
        let range: RangeOf = Box::new(move |opened| {
            torrent.get_or_init(|| opened.media().info_hash);
            range(opened)
        });
        Request {
            source: self.source.clone(),
            selector: self.selector(),
            force: self.request.force,
            client: None,
            seeks: self.request.open.is_some(),
            range,
            status,
        }
    }

    /// The bytes that `--range` means, once the length is known.
    fn range(&self) -> impl Fn(&Opened) -> Result<Range<u64>, Error> + Send + 'static {
        let spec = self.request.range.clone();
        move |opened| match &spec {
            Some(spec) => {
                range::parse_cli(spec, opened.media().len).map_err(|error| Error::Usage(error.to_string()))
            }
            None => Ok(0..opened.media().len),
        }
    }

    /// To standard output or a file; the file and how many bytes of it went there, unless its reader left early.
    async fn deliver(
        &self,
        streamer: &Streamer,
        status: &watch::Sender<Status>,
    ) -> Result<Option<(Media, u64)>, Error> {
        let sink = match &self.request.output {
            Output::Stdout => Sink::stdout()?,
            Output::File(path) => Sink::file(path)?,
        };
        let closed = nobody_reads(sink.handle()?.1);
        let sink = Arc::new(Mutex::new(sink));
        let (media, delivered) = tokio::select! {
            filled = self.fill(streamer, &sink, status) => filled?,
            () = closed => return Ok(None),
        };
        let sink =
            Arc::into_inner(sink).ok_or_else(|| Error::Internal("the output is still in use".into()))?;
        sink.into_inner().unwrap_or_else(PoisonError::into_inner).finish()?;
        Ok(Some((media, delivered)))
    }

    /// Brings the sink what it has not got; the file and how many bytes that were. The end comes first: what the swarm
    /// brings beside it is missing as well, and not what lies between two gaps.
    async fn fill(
        &self,
        streamer: &Streamer,
        sink: &Arc<Mutex<Sink>>,
        status: &watch::Sender<Status>,
    ) -> Result<(Media, u64), Error> {
        let missing = Arc::default();
        let mut request = self.opening(self.last_missing(sink, &missing, status), status.clone());
        let mut delivered = 0;
        loop {
            let (opened, reader) = streamer.open(request).await?;
            let gap = reader.position()..reader.position() + reader.remaining();
            let left: u64 = lock(&missing).iter().map(|gap| gap.end - gap.start).sum();
            status.send_modify(|status| {
                status.total = Some(delivered + reader.remaining() + left);
            });
            let (name, out) = lock(sink).take(&gap)?;
            delivered = self.copy(reader, out, &name, delivered, status).await?;
            let media = opened.media().clone();
            let Some(gap) = lock(&missing).pop() else { return Ok((media, delivered)) };
            status.send_modify(|status| status.phase = Phase::FirstPiece);
            request = Request {
                source: playing::again(&self.source, opened.content().metainfo()),
                selector: FileSelector::Index(media.index),
                ..self.opening(streamer::at_once(|_| Ok(gap)), status.clone())
            };
        }
    }

    /// The last of what the sink has not got, once that is known; `missing` is what comes before it.
    fn last_missing(
        &self,
        sink: &Arc<Mutex<Sink>>,
        missing: &Arc<Mutex<Vec<Range<u64>>>>,
        status: &watch::Sender<Status>,
    ) -> RangeOf {
        let range = self.range();
        let (sink, missing, status) = (sink.clone(), missing.clone(), status.clone());
        let copies = self.copies.clone();
        let look = move |opened: Opened| {
            let range = range(&opened)?;
            let mut gaps = lock(&sink).missing(&opened, range.clone(), &status)?;
            let last = gaps.pop().unwrap_or(range.end..range.end);
            *lock(&missing) = gaps;
            Ok(last)
        };
        Box::new(|opened| {
            Box::pin(async move {
                let looked = copies.spawn_blocking(move || look(opened)).await;
                looked.map_err(|error| Error::Internal(error.to_string()))?
            })
        })
    }

    /// To a player, through a server that only it knows of.
    async fn play(
        &self,
        streamer: &Arc<Streamer>,
        status: watch::Sender<Status>,
        player: &Player,
    ) -> Result<(Media, u64), Error> {
        let whole = streamer::at_once(|opened| Ok(0..opened.media().len));
        let (opened, _first) = streamer.open(self.opening(whole, status.clone())).await?;
        // How much of the file a player takes, and how often, nobody knows.
        status.send_modify(|status| (status.phase, status.total) = (Phase::Streaming, None));
        let (media, args) = (opened.media().clone(), &self.request.player_args);
        let taken = playing::play(player, args, opened, streamer, &self.source, &status).await?;
        Ok((media, taken))
    }

    /// Copies all that the reader brings; how much was delivered with that, and `before`.
    async fn copy(
        &self,
        mut reader: PieceReader,
        mut out: File,
        name: &Path,
        before: u64,
        status: &watch::Sender<Status>,
    ) -> Result<u64, Error> {
        let start = reader.position();
        loop {
            status.send_modify(|status| status.waiting_for_piece = reader.waits_for());
            let ready = reader.ready().await?;
            if ready == 0 {
                return Ok(before + reader.position() - start);
            }
            let copying = self.copies.spawn_blocking(move || {
                let copied = reader.copy_to(&mut out, ready);
                (reader, out, copied)
            });
            let copied;
            (reader, out, copied) = copying.await.map_err(|error| Error::Internal(error.to_string()))?;
            copied?.map_err(|error| Error::storage("writing", name, broken_pipe(error)))?;
            status.send_modify(|status| {
                status.phase = Phase::Streaming;
                status.delivered = before + reader.position() - start;
            });
        }
    }

    /// Once nobody needs it any more, whoever ended it.
    async fn tidy(&self, streamer: &Streamer) -> Result<(), Error> {
        let Some(info_hash) = self.torrent.get().filter(|_| self.request.remove) else { return Ok(()) };
        // A copy whose reader has left ends at once, but until then it holds the torrent.
        self.copies.close();
        self.copies.wait().await;
        streamer.remove(info_hash).await.map(drop)
    }
}

/// A socket whose reader left bytes unread is said to be reset, and is no more than a closed pipe.
fn broken_pipe(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::ConnectionReset => io::ErrorKind::BrokenPipe.into(),
        _ => error,
    }
}

/// Ends when whoever read our output has left. Polled by a thread of its own, which ends with the process.
async fn nobody_reads(out: File) {
    let (gone, left) = tokio::sync::oneshot::channel();
    let watch = move || {
        wait_until_closed(&out);
        let _ = gone.send(());
    };
    let started = std::thread::Builder::new().name("output".into()).spawn(watch);
    if started.is_err() || left.await.is_err() {
        std::future::pending().await
    }
}
