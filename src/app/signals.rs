//! SIGINT and SIGTERM: the first asks the program to stop, the second ends it at once.

use std::{
    io,
    sync::{
        atomic::{AtomicU8, Ordering},
        mpsc,
    },
    thread,
};

use tokio::{
    runtime,
    signal::unix::{Signal, SignalKind, signal},
};
use tokio_util::sync::CancellationToken;

use crate::core::Error;

/// The exit code that the first signal stands for; 0 before there was one.
static ASKED: AtomicU8 = AtomicU8::new(0);

/// From now on signals come here: the token is cancelled at the first. To be called once.
///
/// They are awaited on a thread of their own, so that the second signal works however busy or stuck everything
/// else is. The thread lives as long as the process: without it signals would be swallowed.
pub fn install() -> Result<CancellationToken, Error> {
    let token = CancellationToken::new();
    let (ready, installed) = mpsc::sync_channel(1);
    let cancelled = token.clone();
    let start = thread::Builder::new().name("signals".into()).spawn(move || watch(&cancelled, &ready));
    let outcome = start.and_then(|_| installed.recv().map_err(io::Error::other).flatten());
    outcome.map_err(|error| Error::Internal(format!("cannot watch for signals: {error}")))?;
    Ok(token)
}

/// The exit code of a process that stopped because of a signal: 130 or 143; `None` before the first signal.
pub fn exit_code() -> Option<u8> {
    Some(ASKED.load(Ordering::Relaxed)).filter(|&code| code > 0)
}

fn watch(cancelled: &CancellationToken, ready: &mpsc::SyncSender<io::Result<()>>) {
    let runtime = runtime::Builder::new_current_thread().enable_io().build();
    let outcome = runtime.and_then(|runtime| runtime.block_on(obey(cancelled, ready)));
    // What went wrong before the signals were ready is told by whoever waits for that.
    let _ = ready.send(outcome);
}

async fn obey(cancelled: &CancellationToken, ready: &mpsc::SyncSender<io::Result<()>>) -> io::Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    // Whoever installs waits for this.
    let _ = ready.send(Ok(()));
    let code = next(&mut interrupt, &mut terminate).await;
    ASKED.store(code, Ordering::Relaxed);
    cancelled.cancel();
    let code = next(&mut interrupt, &mut terminate).await;
    exit_at_once(code);
}

async fn next(interrupt: &mut Signal, terminate: &mut Signal) -> u8 {
    tokio::select! {
        _ = interrupt.recv() => 130,
        _ = terminate.recv() => 143,
    }
}

#[expect(clippy::exit, reason = "whoever signals twice does not want to wait for anything")]
fn exit_at_once(code: u8) -> ! {
    std::process::exit(code.into())
}
