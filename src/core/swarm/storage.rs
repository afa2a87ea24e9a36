//! librqbit's storage over a torrent's [`Content`]: finished pieces go to our have-map. Blocks do not come from here: the
//! broker writes each before librqbit is given it, and keeps errno, which librqbit would forget.
//!
//! librqbit's start-up check only ever reads what the have-map names, so that the holes of a sparse file are never hashed.

use std::{any::TypeId, io::IoSlice, path::Path, sync::Arc};

use anyhow::{Context, bail};
use librqbit::{
    ManagedTorrentShared, TorrentMetadata,
    storage::{
        BoxStorageFactory, StorageFactory, StorageFactoryExt, TorrentStorage,
        filesystem::FilesystemStorageFactory,
    },
};
use librqbit_core::lengths::ValidPieceIndex;

use super::broker::Exchange;
use crate::core::content::Content;

/// Makes storages over one torrent's content.
#[derive(Clone)]
pub struct ContentFactory(pub Arc<Exchange>);

impl StorageFactory for ContentFactory {
    type Storage = ContentStorage;

    fn create(&self, _: &ManagedTorrentShared, _: &TorrentMetadata) -> anyhow::Result<ContentStorage> {
        Ok(ContentStorage::new(self.0.clone(), true))
    }

    /// librqbit keeps a bit field between adds only for what it takes for its own file system storage.
    fn is_type_id(&self, type_id: TypeId) -> bool {
        type_id == TypeId::of::<FilesystemStorageFactory>()
    }

    fn clone_box(&self) -> BoxStorageFactory {
        self.clone().boxed()
    }
}

/// One torrent's storage, during its start-up check or after it.
pub struct ContentStorage {
    exchange: Arc<Exchange>,
    content: Arc<Content>,
    checking: bool,
}

impl ContentStorage {
    /// Over what is exchanged; `checking` until the start-up check is over.
    pub fn new(exchange: Arc<Exchange>, checking: bool) -> Self {
        ContentStorage { content: exchange.content().clone(), exchange, checking }
    }

    /// Claimed pieces are hashed before anybody gets their bytes; during the check, what is not there is an error.
    fn admit(&self, file: usize, offset: u64, len: u64) -> anyhow::Result<()> {
        if self.checking {
            if !self.content.covers(file, offset..offset + len) {
                bail!("not there yet");
            }
            return Ok(());
        }
        for piece in self.content.pieces_under(file, offset..offset + len) {
            if self.content.is_claimed(piece) && !self.content.verify(piece) {
                bail!("piece {piece} on disk does not match its hash");
            }
        }
        Ok(())
    }
}

impl TorrentStorage for ContentStorage {
    fn init(&mut self, _: &ManagedTorrentShared, _: &TorrentMetadata) -> anyhow::Result<()> {
        Ok(())
    }

    fn pread_exact(&self, file: usize, offset: u64, buf: &mut [u8]) -> anyhow::Result<()> {
        self.admit(file, offset, buf.len() as u64)?;
        self.content.read_at(file, offset, buf).context("reading")
    }

    /// What librqbit is given is on disk before; what it says is late, and may be of a bad copy that a good one replaced.
    fn pwrite_all(&self, _: usize, _: u64, _: &[u8]) -> anyhow::Result<()> {
        Ok(())
    }

    fn pwrite_all_vectored(&self, _: usize, _: u64, bufs: [IoSlice<'_>; 2]) -> anyhow::Result<usize> {
        Ok(bufs.iter().map(|buf| buf.len()).sum())
    }

    fn remove_file(&self, _: usize, _: &Path) -> anyhow::Result<()> {
        Ok(())
    }

    fn remove_directory_if_empty(&self, _: &Path) -> anyhow::Result<()> {
        Ok(())
    }

    fn ensure_file_length(&self, file: usize, length: u64) -> anyhow::Result<()> {
        self.content.set_len(file, length).context("setting the length")
    }

    fn take(&self) -> anyhow::Result<Box<dyn TorrentStorage>> {
        Ok(Box::new(ContentStorage::new(self.exchange.clone(), false)))
    }

    fn on_piece_completed(&self, piece: ValidPieceIndex) -> anyhow::Result<()> {
        self.content.complete(piece.get());
        self.exchange.completed(piece.get());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::metainfo::tests::sample;

    #[tokio::test]
    async fn what_librqbit_has_to_write_is_on_disk_already_or_was_replaced() {
        let (dir, good) = (tempfile::tempdir().unwrap(), [7; 100]);
        let content = Arc::new(Content::open(dir.path(), Arc::new(sample(100, &[100], &good))));
        content.write_torrent(0, &[&good]).unwrap();
        let runtime = tokio::runtime::Handle::current();
        let exchange = Exchange::new(content.clone(), runtime, Arc::default(), Arc::default(), true);
        let storage = ContentStorage::new(exchange, false);
        storage.pwrite_all(0, 0, &[8; 100]).unwrap();
        let bufs = [IoSlice::new(&[8; 60]), IoSlice::new(&[8; 40])];
        assert_eq!(storage.pwrite_all_vectored(0, 0, bufs).unwrap(), 100);
        assert!(content.check(0, false).unwrap().0, "a bad copy landed on a good one");
    }
}
