//! Foreign programs that the benchmark gets for itself, below `target`.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::seeder::Trouble;

/// The seeders of every swarm, and a contestant.
const LIBTORRENT: &str = "2.0.15";
const PEERFLIX: &str = "0.39.0";

/// A Python that has libtorrent: an environment of our own with the pinned release, else the system's with
/// Debian's package.
pub fn python() -> Result<PathBuf, Trouble> {
    let home = workshop()?.join("python");
    let python = home.join("bin/python3");
    if has_libtorrent(&python) {
        return Ok(python);
    }
    eprintln!("swarm: installing libtorrent {LIBTORRENT} below {}", home.display());
    let made = quietly(Command::new("python3").args(["-m", "venv"]).arg(&home)).and_then(|()| {
        let package = format!("libtorrent=={LIBTORRENT}");
        quietly(Command::new(&python).args(["-m", "pip", "install", "--quiet", &package]))
    });
    let Err(trouble) = made else { return Ok(python) };
    let system = PathBuf::from("/usr/bin/python3");
    if has_libtorrent(&system) {
        return Ok(system);
    }
    Err(format!(
        "no libtorrent, of which the swarms are made ({trouble}). On Debian: apt-get install python3-venv, for \
         pip's release, or python3-libtorrent"
    )
    .into())
}

/// Which libtorrent this Python has.
pub fn libtorrent_version(python: &Path) -> Result<String, Trouble> {
    let output =
        Command::new(python).args(["-c", "import libtorrent; print(libtorrent.version)"]).output()?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// peerflix, from npm.
pub fn peerflix() -> Result<PathBuf, Trouble> {
    let home = workshop()?.join("peerflix");
    let program = home.join("node_modules/.bin/peerflix");
    if !program.exists() {
        eprintln!("swarm: installing peerflix {PEERFLIX} below {}", home.display());
        let package = format!("peerflix@{PEERFLIX}");
        quietly(Command::new("npm").args(["install", "--no-audit", "--prefix"]).arg(&home).arg(package))?;
    }
    Ok(program)
}

/// aria2, if it is installed.
pub fn aria2() -> Result<PathBuf, Trouble> {
    quietly(Command::new("aria2c").arg("--version"))?;
    Ok("aria2c".into())
}

fn has_libtorrent(python: &Path) -> bool {
    quietly(Command::new(python).args(["-c", "import libtorrent"])).is_ok()
}

fn workshop() -> Result<PathBuf, Trouble> {
    let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join("swarm-bench");
    fs::create_dir_all(&home)?;
    Ok(home)
}

fn quietly(command: &mut Command) -> Result<(), Trouble> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("{program} does not start: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!("{program} failed: {}", said.trim().lines().last().unwrap_or("without a word")).into())
}
