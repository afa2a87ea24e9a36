//! `/stream/proxy/…`: one file of a torrent, from its first bytes on.
//!
//! What a request names (a hash, a magnet, trackers, a file) is taken apart here; a name that leads into a private
//! network goes no further.

use std::{ops::Range, sync::Arc, time::Duration};

use tokio::{net::lookup_host, time::timeout};
use url::{Host, Url};
use warp::reply::Response;

use super::{
    body::Content,
    deliver::{Asked, deliver},
    guard::too_many,
    library::{Counted, Library, RangeOf, Wanted},
    reply::Problem,
    routes::{Ask, Site},
};
use crate::core::{
    Error,
    media::{FileSelector, Media},
    reach::is_inside,
    source::{InfoHash, Magnet, tracker_url},
};

/// Trackers taken from one request.
const MAX_TRACKERS: usize = 20;

/// A tracker whose name is not found so soon is not waited for.
const LOOKUP: Duration = Duration::from_secs(3);

/// The answer to a request for a file; `index` is the one in the path.
pub async fn file<L: Library>(
    site: &Arc<Site<L>>,
    ask: &Ask,
    hash: &str,
    index: Option<&str>,
) -> Result<Response, Problem> {
    ask.only("GET, HEAD")?;
    let (wanted, began) = (wanted(ask, hash, index)?, std::time::Instant::now());
    let from = ask.visitor.address.map_or_else(|| "a local socket".to_owned(), |from| from.to_string());
    tracing::info!("Proxy stream request for {} from {from}", wanted.magnet.info_hash);
    let (method, headers) = (ask.method.clone(), ask.headers.clone());
    let range = Box::new(move |media: &Media| Asked { method: &method, headers: &headers }.range(media));
    let (content, chunks) = open(site, ask, wanted, range).await?;
    let asked = Asked { method: &ask.method, headers: &ask.headers };
    let media = content.media();
    let place = |range: Range<u64>| site.readers.enter(media.info_hash, media.index, range.start);
    let reader = |range| Counted::new(chunks, place(range), site.metrics.reader());
    let response = deliver(media, asked, reader, ask.lane.clone()).await?;
    site.metrics.opened(began);
    Ok(response)
}

/// Opens what a request may open.
pub async fn open<L: Library>(
    site: &Site<L>,
    ask: &Ask,
    mut wanted: Wanted,
    range: RangeOf,
) -> Result<(L::Content, Chunks<L>), Problem> {
    // Held until it is open: a player's other connections, which come meanwhile, start nothing.
    let _beginning = match site.library.starts(&wanted) {
        true => Some(site.beginnings.enter(wanted.magnet.info_hash, || count_start(site, ask))?),
        false => None,
    };
    check_names(site, &mut wanted).await?;
    site.library.open(wanted, range).await.map_err(|error| failed(site, &error))
}

type Chunks<L> = <<L as Library>::Content as Content>::Chunks;

/// What is named is looked up only when it may be asked; else it is forgotten, so that nobody asks it unseen.
async fn check_names<L: Library>(site: &Site<L>, wanted: &mut Wanted) -> Result<(), Problem> {
    let magnet = &mut wanted.magnet;
    if site.guard.policy().private_peers || (magnet.trackers.is_empty() && magnet.peers.is_empty()) {
        return Ok(());
    }
    if site.library.asks(wanted) {
        return refuse_private(&wanted.magnet).await;
    }
    (wanted.magnet.trackers, wanted.magnet.peers) = (Vec::new(), Vec::new());
    Ok(())
}

/// What became of a request for a torrent, counted and logged.
pub fn failed<L: Library>(site: &Site<L>, error: &Error) -> Problem {
    let problem = Problem::from(error);
    site.metrics.failed(error, problem.kind());
    match error {
        Error::Internal(_) | Error::Storage { .. } => tracing::error!("{error}"),
        _ => tracing::info!("{error}"),
    }
    problem
}

/// Lets an address begin with only so many torrents a minute.
pub fn count_start<L: Library>(site: &Site<L>, ask: &Ask) -> Result<(), Problem> {
    if let Some(address) = ask.visitor.address {
        let taken = site.starts.take(address, tokio::time::Instant::now());
        taken.map_err(|wait| too_many("new torrents", wait))?;
    }
    site.metrics.started();
    Ok(())
}

/// What a request names.
pub fn wanted(ask: &Ask, hash: &str, index: Option<&str>) -> Result<Wanted, Problem> {
    let info_hash: InfoHash = hash.parse().map_err(|error: Error| Problem::from(&error))?;
    let mut magnet = match ask.value("magnet") {
        Some(magnet) => magnet.parse().map_err(|error: Error| Problem::from(&error))?,
        None => Magnet::bare(info_hash),
    };
    if magnet.info_hash != info_hash {
        return Err(Problem::bad_request("the magnet link names another torrent than the path"));
    }
    let named = ask.values("tr");
    for tracker in named.clone() {
        let url = tracker_url(tracker).ok_or_else(|| {
            Problem::bad_request("tr is a tracker, such as https://tracker.example/announce")
        })?;
        if !magnet.trackers.contains(&url) {
            magnet.trackers.push(url);
        }
    }
    if magnet.trackers.len().max(named.count()) > MAX_TRACKERS {
        return Err(Problem::bad_request(format!("more than {MAX_TRACKERS} trackers")));
    }
    let selector = match (index, ask.value("file")) {
        (Some(index), _) => FileSelector::Index(index.parse().map_err(|_| {
            Problem::bad_request("the path is /stream/proxy/{hash}/{number of the file, from 0}/{name}")
        })?),
        (None, Some(file)) => selector(file)?,
        (None, None) => FileSelector::Auto,
    };
    let client = ask.visitor.address;
    Ok(Wanted { magnet, selector, force: ask.switch("force")?, client })
}

/// A number is an index; anything else is an episode or a glob.
pub fn selector(file: &str) -> Result<FileSelector, Problem> {
    match file.parse() {
        Ok(index) => Ok(FileSelector::Index(index)),
        Err(_) => FileSelector::pattern(file).map_err(|error| Problem::from(&error)),
    }
}

/// Refuses what would make this machine talk to itself or its neighbours on a stranger's behalf.
pub async fn refuse_private(magnet: &Magnet) -> Result<(), Problem> {
    let trackers =
        magnet.trackers.iter().filter_map(|url| Some((host_of(url)?, url.port_or_known_default()?)));
    let peers = magnet.peers.iter().filter_map(|peer| {
        let (host, port) = peer.rsplit_once(':')?;
        Some((host.trim_matches(['[', ']']).to_owned(), port.parse().ok()?))
    });
    let named: Vec<(String, u16)> = trackers.chain(peers).collect();
    let looked_up = named.iter().map(|(host, port)| leads_inside(host, *port));
    let inside = futures_util::future::join_all(looked_up).await;
    let Some(at) = inside.iter().position(|inside| *inside) else { return Ok(()) };
    Err(Problem::bad_request(format!(
        "{:?} is in a private network; --allow-private-peers lets requests name such trackers and peers",
        named[at].0
    )))
}

fn host_of(url: &Url) -> Option<String> {
    Some(match url.host()? {
        Host::Domain(name) => name.to_owned(),
        Host::Ipv4(address) => address.to_string(),
        Host::Ipv6(address) => address.to_string(),
    })
}

/// Whether a name means an address that only this network can reach. One that is not found leads nowhere.
async fn leads_inside(host: &str, port: u16) -> bool {
    if let Ok(address) = host.parse() {
        return is_inside(address);
    }
    match timeout(LOOKUP, lookup_host((host, port))).await {
        Ok(Ok(mut found)) => found.any(|address| is_inside(address.ip())),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn names_are_looked_up_before_they_are_believed() {
        assert!(leads_inside("localhost", 80).await);
        assert!(leads_inside("127.0.0.1", 80).await);
        assert!(!leads_inside("name.that.is.invalid", 80).await);
        let magnet = |tail: &str| -> Magnet {
            format!("magnet:?xt=urn:btih:{}{tail}", "a".repeat(40)).parse().expect("a magnet")
        };
        for inside in ["&tr=http://localhost/announce", "&tr=udp://[::1]:80/a", "&x.pe=10.0.0.1:6881"] {
            assert!(refuse_private(&magnet(inside)).await.is_err(), "{inside}");
        }
        assert!(refuse_private(&magnet("&tr=http://1.1.1.1/a&x.pe=[2606:4700::1]:80")).await.is_ok());
    }
}
