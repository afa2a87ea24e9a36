//! The one core behind every sub-command: from an info hash to verified bytes, and the memory of what failed.
//!
//! The core knows no HTTP, no command line and no terminal. Only [`swarm`] knows librqbit.

pub mod container;
pub mod content;
pub mod disk;
pub mod episode;
pub mod error;
pub mod failed;
pub mod fetch;
pub mod janitor;
pub mod media;
pub mod metainfo;
pub mod pieces;
pub mod playhead;
pub mod reach;
pub mod reader;
pub mod reasons;
pub mod settings;
pub mod source;
pub mod status;
pub mod store;
pub mod streamer;
pub mod subtitles;
pub mod swarm;
pub(crate) mod sync;
pub mod torrents;
pub mod uptime;

pub use error::Error;
pub use streamer::Streamer;
