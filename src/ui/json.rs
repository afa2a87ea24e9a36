//! JSON for scripts that is harmless on a terminal, too.

use std::fmt::Write as _;

use serde::Serialize;

/// `value` on one line, in ASCII: foreign text cannot carry control or format characters to a terminal.
///
/// # Panics
///
/// When `value` has map keys that are not strings, which no value of ours has.
pub fn line(value: &impl Serialize) -> String {
    ascii(&serde_json::to_string(value).expect("our values serialise"))
}

/// `json` with everything beyond printable ASCII as `\u` escapes. Outside of its strings JSON is ASCII already,
/// so the meaning stays the same.
pub fn ascii(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        if matches!(c, ' '..='~' | '\n') {
            out.push(c);
        } else {
            for unit in c.encode_utf16(&mut [0; 2]) {
                write!(out, "\\u{unit:04x}").expect("writing to a String cannot fail");
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_but_printable_ascii_is_left_and_the_meaning_stays() {
        for foreign in ["\u{1b}[2J", "\u{9b}2J", "\u{202e}gpj.exe", "naïve 🎬\u{7f}", "\u{feff}..\r\n\0"] {
            let line = line(&foreign);
            assert!(line.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{line}");
            assert_eq!(serde_json::from_str::<String>(&line).unwrap(), foreign);
        }
    }
}
