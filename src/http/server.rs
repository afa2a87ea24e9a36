//! Accepts connections and keeps each of them within its limits: on headers, on idleness, on readers that take
//! nothing, on their number. Ends in good order.
//!
//! What a request is answered with is the [`Handler`]'s business; a handler that panics is answered for here.

use std::{
    convert::Infallible,
    error::Error as StdError,
    future::Future,
    io,
    net::SocketAddr,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures_util::FutureExt as _;
use hyper::{
    Request,
    body::{Body, Frame, Incoming, SizeHint},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use prometheus_client::metrics::counter::Counter;
use tokio::io::{AsyncWrite, AsyncWriteExt as _};
use tokio_util::{
    sync::CancellationToken,
    task::{AbortOnDropHandle, TaskTracker},
};
use warp::reply::Response;

use super::{
    crowd::{Crowd, Running, Seated},
    lane::{Conduit, Lane},
    listen::{Accepted, Listener, Place},
    pulse::Pulse,
    reply::Problem,
    transport::{Line, Patience, Transport},
};

/// The whole of a request's head: nothing that a player sends comes near it.
const MAX_HEADER_BYTES: usize = 16 * 1024;
/// Header lines of a request.
const MAX_HEADERS: usize = 64;
/// What waits in memory for a connection to take it, beside what the kernel holds.
const WRITE_BUFFER: usize = 128 * 1024;
/// A connection that gives way between two requests may still flush for so long.
const FAREWELL: Duration = Duration::from_secs(1);
/// After an error that says that there are no more file descriptors.
const BREATH: Duration = Duration::from_millis(50);

/// What a connection may cost.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Connections at once.
    pub connections: usize,
    /// From the first byte of a connection or the end of an answer to the end of the next request's head.
    pub header: Duration,
    /// How long an answer's reader may take nothing.
    pub patience: Patience,
    /// How long an answer's reader may leave everything unanswered, down to the kernel's own questions.
    pub silence: Duration,
    /// How long requests may go on once the server is to stop.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 4096,
            header: Duration::from_secs(15),
            patience: Patience { usual: Duration::from_secs(600), crowded: Duration::from_secs(60) },
            silence: Duration::from_secs(30),
            drain: Duration::from_secs(10),
        }
    }
}

/// What is counted here.
#[derive(Debug, Clone, Default)]
pub struct Counters {
    /// Bytes of answers, without their heads.
    pub sent: Counter,
    /// Handlers and bodies that panicked.
    pub panics: Counter,
}

/// How a request came in.
#[derive(Debug, Clone)]
pub struct Arrival {
    /// The other side; `None` through a Unix socket.
    pub remote: Option<SocketAddr>,
    /// Where it was accepted.
    pub place: Arc<Place>,
    /// The server is full: only the operator is answered.
    pub spare: bool,
    /// What a body may be sent by.
    pub lane: Lane,
}

/// Answers requests.
pub trait Handler: Send + Sync + 'static {
    /// The answer to one request.
    fn answer(&self, request: Request<Incoming>, arrival: Arrival) -> impl Future<Output = Response> + Send;
}

/// A server that is not running yet.
pub struct Server<H> {
    handler: Arc<H>,
    crowd: Arc<Crowd>,
    pulse: Arc<Pulse>,
    limits: Limits,
    counters: Counters,
}

/// What all connections of a running server share.
struct Shared<H> {
    server: Server<H>,
    http: http1::Builder,
    /// No new connections, no new requests.
    stop: CancellationToken,
    /// The end for what still runs.
    cut: CancellationToken,
    connections: TaskTracker,
}

impl<H: Handler> Server<H> {
    /// A server whose requests `handler` answers.
    pub fn new(handler: Arc<H>, limits: Limits, counters: Counters) -> Self {
        let (crowd, pulse) = (Crowd::new(limits.connections), Pulse::new(limits.silence));
        Self { handler, crowd, pulse, limits, counters }
    }

    /// Its connections.
    pub fn crowd(&self) -> &Arc<Crowd> {
        &self.crowd
    }

    /// Serves until `stop`, then lets requests end for as long as the limits allow, then cuts them.
    pub async fn run(self, listeners: Vec<Listener>, stop: CancellationToken) {
        let (drain, cut, connections) = (self.limits.drain, CancellationToken::new(), TaskTracker::new());
        let http = builder(&self.limits);
        let _looking = AbortOnDropHandle::new(tokio::spawn(self.pulse.clone().look_on()));
        let shared =
            Arc::new(Shared { server: self, http, stop: stop.clone(), cut: cut.clone(), connections });
        let accepting = TaskTracker::new();
        for listener in listeners {
            accepting.spawn(accept(listener, shared.clone()));
        }
        stop.cancelled().await;
        accepting.close();
        accepting.wait().await;
        shared.connections.close();
        if tokio::time::timeout(drain, shared.connections.wait()).await.is_err() {
            tracing::debug!("cutting {} connections", shared.connections.len());
        }
        cut.cancel();
        shared.connections.wait().await;
    }
}

fn builder(limits: &Limits) -> http1::Builder {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(limits.header)
        .max_headers(MAX_HEADERS)
        .max_header_size(MAX_HEADER_BYTES)
        .max_buf_size(WRITE_BUFFER)
        // A copy of a stand-in would be sent as it is.
        .writev(true);
    http
}

async fn accept<H: Handler>(listener: Listener, shared: Arc<Shared<H>>) {
    let place = Arc::new(listener.place().clone());
    while let Some(accepted) = shared.stop.run_until_cancelled(listener.accept()).await {
        match accepted {
            Ok(accepted) => {
                let Some(seated) = shared.stop.run_until_cancelled(shared.server.crowd.enter()).await else {
                    return;
                };
                shared.connections.spawn(converse(accepted, seated, place.clone(), shared.clone()));
            }
            Err(error) if is_scarcity(&error) => {
                tracing::warn!("cannot accept a connection: {error}; raise the limit on open files");
                tokio::time::sleep(BREATH).await;
            }
            // The other side left while it was being accepted.
            Err(error) => tracing::debug!("a connection was lost: {error}"),
        }
    }
}

fn is_scarcity(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM))
}

async fn converse<H: Handler>(accepted: Accepted, seated: Seated, place: Arc<Place>, shared: Arc<Shared<H>>) {
    let lane = Lane::default();
    let conduit = Conduit::new(accepted.stream, lane.clone());
    let server = &shared.server;
    let line = accepted.ends.map(|ends| Line { pulse: server.pulse.clone(), ends });
    let transport = Transport::new(conduit, &seated, server.limits.patience, line);
    let remote = accepted.remote;
    let service = service_fn(|request| {
        let running = seated.seat().run();
        let arrival =
            Arrival { remote, place: place.clone(), spare: seated.seat().is_spare(), lane: lane.clone() };
        let shared = shared.clone();
        async move { shared.server.answer(request, arrival, running).await }
    });
    let mut connection = shared.http.serve_connection(TokioIo::new(transport), service);
    let ended = tokio::select! {
        ended = &mut connection => ended,
        () = shared.stop.cancelled() => {
            Pin::new(&mut connection).graceful_shutdown();
            tokio::select! {
                ended = &mut connection => ended,
                () = shared.cut.cancelled() => return,
            }
        }
        () = seated.dismissed() => {
            if !seated.seat().has_been_asked() {
                return turn_away(connection.into_parts().io.into_inner());
            }
            Pin::new(&mut connection).graceful_shutdown();
            tokio::select! {
                ended = &mut connection => ended,
                () = tokio::time::sleep(FAREWELL) => return,
            }
        }
    };
    if let Err(error) = ended {
        tracing::debug!("a connection ended early: {error}");
    }
}

/// Nothing was said on it yet, so there is room for this, and for nothing else.
fn turn_away(mut stream: impl AsyncWrite + Unpin) {
    let _ = stream.write_all(&Problem::full().into_wire()).now_or_never();
}

impl<H: Handler> Server<H> {
    async fn answer(
        &self,
        request: Request<Incoming>,
        arrival: Arrival,
        running: Option<Running>,
    ) -> Result<
        hyper::Response<Answer<impl Body<Data = Bytes, Error = warp::Error> + Unpin + use<H>>>,
        Infallible,
    > {
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let response = match running.is_some() {
            true => self.handle(request, arrival).await,
            false => Problem::full().into_response(),
        };
        tracing::debug!("{method} {}: {}", path.escape_debug(), response.status().as_u16());
        Ok(response.map(|body| Answer {
            body,
            counters: self.counters.clone(),
            broken: None,
            _running: running,
        }))
    }

    async fn handle(&self, request: Request<Incoming>, arrival: Arrival) -> Response {
        let answered = AssertUnwindSafe(self.handler.answer(request, arrival)).catch_unwind().await;
        answered.unwrap_or_else(|_| {
            self.counters.panics.inc();
            Problem::internal().into_response()
        })
    }
}

/// A body that is counted, and whose panic costs no more than itself.
struct Answer<B> {
    body: B,
    counters: Counters,
    /// Told with the next poll.
    broken: Option<Broken>,
    _running: Option<Running>,
}

type Broken = Box<dyn StdError + Send + Sync>;

impl<B> Answer<B> {
    /// hyper lets go of what it has not sent yet, the head even, as soon as it hears of an error; so it may send that first.
    fn breaks(&mut self, error: Broken, cx: &Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        self.broken = Some(error);
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl<B: Body<Data = Bytes, Error = warp::Error> + Unpin> Body for Answer<B> {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if let Some(error) = self.broken.take() {
            return Poll::Ready(Some(Err(error)));
        }
        let polled = catch_unwind(AssertUnwindSafe(|| Pin::new(&mut self.body).poll_frame(cx)));
        let Ok(polled) = polled else {
            self.counters.panics.inc();
            return self.breaks("a body panicked".into(), cx);
        };
        match polled {
            Poll::Ready(Some(Ok(frame))) => {
                self.counters.sent.inc_by(frame.data_ref().map_or(0, Bytes::len) as u64);
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => self.breaks(error.into(), cx),
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.broken.is_none() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
