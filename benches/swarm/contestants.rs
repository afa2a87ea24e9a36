//! Who is measured: how each is started, cold, and asked for bytes.

mod aria2;
mod libtorrent;
mod peerflix;
mod rqbit;
mod swarmcat;

use std::{
    io::Read,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{Arc, mpsc},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

use crate::{
    measure::{self, Cost, Measured, http},
    scenario::Work,
    seeder::Trouble,
    swarm::Swarm,
    tools,
};

/// Bytes as they come.
pub type Bytes = Box<dyn Read + Send>;

/// One of those who are compared.
pub trait Contestant {
    /// Starts it with nothing but the magnet and an empty room.
    fn start(&self, swarm: &Swarm, room: &Path, work: Work) -> Result<(Measured, Box<dyn Source>), Trouble>;

    /// Whether it has a way to do this at all.
    fn can(&self, _work: Work) -> bool {
        true
    }
}

/// Where a running contestant gives the file.
pub trait Source: Send + Sync {
    /// The file from this byte on; returns once it answers.
    fn open(&self, from: u64) -> Result<Bytes, Trouble>;

    /// Where somebody else can ask for it, once that is so.
    fn url(&self) -> Result<String, Trouble> {
        Err("it gives the file to nobody else".into())
    }
}

/// Everyone by name, in the order of the report.
pub const NAMES: &[&str] = &["swarmcat", "rqbit", "libtorrent", "peerflix", "aria2"];

/// The contestant of this name, or why it is missing.
pub fn find(name: &str) -> Result<Box<dyn Contestant>, Trouble> {
    match name {
        "swarmcat" => Ok(Box::new(swarmcat::Swarmcat)),
        "rqbit" => match measure::rqbit() {
            Some(program) => Ok(Box::new(rqbit::Rqbit(program))),
            None => Err(format!("cargo install rqbit --version {} --locked", measure::RQBIT_VERSION).into()),
        },
        "libtorrent" => Ok(Box::new(libtorrent::Libtorrent(tools::python()?))),
        "peerflix" => Ok(Box::new(peerflix::Peerflix(tools::peerflix()?))),
        "aria2" => Ok(Box::new(aria2::Aria2(tools::aria2()?))),
        _ => Err(format!("there is no contestant {name}").into()),
    }
}

/// A contestant at work, killed when it takes too long.
pub struct Running {
    /// When its process was started.
    pub started: Instant,
    /// Where it gives the bytes.
    pub source: Arc<dyn Source>,
    run: Measured,
    watchdog: Watchdog,
}

impl Running {
    /// Starts it; what it takes until it can be asked counts.
    pub fn start(
        contestant: &dyn Contestant,
        swarm: &Swarm,
        room: &Path,
        work: Work,
        patience: Duration,
    ) -> Result<Self, Trouble> {
        let (mut run, source) = contestant.start(swarm, room, work)?;
        let watchdog = Watchdog::over(Pid::from_child(run.child()), patience);
        Ok(Self { started: run.started(), source: source.into(), run, watchdog })
    }

    /// Ends it, and tells what it cost and whether it was killed for taking too long.
    pub fn end(self) -> Result<(Cost, bool), Trouble> {
        let late = self.watchdog.dismiss();
        Ok((self.run.kill()?, late))
    }
}

/// Kills a process after a while, unless dismissed before.
struct Watchdog {
    dismissed: mpsc::Sender<()>,
    thread: JoinHandle<bool>,
}

impl Watchdog {
    fn over(pid: Pid, patience: Duration) -> Self {
        let (dismissed, dismissal) = mpsc::channel();
        let thread = thread::spawn(move || {
            let late = dismissal.recv_timeout(patience) == Err(mpsc::RecvTimeoutError::Timeout);
            if late {
                let _ = kill_process(pid, Signal::KILL);
            }
            late
        });
        Self { dismissed, thread }
    }

    fn dismiss(self) -> bool {
        drop(self.dismissed);
        self.thread.join().unwrap_or(true)
    }
}

/// A server's file.
struct Served {
    address: std::net::SocketAddr,
    target: String,
    pid: Pid,
}

impl Served {
    fn connect(&self) -> Result<std::net::TcpStream, Trouble> {
        Ok(http::connect(self.address, self.pid)?)
    }
}

impl Source for Served {
    fn open(&self, from: u64) -> Result<Bytes, Trouble> {
        Ok(Box::new(http::request(self.connect()?, "GET", &self.target, from, "")?))
    }

    fn url(&self) -> Result<String, Trouble> {
        self.connect()?;
        Ok(format!("http://{}{}", self.address, self.target))
    }
}

/// A program that sees nothing of the user's set-up, in an empty home.
fn clean(program: impl Into<PathBuf>, room: &Path) -> Command {
    let mut command = Command::new(program.into());
    command.env("HOME", room).env("XDG_CONFIG_HOME", room.join("config")).current_dir(room);
    command.stdin(Stdio::null()).stdout(Stdio::null());
    command
}
