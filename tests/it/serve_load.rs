//! `serve` and many at once who want the same, or who leave before they have it.

use std::time::Duration;

use rand::{Rng, SeedableRng, rngs::StdRng};
use tokio::{io::AsyncReadExt, task::JoinSet};

use crate::support::{Answer, Behaviour, HttpTracker, KIB, MIB, Peer, Sandbox, Serve, Torrent, serve::path};

const DEAD: &str = "453475aec9bb4de3423649db8aa3cd2312538ca7";

#[tokio::test]
async fn a_dead_torrent_is_one_failure_for_all_who_ask_at_once() {
    let tracker = HttpTracker::start(Answer::empty()).await;
    let sandbox = Sandbox::new();
    let serve = Serve::start(sandbox.serve().tracker(tracker.url()).impatient()).await;
    let target = format!("/stream/proxy/{DEAD}");
    let asking = (0..10).map(|_| serve.get(&target));
    for answer in futures_util::future::join_all(asking).await {
        let outcome = (answer.status, answer.kind());
        let expected = [(404, "no_peers".to_owned()), (503, "cooldown".to_owned())];
        assert!(expected.contains(&outcome), "{outcome:?}");
    }
    assert_eq!(sandbox.only_failed().attempts, 1);
    serve.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_of_seeks_leaves_nothing_behind_and_every_byte_is_right() {
    const CLIENTS: u64 = 20;
    let torrent = Torrent::single("film.mkv", 8 * MIB).build();
    let peer = Peer::serving(&torrent).await;
    let sandbox = Sandbox::new();
    let serve = Serve::start(sandbox.serve().peer(peer.addr())).await;
    assert!(serve.get(&path(&torrent)).await.body == torrent.content());
    serve.settles("swarmcat_readers", 0.0).await;
    // The one that asks is the only connection left.
    serve.settles("swarmcat_connections", 1.0).await;
    let files = serve.files();

    let address = serve.address;
    let mut clients = JoinSet::new();
    for seed in 0..CLIENTS {
        let (torrent, mut rng) = (torrent.clone(), StdRng::seed_from_u64(seed));
        clients.spawn(async move {
            for _ in 0..20 {
                let start = rng.random_range(0..8 * MIB - 256 * KIB);
                let head = format!("Host: {address}\r\nConnection: close\r\nRange: bytes={start}-\r\n\r\n");
                let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
                let request = format!("GET {} HTTP/1.1\r\n{head}", path(&torrent));
                tokio::io::AsyncWriteExt::write_all(&mut stream, request.as_bytes()).await.unwrap();
                let mut answer = Vec::new();
                while !answer.ends_with(b"\r\n\r\n") {
                    answer.push(stream.read_u8().await.unwrap());
                }
                assert!(answer.starts_with(b"HTTP/1.1 206"));
                let mut bytes = vec![0; rng.random_range(0..256 * KIB)];
                stream.read_exact(&mut bytes).await.unwrap();
                assert!(torrent.content()[start..].starts_with(&bytes), "from {start}");
            }
        });
    }
    while let Some(client) = clients.join_next().await {
        client.unwrap();
    }
    serve.settles("swarmcat_readers", 0.0).await;
    serve.settles("swarmcat_connections", 1.0).await;
    let report = serve.json("GET", &format!("/torrents/{}", torrent.hex())).await;
    assert_eq!(report["readers"], 0);
    let left = serve.files();
    assert!(left <= files + 2, "{left} files are open, {files} were");
    assert_eq!(serve.metric("swarmcat_panics_total").await, 0.0);
    serve.stop().await;
}

#[tokio::test]
async fn a_reader_that_leaves_a_torrent_that_comes_slowly_is_gone_within_a_second() {
    let torrent = Torrent::single("film.mkv", 8 * MIB).build();
    let peer = Peer::start(&torrent, Behaviour::StallAfter { blocks: 8 }).await;
    let sandbox = Sandbox::new();
    let serve = Serve::start(sandbox.serve().peer(peer.addr())).await;
    let mut playing = serve.send("GET", &path(&torrent), "").await;
    playing.read_exact(&mut [0; 1000]).await.unwrap();
    serve.settles("swarmcat_readers", 1.0).await;
    drop(playing);
    let took = serve.settles("swarmcat_readers", 0.0).await;
    assert!(took < Duration::from_secs(1), "{took:?}");
    serve.stop().await;
}
