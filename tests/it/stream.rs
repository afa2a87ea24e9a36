//! What `stream` delivers, and where to: the choice of the file, ranges, outputs, progress.

use std::path::PathBuf;

use serde_json::Value as Json;

use crate::support::{Behaviour, KIB, MIB, Peer, Run, Sandbox, Seeder, Stdout, Torrent};

fn film() -> Torrent {
    Torrent::multi("A film")
        .file("Subs/film.srt", 30 * KIB)
        .file("extras/trailer.mp4", 300 * KIB)
        .file("film.mkv", MIB)
        .file("soundtrack.flac", 200 * KIB)
        .file("huge.iso", 2 * MIB)
        .build()
}

#[tokio::test]
async fn the_largest_film_is_chosen_although_another_file_is_larger() {
    let torrent = film();
    let peer = Peer::serving(&torrent).await;
    let run = Sandbox::new().stream(torrent.hex()).peer(peer.addr()).run().await;
    run.code(0).delivered(torrent.file(2));
}

#[tokio::test]
async fn the_largest_file_is_chosen_where_nothing_can_be_played() {
    let torrent = Torrent::multi("no film").file("a.iso", 100 * KIB).file("b.iso", 300 * KIB).build();
    let peer = Peer::serving(&torrent).await;
    let run = Sandbox::new().stream(torrent.hex()).peer(peer.addr()).run().await;
    run.code(0).delivered(torrent.file(1));
}

#[tokio::test]
async fn an_index_or_a_glob_chooses_the_file() {
    let torrent = film();
    let peer = Peer::serving(&torrent).await;
    let sandbox = Sandbox::new();
    let stream = || sandbox.stream(torrent.hex()).peer(peer.addr());
    stream().args(["-i", "3"]).run().await.code(0).delivered(torrent.file(3));
    stream().args(["--select", "*.srt"]).run().await.code(0).delivered(torrent.file(0));
    stream().args(["--select", "extras/*"]).run().await.code(0).delivered(torrent.file(1));
}

#[tokio::test]
async fn a_file_that_is_not_there_is_a_bad_source_and_no_failure_of_the_torrent() {
    let torrent = film();
    let peer = Peer::serving(&torrent).await;
    let sandbox = Sandbox::new();
    let stream = || sandbox.stream(torrent.hex()).peer(peer.addr());
    stream().args(["-i", "5"]).run().await.code(6).says("-l");
    stream().args(["--select", "*.ogg"]).run().await.code(6).says("-l");
    assert!(sandbox.failed().is_empty());
}

#[tokio::test]
async fn listing_names_every_file_with_its_number() {
    let torrent = film();
    let peer = Peer::serving(&torrent).await;
    let run = Sandbox::new().stream(torrent.hex()).peer(peer.addr()).arg("-l").run().await.code(0);
    let text = run.stdout_text();
    for (index, name) in ["Subs/film.srt", "extras/trailer.mp4", "film.mkv"].iter().enumerate() {
        let listed =
            |line: &str| line.contains(name) && line.split_whitespace().any(|word| word == index.to_string());
        assert!(text.lines().any(listed), "{index} {name} in\n{text}");
    }
    assert_eq!(peer.counts().requests, 0, "a list needs no data");
}

#[tokio::test]
async fn listing_a_torrent_file_needs_no_network() {
    let torrent = film();
    let run = Sandbox::new().stream("-").stdin(torrent.metainfo()).arg("-l").without_network().run().await;
    assert!(run.code(0).stdout_text().contains("film.mkv"));
}

#[tokio::test]
async fn listing_as_json_is_for_scripts() {
    let torrent = Torrent::multi("json").file("dir/a.mkv", 64 * KIB).padding(10).file("b.txt", 5).build();
    let run = Sandbox::new().stream("-").stdin(torrent.metainfo()).args(["-l", "--json"]).run().await.code(0);
    let json = run.json();
    let files = json.get("files").unwrap_or(&json).as_array().expect("an array of files").clone();
    assert_eq!(files[0]["index"], 0);
    assert_eq!(files[0]["path"], "dir/a.mkv");
    assert_eq!(files[0]["length"], 64 * KIB);
    let last = files.last().unwrap();
    assert_eq!((&last["index"], &last["path"]), (&Json::from(2), &Json::from("b.txt")));
}

#[tokio::test]
async fn ranges_are_written_as_in_http() {
    let torrent = Torrent::multi("ranges").file("first.bin", 1000).file("film.mkv", MIB).build();
    let peer = Peer::serving(&torrent).await;
    let sandbox = Sandbox::new();
    let film = torrent.file(1);
    let cases = [
        ("0-499", &film[..500]),
        ("70000-140000", &film[70000..=140000]),
        ("1048000-", &film[1048000..]),
        ("-500", &film[MIB - 500..]),
        ("1048575-9999999", &film[MIB - 1..]),
        ("-9999999", film),
    ];
    for (range, expected) in cases {
        let run = sandbox.stream(torrent.hex()).peer(peer.addr()).args(["--range", range]).run().await;
        run.code(0).delivered(expected);
    }
}

#[tokio::test]
async fn a_range_fetches_little_more_than_itself() {
    let torrent = Torrent::single("little.mkv", 64 * MIB).piece_length(256 * KIB).build();
    let peer = Peer::start(&torrent, Behaviour::Rate { bytes_per_second: 20_000_000 }).await;
    let run = Sandbox::new().stream(torrent.hex()).peer(peer.addr()).args(["--range", "-100"]).run().await;
    run.code(0).delivered(&torrent.content()[64 * MIB - 100..]);
    assert!(peer.counts().pieces.len() < torrent.piece_count() / 2, "{:?}", peer.counts().pieces);
}

#[tokio::test]
async fn a_range_that_says_nothing_is_refused() {
    let torrent = Torrent::single("range.bin", KIB).build();
    let sandbox = Sandbox::new();
    for range in ["x", "5-2", "-", "0-1,3-4"] {
        let run = sandbox.stream("-").stdin(torrent.metainfo()).arg(format!("--range={range}")).run().await;
        run.code(2);
    }
}

#[tokio::test]
async fn a_range_behind_the_end_is_refused_and_no_failure_of_the_torrent() {
    let torrent = Torrent::single("behind.bin", 64 * KIB).build();
    let sandbox = Sandbox::new();
    let peer = Peer::serving(&torrent).await;
    let run = sandbox.stream(torrent.hex()).peer(peer.addr()).args(["--range", "65536-"]).run().await;
    run.code(2).says("65536");
    assert!(sandbox.failed().is_empty());
}

#[tokio::test]
async fn two_processes_do_not_write_one_file() {
    let (one, two) = (Torrent::single("one.bin", MIB).build(), Torrent::single("two.bin", MIB).build());
    let first = Peer::start(&one, Behaviour::StallAfter { blocks: 16 }).await;
    let second = Peer::serving(&two).await;
    let sandbox = Sandbox::new();
    let run = sandbox.stream(one.hex()).peer(first.addr()).args(["-o", "out"]).spawn();
    first.wait_for("16 blocks", |counts| counts.blocks == 16).await;
    let refused = sandbox.stream(two.hex()).peer(second.addr()).args(["-o", "out"]).run().await;
    refused.code(8).says("out.part");
    first.set(Behaviour::Serve);
    run.finish().await.code(0);
    assert!(std::fs::read(sandbox.path("out")).unwrap() == one.content());
}

#[tokio::test]
async fn a_file_gets_its_name_when_it_is_complete() {
    let torrent = Torrent::single("out.bin", MIB).build();
    let peer = Peer::serving(&torrent).await;
    let sandbox = Sandbox::new();
    let run = sandbox.stream(torrent.hex()).peer(peer.addr()).args(["-o", "film.mkv"]).run().await;
    run.code(0).delivered(b"");
    assert!(std::fs::read(sandbox.path("film.mkv")).unwrap() == torrent.content());
    assert!(!sandbox.path("film.mkv.part").exists());
}

#[tokio::test]
async fn a_file_in_the_making_is_a_part() {
    let torrent = Torrent::single("part.bin", MIB).build();
    let peer = Peer::start(&torrent, Behaviour::StallAfter { blocks: 32 }).await;
    let sandbox = Sandbox::new();
    let run = sandbox.stream(torrent.hex()).peer(peer.addr()).args(["-o", "film.mkv"]).spawn();
    peer.wait_for("32 blocks", |counts| counts.blocks == 32).await;
    assert!(!sandbox.path("film.mkv").exists());
    peer.set(Behaviour::Serve);
    run.finish().await.code(0);
    assert!(std::fs::read(sandbox.path("film.mkv")).unwrap() == torrent.content());
}

#[tokio::test]
async fn a_file_that_cannot_be_written_is_a_storage_error_of_ours() {
    let torrent = Torrent::single("nowhere.bin", 64 * KIB).build();
    let peer = Peer::serving(&torrent).await;
    let sandbox = Sandbox::new();
    let run =
        sandbox.stream(torrent.hex()).peer(peer.addr()).args(["-o", "no/such/dir/film.mkv"]).run().await;
    run.code(7).says("no/such/dir");
    assert!(sandbox.failed().is_empty());
}

#[tokio::test]
async fn standard_output_may_be_a_file() {
    let torrent = Torrent::single("redirected.bin", 4 * MIB).build();
    let seeder = Seeder::start(&torrent).await;
    let sandbox = Sandbox::new();
    let out = sandbox.path("redirected");
    let run = sandbox.stream(torrent.hex()).peer(seeder.addr()).stdout(Stdout::File(out.clone())).run().await;
    run.code(0);
    assert!(std::fs::read(out).unwrap() == torrent.content());
}

#[tokio::test]
async fn a_terminal_is_refused_with_a_hint() {
    let torrent = Torrent::single("terminal.bin", KIB).build();
    let run =
        Sandbox::new().stream(torrent.hex()).stdout(Stdout::Terminal).run().await.code(2).says("terminal");
    assert!(run.says("-o").stdout.is_empty());
}

#[tokio::test]
async fn a_closed_pipe_is_success() {
    let torrent = Torrent::single("closed pipe.bin", 8 * MIB).build();
    let peer = Peer::serving(&torrent).await;
    let run = Sandbox::new()
        .stream(torrent.hex())
        .peer(peer.addr())
        .stdout(Stdout::CloseAfter(100_000))
        .run()
        .await;
    run.code(0).delivered(&torrent.content()[..100_000]);
}

#[tokio::test]
async fn the_first_bytes_leave_before_the_last_ones_arrive() {
    let torrent = Torrent::single("early.bin", 4 * MIB).build();
    let peer = Peer::start(&torrent, Behaviour::StallAfter { blocks: 128 }).await;
    let run = Sandbox::new().stream(torrent.hex()).peer(peer.addr()).spawn();
    run.wait_for_bytes(64 * KIB).await;
    peer.set(Behaviour::Serve);
    run.finish().await.code(0).delivered(torrent.content());
}

#[tokio::test]
async fn quiet_says_nothing() {
    let torrent = Torrent::single("quiet.bin", 64 * KIB).build();
    let peer = Peer::serving(&torrent).await;
    let run = Sandbox::new().stream(torrent.hex()).peer(peer.addr()).arg("--quiet").run().await.code(0);
    assert_eq!(run.stderr_text(), "");
}

#[tokio::test]
async fn progress_as_json_names_the_phases_in_order() {
    let torrent = Torrent::single("phases.mkv", MIB).build();
    let mut peer = Peer::start(&torrent, Behaviour::WithholdMetadata).await;
    peer.stop().await;
    let sandbox = Sandbox::new();
    let run = sandbox.stream(torrent.hex()).peer(peer.addr()).args(["--progress", "json"]).spawn();
    let phase =
        |name: &'static str| move |line: &str| json_line(line).is_some_and(|json| json["phase"] == name);
    run.wait_for_line("the phase peers", phase("peers")).await;
    peer.resume().await;
    run.wait_for_line("the phase metadata", phase("metadata")).await;
    peer.set(Behaviour::NeverUnchoke);
    run.wait_for_line("the phase first_piece", phase("first_piece")).await;
    peer.set(Behaviour::StallAfter { blocks: 16 });
    run.wait_for_line("the phase streaming", phase("streaming")).await;
    peer.set(Behaviour::Serve);
    let run = run.finish().await.code(0).delivered(torrent.content());
    let lines: Vec<Json> = run.stderr.iter().map(|line| json_line(line).expect(line)).collect();
    let mut phases: Vec<_> = lines.iter().map(|line| line["phase"].as_str().unwrap()).collect();
    phases.dedup();
    // The peer is reached within a millisecond: the line that looks for it may have no time to be said.
    assert_eq!(
        phases.strip_prefix(&["peers"]).unwrap_or(&phases),
        ["metadata", "first_piece", "streaming", "done"]
    );
    assert_eq!(lines.last().unwrap()["delivered"], MIB);
    let timeline = &lines.iter().rfind(|line| line["phase"] == "streaming").unwrap()["timeline"];
    let passed = ["session", "peer", "metadata", "unchoked", "block", "piece"];
    let at: Vec<u64> = passed.map(|milestone| timeline[milestone].as_u64().expect(milestone)).to_vec();
    assert!(at.is_sorted(), "{timeline}");
}

fn json_line(line: &str) -> Option<Json> {
    serde_json::from_str(line).ok()
}

#[tokio::test]
async fn waiting_for_peers_is_said_again_and_again() {
    let torrent = Torrent::single("nobody.bin", KIB).build();
    let closed = crate::support::ClosedPort::reserve();
    let waits = ["--peer-timeout", "8s", "--timeout", "9s"];
    let run = Sandbox::new().stream(torrent.hex()).peer(closed.addr()).args(waits).run().await.code(4);
    let told = run.stderr.iter().filter(|line| line.contains("peers")).count();
    assert!(told >= 2, "{}", run.report());
}

#[tokio::test]
async fn remove_leaves_nothing_behind() {
    let torrent = Torrent::single("removed.bin", 64 * KIB).build();
    let peer = Peer::serving(&torrent).await;
    let sandbox = Sandbox::new();
    sandbox
        .stream(torrent.hex())
        .peer(peer.addr())
        .arg("--remove")
        .run()
        .await
        .code(0)
        .delivered(torrent.content());
    assert!(!sandbox.torrent_dir(&torrent).exists());
}

#[tokio::test]
async fn remove_leaves_nothing_behind_of_a_stream_whose_reader_left() {
    // While bytes flow into the pipe, and while the next piece is waited for.
    for behaviour in [Behaviour::Serve, Behaviour::StallAfter { blocks: 16 }] {
        let torrent = Torrent::single("left.bin", 8 * MIB).piece_length(64 * KIB).build();
        let peer = Peer::start(&torrent, behaviour).await;
        let sandbox = Sandbox::new();
        let run = sandbox.stream(torrent.hex()).peer(peer.addr()).arg("--remove");
        let run = run.stdout(Stdout::CloseAfter(1000)).run().await;
        run.code(0).delivered(&torrent.content()[..1000]);
        assert!(!sandbox.torrent_dir(&torrent).exists());
    }
}

#[tokio::test]
async fn what_was_there_before_is_removed_as_well() {
    let torrent = Torrent::single("removed.bin", 64 * KIB).build();
    for _ in 0..10 {
        let sandbox = Sandbox::filled(&torrent).await;
        sandbox.stream(torrent.hex()).arg("--remove").run().await.code(0).delivered(torrent.content());
        assert!(!sandbox.torrent_dir(&torrent).exists());
    }
}

#[tokio::test]
async fn an_empty_file_is_delivered_as_nothing() {
    let torrent = Torrent::multi("with empty").file("empty.txt", 0).file("film.mkv", KIB).build();
    let peer = Peer::serving(&torrent).await;
    let run = Sandbox::new().stream(torrent.hex()).peer(peer.addr()).args(["-i", "0"]).run().await;
    run.code(0).delivered(b"");
}

#[tokio::test]
async fn files_that_share_pieces_with_padding_come_out_whole() {
    let torrent = Torrent::multi("padded")
        .file("one.mkv", 100_000)
        .padding(2 * 64 * KIB - 100_000)
        .file("two.mkv", 100_001)
        .build();
    let peer = Peer::serving(&torrent).await;
    let sandbox = Sandbox::new();
    for index in [0, 2] {
        let run =
            sandbox.stream(torrent.hex()).peer(peer.addr()).args(["-i", &index.to_string()]).run().await;
        run.code(0).delivered(torrent.file(index));
    }
}

/// A player that tells its arguments through one pipe and stays until it can read from another.
fn write_player(sandbox: &Sandbox, name: &str) -> String {
    use std::os::unix::fs::PermissionsExt;
    sandbox.make_pipe("told");
    sandbox.make_pipe("leave");
    let script = "#!/bin/sh\nprintf '%s\\n' \"$@\" > told\nread answer < leave\n";
    let player = sandbox.write(name, script.as_bytes());
    std::fs::set_permissions(&player, std::fs::Permissions::from_mode(0o755)).unwrap();
    player.to_str().unwrap().to_owned()
}

async fn read_pipe(path: PathBuf) -> String {
    tokio::task::spawn_blocking(move || std::fs::read_to_string(path).unwrap()).await.unwrap()
}

async fn told_to_player(sandbox: &Sandbox, run: &Run) -> String {
    let told = tokio::time::timeout(crate::support::PATIENCE, read_pipe(sandbox.path("told")));
    told.await.unwrap_or_else(|_| panic!("no player was started\n{:#?}", run.stderr()))
}

#[tokio::test]
async fn a_player_is_given_the_subtitles_beside_the_film_and_the_arguments_that_are_its_own() {
    let torrent = Torrent::multi("A film")
        .file("Subs/film.en #1.srt", 20 * KIB)
        .file("film.mkv", MIB)
        .file("other.mkv", KIB)
        .file("other.srt", KIB)
        .build();
    let peer = Peer::serving(&torrent).await;
    let sandbox = Sandbox::new();
    let player = write_player(&sandbox, "mpv");
    // Standard input can be read but once; the subtitles are opened later.
    let stream = sandbox.stream("-").stdin(torrent.metainfo()).peer(peer.addr()).args(["--open", &player]);
    let run = stream.player_args(["--title=$HOME; *", "-v"]).spawn();
    let told = told_to_player(&sandbox, &run).await;
    let told: Vec<&str> = told.lines().collect();
    let [.., subtitles, "--title=$HOME; *", "-v", film] = told[..] else { panic!("{told:?}") };
    let subtitles = subtitles.strip_prefix("--sub-file=").unwrap();
    assert!(subtitles.ends_with("/0/film.en%20%231.srt"), "{subtitles}");
    assert_eq!(told.iter().filter(|arg| arg.starts_with("--sub-file=")).count(), 1, "{told:?}");
    for (url, index) in [(subtitles, 0), (film, 1)] {
        let body = reqwest::get(url).await.unwrap().bytes().await.unwrap();
        assert!(body == torrent.file(index), "{url}");
    }
    let other = subtitles.replace("/0/film.en%20%231.srt", "/3/other.srt");
    assert_eq!(reqwest::get(other).await.unwrap().status(), 404);
    std::fs::write(sandbox.path("leave"), "now\n").unwrap();
    run.finish().await.code(0);
}

#[tokio::test]
async fn a_player_is_given_a_local_url_of_the_stream() {
    let torrent = Torrent::single("played.mkv", MIB).build();
    let peer = Peer::serving(&torrent).await;
    let sandbox = Sandbox::new();
    let player = write_player(&sandbox, "player");
    let run = sandbox.stream(torrent.hex()).peer(peer.addr()).args(["--open", &player]).spawn();
    let told = told_to_player(&sandbox, &run).await;
    let url = told.lines().last().unwrap();
    assert!(url.starts_with("http://127.0.0.1:"), "{told}");
    let body = reqwest::get(url).await.unwrap().bytes().await.unwrap();
    assert!(body == torrent.content());
    std::fs::write(sandbox.path("leave"), "now\n").unwrap();
    run.finish().await.code(0);
}

#[tokio::test]
async fn remove_leaves_nothing_behind_of_what_a_player_has_played() {
    let torrent = Torrent::single("played.mkv", 8 * MIB).build();
    let peer = Peer::serving(&torrent).await;
    let sandbox = Sandbox::new();
    let player = write_player(&sandbox, "player");
    let stream = sandbox.stream(torrent.hex()).peer(peer.addr()).args(["--open", &player, "--remove"]);
    let run = stream.spawn();
    let told = told_to_player(&sandbox, &run).await;
    // Something else still has its answer before it when the player leaves.
    let unread = reqwest::get(told.lines().last().unwrap()).await.unwrap();
    std::fs::write(sandbox.path("leave"), "now\n").unwrap();
    run.finish().await.code(0);
    assert!(!sandbox.torrent_dir(&torrent).exists());
    drop(unread);
    // And of what no player ever asked for.
    let run = sandbox.stream(torrent.hex()).peer(peer.addr()).args(["--open", "true", "--remove"]).run();
    run.await.code(0);
    assert!(!sandbox.torrent_dir(&torrent).exists());
}

#[tokio::test]
async fn what_a_player_took_is_counted() {
    let torrent = Torrent::single("counted.mkv", MIB).build();
    let peer = Peer::serving(&torrent).await;
    let sandbox = Sandbox::new();
    let player = write_player(&sandbox, "player");
    let stream = sandbox.stream(torrent.hex()).peer(peer.addr()).args(["--open", &player]);
    let run = stream.args(["--progress", "json"]).spawn();
    let told = told_to_player(&sandbox, &run).await;
    let body = reqwest::get(told.lines().last().unwrap()).await.unwrap().bytes().await.unwrap();
    assert_eq!(body.len(), MIB);
    run.wait_for_line("the count", |line| line.contains(&format!("\"delivered\":{MIB},"))).await;
    std::fs::write(sandbox.path("leave"), "now\n").unwrap();
    let run = run.finish().await.code(0);
    let done = run.stderr.last().unwrap();
    assert!(done.contains("\"done\"") && done.contains(&format!("\"delivered\":{MIB},")), "{done}");
}

#[tokio::test]
async fn a_player_that_fails_is_an_error_and_no_failure_of_the_torrent() {
    let torrent = Torrent::single("not played.mkv", 64 * KIB).build();
    let peer = Peer::serving(&torrent).await;
    let sandbox = Sandbox::new();
    sandbox
        .stream(torrent.hex())
        .peer(peer.addr())
        .args(["--open", "false"])
        .run()
        .await
        .code(1)
        .says("false");
    assert!(sandbox.failed().is_empty());
}

#[tokio::test]
async fn a_player_that_is_not_installed_is_said_before_any_peer_is_asked() {
    let torrent = Torrent::single("no player.mkv", 64 * KIB).build();
    let peer = Peer::serving(&torrent).await;
    let run =
        Sandbox::new().stream(torrent.hex()).peer(peer.addr()).args(["--open", "no-such-player"]).run().await;
    assert!(run.exit != 0, "{}", run.report());
    let exit = run.exit;
    run.code(exit).says("no-such-player");
    assert_eq!(peer.counts().connections, 0);
}
