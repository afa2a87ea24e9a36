//! What librqbit said to a peer that holds until it says otherwise: to be said again where the connection is a new one.

use bytes::BytesMut;

use super::peers::Has;
use crate::core::swarm::wire::{self, Frame};

/// What was said.
#[derive(Debug, Default)]
pub struct Said {
    /// The extended hello.
    extended: Option<Vec<u8>>,
    /// What librqbit has; nothing where it gives nothing.
    has: Has,
    unchoked: bool,
}

impl Said {
    /// Takes a frame in; the torrent has so many pieces.
    pub fn note(&mut self, frame: &Frame<'_>, pieces: u32) {
        match frame {
            // It introduces itself once; a peer may want other messages under the same number.
            Frame::Extended(0, payload) if self.extended.is_none() => self.extended = Some(payload.to_vec()),
            Frame::Bitfield(bits) => drop(self.has.set_all(bits, pieces)),
            Frame::Have(piece) => drop(self.has.set(*piece, pieces)),
            Frame::Unchoke => self.unchoked = true,
            Frame::Choke => self.unchoked = false,
            _ => {}
        }
    }

    /// Whether its extended hello was said.
    pub fn is_introduced(&self) -> bool {
        self.extended.is_some()
    }

    /// All of it, in the order in which a new connection has to hear it; to one that knows no extensions, without.
    pub fn again(&self, knows_extensions: bool) -> BytesMut {
        let mut frames = BytesMut::new();
        if let Some(extended) = self.extended.as_ref().filter(|_| knows_extensions) {
            frames.extend_from_slice(&wire::extended(0, extended));
        }
        if let Some(bits) = self.has.bits() {
            frames.extend_from_slice(&wire::bitfield(bits));
        }
        if self.unchoked {
            frames.extend_from_slice(&wire::UNCHOKE);
        }
        frames
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_holds_is_said_again_in_the_order_of_a_new_connection() {
        let mut said = Said::default();
        assert!(said.again(true).is_empty());
        for frame in [
            Frame::Extended(0, b"de"),
            Frame::Bitfield(&[0x40]),
            Frame::Unchoke,
            Frame::Interested,
            Frame::Have(0),
            Frame::Extended(1, b"de"),
        ] {
            said.note(&frame, 3);
        }
        let plain = [&[0, 0, 0, 2, 5, 0xc0][..], &wire::UNCHOKE].concat();
        assert_eq!(said.again(false), plain);
        assert_eq!(said.again(true), [&[0, 0, 0, 4, 20, 0, b'd', b'e'][..], &plain].concat());
        said.note(&Frame::Choke, 3);
        assert_eq!(said.again(false)[..], [0, 0, 0, 2, 5, 0xc0]);
    }
}
