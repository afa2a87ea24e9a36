//! Refuses requests that a browser was tricked into sending: a page of another site can make a name of its
//! own point at this machine (DNS rebinding), but it cannot make the browser lie about that name.

use std::net::SocketAddr;

use warp::http::{HeaderMap, StatusCode, header::HOST, uri::Authority};

use super::reply::Problem;

/// Lets through only a request whose one authority is the address it was sent to, port included.
///
/// `authority` is what the request line and the `Host` header agree on. Port 80 may be left out, as clients do.
pub fn addressed_to(
    address: SocketAddr,
    headers: &HeaderMap,
    authority: Option<&Authority>,
) -> Result<(), Problem> {
    let authority = authority.filter(|_| headers.get_all(HOST).iter().count() <= 1).ok_or_else(malformed)?;
    let expected = address.to_string();
    if authority.as_str() == expected || Some(authority.as_str()) == expected.strip_suffix(":80") {
        return Ok(());
    }
    Err(Problem::new(StatusCode::MISDIRECTED_REQUEST, "misdirected", "Misdirected request")
        .saying(format!("this server answers only to http://{expected}/")))
}

/// A request without one readable authority.
pub fn malformed() -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "bad_request", "Bad request")
        .saying("the request needs exactly one valid Host header")
}
