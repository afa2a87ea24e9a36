//! A torrent's files, for people and for scripts.

use std::io::{self, Write};

use serde::Serialize;

use super::text::{Printable, size};
use crate::core::metainfo::{FileEntry, Metainfo};

/// One line a file; the one that would be streamed is marked.
pub fn files(out: &mut dyn Write, metainfo: &Metainfo, chosen: Option<usize>) -> io::Result<()> {
    let mut text = String::new();
    for file in metainfo.files.iter().filter(|file| !file.padding) {
        let mark = if chosen == Some(file.index) { '*' } else { ' ' };
        let path = file.display_path();
        text += &format!("{mark}{:>5}  {:>10}  {}\n", file.index, size(file.len), Printable(&path));
    }
    out.write_all(text.as_bytes())
}

/// One object: the torrent and its files.
pub fn files_json(out: &mut dyn Write, metainfo: &Metainfo, chosen: Option<usize>) -> io::Result<()> {
    #[derive(Serialize)]
    struct Torrent<'a> {
        info_hash: String,
        name: &'a str,
        total_bytes: u64,
        piece_length: u32,
        private: bool,
        files: Vec<File>,
    }
    #[derive(Serialize)]
    struct File {
        index: usize,
        path: String,
        length: u64,
        chosen: bool,
    }
    let file = |file: &FileEntry| File {
        index: file.index,
        path: file.display_path(),
        length: file.len,
        chosen: chosen == Some(file.index),
    };
    let torrent = Torrent {
        info_hash: metainfo.info_hash.to_string(),
        name: &metainfo.name,
        total_bytes: metainfo.total_len,
        piece_length: metainfo.piece_length,
        private: metainfo.private,
        files: metainfo.files.iter().filter(|file| !file.padding).map(file).collect(),
    };
    let text = serde_json::to_string_pretty(&torrent).map_err(io::Error::other)?;
    writeln!(out, "{}", super::text::harmless_json(&text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::metainfo::tests::sample;

    fn shown(show: impl Fn(&mut dyn Write, &Metainfo, Option<usize>) -> io::Result<()>) -> String {
        let mut metainfo = sample(16, &[1_500_000, 3, 20], &[]);
        metainfo.files[0].path = vec!["a\u{1b}[2J".into(), "film.mkv".into()];
        metainfo.files[1].padding = true;
        let mut out = Vec::new();
        show(&mut out, &metainfo, Some(0)).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn people_see_index_size_and_a_harmless_path() {
        insta::assert_snapshot!(shown(files), @r"
        *    0    1.43 MiB  a\u{1b}[2J/film.mkv
             2        20 B  f2.bin
        ");
    }

    #[test]
    fn scripts_get_one_object_without_padding() {
        let json: serde_json::Value = serde_json::from_str(&shown(files_json)).unwrap();
        assert_eq!(json["files"].as_array().unwrap().len(), 2);
        assert_eq!(json["files"][1]["index"], 2);
        assert_eq!(json["files"][0]["path"], "a\u{1b}[2J/film.mkv");
        assert_eq!(json["files"][0]["chosen"], true);
        assert!(!shown(files_json).contains('\u{1b}'));
    }
}
