//! The command line: what can be typed, and how it becomes plain values.
//!
//! The only room that knows clap. It parses, and hands over a [`Command`] and a [`Layer`] of settings; it opens
//! nothing, waits for nothing and decides nothing that the configuration file could still change.

mod args;

use std::{ffi::OsString, iter::successors, path::PathBuf, time::Duration};

use clap::{
    ArgMatches, CommandFactory as _, FromArgMatches as _,
    error::{ContextKind, ContextValue},
    parser::ValueSource,
};

use crate::{
    app::stream::StreamRequest,
    config::{Layer, values},
    core::source::InfoHash,
};

/// A command line that was understood.
#[derive(Debug)]
pub struct Invocation {
    /// What to do.
    pub command: Command,
    /// The settings that flags and environment variables give.
    pub layer: Layer,
    /// The configuration file, when one is named.
    pub config: Option<PathBuf>,
}

/// What to do.
#[derive(Debug, PartialEq, Eq)]
pub enum Command {
    /// `stream`.
    Stream(Box<StreamRequest>),
    /// `serve`.
    Serve,
    /// `failed list`.
    FailedList {
        /// Expired entries too.
        all: bool,
        /// For scripts.
        json: bool,
    },
    /// `failed clear`.
    FailedClear {
        /// Which; none is every one.
        hashes: Vec<InfoHash>,
    },
    /// `cleanup`.
    Cleanup {
        /// How long a torrent must have been idle.
        older_than: Duration,
        /// Only say what would go.
        dry_run: bool,
        /// For scripts.
        json: bool,
    },
}

/// A command line that ends here: a mistake, or a wish for help or the version.
#[derive(Debug)]
pub struct Told(clap::Error);

impl Told {
    /// Secrets are not printed: what goes wrong in a service ends up in a log.
    fn about(mut error: clap::Error) -> Self {
        if let Some(ContextValue::String(flag)) = error.get(ContextKind::InvalidArg)
            && values::is_secret(flag.split(' ').next().unwrap_or_default())
        {
            error.insert(ContextKind::InvalidValue, ContextValue::String("(not shown)".into()));
        }
        Told(error)
    }

    /// Prints it where it belongs and answers the exit code: 0 for what was asked for, 2 for mistakes.
    pub fn print(&self) -> u8 {
        // Nobody is left to be told that stdout or stderr is closed.
        let _ = self.0.print();
        u8::try_from(self.0.exit_code()).unwrap_or(2)
    }
}

/// Reads a command line (with the program's name in front) and the `SWARMCAT_…` environment.
pub fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Invocation, Told> {
    let matches = command().try_get_matches_from(args).map_err(Told::about)?;
    let typed = args::Cli::from_arg_matches(&matches).map_err(Told::about)?;
    let mut invocation = typed.into_plain();
    let swarm = &mut invocation.layer.swarm;
    add_listed(&mut swarm.peers, &matches, "peer");
    add_listed(&mut swarm.trackers, &matches, "tracker");
    add_listed(&mut swarm.dht_bootstrap, &matches, "dht_bootstrap");
    // Zero `-v` is what clap says for "not given", and must not hide what the file says.
    if !was_given(&matches, "verbose") {
        invocation.layer.verbose = None;
    }
    Ok(invocation)
}

/// What a command line lists counts wherever it stands, before the sub-command and after it.
fn add_listed<T: Clone + Send + Sync + 'static>(list: &mut Option<Vec<T>>, matches: &ArgMatches, id: &str) {
    let levels = successors(Some(matches), |matches| matches.subcommand().map(|(_, matches)| matches));
    let typed = levels.filter(|matches| matches.value_source(id) == Some(ValueSource::CommandLine));
    let values: Vec<T> =
        typed.flat_map(|matches| matches.get_many(id).into_iter().flatten().cloned()).collect();
    if !values.is_empty() {
        *list = Some(values);
    }
}

fn was_given(matches: &ArgMatches, id: &str) -> bool {
    matches.value_source(id).is_some_and(|source| source != ValueSource::DefaultValue)
}

/// The whole command line, for parsing, help and completions.
pub fn command() -> clap::Command {
    let mut command = args::Cli::command().mut_args(|arg| arg.hide_env(true));
    // Of a global list, clap keeps only what stands last; so these are arguments of each level.
    for id in LISTS {
        command = command.mut_arg(id, |arg| arg.global(false));
    }
    let swarm: Vec<_> = command.get_arguments().filter(|arg| concerns_streams(arg)).cloned().collect();
    // The swarm options are accepted everywhere, but only `stream` and `serve` have a use for them, so only they list them.
    for arg in &swarm {
        command = command.mut_arg(arg.get_id(), |arg| arg.hide(true));
    }
    let lists: Vec<_> = command.get_arguments().filter(|arg| is_list(arg)).cloned().collect();
    let accepting = |command: clap::Command| hide_env(command.args(lists.iter().cloned()));
    command
        .mut_subcommand("stream", |stream| stream.args(swarm.iter().cloned()))
        .mut_subcommand("serve", |serve| hide_env(serve.args(swarm.iter().cloned())))
        .mut_subcommand("failed", |failed| accepting(failed.mut_subcommands(accepting)))
        .mut_subcommand("cleanup", accepting)
}

/// The options of every sub-command that may be repeated.
const LISTS: [&str; 3] = ["peer", "tracker", "dht_bootstrap"];

fn is_list(arg: &clap::Arg) -> bool {
    LISTS.iter().any(|id| arg.get_id() == id)
}

fn concerns_streams(arg: &clap::Arg) -> bool {
    arg.get_help_heading().is_some_and(|heading| heading == args::SWARM || heading == args::WAITS)
}

fn hide_env(command: clap::Command) -> clap::Command {
    command.mut_args(|arg| arg.hide_env(true))
}

#[cfg(test)]
mod tests;
