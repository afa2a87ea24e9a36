//! The scenarios: which swarm, and what is asked of it.

use std::time::Duration;

use rand::{Rng, SeedableRng, rngs::StdRng, seq::SliceRandom};

use crate::plan::{PeerPlan, Plan};

const MIB: u64 = 1 << 20;
const KB: u64 = 1000;
const MB: u64 = 1000 * KB;

/// A swarm and a task.
pub struct Scenario {
    /// As it is asked for.
    pub name: &'static str,
    /// In words.
    pub about: &'static str,
    /// The swarm.
    pub plan: Plan,
    /// The task.
    pub work: Work,
    /// A run that takes longer has failed.
    pub patience: Duration,
}

/// What a contestant has to do.
#[derive(Debug, Clone, Copy)]
pub enum Work {
    /// The first 32 MB in order.
    Head,
    /// 8 MB from the start, and then 1 MB from each of these places.
    Seeks(&'static [u64]),
    /// Everything.
    Whole,
    /// The whole file, as a player takes it that needs this share of what the swarm gives in the mean.
    Film { share: f64 },
    /// 1 MB each at so many evenly spread places at once.
    Readers(u64),
    /// A player shows its first frame, from this second of the film on.
    Frame(Player, u32),
}

/// What plays.
#[derive(Debug, Clone, Copy)]
pub enum Player {
    /// ffmpeg, and so whatever is made of its libraries.
    Ffmpeg,
    /// mpv.
    Mpv,
}

impl Work {
    /// Whether one stream from the start is not enough for it.
    pub fn seeks(self) -> bool {
        matches!(self, Work::Seeks(_) | Work::Readers(_)) || self.is_played()
    }

    /// Whether somebody else's program reads it, from a URL.
    pub fn is_played(self) -> bool {
        matches!(self, Work::Frame(..))
    }
}

/// Every scenario.
pub fn all() -> Vec<Scenario> {
    let scenario = |name, about, plan, work, patience| Scenario {
        name,
        about,
        plan,
        work,
        patience: Duration::from_secs(patience),
    };
    vec![
        scenario(
            "one-fast",
            "one seed without a limit, 1 GiB in pieces of 4 MiB: the whole file",
            Plan::new(1024 * MIB, 4 * MIB, vec![PeerPlan::rated(0)]),
            Work::Whole,
            60,
        ),
        scenario(
            "unequal",
            "8 peers of 2000 to 100 KB/s, 256 MiB in pieces of 8 MiB",
            unequal(8 * MIB),
            Work::Head,
            120,
        ),
        scenario(
            "unequal-seek",
            "the same swarm: to 200 MB after 8 MB",
            unequal(8 * MIB),
            Work::Seeks(&[200 * MB]),
            120,
        ),
        scenario(
            "far-seek",
            "the same peers, 1 GiB: to 900 MB after 8 MB, where nobody has been before",
            Plan { size: 1024 * MIB, ..unequal(8 * MIB) },
            Work::Seeks(&[900 * MB]),
            120,
        ),
        scenario(
            "three-seeks",
            "the same: to 900, 500 and 700 MB after 8 MB",
            Plan { size: 1024 * MIB, ..unequal(8 * MIB) },
            Work::Seeks(&[900 * MB, 500 * MB, 700 * MB]),
            180,
        ),
        scenario("big-pieces", "the same peers, pieces of 16 MiB", unequal(16 * MIB), Work::Head, 120),
        scenario(
            "film",
            "the same peers, pieces of 2 MiB: a film at 60 % of their rate",
            Plan::new(128 * MIB, 2 * MIB, unequal(MIB).peers),
            Work::Film { share: 0.6 },
            120,
        ),
        scenario(
            "heavy-tail",
            "30 heavy-tailed peers 20 to 200 ms away, 10 of them choking for seconds, 192 MiB in pieces of 4 MiB: \
             a film at 60 % of their rate",
            heavy_tail(),
            Work::Film { share: 0.6 },
            180,
        ),
        scenario(
            "liar",
            "three honest peers and a liar of 2000 KB/s each, 96 MiB in pieces of 1 MiB: the whole file",
            liar(true),
            Work::Whole,
            120,
        ),
        scenario("liar-absent", "the same without the liar", liar(false), Work::Whole, 120),
        scenario(
            "churn",
            "8 peers of 1000 KB/s, of which 4 are killed after 6 s, 96 MiB in pieces of 2 MiB: the whole file",
            churn(),
            Work::Whole,
            120,
        ),
        scenario(
            "ten-readers",
            "8 unequal peers, 256 MiB in pieces of 1 MiB, ten readers at as many places",
            unequal(MIB),
            Work::Readers(10),
            120,
        ),
        scenario(
            "first-frame",
            "the 8 unequal peers, a real mp4 of 252 MiB in pieces of 8 MiB, its index at the end: ffmpeg's first frame",
            film_of("mp4"),
            Work::Frame(Player::Ffmpeg, 0),
            120,
        ),
        scenario(
            "first-frame-mpv",
            "the same: mpv's first frame",
            film_of("mp4"),
            Work::Frame(Player::Mpv, 0),
            120,
        ),
        scenario(
            "resumed-frame",
            "the same with an mkv, its index at the end: ffmpeg's first frame when it begins at 10 min",
            film_of("mkv"),
            Work::Frame(Player::Ffmpeg, 600),
            120,
        ),
    ]
}

fn unequal(piece: u64) -> Plan {
    let rates = [2000, 2000, 1000, 1000, 500, 500, 250, 100];
    Plan::new(256 * MIB, piece, rates.map(|rate| PeerPlan::rated(rate * KB)).into())
}

/// Such that the last piece, where the index is, is half a piece: the mean of what films have.
fn film_of(container: &'static str) -> Plan {
    Plan { size: 252 * MIB, container: Some(container), ..unequal(8 * MIB) }
}

fn liar(present: bool) -> Plan {
    let mut peers = vec![PeerPlan::rated(2000 * KB); 3];
    if present {
        peers.push(PeerPlan { lies: true, ..PeerPlan::rated(2000 * KB) });
    }
    Plan::new(96 * MIB, MIB, peers)
}

fn churn() -> Plan {
    let peer = |index| PeerPlan { leaves: index % 2 == 1, ..PeerPlan::rated(1000 * KB) };
    Plan { leave_at: 6.0, ..Plan::new(96 * MIB, 2 * MIB, (0..8).map(peer).collect()) }
}

/// Rates that fall with the rank (1.7 MB/s over rank, as uplinks do in the wild), distances that do not go with
/// them; every third peer gives for 4 to 9 s and chokes for 2 to 5 s, the first of them from the start. The same
/// in every run.
fn heavy_tail() -> Plan {
    const PEERS: u64 = 30;
    const HORIZON: f64 = 200.0;
    let mut random = StdRng::seed_from_u64(30);
    let mut distances: Vec<u64> = (0..PEERS).map(|index| 20 + 180 * index / (PEERS - 1)).collect();
    distances.shuffle(&mut random);
    let mut peers = Vec::new();
    for (rank, distance) in (1..=PEERS).zip(distances) {
        let mut peer = PeerPlan::rated((1700 * KB / rank).max(60 * KB));
        peer.rtt = Duration::from_millis(distance);
        if rank % 3 == 2 {
            let mut second = if rank == 2 { 0.0 } else { random.random_range(0.0..6.0) };
            while second < HORIZON {
                let end = second + random.random_range(2.0..5.0);
                peer.chokes.push((second, end));
                second = end + random.random_range(4.0..9.0);
            }
        }
        peers.push(peer);
    }
    Plan::new(192 * MIB, 4 * MIB, peers)
}
