//! What strangers write: for each kind a function that takes it as it comes, and panics when a promise is broken.
//!
//! The bodies of the fuzz targets in `tests/fuzz`; `tests/it` runs them on the corpora. No part of the library's interface.

use std::path::{Component, Path};

use bytes::Bytes;

use crate::{
    config,
    core::{
        container::{Told, look},
        content::disk_name,
        failed::Table,
        source::{InfoHash, Source},
        store::both_readings,
        swarm,
    },
    http,
};

/// Takes bytes as they come.
pub type Target = fn(&[u8]);

/// Each kind, and what takes it.
pub const TARGETS: [(&str, Target); 9] = [
    ("source", source),
    ("metainfo", metainfo),
    ("table", table),
    ("config", config),
    ("range", http::fuzzing::range),
    ("request", http::fuzzing::request),
    ("wire", swarm::fuzzing::wire),
    ("desk", swarm::fuzzing::desk),
    ("container", container),
];

/// Runs one of them.
pub fn run(name: &str, data: &[u8]) {
    TARGETS.iter().filter(|(known, _)| *known == name).for_each(|(_, target)| target(data));
}

/// What is typed, or named in a request: what is taken of it is bounded, and a hash is printed as it is read.
fn source(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    match text.parse::<Source>() {
        Ok(Source::Magnet(magnet)) => {
            assert!(magnet.trackers.len() <= 20 && magnet.peers.len() <= 50 && magnet.web_seeds.len() <= 20);
            assert!(magnet.name.is_none_or(|name| name.chars().count() <= 255));
        }
        Ok(Source::Hash(hash)) => assert_eq!(hash.to_string().parse::<InfoHash>().ok(), Some(hash)),
        Ok(_) => {}
        Err(error) => assert!(error.to_string().len() < 4096, "an error that nobody reads"),
    }
}

/// A `.torrent`: what is taken holds together, and every file lies in its directory.
fn metainfo(data: &[u8]) {
    let Ok(metainfo) = swarm::metainfo::parse(Bytes::copy_from_slice(data)) else { return };
    assert!(!metainfo.files.is_empty() && metainfo.pieces() > 0);
    let mut offset = 0;
    for file in &metainfo.files {
        assert_eq!(file.offset, offset);
        offset += file.len;
        let name = disk_name(file.index, file.path.last().map_or("", String::as_str));
        let components: Vec<_> = Path::new(&name).components().collect();
        assert!(matches!(components[..], [Component::Normal(_)]) && name.len() <= 255, "{name:?}");
        assert!(!name.chars().any(char::is_control), "{name:?}");
        let pieces = metainfo.pieces_of(file);
        assert!(pieces.end <= metainfo.pieces());
    }
    assert_eq!(offset, metainfo.total_len);
    let last = metainfo.pieces() - 1;
    assert_eq!(metainfo.piece_start(last) + metainfo.piece_len(last), metainfo.total_len);
}

/// The table's file: the quick way of reading it reads nothing that TOML reads otherwise.
fn table(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (quick, toml) = both_readings::<Table>(&text);
    assert!(quick.is_none() || quick == toml, "{text}");
}

/// The configuration file: an error names a line.
fn config(data: &[u8]) {
    if let Err(error) = config::parse(&String::from_utf8_lossy(data)) {
        assert!(!error.is_empty());
    }
}

/// A film's first bytes: what they tell is a part of the file, and what fewer of them told before.
fn container(data: &[u8]) {
    for len in [data.len() as u64, 1 << 20, 1 << 40, u64::MAX] {
        let told = look(data, len);
        if let Told::Index(index) = &told {
            assert!(index.start < index.end && index.end <= len, "{index:?} of {len}");
        }
        for part in (0..data.len()).step_by(7) {
            let early = look(&data[..part], len);
            assert!(early == Told::Little || early == told, "{early:?} of {part} bytes, then {told:?}");
        }
    }
}
