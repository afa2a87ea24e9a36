//! How the end of a run is told: one line for what went wrong, a hint when there is something to do, and a
//! report when it is our own fault.

use std::{
    io::{self, Write as _},
    panic,
};

use color_eyre::{
    config::{HookBuilder, Theme},
    eyre::Report,
};

use super::signals;
use crate::{
    core::{Error, error::Class},
    ui::text::Printable,
};

/// A run that went wrong, with advice.
#[derive(Debug)]
pub(super) struct Failure {
    error: Error,
    hint: Option<&'static str>,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let hint = hint(&error);
        Self { error, hint }
    }
}

impl Failure {
    pub(super) fn usage(message: &str, hint: &'static str) -> Self {
        Self { error: Error::Usage(message.into()), hint: Some(hint) }
    }

    /// Tells it, and answers the exit code.
    pub(super) fn report(self) -> u8 {
        if is_closed_pipe(&self.error) {
            return 0;
        }
        let class = self.error.class();
        say(&format!("swarmcat: {}", Printable(&self.error.to_string())));
        if let Some(hint) = self.hint {
            say(&format!("hint: {hint}"));
        }
        if class == Class::Internal {
            tell_defect(&format!("{:?}", Report::new(self.error)));
        }
        match class {
            Class::Cancelled => signals::exit_code().unwrap_or_else(|| class.exit_code()),
            _ => class.exit_code(),
        }
    }
}

/// Whoever reads our output may have enough of it at any time. Nothing else of ours is a pipe.
pub(super) fn is_closed_pipe(error: &Error) -> bool {
    matches!(error, Error::Storage { source, .. } if source.kind() == io::ErrorKind::BrokenPipe)
}

fn hint(error: &Error) -> Option<&'static str> {
    Some(match error {
        Error::Cooldown { .. } => "--force tries now, `swarmcat failed clear HASH` forgets the failure",
        Error::Storage { source, .. } if source.kind() == io::ErrorKind::StorageFull => {
            "`swarmcat cleanup` removes idle torrents, --temp-dir DIR uses another disk"
        }
        Error::NoSuchFile { .. } => "`swarmcat stream SOURCE -l` lists the files",
        _ => match error.class() {
            Class::NoPeers => "--peer, --tracker and --trackers-file say where else to look",
            Class::Timeout => "--timeout and --stall-timeout wait longer",
            _ => return None,
        },
    })
}

/// Panics are told like other defects, without colours, so that nothing foreign in them reaches a terminal raw.
pub(super) fn install_panic_hook() {
    let hooks = HookBuilder::default().theme(Theme::new()).display_env_section(false).try_into_hooks();
    let Ok((panic_hook, report_hook)) = hooks else { return };
    // It fails only when a hook is installed already, which then serves.
    let _ = report_hook.install();
    panic::set_hook(Box::new(move |info| {
        say("swarmcat: a defect, in this program or in one of its libraries:");
        tell_defect(&panic_hook.panic_report(info).to_string());
    }));
}

fn tell_defect(report: &str) {
    report.lines().for_each(|line| say(&Printable(line).to_string()));
    say("hint: please report it with the lines above; RUST_BACKTRACE=1 makes them more telling");
}

fn say(line: &str) {
    // When stderr is closed there is nobody to tell.
    let _ = writeln!(io::stderr().lock(), "{line}");
}
