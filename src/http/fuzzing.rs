//! Requests of strangers: what [`crate::fuzzing`] throws at the gate and at what is done about ranges and conditions.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
};

use warp::http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request,
    header::{IF_MATCH, IF_NONE_MATCH, IF_RANGE, RANGE},
};

use super::{
    guard::{Guard, Policy},
    lane::Lane,
    listen::Place,
    plan::{Plan, plan},
    server::Arrival,
};

const ETAG: &str = "\"453475aec9bb4de3423649db8aa3cd2312538ca7-0\"";
const HERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 7000);

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

/// A target, then header lines. Whoever is let in called this server by an address or as `localhost`, and is no operator
/// without the token.
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
    let stranger = SocketAddr::new(Ipv4Addr::new(192, 0, 2, 7).into(), 5000);
    for remote in [HERE, stranger] {
        let (place, lane) = (Arc::new(Place::Tcp(HERE)), Lane::default());
        let arrival = Arrival { remote: Some(remote), place, spare: false, lane };
        let Ok(visitor) = Guard::new(Policy::default()).admit(&parts, &query, &arrival) else { continue };
        let host = visitor.authority.host().trim_matches(['[', ']']).trim_end_matches('.');
        assert!(host.parse::<IpAddr>().is_ok() || host.eq_ignore_ascii_case("localhost"), "{host}");
        let place = parts.uri.path().split('/').nth(1);
        let operates = place == Some("admin") || parts.method == Method::DELETE;
        assert!(!visitor.trusted && (remote == HERE || !operates), "{text}");
    }
}
