//! Who may stay when the server is full: a seat for every connection, a share of them kept for the operator,
//! and the longest idle connection gives way to a new one.
//!
//! A connection counts from the moment that it is let in until its socket is closed, so there are never more than there are
//! seats. One that is to give way is asked nothing any more; until it is gone, its place is taken, and a new one comes in on
//! what is free of the operator's share.
//!
//! Counts connections and knows which of them have something under way; reads and writes nothing.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::{
    sync::Notify,
    time::{Instant, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::core::sync::{Mutex, MutexGuard, lock};

/// Of this many seats, one is kept for the operator.
const SPARE_SHARE: usize = 10;
/// What a connection that is to give way has running: as much as can be counted, so that nothing is added.
const DISMISSED: usize = usize::MAX;
/// A new connection is not idle yet: what it has to ask is on its way.
pub const TO_SAY_SOMETHING: Duration = Duration::from_millis(200);

/// All connections of a server.
#[derive(Debug)]
pub struct Crowd {
    most: usize,
    seats: Mutex<Seats>,
    left: Notify,
}

#[derive(Debug, Default)]
struct Seats {
    next: u64,
    taken: BTreeMap<u64, Arc<Seat>>,
    /// Of those, the ones that are to give way.
    leaving: usize,
}

/// One connection's place, and what goes on there.
#[derive(Debug)]
pub struct Seat {
    spare: bool,
    entered: Instant,
    asked: AtomicBool,
    running: AtomicUsize,
    leave: CancellationToken,
}

/// Holds a seat: lives longer than its connection's socket.
#[derive(Debug)]
pub struct Seated {
    crowd: Arc<Crowd>,
    number: u64,
    seat: Arc<Seat>,
}

/// Something that is under way, a request or the rest of its answer; its connection is not idle until this is dropped.
#[derive(Debug)]
pub struct Running(Arc<Seat>);

impl Crowd {
    /// Room for `most` connections.
    pub fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { most: most.max(2), seats: Mutex::default(), left: Notify::new() })
    }

    /// Connections now.
    pub fn count(&self) -> usize {
        self.seats().taken.len()
    }

    /// Whether a connection that stands still is in somebody's way.
    pub fn is_dense(&self) -> bool {
        self.count() >= self.ordinary() - self.ordinary() / SPARE_SHARE
    }

    /// Waits for a seat.
    pub async fn enter(self: &Arc<Self>) -> Seated {
        loop {
            let mut left = std::pin::pin!(self.left.notified());
            left.as_mut().enable();
            if let Some(seated) = self.try_enter() {
                return seated;
            }
            // Somebody leaves, or is idle by then.
            let _ = timeout(TO_SAY_SOMETHING, left).await;
        }
    }

    /// A seat, if there is one or the longest idle connection leaves one.
    fn try_enter(self: &Arc<Self>) -> Option<Seated> {
        let mut seats = self.seats();
        if seats.staying() >= self.ordinary() {
            seats.dismiss_idle();
        }
        if seats.taken.len() >= self.most {
            return None;
        }
        let seat = Arc::new(Seat::new(seats.staying() >= self.ordinary()));
        let number = seats.next;
        seats.next += 1;
        seats.taken.insert(number, seat.clone());
        Some(Seated { crowd: self.clone(), number, seat })
    }

    fn ordinary(&self) -> usize {
        self.most - (self.most / SPARE_SHARE).max(1)
    }

    fn seats(&self) -> MutexGuard<'_, Seats> {
        lock(&self.seats)
    }
}

impl Seats {
    fn staying(&self) -> usize {
        self.taken.len() - self.leaving
    }

    fn dismiss_idle(&mut self) {
        if self.taken.values().any(|seat| seat.dismiss()) {
            self.leaving += 1;
        }
    }
}

impl Seat {
    fn new(spare: bool) -> Self {
        let (asked, running) = (AtomicBool::new(false), AtomicUsize::new(0));
        Self { spare, entered: Instant::now(), asked, running, leave: CancellationToken::new() }
    }

    /// Whether only the operator's requests are answered here.
    pub fn is_spare(&self) -> bool {
        self.spare
    }

    /// Whether it has been asked anything yet.
    pub fn has_been_asked(&self) -> bool {
        self.asked.load(Relaxed)
    }

    /// Marks something as under way; `None` when the connection is to give way instead.
    pub fn run(self: &Arc<Self>) -> Option<Running> {
        self.asked.store(true, Relaxed);
        self.running.fetch_update(Relaxed, Relaxed, |running| running.checked_add(1)).ok()?;
        Some(Running(self.clone()))
    }

    /// Asks it to give way, if nothing is under way; whether it was.
    fn dismiss(&self) -> bool {
        let idle = self.entered.elapsed() >= TO_SAY_SOMETHING
            && self.running.compare_exchange(0, DISMISSED, Relaxed, Relaxed).is_ok();
        if idle {
            self.leave.cancel();
        }
        idle
    }
}

impl Seated {
    /// Where it is.
    pub fn crowd(&self) -> &Arc<Crowd> {
        &self.crowd
    }

    /// What requests know of it.
    pub fn seat(&self) -> &Arc<Seat> {
        &self.seat
    }

    /// Resolves when the connection is to give way.
    pub async fn dismissed(&self) {
        self.seat.leave.cancelled().await;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Relaxed);
    }
}

impl Drop for Seated {
    fn drop(&mut self) {
        let mut seats = self.crowd.seats();
        seats.taken.remove(&self.number);
        seats.leaving -= usize::from(self.seat.leave.is_cancelled());
        drop(seats);
        self.crowd.left.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use futures_util::FutureExt as _;

    use super::*;

    fn enter(crowd: &Arc<Crowd>) -> Option<Seated> {
        crowd.enter().now_or_never()
    }

    #[tokio::test(start_paused = true)]
    async fn the_longest_idle_connection_gives_way_to_a_new_one() {
        let crowd = Crowd::new(10);
        let seated: Vec<_> = (0..9).map(|_| enter(&crowd).expect("room")).collect();
        let _busy = seated[0].seat().run().expect("not dismissed");
        tokio::time::advance(TO_SAY_SOMETHING).await;
        let tenth = enter(&crowd).expect("the second gives way");
        assert!(!tenth.seat().is_spare());
        let dismissed: Vec<_> = seated.iter().map(|seated| seated.dismissed().now_or_never()).collect();
        assert_eq!(dismissed.iter().position(Option::is_some), Some(1));
        assert_eq!(dismissed.iter().flatten().count(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_has_just_come_is_waited_for() {
        let crowd = Crowd::new(10);
        let seated: Vec<_> = (0..10).map(|_| enter(&crowd).expect("room")).collect();
        let mut waiting = std::pin::pin!(crowd.enter());
        assert!(waiting.as_mut().now_or_never().is_none());
        assert!(seated.iter().all(|seated| seated.dismissed().now_or_never().is_none()));
        tokio::time::advance(TO_SAY_SOMETHING).await;
        assert!(waiting.as_mut().now_or_never().is_none(), "whoever is to leave has not left yet");
        assert!(seated[0].dismissed().now_or_never().is_some());
        drop(seated);
        assert!(waiting.now_or_never().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_counts_until_it_has_ended_and_is_asked_nothing_once_it_is_to() {
        let crowd = Crowd::new(10);
        let mut seated: VecDeque<_> = (0..9).map(|_| enter(&crowd).expect("room")).collect();
        tokio::time::advance(TO_SAY_SOMETHING).await;
        seated.push_back(enter(&crowd).expect("the first is to give way"));
        assert_eq!(crowd.count(), 10);
        assert!(seated[0].seat().run().is_none(), "whatever it asks now comes too late");
        let mut waiting = std::pin::pin!(crowd.enter());
        assert!(waiting.as_mut().now_or_never().is_none(), "an eleventh");
        assert_eq!(crowd.count(), 10);
        seated.pop_front();
        let next = waiting.as_mut().now_or_never().expect("the first has left");
        assert!(!next.seat().is_spare() && crowd.count() == 10);
        drop((seated, next));
        assert_eq!(crowd.count(), 0);
        let again: Vec<_> = (0..9).map(|_| enter(&crowd).expect("room")).collect();
        assert!(again.iter().all(|seated| !seated.seat().is_spare()));
    }

    #[tokio::test(start_paused = true)]
    async fn where_all_are_busy_the_last_seats_are_the_operators_and_then_one_waits() {
        let crowd = Crowd::new(10);
        let seated: Vec<_> = (0..10).map(|_| enter(&crowd).expect("room")).collect();
        let running: Vec<_> = seated.iter().map(|seated| seated.seat().run()).collect();
        drop(seated);
        drop(running);
        let seated: Vec<_> = (0..9).map(|_| enter(&crowd).expect("room")).collect();
        let _running: Vec<_> = seated.iter().map(|seated| seated.seat().run()).collect();
        let spare = enter(&crowd).expect("the operator's seat");
        assert!(spare.seat().is_spare() && crowd.is_dense());
        let _operator = spare.seat().run();
        let mut waiting = std::pin::pin!(crowd.enter());
        assert!(waiting.as_mut().now_or_never().is_none());
        drop(spare);
        assert!(enter(&crowd).expect("the operator left").seat().is_spare());
    }
}
