//! Readers that wait, and whoever brings them their pieces or ends the torrent.

use tempfile::TempDir;

use super::*;
use crate::core::{
    metainfo::tests::sample,
    sync::models::{block_on, explore_in_time, memory_dir, shared, side_by_side},
};

const PAYLOAD: &[u8; 30] = b"0123456789abcdefghijABCDEFGHIJ";

/// A torrent of three pieces of ten bytes, none of them there.
pub(crate) fn torrent(dir: &std::path::Path) -> Torrent {
    let content = Arc::new(Content::open(dir, Arc::new(sample(10, &[30], PAYLOAD))));
    content.set_len(0, 30).unwrap();
    torrent_of(content)
}

/// What readers share of this torrent.
pub(crate) fn torrent_of(content: Arc<Content>) -> Torrent {
    Torrent {
        content,
        playheads: Arc::default(),
        ended: watch::Sender::new(None),
        stall_timeout: Duration::from_secs(3600),
        status: watch::channel(Status::default()).1,
        on_stall: Box::new(|_| {}),
        upkeep: Box::new(()),
        audience: Audience::default(),
    }
}

/// Its only file.
pub(crate) fn opened(torrent: Arc<Torrent>) -> Opened {
    let metainfo = torrent.content.metainfo();
    let media = Media::new(metainfo.info_hash, &metainfo.files[0]);
    Opened::new(torrent, media)
}

fn bench() -> (TempDir, Opened) {
    let dir = memory_dir();
    let opened = opened(Arc::new(torrent(dir.path())));
    (dir, opened)
}

impl Opened {
    fn arrive(&self, piece: u32) {
        let at = piece as usize * 10;
        self.content().write_torrent(at as u64, &[&PAYLOAD[at..at + 10]]).unwrap();
        self.content().complete(piece);
    }

    /// Reads a range, at most so many bytes at a time.
    pub(crate) fn read(&self, range: Range<u64>, at_a_time: usize) -> Result<Vec<u8>, Error> {
        let mut reader = self.reader(range);
        let mut all = Vec::new();
        block_on(async {
            while let Some(bytes) = reader.chunk(at_a_time).await? {
                all.extend_from_slice(&bytes);
            }
            Ok(all)
        })
    }
}

#[test]
fn no_reader_sleeps_through_its_piece() {
    explore_in_time(|_| {
        let (_dir, opened) = bench();
        let [one, other, left] = shared(opened);
        let [brings, brings_too] = [left.clone(), left.clone()];
        side_by_side([
            Box::new(move || assert_eq!(one.read(0..30, 7).unwrap(), PAYLOAD)),
            Box::new(move || assert_eq!(other.read(5..25, 7).unwrap(), PAYLOAD[5..25])),
            Box::new(move || [1, 0].iter().for_each(|piece| brings.arrive(*piece))),
            Box::new(move || brings_too.arrive(2)),
        ]);
        assert_eq!(left.torrent.audience.readers(), 0);
        assert_eq!(left.playheads().snapshot(), [], "nobody needs anything any more");
    });
}

#[test]
fn no_reader_outlives_its_torrent() {
    explore_in_time(|_| {
        let (_dir, opened) = bench();
        let [one, other, left] = shared(opened);
        let brings = left.clone();
        side_by_side([
            Box::new(move || drop(one.read(0..30, 7).unwrap_err())),
            Box::new(move || drop(other.read(0..20, 7))),
            Box::new(move || brings.arrive(0)),
            Box::new(move || drop(left.torrent.ended.send_replace(Some(Error::Cancelled)))),
        ]);
    });
}
