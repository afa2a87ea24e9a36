//! A clock that nobody sets: how long this machine has been up, and since which start.
//!
//! What two of its readings say of the time between them holds whatever was done to the calendar meanwhile.

use std::{sync::OnceLock, time::Duration};

use rustix::time::{ClockId, clock_gettime};

/// One reading, of a fixed length when written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Uptime {
    boot_id: String,
    seconds: u64,
}

impl Uptime {
    /// Now; `None` where the kernel does not tell.
    pub fn now() -> Option<Self> {
        let seconds = u64::try_from(clock_gettime(ClockId::Boottime).tv_sec).ok()?;
        Some(Self { boot_id: boot_id()?, seconds })
    }

    /// As it is written.
    pub fn line(&self) -> String {
        format!("{} {:020}\n", self.boot_id, self.seconds)
    }

    /// What [`Uptime::line`] wrote; `None` for anything else.
    pub fn parse(line: &str) -> Option<Self> {
        let (boot_id, seconds) = line.lines().next()?.split_once(' ')?;
        Some(Self { boot_id: boot_id.to_owned(), seconds: seconds.parse().ok()? })
    }

    /// The time since an earlier reading; `None` when the machine was started anew in between.
    pub fn since(&self, earlier: &Self) -> Option<Duration> {
        let same = self.boot_id == earlier.boot_id;
        same.then(|| Duration::from_secs(self.seconds.saturating_sub(earlier.seconds)))
    }
}

/// The kernel's name for this start of the machine; `None` where it has none.
pub fn boot_id() -> Option<String> {
    static BOOT_ID: OnceLock<Option<String>> = OnceLock::new();
    let read = || Some(std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?.trim().to_owned());
    BOOT_ID.get_or_init(read).clone()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readings_of_one_start_can_be_compared_and_survive_their_line() {
        let at = |boot: &str, seconds| Uptime { boot_id: boot.to_owned(), seconds };
        let (early, late) = (at("a", 5), at("a", 65));
        assert_eq!(Uptime::parse(&early.line()), Some(early.clone()));
        assert_eq!(early.line().len(), late.line().len());
        assert_eq!(late.since(&early), Some(Duration::from_secs(60)));
        assert_eq!(late.since(&at("b", 5)), None);
        assert_eq!(Uptime::parse("nothing"), None);
    }
}
