//! Where a stream's bytes go: standard output, or a file by way of `FILE.part`.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{self, Seek, SeekFrom},
    ops::Range,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use rustix::event::{PollFd, PollFlags, poll};

use crate::core::{Error, reader::Opened};

/// Linux gives unprivileged pipes up to 1 MiB: sixteen times fewer wake-ups than its 64 KiB.
const PIPE_CAPACITY: usize = 1 << 20;

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

    /// How many bytes of `range` it has already, verified.
    pub(super) fn resume(&mut self, opened: &Opened, range: &Range<u64>) -> Result<u64, Error> {
        match self {
            Sink::Plain(..) => Ok(0),
            Sink::Part(part) => part.resume(opened, range),
        }
    }

    /// A handle for the bytes that follow, and the name it goes by in errors.
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
        // POLLERR is reported unasked.
        let mut fds = [PollFd::new(out, PollFlags::empty())];
        match poll(&mut fds, None) {
            Ok(_) if fds[0].revents().intersects(PollFlags::ERR | PollFlags::NVAL) => return,
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
    finished: bool,
}

impl PartFile {
    fn open(target: &Path) -> Result<Self, Error> {
        let mut name = target.file_name().unwrap_or_default().to_owned();
        name.push(".part");
        let path = target.with_file_name(name);
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
        let file = file.map_err(|error| Error::storage("opening", &path, error))?;
        match file.try_lock() {
            Ok(()) => Ok(PartFile { path, target: target.to_owned(), file, finished: false }),
            Err(TryLockError::WouldBlock) => {
                Err(Error::Busy(format!("another process is writing {}", path.display())))
            }
            Err(TryLockError::Error(error)) => Err(Error::storage("locking", path, error)),
        }
    }

    /// Keeps the longest prefix of an interrupted run whose bytes are right, and goes on behind it.
    fn resume(&mut self, opened: &Opened, range: &Range<u64>) -> Result<u64, Error> {
        let failed = |error| Error::storage("reading", &self.path, error);
        let there = self.file.metadata().map_err(failed)?.len().min(range.end - range.start);
        let kept = verified_prefix(&self.file, there, opened, range.start).map_err(failed)?;
        self.file.set_len(kept).map_err(failed)?;
        self.file.seek(SeekFrom::Start(kept)).map_err(failed)?;
        Ok(kept)
    }

    fn finish(mut self) -> Result<(), Error> {
        let failed = |error| Error::storage("finishing", &self.target, error);
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
        // An attempt that wrote nothing leaves nothing behind.
        if !self.finished && self.file.metadata().is_ok_and(|metadata| metadata.len() == 0) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// How many of the first `there` bytes of `part`, which holds the file's bytes from `start` on, are right.
///
/// A piece that lies wholly in `part` is hashed; one that does not is compared with the data on disk, where that is
/// verified, and ends the prefix where it is not.
fn verified_prefix(part: &File, there: u64, opened: &Opened, start: u64) -> io::Result<u64> {
    let (content, index) = (opened.content(), opened.media().index);
    let metainfo = content.metainfo();
    let base = metainfo.files[index].offset;
    let mut right = 0;
    for piece in content.pieces_under(index, start..start + there) {
        let (piece_start, piece_len) = (metainfo.piece_start(piece), metainfo.piece_len(piece));
        let from = piece_start.max(base + start) - base - start;
        let to = (piece_start + piece_len - base - start).min(there);
        let mut ours = vec![0; (to - from) as usize];
        part.read_exact_at(&mut ours, from)?;
        let whole = ours.len() as u64 == piece_len;
        if !(whole && metainfo.matches(piece, &ours)) {
            let known = !whole && (content.verified().contains(piece) || content.is_claimed(piece));
            let mut theirs = vec![0; ours.len()];
            if !known || !content.verify(piece) || content.read_at(index, start + from, &mut theirs).is_err()
            {
                break;
            }
            if theirs != ours {
                break;
            }
        }
        right = to;
    }
    Ok(right)
}
