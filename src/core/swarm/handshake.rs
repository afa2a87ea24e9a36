//! What is said to a peer before any torrent is known: the handshake, and the info dictionary (BEP 9) if it is wanted.
//!
//! Every length that a peer names is bounded before memory is set aside for it, and every wait has an end.

use std::{io, time::Duration};

use bytes::BytesMut;
use librqbit_core::Id20;
use librqbit_peer_protocol::Handshake;
use sha1::{Digest, Sha1};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    sync::watch,
    time::{Instant, sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    bencode::decode,
    metainfo::MAX_METAINFO,
    prompt::Prompt,
    wire::{self, Hello},
};
use crate::core::{reasons::Reason, source::InfoHash};

/// Between two messages of a peer that is meant to answer.
const READ_TIMEOUT: Duration = Duration::from_secs(7);
/// The largest message that is read: bit fields and metadata pieces are far below, and blocks are never asked for.
const MAX_MESSAGE: u32 = 1 << 20;
/// What is kept for whoever takes the connection over: a bit field and a thousand messages beside it.
const MAX_KEPT: usize = 64 * 1024;
/// Bytes of one metadata piece (BEP 9).
const METADATA_PIECE: usize = 16 * 1024;
/// Our own number for `ut_metadata` messages. It is librqbit's, which may take the connection over.
pub const OUR_UT_METADATA: u8 = librqbit_peer_protocol::MY_EXTENDED_UT_METADATA;
/// And for `ut_pex` messages.
pub const OUR_UT_PEX: u8 = librqbit_peer_protocol::MY_EXTENDED_UT_PEX;
/// Metadata pieces asked for at once: 256 KiB, one ordinary round trip's worth on a fast peer.
const PIPELINE: usize = 16;

/// Where others wait for its place, a peer has this long to come forward with metadata: somewhat more than one that says
/// nothing at all.
const HEAD_START: Duration = Duration::from_secs(10);
/// And so much more for each piece that it brings: 16 KiB a second are less than any peer does that is worth the place.
const A_PIECE: Duration = Duration::from_secs(1);

/// Why a peer that answered was of no use.
#[derive(Debug, thiserror::Error)]
pub enum Unhelpful {
    /// The connection broke, or nothing came in time.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// It spoke another protocol or of another torrent.
    #[error("{0}")]
    Protocol(&'static str),
    /// It has nothing to tell of the torrent, but may well have the torrent.
    #[error("{0}")]
    Silent(&'static str),
    /// Somebody else was faster.
    #[error("it was not needed any more")]
    Late,
}

impl From<&Unhelpful> for Reason {
    fn from(unhelpful: &Unhelpful) -> Self {
        match unhelpful {
            Unhelpful::Io(error) => error.into(),
            Unhelpful::Silent(why) => Reason::NoMetadata(why),
            Unhelpful::Protocol(_) | Unhelpful::Late => Reason::Other(unhelpful.to_string()),
        }
    }
}

/// How long a peer that gives metadata is listened to.
#[derive(Debug, Clone)]
pub struct Patience {
    /// Somebody else was faster.
    pub enough: CancellationToken,
    /// Others wait for its place.
    pub crowded: watch::Receiver<bool>,
}

impl Patience {
    /// Until others wait, but not before then.
    async fn ends(&self, then: Instant) {
        sleep_until(then).await;
        // Where nobody is left to say so, nobody waits.
        if self.crowded.clone().wait_for(|crowded| *crowded).await.is_err() {
            std::future::pending().await
        }
    }
}

/// Which extensions a peer is offered beside that of metadata.
#[derive(Debug, Clone, Copy)]
pub struct Offer {
    /// It may tell us of peers. Whoever takes the connection over cannot offer that later: libtorrent leaves whoever sends
    /// it peers without having said so in the first hello.
    pub peer_exchange: bool,
}

impl Offer {
    fn hello(self) -> String {
        let pex = if self.peer_exchange { format!("6:ut_pexi{OUR_UT_PEX}e") } else { String::new() };
        format!("d1:md11:ut_metadatai{OUR_UT_METADATA}e{pex}ee")
    }
}

/// A peer that was greeted.
pub struct Greeted<S> {
    /// The connection.
    pub stream: S,
    /// Its handshake.
    pub hello: Hello,
    /// Whole messages that it sent and that were none of our business here.
    kept: BytesMut,
    /// What came and was not looked at.
    inbox: BytesMut,
}

impl<S> Greeted<S> {
    /// Whether it knows the extension protocol.
    pub fn is_extended(&self) -> bool {
        is_extended(&self.hello)
    }

    /// The connection, and all that it sent behind its handshake but the info dictionary.
    pub fn into_parts(mut self) -> (S, BytesMut) {
        self.kept.unsplit(self.inbox);
        (self.stream, self.kept)
    }
}

/// Greets a peer: it speaks BitTorrent and has this torrent.
pub async fn greet<S>(mut stream: S, info_hash: InfoHash, peer_id: Id20) -> Result<Greeted<S>, Unhelpful>
where
    S: AsyncRead + AsyncWrite + Prompt + Unpin,
{
    say(&mut stream, &hello_of(info_hash, peer_id)).await?;
    let hello = hear(&mut stream).await?;
    let (theirs, _) =
        Handshake::deserialize(&hello).map_err(|_| Unhelpful::Protocol("it does not speak BitTorrent"))?;
    if theirs.info_hash.0 != *info_hash.bytes() {
        return Err(Unhelpful::Io(Reason::OtherTorrent.into()));
    }
    if theirs.peer_id == peer_id {
        return Err(Unhelpful::Protocol("it is this very process"));
    }
    Ok(Greeted { stream, hello, kept: BytesMut::new(), inbox: BytesMut::new() })
}

/// Greets a peer that dialled us for this torrent.
pub async fn answer<S>(
    mut stream: S,
    hello: Hello,
    info_hash: InfoHash,
    peer_id: Id20,
) -> io::Result<Greeted<S>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    say(&mut stream, &hello_of(info_hash, peer_id)).await?;
    Ok(Greeted { stream, hello, kept: BytesMut::new(), inbox: BytesMut::new() })
}

fn hello_of(info_hash: InfoHash, peer_id: Id20) -> Hello {
    let mut ours: Hello = [0; 68];
    let _its_length =
        Handshake::new(Id20::new(*info_hash.bytes()), peer_id).serialize_unchecked_len(&mut ours);
    ours
}

/// A request for a piece of metadata.
pub fn metadata_request(piece: u32) -> String {
    format!("d8:msg_typei0e5:piecei{piece}ee")
}

/// Says a hello.
pub async fn say(stream: &mut (impl AsyncWrite + Unpin), hello: &Hello) -> io::Result<()> {
    within(stream.write_all(hello)).await
}

/// Hears a hello, whatever it says.
pub async fn hear(stream: &mut (impl AsyncRead + Prompt + Unpin)) -> io::Result<Hello> {
    let mut hello: Hello = [0; 68];
    within(stream.read_exact(&mut hello)).await?;
    stream.acknowledge();
    Ok(hello)
}

/// Whether who says it knows the extension protocol.
pub fn is_extended(hello: &Hello) -> bool {
    Handshake::deserialize(hello).is_ok_and(|(hello, _)| hello.supports_extended())
}

/// The torrent that a hello is about.
pub fn info_hash_of(hello: &Hello) -> Option<InfoHash> {
    let (hello, _) = Handshake::deserialize(hello).ok()?;
    Some(InfoHash::new(hello.info_hash.0))
}

/// Who says a hello.
pub fn peer_id_of(hello: &Hello) -> Option<Id20> {
    Handshake::deserialize(hello).ok().map(|(hello, _)| hello.peer_id)
}

/// With an end to the wait for somebody who is meant to answer.
pub async fn within<T>(io: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    let done = timeout(READ_TIMEOUT, io).await;
    done.map_err(|_| Reason::Mute)?
}

impl<S: AsyncRead + AsyncWrite + Prompt + Unpin> Greeted<S> {
    /// Says that we want something: many a peer takes its time to let us ask, and can begin with that now.
    pub async fn show_interest(&mut self) -> Result<(), Unhelpful> {
        Ok(within(self.stream.write_all(&wire::INTERESTED)).await?)
    }

    /// Fetches the info dictionary; `progress` is told of every piece's bytes. Ends between two messages with `patience`.
    pub async fn fetch_info(
        &mut self,
        info_hash: InfoHash,
        offer: Offer,
        patience: &Patience,
        progress: impl Fn(u64),
    ) -> Result<Vec<u8>, Unhelpful> {
        self.send(0, offer.hello().as_bytes()).await?;
        self.show_interest().await?;
        let mut until = Instant::now() + HEAD_START;
        let mut assembly = loop {
            if let (0, payload) = self.next_extended(patience, until).await? {
                break Assembly::from_hello(&payload)?;
            }
        };
        for _ in 0..PIPELINE {
            self.ask(&mut assembly).await?;
        }
        while !assembly.is_complete() {
            // Requests and rejections of the peer's own, and other extensions, are none of our business here.
            if let (OUR_UT_METADATA, payload) = self.next_extended(patience, until).await?
                && let Some(len) = assembly.take(&payload)?
            {
                progress(len as u64);
                until += A_PIECE;
                self.ask(&mut assembly).await?;
            }
        }
        if Sha1::digest(&assembly.info).as_slice() != info_hash.bytes() {
            return Err(Unhelpful::Protocol("its metadata has another hash"));
        }
        Ok(assembly.info)
    }

    async fn ask(&mut self, assembly: &mut Assembly) -> Result<(), Unhelpful> {
        match assembly.next_request() {
            Some(request) => self.send(assembly.their_ut_metadata, request.as_bytes()).await,
            None => Ok(()),
        }
    }

    /// The next extended message: its number and payload. Nothing of it is lost when this is dropped midway.
    async fn next_extended(
        &mut self,
        patience: &Patience,
        until: Instant,
    ) -> Result<(u8, Vec<u8>), Unhelpful> {
        loop {
            while let Some(message) = self.next_message()? {
                let extended = match &message[4..] {
                    [wire::EXTENDED, number, payload @ ..] => Some((*number, payload.to_vec())),
                    _ => None,
                };
                if !matches!(extended, Some((OUR_UT_METADATA, _))) {
                    self.keep(message)?;
                }
                if let Some(extended) = extended {
                    return Ok(extended);
                }
            }
            tokio::select! {
                read = within(self.stream.read_buf(&mut self.inbox)) => match read? {
                    0 => return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
                    _ => self.stream.acknowledge(),
                },
                () = patience.enough.cancelled() => return Err(Unhelpful::Late),
                () = patience.ends(until) => {
                    return Err(Unhelpful::Silent("it took its time with metadata while others waited"));
                }
            }
        }
    }

    fn next_message(&mut self) -> Result<Option<BytesMut>, Unhelpful> {
        match wire::frame_len(&self.inbox, MAX_MESSAGE) {
            Ok(whole) => Ok(whole.map(|whole| self.inbox.split_to(whole))),
            Err(wire::Malformed) => Err(Unhelpful::Protocol("it sent an oversized message")),
        }
    }

    fn keep(&mut self, message: BytesMut) -> Result<(), Unhelpful> {
        if self.kept.len() > MAX_KEPT {
            return Err(Unhelpful::Protocol("it talks and talks"));
        }
        self.kept.unsplit(message);
        Ok(())
    }

    async fn send(&mut self, number: u8, payload: &[u8]) -> Result<(), Unhelpful> {
        Ok(within(self.stream.write_all(&wire::extended(number, payload))).await?)
    }
}

/// The info dictionary, coming together.
struct Assembly {
    info: Vec<u8>,
    have: Vec<bool>,
    asked: usize,
    their_ut_metadata: u8,
}

impl Assembly {
    fn from_hello(payload: &[u8]) -> Result<Self, Unhelpful> {
        #[derive(serde::Deserialize)]
        struct Hello {
            m: Option<Messages>,
            metadata_size: Option<usize>,
        }
        #[derive(serde::Deserialize)]
        struct Messages {
            ut_metadata: Option<u64>,
        }
        let (hello, _): (Hello, _) =
            decode(payload).ok_or(Unhelpful::Protocol("its extended handshake is broken"))?;
        let number = hello.m.and_then(|m| u8::try_from(m.ut_metadata?).ok()).filter(|number| *number != 0);
        match (number, hello.metadata_size) {
            (Some(their_ut_metadata), Some(size)) if (1..=MAX_METAINFO).contains(&size) => Ok(Assembly {
                info: vec![0; size],
                have: vec![false; size.div_ceil(METADATA_PIECE)],
                asked: 0,
                their_ut_metadata,
            }),
            (Some(_), Some(_)) => Err(Unhelpful::Protocol("its metadata has an absurd size")),
            _ => Err(Unhelpful::Silent("it has no metadata to give yet")),
        }
    }

    fn is_complete(&self) -> bool {
        self.have.iter().all(|have| *have)
    }

    fn next_request(&mut self) -> Option<String> {
        let next = self.asked as u32;
        let more = self.asked < self.have.len();
        self.asked += usize::from(more);
        more.then(|| metadata_request(next))
    }

    /// Takes a message; how many bytes it brought, if it was a piece.
    fn take(&mut self, payload: &[u8]) -> Result<Option<usize>, Unhelpful> {
        #[derive(serde::Deserialize)]
        struct Header {
            msg_type: u64,
            piece: usize,
        }
        let (header, data): (Header, _) =
            decode(payload).ok_or(Unhelpful::Protocol("its metadata message is broken"))?;
        match header.msg_type {
            1 => self.put(header.piece, data).map(Some),
            2 => Err(Unhelpful::Silent("it refuses to give its metadata")),
            _ => Ok(None),
        }
    }

    fn put(&mut self, piece: usize, data: &[u8]) -> Result<usize, Unhelpful> {
        let start = piece.saturating_mul(METADATA_PIECE);
        let end = start.saturating_add(METADATA_PIECE).min(self.info.len());
        if piece >= self.asked || data.len() != end - start {
            return Err(Unhelpful::Protocol("it sent metadata that was not asked for"));
        }
        self.info[start..end].copy_from_slice(data);
        self.have[piece] = true;
        Ok(data.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OFFER: Offer = Offer { peer_exchange: true };

    const INFO: &[u8] = &[b'i'; 40_000];

    fn hash() -> InfoHash {
        InfoHash::new(Sha1::digest(INFO).into())
    }

    /// Without an end, unless others wait.
    fn patience(crowded: bool) -> (watch::Sender<bool>, Patience) {
        let (sender, crowded) = watch::channel(crowded);
        (sender, Patience { enough: CancellationToken::new(), crowded })
    }

    fn greeted<S>(stream: S) -> Greeted<S> {
        Greeted { stream, hello: [0; 68], kept: BytesMut::new(), inbox: BytesMut::new() }
    }

    /// Plays a peer that says these extended messages, whatever it hears.
    async fn against(said: Vec<(u8, Vec<u8>)>) -> Result<Vec<u8>, Unhelpful> {
        let (ours, mut theirs) = tokio::io::duplex(1 << 20);
        for (number, payload) in said {
            theirs.write_all(&wire::extended(number, &payload)).await.unwrap();
        }
        let sink = tokio::spawn(async move {
            let mut heard = Vec::new();
            // Stays open until the other side leaves, as a peer would.
            theirs.read_to_end(&mut heard).await.unwrap();
        });
        let mut greeted = greeted(ours);
        let (_crowd, patience) = patience(false);
        let result = greeted.fetch_info(hash(), OFFER, &patience, |_| {}).await;
        drop(greeted);
        sink.await.unwrap();
        result
    }

    fn hello(size: usize) -> (u8, Vec<u8>) {
        (0, format!("d1:md11:ut_metadatai9ee13:metadata_sizei{size}ee").into_bytes())
    }

    fn piece(number: usize) -> (u8, Vec<u8>) {
        let mut message = format!("d8:msg_typei1e5:piecei{number}e10:total_sizei40000ee").into_bytes();
        message.extend_from_slice(INFO.chunks(METADATA_PIECE).nth(number).unwrap());
        (OUR_UT_METADATA, message)
    }

    #[tokio::test]
    async fn the_info_dictionary_is_assembled_in_any_order() {
        let info = against(vec![hello(40_000), piece(2), (7, vec![1]), piece(0), piece(1)]).await.unwrap();
        assert_eq!(info, INFO);
    }

    #[tokio::test]
    async fn liars_are_told_apart_and_nothing_panics() {
        let mut short = piece(1);
        short.1.pop();
        let far = (OUR_UT_METADATA, b"d8:msg_typei1e5:piecei999999999eex".to_vec());
        let refuse = (OUR_UT_METADATA, b"d8:msg_typei2e5:piecei0ee".to_vec());
        let mut flipped = piece(0);
        *flipped.1.last_mut().unwrap() = b'!';
        for (said, word) in [
            (vec![hello(40_000), short], "not asked for"),
            (vec![hello(40_000), far], "not asked for"),
            (vec![hello(40_000), refuse], "refuses"),
            (vec![hello(40_000), flipped, piece(1), piece(2)], "another hash"),
            (vec![hello(0)], "absurd"),
            (vec![hello(1 << 31)], "absurd"),
            (vec![(0, b"de".to_vec())], "no metadata"),
            (vec![(0, b"d1:m".to_vec())], "broken"),
            (vec![hello(40_000), (OUR_UT_METADATA, b"i".to_vec())], "broken"),
        ] {
            let error = against(said).await.unwrap_err().to_string();
            assert!(error.contains(word), "{error} should say {word}");
        }
    }

    #[test]
    fn who_may_hear_of_no_peers_offers_nobody_to_tell_of_any() {
        assert_eq!(OFFER.hello(), "d1:md11:ut_metadatai3e6:ut_pexi1eee");
        assert_eq!(Offer { peer_exchange: false }.hello(), "d1:md11:ut_metadatai3eee");
    }

    #[tokio::test]
    async fn metadata_before_the_extended_handshake_is_passed_over() {
        let info = against(vec![piece(0), hello(40_000), piece(0), piece(1), piece(2)]).await.unwrap();
        assert_eq!(info, INFO);
    }

    #[tokio::test]
    async fn what_a_peer_says_beside_its_metadata_is_kept_for_whoever_takes_over() {
        let (ours, mut theirs) = tokio::io::duplex(1 << 20);
        let (bitfield, unchoke) = ([0, 0, 0, 2, 5, 0xff], [0, 0, 0, 1, 1]);
        let (number, payload) = hello(40_000);
        let said = [&bitfield[..], &wire::extended(number, &payload), &unchoke[..3]].concat();
        theirs.write_all(&said).await.unwrap();
        let (mut greeted, (_crowd, patience)) = (greeted(ours), patience(false));
        patience.enough.cancel();
        let late = greeted.fetch_info(hash(), OFFER, &patience, |_| {}).await.unwrap_err();
        assert!(matches!(late, Unhelpful::Late), "{late}");
        let (_stream, heard) = greeted.into_parts();
        assert!(said.starts_with(&heard), "{heard:?}");
    }

    #[tokio::test]
    async fn an_oversized_message_ends_it_before_memory_is_set_aside() {
        let (ours, mut theirs) = tokio::io::duplex(64);
        theirs.write_u32(u32::MAX).await.unwrap();
        let (_crowd, patience) = patience(false);
        let error = greeted(ours).next_extended(&patience, Instant::now()).await.unwrap_err();
        assert!(error.to_string().contains("oversized"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_only_keeps_the_line_alive_gives_way_to_others_and_to_nobody_else() {
        let (ours, mut theirs) = tokio::io::duplex(1 << 20);
        let (crowd, patience) = patience(false);
        let (number, payload) = hello(40_000);
        theirs.write_all(&wire::extended(number, &payload)).await.unwrap();
        let dribbling = tokio::spawn(async move {
            while theirs.write_all(&wire::KEEP_ALIVE).await.is_ok() {
                tokio::time::sleep(Duration::from_secs(5)).await;
            }
        });
        let fetching = tokio::spawn(async move {
            greeted(ours).fetch_info(hash(), OFFER, &patience, |_| {}).await.unwrap_err()
        });
        tokio::time::sleep(10 * HEAD_START).await;
        assert!(!fetching.is_finished(), "nobody wants its place");
        crowd.send(true).unwrap();
        let error = fetching.await.unwrap();
        assert!(matches!(error, Unhelpful::Silent(_)), "{error}");
        dribbling.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_peer_that_brings_pieces_keeps_its_place_however_many_wait() {
        let (ours, mut theirs) = tokio::io::duplex(1 << 20);
        let (_crowd, patience) = patience(true);
        tokio::spawn(async move {
            for (number, payload) in [hello(40_000), piece(0), piece(1), piece(2)] {
                tokio::time::sleep(Duration::from_millis(2800)).await;
                theirs.write_all(&wire::extended(number, &payload)).await.unwrap();
            }
            // It stays, as a peer would.
            std::future::pending::<()>().await;
        });
        assert_eq!(greeted(ours).fetch_info(hash(), OFFER, &patience, |_| {}).await.unwrap(), INFO);
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_says_nothing_is_left_after_seven_seconds() {
        let (ours, _theirs) = tokio::io::duplex(1024);
        let began = tokio::time::Instant::now();
        let error = greet(ours, hash(), Id20::new([1; 20])).await.err().unwrap();
        assert!(error.to_string().contains("said nothing"));
        assert_eq!(began.elapsed(), READ_TIMEOUT);
    }
}
