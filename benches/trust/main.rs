//! The reliability matrix, row by row: load, faults, bad input, processes together.
//!
//! ```text
//! apt-get install strace faketime slowhttptest e2fsprogs iproute2 util-linux aria2 chromium curl ffmpeg nginx python3-venv wget
//! python3 -m venv target/schemathesis && target/schemathesis/bin/pip install -r .ci/schemathesis.txt    # for B6c
//! cargo bench --bench trust -- --list
//! cargo bench --bench trust                       # every row: about an hour, as root for mounts and networks
//! cargo bench --bench trust -- F1 C --markdown    # a row, or all rows of a kind
//! cargo bench --profile dev --bench trust -- --quick --profile dev    # what CI runs: 3 minutes
//! ```
//!
//! The cases are the integration tests (`tests/it`): a row runs one or more of them, with a count that the environment
//! gives or again and again, against the program of the same profile and from outside it. Grammars are rows of the
//! library's own tests, always with overflow checks. Each row prints how many cases passed, the worst figure that was
//! seen, and what it had to be. Linux only.

// The report is this program's payload.
#![allow(clippy::print_stdout)]

mod rows;
mod run;

use std::process::ExitCode;

use clap::Parser;

use rows::{ROWS, Row};
use run::{Outcome, Runner};

#[derive(Parser)]
struct Options {
    /// Rows by their names (F1), or all of a kind (F).
    rows: Vec<String>,

    /// Few cases of those rows that are quick.
    #[arg(long)]
    quick: bool,

    /// This many cases of each row.
    #[arg(long)]
    times: Option<u32>,

    /// The profile that the program is built with.
    #[arg(long, default_value = "release")]
    profile: String,

    /// Only say what there is.
    #[arg(long)]
    list: bool,

    /// End with a table in Markdown.
    #[arg(long)]
    markdown: bool,

    /// What cargo tells every benchmark.
    #[arg(long, hide = true)]
    bench: bool,
}

impl Options {
    fn chosen(&self) -> Vec<&'static Row> {
        let named = |row: &Row| {
            self.rows.is_empty()
                || self.rows.iter().any(|name| row.id == name || row.id.starts_with_kind(name))
        };
        ROWS.iter().filter(|row| named(row) && (!self.quick || row.quick > 0)).collect()
    }

    fn times(&self, row: &Row) -> u32 {
        self.times.unwrap_or(if self.quick { row.quick } else { row.times })
    }
}

trait Id {
    fn starts_with_kind(&self, kind: &str) -> bool;
}

impl Id for str {
    /// `F` names F1 and F12, and `F7` F7b, but `F1` does not name F12.
    fn starts_with_kind(&self, kind: &str) -> bool {
        self.strip_prefix(kind).is_some_and(|rest| kind.len() == 1 || rest.starts_with(char::is_alphabetic))
    }
}

fn main() -> ExitCode {
    let options = Options::parse();
    let rows = options.chosen();
    if options.list {
        rows.iter().for_each(|row| println!("{:<4} {:>7}  {}", row.id, row.times, row.what));
        return ExitCode::SUCCESS;
    }
    let outcomes = Runner::new(&options.profile, !options.quick).and_then(|mut runner| {
        rows.iter().map(|row| Ok((*row, runner.run(row, options.times(row))?))).collect::<Result<Vec<_>, _>>()
    });
    match outcomes {
        Ok(outcomes) => report(&outcomes, options.markdown),
        Err(trouble) => {
            eprintln!("trust: {trouble}");
            ExitCode::FAILURE
        }
    }
}

fn report(outcomes: &[(&Row, Outcome)], markdown: bool) -> ExitCode {
    if markdown {
        println!("\n| row | what | passed | worst | target |\n|---|---|---|---|---|");
        for (row, outcome) in outcomes {
            let Outcome { passed, cases, worst, .. } = outcome;
            println!("| {} | {} | {passed}/{cases} | {worst} | {} |", row.id, row.what, row.target);
        }
    }
    let failed: Vec<_> =
        outcomes.iter().filter(|(_, outcome)| !outcome.good()).map(|(row, _)| row.id).collect();
    if failed.is_empty() {
        return ExitCode::SUCCESS;
    }
    println!("\nnot as they should be: {}", failed.join(", "));
    ExitCode::FAILURE
}
