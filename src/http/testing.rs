//! What the tests of this room share: a file in memory, and answers taken apart.

use std::{collections::HashMap, future::Future, ops::Range, time::Duration};

use bytes::Bytes;
use tokio::sync::watch;

use super::body::{Chunks, Content};
use crate::core::{Error, failed::FailureKind, media::Media, source::InfoHash};

pub const NAME: &str = "A Film #1 (Amélie)?.mkv";
pub const HASH: InfoHash = InfoHash::new([0x5a; 20]);

/// A file in memory that ends, fails or stalls where it is told to.
#[derive(Clone)]
pub struct Fake {
    pub media: Media,
    pub bytes: Bytes,
    pub end: End,
    pub at: u64,
    pub readers: watch::Sender<Readers>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum End {
    Whole,
    Fails,
    Stalls,
}

#[derive(Clone, Copy, Default, Debug)]
pub struct Readers {
    pub opened: usize,
    pub open: usize,
}

impl Fake {
    pub fn new(len: usize, end: End, at: u64) -> Self {
        let media = Media { info_hash: HASH, index: 2, path: format!("dir/{NAME}"), len: len as u64 };
        let bytes = (0..len).map(|i| (i * 7 + i / 251) as u8).collect();
        Self { media, bytes, end, at, readers: watch::Sender::default() }
    }
}

pub struct FakeReader {
    pub fake: Fake,
    pub range: Range<u64>,
}

impl Content for Fake {
    type Chunks = FakeReader;

    fn media(&self) -> &Media {
        &self.media
    }

    fn reader(&self, range: Range<u64>) -> FakeReader {
        assert!(range.start < range.end && range.end <= self.media.len);
        self.readers.send_modify(|readers| {
            readers.opened += 1;
            readers.open += 1;
        });
        FakeReader { fake: self.clone(), range }
    }
}

impl Chunks for FakeReader {
    async fn chunk(&mut self, max: usize) -> Result<Option<Bytes>, Error> {
        let start = self.range.start;
        if start >= self.fake.at && self.fake.end != End::Whole {
            if self.fake.end == End::Stalls {
                std::future::pending::<()>().await;
            }
            let reason = "no peers found after 60s".to_owned();
            return Err(Error::Failed { info_hash: HASH, kind: FailureKind::NoPeers, reason });
        }
        let limit = if self.fake.end == End::Whole { self.range.end } else { self.fake.at };
        let end = self.range.end.min(limit).min(start + max as u64);
        self.range.start = end;
        Ok((start < end).then(|| self.fake.bytes.slice(start as usize..end as usize)))
    }
}

impl Drop for FakeReader {
    fn drop(&mut self) {
        self.fake.readers.send_modify(|readers| readers.open -= 1);
    }
}

/// A guard against hanging, far above what anything here takes.
pub async fn soon<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), work).await.expect("it hangs")
}

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HashMap<String, String>,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn parse(bytes: &[u8]) -> Self {
        let split = bytes.windows(4).position(|window| window == b"\r\n\r\n").expect("a whole head");
        let head = std::str::from_utf8(&bytes[..split]).expect("text");
        let mut lines = head.split("\r\n");
        let status = lines.next().expect("a status line")[9..12].parse().expect("a status");
        let headers = lines.map(|line| line.split_once(": ").expect("a header line"));
        let headers = headers.map(|(name, value)| (name.to_lowercase(), value.to_owned())).collect();
        Self { status, headers, body: bytes[split + 4..].to_vec() }
    }

    pub fn kind(&self) -> String {
        let json: serde_json::Value = serde_json::from_slice(&self.body).expect("JSON");
        assert!(json["error"].is_string() && json["message"].is_string());
        json["type"].as_str().expect("a type").to_owned()
    }
}
