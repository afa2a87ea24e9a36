//! One connection from librqbit to a peer, with the broker in the middle.
//!
//! What the two say about requests and blocks goes to the desk; everything else passes through as it came: handshakes,
//! extensions, what librqbit gives. librqbit never hears of a choke (it would drop what it asked for), and is kept
//! awake with keep-alives while a peer has nothing for it.

use std::{collections::VecDeque, io, net::SocketAddr, ops::Range, sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use tokio::{
    io::AsyncReadExt,
    net::{
        TcpStream,
        tcp::{ReadHalf, WriteHalf},
    },
    sync::mpsc::UnboundedReceiver,
    time::{Instant, MissedTickBehavior, interval},
};

use super::{
    desk::{Arrival, Order},
    exchange::Exchange,
    pieces::{Block, PeerKey},
};
use crate::core::{
    status::Milestone,
    swarm::{
        bencode,
        wire::{self, Frame, MAX_FRAME, Malformed, frame_len, parse},
    },
};

/// Bytes that may wait for one side before the other is not read any more: enough to keep a loopback socket busy.
const FULL: usize = 256 * 1024;
/// What is read at a time at first, and at most: four blocks, and what a fast peer fills between two turns.
const READ: Range<usize> = 64 * 1024..256 * 1024;
/// librqbit leaves a link that is silent for longer than its read time-out (15 s).
const AWAKE: Duration = Duration::from_secs(4);
/// Peers leave one that is silent for two minutes (BEP 3).
const PEER_AWAKE: Duration = Duration::from_secs(60);
/// And so do we, with half a minute's grace.
const DEAF: Duration = Duration::from_secs(150);

/// A link.
pub struct Link {
    exchange: Arc<Exchange>,
    key: PeerKey,
    orders: UnboundedReceiver<Order>,
    from_peer: BytesMut,
    from_librqbit: BytesMut,
    to_peer: super::outbox::Outbox,
    to_librqbit: super::outbox::Outbox,
    /// What librqbit is to be given from disk.
    answers: VecDeque<Block>,
    read_size: usize,
    heard: Instant,
    told_peer: Instant,
    told_librqbit: Instant,
}

/// Why a link ends, for the log.
#[derive(Debug, thiserror::Error)]
pub enum End {
    /// One side's socket.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// One side sent nonsense.
    #[error("{0}")]
    Malformed(#[from] Malformed),
    /// The desk wants it.
    #[error("{0}")]
    Left(&'static str),
    /// A side closed.
    #[error("{0} closed the connection")]
    Closed(&'static str),
}

/// What becomes of a frame from a peer.
enum Fate {
    Pass,
    Swallow,
    /// A block to be written; whether it passes is known after.
    Take(Block, Range<usize>),
}

impl Link {
    /// Carries it until one side leaves, after the handshakes; `heard` is what the peer sent since.
    pub async fn carry(
        exchange: Arc<Exchange>,
        address: SocketAddr,
        (peer, heard): (&mut TcpStream, BytesMut),
        librqbit: &mut TcpStream,
    ) -> End {
        let (key, orders) = exchange.join(address);
        let now = Instant::now();
        let mut link = Link {
            exchange,
            key,
            orders,
            from_peer: heard,
            from_librqbit: BytesMut::new(),
            to_peer: Default::default(),
            to_librqbit: Default::default(),
            answers: VecDeque::new(),
            read_size: READ.start,
            heard: now,
            told_peer: now,
            told_librqbit: now,
        };
        match link.run(peer.split(), librqbit.split()).await {
            Ok(never) => match never {},
            Err(end) => end,
        }
    }

    async fn run(
        &mut self,
        (mut peer_in, mut peer_out): (ReadHalf<'_>, WriteHalf<'_>),
        (mut librqbit_in, mut librqbit_out): (ReadHalf<'_>, WriteHalf<'_>),
    ) -> Result<std::convert::Infallible, End> {
        let mut ticks = interval(Duration::from_secs(1));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        self.take_in()?;
        loop {
            self.answer()?;
            let librqbit_may = self.to_peer.len() < FULL;
            // What a peer says makes us say something: one that never listens is not heard either.
            let peer_may_talk = self.to_librqbit.len() < FULL && self.to_peer.len() < 2 * FULL;
            self.from_peer.reserve(self.read_size);
            self.from_librqbit.reserve(READ.start);
            tokio::select! {
                Some(order) = self.orders.recv() => self.obey_all(order)?,
                read = peer_in.read_buf(&mut self.from_peer), if peer_may_talk => self.hear_peer(read?)?,
                read = librqbit_in.read_buf(&mut self.from_librqbit), if librqbit_may => self.hear_librqbit(read?)?,
                sent = self.to_peer.send(&mut peer_out), if !self.to_peer.is_empty() => sent?,
                sent = self.to_librqbit.send(&mut librqbit_out), if !self.to_librqbit.is_empty() => sent?,
                _ = ticks.tick() => self.look_at_the_clock()?,
            }
        }
    }

    fn obey_all(&mut self, first: Order) -> Result<(), End> {
        self.obey(first)?;
        while let Ok(order) = self.orders.try_recv() {
            self.obey(order)?;
        }
        Ok(())
    }

    fn obey(&mut self, order: Order) -> Result<(), End> {
        match order {
            Order::Ask(block) => self.to_peer.put_first(&self.words(block, wire::request)),
            Order::Cancel(block) => self.to_peer.put_first(&self.words(block, wire::cancel)),
            Order::Interest => self.to_peer.put_first(&wire::INTERESTED),
            Order::Answer(block) => self.answers.push_back(block),
            Order::Leave(why) => return Err(End::Left(why)),
        }
        self.told_peer = Instant::now();
        Ok(())
    }

    fn words(&self, block: Block, frame: fn(u32, u32, u32) -> [u8; 17]) -> [u8; 17] {
        frame(block.piece, block.begin(), self.exchange.geometry().block_bytes(block))
    }

    /// Gives librqbit what it waits for from disk, as far as it keeps up.
    fn answer(&mut self) -> Result<(), End> {
        while self.to_librqbit.len() < FULL
            && let Some(block) = self.answers.pop_front()
        {
            let geometry = self.exchange.geometry();
            let len = geometry.block_bytes(block);
            let mut frame = BytesMut::with_capacity(13 + len as usize);
            frame.extend_from_slice(&wire::piece_head(block.piece, block.begin(), len));
            frame.resize(13 + len as usize, 0);
            self.exchange.content().read_torrent(geometry.start_of(block), &mut frame[13..])?;
            self.give(frame.freeze());
            self.exchange.note_handed_over(len.into());
        }
        Ok(())
    }

    fn give(&mut self, frames: Bytes) {
        self.to_librqbit.pass(frames);
        self.told_librqbit = Instant::now();
    }

    fn look_at_the_clock(&mut self) -> Result<(), End> {
        let now = Instant::now();
        if now - self.heard > DEAF {
            return Err(End::Left("it says nothing any more"));
        }
        if now - self.told_librqbit > AWAKE {
            self.give(Bytes::from_static(&wire::KEEP_ALIVE));
        }
        if now - self.told_peer > PEER_AWAKE {
            self.to_peer.put_first(&wire::KEEP_ALIVE);
            self.told_peer = now;
        }
        Ok(())
    }

    fn hear_peer(&mut self, read: usize) -> Result<(), End> {
        if read == 0 {
            return Err(End::Closed("the peer"));
        }
        self.heard = Instant::now();
        // A peer that fills the buffer has more to say at a time.
        self.read_size = if read >= self.read_size { READ.end } else { READ.start };
        self.take_in()
    }

    /// Takes in all whole frames that came from the peer.
    fn take_in(&mut self) -> Result<(), End> {
        let mut frames = Vec::new();
        let mut at = 0;
        while let Some(len) = frame_len(&self.from_peer[at..], MAX_FRAME)? {
            let fate = self.judge(at, &self.from_peer[at..at + len])?;
            frames.push((at..at + len, fate));
            at += len;
        }
        let heard = self.from_peer.split_to(at).freeze();
        self.write(&heard, &frames)?;
        self.pass_on(&heard, frames);
        Ok(())
    }

    /// What becomes of a peer's frame at offset `at`; the desk hears of it.
    fn judge(&self, at: usize, frame: &[u8]) -> Result<Fate, End> {
        let key = self.key;
        let tell = &self.exchange;
        Ok(match parse(frame)? {
            Frame::Choke => {
                tell.tell(|desk, now| desk.choked(key, now));
                Fate::Swallow
            }
            // What changes nothing for librqbit need not cost it anything.
            Frame::Unchoke => {
                tell.timeline.pass(Milestone::Unchoked);
                pass_if(tell.tell(|desk, now| desk.unchoked(key, now)))
            }
            Frame::Have(piece) => pass_if(tell.tell(|desk, now| desk.has(key, piece, now))),
            Frame::Bitfield(bits) => {
                tell.tell(|desk, now| desk.has_all_of(key, bits, now));
                Fate::Pass
            }
            Frame::Piece(piece, begin, len) => {
                tell.note_received(len.into());
                let block = tell
                    .geometry()
                    .block(piece, begin, len)
                    .filter(|block| tell.tell(|desk, now| desk.arrived(key, *block, now)) == Arrival::Take);
                block.map_or(Fate::Swallow, |block| Fate::Take(block, at + 13..at + 13 + len as usize))
            }
            Frame::Extended(0, payload) => {
                if let Some(queue) = queue_of(payload) {
                    tell.tell(|desk, _| desk.queues(key, queue));
                }
                Fate::Pass
            }
            Frame::KeepAlive | Frame::Unknown => Fate::Swallow,
            _ => Fate::Pass,
        })
    }

    /// Writes the taken blocks, neighbours at one go.
    fn write(&self, heard: &Bytes, frames: &[(Range<usize>, Fate)]) -> Result<(), End> {
        let geometry = self.exchange.geometry();
        let mut run: Vec<&[u8]> = Vec::new();
        let (mut start, mut end) = (0, 0);
        for (_, fate) in frames {
            let Fate::Take(block, data) = fate else { continue };
            let at = geometry.start_of(*block);
            // A run ends with its piece: the disk tells whoever waits for a piece that a block of it came.
            if (at != end || block.index == 0) && !run.is_empty() {
                self.exchange.content().write_torrent(start, &run)?;
                run.clear();
            }
            if run.is_empty() {
                start = at;
            }
            run.push(&heard[data.clone()]);
            end = at + data.len() as u64;
        }
        if !run.is_empty() {
            self.exchange.content().write_torrent(start, &run)?;
        }
        Ok(())
    }

    /// Passes on what librqbit may have, whole runs of frames without a copy.
    fn pass_on(&mut self, heard: &Bytes, frames: Vec<(Range<usize>, Fate)>) {
        let mut run = 0..0;
        for (range, fate) in frames {
            let passes = match fate {
                Fate::Pass => true,
                Fate::Swallow => false,
                Fate::Take(block, data) => self.hand_over(block, data.len()),
            };
            if !passes {
                continue;
            }
            if run.end == range.start {
                run.end = range.end;
            } else {
                self.flush(heard, run);
                run = range;
            }
        }
        self.flush(heard, run);
    }

    fn hand_over(&self, block: Block, len: usize) -> bool {
        let key = self.key;
        self.exchange.timeline.pass(Milestone::Block);
        let at_once = self.exchange.tell(|desk, now| desk.stored(key, block, now));
        if at_once {
            self.exchange.note_handed_over(len as u64);
        }
        at_once
    }

    fn flush(&mut self, heard: &Bytes, run: Range<usize>) {
        if !run.is_empty() {
            self.give(heard.slice(run));
        }
    }

    fn hear_librqbit(&mut self, read: usize) -> Result<(), End> {
        if read == 0 {
            return Err(End::Closed("librqbit"));
        }
        while let Some(len) = frame_len(&self.from_librqbit, MAX_FRAME)? {
            let frame = self.from_librqbit.split_to(len).freeze();
            if self.passes_to_peer(&frame)? {
                self.to_peer.pass(frame);
                self.told_peer = Instant::now();
            }
        }
        Ok(())
    }

    fn passes_to_peer(&self, frame: &[u8]) -> Result<bool, End> {
        let (key, tell) = (self.key, &self.exchange);
        let block = |piece, begin, len| tell.geometry().block(piece, begin, len);
        Ok(match parse(frame)? {
            Frame::Request(piece, begin, len) => {
                if let Some(block) = block(piece, begin, len) {
                    tell.tell(|desk, now| desk.wanted(key, block, now));
                }
                false
            }
            Frame::Cancel(piece, begin, len) => {
                if let Some(block) = block(piece, begin, len) {
                    tell.tell(|desk, _| desk.unwanted(key, block));
                }
                false
            }
            Frame::Interested => tell.tell(|desk, _| desk.librqbit_is_interested(key, true)),
            Frame::NotInterested => tell.tell(|desk, _| desk.librqbit_is_interested(key, false)),
            Frame::KeepAlive => false,
            _ => true,
        })
    }
}

fn pass_if(news: bool) -> Fate {
    if news { Fate::Pass } else { Fate::Swallow }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.exchange.leave(self.key);
    }
}

/// How many requests a peer says that it queues (BEP 10, `reqq`).
fn queue_of(payload: &[u8]) -> Option<usize> {
    #[derive(serde::Deserialize)]
    struct Hello {
        reqq: Option<u64>,
    }
    let (hello, _): (Hello, _) = bencode::decode(payload)?;
    hello.reqq.map(|queue| queue as usize)
}
