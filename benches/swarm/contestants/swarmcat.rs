//! swarmcat: `stream` into a pipe, and `serve` where the work needs more than one place.

use std::{
    path::Path,
    process::{ChildStdout, Command, Stdio},
    sync::{Mutex, PoisonError},
};

use rustix::process::Pid;

use super::{Bytes, Contestant, Served, Source, clean};
use crate::{
    measure::{Measured, http},
    scenario::Work,
    seeder::Trouble,
    swarm::Swarm,
};

/// The release build of this tree.
pub struct Swarmcat;

impl Contestant for Swarmcat {
    fn start(&self, swarm: &Swarm, room: &Path, work: Work) -> Result<(Measured, Box<dyn Source>), Trouble> {
        if work.seeks() { serve(swarm, room) } else { stream(swarm, room) }
    }
}

fn program(room: &Path) -> Command {
    let mut command = clean(env!("CARGO_BIN_EXE_swarmcat"), room);
    command.args(["--no-dht", "--quiet"]);
    command.arg("--temp-dir").arg(room.join("temp")).arg("--state-dir").arg(room.join("state"));
    command
}

fn stream(swarm: &Swarm, room: &Path) -> Result<(Measured, Box<dyn Source>), Trouble> {
    let mut command = program(room);
    let mut run = Measured::start(command.arg("stream").arg(swarm.magnet()).stdout(Stdio::piped()))?;
    let stdout = run.child().stdout.take();
    Ok((run, Box::new(Pipe(Mutex::new(stdout)))))
}

fn serve(swarm: &Swarm, room: &Path) -> Result<(Measured, Box<dyn Source>), Trouble> {
    let address = http::free_address()?;
    let mut command = program(room);
    command.args([
        "--tracker",
        &swarm.tracker_url(),
        "serve",
        "--allow-private-peers",
        "--listen",
        &address.to_string(),
    ]);
    let mut run = Measured::start(&mut command)?;
    let target = format!("/stream/proxy/{}", swarm.info_hash);
    let pid = Pid::from_child(run.child());
    Ok((run, Box::new(Served { address, target, pid })))
}

/// What is read once, from the start.
struct Pipe(Mutex<Option<ChildStdout>>);

impl Source for Pipe {
    fn open(&self, _from: u64) -> Result<Bytes, Trouble> {
        let stdout = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        Ok(Box::new(stdout.ok_or("a pipe is read once")?))
    }
}
