//! What of extended messages (BEP 10) passes between librqbit and one peer, so that nobody tells what nobody may know, and
//! librqbit learns nothing wrong.
//!
//! librqbit exchanges peers (BEP 11) with everybody who offers it, and takes what it is sent. Who wants it otherwise, or
//! whose torrent does (BEP 27), is neither offered it nor offers it: the hellos of both sides pass without a word of it. Who
//! is out there is told of nobody in here, and tells of nobody in here. And whoever dialled us seems to librqbit to be on
//! this machine, which must not become an address that it dials, or that others are told.

use std::{borrow::Cow, net::IpAddr};

use crate::core::{reach::is_inside, swarm::bencode};

/// The rule between librqbit and one peer.
#[derive(Debug, Clone, Copy)]
pub struct Discretion {
    /// Whether peers may be told of each other.
    pub peer_exchange: bool,
    /// Where the peer really is.
    pub peer: IpAddr,
    /// Whether it dialled us.
    pub visiting: bool,
}

impl Discretion {
    /// Whether a peer's hello may pass as it is.
    pub fn is_lenient(&self) -> bool {
        self.peer_exchange && !self.visiting
    }

    /// A peer's hello as librqbit may hear it; nothing of one that cannot be read.
    pub fn heard(&self, hello: &[u8]) -> Option<Vec<u8>> {
        bencode::edit(hello, |key, value| match key {
            b"m" => self.extensions(value),
            b"p" | b"ipv4" | b"ipv6" | b"yourip" if self.visiting => None,
            _ => Some(value.into()),
        })
    }

    /// librqbit's hello as the peer may hear it; nothing of one that cannot be read.
    pub fn said(&self, hello: &[u8]) -> Option<Vec<u8>> {
        bencode::edit(hello, |key, value| match key {
            b"m" => self.extensions(value),
            b"yourip" if self.visiting => Some(Cow::Owned(match self.peer {
                IpAddr::V4(v4) => bencode::string_of(&v4.octets()),
                IpAddr::V6(v6) => bencode::string_of(&v6.octets()),
            })),
            _ => Some(value.into()),
        })
    }

    fn extensions<'a>(&self, offered: &'a [u8]) -> Option<Cow<'a, [u8]>> {
        if self.peer_exchange {
            return Some(offered.into());
        }
        let others = |key: &[u8], value| (key != b"ut_pex").then_some(Cow::Borrowed(value));
        bencode::edit(offered, others).map(Cow::Owned)
    }

    /// A list of peers, from either side, as the other may hear it; nothing of one that may not be told or read.
    pub fn list<'a>(&self, list: &'a [u8]) -> Option<Cow<'a, [u8]>> {
        match (self.peer_exchange, is_inside(self.peer)) {
            (false, _) => None,
            (true, true) => Some(list.into()),
            (true, false) => outside_only(list).map(Cow::Owned),
        }
    }
}

/// Bytes of a port behind each address.
pub const PORT: usize = 2;

/// Who is on a list of peers.
#[derive(serde::Deserialize)]
pub struct Lists<'a> {
    /// Compact IPv4 addresses.
    #[serde(borrow)]
    pub added: Option<&'a [u8]>,
    /// Compact IPv6 addresses.
    #[serde(borrow)]
    pub added6: Option<&'a [u8]>,
}

/// A list of peers without those that are in here. What is said of each peer beside its address goes with it.
fn outside_only(list: &[u8]) -> Option<Vec<u8>> {
    let (lists, _): (Lists<'_>, _) = bencode::decode(list)?;
    let (added, added6) =
        (outside::<4>(lists.added.unwrap_or_default()), outside::<16>(lists.added6.unwrap_or_default()));
    bencode::edit(list, |key, value| {
        let content: &[u8] = bencode::decode(value).map(|(content, _)| content).unwrap_or_default();
        let kept = match key {
            b"added" => those(content, 4 + PORT, &added),
            b"added.f" => those(content, 1, &added),
            b"added6" => those(content, 16 + PORT, &added6),
            b"added6.f" => those(content, 1, &added6),
            b"dropped" => those(content, 4 + PORT, &outside::<4>(content)),
            b"dropped6" => those(content, 16 + PORT, &outside::<16>(content)),
            _ => return Some(value.into()),
        };
        Some(Cow::Owned(bencode::string_of(&kept)))
    })
}

/// Which of these addresses of so many bytes, each with its port, are out there.
fn outside<const N: usize>(addresses: &[u8]) -> Vec<bool>
where
    IpAddr: From<[u8; N]>,
{
    let is_out = |one: &[u8]| one.first_chunk::<N>().is_some_and(|octets| !is_inside((*octets).into()));
    addresses.chunks_exact(N + PORT).map(is_out).collect()
}

/// Those entries of so many bytes that are to stay.
fn those(entries: &[u8], len: usize, stay: &[bool]) -> Vec<u8> {
    let kept = entries.chunks_exact(len).zip(stay).filter(|(_, stay)| **stay);
    kept.flat_map(|(entry, _)| entry).copied().collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const OUT: [u8; 4] = [9, 9, 9, 9];

    fn with(peer: [u8; 4], peer_exchange: bool, visiting: bool) -> Discretion {
        Discretion { peer_exchange, peer: peer.into(), visiting }
    }

    #[test]
    fn librqbit_hears_no_address_of_whoever_dialled_us() {
        let hello = b"d4:ipv44:abcd1:md6:ut_pexi1ee1:pi6881e4:reqqi9e6:yourip4:wxyze";
        let heard = |discretion: Discretion| discretion.heard(hello).unwrap();
        assert_eq!(heard(with(OUT, true, true)), b"d1:md6:ut_pexi1ee4:reqqi9ee");
        assert_eq!(heard(with(OUT, false, true)), b"d1:mde4:reqqi9ee");
        assert_eq!(heard(with(OUT, true, false)), hello);
        assert_eq!(with(OUT, true, true).heard(b"d1:p"), None);
    }

    #[test]
    fn whoever_dialled_us_hears_its_own_address_and_not_librqbits_idea_of_it() {
        let hello = b"d1:md6:ut_pexi1ee6:yourip4:\x7f\0\0\x01e";
        assert_eq!(
            with(OUT, true, true).said(hello).unwrap(),
            b"d1:md6:ut_pexi1ee6:yourip4:\x09\x09\x09\x09e"
        );
        assert_eq!(with(OUT, true, false).said(hello).unwrap(), hello);
        let six = Discretion { peer: std::net::Ipv6Addr::LOCALHOST.into(), ..with(OUT, false, true) };
        assert_eq!(six.said(hello).unwrap(), b"d1:mde6:yourip16:\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01e");
    }

    #[test]
    fn who_is_out_there_and_who_is_in_here_do_not_hear_of_each_other() {
        let list = b"d5:added18:\x7f\0\0\x01\0\x01\x08\x08\x08\x08\0\x02\x0a\0\0\x01\0\x037:added.f3:abc7:dropped6:\xc0\xa8\0\x01\0\x04e";
        let told = with(OUT, true, false).list(list).unwrap();
        assert_eq!(told[..], b"d5:added6:\x08\x08\x08\x08\0\x027:added.f1:b7:dropped0:e"[..]);
        assert_eq!(with([127, 0, 0, 1], true, true).list(list).unwrap()[..], list[..]);
        assert_eq!(with(OUT, false, false).list(list), None);
        assert_eq!(with(OUT, true, false).list(b"d5:added"), None);
        let six =
            [&b"d6:added636:"[..], &[0; 15], &[1, 0, 1], &[0x26; 16], &[0, 2], b"8:added6.f2:abe"].concat();
        let told = with(OUT, true, false).list(&six).unwrap().into_owned();
        assert_eq!(told, [&b"d6:added618:"[..], &[0x26; 16], &[0, 2], b"8:added6.f1:be"].concat());
    }

    proptest! {
        #[test]
        fn whatever_a_list_is_what_passes_names_nobody_in_here(
            added in prop::collection::vec(any::<u8>(), 0..40),
            flags in prop::collection::vec(any::<u8>(), 0..8),
        ) {
            let list = [&b"d5:added"[..], &bencode::string_of(&added), b"7:added.f", &bencode::string_of(&flags), b"e"].concat();
            let told = with(OUT, true, false).list(&list).unwrap().into_owned();
            let rest = &told[b"d5:added".len()..];
            let (told, _): (&[u8], _) = bencode::decode(rest).unwrap();
            prop_assert!(outside::<4>(told).iter().all(|out| *out));
        }
    }
}
