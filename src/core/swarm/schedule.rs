//! When a tracker is asked again: as it wishes, after a failure later each time, and sooner while a reader waits and there
//! is no peer left.
//!
//! A tracker's `interval` is for those who have peers; its `min interval`, where it names one, is for those who need some,
//! and nobody asks before it is over.
//! Where it names none, a public one is asked in need after a quarter of a minute, and every second time after twice as
//! long; one of a private torrent, which may shut out whoever asks too often, is not.

use std::time::Duration;

use tokio::time::Instant;

use super::trackers::Pace;

/// Trackers are not asked more often than this as a rule, whatever interval they name.
const SHORTEST: Duration = Duration::from_secs(60);
/// Nor less often than this: a swarm changes. A tracker that forbids it, or one of a private torrent, has its own way,
const LONGEST: Duration = Duration::from_secs(30 * 60);
/// within reason.
const LONGEST_OF_ALL: Duration = Duration::from_secs(24 * 60 * 60);
/// A tracker that fails is asked again after this, doubled each time.
const RETRY: Duration = Duration::from_secs(15);
/// Where the doubling ends: 15 s × 2⁵ = 8 min.
const MOST_DOUBLINGS: u32 = 5;
/// In need, at the soonest. A reader gives up after a minute without a block: with this it is asked three times by then.
pub(super) const SOON: Duration = Duration::from_secs(15);

/// What is known of one tracker's time.
#[derive(Debug)]
pub(super) struct Schedule {
    /// When it is asked as a rule.
    due: Instant,
    /// When it may be asked in need, if at all.
    soonest: Option<Instant>,
    /// Whether only what it says itself counts in need.
    strict: bool,
    failures: u32,
    /// Times that it was asked in need since it was asked as a rule.
    early: u32,
}

impl Schedule {
    /// For a tracker of a private torrent, or of another one; it is asked at once.
    pub(super) fn new(private: bool, now: Instant) -> Self {
        Schedule { due: now, soonest: None, strict: private, failures: 0, early: 0 }
    }

    /// It was asked at the time that it is asked as a rule.
    pub(super) fn is_due(&mut self) {
        self.early = 0;
    }

    /// It was asked in need.
    pub(super) fn is_early(&mut self) {
        self.early += 1;
    }

    /// When it is asked.
    pub(super) fn due(&self) -> Instant {
        self.due
    }

    /// When it is asked in need.
    pub(super) fn soonest(&self) -> Option<Instant> {
        self.soonest
    }

    /// It answered.
    pub(super) fn answered(&mut self, pace: Pace, now: Instant) {
        self.failures = 0;
        let usual = pace.interval.clamp(SHORTEST, if self.strict { LONGEST_OF_ALL } else { LONGEST });
        self.due = now + usual.max(pace.at_least.unwrap_or_default()).min(LONGEST_OF_ALL);
        let soon = SOON * (1 << self.early.saturating_sub(1).min(MOST_DOUBLINGS));
        let soonest = match (pace.at_least, self.strict) {
            (Some(at_least), _) => Some(soon.max(at_least)),
            (None, false) => Some(soon),
            (None, true) => None,
        };
        self.soonest = soonest.and_then(|soonest| now.checked_add(soonest));
    }

    /// It failed.
    pub(super) fn failed(&mut self, now: Instant) {
        self.due = now + RETRY * (1 << self.failures.min(MOST_DOUBLINGS));
        self.soonest = None;
        self.failures += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// After how many seconds a tracker is asked each time, by somebody in need throughout the first `minutes`.
    fn asked(private: bool, pace: Pace, minutes: u64) -> Vec<u64> {
        let (began, mut asked) = (Instant::now(), Vec::new());
        let (mut schedule, mut now) = (Schedule::new(private, began), began);
        while now < began + seconds(minutes * 60) {
            asked.push((now - began).as_secs());
            schedule.answered(pace, now);
            now = match schedule.soonest() {
                Some(soonest) if soonest < schedule.due() => {
                    schedule.is_early();
                    soonest
                }
                _ => {
                    schedule.is_due();
                    schedule.due()
                }
            };
        }
        asked
    }

    #[test]
    fn whoever_names_a_longer_time_is_not_asked_before_it_is_over() {
        let hour = Pace { interval: seconds(3600), at_least: None };
        assert_eq!(asked(true, hour, 120), [0, 3600], "private");
        let strict = Pace { interval: seconds(60), at_least: Some(seconds(3000)) };
        assert_eq!(asked(false, strict, 120), [0, 3000, 6000]);
        let for_ever = Pace { interval: seconds(u64::MAX), at_least: Some(seconds(u64::MAX)) };
        for private in [false, true] {
            assert_eq!(asked(private, for_ever, 24 * 60 + 1), [0, 86_400]);
        }
    }

    #[test]
    fn who_is_in_need_asks_sooner_and_less_and_less_often() {
        let pace = Pace { interval: seconds(1800), at_least: None };
        assert_eq!(asked(false, pace, 30), [0, 15, 30, 60, 120, 240, 480, 960, 1440]);
        assert_eq!(asked(true, pace, 60), [0, 1800], "private");
    }

    #[test]
    fn a_trackers_own_word_is_kept() {
        let pace = Pace { interval: seconds(1800), at_least: Some(seconds(300)) };
        for private in [false, true] {
            assert_eq!(asked(private, pace, 30), [0, 300, 600, 900, 1200, 1500]);
        }
    }

    #[test]
    fn one_that_fails_is_asked_later_each_time_whoever_is_in_need() {
        let now = Instant::now();
        let mut schedule = Schedule::new(false, now);
        schedule.answered(Pace::default(), now);
        let waits: Vec<u64> = (0..7)
            .map(|_| {
                schedule.failed(now);
                assert_eq!(schedule.soonest(), None);
                (schedule.due() - now).as_secs()
            })
            .collect();
        assert_eq!(waits, [15, 30, 60, 120, 240, 480, 480]);
    }
}
