//! What the server counts, and how it is told to Prometheus. Nothing is ever labelled with a torrent.

use std::{
    sync::atomic::{AtomicI64, AtomicU64},
    time::Instant,
};

use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::{Registry, Unit},
};

use super::{
    library::{Condition, TorrentReport, TorrentState},
    server::Counters,
};
use crate::core::Error;

/// Seconds to a first byte: from a file on disk to a cold magnet that is nearly given up.
const WAITS: [f64; 14] = [0.001, 0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 40.0, 60.0, 120.0];
/// Seconds that a cooldown had left when somebody came again.
const LEFT: [f64; 8] = [10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0];

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Kind {
    kind: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Refusal {
    r#type: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct State {
    state: &'static str,
}

type Total<L> = Family<L, Counter>;
type Level = Gauge<i64, AtomicI64>;

/// Everything that is counted.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    starts: Counter,
    outcomes: Total<Outcome>,
    failures: Total<Kind>,
    refusals: Total<Refusal>,
    cooldown_left: Histogram,
    first_byte: Histogram,
    readers: Level,
    server: Counters,
    scraped: Scraped,
}

/// What is asked for with every scrape.
#[derive(Debug, Default)]
struct Scraped {
    torrents: Level,
    connections: Level,
    cooling: Level,
    peers: Family<State, Level>,
    received: Gauge<u64, AtomicU64>,
    given: Gauge<u64, AtomicU64>,
    temp: Gauge<u64, AtomicU64>,
    free: Gauge<u64, AtomicU64>,
    dht_nodes: Level,
    tasks: Level,
}

/// Counts one reader for as long as it lives.
#[derive(Debug)]
pub struct ReaderGuard(Level);

impl Drop for ReaderGuard {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl Default for Metrics {
    fn default() -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("swarmcat"),
            starts: Counter::default(),
            outcomes: Family::default(),
            failures: Family::default(),
            refusals: Family::default(),
            cooldown_left: Histogram::new(LEFT),
            first_byte: Histogram::new(WAITS),
            readers: Level::default(),
            server: Counters::default(),
            scraped: Scraped::default(),
        };
        metrics.register();
        metrics.register_scraped();
        metrics
    }
}

impl Metrics {
    fn register(&mut self) {
        let registry = &mut self.registry;
        registry.register("starts", "Torrents that a request began to look for", self.starts.clone());
        registry.register("outcomes", "Requests for a file by how they began", self.outcomes.clone());
        registry.register("failures", "Failures of torrents by kind", self.failures.clone());
        registry.register("refusals", "Refused requests by the type of the answer", self.refusals.clone());
        registry.register_with_unit(
            "cooldown_left",
            "What a cooldown had left when its torrent was asked for again",
            Unit::Seconds,
            self.cooldown_left.clone(),
        );
        registry.register_with_unit(
            "first_byte",
            "From a request for a file to its first byte",
            Unit::Seconds,
            self.first_byte.clone(),
        );
        registry.register("readers", "Answers that are being read", self.readers.clone());
        registry.register_with_unit("sent", "Bodies of answers", Unit::Bytes, self.server.sent.clone());
        registry.register("panics", "Defects that a request ran into", self.server.panics.clone());
    }

    fn register_scraped(&mut self) {
        let (registry, scraped) = (&mut self.registry, &self.scraped);
        registry.register("torrents", "Open torrents", scraped.torrents.clone());
        registry.register("connections", "Open connections", scraped.connections.clone());
        registry.register("cooling", "Torrents that are cooling down", scraped.cooling.clone());
        registry.register("peers", "Peers of all torrents by state", scraped.peers.clone());
        registry.register("dht_nodes", "Nodes in the DHT's routing table", scraped.dht_nodes.clone());
        registry.register("tasks", "Tasks that are alive", scraped.tasks.clone());
        for (name, help, gauge) in [
            ("received", "From the swarm since the start", &scraped.received),
            ("given", "To the swarm since the start", &scraped.given),
            ("temp", "Taken by torrents on disk", &scraped.temp),
            ("free", "Left on that disk", &scraped.free),
        ] {
            registry.register_with_unit(name, help, Unit::Bytes, gauge.clone());
        }
    }

    /// What the server itself counts.
    pub fn server(&self) -> &Counters {
        &self.server
    }

    /// A torrent is looked for.
    pub fn started(&self) {
        self.starts.inc();
    }

    /// A request for a file has its first byte, or what else it asked for.
    pub fn opened(&self, since: Instant) {
        self.outcomes.get_or_create(&Outcome { outcome: "ok" }).inc();
        self.first_byte.observe(since.elapsed().as_secs_f64());
    }

    /// A request for a file has failed.
    pub fn failed(&self, error: &Error, outcome: &'static str) {
        self.outcomes.get_or_create(&Outcome { outcome }).inc();
        match error {
            Error::Failed { kind, .. } => {
                self.failures.get_or_create(&Kind { kind: kind.as_str() }).inc();
            }
            Error::Cooldown { remaining, .. } => self.cooldown_left.observe(remaining.as_secs_f64()),
            _ => {}
        }
    }

    /// A request was refused.
    pub fn refused(&self, r#type: &'static str) {
        self.refusals.get_or_create(&Refusal { r#type }).inc();
    }

    /// A reader, counted until the guard is dropped.
    pub fn reader(&self) -> ReaderGuard {
        self.readers.inc();
        ReaderGuard(self.readers.clone())
    }

    /// Readers now.
    pub fn readers(&self) -> usize {
        usize::try_from(self.readers.get()).unwrap_or(0)
    }

    /// Everything, as Prometheus reads it.
    pub fn exposition(
        &self,
        condition: &Condition,
        torrents: &[TorrentReport],
        cooling: usize,
        connections: usize,
    ) -> Result<String, Error> {
        let level = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        let scraped = &self.scraped;
        let open = torrents.iter().filter(|torrent| torrent.state != TorrentState::Searching);
        scraped.torrents.set(level(open.count()));
        scraped.connections.set(level(connections));
        scraped.cooling.set(level(cooling));
        scraped.dht_nodes.set(level(condition.dht_nodes.unwrap_or(0)));
        scraped.tasks.set(level(condition.tasks));
        scraped.received.set(condition.received);
        scraped.given.set(condition.given);
        scraped.temp.set(condition.temp_bytes);
        scraped.free.set(condition.free_bytes.unwrap_or(0));
        let sum = |of: fn(&TorrentReport) -> usize| level(torrents.iter().map(of).sum());
        let peers: [(&'static str, i64); 5] = [
            ("seen", sum(|torrent| torrent.peers.seen)),
            ("connecting", sum(|torrent| torrent.peers.connecting)),
            ("connected", sum(|torrent| torrent.peers.connected)),
            ("unchoked", sum(|torrent| torrent.peers.unchoked)),
            ("sending", sum(|torrent| torrent.peers.sending)),
        ];
        for (state, count) in peers {
            scraped.peers.get_or_create(&State { state }).set(count);
        }
        let mut text = String::new();
        encode(&mut text, &self.registry).map_err(|error| Error::Internal(error.to_string()))?;
        Ok(text)
    }
}
