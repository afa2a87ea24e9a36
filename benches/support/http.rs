//! As much of an HTTP client as the measured servers need, and an address for them to listen at.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    time::Duration,
};

use rand::Rng;
use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};

/// Far above what any answer takes; only so that a hang ends as an error.
const PATIENCE: Duration = Duration::from_secs(300);

/// Most servers do not tell which port they got, so they are told one: below those that the kernel gives to whoever
/// asks for any, because such a one may be somebody else's by the time that it is wanted.
pub fn free_address() -> io::Result<SocketAddr> {
    let mut random = rand::rng();
    loop {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, random.random_range(20_000..32_768)));
        match TcpListener::bind(address) {
            Ok(_) => return Ok(address),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
            Err(error) => return Err(error),
        }
    }
}

/// Connects as soon as the process listens, or fails once it has ended.
pub fn connect(address: SocketAddr, server: Pid) -> io::Result<TcpStream> {
    let ended = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    loop {
        if let Ok(stream) = TcpStream::connect(address) {
            return Ok(stream);
        }
        if waitid(WaitId::Pid(server), ended)?.is_some() {
            return Err(io::Error::other("ended before it listened"));
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// One request as curl would send it, for what is there from byte `from` on; the body of a good answer.
pub fn request(
    mut stream: TcpStream,
    method: &str,
    target: &str,
    from: u64,
    body: &str,
) -> io::Result<BufReader<TcpStream>> {
    stream.set_read_timeout(Some(PATIENCE))?;
    let head =
        format!("{method} {target} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n", stream.peer_addr()?);
    write!(stream, "{head}Range: bytes={from}-\r\nContent-Length: {}\r\n\r\n{body}", body.len())?;
    let mut reader = BufReader::with_capacity(64 * 1024, stream);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    if !line.contains(" 20") {
        reader.read_to_string(&mut line)?;
        return Err(io::Error::other(format!("{method} {target}: {line}")));
    }
    while !line.trim().is_empty() {
        line.clear();
        reader.read_line(&mut line)?;
    }
    Ok(reader)
}
