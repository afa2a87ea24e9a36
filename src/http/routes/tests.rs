use std::{
    collections::BTreeSet,
    net::SocketAddr,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use serde_json::Value as Json;
use time::OffsetDateTime;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinHandle,
};

use super::*;
use crate::{
    core::{
        Error,
        failed::{FailedTable, FailureKind},
        janitor::{self, CleanupReport},
        media::{FileSelector, Kind},
        metainfo::Metainfo,
        reasons::Reason,
        settings::CooldownSettings,
        source::InfoHash,
        status::{PeerReport, PeerSource, PeerState},
    },
    http::{
        body::Content,
        guard::Origins,
        library::{
            Condition, FileReport, PeerCounts, RangeOf, SearchReport, TorrentReport, TorrentState, Wanted,
        },
        listen::Listener,
        testing::{Answer, End, Fake, FakeReader, HASH, NAME, Readers, soon},
        token::Token,
        transport::Patience,
    },
};

const SECRET: &str = "0123456789abcdef";
const LEN: usize = 1000;

/// One torrent that can be served, and others that fail in the way that their first byte says.
struct Shelf {
    fake: Fake,
    dir: tempfile::TempDir,
    table: Arc<FailedTable>,
    wanted: Arc<Mutex<Vec<Wanted>>>,
    kept: Arc<Mutex<Vec<InfoHash>>>,
}

fn hash(first: u8) -> InfoHash {
    let mut bytes = [0; 20];
    bytes[0] = first;
    InfoHash::new(bytes)
}

fn failure(info_hash: InfoHash) -> Error {
    let failed = |kind, reason: &str| Error::Failed { info_hash, kind, reason: reason.to_owned() };
    match info_hash.bytes()[0] {
        1 => panic!("a defect"),
        2 => Error::Cooldown {
            info_hash,
            kind: FailureKind::NoPeers,
            reason: "no peers found".to_owned(),
            remaining: Duration::from_secs(270),
        },
        3 => failed(FailureKind::Timeout, "peers answered, but no data came"),
        4 => Error::Offline("no answer".to_owned()),
        5 => Error::Busy("25 torrents are open".to_owned()),
        6 => Error::storage("writing", "/private/path", std::io::ErrorKind::StorageFull.into()),
        7 => Error::NoSuchFile { info_hash, reason: "no file 9".to_owned() },
        8 => Error::Internal("secret".to_owned()),
        9 => failed(FailureKind::BadTorrent, "its metainfo is broken"),
        _ => failed(FailureKind::NoPeers, "no peers found after 60s"),
    }
}

impl Library for Shelf {
    type Content = Fake;

    async fn open(&self, wanted: Wanted, range: RangeOf) -> Result<(Fake, FakeReader), Error> {
        let info_hash = wanted.magnet.info_hash;
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner).push(wanted);
        if info_hash != HASH {
            return Err(failure(info_hash));
        }
        let range = range(&self.fake.media);
        if range.is_empty() {
            self.fake.readers.send_modify(|readers| readers.open += 1);
            return Ok((self.fake.clone(), FakeReader { fake: self.fake.clone(), range }));
        }
        Ok((self.fake.clone(), self.fake.reader(range)))
    }

    async fn keep(&self, metainfo: Metainfo) -> Result<(), Error> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).push(metainfo.info_hash);
        Ok(())
    }

    fn starts(&self, wanted: &Wanted) -> bool {
        wanted.magnet.info_hash.bytes()[0] != 2
    }

    fn asks(&self, wanted: &Wanted) -> bool {
        self.starts(wanted)
    }

    fn table(&self) -> Arc<FailedTable> {
        self.table.clone()
    }

    fn torrents(&self) -> Vec<TorrentReport> {
        let media = &self.fake.media;
        let file = |index, path: &str, kind, subtitles_of| FileReport {
            index,
            path: path.to_owned(),
            length: media.len,
            offset: 0,
            verified: 10,
            kind,
            subtitles_of,
        };
        let files = vec![
            file(2, &media.path, Kind::Video, None),
            file(3, "dir/a,b\r\nhttp://evil.example/.srt", Kind::Subtitles, Some(2)),
            file(4, "dir/readme.txt", Kind::Other, None),
            file(5, "dir/a, b\r\n#EXTM3U\u{202e}.mp3", Kind::Audio, None),
        ];
        vec![TorrentReport {
            info_hash: HASH,
            name: Some(NAME.to_owned()),
            state: TorrentState::Downloading,
            files,
            verified: 10,
            length: Some(media.len),
            download_rate: 5,
            upload_rate: 0,
            peers: PeerCounts {
                seen: 4,
                connecting: 3,
                connected: 2,
                unchoked: 2,
                sending: 1,
                doing: "1 sending".into(),
            },
            peer_list: vec![PeerReport {
                client: Some("evil\u{202e} </script><script>".to_owned()),
                source: Some(PeerSource::Tracker),
                rate: Some(7),
                ..PeerReport::absent(
                    ([192, 0, 2, 1], 6881).into(),
                    PeerState::Refused,
                    Some(Reason::NoAnswer),
                )
            }],
            search: SearchReport::default(),
            awaited: vec![7],
            positions: Vec::new(),
            readers: self.fake.readers.borrow().open,
            idle_seconds: 0,
            piece_length: 16384,
            have: "80".to_owned(),
        }]
    }

    async fn remove(&self, info_hash: &InfoHash) -> Result<Option<u64>, Error> {
        Ok((*info_hash == HASH).then_some(7))
    }

    fn cleanup(&self, older: Duration, dry_run: bool, now: OffsetDateTime) -> Result<CleanupReport, Error> {
        janitor::cleanup(self.dir.path(), older, dry_run, now)
    }

    fn condition(&self) -> Condition {
        Condition { free_bytes: Some(1 << 30), received: 1234, ..Condition::default() }
    }
}

struct World {
    address: SocketAddr,
    fake: Fake,
    table: Arc<FailedTable>,
    wanted: Arc<Mutex<Vec<Wanted>>>,
    kept: Arc<Mutex<Vec<InfoHash>>>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

struct Setup {
    fake: Fake,
    policy: Policy,
    limits: Limits,
}

fn setup() -> Setup {
    let policy = Policy { starts_per_minute: 1000, ..Policy::default() };
    Setup { fake: Fake::new(LEN, End::Whole, 0), policy, limits: Limits::default() }
}

impl Setup {
    fn fake(mut self, len: usize, end: End, at: u64) -> Self {
        self.fake = Fake::new(len, end, at);
        self
    }

    fn policy(mut self, change: impl FnOnce(&mut Policy)) -> Self {
        change(&mut self.policy);
        self
    }

    fn limits(mut self, change: impl FnOnce(&mut Limits)) -> Self {
        change(&mut self.limits);
        self
    }

    fn start(self) -> World {
        let dir = tempfile::tempdir().expect("a directory");
        let table = Arc::new(FailedTable::new(dir.path(), CooldownSettings::default()));
        let (wanted, kept) = (Arc::new(Mutex::default()), Arc::new(Mutex::default()));
        let fake = self.fake.clone();
        let shelf =
            Shelf { fake: self.fake, dir, table: table.clone(), wanted: wanted.clone(), kept: kept.clone() };
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        let stop = CancellationToken::new();
        let server = server(shelf, self.policy, self.limits, &stop);
        let listener = Listener::try_from(listener).expect("a listener");
        let task = tokio::spawn(server.run(vec![listener], stop.clone()));
        World { address, fake, table, wanted, kept, stop, task }
    }
}

fn world() -> World {
    setup().start()
}

impl World {
    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.expect("connected")
    }

    async fn send(&self, text: &str) -> TcpStream {
        let mut stream = self.connect().await;
        stream.write_all(text.as_bytes()).await.expect("sent");
        stream
    }

    /// What comes back until the server closes.
    async fn raw(&self, text: &str) -> Vec<u8> {
        let mut stream = self.send(text).await;
        let mut bytes = Vec::new();
        // A reset is an end as well.
        let _ = soon(stream.read_to_end(&mut bytes)).await;
        bytes
    }

    async fn ask(&self, method: &str, target: &str, lines: &str) -> Answer {
        let host = self.address;
        let head = format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{lines}\r\n");
        Answer::parse(&self.raw(&head).await)
    }

    async fn get(&self, target: &str) -> Answer {
        self.ask("GET", target, "").await
    }

    async fn file(&self, lines: &str) -> Answer {
        self.ask("GET", &path(), lines).await
    }

    async fn json(&self, method: &str, target: &str) -> Json {
        let answer = self.ask(method, target, "").await;
        assert_eq!(answer.status, 200, "{method} {target}: {}", String::from_utf8_lossy(&answer.body));
        assert_eq!(answer.headers["content-type"], "application/json");
        serde_json::from_slice(&answer.body).expect("JSON")
    }

    async fn readers(&self, wanted: impl FnMut(&Readers) -> bool) {
        soon(self.fake.readers.subscribe().wait_for(wanted)).await.expect("the world holds the sender");
    }

    fn last_wanted(&self) -> Wanted {
        self.wanted.lock().expect("no panic").last().expect("something was opened").clone()
    }
}

fn path() -> String {
    format!("/stream/proxy/{HASH}")
}

/// A status, and for a part its first and last byte.
type Expected = (u16, Option<(usize, usize)>);

/// The table of RFC 9110's cases that clients send and that other servers get wrong, for a file of 1000 bytes.
#[tokio::test]
async fn every_range_is_answered_as_the_standard_says() {
    let world = world();
    let tag = format!("\"{HASH}-2\"");
    let part = |first: usize, last: usize| (206, Some((first, last)));
    let range = |text: &str| format!("Range: bytes={text}\r\n");
    let cases: Vec<(String, Expected)> = vec![
        (String::new(), (200, None)),
        (range("0-0"), part(0, 0)),
        (range("0-1"), part(0, 1)),
        (range("0-"), part(0, 999)),
        (range("0-999"), part(0, 999)),
        (range("100-199"), part(100, 199)),
        (range("100-1000"), part(100, 999)),
        (range("0-18446744073709551615"), part(0, 999)),
        (range("0-18446744073709551616"), part(0, 999)),
        (range(&format!("0-{}", "9".repeat(500))), part(0, 999)),
        (range("-1"), part(999, 999)),
        (range("-1000"), part(0, 999)),
        (range("-5000"), part(0, 999)),
        (range("-99999999999999999999999"), part(0, 999)),
        (range("-0"), (416, None)),
        (range("1000-"), (416, None)),
        (range("1000-2000"), (416, None)),
        (range("99999999999999999999999-"), (416, None)),
        (range("5-2"), (200, None)),
        (range("a-b"), (200, None)),
        (range("0-1,x"), (200, None)),
        (range("+0-1"), (200, None)),
        (range(""), (200, None)),
        (range(","), (200, None)),
        (range("-"), (200, None)),
        ("Range: bytes\r\n".into(), (200, None)),
        ("Range: 0-1\r\n".into(), (200, None)),
        ("Range: items=0-1\r\n".into(), (200, None)),
        ("Range: Bytes=0-1\r\n".into(), part(0, 1)),
        ("Range:\tBYTES=0-1  \r\n".into(), part(0, 1)),
        (range("00-0001"), part(0, 1)),
        (range("0-1 , ,5-6"), (200, None)),
        (range("0-1,5-6"), (200, None)),
        (range("0-1,1-6"), part(0, 6)),
        (range("0-1,5000-"), part(0, 1)),
        (range("2000-,5000-"), (416, None)),
        (range(&vec!["0-"; 500].join(",")), (200, None)),
        (range("0-1") + &range("5-6"), (200, None)),
        (range("0-1") + "Range: 2-6\r\n", part(0, 6)),
        (range("0-1") + &format!("If-Range: {tag}\r\n"), part(0, 1)),
        (range("0-1") + &format!("If-Range: W/{tag}\r\n"), (200, None)),
        (range("0-1") + "If-Range: \"other\"\r\n", (200, None)),
        (range("0-1") + "If-Range: Wed, 21 Oct 2015 07:28:00 GMT\r\n", (200, None)),
        (range("0-1") + "If-Range: garbage\r\n", (200, None)),
        (range("5000-") + "If-Range: \"other\"\r\n", (200, None)),
        (range("0-1") + &format!("If-Match: {tag}\r\n"), part(0, 1)),
        (range("0-1") + "If-Match: *\r\n", part(0, 1)),
        (range("0-1") + "If-Match: \"other\"\r\n", (412, None)),
        (range("0-1") + &format!("If-Match: W/{tag}\r\n"), (412, None)),
        (range("5000-") + "If-Match: \"other\"\r\n", (412, None)),
        (format!("If-None-Match: {tag}\r\n"), (304, None)),
        (format!("If-None-Match: W/{tag}\r\n"), (304, None)),
        (format!("If-None-Match: \"a\", {tag}\r\n"), (304, None)),
        ("If-None-Match: *\r\n".into(), (304, None)),
        ("If-None-Match: \"other\"\r\n".into(), (200, None)),
        // A file has no date.
        ("If-Modified-Since: Wed, 21 Oct 2015 07:28:00 GMT\r\n".into(), (200, None)),
        (range("0-1") + "If-Unmodified-Since: Wed, 21 Oct 2015 07:28:00 GMT\r\n", part(0, 1)),
        (range("0-1") + &format!("If-None-Match: {tag}\r\n"), (304, None)),
        (
            format!("If-None-Match: {tag}\r\nIf-Modified-Since: Wed, 21 Oct 2015 07:28:00 GMT\r\n"),
            (304, None),
        ),
        (format!("If-Match: {tag}\r\nIf-None-Match: {tag}\r\n"), (304, None)),
    ];
    for (lines, (status, bytes)) in cases {
        let answer = world.file(&lines).await;
        assert_eq!(answer.status, status, "{lines}");
        match (status, bytes) {
            (206, Some((first, last))) => {
                assert_eq!(answer.headers["content-range"], format!("bytes {first}-{last}/1000"), "{lines}");
                assert!(answer.body == world.fake.bytes[first..=last], "{lines}");
            }
            (200, _) => {
                assert!(answer.body == world.fake.bytes && !answer.headers.contains_key("content-range"))
            }
            (304, _) => assert!(answer.body.is_empty() && !answer.headers.contains_key("content-length")),
            (416, _) => {
                assert_eq!(answer.headers["content-range"], "bytes */1000", "{lines}");
                assert_eq!(answer.kind(), "range");
            }
            _ => assert_eq!(answer.kind(), "precondition"),
        }
        match status {
            200 | 206 | 304 => {
                assert_eq!(answer.headers["etag"], tag, "{lines}");
                assert_eq!(answer.headers["cache-control"], "private, max-age=31536000, immutable");
                assert!(status == 304 || answer.headers["accept-ranges"] == "bytes");
            }
            _ => {
                assert_eq!(answer.headers["cache-control"], "no-store");
                assert!(
                    !answer.headers.contains_key("etag") && !answer.headers.contains_key("accept-ranges")
                );
            }
        }
    }
}

#[tokio::test]
async fn an_empty_file_has_no_ranges() {
    let world = setup().fake(0, End::Whole, 0).start();
    for lines in ["", "Range: bytes=0-\r\n", "Range: bytes=-1\r\n", "Range: bytes=5-6\r\n"] {
        let answer = world.file(lines).await;
        assert_eq!((answer.status, answer.headers["content-length"].as_str()), (200, "0"), "{lines}");
    }
}

#[tokio::test]
async fn head_says_what_get_would_and_opens_no_reader() {
    let world = world();
    for lines in ["", "Range: bytes=0-1\r\n", "Range: bytes=5000-\r\n", "Accept-Encoding: gzip\r\n"] {
        let answer = world.ask("HEAD", &path(), lines).await;
        assert_eq!((answer.status, answer.headers["content-length"].as_str()), (200, "1000"), "{lines}");
        assert!(answer.body.is_empty() && !answer.headers.contains_key("content-encoding"));
        assert_eq!(answer.headers["content-type"], "video/x-matroska");
    }
    assert_eq!(world.ask("HEAD", &path(), "If-Match: \"x\"\r\n").await.status, 412);
    assert_eq!(world.fake.readers.borrow().opened, 0);
    world.readers(|readers| readers.open == 0).await;
}

#[tokio::test]
async fn every_failure_has_its_status_and_its_words() {
    let world = world();
    for (first, status, kind, retry) in [
        (2, 503, "cooldown", Some("270")),
        (3, 504, "timeout", None),
        (4, 503, "offline", None),
        (5, 503, "busy", Some("5")),
        (6, 507, "storage", None),
        (7, 404, "no_such_file", None),
        (8, 500, "internal", None),
        (9, 400, "bad_request", None),
        (10, 404, "no_peers", None),
    ] {
        for method in ["GET", "HEAD"] {
            let answer = world.ask(method, &format!("/stream/proxy/{}", hash(first)), "").await;
            assert_eq!(answer.status, status, "{kind}");
            assert_eq!(answer.headers.get("retry-after").map(String::as_str), retry, "{kind}");
            assert_eq!(answer.headers["cache-control"], "no-store");
            assert_eq!(answer.headers["content-type"], "application/json");
            assert!(!answer.headers.contains_key("etag") && !answer.headers.contains_key("accept-ranges"));
            if method == "GET" {
                assert_eq!(answer.kind(), kind);
                let body = String::from_utf8_lossy(&answer.body);
                assert!(
                    !body.contains("secret") && !body.contains("/private") && !body.contains("Error"),
                    "{body}"
                );
            }
        }
    }
    let cooldown = world.get(&format!("/stream/proxy/{}", hash(2))).await;
    let body: Json = serde_json::from_slice(&cooldown.body).expect("JSON");
    assert_eq!(body["error"], "Torrent temporarily unavailable");
    let message = body["message"].as_str().expect("a message");
    assert!(message.ends_with("Try again in 270 seconds or use different source"), "{message}");
    let no_peers = world.get(&format!("/stream/proxy/{}", hash(10))).await;
    let body: Json = serde_json::from_slice(&no_peers.body).expect("JSON");
    assert_eq!(body["error"], "No peers found");
    let message = body["message"].as_str().expect("a message");
    assert!(message.contains("Content may not be available in torrent network"), "{message}");
}

#[tokio::test]
async fn a_failure_before_the_first_byte_is_a_status_and_after_it_a_short_body() {
    let early = setup().fake(LEN, End::Fails, 0).start();
    assert_eq!(early.file("").await.kind(), "no_peers");
    let late = setup().fake(2_000_000, End::Fails, 1_000_000).start();
    let answer = late.file("").await;
    assert_eq!((answer.status, answer.headers["content-length"].as_str()), (200, "2000000"));
    assert!(answer.body.len() <= 1_000_000 && late.fake.bytes.starts_with(&answer.body));
}

#[tokio::test]
async fn a_defect_is_one_answer_and_no_end_of_the_server() {
    let world = world();
    for _ in 0..2 {
        let answer = world.get(&format!("/stream/proxy/{}", hash(1))).await;
        assert_eq!((answer.status, answer.kind().as_str()), (500, "internal"));
    }
    assert_eq!(world.file("").await.status, 200);
    let metrics = String::from_utf8(world.get("/metrics").await.body).expect("text");
    assert!(metrics.contains("swarmcat_panics_total 2\n"), "{metrics}");
}

#[tokio::test]
async fn what_a_request_names_reaches_the_library() {
    let world = world();
    let tracker = "tr=udp%3A%2F%2F1.1.1.1%3A80%2Fannounce";
    let selector = |wanted: &Wanted| match &wanted.selector {
        FileSelector::Auto => "auto".to_owned(),
        FileSelector::Index(index) => index.to_string(),
        FileSelector::Glob(glob) => glob.clone(),
    };
    for (target, chosen) in [
        (path(), "auto"),
        (format!("{}?file=2", path()), "2"),
        (format!("{}?file=*.mkv", path()), "*.mkv"),
        (format!("{}/2/a%20film%2F.mkv", path()), "2"),
        (format!("{}/2/x?file=3", path()), "2"),
        (format!("/stream/proxy/{}", HASH.to_string().to_uppercase()), "auto"),
        (format!("/stream/proxy/{}", data_encoding::BASE32.encode(HASH.bytes())), "auto"),
    ] {
        assert_eq!(world.get(&target).await.status, 200, "{target}");
        assert_eq!(selector(&world.last_wanted()), chosen, "{target}");
    }
    let magnet = format!("magnet%3A%3Fxt%3Durn%3Abtih%3A{HASH}%26tr%3Dhttp%3A%2F%2F1.0.0.1%2Fa%26so%3D2");
    assert_eq!(world.get(&format!("{}?magnet={magnet}&{tracker}&force=1", path())).await.status, 200);
    let wanted = world.last_wanted();
    assert!(wanted.force && wanted.client == Some(world.address.ip()));
    let trackers: Vec<_> = wanted.magnet.trackers.iter().map(ToString::to_string).collect();
    assert_eq!(trackers, ["http://1.0.0.1/a", "udp://1.1.1.1:80/announce"]);
    assert_eq!(wanted.magnet.selected, [2..=2]);
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_before_anything_is_opened() {
    let world = world();
    let other = format!("magnet:?xt=urn:btih:{}", hash(77));
    let many: Vec<_> = (0..21).map(|i| format!("tr=http://1.1.1.1/{i}")).collect();
    for target in [
        "/stream/proxy/zz".to_owned(),
        "/stream/proxy/..".to_owned(),
        format!("/stream/proxy/{}", "a".repeat(64)),
        format!("{}/x/name.mkv", path()),
        format!("{}/-1/name.mkv", path()),
        format!("{}?magnet={other}", path()),
        format!("{}?magnet=http://1.1.1.1/x.torrent", path()),
        format!("{}?tr=file:///etc/passwd", path()),
        format!("{}?tr=", path()),
        format!("{}?force=maybe", path()),
        format!("{}?file=%5B", path()),
        format!("/torrents/{HASH}/link?playlist=1&file=%7Ba"),
        format!("{}?{}", path(), many.join("&")),
        format!("{}?{}", path(), ["tr=http://1.1.1.1/a"; 21].join("&")),
        "/torrents/zz".to_owned(),
        format!("/torrents/{HASH}/link?valid=8d"),
        "/admin/failed-torrents?all=x".to_owned(),
    ] {
        let answer = world.get(&target).await;
        assert_eq!((answer.status, answer.kind().as_str()), (400, "bad_request"), "{target}");
    }
    assert!(world.wanted.lock().expect("no panic").is_empty());
}

#[tokio::test]
async fn requests_do_not_lead_into_private_networks_unless_they_may() {
    let inside = [
        "tr=http://127.0.0.1:9/announce",
        "tr=http://localhost/announce",
        "tr=udp://[::1]:80/announce",
        "tr=http://2130706433/announce",
        "tr=http://0x7f.1/announce",
        "tr=http://169.254.169.254/latest",
        "magnet=magnet%3A%3Fxt%3Durn%3Abtih%3AHASH%26x.pe%3D192.168.0.1%3A6881",
        "magnet=magnet%3A%3Fxt%3Durn%3Abtih%3AHASH%26tr%3Dhttp%3A%2F%2F10.0.0.1%2Fa",
    ];
    let (closed, open) = (world(), setup().policy(|policy| policy.private_peers = true).start());
    for query in inside {
        let target = format!("{}?{}", path(), query.replace("HASH", &HASH.to_string()));
        let answer = closed.get(&target).await;
        assert_eq!((answer.status, answer.kind().as_str()), (400, "bad_request"), "{target}");
        assert_eq!(open.get(&target).await.status, 200, "{target}");
    }
    assert!(closed.wanted.lock().expect("no panic").is_empty());
}

#[tokio::test]
async fn every_path_says_what_it_takes() {
    let world = world();
    for (target, allowed) in [
        (path(), "GET, HEAD"),
        ("/".to_owned(), "GET, HEAD"),
        ("/page/app.js".to_owned(), "GET, HEAD"),
        (format!("/playlist/{HASH}.m3u8"), "GET, HEAD"),
        (format!("/subtitles/{HASH}/3.vtt"), "GET, HEAD"),
        (format!("{}/2/x.mkv", path()), "GET, HEAD"),
        ("/torrents".to_owned(), "GET, HEAD, POST"),
        (format!("/torrents/{HASH}"), "GET, HEAD, POST, DELETE"),
        (format!("/torrents/{HASH}/link"), "GET, HEAD"),
        ("/admin/failed-torrents".to_owned(), "GET, HEAD"),
        (format!("/admin/failed-torrents/{HASH}"), "DELETE"),
        ("/admin/failed-torrents/clear".to_owned(), "POST"),
        ("/admin/cleanup".to_owned(), "POST"),
        ("/health".to_owned(), "GET, HEAD"),
        ("/metrics".to_owned(), "GET, HEAD"),
        ("/events".to_owned(), "GET"),
        ("/openapi.json".to_owned(), "GET, HEAD"),
    ] {
        let answer = world.ask("PUT", &target, "Content-Length: 0\r\n").await;
        assert_eq!((answer.status, answer.headers["allow"].as_str()), (405, allowed), "{target}");
        assert_eq!(answer.kind(), "bad_request");
        let options = world.ask("OPTIONS", &target, "Origin: https://evil.example\r\n").await;
        assert_eq!((options.status, options.body.len()), (204, 0));
        assert_eq!(options.headers["allow"], format!("{allowed}, OPTIONS"), "{target}");
        assert!(options.headers.keys().all(|name| !name.starts_with("access-control-")), "{target}");
    }
    let nowhere = [
        "/x",
        "/page",
        "/page/none",
        "/playlist/x",
        "/stream",
        "/stream/proxy",
        "/stream/proxy/",
        "/admin",
        "/torrents/a/b",
        "//health",
    ];
    for target in nowhere {
        let answer = world.get(target).await;
        assert_eq!((answer.status, answer.kind().as_str()), (404, "not_found"), "{target}");
    }
    for target in ["/x", "/page", "/stream", "/admin", "/torrents/a/b"] {
        assert_eq!(world.ask("OPTIONS", target, "").await.status, 404, "{target}");
    }
    let host = world.address;
    let server = format!("OPTIONS * HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    let server = Answer::parse(&world.raw(&server).await);
    assert_eq!((server.status, server.headers["allow"].as_str()), (204, "GET, HEAD, POST, DELETE, OPTIONS"));
    let metrics = String::from_utf8_lossy(&world.get("/metrics").await.body).into_owned();
    assert!(metrics.contains("\"not_found\"") && !metrics.contains("\"options\""), "{metrics}");
}

#[tokio::test]
async fn failures_are_listed_and_forgotten() {
    let world = world();
    let now = OffsetDateTime::now_utc();
    for first in [20, 21, 22] {
        world.table.record(hash(first), FailureKind::NoPeers, "no peers", None, now).expect("recorded");
    }
    let listed = world.json("GET", "/admin/failed-torrents").await;
    assert_eq!(listed["failed"].as_array().expect("an array").len(), 3);
    assert_eq!(listed["failed"][0]["kind"], "no_peers");
    let left = listed["failed"][0]["retry_in_seconds"].as_u64().expect("a number");
    assert!((290..=300).contains(&left), "{left}");
    let one = format!("/admin/failed-torrents/{}", hash(21));
    assert_eq!(world.json("DELETE", &one).await["cleared"], 1);
    assert_eq!(world.ask("DELETE", &one, "").await.kind(), "not_found");
    assert_eq!(world.json("POST", "/admin/failed-torrents/clear").await["cleared"], 2);
    let listed = world.json("GET", "/admin/failed-torrents?all=1").await;
    assert_eq!(listed["failed"].as_array().expect("an array").len(), 0);
}

#[tokio::test]
async fn torrents_are_shown_and_dropped() {
    let world = world();
    let all = world.json("GET", "/torrents").await;
    assert_eq!(all["torrents"][0]["info_hash"], HASH.to_string());
    let mut one = world.json("GET", &format!("/torrents/{HASH}")).await;
    let peers = one.as_object_mut().expect("an object").remove("peer_list").expect("of one torrent");
    let client = "evil\u{202e} </script><script>";
    let peer = serde_json::json!({
        "address": "192.0.2.1:6881", "source": "tracker", "incoming": false, "client": client, "state": "refused",
        "reason": "it did not answer in time", "rate": 7, "received": 0,
    });
    assert_eq!(peers, serde_json::json!([peer]));
    assert_eq!(one, all["torrents"][0]);
    assert_eq!(one["files"][0]["path"], format!("dir/{NAME}"));
    assert_eq!(world.get(&format!("/torrents/{}", hash(3))).await.kind(), "not_found");
    assert_eq!(world.json("DELETE", &format!("/torrents/{HASH}")).await["freed_bytes"], 7);
    assert_eq!(world.ask("DELETE", &format!("/torrents/{}", hash(3)), "").await.status, 404);
}

#[tokio::test]
async fn a_link_plays_without_the_token_and_only_what_it_is_for() {
    let token = Token::read(SECRET).expect("long enough");
    let world = setup().policy(|policy| policy.token = Some(token)).start();
    assert_eq!(world.file("").await.kind(), "unauthorized");
    let bearer = format!("Authorization: Bearer {SECRET}\r\n");
    let link = world.ask("GET", &format!("/torrents/{HASH}/link?file=2"), &bearer).await;
    let link: Json = serde_json::from_slice(&link.body).expect("JSON");
    let url = link["url"].as_str().expect("a URL");
    assert!(link["expires"].is_string());
    let target = url.strip_prefix(&format!("http://{}", world.address)).expect("our own address");
    assert!(target.contains("/2/A%20Film%20%231"), "{target}");
    assert_eq!(world.get(target).await.status, 200);
    let from_page = world.ask("GET", target, "Sec-Fetch-Site: cross-site\r\n").await;
    assert_eq!(from_page.status, 200, "whoever has the link may use it anywhere");
    assert_eq!(world.get(&target.replace("/2/", "/1/")).await.kind(), "unauthorized");
    assert_eq!(world.get(&target.replace(&HASH.to_string(), &hash(3).to_string())).await.status, 401);
    let health = world.json("GET", "/health").await;
    assert_eq!(health, serde_json::json!({ "status": "ok" }), "strangers learn no more");
    let glob = world.ask("GET", &format!("/torrents/{HASH}/link?file=*.mkv"), &bearer).await;
    let glob: Json = serde_json::from_slice(&glob.body).expect("JSON");
    let target = glob["url"].as_str().and_then(|url| url.split_once("/stream")).expect("a URL").1;
    assert_eq!(world.get(&format!("/stream{target}")).await.status, 200);
}

#[tokio::test]
async fn a_public_url_is_what_links_begin_with() {
    let public = url::Url::parse("https://tv.example/media/").expect("a URL");
    let world = setup().policy(|policy| policy.public_url = Some(public)).start();
    let link = world.json("GET", &format!("/torrents/{HASH}/link")).await;
    assert_eq!(link["url"], format!("https://tv.example/media/stream/proxy/{HASH}"));
    assert_eq!(link["expires"], Json::Null);
}

#[tokio::test]
async fn one_address_starts_only_so_many_torrents_and_is_told_when_to_come_back() {
    let world = setup().policy(|policy| policy.starts_per_minute = 2).start();
    let missing = |first| format!("/stream/proxy/{}", hash(first));
    assert_eq!(world.get(&missing(30)).await.status, 404);
    assert_eq!(world.get(&missing(31)).await.status, 404);
    let answer = world.get(&missing(32)).await;
    assert_eq!((answer.status, answer.kind().as_str()), (429, "rate_limit"));
    assert!(answer.headers["retry-after"].parse::<u64>().expect("seconds") <= 31);
    assert_eq!(world.get(&missing(2)).await.kind(), "cooldown", "a refusal starts nothing");
}

#[tokio::test]
async fn pages_of_an_allowed_site_may_read_what_they_get() {
    let origins = Origins::Listed(vec!["https://good.example".to_owned()]);
    let world = setup().policy(|policy| policy.origins = origins).start();
    let good = "Origin: https://good.example\r\nSec-Fetch-Site: cross-site\r\n";
    let answer = world.file(good).await;
    assert_eq!(answer.headers["access-control-allow-origin"], "https://good.example");
    assert_eq!((answer.headers["vary"].as_str(), answer.status), ("Origin", 200));
    assert!(!answer.headers.contains_key("access-control-allow-credentials"));
    let wish = "Access-Control-Request-Method: DELETE\r\nAccess-Control-Request-Private-Network: true\r\n";
    let preflight = world.ask("OPTIONS", "/torrents", &format!("{good}{wish}")).await;
    assert_eq!(preflight.status, 204);
    assert!(preflight.headers["access-control-allow-methods"].contains("DELETE"));
    assert_eq!(preflight.headers["access-control-allow-private-network"], "true");
    let evil = world.ask("GET", "/torrents", "Origin: https://evil.example\r\n").await;
    assert!(!evil.headers.contains_key("access-control-allow-origin"));
    assert_eq!(evil.headers["vary"], "Origin");
}

#[tokio::test]
async fn old_and_odd_requests_are_understood_or_refused() {
    let world = world();
    let host = world.address;
    let old = format!("GET {} HTTP/1.0\r\nHost: {host}\r\nRange: bytes=0-\r\n\r\n", path());
    let answer = Answer::parse(&world.raw(&old).await);
    assert_eq!((answer.status, answer.body.len()), (206, LEN));
    let upgrade =
        "Connection: close, Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n";
    let asked = format!("GET /health HTTP/1.1\r\nHost: {host}\r\n{upgrade}\r\n");
    assert_eq!(Answer::parse(&world.raw(&asked).await).status, 200);
    let knowing = world.raw("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await;
    assert!(
        knowing.is_empty() || knowing.starts_with(b"HTTP/1.1 4"),
        "{}",
        String::from_utf8_lossy(&knowing)
    );
    for (lines, status) in [
        (format!("X: {}\r\n", "a".repeat(20_000)), "431"),
        ("X: y\r\n".repeat(100), "431"),
        ("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n".to_owned(), "4"),
        ("Content-Length: 5\r\nContent-Length: 6\r\n".to_owned(), "400"),
        ("Content-Length: 5000\r\n".to_owned(), "413"),
    ] {
        let asked = format!("POST /admin/cleanup HTTP/1.1\r\nHost: {host}\r\n{lines}\r\n");
        let answer = world.raw(&asked).await;
        assert!(answer.starts_with(format!("HTTP/1.1 {status}").as_bytes()), "{status}: {answer:?}");
    }
    let long = world.raw(&format!("GET /{} HTTP/1.1\r\nHost: {host}\r\n\r\n", "a".repeat(70_000))).await;
    assert!(long.starts_with(b"HTTP/1.1 4"), "{:?}", String::from_utf8_lossy(&long));
}

#[tokio::test]
async fn a_connection_serves_one_request_after_the_other() {
    let world = world();
    let get = format!("GET {} HTTP/1.1\r\nHost: {}\r\nRange: bytes=0-9\r\n\r\n", path(), world.address);
    let last = get.replacen("\r\n\r\n", "\r\nConnection: close\r\n\r\n", 1);
    let bytes = world.raw(&format!("{get}{get}{last}")).await;
    let text = String::from_utf8_lossy(&bytes);
    assert_eq!(text.matches("HTTP/1.1 206").count(), 3, "{text}");
}

fn hasty() -> Setup {
    setup().limits(|limits| limits.header = Duration::from_millis(200))
}

#[tokio::test]
async fn whoever_does_not_ask_in_time_is_let_go() {
    let world = hasty().start();
    let host = world.address;
    assert_eq!(world.raw("").await, b"");
    let half = world.raw("GET /health HTTP/1.1\r\nHost: x").await;
    assert!(half.is_empty() || half.starts_with(b"HTTP/1.1 408"), "{half:?}");
    let kept = world.raw(&format!("GET /health HTTP/1.1\r\nHost: {host}\r\n\r\n")).await;
    assert!(kept.starts_with(b"HTTP/1.1 200"));
    let body = "Content-Length: 100\r\n\r\nhalf";
    let slow = world.raw(&format!("POST /admin/cleanup HTTP/1.1\r\nHost: {host}\r\n{body}")).await;
    assert!(slow.starts_with(b"HTTP/1.1 200"), "no route waits for a body: {slow:?}");
}

#[tokio::test]
async fn a_reader_that_takes_nothing_is_let_go() {
    let patience = Patience { usual: Duration::from_millis(300), crowded: Duration::from_millis(300) };
    let world = setup().fake(64 << 20, End::Whole, 0).limits(|limits| limits.patience = patience).start();
    let _stalled = world.send(&format!("GET {} HTTP/1.1\r\nHost: {}\r\n\r\n", path(), world.address)).await;
    world.readers(|readers| readers.open == 1).await;
    world.readers(|readers| readers.open == 0).await;
}

#[tokio::test]
async fn a_client_that_leaves_takes_its_reader_along() {
    let world = setup().fake(LEN, End::Stalls, 10).start();
    let get = format!("GET {} HTTP/1.1\r\nHost: {}\r\n\r\n", path(), world.address);
    let mut playing = world.send(&get).await;
    soon(playing.read_exact(&mut [0; 12])).await.expect("a status line");
    drop(playing);
    world.readers(|readers| readers.opened == 1 && readers.open == 0).await;
    let waiting = world.send(&get.replacen("\r\n\r\n", "\r\nRange: bytes=500-\r\n\r\n", 1)).await;
    world.readers(|readers| readers.opened == 2).await;
    drop(waiting);
    world.readers(|readers| readers.open == 0).await;
}

#[tokio::test]
async fn a_full_server_sends_idle_clients_away_and_busy_ones_stay() {
    let world = setup().fake(LEN, End::Stalls, 10).limits(|limits| limits.connections = 10).start();
    let get = format!("GET {} HTTP/1.1\r\nHost: {}\r\n\r\n", path(), world.address);
    let mut idle = world.connect().await;
    // That it has nothing to say can only be seen by waiting.
    tokio::time::sleep(crate::http::crowd::TO_SAY_SOMETHING).await;
    let mut busy = Vec::new();
    for _ in 0..9 {
        busy.push(world.send(&get).await);
    }
    world.readers(|readers| readers.open == 9).await;
    let mut told = Vec::new();
    soon(idle.read_to_end(&mut told)).await.expect("closed");
    let told = Answer::parse(&told);
    assert_eq!((told.status, told.kind().as_str()), (503, "busy"), "the idle one gave way");
    assert_eq!((told.headers["retry-after"].as_str(), told.headers["connection"].as_str()), ("5", "close"));
    let answer = world.file("").await;
    assert_eq!((answer.status, answer.kind().as_str()), (503, "busy"));
    assert!(answer.headers.contains_key("retry-after"));
    assert_eq!(world.get("/health").await.status, 200, "the operator has a seat");
    drop(busy.pop());
    world.readers(|readers| readers.open == 8).await;
    let mut again = world.send(&get).await;
    soon(again.read_exact(&mut [0; 12])).await.expect("a status line");
}

#[tokio::test]
async fn a_server_that_stops_lets_requests_end_but_not_for_ever() {
    let drain = Duration::from_millis(300);
    let world = setup().fake(LEN, End::Stalls, 10).limits(|limits| limits.drain = drain).start();
    let get = format!("GET {} HTTP/1.1\r\nHost: {}\r\n", path(), world.address);
    let mut endless = world.send(&format!("{get}\r\n")).await;
    let idle = world.connect().await;
    world.readers(|readers| readers.open == 1).await;
    let began = std::time::Instant::now();
    world.stop.cancel();
    soon(world.task).await.expect("no panic");
    assert!(began.elapsed() >= drain, "the request had its time");
    assert_eq!(world.fake.readers.borrow().open, 0);
    let mut rest = Vec::new();
    let _ = soon(endless.read_to_end(&mut rest)).await;
    assert!(!rest.ends_with(&world.fake.bytes), "the body is visibly short");
    assert!(TcpStream::connect(world.address).await.is_err());
    drop(idle);
}

#[tokio::test]
async fn a_stop_waits_for_what_soon_ends() {
    let world = setup().fake(4 << 20, End::Whole, 0).start();
    let mut slow = world.send(&format!("GET {} HTTP/1.1\r\nHost: {}\r\n\r\n", path(), world.address)).await;
    world.readers(|readers| readers.open == 1).await;
    world.stop.cancel();
    let mut bytes = Vec::new();
    soon(slow.read_to_end(&mut bytes)).await.expect("an answer");
    assert!(Answer::parse(&bytes).body == world.fake.bytes);
    soon(world.task).await.expect("no panic");
}

#[tokio::test]
async fn watchers_are_told_at_once_and_let_go_at_the_end() {
    let world = world();
    let mut watching = world.send(&format!("GET /events HTTP/1.1\r\nHost: {}\r\n\r\n", world.address)).await;
    let mut text = String::new();
    while !text.contains("\n\n") || !text.contains("data:") {
        let mut bytes = [0; 4096];
        let count = soon(watching.read(&mut bytes)).await.expect("an event");
        assert!(count > 0, "{text}");
        text.push_str(&String::from_utf8_lossy(&bytes[..count]));
    }
    assert!(text.contains("content-type: text/event-stream") && text.contains("event:torrents"), "{text}");
    assert!(text.contains(&HASH.to_string()));
    world.stop.cancel();
    soon(world.task).await.expect("no panic");
}

#[tokio::test]
async fn prometheus_reads_what_the_operator_wants_to_know() {
    let world = world();
    world
        .table
        .record(hash(20), FailureKind::Timeout, "x", None, OffsetDateTime::now_utc())
        .expect("recorded");
    world.file("").await;
    world.get(&format!("/stream/proxy/{}", hash(2))).await;
    world.get(&format!("/stream/proxy/{}", hash(3))).await;
    world.ask("GET", "/health", "Sec-Fetch-Site: cross-site\r\n").await;
    world.ask("GET", &path(), "Sec-Fetch-Site: cross-site\r\n").await;
    let answer = world.get("/metrics").await;
    assert!(answer.headers["content-type"].starts_with("application/openmetrics-text"));
    let text = String::from_utf8(answer.body).expect("text");
    for line in [
        "swarmcat_starts_total 2",
        "swarmcat_outcomes_total{outcome=\"ok\"} 1",
        "swarmcat_outcomes_total{outcome=\"timeout\"} 1",
        "swarmcat_failures_total{kind=\"timeout\"} 1",
        "swarmcat_refusals_total{type=\"cooldown\"} 1",
        "swarmcat_refusals_total{type=\"cross_site\"} 1",
        "swarmcat_cooldown_left_seconds_sum 270.0",
        "swarmcat_cooldown_left_seconds_count 1",
        "swarmcat_first_byte_seconds_count 1",
        "swarmcat_torrents 1",
        "swarmcat_cooling 1",
        "swarmcat_peers{state=\"connected\"} 2",
        "swarmcat_received_bytes 1234",
        "swarmcat_connections 1",
        "swarmcat_readers 0",
        "swarmcat_panics_total 0",
        "# EOF",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
    }
    assert!(!text.contains(&HASH.to_string()), "never a torrent");
}

/// A part of the description, where it is only named as well.
fn described<'a>(part: &'a Json, all: &'a Json) -> &'a Json {
    match part["$ref"].as_str() {
        Some(name) => all.pointer(name.trim_start_matches('#')).expect("what is named is there"),
        None => part,
    }
}

/// Whether `value` is what `schema` describes; what does not fit, else.
fn fits(value: &Json, schema: &Json, all: &Json) -> Result<(), String> {
    let schema = described(schema, all);
    let names = |types: &Json| match types {
        Json::String(one) => vec![one.clone()],
        Json::Array(some) => some.iter().map(|one| one.as_str().expect("a name").to_owned()).collect(),
        _ => Vec::new(),
    };
    let is = |name: &str| match name {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_u64(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        other => panic!("the checker does not know {other}"),
    };
    let types = names(&schema["type"]);
    if !types.is_empty() && !types.iter().any(|name| is(name)) {
        return Err(format!("{value} is not {types:?}"));
    }
    if let Some(allowed) = schema["enum"].as_array().filter(|allowed| !allowed.contains(value)) {
        return Err(format!("{value} is not one of {allowed:?}"));
    }
    for item in value.as_array().into_iter().flatten() {
        fits(item, &schema["items"], all)?;
    }
    let (Some(object), Some(known)) = (value.as_object(), schema["properties"].as_object()) else {
        return Ok(());
    };
    for name in schema["required"].as_array().into_iter().flatten() {
        let name = name.as_str().expect("a name");
        if !object.contains_key(name) {
            return Err(format!("{name} is missing in {value}"));
        }
    }
    for (name, inner) in object {
        let schema = known.get(name).ok_or_else(|| format!("{name} is not described"))?;
        fits(inner, schema, all).map_err(|wrong| format!("{name}: {wrong}"))?;
    }
    Ok(())
}

/// Every route is asked for things that exist and things that do not; each answer is one that the description has.
#[tokio::test]
async fn the_server_does_what_its_description_says() {
    let world = world();
    let api = world.json("GET", "/openapi.json").await;
    let mut seen = 0;
    for (path, methods) in api["paths"].as_object().expect("paths") {
        for (method, operation) in methods.as_object().expect("methods") {
            for info_hash in [HASH, hash(2), hash(10)] {
                let now = OffsetDateTime::now_utc();
                world.table.record(HASH, FailureKind::NoPeers, "no peers", None, now).expect("recorded");
                let target = path.replace("{hash}", &info_hash.to_string()).replace("{index}", "2");
                let target = target.replace("{name}", "a.mkv").replace("{part}", "app.js");
                if target == "/events" {
                    continue;
                }
                let answer = world.ask(&method.to_uppercase(), &target, "").await;
                let response = described(&operation["responses"][answer.status.to_string()], &api);
                assert!(response.is_object(), "{method} {target}: {} is not described", answer.status);
                let schema = &response["content"]["application/json"]["schema"];
                if schema.is_object() && method != "head" {
                    let body = serde_json::from_slice(&answer.body).expect("JSON");
                    fits(&body, schema, &api).unwrap_or_else(|wrong| panic!("{method} {target}: {wrong}"));
                    seen += 1;
                }
            }
        }
    }
    assert!(seen > 20, "the answers were looked at: {seen}");
}

/// Whoever makes a client of the description gets a name for each call, and a number that holds a film's length.
#[test]
fn the_description_is_fit_to_make_clients_of() {
    let api: Json = serde_json::from_str(include_str!("../openapi.json")).expect("JSON");
    let paths = api["paths"].as_object().expect("paths").values();
    let operations: Vec<_> = paths.flat_map(|path| path.as_object().expect("methods").values()).collect();
    let names: BTreeSet<_> = operations.iter().filter_map(|one| one["operationId"].as_str()).collect();
    assert_eq!(names.len(), operations.len(), "{names:?}");
    let long = ["bytes", "seconds", "length", "offset", "verified", "rate", "received"];
    let mut seen = 0;
    for (object, schema) in api["components"]["schemas"].as_object().expect("schemas") {
        for (name, property) in schema["properties"].as_object().expect("properties") {
            let number = property["type"].to_string().contains("integer");
            if number && long.iter().any(|end| name.ends_with(end)) {
                assert_eq!(property["format"], "int64", "{object}.{name}");
                seen += 1;
            }
        }
    }
    assert!(seen > 20, "the numbers were looked at: {seen}");
}

#[test]
fn the_checker_of_the_description_notices_what_is_wrong() {
    let api: Json = serde_json::from_str(include_str!("../openapi.json")).expect("JSON");
    let problem = &api["components"]["schemas"]["Problem"];
    let right = serde_json::json!({ "error": "x", "message": "y", "type": "busy" });
    assert_eq!(fits(&right, problem, &api), Ok(()));
    for (name, value) in [("type", "unknown"), ("more", "x")] {
        let mut wrong = right.clone();
        wrong[name] = value.into();
        assert!(fits(&wrong, problem, &api).is_err(), "{name}");
    }
    assert!(fits(&serde_json::json!({ "error": "x", "type": "busy" }), problem, &api).is_err());
    assert!(fits(&serde_json::json!([]), problem, &api).is_err());
}

/// One piece, one tracker.
fn metainfo(tracker: &str) -> Vec<u8> {
    let info = format!("d6:lengthi3e4:name5:a.mkv12:piece lengthi16384e6:pieces20:{}e", "x".repeat(20));
    format!("d8:announce{}:{tracker}4:info{info}e", tracker.len()).into_bytes()
}

impl World {
    async fn hand_in(&self, target: &str, lines: &str, body: &[u8]) -> Answer {
        let host = self.address;
        let head = format!(
            "POST {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Length: {}\r\n{lines}\r\n",
            body.len()
        );
        let mut stream = self.send(&head).await;
        // It may be refused before all of it was taken.
        let _ = stream.write_all(body).await;
        let mut bytes = Vec::new();
        let _ = soon(stream.read_to_end(&mut bytes)).await;
        Answer::parse(&bytes)
    }
}

#[tokio::test]
async fn a_torrent_file_is_handed_in_by_whoever_may_change_things() {
    let world = world();
    let good = metainfo("http://1.1.1.1/announce");
    world.hand_in("/torrents", "", &good).await;
    let kept = world.kept.lock().expect("no panic").clone();
    assert_eq!(kept.len(), 1);
    assert_eq!(world.last_wanted().magnet.info_hash, kept[0], "and then it is looked at");
    let inside = world.hand_in("/torrents", "", &metainfo("http://10.0.0.1/announce")).await;
    assert_eq!((inside.status, inside.kind().as_str()), (400, "bad_request"));
    for bad in [&b""[..], b"d", b"no torrent at all", &good[..good.len() - 1]] {
        let answer = world.hand_in("/torrents", "", bad).await;
        assert_eq!((answer.status, answer.kind().as_str()), (400, "bad_request"));
    }
    let cross = world.hand_in("/torrents", "Sec-Fetch-Site: cross-site\r\n", &good).await;
    assert_eq!((cross.status, cross.kind().as_str()), (403, "cross_site"));
    let large = world.ask("POST", "/torrents", "Content-Length: 10485761\r\n").await;
    assert_eq!((large.status, large.kind().as_str()), (413, "bad_request"));
    let unbounded = world.ask("POST", "/torrents", "Transfer-Encoding: chunked\r\n").await;
    assert_eq!(unbounded.status, 413);
    let elsewhere = world.hand_in("/admin/cleanup", "", &[b'x'; 5000]).await;
    assert_eq!(elsewhere.status, 413, "nowhere else");
    let secret = setup().policy(|policy| policy.token = Token::read(SECRET).ok()).start();
    assert_eq!(secret.hand_in("/torrents", "", &good).await.status, 401);
    assert!(secret.kept.lock().expect("no panic").is_empty());
    assert_eq!(world.kept.lock().expect("no panic").len(), 1);
}

#[tokio::test]
async fn a_torrent_that_is_named_is_looked_for_and_nothing_of_it_is_read() {
    let world = world();
    let found = world.json("POST", &format!("/torrents/{HASH}?tr=http://1.1.1.1/announce")).await;
    assert_eq!(found["files"][0]["kind"], "video");
    assert_eq!(world.last_wanted().magnet.trackers.len(), 1);
    assert_eq!(world.fake.readers.borrow().opened, 0);
    let cross = world.ask("POST", &format!("/torrents/{HASH}"), "Sec-Fetch-Site: cross-site\r\n").await;
    assert_eq!((cross.status, cross.kind().as_str()), (403, "cross_site"));
    let failing = world.ask("POST", &format!("/torrents/{}", hash(2)), "").await;
    assert_eq!((failing.status, failing.kind().as_str()), (503, "cooldown"));
    let named = world.ask("POST", "/torrents/no-hash", "").await;
    assert!(named.status == 400 && String::from_utf8_lossy(&named.body).contains("is not an info hash"));
}

#[tokio::test]
async fn a_playlist_has_whole_urls_and_no_name_gets_out_of_its_line() {
    let world = world();
    let answer = world.get(&format!("/playlist/{HASH}.m3u8?tr=http://1.1.1.1/a")).await;
    assert_eq!(answer.headers["content-type"], "audio/x-mpegurl; charset=utf-8");
    assert_eq!(answer.headers["cache-control"], "no-store");
    let text = String::from_utf8(answer.body).expect("text");
    let base = format!("http://{}/stream/proxy/{HASH}", world.address);
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines.len(), 6, "{text}");
    assert_eq!((lines[0], lines[1]), ("#EXTM3U", "#EXTINF:-1,A Film #1 (Amélie)?.mkv"));
    assert!(lines[2].starts_with(&format!("#EXTVLCOPT:input-slave={base}/3/")), "{text}");
    assert!(
        lines[3].starts_with(&format!("{base}/2/A%20Film%20%231%20%28Am%C3%A9lie%29%3F.mkv?tr=")),
        "{text}"
    );
    assert_eq!(lines[4], "#EXTINF:-1,a\u{201a} b  #EXTM3U .mp3", "{text}");
    assert!(lines[5].starts_with(&format!("{base}/5/")), "{text}");
    assert!(!text.contains('\r') && !lines[5].contains(','));
    assert_eq!(world.get(&format!("/playlist/{HASH}.pls")).await.status, 404);
    assert_eq!(world.get(&format!("/playlist/{}.m3u8", hash(3))).await.kind(), "timeout");
}

#[tokio::test]
async fn a_proxy_that_is_trusted_says_what_the_server_is_called() {
    let lines =
        "X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: tv.example:8443\r\n";
    let link = |world: World| async move {
        let answer = world.ask("GET", &format!("/torrents/{HASH}/link?playlist=1"), lines).await;
        let link: Json = serde_json::from_slice(&answer.body).expect("JSON");
        (world.address, link["url"].as_str().expect("a URL").to_owned())
    };
    let trusting = setup().policy(|policy| policy.proxies = vec!["127.0.0.1".parse().expect("an address")]);
    assert_eq!(link(trusting.start()).await.1, format!("https://tv.example:8443/playlist/{HASH}.m3u8"));
    let (address, url) = link(world()).await;
    assert_eq!(url, format!("http://{address}/playlist/{HASH}.m3u8"), "a stranger says nothing");
}

#[tokio::test]
async fn a_signed_playlist_opens_its_torrent_and_lives_no_longer_than_itself() {
    let world = setup().policy(|policy| policy.token = Token::read(SECRET).ok()).start();
    let bearer = format!("Authorization: Bearer {SECRET}\r\n");
    let target = format!("/torrents/{HASH}/link?playlist=1&valid=5m");
    let link: Json = serde_json::from_slice(&world.ask("GET", &target, &bearer).await.body).expect("JSON");
    let url = url::Url::parse(link["url"].as_str().expect("a URL")).expect("a URL");
    let target = |url: &url::Url| format!("{}?{}", url.path(), url.query().unwrap_or_default());
    let expires = |url: &url::Url| {
        url.query_pairs().find(|(key, _)| key == "expires").map(|(_, at)| at.into_owned()).expect("a time")
    };
    let playlist = world.get(&target(&url)).await;
    assert_eq!(playlist.status, 200);
    let text = String::from_utf8(playlist.body).expect("text");
    assert!(!text.contains(SECRET));
    for line in text.lines().filter(|line| line.starts_with("http")) {
        let file = url::Url::parse(line).expect("a URL");
        assert_eq!(expires(&file), expires(&url));
        assert_eq!(world.get(&target(&file)).await.status, 200, "{line}");
    }
    let subtitles =
        text.lines().find_map(|line| line.strip_prefix("#EXTVLCOPT:input-slave=")).expect("subtitles");
    let signed = url::Url::parse(subtitles).expect("a URL").query().expect("signed").to_owned();
    let vtt = world.get(&format!("/subtitles/{HASH}/3.vtt?{signed}")).await;
    assert_ne!(vtt.status, 401, "a file's link opens its subtitles as well");
    assert_eq!(world.get(&format!("/subtitles/{HASH}/4.vtt?{signed}")).await.status, 401);
    assert_eq!(
        world.get(&target(&url).replace("/playlist/", "/stream/proxy/").replace(".m3u8", "")).await.status,
        401
    );
    assert_eq!(world.get(&format!("/playlist/{HASH}.m3u8")).await.kind(), "unauthorized");
}

#[tokio::test]
async fn the_page_is_given_to_everybody_and_runs_nothing_but_its_own() {
    let world = setup().policy(|policy| policy.token = Token::read(SECRET).ok()).start();
    let page = world.get("/").await;
    assert_eq!(page.status, 200, "it asks for the token itself");
    let policy = &page.headers["content-security-policy"];
    for part in ["default-src 'none'", "script-src 'self'", "style-src 'self'", "frame-ancestors 'none'"] {
        assert!(policy.contains(part) && !policy.contains("unsafe"), "{policy}");
    }
    assert_eq!(page.headers["x-content-type-options"], "nosniff");
    let html = String::from_utf8(page.body).expect("text");
    for inline in ["<script>", "<style", " style=", " onclick", "http://", "https://"] {
        assert!(!html.contains(inline), "{inline}");
    }
    for part in html.split('"').filter(|value| value.starts_with("page/")) {
        let answer = world.get(&format!("/{part}")).await;
        assert_eq!((answer.status, answer.headers["cache-control"].as_str()), (200, "no-cache"), "{part}");
        let again = format!("If-None-Match: {}\r\n", answer.headers["etag"]);
        let again = world.ask("GET", &format!("/{part}"), &again).await;
        assert_eq!((again.status, again.body.len()), (304, 0), "{part}");
    }
    let rebound = "GET / HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n";
    assert_eq!(Answer::parse(&world.raw(rebound).await).status, 421, "but not under a stranger's name");
    assert_eq!(world.get("/page/app.js").await.headers["content-type"], "text/javascript; charset=utf-8");
}

#[tokio::test]
async fn watchers_see_where_readers_are() {
    let world = setup().fake(4 << 20, End::Stalls, 1 << 20).start();
    let get = format!("GET {} HTTP/1.1\r\nHost: {}\r\nRange: bytes=1000-\r\n\r\n", path(), world.address);
    let mut playing = world.send(&get).await;
    // The head, and all that comes before the stall.
    let mut bytes = vec![0; (1 << 20) - 1000];
    soon(playing.read_exact(&mut bytes)).await.expect("bytes");
    let positions = world.json("GET", "/torrents").await["torrents"][0]["positions"].clone();
    assert_eq!(positions, serde_json::json!([{ "file": 2, "offset": 1 << 20 }]));
    drop(playing);
    world.readers(|readers| readers.open == 0).await;
    let brief = world.send(&format!("GET /events?brief=1 HTTP/1.1\r\nHost: {}\r\n\r\n", world.address)).await;
    let mut lines = tokio::io::AsyncBufReadExt::lines(tokio::io::BufReader::new(brief));
    let data = loop {
        let line = soon(lines.next_line()).await.expect("an event").expect("an event");
        if let Some(data) = line.strip_prefix("data:") {
            break serde_json::from_str::<Json>(data).expect("JSON");
        }
    };
    assert_eq!((&data[0]["files"], &data[0]["positions"]), (&serde_json::json!([]), &serde_json::json!([])));
}
