//! When something is said about a [`Status`]: often enough that nobody thinks it hangs, seldom enough for a log.
//! Pure: the time is [`Status::elapsed`].

use std::time::Duration;

use serde::Serialize;

use super::words;
use crate::{
    core::status::{Phase, Status},
    ui::text,
};

/// A wait is not left without a word for longer than this.
const SILENCE: Duration = Duration::from_secs(5);
/// A stream that flows is not left without a word for longer than this.
const STREAMING_SILENCE: Duration = Duration::from_secs(30);
/// Plain lines are not closer than this.
const PLAIN_GAP: Duration = Duration::from_secs(1);
/// JSON lines are not closer than this.
const JSON_GAP: Duration = Duration::from_millis(250);
/// While streaming, a line whenever so much more of it is done.
const PERCENT_STEP: u8 = 5;

/// What is over at once is not worth a word: reading a source and the disk takes a moment, unless it is a slow URL.
fn goes_without_saying(status: &Status) -> bool {
    status.phase == Phase::Source && status.elapsed < PLAIN_GAP
}

/// Decides about plain lines.
#[derive(Debug, Default)]
pub struct PlainPace {
    last: Option<Said>,
}

#[derive(Debug)]
struct Said {
    at: Duration,
    news: String,
    flowing: bool,
    step: u8,
}

impl PlainPace {
    /// The line that is due, if one is.
    pub fn line(&mut self, status: &Status) -> Option<String> {
        if goes_without_saying(status) {
            return None;
        }
        let said = Said {
            at: status.elapsed,
            news: words::news(status),
            flowing: status.phase == Phase::Streaming && !words::is_waiting(status),
            step: words::percent(status).unwrap_or(0) / PERCENT_STEP,
        };
        if self.last.as_ref().is_some_and(|last| !said.is_due_after(last)) {
            return None;
        }
        self.last = Some(said);
        Some(words::describe(status))
    }
}

impl Said {
    fn is_due_after(&self, last: &Said) -> bool {
        let gap = self.at.saturating_sub(last.at);
        let (news, silence) = match self.flowing {
            true => (!last.flowing || self.step != last.step, STREAMING_SILENCE),
            false => (self.news != last.news, SILENCE),
        };
        gap >= silence || (news && gap >= PLAIN_GAP)
    }
}

/// Decides about JSON lines.
#[derive(Debug, Default)]
pub struct JsonPace {
    last: Option<(Duration, String)>,
}

#[derive(Serialize)]
struct Line<'a> {
    #[serde(flatten)]
    status: &'a Status,
    elapsed_ms: u64,
}

impl JsonPace {
    /// The line that is due, if one is.
    pub fn line(&mut self, status: &Status) -> Option<String> {
        if goes_without_saying(status) {
            return None;
        }
        let facts = json_line(status);
        if let Some((at, last)) = &self.last {
            let gap = status.elapsed.saturating_sub(*at);
            let due = gap >= SILENCE || (*last != facts && gap >= JSON_GAP);
            if !due {
                return None;
            }
        }
        self.last = Some((status.elapsed, facts));
        Some(json_line(&Line { status, elapsed_ms: millis(status.elapsed) }))
    }
}

/// `value` on one line, harmless on a terminal.
pub(super) fn json_line(value: &impl Serialize) -> String {
    text::harmless_json(&serde_json::to_string(value).expect("numbers, texts and names serialise"))
}

/// Whole milliseconds.
pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
