//! Why a peer brings nothing, and how many do so for the same reason: the one home of these words.
//!
//! Whoever says them (a line of progress, a failure, a page) decides when; here it is decided what is counted together,
//! what it is called, and how much of it is told.

use std::{cmp::Reverse, collections::BTreeMap, error, fmt, io, time::Duration};

use super::status::{PeerReport, PeerState};

/// Kinds that a failure names: what most peers do explains it, and a sentence has an end.
const MOST_IN_FAILURE: usize = 3;
/// And a line of progress, where the words for each are fewer.
const MOST_IN_LINE: usize = 4;

/// Why a peer brings nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// It refused the connection.
    Refused,
    /// Its machine did not answer.
    NoAnswer,
    /// Our network stack knows no way to it.
    NoRoute,
    /// It closed the connection before it had said who it is.
    HungUp,
    /// It took the connection, and says nothing.
    Mute,
    /// It speaks of another info hash.
    OtherTorrent,
    /// It has no info dictionary to give.
    NoMetadata(&'static str),
    /// It does not let us ask, for so long.
    Choking(Duration),
    /// It brings nothing of what it is asked for, for so long.
    Silent(Duration),
    /// It has nothing of what readers wait for.
    LacksPiece,
    /// It sent bad blocks.
    Liar,
    /// It was there, and is gone.
    Left(String),
    /// Something else.
    Other(String),
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::Refused => f.write_str("it refused the connection"),
            Reason::NoAnswer => f.write_str("it did not answer in time"),
            Reason::NoRoute => f.write_str("there is no way to it"),
            Reason::HungUp => f.write_str("it hung up during the handshake"),
            Reason::Mute => f.write_str("it took the connection and said nothing"),
            Reason::OtherTorrent => f.write_str("it answered for another torrent"),
            Reason::Choking(time) => write!(f, "it has not let us ask for {}", whole(*time)),
            Reason::Silent(time) => {
                write!(f, "for {} it brought nothing of what it was asked for", whole(*time))
            }
            Reason::LacksPiece => f.write_str("it does not have the piece that is waited for"),
            Reason::Liar => f.write_str("it sent bad blocks"),
            Reason::NoMetadata(why) => f.write_str(why),
            Reason::Left(why) | Reason::Other(why) => f.write_str(why),
        }
    }
}

impl error::Error for Reason {}

impl serde::Serialize for Reason {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// An error that says why by itself; [`Reason::from`] finds it there again.
impl From<Reason> for io::Error {
    fn from(reason: Reason) -> Self {
        let kind = match reason {
            Reason::NoAnswer | Reason::Mute => io::ErrorKind::TimedOut,
            Reason::OtherTorrent => io::ErrorKind::InvalidData,
            Reason::Liar => io::ErrorKind::PermissionDenied,
            _ => io::ErrorKind::Other,
        };
        io::Error::new(kind, reason)
    }
}

/// What a connection failed of that was never of use.
impl From<&io::Error> for Reason {
    fn from(error: &io::Error) -> Self {
        use io::ErrorKind::*;
        let told = error.get_ref().and_then(|inner| inner.downcast_ref::<Reason>());
        told.cloned().unwrap_or_else(|| match error.kind() {
            ConnectionRefused => Reason::Refused,
            // librqbit gave up on it while it was dialled.
            TimedOut | ConnectionAborted => Reason::NoAnswer,
            NetworkUnreachable | NetworkDown | HostUnreachable => Reason::NoRoute,
            ConnectionReset | UnexpectedEof | BrokenPipe => Reason::HungUp,
            _ => Reason::Other(error.to_string()),
        })
    }
}

/// What is counted together, in the order in which a line tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Sending,
    Idle,
    Greeted,
    Choking,
    Silent,
    LacksPiece,
    NoMetadata,
    Refused,
    NoAnswer,
    NoRoute,
    HungUp,
    OtherTorrent,
    Left,
    Banned,
    Other,
    Dialled,
    Waiting,
}

impl Kind {
    /// A reason outlives the next attempt to reach the peer: what it did last is all that is known of it.
    fn of(peer: &PeerReport) -> Self {
        match (&peer.reason, peer.state) {
            (Some(reason), _) => Kind::of_reason(reason),
            (None, PeerState::Waiting) => Kind::Waiting,
            (None, PeerState::Connecting) => Kind::Dialled,
            (None, PeerState::Greeted) => Kind::Greeted,
            (None, PeerState::Choked) => Kind::Choking,
            (None, PeerState::Unchoked) => Kind::Idle,
            (None, PeerState::Sending) => Kind::Sending,
            (None, PeerState::Silent) => Kind::Silent,
            (None, PeerState::Refused) => Kind::Refused,
            (None, PeerState::Left) => Kind::Left,
            (None, PeerState::Banned) => Kind::Banned,
        }
    }

    fn of_reason(reason: &Reason) -> Self {
        match reason {
            Reason::Refused => Kind::Refused,
            Reason::NoAnswer => Kind::NoAnswer,
            Reason::NoRoute => Kind::NoRoute,
            Reason::HungUp => Kind::HungUp,
            Reason::Mute | Reason::Silent(_) => Kind::Silent,
            Reason::OtherTorrent => Kind::OtherTorrent,
            Reason::NoMetadata(_) => Kind::NoMetadata,
            Reason::Choking(_) => Kind::Choking,
            Reason::LacksPiece => Kind::LacksPiece,
            Reason::Liar => Kind::Banned,
            Reason::Left(_) => Kind::Left,
            Reason::Other(_) => Kind::Other,
        }
    }

    /// In a line of progress, and in a failure; the same for one and for many.
    fn words(self) -> (&'static str, &'static str) {
        match self {
            Kind::Sending => ("sending", "sending something else"),
            Kind::Idle => ("idle", "idle"),
            Kind::Greeted => ("greeted", "greeted"),
            Kind::Choking => ("choking us", "choking us"),
            Kind::Silent => ("silent", "connected and silent"),
            Kind::LacksPiece => ("without the piece", "without the piece"),
            Kind::NoMetadata => ("without metadata", "without metadata"),
            Kind::Refused => ("refused", "refused the connection"),
            Kind::NoAnswer => ("timed out", "timed out"),
            Kind::NoRoute => ("without a route", "without a route"),
            Kind::HungUp => ("hung up", "hung up during the handshake"),
            Kind::OtherTorrent => ("of another torrent", "with another info hash"),
            Kind::Left => ("left", "left"),
            Kind::Banned => ("banned", "banned for bad blocks"),
            Kind::Other => ("of no use", "of no use"),
            Kind::Dialled => ("being dialled", "being dialled"),
            Kind::Waiting => ("not dialled yet", "not dialled yet"),
        }
    }
}

/// How many are of a kind, and since when the first of them chokes.
#[derive(Default)]
struct Group {
    count: usize,
    choking: Duration,
}

/// What most peers do, at most so many kinds, the most frequent first.
fn most_frequent(peers: &[PeerReport], most: usize, counts: impl Fn(Kind) -> bool) -> Vec<(Kind, Group)> {
    let mut groups: BTreeMap<Kind, Group> = BTreeMap::new();
    for peer in peers {
        let kind = Kind::of(peer);
        if counts(kind) {
            let group = groups.entry(kind).or_default();
            group.count += 1;
            if let Some(Reason::Choking(time)) = peer.reason {
                group.choking = group.choking.max(time);
            }
        }
    }
    let mut groups: Vec<_> = groups.into_iter().collect();
    groups.sort_by_key(|(_, group)| Reverse(group.count));
    groups.truncate(most);
    groups
}

/// For a line of progress that says already how many are known, dialled and connected: `2 choking us, 4 refused`. Always
/// in the same order, and without times, so that it changes only when a peer does something else.
pub fn in_a_line(peers: &[PeerReport]) -> String {
    let news = |kind| !matches!(kind, Kind::Greeted | Kind::Dialled | Kind::Waiting);
    let mut groups = most_frequent(peers, MOST_IN_LINE, news);
    groups.sort_by_key(|(kind, _)| *kind);
    let words: Vec<String> =
        groups.iter().map(|(kind, group)| format!("{} {}", group.count, kind.words().0)).collect();
    words.join(", ")
}

/// For a failure: `4 refused the connection, 2 choking us for 1m`; nothing where there is nobody.
pub fn in_a_failure(peers: &[PeerReport]) -> String {
    let words = |(kind, Group { count, choking }): &(Kind, Group)| {
        let since = match choking.as_secs() {
            0 => String::new(),
            _ if *count == 1 => format!(" for {}", whole(*choking)),
            _ => format!(" for up to {}", whole(*choking)),
        };
        format!("{count} {}{since}", kind.words().1)
    };
    most_frequent(peers, MOST_IN_FAILURE, |_| true).iter().map(words).collect::<Vec<_>>().join(", ")
}

/// A failure for which some peers were there: what they did instead of sending data.
pub fn no_data(within: Duration, peers: &[PeerReport]) -> String {
    let within = humantime::format_duration(within);
    match in_a_failure(peers) {
        nobody if nobody.is_empty() => format!("peers answered, but no data came within {within}"),
        peers => format!("peers answered, but no data came within {within} ({peers})"),
    }
}

fn whole(time: Duration) -> humantime::FormattedDuration {
    humantime::format_duration(Duration::from_secs(time.as_secs()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peers(states: &[(PeerState, Option<Reason>)]) -> Vec<PeerReport> {
        let peer = |(state, reason): &(PeerState, Option<Reason>)| {
            PeerReport::absent(([192, 0, 2, 1], 1).into(), *state, reason.clone())
        };
        states.iter().map(peer).collect()
    }

    #[test]
    fn a_failure_names_the_three_most_frequent_kinds_and_how_long_they_choke() {
        let choking = |seconds: u64| {
            (PeerState::Choked, Some(Reason::Choking(Duration::from_millis(seconds * 1000 + 7))))
        };
        let refused = (PeerState::Refused, Some(Reason::Refused));
        let mute = (PeerState::Refused, Some(Reason::Mute));
        let all = [choking(3), refused.clone(), choking(61), mute, refused.clone(), refused.clone()];
        let told = in_a_failure(&peers(&all));
        assert_eq!(told, "3 refused the connection, 2 choking us for up to 1m 1s, 1 connected and silent");
        assert_eq!(in_a_failure(&peers(&[choking(20)])), "1 choking us for 20s");
        let more = [&all[..], &[(PeerState::Banned, Some(Reason::Liar))]].concat();
        assert_eq!(in_a_failure(&peers(&more)), told, "three are enough");
        assert_eq!(in_a_failure(&[]), "");
    }

    #[test]
    fn a_line_keeps_its_order_and_leaves_out_what_it_says_anyway() {
        let (choked, refused) = ((PeerState::Choked, None), (PeerState::Refused, Some(Reason::Refused)));
        let others = [(PeerState::Connecting, None), (PeerState::Waiting, None), (PeerState::Greeted, None)];
        let few = [&[choked.clone(), refused.clone()][..], &others].concat();
        assert_eq!(in_a_line(&peers(&few)), "1 choking us, 1 refused");
        let many = [&few[..], &[refused]].concat();
        assert_eq!(in_a_line(&peers(&many)), "1 choking us, 2 refused");
        assert_eq!(in_a_line(&peers(&others)), "");
    }

    #[test]
    fn what_a_peer_did_last_is_told_while_it_is_dialled_anew() {
        let again = peers(&[(PeerState::Connecting, Some(Reason::HungUp))]);
        assert_eq!(in_a_line(&again), "1 hung up");
        assert_eq!(in_a_failure(&again), "1 hung up during the handshake");
    }

    #[test]
    fn an_error_tells_its_reason_itself_or_by_its_kind() {
        let told = io::Error::from(Reason::Mute);
        assert_eq!((Reason::from(&told), told.kind()), (Reason::Mute, io::ErrorKind::TimedOut));
        for (kind, reason) in [
            (io::ErrorKind::ConnectionRefused, Reason::Refused),
            (io::ErrorKind::TimedOut, Reason::NoAnswer),
            (io::ErrorKind::NetworkUnreachable, Reason::NoRoute),
            (io::ErrorKind::UnexpectedEof, Reason::HungUp),
        ] {
            assert_eq!(Reason::from(&io::Error::from(kind)), reason);
        }
        let other = io::Error::other("proxy: no");
        assert_eq!(Reason::from(&other), Reason::Other("proxy: no".into()));
    }
}
