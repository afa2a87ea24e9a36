//! Whom peers name to librqbit (BEP 11): each address once, and no more of them than a peer that keeps to the rules names.
//!
//! librqbit takes lists of any length as often as they come, dials whoever is on one, also those that are said to have
//! left, and never forgets an address: one peer could fill its memory, and its places for connections.

use std::{
    collections::HashSet,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
};

use tokio::time::Instant;

use super::discretion::{Lists, PORT};
use crate::core::{
    swarm::{MOST_NAMED, bencode},
    sync::{Mutex, lock},
};

/// Addresses of a peer's first list: BEP 11 leaves their number open, and libtorrent says at most so many at a time.
const AT_FIRST: u64 = 100;
/// Addresses a minute after that: BEP 11's 50 in one message a minute.
const A_MINUTE: u64 = 50;

/// Everybody whom peers named to librqbit.
#[derive(Debug, Default)]
pub struct Hearsay(Mutex<HashSet<SocketAddr>>);

/// What one peer may name.
#[derive(Debug)]
pub struct Share {
    since: Instant,
    named: u64,
}

impl Share {
    /// Of a peer that was met now.
    pub fn new(now: Instant) -> Self {
        Share { since: now, named: 0 }
    }

    fn left(&self, now: Instant) -> u64 {
        let earned = AT_FIRST + (now - self.since).as_secs() * A_MINUTE / 60;
        earned.saturating_sub(self.named)
    }
}

impl Hearsay {
    /// What of a peer's list is news to librqbit and within the peer's share; nothing if nothing is, or it cannot be read.
    pub fn news(&self, list: &[u8], share: &mut Share, now: Instant) -> Option<Vec<u8>> {
        let (lists, _): (Lists<'_>, _) = bencode::decode(list)?;
        let (mut known, mut left) = (lock(&self.0), share.left(now));
        let mut is_news = |address: SocketAddr| {
            let news = left > 0 && known.len() < MOST_NAMED && known.insert(address);
            left -= u64::from(news);
            share.named += u64::from(news);
            news
        };
        let added = those(lists.added, |ip: [u8; 4], port| is_news((Ipv4Addr::from(ip), port).into()));
        let added6 = those(lists.added6, |ip: [u8; 16], port| is_news((Ipv6Addr::from(ip), port).into()));
        let entry = |key: &[u8], addresses: &[u8]| match addresses {
            [] => Vec::new(),
            _ => [key, &bencode::string_of(addresses)].concat(),
        };
        let entries = [entry(b"5:added", &added), entry(b"6:added6", &added6)].concat();
        (!entries.is_empty()).then(|| [b"d", &entries[..], b"e"].concat())
    }
}

/// Those addresses, each with its port, that are to stay.
fn those<const N: usize>(addresses: Option<&[u8]>, mut stays: impl FnMut([u8; N], u16) -> bool) -> Vec<u8> {
    let entries = addresses.unwrap_or_default().chunks_exact(N + PORT);
    let stays = |entry: &&[u8]| match (entry.first_chunk(), entry.last_chunk()) {
        (Some(ip), Some(port)) => stays(*ip, u16::from_be_bytes(*port)),
        _ => false,
    };
    entries.filter(stays).flatten().copied().collect()
}

#[cfg(test)]
mod tests {
    use std::{ops::Range, time::Duration};

    use super::*;

    fn list(peers: Range<u32>) -> Vec<u8> {
        let addresses: Vec<u8> =
            peers.flat_map(|peer| [&peer.to_be_bytes()[..], &[0x1a, 0xe1]].concat()).collect();
        [b"d5:added", &bencode::string_of(&addresses)[..], b"7:dropped6:abcdef", b"e"].concat()
    }

    /// How many of a list pass.
    fn passed(list: Option<Vec<u8>>) -> usize {
        list.map_or(0, |list| bencode::decode::<Lists<'_>>(&list).unwrap().0.added.unwrap().len() / 6)
    }

    #[test]
    fn a_peer_that_keeps_to_the_rules_is_heard_in_full_and_nobody_is_named_twice() {
        let (hearsay, now) = (Hearsay::default(), Instant::now());
        let mut share = Share::new(now);
        assert_eq!(passed(hearsay.news(&list(0..100), &mut share, now)), 100);
        for minute in 1..=30 {
            let (now, first) = (now + Duration::from_secs(60) * minute, 50 + 50 * minute);
            assert_eq!(passed(hearsay.news(&list(first..first + 50), &mut share, now)), 50, "{minute}");
            assert_eq!(hearsay.news(&list(0..first + 50), &mut share, now), None, "all known");
        }
    }

    #[test]
    fn a_flood_of_peers_is_cut_to_the_share_of_who_sends_it_and_all_floods_to_what_librqbit_can_bear() {
        let (hearsay, now) = (Hearsay::default(), Instant::now());
        let mut share = Share::new(now);
        let first = hearsay.news(&list(0..4000), &mut share, now);
        assert_eq!(passed(first), AT_FIRST as usize);
        assert_eq!(hearsay.news(&list(4000..8000), &mut share, now), None);
        let later = now + Duration::from_secs(61);
        assert_eq!(passed(hearsay.news(&list(4000..8000), &mut share, later)), A_MINUTE as usize);
        let others = (1..100).map(|peer| {
            let addresses = list(peer * 10_000..peer * 10_000 + 4000);
            passed(hearsay.news(&addresses, &mut Share::new(now), now))
        });
        assert_eq!(others.sum::<usize>() + 150, MOST_NAMED);
    }

    #[test]
    fn both_families_pass_and_what_is_said_of_those_that_left_does_not() {
        let (hearsay, now) = (Hearsay::default(), Instant::now());
        let six = [&[0x26; 16][..], &[0, 9]].concat();
        let list = [&b"d5:added6:\x08\x08\x08\x08\0\x017:added.f1:a6:added618:"[..], &six, b"7:dropped0:e"];
        let news = hearsay.news(&list.concat(), &mut Share::new(now), now).unwrap();
        assert_eq!(news, [&b"d5:added6:\x08\x08\x08\x08\0\x016:added618:"[..], &six, b"e"].concat());
        assert_eq!(hearsay.news(b"d5:added", &mut Share::new(now), now), None);
    }
}
