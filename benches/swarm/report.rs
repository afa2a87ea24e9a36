//! The numbers of a scenario, side by side.

use crate::{measure::Spread, work::Reading};

/// How one contestant did.
pub struct Results {
    /// Who.
    pub name: String,
    /// The readings of each run that was finished.
    pub runs: Vec<Vec<Reading>>,
    /// Why the others were not.
    pub failures: Vec<String>,
}

impl Results {
    fn spread(&self, what: &str) -> Option<Spread> {
        let values = self.readings(what).map(|reading| reading.value);
        let values: Vec<f64> = values.collect();
        (!values.is_empty()).then(|| Spread::of(values))
    }

    fn readings<'a>(&'a self, what: &'a str) -> impl Iterator<Item = &'a Reading> {
        self.runs.iter().flatten().filter(move |reading| reading.what == what)
    }

    /// The limit, where it depends on when something was asked for, differs a little between runs.
    fn limit(&self, what: &str) -> Option<f64> {
        let limits: Vec<f64> = self.readings(what).filter_map(|reading| reading.limit).collect();
        (!limits.is_empty()).then(|| Spread::of(limits).median)
    }
}

/// Prints a block for each number, with a line for each contestant.
pub fn print(all: &[Results]) {
    let mut names: Vec<&str> = Vec::new();
    for reading in all.iter().flat_map(|results| &results.runs).flatten() {
        if !names.contains(&reading.what.as_str()) {
            names.push(&reading.what);
        }
    }
    for what in names {
        println!(
            "  {what:<28} {:>26} {:>10} {:>10} {:>10}",
            "median [min–max]", "limit", "× limit", "× rqbit"
        );
        let rqbit = all.iter().find(|results| results.name == "rqbit").and_then(|rqbit| rqbit.spread(what));
        for results in all {
            let Some(spread) = results.spread(what) else { continue };
            let limit = results.limit(what);
            println!(
                "    {:<26} {spread:>26.2} {:>10} {:>10} {:>10}",
                results.name,
                limit.map_or("-".to_owned(), |limit| format!("{limit:.2}")),
                ratio(spread.median, limit),
                ratio(spread.median, rqbit.map(|rqbit| rqbit.median)),
            );
        }
    }
    for results in all.iter().filter(|results| !results.failures.is_empty()) {
        let runs = results.runs.len() + results.failures.len();
        println!(
            "  {} FAILED {} of {runs} runs: {}",
            results.name,
            results.failures.len(),
            results.failures.join("; ")
        );
    }
    println!();
}

fn ratio(value: f64, of: Option<f64>) -> String {
    of.filter(|of| *of > 0.0).map_or("-".to_owned(), |of| format!("{:.2}", value / of))
}
