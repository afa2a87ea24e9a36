//! A DHT of one node (BEP 5): answers every query, names itself as the closest node, and knows the peers it was told.

use std::{collections::HashMap, net::SocketAddr, sync::Arc};

use tokio::{net::UdpSocket, sync::watch};

use super::{Actor, bencode::Value, tracker::compact_one, until};

/// Queries answered so far, by name.
pub type Queries = HashMap<String, usize>;

/// A DHT node on loopback; ends when dropped.
pub struct DhtNode {
    addr: SocketAddr,
    queries: watch::Sender<Queries>,
    _actor: Actor,
}

struct Node {
    id: [u8; 20],
    addr: SocketAddr,
    peers: HashMap<[u8; 20], Vec<SocketAddr>>,
    queries: watch::Sender<Queries>,
}

impl DhtNode {
    /// A node that knows these peers, by info hash.
    pub async fn start(peers: impl IntoIterator<Item = ([u8; 20], Vec<SocketAddr>)>) -> Self {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_nonblocking(true).unwrap();
        let addr = socket.local_addr().unwrap();
        let queries = watch::Sender::new(Queries::new());
        let node =
            Node { id: rand::random(), addr, peers: peers.into_iter().collect(), queries: queries.clone() };
        let actor = Actor::spawn(async move { answer_datagrams(socket, Arc::new(node)).await });
        Self { addr, queries, _actor: actor }
    }

    /// What `--dht-bootstrap` wants.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Queries answered so far.
    pub fn queries(&self) -> Queries {
        self.queries.borrow().clone()
    }

    /// Waits until the query `name` (`find_node`, `get_peers`, …) was answered.
    pub async fn wait_for(&self, name: &str) {
        until(&self.queries, &format!("a DHT query {name}"), |seen| seen.contains_key(name)).await;
    }
}

async fn answer_datagrams(socket: std::net::UdpSocket, node: Arc<Node>) {
    let socket = UdpSocket::from_std(socket).unwrap();
    let mut datagram = [0; 2048];
    while let Ok((len, from)) = socket.recv_from(&mut datagram).await {
        if let Some(reply) = node.reply(&datagram[..len]) {
            let _ = socket.send_to(&reply, from).await;
        }
    }
}

impl Node {
    fn reply(&self, datagram: &[u8]) -> Option<Vec<u8>> {
        let (message, _) = Value::decode(datagram)?;
        let query = std::str::from_utf8(message.get("q")?.as_bytes()?).ok()?;
        let transaction = message.get("t")?.clone();
        let mut answer = vec![("id", Value::bytes(self.id))];
        match query {
            "find_node" => answer.push(("nodes", self.itself())),
            "get_peers" => {
                answer.push(("nodes", self.itself()));
                answer.push(("token", "testbed".into()));
                let wanted = message.get("a")?.get("info_hash")?.as_bytes()?;
                if let Some(peers) = self.peers.get(wanted) {
                    let values = peers.iter().map(|peer| Value::bytes(compact_one(*peer))).collect();
                    answer.push(("values", Value::List(values)));
                }
            }
            _ => {}
        }
        self.queries.send_modify(|seen| *seen.entry(query.to_owned()).or_default() += 1);
        let reply = [("r", Value::dict(answer)), ("t", transaction), ("y", "r".into())];
        Some(Value::dict(reply).encode())
    }

    fn itself(&self) -> Value {
        Value::bytes([&self.id[..], &compact_one(self.addr)].concat())
    }
}
