//! From a parsed command line to calls on the core.

pub mod player;
