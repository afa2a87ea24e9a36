//! The choice of one of a torrent's files, and what is told about it before its bytes.

use globset::{GlobBuilder, GlobMatcher};

use super::{
    Error,
    episode::Episode,
    metainfo::{FileEntry, Metainfo},
    source::InfoHash,
};

/// Extensions that a video player opens.
const VIDEO: &[&str] = &[
    "mkv", "mp4", "m4v", "webm", "avi", "mov", "wmv", "flv", "mpg", "mpeg", "m2ts", "mts", "ts", "ogv",
    "vob", "3gp", "divx", "rmvb", "asf",
];
/// Extensions that an audio player opens.
const AUDIO: &[&str] = &[
    "mp3", "flac", "m4a", "m4b", "ogg", "oga", "opus", "wav", "aac", "wma", "aiff", "ape", "alac", "mka",
    "wv",
];

/// Extensions of subtitles that are text.
const SUBTITLES: &[&str] = &["srt", "ass", "ssa", "vtt"];

/// What a file is to a player, by its name's extension.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// It plays, with pictures.
    Video,
    /// It plays.
    Audio,
    /// It goes with a video.
    Subtitles,
    /// Anything else.
    Other,
}

impl Kind {
    /// Of a file with this name.
    pub fn of(name: &str) -> Self {
        let extension = name.rsplit_once('.').map(|(_, extension)| extension.to_ascii_lowercase());
        let is = |known: &[&str]| extension.as_deref().is_some_and(|extension| known.contains(&extension));
        match () {
            () if is(VIDEO) => Self::Video,
            () if is(AUDIO) => Self::Audio,
            () if is(SUBTITLES) => Self::Subtitles,
            () => Self::Other,
        }
    }

    /// Whether a player plays it.
    pub fn plays(self) -> bool {
        matches!(self, Self::Video | Self::Audio)
    }
}

/// Playable kinds first, larger first within a kind.
fn rank(file: &FileEntry) -> (u8, u64) {
    let kind = match Kind::of(file.path.last().map_or("", String::as_str)) {
        Kind::Video => 2,
        Kind::Audio => 1,
        Kind::Subtitles | Kind::Other => 0,
    };
    (kind, file.len)
}

/// Which of a torrent's files is meant.
#[derive(Debug, Clone, Default)]
pub enum FileSelector {
    /// The largest video, else the largest audio file, else the largest file.
    #[default]
    Auto,
    /// By 0-based index.
    Index(usize),
    /// By an episode (`S01E02`), else by a glob, on the path inside the torrent; among several matches, as
    /// [`FileSelector::Auto`] would.
    Glob(String),
}

impl FileSelector {
    /// By an episode or a glob; what is neither is refused before anything is looked for.
    pub fn pattern(text: &str) -> Result<Self, Error> {
        Matcher::read(text).map(|_| Self::Glob(text.to_owned()))
    }

    /// The file that is meant; `suggested` (a magnet's `so=`) narrows the automatic choice when it fits.
    pub fn choose<'a>(
        &self,
        metainfo: &'a Metainfo,
        suggested: &[std::ops::RangeInclusive<usize>],
    ) -> Result<&'a FileEntry, Error> {
        let files = || metainfo.files.iter().filter(|file| !file.padding);
        let no_such = |reason: String| Error::NoSuchFile { info_hash: metainfo.info_hash, reason };
        match self {
            FileSelector::Index(index) => files().find(|file| file.index == *index).ok_or_else(|| {
                no_such(format!("no file {index}; list the {} there are with --list", files().count()))
            }),
            FileSelector::Glob(pattern) => {
                let matcher = Matcher::read(pattern)?;
                best(files().filter(|file| matcher.matches(file))).ok_or_else(|| {
                    no_such(format!("no file matches {pattern:?}; list what there is with --list"))
                })
            }
            FileSelector::Auto => {
                let meant = files().filter(|file| suggested.iter().any(|range| range.contains(&file.index)));
                best(meant).or_else(|| best(files())).ok_or_else(|| no_such("it has no files".into()))
            }
        }
    }
}

/// The first of the best rank, so that equal files are chosen in the torrent's order.
fn best<'a>(files: impl Iterator<Item = &'a FileEntry>) -> Option<&'a FileEntry> {
    files.reduce(|best, file| if rank(file) > rank(best) { file } else { best })
}

/// What a pattern matches.
enum Matcher {
    /// An episode without a wildcard could only be a whole file name, which nobody means.
    Episode(Episode),
    Glob(GlobMatcher),
}

impl Matcher {
    fn read(pattern: &str) -> Result<Self, Error> {
        match Episode::parse(pattern) {
            Some(episode) => Ok(Self::Episode(episode)),
            None => glob(pattern).map(Self::Glob),
        }
    }

    /// A pattern without a slash is also tried on the bare name, as shells' users expect.
    fn matches(&self, file: &FileEntry) -> bool {
        match self {
            Self::Episode(episode) => episode.is_named_by(&file.display_path()),
            Self::Glob(glob) => {
                glob.is_match(file.display_path()) || file.path.last().is_some_and(|name| glob.is_match(name))
            }
        }
    }
}

fn glob(pattern: &str) -> Result<GlobMatcher, Error> {
    GlobBuilder::new(pattern)
        .case_insensitive(true)
        .build()
        .map(|glob| glob.compile_matcher())
        .map_err(|error| Error::Usage(format!("{pattern:?} is not a glob: {}", error.kind())))
}

/// The one file that a stream delivers.
#[derive(Debug, Clone)]
pub struct Media {
    /// The torrent.
    pub info_hash: InfoHash,
    /// 0-based index in the metainfo's order.
    pub index: usize,
    /// Path inside the torrent, components joined by `/` (foreign text: escape before showing).
    pub path: String,
    /// Length in bytes.
    pub len: u64,
}

impl Media {
    /// What a file of a torrent is, seen from outside.
    pub fn new(info_hash: InfoHash, file: &FileEntry) -> Self {
        Media { info_hash, index: file.index, path: file.display_path(), len: file.len }
    }

    /// The last component of the path.
    pub fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or(&self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::{super::metainfo::tests::sample, *};

    fn torrent(files: &[(&str, u64)]) -> Metainfo {
        let lens: Vec<u64> = files.iter().map(|(_, len)| *len).collect();
        let mut meta = sample(16, &lens, &[]);
        for (file, (path, _)) in meta.files.iter_mut().zip(files) {
            file.path = path.split('/').map(str::to_owned).collect();
        }
        meta
    }

    fn chosen(selector: FileSelector, meta: &Metainfo) -> usize {
        selector.choose(meta, &[]).unwrap().index
    }

    #[test]
    fn the_largest_video_wins_then_audio_then_anything() {
        let files = [("a/huge.iso", 900), ("a/song.flac", 300), ("a/Film.MKV", 200), ("a/sample.mkv", 20)];
        assert_eq!(chosen(FileSelector::Auto, &torrent(&files)), 2);
        assert_eq!(chosen(FileSelector::Auto, &torrent(&files[..2])), 1);
        assert_eq!(chosen(FileSelector::Auto, &torrent(&files[..1])), 0);
    }

    #[test]
    fn index_and_glob_choose_and_say_what_is_missing() {
        let meta = torrent(&[("show/S01E01.mkv", 5), ("show/S01E02.mkv", 4), ("show/readme.txt", 1)]);
        assert_eq!(chosen(FileSelector::Index(2), &meta), 2);
        assert_eq!(chosen(FileSelector::Glob("*e02*".into()), &meta), 1);
        assert_eq!(chosen(FileSelector::Glob("show/*.txt".into()), &meta), 2);
        for selector in [FileSelector::Index(3), FileSelector::Glob("*.srt".into())] {
            let error = selector.choose(&meta, &[]).unwrap_err();
            assert!(error.to_string().contains("--list"), "{error}");
        }
        assert!(matches!(FileSelector::Glob("[".into()).choose(&meta, &[]), Err(Error::Usage(_))));
    }

    #[test]
    fn an_episode_chooses_its_film_and_not_what_lies_beside_it() {
        let meta = torrent(&[
            ("show/Season 1/show.s01e01.mkv", 9),
            ("show/Season 1/show.s01e02.sample.mkv", 1),
            ("show/Season 1/show.s01e02.nfo", 99),
            ("show/Season 1/show.s01e02.mkv", 8),
            ("show/Season 1/show.s01e02.srt", 2),
            ("show/S01E02", 3),
        ]);
        assert_eq!(chosen(FileSelector::Glob("S01E02".into()), &meta), 3);
        assert_eq!(chosen(FileSelector::Glob("1x01".into()), &meta), 0);
        assert_eq!(chosen(FileSelector::Glob("*s01e02*.srt".into()), &meta), 4);
        let error = FileSelector::Glob("S02E01".into()).choose(&meta, &[]).unwrap_err();
        assert!(error.to_string().contains("S02E01"), "{error}");
    }

    #[test]
    fn padding_is_never_chosen_and_a_magnet_may_narrow_the_choice() {
        let mut meta = torrent(&[("a.mkv", 5), (".pad/9", 9), ("b.mkv", 4)]);
        meta.files[1].padding = true;
        assert!(FileSelector::Index(1).choose(&meta, &[]).is_err());
        assert_eq!(FileSelector::Auto.choose(&meta, &[2..=7]).unwrap().index, 2);
        assert_eq!(FileSelector::Auto.choose(&meta, &[8..=9]).unwrap().index, 0);
    }
}
