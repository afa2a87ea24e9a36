//! swarmcat: cat for swarms. An info hash in, bytes out: on stdout, in a file, or at a URL.

pub mod app;
pub mod cli;
pub mod config;
pub mod core;
pub mod http;
pub mod ui;
