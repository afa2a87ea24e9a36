//! What is said about a [`Status`]. Pure; foreign names come out harmless and short.

use std::{sync::Arc, time::Duration};

use crate::{
    core::{
        reasons,
        status::{Checking, Phase, Status},
    },
    ui::text::{self, Printable},
};

/// So much of a name is shown: the rest of the line must fit beside it.
const NAME_CHARS: usize = 40;

/// One line about an attempt: what it waits for, why, and for how long.
pub fn describe(status: &Status) -> String {
    facts(status) + &clock(status)
}

/// [`describe`] in at most so many columns; a name gives way first, and the time never.
pub fn describe_within(status: &Status, columns: usize) -> String {
    let clock = clock(status);
    let room = columns.saturating_sub(columns_of(&clock));
    let mut words = facts(status);
    if columns_of(&words) > room && names_the_file(status) {
        words = facts(&Status { name: None, ..status.clone() });
    }
    cut(&words, room) + &clock
}

/// [`describe`] without the passing of time: it changes only when there is something new to say.
pub fn facts(status: &Status) -> String {
    if let Some(checking) = &status.checking {
        return check(status, checking);
    }
    let mut parts = match status.phase {
        Phase::Source => vec!["reading what the torrent is".to_owned()],
        Phase::Peers => discovery(status),
        Phase::Metadata => metadata(status),
        Phase::FirstPiece => pieces(status),
        Phase::Streaming => delivery(status),
    };
    if let Some(trouble) = status.trouble.as_ref().filter(|_| is_waiting(status)) {
        parts.push(format!("last trouble: {}", Printable(trouble)));
    }
    match subject(status) {
        Some(subject) => format!("{subject}: {}", parts.join(", ")),
        None => parts.join(", "),
    }
}

fn check(status: &Status, checking: &Checking) -> String {
    let percent = part_of(checking.done, checking.of).unwrap_or(0);
    let words = format!("checking what is there already, {percent}% of {}", text::size(checking.of));
    match &status.name {
        Some(name) => format!("{}: {words}", short(name)),
        None => words,
    }
}

fn names_the_file(status: &Status) -> bool {
    status.checking.is_some() || matches!(status.phase, Phase::FirstPiece | Phase::Streaming)
}

/// At most so many columns: no character takes more than two.
pub(super) fn columns_of(text: &str) -> usize {
    text.chars().map(width).sum()
}

fn width(c: char) -> usize {
    if c.is_ascii() { 1 } else { 2 }
}

/// As much of `text` as surely fits.
fn cut(text: &str, columns: usize) -> String {
    let mut used = 0;
    let fits = |c: &char| {
        used += width(*c);
        used <= columns
    };
    text.chars().take_while(fits).collect()
}

fn clock(status: &Status) -> String {
    if is_waiting(status) { format!(" … {}s", status.elapsed.as_secs()) } else { String::new() }
}

/// The line that ends a successful stream.
pub fn summary(name: &str, bytes: u64, elapsed: Duration) -> String {
    let rate = (bytes as f64 / elapsed.as_secs_f64().max(0.001)) as u64;
    format!("{}: {} in {} ({}/s)", short(name), text::size(bytes), took(elapsed), text::size(rate))
}

/// Nothing flows right now.
pub(super) fn is_waiting(status: &Status) -> bool {
    status.phase != Phase::Streaming
        || status.checking.is_some()
        || (status.waiting_for_piece.is_some() && status.download_rate == 0)
}

/// How much of the stream has been delivered, once its length is known.
pub(super) fn percent(status: &Status) -> Option<u8> {
    part_of(status.delivered, status.total?)
}

/// In percent, unless it is part of nothing.
fn part_of(part: u64, whole: u64) -> Option<u8> {
    let percent = (u128::from(part.min(whole)) * 100).checked_div(whole.into())?;
    // At most 100, so that it always fits.
    Some(percent as u8)
}

/// "1.20 MiB/s, 2m 3s left"; nothing while the swarm is not needed because the disk has it all.
pub(super) fn pace(status: &Status) -> Option<String> {
    let left = status.total.unwrap_or(0).saturating_sub(status.delivered);
    let seconds = left.checked_div(status.download_rate)?;
    let rate = format!("{}/s", text::size(status.download_rate));
    Some(if left > 0 { format!("{rate}, {} left", coarse(seconds + 1)) } else { rate })
}

/// A foreign name, harmless and short.
pub(super) fn short(name: &str) -> String {
    let harmless = Printable(name).to_string();
    match harmless.char_indices().nth(NAME_CHARS) {
        Some((end, _)) => format!("{}…", &harmless[..end]),
        None => harmless,
    }
}

fn subject(status: &Status) -> Option<String> {
    let name = status.name.as_deref().map(short);
    match status.phase {
        Phase::Source => None,
        Phase::Peers => Some("looking for peers".into()),
        Phase::Metadata => Some("fetching metadata".into()),
        Phase::FirstPiece => {
            Some(name.map_or_else(|| "first piece".into(), |name| format!("first piece of {name}")))
        }
        Phase::Streaming => name,
    }
}

fn discovery(status: &Status) -> Vec<String> {
    let mut parts = vec![
        status.discovery.dht_nodes.map_or_else(|| "DHT off".into(), |nodes| count(nodes, "DHT node")),
        trackers(status),
        match status.peers_seen {
            0 => "no peer seen yet".into(),
            seen => format!("{} seen", count(seen, "peer")),
        },
    ];
    if status.peers_connecting > 0 {
        parts.push(format!("{} being dialled", status.peers_connecting));
    }
    if status.peers_connected > 0 {
        parts.push(format!("{} connected", status.peers_connected));
    }
    parts.extend(doing(status));
    if status.discovery.round > 1 {
        parts.push(format!("round {} of {}", status.discovery.round, status.discovery.rounds));
    }
    parts
}

fn trackers(status: &Status) -> String {
    let failed = match status.discovery.trackers_failed {
        0 => String::new(),
        failed => format!(" ({failed} failed)"),
    };
    match status.discovery.trackers {
        0 => "no trackers".into(),
        asked => {
            format!("{} of {} answered{failed}", status.discovery.trackers_answered, count(asked, "tracker"))
        }
    }
}

fn metadata(status: &Status) -> Vec<String> {
    let mut parts = vec![connected(status)];
    if status.discovery.metadata_bytes > 0 {
        parts.push(format!("{} so far", text::size(status.discovery.metadata_bytes)));
    }
    parts.extend(doing(status));
    parts
}

fn pieces(status: &Status) -> Vec<String> {
    let mut parts = vec![connected(status)];
    parts.extend(doing(status).map_or_else(|| unchoked(status), |doing| vec![doing]));
    if status.download_rate > 0 {
        parts.push(format!("{}/s", text::size(status.download_rate)));
    }
    parts
}

fn delivery(status: &Status) -> Vec<String> {
    let delivered = match (percent(status), status.total) {
        (Some(percent), Some(total)) => format!("{percent}% of {}", text::size(total)),
        _ => text::size(status.delivered),
    };
    match status.waiting_for_piece {
        Some(piece) if is_waiting(status) => {
            let waiting = [delivered, format!("waiting for piece {piece}"), connected(status)];
            waiting.into_iter().chain(doing(status)).collect()
        }
        _ => [delivered].into_iter().chain(pace(status)).collect(),
    }
}

/// Who could send, as far as peers are only counted.
fn unchoked(status: &Status) -> Vec<String> {
    let unchoked = match (status.peers_connected, status.peers_unchoked) {
        (0, _) => None,
        (_, 0) => Some("none unchoked us yet".into()),
        (_, unchoked) => Some(format!("{unchoked} unchoked us")),
    };
    let sending = Some(status.peers_sending).filter(|sending| *sending > 0);
    unchoked.into_iter().chain(sending.map(|sending| format!("{sending} sending"))).collect()
}

/// What the peers do, if that is known of any.
fn doing(status: &Status) -> Option<String> {
    Some(reasons::in_a_line(&status.peers)).filter(|words| !words.is_empty())
}

/// [`facts`] without what each peer does, and how far a check is: a swarm in which some always come and go has always
/// something new to say, and so has a check.
pub(super) fn news(status: &Status) -> String {
    let checking = status.checking.map(|checking| Checking { done: 0, ..checking });
    facts(&Status { peers: Arc::default(), checking, ..status.clone() })
}

fn connected(status: &Status) -> String {
    format!("{} connected", count(status.peers_connected, "peer"))
}

fn count(number: usize, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

/// The two largest units: nobody plans by the second of a transfer that takes hours.
fn coarse(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3_600 => format!("{}m {}s", seconds / 60, seconds % 60),
        3_600..86_400 => format!("{}h {}m", seconds / 3_600, seconds / 60 % 60),
        _ => format!("{}d {}h", seconds / 86_400, seconds / 3_600 % 24),
    }
}

fn took(elapsed: Duration) -> String {
    match elapsed.as_secs() {
        0..10 => format!("{:.1}s", elapsed.as_secs_f64()),
        seconds => coarse(seconds),
    }
}
