//! Builds the tests once, runs those of a row, and reads what they say.

use std::{
    error::Error,
    io,
    path::PathBuf,
    process::{Command, Output, Stdio},
    time::{Duration, Instant},
};

use crate::rows::{By, Row};

/// What goes wrong here; what goes wrong in a row is its outcome.
pub type Trouble = Box<dyn Error>;

/// How a row went.
pub struct Outcome {
    /// Cases that passed.
    pub passed: u64,
    /// Cases that there were.
    pub cases: u64,
    /// The worst figure seen.
    pub worst: String,
}

impl Outcome {
    /// Whether every case passed.
    pub fn good(&self) -> bool {
        self.cases > 0 && self.passed == self.cases
    }
}

/// Runs rows with the programs of one profile.
pub struct Runner {
    strict: bool,
    integration: PathBuf,
    unit: Option<PathBuf>,
}

impl Runner {
    /// Builds the integration tests and the program; with `strict`, targets that are times are to be met.
    pub fn new(profile: &str, strict: bool) -> Result<Self, Trouble> {
        Ok(Self { strict, integration: built(profile, &["--test", "it"])?, unit: None })
    }

    /// One row; its line is printed when it has ended.
    pub fn run(&mut self, row: &Row, times: u32) -> Result<Outcome, Trouble> {
        let began = Instant::now();
        let outcome = match row.by {
            By::Counting(tests) => self.counting(tests, times)?,
            By::Repeating(tests) => self.repeating(tests, times)?,
            By::Grammar(tests) => self.grammar(tests, times)?,
        };
        let Outcome { passed, cases, worst } = &outcome;
        let took = began.elapsed().as_secs_f64();
        println!("{:<4} {passed}/{cases}  worst {worst}  target {}  ({took:.0} s)", row.id, row.target);
        Ok(outcome)
    }

    /// Tests that count their cases themselves, and print a line.
    fn counting(&self, tests: &[&str], times: u32) -> Result<Outcome, Trouble> {
        let mut sum = Outcome { passed: 0, cases: 0, worst: String::new() };
        for test in tests {
            let output = self.integration(test).env("SWARMCAT_ROW_TIMES", times.to_string()).output()?;
            let told = String::from_utf8_lossy(&output.stdout);
            let line = told.lines().find_map(|line| line.split_once("row\t").map(|(_, line)| line));
            let fields: Vec<&str> = line.unwrap_or_default().split('\t').collect();
            let counted = fields.get(1).and_then(|counts| counts.split_once('/'));
            let (passed, cases) = counted.map_or((0, 1), |(a, b)| (count(a), count(b)));
            sum.passed += passed;
            sum.cases += cases;
            join(&mut sum.worst, fields.get(2).copied().unwrap_or("-"));
            complain(test, &output);
        }
        Ok(sum)
    }

    /// Tests that are one case each; the longest is the worst.
    fn repeating(&self, tests: &[&str], times: u32) -> Result<Outcome, Trouble> {
        let (mut passed, mut cases, mut longest) = (0, 0, Duration::ZERO);
        for test in tests {
            for _ in 0..times {
                let began = Instant::now();
                let output = self.integration(test).output()?;
                longest = longest.max(began.elapsed());
                cases += 1;
                passed += u64::from(ran_one(&output));
                complain(test, &output);
            }
        }
        Ok(Outcome { passed, cases, worst: format!("{:.1} s", longest.as_secs_f64()) })
    }

    /// Properties of the library, with so many cases each.
    fn grammar(&mut self, tests: &[&str], times: u32) -> Result<Outcome, Trouble> {
        let program = match &self.unit {
            Some(program) => program.clone(),
            None => self.unit.insert(built("dev", &["--lib"])?).clone(),
        };
        let (mut passed, mut longest) = (0, Duration::ZERO);
        for test in tests {
            let mut command = Command::new(&program);
            command.args(["--exact", test]).env("PROPTEST_CASES", times.to_string());
            let began = Instant::now();
            let output = command.output()?;
            longest = longest.max(began.elapsed());
            passed += if ran_one(&output) { u64::from(times) } else { 0 };
            complain(test, &output);
        }
        let cases = u64::from(times) * tests.len() as u64;
        Ok(Outcome { passed, cases, worst: format!("{:.0} s a property", longest.as_secs_f64()) })
    }

    fn integration(&self, test: &str) -> Command {
        let mut command = Command::new(&self.integration);
        command.args(["--exact", test, "--include-ignored", "--nocapture", "--test-threads=1"]);
        if self.strict {
            command.env("SWARMCAT_ROW_MEASURES", "1");
        }
        command
    }
}

fn count(text: &str) -> u64 {
    text.parse().unwrap_or(0)
}

fn join(worst: &mut String, more: &str) {
    if !worst.is_empty() {
        worst.push_str("; ");
    }
    worst.push_str(more);
}

/// A name that no test has would be a success of nothing.
fn ran_one(output: &Output) -> bool {
    output.status.success() && String::from_utf8_lossy(&output.stdout).contains("1 passed")
}

fn complain(test: &str, output: &Output) {
    if !ran_one(output) {
        let told = [&output.stdout[..], &output.stderr].concat();
        eprintln!("{test}:\n{}", String::from_utf8_lossy(&told));
    }
}

fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(env!("CARGO_MANIFEST_DIR"));
    command
}

/// Builds a test program; where it is.
fn built(profile: &str, target: &[&str]) -> Result<PathBuf, Trouble> {
    let mut command = cargo();
    command.args(["test", "--locked", "--no-run", "--message-format", "json"]).args(target);
    if profile != "dev" {
        // Tests that are built for development have been before, if no profile is named.
        command.args(["--profile", profile]);
    }
    let output = command.stderr(Stdio::inherit()).output()?;
    if !output.status.success() {
        return Err(io::Error::other("the tests do not build").into());
    }
    let told = String::from_utf8(output.stdout)?;
    let messages = told.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let tests = messages.filter(|message| message["profile"]["test"] == true);
    let program =
        tests.filter_map(|message| Some(PathBuf::from(message["executable"].as_str()?))).next_back();
    program.ok_or_else(|| "cargo named no test program".into())
}
