//! `serve` and clients that say nothing, or almost nothing: whoever is still there is waited for, whoever is not is let
//! go, and nobody else is held up.

use std::{
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use crate::support::{
    Figures, MIB, PATIENCE, Row, Sandbox, Serve, Torrent, process,
    serve::{path, succeeds},
};

/// A client in the background; killed when dropped.
struct Client(Child);

impl Client {
    /// What it writes to a pipe is not read: it takes what the pipe takes, then it is paused.
    fn start(line: &[&str]) -> Self {
        let mut command = Command::new(line[0]);
        command.args(&line[1..]).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        Self(process::spawn(&mut command).unwrap_or_else(|error| panic!("{}: {error}", line[0])))
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Readers of a server, asked through its Unix socket.
async fn readers(sandbox: &Sandbox, socket: &str) -> f64 {
    let line = ["curl", "-sf", "--unix-socket", socket, "http://localhost/metrics"];
    let text = String::from_utf8(succeeds(sandbox.root(), &line).await).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("swarmcat_readers "));
    line.unwrap_or_else(|| panic!("no readers in\n{text}")).parse().unwrap()
}

async fn wait_for_readers(sandbox: &Sandbox, socket: &str, wanted: f64) {
    let began = Instant::now();
    loop {
        let now = readers(sandbox, socket).await;
        if now == wanted {
            return;
        }
        assert!(began.elapsed() < PATIENCE, "{now} readers instead of {wanted}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn a_cut_cable_is_noticed_and_a_paused_player_is_waited_for() {
    /// Of the server, before it looks whether a reader is still there until it is sure.
    const SILENCE: Duration = Duration::from_secs(4);
    // More than the kernel buffers for a reader that takes nothing.
    let torrent = Torrent::single("film.mkv", 32 * MIB).build();
    let sandbox = Sandbox::filled(&torrent).await;
    let socket = sandbox.path("s.sock").display().to_string();
    let serve = sandbox.serve().args(["--listen", &format!("unix:{socket}"), "--silence-timeout", "4s"]);
    let serve = Serve::start(serve.in_own_network()).await;
    let file = serve.file(&torrent);
    let inside = |line: &[&str]| serve.run.inside(line);
    let start = |line: &[&str]| Client::start(&inside(line).iter().map(String::as_str).collect::<Vec<_>>());
    let _paused = start(&["curl", "-sN", &file]);
    let _playing = start(&["curl", "-sN", "--limit-rate", "500k", "-o", "/dev/null", &file]);
    wait_for_readers(&sandbox, &socket, 2.0).await;
    // That nothing happens can only be seen by waiting for it.
    tokio::time::sleep(2 * SILENCE).await;
    assert_eq!(readers(&sandbox, &socket).await, 2.0, "a reader that is still there was let go");

    let cut = inside(&["ip", "link", "set", "lo", "down"]);
    succeeds(sandbox.root(), &cut.iter().map(String::as_str).collect::<Vec<_>>()).await;
    wait_for_readers(&sandbox, &socket, 0.0).await;
    serve.stop().await;
}

#[tokio::test]
async fn slowhttptest_holds_nobody_up() {
    /// Connections that each attack opens, and as many as must be seen at once.
    const ATTACKERS: (&str, f64) = ("300", 150.0);
    let torrent = Torrent::single("film.mkv", 8 * MIB).build();
    let sandbox = Sandbox::filled(&torrent).await;
    let serve = Serve::start(sandbox.serve()).await;
    let file = serve.file(&torrent);
    let clear = serve.url("/admin/failed-torrents/clear");
    let attack = |seconds: &'static str, how: &[&'static str], url: &str| -> Vec<String> {
        let start = ["slowhttptest", "-c", ATTACKERS.0, "-r", ATTACKERS.0, "-l", seconds, "-u", url];
        start.iter().chain(how).map(|&part| part.to_owned()).collect()
    };
    // Those that stay: heads and reads that come to no end.
    for how in [&["-H", "-i", "1"][..], &["-X", "-w", "1", "-y", "512", "-z", "5", "-k", "3"]] {
        let line = attack("60", how, &file);
        let attacking = Client::start(&line.iter().map(String::as_str).collect::<Vec<_>>());
        let began = Instant::now();
        while a_good_client(&serve, &torrent).await < ATTACKERS.1 {
            assert!(began.elapsed() < PATIENCE, "{how:?}: the attack has not come");
        }
        a_good_client(&serve, &torrent).await;
        drop(attacking);
        nobody_left(&serve).await;
    }
    // Those that are refused at once: a body, and a range that is too long to be one.
    for (how, url) in [(&["-B", "-s", "4096"][..], &clear), (&["-R", "-t", "GET", "-b", "3000"], &file)] {
        let line = attack("3", how, url);
        let line: Vec<_> = line.iter().map(String::as_str).collect();
        let mut attacked = std::pin::pin!(succeeds(sandbox.root(), &line));
        let said = loop {
            tokio::select! {
                said = &mut attacked => break String::from_utf8(said).unwrap(),
                _ = a_good_client(&serve, &torrent) => {}
            }
        };
        assert!(said.contains("Exit status"), "{said}");
        nobody_left(&serve).await;
    }
    assert_eq!(serve.metric("swarmcat_panics_total").await, 0.0);
    serve.stop().await;
}

/// What slowhttptest can do, and whether its connections are there to stay.
const ATTACKS: [(&str, &[&str], bool); 4] = [
    ("heads", &["-H", "-i", "10"], true),
    ("bodies", &["-B", "-i", "10", "-s", "8192"], false),
    ("ranges", &["-R", "-t", "GET", "-b", "3000"], false),
    ("reads", &["-X", "-w", "1", "-y", "512", "-z", "5", "-k", "3"], true),
];
/// The processor of the server and its good client, and the attacker's. slowhttptest takes half a processor for itself,
/// whatever it attacks, and in life it has a machine of its own: what a good client loses here is what the server does for
/// the attack, and what the kernel does for the server.
const PROCESSORS: (&str, &str) = ("0", "1");
/// How long an attack lasts, and how long its last connection may.
const ATTACK: Duration = Duration::from_secs(60);
const LET_GO: Duration = Duration::from_secs(30);
/// How long a good client is watched without an attack, before and after it.
const ALONE: Duration = Duration::from_secs(10);

#[tokio::test]
#[ignore = "a measurement: cargo bench --bench trust"]
async fn a_thousand_slow_connections_cost_a_good_client_nothing() {
    let mut row = Row::new("L5", 1000);
    let torrent = Torrent::single("film.mkv", 8 * MIB).build();
    let sandbox = Sandbox::filled(&torrent).await;
    stay_on(PROCESSORS.0);
    let serve = Serve::start(sandbox.serve()).await;
    for (name, how, stays) in ATTACKS {
        let (serve, torrent, crowd) = (&serve, &torrent, row.times());
        row.telling_case(name, async |seen| attacked(serve, torrent, how, stays, crowd, seen).await).await;
    }
    assert_eq!(serve.metric("swarmcat_panics_total").await, 0.0);
    serve.stop().await;
    row.end();
}

/// From now on this thread and what it starts have one processor.
fn stay_on(processor: &str) {
    let thread = std::fs::read_link("/proc/thread-self").unwrap();
    let thread = thread.file_name().unwrap().to_str().unwrap().to_owned();
    let mut command = Command::new("taskset");
    command.args(["-p", "-c", processor, &thread]).stdout(Stdio::null());
    assert!(process::output(&mut command).status.success(), "there is no processor {processor}");
}

/// One attack of so many connections, and a good client that fetches the file again and again; how fast before, during and
/// after it.
async fn attacked(
    serve: &Serve,
    torrent: &Torrent,
    how: &[&str],
    stays: bool,
    most: u32,
    seen: &mut Figures,
) {
    let before = fetches(serve, torrent, ALONE).await;
    let (count, rate) = (most.to_string(), (most / 5).to_string());
    let url = if how[0] == "-B" { serve.url("/admin/failed-torrents/clear") } else { serve.file(torrent) };
    let line =
        ["taskset", "-c", PROCESSORS.1, "slowhttptest", "-c", &count, "-r", &rate, "-l", "60", "-u", &url];
    let mut attacking = Client::start(&[&line, how].concat());
    let (began, mut there, mut fetched, mut free) = (Instant::now(), 0.0_f64, 0, None);
    while began.elapsed() < ATTACK && attacking.0.try_wait().unwrap().is_none() {
        let now = a_good_client(serve, torrent).await;
        fetched += 1;
        there = there.max(now);
        free = if now > 1.0 { None } else { free.or(Some(began.elapsed())) };
    }
    let beside = f64::from(fetched) / began.elapsed().as_secs_f64();
    let ended = Instant::now();
    drop(attacking);
    nobody_left(serve).await;
    let let_go = ended.elapsed();
    let alone = (before + fetches(serve, torrent, ALONE).await) / 2.0;
    let rate = 100.0 * beside / alone;
    seen.saw(100.0 - rate, "% of a good client's rate lost");
    assert!(!stays || there > 0.5 * f64::from(most), "{there} connections at most: no attack");
    assert!(rate >= 95.0, "{beside} fetches a second, {rate} % of what it is alone");
    assert!(let_go < LET_GO, "{let_go:?}");
    // A reader that takes a little now and then may stay; nobody else may for so long.
    if how[0] != "-X" {
        let free = free.unwrap_or(ATTACK + let_go);
        seen.saw(free.as_secs_f64(), "s until the last was let go");
        assert!(free < LET_GO + ATTACK / 12, "{free:?}");
    }
}

/// Fetches a second of a good client that is alone.
async fn fetches(serve: &Serve, torrent: &Torrent, length: Duration) -> f64 {
    let (began, mut count) = (Instant::now(), 0.0);
    while began.elapsed() < length {
        a_good_client(serve, torrent).await;
        count += 1.0;
    }
    count / began.elapsed().as_secs_f64()
}

/// Takes the whole file, and tells how many connections the server has.
async fn a_good_client(serve: &Serve, torrent: &Torrent) -> f64 {
    let answer = serve.get(&path(torrent)).await;
    assert!(answer.status == 200 && answer.body == torrent.content(), "{}", answer.status);
    serve.metric("swarmcat_connections").await
}

/// Waits until what the attackers had is given back.
async fn nobody_left(serve: &Serve) {
    let began = Instant::now();
    while serve.metric("swarmcat_connections").await > 1.0 || serve.metric("swarmcat_readers").await > 0.0 {
        assert!(began.elapsed() < PATIENCE, "connections are left of an attack that is over");
        tokio::task::yield_now().await;
    }
}
