//! What a swarm consists of, and what its rates alone allow.

use std::time::Duration;

/// A swarm on paper.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Length of the file.
    pub size: u64,
    /// Length of a piece.
    pub piece: u64,
    /// Who is in it.
    pub peers: Vec<PeerPlan>,
    /// When those who leave are killed, in seconds after the contestant's start.
    pub leave_at: f64,
    /// The file is a film of about that length, in this container; random bytes otherwise.
    pub container: Option<&'static str>,
}

/// One seeder.
#[derive(Debug, Clone, Default)]
pub struct PeerPlan {
    /// Payload bytes a second; 0 is as fast as it can.
    pub rate: u64,
    /// Round trip to it.
    pub rtt: Duration,
    /// When it chokes: from, to, in seconds after the contestant's start.
    pub chokes: Vec<(f64, f64)>,
    /// Whether every block that it sends is wrong.
    pub lies: bool,
    /// Whether it is killed at [`Plan::leave_at`].
    pub leaves: bool,
}

impl PeerPlan {
    /// A seeder with this rate and no quirk.
    pub fn rated(rate: u64) -> Self {
        Self { rate, ..Self::default() }
    }

    fn choked_at(&self, second: f64) -> bool {
        self.chokes.iter().any(|&(from, to)| from <= second && second < to)
    }
}

impl Plan {
    /// A swarm of seeders that stay.
    pub fn new(size: u64, piece: u64, peers: Vec<PeerPlan>) -> Self {
        Self { size, piece, peers, leave_at: f64::INFINITY, container: None }
    }

    /// Useful bytes a second that are to be had then: of everyone who is there, honest and does not choke.
    fn rate_at(&self, second: f64) -> f64 {
        let gives = |peer: &&PeerPlan| {
            !(peer.lies || peer.leaves && second >= self.leave_at || peer.choked_at(second))
        };
        self.peers.iter().filter(gives).map(|peer| peer.rate as f64).sum()
    }

    /// The least time in which so many bytes can come, counted from `start`: when the sum of all rates has
    /// delivered them. `None` where somebody has no limit.
    pub fn limit(&self, bytes: u64, start: f64) -> Option<f64> {
        if self.peers.iter().any(|peer| peer.rate == 0) {
            return None;
        }
        let (mut now, mut left) = (start, bytes as f64);
        for change in self.changes_after(start) {
            let rate = self.rate_at(now);
            if left <= rate * (change - now) {
                break;
            }
            left -= rate * (change - now);
            now = change;
        }
        Some(now + left / self.rate_at(now) - start)
    }

    /// The most that can have come by this second.
    pub fn allowed(&self, second: f64) -> f64 {
        let (mut now, mut bytes) = (0.0, 0.0);
        for change in self.changes_after(0.0).into_iter().chain([f64::INFINITY]) {
            bytes += self.rate_at(now) * (change.min(second) - now);
            now = change;
            if now >= second {
                break;
            }
        }
        bytes
    }

    /// What the swarm gives in the mean while it sends the whole file.
    pub fn mean_rate(&self) -> Option<f64> {
        Some(self.size as f64 / self.limit(self.size, 0.0)?)
    }

    fn changes_after(&self, start: f64) -> Vec<f64> {
        let chokes = self.peers.iter().flat_map(|peer| &peer.chokes).flat_map(|&(from, to)| [from, to]);
        let mut changes: Vec<f64> =
            chokes.chain([self.leave_at]).filter(|change| *change > start && change.is_finite()).collect();
        changes.sort_by(f64::total_cmp);
        changes
    }
}
