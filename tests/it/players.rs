//! Real players: started by `stream --open`, and pointed at `serve`.

use std::{
    fs::Permissions,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use serde_json::{Value as Json, json};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::{
        UnixStream,
        unix::{OwnedReadHalf, OwnedWriteHalf},
    },
    time::timeout,
};

use crate::support::{
    Behaviour, KIB, PATIENCE, Peer, Sandbox, Seeder, Serve, Torrent,
    serve::{film, path, program, succeeds},
    torrent::TorrentBuilder,
};

const SUBTITLES: &str = "1\n00:00:00,000 --> 00:00:29,000\nHello there\n";

/// A film of half a minute, subtitles in a folder beside it, and subtitles of another film.
async fn film_with_subtitles() -> Torrent {
    let film = film("mkv", &["-c:v", "mpeg4", "-c:a", "flac"]).await;
    let other = vec![0; 10];
    Torrent::multi("A film")
        .file("Subs/film.en.srt", SUBTITLES.len())
        .file("film.mkv", film.len())
        .file("other.mkv", other.len())
        .file("other.srt", SUBTITLES.len())
        .piece_length(16 * KIB)
        .bytes([SUBTITLES.as_bytes(), &film, &other, SUBTITLES.as_bytes()].concat())
        .build()
}

/// A directory that players which must not run as root can use as well.
fn common_room() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::fs::set_permissions(dir.path(), Permissions::from_mode(0o777)).unwrap();
    dir
}

/// Connects to a player's socket as soon as there is one.
async fn connect(socket: &Path, alive: impl Fn() -> bool) -> UnixStream {
    let connecting = async {
        loop {
            match UnixStream::connect(socket).await {
                Ok(stream) => return stream,
                Err(error) => assert!(alive(), "the player ended: {error}"),
            }
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, connecting).await.expect("the player opened no socket in time")
}

/// mpv, by its JSON interface.
struct Mpv {
    told: BufReader<OwnedReadHalf>,
    say: OwnedWriteHalf,
}

impl Mpv {
    fn on(stream: UnixStream) -> Self {
        let (told, say) = stream.into_split();
        Self { told: BufReader::new(told), say }
    }

    async fn say(&mut self, command: Json) {
        let line = json!({ "command": command }).to_string() + "\n";
        self.say.write_all(line.as_bytes()).await.unwrap();
    }

    /// The next thing it says that satisfies `condition`.
    async fn hear(&mut self, what: &str, condition: impl Fn(&Json) -> bool) -> Json {
        let hearing = async {
            loop {
                let mut line = String::new();
                assert!(self.told.read_line(&mut line).await.unwrap() > 0, "mpv ended before {what}");
                let told = serde_json::from_str(&line).unwrap();
                if condition(&told) {
                    return told;
                }
            }
        };
        timeout(PATIENCE, hearing).await.unwrap_or_else(|_| panic!("mpv never said {what}"))
    }

    /// Waits until it plays at `seconds` or later.
    async fn plays_at(&mut self, seconds: f64) {
        let there = |told: &Json| told["name"] == "time-pos" && told["data"].as_f64() >= Some(seconds);
        self.hear(&format!("that it plays at {seconds} s"), there).await;
    }
}

#[tokio::test]
async fn mpv_plays_seeks_ahead_of_the_swarm_and_has_the_subtitles() {
    let torrent = film_with_subtitles().await;
    let peer = Peer::start(&torrent, Behaviour::Rate { bytes_per_second: 300_000 }).await;
    let (sandbox, room) = (Sandbox::new(), common_room());
    let socket = room.path().join("mpv");
    let options =
        ["--no-config", "--vo=null", "--ao=null", &format!("--input-ipc-server={}", socket.display())];
    let stream = sandbox.stream(torrent.hex()).peer(peer.addr()).args(["--open", "mpv"]);
    let run = stream.args(["--select", "film.mkv"]).player_args(options).spawn();
    let mut mpv = Mpv::on(connect(&socket, || !run.has_ended()).await);
    mpv.say(json!(["observe_property", 1, "time-pos"])).await;
    mpv.plays_at(0.0).await;
    mpv.say(json!(["get_property", "track-list"])).await;
    let tracks = mpv.hear("its tracks", |told| told["data"].is_array()).await;
    let subtitles: Vec<_> =
        tracks["data"].as_array().unwrap().iter().filter(|track| track["type"] == "sub").collect();
    assert_eq!(subtitles.len(), 1, "{tracks}");
    assert_eq!((&subtitles[0]["external"], &subtitles[0]["codec"]), (&json!(true), &json!("subrip")));
    mpv.say(json!(["seek", 20, "absolute+exact"])).await;
    mpv.plays_at(20.0).await;
    assert!(!run.has_ended());
    mpv.say(json!(["quit"])).await;
    run.finish().await.code(0);
}

#[tokio::test]
async fn the_end_of_the_film_is_the_end_of_the_stream() {
    let torrent = film_with_subtitles().await;
    let seeder = Seeder::start(&torrent).await;
    let stream = Sandbox::new().stream(torrent.hex()).peer(seeder.addr()).args(["--open", "mpv", "-i", "1"]);
    let run =
        stream.player_args(["--no-config", "--vo=null", "--no-audio", "--untimed", "--start=28"]).run().await;
    assert!(run.code(0).stdout.is_empty());
}

/// A program that is VLC, under an account that it accepts: it refuses to run as root.
fn vlc(room: &Path) -> PathBuf {
    let as_nobody = "setpriv --reuid=65534 --regid=65534 --clear-groups";
    let wrapper = if rustix::process::geteuid().is_root() { as_nobody } else { "" };
    let script = format!("#!/bin/sh\ncd /\nHOME={} exec {wrapper} /usr/bin/cvlc \"$@\"\n", room.display());
    let program = room.join("cvlc");
    std::fs::write(&program, script).unwrap();
    std::fs::set_permissions(&program, Permissions::from_mode(0o755)).unwrap();
    program
}

/// What VLC's log says of a film that was begun at 20 s, with subtitles.
fn assert_vlc_played(log: &str) {
    for line in ["loaded 1 subtitles", "using demux module \"subtitle\""] {
        assert!(log.contains(line), "nothing about {line:?} in\n{log}");
    }
    assert_vlc_sought(log);
}

/// What VLC's log says of a film that was begun at 20 s.
fn assert_vlc_sought(log: &str) {
    assert!(log.contains("starting at time: 20s"), "it begins elsewhere in\n{log}");
    let ranges = log.lines().filter_map(|line| line.strip_prefix("Range: bytes="));
    assert!(ranges.filter(|range| *range != "0-").count() > 0, "it never sought in\n{log}");
}

const VLC: &str = "--no-quiet -vv --vout=dummy --aout=dummy --play-and-exit --start-time=20 --run-time=1";

#[tokio::test]
async fn vlc_plays_seeks_and_has_the_subtitles() {
    let torrent = film_with_subtitles().await;
    let seeder = Seeder::start(&torrent).await;
    let (sandbox, room) = (Sandbox::new(), common_room());
    let stream = sandbox.stream(torrent.hex()).peer(seeder.addr()).args(["--select", "film.mkv", "--open"]);
    let run = stream.arg(vlc(room.path()).to_str().unwrap()).player_args(VLC.split(' ')).run().await.code(0);
    let log = run.stderr_text();
    assert_vlc_played(&log);
    assert!(log.contains("film.en.srt") && !log.contains("other.srt"), "{log}");
}

#[tokio::test]
async fn ffprobe_is_a_player_like_any_other() {
    let torrent = film_with_subtitles().await;
    let seeder = Seeder::start(&torrent).await;
    let sandbox = Sandbox::new();
    let stream = sandbox.stream(torrent.hex()).peer(seeder.addr()).args(["--open", "ffprobe", "-i", "1"]);
    let options = ["-v", "error", "-show_entries", "format=duration", "-of", "csv=p=0", "-o", "told"];
    stream.player_args(options).run().await.code(0);
    let duration: f64 = std::fs::read_to_string(sandbox.path("told")).unwrap().trim().parse().unwrap();
    assert!((29.0..31.0).contains(&duration), "{duration}");
}

#[tokio::test]
async fn mpv_and_vlc_play_from_serve_with_a_seek_and_subtitles() {
    let torrent = film_with_subtitles().await;
    let seeder = Seeder::start(&torrent).await;
    let (sandbox, room) = (Sandbox::new(), common_room());
    let serve = Serve::start(sandbox.serve().peer(seeder.addr())).await;
    let url = |file: &str| serve.url(&format!("{}/{file}", path(&torrent)));
    let (film, subtitles) = (url("1/film.mkv"), url("0/film.en.srt"));

    let subtitle = format!("--sub-file={subtitles}");
    let mpv = "mpv --no-config --vo=null --no-audio --untimed --start=20 --length=2";
    let mpv: Vec<&str> = mpv.split(' ').chain(["--term-playing-msg=begins at ${=time-pos}"]).collect();
    let told = succeeds(room.path(), &[&mpv[..], &[&subtitle, &film]].concat()).await;
    let told = String::from_utf8_lossy(&told).into_owned();
    assert!(told.contains("Subs  --sid=1") && told.contains("(subrip) (external)"), "{told}");
    assert!(told.contains("begins at 20.0"), "{told}");

    let (vlc, slave) = (vlc(room.path()), format!(":input-slave={subtitles}"));
    let line: Vec<&str> =
        [vlc.to_str().unwrap()].into_iter().chain(VLC.split(' ')).chain([&*film, &slave]).collect();
    let (code, _, log) = program(room.path(), &line).await;
    assert_eq!(code, 0, "{log}");
    assert_vlc_played(&log);
    serve.stop().await;
}

/// Two episodes, each with its subtitles.
async fn series() -> Torrent {
    let film = film("mkv", &["-c:v", "mpeg4", "-c:a", "flac"]).await;
    let of = |torrent: TorrentBuilder, name: &str| {
        torrent.file(&format!("{name}.mkv"), film.len()).file(&format!("{name}.srt"), SUBTITLES.len())
    };
    let episode = [&film[..], SUBTITLES.as_bytes()].concat();
    of(of(Torrent::multi("A series"), "Show S01E01"), "Show S01E02")
        .piece_length(16 * KIB)
        .bytes([&episode[..], &episode].concat())
        .build()
}

#[tokio::test]
async fn a_playlist_plays_every_episode_with_a_seek() {
    let torrent = series().await;
    let seeder = Seeder::start(&torrent).await;
    let (sandbox, room) = (Sandbox::new(), common_room());
    let serve = Serve::start(sandbox.serve().peer(seeder.addr())).await;
    let playlist = serve.url(&format!("/playlist/{}.m3u8", torrent.hex()));

    let mpv = "mpv --no-config --vo=null --no-audio --untimed --start=20 --length=2";
    let message = "--term-playing-msg=${filename} begins at ${=time-pos}";
    let mpv: Vec<&str> = mpv.split(' ').chain([message, &playlist]).collect();
    let told = String::from_utf8_lossy(&succeeds(room.path(), &mpv).await).into_owned();
    for episode in ["S01E01", "S01E02"] {
        let begins = format!("Show {episode}.mkv begins at 20.0");
        assert!(told.contains(&begins), "nothing about {begins:?} in\n{told}");
    }

    let vlc = vlc(room.path());
    let line: Vec<&str> =
        [vlc.to_str().unwrap()].into_iter().chain(VLC.split(' ')).chain([&*playlist]).collect();
    let (code, _, log) = program(room.path(), &line).await;
    assert_eq!(code, 0, "{log}");
    assert_vlc_sought(&log);
    for episode in [0, 2] {
        let asked = format!("GET {}/{episode}/", path(&torrent));
        assert!(log.contains(&asked), "nothing about {asked:?} in\n{log}");
    }
    // What the README says of subtitles in playlists: VLC takes them from a command line alone.
    let ignored = "unsafe option \"input-slave\" has been ignored";
    assert_eq!(log.matches(ignored).count(), 2, "{log}");
    serve.stop().await;
}

/// A film of half a minute with its index at the end, in pieces of 16 KiB, and one peer that needs ten seconds for it.
async fn index_at_the_end() -> (Torrent, Peer) {
    let film = film("mp4", &["-c:v", "mpeg4", "-b:v", "500k", "-c:a", "aac"]).await;
    let bytes_per_second = u32::try_from(film.len() / 10).unwrap();
    let torrent = Torrent::of("film.mp4", film).piece_length(16 * KIB).build();
    let peer = Peer::start(&torrent, Behaviour::Rate { bytes_per_second }).await;
    (torrent, peer)
}

/// How many pieces the peer had been asked for when it was asked for the last one.
async fn asked_before_the_last(torrent: &Torrent, peer: &Peer) -> usize {
    let last = u32::try_from(torrent.piece_count() - 1).unwrap();
    peer.wait_for("the last piece", |counts| counts.pieces.contains(&last)).await.pieces.len()
}

#[tokio::test]
async fn an_index_at_the_end_is_fetched_with_the_head_before_the_player_asks_for_it() {
    let (torrent, peer) = index_at_the_end().await;
    let sandbox = Sandbox::new();
    let serve = Serve::start(sandbox.serve().peer(peer.addr())).await;
    let _reading = serve.send("GET", &path(&torrent), "").await;
    let asked = asked_before_the_last(&torrent, &peer).await;
    assert!(asked < torrent.piece_count() / 2, "{asked} of {}", torrent.piece_count());
    serve.stop().await;
}

#[tokio::test]
async fn a_pipe_gets_the_film_in_its_order() {
    let (torrent, peer) = index_at_the_end().await;
    let run = Sandbox::new().stream(torrent.hex()).peer(peer.addr()).spawn();
    let asked = asked_before_the_last(&torrent, &peer).await;
    assert!(asked > torrent.piece_count() / 2, "{asked} of {}", torrent.piece_count());
    run.finish().await.code(0).delivered(torrent.content());
}
