//! Who is measured, and how each is asked for the same bytes.

use std::{
    fs::File,
    io::Read,
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use rustix::process::Pid;

use crate::{
    seeder::{self, Trouble},
    support::{Cost, Measured, http},
    swarm::Swarm,
};

/// One way of getting the bytes.
pub struct Contestant {
    name: &'static str,
    program: PathBuf,
    way: Way,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    SwarmcatPipe,
    SwarmcatFile,
    SwarmcatFirstByte,
    RqbitDownload,
    RqbitStream,
    RqbitFirstByte,
}

/// What one run took.
#[derive(Debug, Clone, Copy)]
pub struct Sample {
    /// Until the last byte was there (or the first, where that is the question).
    pub wall: Duration,
    /// Processor time of the process.
    pub cpu: Duration,
    /// Peak resident set in bytes.
    pub peak: u64,
}

impl Contestant {
    /// What is compared with what.
    pub const RATIOS: &[(&str, &str)] = &[
        ("swarmcat | reader", "rqbit HTTP stream"),
        ("swarmcat | reader", "rqbit download"),
        ("swarmcat > file", "rqbit download"),
        ("swarmcat first byte", "rqbit first byte"),
    ];

    /// Everyone who is there.
    pub fn all(swarmcat: PathBuf, rqbit: Option<PathBuf>) -> Vec<Self> {
        let named = |program: &PathBuf, name, way| Self { name, program: program.clone(), way };
        let mut all = vec![
            named(&swarmcat, "swarmcat | reader", Way::SwarmcatPipe),
            named(&swarmcat, "swarmcat > file", Way::SwarmcatFile),
            named(&swarmcat, "swarmcat first byte", Way::SwarmcatFirstByte),
        ];
        if let Some(rqbit) = rqbit {
            all.push(named(&rqbit, "rqbit download", Way::RqbitDownload));
            all.push(named(&rqbit, "rqbit HTTP stream", Way::RqbitStream));
            all.push(named(&rqbit, "rqbit first byte", Way::RqbitFirstByte));
        }
        all
    }

    /// As printed.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Whether all bytes are asked for.
    pub fn whole_file(&self) -> bool {
        !matches!(self.way, Way::SwarmcatFirstByte | Way::RqbitFirstByte)
    }

    /// One cold run in an empty directory.
    pub fn run(&self, swarm: &Swarm, room: &Path) -> Result<Sample, Trouble> {
        match self.way {
            Way::SwarmcatPipe => self.swarmcat_to_pipe(swarm, room),
            Way::SwarmcatFile => self.swarmcat_to_file(swarm, room),
            Way::SwarmcatFirstByte => self.swarmcat_first_byte(swarm, room),
            Way::RqbitDownload => self.rqbit_download(swarm, room),
            Way::RqbitStream | Way::RqbitFirstByte => self.rqbit_server(swarm, room),
        }
    }

    fn swarmcat(&self, swarm: &Swarm, room: &Path) -> Command {
        let mut command = Command::new(&self.program);
        command.args([
            "stream",
            &swarm.info_hash,
            "--peer",
            &swarm.peer,
            "--no-dht",
            "--no-trackers",
            "--quiet",
        ]);
        command.arg("--temp-dir").arg(room.join("temp")).arg("--state-dir").arg(room.join("state"));
        command.env("XDG_CONFIG_HOME", room.join("config")).stdin(Stdio::null()).stdout(Stdio::piped());
        command
    }

    fn swarmcat_to_pipe(&self, swarm: &Swarm, room: &Path) -> Result<Sample, Trouble> {
        let mut run = Measured::start(&mut self.swarmcat(swarm, room))?;
        let stdout = run.child().stdout.take().ok_or("no pipe")?;
        let drained = seeder::drain(stdout)?;
        let cost = run.finish()?;
        swarm.check(drained)?;
        Ok(cost.into())
    }

    fn swarmcat_to_file(&self, swarm: &Swarm, room: &Path) -> Result<Sample, Trouble> {
        let path = room.join("out");
        let cost = Measured::start(self.swarmcat(swarm, room).stdout(File::create(&path)?))?.finish()?;
        swarm.check(seeder::drain(File::open(path)?)?)?;
        Ok(cost.into())
    }

    fn swarmcat_first_byte(&self, swarm: &Swarm, room: &Path) -> Result<Sample, Trouble> {
        let mut run = Measured::start(&mut self.swarmcat(swarm, room))?;
        let mut stdout = run.child().stdout.take().ok_or("no pipe")?;
        stdout.read_exact(&mut [0])?;
        let wall = run.started().elapsed();
        Ok(Sample::until(wall, run.kill()?))
    }

    /// Quiet and on loopback, with everything off that swarmcat has off too.
    fn rqbit(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.args(["-v", "error", "--disable-dht", "--disable-lsd", "--disable-trackers"]);
        command.args(["--disable-upnp-port-forward", "--listen-ip", "127.0.0.1", "--ipv4-only"]);
        command.stdin(Stdio::null()).stdout(Stdio::null());
        command
    }

    fn rqbit_download(&self, swarm: &Swarm, room: &Path) -> Result<Sample, Trouble> {
        let mut command = self.rqbit();
        command.args(["download", "--exit-on-finish", "--disable-http-api", "--initial-peers", &swarm.peer]);
        command.arg("--output-folder").arg(room).arg(swarm.magnet());
        let cost = Measured::start(&mut command)?.finish()?;
        swarm.check(seeder::drain(File::open(room.join("random.bin"))?)?)?;
        Ok(cost.into())
    }

    /// Its server is already up when the clock starts, which is in its favour.
    fn rqbit_server(&self, swarm: &Swarm, room: &Path) -> Result<Sample, Trouble> {
        let address = http::free_address()?;
        let mut command = self.rqbit();
        command.args(["--http-api-listen-addr", &address.to_string(), "--listen-port", "0"]);
        command.args(["server", "start", "--disable-persistence"]).arg(room);
        let mut run = Measured::start(&mut command)?;
        let server = Pid::from_child(run.child());
        drop(http::connect(address, server)?);
        let started = Instant::now();
        let add = format!("/torrents?initial_peers={}", swarm.peer);
        let ask = |method: &str, target: &str, body: &str| {
            http::request(TcpStream::connect(address)?, method, target, 0, body)
        };
        ask("POST", &add, &swarm.magnet())?;
        let mut body = ask("GET", "/torrents/0/stream/0", "")?;
        let wall = if self.whole_file() {
            let drained = seeder::drain(body.take(swarm.size))?;
            let wall = started.elapsed();
            swarm.check(drained)?;
            wall
        } else {
            body.read_exact(&mut [0])?;
            started.elapsed()
        };
        Ok(Sample::until(wall, run.kill()?))
    }
}

impl Sample {
    fn until(wall: Duration, cost: Cost) -> Self {
        Self { wall, cpu: cost.cpu, peak: cost.peak }
    }
}

impl From<Cost> for Sample {
    fn from(cost: Cost) -> Self {
        Self::until(cost.wall, cost)
    }
}
