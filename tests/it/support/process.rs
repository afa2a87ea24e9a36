//! How the tests start processes.
//!
//! Between fork and exec a child holds a copy of every file that this process has open, locks included. A test that
//! looks at locks of its own must know that there is no such copy: see [`none_starting`].

use std::{
    io::{self, BufRead, BufReader, Read},
    process::{Child, Command, Output},
    sync::{Mutex, MutexGuard, PoisonError, mpsc},
};

use super::PATIENCE;

static STARTING: Mutex<()> = Mutex::new(());

/// Starts a process; returns when it is a program of its own.
pub fn spawn(command: &mut Command) -> io::Result<Child> {
    let _starting = none_starting();
    command.spawn()
}

/// Runs a process to its end; what it wrote, as far as `command` pipes that to us.
pub fn output(command: &mut Command) -> Output {
    spawn(command).and_then(Child::wait_with_output).unwrap()
}

/// While this lives no process is being started, and every one that was is a program of its own: what was closed
/// before is closed for good, and its locks are gone.
pub fn none_starting() -> MutexGuard<'static, ()> {
    STARTING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A process that is killed when this is dropped.
pub struct Kill(pub Child);

impl Drop for Kill {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What the first line that tells it says; the rest is read too, so that nobody waits for us.
pub fn told<T: Send + 'static>(
    output: impl Read + Send + 'static,
    what: &str,
    tell: impl Fn(&str) -> Option<T> + Send + 'static,
) -> T {
    let (found, first) = mpsc::channel();
    std::thread::spawn(move || {
        for told in BufReader::new(output).lines().map_while(Result::ok).filter_map(|line| tell(&line)) {
            let _ = found.send(told);
        }
    });
    first.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("no line tells {what}"))
}
