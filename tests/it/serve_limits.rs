//! What `serve` keeps open and on disk, for how long, and for whom it remembers a failure.

use std::{collections::VecDeque, time::Duration};

use swarmcat::core::{Streamer, streamer::Request};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
};

use crate::support::{
    Answer, Behaviour, HttpTracker, KIB, MIB, PATIENCE, Peer, Sandbox, Serve, Torrent,
    serve::{self, path, succeeds},
};

const DEAD: &str = "453475aec9bb4de3423649db8aa3cd2312538ca7";

/// Two films, a server that knows who has them, and somebody who reads the first, which does not come any further.
struct Cinema {
    sandbox: Sandbox,
    serve: Serve,
    films: [Torrent; 2],
    reader: TcpStream,
    _peers: [Peer; 2],
}

impl Cinema {
    async fn open(config: &str) -> Self {
        let films = ["first.mkv", "second.mkv"].map(|name| Torrent::single(name, 2 * MIB).build());
        let first = Peer::start(&films[0], Behaviour::StallAfter { blocks: 8 }).await;
        let second = Peer::serving(&films[1]).await;
        let mut sandbox = Sandbox::new();
        sandbox.configure(config);
        let serve = Serve::start(sandbox.serve().peer(first.addr()).peer(second.addr())).await;
        let mut reader = serve.send("GET", &path(&films[0]), "").await;
        reader.read_exact(&mut [0; 1000]).await.unwrap();
        Self { sandbox, serve, films, reader, _peers: [first, second] }
    }

    /// The second film is refused for as long as somebody reads the first, and then plays.
    async fn plays_the_second_once_nobody_reads_the_first(self, status: u16, kind: &str) -> Sandbox {
        let Self { sandbox, serve, films, reader, .. } = self;
        let refused = serve.get(&path(&films[1])).await;
        assert_eq!((refused.status, refused.kind().as_str()), (status, kind), "{}", refused.text());
        drop(reader);
        serve.settles("swarmcat_readers", 0.0).await;
        let played = serve.get(&path(&films[1])).await;
        assert!(played.status == 200 && played.body == films[1].content(), "{}", played.status);
        serve.stop().await;
        sandbox
    }
}

#[tokio::test]
async fn a_torrent_that_nobody_reads_gives_way_and_one_that_is_read_does_not() {
    let cinema = Cinema::open("max_torrents = 1").await;
    cinema.plays_the_second_once_nobody_reads_the_first(503, "busy").await;
}

#[tokio::test]
async fn the_disk_that_torrents_may_take_is_kept_to_while_one_plays() {
    let cinema = Cinema::open("max_disk = \"3MiB\"").await;
    let first = cinema.films[0].clone();
    let sandbox = cinema.plays_the_second_once_nobody_reads_the_first(507, "storage").await;
    assert!(!sandbox.torrent_dir(&first).exists(), "what nobody reads made room");
    assert!(sandbox.failed().is_empty(), "a full disk is not the torrent's fault");
}

#[tokio::test]
async fn what_was_on_disk_before_makes_room_as_well_once_nobody_reads_it() {
    let films = ["first.mkv", "second.mkv"].map(|name| Torrent::single(name, 2 * MIB).build());
    let mut sandbox = Sandbox::filled(&films[0]).await;
    sandbox.configure("max_disk = \"3MiB\"");
    let peer = Peer::serving(&films[1]).await;
    let serve = Serve::start(sandbox.serve().peer(peer.addr())).await;
    for film in &films {
        let played = serve.get(&path(film)).await;
        assert!(played.status == 200 && played.body == film.content(), "{}", played.status);
        serve.settles("swarmcat_readers", 0.0).await;
    }
    assert!(!sandbox.torrent_dir(&films[0]).exists(), "what nobody reads made room");
    serve.stop().await;
}

#[tokio::test]
async fn who_asks_again_for_a_torrent_that_brought_nothing_is_refused_at_once() {
    let film = Torrent::single("film.mkv", 2 * MIB).build();
    let peer = Peer::start(&film, Behaviour::NeverUnchoke).await;
    let sandbox = Sandbox::new();
    let serve = Serve::start(sandbox.serve().peer(peer.addr()).impatient()).await;
    assert_eq!(serve.get(&path(&film)).await.kind(), "timeout");
    let refused = serve.get(&path(&film)).await;
    assert_eq!((refused.status, refused.kind().as_str()), (503, "cooldown"), "{}", refused.text());
    assert_eq!(sandbox.only_failed().attempts, 1);
    // It is still looked after: what comes of it now is had in spite of the table.
    peer.set(Behaviour::Serve);
    let played = serve.get(&format!("{}?force=1", path(&film))).await;
    assert!(played.status == 200 && played.body == film.content(), "{}", played.text());
    assert!(sandbox.failed().is_empty());
    serve.stop().await;
}

#[tokio::test]
async fn a_torrent_goes_on_for_its_grace_after_its_last_reader_and_then_pauses() {
    let torrent = Torrent::single("film.mkv", 2 * MIB).build();
    let peer = Peer::start(&torrent, Behaviour::StallAfter { blocks: 8 }).await;
    let sandbox = Sandbox::new();
    let streamer = Streamer::new(sandbox.settings(peer.addr()));
    let opened = streamer.open(Request::of(torrent.hex().parse().unwrap())).await.unwrap();
    let hash = torrent.hex().parse().unwrap();
    streamer.let_go_of_idle(Duration::ZERO);
    assert!(streamer.is_open(&hash), "somebody reads it");
    drop(opened);
    streamer.let_go_of_idle(Duration::from_secs(3600));
    assert!(streamer.is_open(&hash) && peer.counts().open > 0, "it has its grace");
    streamer.let_go_of_idle(Duration::ZERO);
    assert!(!streamer.is_open(&hash));
    peer.wait_for("the end of its connections", |counts| counts.open == 0).await;
    assert!(sandbox.torrent_dir(&torrent).exists(), "what came is kept");
}

/// Of a client that is told to come back later, or asks for what begins at `start`: whether it got it.
async fn told_or_served(mut stream: TcpStream, torrent: Torrent, start: usize) -> bool {
    let mut bytes = Vec::new();
    let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut bytes)).await;
    read.expect("an answer in time").expect("an answer");
    let served = bytes.starts_with(b"HTTP/1.1 206");
    assert!(served || bytes.starts_with(b"HTTP/1.1 503"), "{}", String::from_utf8_lossy(&bytes));
    assert!(!served || bytes.ends_with(&torrent.content()[start..start + KIB]), "from {start}");
    served
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_files_are_few_clients_and_peers_leave_each_other_enough() {
    /// Room for 87 ordinary connections, 9 of the operator's, and 16 peers.
    const FILES: usize = 800;
    let torrent = Torrent::single("film.mkv", 2 * MIB).build();
    let mut peers = Vec::new();
    for _ in 0..40 {
        peers.push(Peer::start(&torrent, Behaviour::StallAfter { blocks: 0 }).await);
    }
    let (sandbox, limit) = (Sandbox::new(), format!("--nofile={FILES}:{FILES}"));
    let serve = peers.iter().fold(sandbox.serve(), |serve, peer| serve.peer(peer.addr()));
    let serve = Serve::start(serve.under(["prlimit", &limit])).await;
    let mut clients = JoinSet::new();
    for number in 0..FILES {
        let start = number * KIB;
        let lines = format!("Range: bytes={start}-{}\r\n", start + KIB - 1);
        let stream = serve.send("GET", &path(&torrent), &lines).await;
        clients.spawn(told_or_served(stream, torrent.clone(), start));
    }
    let open = || peers.iter().map(|peer| peer.counts().open).sum::<usize>();
    while serve.metric("swarmcat_connections").await < 87.0
        || clients.try_join_next().is_none()
        || open() == 0
    {
        tokio::task::yield_now().await;
    }
    let open = open();
    assert!((1..=2 * 16).contains(&open), "{open} peers, those that were greeted and wait included");
    let files = serve.files();
    assert!(files < FILES, "{files}");
    peers.iter().for_each(|peer| peer.set(Behaviour::Serve));
    let served = clients.join_all().await.into_iter().filter(|served| *served).count();
    assert!(served >= 87, "{served}");
    let scarce = |line: &String| line.contains("cannot accept") || line.contains("os error 24");
    assert_eq!(serve.run.stderr().into_iter().find(scarce), None);
    serve.stop().await;
}

/// Somebody who begins to say what it wants, and does not go on.
async fn hesitant(serve: &Serve) -> TcpStream {
    let mut stream = serve.connect().await;
    stream.write_all(b"GET /torrents HTTP/1.1\r\n").await.unwrap();
    stream
}

#[tokio::test]
async fn whoever_does_not_say_what_it_wants_gives_way_and_is_told_so() {
    let sandbox = Sandbox::new();
    // Nine ordinary connections, and one of the operator's.
    let serve = Serve::start(sandbox.serve().args(["--no-trackers", "--max-connections", "10"])).await;
    let mut there = VecDeque::new();
    for _ in 0..9 {
        there.push_back(hesitant(&serve).await);
    }
    for _ in 0..12 {
        let (mut first, mut told) = (there.pop_front().unwrap(), Vec::new());
        let mut reading = std::pin::pin!(first.read_to_end(&mut told));
        let ended = loop {
            tokio::select! {
                ended = &mut reading => break ended,
                answer = serve.get("/health") => assert_eq!(answer.status, 200),
            }
        };
        ended.expect("no reset");
        let told = serve::Answer::parse(&told);
        assert_eq!((told.status, told.kind().as_str()), (503, "busy"));
        assert_eq!(
            (told.headers["retry-after"].as_str(), told.headers["connection"].as_str()),
            ("5", "close")
        );
        there.push_back(hesitant(&serve).await);
    }
    drop(there);
    serve.stop().await;
}

#[tokio::test]
async fn a_torrent_is_found_also_where_the_peers_of_others_take_every_place() {
    let torrent = Torrent::single("film.mkv", MIB).build();
    let (peer, sandbox) = (Peer::serving(&torrent).await, Sandbox::new());
    let mut settings = sandbox.settings(peer.addr());
    settings.swarm.peers_in_all = 0;
    let source = torrent.hex().parse().unwrap();
    let found = Streamer::new(settings).metainfo(&source, false, Default::default()).await.unwrap();
    assert_eq!(found.info_hash.to_string(), torrent.hex());
}

#[tokio::test]
async fn a_failure_may_count_for_the_one_who_asked_alone() {
    let tracker = HttpTracker::start(Answer::empty()).await;
    let mut sandbox = Sandbox::new();
    sandbox.configure("[cooldown]\nscope = \"client\"");
    let serve = Serve::start(sandbox.serve().tracker(tracker.url()).impatient()).await;
    let target = format!("/stream/proxy/{DEAD}");
    assert_eq!(serve.get(&target).await.kind(), "no_peers");
    assert_eq!(serve.get(&target).await.kind(), "cooldown");
    let other = ["curl", "-s", "--interface", "127.0.0.2", &serve.url(&target)];
    let told = String::from_utf8(succeeds(sandbox.root(), &other).await).unwrap();
    assert!(told.contains("\"no_peers\""), "an attempt of its own: {told}");
    assert_eq!(sandbox.failed().len(), 2);
    serve.stop().await;
}
