//! The log lines that the service before this program wrote, for whoever greps for them: same words, same levels.

use crate::support::{Answer, Behaviour, HttpTracker, MIB, Peer, Run, Sandbox, Torrent};

/// The line's level and message, wherever they stand in it.
fn said(lines: &[String], level: &str, message: &str) -> bool {
    lines.iter().any(|line| line.contains(level) && line.contains(message))
}

#[track_caller]
fn assert_said(lines: &[String], level: &str, message: &str) {
    assert!(said(lines, level, message), "no {level} line with {message:?} in\n{}", lines.join("\n"));
}

#[tokio::test]
async fn a_failure_and_the_refusal_after_it_are_logged() {
    let torrent = Torrent::single("logged failure.bin", MIB).build();
    let tracker = HttpTracker::start(Answer::empty()).await;
    let sandbox = Sandbox::new();
    let stream = || sandbox.stream(torrent.hex()).tracker(tracker.url()).impatient().arg("-vv");
    let failed = stream().run().await.code(4).stderr;
    assert_said(&failed, "INFO", &format!("Starting torrent stream for hash: {}", torrent.hex()));
    let marked = format!("Marked torrent {} as failed: no peers found", torrent.hex());
    assert_said(&failed, "DEBUG", &marked);
    assert_said(&failed, "DEBUG", "Will cooldown for 300s");
    let refused = stream().run().await.code(3).stderr;
    assert_said(&refused, "INFO", &format!("Torrent {} recently failed (no peers found", torrent.hex()));
    assert_said(&refused, "INFO", "s remaining.");
    assert!(!said(&refused, "INFO", "Starting torrent stream"), "a refusal starts nothing");
}

#[tokio::test]
async fn where_the_bytes_come_from_is_logged() {
    let torrent = Torrent::single("logged stream.bin", 2 * MIB).build();
    let peer = Peer::start(&torrent, Behaviour::StallAfter { blocks: 64 }).await;
    let sandbox = Sandbox::new();
    let run = sandbox.stream(torrent.hex()).peer(peer.addr()).arg("-vv").spawn();
    wait_for_progress(&run).await;
    peer.set(Behaviour::Serve);
    let first = run.finish().await.code(0).stderr;
    let from_swarm = format!("Using torrent stream for {} (file not ready)", torrent.hex());
    assert_said(&first, "INFO", &from_swarm);
    let again = sandbox.stream(torrent.hex()).arg("-vv").run().await.code(0).stderr;
    assert_said(&again, "INFO", &format!("Using file stream for {}: ", torrent.hex()));
}

async fn wait_for_progress(run: &Run) {
    let is_progress = |line: &str| line.contains("DEBUG") && line.contains("Download progress: ");
    let line = run.wait_for_line("the download's progress", is_progress).await;
    assert!(line.contains("%, peers: "), "{line}");
}
