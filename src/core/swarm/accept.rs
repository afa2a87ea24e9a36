//! Connections that come in, also after one that could not be taken.

use std::{io, time::Duration};

/// No descriptors are left, most likely: somebody may close one within this.
const PAUSE: Duration = Duration::from_millis(50);

/// The next one; nothing is lost when this is dropped.
pub(super) async fn next<T, F: Future<Output = io::Result<T>>>(accept: impl Fn() -> F) -> T {
    loop {
        match accept().await {
            Ok(accepted) => return accepted,
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_cannot_be_taken_now_is_taken_a_moment_later() {
        let (began, left) = (Instant::now(), Cell::new(2));
        let accept = || {
            std::future::ready(match left.replace(left.get() - 1) {
                0 => Ok("a connection"),
                _ => Err(io::ErrorKind::Other.into()),
            })
        };
        assert_eq!(next(accept).await, "a connection");
        assert_eq!(began.elapsed(), 2 * PAUSE);
    }
}
