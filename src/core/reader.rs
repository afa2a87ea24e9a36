//! PieceReader: verified pieces to bytes, and the torrent that readers share.
//!
//! A reader waits on every way a wait can end (its piece, a stall, cancellation, the torrent's end) and never on one
//! of them alone. It reads without a lock or a permit of whoever downloads, from a file that all readers of it share: a
//! thousand of them take one descriptor.

use std::{
    any::Any,
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    ops::Range,
    os::unix::fs::FileTypeExt,
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use rustix::{io::Errno, pipe::SpliceFlags};
use tokio::{sync::watch, time::Instant};

use super::{
    Error,
    content::{Awaited, Content},
    disk::Disk,
    failed::FailureKind,
    media::Media,
    playhead::{Pacer, Playhead, PlayheadMark, Playheads},
    reasons,
    status::Status,
    sync::{Mutex, lock},
};

/// The most that one kernel copy moves: far above a pipe's capacity, low enough that a stop is noticed at once.
const COPY_STEP: u64 = 8 << 20;

/// What all readers of one torrent share.
pub struct Torrent {
    /// The bytes.
    pub content: Arc<Content>,
    /// Where the readers are.
    pub playheads: Arc<Playheads>,
    /// Set when no further piece will come.
    pub ended: watch::Sender<Option<Error>>,
    /// Without a block of the piece that a reader waits for, it gives up after this.
    pub stall_timeout: Duration,
    /// What its peers do, for whoever gives up.
    pub status: watch::Receiver<Status>,
    /// Told of a reader's stall, to be remembered.
    pub on_stall: Box<dyn Fn(&Error) + Send + Sync>,
    /// Keeps the have-map and the idle clock on disk up to date.
    pub upkeep: Box<dyn Any + Send + Sync>,
    /// Who reads it now.
    pub audience: Audience,
}

/// How many readers a torrent has, and since when it has none.
#[derive(Debug)]
pub struct Audience(Mutex<(usize, Instant)>);

impl Default for Audience {
    fn default() -> Self {
        Audience(Mutex::new((0, Instant::now())))
    }
}

impl Audience {
    /// Open readers.
    pub fn readers(&self) -> usize {
        lock(&self.0).0
    }

    /// How long there has been no reader; zero while there is one.
    pub fn idle(&self) -> Duration {
        match *lock(&self.0) {
            (0, since) => since.elapsed(),
            _ => Duration::ZERO,
        }
    }

    fn enter(&self) {
        lock(&self.0).0 += 1;
    }

    fn leave(&self) {
        let mut audience = lock(&self.0);
        *audience = (audience.0 - 1, Instant::now());
    }
}

/// One opened file of one torrent; readers are made from it. Cheap to clone.
#[derive(Clone)]
pub struct Opened {
    torrent: Arc<Torrent>,
    media: Media,
    seeks: bool,
}

impl Opened {
    /// One file of `torrent`.
    pub fn new(torrent: Arc<Torrent>, media: Media) -> Self {
        Opened { torrent, media, seeks: false }
    }

    /// The same for those who go elsewhere in the file as well, as players do.
    pub fn for_seeking(self, seeks: bool) -> Self {
        Opened { seeks, ..self }
    }

    /// What it delivers.
    pub fn media(&self) -> &Media {
        &self.media
    }

    /// The torrent's bytes.
    pub fn content(&self) -> &Arc<Content> {
        &self.torrent.content
    }

    /// Where its torrent's readers are.
    pub fn playheads(&self) -> &Arc<Playheads> {
        &self.torrent.playheads
    }

    /// A reader over `range` of the file (clamped to its length).
    pub fn reader(&self, range: Range<u64>) -> PieceReader {
        let end = range.end.min(self.media.len);
        self.torrent.audience.enter();
        PieceReader {
            opened: self.clone(),
            position: range.start.min(end),
            end,
            file: None,
            copied: None,
            mark: None,
            pacer: Pacer::default(),
        }
    }
}

/// How long a reader waits for a piece.
#[derive(Clone, Copy)]
enum Patience {
    /// As long as blocks of it come.
    Stall,
    /// Until then, whatever comes.
    Until(Instant),
}

/// What a wait came to.
enum Waited {
    /// It is worth looking again.
    Something,
    /// Patience ran out over this piece.
    Out(u32),
}

/// Verified bytes, where they are on disk.
#[derive(Debug, Clone)]
pub struct Span {
    /// The file, open for reading.
    pub file: Arc<File>,
    /// Where in it they begin.
    pub offset: u64,
    /// How many they are.
    pub len: usize,
    /// What may have to be waited for.
    pub disk: Disk,
}

/// Reads one range of a file, in order, as its pieces are verified.
pub struct PieceReader {
    opened: Opened,
    position: u64,
    end: u64,
    file: Option<Arc<File>>,
    /// The same file with a position of our own, which a kernel copy moves.
    copied: Option<File>,
    mark: Option<PlayheadMark>,
    pacer: Pacer,
}

impl Drop for PieceReader {
    fn drop(&mut self) {
        self.opened.torrent.audience.leave();
    }
}

impl PieceReader {
    /// Offset in the file of the next byte.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Bytes left to deliver.
    pub fn remaining(&self) -> u64 {
        self.end - self.position
    }

    /// The piece that the next byte is in, when it is not verified yet.
    pub fn waits_for(&self) -> Option<u32> {
        (self.remaining() > 0 && self.run() == 0).then(|| self.piece_at(self.position))
    }

    /// Waits until at least one byte at the position is verified; how many are, contiguously. 0 at the end.
    pub async fn ready(&mut self) -> Result<u64, Error> {
        loop {
            if let Some(run) = self.look() {
                return Ok(run);
            }
            self.pacer.waited();
            match self.wait(Patience::Stall).await? {
                Waited::Something => {}
                Waited::Out(piece) => return Err(self.stall(piece)),
            }
        }
    }

    /// As [`ready`](Self::ready), but with all patience until `deadline`, and `None` when it passes: for the first byte.
    pub async fn ready_by(&mut self, deadline: Instant) -> Result<Option<u64>, Error> {
        loop {
            if let Some(run) = self.look() {
                return Ok(Some(run));
            }
            self.pacer.waited();
            if let Waited::Out(_) = self.wait(Patience::Until(deadline)).await? {
                return Ok(None);
            }
        }
    }

    /// What can be delivered now, if that is anything or there is nothing left to deliver.
    fn look(&mut self) -> Option<u64> {
        let run = self.run();
        self.publish(self.position + run);
        (run > 0 || self.remaining() == 0).then_some(run)
    }

    /// The next bytes, at most `max` of them, `None` at the end. Waits as [`ready`](Self::ready) does.
    pub async fn chunk(&mut self, max: usize) -> Result<Option<Bytes>, Error> {
        let run = self.ready().await?.min(max as u64);
        if run == 0 {
            return Ok(None);
        }
        let file = self.file()?.clone();
        let read = self.opened.content().disk().read(&file, self.position, run as usize).await;
        let bytes = read.map_err(|error| self.read_error(error))?;
        self.advance(run);
        Ok(Some(bytes.into()))
    }

    /// As [`chunk`](Self::chunk), but only tells where the bytes are: verified bytes never change.
    pub async fn span(&mut self, max: usize) -> Result<Option<Span>, Error> {
        let len = self.ready().await?.min(max as u64);
        if len == 0 {
            return Ok(None);
        }
        let (file, disk) = (self.file()?.clone(), self.opened.content().disk().clone());
        let span = Span { file, offset: self.position, len: len as usize, disk };
        self.advance(len);
        Ok(Some(span))
    }

    /// Copies at most `most` bytes, all known to be [`ready`](Self::ready), into `out`; the kernel moves them where it
    /// can (pipes, files, sockets). Blocks while `out` does. An error of `out` is the outer one.
    pub fn copy_to(&mut self, out: &mut File, most: u64) -> Result<io::Result<u64>, Error> {
        let (position, most) = (self.position, most.min(COPY_STEP));
        let copied = move_bytes(self.own_file()?, position, out, most);
        if let Ok(copied) = copied {
            self.advance(copied);
            if copied < most {
                return Err(self.read_error(io::ErrorKind::UnexpectedEof.into()));
            }
        }
        Ok(copied)
    }

    fn advance(&mut self, bytes: u64) {
        self.position += bytes;
        self.pacer.took(bytes);
    }

    /// Bytes that can be delivered now.
    fn run(&self) -> u64 {
        self.opened.torrent.content.verified_run(self.opened.media.index, self.position, self.remaining())
    }

    fn piece_at(&self, offset: u64) -> u32 {
        let metainfo = self.opened.torrent.content.metainfo();
        metainfo.piece_at(metainfo.files[self.opened.media.index].offset + offset)
    }

    fn publish(&mut self, needs: u64) {
        let head = Playhead {
            file: self.opened.media.index,
            position: self.position,
            needs,
            end: self.end,
            pace: self.pacer.pace(),
            seeks: self.opened.seeks,
        };
        match &mut self.mark {
            _ if needs >= self.end => self.mark = None,
            Some(mark) => mark.publish(head),
            None => self.mark = Some(self.opened.torrent.playheads.enter(head)),
        }
    }

    async fn wait(&self, patience: Patience) -> Result<Waited, Error> {
        let content = &self.opened.torrent.content;
        let piece = self.piece_at(self.position);
        if content.is_claimed(piece) {
            let content = content.clone();
            let disk = content.disk().clone();
            let hashed = disk.wait(move || Ok(content.verify(piece))).await;
            return hashed.map(|_| Waited::Something).map_err(|error| Error::Internal(error.to_string()));
        }
        let awaited = content.await_piece(piece);
        let mut arrived = std::pin::pin!(awaited.arrived());
        arrived.as_mut().enable();
        // Between the look that found nothing and the enabling, the piece may have come.
        if content.verified().contains(piece) {
            return Ok(Waited::Something);
        }
        let mut ended = self.opened.torrent.ended.subscribe();
        tokio::select! {
            () = arrived => Ok(Waited::Something),
            error = ended_with(&mut ended) => Err(error),
            () = self.run_out(patience, &awaited) => Ok(Waited::Out(piece)),
        }
    }

    async fn run_out(&self, patience: Patience, awaited: &Awaited) {
        let began = Instant::now();
        loop {
            let deadline = match patience {
                Patience::Stall => awaited.last_block().max(began) + self.opened.torrent.stall_timeout,
                Patience::Until(deadline) => deadline,
            };
            if Instant::now() >= deadline {
                return;
            }
            tokio::time::sleep_until(deadline).await;
        }
    }

    fn stall(&self, piece: u32) -> Error {
        let torrent = &self.opened.torrent;
        let waited = humantime::format_duration(torrent.stall_timeout);
        let why = match reasons::in_a_failure(&torrent.status.borrow().peers) {
            nobody if nobody.is_empty() => "no peer is known".into(),
            peers => peers,
        };
        let error = Error::Failed {
            info_hash: self.opened.media.info_hash,
            kind: FailureKind::Timeout,
            reason: format!("stalled: nothing of piece {piece} came for {waited} ({why})"),
        };
        (torrent.on_stall)(&error);
        error
    }

    fn file(&mut self) -> Result<&Arc<File>, Error> {
        let file = match self.file.take() {
            Some(file) => file,
            None => self.opened.content().file(self.opened.media.index)?,
        };
        Ok(self.file.insert(file))
    }

    fn own_file(&mut self) -> Result<&File, Error> {
        let file = match self.copied.take() {
            Some(file) => file,
            None => self.opened.content().open_file(self.opened.media.index)?,
        };
        Ok(self.copied.insert(file))
    }

    fn read_error(&self, error: io::Error) -> Error {
        Error::storage("reading", self.opened.torrent.content.dir(), error)
    }
}

/// Moves bytes without passing them through this process where the kernel can: into a pipe by splice, which the
/// standard library avoids because the pipe then holds the file's own pages. Verified bytes never change, so here
/// that is safe.
fn move_bytes(mut source: &File, position: u64, out: &mut File, most: u64) -> io::Result<u64> {
    let (mut offset, end) = (position, position + most);
    if out.metadata()?.file_type().is_fifo() {
        match splice(source, &mut offset, end, out) {
            // Not every file system can.
            Err(Errno::INVAL) => {}
            Err(error) => return Err(error.into()),
            Ok(()) => return Ok(offset - position),
        }
    }
    source.seek(SeekFrom::Start(offset))?;
    let copied = io::copy(&mut Read::by_ref(&mut source).take(end - offset), out)?;
    Ok(offset + copied - position)
}

fn splice(source: &File, offset: &mut u64, end: u64, out: &File) -> Result<(), Errno> {
    while *offset < end {
        let left = usize::try_from(end - *offset).unwrap_or(usize::MAX);
        match rustix::pipe::splice(source, Some(offset), out, None, left, SpliceFlags::empty()) {
            Ok(0) => break,
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Waits until the torrent has ended; a keeper that vanished without a word counts as stopped.
pub async fn ended_with(ended: &mut watch::Receiver<Option<Error>>) -> Error {
    match ended.wait_for(Option::is_some).await {
        Ok(error) => error.clone().unwrap_or(Error::Cancelled),
        Err(_) => Error::Cancelled,
    }
}

#[cfg(all(test, feature = "models"))]
pub(crate) mod models;

#[cfg(test)]
mod tests {
    use std::{
        os::unix::fs::FileExt,
        sync::atomic::{AtomicUsize, Ordering},
    };

    use super::{super::metainfo::tests::sample, *};

    const PAYLOAD: &[u8; 40] = b"0123456789abcdefghijABCDEFGHIJ?!.,-+*/()";

    struct Bench {
        opened: Opened,
        stalls: Arc<AtomicUsize>,
        _dir: tempfile::TempDir,
    }

    /// A file of four pieces of ten bytes, none of them there yet.
    fn bench() -> Bench {
        let dir = tempfile::tempdir().unwrap();
        let content = Arc::new(Content::open(dir.path(), Arc::new(sample(10, &[40], PAYLOAD))));
        content.set_len(0, 40).unwrap();
        let media = Media::new(content.metainfo().info_hash, &content.metainfo().files[0]);
        let stalls = Arc::new(AtomicUsize::new(0));
        let counted = stalls.clone();
        let torrent = Torrent {
            content,
            playheads: Arc::default(),
            ended: watch::Sender::new(None),
            stall_timeout: Duration::from_secs(60),
            status: watch::channel(Status::default()).1,
            on_stall: Box::new(move |_| {
                counted.fetch_add(1, Ordering::SeqCst);
            }),
            upkeep: Box::new(()),
            audience: Audience::default(),
        };
        Bench { opened: Opened::new(Arc::new(torrent), media), stalls, _dir: dir }
    }

    impl Bench {
        fn block(&self, offset: usize, len: usize) {
            let block = &PAYLOAD[offset..offset + len];
            self.opened.content().write_torrent(offset as u64, &[block]).unwrap();
        }

        fn arrive(&self, piece: u32) {
            self.block(piece as usize * 10, 10);
            self.opened.content().complete(piece);
        }

        fn needs(&self) -> Vec<u64> {
            self.opened.torrent.playheads.snapshot().iter().map(|(_, head)| head.needs).collect()
        }
    }

    #[tokio::test]
    async fn bytes_come_out_in_order_whatever_order_the_pieces_came_in() {
        let bench = bench();
        let mut reader = bench.opened.reader(3..38);
        let reading = tokio::spawn(async move {
            let mut all = Vec::new();
            while let Some(chunk) = reader.chunk(7).await.unwrap() {
                all.extend_from_slice(&chunk);
            }
            all
        });
        for piece in [2, 0, 3, 1] {
            tokio::task::yield_now().await;
            bench.arrive(piece);
        }
        assert_eq!(reading.await.unwrap(), &PAYLOAD[3..38]);
        assert!(bench.needs().is_empty(), "a reader that has all it needs asks for nothing");
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_that_gets_no_block_stalls_and_a_dribble_keeps_it_alive() {
        let bench = bench();
        bench.arrive(0);
        let mut reader = bench.opened.reader(0..40);
        assert_eq!(reader.ready().await.unwrap(), 10);
        assert_eq!(bench.needs(), [10]);
        reader.chunk(10).await.unwrap();
        let began = Instant::now();
        let dribble = async {
            tokio::time::sleep(Duration::from_secs(50)).await;
            bench.block(10, 4);
        };
        let (error, ()) = tokio::join!(reader.ready(), dribble);
        assert_eq!(began.elapsed(), Duration::from_secs(110));
        let error = error.unwrap_err();
        assert!(matches!(error, Error::Failed { kind: FailureKind::Timeout, .. }), "{error}");
        assert!(error.to_string().contains("piece 1"), "{error}");
        assert_eq!(bench.stalls.load(Ordering::SeqCst), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_bad_piece_sent_over_and_over_does_not_put_a_stall_off() {
        let bench = bench();
        let mut reader = bench.opened.reader(0..40);
        let began = Instant::now();
        let liar = async {
            loop {
                tokio::time::sleep(Duration::from_secs(30)).await;
                bench.block(0, 10);
            }
        };
        let error = tokio::select! {
            ready = reader.ready() => ready.unwrap_err(),
            () = liar => unreachable!("it never ends"),
        };
        assert!(error.to_string().contains("stalled"), "{error}");
        assert_eq!(began.elapsed(), Duration::from_secs(2 * 30 + 60));
    }

    #[tokio::test]
    async fn the_torrents_end_ends_a_wait_but_not_what_is_already_there() {
        let bench = bench();
        bench.arrive(0);
        bench.opened.torrent.ended.send_replace(Some(Error::Offline("gone".into())));
        let mut reader = bench.opened.reader(0..40);
        assert_eq!(reader.chunk(100).await.unwrap().unwrap(), PAYLOAD[..10]);
        assert!(matches!(reader.chunk(100).await, Err(Error::Offline(_))));
    }

    #[tokio::test]
    async fn the_kernel_copies_ready_bytes_and_leaves_the_rest() {
        let bench = bench();
        bench.arrive(0);
        bench.arrive(1);
        let mut reader = bench.opened.reader(5..40);
        let mut out = tempfile::tempfile().unwrap();
        let ready = reader.ready().await.unwrap();
        assert_eq!(ready, 15);
        assert_eq!(reader.copy_to(&mut out, ready).unwrap().unwrap(), 15);
        assert_eq!(reader.waits_for(), Some(2));
        let mut copied = vec![0; 15];
        out.read_exact_at(&mut copied, 0).unwrap();
        assert_eq!(copied, &PAYLOAD[5..20]);
    }

    #[tokio::test]
    async fn a_pipe_gets_the_same_bytes_and_a_closed_one_is_told() {
        let bench = bench();
        bench.arrive(0);
        bench.arrive(1);
        let mut reader = bench.opened.reader(5..40);
        let ready = reader.ready().await.unwrap();
        let (mut source, sink) = io::pipe().unwrap();
        let mut out = File::from(std::os::fd::OwnedFd::from(sink));
        assert_eq!(reader.copy_to(&mut out, 3).unwrap().unwrap(), 3);
        assert_eq!(reader.copy_to(&mut out, ready - 3).unwrap().unwrap(), 12);
        let mut copied = vec![0; 15];
        source.read_exact(&mut copied).unwrap();
        assert_eq!(copied, &PAYLOAD[5..20]);

        drop(source);
        let mut reader = bench.opened.reader(0..10);
        let told = reader.copy_to(&mut out, 10).unwrap().unwrap_err();
        assert_eq!(told.kind(), io::ErrorKind::BrokenPipe);
    }

    #[tokio::test]
    async fn a_dropped_reader_gives_its_playhead_back() {
        let bench = bench();
        let (mut first, mut second) = (bench.opened.reader(0..40), bench.opened.reader(25..40));
        for reader in [&mut first, &mut second] {
            let waiting = tokio::time::timeout(Duration::ZERO, reader.ready()).await;
            assert!(waiting.is_err(), "nothing is there");
        }
        assert_eq!(bench.needs(), [0, 25]);
        drop(first);
        assert_eq!(bench.needs(), [25]);
    }
}
