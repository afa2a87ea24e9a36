//! The block broker: a loopback SOCKS5 server between librqbit and every peer, and the scheduler behind it.
//!
//! librqbit asks one peer for a whole piece and lets a seek wait behind what it asked before. Every connection that it
//! makes comes through here, so that here it is decided which block is asked of whom, and when: what readers wait for first,
//! of every peer that can bring it in time; librqbit's own requests in the room that is left.

use std::{
    collections::{HashMap, HashSet},
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use bytes::BytesMut;
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tokio_util::task::AbortOnDropHandle;

use self::link::Link;
use super::{
    dialer::Dialer,
    handshake::{self, within},
    lobby::Lobby,
    wire::Hello,
};
use crate::core::{
    content::Content,
    playhead::Playheads,
    source::InfoHash,
    status::Timeline,
    sync::{Mutex, lock},
};

mod blame;
mod desk;
mod exchange;
pub(crate) mod fuzzing;
mod index;
mod link;
mod outbox;
mod peers;
mod picker;
mod pieces;
mod rate;
#[cfg(test)]
mod simulations;
#[cfg(test)]
mod simulator;
mod socks;

pub use exchange::Exchange;

use exchange::Counters;

/// The broker of one session.
pub struct Broker {
    /// Where librqbit finds it, with the name and the password that only it knows.
    pub url: String,
    floor: Arc<Floor>,
    _server: AbortOnDropHandle<()>,
}

/// What all connections share.
struct Floor {
    dialer: Dialer,
    lobby: Lobby,
    user: String,
    password: String,
    exchanges: Mutex<HashMap<InfoHash, Arc<Exchange>>>,
    counters: Arc<Counters>,
    /// Addresses on loopback that are no peers: what is said there is passed on as it is.
    tunnels: Mutex<HashSet<SocketAddr>>,
}

impl Broker {
    /// Listens on loopback, on the runtime that it is called on.
    pub async fn start(dialer: Dialer, lobby: Lobby) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let secret = || data_encoding::HEXLOWER.encode(&rand::random::<[u8; 16]>());
        let floor = Arc::new(Floor {
            dialer,
            lobby,
            user: secret(),
            password: secret(),
            exchanges: Mutex::default(),
            counters: Arc::default(),
            tunnels: Mutex::default(),
        });
        let url = format!("socks5://{}:{}@{}", floor.user, floor.password, listener.local_addr()?);
        let server = AbortOnDropHandle::new(tokio::spawn(serve(listener, floor.clone())));
        Ok(Broker { url, floor, _server: server })
    }

    /// Takes a torrent up, until the guard is dropped.
    pub fn open(
        &self,
        content: Arc<Content>,
        playheads: Arc<Playheads>,
        runtime: tokio::runtime::Handle,
        timeline: Arc<Timeline>,
    ) -> Opened {
        let info_hash = content.metainfo().info_hash;
        let exchange = Exchange::new(content, runtime, self.floor.counters.clone(), timeline);
        lock(&self.floor.exchanges).insert(info_hash, exchange.clone());
        let following = exchange.follow(playheads);
        Opened { exchange, info_hash, floor: self.floor.clone(), _following: following }
    }

    /// What peers sent in all, when librqbit counts so many bytes as fetched: what it got past the broker, too.
    pub fn received(&self, fetched: u64) -> u64 {
        let handed_over = self.floor.counters.handed_over.load(Relaxed);
        fetched.saturating_sub(handed_over) + self.floor.counters.received.load(Relaxed)
    }

    /// Lets librqbit reach an address that is no peer, until the guard is dropped.
    pub fn tunnel(&self, to: SocketAddr) -> Tunnel {
        lock(&self.floor.tunnels).insert(to);
        Tunnel { to, floor: self.floor.clone() }
    }
}

/// A torrent that is brokered.
pub struct Opened {
    /// Its exchange.
    pub exchange: Arc<Exchange>,
    info_hash: InfoHash,
    floor: Arc<Floor>,
    _following: AbortOnDropHandle<()>,
}

impl Drop for Opened {
    fn drop(&mut self) {
        lock(&self.floor.exchanges).remove(&self.info_hash);
        self.exchange.sum_up();
    }
}

/// An address that librqbit may reach.
pub struct Tunnel {
    to: SocketAddr,
    floor: Arc<Floor>,
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        lock(&self.floor.tunnels).remove(&self.to);
    }
}

async fn serve(listener: TcpListener, floor: Arc<Floor>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => drop(connections.spawn(attend(stream, floor.clone()))),
                // No descriptors left, most likely: the next look may find some.
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn attend(mut librqbit: TcpStream, floor: Arc<Floor>) {
    let accepted = within(socks::accept(&mut librqbit, &floor.user, &floor.password)).await;
    let Ok(to) = accepted else { return };
    // A link that ends tells why; whoever watches peers wants to know.
    if let Err(error) = floor.connect(librqbit, to).await {
        tracing::debug!("peer {to}: {error}");
    }
}

impl Floor {
    async fn connect(&self, mut librqbit: TcpStream, to: SocketAddr) -> io::Result<()> {
        librqbit.set_nodelay(true)?;
        if lock(&self.tunnels).contains(&to) {
            return tunnel(librqbit, to).await;
        }
        let dialled = match (self.is_banned_everywhere(to), self.lobby.knows(to)) {
            (true, _) => Err(io::Error::new(io::ErrorKind::PermissionDenied, "it sent bad blocks before")),
            (_, true) => Ok(None),
            _ => unless_gone(&librqbit, self.dialer.dial(to)).await.map(Some),
        };
        let dialled = match dialled {
            Ok(dialled) => dialled,
            Err(error) => return socks::reply(&mut librqbit, (&error).into()).await.and(Err(error)),
        };
        socks::reply(&mut librqbit, socks::Outcome::Done).await?;
        let hello = handshake::hear(&mut librqbit).await?;
        let info_hash = handshake::info_hash_of(&hello);
        let exchange = info_hash.and_then(|hash| lock(&self.exchanges).get(&hash).cloned());
        let exchange = exchange.ok_or_else(|| io::Error::other("nobody wants that torrent"))?;
        let greeted = info_hash.and_then(|hash| self.lobby.take(hash, to));
        let (mut peer, answer, heard) = match (dialled, greeted) {
            (None, Some(greeted)) => {
                let answer = greeted.hello;
                let (peer, heard) = greeted.into_parts();
                (peer, answer, heard)
            }
            (Some(peer), _) => unless_gone(&librqbit, greet(peer, &hello)).await?,
            (None, None) => {
                let peer = unless_gone(&librqbit, self.dialer.dial(to)).await?;
                unless_gone(&librqbit, greet(peer, &hello)).await?
            }
        };
        handshake::say(&mut librqbit, &answer).await?;
        let end = Link::carry(exchange, to, (&mut peer, heard), &mut librqbit).await;
        Err(io::Error::other(end))
    }

    /// A liar in one torrent is not asked in another one either.
    fn is_banned_everywhere(&self, peer: SocketAddr) -> bool {
        lock(&self.exchanges).values().any(|exchange| exchange.is_banned(peer))
    }
}

/// Passes librqbit's handshake on, and brings the peer's.
async fn greet(mut peer: TcpStream, hello: &Hello) -> io::Result<(TcpStream, Hello, BytesMut)> {
    handshake::say(&mut peer, hello).await?;
    let answer = handshake::hear(&mut peer).await?;
    Ok((peer, answer, BytesMut::new()))
}

/// What we do for librqbit while it waits and says nothing, for as long as it does.
async fn unless_gone<T>(librqbit: &TcpStream, io: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    let gone = async {
        if let Ok(1..) = librqbit.peek(&mut [0]).await {
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        done = io => done,
        () = gone => Err(io::Error::new(io::ErrorKind::ConnectionAborted, "librqbit does not wait for it")),
    }
}

async fn tunnel(mut librqbit: TcpStream, to: SocketAddr) -> io::Result<()> {
    let mut other = match TcpStream::connect(to).await {
        Ok(other) => other,
        Err(error) => return socks::reply(&mut librqbit, (&error).into()).await.and(Err(error)),
    };
    socks::reply(&mut librqbit, socks::Outcome::Done).await?;
    tokio::io::copy_bidirectional(&mut librqbit, &mut other).await.map(|_| ())
}
