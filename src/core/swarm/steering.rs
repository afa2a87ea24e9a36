//! From readers' playheads to librqbit's priorities: one seeked, never read FileStream for each reader.
//!
//! A FileStream's position alone makes librqbit fetch the 32 MiB behind it first; read, it would hold a permit that
//! the whole session shares. One more stream is parked at a file's end for the torrent's life: without any stream,
//! librqbit leaks the pieces in flight and the next reader stalls.

use std::{collections::HashMap, io::SeekFrom, pin::Pin, sync::Arc};

use anyhow::Context;
use librqbit::ManagedTorrent;
use tokio::io::AsyncSeek;

use crate::core::playhead::{Playhead, Playheads};

type Stream = Box<dyn AsyncSeek + Send + Unpin>;

/// Follows the playheads until dropped.
pub async fn steer(
    torrent: Arc<ManagedTorrent>,
    playheads: &Playheads,
    parked_in: usize,
) -> anyhow::Result<()> {
    let mut parked = open(&torrent, parked_in).await?;
    seek(&mut parked, SeekFrom::End(0))?;
    let mut moved = playheads.follow();
    let mut streams: HashMap<u64, (Playhead, Stream)> = HashMap::new();
    loop {
        let heads = playheads.snapshot();
        streams.retain(|reader, _| heads.iter().any(|(other, _)| other == reader));
        for (reader, head) in heads {
            match streams.get_mut(&reader) {
                Some((at, _)) if (at.file, at.needs) == (head.file, head.needs) => {}
                Some((at, stream)) => {
                    *at = head;
                    seek(stream, SeekFrom::Start(head.needs))?;
                }
                None => {
                    let mut stream = open(&torrent, head.file).await?;
                    seek(&mut stream, SeekFrom::Start(head.needs))?;
                    streams.insert(reader, (head, stream));
                }
            }
        }
        // The sender lives as long as the playheads do.
        let _ = moved.changed().await;
    }
}

async fn open(torrent: &Arc<ManagedTorrent>, file: usize) -> anyhow::Result<Stream> {
    Ok(Box::new(torrent.clone().stream(file).await.context("opening a stream")?))
}

/// Seeking takes effect at once; there is nothing to poll for.
fn seek(stream: &mut Stream, to: SeekFrom) -> anyhow::Result<()> {
    Pin::new(stream).start_seek(to).context("seeking")
}
