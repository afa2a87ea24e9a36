//! What people and scripts are shown: progress, tables and harmless text. Knows values of the core, never how
//! they came about.

pub mod json;
pub mod progress;
pub mod screen;
pub mod text;
