//! The log on standard error: which lines, in which form.

use tracing_subscriber::{EnvFilter, fmt, layer::SubscriberExt as _, registry, util::SubscriberInitExt as _};

use super::report::Failure;
use crate::{
    config::{LogFormat, Presentation},
    ui::screen::{Form, Screen},
};

/// Says in the syntax of `tracing`'s directives (`swarmcat=debug,librqbit=info`) what is logged, whatever the flags.
const VARIABLE: &str = "SWARMCAT_LOG";

/// Starts the log.
pub(super) fn init(presentation: &Presentation, screen: &Screen) -> Result<(), Failure> {
    let filter = match std::env::var(VARIABLE) {
        Ok(directives) if !directives.is_empty() => EnvFilter::try_new(&directives).map_err(|error| {
            Failure::usage(
                &format!("{VARIABLE}={directives:?}: {error}"),
                "such as swarmcat=debug,librqbit=info",
            )
        })?,
        _ => EnvFilter::new(directives(presentation)),
    };
    let form = match presentation.log_format {
        LogFormat::Text => Form::Text,
        LogFormat::Json => Form::Json,
    };
    let screen = screen.clone();
    // No colours: the screen makes every control character harmless, as any of them may be foreign.
    let lines = fmt::layer().with_ansi(false).with_writer(move || screen.log_writer(form));
    let registry = registry().with(filter);
    let started = match (form, presentation.verbosity) {
        (Form::Json, _) => registry.with(lines.json()).try_init(),
        (Form::Text, 0 | 1) => registry.with(lines.without_time().with_target(false)).try_init(),
        (Form::Text, _) => registry.with(lines).try_init(),
    };
    // Another subscriber is there only when a test has set one; it is as good.
    started.or(Ok(()))
}

/// Ours as loud as asked for; the swarm library speaks of every peer that fails, and all of them do some day: at the latest
/// when their torrent is taken out, which its task runner calls an error.
fn directives(presentation: &Presentation) -> &'static str {
    match (presentation.quiet, presentation.verbosity) {
        (true, _) => "off,swarmcat=error",
        (false, 0) => "error,librqbit_core=off,swarmcat=warn",
        (false, 1) => "error,librqbit_core=off,swarmcat=info",
        (false, 2) => "error,librqbit_core=off,swarmcat=debug",
        (false, _) => "info,swarmcat=trace,librqbit=debug",
    }
}
