//! The failed-torrent table between processes, and under SIGKILL.

use std::{collections::BTreeSet, fs, path::Path, time::Duration};

use swarmcat::core::{
    failed::{FailedTable, FailureKind},
    settings::CooldownSettings,
    source::InfoHash,
};
use time::OffsetDateTime;

use crate::worker::{self, Job, SHARED, Worker};

const WORKERS: u32 = 50;
const KILLS: u32 = 300;

fn recorded(dir: &Path) -> BTreeSet<InfoHash> {
    let table = FailedTable::new(dir, worker::settings());
    let listed = table.list(true, OffsetDateTime::now_utc()).unwrap();
    listed.into_iter().map(|listed| listed.entry.info_hash).collect()
}

#[test]
fn fifty_processes_update_one_table_twenty_times_each_and_nothing_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    let workers: Vec<_> = (0..WORKERS).map(|number| Worker::start(Job::Update, dir.path(), number)).collect();
    workers.into_iter().for_each(Worker::finish);

    let own = (0..WORKERS).flat_map(|number| (0..10).map(move |step| worker::hash(number, step)));
    let expected: BTreeSet<_> = own.chain([SHARED]).collect();
    let recorded = recorded(dir.path());
    let lost: Vec<_> = expected.difference(&recorded).collect();
    assert!(lost.is_empty() && recorded.len() == expected.len(), "lost {lost:?}");
    let table = FailedTable::new(dir.path(), worker::settings());
    let shared = table.check(&SHARED, None, OffsetDateTime::now_utc()).unwrap().unwrap();
    assert_eq!(shared.entry.attempts, WORKERS * 10);
    assert_eq!(worker::names(dir.path()), ["failed.toml", "failed.toml.lock"]);
}

/// One lane of kills; two lanes run at once to keep both the disk and the processes busy.
fn kill_writers(kills: std::ops::Range<u32>) {
    let dir = tempfile::tempdir().unwrap();
    let mut acknowledged = BTreeSet::new();
    for number in kills {
        let mut worker = Worker::start(Job::UpdateForEver, dir.path(), number);
        let first = worker.told();
        // Not a guess at how long something takes: any moment is a good one to be killed at.
        std::thread::sleep(Duration::from_micros(rand::random_range(0..4000)));
        let told = worker.kill();
        let steps = std::iter::once(first).chain(told).map(|step| step.parse().unwrap());
        acknowledged.extend(steps.map(|step| worker::hash(number, step)));

        let recorded = recorded(dir.path());
        let lost: Vec<_> = acknowledged.difference(&recorded).collect();
        assert!(lost.is_empty(), "kill {number} lost {lost:?}");
        let unknown: Vec<_> = worker::names(dir.path())
            .into_iter()
            .filter(|name| !["failed.toml", "failed.toml.lock", "failed.toml.tmp"].contains(&name.as_str()))
            .collect();
        assert!(unknown.is_empty(), "kill {number} left {unknown:?}");

        if number % 25 == 0 {
            FailedTable::new(dir.path(), worker::settings()).clear(&[], OffsetDateTime::now_utc()).unwrap();
            acknowledged.clear();
        }
    }
}

#[test]
fn three_hundred_kills_during_writes_tear_nothing_and_lose_no_acknowledged_row() {
    std::thread::scope(|scope| {
        scope.spawn(|| kill_writers(0..KILLS / 2));
        kill_writers(KILLS / 2..KILLS);
    });
}

#[test]
fn readers_beside_a_writer_always_see_a_whole_table() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = Worker::start(Job::UpdateForEver, dir.path(), 1);
    let mut seen = 0;
    for _ in 0..50 {
        let step: usize = writer.told().parse().unwrap();
        let rows = recorded(dir.path()).len();
        assert!(rows > step && rows >= seen, "{rows} rows after step {step}, {seen} before");
        seen = rows;
    }
}

#[test]
fn a_corrupt_table_is_set_aside_said_and_started_anew() {
    let dir = tempfile::tempdir().unwrap();
    let half = "version = 1\n\n[[failed]]\ninfo_hash = \"4534";
    fs::write(dir.path().join("failed.toml"), half).unwrap();
    let table = FailedTable::new(dir.path(), CooldownSettings::default());
    let now = OffsetDateTime::now_utc();
    assert_eq!(table.list(true, now).unwrap(), []);
    table.record(SHARED, FailureKind::Timeout, "no byte within 2m", None, now).unwrap();
    assert_eq!(recorded(dir.path()), BTreeSet::from([SHARED]));
    let names = worker::names(dir.path());
    let aside = names.iter().find(|name| name.starts_with("failed.toml.corrupt-2")).expect("a dated copy");
    assert_eq!(fs::read_to_string(dir.path().join(aside)).unwrap(), half);
}
