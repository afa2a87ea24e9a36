//! How fast a peer sends while it is asked to: bytes over busy time, the recent past weighing more.
//!
//! A peer that nobody asks anything of is idle, not slow, so only time with requests outstanding counts. Seeds with a
//! rate limit send in bursts of half a second to a second; a memory of three seconds smooths them.

use std::time::Duration;

use tokio::time::Instant;

/// Busy seconds after which what was seen weighs 1/e of what it did.
const MEMORY: f64 = 3.0;
/// Before this many bytes there is no telling: four blocks.
const ENOUGH: u64 = 4 * 16 * 1024;
/// What a peer that nothing is known of is expected to do: bytes a second. Rather too little, as most peers of most
/// swarms are slow: a stranger that is slower than thought holds up the piece that is needed next.
pub const UNKNOWN: f64 = 64.0 * 1024.0;
/// Busy seconds that this expectation counts for: a limiter's burst. The first one comes at the speed of the line, and a
/// slow seed that is believed at once is asked for all that it can queue of the piece that everybody waits for.
const DOUBT: f64 = 0.5;

/// One peer's rate.
#[derive(Debug, Clone)]
pub struct Rate {
    bytes: f64,
    busy: f64,
    total: u64,
    /// Since when time counts that is not in `busy` yet; `None` while nothing is asked.
    since: Option<Instant>,
}

impl Default for Rate {
    fn default() -> Self {
        Rate { bytes: UNKNOWN * DOUBT, busy: DOUBT, total: 0, since: None }
    }
}

impl Rate {
    /// Something is asked of the peer from now on; nothing changes if that is so already.
    pub fn begin(&mut self, now: Instant) {
        self.since.get_or_insert(now);
    }

    /// Bytes came.
    pub fn arrived(&mut self, bytes: u64, now: Instant) {
        self.account(now);
        self.bytes += bytes as f64;
        self.total += bytes;
    }

    /// Nothing is asked of the peer any more.
    pub fn rest(&mut self, now: Instant) {
        self.account(now);
        self.since = None;
    }

    /// The peer is on another connection: what was seen on the old one, and its silence, say nothing of this one.
    pub fn begin_anew(&mut self) {
        *self = Rate { total: self.total, ..Rate::default() };
    }

    /// Bytes a second, once enough came to tell; a silence in the middle of work counts at once.
    pub fn per_second(&self, now: Instant) -> Option<f64> {
        (self.total >= ENOUGH).then(|| self.mean(now))
    }

    /// Bytes a second as they are to be expected: what nothing is known of is believed to be [`UNKNOWN`], and less with
    /// every moment in which less came, but not more before enough came to tell.
    pub fn expected(&self, now: Instant) -> f64 {
        self.per_second(now).unwrap_or_else(|| self.mean(now).min(UNKNOWN))
    }

    fn mean(&self, now: Instant) -> f64 {
        self.bytes / (self.busy + self.silent(now).as_secs_f64())
    }

    /// Since when the peer has been asked and silent.
    pub fn silent(&self, now: Instant) -> Duration {
        self.since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since))
    }

    /// All bytes that ever came.
    pub fn total(&self) -> u64 {
        self.total
    }

    fn account(&mut self, now: Instant) {
        let Some(since) = self.since.replace(now) else { return };
        let elapsed = now.saturating_duration_since(since).as_secs_f64();
        let kept = (-elapsed / MEMORY).exp();
        self.bytes *= kept;
        // The same decay of a second of busy time, summed over the time that passed.
        self.busy = self.busy * kept + MEMORY * (1.0 - kept);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(start: Instant, millis: u64) -> Instant {
        start + Duration::from_millis(millis)
    }

    #[test]
    fn a_steady_peer_is_measured_and_rest_does_not_count() {
        let (start, mut rate) = (Instant::now(), Rate::default());
        rate.begin(start);
        for step in 1..=100 {
            rate.arrived(16_384, after(start, step * 50));
        }
        rate.rest(after(start, 5000));
        let measured = rate.per_second(after(start, 60_000)).unwrap();
        assert!((measured / 327_680.0 - 1.0).abs() < 0.05, "{measured}");
    }

    #[test]
    fn silence_while_asked_counts_before_the_next_byte() {
        let (start, mut rate) = (Instant::now(), Rate::default());
        rate.begin(start);
        for step in 1..=10 {
            rate.arrived(100_000, after(start, step * 100));
        }
        let before = rate.per_second(after(start, 1000)).unwrap();
        let later = rate.per_second(after(start, 10_000)).unwrap();
        assert!(later < before / 5.0, "{before} {later}");
        assert_eq!(rate.silent(after(start, 10_000)), Duration::from_secs(9));
    }

    #[test]
    fn bursts_are_smoothed_and_a_change_is_seen_within_seconds() {
        let (start, mut rate) = (Instant::now(), Rate::default());
        rate.begin(start);
        for second in 1..=6 {
            rate.arrived(1_000_000, after(start, second * 1000));
        }
        let fast = rate.per_second(after(start, 6500)).unwrap();
        assert!((0.7..1.3).contains(&(fast / 1e6)), "{fast}");
        for second in 7..=16 {
            rate.arrived(100_000, after(start, second * 1000));
        }
        let slow = rate.per_second(after(start, 16_000)).unwrap();
        assert!((0.5..1.8).contains(&(slow / 1e5)), "{slow}");
    }

    #[test]
    fn nothing_is_claimed_of_a_peer_that_sent_too_little() {
        let (start, mut rate) = (Instant::now(), Rate::default());
        assert_eq!(rate.per_second(start), None);
        rate.begin(start);
        rate.arrived(16_384, after(start, 1));
        assert_eq!(rate.per_second(after(start, 2)), None);
        assert_eq!(rate.total(), 16_384);
    }
}
