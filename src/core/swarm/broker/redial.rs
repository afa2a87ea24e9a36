//! A peer that fell silent or left while a reader waits for nobody else's bytes: dialled anew, behind librqbit's back.
//!
//! librqbit comes back to a peer after 10 to 20 seconds, and then after minutes; a viewer does not wait for that. A new
//! connection that is made shows that the way is open, so that the old one, silent all the while, is given up then and
//! not before: most clients take one connection from an address, and refuse the second while the first stands.

use std::{io, net::SocketAddr, time::Duration};

use futures_util::future::BoxFuture;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::Instant,
};

use super::line::Line;
use crate::core::swarm::{dialer::Dialer, handshake::within, wire::Hello};

/// The first pause between two attempts; doubled twice.
const PAUSE: Duration = Duration::from_secs(1);
/// Where the doubling ends: with the four seconds that a dial may take, at most eight go by unused.
const MOST_DOUBLINGS: u32 = 2;

/// The way to peers.
pub trait Road: Send + Sync {
    /// Connects.
    fn dial(&self, to: SocketAddr) -> BoxFuture<'static, io::Result<Line>>;
}

impl Road for Dialer {
    fn dial(&self, to: SocketAddr) -> BoxFuture<'static, io::Result<Line>> {
        let dialer = self.clone();
        Box::pin(async move { Dialer::dial(&dialer, to).await.map(Line::from) })
    }
}

/// How far an attempt came.
pub enum Step {
    /// The peer's machine took the connection.
    Reached(Line),
    /// The peer answered the handshake.
    Greeted(Line, Hello),
    /// Neither.
    Failed(io::Error),
}

/// The attempts to reach one peer again.
pub struct Redial {
    failures: u32,
    not_before: Instant,
    attempt: Option<BoxFuture<'static, Step>>,
}

impl Redial {
    /// None yet.
    pub fn new(now: Instant) -> Self {
        Redial { failures: 0, not_before: now, attempt: None }
    }

    /// Whether it is time for an attempt.
    pub fn is_due(&self, now: Instant) -> bool {
        self.attempt.is_none() && now >= self.not_before
    }

    /// Begins one.
    pub fn dial(&mut self, road: &dyn Road, to: SocketAddr) {
        let dialling = road.dial(to);
        self.attempt = Some(Box::pin(async { dialling.await.map_or_else(Step::Failed, Step::Reached) }));
    }

    /// Goes on with one that reached the peer.
    pub fn greet(&mut self, line: Line, hello: Hello) {
        self.attempt = Some(Box::pin(async move { greet(line, hello).await.unwrap_or_else(Step::Failed) }));
    }

    /// The next step of the attempt, if one is under way; nothing is lost when this is dropped.
    pub async fn step(&mut self) -> Step {
        let Some(attempt) = &mut self.attempt else { return std::future::pending().await };
        let step = attempt.await;
        self.attempt = None;
        step
    }

    /// An attempt failed, or what came of it did not last: the next one only after a while.
    pub fn pause(&mut self, now: Instant) {
        self.not_before = now + PAUSE * (1 << self.failures.min(MOST_DOUBLINGS));
        self.failures += 1;
    }

    /// No attempt is needed any more.
    pub fn rest(&mut self) {
        self.attempt = None;
    }

    /// The peer brings something: what failed before says nothing any more.
    pub fn forgive(&mut self) {
        self.failures = 0;
    }
}

async fn greet(mut line: Line, hello: Hello) -> io::Result<Step> {
    let mut answer: Hello = [0; 68];
    {
        let (from, to) = line.split();
        within(async { to.write_all(&hello).await }).await?;
        within(from.read_exact(&mut answer)).await?;
    }
    Ok(Step::Greeted(line, answer))
}
