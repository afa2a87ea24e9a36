//! Peers that were greeted in the search, kept on the line until librqbit comes for them: what was said so far need not be
//! said again, and who was told that we are interested may let us ask already. And the way in for those that dial us
//! while somebody still looks for peers.

use std::{collections::HashMap, net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    net::TcpStream,
    sync::{
        mpsc::{self, error::TrySendError},
        oneshot,
    },
    time::Instant,
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
    waiting: Arc<Mutex<Waiting>>,
    searches: Arc<Mutex<HashMap<InfoHash, Searching>>>,
}

type Waiting = HashMap<(InfoHash, SocketAddr), Greeted<TcpStream>>;

/// A search, or one that ended a moment ago, so that its torrent is about to be taken up.
struct Searching {
    guests: mpsc::Sender<Guest>,
    ended: Option<Instant>,
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
    pub back: oneshot::Sender<Seen>,
}

/// What became of a guest.
pub enum Seen {
    /// It was talked to.
    Greeted(Greeted<TcpStream>),
    /// The search ended first.
    Unseen(TcpStream),
}

/// Where a guest that was shown in comes out again.
pub type Exit = oneshot::Receiver<Seen>;

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
        let mut searches = lock(&self.searches);
        searches.retain(|_, search| search.ended.is_none_or(|ended| ended.elapsed() < KEPT));
        searches.insert(info_hash, Searching { guests: sender, ended: None });
        Guests { lobby: self.clone(), info_hash, guests }
    }

    /// Shows somebody in to whoever looks for peers of this torrent, or did until a moment ago; nothing where nobody does,
    /// or there is no room.
    pub fn show_in(
        &self,
        info_hash: InfoHash,
        address: SocketAddr,
        stream: TcpStream,
        hello: Hello,
    ) -> Option<Exit> {
        let searches = lock(&self.searches);
        let search = searches.get(&info_hash)?;
        let (back, exit) = oneshot::channel();
        let guest = Guest { address, stream, hello, back };
        match (search.guests.try_send(guest), search.ended) {
            (Ok(()), _) => {}
            (Err(TrySendError::Closed(guest)), Some(ended)) if ended.elapsed() < KEPT => guest.leave(),
            (Err(_), _) => return None,
        }
        Some(exit)
    }
}

impl Guest {
    /// Nobody has time for it any more.
    fn leave(self) {
        // Unless whoever showed it in has none either.
        let _ = self.back.send(Seen::Unseen(self.stream));
    }
}

impl Guests {
    /// Whether somebody waits to be seen.
    pub fn are_waiting(&self) -> bool {
        !self.guests.is_empty()
    }

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
        let mut searches = lock(&self.lobby.searches);
        self.guests.close();
        while let Ok(guest) = self.guests.try_recv() {
            guest.leave();
        }
        // Another search may have begun meanwhile.
        if let Some(search) = searches.get_mut(&self.info_hash).filter(|search| search.guests.is_closed()) {
            search.ended = Some(Instant::now());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: [u8; 20] = [7; 20];

    async fn knocks(lobby: &Lobby, torrent: [u8; 20]) -> Option<Exit> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        lobby.show_in(InfoHash::new(torrent), ([127, 0, 0, 1], 1).into(), stream, [0; 68])
    }

    #[tokio::test]
    async fn who_comes_when_a_search_ends_or_just_after_it_is_not_lost() {
        let lobby = Lobby::default();
        assert!(knocks(&lobby, HERE).await.is_none(), "nobody searches");
        let mut guests = lobby.expect(InfoHash::new(HERE));
        assert!(knocks(&lobby, [8; 20]).await.is_none(), "not for that");
        let (seen, unseen) = (knocks(&lobby, HERE).await.unwrap(), knocks(&lobby, HERE).await.unwrap());
        let _guest = guests.next().await;
        drop(guests);
        assert!(matches!(unseen.await, Ok(Seen::Unseen(_))));
        assert!(matches!(knocks(&lobby, HERE).await.unwrap().await, Ok(Seen::Unseen(_))));
        drop(_guest);
        assert!(seen.await.is_err(), "a search had no use for it");
        tokio::time::pause();
        tokio::time::advance(KEPT).await;
        assert!(knocks(&lobby, HERE).await.is_none(), "it is over");
    }

    #[tokio::test]
    async fn a_search_is_shown_so_many_and_a_newer_one_ends_for_itself() {
        let lobby = Lobby::default();
        let (older, _newer) = (lobby.expect(InfoHash::new(HERE)), lobby.expect(InfoHash::new(HERE)));
        drop(older);
        for _ in 0..MOST_GUESTS {
            assert!(knocks(&lobby, HERE).await.is_some());
        }
        assert!(knocks(&lobby, HERE).await.is_none());
    }
}
