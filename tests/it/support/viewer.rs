//! Somebody who watches a film over HTTP: takes it at its pace, and compares every byte.

use std::{net::SocketAddr, time::Duration};

use rand::Rng;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpSocket, TcpStream},
    time::{Instant, MissedTickBehavior, interval_at},
};

use super::{KIB, Torrent};

/// What a viewer takes in a second.
pub const PACE: usize = 64 * KIB;
const STEPS: u32 = 4;
const PART: usize = PACE / STEPS as usize;

/// Watches from a random place for so many seconds, or to the end; how long the first byte took, counted from `begins`,
/// when the viewer was due.
pub async fn watch(
    address: SocketAddr,
    target: &str,
    film: &Torrent,
    begins: Instant,
    seconds: usize,
) -> Duration {
    let most = film.content().len().saturating_sub(PACE * seconds).max(PACE);
    let start = rand::rng().random_range(0..most.min(film.content().len() - PACE));
    tokio::time::sleep_until(begins).await;
    let mut stream = ask(address, target, start).await;
    let (mut part, mut first) = (vec![0; PART], None);
    let mut due = interval_at(begins, Duration::from_secs(1) / STEPS);
    due.set_missed_tick_behavior(MissedTickBehavior::Burst);
    for expected in film.content()[start..].chunks(PART).take(seconds * STEPS as usize) {
        due.tick().await;
        stream.read_exact(&mut part[..1]).await.unwrap();
        first.get_or_insert_with(|| begins.elapsed());
        stream.read_exact(&mut part[1..expected.len()]).await.unwrap();
        assert!(part.starts_with(expected), "a wrong byte in what begins at {start}");
    }
    first.unwrap()
}

/// Asks for what begins at `start`, and reads the head of the answer.
async fn ask(address: SocketAddr, target: &str, start: usize) -> BufReader<TcpStream> {
    let socket = TcpSocket::new_v4().unwrap();
    // Little is on its way, so that the pace is the server's as well.
    socket.set_recv_buffer_size(PACE as u32).unwrap();
    let mut stream = socket.connect(address).await.unwrap();
    let head = format!("Host: {address}\r\nConnection: close\r\nRange: bytes={start}-\r\n\r\n");
    stream.write_all(format!("GET {target} HTTP/1.1\r\n{head}").as_bytes()).await.unwrap();
    let (mut stream, mut answer) = (BufReader::with_capacity(KIB, stream), Vec::new());
    while !answer.ends_with(b"\r\n\r\n") {
        answer.push(stream.read_u8().await.unwrap());
    }
    assert!(answer.starts_with(b"HTTP/1.1 206"), "{}", String::from_utf8_lossy(&answer));
    stream
}
