//! Standard error as everybody shares it: progress, log lines and messages, none tearing another.

use std::io::{self, Write};

use indicatif::MultiProgress;

use super::text::{self, Printable};

/// A handle on standard error; clones share it.
#[derive(Debug, Clone, Default)]
pub struct Screen {
    bars: MultiProgress,
}

/// What makes foreign text in a line harmless.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Plain text: harmful characters become `\u{…}`.
    Text,
    /// JSON: harmful characters become JSON's own escapes.
    Json,
}

impl Screen {
    /// Standard error, with nothing on it yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// One line, as it is: the caller has made it harmless.
    pub fn say(&self, line: &str) {
        // When stderr is closed there is nobody to tell.
        let _ = self.write(&format!("{line}\n"));
    }

    /// A writer for log lines; each `write` is one event.
    pub fn log_writer(&self, form: Form) -> LogWriter {
        LogWriter { screen: self.clone(), form }
    }

    /// Where bars are drawn.
    pub(super) fn bars(&self) -> &MultiProgress {
        &self.bars
    }

    fn write(&self, text: &str) -> io::Result<()> {
        self.bars.suspend(|| io::stderr().lock().write_all(text.as_bytes()))
    }
}

/// Puts log events on the screen, each whole and harmless.
#[derive(Debug)]
pub struct LogWriter {
    screen: Screen,
    form: Form,
}

impl Write for LogWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let event = String::from_utf8_lossy(bytes);
        let event = event.strip_suffix('\n').unwrap_or(&event);
        let line = match self.form {
            Form::Text => Printable(event).to_string(),
            Form::Json => text::harmless_json(event),
        };
        self.screen.write(&(line + "\n"))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
