//! `serve` and the programs that people point at it.

use std::time::{Duration, Instant};

use serde_json::Value as Json;
use tempfile::TempDir;

use crate::support::{
    Answer, Behaviour, HttpTracker, KIB, MIB, Peer, Sandbox, Seeder, Serve, Torrent,
    serve::{fetched, film, path, program, succeeds},
};

/// A server that has the whole torrent, and nobody else who has it.
struct Kept {
    serve: Serve,
    dir: TempDir,
    _sandbox: Sandbox,
}

async fn kept(torrent: &Torrent) -> Kept {
    let sandbox = Sandbox::new();
    let seeder = Seeder::start(torrent).await;
    let serve = Serve::start(sandbox.serve().peer(seeder.addr())).await;
    let answer = serve.get(&path(torrent)).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(answer.body == torrent.content());
    drop(seeder);
    Kept { serve, dir: tempfile::tempdir().unwrap(), _sandbox: sandbox }
}

impl Kept {
    async fn run(&self, line: &str) -> Vec<u8> {
        succeeds(self.dir.path(), &line.split_whitespace().collect::<Vec<_>>()).await
    }

    fn file(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.dir.path().join(name)).unwrap()
    }
}

#[tokio::test]
async fn curl_gets_a_cold_torrent_and_then_needs_no_swarm() {
    let torrent = Torrent::single("film.mkv", 3 * MIB).build();
    let kept = kept(&torrent).await;
    let url = kept.serve.file(&torrent);
    assert!(kept.run(&format!("curl -sf {url}")).await == torrent.content());
    assert!(kept.run(&format!("curl -sf -r 1000-1999 {url}")).await == torrent.content()[1000..2000]);
    assert!(kept.run(&format!("curl -sf -r -10 {url}")).await == torrent.content()[3 * MIB - 10..]);
    assert!(kept.run(&format!("curl -sf --http2 {url}")).await == torrent.content());
    assert!(kept.run(&format!("curl -sf --http1.0 {url}/0/film.mkv")).await == torrent.content());
    std::fs::write(kept.dir.path().join("part.mkv"), &torrent.content()[..MIB]).unwrap();
    kept.run(&format!("curl -sf -C - -o part.mkv {url}")).await;
    assert!(kept.file("part.mkv") == torrent.content());
    let head = String::from_utf8(kept.run(&format!("curl -sfI {url}")).await).unwrap().to_lowercase();
    assert!(head.contains("content-length: 3145728") && head.contains("accept-ranges: bytes"), "{head}");
    let range = path(&torrent) + "?x=y";
    let two = kept.run(&format!("curl -sf {url} {}", kept.serve.url(&range))).await;
    assert_eq!(two.len(), 6 * MIB, "two requests over one connection");
    kept.serve.stop().await;
}

#[tokio::test]
async fn the_seeds_three_examples_do_what_they_say() {
    let sandbox = Sandbox::new();
    let tracker = HttpTracker::start(Answer::empty()).await;
    let serve = Serve::start(sandbox.serve().tracker(tracker.url()).impatient()).await;
    let dead = "453475aec9bb4de3423649db8aa3cd2312538ca7";
    let url = serve.url(&format!("/stream/proxy/{dead}"));
    let dir = tempfile::tempdir().unwrap();
    let curl = ["curl", "-s", "-w", "\n%{http_code} %header{retry-after}", &url];
    let asked = async || String::from_utf8(succeeds(dir.path(), &curl).await).unwrap();
    let split = |text: &str| {
        let (body, tail) = text.rsplit_once('\n').unwrap();
        (serde_json::from_str::<Json>(body).unwrap(), tail.to_owned())
    };
    let (body, tail) = split(&asked().await);
    assert_eq!((body["type"].as_str(), tail.as_str()), (Some("no_peers"), "404 "), "{body}");
    let began = Instant::now();
    let (body, tail) = split(&asked().await);
    assert!(began.elapsed() < Duration::from_secs(1), "it is told at once");
    assert_eq!(body["type"], "cooldown");
    let seconds: u64 = tail.strip_prefix("503 ").unwrap().parse().unwrap();
    assert!((280..=300).contains(&seconds), "{tail}");
    let message = body["message"].as_str().unwrap();
    assert!(
        message.contains(&format!("Try again in {seconds} seconds or use different source")),
        "{message}"
    );

    serve.stop().await;

    let torrent = Torrent::single("film.mkv", MIB).build();
    let seeder = Seeder::start(&torrent).await;
    let serve = Serve::start(sandbox.serve().peer(seeder.addr())).await;
    let good = succeeds(dir.path(), &["curl", "-sf", &serve.file(&torrent)]).await;
    assert!(good == torrent.content());
    assert!(std::fs::read(sandbox.data_file(&torrent, 0)).unwrap() == torrent.content());
    serve.stop().await;
}

#[tokio::test]
async fn wget_downloads_resumes_and_looks() {
    let torrent = Torrent::single("film.mkv", 2 * MIB).build();
    let kept = kept(&torrent).await;
    let url = kept.serve.file(&torrent);
    kept.run(&format!("wget -q -O whole.mkv {url}")).await;
    assert!(kept.file("whole.mkv") == torrent.content());
    std::fs::write(kept.dir.path().join("film.mkv"), &torrent.content()[..MIB + 1]).unwrap();
    kept.run(&format!("wget -q -c {url}/0/film.mkv")).await;
    assert!(kept.file("film.mkv") == torrent.content());
    kept.run(&format!("wget -q --spider {url}")).await;
    kept.run(&format!("wget -q --content-disposition {url}")).await;
    kept.serve.stop().await;
}

#[tokio::test]
async fn aria2_fetches_over_four_connections_at_once() {
    let torrent = Torrent::single("film.mkv", 12 * MIB).build();
    let kept = kept(&torrent).await;
    let url = kept.serve.file(&torrent);
    kept.run(&format!("aria2c --no-conf -q -x4 -s4 -k1M --file-allocation=none -o film.mkv {url}")).await;
    assert!(kept.file("film.mkv") == torrent.content());
    kept.serve.stop().await;
}

/// What ffmpeg decodes: a checksum of every frame.
async fn frames(kept: &Kept, source: &str, seek: &[&str]) -> Vec<u8> {
    let line =
        [&["ffmpeg", "-v", "error", "-nostdin"][..], seek, &["-i", source, "-f", "framemd5", "-"]].concat();
    succeeds(kept.dir.path(), &line).await
}

async fn plays_as_from_disk(extension: &str, options: &[&str]) {
    let bytes = film(extension, options).await;
    let torrent = Torrent::of(format!("film.{extension}"), bytes.clone()).piece_length(16 * KIB).build();
    let kept = kept(&torrent).await;
    std::fs::write(kept.dir.path().join("local"), bytes).unwrap();
    let url = kept.serve.file(&torrent);
    let probed = kept.run(&format!("ffprobe -v error -show_entries format=duration -of csv=p=0 {url}")).await;
    let duration: f64 = String::from_utf8(probed).unwrap().trim().parse().unwrap();
    assert!((29.0..31.0).contains(&duration), "{duration}");
    for seek in [&[][..], &["-ss", "20"]] {
        let (streamed, local) = (frames(&kept, &url, seek).await, frames(&kept, "local", seek).await);
        assert!(!local.is_empty() && streamed == local, "{extension} {seek:?}");
    }
    kept.serve.stop().await;
}

#[tokio::test]
async fn ffmpeg_plays_an_mp4_whose_index_is_at_its_end() {
    plays_as_from_disk("mp4", &["-movflags", "-faststart", "-c:v", "mpeg4", "-c:a", "aac"]).await;
}

#[tokio::test]
async fn ffmpeg_plays_a_matroska_file() {
    plays_as_from_disk("mkv", &["-c:v", "mpeg4", "-c:a", "flac"]).await;
}

#[tokio::test]
async fn ffmpeg_plays_and_seeks_while_the_film_comes_in() {
    let bytes = film("mp4", &["-movflags", "-faststart", "-c:v", "mpeg4", "-c:a", "aac"]).await;
    let torrent = Torrent::of("film.mp4", bytes.clone()).piece_length(16 * KIB).build();
    let peer = Peer::start(&torrent, Behaviour::Rate { bytes_per_second: 300_000 }).await;
    let sandbox = Sandbox::new();
    let serve = Serve::start(sandbox.serve().peer(peer.addr())).await;
    let kept = Kept { serve, dir: tempfile::tempdir().unwrap(), _sandbox: sandbox };
    std::fs::write(kept.dir.path().join("local"), bytes).unwrap();
    let url = kept.serve.file(&torrent) + "/0/film.mp4";
    let (streamed, local) =
        (frames(&kept, &url, &["-ss", "20"]).await, frames(&kept, "local", &["-ss", "20"]).await);
    assert!(!local.is_empty() && streamed == local);
    kept.serve.stop().await;
}

#[tokio::test]
async fn a_client_that_cannot_be_served_is_told_by_its_own_exit_code() {
    let sandbox = Sandbox::new();
    let serve = Serve::start(sandbox.serve().arg("--no-trackers").impatient()).await;
    let url = serve.url("/stream/proxy/nothing");
    let (code, _, told) = program(sandbox.root(), &["curl", "-sSf", &url]).await;
    assert_eq!(code, 22, "{told}");
    serve.stop().await;
}

/// What redbot warns of, or finds bad, in all the requests that it makes of a URL.
async fn redbot(kept: &Kept, url: &str) -> Vec<String> {
    let line = [&fetched("redbot", "redbot"), "-o", "har", url];
    let archive: Json = serde_json::from_slice(&succeeds(kept.dir.path(), &line).await).unwrap();
    let entries = archive["log"]["entries"].as_array().unwrap();
    let notes = entries.iter().flat_map(|entry| entry["_red_messages"].as_array().unwrap());
    let notes: Vec<_> = notes.collect();
    assert!(
        notes.iter().any(|note| note["level"] == "GOOD"),
        "{url}: redbot has understood nothing: {archive}"
    );
    let bad = notes.iter().filter(|note| note["level"] == "BAD" || note["level"] == "WARN");
    bad.map(|note| note["note_id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn redbot_finds_nothing_wrong() {
    // It compares the first bytes of films with those of images alone, so no film is what it is said to be.
    let films_are_no_images = ["CONTENT_TYPE_MISMATCH"];
    for (extension, audio) in [("mp4", "aac"), ("mkv", "flac")] {
        let bytes = film(extension, &["-c:v", "mpeg4", "-c:a", audio]).await;
        let torrent = Torrent::of(format!("film.{extension}"), bytes).piece_length(16 * KIB).build();
        let kept = kept(&torrent).await;
        let file = kept.serve.file(&torrent);
        for url in [file.clone(), format!("{file}/0/film.{extension}")] {
            assert_eq!(redbot(&kept, &url).await, films_are_no_images, "{url}");
        }
        for target in ["/health", "/torrents", "/admin/failed-torrents", "/openapi.json", "/nothing"] {
            assert_eq!(redbot(&kept, &kept.serve.url(target)).await, [""; 0], "{target}");
        }
        kept.serve.stop().await;
    }
}
