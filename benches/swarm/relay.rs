//! Distance: a TCP relay in front of a peer that delays each direction by half a round trip and limits nothing.
//!
//! What it does not do: slow start, loss. A connection costs a round trip before its first byte travels, as TCP's
//! own handshake does.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    time::{Instant, sleep_until},
};

use crate::support::{Actor, WORLD};

const CHUNK: usize = 64 * 1024;
/// Chunks on the way; 64 MiB a direction at most, where no scenario has more than one on its way.
const IN_FLIGHT: usize = 1024;

/// A relay; ends, with its connections, when dropped.
pub struct Relay {
    /// Where the peer seems to be.
    pub addr: SocketAddr,
    _actor: Actor,
}

impl Relay {
    /// In front of `peer`, at an address of its own.
    pub fn start(ip: Ipv4Addr, peer: SocketAddr, rtt: Duration) -> io::Result<Self> {
        let listener = WORLD.block_on(TcpListener::bind((ip, 0)))?;
        let addr = listener.local_addr()?;
        let actor = Actor::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((near, _)) = listener.accept().await {
                connections.spawn(relay(near, peer, rtt));
            }
        });
        Ok(Self { addr, _actor: actor })
    }
}

async fn relay(near: TcpStream, peer: SocketAddr, rtt: Duration) -> io::Result<()> {
    let established = Instant::now() + rtt;
    let far = TcpStream::connect(peer).await?;
    near.set_nodelay(true)?;
    far.set_nodelay(true)?;
    let (near_in, near_out) = near.into_split();
    let (far_in, far_out) = far.into_split();
    // Whichever side closes, the other learns of it half a round trip later; then the rest is moot.
    tokio::select! {
        done = carry(near_in, far_out, rtt / 2, established) => done,
        done = carry(far_in, near_out, rtt / 2, established) => done,
    }
}

async fn carry(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    delay: Duration,
    established: Instant,
) -> io::Result<()> {
    let (sender, mut receiver) = mpsc::channel::<(Instant, Vec<u8>)>(IN_FLIGHT);
    let take = async move {
        loop {
            let mut chunk = Vec::with_capacity(CHUNK);
            let read = from.read_buf(&mut chunk).await?;
            let due = Instant::now().max(established) + delay;
            if sender.send((due, chunk)).await.is_err() || read == 0 {
                return io::Result::Ok(());
            }
        }
    };
    let give = async move {
        while let Some((due, chunk)) = receiver.recv().await {
            sleep_until(due).await;
            to.write_all(&chunk).await?;
        }
        to.shutdown().await
    };
    tokio::try_join!(take, give).map(|_| ())
}
