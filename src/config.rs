//! Where settings come from: what was given (flags and environment), then the configuration file, then the
//! defaults of the core.
//!
//! Owns the file's keys and its errors, which name the key and the line, and the two XDG directories. Knows no
//! clap: the command line arrives here as a [`Layer`], the same shape that the file is read into, and leaves as
//! the core's [`Settings`] and a [`Presentation`].

mod directories;
mod file;
mod layer;
pub mod values;

use std::{num::NonZeroU32, path::Path, time::Duration};

use crate::{
    core::{
        Error,
        settings::{CooldownSettings, Settings, SwarmSettings, Waits},
    },
    http::{
        guard::{Origins, Policy},
        server::Limits,
        serving::Serving,
        transport::Patience,
    },
};

pub use directories::Directories;
pub use layer::{CooldownLayer, Layer, ServeLayer, SwarmLayer, WaitsLayer};

/// Torrents that one address may start in a minute: more than anybody can watch.
const STARTS_PER_MINUTE: u32 = 60;

/// How much is said, and in which form. Errors are always said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Presentation {
    /// Nothing but errors.
    pub quiet: bool,
    /// How many `-v` there were.
    pub verbosity: u8,
    /// The form of log lines.
    pub log_format: LogFormat,
    /// The form of progress.
    pub progress: ProgressMode,
}

/// The form of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// Lines for people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// The form of progress.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ProgressMode {
    /// A bar on a terminal, else plain lines.
    #[default]
    Auto,
    /// A spinner, then a bar.
    Bar,
    /// Lines, only when there is something new to say.
    Plain,
    /// One JSON object a line.
    Json,
    /// Nothing.
    None,
}

impl LogFormat {
    /// How each is written.
    pub const ALL: [(&str, Self); 2] = [("text", Self::Text), ("json", Self::Json)];

    /// From how it is written.
    pub fn read(text: &str) -> Result<Self, String> {
        named(&Self::ALL, text)
    }
}

impl ProgressMode {
    /// How each is written.
    pub const ALL: [(&str, Self); 5] = [
        ("auto", Self::Auto),
        ("bar", Self::Bar),
        ("plain", Self::Plain),
        ("json", Self::Json),
        ("none", Self::None),
    ];

    /// From how it is written.
    pub fn read(text: &str) -> Result<Self, String> {
        named(&Self::ALL, text)
    }
}

fn named<T: Copy>(all: &[(&str, T)], text: &str) -> Result<T, String> {
    let found = all.iter().find(|(name, _)| *name == text).map(|(_, value)| *value);
    found.ok_or_else(|| {
        let names: Vec<_> = all.iter().map(|(name, _)| *name).collect();
        format!("expected one of {}", names.join(", "))
    })
}

/// Lays `given` over the configuration file (`explicit`, else the one in the XDG directory, if there is one) and
/// that over the defaults.
pub fn settle(
    given: Layer,
    explicit: Option<&Path>,
    directories: &Directories,
) -> Result<(Settings, Presentation, Serving), Error> {
    let file = file::read(explicit, directories)?;
    let mut layer = given.over(file);
    let (presentation, serving) = (layer.presentation(), std::mem::take(&mut layer.serve).into_settings());
    Ok((layer.into_settings(directories)?, presentation, serving))
}

/// What a configuration file says, as far as no other file has to be looked at for it.
pub(crate) fn parse(text: &str) -> Result<(), String> {
    let mut layer = file::parse(text)?;
    layer.swarm.trackers_file = None;
    let _ = std::mem::take(&mut layer.serve).into_settings();
    layer.into_settings(&Directories::default()).map(drop).map_err(|error| error.to_string())
}

impl Layer {
    fn presentation(&self) -> Presentation {
        let quiet = self.quiet.unwrap_or(false);
        Presentation {
            quiet,
            verbosity: if quiet { 0 } else { self.verbose.unwrap_or(0) },
            log_format: self.log_format.unwrap_or_default(),
            progress: if quiet { ProgressMode::None } else { self.progress.unwrap_or_default() },
        }
    }

    fn into_settings(self, directories: &Directories) -> Result<Settings, Error> {
        let temp_dir = self.temp_dir.unwrap_or_else(|| "temp".into());
        let state_dir = match self.state_dir {
            Some(path) => path,
            None => directories.state()?,
        };
        let default = Settings::new(temp_dir, state_dir);
        Ok(Settings {
            swarm: self.swarm.into_settings()?,
            waits: self.waits.into_settings(),
            cooldown: self.cooldown.into_settings(),
            min_free: self.min_free,
            max_torrents: self.max_torrents.unwrap_or(default.max_torrents),
            max_disk: self.max_disk.or(default.max_disk),
            doing: "swarmcat stream",
            ..default
        })
    }
}

impl SwarmLayer {
    fn into_settings(self) -> Result<SwarmSettings, Error> {
        let default = SwarmSettings::default();
        let private = self.private.unwrap_or(false);
        Ok(SwarmSettings {
            peers: self.peers.unwrap_or(default.peers),
            trackers: self.trackers.unwrap_or(default.trackers),
            fallback_trackers: match self.trackers_file {
                Some(path) => file::read_trackers(&path)?,
                None => default.fallback_trackers,
            },
            use_trackers: self.use_trackers.unwrap_or(default.use_trackers),
            dht: !private && self.dht.unwrap_or(default.dht),
            dht_bootstrap: self.dht_bootstrap.unwrap_or(default.dht_bootstrap),
            lsd: !private && self.lsd.unwrap_or(default.lsd),
            upload: !private && self.upload.unwrap_or(default.upload),
            listen_port: self.listen_port.unwrap_or(default.listen_port),
            peer_limit: self.peer_limit.unwrap_or(default.peer_limit),
            peers_in_all: default.peers_in_all,
            download_limit: self.download_limit.or(default.download_limit),
            upload_limit: self.upload_limit.or(default.upload_limit),
            proxy: self.proxy.or(default.proxy),
            bind_device: self.bind_device.or(default.bind_device),
            ipv4_only: self.ipv4_only.unwrap_or(default.ipv4_only),
            anonymous: private,
            public_only: default.public_only,
        })
    }
}

impl WaitsLayer {
    fn into_settings(self) -> Waits {
        let default = Waits::default();
        Waits {
            peer_timeout: self.peer_timeout.unwrap_or(default.peer_timeout),
            timeout: self.timeout.unwrap_or(default.timeout),
            stall_timeout: self.stall_timeout.unwrap_or(default.stall_timeout),
            max_retries: self.max_retries.map_or(default.max_retries, NonZeroU32::get),
        }
    }
}

impl ServeLayer {
    fn into_settings(self) -> Serving {
        let default = Limits::default();
        let policy = Policy {
            token: self.token,
            hosts: self.allow_hosts.unwrap_or_default(),
            origins: Origins::read(self.allow_origins.unwrap_or_default()),
            public_url: self.public_url,
            proxies: self.trusted_proxies.unwrap_or_default(),
            private_peers: self.allow_private_peers.unwrap_or(false),
            starts_per_minute: self.starts_per_minute.map_or(STARTS_PER_MINUTE, NonZeroU32::get),
        };
        let usual = self.reader_timeout.unwrap_or(default.patience.usual);
        let limits = Limits {
            connections: self.max_connections.map_or(default.connections, |most| most.get() as usize),
            patience: Patience { usual, ..default.patience },
            silence: self.silence_timeout.unwrap_or(default.silence),
            ..default
        };
        Serving {
            places: self.listen.unwrap_or_default(),
            policy,
            limits,
            allow_public: self.allow_public.unwrap_or(false),
        }
    }
}

impl CooldownLayer {
    /// `default` speaks for every kind that is not named itself.
    fn into_settings(self) -> CooldownSettings {
        let default = CooldownSettings::default();
        let kind = |own: Option<Duration>, usual| own.or(self.default).unwrap_or(usual);
        CooldownSettings {
            no_peers: kind(self.no_peers, default.no_peers),
            timeout: kind(self.timeout, default.timeout),
            connection_error: kind(self.connection_error, default.connection_error),
            bad_torrent: kind(self.bad_torrent, default.bad_torrent),
            backoff: self.backoff.map_or(default.backoff, NonZeroU32::get),
            max: self.max.unwrap_or(default.max),
            scope: self.scope.unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests;
