//! One announce to one tracker, HTTP or UDP, bounded in time and memory.
//!
//! These announces are how an attempt knows which tracker answered, and how its rounds move on when none does. librqbit's
//! own tell nobody what came of them, and read an answer of any length.

use std::{
    collections::HashSet,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use librqbit_bencode::{BencodeValueBorrowed, ByteBuf, dyn_from_bytes};
use librqbit_core::Id20;
use percent_encoding::{NON_ALPHANUMERIC, percent_encode};
use reqwest::dns::{Name, Resolve, Resolving};
use tokio::net::UdpSocket;
use url::{Host, Url};

use super::bencode::is_well_formed;
use crate::core::{
    reach::{Reach, is_inside},
    settings::SwarmSettings,
    source::InfoHash,
};

/// A tracker that has not answered in full by then is as good as down for this round.
const ANNOUNCE_TIMEOUT: Duration = Duration::from_secs(10);
/// 200 peers are 1.2 KiB; anything near this is not an answer.
const MAX_ANSWER: usize = 1 << 20;
/// Peers asked for.
const WANTED: u32 = 100;
/// A datagram may get lost: it is sent again after this.
const UDP_RESEND: Duration = Duration::from_secs(3);
/// Addresses of a UDP tracker's name that are asked, each for its part of the time: two for either family, and each at
/// least once before the first question would be sent again.
const MOST_ADDRESSES: usize = 4;
/// What a UDP conversation starts with (BEP 15).
const UDP_MAGIC: u64 = 0x0417_2710_1980;

/// Why a tracker gave no peers.
#[derive(Debug, thiserror::Error)]
#[error("{reason}")]
pub struct Unanswered {
    /// For people.
    pub reason: String,
    /// It did answer, so the network between is up.
    pub network_is_up: bool,
}

fn silent(reason: impl Into<String>) -> Unanswered {
    Unanswered { reason: reason.into(), network_is_up: false }
}

fn refused(reason: impl Into<String>) -> Unanswered {
    Unanswered { reason: reason.into(), network_is_up: true }
}

/// What a tracker is told of a torrent.
#[derive(Debug, Clone, Copy)]
pub struct Transfer {
    /// Bytes sent to peers.
    pub uploaded: u64,
    /// Bytes received and verified.
    pub downloaded: u64,
    /// Bytes still wanted.
    pub left: u64,
    /// The first announce of this torrent.
    pub started: bool,
}

impl Transfer {
    /// Before anything is known of the torrent. What is left is anything but 0, which would make us a seed that
    /// other seeds are not told of.
    pub const UNKNOWN: Transfer =
        Transfer { uploaded: 0, downloaded: 0, left: u32::MAX as u64, started: true };
}

/// What a tracker answers.
#[derive(Debug, PartialEq, Eq)]
pub struct Answer {
    /// Peers, as far as they can be dialled.
    pub peers: Vec<SocketAddr>,
    /// When it wants to hear of us again.
    pub pace: Pace,
}

/// When a tracker wants to hear of us again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Pace {
    /// As a rule.
    pub interval: Duration,
    /// By no means sooner, if it says so.
    pub at_least: Option<Duration>,
}

/// Announces one torrent at a time to any tracker.
#[derive(Clone)]
pub struct Announcer {
    /// For trackers that may be anywhere.
    http: reqwest::Client,
    /// For the others.
    guarded: reqwest::Client,
    reach: Reach,
    /// UDP would bypass a proxy.
    udp: bool,
    ipv4_only: bool,
    device: Option<String>,
    peer_id: Id20,
    port: u16,
}

impl Announcer {
    /// HTTP through the user's proxy or device; UDP only where no proxy would be bypassed.
    pub fn new(settings: &SwarmSettings, peer_id: Id20, port: u16) -> Result<Self, reqwest::Error> {
        let reach = Reach::new(settings);
        let trusted = reach.trusted().filter_map(Url::host_str).map(str::to_owned).collect();
        Ok(Announcer {
            http: client(settings, ANNOUNCE_TIMEOUT, reach.is_limited().then_some(trusted), false)?,
            guarded: client(settings, ANNOUNCE_TIMEOUT, Some(HashSet::new()), true)?,
            reach,
            udp: settings.proxy.is_none(),
            ipv4_only: settings.ipv4_only,
            device: settings.bind_device.clone(),
            peer_id,
            port,
        })
    }

    /// What a tracker answers, within ten seconds. Peers that must not be dialled are left out.
    pub async fn announce(
        &self,
        tracker: &Url,
        info_hash: InfoHash,
        transfer: Transfer,
    ) -> Result<Answer, Unanswered> {
        let announcing = async {
            match tracker.scheme() {
                "udp" => self.announce_udp(tracker, info_hash, transfer).await,
                _ => self.announce_http(tracker, info_hash, transfer).await,
            }
        };
        let answered = tokio::time::timeout(ANNOUNCE_TIMEOUT, announcing).await;
        let mut answer = answered.unwrap_or_else(|_| Err(silent(NO_ANSWER)))?;
        let named = answer.peers.len();
        answer.peers.retain(|peer| self.reach.peer(*peer));
        if answer.peers.len() < named {
            tracing::info!(
                "torrent {info_hash}: {} of {named} peers that a tracker named are in private networks, and left \
                 alone without --allow-private-peers",
                named - answer.peers.len()
            );
        }
        Ok(answer)
    }

    async fn announce_http(
        &self,
        tracker: &Url,
        info_hash: InfoHash,
        transfer: Transfer,
    ) -> Result<Answer, Unanswered> {
        let trusted = self.reach.trusts(tracker);
        if !trusted && leads_inside(tracker) {
            return Err(silent(INSIDE));
        }
        let client = if trusted { &self.http } else { &self.guarded };
        let url = self.announce_url(tracker, info_hash, transfer);
        let mut response = client.get(url).send().await.map_err(from_reqwest)?;
        if !response.status().is_success() {
            return Err(refused(format!("it answered {}", response.status())));
        }
        let mut body = Vec::new();
        while let Some(part) = response.chunk().await.map_err(from_reqwest)? {
            if body.len() + part.len() > MAX_ANSWER {
                return Err(refused("its answer is oversized"));
            }
            body.extend_from_slice(&part);
        }
        read_answer(&body)
    }

    fn announce_url(&self, tracker: &Url, info_hash: InfoHash, transfer: Transfer) -> Url {
        let Transfer { uploaded, downloaded, left, started } = transfer;
        let event = if started { "&event=started" } else { "" };
        let own = tracker.query().map(|own| format!("{own}&")).unwrap_or_default();
        let query = format!(
            "{own}info_hash={}&peer_id={}&port={}&uploaded={uploaded}&downloaded={downloaded}&left={left}\
             &compact=1&no_peer_id=1&numwant={WANTED}{event}",
            percent_encode(info_hash.bytes(), NON_ALPHANUMERIC),
            percent_encode(&self.peer_id.0, NON_ALPHANUMERIC),
            self.port,
        );
        let mut url = tracker.clone();
        url.set_query(Some(&query));
        url
    }

    async fn announce_udp(
        &self,
        tracker: &Url,
        info_hash: InfoHash,
        transfer: Transfer,
    ) -> Result<Answer, Unanswered> {
        if !self.udp {
            return Err(silent("UDP cannot go through the proxy"));
        }
        let host = tracker.host_str().unwrap_or_default().trim_matches(['[', ']']);
        let addresses = tokio::net::lookup_host((host, tracker.port().unwrap_or(80))).await;
        let addresses = addresses.map_err(|error| silent(error.to_string()))?;
        let usable = addresses.filter(|address| address.is_ipv4() || !self.ipv4_only);
        let usable: Vec<SocketAddr> = usable.take(MOST_ADDRESSES).collect();
        let allowed = |address: &SocketAddr| self.reach.trusts(tracker) || self.reach.address(address.ip());
        let allowed: Vec<SocketAddr> = usable.iter().copied().filter(allowed).collect();
        if allowed.is_empty() && !usable.is_empty() {
            return Err(silent(INSIDE));
        }
        self.converse_with_one_of(&allowed, &self.announce_fields(info_hash, transfer)).await
    }

    /// One that is silent leaves the others their time.
    async fn converse_with_one_of(
        &self,
        trackers: &[SocketAddr],
        fields: &[u8],
    ) -> Result<Answer, Unanswered> {
        let mut last = silent("its name has no address");
        let each = ANNOUNCE_TIMEOUT / trackers.len().max(1) as u32;
        for tracker in trackers {
            match tokio::time::timeout(each, self.converse(*tracker, fields)).await {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(error)) => last = error,
                Err(_) => last = silent(NO_ANSWER),
            }
        }
        Err(last)
    }

    /// Connect and announce (BEP 15).
    async fn converse(&self, tracker: SocketAddr, fields: &[u8]) -> Result<Answer, Unanswered> {
        let cut_short = || refused("its answer is cut short");
        let socket = self.socket(tracker).await.map_err(from_io)?;
        let answer = ask(&socket, &UDP_MAGIC.to_be_bytes(), 0, &[]).await?;
        let answer = ask(&socket, answer.get(..8).ok_or_else(cut_short)?, 1, fields).await?;
        // Leechers and seeders come between the interval and the peers.
        let (interval, peers) = answer.split_first_chunk().zip(answer.get(12..)).ok_or_else(cut_short)?;
        Ok(Answer {
            peers: if tracker.is_ipv4() { compact_v4(peers) } else { compact_v6(peers) },
            pace: Pace {
                interval: Duration::from_secs(u32::from_be_bytes(*interval.0).into()),
                at_least: None,
            },
        })
    }

    async fn socket(&self, tracker: SocketAddr) -> io::Result<UdpSocket> {
        let any: IpAddr =
            if tracker.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        let socket = UdpSocket::bind((any, 0)).await?;
        if let Some(device) = &self.device {
            socket.bind_device(Some(device.as_bytes()))?;
        }
        socket.connect(tracker).await?;
        Ok(socket)
    }

    fn announce_fields(&self, info_hash: InfoHash, transfer: Transfer) -> Vec<u8> {
        const STARTED: u32 = 2;
        let event = if transfer.started { STARTED } else { 0 };
        let mut fields = Vec::with_capacity(82);
        fields.extend_from_slice(info_hash.bytes());
        fields.extend_from_slice(&self.peer_id.0);
        for number in [transfer.downloaded, transfer.left, transfer.uploaded] {
            fields.extend_from_slice(&number.to_be_bytes());
        }
        // Event, our address (0: as seen by the tracker), a key, how many peers.
        for number in [event, 0, rand::random(), WANTED] {
            fields.extend_from_slice(&number.to_be_bytes());
        }
        fields.extend_from_slice(&self.port.to_be_bytes());
        fields
    }
}

/// One question and the body of its answer.
async fn ask(socket: &UdpSocket, head: &[u8], action: u32, fields: &[u8]) -> Result<Vec<u8>, Unanswered> {
    let transaction: [u8; 4] = rand::random();
    let question = [head, &action.to_be_bytes(), &transaction, fields].concat();
    let mut buf = vec![0; 4096];
    loop {
        socket.send(&question).await.map_err(from_io)?;
        let Ok(len) = tokio::time::timeout(UDP_RESEND, hear(socket, &mut buf, transaction)).await else {
            continue;
        };
        let (kind, body) = (&buf[..4], &buf[8..len.map_err(from_io)?]);
        if kind == action.to_be_bytes() {
            return Ok(body.to_vec());
        }
        return Err(refused(format!("it said: {}", String::from_utf8_lossy(body))));
    }
}

/// The next datagram that answers `transaction`; anything else is late or forged.
async fn hear(socket: &UdpSocket, buf: &mut [u8], transaction: [u8; 4]) -> io::Result<usize> {
    loop {
        let len = socket.recv(buf).await?;
        if len >= 8 && buf[4..8] == transaction {
            return Ok(len);
        }
    }
}

fn read_answer(body: &[u8]) -> Result<Answer, Unanswered> {
    let nonsense = || refused("its answer makes no sense");
    if !is_well_formed(body) {
        return Err(nonsense());
    }
    let answer = match dyn_from_bytes::<ByteBuf<'_>>(body) {
        Ok(BencodeValueBorrowed::Dict(answer)) => answer,
        _ => return Err(nonsense()),
    };
    if let Some(BencodeValueBorrowed::Bytes(reason)) = answer.get(&ByteBuf(b"failure reason")) {
        return Err(refused(format!("it said: {}", String::from_utf8_lossy(reason.as_ref()))));
    }
    let mut peers = match answer.get(&ByteBuf(b"peers")) {
        Some(BencodeValueBorrowed::Bytes(compact)) => compact_v4(compact.as_ref()),
        Some(BencodeValueBorrowed::List(list)) => list.iter().filter_map(dictionary_peer).collect(),
        Some(_) => return Err(nonsense()),
        None => Vec::new(),
    };
    if let Some(BencodeValueBorrowed::Bytes(compact)) = answer.get(&ByteBuf(b"peers6")) {
        peers.extend(compact_v6(compact.as_ref()));
    }
    let seconds = |key: &'static [u8]| match answer.get(&ByteBuf(key)) {
        Some(BencodeValueBorrowed::Integer(seconds)) => {
            Some(Duration::from_secs((*seconds).try_into().unwrap_or(0)))
        }
        _ => None,
    };
    let pace =
        Pace { interval: seconds(b"interval").unwrap_or_default(), at_least: seconds(b"min interval") };
    Ok(Answer { peers, pace })
}

fn dictionary_peer(peer: &BencodeValueBorrowed<'_>) -> Option<SocketAddr> {
    let BencodeValueBorrowed::Dict(peer) = peer else { return None };
    match (peer.get(&ByteBuf(b"ip"))?, peer.get(&ByteBuf(b"port"))?) {
        (BencodeValueBorrowed::Bytes(ip), BencodeValueBorrowed::Integer(port)) => {
            let ip: IpAddr = std::str::from_utf8(ip.as_ref()).ok()?.parse().ok()?;
            Some(SocketAddr::new(ip, u16::try_from(*port).ok()?))
        }
        _ => None,
    }
}

/// Four bytes of address and two of port each (BEP 23).
fn compact_v4(bytes: &[u8]) -> Vec<SocketAddr> {
    let peer = |&[a, b, c, d, high, low]: &[u8; 6]| {
        SocketAddr::from(([a, b, c, d], u16::from_be_bytes([high, low])))
    };
    bytes.as_chunks().0.iter().map(peer).filter(|peer| peer.port() != 0).collect()
}

/// Sixteen bytes of address and two of port each (BEP 7).
fn compact_v6(bytes: &[u8]) -> Vec<SocketAddr> {
    let peer = |bytes: &[u8; 18]| {
        let (mut ip, mut port) = ([0; 16], [0; 2]);
        ip.copy_from_slice(&bytes[..16]);
        port.copy_from_slice(&bytes[16..]);
        SocketAddr::from((ip, u16::from_be_bytes(port)))
    };
    bytes.as_chunks().0.iter().map(peer).filter(|peer| peer.port() != 0).collect()
}

/// A refusal comes from the other side, so the network between is up.
fn from_io(error: io::Error) -> Unanswered {
    let network_is_up = error.kind() == io::ErrorKind::ConnectionRefused;
    Unanswered { reason: error.to_string(), network_is_up }
}

fn from_reqwest(error: reqwest::Error) -> Unanswered {
    let mut cause: &dyn std::error::Error = &error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    let kind = cause.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
    let network_is_up = error.is_body() || kind == Some(std::io::ErrorKind::ConnectionRefused);
    Unanswered { reason: cause.to_string(), network_is_up }
}

/// A client for what somebody named outright: it may be anywhere, but three redirects at most, and none of them from the
/// world into the house.
pub fn http_client(
    settings: &SwarmSettings,
    timeout: Duration,
    named: &Url,
) -> Result<reqwest::Client, reqwest::Error> {
    let trusted = (!leads_inside(named)).then(|| named.host_str().map(str::to_owned).into_iter().collect());
    client(settings, timeout, trusted, false)
}

/// A client for small answers; with `trusted`, no other name leads into the house, and a `guarded` one is never redirected
/// there.
fn client(
    settings: &SwarmSettings,
    timeout: Duration,
    trusted: Option<HashSet<String>>,
    guarded: bool,
) -> Result<reqwest::Client, reqwest::Error> {
    let redirects = reqwest::redirect::Policy::custom(move |attempt| {
        let from_inside = !guarded && attempt.previous().first().is_none_or(leads_inside);
        if attempt.previous().len() > 3 {
            attempt.error("too many redirects")
        } else if leads_inside(attempt.url()) && !from_inside {
            attempt.error("redirected to a private address")
        } else {
            attempt.follow()
        }
    });
    // A connection that was kept would belong to the thread of the torrent that was announced first. Announces are
    // minutes apart, and trackers do not keep connections for as long.
    let mut builder =
        reqwest::Client::builder().timeout(timeout).redirect(redirects).pool_max_idle_per_host(0);
    if !settings.anonymous {
        builder = builder.user_agent(super::client_name(settings));
    }
    if let Some(mut trusted) = trusted {
        // The way to the proxy is the operator's as well.
        trusted.extend(settings.proxy.as_ref().and_then(Url::host_str).map(str::to_owned));
        builder = builder.dns_resolver(Arc::new(PublicNames { trusted: Arc::new(trusted) }));
    }
    if settings.ipv4_only {
        builder = builder.local_address(IpAddr::from(Ipv4Addr::UNSPECIFIED));
    }
    if let Some(proxy) = &settings.proxy {
        builder = builder.proxy(reqwest::Proxy::all(looking_up(proxy))?);
    } else if let Some(device) = &settings.bind_device {
        builder = builder.interface(device);
    }
    builder.build()
}

/// A proxy that is told names, so that no server for names hears of them from us.
fn looking_up(proxy: &Url) -> String {
    format!("socks5h{}", proxy.as_str().trim_start_matches(proxy.scheme()))
}

/// Why it is not known what a tracker would say.
const NO_ANSWER: &str = "no answer in time";
/// Why a tracker was not asked.
const INSIDE: &str = "it is in a private network";

/// Names that lead out into the world, looked up when they are used: one that was checked before may lead elsewhere by
/// then.
struct PublicNames {
    /// Those that may lead anywhere.
    trusted: Arc<HashSet<String>>,
}

impl Resolve for PublicNames {
    fn resolve(&self, name: Name) -> Resolving {
        let trusted = self.trusted.clone();
        Box::pin(async move {
            let mut found: Vec<_> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            found.retain(|address| trusted.contains(name.as_str()) || !is_inside(address.ip()));
            if found.is_empty() {
                return Err(io::Error::new(io::ErrorKind::PermissionDenied, INSIDE).into());
            }
            Ok(Box::new(found.into_iter()) as Box<_>)
        })
    }
}

/// Whether a URL names this machine or its local network outright.
fn leads_inside(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name.trim_end_matches('.').eq_ignore_ascii_case("localhost"),
        Some(Host::Ipv4(ip)) => is_inside(ip.into()),
        Some(Host::Ipv6(ip)) => is_inside(ip.into()),
        None => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_peers_or_reasons() {
        let answer = read_answer(b"d8:intervali60e5:peers12:\x7f\0\0\x01\x1a\xe1\x7f\0\0\x02\0\0e").unwrap();
        assert_eq!(answer.peers, ["127.0.0.1:6881".parse().unwrap()], "port 0 cannot be dialled");
        assert_eq!(answer.pace, Pace { interval: Duration::from_secs(60), at_least: None });
        let paced = read_answer(b"d8:intervali1800e12:min intervali300e5:peers0:e").unwrap();
        assert_eq!(paced.pace.at_least, Some(Duration::from_secs(300)));
        let listed = read_answer(b"d5:peersld2:ip3:::14:porti7eed2:ip1:x4:porti7eeee").unwrap();
        assert_eq!(listed.peers, ["[::1]:7".parse().unwrap()]);
        let nobody = Answer { peers: Vec::new(), pace: Pace::default() };
        assert_eq!(read_answer(b"d8:intervali-5ee").unwrap(), nobody);
        let error = read_answer(b"d14:failure reason4:gonee").unwrap_err();
        assert!(error.network_is_up && error.reason.contains("gone"));
        assert!(read_answer(b"<html>").unwrap_err().reason.contains("no sense"));
    }

    #[tokio::test]
    async fn a_name_is_judged_when_it_is_used_unless_it_is_the_operators() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let asked = Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let counted = asked.clone();
        tokio::spawn(async move {
            while listener.accept().await.is_ok() {
                counted.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            }
        });
        let announce = async |tracker: &str, settings: &SwarmSettings| {
            let announcer = Announcer::new(settings, Id20::default(), 9).unwrap();
            let hash = InfoHash::new([1; 20]);
            announcer.announce(&Url::parse(tracker).unwrap(), hash, Transfer::UNKNOWN).await.unwrap_err()
        };
        let mut settings = SwarmSettings { public_only: true, ..SwarmSettings::default() };
        for tracker in ["http://localhost", "udp://localhost", "http://127.0.0.1", "http://[::1]"] {
            let error = announce(&format!("{tracker}:{port}/announce"), &settings).await;
            assert_eq!(error.reason, INSIDE, "{tracker}");
        }
        assert_eq!(asked.load(std::sync::atomic::Ordering::Relaxed), 0);
        let own = format!("http://localhost:{port}/announce");
        settings.trackers.push(Url::parse(&own).unwrap());
        assert_ne!(announce(&own, &settings).await.reason, INSIDE);
        assert!(asked.load(std::sync::atomic::Ordering::Relaxed) > 0);
    }

    /// Two addresses, of which only the other one answers.
    #[tokio::test]
    async fn a_silent_address_of_a_tracker_leaves_the_other_its_time_and_ipv6_is_not_asked_where_it_is_off() {
        let mute = tokio::net::UdpSocket::bind("[::1]:0").await.unwrap();
        let port = mute.local_addr().unwrap().port();
        let tracker = tokio::net::UdpSocket::bind(("127.0.0.1", port)).await.unwrap();
        tokio::spawn(async move {
            let mut question = [0; 100];
            while let Ok((_, from)) = tracker.recv_from(&mut question).await {
                let connects = question[8..12] == [0; 4];
                let head = if connects { [0, 0, 0, 0] } else { [0, 0, 0, 1] };
                let answer = [&head, &question[12..16], &[0, 0, 0, 60, 0, 0, 0, 0, 0, 0, 0, 0]].concat();
                tracker.send_to(&answer, from).await.unwrap();
            }
        });
        let announce = async |host: &str, ipv4_only| {
            let settings = SwarmSettings { ipv4_only, ..SwarmSettings::default() };
            let announcer = Announcer::new(&settings, Id20::default(), 9).unwrap();
            let tracker = Url::parse(&format!("udp://{host}:{port}/announce")).unwrap();
            announcer.announce(&tracker, InfoHash::new([1; 20]), Transfer::UNKNOWN).await
        };
        let minute = Pace { interval: Duration::from_secs(60), at_least: None };
        assert_eq!(announce("localhost", true).await.unwrap().pace, minute);
        assert_eq!(announce("[::1]", true).await.unwrap_err().reason, "its name has no address");
        let asked = || mute.try_recv(&mut [0; 100]).is_ok();
        assert!(!asked(), "IPv6 is off");
        let announcer = Announcer::new(&SwarmSettings::default(), Id20::default(), 9).unwrap();
        let fields = announcer.announce_fields(InfoHash::new([1; 20]), Transfer::UNKNOWN);
        let both = [mute.local_addr().unwrap(), ([127, 0, 0, 1], port).into()];
        assert_eq!(announcer.converse_with_one_of(&both, &fields).await.unwrap().pace, minute);
        assert!(asked());
    }

    #[tokio::test]
    async fn http_trackers_are_not_asked_over_ipv6_where_it_is_off() {
        let listener = tokio::net::TcpListener::bind("[::1]:0").await.unwrap();
        let tracker = Url::parse(&format!("http://{}/announce", listener.local_addr().unwrap())).unwrap();
        let settings = SwarmSettings { ipv4_only: true, ..SwarmSettings::default() };
        let announcer = Announcer::new(&settings, Id20::default(), 9).unwrap();
        let refused = announcer.announce(&tracker, InfoHash::new([1; 20]), Transfer::UNKNOWN).await;
        assert!(refused.is_err());
        let came = tokio::time::timeout(Duration::ZERO, listener.accept()).await;
        assert!(came.is_err(), "it was asked: {refused:?}");
    }

    #[test]
    fn private_addresses_are_known_in_every_spelling() {
        for inside in [
            "http://127.0.0.1/",
            "http://[::1]/",
            "http://localhost./",
            "http://10.1.2.3/",
            "http://[::ffff:192.168.1.1]/",
            "http://0x7f000001/",
            "http://169.254.1.1/",
            "http://[fe80::1]/",
        ] {
            assert!(leads_inside(&Url::parse(inside).unwrap()), "{inside}");
        }
        for outside in ["http://192.0.2.7/", "http://example.org/", "http://[2001:db8::1]/"] {
            assert!(!leads_inside(&Url::parse(outside).unwrap()), "{outside}");
        }
    }
}
