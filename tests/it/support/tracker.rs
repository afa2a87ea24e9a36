//! Trackers over HTTP and UDP that answer as they are told, and remember who announced what.

use std::{
    net::{SocketAddr, SocketAddrV4},
    sync::{Arc, Mutex},
};

use tokio::{net::UdpSocket, sync::watch};

use super::{
    Actor,
    bencode::Value,
    until,
    web::{Reply, Request, WebServer},
};

/// What a tracker says to an announce.
#[derive(Debug, Clone)]
pub enum Answer {
    /// These peers.
    Peers(Vec<SocketAddr>),
    /// Nobody, and by no means to be asked again for half an hour.
    Later,
    /// A failure with this reason.
    Failure(String),
    /// HTTP 500.
    ServerError,
    /// Bytes that are no bencode.
    Garbage,
    /// These peers, one byte a second.
    Trickle(Vec<SocketAddr>),
    /// A body of a gigabyte.
    Flood,
    /// A redirect to this URL.
    Redirect(String),
    /// Nothing at all; the connection stays open.
    Silence,
}

impl Answer {
    /// A tracker that works and knows nobody.
    pub fn empty() -> Self {
        Answer::Peers(Vec::new())
    }
}

/// What a client told the tracker.
#[derive(Debug, Clone)]
pub struct Announce {
    pub info_hash: Vec<u8>,
    pub peer_id: Vec<u8>,
    pub port: u16,
    pub left: u64,
}

/// An HTTP tracker; ends when dropped.
pub struct HttpTracker {
    server: WebServer,
    announces: watch::Sender<Vec<Announce>>,
    answer: Arc<Mutex<Answer>>,
}

impl HttpTracker {
    pub async fn start(answer: Answer) -> Self {
        let answer = Arc::new(Mutex::new(answer));
        let announces = watch::Sender::new(Vec::new());
        let (current, seen) = (answer.clone(), announces.clone());
        let server = WebServer::start(move |request| {
            let reply = http_reply(&current.lock().unwrap());
            // Whoever waits for an announce may change the answer: this one's is settled.
            seen.send_modify(|seen| seen.extend(announce_of(request)));
            reply
        });
        Self { server: server.await, announces, answer }
    }

    /// The requests themselves.
    pub fn requests(&self) -> Vec<Request> {
        self.server.requests()
    }

    pub fn url(&self) -> String {
        self.server.url("announce")
    }

    pub fn addr(&self) -> SocketAddr {
        self.server.addr()
    }

    /// Answers differently from now on.
    pub fn set(&self, answer: Answer) {
        *self.answer.lock().unwrap() = answer;
    }

    /// Waits until so many announces were answered with a flood that has ended; how many bytes were taken of each.
    pub async fn wait_for_floods(&self, count: usize) -> Vec<usize> {
        self.server.wait_for_floods(count).await
    }

    pub fn announces(&self) -> Vec<Announce> {
        self.announces.borrow().clone()
    }

    pub async fn wait_for_announces(&self, count: usize) -> Vec<Announce> {
        until(&self.announces, &format!("{count} HTTP announces"), |seen| seen.len() >= count).await
    }
}

fn announce_of(request: &Request) -> Option<Announce> {
    let number = |name| String::from_utf8(request.parameter(name)?).ok()?.parse::<u64>().ok();
    Some(Announce {
        info_hash: request.parameter("info_hash")?,
        peer_id: request.parameter("peer_id")?,
        port: number("port")? as u16,
        left: number("left").unwrap_or(0),
    })
}

fn http_reply(answer: &Answer) -> Reply {
    match answer {
        Answer::Peers(peers) => Reply::Body(peer_list(peers)),
        Answer::Later => {
            let fields = [("interval", Value::Int(1800)), ("min interval", Value::Int(1800))];
            Reply::Body(Value::dict(fields.into_iter().chain([("peers", Value::Bytes(Vec::new()))])).encode())
        }
        Answer::Failure(reason) => {
            Reply::Body(Value::dict([("failure reason", reason.as_str().into())]).encode())
        }
        Answer::ServerError => Reply::Status(500),
        Answer::Garbage => Reply::Body(b"d8:intervali-1e5:peers999999999999:<html>".to_vec()),
        Answer::Trickle(peers) => Reply::Trickle(peer_list(peers)),
        Answer::Flood => Reply::Flood,
        Answer::Redirect(url) => Reply::Redirect(url.clone()),
        Answer::Silence => Reply::Silence,
    }
}

fn peer_list(peers: &[SocketAddr]) -> Vec<u8> {
    Value::dict([("interval", Value::Int(5)), ("peers", Value::Bytes(compact(peers)))]).encode()
}

/// Six bytes a peer: address and port in network order.
pub fn compact(peers: &[SocketAddr]) -> Vec<u8> {
    peers.iter().flat_map(|peer| compact_one(*peer)).collect()
}

pub fn compact_one(addr: SocketAddr) -> [u8; 6] {
    let SocketAddr::V4(v4) = addr else { panic!("the testbed is IPv4 only, not {addr}") };
    let [a, b, c, d] = SocketAddrV4::ip(&v4).octets();
    let [high, low] = v4.port().to_be_bytes();
    [a, b, c, d, high, low]
}

/// A UDP tracker (BEP 15); answers with peers, with a failure, or with nothing. Ends when dropped.
pub struct UdpTracker {
    addr: SocketAddr,
    announces: watch::Sender<Vec<Announce>>,
    _actor: Actor,
}

impl UdpTracker {
    pub async fn start(answer: Answer) -> Self {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_nonblocking(true).unwrap();
        let addr = socket.local_addr().unwrap();
        let announces = watch::Sender::new(Vec::new());
        let seen = announces.clone();
        let actor = Actor::spawn(async move { answer_datagrams(socket, answer, seen).await });
        Self { addr, announces, _actor: actor }
    }

    pub fn url(&self) -> String {
        format!("udp://{}/announce", self.addr)
    }

    pub fn announces(&self) -> Vec<Announce> {
        self.announces.borrow().clone()
    }

    pub async fn wait_for_announces(&self, count: usize) -> Vec<Announce> {
        until(&self.announces, &format!("{count} UDP announces"), |seen| seen.len() >= count).await
    }
}

async fn answer_datagrams(socket: std::net::UdpSocket, answer: Answer, seen: watch::Sender<Vec<Announce>>) {
    let socket = UdpSocket::from_std(socket).unwrap();
    let mut datagram = [0; 2048];
    while let Ok((len, from)) = socket.recv_from(&mut datagram).await {
        if let Some(reply) = udp_reply(&datagram[..len], &answer, &seen) {
            let _ = socket.send_to(&reply, from).await;
        }
    }
}

/// Requests carry: connection id (8 bytes), action (4), transaction id (4), then the action's own fields.
fn udp_reply(request: &[u8], answer: &Answer, seen: &watch::Sender<Vec<Announce>>) -> Option<Vec<u8>> {
    const CONNECTION: [u8; 8] = *b"testbed!";
    let action = u32::from_be_bytes(request.get(8..12)?.try_into().ok()?);
    let transaction = request.get(12..16)?;
    if matches!(answer, Answer::Silence) {
        return None;
    }
    match action {
        0 => Some([&0u32.to_be_bytes(), transaction, &CONNECTION].concat()),
        1 => {
            seen.send_modify(|seen| seen.extend(udp_announce(request)));
            Some(match answer {
                Answer::Peers(peers) => {
                    let header = [1800u32, 0, peers.len() as u32].map(u32::to_be_bytes).concat();
                    [&1u32.to_be_bytes(), transaction, &header, &compact(peers)].concat()
                }
                other => [&3u32.to_be_bytes(), transaction, format!("{other:?}").as_bytes()].concat(),
            })
        }
        _ => None,
    }
}

fn udp_announce(request: &[u8]) -> Option<Announce> {
    Some(Announce {
        info_hash: request.get(16..36)?.to_vec(),
        peer_id: request.get(36..56)?.to_vec(),
        left: u64::from_be_bytes(request.get(64..72)?.try_into().ok()?),
        port: u16::from_be_bytes(request.get(96..98)?.try_into().ok()?),
    })
}
