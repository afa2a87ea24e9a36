//! `swarmcat serve` under load, on loopback and on one machine with its clients.
//!
//! ```text
//! apt-get install nginx-light wrk
//! cargo install rqbit --version 9.1.0 --locked --no-default-features --features rust-tls
//! cargo bench --bench serve                            # everything
//! cargo bench --bench serve -- --only moved --at 1 --runs 25 --seconds 1
//! cargo bench --bench serve -- --only crowd --seconds 60
//! ```
//!
//! Three questions. `moved`: bytes a second of a finished file at 1, 8 and 64 readers, beside nginx with sendfile and
//! rqbit's own stream, in turn, and the median of the ratios of each turn; each reader fetches the file again and again
//! for as long as it is measured. `refused`:
//! how fast a torrent that cools down is refused, beside `/health`, by wrk; and how long a refusal takes at 1000
//! requests a second that are sent on time, however slow the answers are. `crowd`: 1000 readers at 64 KiB/s each, from
//! random places, every byte compared. Who is not installed is left out. Linux only (`/proc`).

// The report is this program's payload.
#![allow(clippy::print_stdout)]

use std::{path::PathBuf, process::ExitCode, time::Duration};

use clap::Parser;

#[path = "../../examples/local_swarm/seeder.rs"]
mod seeder;
#[path = "../support/mod.rs"]
#[allow(dead_code, reason = "the cost of a process is not the question here")]
mod support;

mod crowd;
mod moved;
mod refused;
mod servers;

use seeder::Trouble;
use servers::World;

#[derive(Parser)]
struct Options {
    /// MiB of the served file.
    #[arg(long, default_value_t = 256)]
    mebibytes: u64,

    /// How often each server takes its turn.
    #[arg(long, default_value_t = 5)]
    runs: usize,

    /// Seconds of one measurement.
    #[arg(long, default_value_t = 5)]
    seconds: u64,

    /// Readers at once of what is moved.
    #[arg(long, value_delimiter = ',', default_value = "1,8,64")]
    at: Vec<usize>,

    /// Readers of the crowd.
    #[arg(long, default_value_t = 1000)]
    readers: usize,

    /// Only this question: moved, refused or crowd.
    #[arg(long)]
    only: Option<String>,

    /// Where the files go; the file system matters.
    #[arg(long, default_value_os_t = std::env::temp_dir())]
    dir: PathBuf,

    /// What cargo tells every benchmark.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> ExitCode {
    match measure(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(trouble) => {
            eprintln!("serve: {trouble}");
            ExitCode::FAILURE
        }
    }
}

fn measure(options: &Options) -> Result<(), Trouble> {
    servers::raise_limit_on_files()?;
    let home = tempfile::Builder::new().prefix("serve-").tempdir_in(&options.dir)?;
    let world = World::new(home.path(), options.mebibytes << 20)?;
    let seconds = Duration::from_secs(options.seconds);
    let asked = |question: &str| options.only.as_deref().is_none_or(|only| only == question);
    if asked("moved") {
        moved::measure(&world, &options.at, options.runs, seconds)?;
    }
    if asked("refused") {
        refused::measure(&world, seconds)?;
    }
    if asked("crowd") {
        crowd::measure(&world, options.readers, seconds)?;
    }
    Ok(())
}
