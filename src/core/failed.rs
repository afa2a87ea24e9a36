//! The failed-torrent table.

/// Why a torrent failed; each kind has its own cooldown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// Not one peer was reached.
    NoPeers,
    /// Peers were there, but no byte came in time.
    Timeout,
    /// Peers answered, but none would talk.
    ConnectionError,
    /// The torrent itself is broken.
    BadTorrent,
}
