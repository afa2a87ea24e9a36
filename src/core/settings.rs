//! Settings with their defaults. Where they come from (flag, environment, file) is not known here.

use std::{net::SocketAddr, num::NonZeroU32, ops::RangeInclusive, path::PathBuf, time::Duration};

use url::Url;

/// Of a disk, this part is left free unless somebody says otherwise: one twentieth,
const MIN_FREE_PART: u64 = 20;
/// but so much on a small one, for the system to go on, and no more on a large one, where it protects nobody.
const MIN_FREE: RangeInclusive<u64> = 256 << 20..=4 << 30;

/// Torrents open at once: the seed's "max connections".
const MAX_TORRENTS: usize = 25;

/// Everything the core can be told.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where torrents are kept while they are streamed.
    pub temp_dir: PathBuf,
    /// Where the failed-torrent table and the DHT's nodes are kept.
    pub state_dir: PathBuf,
    /// How peers are found and talked to.
    pub swarm: SwarmSettings,
    /// How long to wait for what.
    pub waits: Waits,
    /// How long a failed torrent is left alone.
    pub cooldown: CooldownSettings,
    /// Free bytes that the temp directory's file system keeps, whatever is streamed; `None` for what suits its size.
    pub min_free: Option<u64>,
    /// Torrents open at once at most; one that nobody reads gives way to a new one.
    pub max_torrents: usize,
    /// Bytes that all torrents together may take on the disk.
    pub max_disk: Option<u64>,
    /// Delete torrents that nobody reads, the longest unread first, when room is needed for another.
    pub evict_idle: bool,
    /// What a second process is told that this one is doing, when it wants the same torrent.
    pub doing: &'static str,
}

/// How peers are found and talked to.
#[derive(Debug, Clone)]
pub struct SwarmSettings {
    /// Peers to dial whatever else is known.
    pub peers: Vec<SocketAddr>,
    /// Trackers asked from the first round on, beside the source's own.
    pub trackers: Vec<Url>,
    /// Trackers for the later rounds, in order.
    pub fallback_trackers: Vec<Url>,
    /// Ask trackers at all.
    pub use_trackers: bool,
    /// Ask the DHT.
    pub dht: bool,
    /// DHT nodes (`host:port`) to start from; empty: the well-known ones.
    pub dht_bootstrap: Vec<String>,
    /// Local service discovery (multicast).
    pub lsd: bool,
    /// Give pieces back to the swarm.
    pub upload: bool,
    /// TCP port for incoming peers; 0: any free one.
    pub listen_port: u16,
    /// Connected peers per torrent at most.
    pub peer_limit: usize,
    /// Peers of all torrents together at most.
    pub peers_in_all: usize,
    /// Bytes a second down.
    pub download_limit: Option<NonZeroU32>,
    /// Bytes a second up.
    pub upload_limit: Option<NonZeroU32>,
    /// SOCKS5 proxy for peers and HTTP trackers; turns off what cannot go through it (DHT, UDP trackers, LSD).
    pub proxy: Option<Url>,
    /// Network device to bind to.
    pub bind_device: Option<String>,
    /// Never use IPv6.
    pub ipv4_only: bool,
    /// Tell neither peers nor trackers which program asks.
    pub anonymous: bool,
    /// Whoever asks may be a stranger: reach nothing in private networks but the peers and trackers named here.
    pub public_only: bool,
}

/// How long to wait for what.
#[derive(Debug, Clone, Copy)]
pub struct Waits {
    /// Without one reached peer, give up after this.
    pub peer_timeout: Duration,
    /// Without a first byte, give up after this.
    pub timeout: Duration,
    /// While streaming, without a new piece that a reader waits for, give up after this.
    pub stall_timeout: Duration,
    /// Rounds of one attempt, each with another set of trackers.
    pub max_retries: u32,
}

/// How long a failed torrent is left alone.
#[derive(Debug, Clone, Copy)]
pub struct CooldownSettings {
    /// After `no_peers`.
    pub no_peers: Duration,
    /// After `timeout`.
    pub timeout: Duration,
    /// After `connection_error`.
    pub connection_error: Duration,
    /// After `bad_torrent`.
    pub bad_torrent: Duration,
    /// What each consecutive failure multiplies it with; 1 keeps it flat.
    pub backoff: u32,
    /// Where the multiplying ends.
    pub max: Duration,
    /// Whom a failure keeps waiting.
    pub scope: CooldownScope,
}

/// Whom a failure keeps waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CooldownScope {
    /// Everybody who asks for the torrent.
    #[default]
    Global,
    /// Only the client address that it failed for.
    Client,
}

impl Settings {
    /// The defaults, with these directories.
    pub fn new(temp_dir: impl Into<PathBuf>, state_dir: impl Into<PathBuf>) -> Self {
        Self {
            temp_dir: temp_dir.into(),
            state_dir: state_dir.into(),
            swarm: SwarmSettings::default(),
            waits: Waits::default(),
            cooldown: CooldownSettings::default(),
            min_free: None,
            max_torrents: MAX_TORRENTS,
            max_disk: None,
            evict_idle: false,
            doing: "another program",
        }
    }

    /// Free bytes that a file system of so many bytes keeps.
    pub fn free_floor(&self, disk: u64) -> u64 {
        let suitable = (disk / MIN_FREE_PART).clamp(*MIN_FREE.start(), *MIN_FREE.end());
        self.min_free.unwrap_or(suitable)
    }
}

impl Default for SwarmSettings {
    fn default() -> Self {
        Self {
            peers: Vec::new(),
            trackers: Vec::new(),
            fallback_trackers: Vec::new(),
            use_trackers: true,
            dht: true,
            dht_bootstrap: Vec::new(),
            lsd: false,
            upload: true,
            listen_port: 0,
            peer_limit: 128,
            peers_in_all: usize::MAX,
            download_limit: None,
            upload_limit: None,
            proxy: None,
            bind_device: None,
            ipv4_only: false,
            anonymous: false,
            public_only: false,
        }
    }
}

impl Default for Waits {
    fn default() -> Self {
        Self {
            peer_timeout: Duration::from_secs(60),
            timeout: Duration::from_secs(120),
            stall_timeout: Duration::from_secs(60),
            max_retries: 4,
        }
    }
}

impl Default for CooldownSettings {
    fn default() -> Self {
        Self {
            no_peers: Duration::from_secs(5 * 60),
            timeout: Duration::from_secs(10 * 60),
            connection_error: Duration::from_secs(2 * 60),
            bad_torrent: Duration::from_secs(60 * 60),
            backoff: 2,
            max: Duration::from_secs(60 * 60),
            scope: CooldownScope::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_keeps_what_suits_its_size_or_what_somebody_says() {
        let mut settings = Settings::new("temp", "state");
        let floors = [1, 1 << 30, 40 << 30, 1 << 40].map(|disk| settings.free_floor(disk));
        assert_eq!(floors, [256 << 20, 256 << 20, 2 << 30, 4 << 30]);
        settings.min_free = Some(0);
        assert_eq!(settings.free_floor(1 << 40), 0);
    }
}
