//! The block broker: a loopback SOCKS5 server between librqbit and every peer, and the scheduler behind it.
//!
//! librqbit asks one peer for a whole piece and lets a seek wait behind what it asked before. Every connection that it
//! makes comes through here, so that here it is decided which block is asked of whom, and when: what readers wait for first,
//! of every peer that can bring it in time; librqbit's own requests in the room that is left.

mod blame;
mod desk;
mod peers;
mod picker;
mod pieces;
mod rate;
#[cfg(test)]
mod simulations;
#[cfg(test)]
mod simulator;
