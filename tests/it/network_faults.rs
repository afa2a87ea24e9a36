//! Seeds that fall silent and cables that are pulled: the stream goes on by what is left, or ends in a defined error.

use std::{
    process::Command,
    sync::atomic::{AtomicU8, Ordering::Relaxed},
    time::{Duration, Instant},
};

use crate::support::{
    Answer, Behaviour, Figures, HttpTracker, KIB, MIB, Peer, Row, Run, Sandbox, Torrent, process,
};

/// Waits for all bytes; the longest time in which none came.
async fn longest_gap(run: &Run, from: usize, len: usize) -> Duration {
    let (mut longest, mut before) = (Duration::ZERO, Instant::now());
    for bytes in (from..=len).step_by(64 * KIB).skip(1) {
        run.wait_for_bytes(bytes).await;
        longest = longest.max(before.elapsed());
        before = Instant::now();
    }
    longest
}

/// One of three seeds stops in the middle of a piece, and stays connected.
async fn one_falls_silent(seen: &mut Figures) {
    const RATE: Behaviour = Behaviour::Rate { bytes_per_second: 1_500_000 };
    let torrent = Torrent::single("silent.bin", 8 * MIB).piece_length(512 * KIB).build();
    let silent = Peer::start(&torrent, Behaviour::StallAfter { blocks: 70 }).await;
    let (one, two) = (Peer::start(&torrent, RATE).await, Peer::start(&torrent, RATE).await);
    let stream = Sandbox::new().stream(torrent.hex());
    let run = stream.peer(silent.addr()).peer(one.addr()).peer(two.addr()).spawn();
    run.wait_for_bytes(64 * KIB).await;
    let gap = longest_gap(&run, 64 * KIB, torrent.content().len()).await;
    seen.took(gap);
    run.finish().await.code(0).delivered(torrent.content());
    assert!(gap < Duration::from_secs(10), "{gap:?} without a byte");
}

/// All of them do.
async fn all_fall_silent(before_the_first_byte: bool) {
    let torrent = Torrent::single("all silent.bin", 4 * MIB).piece_length(256 * KIB).build();
    let behaviour = match before_the_first_byte {
        true => Behaviour::SilentAccept,
        false => Behaviour::StallAfter { blocks: 40 },
    };
    let peers = [Peer::start(&torrent, behaviour).await, Peer::start(&torrent, behaviour).await];
    let sandbox = Sandbox::new();
    let stream = sandbox.stream(torrent.hex()).peer(peers[0].addr()).peer(peers[1].addr());
    let run = stream.impatient().run().await;
    assert!(torrent.content().starts_with(&run.stdout) && run.stdout.len() < torrent.content().len());
    assert!(run.took < Duration::from_secs(20), "{:?}", run.took);
    run.code(if before_the_first_byte { 4 } else { 5 });
}

#[tokio::test]
async fn seeds_that_fall_silent_hold_up_nobody_for_long() {
    let mut row = Row::new("F6", 1);
    for _ in 0..row.times() {
        row.telling_case("one of three", one_falls_silent).await;
        row.case("all, in the middle", all_fall_silent(false)).await;
        row.case("all, from the start", all_fall_silent(true)).await;
    }
    row.end();
}

/// The only seed is killed in the middle, and started again on the same port.
async fn dies_and_returns(seen: &mut Figures) {
    let torrent = Torrent::single("returns.bin", 4 * MIB).piece_length(128 * KIB).build();
    let mut seed = Peer::start(&torrent, Behaviour::Rate { bytes_per_second: 1_000_000 }).await;
    let run = Sandbox::new().stream(torrent.hex()).peer(seed.addr()).spawn();
    run.wait_for_bytes(MIB).await;
    seed.stop().await;
    // How long it is away is what this is about.
    tokio::time::sleep(Duration::from_secs(10)).await;
    let before = seed.counts().blocks;
    seed.resume().await;
    let back = Instant::now();
    seed.wait_for("the next block", |counts| counts.blocks > before).await;
    let took = back.elapsed();
    seen.took(took);
    assert!(took < Duration::from_secs(15), "{took:?} after it was back");
    run.finish().await.code(0).delivered(torrent.content());
}

/// The only seed is killed in the middle, and another one is there after a while, at an address that nobody but the
/// tracker knows.
async fn returns_elsewhere(seen: &mut Figures) {
    let torrent = Torrent::single("moves.bin", 4 * MIB).piece_length(128 * KIB).build();
    let rate = Behaviour::Rate { bytes_per_second: 1_000_000 };
    let mut seed = Peer::start(&torrent, rate).await;
    let tracker = HttpTracker::start(Answer::Peers(vec![seed.addr()])).await;
    let run = Sandbox::new().stream(torrent.hex()).tracker(tracker.url()).spawn();
    run.wait_for_bytes(MIB).await;
    seed.stop().await;
    // How long it is away is what this is about.
    tokio::time::sleep(Duration::from_secs(10)).await;
    let seed = Peer::start(&torrent, rate).await;
    tracker.set(Answer::Peers(vec![seed.addr()]));
    let back = Instant::now();
    seed.wait_for("the next block", |counts| counts.blocks > 0).await;
    let took = back.elapsed();
    seen.took(took);
    assert!(took < Duration::from_secs(15), "{took:?} after it was back");
    run.finish().await.code(0).delivered(torrent.content());
    // In the search, and in need; it may be that the answer crossed the seed's return.
    assert!(tracker.announces().len() <= 3, "{} announces", tracker.announces().len());
}

#[tokio::test]
async fn a_seed_that_returns_at_another_address_is_found_there() {
    let mut row = Row::new("F8c", 1);
    for _ in 0..row.times() {
        row.telling_case("10 s", returns_elsewhere).await;
    }
    row.end();
}

#[tokio::test]
async fn the_only_seed_is_waited_for_when_it_dies() {
    let mut row = Row::new("F8", 1);
    for _ in 0..row.times() {
        row.telling_case("10 s", dies_and_returns).await;
    }
    row.end();
}

/// Two network namespaces with a cable between them: ours at `.1`, the program's at `.2`. Gone when dropped.
struct Cable {
    namespace: String,
    ours: String,
    net: String,
}

fn ip(line: &str) {
    let output =
        process::output(Command::new("ip").args(line.split(' ')).stderr(std::process::Stdio::piped()));
    assert!(output.status.success(), "ip {line}: {}", String::from_utf8_lossy(&output.stderr));
}

impl Cable {
    fn lay() -> Self {
        static NUMBER: AtomicU8 = AtomicU8::new(0);
        let number = NUMBER.fetch_add(1, Relaxed);
        let id = format!("{:x}n{number}", std::process::id());
        // TEST-NET-2 (RFC 5737): nobody's.
        // Not where another process that tests the same at the same time most likely is.
        let net = format!("198.51.100.{}", (std::process::id() + u32::from(number)) % 63 * 4);
        let base = net.rsplit_once('.').unwrap().1.parse::<u32>().unwrap();
        let at = |host: u32| format!("198.51.100.{}/30", base + host);
        let (namespace, ours, theirs) = (format!("sc{id}"), format!("sc{id}a"), format!("sc{id}b"));
        ip(&format!("netns add {namespace}"));
        ip(&format!("link add {ours} type veth peer name {theirs} netns {namespace}"));
        ip(&format!("addr add {} dev {ours}", at(1)));
        ip(&format!("link set {ours} up"));
        ip(&format!("-n {namespace} addr add {} dev {theirs}", at(2)));
        ip(&format!("-n {namespace} link set {theirs} up"));
        ip(&format!("-n {namespace} link set lo up"));
        Self { namespace, ours, net: format!("198.51.100.{}", base + 1) }
    }

    fn pull(&self) {
        ip(&format!("link set {} down", self.ours));
    }

    fn plug(&self) {
        ip(&format!("link set {} up", self.ours));
    }
}

impl Drop for Cable {
    fn drop(&mut self) {
        for line in [["link", "delete", &self.ours], ["netns", "delete", &self.namespace]] {
            process::run_anyway(Command::new("ip").args(line));
        }
    }
}

/// The network is away for `seconds` in the middle of a stream.
async fn pulled(seconds: u64, survives: bool, seen: &mut Figures) {
    let cable = Cable::lay();
    let torrent = Torrent::single("pulled.bin", 6 * MIB).piece_length(128 * KIB).build();
    let behaviour = Behaviour::Rate { bytes_per_second: 1_000_000 };
    let peer = Peer::start_at(&torrent, behaviour, cable.net.parse().unwrap()).await;
    let stream = Sandbox::new().stream(torrent.hex()).peer(peer.addr());
    let stream = if survives { stream } else { stream.args(["--stall-timeout", "10s"]) };
    let run = stream.under(["ip", "netns", "exec", &cable.namespace]).spawn();
    run.wait_for_bytes(MIB).await;
    cable.pull();
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    cable.plug();
    let back = Instant::now();
    if survives {
        run.wait_for_bytes(4 * MIB).await;
        let took = back.elapsed();
        seen.took(took);
        assert!(took < Duration::from_secs(15), "{took:?} after the network was back");
        run.finish().await.code(0).delivered(torrent.content());
    } else {
        let run = run.finish().await.code(5);
        assert!(torrent.content().starts_with(&run.stdout));
    }
}

#[tokio::test]
#[ignore = "needs root, for network namespaces"]
async fn a_network_that_goes_away_and_comes_back_is_waited_for() {
    let mut row = Row::new("F9", 1);
    for _ in 0..row.times() {
        for (seconds, survives) in [(5, true), (30, true), (20, false)] {
            let case = async |seen: &mut Figures| pulled(seconds, survives, seen).await;
            row.telling_case(format!("{seconds} s"), case).await;
        }
    }
    row.end();
}
