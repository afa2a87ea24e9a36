//! The servers, each with the whole file on its disk, and what a client needs to ask them.

use std::{
    fs,
    io::{self, BufReader, Read},
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, kill_process, setrlimit};

use crate::{
    seeder::{self, Seeder, Torrent, Trouble},
    support::{self, http},
};

/// A torrent that no peer has.
pub const DEAD: &str = "453475aec9bb4de3423649db8aa3cd2312538ca7";

/// The file, who seeds it, and where servers keep theirs.
pub struct World {
    home: PathBuf,
    /// The file's bytes.
    pub bytes: Vec<u8>,
    hash: seeder::Hash,
    torrent: Torrent,
    _runtime: tokio::runtime::Runtime,
    seeder: Seeder,
}

/// A running server; killed when dropped.
pub struct Server {
    /// As printed.
    pub name: &'static str,
    child: Child,
    /// Where it listens.
    pub address: SocketAddr,
    /// Where the file is.
    pub path: String,
}

impl World {
    /// Makes `size` random bytes below `home`, and seeds them.
    pub fn new(home: &Path, size: u64) -> Result<Self, Trouble> {
        let folder = home.join("seeded");
        fs::create_dir(&folder)?;
        let file = folder.join("random.bin");
        let hash = seeder::write_random(&file, size)?;
        let torrent = Torrent::of(&file, 1 << 20)?;
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let seeder = runtime.block_on(Seeder::start(&torrent))?;
        let bytes = fs::read(file)?;
        Ok(Self { home: home.to_owned(), bytes, hash, torrent, _runtime: runtime, seeder })
    }

    fn room(&self, name: &str) -> io::Result<PathBuf> {
        let room = self.home.join(name);
        fs::create_dir_all(&room)?;
        Ok(room)
    }

    /// `swarmcat serve`, which knows a dead torrent as well.
    pub fn swarmcat(&self) -> Result<Server, Trouble> {
        let (room, address) = (self.room("swarmcat")?, http::free_address()?);
        let mut command = Command::new(env!("CARGO_BIN_EXE_swarmcat"));
        command.args(["serve", "--listen", &address.to_string(), "--no-dht", "--no-trackers"]);
        command.args(["--peer-timeout", "1s", "--timeout", "2s", "--peer", &self.seeder.address.to_string()]);
        command.arg("--temp-dir").arg(room.join("temp")).arg("--state-dir").arg(room.join("state"));
        command.env("XDG_CONFIG_HOME", room.join("config"));
        let path = format!("/stream/proxy/{}", self.torrent.info_hash);
        self.start("swarmcat", command, address, path)
    }

    /// nginx with sendfile, on as many workers as there are processors, and of the very file that swarmcat keeps: the
    /// kernel caches a file in the sizes in which it was written, and what came by blocks takes a reader up to a quarter
    /// longer to copy, whoever sends it. So swarmcat must have been started before.
    pub fn nginx(&self) -> Result<Server, Trouble> {
        let (room, address) = (self.room("nginx")?, http::free_address()?);
        fs::write(
            room.join("nginx.conf"),
            format!(
                "daemon off; user root; worker_processes auto; pid {0}/pid; error_log stderr crit;\n\
                 events {{ worker_connections 4096; }}\n\
                 http {{ access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000;\n\
                 client_body_temp_path {0}/b; proxy_temp_path {0}/p; fastcgi_temp_path {0}/f;\n\
                 uwsgi_temp_path {0}/u; scgi_temp_path {0}/s;\n\
                 server {{ listen {address}; root {1}; }} }}\n",
                room.display(),
                self.room("swarmcat")?.join("temp").join(&self.torrent.info_hash).display()
            ),
        )?;
        let mut command = Command::new("nginx");
        command.arg("-p").arg(&room).arg("-c").arg(room.join("nginx.conf"));
        self.start("nginx sendfile", command, address, "/0-random.bin".to_owned())
    }

    /// rqbit's HTTP API, if rqbit is there.
    pub fn rqbit(&self) -> Result<Server, Trouble> {
        let program = support::rqbit().ok_or("no rqbit")?;
        let (room, address) = (self.room("rqbit")?, http::free_address()?);
        let mut command = Command::new(program);
        command.args(["-v", "error", "--disable-dht", "--disable-lsd", "--disable-trackers"]);
        command.args(["--disable-upnp-port-forward", "--listen-ip", "127.0.0.1", "--ipv4-only"]);
        command.args(["--http-api-listen-addr", &address.to_string(), "--listen-port", "0"]);
        command.args(["server", "start", "--disable-persistence"]).arg(room);
        let mut server = Server::start("rqbit stream", command, address, String::new())?;
        let magnet = format!("magnet:?xt=urn:btih:{}", self.torrent.info_hash);
        server.ask("POST", &format!("/torrents?initial_peers={}", self.seeder.address), &magnet)?;
        server.path = "/torrents/0/stream/0".to_owned();
        self.check(&server)?;
        Ok(server)
    }

    fn start(
        &self,
        name: &'static str,
        command: Command,
        address: SocketAddr,
        path: String,
    ) -> Result<Server, Trouble> {
        let server = Server::start(name, command, address, path)?;
        self.check(&server)?;
        Ok(server)
    }

    /// Fetches the file once: whatever is measured later, it is these bytes.
    fn check(&self, server: &Server) -> Result<(), Trouble> {
        let body = server.ask("GET", &server.path, "")?;
        let drained = seeder::drain(body.take(self.bytes.len() as u64))?;
        if drained == (self.bytes.len() as u64, self.hash) {
            return Ok(());
        }
        Err(format!("{} delivered {} bytes, or others than the file's", server.name, drained.0).into())
    }
}

impl Server {
    fn start(
        name: &'static str,
        mut command: Command,
        address: SocketAddr,
        path: String,
    ) -> Result<Self, Trouble> {
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        let server = Self { name, child, address, path };
        http::connect(address, Pid::from_child(&server.child))?;
        Ok(server)
    }

    /// The body of a good answer.
    pub fn ask(&self, method: &str, target: &str, body: &str) -> io::Result<BufReader<TcpStream>> {
        http::request(TcpStream::connect(self.address)?, method, target, 0, body)
    }

    /// A line of `/proc/PID/status` that counts KiB; in bytes.
    pub fn memory(&self, key: &str) -> io::Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix(key)).unwrap_or_default();
        let digits: String = line.chars().filter(char::is_ascii_digit).collect();
        Ok(digits.parse::<u64>().unwrap_or(0) * 1024)
    }

    /// The request for the file, from `start` on.
    pub fn request(&self, start: u64) -> String {
        format!("GET {} HTTP/1.1\r\nHost: {}\r\nRange: bytes={start}-\r\n\r\n", self.path, self.address)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // nginx ends its workers when it is asked to, not when it is killed.
        if kill_process(Pid::from_child(&self.child), Signal::TERM).is_err() {
            let _ = self.child.kill();
        }
        let _ = self.child.wait();
    }
}

/// As many open files as this process may have.
pub fn raise_limit_on_files() -> io::Result<()> {
    let limit = getrlimit(Resource::Nofile);
    Ok(setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })?)
}
