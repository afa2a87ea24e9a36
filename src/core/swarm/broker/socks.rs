//! The server's half of SOCKS5 (RFC 1928) with a user name and a password (RFC 1929): what librqbit speaks, and no more.

use std::{
    io,
    net::{IpAddr, SocketAddr},
};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

const VERSION: u8 = 5;
const WITH_PASSWORD: u8 = 2;
const NO_METHOD: u8 = 0xff;
const CONNECT: u8 = 1;
const IPV4: u8 = 1;
const IPV6: u8 = 4;

/// How a connection attempt came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Connected.
    Done = 0,
    /// Not allowed.
    Forbidden = 2,
    /// No route.
    Unreachable = 4,
    /// Refused.
    Refused = 5,
}

impl From<&io::Error> for Outcome {
    fn from(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionReset => Outcome::Refused,
            io::ErrorKind::PermissionDenied => Outcome::Forbidden,
            _ => Outcome::Unreachable,
        }
    }
}

/// Lets in who knows the name and the password; where to they want to be connected.
pub async fn accept<S>(stream: &mut S, user: &str, password: &str) -> io::Result<SocketAddr>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let methods = greeting(stream).await?;
    if !methods.contains(&WITH_PASSWORD) {
        stream.write_all(&[VERSION, NO_METHOD]).await?;
        return Err(refused("no password was offered"));
    }
    stream.write_all(&[VERSION, WITH_PASSWORD]).await?;
    let known = stream.read_u8().await? == 1
        && text(stream).await? == user.as_bytes()
        && text(stream).await? == password.as_bytes();
    stream.write_all(&[1, u8::from(!known)]).await?;
    if !known {
        return Err(refused("wrong password"));
    }
    destination(stream).await
}

/// Tells how the connection attempt came out.
pub async fn reply<S: AsyncWrite + Unpin>(stream: &mut S, outcome: Outcome) -> io::Result<()> {
    // The address that we are bound to is nobody's business: 0.0.0.0:0.
    stream.write_all(&[VERSION, outcome as u8, 0, IPV4, 0, 0, 0, 0, 0, 0]).await
}

async fn greeting<S: AsyncRead + Unpin>(stream: &mut S) -> io::Result<Vec<u8>> {
    if stream.read_u8().await? != VERSION {
        return Err(refused("not SOCKS5"));
    }
    text(stream).await
}

async fn text<S: AsyncRead + Unpin>(stream: &mut S) -> io::Result<Vec<u8>> {
    let mut text = vec![0; stream.read_u8().await?.into()];
    stream.read_exact(&mut text).await?;
    Ok(text)
}

async fn destination<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S) -> io::Result<SocketAddr> {
    let mut head = [0; 4];
    stream.read_exact(&mut head).await?;
    let ip: IpAddr = match head {
        [VERSION, CONNECT, 0, IPV4] => {
            let mut octets = [0; 4];
            stream.read_exact(&mut octets).await?;
            octets.into()
        }
        [VERSION, CONNECT, 0, IPV6] => {
            let mut octets = [0; 16];
            stream.read_exact(&mut octets).await?;
            octets.into()
        }
        _ => {
            reply(stream, Outcome::Forbidden).await?;
            return Err(refused("only addresses can be connected to"));
        }
    };
    Ok(SocketAddr::new(ip, stream.read_u16().await?))
}

fn refused(why: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::PermissionDenied, why)
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn served(said: &[u8]) -> (io::Result<SocketAddr>, Vec<u8>) {
        let (mut ours, mut theirs) = tokio::io::duplex(1024);
        theirs.write_all(said).await.unwrap();
        theirs.shutdown().await.unwrap();
        let accepted = accept(&mut ours, "user", "secret").await;
        drop(ours);
        let mut heard = Vec::new();
        theirs.read_to_end(&mut heard).await.unwrap();
        (accepted, heard)
    }

    #[tokio::test]
    async fn who_knows_the_password_is_let_in() {
        let said = b"\x05\x02\x00\x02\x01\x04user\x06secret\x05\x01\x00\x01\x7f\x00\x00\x02\x1a\xe1";
        let (accepted, heard) = served(said).await;
        assert_eq!(accepted.unwrap(), "127.0.0.2:6881".parse().unwrap());
        assert_eq!(heard, [5, 2, 1, 0]);
        let said =
            b"\x05\x01\x02\x01\x04user\x06secret\x05\x01\x00\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\x00\x07";
        assert_eq!(served(said).await.0.unwrap(), "[::1]:7".parse().unwrap());
    }

    #[tokio::test]
    async fn nobody_else_is() {
        for (said, heard) in [
            (&b"\x05\x01\x00"[..], &[5, 0xff][..]),
            (b"\x05\x01\x02\x01\x04user\x06sesame", &[5, 2, 1, 1]),
            (b"\x05\x01\x02\x01\x04user\x06secret\x05\x01\x00\x03\x09localhost\x00\x07", &[5, 2, 1, 0, 5, 2]),
            (
                b"\x05\x01\x02\x01\x04user\x06secret\x05\x02\x00\x01\x7f\x00\x00\x02\x1a\xe1",
                &[5, 2, 1, 0, 5, 2],
            ),
            (b"GET / HTTP/1.1\r\n", &[]),
            (b"\x05", &[]),
        ] {
            let (accepted, answer) = served(said).await;
            accepted.unwrap_err();
            assert!(answer.starts_with(heard), "{said:?}: {answer:?}");
        }
    }
}
