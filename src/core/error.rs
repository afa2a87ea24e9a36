//! Everything that can go wrong, in one enum, with the one map to its class.
//!
//! [`Error::class`] is the single place that says what kind of trouble a value is; the exit code of the
//! command line and the status of an HTTP answer are both read from it. Texts that came from the network
//! are escaped by whoever shows them (`ui::text`), not here.

use std::{path::PathBuf, sync::Arc, time::Duration};

use super::{failed::FailureKind, source::InfoHash};

/// What went wrong, to which torrent, and what to do next.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// The torrent failed recently and its cooldown has not run out.
    #[error(
        "torrent {info_hash} recently failed ({reason}). Try again in {} seconds or use different source",
        seconds_left(*.remaining)
    )]
    Cooldown {
        /// The torrent.
        info_hash: InfoHash,
        /// What kind of failure started the cooldown.
        kind: FailureKind,
        /// The recorded reason.
        reason: String,
        /// How long until it may be tried again.
        remaining: Duration,
    },
    /// The torrent failed now; this is what gets recorded.
    #[error("torrent {info_hash}: {reason}{}", advice(*.kind))]
    Failed {
        /// The torrent.
        info_hash: InfoHash,
        /// The kind under which it is recorded.
        kind: FailureKind,
        /// What was seen.
        reason: String,
    },
    /// Our own network is down: nothing outside ever answered. Never recorded.
    #[error("offline: {0}. Nothing was recorded; check the network and try again")]
    Offline(String),
    /// What was typed is not a torrent, or not one that can be streamed.
    #[error("{0}")]
    BadSource(String),
    /// The torrent has no such file.
    #[error("torrent {info_hash}: {reason}")]
    NoSuchFile {
        /// The torrent.
        info_hash: InfoHash,
        /// What was asked for, and how to see what there is.
        reason: String,
    },
    /// The settings leave nothing to try, or contradict each other.
    #[error("{0}")]
    Usage(String),
    /// Disk full, read-only, or an I/O error on our own files.
    #[error("{action} {}: {source}", path.display())]
    Storage {
        /// What was being done: "writing", "creating".
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The operating system's answer.
        #[source]
        source: Arc<std::io::Error>,
    },
    /// Another process holds what is needed.
    #[error("busy: {0}")]
    Busy(String),
    /// The caller asked to stop.
    #[error("interrupted")]
    Cancelled,
    /// A defect of ours or of a library.
    #[error("internal error: {0}")]
    Internal(String),
}

/// The classes of trouble, each with one exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Cooling down after a failure.
    Cooldown,
    /// No peers, or none that would talk.
    NoPeers,
    /// Timed out or stalled.
    Timeout,
    /// The source or the torrent is bad.
    BadSource,
    /// The torrent has no such file.
    NoSuchFile,
    /// Our own disk.
    Storage,
    /// Held by another process.
    Busy,
    /// Our own network.
    Offline,
    /// Contradicting or empty settings.
    Usage,
    /// Stopped on request.
    Cancelled,
    /// Anything else.
    Internal,
}

impl Error {
    /// The class that decides exit code and status.
    pub fn class(&self) -> Class {
        match self {
            Error::Cooldown { .. } => Class::Cooldown,
            Error::Failed { kind, .. } => match kind {
                FailureKind::NoPeers | FailureKind::ConnectionError => Class::NoPeers,
                FailureKind::Timeout => Class::Timeout,
                FailureKind::BadTorrent => Class::BadSource,
            },
            Error::Offline(_) => Class::Offline,
            Error::BadSource(_) => Class::BadSource,
            Error::NoSuchFile { .. } => Class::NoSuchFile,
            Error::Usage(_) => Class::Usage,
            Error::Storage { .. } => Class::Storage,
            Error::Busy(_) => Class::Busy,
            Error::Cancelled => Class::Cancelled,
            Error::Internal(_) => Class::Internal,
        }
    }

    /// A storage error with the path it happened at.
    pub fn storage(action: &'static str, path: impl Into<PathBuf>, source: std::io::Error) -> Self {
        Error::Storage { action, path: path.into(), source: Arc::new(source) }
    }
}

impl Class {
    /// The process's exit code.
    pub fn exit_code(self) -> u8 {
        match self {
            Class::Internal => 1,
            Class::Usage => 2,
            Class::Cooldown => 3,
            Class::NoPeers => 4,
            Class::Timeout => 5,
            Class::BadSource | Class::NoSuchFile => 6,
            Class::Storage => 7,
            Class::Busy => 8,
            Class::Offline => 9,
            Class::Cancelled => 130,
        }
    }
}

/// Whole seconds left, rounded up so that "0 seconds" never means "not yet".
fn seconds_left(remaining: Duration) -> u64 {
    remaining.as_secs() + u64::from(remaining.subsec_nanos() > 0)
}

fn advice(kind: FailureKind) -> &'static str {
    match kind {
        FailureKind::NoPeers => ". Content may not be available in torrent network",
        FailureKind::ConnectionError => ". Try a different source",
        FailureKind::Timeout => ". Try again later, or use a different source",
        FailureKind::BadTorrent => "",
    }
}
