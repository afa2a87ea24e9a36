//! `serve` with more clients than it likes: paused, idle, slow, too many, and for a long time.

use std::time::{Duration, Instant};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
};

use crate::support::{Behaviour, MIB, Peer, Row, Sandbox, Seeder, Serve, Torrent, serve::path};

fn raise_limit_on_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum }).unwrap();
}

/// A server with a film of 8 MiB on its disk.
async fn kept(sandbox: &Sandbox, more: &[&str]) -> (Serve, Torrent) {
    let torrent = Torrent::single("film.mkv", 8 * MIB).build();
    let seeder = Seeder::start(&torrent).await;
    let serve = Serve::start(sandbox.serve().peer(seeder.addr()).args(more)).await;
    fetch(&serve, &torrent).await;
    (serve, torrent)
}

/// How long the whole film takes, every byte compared.
async fn fetch(serve: &Serve, torrent: &Torrent) -> Duration {
    let began = Instant::now();
    let answer = serve.get(&path(torrent)).await;
    assert!(answer.status == 200 && answer.body == torrent.content(), "{}", answer.status);
    began.elapsed()
}

/// The middle one of some fetches.
async fn pace(serve: &Serve, torrent: &Torrent) -> Duration {
    let mut times = Vec::new();
    for _ in 0..15 {
        times.push(fetch(serve, torrent).await);
    }
    times.sort();
    times[7]
}

/// A download at 3 MB/s with so many readers that take nothing; how long it took, and the first byte of one more reader.
async fn beside_paused(readers: usize) -> (Duration, Duration) {
    let torrent = Torrent::single("film.mkv", 12 * MIB).build();
    let peer = Peer::start(&torrent, Behaviour::Rate { bytes_per_second: 3_000_000 }).await;
    let sandbox = Sandbox::new();
    let serve = Serve::start(sandbox.serve().peer(peer.addr())).await;
    let mut paused = Vec::new();
    for _ in 0..readers {
        let mut stream = serve.send("GET", &path(&torrent), "").await;
        stream.read_exact(&mut [0; 12]).await.unwrap();
        paused.push(stream);
    }
    let began = Instant::now();
    let mut one_more = serve.send("GET", &path(&torrent), "").await;
    one_more.read_exact(&mut [0; 12]).await.unwrap();
    let first = began.elapsed();
    let mut bytes = Vec::new();
    one_more.read_to_end(&mut bytes).await.unwrap();
    assert!(bytes.ends_with(torrent.content()));
    let took = peer_took(&peer, &torrent, began).await;
    serve.stop().await;
    (took, first)
}

async fn peer_took(peer: &Peer, torrent: &Torrent, began: Instant) -> Duration {
    peer.wait_for("all blocks", |counts| counts.blocks >= torrent.block_count()).await;
    began.elapsed()
}

#[tokio::test]
#[ignore = "a measurement: cargo bench --bench trust"]
async fn paused_readers_cost_a_download_nothing() {
    raise_limit_on_files();
    let mut row = Row::new("L2", 1);
    for number in 0..row.times() {
        let (alone, _) = beside_paused(1).await;
        let (crowded, first) = beside_paused(200).await;
        row.took(first);
        row.case(number, async {
            // What 200 readers fetched before the clock started is to the good of the crowded one.
            assert!(crowded.as_secs_f64() < 1.05 * alone.as_secs_f64() + 0.3, "{crowded:?}, alone {alone:?}");
            assert!(first < Duration::from_secs(1), "first byte after {first:?}");
        })
        .await;
    }
    row.end();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement: cargo bench --bench trust"]
async fn idle_connections_are_cheap_and_let_go() {
    raise_limit_on_files();
    let mut row = Row::new("L3", 200);
    let sandbox = Sandbox::new();
    let (serve, torrent) = kept(&sandbox, &["--max-connections", "12000"]).await;
    let alone = pace(&serve, &torrent).await;
    let before = serve.status("VmRSS:");
    let request = format!("GET /health HTTP/1.1\r\nHost: {}\r\n\r\n", serve.address);
    let mut idle = Vec::new();
    for _ in 0..row.times() {
        let mut stream = serve.connect().await;
        stream.write_all(request.as_bytes()).await.unwrap();
        stream.read_exact(&mut [0; 12]).await.unwrap();
        idle.push(stream);
    }
    let opened = Instant::now();
    let each = (serve.status("VmRSS:") - before) / f64::from(row.times());
    row.saw(each, "KiB each");
    let beside = pace(&serve, &torrent).await;
    row.case("a good client", async { assert!(beside < 2 * alone, "{beside:?}, alone {alone:?}") }).await;
    row.case("memory", async { assert!(each <= 20.0 || row_is_small(each), "{each} KiB") }).await;
    for (number, mut stream) in idle.into_iter().enumerate() {
        row.case(number, async {
            let left =
                tokio::time::timeout(Duration::from_secs(25), stream.read_to_end(&mut Vec::new())).await;
            assert!(left.is_ok(), "still open after {:?}", opened.elapsed());
        })
        .await;
    }
    serve.stop().await;
    row.end();
}

/// A few hundred connections cannot be told from what the allocator keeps.
fn row_is_small(each: f64) -> bool {
    std::env::var_os("SWARMCAT_ROW_TIMES").is_none() && each < 200.0
}

#[tokio::test]
#[ignore = "a measurement: cargo bench --bench trust"]
async fn more_connections_than_there_is_room_for_hold_up_nobody_who_is_in() {
    raise_limit_on_files();
    let mut row = Row::new("L4", 150);
    let sandbox = Sandbox::new();
    let (serve, torrent) = kept(&sandbox, &["--max-connections", "100"]).await;
    let mut inside = Vec::new();
    for _ in 0..85 {
        let mut stream = serve.send("GET", &path(&torrent), "").await;
        stream.read_exact(&mut [0; 12]).await.unwrap();
        inside.push(stream);
    }
    let mut outside = JoinSet::new();
    for _ in 0..row.times() {
        let (address, target) = (serve.address, path(&torrent));
        outside.spawn(async move { one_too_many(address, &target).await });
    }
    for _ in 0..20 {
        let began = Instant::now();
        let answer = serve.get("/health").await;
        row.took(began.elapsed());
        row.case("health", async { assert_eq!(answer.status, 200) }).await;
    }
    while let Some(ended) = outside.join_next().await {
        row.case("one too many", async { ended.unwrap() }).await;
    }
    for (number, mut stream) in inside.into_iter().enumerate() {
        let mut bytes = Vec::new();
        let read = stream.read_to_end(&mut bytes).await;
        row.case(number, async { assert!(read.is_ok() && bytes.ends_with(torrent.content())) }).await;
    }
    assert_eq!(serve.metric("swarmcat_panics_total").await, 0.0);
    serve.stop().await;
    row.end();
}

/// Is answered, told to come back later, or not let in at all; never left hanging.
async fn one_too_many(address: std::net::SocketAddr, target: &str) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head =
        format!("GET {target} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nRange: bytes=0-0\r\n\r\n");
    let _ = stream.write_all(head.as_bytes()).await;
    let mut bytes = Vec::new();
    let _ = tokio::time::timeout(crate::support::PATIENCE, stream.read_to_end(&mut bytes)).await.unwrap();
    let text = String::from_utf8_lossy(&bytes).to_lowercase();
    let later = text.starts_with("http/1.1 503") && text.contains("retry-after: ");
    assert!(bytes.is_empty() || later || text.starts_with("http/1.1 206"), "{text}");
}

/// A table of ten thousand rows, and readers all the while.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement: cargo bench --bench trust"]
async fn the_operator_is_answered_whatever_else_goes_on() {
    let mut row = Row::new("L7", 100);
    let sandbox = Sandbox::new();
    let table: String = (0..10_000)
        .map(|row| {
            format!(
                "\n[[failed]]\ninfo_hash = \"{row:040x}\"\nkind = \"no_peers\"\nreason = \"no peers\"\n\
                 failed_at = 2026-01-01T00:00:00Z\nretry_at = 2026-01-01T00:05:00Z\nattempts = 1\n"
            )
        })
        .collect();
    let (serve, torrent) = kept(&sandbox, &[]).await;
    std::fs::write(sandbox.state().join("failed.toml"), format!("version = 1\n{table}")).unwrap();
    let mut readers = JoinSet::new();
    for _ in 0..50 {
        let (address, target) = (serve.address, path(&torrent));
        readers.spawn(async move { film_pace(address, &target).await });
    }
    let mut times = Vec::new();
    let mut due = tokio::time::interval(Duration::from_millis(2));
    for number in 0..row.times() {
        due.tick().await;
        let target = ["/metrics", "/admin/failed-torrents"][number as usize % 2];
        let began = Instant::now();
        let answer = serve.get(target).await;
        times.push(began.elapsed());
        row.case(target, async { assert_eq!(answer.status, 200) }).await;
    }
    times.sort();
    let p99 = times[(times.len() - 1) * 99 / 100];
    row.took(p99);
    readers.abort_all();
    serve.stop().await;
    row.end();
}

/// Reads 64 KiB/s until it is ended.
async fn film_pace(address: std::net::SocketAddr, target: &str) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = format!("GET {target} HTTP/1.1\r\nHost: {address}\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut due = tokio::time::interval(Duration::from_secs(1));
    let mut bytes = vec![0; 64 * 1024];
    while stream.read_exact(&mut bytes).await.is_ok() {
        due.tick().await;
    }
}
