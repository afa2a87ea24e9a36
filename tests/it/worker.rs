//! Processes of the test's own: this binary started again, to do one job on the library and be killed at it.

use std::{
    io::{BufRead, BufReader, Read, Write},
    path::Path,
    process::{Child, ChildStdout, Command, Stdio},
    time::Duration,
};

use swarmcat::core::{
    Error,
    failed::{FailedTable, FailureKind},
    janitor::{self, ScratchDir},
    settings::CooldownSettings,
    source::InfoHash,
};
use time::OffsetDateTime;

use super::support::process;

const JOB: &str = "SWARMCAT_TEST_JOB";
const DIR: &str = "SWARMCAT_TEST_DIR";
const NUMBER: &str = "SWARMCAT_TEST_NUMBER";

/// What a worker can do. `number` tells one worker of a kind from another.
#[derive(Debug, Clone, Copy)]
pub enum Job {
    /// Ten failures of one shared torrent and ten of its own, then end.
    Update,
    /// One failure after another, each told once it is written, until killed.
    UpdateForEver,
    /// Lease torrent `number`, make a session directory and take the writer's lock, say so, and wait.
    Hold,
    /// One cleanup of everything that is idle.
    Cleanup,
}

const JOBS: [Job; 4] = [Job::Update, Job::UpdateForEver, Job::Hold, Job::Cleanup];

/// The names in a directory, sorted.
pub fn names(dir: &Path) -> Vec<String> {
    let names =
        std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.collect();
    names.sort();
    names
}

/// A worker process; killed when dropped.
pub struct Worker {
    child: Child,
    stdout: BufReader<ChildStdout>,
}

/// The torrent that every updating worker shares.
pub const SHARED: InfoHash = InfoHash::new([0xff; 20]);

/// The `step`-th torrent of worker `number`.
pub fn hash(number: u32, step: u32) -> InfoHash {
    let mut bytes = [0; 20];
    bytes[..4].copy_from_slice(&number.to_be_bytes());
    bytes[4..8].copy_from_slice(&step.to_be_bytes());
    InfoHash::new(bytes)
}

pub fn settings() -> CooldownSettings {
    CooldownSettings { no_peers: Duration::from_secs(86_400), ..Default::default() }
}

impl Worker {
    pub fn start(job: Job, dir: &Path, number: u32) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "worker::worker", "--ignored", "--nocapture", "--test-threads=1"]);
        command.env(JOB, format!("{job:?}")).env(DIR, dir).env(NUMBER, number.to_string());
        let mut child = process::spawn(command.stdout(Stdio::piped())).unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        Self { child, stdout }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The next thing it says.
    pub fn told(&mut self) -> String {
        for line in self.stdout.by_ref().lines() {
            if let Some(told) = line.unwrap().split("told ").nth(1) {
                return told.to_owned();
            }
        }
        panic!("the worker ended before it said anything");
    }

    /// Stops it where it is, or lets it go on.
    pub fn pause(&self, paused: bool) {
        use rustix::process::{Pid, Signal, kill_process};
        kill_process(Pid::from_child(&self.child), if paused { Signal::STOP } else { Signal::CONT }).unwrap();
    }

    /// SIGKILL; what it had said until then and was not read yet.
    pub fn kill(mut self) -> Vec<String> {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        let mut rest = String::new();
        self.stdout.read_to_string(&mut rest).unwrap();
        // A line without its end was cut off by the kill, and was never said.
        let said = rest.rsplit_once('\n').map_or("", |(said, _)| said);
        said.lines().filter_map(|line| line.split("told ").nth(1)).map(str::to_owned).collect()
    }

    pub fn finish(mut self) {
        let mut rest = String::new();
        self.stdout.read_to_string(&mut rest).unwrap();
        assert!(self.child.wait().unwrap().success(), "{rest}");
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Straight to the pipe: what was said before a kill must have been said.
fn tell(what: impl std::fmt::Display) {
    std::io::stdout().write_all(format!("told {what}\n").as_bytes()).unwrap();
}

#[test]
#[ignore = "a process that other tests start"]
fn worker() {
    let Ok(job) = std::env::var(JOB) else { return };
    let job = JOBS.into_iter().find(|known| format!("{known:?}") == job).unwrap();
    let dir = std::env::var_os(DIR).unwrap();
    let (dir, number) = (Path::new(&dir), std::env::var(NUMBER).unwrap().parse().unwrap());
    match job {
        Job::Update => {
            for step in 0..10 {
                record(dir, SHARED);
                record(dir, hash(number, step));
            }
        }
        Job::UpdateForEver => {
            for step in 0..u32::MAX {
                record(dir, hash(number, step));
                tell(step);
            }
        }
        Job::Hold => hold(dir, number),
        Job::Cleanup => {
            janitor::cleanup(dir, Duration::ZERO, false, OffsetDateTime::now_utc()).unwrap();
        }
    }
}

/// A busy table means that nothing was written, so it is tried again, by one that does not remember the first try.
fn record(dir: &Path, info_hash: InfoHash) {
    let now = OffsetDateTime::now_utc();
    loop {
        let table = FailedTable::new(dir, settings());
        match table.record(info_hash, FailureKind::NoPeers, "no peers found after 60s", None, now) {
            Err(Error::Busy(_)) => {}
            recorded => return drop(recorded.unwrap()),
        }
    }
}

fn hold(dir: &Path, number: u32) {
    let scratch = ScratchDir::open(dir).unwrap();
    let lease = scratch.lease(&hash(number, 0)).unwrap();
    let _writer = lease.writer("swarmcat stream of a test").unwrap();
    let session = scratch.session_dir().unwrap();
    std::fs::write(session.path().join("file"), "session").unwrap();
    tell("holding");
    loop {
        std::thread::park();
    }
}
