//! Who may ask for what. A page of another site can make a name of its own point at this machine (DNS rebinding), and
//! can make a browser send requests here; but it cannot make the browser lie about that name, nor about where the
//! request came from.
//!
//! Decides from the head of a request alone, before any route is looked for.

use std::net::{IpAddr, SocketAddr};

use time::OffsetDateTime;
use tokio::time::Instant;
use url::Url;
use warp::http::{
    HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri,
    header::{
        AUTHORIZATION, CONNECTION, CONTENT_LENGTH, HOST, ORIGIN, REFERER, RETRY_AFTER, TRANSFER_ENCODING,
        WWW_AUTHENTICATE,
    },
    request::Parts,
    uri::Authority,
};

use super::{
    add,
    limiter::Limiter,
    listen::Place,
    reply::Problem,
    server::Arrival,
    token::{BadLink, Token},
};
use crate::core::{fetch::MAX_METAINFO, source::InfoHash};

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED: HeaderName = HeaderName::from_static("forwarded");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// The body that a request may bring where none is needed.
const MAX_BODY: u64 = 4096;

/// Wrong tokens a minute, from one address.
const WRONG_TOKENS: u32 = 10;

/// A name of this server, with or without a port.
pub type HostName = Authority;

/// Reads a name of this server: `host` or `host:port`.
pub fn host_name(text: &str) -> Result<HostName, String> {
    let name = text.parse().ok().filter(|name: &HostName| !name.host().is_empty() && !text.contains('@'));
    name.ok_or_else(|| "expected a name such as tv.example or nas.local:8080".into())
}

/// Whom the operator trusts.
#[derive(Debug, Clone, Default)]
pub struct Policy {
    /// The secret; without one, whoever reaches the server may use it.
    pub token: Option<Token>,
    /// Names of this server, each with or without a port.
    pub hosts: Vec<HostName>,
    /// Sites whose pages may use it.
    pub origins: Origins,
    /// What this server is called from outside.
    pub public_url: Option<Url>,
    /// Proxies that tell the truth about their clients.
    pub proxies: Vec<IpAddr>,
    /// Trackers and peers named in requests may be in private networks.
    pub private_peers: bool,
    /// Torrents that one address may start in a minute.
    pub starts_per_minute: u32,
}

/// Sites whose pages may use the server, as browsers write them: `https://host`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origins {
    /// These.
    Listed(Vec<String>),
    /// All of them.
    Any,
}

impl Default for Origins {
    fn default() -> Self {
        Self::Listed(Vec::new())
    }
}

impl Origins {
    /// Whether `origin` is one of them.
    pub fn have(&self, origin: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Listed(listed) => listed.iter().any(|one| one == origin),
        }
    }

    /// Reads a list of them; `*` is all.
    pub fn read(listed: Vec<String>) -> Self {
        if listed.iter().any(|one| one == "*") { Self::Any } else { Self::Listed(listed) }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        matches!(self, Self::Listed(listed) if listed.is_empty())
    }
}

/// Who asks.
#[derive(Debug, Clone)]
pub struct Visitor {
    /// The client's address; `None` through a Unix socket.
    pub address: Option<IpAddr>,
    /// What it calls this server.
    pub authority: Authority,
    /// It calls it by https, as a proxy of ours says.
    pub secure: bool,
    /// It has shown the token. (A signed link shows that somebody has it.)
    pub trusted: bool,
}

/// What a request is for, as far as that matters to whether it is allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Aim {
    /// A file; looking for it starts a download.
    Stream,
    /// What only the operator should do or see.
    Operate,
    /// Whether the server is well.
    Health,
    /// To look.
    Look,
    /// The page itself, which asks for the token.
    Page,
}

/// The gate in front of the routes.
#[derive(Debug)]
pub struct Guard {
    policy: Policy,
    wrong_tokens: Limiter,
}

impl Guard {
    /// A gate with these rules.
    pub fn new(policy: Policy) -> Self {
        Self { policy, wrong_tokens: Limiter::new(WRONG_TOKENS) }
    }

    /// Its rules.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Lets a request through, or says why not.
    pub fn admit(
        &self,
        request: &Parts,
        query: &[(String, String)],
        arrival: &Arrival,
    ) -> Result<Visitor, Problem> {
        let authority = authority(&request.uri, &request.headers)?;
        refuse_body(request)?;
        let aim = Aim::of(&request.method, request.uri.path());
        if arrival.spare && !matches!(aim, Aim::Operate | Aim::Health) {
            return Err(Problem::full());
        }
        let client = self.client(&request.headers, arrival);
        let trusted = self.credentials(request, query, aim, client.address)?;
        if !trusted {
            self.check_host(&authority, &arrival.place)?;
            self.check_site(request, &authority, aim)?;
            check_operator(&request.method, aim, &client)?;
        }
        let (authority, secure) = match client.proxied {
            true => outside(&request.headers, authority),
            false => (authority, false),
        };
        Ok(Visitor { address: client.address, authority, secure, trusted })
    }

    /// The other side, unless that is a proxy that tells the truth about its own. Whoever may use a Unix socket is
    /// as good as one.
    fn client(&self, headers: &HeaderMap, arrival: &Arrival) -> Client {
        let is_proxy = |address: &IpAddr| self.policy.proxies.contains(address);
        let remote = arrival.remote.map(|remote| remote.ip().to_canonical());
        if !headers.contains_key(X_FORWARDED_FOR) && !headers.contains_key(FORWARDED) {
            let local = remote.is_none_or(|remote| remote.is_loopback());
            return Client { address: remote, local, proxied: false };
        }
        if !remote.as_ref().is_none_or(is_proxy) {
            return Client { address: remote, local: false, proxied: false };
        }
        let lines = headers.get_all(X_FORWARDED_FOR).iter();
        let hops = lines.flat_map(|line| line.to_str().unwrap_or_default().split(','));
        let hops: Vec<_> =
            hops.map(|hop| hop.trim().parse().ok().map(|hop: IpAddr| hop.to_canonical())).collect();
        match hops.iter().rev().find(|hop| !hop.as_ref().is_some_and(is_proxy)) {
            Some(Some(client)) => {
                Client { address: Some(*client), local: client.is_loopback(), proxied: true }
            }
            _ => Client { address: remote, local: false, proxied: true },
        }
    }

    /// Whether the request shows the token or a link that was signed with it.
    fn credentials(
        &self,
        request: &Parts,
        query: &[(String, String)],
        aim: Aim,
        address: Option<IpAddr>,
    ) -> Result<bool, Problem> {
        let Some(token) = &self.policy.token else { return Ok(false) };
        let wait = address.and_then(|address| self.wrong_tokens.wait(address, Instant::now()));
        if let Some(wait) = wait {
            return Err(too_many("wrong tokens", wait));
        }
        let refused = match shown(&request.headers, query) {
            Shown::Token(given) if token.is(&given) => return Ok(true),
            Shown::Token(_) => "the token is not the one that this server was given",
            Shown::Link if aim == Aim::Stream => match check_link(token, request.uri.path(), query) {
                Ok(()) => return Ok(true),
                Err(BadLink::Expired) => return Err(unauthorized("the link has expired; ask for a new one")),
                Err(BadLink::Forged) => "the link was not signed by this server",
            },
            _ if matches!(aim, Aim::Health | Aim::Page) || request.method == Method::OPTIONS => {
                return Ok(false);
            }
            _ => return Err(unauthorized("this server wants its token: Authorization: Bearer, or ?token=")),
        };
        if let Some(address) = address {
            self.wrong_tokens.count(address, Instant::now());
        }
        Err(unauthorized(refused))
    }

    fn check_host(&self, authority: &Authority, place: &Place) -> Result<(), Problem> {
        if self.is_ours(authority, place) {
            return Ok(());
        }
        Err(misdirected("this server does not go by that name; --allow-host gives it the name"))
    }

    /// An address or `localhost` with the port that was reached, or a name that the operator gave.
    fn is_ours(&self, authority: &Authority, place: &Place) -> bool {
        let named = |name: &Authority| {
            same_host(authority.host(), name.host())
                && name.port_u16().is_none_or(|port| port == authority.port_u16().unwrap_or(80))
        };
        let public = || {
            let url = self.policy.public_url.as_ref()?;
            let port = authority.port_u16();
            Some(
                same_host(authority.host(), url.host_str()?)
                    && (port.is_none() || port == url.port_or_known_default()),
            )
        };
        let host = authority.host();
        let is_address = host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok();
        let port_fits = match place {
            Place::Tcp(address) => authority.port_u16().unwrap_or(80) == address.port(),
            Place::Unix(_) => true,
        };
        ((is_address || same_host(host, "localhost")) && port_fits)
            || self.policy.hosts.iter().any(named)
            || public().unwrap_or(false)
    }

    /// Pages of other sites neither start torrents nor change anything.
    fn check_site(&self, request: &Parts, authority: &Authority, aim: Aim) -> Result<(), Problem> {
        let safe = matches!(request.method, Method::GET | Method::HEAD | Method::OPTIONS);
        if request.method == Method::OPTIONS || (safe && aim != Aim::Stream) {
            return Ok(());
        }
        let own = match text(&request.headers, &SEC_FETCH_SITE) {
            Some("same-origin" | "none") => true,
            Some(_) => false,
            None if request.headers.contains_key(SEC_FETCH_SITE) => false,
            None => request.headers.get(ORIGIN).is_none_or(|origin| is_origin_of(origin, authority)),
        };
        if own || self.is_allowed_page(&request.headers) {
            return Ok(());
        }
        Err(Problem::new(StatusCode::FORBIDDEN, "cross_site", "Cross-site request refused").saying(
            "a page of another site asks for this; --allow-origin lets pages of a site use this server",
        ))
    }

    /// What the page's browser says of where the page is from; a video element says it in `Referer` alone.
    fn is_allowed_page(&self, headers: &HeaderMap) -> bool {
        let referer = || Some(Url::parse(text(headers, &REFERER)?).ok()?.origin().ascii_serialization());
        let origin = match headers.get(ORIGIN) {
            Some(origin) => origin.to_str().ok().map(str::to_owned),
            None => referer(),
        };
        match origin {
            Some(origin) => self.policy.origins.have(&origin),
            None => self.policy.origins == Origins::Any,
        }
    }
}

/// Without a token, only this machine operates the server, and not through a proxy that anybody may reach. What it takes is
/// no secret: a browser asks that before it shows a page's token.
fn check_operator(method: &Method, aim: Aim, client: &Client) -> Result<(), Problem> {
    if aim != Aim::Operate || client.local || method == Method::OPTIONS {
        return Ok(());
    }
    Err(unauthorized("only the machine that it runs on may do this while the server has no --token"))
}

/// Where a request came from in the first place.
struct Client {
    address: Option<IpAddr>,
    /// From this machine, as far as anybody can tell.
    local: bool,
    /// Through a proxy that tells the truth.
    proxied: bool,
}

/// What a client calls the server, and whether by https, as a proxy tells it; one that does not tell passes on what
/// it was called itself.
fn outside(headers: &HeaderMap, authority: Authority) -> (Authority, bool) {
    let first = |name| Some(text(headers, &name)?.split(',').next()?.trim());
    let host = first(X_FORWARDED_HOST).and_then(|host| host_name(host).ok());
    let secure = first(X_FORWARDED_PROTO).is_some_and(|scheme| scheme.eq_ignore_ascii_case("https"));
    (host.unwrap_or(authority), secure)
}

impl Aim {
    fn of(method: &Method, path: &str) -> Self {
        let changes = !matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS);
        let mut segments = path.trim_start_matches('/').split('/');
        match segments.next().unwrap_or_default() {
            // To look for a torrent is what asking for its file does as well.
            "torrents" if *method == Method::POST && segments.next().is_some_and(|hash| !hash.is_empty()) => {
                Self::Stream
            }
            "stream" | "playlist" | "subtitles" => Self::Stream,
            "health" if !changes => Self::Health,
            "" | "page" if !changes => Self::Page,
            "admin" | "metrics" => Self::Operate,
            _ if changes => Self::Operate,
            _ => Self::Look,
        }
    }
}

/// What a request shows for itself.
enum Shown {
    Token(Vec<u8>),
    Link,
    Nothing,
}

fn shown(headers: &HeaderMap, query: &[(String, String)]) -> Shown {
    let bearer = headers.get(AUTHORIZATION).and_then(|value| {
        let (scheme, token) = value.as_bytes().split_at_checked(7)?;
        scheme.eq_ignore_ascii_case(b"bearer ").then(|| token.trim_ascii().to_vec())
    });
    let value = |name| query.iter().find(|(key, _)| key == name).map(|(_, value)| value);
    match (bearer, value("token"), value("sig")) {
        (Some(token), _, _) => Shown::Token(token),
        (None, Some(token), _) => Shown::Token(token.clone().into_bytes()),
        (None, None, Some(_)) => Shown::Link,
        (None, None, None) => Shown::Nothing,
    }
}

/// The path's part of a link: its torrent, and its file or that it is the playlist when that is in the path.
fn check_link(token: &Token, path: &str, query: &[(String, String)]) -> Result<(), BadLink> {
    let segments: Vec<&str> = path.split('/').skip(1).collect();
    let (hash, said) = match segments[..] {
        ["stream", "proxy", hash] | ["stream", "proxy", hash, ""] => (hash, None),
        ["stream", "proxy", hash, index, ..] => (hash, Some(("file", index))),
        ["subtitles", hash, name] => (hash, Some(("file", name.strip_suffix(".vtt").unwrap_or(name)))),
        ["playlist", name] => (name.strip_suffix(".m3u8").unwrap_or(name), Some(("playlist", "1"))),
        _ => return Err(BadLink::Forged),
    };
    let info_hash: InfoHash = hash.parse().map_err(|_| BadLink::Forged)?;
    let mut pairs = query.to_vec();
    pairs.extend(said.map(|(key, value)| (key.to_owned(), value.to_owned())));
    token.verify(&info_hash, &pairs, OffsetDateTime::now_utc())
}

/// The one name that a request calls the server by: what its line and its `Host` agree on.
pub fn authority(uri: &Uri, headers: &HeaderMap) -> Result<Authority, Problem> {
    let mut hosts = headers.get_all(HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else { return Err(malformed()) };
    let host = Authority::try_from(host.as_bytes()).map_err(|_| malformed())?;
    if host.host().is_empty() || uri.authority().is_some_and(|other| *other != host) {
        return Err(malformed());
    }
    Ok(host)
}

/// Lets through only a request to the very address that was bound. Port 80 may be left out, as clients do.
pub fn addressed_to(address: SocketAddr, authority: &Authority) -> Result<(), Problem> {
    let expected = address.to_string();
    if authority.as_str() == expected || Some(authority.as_str()) == expected.strip_suffix(":80") {
        return Ok(());
    }
    Err(misdirected(&format!("this server answers only to http://{expected}/")))
}

/// Names are compared without their final dot; one with a user in front is nobody's.
fn same_host(given: &str, ours: &str) -> bool {
    let bare = |name: &str| name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
    bare(given) == bare(ours)
}

fn is_origin_of(origin: &HeaderValue, authority: &Authority) -> bool {
    let parsed = origin.to_str().ok().and_then(|origin| Url::parse(origin).ok());
    parsed.is_some_and(|origin| {
        origin.host_str().is_some_and(|host| same_host(host, authority.host()))
            && origin.port_or_known_default()
                == authority.port_u16().or(if origin.scheme() == "https" { Some(443) } else { Some(80) })
    })
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// Only a metainfo that is handed in is a body of any size; how large it is must be known before.
fn refuse_body(request: &Parts) -> Result<(), Problem> {
    let (headers, takes) = (&request.headers, add::takes_body(&request.method, request.uri.path()));
    let most = if takes { MAX_METAINFO as u64 } else { MAX_BODY };
    let length = headers.get(CONTENT_LENGTH).map(|length| length.to_str().ok()?.parse::<u64>().ok());
    if !headers.contains_key(TRANSFER_ENCODING) && length.is_none_or(|len| len.is_some_and(|n| n <= most)) {
        return Ok(());
    }
    let message = match takes {
        true => "a .torrent is at most 10 MiB, and its Content-Length is to be told",
        false => "no body is needed here",
    };
    Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "bad_request", "Body too large")
        .saying(message)
        .with(CONNECTION, HeaderValue::from_static("close")))
}

/// A request without one readable authority.
pub fn malformed() -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "bad_request", "Bad request")
        .saying("the request needs exactly one valid Host header")
}

fn misdirected(message: &str) -> Problem {
    Problem::new(StatusCode::MISDIRECTED_REQUEST, "misdirected", "Misdirected request").saying(message)
}

fn unauthorized(message: &str) -> Problem {
    Problem::new(StatusCode::UNAUTHORIZED, "unauthorized", "Unauthorized")
        .saying(message)
        .with(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))
}

/// 429, with the time to wait.
pub fn too_many(what: &str, wait: std::time::Duration) -> Problem {
    let seconds = wait.as_secs() + 1;
    Problem::new(StatusCode::TOO_MANY_REQUESTS, "rate_limit", "Too many requests")
        .saying(format!("too many {what} from this address. Try again in {seconds} seconds"))
        .with(RETRY_AFTER, seconds)
}

#[cfg(test)]
mod tests;
