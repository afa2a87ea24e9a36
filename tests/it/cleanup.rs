//! Cleanup beside streams, in one process and between processes: what is used stays, what is foreign stays.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    time::{Duration, SystemTime},
};

use swarmcat::core::{
    Error,
    janitor::{self, CleanupReport, KeptReason, ScratchDir},
    source::InfoHash,
};
use tempfile::TempDir;
use time::OffsetDateTime;

use crate::{
    support::process::none_starting,
    worker::{self, Job, Worker},
};

const HALF_AN_HOUR: Duration = Duration::from_secs(30 * 60);

fn hash(number: u32) -> InfoHash {
    worker::hash(number, 0)
}

fn scratch() -> (TempDir, ScratchDir) {
    let root = tempfile::tempdir().unwrap();
    let scratch = ScratchDir::open(&root.path().join("temp")).unwrap();
    (root, scratch)
}

/// Puts a torrent with some data there, idle from now on; its directory.
fn store(scratch: &ScratchDir, number: u32) -> PathBuf {
    let lease = scratch.lease(&hash(number)).unwrap();
    fs::write(lease.dir().join("0-film.mkv"), vec![7; 100_000]).unwrap();
    lease.dir().to_owned()
}

fn clean(scratch: &ScratchDir) -> CleanupReport {
    clean_older(scratch, Duration::ZERO, false, OffsetDateTime::now_utc())
}

fn clean_older(
    scratch: &ScratchDir,
    older_than: Duration,
    dry_run: bool,
    now: OffsetDateTime,
) -> CleanupReport {
    let _quiet = none_starting();
    scratch.cleanup(older_than, dry_run, now).unwrap()
}

fn removed(report: &CleanupReport) -> Vec<InfoHash> {
    report.removed.iter().map(|removed| removed.info_hash).collect()
}

fn kept(report: &CleanupReport) -> Vec<(InfoHash, KeptReason)> {
    report.kept.iter().map(|kept| (kept.info_hash, kept.reason.clone())).collect()
}

#[test]
fn a_torrent_in_use_in_this_process_stays_until_the_last_lease_is_gone() {
    let (_root, scratch) = scratch();
    let dir = store(&scratch, 1);
    let lease = scratch.lease(&hash(1)).unwrap();
    let second = lease.clone();
    drop(lease);
    assert_eq!(kept(&clean(&scratch)), [(hash(1), KeptReason::InUse)]);
    assert!(matches!(scratch.remove(&hash(1)), Err(Error::Busy(_))));
    assert!(dir.join("0-film.mkv").exists());

    drop(second);
    let report = clean(&scratch);
    assert_eq!(removed(&report), [hash(1)]);
    assert!(report.freed >= 100_000 && report.freed == report.removed[0].bytes, "{report:?}");
    assert_eq!(worker::names(scratch.path()), [""; 0]);
}

#[test]
fn a_torrent_in_use_in_another_process_stays_until_that_is_gone_even_by_sigkill() {
    let (_root, scratch) = scratch();
    let mut holder = Worker::start(Job::Hold, scratch.path(), 1);
    holder.told();
    let before = worker::names(scratch.path());
    assert_eq!(kept(&clean(&scratch)), [(hash(1), KeptReason::InUse)]);
    assert_eq!(worker::names(scratch.path()), before, "its session directory stays as well");

    holder.kill();
    let report = clean(&scratch);
    assert_eq!(removed(&report), [hash(1)], "{report:?}");
    assert_eq!(worker::names(scratch.path()), [""; 0]);
}

#[test]
fn a_second_writer_is_told_who_the_first_one_is() {
    let (_root, scratch) = scratch();
    let mut holder = Worker::start(Job::Hold, scratch.path(), 1);
    holder.told();
    let lease = scratch.lease(&hash(1)).unwrap();
    let error = lease.writer("another").unwrap_err();
    let process = format!("process {} (swarmcat stream of a test) since 2", holder.id());
    assert!(matches!(error, Error::Busy(_)), "{error:?}");
    assert!(error.to_string().contains(&process), "{error}");
    assert!(error.to_string().contains(&hash(1).to_string()), "{error}");

    holder.kill();
    let writer = lease.writer("this test").unwrap();
    let error = lease.writer("another").unwrap_err().to_string();
    assert!(error.contains(&format!("process {} (this test)", std::process::id())), "{error}");
    drop(writer);
    let _quiet = none_starting();
    lease.writer("another").unwrap();
}

#[test]
fn a_writer_keeps_its_torrent_without_its_lease() {
    let (_root, scratch) = scratch();
    let lease = scratch.lease(&hash(1)).unwrap();
    let writer = lease.writer("this test").unwrap();
    drop(lease);
    assert_eq!(kept(&clean(&scratch)), [(hash(1), KeptReason::InUse)]);
    drop(writer);
    let report = clean(&scratch);
    assert_eq!(removed(&report), [hash(1)], "{report:?}");
}

#[test]
fn idle_counts_from_the_end_of_the_last_use_and_a_clock_set_back_deletes_nothing() {
    let (_root, scratch) = scratch();
    store(&scratch, 1);
    let now = OffsetDateTime::now_utc();
    let at = |now| clean_older(&scratch, HALF_AN_HOUR, false, now);
    assert_eq!(kept(&at(now + HALF_AN_HOUR / 2)), [(hash(1), KeptReason::Recent)]);
    assert_eq!(kept(&at(now - 1000 * HALF_AN_HOUR)), [(hash(1), KeptReason::Recent)]);
    let report = at(now + 2 * HALF_AN_HOUR);
    assert_eq!(removed(&report), [hash(1)]);
    assert!(report.removed[0].idle >= HALF_AN_HOUR, "{report:?}");
}

#[test]
fn a_clock_set_far_ahead_deletes_nothing_that_this_machine_has_used_since_its_start() {
    let (_root, scratch) = scratch();
    store(&scratch, 1);
    let ahead = OffsetDateTime::now_utc() + Duration::from_secs(30 * 24 * 3600);
    let report = clean_older(&scratch, HALF_AN_HOUR, false, ahead);
    assert_eq!(kept(&report), [(hash(1), KeptReason::Recent)]);
    assert!(report.kept[0].idle < HALF_AN_HOUR, "{report:?}");
    // After another start of the machine there is no telling, and the calendar is believed.
    let lock =
        fs::File::options().write(true).open(scratch.path().join(format!("{}.lock", hash(1)))).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&lock, b"another", "swarmcat\n".len() as u64).unwrap();
    assert_eq!(removed(&clean_older(&scratch, HALF_AN_HOUR, false, ahead)), [hash(1)]);
}

#[test]
fn a_lease_says_on_disk_when_it_is_used_but_not_with_every_byte() {
    let (_root, scratch) = scratch();
    let path = scratch.path().join(format!("{}.lock", hash(1)));
    let last_use = || fs::metadata(&path).unwrap().modified().unwrap();
    let long_ago = SystemTime::now() - 10 * HALF_AN_HOUR;
    let age = || fs::File::options().write(true).open(&path).unwrap().set_modified(long_ago).unwrap();

    drop(scratch.lease(&hash(1)).unwrap());
    age();
    let lease = scratch.lease(&hash(1)).unwrap();
    assert!(last_use() > long_ago, "opening is a use");
    age();
    lease.touch();
    assert_eq!(last_use(), long_ago, "less than a minute after the last touch");
    drop(lease);
    assert!(last_use() > long_ago, "closing is a use");
}

#[test]
fn a_dry_run_says_what_a_real_one_does_and_deletes_nothing() {
    let (_root, scratch) = scratch();
    store(&scratch, 1);
    store(&scratch, 2);
    let _lease = scratch.lease(&hash(2)).unwrap();
    fs::create_dir(scratch.path().join(".trash-0123456789abcdef")).unwrap();
    let before = worker::names(scratch.path());
    let now = OffsetDateTime::now_utc() + HALF_AN_HOUR;
    let said = clean_older(&scratch, HALF_AN_HOUR / 2, true, now);
    assert_eq!(worker::names(scratch.path()), before);
    let done = clean_older(&scratch, HALF_AN_HOUR / 2, false, now);
    assert!(said.dry_run && !done.dry_run);
    assert_eq!(CleanupReport { dry_run: false, ..said }, done);
    assert_eq!(removed(&done), [hash(1)]);
}

#[test]
fn a_missing_temp_directory_is_an_empty_report_and_stays_missing() {
    let root = tempfile::tempdir().unwrap();
    let temp = root.path().join("temp");
    let report = janitor::cleanup(&temp, Duration::ZERO, false, OffsetDateTime::now_utc()).unwrap();
    assert!(report.removed.is_empty() && report.kept.is_empty() && report.freed == 0);
    assert!(!temp.exists());
}

#[test]
fn what_is_made_is_for_nobody_else_to_read() {
    let (_root, scratch) = scratch();
    let lease = scratch.lease(&hash(1)).unwrap();
    let session = scratch.session_dir().unwrap();
    for (path, expected) in [
        (scratch.path(), 0o700),
        (lease.dir(), 0o700),
        (session.path(), 0o700),
        (&lease.dir().with_extension("lock"), 0o600),
    ] {
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, expected, "{}", path.display());
    }
    let space = scratch.space().unwrap();
    assert!(space.free > 0 && space.free <= space.all);
}

#[test]
fn a_session_directory_goes_with_its_session() {
    let (_root, scratch) = scratch();
    let session = scratch.session_dir().unwrap();
    fs::write(session.path().join("file"), "x").unwrap();
    drop(session);
    assert_eq!(worker::names(scratch.path()), [""; 0]);
}

#[test]
fn foreign_things_are_left_alone_whatever_they_are_called() {
    let (_root, scratch) = scratch();
    let dirs = [
        &hash(1).to_string(),
        &hash(2).to_string(),
        &format!("{}", hash(0xabcd)).to_uppercase(),
        ".trash-of-mine",
        ".trash-0123456789ABCDEF",
        ".session-1-mine",
        "films",
    ];
    for dir in dirs {
        fs::create_dir(scratch.path().join(dir)).unwrap();
        fs::write(scratch.path().join(dir).join("film"), "mine").unwrap();
    }
    fs::write(scratch.path().join(format!("{}.lock", hash(2))), "pid 1").unwrap();
    fs::write(scratch.path().join(hash(3).to_string()), "a file").unwrap();
    fs::write(scratch.path().join(".gitkeep"), "").unwrap();
    let before = worker::names(scratch.path());

    let report = clean(&scratch);
    assert_eq!(removed(&report), []);
    assert_eq!(kept(&report), [1, 2, 3].map(|n| (hash(n), KeptReason::NotOurs)));
    for number in 1..=3 {
        let error = scratch.lease(&hash(number)).unwrap_err();
        assert!(matches!(error, Error::Storage { .. }), "{error:?}");
        assert!(scratch.remove(&hash(number)).is_err());
    }
    assert_eq!(removed(&clean(&scratch)), [], "the attempt to lease it made nothing ours");
    assert_eq!(worker::names(scratch.path()), before);
    for dir in dirs {
        assert_eq!(fs::read_to_string(scratch.path().join(dir).join("film")).unwrap(), "mine");
    }
}

#[test]
fn links_planted_at_any_name_are_not_followed() {
    let (root, scratch) = scratch();
    let outside = root.path().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("file"), "precious").unwrap();
    let plant = |name: &str, target: &Path| symlink(target, scratch.path().join(name)).unwrap();

    plant(&hash(1).to_string(), &outside);
    plant(&format!("{}.lock", hash(2)), &outside.join("file"));
    plant(&format!("{}.lock", hash(3)), &outside.join("new"));
    plant(".trash-0123456789abcdef", &outside);
    plant(".session-1-0123456789abcdef", &outside);
    plant(".session-1-0123456789abcdef.lock", &outside.join("file"));
    for number in 1..=3 {
        assert!(matches!(scratch.lease(&hash(number)), Err(Error::Storage { .. })), "{number}");
        assert_eq!(scratch.remove(&hash(number)).is_ok(), number != 1, "{number}");
    }

    let dir = store(&scratch, 4);
    symlink(&outside, dir.join("1-link")).unwrap();
    let lease = scratch.lease(&hash(5)).unwrap();
    symlink(outside.join("file"), lease.dir().join("writer.lock")).unwrap();
    assert!(matches!(lease.writer("this test"), Err(Error::Storage { .. })));

    // A marked lock file beside a link that took the directory's place.
    let dir = store(&scratch, 6);
    fs::remove_dir_all(&dir).unwrap();
    symlink(&outside, &dir).unwrap();
    assert!(matches!(scratch.lease(&hash(6)), Err(Error::Storage { .. })));

    let report = clean(&scratch);
    assert_eq!(removed(&report), [hash(4)]);
    assert_eq!(
        kept(&report),
        [(hash(1), KeptReason::NotOurs), (hash(5), KeptReason::InUse), (hash(6), KeptReason::NotOurs)]
    );
    assert_eq!(worker::names(&outside), ["file"]);
    assert_eq!(fs::read_to_string(outside.join("file")).unwrap(), "precious");
}

#[test]
fn a_temp_directory_that_is_a_link_is_refused_however_it_is_written() {
    let root = tempfile::tempdir().unwrap();
    let link = root.path().join("link");
    symlink(root.path().join("elsewhere"), &link).unwrap();
    assert!(ScratchDir::open(&link).is_err(), "dangling");
    assert!(!root.path().join("elsewhere").exists());
    fs::create_dir(root.path().join("elsewhere")).unwrap();
    for form in [link.clone(), link.join(""), link.join(".")] {
        let error = ScratchDir::open(&form).unwrap_err().to_string();
        assert!(error.contains("symbolic link"), "{error}");
        assert!(janitor::cleanup(&form, Duration::ZERO, false, OffsetDateTime::now_utc()).is_err());
    }
}

#[test]
fn what_a_killed_cleanup_left_is_finished_by_the_next() {
    let (_root, scratch) = scratch();
    let trash = scratch.path().join(".trash-0123456789abcdef");
    fs::create_dir(&trash).unwrap();
    fs::write(trash.join("0-film.mkv"), vec![7; 100_000]).unwrap();
    let dir = store(&scratch, 1);
    fs::remove_dir_all(&dir).unwrap();
    let report = clean(&scratch);
    assert!(report.freed >= 100_000, "{report:?}");
    assert_eq!((removed(&report), kept(&report)), (vec![], vec![]));
    assert_eq!(worker::names(scratch.path()), [""; 0]);
}

#[test]
fn cleanups_killed_at_any_moment_leave_nothing_that_the_next_cannot_finish() {
    let (_root, scratch) = scratch();
    let kept_lease = scratch.lease(&hash(1000)).unwrap();
    fs::write(kept_lease.dir().join("0-film.mkv"), "used").unwrap();
    for round in 0..20u32 {
        for number in 0..3 {
            let lease = scratch.lease(&hash(number)).unwrap();
            (0..50).for_each(|n| fs::write(lease.dir().join(format!("{n}-part")), "x").unwrap());
        }
        let worker = Worker::start(Job::Cleanup, scratch.path(), round);
        // Not a guess at how long something takes: any moment is a good one to be killed at.
        std::thread::sleep(Duration::from_micros(rand::random_range(0..30_000)));
        worker.kill();
    }
    clean(&scratch);
    assert_eq!(worker::names(scratch.path()), [hash(1000).to_string(), format!("{}.lock", hash(1000))]);
    assert_eq!(fs::read_to_string(kept_lease.dir().join("0-film.mkv")).unwrap(), "used");
}

#[test]
fn sparse_files_count_what_they_take() {
    let (_root, scratch) = scratch();
    let lease = scratch.lease(&hash(1)).unwrap();
    fs::File::create(lease.dir().join("0-film.mkv")).unwrap().set_len(1 << 30).unwrap();
    drop(lease);
    let report = clean(&scratch);
    assert!(report.removed[0].bytes < 1 << 20, "{report:?}");
}

#[test]
fn twenty_cleanups_racing_with_leases_never_delete_a_leased_directory() {
    const LEASES: usize = 150;
    let (_root, scratch) = scratch();
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..20 {
            scope.spawn(|| {
                while !over.load(Relaxed) {
                    clean(&scratch);
                }
            });
        }
        let streams: Vec<_> = (0..4u32)
            .map(|stream| {
                let scratch = &scratch;
                scope.spawn(move || {
                    for turn in 0..LEASES {
                        let lease = scratch.lease(&hash(turn as u32 % 2)).unwrap();
                        let file = lease.dir().join(format!("{stream}-{turn}"));
                        fs::write(&file, "leased").unwrap();
                        std::thread::yield_now();
                        assert_eq!(fs::read_to_string(&file).unwrap(), "leased");
                    }
                })
            })
            .collect();
        let ended: Vec<_> = streams.into_iter().map(|stream| stream.join()).collect();
        over.store(true, Relaxed);
        assert!(ended.iter().all(Result::is_ok), "a leased directory was deleted");
    });
    clean(&scratch);
    assert_eq!(worker::names(scratch.path()), [""; 0]);
}
