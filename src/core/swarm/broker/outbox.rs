//! What waits to be written to one side of a link: small messages first, whole frames only.

use std::{collections::VecDeque, io};

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncWrite, AsyncWriteExt};

/// Frames on their way out.
#[derive(Debug, Default)]
pub struct Outbox {
    /// Partly written, maybe: nothing may come between.
    current: Bytes,
    /// Before the rest: requests must not wait behind uploads.
    first: BytesMut,
    rest: VecDeque<Bytes>,
    len: usize,
}

impl Outbox {
    /// A frame that goes before what was [`passed`](Self::pass).
    pub fn put_first(&mut self, frame: &[u8]) {
        self.first.extend_from_slice(frame);
        self.len += frame.len();
    }

    /// Whole frames, after what was passed before.
    pub fn pass(&mut self, frames: Bytes) {
        self.len += frames.len();
        self.rest.push_back(frames);
    }

    /// Bytes that wait.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Writes once; nothing is lost when this is dropped midway.
    pub async fn send(&mut self, to: &mut (impl AsyncWrite + Unpin + ?Sized)) -> io::Result<()> {
        if self.current.is_empty() {
            self.current = match self.first.is_empty() {
                false => self.first.split().freeze(),
                true => self.rest.pop_front().unwrap_or_default(),
            };
        }
        let written = to.write(&self.current).await?;
        if written == 0 && !self.current.is_empty() {
            return Err(io::ErrorKind::WriteZero.into());
        }
        self.current.advance(written);
        self.len -= written;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;

    use super::*;

    #[tokio::test]
    async fn what_goes_first_never_lands_inside_a_frame() {
        let (mut ours, mut theirs) = tokio::io::duplex(4);
        let mut outbox = Outbox::default();
        outbox.pass(Bytes::from_static(b"aaaaaa"));
        outbox.send(&mut ours).await.unwrap();
        outbox.pass(Bytes::from_static(b"bb"));
        outbox.put_first(b"1");
        outbox.put_first(b"2");
        assert_eq!(outbox.len(), 6);
        let reading = tokio::spawn(async move {
            let mut heard = String::new();
            theirs.read_to_string(&mut heard).await.unwrap();
            heard
        });
        while !outbox.is_empty() {
            outbox.send(&mut ours).await.unwrap();
        }
        drop(ours);
        assert_eq!(reading.await.unwrap(), "aaaaaa12bb");
    }
}
