use super::*;
use crate::core::{
    reasons::Reason,
    status::{Checking, Discovery, PeerReport, PeerState, Phase},
};

/// Two that choke, one that is silent, and as many as are said that refused.
fn swarm(refused: usize) -> std::sync::Arc<[PeerReport]> {
    let choking = (PeerState::Choked, Some(Reason::Choking(Duration::from_secs(9))));
    let silent = (PeerState::Silent, Some(Reason::Silent(Duration::from_secs(3))));
    let refusing = (PeerState::Refused, Some(Reason::Refused));
    let peers = [choking.clone(), choking, silent].into_iter().chain(std::iter::repeat_n(refusing, refused));
    peers.map(|(state, why)| PeerReport::absent(([192, 0, 2, 1], 1).into(), state, why)).collect()
}

fn looking() -> Status {
    Status {
        discovery: Discovery {
            round: 1,
            rounds: 4,
            dht_nodes: Some(12),
            trackers: 3,
            trackers_answered: 1,
            ..Discovery::default()
        },
        peers_seen: 4,
        peers_connecting: 1,
        ..at(8)
    }
}

fn at(seconds: u64) -> Status {
    Status { phase: Phase::Peers, elapsed: Duration::from_secs(seconds), ..Status::default() }
}

fn streaming() -> Status {
    Status {
        phase: Phase::Streaming,
        name: Some("film.mkv".into()),
        total: Some(1 << 30),
        delivered: 400 << 20,
        download_rate: 5 << 20,
        peers_connected: 2,
        ..at(90)
    }
}

/// What is said when the status is looked at every quarter of a second, with the second it is said at.
fn said(
    seconds: u64,
    mut line: impl FnMut(&Status) -> Option<String>,
    mut status_at: impl FnMut(Duration) -> Status,
) -> Vec<(f32, String)> {
    let ticks = (0..seconds * 4).map(|tick| Duration::from_millis(250 * tick));
    ticks
        .filter_map(|now| {
            let status = Status { elapsed: now, ..status_at(now) };
            line(&status).map(|line| (now.as_secs_f32(), line))
        })
        .collect()
}

fn times(said: &[(f32, String)]) -> Vec<f32> {
    said.iter().map(|(at, _)| *at).collect()
}

#[test]
fn looking_for_peers_says_who_was_asked_and_what_came_of_it() {
    insta::assert_snapshot!(words::describe(&looking()), @"looking for peers: 12 DHT nodes, 1 of 3 trackers answered, 4 peers seen, 1 being dialled … 8s");
    insta::assert_snapshot!(words::describe(&at(0)), @"looking for peers: DHT off, no trackers, no peer seen yet … 0s");
    let later = Status {
        discovery: Discovery {
            round: 2,
            dht_nodes: Some(1),
            trackers: 1,
            trackers_answered: 0,
            trackers_failed: 1,
            ..looking().discovery
        },
        peers_seen: 1,
        peers_connected: 1,
        trouble: Some("tracker \u{1b}[31m says no\n".into()),
        ..looking()
    };
    insta::assert_snapshot!(words::describe(&later), @r"looking for peers: 1 DHT node, 0 of 1 tracker answered (1 failed), 1 peer seen, 1 being dialled, 1 connected, round 2 of 4, last trouble: tracker \u{1b}[31m says no\u{a} … 8s");
}

#[test]
fn metadata_and_first_piece_say_who_could_send_them() {
    let discovery = Discovery { metadata_bytes: 32768, ..Discovery::default() };
    let metadata = Status { phase: Phase::Metadata, peers_connected: 1, discovery, ..at(9) };
    insta::assert_snapshot!(words::describe(&metadata), @"fetching metadata: 1 peer connected, 32.00 KiB so far … 9s");
    let first = Status {
        phase: Phase::FirstPiece,
        download_rate: 122880,
        peers_unchoked: 2,
        peers_sending: 1,
        ..streaming()
    };
    insta::assert_snapshot!(words::describe(&first), @"first piece of film.mkv: 2 peers connected, 2 unchoked us, 1 sending, 120.00 KiB/s … 90s");
    let choked = Status { peers_unchoked: 0, peers_sending: 0, download_rate: 0, ..first.clone() };
    insta::assert_snapshot!(words::describe(&choked), @"first piece of film.mkv: 2 peers connected, none unchoked us yet … 90s");
    let unnamed = Status { name: None, download_rate: 0, ..first };
    insta::assert_snapshot!(words::describe(&unnamed), @"first piece: 2 peers connected, 2 unchoked us, 1 sending … 90s");
}

#[test]
fn what_is_being_checked_is_told_in_any_phase_and_not_at_every_percent() {
    let checking = |done| Status { checking: Some(Checking { done, of: 3 << 30 }), ..Status::default() };
    let of_a_file = Status { name: Some("film.mkv".into()), ..checking(1 << 30) };
    let of_a_file = Status { elapsed: Duration::from_secs(12), ..of_a_file };
    insta::assert_snapshot!(words::describe(&of_a_file), @"film.mkv: checking what is there already, 33% of 3.00 GiB … 12s");
    insta::assert_snapshot!(words::describe_within(&of_a_file, 60), @"checking what is there already, 33% of 3.00 GiB … 12s");
    let streaming = Status { checking: of_a_file.checking, ..streaming() };
    insta::assert_snapshot!(words::describe(&streaming), @"film.mkv: checking what is there already, 33% of 3.00 GiB … 90s");
    let mut pace = PlainPace::default();
    let told = said(12, |status| pace.line(status), |now| checking((now.as_millis() as u64) << 18));
    assert_eq!(times(&told), [1.0, 6.0, 11.0]);
}

#[test]
fn whoever_waits_is_told_what_the_peers_do() {
    let first = Status { phase: Phase::FirstPiece, peers: swarm(4), peers_connected: 3, ..streaming() };
    let first = Status { download_rate: 0, ..first };
    insta::assert_snapshot!(words::describe(&first), @"first piece of film.mkv: 3 peers connected, 2 choking us, 1 silent, 4 refused … 90s");
    let stalled = Status { phase: Phase::Streaming, waiting_for_piece: Some(17), ..first.clone() };
    insta::assert_snapshot!(words::describe(&stalled), @"film.mkv: 39% of 1.00 GiB, waiting for piece 17, 3 peers connected, 2 choking us, 1 silent, 4 refused … 90s");
    let seen = Status { peers: swarm(1), ..looking() };
    insta::assert_snapshot!(words::describe(&seen), @"looking for peers: 12 DHT nodes, 1 of 3 trackers answered, 4 peers seen, 1 being dialled, 2 choking us, 1 silent, 1 refused … 8s");
    let flowing = Status { download_rate: 5 << 20, ..stalled };
    assert_eq!(words::describe(&flowing), words::describe(&streaming()), "whoever does not wait is not");
    let line = JsonPace::default().line(&first).unwrap();
    let parsed: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(parsed["peers_doing"], "2 choking us, 1 silent, 4 refused");
}

#[test]
fn plain_lines_are_not_told_more_often_because_peers_come_and_go() {
    let mut pace = PlainPace::default();
    let restless = |now: Duration| Status { peers: swarm(now.as_millis() as usize), ..looking() };
    let said = said(11, |status| pace.line(status), restless);
    assert_eq!(times(&said), [0.0, 5.0, 10.0]);
    assert!(said[1].1.contains("5000 refused"), "{said:?}");
}

#[test]
fn streaming_says_how_much_how_fast_and_how_long() {
    insta::assert_snapshot!(words::describe(&streaming()), @"film.mkv: 39% of 1.00 GiB, 5.00 MiB/s, 2m 5s left");
    let no_length = Status { total: None, ..streaming() };
    insta::assert_snapshot!(words::describe(&no_length), @"film.mkv: 400.00 MiB, 5.00 MiB/s");
    let stalled = Status { download_rate: 0, waiting_for_piece: Some(17), ..streaming() };
    insta::assert_snapshot!(words::describe(&stalled), @"film.mkv: 39% of 1.00 GiB, waiting for piece 17, 2 peers connected … 90s");
    let from_disk = Status { download_rate: 0, ..streaming() };
    insta::assert_snapshot!(words::describe(&from_disk), @"film.mkv: 39% of 1.00 GiB");
    let slow = Status { download_rate: 1000, ..streaming() };
    insta::assert_snapshot!(words::describe(&slow), @"film.mkv: 39% of 1.00 GiB, 1000 B/s, 7d 13h left");
}

#[test]
fn a_narrow_terminal_gets_what_fits_with_the_time_and_without_the_name() {
    let within = |status: &Status, columns| {
        let words = words::describe_within(status, columns);
        assert!(words::columns_of(&words) <= columns, "{words}");
        words
    };
    insta::assert_snapshot!(within(&looking(), 50), @"looking for peers: 12 DHT nodes, 1 of 3 trac … 8s");
    insta::assert_snapshot!(within(&looking(), 200), @"looking for peers: 12 DHT nodes, 1 of 3 trackers answered, 4 peers seen, 1 being dialled … 8s");
    insta::assert_snapshot!(within(&streaming(), 40), @"39% of 1.00 GiB, 5.00 MiB/s, 2m 5s left");
    let stalled = Status { download_rate: 0, waiting_for_piece: Some(17), ..streaming() };
    insta::assert_snapshot!(within(&stalled, 60), @"39% of 1.00 GiB, waiting for piece 17, 2 peers connec … 90s");
    let foreign = Status { name: Some("語".repeat(30)), phase: Phase::FirstPiece, ..streaming() };
    for columns in 10..100 {
        within(&foreign, columns);
    }
}

#[test]
fn the_end_says_what_was_delivered() {
    insta::assert_snapshot!(words::summary("film.mkv", 3 << 30, Duration::from_secs(200)), @"film.mkv: 3.00 GiB in 3m 20s (15.36 MiB/s)");
    insta::assert_snapshot!(words::summary("a\u{202e}vkm.exe", 0, Duration::ZERO), @r"a\u{202e}vkm.exe: 0 B in 0.0s (0 B/s)");
}

#[test]
fn percentages_never_leave_their_range() {
    let percent = |delivered, total| words::percent(&Status { delivered, total, ..Status::default() });
    assert_eq!(percent(0, None), None);
    assert_eq!(percent(0, Some(0)), None);
    assert_eq!(percent(9, Some(10)), Some(90));
    assert_eq!(percent(99, Some(10)), Some(100));
    assert_eq!(percent(u64::MAX / 2, Some(u64::MAX)), Some(49));
}

#[test]
fn a_hostile_name_is_harmless_and_short_in_every_form() {
    let name = format!("\u{feff}../\u{1b}]0;x\u{7}\r\n\0{}", "語".repeat(300));
    let status = Status { name: Some(name.clone()), ..streaming() };
    let json = JsonPace::default().line(&status).unwrap();
    for line in [words::describe(&status), words::summary(&name, 1, Duration::ZERO), json.clone()] {
        assert!(!line.contains(|c: char| c.is_control() || c == '\u{feff}'), "{line}");
    }
    assert!(words::describe(&status).chars().count() < 100);
    let parsed: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(parsed["name"], serde_json::json!(name), "scripts get the name itself");
}

#[test]
fn plain_lines_come_at_once_then_every_five_seconds_while_nothing_happens() {
    let mut pace = PlainPace::default();
    let said = said(16, |status| pace.line(status), |_| looking());
    assert_eq!(times(&said), [0.0, 5.0, 10.0, 15.0]);
    assert!(said[1].1.ends_with("… 5s"), "{said:?}");
}

#[test]
fn reading_the_source_goes_without_saying_unless_it_takes_long() {
    let slow_source = |_: Duration| Status::default();
    let (mut plain, mut json) = (PlainPace::default(), JsonPace::default());
    let told = said(7, |status| plain.line(status), slow_source);
    assert_eq!(told[0], (1.0, "reading what the torrent is … 1s".to_owned()));
    assert_eq!(times(&told), [1.0, 6.0]);
    assert_eq!(times(&said(7, |status| json.line(status), slow_source)), [1.0, 6.0]);
}

#[test]
fn plain_lines_tell_news_at_most_once_a_second() {
    let mut pace = PlainPace::default();
    let restless = |now: Duration| Status { peers_seen: now.as_millis() as usize, ..looking() };
    assert_eq!(times(&said(4, |status| pace.line(status), restless)), [0.0, 1.0, 2.0, 3.0]);
}

#[test]
fn plain_lines_follow_a_stream_in_steps_of_five_percent() {
    let mut pace = PlainPace::default();
    let steady =
        |now: Duration| Status { delivered: now.as_millis() as u64, total: Some(100_000), ..streaming() };
    let said = said(100, |status| pace.line(status), steady);
    assert_eq!(said.len(), 20);
    assert!(said.windows(2).all(|pair| pair[1].0 - pair[0].0 == 5.0), "{said:?}");
}

#[test]
fn plain_lines_of_a_huge_slow_stream_come_every_half_minute_and_of_a_stall_every_five_seconds() {
    let mut pace = PlainPace::default();
    let slow =
        |now: Duration| Status { delivered: now.as_millis() as u64, total: Some(1 << 40), ..streaming() };
    assert_eq!(times(&said(61, |status| pace.line(status), slow)), [0.0, 30.0, 60.0]);
    let stalled = Status { waiting_for_piece: Some(17), download_rate: 0, ..streaming() };
    let mut pace = PlainPace::default();
    assert_eq!(times(&said(11, |status| pace.line(status), |_| stalled.clone())), [0.0, 5.0, 10.0]);
}

#[test]
fn json_lines_come_on_change_at_most_four_a_second_and_every_five_seconds() {
    let mut pace = JsonPace::default();
    let still = said(11, |status| pace.line(status), |_| looking());
    assert_eq!(times(&still), [0.0, 5.0, 10.0]);
    let restless = |now: Duration| Status { peers_seen: now.as_millis() as usize, ..looking() };
    let mut pace = JsonPace::default();
    assert_eq!(said(2, |status| pace.line(status), restless).len(), 8);
    let mut pace = JsonPace::default();
    let hasty = (0..20).filter(|tick| {
        pace.line(&Status {
            peers_seen: *tick,
            elapsed: Duration::from_millis(50 * *tick as u64),
            ..looking()
        })
        .is_some()
    });
    assert_eq!(hasty.count(), 4, "0, 250, 500 and 750 ms");
}

#[test]
fn a_json_line_is_the_status_and_the_time() {
    let line = JsonPace::default().line(&looking()).unwrap();
    let parsed: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(parsed["phase"], "peers");
    assert_eq!(parsed["elapsed_ms"], 8000);
    assert_eq!(parsed["dht_nodes"], 12);
    assert_eq!(parsed["total"], serde_json::Value::Null);
}

#[test]
fn a_bar_without_a_terminal_becomes_plain_lines() {
    use ProgressMode::{Auto, Bar, Json, None, Plain};
    let on = [(Auto, Bar), (Bar, Bar), (Plain, Plain), (Json, Json), (None, None)];
    let off = [(Auto, Plain), (Bar, Plain), (Plain, Plain), (Json, Json), (None, None)];
    for (table, terminal) in [(on, true), (off, false)] {
        for (asked, shown) in table {
            assert_eq!(effective(asked, terminal), shown);
        }
    }
}

#[test]
fn dropping_progress_ends_its_thread_at_once() {
    let (sender, receiver) = watch::channel(looking());
    let progress = Progress::start(ProgressMode::None, &Screen::new(), receiver.clone());
    assert!(progress.renderer.is_none(), "nothing to show, nothing to run");
    let mut progress = Progress::start(ProgressMode::Json, &Screen::new(), receiver);
    assert_eq!(sender.receiver_count(), 1);
    progress.stop();
    assert_eq!(sender.receiver_count(), 0, "the thread is gone, and its receiver with it");
}
