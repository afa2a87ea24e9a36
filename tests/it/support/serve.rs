//! A running `serve`, and what asks it: raw requests, and the programs that people use.

use std::{
    collections::HashMap,
    net::SocketAddr,
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value as Json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use super::{
    Behaviour, MIB, PATIENCE, Peer, Run, Sandbox, Signal, Torrent, WORLD, process, swarmcat::Invocation,
};

/// A server on a free loopback port; killed when dropped.
pub struct Serve {
    pub run: Run,
    pub address: SocketAddr,
}

/// An answer, taken apart.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HashMap<String, String>,
    pub body: Vec<u8>,
}

impl Sandbox {
    /// `serve` on a free port, with no way to find a peer until the test gives one.
    pub fn serve(&self) -> Invocation {
        self.swarmcat(["serve", "--listen", "127.0.0.1:0", "--no-dht"])
    }
}

impl Serve {
    /// Starts it, and returns once it listens.
    pub async fn start(invocation: Invocation) -> Self {
        let run = invocation.spawn();
        let line =
            run.wait_for_line("where it listens", |line| line.starts_with("listening on http://")).await;
        let address = line.trim_start_matches("listening on http://").trim_end_matches('/').parse().unwrap();
        Self { run, address }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Where the torrent's file is.
    pub fn file(&self, torrent: &Torrent) -> String {
        self.url(&path(torrent))
    }

    pub async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Sends a request, and leaves the rest to the caller.
    pub async fn send(&self, method: &str, target: &str, lines: &str) -> TcpStream {
        let mut stream = self.connect().await;
        let host = self.address;
        let head = format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{lines}\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        stream
    }

    pub async fn ask(&self, method: &str, target: &str, lines: &str) -> Answer {
        let mut stream = self.send(method, target, lines).await;
        let mut bytes = Vec::new();
        let read = timeout(PATIENCE, stream.read_to_end(&mut bytes)).await;
        // A reset is an end as well: the body is then shorter than announced.
        let _ = read.unwrap_or_else(|_| panic!("{method} {target} was not answered in time"));
        Answer::parse(&bytes)
    }

    pub async fn get(&self, target: &str) -> Answer {
        self.ask("GET", target, "").await
    }

    pub async fn json(&self, method: &str, target: &str) -> Json {
        let answer = self.ask(method, target, "").await;
        assert_eq!(answer.status, 200, "{method} {target}: {}", answer.text());
        serde_json::from_slice(&answer.body).unwrap()
    }

    /// The value of a metric without labels.
    pub async fn metric(&self, name: &str) -> f64 {
        let text = self.get("/metrics").await.text();
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {name} in\n{text}")).parse().unwrap()
    }

    /// Waits until a metric without labels has this value; how long that took.
    pub async fn settles(&self, name: &str, value: f64) -> Duration {
        let began = Instant::now();
        loop {
            let now = self.metric(name).await;
            if now == value {
                return began.elapsed();
            }
            assert!(began.elapsed() < PATIENCE, "{name} stays at {now}");
            tokio::task::yield_now().await;
        }
    }

    /// Open file descriptors of the process.
    pub fn files(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.run.pid())).unwrap().count()
    }

    /// A line of `/proc/PID/status`, in KiB or as a count.
    pub fn status(&self, key: &str) -> f64 {
        let text = std::fs::read_to_string(format!("/proc/{}/status", self.run.pid())).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(key)).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// Waits until nobody can connect any more: the listener is closed as the first thing of an ending.
    pub async fn wait_until_deaf(&self) {
        let deaf = async {
            while TcpStream::connect(self.address).await.is_ok() {
                tokio::task::yield_now().await;
            }
        };
        timeout(PATIENCE, deaf).await.expect("the listener closes");
    }

    /// Ends it as systemd would.
    pub async fn stop(self) {
        self.run.signal(Signal::TERM);
        self.run.finish().await.code(143);
    }
}

/// A server in the midst of a film that takes far longer than any test: 8 MiB at 200 kB/s, of which a thousand bytes were
/// read.
pub struct Midst {
    pub serve: Serve,
    pub torrent: Torrent,
    /// The rest of the film.
    pub playing: TcpStream,
    pub seed: Peer,
}

impl Midst {
    pub async fn of_a_film(invocation: Invocation) -> Self {
        let torrent = Torrent::single("film.mkv", 8 * MIB).build();
        let seed = Peer::start(&torrent, Behaviour::Rate { bytes_per_second: 200_000 }).await;
        let serve = Serve::start(invocation.peer(seed.addr())).await;
        let mut playing = serve.send("GET", &path(&torrent), "").await;
        playing.read_exact(&mut [0; 1000]).await.unwrap();
        Self { serve, torrent, playing, seed }
    }
}

impl Answer {
    pub fn parse(bytes: &[u8]) -> Self {
        let split = bytes.windows(4).position(|window| window == b"\r\n\r\n");
        let split = split.unwrap_or_else(|| panic!("no whole head: {:?}", String::from_utf8_lossy(bytes)));
        let head = std::str::from_utf8(&bytes[..split]).unwrap();
        let mut lines = head.split("\r\n");
        let status = lines.next().unwrap()[9..12].parse().unwrap();
        let headers = lines.map(|line| line.split_once(": ").unwrap());
        let headers = headers.map(|(name, value)| (name.to_lowercase(), value.to_owned())).collect();
        Self { status, headers, body: bytes[split + 4..].to_vec() }
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The `type` of an error.
    #[track_caller]
    pub fn kind(&self) -> String {
        let json: Json = serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("{}", self.text()));
        json["type"].as_str().unwrap().to_owned()
    }
}

pub fn path(torrent: &Torrent) -> String {
    format!("/stream/proxy/{}", torrent.hex())
}

/// Runs a program of the machine in `dir`; its exit code, what it wrote to stdout and to stderr. Fails when it is not
/// installed: a test that is skipped in silence protects nobody.
pub async fn program(dir: &Path, line: &[&str]) -> (i32, Vec<u8>, String) {
    program_within(PATIENCE, dir, line).await
}

/// As [`program`], for one that takes its time.
pub async fn program_within(limit: Duration, dir: &Path, line: &[&str]) -> (i32, Vec<u8>, String) {
    let mut command = Command::new(line[0]);
    command.args(&line[1..]).current_dir(dir).stdin(Stdio::null());
    let name = line.join(" ");
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = process::spawn(&mut command);
    let child = child.unwrap_or_else(|error| panic!("{name}: {error}; is its package installed?"));
    let ran = WORLD.spawn_blocking(move || child.wait_with_output());
    let output = timeout(limit, ran).await.unwrap_or_else(|_| panic!("{name} did not end")).unwrap().unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.code().unwrap_or(-1), output.stdout, told)
}

/// A program that is fetched from PyPI, where `.ci/run` and README put it: beside what Cargo builds. Fails when it is not
/// there.
pub fn fetched(package: &str, program: &str) -> String {
    let place = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name(package);
    let found = place.join("bin").join(program);
    let place = place.display();
    assert!(
        found.exists(),
        "{package} is missing: python3 -m venv {place} && {place}/bin/pip install -r .ci/{package}.txt"
    );
    found.display().to_string()
}

/// As [`program`], which must succeed; what it wrote to stdout.
pub async fn succeeds(dir: &Path, line: &[&str]) -> Vec<u8> {
    let (code, out, told) = program(dir, line).await;
    assert_eq!(code, 0, "{}: {told}{}", line.join(" "), String::from_utf8_lossy(&out));
    out
}

/// Half a minute of a test picture and a tone, made by ffmpeg.
pub async fn film(extension: &str, options: &[&str]) -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    let name = format!("film.{extension}");
    let sources = ["-f", "lavfi", "-i", "testsrc=size=160x120:rate=25", "-f", "lavfi", "-i", "sine"];
    let line =
        [&["ffmpeg", "-v", "error", "-nostdin"][..], &sources, &["-t", "30"], options, &[&name]].concat();
    succeeds(dir.path(), &line).await;
    std::fs::read(dir.path().join(name)).unwrap()
}
