//! Leases, writers and deletions of one torrent, in several processes.

use tempfile::TempDir;

use super::*;
use crate::core::sync::models::{explore, memory_dir, side_by_side};

const HASH: InfoHash = InfoHash::new([1; 20]);

/// The temp directory as a process has it.
fn process(dir: &TempDir) -> ScratchDir {
    ScratchDir::open(dir.path()).unwrap()
}

/// Uses the torrent, and finds what it put there for as long as it does.
fn uses(scratch: &ScratchDir, name: &str) {
    let lease = scratch.lease(&HASH).unwrap();
    let file = lease.dir().join(name);
    fs::write(&file, name).unwrap();
    for _ in 0..3 {
        others_may_act();
        assert_eq!(fs::read_to_string(&file).unwrap(), name, "it was removed while in use");
    }
}

fn clears(scratch: &ScratchDir) {
    scratch.cleanup(Duration::ZERO, false, OffsetDateTime::now_utc()).unwrap();
}

#[test]
fn what_is_in_use_is_not_removed_and_what_is_not_goes() {
    explore(|| {
        let dir = memory_dir();
        let [one, other, cleanup, delete] = [(); 4].map(|()| process(&dir));
        side_by_side([
            Box::new(move || uses(&one, "one")),
            Box::new(move || uses(&other, "other")),
            Box::new(move || clears(&cleanup)),
            Box::new(move || drop(delete.remove(&HASH))),
        ]);
        clears(&process(&dir));
        let left: Vec<_> =
            fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert!(left.is_empty(), "{left:?}");
    });
}

#[test]
fn one_process_at_a_time_writes() {
    explore(|| {
        let dir = memory_dir();
        let [one, other, cleanup] = [(); 3].map(|()| process(&dir));
        let downloads = |scratch: ScratchDir| {
            let lease = scratch.lease(&HASH).unwrap();
            let Ok(_writer) = lease.writer("stream") else { return };
            let file = lease.dir().join("0-film.mkv");
            OpenOptions::new().write(true).create_new(true).open(&file).expect("nobody else is writing");
            others_may_act();
            fs::remove_file(&file).expect("and nobody removes it");
        };
        side_by_side([
            Box::new(move || downloads(one)),
            Box::new(move || downloads(other)),
            Box::new(move || clears(&cleanup)),
        ]);
    });
}
