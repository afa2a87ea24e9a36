//! As much of an HTTP client as the contestants' servers need.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    time::Duration,
};

use crate::seeder::Trouble;

/// Far above what any answer takes; only so that a hang ends as an error.
const PATIENCE: Duration = Duration::from_secs(300);

/// Most of them do not tell which port they got, so one that is free just now has to do.
pub fn free_address() -> io::Result<SocketAddr> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
}

/// Connects as soon as somebody listens, until `alive` says that nobody ever will.
pub fn connect(address: SocketAddr, alive: impl Fn() -> bool) -> Result<TcpStream, Trouble> {
    loop {
        if let Ok(stream) = TcpStream::connect(address) {
            return Ok(stream);
        }
        if !alive() {
            return Err("ended before it listened".into());
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// One request from byte `from` on, as curl would send it; the body of a good answer.
pub fn request(
    mut stream: TcpStream,
    method: &str,
    target: &str,
    from: u64,
    body: &str,
) -> Result<BufReader<TcpStream>, Trouble> {
    stream.set_read_timeout(Some(PATIENCE))?;
    let head =
        format!("{method} {target} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n", stream.peer_addr()?);
    write!(stream, "{head}Range: bytes={from}-\r\nContent-Length: {}\r\n\r\n{body}", body.len())?;
    let mut reader = BufReader::with_capacity(64 * 1024, stream);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    if !line.contains(" 20") {
        reader.read_to_string(&mut line)?;
        return Err(format!("answered: {line}").into());
    }
    while !line.trim().is_empty() {
        line.clear();
        reader.read_line(&mut line)?;
    }
    Ok(reader)
}
