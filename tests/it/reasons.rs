//! Why nothing comes: what the peers do is told while somebody waits, and when nobody waits any more.

use std::net::{IpAddr, Ipv4Addr};

use serde_json::Value as Json;

use crate::support::{
    Answer, Behaviour, ClosedPort, HttpTracker, MIB, PATIENCE, Peer, Run, Sandbox, Serve, Torrent,
    serve::path, swarmcat::Invocation,
};

/// An address of its own for each peer.
fn host(number: u8) -> IpAddr {
    Ipv4Addr::new(127, 0, 6, number).into()
}

/// A tracker that knows nobody who would talk: three ports that refuse, two peers that say nothing, one that hangs up.
struct Deaf {
    torrent: Torrent,
    tracker: HttpTracker,
    _refusing: [ClosedPort; 3],
    _silent: [Peer; 2],
    _hanging_up: Peer,
}

impl Deaf {
    async fn named(name: &str) -> Self {
        let torrent = Torrent::single(name, MIB).build();
        let refusing = [(); 3].map(|()| ClosedPort::reserve());
        let silent = [
            Peer::start(&torrent, Behaviour::SilentAccept).await,
            Peer::start(&torrent, Behaviour::SilentAccept).await,
        ];
        // Who asks it for a torrent that it does not have hears nothing but the end.
        let hanging_up = Peer::serving(&Torrent::single("something else.bin", MIB).seed(7).build()).await;
        let peers = refusing.iter().map(ClosedPort::addr).chain(silent.iter().map(Peer::addr));
        let tracker = HttpTracker::start(Answer::Peers(peers.chain([hanging_up.addr()]).collect())).await;
        Self { torrent, tracker, _refusing: refusing, _silent: silent, _hanging_up: hanging_up }
    }

    const REASONS: &str =
        "(3 refused the connection, 2 connected and silent, 1 hung up during the handshake)";
}

#[tokio::test]
async fn a_connection_error_counts_what_each_peer_did() {
    let deaf = Deaf::named("deaf.bin").await;
    let sandbox = Sandbox::new();
    let run = sandbox.stream(deaf.torrent.hex()).tracker(deaf.tracker.url()).impatient().run().await.code(4);
    run.says("3 peers took the connection, but none would talk").says(Deaf::REASONS);
    let entry = sandbox.only_failed();
    assert_eq!(entry.kind, "connection_error");
    assert!(entry.reason.ends_with(Deaf::REASONS), "{}", entry.reason);
}

#[tokio::test]
async fn a_server_tells_each_peer_while_it_looks_for_more_and_counts_them_when_it_gives_up() {
    let deaf = Deaf::named("deaf to a server.bin").await;
    let other = Peer::start(&deaf.torrent, Behaviour::WrongInfoHash).await;
    let sandbox = Sandbox::new();
    let serve = sandbox.serve().arg("--allow-private-peers").tracker(deaf.tracker.url()).peer(other.addr());
    let serve = Serve::start(serve.impatient()).await;
    let target = path(&deaf.torrent);
    let asked = serve.get(&target);
    let listed = search_of(&serve, &deaf.torrent, |peers| {
        let is = |state: &str| peers.iter().filter(|peer| peer["state"] == state).count();
        peers.len() == 7 && is("refused") == 5 && is("connecting") == 2
    });
    let (answer, peers) = tokio::join!(asked, listed);
    let of = |address: std::net::SocketAddr| {
        peers.iter().find(|peer| peer["address"] == address.to_string()).unwrap().clone()
    };
    let (named, refusing) = (of(other.addr()), of(deaf._refusing[0].addr()));
    assert_eq!((&named["source"], &refusing["source"]), (&Json::from("named"), &Json::from("tracker")));
    assert_eq!(named["reason"], "it answered for another torrent");
    assert_eq!(refusing["reason"], "it refused the connection");
    assert_eq!(answer.status, 404, "{}", answer.text());
    assert!(answer.text().contains(Deaf::REASONS), "{}", answer.text());
    serve.stop().await;
}

/// The peers of a torrent that is looked for, as soon as they are as wanted.
async fn search_of(serve: &Serve, torrent: &Torrent, wanted: impl Fn(&[Json]) -> bool) -> Vec<Json> {
    let began = std::time::Instant::now();
    loop {
        // Before the request came, there is nothing to tell.
        let answer = serve.get(&format!("/torrents/{}", torrent.hex())).await;
        let report: Json = serde_json::from_slice(&answer.body).unwrap();
        let peers = report["peer_list"].as_array().cloned().unwrap_or_default();
        if wanted(&peers) {
            assert_eq!(report["state"], "searching");
            return peers;
        }
        assert!(began.elapsed() < PATIENCE, "{report}");
        tokio::task::yield_now().await;
    }
}

/// A seed that brings half of a torrent, a peer that lets nobody ask, and a port that refuses.
struct Stalling {
    torrent: Torrent,
    seed: Peer,
    choking: Peer,
    closed: ClosedPort,
}

impl Stalling {
    async fn named(name: &str, blocks: usize) -> Self {
        let torrent = Torrent::single(name, MIB).build();
        let seed = Peer::start_at(&torrent, Behaviour::StallAfter { blocks }, host(1)).await;
        let choking = Peer::start_at(&torrent, Behaviour::NeverUnchoke, host(2)).await;
        Self { torrent, seed, choking, closed: ClosedPort::reserve() }
    }

    fn of(&self, invocation: Invocation) -> Invocation {
        invocation.peer(self.seed.addr()).peer(self.choking.addr()).peer(self.closed.addr())
    }

    async fn told_on(self, run: Run, words: &[&str]) {
        for word in words {
            run.wait_for_line(word, |line| line.contains(word)).await;
        }
        self.seed.set(Behaviour::Serve);
        run.finish().await.code(0);
    }
}

#[tokio::test]
async fn a_stall_counts_what_each_peer_does_for_people_and_for_the_table() {
    let stalling = Stalling::named("stalls.bin", 32).await;
    let sandbox = Sandbox::new();
    let run = stalling.of(sandbox.stream(stalling.torrent.hex())).args(["--stall-timeout", "5s"]);
    let run = run.run().await.code(5).says("stalled: nothing of piece ");
    let reason = sandbox.only_failed().reason;
    for word in ["1 choking us for ", "1 connected and silent", "1 refused the connection"] {
        assert!(reason.contains(word) && run.stderr_text().contains(&reason), "{word}: {}", run.report());
    }
}

#[tokio::test]
async fn lines_tell_what_the_peers_do_while_nothing_comes() {
    let sandbox = Sandbox::new();
    let first = Stalling::named("waits.bin", 0).await;
    let run = first.of(sandbox.stream(first.torrent.hex())).spawn();
    first
        .told_on(run, &["first piece of waits.bin: 2 peers connected, 1 choking us, 1 silent, 1 refused …"])
        .await;
    let later = Stalling::named("waits later.bin", 32).await;
    let run = later.of(sandbox.stream(later.torrent.hex())).spawn();
    later.told_on(run, &["2 peers connected, 1 choking us, 1 silent, 1 refused …"]).await;
}

#[tokio::test]
async fn the_bar_and_json_lines_tell_it_too() {
    let sandbox = Sandbox::new();
    let seen = Stalling::named("on a screen.bin", 0).await;
    let run = seen.of(sandbox.stream(seen.torrent.hex())).args(["-o", "screen"]).attended();
    let run = run.env("TERM", "xterm").spawn();
    seen.told_on(run, &["⠁", "1 choking us, 1 silent, 1 refused"]).await;
    let read = Stalling::named("in a script.bin", 32).await;
    let run = read.of(sandbox.stream(read.torrent.hex())).args(["--progress", "json"]).spawn();
    read.told_on(run, &["\"peers_doing\":\"1 choking us, 1 silent, 1 refused\""]).await;
}
