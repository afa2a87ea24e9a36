//! rqbit: its server, to which the magnet is added by HTTP, and its stream.

use std::{
    path::{Path, PathBuf},
    sync::OnceLock,
};

use rustix::process::Pid;

use super::{Bytes, Contestant, Served, Source, clean};
use crate::{
    measure::{Measured, http},
    scenario::Work,
    seeder::Trouble,
    swarm::Swarm,
};

/// The binary.
pub struct Rqbit(pub PathBuf);

impl Contestant for Rqbit {
    fn start(&self, swarm: &Swarm, room: &Path, _work: Work) -> Result<(Measured, Box<dyn Source>), Trouble> {
        let address = http::free_address()?;
        let mut command = clean(&self.0, room);
        command.args(["-v", "error", "--disable-dht", "--disable-lsd", "--disable-upnp-port-forward"]);
        command.args(["--listen-ip", "127.0.0.1", "--ipv4-only", "--listen-port", "0"]);
        command.args(["--http-api-listen-addr", &address.to_string()]);
        command.args(["server", "start", "--disable-persistence"]).arg(room.join("files"));
        let mut run = Measured::start(&mut command)?;
        let served =
            Served { address, target: "/torrents/0/stream/0".to_owned(), pid: Pid::from_child(run.child()) };
        Ok((run, Box::new(Stream { served, magnet: swarm.magnet(), added: OnceLock::new() })))
    }
}

struct Stream {
    served: Served,
    magnet: String,
    added: OnceLock<Result<(), String>>,
}

impl Stream {
    fn add(&self) -> Result<(), Trouble> {
        let add = || -> Result<(), Trouble> {
            http::request(self.served.connect()?, "POST", "/torrents", 0, &self.magnet)?;
            Ok(())
        };
        Ok(self.added.get_or_init(|| add().map_err(|trouble| trouble.to_string())).clone()?)
    }
}

impl Source for Stream {
    fn open(&self, from: u64) -> Result<Bytes, Trouble> {
        self.add()?;
        self.served.open(from)
    }

    fn url(&self) -> Result<String, Trouble> {
        self.add()?;
        self.served.url()
    }
}
