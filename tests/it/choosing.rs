//! Which file, when somebody can be asked: a question at a terminal, and never in a pipe.

use crate::support::{KIB, Peer, Sandbox, Signal, Stdout, Torrent};

fn series() -> Torrent {
    Torrent::multi("A series")
        .file("Season 1/series.s01e01.mkv", 300 * KIB)
        .file("Season 1/series.s01e02.mkv", 200 * KIB)
        .file("Season 1/series.s01e02.srt", 10)
        .file("readme\u{1b}[2J.txt", 10)
        .build()
}

fn asks(line: &str) -> bool {
    line.contains("Which file?")
}

#[tokio::test]
async fn an_episode_is_chosen_by_its_number() {
    let torrent = series();
    let peer = Peer::serving(&torrent).await;
    let sandbox = Sandbox::new();
    let select =
        |what: &'static str| sandbox.stream(torrent.hex()).peer(peer.addr()).args(["--select", what]);
    for episode in ["S01E02", "s1e2", "1x02"] {
        select(episode).run().await.code(0).delivered(torrent.file(1));
    }
    select("S02E01").run().await.code(6).says("S02E01").says("-l");
    assert!(sandbox.failed().is_empty());
}

#[tokio::test]
async fn somebody_at_a_terminal_is_asked_which_file() {
    let torrent = series();
    let peer = Peer::serving(&torrent).await;
    let sandbox = Sandbox::new();
    let run = sandbox.stream(torrent.hex()).peer(peer.addr()).args(["-o", "film", "-v"]).attended().spawn();
    run.wait_for_line("the question", asks).await;
    run.wait_for_line("the second episode", |line| line.contains("s01e02.mkv")).await;
    run.press("\u{1b}[B").await;
    run.wait_for_line("the cursor on it", |line| line.starts_with("> ") && line.contains("s01e02.mkv")).await;
    run.press("\r").await;
    let run = run.finish().await.code(0);
    assert!(std::fs::read(sandbox.path("film")).unwrap() == torrent.file(1), "{}", run.report());
    let searches = run.stderr.iter().filter(|line| line.contains("Starting torrent stream")).count();
    assert_eq!(searches, 1, "what is known is not looked for again: {}", run.report());
}

#[tokio::test]
async fn whoever_wants_none_of_them_gets_none() {
    let torrent = series();
    let peer = Peer::serving(&torrent).await;
    let sandbox = Sandbox::new();
    let asked = || sandbox.stream(torrent.hex()).peer(peer.addr()).args(["-o", "film"]).attended().spawn();
    for key in [Some("q"), Some("\u{3}"), None] {
        let run = asked();
        run.wait_for_line("the question", asks).await;
        match key {
            Some(key) => run.press(key).await,
            None => run.signal(Signal::INT),
        }
        let run = run.finish().await.code(130);
        assert!(run.stderr_text().contains("\u{1b}[?25h"), "the cursor is back: {}", run.report());
    }
    assert!(!sandbox.path("film").exists() && sandbox.failed().is_empty());
    assert_eq!(peer.counts().requests, 0, "nothing was fetched");
}

#[tokio::test]
async fn nobody_is_asked_where_the_choice_is_made_or_nobody_sees_the_question() {
    let torrent = series();
    let peer = Peer::serving(&torrent).await;
    let sandbox = Sandbox::new();
    let stream = || sandbox.stream(torrent.hex()).peer(peer.addr());
    let chosen = [
        stream().attended(),
        stream().args(["-o", "a", "-i", "1"]).attended(),
        stream().args(["-o", "b", "--select", "*.srt"]).attended(),
        stream().args(["-o", "c", "--quiet"]).attended(),
        stream().args(["-o", "d", "--progress", "json"]).attended(),
        stream().args(["-o", "e"]),
        sandbox.stream(torrent.magnet() + "&so=1").peer(peer.addr()).args(["-o", "f"]).attended(),
    ];
    for invocation in chosen {
        let run = invocation.run().await.code(0);
        assert!(!run.stderr.iter().any(|line| asks(line)), "{}", run.report());
    }
    assert!(std::fs::read(sandbox.path("f")).unwrap() == torrent.file(1));
}

#[tokio::test]
async fn a_list_at_a_terminal_is_a_tree_and_in_a_pipe_whole_paths() {
    let torrent = series();
    let sandbox = Sandbox::new();
    let list = || sandbox.stream("-").stdin(torrent.metainfo()).arg("-l");
    let tree = list().stdout(Stdout::Terminal).run().await.code(0).stdout_text();
    assert!(tree.contains("├── Season 1/\r\n") && tree.contains("│   ├── series.s01e01.mkv"), "{tree}");
    assert!(tree.contains(r"readme\u{1b}[2J.txt") && !tree.contains('\u{1b}'), "{tree:?}");
    let lines = list().run().await.code(0).stdout_text();
    assert!(lines.lines().any(|line| line.ends_with("  Season 1/series.s01e02.mkv")), "{lines}");
}
