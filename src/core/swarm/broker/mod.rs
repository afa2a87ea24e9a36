//! The block broker: a loopback SOCKS5 server between librqbit and every peer, and the scheduler behind it.
//!
//! librqbit asks one peer for a whole piece and lets a seek wait behind what it asked before. Every connection that it
//! makes comes through here, and so does every peer that dials us, so that here it is decided which block is asked of
//! whom, and when: what readers wait for first, of every peer that can bring it in time; librqbit's own requests in the room
//! that is left.

use std::{
    collections::{HashMap, HashSet},
    io,
    net::{Ipv4Addr, SocketAddr},
    num::NonZeroU32,
    sync::{Arc, atomic::Ordering::Relaxed},
};

use bytes::BytesMut;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Notify,
    task::JoinSet,
};
use tokio_util::task::AbortOnDropHandle;

use self::{
    line::Line,
    link::{Far, Link},
};
use super::{
    accept,
    dialer::Dialer,
    handshake::{self, within},
    lobby::Lobby,
    wire::Hello,
};
use crate::core::{
    content::Content,
    playhead::Playheads,
    reasons::Reason,
    source::InfoHash,
    status::{PeerReport, PeerState, Timeline},
    sync::{Mutex, lock},
};

mod blame;
mod desk;
mod discretion;
mod door;
mod exchange;
pub(crate) mod fuzzing;
mod hearsay;
mod index;
mod line;
mod link;
#[cfg(all(test, feature = "models"))]
mod models;
mod outbox;
mod peers;
mod picker;
mod pieces;
mod rate;
mod redial;
mod said;
#[cfg(test)]
mod simulations;
#[cfg(test)]
mod simulator;
mod socks;
mod throttle;
mod wishes;

pub use door::Door;
pub use exchange::Exchange;

use exchange::Counters;
use redial::Road;
use throttle::Throttle;

/// Why a peer is not dialled, or not let in, that is as good as any other.
const NO_PLACE: &str = "every place is taken";
/// Peers without a link that are remembered.
const MOST_ABSENT: usize = 1000;

/// The broker of one session.
pub struct Broker {
    /// Where librqbit finds it, with the name and the password that only it knows.
    pub url: String,
    floor: Arc<Floor>,
    _server: AbortOnDropHandle<()>,
    _porter: Option<AbortOnDropHandle<()>>,
}

/// What is not to be exceeded.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes a second from all peers together.
    pub download: Option<NonZeroU32>,
    /// Whether peers may be told of each other at all.
    pub peer_exchange: bool,
    /// Peers of a torrent that may have dialled us.
    pub visitors: usize,
}

/// What all connections share.
struct Floor {
    dialer: Dialer,
    lobby: Lobby,
    user: String,
    password: String,
    limits: Limits,
    exchanges: Mutex<HashMap<InfoHash, Arc<Exchange>>>,
    /// A torrent was taken up.
    opened: Notify,
    counters: Arc<Counters>,
    /// Peers without a link: being dialled, or gone, and why.
    absent: Mutex<HashMap<SocketAddr, Absent>>,
    /// Addresses on loopback that are no peers: what is said there is passed on as it is.
    tunnels: Mutex<HashSet<SocketAddr>>,
}

/// A peer without a link.
struct Absent {
    state: PeerState,
    why: Option<Reason>,
    /// Whose it is, where there was but one torrent: who is dialled for what, librqbit says only to a peer that answers.
    of: Option<InfoHash>,
}

impl Broker {
    /// Listens on loopback, on the runtime that it is called on.
    pub async fn start(dialer: Dialer, lobby: Lobby, limits: Limits) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let secret = || data_encoding::HEXLOWER.encode(&rand::random::<[u8; 16]>());
        let floor = Arc::new(Floor {
            dialer,
            lobby,
            user: secret(),
            password: secret(),
            limits,
            exchanges: Mutex::default(),
            opened: Notify::new(),
            counters: Arc::new(Counters { throttle: Throttle::new(limits.download), ..Counters::default() }),
            absent: Mutex::default(),
            tunnels: Mutex::default(),
        });
        let url = format!("socks5://{}:{}@{}", floor.user, floor.password, listener.local_addr()?);
        let server = AbortOnDropHandle::new(tokio::spawn(serve(listener, floor.clone())));
        Ok(Broker { url, floor, _server: server, _porter: None })
    }

    /// Lets peers in, to librqbit at this address.
    pub fn let_in(&mut self, door: Door, librqbit: SocketAddr) {
        self._porter = Some(AbortOnDropHandle::new(tokio::spawn(door.keep(librqbit, self.floor.clone()))));
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
        let peer_exchange = self.floor.limits.peer_exchange && !content.metainfo().private;
        let counters = self.floor.counters.clone();
        let exchange = Exchange::new(content, runtime, counters, timeline, peer_exchange);
        exchange.visits.add_permits(self.floor.limits.visitors);
        lock(&self.floor.exchanges).insert(info_hash, exchange.clone());
        self.floor.opened.notify_waiters();
        let following = exchange.follow(playheads);
        Opened { exchange, info_hash, floor: self.floor.clone(), _following: following }
    }

    /// What peers sent in all, when librqbit counts so many bytes as fetched: what it got past the broker, too.
    pub fn received(&self, fetched: u64) -> u64 {
        let handed_over = self.floor.counters.handed_over.load(Relaxed);
        fetched.saturating_sub(handed_over) + self.floor.counters.received.load(Relaxed)
    }

    /// Peers of a torrent that are being dialled, could not be reached or left; where it is not known whose a peer is, those
    /// that are `known`.
    pub fn absent(&self, info_hash: InfoHash, known: &HashSet<SocketAddr>) -> Vec<PeerReport> {
        let absent = lock(&self.floor.absent);
        let ours = absent.iter().filter(|(peer, absent)| match absent.of {
            Some(of) => of == info_hash,
            None => known.contains(peer),
        });
        ours.map(|(peer, Absent { state, why, .. })| PeerReport::absent(*peer, *state, why.clone())).collect()
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
        {
            let mut exchanges = lock(&self.floor.exchanges);
            // The torrent may have been taken up again already.
            if exchanges.get(&self.info_hash).is_some_and(|exchange| Arc::ptr_eq(exchange, &self.exchange)) {
                exchanges.remove(&self.info_hash);
            }
        }
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
            (stream, _) = accept::next(|| listener.accept()) => {
                connections.spawn(attend(stream, floor.clone()));
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn attend(mut librqbit: TcpStream, floor: Arc<Floor>) {
    let accepted = within(socks::accept(&mut librqbit, &floor.user, &floor.password)).await;
    let Ok(to) = accepted else { return };
    if lock(&floor.tunnels).contains(&to) {
        // What is said there is its ends' own business.
        let _ = tunnel(librqbit, to).await;
        return;
    }
    floor.note(to, PeerState::Connecting, None);
    let place = floor.dialer.place();
    let (state, why) = match floor.reach(&mut librqbit, to, place.is_some()).await {
        Ok((exchange, far)) => {
            lock(&floor.absent).remove(&to);
            (PeerState::Left, Reason::Left(carry(exchange, far, librqbit).await))
        }
        Err(error) => (PeerState::Refused, Reason::from(&error)),
    };
    tracing::debug!("peer {to}: {why}");
    floor.note(to, state, Some(why));
}

/// Carries a link on its torrent's runtime, wherever its ends were met; why it ended.
async fn carry(exchange: Arc<Exchange>, far: Far<TcpStream>, librqbit: TcpStream) -> String {
    let runtime = exchange.runtime().clone();
    let carrying = async move {
        let Far { address, line, heard, hello, road } = far;
        let (librqbit, line) = (moved_here(librqbit)?, moved_here(line)?);
        let far = Far { address, line, heard, hello, road };
        Ok::<_, io::Error>(Link::carry(exchange, far, librqbit).await)
    };
    match AbortOnDropHandle::new(runtime.spawn(carrying)).await {
        Ok(Ok(end)) => end.to_string(),
        Ok(Err(error)) => error.to_string(),
        Err(_) => "its torrent ended".into(),
    }
}

/// A connection for the runtime that this is called on: another one would have to be woken for each of its bytes.
fn moved_here(stream: TcpStream) -> io::Result<Line> {
    TcpStream::from_std(stream.into_std()?).map(Line::from)
}

impl Floor {
    /// Keeps in mind what became of a peer without a link; what it did last, until it does something else.
    fn note(&self, peer: SocketAddr, state: PeerState, why: Option<Reason>) {
        let of = match lock(&self.exchanges).keys().collect::<Vec<_>>()[..] {
            [only] => Some(*only),
            _ => None,
        };
        let mut absent = lock(&self.absent);
        if absent.len() >= MOST_ABSENT {
            absent.retain(|_, absent| absent.state == PeerState::Connecting);
        }
        let why = why.or_else(|| absent.remove(&peer).and_then(|before| before.why));
        absent.insert(peer, Absent { state, why, of });
    }

    /// Greets a peer for librqbit, if there is a place for it.
    async fn reach(
        &self,
        librqbit: &mut TcpStream,
        to: SocketAddr,
        placed: bool,
    ) -> io::Result<(Arc<Exchange>, Far<TcpStream>)> {
        librqbit.set_nodelay(true)?;
        let dialled = match (self.is_banned_everywhere(to), self.lobby.knows(to)) {
            _ if !placed => Err(io::Error::other(NO_PLACE)),
            (true, _) => Err(Reason::Liar.into()),
            (_, true) => Ok(None),
            _ => unless_gone(librqbit, self.dialer.dial(to)).await.map(Some),
        };
        let dialled = match dialled {
            Ok(dialled) => dialled,
            Err(error) => return socks::reply(librqbit, (&error).into()).await.and(Err(error)),
        };
        socks::reply(librqbit, socks::Outcome::Done).await?;
        let hello = handshake::hear(librqbit).await?;
        let info_hash = handshake::info_hash_of(&hello);
        let exchange = info_hash.and_then(|hash| self.exchange(hash));
        let exchange = exchange.ok_or_else(|| io::Error::other("nobody wants that torrent"))?;
        let greeted = info_hash.and_then(|hash| self.lobby.take(hash, to));
        let (line, answer, heard) = match (dialled, greeted) {
            (None, Some(greeted)) => {
                let answer = greeted.hello;
                let (line, heard) = greeted.into_parts();
                (line, answer, heard)
            }
            (Some(peer), _) => unless_gone(librqbit, greet(peer, &hello)).await?,
            (None, None) => {
                let peer = unless_gone(librqbit, self.dialer.dial(to)).await?;
                unless_gone(librqbit, greet(peer, &hello)).await?
            }
        };
        handshake::say(librqbit, &answer).await?;
        let road: Option<Box<dyn Road>> = Some(Box::new(self.dialer.clone()));
        Ok((exchange, Far { address: to, line, heard, hello, road }))
    }

    fn exchange(&self, info_hash: InfoHash) -> Option<Arc<Exchange>> {
        lock(&self.exchanges).get(&info_hash).cloned()
    }

    /// A liar in one torrent is not asked in another one either.
    fn is_banned_everywhere(&self, peer: SocketAddr) -> bool {
        lock(&self.exchanges).values().any(|exchange| exchange.is_banned(peer))
    }

    /// Nor let in.
    fn turns_away(&self, visitor: SocketAddr) -> bool {
        lock(&self.exchanges).values().any(|exchange| exchange.turns_away(visitor))
    }
}

/// Passes librqbit's handshake on, and brings the peer's.
async fn greet(mut peer: TcpStream, hello: &Hello) -> io::Result<(TcpStream, Hello, BytesMut)> {
    handshake::say(&mut peer, hello).await?;
    let answer = handshake::hear(&mut peer).await?;
    if handshake::info_hash_of(&answer) != handshake::info_hash_of(hello) {
        return Err(Reason::OtherTorrent.into());
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::{metainfo::tests::sample, settings::SwarmSettings};

    #[tokio::test]
    async fn a_torrent_that_is_taken_up_again_before_it_was_let_go_stays_up() {
        let limits = Limits { download: None, peer_exchange: true, visitors: 0 };
        let dialer = Dialer::new(&SwarmSettings::default());
        let broker = Broker::start(dialer, Lobby::default(), limits).await.unwrap();
        let dir = tempfile::tempdir().unwrap();
        let content = Arc::new(Content::open(dir.path(), Arc::new(sample(10, &[10], &[7; 10]))));
        let here = tokio::runtime::Handle::current();
        let open = || broker.open(content.clone(), Arc::default(), here.clone(), Arc::default());
        let (before, now) = (open(), open());
        drop(before);
        assert!(Arc::ptr_eq(&lock(&broker.floor.exchanges)[&now.info_hash], &now.exchange));
        drop(now);
        assert!(lock(&broker.floor.exchanges).is_empty());
    }
}
