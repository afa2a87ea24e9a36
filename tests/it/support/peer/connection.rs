//! One connection of the scripted peer: handshake, metadata (BEP 9), bitfield, choking, blocks.

use std::{
    collections::VecDeque,
    io,
    net::{IpAddr, SocketAddr},
    ops::ControlFlow,
    time::Duration,
};

use bytes::{Buf, BytesMut};
use rand::{RngCore, SeedableRng, rngs::StdRng};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
    time::{Instant, sleep_until},
};

use super::{Behaviour, Counts, Shared};
use crate::support::bencode::Value;

const PROTOCOL: &[u8] = b"\x13BitTorrent protocol";
/// Bit 20 from the right: the extension protocol (BEP 10).
const RESERVED: [u8; 8] = [0, 0, 0, 0, 0, 0x10, 0, 0];
const PEER_ID: &[u8; 20] = b"-TB0001-scriptedpeer";
/// The number under which we want to be sent ut_metadata messages.
const OUR_METADATA_ID: u8 = 2;
/// The number under which we want to be sent lists of peers.
const OUR_PEX_ID: u8 = 3;
const METADATA_PIECE: usize = 16 * 1024;

mod message {
    pub const CHOKE: u8 = 0;
    pub const UNCHOKE: u8 = 1;
    pub const INTERESTED: u8 = 2;
    pub const HAVE: u8 = 4;
    pub const BITFIELD: u8 = 5;
    pub const REQUEST: u8 = 6;
    pub const PIECE: u8 = 7;
    pub const CANCEL: u8 = 8;
    pub const EXTENDED: u8 = 20;
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Block {
    piece: u32,
    begin: u32,
    len: u32,
}

struct Connection<'a> {
    shared: &'a Shared,
    behaviour: watch::Receiver<Behaviour>,
    out: OwnedWriteHalf,
    /// Their number for ut_metadata, once they said so.
    their_metadata_id: u8,
    interested: bool,
    unchoked: bool,
    pending: VecDeque<Block>,
    pending_metadata: Vec<usize>,
    sent: usize,
    unchoke_at: Option<Instant>,
    next_block_at: Instant,
}

/// Talks until either side closes.
pub async fn serve(mut stream: TcpStream, shared: &Shared) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let behaviour = shared.behaviour.subscribe();
    let now = *behaviour.borrow();
    if now == Behaviour::SilentAccept {
        return std::future::pending().await;
    }
    handshake(&mut stream, shared, now).await?;
    if now == Behaviour::ResetAfterHandshake {
        return socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO));
    }
    talk(stream, shared, behaviour).await
}

/// As [`serve`], with somebody whom we dialled.
pub async fn visit(mut stream: TcpStream, shared: &Shared) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let info_hash = shared.torrent.info_hash();
    stream.write_all(&[PROTOCOL, &RESERVED, &info_hash, PEER_ID].concat()).await?;
    hear_handshake(&mut stream, shared).await?;
    talk(stream, shared, shared.behaviour.subscribe()).await
}

async fn talk(stream: TcpStream, shared: &Shared, behaviour: watch::Receiver<Behaviour>) -> io::Result<()> {
    let now = *behaviour.borrow();
    let (incoming, out) = stream.into_split();
    let connection = Connection {
        shared,
        behaviour,
        out,
        their_metadata_id: 0,
        interested: false,
        unchoked: false,
        pending: VecDeque::new(),
        pending_metadata: Vec::new(),
        sent: 0,
        unchoke_at: None,
        next_block_at: Instant::now(),
    };
    connection.run(incoming, now).await
}

async fn hear_handshake(stream: &mut TcpStream, shared: &Shared) -> io::Result<()> {
    let mut theirs = [0; 68];
    stream.read_exact(&mut theirs).await?;
    if theirs[..20] != *PROTOCOL || theirs[28..48] != shared.torrent.info_hash() {
        return Err(io::ErrorKind::InvalidData.into());
    }
    shared.counts.send_modify(|counts| {
        counts.handshakes += 1;
        counts.callers.insert(theirs[48..].to_vec());
    });
    Ok(())
}

async fn handshake(stream: &mut TcpStream, shared: &Shared, behaviour: Behaviour) -> io::Result<()> {
    hear_handshake(stream, shared).await?;
    let mut info_hash = shared.torrent.info_hash();
    if behaviour == Behaviour::WrongInfoHash {
        info_hash[0] ^= 1;
    }
    stream.write_all(&[PROTOCOL, &RESERVED, &info_hash, PEER_ID].concat()).await
}

impl Connection<'_> {
    async fn run(mut self, mut incoming: OwnedReadHalf, start: Behaviour) -> io::Result<()> {
        if start == Behaviour::MetadataBeforeHandshake {
            self.send_unasked_metadata().await?;
        }
        self.send_extended_handshake(start).await?;
        self.send_bitfield().await?;
        self.misbehave(start).await?;
        let mut buffer = BytesMut::with_capacity(64 * 1024);
        loop {
            let may_send = self.may_send();
            let next_block_at = self.next_block_at;
            let unchoke_at = self.unchoke_at.unwrap_or(next_block_at);
            tokio::select! {
                read = incoming.read_buf(&mut buffer) => {
                    if read? == 0 {
                        return Ok(());
                    }
                    self.take_messages(&mut buffer).await?;
                }
                changed = self.behaviour.changed() => {
                    if changed.is_err() {
                        return Ok(());
                    }
                    self.update_choke().await?;
                    self.send_pending_metadata().await?;
                }
                () = sleep_until(unchoke_at), if self.unchoke_at.is_some() => {
                    self.unchoke_at = None;
                    self.update_choke().await?;
                }
                () = sleep_until(next_block_at), if may_send => {
                    if self.send_next_block().await?.is_break() {
                        return Ok(());
                    }
                }
            }
        }
    }

    fn now(&self) -> Behaviour {
        *self.behaviour.borrow()
    }

    fn count(&self, change: impl FnOnce(&mut Counts)) {
        self.shared.counts.send_modify(change);
    }

    fn may_send(&self) -> bool {
        let stalled = match self.now() {
            Behaviour::StallAfter { blocks } => self.shared.counts.borrow().blocks >= blocks,
            _ => false,
        };
        self.unchoked && !stalled && !self.pending.is_empty()
    }

    async fn take_messages(&mut self, buffer: &mut BytesMut) -> io::Result<()> {
        while let Some(prefix) = buffer.first_chunk::<4>() {
            let len = u32::from_be_bytes(*prefix) as usize;
            if buffer.len() < 4 + len {
                break;
            }
            buffer.advance(4);
            let message = buffer.split_to(len);
            if let Some((&id, payload)) = message.split_first() {
                self.take(id, payload).await?;
            }
        }
        Ok(())
    }

    async fn take(&mut self, id: u8, payload: &[u8]) -> io::Result<()> {
        match id {
            message::INTERESTED => {
                self.interested = true;
                self.count(|counts| counts.interested += 1);
                self.update_choke().await
            }
            message::REQUEST => {
                self.take_request(block(payload)?);
                Ok(())
            }
            message::CANCEL => {
                let cancelled = block(payload)?;
                self.pending.retain(|pending| *pending != cancelled);
                Ok(())
            }
            message::EXTENDED => self.take_extended(payload).await,
            _ => Ok(()),
        }
    }

    /// What is asked for while choked is dropped, as the protocol wants it.
    fn take_request(&mut self, block: Block) {
        self.count(|counts| {
            counts.requests += 1;
            counts.pieces.insert(block.piece);
        });
        if self.unchoked {
            self.pending.push_back(block);
        }
    }

    /// Brings the choke to what the behaviour wants now.
    async fn update_choke(&mut self) -> io::Result<()> {
        let wanted = self.interested && self.unchoke_at.is_none() && self.now() != Behaviour::NeverUnchoke;
        if wanted == self.unchoked {
            return Ok(());
        }
        self.unchoked = wanted;
        if wanted {
            return self.send(message::UNCHOKE, &[]).await;
        }
        self.pending.clear();
        self.count(|counts| counts.chokes += 1);
        self.send(message::CHOKE, &[]).await
    }

    async fn send_next_block(&mut self) -> io::Result<ControlFlow<()>> {
        let Some(block) = self.next_block() else { return Ok(ControlFlow::Continue(())) };
        self.misbehave_before(block).await?;
        self.send_block(block).await?;
        self.sent += 1;
        self.count(|counts| counts.blocks += 1);
        let Counts { blocks: total, chokes, .. } = *self.shared.counts.borrow();
        match self.now() {
            Behaviour::DisconnectAfter { blocks } if self.sent >= blocks => {
                return Ok(ControlFlow::Break(()));
            }
            Behaviour::ChokeAfter { blocks, pause } if total >= blocks && chokes == 0 => {
                self.unchoke_at = Some(Instant::now() + pause);
                self.update_choke().await?;
            }
            Behaviour::ChokeStorm { every } if total.is_multiple_of(every) => {
                self.unchoke_at = Some(Instant::now());
                self.update_choke().await?;
            }
            Behaviour::Oversized { blocks } if self.sent >= blocks => {
                self.out.write_all(&[&(1u32 << 20).to_be_bytes()[..], &[0; 4096]].concat()).await?;
            }
            Behaviour::Twice => self.send_block(block).await?,
            Behaviour::Unasked => self.send_unasked(block).await?,
            Behaviour::Trickle => {
                let piece = 2 * (self.sent as u32 - 1) + 1;
                if (piece as usize) < self.shared.torrent.piece_count() {
                    self.send(message::HAVE, &piece.to_be_bytes()).await?;
                }
            }
            Behaviour::Rate { bytes_per_second } => {
                let cost = Duration::from_secs_f64(f64::from(block.len) / f64::from(bytes_per_second));
                self.next_block_at = Instant::now().max(self.next_block_at) + cost;
            }
            _ => {}
        }
        Ok(ControlFlow::Continue(()))
    }

    fn next_block(&mut self) -> Option<Block> {
        match self.now() {
            Behaviour::Backwards => self.pending.pop_back(),
            _ => self.pending.pop_front(),
        }
    }

    async fn misbehave_before(&mut self, block: Block) -> io::Result<()> {
        match self.now() {
            Behaviour::Babble => {
                for id in [9, 13, 14, 15, 16, 17, 21, 99, 255] {
                    self.send(id, &[0; 5]).await?;
                }
            }
            Behaviour::Chatter => {
                let has = block.piece.to_be_bytes();
                for _ in 0..100 {
                    self.send(message::HAVE, &has).await?;
                    self.send(message::HAVE, &u32::MAX.to_be_bytes()).await?;
                    self.send(message::UNCHOKE, &[]).await?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// The block just sent, with other bytes; one at an odd place; one of a piece that does not exist.
    async fn send_unasked(&mut self, block: Block) -> io::Result<()> {
        let none = self.shared.torrent.piece_count() as u32;
        for (piece, begin) in [(block.piece, block.begin), (block.piece, 3), (none, 0)] {
            let head = [piece.to_be_bytes(), begin.to_be_bytes()].concat();
            self.send(message::PIECE, &[head, vec![0x55; block.len as usize]].concat()).await?;
        }
        Ok(())
    }

    async fn send_block(&mut self, block: Block) -> io::Result<()> {
        let torrent = &self.shared.torrent;
        let start = block.piece as usize * torrent.piece_length() + block.begin as usize;
        let Some(bytes) = torrent.content().get(start..start + block.len as usize) else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        let mut payload = [block.piece.to_be_bytes(), block.begin.to_be_bytes()].concat();
        payload.extend(bytes);
        match self.now() {
            Behaviour::Corrupt => payload[8] ^= 1,
            Behaviour::BlocksOutside => payload[4] = 0x7f,
            Behaviour::WrongAhead => self.send_wrong_ahead(&payload).await?,
            _ => {}
        }
        self.send(message::PIECE, &payload).await
    }

    /// Wrong blocks at the places after the one that was asked for.
    async fn send_wrong_ahead(&mut self, asked: &[u8]) -> io::Result<()> {
        for place in 1..=8u32 {
            let mut payload = asked.to_vec();
            payload[4..8].copy_from_slice(&(place * 16 * 1024).to_be_bytes());
            payload[8..].fill(0xee);
            self.send(message::PIECE, &payload).await?;
        }
        Ok(())
    }

    /// What is done once, after the handshakes.
    async fn misbehave(&mut self, behaviour: Behaviour) -> io::Result<()> {
        match behaviour {
            Behaviour::HaveFlood => {
                for number in 0..100_000u32 {
                    self.send(message::HAVE, &number.wrapping_mul(0x9e37_79b9).to_be_bytes()).await?;
                }
                Ok(())
            }
            Behaviour::Nonsense => self.out.write_all(&nonsense(256 * 1024)).await,
            Behaviour::EndlessMessage => {
                self.out.write_all(&(i32::MAX as u32).to_be_bytes()).await?;
                loop {
                    self.out.write_all(&[7; 16 * 1024]).await?;
                }
            }
            Behaviour::ByteASecond => loop {
                self.out.write_all(&[0]).await?;
                tokio::time::sleep(Duration::from_secs(1)).await;
            },
            _ => Ok(()),
        }
    }

    /// Under the number that they chose for it.
    async fn name_peer(&mut self, number: u8, named: SocketAddr) -> io::Result<()> {
        let SocketAddr::V4(v4) = named else { return Ok(()) };
        let added = [&v4.ip().octets()[..], &v4.port().to_be_bytes()].concat();
        let message = Value::dict([("added", Value::Bytes(added)), ("added.f", Value::Bytes(vec![0]))]);
        self.send(message::EXTENDED, &[&[number], &message.encode()[..]].concat()).await
    }

    async fn send_bitfield(&mut self) -> io::Result<()> {
        let count = self.shared.torrent.piece_count();
        let mut bits = vec![0u8; count.div_ceil(8)];
        let step = if self.now() == Behaviour::Trickle { 2 } else { 1 };
        (0..count).step_by(step).for_each(|piece| bits[piece / 8] |= 0x80 >> (piece % 8));
        if self.now() == Behaviour::WrongBitfield {
            bits.extend(bits.clone());
        }
        self.send(message::BITFIELD, &bits).await
    }

    async fn send_extended_handshake(&mut self, behaviour: Behaviour) -> io::Result<()> {
        let size = match behaviour {
            Behaviour::HugeMetadataSize => 1 << 31,
            _ => self.shared.torrent.info().len() as i64,
        };
        let numbers = Value::dict([
            ("ut_metadata", Value::Int(OUR_METADATA_ID.into())),
            ("ut_pex", Value::Int(OUR_PEX_ID.into())),
        ]);
        let name = Value::from("Scripted\u{1b}[2J 1.0");
        let handshake = Value::dict([("m", numbers), ("metadata_size", Value::Int(size)), ("v", name)]);
        self.send(message::EXTENDED, &[&[0], &handshake.encode()[..]].concat()).await
    }

    async fn take_extended(&mut self, payload: &[u8]) -> io::Result<()> {
        let Some((&id, payload)) = payload.split_first() else { return Ok(()) };
        let Some((dict, _)) = Value::decode(payload) else { return Ok(()) };
        match id {
            0 => {
                let number = dict.get("m").and_then(|m| m.get("ut_metadata")).and_then(Value::as_int);
                self.their_metadata_id = number.unwrap_or(0) as u8;
                if let Some(Value::Bytes(name)) = dict.get("v") {
                    self.count(|counts| {
                        counts.callers.insert(name.clone());
                    });
                }
                if let Some(Value::Bytes(ip)) = dict.get("yourip") {
                    let ip = ip.first_chunk::<4>().map(|octets| IpAddr::from(*octets));
                    self.count(|counts| counts.our_ips.extend(ip));
                }
                self.count(|counts| counts.offers.extend(dict.get("m").into_iter().flat_map(Value::keys)));
                let number = dict.get("m").and_then(|m| m.get("ut_pex")).and_then(Value::as_int);
                match (self.now(), number) {
                    (Behaviour::Names(named), Some(number)) => self.name_peer(number as u8, named).await,
                    _ => Ok(()),
                }
            }
            OUR_PEX_ID => {
                let added = match dict.get("added") {
                    Some(Value::Bytes(added)) => added.clone(),
                    _ => Vec::new(),
                };
                self.count(|counts| {
                    counts.exchanged += 1;
                    counts.named.extend(added.as_chunks::<6>().0.iter().map(|peer| {
                        let [a, b, c, d, high, low] = *peer;
                        SocketAddr::from(([a, b, c, d], u16::from_be_bytes([high, low])))
                    }));
                });
                Ok(())
            }
            OUR_METADATA_ID if dict.get("msg_type") == Some(&Value::Int(0)) => {
                self.count(|counts| counts.metadata_requests += 1);
                let piece = dict.get("piece").and_then(Value::as_int).unwrap_or(0) as usize;
                self.pending_metadata.push(piece);
                self.send_pending_metadata().await
            }
            _ => Ok(()),
        }
    }

    async fn send_pending_metadata(&mut self) -> io::Result<()> {
        if self.now() == Behaviour::WithholdMetadata {
            return Ok(());
        }
        for piece in std::mem::take(&mut self.pending_metadata) {
            self.send_metadata(self.their_metadata_id, piece).await?;
        }
        Ok(())
    }

    async fn send_metadata(&mut self, id: u8, piece: usize) -> io::Result<()> {
        let info = self.shared.torrent.info();
        let Some(bytes) = info.chunks(METADATA_PIECE).nth(piece) else { return Ok(()) };
        let header = Value::dict([
            ("msg_type", Value::Int(1)),
            ("piece", Value::Int(piece as i64)),
            ("total_size", Value::Int(info.len() as i64)),
        ]);
        self.send(message::EXTENDED, &[&[id], &header.encode()[..], bytes].concat()).await
    }

    /// Under every number that a client may have chosen for ut_metadata, since it has not told us yet.
    async fn send_unasked_metadata(&mut self) -> io::Result<()> {
        for id in 1..=3 {
            self.send_metadata(id, 0).await?;
        }
        Ok(())
    }

    async fn send(&mut self, id: u8, payload: &[u8]) -> io::Result<()> {
        let len = (payload.len() as u32 + 1).to_be_bytes();
        self.out.write_all(&[&len[..], &[id], payload].concat()).await
    }
}

/// The same in every run.
fn nonsense(len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    StdRng::seed_from_u64(7).fill_bytes(&mut bytes);
    bytes
}

fn block(payload: &[u8]) -> io::Result<Block> {
    let word = |at: usize| Some(u32::from_be_bytes(payload.get(at..at + 4)?.try_into().ok()?));
    match (word(0), word(4), word(8)) {
        (Some(piece), Some(begin), Some(len)) => Ok(Block { piece, begin, len }),
        _ => Err(io::ErrorKind::InvalidData.into()),
    }
}
