//! What is done once a second by somebody who looks more often.

use std::time::Duration;

/// Counts ticks.
pub(super) struct Seconds {
    ticks: u32,
    in_one: u32,
}

impl Seconds {
    /// Of ticks so far apart, of which a second holds some.
    pub(super) fn of(tick: Duration) -> Self {
        Seconds { ticks: 0, in_one: (1000 / tick.as_millis()) as u32 }
    }

    /// Whether a second begins with this tick, as one does with the first.
    pub(super) fn begins(&mut self) -> bool {
        let begins = self.ticks == 0;
        self.ticks = (self.ticks + 1) % self.in_one;
        begins
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_tick_in_a_second_begins_it() {
        let mut seconds = Seconds::of(Duration::from_millis(250));
        let begun: Vec<usize> = (0..9).filter(|_| seconds.begins()).collect();
        assert_eq!(begun, [0, 4, 8]);
    }
}
