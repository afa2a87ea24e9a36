//! What people see: escaped text, tables, progress. Knows the core's values, decides nothing.

pub mod table;
pub mod text;
