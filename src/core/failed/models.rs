//! The table between threads that share what was read and processes that share the file.

use tempfile::TempDir;

use super::*;
use crate::core::sync::models::{explore, memory_dir, shared, side_by_side};

const NOW: OffsetDateTime = OffsetDateTime::UNIX_EPOCH;
const A: InfoHash = InfoHash::new([1; 20]);
const B: InfoHash = InfoHash::new([2; 20]);
const C: InfoHash = InfoHash::new([3; 20]);
const D: InfoHash = InfoHash::new([4; 20]);

/// The table as another process has it.
fn process(dir: &TempDir) -> FailedTable {
    FailedTable::new(dir.path(), CooldownSettings::default())
}

/// The same, for which a lock that is not free is a disk that does not write.
fn hasty(dir: &TempDir) -> FailedTable {
    process(dir).with_lock_wait(Duration::ZERO)
}

impl FailedTable {
    fn fails(&self, hash: InfoHash) -> Result<Entry, Error> {
        let recorded = self.record(hash, FailureKind::NoPeers, "nobody", None, NOW);
        assert!(self.is_cooling(&hash, None, NOW).unwrap(), "a failure is known to who recorded it");
        recorded
    }

    fn rows(&self) -> Vec<(InfoHash, u32)> {
        let listed = self.list(true, NOW).unwrap();
        let mut rows: Vec<_> = listed.iter().map(|row| (row.entry.info_hash, row.entry.attempts)).collect();
        rows.sort_unstable();
        rows
    }
}

#[test]
fn nothing_that_was_acknowledged_is_lost() {
    explore(|| {
        let dir = memory_dir();
        let ([here, also_here, still_here], there) = (shared(process(&dir)), process(&dir));
        side_by_side([
            Box::new(move || drop(here.fails(A).unwrap())),
            Box::new(move || drop(also_here.fails(B).unwrap())),
            Box::new(move || drop(there.fails(A).unwrap())),
        ]);
        assert_eq!(process(&dir).rows(), [(A, 2), (B, 1)]);
        assert_eq!(still_here.rows(), [(A, 2), (B, 1)], "what was kept in memory is out of date");
    });
}

#[test]
fn who_looks_again_sees_nothing_older() {
    explore(|| {
        let dir = memory_dir();
        let ([here, also_here, still_here], there) = (shared(process(&dir)), process(&dir));
        side_by_side([
            Box::new(move || {
                let mut seen = Vec::new();
                for _ in 0..4 {
                    let rows = here.rows();
                    assert!(seen.iter().all(|row| rows.contains(row)), "{seen:?}, then {rows:?}");
                    seen = rows;
                }
            }),
            Box::new(move || drop(also_here.fails(A).unwrap())),
            Box::new(move || [B, C].iter().for_each(|hash| drop(there.fails(*hash).unwrap()))),
        ]);
        assert_eq!(still_here.rows(), [(A, 1), (B, 1), (C, 1)]);
    });
}

#[test]
fn what_another_process_clears_does_not_come_back() {
    explore(|| {
        let dir = memory_dir();
        let ([here, also_here, still_here], there) = (shared(process(&dir)), process(&dir));
        here.fails(A).unwrap();
        side_by_side([
            Box::new(move || drop(here.fails(B).unwrap())),
            Box::new(move || drop(also_here.rows())),
            Box::new(move || {
                there.clear(&[A], NOW).unwrap();
                assert!(!there.is_cooling(&A, None, NOW).unwrap());
            }),
        ]);
        assert_eq!(process(&dir).rows(), [(B, 1)]);
        assert_eq!(still_here.rows(), [(B, 1)]);
    });
}

#[test]
fn what_could_not_be_written_is_written_with_the_next() {
    explore(|| {
        let dir = memory_dir();
        let ([here, also_here, still_here], there) = (shared(hasty(&dir)), hasty(&dir));
        side_by_side([
            Box::new(move || [A, A].iter().for_each(|hash| drop(here.fails(*hash)))),
            Box::new(move || drop(also_here.fails(B))),
            Box::new(move || drop(there.fails(C))),
        ]);
        still_here.fails(D).unwrap();
        let rows = process(&dir).rows();
        for row in [(A, 2), (B, 1), (D, 1)] {
            assert!(rows.contains(&row), "{row:?} is not in {rows:?}");
        }
    });
}

#[test]
fn a_success_is_not_undone_by_a_failure_that_is_written_late() {
    explore(|| {
        let dir = memory_dir();
        let ([here, also_here, still_here], there) = (shared(hasty(&dir)), hasty(&dir));
        let forgotten = Arc::new(Mutex::new(false));
        let forgets = forgotten.clone();
        side_by_side([
            Box::new(move || {
                drop(here.fails(A));
                *lock(&forgets) = here.forget(&A, NOW).is_ok();
            }),
            Box::new(move || drop(also_here.fails(B))),
            Box::new(move || drop(there.fails(C))),
        ]);
        if *lock(&forgotten) {
            assert!(!still_here.is_cooling(&A, None, NOW).unwrap());
            still_here.fails(D).unwrap();
            assert!(!process(&dir).is_cooling(&A, None, NOW).unwrap(), "it is back");
        }
    });
}
