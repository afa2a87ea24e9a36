//! The `swarmcat` command: everything is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    swarmcat::app::main()
}
