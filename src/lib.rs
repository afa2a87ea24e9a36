//! swarmcat: cat for swarms. An info hash in, bytes out: on stdout, in a file, or at a URL.

#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test stops where its world is not what it built"))]

pub mod app;
pub mod cli;
pub mod config;
pub mod core;
#[doc(hidden)]
pub mod fuzzing;
pub mod http;
pub mod ui;
