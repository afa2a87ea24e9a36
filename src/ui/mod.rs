//! What people and scripts see: progress, tables, harmless text. Knows the core's values, decides nothing.

pub mod choice;
pub mod listing;
pub mod progress;
pub mod screen;
pub mod table;
pub mod text;
