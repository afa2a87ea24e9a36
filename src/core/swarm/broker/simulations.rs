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
    vec![Leg { from, bytes, takes: bytes, pace: None }]
}

/// The swarm of eight: limiters that send in bursts, on loopback.
fn eight(total: u64) -> Scenario {
    let rates = [2000.0, 2000.0, 1000.0, 1000.0, 500.0, 500.0, 250.0, 100.0];
    let peers = rates.iter().map(|rate| Nature { burst: secs(0.5), ..Nature::seed(rate * 1000.0) }).collect();
    Scenario {
        geometry: Geometry { piece_len: 8 << 20, total_len: total },
        peers,
        readers: vec![hungry(0, total.min(32 * MIB))],
        index: None,
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
        readers: vec![hungry(0, 64 * MIB)],
        index: None,
        rqbit: true,
        whole: false,
        seed,
    }
}

/// With librqbit behind the desk and without.
fn both(make: impl Fn(u64) -> Scenario) -> [Vec<Outcome>; 2] {
    [true, false].map(|rqbit| over_seeds(|seed| Scenario { rqbit, ..make(seed) }))
}

/// Copies that come twice are a gamble on late blocks; the desk stakes at most 1 in 50, and what is under way then.
const MOST_WASTE: f64 = 0.03;

fn assert_frugal(outcomes: &[Outcome]) {
    let waste = of(outcomes, Outcome::waste);
    assert!(waste <= MOST_WASTE, "{waste} of all bytes came twice");
}

#[test]
fn eight_unequal_peers_bring_the_first_bytes_near_the_limit() {
    // With bursts of a second the first piece is in by the second burst: that is the limiters' doing.
    for burst in [0.0, 0.5] {
        let make = |_| with_bursts(eight(256 * MIB), burst);
        let rate = total_rate(&make(0));
        for outcomes in both(make) {
            let first = of(&outcomes, first_byte(0)) * rate / (8 * MIB) as f64;
            let whole = of(&outcomes, |o| o.readers[0][0].whole.unwrap()) * rate / (32 * MIB) as f64;
            assert!(first <= 1.5, "bursts of {burst} s: first byte {first} times the limit");
            assert!(whole <= 1.25, "bursts of {burst} s: first 32 MiB {whole} times the limit");
            assert_frugal(&outcomes);
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
            assert!(legs.iter().all(|leg| *leg <= 2.0), "{piece_len} MiB pieces: {legs:?} times the limit");
            assert_frugal(&outcomes);
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
        let first = median(ratios);
        assert!(first <= 2.0, "first byte {first} times the limit");
        assert_frugal(&outcomes);
    }
    let film = |seed| {
        let mut scenario = thirty(seed);
        let pace = 0.6 * total_rate(&scenario);
        scenario.readers = vec![vec![Leg { pace: Some(pace), ..hungry(0, (pace * 60.0) as u64)[0] }]];
        scenario
    };
    for outcomes in both(film) {
        let stood_still = of(&outcomes, |o| o.readers[0][0].rebuffered);
        assert!(stood_still < 0.001, "the film stood still for {stood_still} s");
        assert_frugal(&outcomes);
    }
}

#[test]
fn a_films_index_comes_with_its_head_and_does_not_hold_it_up() {
    // Half a piece behind the film.
    let index = 252 * MIB - MIB..252 * MIB;
    let make = |told: bool| {
        let index = index.clone();
        move |_| {
            let mut scenario = eight(index.end);
            // As a player asks: all of it, of which it takes little before it goes to the index.
            let legs = [Leg { takes: 64 << 10, ..hungry(0, index.end)[0] }, hungry(index.start, MIB)[0]];
            scenario.readers = vec![legs.to_vec()];
            scenario.index = told.then(|| index.clone());
            scenario
        }
    };
    let limit = (12 * MIB) as f64 / total_rate(&make(true)(0));
    let took = |outcome: &Outcome| outcome.took;
    for (told, untold) in both(make(true)).iter().zip(&both(make(false))) {
        let (head, alone) = (of(told, first_byte(0)), of(untold, first_byte(0)));
        assert!(head <= 1.05 * alone, "the first byte after {head} s, {alone} s without the index");
        let (with, without) = (of(told, took), of(untold, took));
        assert!(with <= 1.3 * limit, "head and index after {} times the limit", with / limit);
        assert!(with <= 0.9 * without, "head and index after {with} s, {without} s one after the other");
        assert_frugal(told);
    }
}

#[test]
fn a_film_is_served_before_those_who_take_whatever_comes() {
    let make = |_| {
        let mut scenario = eight(256 * MIB);
        scenario.geometry.piece_len = 2 << 20;
        let pace = 0.6 * total_rate(&scenario);
        let film = Leg { pace: Some(pace), ..hungry(0, (pace * 15.0) as u64)[0] };
        scenario.readers = vec![vec![film], hungry(150 * MIB, 48 * MIB)];
        scenario
    };
    for outcomes in both(make) {
        // With one piece before it, at the very beginning, it may.
        let stood_still = of(&outcomes, |o| o.readers[0][0].rebuffered);
        assert!(stood_still < 0.2, "the film stood still for {stood_still} s");
    }
}

fn four(lies: f64, seed: u64) -> Scenario {
    let mut peers = vec![Nature { burst: secs(0.5), ..Nature::seed(1e6) }; 4];
    peers[1].lies = lies;
    Scenario {
        geometry: Geometry { piece_len: 1 << 20, total_len: 64 * MIB },
        peers,
        readers: vec![hungry(0, 64 * MIB)],
        index: None,
        rqbit: true,
        whole: true,
        seed,
    }
}

#[test]
fn one_liar_in_four_is_found_out_and_costs_little() {
    let without = |seed| {
        let mut scenario = four(0.0, seed);
        scenario.peers.remove(1);
        scenario
    };
    let honest = of(&over_seeds(without), |o| o.took);
    for lies in [1.0, 0.3, 0.02] {
        let outcomes = over_seeds(|seed| four(lies, seed));
        let took = of(&outcomes, |o| o.took);
        assert!(took <= 1.3 * honest, "{took} s with a liar, {honest} s without");
        assert!(outcomes.iter().all(|o| o.banned == [1]), "the liar alone is dropped");
    }
}

#[test]
fn half_the_peers_leave() {
    let make = |_| {
        let mut scenario = eight(128 * MIB);
        scenario.readers = vec![hungry(0, 128 * MIB)];
        scenario.peers.iter_mut().skip(1).step_by(2).for_each(|peer| peer.dies = Some(secs(3.0)));
        scenario
    };
    let staying: f64 = make(0).peers.iter().filter(|peer| peer.dies.is_none()).map(|peer| peer.rate).sum();
    for outcomes in both(make) {
        let limit = (128 * MIB) as f64 / staying - 3.0 * (total_rate(&make(0)) / staying - 1.0);
        let whole = of(&outcomes, |o| o.took) / limit;
        assert!(whole <= 1.25, "{whole} times the limit");
        assert_frugal(&outcomes);
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
        let whole = of(&outcomes, |o| o.took) / limit;
        assert!(whole <= 1.25, "{whole} times the limit");
        assert_frugal(&outcomes);
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
                Leg { pace, ..hungry(from, rng.random_range(0..=total_len - from))[0] }
            })
            .collect()
    });
    let readers = readers.collect();
    let rqbit = rng.random_bool(0.8);
    Scenario { geometry, peers, readers, index: None, rqbit, whole: rqbit, seed }
}

#[test]
fn no_swarm_however_odd_loses_a_block_or_starves_a_piece() {
    for seed in 0..200 {
        let scenario = chaos(seed);
        let honest = |peer: &usize| scenario.peers[*peer].lies == 0.0;
        let honest: Vec<usize> = (0..scenario.peers.len()).filter(honest).collect();
        let outcome = run(scenario);
        let wronged = outcome.banned.iter().any(|banned| honest.contains(banned));
        assert!(!wronged, "seed {seed}: of {:?}, {honest:?} are honest", outcome.banned);
    }
}

fn many(peers: usize, pieces: u64) -> Scenario {
    let (piece_len, mut rng) = (256 << 10, SmallRng::seed_from_u64(1));
    let nature = |_| Nature { rtt: secs(0.05), ..Nature::seed(rng.random_range(1e4..2e5)) };
    Scenario {
        peers: (0..peers).map(nature).collect(),
        geometry: Geometry { piece_len, total_len: u64::from(piece_len) * pieces },
        readers: vec![hungry(0, 32 * MIB)],
        index: None,
        rqbit: true,
        whole: false,
        seed: 1,
    }
}

#[test]
fn a_decision_costs_the_same_in_a_large_swarm() {
    let cost = |peers, pieces| {
        let outcome = run(many(peers, pieces));
        // librqbit has asked for four pieces of 256 KiB, and begun a fifth, on each link.
        assert!(outcome.most_partials <= 512 + 9 * peers, "{} pieces at once", outcome.most_partials);
        outcome.looks as f64 / outcome.asks as f64
    };
    let small = cost(20, 1000);
    // Counted, not timed: 200 looks at a piece or a peer for each block asked for, most of them to make the plans.
    assert!(small < 400.0, "{small} looks for a block");
    for (peers, pieces) in [(20, 100_000), (200, 1000), (200, 100_000)] {
        let large = cost(peers, pieces);
        assert!(
            large <= 1.2 * small,
            "{large} looks for a block of {pieces} pieces by {peers} peers, {small} by few"
        );
    }
}
