//! swarmcat and others on the same swarms, in turn: peers of libtorrent on loopback, each with an address, a rate, a
//! distance and habits of its own.
//!
//! ```text
//! apt-get install python3-venv npm aria2 ffmpeg mpv   # what is missing is said, and left out
//! cargo install rqbit --version 9.1.0 --locked --no-default-features --features rust-tls
//! cargo bench --bench swarm -- --list
//! cargo bench --bench swarm -- --scenario unequal,unequal-seek --runs 7 --contestants swarmcat,rqbit
//! cargo bench --bench swarm -- --scenario heavy-tail --check    # whether the peers have the rates that they shall have
//! ```
//!
//! libtorrent and peerflix are installed below `target` when they are first needed.
//!
//! Every run is cold: a new swarm, an empty directory, and nothing known but a magnet with the info hash and a tracker,
//! which tells all peers at once. The clock starts with the contestant's process. Every byte that comes out is compared
//! with the true file. A run that ends early, is wrong, or takes too long is a failure, and is reported as one.
//!
//! Where a player is to show a frame (`first-frame` and the like), the film is a real one, ffmpeg's, and the frame is
//! compared instead of the bytes. The time ends when the player does, and so has its own start and end in it.
//!
//! **The limit** of a time is what the rates alone allow: the least *t* at which the sum of the rates of all peers that
//! are alive, honest and not choking has delivered the bytes that are needed, but at least one piece, because no byte of
//! a piece is right before all are. It knows no round trips, handshakes, or metadata. `sent by seeders` counts payload
//! until the work was done; its limit is what was delivered. CPU and memory are the contestant's process alone.
//! Linux only (`/proc`, 127.0.0.0/8).

// The report is this program's payload.
#![allow(clippy::print_stdout)]

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Parser;

#[path = "../support/mod.rs"]
#[allow(dead_code, reason = "not every benchmark needs all of it")]
mod measure;
#[path = "../../examples/local_swarm/seeder.rs"]
#[allow(dead_code, reason = "the seeders are foreign here")]
mod seeder;
#[path = "../../tests/it/support/mod.rs"]
#[allow(
    dead_code,
    unused_imports,
    missing_docs,
    clippy::unwrap_used,
    reason = "the tests' own, for its tracker"
)]
mod support;

mod check;
mod contestants;
mod film;
mod plan;
mod relay;
mod report;
mod scenario;
mod swarm;
mod tools;
mod work;

use contestants::{Contestant, Running};
use report::Results;
use scenario::Scenario;
use seeder::Trouble;
use swarm::{Content, Swarm};
use work::Reading;

#[derive(Parser)]
struct Options {
    /// Only these scenarios.
    #[arg(long, value_delimiter = ',')]
    scenario: Vec<String>,

    /// How often each contestant takes its turn.
    #[arg(long, default_value_t = 7)]
    runs: usize,

    /// Only these contestants.
    #[arg(long, value_delimiter = ',')]
    contestants: Vec<String>,

    /// Say which scenarios and contestants there are.
    #[arg(long)]
    list: bool,

    /// Measure the swarms instead: whether each peer sends at its rate.
    #[arg(long)]
    check: bool,

    /// Where the files go; the file system matters.
    #[arg(long, default_value_os_t = std::env::temp_dir())]
    dir: PathBuf,

    /// What cargo tells every benchmark.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> ExitCode {
    let options = Options::parse();
    let done = if options.list {
        list();
        Ok(())
    } else {
        compare(&options)
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(trouble) => {
            eprintln!("swarm: {trouble}");
            ExitCode::FAILURE
        }
    }
}

fn list() {
    for scenario in scenario::all() {
        println!("{:<14} {}", scenario.name, scenario.about);
    }
    println!("\ncontestants: {}", contestants::NAMES.join(", "));
}

fn compare(options: &Options) -> Result<(), Trouble> {
    let scenarios = chosen(&options.scenario)?;
    let python = tools::python()?;
    println!(
        "seeders of libtorrent {}, {} processors for all together, load before: {}\n",
        tools::libtorrent_version(&python)?,
        std::thread::available_parallelism()?,
        std::fs::read_to_string("/proc/loadavg")?.trim()
    );
    if options.check {
        return scenarios.iter().try_for_each(|scenario| check_swarm(scenario, &python, &options.dir));
    }
    let mut all = Vec::new();
    for name in contestants::NAMES {
        if !options.contestants.is_empty() && !options.contestants.iter().any(|wanted| wanted == name) {
            continue;
        }
        match contestants::find(name) {
            Ok(contestant) => all.push((*name, contestant)),
            Err(trouble) => println!("MISSING {name}: {trouble}"),
        }
    }
    for scenario in &scenarios {
        let home = tempfile::Builder::new().prefix("swarm-bench-").tempdir_in(&options.dir)?;
        println!("{}: {}; {} runs each", scenario.name, scenario.about, options.runs);
        report::print(&take_turns(scenario, &all, &python, home.path(), options.runs)?);
    }
    Ok(())
}

fn check_swarm(scenario: &Scenario, python: &Path, dir: &Path) -> Result<(), Trouble> {
    let home = tempfile::Builder::new().prefix("swarm-bench-").tempdir_in(dir)?;
    println!("{}: {}", scenario.name, scenario.about);
    check::measure(python, &Content::new(home.path(), &scenario.plan)?, &scenario.plan)
}

fn chosen(names: &[String]) -> Result<Vec<Scenario>, Trouble> {
    let mut all = scenario::all();
    if let Some(unknown) = names.iter().find(|name| all.iter().all(|scenario| scenario.name != **name)) {
        return Err(format!("there is no scenario {unknown:?}; --list names them all").into());
    }
    all.retain(|scenario| names.is_empty() || names.iter().any(|name| name == scenario.name));
    Ok(all)
}

fn take_turns(
    scenario: &Scenario,
    contestants: &[(&str, Box<dyn Contestant>)],
    python: &Path,
    home: &Path,
    runs: usize,
) -> Result<Vec<Results>, Trouble> {
    let content = Content::new(home, &scenario.plan)?;
    let able = |contestant: &&(&str, Box<dyn Contestant>)| {
        let able = contestant.1.can(scenario.work);
        if !able {
            println!("  {} has no way to do this", contestant.0);
        }
        able
    };
    let contestants: Vec<_> = contestants.iter().filter(able).collect();
    let start = |(name, _): &&(&str, _)| Results { name: (*name).to_owned(), runs: vec![], failures: vec![] };
    let mut all: Vec<Results> = contestants.iter().map(start).collect();
    for turn in 1..=runs {
        for ((name, contestant), results) in contestants.iter().zip(&mut all) {
            let room = tempfile::tempdir_in(home)?;
            let swarm = Swarm::start(python, &content, &scenario.plan)?;
            match run(scenario, contestant.as_ref(), swarm, &content, room.path()) {
                Ok(readings) => {
                    eprintln!("{} {turn}/{runs} {name}: {}", scenario.name, brief(&readings));
                    results.runs.push(readings);
                }
                Err(trouble) => {
                    eprintln!("{} {turn}/{runs} {name} FAILED: {trouble}", scenario.name);
                    results.failures.push(trouble.to_string());
                }
            }
        }
    }
    Ok(all)
}

/// One cold run on a swarm of its own.
fn run(
    scenario: &Scenario,
    contestant: &dyn Contestant,
    mut swarm: Swarm,
    content: &Content,
    room: &Path,
) -> Result<Vec<Reading>, Trouble> {
    swarm.go()?;
    let running = Running::start(contestant, &swarm, room, scenario.work, scenario.patience)?;
    let done = work::perform(scenario.work, &running, &content.file, &scenario.plan);
    let sent = swarm.sent();
    let (cost, late) = running.end()?;
    if late {
        return Err(format!("not done within {} s", scenario.patience.as_secs()).into());
    }
    let done = done?;
    let mib = f64::from(1 << 20);
    let mut readings = done.readings;
    readings.push(Reading {
        what: "sent by seeders, MB".to_owned(),
        value: sent? as f64 / 1e6,
        limit: Some(done.delivered as f64 / 1e6),
    });
    readings.push(Reading::plain("CPU, s", cost.cpu.as_secs_f64()));
    readings.push(Reading::plain("peak memory, MiB", cost.peak as f64 / mib));
    Ok(readings)
}

fn brief(readings: &[Reading]) -> String {
    let each: Vec<String> =
        readings.iter().map(|reading| format!("{} {:.2}", reading.what, reading.value)).collect();
    each.join(" · ")
}
