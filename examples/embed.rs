//! The core in a program of one's own, with progress of one's own:
//!
//! ```sh
//! cargo run --example embed -- SOURCE > film.mkv
//! ```

use std::{
    io::{self, Write},
    process::ExitCode,
};

use swarmcat::{
    core::{
        Error, Streamer,
        settings::Settings,
        source::Source,
        status::{Phase, Status},
        streamer::Request,
    },
    ui::text::Printable,
};
use tokio::sync::watch;

#[tokio::main]
#[cfg_attr(test, expect(dead_code, reason = "the tests take this file as a module"))]
async fn main() -> ExitCode {
    let Some(source) = std::env::args().nth(1) else {
        eprintln!("usage: embed SOURCE > FILE");
        return ExitCode::from(2);
    };
    let streamer = Streamer::new(Settings::new("temp", "state"));
    let told = |line: &str| eprintln!("{line}");
    let streamed = match source.parse() {
        Ok(source) => stream(&streamer, source, &mut io::stdout(), told).await,
        Err(error) => Err(error),
    };
    match streamed {
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => {
            // Errors tell of foreign names; a terminal must not obey them.
            eprintln!("embed: {}", Printable(&error.to_string()));
            ExitCode::from(error.class().exit_code())
        }
    }
}

/// Writes the file that `source` means to `out`, and says through `tell` how it goes; how many bytes there were.
pub async fn stream(
    streamer: &Streamer,
    source: Source,
    out: &mut dyn Write,
    tell: impl Fn(&str),
) -> Result<u64, Error> {
    let (status, watched) = watch::channel(Status::default());
    let streaming = async {
        let (opened, mut reader) = streamer.open(Request { status, ..Request::of(source) }).await?;
        tell(&format!("{}: {} bytes", Printable(&opened.media().path), opened.media().len));
        while let Some(bytes) = reader.chunk(1 << 20).await? {
            out.write_all(&bytes).map_err(|error| Error::storage("writing", "the output", error))?;
        }
        Ok(reader.position())
    };
    tokio::select! {
        streamed = streaming => streamed,
        never = follow(watched, &tell) => match never {},
    }
}

/// Says what is waited for, whenever that changes.
async fn follow(mut watched: watch::Receiver<Status>, tell: &impl Fn(&str)) -> std::convert::Infallible {
    let mut last = None;
    while watched.changed().await.is_ok() {
        let status = watched.borrow_and_update().clone();
        if last.replace(status.phase) != Some(status.phase) {
            tell(&match status.phase {
                Phase::Source => "reading the source".to_owned(),
                Phase::Peers => format!("looking for peers, {} seen", status.peers_seen),
                Phase::Metadata => "a peer is there; asking what the torrent is".to_owned(),
                Phase::FirstPiece => "waiting for the first piece".to_owned(),
                Phase::Streaming => "streaming".to_owned(),
            });
        }
    }
    std::future::pending().await
}
