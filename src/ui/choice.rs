//! The one question that is ever asked: which of several files. Asked on standard error, of somebody at a terminal.

use std::io::{self, IsTerminal as _};

use dialoguer::{
    Select,
    console::{Term, truncate_str},
};
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};

use super::text::{Printable, size};
use crate::core::metainfo::FileEntry;

/// What the prompt puts before each line.
const MARK: usize = 2;

/// Whether somebody is there to be asked.
pub fn can_be_asked() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Asks which of `files` is meant, with the one numbered `default` under the cursor; `None` when it is none of them.
/// Blocks until somebody answers.
pub fn choose(files: &[FileEntry], default: usize) -> io::Result<Option<usize>> {
    let terminal = Term::stderr();
    let width = usize::from(terminal.size().1).saturating_sub(MARK + 1);
    let lines = files.iter().map(|file| truncate_str(&line(file), width, "…").into_owned());
    let chosen = Select::new()
        .with_prompt("Which file? (arrows and Enter; q for none)")
        .items(lines)
        .default(files.iter().position(|file| file.index == default).unwrap_or(0))
        .report(false)
        .interact_on_opt(&terminal);
    let chosen = chosen.map_err(|dialoguer::Error::IO(error)| error)?;
    Ok(chosen.and_then(|at| files.get(at)).map(|file| file.index))
}

fn line(file: &FileEntry) -> String {
    format!("{:>3}  {:>10}  {}", file.index, size(file.len), Printable(&file.display_path()))
}

/// Gives the terminal back as it was found: whoever waits for an answer may be ended without one.
#[derive(Debug)]
pub struct Restored(Option<Termios>);

impl Restored {
    /// From now on.
    pub fn when_dropped() -> Self {
        Self(tcgetattr(io::stdin()).ok())
    }
}

impl Drop for Restored {
    fn drop(&mut self) {
        let Some(kept) = &self.0 else { return };
        // A terminal that is gone needs nothing.
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, kept);
        let _ = Term::stderr().show_cursor();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::metainfo::tests::sample;

    #[test]
    fn a_line_has_number_size_and_a_harmless_path() {
        let mut file = sample(16, &[1_500_000], &[]).files.remove(0);
        file.path = vec!["a\u{1b}[2J".into(), "film.mkv".into()];
        assert_eq!(line(&file), r"  0    1.43 MiB  a\u{1b}[2J/film.mkv");
    }

    #[test]
    fn where_no_terminal_is_nobody_is_asked() {
        let file = sample(16, &[1], &[]).files.remove(0);
        assert!(io::stderr().is_terminal() || choose(&[file], 0).is_err());
    }
}
