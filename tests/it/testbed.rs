//! The testbed against itself and against clients that are not ours: what it cannot do, no test may rely on.

use std::{
    net::SocketAddr,
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
    time::Duration,
};

use librqbit::{AddTorrent, AddTorrentOptions, DhtSessionConfig, Session, SessionOptions};

use crate::support::{
    Answer, Aria2, Behaviour, ClosedPort, DhtNode, HttpTracker, KIB, MIB, PATIENCE, Peer, Seeder, Torrent,
    UdpTracker, WORLD, process,
};

/// A foreign client's view: downloads `source` with librqbit and gives the first file's bytes.
async fn librqbit(source: String, peers: Vec<SocketAddr>, dht: Option<SocketAddr>) -> Vec<u8> {
    let download = async move {
        let dir = tempfile::tempdir().unwrap();
        let session = librqbit_session(dir.path(), dht).await;
        let options = AddTorrentOptions {
            initial_peers: Some(peers),
            output_folder: Some(dir.path().to_str().unwrap().to_owned()),
            ..Default::default()
        };
        let added = session.add_torrent(AddTorrent::from_url(source), Some(options)).await.unwrap();
        let handle = added.into_handle().unwrap();
        handle.wait_until_completed().await.unwrap();
        let file = handle.metadata.load().as_ref().unwrap().file_infos[0].relative_filename.clone();
        session.cancellation_token().cancel();
        std::fs::read(dir.path().join(file)).unwrap()
    };
    tokio::time::timeout(PATIENCE, WORLD.spawn(download)).await.expect("librqbit took too long").unwrap()
}

async fn librqbit_session(dir: &Path, dht: Option<SocketAddr>) -> Arc<Session> {
    let dht = dht.map(|addr| DhtSessionConfig {
        bootstrap_addrs: Some(vec![addr.to_string()]),
        port: Some(0),
        persistence: None,
    });
    let options = SessionOptions { dht, disable_local_service_discovery: true, ..Default::default() };
    Session::new_with_opts(dir.to_owned(), options).await.unwrap()
}

/// Downloads with aria2c, which knows its peers from the torrent's tracker only.
fn aria2(torrent: &Torrent) -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    let metainfo = dir.path().join("wanted.torrent");
    std::fs::write(&metainfo, torrent.metainfo()).unwrap();
    let mut client = Command::new("timeout");
    client
        .args([&PATIENCE.as_secs().to_string(), "aria2c", "--no-conf", "--quiet", "--seed-time=0"])
        .args(["--enable-dht=false", "--enable-dht6=false", "--bt-enable-lpd=false", "--disable-ipv6=true"])
        .args(["--interface=127.0.0.1", "--listen-port=30000-39999", "--file-allocation=none"])
        .arg(format!("--dir={}", dir.path().display()))
        .arg(&metainfo)
        .stdin(Stdio::null());
    let status = process::output(&mut client).status;
    assert!(status.success(), "{status}");
    std::fs::read(dir.path().join("wanted.bin")).unwrap()
}

#[tokio::test]
async fn the_scripted_peer_gives_metadata_and_data_to_librqbit() {
    let torrent = Torrent::multi("long metadata").file("only.bin", MIB).piece_length(KIB).build();
    assert!(torrent.info().len() > 16 * KIB, "one piece of metadata proves nothing about the second");
    let peer = Peer::serving(&torrent).await;
    assert_eq!(librqbit(torrent.magnet(), vec![peer.addr()], None).await, torrent.file(0));
    assert!(peer.counts().metadata_requests >= 2);
    assert_eq!(peer.counts().pieces.len(), torrent.piece_count());
}

#[tokio::test]
async fn the_scripted_peer_serves_aria2_by_way_of_the_http_tracker() {
    let peer = Peer::serving(&Torrent::single("wanted.bin", MIB).build()).await;
    let tracker = HttpTracker::start(Answer::Peers(vec![peer.addr()])).await;
    let torrent = Torrent::single("wanted.bin", MIB).tracker(tracker.url()).build();
    assert_eq!(aria2(&torrent), torrent.content());
    let announce = tracker.wait_for_announces(1).await.remove(0);
    assert_eq!(announce.info_hash, torrent.info_hash());
    assert_eq!(announce.left, MIB as u64);
    assert!(announce.port >= 30000 && announce.peer_id.starts_with(b"A2"), "{announce:?}");
}

#[tokio::test]
async fn the_udp_tracker_leads_librqbit_to_a_peer() {
    let torrent = Torrent::single("found by udp.bin", MIB).build();
    let peer = Peer::serving(&torrent).await;
    let tracker = UdpTracker::start(Answer::Peers(vec![peer.addr()])).await;
    let magnet = format!("{}&tr={}", torrent.magnet(), tracker.url());
    assert_eq!(librqbit(magnet, vec![], None).await, torrent.content());
    assert_eq!(tracker.wait_for_announces(1).await[0].info_hash, torrent.info_hash());
}

#[tokio::test]
async fn aria2_seeds_to_librqbit() {
    let torrent = Torrent::single("seeded by aria2.bin", MIB).build();
    let seeder = Aria2::seeding(&torrent);
    assert_eq!(librqbit(torrent.magnet(), vec![seeder.addr()], None).await, torrent.content());
}

#[tokio::test]
async fn a_librqbit_seeder_is_found_by_the_dht_node_alone() {
    let torrent = Torrent::single("found by dht.bin", MIB).build();
    let seeder = Seeder::start(&torrent).await;
    let dht = DhtNode::start([(torrent.info_hash(), vec![seeder.addr()])]).await;
    assert_eq!(librqbit(torrent.magnet(), vec![], Some(dht.addr())).await, torrent.content());
    dht.wait_for("get_peers").await;
}

#[tokio::test]
async fn a_seeder_comes_back_on_the_same_port() {
    let torrent = Torrent::single("comes back.bin", MIB).build();
    let mut seeder = Seeder::start(&torrent).await;
    let addr = seeder.addr();
    seeder.stop();
    seeder.resume().await;
    assert_eq!(seeder.addr(), addr);
    assert_eq!(librqbit(torrent.magnet(), vec![addr], None).await, torrent.content());
}

#[tokio::test]
async fn a_stopped_peer_refuses_and_comes_back_on_the_same_port() {
    let torrent = Torrent::single("stops.bin", 64 * KIB).build();
    let mut peer = Peer::serving(&torrent).await;
    let addr = peer.addr();
    peer.stop().await;
    let refused = tokio::net::TcpStream::connect(addr).await.unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
    peer.resume().await;
    assert_eq!(peer.addr(), addr);
    assert_eq!(librqbit(torrent.magnet(), vec![addr], None).await, torrent.content());
}

#[tokio::test]
async fn a_peer_that_stalled_goes_on_when_told_to() {
    let torrent = Torrent::single("stalls.bin", MIB).build();
    let peer = Peer::start(&torrent, Behaviour::StallAfter { blocks: 8 }).await;
    let download = tokio::spawn(librqbit(torrent.magnet(), vec![peer.addr()], None));
    peer.wait_for("eight blocks", |counts| counts.blocks == 8 && counts.requests > 8).await;
    peer.set(Behaviour::Serve);
    assert_eq!(download.await.unwrap(), torrent.content());
}

#[tokio::test]
async fn a_peer_chokes_once_and_forgets_what_was_asked() {
    let wanted = Torrent::single("wanted.bin", MIB).seed(1).build();
    let pause = Duration::from_millis(200);
    let choking = Peer::start(&wanted, Behaviour::ChokeAfter { blocks: 4, pause }).await;
    let tracker = HttpTracker::start(Answer::Peers(vec![choking.addr()])).await;
    let torrent = Torrent::single("wanted.bin", MIB).seed(1).tracker(tracker.url()).build();
    assert_eq!(aria2(&torrent), torrent.content());
    assert_eq!(choking.counts().chokes, 1);
    assert!(choking.counts().requests > torrent.block_count(), "what was forgotten is asked for again");
}

#[tokio::test]
async fn a_corrupt_peer_is_not_believed() {
    let torrent = Torrent::single("corrupt.bin", 256 * KIB).build();
    let liar = Peer::start(&torrent, Behaviour::Corrupt).await;
    let download = tokio::spawn(librqbit(torrent.magnet(), vec![liar.addr()], None));
    liar.wait_for("blocks and the end of the connection", |counts| counts.blocks > 0 && counts.open == 0)
        .await;
    assert!(!download.is_finished());
    download.abort();
}

#[tokio::test]
async fn a_closed_port_refuses() {
    let closed = ClosedPort::reserve();
    let refused = tokio::net::TcpStream::connect(closed.addr()).await.unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
}

#[test]
fn the_same_torrent_is_the_same_in_every_run() {
    let torrent = Torrent::single("stable.bin", 100_000).build();
    assert_eq!(torrent.hex(), Torrent::single("stable.bin", 100_000).build().hex());
    assert_ne!(torrent.hex(), Torrent::single("stable.bin", 100_000).seed(1).build().hex());
    assert_eq!(torrent.piece_count(), 2);
    assert_eq!(torrent.block_count(), 7);
}
