//! Reads that may stand still, away from the threads that serve everybody: what the kernel has in memory is read at once,
//! and for the rest a thread is found that may wait.
//!
//! Each torrent has few such threads at a time, so that one whose disk stands still leaves enough for the others.

use std::{fs::File, io, os::unix::fs::FileExt as _, sync::Arc};

use rustix::{
    fs::fstatfs,
    io::{Errno, ReadWriteFlags, preadv2},
};
use tokio::sync::Semaphore;

/// Waits of one torrent at a time: 25 torrents' are 400 of the 512 threads that tokio has.
const WAITS: usize = 16;
/// How far apart it is looked whether a part of a file is in memory. The kernel reads and drops more than this at a time;
/// a look takes a quarter of a microsecond, what lies between two of them is sent in ten.
const APART: u64 = 64 * 1024;

/// The disk under one torrent.
#[derive(Debug, Clone)]
pub struct Disk(Arc<Semaphore>);

impl Default for Disk {
    fn default() -> Self {
        Disk(Arc::new(Semaphore::new(WAITS)))
    }
}

impl Disk {
    /// Does what may have to wait for the disk.
    pub async fn wait<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let permit = self.0.clone().acquire_owned().await.map_err(io::Error::other)?;
        let working = tokio::task::spawn_blocking(move || {
            // Not given back when nobody waits any more: the thread is still taken.
            let _permit = permit;
            work()
        });
        working.await?
    }

    /// So many bytes of a file.
    pub async fn read(&self, file: &Arc<File>, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; len];
        let got = read_at_once(file, offset, &mut bytes);
        if got == len {
            return Ok(bytes);
        }
        let file = file.clone();
        let reading = move || {
            file.read_exact_at(&mut bytes[got..], offset + got as u64)?;
            Ok(bytes)
        };
        self.wait(reading).await
    }

    /// Sees to it that a part of a file is in memory.
    pub async fn fetch(self, file: Arc<File>, offset: u64, len: usize) -> io::Result<()> {
        let reading = move || {
            let mut bytes = vec![0; (len as u64).min(APART) as usize];
            let end = offset + len as u64;
            let mut at = offset;
            while at < end {
                let part = (end - at).min(APART);
                match file.read_at(&mut bytes[..part as usize], at)? {
                    // Whoever sends it finds the end.
                    0 => break,
                    got => at += got as u64,
                }
            }
            Ok(())
        };
        self.wait(reading).await
    }
}

/// Whether a part of a file is in memory, as far as can be told.
pub fn is_at_hand(file: &File, offset: u64, len: usize) -> bool {
    let end = offset + len as u64;
    let mut looks = (offset..end).step_by(APART as usize).chain(end.checked_sub(1));
    looks.all(|at| read_at_once(file, at, &mut [0]) == 1)
}

/// Reads what needs no wait: nothing on a file system that cannot tell, unless all of it is in memory.
fn read_at_once(file: &File, offset: u64, bytes: &mut [u8]) -> usize {
    let read = preadv2(file, &mut [io::IoSliceMut::new(bytes)], offset, ReadWriteFlags::NOWAIT);
    match read {
        Err(Errno::OPNOTSUPP) if is_in_memory(file) => file.read_at(bytes, offset).unwrap_or(0),
        read => read.unwrap_or(0),
    }
}

fn is_in_memory(file: &File) -> bool {
    fstatfs(file).is_ok_and(|system| system.f_type == libc::TMPFS_MAGIC)
}

#[cfg(test)]
mod tests {
    use std::{
        io::Write as _,
        sync::{
            Condvar, Mutex,
            atomic::{AtomicUsize, Ordering::Relaxed},
        },
    };

    use super::*;

    fn file(bytes: &[u8]) -> Arc<File> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        Arc::new(file)
    }

    #[tokio::test]
    async fn what_is_read_is_right_wherever_it_was() {
        let bytes: Vec<u8> = (0..300_000).map(|n| (n % 251) as u8).collect();
        let (file, disk) = (file(&bytes), Disk::default());
        for evict in [false, true] {
            if evict {
                file.sync_all().unwrap();
                rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed).unwrap();
            }
            assert!(disk.read(&file, 7, 200_000).await.unwrap() == bytes[7..200_007]);
            disk.clone().fetch(file.clone(), 0, bytes.len()).await.unwrap();
            // A file system that cannot tell is none that has it at hand.
            let tells = read_at_once(&file, 0, &mut [0]) == 1;
            assert_eq!(is_at_hand(&file, 0, bytes.len()), tells);
        }
        assert!(!is_at_hand(&file, 0, bytes.len() + 1));
        let short = disk.read(&file, 299_999, 2).await.unwrap_err();
        assert_eq!(short.kind(), io::ErrorKind::UnexpectedEof);
        disk.fetch(file, 299_999, 10).await.unwrap();
    }

    #[tokio::test]
    async fn a_disk_that_stands_still_takes_few_threads_and_none_of_another_torrent() {
        let (still, other) = (Disk::default(), Disk::default());
        let gate = Arc::new((Mutex::new(false), Condvar::new()));
        let began = Arc::new(AtomicUsize::new(0));
        let mut waits = tokio::task::JoinSet::new();
        for _ in 0..2 * WAITS {
            let (still, gate, began) = (still.clone(), gate.clone(), began.clone());
            waits.spawn(async move {
                let work = move || {
                    began.fetch_add(1, Relaxed);
                    let (open, changed) = &*gate;
                    drop(changed.wait_while(open.lock().unwrap(), |open| !*open));
                    Ok(())
                };
                still.wait(work).await
            });
        }
        while began.load(Relaxed) < WAITS {
            tokio::task::yield_now().await;
        }
        other.wait(|| Ok(())).await.unwrap();
        assert_eq!(began.load(Relaxed), WAITS);
        *gate.0.lock().unwrap() = true;
        gate.1.notify_all();
        assert!(waits.join_all().await.into_iter().all(|waited| waited.is_ok()));
        assert_eq!(began.load(Relaxed), 2 * WAITS);
    }
}
