//! A block that one link cannot bring is handed back and brought by another: links, librqbit, hashes, readers and the clock
//! around one desk, in many orders.
//!
//! Who shares a thread in a running program does so here: a torrent's links, with librqbit's ends of those that were dialled,
//! take their steps one at a time; librqbit's ends of visitors are the session's, hashes and readers have threads of
//! their own, and peers speak when they like.

use std::{
    collections::{BTreeSet, VecDeque},
    sync::{
        OnceLock,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::BytesMut;
use futures_util::{FutureExt as _, future::BoxFuture};
use librqbit::storage::TorrentStorage as _;
use librqbit_core::lengths::Lengths;
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex},
    sync::mpsc::UnboundedReceiver,
};

use super::{
    desk::Order,
    picker::Head,
    pieces::{BLOCK, Block, PeerKey},
    *,
};
use crate::core::{
    metainfo::{Metainfo, tests::sample},
    reader::models::{opened, torrent_of},
    swarm::{
        storage::ContentStorage,
        wire::{self, Frame, MAX_FRAME, frame_len, parse},
    },
    sync::models::{Clock, Tasks, explore_in_time, memory_dir, spawn, thread},
};

/// Two blocks, the second a short one: what is hashed the quickest and can still be brought by two.
const PIECE_LEN: u32 = BLOCK + 10;
const LEN: u64 = 2 * PIECE_LEN as u64;
const BLOCKS: usize = 4;
/// A peer answers no more requests.
const CHOKE: [u8; 5] = [0, 0, 0, 1, 0];
/// So often nobody does anything before time passes: seldom enough that those who can act do.
const IDLE_TURNS: usize = 40;

fn payload() -> &'static [u8] {
    static PAYLOAD: OnceLock<Vec<u8>> = OnceLock::new();
    PAYLOAD.get_or_init(|| (0..LEN).map(|byte| (byte % 251) as u8).collect())
}

fn metainfo() -> Arc<Metainfo> {
    static METAINFO: OnceLock<Arc<Metainfo>> = OnceLock::new();
    METAINFO.get_or_init(|| Arc::new(sample(PIECE_LEN, &[LEN], payload()))).clone()
}

/// What a peer does.
#[derive(Clone, Copy)]
struct Script {
    /// So many blocks it brings as it is asked,
    brings: usize,
    /// and then it does this.
    then: Then,
    /// Its blocks are not those of the torrent.
    lies: bool,
}

#[derive(Clone, Copy)]
enum Then {
    Leaves,
    /// Says that it leaves, and is heard to the end.
    Closes,
    /// Forgets what it was asked, and lets us ask again later.
    Chokes,
    /// Says nothing for so long, and brings then all that it was ever asked.
    Sleeps(Duration),
}

const HONEST: Script = Script { brings: usize::MAX, then: Then::Leaves, lies: false };

impl Script {
    /// Plays it to its end, or to the line's.
    async fn play(mut self, mut line: DuplexStream) -> std::io::Result<()> {
        line.write_all(&[&wire::bitfield(&[0xc0])[..], &wire::UNCHOKE].concat()).await?;
        let mut inbox = BytesMut::new();
        let mut asked = VecDeque::new();
        loop {
            let read = line.read_buf(&mut inbox);
            let heard = if asked.is_empty() { Some(read.await) } else { read.now_or_never() };
            if let Some(0) = heard.transpose()? {
                return Ok(());
            }
            hear(&mut inbox, &mut asked);
            if self.brings == 0 {
                match self.then {
                    Then::Leaves => return Ok(()),
                    Then::Closes => {
                        line.shutdown().await?;
                        return line.read_to_end(&mut Vec::new()).await.map(drop);
                    }
                    Then::Chokes => {
                        asked.clear();
                        line.write_all(&CHOKE).await?;
                        shuttle::future::yield_now().await;
                        line.write_all(&wire::UNCHOKE).await?;
                    }
                    Then::Sleeps(long) => tokio::time::sleep(long).await,
                }
                self.brings = usize::MAX;
            } else if let Some(block) = asked.pop_front() {
                self.brings -= 1;
                line.write_all(&self.answer(block)).await?;
                shuttle::future::yield_now().await;
            }
        }
    }

    fn answer(&self, (piece, begin, len): Words) -> Vec<u8> {
        let at = (piece * PIECE_LEN + begin) as usize;
        let mut frame =
            [&wire::piece_head(piece, begin, len)[..], &payload()[at..at + len as usize]].concat();
        frame[13] ^= u8::from(self.lies);
        frame
    }
}

/// Piece, offset, length.
type Words = (u32, u32, u32);

/// Takes a peer's requests in, and back.
fn hear(inbox: &mut BytesMut, asked: &mut VecDeque<Words>) {
    while let Some(len) = frame_len(inbox, MAX_FRAME).unwrap() {
        match parse(&inbox.split_to(len)).unwrap() {
            Frame::Request(piece, begin, len) => asked.push_back((piece, begin, len)),
            Frame::Cancel(piece, begin, len) => asked.retain(|words| *words != (piece, begin, len)),
            _ => {}
        }
    }
}

/// librqbit's end of a link: asks for a piece, writes what it is given, hashes it and says so.
struct Librqbit {
    exchange: Arc<Exchange>,
    wants: u32,
    /// Blocks that it was given.
    given: Arc<AtomicUsize>,
}

impl Librqbit {
    async fn play(self, mut line: DuplexStream) -> std::io::Result<()> {
        let Librqbit { exchange, wants, given } = self;
        let geometry = exchange.geometry();
        let blocks = (0..geometry.blocks(wants)).map(|index| Block { piece: wants, index });
        line.write_all(&wire::INTERESTED).await?;
        for block in blocks.clone() {
            line.write_all(&wire::request(wants, block.begin(), geometry.block_bytes(block))).await?;
        }
        let storage = ContentStorage::new(exchange.clone(), false);
        let mut missing: BTreeSet<u32> = blocks.map(Block::begin).collect();
        let mut inbox = BytesMut::new();
        while line.read_buf(&mut inbox).await? > 0 {
            while let Some(len) = frame_len(&inbox, MAX_FRAME).unwrap() {
                let frame = inbox.split_to(len);
                let Frame::Piece(piece, begin, _) = parse(&frame).unwrap() else { continue };
                assert!(
                    piece == wants && missing.remove(&begin),
                    "piece {piece}, {begin}: given unasked, or twice"
                );
                storage.pwrite_all(0, u64::from(piece * PIECE_LEN + begin), &frame[13..]).unwrap();
                given.fetch_add(1, Relaxed);
            }
            if missing.is_empty() && !verifies(&exchange, &storage, wants) {
                return Ok(());
            }
        }
        Ok(())
    }
}

/// librqbit hashes what is on disk.
fn verifies(exchange: &Exchange, storage: &ContentStorage, piece: u32) -> bool {
    let right = exchange.content().check(piece, false).unwrap().0;
    if right {
        let lengths = Lengths::new(LEN, PIECE_LEN).unwrap();
        storage.on_piece_completed(lengths.validate_piece_index(piece).unwrap()).unwrap();
    }
    right
}

/// One torrent of two pieces, with all that runs on its thread.
struct Stage {
    exchange: Arc<Exchange>,
    /// Who reads the whole, and who the end of it.
    readers: [thread::JoinHandle<()>; 2],
    /// The torrent's thread.
    tasks: Tasks,
    clock: Clock,
    /// What passes when everybody waits.
    step: Duration,
    /// In which all must be there.
    limit: Duration,
    _dir: TempDir,
}

impl Stage {
    /// With two who read already.
    fn set(clock: Clock, step: Duration, limit: Duration) -> Self {
        let dir = memory_dir();
        let content = Arc::new(Content::open(dir.path(), metainfo()));
        content.set_len(0, LEN).unwrap();
        let runtime = tokio::runtime::Handle::current();
        let exchange = Exchange::new(content.clone(), runtime, Arc::default(), Arc::default(), true);
        let reading = opened(Arc::new(torrent_of(content)));
        let tasks = Tasks::start();
        Tasks::take(exchange.clone().heed(reading.playheads().clone()));
        let readers = [0, u64::from(PIECE_LEN) + 5].map(|from| {
            let reading = reading.clone();
            thread::spawn(move || {
                let read = reading.read(from..LEN, BLOCK as usize).unwrap();
                assert!(read == payload()[from as usize..], "wrong bytes from {from}");
            })
        });
        while !exchange.is_deserted() {
            thread::yield_now();
        }
        Stage { exchange, readers, tasks, clock, step, limit, _dir: dir }
    }

    /// A link to a peer, on which librqbit wants a piece; how many blocks it was given.
    fn link(&self, peer: u8, script: Script, road: Option<Box<dyn Road>>, wants: u32) -> Arc<AtomicUsize> {
        let ((ours, theirs), (near, librqbit)) = (duplex(1 << 20), duplex(1 << 20));
        let address = ([192, 0, 2, peer], 6881).into();
        let visiting = road.is_none();
        let far = Far { address, line: ours.into(), heard: BytesMut::new(), hello: [0; 68], road };
        let carrying = Link::carry(self.exchange.clone(), far, near.into());
        Tasks::take(carrying.map(drop));
        spawn(script.play(theirs));
        let given = Arc::default();
        let librqbit =
            Librqbit { exchange: self.exchange.clone(), wants, given: Arc::clone(&given) }.play(librqbit);
        match visiting {
            true => drop(spawn(librqbit)),
            false => Tasks::take(librqbit.map(drop)),
        }
        given
    }

    /// Waits until all is read and nobody owes anybody anything, and then until everybody is gone.
    fn ends(self, given: &[&AtomicUsize]) -> Arc<Exchange> {
        let mut passed = Duration::ZERO;
        while !self.is_over(given) {
            (0..IDLE_TURNS).for_each(|_| thread::yield_now());
            assert!(passed < self.limit, "{}", self.describe());
            self.clock.advance(self.step);
            passed += self.step;
        }
        self.readers.into_iter().for_each(|reader| reader.join().unwrap());
        let mut there = vec![0; LEN as usize];
        self.exchange.content().read_torrent(0, &mut there).unwrap();
        assert!(there == payload(), "what was verified was written over");
        let exchange = self.exchange;
        drop(self.tasks);
        while Arc::strong_count(&exchange) > 1 {
            thread::yield_now();
        }
        exchange
    }

    fn is_over(&self, given: &[&AtomicUsize]) -> bool {
        let at_rest = self.exchange.tell(|desk, _| {
            desk.assert_sound();
            desk.is_at_rest()
        });
        let all_given = given.iter().all(|given| given.load(Relaxed) == BLOCKS / 2);
        at_rest && all_given && self.exchange.content().verified().count() == 2
    }

    fn describe(&self) -> String {
        self.exchange.tell(|desk, _| format!("{}\n{}", desk.describe(0), desk.describe(1)))
    }
}

/// Where nobody lies: each block was taken and written once, each piece hashed once, but for those that librqbit hashed.
fn assert_done_once(exchange: &Arc<Exchange>) {
    exchange.tell(|desk, _| assert_eq!(desk.tally().taken, LEN));
    assert_eq!(exchange.content().written(), LEN);
    assert!(Tasks::works() <= 2, "{} hashes of two pieces", Tasks::works());
}

/// A way on which somebody always is, who plays this.
struct Street(Script);

impl Road for Street {
    fn dial(&self, _: SocketAddr) -> BoxFuture<'static, io::Result<Line>> {
        let ((ours, mut theirs), script) = (duplex(1 << 20), self.0);
        spawn(async move {
            theirs.read_exact(&mut [0; 68]).await?;
            theirs.write_all(&[0; 68]).await?;
            script.play(theirs).await
        });
        Box::pin(async { Ok(ours.into()) })
    }
}

fn dialled() -> Option<Box<dyn Road>> {
    Some(Box::new(Street(HONEST)))
}

const TICK: Duration = Duration::from_millis(50);

/// Nobody needs the patience that silent peers get.
const AT_ONCE: Duration = Duration::from_secs(5);

#[test]
fn what_a_peer_leaves_behind_is_brought_by_another() {
    explore_in_time(|clock| {
        let stage = Stage::set(clock, TICK, AT_ONCE);
        stage.link(1, Script { brings: 1, then: Then::Leaves, lies: false }, None, 0);
        let chokes = stage.link(2, Script { brings: 1, then: Then::Chokes, lies: false }, dialled(), 0);
        let stays = stage.link(3, HONEST, None, 1);
        let exchange = stage.ends(&[&chokes, &stays]);
        exchange
            .tell(|desk, _| assert_eq!((desk.tally().taken, desk.tally().bad), (LEN, 0), "each block once"));
        assert_eq!(exchange.content().written(), LEN);
    });
}

#[test]
fn a_bad_piece_is_brought_anew_and_nothing_bad_is_written_later() {
    explore_in_time(|clock| {
        let stage = Stage::set(clock, TICK, AT_ONCE);
        stage.link(1, Script { lies: true, ..HONEST }, None, 0);
        let honest = stage.link(2, HONEST, dialled(), 0);
        let other = stage.link(3, HONEST, None, 1);
        let exchange = stage.ends(&[&honest, &other]);
        assert!(
            !exchange.is_banned(([192, 0, 2, 2], 6881).into())
                && !exchange.is_banned(([192, 0, 2, 3], 6881).into())
        );
    });
}

#[test]
fn what_a_silent_peer_brings_after_all_is_nobodys_twice() {
    explore_in_time(|clock| {
        let stage = Stage::set(clock, 10 * TICK, Duration::from_secs(30));
        let sleeps = Then::Sleeps(Duration::from_secs(7));
        let late = stage.link(1, Script { brings: 1, then: sleeps, lies: false }, None, 0);
        let later = stage.link(2, Script { brings: 2, then: sleeps, lies: false }, dialled(), 1);
        let exchange = stage.ends(&[&late, &later]);
        assert_done_once(&exchange);
    });
}

#[test]
fn a_peer_that_comes_back_goes_on() {
    explore_in_time(|clock| {
        let stage = Stage::set(clock, 5 * TICK, Duration::from_secs(10));
        let first = stage.link(1, Script { brings: 1, then: Then::Closes, lies: false }, dialled(), 0);
        let exchange = stage.ends(&[&first]);
        assert_done_once(&exchange);
    });
}

/// What a peer has been asked for and was not told to forget, as it hears it.
fn heard(mut orders: UnboundedReceiver<Order>) -> BTreeSet<Block> {
    let mut asked = BTreeSet::new();
    while let Ok(order) = orders.try_recv() {
        match order {
            Order::Ask(block) => assert!(asked.insert(block), "{block:?} is asked twice"),
            Order::Cancel(block) => assert!(asked.remove(&block), "{block:?} was not asked"),
            _ => {}
        }
    }
    asked
}

#[test]
fn no_order_overtakes_another() {
    explore_in_time(|_| {
        let dir = memory_dir();
        let content = Arc::new(Content::open(dir.path(), metainfo()));
        content.set_len(0, LEN).unwrap();
        let runtime = tokio::runtime::Handle::current();
        let exchange = Exchange::new(content.clone(), runtime, Arc::default(), Arc::default(), true);
        let (one, its_orders) = exchange.join(([192, 0, 2, 1], 6881).into());
        let opens = |exchange: &Arc<Exchange>, key: PeerKey| {
            exchange.tell(|desk, now| desk.has_all_of(key, &[0xc0], now));
            exchange.tell(|desk, now| desk.unchoked(key, now));
        };
        let [here, there] = [exchange.clone(), exchange.clone()];
        let asks = thread::spawn(move || {
            let head = Head { needs: 0, end: LEN, runway: 0, pace: None };
            here.tell(|desk, now| desk.set_heads(vec![head], now));
            opens(&here, one);
        });
        let joins = thread::spawn(move || {
            let (other, orders) = there.join(([192, 0, 2, 2], 6881).into());
            opens(&there, other);
            (other, orders)
        });
        content.write_torrent(0, &[&payload()[..PIECE_LEN as usize]]).unwrap();
        content.complete(0);
        exchange.completed(0);
        asks.join().unwrap();
        let (other, other_orders) = joins.join().unwrap();
        for (key, orders) in [(one, its_orders), (other, other_orders)] {
            assert_eq!(
                exchange.tell(|desk, _| desk.asked(key)),
                heard(orders),
                "what it hears and what the desk believes"
            );
        }
    });
}
