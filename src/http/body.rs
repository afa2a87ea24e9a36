//! From a reader to a response body. The first bytes are in hand before a body exists, so that whatever
//! keeps them from coming is still answered with a real status.

use std::{future::Future, ops::Range};

use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use sync_wrapper::SyncStream;

use super::lane::{Lane, PROMISE};
use crate::core::{
    Error,
    media::Media,
    reader::{Opened, PieceReader},
};

/// The first chunk is read here, so that a disk that fails is still answered; a player's probe often wants no more.
const FIRST_CHUNK: usize = 64 * 1024;

/// One file that can be read from any place, by any number of readers.
pub trait Content: Clone + Send + Sync + 'static {
    /// What reads one range of it.
    type Chunks: Chunks;

    /// What it is.
    fn media(&self) -> &Media;

    /// A reader over a non-empty range that lies inside the file.
    fn reader(&self, range: Range<u64>) -> Self::Chunks;
}

/// Reads one range in order. Dropping it withdraws its claim on the swarm.
pub trait Chunks: Send + 'static {
    /// The next bytes, at most `max` of them, `None` at the end of the range.
    fn chunk(&mut self, max: usize) -> impl Future<Output = Result<Option<Bytes>, Error>> + Send;

    /// As [`chunk`](Self::chunk), for a body that is sent by this lane: what the kernel can move by itself is only
    /// promised.
    fn promise(
        &mut self,
        max: usize,
        lane: &Lane,
    ) -> impl Future<Output = Result<Option<Bytes>, Error>> + Send {
        let _ = lane;
        self.chunk(max)
    }
}

impl Content for Opened {
    type Chunks = PieceReader;

    fn media(&self) -> &Media {
        Opened::media(self)
    }

    fn reader(&self, range: Range<u64>) -> PieceReader {
        Opened::reader(self, range)
    }
}

impl Chunks for PieceReader {
    fn chunk(&mut self, max: usize) -> impl Future<Output = Result<Option<Bytes>, Error>> + Send {
        PieceReader::chunk(self, max)
    }

    async fn promise(&mut self, max: usize, lane: &Lane) -> Result<Option<Bytes>, Error> {
        let span = self.span(max).await?;
        Ok(span.map(|span| lane.promise(span)))
    }
}

/// Waits for the first bytes, then hands back a stream of all of them, to be sent by `lane`.
///
/// An error later than that ends the stream early: the client sees a body shorter than announced.
pub async fn begin(
    mut chunks: impl Chunks,
    lane: Lane,
) -> Result<impl Stream<Item = Result<Bytes, Error>> + Send + Sync + 'static, Error> {
    let first = chunks.chunk(FIRST_CHUNK).await?;
    let first = first.ok_or_else(|| Error::Internal("a reader ended before its first byte".to_owned()))?;
    let rest = stream::try_unfold((chunks, lane), move |(mut chunks, lane)| async move {
        let next = chunks.promise(PROMISE, &lane).await;
        let next = next.inspect_err(|error| tracing::debug!(%error, "a response ends early"))?;
        Ok(next.map(|bytes| (bytes, (chunks, lane))))
    });
    Ok(SyncStream::new(stream::once(async { Ok(first) }).chain(rest)))
}
