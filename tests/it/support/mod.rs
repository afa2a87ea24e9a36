//! The testbed: a whole BitTorrent world on loopback, and the program under test inside it.
//!
//! Everything binds port 0 and tells its address; nothing here reaches outside the machine. Actors (peers,
//! trackers, DHT nodes, web servers) live on one runtime of their own, so that a test that blocks does not
//! stop the world around it; each ends when its handle is dropped.

pub mod aria2;
pub mod bencode;
pub mod chromium;
pub mod dht;
pub mod libtorrent;
pub mod peer;
pub mod process;
pub mod proxy;
pub mod row;
pub mod seeder;
pub mod serve;
pub mod swarmcat;
pub mod torrent;
pub mod tracker;
pub mod transmission;
pub mod viewer;
pub mod visit;
pub mod web;

use std::{future::Future, net::SocketAddr, sync::LazyLock, time::Duration};

use tokio::{
    runtime::{Builder, Runtime},
    sync::watch,
    task::JoinHandle,
};

pub use self::{
    aria2::Aria2,
    chromium::{Chromium, Page},
    dht::DhtNode,
    libtorrent::Libtorrent,
    peer::{Behaviour, Peer},
    proxy::SocksProxy,
    row::{Figures, Row},
    seeder::Seeder,
    serve::Serve,
    swarmcat::{Run, Sandbox, Signal, Stdout},
    torrent::{KIB, MIB, Torrent},
    tracker::{Answer, HttpTracker, UdpTracker},
    transmission::Transmission,
    visit::Visit,
    web::WebServer,
};

/// The last resort against a hang; no test is meant to come near it.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Where the actors live.
pub static WORLD: LazyLock<Runtime> = LazyLock::new(|| {
    Builder::new_multi_thread().worker_threads(2).thread_name("testbed").enable_all().build().unwrap()
});

/// A task of the testbed; dropping it ends it.
pub struct Actor(JoinHandle<()>);

impl Actor {
    pub fn spawn(task: impl Future<Output = ()> + Send + 'static) -> Self {
        Self(WORLD.spawn(task))
    }

    /// Ends it, and returns once everything it held is let go.
    pub async fn end(mut self) {
        self.0.abort();
        let _ = (&mut self.0).await;
    }
}

impl Drop for Actor {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Waits until what is watched satisfies `condition`; fails with what was being waited for.
pub async fn until<T: Clone + std::fmt::Debug>(
    watched: &watch::Sender<T>,
    what: &str,
    condition: impl FnMut(&T) -> bool,
) -> T {
    let mut receiver = watched.subscribe();
    match tokio::time::timeout(PATIENCE, receiver.wait_for(condition)).await {
        Ok(Ok(value)) => value.clone(),
        _ => panic!("waited {PATIENCE:?} in vain for {what}; last seen: {:?}", watched.borrow()),
    }
}

/// A port that refuses connections, and that nobody else can take while this lives.
pub struct ClosedPort {
    addr: SocketAddr,
    _bound: socket2::Socket,
}

impl ClosedPort {
    pub fn reserve() -> Self {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        let addr = socket.local_addr().unwrap().as_socket().unwrap();
        Self { addr, _bound: socket }
    }

    pub fn addr(&self) -> SocketAddr {
        self.addr
    }
}
