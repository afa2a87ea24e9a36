//! Requests of strangers: what [`crate::fuzzing`] throws at the gate and at what is done about ranges and conditions.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
};

use warp::http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request,
    header::{AUTHORIZATION, IF_MATCH, IF_NONE_MATCH, IF_RANGE, RANGE},
    request::Parts,
};

use super::{
    guard::{Guard, Policy},
    lane::Lane,
    listen::Place,
    plan::{Plan, plan},
    server::Arrival,
    token::Token,
};

const ETAG: &str = "\"453475aec9bb4de3423649db8aa3cd2312538ca7-0\"";
const HERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 7000);
const STRANGER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7)), 5000);
/// Some inputs of the corpus show it; no chance finds it.
const SECRET: &str = "correct-horse-battery";

/// A length, then header values, each on a line that begins with the header's initial. A part lies inside the file, and
/// nothing is refused that was not asked for with a range or a condition.
pub(crate) fn range(data: &[u8]) {
    let Some((len, lines)) = data.split_first() else { return };
    let len = u64::from(*len);
    let mut headers = HeaderMap::new();
    for line in lines.split(|byte| *byte == b'\n') {
        let Some((name, value)) = line.split_first() else { continue };
        let name = match name {
            b'i' => IF_RANGE,
            b'm' => IF_MATCH,
            b'n' => IF_NONE_MATCH,
            _ => RANGE,
        };
        headers.extend(HeaderValue::from_bytes(value).ok().map(|value| (name, value)));
    }
    match plan(&Method::GET, &headers, ETAG, len) {
        Plan::Whole => {}
        Plan::Part(range) => {
            assert!(range.start < range.end && range.end <= len && headers.contains_key(RANGE))
        }
        Plan::NotModified => assert!(headers.contains_key(IF_NONE_MATCH)),
        Plan::PreconditionFailed => assert!(headers.contains_key(IF_MATCH)),
        Plan::Unsatisfiable => assert!(len > 0 && headers.contains_key(RANGE)),
    }
    let head = plan(&Method::HEAD, &headers, ETAG, len);
    assert!(!matches!(head, Plan::Part(_) | Plan::Unsatisfiable), "HEAD has no ranges");
}

/// A target, then header lines; of a server that anybody may use, and of one that wants a token.
pub(crate) fn request(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let mut lines = text.lines();
    let (method, target) = lines.next().unwrap_or_default().split_once(' ').unwrap_or(("GET", "/"));
    let mut request = Request::builder().method(method).uri(target);
    for (name, value) in lines.filter_map(|line| line.split_once(": ")) {
        let (name, value) =
            (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_bytes(value.as_bytes()));
        if let (Ok(name), Ok(value)) = (name, value) {
            request = request.header(name, value);
        }
    }
    let Ok(request) = request.body(()) else { return };
    let (parts, ()) = request.into_parts();
    let query = parts.uri.query().unwrap_or_default().as_bytes();
    let query: Vec<_> = url::form_urlencoded::parse(query).into_owned().collect();
    without_a_token(&parts, &query);
    behind_a_token(&parts, &query);
}

fn arrival(remote: SocketAddr) -> Arrival {
    let (place, lane) = (Arc::new(Place::Tcp(HERE)), Lane::default());
    Arrival { remote: Some(remote), place, spare: false, lane }
}

/// Whoever is let in called this server by an address or as `localhost`, and operates it from this machine alone.
fn without_a_token(parts: &Parts, query: &[(String, String)]) {
    for remote in [HERE, STRANGER] {
        let admitted = Guard::new(Policy::default()).admit(parts, query, &arrival(remote));
        let Ok(visitor) = admitted else { continue };
        let host = visitor.authority.host().trim_matches(['[', ']']).trim_end_matches('.');
        assert!(host.parse::<IpAddr>().is_ok() || host.eq_ignore_ascii_case("localhost"), "{host}");
        let place = parts.uri.path().split('/').nth(1);
        let operates = place == Some("admin") || parts.method == Method::DELETE;
        assert!(!visitor.trusted && (remote == HERE || !operates), "{parts:?}");
    }
}

/// Nobody is trusted who has not shown the token; who is not gets the page, which asks for it, and hears whether the server
/// is well.
fn behind_a_token(parts: &Parts, query: &[(String, String)]) {
    let policy = Policy { token: Token::read(SECRET).ok(), proxies: vec![HERE.ip()], ..Policy::default() };
    let Ok(visitor) = Guard::new(policy).admit(parts, query, &arrival(HERE)) else { return };
    let lines = parts.headers.get_all(AUTHORIZATION).iter();
    let mut said = lines.map(|line| String::from_utf8_lossy(line.as_bytes()));
    let shown = query.iter().any(|(_, value)| value == SECRET) || said.any(|line| line.contains(SECRET));
    assert!(!visitor.trusted || shown, "{parts:?}");
    let first = parts.uri.path().split('/').find(|segment| !segment.is_empty());
    let open = parts.method == Method::OPTIONS || matches!(first, None | Some("page" | "health"));
    assert!(visitor.trusted || open, "{parts:?}");
}
