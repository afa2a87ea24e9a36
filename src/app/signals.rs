//! SIGINT and SIGTERM: the first asks the program to stop, the second ends it at once.

use std::{
    future::Future,
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
    let started = runtime::Builder::new_current_thread().enable_io().build().and_then(|runtime| {
        let _inside = runtime.enter();
        let signals = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        drop(_inside);
        Ok((runtime, signals))
    });
    match started {
        Ok((runtime, signals)) => {
            if ready.send(Ok(())).is_ok() {
                runtime.block_on(obey(signals, cancelled));
            }
        }
        // The other side reports it.
        Err(error) => drop(ready.send(Err(error))),
    }
}

async fn obey((mut interrupt, mut terminate): (Signal, Signal), cancelled: &CancellationToken) {
    let code = next(&mut interrupt, &mut terminate).await;
    ASKED.store(code, Ordering::Relaxed);
    cancelled.cancel();
    let code = next(&mut interrupt, &mut terminate).await;
    exit_at_once(code);
}

fn next<'a>(interrupt: &'a mut Signal, terminate: &'a mut Signal) -> impl Future<Output = u8> + 'a {
    async move {
        tokio::select! {
            _ = interrupt.recv() => 130,
            _ = terminate.recv() => 143,
        }
    }
}

#[expect(clippy::exit, reason = "whoever signals twice does not want to wait for anything")]
fn exit_at_once(code: u8) -> ! {
    std::process::exit(code.into())
}
