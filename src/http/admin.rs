//! The routes for scripts and operators: torrents, failures, cleanup, health, metrics.

use std::{net::IpAddr, sync::Arc, time::Duration};

use serde::Serialize;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use warp::{
    http::{HeaderValue, Method, StatusCode, header},
    reply::Response,
};

use super::{
    add,
    library::{Library, TorrentReport},
    links::{self, Links},
    reply::{self, Problem},
    routes::{Ask, Site},
    stream, token,
};
use crate::core::{
    Error,
    failed::{FailedTable, Listed},
    janitor::{CleanupReport, Kept, KeptReason, Removed},
    source::InfoHash,
};

/// What is idle for less is not cleaned up unless the request says so.
const IDLE: Duration = Duration::from_secs(30 * 60);
/// The description of the routes.
const OPENAPI: &str = include_str!("openapi.json");

type Answered = Result<Response, Problem>;

#[derive(Serialize)]
struct Torrents {
    torrents: Vec<TorrentReport>,
}

/// `GET /torrents`.
pub fn torrents<L: Library>(site: &Site<L>, ask: &Ask) -> Answered {
    ask.only("GET, HEAD, POST")?;
    reply::json(&Torrents { torrents: site.torrents() })
}

#[derive(Serialize)]
struct Dropped {
    info_hash: InfoHash,
    freed_bytes: u64,
}

/// `GET`, `POST` and `DELETE /torrents/{hash}`.
pub async fn torrent<L: Library>(site: &Site<L>, ask: &Ask, hash: &str) -> Answered {
    ask.only("GET, HEAD, POST, DELETE")?;
    if ask.method == Method::POST {
        return add::named(site, ask, hash).await;
    }
    let info_hash = parsed(hash)?;
    if ask.method != Method::DELETE {
        return reply::json(&site.torrent(&info_hash).ok_or_else(|| unknown(&info_hash))?);
    }
    let freed_bytes = site.library.remove(&info_hash).await.map_err(problem)?;
    let freed_bytes = freed_bytes.ok_or_else(|| unknown(&info_hash))?;
    reply::json(&Dropped { info_hash, freed_bytes })
}

#[derive(Serialize)]
struct Link {
    url: String,
    expires: Option<String>,
}

/// `GET /torrents/{hash}/link?file=N&valid=12h` (or `?playlist=1`): a URL that plays without the token.
pub fn link<L: Library>(site: &Site<L>, ask: &Ask, hash: &str) -> Answered {
    ask.only("GET, HEAD")?;
    let info_hash = parsed(hash)?;
    ask.value("file").map(stream::selector).transpose()?;
    let valid = duration(ask, "valid", links::USUAL)?;
    if valid > token::LONGEST {
        return Err(Problem::bad_request("valid is at most 7d"));
    }
    let at = OffsetDateTime::now_utc() + valid;
    let links = Links::new(site.guard.policy(), &ask.visitor, at).ok_or_else(Problem::internal)?;
    let url = match ask.value("file") {
        _ if ask.switch("playlist")? => links.playlist(&info_hash),
        None => links.choice(&info_hash, None),
        Some(file) => match name_of(site, &info_hash, file) {
            Some((index, name)) => links.file(&info_hash, index, &name, &[]),
            None => links.choice(&info_hash, Some(file)),
        },
    };
    reply::json(&Link { url: url.into(), expires: links.expires().map(date) })
}

/// The file that a number means, in a torrent that is open.
fn name_of<L: Library>(site: &Site<L>, info_hash: &InfoHash, file: &str) -> Option<(usize, String)> {
    let index = file.parse().ok()?;
    let file = site.torrent(info_hash)?.files.into_iter().find(|file| file.index == index)?;
    Some((index, file.path))
}

#[derive(Serialize)]
struct Failed {
    failed: Vec<FailedRow>,
}

/// As `failed list --json` has it.
#[derive(Serialize)]
struct FailedRow {
    info_hash: InfoHash,
    kind: &'static str,
    reason: String,
    failed_at: String,
    retry_at: String,
    retry_in_seconds: u64,
    attempts: u32,
    client: Option<IpAddr>,
}

impl From<Listed> for FailedRow {
    fn from(Listed { entry, remaining }: Listed) -> Self {
        Self {
            info_hash: entry.info_hash,
            kind: entry.kind.as_str(),
            reason: entry.reason,
            failed_at: date(entry.failed_at),
            retry_at: date(entry.retry_at),
            retry_in_seconds: remaining.map_or(0, |left| left.as_secs() + u64::from(left.subsec_nanos() > 0)),
            attempts: entry.attempts,
            client: entry.client,
        }
    }
}

/// `GET /admin/failed-torrents?all=1`.
pub async fn failed<L: Library>(site: &Site<L>, ask: &Ask) -> Answered {
    ask.only("GET, HEAD")?;
    let all = ask.switch("all")?;
    let rows =
        move |table: &FailedTable, now| Ok(table.list(all, now)?.into_iter().map(FailedRow::from).collect());
    reply::json(&Failed { failed: on_table(site, rows).await? })
}

#[derive(Serialize)]
struct Cleared {
    cleared: usize,
}

/// `POST /admin/failed-torrents/clear`.
pub async fn clear<L: Library>(site: &Site<L>, ask: &Ask) -> Answered {
    ask.only("POST")?;
    let dropped = on_table(site, |table, now| table.clear(&[], now)).await?;
    reply::json(&Cleared { cleared: dropped.len() })
}

/// `DELETE /admin/failed-torrents/{hash}`.
pub async fn forget<L: Library>(site: &Site<L>, ask: &Ask, hash: &str) -> Answered {
    ask.only("DELETE")?;
    let info_hash = parsed(hash)?;
    let dropped = on_table(site, move |table, now| table.clear(&[info_hash], now)).await?;
    if dropped.is_empty() {
        let message = format!("torrent {info_hash} is not in the table of failed torrents");
        return Err(Problem::not_found().saying(message));
    }
    reply::json(&Cleared { cleared: dropped.len() })
}

/// The table waits for other processes, so it is used where waiting is allowed.
async fn on_table<L: Library, T: Send + 'static>(
    site: &Site<L>,
    work: impl FnOnce(&FailedTable, OffsetDateTime) -> Result<T, Error> + Send + 'static,
) -> Result<T, Problem> {
    let table = site.library.table();
    let worked = tokio::task::spawn_blocking(move || work(&table, OffsetDateTime::now_utc())).await;
    worked.map_err(|_| Problem::internal())?.map_err(problem)
}

/// As `cleanup --json` has it.
#[derive(Serialize)]
struct Cleanup {
    removed: Vec<RemovedRow>,
    kept: Vec<KeptRow>,
    freed_bytes: u64,
    dry_run: bool,
    expired_failed_entries: usize,
}

#[derive(Serialize)]
struct RemovedRow {
    info_hash: InfoHash,
    bytes: u64,
    idle_seconds: u64,
}

#[derive(Serialize)]
struct KeptRow {
    info_hash: InfoHash,
    reason: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
    bytes: u64,
    idle_seconds: u64,
}

impl From<Removed> for RemovedRow {
    fn from(removed: Removed) -> Self {
        Self { info_hash: removed.info_hash, bytes: removed.bytes, idle_seconds: removed.idle.as_secs() }
    }
}

impl From<Kept> for KeptRow {
    fn from(kept: Kept) -> Self {
        let (reason, message) = match kept.reason {
            KeptReason::InUse => ("in_use", None),
            KeptReason::Recent => ("recent", None),
            KeptReason::NotOurs => ("not_ours", None),
            KeptReason::Failed(message) => ("failed", Some(message)),
        };
        let Kept { info_hash, bytes, idle, .. } = kept;
        Self { info_hash, reason, message, bytes, idle_seconds: idle.as_secs() }
    }
}

/// `POST /admin/cleanup?older_than=30m&dry_run=1`.
pub async fn cleanup<L: Library>(site: &Arc<Site<L>>, ask: &Ask) -> Answered {
    ask.only("POST")?;
    let (older_than, dry_run) = (duration(ask, "older_than", IDLE)?, ask.switch("dry_run")?);
    let here = site.clone();
    let worked = tokio::task::spawn_blocking(move || {
        let (now, table) = (OffsetDateTime::now_utc(), here.library.table());
        let report = here.library.cleanup(older_than, dry_run, now)?;
        let expired = if dry_run { table.expired(now) } else { table.purge_expired(now) }?;
        Ok((report, expired))
    });
    let (report, expired): (CleanupReport, usize) =
        worked.await.map_err(|_| Problem::internal())?.map_err(problem)?;
    reply::json(&Cleanup {
        removed: report.removed.into_iter().map(RemovedRow::from).collect(),
        kept: report.kept.into_iter().map(KeptRow::from).collect(),
        freed_bytes: report.freed,
        dry_run: report.dry_run,
        expired_failed_entries: expired,
    })
}

#[derive(Serialize)]
struct Health {
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<Details>,
}

#[derive(Serialize)]
struct Details {
    version: &'static str,
    uptime_seconds: u64,
    /// What is wrong.
    troubles: Vec<String>,
    dht_nodes: Option<usize>,
    disk_free_bytes: Option<u64>,
    disk_floor_bytes: u64,
    temp_bytes: u64,
    torrents: usize,
    torrents_most: usize,
    readers: usize,
    connections: usize,
}

/// `GET /health`: 200 when requests can be served, else 503; why is told to those who may know.
pub fn health<L: Library>(site: &Site<L>, ask: &Ask) -> Answered {
    ask.only("GET, HEAD")?;
    let condition = site.library.condition();
    let mut troubles = Vec::new();
    if site.stop.is_cancelled() {
        troubles.push("the server is shutting down".to_owned());
    }
    if condition.free_bytes.is_some_and(|free| free < condition.floor_bytes) {
        troubles.push("the disk is full: less is free than is to be left free".to_owned());
    }
    let well = troubles.is_empty();
    let knows = site.guard.policy().token.is_none() || ask.visitor.trusted;
    let details = knows.then(|| Details {
        version: env!("CARGO_PKG_VERSION"),
        uptime_seconds: site.since.elapsed().as_secs(),
        troubles,
        dht_nodes: condition.dht_nodes,
        disk_free_bytes: condition.free_bytes,
        disk_floor_bytes: condition.floor_bytes,
        temp_bytes: condition.temp_bytes,
        torrents: site.library.count(),
        torrents_most: condition.torrents_most,
        readers: site.metrics.readers(),
        connections: site.connections(),
    });
    let mut response = reply::json(&Health { status: if well { "ok" } else { "unavailable" }, details })?;
    if !well {
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    }
    Ok(response)
}

/// `GET /metrics`.
pub async fn metrics<L: Library>(site: &Site<L>, ask: &Ask) -> Answered {
    ask.only("GET, HEAD")?;
    let cooling = on_table(site, |table, now| table.count_cooling(now)).await.unwrap_or_default();
    // Where each reader is, nobody asks here.
    let (condition, torrents) = (site.library.condition(), site.library.torrents());
    let text =
        site.metrics.exposition(&condition, &torrents, cooling, site.connections()).map_err(problem)?;
    let mut response = Response::new(text.into());
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// `GET /openapi.json`.
pub fn description(ask: &Ask) -> Answered {
    ask.only("GET, HEAD")?;
    let mut response = Response::new(OPENAPI.into());
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

impl<L> Site<L> {
    fn connections(&self) -> usize {
        self.crowd.get().map_or(0, |crowd| crowd.count())
    }
}

fn parsed(hash: &str) -> Result<InfoHash, Problem> {
    hash.parse().map_err(|error: Error| Problem::from(&error))
}

fn duration(ask: &Ask, name: &str, usual: Duration) -> Result<Duration, Problem> {
    ask.value(name).map_or(Ok(usual), |text| {
        humantime::parse_duration(text)
            .map_err(|_| Problem::bad_request(format!("{name} is a duration, such as 90s, 30m or 2h")))
    })
}

fn unknown(info_hash: &InfoHash) -> Problem {
    Problem::not_found().saying(format!("torrent {info_hash} is not open here"))
}

fn problem(error: Error) -> Problem {
    if matches!(error, Error::Internal(_) | Error::Storage { .. }) {
        tracing::error!("{error}");
    }
    Problem::from(&error)
}

fn date(at: OffsetDateTime) -> String {
    at.replace_nanosecond(0).unwrap_or(at).format(&Rfc3339).unwrap_or_else(|_| at.to_string())
}
