//! Links to scripted peers, on lines in memory and with a clock of their own: who is dialled anew, when, and what it hears.

use std::sync::{
    Mutex,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

use futures_util::future::BoxFuture;
use librqbit_core::Id20;
use librqbit_peer_protocol::Handshake;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
    runtime::Handle,
    sync::{mpsc, watch},
    task::JoinHandle,
    time::sleep,
};
use tokio_util::task::AbortOnDropHandle;

use super::*;
use crate::core::{
    content::Content,
    metainfo::tests::sample,
    playhead::{Playhead, PlayheadMark, Playheads},
    swarm::broker::pieces::BLOCK,
};

/// Blocks of the torrent, which is one piece: its reader waits until the last one is there.
const BLOCKS: u32 = 32;
/// librqbit's extended hello in these tests.
const INTRODUCTION: &[u8] = b"d1:md11:ut_metadatai3e6:ut_pexi1eee";

fn payload() -> Vec<u8> {
    (0..BLOCKS * BLOCK).map(|byte| (byte % 251) as u8).collect()
}

/// A handshake of somebody who knows extensions.
fn hello(torrent: u8) -> Hello {
    let mut hello = [0; 68];
    let _its_length =
        Handshake::new(Id20::new([torrent; 20]), Id20::new([9; 20])).serialize_unchecked_len(&mut hello);
    hello
}

/// A way that can be closed. Who is dialled, the test plays.
#[derive(Clone)]
struct Street {
    /// Why nobody is reached, and after how long that is known.
    closed: Arc<Mutex<Option<(io::ErrorKind, Duration)>>>,
    dials: Arc<AtomicUsize>,
    calls: mpsc::UnboundedSender<DuplexStream>,
}

impl Road for Street {
    fn dial(&self, _: SocketAddr) -> BoxFuture<'static, io::Result<Line>> {
        self.dials.fetch_add(1, Relaxed);
        let street = self.clone();
        Box::pin(async move {
            let closed = *street.closed.lock().unwrap();
            if let Some((why, after)) = closed {
                sleep(after).await;
                return Err(why.into());
            }
            let (ours, theirs) = duplex(1 << 20);
            street.calls.send(theirs).unwrap();
            Ok(ours.into())
        })
    }
}

/// One torrent, one link, librqbit before it and a peer behind it.
struct Stage {
    exchange: Arc<Exchange>,
    /// Says something as librqbit.
    librqbit: mpsc::UnboundedSender<Vec<u8>>,
    street: Street,
    calls: mpsc::UnboundedReceiver<DuplexStream>,
    link: JoinHandle<End>,
    /// What librqbit heard.
    told: Arc<Mutex<Vec<u8>>>,
    _kept: (PlayheadMark, AbortOnDropHandle<()>, AbortOnDropHandle<()>, tempfile::TempDir),
}

impl Stage {
    /// With a reader that waits for all; the peer's end of the first line.
    fn set() -> (Self, DuplexStream) {
        Self::with(true, false)
    }

    fn with(peer_exchange: bool, visiting: bool) -> (Self, DuplexStream) {
        let (dir, payload) = (tempfile::tempdir().unwrap(), payload());
        let len = payload.len() as u64;
        let content = Content::open(dir.path(), Arc::new(sample(len as u32, &[len], &payload)));
        content.set_len(0, len).unwrap();
        let exchange = Exchange::new(
            Arc::new(content),
            Handle::current(),
            Arc::default(),
            Arc::default(),
            peer_exchange,
        );
        let playheads: Arc<Playheads> = Arc::default();
        let head = Playhead { file: 0, position: 0, needs: 0, end: len, pace: None, seeks: false };
        let (mark, following) = (playheads.enter(head), exchange.follow(playheads));
        let (sender, calls) = mpsc::unbounded_channel();
        let street = Street { closed: Arc::default(), dials: Arc::default(), calls: sender };
        let (ours, peer) = duplex(1 << 20);
        let (near, librqbit) = duplex(1 << 20);
        let far = Far {
            address: ([192, 0, 2, 1], 6881).into(),
            line: ours.into(),
            heard: BytesMut::new(),
            hello: hello(7),
            road: (!visiting).then(|| Box::new(street.clone()) as Box<dyn Road>),
        };
        let link = tokio::spawn(Link::carry(exchange.clone(), far, near.into()));
        let told = Arc::default();
        let (said, says) = mpsc::unbounded_channel();
        let playing = play_librqbit(librqbit, says, Arc::clone(&told));
        let kept = (mark, following, AbortOnDropHandle::new(tokio::spawn(playing)), dir);
        (Stage { exchange, librqbit: said, street, calls, link, told, _kept: kept }, peer)
    }

    fn close_the_street(&self, why: io::ErrorKind, after: Duration) {
        *self.street.closed.lock().unwrap() = Some((why, after));
    }

    fn open_the_street(&self) {
        *self.street.closed.lock().unwrap() = None;
    }

    /// The next one who is dialled, after the handshakes.
    async fn called(&mut self) -> DuplexStream {
        let mut line = self.calls.recv().await.unwrap();
        let mut theirs = [0; 68];
        line.read_exact(&mut theirs).await.unwrap();
        assert_eq!(theirs, hello(7), "the same hello as the first time");
        line.write_all(&hello(7)).await.unwrap();
        line
    }

    async fn verified(&self) {
        let awaited = self.exchange.content().await_piece(0);
        let mut arrived = std::pin::pin!(awaited.arrived());
        arrived.as_mut().enable();
        if !self.exchange.content().verified().contains(0) {
            arrived.await;
        }
    }

    fn is_carried(&self) -> bool {
        !self.link.is_finished()
    }
}

/// It gives what it has, nothing, hears everything, and says what it is told to say.
async fn play_librqbit(
    mut line: DuplexStream,
    mut says: mpsc::UnboundedReceiver<Vec<u8>>,
    told: Arc<Mutex<Vec<u8>>>,
) {
    let said = [&wire::extended(0, INTRODUCTION)[..], &wire::UNCHOKE, &wire::INTERESTED].concat();
    line.write_all(&said).await.unwrap();
    let mut buffer = [0; 4096];
    loop {
        tokio::select! {
            Some(said) = says.recv() => line.write_all(&said).await.unwrap(),
            got = line.read(&mut buffer) => match got {
                Ok(got @ 1..) => told.lock().unwrap().extend(&buffer[..got]),
                _ => return,
            },
        }
    }
}

/// Frames, in order.
type Heard = Arc<Mutex<Vec<Vec<u8>>>>;

/// A seed: how many blocks it sent, and the frames that it heard.
struct Seed {
    blocks: watch::Receiver<u32>,
    heard: Heard,
    playing: JoinHandle<()>,
}

impl Seed {
    /// On a line of its own; it stops after so many blocks, and listens on.
    fn plays(mut line: DuplexStream, most: u32) -> Self {
        let (blocks, watched) = watch::channel(0);
        let heard = Heard::default();
        let hears = heard.clone();
        let playing = tokio::spawn(async move {
            let mut inbox = BytesMut::new();
            let first =
                [&wire::extended(0, b"d4:reqqi8ee")[..], &wire::bitfield(&[0x80]), &wire::UNCHOKE].concat();
            line.write_all(&first).await.unwrap();
            while let Ok(1..) = line.read_buf(&mut inbox).await {
                while let Some(len) = frame_len(&inbox, MAX_FRAME).unwrap() {
                    let frame = inbox.split_to(len);
                    hears.lock().unwrap().push(frame.to_vec());
                    if let Frame::Request(0, begin, len) = parse(&frame).unwrap()
                        && *blocks.borrow() < most
                    {
                        let at = begin as usize;
                        let data = &payload()[at..at + len as usize];
                        line.write_all(&[&wire::piece_head(0, begin, len)[..], data].concat()).await.unwrap();
                        blocks.send_modify(|blocks| *blocks += 1);
                    }
                }
            }
        });
        Seed { blocks: watched, heard, playing }
    }

    async fn sent(&mut self, blocks: u32) {
        self.blocks.wait_for(|sent| *sent >= blocks).await.unwrap();
    }
}

/// How often librqbit heard a peer introduce itself.
fn introductions(told: &Mutex<Vec<u8>>) -> usize {
    told.lock().unwrap().windows(4).filter(|window| *window == b"reqq").count()
}

#[tokio::test(start_paused = true)]
async fn a_peer_whose_line_is_cut_is_dialled_until_it_is_back_and_librqbit_does_not_notice() {
    let (mut stage, line) = Stage::set();
    stage.close_the_street(io::ErrorKind::TimedOut, Duration::from_secs(4));
    let mut seed = Seed::plays(line, 8);
    seed.sent(8).await;
    sleep(Duration::from_secs(30)).await;
    assert!(!seed.playing.is_finished(), "the old line stands until there is a new one");
    stage.open_the_street();
    let back = Instant::now();
    let again = Seed::plays(stage.called().await, BLOCKS);
    stage.verified().await;
    assert!(back.elapsed() < Duration::from_secs(9), "{:?}", back.elapsed());
    seed.playing.await.unwrap();
    let heard = again.heard.lock().unwrap().clone();
    assert_eq!(
        heard[..3],
        [wire::extended(0, INTRODUCTION), wire::UNCHOKE.to_vec(), wire::INTERESTED.to_vec()]
    );
    assert_eq!(*again.blocks.borrow(), BLOCKS - 8, "what came before is not asked for again");
    assert_eq!(introductions(&stage.told), 1);
    assert!(stage.is_carried());
}

#[tokio::test(start_paused = true)]
async fn a_line_that_speaks_up_before_another_is_made_is_kept() {
    let (stage, mut line) = Stage::set();
    stage.close_the_street(io::ErrorKind::TimedOut, Duration::from_secs(4));
    // It answers what it is asked nine seconds late, once.
    let playing = tokio::spawn(async move {
        let mut inbox = BytesMut::new();
        line.write_all(&[&wire::bitfield(&[0x80])[..], &wire::UNCHOKE].concat()).await.unwrap();
        sleep(Duration::from_secs(9)).await;
        while let Ok(1..) = line.read_buf(&mut inbox).await {
            while let Some(len) = frame_len(&inbox, MAX_FRAME).unwrap() {
                if let Frame::Request(0, begin, len) = parse(&inbox.split_to(len)).unwrap() {
                    let data = &payload()[begin as usize..(begin + len) as usize];
                    line.write_all(&[&wire::piece_head(0, begin, len)[..], data].concat()).await.unwrap();
                }
            }
        }
    });
    stage.verified().await;
    assert!(stage.street.dials.load(Relaxed) > 0, "it was dialled");
    assert!(!playing.is_finished() && stage.is_carried(), "and kept");
}

#[tokio::test(start_paused = true)]
async fn a_seed_that_leaves_and_comes_back_is_waited_for() {
    let (mut stage, line) = Stage::set();
    stage.close_the_street(io::ErrorKind::ConnectionRefused, Duration::ZERO);
    let mut seed = Seed::plays(line, 8);
    seed.sent(8).await;
    seed.playing.abort();
    sleep(Duration::from_secs(10)).await;
    assert!((2..6).contains(&stage.street.dials.load(Relaxed)), "{}", stage.street.dials.load(Relaxed));
    stage.open_the_street();
    let back = Instant::now();
    let _again = Seed::plays(stage.called().await, BLOCKS);
    stage.verified().await;
    assert!(back.elapsed() < Duration::from_secs(5), "{:?}", back.elapsed());
    assert!(stage.is_carried());
}

#[tokio::test(start_paused = true)]
async fn one_that_brings_nothing_each_time_is_dialled_less_and_less_often() {
    let (mut stage, line) = Stage::set();
    let mut seed = Seed::plays(line, 8);
    seed.sent(8).await;
    seed.playing.abort();
    let began = Instant::now();
    let mut pauses = Vec::new();
    let mut link = std::mem::replace(&mut stage.link, tokio::spawn(std::future::pending()));
    let end = loop {
        tokio::select! {
            line = stage.called() => drop(line),
            end = &mut link => break end.unwrap(),
        }
        pauses.push(began.elapsed().as_secs() - pauses.iter().sum::<u64>());
    };
    assert_eq!(pauses[..5], [1, 2, 4, 4, 4], "{pauses:?}");
    assert_eq!(end.to_string(), "it did not come back");
    assert!(began.elapsed() < HELD + Duration::from_secs(5), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn whoever_does_not_come_back_is_let_go_after_a_minute() {
    let (stage, line) = Stage::set();
    stage.close_the_street(io::ErrorKind::ConnectionRefused, Duration::ZERO);
    let mut seed = Seed::plays(line, 8);
    seed.sent(8).await;
    seed.playing.abort();
    let left = Instant::now();
    assert_eq!(stage.link.await.unwrap().to_string(), "it did not come back");
    assert!((HELD..HELD + Duration::from_secs(2)).contains(&left.elapsed()), "{:?}", left.elapsed());
}

#[tokio::test(start_paused = true)]
async fn one_that_never_brought_anything_or_that_others_stand_in_for_is_not_waited_for() {
    let (stage, line) = Stage::set();
    drop(line);
    assert_eq!(stage.link.await.unwrap().to_string(), "the peer closed the connection");
    let (stage, line) = Stage::set();
    let mut seed = Seed::plays(line, 8);
    seed.sent(8).await;
    let (other, _orders) = stage.exchange.join(([192, 0, 2, 2], 6881).into());
    stage.exchange.tell(|desk, now| {
        desk.has_all_of(other, &[0x80], now);
        desk.unchoked(other, now);
    });
    seed.playing.abort();
    assert_eq!(stage.link.await.unwrap().to_string(), "the peer closed the connection");
    assert_eq!(stage.street.dials.load(Relaxed), 0);
}

#[tokio::test(start_paused = true)]
async fn one_that_comes_back_with_another_torrent_is_left() {
    let (mut stage, line) = Stage::set();
    let mut seed = Seed::plays(line, 8);
    seed.sent(8).await;
    seed.playing.abort();
    let mut line = stage.calls.recv().await.unwrap();
    line.write_all(&hello(8)).await.unwrap();
    assert_eq!(stage.link.await.unwrap().to_string(), "it has another torrent now");
}

#[tokio::test(start_paused = true)]
async fn no_more_than_a_few_of_a_dead_swarm_are_dialled_anew() {
    let (stage, line) = Stage::set();
    let taken = stage.exchange.redials.clone().acquire_many_owned(8).await.unwrap();
    let mut seed = Seed::plays(line, 8);
    seed.sent(8).await;
    seed.playing.abort();
    assert_eq!(stage.link.await.unwrap().to_string(), "the peer closed the connection");
    drop(taken);
}

#[tokio::test(start_paused = true)]
async fn where_peers_are_named_to_nobody_neither_side_hears_that_they_could_be() {
    let list = wire::extended(OUR_UT_PEX, b"d5:added6:\x08\x08\x08\x08\x1a\xe1e");
    let other = wire::extended(3, b"d8:msg_typei0e5:piecei0ee");
    for allowed in [true, false] {
        let (stage, mut line) = Stage::with(allowed, false);
        let hello = wire::extended(0, b"d1:md11:ut_metadatai2e6:ut_pexi5ee4:reqqi8ee");
        line.write_all(&[&hello[..], &list, &other].concat()).await.unwrap();
        let mut heard = BytesMut::new();
        while !heard.ends_with(&wire::INTERESTED) {
            line.read_buf(&mut heard).await.unwrap();
        }
        assert_eq!(contains(&heard, b"ut_pex"), allowed, "what the peer hears");
        assert!(contains(&heard, b"ut_metadata"));
        while !contains(&stage.told.lock().unwrap(), &other) {
            sleep(Duration::from_millis(1)).await;
        }
        let told = stage.told.lock().unwrap().clone();
        assert_eq!(
            (contains(&told, b"ut_pex"), contains(&told, &list)),
            (allowed, allowed),
            "what librqbit hears"
        );
        assert!(contains(&told, b"11:ut_metadatai2e") && contains(&told, b"4:reqqi8e"));
    }
}

#[tokio::test(start_paused = true)]
async fn whatever_number_a_peer_asks_for_lists_under_it_hears_of_nobody_in_here() {
    let metadata = wire::extended(1, b"d8:msg_typei1e5:piecei0e10:total_sizei4eeinfo");
    for hellos in [
        &[&b"d1:md6:ut_pexi1eee"[..]][..],
        // librqbit does not hear of the second, and goes on with the first.
        &[b"d1:md6:ut_pexi1eee", b"d1:md6:ut_pexi2eee"],
        &[b"d1:md6:ut_pexi1ee1:v1:xe", b"de"],
        // What one side reads, and the other does not.
        &[b"d1:md6:ut_pexi1ee4:reqqi-1ee"],
    ] {
        let (stage, mut line) = Stage::set();
        let hellos = hellos.iter().flat_map(|hello| wire::extended(0, hello)).collect::<Vec<_>>();
        line.write_all(&hellos).await.unwrap();
        let heard = hears_of_one_outside(&stage, &mut line, 1).await;
        assert_eq!(introductions_of_librqbit(&heard), 1);
        stage.librqbit.send(metadata.clone()).unwrap();
        read_until(&mut line, &metadata).await;
    }
    // Under the number of a hello.
    let (stage, mut line) = Stage::set();
    line.write_all(&wire::extended(0, b"d1:md6:ut_pexi0eee")).await.unwrap();
    hears_of_one_outside(&stage, &mut line, 0).await;
}

/// What the peer heard until librqbit's list of two came, of which one is in here.
async fn hears_of_one_outside(stage: &Stage, line: &mut DuplexStream, number: u8) -> Vec<u8> {
    let list = wire::extended(number, b"d5:added12:\x08\x08\x08\x08\x1a\xe1\x0a\0\0\x05\x1a\xe1e");
    let told = wire::extended(number, b"d5:added6:\x08\x08\x08\x08\x1a\xe1e");
    stage.librqbit.send(list).unwrap();
    let heard = read_until(line, &told).await;
    assert!(!contains(&heard, &[10, 0, 0, 5]), "{heard:?}");
    heard
}

fn introductions_of_librqbit(heard: &[u8]) -> usize {
    heard.windows(INTRODUCTION.len()).filter(|window| *window == INTRODUCTION).count()
}

async fn read_until(line: &mut DuplexStream, part: &[u8]) -> Vec<u8> {
    let mut heard = BytesMut::new();
    while !contains(&heard, part) {
        assert_ne!(line.read_buf(&mut heard).await.unwrap(), 0, "{heard:?}");
    }
    heard.to_vec()
}

#[tokio::test(start_paused = true)]
async fn of_a_flood_of_addresses_librqbit_hears_what_an_honest_peer_might_have_said() {
    let (stage, mut line) = Stage::set();
    let list = |number: u32| {
        let addresses: Vec<u8> = (number * 4000..(number + 1) * 4000)
            .flat_map(|peer| [&(0x0800_0000 + peer).to_be_bytes()[..], &[0x1a, 0xe1]].concat())
            .collect();
        wire::extended(OUR_UT_PEX, &[b"d5:added", &bencode::string_of(&addresses)[..], b"e"].concat())
    };
    for number in 0..40 {
        line.write_all(&list(number)).await.unwrap();
    }
    let have = [0, 0, 0, 5, 4, 0, 0, 0, 0];
    line.write_all(&have).await.unwrap();
    while !contains(&stage.told.lock().unwrap(), &have) {
        sleep(Duration::from_millis(1)).await;
    }
    let told = stage.told.lock().unwrap().len();
    assert!((600..700).contains(&told), "a hundred addresses of six bytes: {told}");
    assert!(stage.is_carried(), "and that is all that it costs");
}

/// Frames that librqbit hears beside keep-alives, from the first on.
async fn hears(stage: &Stage, frames: usize) -> Vec<Vec<u8>> {
    loop {
        let mut told = BytesMut::from(&stage.told.lock().unwrap()[..]);
        let next = || frame_len(&told, MAX_FRAME).unwrap().map(|len| told.split_to(len).to_vec());
        let heard: Vec<_> = std::iter::from_fn(next).filter(|frame| *frame != wire::KEEP_ALIVE).collect();
        if heard.len() >= frames {
            return heard;
        }
        sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_libtorrent_asks_for_at_once_is_answered_in_full_but_for_what_it_takes_back() {
    let (stage, mut line) = Stage::set();
    let asked: Vec<_> = (0..500).map(|number| wire::request(0, number, 16)).collect();
    line.write_all(&asked.concat()).await.unwrap();
    // The last of them, which cannot have gone on yet.
    line.write_all(&wire::cancel(0, 499, 16)).await.unwrap();
    let heard = tokio::spawn(async move {
        let mut heard = BytesMut::new();
        while line.read_buf(&mut heard).await.unwrap() > 0 {}
    });
    let answer = [&wire::piece_head(0, 0, 16)[..], &[0; 16]].concat();
    let mut answered = 0;
    while answered < 499 {
        let wanted = hears(&stage, answered + 1).await;
        assert!(wanted.len() - answered <= 128, "{} at a time", wanted.len() - answered);
        for _ in answered..wanted.len() {
            stage.librqbit.send(answer.clone()).unwrap();
        }
        answered = wanted.len();
    }
    sleep(Duration::from_secs(1)).await;
    assert_eq!(hears(&stage, 0).await, asked[..499]);
    assert!(stage.is_carried());
    heard.abort();
}

#[tokio::test(start_paused = true)]
async fn whoever_asks_for_more_than_anybody_honest_is_left_and_librqbit_hears_little_of_it() {
    let metadata = wire::extended(OUR_UT_METADATA, b"d8:msg_typei0e5:piecei0ee");
    for wish in [wire::request(0, 0, 16_384).to_vec(), metadata] {
        let (stage, mut line) = Stage::set();
        let flooding = tokio::spawn(async move { while line.write_all(&wish).await.is_ok() {} });
        let told = stage.told.clone();
        assert_eq!(stage.link.await.unwrap().to_string(), "it wants more than it takes");
        assert!(told.lock().unwrap().len() <= 128 * 64);
        flooding.abort();
    }
}

#[tokio::test(start_paused = true)]
async fn librqbit_is_told_no_address_of_a_visitor_and_we_remember_where_it_listens() {
    let (stage, mut line) = Stage::with(true, true);
    line.write_all(&wire::extended(0, b"d4:ipv44:abcd1:pi7777e4:reqqi8e6:yourip4:wxyze")).await.unwrap();
    while introductions(&stage.told) == 0 {
        sleep(Duration::from_millis(1)).await;
    }
    let told = stage.told.lock().unwrap().clone();
    assert!(contains(&told, b"d4:reqqi8ee"), "{told:?}");
    assert_eq!(stage.exchange.peers()[0].address, ([192, 0, 2, 1], 6881).into());
    assert!(stage.exchange.peers()[0].incoming);
    Seed::plays(line, BLOCKS).sent(BLOCKS).await;
    stage.verified().await;
    assert_eq!(stage.exchange.bringers(), [([192, 0, 2, 1], 7777).into()]);
}

#[tokio::test(start_paused = true)]
async fn a_visitor_that_says_nothing_is_let_go_and_one_that_leaves_is_not_dialled() {
    let (came, (stage, _line)) = (Instant::now(), Stage::with(true, true));
    assert_eq!(stage.link.await.unwrap().to_string(), "it came and said nothing");
    assert!((SHY..SHY + Duration::from_secs(2)).contains(&came.elapsed()), "{:?}", came.elapsed());
    let (stage, line) = Stage::with(true, true);
    let mut seed = Seed::plays(line, 8);
    seed.sent(8).await;
    sleep(2 * SHY).await;
    assert!(stage.is_carried(), "one that spoke may be quiet");
    seed.playing.abort();
    assert_eq!(stage.link.await.unwrap().to_string(), "the peer closed the connection");
    assert_eq!(stage.street.dials.load(Relaxed), 0);
    assert_eq!(stage.exchange.bringers(), [], "nobody knows where it listens");
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}
