//! The peer wire (BEP 3), as far as we look into it: one frame at a time, in place.

use crate::core::metainfo::BLOCK;

/// The longest frame that is taken once a torrent is known: twice the largest bit field (2^18 pieces), or metadata piece.
pub const MAX_FRAME: u32 = 64 * 1024;
/// A handshake as it is on the wire.
pub type Hello = [u8; 68];

/// What a frame says.
#[derive(Debug, PartialEq, Eq)]
pub enum Frame<'a> {
    /// Nothing; the connection is alive.
    KeepAlive,
    /// The sender answers no more requests.
    Choke,
    /// The sender answers requests.
    Unchoke,
    /// The sender wants something.
    Interested,
    /// The sender wants nothing.
    NotInterested,
    /// The sender has this piece.
    Have(u32),
    /// All that the sender has.
    Bitfield(&'a [u8]),
    /// Piece, offset, length.
    Request(u32, u32, u32),
    /// Piece, offset, length of the data, which are the frame's last bytes.
    Piece(u32, u32, u32),
    /// Piece, offset, length.
    Cancel(u32, u32, u32),
    /// An extended message (BEP 10): its number and payload.
    Extended(u8, &'a [u8]),
    /// Something that librqbit does not know, and would end the connection over.
    Unknown,
}

/// Why bytes are not the peer wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it sent a malformed message")]
pub struct Malformed;

/// `id` of an extended message (BEP 10).
pub const EXTENDED: u8 = 20;

/// How long the frame is that `bytes` begin with, once all of it is there; more than `most` bytes are malformed.
pub fn frame_len(bytes: &[u8], most: u32) -> Result<Option<usize>, Malformed> {
    let Some(len) = bytes.first_chunk::<4>().map(|len| u32::from_be_bytes(*len)) else { return Ok(None) };
    if len > most {
        return Err(Malformed);
    }
    let whole = 4 + len as usize;
    Ok((bytes.len() >= whole).then_some(whole))
}

/// What a whole frame says.
pub fn parse(frame: &[u8]) -> Result<Frame<'_>, Malformed> {
    let body = frame.get(4..).ok_or(Malformed)?;
    Ok(match body {
        [] => Frame::KeepAlive,
        [0] => Frame::Choke,
        [1] => Frame::Unchoke,
        [2] => Frame::Interested,
        [3] => Frame::NotInterested,
        [4, rest @ ..] if rest.len() == 4 => Frame::Have(word(rest, 0)),
        [5, bits @ ..] => Frame::Bitfield(bits),
        [6, rest @ ..] if rest.len() == 12 => Frame::Request(word(rest, 0), word(rest, 1), word(rest, 2)),
        [7, rest @ ..] if (9..=8 + BLOCK as usize).contains(&rest.len()) => {
            Frame::Piece(word(rest, 0), word(rest, 1), rest.len() as u32 - 8)
        }
        [8, rest @ ..] if rest.len() == 12 => Frame::Cancel(word(rest, 0), word(rest, 1), word(rest, 2)),
        [EXTENDED, number, payload @ ..] => Frame::Extended(*number, payload),
        [0..=8 | EXTENDED, ..] => return Err(Malformed),
        _ => Frame::Unknown,
    })
}

/// Whether a frame is an extended message (BEP 10), well formed or not.
pub fn is_extended(frame: &[u8]) -> bool {
    frame.get(4) == Some(&EXTENDED)
}

fn word(bytes: &[u8], at: usize) -> u32 {
    bytes[at * 4..].first_chunk().map_or(0, |word| u32::from_be_bytes(*word))
}

/// A request for a block.
pub fn request(piece: u32, begin: u32, len: u32) -> [u8; 17] {
    three_words(6, piece, begin, len)
}

/// A request taken back.
pub fn cancel(piece: u32, begin: u32, len: u32) -> [u8; 17] {
    three_words(8, piece, begin, len)
}

fn three_words(id: u8, one: u32, two: u32, three: u32) -> [u8; 17] {
    let mut frame = [0; 17];
    frame[3] = 13;
    frame[4] = id;
    frame[5..9].copy_from_slice(&one.to_be_bytes());
    frame[9..13].copy_from_slice(&two.to_be_bytes());
    frame[13..].copy_from_slice(&three.to_be_bytes());
    frame
}

/// What goes before `len` bytes of a block.
pub fn piece_head(piece: u32, begin: u32, len: u32) -> [u8; 13] {
    let mut head = [0; 13];
    head[..4].copy_from_slice(&(9 + len).to_be_bytes());
    head[4] = 7;
    head[5..9].copy_from_slice(&piece.to_be_bytes());
    head[9..].copy_from_slice(&begin.to_be_bytes());
    head
}

/// All that we have.
pub fn bitfield(bits: &[u8]) -> Vec<u8> {
    let mut message = (bits.len() as u32 + 1).to_be_bytes().to_vec();
    message.push(5);
    message.extend_from_slice(bits);
    message
}

/// An extended message (BEP 10).
pub fn extended(number: u8, payload: &[u8]) -> Vec<u8> {
    let mut message = (payload.len() as u32 + 2).to_be_bytes().to_vec();
    message.extend_from_slice(&[EXTENDED, number]);
    message.extend_from_slice(payload);
    message
}

/// Nothing; the connection is alive.
pub const KEEP_ALIVE: [u8; 4] = [0; 4];
/// We answer requests.
pub const UNCHOKE: [u8; 5] = [0, 0, 0, 1, 1];
/// We want something.
pub const INTERESTED: [u8; 5] = [0, 0, 0, 1, 2];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn frames_are_told_apart_and_only_whole_ones_are_read() {
        let bytes = request(7, 16_384, 100);
        for cut in 0..17 {
            assert_eq!(frame_len(&bytes[..cut], MAX_FRAME), Ok(None), "{cut}");
        }
        assert_eq!(frame_len(&bytes, MAX_FRAME), Ok(Some(17)));
        assert_eq!(parse(&bytes), Ok(Frame::Request(7, 16_384, 100)));
        assert_eq!(parse(&cancel(1, 2, 3)), Ok(Frame::Cancel(1, 2, 3)));
        assert_eq!(parse(&KEEP_ALIVE), Ok(Frame::KeepAlive));
        assert_eq!(parse(&INTERESTED), Ok(Frame::Interested));
        assert_eq!(parse(&[0, 0, 0, 5, 4, 0, 0, 1, 0]), Ok(Frame::Have(256)));
        let mut piece = piece_head(3, 32_768, 2).to_vec();
        piece.extend_from_slice(b"xy");
        assert_eq!(frame_len(&piece, MAX_FRAME), Ok(Some(15)));
        assert_eq!(parse(&piece), Ok(Frame::Piece(3, 32_768, 2)));
        assert_eq!(parse(&[0, 0, 0, 1, 14]), Ok(Frame::Unknown), "have all, of the fast extension");
    }

    #[test]
    fn what_is_too_long_or_short_is_malformed() {
        assert_eq!(frame_len(&[0, 1, 0, 1], MAX_FRAME), Err(Malformed));
        assert_eq!(parse(&[0, 0, 0, 2, 4, 0]), Err(Malformed));
        let mut block = vec![0, 0, 0x40, 0x0a, 7];
        block.extend(vec![0; 8 + BLOCK as usize + 1]);
        assert_eq!(parse(&block), Err(Malformed), "one byte more than a block");
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            if let Ok(Some(len)) = frame_len(&bytes, MAX_FRAME) {
                let _ = parse(&bytes[..len]);
            }
        }
    }
}
