//! Where a film keeps what a player asks for before it shows anything, when that is not at the front.
//!
//! An mp4 says behind its pictures where each of them is, a Matroska file and an AVI how to find a minute; of a
//! transport stream, a program stream or an Ogg file, players look at the end to learn how long it is. The first bytes tell
//! which of these it is. Pure, and total: what is told is a hint, taken of bytes that nobody may have verified yet. Who
//! wrote them can at most have bytes of the same file fetched sooner than they are needed.

use std::ops::Range;

/// No more of a file is of any use to tell: headers with long lists of tracks included.
pub const HEAD: u64 = 64 * 1024;
/// No more of an index is fetched early: what a day of film has. A player asks for the rest itself.
const LARGEST: u64 = 16 << 20;
/// What ffmpeg's libraries look at for the last time stamp: of MPEG streams 250 000 bytes, of Ogg a page.
const MPEG_TAIL: u64 = 250_000;
const OGG_TAIL: u64 = 65_307;

/// What the first bytes of a file tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// It is too early to tell.
    Little,
    /// Nothing is asked for out of turn.
    InOrder,
    /// A player asks for this before it shows anything, or as soon as it seeks.
    Index(Range<u64>),
}

/// Looks at the first bytes of a file of `len` bytes. More than [`HEAD`] of them tell nothing more.
pub fn look(head: &[u8], len: u64) -> Told {
    let head = &head[..head.len().min(HEAD as usize)];
    let found = match head {
        [0x1a, 0x45, 0xdf, 0xa3, ..] => matroska(head, len),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'A', b'V', b'I', b' ', ..] => avi(head),
        [b'O', b'g', b'g', b'S', ..] => Walk::At(len.saturating_sub(OGG_TAIL)),
        [0, 0, 1, 0xba, ..] => Walk::At(len.saturating_sub(MPEG_TAIL)),
        _ if is_mp4(head) => mp4(head),
        _ if is_transport_stream(head) => Walk::At(len.saturating_sub(MPEG_TAIL)),
        _ if head.len() < LEAST => Walk::TooShort,
        _ => Walk::Nowhere,
    };
    match found {
        // What is not all here yet, or will never be.
        Walk::TooShort if (head.len() as u64) < HEAD.min(len) => Told::Little,
        // What begins in the head is read in its turn.
        Walk::At(start) if start >= HEAD && start < len => {
            Told::Index(start..len.min(start.saturating_add(LARGEST)))
        }
        _ => Told::InOrder,
    }
}

/// Every kind is known by so many bytes.
const LEAST: usize = 2 * 192 + 5;

/// What came of walking through a head.
enum Walk {
    At(u64),
    Nowhere,
    TooShort,
}

impl From<Option<Walk>> for Walk {
    /// Reads that go beyond the head are tried again when there is more of it.
    fn from(walk: Option<Walk>) -> Self {
        walk.unwrap_or(Walk::TooShort)
    }
}

/// A sync byte at the start of three packets of 188 bytes, or behind the time stamps of three of 192.
fn is_transport_stream(head: &[u8]) -> bool {
    let synced = |first: usize, packet: usize| {
        (0..3).all(|number| head.get(first + number * packet).is_some_and(|byte| *byte == 0x47))
    };
    synced(0, 188) || synced(4, 192)
}

fn number<const N: usize>(bytes: &[u8], at: u64) -> Option<[u8; N]> {
    let at = usize::try_from(at).ok()?;
    bytes.get(at..at.checked_add(N)?)?.try_into().ok()
}

fn is_mp4(head: &[u8]) -> bool {
    let known: [&[u8; 4]; 8] = [b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot", b"styp"];
    number(head, 4).is_some_and(|kind: [u8; 4]| known.contains(&&kind))
}

/// Boxes of length, kind and content, one behind the other: what is behind the first `mdat` unless `moov` came before.
fn mp4(head: &[u8]) -> Walk {
    let walk = || {
        let mut at: u64 = 0;
        loop {
            let size = u64::from(u32::from_be_bytes(number(head, at)?));
            let kind: [u8; 4] = number(head, at + 4)?;
            let end = match size {
                // All the rest.
                0 => return Some(Walk::Nowhere),
                1 => at.checked_add(u64::from_be_bytes(number(head, at + 8)?)),
                size => at.checked_add(size),
            };
            let Some(end) = end.filter(|end| *end >= at + 8) else { return Some(Walk::Nowhere) };
            match &kind {
                b"moov" | b"moof" => return Some(Walk::Nowhere),
                b"mdat" if end > HEAD => return Some(Walk::At(end)),
                _ if end > HEAD => return Some(Walk::Nowhere),
                _ => at = end,
            }
        }
    };
    walk().into()
}

const SEGMENT: u64 = 0x1853_8067;
const SEEK_HEAD: u64 = 0x114d_9b74;
const SEEK: u64 = 0x4dbb;
const SEEK_ID: u64 = 0x53ab;
const SEEK_POSITION: u64 = 0x53ac;
const CLUSTER: u64 = 0x1f43_b675;
/// What players look at when they open a file, or seek: cues, another list of this kind, tags, chapters, attachments.
const LOOKED_AT: [u64; 5] = [0x1c53_bb6b, SEEK_HEAD, 0x1254_c367, 0x1043_a770, 0x1941_a469];

/// The first of what the segment's first list names behind the middle of the file: what is in front of the film is read in
/// its turn.
fn matroska(head: &[u8], len: u64) -> Walk {
    let walk = || {
        let header = Element::at(head, 0)?;
        let segment = Element::at(head, header.end()?)?;
        if segment.id != SEGMENT {
            return Some(Walk::Nowhere);
        }
        let mut at = segment.content;
        loop {
            let element = Element::at(head, at)?;
            match element.id {
                SEEK_HEAD => {
                    let list = head.get(..usize::try_from(element.end()?).ok()?)?;
                    let places = listed(list, element.content).filter(|place| *place > len / 2);
                    let first = places.min().map_or(Walk::Nowhere, |place| {
                        segment.content.checked_add(place).map_or(Walk::Nowhere, Walk::At)
                    });
                    return Some(first);
                }
                CLUSTER => return Some(Walk::Nowhere),
                _ if element.end()? > HEAD => return Some(Walk::Nowhere),
                _ => at = element.end()?,
            }
        }
    };
    walk().into()
}

/// Places, from the segment's content on, of what players look at.
fn listed(list: &[u8], first: u64) -> impl Iterator<Item = u64> + '_ {
    let seeks = elements(list, first).filter(|element| element.id == SEEK);
    seeks.filter_map(|seek| {
        let within = list.get(..usize::try_from(seek.end()?).ok()?)?;
        let value = |id: u64| {
            let field = elements(within, seek.content).find(|element| element.id == id)?;
            let bytes = within.get(usize::try_from(field.content).ok()?..)?;
            let bytes = bytes.get(..usize::try_from(field.len?).ok().filter(|len| *len <= 8)?)?;
            Some(bytes.iter().fold(0, |value, byte| value << 8 | u64::from(*byte)))
        };
        value(SEEK_ID).filter(|id| LOOKED_AT.contains(id)).and_then(|_| value(SEEK_POSITION))
    })
}

fn elements(bytes: &[u8], first: u64) -> impl Iterator<Item = Element> + '_ {
    let next = |element: &Element| Element::at(bytes, element.end()?);
    std::iter::successors(Element::at(bytes, first), next)
}

/// An EBML element's header.
struct Element {
    id: u64,
    content: u64,
    /// `None` when it is not known, as in a live stream.
    len: Option<u64>,
}

impl Element {
    fn at(bytes: &[u8], at: u64) -> Option<Self> {
        // Marked in the first byte is how many there are; an identifier keeps the mark.
        let of = |at: u64| {
            let [first] = number(bytes, at)?;
            let count = u64::from(first.leading_zeros()) + 1;
            let bytes = bytes.get(usize::try_from(at).ok()?..)?.get(..usize::try_from(count).ok()?)?;
            let value = bytes.iter().fold(0_u64, |value, byte| value << 8 | u64::from(*byte));
            (count <= 8).then_some((value, count))
        };
        let (id, id_bytes) = of(at)?;
        let (marked, len_bytes) = of(at + id_bytes)?;
        let most = (1 << (7 * len_bytes)) - 1;
        let len = marked & most;
        Some(Element { id, content: at + id_bytes + len_bytes, len: Some(len).filter(|len| *len != most) })
    }

    fn end(&self) -> Option<u64> {
        self.content.checked_add(self.len?)
    }
}

/// Chunks of kind, length and content, each begun at an even place: what is behind the list of the pictures.
fn avi(head: &[u8]) -> Walk {
    let walk = || {
        let mut at: u64 = 12;
        loop {
            let kind: [u8; 4] = number(head, at)?;
            let len = u64::from(u32::from_le_bytes(number(head, at + 4)?));
            let end = at + 8 + len.next_multiple_of(2);
            match (&kind, &number(head, at + 8)?) {
                (b"LIST", b"movi") => return Some(Walk::At(end)),
                _ if end > HEAD => return Some(Walk::Nowhere),
                _ => at = end,
            }
        }
    };
    walk().into()
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use proptest::prelude::*;

    use super::*;

    /// A short film, as ffmpeg writes it.
    fn film(extension: &str, options: &[&str]) -> Vec<u8> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("film").with_extension(extension);
        let mut ffmpeg = Command::new("ffmpeg");
        ffmpeg.args(["-v", "error", "-nostdin", "-f", "lavfi", "-i", "testsrc=size=160x120:rate=25"]);
        ffmpeg.args(["-f", "lavfi", "-i", "sine", "-t", "12", "-b:v", "400k"]).args(options).arg(&path);
        assert!(ffmpeg.status().unwrap().success(), "ffmpeg {extension} {options:?}");
        std::fs::read(path).unwrap()
    }

    fn head(film: &[u8]) -> Told {
        look(&film[..film.len().min(HEAD as usize)], film.len() as u64)
    }

    #[track_caller]
    fn index(film: &[u8]) -> &[u8] {
        let Told::Index(range) = head(film) else { panic!("{:?}", head(film)) };
        assert_eq!(range.end, film.len() as u64);
        &film[range.start as usize..]
    }

    #[test]
    fn an_index_behind_the_film_is_found_to_the_byte() {
        for extension in ["mp4", "mov"] {
            assert_eq!(&index(&film(extension, &["-c:v", "mpeg4"]))[4..8], b"moov");
        }
        for extension in ["mkv", "mka"] {
            let options: &[&str] =
                if extension == "mka" { &["-c:a", "pcm_s16le"] } else { &["-c:v", "mpeg4"] };
            assert_eq!(index(&film(extension, options))[..4], [0x1c, 0x53, 0xbb, 0x6b]);
        }
        assert_eq!(&index(&film("avi", &["-c:v", "mpeg4"]))[..4], b"idx1");
    }

    #[test]
    fn players_look_for_the_length_at_the_end_of_what_has_no_index() {
        for (extension, codec, tail) in [
            ("ts", "mpeg2video", MPEG_TAIL),
            ("m2ts", "mpeg2video", MPEG_TAIL),
            ("mpg", "mpeg2video", MPEG_TAIL),
            ("ogv", "libtheora", OGG_TAIL),
        ] {
            assert_eq!(index(&film(extension, &["-c:v", codec])).len() as u64, tail, "{extension}");
        }
    }

    #[test]
    fn what_has_its_index_in_front_or_none_is_read_in_order() {
        let in_order: [(&str, &[&str]); 6] = [
            ("mp4", &["-c:v", "mpeg4", "-movflags", "faststart"]),
            ("mp4", &["-c:v", "mpeg4", "-movflags", "frag_keyframe+empty_moov"]),
            ("mkv", &["-c:v", "mpeg4", "-cues_to_front", "1"]),
            ("mkv", &["-c:v", "mpeg4", "-live", "1"]),
            ("flac", &["-vn"]),
            ("flv", &["-c:v", "flv"]),
        ];
        for (extension, options) in in_order {
            assert_eq!(head(&film(extension, options)), Told::InOrder, "{extension} {options:?}");
        }
        assert_eq!(look(b"no film at all", 14), Told::InOrder);
        assert_eq!(look(&[b'x'; LEAST], 1 << 30), Told::InOrder);
    }

    #[test]
    fn an_early_look_says_little_rather_than_something_wrong() {
        for film in ["mp4", "mkv", "avi", "ts"].map(|extension| film(extension, &["-c:v", "mpeg4"])) {
            let (told, len) = (head(&film), film.len() as u64);
            for at in (0..2000).chain((2000..HEAD as usize).step_by(251)) {
                let early = look(&film[..at], len);
                assert!(early == Told::Little || early == told, "{at}: {early:?}, then {told:?}");
            }
            assert_eq!(look(&film[..16 * 1024], len), told, "a block is enough");
        }
    }

    #[test]
    fn a_second_list_behind_the_film_is_looked_at_and_a_large_index_only_begun() {
        let element = |id: &[u8], content: &[u8]| [id, &[0x80 | content.len() as u8], content].concat();
        let id = element(&[0x53, 0xab], &[0x11, 0x4d, 0x9b, 0x74]);
        let seek = element(&[0x4d, 0xbb], &[id, element(&[0x53, 0xac], &[0x30, 0, 0, 0])].concat());
        let segment = [0x18, 0x53, 0x80, 0x67, 1, 0, 0, 0, 0x40, 0, 0, 0];
        let header = element(&[0x1a, 0x45, 0xdf, 0xa3], &[]);
        let list = element(&[0x11, 0x4d, 0x9b, 0x74], &seek);
        let place = 0x3000_0000 + (header.len() + segment.len()) as u64;
        let head = [&header[..], &segment, &list].concat();
        assert_eq!(look(&head, 1 << 30), Told::Index(place..place + LARGEST));
    }

    proptest! {
        #[test]
        fn whatever_the_head_it_is_a_part_of_the_file(
            kind in prop::sample::select(vec![&b"\0\0\0\x20ftyp"[..], b"\x1a\x45\xdf\xa3\x80\x18\x53\x80\x67", b"RIFF\0\0\0\0AVI ", b"OggS", b"\0\0\x01\xba", b"G"]),
            rest in prop::collection::vec(any::<u8>(), 0..600),
            len in any::<u64>(),
        ) {
            if let Told::Index(range) = look(&[kind, &rest].concat(), len) {
                prop_assert!(range.start < range.end && range.end <= len && range.end - range.start <= LARGEST);
            }
        }
    }
}
