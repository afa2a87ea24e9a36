//! How the tests start processes.
//!
//! Between fork and exec a child holds a copy of every file that this process has open, locks included. A test that
//! looks at locks of its own must know that there is no such copy: see [`none_starting`].

use std::{
    io::{self, BufRead, BufReader, PipeReader, Read},
    os::fd::OwnedFd,
    process::{Child, Command, Output},
    sync::{Mutex, MutexGuard, PoisonError, mpsc},
};

use rustix::process::{Resource, getrlimit};

use super::PATIENCE;

static STARTING: Mutex<()> = Mutex::new(());

/// Starts a process; returns when it is a program of its own.
pub fn spawn(command: &mut Command) -> io::Result<Child> {
    let _starting = none_starting();
    let (copy, mut copies) = last_file()?;
    let child = command.spawn()?;
    drop(copy);
    // The standard library returns once the program is loaded, a moment before the kernel closes the copies.
    copies.read_to_end(&mut Vec::new())?;
    Ok(child)
}

/// A file of which a child's copy is closed after all others, for that goes by their numbers; and what tells that every
/// copy is closed.
fn last_file() -> io::Result<(OwnedFd, PipeReader)> {
    let (copies, copy) = io::pipe()?;
    let most = getrlimit(Resource::Nofile).current.unwrap_or(MANY).min(MANY);
    let last = i32::try_from(most).map_err(io::Error::other)? - SPARE;
    Ok((rustix::io::fcntl_dupfd_cloexec(&copy, last)?, copies))
}

/// More files than the tests have open where it matters.
const MANY: u64 = 4096;
/// Numbers left at the top, should the last one be taken.
const SPARE: i32 = 16;

/// Runs a process to its end; what it wrote, as far as `command` pipes that to us.
pub fn output(command: &mut Command) -> Output {
    spawn(command).and_then(Child::wait_with_output).unwrap()
}

/// Runs a process to its end, whatever comes of it.
pub fn run_anyway(command: &mut Command) {
    let _ = spawn(command).and_then(|mut child| child.wait());
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
