//! aria2: the head of the file first, and the file read as its pieces come.

use std::{
    fs::File,
    io::{self, Read},
    net::SocketAddr,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use rustix::process::Pid;
use serde_json::{Value, json};

use super::{Bytes, Contestant, Source, clean};
use crate::{
    measure::{Measured, http},
    scenario::Work,
    seeder::Trouble,
    swarm::{FILE, Swarm},
};

/// What it has is asked for so often.
const STEP: Duration = Duration::from_millis(20);

/// From the system.
pub struct Aria2(pub PathBuf);

impl Contestant for Aria2 {
    fn start(&self, swarm: &Swarm, room: &Path, _work: Work) -> Result<(Measured, Box<dyn Source>), Trouble> {
        let address = http::free_address()?;
        let mut command = clean(&self.0, room);
        command.args(["--no-conf", "--quiet", "--enable-dht=false", "--enable-dht6=false"]);
        command.args(["--bt-enable-lpd=false", "--file-allocation=none", "--disk-cache=0", "--seed-time=0"]);
        command.args(["--bt-prioritize-piece=head=32M", "--enable-rpc"]);
        command.arg(format!("--rpc-listen-port={}", address.port())).arg(swarm.magnet());
        let mut run = Measured::start(&mut command)?;
        let pid = Pid::from_child(run.child());
        Ok((run, Box::new(Growing { address, pid, path: room.join(FILE), size: swarm.size })))
    }

    /// It has no notion of a place that is needed now.
    fn can(&self, work: Work) -> bool {
        !work.seeks()
    }
}

/// A file that is read as far as its pieces are verified.
#[derive(Clone)]
struct Growing {
    address: SocketAddr,
    pid: Pid,
    path: PathBuf,
    size: u64,
}

impl Source for Growing {
    fn open(&self, from: u64) -> Result<Bytes, Trouble> {
        Ok(Box::new(Reader { growing: self.clone(), file: None, offset: from, verified: from }))
    }
}

impl Growing {
    /// Up to where there is no gap, from `offset` on.
    fn verified(&self, offset: u64) -> Result<u64, Trouble> {
        for method in ["aria2.tellActive", "aria2.tellStopped"] {
            let keys = json!(["bitfield", "totalLength", "pieceLength", "files"]);
            let params = if method.ends_with("Active") { json!([keys]) } else { json!([0, 9, keys]) };
            let size = self.size.to_string();
            let all = self.call(method, params)?;
            let ours = all.as_array().into_iter().flatten().find(|one| one["totalLength"] == *size);
            if let Some(one) = ours {
                let piece: u64 = one["pieceLength"].as_str().unwrap_or_default().parse()?;
                return Ok(self.gap(one["bitfield"].as_str().unwrap_or_default(), piece, offset));
            }
        }
        Ok(offset)
    }

    fn gap(&self, bitfield: &str, piece: u64, offset: u64) -> u64 {
        let bits = data_encoding::HEXLOWER_PERMISSIVE.decode(bitfield.as_bytes()).unwrap_or_default();
        let has =
            |index: u64| bits.get(index as usize / 8).is_some_and(|byte| byte & (0x80 >> (index % 8)) != 0);
        let gap = (offset / piece..).find(|&index| !has(index)).unwrap_or_default();
        (gap * piece).min(self.size).max(offset)
    }

    fn call(&self, method: &str, params: Value) -> Result<Value, Trouble> {
        let body = json!({ "jsonrpc": "2.0", "id": "swarm", "method": method, "params": params }).to_string();
        let stream = http::connect(self.address, self.pid)?;
        let answer: Value = serde_json::from_reader(http::request(stream, "POST", "/jsonrpc", 0, &body)?)?;
        Ok(answer["result"].clone())
    }
}

struct Reader {
    growing: Growing,
    file: Option<File>,
    offset: u64,
    verified: u64,
}

impl Read for Reader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.offset == self.verified {
            if self.offset == self.growing.size {
                return Ok(0);
            }
            self.verified = self.growing.verified(self.offset).map_err(io::Error::other)?;
            if self.offset == self.verified {
                thread::sleep(STEP);
            }
        }
        let file = match self.file.take() {
            Some(file) => file,
            None => File::open(&self.growing.path)?,
        };
        let len = buffer.len().min((self.verified - self.offset) as usize);
        let read = file.read_at(&mut buffer[..len], self.offset)?;
        self.file = Some(file);
        self.offset += read as u64;
        Ok(read)
    }
}
