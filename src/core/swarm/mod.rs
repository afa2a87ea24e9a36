//! The only room that knows librqbit: a torrent's hash in, verified pieces on disk out.
//!
//! An attempt has two stages. [`search`] finds a peer that answers, and with it the info dictionary when only a hash is known;
//! what it saw is what a failure is judged by ([`verdict`]). Then [`keeper`] lets librqbit fetch the pieces into our own
//! storage, steered by the readers' playheads.

pub mod metainfo;
pub mod trackers;

mod accept;
mod announces;
mod bencode;
mod broker;
mod dialer;
mod handshake;
mod keeper;
mod lobby;
mod prompt;
mod relay;
mod schedule;
mod search;
mod seconds;
mod session;
mod steering;
mod storage;
mod threads;
mod verdict;
mod wire;

pub(crate) use broker::fuzzing;
pub use keeper::{KeeperGuard, Keeping};
pub use search::{Found, Search};
pub use session::{SwarmSession, Traffic};

/// Addresses of one torrent that each way of finding peers may bring: a large swarm has thousands, a liar names any number,
/// and neither we nor librqbit forget one.
const MOST_NAMED: usize = 2000;

/// How we name ourselves to trackers and peers; nothing for those who want no name.
fn client_name(settings: &crate::core::settings::SwarmSettings) -> &'static str {
    if settings.anonymous { "" } else { concat!("swarmcat ", env!("CARGO_PKG_VERSION")) }
}

/// The identity of one run: who looks at it learns the program, or nothing.
fn peer_id(settings: &crate::core::settings::SwarmSettings) -> librqbit_core::Id20 {
    match settings.anonymous {
        true => librqbit_core::Id20::new(rand::random()),
        false => librqbit_core::peer_id::generate_azereus_style(*b"SC", (0, 1, 0, 0)),
    }
}
