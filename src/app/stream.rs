//! `swarmcat stream`: one torrent's file to stdout, to a file or to a player.

use std::path::PathBuf;

use crate::{
    config::Presentation,
    core::{Error, settings::Settings},
    ui::screen::Screen,
};

/// What `stream` was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamRequest {
    /// The torrent, as it was written.
    pub source: String,
    /// Where the bytes go.
    pub output: Output,
    /// Which of the torrent's files.
    pub choice: Choice,
    /// List the files instead.
    pub list: bool,
    /// List them for scripts.
    pub json: bool,
    /// Part of the file, in HTTP's syntax.
    pub range: Option<String>,
    /// The player to start.
    pub open: Option<String>,
    /// What the player is told beside the URL.
    pub player_args: Vec<String>,
    /// Try although the torrent is cooling down.
    pub force: bool,
    /// Remove the torrent's data afterwards.
    pub remove: bool,
}

/// Where the bytes go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Standard output.
    Stdout,
    /// A file, by way of `FILE.part`.
    File(PathBuf),
}

/// Which of the torrent's files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Choice {
    /// The largest that can be played, else the largest.
    Auto,
    /// By its number in the list, from 0.
    Index(usize),
    /// By a glob on its path.
    Glob(String),
}

/// Streams.
pub fn run(
    request: StreamRequest,
    settings: Settings,
    presentation: Presentation,
    screen: &Screen,
) -> Result<(), Error> {
    let _ = (request, settings, presentation, screen);
    Err(Error::Internal("not wired yet".into()))
}
