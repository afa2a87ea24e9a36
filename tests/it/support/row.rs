//! A row of the reliability matrix: one case many times, counted, with the worst figure seen.
//!
//! A case that fails is counted and told; the row goes on, and fails at its end. How often, the environment says, so that
//! the same row is a short test for everybody and a long one for `cargo bench --bench trust`, which reads the line that
//! each row prints.

use std::{
    fmt::Display,
    future::Future,
    panic::AssertUnwindSafe,
    time::{Duration, Instant},
};

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
    seen: Figures,
    misses: Vec<String>,
}

/// The worst of what was seen, in each unit.
#[derive(Default)]
pub struct Figures(Vec<(f64, &'static str)>);

impl Figures {
    /// Remembers a figure; of those of one unit the greatest is the worst.
    pub fn saw(&mut self, value: f64, unit: &'static str) {
        match self.0.iter_mut().find(|(_, of)| *of == unit) {
            Some((worst, _)) => *worst = worst.max(value),
            None => self.0.push((value, unit)),
        }
    }

    /// Remembers how long something took.
    pub fn took(&mut self, time: Duration) {
        self.saw(time.as_secs_f64() * 1e3, "ms");
    }
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
            seen: Figures::default(),
            misses: Vec::new(),
        }
    }

    /// How many cases it shall have.
    pub fn times(&self) -> u32 {
        self.times
    }

    /// One case, which passes unless it panics.
    pub async fn case(&mut self, name: impl Display, case: impl Future<Output = ()>) {
        let ended = AssertUnwindSafe(case).catch_unwind().await;
        self.count(name, ended.map_err(|panic| message(&*panic)));
    }

    /// One case that says what it saw.
    pub async fn telling_case(&mut self, name: impl Display, case: impl AsyncFnOnce(&mut Figures)) {
        let ended = AssertUnwindSafe(case(&mut self.seen)).catch_unwind().await;
        self.count(name, ended.map_err(|panic| message(&*panic)));
    }

    /// One case, and how long it took.
    pub async fn timed_case(&mut self, name: impl Display, case: impl Future<Output = ()>) {
        let began = Instant::now();
        self.case(name, case).await;
        self.took(began.elapsed());
    }

    /// One case that waits for nothing, and how long it took.
    pub fn blocking_case(&mut self, name: impl Display, case: impl FnOnce()) {
        let began = Instant::now();
        let ended = std::panic::catch_unwind(AssertUnwindSafe(case));
        self.took(began.elapsed());
        self.count(name, ended.map_err(|panic| message(&*panic)));
    }

    fn count(&mut self, name: impl Display, ended: Result<(), String>) {
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

    /// Remembers a figure.
    pub fn saw(&mut self, value: f64, unit: &'static str) {
        self.seen.saw(value, unit);
    }

    /// Remembers how long something took.
    pub fn took(&mut self, time: Duration) {
        self.seen.took(time);
    }

    /// Says how it went, and fails unless every case passed.
    #[track_caller]
    #[allow(clippy::print_stdout, reason = "the line is what the runner reads")]
    pub fn end(self) {
        let worst: Vec<_> = self.seen.0.iter().map(|(worst, unit)| format!("{worst:.1} {unit}")).collect();
        let worst = if worst.is_empty() { "-".to_owned() } else { worst.join(", ") };
        println!("row\t{}\t{}/{}\t{worst}", self.id, self.passed, self.cases);
        assert!(self.misses.is_empty() && self.cases > 0, "{}: {:#?}", self.id, self.misses);
    }
}

fn message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("it panicked").to_owned()
}
