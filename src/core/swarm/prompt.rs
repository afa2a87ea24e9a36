//! Acknowledging at once what a peer says.
//!
//! Linux waits 40 ms with it, for something to say that it could go with. Most clients leave Nagle's algorithm on, and hold
//! back what they have to say next until what they said is acknowledged: of a handshake, of metadata, of the first blocks.

use tokio::net::TcpStream;

/// A connection that can acknowledge what came.
pub trait Prompt {
    /// Now, and not with the next answer; to be said after each read, as it holds until something is sent.
    fn acknowledge(&self) {}
}

impl Prompt for TcpStream {
    fn acknowledge(&self) {
        // Where it cannot be had, what is said comes later.
        let _ = self.set_quickack(true);
    }
}

#[cfg(test)]
impl Prompt for tokio::io::DuplexStream {}
