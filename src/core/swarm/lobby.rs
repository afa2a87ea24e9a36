//! Peers that were greeted in the search, kept on the line until librqbit comes for them: what was said so far need not be
//! said again, and who was told that we are interested may let us ask already. And the way in for those that dial us
//! while somebody still looks for peers.

use std::{collections::HashMap, net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    net::TcpStream,
    sync::{mpsc, oneshot},
};

use super::{handshake::Greeted, wire::Hello};
use crate::core::{
    source::InfoHash,
    sync::{Mutex, lock},
};

/// librqbit comes within milliseconds; what it does not come for is let go.
pub const KEPT: Duration = Duration::from_secs(10);
/// Peers that dialled us and that a search has not looked at yet.
const MOST_GUESTS: usize = 32;

/// Connections that wait.
#[derive(Clone, Default)]
pub struct Lobby {
    waiting: Arc<Mutex<HashMap<(InfoHash, SocketAddr), Greeted<TcpStream>>>>,
    searches: Arc<Mutex<HashMap<InfoHash, mpsc::Sender<Guest>>>>,
}

/// A peer that dialled us, and said its handshake.
pub struct Guest {
    /// Where it is.
    pub address: SocketAddr,
    /// The connection.
    pub stream: TcpStream,
    /// Its handshake.
    pub hello: Hello,
    /// Where it goes when the search is done with it.
    pub back: oneshot::Sender<Greeted<TcpStream>>,
}

/// Guests of a search, until it is dropped.
pub struct Guests {
    lobby: Lobby,
    info_hash: InfoHash,
    guests: mpsc::Receiver<Guest>,
}

impl Lobby {
    /// Keeps a connection for a while.
    pub fn keep(&self, info_hash: InfoHash, peer: SocketAddr, greeted: Greeted<TcpStream>) {
        lock(&self.waiting).insert((info_hash, peer), greeted);
        let lobby = self.clone();
        tokio::spawn(async move {
            tokio::time::sleep(KEPT).await;
            lobby.take(info_hash, peer);
        });
    }

    /// Whether a connection to this address waits, for whatever torrent.
    pub fn knows(&self, peer: SocketAddr) -> bool {
        lock(&self.waiting).keys().any(|(_, kept)| *kept == peer)
    }

    /// Hands a connection out.
    pub fn take(&self, info_hash: InfoHash, peer: SocketAddr) -> Option<Greeted<TcpStream>> {
        lock(&self.waiting).remove(&(info_hash, peer))
    }

    /// Who dials us for this torrent is shown in from now on.
    pub fn expect(&self, info_hash: InfoHash) -> Guests {
        let (sender, guests) = mpsc::channel(MOST_GUESTS);
        lock(&self.searches).insert(info_hash, sender);
        Guests { lobby: self.clone(), info_hash, guests }
    }

    /// Shows somebody in to whoever looks for peers of this torrent; whether there is anybody, with room.
    pub fn show_in(&self, info_hash: InfoHash, guest: Guest) -> bool {
        lock(&self.searches).get(&info_hash).is_some_and(|search| search.try_send(guest).is_ok())
    }
}

impl Guests {
    /// The next one; for ever where nobody comes.
    pub async fn next(&mut self) -> Guest {
        match self.guests.recv().await {
            Some(guest) => guest,
            None => std::future::pending().await,
        }
    }
}

impl Drop for Guests {
    fn drop(&mut self) {
        self.guests.close();
        let mut searches = lock(&self.lobby.searches);
        // Another search may have begun meanwhile.
        if searches.get(&self.info_hash).is_some_and(mpsc::Sender::is_closed) {
            searches.remove(&self.info_hash);
        }
    }
}
