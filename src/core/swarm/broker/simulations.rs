//! What the desk must do in every swarm, and how near it comes to what the swarm's bandwidth allows.

use std::time::Duration;

use super::{
    pieces::Geometry,
    simulator::{Leg, Nature, Outcome, Scenario, run},
};

const MIB: u64 = 1 << 20;
/// Every distribution is over this many seeds.
const SEEDS: u64 = 20;

fn secs(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn hungry(from: u64, bytes: u64) -> Vec<Leg> {
    vec![Leg { from, bytes, pace: None }]
}

/// The swarm of eight: limiters that send in bursts, on loopback.
fn eight(total: u64) -> Scenario {
    let rates = [2000.0, 2000.0, 1000.0, 1000.0, 500.0, 500.0, 250.0, 100.0];
    let peers = rates.iter().map(|rate| Nature { burst: secs(0.5), ..Nature::seed(rate * 1000.0) }).collect();
    Scenario {
        geometry: Geometry { piece_len: 8 << 20, total_len: total },
        peers,
        readers: vec![hungry(0, total.min(32 * MIB))],
        rqbit: true,
        whole: false,
        seed: 0,
    }
}

fn over_seeds(make: impl Fn(u64) -> Scenario) -> Vec<Outcome> {
    (0..SEEDS).map(|seed| run(Scenario { seed, ..make(seed) })).collect()
}

fn total_rate(scenario: &Scenario) -> f64 {
    scenario.peers.iter().map(|peer| peer.rate).sum()
}

#[test]
fn eight_unequal_peers_bring_the_first_bytes_near_the_limit() {
    let rate = total_rate(&eight(256 * MIB));
    let outcomes = over_seeds(|_| eight(256 * MIB));
    let first = median(outcomes.iter().map(|o| o.readers[0][0].first_byte.unwrap()).collect());
    let whole = median(outcomes.iter().map(|o| o.readers[0][0].whole.unwrap()).collect());
    let waste = median(outcomes.iter().map(Outcome::waste).collect());
    let (a, b) = (first * rate / (8 * MIB) as f64, whole * rate / (32 * MIB) as f64);
    println!("first byte {a:.2} × limit, first 32 MiB {b:.2} × limit, waste {waste:.4}");
    assert!(a <= 1.5 && b <= 1.25 && waste <= 0.03, "{a} {b} {waste}");
}
