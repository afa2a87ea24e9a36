//! One source of settings: everything it may say, each of it optional.

use std::{
    net::{IpAddr, SocketAddr},
    num::NonZeroU32,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::Deserialize;
use url::Url;

use super::{Directories, LogFormat, ProgressMode, file::de};
use crate::core::settings::CooldownScope;
use crate::http::{guard::HostName, listen::Place, token::Token};

/// What one source says; what it leaves out, the next one decides.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a table")]
pub struct Layer {
    /// Where torrents are kept while they are streamed.
    pub temp_dir: Option<PathBuf>,
    /// Where the failed-torrent table is kept.
    pub state_dir: Option<PathBuf>,
    /// Free bytes that the disk keeps.
    #[serde(deserialize_with = "de::size")]
    pub min_free: Option<u64>,
    /// Bytes that all torrents together may take.
    #[serde(deserialize_with = "de::size")]
    pub max_disk: Option<u64>,
    /// Torrents open at once.
    #[serde(deserialize_with = "de::peer_limit")]
    pub max_torrents: Option<usize>,
    /// Nothing but errors.
    pub quiet: Option<bool>,
    /// How much is logged.
    pub verbose: Option<u8>,
    /// The form of log lines.
    #[serde(deserialize_with = "de::log_format")]
    pub log_format: Option<LogFormat>,
    /// The form of progress.
    #[serde(deserialize_with = "de::progress")]
    pub progress: Option<ProgressMode>,
    /// How peers are found and talked to.
    pub swarm: SwarmLayer,
    /// How long to wait for what.
    pub waits: WaitsLayer,
    /// How `serve` serves.
    pub serve: ServeLayer,
    /// How long a failed torrent is left alone.
    pub cooldown: CooldownLayer,
}

/// How peers are found and talked to; see [`SwarmSettings`](crate::core::settings::SwarmSettings).
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a table")]
#[expect(missing_docs, reason = "the fields are those of SwarmSettings")]
pub struct SwarmLayer {
    #[serde(deserialize_with = "de::peers")]
    pub peers: Option<Vec<SocketAddr>>,
    #[serde(deserialize_with = "de::trackers")]
    pub trackers: Option<Vec<Url>>,
    pub trackers_file: Option<PathBuf>,
    pub use_trackers: Option<bool>,
    pub dht: Option<bool>,
    #[serde(deserialize_with = "de::hosts")]
    pub dht_bootstrap: Option<Vec<String>>,
    pub lsd: Option<bool>,
    pub upload: Option<bool>,
    #[serde(deserialize_with = "de::port")]
    pub listen_port: Option<u16>,
    #[serde(deserialize_with = "de::peer_limit")]
    pub peer_limit: Option<usize>,
    #[serde(deserialize_with = "de::rate")]
    pub download_limit: Option<NonZeroU32>,
    #[serde(deserialize_with = "de::rate")]
    pub upload_limit: Option<NonZeroU32>,
    #[serde(deserialize_with = "de::proxy")]
    pub proxy: Option<Url>,
    #[serde(deserialize_with = "de::device")]
    pub bind_device: Option<String>,
    pub ipv4_only: Option<bool>,
    /// No DHT, no local discovery, no upload, no name: whatever else is said.
    pub private: Option<bool>,
}

/// How long to wait for what; see [`Waits`](crate::core::settings::Waits).
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a table")]
#[expect(missing_docs, reason = "the fields are those of Waits")]
pub struct WaitsLayer {
    #[serde(deserialize_with = "de::duration")]
    pub peer_timeout: Option<Duration>,
    #[serde(deserialize_with = "de::duration")]
    pub timeout: Option<Duration>,
    #[serde(deserialize_with = "de::duration")]
    pub stall_timeout: Option<Duration>,
    #[serde(deserialize_with = "de::count")]
    pub max_retries: Option<NonZeroU32>,
}

/// How `serve` serves; see [`Serving`](crate::http::serving::Serving).
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a table")]
pub struct ServeLayer {
    /// Addresses and Unix sockets to listen at.
    #[serde(deserialize_with = "de::places")]
    pub listen: Option<Vec<Place>>,
    /// The secret.
    #[serde(deserialize_with = "de::token")]
    pub token: Option<Token>,
    /// What the server is called from outside.
    #[serde(deserialize_with = "de::http_url")]
    pub public_url: Option<Url>,
    /// Further names of the server.
    #[serde(deserialize_with = "de::host_names")]
    pub allow_hosts: Option<Vec<HostName>>,
    /// Sites whose pages may use it.
    #[serde(deserialize_with = "de::origins")]
    pub allow_origins: Option<Vec<String>>,
    /// Proxies that say who their clients are.
    #[serde(deserialize_with = "de::addresses")]
    pub trusted_proxies: Option<Vec<IpAddr>>,
    /// Other machines may use it without a token.
    pub allow_public: Option<bool>,
    /// Requests may name trackers and peers in private networks.
    pub allow_private_peers: Option<bool>,
    /// Connections at once.
    #[serde(deserialize_with = "de::count")]
    pub max_connections: Option<NonZeroU32>,
    /// Torrents that one address may start in a minute.
    #[serde(deserialize_with = "de::count")]
    pub starts_per_minute: Option<NonZeroU32>,
    /// How long a reader may take nothing.
    #[serde(deserialize_with = "de::duration")]
    pub reader_timeout: Option<Duration>,
    /// How long a reader's machine may leave everything unanswered.
    #[serde(deserialize_with = "de::duration")]
    pub silence_timeout: Option<Duration>,
}

/// How long a failed torrent is left alone; see [`CooldownSettings`](crate::core::settings::CooldownSettings).
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a table")]
pub struct CooldownLayer {
    /// For every kind that is not named itself.
    #[serde(deserialize_with = "de::duration_or_zero")]
    pub default: Option<Duration>,
    /// After `no_peers`.
    #[serde(deserialize_with = "de::duration_or_zero")]
    pub no_peers: Option<Duration>,
    /// After `timeout`.
    #[serde(deserialize_with = "de::duration_or_zero")]
    pub timeout: Option<Duration>,
    /// After `connection_error`.
    #[serde(deserialize_with = "de::duration_or_zero")]
    pub connection_error: Option<Duration>,
    /// After `bad_torrent`.
    #[serde(deserialize_with = "de::duration_or_zero")]
    pub bad_torrent: Option<Duration>,
    /// What each consecutive failure multiplies it with.
    #[serde(deserialize_with = "de::count")]
    pub backoff: Option<NonZeroU32>,
    /// Where the multiplying ends.
    #[serde(deserialize_with = "de::duration_or_zero")]
    pub max: Option<Duration>,
    /// Whom a failure keeps waiting.
    pub scope: Option<CooldownScope>,
}

impl Layer {
    /// What this layer says, and where it says nothing, what `below` says.
    pub(super) fn over(self, below: Layer) -> Layer {
        Layer {
            temp_dir: self.temp_dir.or(below.temp_dir),
            state_dir: self.state_dir.or(below.state_dir),
            min_free: self.min_free.or(below.min_free),
            max_disk: self.max_disk.or(below.max_disk),
            max_torrents: self.max_torrents.or(below.max_torrents),
            quiet: self.quiet.or(below.quiet),
            verbose: self.verbose.or(below.verbose),
            log_format: self.log_format.or(below.log_format),
            progress: self.progress.or(below.progress),
            swarm: self.swarm.over(below.swarm),
            waits: self.waits.over(below.waits),
            serve: self.serve.over(below.serve),
            cooldown: self.cooldown.over(below.cooldown),
        }
    }

    /// Paths in a file are relative to its directory, not to wherever the process was started.
    pub(super) fn anchored_at(mut self, base: &Path, directories: &Directories) -> Layer {
        for path in [&mut self.temp_dir, &mut self.state_dir, &mut self.swarm.trackers_file] {
            *path = path.take().map(|path| base.join(directories.expand(path)));
        }
        self
    }
}

impl SwarmLayer {
    fn over(self, below: SwarmLayer) -> SwarmLayer {
        SwarmLayer {
            peers: self.peers.or(below.peers),
            trackers: self.trackers.or(below.trackers),
            trackers_file: self.trackers_file.or(below.trackers_file),
            use_trackers: self.use_trackers.or(below.use_trackers),
            dht: self.dht.or(below.dht),
            dht_bootstrap: self.dht_bootstrap.or(below.dht_bootstrap),
            lsd: self.lsd.or(below.lsd),
            upload: self.upload.or(below.upload),
            listen_port: self.listen_port.or(below.listen_port),
            peer_limit: self.peer_limit.or(below.peer_limit),
            download_limit: self.download_limit.or(below.download_limit),
            upload_limit: self.upload_limit.or(below.upload_limit),
            proxy: self.proxy.or(below.proxy),
            bind_device: self.bind_device.or(below.bind_device),
            ipv4_only: self.ipv4_only.or(below.ipv4_only),
            private: self.private.or(below.private),
        }
    }
}

impl WaitsLayer {
    fn over(self, below: WaitsLayer) -> WaitsLayer {
        WaitsLayer {
            peer_timeout: self.peer_timeout.or(below.peer_timeout),
            timeout: self.timeout.or(below.timeout),
            stall_timeout: self.stall_timeout.or(below.stall_timeout),
            max_retries: self.max_retries.or(below.max_retries),
        }
    }
}

impl ServeLayer {
    fn over(self, below: ServeLayer) -> ServeLayer {
        ServeLayer {
            listen: self.listen.or(below.listen),
            token: self.token.or(below.token),
            public_url: self.public_url.or(below.public_url),
            allow_hosts: self.allow_hosts.or(below.allow_hosts),
            allow_origins: self.allow_origins.or(below.allow_origins),
            trusted_proxies: self.trusted_proxies.or(below.trusted_proxies),
            allow_public: self.allow_public.or(below.allow_public),
            allow_private_peers: self.allow_private_peers.or(below.allow_private_peers),
            max_connections: self.max_connections.or(below.max_connections),
            starts_per_minute: self.starts_per_minute.or(below.starts_per_minute),
            reader_timeout: self.reader_timeout.or(below.reader_timeout),
            silence_timeout: self.silence_timeout.or(below.silence_timeout),
        }
    }
}

impl CooldownLayer {
    fn over(self, below: CooldownLayer) -> CooldownLayer {
        CooldownLayer {
            default: self.default.or(below.default),
            no_peers: self.no_peers.or(below.no_peers),
            timeout: self.timeout.or(below.timeout),
            connection_error: self.connection_error.or(below.connection_error),
            bad_torrent: self.bad_torrent.or(below.bad_torrent),
            backoff: self.backoff.or(below.backoff),
            max: self.max.or(below.max),
            scope: self.scope.or(below.scope),
        }
    }
}
