//! Two instances of `serve` behind HAProxy, with the configuration that is given as an example.

use std::{
    fs::File,
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::UnixStream,
    time::timeout,
};

use crate::support::{
    Behaviour, KIB, MIB, PATIENCE, Peer, Sandbox, Serve, Signal, Torrent, process,
    serve::{Answer, path},
};

/// HAProxy on a Unix socket, before two instances; ended when dropped.
struct Haproxy {
    child: Child,
    dir: TempDir,
}

impl Haproxy {
    async fn before(instances: [&Serve; 2]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let example = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/scale-out/haproxy.cfg");
        let mut config = std::fs::read_to_string(example).unwrap();
        let mut put = |example: &str, ours: String| {
            assert_eq!(config.matches(example).count(), 1, "{example}");
            config = config.replace(example, &ours);
        };
        put("global\n    log", format!("global\n    stats socket {}/control\n    log", dir.path().display()));
        put("bind :7000", format!("bind unix@{}/socket", dir.path().display()));
        put("server a 192.0.2.11:7000", format!("server a {}", instances[0].address));
        put("server b 192.0.2.12:7000", format!("server b {}", instances[1].address));
        std::fs::write(dir.path().join("haproxy.cfg"), config).unwrap();
        let mut command = Command::new("haproxy");
        command.args(["-db", "-q", "-f"]).arg(dir.path().join("haproxy.cfg"));
        let log = File::create(dir.path().join("log")).unwrap();
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let child = process::spawn(&mut command).expect("cannot be started; install the package haproxy");
        let mut haproxy = Self { child, dir };
        timeout(PATIENCE, haproxy.listens()).await.expect("HAProxy does not listen");
        haproxy
    }

    async fn listens(&mut self) {
        while UnixStream::connect(self.socket()).await.is_err() {
            let log = || std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default();
            assert!(self.child.try_wait().unwrap().is_none(), "HAProxy ended: {}", log());
            tokio::task::yield_now().await;
        }
    }

    fn socket(&self) -> PathBuf {
        self.dir.path().join("socket")
    }

    /// Waits until its checks have found as many machines well.
    async fn finds_well(&self, count: usize) {
        let mut told = String::new();
        let asking = async {
            while told.matches(",L7OK,").count() != count {
                let mut control = UnixStream::connect(self.dir.path().join("control")).await.unwrap();
                control.write_all(b"show stat\n").await.unwrap();
                told = String::from_utf8(rest(&mut control).await).unwrap();
            }
        };
        let asked = timeout(PATIENCE, asking).await;
        assert!(asked.is_ok(), "{told}");
    }

    /// Sends a request, and leaves the rest to the caller.
    async fn send(&self, target: &str, lines: &str) -> UnixStream {
        let mut stream = UnixStream::connect(self.socket()).await.unwrap();
        let head = format!("GET {target} HTTP/1.1\r\nHost: tv.example\r\nConnection: close\r\n{lines}\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        stream
    }

    async fn get(&self, target: &str, lines: &str) -> Answer {
        Answer::parse(&rest(&mut self.send(target, lines).await).await)
    }
}

impl Drop for Haproxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// All that is still to come.
async fn rest(stream: &mut UnixStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    let _ = timeout(PATIENCE, stream.read_to_end(&mut bytes)).await.expect("no end in time");
    bytes
}

/// Torrents with a peer for each, and two instances that know them all.
struct World {
    torrents: Vec<Torrent>,
    peers: Vec<Peer>,
    instances: [Serve; 2],
    _sandboxes: [Sandbox; 2],
}

impl World {
    async fn of(count: usize, len: usize, behaviour: Behaviour) -> Self {
        let torrents: Vec<Torrent> =
            (0..count).map(|number| Torrent::single(format!("film {number}.mkv"), len).build()).collect();
        let mut peers = Vec::new();
        for torrent in &torrents {
            peers.push(Peer::start(torrent, behaviour).await);
        }
        let sandboxes = [Sandbox::new(), Sandbox::new()];
        let serve = |sandbox: &Sandbox| {
            let known = peers.iter().fold(sandbox.serve(), |serve, peer| serve.peer(peer.addr()));
            Serve::start(known.args(["--no-trackers", "--allow-host", "tv.example"]))
        };
        let instances = [serve(&sandboxes[0]).await, serve(&sandboxes[1]).await];
        Self { torrents, peers, instances, _sandboxes: sandboxes }
    }

    /// Which instances have opened a torrent.
    async fn homes(&self, torrent: &Torrent) -> Vec<usize> {
        let mut homes = Vec::new();
        for (number, instance) in self.instances.iter().enumerate() {
            let torrents = instance.get("/torrents").await.text();
            if torrents.contains(&torrent.hex()) {
                homes.push(number);
            }
        }
        homes
    }
}

#[tokio::test]
async fn one_torrent_is_always_asked_of_one_instance() {
    let world = World::of(6, 64 * KIB, Behaviour::Serve).await;
    let haproxy = Haproxy::before([&world.instances[0], &world.instances[1]]).await;
    haproxy.finds_well(2).await;
    let mut homes = Vec::new();
    for torrent in &world.torrents {
        let hex = torrent.hex();
        for target in [
            path(torrent),
            format!("/stream/proxy/{}", hex.to_uppercase()),
            format!("/stream/proxy/{hex}/0/any.mkv?force=1"),
        ] {
            let answer = haproxy.get(&target, "").await;
            assert_eq!(answer.status, 200, "{target}: {}", answer.text());
            assert!(answer.body == torrent.content(), "{target}");
        }
        assert_eq!(haproxy.get(&format!("/torrents/{hex}"), "").await.status, 200);
        let home = world.homes(torrent).await;
        assert_eq!(home.len(), 1, "{hex} is on {home:?}");
        homes.extend(home);
    }
    assert!(homes.contains(&0) && homes.contains(&1), "both have something to do: {homes:?}");
}

#[tokio::test]
async fn an_instance_that_is_killed_takes_only_its_own_streams_along() {
    let world = World::of(6, 2 * MIB, Behaviour::StallAfter { blocks: 64 }).await;
    let haproxy = Haproxy::before([&world.instances[0], &world.instances[1]]).await;
    let mut on: [Option<usize>; 2] = [None, None];
    for (number, torrent) in world.torrents.iter().enumerate() {
        assert_eq!(haproxy.get(&path(torrent), "Range: bytes=0-0\r\n").await.status, 206);
        on[world.homes(torrent).await[0]].get_or_insert(number);
    }
    let [killed, spared] = on.map(|number| number.expect("both have a torrent"));
    let start = async |number: usize| {
        let mut stream = haproxy.send(&path(&world.torrents[number]), "").await;
        let mut begun = vec![0; 100 * KIB];
        stream.read_exact(&mut begun).await.unwrap();
        (stream, begun)
    };
    let (mut broken, mut begun) = start(killed).await;
    let (mut whole, mut other) = start(spared).await;

    world.instances[0].run.signal(Signal::KILL);
    begun.extend(rest(&mut broken).await);
    let cut = Answer::parse(&begun).body;
    assert!(cut.len() < 2 * MIB && world.torrents[killed].content().starts_with(&cut), "it is visibly short");

    world.peers.iter().for_each(|peer| peer.set(Behaviour::Serve));
    other.extend(rest(&mut whole).await);
    assert!(Answer::parse(&other).body == world.torrents[spared].content(), "it never noticed");

    // Whether the checks have seen it yet or not.
    let again = haproxy.get(&path(&world.torrents[killed]), "").await;
    assert_eq!(again.status, 200, "{}", again.text());
    assert!(again.body == world.torrents[killed].content());
    assert!(world.instances[1].get("/torrents").await.text().contains(&world.torrents[killed].hex()));
}
