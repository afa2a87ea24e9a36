//! One side's connection, whatever carries it: what is read from, and what is written to.

use std::{io, time::Duration};

use bytes::BytesMut;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite},
    net::{TcpStream, tcp::OwnedWriteHalf},
};

use super::outbox::Outbox;
use crate::core::swarm::prompt::Prompt;

/// What is read from.
pub type Source = dyn AsyncRead + Unpin + Send;

/// What is written to.
pub trait Sink: AsyncWrite + Unpin + Send {
    /// The other side is to hear of the end at once, whatever is still on its way there.
    fn reset_at_end(&self) {}

    /// What came is acknowledged now.
    fn acknowledge(&self) {}
}

impl Sink for OwnedWriteHalf {
    fn reset_at_end(&self) {
        // One that cannot be reset is closed; the other side hears of it later.
        let _ = socket2::SockRef::from(self.as_ref()).set_linger(Some(Duration::ZERO));
    }

    fn acknowledge(&self) {
        self.as_ref().acknowledge();
    }
}

#[cfg(test)]
impl Sink for tokio::io::WriteHalf<tokio::io::DuplexStream> {}

/// A connection.
pub struct Line {
    from: Box<Source>,
    to: Box<dyn Sink>,
}

impl From<TcpStream> for Line {
    fn from(stream: TcpStream) -> Self {
        let (from, to) = stream.into_split();
        Line { from: Box::new(from), to: Box::new(to) }
    }
}

#[cfg(test)]
impl From<tokio::io::DuplexStream> for Line {
    fn from(stream: tokio::io::DuplexStream) -> Self {
        let (from, to) = tokio::io::split(stream);
        Line { from: Box::new(from), to: Box::new(to) }
    }
}

impl Line {
    /// Both directions, to be used at once.
    pub fn split(&mut self) -> (&mut Source, &mut dyn Sink) {
        (&mut *self.from, &mut *self.to)
    }

    /// Acknowledges what came, now.
    pub fn acknowledge(&self) {
        self.to.acknowledge();
    }

    /// Ends it, and lets the other side know at once.
    pub fn reset(self) {
        self.to.reset_at_end();
    }
}

/// Reads on, for ever where there is no line.
pub async fn read(from: Option<&mut Source>, into: &mut BytesMut) -> io::Result<usize> {
    match from {
        Some(from) => from.read_buf(into).await,
        None => std::future::pending().await,
    }
}

/// Writes once of what waits, if there is a line.
pub async fn send(to: Option<&mut dyn Sink>, outbox: &mut Outbox) -> io::Result<()> {
    match to {
        Some(mut to) => outbox.send(&mut to).await,
        None => std::future::pending().await,
    }
}
