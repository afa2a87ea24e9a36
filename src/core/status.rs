//! What an attempt is doing right now, as values: the core fills it in, whoever shows progress reads it.

use std::time::Duration;

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

/// A snapshot; counts are totals of this attempt unless they say "now".
#[derive(Debug, Clone, Default, serde::Serialize)]
pub struct Status {
    /// What the stream waits for.
    pub phase: Phase,
    /// Round of the attempt, from 1, and how many there can be.
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
    /// Bytes of the info dictionary fetched by the peer that is furthest.
    pub metadata_bytes: u64,
    /// The file's name, once known (foreign text: escape before showing).
    pub name: Option<String>,
    /// Bytes that this stream will deliver, once known.
    pub total: Option<u64>,
    /// Bytes delivered so far.
    pub delivered: u64,
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
    /// How long the attempt has been running.
    #[serde(skip)]
    pub elapsed: Duration,
}
