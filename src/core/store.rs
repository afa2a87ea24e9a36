//! File lock and atomic replace.
