//! The failed-torrent list and the cleanup report, as tables for people and as JSON for scripts.

use std::io::{self, Write};

use crate::core::{failed::Listed, janitor::CleanupReport};

/// `failed list` for people.
pub fn failed_list(out: &mut dyn Write, entries: &[Listed]) -> io::Result<()> {
    let _ = (out, entries);
    unimplemented!()
}

/// `failed list --json`: an array of objects.
pub fn failed_list_json(out: &mut dyn Write, entries: &[Listed]) -> io::Result<()> {
    let _ = (out, entries);
    unimplemented!()
}

/// `cleanup` for people; `expired` failed-torrent entries went with it (or would).
pub fn cleanup(out: &mut dyn Write, report: &CleanupReport, expired: usize) -> io::Result<()> {
    let _ = (out, report, expired);
    unimplemented!()
}

/// `cleanup --json`: one object.
pub fn cleanup_json(out: &mut dyn Write, report: &CleanupReport, expired: usize) -> io::Result<()> {
    let _ = (out, report, expired);
    unimplemented!()
}
