//! `serve` and clients that say nothing, or almost nothing: whoever is still there is waited for, whoever is not is let
//! go, and nobody else is held up.

use std::{
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use crate::support::{
    MIB, PATIENCE, Sandbox, Seeder, Serve, Torrent, process,
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

/// A sandbox in which a server has put the whole torrent on disk.
async fn filled(torrent: &Torrent) -> Sandbox {
    let sandbox = Sandbox::new();
    let seeder = Seeder::start(torrent).await;
    let serve = Serve::start(sandbox.serve().peer(seeder.addr())).await;
    assert!(serve.get(&path(torrent)).await.body == torrent.content());
    serve.stop().await;
    sandbox
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
    let sandbox = filled(&torrent).await;
    let socket = sandbox.path("s.sock").display().to_string();
    let serve = sandbox.serve().args(["--listen", &format!("unix:{socket}"), "--silence-timeout", "4s"]);
    let serve = Serve::start(serve.in_own_network()).await;
    let pid = serve.run.pid().to_string();
    let inside = |line: &[&str]| -> Vec<String> {
        let user: &[&str] =
            if rustix::process::geteuid().is_root() { &[] } else { &["-U", "--preserve-credentials"] };
        let enter = [&["nsenter", "-t", &pid, "-n"], user, &["--"], line].concat();
        enter.into_iter().map(str::to_owned).collect()
    };
    let file = serve.file(&torrent);
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
    let sandbox = filled(&torrent).await;
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
