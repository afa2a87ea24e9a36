//! The failed-torrent table and the exit codes: what is recorded, for how long, and what is not.

use std::time::Duration;

use crate::support::{
    Answer, Behaviour, ClosedPort, DhtNode, HttpTracker, KIB, MIB, PATIENCE, Peer, Run, Sandbox, Signal,
    Stdout, Torrent, UdpTracker, WebServer,
    swarmcat::{FailedEntry, Finished, Invocation},
    web::Reply,
};

fn torrent(name: &str) -> Torrent {
    Torrent::single(name, MIB).build()
}

/// Seconds between the failure and the next try.
fn cooldown(entry: &FailedEntry) -> i64 {
    let seconds = |datetime: &toml::value::Datetime| {
        let text = datetime.to_string();
        time::OffsetDateTime::parse(&text, &time::format_description::well_known::Rfc3339).unwrap()
    };
    (seconds(&entry.retry_at) - seconds(&entry.failed_at)).whole_seconds()
}

/// A torrent whose tracker works and knows nobody.
struct Dead {
    torrent: Torrent,
    tracker: HttpTracker,
    sandbox: Sandbox,
}

impl Dead {
    async fn named(name: &str) -> Self {
        let tracker = HttpTracker::start(Answer::empty()).await;
        Self { torrent: torrent(name), tracker, sandbox: Sandbox::new() }
    }

    fn stream(&self) -> Invocation {
        self.sandbox.stream(self.torrent.hex()).tracker(self.tracker.url()).impatient()
    }

    async fn fails(&self) -> Finished {
        self.stream().run().await.code(4)
    }
}

#[tokio::test]
async fn a_dead_torrent_fails_once_and_is_refused_at_once_afterwards() {
    let dead = Dead::named("dead.bin").await;
    dead.fails().await.says("Content may not be available in torrent network");
    let entry = dead.sandbox.only_failed();
    assert_eq!((entry.info_hash.as_str(), entry.kind.as_str()), (dead.torrent.hex().as_str(), "no_peers"));
    assert_eq!((entry.attempts, cooldown(&entry)), (1, 300));
    let asked = dead.tracker.announces().len();
    let refused = dead.stream().run().await.code(3).says("recently failed");
    let text = refused.stderr_text();
    let words: Vec<_> = text.split_whitespace().collect();
    let at =
        words.windows(3).position(|words| words[..2] == ["again", "in"]).expect("Try again in N seconds");
    let remaining: u64 = words[at + 2].parse().unwrap();
    assert!((200..=300).contains(&remaining), "{text}");
    assert!(refused.took < Duration::from_secs(1), "{:?}", refused.took);
    assert_eq!(dead.tracker.announces().len(), asked);
    assert_eq!(dead.sandbox.only_failed(), entry, "a refusal is no failure");
}

#[tokio::test]
async fn a_refusal_opens_no_socket() {
    let dead = Dead::named("no socket.bin").await;
    dead.fails().await;
    let trace = dead.sandbox.path("trace");
    let strace = ["strace", "-f", "-qq", "-e", "trace=socket,connect,bind", "-o", trace.to_str().unwrap()];
    dead.stream().under(strace).run().await.code(3);
    let calls = std::fs::read_to_string(trace).unwrap();
    assert!(!calls.contains("AF_INET"), "{calls}");
}

#[tokio::test]
async fn every_way_to_name_a_torrent_is_refused_while_it_cools_down() {
    let dead = Dead::named("by any name.bin").await;
    dead.fails().await;
    for source in [dead.torrent.hex().to_uppercase(), dead.torrent.base32(), dead.torrent.magnet()] {
        dead.sandbox.stream(source).run().await.code(3);
    }
    dead.sandbox.stream("-").stdin(dead.torrent.metainfo()).run().await.code(3);
}

#[tokio::test]
async fn failed_list_shows_it_and_failed_clear_lets_it_try_again() {
    let dead = Dead::named("listed.bin").await;
    dead.fails().await;
    let list = |args: &[&str]| dead.sandbox.swarmcat(["failed", "list"]).args(args.iter().copied());
    let shown = list(&[]).run().await.code(0).stdout_text();
    assert!(shown.contains(&dead.torrent.hex()), "{shown}");
    let json = list(&["--json"]).run().await.code(0).json();
    assert_eq!(json[0]["info_hash"], dead.torrent.hex());
    assert_eq!(json[0]["kind"], "no_peers");
    dead.sandbox.swarmcat(["failed", "clear", &dead.torrent.hex()]).run().await.code(0);
    assert!(dead.sandbox.failed().is_empty());
    let asked = dead.tracker.announces().len();
    dead.fails().await;
    assert!(dead.tracker.announces().len() > asked);
}

#[tokio::test]
async fn failed_clear_without_a_hash_forgets_everything() {
    let (one, two) = (Dead::named("one.bin").await, torrent("two.bin"));
    one.fails().await;
    let invocation = one.sandbox.stream(two.hex()).tracker(one.tracker.url()).impatient();
    invocation.run().await.code(4);
    assert_eq!(one.sandbox.failed().len(), 2);
    one.sandbox.swarmcat(["failed", "clear"]).run().await.code(0);
    assert!(one.sandbox.failed().is_empty());
}

#[tokio::test]
async fn a_cooldown_runs_out() {
    let mut dead = Dead::named("expires.bin").await;
    dead.sandbox.configure("[cooldown]\nno_peers = \"3s\"\nbackoff = 1\n");
    dead.fails().await;
    assert_eq!(cooldown(&dead.sandbox.only_failed()), 3);
    dead.stream().run().await.code(3);
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while dead.stream().run().await.exit == 3 {
        assert!(tokio::time::Instant::now() < deadline, "the cooldown never ran out");
    }
    assert_eq!(dead.sandbox.only_failed().attempts, 2);
}

#[tokio::test]
async fn force_tries_anyway_and_each_failure_doubles_the_cooldown() {
    let dead = Dead::named("forced.bin").await;
    let mut cooldowns = Vec::new();
    for attempt in 1..=5 {
        dead.stream().args(["--force", "--peer-timeout", "1s"]).run().await.code(4);
        let entry = dead.sandbox.only_failed();
        assert_eq!(entry.attempts, attempt);
        cooldowns.push(cooldown(&entry));
    }
    assert_eq!(cooldowns, [300, 600, 1200, 2400, 3600]);
}

#[tokio::test]
async fn a_flat_default_is_the_same_for_everything() {
    let mut dead = Dead::named("flat.bin").await;
    dead.sandbox.configure("[cooldown]\ndefault = \"7m\"\nbackoff = 1\n");
    for _ in 0..2 {
        dead.stream().args(["--force", "--peer-timeout", "1s"]).run().await.code(4);
        assert_eq!(cooldown(&dead.sandbox.only_failed()), 420);
    }
}

#[tokio::test]
async fn a_success_forgets_the_failure() {
    let dead = Dead::named("forgiven.bin").await;
    dead.fails().await;
    let peer = Peer::serving(&dead.torrent).await;
    let run = dead.stream().arg("--force").peer(peer.addr()).run().await;
    run.code(0).delivered(dead.torrent.content());
    assert!(dead.sandbox.failed().is_empty());
}

#[tokio::test]
async fn peers_that_never_unchoke_are_a_timeout() {
    let torrent = torrent("never unchoked.bin");
    let peer = Peer::start(&torrent, Behaviour::NeverUnchoke).await;
    let sandbox = Sandbox::new();
    sandbox.stream(torrent.hex()).peer(peer.addr()).impatient().run().await.code(5).delivered(b"");
    let entry = sandbox.only_failed();
    assert_eq!((entry.kind.as_str(), cooldown(&entry)), ("timeout", 600));
}

#[tokio::test]
async fn a_stream_that_stalls_is_a_timeout() {
    let torrent = torrent("stalls.bin");
    let peer = Peer::start(&torrent, Behaviour::StallAfter { blocks: 32 }).await;
    let sandbox = Sandbox::new();
    let run =
        sandbox.stream(torrent.hex()).peer(peer.addr()).args(["--stall-timeout", "2s"]).run().await.code(5);
    assert!(!run.stdout.is_empty() && torrent.content().starts_with(&run.stdout), "{}", run.report());
    assert_eq!(sandbox.only_failed().kind, "timeout");
}

#[tokio::test]
async fn peers_that_accept_and_never_talk_are_a_connection_error() {
    let torrent = torrent("silent.bin");
    let peer = Peer::start(&torrent, Behaviour::SilentAccept).await;
    let sandbox = Sandbox::new();
    sandbox.stream(torrent.hex()).peer(peer.addr()).impatient().run().await.code(4);
    let entry = sandbox.only_failed();
    assert_eq!((entry.kind.as_str(), cooldown(&entry)), ("connection_error", 120));
}

#[tokio::test]
async fn peers_of_another_torrent_are_a_connection_error() {
    let torrent = torrent("wrong hash.bin");
    let peer = Peer::start(&torrent, Behaviour::WrongInfoHash).await;
    let sandbox = Sandbox::new();
    sandbox.stream(torrent.hex()).peer(peer.addr()).impatient().run().await.code(4);
    assert_eq!(sandbox.only_failed().kind, "connection_error");
}

#[tokio::test]
async fn a_peer_that_refuses_is_no_peer() {
    let torrent = torrent("refused.bin");
    let closed = ClosedPort::reserve();
    let tracker = HttpTracker::start(Answer::Peers(vec![closed.addr()])).await;
    let sandbox = Sandbox::new();
    sandbox.stream(torrent.hex()).tracker(tracker.url()).impatient().run().await.code(4);
    assert_eq!(sandbox.only_failed().kind, "no_peers");
}

#[tokio::test]
async fn without_any_network_it_is_offline_and_nothing_is_recorded() {
    let sandbox = Sandbox::new();
    let offline = sandbox.swarmcat(["stream", &torrent("offline.bin").hex()]).impatient().without_network();
    offline.run().await.code(9).says("offline");
    assert!(sandbox.failed().is_empty());
}

#[tokio::test]
async fn a_tracker_that_never_answers_is_offline() {
    let tracker = UdpTracker::start(Answer::Silence).await;
    let sandbox = Sandbox::new();
    let run =
        sandbox.stream(torrent("tracker silent.bin").hex()).tracker(tracker.url()).impatient().run().await;
    run.code(9).says("offline");
    assert!(sandbox.failed().is_empty());
}

#[tokio::test]
async fn a_tracker_that_is_down_shows_that_the_network_is_up() {
    let closed = ClosedPort::reserve();
    let sandbox = Sandbox::new();
    let url = format!("http://{}/announce", closed.addr());
    sandbox.stream(torrent("tracker down.bin").hex()).tracker(url).impatient().run().await.code(4);
    assert_eq!(sandbox.only_failed().kind, "no_peers");
}

#[tokio::test]
async fn a_dht_that_knows_nobody_is_no_peers() {
    let dht = DhtNode::start([]).await;
    let sandbox = Sandbox::new();
    sandbox.stream(torrent("unknown to the dht.bin").hex()).dht(dht.addr()).impatient().run().await.code(4);
    assert_eq!(sandbox.only_failed().kind, "no_peers");
    dht.wait_for("get_peers").await;
}

#[tokio::test]
async fn nothing_to_try_is_a_usage_error() {
    let sandbox = Sandbox::new();
    sandbox.stream(torrent("nothing to try.bin").hex()).run().await.code(2);
    assert!(sandbox.failed().is_empty());
}

#[tokio::test]
async fn an_unknown_flag_is_a_usage_error() {
    Sandbox::new()
        .stream(torrent("flag.bin").hex())
        .arg("--frobnicate")
        .run()
        .await
        .code(2)
        .says("--frobnicate");
}

#[tokio::test]
async fn an_unknown_key_in_the_configuration_is_named_with_its_line() {
    let mut sandbox = Sandbox::new();
    sandbox.configure("[swarm]\nfrobnicate = 1\n");
    let run = sandbox.stream(torrent("key.bin").hex()).run().await.code(2);
    run.says("frobnicate").says("line 2");
}

#[tokio::test]
async fn a_temp_directory_that_is_a_file_is_a_storage_error() {
    let torrent = torrent("temp is a file.bin");
    let peer = Peer::serving(&torrent).await;
    let sandbox = Sandbox::new();
    let file = sandbox.write("file", b"");
    let run = sandbox.stream(torrent.hex()).peer(peer.addr()).args(["--temp-dir", file.to_str().unwrap()]);
    run.run().await.code(7);
    assert!(sandbox.failed().is_empty());
}

#[tokio::test]
async fn a_disk_without_room_is_refused_before_it_is_full() {
    let torrent = torrent("no room.bin");
    let peer = Peer::serving(&torrent).await;
    let sandbox = Sandbox::new();
    let run =
        sandbox.stream(torrent.hex()).peer(peer.addr()).with_small_disk(&sandbox.temp(), MIB).run().await;
    run.code(7).delivered(b"");
    assert!(sandbox.failed().is_empty());
}

#[tokio::test]
async fn a_disk_that_fills_up_ends_the_stream_and_is_not_the_torrents_fault() {
    let torrent = Torrent::single("fills up.bin", 4 * MIB).build();
    let peer = Peer::serving(&torrent).await;
    let sandbox = Sandbox::new();
    let run = sandbox.stream(torrent.hex()).peer(peer.addr()).args(["--min-free", "0"]);
    let run = run.with_small_disk(&sandbox.temp(), MIB).run().await.code(7);
    assert!(torrent.content().starts_with(&run.stdout));
    assert!(sandbox.failed().is_empty());
}

#[tokio::test]
async fn a_broken_metainfo_is_a_bad_source() {
    let sandbox = Sandbox::new();
    let zero = Torrent::single("zero.bin", MIB).stating_piece_length("0").build();
    let short = Torrent::single("short.bin", MIB).without_last_hashes(3).build();
    let cut = zero.metainfo()[..zero.metainfo().len() / 2].to_vec();
    for metainfo in [zero.metainfo().to_vec(), short.metainfo().to_vec(), cut, Vec::new()] {
        sandbox.stream("-").stdin(metainfo).run().await.code(6);
    }
}

#[tokio::test]
async fn broken_metadata_from_the_swarm_is_a_bad_torrent() {
    // The last one has a digit more than any integer type has room for.
    let lengths = [
        ("zero", "0"),
        ("negative", "-1"),
        ("huge", "9223372036854775807"),
        ("absurd", "99999999999999999999"),
    ];
    for (name, length) in lengths {
        let torrent = Torrent::single(name, MIB).stating_piece_length(length).build();
        let peer = Peer::serving(&torrent).await;
        let sandbox = Sandbox::new();
        sandbox.stream(torrent.hex()).peer(peer.addr()).impatient().run().await.code(6).delivered(b"");
        let entry = sandbox.only_failed();
        assert_eq!((entry.kind.as_str(), cooldown(&entry)), ("bad_torrent", 3600));
    }
}

#[tokio::test]
async fn a_second_process_hears_who_holds_the_torrent() {
    let torrent = torrent("busy.bin");
    let peer = Peer::start(&torrent, Behaviour::NeverUnchoke).await;
    let sandbox = Sandbox::new();
    let first = sandbox.stream(torrent.hex()).peer(peer.addr()).spawn();
    peer.wait_for("interest", |counts| counts.interested > 0).await;
    let second = sandbox.stream(torrent.hex()).peer(peer.addr()).run().await.code(8);
    second.says(&first.pid().to_string());
    assert!(sandbox.failed().is_empty());
    peer.set(Behaviour::Serve);
    first.finish().await.code(0).delivered(torrent.content());
}

#[tokio::test]
async fn another_torrent_is_not_busy() {
    let (one, two) = (torrent("held.bin"), torrent("free.bin"));
    let (stalled, serving) = (Peer::start(&one, Behaviour::NeverUnchoke).await, Peer::serving(&two).await);
    let sandbox = Sandbox::new();
    let first = sandbox.stream(one.hex()).peer(stalled.addr()).spawn();
    stalled.wait_for("interest", |counts| counts.interested > 0).await;
    sandbox.stream(two.hex()).peer(serving.addr()).run().await.code(0).delivered(two.content());
    assert!(!first.has_ended());
}

async fn waiting(sandbox: &Sandbox, torrent: &Torrent, peer: &Peer) -> Run {
    let run = sandbox.stream(torrent.hex()).peer(peer.addr()).spawn();
    peer.wait_for("interest", |counts| counts.interested > 0).await;
    run
}

#[tokio::test]
async fn a_signal_while_waiting_ends_it_within_a_second_and_is_no_failure() {
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let torrent = torrent("interrupted.bin");
        let peer = Peer::start(&torrent, Behaviour::NeverUnchoke).await;
        let sandbox = Sandbox::new();
        let run = waiting(&sandbox, &torrent, &peer).await;
        let sent = tokio::time::Instant::now();
        run.signal(signal);
        run.finish().await.code(code);
        assert!(sent.elapsed() < Duration::from_secs(2), "{:?}", sent.elapsed());
        assert!(sandbox.failed().is_empty());
    }
}

#[tokio::test]
async fn a_signal_while_looking_for_peers_ends_it_within_a_second() {
    let tracker = HttpTracker::start(Answer::Silence).await;
    let sandbox = Sandbox::new();
    let run = sandbox.stream(torrent("looking.bin").hex()).tracker(tracker.url()).spawn();
    tracker.wait_for_announces(1).await;
    let sent = tokio::time::Instant::now();
    run.signal(Signal::INT);
    run.finish().await.code(130);
    assert!(sent.elapsed() < Duration::from_secs(2), "{:?}", sent.elapsed());
    assert!(sandbox.failed().is_empty());
}

#[tokio::test]
async fn a_signal_while_waiting_for_the_source_ends_it_within_a_second() {
    let server = WebServer::start(|_| Reply::Silence).await;
    let sandbox = Sandbox::new();
    let url = sandbox.stream(server.url("x.torrent")).spawn();
    server.wait_for_requests(1).await;
    let pipe = sandbox.make_pipe("pipe.torrent");
    let file = sandbox.stream("pipe.torrent").spawn();
    // Opening a pipe for writing waits until somebody has it open for reading.
    let writer =
        tokio::task::spawn_blocking(move || std::fs::File::options().write(true).open(pipe).unwrap());
    let _kept_open = tokio::time::timeout(PATIENCE, writer).await.expect("nobody reads the pipe").unwrap();
    for run in [url, file] {
        let sent = tokio::time::Instant::now();
        run.signal(Signal::INT);
        run.finish().await.code(130);
        assert!(sent.elapsed() < Duration::from_secs(2), "{:?}", sent.elapsed());
    }
}

#[tokio::test]
async fn a_signal_while_streaming_ends_it_within_a_second() {
    let torrent = torrent("interrupted stream.bin");
    let peer = Peer::start(&torrent, Behaviour::StallAfter { blocks: 32 }).await;
    let sandbox = Sandbox::new();
    let run = sandbox.stream(torrent.hex()).peer(peer.addr()).spawn();
    run.wait_for_bytes(1).await;
    let sent = tokio::time::Instant::now();
    run.signal(Signal::INT);
    let run = run.finish().await.code(130);
    assert!(sent.elapsed() < Duration::from_secs(2), "{:?}", sent.elapsed());
    assert!(torrent.content().starts_with(&run.stdout));
    assert!(sandbox.failed().is_empty());
}

#[tokio::test]
async fn a_signal_ends_it_although_nobody_reads_what_it_writes() {
    let torrent = Torrent::single("unread.bin", 4 * MIB).build();
    let peer = Peer::serving(&torrent).await;
    let sandbox = Sandbox::new();
    let run = sandbox.stream(torrent.hex()).peer(peer.addr()).stdout(Stdout::Unread).spawn();
    peer.wait_for("all blocks", |counts| counts.blocks >= torrent.block_count()).await;
    let sent = tokio::time::Instant::now();
    run.signal(Signal::INT);
    run.finish().await.code(130);
    assert!(sent.elapsed() < Duration::from_secs(2), "{:?}", sent.elapsed());
}

#[tokio::test]
async fn a_second_signal_ends_it_at_once() {
    let torrent = torrent("twice.bin");
    let peer = Peer::start(&torrent, Behaviour::NeverUnchoke).await;
    let sandbox = Sandbox::new();
    let run = waiting(&sandbox, &torrent, &peer).await;
    run.signal(Signal::INT);
    run.signal(Signal::TERM);
    let code = run.finish().await.exit;
    assert!(code == 130 || code == 143, "{code}");
}

#[tokio::test]
async fn a_stopped_process_holds_up_nobody_who_looks_at_the_table() {
    let dead = Dead::named("beside a stopped one.bin").await;
    let busy = torrent("stopped.bin");
    let peer = Peer::start(&busy, Behaviour::NeverUnchoke).await;
    let run = waiting(&dead.sandbox, &busy, &peer).await;
    run.signal(Signal::STOP);
    dead.fails().await;
    dead.sandbox.swarmcat(["failed", "list"]).run().await.code(0);
    run.signal(Signal::CONT);
    peer.set(Behaviour::Serve);
    run.finish().await.code(0).delivered(busy.content());
    assert_eq!(dead.sandbox.only_failed().info_hash, dead.torrent.hex());
}

#[tokio::test]
async fn a_corrupt_table_is_set_aside_and_said_so() {
    let dead = Dead::named("corrupt table.bin").await;
    std::fs::write(dead.sandbox.state().join("failed.toml"), "version = 1\n[[failed\n").unwrap();
    dead.fails().await.says("failed.toml");
    assert_eq!(dead.sandbox.only_failed().info_hash, dead.torrent.hex());
    let names = std::fs::read_dir(dead.sandbox.state()).unwrap();
    let names: Vec<_> = names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    let aside = |name: &&String| name.starts_with("failed") && name.contains("20") && *name != "failed.toml";
    assert!(names.iter().any(|name| aside(&name)), "{names:?}");
}

// How peers are found although trackers fail.

#[tokio::test]
async fn the_next_rounds_tracker_saves_what_a_bad_one_cannot() {
    let torrent = torrent("saved by the next round.bin");
    let peer = Peer::serving(&torrent).await;
    let flood = WebServer::start(|_| Reply::Flood).await;
    let bad = [
        Answer::empty(),
        Answer::ServerError,
        Answer::Garbage,
        Answer::Failure("go away".into()),
        Answer::Silence,
        Answer::Trickle(vec![peer.addr()]),
        Answer::Redirect(flood.url("announce")),
        Answer::Flood,
    ];
    let saved = |answer: Answer| saved_by_the_next_round(&torrent, &peer, answer);
    futures_util::future::join_all(bad.into_iter().map(saved)).await;
}

async fn saved_by_the_next_round(torrent: &Torrent, peer: &Peer, answer: Answer) {
    let name = format!("{answer:?}");
    let bad = HttpTracker::start(answer).await;
    let good = HttpTracker::start(Answer::Peers(vec![peer.addr()])).await;
    let sandbox = Sandbox::new();
    let list = sandbox.write("trackers", good.url().as_bytes());
    let run = sandbox.stream(torrent.hex()).tracker(bad.url());
    let run =
        run.args(["--trackers-file", list.to_str().unwrap(), "--peer-timeout", "8s", "--timeout", "30s"]);
    let run = run.run().await;
    assert!(run.exit == 0 && run.stdout == torrent.content(), "{name}: {}", run.report());
    assert!(!bad.announces().is_empty(), "{name} was never asked");
}

#[tokio::test]
async fn the_next_rounds_tracker_saves_what_a_dead_one_cannot() {
    let torrent = torrent("dead tracker.bin");
    let peer = Peer::serving(&torrent).await;
    let closed = ClosedPort::reserve();
    let good = HttpTracker::start(Answer::Peers(vec![peer.addr()])).await;
    let sandbox = Sandbox::new();
    let list = sandbox.write("trackers", format!("# the good ones\n\n{}\n", good.url()).as_bytes());
    let run = sandbox.stream(format!("{}&tr=http://{}/announce", torrent.magnet(), closed.addr()));
    let run = run.with_trackers().args(["--trackers-file", list.to_str().unwrap()]);
    run.args(["--peer-timeout", "8s", "--timeout", "16s"]).run().await.code(0).delivered(torrent.content());
}

#[tokio::test]
async fn trackers_that_only_lie_are_no_peers() {
    let torrent = torrent("lying tracker.bin");
    let closed: Vec<_> = (0..4).map(|_| ClosedPort::reserve()).collect();
    let tracker = HttpTracker::start(Answer::Peers(closed.iter().map(ClosedPort::addr).collect())).await;
    let sandbox = Sandbox::new();
    sandbox.stream(torrent.hex()).tracker(tracker.url()).impatient().run().await.code(4);
    assert_eq!(sandbox.only_failed().kind, "no_peers");
}

// How bytes are right although peers fail.

#[tokio::test]
async fn one_liar_among_three_seeds_changes_no_byte() {
    let torrent = Torrent::single("one liar.bin", 4 * MIB).build();
    let (honest, slow) = (Peer::serving(&torrent).await, Peer::serving(&torrent).await);
    slow.set(Behaviour::Rate { bytes_per_second: 4_000_000 });
    let liar = Peer::start(&torrent, Behaviour::Corrupt).await;
    let run = Sandbox::new().stream(torrent.hex()).peer(liar.addr()).peer(honest.addr()).peer(slow.addr());
    run.run().await.code(0).delivered(torrent.content());
}

#[tokio::test]
async fn only_liars_end_in_a_timeout_and_never_in_a_clean_end() {
    let torrent = torrent("only liars.bin");
    let liars =
        (Peer::start(&torrent, Behaviour::Corrupt).await, Peer::start(&torrent, Behaviour::Corrupt).await);
    let sandbox = Sandbox::new();
    let run = sandbox.stream(torrent.hex()).peer(liars.0.addr()).peer(liars.1.addr()).impatient().run().await;
    run.code(5).delivered(b"");
    assert_eq!(sandbox.only_failed().kind, "timeout");
}

#[tokio::test]
async fn a_seed_that_turns_into_a_liar_is_a_stall_and_never_a_clean_end() {
    let torrent = Torrent::single("turns.bin", 2 * MIB).build();
    let peer = Peer::start(&torrent, Behaviour::StallAfter { blocks: 64 }).await;
    let sandbox = Sandbox::new();
    let run = sandbox.stream(torrent.hex()).peer(peer.addr()).args(["--stall-timeout", "3s"]).spawn();
    peer.wait_for("64 blocks", |counts| counts.blocks == 64).await;
    peer.set(Behaviour::Corrupt);
    let run = run.finish().await.code(5);
    assert!(run.stdout.len() < torrent.content().len() && torrent.content().starts_with(&run.stdout));
    assert_eq!(sandbox.only_failed().kind, "timeout");
}

#[tokio::test]
async fn a_seed_that_dies_and_returns_is_streamed_to_the_end() {
    let torrent = Torrent::single("dies and returns.bin", 2 * MIB).build();
    let mut peer = Peer::start(&torrent, Behaviour::StallAfter { blocks: 64 }).await;
    let run = Sandbox::new().stream(torrent.hex()).peer(peer.addr()).spawn();
    run.wait_for_bytes(64 * KIB).await;
    peer.wait_for("64 blocks", |counts| counts.blocks == 64).await;
    peer.stop().await;
    peer.set(Behaviour::Serve);
    peer.resume().await;
    run.finish().await.code(0).delivered(torrent.content());
}

#[tokio::test]
async fn a_seed_that_hangs_up_every_few_blocks_is_streamed_to_the_end() {
    let torrent = torrent("hangs up.bin");
    let peer = Peer::start(&torrent, Behaviour::DisconnectAfter { blocks: 24 }).await;
    let other = Peer::start(&torrent, Behaviour::Rate { bytes_per_second: 200_000 }).await;
    let run = Sandbox::new().stream(torrent.hex()).peer(peer.addr()).peer(other.addr()).run().await;
    run.code(0).delivered(torrent.content());
}

#[tokio::test]
async fn a_peer_that_chokes_once_is_streamed_to_the_end() {
    let torrent = torrent("chokes once.bin");
    let pause = Duration::from_millis(300);
    let peer = Peer::start(&torrent, Behaviour::ChokeAfter { blocks: 10, pause }).await;
    let run = Sandbox::new().stream(torrent.hex()).peer(peer.addr()).run().await;
    run.code(0).delivered(torrent.content());
    assert_eq!(peer.counts().chokes, 1);
}

#[tokio::test]
async fn a_peer_that_comes_up_late_is_found() {
    let torrent = torrent("late.bin");
    let mut peer = Peer::serving(&torrent).await;
    peer.stop().await;
    let sandbox = Sandbox::new();
    let run = sandbox.stream(torrent.hex()).peer(peer.addr()).args(["--peer-timeout", "20s"]).spawn();
    run.wait_for_line("looking for peers", |line| line.contains("peers")).await;
    peer.resume().await;
    run.finish().await.code(0).delivered(torrent.content());
}
