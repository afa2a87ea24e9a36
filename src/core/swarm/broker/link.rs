//! One connection between librqbit and a peer, with the broker in the middle, whoever dialled it.
//!
//! What the two say about requests and blocks goes to the desk. What the peer wants of librqbit is handed on as librqbit
//! answers, and lists of peers as far as they may be told; everything else passes through as it came: handshakes,
//! extensions, what librqbit gives. librqbit never hears of a choke (it would drop what it asked for), and is kept
//! awake with keep-alives while a peer has nothing for it.

use std::{
    borrow::Cow, collections::VecDeque, convert::Infallible, io, net::SocketAddr, ops::Range, sync::Arc,
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use tokio::{
    sync::{OwnedSemaphorePermit, mpsc::UnboundedReceiver},
    time::{Instant, MissedTickBehavior, interval},
};

use super::{
    desk::{Arrival, Order},
    discretion::Discretion,
    exchange::Exchange,
    hearsay::Share,
    line::{Line, Source, read, send},
    outbox::Outbox,
    pieces::{Block, PeerKey},
    redial::{Redial, Road, Step},
    said::Said,
    wishes::{Insatiable, Wish, Wishes, is_metadata, metadata_wanted},
};
use crate::core::{
    status::Milestone,
    swarm::{
        bencode,
        handshake::{self, OUR_UT_METADATA, OUR_UT_PEX},
        wire::{self, Frame, Hello, MAX_FRAME, Malformed, frame_len, parse},
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

/// A peer that dialled us and says nothing at all is left after as long as librqbit would have waited.
const SHY: Duration = Duration::from_secs(15);

/// Characters of a peer's name for itself that are kept.
const MOST_NAME: usize = 64;
/// A peer that a reader waits for is dialled anew when not a byte came from it for this long.
const SILENT: Duration = Duration::from_secs(6);
/// One that left is waited for as long as a reader waits for a piece by default, and so is one that comes back in vain.
const HELD: Duration = Duration::from_secs(60);

/// The far end of a link, after the handshakes.
pub struct Far<L = Line> {
    /// Where it is.
    pub address: SocketAddr,
    /// The connection.
    pub line: L,
    /// What it sent since its handshake.
    pub heard: BytesMut,
    /// What it was told in ours.
    pub hello: Hello,
    /// The way to it; none to one that dialled us.
    pub road: Option<Box<dyn Road>>,
}

/// A link.
pub struct Link {
    exchange: Arc<Exchange>,
    key: PeerKey,
    orders: UnboundedReceiver<Order>,
    address: SocketAddr,
    hello: Hello,
    road: Option<Box<dyn Road>>,
    discretion: Discretion,
    /// Whom the peer may tell librqbit of.
    share: Share,
    /// The peer said something since its handshake.
    spoke: bool,
    /// The connection to the peer; none while it is to be reached anew.
    peer: Option<Line>,
    /// Since when it was reached in vain, or not at all.
    missing: Option<Instant>,
    redial: Redial,
    /// The right to dial anew.
    permit: Option<OwnedSemaphorePermit>,
    said: Said,
    /// The peer's extended hello was passed on.
    introduced: bool,
    from_peer: BytesMut,
    from_librqbit: BytesMut,
    to_peer: Outbox,
    to_librqbit: Outbox,
    /// What the peer wants of librqbit.
    wishes: Wishes,
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
    /// This goes on in its place.
    Instead(Bytes),
    /// A block to be written; whether it passes is known after.
    Take(Block, Range<usize>),
}

impl Link {
    /// Carries it until one side leaves for good.
    pub async fn carry(exchange: Arc<Exchange>, far: Far, librqbit: Line) -> End {
        let (key, orders) = exchange.join(far.address);
        let visiting = far.road.is_none();
        if visiting {
            exchange.tell(|desk, _| desk.came_in(key));
        }
        let discretion =
            Discretion { peer_exchange: exchange.peer_exchange, peer: far.address.ip(), visiting };
        let now = Instant::now();
        let mut link = Link {
            exchange,
            key,
            orders,
            address: far.address,
            hello: far.hello,
            road: far.road,
            discretion,
            share: Share::new(now),
            spoke: !far.heard.is_empty(),
            peer: Some(far.line),
            missing: None,
            redial: Redial::new(now),
            permit: None,
            said: Said::default(),
            introduced: false,
            from_peer: far.heard,
            from_librqbit: BytesMut::new(),
            to_peer: Outbox::default(),
            to_librqbit: Outbox::default(),
            wishes: Wishes::default(),
            answers: VecDeque::new(),
            read_size: READ.start,
            heard: now,
            told_peer: now,
            told_librqbit: now,
        };
        match link.run(librqbit).await {
            Ok(never) => match never {},
            Err(end) => end,
        }
    }

    async fn run(&mut self, mut librqbit: Line) -> Result<Infallible, End> {
        let (librqbit_in, librqbit_out) = librqbit.split();
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
            let (peer_in, peer_out) = self.peer.as_mut().map(Line::split).unzip();
            tokio::select! {
                Some(order) = self.orders.recv() => self.obey_all(order)?,
                got = listen(&self.exchange, peer_in, &mut self.from_peer), if peer_may_talk => {
                    self.hear_peer(got)?;
                }
                got = read(Some(&mut *librqbit_in), &mut self.from_librqbit), if librqbit_may => {
                    self.hear_librqbit(got?)?;
                }
                sent = send(peer_out, &mut self.to_peer), if !self.to_peer.is_empty() => {
                    sent.or_else(|error| self.lose(error.into()))?;
                }
                sent = send(Some(&mut *librqbit_out), &mut self.to_librqbit), if !self.to_librqbit.is_empty() => {
                    sent?;
                }
                step = self.redial.step() => self.come_nearer(step)?,
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
            Order::Answer(block) => self.answers.push_back(block),
            Order::Leave(why) => return Err(End::Left(why)),
            // Whoever is reached anew is told anew.
            _ if self.peer.is_none() => return Ok(()),
            Order::Ask(block) => self.to_peer.put_first(&self.words(block, wire::request)),
            Order::Cancel(block) => self.to_peer.put_first(&self.words(block, wire::cancel)),
            Order::Interest => self.to_peer.put_first(&wire::INTERESTED),
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
            let read = self.exchange.content().read_torrent(geometry.start_of(block), &mut frame[13..]);
            if let Err(error) = read {
                self.exchange.fail_reading(block, error);
                return Err(End::Left("what it brought cannot be read back"));
            }
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
        if self.peer.is_some() && now - self.heard > DEAF {
            return Err(End::Left("it says nothing any more"));
        }
        if self.discretion.visiting && !self.spoke && now - self.heard > SHY {
            return Err(End::Left("it came and said nothing"));
        }
        if now - self.told_librqbit > AWAKE {
            self.give(Bytes::from_static(&wire::KEEP_ALIVE));
        }
        if self.peer.is_some() && now - self.told_peer > PEER_AWAKE {
            self.to_peer.put_first(&wire::KEEP_ALIVE);
            self.told_peer = now;
        }
        self.look_for_the_peer(now)
    }

    /// Dials it anew if it is missed.
    fn look_for_the_peer(&mut self, now: Instant) -> Result<(), End> {
        let (key, tell) = (self.key, &self.exchange);
        let (in_vain, connected) = (self.is_in_vain(now), self.peer.is_some());
        let missed = !in_vain
            && match connected {
                true => now - self.heard > SILENT && tell.tell(|desk, now| desk.is_missed(key, now)),
                false => tell.tell(|desk, now| desk.is_worth_waiting_for(key, now)),
            };
        match (missed, connected) {
            (true, _) => self.dial_anew(now),
            (false, true) => self.call_off(),
            (false, false) if in_vain => return Err(End::Left("it did not come back")),
            (false, false) => return Err(End::Left("it left, and is not waited for any more")),
        }
        Ok(())
    }

    fn is_in_vain(&self, now: Instant) -> bool {
        self.missing.is_some_and(|since| now - since > HELD)
    }

    fn dial_anew(&mut self, now: Instant) {
        if self.redial.is_due(now)
            && self.may_redial()
            && let Some(road) = &self.road
        {
            tracing::debug!("peer {}: dialling it anew", self.address);
            self.redial.dial(&**road, self.address);
        }
    }

    fn may_redial(&mut self) -> bool {
        if self.permit.is_none() {
            self.permit = self.exchange.redials.clone().try_acquire_owned().ok();
        }
        self.permit.is_some()
    }

    fn call_off(&mut self) {
        self.redial.rest();
        self.permit = None;
    }

    /// The connection to the peer broke: the end, unless it is worth to wait for it.
    fn lose(&mut self, why: End) -> Result<(), End> {
        let key = self.key;
        let worth_it = || self.exchange.tell(|desk, now| desk.is_worth_waiting_for(key, now));
        let hopeless = self.road.is_none() || self.is_in_vain(Instant::now());
        if hopeless || !worth_it() || !self.may_redial() {
            return Err(why);
        }
        tracing::debug!("peer {}: {why}; it is waited for", self.address);
        self.redial.pause(Instant::now());
        self.sever();
        Ok(())
    }

    fn sever(&mut self) {
        let key = self.key;
        if let Some(line) = self.peer.take() {
            line.reset();
        }
        self.missing.get_or_insert_with(Instant::now);
        self.wishes.forget();
        (self.from_peer, self.to_peer) = (BytesMut::new(), Outbox::default());
        self.exchange.tell(|desk, now| desk.severed(key, now));
    }

    fn come_nearer(&mut self, step: Step) -> Result<(), End> {
        match step {
            // The way is open, and still the old connection is silent.
            Step::Reached(line) => {
                self.sever();
                self.redial.greet(line, self.hello);
            }
            Step::Greeted(_, answer)
                if handshake::info_hash_of(&answer) != handshake::info_hash_of(&self.hello) =>
            {
                return Err(End::Left("it has another torrent now"));
            }
            Step::Greeted(line, answer) => self.renew(line, &answer)?,
            Step::Failed(error) => {
                tracing::debug!("peer {}: {error}", self.address);
                self.redial.pause(Instant::now());
            }
        }
        Ok(())
    }

    fn renew(&mut self, line: Line, answer: &Hello) -> Result<(), End> {
        tracing::debug!("peer {}: it is back", self.address);
        // What was ordered of the connection that is gone is not for this one.
        while let Ok(order) = self.orders.try_recv() {
            self.obey(order)?;
        }
        self.to_peer.put_first(&self.said.again(handshake::is_extended(answer)));
        (self.peer, self.permit) = (Some(line), None);
        (self.heard, self.told_peer) = (Instant::now(), Instant::now());
        let key = self.key;
        self.exchange.tell(|desk, _| desk.renewed(key));
        Ok(())
    }

    fn hear_peer(&mut self, got: io::Result<usize>) -> Result<(), End> {
        match got {
            Ok(0) => return self.lose(End::Closed("the peer")),
            Err(error) => return self.lose(error.into()),
            // A peer that fills the buffer has more to say at a time.
            Ok(got) if got >= self.read_size => self.read_size = READ.end,
            Ok(_) => {
                self.read_size = READ.start;
                self.peer.iter().for_each(Line::acknowledge);
            }
        }
        (self.heard, self.spoke) = (Instant::now(), true);
        self.call_off();
        self.take_in()
    }

    /// Takes in all whole frames that came from the peer.
    fn take_in(&mut self) -> Result<(), End> {
        let mut frames = Vec::new();
        let mut at = 0;
        let mut buffer = std::mem::take(&mut self.from_peer);
        while let Some(len) = frame_len(&buffer[at..], MAX_FRAME)? {
            let fate = self.judge(at, &buffer[at..at + len])?;
            frames.push((at..at + len, fate));
            at += len;
        }
        if frames.iter().any(|(_, fate)| matches!(fate, Fate::Take(..))) {
            self.redial.forgive();
            self.missing = None;
        }
        let heard = buffer.split_to(at).freeze();
        self.from_peer = buffer;
        self.write(&heard, &frames)?;
        self.pass_on(&heard, frames);
        Ok(())
    }

    /// What becomes of a peer's frame at offset `at`; the desk hears of it.
    fn judge(&mut self, at: usize, frame: &[u8]) -> Result<Fate, End> {
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
            Frame::Request(piece, begin, len) => self.wish(Wish::Block(piece, begin, len))?,
            Frame::Cancel(piece, begin, len) => {
                self.wishes.remove(Wish::Block(piece, begin, len));
                Fate::Swallow
            }
            Frame::Extended(0, payload) => {
                self.note(hello_of(payload));
                self.introduce(payload)
            }
            Frame::Extended(OUR_UT_METADATA, message) => match metadata_wanted(message) {
                Some(piece) if !self.exchange.content().metainfo().private => {
                    self.wish(Wish::Metadata(piece))?
                }
                _ => Fate::Swallow,
            },
            Frame::Extended(OUR_UT_PEX, list) => instead(OUR_UT_PEX, self.named(list).map(Cow::Owned)),
            Frame::KeepAlive | Frame::Unknown => Fate::Swallow,
            _ => Fate::Pass,
        })
    }

    fn note(&mut self, words: Words) {
        let key = self.key;
        self.exchange.tell(|desk, _| {
            words.queue.into_iter().for_each(|queue| desk.queues(key, queue));
            words.client.into_iter().for_each(|client| desk.introduces(key, client));
            words.port.into_iter().for_each(|port| desk.listens_at(key, port));
        });
    }

    /// What becomes of something that the peer wants of librqbit.
    fn wish(&mut self, wish: Wish) -> Result<Fate, End> {
        let at_once = self.wishes.add(wish).map_err(|Insatiable| End::Left("it wants more than it takes"))?;
        Ok(if at_once { Fate::Instead(wish.frame()) } else { Fate::Swallow })
    }

    /// librqbit gave what it was asked for.
    fn grant_the_next(&mut self) {
        if let Some(wish) = self.wishes.answered() {
            self.give(wish.frame());
        }
    }

    /// What of a peer's list of peers librqbit may hear.
    fn named(&mut self, list: &[u8]) -> Option<Vec<u8>> {
        let list = self.discretion.list(list)?;
        self.exchange.hearsay.news(&list, &mut self.share, Instant::now())
    }

    /// What becomes of a peer's extended hello: librqbit knows one that comes back.
    fn introduce(&mut self, payload: &[u8]) -> Fate {
        match (std::mem::replace(&mut self.introduced, true), self.discretion.is_lenient()) {
            (true, _) => Fate::Swallow,
            (false, true) => Fate::Pass,
            (false, false) => instead(0, self.discretion.heard(payload).map(Cow::Owned)),
        }
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
                Fate::Instead(frame) => {
                    self.flush(heard, std::mem::replace(&mut run, range.end..range.end));
                    self.give(frame);
                    false
                }
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
            let Some(frame) = self.discreet(frame)? else { continue };
            if self.passes_to_peer(&frame)? && self.peer.is_some() {
                self.to_peer.pass(frame);
                self.told_peer = Instant::now();
            }
        }
        Ok(())
    }

    /// What librqbit says, without what the peer must not hear.
    fn discreet(&self, frame: Bytes) -> Result<Option<Bytes>, End> {
        // Nearly all frames are something else, and are parsed once, later.
        if !wire::is_extended(&frame) {
            return Ok(Some(frame));
        }
        Ok(match parse(&frame)? {
            Frame::Extended(0, _) if !self.said.is_introduced() && self.discretion.is_lenient() => {
                Some(frame)
            }
            Frame::Extended(0, payload) if !self.said.is_introduced() => {
                let hello = self.discretion.said(payload).ok_or(Malformed)?;
                Some(wire::extended(0, &hello).into())
            }
            Frame::Extended(_, message) if is_metadata(message) => Some(frame),
            Frame::Extended(number, list) => {
                self.discretion.list(list).map(|list| wire::extended(number, &list).into())
            }
            _ => Some(frame),
        })
    }

    fn passes_to_peer(&mut self, frame: &[u8]) -> Result<bool, End> {
        let (key, tell) = (self.key, &self.exchange);
        let block = |piece, begin, len| tell.geometry().block(piece, begin, len);
        let frame = parse(frame)?;
        self.said.note(&frame, tell.geometry().pieces());
        Ok(match frame {
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
            Frame::Piece(..) => {
                self.grant_the_next();
                true
            }
            Frame::Extended(_, message) if is_metadata(message) => {
                self.grant_the_next();
                true
            }
            _ => true,
        })
    }
}

/// Reads from a peer, as soon as bytes may come at all.
async fn listen(exchange: &Exchange, from: Option<&mut Source>, into: &mut BytesMut) -> io::Result<usize> {
    exchange.throttle().open().await;
    let got = read(from, into).await?;
    exchange.throttle().took(got);
    Ok(got)
}

/// An extended message goes on with this in it, if there is anything.
fn instead(number: u8, payload: Option<Cow<'_, [u8]>>) -> Fate {
    payload.map_or(Fate::Swallow, |payload| Fate::Instead(wire::extended(number, &payload).into()))
}

fn pass_if(news: bool) -> Fate {
    if news { Fate::Pass } else { Fate::Swallow }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.exchange.leave(self.key);
    }
}

/// What of a peer's extended hello (BEP 10) is for us.
#[derive(Default)]
struct Words {
    /// How many requests it says that it queues.
    queue: Option<usize>,
    /// What it calls itself.
    client: Option<String>,
    /// Where it listens.
    port: Option<u16>,
}

fn hello_of(payload: &[u8]) -> Words {
    #[derive(serde::Deserialize)]
    struct Hello<'a> {
        reqq: Option<u64>,
        #[serde(borrow)]
        v: Option<&'a [u8]>,
        p: Option<u64>,
    }
    let Some((hello, _)) = bencode::decode::<Hello<'_>>(payload) else { return Words::default() };
    let name = |v| String::from_utf8_lossy(v).chars().filter(|c| !c.is_control()).take(MOST_NAME).collect();
    Words {
        queue: hello.reqq.map(|queue| queue as usize),
        client: hello.v.map(name).filter(|name: &String| !name.is_empty()),
        port: hello.p.and_then(|port| u16::try_from(port).ok()),
    }
}

#[cfg(test)]
mod tests;
