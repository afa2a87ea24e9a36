//! A connection that ends when its other side takes nothing for too long. A paused player is such a side, so the
//! patience is long; when connections become scarce it is short, and whoever is not there at all gets none.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep_until},
};
use tokio_util::sync::WaitForCancellationFutureOwned;

use super::{
    crowd::{Crowd, Running, Seat, Seated},
    pulse::{Ends, Pulse, Watched},
};

/// A connection that stands still looks so often, in the time that it may stand still while others wait, whether it has: a
/// thousand of them wake the server 67 times a second.
const STEPS: u32 = 4;

/// How long the other side may take nothing.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// As a rule.
    pub usual: Duration,
    /// When others wait for a connection.
    pub crowded: Duration,
}

impl Patience {
    fn limit(self, crowded: bool) -> Duration {
        if crowded { self.crowded.min(self.usual) } else { self.usual }
    }
}

/// A byte stream with a limit on how long a write may wait.
pub struct Transport<S> {
    stream: S,
    crowd: Arc<Crowd>,
    seat: Arc<Seat>,
    patience: Patience,
    line: Option<Line>,
    stall: Option<Stall>,
    /// Armed anew only when it fires: writes wait far more often than they wait for long.
    look: Pin<Box<Sleep>>,
}

/// A connection of the kernel's, and who looks at it.
#[derive(Debug, Clone)]
pub struct Line {
    /// Who looks.
    pub pulse: Arc<Pulse>,
    /// Which it is.
    pub ends: Ends,
}

struct Stall {
    began: Instant,
    /// The answer may have been made long ago.
    _running: Option<Running>,
    watched: Option<(Watched, Pin<Box<WaitForCancellationFutureOwned>>)>,
}

impl<S> Transport<S> {
    /// Limits `stream`, which has a seat in the crowd, and goes through `line` if the kernel can say how that fares.
    pub fn new(stream: S, seated: &Seated, patience: Patience, line: Option<Line>) -> Self {
        let (crowd, seat) = (seated.crowd().clone(), seated.seat().clone());
        Self { stream, crowd, seat, patience, line, stall: None, look: Box::pin(sleep_until(Instant::now())) }
    }

    /// The outcome of a write, unless it has been waiting for too long.
    fn judge<T>(&mut self, cx: &mut Context<'_>, outcome: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if outcome.is_ready() {
            self.stall = None;
            return outcome;
        }
        let step = self.patience.limit(true) / STEPS;
        let first_look = self.line.as_ref().map_or(step, |line| line.pulse.step());
        let stall = self.stall.get_or_insert_with(|| Stall {
            began: Instant::now(),
            _running: self.seat.run(),
            watched: None,
        });
        loop {
            if let Some((_, lost)) = &mut stall.watched
                && lost.as_mut().poll(cx).is_ready()
            {
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the other side is gone")));
            }
            ready!(self.look.as_mut().poll(cx));
            let (waited, limit) = (stall.began.elapsed(), self.patience.limit(self.crowd.is_dense()));
            if waited >= limit {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
            if let Some(line) = &self.line
                && waited >= first_look
                && stall.watched.is_none()
            {
                let watched = line.pulse.watch(line.ends);
                let lost = Box::pin(watched.lost.clone().cancelled_owned());
                stall.watched = Some((watched, lost));
            }
            let next = if stall.watched.is_some() { step } else { step.min(first_look) };
            self.look.as_mut().reset((Instant::now() + next).min(stall.began + limit));
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Transport<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Transport<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.judge(cx, outcome)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.judge(cx, outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::{super::crowd::TO_SAY_SOMETHING, *};

    const PATIENCE: Patience = Patience { usual: Duration::from_secs(600), crowded: Duration::from_secs(60) };

    /// So many connections where there may be ten.
    async fn crowd(count: usize) -> Vec<Seated> {
        let crowd = Crowd::new(10);
        futures_util::future::join_all((0..count).map(|_| crowd.enter())).await
    }

    async fn stalled_for(crowd: &[Seated]) -> Duration {
        let (ours, _theirs) = duplex(10);
        let began = Instant::now();
        let mut transport = Transport::new(ours, &crowd[0], PATIENCE, None);
        let error = transport.write_all(&[0; 100]).await.expect_err("no reader");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        began.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_takes_nothing_is_left_after_the_usual_patience() {
        let took = stalled_for(&crowd(1).await).await;
        assert!((600..602).contains(&took.as_secs()), "{took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn patience_is_short_where_others_wait() {
        let took = stalled_for(&crowd(9).await).await;
        assert!((60..62).contains(&took.as_secs()), "{took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn patience_is_no_longer_where_others_wait_and_time_is_let_pass() {
        let (crowd, usual) = (crowd(9).await, Duration::from_secs(5));
        let (ours, _theirs) = duplex(10);
        let mut transport = Transport::new(ours, &crowd[0], Patience { usual, ..PATIENCE }, None);
        let mut writing = std::pin::pin!(transport.write_all(&[0; 100]));
        assert!(writing.as_mut().now_or_never().is_none());
        tokio::time::advance(usual).await;
        let ended = writing.now_or_never().expect("it looks again and again");
        assert_eq!(ended.expect_err("no reader").kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_whose_reader_has_not_taken_all_yet_is_not_idle() {
        let (crowd, (ours, mut theirs)) = (crowd(9).await, duplex(10));
        let mut transport = Transport::new(ours, &crowd[0], PATIENCE, None);
        let mut writing = std::pin::pin!(transport.write_all(&[0; 15]));
        assert!(writing.as_mut().now_or_never().is_none());
        tokio::time::advance(TO_SAY_SOMETHING).await;
        let _tenth = crowd[0].crowd().enter().await;
        let dismissed = |number: usize| crowd[number].dismissed().now_or_never().is_some();
        assert!(!dismissed(0) && dismissed(1));
        theirs.read_exact(&mut [0; 10]).await.expect("served");
        writing.await.expect("served");
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_takes_a_little_now_and_then_is_served_to_the_end() {
        let (ours, mut theirs) = duplex(10);
        let crowd = crowd(1).await;
        let mut transport = Transport::new(ours, &crowd[0], PATIENCE, None);
        let reading = async {
            let mut byte = [0];
            for _ in 0..100 {
                tokio::time::sleep(Duration::from_secs(500)).await;
                theirs.read_exact(&mut byte).await.expect("served");
            }
        };
        let (written, ()) = tokio::join!(transport.write_all(&[7; 100]), reading);
        written.expect("served");
    }
}
