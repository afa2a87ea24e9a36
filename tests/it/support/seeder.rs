//! A real seeder: a librqbit session in the test process, with nothing but its loopback listener switched on.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    num::NonZeroU32,
    path::Path,
    sync::Arc,
    time::Instant,
};

use librqbit::{
    AddTorrent, AddTorrentOptions, ListenerOptions, Session, SessionOptions, limits::LimitsConfig,
};
use tempfile::TempDir;

use super::{PATIENCE, Torrent, WORLD};

/// Seeds one torrent until stopped or dropped.
pub struct Seeder {
    torrent: Torrent,
    dir: TempDir,
    addr: SocketAddr,
    upload_limit: Option<NonZeroU32>,
    session: Option<Arc<Session>>,
}

impl Seeder {
    pub async fn start(torrent: &Torrent) -> Self {
        Self::start_at(torrent, Ipv4Addr::LOCALHOST.into()).await
    }

    /// On an address of its own: `127.0.0.x` or `::1`.
    pub async fn start_at(torrent: &Torrent, ip: IpAddr) -> Self {
        Self::limited(torrent, ip, None).await
    }

    /// Sends at most this many bytes a second (librqbit needs at least 16384).
    pub async fn with_upload_limit(torrent: &Torrent, bytes_per_second: u32) -> Self {
        Self::limited(torrent, Ipv4Addr::LOCALHOST.into(), NonZeroU32::new(bytes_per_second)).await
    }

    async fn limited(torrent: &Torrent, ip: IpAddr, upload_limit: Option<NonZeroU32>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        torrent.write_content(dir.path());
        let addr = SocketAddr::new(ip, 0);
        let mut seeder = Self { torrent: torrent.clone(), dir, addr, upload_limit, session: None };
        seeder.resume().await;
        seeder
    }

    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Goes away: the listener and every connection close.
    pub fn stop(&mut self) {
        if let Some(session) = self.session.take() {
            session.cancellation_token().cancel();
        }
    }

    /// Comes back on the same port.
    pub async fn resume(&mut self) {
        let (torrent, dir) = (self.torrent.clone(), self.dir.path().to_owned());
        let (addr, limit) = (self.addr, self.upload_limit);
        let session = WORLD.spawn(async move { seed(&torrent, &dir, addr, limit).await }).await.unwrap();
        self.addr = session.listen_addr().expect("a seeder listens");
        self.session = Some(session);
    }
}

impl Drop for Seeder {
    fn drop(&mut self) {
        self.stop();
    }
}

async fn seed(torrent: &Torrent, dir: &Path, addr: SocketAddr, limit: Option<NonZeroU32>) -> Arc<Session> {
    let session = listen(dir, addr, limit).await;
    let content = AddTorrentOptions {
        output_folder: Some(torrent.content_dir(dir).to_str().unwrap().to_owned()),
        overwrite: true,
        ..Default::default()
    };
    let metainfo = AddTorrent::from_bytes(torrent.metainfo().to_vec());
    let handle = session.add_torrent(metainfo, Some(content)).await.unwrap().into_handle().unwrap();
    let checked = tokio::time::timeout(PATIENCE, handle.wait_until_completed()).await;
    checked.expect("the seeder's own files were not checked in time").unwrap();
    session
}

/// A cancelled session lets go of its port a moment later, when its tasks have ended.
async fn listen(dir: &Path, addr: SocketAddr, limit: Option<NonZeroU32>) -> Arc<Session> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match Session::new_with_opts(dir.to_owned(), session_options(addr, limit)).await {
            Ok(session) => return session,
            Err(error) if Instant::now() > deadline => panic!("no seeder on {addr}: {error:#}"),
            Err(_) => tokio::task::yield_now().await,
        }
    }
}

fn session_options(addr: SocketAddr, upload_limit: Option<NonZeroU32>) -> SessionOptions {
    SessionOptions {
        dht: None,
        disable_trackers: true,
        disable_local_service_discovery: true,
        listen: Some(ListenerOptions { listen_addr: addr, ipv4_only: addr.is_ipv4(), ..Default::default() }),
        ratelimits: LimitsConfig { upload_bps: upload_limit, download_bps: None },
        ipv4_only: addr.is_ipv4(),
        ..Default::default()
    }
}
