//! A simulated reader: takes what comes or plays at a film's rate, leg by leg; a new leg is a seek.

use tokio::time::Instant;

use crate::core::swarm::broker::{picker::Head, pieces::Geometry};

/// A stretch that is read in one go.
#[derive(Debug, Clone, Copy)]
pub struct Leg {
    pub from: u64,
    /// What is asked for.
    pub bytes: u64,
    /// What of it is waited for.
    pub takes: u64,
    /// Bytes a second that are played; `None` takes whatever comes.
    pub pace: Option<f64>,
}

/// What was seen of one leg, in seconds from its beginning.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    pub first_byte: Option<f64>,
    pub whole: Option<f64>,
    /// Time for which the film stood still after it began.
    pub rebuffered: f64,
}

pub struct Reader {
    legs: Vec<Leg>,
    leg: usize,
    began: Instant,
    looked: Instant,
    needs: u64,
    position: f64,
    pub seen: Vec<Seen>,
}

impl Reader {
    pub fn new(legs: Vec<Leg>, now: Instant) -> Self {
        let mut reader =
            Reader { legs, leg: 0, began: now, looked: now, needs: 0, position: 0.0, seen: Vec::new() };
        reader.begin(now);
        reader
    }

    fn begin(&mut self, now: Instant) {
        if let Some(leg) = self.legs.get(self.leg) {
            (self.began, self.looked, self.needs, self.position) = (now, now, leg.from, leg.from as f64);
            self.seen.push(Seen::default());
        }
    }

    pub fn is_done(&self) -> bool {
        self.leg >= self.legs.len()
    }

    pub fn describe(&self) -> String {
        format!("leg {} needs {} plays {}", self.leg, self.needs, self.position)
    }

    /// What it needs, as the desk is told.
    pub fn head(&self) -> Option<Head> {
        let leg = self.legs.get(self.leg)?;
        let runway = self.needs.saturating_sub(self.position as u64);
        Some(Head { needs: self.needs, end: leg.from + leg.bytes, runway, pace: leg.pace })
            .filter(|head| head.needs < head.end)
    }

    pub fn look(&mut self, now: Instant, geometry: &Geometry, has: impl Fn(u32) -> bool) {
        while let Some(leg) = self.legs.get(self.leg).copied() {
            let end = leg.from + leg.takes;
            self.play(leg, now);
            let before = self.needs;
            let piece_len = u64::from(geometry.piece_len);
            while self.needs < end && has((self.needs / piece_len) as u32) {
                self.needs = ((self.needs / piece_len + 1) * piece_len).min(end);
            }
            let (since, seen) = ((now - self.began).as_secs_f64(), &mut self.seen[self.leg]);
            if self.needs > before {
                seen.first_byte.get_or_insert(since);
            }
            if leg.pace.is_none() {
                self.position = self.needs as f64;
            }
            if self.position < end as f64 {
                return;
            }
            seen.whole = Some(since);
            self.leg += 1;
            self.begin(now);
        }
    }

    fn play(&mut self, leg: Leg, now: Instant) {
        let elapsed = (now - std::mem::replace(&mut self.looked, now)).as_secs_f64();
        let (Some(pace), Some(_)) = (leg.pace, self.seen[self.leg].first_byte) else { return };
        let wished = self.position + pace * elapsed;
        self.position = wished.min(self.needs as f64);
        if self.needs < leg.from + leg.takes {
            self.seen[self.leg].rebuffered += (wished - self.position) / pace;
        }
    }
}
