//! What stays on disk: resuming, verifying, streaming without a network, leases and cleanup.

use std::os::unix::fs::FileExt;

use crate::support::{Behaviour, KIB, MIB, Peer, Sandbox, Serve, Signal, Stdout, Torrent, serve::path};

fn torrent(name: &str) -> Torrent {
    Torrent::single(name, 4 * MIB).build()
}

/// Flips the bits of the byte at `offset`.
fn tamper(path: &std::path::Path, offset: u64) {
    let file = std::fs::File::options().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, offset).unwrap();
    file.write_all_at(&[!byte[0]], offset).unwrap();
}

/// Streams the first part from a peer that stalls half way, and ends it with `signal`; how many bytes came out.
async fn interrupted(sandbox: &Sandbox, torrent: &Torrent, peer: &Peer, signal: Signal) -> usize {
    let half = torrent.block_count() / 2;
    peer.set(Behaviour::StallAfter { blocks: half });
    let run = sandbox.stream(torrent.hex()).peer(peer.addr()).spawn();
    peer.wait_for("half of the blocks", |counts| counts.blocks == half).await;
    run.wait_for_bytes(MIB).await;
    run.signal(signal);
    let run = run.finish().await;
    assert!(torrent.content().starts_with(&run.stdout));
    peer.wait_for("the end of the connection", |counts| counts.open == 0).await;
    run.stdout.len()
}

#[tokio::test]
async fn a_damaged_metainfo_costs_nothing_of_what_is_there() {
    let torrent = torrent("kept.bin");
    let sandbox = Sandbox::filled(&torrent).await;
    std::fs::write(sandbox.torrent_dir(&torrent).join("metainfo.torrent"), b"d4:info").unwrap();
    let dead = sandbox.stream(torrent.hex()).impatient().run().await;
    assert!([4, 9].contains(&dead.exit), "{}", dead.report());
    assert!(std::fs::read(sandbox.data_file(&torrent, 0)).unwrap() == torrent.content());
    let peer = Peer::serving(&torrent).await;
    let run = sandbox.stream(torrent.hex()).args(["--force"]).peer(peer.addr()).run().await;
    run.code(0).delivered(torrent.content());
    assert_eq!(peer.counts().blocks, 0, "only the metainfo was missing");
}

#[tokio::test]
async fn what_an_interrupted_stream_had_is_not_downloaded_again() {
    let torrent = torrent("interrupted.bin");
    let first = Peer::serving(&torrent).await;
    let sandbox = Sandbox::new();
    let delivered = interrupted(&sandbox, &torrent, &first, Signal::INT).await;
    let again = asked_for_again(&sandbox, &torrent).await;
    let missing = torrent.piece_count() - delivered / torrent.piece_length();
    assert!(again <= missing, "{again} pieces asked for, {missing} were missing");
}

#[tokio::test]
async fn who_brought_the_first_part_is_found_again_without_a_search() {
    let torrent = torrent("found-again.bin");
    let peer = Peer::serving(&torrent).await;
    let sandbox = Sandbox::new();
    sandbox
        .stream(torrent.hex())
        .peer(peer.addr())
        .args(["--range", "0-99"])
        .run()
        .await
        .code(0)
        .delivered(&torrent.content()[..100]);
    sandbox.stream(torrent.hex()).run().await.code(0).delivered(torrent.content());
}

#[tokio::test]
async fn a_kill_costs_seconds_and_not_the_download() {
    const RATE: u32 = 600_000;
    let torrent = torrent("killed.bin");
    let first = Peer::start(&torrent, Behaviour::Rate { bytes_per_second: RATE }).await;
    let sandbox = Sandbox::new();
    let run = sandbox.stream(torrent.hex()).peer(first.addr()).spawn();
    run.wait_for_bytes(5 * MIB / 2).await;
    run.signal(Signal::KILL);
    let delivered = run.finish().await.stdout.len();
    let again = asked_for_again(&sandbox, &torrent).await;
    let missing = torrent.piece_count() - delivered / torrent.piece_length();
    // The have-map is written every second; a busy machine may be one more behind.
    let two_seconds = 2 * RATE as usize / torrent.piece_length();
    assert!(again <= missing + two_seconds, "{again} pieces asked for, {missing} were missing");
}

/// Streams the rest from a fresh peer; how many pieces that was asked for.
async fn asked_for_again(sandbox: &Sandbox, torrent: &Torrent) -> usize {
    let peer = Peer::serving(torrent).await;
    let run = sandbox.stream(torrent.hex()).peer(peer.addr()).run().await;
    run.code(0).delivered(torrent.content());
    assert_eq!(peer.counts().metadata_requests, 0, "the metainfo is kept beside the data");
    peer.counts().pieces.len()
}

#[tokio::test]
async fn resumed_data_that_was_tampered_with_is_fetched_again() {
    let torrent = torrent("tampered.bin");
    let peer = Peer::serving(&torrent).await;
    let sandbox = Sandbox::new();
    interrupted(&sandbox, &torrent, &peer, Signal::KILL).await;
    tamper(&sandbox.data_file(&torrent, 0), 10);
    tamper(&sandbox.data_file(&torrent, 0), 5 * 64 * KIB as u64);
    peer.set(Behaviour::Serve);
    let run = sandbox.stream(torrent.hex()).peer(peer.addr()).run().await;
    run.code(0).delivered(torrent.content());
}

#[tokio::test]
async fn a_complete_file_that_was_tampered_with_is_fetched_again() {
    let torrent = torrent("tampered complete.bin");
    let peer = Peer::serving(&torrent).await;
    let sandbox = Sandbox::new();
    let stream = || sandbox.stream(torrent.hex()).peer(peer.addr());
    stream().run().await.code(0).delivered(torrent.content());
    tamper(&sandbox.data_file(&torrent, 0), 3 * MIB as u64);
    let before = peer.counts().requests;
    stream().run().await.code(0).delivered(torrent.content());
    let again = peer.counts().requests - before;
    assert!((1..torrent.block_count() / 2).contains(&again), "{again} blocks for one bad piece");
}

#[tokio::test]
async fn a_data_file_that_was_cut_off_or_removed_is_fetched_again() {
    let torrent = torrent("cut off.bin");
    let peer = Peer::serving(&torrent).await;
    let sandbox = Sandbox::new();
    let stream = || sandbox.stream(torrent.hex()).peer(peer.addr());
    stream().run().await.code(0);
    let data = sandbox.data_file(&torrent, 0);
    std::fs::File::options().write(true).open(&data).unwrap().set_len(MIB as u64).unwrap();
    stream().run().await.code(0).delivered(torrent.content());
    std::fs::remove_file(&data).unwrap();
    stream().run().await.code(0).delivered(torrent.content());
}

/// Two episodes, the first of so many bytes.
fn season(first: usize) -> Torrent {
    Torrent::multi("season").file("e01.bin", first).file("e02.bin", 2 * MIB).build()
}

/// A sandbox with both of them.
async fn both_there(torrent: &Torrent, peer: &Peer) -> Sandbox {
    let sandbox = Sandbox::new();
    for index in [0, 1] {
        let run =
            sandbox.stream(torrent.hex()).peer(peer.addr()).args(["-i", &index.to_string()]).run().await;
        run.code(0).delivered(torrent.file(index));
    }
    sandbox
}

#[tokio::test]
async fn what_was_done_to_one_file_is_not_believed_for_the_word_of_the_one_before_it() {
    let torrent = season(400_000);
    let peer = Peer::serving(&torrent).await;
    let sandbox = both_there(&torrent, &peer).await;
    let data = sandbox.data_file(&torrent, 1);
    let second = |args: &[&str]| {
        sandbox.stream(torrent.hex()).peer(peer.addr()).args(["-i", "1"]).args(args.iter().copied()).run()
    };
    second(&[]).await.code(0).delivered(torrent.file(1));
    tamper(&data, 10);
    second(&[]).await.code(0).delivered(torrent.file(1));
    std::fs::remove_file(&data).unwrap();
    second(&[]).await.code(0).delivered(torrent.file(1));
    std::fs::File::options().write(true).open(&data).unwrap().set_len(0).unwrap();
    second(&["--range", "1000000-"]).await.code(0).delivered(&torrent.file(1)[1_000_000..]);
    second(&[]).await.code(0).delivered(torrent.file(1));
    for index in [0, 1] {
        let run =
            sandbox.stream(torrent.hex()).args(["-i", &index.to_string()]).without_network().run().await;
        run.code(0).delivered(torrent.file(index));
    }
}

#[tokio::test]
async fn a_file_that_is_tampered_with_while_another_is_fetched_is_not_taken_for_finished() {
    let torrent = season(6 * 64 * KIB);
    let sandbox = Sandbox::new();
    let first = Peer::serving(&torrent).await;
    sandbox.stream(torrent.hex()).peer(first.addr()).args(["-i", "0"]).run().await.code(0);
    drop(first);
    let half = torrent.file(1).len() / (16 * KIB) / 2;
    let peer = Peer::start(&torrent, Behaviour::StallAfter { blocks: half }).await;
    let run = sandbox.stream(torrent.hex()).peer(peer.addr()).args(["-i", "1"]).spawn();
    peer.wait_for("half of the blocks", |counts| counts.blocks == half).await;
    tamper(&sandbox.data_file(&torrent, 0), 1000);
    peer.set(Behaviour::Serve);
    run.finish().await.code(0).delivered(torrent.file(1));
    let run = sandbox.stream(torrent.hex()).peer(peer.addr()).args(["-i", "0"]).run().await;
    run.code(0).delivered(torrent.file(0));
}

#[tokio::test]
async fn what_one_process_fetches_is_not_forgotten_by_another_that_has_the_torrent_open() {
    let torrent = season(400_000);
    let sandbox = Sandbox::new();
    let peer = Peer::serving(&torrent).await;
    let stream = |index: &str| sandbox.stream(torrent.hex()).args(["-i", index]);
    stream("0").peer(peer.addr()).run().await.code(0);
    // Untouched as it is, it is looked at piece by piece.
    let data = std::fs::File::options().write(true).open(sandbox.data_file(&torrent, 0)).unwrap();
    data.set_modified(std::time::UNIX_EPOCH).unwrap();
    let (serve, target) = (Serve::start(sandbox.serve()).await, path(&torrent) + "?file=0");
    assert!(serve.ask("GET", &target, "Range: bytes=0-99\r\n").await.body == torrent.file(0)[..100]);
    stream("1").peer(peer.addr()).run().await.code(0).delivered(torrent.file(1));
    assert!(serve.get(&target).await.body == torrent.file(0));
    serve.stop().await;
    stream("1").without_network().run().await.code(0).delivered(torrent.file(1));
}

#[tokio::test]
async fn a_have_map_of_garbage_costs_time_and_no_byte() {
    let torrent = torrent("garbage map.bin");
    let peer = Peer::serving(&torrent).await;
    let sandbox = Sandbox::new();
    interrupted(&sandbox, &torrent, &peer, Signal::KILL).await;
    let data = sandbox.data_file(&torrent, 0);
    for entry in std::fs::read_dir(sandbox.torrent_dir(&torrent)).unwrap() {
        let path = entry.unwrap().path();
        if path != data {
            std::fs::write(path, "\u{0}garbage").unwrap();
        }
    }
    peer.set(Behaviour::Serve);
    let run = sandbox.stream(torrent.hex()).peer(peer.addr()).run().await;
    run.code(0).delivered(torrent.content());
}

#[tokio::test]
async fn a_finished_file_streams_with_no_network_at_all() {
    let torrent = torrent("finished.bin");
    let sandbox = Sandbox::new();
    let peer = Peer::serving(&torrent).await;
    sandbox.stream(torrent.hex()).peer(peer.addr()).run().await.code(0);
    drop(peer);
    let again = || sandbox.stream(torrent.hex());
    again().run().await.code(0).delivered(torrent.content());
    again().without_network().run().await.code(0).delivered(torrent.content());
    let run = sandbox.stream(torrent.magnet()).args(["--range", "-100"]).without_network().run().await;
    run.code(0).delivered(&torrent.content()[4 * MIB - 100..]);
}

#[tokio::test]
async fn a_finished_file_streams_beside_whoever_still_holds_the_torrent() {
    let torrent = torrent("beside.bin");
    let sandbox = Sandbox::new();
    let peer = Peer::serving(&torrent).await;
    let first = sandbox.stream(torrent.hex()).peer(peer.addr()).stdout(Stdout::Unread).spawn();
    peer.wait_for("all blocks", |counts| counts.blocks >= torrent.block_count()).await;
    // The last block is on its way to the disk; until it is verified the torrent is busy.
    let deadline = tokio::time::Instant::now() + crate::support::PATIENCE;
    let second = loop {
        let second = sandbox.stream(torrent.hex()).run().await;
        if second.exit != 8 || tokio::time::Instant::now() > deadline {
            break second;
        }
    };
    second.code(0).delivered(torrent.content());
    assert!(!first.has_ended());
}

#[tokio::test]
async fn an_interrupted_output_file_is_resumed() {
    for signal in [Signal::INT, Signal::KILL] {
        let torrent = torrent("resumed output.bin");
        let half = torrent.block_count() / 2;
        let peer = Peer::start(&torrent, Behaviour::StallAfter { blocks: half }).await;
        let sandbox = Sandbox::new();
        let stream = || sandbox.stream(torrent.hex()).peer(peer.addr()).args(["-o", "out"]);
        let run = stream().spawn();
        let part = sandbox.path("out.part");
        wait_for_len(&part, MIB as u64, &run).await;
        run.signal(signal);
        run.finish().await;
        assert!(part.exists() && !sandbox.path("out").exists());
        peer.set(Behaviour::Serve);
        stream().run().await.code(0);
        assert!(std::fs::read(sandbox.path("out")).unwrap() == torrent.content(), "after {signal:?}");
        assert!(!part.exists());
    }
}

#[tokio::test]
async fn an_output_file_that_was_tampered_with_is_not_trusted() {
    let torrent = torrent("tampered output.bin");
    let half = torrent.block_count() / 2;
    let peer = Peer::start(&torrent, Behaviour::StallAfter { blocks: half }).await;
    let sandbox = Sandbox::new();
    let stream = || sandbox.stream(torrent.hex()).peer(peer.addr()).args(["-o", "out"]);
    let run = stream().spawn();
    wait_for_len(&sandbox.path("out.part"), MIB as u64, &run).await;
    run.signal(Signal::KILL);
    run.finish().await;
    tamper(&sandbox.path("out.part"), 100);
    peer.set(Behaviour::Serve);
    stream().run().await.code(0);
    assert!(std::fs::read(sandbox.path("out")).unwrap() == torrent.content());
}

async fn wait_for_len(path: &std::path::Path, len: u64, run: &crate::support::Run) {
    let deadline = tokio::time::Instant::now() + crate::support::PATIENCE;
    while !std::fs::metadata(path).is_ok_and(|file| file.len() >= len) {
        assert!(tokio::time::Instant::now() < deadline && !run.has_ended(), "{:#?}", run.stderr());
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn cleanup_leaves_a_running_stream_alone_and_says_so() {
    let torrent = torrent("in use.bin");
    let half = torrent.block_count() / 2;
    let peer = Peer::start(&torrent, Behaviour::StallAfter { blocks: half }).await;
    let sandbox = Sandbox::new();
    let run = sandbox.stream(torrent.hex()).peer(peer.addr()).spawn();
    run.wait_for_bytes(MIB).await;
    let cleanup = || sandbox.swarmcat(["cleanup", "--older-than", "0s"]);
    let report = cleanup().run().await.code(0).stdout_text();
    assert!(report.contains(&torrent.hex()) && report.contains("in use"), "{report}");
    peer.set(Behaviour::Serve);
    run.finish().await.code(0).delivered(torrent.content());
    assert!(sandbox.torrent_dir(&torrent).exists());
}

#[tokio::test]
async fn cleanup_removes_what_is_idle_and_only_that() {
    let torrent = torrent("idle.bin");
    let peer = Peer::serving(&torrent).await;
    let sandbox = Sandbox::new();
    sandbox.stream(torrent.hex()).peer(peer.addr()).run().await.code(0);
    let foreign = sandbox.temp().join("not ours");
    std::fs::create_dir(&foreign).unwrap();
    let dir = sandbox.torrent_dir(&torrent);
    let cleanup = |args: &[&str]| sandbox.swarmcat(["cleanup"]).args(args.iter().copied());
    cleanup(&[]).run().await.code(0);
    assert!(dir.exists(), "it was used a moment ago");
    let planned = cleanup(&["--older-than", "0s", "--dry-run", "--json"]).run().await.code(0).json();
    assert!(planned.to_string().contains(&torrent.hex()) && dir.exists(), "{planned}");
    let done = cleanup(&["--older-than", "0s"]).run().await.code(0).stdout_text();
    assert!(done.contains(&torrent.hex()) && !dir.exists(), "{done}");
    assert!(foreign.exists());
}

#[tokio::test]
async fn a_stream_after_cleanup_starts_over() {
    let torrent = torrent("cleaned.bin");
    let peer = Peer::serving(&torrent).await;
    let sandbox = Sandbox::new();
    let stream = || sandbox.stream(torrent.hex()).peer(peer.addr());
    stream().run().await.code(0);
    sandbox.swarmcat(["cleanup", "--older-than", "0s"]).run().await.code(0);
    stream().run().await.code(0).delivered(torrent.content());
}
