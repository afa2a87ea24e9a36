//! How one value is written, the same on the command line, in the environment and in the file. Each function
//! answers what was expected when it was not that.

use std::{
    net::{IpAddr, SocketAddr},
    num::NonZeroU32,
    time::Duration,
};

use bytesize::ByteSize;
use url::Url;

use crate::http::listen::Place;

/// The least rate limit: the swarm library moves blocks of this size through the limiter in one go, and a limiter
/// that cannot ever let one through stops the transfer for good.
pub const MIN_RATE: u32 = 16 * 1024;

/// Whether the flag may hold a token, a password or a passkey: no error shows its value.
pub fn is_secret(flag: &str) -> bool {
    ["--token", "--proxy", "--tracker"].contains(&flag)
}

/// `90s`, `5m`, `1h 30m`; more than nothing.
pub fn duration(text: &str) -> Result<Duration, String> {
    let parsed = humantime::parse_duration(text).ok().filter(|duration| !duration.is_zero());
    parsed.ok_or_else(|| "expected a duration such as 90s, 5m or 1h".into())
}

/// As [`duration`], or nothing at all: `0s`.
pub fn duration_or_zero(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|_| "expected a duration such as 0s, 30m or 1h".into())
}

/// `512MiB`, `2GB`, `1048576`.
pub fn size(text: &str) -> Result<u64, String> {
    let parsed =
        if text.starts_with(|first: char| first.is_ascii_digit()) { text.parse().ok() } else { None };
    parsed
        .map(|ByteSize(bytes)| bytes)
        .ok_or_else(|| "expected a size such as 512MiB, 2GB or a number of bytes".into())
}

/// A size that is read as bytes a second.
pub fn rate(text: &str) -> Result<NonZeroU32, String> {
    let bytes = size(text).map_err(|_| "expected bytes a second, such as 500KiB or 2MiB")?;
    let rate =
        u32::try_from(bytes).map_err(|_| "expected less than 4GiB a second; leave it out for no limit")?;
    NonZeroU32::new(rate).filter(|rate| rate.get() >= MIN_RATE).ok_or_else(|| {
        "expected at least 16KiB a second, the size of one block; leave it out for no limit".into()
    })
}

/// `192.0.2.7:6881`, `[2001:db8::7]:6881`.
pub fn peer(text: &str) -> Result<SocketAddr, String> {
    let parsed = text.parse().ok().filter(|peer: &SocketAddr| peer.port() != 0);
    parsed
        .ok_or_else(|| "expected an address and a port, such as 192.0.2.7:6881 or [2001:db8::7]:6881".into())
}

/// An HTTP or UDP tracker.
pub fn tracker(text: &str) -> Result<Url, String> {
    let fits = |url: &Url| match url.scheme() {
        "http" | "https" => url.has_host(),
        "udp" => url.has_host() && url.port().is_some(),
        _ => false,
    };
    Url::parse(text).ok().filter(fits).ok_or_else(|| {
        "expected a tracker such as https://tracker.example/announce or udp://tracker.example:6969/announce".into()
    })
}

/// A SOCKS5 proxy, with or without a user.
pub fn proxy(text: &str) -> Result<Url, String> {
    let fits = |url: &Url| url.scheme() == "socks5" && url.has_host() && url.port().is_some();
    let parsed = Url::parse(text).ok().filter(fits);
    parsed.ok_or_else(|| "expected socks5://HOST:PORT or socks5://USER:PASSWORD@HOST:PORT".into())
}

/// `router.example:6881`: a name or an address, and a port.
pub fn host_port(text: &str) -> Result<String, String> {
    let fits = |(host, port): &(&str, &str)| {
        let bracketed = host.starts_with('[') && host.ends_with(']');
        let plain = !host.is_empty() && !host.contains([':', '/', '@', ' ', '[', ']']);
        (bracketed || plain) && port.parse().is_ok_and(|port: u16| port != 0)
    };
    text.rsplit_once(':')
        .filter(fits)
        .map(|_| text.to_owned())
        .ok_or_else(|| "expected HOST:PORT, such as router.example:6881".into())
}

/// Where to listen: `127.0.0.1:7000`, `unix:/run/swarmcat.sock`.
pub fn place(text: &str) -> Result<Place, String> {
    text.parse()
}

/// What the server is called from outside: `https://tv.example/`.
pub fn http_url(text: &str) -> Result<Url, String> {
    let fits = |url: &Url| {
        matches!(url.scheme(), "http" | "https")
            && url.has_host()
            && url.query().is_none()
            && url.username().is_empty()
    };
    let parsed = Url::parse(text).ok().filter(fits);
    parsed.ok_or_else(|| "expected a URL such as https://tv.example/".into())
}

/// A site as browsers name it: `https://host`, with a port that is not the usual one; or `*` for all.
pub fn origin(text: &str) -> Result<String, String> {
    if text == "*" {
        return Ok(text.to_owned());
    }
    let url = http_url(text).ok().filter(|url| url.path() == "/");
    url.map(|url| url.origin().ascii_serialization())
        .ok_or_else(|| "expected a site such as https://player.example, or *".into())
}

/// An address.
pub fn address(text: &str) -> Result<IpAddr, String> {
    text.parse().map_err(|_| "expected an address such as 127.0.0.1 or 2001:db8::7".into())
}

/// A port; 0 is any free one.
pub fn port(text: &str) -> Result<u16, String> {
    text.parse().map_err(|_| "expected a port from 0 (any free one) to 65535".into())
}

/// A count of at least one.
pub fn count(text: &str) -> Result<NonZeroU32, String> {
    text.parse().map_err(|_| "expected a number of at least 1".into())
}

/// How many peers: at least one.
pub fn peer_limit(text: &str) -> Result<usize, String> {
    count(text).map(|count| count.get() as usize)
}

/// The name of a network device.
pub fn device(text: &str) -> Result<String, String> {
    // IFNAMSIZ is 16 with the closing NUL, and the kernel refuses slashes and spaces.
    let fits = (1..16).contains(&text.len()) && !text.contains(['/', ' ', '\0']);
    fits.then(|| text.to_owned()).ok_or_else(|| "expected a network device such as eth0 or wg0".into())
}
