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
    crowd::Crowd,
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

/// A byte stream with a limit on how long a write may wait.
pub struct Transport<S> {
    stream: S,
    crowd: Arc<Crowd>,
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
    watched: Option<(Watched, Pin<Box<WaitForCancellationFutureOwned>>)>,
}

impl<S> Transport<S> {
    /// Limits `stream`, which goes through `line` if the kernel can say how that fares.
    pub fn new(stream: S, crowd: Arc<Crowd>, patience: Patience, line: Option<Line>) -> Self {
        Self { stream, crowd, patience, line, stall: None, look: Box::pin(sleep_until(Instant::now())) }
    }

    /// The outcome of a write, unless it has been waiting for too long.
    fn judge<T>(&mut self, cx: &mut Context<'_>, outcome: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if outcome.is_ready() {
            self.stall = None;
            return outcome;
        }
        let Patience { usual, crowded } = self.patience;
        let step = crowded.min(usual) / STEPS;
        let first_look = self.line.as_ref().map_or(step, |line| line.pulse.step());
        let stall = self.stall.get_or_insert_with(|| Stall { began: Instant::now(), watched: None });
        loop {
            if let Some((_, lost)) = &mut stall.watched
                && lost.as_mut().poll(cx).is_ready()
            {
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the other side is gone")));
            }
            ready!(self.look.as_mut().poll(cx));
            let waited = stall.began.elapsed();
            if waited >= if self.crowd.is_dense() { crowded } else { usual } {
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
            self.look.as_mut().reset((Instant::now() + next).min(stall.began + usual));
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
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    const PATIENCE: Patience = Patience { usual: Duration::from_secs(600), crowded: Duration::from_secs(60) };

    async fn stalled_for(crowd: Arc<Crowd>) -> Duration {
        let (ours, _theirs) = duplex(10);
        let began = Instant::now();
        let error =
            Transport::new(ours, crowd, PATIENCE, None).write_all(&[0; 100]).await.expect_err("no reader");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        began.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_takes_nothing_is_left_after_the_usual_patience() {
        let took = stalled_for(Crowd::new(100)).await;
        assert!((600..602).contains(&took.as_secs()), "{took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn patience_is_short_where_others_wait() {
        let crowd = Crowd::new(10);
        let mut seats = Vec::new();
        for _ in 0..9 {
            seats.push(crowd.enter().await);
        }
        let took = stalled_for(crowd).await;
        assert!((60..62).contains(&took.as_secs()), "{took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_takes_a_little_now_and_then_is_served_to_the_end() {
        let (ours, mut theirs) = duplex(10);
        let mut transport = Transport::new(ours, Crowd::new(100), PATIENCE, None);
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
