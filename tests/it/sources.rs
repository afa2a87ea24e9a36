//! Every way to name a torrent, and every way to find its peers.

use crate::support::{
    Answer, Aria2, DhtNode, HttpTracker, KIB, MIB, Peer, Sandbox, Seeder, SocksProxy, Torrent, UdpTracker,
    WebServer,
    web::{Reply, Request},
};

#[tokio::test]
async fn a_bare_hash_in_hex_streams_from_a_given_peer() {
    let torrent = Torrent::single("hex.bin", MIB).build();
    let peer = Peer::serving(&torrent).await;
    let sandbox = Sandbox::new();
    sandbox.stream(torrent.hex()).peer(peer.addr()).run().await.code(0).delivered(torrent.content());
}

#[tokio::test]
async fn a_hash_may_be_upper_case() {
    let torrent = Torrent::single("upper.bin", 64 * KIB).build();
    let peer = Peer::serving(&torrent).await;
    let hash = torrent.hex().to_uppercase();
    Sandbox::new().stream(hash).peer(peer.addr()).run().await.code(0).delivered(torrent.content());
}

#[tokio::test]
async fn a_bare_hash_in_base32_streams() {
    let torrent = Torrent::single("base32.bin", 64 * KIB).build();
    let peer = Peer::serving(&torrent).await;
    let sandbox = Sandbox::new();
    sandbox.stream(torrent.base32()).peer(peer.addr()).run().await.code(0).delivered(torrent.content());
}

#[tokio::test]
async fn a_magnet_streams() {
    let torrent = Torrent::single("magnet.bin", MIB).build();
    let peer = Peer::serving(&torrent).await;
    let magnet = format!("{}&dn=some%20name&xl={MIB}", torrent.magnet());
    Sandbox::new().stream(magnet).peer(peer.addr()).run().await.code(0).delivered(torrent.content());
}

#[tokio::test]
async fn the_peers_in_a_magnet_are_dialled() {
    let torrent = Torrent::single("x.pe.bin", 64 * KIB).build();
    let peer = Peer::serving(&torrent).await;
    let magnet = format!("{}&x.pe={}", torrent.magnet(), peer.addr());
    Sandbox::new().stream(magnet).run().await.code(0).delivered(torrent.content());
}

#[tokio::test]
async fn the_trackers_in_a_magnet_are_asked() {
    let torrent = Torrent::single("tr.bin", 64 * KIB).build();
    let peer = Peer::serving(&torrent).await;
    let tracker = HttpTracker::start(Answer::Peers(vec![peer.addr()])).await;
    let magnet = format!("{}&tr={}", torrent.magnet(), tracker.url());
    Sandbox::new().stream(magnet).with_trackers().run().await.code(0).delivered(torrent.content());
    let announce = tracker.wait_for_announces(1).await.remove(0);
    assert_eq!(announce.info_hash, torrent.info_hash());
    assert_eq!(announce.peer_id.len(), 20);
    assert_ne!(announce.left, 0, "who needs everything must not look like a seed");
}

#[tokio::test]
async fn no_trackers_means_no_trackers() {
    let tracker = HttpTracker::start(Answer::empty()).await;
    let torrent = Torrent::single("no trackers.bin", MIB).tracker(tracker.url()).build();
    let peer = Peer::serving(&torrent).await;
    let magnet = format!("{}&tr={}", torrent.magnet(), tracker.url());
    let run = Sandbox::new().stream("-").stdin(torrent.metainfo()).peer(peer.addr()).run().await;
    run.code(0).delivered(torrent.content());
    Sandbox::new().stream(magnet).peer(peer.addr()).run().await.code(0).delivered(torrent.content());
    assert!(tracker.announces().is_empty(), "{:?}", tracker.announces());
}

#[tokio::test]
async fn a_private_torrent_is_told_to_its_own_trackers_alone() {
    let wanted = Torrent::single("private.bin", MIB).private().build();
    let peer = Peer::serving(&wanted).await;
    let own = HttpTracker::start(Answer::Peers(vec![peer.addr()])).await;
    let other = HttpTracker::start(Answer::Peers(vec![peer.addr()])).await;
    let dht = DhtNode::start([(wanted.info_hash(), vec![peer.addr()])]).await;
    let torrent = Torrent::single("private.bin", MIB).private().tracker(own.url()).build();
    let run = Sandbox::new().stream("-").stdin(torrent.metainfo()).tracker(other.url()).dht(dht.addr());
    run.run().await.code(0).delivered(torrent.content());
    assert!(!own.announces().is_empty());
    assert!(other.announces().is_empty(), "{:?}", other.announces());
    assert!(!dht.queries().contains_key("get_peers"), "{:?}", dht.queries());
}

#[tokio::test]
async fn the_selection_in_a_magnet_chooses_the_file() {
    let torrent = Torrent::multi("so").file("a.mkv", 64 * KIB).file("b.txt", 1000).build();
    let peer = Peer::serving(&torrent).await;
    let magnet = format!("{}&so=1", torrent.magnet());
    Sandbox::new().stream(magnet).peer(peer.addr()).run().await.code(0).delivered(torrent.file(1));
}

#[tokio::test]
async fn a_torrent_file_streams_without_asking_peers_for_metadata() {
    let torrent = Torrent::single("file.bin", MIB).build();
    let peer = Peer::serving(&torrent).await;
    let sandbox = Sandbox::new();
    sandbox.write("given.torrent", torrent.metainfo());
    sandbox.stream("given.torrent").peer(peer.addr()).run().await.code(0).delivered(torrent.content());
    assert_eq!(peer.counts().metadata_requests, 0);
}

#[tokio::test]
async fn a_torrent_from_a_url_streams() {
    let torrent = Torrent::single("url.bin", MIB).build();
    let peer = Peer::serving(&torrent).await;
    let server = WebServer::serving(torrent.metainfo()).await;
    let source = server.url("dir/given.torrent");
    Sandbox::new().stream(source).peer(peer.addr()).run().await.code(0).delivered(torrent.content());
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn a_torrent_on_stdin_streams() {
    let torrent = Torrent::single("stdin.bin", MIB).build();
    let peer = Peer::serving(&torrent).await;
    let run = Sandbox::new().stream("-").stdin(torrent.metainfo()).peer(peer.addr()).run().await;
    run.code(0).delivered(torrent.content());
}

#[tokio::test]
async fn the_trackers_of_a_torrent_file_are_asked() {
    let wanted = Torrent::single("announce.bin", 64 * KIB).build();
    let peer = Peer::serving(&wanted).await;
    let tracker = HttpTracker::start(Answer::Peers(vec![peer.addr()])).await;
    let torrent = Torrent::single("announce.bin", 64 * KIB).tracker(tracker.url()).build();
    let run = Sandbox::new().stream("-").stdin(torrent.metainfo()).with_trackers().run().await;
    run.code(0).delivered(torrent.content());
}

#[tokio::test]
async fn a_tracker_that_failed_or_knew_nobody_is_asked_again_in_the_next_round() {
    for answer in [Answer::ServerError, Answer::empty()] {
        let torrent = Torrent::single("asked again.bin", 64 * KIB).build();
        let peer = Peer::serving(&torrent).await;
        let tracker = HttpTracker::start(answer).await;
        let run = Sandbox::new().stream(torrent.hex()).tracker(tracker.url()).args(["--peer-timeout", "20s"]);
        let run = run.spawn();
        tracker.wait_for_announces(1).await;
        tracker.set(Answer::Peers(vec![peer.addr()]));
        run.finish().await.code(0).delivered(torrent.content());
    }
}

#[tokio::test]
async fn the_environment_speaks_for_flags_and_flags_speak_louder() {
    let torrent = Torrent::single("env.bin", 64 * KIB).build();
    let (named, given) = (Peer::serving(&torrent).await, Peer::serving(&torrent).await);
    let sandbox = Sandbox::new();
    let stream =
        || sandbox.stream(torrent.hex()).arg("--remove").env("SWARMCAT_PEER", named.addr().to_string());
    stream().run().await.code(0).delivered(torrent.content());
    assert!(named.counts().connections > 0);
    let before = named.counts().connections;
    stream().peer(given.addr()).run().await.code(0).delivered(torrent.content());
    assert_eq!(named.counts().connections, before);
}

#[tokio::test]
async fn a_udp_tracker_leads_to_a_peer() {
    let torrent = Torrent::single("udp.bin", 64 * KIB).build();
    let peer = Peer::serving(&torrent).await;
    let tracker = UdpTracker::start(Answer::Peers(vec![peer.addr()])).await;
    let run = Sandbox::new().stream(torrent.hex()).tracker(tracker.url()).run().await;
    run.code(0).delivered(torrent.content());
    assert_eq!(tracker.wait_for_announces(1).await[0].info_hash, torrent.info_hash());
}

#[tokio::test]
async fn the_dht_alone_leads_to_a_peer() {
    let torrent = Torrent::single("dht.bin", MIB).build();
    let seeder = Seeder::start(&torrent).await;
    let dht = DhtNode::start([(torrent.info_hash(), vec![seeder.addr()])]).await;
    let run = Sandbox::new().stream(torrent.hex()).dht(dht.addr()).run().await;
    run.code(0).delivered(torrent.content());
}

#[tokio::test]
async fn a_search_asks_no_tracker_before_its_time() {
    let torrent = Torrent::single("later.bin", MIB).build();
    let (later, own) = (HttpTracker::start(Answer::Later).await, HttpTracker::start(Answer::empty()).await);
    let private = Torrent::single("private.bin", MIB).private().tracker(own.url()).build();
    let again = HttpTracker::start(Answer::empty()).await;
    let sandbox = Sandbox::new();
    let run = sandbox.stream(torrent.hex()).tracker(later.url()).tracker(again.url()).impatient();
    run.run().await.code(4);
    let run = sandbox.stream("-").stdin(private.metainfo()).with_trackers().impatient();
    run.run().await.code(4);
    assert_eq!((later.announces().len(), own.announces().len()), (1, 1));
    let started = |request: &Request| request.parameter("event").is_some();
    let starts: Vec<bool> = again.requests().iter().map(started).collect();
    assert!(starts.len() > 1 && starts.iter().position(|started| !started) == Some(1), "{starts:?}");
}

#[tokio::test]
async fn nothing_goes_around_a_proxy() {
    let torrent = Torrent::single("proxied.bin", MIB).build();
    let peer = Peer::serving(&torrent).await;
    let (proxy, dht) = (SocksProxy::start().await, DhtNode::start([]).await);
    let http = HttpTracker::start(Answer::Peers(vec![peer.addr()])).await;
    let udp = UdpTracker::start(Answer::Peers(vec![peer.addr()])).await;
    let named = HttpTracker::start(Answer::empty()).await;
    let name = format!("localhost:{}", named.addr().port());
    let run = Sandbox::new().stream(torrent.hex()).dht(dht.addr()).tracker(http.url()).tracker(udp.url());
    let run = run.tracker(format!("http://{name}/announce")).args(["--proxy", &proxy.url()]);
    run.run().await.code(0).delivered(torrent.content());
    let through = |to: String| proxy.targets().iter().filter(|target| **target == to).count();
    assert_eq!(through(peer.addr().to_string()), peer.counts().connections);
    assert_eq!(through(http.addr().to_string()), http.announces().len());
    // It is the proxy that looks names up.
    assert_eq!(through(name), named.announces().len());
    assert_eq!(through(named.addr().to_string()), 0);
    assert!(dht.queries().is_empty(), "the DHT goes around a proxy: {:?}", dht.queries());
    assert!(udp.announces().is_empty(), "UDP trackers go around a proxy: {:?}", udp.announces());
}

#[tokio::test]
async fn aria2_is_streamed_from() {
    let torrent = Torrent::multi("by aria2").file("small.txt", 100).file("film.mkv", 4 * MIB).build();
    let seeder = Aria2::seeding(&torrent);
    let run = Sandbox::new().stream(torrent.magnet()).peer(seeder.addr()).run().await;
    run.code(0).delivered(torrent.file(1));
}

#[tokio::test]
async fn three_unequal_librqbit_seeders_are_streamed_from() {
    let torrent = Torrent::single("by three.mkv", 8 * MIB).piece_length(256 * KIB).build();
    let slow = Seeder::with_upload_limit(&torrent, 256 * KIB as u32);
    let (one, two, three) = tokio::join!(Seeder::start(&torrent), Seeder::start(&torrent), slow);
    let run = Sandbox::new().stream(torrent.hex()).peer(one.addr()).peer(two.addr()).peer(three.addr());
    run.run().await.code(0).delivered(torrent.content());
}

#[tokio::test]
async fn what_is_no_torrent_is_refused_before_anything_else() {
    let sandbox = Sandbox::new();
    for source in ["zebra", &"g".repeat(40), &"a".repeat(39), "magnet:?dn=nothing", ""] {
        sandbox.stream(source).run().await.code(6);
    }
    assert!(sandbox.failed().is_empty());
}

#[tokio::test]
async fn a_v2_hash_or_magnet_is_told_apart() {
    let sandbox = Sandbox::new();
    let v2 = "ab".repeat(32);
    for source in [v2.clone(), format!("magnet:?xt=urn:btmh:1220{v2}")] {
        sandbox.stream(source).run().await.code(6).says("v2");
    }
}

#[tokio::test]
async fn a_url_that_is_no_torrent_is_a_bad_source() {
    let sandbox = Sandbox::new();
    let page = WebServer::serving("<html>not found, but politely</html>").await;
    sandbox.stream(page.url("x.torrent")).run().await.code(6);
    let flood = WebServer::start(|_| Reply::Flood).await;
    sandbox.stream(flood.url("x.torrent")).run().await.code(6);
    let missing = WebServer::start(|_| Reply::Status(404)).await;
    sandbox.stream(missing.url("x.torrent")).run().await.code(6).says("404");
}

#[tokio::test]
async fn a_url_that_redirects_for_ever_is_a_bad_source() {
    let loops = WebServer::start(|_| Reply::Redirect("/again".into())).await;
    Sandbox::new().stream(loops.url("x.torrent")).run().await.code(6);
    assert!(loops.requests().len() <= 4, "three redirects at most");
}

#[tokio::test]
async fn a_url_is_not_redirected_to_a_name_that_leads_inside_unless_it_is_its_own() {
    let torrent = Torrent::single("redirected.bin", MIB).build();
    let sandbox = Sandbox::new();
    let hosts = sandbox.write("hosts", b"127.0.0.1 named.test inside.test localhost\n");
    let inside = WebServer::serving(torrent.metainfo()).await;
    let port = inside.addr().port();
    for (own, to, code) in [
        ("named.test", "inside.test", 6),
        ("named.test", "named.test", 0),
        ("127.0.0.1", "inside.test", 0),
        ("named.test", "127.0.0.1", 6),
    ] {
        let location = format!("http://{to}:{port}/x.torrent");
        let outside = WebServer::start(move |_| Reply::Redirect(location.clone())).await;
        let url = format!("http://{own}:{}/x.torrent", outside.addr().port());
        let before = inside.requests().len();
        let listed = sandbox.stream(url).arg("-l").with_hosts(&hosts).run().await.code(code);
        assert_eq!(inside.requests().len() - before, usize::from(code == 0), "{own} to {to}");
        if code != 0 {
            listed.says("private");
        }
    }
}
