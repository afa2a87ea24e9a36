//! A tracker on loopback that names librqbit the peers that we were named.
//!
//! librqbit takes peers after a torrent's start from trackers only, and reads a tracker's answer without a bound, so that
//! a hostile one fills the memory. With this one between, it hears of the same peers through answers of ours. Only it
//! knows the path; whoever else asks gets nothing.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::timeout,
};
use tokio_util::task::AbortOnDropHandle;
use url::Url;

use super::{
    MOST_NAMED, accept,
    broker::{Broker, Tunnel},
};
use crate::core::sync::{Mutex, lock};

/// librqbit sends one short request and waits for the answer.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(2);
/// An announce is a few hundred bytes.
const MAX_REQUEST: usize = 8 * 1024;

/// Peers that trackers named, each once, in order.
#[derive(Debug, Default)]
pub(super) struct NamedPeers(Mutex<Vec<SocketAddr>>);

impl NamedPeers {
    /// Takes in what is new.
    pub(super) fn learn(&self, peers: impl IntoIterator<Item = SocketAddr>) {
        let mut known = lock(&self.0);
        for peer in peers {
            if known.len() < MOST_NAMED && !known.contains(&peer) {
                known.push(peer);
            }
        }
    }

    /// All of them.
    pub(super) fn all(&self) -> Vec<SocketAddr> {
        lock(&self.0).clone()
    }
}

/// The tracker; gone when dropped.
pub(super) struct Relay {
    /// Where librqbit announces to.
    pub(super) url: Url,
    _server: AbortOnDropHandle<()>,
    _tunnel: Tunnel,
}

impl Relay {
    /// Starts to name `peers`.
    pub(super) async fn start(peers: Arc<NamedPeers>, broker: &Broker) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let secret = data_encoding::HEXLOWER.encode(&rand::random::<[u8; 16]>());
        let url = format!("http://{}/{secret}/announce", listener.local_addr()?);
        let url = Url::parse(&url).map_err(io::Error::other)?;
        let path = url.path().to_owned();
        let tunnel = broker.tunnel(listener.local_addr()?);
        let server = tokio::spawn(async move {
            loop {
                let (stream, _) = accept::next(|| listener.accept()).await;
                let _ = timeout(REQUEST_TIMEOUT, answer(stream, &path, &peers)).await;
            }
        });
        Ok(Relay { url, _server: AbortOnDropHandle::new(server), _tunnel: tunnel })
    }
}

async fn answer(mut stream: TcpStream, path: &str, peers: &NamedPeers) -> io::Result<()> {
    let mut request = Vec::new();
    while !request.windows(4).any(|end| end == b"\r\n\r\n") {
        if request.len() > MAX_REQUEST || stream.read_buf(&mut request).await? == 0 {
            return Ok(());
        }
    }
    if !request.starts_with(format!("GET {path}?").as_bytes()) {
        return stream
            .write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            .await;
    }
    let body = announce_answer(&peers.all());
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    stream.write_all(&[head.as_bytes(), &body].concat()).await
}

/// Compact peers (BEP 23, BEP 7).
fn announce_answer(peers: &[SocketAddr]) -> Vec<u8> {
    let (mut v4, mut v6) = (Vec::new(), Vec::new());
    for peer in peers {
        let port = peer.port().to_be_bytes();
        match peer {
            SocketAddr::V4(peer) => v4.extend_from_slice(&[&peer.ip().octets()[..], &port].concat()),
            SocketAddr::V6(peer) => v6.extend_from_slice(&[&peer.ip().octets()[..], &port].concat()),
        }
    }
    let mut body = format!("d8:intervali1800e5:peers{}:", v4.len()).into_bytes();
    body.extend_from_slice(&v4);
    body.extend_from_slice(format!("6:peers6{}:", v6.len()).as_bytes());
    body.extend_from_slice(&v6);
    body.push(b'e');
    body
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::{
        settings::SwarmSettings,
        swarm::{broker::Limits, dialer::Dialer, lobby::Lobby},
    };

    async fn ask(url: &Url, path: &str) -> Vec<u8> {
        let address = (url.host_str().unwrap(), url.port().unwrap());
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn who_knows_the_path_hears_of_every_peer_once() {
        let peers = Arc::new(NamedPeers::default());
        let limits = Limits { download: None, peer_exchange: true, visitors: 0 };
        let dialer = Dialer::new(&SwarmSettings::default());
        let broker = Broker::start(dialer, Lobby::default(), limits).await.unwrap();
        let relay = Relay::start(peers.clone(), &broker).await.unwrap();
        let named: Vec<SocketAddr> = vec!["127.0.0.2:6881".parse().unwrap(), "[::2]:7".parse().unwrap()];
        peers.learn(named.clone());
        peers.learn(named);
        let answer = ask(&relay.url, &format!("{}?info_hash=x", relay.url.path())).await;
        let body = b"d8:intervali1800e5:peers6:\x7f\0\0\x02\x1a\xe16:peers618:\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x02\0\x07e";
        assert!(answer.ends_with(body), "{}", String::from_utf8_lossy(&answer));
        assert!(ask(&relay.url, "/announce?info_hash=x").await.starts_with(b"HTTP/1.1 404"));
    }
}
