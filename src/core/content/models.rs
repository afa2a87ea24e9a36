//! What several processes note of one torrent.

use super::*;
use crate::core::{
    metainfo::tests::sample,
    sync::models::{explore, memory_dir, side_by_side},
};

const PAYLOAD: &[u8; 30] = b"0123456789abcdefghijABCDEFGHIJ";

/// The torrent as a process has it: three files of a piece each.
fn process(dir: &Path) -> Content {
    Content::open(dir, Arc::new(sample(10, &[10, 10, 10], PAYLOAD)))
}

fn brings(content: &Content, piece: u32) {
    let at = piece as usize * 10;
    content.write_torrent(at as u64, &[&PAYLOAD[at..at + 10]]).unwrap();
    content.complete(piece);
    content.save().unwrap();
}

#[test]
fn what_each_of_them_brought_is_kept() {
    explore(|| {
        let dir = memory_dir();
        let [one, two, three] = [0, 1, 2].map(|piece| (process(dir.path()), piece));
        side_by_side([
            Box::new(move || brings(&one.0, one.1)),
            Box::new(move || brings(&two.0, two.1)),
            Box::new(move || brings(&three.0, three.1)),
        ]);
        let after = process(dir.path());
        assert_eq!(after.verified().to_bytes(), [0b1110_0000], "each of them, and sealed");
    });
}

#[test]
fn whoever_completes_a_file_seals_it() {
    explore(|| {
        let dir = memory_dir();
        let content = Arc::new(Content::open(dir.path(), Arc::new(sample(10, &[30], PAYLOAD))));
        let [one, two, three] = [0, 1, 2].map(|piece| (content.clone(), piece));
        side_by_side([
            Box::new(move || brings(&one.0, one.1)),
            Box::new(move || brings(&two.0, two.1)),
            Box::new(move || brings(&three.0, three.1)),
        ]);
        let after = Content::open(dir.path(), content.metainfo().clone());
        assert_eq!(after.verified().count(), 3);
    });
}
