//! The program around the core: reads the command line and the settings, runs the sub-command, reports how it
//! ended.
//!
//! Owns the process: its exit code, its signals ([`signals`]), its log ([`log`]) and what is printed when
//! something is wrong ([`report`]).

mod files;
mod log;
mod player;
mod playing;
mod report;
mod serve;
pub mod signals;
mod sink;
pub mod stream;
mod upkeep;

use std::{ffi::OsString, io::IsTerminal as _, panic, process::ExitCode};

use crate::{
    cli::{self, Command, Invocation},
    config::{self, Directories},
    ui::screen::Screen,
};
use report::Failure;
use stream::{Output, StreamRequest};
use upkeep::Cleanup;

/// The whole program, from its arguments to its exit code.
pub fn main() -> ExitCode {
    report::install_panic_hook();
    // The hook has said what there is to say about a panic.
    let code = panic::catch_unwind(|| run(std::env::args_os())).unwrap_or(1);
    ExitCode::from(code)
}

fn run(args: impl IntoIterator<Item = OsString>) -> u8 {
    match cli::parse(args) {
        Ok(invocation) => execute(invocation).map_or_else(|failure| failure.report(), |()| 0),
        Err(told) => told.print(),
    }
}

fn execute(invocation: Invocation) -> Result<(), Failure> {
    let Invocation { command, layer, config } = invocation;
    let (settings, presentation, serving) =
        config::settle(layer, config.as_deref(), &Directories::from_env())?;
    let screen = Screen::new();
    log::init(&presentation, &screen)?;
    match command {
        Command::Stream(request) => {
            refuse_terminal(&request)?;
            stream::run(*request, settings, presentation, &screen)?;
        }
        Command::Serve => {
            serve::run(serving, settings, Some(&screen).filter(|_| !presentation.quiet))?;
        }
        Command::FailedList { all, json } => upkeep::list_failed(&settings, all, json)?,
        Command::FailedClear { hashes } => {
            upkeep::clear_failed(&settings, &hashes, Some(&screen).filter(|_| !presentation.quiet))?;
        }
        Command::Cleanup { older_than, dry_run, json } => {
            upkeep::cleanup(&settings, Cleanup { older_than, dry_run, json, quiet: presentation.quiet })?;
        }
    }
    Ok(())
}

/// Binary bytes do a terminal no good, and nobody waits two minutes to learn that.
fn refuse_terminal(request: &StreamRequest) -> Result<(), Failure> {
    let payload_on_stdout = request.output == Output::Stdout && !request.list && request.open.is_none();
    if payload_on_stdout && std::io::stdout().is_terminal() {
        return Err(Failure::usage(
            "standard output is a terminal, and the stream is binary",
            "pipe it (swarmcat stream ... | mpv -), or use -o FILE, --open PLAYER or -l",
        ));
    }
    Ok(())
}
