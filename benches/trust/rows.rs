//! The rows: what each runs, how often, and what it has to show.

/// What runs the cases of a row.
#[derive(Clone, Copy)]
pub enum By {
    /// Integration tests that count cases themselves.
    Counting(&'static [&'static str]),
    /// Integration tests, each of which is a case.
    Repeating(&'static [&'static str]),
    /// Properties among the library's own tests.
    Grammar(&'static [&'static str]),
    /// Another benchmark: its arguments, and what its report must hold to give a worst figure.
    Bench(&'static [&'static str], fn(&str) -> Option<String>),
}

/// One row.
pub struct Row {
    /// Its name.
    pub id: &'static str,
    /// What is done.
    pub what: &'static str,
    /// What it has to show.
    pub target: &'static str,
    /// Cases of a quick run; 0: not in it.
    pub quick: u32,
    /// Cases of a full run.
    pub times: u32,
    /// By what.
    pub by: By,
}

use By::{Bench, Counting, Grammar, Repeating};

const fn row(id: &'static str, what: &'static str, target: &'static str, times: (u32, u32), by: By) -> Row {
    Row { id, what, target, quick: times.0, times: times.1, by }
}

/// All of them.
pub const ROWS: &[Row] = &[
    row(
        "F1",
        "SIGKILL while the table is written",
        "nothing torn, no acknowledged row lost, no more than one temporary name",
        (100, 1000),
        Counting(&["failed_table::kills_during_writes_tear_nothing_and_lose_no_acknowledged_row"]),
    ),
    row(
        "B5",
        "Range and If-Range against a model of the standard",
        "the model's answer, no panic",
        (20_000, 1_000_000),
        Grammar(&[
            "http::range::tests::any_set_means_what_the_model_says",
            "http::range::tests::any_text_means_what_the_model_says",
            "http::range::tests::any_text_at_all_is_survived",
            "http::range::tests::what_is_satisfiable_lies_inside_the_file",
        ]),
    ),
    row(
        "R",
        "the tables of RFC 9110's cases over HTTP",
        "every answer as the standard has it",
        (1, 1),
        Grammar(&[
            "http::routes::tests::every_range_is_answered_as_the_standard_says",
            "http::routes::tests::an_empty_file_has_no_ranges",
            "http::routes::tests::head_says_what_get_would_and_opens_no_reader",
            "http::routes::tests::old_and_odd_requests_are_understood_or_refused",
        ]),
    ),
    row(
        "C1",
        "50 processes update one table 20 times each",
        "1000 of 1000 seen; 5 s",
        (1, 20),
        Counting(&["failed_table::fifty_processes_update_one_table_twenty_times_each_and_nothing_is_lost"]),
    ),
    row(
        "C6",
        "cleanup in a loop beside a stream of another process",
        "every byte right, \"in use\", freed afterwards",
        (20, 200),
        Counting(&["serve_process::cleanup_beside_it_never_takes_what_is_being_streamed"]),
    ),
];
