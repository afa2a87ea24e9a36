//! A scripted peer: speaks the peer protocol over TCP as well, or as badly, as it is told, and changes on cue.
//!
//! It accepts connections, and makes those that it is told to. What it saw is counted; tests wait for counts, never for time.

mod connection;

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use socket2::{Domain, Socket, Type};
use tokio::{
    net::{TcpListener, TcpSocket},
    sync::watch,
};

use super::{Actor, Torrent, until};

/// How the peer behaves; [`Peer::set`] changes it for open connections too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Behaviour {
    /// Answers every request at once.
    Serve,
    /// Talks, has everything, and never unchokes.
    NeverUnchoke,
    /// After so many blocks in all: chokes once, forgets what was requested, and unchokes after the pause.
    ChokeAfter { blocks: usize, pause: Duration },
    /// After so many blocks in all: stays connected, and answers what is pending when told to serve again.
    StallAfter { blocks: usize },
    /// Chokes after every so many blocks, forgets what was requested, and unchokes at once.
    ChokeStorm { every: usize },
    /// Says a hundred times before every block what it said before: what it has, what nobody has, that it does not choke.
    Chatter,
    /// Sends every block with one bit flipped.
    Corrupt,
    /// Sends every block twice.
    Twice,
    /// Sends after every block three that nobody asked for, with wrong bytes: the same, one at an odd place, and one of a
    /// piece that does not exist.
    Unasked,
    /// Answers the last request first.
    Backwards,
    /// Sends before every block messages that nobody knows, and some of extensions that were not agreed on.
    Babble,
    /// Has every other piece at first, and one more with every block that it sends.
    Trickle,
    /// Announces a message of a megabyte after so many blocks on a connection, and begins it.
    Oversized { blocks: usize },
    /// Says that it has twice as many pieces as there are.
    WrongBitfield,
    /// Closes each connection after so many blocks on it.
    DisconnectAfter { blocks: usize },
    /// Sends at most this many bytes a second on each connection.
    Rate { bytes_per_second: u32 },
    /// Answers the handshake with another torrent's hash.
    WrongInfoHash,
    /// Accepts the connection and never says a word.
    SilentAccept,
    /// Answers the handshake and resets the connection.
    ResetAfterHandshake,
    /// Sends a piece of metadata before its extended handshake.
    MetadataBeforeHandshake,
    /// Says that the info dictionary is two gigabytes long.
    HugeMetadataSize,
    /// Answers no request for metadata until told to behave differently.
    WithholdMetadata,
    /// Says a hundred thousand times that it has something, most of which there is not.
    HaveFlood,
    /// Says kilobytes of nonsense after the handshakes.
    Nonsense,
    /// Begins a message of two gigabytes, and goes on with it.
    EndlessMessage,
    /// Sends eight wrong blocks that nobody asked for with each that was.
    WrongAhead,
    /// Answers with blocks of places that the piece does not have.
    BlocksOutside,
    /// One byte a second.
    ByteASecond,
    /// Names this address as a peer (BEP 11), over and over.
    Names(SocketAddr),
}

/// What the peer has seen, in all its connections.
#[derive(Debug, Clone, Default)]
pub struct Counts {
    pub connections: usize,
    /// Connections open now.
    pub open: usize,
    pub handshakes: usize,
    pub metadata_requests: usize,
    pub interested: usize,
    /// Blocks asked for.
    pub requests: usize,
    /// Blocks sent.
    pub blocks: usize,
    pub chokes: usize,
    /// Pieces asked for.
    pub pieces: BTreeSet<u32>,
    /// Who the others said they are: peer ids, and names in extended handshakes.
    pub callers: BTreeSet<Vec<u8>>,
    /// The extensions that they offered, in any hello.
    pub offers: BTreeSet<String>,
    /// Lists of peers that we were sent (BEP 11).
    pub exchanged: usize,
    /// Who was in them.
    pub named: BTreeSet<SocketAddr>,
    /// Where the others say that we are.
    pub our_ips: BTreeSet<IpAddr>,
}

/// A peer on loopback; ends when dropped.
pub struct Peer {
    addr: SocketAddr,
    shared: Arc<Shared>,
    actor: Option<Actor>,
    visits: Vec<Actor>,
    /// Keeps its port while nobody listens there, so that nobody else takes it.
    _port: Socket,
}

/// What the handle and the connections have in common.
struct Shared {
    torrent: Torrent,
    behaviour: watch::Sender<Behaviour>,
    counts: watch::Sender<Counts>,
}

impl Peer {
    /// A peer that has the whole torrent and serves it.
    pub async fn serving(torrent: &Torrent) -> Self {
        Self::start(torrent, Behaviour::Serve).await
    }

    pub async fn start(torrent: &Torrent, behaviour: Behaviour) -> Self {
        Self::start_at(torrent, behaviour, Ipv4Addr::LOCALHOST.into()).await
    }

    /// On an address of its own (`127.0.0.x`), for clients that count addresses.
    pub async fn start_at(torrent: &Torrent, behaviour: Behaviour, ip: IpAddr) -> Self {
        let shared = Shared {
            torrent: torrent.clone(),
            behaviour: watch::Sender::new(behaviour),
            counts: watch::Sender::default(),
        };
        let port = bound(SocketAddr::new(ip, 0));
        let addr = port.local_addr().unwrap().as_socket().unwrap();
        let mut peer = Self { addr, shared: Arc::new(shared), actor: None, visits: Vec::new(), _port: port };
        peer.resume().await;
        peer
    }

    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Behaves differently from now on.
    pub fn set(&self, behaviour: Behaviour) {
        self.shared.behaviour.send_replace(behaviour);
    }

    pub fn counts(&self) -> Counts {
        self.shared.counts.borrow().clone()
    }

    /// Waits until what the peer has seen satisfies `condition`.
    pub async fn wait_for(&self, what: &str, mut condition: impl FnMut(&Counts) -> bool) -> Counts {
        until(&self.shared.counts, what, |counts| condition(counts)).await
    }

    /// Dials somebody, from its own address; from which port.
    pub async fn visit(&mut self, to: SocketAddr) -> SocketAddr {
        let socket = if to.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }.unwrap();
        socket.bind(SocketAddr::new(self.addr.ip(), 0)).unwrap();
        let stream = socket.connect(to).await.unwrap();
        let (from, counted) = (stream.local_addr().unwrap(), Open::count(self.shared.clone()));
        let stream = stream.into_std().unwrap();
        self.visits.push(Actor::spawn(async move {
            let stream = tokio::net::TcpStream::from_std(stream).unwrap();
            // However it ends is the other side's business.
            let _ = connection::visit(stream, &counted.0).await;
        }));
        from
    }

    /// Goes away: the port refuses, every connection closes.
    pub async fn stop(&mut self) {
        if let Some(actor) = self.actor.take() {
            actor.end().await;
        }
        self.visits.clear();
        self.wait_for("the connections of a stopped peer to close", |counts| counts.open == 0).await;
    }

    /// Comes back on the same port.
    pub async fn resume(&mut self) {
        let listener = bound(self.addr);
        listener.listen(1024).unwrap();
        listener.set_nonblocking(true).unwrap();
        let (listener, shared) = (std::net::TcpListener::from(listener), self.shared.clone());
        self.actor = Some(Actor::spawn(async move { accept(listener, shared).await }));
    }
}

/// A socket at this address, beside others of ours; whoever asks for any free port gets another one.
fn bound(addr: SocketAddr) -> Socket {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, None).unwrap();
    socket.set_reuse_port(true).unwrap();
    socket.bind(&addr.into()).unwrap();
    socket
}

async fn accept(listener: std::net::TcpListener, shared: Arc<Shared>) {
    let listener = TcpListener::from_std(listener).unwrap();
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let counted = Open::count(shared.clone());
        connections.spawn(async move {
            // However a connection ends is the other side's business; what it did is in the counts.
            let _ = connection::serve(stream, &counted.0).await;
        });
    }
}

/// Keeps the number of open connections right however a connection ends.
struct Open(Arc<Shared>);

impl Open {
    fn count(shared: Arc<Shared>) -> Self {
        shared.counts.send_modify(|counts| {
            counts.connections += 1;
            counts.open += 1;
        });
        Self(shared)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.counts.send_modify(|counts| counts.open -= 1);
    }
}
