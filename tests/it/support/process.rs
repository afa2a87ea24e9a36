//! How the tests start processes.
//!
//! Between fork and exec a child holds a copy of every file that this process has open, locks included. A test that
//! looks at locks of its own must know that no such copy is left: see [`settled`].

use std::{
    io,
    process::{Child, Command, Output},
    sync::{Mutex, PoisonError},
};

static STARTING: Mutex<()> = Mutex::new(());

/// Starts a process; returns when it is a program of its own.
pub fn spawn(command: &mut Command) -> io::Result<Child> {
    let _starting = STARTING.lock().unwrap_or_else(PoisonError::into_inner);
    command.spawn()
}

/// Runs a process to its end; what it wrote, as far as `command` pipes that to us.
pub fn output(command: &mut Command) -> Output {
    spawn(command).and_then(Child::wait_with_output).unwrap()
}

/// Waits until every process that was being started is a program of its own. What was closed before is then closed
/// for good, and its locks are gone.
pub fn settled() {
    drop(STARTING.lock().unwrap_or_else(PoisonError::into_inner));
}
