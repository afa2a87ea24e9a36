//! A swarm that runs: foreign seeders in processes of their own, the distance to them, and a tracker.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread,
    time::Duration,
};

use serde_json::json;

use crate::{
    film,
    plan::{PeerPlan, Plan},
    relay::Relay,
    seeder::{self, Torrent, Trouble},
    support::{Answer, HttpTracker, WORLD},
};

/// What the torrent's only file is called, unless it is a real film in another container.
pub const FILE: &str = "film.mkv";

/// What the seeders of a scenario share: the file, a liar's file of other bytes, and the metainfo.
pub struct Content {
    /// The true file.
    pub file: PathBuf,
    /// Its length.
    pub size: u64,
    /// Its torrent's info hash, in hexadecimal.
    pub info_hash: String,
    metainfo: PathBuf,
    lies: PathBuf,
}

impl Content {
    /// A file for this plan, below `home`.
    pub fn new(home: &Path, plan: &Plan) -> Result<Self, Trouble> {
        let (truth, lies) = (home.join("truth"), home.join("lies"));
        fs::create_dir_all(&truth)?;
        let file = match plan.container {
            Some(container) => film::make(&truth, container, plan.size)?,
            None => {
                let file = truth.join(FILE);
                seeder::write_random(&file, plan.size)?;
                file
            }
        };
        let size = fs::metadata(&file)?.len();
        if plan.peers.iter().any(|peer| peer.lies) {
            fs::create_dir_all(&lies)?;
            seeder::write_random(&lies.join(FILE), plan.size)?;
        }
        let torrent = Torrent::of(&file, plan.piece)?;
        let metainfo = home.join("film.torrent");
        fs::write(&metainfo, &torrent.metainfo)?;
        Ok(Self { file, size, info_hash: torrent.info_hash, metainfo, lies })
    }
}

/// Everyone of one run; gone when dropped.
pub struct Swarm {
    /// Where each peer is reached, in the plan's order.
    pub peers: Vec<SocketAddr>,
    /// The v1 info hash in hexadecimal.
    pub info_hash: String,
    /// Length of the file.
    pub size: u64,
    tracker: HttpTracker,
    stay: Option<Seeders>,
    leave: Option<Arc<Mutex<Seeders>>>,
    leave_at: Duration,
    abandoned: Option<mpsc::Sender<()>>,
    _relays: Vec<Relay>,
}

impl Swarm {
    /// Starts every peer of the plan, and the tracker that knows them.
    pub fn start(python: &Path, content: &Content, plan: &Plan) -> Result<Self, Trouble> {
        let some = |leaves: bool| {
            let chosen: Vec<(usize, &PeerPlan)> =
                plan.peers.iter().enumerate().filter(|(_, peer)| peer.leaves == leaves).collect();
            (!chosen.is_empty()).then(|| Seeders::start(python, content, &chosen)).transpose()
        };
        let (stay, leave) = (some(false)?, some(true)?);
        let mut relays = Vec::new();
        let mut peers = Vec::new();
        for (index, peer) in plan.peers.iter().enumerate() {
            let mut seen = [&stay, &leave].into_iter().flatten().flat_map(|seeders| &seeders.ports);
            let port = seen.find(|(of, _)| *of == index).ok_or("a seeder is missing")?.1;
            let direct = SocketAddr::from((address(2, index), port));
            if peer.rtt.is_zero() {
                peers.push(direct);
            } else {
                let relay = Relay::start(address(1, index), direct, peer.rtt)?;
                peers.push(relay.addr);
                relays.push(relay);
            }
        }
        let tracker = WORLD.block_on(HttpTracker::start(Answer::Peers(peers.clone())));
        let leave = leave.map(|seeders| Arc::new(Mutex::new(seeders)));
        let leave_at = Duration::try_from_secs_f64(plan.leave_at).unwrap_or(Duration::MAX);
        let (info_hash, size) = (content.info_hash.clone(), content.size);
        Ok(Self { peers, info_hash, size, tracker, stay, leave, leave_at, abandoned: None, _relays: relays })
    }

    /// The cold magnet: the hash and the tracker.
    pub fn magnet(&self) -> String {
        let tracker =
            percent_encoding::utf8_percent_encode(&self.tracker_url(), percent_encoding::NON_ALPHANUMERIC)
                .to_string();
        format!("magnet:?xt=urn:btih:{}&tr={tracker}", self.info_hash)
    }

    /// The tracker alone.
    pub fn tracker_url(&self) -> String {
        self.tracker.url()
    }

    /// The contestant starts now: so do the chokes and the clock of those who leave.
    pub fn go(&mut self) -> Result<(), Trouble> {
        if let Some(stay) = &mut self.stay {
            stay.ask("go")?;
        }
        let Some(leave) = &self.leave else { return Ok(()) };
        let (sender, abandoned) = mpsc::channel();
        self.abandoned = Some(sender);
        let (leave, leave_at) = (leave.clone(), self.leave_at);
        thread::spawn(move || {
            if abandoned.recv_timeout(leave_at) == Err(mpsc::RecvTimeoutError::Timeout) {
                leave.lock().unwrap_or_else(PoisonError::into_inner).kill();
            }
        });
        Ok(())
    }

    /// Payload that all seeders have sent so far, the dead ones' included.
    pub fn sent(&mut self) -> Result<u64, Trouble> {
        let mut sent = 0;
        if let Some(stay) = &mut self.stay {
            sent += stay.sent()?;
        }
        if let Some(leave) = &self.leave {
            sent += leave.lock().unwrap_or_else(PoisonError::into_inner).sent()?;
        }
        Ok(sent)
    }
}

/// `127.0.x.y`: one address a peer, as one connection an address wants it.
fn address(net: u8, index: usize) -> Ipv4Addr {
    Ipv4Addr::new(127, 0, net, index as u8 + 1)
}

/// One process of seeders.
struct Seeders {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
    /// Index in the plan, and port.
    ports: Vec<(usize, u16)>,
    /// What was sent, of a process that has been killed.
    last_words: Option<u64>,
}

impl Seeders {
    fn start(python: &Path, content: &Content, peers: &[(usize, &PeerPlan)]) -> Result<Self, Trouble> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/swarm/seeders.py");
        let mut child =
            Command::new(python).arg(script).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let stdin = child.stdin.take().ok_or("no pipe")?;
        let stdout = BufReader::new(child.stdout.take().ok_or("no pipe")?);
        let mut seeders = Self { child, stdin, stdout, ports: Vec::new(), last_words: None };
        let truth = content.file.parent().ok_or("the file has no directory")?;
        let seeds: Vec<_> = peers
            .iter()
            .map(|(index, peer)| {
                json!({
                    "ip": address(2, *index),
                    "rate": peer.rate,
                    "chokes": peer.chokes,
                    "lies": peer.lies,
                    "folder": if peer.lies { &content.lies } else { truth },
                })
            })
            .collect();
        let order = json!({ "torrent": content.metainfo, "seeds": seeds });
        let ports: Vec<u16> = serde_json::from_str(&seeders.ask(&order.to_string())?)?;
        seeders.ports = peers.iter().map(|(index, _)| *index).zip(ports).collect();
        Ok(seeders)
    }

    fn ask(&mut self, line: &str) -> Result<String, Trouble> {
        writeln!(self.stdin, "{line}")?;
        let mut answer = String::new();
        if self.stdout.read_line(&mut answer)? == 0 {
            return Err("the seeders have died".into());
        }
        Ok(answer)
    }

    fn sent(&mut self) -> Result<u64, Trouble> {
        if let Some(sent) = self.last_words {
            return Ok(sent);
        }
        let each: Vec<u64> = serde_json::from_str(&self.ask("sent")?)?;
        Ok(each.iter().sum())
    }

    /// As a machine that loses its power, but for the kernel, which closes the connections.
    fn kill(&mut self) {
        self.last_words = self.sent().ok();
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Seeders {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
