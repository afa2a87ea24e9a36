//! librqbit's session on a thread and a current-thread runtime of its own; its torrents have [their own](super::threads).
//!
//! On a multi-thread runtime librqbit wraps every block in `block_in_place`, which costs about 40 % of the CPU; it looks
//! at the runtime's kind once, when the session is made. What it spawns stays on the thread that it was called on.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::Arc,
    thread::JoinHandle,
    time::Duration,
};

use librqbit::{
    ConnectionOptions, DhtSessionConfig, ListenerOptions, PeerConnectionOptions, Session, SessionOptions,
    SessionPersistenceConfig, dht::DhtPersistenceConfig, limits::LimitsConfig,
};
use librqbit_core::Id20;
use librqbit_dualstack_sockets::BindDevice;
use librqbit_lsd::{LocalServiceDiscovery, LocalServiceDiscoveryOptions};
use tokio::{runtime::Handle, sync::oneshot};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    broker::{Broker, Door, Limits},
    client_name,
    dialer::Dialer,
    lobby::Lobby,
    search::Searcher,
    threads::Threads,
    trackers::Announcer,
};
use crate::core::{
    Error,
    janitor::SessionDir,
    settings::{Settings, SwarmSettings},
};

/// Well-known nodes; librqbit's own list has two.
const DHT_BOOTSTRAP: [&str; 5] = [
    "dht.transmissionbt.com:6881",
    "dht.libtorrent.org:25401",
    "router.bittorrent.com:6881",
    "router.utorrent.com:6881",
    "dht.aelitis.com:6881",
];
/// librqbit never writes its nodes at exit; a run shorter than this does not save any.
const DHT_DUMP_INTERVAL: Duration = Duration::from_secs(10);
/// librqbit leaves a peer that says nothing for this long. Longer, and one that dropped our requests when it choked us
/// is dead weight; shorter, and ordinary chokes cost the connection.
const PEER_READ_TIMEOUT: Duration = Duration::from_secs(15);
const PEER_CONNECT_TIMEOUT: Duration = Duration::from_secs(4);
/// Permits that streams and adds take; on a current-thread runtime nothing else does, so many cost nothing.
const PERMITS: usize = 1024;
/// Torrents that librqbit looks at on disk at a time: no bound, since the number of torrents has one, and one whose disk
/// stands still must not keep a place from another.
const INITIALIZED: usize = 1 << 16;
/// What keepers get to take their torrents out in; they need a millisecond.
const FAREWELL: Duration = Duration::from_millis(500);

/// What the swarm has brought and taken.
#[derive(Debug, Clone, Copy)]
pub struct Traffic {
    /// Bytes from peers.
    pub received: u64,
    /// Bytes to peers.
    pub given: u64,
    /// DHT nodes in the routing table; `None` when the DHT is off.
    pub dht_nodes: Option<usize>,
    /// Tasks that the runtimes of the session and its torrents have.
    pub tasks: usize,
}

/// The running session.
pub struct SwarmSession {
    /// librqbit.
    pub session: Arc<Session>,
    /// Where its tasks run.
    pub runtime: Handle,
    /// Finds peers.
    pub searcher: Searcher,
    /// Between librqbit and every peer.
    pub(super) broker: Arc<Broker>,
    /// Where its torrents run.
    pub(super) threads: Threads,
    dir: SessionDir,
    dht_file: Option<PathBuf>,
    /// Whether librqbit may hear of peers from trackers.
    pub(super) relays: bool,
    /// Ends everything.
    pub(super) stop: CancellationToken,
    /// What has something to put away before the end.
    pub(super) tasks: TaskTracker,
    thread: Option<JoinHandle<()>>,
}

impl SwarmSession {
    /// Starts it; `dir` is this process's own.
    pub async fn start(settings: &Settings, dir: SessionDir) -> Result<Self, Error> {
        let dht_file = uses_dht(&settings.swarm).then(|| settings.state_dir.join("dht.json"));
        if let Some(kept) = &dht_file {
            // A table that is missing or unreadable costs a slower start, nothing else.
            let _ = std::fs::copy(kept, own_dht_file(dir.path()));
        }
        let stop = CancellationToken::new();
        let (ready, started) = oneshot::channel();
        let tasks = TaskTracker::new();
        let boot = Boot {
            settings: settings.clone(),
            dir: dir.path().to_owned(),
            stop: stop.clone(),
            tasks: tasks.clone(),
        };
        let thread = std::thread::Builder::new()
            .name("swarm".into())
            .spawn(move || run(boot, ready))
            .map_err(|error| Error::Internal(format!("cannot start a thread: {error}")))?;
        let Running { session, runtime, searcher, broker } =
            started.await.map_err(|_| Error::Internal("the swarm's thread ended early".into()))??;
        let relays = settings.swarm.use_trackers;
        Ok(SwarmSession {
            session,
            runtime,
            searcher,
            broker,
            threads: Threads::default(),
            dir,
            dht_file,
            relays,
            stop,
            tasks,
            thread: Some(thread),
        })
    }

    /// What came and went so far.
    pub fn traffic(&self) -> Traffic {
        let counters = self.session.stats_snapshot().counters;
        let nodes = self.searcher.dht.as_ref().map(|dht| dht.stats());
        Traffic {
            received: self.broker.received(counters.fetched_bytes),
            given: counters.uploaded_bytes,
            dht_nodes: nodes.map(|nodes| nodes.routing_table_size + nodes.routing_table_size_v6),
            tasks: self.runtime.metrics().num_alive_tasks() + self.threads.tasks(),
        }
    }

    /// Where librqbit looks for a torrent's bit field when it is added.
    pub(super) fn bitfield_file(&self, info_hash: &str) -> PathBuf {
        self.dir.path().join(format!("{info_hash}.bitv"))
    }
}

impl Drop for SwarmSession {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        if let Some(kept) = &self.dht_file
            && let Err(error) = hand_back(&own_dht_file(self.dir.path()), kept)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::debug!("the DHT's nodes were not kept: {error}");
        }
    }
}

/// Another process may do the same at the same time: the last one wins, and every reader sees a whole file.
fn hand_back(own: &Path, kept: &Path) -> io::Result<()> {
    let temporary = kept.with_extension(format!("tmp-{}", std::process::id()));
    std::fs::copy(own, &temporary)?;
    std::fs::rename(temporary, kept)
}

fn own_dht_file(dir: &Path) -> PathBuf {
    dir.join("dht.json")
}

struct Boot {
    settings: Settings,
    dir: PathBuf,
    stop: CancellationToken,
    tasks: TaskTracker,
}

struct Running {
    session: Arc<Session>,
    runtime: Handle,
    searcher: Searcher,
    broker: Arc<Broker>,
}

type Started = Result<Running, Error>;

fn run(boot: Boot, ready: oneshot::Sender<Started>) {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            let _ = ready.send(Err(Error::Internal(format!("cannot start a runtime: {error}"))));
            return;
        }
    };
    let (stop, tasks) = (boot.stop.clone(), boot.tasks.clone());
    runtime.block_on(async {
        match boot.start().await {
            Ok(running) => {
                let _ = ready.send(Ok(running));
                stop.cancelled().await;
                tasks.close();
                let _ = tokio::time::timeout(FAREWELL, tasks.wait()).await;
            }
            Err(error) => drop(ready.send(Err(error))),
        }
    });
    runtime.shutdown_background();
}

impl Boot {
    async fn start(self) -> Started {
        let swarm = &self.settings.swarm;
        let peer_id = super::peer_id(swarm);
        let dialer = Dialer::new(swarm);
        let lobby = Lobby::default();
        let limits = Limits {
            download: swarm.download_limit,
            peer_exchange: uses_peer_exchange(swarm),
            // The other places are for those that we dial.
            visitors: swarm.peer_limit.div_ceil(2),
        };
        let mut broker = Broker::start(dialer.clone(), lobby.clone(), limits)
            .await
            .map_err(|error| Error::Internal(format!("cannot listen on loopback: {error}")))?;
        let cannot_start = |error: anyhow::Error| {
            Error::Internal(format!("cannot start the swarm: {error:#}{}", hint(&error)))
        };
        let door = listens(swarm).then(|| Door::open(swarm, peer_id)).transpose().map_err(cannot_start)?;
        let options = self.options(peer_id, &broker, door.as_ref().map(Door::port));
        let session = Session::new_with_opts(self.dir.clone(), options).await.map_err(cannot_start)?;
        if let (Some(door), Some(address)) = (door, session.listen_addr()) {
            broker.let_in(door, address);
        }
        let port = session.announce_port().unwrap_or(DISCARD_PORT);
        let announcer = Announcer::new(swarm, peer_id, port)
            .map_err(|error| Error::Internal(format!("cannot make an HTTP client: {error}")))?;
        let searcher = Searcher {
            dialer,
            lobby,
            announcer,
            dht: session.get_dht().cloned(),
            lsd: self.local_discovery().await,
            port: session.announce_port(),
            peer_id,
            peer_exchange: uses_peer_exchange(swarm),
            waits: self.settings.waits,
        };
        Ok(Running { session, runtime: Handle::current(), searcher, broker: Arc::new(broker) })
    }

    /// Our own beside librqbit's, which speaks up only once a torrent is added.
    async fn local_discovery(&self) -> Option<LocalServiceDiscovery> {
        let swarm = &self.settings.swarm;
        if !uses_lsd(swarm) {
            return None;
        }
        let start = async {
            let device = swarm.bind_device.as_deref().map(BindDevice::new_from_name).transpose()?;
            LocalServiceDiscovery::new(LocalServiceDiscoveryOptions {
                cancel_token: self.stop.child_token(),
                cookie: None,
                bind_device: device.as_ref(),
            })
            .await
        };
        let started = start.await;
        started.inspect_err(|error| tracing::warn!("no local service discovery: {error:#}")).ok()
    }

    /// `port`: where peers come in, if anywhere.
    fn options(&self, peer_id: Id20, broker: &Broker, port: Option<u16>) -> SessionOptions {
        let swarm = &self.settings.swarm;
        SessionOptions {
            dht: uses_dht(swarm).then(|| self.dht()),
            bind_device_name: swarm.bind_device.clone(),
            disable_trackers: !swarm.use_trackers,
            fastresume: true,
            persistence: Some(SessionPersistenceConfig::Json { folder: Some(self.dir.clone()) }),
            peer_id: Some(peer_id),
            listen: port.map(behind),
            connect: Some(ConnectionOptions {
                proxy_url: Some(broker.url.clone()),
                enable_tcp: true,
                peer_opts: Some(peer_options()),
            }),
            cancellation_token: Some(self.stop.child_token()),
            runtime_worker_threads: Some(PERMITS),
            concurrent_init_limit: Some(INITIALIZED),
            ratelimits: LimitsConfig { upload_bps: swarm.upload_limit, download_bps: swarm.download_limit },
            peer_limit: Some(swarm.peer_limit.min(swarm.peers_in_all)),
            disable_upload: !swarm.upload,
            disable_local_service_discovery: !uses_lsd(swarm),
            ipv4_only: swarm.ipv4_only,
            client_name_and_version: Some(client_name(swarm).into()),
            ..SessionOptions::default()
        }
    }

    fn dht(&self) -> DhtSessionConfig {
        let swarm = &self.settings.swarm;
        let bootstrap = match swarm.dht_bootstrap.as_slice() {
            [] => DHT_BOOTSTRAP.map(str::to_owned).to_vec(),
            own => own.to_vec(),
        };
        DhtSessionConfig {
            bootstrap_addrs: Some(bootstrap),
            // A kept port would be shared with another process, and one of the two would hear nothing.
            port: Some(0),
            persistence: Some(DhtPersistenceConfig {
                dump_interval: Some(DHT_DUMP_INTERVAL),
                config_filename: Some(own_dht_file(&self.dir)),
            }),
        }
    }
}

/// Whoever wants no name wants to be named to nobody.
fn uses_peer_exchange(swarm: &SwarmSettings) -> bool {
    !swarm.anonymous
}

/// Port 9 is "discard" (RFC 863): what a tracker is told when nobody can dial us.
const DISCARD_PORT: u16 = 9;

/// The DHT is UDP and would bypass a proxy.
fn uses_dht(swarm: &SwarmSettings) -> bool {
    swarm.dht && swarm.proxy.is_none()
}

/// So is local service discovery.
fn uses_lsd(swarm: &SwarmSettings) -> bool {
    swarm.lsd && swarm.proxy.is_none()
}

/// Nobody can dial through a proxy, and who wants no name waits for nobody. Bound to a device, librqbit cannot be led
/// to over loopback.
fn listens(swarm: &SwarmSettings) -> bool {
    swarm.proxy.is_none() && swarm.bind_device.is_none() && uses_peer_exchange(swarm)
}

/// librqbit's own port, behind the one that it announces.
fn behind(port: u16) -> ListenerOptions {
    ListenerOptions {
        listen_addr: SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 0),
        ipv4_only: true,
        announce_port: Some(port),
        ..ListenerOptions::default()
    }
}

fn peer_options() -> PeerConnectionOptions {
    PeerConnectionOptions {
        connect_timeout: Some(PEER_CONNECT_TIMEOUT),
        read_write_timeout: Some(PEER_READ_TIMEOUT),
        ..PeerConnectionOptions::default()
    }
}

fn hint(error: &anyhow::Error) -> &'static str {
    let text = format!("{error:#}");
    if text.contains("CA certificates") {
        " (install the package ca-certificates)"
    } else if text.contains("Address already in use") {
        " (is another process using --listen-port?)"
    } else {
        ""
    }
}
