//! How it ends when it is told to, or when nobody takes what it gives: at once, with the right code, quietly.

use std::time::{Duration, Instant};

use crate::support::{Behaviour, KIB, MIB, Peer, Row, Sandbox, Signal, Stdout, Torrent, serve::Midst};

/// One that has begun and cannot go on.
async fn begun(sandbox: &Sandbox, name: &str, more: &[&str]) -> (crate::support::Run, Torrent, Peer) {
    let torrent = Torrent::single(name, 4 * MIB).build();
    let peer = Peer::start(&torrent, Behaviour::StallAfter { blocks: 64 }).await;
    let run = sandbox.stream(torrent.hex()).peer(peer.addr()).args(more);
    // Whoever started these tests may ignore it, and so would every child.
    let run = run.under(["env", "--default-signal=HUP"]).spawn();
    peer.wait_for("64 blocks", |counts| counts.blocks == 64).await;
    (run, torrent, peer)
}

/// A signal ends a stream; 129 is what a shell calls a death by SIGHUP.
async fn by(signal: Signal, code: i32) -> Duration {
    let sandbox = Sandbox::new();
    let (run, torrent, _peer) = begun(&sandbox, "signal.bin", &[]).await;
    run.wait_for_bytes(1).await;
    let sent = Instant::now();
    run.signal(signal);
    let run = run.finish().await.code(code);
    assert!(torrent.content().starts_with(&run.stdout) && sandbox.failed().is_empty());
    sent.elapsed()
}

/// What was to be a file is called a part of one.
async fn a_part() -> Duration {
    let sandbox = Sandbox::new();
    let (run, torrent, _peer) = begun(&sandbox, "part.bin", &["-o", "out"]).await;
    let part = sandbox.path("out.part");
    while !std::fs::metadata(&part).is_ok_and(|part| part.len() > 0) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let sent = Instant::now();
    run.signal(Signal::INT);
    run.finish().await.code(130);
    let took = sent.elapsed();
    assert!(!sandbox.path("out").exists() && torrent.content().starts_with(&std::fs::read(part).unwrap()));
    took
}

/// `stream … | head -c 1M`: whether there is more to come at once, or nothing for now.
async fn a_pipe_that_closes(behaviour: Behaviour, stdout: Stdout) {
    let torrent = Torrent::single("head.bin", 4 * MIB).build();
    let peer = Peer::start(&torrent, behaviour).await;
    let run = Sandbox::new().stream(torrent.hex()).peer(peer.addr()).stdout(stdout).run();
    let run = run.await.code(0).delivered(&torrent.content()[..MIB]);
    let told = run.stderr_text().to_lowercase();
    assert!(!told.contains("pipe") && !told.contains("error") && !told.contains("reset"), "{told}");
}

/// A file system without room for what it writes.
async fn a_full_output() {
    let torrent = Torrent::single("full.bin", 256 * KIB).build();
    let peer = Peer::serving(&torrent).await;
    let sandbox = Sandbox::new();
    let run = sandbox.stream(torrent.hex()).peer(peer.addr()).stdout(Stdout::File("/dev/full".into()));
    run.run().await.code(7).says("No space left");
    assert!(sandbox.failed().is_empty());
}

/// Nobody types, and there is nothing to read from.
async fn a_closed_input() {
    let torrent = Torrent::single("input.bin", 256 * KIB).build();
    let peer = Peer::serving(&torrent).await;
    let closed = ["sh", "-c", "exec \"$@\" <&-", "sh"];
    let run = Sandbox::new().stream(torrent.hex()).peer(peer.addr()).under(closed).run().await;
    run.code(0).delivered(torrent.content());
}

/// How long a server takes to end that has a reader which takes forever: after one signal, after two.
async fn a_server(signals: usize) -> Duration {
    let Midst { serve, playing: _playing, seed: _seed, .. } = Midst::of_a_film(Sandbox::new().serve()).await;
    let mut sent = Instant::now();
    serve.run.signal(Signal::TERM);
    if signals > 1 {
        serve.wait_until_deaf().await;
        sent = Instant::now();
        serve.run.signal(Signal::TERM);
    }
    serve.run.finish().await.code(143);
    sent.elapsed()
}

/// No process of ours is left of a player that was open when it ended.
async fn a_player() -> Duration {
    let sandbox = Sandbox::new();
    let player = sandbox.write("player", b"#!/bin/sh\necho $$ > player.pid\nexec sleep 1000\n");
    std::fs::set_permissions(&player, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let torrent = Torrent::single("film.mkv", MIB).build();
    let peer = Peer::serving(&torrent).await;
    let stream = sandbox.stream(torrent.hex()).peer(peer.addr());
    let run = stream.args(["--open", player.to_str().unwrap()]).spawn();
    let pid = loop {
        match std::fs::read_to_string(sandbox.path("player.pid")) {
            Ok(pid) if pid.ends_with('\n') => break pid.trim().to_owned(),
            _ => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    };
    let sent = Instant::now();
    run.signal(Signal::TERM);
    run.finish().await.code(143);
    let took = sent.elapsed();
    let lives = std::fs::read_to_string(format!("/proc/{pid}/stat"));
    assert!(lives.is_err() || lives.is_ok_and(|stat| stat.contains(") Z ")), "the player is left behind");
    took
}

#[tokio::test]
async fn it_ends_when_it_is_told_to_and_when_nobody_takes_what_it_gives() {
    let mut row = Row::new("F11", 1);
    for _ in 0..row.times() {
        let second = Duration::from_secs(1);
        timed(&mut row, "SIGINT", by(Signal::INT, 130), second).await;
        timed(&mut row, "SIGTERM", by(Signal::TERM, 143), second).await;
        timed(&mut row, "SIGHUP", by(Signal::HUP, 129), second).await;
        timed(&mut row, "a part", a_part(), second).await;
        timed(&mut row, "a player", a_player(), second).await;
        timed(&mut row, "a server drains", a_server(1), Duration::from_secs(11)).await;
        timed(&mut row, "a second signal", a_server(2), second / 2).await;
        for (name, close) in [("pipe", Stdout::CloseAfter as fn(usize) -> Stdout), ("socket", Stdout::Socket)]
        {
            let (flows, waits) = (Behaviour::Serve, Behaviour::StallAfter { blocks: 64 });
            row.case(&format!("a {name} that closes"), a_pipe_that_closes(flows, close(MIB))).await;
            row.case(&format!("a {name} that closes in a wait"), a_pipe_that_closes(waits, close(MIB))).await;
        }
        row.case("a full output", a_full_output()).await;
        row.case("a closed input", a_closed_input()).await;
    }
    row.end();
}

/// A case that has to end within `most`, where the machine can be held to that.
async fn timed(row: &mut Row, name: &str, case: impl Future<Output = Duration>, most: Duration) {
    let (strict, mut took) = (row.measures(), Duration::ZERO);
    row.case(name, async {
        took = case.await;
        assert!(!strict || took <= most, "{took:?}");
    })
    .await;
    let unit = if most > Duration::from_secs(10) { "ms of draining" } else { "ms after a signal" };
    row.saw(took.as_secs_f64() * 1e3, unit);
}
