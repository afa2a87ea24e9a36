//! What the desk must do in every swarm, and how near it comes to what the swarm's bandwidth allows.

use std::time::Duration;

use rand::{Rng, SeedableRng, rngs::SmallRng};

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

/// Median of one figure over all outcomes.
fn of(outcomes: &[Outcome], figure: impl Fn(&Outcome) -> f64) -> f64 {
    median(outcomes.iter().map(figure).collect())
}

fn first_byte(leg: usize) -> impl Fn(&Outcome) -> f64 {
    move |outcome| outcome.readers[0][leg].first_byte.unwrap()
}

/// Heavy-tailed rates from 50 KB/s up, 20–200 ms away, a third of them choking for seconds.
fn thirty(seed: u64) -> Scenario {
    let mut rng = SmallRng::seed_from_u64(seed);
    let peers = (0..30).map(|number| Nature {
        rtt: secs(rng.random_range(0.02..0.2)),
        burst: secs(if rng.random_bool(0.5) { 0.0 } else { 0.5 }),
        chokes: (number % 3 == 0).then(|| (secs(10.0), secs(3.0))),
        // Pareto with index 1.2: most are slow, and a few bring half of all.
        ..Nature::seed((50e3 * rng.random_range(0.01_f64..1.0).powf(-1.0 / 1.2)).min(2e6))
    });
    Scenario {
        geometry: Geometry { piece_len: 4 << 20, total_len: 512 * MIB },
        peers: peers.collect(),
        readers: vec![hungry(0, 32 * MIB)],
        rqbit: true,
        whole: false,
        seed,
    }
}

/// With librqbit behind the desk and without.
fn both(make: impl Fn(u64) -> Scenario) -> [Vec<Outcome>; 2] {
    [true, false].map(|rqbit| over_seeds(|seed| Scenario { rqbit, ..make(seed) }))
}

#[test]
fn eight_unequal_peers_bring_the_first_bytes_near_the_limit() {
    for burst in [0.0, 0.5, 1.0] {
        let make = |_| with_bursts(eight(256 * MIB), burst);
        let rate = total_rate(&make(0));
        for outcomes in both(make) {
            let first = of(&outcomes, first_byte(0)) * rate / (8 * MIB) as f64;
            let whole = of(&outcomes, |o| o.readers[0][0].whole.unwrap()) * rate / (32 * MIB) as f64;
            let waste = of(&outcomes, Outcome::waste);
            println!("burst {burst}: first byte {first:.2} x limit, 32 MiB {whole:.2} x, waste {waste:.4}");
        }
    }
}

fn with_bursts(mut scenario: Scenario, burst: f64) -> Scenario {
    scenario.peers.iter_mut().for_each(|peer| peer.burst = secs(burst));
    scenario
}

#[test]
fn a_seek_costs_at_most_twice_the_limit() {
    for piece_len in [8, 16] {
        let make = |_| {
            let mut scenario = eight(512 * MIB);
            scenario.geometry.piece_len = piece_len << 20;
            scenario.readers = vec![[0, 200, 450, 100].map(|from| hungry(from * MIB, 8 * MIB)[0]).to_vec()];
            scenario
        };
        let rate = total_rate(&make(0));
        for outcomes in both(make) {
            let legs: Vec<f64> = (0..4)
                .map(|leg| of(&outcomes, first_byte(leg)) * rate / (u64::from(piece_len) * MIB) as f64)
                .collect();
            println!(
                "{piece_len} MiB pieces: first byte of each leg {legs:.2?} x limit, waste {:.4}",
                of(&outcomes, Outcome::waste)
            );
        }
    }
}

#[test]
fn thirty_far_peers_bring_the_first_byte_and_a_film() {
    for outcomes in both(thirty) {
        let rate = |o: usize| total_rate(&thirty(o as u64));
        let ratios =
            outcomes.iter().enumerate().map(|(n, o)| (first_byte(0)(o) - 0.6) * rate(n) / (4 * MIB) as f64);
        let ratios: Vec<f64> = ratios.collect();
        println!(
            "thirty: first byte - 3 RTT {:.2} x limit {ratios:.1?}, waste {:.4}",
            median(ratios.clone()),
            of(&outcomes, Outcome::waste)
        );
    }
    let film = |seed| {
        let mut scenario = thirty(seed);
        let pace = 0.6 * total_rate(&scenario);
        scenario.readers = vec![vec![Leg { from: 0, bytes: (pace * 60.0) as u64, pace: Some(pace) }]];
        scenario
    };
    for outcomes in both(film) {
        let stalls: Vec<f64> = outcomes.iter().map(|o| o.readers[0][0].rebuffered).collect();
        println!("film: rebuffered {stalls:.1?}, waste {:.4}", of(&outcomes, Outcome::waste));
    }
}

fn four(lies: f64, seed: u64) -> Scenario {
    let mut peers = vec![Nature { burst: secs(0.5), ..Nature::seed(1e6) }; 4];
    peers[1].lies = lies;
    Scenario {
        geometry: Geometry { piece_len: 1 << 20, total_len: 64 * MIB },
        peers,
        readers: vec![hungry(0, 64 * MIB)],
        rqbit: true,
        whole: true,
        seed,
    }
}

#[test]
fn one_liar_in_four_is_found_out_and_costs_little() {
    for lies in [1.0, 0.3, 0.02] {
        let honest = over_seeds(|seed| {
            let mut s = four(0.0, seed);
            s.peers.remove(1);
            s
        });
        for outcomes in both(|seed| four(lies, seed)).into_iter().take(1) {
            println!(
                "liar {lies}: {:.2} against {:.2}, banned {:?}",
                of(&outcomes, |o| o.took),
                of(&honest, |o| o.took),
                outcomes.iter().map(|o| o.banned.clone()).collect::<Vec<_>>()
            );
        }
    }
}

#[test]
fn half_the_peers_leave() {
    let make = |seed| {
        let mut scenario = eight(128 * MIB);
        scenario.readers = vec![hungry(0, 128 * MIB)];
        scenario.whole = seed % 2 == 0;
        scenario.peers.iter_mut().skip(1).step_by(2).for_each(|peer| peer.dies = Some(secs(3.0)));
        scenario
    };
    let staying: f64 = make(0).peers.iter().filter(|peer| peer.dies.is_none()).map(|peer| peer.rate).sum();
    for outcomes in both(|seed| Scenario { whole: false, ..make(seed) }) {
        let limit = (128 * MIB) as f64 / staying - 3.0 * (total_rate(&make(0)) / staying - 1.0);
        println!(
            "half leave: {:.2} x limit, waste {:.4}",
            of(&outcomes, |o| o.took) / limit,
            of(&outcomes, Outcome::waste)
        );
    }
}

#[test]
fn ten_readers_at_different_places_share() {
    let make = |_| {
        let mut scenario = eight(512 * MIB);
        scenario.geometry.piece_len = 1 << 20;
        scenario.readers = (0..10).map(|reader| hungry(reader * 50 * MIB, 8 * MIB)).collect();
        scenario
    };
    for outcomes in both(make) {
        let limit = (80 * MIB) as f64 / total_rate(&make(0));
        let firsts: Vec<f64> = outcomes
            .iter()
            .map(|o| o.readers.iter().map(|r| r[0].first_byte.unwrap()).fold(0.0, f64::max))
            .collect();
        println!(
            "ten readers: {:.2} x limit, last first byte {:.2} x, waste {:.4}",
            of(&outcomes, |o| o.took) / limit,
            median(firsts) / limit * 8.0,
            of(&outcomes, Outcome::waste)
        );
    }
}

/// Anything at all.
fn chaos(seed: u64) -> Scenario {
    let mut rng = SmallRng::seed_from_u64(seed);
    let total_len = rng.random_range(1..24 * MIB);
    let geometry =
        Geometry { piece_len: (1 << rng.random_range(14..22)) + rng.random_range(0..2) * 5000, total_len };
    let mut peers: Vec<Nature> = (0..rng.random_range(1..12))
        .map(|_| Nature {
            rate: 10_f64.powf(rng.random_range(4.3..6.3)),
            rtt: secs(rng.random_range(0.0..0.3)),
            burst: secs(if rng.random_bool(0.5) { 0.0 } else { rng.random_range(0.1..1.0) }),
            chokes: rng
                .random_bool(0.3)
                .then(|| (secs(rng.random_range(0.2..10.0)), secs(rng.random_range(0.2..10.0)))),
            joins: secs(if rng.random_bool(0.5) { 0.0 } else { rng.random_range(0.0..20.0) }),
            dies: rng.random_bool(0.2).then(|| secs(rng.random_range(0.0..20.0))),
            silent: rng.random_bool(0.1).then(|| secs(rng.random_range(0.0..20.0))),
            has: if rng.random_bool(0.6) { 1.0 } else { rng.random_range(0.0..1.0) },
            lies: if rng.random_bool(0.15) { rng.random_range(0.0..1.0) } else { 0.0 },
        })
        .collect();
    peers.push(Nature::seed(10_f64.powf(rng.random_range(5.0..6.3))));
    let readers = (0..rng.random_range(0..4)).map(|_| {
        (0..rng.random_range(1..4))
            .map(|_| {
                let from = rng.random_range(0..total_len);
                let pace = rng.random_bool(0.4).then(|| rng.random_range(1e5..2e6));
                Leg { from, bytes: rng.random_range(0..=total_len - from), pace }
            })
            .collect()
    });
    let readers = readers.collect();
    let rqbit = rng.random_bool(0.8);
    Scenario { geometry, peers, readers, rqbit, whole: rqbit, seed }
}

#[test]
fn no_swarm_however_odd_loses_a_block_or_starves_a_piece() {
    for seed in std::env::var("S").map_or(0..300, |s| {
        let s = s.parse().unwrap();
        s..s + 1
    }) {
        let scenario = chaos(seed);
        let liars: Vec<usize> = (0..scenario.peers.len()).filter(|n| scenario.peers[*n].lies > 0.0).collect();
        let outcome = match std::panic::catch_unwind(|| run(scenario)) {
            Ok(outcome) => outcome,
            Err(_) => {
                println!("FAILED seed {seed}");
                continue;
            }
        };
        if !outcome.banned.iter().all(|banned| liars.contains(banned)) {
            println!("seed {seed}: banned {:?} liars {liars:?}", outcome.banned);
        }
    }
}

#[test]
fn a_decision_costs_the_same_in_a_large_swarm() {
    for (peers, pieces) in [(20, 1000), (200, 1000), (20, 100_000), (200, 100_000)] {
        let piece_len = 256 << 10;
        let mut rng = SmallRng::seed_from_u64(1);
        let scenario = Scenario {
            geometry: Geometry { piece_len, total_len: u64::from(piece_len) * pieces },
            peers: (0..peers)
                .map(|_| Nature { rtt: secs(0.05), ..Nature::seed(rng.random_range(1e4..2e5)) })
                .collect(),
            readers: vec![hungry(0, 32 * MIB)],
            rqbit: true,
            whole: false,
            seed: 1,
        };
        let started = std::time::Instant::now();
        let outcome = run(scenario);
        println!(
            "{peers} peers, {pieces} pieces: {} looks for {} asks = {:.1}, {:?}, partials {}",
            outcome.looks,
            outcome.asks,
            outcome.looks as f64 / outcome.asks as f64,
            started.elapsed() / outcome.asks as u32,
            outcome.most_partials
        );
    }
}
