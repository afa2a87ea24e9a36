//! Subtitles beside a video: which file belongs to which video, and text subtitles as WebVTT.
//!
//! Pure, and total: every input was written by a stranger. What cannot be understood is left out; nothing is refused.

use std::collections::HashMap;

use chardetng::{EncodingDetector, Iso2022JpDetection, Utf8Detection};

use super::media::Kind;

/// Parts of a name that may be left out at its end to find a video, and directories that are gone up for it: more than any
/// name made by people has, and few enough for one that was made to be looked at for ever.
const MOST_PARTS: usize = 32;

/// The videos of one name, in lower case and without extension.
#[derive(Default)]
struct Namesakes<'a> {
    in_directory: HashMap<&'a str, usize>,
    last: usize,
}

impl Namesakes<'_> {
    /// The one beside a file or in the nearest directory above it, else any: seasons name their episodes alike.
    fn nearest(&self, path: &str) -> usize {
        let here = directories(path).take(MOST_PARTS);
        here.chain([""]).find_map(|above| self.in_directory.get(above).copied()).unwrap_or(self.last)
    }
}

/// For each subtitle file its video, both by index: a file whose name begins as the video's does, in any directory of
/// the torrent but rather in its own, or that lies in a directory named as the video is. If there is but one video, all
/// are its own.
pub fn pairs<'a>(files: impl Iterator<Item = (usize, &'a str)> + Clone) -> HashMap<usize, usize> {
    let of = |kind: Kind| files.clone().filter(move |(_, path)| Kind::of(name(path)) == kind);
    let mut videos: HashMap<String, Namesakes<'_>> = HashMap::new();
    for (index, path) in of(Kind::Video) {
        let namesakes = videos.entry(stem(path)).or_default();
        namesakes.in_directory.insert(directories(path).next().unwrap_or_default(), index);
        namesakes.last = index;
    }
    let mut all = of(Kind::Video);
    let only = all.next().filter(|_| all.next().is_none()).map(|(index, _)| index);
    let video = |path: &str| {
        let stem = stem(path);
        let mut named = directories(path).take(MOST_PARTS).map(|directory| name(directory).to_lowercase());
        let namesakes = beginnings(&stem)
            .find_map(|beginning| videos.get(beginning))
            .or_else(|| named.find_map(|name| videos.get(&name)));
        namesakes.map(|namesakes| namesakes.nearest(path)).or(only)
    };
    of(Kind::Subtitles).filter_map(|(index, path)| Some((index, video(path)?))).collect()
}

/// The directories that a file lies in, the nearest first, but for the torrent's own.
fn directories(path: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(path.rsplit_once('/'), |(above, _)| above.rsplit_once('/')).map(|(above, _)| above)
}

fn name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// The name without its extension, in lower case.
fn stem(path: &str) -> String {
    let name = name(path);
    name.rsplit_once('.').map_or(name, |(stem, _)| stem).to_lowercase()
}

/// `film.en.forced`, `film.en`, `film`.
fn beginnings(stem: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(stem), |longer| Some(longer.rsplit_once(['.', '_', '-', ' '])?.0))
        .take(MOST_PARTS)
}

/// A text subtitle file as WebVTT, by the extension of its name; `None` when it is of no known kind.
pub fn web_vtt(name: &str, bytes: &[u8]) -> Option<String> {
    let text = decoded(bytes).replace("\r\n", "\n").replace('\r', "\n");
    let extension = name.rsplit_once('.')?.1.to_ascii_lowercase();
    match extension.as_str() {
        "vtt" if text.starts_with("WEBVTT") => Some(text),
        "srt" | "vtt" => Some(from_srt(&text)),
        "ass" | "ssa" => Some(from_ass(&text)),
        _ => None,
    }
}

/// As the byte order mark or UTF-8 says, else in the encoding that it most looks like.
fn decoded(bytes: &[u8]) -> String {
    let mut detector = EncodingDetector::new(Iso2022JpDetection::Deny);
    detector.feed(bytes, true);
    detector.guess(None, Utf8Detection::Allow).decode(bytes).0.into_owned()
}

/// Cues are told by their timing lines, so that wrong numbers and missing empty lines do not matter.
fn from_srt(text: &str) -> String {
    let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    let starts: Vec<(usize, (u64, u64))> =
        lines.iter().enumerate().filter_map(|(at, line)| Some((at, timing(line)?))).collect();
    let ends = starts.iter().skip(1).map(|(at, _)| *at).chain([lines.len() + 1]);
    let cues = starts.iter().zip(ends).map(|((at, times), next)| {
        let body = lines[at + 1..(next - 1).max(at + 1)].iter();
        (*times, body.filter(|line| !line.is_empty()).map(|line| safe(line)).collect::<Vec<_>>().join("\n"))
    });
    written(cues)
}

fn timing(line: &str) -> Option<(u64, u64)> {
    let (from, to) = line.split_once("-->")?;
    Some((millis(from.trim())?, millis(to.split_whitespace().next()?)?))
}

/// `1:02:03,450`, `02:03.45` or `3.4` in milliseconds.
fn millis(text: &str) -> Option<u64> {
    let (whole, fraction) = text.split_once([',', '.']).unwrap_or((text, ""));
    let number = |text: &str| text.trim().parse::<u64>().ok().filter(|number| *number < 1_000_000);
    let seconds =
        whole.split(':').try_fold(0u64, |sum, part| sum.checked_mul(60)?.checked_add(number(part)?))?;
    let fraction = match fraction.is_empty() {
        true => 0,
        false => number(&format!("{fraction:0<3}").get(..3)?.replace(' ', "0"))?,
    };
    seconds.checked_mul(1000)?.checked_add(fraction)
}

/// Events are `Dialogue:` lines, whose fields the `Format:` line before them names; the text is the last.
fn from_ass(text: &str) -> String {
    let mut fields = vec!["layer", "start", "end"].into_iter().map(str::to_owned).collect::<Vec<_>>();
    let mut count = 10;
    let mut cues = Vec::new();
    let mut in_events = false;
    for line in text.lines() {
        if line.starts_with('[') {
            in_events = line.trim().eq_ignore_ascii_case("[events]");
        } else if let Some(format) = line.strip_prefix("Format:").filter(|_| in_events) {
            fields = format.split(',').map(|field| field.trim().to_ascii_lowercase()).collect();
            count = fields.len();
        } else if let Some(event) = line.strip_prefix("Dialogue:").filter(|_| in_events) {
            let values: Vec<&str> = event.splitn(count, ',').collect();
            let value = |name: &str| values.get(fields.iter().position(|field| field == name)?);
            let times = value("start").zip(value("end"));
            if let (Some((from, to)), true) = (times, values.len() == count)
                && let (Some(from), Some(to)) = (millis(from.trim()), millis(to.trim()))
            {
                cues.push(((from, to), spoken(values[count - 1])));
            }
        }
    }
    cues.sort_by_key(|(times, _)| *times);
    written(cues.into_iter())
}

/// The text without its overrides (`{\\i1}`); drawings (`{\\p1}`) have none.
fn spoken(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        out.push_str(before);
        let Some((overrides, after)) = after.split_once('}') else {
            rest = "";
            break;
        };
        if overrides
            .split('\\')
            .any(|tag| tag.strip_prefix('p').is_some_and(|n| n.starts_with(|c| ('1'..='9').contains(&c))))
        {
            return String::new();
        }
        rest = after;
    }
    out.push_str(rest);
    let lines = out.replace("\\N", "\n").replace("\\n", "\n").replace("\\h", " ");
    lines.lines().map(str::trim).filter(|line| !line.is_empty()).map(safe).collect::<Vec<_>>().join("\n")
}

/// Only the tags that WebVTT shares with SRT stay tags, and no text looks like a timing line.
fn safe(line: &str) -> String {
    let escaped = line.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    ["i", "b", "u"].iter().fold(escaped, |text, tag| {
        text.replace(&format!("&lt;{tag}&gt;"), &format!("<{tag}>"))
            .replace(&format!("&lt;/{tag}&gt;"), &format!("</{tag}>"))
    })
}

fn written(cues: impl Iterator<Item = ((u64, u64), String)>) -> String {
    let mut out = "WEBVTT\n".to_owned();
    for ((from, to), text) in cues.filter(|((from, to), text)| from < to && !text.is_empty()) {
        out.push_str(&format!("\n{} --> {}\n{text}\n", stamp(from), stamp(to)));
    }
    out
}

fn stamp(millis: u64) -> String {
    let seconds = millis / 1000;
    format!("{:02}:{:02}:{:02}.{:03}", seconds / 3600, seconds / 60 % 60, seconds % 60, millis % 1000)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pairs_of(paths: &[&str]) -> Vec<(usize, usize)> {
        let mut found: Vec<_> = pairs(paths.iter().copied().enumerate()).into_iter().collect();
        found.sort_unstable();
        found
    }

    #[test]
    fn subtitles_find_their_video_by_name_directory_or_for_want_of_another() {
        let show =
            ["s/E01.mkv", "s/E02.mkv", "s/E01.en.srt", "s/Subs/e02.forced.ass", "s/Subs/E01/2_English.srt"];
        assert_eq!(pairs_of(&show), [(2, 0), (3, 1), (4, 0)]);
        assert_eq!(pairs_of(&["a.mkv", "b.mkv", "English.srt"]), []);
        assert_eq!(pairs_of(&["Film.mkv", "Subs/English.srt", "x.idx", "notes.txt"]), [(1, 0)]);
        assert_eq!(pairs_of(&["E1.mkv", "E10.mkv", "E10.srt", "E1.srt"]), [(2, 1), (3, 0)]);
        assert_eq!(pairs_of(&["song.flac", "song.srt"]), []);
    }

    #[test]
    fn episodes_that_two_seasons_name_alike_keep_their_own_subtitles() {
        let beside = ["1/01.mkv", "1/01.en.srt", "2/01.mkv", "2/01.en.srt"];
        assert_eq!(pairs_of(&beside), [(1, 0), (3, 2)]);
        let below = ["s/1/01.mkv", "s/1/Subs/01.en.srt", "s/2/01.mkv", "s/2/Subs/en/01.srt"];
        assert_eq!(pairs_of(&below), [(1, 0), (3, 2)]);
        let named = ["1/01.mkv", "1/Subs/01/2_English.srt", "2/01.mkv", "2/Subs/01/2_English.srt"];
        assert_eq!(pairs_of(&named), [(1, 0), (3, 2)]);
        assert_eq!(pairs_of(&["01.mkv", "Subs/01.srt", "extras/01.mkv"]), [(1, 0)]);
        assert_eq!(pairs_of(&["a/01.mkv", "b/01.mkv", "Subs/01.srt"]), [(2, 1)], "any is better than none");
    }

    #[test]
    fn a_name_of_nothing_but_ends_takes_no_time() {
        let (deep, long) = ("a/".repeat(200_000), "a.".repeat(200_000));
        let paths = [format!("{deep}01.mkv"), format!("{deep}01.srt"), format!("{long}srt"), "b.mkv".into()];
        assert_eq!(pairs_of(&paths.each_ref().map(String::as_str)), [(1, 0)]);
    }

    #[test]
    fn srt_becomes_vtt_with_its_faults_mended() {
        let srt = "1\r\n00:00:01,000 --> 00:00:02,500 X1:0\r\n<i>Hi</i> <font color=red>& you\r\n\r\n2\r\n\
                   00:01:00,5 --> 00:01:02,00\r\nNo gap\r\n3\r\n01:00:00,000 --> 01:00:01,000\r\nLast\r\n";
        let vtt = "WEBVTT\n\n00:00:01.000 --> 00:00:02.500\n<i>Hi</i> &lt;font color=red&gt;&amp; you\n\n\
                   00:01:00.500 --> 00:01:02.000\nNo gap\n\n01:00:00.000 --> 01:00:01.000\nLast\n";
        assert_eq!(web_vtt("a.srt", srt.as_bytes()).as_deref(), Some(vtt));
        assert_eq!(web_vtt("a.vtt", vtt.as_bytes()).as_deref(), Some(vtt));
    }

    #[test]
    fn ass_becomes_vtt_without_its_styling() {
        let ass = "[Script Info]\nTitle: x\n[Events]\nFormat: Layer, Start, End, Style, Text\n\
                   Dialogue: 0,0:00:05.00,0:00:06.50,Main,Second{\\i1}, with a comma\\Nand a line\n\
                   Comment: 0,0:00:01.00,0:00:02.00,Main,no\n\
                   Dialogue: 0,0:00:01.00,0:00:02.00,Main,{\\pos(1,2)}First <b>\n\
                   Dialogue: 0,0:00:02.00,0:00:03.00,Main,{\\p1}m 0 0 l 1 1\n";
        let vtt = "WEBVTT\n\n00:00:01.000 --> 00:00:02.000\nFirst <b>\n\n\
                   00:00:05.000 --> 00:00:06.500\nSecond, with a comma\nand a line\n";
        assert_eq!(web_vtt("a.ASS", ass.as_bytes()).as_deref(), Some(vtt));
        assert_eq!(web_vtt("a.sub", ass.as_bytes()), None);
    }

    #[test]
    fn old_encodings_are_told_by_how_they_look() {
        let (latin, ..) = encoding_rs::WINDOWS_1252
            .encode("1\n00:00:01,000 --> 00:00:02,000\nDéjà vu à Noël, ça va très bien\n");
        assert!(web_vtt("a.srt", &latin).expect("subtitles").contains("Déjà vu à Noël"));
        let marked = b"\xef\xbb\xbf1\n00:00:01,000 --> 00:00:02,000\n\xc3\xa9\n";
        assert!(web_vtt("a.srt", marked).expect("subtitles").contains('é'));
    }

    proptest! {
        #[test]
        fn no_bytes_break_it_and_every_timing_line_is_its_own(
            bytes in proptest::collection::vec(any::<u8>(), 0..400),
            text in "([0-9:,.>\\-\\n <{}\\\\]|Dialogue: |\\[Events\\]\n){0,60}",
        ) {
            for name in ["a.srt", "a.ass", "a.vtt"] {
                web_vtt(name, &bytes);
                let vtt = web_vtt(name, text.as_bytes()).expect("a known kind");
                prop_assert!(vtt.starts_with("WEBVTT"));
                for line in vtt.lines().filter(|line| line.contains("-->")) {
                    prop_assert!(timing(line).is_some(), "{}", line);
                }
            }
        }
    }
}
