//! Disks that fail while torrents are served from them: calls that return errors, file systems that fill up, a machine
//! that loses power. Bytes that are given are right, or the connection visibly fails.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use futures_util::FutureExt as _;
use rand::Rng;
use rustix::process::{Pid, kill_process};
use tokio::io::AsyncReadExt;

use crate::support::{
    KIB, MIB, PATIENCE, Peer, Row, Sandbox, Serve, Signal, Torrent, process,
    serve::{Answer, path},
};

/// What came is the file's beginning, and less than all of it is not called complete.
#[track_caller]
fn honest(answer: &Answer, torrent: &Torrent) {
    match answer.status {
        200 => {
            assert!(torrent.content().starts_with(&answer.body), "wrong bytes of {}", answer.body.len());
            assert_eq!(answer.headers["content-length"], torrent.content().len().to_string());
        }
        500 | 503 | 504 | 507 => drop(answer.kind()),
        status => panic!("{status}: {}", answer.text()),
    }
}

fn film() -> Torrent {
    Torrent::single("film.mkv", 4 * MIB).piece_length(64 * KIB).build()
}

/// strace on the torrent's one file, in which some of these calls fail. It counts them by thread, so that the same one
/// fails for every thread that there will be.
fn injecting(sandbox: &Sandbox, torrent: &Torrent, calls: &str, fault: &str) -> Vec<String> {
    injecting_at(&sandbox.torrent_dir(torrent).join("0-film.mkv"), calls, fault)
}

fn injecting_at(path: &Path, calls: &str, fault: &str) -> Vec<String> {
    let (path, trace) = (path.display().to_string(), format!("trace={calls}"));
    let inject = format!("inject={calls}:{fault}");
    ["strace", "-D", "-f", "-qq", "-o", "/dev/null", "-P", &path, "-e", &trace, "-e", &inject]
        .map(str::to_owned)
        .to_vec()
}

const READS: &str = "read,pread64,preadv,preadv2,sendfile,splice,copy_file_range";
const WRITES: &str = "write,pwrite64,pwritev,pwritev2";

/// Once the disk works again, so does the server; a stream that the last fault ended may still be ending.
async fn recovers(serve: &Serve, torrent: &Torrent) {
    mend(serve).await;
    for _ in 0..2 {
        let answer = serve.get(&path(torrent)).await;
        honest(&answer, torrent);
        if answer.body == torrent.content() {
            return;
        }
    }
    panic!("it does not recover");
}

/// No call fails any more: strace lets go of the program.
async fn mend(serve: &Serve) {
    let tracer = || serve.status("TracerPid:") as i32;
    let strace = Pid::from_raw(tracer()).expect("it is traced");
    kill_process(strace, Signal::KILL).unwrap();
    let gone = async {
        while tracer() != 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, gone).await.expect("strace lets go");
}

/// A finished file whose disk fails at the `nth` read; another torrent is served as if nothing were.
async fn read_error(nth: u32, other: &Torrent, peer: &Peer) {
    let (torrent, sandbox) = (film(), Sandbox::new());
    let seed = Peer::serving(&torrent).await;
    sandbox.stream(torrent.hex()).peer(seed.addr()).run().await.code(0);
    let broken = injecting(&sandbox, &torrent, READS, &format!("error=EIO:when={nth}"));
    let serve = Serve::start(sandbox.serve().peer(seed.addr()).peer(peer.addr()).under(broken)).await;
    honest(&serve.get(&path(&torrent)).await, &torrent);
    assert!(serve.get(&path(other)).await.body == other.content(), "another torrent");
    recovers(&serve, &torrent).await;
    assert_eq!(serve.metric("swarmcat_panics_total").await, 0.0);
    serve.stop().await;
}

/// The disk stands still for so long.
const STILL: Duration = Duration::from_secs(5);
/// For so long another torrent may seem to, on a machine with nothing else to do.
const HELD_UP: Duration = Duration::from_secs(1);

/// Another torrent's beginning, while one's disk stands still: how long it took.
async fn first_byte_of(other: &Torrent, serve: &Serve) -> Duration {
    let began = Instant::now();
    let mut answer = serve.send("GET", &path(other), "").await;
    answer.read_exact(&mut [0; 9]).await.unwrap();
    let took = began.elapsed();
    let mut rest = Vec::new();
    answer.read_to_end(&mut rest).await.unwrap();
    assert!(rest.ends_with(&other.content()[KIB..]), "another torrent's bytes");
    took
}

/// Puts a file out of the memory, so that who reads it has to wait for its disk.
fn evict(file: &Path) {
    let file = fs::File::open(file).unwrap();
    file.sync_all().unwrap();
    rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed).unwrap();
}

/// A finished file whose disk stands still at the first read of each thread, for so many readers at once: they wait, and
/// nobody else does.
async fn read_stall(readers: usize, other: &Torrent, peer: &Peer) -> Duration {
    let (torrent, sandbox) = (film(), Sandbox::new());
    let seed = Peer::serving(&torrent).await;
    sandbox.stream(torrent.hex()).peer(seed.addr()).run().await.code(0);
    // What may stand still: preadv2 reads what is in memory or nothing, and sendfile sends what is.
    let fault = format!("delay_enter={}:when=1", STILL.as_micros());
    let stalled = injecting(&sandbox, &torrent, "read,pread64,preadv", &fault);
    let serve = Serve::start(sandbox.serve().peer(seed.addr()).peer(peer.addr()).under(stalled)).await;
    evict(&sandbox.data_file(&torrent, 0));
    let (began, target) = (Instant::now(), path(&torrent));
    let readers = (0..readers).map(|_| serve.get(&target));
    let (slow, held_up) = tokio::join!(futures_util::future::join_all(readers), first_byte_of(other, &serve));
    assert!(slow.iter().all(|answer| answer.body == torrent.content()), "{}", slow[0].status);
    assert!(began.elapsed() >= STILL, "it stood still");
    serve.stop().await;
    held_up
}

/// A download whose disk stands still at the `nth` write of each thread, while another one begins.
async fn write_stall(nth: u32, other: &Torrent, peer: &Peer) -> Duration {
    let (torrent, sandbox) = (film(), Sandbox::new());
    let seed = Peer::serving(&torrent).await;
    let fault = format!("delay_enter={}:when={nth}", STILL.as_micros());
    let stalled = injecting(&sandbox, &torrent, WRITES, &fault);
    let serve = Serve::start(sandbox.serve().peer(seed.addr()).peer(peer.addr()).under(stalled)).await;
    let (began, target) = (Instant::now(), path(&torrent));
    let beside = async {
        // The first block is on its way to the disk.
        seed.wait_for("a block", |counts| counts.blocks > 0).await;
        first_byte_of(other, &serve).await
    };
    let (slow, held_up) = tokio::join!(serve.get(&target), beside);
    assert!(slow.body == torrent.content(), "{}", slow.status);
    assert!(began.elapsed() >= STILL, "it stood still");
    serve.stop().await;
    held_up
}

/// A temp directory whose every listing stands still, while so many ask how full it is: neither they nor others wait.
async fn listing_stall(asking: usize, other: &Torrent, peer: &Peer) -> Duration {
    let sandbox = Sandbox::new();
    sandbox.stream(other.hex()).peer(peer.addr()).run().await.code(0);
    let fault = format!("delay_enter={}", STILL.as_micros());
    let stalled = injecting_at(&sandbox.temp(), "getdents64", &fault);
    let serve = Serve::start(sandbox.serve().peer(peer.addr()).under(stalled)).await;
    let began = Instant::now();
    let asking = futures_util::future::join_all((0..asking).map(|_| serve.get("/health"))).map(|answers| {
        assert!(answers.iter().all(|answer| answer.status == 200));
        began.elapsed()
    });
    let (told, held_up) = tokio::join!(asking, first_byte_of(other, &serve));
    serve.stop().await;
    told.max(held_up)
}

/// Every write fails, again and again, while ten watch: each is told so in time, and the torrent is well again later.
async fn fatal_for_all() {
    let (torrent, sandbox) = (film(), Sandbox::new());
    let peer = Peer::serving(&torrent).await;
    let broken = injecting(&sandbox, &torrent, WRITES, "error=EIO");
    let serve = Serve::start(sandbox.serve().peer(peer.addr()).impatient().under(broken)).await;
    let target = path(&torrent);
    let viewers = (0..10).map(|_| serve.get(&target));
    let began = Instant::now();
    for answer in futures_util::future::join_all(viewers).await {
        honest(&answer, &torrent);
    }
    assert!(began.elapsed().as_secs() < 15, "stuck for {:?}", began.elapsed());
    recovers(&serve, &torrent).await;
    assert_eq!(serve.metric("swarmcat_panics_total").await, 0.0);
    serve.stop().await;
}

#[tokio::test]
async fn a_torrent_whose_disk_fails_for_good_leaves_nobody_waiting() {
    let mut row = Row::new("F14", 1);
    for number in 0..row.times() {
        row.timed_case(number, fatal_for_all()).await;
    }
    row.end();
}

/// A download whose disk fails at the `nth` write.
async fn write_error(nth: u32, fault: &str) {
    let (torrent, sandbox) = (film(), Sandbox::new());
    let peer = Peer::serving(&torrent).await;
    let broken = injecting(&sandbox, &torrent, WRITES, &format!("error={fault}:when={nth}"));
    let serve = Serve::start(sandbox.serve().peer(peer.addr()).under(broken)).await;
    let first = serve.get(&path(&torrent)).await;
    honest(&first, &torrent);
    recovers(&serve, &torrent).await;
    assert!(sandbox.failed().is_empty(), "a disk is not the torrent's fault");
    serve.stop().await;
}

#[tokio::test]
async fn a_disk_that_fails_once_gives_no_wrong_byte() {
    let mut row = Row::new("F4", 2);
    let other = Torrent::single("other.mkv", MIB).build();
    let peer = Peer::serving(&other).await;
    for number in 0..row.times() {
        let nth = if number < 4 { number + 1 } else { rand::random_range(1..40) };
        row.timed_case(format!("read {nth}"), read_error(nth, &other, &peer)).await;
        for fault in ["EIO", "ENOSPC"] {
            row.timed_case(format!("write {nth} {fault}"), write_error(nth, fault)).await;
        }
    }
    row.end();
}

#[tokio::test]
async fn a_disk_that_stands_still_holds_up_no_other_torrent() {
    let mut row = Row::new("F4b", 1);
    // A busy machine takes its time as well, but not as long as the disk.
    let bound = if row.measures() { HELD_UP } else { STILL * 4 / 5 };
    let processors = std::thread::available_parallelism().unwrap().get();
    let other = Torrent::single("other.mkv", MIB).build();
    let peer = Peer::serving(&other).await;
    for number in 0..row.times() {
        let (readers, nth) = ([2 * processors, 1, 8 * processors][number as usize % 3], 1 + number % 3);
        let (mut held_up, mut while_written) = (Duration::ZERO, Duration::ZERO);
        let reads = async {
            held_up = read_stall(readers, &other, &peer).await;
            assert!(held_up < bound, "another torrent waited {held_up:?}");
        };
        row.case(format!("{readers} readers"), reads).await;
        let writes = async {
            while_written = write_stall(nth, &other, &peer).await;
            assert!(while_written < bound, "another torrent waited {while_written:?}");
        };
        row.case(format!("write {nth}"), writes).await;
        let mut while_listed = Duration::ZERO;
        let listings = async {
            while_listed = listing_stall(1 + processors, &other, &peer).await;
            assert!(while_listed < bound, "another torrent, or the page, waited {while_listed:?}");
        };
        row.case("listings", listings).await;
        row.took(held_up.max(while_written).max(while_listed));
    }
    row.end();
}

/// A server whose temp directory is a file system of its own, with room for one film and not for two.
async fn small_temp_dir() {
    let (torrent, sandbox) = (film(), Sandbox::new());
    let peer = Peer::serving(&torrent).await;
    let serve = sandbox.serve().peer(peer.addr()).args(["--min-free", "0"]);
    let serve = Serve::start(serve.with_small_disk(&sandbox.temp(), 6 * MIB)).await;
    let root = PathBuf::from(format!("/proc/{}/root", serve.run.pid()));
    let filler = root.join(sandbox.temp().join("filler").strip_prefix("/").unwrap());
    fs::write(&filler, vec![0; 3 * MIB]).unwrap();
    let refused = serve.get(&path(&torrent)).await;
    assert_eq!((refused.status, refused.kind()), (507, "storage".to_owned()));
    assert_eq!(serve.get("/health").await.status, 200, "the server itself is well");
    fs::remove_file(&filler).unwrap();
    let answer = serve.get(&path(&torrent)).await;
    assert!(answer.status == 200 && answer.body == torrent.content(), "{}", answer.status);
    assert!(sandbox.failed().is_empty());
    serve.stop().await;
}

#[tokio::test]
async fn a_full_temp_directory_is_said_and_used_again_once_there_is_room() {
    let mut row = Row::new("F3", 1);
    for number in 0..row.times() {
        row.timed_case(number, small_temp_dir()).await;
    }
    row.end();
}

/// Runs a command of the machine, which must succeed.
fn must(line: &[&str]) {
    let output = process::output(Command::new(line[0]).args(&line[1..]).stderr(std::process::Stdio::piped()));
    assert!(output.status.success(), "{line:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A file system in a file, mounted until dropped.
struct Loop {
    image: PathBuf,
    at: PathBuf,
}

impl Loop {
    fn make(image: &Path, at: &Path) -> Self {
        fs::File::create(image).unwrap().set_len(64 << 20).unwrap();
        must(&["mkfs.ext4", "-q", image.to_str().unwrap()]);
        Self::mount(image, at)
    }

    fn mount(image: &Path, at: &Path) -> Self {
        fs::create_dir_all(at).unwrap();
        must(&["mount", "-o", "loop", image.to_str().unwrap(), at.to_str().unwrap()]);
        Self { image: image.to_owned(), at: at.to_owned() }
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        process::run_anyway(Command::new("umount").arg(&self.at));
    }
}

/// How many writes the disk under a directory has had.
fn writes_to(dir: &Path) -> String {
    let device = fs::metadata(dir).unwrap().dev();
    let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
    let counts = fs::read_to_string(format!("/sys/dev/block/{major}:{minor}/stat")).unwrap();
    counts.split_whitespace().nth(4).unwrap().to_owned()
}

/// Pulls the plug: the image as it is at this moment, mounted elsewhere. Its journal is played back as after a crash, and
/// what the kernel had not written is lost. Whoever writes is stopped meanwhile; should the kernel write, it is done again.
fn pull_the_plug(disk: &Loop, to: &Path) -> Loop {
    let copy = to.join("copy.img");
    loop {
        let before = writes_to(&disk.at);
        fs::copy(&disk.image, &copy).unwrap();
        if writes_to(&disk.at) == before {
            return Loop::mount(&copy, &to.join("copy"));
        }
    }
}

/// The kernel's name for this boot: another one after a crash, which is how a program knows that there was one.
fn rebooted(sandbox: &Sandbox) -> Vec<String> {
    let id = sandbox.write("boot_id", format!("{:032x}\n", rand::random::<u128>()).as_bytes());
    let mount = format!("mount --bind '{}' /proc/sys/kernel/random/boot_id && exec \"$@\"", id.display());
    ["unshare", "-m", "--", "sh", "-c", &mount, "sh"].map(str::to_owned).to_vec()
}

/// What a crash left of the directories is good for a stream, a look at the table, and a cleanup.
async fn good_after_a_crash(torrent: &Torrent, peer: &Peer, copy: &Path) {
    let sandbox = Sandbox::new();
    let dirs = |state: &str, temp: &str| {
        [("--state-dir", state), ("--temp-dir", temp)]
            .map(|(flag, dir)| [flag.to_owned(), copy.join(dir).display().to_string()])
            .concat()
    };
    let args = dirs("state", "temp");
    sandbox.swarmcat(["failed", "list"]).args(&args).run().await.code(0);
    let aside = fs::read_dir(copy.join("state"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let aside: Vec<_> = aside.filter(|name| name.contains("corrupt")).collect();
    assert!(aside.is_empty(), "the table is whole: {aside:?}");
    let stream = sandbox.stream(torrent.hex()).peer(peer.addr()).args(&args);
    let stream = stream.args(["--min-free", "0"]).under(rebooted(&sandbox)).run().await;
    stream.code(0).delivered(torrent.content());
    sandbox.swarmcat(["cleanup", "--older-than", "0s"]).args(&args).run().await.code(0);
    let left = crate::worker::names(&copy.join("temp"));
    assert_eq!(left, [""; 0], "nothing is left that cleanup does not know");
}

#[tokio::test]
#[ignore = "needs root, to mount"]
async fn a_machine_that_loses_power_finds_everything_in_order() {
    let mut row = Row::new("C8", 5);
    let (torrent, sandbox) = (film(), Sandbox::new());
    let peer = Peer::serving(&torrent).await;
    let disk = Loop::make(&sandbox.path("disk.img"), &sandbox.path("disk"));
    for dir in ["state", "temp"] {
        fs::create_dir(disk.at.join(dir)).unwrap();
    }
    for number in 0..row.times() {
        row.timed_case(number, lose_power(&sandbox, &disk, &torrent, &peer)).await;
    }
    row.end();
}

async fn lose_power(sandbox: &Sandbox, disk: &Loop, torrent: &Torrent, peer: &Peer) {
    let dir = |name: &str| disk.at.join(name).display().to_string();
    let args = ["--state-dir".to_owned(), dir("state"), "--temp-dir".to_owned(), dir("temp")];
    let mut writer =
        crate::worker::Worker::start(crate::worker::Job::UpdateForEver, &disk.at.join("state"), 1);
    let stream = sandbox.stream(torrent.hex()).peer(peer.addr()).args(&args).args(["--min-free", "0"]);
    let run = stream.spawn();
    run.wait_for_bytes(MIB).await;
    for _ in 0..rand::rng().random_range(0..30) {
        writer.told();
    }
    let room = tempfile::tempdir().unwrap();
    writer.pause(true);
    run.signal(Signal::STOP);
    let copy = pull_the_plug(disk, room.path());
    writer.pause(false);
    run.signal(Signal::CONT);
    writer.kill();
    run.finish().await.code(0);
    good_after_a_crash(torrent, peer, &copy.at).await;
    drop(copy);
    sandbox.swarmcat(["cleanup", "--older-than", "0s"]).args(&args).run().await.code(0);
}
