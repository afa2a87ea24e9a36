//! How many bytes a second may come from all peers together.
//!
//! librqbit's own limit counts what it asks for and knows nothing of what the broker asks by itself. So it is reading
//! that is held back here: a peer finds its socket full, sends more slowly, and is asked for less.

use std::{num::NonZeroU32, time::Duration};

use tokio::time::{Instant, sleep_until};

use super::peers::seconds;
use crate::core::sync::{Mutex, lock};

/// What may be caught up on of the time in which nobody read: some turns of a busy runtime, and nothing that a line
/// with this limit would notice.
const CREDIT: Duration = Duration::from_millis(100);

/// A limit, or none.
#[derive(Debug, Default)]
pub struct Throttle {
    limit: Option<Limit>,
}

#[derive(Debug)]
struct Limit {
    /// Bytes a second.
    rate: f64,
    /// When what was read so far is paid for.
    paid: Mutex<Instant>,
}

impl Throttle {
    /// Of so many bytes a second.
    pub fn new(rate: Option<NonZeroU32>) -> Self {
        let limit =
            |rate: NonZeroU32| Limit { rate: f64::from(rate.get()), paid: Mutex::new(Instant::now()) };
        Throttle { limit: rate.map(limit) }
    }

    /// So many bytes came.
    pub fn took(&self, bytes: usize) {
        let Some(limit) = &self.limit else { return };
        let mut paid = lock(&limit.paid);
        let now = Instant::now();
        let earliest = now.checked_sub(CREDIT).unwrap_or(now);
        *paid = (*paid).max(earliest) + seconds(bytes as f64 / limit.rate);
    }

    /// Waits until more may be read.
    pub async fn open(&self) {
        let Some(limit) = &self.limit else { return };
        loop {
            let paid = *lock(&limit.paid);
            if paid <= Instant::now() {
                return;
            }
            sleep_until(paid).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn many_readers_together_keep_to_the_limit_and_reach_it() {
        let throttle = Throttle::new(NonZeroU32::new(1_000_000));
        let start = Instant::now();
        let read = async || {
            for _ in 0..50 {
                throttle.open().await;
                throttle.took(20_000);
            }
        };
        tokio::join!(read(), read(), read());
        let rate = 3_000_000.0 / start.elapsed().as_secs_f64();
        assert!((0.95e6..1.05e6).contains(&rate), "{rate}");
    }

    #[tokio::test(start_paused = true)]
    async fn what_nobody_read_for_long_is_not_caught_up_on() {
        let throttle = Throttle::new(NonZeroU32::new(1_000_000));
        tokio::time::sleep(Duration::from_secs(60)).await;
        let start = Instant::now();
        throttle.took(2_000_000);
        throttle.open().await;
        assert!(start.elapsed() > Duration::from_millis(1800), "{:?}", start.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_limit_nobody_waits() {
        let start = Instant::now();
        Throttle::default().took(usize::MAX);
        Throttle::default().open().await;
        assert_eq!(start.elapsed(), Duration::ZERO);
    }
}
