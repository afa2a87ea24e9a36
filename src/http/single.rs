//! One opened file for one player on this machine, and the subtitles beside it: the server behind `stream --open`.
//!
//! It answers only to its own loopback address and only under paths that cannot be guessed, so neither
//! another machine nor a web page in the user's browser reaches it. It has no CORS, no list, no other file.

use std::{future::Future, io, net::SocketAddr, sync::Arc, time::Duration};

use hyper::{Request, body::Incoming};
use percent_encoding::percent_decode_str;
use tokio_util::sync::CancellationToken;
use warp::{
    http::{Method, request::Parts},
    reply::Response,
};

use super::{
    body::Content,
    deliver::{Asked, deliver},
    guard,
    lane::Lane,
    listen::Listener,
    reply::{self, Problem},
    server::{Arrival, Counters, Handler, Limits, Server},
};
use crate::core::{Error, media::Media};

/// Connections at once: players keep a few, and close them late.
const CONNECTIONS: usize = 64;

/// A path segment that cannot be guessed: 128 random bits in hexadecimal.
pub fn token() -> String {
    data_encoding::HEXLOWER.encode(&rand::random::<[u8; 16]>())
}

/// Where a player finds the file. It ends in the file's name, for players that judge by the extension.
pub fn url(address: SocketAddr, token: &str, media: &Media) -> String {
    format!("http://{address}/{token}/{}", reply::encoded(segment(media)))
}

/// Where a player finds a file beside it.
pub fn url_beside(address: SocketAddr, token: &str, media: &Media) -> String {
    format!("http://{address}/{token}/{}/{}", media.index, reply::encoded(segment(media)))
}

/// The files beside the one that is played. Each is opened when the player asks for it: most never are.
pub trait Beside: Send + Sync + 'static {
    /// What is read of them.
    type Content: Content;

    /// Which there are.
    fn media(&self) -> &[Media];

    /// One of them, with its first bytes there.
    fn open(&self, media: &Media) -> impl Future<Output = Result<Self::Content, Error>> + Send;
}

/// Serves `content` on a loopback `listener`, under [`url()`], and what is beside it under [`url_beside()`], until
/// `stop`; then cuts what still runs. When this has ended, nothing of it holds the content any more.
pub async fn serve<C: Content>(
    listener: std::net::TcpListener,
    token: &str,
    content: C,
    beside: impl Beside,
    counters: Counters,
    stop: CancellationToken,
) -> io::Result<()> {
    let address = listener.local_addr()?;
    let listener = Listener::try_from(listener)?;
    let path = format!("/{token}/{}", segment(content.media()));
    let paths_beside =
        beside.media().iter().map(|media| format!("/{token}/{}/{}", media.index, segment(media))).collect();
    let site = Arc::new(Site { address, path, content, paths_beside, beside });
    let limits = Limits { connections: CONNECTIONS, drain: Duration::ZERO, ..Limits::default() };
    Server::new(site, limits, counters).run(vec![listener], stop).await;
    Ok(())
}

/// The name as a path segment that no client takes for a step upwards.
fn segment(media: &Media) -> &str {
    match media.name() {
        "" | "." | ".." => "file",
        name => name,
    }
}

struct Site<C, B> {
    address: SocketAddr,
    /// The path of the file that is played, decoded.
    path: String,
    content: C,
    /// The paths of the others, decoded, in their order.
    paths_beside: Vec<String>,
    beside: B,
}

/// The file that a request is about.
enum Meant<'a> {
    Played,
    Beside(&'a Media),
}

impl<C: Content, B: Beside> Handler for Site<C, B> {
    async fn answer(&self, request: Request<Incoming>, arrival: Arrival) -> Response {
        let (request, _) = request.into_parts();
        let answered = match self.admit(&request) {
            Ok(Meant::Played) => respond(&self.content, &request, arrival.lane).await,
            Ok(Meant::Beside(media)) => match self.beside.open(media).await {
                Ok(content) => respond(&content, &request, arrival.lane).await,
                Err(error) => Err(Problem::from(&error)),
            },
            Err(refusal) => Err(refusal),
        };
        answered.unwrap_or_else(Problem::into_response)
    }
}

impl<C: Content, B: Beside> Site<C, B> {
    fn admit(&self, request: &Parts) -> Result<Meant<'_>, Problem> {
        guard::addressed_to(self.address, &guard::authority(&request.uri, &request.headers)?)?;
        let path: Vec<u8> = percent_decode_str(request.uri.path()).collect();
        let is = |known: &String| same(&path, known.as_bytes());
        let beside = || self.beside.media().get(self.paths_beside.iter().position(is)?);
        let meant = match is(&self.path) {
            true => Meant::Played,
            false => beside().map(Meant::Beside).ok_or_else(Problem::not_found)?,
        };
        if request.method != Method::GET && request.method != Method::HEAD {
            return Err(Problem::read_only());
        }
        Ok(meant)
    }
}

async fn respond<C: Content>(content: &C, request: &Parts, lane: Lane) -> Result<Response, Problem> {
    let asked = Asked { method: &request.method, headers: &request.headers };
    deliver(content.media(), asked, |range| content.reader(range), lane).await
}

/// Equality in a time that does not tell how much of a secret was right.
fn same(given: &[u8], expected: &[u8]) -> bool {
    given.len() == expected.len() && given.iter().zip(expected).fold(0, |sum, (a, b)| sum | (a ^ b)) == 0
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpStream,
        task::JoinHandle,
    };

    use super::*;
    use crate::http::testing::{Answer, End, Fake, HASH, Readers, soon};

    /// Subtitles beside a film: one file in memory under several names, and one that cannot be opened.
    struct Shelf {
        fake: Fake,
        media: Vec<Media>,
    }

    const BROKEN: usize = 9;

    impl Shelf {
        fn of(files: &[(usize, &str)]) -> Self {
            let media =
                |&(index, path): &(usize, &str)| Media { info_hash: HASH, index, path: path.into(), len: 50 };
            Self { fake: Fake::new(50, End::Whole, 0), media: files.iter().map(media).collect() }
        }
    }

    impl Beside for Shelf {
        type Content = Fake;

        fn media(&self) -> &[Media] {
            &self.media
        }

        async fn open(&self, media: &Media) -> Result<Fake, Error> {
            match media.index {
                BROKEN => Err(Error::Internal("it cannot be opened".into())),
                _ => Ok(Fake { media: media.clone(), ..self.fake.clone() }),
            }
        }
    }

    struct Server {
        address: SocketAddr,
        path: String,
        beside: Vec<String>,
        fake: Fake,
        stop: CancellationToken,
        task: JoinHandle<io::Result<()>>,
    }

    impl Server {
        fn start(fake: Fake) -> Self {
            Self::with(fake, Shelf::of(&[]))
        }

        fn with(fake: Fake, shelf: Shelf) -> Self {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
            let address = listener.local_addr().expect("an address");
            let token = token();
            let url = url(address, &token, &fake.media);
            let path = url.strip_prefix(&format!("http://{address}")).expect("our address").to_owned();
            let urls = shelf.media.iter().map(|media| url_beside(address, &token, media));
            let beside = urls.map(|url| url.replace(&format!("http://{address}"), "")).collect();
            let (content, stop) = (fake.clone(), CancellationToken::new());
            let (counters, stopped) = (Counters::default(), stop.clone());
            let task =
                tokio::spawn(async move { serve(listener, &token, content, shelf, counters, stopped).await });
            Self { address, path, beside, fake, stop, task }
        }

        fn film(len: usize) -> Self {
            Self::start(Fake::new(len, End::Whole, 0))
        }

        /// Sends a request and leaves the rest to the caller.
        async fn send(&self, request: &str) -> TcpStream {
            let mut stream = TcpStream::connect(self.address).await.expect("connected");
            stream.write_all(request.as_bytes()).await.expect("sent");
            stream
        }

        async fn raw(&self, request: &str) -> Answer {
            let mut stream = self.send(request).await;
            let mut bytes = Vec::new();
            soon(stream.read_to_end(&mut bytes)).await.expect("an answer");
            Answer::parse(&bytes)
        }

        /// A well-formed request with further header lines.
        async fn ask(&self, method: &str, path: &str, lines: &str) -> Answer {
            let host = self.address;
            self.raw(&format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{lines}\r\n"))
                .await
        }

        async fn get(&self, lines: &str) -> Answer {
            self.ask("GET", &self.path, lines).await
        }

        async fn readers(&self, wanted: impl FnMut(&Readers) -> bool) {
            soon(self.fake.readers.subscribe().wait_for(wanted)).await.expect("the server holds the sender");
        }

        fn opened(&self) -> usize {
            self.fake.readers.borrow().opened
        }
    }

    #[tokio::test]
    async fn the_whole_file_arrives_with_what_a_player_needs_to_know() {
        let server = Server::film(1_500_000);
        let answer = server.get("").await;
        assert_eq!(answer.status, 200);
        assert!(answer.body == server.fake.bytes);
        assert_eq!(answer.headers["content-length"], "1500000");
        assert_eq!(answer.headers["content-type"], "video/x-matroska");
        assert_eq!(answer.headers["accept-ranges"], "bytes");
        assert_eq!(answer.headers["etag"], format!("\"{HASH}-2\""));
        assert!(answer.headers.keys().all(|name| !name.starts_with("access-control-")));
    }

    #[tokio::test]
    async fn a_range_arrives_as_a_part() {
        let server = Server::film(300_000);
        for (range, bytes) in [("100-199", 100..200), ("-1", 299_999..300_000), ("70000-", 70_000..300_000)] {
            let answer = server.get(&format!("Range: bytes={range}\r\n")).await;
            assert_eq!(answer.status, 206);
            let expected = format!("bytes {}-{}/300000", bytes.start, bytes.end - 1);
            assert_eq!(answer.headers["content-range"], expected);
            assert!(answer.body == server.fake.bytes[bytes]);
        }
        let answer = server.get("Range: bytes=300000-\r\n").await;
        assert_eq!((answer.status, answer.kind().as_str()), (416, "range"));
        assert_eq!(answer.headers["content-range"], "bytes */300000");
        assert_eq!(server.opened(), 3);
    }

    #[tokio::test]
    async fn head_tells_the_length_and_opens_no_reader() {
        let server = Server::film(1000);
        let answer = server.ask("HEAD", &server.path, "Range: bytes=0-9\r\n").await;
        assert_eq!((answer.status, answer.body.len()), (200, 0));
        assert_eq!(answer.headers["content-length"], "1000");
        assert_eq!(server.opened(), 0);
    }

    #[tokio::test]
    async fn an_empty_file_is_an_empty_answer() {
        let server = Server::film(0);
        let answer = server.get("Range: bytes=0-\r\n").await;
        assert_eq!((answer.status, answer.body.len(), server.opened()), (200, 0, 0));
        assert_eq!(answer.headers["content-length"], "0");
    }

    #[tokio::test]
    async fn a_client_that_has_the_file_gets_no_bytes_again() {
        let server = Server::film(1000);
        let answer = server.get(&format!("If-None-Match: \"{HASH}-2\"\r\n")).await;
        assert_eq!((answer.status, answer.body.len()), (304, 0));
        let answer = server.get("If-Match: \"other\"\r\nRange: bytes=0-1\r\n").await;
        assert_eq!((answer.status, answer.kind().as_str()), (412, "precondition"));
        assert_eq!(server.opened(), 0);
    }

    #[tokio::test]
    async fn what_is_beside_the_film_is_there_under_the_same_token_and_nothing_else_is() {
        let shelf = Shelf::of(&[(4, "Subs/a #1.srt"), (7, "other/a #1.srt"), (BROKEN, "b.srt")]);
        let server = Server::with(Fake::new(1000, End::Whole, 0), shelf);
        for (path, index) in server.beside.iter().zip([4, 7]) {
            assert!(
                path.starts_with(&server.path[..34]) && path.ends_with(&format!("{index}/a%20%231.srt")),
                "{path}"
            );
            let answer = server.ask("GET", path, "Range: bytes=0-9\r\n").await;
            assert_eq!((answer.status, answer.body.len()), (206, 10));
            assert_eq!(answer.headers["etag"], format!("\"{HASH}-{index}\""));
        }
        let broken = server.ask("GET", &server.beside[2], "").await;
        assert_eq!((broken.status, broken.kind().as_str()), (500, "internal"));
        let token = &server.path[..33];
        for path in [
            &server.beside[0][33..],
            &format!("{token}/5/a%20%231.srt"),
            &format!("{token}/4/"),
            &format!("{token}/4"),
        ] {
            assert_eq!(server.ask("GET", path, "").await.status, 404, "{path}");
        }
        assert_eq!(server.ask("POST", &server.beside[0], "Content-Length: 0\r\n").await.status, 405);
        assert_eq!(server.get("").await.body.len(), 1000, "the film is there as well");
    }

    #[tokio::test]
    async fn nothing_but_the_one_path_exists() {
        let server = Server::film(1000);
        let name = server.path.rsplit('/').next().expect("a name");
        let token = &server.path[..33];
        let other = format!("/{}/{name}", token_of_zeros());
        for path in ["/", "/x", token, &format!("{token}/"), &format!("{token}/other.srt"), &other] {
            let answer = server.ask("GET", path, "").await;
            assert_eq!((answer.status, answer.kind().as_str()), (404, "not_found"), "{path}");
            assert_eq!(answer.headers["cache-control"], "no-store");
        }
        for method in ["POST", "DELETE", "OPTIONS", "PUT"] {
            let answer = server.ask(method, &server.path, "Content-Length: 0\r\n").await;
            assert_eq!((answer.status, answer.headers["allow"].as_str()), (405, "GET, HEAD"), "{method}");
        }
        assert_eq!(server.opened(), 0);
    }

    fn token_of_zeros() -> String {
        "0".repeat(32)
    }

    #[tokio::test]
    async fn a_name_encoded_in_another_way_is_the_same_name() {
        let server = Server::film(1000);
        let lower = server.path.replace("%C3%A9", "%c3%a9").replace("%28", "(");
        assert_ne!(lower, server.path);
        assert_eq!(server.ask("GET", &lower, "").await.status, 200);
    }

    #[tokio::test]
    async fn only_the_address_that_was_bound_is_answered() {
        let server = Server::film(10);
        let port = server.address.port();
        let with = |hosts: &str| format!("GET {} HTTP/1.1\r\n{hosts}Connection: close\r\n\r\n", server.path);
        let misdirected = [
            format!("localhost:{port}"),
            "127.0.0.1".to_owned(),
            "127.0.0.1:1".to_owned(),
            format!("127.0.0.1.evil.example:{port}"),
            format!("evil.example:{port}"),
            format!("127.0.0.1.:{port}"),
            format!("[::1]:{port}"),
            format!("[::ffff:127.0.0.1]:{port}"),
            format!("user@127.0.0.1:{port}"),
            format!("127.1:{port}"),
            format!("0.0.0.0:{port}"),
            format!("127.0.0.1:0{port}"),
        ];
        for host in misdirected {
            let answer = server.raw(&with(&format!("Host: {host}\r\n"))).await;
            assert_eq!((answer.status, answer.kind().as_str()), (421, "misdirected"), "{host}");
        }
        let own = format!("Host: 127.0.0.1:{port}\r\n");
        let malformed = [String::new(), "Host:\r\n".to_owned(), "Host: a b\r\n".to_owned(), own.repeat(2)];
        for hosts in malformed {
            let answer = server.raw(&with(&hosts)).await;
            assert_eq!((answer.status, answer.kind().as_str()), (400, "bad_request"), "{hosts:?}");
        }
        let elsewhere =
            format!("GET http://evil.example{} HTTP/1.1\r\n{own}Connection: close\r\n\r\n", server.path);
        assert_eq!(server.raw(&elsewhere).await.status, 400);
        assert_eq!(server.opened(), 0);
        assert_eq!(server.raw(&with(&own)).await.status, 200);
    }

    #[tokio::test]
    async fn a_failure_before_the_first_byte_is_a_real_status() {
        let server = Server::start(Fake::new(1000, End::Fails, 0));
        let answer = server.get("Range: bytes=0-\r\n").await;
        assert_eq!((answer.status, answer.kind().as_str()), (404, "no_peers"));
        assert!(!answer.headers.contains_key("etag") && !answer.headers.contains_key("accept-ranges"));
    }

    #[tokio::test]
    async fn a_failure_after_it_is_a_body_that_is_visibly_short() {
        let server = Server::start(Fake::new(2_000_000, End::Fails, 1_000_000));
        let answer = server.get("").await;
        assert_eq!((answer.status, answer.headers["content-length"].as_str()), (200, "2000000"));
        assert!(answer.body.len() <= 1_000_000 && server.fake.bytes.starts_with(&answer.body));
    }

    #[tokio::test]
    async fn a_client_that_leaves_takes_its_reader_along() {
        let server = Server::start(Fake::new(1000, End::Stalls, 10));
        let get = format!("GET {} HTTP/1.1\r\nHost: {}\r\n\r\n", server.path, server.address);
        let mut playing = server.send(&get).await;
        let mut first = [0; 12];
        soon(playing.read_exact(&mut first)).await.expect("a status line");
        server.readers(|readers| readers.open == 1).await;
        drop(playing);
        server.readers(|readers| readers.open == 0).await;

        let before_a_byte = get.replacen("\r\n\r\n", "\r\nRange: bytes=500-\r\n\r\n", 1);
        let waiting = server.send(&before_a_byte).await;
        server.readers(|readers| readers.opened == 2).await;
        drop(waiting);
        server.readers(|readers| readers.open == 0).await;
    }

    #[tokio::test]
    async fn the_end_cuts_what_still_runs() {
        let server = Server::start(Fake::new(1000, End::Stalls, 10));
        let get = format!("GET {} HTTP/1.1\r\nHost: {}\r\n\r\n", server.path, server.address);
        let (_playing, _idle) = (server.send(&get).await, TcpStream::connect(server.address).await);
        server.readers(|readers| readers.open == 1).await;
        server.stop.cancel();
        soon(server.task).await.expect("no panic").expect("no error");
        assert_eq!(server.fake.readers.borrow().open, 0);
        assert!(TcpStream::connect(server.address).await.is_err());
    }

    #[test]
    fn a_url_survives_any_name() {
        let address = SocketAddr::from(([127, 0, 0, 1], 4000));
        let with =
            |path: &str| url(address, "t", &Media { info_hash: HASH, index: 0, path: path.into(), len: 1 });
        assert_eq!(with("a/b c?#%.mkv"), "http://127.0.0.1:4000/t/b%20c%3F%23%25.mkv");
        for hostile in ["..", ".", "", "a/.."] {
            assert_eq!(with(hostile), "http://127.0.0.1:4000/t/file");
        }
        assert_ne!(token(), token());
        assert_eq!(token().len(), 32);
    }
}
