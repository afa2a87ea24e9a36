//! Whether the other side of a connection that stands still is there at all: a cable may have been cut, a phone may
//! have left the house.
//!
//! A paused player stands still too, but its kernel answers when ours asks again. Linux's own limit (`TCP_USER_TIMEOUT`)
//! cannot tell the two apart: it counts the time that a window is closed, answered or not. So what is looked at is
//! what the kernel says in `/proc/net/tcp`: how often it has asked a connection's other side in vain. Where there is
//! no such file, nobody is found missing.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use tokio_util::sync::CancellationToken;

use crate::core::sync::{Mutex, MutexGuard, lock};

/// Looks that must find a connection unanswered, one after the other. One alone may fall between a question and its
/// answer.
const LOOKS: u32 = 6;

/// The kernel's tables of connections, over IPv4 and over IPv6.
const TABLES: [&str; 2] = ["/proc/net/tcp", "/proc/net/tcp6"];
/// How they call a connection that is over, of which a busy server leaves ten thousand behind.
const TIME_WAIT: &str = "06";

/// Where a connection begins and ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Ends {
    local: (IpAddr, u16),
    remote: (IpAddr, u16),
}

impl Ends {
    /// Without what does not tell connections apart (flow labels, scopes).
    pub fn new(local: SocketAddr, remote: SocketAddr) -> Self {
        let bare = |address: SocketAddr| (address.ip(), address.port());
        Self { local: bare(local), remote: bare(remote) }
    }
}

/// What the kernel says of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Vitals {
    /// Bytes that the other side has not acknowledged.
    queued: u64,
    /// Questions in vain: retransmissions and probes of a closed window since the last answer.
    unanswered: u64,
}

impl Vitals {
    /// Whether nothing at all has come since `earlier`.
    fn is_silent_since(self, earlier: Self) -> bool {
        self.unanswered > 0 && self.unanswered >= earlier.unanswered && self.queued >= earlier.queued
    }
}

#[derive(Debug, Default)]
struct Patient {
    last: Vitals,
    silent_looks: u32,
    lost: CancellationToken,
}

impl Patient {
    fn examine(&mut self, vitals: Vitals) {
        self.silent_looks = if vitals.is_silent_since(self.last) { self.silent_looks + 1 } else { 0 };
        self.last = vitals;
        if self.silent_looks >= LOOKS {
            self.lost.cancel();
        }
    }
}

/// All connections that stand still.
#[derive(Debug)]
pub struct Pulse {
    silence: Duration,
    patients: Mutex<HashMap<Ends, Patient>>,
}

/// A connection that is being looked at, for as long as this lives.
#[derive(Debug)]
pub struct Watched {
    pulse: Arc<Pulse>,
    ends: Ends,
    /// Told when its other side is lost.
    pub lost: CancellationToken,
}

impl Pulse {
    /// Finds a connection lost that has been silent for `silence` at most.
    pub fn new(silence: Duration) -> Arc<Self> {
        Arc::new(Self { silence, patients: Mutex::default() })
    }

    /// How long a connection stands still before it is looked at, and the time between two looks. The first of them may
    /// be one such time later, and the kernel may take one to ask.
    pub fn step(&self) -> Duration {
        self.silence / (LOOKS + 2)
    }

    /// Looks at a connection from now on.
    pub fn watch(self: &Arc<Self>, ends: Ends) -> Watched {
        let patient = Patient::default();
        let lost = patient.lost.clone();
        self.patients().insert(ends, patient);
        Watched { pulse: self.clone(), ends, lost }
    }

    /// Looks again and again. Never ends.
    pub async fn look_on(self: Arc<Self>) {
        let mut steps = tokio::time::interval(self.step().max(Duration::from_millis(1)));
        steps.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            steps.tick().await;
            let tables = self.tables();
            if tables.is_empty() {
                continue;
            }
            let pulse = self.clone();
            // They are as long as the machine has connections.
            let _ =
                tokio::task::spawn_blocking(move || tables.into_iter().for_each(|table| pulse.look(table)))
                    .await;
        }
    }

    /// Those with somebody in them.
    fn tables(&self) -> Vec<&'static str> {
        let patients = self.patients();
        let is_used = |v6: bool| patients.keys().any(|ends| ends.remote.0.is_ipv6() == v6);
        TABLES.into_iter().zip([false, true]).filter(|(_, v6)| is_used(*v6)).map(|(table, _)| table).collect()
    }

    fn look(&self, table: &str) {
        self.examine(&std::fs::read_to_string(table).unwrap_or_default());
    }

    fn examine(&self, table: &str) {
        let found: Vec<_> = table.lines().filter_map(read_line).collect();
        // Connections that come and go wait for this lock.
        let mut patients = self.patients();
        for (ends, vitals) in found {
            if let Some(patient) = patients.get_mut(&ends) {
                patient.examine(vitals);
            }
        }
    }

    fn patients(&self) -> MutexGuard<'_, HashMap<Ends, Patient>> {
        lock(&self.patients)
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.pulse.patients().remove(&self.ends);
    }
}

/// One line: number, local and remote address, state, queues, timer, retransmissions, owner, probes, and more.
fn read_line(line: &str) -> Option<(Ends, Vitals)> {
    let mut words = line.split_ascii_whitespace().skip(1);
    let (local, remote) = (words.next()?, words.next()?);
    if words.next()? == TIME_WAIT {
        return None;
    }
    let (local, remote) = (read_end(local)?, read_end(remote)?);
    let (queued, _) = words.next()?.split_once(':')?;
    let retransmitted = words.nth(1)?;
    let probed: u64 = words.nth(1)?.parse().ok()?;
    let vitals = Vitals {
        queued: u64::from_str_radix(queued, 16).ok()?,
        unanswered: u64::from_str_radix(retransmitted, 16).ok()?.saturating_add(probed),
    };
    Some((Ends { local, remote }, vitals))
}

/// An address as the kernel writes it: its 32-bit words as this machine reads them, then the port.
fn read_end(text: &str) -> Option<(IpAddr, u16)> {
    let (address, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let word =
        |at: usize| Some(u32::from_str_radix(address.get(at * 8..at * 8 + 8)?, 16).ok()?.to_ne_bytes());
    let address = match address.len() {
        8 => Ipv4Addr::from(word(0)?).into(),
        32 => {
            let words = [word(0)?, word(1)?, word(2)?, word(3)?];
            Ipv6Addr::from(*words.concat().first_chunk::<16>()?).into()
        }
        _ => return None,
    };
    Some((address, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ends(local: &str, remote: &str) -> Ends {
        Ends::new(local.parse().expect(local), remote.parse().expect(remote))
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_kernels_own_tables_are_understood() {
        for place in ["127.0.0.1:0", "[::1]:0"] {
            let listener = std::net::TcpListener::bind(place).expect("a port");
            let client = std::net::TcpStream::connect(listener.local_addr().expect("an address"));
            let client = client.expect("connected");
            let ends =
                Ends::new(client.local_addr().expect("an address"), client.peer_addr().expect("an address"));
            let tables = TABLES.map(|table| std::fs::read_to_string(table).expect(table)).concat();
            let found = tables.lines().filter_map(read_line).find(|(found, _)| *found == ends);
            assert_eq!(found.expect(place).1, Vitals::default());
        }
    }

    #[cfg(target_endian = "little")]
    #[test]
    fn a_line_tells_what_waits_and_what_was_asked_in_vain() {
        let line = "  12: 0100007F:1E61 0200007F:A2C4 01 003F8600:00000000 04:00000525 00000002  1000        3 \
                    27551 2 0000000000000000";
        let (found, vitals) = read_line(line).expect("a line");
        assert_eq!(found, ends("127.0.0.1:7777", "127.0.0.2:41668"));
        assert_eq!(vitals, Vitals { queued: 0x3f_8600, unanswered: 5 });
        assert_eq!(read_line(&line.replace("0200007F:A2C4", "0200007F")), None);
        assert_eq!(read_line(&line.replace(" 01 ", " 06 ")), None);
        assert_eq!(read_line("  sl  local_address rem_address   st tx_queue rx_queue tr tm->when"), None);
    }

    /// Whether a connection is lost after these looks at it.
    fn is_lost(looks: &[(u64, u64)]) -> bool {
        let mut patient = Patient::default();
        looks.iter().for_each(|&(queued, unanswered)| patient.examine(Vitals { queued, unanswered }));
        patient.lost.is_cancelled()
    }

    #[test]
    fn whoever_answers_now_and_then_is_not_lost() {
        assert!(is_lost(&[(100, 1); 6]), "the kernel asks ever more rarely");
        assert!(is_lost(&[(100, 1), (100, 2), (100, 2), (200, 3), (200, 4), (200, 4)]));
        assert!(!is_lost(&[(100, 1); 5]));
        assert!(!is_lost(&[(100, 0); 60]), "a paused player acknowledges every probe");
        let slow: Vec<_> = (0..60).map(|look| (1000 - look, 1)).collect();
        assert!(!is_lost(&slow), "it takes a little");
        let far: Vec<_> = (0..60).map(|look| (100, if look % 6 == 5 { 0 } else { 1 })).collect();
        assert!(!is_lost(&far), "it is only far away");
        let lossy: Vec<_> = (0..60).map(|look| (100, [1, 2, 3, 4, 1][look % 5])).collect();
        assert!(!is_lost(&lossy), "the count has begun again: it has answered");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_not_in_the_table_is_left_alone() {
        let pulse = Pulse::new(Duration::from_secs(30));
        let watched = pulse.watch(ends("127.0.0.1:1", "127.0.0.1:2"));
        for _ in 0..100 {
            pulse.examine("");
        }
        assert!(!watched.lost.is_cancelled());
        assert_eq!(pulse.tables(), [TABLES[0]], "nobody came over IPv6");
        drop(watched);
        assert!(pulse.tables().is_empty());
    }
}
