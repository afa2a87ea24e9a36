//! What a torrent can be named by: info hash, magnet URI, metainfo file, URL, or metainfo on stdin.
//!
//! Only parsing happens here; nothing is opened or fetched. What a magnet says is taken apart strictly and
//! bounded, because everything in it was written by a stranger.

use std::{fmt, ops::RangeInclusive, path::PathBuf, str::FromStr};

use url::Url;

use super::Error;

/// Longer texts are refused before they are taken apart: real magnets stay below a few KiB.
const MAX_SOURCE_LEN: usize = 64 * 1024;
/// Trackers taken from one magnet; a dozen is common, hundreds are spam that would delay every round.
const MAX_TRACKERS: usize = 20;
/// Peers taken from one magnet.
const MAX_PEERS: usize = 50;
/// Ranges taken from one `so=`.
const MAX_SELECTED_RANGES: usize = 1000;

/// A v1 info hash: 20 bytes, printed as lower hex.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct InfoHash([u8; 20]);

impl InfoHash {
    /// From its bytes.
    pub const fn new(bytes: [u8; 20]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    pub const fn bytes(&self) -> &[u8; 20] {
        &self.0
    }
}

impl fmt::Display for InfoHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&data_encoding::HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for InfoHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for InfoHash {
    type Err = Error;

    /// 40 hex or 32 base32 characters, either case.
    fn from_str(text: &str) -> Result<Self, Error> {
        let decoded = match text.len() {
            40 => data_encoding::HEXLOWER_PERMISSIVE.decode(text.as_bytes()).ok(),
            32 => data_encoding::BASE32.decode(text.to_ascii_uppercase().as_bytes()).ok(),
            _ => None,
        };
        decoded.and_then(|bytes| bytes.try_into().ok()).map(InfoHash).ok_or_else(|| {
            Error::BadSource(format!(
                "{:?} is not an info hash (40 hex or 32 base32 characters)",
                beginning(text)
            ))
        })
    }
}

impl serde::Serialize for InfoHash {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for InfoHash {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// What `stream` was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A bare info hash.
    Hash(InfoHash),
    /// A magnet URI.
    Magnet(Magnet),
    /// A `.torrent` file.
    File(PathBuf),
    /// The http(s) URL of a `.torrent` file.
    Url(Url),
    /// A `.torrent` file on stdin.
    Stdin,
}

impl FromStr for Source {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let text = text.trim();
        if text.len() > MAX_SOURCE_LEN {
            return Err(Error::BadSource(format!("source is {} bytes long: not a torrent", text.len())));
        }
        if text == "-" {
            return Ok(Source::Stdin);
        }
        match text.split_once(':').map(|(scheme, _)| scheme.to_ascii_lowercase()).as_deref() {
            Some("magnet") => text.parse().map(Source::Magnet),
            Some("http" | "https") => Url::parse(text)
                .map(Source::Url)
                .map_err(|error| Error::BadSource(format!("{text:?} is not a URL: {error}"))),
            _ => hash_or_file(text),
        }
    }
}

fn hash_or_file(text: &str) -> Result<Source, Error> {
    if let Ok(hash) = text.parse() {
        return Ok(Source::Hash(hash));
    }
    let is_hex = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_hex && (text.len() == 64 || (text.len() == 68 && text.starts_with("1220"))) {
        return Err(v2_only());
    }
    let path = PathBuf::from(text);
    if path.exists() {
        return Ok(Source::File(path));
    }
    if text.ends_with(".torrent") || text.contains('/') {
        return Err(Error::BadSource(format!("no such file: {text:?}")));
    }
    Err(no_source(text))
}

/// Enough of a text to know it again.
fn beginning(text: &str) -> String {
    text.chars().take(100).collect()
}

fn no_source(text: &str) -> Error {
    let shown = beginning(text);
    Error::BadSource(format!(
        "{shown:?} is not a torrent: expected an info hash (40 hex or 32 base32 characters), a magnet URI, \
         a .torrent file or URL, or - for a .torrent on stdin"
    ))
}

fn v2_only() -> Error {
    Error::BadSource(
        "this is a BitTorrent v2 info hash, and v2 is not supported: use the v1 info hash, if the torrent has one"
            .into(),
    )
}

/// A magnet URI, taken apart; what it names twice or wrongly is left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Magnet {
    /// `xt=urn:btih:`
    pub info_hash: InfoHash,
    /// `tr=`: http, https and udp trackers, at most 20.
    pub trackers: Vec<Url>,
    /// `x.pe=`: `host:port` of peers, at most 50.
    pub peers: Vec<String>,
    /// `so=`: the files that the link means, as 0-based index ranges (BEP 53).
    pub selected: Vec<RangeInclusive<usize>>,
    /// `ws=`: web seeds.
    pub web_seeds: Vec<Url>,
    /// `dn=`: the name (foreign text).
    pub name: Option<String>,
}

impl Magnet {
    /// A magnet that says no more than the hash.
    pub fn bare(info_hash: InfoHash) -> Self {
        Magnet {
            info_hash,
            trackers: Vec::new(),
            peers: Vec::new(),
            selected: Vec::new(),
            web_seeds: Vec::new(),
            name: None,
        }
    }
}

impl FromStr for Magnet {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let url = Url::parse(text).map_err(|error| bad_magnet(&error.to_string()))?;
        let pairs: Vec<(String, String)> =
            url.query_pairs().map(|(key, value)| (bare_key(&key), value.into_owned())).collect();
        let mut magnet = Magnet::bare(exact_topic(&pairs)?);
        for (key, value) in &pairs {
            magnet.take(key, value);
        }
        Ok(magnet)
    }
}

/// `xt.1` and `tr.2` mean `xt` and `tr`; `x.pe` is a name of its own.
fn bare_key(key: &str) -> String {
    let key = key.to_ascii_lowercase();
    match key.split_once('.') {
        Some((name, number)) if number.bytes().all(|byte| byte.is_ascii_digit()) => name.to_owned(),
        _ => key,
    }
}

/// The one v1 info hash among the `xt`s; other kinds of topic are passed over, a v2 topic alone is refused.
fn exact_topic(pairs: &[(String, String)]) -> Result<InfoHash, Error> {
    let mut found = None;
    let mut v2 = false;
    for topic in pairs.iter().filter(|(key, _)| key == "xt").map(|(_, value)| value) {
        let lower = topic.to_ascii_lowercase();
        v2 |= lower.starts_with("urn:btmh:");
        if !lower.starts_with("urn:btih:") {
            continue;
        }
        let hash: InfoHash = topic["urn:btih:".len()..].parse().map_err(|_| {
            bad_magnet("its info hash is not 40 hex or 32 base32 characters (is the link quoted and whole?)")
        })?;
        if found.is_some_and(|other| other != hash) {
            return Err(bad_magnet("it names two different torrents"));
        }
        found = Some(hash);
    }
    match found {
        Some(hash) => Ok(hash),
        None if v2 => Err(v2_only()),
        None => Err(bad_magnet("it has no xt=urn:btih: (is the link quoted and whole?)")),
    }
}

fn bad_magnet(reason: &str) -> Error {
    Error::BadSource(format!("not a usable magnet link: {reason}"))
}

impl Magnet {
    fn take(&mut self, key: &str, value: &str) {
        match key {
            "tr" if self.trackers.len() < MAX_TRACKERS => self.trackers.extend(tracker_url(value)),
            "x.pe" if self.peers.len() < MAX_PEERS => self.peers.extend(host_and_port(value)),
            "so" => self.selected = selected_files(value),
            "ws" if self.web_seeds.len() < MAX_TRACKERS => self.web_seeds.extend(http_url(value)),
            "dn" if self.name.is_none() => self.name = Some(value.chars().take(255).collect()),
            _ => {}
        }
        dedup(&mut self.trackers);
        dedup(&mut self.peers);
    }
}

/// A tracker URL of a kind that can be announced to.
pub fn tracker_url(text: &str) -> Option<Url> {
    let url = Url::parse(text).ok()?;
    let usable = matches!(url.scheme(), "http" | "https") || (url.scheme() == "udp" && url.port().is_some());
    (usable && url.has_host()).then_some(url)
}

fn http_url(text: &str) -> Option<Url> {
    Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https"))
}

fn host_and_port(text: &str) -> Option<String> {
    let (host, port) = text.rsplit_once(':')?;
    let port: u16 = port.parse().ok()?;
    (port != 0 && !host.is_empty() && host.len() < 256).then(|| text.to_owned())
}

/// `0,2,4-6` as ranges, never spelt out: `0-99999999999` must cost nothing.
fn selected_files(text: &str) -> Vec<RangeInclusive<usize>> {
    let range = |item: &str| -> Option<RangeInclusive<usize>> {
        let (first, last) = item.split_once('-').unwrap_or((item, item));
        let (first, last) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
        (first <= last).then_some(first..=last)
    };
    text.split(',').take(MAX_SELECTED_RANGES).filter_map(range).collect()
}

fn dedup<T: PartialEq>(items: &mut Vec<T>) {
    if let Some((last, rest)) = items.split_last()
        && rest.contains(last)
    {
        items.pop();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HEX: &str = "453475aec9bb4de3423649db8aa3cd2312538ca7";

    fn magnet(text: &str) -> Magnet {
        match text.parse() {
            Ok(Source::Magnet(magnet)) => magnet,
            other => panic!("{text}: {other:?}"),
        }
    }

    fn refusal(text: &str) -> String {
        text.parse::<Source>().expect_err(text).to_string()
    }

    #[test]
    fn hash_is_read_in_hex_and_base32_and_printed_in_lower_hex() {
        let hash: InfoHash = HEX.to_uppercase().parse().unwrap();
        assert_eq!(hash.to_string(), HEX);
        let base32 = data_encoding::BASE32.encode(hash.bytes());
        assert_eq!(base32.parse::<InfoHash>().unwrap(), hash);
        assert_eq!(base32.to_lowercase().parse::<Source>().unwrap(), Source::Hash(hash));
    }

    #[test]
    fn v2_hashes_are_named_as_such() {
        assert!(refusal(&"ab".repeat(32)).contains("v2 is not supported"));
        assert!(refusal(&format!("1220{}", "ab".repeat(32))).contains("v2 is not supported"));
        assert!(refusal(&format!("magnet:?xt=urn:btmh:1220{}", "ab".repeat(32))).contains("v2"));
    }

    #[test]
    fn hybrid_magnet_is_taken_by_its_v1_hash() {
        let text = format!("magnet:?xt=urn:btmh:1220{}&xt=urn:btih:{HEX}", "ab".repeat(32));
        assert_eq!(magnet(&text).info_hash.to_string(), HEX);
    }

    #[test]
    fn magnet_gives_up_trackers_peers_selection_web_seeds_and_name() {
        let found = magnet(&format!(
            "magnet:?xt.1=urn:btih:{HEX}&tr=http%3A%2F%2Ft.example%2Fannounce&tr.1=udp://u.example:6969\
             &tr=wss://w.example&x.pe=192.0.2.7:6881&x.pe=nonsense&so=0,2-4,9-1&ws=http://w.example/f&dn=A+name"
        ));
        let trackers: Vec<_> = found.trackers.iter().map(Url::as_str).collect();
        assert_eq!(trackers, ["http://t.example/announce", "udp://u.example:6969"]);
        assert_eq!(found.peers, ["192.0.2.7:6881"]);
        assert_eq!(found.selected, [0..=0, 2..=4]);
        assert_eq!(found.web_seeds.len(), 1);
        assert_eq!(found.name.as_deref(), Some("A name"));
    }

    #[test]
    fn magnet_lists_are_bounded() {
        let many: String =
            (0..500).map(|n| format!("&tr=http://t{n}.example/&x.pe=10.0.0.1:{}", n + 1)).collect();
        let found = magnet(&format!("magnet:?xt=urn:btih:{HEX}{many}&so=0-99999999999"));
        assert_eq!(found.trackers.len(), MAX_TRACKERS);
        assert_eq!(found.peers.len(), MAX_PEERS);
        assert_eq!(found.selected, [0..=99_999_999_999]);
    }

    #[test]
    fn cut_or_contradicting_magnets_say_so() {
        assert!(refusal("magnet:?xt=urn:btih:453475aec9bb").contains("quoted"));
        assert!(refusal("magnet:?dn=x").contains("no xt=urn:btih:"));
        let two = format!("magnet:?xt=urn:btih:{HEX}&xt=urn:btih:{}", "0".repeat(40));
        assert!(refusal(&two).contains("two different torrents"));
    }

    #[test]
    fn what_is_no_torrent_is_told_what_would_be() {
        assert!(refusal("hello").contains("expected an info hash"));
        assert!(refusal("missing.torrent").contains("no such file"));
        assert!(refusal("").contains("expected an info hash"));
    }

    proptest! {
        #[test]
        fn any_text_is_parsed_or_refused_and_never_panics(text in "\\PC{0,200}") {
            let _ = text.parse::<Source>();
            let _ = format!("magnet:?{text}").parse::<Source>();
            let _ = format!("magnet:?xt=urn:btih:{HEX}&{text}").parse::<Source>();
        }

        #[test]
        fn every_hash_survives_print_and_parse(bytes in prop::array::uniform20(any::<u8>())) {
            let hash = InfoHash::new(bytes);
            prop_assert_eq!(hash.to_string().parse::<InfoHash>().unwrap(), hash);
        }
    }
}
