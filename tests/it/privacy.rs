//! What others learn of whoever uses it: nothing before a torrent is asked for, no name with `--private`, and no secret in
//! any log.

use std::{
    net::{Ipv4Addr, SocketAddr},
    process::Stdio,
    sync::{Arc, Mutex},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
};

use crate::support::{
    Actor, Answer, Behaviour, ClosedPort, DhtNode, HttpTracker, Libtorrent, MIB, Peer, Run, Sandbox, Serve,
    Signal, Torrent, WebServer, process, web::Reply,
};

const SECRET: &str = "0123secretpasskey";

fn tells(callers: &std::collections::BTreeSet<Vec<u8>>) -> bool {
    callers.iter().any(|name| name.starts_with(b"-SC") || name.starts_with(b"swarmcat"))
}

/// What a peer and a tracker hear of a run.
async fn heard(private: bool) -> (bool, bool) {
    let torrent = Torrent::single("whoever.bin", MIB).build();
    let peer = Peer::serving(&torrent).await;
    let tracker = HttpTracker::start(Answer::Peers(vec![peer.addr()])).await;
    let mut stream = Sandbox::new().stream(torrent.hex()).tracker(tracker.url());
    if private {
        stream = stream.arg("--private");
    }
    stream.run().await.code(0).delivered(torrent.content());
    let named = |head: &str| head.to_lowercase().contains("user-agent") || head.contains("-SC");
    (tells(&peer.counts().callers), tracker.requests().iter().any(|request| named(&request.head)))
}

#[tokio::test]
async fn a_private_run_tells_no_peer_and_no_tracker_its_name() {
    assert_eq!(heard(false).await, (true, true), "the test hears names");
    assert_eq!(heard(true).await, (false, false));
}

/// What a peer is offered by a run of this source, and what it is sent by when another run of the same kind sends lists.
async fn offered(torrent: &Torrent, source: &str, args: &[&str]) -> (bool, usize) {
    let peer = Peer::start(torrent, Behaviour::NeverUnchoke).await;
    let sandbox = Sandbox::new();
    let run = sandbox.stream(source).peer(peer.addr()).args(args).spawn();
    peer.wait_for("interest", |counts| counts.interested > 0 && counts.offers.contains("ut_metadata")).await;
    // librqbit sends its first list to whoever offered it ten seconds after the hellos.
    let open = Peer::start(&Torrent::single("open.bin", MIB).seed(9).build(), Behaviour::NeverUnchoke).await;
    let other = Sandbox::new()
        .stream(Torrent::single("open.bin", MIB).seed(9).build().hex())
        .peer(open.addr())
        .spawn();
    open.wait_for("a list of peers", |counts| counts.exchanged > 0).await;
    let counts = peer.counts();
    drop((run, other));
    (counts.offers.contains("ut_pex"), counts.exchanged)
}

#[tokio::test]
async fn neither_a_private_run_nor_a_private_torrent_exchanges_peers() {
    let torrent = Torrent::single("exchanged.bin", MIB).build();
    let marked = Torrent::single("marked.bin", MIB).private().build();
    let sandbox = Sandbox::new();
    let file = sandbox.write("marked.torrent", marked.metainfo());
    let hash = torrent.hex();
    let (private, flagged) = tokio::join!(
        offered(&torrent, &hash, &["--private"]),
        offered(&marked, file.to_str().unwrap(), &[]),
    );
    assert_eq!((private, flagged), ((false, 0), (false, 0)));
}

#[tokio::test]
async fn a_private_torrent_is_fetched_from_nobody_whom_only_the_dht_named() {
    let torrent = Torrent::single("own.bin", MIB).private().build();
    let (stranger, own) =
        (Peer::serving(&torrent).await, Peer::start(&torrent, Behaviour::WithholdMetadata).await);
    let tracker = HttpTracker::start(Answer::Peers(vec![own.addr()])).await;
    let dht = DhtNode::start([(torrent.info_hash(), vec![stranger.addr()])]).await;
    let url = tracker.url();
    let url = percent_encoding::utf8_percent_encode(&url, percent_encoding::NON_ALPHANUMERIC);
    let sandbox = Sandbox::new();
    let stream = sandbox.stream(format!("{}&tr={url}", torrent.magnet())).with_trackers().dht(dht.addr());
    stream.run().await.code(0).delivered(torrent.content());
    // Who gives the info dictionary cannot be known to be a stranger before it is there.
    assert!(stranger.counts().metadata_requests > 0);
    assert_eq!(stranger.counts().requests, 0);
}

/// Passes everything between whoever connects and one address, and keeps what each side said.
struct Tap {
    addr: SocketAddr,
    said: Arc<Mutex<[Vec<u8>; 2]>>,
    _actor: Actor,
}

impl Tap {
    async fn before(to: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap().into_std().unwrap();
        let addr = listener.local_addr().unwrap();
        let said: Arc<Mutex<[Vec<u8>; 2]>> = Arc::default();
        let keeps = said.clone();
        let actor = Actor::spawn(async move {
            let listener = TcpListener::from_std(listener).unwrap();
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((near, _)) = listener.accept().await {
                let Ok(far) = TcpStream::connect(to).await else { continue };
                let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
                connections.spawn(pass(near_in, far_out, keeps.clone(), 0));
                connections.spawn(pass(far_in, near_out, keeps.clone(), 1));
            }
        });
        Self { addr, said, _actor: actor }
    }

    fn heard(&self, side: usize, what: &str) -> bool {
        self.said.lock().unwrap()[side].windows(what.len()).any(|window| window == what.as_bytes())
    }
}

async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, said: Arc<Mutex<[Vec<u8>; 2]>>, side: usize) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(got @ 1..) = from.read(&mut buffer).await {
        said.lock().unwrap()[side].extend_from_slice(&buffer[..got]);
        if to.write_all(&buffer[..got]).await.is_err() {
            return;
        }
    }
}

#[tokio::test]
async fn libtorrent_serves_a_private_run_that_offers_it_no_exchange_of_peers() {
    let torrent = Torrent::single("tapped.bin", 2 * MIB).build();
    let libtorrent = Libtorrent::seeding_at(&torrent, Ipv4Addr::new(127, 0, 7, 1).into());
    for (args, offers) in [(&[][..], true), (&["--private"], false)] {
        let tap = Tap::before(libtorrent.addr()).await;
        let run = Sandbox::new().stream(torrent.hex()).peer(tap.addr).args(args).run().await;
        run.code(0).delivered(torrent.content());
        assert!(tap.heard(1, "ut_pex"), "libtorrent offers it to everybody");
        assert!(tap.heard(0, "ut_metadata"), "what goes by is read");
        assert_eq!(tap.heard(0, "ut_pex"), offers);
    }
}

#[tokio::test]
async fn a_private_run_asks_no_dht_even_where_it_is_told_to() {
    let torrent = Torrent::single("private.bin", MIB).build();
    let peer = Peer::serving(&torrent).await;
    let dht = DhtNode::start([]).await;
    let sandbox = Sandbox::new();
    let trace = sandbox.path("trace");
    let strace = ["strace", "-f", "-qq", "-e", "trace=network", "-o", trace.to_str().unwrap()];
    let stream = sandbox.stream(torrent.hex()).peer(peer.addr()).dht(dht.addr()).args(["--lsd", "--private"]);
    stream.under(strace).run().await.code(0).delivered(torrent.content());
    let calls = std::fs::read_to_string(trace).unwrap();
    // Peers are connected to; datagrams are sent to an address.
    let (connected, sent): (Vec<_>, Vec<_>) =
        addressed(&calls).into_iter().partition(|line| line.contains("connect("));
    assert!(!connected.is_empty() && sent.is_empty(), "{sent:?}");
}

/// The addresses that a traced program sent something to, or connected to.
fn addressed(trace: &str) -> Vec<&str> {
    let calls = ["connect(", "sendto(", "sendmsg(", "sendmmsg("];
    let outside = |line: &&str| {
        calls.iter().any(|call| line.contains(call))
            && (line.contains("sin_addr") || line.contains("sin6_addr"))
    };
    trace.lines().filter(outside).collect()
}

#[tokio::test]
async fn a_server_that_was_asked_for_no_torrent_talks_to_nobody() {
    let sandbox = Sandbox::new();
    let trace = sandbox.path("trace");
    // With the DHT, local discovery and trackers as they are by default.
    let serve = sandbox.swarmcat(["serve", "--listen", "127.0.0.1:0", "--lsd"]);
    let strace = ["strace", "-D", "-f", "-qq", "-e", "trace=network", "-o", trace.to_str().unwrap()];
    let serve = Serve::start(serve.under(strace)).await;
    for target in ["/health", "/metrics", "/torrents", "/admin/failed-torrents", "/openapi.json"] {
        assert_eq!(serve.get(target).await.status, 200, "{target}");
    }
    serve.stop().await;
    sandbox.swarmcat(["failed", "list"]).run().await.code(0);
    let calls = std::fs::read_to_string(trace).unwrap();
    assert!(calls.contains("listen("), "{calls}");
    assert_eq!(addressed(&calls), [""; 0]);
}

/// Frames that a process sent by `out`, the only way out of a network of its own, as the kernel counts them.
fn frames_out(run: &Run) -> u64 {
    let devices = std::fs::read_to_string(format!("/proc/{}/net/dev", run.pid())).unwrap();
    let out = devices.lines().find_map(|line| line.trim().strip_prefix("out:")).expect(&devices);
    // Eight numbers about what came; then the bytes and the frames that went.
    out.split_whitespace().nth(9).unwrap().parse().unwrap()
}

#[tokio::test]
async fn no_frame_leaves_the_machine_before_a_torrent_is_asked_for() {
    let sandbox = Sandbox::new();
    let socket = sandbox.path("s.sock");
    let place = format!("unix:{}", socket.display());
    // With everything that could look for peers; the address is nobody's (TEST-NET-1).
    let serve = sandbox.swarmcat(["serve", "--listen", &place, "--lsd", "--dht-bootstrap", "192.0.2.1:6881"]);
    let run = serve.impatient().with_a_way_out().spawn();
    run.wait_for_line("where it listens", |line| line.starts_with("listening on ")).await;
    let ask = |method: &str, target: &str| {
        let url = format!("http://localhost{target}");
        let mut curl = std::process::Command::new("curl");
        process::output(
            curl.args(["-s", "-X", method, "--unix-socket"]).arg(&socket).arg(url).stdout(Stdio::piped()),
        )
        .stdout
    };
    for target in ["/health", "/metrics", "/torrents", "/admin/failed-torrents", "/", "/openapi.json"] {
        assert!(!ask("GET", target).is_empty(), "{target}");
    }
    assert!(!ask("POST", "/admin/cleanup").is_empty());
    assert_eq!(frames_out(&run), 0);
    let torrent = Torrent::single("looked for.bin", MIB).build();
    ask("POST", &format!("/torrents/{}", torrent.hex()));
    assert!(frames_out(&run) > 0, "the kernel counts what leaves");
    run.signal(Signal::TERM);
    run.finish().await.code(143);
}

#[tokio::test]
async fn commands_that_need_no_network_open_no_socket() {
    let torrent = Torrent::single("listed.bin", MIB).build();
    let sandbox = Sandbox::new();
    let file = sandbox.write("some.torrent", torrent.metainfo());
    for args in [
        vec!["failed", "list"],
        vec!["failed", "clear"],
        vec!["cleanup"],
        vec!["stream", "-l", file.to_str().unwrap()],
    ] {
        let trace = sandbox.path("trace");
        let strace = ["strace", "-f", "-qq", "-e", "trace=socket", "-o", trace.to_str().unwrap()];
        sandbox.swarmcat(&args).under(strace).run().await.code(0);
        let calls = std::fs::read_to_string(&trace).unwrap();
        assert!(!calls.contains("AF_INET"), "{args:?}: {calls}");
    }
}

#[tokio::test]
async fn no_log_and_no_error_has_a_passkey() {
    let torrent = Torrent::single("passkey.bin", MIB).build();
    let closed = ClosedPort::reserve();
    let peer = Peer::start(&torrent, Behaviour::NeverUnchoke).await;
    let seed = Peer::serving(&torrent).await;
    let mut exits = std::collections::BTreeSet::new();
    let answers = [
        Answer::empty(),
        Answer::Failure("no".into()),
        Answer::ServerError,
        Answer::Garbage,
        Answer::Redirect(format!("http://{}/{SECRET}/announce", closed.addr())),
        Answer::Peers(vec![peer.addr()]),
        Answer::Peers(vec![seed.addr()]),
    ];
    for answer in answers {
        let tracker = HttpTracker::start(answer.clone()).await;
        let url = tracker.url().replace("/announce", &format!("/{SECRET}/announce?passkey={SECRET}"));
        let source = format!(
            "{}&tr={}",
            torrent.magnet(),
            percent_encoding::utf8_percent_encode(&url, percent_encoding::NON_ALPHANUMERIC)
        );
        for form in ["text", "json"] {
            let sandbox = Sandbox::new();
            let stream =
                sandbox.stream(&source).tracker(&url).tracker(format!("udp://{}/{SECRET}", closed.addr()));
            let run =
                stream.args(["-vvv", "--log-format", form, "--progress", "json"]).impatient().run().await;
            assert!(tracker.announces().len() + tracker.requests().len() > 0, "{}", run.report());
            assert!(!run.stderr_text().contains(SECRET), "{answer:?}, {form}: {}", run.stderr_text());
            assert!(sandbox.failed().iter().all(|row| !row.reason.contains(SECRET)));
            exits.insert(run.exit);
        }
    }
    assert!(exits.contains(&0) && exits.len() > 1, "runs that succeed and runs that fail: {exits:?}");
}

#[tokio::test]
async fn no_log_of_a_server_has_a_passkey_of_a_request() {
    let torrent = Torrent::single("asked.bin", MIB).build();
    let tracker = HttpTracker::start(Answer::Failure("no".into())).await;
    let sandbox = Sandbox::new();
    let serve = sandbox.serve().args(["-vvv", "--allow-private-peers"]).impatient();
    let serve = Serve::start(serve).await;
    let url = tracker.url().replace("/announce", &format!("/{SECRET}/announce"));
    let url = percent_encoding::utf8_percent_encode(&url, percent_encoding::NON_ALPHANUMERIC);
    let answer = serve.get(&format!("/stream/proxy/{}?tr={url}", torrent.hex())).await;
    assert!(answer.status != 200 && !answer.text().contains(SECRET), "{}", answer.text());
    assert!(!tracker.requests().is_empty());
    serve.run.signal(Signal::TERM);
    let told = serve.run.finish().await.stderr_text();
    assert!(!told.contains(SECRET), "{told}");
}

#[tokio::test]
async fn no_log_has_the_secret_of_a_source_that_is_a_url() {
    let server = WebServer::start(|_| Reply::Status(403)).await;
    for url in
        [server.url(&format!("x.torrent?passkey={SECRET}")), server.url(&format!("{SECRET}/x.torrent"))]
    {
        let run = Sandbox::new().stream(&url).arg("-vvv").run().await;
        assert!(run.exit != 0 && !run.stderr_text().contains(SECRET), "{}", run.report());
    }
}
