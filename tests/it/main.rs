//! What can be seen of swarmcat from outside: the program as a process, in swarms on loopback.
#![allow(clippy::unwrap_used, missing_docs, reason = "a test stops where its world is not what it built")]

mod choosing;
mod cleanup;
mod cli;
mod completions;
mod disk_faults;
mod failed_table;
mod failures;
mod fuzzing;
mod hostile;
mod logs;
mod network_faults;
mod packaging;
mod page;
mod page_hostile;
mod page_operator;
mod players;
mod privacy;
mod resume;
mod rooms;
mod scale_out;
mod serve_add;
mod serve_browser;
mod serve_clients;
mod serve_crowds;
mod serve_faults;
mod serve_load;
mod serve_nginx;
mod serve_process;
mod serve_silence;
mod sources;
mod stream;
mod support;
mod table_faults;
mod testbed;
mod worker;
