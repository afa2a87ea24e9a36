//! libtorrent with piece deadlines, by its Python bindings: what a player on top of it does.

use std::path::{Path, PathBuf};

use rustix::process::Pid;

use super::{Contestant, Served, Source, clean};
use crate::{
    measure::{Measured, http},
    scenario::Work,
    seeder::Trouble,
    swarm::Swarm,
};

/// With the Python that has it. Starting the interpreter counts, and is some 0.1 s.
pub struct Libtorrent(pub PathBuf);

impl Contestant for Libtorrent {
    fn start(&self, swarm: &Swarm, room: &Path, _work: Work) -> Result<(Measured, Box<dyn Source>), Trouble> {
        let address = http::free_address()?;
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/swarm/deadlines.py");
        let mut command = clean(&self.0, room);
        command.arg(script).arg(swarm.magnet()).arg(room).arg(address.port().to_string());
        let mut run = Measured::start(&mut command)?;
        let pid = Pid::from_child(run.child());
        Ok((run, Box::new(Served { address, target: "/".to_owned(), pid })))
    }
}
