//! HTTP: what a torrent's file looks like to a player. The only room that knows warp and hyper; it never knows
//! librqbit or the command line.
//!
//! A connection comes in through [`listen`] and is kept in its limits by [`server`], [`crowd`], [`transport`] and [`pulse`]. A
//! request passes [`guard`] ([`token`], [`limiter`]), then [`routes`] give it to [`stream`], [`add`], [`playlist`],
//! [`admin`], [`events`] or the [`page`], which know the core as a [`library`] ([`shelf`], [`reports`], [`attempts`]).
//! [`range`] and [`plan`] are pure; [`reply`] turns core values into headers and bodies, [`links`] into URLs; [`body`] and
//! [`deliver`] turn a reader into an answer, whose bytes go by a [`lane`] of the kernel's, while [`readers`] know how far
//! it is. [`single`] serves one opened file to a player on this machine.

pub mod add;
pub mod admin;
pub mod attempts;
pub mod beginnings;
pub mod body;
pub mod crowd;
pub mod deliver;
pub mod events;
pub(crate) mod fuzzing;
pub mod guard;
pub mod lane;
pub mod library;
pub mod limiter;
pub mod links;
pub mod listen;
pub mod metrics;
pub mod page;
pub mod plan;
pub mod playlist;
pub mod pulse;
pub mod range;
pub mod readers;
pub mod reply;
pub mod reports;
pub mod routes;
pub mod server;
pub mod serving;
pub mod shelf;
pub mod single;
pub mod stream;
#[cfg(test)]
mod testing;
pub mod token;
pub mod transport;
