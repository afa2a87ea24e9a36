//! Byte ranges as RFC 9110 §14 words them, for the `Range` header and for `--range`.
//!
//! Pure text to numbers: no header map, no I/O, no opinion about the body. Positions are digit strings of
//! any length; they are compared as such and clamped, never cast, so no numeral can overflow.

use std::{fmt, ops::Range, str::FromStr};

/// Listed ranges beyond which a set is answered with the whole file: nobody plays in more parts than this,
/// and a client that asks for them costs more than the file.
const MAX_PARTS: usize = 8;

/// What a `Range` header asks of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ranges {
    /// The header is to be ignored: answer 200 with the whole file.
    Full,
    /// Answer 206 with this non-empty range.
    One(Range<u64>),
    /// More than one range, neither overlapping nor adjacent, in the order asked for.
    /// A server may answer 206 in parts, or 200 with the whole file.
    Many(Vec<Range<u64>>),
    /// Answer 416 with `Content-Range: bytes */len`.
    Unsatisfiable,
}

/// One range as it was typed, before the file's length is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RangeSpec(Spec);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Spec {
    /// `first-last`, both included; numbers beyond `u64` are held as its maximum.
    Between(u64, u64),
    /// `first-`
    From(u64),
    /// `-count`
    Last(u64),
}

/// Why a `--range` cannot be delivered, in words for the one who typed it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RangeError {
    /// It is not a range at all.
    #[error("{0:?} is not a byte range; use FIRST-LAST, FIRST- or -COUNT, as in 0-499, 500- or -500")]
    Invalid(String),
    /// It is a range, but no byte of the file is in it.
    #[error("range {spec} lies outside the file, which has {len} bytes")]
    Outside {
        /// The range as understood.
        spec: RangeSpec,
        /// The file's length.
        len: u64,
    },
}

/// What the value of a `Range` header asks of a file of `len` bytes.
///
/// Another unit, any malformed part and a set of nothing make it [`Ranges::Full`], as does every range of an
/// empty file. Unsatisfiable ranges of a set are dropped; the rest is merged where it overlaps or touches.
pub fn parse(header: &str, len: u64) -> Ranges {
    let Some(specs) = byte_set(header) else { return Ranges::Full };
    if len == 0 || specs.is_empty() || specs.len() > MAX_PARTS {
        return Ranges::Full;
    }
    let mut ranges = coalesce(specs.into_iter().filter_map(|spec| spec.resolve(len)).collect());
    match ranges.len() {
        0 => Ranges::Unsatisfiable,
        1 => Ranges::One(ranges.remove(0)),
        _ => Ranges::Many(ranges),
    }
}

/// What `--range` asks of a file of `len` bytes: one range, in the header's syntax without its unit.
pub fn parse_cli(spec: &str, len: u64) -> Result<Range<u64>, RangeError> {
    let spec: RangeSpec = spec.parse()?;
    spec.resolve(len).ok_or(RangeError::Outside { spec, len })
}

impl RangeSpec {
    /// The bytes it means in a file of `len` bytes, cut to the file; `None` when there are none.
    pub fn resolve(self, len: u64) -> Option<Range<u64>> {
        let range = match self.0 {
            Spec::Between(first, last) => first..last.saturating_add(1).min(len),
            Spec::From(first) => first..len,
            Spec::Last(count) => len.saturating_sub(count)..len,
        };
        (!range.is_empty()).then_some(range)
    }

    fn parse(text: &str) -> Option<Self> {
        let (first, last) = text.split_once('-')?;
        Some(Self(match (first.is_empty(), last.is_empty()) {
            (true, true) => return None,
            (true, false) => Spec::Last(number(digits(last)?)),
            (false, true) => Spec::From(number(digits(first)?)),
            (false, false) => {
                let (first, last) = (digits(first)?, digits(last)?);
                if (last.len(), last) < (first.len(), first) {
                    return None;
                }
                Spec::Between(number(first), number(last))
            }
        }))
    }
}

impl FromStr for RangeSpec {
    type Err = RangeError;

    fn from_str(text: &str) -> Result<Self, RangeError> {
        Self::parse(text.trim_matches(OWS)).ok_or_else(|| RangeError::Invalid(text.to_owned()))
    }
}

impl fmt::Display for RangeSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Spec::Between(first, last) => write!(f, "{first}-{last}"),
            Spec::From(first) => write!(f, "{first}-"),
            Spec::Last(count) => write!(f, "-{count}"),
        }
    }
}

/// Optional white space (RFC 9110 §5.6.3).
const OWS: [char; 2] = [' ', '\t'];

/// The specs of a `bytes=` set; `None` for another unit or any malformed one. Empty list items do not count.
fn byte_set(header: &str) -> Option<Vec<RangeSpec>> {
    let (unit, set) = header.trim_matches(OWS).split_once('=')?;
    if !unit.eq_ignore_ascii_case("bytes") {
        return None;
    }
    let items = set.split(',').map(|item| item.trim_matches(OWS)).filter(|item| !item.is_empty());
    items.map(RangeSpec::parse).collect()
}

/// The digits of a numeral without leading zeros, so that length then text orders them by value.
fn digits(text: &str) -> Option<&str> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.trim_start_matches('0'))
}

/// The value of such digits; beyond `u64` no file reaches, so its maximum stands for all of that.
fn number(digits: &str) -> u64 {
    if digits.is_empty() { 0 } else { digits.parse().unwrap_or(u64::MAX) }
}

/// Merges what overlaps or touches; a merged range takes the place of the first of its parts.
fn coalesce(ranges: Vec<Range<u64>>) -> Vec<Range<u64>> {
    let mut placed: Vec<(usize, Range<u64>)> = ranges.into_iter().enumerate().collect();
    placed.sort_by_key(|(_, range)| range.start);
    let mut merged: Vec<(usize, Range<u64>)> = Vec::with_capacity(placed.len());
    for (place, range) in placed {
        match merged.last_mut() {
            Some((first, last)) if range.start <= last.end => {
                *first = place.min(*first);
                last.end = last.end.max(range.end);
            }
            _ => merged.push((place, range)),
        }
    }
    merged.sort_by_key(|(place, _)| *place);
    merged.into_iter().map(|(_, range)| range).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Ranges::*, *};

    const N: u64 = 1000;

    #[test]
    fn every_row_of_the_table_is_answered_as_written() {
        let table: &[(&str, Ranges)] = &[
            ("bytes=0-0", One(0..1)),
            ("bytes=0-", One(0..1000)),
            ("bytes=200-299", One(200..300)),
            ("bytes=0-999", One(0..1000)),
            ("bytes=0-1", One(0..2)),
            // A last position beyond the end is cut to it, however many digits it has.
            ("bytes=0-1000", One(0..1000)),
            ("bytes=0-5000", One(0..1000)),
            ("bytes=0-18446744073709551614", One(0..1000)),
            ("bytes=0-18446744073709551615", One(0..1000)),
            ("bytes=0-18446744073709551616", One(0..1000)),
            ("bytes=999-99999999999999999999999999999999999999999999", One(999..1000)),
            // Suffixes.
            ("bytes=-1", One(999..1000)),
            ("bytes=-999", One(1..1000)),
            ("bytes=-1000", One(0..1000)),
            ("bytes=-5000", One(0..1000)),
            ("bytes=-18446744073709551616", One(0..1000)),
            ("bytes=-0", Unsatisfiable),
            ("bytes=-000", Unsatisfiable),
            // Beyond the end.
            ("bytes=1000-", Unsatisfiable),
            ("bytes=1000-1001", Unsatisfiable),
            ("bytes=18446744073709551615-", Unsatisfiable),
            ("bytes=18446744073709551616-18446744073709551617", Unsatisfiable),
            ("bytes=99999999999999999999999999-", Unsatisfiable),
            // Malformed: one bad part spoils the set.
            ("bytes=5-2", Full),
            ("bytes=18446744073709551617-18446744073709551616", Full),
            ("bytes=a-b", Full),
            ("bytes=0-1,x", Full),
            ("bytes=0-1,5-2", Full),
            ("bytes=+0-1", Full),
            ("bytes=0-+1", Full),
            ("bytes=--1", Full),
            ("bytes=0--1", Full),
            ("bytes=0 -1", Full),
            ("bytes=0- 1", Full),
            ("bytes=0x0-1", Full),
            ("bytes=\u{0660}-\u{0661}", Full),
            ("bytes=5", Full),
            ("bytes=-", Full),
            ("bytes", Full),
            ("bytes=", Full),
            ("bytes=,", Full),
            ("bytes= , ,", Full),
            ("", Full),
            // Units.
            ("items=0-1", Full),
            ("bytes =0-1", Full),
            ("Bytes=0-1", One(0..2)),
            ("BYTES=0-1", One(0..2)),
            // White space, empty items, leading zeros.
            ("  bytes=0-1\t", One(0..2)),
            ("bytes= 0-1 ", One(0..2)),
            ("bytes=0-1 , ,5-6", Many(vec![0..2, 5..7])),
            ("bytes=,0-1,,5-6,", Many(vec![0..2, 5..7])),
            ("bytes=0-1\t,\t5-6", Many(vec![0..2, 5..7])),
            ("bytes=000-0001", One(0..2)),
            ("bytes=00000000000000000000000000000000-1", One(0..2)),
            ("bytes=5-00000000000000000000000000000007", One(5..8)),
            // Sets: unsatisfiable parts go, what overlaps or touches becomes one, order stays.
            ("bytes=0-1,5000-", One(0..2)),
            ("bytes=5000-,-0", Unsatisfiable),
            ("bytes=0-4,5-9", One(0..10)),
            ("bytes=0-4,3-9", One(0..10)),
            ("bytes=0-9,2-3", One(0..10)),
            ("bytes=0-4,6-9", Many(vec![0..5, 6..10])),
            ("bytes=-5,0-1", Many(vec![995..1000, 0..2])),
            ("bytes=20-29,0-4,30-39", Many(vec![20..40, 0..5])),
            ("bytes=0-0,9-9,1-8", One(0..10)),
            (
                "bytes=0-0,2-2,4-4,6-6,8-8,10-10,12-12,14-14",
                Many(vec![0..1, 2..3, 4..5, 6..7, 8..9, 10..11, 12..13, 14..15]),
            ),
            ("bytes=0-0,2-2,4-4,6-6,8-8,10-10,12-12,14-14,16-16", Full),
            // Two header lines joined into one value name the unit twice.
            ("bytes=0-1, bytes=5-6", Full),
        ];
        for (header, expected) in table {
            assert_eq!(parse(header, N), *expected, "{header:?}");
        }
    }

    #[test]
    fn an_empty_file_has_no_ranges_to_refuse() {
        for header in ["bytes=0-", "bytes=0-0", "bytes=-1", "bytes=-0", "bytes=5-"] {
            assert_eq!(parse(header, 0), Full, "{header:?}");
        }
    }

    #[test]
    fn the_longest_possible_file_needs_no_wider_numbers() {
        assert_eq!(parse("bytes=0-99999999999999999999", u64::MAX), One(0..u64::MAX));
        assert_eq!(parse("bytes=18446744073709551614-", u64::MAX), One(u64::MAX - 1..u64::MAX));
        assert_eq!(parse("bytes=18446744073709551615-", u64::MAX), Unsatisfiable);
    }

    #[test]
    fn the_command_line_takes_one_range_without_a_unit() {
        assert_eq!(parse_cli("0-499", N), Ok(0..500));
        assert_eq!(parse_cli("500-", N), Ok(500..1000));
        assert_eq!(parse_cli("-500", N), Ok(500..1000));
        assert_eq!(parse_cli("0-18446744073709551616", N), Ok(0..1000));
        for bad in ["", "-", "5", "5-2", "0-1,5-6", "bytes=0-1", "+0-1", "0-1k"] {
            assert_eq!(parse_cli(bad, N), Err(RangeError::Invalid(bad.to_owned())));
        }
    }

    #[test]
    fn a_range_outside_the_file_says_how_long_the_file_is() {
        let told = |spec, len| parse_cli(spec, len).expect_err("outside").to_string();
        assert_eq!(told("1000-", N), "range 1000- lies outside the file, which has 1000 bytes");
        assert_eq!(told("-0", N), "range -0 lies outside the file, which has 1000 bytes");
        assert_eq!(told("0-5", 0), "range 0-5 lies outside the file, which has 0 bytes");
    }

    /// The rules once more, in the order in which RFC 9110 tells them and byte by byte, for short files only.
    fn model(header: &str, len: u64) -> Ranges {
        let header = header.trim_matches([' ', '\t']);
        let Some(at) = header.find('=') else { return Full };
        if header[..at].to_lowercase() != "bytes" {
            return Full;
        }
        let mut wanted: Vec<(u128, u128)> = Vec::new();
        for item in header[at + 1..].split(',') {
            let item = item.trim_matches([' ', '\t']);
            if item.is_empty() {
                continue;
            }
            let dashes: Vec<usize> = item.match_indices('-').map(|(at, _)| at).collect();
            let [dash] = dashes[..] else { return Full };
            let (left, right) = (&item[..dash], &item[dash + 1..]);
            if (left.to_owned() + right).chars().any(|c| !c.is_ascii_digit()) {
                return Full;
            }
            let value = |text: &str| text.parse::<u128>().expect("digits that fit");
            wanted.push(match (left, right) {
                ("", "") => return Full,
                ("", count) => (u128::from(len).saturating_sub(value(count)), u128::from(len)),
                (first, "") => (value(first), u128::from(len)),
                (first, last) if value(last) < value(first) => return Full,
                (first, last) => (value(first), value(last) + 1),
            });
        }
        if wanted.is_empty() || wanted.len() > 8 || len == 0 {
            return Full;
        }
        blocks(&wanted, len)
    }

    /// The unbroken runs of wanted bytes, each at the place of the first range that asked for a part of it.
    fn blocks(wanted: &[(u128, u128)], len: u64) -> Ranges {
        let asked_by = |byte: u64| wanted.iter().position(|(a, b)| (*a..*b).contains(&u128::from(byte)));
        let mut runs: Vec<(usize, Range<u64>)> = Vec::new();
        for byte in 0..len {
            let Some(place) = asked_by(byte) else { continue };
            match runs.last_mut() {
                Some((first, run)) if run.end == byte => {
                    run.end += 1;
                    *first = place.min(*first);
                }
                _ => runs.push((place, byte..byte + 1)),
            }
        }
        runs.sort_by_key(|(place, _)| *place);
        let runs: Vec<_> = runs.into_iter().map(|(_, run)| run).collect();
        match &runs[..] {
            [] => Unsatisfiable,
            [one] => One(one.clone()),
            _ => Many(runs),
        }
    }

    fn numeral() -> impl Strategy<Value = String> {
        prop_oneof![
            6 => (0u64..70).prop_map(|n| n.to_string()),
            1 => (0u64..70, 1usize..25).prop_map(|(n, zeros)| format!("{}{n}", "0".repeat(zeros))),
            1 => (u128::from(u64::MAX) - 2..u128::from(u64::MAX) + 3).prop_map(|n| n.to_string()),
            1 => "[0-9]{1,30}",
        ]
    }

    fn item() -> impl Strategy<Value = String> {
        prop_oneof![
            6 => (numeral(), numeral()).prop_map(|(a, b)| format!("{a}-{b}")),
            2 => numeral().prop_map(|a| format!("{a}-")),
            2 => numeral().prop_map(|b| format!("-{b}")),
            1 => Just(String::new()),
            1 => "[-+0-9 a]{0,5}",
        ]
    }

    fn header() -> impl Strategy<Value = String> {
        let unit = prop_oneof![8 => Just("bytes"), 1 => Just("ByTeS"), 1 => Just("items"), 1 => Just("")];
        let equals = prop_oneof![20 => Just("="), 1 => Just(" = "), 1 => Just("")];
        let space = "[ \t]{0,2}";
        let list = prop::collection::vec((space, item(), space), 0..11);
        (unit, equals, list).prop_map(|(unit, equals, list)| {
            let items: Vec<String> = list.into_iter().map(|(a, item, b)| a + &item + &b).collect();
            format!("{unit}{equals}{}", items.join(","))
        })
    }

    proptest! {
        #[test]
        fn any_set_means_what_the_model_says(header in header(), len in 0u64..70) {
            prop_assert_eq!(parse(&header, len), model(&header, len));
        }

        #[test]
        fn any_text_means_what_the_model_says(text in "(bytes=)?[-0-9, \t=+b]{0,24}", len in 0u64..70) {
            prop_assert_eq!(parse(&text, len), model(&text, len));
        }

        #[test]
        fn any_text_at_all_is_survived(text in ".*", len: u64) {
            let _ = (parse(&text, len), parse_cli(&text, len));
        }

        #[test]
        fn what_is_satisfiable_lies_inside_the_file(header in header(), len: u64) {
            let ranges = match parse(&header, len) {
                Full | Unsatisfiable => Vec::new(),
                One(range) => vec![range],
                Many(ranges) => { prop_assert!(ranges.len() > 1); ranges }
            };
            for range in ranges {
                prop_assert!(range.start < range.end && range.end <= len);
            }
        }
    }
}
