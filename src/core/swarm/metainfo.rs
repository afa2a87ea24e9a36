//! `.torrent` bytes to [`Metainfo`]: everything that librqbit would trip over is refused here, before it sees it.

use bytes::Bytes;
use librqbit::{TorrentMetaV1Info, ValidatedTorrentMetaV1Info};
use librqbit_bencode::ByteBuf;
use librqbit_core::torrent_metainfo::torrent_from_bytes;
use url::Url;

use super::bencode::is_well_formed;
use crate::core::{
    Error,
    metainfo::{FileEntry, Metainfo},
    source::{InfoHash, tracker_url},
};

/// The largest metainfo that is looked at. 10 MiB holds 500 000 piece hashes.
pub const MAX_METAINFO: usize = 10 << 20;
/// librqbit reads bit fields of at most 32 KiB: 2^18 pieces.
const MAX_PIECES: u64 = 1 << 18;
/// More files than any honest torrent has; each costs a handle and a line in every list.
const MAX_FILES: usize = 100_000;
/// A piece is held in memory when it is hashed. Clients make pieces of at most 128 MiB.
const MAX_PIECE_LENGTH: u32 = 256 << 20;

/// Parses and validates; an error is about the torrent and for people.
pub fn parse(torrent_bytes: Bytes) -> Result<Metainfo, Error> {
    let bad = |reason: String| Error::BadSource(format!("not a usable torrent: {reason}"));
    if torrent_bytes.len() > MAX_METAINFO {
        return Err(bad(format!("its metainfo is larger than {} MiB", MAX_METAINFO >> 20)));
    }
    if !is_well_formed(&torrent_bytes) {
        return Err(bad("it is not well-formed bencode".into()));
    }
    let wide = Wide::read(&torrent_bytes).map_err(bad)?;
    let torrent = torrent_from_bytes(&torrent_bytes)
        .map_err(|error| bad(if wide.is_v2() { V2_ONLY.into() } else { error.to_string() }))?;
    let trackers = torrent
        .iter_announce()
        .filter_map(|url| tracker_url(std::str::from_utf8(url.as_ref()).ok()?))
        .take(MAX_TRACKERS)
        .collect();
    let info_hash = InfoHash::new(torrent.info_hash.0);
    let info_bytes = Bytes::copy_from_slice(torrent.info.raw_bytes.as_ref());
    let private = torrent.info.data.private;
    let pieces = check_numbers(&torrent.info.data).map_err(bad)?;
    let piece_hashes = Bytes::copy_from_slice(&torrent.info.data.pieces.as_ref()[..pieces * 20]);
    let info = torrent.info.data.validate().map_err(|error| bad(error.to_string()))?;
    Ok(Metainfo {
        info_hash,
        name: info.name().map(|name| name.into_owned()).unwrap_or_default(),
        piece_length: info.lengths().default_piece_length(),
        total_len: info.lengths().total_length(),
        files: files(&info),
        private,
        trackers: dedup(trackers),
        piece_hashes,
        info_bytes,
        torrent_bytes,
    })
}

/// Trackers taken from one torrent.
const MAX_TRACKERS: usize = 50;

const V2_ONLY: &str = "it is a BitTorrent v2 torrent, and v2 is not supported";

/// The `.torrent` of an info dictionary that peers sent, with the trackers that led to it.
pub fn torrent_file(info: &[u8], trackers: &[Url]) -> Bytes {
    let mut file = b"d".to_vec();
    if !trackers.is_empty() {
        // One tier a tracker, as BEP 12 has it; keys of a dictionary are sorted, and "announce-list" < "info".
        file.extend_from_slice(b"13:announce-listl");
        for url in trackers {
            file.extend_from_slice(format!("l{}:{url}e", url.as_str().len()).as_bytes());
        }
        file.push(b'e');
    }
    file.extend_from_slice(b"4:info");
    file.extend_from_slice(info);
    file.push(b'e');
    file.into()
}

/// What librqbit's own validation takes for granted: it divides by the piece length and trusts the number of hashes.
/// How many pieces there are.
fn check_numbers(info: &TorrentMetaV1Info<ByteBuf<'_>>) -> Result<usize, String> {
    let piece_length = info.piece_length;
    if piece_length == 0 {
        return Err("its piece length is 0 bytes".into());
    }
    let lens = match (&info.files, info.length) {
        (Some(files), _) => files.iter().map(|file| file.length).collect(),
        (None, Some(len)) => vec![len],
        (None, None) => Vec::new(),
    };
    if lens.len() > MAX_FILES {
        return Err(format!("it has {} files; at most {MAX_FILES} are supported", lens.len()));
    }
    let total = lens
        .iter()
        .try_fold(0u64, |sum, len| sum.checked_add(*len))
        .filter(|total| *total <= i64::MAX as u64);
    let total = total.ok_or("its files are impossibly large")?;
    let pieces = total.div_ceil(u64::from(piece_length));
    if pieces > MAX_PIECES {
        return Err(format!("it has {pieces} pieces; at most {MAX_PIECES} are supported"));
    }
    // librqbit's own torrents have one hash too many where the length is a multiple of the piece length.
    if ![pieces * 20, pieces * 20 + 20].contains(&(info.pieces.as_ref().len() as u64)) {
        return Err(format!("it has {} bytes of hashes for {pieces} pieces", info.pieces.as_ref().len()));
    }
    Ok(pieces as usize)
}

fn files<B: AsRef<[u8]>>(info: &ValidatedTorrentMetaV1Info<B>) -> Vec<FileEntry> {
    let mut offset = 0;
    let entry = |(index, file): (usize, librqbit::FileDetails<'_, B>)| {
        let entry = FileEntry {
            index,
            path: file.filename.to_vec(),
            len: file.len,
            offset,
            padding: file.attrs().padding,
        };
        offset += file.len;
        entry
    };
    info.iter_file_details().enumerate().map(entry).collect()
}

/// The numbers that librqbit reads into fewer than 64 bits, which would panic or wrap.
#[derive(serde::Deserialize)]
struct Wide {
    #[serde(rename = "piece length")]
    piece_length: Option<u64>,
    private: Option<u64>,
    #[serde(rename = "meta version")]
    meta_version: Option<u64>,
}

impl Wide {
    fn read(bytes: &[u8]) -> Result<Self, String> {
        #[derive(serde::Deserialize)]
        struct Torrent {
            info: Wide,
        }
        let Torrent { info: wide } =
            librqbit_bencode::from_bytes(bytes).map_err(|error| error.to_string())?;
        if let Some(piece_length) = wide.piece_length.filter(|len| *len > MAX_PIECE_LENGTH.into()) {
            return Err(format!("its piece length is {piece_length} bytes"));
        }
        match wide.private {
            Some(2..) => Err("it is neither private nor public".into()),
            _ => Ok(wide),
        }
    }

    fn is_v2(&self) -> bool {
        self.meta_version == Some(2)
    }
}

fn dedup(trackers: Vec<Url>) -> Vec<Url> {
    let mut seen = std::collections::HashSet::new();
    trackers.into_iter().filter(|url| seen.insert(url.clone())).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn torrent(info: &str) -> Result<Metainfo, Error> {
        parse(torrent_file(info.as_bytes(), &[]))
    }

    fn refusal(info: &str) -> String {
        torrent(info).expect_err(info).to_string()
    }

    fn hashes(pieces: usize) -> String {
        format!("6:pieces{}:{}", pieces * 20, "h".repeat(pieces * 20))
    }

    #[test]
    fn files_get_the_offsets_that_the_wire_uses() {
        let files = "5:filesld6:lengthi5e4:pathl1:a1:beed4:attr1:p6:lengthi3e4:pathl4:.pad1:3eed6:lengthi9e4:pathl1:ceee";
        let meta = torrent(&format!("d{files}4:name1:n12:piece lengthi8e{}e", hashes(3))).unwrap();
        let seen: Vec<_> =
            meta.files.iter().map(|f| (f.display_path(), f.offset, f.len, f.padding)).collect();
        assert_eq!(
            seen,
            [("a/b".into(), 0, 5, false), (".pad/3".into(), 5, 3, true), ("c".into(), 8, 9, false)]
        );
        assert_eq!((meta.pieces(), meta.total_len, meta.name.as_str()), (3, 17, "n"));
    }

    #[test]
    fn a_torrent_made_from_an_info_dictionary_keeps_hash_and_trackers() {
        let info = format!("d6:lengthi5e4:name1:n12:piece lengthi8e{}e", hashes(1));
        let trackers =
            [Url::parse("http://t.example/announce").unwrap(), Url::parse("udp://u.example:1/").unwrap()];
        let meta = parse(torrent_file(info.as_bytes(), &trackers)).unwrap();
        assert_eq!(meta.trackers, trackers);
        assert_eq!(meta.info_hash, torrent(&info).unwrap().info_hash);
    }

    #[test]
    fn numbers_that_would_panic_or_wrap_later_are_refused() {
        let of = |length: &str, piece_length: &str, pieces| {
            refusal(&format!(
                "d6:lengthi{length}e4:name1:n12:piece lengthi{piece_length}e{}e",
                hashes(pieces)
            ))
        };
        assert!(of("5", "0", 1).contains("piece length"));
        assert!(of("5", "1000000000", 1).contains("piece length"));
        // 2^32 + 16384.
        assert!(of("5", "4294983680", 1).contains("piece length"));
        let secret = format!("d6:lengthi5e4:name1:n12:piece lengthi8e{}7:privatei256ee", hashes(1));
        assert!(refusal(&secret).contains("private"));
        assert!(of("9", "4", 2).contains("hashes for 3 pieces"));
        assert!(of("9", "4", 5).contains("hashes for 3 pieces"));
        assert!(of("900000000000000000", "16384", 2).contains("pieces; at most"));
        assert!(of("18446744073709551615", "16384", 2).contains("well-formed"));
        assert!(of("0", "16384", 0).contains("not a usable torrent"));
    }

    #[test]
    fn lengths_that_add_up_to_too_much_are_refused() {
        let file = "d6:lengthi999999999999999999e4:pathl1:aee";
        let info = format!("d5:filesl{}e4:name1:n12:piece lengthi16384e{}e", file.repeat(20), hashes(1));
        assert!(refusal(&info).contains("impossibly large"));
    }

    #[test]
    fn one_hash_too_many_is_passed_over() {
        let meta = torrent(&format!("d6:lengthi8e4:name1:n12:piece lengthi4e{}e", hashes(3))).unwrap();
        assert_eq!(meta.pieces(), 2);
    }

    #[test]
    fn paths_that_climb_are_refused() {
        let files = "5:filesld6:lengthi5e4:pathl2:..1:beee";
        assert!(refusal(&format!("d{files}4:name1:n12:piece lengthi8e{}e", hashes(1))).contains("path"));
    }

    #[test]
    fn v2_torrents_and_other_files_are_told_apart() {
        assert!(refusal("d9:file treede12:meta versioni2e4:name1:n12:piece lengthi16384ee").contains("v2"));
        assert!(
            parse(Bytes::from_static(b"<html>")).unwrap_err().to_string().contains("not a usable torrent")
        );
    }

    proptest! {
        #[test]
        fn any_bytes_are_parsed_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = parse(bytes.clone().into());
            let _ = parse(torrent_file(&bytes, &[]));
        }

        #[test]
        fn any_numbers_are_accepted_or_refused(len in any::<u64>(), piece in any::<u32>(), pieces in 0usize..4) {
            let _ = torrent(&format!("d6:lengthi{len}e4:name1:n12:piece lengthi{piece}e{}e", hashes(pieces)));
        }
    }
}
