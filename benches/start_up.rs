//! What the short commands cost from start to end, as whole processes: a long table listed, an empty
//! directory cleaned, and the help text beside rqbit's.
//!
//! ```text
//! cargo bench --bench start_up -- [RUNS]
//! ```

// The report is this program's payload.
#![allow(clippy::print_stdout)]

use std::{
    env,
    fmt::Write,
    fs, io,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use time::{OffsetDateTime, format_description::well_known::Rfc3339};

#[path = "support/mod.rs"]
#[allow(dead_code)]
mod support;

use support::Spread;

const ENTRIES: usize = 10_000;
const DEFAULT_RUNS: usize = 50;

fn main() -> io::Result<()> {
    let runs = env::args().skip(1).find_map(|arg| arg.parse().ok()).unwrap_or(DEFAULT_RUNS);
    let home = tempfile::tempdir()?;
    let (full, empty) = (home.path().join("full"), home.path().join("empty"));
    for home in [&full, &empty] {
        fs::create_dir_all(home.join("temp"))?;
        fs::create_dir_all(home.join("state"))?;
    }
    fs::write(full.join("state/failed.toml"), table()?)?;

    println!("{runs} runs each, milliseconds\n");
    let listed = |command: &mut Command| timed(command, runs, |lines| lines > ENTRIES);
    let quiet = |command: &mut Command| timed(command, runs, |_| true);
    let help = |command: &mut Command| timed(command, runs, |lines| lines > 5);
    row("swarmcat failed list", listed(swarmcat(&full).args(["failed", "list"]))?);
    row("swarmcat cleanup", quiet(swarmcat(&empty).arg("cleanup"))?);
    let ours = help(swarmcat(&empty).arg("--help"))?;
    row("swarmcat --help", ours);
    match support::rqbit() {
        None => support::explain_missing_rqbit(),
        Some(rqbit) => {
            let theirs = help(Command::new(rqbit).arg("--help"))?;
            row("rqbit --help", theirs);
            println!("\nswarmcat --help / rqbit --help: {:.2}×", ours.median / theirs.median);
        }
    }
    Ok(())
}

fn row(name: &str, spread: Spread) {
    println!("{name:<22} {spread:>24.2}");
}

fn swarmcat(home: &Path) -> Command {
    let mut command = Command::new(PathBuf::from(env!("CARGO_BIN_EXE_swarmcat")));
    command.arg("--temp-dir").arg(home.join("temp")).arg("--state-dir").arg(home.join("state"));
    command.env("XDG_CONFIG_HOME", home.join("config"));
    command
}

/// Milliseconds from start to end; every run must succeed and print lines as expected.
fn timed(command: &mut Command, runs: usize, expected: impl Fn(usize) -> bool) -> io::Result<Spread> {
    let mut times = Vec::with_capacity(runs);
    for _ in 0..runs.max(1) {
        let started = Instant::now();
        let output = command.stdin(Stdio::null()).output()?;
        times.push(started.elapsed());
        let lines = output.stdout.iter().filter(|byte| **byte == b'\n').count();
        if !output.status.success() || !expected(lines) {
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            return Err(io::Error::other(format!("{command:?}: {}, {lines} lines; {said}", output.status)));
        }
    }
    Ok(Spread::of(times.iter().map(|time: &Duration| time.as_secs_f64() * 1000.0)))
}

/// A table whose entries all still cool down.
fn table() -> io::Result<String> {
    let now = OffsetDateTime::now_utc().truncate_to_second();
    let shown = |time: OffsetDateTime| time.format(&Rfc3339).map_err(io::Error::other);
    let (failed_at, retry_at) = (shown(now)?, shown(now + time::Duration::minutes(50))?);
    let mut table = "version = 1\n".to_owned();
    for entry in 0..ENTRIES {
        let _ = write!(
            table,
            "\n[[failed]]\ninfo_hash = \"{entry:040x}\"\nkind = \"no_peers\"\nreason = \"no peers found after 60s\"\n\
             failed_at = {failed_at}\nretry_at = {retry_at}\nattempts = 5\n"
        );
    }
    Ok(table)
}
