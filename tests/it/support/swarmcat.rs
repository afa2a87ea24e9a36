//! The program under test, as a process with a scrubbed environment in a sandbox of its own.

use std::{
    fs::File,
    io::{BufReader, Read, Write},
    os::{
        fd::OwnedFd,
        unix::{net::UnixStream, process::ExitStatusExt},
    },
    path::{Path, PathBuf},
    process::{ChildStdin, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use rustix::process::{Pid, WaitId, WaitIdOptions, kill_process, waitid};
use serde_json::Value as Json;
use swarmcat::core::settings::Settings;
use tempfile::TempDir;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use tokio::sync::watch;

use super::{PATIENCE, Torrent, process, until};

pub use rustix::process::Signal;

/// A user's machine for one test: home, temp and state directories that nobody else sees.
pub struct Sandbox {
    root: Arc<TempDir>,
    config: Option<PathBuf>,
}

/// One row of the failed-torrent table.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
pub struct FailedEntry {
    pub info_hash: String,
    pub kind: String,
    pub reason: String,
    pub failed_at: toml::value::Datetime,
    pub retry_at: toml::value::Datetime,
    pub attempts: u32,
}

#[derive(serde::Deserialize)]
struct FailedFile {
    version: u32,
    #[serde(default)]
    failed: Vec<FailedEntry>,
}

impl Sandbox {
    pub fn new() -> Self {
        let root = Arc::new(tempfile::tempdir().unwrap());
        for dir in ["home", "temp", "state", "work"] {
            std::fs::create_dir(root.path().join(dir)).unwrap();
        }
        Self { root, config: None }
    }

    /// Everything of this machine is below it.
    /// With the whole of a torrent, and nobody who uses it.
    pub async fn filled(torrent: &Torrent) -> Self {
        let (sandbox, peer) = (Self::new(), super::Peer::serving(torrent).await);
        let run = sandbox.stream(torrent.hex()).peer(peer.addr()).run().await;
        run.code(0).delivered(torrent.content());
        sandbox
    }

    pub fn root(&self) -> &Path {
        self.root.path()
    }

    pub fn temp(&self) -> PathBuf {
        self.root.path().join("temp")
    }

    pub fn state(&self) -> PathBuf {
        self.root.path().join("state")
    }

    /// A path in the directory that the program runs in.
    pub fn path(&self, name: &str) -> PathBuf {
        self.root.path().join("work").join(name)
    }

    /// Writes a file into that directory.
    pub fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }

    /// Makes a named pipe in that directory.
    pub fn make_pipe(&self, name: &str) -> PathBuf {
        use rustix::fs::{CWD, Mode, mkfifoat};
        let path = self.path(name);
        mkfifoat(CWD, &path, Mode::RUSR | Mode::WUSR).unwrap();
        path
    }

    /// Every later command is given this configuration file.
    pub fn configure(&mut self, toml: &str) {
        self.config = Some(self.write("swarmcat.toml", toml.as_bytes()));
    }

    /// For a core that is not behind a command: nobody to ask but this peer.
    pub fn settings(&self, peer: std::net::SocketAddr) -> Settings {
        let mut settings = Settings::new(self.temp(), self.state());
        settings.swarm.peers = vec![peer];
        (settings.swarm.dht, settings.swarm.use_trackers) = (false, false);
        settings
    }

    /// Where a torrent's data is kept.
    pub fn torrent_dir(&self, torrent: &Torrent) -> PathBuf {
        self.temp().join(torrent.hex())
    }

    /// The data files of a torrent, by the index in front of their names.
    pub fn data_file(&self, torrent: &Torrent, index: usize) -> PathBuf {
        let dir = self.torrent_dir(torrent);
        let named = |path: &PathBuf| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            name.starts_with(&format!("{index}-"))
        };
        let mut entries = std::fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().path());
        entries.find(named).unwrap_or_else(|| panic!("no file {index} in {}", dir.display()))
    }

    /// The rows of `failed.toml`; a missing file has none.
    pub fn failed(&self) -> Vec<FailedEntry> {
        let Ok(text) = std::fs::read_to_string(self.state().join("failed.toml")) else { return Vec::new() };
        let file: FailedFile = toml::from_str(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
        assert_eq!(file.version, 1, "{text}");
        file.failed
    }

    /// A table of these failures, as the program writes it: just now, and to be tried again after so long.
    pub fn plant_failures<H: std::fmt::Display>(
        &self,
        hashes: impl IntoIterator<Item = H>,
        cooldown: Duration,
    ) {
        let now = OffsetDateTime::now_utc().replace_nanosecond(0).unwrap();
        let [failed_at, retry_at] = [now, now + cooldown].map(|at| at.format(&Rfc3339).unwrap());
        let row = |hash: H| {
            format!(
                "\n[[failed]]\ninfo_hash = \"{hash}\"\nkind = \"no_peers\"\nreason = \"no peers\"\n\
                 failed_at = {failed_at}\nretry_at = {retry_at}\nattempts = 1\n"
            )
        };
        let rows: String = hashes.into_iter().map(row).collect();
        std::fs::write(self.state().join("failed.toml"), format!("version = 1\n{rows}")).unwrap();
    }

    /// The only row of the table.
    pub fn only_failed(&self) -> FailedEntry {
        let mut rows = self.failed();
        assert_eq!(rows.len(), 1, "{rows:?}");
        rows.remove(0)
    }

    /// Any command line.
    pub fn swarmcat<A: AsRef<str>>(&self, args: impl IntoIterator<Item = A>) -> Invocation {
        Invocation {
            args: args.into_iter().map(|arg| arg.as_ref().to_owned()).collect(),
            player_args: Vec::new(),
            attended: false,
            network: Vec::new(),
            wrapper: Vec::new(),
            env: Vec::new(),
            stdin: Vec::new(),
            stdout: Stdout::Capture,
            root: self.root.clone(),
            config: self.config.clone(),
        }
    }

    /// `stream SOURCE`, with no way to find a peer until the test gives one.
    pub fn stream(&self, source: impl AsRef<str>) -> Invocation {
        let mut invocation = self.swarmcat(["stream", source.as_ref()]);
        invocation.network = vec!["--no-dht".into(), "--no-trackers".into()];
        invocation
    }
}

/// What becomes of the program's standard output.
pub enum Stdout {
    /// Read as it comes, and kept.
    Capture,
    /// Read up to so many bytes, then the pipe is closed.
    CloseAfter(usize),
    /// A socket, read up to so many bytes and then closed.
    Socket(usize),
    /// A pipe that nobody reads.
    Unread,
    /// A file.
    File(PathBuf),
    /// A terminal.
    Terminal,
}

/// A command line in the making.
pub struct Invocation {
    args: Vec<String>,
    player_args: Vec<String>,
    attended: bool,
    network: Vec<String>,
    wrapper: Vec<String>,
    env: Vec<(String, String)>,
    stdin: Vec<u8>,
    stdout: Stdout,
    root: Arc<TempDir>,
    config: Option<PathBuf>,
}

impl Invocation {
    pub fn arg(mut self, arg: impl AsRef<str>) -> Self {
        self.args.push(arg.as_ref().to_owned());
        self
    }

    pub fn args<A: AsRef<str>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.args.extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    /// What stands behind `--`.
    pub fn player_args<A: AsRef<str>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.player_args.extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    /// Standard input and standard error are a terminal with somebody at it: see [`Run::press`].
    pub fn attended(mut self) -> Self {
        self.attended = true;
        self
    }

    pub fn peer(self, addr: std::net::SocketAddr) -> Self {
        self.args(["--peer".to_owned(), addr.to_string()])
    }

    /// Lets the source's trackers be asked.
    pub fn with_trackers(mut self) -> Self {
        self.network.retain(|flag| flag != "--no-trackers");
        self
    }

    pub fn tracker(self, url: impl AsRef<str>) -> Self {
        self.with_trackers().args(["--tracker", url.as_ref()])
    }

    /// Lets the DHT be asked, from this node on.
    pub fn dht(mut self, bootstrap: std::net::SocketAddr) -> Self {
        self.network.retain(|flag| flag != "--no-dht");
        self.args(["--dht-bootstrap".to_owned(), bootstrap.to_string()])
    }

    /// Waits of seconds instead of minutes.
    pub fn impatient(self) -> Self {
        self.args(["--peer-timeout", "2s", "--timeout", "4s", "--stall-timeout", "2s"])
    }

    pub fn env(mut self, name: &str, value: impl AsRef<str>) -> Self {
        self.env.push((name.to_owned(), value.as_ref().to_owned()));
        self
    }

    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = bytes.into();
        self
    }

    pub fn stdout(mut self, stdout: Stdout) -> Self {
        self.stdout = stdout;
        self
    }

    /// Runs as the last arguments of another command.
    pub fn under<A: AsRef<str>>(mut self, wrapper: impl IntoIterator<Item = A>) -> Self {
        self.wrapper = wrapper.into_iter().map(|part| part.as_ref().to_owned()).collect();
        self
    }

    /// Runs where there is no network at all, not even loopback.
    pub fn without_network(self) -> Self {
        let flags = if rustix::process::geteuid().is_root() { "-n" } else { "-rn" };
        self.under(["unshare", flags, "--"])
    }

    /// Runs in a network of its own, which is nothing but a loopback; [`Run::inside`] leads in.
    pub fn in_own_network(self) -> Self {
        let flags = if rustix::process::geteuid().is_root() { "-n" } else { "-rn" };
        self.under(["unshare", flags, "--", "sh", "-c", "ip link set lo up && exec \"$@\"", "sh"])
    }

    /// Runs in a network of its own with one way out, the device `out`, behind which nobody answers.
    pub fn with_a_way_out(self) -> Self {
        // IPv6 announces itself on every new device, whoever uses it.
        let way = "echo 1 > /proc/sys/net/ipv6/conf/default/disable_ipv6 && ip link set lo up \
                   && ip link add out type veth peer name end && ip link set end up && ip link set out up \
                   && ip addr add 198.51.100.2/24 dev out && ip route add default dev out && exec \"$@\"";
        let flags = if rustix::process::geteuid().is_root() { "-n" } else { "-rn" };
        self.under(["unshare", flags, "--", "sh", "-c", way, "sh"])
    }

    /// Runs where `dir` is a file system of `size` bytes.
    pub fn with_small_disk(self, dir: &Path, size: usize) -> Self {
        let flags = if rustix::process::geteuid().is_root() { "-m" } else { "-rm" };
        let mount = format!("mount -t tmpfs -o size={size} tmpfs '{}' && exec \"$@\"", dir.display());
        self.under(["unshare", flags, "--", "sh", "-c", &mount, "sh"])
    }

    /// Runs where names lead where this file of hosts says.
    pub fn with_hosts(self, hosts: &Path) -> Self {
        let flags = if rustix::process::geteuid().is_root() { "-m" } else { "-rm" };
        let mount = format!("mount --bind '{}' /etc/hosts && exec \"$@\"", hosts.display());
        self.under(["unshare", flags, "--", "sh", "-c", &mount, "sh"])
    }

    pub async fn run(self) -> Finished {
        self.spawn().finish().await
    }

    pub fn spawn(mut self) -> Run {
        let mut command = self.command();
        let ours = self.attach_stdout(&mut command);
        let keyboard = self.attended.then(|| attend(&mut command));
        let line = written(&command);
        let mut child = process::spawn(&mut command).unwrap_or_else(|error| panic!("{line}: {error}"));
        // The command's own copy of a terminal, socket or file would keep it open after the program's end.
        drop(command);
        let run = Run::of(line, Pid::from_child(&child), self.root.clone());
        feed(child.stdin.take(), std::mem::take(&mut self.stdin));
        match &keyboard {
            Some(terminal) => run.watch_stderr(terminal.try_clone().unwrap()),
            None => run.watch_stderr(child.stderr.take().expect("stderr is piped")),
        }
        *run.seen.keyboard.lock().unwrap() = keyboard;
        match (ours, child.stdout.take()) {
            (Some(ours), _) => run.watch_stdout(ours, self.stdout),
            (None, Some(pipe)) => run.watch_stdout(pipe, self.stdout),
            (None, None) => run.watch_stdout(std::io::empty(), Stdout::Capture),
        }
        run.watch_exit(child);
        run
    }

    fn command(&self) -> Command {
        let mut line = self.wrapper.clone();
        line.push(env!("CARGO_BIN_EXE_swarmcat").to_owned());
        line.extend(self.args.clone());
        line.extend(self.network.clone());
        for (flag, dir) in [("--temp-dir", "temp"), ("--state-dir", "state")] {
            if !line.iter().any(|arg| arg == flag) {
                line.extend([flag.to_owned(), self.root.path().join(dir).display().to_string()]);
            }
        }
        if let Some(config) = &self.config {
            line.extend(["--config".to_owned(), config.display().to_string()]);
        }
        if !self.player_args.is_empty() {
            line.push("--".to_owned());
            line.extend(self.player_args.clone());
        }
        let home = self.root.path().join("home");
        let mut command = Command::new(&line[0]);
        command.args(&line[1..]).current_dir(self.root.path().join("work")).env_clear();
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("HOME", &home);
        for (name, dir) in
            [("CONFIG", ".config"), ("STATE", ".state"), ("CACHE", ".cache"), ("DATA", ".data")]
        {
            command.env(format!("XDG_{name}_HOME"), home.join(dir));
        }
        command.envs(self.env.iter().cloned());
        command.stdin(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Sets the standard output; gives our end of it when that is a terminal or a socket.
    fn attach_stdout(&self, command: &mut Command) -> Option<File> {
        match &self.stdout {
            Stdout::File(path) => command.stdout(File::create(path).unwrap()),
            Stdout::Terminal => {
                let (ours, theirs) = open_terminal();
                command.stdout(theirs);
                return Some(ours);
            }
            Stdout::Socket(_) => {
                let (ours, theirs) = UnixStream::pair().unwrap();
                command.stdout(OwnedFd::from(theirs));
                return Some(OwnedFd::from(ours).into());
            }
            _ => command.stdout(Stdio::piped()),
        };
        None
    }
}

/// The command as one would type it, without its environment.
fn written(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

fn open_terminal() -> (File, File) {
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
    let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
    grantpt(&ours).unwrap();
    unlockpt(&ours).unwrap();
    let name = ptsname(&ours, Vec::new()).unwrap();
    let theirs = File::options().read(true).write(true).open(name.to_str().unwrap()).unwrap();
    (ours.into(), theirs)
}

/// Puts a terminal before the command; gives our end of it.
fn attend(command: &mut Command) -> File {
    let (ours, theirs) = open_terminal();
    let size = rustix::termios::Winsize { ws_row: 24, ws_col: 100, ws_xpixel: 0, ws_ypixel: 0 };
    rustix::termios::tcsetwinsize(&ours, size).unwrap();
    command.stdin(theirs.try_clone().unwrap()).stderr(theirs);
    ours
}

fn feed(stdin: Option<ChildStdin>, bytes: Vec<u8>) {
    std::thread::spawn(move || stdin.map(|mut stdin| stdin.write_all(&bytes)));
}

/// A running program; killed when dropped.
pub struct Run {
    line: String,
    started: Instant,
    seen: Arc<Seen>,
    /// Its directories stay for as long as it runs.
    _root: Arc<TempDir>,
}

struct Seen {
    pid: Pid,
    stderr: watch::Sender<Vec<String>>,
    stdout: Mutex<Vec<u8>>,
    stdout_len: watch::Sender<usize>,
    /// Streams that have not ended yet.
    streams: watch::Sender<usize>,
    exit: watch::Sender<Option<ExitStatus>>,
    /// Our end of the terminal that it is attended from.
    keyboard: Mutex<Option<File>>,
    /// Held while the process is reaped or signalled, so that no signal reaches another one's pid.
    reaping: Mutex<()>,
    /// The end of a pipe that nobody reads.
    unread: Mutex<Option<Box<dyn Read + Send>>>,
}

impl Seen {
    /// Takes in a line of the standard error; an empty one says nothing.
    fn tell(&self, line: &mut Vec<u8>) {
        let text = String::from_utf8_lossy(line).trim_end_matches(['\n', '\r']).to_owned();
        if !text.is_empty() {
            self.stderr.send_modify(|lines| lines.push(text));
        }
        line.clear();
    }
}

impl Run {
    fn of(line: String, pid: Pid, root: Arc<TempDir>) -> Self {
        let seen = Seen {
            pid,
            stderr: watch::Sender::default(),
            stdout: Mutex::default(),
            stdout_len: watch::Sender::default(),
            streams: watch::Sender::new(2),
            exit: watch::Sender::default(),
            keyboard: Mutex::default(),
            reaping: Mutex::default(),
            unread: Mutex::default(),
        };
        Self { line, started: Instant::now(), seen: Arc::new(seen), _root: root }
    }

    fn watch_stderr(&self, pipe: impl Read + Send + 'static) {
        let seen = self.seen.clone();
        std::thread::spawn(move || {
            // A bar draws its line anew behind a carriage return.
            let mut line = Vec::new();
            for byte in BufReader::new(pipe).bytes().map_while(Result::ok) {
                line.push(byte);
                if matches!(byte, b'\n' | b'\r') {
                    seen.tell(&mut line);
                }
            }
            seen.tell(&mut line);
            seen.streams.send_modify(|open| *open -= 1);
        });
    }

    fn watch_stdout(&self, mut pipe: impl Read + Send + 'static, mode: Stdout) {
        let seen = self.seen.clone();
        let limit = match mode {
            Stdout::Unread => 0,
            Stdout::CloseAfter(len) | Stdout::Socket(len) => len,
            _ => usize::MAX,
        };
        std::thread::spawn(move || {
            let mut buffer = vec![0; 64 * 1024];
            let mut total = 0;
            while total < limit {
                let wanted = buffer.len().min(limit - total);
                match pipe.read(&mut buffer[..wanted]) {
                    Ok(len) if len > 0 => {
                        total += len;
                        seen.stdout.lock().unwrap().extend(&buffer[..len]);
                        seen.stdout_len.send_replace(total);
                    }
                    _ => break,
                }
            }
            if limit == 0 {
                *seen.unread.lock().unwrap() = Some(Box::new(pipe));
            }
            seen.streams.send_modify(|open| *open -= 1);
        });
    }

    fn watch_exit(&self, mut child: std::process::Child) {
        let seen = self.seen.clone();
        std::thread::spawn(move || {
            let ended = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
            while waitid(WaitId::Pid(seen.pid), ended).err() == Some(rustix::io::Errno::INTR) {}
            let _reaping = seen.reaping.lock().unwrap();
            seen.exit.send_replace(child.wait().ok());
        });
    }

    /// Types at its terminal, once the program reads keys itself: before, the terminal would make something else of them.
    pub async fn press(&self, keys: &str) {
        use rustix::termios::{LocalModes, tcgetattr};
        let mut keyboard = {
            let keyboard = self.seen.keyboard.lock().unwrap();
            keyboard.as_ref().expect("it is attended").try_clone().unwrap()
        };
        let reads = async {
            while tcgetattr(&keyboard).unwrap().local_modes.contains(LocalModes::ISIG) {
                tokio::task::yield_now().await;
            }
        };
        let reads = tokio::time::timeout(PATIENCE, reads).await;
        assert!(reads.is_ok(), "it never read keys\n{}", self.report());
        keyboard.write_all(keys.as_bytes()).unwrap();
    }

    /// Sends a signal, unless the process has ended.
    pub fn signal(&self, signal: Signal) {
        let _reaping = self.seen.reaping.lock().unwrap();
        if self.seen.exit.borrow().is_none() {
            let _ = kill_process(self.seen.pid, signal);
        }
    }

    pub fn pid(&self) -> i32 {
        self.seen.pid.as_raw_nonzero().get()
    }

    /// The same command line, but in this program's network.
    pub fn inside<A: AsRef<str>>(&self, line: impl IntoIterator<Item = A>) -> Vec<String> {
        let pid = self.pid().to_string();
        let mut enter: Vec<_> = ["nsenter", "-t", &pid, "-n"].map(str::to_owned).into();
        if !rustix::process::geteuid().is_root() {
            enter.extend(["-U", "--preserve-credentials"].map(str::to_owned));
        }
        enter.push("--".to_owned());
        enter.extend(line.into_iter().map(|word| word.as_ref().to_owned()));
        enter
    }

    pub fn has_ended(&self) -> bool {
        self.seen.exit.borrow().is_some()
    }

    /// The lines written to standard error so far.
    pub fn stderr(&self) -> Vec<String> {
        self.seen.stderr.borrow().clone()
    }

    /// Waits for a line on standard error, past or future; fails at once when the program ends without it.
    pub async fn wait_for_line(&self, what: &str, condition: impl Fn(&str) -> bool) -> String {
        let find = |lines: &Vec<String>| lines.iter().find(|line| condition(line)).cloned();
        let mut lines = self.seen.stderr.subscribe();
        let appeared = lines.wait_for(|lines| find(lines).is_some());
        tokio::select! {
            biased;
            found = tokio::time::timeout(PATIENCE, appeared) => match found {
                Ok(Ok(lines)) => find(&lines).unwrap_or_default(),
                _ => panic!("no line with {what}\n{}", self.report()),
            },
            () = self.ended() => panic!("ended without a line with {what}\n{}", self.report()),
        }
    }

    /// Waits until so many bytes came out.
    pub async fn wait_for_bytes(&self, count: usize) {
        let mut len = self.seen.stdout_len.subscribe();
        tokio::select! {
            biased;
            found = tokio::time::timeout(PATIENCE, len.wait_for(|len| *len >= count)) => {
                assert!(found.is_ok(), "never wrote {count} bytes\n{}", self.report());
            }
            () = self.ended() => panic!("ended before {count} bytes were written\n{}", self.report()),
        }
    }

    /// Resolves once the process has ended and all it wrote was read.
    async fn ended(&self) {
        let mut exit = self.seen.exit.subscribe();
        let mut streams = self.seen.streams.subscribe();
        let _ = exit.wait_for(Option::is_some).await;
        let _ = streams.wait_for(|open| *open == 0).await;
    }

    /// Waits for the end; a program that does not come to one is killed, and fails the test.
    pub async fn finish(self) -> Finished {
        if tokio::time::timeout(PATIENCE, self.ended()).await.is_err() {
            panic!("did not end within {PATIENCE:?}\n{}", self.report());
        }
        let took = self.started.elapsed();
        let status = until(&self.seen.exit, "an exit status", Option::is_some).await.expect("it has ended");
        Finished {
            line: self.line.clone(),
            exit: status.code().or(status.signal().map(|signal| 128 + signal)).unwrap_or(-1),
            stdout: std::mem::take(&mut *self.seen.stdout.lock().unwrap()),
            stderr: self.stderr(),
            took,
        }
    }

    fn report(&self) -> String {
        report(&self.line, *self.seen.stdout_len.borrow(), &self.stderr())
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        if !self.has_ended() {
            if std::thread::panicking() {
                eprintln!("{}", self.report());
            }
            self.signal(Signal::KILL);
        }
    }
}

/// A program that has ended.
#[derive(Debug)]
pub struct Finished {
    line: String,
    /// As a shell sees it: a signal counts as 128 and its number.
    pub exit: i32,
    pub stdout: Vec<u8>,
    pub stderr: Vec<String>,
    pub took: Duration,
}

impl Finished {
    /// Fails unless the program ended with this code, and without a panic anywhere.
    #[track_caller]
    pub fn code(self, expected: i32) -> Self {
        let calm = !self.stderr.iter().any(|line| line.contains("panicked"));
        assert!(calm, "panicked: {}", self.report());
        assert_eq!(self.exit, expected, "{}", self.report());
        self
    }

    /// Fails unless these bytes, and no others, came out.
    #[track_caller]
    pub fn delivered(self, expected: &[u8]) -> Self {
        let wrong = self.stdout.iter().zip(expected).position(|(got, wanted)| got != wanted);
        assert_eq!(wrong, None, "the first wrong byte; {}", self.report());
        assert_eq!(self.stdout.len(), expected.len(), "{}", self.report());
        self
    }

    /// Fails unless this text is somewhere on standard error.
    #[track_caller]
    pub fn says(self, text: &str) -> Self {
        assert!(self.stderr_text().contains(text), "nothing about {text:?}: {}", self.report());
        self
    }

    pub fn stderr_text(&self) -> String {
        self.stderr.join("\n")
    }

    pub fn stdout_text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// Standard output as one JSON document.
    #[track_caller]
    pub fn json(&self) -> Json {
        serde_json::from_slice(&self.stdout)
            .unwrap_or_else(|error| panic!("{error}: {}\n{}", self.stdout_text(), self.report()))
    }

    pub fn report(&self) -> String {
        report(&self.line, self.stdout.len(), &self.stderr)
    }
}

fn report(line: &str, stdout: usize, stderr: &[String]) -> String {
    format!("$ {line}\n{stdout} bytes on stdout; stderr:\n{}", stderr.join("\n"))
}
