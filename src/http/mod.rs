//! HTTP: what a torrent's file looks like to a player. The only room that knows warp; it never knows
//! librqbit or the command line.
//!
//! [`range`] and [`plan`] are pure; [`reply`] turns core values into headers and bodies; [`body`] turns a
//! reader into a stream of chunks; [`guard`] refuses requests that were not meant for us; [`single`] serves
//! one opened file to a player on this machine.

pub mod body;
pub mod guard;
pub mod plan;
pub mod range;
pub mod reply;
pub mod single;
