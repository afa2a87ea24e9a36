//! Who is measured, and how each is asked for the same bytes.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use crate::{
    seeder::{self, Trouble},
    support::{Cost, Measured},
    swarm::Swarm,
};

/// Far above what any run takes; only so that a hang ends as an error.
const PATIENCE: Duration = Duration::from_secs(120);

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
        let address = free_address()?;
        let mut command = self.rqbit();
        command.args(["--http-api-listen-addr", &address.to_string(), "--listen-port", "0"]);
        command.args(["server", "start", "--disable-persistence"]).arg(room);
        let run = Measured::start(&mut command)?;
        wait_for(address)?;
        let started = Instant::now();
        let add = format!("/torrents?initial_peers={}", swarm.peer);
        request(address, "POST", &add, &swarm.magnet())?;
        let mut body = request(address, "GET", "/torrents/0/stream/0", "")?;
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

/// rqbit does not tell which port it got, so one that is free just now has to do.
fn free_address() -> io::Result<SocketAddr> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
}

fn wait_for(address: SocketAddr) -> Result<(), Trouble> {
    let deadline = Instant::now() + PATIENCE;
    while TcpStream::connect(address).is_err() {
        if Instant::now() > deadline {
            return Err("rqbit's server does not come up".into());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

/// One request as curl would send it; the body of a good answer.
fn request(
    address: SocketAddr,
    method: &str,
    path: &str,
    body: &str,
) -> Result<BufReader<TcpStream>, Trouble> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let head =
        format!("{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nRange: bytes=0-\r\n");
    write!(stream, "{head}Content-Length: {}\r\n\r\n{body}", body.len())?;
    let mut reader = BufReader::with_capacity(64 * 1024, stream);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    if !line.starts_with("HTTP/1.1 20") {
        reader.read_to_string(&mut line)?;
        return Err(format!("rqbit answered: {line}").into());
    }
    while line.trim() != "" {
        line.clear();
        reader.read_line(&mut line)?;
    }
    Ok(reader)
}
