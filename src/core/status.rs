//! What an attempt is doing right now, as values: the core fills it in, whoever shows progress reads it.

use std::{
    fmt,
    net::SocketAddr,
    sync::{Arc, OnceLock},
    time::Duration,
};

use serde::ser::{Serialize, SerializeMap, Serializer};
use tokio::{sync::watch, time::Instant};

use super::reasons::{self, Reason};

/// What a stream waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// What the source says, and what the disk has, is being read.
    #[default]
    Source,
    /// No peer has been reached yet.
    Peers,
    /// A peer was reached; the info dictionary is on its way.
    Metadata,
    /// The torrent is known; the first piece is on its way.
    FirstPiece,
    /// Bytes flow.
    Streaming,
}

/// What a peer does, or why it does nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PeerState {
    /// It was named, and is not dialled yet.
    Waiting,
    /// It is being dialled, or dialled anew.
    Connecting,
    /// It answered, and is asked what the torrent is.
    Greeted,
    /// It does not let us ask.
    Choked,
    /// It lets us ask, and is asked for nothing.
    Unchoked,
    /// It is asked for blocks, and brings them.
    Sending,
    /// It was asked for blocks, and brings none.
    Silent,
    /// It could not be reached, or would not talk.
    Refused,
    /// It was there, and is gone.
    Left,
    /// It sent bad blocks.
    Banned,
}

/// Who named a peer first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PeerSource {
    /// Whoever asks for the torrent, or our memory of who brought it before.
    Named,
    /// A tracker.
    Tracker,
    /// The DHT.
    Dht,
    /// The local network.
    Lan,
}

/// One peer of a torrent.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct PeerReport {
    /// Where it is.
    pub address: SocketAddr,
    /// Who named it, where that is known: what its peers tell librqbit, only librqbit knows.
    pub source: Option<PeerSource>,
    /// Whether it dialled us: then the port is the connection's, and not one where it could be dialled.
    pub incoming: bool,
    /// What it calls itself (foreign text: escape before showing).
    pub client: Option<String>,
    /// What it does.
    pub state: PeerState,
    /// Why it brings nothing, where it does not.
    pub reason: Option<Reason>,
    /// Bytes a second while it is asked, as far as known.
    pub rate: Option<u64>,
    /// Bytes of blocks that it brought.
    pub received: u64,
}

impl PeerReport {
    /// Of whom there is no connection: nothing came.
    pub fn absent(address: SocketAddr, state: PeerState, reason: Option<Reason>) -> Self {
        PeerReport {
            address,
            source: None,
            incoming: false,
            client: None,
            state,
            reason,
            rate: None,
            received: 0,
        }
    }
}

/// How far the search for peers, and for what the torrent is, has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Discovery {
    /// Round of the attempt, from 1; 0 when none was needed.
    pub round: u32,
    /// How many rounds there can be.
    pub rounds: u32,
    /// DHT nodes in the routing table now; `None` when the DHT is off.
    pub dht_nodes: Option<usize>,
    /// Trackers asked.
    pub trackers: usize,
    /// Trackers that answered.
    pub trackers_answered: usize,
    /// Trackers that failed.
    pub trackers_failed: usize,
    /// Bytes of the info dictionary fetched by the peer that is furthest.
    pub metadata_bytes: u64,
}

/// How far the look at what an earlier run left has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct Checking {
    /// Bytes looked at.
    pub done: u64,
    /// Bytes to be looked at.
    pub of: u64,
}

/// Such a look: told of until it is dropped.
#[derive(Debug)]
pub struct Check(watch::Sender<Status>);

impl Check {
    /// So many bytes are going to be looked at.
    pub fn begin(status: &watch::Sender<Status>, of: u64) -> Self {
        status.send_modify(|status| status.checking = Some(Checking { done: 0, of }));
        Check(status.clone())
    }

    /// So many more of them were.
    pub fn advance(&self, bytes: u64) {
        self.0.send_modify(|status| {
            if let Some(checking) = &mut status.checking {
                checking.done += bytes;
            }
        });
    }
}

impl Drop for Check {
    fn drop(&mut self) {
        self.0.send_modify(|status| status.checking = None);
    }
}

/// A snapshot; counts are totals of this attempt unless they say "now".
#[derive(Debug, Clone, Default, serde::Serialize)]
pub struct Status {
    /// What the stream waits for.
    pub phase: Phase,
    /// How the search goes, or went.
    #[serde(flatten)]
    pub discovery: Discovery,
    /// Peer addresses learnt.
    pub peers_seen: usize,
    /// Peers being dialled now.
    pub peers_connecting: usize,
    /// Peers connected now.
    pub peers_connected: usize,
    /// Peers that let us ask now.
    pub peers_unchoked: usize,
    /// Peers that have sent data.
    pub peers_sending: usize,
    /// Each of them, and those that were not reached. Serialized: what they do, in a few words.
    #[serde(rename = "peers_doing", serialize_with = "in_a_line")]
    pub peers: Arc<[PeerReport]>,
    /// The file's name, once known (foreign text: escape before showing).
    pub name: Option<String>,
    /// Bytes that this stream will deliver, once known.
    pub total: Option<u64>,
    /// Bytes delivered so far.
    pub delivered: u64,
    /// The look at what an earlier run left, while there is one.
    pub checking: Option<Checking>,
    /// Bytes of the file verified on disk.
    pub verified: u64,
    /// Bytes a second from the swarm now.
    pub download_rate: u64,
    /// Bytes a second to the swarm now.
    pub upload_rate: u64,
    /// The piece that the reader waits for, when it waits.
    pub waiting_for_piece: Option<u32>,
    /// The latest thing that went wrong without ending the attempt (foreign text: escape before showing).
    pub trouble: Option<String>,
    /// When what first happened on the way to the first byte.
    pub timeline: Arc<Timeline>,
    /// How long the attempt has been running.
    #[serde(skip)]
    pub elapsed: Duration,
}

fn in_a_line<S: Serializer>(peers: &Arc<[PeerReport]>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&reasons::in_a_line(peers))
}

/// What happens once on the way to the first byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Milestone {
    /// The session is there: sockets, DHT, TLS.
    Session,
    /// A peer completed the handshake.
    Peer,
    /// The info dictionary is there.
    Metadata,
    /// A peer lets us ask.
    Unchoked,
    /// A block is on disk.
    Block,
    /// A piece is verified.
    Piece,
}

impl Milestone {
    const ALL: [(Milestone, &str); 6] = [
        (Milestone::Session, "session"),
        (Milestone::Peer, "peer"),
        (Milestone::Metadata, "metadata"),
        (Milestone::Unchoked, "unchoked"),
        (Milestone::Block, "block"),
        (Milestone::Piece, "piece"),
    ];
}

/// When each [`Milestone`] was first passed, since the attempt began. As text or serialized: milliseconds.
#[derive(Debug)]
pub struct Timeline {
    began: Instant,
    passed: [OnceLock<Duration>; Milestone::ALL.len()],
}

impl Default for Timeline {
    fn default() -> Self {
        Timeline { began: Instant::now(), passed: Default::default() }
    }
}

impl Timeline {
    /// A milestone is passed now, unless it was before.
    pub fn pass(&self, milestone: Milestone) {
        self.passed[milestone as usize].get_or_init(|| self.began.elapsed());
    }

    fn milliseconds(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        let passed = |(milestone, name): (Milestone, &'static str)| {
            Some((name, self.passed[milestone as usize].get()?.as_millis() as u64))
        };
        Milestone::ALL.into_iter().filter_map(passed)
    }
}

impl Serialize for Timeline {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        self.milliseconds().try_for_each(|(name, at)| map.serialize_entry(name, &at))?;
        map.end()
    }
}

impl fmt::Display for Timeline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut comma = "";
        self.milliseconds()
            .try_for_each(|(name, at)| write!(f, "{}{name} {at} ms", std::mem::replace(&mut comma, ", ")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_milestone_is_passed_once_and_what_did_not_happen_is_not_told() {
        let timeline = Timeline::default();
        for (wait, milestone) in [(17, Milestone::Session), (20, Milestone::Piece), (9, Milestone::Piece)] {
            tokio::time::advance(Duration::from_millis(wait)).await;
            timeline.pass(milestone);
        }
        assert_eq!(timeline.to_string(), "session 17 ms, piece 37 ms");
        assert_eq!(serde_json::to_string(&timeline).unwrap(), r#"{"session":17,"piece":37}"#);
    }
}
