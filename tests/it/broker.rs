//! The broker between librqbit and real peers: other people's clients, one connection to each address, and a peer that
//! behaves in every way that the protocol allows or forbids. The file is right, and nothing hangs.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::{Duration, Instant},
};

use crate::support::{
    Answer, Aria2, Behaviour, ClosedPort, HttpTracker, KIB, Libtorrent, MIB, Peer, Sandbox, Seeder, Serve,
    Torrent, Transmission,
    serve::path,
    swarmcat::{Finished, Invocation},
};

/// An address of its own for each peer of a swarm.
fn host(number: u8) -> IpAddr {
    Ipv4Addr::new(127, 0, 4, number).into()
}

fn stream(sandbox: &Sandbox, torrent: &Torrent, peers: &[SocketAddr]) -> Invocation {
    peers.iter().fold(sandbox.stream(torrent.hex()), |stream, peer| stream.peer(*peer))
}

#[tokio::test]
async fn foreign_seeds_bring_the_whole_file_alone_and_together() {
    let torrent = Torrent::single("foreign.mkv", 4 * MIB).piece_length(256 * KIB).build();
    let transmission = Transmission::seeding_at(&torrent, Ipv4Addr::new(127, 0, 4, 1));
    let libtorrent = Libtorrent::seeding_at(&torrent, host(2));
    let aria2 = Aria2::seeding_at(&torrent, host(3));
    let rqbit = Seeder::start_at(&torrent, host(4)).await;
    let swarm = [transmission.addr(), libtorrent.addr(), aria2.addr(), rqbit.addr()];
    // Transmission looks only every ten seconds whom to unchoke: nobody waits for it but its own stream.
    let alone = swarm.iter().map(std::slice::from_ref);
    let streams = alone.chain([&swarm[..]]).map(|peers| async {
        let run = stream(&Sandbox::new(), &torrent, peers).run().await;
        run.code(0).delivered(torrent.content());
    });
    futures_util::future::join_all(streams).await;
}

#[tokio::test]
async fn seeds_on_ipv6_bring_the_whole_file() {
    let torrent = Torrent::single("six.mkv", 8 * MIB).build();
    let rqbit = Seeder::start_at(&torrent, Ipv6Addr::LOCALHOST.into()).await;
    let libtorrent = Libtorrent::seeding_at(&torrent, Ipv6Addr::LOCALHOST.into());
    for peer in [rqbit.addr(), libtorrent.addr()] {
        assert!(peer.to_string().starts_with("[::1]:"));
        let run = stream(&Sandbox::new(), &torrent, &[peer]).run().await;
        run.code(0).delivered(torrent.content());
    }
}

/// Streams from one peer that behaves so, and from another that is slow and honest if `helped`.
async fn meets(behaviour: Behaviour, number: u8, helped: bool) -> (Finished, Torrent) {
    let torrent = Torrent::single("tricks.mkv", 2 * MIB).piece_length(128 * KIB).build();
    let tricky = Peer::start_at(&torrent, behaviour, host(number)).await;
    let slow = Behaviour::Rate { bytes_per_second: 4_000_000 };
    let honest = Peer::start_at(&torrent, slow, host(number + 1)).await;
    let mut peers = vec![tricky.addr()];
    peers.extend(helped.then(|| honest.addr()));
    let run = stream(&Sandbox::new(), &torrent, &peers).arg("-v").run().await;
    assert!(tricky.counts().handshakes > 0, "{behaviour:?} was never met");
    (run, torrent)
}

#[tokio::test]
async fn a_peer_that_brings_everything_is_enough_however_it_does_so() {
    let odd = [
        Behaviour::ChokeStorm { every: 7 },
        Behaviour::Chatter,
        Behaviour::Twice,
        Behaviour::Unasked,
        Behaviour::Backwards,
        Behaviour::Babble,
        Behaviour::Trickle,
    ];
    let runs = odd.iter().zip((10u8..).step_by(2)).map(|(behaviour, number)| async move {
        let (run, torrent) = meets(*behaviour, number, false).await;
        assert!(!run.stderr_text().contains("sent bad blocks"), "{behaviour:?}: {}", run.report());
        run.code(0).delivered(torrent.content());
    });
    futures_util::future::join_all(runs).await;
}

#[tokio::test]
async fn a_peer_that_fails_in_the_middle_costs_no_byte() {
    let failing = [
        Behaviour::ChokeAfter { blocks: 5, pause: Duration::from_secs(300) },
        Behaviour::StallAfter { blocks: 5 },
        Behaviour::DisconnectAfter { blocks: 5 },
        Behaviour::Oversized { blocks: 5 },
        Behaviour::NeverUnchoke,
        Behaviour::WrongBitfield,
        Behaviour::SilentAccept,
        Behaviour::ResetAfterHandshake,
    ];
    let runs = failing.iter().zip((30u8..).step_by(2)).map(|(behaviour, number)| async move {
        let (run, torrent) = if *behaviour == Behaviour::SilentAccept {
            silent(number).await
        } else {
            meets(*behaviour, number, true).await
        };
        assert!(run.took < Duration::from_secs(15), "{behaviour:?}: {:?}", run.took);
        assert!(!run.stderr_text().contains("sent bad blocks"), "{behaviour:?}: {}", run.report());
        run.code(0).delivered(torrent.content());
    });
    futures_util::future::join_all(runs).await;
}

/// A peer that says nothing beside an honest one.
async fn silent(number: u8) -> (Finished, Torrent) {
    let torrent = Torrent::single("silent.mkv", 2 * MIB).piece_length(128 * KIB).build();
    let tricky = Peer::start_at(&torrent, Behaviour::SilentAccept, host(number)).await;
    let honest = Peer::start_at(&torrent, Behaviour::Serve, host(number + 1)).await;
    let run = stream(&Sandbox::new(), &torrent, &[tricky.addr(), honest.addr()]).run().await;
    (run, torrent)
}

#[tokio::test]
async fn a_peer_that_unchokes_late_is_asked_then() {
    let torrent = Torrent::single("late.mkv", 2 * MIB).build();
    let peer = Peer::start_at(&torrent, Behaviour::NeverUnchoke, host(60)).await;
    let run = stream(&Sandbox::new(), &torrent, &[peer.addr()]).spawn();
    peer.wait_for("interest", |counts| counts.interested > 0).await;
    peer.set(Behaviour::Serve);
    run.finish().await.code(0).delivered(torrent.content());
}

#[tokio::test]
async fn the_liar_alone_is_dropped() {
    let torrent = Torrent::single("lies.mkv", 16 * MIB).piece_length(512 * KIB).build();
    let even = Behaviour::Rate { bytes_per_second: 8_000_000 };
    let mut honest = Vec::new();
    for number in 71..74 {
        honest.push(Peer::start_at(&torrent, even, host(number)).await);
    }
    let liar = Peer::start_at(&torrent, Behaviour::Corrupt, host(70)).await;
    let mut peers: Vec<SocketAddr> = honest.iter().map(Peer::addr).collect();
    peers.push(liar.addr());
    let run = stream(&Sandbox::new(), &torrent, &peers).arg("-v").run().await;
    let run = run.code(0).delivered(torrent.content());
    let told: Vec<&String> = run.stderr.iter().filter(|line| line.contains("sent bad blocks")).collect();
    assert!(told.iter().all(|line| line.contains(&liar.addr().to_string())), "{}", run.report());
    // A liar that was never asked is nobody's business.
    assert_eq!(
        told.is_empty(),
        liar.counts().blocks == 0,
        "{} blocks: {}",
        liar.counts().blocks,
        run.report()
    );
}

#[tokio::test]
async fn when_one_side_of_a_link_closes_so_does_the_other_at_once() {
    let torrent = Torrent::single("closing.mkv", 2 * MIB).build();
    let mut leaves = Peer::start_at(&torrent, Behaviour::NeverUnchoke, host(80)).await;
    let stays = Peer::start_at(&torrent, Behaviour::StallAfter { blocks: 16 }, host(81)).await;
    let sandbox = Sandbox::new();
    let serve = Serve::start(sandbox.serve().peer(leaves.addr()).peer(stays.addr())).await;
    let reading = serve.send("GET", &path(&torrent), "").await;
    leaves.wait_for("interest", |counts| counts.interested > 0).await;
    stays.wait_for("16 blocks", |counts| counts.blocks == 16).await;
    let connected = || async {
        let report = serve.json("GET", &format!("/torrents/{}", torrent.hex())).await;
        report["peers"]["connected"].as_u64().unwrap_or_else(|| panic!("{report}"))
    };
    let becomes = async |count: u64, within: Duration| {
        let began = Instant::now();
        while connected().await != count {
            assert!(began.elapsed() < within, "{} are connected, not {count}", connected().await);
            tokio::task::yield_now().await;
        }
    };
    becomes(2, crate::support::PATIENCE).await;
    leaves.stop().await;
    becomes(1, Duration::from_secs(5)).await;
    drop(reading);
    serve.settles("swarmcat_readers", 0.0).await;
    let began = Instant::now();
    assert_eq!(serve.ask("DELETE", &format!("/torrents/{}", torrent.hex()), "").await.status, 200);
    stays.wait_for("the end", |counts| counts.open == 0).await;
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    serve.stop().await;
}

#[tokio::test]
async fn each_peer_is_told_with_what_it_does_and_why() {
    let torrent = Torrent::single("told.mkv", 2 * MIB).build();
    let choking = Peer::start_at(&torrent, Behaviour::NeverUnchoke, host(100)).await;
    let silent = Peer::start_at(&torrent, Behaviour::StallAfter { blocks: 3 }, host(101)).await;
    let closed = ClosedPort::reserve();
    let sandbox = Sandbox::new();
    let serve = sandbox.serve().peer(choking.addr()).peer(silent.addr()).peer(closed.addr());
    let serve = Serve::start(serve).await;
    let _reading = serve.send("GET", &path(&torrent), "").await;
    choking.wait_for("interest", |counts| counts.interested > 0).await;
    silent.wait_for("3 blocks", |counts| counts.blocks == 3).await;
    let wanted = [(choking.addr(), "choked"), (silent.addr(), "silent"), (closed.addr(), "refused")];
    let began = Instant::now();
    let peers = loop {
        let report = serve.json("GET", &format!("/torrents/{}", torrent.hex())).await;
        let peers = report["peer_list"].as_array().cloned().unwrap_or_default();
        let is = |address: SocketAddr, state: &str| {
            peers.iter().any(|peer| peer["address"] == address.to_string() && peer["state"] == state)
        };
        if wanted.iter().all(|(address, state)| is(*address, state)) {
            break peers;
        }
        assert!(began.elapsed() < crate::support::PATIENCE, "{report}");
        tokio::task::yield_now().await;
    };
    let of = |address: SocketAddr| peers.iter().find(|peer| peer["address"] == address.to_string()).unwrap();
    assert_eq!(
        of(choking.addr())["client"],
        "Scripted[2J <img src=x onerror=owned=1>",
        "without what a terminal would do"
    );
    assert_eq!(of(silent.addr())["received"], 3 * 16 * 1024);
    assert!(of(closed.addr())["reason"].as_str().unwrap().contains("refused"), "{peers:?}");
    let all = serve.json("GET", "/torrents").await;
    assert!(all["torrents"][0].get("peer_list").is_none(), "told of one torrent alone");
    serve.stop().await;
}

/// Kilobytes that a process holds in memory.
fn memory(serve: &Serve) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", serve.run.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

async fn open_and_remove(serve: &Serve, torrent: &Torrent) {
    let answer = serve.get(&path(torrent)).await;
    assert!(answer.body == torrent.content(), "{}: {}", answer.status, torrent.hex());
    let removed = loop {
        // The reader of a moment ago may still be on its way out.
        match serve.ask("DELETE", &format!("/torrents/{}", torrent.hex()), "").await {
            answer if answer.status == 503 => tokio::task::yield_now().await,
            answer => break answer,
        }
    };
    assert_eq!(removed.status, 200, "{}", removed.text());
}

/// Waits until no more descriptors are open than `most`.
async fn files_settle(serve: &Serve, most: usize) {
    let began = Instant::now();
    while serve.files() > most {
        assert!(began.elapsed() < crate::support::PATIENCE, "{} files are open, not {most}", serve.files());
        tokio::task::yield_now().await;
    }
}

/// Opens so many torrents, each with a seed of its own that the tracker names, reads them whole and removes them.
async fn open_and_remove_all(serve: &Serve, tracker: &HttpTracker, seeds: std::ops::Range<u64>) {
    for seed in seeds {
        let torrent = Torrent::single("small.bin", 64 * KIB + seed as usize).seed(seed).build();
        let peer = Peer::start_at(&torrent, Behaviour::Serve, host(90)).await;
        tracker.set(Answer::Peers(vec![peer.addr()]));
        open_and_remove(serve, &torrent).await;
        peer.wait_for("its end", |counts| counts.open == 0).await;
    }
}

#[tokio::test]
async fn two_hundred_torrents_opened_and_closed_leave_nothing_behind() {
    let tracker = HttpTracker::start(Answer::empty()).await;
    let sandbox = Sandbox::new();
    let serve = sandbox.serve().tracker(tracker.url()).args([
        "--allow-private-peers",
        "--starts-per-minute",
        "1000000",
    ]);
    let serve = Serve::start(serve).await;
    // What is made once for all torrents is made now.
    open_and_remove_all(&serve, &tracker, 0..20).await;
    let (files, memory_before) = (serve.files(), memory(&serve));
    open_and_remove_all(&serve, &tracker, 20..200).await;
    files_settle(&serve, files).await;
    let grown = memory(&serve).saturating_sub(memory_before);
    // A torrent that stays, with its tasks and buffers of 64 KiB for each link, would be 20 MiB and more by now.
    assert!(grown < 10 * 1024, "{grown} KiB more than before");
    serve.stop().await;
}

#[tokio::test]
async fn a_download_limit_holds_for_whatever_is_asked_of_whomever() {
    let torrent = Torrent::single("slowly.mkv", 4 * MIB).piece_length(256 * KIB).build();
    let seeders = [Seeder::start(&torrent).await, Seeder::start(&torrent).await];
    let peers = seeders.each_ref().map(Seeder::addr);
    let run = stream(&Sandbox::new(), &torrent, &peers).args(["--download-limit", "2MiB"]).run().await;
    let run = run.code(0).delivered(torrent.content());
    // 4 MiB at 2 MiB a second; nothing that the machine does makes it shorter.
    assert!(run.took > Duration::from_millis(1800), "{:?}", run.took);
}
