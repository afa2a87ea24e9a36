//! Which addresses may be reached for whoever asks.
//!
//! A server that strangers can ask must not become their way into the machine's own network: what they, and whoever
//! they make it ask, name there is left alone. What the operator named is not. Pure: addresses in, answers out; it is
//! asked where an address is about to be used, after every name has become one.

use std::{
    collections::HashSet,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use url::Url;

use super::settings::SwarmSettings;

/// The rule of one process.
#[derive(Debug, Clone, Default)]
pub struct Reach {
    public_only: bool,
    peers: HashSet<SocketAddr>,
    trackers: HashSet<Url>,
}

impl Reach {
    /// As the settings say; the peers and trackers in them are the operator's.
    pub fn new(settings: &SwarmSettings) -> Self {
        Reach {
            public_only: settings.public_only,
            peers: settings.peers.iter().copied().collect(),
            trackers: settings.trackers.iter().chain(&settings.fallback_trackers).cloned().collect(),
        }
    }

    /// Whether some addresses are left alone.
    pub fn is_limited(&self) -> bool {
        self.public_only
    }

    /// Whether a peer may be dialled, whoever named it.
    pub fn peer(&self, peer: SocketAddr) -> bool {
        self.address(peer.ip()) || self.peers.contains(&peer)
    }

    /// Whether a tracker may be asked wherever its name leads.
    pub fn trusts(&self, tracker: &Url) -> bool {
        !self.public_only || self.trackers.contains(tracker)
    }

    /// The trackers that may be asked wherever their names lead.
    pub fn trusted(&self) -> impl Iterator<Item = &Url> {
        self.trackers.iter()
    }

    /// Whether an address that nobody vouches for may be reached.
    pub fn address(&self, address: IpAddr) -> bool {
        !self.public_only || !is_inside(address)
    }
}

/// Whom an address stands for: one customer has a whole IPv6 /64.
pub fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        v4 => v4,
    }
}

/// Loopback, private, link-local, shared, multicast, unspecified and reserved addresses, in either family's clothes.
pub fn is_inside(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, c, _] = v4.octets();
            v4.is_loopback()
                || v4.is_private()
                || v4.is_link_local()
                || v4.is_multicast()
                || a == 0
                || a >= 240
                || (a == 100 && (64..128).contains(&b))
                || (a, b, c) == (192, 0, 0)
                || (a == 198 && (b == 18 || b == 19))
        }
        IpAddr::V6(v6) => {
            let segments = v6.segments();
            let v4 = v6.to_ipv4();
            // NAT64 and 6to4 carry an IPv4 address that somebody will unpack.
            let [.., high, low] = segments;
            let packed = |high: u16, low: u16| {
                is_inside(Ipv4Addr::from((u32::from(high) << 16) | u32::from(low)).into())
            };
            v4.is_some_and(|v4| is_inside(v4.into()))
                || v6.is_unspecified()
                || v6.is_multicast()
                || v6.is_unique_local()
                || v6.is_unicast_link_local()
                || (segments[0] & 0xffc0) == 0xfec0
                || (segments[..2] == [0x64, 0xff9b] && packed(high, low))
                || (segments[0] == 0x2002 && packed(segments[1], segments[2]))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_addresses_are_known_in_every_form() {
        for inside in [
            "127.0.0.1",
            "127.9.9.9",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "0.0.0.0",
            "0.1.2.3",
            "100.64.0.1",
            "192.0.0.1",
            "198.18.0.1",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::1",
            "::",
            "::ffff:127.0.0.1",
            "::127.0.0.1",
            "::ffff:10.0.0.1",
            "fe80::1",
            "fc00::1",
            "fd12::1",
            "ff02::1",
            "fec0::1",
            "64:ff9b::7f00:1",
            "64:ff9b::a00:1",
            "2002:7f00:1::",
            "2002:c0a8:101::1",
        ] {
            assert!(is_inside(inside.parse().expect(inside)), "{inside}");
        }
        for outside in [
            "1.1.1.1",
            "100.63.0.1",
            "100.128.0.1",
            "172.32.0.1",
            "2606:4700::1",
            "64:ff9b::101:101",
            "2002:101:101::",
        ] {
            assert!(!is_inside(outside.parse().expect(outside)), "{outside}");
        }
    }

    #[test]
    fn what_the_operator_named_is_reached_and_its_neighbours_are_not() {
        let peer = |text: &str| text.parse::<SocketAddr>().expect(text);
        let tracker = |text: &str| Url::parse(text).expect(text);
        let mut settings = SwarmSettings {
            peers: vec![peer("127.0.0.1:6881")],
            trackers: vec![tracker("http://10.0.0.1/announce")],
            ..SwarmSettings::default()
        };
        let anywhere = Reach::new(&settings);
        assert!(anywhere.peer(peer("127.0.0.1:22")) && anywhere.trusts(&tracker("http://10.0.0.1/admin")));
        settings.public_only = true;
        let public = Reach::new(&settings);
        assert!(public.peer(peer("127.0.0.1:6881")) && public.peer(peer("1.1.1.1:6881")));
        assert!(!public.peer(peer("127.0.0.1:22")) && !public.peer(peer("[::ffff:127.0.0.1]:6881")));
        assert!(public.trusts(&tracker("http://10.0.0.1/announce")));
        assert!(!public.trusts(&tracker("http://10.0.0.1/admin")));
    }
}
