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

use By::{Counting, Grammar, Repeating};

const fn row(id: &'static str, what: &'static str, target: &'static str, times: (u32, u32), by: By) -> Row {
    Row { id, what, target, quick: times.0, times: times.1, by }
}

/// All of them.
pub const ROWS: &[Row] = &[
    row(
        "L1",
        "1000 viewers at 64 KiB/s for a minute, from random places",
        "every byte right; first byte p99 250 ms; 150 MiB and 128 KiB each; files given back in 10 s",
        (0, 1000),
        Counting(&["serve_crowds::a_thousand_viewers_get_every_byte_in_time"]),
    ),
    row(
        "L2",
        "a download beside 200 readers that take nothing",
        "95 % of its rate; the next reader's first byte in 1 s",
        (0, 5),
        Counting(&["serve_crowds::paused_readers_cost_a_download_nothing"]),
    ),
    row(
        "L3",
        "10 000 idle connections",
        "20 KiB each; a good client at 95 % of its rate; all let go in 20 s",
        (0, 10_000),
        Counting(&["serve_crowds::idle_connections_are_cheap_and_let_go"]),
    ),
    row(
        "L4",
        "500 connections more than there is room for",
        "answered, 503 or not let in; /health in 100 ms",
        (0, 500),
        Counting(&["serve_crowds::more_connections_than_there_is_room_for_hold_up_nobody_who_is_in"]),
    ),
    row(
        "L5",
        "slowhttptest on a processor of its own, 1000 connections for a minute each: heads, bodies, ranges, reads",
        "a good client at 95 % of its rate; all let go in 30 s (slow reads: when they leave)",
        (0, 1000),
        Counting(&["serve_silence::a_thousand_slow_connections_cost_a_good_client_nothing"]),
    ),
    row(
        "L6",
        "100 clients that seek 200 times each and leave after 0 to 256 KiB",
        "every byte right; first byte p99 300 ms; nothing left behind",
        (0, 100),
        Counting(&["serve_load::a_storm_of_seeks_leaves_nothing_behind_and_every_byte_is_right"]),
    ),
    row(
        "L6b",
        "200 readers that pause and 300 that leave",
        "everybody else served; nothing left behind",
        (0, 10),
        Repeating(&["serve_faults::readers_that_pause_or_leave_give_everything_back"]),
    ),
    row(
        "L7",
        "500 questions a second beside 1000 viewers: /metrics, and 10 times the list of 10 000 failed torrents",
        "p99 50 ms; the table read in 20 ms",
        (0, 15_000),
        Counting(&["serve_crowds::the_operator_is_answered_whatever_else_goes_on"]),
    ),
    row(
        "L8",
        "so many seconds of 50 viewers, every minute another torrent and a cleanup",
        "1 MiB in 10 min; descriptors, threads, tasks flat; the disk is what the report says",
        (0, 3600),
        Counting(&["soak::an_hour_of_viewers_leaves_nothing_behind"]),
    ),
    row(
        "F1",
        "SIGKILL while the table is written",
        "nothing torn, no acknowledged row lost",
        (100, 1000),
        Counting(&["failed_table::kills_during_writes_tear_nothing_and_lose_no_acknowledged_row"]),
    ),
    row(
        "F2",
        "each call of an update fails: EIO, ENOSPC, EINTR, SIGKILL",
        "the old table or the new one, and said",
        (0, 3),
        Counting(&["table_faults::any_call_of_an_update_may_fail_and_the_table_is_the_old_or_the_new_one"]),
    ),
    row(
        "F3",
        "state and temp directories that fill up",
        "cooldowns hold, 507, well again once there is room",
        (0, 5),
        Counting(&[
            "table_faults::a_full_state_directory_costs_no_cooldown_and_is_used_again_once_there_is_room",
            "disk_faults::a_full_temp_directory_is_said_and_used_again_once_there_is_room",
        ]),
    ),
    row(
        "F4",
        "EIO and ENOSPC at the n-th read or write",
        "no wrong byte, others unharmed, well again",
        (0, 20),
        Counting(&["disk_faults::a_disk_that_fails_once_gives_no_wrong_byte"]),
    ),
    row(
        "F4b",
        "a disk that stands still for 5 s: at the reads of one viewer or many at once, at a write of a download, at a listing",
        "no wrong byte; another torrent's first byte in 1 s",
        (0, 20),
        Counting(&["disk_faults::a_disk_that_stands_still_holds_up_no_other_torrent"]),
    ),
    row(
        "F5",
        "peers that send bad blocks: one of three, all, later",
        "no wrong byte, never a clean end",
        (0, 5),
        Repeating(&[
            "failures::one_liar_among_three_seeds_changes_no_byte",
            "failures::only_liars_end_in_a_timeout_and_never_in_a_clean_end",
            "failures::a_seed_that_turns_into_a_liar_is_a_stall_and_never_a_clean_end",
        ]),
    ),
    row(
        "F6",
        "seeds that fall silent: one of three, all",
        "10 s without a byte at most; all: a defined error",
        (0, 10),
        Counting(&["network_faults::seeds_that_fall_silent_hold_up_nobody_for_long"]),
    ),
    row(
        "F7",
        "a tracker that answers a gigabyte",
        "10 MiB more memory at most",
        (0, 5),
        Counting(&["hostile::what_a_flood_of_a_tracker_takes_is_little"]),
    ),
    row(
        "F7b",
        "trackers: silent, down, 500, 1 byte a second, nonsense, redirects",
        "the stream goes on, or ends in a defined error",
        (0, 5),
        Repeating(&[
            "hostile::a_tracker_that_never_stops_talking_is_not_listened_to",
            "failures::the_next_rounds_tracker_saves_what_a_bad_one_cannot",
            "failures::the_next_rounds_tracker_saves_what_a_dead_one_cannot",
            "failures::trackers_that_only_lie_are_no_peers",
        ]),
    ),
    row(
        "F8",
        "the only seed dies and returns after 10 s on the same port",
        "the same stream goes on within 15 s",
        (0, 10),
        Counting(&["network_faults::the_only_seed_is_waited_for_when_it_dies"]),
    ),
    row(
        "F8c",
        "the only seed dies, and after 10 s another one is where only the tracker knows",
        "the same stream goes on within 15 s; the tracker is asked twice more at most",
        (0, 10),
        Counting(&["network_faults::a_seed_that_returns_at_another_address_is_found_there"]),
    ),
    row(
        "F8b",
        "a seed dies and is back at once, where it was",
        "the same stream goes on, every byte right",
        (0, 10),
        Repeating(&["failures::a_seed_that_dies_and_returns_is_streamed_to_the_end"]),
    ),
    row(
        "F9",
        "the network is away for 5, 30 and 20 s (with a stall time of 10 s); a viewer's cable is cut",
        "goes on within 15 s; a defined error; the viewer is let go",
        (0, 3),
        Counting(&["network_faults::a_network_that_goes_away_and_comes_back_is_waited_for"]),
    ),
    row(
        "F10",
        "clocks 30 days and an hour off, before and after, and frozen; cleanups under clocks that jump",
        "refused for 1 s to an hour, or tried again; nothing deleted",
        (0, 3),
        Counting(&["table_faults::a_clock_that_jumps_makes_no_cooldown_eternal"]),
    ),
    row(
        "F11",
        "signals, closed pipes and inputs, a full stdout, a part of a file, a player, a server that drains",
        "its code, quietly, in 1 s; drained in 10 s; at once after a second signal",
        (0, 5),
        Counting(&["signals::it_ends_when_it_is_told_to_and_when_nobody_takes_what_it_gives"]),
    ),
    row(
        "F11b",
        "signals while nobody reads, while it waits, and two of them",
        "ends at once, with its code",
        (0, 5),
        Repeating(&[
            "failures::a_signal_while_streaming_ends_it_within_a_second",
            "failures::a_signal_while_waiting_ends_it_within_a_second_and_is_no_failure",
            "failures::a_signal_while_looking_for_peers_ends_it_within_a_second",
            "failures::a_signal_ends_it_although_nobody_reads_what_it_writes",
            "failures::a_second_signal_ends_it_at_once",
            "serve_process::a_second_signal_ends_it_at_once",
        ]),
    ),
    row(
        "F12",
        "the table locked, read-only, another's, empty, cut off, 10 MB, not UTF-8",
        "streams go on, nothing is overwritten",
        (0, 3),
        Counting(&["table_faults::a_table_that_cannot_be_had_holds_up_no_stream_and_is_never_overwritten"]),
    ),
    row(
        "F13",
        "a request handler and a body that panic",
        "500 or an aborted body; the server lives",
        (0, 1),
        Grammar(&["http::routes::tests::a_defect_is_one_answer_and_no_end_of_the_server"]),
    ),
    row(
        "F14",
        "ten viewers of a torrent whose disk fails again and again",
        "each told so in 15 s; well again",
        (0, 5),
        Counting(&["disk_faults::a_torrent_whose_disk_fails_for_good_leaves_nobody_waiting"]),
    ),
    row(
        "B1",
        "info hashes, magnets, sources",
        "parsed or refused, no panic",
        (20000, 1000000),
        Grammar(&[
            "core::source::tests::any_text_is_parsed_or_refused_and_never_panics",
            "core::source::tests::every_hash_survives_print_and_parse",
        ]),
    ),
    row(
        "B2",
        "metainfo",
        "parsed or refused; every file inside its directory",
        (20000, 1000000),
        Grammar(&[
            "core::swarm::metainfo::tests::any_bytes_are_parsed_or_refused",
            "core::swarm::metainfo::tests::any_numbers_are_accepted_or_refused",
            "core::swarm::bencode::tests::any_bytes_are_measured_or_refused",
        ]),
    ),
    row(
        "B3",
        "the table's file",
        "read back as written, never read otherwise than TOML",
        (2000, 1_000_000),
        Grammar(&[
            "core::store::tests::a_table_survives_its_file_whatever_the_reasons_are",
            "core::store::tests::quick_reading_never_accepts_what_toml_reads_otherwise",
        ]),
    ),
    row(
        "B4",
        "mutated requests over TCP",
        "understood, refused in JSON or not answered, in 1 s; no panic",
        (0, 100000),
        Counting(&["serve_faults::garbage_is_answered_with_a_refusal_or_not_at_all"]),
    ),
    row(
        "B5",
        "Range and If-Range against a model of the standard",
        "the model's answer",
        (20000, 1000000),
        Grammar(&[
            "http::range::tests::any_set_means_what_the_model_says",
            "http::range::tests::any_text_means_what_the_model_says",
            "http::range::tests::any_text_at_all_is_survived",
            "http::range::tests::what_is_satisfiable_lies_inside_the_file",
        ]),
    ),
    row(
        "B6",
        "hostile names: paths, terminal, JSON, headers, page",
        "inside the directory, harmless, escaped",
        (0, 3),
        Repeating(&[
            "hostile::hostile_names_stay_inside_the_directory",
            "hostile::hostile_names_print_harmlessly",
            "hostile::names_that_climb_out_are_refused_or_kept_in",
            "hostile::a_link_planted_in_the_temp_directory_is_not_followed",
            "page_hostile::hostile_names_are_text_and_nothing_but_text",
        ]),
    ),
    row(
        "B6b",
        "40 hostile names in JSON, headers, playlists, a terminal, logs, metrics and paths",
        "escaped, harmless, inside the directory",
        (0, 40),
        Counting(&["hostile::forty_hostile_names_are_harmless_wherever_they_come_out"]),
    ),
    row(
        "B6c",
        "schemathesis: requests that /openapi.json describes, and requests that it does not",
        "an answer that it describes, 1 s after a torrent's time at the latest; nothing that is a defect",
        (0, 100),
        Counting(&["serve_described::every_answer_is_one_that_the_description_has"]),
    ),
    row(
        "B7",
        "hostile peers, each beside a good one and alone",
        "no wrong byte, a clean end",
        (0, 3),
        Counting(&["hostile::nothing_that_a_peer_says_changes_a_byte_or_hangs"]),
    ),
    row(
        "B8",
        "strangers at the listening port",
        "8 MiB more at most",
        (0, 100_000),
        Counting(&["hostile::strangers_at_the_listening_port_cost_no_memory"]),
    ),
    row(
        "Z",
        "the fuzz targets on their corpora and on what comes of them",
        "no promise broken",
        (2000, 30_000),
        Counting(&["fuzzing::no_input_breaks_a_promise"]),
    ),
    row(
        "R",
        "RFC 9110's cases over HTTP",
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
        "C2",
        "readers beside a writer",
        "always a whole table",
        (0, 20),
        Repeating(&["failed_table::readers_beside_a_writer_always_see_a_whole_table"]),
    ),
    row(
        "C3",
        "pruning beside a new failure of the same torrent",
        "the new failure stays",
        (0, 1000),
        Counting(&["failed_table::a_failure_beside_the_pruning_of_an_older_one_always_stays"]),
    ),
    row(
        "C4",
        "another process forgets a failure",
        "seen by the next request",
        (0, 10),
        Repeating(&["serve_process::a_failure_that_another_process_forgets_is_forgotten_here_too"]),
    ),
    row(
        "C6",
        "cleanup in a loop beside a stream of another process",
        "every byte right, \"in use\", freed afterwards",
        (20, 200),
        Counting(&["serve_process::cleanup_beside_it_never_takes_what_is_being_streamed"]),
    ),
    row(
        "C7",
        "two processes want one torrent, or one address",
        "the second is told who has it",
        (0, 10),
        Repeating(&[
            "failures::a_second_process_hears_who_holds_the_torrent",
            "serve_process::an_address_in_use_and_one_that_is_too_open_are_refused",
        ]),
    ),
    row(
        "C8",
        "power cuts of a disk in use",
        "table and torrents whole, nothing left behind",
        (0, 100),
        Counting(&["disk_faults::a_machine_that_loses_power_finds_everything_in_order"]),
    ),
    row(
        "C9",
        "SIGKILL of cleanups",
        "the next one finishes",
        (0, 10),
        Repeating(&["cleanup::cleanups_killed_at_any_moment_leave_nothing_that_the_next_cannot_finish"]),
    ),
    row(
        "P",
        "what others learn: packets, names, passkeys",
        "nothing before a torrent is asked for, no secret anywhere",
        (0, 3),
        Repeating(&[
            "privacy::a_server_that_was_asked_for_no_torrent_talks_to_nobody",
            "privacy::a_private_run_tells_no_peer_and_no_tracker_its_name",
            "privacy::a_private_run_asks_no_dht_even_where_it_is_told_to",
            "privacy::no_log_and_no_error_has_a_passkey",
            "privacy::no_log_of_a_server_has_a_passkey_of_a_request",
            "privacy::no_log_has_the_secret_of_a_source_that_is_a_url",
        ]),
    ),
];
