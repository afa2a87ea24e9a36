//! Text for people: foreign names made harmless, sizes and durations made short.

use std::{
    fmt::{self, Write},
    time::Duration,
};

/// Foreign text (a torrent's name, a tracker's message) for a terminal or a log: control characters, line
/// breaks and characters that reorder or hide text are shown as `\u{..}`.
#[derive(Debug, Clone, Copy)]
pub struct Printable<'a>(pub &'a str);

impl fmt::Display for Printable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        spell_out(self.0, f, is_harmful, |c, f| write!(f, "\\u{{{:x}}}", u32::from(c)))
    }
}

/// The same JSON, in which no character that [`Printable`] would spell out stands for itself: a terminal is
/// safe, and a parser reads the same values.
pub fn harmless_json(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    // A line break outside a string is layout; inside one it cannot be.
    let harmful = |c| c != '\n' && is_harmful(c);
    let spelled = spell_out(json, &mut text, harmful, |c, text| {
        c.encode_utf16(&mut [0; 2]).iter().try_for_each(|unit| write!(text, "\\u{unit:04x}"))
    });
    debug_assert!(spelled.is_ok(), "a String takes all that is written to it");
    text
}

/// Copies text, with each harmful character replaced by what `spell` writes.
fn spell_out<W: Write>(
    mut text: &str,
    to: &mut W,
    harmful: impl Fn(char) -> bool,
    spell: impl Fn(char, &mut W) -> fmt::Result,
) -> fmt::Result {
    while let Some((at, c)) = text.char_indices().find(|(_, c)| harmful(*c)) {
        to.write_str(&text[..at])?;
        spell(c, to)?;
        text = &text[at + c.len_utf8()..];
    }
    to.write_str(text)
}

fn is_harmful(c: char) -> bool {
    match c.is_ascii() {
        true => c.is_ascii_control(),
        false => c.is_control() || UNSEEN.iter().any(|(first, last)| (*first..=*last).contains(&c)),
    }
}

/// The format characters of Unicode (general category Cf: bidi controls, zero-width characters, tags), and
/// the line and paragraph separators.
const UNSEEN: [(char, char); 21] = [
    ('\u{ad}', '\u{ad}'),
    ('\u{600}', '\u{605}'),
    ('\u{61c}', '\u{61c}'),
    ('\u{6dd}', '\u{6dd}'),
    ('\u{70f}', '\u{70f}'),
    ('\u{890}', '\u{891}'),
    ('\u{8e2}', '\u{8e2}'),
    ('\u{180e}', '\u{180e}'),
    ('\u{200b}', '\u{200f}'),
    ('\u{2028}', '\u{202e}'),
    ('\u{2060}', '\u{2064}'),
    ('\u{2066}', '\u{206f}'),
    ('\u{feff}', '\u{feff}'),
    ('\u{fff9}', '\u{fffb}'),
    ('\u{110bd}', '\u{110bd}'),
    ('\u{110cd}', '\u{110cd}'),
    ('\u{13430}', '\u{1343f}'),
    ('\u{1bca0}', '\u{1bca3}'),
    ('\u{1d173}', '\u{1d17a}'),
    ('\u{e0001}', '\u{e0001}'),
    ('\u{e0020}', '\u{e007f}'),
];

/// `1.40 GiB`.
pub fn size(bytes: u64) -> String {
    indicatif::HumanBytes(bytes).to_string()
}

/// `4m 30s`.
pub fn duration(duration: Duration) -> String {
    humantime::format_duration(Duration::from_secs(whole_seconds(duration))).to_string()
}

/// Rounded up, so that "0 seconds" never means "not yet".
pub fn whole_seconds(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_move_the_cursor_or_reorder_text_is_spelled_out() {
        let name = "a\x1b[2J\r\n\u{7f}\u{9b}\u{202e}\u{200b}\u{2028}\u{feff}\u{e0041}z";
        let shown = r"a\u{1b}[2J\u{d}\u{a}\u{7f}\u{9b}\u{202e}\u{200b}\u{2028}\u{feff}\u{e0041}z";
        assert_eq!(Printable(name).to_string(), shown);
    }

    #[test]
    fn names_of_all_languages_stay_readable() {
        for name in ["Ünïcödé — 日本語.mkv", "e\u{301}te\u{301}.mp4", "фильм 🎬 [1080p] \"x\" \\ 'y'"]
        {
            assert_eq!(Printable(name).to_string(), name);
        }
    }

    #[test]
    fn no_character_that_a_terminal_obeys_gets_through() {
        let all: String = ('\0'..=char::MAX).collect();
        let shown = Printable(&all).to_string();
        assert!(!shown.chars().any(|c| c.is_control()));
        assert!(!shown.contains(['\u{202a}', '\u{2066}', '\u{200e}', '\u{61c}', '\u{2029}']));
    }

    #[test]
    fn a_started_second_counts() {
        assert_eq!(duration(Duration::from_millis(269_001)), "4m 30s");
        assert_eq!(duration(Duration::ZERO), "0s");
        assert_eq!(size(1_503_238_553), "1.40 GiB");
    }
}
