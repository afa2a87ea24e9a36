use std::{sync::Arc, time::Duration};

use warp::http::Request;

use super::{super::lane::Lane, *};

const HASH: &str = "453475aec9bb4de3423649db8aa3cd2312538ca7";
const SECRET: &str = "0123456789abcdef";

/// A request to 127.0.0.1:7000, as far as the gate sees it.
struct Asked {
    method: &'static str,
    target: String,
    lines: Vec<(&'static str, String)>,
    remote: Option<SocketAddr>,
    spare: bool,
}

fn ask(method: &'static str, target: &str) -> Asked {
    let remote = Some("127.0.0.1:5000".parse().unwrap());
    Asked { method, target: target.to_owned(), lines: Vec::new(), remote, spare: false }
}

fn stream() -> Asked {
    ask("GET", &format!("/stream/proxy/{HASH}"))
}

impl Asked {
    fn line(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.lines.push((name, value.into()));
        self
    }

    fn from(mut self, address: &str) -> Self {
        self.remote = Some((address.parse::<IpAddr>().unwrap(), 5000).into());
        self
    }

    fn admit(self, guard: &Guard) -> Result<Visitor, u16> {
        let hosted = self.lines.iter().any(|(name, _)| *name == "host");
        let mut request = Request::builder().method(self.method).uri(&self.target);
        if !hosted {
            request = request.header("host", "127.0.0.1:7000");
        }
        for (name, value) in self.lines.iter().filter(|(_, value)| value != "-") {
            request = request.header(*name, value);
        }
        let parts = request.body(()).unwrap().into_parts().0;
        let query = parts.uri.query().unwrap_or_default();
        let query: Vec<_> = url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        let place = Arc::new(Place::Tcp("127.0.0.1:7000".parse().unwrap()));
        let arrival = Arrival { remote: self.remote, place, spare: self.spare, lane: Lane::default() };
        guard.admit(&parts, &query, &arrival).map_err(|problem| problem.into_response().status().as_u16())
    }

    fn status(self, guard: &Guard) -> u16 {
        self.admit(guard).map_or_else(|status| status, |_| 200)
    }
}

fn open() -> Guard {
    Guard::new(Policy::default())
}

fn named(hosts: &[&str]) -> Guard {
    let hosts = hosts.iter().map(|host| host.parse().unwrap()).collect();
    Guard::new(Policy { hosts, ..Policy::default() })
}

fn locked() -> Guard {
    Guard::new(Policy { token: Some(Token::read(SECRET).unwrap()), ..Policy::default() })
}

fn letting(origins: Origins) -> Guard {
    Guard::new(Policy { origins, ..Policy::default() })
}

#[test]
fn a_name_that_is_not_ours_is_misdirected() {
    let cases = [
        ("127.0.0.1:7000", 200),
        ("localhost:7000", 200),
        ("LocalHost:7000", 200),
        ("localhost.:7000", 200),
        ("[::1]:7000", 200),
        ("192.168.1.2:7000", 200),
        ("[::ffff:127.0.0.1]:7000", 200),
        ("127.0.0.1", 421),
        ("127.0.0.1:7001", 421),
        ("127.0.0.1.evil.example:7000", 421),
        ("127.0.0.1.:7000", 421),
        ("evil.example:7000", 421),
        ("localhost.evil.example:7000", 421),
        ("evil.localhost:7000", 421),
        ("127.1:7000", 421),
        ("0x7f000001:7000", 421),
        ("localhost:80", 421),
        ("tv.example:7000", 421),
        ("", 400),
        ("a b", 400),
        ("localhost:7000, evil.example", 400),
        ("http://localhost:7000", 400),
        ("-", 400),
    ];
    for (host, status) in cases {
        assert_eq!(stream().line("host", host).status(&open()), status, "{host:?}");
        assert_eq!(ask("GET", "/health").line("host", host).status(&open()), status, "{host:?}");
    }
    let twice = stream().line("host", "localhost:7000").line("host", "localhost:7000");
    assert_eq!(twice.status(&open()), 400);
    let elsewhere = ask("GET", &format!("http://evil.example/stream/proxy/{HASH}"));
    assert_eq!(elsewhere.status(&open()), 400);
    let absolute = ask("GET", &format!("http://127.0.0.1:7000/stream/proxy/{HASH}"));
    assert_eq!(absolute.status(&open()), 200);
}

#[test]
fn a_user_in_front_of_a_name_changes_nothing_about_whose_it_is() {
    assert_eq!(stream().line("host", "127.0.0.1:7000@evil.example").status(&open()), 421);
}

#[test]
fn names_that_the_operator_gave_are_ours() {
    let guard = named(&["tv.example", "nas.local:8080"]);
    for (host, status) in [
        ("tv.example", 200),
        ("TV.example.:7000", 200),
        ("tv.example:9", 200),
        ("nas.local:8080", 200),
        ("nas.local:7000", 421),
        ("nas.local", 421),
        ("x.tv.example", 421),
    ] {
        assert_eq!(stream().line("host", host).status(&guard), status, "{host:?}");
    }
    let public_url = Some(Url::parse("https://media.example/").unwrap());
    let guard = Guard::new(Policy { public_url, ..Policy::default() });
    for (host, status) in [("media.example", 200), ("media.example:443", 200), ("media.example:7000", 421)] {
        assert_eq!(stream().line("host", host).status(&guard), status, "{host:?}");
    }
}

#[test]
fn pages_of_other_sites_start_and_change_nothing() {
    let site = |ask: Asked, site: &str| ask.line("sec-fetch-site", site).status(&open());
    for from in ["cross-site", "same-site", "garbage", "", "\u{e9}"] {
        assert_eq!(site(stream(), from), 403, "{from}");
        assert_eq!(site(ask("HEAD", &format!("/stream/proxy/{HASH}/0/a.mkv")), from), 403, "{from}");
        assert_eq!(site(ask("POST", "/admin/failed-torrents/clear"), from), 403, "{from}");
        assert_eq!(site(ask("DELETE", &format!("/torrents/{HASH}")), from), 403, "{from}");
        assert_eq!(site(ask("GET", "/health"), from), 200, "{from}");
    }
    for from in ["same-origin", "none"] {
        assert_eq!(site(stream(), from), 200, "{from}");
        assert_eq!(site(ask("POST", "/admin/cleanup"), from), 200, "{from}");
    }
    let origin = |ask: Asked, origin: &str| ask.line("origin", origin).status(&open());
    for (from, status) in [
        ("http://127.0.0.1:7000", 200),
        ("http://127.0.0.1:8000", 403),
        ("http://localhost:7000", 403),
        ("https://127.0.0.1:7000", 200),
        ("http://127.0.0.1", 403),
        ("https://evil.example", 403),
        ("null", 403),
        ("", 403),
    ] {
        assert_eq!(origin(stream(), from), status, "{from}");
        assert_eq!(origin(ask("POST", "/admin/failed-torrents/clear"), from), status, "{from}");
    }
    assert_eq!(stream().status(&open()), 200);
    assert_eq!(ask("POST", "/admin/failed-torrents/clear").status(&open()), 200);
    assert_eq!(ask("OPTIONS", "/admin/cleanup").line("origin", "https://evil.example").status(&open()), 200);
}

#[test]
fn pages_of_allowed_sites_may() {
    let guard = letting(Origins::Listed(vec!["https://good.example".to_owned()]));
    let cross = || stream().line("sec-fetch-site", "cross-site");
    assert_eq!(cross().line("origin", "https://good.example").status(&guard), 200);
    assert_eq!(cross().line("referer", "https://good.example/page").status(&guard), 200);
    assert_eq!(cross().line("origin", "https://good.example:444").status(&guard), 403);
    assert_eq!(cross().line("origin", "http://good.example").status(&guard), 403);
    assert_eq!(cross().line("referer", "https://good.example.evil/").status(&guard), 403);
    let both = cross().line("origin", "https://evil.example").line("referer", "https://good.example/");
    assert_eq!(both.status(&guard), 403);
    assert_eq!(cross().status(&guard), 403);
    assert_eq!(cross().status(&letting(Origins::Any)), 200);
}

#[test]
fn with_a_token_everything_but_health_wants_it() {
    let guard = locked();
    for (method, target) in [
        ("GET", "/torrents"),
        ("GET", "/metrics"),
        ("GET", "/admin/failed-torrents"),
        ("DELETE", "/torrents/x"),
        ("GET", "/nothing"),
        ("GET", "/events"),
    ] {
        assert_eq!(ask(method, target).status(&guard), 401, "{method} {target}");
        let bearer = format!("Bearer {SECRET}");
        assert_eq!(ask(method, target).line("authorization", bearer).status(&guard), 200, "{target}");
        assert_eq!(ask(method, &format!("{target}?token={SECRET}")).status(&guard), 200, "{target}");
    }
    assert!(!ask("GET", "/health").admit(&guard).unwrap().trusted);
    assert_eq!(stream().line("authorization", format!("bEaReR   {SECRET}")).status(&guard), 200);
    assert_eq!(stream().line("authorization", format!("Basic {SECRET}")).status(&guard), 401);
}

#[test]
fn whoever_has_the_token_may_use_any_name_and_any_site() {
    let asked = || stream().line("authorization", format!("Bearer {SECRET}"));
    assert_eq!(asked().line("host", "tv.example").status(&locked()), 200);
    assert_eq!(asked().line("sec-fetch-site", "cross-site").status(&locked()), 200);
    assert_eq!(asked().line("host", "-").status(&locked()), 400);
}

#[tokio::test(start_paused = true)]
async fn guessing_the_token_soon_ends() {
    let guard = locked();
    let guess = || stream().line("authorization", "Bearer wrong").from("192.0.2.1").status(&guard);
    for _ in 0..10 {
        assert_eq!(guess(), 401);
    }
    assert_eq!(guess(), 429);
    let right = || stream().line("authorization", format!("Bearer {SECRET}"));
    assert_eq!(right().from("192.0.2.1").status(&guard), 429, "else the eleventh guess could be right");
    assert_eq!(right().from("192.0.2.2").status(&guard), 200);
    tokio::time::advance(Duration::from_secs(61)).await;
    assert_eq!(right().from("192.0.2.1").status(&guard), 200);
}

#[test]
fn a_signed_link_opens_its_file_and_nothing_else() {
    let token = Token::read(SECRET).unwrap();
    let expires = (OffsetDateTime::now_utc().unix_timestamp() + 60).to_string();
    let pairs = [("file".to_owned(), "2".to_owned()), ("expires".to_owned(), expires.clone())];
    let sig = token.sign(&HASH.parse().unwrap(), &pairs);
    let tail = format!("expires={expires}&sig={sig}");
    for (target, status) in [
        (format!("/stream/proxy/{HASH}?file=2&{tail}"), 200),
        (format!("/stream/proxy/{HASH}/2/any.mkv?{tail}"), 200),
        (format!("/stream/proxy/{}/2/any.mkv?{tail}", HASH.to_uppercase()), 200),
        (format!("/stream/proxy/{HASH}/3/any.mkv?{tail}"), 401),
        (format!("/stream/proxy/{HASH}?{tail}"), 401),
        (format!("/stream/proxy/{HASH}?file=2&{tail}&force=1"), 401),
        (format!("/stream/proxy/{HASH}/2/x?file=3&{tail}"), 401),
        (format!("/torrents/{HASH}?file=2&{tail}"), 401),
        (format!("/admin/cleanup?file=2&{tail}"), 401),
    ] {
        assert_eq!(ask("GET", &target).status(&locked()), status, "{target}");
    }
}

#[test]
fn without_a_token_only_this_machine_operates_it() {
    let operate = [("GET", "/admin/failed-torrents"), ("POST", "/admin/cleanup"), ("DELETE", "/torrents/x")];
    for (method, target) in operate {
        assert_eq!(ask(method, target).status(&open()), 200);
        assert_eq!(ask(method, target).from("::1").status(&open()), 200);
        assert_eq!(ask(method, target).from("::ffff:127.0.0.1").status(&open()), 200);
        assert_eq!(ask(method, target).from("192.168.1.9").status(&open()), 401, "{method} {target}");
        let proxied = ask(method, target).line("x-forwarded-for", "127.0.0.1");
        assert_eq!(proxied.status(&open()), 401, "a proxy on this machine speaks for anybody");
    }
    assert_eq!(stream().from("192.168.1.9").status(&open()), 200);
}

#[test]
fn a_browser_anywhere_may_ask_what_is_allowed_before_it_shows_the_token() {
    for target in ["/admin/cleanup", "/metrics", "/torrents/x", "/events"] {
        let preflight = || ask("OPTIONS", target).from("192.168.1.9").line("origin", "https://good.example");
        assert_eq!(preflight().status(&locked()), 200, "{target}");
        assert_eq!(preflight().status(&open()), 200, "{target}");
        assert_eq!(ask("GET", target).from("192.168.1.9").status(&locked()), 401, "{target}");
    }
}

/// Over http, browsers say where a page is from to loopback alone.
#[test]
fn without_a_token_a_name_is_open_to_what_looks_like_a_player() {
    let unsaid = || stream().line("host", "nas.local:7000").line("referer", "http://evil.example/");
    assert_eq!(unsaid().status(&named(&["nas.local"])), 200);
    assert_eq!(unsaid().line("origin", "http://evil.example").status(&named(&["nas.local"])), 403);
    let policy = Policy { token: Some(Token::read(SECRET).unwrap()), ..named(&["nas.local"]).policy };
    assert_eq!(unsaid().status(&Guard::new(policy)), 401);
}

#[test]
fn only_a_trusted_proxy_says_who_its_client_is() {
    let trusting = Guard::new(Policy {
        proxies: vec!["127.0.0.1".parse().unwrap(), "10.0.0.1".parse().unwrap()],
        ..Policy::default()
    });
    let client = |guard: &Guard, header: &str| {
        let asked = ask("GET", "/torrents").line("x-forwarded-for", header);
        asked.admit(guard).unwrap().address.unwrap().to_string()
    };
    assert_eq!(client(&open(), "192.0.2.1"), "127.0.0.1");
    assert_eq!(client(&trusting, "192.0.2.1"), "192.0.2.1");
    assert_eq!(client(&trusting, "203.0.113.9, 192.0.2.1, 10.0.0.1"), "192.0.2.1");
    assert_eq!(client(&trusting, "192.0.2.1, garbage"), "127.0.0.1");
    let operate =
        |header: &str| ask("POST", "/admin/cleanup").line("x-forwarded-for", header).status(&trusting);
    assert_eq!(operate("192.0.2.1"), 401);
    assert_eq!(operate("127.0.0.1, 192.0.2.1"), 401);
}

#[test]
fn a_full_server_answers_its_operator() {
    let spare = |mut asked: Asked| {
        asked.spare = true;
        asked.status(&open())
    };
    assert_eq!(spare(stream()), 503);
    assert_eq!(spare(ask("GET", "/torrents")), 503);
    for target in ["/health", "/admin/failed-torrents", "/metrics"] {
        assert_eq!(spare(ask("GET", target)), 200, "{target}");
    }
}

#[test]
fn no_request_brings_a_body_worth_reading() {
    let post = || ask("POST", "/admin/cleanup");
    assert_eq!(post().line("content-length", "4096").status(&open()), 200);
    assert_eq!(post().line("content-length", "4097").status(&open()), 413);
    assert_eq!(post().line("content-length", "99999999999999999999").status(&open()), 413);
    assert_eq!(post().line("transfer-encoding", "chunked").status(&open()), 413);
}
