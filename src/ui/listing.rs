//! A torrent's files, for people and for scripts.

use std::{
    collections::HashMap,
    io::{self, Write},
};

use serde::Serialize;

use super::text::{Printable, size};
use crate::core::metainfo::{FileEntry, Metainfo};

/// What a folder's line has instead of mark, number, size and the gaps between them.
const NO_COLUMNS: &str = "                    ";

/// Folders within folders that are drawn as such; what is deeper is a longer name. Names come from strangers, and a
/// path may have as many components as it has letters.
const DEEPEST: usize = 16;

/// One line a file, with its whole path; the one that would be streamed is marked.
pub fn files(out: &mut dyn Write, metainfo: &Metainfo, chosen: Option<usize>) -> io::Result<()> {
    let mut text = String::new();
    for file in listed(metainfo) {
        text += &format!("{}{}\n", columns(file, chosen), Printable(&file.display_path()));
    }
    out.write_all(text.as_bytes())
}

/// The same for eyes: files in their folders.
pub fn tree(out: &mut dyn Write, metainfo: &Metainfo, chosen: Option<usize>) -> io::Result<()> {
    let mut tree = Tree::default();
    listed(metainfo).for_each(|file| tree.add(file));
    let mut text = String::new();
    // A torrent of one file has its name for a path.
    if metainfo.files.iter().any(|file| file.path != [metainfo.name.as_str()]) {
        text += &format!("{NO_COLUMNS}{}/\n", Printable(&metainfo.name));
        tree.draw(&mut text, 0, "", chosen);
    } else {
        return files(out, metainfo, chosen);
    }
    out.write_all(text.as_bytes())
}

fn listed(metainfo: &Metainfo) -> impl Iterator<Item = &FileEntry> {
    metainfo.files.iter().filter(|file| !file.padding)
}

fn columns(file: &FileEntry, chosen: Option<usize>) -> String {
    let mark = if chosen == Some(file.index) { '*' } else { ' ' };
    format!("{mark}{:>5}  {:>10}  ", file.index, size(file.len))
}

/// The folders of a torrent, each with what is in it, in the torrent's order. The first is the torrent itself.
struct Tree<'a> {
    folders: Vec<Vec<Entry<'a>>>,
    known: HashMap<(usize, &'a str), usize>,
}

enum Entry<'a> {
    Folder(&'a str, usize),
    File(&'a FileEntry, String),
}

impl Default for Tree<'_> {
    fn default() -> Self {
        Self { folders: vec![Vec::new()], known: HashMap::new() }
    }
}

impl<'a> Tree<'a> {
    fn add(&mut self, file: &'a FileEntry) {
        let depth = file.path.len().saturating_sub(1).min(DEEPEST);
        let (folders, name) = file.path.split_at(depth);
        let parent = folders.iter().fold(0, |parent, name| self.folder(parent, name));
        self.folders[parent].push(Entry::File(file, name.join("/")));
    }

    fn folder(&mut self, parent: usize, name: &'a str) -> usize {
        let next = self.folders.len();
        let folder = *self.known.entry((parent, name)).or_insert(next);
        if folder == next {
            self.folders.push(Vec::new());
            self.folders[parent].push(Entry::Folder(name, folder));
        }
        folder
    }

    fn draw(&self, text: &mut String, folder: usize, before: &str, chosen: Option<usize>) {
        let entries = &self.folders[folder];
        for (at, entry) in entries.iter().enumerate() {
            let last = at + 1 == entries.len();
            let branch = if last { "└── " } else { "├── " };
            match entry {
                Entry::File(file, name) => {
                    *text += &format!("{}{before}{branch}{}\n", columns(file, chosen), Printable(name));
                }
                Entry::Folder(name, folder) => {
                    *text += &format!("{NO_COLUMNS}{before}{branch}{}/\n", Printable(name));
                    let before = format!("{before}{}", if last { "    " } else { "│   " });
                    self.draw(text, *folder, &before, chosen);
                }
            }
        }
    }
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
        files: listed(metainfo).map(file).collect(),
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
    fn a_terminal_shows_files_in_their_folders() {
        let mut metainfo = sample(16, &[5, 1_500_000, 3, 20, 7], &[]);
        metainfo.name = "A\u{7}film".into();
        let paths = ["Subs/film.srt", "film.mkv", "pad", "Subs/a\u{1b}[2J/b.srt", "extras/trailer.mp4"];
        for (file, path) in metainfo.files.iter_mut().zip(paths) {
            file.path = path.split('/').map(str::to_owned).collect();
        }
        metainfo.files[2].padding = true;
        let mut out = Vec::new();
        tree(&mut out, &metainfo, Some(1)).unwrap();
        insta::assert_snapshot!(String::from_utf8(out).unwrap(), @r"
                            A\u{7}film/
                            ├── Subs/
             0         5 B  │   ├── film.srt
                            │   └── a\u{1b}[2J/
             3        20 B  │       └── b.srt
        *    1    1.43 MiB  ├── film.mkv
                            └── extras/
             4         7 B      └── trailer.mp4
        ");
    }

    #[test]
    fn a_torrent_of_one_file_is_one_line_and_a_path_without_end_no_stack_without_end() {
        let mut metainfo = sample(16, &[5], &[]);
        metainfo.name = "film.mkv".into();
        metainfo.files[0].path = vec!["film.mkv".into()];
        let drawn = |metainfo: &Metainfo| {
            let mut out = Vec::new();
            tree(&mut out, metainfo, None).unwrap();
            String::from_utf8(out).unwrap()
        };
        assert_eq!(drawn(&metainfo), "     0         5 B  film.mkv\n");
        metainfo.files[0].path = vec!["a".into(); 100_000];
        assert_eq!(drawn(&metainfo).lines().count(), DEEPEST + 2);
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
