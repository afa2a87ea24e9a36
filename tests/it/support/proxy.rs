//! A SOCKS5 proxy (RFC 1928) without authentication, which remembers where it was asked to connect.

use std::{io, net::SocketAddr};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpStream},
    sync::watch,
};

use super::Actor;

/// Serves on a loopback port until dropped.
pub struct SocksProxy {
    addr: SocketAddr,
    targets: watch::Sender<Vec<String>>,
    _actor: Actor,
}

impl SocksProxy {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap().into_std().unwrap();
        let addr = listener.local_addr().unwrap();
        let targets = watch::Sender::new(Vec::new());
        let seen = targets.clone();
        let actor = Actor::spawn(async move {
            let listener = TcpListener::from_std(listener).unwrap();
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(relay(stream, seen.clone()));
            }
        });
        Self { addr, targets, _actor: actor }
    }

    pub fn url(&self) -> String {
        format!("socks5://{}", self.addr)
    }

    /// Where it was asked to connect so far, in order, by address or by name.
    pub fn targets(&self) -> Vec<String> {
        self.targets.borrow().clone()
    }
}

async fn relay(mut client: TcpStream, seen: watch::Sender<Vec<String>>) -> io::Result<()> {
    let methods = read(&mut client, 2).await?[1];
    read(&mut client, methods.into()).await?;
    client.write_all(&[5, 0]).await?;
    let target = target(&mut client).await?;
    seen.send_modify(|seen| seen.push(target.clone()));
    let mut server = match TcpStream::connect(&target).await {
        Ok(server) => server,
        Err(error) => {
            client.write_all(&[5, 5, 0, 1, 0, 0, 0, 0, 0, 0]).await?;
            return Err(error);
        }
    };
    client.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0]).await?;
    copy_bidirectional(&mut client, &mut server).await.map(drop)
}

/// Where it is to connect to, as it was said: an address or a name.
async fn target(client: &mut TcpStream) -> io::Result<String> {
    let host = match read(client, 4).await?[..] {
        [5, 1, 0, 1] => read(client, 4).await?.iter().map(u8::to_string).collect::<Vec<_>>().join("."),
        [5, 1, 0, 3] => {
            let len = read(client, 1).await?[0];
            String::from_utf8(read(client, len.into()).await?).map_err(io::Error::other)?
        }
        _ => return Err(io::ErrorKind::Unsupported.into()),
    };
    let port = read(client, 2).await?;
    Ok(format!("{host}:{}", u16::from_be_bytes([port[0], port[1]])))
}

async fn read(stream: &mut TcpStream, len: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; len];
    stream.read_exact(&mut bytes).await?;
    Ok(bytes)
}
