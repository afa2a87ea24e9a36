//! The metainfo behind a source: read from a file or stdin, or fetched from a URL within bounds.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
    thread,
    time::Duration,
};

use bytes::Bytes;
use tokio::sync::oneshot;
use url::Url;

use super::{
    Error,
    metainfo::Metainfo,
    settings::SwarmSettings,
    swarm::{metainfo::parse, trackers::http_client},
};

pub use super::swarm::metainfo::MAX_METAINFO;

/// For the whole answer.
const FETCH_TIMEOUT: Duration = Duration::from_secs(30);

/// Reads a `.torrent` file.
pub async fn from_file(path: &Path) -> Result<Metainfo, Error> {
    let path = path.to_owned();
    aside(move || {
        let file = File::open(&path)
            .map_err(|error| Error::BadSource(format!("cannot open {}: {error}", path.display())))?;
        if file.metadata().is_ok_and(|metadata| metadata.is_dir()) {
            return Err(Error::BadSource(format!("{} is a directory, not a .torrent file", path.display())));
        }
        from_reader(file, &path.display().to_string())
    })
    .await
}

/// Takes the bytes of a `.torrent` file apart.
pub fn from_bytes(bytes: Bytes) -> Result<Metainfo, Error> {
    parse(bytes)
}

/// Reads a `.torrent` file from stdin.
pub async fn from_stdin() -> Result<Metainfo, Error> {
    aside(|| from_reader(io::stdin().lock(), "standard input")).await
}

/// On a thread of its own, which nobody waits for at the end: a pipe may never say anything, and must not hold up whoever
/// does not want to wait for it any more.
async fn aside(read: impl FnOnce() -> Result<Metainfo, Error> + Send + 'static) -> Result<Metainfo, Error> {
    let (done, outcome) = oneshot::channel();
    thread::Builder::new()
        .name("source".into())
        .spawn(move || drop(done.send(read())))
        .map_err(|error| Error::Internal(format!("cannot start a thread: {error}")))?;
    outcome.await.map_err(|_| Error::Internal("the thread that reads the source ended early".into()))?
}

fn from_reader(reader: impl Read, name: &str) -> Result<Metainfo, Error> {
    let mut bytes = Vec::new();
    // One byte more than is allowed, so that parsing can tell that it is too much.
    reader
        .take(MAX_METAINFO as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| Error::BadSource(format!("cannot read {name}: {error}")))?;
    parse(bytes.into())
}

/// Fetches a `.torrent` file: 10 MiB, 30 s, three redirects at most.
pub async fn from_url(url: &Url, settings: &SwarmSettings) -> Result<Metainfo, Error> {
    let failed =
        |reason: String| Error::BadSource(format!("cannot fetch {}: {reason}", without_secrets(url)));
    let client =
        http_client(settings, FETCH_TIMEOUT, url).map_err(|error| Error::Internal(error.to_string()))?;
    let mut response = client.get(url.clone()).send().await.map_err(|error| failed(deepest(&error)))?;
    if !response.status().is_success() {
        return Err(failed(format!("the server answered {}", response.status())));
    }
    let mut body = Vec::new();
    while let Some(part) = response.chunk().await.map_err(|error| failed(deepest(&error)))? {
        body.extend_from_slice(&part);
        if body.len() > MAX_METAINFO {
            return Err(failed(format!(
                "it is larger than {} MiB, so not a .torrent file",
                MAX_METAINFO >> 20
            )));
        }
    }
    parse(Bytes::from(body))
}

/// Passwords and passkeys of a URL are nobody's business but the server's.
fn without_secrets(url: &Url) -> String {
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    format!("{}://{}{port}/…", url.scheme(), url.host_str().unwrap_or("?"))
}

/// The cause that says something: reqwest's own texts repeat the URL.
fn deepest(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    if error.is_timeout() { "no answer in time".into() } else { cause.to_string() }
}
