//! The only room that knows librqbit: a torrent's hash in, verified pieces on disk out.
//!
//! An attempt has two stages. [`search`] finds a peer that answers, and with it the info dictionary when only a hash is known;
//! what it saw is what a failure is judged by ([`verdict`]). Then [`keeper`] lets librqbit fetch the pieces into our own
//! storage, steered by the readers' playheads.

pub mod metainfo;
pub mod trackers;

mod announces;
mod bencode;
mod broker;
mod dialer;
mod handshake;
mod keeper;
mod lobby;
mod relay;
mod search;
mod session;
mod steering;
mod storage;
mod verdict;

pub use keeper::{KeeperGuard, Keeping};
pub use search::{Found, Search};
pub use session::{SwarmSession, Traffic};

/// How we name ourselves to trackers and peers.
const CLIENT_NAME: &str = concat!("swarmcat ", env!("CARGO_PKG_VERSION"));
