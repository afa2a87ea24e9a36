//! A web server that says exactly what it is told to say, well or badly.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
};

use super::{Actor, until};

/// What a request asked for.
#[derive(Debug, Clone)]
pub struct Request {
    /// Path and query, as sent.
    pub target: String,
    /// All header lines, as sent.
    pub head: String,
}

impl Request {
    /// The value of a query parameter, percent-decoded.
    pub fn parameter(&self, name: &str) -> Option<Vec<u8>> {
        let (_, query) = self.target.split_once('?')?;
        let raw = query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))?;
        Some(percent_encoding::percent_decode_str(raw).collect())
    }
}

/// How a request is answered.
#[derive(Debug, Clone)]
pub enum Reply {
    /// 200 with this body.
    Body(Vec<u8>),
    /// This status and an empty body.
    Status(u16),
    /// 302 to this URL.
    Redirect(String),
    /// 200 and this body, one byte a second.
    Trickle(Vec<u8>),
    /// 200 and zeros, a gigabyte if the client takes it.
    Flood,
    /// Nothing, with the connection left open.
    Silence,
}

/// Serves on a loopback port until dropped.
pub struct WebServer {
    addr: SocketAddr,
    seen: Seen,
    _actor: Actor,
}

/// What the server has seen and done.
#[derive(Clone, Default)]
struct Seen {
    requests: watch::Sender<Vec<Request>>,
    /// What became of each flood: how many bytes a client took, in order.
    floods: watch::Sender<Vec<usize>>,
}

impl WebServer {
    pub async fn start(answer: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap().into_std().unwrap();
        let addr = listener.local_addr().unwrap();
        let seen = Seen::default();
        let noted = seen.clone();
        let actor = Actor::spawn(async move { accept(listener, Arc::new(answer), noted).await });
        Self { addr, seen, _actor: actor }
    }

    /// Answers every request with this body.
    pub async fn serving(body: impl Into<Vec<u8>>) -> Self {
        let body = body.into();
        Self::start(move |_| Reply::Body(body.clone())).await
    }

    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}/{path}", self.addr)
    }

    /// Every request so far, in order.
    pub fn requests(&self) -> Vec<Request> {
        self.seen.requests.borrow().clone()
    }

    /// Waits until so many requests have come.
    pub async fn wait_for_requests(&self, count: usize) {
        until(&self.seen.requests, &format!("{count} HTTP requests"), |seen| seen.len() >= count).await;
    }

    /// Waits for a request like this.
    pub async fn wait_for(&self, what: &str, like: impl Fn(&Request) -> bool) -> Request {
        let seen = until(&self.seen.requests, what, |seen| seen.iter().any(&like)).await;
        seen.into_iter().find(like).unwrap()
    }

    /// Waits until so many floods have ended; how many bytes were taken of each.
    pub async fn wait_for_floods(&self, count: usize) -> Vec<usize> {
        until(&self.seen.floods, &format!("the end of {count} floods"), |floods| floods.len() >= count).await
    }
}

type Answerer = Arc<dyn Fn(&Request) -> Reply + Send + Sync>;

async fn accept(listener: std::net::TcpListener, answer: Answerer, seen: Seen) {
    let listener = TcpListener::from_std(listener).unwrap();
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let (answer, seen) = (answer.clone(), seen.clone());
        connections.spawn(async move {
            let _ = converse(stream, answer, seen).await;
        });
    }
}

/// One request a connection, which every client must be able to live with.
async fn converse(mut stream: TcpStream, answer: Answerer, seen: Seen) -> std::io::Result<()> {
    let Some(request) = read_request(&mut stream).await? else { return Ok(()) };
    let reply = answer(&request);
    seen.requests.send_modify(|requests| requests.push(request));
    match reply {
        Reply::Body(body) => {
            stream.write_all(&head(200, &format!("Content-Length: {}\r\n", body.len()))).await?;
            stream.write_all(&body).await?;
        }
        Reply::Status(status) => stream.write_all(&head(status, "Content-Length: 0\r\n")).await?,
        Reply::Redirect(url) => {
            let headers = format!("Location: {url}\r\nContent-Length: 0\r\n");
            stream.write_all(&head(302, &headers)).await?;
        }
        Reply::Trickle(body) => trickle(&mut stream, &body).await?,
        Reply::Flood => {
            let taken = flood(&mut stream).await;
            seen.floods.send_modify(|floods| floods.push(taken));
        }
        Reply::Silence => std::future::pending().await,
    }
    stream.shutdown().await
}

async fn trickle(stream: &mut TcpStream, body: &[u8]) -> std::io::Result<()> {
    stream.write_all(&head(200, &format!("Content-Length: {}\r\n", body.len()))).await?;
    for byte in body {
        stream.write_all(&[*byte]).await?;
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    Ok(())
}

/// How many bytes the client took.
async fn flood(stream: &mut TcpStream) -> usize {
    let zeros = vec![b'0'; 1024 * 1024];
    let mut taken = 0;
    if stream.write_all(&head(200, "")).await.is_ok() {
        while taken < 1024 * zeros.len() && stream.write_all(&zeros).await.is_ok() {
            taken += zeros.len();
        }
    }
    taken
}

async fn read_request(stream: &mut TcpStream) -> std::io::Result<Option<Request>> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) if head.len() < 64 * 1024 => head.push(byte),
            _ => return Ok(None),
        }
    }
    let head = String::from_utf8_lossy(&head);
    let target = head.split(' ').nth(1).map(str::to_owned);
    Ok(target.map(|target| Request { target, head: head.into_owned() }))
}

fn head(status: u16, headers: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status} Said\r\n{headers}Connection: close\r\n\r\n").into_bytes()
}
