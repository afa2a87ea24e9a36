//! The fuzz targets as tests: on their corpora, and on what comes of them when bytes are changed, cut, doubled and mixed.
//! The same inputs in every run, so that a failure can be had again.

use std::{fs, path::Path};

use rand::{Rng, SeedableRng, rngs::StdRng, seq::IndexedRandom};
use swarmcat::fuzzing::TARGETS;

use crate::support::Row;

/// Inputs made of each target's corpus, beside the corpus itself.
const MUTATIONS: u32 = 2000;
/// No longer than libFuzzer makes them.
const LONGEST: usize = 4096;

fn corpus(target: &str) -> Vec<Vec<u8>> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus").join(target);
    let files = fs::read_dir(&dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
    let mut paths: Vec<_> = files.map(|file| file.unwrap().path()).collect();
    paths.sort();
    paths.into_iter().map(|path| fs::read(path).unwrap()).collect()
}

/// One to eight changes.
fn mutate(corpus: &[Vec<u8>], rng: &mut StdRng) -> Vec<u8> {
    let mut input = corpus.choose(rng).unwrap().clone();
    for _ in 0..rng.random_range(1..=8) {
        let at = rng.random_range(0..=input.len());
        match rng.random_range(0..6) {
            0 if at < input.len() => input[at] = rng.random(),
            1 if at < input.len() => input[at] ^= 1 << rng.random_range(0..8),
            2 => input.insert(at, *b"\0\xff-:,=\"\n&%0de/".choose(rng).unwrap()),
            3 => input.truncate(at),
            4 => input.extend_from_within(at..),
            _ => {
                let other = corpus.choose(rng).unwrap();
                input.truncate(at);
                input.extend(&other[rng.random_range(0..=other.len())..]);
            }
        }
        input.truncate(LONGEST);
    }
    input
}

#[test]
fn no_input_breaks_a_promise() {
    let mut row = Row::new("Z", MUTATIONS);
    for (name, target) in TARGETS {
        let corpus = corpus(name);
        assert!(!corpus.is_empty(), "{name}");
        for (number, input) in corpus.iter().enumerate() {
            row.blocking_case(format!("{name} {number}"), || target(input));
        }
        let mut rng = StdRng::seed_from_u64(1);
        for number in 0..row.times() {
            let input = mutate(&corpus, &mut rng);
            row.blocking_case(format!("{name}, mutation {number}"), || target(&input));
        }
    }
    row.end();
}
