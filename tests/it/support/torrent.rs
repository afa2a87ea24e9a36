//! Torrents made from seeded random bytes: well-formed, hostile and broken ones.
//!
//! The same name, sizes and seed give the same torrent in every run.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use rand::{RngCore, SeedableRng, rngs::StdRng};
use sha1::{Digest, Sha1};

use super::bencode::Value;

pub const KIB: usize = 1024;
pub const MIB: usize = 1024 * KIB;

/// A torrent and all its bytes. Cheap to clone.
#[derive(Clone)]
pub struct Torrent(Arc<Parts>);

struct Parts {
    info: Vec<u8>,
    metainfo: Vec<u8>,
    info_hash: [u8; 20],
    name: Vec<u8>,
    piece_length: usize,
    files: Vec<File>,
    content: Vec<u8>,
}

/// One file of a torrent, as the metainfo lists it.
struct File {
    path: Vec<Vec<u8>>,
    offset: usize,
    len: usize,
    padding: bool,
}

/// Says what the torrent shall be; [`TorrentBuilder::build`] makes it.
pub struct TorrentBuilder {
    name: Vec<u8>,
    layout: Layout,
    piece_length: usize,
    seed: u64,
    trackers: Vec<String>,
    private: bool,
    stated_piece_length: Option<String>,
    missing_hashes: usize,
    given: Option<Vec<u8>>,
}

enum Layout {
    Single(usize),
    Multi(Vec<(Vec<Vec<u8>>, usize, bool)>),
}

impl Torrent {
    /// One file with these bytes.
    pub fn of(name: impl AsRef<[u8]>, bytes: Vec<u8>) -> TorrentBuilder {
        let mut builder = Self::single(name, bytes.len());
        builder.given = Some(bytes);
        builder
    }

    /// One file of `len` bytes.
    pub fn single(name: impl AsRef<[u8]>, len: usize) -> TorrentBuilder {
        TorrentBuilder::new(name.as_ref(), Layout::Single(len))
    }

    /// A directory; files are added with [`TorrentBuilder::file`].
    pub fn multi(name: impl AsRef<[u8]>) -> TorrentBuilder {
        TorrentBuilder::new(name.as_ref(), Layout::Multi(Vec::new()))
    }

    pub fn info(&self) -> &[u8] {
        &self.0.info
    }

    pub fn metainfo(&self) -> &[u8] {
        &self.0.metainfo
    }

    pub fn info_hash(&self) -> [u8; 20] {
        self.0.info_hash
    }

    pub fn hex(&self) -> String {
        data_encoding::HEXLOWER.encode(&self.0.info_hash)
    }

    pub fn base32(&self) -> String {
        data_encoding::BASE32.encode(&self.0.info_hash)
    }

    /// A magnet URI with nothing but the hash.
    pub fn magnet(&self) -> String {
        format!("magnet:?xt=urn:btih:{}", self.hex())
    }

    /// All bytes in the metainfo's order, padding included.
    pub fn content(&self) -> &[u8] {
        &self.0.content
    }

    /// The bytes of file `index`.
    pub fn file(&self, index: usize) -> &[u8] {
        let file = &self.0.files[index];
        &self.0.content[file.offset..file.offset + file.len]
    }

    pub fn piece_length(&self) -> usize {
        self.0.piece_length
    }

    pub fn piece_count(&self) -> usize {
        self.0.content.len().div_ceil(self.0.piece_length)
    }

    /// Blocks of 16 KiB that a full download asks for at least.
    pub fn block_count(&self) -> usize {
        self.0.content.chunks(self.0.piece_length).map(|piece| piece.len().div_ceil(16 * KIB)).sum()
    }

    /// Where below `dir` a client keeps the files: a torrent with a file list has a directory of its own.
    pub fn content_dir(&self, dir: &Path) -> PathBuf {
        if self.is_single() { dir.to_owned() } else { dir.join(text(&self.0.name)) }
    }

    /// Where below `dir` a client keeps one of them.
    pub fn file_path(&self, dir: &Path, index: usize) -> PathBuf {
        let base = self.content_dir(dir);
        match self.is_single() {
            true => base.join(text(&self.0.name)),
            false => self.0.files[index].path.iter().fold(base, |path, component| path.join(text(component))),
        }
    }

    /// Lays the files out below `dir` as a client that seeds them expects it.
    pub fn write_content(&self, dir: &Path) {
        for index in 0..self.0.files.len() {
            let path = self.file_path(dir, index);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, self.file(index)).unwrap();
        }
    }

    fn is_single(&self) -> bool {
        self.0.files.first().is_some_and(|file| file.path.is_empty())
    }
}

impl TorrentBuilder {
    fn new(name: &[u8], layout: Layout) -> Self {
        Self {
            name: name.to_vec(),
            layout,
            piece_length: 64 * KIB,
            seed: 0,
            trackers: Vec::new(),
            private: false,
            stated_piece_length: None,
            missing_hashes: 0,
            given: None,
        }
    }

    /// Adds `dir/…/name` with `len` bytes.
    pub fn file(self, path: &str, len: usize) -> Self {
        self.raw_file(path.split('/').map(|component| component.as_bytes().to_vec()).collect(), len)
    }

    /// Adds a file whose path components may be anything.
    pub fn raw_file(mut self, path: Vec<Vec<u8>>, len: usize) -> Self {
        self.push(path, len, false);
        self
    }

    /// These bytes, over all files.
    pub fn bytes(mut self, bytes: Vec<u8>) -> Self {
        self.given = Some(bytes);
        self
    }

    /// Adds a BEP 47 padding file of `len` zero bytes.
    pub fn padding(mut self, len: usize) -> Self {
        self.push(vec![b".pad".to_vec(), len.to_string().into_bytes()], len, true);
        self
    }

    fn push(&mut self, path: Vec<Vec<u8>>, len: usize, padding: bool) {
        match &mut self.layout {
            Layout::Multi(files) => files.push((path, len, padding)),
            Layout::Single(_) => panic!("a single-file torrent has no further files"),
        }
    }

    pub fn piece_length(mut self, len: usize) -> Self {
        self.piece_length = len;
        self
    }

    /// Other bytes under the same name.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    pub fn tracker(mut self, url: impl Into<String>) -> Self {
        self.trackers.push(url.into());
        self
    }

    /// BEP 27: peers come from the torrent's own trackers alone.
    pub fn private(mut self) -> Self {
        self.private = true;
        self
    }

    /// Broken: the metainfo states this piece length, whatever the pieces really are.
    pub fn stating_piece_length(mut self, digits: &str) -> Self {
        self.stated_piece_length = Some(digits.to_owned());
        self
    }

    /// Broken: the last `count` piece hashes are left out.
    pub fn without_last_hashes(mut self, count: usize) -> Self {
        self.missing_hashes = count;
        self
    }

    pub fn build(self) -> Torrent {
        let files = self.files();
        let content = self.content(&files);
        let info = self.info(&content).encode();
        let metainfo = self.metainfo(&info);
        Torrent(Arc::new(Parts {
            info_hash: Sha1::digest(&info).into(),
            info,
            metainfo,
            name: self.name,
            piece_length: self.piece_length,
            files,
            content,
        }))
    }

    fn files(&self) -> Vec<File> {
        let listed = match &self.layout {
            Layout::Single(len) => &vec![(Vec::new(), *len, false)],
            Layout::Multi(files) => files,
        };
        let mut offset = 0;
        let place = |(path, len, padding): &(Vec<Vec<u8>>, usize, bool)| {
            let file = File { path: path.clone(), offset, len: *len, padding: *padding };
            offset += len;
            file
        };
        listed.iter().map(place).collect()
    }

    fn content(&self, files: &[File]) -> Vec<u8> {
        if let Some(given) = &self.given {
            return given.clone();
        }
        let named =
            self.name.iter().fold(self.seed, |hash, &b| (hash ^ u64::from(b)).wrapping_mul(0x100_0000_01b3));
        let mut rng = StdRng::seed_from_u64(named);
        let mut content = vec![0; files.iter().map(|file| file.len).sum()];
        for file in files.iter().filter(|file| !file.padding) {
            rng.fill_bytes(&mut content[file.offset..file.offset + file.len]);
        }
        content
    }

    fn info(&self, content: &[u8]) -> Value {
        let hashes: Vec<[u8; 20]> =
            content.chunks(self.piece_length).map(|piece| Sha1::digest(piece).into()).collect();
        let kept = &hashes[..hashes.len() - self.missing_hashes];
        let mut info = vec![
            ("name", Value::bytes(&self.name)),
            ("piece length", self.stated_piece_length()),
            ("pieces", Value::bytes(kept.concat())),
        ];
        match &self.layout {
            Layout::Single(len) => info.push(("length", Value::Int(*len as i64))),
            Layout::Multi(files) => info.push(("files", Value::List(files.iter().map(file_entry).collect()))),
        }
        if self.private {
            info.push(("private", Value::Int(1)));
        }
        Value::dict(info)
    }

    fn stated_piece_length(&self) -> Value {
        match &self.stated_piece_length {
            Some(digits) => Value::Number(digits.clone()),
            None => Value::Int(self.piece_length as i64),
        }
    }

    /// The info dictionary goes in as its exact bytes: the hash is of those.
    fn metainfo(&self, info: &[u8]) -> Vec<u8> {
        let mut out = b"d".to_vec();
        if let Some(first) = self.trackers.first() {
            let tiers = self.trackers.iter().map(|url| Value::List(vec![url.as_str().into()])).collect();
            out.extend(b"8:announce");
            out.extend(Value::from(first.as_str()).encode());
            out.extend(b"13:announce-list");
            out.extend(Value::List(tiers).encode());
        }
        out.extend(b"4:info");
        out.extend(info);
        out.push(b'e');
        out
    }
}

fn file_entry((path, len, padding): &(Vec<Vec<u8>>, usize, bool)) -> Value {
    let mut entry = vec![
        ("length", Value::Int(*len as i64)),
        ("path", Value::List(path.iter().map(Value::bytes).collect())),
    ];
    if *padding {
        entry.push(("attr", "p".into()));
    }
    Value::dict(entry)
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("only torrents with plain names are laid out on disk")
}
