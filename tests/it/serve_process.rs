//! `serve` as a process: its sockets, its signals, its secrets, and the other processes beside it.

use std::{
    net::TcpListener,
    os::{
        fd::OwnedFd,
        unix::net::{UnixDatagram, UnixListener},
    },
    process::{Child, Command, Stdio},
    time::Duration,
};

use tokio::io::AsyncReadExt;

use crate::support::{
    Answer, Behaviour, HttpTracker, KIB, MIB, Peer, Row, Sandbox, Seeder, Serve, Signal, Torrent, process,
    serve::{Midst, path, succeeds},
};

const DEAD: &str = "453475aec9bb4de3423649db8aa3cd2312538ca7";

#[tokio::test]
async fn a_stream_in_progress_does_not_hold_up_the_end() {
    let Midst { serve, torrent, mut playing, seed: _seed } = Midst::of_a_film(Sandbox::new().serve()).await;
    serve.run.signal(Signal::TERM);
    let ended = serve.run.finish().await.code(143);
    assert!(ended.took < Duration::from_secs(30), "{:?}", ended.took);
    let mut rest = Vec::new();
    let _ = playing.read_to_end(&mut rest).await;
    assert!(rest.len() < torrent.content().len(), "the body is visibly short");
}

#[tokio::test]
async fn a_second_signal_ends_it_at_once() {
    let Midst { serve, playing: _playing, seed: _seed, .. } =
        Midst::of_a_film(Sandbox::new().serve().arg("-vv")).await;
    serve.run.signal(Signal::INT);
    serve.wait_until_deaf().await;
    let began = std::time::Instant::now();
    serve.run.signal(Signal::TERM);
    serve.run.finish().await.code(143);
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}

#[tokio::test]
async fn an_address_in_use_and_one_that_is_too_open_are_refused() {
    let sandbox = Sandbox::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    sandbox.swarmcat(["serve", "--listen", &address]).run().await.code(8).says(&address);
    let open = ["serve", "--listen", "0.0.0.0:0"];
    sandbox.swarmcat(open).run().await.code(2).says("--allow-public");
    sandbox.swarmcat(["serve", "--listen", "[::]:0"]).run().await.code(2).says("--allow-public");
    sandbox.swarmcat(open).env("SWARMCAT_TOKEN", "short").run().await.code(2).says("at least 16");
    for safe in ["--token=0123456789abcdef", "--allow-public"] {
        let run = sandbox.swarmcat(open).arg(safe).spawn();
        run.wait_for_line("where it listens", |line| line.starts_with("listening on http://0.0.0.0:")).await;
        run.signal(Signal::INT);
        run.finish().await.code(130);
    }
}

#[tokio::test]
async fn a_secret_is_in_no_log_and_no_answer() {
    const SECRET: &str = "A-very.secret_token~0";
    let sandbox = Sandbox::new();
    let serve = sandbox
        .serve()
        .arg("--no-trackers")
        .args(["-vvv", "--log-format", "json"])
        .env("SWARMCAT_TOKEN", SECRET);
    let serve = Serve::start(serve.env("SWARMCAT_LOG", "trace")).await;
    assert_eq!(serve.get("/torrents").await.kind(), "unauthorized");
    let shown = format!("Authorization: Bearer {SECRET}\r\n");
    assert_eq!(serve.ask("GET", "/torrents", &shown).await.status, 200);
    let wrong = serve.get(&format!("/stream/proxy/x?token={SECRET}")).await;
    assert_eq!(wrong.kind(), "bad_request");
    let missing = serve.get(&format!("/nothing?token={SECRET}&x=y")).await;
    let link = serve.ask("GET", &format!("/torrents/{DEAD}/link"), &shown).await.text();
    assert!(link.contains("sig=") && !link.contains(SECRET), "{link}");
    assert!(!wrong.text().contains(SECRET) && !missing.text().contains(SECRET));
    serve.run.signal(Signal::TERM);
    let ended = serve.run.finish().await.code(143);
    assert!(!ended.stderr_text().contains(SECRET), "{}", ended.stderr_text());
}

#[tokio::test]
async fn a_failure_that_another_process_forgets_is_forgotten_here_too() {
    let sandbox = Sandbox::new();
    let nobody = crate::support::ClosedPort::reserve();
    let tracker = crate::support::HttpTracker::start(crate::support::Answer::empty()).await;
    let serve = sandbox.serve().tracker(tracker.url()).peer(nobody.addr()).impatient();
    let serve = Serve::start(serve).await;
    let target = format!("/stream/proxy/{DEAD}");
    assert_eq!(serve.get(&target).await.status, 404);
    assert_eq!(serve.get(&target).await.kind(), "cooldown");
    assert_eq!(sandbox.only_failed().info_hash, DEAD);
    let listed = serve.json("GET", "/admin/failed-torrents").await;
    assert_eq!(listed["failed"][0]["info_hash"], DEAD);
    sandbox.swarmcat(["failed", "clear", DEAD]).run().await.code(0);
    assert_eq!(serve.get(&target).await.kind(), "no_peers", "it was tried again");
    assert_eq!(serve.json("POST", "/admin/failed-torrents/clear").await["cleared"], 1);
    assert!(sandbox.failed().is_empty());
    serve.stop().await;
}

#[tokio::test]
async fn a_torrent_that_was_begun_goes_on_with_the_trackers_of_a_later_request() {
    let torrent = Torrent::single("film.mkv", MIB).build();
    let peer = Peer::serving(&torrent).await;
    let sandbox = Sandbox::new();
    let dir = sandbox.torrent_dir(&torrent);
    sandbox.stream(torrent.hex()).peer(peer.addr()).args(["--range", "0-10"]).run().await.code(0);
    assert!(dir.exists());
    let tracker = HttpTracker::start(Answer::Peers(vec![peer.addr()])).await;
    let serve = Serve::start(sandbox.serve().arg("--allow-private-peers").impatient()).await;
    let target = format!("{}?tr={}", path(&torrent), tracker.url());
    let answer = serve.get(&target).await;
    assert!(answer.status == 200 && answer.body == torrent.content(), "{}", answer.status);
    serve.stop().await;
    let serve = Serve::start(sandbox.serve().impatient()).await;
    let other = Torrent::single("other.mkv", MIB).build();
    let refused = serve.get(&format!("{}?tr={}", path(&other), tracker.url())).await;
    assert_eq!((refused.status, refused.kind().as_str()), (400, "bad_request"));
    serve.stop().await;
}

#[tokio::test]
async fn peers_in_private_networks_are_left_alone_whoever_names_them() {
    let torrent = Torrent::single("film.mkv", MIB).build();
    let peer = Peer::serving(&torrent).await;
    let tracker = HttpTracker::start(Answer::Peers(vec![peer.addr()])).await;
    let sandbox = Sandbox::new();
    let serve = Serve::start(sandbox.serve().tracker(tracker.url()).impatient()).await;
    let answer = serve.get(&path(&torrent)).await;
    assert_eq!((answer.status, answer.kind().as_str()), (404, "no_peers"), "{}", answer.text());
    assert_eq!(peer.counts().connections, 0);
    assert!(!tracker.announces().is_empty(), "the operator's own tracker may be anywhere");
    serve.stop().await;
    let open = sandbox.serve().tracker(tracker.url()).arg("--allow-private-peers");
    let serve = Serve::start(open).await;
    let answer = serve.get(&format!("{}?force=1", path(&torrent))).await;
    assert!(answer.status == 200 && answer.body == torrent.content(), "{}", answer.status);
    serve.stop().await;
}

#[tokio::test]
async fn a_unix_socket_serves_its_owner_and_goes_with_the_server() {
    let sandbox = Sandbox::new();
    let socket = sandbox.path("s.sock");
    let place = format!("unix:{}", socket.display());
    let serve = Serve::start(sandbox.serve().args(["--listen", &place])).await;
    let line = ["curl", "-sf", "--unix-socket", socket.to_str().unwrap(), "http://localhost/health"];
    let health = String::from_utf8(succeeds(sandbox.root(), &line).await).unwrap();
    assert!(health.contains("\"status\":\"ok\""), "{health}");
    serve.stop().await;
    assert!(!socket.exists());
}

/// Starts `serve` as systemd would: with these sockets from descriptor 3 on, and a place to report to.
fn activated(sandbox: &Sandbox, socket: OwnedFd, notify: &std::path::Path) -> Child {
    let script = "exec 3<&0 0</dev/null; LISTEN_PID=$$ LISTEN_FDS=1 exec \"$@\"";
    let mut command = Command::new("sh");
    command
        .args(["-c", script, "sh", env!("CARGO_BIN_EXE_swarmcat"), "serve", "--no-dht"])
        .arg("--temp-dir")
        .arg(sandbox.temp())
        .arg("--state-dir")
        .arg(sandbox.state())
        .env("NOTIFY_SOCKET", notify)
        .stdin(Stdio::from(socket))
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    process::spawn(&mut command).unwrap()
}

#[tokio::test]
async fn systemd_hands_over_sockets_and_is_told_when_it_is_ready() {
    let sandbox = Sandbox::new();
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/health", tcp.local_addr().unwrap());
    let unix_path = sandbox.path("activated.sock");
    let unix = UnixListener::bind(&unix_path).unwrap();
    let over_tcp = vec!["-sf".to_owned(), url];
    let path = unix_path.display().to_string();
    let over_unix =
        vec!["-sf".to_owned(), "--unix-socket".to_owned(), path, "http://localhost/health".to_owned()];
    for (name, socket, line) in [("tcp", OwnedFd::from(tcp), over_tcp), ("unix", unix.into(), over_unix)] {
        let notify = sandbox.path(&format!("notify-{name}"));
        let told = UnixDatagram::bind(&notify).unwrap();
        told.set_read_timeout(Some(crate::support::PATIENCE)).unwrap();
        let mut child = activated(&sandbox, socket, &notify);
        let heard = || {
            let mut text = [0; 200];
            let count = told.recv(&mut text).unwrap();
            String::from_utf8_lossy(&text[..count]).into_owned()
        };
        assert!(heard().contains("READY=1"), "{name}");
        let mut curl = vec!["curl"];
        curl.extend(line.iter().map(String::as_str));
        let health = succeeds(sandbox.root(), &curl).await;
        assert!(String::from_utf8_lossy(&health).contains("ok"), "{name}");
        let pid = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(pid, Signal::TERM).unwrap();
        assert!(heard().contains("STOPPING=1"), "{name}");
        assert_eq!(child.wait().unwrap().code(), Some(143), "{name}");
    }
    assert!(unix_path.exists(), "the socket is systemd's");
}

/// A stream with cleanups beside it, one after the other.
async fn cleaned_while_streamed() {
    let torrent = Torrent::single("film.mkv", 2 * MIB).piece_length(32 * KIB).build();
    let peer = Peer::start(&torrent, Behaviour::Rate { bytes_per_second: 1_000_000 }).await;
    let sandbox = Sandbox::new();
    let serve = Serve::start(sandbox.serve().peer(peer.addr())).await;
    let target = path(&torrent);
    let mut streaming = Box::pin(serve.get(&target));
    let mut looks = 0;
    let answer = loop {
        let cleanup = sandbox.swarmcat(["cleanup", "--older-than", "0s", "--json"]).run();
        tokio::select! {
            answer = &mut streaming => break answer,
            cleaned = cleanup => {
                let kept = cleaned.code(0).json();
                looks += usize::from(kept["kept"][0]["reason"] == "in_use");
            }
        }
    };
    assert!(answer.status == 200 && answer.body == torrent.content());
    assert!(looks > 0, "cleanup has met the stream");
    drop(streaming);
    serve.stop().await;
    let cleaned = sandbox.swarmcat(["cleanup", "--older-than", "0s", "--json"]).run().await.code(0).json();
    assert_eq!(cleaned["removed"][0]["info_hash"], torrent.hex());
}

#[tokio::test]
async fn cleanup_beside_it_never_takes_what_is_being_streamed() {
    let mut row = Row::new("C6", 3);
    for number in 0..row.times() {
        row.case(number, cleaned_while_streamed()).await;
    }
    row.end();
}

#[tokio::test]
async fn a_torrent_is_deleted_when_asked_for() {
    let torrent = Torrent::single("film.mkv", MIB).build();
    let seeder = Seeder::start(&torrent).await;
    let target = format!("/torrents/{}", torrent.hex());
    // What it has fetched itself, and what was there already.
    for sandbox in [Sandbox::new(), Sandbox::filled(&torrent).await] {
        let serve = Serve::start(sandbox.serve().peer(seeder.addr())).await;
        for _ in 0..5 {
            assert_eq!(serve.get(&path(&torrent)).await.status, 200);
            let freed = serve.ask("DELETE", &target, "").await;
            assert_eq!(freed.status, 200, "{}", freed.text());
            assert!(!sandbox.torrent_dir(&torrent).exists());
            assert_eq!(serve.ask("DELETE", &target, "").await.kind(), "not_found");
        }
        serve.stop().await;
    }
}

#[tokio::test]
async fn a_torrent_that_is_being_read_is_not_deleted_and_its_viewer_gets_every_byte() {
    let Midst { serve, torrent, mut playing, seed } = Midst::of_a_film(Sandbox::new().serve()).await;
    let refused = serve.ask("DELETE", &format!("/torrents/{}", torrent.hex()), "").await;
    assert_eq!((refused.status, refused.kind().as_str()), (503, "busy"), "{}", refused.text());
    seed.set(Behaviour::Serve);
    let mut rest = Vec::new();
    playing.read_to_end(&mut rest).await.unwrap();
    assert!(rest.ends_with(&torrent.content()[MIB..]), "{} bytes", rest.len());
    serve.stop().await;
}
