//! Writes what goes beside the program: the shell completions, under the names that the shells look for, and a manual
//! page for the program and each sub-command:
//!
//! ```sh
//! cargo completions               # into completions/ and completions/man/
//! cargo completions /some/where
//! ```

use std::{fs, io, path::Path};

use clap::Command;
use clap_complete::{Shell, generate_to};
use clap_mangen::{
    Man,
    roff::{Roff, roman},
};

const SHELLS: [Shell; 5] = [Shell::Bash, Shell::Zsh, Shell::Fish, Shell::PowerShell, Shell::Elvish];

#[cfg_attr(test, expect(dead_code, reason = "the tests take this file as a module"))]
fn main() -> io::Result<()> {
    let directory = std::env::args_os().nth(1);
    write_to(directory.as_deref().map_or_else(|| Path::new("completions"), Path::new))
}

/// Writes one file for each shell, and the manual pages.
pub fn write_to(directory: &Path) -> io::Result<()> {
    let mut command = swarmcat::cli::command();
    for shell in SHELLS {
        generate_to(shell, &mut command, "swarmcat", directory)?;
    }
    // Generating has added a `help` to each command; the manual has no use for it.
    write_manual(swarmcat::cli::command(), &directory.join("man"))
}

/// `swarmcat.1`, `swarmcat-stream.1`, …, which name one another.
fn write_manual(command: Command, directory: &Path) -> io::Result<()> {
    fs::create_dir_all(directory)?;
    let mut command = command.disable_help_subcommand(true);
    command = command.mut_subcommands(|sub| sub.disable_help_subcommand(true));
    command.build();
    write_pages(&command, directory)
}

fn write_pages(command: &Command, directory: &Path) -> io::Result<()> {
    command.get_subcommands().try_for_each(|sub| write_pages(sub, directory))?;
    let name = command.get_display_name().unwrap_or_else(|| command.get_name());
    fs::write(directory.join(format!("{name}.1")), page(command)?)
}

fn page(command: &Command) -> io::Result<Vec<u8>> {
    let man = Man::new(command.clone())
        .source(concat!("swarmcat ", env!("CARGO_PKG_VERSION")))
        .manual("User Commands");
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    synopsis(command).to_writer(&mut page)?;
    man.render_options_section(&mut page)?;
    if command.has_subcommands() {
        man.render_subcommands_section(&mut page)?;
    }
    let more = command.get_after_long_help().map(ToString::to_string).unwrap_or_default();
    sections(&more).to_writer(&mut page)?;
    Ok(page)
}

fn synopsis(command: &Command) -> Roff {
    let usage = command.clone().render_usage().to_string();
    let usage = usage.trim_start_matches("Usage:").lines().map(str::trim).collect::<Vec<_>>().join("\n");
    let mut roff = Roff::new();
    roff.control("SH", ["SYNOPSIS"]).control("nf", []).text([roman(usage.trim())]).control("fi", []);
    roff
}

/// What the help says behind the options: paragraphs, and headings that end in a colon, with lines that stay as they are.
fn sections(help: &str) -> Roff {
    let mut roff = Roff::new();
    for (at, paragraph) in help.split("\n\n").enumerate().filter(|(_, paragraph)| !paragraph.is_empty()) {
        let (first, rest) = paragraph.split_once('\n').unwrap_or((paragraph, ""));
        let lines =
            match first.strip_suffix(':').filter(|first| !first.starts_with(' ') && !first.contains(',')) {
                Some(heading) => {
                    roff.control("SH", [heading.to_uppercase().as_str()]);
                    rest
                }
                None => {
                    roff.control(
                        if at == 0 { "SH" } else { "PP" },
                        if at == 0 { &["NOTES"][..] } else { &[] }.iter().copied(),
                    );
                    paragraph
                }
            };
        roff.control("nf", []).text([roman(lines)]).control("fi", []);
    }
    roff
}
