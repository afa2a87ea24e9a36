//! The swarm: this program once more, as a seeder in a process of its own.

use std::{
    env,
    io::{BufRead, BufReader, Read},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use crate::seeder::{self, Hash, Seeder, Torrent, Trouble};

/// Tells the program to seed, with this length of a piece, the file in its current directory.
const ORDER: &str = "SIDE_BY_SIDE_SEED";

/// A seeder in its own process, stopped when dropped.
pub struct Swarm {
    /// The v1 info hash in hexadecimal.
    pub info_hash: String,
    /// The seeder's address.
    pub peer: String,
    /// Length of the file.
    pub size: u64,
    hash: Hash,
    child: Child,
}

impl Swarm {
    /// Makes `size` random bytes under `home` and starts to seed them.
    pub fn start(home: &Path, size: u64, piece: u64) -> Result<Self, Trouble> {
        let folder = home.join("seeded");
        std::fs::create_dir(&folder)?;
        let hash = seeder::write_random(&folder.join("random.bin"), size)?;
        let mut child = Command::new(env::current_exe()?)
            .env(ORDER, piece.to_string())
            .current_dir(&folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().ok_or("no pipe")?).read_line(&mut line)?;
        let (info_hash, peer) = line.trim().split_once(' ').ok_or("the seeder did not start")?;
        Ok(Self { info_hash: info_hash.to_owned(), peer: peer.to_owned(), size, hash, child })
    }

    /// Whether these are the seeded bytes.
    pub fn check(&self, (len, hash): (u64, Hash)) -> Result<(), Trouble> {
        if (len, hash) == (self.size, self.hash) {
            return Ok(());
        }
        Err(format!("wrong bytes: {len} of {} arrived, or not as they were", self.size).into())
    }

    /// The magnet without a tracker.
    pub fn magnet(&self) -> String {
        format!("magnet:?xt=urn:btih:{}", self.info_hash)
    }
}

impl Drop for Swarm {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The piece length, when this process was started to seed.
pub fn seeding() -> Option<String> {
    env::var(ORDER).ok()
}

/// Seeds the file in the current directory until stdin ends. On one thread: that is what costs librqbit the
/// least, and leaves the most of the machine to those who are measured.
pub fn seed(piece: &str) -> Result<(), Trouble> {
    let piece: u64 = piece.parse()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let file: PathBuf = env::current_dir()?.join("random.bin");
        let torrent = Torrent::of(&file, piece)?;
        let seeder = Seeder::start(&torrent).await?;
        println!("{} {}", torrent.info_hash, seeder.address);
        tokio::task::spawn_blocking(|| std::io::stdin().read(&mut [0])).await??;
        Ok(())
    })
}
