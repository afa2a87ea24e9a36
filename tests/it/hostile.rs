//! Torrents, peers and trackers that mean harm: names stay inside the directory and print harmlessly, the wrong
//! protocol ends in a clean error, and nothing panics.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::{
    Answer, Behaviour, Figures, HttpTracker, KIB, MIB, PATIENCE, Peer, Row, Sandbox, Serve, Stdout, Torrent,
    serve::path,
};

const BOM: &[u8] = b"\xef\xbb\xbf";

/// Multi-file torrents whose first file has a name of the kind.
fn hostile_torrents() -> Vec<(&'static str, Torrent)> {
    let component = |name: &[u8]| vec![name.to_vec(), b"film.mkv".to_vec()];
    let paths: Vec<(&'static str, Vec<Vec<u8>>)> = vec![
        ("bom and dots", component(&[BOM, b".."].concat())),
        ("only bom and dots", vec![[BOM, b".."].concat()]),
        ("NUL", component(b"a\0b")),
        ("escape sequence", component(b"\x1b[2J\x1b]0;owned\x07")),
        ("carriage return and newline", component(b"fine\r\nswarmcat: all is well")),
        ("300 bytes", vec![[&b"x".repeat(300)[..], b".mkv"].concat()]),
        ("right to left", vec!["film\u{202e}vkm.exe".as_bytes().to_vec()]),
        ("not UTF-8", component(b"\xff\xfe.\0.\0")),
        ("looks like ours", vec![b"have.json".to_vec()]),
        ("a leading dash", vec![b"-rf.mkv".to_vec()]),
    ];
    let build = |(kind, path)| {
        let torrent = Torrent::multi(kind).raw_file(path, 100 * KIB).file("other.txt", KIB).build();
        (kind, torrent)
    };
    paths.into_iter().map(build).collect()
}

/// Every path below `dir`, links not followed.
fn everything_below(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![dir.to_owned()];
    while let Some(dir) = open.pop() {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && !path.is_symlink() {
                open.push(path.clone());
            }
            found.push(path);
        }
    }
    found
}

/// No control characters and nothing that turns text around.
fn is_harmless(text: &str) -> bool {
    let turns = |c: char| matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}');
    !text.chars().any(|c| (c.is_control() && c != '\n') || turns(c))
}

#[tokio::test]
async fn hostile_names_stay_inside_the_directory() {
    let streams = hostile_torrents().into_iter().map(|(kind, torrent)| stays_inside(kind, torrent));
    futures_util::future::join_all(streams).await;
}

async fn stays_inside(kind: &str, torrent: Torrent) {
    let peer = Peer::serving(&torrent).await;
    let sandbox = Sandbox::new();
    let run = sandbox.stream(torrent.hex()).peer(peer.addr()).args(["-i", "0"]).run().await;
    assert!(run.exit == 0 || run.exit == 6, "{kind}: {}", run.report());
    assert!(is_harmless(&run.stderr_text()), "{kind}: {:?}", run.stderr);
    if run.exit == 0 {
        run.delivered(torrent.file(0));
    }
    for path in everything_below(sandbox.root()) {
        let ours = path.starts_with(sandbox.torrent_dir(&torrent));
        let big = |path: &Path| {
            std::fs::metadata(path).is_ok_and(|it| it.is_file() && it.len() >= 100 * KIB as u64)
        };
        assert!(ours || !big(&path), "{kind}: {}", path.display());
    }
}

#[tokio::test]
async fn hostile_names_print_harmlessly() {
    for (kind, torrent) in hostile_torrents() {
        let sandbox = Sandbox::new();
        for form in [vec!["-l"], vec!["-l", "--json"]] {
            let run = sandbox.stream("-").stdin(torrent.metainfo()).args(&form).run().await;
            assert!(run.exit == 0 || run.exit == 6, "{kind}: {}", run.report());
            assert!(is_harmless(&run.stdout_text()), "{kind}: {:?}", run.stdout_text());
            assert!(is_harmless(&run.stderr_text()), "{kind}: {:?}", run.stderr_text());
        }
    }
}

#[tokio::test]
async fn names_that_climb_out_are_refused_or_kept_in() {
    for path in
        [vec!["..", "..", "work", "planted"], vec!["/etc/planted"], vec!["a/../../planted"], vec![".."]]
    {
        let path: Vec<Vec<u8>> = path.into_iter().map(|component| component.as_bytes().to_vec()).collect();
        let torrent = Torrent::multi("climbs").raw_file(path, 100 * KIB).file("other.txt", KIB).build();
        let peer = Peer::serving(&torrent).await;
        let sandbox = Sandbox::new();
        let run = sandbox.stream(torrent.hex()).peer(peer.addr()).args(["-i", "0"]).impatient().run().await;
        assert!(run.exit == 0 || run.exit == 6, "{}", run.report());
        let planted = everything_below(sandbox.root()).into_iter().find(|path| path.ends_with("planted"));
        assert_eq!(planted, None);
    }
}

#[tokio::test]
async fn metadata_before_the_handshake_ends_in_a_clean_error() {
    let torrent = Torrent::single("too early.bin", 64 * KIB).build();
    let peer = Peer::start(&torrent, Behaviour::MetadataBeforeHandshake).await;
    let run = Sandbox::new().stream(torrent.hex()).peer(peer.addr()).impatient().run().await;
    assert!([0, 4, 5].contains(&run.exit), "{}", run.report());
    let exit = run.exit;
    run.code(exit);
}

#[tokio::test]
async fn metadata_of_two_gigabytes_ends_in_a_clean_error() {
    let torrent = Torrent::single("huge metadata.bin", 64 * KIB).build();
    let peer = Peer::start(&torrent, Behaviour::HugeMetadataSize).await;
    let run = Sandbox::new().stream(torrent.hex()).peer(peer.addr()).impatient().run().await;
    assert!([4, 5, 6].contains(&run.exit), "{}", run.report());
    let exit = run.exit;
    run.code(exit);
}

#[tokio::test]
async fn a_hostile_peer_does_not_spoil_an_honest_one() {
    let hostile = [
        Behaviour::MetadataBeforeHandshake,
        Behaviour::HugeMetadataSize,
        Behaviour::WrongInfoHash,
        Behaviour::ResetAfterHandshake,
        Behaviour::SilentAccept,
        Behaviour::NeverUnchoke,
        Behaviour::WithholdMetadata,
    ];
    futures_util::future::join_all(hostile.map(is_survived)).await;
}

async fn is_survived(behaviour: Behaviour) {
    let torrent = Torrent::single(format!("{behaviour:?}.bin"), 256 * KIB).build();
    let (bad, good) = (Peer::start(&torrent, behaviour).await, Peer::serving(&torrent).await);
    let run = Sandbox::new().stream(torrent.hex()).peer(bad.addr()).peer(good.addr()).run().await;
    run.code(0).delivered(torrent.content());
}

#[tokio::test]
async fn a_peer_that_resets_every_connection_ends_in_a_clean_error() {
    let torrent = Torrent::single("resets.bin", 64 * KIB).build();
    let peer = Peer::start(&torrent, Behaviour::ResetAfterHandshake).await;
    let sandbox = Sandbox::new();
    let run = sandbox.stream(torrent.hex()).peer(peer.addr()).impatient().run().await;
    let kind = sandbox.only_failed().kind;
    assert!(
        matches!((run.exit, kind.as_str()), (4, "connection_error") | (5, "timeout")),
        "{}",
        run.report()
    );
}

#[tokio::test]
async fn a_link_planted_in_the_temp_directory_is_not_followed() {
    let torrent = Torrent::single("linked.bin", 100 * KIB).build();
    let peer = Peer::serving(&torrent).await;
    let sandbox = Sandbox::new();
    let victim = sandbox.write("victim", b"precious");
    std::fs::create_dir(sandbox.torrent_dir(&torrent)).unwrap();
    std::os::unix::fs::symlink(&victim, sandbox.torrent_dir(&torrent).join("0-linked.bin")).unwrap();
    let run = sandbox.stream(torrent.hex()).peer(peer.addr()).run().await;
    assert!(run.exit == 0 || run.exit == 7, "{}", run.report());
    assert_eq!(std::fs::read(victim).unwrap(), b"precious");
}

#[tokio::test]
async fn a_tracker_that_never_stops_talking_is_not_listened_to() {
    let torrent = Torrent::single("flooded.bin", 2 * MIB).build();
    // The stream takes two seconds, in which the tracker could talk for hundreds of mebibytes.
    let peer = Peer::start(&torrent, Behaviour::Rate { bytes_per_second: MIB as u32 }).await;
    let tracker = HttpTracker::start(Answer::Flood).await;
    let run = Sandbox::new().stream(torrent.hex()).tracker(tracker.url()).peer(peer.addr()).run().await;
    run.code(0).delivered(torrent.content());
    let taken = tracker.wait_for_floods(tracker.announces().len()).await;
    // What the sockets' buffers hold counts as taken: a few mebibytes.
    assert!(taken.iter().all(|taken| *taken < 32 * MIB), "{taken:?}");
}

/// A search whose tracker floods it takes no more memory than one whose tracker is in order.
#[tokio::test]
async fn what_a_flood_of_a_tracker_takes_is_little() {
    let mut row = Row::new("F7", 1);
    for number in 0..row.times() {
        row.telling_case(number, async |seen| {
            let (plain, flooded) = (peak(Answer::empty()).await, peak(Answer::Flood).await);
            seen.saw((flooded - plain).max(0.0), "MiB more");
            assert!(flooded - plain <= 10.0, "{flooded} MiB, {plain} without");
        })
        .await;
    }
    row.end();
}

/// The most memory that a search has had which asks this tracker alone, in MiB.
async fn peak(answer: Answer) -> f64 {
    let torrent = Torrent::single("flooded.bin", MIB).build();
    let tracker = HttpTracker::start(answer).await;
    let run = Sandbox::new().stream(torrent.hex()).tracker(tracker.url()).impatient().spawn();
    tracker.wait_for_announces(1).await;
    // Time for the tracker to talk; the search itself is given two seconds.
    tokio::time::sleep(Duration::from_millis(1500)).await;
    let peak = memory(run.pid(), "VmHWM:");
    let ended = run.finish().await.exit;
    assert!([4, 9].contains(&ended), "{ended}");
    peak
}

#[tokio::test]
async fn peers_that_only_keep_the_line_alive_do_not_keep_a_search_from_the_others() {
    let torrent = Torrent::single("kept waiting.bin", 256 * KIB).build();
    // As many as are dialled at once.
    let talkers = (0..64).map(|_| Peer::start(&torrent, Behaviour::ByteASecond));
    let talkers = futures_util::future::join_all(talkers).await;
    let good = Peer::serving(&torrent).await;
    let sandbox = Sandbox::new();
    let asked = talkers.iter().fold(sandbox.stream(torrent.hex()), |run, peer| run.peer(peer.addr()));
    asked.peer(good.addr()).run().await.code(0).delivered(torrent.content());
}

/// What a peer can do wrong on the wire after a handshake that is in order.
fn wire_crimes() -> Vec<Behaviour> {
    vec![
        Behaviour::ChokeStorm { every: 1 },
        Behaviour::HaveFlood,
        Behaviour::Nonsense,
        Behaviour::EndlessMessage,
        Behaviour::WrongAhead,
        Behaviour::BlocksOutside,
        Behaviour::ByteASecond,
        Behaviour::Corrupt,
        Behaviour::SilentAccept,
        Behaviour::NeverUnchoke,
        Behaviour::Names("127.0.0.1:1".parse().unwrap()),
    ]
}

/// Beside a good one it changes no byte and does not end the stream; alone it ends in a clean error, or in the bytes.
async fn commits(behaviour: Behaviour, seen: &mut Figures) {
    let torrent = Torrent::single(format!("{behaviour:?}.bin"), MIB).piece_length(128 * KIB).build();
    let (bad, good) = (Peer::start(&torrent, behaviour).await, Peer::serving(&torrent).await);
    let run = Sandbox::new().stream(torrent.hex()).peer(bad.addr()).peer(good.addr()).run().await;
    seen.took(run.took);
    run.code(0).delivered(torrent.content());
    let run = Sandbox::new().stream(torrent.hex()).peer(bad.addr()).impatient().run().await;
    assert!([0, 4, 5].contains(&run.exit), "{}", run.report());
    assert!(torrent.content().starts_with(&run.stdout) && (run.exit != 0 || !run.stdout.is_empty()));
    let exit = run.exit;
    run.code(exit);
}

#[tokio::test]
async fn nothing_that_a_peer_says_changes_a_byte_or_hangs() {
    let mut row = Row::new("B7", 1);
    for _ in 0..row.times() {
        for behaviour in wire_crimes() {
            row.telling_case(format!("{behaviour:?}"), async |seen| commits(behaviour, seen).await).await;
        }
    }
    row.end();
}

/// A line of `/proc/PID/status` that counts KiB, in MiB.
fn memory(pid: i32, key: &str) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(key)).unwrap();
    line.trim().trim_end_matches(" kB").parse::<f64>().unwrap() / 1024.0
}

#[tokio::test]
async fn strangers_at_the_listening_port_cost_no_memory() {
    let mut row = Row::new("B8", 300);
    let torrent = Torrent::single("listening.bin", MIB).build();
    let peer = Peer::start(&torrent, Behaviour::NeverUnchoke).await;
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let sandbox = Sandbox::new();
    let run =
        sandbox.stream(torrent.hex()).peer(peer.addr()).args(["--listen-port", &port.to_string()]).spawn();
    peer.wait_for("interest", |counts| counts.interested > 0).await;
    let knock = |number: u32| async move {
        let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        let hello = [b"\x13BitTorrent protocol".as_slice(), &[0; 8], &[7; 20], &[8; 20]].concat();
        let said = match number % 4 {
            0 => vec![0xff; 512],
            1 => hello,
            2 => hello[..30].to_vec(),
            _ => Vec::new(),
        };
        let _ = stream.write_all(&said).await;
        let _ = stream.shutdown().await;
        // Whatever it says, it ends.
        let _ = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut Vec::new())).await.unwrap();
    };
    for number in 0..200 {
        knock(number).await;
    }
    let before = memory(run.pid(), "VmRSS:");
    for number in 0..row.times() {
        row.case(number, knock(number)).await;
    }
    let grown = memory(run.pid(), "VmRSS:") - before;
    row.saw(grown.max(0.0), "MiB more");
    row.case("memory", async { assert!(grown < 8.0, "{grown} MiB more") }).await;
    peer.set(Behaviour::Serve);
    run.finish().await.code(0).delivered(torrent.content());
    row.end();
}

/// What a name can hold that means something to a terminal, a header, a playlist, a page, a shell or a file system.
fn hostile_names() -> Vec<Vec<u8>> {
    let texts = [
        "\x1b[2J",
        "\x1b]0;owned\x07",
        "\x1b[31mred",
        "a\rb",
        "a\nb",
        "a\r\nSet-Cookie: a=b",
        "a\tb",
        "a\x08b",
        "\x07",
        "a\0b",
        "\x7f",
        "\u{9b}31m",
        "\u{85}",
        "\u{202e}vkm",
        "\u{2066}a",
        "\u{200b}",
        "\u{feff}a",
        "\u{2028}a",
        "\"quoted\"",
        "back\\slash",
        "semi;colon",
        "%0d%0aX: y",
        "%00",
        "#EXTM3U",
        "#EXTINF:1,x",
        "http://evil/x",
        "<script>x</script>",
        "&lt;b&gt;",
        "'; rm -rf ~",
        "$(id)",
        "`id`",
        "-rf",
        "..",
        "....//",
        "CON",
        "have.json",
        "名前",
        "é".repeat(200).leak() as &str,
    ];
    let mut names: Vec<Vec<u8>> = texts.iter().map(|text| text.as_bytes().to_vec()).collect();
    names.extend([b"\xff\xfe.\0.\0".to_vec(), b"\xc3\x28\xa0".to_vec()]);
    names
}

/// What a terminal shows: colours may be ours, everything else would be the torrent's.
fn without_colours(text: &str) -> String {
    let mut parts = text.split("\x1b[");
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end =
            part.find(|c: char| !(c.is_ascii_digit() || c == ';')).filter(|&end| &part[end..=end] == "m");
        plain.push_str(&part[end.expect("nothing but colours") + 1..]);
    }
    plain.replace("\r\n", "\n")
}

/// One name in everything that a server and a command line say.
async fn comes_out_harmless(name: Vec<u8>, serve: &Serve) {
    let file = [&name[..], b".mkv"].concat();
    let torrent = Torrent::multi(&name).raw_file(vec![file], 64 * KIB).build();
    let handed_in = hand_in(serve, torrent.metainfo()).await;
    if handed_in.status == 400 {
        return assert_eq!(handed_in.kind(), "bad_request", "{}", handed_in.text());
    }
    assert!(!handed_in.text().chars().any(char::is_control), "JSON: {}", handed_in.text());
    let head = serve.ask("HEAD", &path(&torrent), "").await;
    assert_eq!(head.status, 200);
    let plain = |value: &String| value.bytes().all(|byte| (0x20..0x7f).contains(&byte));
    assert!(
        head.headers.values().all(plain) && !head.headers.contains_key("set-cookie"),
        "{:?}",
        head.headers
    );
    let list = serve.get(&format!("/playlist/{}.m3u8", torrent.hex())).await.text();
    let lines: Vec<_> = list.lines().collect();
    assert!(lines.len() == 3 && lines[0] == "#EXTM3U" && lines[1].starts_with("#EXTINF:"), "{list:?}");
    assert!(lines[2].starts_with("http://127.0.0.1") && is_harmless(&list), "{list:?}");
    let metrics = serve.get("/metrics").await.text();
    assert!(metrics.is_ascii() && metrics.ends_with("# EOF\n"), "{metrics}");
    let sandbox = Sandbox::new();
    let shown = sandbox.stream("-").stdin(torrent.metainfo()).arg("-l").stdout(Stdout::Terminal).run().await;
    assert!(is_harmless(&without_colours(&shown.code(0).stdout_text())), "a terminal");
    let peer = Peer::serving(&torrent).await;
    let run = sandbox.stream(torrent.hex()).peer(peer.addr()).arg("-vv").run().await.code(0);
    assert!(is_harmless(&run.stderr_text()), "a log: {:?}", run.stderr);
    run.delivered(torrent.content());
    for path in everything_below(&sandbox.temp()) {
        let name = path.file_name().unwrap().to_str().expect("a name in UTF-8");
        assert!(is_harmless(name) && !name.starts_with('-'), "a path: {name:?}");
    }
}

async fn hand_in(serve: &Serve, metainfo: &[u8]) -> crate::support::serve::Answer {
    let mut stream =
        serve.send("POST", "/torrents", &format!("Content-Length: {}\r\n", metainfo.len())).await;
    stream.write_all(metainfo).await.unwrap();
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.unwrap();
    crate::support::serve::Answer::parse(&bytes)
}

#[tokio::test]
async fn forty_hostile_names_are_harmless_wherever_they_come_out() {
    let mut row = Row::new("B6", 10);
    let sandbox = Sandbox::new();
    let serve = sandbox.serve().args(["-vv", "--no-trackers", "--starts-per-minute", "1000"]);
    let serve = Serve::start(serve).await;
    let names = hostile_names();
    assert_eq!(names.len(), 40);
    for name in names.into_iter().cycle().take(row.times() as usize) {
        row.timed_case(name.escape_ascii(), comes_out_harmless(name.clone(), &serve)).await;
    }
    let log = serve.run.stderr();
    row.case("the server's log", async { assert!(log.iter().all(|line| is_harmless(line)), "{log:?}") })
        .await;
    serve.stop().await;
    row.end();
}
