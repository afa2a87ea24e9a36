//! swarmcat: cat for swarms. An info hash in, bytes out: on stdout, in a file, or at a URL.

pub mod core;
pub mod ui;
