//! The failed-torrent list and the cleanup report, as tables for people and as JSON for scripts.
//!
//! Plain text without colours, so that a terminal and a file get the same. Each is built whole and written
//! at once.

use std::{
    io::{self, Write},
    net::IpAddr,
};

use serde::Serialize;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::text::{self, Printable};
use crate::core::{
    failed::Listed,
    janitor::{CleanupReport, Kept, KeptReason, Removed},
    source::InfoHash,
};

/// `failed list` for people.
pub fn failed_list(out: &mut dyn Write, entries: &[Listed]) -> io::Result<()> {
    if entries.is_empty() {
        return out.write_all(b"No failed torrents.\n");
    }
    let with_client = entries.iter().any(|listed| listed.entry.client.is_some());
    let header = ["INFO HASH", "KIND", "RETRY IN", "ATTEMPTS", "FAILED AT", "CLIENT", "REASON"];
    let rows = entries.iter().map(failed_row);
    let rows: Vec<_> = std::iter::once(header.map(str::to_owned)).chain(rows).collect();
    let hidden = if with_client { &[][..] } else { &[5][..] };
    out.write_all(aligned(&rows, hidden).as_bytes())
}

/// `failed list --json`: an array of objects.
pub fn failed_list_json(out: &mut dyn Write, entries: &[Listed]) -> io::Result<()> {
    json(out, &entries.iter().map(FailedJson::from).collect::<Vec<_>>())
}

/// `cleanup` for people; `expired` failed-torrent entries went with it (or would).
pub fn cleanup(out: &mut dyn Write, report: &CleanupReport, expired: usize) -> io::Result<()> {
    let removed = report.removed.iter().map(|removed| removed_row(removed, report.dry_run));
    let rows: Vec<_> = removed.chain(report.kept.iter().map(kept_row)).collect();
    out.write_all(aligned(&rows, &[]).as_bytes())?;
    writeln!(out, "{}", summary(report, expired))
}

/// `cleanup --json`: one object.
pub fn cleanup_json(out: &mut dyn Write, report: &CleanupReport, expired: usize) -> io::Result<()> {
    let removed = report.removed.iter().map(RemovedJson::from).collect();
    let kept = report.kept.iter().map(KeptJson::from).collect();
    let (freed_bytes, dry_run) = (report.freed, report.dry_run);
    json(out, &CleanupJson { removed, kept, freed_bytes, dry_run, expired_failed_entries: expired })
}

fn failed_row(Listed { entry, remaining }: &Listed) -> [String; 7] {
    [
        entry.info_hash.to_string(),
        entry.kind.as_str().to_owned(),
        remaining.map_or_else(|| "now".to_owned(), text::duration),
        entry.attempts.to_string(),
        date(entry.failed_at),
        entry.client.map_or_else(|| "-".to_owned(), |client| client.to_string()),
        Printable(&entry.reason).to_string(),
    ]
}

fn removed_row(removed: &Removed, dry_run: bool) -> [String; 4] {
    let verb = if dry_run { "would remove" } else { "removed" };
    let idle = format!("idle for {}", text::duration(removed.idle));
    [verb.to_owned(), removed.info_hash.to_string(), text::size(removed.bytes), idle]
}

fn kept_row(kept: &Kept) -> [String; 4] {
    let why = match &kept.reason {
        KeptReason::InUse => "in use, skipped".to_owned(),
        KeptReason::Recent => format!("used {} ago", text::duration(kept.idle)),
        KeptReason::NotOurs => "not made by swarmcat".to_owned(),
        KeptReason::Failed(why) => format!("cannot be removed: {}", Printable(why)),
    };
    ["kept".to_owned(), kept.info_hash.to_string(), text::size(kept.bytes), why]
}

fn summary(report: &CleanupReport, expired: usize) -> String {
    let (removed, kept) = (report.removed.len(), report.kept.len());
    let torrents = if removed == 1 { "torrent" } else { "torrents" };
    let entries = if expired == 1 { "entry" } else { "entries" };
    let freed = text::size(report.freed);
    match report.dry_run {
        false => format!(
            "Removed {removed} {torrents}, kept {kept}, freed {freed}; dropped {expired} expired failed {entries}."
        ),
        true => format!(
            "Would remove {removed} {torrents}, keep {kept}, free {freed}; \
             would drop {expired} expired failed {entries}."
        ),
    }
}

/// Columns as wide as their widest cell, two spaces between them, none after the last.
fn aligned<const N: usize>(rows: &[[String; N]], hidden: &[usize]) -> String {
    let shown: Vec<usize> = (0..N).filter(|column| !hidden.contains(column)).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = shown.iter().map(|&column| width(column)).collect();
    let mut text = String::new();
    for row in rows {
        for (&column, &width) in shown.iter().zip(&widths) {
            let cell = &row[column];
            text.push_str(cell);
            text.extend(std::iter::repeat_n(' ', width - cell.chars().count() + 2));
        }
        text.truncate(text.trim_end().len());
        text.push('\n');
    }
    text
}

fn json(out: &mut dyn Write, value: &impl Serialize) -> io::Result<()> {
    let mut text = text::harmless_json(&serde_json::to_string_pretty(value)?);
    text.push('\n');
    out.write_all(text.as_bytes())
}

fn date(at: OffsetDateTime) -> String {
    at.format(&Rfc3339).unwrap_or_else(|_| at.to_string())
}

#[derive(Serialize)]
struct FailedJson<'a> {
    info_hash: InfoHash,
    kind: &'static str,
    reason: &'a str,
    failed_at: String,
    retry_at: String,
    retry_in_seconds: u64,
    attempts: u32,
    client: Option<IpAddr>,
}

impl<'a> From<&'a Listed> for FailedJson<'a> {
    fn from(Listed { entry, remaining }: &'a Listed) -> Self {
        Self {
            info_hash: entry.info_hash,
            kind: entry.kind.as_str(),
            reason: &entry.reason,
            failed_at: date(entry.failed_at),
            retry_at: date(entry.retry_at),
            retry_in_seconds: remaining.map_or(0, text::whole_seconds),
            attempts: entry.attempts,
            client: entry.client,
        }
    }
}

#[derive(Serialize)]
struct CleanupJson<'a> {
    removed: Vec<RemovedJson>,
    kept: Vec<KeptJson<'a>>,
    freed_bytes: u64,
    dry_run: bool,
    expired_failed_entries: usize,
}

#[derive(Serialize)]
struct RemovedJson {
    info_hash: InfoHash,
    bytes: u64,
    idle_seconds: u64,
}

impl From<&Removed> for RemovedJson {
    fn from(removed: &Removed) -> Self {
        Self { info_hash: removed.info_hash, bytes: removed.bytes, idle_seconds: removed.idle.as_secs() }
    }
}

#[derive(Serialize)]
struct KeptJson<'a> {
    info_hash: InfoHash,
    reason: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<&'a str>,
    bytes: u64,
    idle_seconds: u64,
}

impl<'a> From<&'a Kept> for KeptJson<'a> {
    fn from(kept: &'a Kept) -> Self {
        let (reason, message) = match &kept.reason {
            KeptReason::InUse => ("in_use", None),
            KeptReason::Recent => ("recent", None),
            KeptReason::NotOurs => ("not_ours", None),
            KeptReason::Failed(message) => ("failed", Some(message.as_str())),
        };
        Self {
            info_hash: kept.info_hash,
            reason,
            message,
            bytes: kept.bytes,
            idle_seconds: kept.idle.as_secs(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::core::failed::{Entry, FailureKind};

    fn hash(byte: u8) -> InfoHash {
        InfoHash::new([byte; 20])
    }

    fn listed(byte: u8, reason: &str, left: Option<u64>, client: Option<&str>) -> Listed {
        let failed_at = OffsetDateTime::from_unix_timestamp(1_795_348_800).unwrap();
        let entry = Entry {
            info_hash: hash(byte),
            kind: if left.is_some() { FailureKind::NoPeers } else { FailureKind::ConnectionError },
            reason: reason.to_owned(),
            failed_at,
            retry_at: failed_at + Duration::from_secs(300),
            attempts: u32::from(byte),
            client: client.map(|client| client.parse().unwrap()),
        };
        Listed { entry, remaining: left.map(Duration::from_secs) }
    }

    fn shown<T: ?Sized>(render: impl Fn(&mut dyn Write, &T) -> io::Result<()>, value: &T) -> String {
        let mut out = Vec::new();
        render(&mut out, value).unwrap();
        String::from_utf8(out).unwrap()
    }

    fn report(dry_run: bool) -> CleanupReport {
        let kept =
            |byte, reason| Kept { info_hash: hash(byte), reason, bytes: 4096, idle: Duration::from_secs(61) };
        CleanupReport {
            dry_run,
            removed: vec![Removed { info_hash: hash(1), bytes: 3 << 30, idle: Duration::from_secs(2700) }],
            kept: vec![
                kept(2, KeptReason::InUse),
                kept(3, KeptReason::Recent),
                kept(4, KeptReason::NotOurs),
                kept(5, KeptReason::Failed("Input/output error".to_owned())),
            ],
            freed: 3 << 30,
        }
    }

    #[test]
    fn failed_torrents_line_up_in_columns() {
        let entries =
            [listed(1, "no peers found after 60s", Some(270), None), listed(12, "refused", None, None)];
        insta::assert_snapshot!(shown(failed_list, &entries[..]), @r"
        INFO HASH                                 KIND              RETRY IN  ATTEMPTS  FAILED AT             REASON
        0101010101010101010101010101010101010101  no_peers          4m 30s    1         2026-11-22T12:00:00Z  no peers found after 60s
        0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c  connection_error  now       12        2026-11-22T12:00:00Z  refused
        ");
    }

    #[test]
    fn clients_get_a_column_when_there_are_any() {
        let entries = [listed(1, "late", Some(1), Some("192.0.2.7")), listed(2, "late", Some(3600), None)];
        insta::assert_snapshot!(shown(failed_list, &entries[..]), @r"
        INFO HASH                                 KIND      RETRY IN  ATTEMPTS  FAILED AT             CLIENT     REASON
        0101010101010101010101010101010101010101  no_peers  1s        1         2026-11-22T12:00:00Z  192.0.2.7  late
        0202020202020202020202020202020202020202  no_peers  1h        2         2026-11-22T12:00:00Z  -          late
        ");
    }

    #[test]
    fn an_empty_table_says_so() {
        insta::assert_snapshot!(shown(failed_list, &[][..]), @"No failed torrents.");
        insta::assert_snapshot!(shown(failed_list_json, &[][..]), @"[]");
    }

    #[test]
    fn foreign_reasons_cannot_forge_rows() {
        let entries = [listed(1, "a\r\n\x1b[2Jb \u{202e}c", Some(1), None)];
        let table = shown(failed_list, &entries[..]);
        assert_eq!(table.lines().count(), 2, "{table}");
        assert!(!table.contains(['\r', '\x1b', '\u{202e}']), "{table}");
        let json = shown(failed_list_json, &entries[..]);
        assert!(!json.contains(['\r', '\x1b', '\u{202e}']), "{json}");
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(json[0]["reason"], "a\r\n\x1b[2Jb \u{202e}c");
    }

    #[test]
    fn failed_torrents_as_json_hold_every_field() {
        let entries = [
            listed(1, "no peers found after 60s", Some(270), Some("2001:db8::1")),
            listed(2, "x", None, None),
        ];
        insta::assert_snapshot!(shown(failed_list_json, &entries[..]), @r#"
        [
          {
            "info_hash": "0101010101010101010101010101010101010101",
            "kind": "no_peers",
            "reason": "no peers found after 60s",
            "failed_at": "2026-11-22T12:00:00Z",
            "retry_at": "2026-11-22T12:05:00Z",
            "retry_in_seconds": 270,
            "attempts": 1,
            "client": "2001:db8::1"
          },
          {
            "info_hash": "0202020202020202020202020202020202020202",
            "kind": "connection_error",
            "reason": "x",
            "failed_at": "2026-11-22T12:00:00Z",
            "retry_at": "2026-11-22T12:05:00Z",
            "retry_in_seconds": 0,
            "attempts": 2,
            "client": null
          }
        ]
        "#);
    }

    #[test]
    fn cleanup_says_what_went_and_what_stayed_and_why() {
        insta::assert_snapshot!(shown(|out, report| cleanup(out, report, 1), &report(false)), @r"
        removed  0101010101010101010101010101010101010101  3.00 GiB  idle for 45m
        kept     0202020202020202020202020202020202020202  4.00 KiB  in use, skipped
        kept     0303030303030303030303030303030303030303  4.00 KiB  used 1m 1s ago
        kept     0404040404040404040404040404040404040404  4.00 KiB  not made by swarmcat
        kept     0505050505050505050505050505050505050505  4.00 KiB  cannot be removed: Input/output error
        Removed 1 torrent, kept 4, freed 3.00 GiB; dropped 1 expired failed entry.
        ");
    }

    #[test]
    fn a_dry_run_says_would() {
        insta::assert_snapshot!(shown(|out, report| cleanup(out, report, 0), &report(true)), @r"
        would remove  0101010101010101010101010101010101010101  3.00 GiB  idle for 45m
        kept          0202020202020202020202020202020202020202  4.00 KiB  in use, skipped
        kept          0303030303030303030303030303030303030303  4.00 KiB  used 1m 1s ago
        kept          0404040404040404040404040404040404040404  4.00 KiB  not made by swarmcat
        kept          0505050505050505050505050505050505050505  4.00 KiB  cannot be removed: Input/output error
        Would remove 1 torrent, keep 4, free 3.00 GiB; would drop 0 expired failed entries.
        ");
    }

    #[test]
    fn cleanup_as_json_is_one_object() {
        insta::assert_snapshot!(shown(|out, report| cleanup_json(out, report, 3), &report(false)), @r#"
        {
          "removed": [
            {
              "info_hash": "0101010101010101010101010101010101010101",
              "bytes": 3221225472,
              "idle_seconds": 2700
            }
          ],
          "kept": [
            {
              "info_hash": "0202020202020202020202020202020202020202",
              "reason": "in_use",
              "bytes": 4096,
              "idle_seconds": 61
            },
            {
              "info_hash": "0303030303030303030303030303030303030303",
              "reason": "recent",
              "bytes": 4096,
              "idle_seconds": 61
            },
            {
              "info_hash": "0404040404040404040404040404040404040404",
              "reason": "not_ours",
              "bytes": 4096,
              "idle_seconds": 61
            },
            {
              "info_hash": "0505050505050505050505050505050505050505",
              "reason": "failed",
              "message": "Input/output error",
              "bytes": 4096,
              "idle_seconds": 61
            }
          ],
          "freed_bytes": 3221225472,
          "dry_run": false,
          "expired_failed_entries": 3
        }
        "#);
    }
}
