//! A row of the reliability matrix: one case many times, counted, with the worst figure seen.
//!
//! A case that fails is counted and told; the row goes on, and fails at its end. How often, the environment says, so that
//! the same row is a short test for everybody and a long one for `cargo bench --bench trust`, which reads the line that
//! each row prints.

use std::{future::Future, panic::AssertUnwindSafe, time::Duration};

use futures_util::FutureExt;

/// How many cases a row has, whatever its test says.
const TIMES: &str = "SWARMCAT_ROW_TIMES";
/// Set where targets that are times are to be met.
const MEASURES: &str = "SWARMCAT_ROW_MEASURES";

/// Cases as they are counted.
pub struct Row {
    id: &'static str,
    times: u32,
    passed: u32,
    cases: u32,
    worst: Vec<(f64, &'static str)>,
    misses: Vec<String>,
}

impl Row {
    /// With so many cases, unless the environment wants more or fewer.
    pub fn new(id: &'static str, usually: u32) -> Self {
        let asked = std::env::var(TIMES).ok().map(|times| times.parse().unwrap());
        Self {
            id,
            times: asked.unwrap_or(usually),
            passed: 0,
            cases: 0,
            worst: Vec::new(),
            misses: Vec::new(),
        }
    }

    /// How many cases it shall have.
    pub fn times(&self) -> u32 {
        self.times
    }

    /// One case, which passes unless it panics.
    pub async fn case(&mut self, name: impl std::fmt::Display, case: impl Future<Output = ()>) {
        let ended = AssertUnwindSafe(case).catch_unwind().await;
        self.count(name, ended.map_err(|panic| message(&*panic)));
    }

    /// The same for a case that waits for nothing.
    pub fn blocking_case(&mut self, name: impl std::fmt::Display, case: impl FnOnce()) {
        let ended = std::panic::catch_unwind(AssertUnwindSafe(case));
        self.count(name, ended.map_err(|panic| message(&*panic)));
    }

    fn count(&mut self, name: impl std::fmt::Display, ended: Result<(), String>) {
        self.cases += 1;
        match ended {
            Ok(()) => self.passed += 1,
            Err(why) => self.misses.push(format!("{name}: {why}")),
        }
    }

    /// Whether targets that are times are to be met, which a machine with other work to do cannot promise.
    pub fn measures(&self) -> bool {
        std::env::var_os(MEASURES).is_some()
    }

    /// Remembers a figure; of those of one unit the greatest is the worst.
    pub fn saw(&mut self, value: f64, unit: &'static str) {
        match self.worst.iter_mut().find(|(_, of)| *of == unit) {
            Some((worst, _)) => *worst = worst.max(value),
            None => self.worst.push((value, unit)),
        }
    }

    /// Remembers how long something took.
    pub fn took(&mut self, time: Duration) {
        self.saw(time.as_secs_f64() * 1e3, "ms");
    }

    /// Remembers the worst of another row.
    pub fn worst_of(&mut self, other: Row) {
        other.worst.into_iter().for_each(|(value, unit)| self.saw(value, unit));
    }

    /// Says how it went, and fails unless every case passed.
    #[track_caller]
    #[allow(clippy::print_stdout, reason = "the line is what the runner reads")]
    pub fn end(self) {
        let worst: Vec<_> = self.worst.iter().map(|(worst, unit)| format!("{worst:.1} {unit}")).collect();
        let worst = if worst.is_empty() { "-".to_owned() } else { worst.join(", ") };
        println!("row\t{}\t{}/{}\t{worst}", self.id, self.passed, self.cases);
        assert!(self.misses.is_empty() && self.cases > 0, "{}: {:#?}", self.id, self.misses);
    }
}

fn message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("it panicked").to_owned()
}
