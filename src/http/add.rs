//! Makes a torrent known without playing it, and tells what is in it: it is handed in as a `.torrent`, or named.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use warp::{
    http::{Method, StatusCode, request::Parts},
    reply::Response,
};

use super::{
    library::{Library, TorrentReport, Wanted},
    reply::{self, Problem},
    routes::{Ask, Site},
    stream,
};
use crate::core::{
    fetch::{self, MAX_METAINFO},
    source::Magnet,
};

/// For all of a body: 10 MiB at 3 Mbit/s.
const BODY: Duration = Duration::from_secs(30);

/// Whether a request may bring a metainfo.
pub fn takes_body(method: &Method, path: &str) -> bool {
    method == Method::POST && path.trim_end_matches('/') == "/torrents"
}

/// What a request brings; only a request that may bring something is waited for.
pub async fn body(parts: &Parts, body: Incoming) -> Result<Bytes, Problem> {
    if !takes_body(&parts.method, parts.uri.path()) {
        return Ok(Bytes::new());
    }
    let bad = || Problem::bad_request("the body did not come whole");
    let late = |_| Problem::new(StatusCode::REQUEST_TIMEOUT, "bad_request", "Request timeout");
    let read = Limited::new(body, MAX_METAINFO).collect();
    let collected = tokio::time::timeout(BODY, read).await.map_err(late)?;
    Ok(collected.map_err(|_| bad())?.to_bytes())
}

/// `POST /torrents`: a `.torrent` is handed in.
pub async fn metainfo<L: Library>(site: &Arc<Site<L>>, ask: &Ask) -> Result<Response, Problem> {
    if ask.body.is_empty() {
        return Err(Problem::bad_request(
            "send a .torrent as the body; POST /torrents/{hash} names a torrent",
        ));
    }
    let metainfo = fetch::from_bytes(ask.body.clone()).map_err(|error| Problem::from(&error))?;
    let mut magnet = Magnet::bare(metainfo.info_hash);
    magnet.trackers = metainfo.trackers.clone();
    if !site.guard.policy().private_peers {
        stream::refuse_private(&magnet).await?;
    }
    stream::count_start(site, ask)?;
    site.library.keep(metainfo).await.map_err(|error| stream::failed(site, &error))?;
    named(site, ask, &magnet.info_hash.to_string()).await
}

/// `POST /torrents/{hash}`: a torrent is named, and looked for unless it is known.
pub async fn named<L: Library>(site: &Site<L>, ask: &Ask, hash: &str) -> Result<Response, Problem> {
    reply::json(&look(site, ask, stream::wanted(ask, hash, None)?).await?)
}

/// What is in a torrent: known already, or looked for in the swarm.
pub async fn look<L: Library>(site: &Site<L>, ask: &Ask, wanted: Wanted) -> Result<TorrentReport, Problem> {
    let info_hash = wanted.magnet.info_hash;
    // An empty range is there as soon as the files are known.
    drop(stream::open(site, ask, wanted, Box::new(|_| 0..0)).await?);
    let gone = || Problem::not_found().saying(format!("torrent {info_hash} was closed meanwhile"));
    site.torrent(&info_hash).ok_or_else(gone)
}
