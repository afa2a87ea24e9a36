//! `serve` with more clients than it likes: paused, idle, slow, too many, and for a long time.

use std::time::{Duration, Instant};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
};

use crate::support::{
    Behaviour, MIB, Peer, Row, Sandbox, Seeder, Serve, Torrent, serve::path, viewer::watch,
};

fn raise_limit_on_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum }).unwrap();
}

/// A server with a film on its disk.
async fn kept(sandbox: &Sandbox, size: usize, more: &[&str]) -> (Serve, Torrent) {
    let torrent = Torrent::single("film.mkv", size).build();
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
    for _ in 0..101 {
        times.push(fetch(serve, torrent).await);
    }
    share(&mut times, 0.5)
}

/// The time that so large a part of them did not exceed.
fn share(times: &mut [Duration], part: f64) -> Duration {
    times.sort_unstable();
    times[((times.len() - 1) as f64 * part) as usize]
}

/// So many viewers of one film, all of whom come within a second, for so many seconds; how long each waits for its first
/// byte.
fn crowd(serve: &Serve, film: &Torrent, viewers: u32, seconds: usize) -> JoinSet<Duration> {
    let first = tokio::time::Instant::now() + Duration::from_millis(100);
    let mut crowd = JoinSet::new();
    for number in 0..viewers {
        let begins = first + Duration::from_secs(1) * number / viewers;
        let (address, film) = (serve.address, film.clone());
        crowd.spawn(async move { watch(address, &path(&film), &film, begins, seconds).await });
    }
    crowd
}

/// What the server says of too few open files.
fn scarcity(serve: &Serve) -> Option<String> {
    serve.run.stderr().into_iter().find(|line| line.contains("cannot accept"))
}

/// Waits until the one that asks has the only connection.
async fn alone(serve: &Serve) {
    while serve.metric("swarmcat_connections").await > 1.0 {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement: cargo bench --bench trust"]
async fn a_thousand_viewers_get_every_byte_in_time() {
    raise_limit_on_files();
    let mut row = Row::new("L1", 1000);
    let sandbox = Sandbox::new();
    let (serve, film) = kept(&sandbox, 64 * MIB, &[]).await;
    alone(&serve).await;
    let files = serve.files();
    let (mut crowd, mut firsts) = (crowd(&serve, &film, row.times(), 60), Vec::new());
    while let Some(ended) = crowd.join_next().await {
        row.case("a viewer", async { firsts.push(ended.unwrap()) }).await;
    }
    let (over, p99) = (Instant::now(), share(&mut firsts, 0.99));
    let (peak, most) = (serve.status("VmHWM:") / 1024.0, 150.0 + f64::from(row.times()) / 8.0);
    row.saw(p99.as_secs_f64() * 1e3, "ms to the first byte at p99");
    row.saw(peak, "MiB");
    row.case("first byte", async { assert!(p99 <= Duration::from_millis(250), "{p99:?}") }).await;
    row.case("memory", async { assert!(peak <= most, "{peak} MiB of {most}") }).await;
    while serve.files() > files && over.elapsed() < Duration::from_secs(10) {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    row.case("files", async { assert!(serve.files() <= files, "{} of {files}", serve.files()) }).await;
    assert_eq!(serve.metric("swarmcat_panics_total").await, 0.0);
    serve.stop().await;
    row.end();
}

/// A download at 3 MB/s with so many readers that take nothing; how long it took, and the first byte of one more reader.
async fn beside_paused(readers: usize) -> (Duration, Duration) {
    let torrent = Torrent::single("film.mkv", 24 * MIB).build();
    let peer = Peer::start(&torrent, Behaviour::Rate { bytes_per_second: 3_000_000 }).await;
    let sandbox = Sandbox::new();
    let serve = Serve::start(sandbox.serve().peer(peer.addr())).await;
    let (mut paused, started) = (Vec::new(), Instant::now());
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
    let took = peer_took(&peer, &torrent, started).await;
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
        let rate = 100.0 * alone.as_secs_f64() / crowded.as_secs_f64();
        row.saw(100.0 - rate, "% of the rate lost");
        row.case(number, async {
            assert!(rate >= 95.0, "{rate} % of the rate: {crowded:?}, alone {alone:?}");
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
    let (serve, torrent) = kept(&sandbox, 8 * MIB, &["--max-connections", "12000"]).await;
    let before_them = pace(&serve, &torrent).await;
    let before = serve.status("VmRSS:");
    let request = format!("GET /health HTTP/1.1\r\nHost: {}\r\n\r\n", serve.address);
    let mut idle = Vec::new();
    for _ in 0..row.times() {
        let mut stream = serve.connect().await;
        stream.write_all(request.as_bytes()).await.unwrap();
        stream.read_exact(&mut [0; 12]).await.unwrap();
        idle.push(stream);
    }
    let opened = tokio::time::Instant::now();
    let each = (serve.status("VmRSS:") - before) / f64::from(row.times());
    let (there, wanted) = (serve.metric("swarmcat_connections").await, f64::from(row.times()));
    let beside = pace(&serve, &torrent).await;
    row.case("all are there", async { assert!(there > wanted, "{there}") }).await;
    row.saw(each, "KiB each");
    row.case("memory", async { assert!(each <= 20.0 || row_is_small(each), "{each} KiB") }).await;
    for (number, mut stream) in idle.into_iter().enumerate() {
        row.case(number, async {
            let left = tokio::time::timeout_at(opened + LET_GO, stream.read_to_end(&mut Vec::new())).await;
            assert!(left.is_ok(), "still open after {:?}", opened.elapsed());
        })
        .await;
    }
    row.saw(opened.elapsed().as_secs_f64(), "s until the last was let go");
    let alone = before_them.max(pace(&serve, &torrent).await);
    let rate = 100.0 * alone.as_secs_f64() / beside.as_secs_f64();
    row.saw(100.0 - rate, "% of a good client's rate lost");
    row.case("a good client", async { assert!(rate >= 95.0, "{beside:?}, alone {alone:?}") }).await;
    row.case("files", async { assert_eq!(scarcity(&serve), None) }).await;
    serve.stop().await;
    row.end();
}

/// An idle connection may stay for as long as a head may take, and 5 s.
const LET_GO: Duration = Duration::from_secs(20);

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
    let (serve, torrent) = kept(&sandbox, 8 * MIB, &["--max-connections", "100"]).await;
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
        let took = began.elapsed();
        row.took(took);
        row.case("health", async {
            assert_eq!(answer.status, 200);
            assert!(took <= Duration::from_millis(100), "{took:?}");
        })
        .await;
    }
    while let Some(ended) = outside.join_next().await {
        row.case("one too many", async { ended.unwrap() }).await;
    }
    for (number, mut stream) in inside.into_iter().enumerate() {
        let mut bytes = Vec::new();
        let read = stream.read_to_end(&mut bytes).await;
        row.case(number, async { assert!(read.is_ok() && bytes.ends_with(torrent.content())) }).await;
    }
    row.case("files", async { assert_eq!(scarcity(&serve), None) }).await;
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

/// 500 questions a second beside a thousand viewers, of which one in fifty is for the whole table; each is sent when it is
/// due, however slow the answers are.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement: cargo bench --bench trust"]
async fn the_operator_is_answered_whatever_else_goes_on() {
    raise_limit_on_files();
    let mut row = Row::new("L7", 15_000);
    let sandbox = Sandbox::new();
    let (serve, film) = kept(&sandbox, 64 * MIB, &[]).await;
    sandbox.plant_failures((0..10_000).map(|row| format!("{row:040x}")), Duration::from_secs(300));
    let mut viewers = crowd(&serve, &film, 1000, row.times() as usize / 500 + 5);
    tokio::time::sleep(Duration::from_secs(2)).await;
    let began = tokio::time::Instant::now();
    let serve = std::sync::Arc::new(serve);
    let mut asking = JoinSet::new();
    for number in 0..row.times() {
        let (serve, due) = (serve.clone(), began + Duration::from_millis(2) * number);
        asking.spawn(async move {
            tokio::time::sleep_until(due).await;
            let target = if number % 50 == 0 { "/admin/failed-torrents" } else { "/metrics" };
            let answer = serve.get(target).await;
            (answer.status, due.elapsed())
        });
    }
    let mut times = Vec::new();
    while let Some(ended) = asking.join_next().await {
        let (status, took) = ended.unwrap();
        times.push(took);
        row.case("a question", async { assert_eq!(status, 200) }).await;
    }
    while let Some(ended) = viewers.join_next().await {
        row.case("a viewer", async { assert!(ended.unwrap() > Duration::ZERO) }).await;
    }
    let (p99, read) = (share(&mut times, 0.99), table_read(&sandbox));
    row.saw(p99.as_secs_f64() * 1e3, "ms at p99");
    row.saw(read.as_secs_f64() * 1e3, "ms to read the table");
    row.case("in time", async { assert!(p99 <= Duration::from_millis(50), "{p99:?}") }).await;
    row.case("the table", async { assert!(read <= Duration::from_millis(20), "{read:?}") }).await;
    std::sync::Arc::into_inner(serve).unwrap().stop().await;
    row.end();
}

/// How long a process needs to read that table: the middle one of some tries.
fn table_read(sandbox: &Sandbox) -> Duration {
    use swarmcat::core::{failed::FailedTable, settings::CooldownSettings};
    let mut times: Vec<_> = (0..21)
        .map(|_| {
            let began = Instant::now();
            let table = FailedTable::new(&sandbox.state(), CooldownSettings::default());
            assert_eq!(table.list(true, time::OffsetDateTime::now_utc()).unwrap().len(), 10_000);
            began.elapsed()
        })
        .collect();
    share(&mut times, 0.5)
}
