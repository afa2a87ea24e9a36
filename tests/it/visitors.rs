//! Peers that dial us: they bring their blocks through the broker like everybody else, and are told and taken no more than
//! everybody else.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::support::{
    Answer, Behaviour, ClosedPort, HttpTracker, KIB, Libtorrent, MIB, PATIENCE, Peer, Sandbox, Serve,
    Torrent, serve::path, swarmcat::Invocation,
};

/// An address of its own for each peer.
fn host(number: u8) -> IpAddr {
    Ipv4Addr::new(127, 0, 9, number).into()
}

/// A tracker that names one address, behind which nobody is: as that of a seed behind a firewall.
async fn tracker_of_the_unreachable() -> (HttpTracker, ClosedPort) {
    let closed = ClosedPort::reserve();
    (HttpTracker::start(Answer::Peers(vec![closed.addr()])).await, closed)
}

/// Where peers come in, as the tracker was told.
async fn door(tracker: &HttpTracker) -> SocketAddr {
    let announced = tracker.wait_for_announces(1).await;
    (Ipv4Addr::LOCALHOST, announced[0].port).into()
}

/// A stream of the torrent through a tracker; `-vv` tells what became of the bytes.
fn stream(sandbox: &Sandbox, torrent: &Torrent, tracker: &HttpTracker) -> Invocation {
    sandbox.stream(torrent.hex()).tracker(tracker.url()).arg("-vv")
}

#[tokio::test]
async fn a_stream_plays_whose_only_seed_dials_us_and_cannot_be_dialled() {
    let torrent = Torrent::single("behind a firewall.mkv", 16 * MIB).piece_length(256 * KIB).build();
    let (tracker, closed) = tracker_of_the_unreachable().await;
    let run = stream(&Sandbox::new(), &torrent, &tracker).spawn();
    tracker.set(Answer::Peers(vec![closed.addr(), door(&tracker).await]));
    let _seed = Libtorrent::seeding_through(&torrent, host(1), &tracker.url());
    let run = run.finish().await.code(0).delivered(torrent.content());
    // The broker's count: what librqbit fetched past it would be missing.
    run.says(&format!("{} bytes came, ", 16 * MIB));
}

#[tokio::test]
async fn a_visitor_that_comes_while_another_peer_serves_helps() {
    let torrent = Torrent::single("helped.mkv", 4 * MIB).piece_length(128 * KIB).build();
    let slow = Peer::start_at(&torrent, Behaviour::Rate { bytes_per_second: 100_000 }, host(2)).await;
    let mut visitor = Peer::start_at(&torrent, Behaviour::Serve, host(3)).await;
    let tracker = HttpTracker::start(Answer::Peers(vec![slow.addr()])).await;
    let sandbox = Sandbox::new();
    let run = stream(&sandbox, &torrent, &tracker).spawn();
    slow.wait_for("blocks", |counts| counts.blocks > 0).await;
    visitor.visit(door(&tracker).await).await;
    run.finish().await.code(0).delivered(torrent.content());
    let brought = visitor.counts().blocks;
    assert!(brought > torrent.block_count() / 2, "{brought} blocks");
}

#[tokio::test]
async fn a_visitor_is_told_of_with_its_own_address_and_that_it_came_in() {
    for ip in [host(4), Ipv6Addr::LOCALHOST.into()] {
        is_told_of(ip).await;
    }
}

async fn is_told_of(ip: IpAddr) {
    let torrent = Torrent::single("told.mkv", 4 * MIB).build();
    let mut visitor = Peer::start_at(&torrent, Behaviour::StallAfter { blocks: 3 }, ip).await;
    let (tracker, _closed) = tracker_of_the_unreachable().await;
    let sandbox = Sandbox::new();
    let serve = Serve::start(sandbox.serve().tracker(tracker.url()).arg("--allow-private-peers")).await;
    let reading = serve.send("GET", &path(&torrent), "").await;
    let port = door(&tracker).await.port();
    let door = if ip.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() };
    let address = visitor.visit(SocketAddr::new(door, port)).await;
    visitor.wait_for("3 blocks", |counts| counts.blocks == 3).await;
    let began = Instant::now();
    let peer = loop {
        let report = serve.json("GET", &format!("/torrents/{}", torrent.hex())).await;
        let peers = report["peer_list"].as_array().cloned().unwrap_or_default();
        let told = peers
            .into_iter()
            .find(|peer| peer["address"] == address.to_string() && peer["received"] == 3 * 16 * 1024);
        if let Some(peer) = told {
            assert_eq!(report["peers"]["connected"], 1, "{report}");
            break peer;
        }
        assert!(began.elapsed() < PATIENCE, "{report}");
        tokio::task::yield_now().await;
    };
    assert_eq!(peer["incoming"], true, "{peer}");
    drop(reading);
    serve.stop().await;
}

#[tokio::test]
async fn a_visitor_that_lies_is_dropped_and_the_file_is_right() {
    let torrent = Torrent::single("lied about.mkv", 2 * MIB).piece_length(128 * KIB).build();
    let mut liar = Peer::start_at(&torrent, Behaviour::Corrupt, host(5)).await;
    let slow = Behaviour::Rate { bytes_per_second: 1_000_000 };
    let mut honest = Peer::start_at(&torrent, slow, host(6)).await;
    let (tracker, _closed) = tracker_of_the_unreachable().await;
    let sandbox = Sandbox::new();
    let run = stream(&sandbox, &torrent, &tracker).spawn();
    let door = door(&tracker).await;
    let address = liar.visit(door).await;
    liar.wait_for("a block", |counts| counts.blocks > 0).await;
    let friend = honest.visit(door).await;
    let run = run.finish().await.code(0).delivered(torrent.content());
    assert!(!run.stderr_text().contains(&format!("peer {friend} sent bad blocks")), "{}", run.report());
    run.says(&format!("peer {address} sent bad blocks"));
    liar.wait_for("the end of it", |counts| counts.open == 0).await;
}

#[tokio::test]
async fn nobody_is_let_in_for_a_torrent_that_is_not_wanted() {
    let torrent = Torrent::single("wanted.mkv", MIB).build();
    let peer = Peer::start_at(&torrent, Behaviour::NeverUnchoke, host(7)).await;
    let tracker = HttpTracker::start(Answer::Peers(vec![peer.addr()])).await;
    let sandbox = Sandbox::new();
    let _run = stream(&sandbox, &torrent, &tracker).spawn();
    peer.wait_for("interest", |counts| counts.interested > 0).await;
    let mut stream = TcpStream::connect(door(&tracker).await).await.unwrap();
    stream.write_all(&hello([7; 20])).await.unwrap();
    let mut heard = Vec::new();
    let _ = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut heard)).await.unwrap();
    assert!(heard.is_empty(), "{heard:?}");
}

fn hello(info_hash: [u8; 20]) -> Vec<u8> {
    [b"\x13BitTorrent protocol".as_slice(), &[0; 8], &info_hash, &[8; 20]].concat()
}

/// Kilobytes that a process holds in memory.
fn memory(pid: i32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// Says something, or nothing, and waits until it is let go; how long that took.
async fn idle(door: SocketAddr, said: Vec<u8>) -> Duration {
    let mut stream = TcpStream::connect(door).await.unwrap();
    let began = Instant::now();
    let _ = stream.write_all(&said).await;
    let _ = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut Vec::new())).await.unwrap();
    began.elapsed()
}

#[tokio::test]
async fn three_hundred_idle_strangers_are_let_go_and_keep_nobody_out() {
    let torrent = Torrent::single("crowded.mkv", MIB).build();
    let peer = Peer::start_at(&torrent, Behaviour::NeverUnchoke, host(8)).await;
    let mut visitor = Peer::start_at(&torrent, Behaviour::Serve, host(9)).await;
    let tracker = HttpTracker::start(Answer::Peers(vec![peer.addr()])).await;
    let sandbox = Sandbox::new();
    let run = stream(&sandbox, &torrent, &tracker).spawn();
    peer.wait_for("interest", |counts| counts.interested > 0).await;
    let (door, before) = (door(&tracker).await, memory(run.pid()));
    // Half of them say nothing, the others name the torrent, and nothing more.
    let words = [Vec::new(), hello(torrent.info_hash())];
    let strangers = (0..300).map(|number| idle(door, words[number % 2].clone()));
    let longest = join_all(strangers).await.into_iter().max().unwrap();
    let grown = memory(run.pid()).saturating_sub(before);
    assert!(longest < Duration::from_secs(30), "{longest:?}");
    assert!(grown < 8 * 1024, "{grown} KiB more");
    visitor.visit(door).await;
    run.finish().await.code(0).delivered(torrent.content());
}

#[tokio::test]
async fn visitors_hear_of_those_that_we_dialled_and_of_no_address_that_is_none() {
    let torrent = Torrent::single("gossip.mkv", MIB).build();
    let dialled = Peer::start_at(&torrent, Behaviour::NeverUnchoke, host(10)).await;
    let mut first = Peer::start_at(&torrent, Behaviour::NeverUnchoke, host(11)).await;
    let mut second = Peer::start_at(&torrent, Behaviour::NeverUnchoke, host(12)).await;
    let tracker = HttpTracker::start(Answer::Peers(vec![dialled.addr()])).await;
    let sandbox = Sandbox::new();
    let _run = stream(&sandbox, &torrent, &tracker).spawn();
    dialled.wait_for("interest", |counts| counts.interested > 0).await;
    let door = door(&tracker).await;
    first.visit(door).await;
    second.visit(door).await;
    for visitor in [&first, &second, &dialled] {
        // librqbit sends its first list ten seconds after the hellos.
        let counts = visitor.wait_for("a list of peers", |counts| counts.exchanged > 0).await;
        assert!(counts.named.iter().eq([&dialled.addr()]), "{:?}", counts.named);
        assert!(counts.our_ips.iter().eq([&visitor.addr().ip()]), "{:?}", counts.our_ips);
    }
}

#[tokio::test]
async fn whoever_comes_for_what_we_have_gets_it() {
    let torrent = Torrent::single("given on.bin", 4 * MIB).build();
    let seed = Peer::start_at(&torrent, Behaviour::Serve, host(13)).await;
    let tracker = HttpTracker::start(Answer::Peers(vec![seed.addr()])).await;
    let sandbox = Sandbox::new();
    let serve = Serve::start(sandbox.serve().tracker(tracker.url()).arg("--allow-private-peers")).await;
    assert!(serve.get(&path(&torrent)).await.body == torrent.content());
    tracker.set(Answer::Peers(vec![door(&tracker).await]));
    assert!(Libtorrent::fetched_through(&torrent, host(14), &tracker.url()) == torrent.content());
    serve.stop().await;
}
