//! Where a stream's bytes go: standard output, or a file by way of `FILE.part`.
//!
//! What `FILE.part` holds already is looked at before anything is fetched, and not touched before there are bytes to put in
//! its place: a torrent that cannot be had, or is not the part's, costs nobody what they have.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{self, Seek, SeekFrom},
    ops::Range,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use rustix::event::{PollFd, PollFlags, poll};
use tokio::sync::watch;

use crate::core::{
    Error,
    reader::Opened,
    status::{Check, Status},
};

/// Linux gives unprivileged pipes up to 1 MiB: sixteen times fewer wake-ups than its 64 KiB.
const PIPE_CAPACITY: usize = 1 << 20;

/// What poll says of a pipe or a socket that nobody reads.
const CLOSED: PollFlags = PollFlags::ERR.union(PollFlags::HUP).union(PollFlags::NVAL);

/// An open destination.
pub(super) enum Sink {
    /// Standard output, or a file that is not a regular one.
    Plain(PathBuf, File),
    /// A regular file, named only when it is whole.
    Part(Box<PartFile>),
}

impl Sink {
    /// Standard output, as a descriptor of its own.
    pub(super) fn stdout() -> Result<Self, Error> {
        let path = PathBuf::from("standard output");
        let fd = rustix::io::dup(rustix::stdio::stdout())
            .map_err(|error| Error::storage("opening", &path, error.into()))?;
        let _ = rustix::pipe::fcntl_setpipe_size(&fd, PIPE_CAPACITY);
        Ok(Sink::Plain(path, File::from(fd)))
    }

    /// A file; what is there already and is no regular file (a pipe, a device) is written to as it is.
    pub(super) fn file(path: &Path) -> Result<Self, Error> {
        match std::fs::metadata(path) {
            Ok(metadata) if metadata.is_dir() => {
                Err(Error::storage("writing", path, io::ErrorKind::IsADirectory.into()))
            }
            Ok(metadata) if !metadata.is_file() => {
                let file = OpenOptions::new().write(true).open(path);
                Ok(Sink::Plain(
                    path.to_owned(),
                    file.map_err(|error| Error::storage("opening", path, error))?,
                ))
            }
            _ => Ok(Sink::Part(Box::new(PartFile::open(path)?))),
        }
    }

    /// What of `range` it has not got, front to back. Takes as long as it takes to hash what it has.
    pub(super) fn missing(
        &mut self,
        opened: &Opened,
        range: Range<u64>,
        status: &watch::Sender<Status>,
    ) -> Result<Vec<Range<u64>>, Error> {
        match self {
            Sink::Plain(..) => Ok(vec![range]),
            Sink::Part(part) => part.missing(opened, range, status),
        }
    }

    /// The first bytes of `gap` are there: a handle for them and the following.
    pub(super) fn take(&mut self, gap: &Range<u64>) -> Result<(PathBuf, File), Error> {
        if let Sink::Part(part) = self {
            part.make_room(gap)?;
        }
        self.handle()
    }

    /// A handle, and the name it goes by in errors.
    pub(super) fn handle(&self) -> Result<(PathBuf, File), Error> {
        let (path, file) = match self {
            Sink::Plain(path, file) => (path, file),
            Sink::Part(part) => (&part.path, &part.file),
        };
        let clone = file.try_clone().map_err(|error| Error::storage("opening", path, error))?;
        Ok((path.clone(), clone))
    }

    /// Everything is written: gives the file its name.
    pub(super) fn finish(self) -> Result<(), Error> {
        match self {
            Sink::Plain(..) => Ok(()),
            Sink::Part(part) => part.finish(),
        }
    }
}

/// Blocks until nobody can read what is written to `out` any more. For ever, if `out` is not a pipe or a socket.
pub(super) fn wait_until_closed(out: &File) {
    loop {
        // All of these are reported unasked. A closed pipe is an error, a closed socket is hung up.
        let mut fds = [PollFd::new(out, PollFlags::empty())];
        match poll(&mut fds, None) {
            Ok(_) if fds[0].revents().intersects(CLOSED) => return,
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(_) => std::thread::park(),
        }
    }
}

/// `FILE.part`, locked against a second writer.
pub(super) struct PartFile {
    path: PathBuf,
    target: PathBuf,
    file: File,
    /// The file's bytes that it is to hold in the end.
    wanted: Range<u64>,
    /// There was none before.
    created: bool,
    finished: bool,
}

impl PartFile {
    fn open(target: &Path) -> Result<Self, Error> {
        let mut name = target.file_name().unwrap_or_default().to_owned();
        name.push(".part");
        let path = target.with_file_name(name);
        let (file, created) =
            open_or_create(&path).map_err(|error| Error::storage("opening", &path, error))?;
        match file.try_lock() {
            Ok(()) => {
                Ok(PartFile { path, target: target.to_owned(), file, wanted: 0..0, created, finished: false })
            }
            Err(TryLockError::WouldBlock) => {
                Err(Error::Busy(format!("another process is writing {}", path.display())))
            }
            Err(TryLockError::Error(error)) => Err(Error::storage("locking", path, error)),
        }
    }

    fn missing(
        &mut self,
        opened: &Opened,
        range: Range<u64>,
        status: &watch::Sender<Status>,
    ) -> Result<Vec<Range<u64>>, Error> {
        let failed = |error| Error::storage("reading", &self.path, error);
        let len = self.file.metadata().map_err(failed)?.len();
        let held = range.start..range.start.saturating_add(len).min(range.end);
        self.wanted = range.clone();
        let old = Old { part: &self.file, opened, held: held.clone() };
        let mut gaps = old.gaps(&Check::begin(status, len_of(&held))).map_err(failed)?;
        join(&mut gaps, held.end..range.end);
        let kept = len_of(&range) - gaps.iter().map(len_of).sum::<u64>();
        let (path, name) = (self.path.display(), &opened.media().path);
        match (len, kept) {
            (0, _) => {}
            (_, 0) => tracing::warn!(
                "{path}: nothing in it is known to be of {name}; \
                 it will be overwritten as soon as the first bytes are there"
            ),
            _ => tracing::info!("{path}: {kept} of its {len} bytes are kept"),
        }
        Ok(gaps)
    }

    /// What lies behind the last gap is of another file, or is right only in part.
    fn make_room(&mut self, gap: &Range<u64>) -> Result<(), Error> {
        let failed = |error| Error::storage("writing", &self.path, error);
        let at = gap.start - self.wanted.start;
        if gap.end == self.wanted.end {
            self.file.set_len(at).map_err(failed)?;
        }
        self.file.seek(SeekFrom::Start(at)).map_err(failed)?;
        Ok(())
    }

    fn finish(mut self) -> Result<(), Error> {
        let failed = |error| Error::storage("finishing", &self.target, error);
        self.file.set_len(len_of(&self.wanted)).map_err(failed)?;
        self.file.sync_all().map_err(failed)?;
        std::fs::rename(&self.path, &self.target).map_err(failed)?;
        let parent = self.target.parent().filter(|parent| !parent.as_os_str().is_empty());
        File::open(parent.unwrap_or(Path::new("."))).and_then(|dir| dir.sync_all()).map_err(failed)?;
        self.finished = true;
        Ok(())
    }
}

impl Drop for PartFile {
    fn drop(&mut self) {
        // An attempt that wrote nothing leaves nothing of its own behind.
        let ours = self.created && !self.finished;
        if ours && self.file.metadata().is_ok_and(|metadata| metadata.len() == 0) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// A file for reading and writing; whether it is new.
fn open_or_create(path: &Path) -> io::Result<(File, bool)> {
    let mut options = OpenOptions::new();
    options.read(true).write(true);
    match options.clone().create_new(true).open(path) {
        Ok(file) => Ok((file, true)),
        // Created all the same behind a link that leads nowhere yet.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            Ok((options.create(true).truncate(false).open(path)?, false))
        }
        Err(error) => Err(error),
    }
}

/// What an earlier run left.
struct Old<'a> {
    part: &'a File,
    opened: &'a Opened,
    /// The file's bytes that the part should hold.
    held: Range<u64>,
}

impl Old<'_> {
    /// What of it is not known to be right, front to back.
    fn gaps(&self, check: &Check) -> io::Result<Vec<Range<u64>>> {
        let (content, index) = (self.opened.content(), self.opened.media().index);
        let metainfo = content.metainfo();
        let base = metainfo.files[index].offset;
        let (mut gaps, mut buffer) = (Vec::new(), Vec::new());
        for piece in content.pieces_under(index, self.held.clone()) {
            let start = metainfo.piece_start(piece);
            let held = start.max(base + self.held.start)
                ..(start + metainfo.piece_len(piece)).min(base + self.held.end);
            let ours = held.start - base..held.end - base;
            check.advance(len_of(&held));
            if !self.is_right(piece, held, &mut buffer)? {
                join(&mut gaps, ours);
            }
        }
        Ok(gaps)
    }

    /// Whether a piece is right with the bytes `held` of the torrent from the part. The rest of it, if that is not all,
    /// is padding, or what is there of it on the disk: nothing vouches for that but the piece's hash.
    fn is_right(&self, piece: u32, held: Range<u64>, buffer: &mut Vec<u8>) -> io::Result<bool> {
        let content = self.opened.content();
        let metainfo = content.metainfo();
        let (start, len) = (metainfo.piece_start(piece), metainfo.piece_len(piece));
        buffer.resize(len as usize, 0);
        if len_of(&held) < len {
            buffer.fill(0);
            for (file, offset, len) in metainfo.spans(start, len) {
                let entry = &metainfo.files[file];
                let at = (entry.offset + offset - start) as usize;
                if !entry.padding {
                    let _ = content.read_at(file, offset, &mut buffer[at..at + len as usize]);
                }
            }
        }
        let base = metainfo.files[self.opened.media().index].offset + self.held.start;
        let ours = &mut buffer[(held.start - start) as usize..(held.end - start) as usize];
        self.part.read_exact_at(ours, held.start - base)?;
        Ok(metainfo.matches(piece, buffer))
    }
}

fn len_of(range: &Range<u64>) -> u64 {
    range.end - range.start
}

/// Adds a gap behind the others.
fn join(gaps: &mut Vec<Range<u64>>, gap: Range<u64>) {
    match gaps.last_mut() {
        _ if gap.is_empty() => {}
        Some(last) if last.end == gap.start => last.end = gap.end,
        _ => gaps.push(gap),
    }
}
