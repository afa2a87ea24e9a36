//! The tasks, done with any contestant, and what is noted of each.

use std::{
    fs::File,
    io::{self, Read},
    os::unix::fs::FileExt,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use crate::{
    contestants::{Bytes, Running},
    film,
    plan::Plan,
    scenario::{Player, Work},
    seeder::Trouble,
};

const MB: u64 = 1_000_000;
const HEAD: u64 = 32 * MB;
const BEFORE_SEEK: u64 = 8 * MB;
const AFTER_SEEK: u64 = MB;
const CHUNK: usize = 256 * 1024;
/// What a player holds ready beyond what it shows.
const PLAYER_BUFFER: f64 = 2.0;

/// One number of one run.
#[derive(Debug, Clone)]
pub struct Reading {
    /// What it says, with its unit.
    pub what: String,
    /// The number; less is better.
    pub value: f64,
    /// What the rates of the swarm allow at best.
    pub limit: Option<f64>,
}

impl Reading {
    /// A number without a limit.
    pub fn plain(what: impl Into<String>, value: f64) -> Self {
        Self { what: what.into(), value, limit: None }
    }
}

/// What a task has shown: its numbers, and how many bytes were delivered.
pub struct Done {
    /// In the order of the report.
    pub readings: Vec<Reading>,
    /// Bytes that came out, all of them right.
    pub delivered: u64,
}

/// Does the work; every byte is compared with the true file.
pub fn perform(work: Work, running: &Running, truth: &Path, plan: &Plan) -> Result<Done, Trouble> {
    let task = Task { running, truth, plan };
    match work {
        Work::Head => task.head(HEAD, "first 32 MB, s"),
        Work::Whole => task.head(plan.size, "whole file, s"),
        Work::Seeks(places) => task.seeks(places),
        Work::Film { share } => task.film(share),
        Work::Readers(count) => task.readers(count),
        Work::Frame(player, second) => task.frame(player, second),
    }
}

struct Task<'a> {
    running: &'a Running,
    truth: &'a Path,
    plan: &'a Plan,
}

impl Task<'_> {
    fn elapsed(&self) -> f64 {
        self.running.started.elapsed().as_secs_f64()
    }

    fn open(&self, from: u64) -> Result<Checked, Trouble> {
        Ok(Checked { bytes: self.running.source.open(from)?, truth: File::open(self.truth)?, offset: from })
    }

    /// The limit of what needs so many bytes, but no less than a piece: nothing of it is given unverified.
    fn timed(&self, what: &str, value: f64, bytes: u64, start: f64) -> Reading {
        let limit = self.plan.limit(bytes.max(self.plan.piece), start);
        Reading { what: what.to_owned(), value, limit }
    }

    fn head(&self, len: u64, what: &str) -> Result<Done, Trouble> {
        let mut bytes = self.open(0)?;
        bytes.advance(1)?;
        let first = self.elapsed();
        bytes.advance(len - bytes.offset.min(len))?;
        let all = self.elapsed();
        let readings = vec![self.timed("first byte, s", first, 1, 0.0), self.timed(what, all, len, 0.0)];
        Ok(Done { readings, delivered: bytes.offset })
    }

    /// As players do it: the old connection is closed, and a new one asks for the range.
    fn seeks(&self, places: &[u64]) -> Result<Done, Trouble> {
        let mut bytes = self.open(0)?;
        bytes.advance(BEFORE_SEEK)?;
        let mut delivered = bytes.offset;
        drop(bytes);
        let mut waited = self.elapsed();
        let mut readings = vec![self.timed("first 8 MB, s", waited, BEFORE_SEEK, 0.0)];
        for place in places {
            let asked = self.elapsed();
            let mut bytes = self.open(*place)?;
            bytes.advance(1)?;
            let took = self.elapsed() - asked;
            waited += took;
            readings.push(self.timed(&format!("seek to {} MB, s", place / MB), took, 1, asked));
            bytes.advance(AFTER_SEEK)?;
            delivered += bytes.offset - place;
        }
        // Who has fetched everything before the first 8 MB came out seeks in no time, and was not quick.
        readings.push(Reading::plain("waited in all, s", waited));
        Ok(Done { readings, delivered })
    }

    /// A player that starts with the first byte, needs `share` of the swarm's mean rate, takes nothing earlier than
    /// [`PLAYER_BUFFER`] before its time, and stops the film whenever a byte is not there in time.
    fn film(&self, share: f64) -> Result<Done, Trouble> {
        let rate = share * self.plan.mean_rate().ok_or("a film needs a swarm with a rate")?;
        let mut bytes = self.open(0)?;
        bytes.advance(1)?;
        let (first, started) = (self.elapsed(), Instant::now());
        let (mut stopped, mut stops) = (0.0, 0.0);
        while bytes.offset < self.plan.size {
            let due = bytes.offset as f64 / rate + stopped;
            let early = due - PLAYER_BUFFER - started.elapsed().as_secs_f64();
            if early > 0.0 {
                thread::sleep(Duration::from_secs_f64(early));
            }
            bytes.advance((CHUNK as u64).min(self.plan.size - bytes.offset))?;
            let late = started.elapsed().as_secs_f64() - due;
            if late > 0.0 {
                stopped += late;
                stops += f64::from(late > 0.01);
            }
        }
        let readings = vec![
            self.timed("first byte, s", first, 1, 0.0),
            Reading::plain("film stopped, s", stopped),
            self.timed("waited in all, s", first + stopped, 1, 0.0),
            Reading::plain("film stopped, times", stops),
        ];
        Ok(Done { readings, delivered: bytes.offset })
    }

    /// A player of its own, which ends with its first frame; the frame is compared with the true file's. The limit is
    /// what the rates allow for the pieces that hold what the player cannot do without.
    fn frame(&self, player: Player, second: u32) -> Result<Done, Trouble> {
        let url = self.running.source.url()?;
        let asked = self.elapsed();
        let shown = film::first_frame(player, &url, second)?;
        let done = self.elapsed();
        let truth = film::first_frame(player, &self.truth.to_string_lossy(), second)?;
        if shown != truth {
            return Err(format!("the frame is {shown}, not {truth}").into());
        }
        let needed = film::needed(self.truth, self.plan.piece, second)?;
        let limit = self.plan.limit(needed, 0.0);
        let readings = vec![
            Reading { what: "first frame, s".to_owned(), value: done, limit },
            Reading::plain("of that before the player, s", asked),
        ];
        Ok(Done { readings, delivered: needed })
    }

    fn readers(&self, count: u64) -> Result<Done, Trouble> {
        let read = |place: u64| -> Result<(f64, f64), Trouble> {
            let mut bytes = self.open(place)?;
            bytes.advance(1)?;
            let first = self.elapsed();
            bytes.advance(AFTER_SEEK - 1)?;
            Ok((first, self.elapsed()))
        };
        let times = thread::scope(|scope| {
            let each: Vec<_> =
                (0..count).map(|index| scope.spawn(move || read(index * self.plan.size / count))).collect();
            each.into_iter()
                .map(|reader| reader.join().unwrap_or_else(|_| Err("a reader panicked".into())))
                .collect::<Result<Vec<_>, Trouble>>()
        })?;
        let last = |of: fn(&(f64, f64)) -> f64| times.iter().map(of).fold(0.0, f64::max);
        let mean = times.iter().map(|time| time.0).sum::<f64>() / count as f64;
        let all = count * self.plan.piece.max(AFTER_SEEK);
        let readings = vec![
            self.timed("first byte in the mean, s", mean, all / 2, 0.0),
            self.timed("last reader's first byte, s", last(|time| time.0), all, 0.0),
            self.timed("all have 1 MB, s", last(|time| time.1), all, 0.0),
        ];
        Ok(Done { readings, delivered: count * AFTER_SEEK })
    }
}

/// Bytes that are compared, as they come, with those of the true file.
struct Checked {
    bytes: Bytes,
    truth: File,
    offset: u64,
}

impl Checked {
    /// Takes at least so many further bytes, or fails.
    fn advance(&mut self, count: u64) -> Result<(), Trouble> {
        let (mut came, mut right) = (vec![0; CHUNK], vec![0; CHUNK]);
        let end = self.offset + count;
        while self.offset < end {
            let wanted = ((end - self.offset) as usize).min(CHUNK);
            let read = match self.bytes.read(&mut came[..wanted]) {
                Ok(0) => return Err(format!("ended after {} bytes", self.offset).into()),
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error.into()),
            };
            self.truth.read_exact_at(&mut right[..read], self.offset)?;
            if came[..read] != right[..read] {
                return Err(format!("wrong bytes at {}", self.offset).into());
            }
            self.offset += read as u64;
        }
        Ok(())
    }
}
