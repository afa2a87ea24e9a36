//! A whole swarm on this machine, in one command:
//!
//! ```text
//! cargo run --example local_swarm -- [SIZE]
//! ```
//!
//! Makes a file of random bytes (64 MiB unless told otherwise, as in `200MiB`), seeds it from three peers on
//! loopback, streams it back by nothing but its info hash with the real `swarmcat` binary, and compares the
//! bytes. Needs no network and leaves nothing behind.

use std::{
    env,
    fs::File,
    path::{Path, PathBuf},
    process::{ExitCode, Stdio},
    time::Instant,
};

use tokio::process::Command;

mod seeder;

use seeder::{Seeder, Torrent, Trouble};

const SEEDERS: usize = 3;
const PIECE_LENGTH: u64 = 1 << 20;
const DEFAULT_SIZE: u64 = 64 << 20;

#[tokio::main]
async fn main() -> ExitCode {
    let done = tokio::select! {
        done = run() => done,
        _ = tokio::signal::ctrl_c() => Err("interrupted".into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(trouble) => {
            eprintln!("local_swarm: {trouble}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), Trouble> {
    let size = env::args().nth(1).map_or(Ok(DEFAULT_SIZE), |text| parse_size(&text))?;
    let swarmcat = swarmcat().await?;
    let home = tempfile::Builder::new().prefix("local-swarm-").tempdir()?;
    let seeded = home.path().join("seeded");
    std::fs::create_dir(&seeded)?;
    let file = seeded.join("random.bin");

    eprintln!("1. {size} random bytes are written and hashed");
    let expected = seeder::write_random(&file, size)?;
    let torrent = Torrent::of(&file, PIECE_LENGTH)?;
    eprintln!("2. {SEEDERS} peers seed them as {}", torrent.info_hash);
    let mut seeders = Vec::new();
    for _ in 0..SEEDERS {
        seeders.push(Seeder::start(&torrent).await?);
    }

    let mut command = stream(&swarmcat, &torrent, &seeders, home.path());
    eprintln!("3. swarmcat streams them to a pipe:\n   {}", shown(&command));
    let started = Instant::now();
    let (len, actual) = bytes_of(&mut command).await?;
    let seconds = started.elapsed().as_secs_f64();

    if (len, actual) != (size, expected) {
        return Err(format!("the bytes differ: {len} of {size} arrived, or not as they were").into());
    }
    let rate = size as f64 / seconds / f64::from(1 << 20);
    eprintln!("4. {len} bytes arrived in {seconds:.2} s ({rate:.0} MiB/s), and every one is right");
    Ok(())
}

/// The command line that a user would type, kept away from this user's own configuration and state.
fn stream(swarmcat: &Path, torrent: &Torrent, seeders: &[Seeder], home: &Path) -> Command {
    let mut command = Command::new(swarmcat);
    command.args(["stream", &torrent.info_hash, "--no-dht", "--no-trackers"]);
    for seeder in seeders {
        command.arg("--peer").arg(seeder.address.to_string());
    }
    command.arg("--temp-dir").arg(home.join("temp")).arg("--state-dir").arg(home.join("state"));
    for (name, _) in env::vars_os().filter(|(name, _)| name.as_encoded_bytes().starts_with(b"SWARMCAT_")) {
        command.env_remove(name);
    }
    command.env("XDG_CONFIG_HOME", home.join("config"));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
    command
}

async fn bytes_of(command: &mut Command) -> Result<(u64, seeder::Hash), Trouble> {
    let mut child = command.spawn()?;
    let stdout = File::from(child.stdout.take().ok_or("no pipe")?.into_owned_fd()?);
    let drained = tokio::task::spawn_blocking(|| seeder::drain(stdout)).await?;
    let status = child.wait().await?;
    if !status.success() {
        return Err(format!("swarmcat failed: {status}").into());
    }
    Ok(drained?)
}

/// The binary beside this example. Cargo does not build it for an example, so it is asked to; together with
/// the example, so that both share their dependencies as they are already built.
async fn swarmcat() -> Result<PathBuf, Trouble> {
    let example = env::current_exe()?;
    let profile =
        example.parent().and_then(Path::parent).ok_or("this example lies in no target directory")?;
    let binary = profile.join(format!("swarmcat{}", env::consts::EXE_SUFFIX));
    let name = profile.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let profile = if name == "debug" { "dev" } else { name };
    let build = ["build", "--bin", "swarmcat", "--example", "local_swarm", "--profile", profile];
    if let Some(cargo) = env::var_os("CARGO") {
        let status = Command::new(cargo).args(build).current_dir(env!("CARGO_MANIFEST_DIR")).status().await?;
        if !status.success() {
            return Err("the swarmcat binary could not be built".into());
        }
    }
    if binary.is_file() {
        return Ok(binary);
    }
    Err(format!("{} is missing; build it with: cargo {}", binary.display(), build.join(" ")).into())
}

fn shown(command: &Command) -> String {
    let command = command.as_std();
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

/// A number of bytes, or with `KiB`, `MiB` or `GiB`.
fn parse_size(text: &str) -> Result<u64, Trouble> {
    let units = [("GiB", 30), ("MiB", 20), ("KiB", 10)];
    let (number, shift) =
        units.iter().find_map(|(unit, shift)| Some((text.strip_suffix(unit)?, *shift))).unwrap_or((text, 0));
    let size = number.trim().parse::<u64>().ok().and_then(|number| number.checked_mul(1 << shift));
    size.filter(|size| *size > 0).ok_or_else(|| format!("{text:?} is not a size, as in 64MiB").into())
}
