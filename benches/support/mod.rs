//! What every side-by-side measurement needs: the other tool, a process whose cost is known, and medians.

pub mod http;

use std::{
    env, fs, io,
    path::PathBuf,
    process::{Child, Command, ExitStatus},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use rustix::process::{WaitId, WaitIdOptions, waitid};

/// The other tool, and how to get it.
pub const RQBIT_VERSION: &str = "9.1.0";

/// `$RQBIT`, else `rqbit` from `PATH`, if it is the version that we measure against.
pub fn rqbit() -> Option<PathBuf> {
    let program = env::var_os("RQBIT").map_or_else(|| PathBuf::from("rqbit"), PathBuf::from);
    let version = Command::new(&program).arg("--version").output().ok()?;
    if String::from_utf8_lossy(&version.stdout).trim() == format!("rqbit {RQBIT_VERSION}") {
        return Some(program);
    }
    eprintln!("{} is not rqbit {RQBIT_VERSION} and is left out", program.display());
    None
}

/// Says how to get rqbit when it is not there.
pub fn explain_missing_rqbit() {
    eprintln!(
        "rqbit {RQBIT_VERSION} was not found, so swarmcat is measured alone. To compare:\n    \
         cargo install rqbit --version {RQBIT_VERSION} --locked --no-default-features --features rust-tls\n\
         and have it in PATH, or name it by the environment variable RQBIT."
    );
}

/// A running process whose cost will be known when it has ended. Killed when dropped before that.
pub struct Measured {
    child: Child,
    started: Instant,
    peak: Option<JoinHandle<u64>>,
}

/// What a process cost. Times and memory are those of the process alone, without its children.
#[derive(Debug, Clone, Copy)]
pub struct Cost {
    /// From its start to its end.
    pub wall: Duration,
    /// User and system time of all its threads.
    pub cpu: Duration,
    /// Its largest resident set, in bytes.
    pub peak: u64,
}

impl Measured {
    /// Starts it.
    pub fn start(command: &mut Command) -> io::Result<Self> {
        let started = Instant::now();
        let child = command.spawn()?;
        let status = format!("/proc/{}/status", child.id());
        let peak = Some(std::thread::spawn(move || watch_peak(&status)));
        Ok(Self { child, started, peak })
    }

    /// When it was started.
    pub fn started(&self) -> Instant {
        self.started
    }

    /// The process itself, for its pipes.
    pub fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// Ends it, whatever it does.
    pub fn kill(mut self) -> io::Result<Cost> {
        self.child.kill()?;
        Ok(self.ended()?.0)
    }

    /// Waits for its end, which must be a success.
    pub fn finish(mut self) -> io::Result<Cost> {
        let (cost, status) = self.ended()?;
        if status.success() {
            return Ok(cost);
        }
        Err(io::Error::other(format!("the measured process failed: {status}")))
    }

    /// The processor time is read between the end and the burial, when it is final and still on record.
    fn ended(&mut self) -> io::Result<(Cost, ExitStatus)> {
        let pid = rustix::process::Pid::from_child(&self.child);
        waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT)?;
        let wall = self.started.elapsed();
        let cpu = cpu_time(self.child.id())?;
        let status = self.child.wait()?;
        let peak = self.peak.take().and_then(|watcher| watcher.join().ok()).unwrap_or_default();
        Ok((Cost { wall, cpu, peak }, status))
    }
}

impl Drop for Measured {
    fn drop(&mut self) {
        if self.peak.is_some() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// The high-water mark only ever rises, so the last one seen before the end is at most one step old.
fn watch_peak(status: &str) -> u64 {
    let mut peak = 0;
    while let Some(seen) = fs::read_to_string(status).ok().and_then(|text| kibibytes(&text, "VmHWM:")) {
        peak = seen * 1024;
        std::thread::sleep(Duration::from_millis(10));
    }
    peak
}

fn kibibytes(status: &str, key: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(key))?;
    line.trim().trim_end_matches(" kB").parse().ok()
}

/// Fields 14 and 15 of `/proc/PID/stat`, counted behind the command's name, which may hold anything. The
/// kernel reports them in hundredths of a second on every architecture.
fn cpu_time(pid: u32) -> io::Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
    let ticks: u64 =
        fields.split_whitespace().skip(11).take(2).filter_map(|ticks| ticks.parse::<u64>().ok()).sum();
    Ok(Duration::from_millis(ticks * 10))
}

/// Median, least and greatest of some numbers.
#[derive(Debug, Clone, Copy)]
pub struct Spread {
    /// The middle one; of an even count the mean of the two.
    pub median: f64,
    /// The least.
    pub min: f64,
    /// The greatest.
    pub max: f64,
}

impl Spread {
    /// Of at least one number.
    pub fn of(numbers: impl IntoIterator<Item = f64>) -> Self {
        let mut sorted: Vec<f64> = numbers.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        let (half, last) = (sorted.len() / 2, sorted.len() - 1);
        let median =
            if sorted.len() % 2 == 1 { sorted[half] } else { (sorted[half - 1] + sorted[half]) / 2.0 };
        Self { median, min: sorted[0], max: sorted[last] }
    }
}

impl std::fmt::Display for Spread {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let digits = f.precision().unwrap_or(2);
        let shown = format!("{:.digits$} [{:.digits$}–{:.digits$}]", self.median, self.min, self.max);
        write!(f, "{shown:>width$}", width = f.width().unwrap_or_default())
    }
}
