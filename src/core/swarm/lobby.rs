//! Peers that were greeted in the search, kept on the line until librqbit comes for them: what was said so far need not be
//! said again, and who was told that we are interested may let us ask already.

use std::{collections::HashMap, net::SocketAddr, sync::Arc, time::Duration};

use tokio::net::TcpStream;

use super::handshake::Greeted;
use crate::core::{
    source::InfoHash,
    sync::{Mutex, lock},
};

/// librqbit comes within milliseconds; what it does not come for is let go.
const KEPT: Duration = Duration::from_secs(10);

/// Connections that wait.
#[derive(Clone, Default)]
pub struct Lobby(Arc<Mutex<Waiting>>);

type Waiting = HashMap<(InfoHash, SocketAddr), Greeted<TcpStream>>;

impl Lobby {
    /// Keeps a connection for a while.
    pub fn keep(&self, info_hash: InfoHash, peer: SocketAddr, greeted: Greeted<TcpStream>) {
        lock(&self.0).insert((info_hash, peer), greeted);
        let lobby = self.clone();
        tokio::spawn(async move {
            tokio::time::sleep(KEPT).await;
            lobby.take(info_hash, peer);
        });
    }

    /// Whether a connection to this address waits, for whatever torrent.
    pub fn knows(&self, peer: SocketAddr) -> bool {
        lock(&self.0).keys().any(|(_, kept)| *kept == peer)
    }

    /// Hands a connection out.
    pub fn take(&self, info_hash: InfoHash, peer: SocketAddr) -> Option<Greeted<TcpStream>> {
        lock(&self.0).remove(&(info_hash, peer))
    }
}
