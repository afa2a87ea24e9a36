//! Bytes of files that the kernel moves to a connection by itself.
//!
//! An answer's body only promises them: it gives hyper stand-ins, parts of one block of memory that nobody ever
//! writes, and puts the span that is meant on its connection's [`Lane`]. [`Conduit`], the connection's lowest layer,
//! knows a stand-in by its address and sends the span in its place. A stand-in without a span is an error: what it
//! consists of is never sent. A span that is not in memory is fetched first: the kernel would keep the thread waiting for
//! the disk, and every connection with it.

use std::{
    collections::VecDeque,
    io::{self, IoSlice},
    os::{fd::AsFd, unix::fs::FileExt},
    pin::Pin,
    sync::{Arc, LazyLock},
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use rustix::{fs::sendfile, io::Errno};
use tokio::{
    io::{AsyncRead, AsyncWrite, Interest, ReadBuf},
    net::{TcpStream, UnixStream},
};

use crate::core::{
    disk::is_at_hand,
    reader::Span,
    sync::{Mutex, MutexGuard, lock},
};

/// The most that one promise is about.
pub const PROMISE: usize = 512 * 1024;

/// What a file system that cannot send files is read with.
const COPIED: usize = 64 * 1024;

/// Address space, not memory: its pages are never touched.
static STAND_IN: LazyLock<Bytes> = LazyLock::new(|| vec![0; PROMISE].into());

/// What was promised on one connection and is not sent yet, in its order.
#[derive(Debug, Clone, Default)]
pub struct Lane(Arc<Mutex<VecDeque<Span>>>);

impl Lane {
    /// Stand-ins for a span of at most [`PROMISE`] bytes.
    pub fn promise(&self, span: Span) -> Bytes {
        let bytes = STAND_IN.slice(..span.len.min(PROMISE));
        self.spans().push_back(Span { len: bytes.len(), ..span });
        bytes
    }

    fn spans(&self) -> MutexGuard<'_, VecDeque<Span>> {
        lock(&self.0)
    }

    /// What is due instead of `len` bytes of stand-ins.
    fn due(&self, len: usize) -> io::Result<Span> {
        let mut span = self.spans().front().cloned().ok_or_else(broken)?;
        span.len = span.len.min(len);
        Ok(span)
    }

    fn sent(&self, count: usize) {
        let mut spans = self.spans();
        let Some(span) = spans.front_mut() else { return };
        span.offset += count as u64;
        span.len -= count;
        if span.len == 0 {
            spans.pop_front();
        }
    }
}

fn broken() -> io::Error {
    io::Error::other("a stand-in that nothing was promised for")
}

fn is_stand_in(bytes: &[u8]) -> bool {
    !bytes.is_empty() && STAND_IN.as_ptr_range().contains(&bytes.as_ptr())
}

/// A socket that the kernel can send a file to.
pub trait Socket: AsyncRead + AsyncWrite + Unpin + Send + 'static {
    /// Ready when a write may go through.
    fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Sends what it can of a span at once.
    fn try_send(&self, span: &Span) -> io::Result<usize>;
}

macro_rules! socket {
    ($stream:ty) => {
        impl Socket for $stream {
            fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                self.poll_write_ready(cx)
            }

            fn try_send(&self, span: &Span) -> io::Result<usize> {
                self.try_io(Interest::WRITABLE, || send(self, span))
            }
        }
    };
}

socket!(TcpStream);
socket!(UnixStream);

fn send(socket: &impl AsFd, span: &Span) -> io::Result<usize> {
    let mut offset = span.offset;
    match rustix::io::retry_on_intr(|| sendfile(socket, &*span.file, Some(&mut offset), span.len)) {
        Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
        // Not every file system can.
        Err(Errno::INVAL | Errno::NOSYS) => copy(socket, span),
        sent => Ok(sent?),
    }
}

fn copy(socket: &impl AsFd, span: &Span) -> io::Result<usize> {
    let mut buffer = vec![0; span.len.min(COPIED)];
    span.file.read_exact_at(&mut buffer, span.offset)?;
    Ok(rustix::net::send(socket, &buffer, rustix::net::SendFlags::NOSIGNAL)?)
}

/// For so long what was in memory is taken to be there still.
const WARM: Duration = Duration::from_secs(1);

/// A connection that keeps what was promised on its lane.
pub struct Conduit {
    socket: Box<dyn Socket>,
    lane: Lane,
    /// The bytes that are due next are being fetched.
    fetching: Option<BoxFuture<'static, io::Result<()>>>,
    /// How many of those that are due next were in memory, and when.
    warm: (usize, Instant),
}

impl Conduit {
    /// The lowest layer of a connection whose answers promise on `lane`.
    pub fn new(socket: Box<dyn Socket>, lane: Lane) -> Self {
        Self { socket, lane, fetching: None, warm: (0, Instant::now()) }
    }

    fn poll_send(&mut self, cx: &mut Context<'_>, len: usize) -> Poll<io::Result<usize>> {
        let mut span = self.lane.due(len)?;
        loop {
            ready!(self.socket.poll_writable(cx))?;
            ready!(self.poll_warm(cx, &span))?;
            span.len = span.len.min(self.warm.0);
            match self.socket.try_send(&span) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Ok(count) => {
                    self.warm.0 -= count;
                    self.lane.sent(count);
                    return Poll::Ready(Ok(count));
                }
                failed => return Poll::Ready(failed),
            }
        }
    }

    /// Ready when the span, or its beginning, is in memory.
    fn poll_warm(&mut self, cx: &mut Context<'_>, span: &Span) -> Poll<io::Result<()>> {
        if let Some(fetching) = &mut self.fetching {
            let fetched = ready!(fetching.as_mut().poll(cx));
            self.fetching = None;
            self.warm.1 = Instant::now();
            return Poll::Ready(fetched);
        }
        if self.warm.0 > 0 && self.warm.1.elapsed() < WARM {
            return Poll::Ready(Ok(()));
        }
        self.warm = (span.len, Instant::now());
        if is_at_hand(&span.file, span.offset, span.len) {
            return Poll::Ready(Ok(()));
        }
        let Span { file, offset, len, disk } = span.clone();
        self.fetching = Some(Box::pin(disk.fetch(file, offset, len)));
        self.poll_warm(cx, span)
    }
}

impl AsyncRead for Conduit {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_read(cx, buf)
    }
}

impl AsyncWrite for Conduit {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if is_stand_in(buf) {
            return self.poll_send(cx, buf.len());
        }
        Pin::new(&mut self.socket).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let ordinary = bufs.iter().take_while(|buf| !is_stand_in(buf)).count();
        match bufs.get(ordinary) {
            Some(buf) if bufs[..ordinary].iter().all(|buf| buf.is_empty()) => self.poll_send(cx, buf.len()),
            _ => Pin::new(&mut self.socket).poll_write_vectored(cx, &bufs[..ordinary]),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    fn file(bytes: &[u8]) -> Arc<std::fs::File> {
        let mut file = tempfile::tempfile().expect("a file");
        file.write_all(bytes).expect("written");
        Arc::new(file)
    }

    fn span(file: &Arc<std::fs::File>, offset: u64, len: usize) -> Span {
        Span { file: file.clone(), offset, len, disk: Default::default() }
    }

    #[tokio::test]
    async fn stand_ins_become_what_was_promised_in_the_order_of_the_promises() {
        let bytes: Vec<u8> = (0..2 * PROMISE).map(|n| (n % 251) as u8).collect();
        let (file, lane) = (file(&bytes), Lane::default());
        let (ours, mut theirs) = UnixStream::pair().expect("a pair");
        let mut conduit = Conduit::new(Box::new(ours), lane.clone());
        let writing = async {
            let first = lane.promise(span(&file, 7, PROMISE));
            let second = lane.promise(span(&file, 3, 100));
            let slices = [IoSlice::new(b"head"), IoSlice::new(&first)];
            let written = conduit.write_vectored(&slices).await.expect("written");
            assert_eq!(written, 4, "what is no stand-in goes first, and by itself");
            conduit.write_all(&first).await.expect("written");
            conduit.write_all(b"between").await.expect("written");
            conduit.write_all(&second).await.expect("written");
            drop(conduit);
        };
        let mut got = Vec::new();
        let (_, read) = tokio::join!(writing, theirs.read_to_end(&mut got));
        read.expect("read");
        assert!(got == [b"head", &bytes[7..][..PROMISE], b"between", &bytes[3..103]].concat());
    }

    #[tokio::test]
    async fn a_stand_in_without_a_promise_or_a_file_that_is_too_short_ends_the_connection() {
        let lane = Lane::default();
        let (ours, mut theirs) = UnixStream::pair().expect("a pair");
        let mut conduit = Conduit::new(Box::new(ours), lane.clone());
        assert!(conduit.write_all(&STAND_IN.slice(..10)).await.is_err());
        let short = lane.promise(span(&file(b"short"), 0, 10));
        let error = conduit.write_all(&short).await.expect_err("five bytes are missing");
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        drop(conduit);
        let mut got = Vec::new();
        theirs.read_to_end(&mut got).await.expect("read");
        assert_eq!(got, b"short");
    }

    #[test]
    fn a_file_system_that_cannot_send_is_read() {
        let (ours, theirs) = std::os::unix::net::UnixStream::pair().expect("a pair");
        let span = span(&file(b"0123456789"), 2, 5);
        assert_eq!(copy(&ours, &span).expect("sent"), 5);
        drop(ours);
        assert_eq!(io::read_to_string(theirs).expect("read"), "23456");
    }
}
