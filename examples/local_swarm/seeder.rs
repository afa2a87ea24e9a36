//! A file of random bytes and the seeders that offer it on loopback: no tracker, no DHT, no multicast.

use std::{
    io::{self, Read, Write},
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::Arc,
};

use librqbit::{AddTorrent, AddTorrentOptions, ListenerOptions, Session, SessionOptions};
use rand::{RngCore, SeedableRng, rngs::StdRng};
use sha1::{Digest, Sha1};

/// Whatever can go wrong while a swarm is set up.
pub type Trouble = Box<dyn std::error::Error + Send + Sync>;

const BUFFER: usize = 1024 * 1024;

/// A SHA-1 digest.
pub type Hash = [u8; 20];

/// Writes `size` random bytes to `path`; their hash.
pub fn write_random(path: &Path, size: u64) -> io::Result<Hash> {
    let mut file = std::fs::File::create_new(path)?;
    let (mut random, mut buffer, mut hasher) = (StdRng::from_os_rng(), vec![0; BUFFER], Sha1::new());
    let mut left = size;
    while left > 0 {
        let part = &mut buffer[..left.min(BUFFER as u64) as usize];
        random.fill_bytes(part);
        hasher.update(&*part);
        file.write_all(part)?;
        left -= part.len() as u64;
    }
    Ok(hasher.finalize().into())
}

/// Reads to the end; how many bytes there were, and their hash.
pub fn drain(mut source: impl Read) -> io::Result<(u64, Hash)> {
    let (mut buffer, mut hasher, mut len) = (vec![0; BUFFER], Sha1::new(), 0);
    loop {
        match source.read(&mut buffer) {
            Ok(0) => return Ok((len, hasher.finalize().into())),
            Ok(read) => {
                hasher.update(&buffer[..read]);
                len += read as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// A torrent of one file.
pub struct Torrent {
    /// The v1 info hash in hexadecimal.
    pub info_hash: String,
    /// The `.torrent`.
    pub metainfo: bytes::Bytes,
    folder: PathBuf,
}

impl Torrent {
    /// Makes the metainfo of the file at `path`. By hand, because librqbit's own maker adds the hash of an
    /// empty piece to a file that ends with a whole one.
    pub fn of(path: &Path, piece_length: u64) -> Result<Self, Trouble> {
        let folder = path.parent().ok_or("the file has no directory")?.to_owned();
        let name = path.file_name().and_then(|name| name.to_str()).ok_or("the file's name is no text")?;
        let file = std::fs::File::open(path)?;
        let (len, mut pieces) = (file.metadata()?.len(), Vec::new());
        for piece in 0..len.div_ceil(piece_length) {
            let left = piece_length.min(len - piece * piece_length);
            pieces.extend(drain((&file).take(left))?.1);
        }
        let mut info = format!(
            "d6:lengthi{len}e4:name{}:{name}12:piece lengthi{piece_length}e6:pieces{}:",
            name.len(),
            pieces.len()
        )
        .into_bytes();
        info.extend(pieces);
        info.push(b'e');
        let info_hash = data_encoding::HEXLOWER.encode(&Sha1::digest(&info));
        let metainfo = [b"d4:info", &*info, b"e"].concat().into();
        Ok(Self { info_hash, metainfo, folder })
    }
}

/// A seeder of one torrent; it stops when dropped.
pub struct Seeder {
    /// Where peers reach it.
    pub address: SocketAddr,
    session: Arc<Session>,
}

impl Seeder {
    /// Starts a seeder, and waits until it has checked its file.
    pub async fn start(torrent: &Torrent) -> Result<Self, Trouble> {
        let listen = ListenerOptions { listen_addr: (Ipv4Addr::LOCALHOST, 0).into(), ..Default::default() };
        let options = SessionOptions {
            dht: None,
            disable_trackers: true,
            disable_local_service_discovery: true,
            listen: Some(listen),
            ipv4_only: true,
            ..Default::default()
        };
        let session = Session::new_with_opts(torrent.folder.clone(), options).await?;
        let options = AddTorrentOptions {
            overwrite: true,
            output_folder: Some(torrent.folder.to_string_lossy().into_owned()),
            ..Default::default()
        };
        let added =
            session.add_torrent(AddTorrent::from_bytes(torrent.metainfo.clone()), Some(options)).await?;
        added.into_handle().ok_or("the torrent was not added")?.wait_until_initialized().await?;
        let address = session.listen_addr().ok_or("the seeder does not listen")?;
        Ok(Self { address, session })
    }
}

impl Drop for Seeder {
    fn drop(&mut self) {
        self.session.cancellation_token().cancel();
    }
}
