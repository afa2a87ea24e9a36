//! What is left out of extended hellos (BEP 10), so that nobody tells what nobody may know.
//!
//! librqbit exchanges peers (BEP 11) with everybody who offers it, and takes what it is sent. Who wants it otherwise, or
//! whose torrent does (BEP 27), is neither offered it nor offers it: the hellos of both sides pass without a word of it.

use std::borrow::Cow;

use crate::core::swarm::bencode;

/// An extended hello without the offer to exchange peers; nothing of one that cannot be read.
pub fn without_peer_exchange(hello: &[u8]) -> Option<Vec<u8>> {
    let others = |key: &[u8], value| (key != b"ut_pex").then_some(Cow::Borrowed(value));
    bencode::edit(hello, |key, value| match key {
        b"m" => bencode::edit(value, others).map(Cow::Owned),
        _ => Some(value.into()),
    })
}
