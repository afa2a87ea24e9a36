//! Torrents that are made known to `serve` before anybody plays them.

use crate::support::{
    Answer, HttpTracker, KIB, Peer, Sandbox, Serve, Torrent,
    serve::{path, succeeds},
};

#[tokio::test]
async fn a_torrent_that_was_handed_in_is_listed_and_then_found_by_its_own_tracker() {
    let plain = Torrent::single("film.mkv", 300 * KIB).build();
    let peer = Peer::serving(&plain).await;
    let tracker = HttpTracker::start(Answer::Peers(vec![peer.addr()])).await;
    let torrent = Torrent::single("film.mkv", 300 * KIB).tracker(tracker.url()).build();
    assert_eq!(torrent.hex(), plain.hex(), "trackers are not a part of the hash");
    let sandbox = Sandbox::new();
    let file = sandbox.write("film.torrent", torrent.metainfo());
    let closed = Serve::start(sandbox.serve()).await;
    let body = format!("@{}", file.display());
    let url = closed.url("/torrents");
    let refused = succeeds(sandbox.root(), &["curl", "-s", "--data-binary", &body, &url]).await;
    assert!(String::from_utf8(refused).unwrap().contains("private network"));
    assert!(!sandbox.torrent_dir(&torrent).exists());
    closed.stop().await;
    let serve = Serve::start(sandbox.serve().arg("--allow-private-peers").impatient()).await;
    let url = serve.url("/torrents");
    let told = succeeds(sandbox.root(), &["curl", "-sf", "--data-binary", &body, &url]).await;
    let told: serde_json::Value = serde_json::from_slice(&told).unwrap();
    assert_eq!((&told["name"], &told["files"][0]["length"]), (&"film.mkv".into(), &(300 * KIB).into()));
    assert_eq!(told["verified"], 0, "nothing of it was fetched");
    let answer = serve.get(&path(&torrent)).await;
    assert!(answer.status == 200 && answer.body == torrent.content(), "{}", answer.status);
    serve.stop().await;
}

#[tokio::test]
async fn a_search_is_seen_while_it_goes_on() {
    let torrent = Torrent::single("film.mkv", 300 * KIB).build();
    let peer = Peer::start(&torrent, crate::support::Behaviour::WithholdMetadata).await;
    let sandbox = Sandbox::new();
    let serve = Serve::start(sandbox.serve().peer(peer.addr())).await;
    let target = format!("/torrents/{}", torrent.hex());
    let mut looking = Box::pin(serve.ask("POST", &target, ""));
    let seen = async {
        loop {
            let answer = serve.get(&target).await;
            if answer.status == 200 && answer.text().contains("\"connected\":1") {
                break answer.text();
            }
            tokio::task::yield_now().await;
        }
    };
    let text = tokio::select! {
        seen = seen => seen,
        answer = &mut looking => panic!("too early: {}", answer.text()),
    };
    let seen: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&seen["state"], &seen["name"]), (&"searching".into(), &serde_json::Value::Null));
    peer.set(crate::support::Behaviour::Serve);
    let found = (&mut looking).await;
    drop(looking);
    assert!(found.status == 200 && found.text().contains("film.mkv"), "{}", found.text());
    serve.stop().await;
}
