//! Which episode of a series a path names: `S01E02`, `1x02`, `Season 1/Episode 2`, as people write them.
//!
//! Pure. A path that names no episode is nobody's fault: it only is not found.

use std::ops::RangeInclusive;

/// One episode of a series.
///
/// ```
/// use swarmcat::core::episode::Episode;
///
/// let episode = Episode::parse("s1e2").expect("an episode");
/// assert!(episode.is_named_by("A show/A.Show.S01E02.1080p.mkv"));
/// assert!(episode.is_named_by("A show/Season 1/02 - A title.mkv"));
/// assert!(!episode.is_named_by("A show/Season 2/02 - A title.mkv"));
/// assert_eq!(Episode::parse("*.mkv"), None);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Episode {
    season: u16,
    number: u16,
}

/// What a name says it holds: an episode, or several in a row.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Named {
    season: u16,
    numbers: RangeInclusive<u16>,
}

impl Episode {
    /// Reads what somebody asks for, if it is an episode and nothing else: `S01E02`, `s1e2`, `1x02`.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.to_lowercase();
        let tokens = tokens(&text);
        let (season, number) = match tokens.as_slice() {
            [Word("s"), Number(season), Word("e"), Number(number)]
            | [Word("s"), Number(season), Gap(_), Word("e"), Number(number)]
            | [Number(season), Word("x"), Number(number)] => (season, number),
            _ => return None,
        };
        Some(Self { season: short(season)?, number: short(number)? })
    }

    /// Whether `path`, its components joined by `/`, names this episode. The innermost component that names any decides,
    /// so that a folder of a whole season does not speak for the files in it.
    pub fn is_named_by(self, path: &str) -> bool {
        let path = path.to_lowercase();
        let named = path.rsplit('/').find_map(|component| named(&tokens(component)));
        let named = named.or_else(|| in_folder_of_season(&path));
        named.is_some_and(|named| named.season == self.season && named.numbers.contains(&self.number))
    }
}

/// A stretch of a name, in lower case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token<'a> {
    Word(&'a str),
    Number(&'a str),
    /// Whatever is neither letter nor digit.
    Gap(&'a str),
}
use Token::{Gap, Number, Word};

fn tokens(text: &str) -> Vec<Token<'_>> {
    let class = |c: char| (c.is_ascii_digit(), c.is_alphabetic());
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let (token, tail) = rest.split_at(rest.find(|c| class(c) != class(first)).unwrap_or(rest.len()));
        found.push(match class(first) {
            (true, _) => Number(token),
            (_, true) => Word(token),
            _ => Gap(token),
        });
        rest = tail;
    }
    found
}

/// The first episode that is named in full.
fn named(tokens: &[Token<'_>]) -> Option<Named> {
    (0..tokens.len()).find_map(|at| {
        let follows_text = at > 0 && !matches!(tokens[at - 1], Gap(_));
        let (season, first, rest) = match &tokens[at..] {
            [Word("s"), Number(season), Word("e" | "ep"), Number(first), rest @ ..]
            | [Word("s"), Number(season), Gap(_), Word("e" | "ep"), Number(first), rest @ ..]
            | [
                Word("season"),
                Gap(_),
                Number(season),
                Gap(_),
                Word("episode" | "ep" | "e"),
                Gap(_),
                Number(first),
                rest @ ..,
            ] => (season, first, rest),
            // Two digits at least, and no letters around: neither a size (1920x1080) nor a shape (16x9).
            [Number(season), Word("x"), Number(first), rest @ ..]
                if first.len() >= 2 && !follows_text && !is_text(rest) =>
            {
                (season, first, rest)
            }
            _ => return None,
        };
        let number = short(first)?;
        Some(Named { season: short(season)?, numbers: number..=last(first, rest).unwrap_or(number) })
    })
}

/// Whether a word goes on right here, other than the `v2` of a second version.
fn is_text(rest: &[Token<'_>]) -> bool {
    matches!(rest.first(), Some(Word(word)) if *word != "v")
}

/// The last of several episodes in one file: `E01E02E03`, `E01-E03`, `E01-03`.
fn last(first: &str, rest: &[Token<'_>]) -> Option<u16> {
    let (number, rest) = match rest {
        [Word("e"), Number(number), rest @ ..] | [Gap("-"), Word("e"), Number(number), rest @ ..] => {
            (number, rest)
        }
        // As many digits as the first, and not the beginning of a word such as 720p.
        [Gap("-"), Number(number), rest @ ..] if number.len() == first.len() && !is_text(rest) => {
            (number, rest)
        }
        _ => return None,
    };
    let further = short(number).filter(|number| short(first).is_some_and(|first| *number > first));
    further.map(|number| last(first, rest).unwrap_or(number))
}

/// `Season 1/02 - A title.mkv`, `S01/Episode 2.mkv`: the folder has the season, the file its number.
fn in_folder_of_season(path: &str) -> Option<Named> {
    let mut components = path.rsplit('/');
    let file = tokens(components.next()?);
    let number = match file.as_slice() {
        [Word("e" | "ep" | "episode"), Number(number), ..]
        | [Word("e" | "ep" | "episode"), Gap(_), Number(number), ..]
        | [Number(number), Gap(_), ..] => short(number)?,
        _ => return None,
    };
    let season = components.find_map(|folder| season(&tokens(folder)))?;
    Some(Named { season, numbers: number..=number })
}

fn season(folder: &[Token<'_>]) -> Option<u16> {
    (0..folder.len()).find_map(|at| match &folder[at..] {
        [Word("season" | "series"), Gap(_), Number(season), ..]
        | [Word("season" | "s"), Number(season), ..] => short(season),
        _ => None,
    })
}

/// Three digits do for seasons and episodes; longer numbers are years and sizes.
fn short(digits: &str) -> Option<u16> {
    (digits.len() <= 3).then(|| digits.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_episode_is_asked_for_in_the_usual_ways_and_a_glob_is_none() {
        let second = Some(Episode { season: 1, number: 2 });
        for text in ["S01E02", "s1e2", "s01e002", "1x02", "01x2", "S01.E02", "S01 E02"] {
            assert_eq!(Episode::parse(text), second, "{text}");
        }
        for text in
            ["", "*S01E02*", "S01", "E02", "S01E02.mkv", "S01E", "1920x1080", "S1E99999", "film", "S01E02-03"]
        {
            assert_eq!(Episode::parse(text), None, "{text}");
        }
    }

    #[test]
    fn the_names_that_people_give_to_an_episode_are_understood() {
        for path in [
            "Show.S01E02.720p.x264.mkv",
            "show s1e2.avi",
            "Show/S01.E02.A Title.mkv",
            "Show - s01_e02 - A Title.mkv",
            "Show S01EP02.mkv",
            "Show - 1x02 - A Title.mkv",
            "[group] show 01x02v2.mkv",
            "Show.S01E02/video.mkv",
            "Show Season 1 Complete/Show Season 1 Episode 2.mkv",
            "Show/Season 1/02 - A Title.mkv",
            "Show/Season 01/Episode 2.mkv",
            "Show/S01/E02.mkv",
            "Show.S01E01E02.mkv",
            "Show.S01E01-E03.mkv",
            "Show.S01E01-02.mkv",
            "Show.S01E01E02E03.mkv",
            "Show S01E01-E10/Show S01E02.mkv",
            "Ünïcödé ſ S01E02.mkv",
        ] {
            assert!(Episode { season: 1, number: 2 }.is_named_by(path), "{path}");
        }
    }

    #[test]
    fn what_only_looks_like_it_is_another_thing() {
        for path in [
            "Show.S01E03.mkv",
            "Show.S11E02.mkv",
            "Show.S01E020.mkv",
            "Show.S01E21.mkv",
            "Show S01E01-E10/Show S01E03.mkv",
            "Show.S01E01-720p.mkv",
            "Show.S01E05-02.mkv",
            "Blues01E02.mkv",
            "Show 11x02.mkv",
            "Show.1x02x.mkv",
            "Show.a1x02.mkv",
            "Show/Season 2/02 - A Title.mkv",
            "02 - A Title.mkv",
            "Show.2001E02.mkv",
            "",
            "/",
        ] {
            assert!(!Episode { season: 1, number: 2 }.is_named_by(path), "{path}");
        }
        for (shape, path) in [((16, 9), "show 16x9.mkv"), ((640, 480), "show 640x4800.mkv")] {
            assert!(!Episode { season: shape.0, number: shape.1 }.is_named_by(path), "{path}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_name_is_too_strange(path in ".{0,60}", asked in ".{0,10}") {
            if let Some(episode) = Episode::parse(&asked) {
                episode.is_named_by(&path);
            }
            Episode { season: 1, number: 2 }.is_named_by(&path);
        }

        #[test]
        fn whatever_is_asked_for_is_found_under_its_own_name(season in 0u16..100, number in 0u16..1000) {
            let episode = Episode { season, number };
            proptest::prop_assert_eq!(Episode::parse(&format!("S{season:02}E{number:02}")), Some(episode));
            let path = format!("a show/A.Show.S{season:02}E{number:02}.1080p.mkv");
            proptest::prop_assert!(episode.is_named_by(&path));
        }
    }
}
