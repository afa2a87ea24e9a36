//! The failed-torrent table when the machine is against it: calls that fail, disks that are full or read-only, clocks that
//! jump, locks that are held, files that are not what they were.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use crate::support::{
    Answer, HttpTracker, KIB, Peer, Row, Sandbox, Serve, Signal, Torrent, process,
    swarmcat::{Finished, Invocation},
};

const KEPT: &str = "1111111111111111111111111111111111111111";
const CLEARED: &str = "2222222222222222222222222222222222222222";
const DEAD: &str = "453475aec9bb4de3423649db8aa3cd2312538ca7";

/// A table with these rows, five minutes before they may be tried again.
fn plant(sandbox: &Sandbox, hashes: &[&str]) {
    sandbox.plant_failures(hashes, Duration::from_secs(300));
}

fn table(sandbox: &Sandbox) -> PathBuf {
    sandbox.state().join("failed.toml")
}

fn names(sandbox: &Sandbox) -> Vec<String> {
    crate::worker::names(&sandbox.state())
}

fn hashes(sandbox: &Sandbox) -> Vec<String> {
    sandbox.failed().into_iter().map(|row| row.info_hash).collect()
}

/// strace on everything that touches the table; `more` says what else it is to do.
fn traced(sandbox: &Sandbox, more: &[&str]) -> Vec<String> {
    let mut line: Vec<String> = ["strace", "-f", "-qq"].map(str::to_owned).to_vec();
    let state = sandbox.state();
    for name in ["failed.toml", "failed.toml.tmp", "failed.toml.lock"] {
        line.extend(["-P".to_owned(), state.join(name).display().to_string()]);
    }
    line.extend(["-P".to_owned(), state.display().to_string()]);
    line.extend(more.iter().map(|&word| word.to_owned()));
    line
}

fn clear(sandbox: &Sandbox, strace: &[String]) -> Command {
    let mut command = Command::new(&strace[0]);
    command.args(&strace[1..]).arg(env!("CARGO_BIN_EXE_swarmcat"));
    command.args(["failed", "clear", CLEARED, "--state-dir"]).arg(sandbox.state());
    command.arg("--temp-dir").arg(sandbox.temp()).env("XDG_CONFIG_HOME", sandbox.path("none"));
    command
}

const CALLS: [&str; 5] = ["openat", "write", "fsync", "rename", "flock"];

/// How often an update makes each of these calls.
fn calls_of_an_update() -> Vec<(&'static str, usize)> {
    let sandbox = Sandbox::new();
    plant(&sandbox, &[KEPT, CLEARED]);
    let trace = sandbox.path("trace");
    let strace =
        traced(&sandbox, &["-e", "trace=openat,write,fsync,rename,flock", "-o", trace.to_str().unwrap()]);
    let output = process::output(&mut clear(&sandbox, &strace));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let told = fs::read_to_string(trace).unwrap();
    let calls =
        CALLS.map(|call| (call, told.lines().filter(|line| line.contains(&format!("{call}("))).count()));
    assert!(calls.iter().all(|(_, count)| *count > 0), "{calls:?}:\n{told}");
    calls.to_vec()
}

/// One update in which the `nth` such call fails so; what was there before, or what was to be, is there afterwards.
fn update_with(call: &str, nth: usize, fault: &str) {
    let sandbox = Sandbox::new();
    plant(&sandbox, &[KEPT, CLEARED]);
    let inject = format!("inject={call}:{fault}:when={nth}");
    let strace = traced(&sandbox, &["-o", "/dev/null", "-e", &format!("trace={call}"), "-e", &inject]);
    let mut command = clear(&sandbox, &strace);
    command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    let output = process::output(&mut command);
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(!told.contains("panicked"), "{told}");
    let left = hashes(&sandbox);
    let (old, new) = ([KEPT, CLEARED].map(str::to_owned), [KEPT.to_owned()]);
    assert!(left == old || left == new, "{left:?}");
    match output.status.code() {
        Some(0) => assert_eq!(left, new, "said to be done"),
        Some(_) => assert!(told.starts_with("swarmcat: "), "no word of it: {told:?}"),
        None => assert_eq!(fault, "signal=KILL", "{:?}", output.status),
    }
    let interrupted = fault == "error=EINTR" && call != "rename";
    assert!(!interrupted || output.status.success(), "an interrupted call is made again: {told}");
    let after = process::output(&mut clear(&sandbox, &["env".to_owned()]));
    assert!(after.status.success() && hashes(&sandbox) == new, "{}", String::from_utf8_lossy(&after.stderr));
    assert_eq!(names(&sandbox), ["failed.toml", "failed.toml.lock"]);
}

#[test]
fn any_call_of_an_update_may_fail_and_the_table_is_the_old_or_the_new_one() {
    let mut row = Row::new("F2", 1);
    for _ in 0..row.times() {
        for (call, count) in calls_of_an_update() {
            for nth in 1..=count {
                for fault in ["error=EIO", "error=ENOSPC", "error=EINTR", "signal=KILL"] {
                    row.blocking_case(format!("{call} {nth} {fault}"), || update_with(call, nth, fault));
                }
            }
        }
    }
    row.end();
}

/// A server whose state directory is a file system of its own, of 64 KiB, and a tracker that knows nobody.
async fn on_a_small_state_dir(sandbox: &Sandbox, tracker: &HttpTracker) -> Serve {
    let serve = sandbox.serve().tracker(tracker.url()).args(["--peer-timeout", "1s", "--timeout", "2s"]);
    Serve::start(serve.with_small_disk(&sandbox.state(), 64 * 1024)).await
}

/// The server's own view of a path of the sandbox.
fn inside(serve: &Serve, path: &Path) -> PathBuf {
    let path = path.strip_prefix("/").unwrap();
    Path::new("/proc").join(serve.run.pid().to_string()).join("root").join(path)
}

/// Writes until nothing more fits.
fn fill(path: &Path) {
    let full = fs::write(path, vec![0; 1 << 20]).unwrap_err();
    assert_eq!(full.kind(), std::io::ErrorKind::StorageFull);
}

#[tokio::test]
async fn a_full_state_directory_costs_no_cooldown_and_is_used_again_once_there_is_room() {
    let mut row = Row::new("F3", 1);
    for number in 0..row.times() {
        row.case(number, full_state_directory()).await;
    }
    row.end();
}

async fn full_state_directory() {
    let sandbox = Sandbox::new();
    let tracker = HttpTracker::start(Answer::empty()).await;
    let serve = on_a_small_state_dir(&sandbox, &tracker).await;
    let (before, other) = (format!("/stream/proxy/{KEPT}"), format!("/stream/proxy/{DEAD}"));
    assert_eq!(serve.get(&before).await.kind(), "no_peers");
    let filler = inside(&serve, &sandbox.state().join("filler"));
    fill(&filler);

    assert_eq!(serve.get(&other).await.kind(), "no_peers");
    for target in [&before, &other] {
        let answer = serve.get(target).await;
        assert_eq!(answer.kind(), "cooldown", "{target}: a disk that is full forgets nothing");
        let seconds: u64 = answer.headers["retry-after"].parse().unwrap();
        assert!((1..=300).contains(&seconds), "{seconds}");
    }
    let text = fs::read_to_string(inside(&serve, &table(&sandbox))).unwrap();
    assert!(text.contains(KEPT) && !text.contains(DEAD), "the table is the old one: {text}");

    fs::remove_file(filler).unwrap();
    assert_eq!(serve.get(&format!("/stream/proxy/{CLEARED}")).await.kind(), "no_peers");
    let text = fs::read_to_string(inside(&serve, &table(&sandbox))).unwrap();
    assert!([KEPT, DEAD, CLEARED].iter().all(|hash| text.contains(hash)), "{text}");
    serve.stop().await;
}

/// A stream of a torrent that nobody has, under a clock that is `offset` from ours.
fn at(sandbox: &Sandbox, tracker: &HttpTracker, offset: &str) -> Invocation {
    let stream =
        sandbox.stream(DEAD).tracker(tracker.url()).args(["--peer-timeout", "1s", "--timeout", "2s"]);
    under_clock(stream, offset)
}

fn under_clock(invocation: Invocation, offset: &str) -> Invocation {
    match offset {
        "" => invocation,
        // Timers go on: a machine's clock is set, its uptime is not.
        offset => invocation.under(["env", "FAKETIME_DONT_FAKE_MONOTONIC=1", "faketime", "-f", offset]),
    }
}

fn seconds_left(refused: &Finished) -> u64 {
    let text = refused.stderr_text();
    let words: Vec<_> = text.split_whitespace().collect();
    let told = words.windows(3).find(|words| words[..2] == ["again", "in"]).expect("how long it takes");
    told[2].parse().unwrap()
}

/// A clock set ahead or back takes nothing that was used minutes ago; a cleanup that is meant to does.
async fn clean_up_under(offset: &str) {
    let (sandbox, torrent) = (Sandbox::new(), Torrent::single("kept.bin", 64 * KIB).build());
    let peer = Peer::serving(&torrent).await;
    sandbox.stream(torrent.hex()).peer(peer.addr()).run().await.code(0);
    under_clock(sandbox.swarmcat(["cleanup"]), offset).run().await.code(0);
    assert!(sandbox.torrent_dir(&torrent).is_dir(), "deleted under {offset}");
    sandbox.swarmcat(["cleanup", "--older-than", "0s"]).run().await.code(0);
    assert!(!sandbox.torrent_dir(&torrent).exists());
}

/// A failure under one clock, looked at under another: refused for no longer than a cooldown lasts, or tried again.
async fn jump(tracker: &HttpTracker, (from, to): (&str, &str)) {
    let sandbox = Sandbox::new();
    at(&sandbox, tracker, from).run().await.code(4);
    let again = at(&sandbox, tracker, to).run().await;
    match again.exit {
        3 => assert!((1..=3600).contains(&seconds_left(&again)), "{}", again.report()),
        4 => assert_eq!(sandbox.failed().len(), 1, "{}", again.report()),
        _ => panic!("{}", again.report()),
    }
    if from == to {
        assert_eq!(again.exit, 3, "a clock that is wrong but steady loses nothing: {}", again.report());
    }
    // And whatever was left behind, the right clock is not locked out for longer than the longest cooldown.
    let right = at(&sandbox, tracker, "").run().await;
    assert!(right.exit == 4 || (right.exit == 3 && seconds_left(&right) <= 3600), "{}", right.report());
}

#[tokio::test]
async fn a_clock_that_jumps_makes_no_cooldown_eternal() {
    let mut row = Row::new("F10", 1);
    let frozen = "2026-11-22 12:00:00";
    let jumps = [
        ("", "+30d"),
        ("+30d", ""),
        ("", "-30d"),
        ("-30d", ""),
        ("", "+1h"),
        ("+1h", ""),
        ("", "-1h"),
        ("-1h", ""),
        ("+30d", "+30d"),
        (frozen, frozen),
    ];
    let tracker = HttpTracker::start(Answer::empty()).await;
    for _ in 0..row.times() {
        for clocks in jumps {
            row.timed_case(format!("{clocks:?}"), jump(&tracker, clocks)).await;
        }
        for offset in ["+30d", "+400d", "-30d"] {
            row.case(format!("a cleanup at {offset}"), clean_up_under(offset)).await;
        }
    }
    row.end();
}

/// Fails once for want of peers, whatever the table says or does; how it ended.
async fn fails_without_the_table(sandbox: &Sandbox, tracker: &HttpTracker) -> Finished {
    let run = at(sandbox, tracker, "").run().await.code(4);
    assert!(run.took < Duration::from_secs(20), "{:?}", run.took);
    run
}

/// Another process that holds the table's lock, and is stopped.
struct Holder(std::process::Child);

impl Holder {
    fn start(sandbox: &Sandbox) -> Self {
        let lock = sandbox.state().join("failed.toml.lock");
        let mut command = Command::new("flock");
        command
            .arg(&lock)
            .args(["sh", "-c", "echo held; exec sleep 60"])
            .stdout(std::process::Stdio::piped());
        let mut child = process::spawn(&mut command).unwrap();
        let mut told = [0; 5];
        std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut told).unwrap();
        let holder = Self(child);
        let pid = rustix::process::Pid::from_child(&holder.0);
        rustix::process::kill_process(pid, Signal::STOP).unwrap();
        holder
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

async fn a_stopped_holder(tracker: &HttpTracker) {
    let sandbox = Sandbox::new();
    plant(&sandbox, &[KEPT]);
    let _holder = Holder::start(&sandbox);
    fails_without_the_table(&sandbox, tracker).await.says("not recorded");
    sandbox.swarmcat(["failed", "clear"]).run().await.code(8).says("failed.toml.lock");
    sandbox.swarmcat(["failed", "list"]).run().await.code(0);
}

async fn a_lock_file_that_goes(tracker: &HttpTracker) {
    let sandbox = Sandbox::new();
    fails_without_the_table(&sandbox, tracker).await;
    fs::remove_file(sandbox.state().join("failed.toml.lock")).unwrap();
    sandbox.swarmcat(["failed", "clear", DEAD]).run().await.code(0);
    assert_eq!(hashes(&sandbox), [""; 0]);
}

async fn a_read_only_directory(tracker: &HttpTracker) {
    let sandbox = Sandbox::new();
    plant(&sandbox, &[KEPT]);
    let state = sandbox.state().display().to_string();
    let mount =
        format!("mount --bind '{state}' '{state}' && mount -o remount,ro,bind '{state}' && exec \"$@\"");
    let read_only = ["unshare", "-m", "--", "sh", "-c", &mount, "sh"];
    at(&sandbox, tracker, "").under(read_only).run().await.code(4).says("not recorded");
    sandbox.swarmcat(["failed", "clear"]).under(read_only).run().await.code(7);
    sandbox.stream(KEPT).tracker(tracker.url()).under(read_only).run().await.code(3);
    assert_eq!(hashes(&sandbox), [KEPT]);
}

async fn a_directory_of_somebody_else(tracker: &HttpTracker) {
    let sandbox = Sandbox::new();
    plant(&sandbox, &[KEPT]);
    std::os::unix::fs::chown(sandbox.state(), Some(65_534), None).unwrap();
    fails_without_the_table(&sandbox, tracker).await.says("not recorded");
    assert_eq!(hashes(&sandbox), [KEPT], "what is another user's is not written to");
}

/// What can stand in the file instead of a table, and must not be lost.
fn ruins() -> Vec<(&'static str, Vec<u8>)> {
    let long = "# a comment\n".repeat(10 << 20 >> 3).into_bytes();
    vec![
        ("truncated", b"version = 1\n\n[[failed]]\ninfo_hash = \"4534".to_vec()),
        ("10 MiB of nonsense", [&long[..], b"= ="].concat()),
        ("not UTF-8", b"version = 1\nx = \"\xff\xfe\"\n".to_vec()),
        ("NULs", vec![0; 4096]),
        ("another kind", b"version = 1\nfailed = \"none\"\n".to_vec()),
    ]
}

async fn a_ruined_table(tracker: &HttpTracker, ruin: Vec<u8>) {
    let sandbox = Sandbox::new();
    fs::write(table(&sandbox), &ruin).unwrap();
    fails_without_the_table(&sandbox, tracker).await.says("failed.toml");
    let names = names(&sandbox);
    let aside = names.iter().find(|name| name.starts_with("failed.toml.corrupt-2")).expect("a dated copy");
    assert!(fs::read(sandbox.state().join(aside)).unwrap() == ruin, "as it was");
    assert_eq!(hashes(&sandbox), [DEAD]);
}

async fn an_empty_table(tracker: &HttpTracker) {
    let sandbox = Sandbox::new();
    fs::write(table(&sandbox), b"").unwrap();
    fails_without_the_table(&sandbox, tracker).await;
    assert_eq!(hashes(&sandbox), [DEAD]);
}

#[tokio::test]
async fn a_table_that_cannot_be_had_holds_up_no_stream_and_is_never_overwritten() {
    let mut row = Row::new("F12", 1);
    let tracker = HttpTracker::start(Answer::empty()).await;
    for _ in 0..row.times() {
        row.timed_case("the lock's holder is stopped", a_stopped_holder(&tracker)).await;
        row.case("the lock file is deleted", a_lock_file_that_goes(&tracker)).await;
        row.case("empty", an_empty_table(&tracker)).await;
        for (kind, ruin) in ruins() {
            row.case(kind, a_ruined_table(&tracker, ruin)).await;
        }
        // Only root can give a file away, or mount without further ado.
        if rustix::process::geteuid().is_root() {
            row.case("read-only", a_read_only_directory(&tracker)).await;
            row.case("of another user", a_directory_of_somebody_else(&tracker)).await;
        }
    }
    row.end();
}
