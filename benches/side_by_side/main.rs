//! swarmcat and rqbit 9.1.0 on the same swarm, in turn: one fast seeder on loopback, in a process of its own.
//!
//! ```text
//! cargo install rqbit --version 9.1.0 --locked --no-default-features --features rust-tls
//! cargo bench --bench side_by_side -- --size 1GiB --runs 5
//! ```
//!
//! Every run starts cold: a fresh directory, and nothing known but the info hash and the seeder's address.
//! The SHA-1 of what each delivers is compared with the seeder's file: of a pipe or a socket while it is
//! read, of a file after the clock has stopped. CPU and memory are the measured process's alone; neither the
//! seeder nor the hashing reader counts. Linux only (`/proc`).

// The report is this program's payload.
#![allow(clippy::print_stdout)]

use std::{path::PathBuf, process::ExitCode};

use clap::Parser;

#[path = "../../examples/local_swarm/seeder.rs"]
mod seeder;
#[path = "../support/mod.rs"]
mod support;

mod contestants;
mod swarm;

use contestants::{Contestant, Sample};
use seeder::Trouble;
use support::Spread;
use swarm::Swarm;

#[derive(Parser)]
struct Options {
    /// Bytes of the seeded file, as in 256MiB or 1GiB.
    #[arg(long, default_value = "1GiB", value_parser = parse_size)]
    size: u64,

    /// Length of a piece.
    #[arg(long, default_value = "4MiB", value_parser = parse_size)]
    piece: u64,

    /// How often each takes its turn.
    #[arg(long, default_value_t = 5)]
    runs: usize,

    /// Only the contestants whose name contains this.
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
    let done = match swarm::seeding() {
        Some(order) => swarm::seed(&order),
        None => compare(&Options::parse()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(trouble) => {
            eprintln!("side_by_side: {trouble}");
            ExitCode::FAILURE
        }
    }
}

fn compare(options: &Options) -> Result<(), Trouble> {
    let contestants = contestants(options);
    let home = tempfile::Builder::new().prefix("side-by-side-").tempdir_in(&options.dir)?;
    let swarm = Swarm::start(home.path(), options.size, options.piece)?;
    println!(
        "{} MiB in pieces of {} KiB, one seeder at {}, {} runs each\n",
        options.size >> 20,
        options.piece >> 10,
        swarm.peer,
        options.runs
    );
    let mut results: Vec<Vec<Sample>> = vec![Vec::new(); contestants.len()];
    for turn in 0..options.runs {
        for (contestant, samples) in contestants.iter().zip(&mut results) {
            eprintln!("run {} of {}: {}", turn + 1, options.runs, contestant.name());
            let room = tempfile::tempdir_in(home.path())?;
            samples.push(contestant.run(&swarm, room.path())?);
        }
    }
    report(&contestants, &results, options.size);
    Ok(())
}

fn contestants(options: &Options) -> Vec<Contestant> {
    let rqbit = support::rqbit();
    if rqbit.is_none() {
        support::explain_missing_rqbit();
    }
    let swarmcat = PathBuf::from(env!("CARGO_BIN_EXE_swarmcat"));
    let mut all = Contestant::all(swarmcat, rqbit);
    all.retain(|contestant| options.only.as_ref().is_none_or(|only| contestant.name().contains(only)));
    all
}

fn report(contestants: &[Contestant], results: &[Vec<Sample>], size: u64) {
    println!("{:<28} {:>24} {:>10} {:>24} {:>20}", "", "wall s", "MiB/s", "CPU s", "peak MiB");
    let spread = |samples: &[Sample], of: fn(&Sample) -> f64| Spread::of(samples.iter().map(of));
    for (contestant, samples) in contestants.iter().zip(results) {
        let wall = spread(samples, |sample| sample.wall.as_secs_f64());
        let rate = contestant.whole_file().then(|| size as f64 / f64::from(1 << 20) / wall.median);
        let rate = rate.map_or("-".to_owned(), |rate| format!("{rate:.0}"));
        let cpu = spread(samples, |sample| sample.cpu.as_secs_f64());
        let peak = spread(samples, |sample| sample.peak as f64 / f64::from(1 << 20));
        println!("{:<28} {wall:>24.3} {rate:>10} {cpu:>24.2} {peak:>20.0}", contestant.name());
    }
    println!();
    for (name, other) in Contestant::RATIOS {
        let find = |name: &str| contestants.iter().position(|contestant| contestant.name() == name);
        let (Some(ours), Some(theirs)) = (find(name), find(other)) else { continue };
        let ratio =
            |of: fn(&Sample) -> f64| spread(&results[ours], of).median / spread(&results[theirs], of).median;
        println!(
            "{name} / {other}: wall {:.2}×, CPU {:.2}×, peak memory {:.2}×",
            ratio(|sample| sample.wall.as_secs_f64()),
            ratio(|sample| sample.cpu.as_secs_f64()),
            ratio(|sample| sample.peak as f64),
        );
    }
}

fn parse_size(text: &str) -> Result<u64, String> {
    let units = [("GiB", 30), ("MiB", 20), ("KiB", 10)];
    let (number, shift) =
        units.iter().find_map(|(unit, shift)| Some((text.strip_suffix(unit)?, *shift))).unwrap_or((text, 0));
    let size = number.parse::<u64>().ok().and_then(|number| number.checked_mul(1 << shift));
    size.filter(|size| *size > 0).ok_or_else(|| format!("{text:?} is not a size, as in 64MiB"))
}
