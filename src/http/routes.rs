//! From a path to whoever answers it. Every path is known here; every answer is JSON, a file, or a list for a
//! machine.

use std::{convert::Infallible, future::Future, sync::Arc};

use bytes::Bytes;
use hyper::{Request, body::Incoming};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tower_service::Service as _;
use warp::{
    Filter, Rejection,
    filters::BoxedFilter,
    http::{
        HeaderMap, HeaderValue, Method, StatusCode,
        header::{
            ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
            ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ALLOW, HeaderName, ORIGIN, VARY,
            X_CONTENT_TYPE_OPTIONS,
        },
        request::Parts,
    },
    reply::Response,
};

use super::{
    add, admin,
    beginnings::Beginnings,
    crowd::Crowd,
    events,
    guard::{Guard, Policy, Visitor},
    lane::Lane,
    library::{Library, TorrentReport},
    limiter::Limiter,
    metrics::Metrics,
    page, playlist,
    readers::Readers,
    reply::Problem,
    server::{Arrival, Handler, Limits, Server},
    stream,
};
use crate::core::source::InfoHash;

const CORP: HeaderName = HeaderName::from_static("cross-origin-resource-policy");
const PRIVATE_NETWORK: HeaderName = HeaderName::from_static("access-control-request-private-network");
const ALLOW_PRIVATE_NETWORK: HeaderName = HeaderName::from_static("access-control-allow-private-network");
const REFERRER_POLICY: HeaderName = HeaderName::from_static("referrer-policy");

/// Pages that watch `/events` at once.
const WATCHERS: usize = 64;

/// What all routes share.
pub struct Site<L> {
    /// The torrents.
    pub library: L,
    /// Who may do what.
    pub guard: Guard,
    /// What is counted.
    pub metrics: Metrics,
    /// Torrents that addresses may start.
    pub starts: Limiter,
    /// Those that are being started.
    pub beginnings: Beginnings,
    /// Answers that are being sent.
    pub readers: Readers,
    /// Places for watchers of `/events`.
    pub watchers: Arc<Semaphore>,
    /// The server is to stop; whoever only watches is let go.
    pub stop: CancellationToken,
    /// The server's connections.
    pub crowd: std::sync::OnceLock<Arc<Crowd>>,
    /// Since when it has been running.
    pub since: std::time::Instant,
}

/// One request that was let through.
#[derive(Debug)]
pub struct Ask {
    /// Its method.
    pub method: Method,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its query, decoded.
    pub query: Vec<(String, String)>,
    /// Who asks.
    pub visitor: Visitor,
    /// What a body may be sent by.
    pub lane: Lane,
    /// What it brings, where something may be brought.
    pub body: Bytes,
}

impl Ask {
    /// The first value of a query parameter.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.values(name).next()
    }

    /// Every value of a query parameter.
    pub fn values(&self, name: &str) -> impl Iterator<Item = &str> + Clone {
        self.query.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// A switch in the query: `1`, `true`, `yes` or nothing at all after its name.
    pub fn switch(&self, name: &str) -> Result<bool, Problem> {
        match self.value(name) {
            None | Some("0" | "false" | "no") => Ok(false),
            Some("" | "1" | "true" | "yes") => Ok(true),
            Some(_) => Err(Problem::bad_request(format!("{name} is 1 or 0"))),
        }
    }

    /// Refuses every method but these; HEAD goes with GET, and OPTIONS is told which they are. The first thing that a route
    /// asks: who sends OPTIONS has shown no token.
    pub fn only(&self, allowed: &'static str) -> Result<(), Problem> {
        if self.method == Method::OPTIONS {
            return Err(Problem::methods(allowed));
        }
        let method = if self.method == Method::HEAD { "GET" } else { self.method.as_str() };
        if allowed.split(", ").any(|one| one == method) {
            return Ok(());
        }
        Err(Problem::method_not_allowed(allowed))
    }
}

/// The proxy.
pub struct Proxy<L> {
    site: Arc<Site<L>>,
    routes: BoxedFilter<(Response,)>,
}

impl<L: Library> Site<L> {
    fn new(library: L, policy: Policy, stop: CancellationToken) -> Self {
        Self {
            library,
            metrics: Metrics::default(),
            starts: Limiter::new(policy.starts_per_minute.max(1)),
            beginnings: Beginnings::default(),
            guard: Guard::new(policy),
            readers: Readers::default(),
            watchers: Arc::new(Semaphore::new(WATCHERS)),
            stop,
            crowd: std::sync::OnceLock::new(),
            since: std::time::Instant::now(),
        }
    }
}

/// A server of `library`, to be run with the same `stop`.
pub fn server<L: Library>(
    library: L,
    policy: Policy,
    limits: Limits,
    stop: &CancellationToken,
) -> Server<Proxy<L>> {
    let site = Arc::new(Site::new(library, policy, stop.clone()));
    let counters = site.metrics.server().clone();
    let routes = routes(site.clone()).boxed();
    let server = Server::new(Arc::new(Proxy { site: site.clone(), routes }), limits, counters);
    let _ = site.crowd.set(server.crowd().clone());
    server
}

impl<L: Library> Handler for Proxy<L> {
    async fn answer(&self, request: Request<Incoming>, arrival: Arrival) -> Response {
        let (parts, body) = request.into_parts();
        let query = parts.uri.query().unwrap_or_default();
        let query: Vec<_> = url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        let (method, headers) = (parts.method.clone(), parts.headers.clone());
        let response = match self.site.guard.admit(&parts, &query, &arrival) {
            Err(problem) => self.site.refuse(problem),
            Ok(_) if method == Method::OPTIONS && parts.uri.path() == "*" => options(),
            Ok(visitor) => match add::body(&parts, body).await {
                Err(problem) => self.site.refuse(problem),
                Ok(body) => {
                    let headers = headers.clone();
                    self.route(parts, Ask { method, headers, query, visitor, lane: arrival.lane, body }).await
                }
            },
        };
        self.dress(response, &headers)
    }
}

impl<L: Library> Proxy<L> {
    async fn route(&self, mut parts: Parts, ask: Ask) -> Response {
        parts.extensions.insert(Arc::new(ask));
        let request = Request::from_parts(parts, String::new());
        // The service is a handle on the routes; its error is impossible.
        match warp::service(self.routes.clone()).call(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        }
    }

    /// What every answer says to browsers.
    fn dress(&self, mut response: Response, asked: &HeaderMap) -> Response {
        let origins = &self.site.guard.policy().origins;
        let origin =
            asked.get(ORIGIN).filter(|origin| origin.to_str().is_ok_and(|origin| origins.have(origin)));
        let headers = response.headers_mut();
        headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        if origins.is_empty() {
            headers.insert(CORP, HeaderValue::from_static("same-origin"));
            return response;
        }
        headers.insert(CORP, HeaderValue::from_static("cross-origin"));
        headers.append(VARY, HeaderValue::from_static("Origin"));
        if let Some(origin) = origin {
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
            let exposed =
                "Accept-Ranges, Content-Disposition, Content-Length, Content-Range, ETag, Retry-After";
            headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(exposed));
            if headers.contains_key(ALLOW) && response.status() == StatusCode::NO_CONTENT {
                preflight(response.headers_mut(), asked);
            }
        }
        response
    }
}

/// What a page of an allowed site may go on to ask.
fn preflight(headers: &mut HeaderMap, asked: &HeaderMap) {
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, HEAD, POST, DELETE"));
    let allowed = "Authorization, If-Match, If-None-Match, If-Range, Range";
    headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static(allowed));
    headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
    if asked.contains_key(PRIVATE_NETWORK) {
        headers.insert(ALLOW_PRIVATE_NETWORK, HeaderValue::from_static("true"));
    }
}

/// Of the server as a whole.
fn options() -> Response {
    Problem::methods("GET, HEAD, POST, DELETE").into_response()
}

impl<L: Library> Site<L> {
    /// Every torrent, with where its readers are.
    pub fn torrents(&self) -> Vec<TorrentReport> {
        let mut torrents = self.library.torrents();
        for torrent in &mut torrents {
            torrent.positions = self.readers.of(&torrent.info_hash);
            // Told of one torrent alone: hundreds of peers of each of many, every second, nobody reads.
            torrent.peer_list.clear();
        }
        torrents
    }

    /// One of them.
    pub fn torrent(&self, info_hash: &InfoHash) -> Option<TorrentReport> {
        let mut torrent = self.library.torrent(info_hash)?;
        torrent.positions = self.readers.of(info_hash);
        Some(torrent)
    }
}

impl<L> Site<L> {
    /// The answer to a request that is not served, counted.
    pub fn refuse(&self, problem: Problem) -> Response {
        if problem.is_refusal() {
            self.metrics.refused(problem.kind());
        }
        problem.into_response()
    }
}

type Answered = Result<Response, Problem>;

fn routes<L: Library>(
    site: Arc<Site<L>>,
) -> impl Filter<Extract = (Response,), Error = Infallible> + Clone + Send + Sync + 'static {
    files(site.clone())
        .or(torrents(site.clone()))
        .unify()
        .or(failures(site.clone()))
        .unify()
        .or(state(site.clone()))
        .unify()
        .or(watching(site.clone()))
        .unify()
        .recover(move |_: Rejection| {
            let site = site.clone();
            async move { Ok::<_, Infallible>(site.refuse(Problem::not_found())) }
        })
        .unify()
}

/// The site and the request, for a route's function.
fn context<L: Library>(
    site: Arc<Site<L>>,
) -> impl Filter<Extract = (Arc<Site<L>>, Arc<Ask>), Error = Rejection> + Clone {
    warp::any().map(move || site.clone()).and(warp::ext::get::<Arc<Ask>>())
}

/// A route's answer as a response; a refusal is counted.
async fn told<L>(site: Arc<Site<L>>, answered: impl Future<Output = Answered>) -> Response {
    answered.await.unwrap_or_else(|problem| site.refuse(problem))
}

fn files<L: Library>(
    site: Arc<Site<L>>,
) -> impl Filter<Extract = (Response,), Error = Rejection> + Clone + Send + Sync {
    let bare = warp::path!("stream" / "proxy" / String).and(context(site.clone())).then(
        |hash: String, site: Arc<Site<L>>, ask: Arc<Ask>| {
            told(site.clone(), async move { stream::file(&site, &ask, &hash, None).await })
        },
    );
    let named = warp::path!("stream" / "proxy" / String / String / String).and(context(site)).then(
        |hash: String, index: String, _name: String, site: Arc<Site<L>>, ask: Arc<Ask>| {
            told(site.clone(), async move { stream::file(&site, &ask, &hash, Some(&index)).await })
        },
    );
    bare.or(named).unify()
}

fn torrents<L: Library>(
    site: Arc<Site<L>>,
) -> impl Filter<Extract = (Response,), Error = Rejection> + Clone + Send + Sync {
    let all = warp::path!("torrents").and(context(site.clone())).then(|site: Arc<Site<L>>, ask: Arc<Ask>| {
        told(site.clone(), async move {
            match ask.method {
                Method::POST => add::metainfo(&site, &ask).await,
                _ => admin::torrents(&site, &ask),
            }
        })
    });
    let one = warp::path!("torrents" / String).and(context(site.clone())).then(
        |hash: String, site: Arc<Site<L>>, ask: Arc<Ask>| {
            told(site.clone(), async move { admin::torrent(&site, &ask, &hash).await })
        },
    );
    let link = warp::path!("torrents" / String / "link").and(context(site)).then(
        |hash: String, site: Arc<Site<L>>, ask: Arc<Ask>| {
            told(site.clone(), async move { admin::link(&site, &ask, &hash) })
        },
    );
    all.or(one).unify().or(link).unify()
}

fn failures<L: Library>(
    site: Arc<Site<L>>,
) -> impl Filter<Extract = (Response,), Error = Rejection> + Clone + Send + Sync {
    let list = warp::path!("admin" / "failed-torrents").and(context(site.clone())).then(
        |site: Arc<Site<L>>, ask: Arc<Ask>| {
            told(site.clone(), async move { admin::failed(&site, &ask).await })
        },
    );
    let clear = warp::path!("admin" / "failed-torrents" / "clear").and(context(site.clone())).then(
        |site: Arc<Site<L>>, ask: Arc<Ask>| {
            told(site.clone(), async move { admin::clear(&site, &ask).await })
        },
    );
    let forget = warp::path!("admin" / "failed-torrents" / String).and(context(site.clone())).then(
        |hash: String, site: Arc<Site<L>>, ask: Arc<Ask>| {
            told(site.clone(), async move { admin::forget(&site, &ask, &hash).await })
        },
    );
    let cleanup =
        warp::path!("admin" / "cleanup").and(context(site)).then(|site: Arc<Site<L>>, ask: Arc<Ask>| {
            told(site.clone(), async move { admin::cleanup(&site, &ask).await })
        });
    list.or(clear).unify().or(forget).unify().or(cleanup).unify()
}

fn state<L: Library>(
    site: Arc<Site<L>>,
) -> impl Filter<Extract = (Response,), Error = Rejection> + Clone + Send + Sync {
    let health =
        warp::path!("health").and(context(site.clone())).then(|site: Arc<Site<L>>, ask: Arc<Ask>| {
            told(site.clone(), async move { admin::health(&site, &ask) })
        });
    let metrics =
        warp::path!("metrics").and(context(site.clone())).then(|site: Arc<Site<L>>, ask: Arc<Ask>| {
            told(site.clone(), async move { admin::metrics(&site, &ask).await })
        });
    let events =
        warp::path!("events").and(context(site.clone())).then(|site: Arc<Site<L>>, ask: Arc<Ask>| {
            told(site.clone(), async move { events::watch(&site, &ask) })
        });
    let description =
        warp::path!("openapi.json").and(context(site)).then(|site: Arc<Site<L>>, ask: Arc<Ask>| {
            told(site.clone(), async move { admin::description(&ask) })
        });
    health.or(metrics).unify().or(events).unify().or(description).unify()
}

/// What people see, and what their players are given.
fn watching<L: Library>(
    site: Arc<Site<L>>,
) -> impl Filter<Extract = (Response,), Error = Rejection> + Clone + Send + Sync {
    let list = warp::path!("playlist" / String).and(context(site.clone())).then(
        |name: String, site: Arc<Site<L>>, ask: Arc<Ask>| {
            told(site.clone(), async move { playlist::m3u8(&site, &ask, &name).await })
        },
    );
    let subtitles = warp::path!("subtitles" / String / String).and(context(site.clone())).then(
        |hash: String, name: String, site: Arc<Site<L>>, ask: Arc<Ask>| {
            told(site.clone(), async move { playlist::subtitles(&site, &ask, &hash, &name).await })
        },
    );
    let front = warp::path::end()
        .and(context(site.clone()))
        .then(|site: Arc<Site<L>>, ask: Arc<Ask>| told(site.clone(), async move { page::file(&ask, "") }));
    let parts = warp::path!("page" / String).and(context(site)).then(
        |name: String, site: Arc<Site<L>>, ask: Arc<Ask>| {
            told(site.clone(), async move { page::file(&ask, &name) })
        },
    );
    list.or(subtitles).unify().or(front).unify().or(parts).unify()
}

#[cfg(test)]
mod tests;
