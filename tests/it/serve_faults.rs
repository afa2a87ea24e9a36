//! `serve` under load and under clients that mean no good: what was given to them comes back.

use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

use rand::{Rng, SeedableRng, rngs::StdRng};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::{
    Answer, Behaviour, HttpTracker, MIB, Peer, Row, Sandbox, Seeder, Serve, Torrent, serve::path,
};

/// A server that has the whole torrent on disk.
async fn kept(sandbox: &Sandbox, torrent: &Torrent) -> Serve {
    let seeder = Seeder::start(torrent).await;
    let serve = Serve::start(sandbox.serve().peer(seeder.addr())).await;
    let answer = serve.get(&path(torrent)).await;
    assert!(answer.status == 200 && answer.body == torrent.content(), "{}", answer.status);
    serve
}

/// Waits until nothing is left of the requests that there were.
async fn quiet(serve: &Serve, files: usize) {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let (readers, connections) =
            (serve.metric("swarmcat_readers").await, serve.metric("swarmcat_connections").await);
        if readers == 0.0 && connections <= 1.0 && serve.files() <= files {
            return;
        }
        let left = serve.files();
        assert!(
            Instant::now() < deadline,
            "{readers} readers, {connections} connections, {left} files of {files}"
        );
        tokio::task::yield_now().await;
    }
}

fn raise_limit_on_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum }).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_readers_of_one_file_all_get_every_byte() {
    raise_limit_on_files();
    let torrent = Torrent::single("film.mkv", 8 * MIB).build();
    let sandbox = Sandbox::new();
    let serve = kept(&sandbox, &torrent).await;
    let mut rng = StdRng::seed_from_u64(1);
    let mut open = Vec::new();
    for _ in 0..1000 {
        let start = rng.random_range(0..8 * MIB - 65_536);
        let lines = format!("Range: bytes={start}-{}\r\n", start + 65_535);
        open.push((start, serve.send("GET", &path(&torrent), &lines).await));
    }
    for (start, mut stream) in open {
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).await.unwrap();
        let expected = &torrent.content()[start..start + 65_536];
        assert!(bytes.starts_with(b"HTTP/1.1 206") && bytes.ends_with(expected), "from {start}");
    }
    serve.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_that_pause_or_leave_give_everything_back() {
    raise_limit_on_files();
    let torrent = Torrent::single("film.mkv", 16 * MIB).build();
    let sandbox = Sandbox::new();
    let serve = kept(&sandbox, &torrent).await;
    quiet(&serve, usize::MAX).await;
    let files = serve.files();

    let mut paused = Vec::new();
    for _ in 0..200 {
        let mut stream = serve.send("GET", &path(&torrent), "").await;
        stream.read_exact(&mut [0; 12]).await.unwrap();
        paused.push(stream);
    }
    assert_eq!(serve.metric("swarmcat_readers").await, 200.0);
    let open = serve.files();
    assert!(open <= files + 202, "{open} files, {files} before 200 sockets and the one film");
    let began = Instant::now();
    assert!(serve.get(&path(&torrent)).await.body == torrent.content());
    assert!(
        began.elapsed() < Duration::from_secs(10),
        "paused readers hold nobody up: {:?}",
        began.elapsed()
    );
    drop(paused);

    let mut rng = StdRng::seed_from_u64(2);
    for _ in 0..300 {
        let (start, most) = (rng.random_range(0..16 * MIB), rng.random_range(0..256 * 1024));
        let lines = format!("Range: bytes={start}-\r\n");
        let mut stream = serve.send("GET", &path(&torrent), &lines).await;
        let mut bytes = vec![0; most];
        let _ = stream.read(&mut bytes).await;
    }
    quiet(&serve, files + 2).await;
    assert_eq!(serve.metric("swarmcat_panics_total").await, 0.0);
    serve.stop().await;
}

#[tokio::test]
async fn a_hundred_requests_for_a_cold_torrent_are_one_attempt() {
    let torrent = Torrent::single("film.mkv", 2 * MIB).build();
    let peer = Peer::start(&torrent, Behaviour::Rate { bytes_per_second: 4_000_000 }).await;
    let sandbox = Sandbox::new();
    let serve = sandbox.serve().peer(peer.addr()).args(["--starts-per-minute", "1"]);
    let serve = Serve::start(serve).await;
    let mut open = Vec::new();
    for reader in 0..100 {
        let lines = format!("Range: bytes={}-\r\n", reader * 20_000);
        open.push((reader * 20_000, serve.send("GET", &path(&torrent), &lines).await));
    }
    for (start, mut stream) in open {
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).await.unwrap();
        assert!(
            bytes.starts_with(b"HTTP/1.1 206") && bytes.ends_with(&torrent.content()[start..]),
            "from {start}: {} bytes that begin with {:?}",
            bytes.len(),
            String::from_utf8_lossy(&bytes[..bytes.len().min(300)])
        );
    }
    let torrents = serve.json("GET", "/torrents").await;
    assert_eq!(torrents["torrents"].as_array().unwrap().len(), 1);
    assert_eq!(torrents["torrents"][0]["verified"], 2 * MIB);
    serve.stop().await;
}

#[tokio::test]
async fn slow_and_silent_clients_leave_the_others_alone() {
    let torrent = Torrent::single("film.mkv", 2 * MIB).build();
    let sandbox = Sandbox::new();
    let serve = kept(&sandbox, &torrent).await;
    let mut bad = Vec::new();
    for start in [
        "",
        "GET ",
        "GET /health HTTP/1.1\r\nX: ",
        "POST /admin/cleanup HTTP/1.1\r\nContent-Length: 9\r\n\r\nx",
    ] {
        for _ in 0..50 {
            let mut stream = serve.connect().await;
            stream.write_all(start.as_bytes()).await.unwrap();
            bad.push(stream);
        }
    }
    for _ in 0..5 {
        assert!(serve.get(&path(&torrent)).await.body == torrent.content());
        assert_eq!(serve.get("/health").await.status, 200);
    }
    serve.stop().await;
}

/// One of each kind; none looks for a torrent that somebody may have.
fn sane_requests(serve: &Serve) -> Vec<String> {
    let host = serve.address;
    let get = |target: &str, lines: &str| format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n{lines}\r\n");
    let post = |target: &str, body: &str| {
        let len = body.len();
        format!("POST {target} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {len}\r\n\r\n{body}")
    };
    vec![
        get("/stream/proxy/zz?file=1&tr=x", "Range: bytes=0-1\r\nIf-Range: \"x\"\r\n"),
        get("/admin/failed-torrents?all=1", "Accept: application/json\r\nOrigin: http://localhost\r\n"),
        get("/torrents", "Authorization: Bearer x\r\nSec-Fetch-Site: none\r\n"),
        get("/playlist/zz.m3u8", "X-Forwarded-For: 192.0.2.1\r\nTransfer-Encoding: identity\r\n"),
        post("/admin/cleanup?older_than=30m&dry_run=1", ""),
        post("/torrents", "d4:infod6:lengthi1e4:name1:xee"),
    ]
}

/// Nothing, or an answer that is in order: an error is JSON of our own, and none of them is a defect.
fn understood_or_refused(answer: &[u8]) {
    if answer.is_empty() {
        return;
    }
    let text = String::from_utf8_lossy(answer);
    assert!(text.starts_with("HTTP/1.1 "), "{text}");
    let answer = crate::support::serve::Answer::parse(answer);
    assert!(answer.status < 500 || answer.status == 503, "{text}");
    // What hyper refuses by itself has no body.
    if answer.status >= 400 && !answer.body.is_empty() {
        // Half a request may stand behind it, and is refused by itself.
        let mut values = serde_json::Deserializer::from_slice(&answer.body).into_iter();
        let json: serde_json::Value = values.next().unwrap().unwrap_or_else(|_| panic!("{text}"));
        assert!(["error", "message", "type"].iter().all(|key| json[key].is_string()), "{text}");
    }
}

#[tokio::test]
async fn garbage_is_answered_with_a_refusal_or_not_at_all() {
    let sandbox = Sandbox::new();
    let serve = Serve::start(sandbox.serve().arg("--no-trackers")).await;
    let mut rng = StdRng::seed_from_u64(3);
    let sane = sane_requests(&serve);
    let mut row = Row::new("B4", 500);
    for number in 0..row.times() {
        let mut bytes = sane[number as usize % sane.len()].clone().into_bytes();
        for _ in 0..rng.random_range(1..8) {
            let at = rng.random_range(0..bytes.len());
            bytes[at] = rng.random();
        }
        let began = Instant::now();
        let mut stream = serve.connect().await;
        stream.write_all(&bytes).await.unwrap();
        let _ = stream.shutdown().await;
        let mut answer = Vec::new();
        let _ =
            tokio::time::timeout(crate::support::PATIENCE, stream.read_to_end(&mut answer)).await.unwrap();
        let took = began.elapsed();
        row.took(took);
        let in_time = !row.measures() || took < Duration::from_secs(1);
        row.blocking_case(String::from_utf8_lossy(&bytes), || {
            understood_or_refused(&answer);
            assert!(in_time, "answered after {took:?}");
        });
    }
    assert_eq!(serve.metric("swarmcat_panics_total").await, 0.0);
    row.end();
    serve.stop().await;
}

#[tokio::test]
async fn torrents_that_are_only_looked_for_take_room_as_well() {
    /// As many as may be open at once, and as many as are asked for.
    const ROOM: usize = 25;
    const ASKED: usize = 1000;
    let sandbox = Sandbox::new();
    let tracker = HttpTracker::start(Answer::Silence).await;
    let serve = sandbox.serve().tracker(tracker.url()).args(["--starts-per-minute", "100000"]);
    let serve = Serve::start(serve).await;
    let target = |number: usize| format!("/stream/proxy/{number:040x}");
    let mut looking = Vec::new();
    for number in 0..ROOM {
        looking.push(serve.send("GET", &target(number), "").await);
    }
    tracker.wait_for_announces(ROOM).await;
    for number in ROOM..ASKED {
        let refused = serve.get(&target(number)).await;
        assert_eq!((refused.status, refused.kind().as_str()), (503, "busy"), "{}", refused.text());
        assert!(refused.headers.contains_key("retry-after"));
    }
    assert_eq!(serve.json("GET", "/torrents").await["torrents"].as_array().unwrap().len(), ROOM);
    let asked_for: HashSet<Vec<u8>> = tracker.announces().into_iter().map(|asked| asked.info_hash).collect();
    assert_eq!(asked_for.len(), ROOM, "what is refused asks nobody");
    drop(looking.pop());
    loop {
        let mut again = serve.send("GET", &target(ROOM), "").await;
        tokio::select! {
            announced = tracker.wait_for_announces(ROOM + 1) => break drop(announced),
            // The one that left may still be on its way out.
            _ = again.read_u8() => {}
        }
    }
    drop(looking);
    serve.stop().await;
}

#[tokio::test]
async fn a_refusal_is_as_quick_as_a_look_at_the_table() {
    let sandbox = Sandbox::new();
    sandbox.plant_failures((0..10_000).map(|row| format!("{row:040x}")), Duration::from_secs(300));
    let serve = Serve::start(sandbox.serve().arg("--no-trackers")).await;
    let mut times = Vec::new();
    for row in 0..100 {
        let began = Instant::now();
        let answer = serve.get(&format!("/stream/proxy/{row:040x}")).await;
        times.push(began.elapsed());
        assert_eq!(answer.kind(), "cooldown");
        let seconds: u64 = answer.headers["retry-after"].parse().unwrap();
        assert!((200..=300).contains(&seconds), "{seconds}");
    }
    times.sort();
    assert!(times[50] < Duration::from_millis(50), "{times:?}");
    assert_eq!(serve.metric("swarmcat_starts_total").await, 0.0);
    assert_eq!(serve.metric("swarmcat_cooldown_left_seconds_count").await, 100.0);
    serve.stop().await;
}
