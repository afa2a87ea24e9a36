//! The bar on a terminal: a spinner with words while waiting, then a bar with words. Never wider than a line.

use std::fmt;

use indicatif::{ProgressBar, ProgressStyle};
use rustix::termios;

use super::words;
use crate::{
    core::status::{Phase, Status},
    ui::{screen::Screen, text},
};

/// The spinner and the space after it.
const SPINNER: usize = 2;
/// Below this width the words alone fill the line: sizes, rate and remaining time take up to 50 columns, and a bar
/// of less than 20 tells nothing.
const ROOM_FOR_BAR: usize = 72;

pub(super) struct Bar {
    bar: ProgressBar,
    look: Option<Look>,
}

/// What the line is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Look {
    Words,
    Bar,
    NamedBar,
}

impl Bar {
    pub(super) fn new(screen: &Screen) -> Self {
        Self { bar: screen.bars().add(ProgressBar::no_length()), look: None }
    }

    pub(super) fn show(&mut self, status: &Status) {
        let columns = columns();
        let look = Look::of(status, columns);
        // Words are cut to the line under any look, so at no moment is there a line that wraps.
        match look {
            Look::Words => {
                self.look(look);
                self.say(words::describe_within(status, columns.saturating_sub(SPINNER)));
                self.bar.tick();
            }
            Look::Bar | Look::NamedBar => {
                self.say(numbers(status));
                self.name(name(status));
                self.look(look);
                self.bar.update(|bar| {
                    bar.set_len(status.total.unwrap_or(0));
                    bar.set_pos(status.delivered);
                });
            }
        }
    }

    fn look(&mut self, look: Look) {
        if self.look.replace(look) != Some(look) {
            self.bar.set_style(look.style());
        }
    }

    fn name(&mut self, name: String) {
        if self.bar.prefix() != name {
            self.bar.set_prefix(name);
        }
    }

    /// Each change is drawn at once, so only what has changed is set.
    fn say(&self, words: String) {
        if self.bar.message() != words {
            self.bar.set_message(words);
        }
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

impl fmt::Debug for Bar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bar").field("look", &self.look).finish_non_exhaustive()
    }
}

impl Look {
    fn of(status: &Status, columns: usize) -> Self {
        let name = words::columns_of(&name(status));
        let has_bar =
            status.phase == Phase::Streaming && status.total.is_some() && !words::is_waiting(status);
        match columns {
            _ if !has_bar => Look::Words,
            0..ROOM_FOR_BAR => Look::Words,
            _ if columns < ROOM_FOR_BAR + 1 + name => Look::Bar,
            _ => Look::NamedBar,
        }
    }

    fn style(self) -> ProgressStyle {
        let template = match self {
            Look::Words => "{spinner} {wide_msg}",
            Look::Bar => "{spinner} {percent:>3}% {wide_bar} {msg}",
            Look::NamedBar => "{spinner} {prefix} {percent:>3}% {wide_bar} {msg}",
        };
        ProgressStyle::with_template(template)
            .expect("the templates above are well formed")
            .progress_chars("━╸ ")
    }
}

fn name(status: &Status) -> String {
    status.name.as_deref().map(words::short).unwrap_or_default()
}

fn numbers(status: &Status) -> String {
    let total = status.total.map(|total| format!("/{}", text::size(total))).unwrap_or_default();
    format!("{}{total} {}", text::size(status.delivered), words::pace(status).unwrap_or_default())
}

/// The width of the terminal on standard error now: it may be resized at any time.
fn columns() -> usize {
    termios::tcgetwinsize(std::io::stderr()).map_or(80, |size| size.ws_col.into())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn streaming(name: &str) -> Status {
        Status {
            phase: Phase::Streaming,
            name: Some(name.into()),
            total: Some(1023 << 40),
            delivered: 1000 << 40,
            download_rate: 1023 << 10,
            elapsed: Duration::from_secs(1),
            ..Status::default()
        }
    }

    #[test]
    fn the_numbers_beside_a_bar_leave_it_room_at_their_longest() {
        // spinner, percent and the spaces between: 2 + 5 + 1.
        let beside = numbers(&streaming("x")).chars().count() + 8;
        assert!(beside + 10 <= ROOM_FOR_BAR, "{beside}");
    }

    #[test]
    fn a_line_shows_what_its_width_has_room_for() {
        let wide = "語".repeat(60);
        assert_eq!(Look::of(&streaming("film.mkv"), 40), Look::Words);
        assert_eq!(Look::of(&streaming("film.mkv"), 72), Look::Bar);
        assert_eq!(Look::of(&streaming("film.mkv"), 81), Look::NamedBar);
        assert_eq!(Look::of(&streaming(&wide), 120), Look::Bar);
        assert_eq!(Look::of(&streaming(&wide), 200), Look::NamedBar);
        let waiting = Status { phase: Phase::FirstPiece, ..streaming("film.mkv") };
        assert_eq!(Look::of(&waiting, 200), Look::Words);
    }

    #[test]
    fn every_look_has_a_style() {
        for look in [Look::Words, Look::Bar, Look::NamedBar] {
            look.style();
        }
    }
}
