//! peerflix: its HTTP server, which is up once the metadata is there.

use std::path::{Path, PathBuf};

use rustix::process::Pid;

use super::{Contestant, Served, Source, clean};
use crate::{
    measure::{Measured, http},
    scenario::Work,
    seeder::Trouble,
    swarm::Swarm,
};

/// From npm. Starting Node counts, and is some 0.2 s.
pub struct Peerflix(pub PathBuf);

impl Contestant for Peerflix {
    fn start(&self, swarm: &Swarm, room: &Path, _work: Work) -> Result<(Measured, Box<dyn Source>), Trouble> {
        let (address, peers) = (http::free_address()?, http::free_address()?);
        let mut command = clean(&self.0, room);
        command.arg(swarm.magnet()).args(["--quiet", "--no-dht", "--hostname", "127.0.0.1"]);
        command.arg("--port").arg(address.port().to_string());
        command.arg("--peer-port").arg(peers.port().to_string());
        command.arg("--path").arg(room.join("files"));
        let mut run = Measured::start(&mut command)?;
        let pid = Pid::from_child(run.child());
        Ok((run, Box::new(Served { address, target: "/".to_owned(), pid })))
    }
}
