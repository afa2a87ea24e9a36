//! What can be seen of swarmcat from outside: the program as a process, in swarms on loopback.
#![allow(clippy::unwrap_used, missing_docs, reason = "a test stops where its world is not what it built")]

mod broker;
mod choosing;
mod cleanup;
mod cli;
mod completions;
mod failed_table;
mod failures;
mod hostile;
mod logs;
mod packaging;
mod page;
mod page_hostile;
mod page_operator;
mod players;
mod resume;
mod rooms;
mod scale_out;
mod serve_add;
mod serve_browser;
mod serve_clients;
mod serve_faults;
mod serve_load;
mod serve_nginx;
mod serve_process;
mod serve_silence;
mod sources;
mod stream;
mod support;
mod testbed;
mod worker;
