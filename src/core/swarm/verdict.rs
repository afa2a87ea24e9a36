//! Why an attempt that found no data failed. Pure: what was seen in, the kind of failure out.

use std::time::Duration;

use crate::core::{Error, failed::FailureKind, reasons, source::InfoHash, status::PeerReport};

/// What an attempt saw of the world.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Evidence {
    /// The DHT or a tracker was asked.
    pub asked_outside: bool,
    /// DHT nodes in the routing table.
    pub dht_nodes: usize,
    /// Trackers that showed that the network works: an answer, or a refusal.
    pub trackers_heard: usize,
    /// Peer addresses learnt.
    pub peers_seen: usize,
    /// Peers that refused the connection outright.
    pub peers_refused: usize,
    /// Dials that our own network stack gave up on (no route).
    pub dials_without_route: usize,
    /// Peers that took the connection.
    pub peers_reached: usize,
    /// Peers that spoke BitTorrent and have this torrent.
    pub peers_greeted: usize,
}

impl Evidence {
    /// Whether anything out there was heard at all.
    pub fn is_online(&self) -> bool {
        self.dht_nodes > 0 || self.trackers_heard > 0 || self.peers_reached > 0 || self.peers_refused > 0
    }

    fn is_offline(&self) -> bool {
        let all_dials_lack_a_route = self.peers_seen > 0 && self.dials_without_route >= self.peers_seen;
        !self.is_online() && (self.asked_outside || all_dials_lack_a_route)
    }
}

/// The failure that the evidence speaks for, after `waited`; the peers say why.
pub fn judge(info_hash: InfoHash, seen: &Evidence, peers: &[PeerReport], waited: Duration) -> Error {
    if seen.is_offline() {
        return Error::Offline("no DHT node, no tracker and no peer ever answered".into());
    }
    let waited = Duration::from_secs(waited.as_secs().max(1));
    let after = humantime::format_duration(waited);
    let why = reasons::in_a_failure(peers);
    let (kind, reason) = if seen.peers_greeted > 0 {
        (FailureKind::Timeout, reasons::no_data(waited, peers))
    } else if seen.peers_reached > 0 {
        let peers = plural(seen.peers_reached);
        (
            FailureKind::ConnectionError,
            format!("{peers} took the connection, but none would talk within {after} ({why})"),
        )
    } else if seen.peers_seen > 0 {
        let peers = plural(seen.peers_seen);
        (FailureKind::NoPeers, format!("no peers found after {after} ({peers} known, none reachable: {why})"))
    } else {
        (FailureKind::NoPeers, format!("no peers found after {after}"))
    };
    Error::Failed { info_hash, kind, reason }
}

fn plural(peers: usize) -> String {
    if peers == 1 { "1 peer".into() } else { format!("{peers} peers") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::{reasons::Reason, status::PeerState};

    fn verdict(seen: Evidence) -> String {
        let reasons = [Reason::Mute, Reason::Refused, Reason::Refused];
        let peer = |why| PeerReport::absent(([192, 0, 2, 1], 1).into(), PeerState::Refused, Some(why));
        match judge(InfoHash::new([1; 20]), &seen, &reasons.map(peer), Duration::from_secs(60)) {
            Error::Failed { kind, reason, .. } => format!("{kind:?}: {reason}"),
            Error::Offline(_) => "offline".into(),
            other => panic!("{other}"),
        }
    }

    #[test]
    fn every_kind_has_its_evidence() {
        let none = Evidence { asked_outside: true, ..Evidence::default() };
        assert_eq!(verdict(none), "offline");
        assert_eq!(verdict(Evidence { dht_nodes: 9, ..none }), "NoPeers: no peers found after 1m");
        let stale = Evidence { trackers_heard: 1, peers_seen: 4, ..none };
        assert_eq!(
            verdict(stale),
            "NoPeers: no peers found after 1m (4 peers known, none reachable: 2 refused the connection, 1 connected and silent)"
        );
        let deaf = Evidence { peers_reached: 1, ..stale };
        assert_eq!(
            verdict(deaf),
            "ConnectionError: 1 peer took the connection, but none would talk within 1m \
             (2 refused the connection, 1 connected and silent)"
        );
        let greeted = verdict(Evidence { peers_greeted: 1, ..deaf });
        assert!(
            greeted.starts_with("Timeout: peers answered, but no data came within 1m (2 refused"),
            "{greeted}"
        );
    }

    #[test]
    fn only_our_own_missing_route_makes_peers_alone_an_offline_verdict() {
        let peers = Evidence { peers_seen: 2, ..Evidence::default() };
        assert!(verdict(peers).starts_with("NoPeers"));
        assert_eq!(verdict(Evidence { dials_without_route: 2, ..peers }), "offline");
        assert!(verdict(Evidence { dials_without_route: 1, ..peers }).starts_with("NoPeers"));
        assert!(verdict(Evidence { peers_refused: 1, asked_outside: true, ..peers }).starts_with("NoPeers"));
    }
}
