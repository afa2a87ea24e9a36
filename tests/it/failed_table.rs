//! The failed-torrent table between processes, and under SIGKILL.

use std::{
    collections::BTreeSet,
    fs,
    path::Path,
    time::{Duration, Instant},
};

use swarmcat::core::{
    failed::{FailedTable, FailureKind},
    settings::CooldownSettings,
    source::InfoHash,
};
use time::OffsetDateTime;

use crate::{
    support::Row,
    worker::{self, Job, SHARED, Worker},
};

const WORKERS: u32 = 50;

fn recorded(dir: &Path) -> BTreeSet<InfoHash> {
    let table = FailedTable::new(dir, worker::settings());
    let listed = table.list(true, OffsetDateTime::now_utc()).unwrap();
    listed.into_iter().map(|listed| listed.entry.info_hash).collect()
}

/// Everybody's updates at once; every one of them that was acknowledged must be seen afterwards.
fn update_together() {
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

#[test]
fn fifty_processes_update_one_table_twenty_times_each_and_nothing_is_lost() {
    let mut row = Row::new("C1", 1);
    for number in 0..row.times() {
        let began = Instant::now();
        row.blocking_case(number, update_together);
        let took = began.elapsed();
        if row.measures() {
            row.blocking_case("in time", || assert!(took <= Duration::from_secs(5), "{took:?}"));
        }
    }
    row.end();
}

/// One kill of a writer in a table that has been written to before; what was acknowledged so far must be in it.
fn kill_a_writer(dir: &Path, number: u32, acknowledged: &mut BTreeSet<InfoHash>) {
    let mut worker = Worker::start(Job::UpdateForEver, dir, number);
    let first = worker.told();
    // Not a guess at how long something takes: any moment is a good one to be killed at.
    std::thread::sleep(Duration::from_micros(rand::random_range(0..4000)));
    let told = worker.kill();
    let steps = std::iter::once(first).chain(told).map(|step| step.parse().unwrap());
    acknowledged.extend(steps.map(|step| worker::hash(number, step)));

    let recorded = recorded(dir);
    let lost: Vec<_> = acknowledged.difference(&recorded).collect();
    assert!(lost.is_empty(), "lost {lost:?}");
    let unknown: Vec<_> = worker::names(dir)
        .into_iter()
        .filter(|name| !["failed.toml", "failed.toml.lock", "failed.toml.tmp"].contains(&name.as_str()))
        .collect();
    assert!(unknown.is_empty(), "left {unknown:?}");
}

#[test]
fn kills_during_writes_tear_nothing_and_lose_no_acknowledged_row() {
    let mut row = Row::new("F1", 60);
    let dir = tempfile::tempdir().unwrap();
    let mut acknowledged = BTreeSet::new();
    for number in 0..row.times() {
        row.blocking_case(number, || kill_a_writer(dir.path(), number, &mut acknowledged));
        if number % 25 == 0 {
            FailedTable::new(dir.path(), worker::settings()).clear(&[], OffsetDateTime::now_utc()).unwrap();
            acknowledged.clear();
        }
    }
    row.end();
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

/// What is over goes with every write, unless it has failed again meanwhile: then the newer failure stays.
fn prune_against_add(number: u32) {
    let dir = tempfile::tempdir().unwrap();
    let settings = || CooldownSettings { no_peers: Duration::from_secs(60), ..Default::default() };
    let (now, raced) = (OffsetDateTime::now_utc(), worker::hash(number, 0));
    let table = || FailedTable::new(dir.path(), settings());
    let fail = |hash, at| table().record(hash, FailureKind::NoPeers, "no peers", None, at).unwrap();
    fail(raced, now - Duration::from_secs(120));
    let start = &std::sync::Barrier::new(3);
    std::thread::scope(|scope| {
        scope.spawn(move || {
            start.wait();
            fail(raced, now);
        });
        scope.spawn(move || {
            start.wait();
            table().purge_expired(now).unwrap();
        });
        scope.spawn(move || {
            start.wait();
            fail(worker::hash(number, 1), now);
        });
    });
    let left = table().check(&raced, None, now).unwrap().expect("the newer failure");
    assert!(left.entry.failed_at >= now - Duration::from_secs(1), "{left:?}");
    assert_eq!(recorded(dir.path()).len(), 2);
}

#[test]
fn a_failure_beside_the_pruning_of_an_older_one_always_stays() {
    let mut row = Row::new("C3", 20);
    for number in 0..row.times() {
        row.blocking_case(number, || prune_against_add(number));
    }
    row.end();
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
