//! What strangers send, before a decoder sees it: bencode that keeps to its own rules and to ours.
//!
//! librqbit's decoder reads a number of any length into as many bits as are asked for, which wraps or panics. Here what does
//! not fit into 64 is refused; fewer must not be asked for.

use std::borrow::Cow;

/// Deeper than any torrent, tracker or extension message nests.
const MAX_DEPTH: usize = 32;
/// Digits of a number: all of `i64` but its very ends.
const MAX_DIGITS: usize = 18;

/// Decodes one value; what follows it is handed back.
pub(super) fn decode<'a, T: serde::Deserialize<'a>>(bytes: &'a [u8]) -> Option<(T, &'a [u8])> {
    let (value, rest) = bytes.split_at(value(bytes, 0)?);
    Some((librqbit_bencode::from_bytes(value).ok()?, rest))
}

/// A dictionary without some of its entries, and with others changed: `edit` is told each key and its encoded value, and
/// says what is to be there instead. What follows the dictionary is left out; nothing if there is none.
pub(super) fn edit<'a>(
    bytes: &'a [u8],
    edit: impl Fn(&[u8], &'a [u8]) -> Option<Cow<'a, [u8]>>,
) -> Option<Vec<u8>> {
    let whole = bytes.strip_prefix(b"d").and(value(bytes, 0))?;
    let (mut at, mut edited) = (1, b"d".to_vec());
    while at + 1 < whole {
        let key = &bytes[at..at + string(&bytes[at..])?];
        at += key.len();
        let entry = &bytes[at..at + value(&bytes[at..], 1)?];
        at += entry.len();
        let name = &key[number(key, b':')?.1..];
        if let Some(instead) = edit(name, entry) {
            edited.extend_from_slice(key);
            edited.extend_from_slice(&instead);
        }
    }
    edited.push(b'e');
    Some(edited)
}

/// Bytes as an encoded string.
pub(super) fn string_of(bytes: &[u8]) -> Vec<u8> {
    [bytes.len().to_string().as_bytes(), b":", bytes].concat()
}

/// Whether the bytes are one well-formed value and nothing else.
pub(super) fn is_well_formed(bytes: &[u8]) -> bool {
    value(bytes, 0) == Some(bytes.len())
}

/// How long the value at the beginning is.
fn value(bytes: &[u8], depth: usize) -> Option<usize> {
    match bytes.first()? {
        b'i' => Some(1 + number(&bytes[1..], b'e')?.1),
        b'0'..=b'9' => string(bytes),
        kind @ (b'l' | b'd') if depth < MAX_DEPTH => {
            let mut at = 1;
            while *bytes.get(at)? != b'e' {
                if *kind == b'd' {
                    at += string(&bytes[at..])?;
                }
                at += value(&bytes[at..], depth + 1)?;
            }
            Some(at + 1)
        }
        _ => None,
    }
}

fn string(bytes: &[u8]) -> Option<usize> {
    let (len, digits) = number(bytes, b':')?;
    let end = digits.checked_add(usize::try_from(len).ok()?)?;
    (end <= bytes.len()).then_some(end)
}

/// A number and how long it is, the byte that ends it included.
fn number(bytes: &[u8], end: u8) -> Option<(i64, usize)> {
    let len = bytes.iter().take(MAX_DIGITS + 2).position(|byte| *byte == end)?;
    let text = std::str::from_utf8(&bytes[..len]).ok()?;
    let digits = text.strip_prefix('-').unwrap_or(text);
    let plain =
        !digits.is_empty() && digits.len() <= MAX_DIGITS && digits.bytes().all(|byte| byte.is_ascii_digit());
    Some((plain.then(|| text.parse().ok())??, len + 1))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn values_are_measured_to_their_last_byte() {
        for whole in
            ["i0e", "i-7e", "0:", "3:abc", "le", "li1e1:xe", "d1:ai1e1:bl2:xyee", "i999999999999999999e"]
        {
            assert!(is_well_formed(whole.as_bytes()), "{whole}");
            for cut in 0..whole.len() {
                assert!(!is_well_formed(&whole.as_bytes()[..cut]), "{whole} cut to {cut}");
            }
            assert!(!is_well_formed(format!("{whole}e").as_bytes()));
        }
    }

    #[test]
    fn what_would_wrap_overrun_or_overflow_the_stack_is_refused() {
        let deep = format!("{}{}", "l".repeat(10_000), "e".repeat(10_000));
        for bad in [
            "i99999999999999999999999e",
            "99999999999999999999:",
            "i+1e",
            "ie",
            "i-e",
            "5:abcd",
            "di1ei2ee",
            &deep,
        ] {
            assert!(!is_well_formed(bad.as_bytes()), "{bad:.40}");
        }
    }

    #[test]
    fn the_rest_is_handed_back() {
        let (number, rest) = decode::<u32>(b"i7edata").unwrap();
        assert_eq!((number, rest), (7, &b"data"[..]));
    }

    #[test]
    fn a_dictionary_loses_what_it_shall_and_keeps_every_other_byte() {
        let kept = |bytes: &[u8]| {
            let edited = edit(bytes, |key, value| match key {
                b"m" => edit(value, |key, value| (key != b"ut_pex").then_some(value.into())).map(Cow::Owned),
                b"p" => None,
                _ => Some(value.into()),
            });
            edited.map(|edited| String::from_utf8(edited).unwrap())
        };
        let hello = b"d1:md11:ut_metadatai3e6:ut_pexi1ee1:pi6881e1:v4:abcde";
        assert_eq!(kept(hello).as_deref(), Some("d1:md11:ut_metadatai3ee1:v4:abcde"));
        assert_eq!(kept(b"d1:mi3e1:v1:xe").as_deref(), Some("d1:v1:xe"), "no dictionary, no entry");
        assert_eq!(kept(b"de").as_deref(), Some("de"));
        assert_eq!((kept(b"le"), kept(b"d1:p"), kept(b"")), (None, None, None));
    }

    proptest! {
        #[test]
        fn any_dictionary_that_is_left_alone_is_as_it_was(bytes in prop::collection::vec(prop::sample::select(b"ilde:0123456789-x".to_vec()), 0..60)) {
            let whole = edit(&bytes, |_, value| Some(value.into()));
            let is_one = bytes.starts_with(b"d") && value(&bytes, 0).is_some();
            prop_assert_eq!(whole.as_deref(), is_one.then(|| &bytes[..value(&bytes, 0).unwrap()]));
        }

        #[test]
        fn any_bytes_are_measured_or_refused(bytes in prop::collection::vec(prop::sample::select(b"ilde:0123456789-x".to_vec()), 0..60)) {
            if let Some(len) = value(&bytes, 0) {
                prop_assert!(len <= bytes.len() && is_well_formed(&bytes[..len]));
            }
        }
    }
}
