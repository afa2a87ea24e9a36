//! The one place that opens TCP connections to peers: directly or through the user's proxy, bound to the user's device,
//! and only to addresses within [`Reach`]. It has a place for each peer, of all torrents.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    net::{TcpSocket, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
};
use tokio_socks::tcp::Socks5Stream;
use url::Url;

use crate::core::{reach::Reach, settings::SwarmSettings};

/// A live peer answers within a round trip; the rest of a stale list must not hold up the queue.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(4);

/// Dials peers.
#[derive(Debug, Clone)]
pub struct Dialer {
    proxy: Option<Url>,
    device: Option<String>,
    ipv4_only: bool,
    reach: Reach,
    places: Arc<Semaphore>,
}

/// A peer's place, until it is dropped.
pub type Place = OwnedSemaphorePermit;

impl Dialer {
    /// As the settings say.
    pub fn new(settings: &SwarmSettings) -> Self {
        Dialer {
            proxy: settings.proxy.clone(),
            device: settings.bind_device.clone(),
            ipv4_only: settings.ipv4_only,
            reach: Reach::new(settings),
            places: Arc::new(Semaphore::new(settings.peers_in_all.min(Semaphore::MAX_PERMITS))),
        }
    }

    /// A place for one more peer, whoever dials whom; `None` where all are taken.
    pub fn place(&self) -> Option<Place> {
        self.places.clone().try_acquire_owned().ok()
    }

    /// Whether a peer may be dialled at all.
    pub fn may_dial(&self, peer: SocketAddr) -> bool {
        self.reach.peer(peer)
    }

    /// Whether names of peers may be looked up: around a proxy, who is asked would learn who is about to be dialled.
    pub fn may_look_up(&self) -> bool {
        self.proxy.is_none()
    }

    /// Connects, within four seconds, without Nagle's delay.
    pub async fn dial(&self, peer: SocketAddr) -> io::Result<TcpStream> {
        if self.ipv4_only && peer.is_ipv6() {
            return Err(io::Error::new(io::ErrorKind::Unsupported, "IPv6 is off"));
        }
        if !self.may_dial(peer) {
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, "it is in a private network"));
        }
        let connecting = async {
            match &self.proxy {
                Some(proxy) => through(proxy, peer).await,
                None => self.direct(peer).await,
            }
        };
        let stream = tokio::time::timeout(CONNECT_TIMEOUT, connecting)
            .await
            .map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "no answer"))??;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    async fn direct(&self, peer: SocketAddr) -> io::Result<TcpStream> {
        let socket = if peer.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        if let Some(device) = &self.device {
            socket.bind_device(Some(device.as_bytes()))?;
        }
        socket.connect(peer).await
    }
}

async fn through(proxy: &Url, peer: SocketAddr) -> io::Result<TcpStream> {
    let host = proxy.host_str().unwrap_or_default();
    let address = (host, proxy.port().unwrap_or(1080));
    let stream = match proxy.password() {
        Some(password) => {
            Socks5Stream::connect_with_password(address, peer, proxy.username(), password).await
        }
        None => Socks5Stream::connect(address, peer).await,
    };
    stream.map(Socks5Stream::into_inner).map_err(|error| match error {
        tokio_socks::Error::Io(error) => error,
        tokio_socks::Error::HostUnreachable | tokio_socks::Error::NetworkUnreachable => {
            io::Error::new(io::ErrorKind::TimedOut, "the proxy cannot reach it")
        }
        tokio_socks::Error::ConnectionRefused => io::ErrorKind::ConnectionRefused.into(),
        other => io::Error::other(format!("proxy: {other}")),
    })
}
