//! Where peers come in: the port that others are told of, in front of librqbit's own, which nobody outside can reach.
//!
//! Who knocks names a torrent within seconds, or is let go; who names one that nobody wants, sent bad blocks or comes where
//! every place is taken is turned away. Everybody else is led to librqbit over a link, as if it had been dialled. A
//! search that still looks for its first peer is shown visitors as well: some can be found in no other way.

use std::{
    collections::VecDeque,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use bytes::BytesMut;
use librqbit_core::Id20;
use librqbit_dualstack_sockets::{BindOpts, TcpListener};
use tokio::{net::TcpStream, task::JoinSet, time::timeout};
use tokio_util::sync::CancellationToken;

use super::{Exchange, Floor, carry, link::Far};
use crate::core::{
    reach::network,
    settings::SwarmSettings,
    source::InfoHash,
    swarm::{
        accept, handshake,
        lobby::{KEPT, Seen},
        wire::Hello,
    },
    sync::{Mutex, lock},
};

/// Visitors whose handshake is waited for. It comes with the first round trip: this many in each is more than any swarm
/// brings, and more strangers than that only push each other out.
const MOST_WAITING: usize = 128;
/// And from one host, behind which others may be as well.
const MOST_FROM_ONE: usize = 16;
/// librqbit takes nobody while a torrent is being added, for a moment; it is asked so often,
const KNOCKS: usize = 5;
/// with this pause in between.
const PAUSE: Duration = Duration::from_millis(300);

/// The open port.
pub struct Door {
    listener: TcpListener,
    /// Who we are: who calls itself that is us.
    peer_id: Id20,
}

impl Door {
    /// Listens on every address of the machine.
    pub fn open(swarm: &SwarmSettings, peer_id: Id20) -> anyhow::Result<Self> {
        let any: IpAddr =
            if swarm.ipv4_only { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        let options = BindOpts { request_dualstack: !swarm.ipv4_only, reuseport: false, device: None };
        let listener = TcpListener::bind_tcp(SocketAddr::new(any, swarm.listen_port), options)?;
        Ok(Door { listener, peer_id })
    }

    /// What others are told.
    pub fn port(&self) -> u16 {
        self.listener.bind_addr().port()
    }

    /// Lets visitors in, to librqbit at this address.
    pub(super) async fn keep(self, librqbit: SocketAddr, floor: Arc<Floor>) {
        let porch = Arc::new(Porch::default());
        let mut visits = JoinSet::new();
        loop {
            tokio::select! {
                (stream, address) = accept::next(|| self.listener.accept()) => {
                    let ticket = Porch::enter(&porch, address.ip());
                    let visit = Visit { address, us: self.peer_id, librqbit, floor: floor.clone() };
                    visits.spawn(async move {
                        let Err(error) = visit.receive(stream, ticket).await;
                        tracing::debug!("peer {address}, which dialled us: {error}");
                    });
                }
                Some(_) = visits.join_next() => {}
            }
        }
    }
}

/// Where visitors wait until they have said what they want.
#[derive(Default)]
struct Porch(Mutex<Waiting>);

#[derive(Default)]
struct Waiting {
    next: u64,
    /// The longest waiting first.
    queue: VecDeque<(u64, IpAddr, CancellationToken)>,
}

/// A place there.
struct Ticket {
    number: u64,
    /// It was given to somebody else.
    lost: CancellationToken,
    porch: Arc<Porch>,
}

impl Porch {
    /// Whoever says nothing the longest makes room.
    fn enter(porch: &Arc<Self>, address: IpAddr) -> Ticket {
        let (mut waiting, host) = (lock(&porch.0), network(address));
        let from_there = waiting.queue.iter().filter(|(_, other, _)| *other == host).count();
        let gives_way = match (from_there >= MOST_FROM_ONE, waiting.queue.len() >= MOST_WAITING) {
            (true, _) => waiting.queue.iter().position(|(_, other, _)| *other == host),
            (false, true) => Some(0),
            (false, false) => None,
        };
        if let Some((.., lost)) = gives_way.and_then(|at| waiting.queue.remove(at)) {
            lost.cancel();
        }
        let (number, lost) = (waiting.next, CancellationToken::new());
        waiting.next += 1;
        waiting.queue.push_back((number, host, lost.clone()));
        Ticket { number, lost, porch: porch.clone() }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        lock(&self.porch.0).queue.retain(|(number, ..)| *number != self.number);
    }
}

/// A visitor that is on its way in.
struct Visit {
    address: SocketAddr,
    us: Id20,
    librqbit: SocketAddr,
    floor: Arc<Floor>,
}

/// A visitor that said what it wants, and may have been greeted by a search.
struct Admitted {
    stream: TcpStream,
    hello: Hello,
    greeted: bool,
    /// What it said since.
    heard: BytesMut,
    exchange: Arc<Exchange>,
}

impl Visit {
    /// From the first byte to the last; why it ended.
    async fn receive(
        self,
        mut stream: TcpStream,
        ticket: Ticket,
    ) -> Result<std::convert::Infallible, Box<dyn std::error::Error + Send + Sync>> {
        stream.set_nodelay(true)?;
        let hello = tokio::select! {
            hello = handshake::hear(&mut stream) => hello?,
            () = ticket.lost.cancelled() => return Err("it said nothing while others came".into()),
        };
        drop(ticket);
        let admitted = self.admit(stream, hello).await?;
        let exchange = admitted.exchange;
        if self.floor.turns_away(self.address) {
            return Err("it sent bad blocks before".into());
        }
        let Ok(_place) = exchange.visits.clone().try_acquire_owned() else {
            return Err("every place is taken".into());
        };
        let (librqbit, answer) = self.lead_in(&admitted.hello).await?;
        let mut stream = admitted.stream;
        if !admitted.greeted {
            handshake::say(&mut stream, &answer).await?;
        }
        let far =
            Far { address: self.address, line: stream, heard: admitted.heard, hello: answer, road: None };
        Err(carry(exchange, far, librqbit).await.into())
    }

    /// To the torrent that it wants, or through a search for it.
    async fn admit(&self, stream: TcpStream, hello: Hello) -> io::Result<Admitted> {
        let refused = |why| io::Error::new(io::ErrorKind::PermissionDenied, why);
        let wanted = handshake::info_hash_of(&hello);
        let info_hash = wanted.ok_or_else(|| refused("it does not speak BitTorrent"))?;
        if handshake::peer_id_of(&hello) == Some(self.us) {
            return Err(refused("it is this very process"));
        }
        if let Some(exchange) = self.floor.exchange(info_hash) {
            return Ok(Admitted { stream, hello, greeted: false, heard: BytesMut::new(), exchange });
        }
        let exit = self.floor.lobby.show_in(info_hash, self.address, stream, hello);
        let exit = exit.ok_or_else(|| refused("nobody wants that torrent"))?;
        let seen = exit.await.map_err(|_| refused("the search had no use for it"))?;
        let exchange = timeout(KEPT, self.opened(info_hash)).await;
        let exchange = exchange.map_err(|_| refused("the torrent was not wanted after all"))?;
        let (greeted, (stream, heard)) = match seen {
            Seen::Greeted(greeted) => (true, greeted.into_parts()),
            Seen::Unseen(stream) => (false, (stream, BytesMut::new())),
        };
        Ok(Admitted { stream, hello, greeted, heard, exchange })
    }

    async fn opened(&self, info_hash: InfoHash) -> Arc<Exchange> {
        loop {
            let opened = self.floor.opened.notified();
            if let Some(exchange) = self.floor.exchange(info_hash) {
                return exchange;
            }
            opened.await;
        }
    }

    /// librqbit's end of the connection, and its handshake.
    async fn lead_in(&self, hello: &Hello) -> io::Result<(TcpStream, Hello)> {
        let mut knocks = 1;
        loop {
            match self.knock(hello).await {
                Err(_) if knocks < KNOCKS => tokio::time::sleep(PAUSE).await,
                Err(_) => return Err(io::Error::other("librqbit does not take it")),
                Ok(taken) => return Ok(taken),
            }
            knocks += 1;
        }
    }

    async fn knock(&self, hello: &Hello) -> io::Result<(TcpStream, Hello)> {
        let mut librqbit = TcpStream::connect(self.librqbit).await?;
        librqbit.set_nodelay(true)?;
        handshake::say(&mut librqbit, hello).await?;
        let answer = handshake::hear(&mut librqbit).await?;
        Ok((librqbit, answer))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn whoever_waits_the_longest_makes_room_and_one_host_only_for_itself() {
        let porch = Arc::default();
        let honest = Porch::enter(&porch, ip("192.0.2.1"));
        let crowd: Vec<_> = (0..300).map(|_| Porch::enter(&porch, ip("192.0.2.2"))).collect();
        assert!(!honest.lost.is_cancelled(), "a host's crowd pushes nobody else out");
        let stay = crowd.iter().filter(|ticket| !ticket.lost.is_cancelled()).count();
        assert_eq!(stay, MOST_FROM_ONE);
        let six: Vec<_> = (0..300_u32)
            .map(|number| {
                Porch::enter(&porch, Ipv6Addr::from_bits(u128::from(number) | 0x2001 << 112).into())
            })
            .collect();
        assert_eq!(six.iter().filter(|ticket| !ticket.lost.is_cancelled()).count(), MOST_FROM_ONE);
        let hosts: Vec<_> =
            (0..300_u32).map(|number| Porch::enter(&porch, Ipv4Addr::from_bits(number).into())).collect();
        assert!(honest.lost.is_cancelled() && !hosts[299].lost.is_cancelled());
        assert_eq!(lock(&porch.0).queue.len(), MOST_WAITING);
        drop((honest, crowd, six, hosts));
        assert!(lock(&porch.0).queue.is_empty());
    }
}
