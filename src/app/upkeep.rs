//! `failed list`, `failed clear` and `cleanup`: the table and the janitor only. No runtime, no session, no socket.

use std::{
    collections::BTreeSet,
    io::{self, BufWriter, Write},
    time::Duration,
};

use time::OffsetDateTime;

use crate::{
    core::{
        Error,
        failed::FailedTable,
        janitor::{self, CleanupReport, KeptReason},
        settings::Settings,
        source::InfoHash,
    },
    ui::{screen::Screen, table},
};

/// `failed list`.
pub(super) fn list_failed(settings: &Settings, all: bool, json: bool) -> Result<(), Error> {
    let listed = failed_table(settings).list(all, OffsetDateTime::now_utc())?;
    let write = if json { table::failed_list_json } else { table::failed_list };
    print(|out| write(out, &listed))
}

/// `failed clear`: says on `screen` what was there to forget.
pub(super) fn clear_failed(
    settings: &Settings,
    hashes: &[InfoHash],
    screen: Option<&Screen>,
) -> Result<(), Error> {
    let dropped = failed_table(settings).clear(hashes, OffsetDateTime::now_utc())?;
    let Some(screen) = screen else { return Ok(()) };
    let dropped: BTreeSet<_> = dropped.iter().map(|entry| entry.info_hash).collect();
    let asked: BTreeSet<_> = hashes.iter().copied().collect();
    for unknown in asked.difference(&dropped) {
        screen.say(&format!("torrent {unknown} is not in the table of failed torrents"));
    }
    screen.say(&match dropped.len() {
        0 => "nothing to forget".to_owned(),
        1 => "forgot 1 failed torrent".to_owned(),
        count => format!("forgot {count} failed torrents"),
    });
    Ok(())
}

/// What `cleanup` was asked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cleanup {
    pub(super) older_than: Duration,
    pub(super) dry_run: bool,
    pub(super) json: bool,
    /// Print no table: it is what cron would send by mail.
    pub(super) quiet: bool,
}

/// `cleanup`: the idle torrents, and the entries of the table that are over. One failing does not keep the other.
pub(super) fn cleanup(settings: &Settings, asked: Cleanup) -> Result<(), Error> {
    let now = OffsetDateTime::now_utc();
    let table = failed_table(settings);
    let report = janitor::cleanup(&settings.temp_dir, asked.older_than, asked.dry_run, now);
    let expired = if asked.dry_run { table.expired(now) } else { table.purge_expired(now) };
    let (report, expired) = (report?, expired?);
    if asked.json {
        print(|out| table::cleanup_json(out, &report, expired))?;
    } else if !asked.quiet {
        print(|out| table::cleanup(out, &report, expired))?;
    }
    first_failure(settings, &report)
}

/// What could not be removed makes the run fail, so that cron's owner hears of it.
fn first_failure(settings: &Settings, report: &CleanupReport) -> Result<(), Error> {
    let failed = report.kept.iter().find_map(|kept| match &kept.reason {
        KeptReason::Failed(message) => Some((kept.info_hash, message)),
        _ => None,
    });
    failed.map_or(Ok(()), |(info_hash, message)| {
        let path = settings.temp_dir.join(info_hash.to_string());
        Err(Error::storage("removing", path, io::Error::other(message.clone())))
    })
}

fn failed_table(settings: &Settings) -> FailedTable {
    FailedTable::new(&settings.state_dir, settings.cooldown)
}

fn print(write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<(), Error> {
    let mut out = BufWriter::new(io::stdout().lock());
    let written = write(&mut out).and_then(|()| out.flush());
    written.map_err(|error| Error::storage("writing", "standard output", error))
}
