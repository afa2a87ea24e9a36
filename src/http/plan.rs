//! What a request for a file gets: all of it, a part, or a refusal. Pure: headers in, decision out, before
//! anything is opened.

use std::ops::Range;

use warp::http::{
    HeaderMap, HeaderName, Method,
    header::{IF_MATCH, IF_NONE_MATCH, IF_RANGE, RANGE},
};

use super::range::{self, Ranges};

/// The decision about one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Plan {
    /// 200 with every byte.
    Whole,
    /// 206 with these bytes; never empty.
    Part(Range<u64>),
    /// 304: the client has it already.
    NotModified,
    /// 412: the client wants to go on with something else.
    PreconditionFailed,
    /// 416: no such bytes.
    Unsatisfiable,
}

/// Decides in the order of RFC 9110 §13.2.2. A file has a strong `etag` and no date, so headers that compare
/// dates never match. Several ranges are answered with the whole file, as the RFC allows.
pub fn plan(method: &Method, headers: &HeaderMap, etag: &str, len: u64) -> Plan {
    if headers.contains_key(IF_MATCH) && !lists(headers, IF_MATCH, etag, Comparison::Strong) {
        return Plan::PreconditionFailed;
    }
    if lists(headers, IF_NONE_MATCH, etag, Comparison::Weak) {
        return Plan::NotModified;
    }
    if method != Method::GET || !if_range_holds(headers, etag) {
        return Plan::Whole;
    }
    match range_header(headers).map_or(Ranges::Full, |value| range::parse(&value, len)) {
        Ranges::Full | Ranges::Many(_) => Plan::Whole,
        Ranges::One(range) => Plan::Part(range),
        Ranges::Unsatisfiable => Plan::Unsatisfiable,
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Comparison {
    Strong,
    Weak,
}

/// Whether the list of entity tags in `name` holds `*` or ours. A tag has no comma or quote of its own in it
/// that matters here: ours is hexadecimal, so no piece of another can equal it.
fn lists(headers: &HeaderMap, name: HeaderName, etag: &str, comparison: Comparison) -> bool {
    let tags = headers.get_all(name);
    let mut tags = tags.iter().flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    tags.any(|tag| {
        let tag = tag.trim_ascii();
        let weak = tag.strip_prefix(b"W/").filter(|_| comparison == Comparison::Weak);
        tag == b"*" || weak.unwrap_or(tag) == etag.as_bytes()
    })
}

/// A range is only good for the representation that the client already has a part of.
fn if_range_holds(headers: &HeaderMap, etag: &str) -> bool {
    let mut values = headers.get_all(IF_RANGE).iter();
    match (values.next(), values.next()) {
        (None, _) => true,
        (Some(one), None) => one.as_bytes().trim_ascii() == etag.as_bytes(),
        (Some(_), Some(_)) => false,
    }
}

/// The lines of the `Range` header as the one list that they mean; `None` without one, or when it is no text.
fn range_header(headers: &HeaderMap) -> Option<String> {
    let lines: Vec<&str> =
        headers.get_all(RANGE).iter().map(|line| line.to_str().ok()).collect::<Option<_>>()?;
    (!lines.is_empty()).then(|| lines.join(","))
}

#[cfg(test)]
mod tests {
    use warp::http::HeaderValue;

    use super::{Plan::*, *};

    const TAG: &str = "\"0123456789012345678901234567890123456789-3\"";

    fn get(lines: &[(&'static str, &str)]) -> Plan {
        planned(Method::GET, lines)
    }

    fn planned(method: Method, lines: &[(&'static str, &str)]) -> Plan {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            let value = value.replace("TAG", TAG);
            headers.append(*name, HeaderValue::from_bytes(value.as_bytes()).expect("a header value"));
        }
        plan(&method, &headers, TAG, 1000)
    }

    #[test]
    fn a_range_is_a_part_even_when_it_is_everything() {
        assert_eq!(get(&[]), Whole);
        assert_eq!(get(&[("range", "bytes=0-")]), Part(0..1000));
        assert_eq!(get(&[("range", "bytes=0-1")]), Part(0..2));
        assert_eq!(get(&[("range", "bytes=1000-")]), Unsatisfiable);
        assert_eq!(get(&[("range", "bytes=0-1,5-6")]), Whole);
    }

    #[test]
    fn only_get_has_ranges() {
        assert_eq!(planned(Method::HEAD, &[("range", "bytes=0-1")]), Whole);
        assert_eq!(planned(Method::HEAD, &[("range", "bytes=5000-")]), Whole);
    }

    #[test]
    fn two_range_lines_are_one_list() {
        assert_eq!(get(&[("range", "bytes=0-1"), ("range", "bytes=5-6")]), Whole);
        assert_eq!(get(&[("range", "bytes=0-1"), ("range", "2-6")]), Part(0..7));
        assert_eq!(get(&[("range", "bytes=0-1"), ("range", "\u{e9}")]), Whole);
    }

    #[test]
    fn if_range_is_compared_strongly() {
        let range = ("range", "bytes=0-1");
        assert_eq!(get(&[range, ("if-range", "TAG")]), Part(0..2));
        for other in ["W/TAG", "\"other\"", "*", "TAG, TAG", "Wed, 21 Oct 2015 07:28:00 GMT", "", "\u{e9}"] {
            assert_eq!(get(&[range, ("if-range", other)]), Whole, "{other:?}");
        }
        assert_eq!(get(&[("range", "bytes=5000-"), ("if-range", "\"other\"")]), Whole);
    }

    #[test]
    fn if_match_comes_before_everything() {
        let range = ("range", "bytes=0-1");
        for hit in ["TAG", "*", "\"a\", TAG", "\"a\",TAG,\"b\""] {
            assert_eq!(get(&[range, ("if-match", hit)]), Part(0..2), "{hit:?}");
        }
        for miss in ["\"other\"", "W/TAG", ""] {
            assert_eq!(get(&[range, ("if-match", miss)]), PreconditionFailed, "{miss:?}");
        }
        assert_eq!(get(&[("if-match", "\"other\""), ("if-none-match", "TAG")]), PreconditionFailed);
    }

    #[test]
    fn if_none_match_is_compared_weakly() {
        for hit in ["TAG", "W/TAG", "*", "\"a\", W/TAG"] {
            assert_eq!(get(&[("if-none-match", hit), ("range", "bytes=0-1")]), NotModified, "{hit:?}");
            assert_eq!(planned(Method::HEAD, &[("if-none-match", hit)]), NotModified, "{hit:?}");
        }
        assert_eq!(get(&[("if-none-match", "\"other\""), ("range", "bytes=0-1")]), Part(0..2));
    }
}
