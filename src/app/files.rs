//! The limit on open files, and who may take how many of them: connections, peers, and whatever else.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Of the program itself: its listeners and runtimes, tables and logs, 128 visitors that have not said yet what they want,
/// and what is open for a moment.
const OWN: u64 = 256;
/// Of a torrent: its runtime, its locks, its have-map, the file that is written and read, and its first dials.
const TORRENT: u64 = 16;
/// Of a peer: its socket, and both ends of the connection over which librqbit has it.
const PEER: u64 = 3;
/// Of what is left for connections and peers, peers have this part for themselves.
const PEERS_PART: u64 = 3;
/// So many there are of each, whatever the limit says.
const LEAST: u64 = 16;

/// How many there may be at once. A connection takes one file: all that is sent of a torrent's file is read from one.
#[derive(Debug, PartialEq, Eq)]
pub struct Shares {
    /// Connections.
    pub connections: usize,
    /// Peers of all torrents.
    pub peers: usize,
}

impl Shares {
    /// Under a limit on open files, for so many torrents: connections as they are wanted, and peers in what they leave.
    pub fn of(limit: u64, torrents: usize, wanted: usize) -> Self {
        let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
        let others = TORRENT.saturating_mul(count(torrents)).saturating_add(OWN);
        let left = limit.saturating_sub(others);
        let connections = count(wanted).min((left - left / PEERS_PART).max(LEAST));
        let peers = (left.saturating_sub(connections) / PEER).max(LEAST);
        let fitting = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
        Self { connections: fitting(connections), peers: fitting(peers) }
    }
}

/// The limit, raised as far as it goes.
pub fn limit() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    let files = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        Err(_) => limit.current,
    };
    files.unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Files that all of them take at once.
    fn taken(shares: &Shares, torrents: u64) -> u64 {
        OWN + TORRENT * torrents + PEER * shares.peers as u64 + shares.connections as u64
    }

    #[test]
    fn nobody_takes_a_file_that_is_somebody_elses() {
        for limit in [1024, 4096, 20_000, 1 << 20] {
            for wanted in [1, 100, 4096, 12_000, usize::MAX] {
                let shares = Shares::of(limit, 25, wanted);
                assert!(taken(&shares, 25) <= limit, "{shares:?} under {limit}");
            }
        }
    }

    #[test]
    fn connections_are_as_many_as_are_wanted_and_peers_have_their_third() {
        assert_eq!(Shares::of(20_000, 25, 12_000), Shares { connections: 12_000, peers: 2448 });
        assert_eq!(Shares::of(4096, 25, 4096), Shares { connections: 2294, peers: 382 });
        assert_eq!(Shares::of(1024, 25, 4096), Shares { connections: 246, peers: 40 });
        assert_eq!(Shares::of(64, 25, 4096), Shares { connections: 16, peers: 16 });
        let endless = Shares::of(u64::MAX, usize::MAX, 4096);
        assert_eq!(endless.connections, 16, "torrents have taken it all");
        assert!(Shares::of(u64::MAX, 25, 4096).peers > 1 << 40);
    }
}
