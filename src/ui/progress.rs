//! Progress: reads what the core says about an attempt, and says it again to people or scripts.
//!
//! A thread of its own looks at the latest [`Status`] a few times a second, so that a busy or blocked runtime
//! never freezes what is shown. What is said is decided in [`words`], when in [`pace`]; both are pure.

mod bar;
pub mod pace;
pub mod words;

use std::{
    sync::mpsc::{self, RecvTimeoutError},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use serde::Serialize;
use tokio::sync::watch;

use super::screen::Screen;
use crate::{config::ProgressMode, core::status::Status};
use bar::Bar;
use pace::{JsonPace, PlainPace};

/// How often the screen follows: as often as JSON lines may come, and often enough for a spinner to turn.
const TICK: Duration = Duration::from_millis(250);

/// Shows progress until it is dropped.
#[derive(Debug)]
pub struct Progress {
    mode: ProgressMode,
    screen: Screen,
    started: Instant,
    stop: Option<mpsc::Sender<()>>,
    renderer: Option<JoinHandle<()>>,
}

impl Progress {
    /// Starts to show `status`. With [`ProgressMode::Auto`], or a bar where there is no terminal, what is shown
    /// depends on whether standard error is a terminal.
    pub fn start(mode: ProgressMode, screen: &Screen, status: watch::Receiver<Status>) -> Self {
        let mode = effective(mode, !screen.bars().is_hidden());
        let started = Instant::now();
        let (stop, stopped) = mpsc::channel();
        let renderer = Renderer::new(mode, screen).and_then(|renderer| {
            let show = move || renderer.follow(&status, &stopped, started);
            // Without a thread there is no progress, but the stream does not need one.
            thread::Builder::new().name("progress".into()).spawn(show).ok()
        });
        Self { mode, screen: screen.clone(), started, stop: Some(stop), renderer }
    }

    /// Ends with a line that says what was delivered.
    pub fn finish(mut self, name: &str, bytes: u64) {
        self.stop();
        let elapsed = self.started.elapsed();
        match self.mode {
            ProgressMode::None => {}
            ProgressMode::Json => self.screen.say(&pace::json_line(&Done::new(name, bytes, elapsed))),
            _ => self.screen.say(&words::summary(name, bytes, elapsed)),
        }
    }

    fn stop(&mut self) {
        drop(self.stop.take());
        if let Some(renderer) = self.renderer.take() {
            // A renderer that panicked has nothing more to show; the panic has been reported.
            let _ = renderer.join();
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.stop();
    }
}

fn effective(mode: ProgressMode, terminal: bool) -> ProgressMode {
    match mode {
        ProgressMode::Auto | ProgressMode::Bar if terminal => ProgressMode::Bar,
        ProgressMode::Auto | ProgressMode::Bar => ProgressMode::Plain,
        other => other,
    }
}

/// The last JSON line of a stream that was delivered.
#[derive(Serialize)]
struct Done<'a> {
    phase: &'static str,
    name: &'a str,
    delivered: u64,
    elapsed_ms: u64,
}

impl<'a> Done<'a> {
    fn new(name: &'a str, bytes: u64, elapsed: Duration) -> Self {
        Self { phase: "done", name, delivered: bytes, elapsed_ms: pace::millis(elapsed) }
    }
}

enum Renderer {
    Bar(Bar),
    Plain(PlainPace, Screen),
    Json(JsonPace, Screen),
}

impl Renderer {
    fn new(mode: ProgressMode, screen: &Screen) -> Option<Self> {
        match mode {
            ProgressMode::None => None,
            ProgressMode::Json => Some(Self::Json(JsonPace::default(), screen.clone())),
            ProgressMode::Plain => Some(Self::Plain(PlainPace::default(), screen.clone())),
            ProgressMode::Bar | ProgressMode::Auto => Some(Self::Bar(Bar::new(screen))),
        }
    }

    fn follow(mut self, status: &watch::Receiver<Status>, stopped: &mpsc::Receiver<()>, started: Instant) {
        loop {
            let mut now = status.borrow().clone();
            // The core speaks up when something changes; waiting is told by our own clock.
            now.elapsed = started.elapsed();
            self.show(&now);
            match stopped.recv_timeout(TICK) {
                Err(RecvTimeoutError::Timeout) => {}
                Ok(()) | Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn show(&mut self, status: &Status) {
        match self {
            Self::Bar(bar) => bar.show(status),
            Self::Plain(pace, screen) => pace.line(status).iter().for_each(|line| screen.say(line)),
            Self::Json(pace, screen) => pace.line(status).iter().for_each(|line| screen.say(line)),
        }
    }
}

#[cfg(test)]
mod tests;
