//! swarmcat: cat for swarms. An info hash in, bytes out: on stdout, in a file, or at a URL.
//!
//! The program is `swarmcat --help`; this is what it is made of. [`core`] is all of it without an interface, and can
//! be put into other programs; [`http`] is the server, [`ui`] what a terminal shows, [`cli`] and [`config`] what can be
//! said to it, [`app`] the program around them.
//!
//! # Streaming
//!
//! A [`Streamer`](core::Streamer) opens one file of a torrent; when [`open`](core::Streamer::open) returns, its first
//! bytes are there. `examples/embed.rs` is a whole program, with progress of its own.
//!
//! ```no_run
//! use swarmcat::core::{Error, Streamer, settings::Settings, streamer::Request};
//!
//! # async fn stream() -> Result<(), Error> {
//! let streamer = Streamer::new(Settings::new("temp", "state"));
//! let source = "08ada5a7a6183aae1e09d831df6748d566095a10".parse()?;
//! let (opened, mut reader) = streamer.open(Request::of(source)).await?;
//! println!("{} has {} bytes", opened.media().name().escape_debug(), opened.media().len);
//! while let Some(bytes) = reader.chunk(1 << 20).await? {
//!     println!("{} more", bytes.len());
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # Failures
//!
//! A torrent that failed is left alone for a while, by every process that shares the state directory. It is refused
//! before anything is opened or sent:
//!
//! ```
//! use std::time::Duration;
//! use swarmcat::core::{Error, Streamer, failed::FailureKind, settings::Settings, source::InfoHash, streamer::Request};
//! use time::OffsetDateTime;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let home = tempfile::tempdir()?;
//! let streamer = Streamer::new(Settings::new(home.path().join("temp"), home.path().join("state")));
//! let dead: InfoHash = "453475aec9bb4de3423649db8aa3cd2312538ca7".parse()?;
//! let now = OffsetDateTime::now_utc();
//! streamer.table().record(dead, FailureKind::NoPeers, "no peers found after 60s", None, now)?;
//!
//! let refused = streamer.open(Request::of(dead.to_string().parse()?)).await.err();
//! let Some(Error::Cooldown { remaining, .. }) = refused else { panic!("it was not refused") };
//! assert!(remaining > Duration::from_secs(290));
//!
//! assert!(streamer.table().forget(&dead, now)?);
//! # Ok(())
//! # }
//! ```

#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test stops where its world is not what it built"))]

pub mod app;
pub mod cli;
pub mod config;
pub mod core;
pub mod http;
pub mod ui;
