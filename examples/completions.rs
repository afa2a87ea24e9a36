//! Writes the shell completions, under the names that the shells look for:
//!
//! ```sh
//! cargo completions               # into completions/
//! cargo completions /some/where
//! ```

use std::{io, path::Path};

use clap_complete::{Shell, generate_to};

const SHELLS: [Shell; 5] = [Shell::Bash, Shell::Zsh, Shell::Fish, Shell::PowerShell, Shell::Elvish];

#[cfg_attr(test, expect(dead_code, reason = "the tests take this file as a module"))]
fn main() -> io::Result<()> {
    let directory = std::env::args_os().nth(1);
    write_to(directory.as_deref().map_or_else(|| Path::new("completions"), Path::new))
}

/// Writes one file for each shell.
pub fn write_to(directory: &Path) -> io::Result<()> {
    let mut command = swarmcat::cli::command();
    for shell in SHELLS {
        generate_to(shell, &mut command, "swarmcat", directory)?;
    }
    Ok(())
}
