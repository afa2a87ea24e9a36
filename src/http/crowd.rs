//! Who may stay when the server is full: a seat for every connection, a share of them kept for the operator,
//! and the longest idle connection gives way to a new one.
//!
//! Counts connections and knows which of them have a request running; reads and writes nothing.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
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
}

/// One connection's place. It is given back when the last handle is dropped.
#[derive(Debug)]
pub struct Seat {
    spare: bool,
    entered: Instant,
    running: AtomicUsize,
    leave: CancellationToken,
}

/// Holds a seat for as long as its connection lives.
#[derive(Debug)]
pub struct Seated {
    crowd: Arc<Crowd>,
    number: u64,
    seat: Arc<Seat>,
}

/// A request that is being answered; its connection is not idle until this is dropped.
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
        if seats.taken.len() >= self.ordinary() {
            seats.dismiss_idle();
        }
        let spare = seats.taken.len() >= self.ordinary();
        if seats.taken.len() >= self.most {
            return None;
        }
        let (running, leave) = (AtomicUsize::new(0), CancellationToken::new());
        let seat = Arc::new(Seat { spare, entered: Instant::now(), running, leave });
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
    fn dismiss_idle(&mut self) {
        let idle = self.taken.iter().find(|(_, seat)| seat.is_idle());
        if let Some(number) = idle.map(|(number, _)| *number)
            && let Some(seat) = self.taken.remove(&number)
        {
            seat.leave.cancel();
        }
    }
}

impl Seat {
    /// Whether only the operator's requests are answered here.
    pub fn is_spare(&self) -> bool {
        self.spare
    }

    /// Whether a request is being answered.
    pub fn is_running(&self) -> bool {
        self.running.load(Relaxed) > 0
    }

    fn is_idle(&self) -> bool {
        !self.is_running() && self.entered.elapsed() >= TO_SAY_SOMETHING
    }

    /// Marks a request as running.
    pub fn run(self: &Arc<Self>) -> Running {
        self.running.fetch_add(1, Relaxed);
        Running(self.clone())
    }
}

impl Seated {
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
        self.crowd.seats().taken.remove(&self.number);
        self.crowd.left.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    fn enter(crowd: &Arc<Crowd>) -> Option<Seated> {
        crowd.enter().now_or_never()
    }

    #[tokio::test(start_paused = true)]
    async fn the_longest_idle_connection_gives_way_to_a_new_one() {
        let crowd = Crowd::new(10);
        let seated: Vec<_> = (0..9).map(|_| enter(&crowd).expect("room")).collect();
        let _busy = seated[0].seat().run();
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
        waiting.await;
        assert!(seated[0].dismissed().now_or_never().is_some());
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
