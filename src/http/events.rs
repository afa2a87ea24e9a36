//! `/events`: the state of the torrents whenever it changes, for a page that watches. `brief` leaves their files out, of
//! which there can be thousands: the have-map says as much.

use std::{convert::Infallible, sync::Arc, time::Duration};

use futures_util::{Stream, stream};
use sync_wrapper::SyncStream;
use tokio::sync::OwnedSemaphorePermit;
use warp::{
    Reply as _,
    http::{HeaderValue, StatusCode, header},
    reply::Response,
    sse::{self, Event},
};

use super::{
    library::{Library, TorrentReport},
    reply::Problem,
    routes::{Ask, Site},
};

/// The least time between two events.
const TICK: Duration = Duration::from_secs(1);
/// Without an event, a sign of life.
const ALIVE: Duration = Duration::from_secs(15);

/// `GET /events`.
pub fn watch<L: Library>(site: &Arc<Site<L>>, ask: &Ask) -> Result<Response, Problem> {
    ask.only("GET")?;
    let place = site.watchers.clone().try_acquire_owned().map_err(|_| {
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "busy", "Busy")
            .saying("too many pages watch this server. Try again in 5 seconds")
            .with(header::RETRY_AFTER, 5)
    })?;
    let events = SyncStream::new(events(site.clone(), ask.switch("brief")?, place));
    let kept = sse::keep_alive().interval(ALIVE).stream(events);
    let mut response = sse::reply(kept).into_response();
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // Proxies pass events on as they come.
    response.headers_mut().insert("x-accel-buffering", HeaderValue::from_static("no"));
    Ok(response)
}

struct Watcher<L> {
    site: Arc<Site<L>>,
    brief: bool,
    told: Option<Vec<TorrentReport>>,
    _place: OwnedSemaphorePermit,
}

fn events<L: Library>(
    site: Arc<Site<L>>,
    brief: bool,
    place: OwnedSemaphorePermit,
) -> impl Stream<Item = Result<Event, Infallible>> + Send + 'static {
    let watcher = Watcher { site, brief, told: None, _place: place };
    stream::unfold(watcher, |mut watcher| async move {
        let event = watcher.next().await?;
        Some((Ok(event), watcher))
    })
}

impl<L: Library> Watcher<L> {
    /// The next change; `None` when the server stops.
    async fn next(&mut self) -> Option<Event> {
        loop {
            if self.told.is_some() {
                let stopped = self.site.stop.cancelled();
                tokio::time::timeout(TICK, stopped).await.err()?;
            }
            let mut torrents = self.site.torrents();
            if self.brief {
                torrents.iter_mut().for_each(|torrent| torrent.files.clear());
            }
            if self.told.as_ref() == Some(&torrents) {
                continue;
            }
            let event = Event::default().event("torrents").json_data(&torrents).ok()?;
            self.told = Some(torrents);
            return Some(event);
        }
    }
}
