//! So many of something per minute and address. Pure: the time is an argument.

use std::{collections::HashMap, net::IpAddr, time::Duration};

use tokio::time::Instant;

use crate::core::{
    reach::network,
    sync::{Mutex, lock},
};

const MINUTE: Duration = Duration::from_secs(60);

/// Beyond this many addresses the ones that owe nothing are forgotten.
const ADDRESSES: usize = 10_000;

/// Counts per address, each refilled evenly over a minute.
#[derive(Debug)]
pub struct Limiter {
    per_minute: u32,
    owed: Mutex<HashMap<IpAddr, Debt>>,
}

/// Time that must pass until an address owes nothing, as of `at`.
#[derive(Debug, Clone, Copy)]
struct Debt {
    time: Duration,
    at: Instant,
}

impl Debt {
    fn left(&self, now: Instant) -> Duration {
        self.time.saturating_sub(now.saturating_duration_since(self.at))
    }
}

impl Limiter {
    /// At most `per_minute` of them.
    pub fn new(per_minute: u32) -> Self {
        Self { per_minute: per_minute.max(1), owed: Mutex::default() }
    }

    /// How long `address` has to wait for its next one; `None` when it need not.
    pub fn wait(&self, address: IpAddr, now: Instant) -> Option<Duration> {
        let owed = lock(&self.owed);
        let left = owed.get(&network(address))?.left(now);
        (left + self.each()).checked_sub(MINUTE).filter(|wait| !wait.is_zero())
    }

    /// Counts one.
    pub fn count(&self, address: IpAddr, now: Instant) {
        let mut owed = lock(&self.owed);
        if owed.len() >= ADDRESSES {
            owed.retain(|_, debt| !debt.left(now).is_zero());
        }
        let debt = owed.entry(network(address)).or_insert(Debt { time: Duration::ZERO, at: now });
        *debt = Debt { time: (debt.left(now) + self.each()).min(MINUTE), at: now };
    }

    /// Counts one, unless the address has to wait.
    pub fn take(&self, address: IpAddr, now: Instant) -> Result<(), Duration> {
        match self.wait(address, now) {
            Some(wait) => Err(wait),
            None => {
                self.count(address, now);
                Ok(())
            }
        }
    }

    fn each(&self) -> Duration {
        MINUTE / self.per_minute
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_at_once_and_then_one_by_one() {
        let (limiter, now) = (Limiter::new(10), Instant::now());
        let address = "192.0.2.1".parse().expect("an address");
        for _ in 0..10 {
            assert_eq!(limiter.take(address, now), Ok(()));
        }
        assert_eq!(limiter.take(address, now), Err(Duration::from_secs(6)));
        assert_eq!(limiter.take("192.0.2.2".parse().expect("an address"), now), Ok(()));
        let later = now + Duration::from_secs(6);
        assert_eq!(limiter.take(address, later), Ok(()));
        assert!(limiter.take(address, later).is_err());
        assert_eq!(limiter.wait(address, later + MINUTE), None);
    }

    #[test]
    fn the_addresses_of_one_network_count_together() {
        let (limiter, now) = (Limiter::new(1), Instant::now());
        let address = |text: &str| text.parse().expect("an address");
        assert!(limiter.take(address("2001:db8::1"), now).is_ok());
        assert!(limiter.take(address("2001:db8::2"), now).is_err());
        assert!(limiter.take(address("2001:db8:0:1::2"), now).is_ok());
        assert!(limiter.take(address("192.0.2.1"), now).is_ok());
        assert!(limiter.take(address("::ffff:192.0.2.1"), now).is_err());
    }
}
