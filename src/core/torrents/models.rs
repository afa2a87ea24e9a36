//! Requests for torrents, and those who let go of them: cleanups, the grace period, other requests that need the room.

use std::path::Path;

use tempfile::TempDir;

use super::*;
use crate::core::{
    janitor::ScratchDir,
    reader::models::{opened, torrent},
    sync::models::{atomic::Ordering::SeqCst, block_on, explore, memory_dir, spawn},
};

const A: InfoHash = InfoHash::new([1; 20]);
const B: InfoHash = InfoHash::new([2; 20]);

/// A process with its torrents.
struct World {
    torrents: Torrents,
    scratch: ScratchDir,
    dir: TempDir,
    /// Attempts under way, by torrent.
    attempts: [AtomicUsize; 2],
    most: usize,
}

impl World {
    fn new(most: usize) -> Arc<Self> {
        let dir = memory_dir();
        let scratch = ScratchDir::open(dir.path()).unwrap();
        Arc::new(World { torrents: Torrents::default(), scratch, dir, attempts: Default::default(), most })
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    /// One attempt, which nobody else makes meanwhile.
    async fn enliven(&self, hash: InfoHash) -> Result<Live, Error> {
        let attempts = &self.attempts[usize::from(hash == B)];
        assert_eq!(attempts.fetch_add(1, SeqCst), 0, "two attempts at once");
        let lease = self.scratch.lease(&hash)?;
        let torrent = torrent(lease.dir());
        shuttle::future::yield_now().await;
        attempts.fetch_sub(1, SeqCst);
        Ok(Live::new(torrent, lease, (None, None), watch::Sender::default(), Arc::default()))
    }

    /// One request, as the streamer makes it.
    async fn request(self: Arc<Self>, hash: InfoHash) {
        let turn = self.torrents.turn(hash).await.unwrap();
        let live = turn.live_or(self.most, self.enliven(hash)).await;
        let reader = live.as_ref().map(|live| opened(live.torrent.clone()).reader(0..1)).ok();
        let live = match turn.end(live) {
            Ok(live) => live,
            Err(Error::Busy(_)) => return,
            Err(error) => panic!("{error}"),
        };
        for _ in 0..3 {
            shuttle::future::yield_now().await;
            let all = self.torrents.live();
            assert!(all.iter().any(|other| Arc::ptr_eq(other, &live)), "it was let go of while it was read");
            assert!(all.len() <= self.most, "{} torrents", all.len());
        }
        drop(reader);
    }

    async fn lets_go(self: Arc<Self>) {
        self.torrents.let_go_of_idle(Duration::ZERO);
        shuttle::future::yield_now().await;
        self.torrents.close_idle().await;
    }
}

fn side_by_side<const N: usize>(tasks: [futures_util::future::BoxFuture<'static, ()>; N]) {
    block_on(async {
        let tasks = tasks.map(spawn);
        for task in tasks {
            task.await.unwrap();
        }
    });
}

#[test]
fn a_torrent_that_is_read_is_one_and_stays() {
    explore(|| {
        let world = World::new(2);
        side_by_side([
            Box::pin(world.clone().request(A)),
            Box::pin(world.clone().request(A)),
            Box::pin(world.clone().lets_go()),
            Box::pin(world.clone().request(A)),
        ]);
        world.torrents.let_go_of_idle(Duration::ZERO);
        assert!(world.torrents.live().is_empty());
        world.scratch.remove(&A).expect("nobody uses it any more");
    });
}

#[test]
fn there_are_never_more_than_may_be() {
    explore(|| {
        let world = World::new(1);
        side_by_side([
            Box::pin(world.clone().request(A)),
            Box::pin(world.clone().request(B)),
            Box::pin(world.clone().request(A)),
        ]);
        // Nobody reads any more: whatever is left gives way.
        side_by_side([Box::pin(async move {
            let turn = world.torrents.turn(B).await.unwrap();
            turn.live_or(1, world.enliven(B)).await.expect("there is room");
            assert_eq!(world.torrents.live().len(), 1);
            assert!(world.path().is_dir());
        })]);
    });
}

#[test]
fn a_torrent_that_is_dropped_can_be_had_again() {
    explore(|| {
        let world = World::new(2);
        let dropping = world.clone();
        side_by_side([
            Box::pin(async {
                let world = world;
                let turn = world.torrents.turn(A).await.unwrap();
                let live = turn.live_or(2, world.enliven(A)).await.unwrap();
                assert!(Arc::ptr_eq(&turn.end(Ok(live.clone())).unwrap(), &live));
                drop(live);
                let turn = world.torrents.turn(A).await.unwrap();
                turn.live_or(2, world.enliven(A)).await.unwrap();
            }),
            Box::pin(async move {
                dropping.torrents.close_unread(&A).await;
                dropping.torrents.close_unread(&A).await;
            }),
        ]);
    });
}
