//! Where connections come from: TCP addresses, Unix sockets, and sockets that systemd hands over.
//!
//! Binds, and says clearly why it cannot; what is done with a connection is not known here.

use std::{
    fmt, fs, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    os::unix::{
        fs::{FileTypeExt as _, PermissionsExt as _},
        net::UnixStream as StdUnixStream,
    },
    path::{Path, PathBuf},
    str::FromStr,
    time::Duration,
};

use listenfd::ListenFd;
use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use tokio::net::{TcpListener, UnixListener};

use super::{lane, pulse::Ends};
use crate::core::Error;

/// The port when none is given.
pub const PORT: u16 = 7000;

/// Connections that the kernel keeps until they are accepted.
const BACKLOG: i32 = 1024;

/// A connection on which nothing goes either way is asked after this whether its other side is still there, and then
/// twice more: it is found lost after 30 s.
const KEEPALIVE: Duration = Duration::from_secs(15);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);
const KEEPALIVE_QUESTIONS: u32 = 3;

/// Bytes of an answer that the kernel takes beyond what it may send by now. A reader that takes little would otherwise
/// have up to 4 MiB of the kernel's memory (`tcp_wmem`), a thousand of them all that Linux lets connections have on a
/// machine of 24 GB, and then it cuts some; with it, a quarter of a GiB. What a fast one has on its way does not count.
#[cfg(target_os = "linux")]
const UNSENT: u32 = 256 * 1024;

/// A place to listen at, as it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// `ADDR:PORT`, `:PORT` (both loopbacks), or `ADDR`.
    Tcp(SocketAddr),
    /// `unix:PATH`.
    Unix(PathBuf),
}

impl Place {
    /// The default: both loopbacks.
    pub fn loopbacks(port: u16) -> [Self; 2] {
        [IpAddr::from(Ipv4Addr::LOCALHOST), Ipv6Addr::LOCALHOST.into()]
            .map(|address| Self::Tcp((address, port).into()))
    }

    /// Whether machines other than this one can reach it.
    pub fn is_public(&self) -> bool {
        matches!(self, Self::Tcp(address) if !address.ip().to_canonical().is_loopback())
    }
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("unix:").filter(|path| !path.is_empty()) {
            return Ok(Self::Unix(path.into()));
        }
        let bare = text.trim_start_matches('[').trim_end_matches(']');
        let address = text.parse().ok().or_else(|| Some((bare.parse::<IpAddr>().ok()?, PORT).into()));
        address
            .map(Self::Tcp)
            .ok_or_else(|| "expected ADDR:PORT, such as 127.0.0.1:7000 or [::1]:7000, or unix:PATH".into())
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "http://{address}/"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// A bound socket.
#[derive(Debug)]
pub struct Listener {
    kind: Kind,
    place: Place,
    /// The file of a Unix socket that we made, to be removed at the end.
    made: Option<PathBuf>,
}

#[derive(Debug)]
enum Kind {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// An accepted connection.
pub struct Accepted {
    /// Its bytes.
    pub stream: Box<dyn lane::Socket>,
    /// Its other side; `None` through a Unix socket.
    pub remote: Option<SocketAddr>,
    /// What the kernel calls it; `None` through a Unix socket.
    pub ends: Option<Ends>,
}

impl Listener {
    /// Binds every place. Must be called inside a runtime.
    pub fn bind(places: &[Place]) -> Result<Vec<Self>, Error> {
        places.iter().map(Self::bind_one).collect()
    }

    /// Binds both loopbacks; a machine without IPv6 has but one.
    pub fn bind_loopbacks(port: u16) -> Result<Vec<Self>, Error> {
        let [v4, v6] = Place::loopbacks(port);
        let first = Self::bind_one(&v4)?;
        let absent = |error: &io::Error| {
            matches!(error.raw_os_error(), Some(libc::EAFNOSUPPORT | libc::EADDRNOTAVAIL))
        };
        let second = match &v6 {
            Place::Tcp(address) if port != 0 => match bind_tcp(*address) {
                Err(error) if absent(&error) => None,
                bound => Some(bound.map_err(|error| refusal(&v6, &error))?),
            },
            _ => None,
        };
        Ok(std::iter::once(first).chain(second).collect())
    }

    /// The sockets that systemd passed to this process, if it did.
    pub fn inherited() -> Result<Vec<Self>, Error> {
        let mut sockets = ListenFd::from_env();
        let told =
            |error: io::Error| Error::Usage(format!("a socket that was passed in is unusable: {error}"));
        (0..sockets.len()).map(|index| take(&mut sockets, index).map_err(told)).collect()
    }

    fn bind_one(place: &Place) -> Result<Self, Error> {
        let bound = match place {
            Place::Tcp(address) => bind_tcp(*address),
            Place::Unix(path) => bind_unix(path),
        };
        bound.map_err(|error| refusal(place, &error))
    }

    /// Where it listens, with the port that was chosen.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// The next connection.
    pub async fn accept(&self) -> io::Result<Accepted> {
        match &self.kind {
            Kind::Tcp(listener) => {
                let (stream, remote) = listener.accept().await?;
                let ends = stream.local_addr().ok().map(|local| Ends::new(local, remote));
                Ok(Accepted { stream: Box::new(stream), remote: Some(remote), ends })
            }
            Kind::Unix(listener) => {
                let (stream, _) = listener.accept().await?;
                Ok(Accepted { stream: Box::new(stream), remote: None, ends: None })
            }
        }
    }

    fn tcp(listener: std::net::TcpListener) -> io::Result<Self> {
        tune(&SockRef::from(&listener))?;
        listener.set_nonblocking(true)?;
        let listener = TcpListener::from_std(listener)?;
        Ok(Self { place: Place::Tcp(listener.local_addr()?), kind: Kind::Tcp(listener), made: None })
    }

    fn unix(
        listener: std::os::unix::net::UnixListener,
        path: PathBuf,
        made: Option<PathBuf>,
    ) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        let kind = Kind::Unix(UnixListener::from_std(listener)?);
        Ok(Self { kind, place: Place::Unix(path), made })
    }
}

impl TryFrom<std::net::TcpListener> for Listener {
    type Error = io::Error;

    fn try_from(listener: std::net::TcpListener) -> io::Result<Self> {
        Self::tcp(listener)
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Some(path) = &self.made {
            // The next start removes it otherwise.
            let _ = fs::remove_file(path);
        }
    }
}

fn take(sockets: &mut ListenFd, index: usize) -> io::Result<Listener> {
    if let Ok(Some(listener)) = sockets.take_tcp_listener(index) {
        return Listener::tcp(listener);
    }
    let listener = sockets.take_unix_listener(index)?;
    let listener = listener.ok_or_else(|| io::Error::other("it is neither TCP nor Unix"))?;
    let path = listener.local_addr()?.as_pathname().map(Path::to_owned).unwrap_or_default();
    Listener::unix(listener, path, None)
}

fn bind_tcp(address: SocketAddr) -> io::Result<Listener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Listener::tcp(socket.into())
}

/// What Linux hands on from a listener to its connections.
/// No limit on what is not acknowledged (`TCP_USER_TIMEOUT`): Linux counts a window that stays closed as well, which is
/// what a paused player has. Whether those still answer is for [`pulse`](super::pulse) to find out.
fn tune(socket: &SockRef<'_>) -> io::Result<()> {
    socket.set_tcp_nodelay(true)?;
    let keepalive = TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE_INTERVAL);
    socket.set_tcp_keepalive(&keepalive.with_retries(KEEPALIVE_QUESTIONS))?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_notsent_lowat(UNSENT)?;
    Ok(())
}

fn bind_unix(path: &Path) -> io::Result<Listener> {
    remove_stale(path)?;
    let listener = std::os::unix::net::UnixListener::bind(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    Listener::unix(listener, path.to_owned(), Some(path.to_owned()))
}

/// A socket that nobody answers at was left by a process that was killed.
fn remove_stale(path: &Path) -> io::Result<()> {
    let is_socket = fs::symlink_metadata(path).is_ok_and(|meta| meta.file_type().is_socket());
    let is_dead = || matches!(StdUnixStream::connect(path), Err(error) if error.kind() == io::ErrorKind::ConnectionRefused);
    if is_socket && is_dead() { fs::remove_file(path) } else { Ok(()) }
}

fn refusal(place: &Place, error: &io::Error) -> Error {
    let place = place.to_string();
    let place = place.trim_start_matches("http://").trim_end_matches('/');
    match error.kind() {
        io::ErrorKind::AddrInUse => Error::Busy(format!(
            "{place} is in use by another process; stop it, or choose another address with --listen"
        )),
        io::ErrorKind::PermissionDenied => Error::Usage(format!(
            "not allowed to listen on {place}; choose a port above 1023 or a directory of your own"
        )),
        _ => Error::Usage(format!("cannot listen on {place}: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn the_kernel_leaves_a_paused_reader_its_connection_and_spends_little_memory_on_it() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let listener = Listener::try_from(listener).expect("a listener");
        let _client = tokio::net::TcpStream::connect(address).await.expect("connected");
        let Kind::Tcp(listener) = &listener.kind else { panic!("it is TCP") };
        let (accepted, _) = listener.accept().await.expect("accepted");
        let limit = SockRef::from(&accepted).tcp_user_timeout().expect("told");
        assert_eq!(limit, None, "a closed window would count against it");
        assert_eq!(SockRef::from(&accepted).tcp_notsent_lowat().expect("told"), UNSENT);
    }

    #[test]
    fn a_place_is_an_address_or_a_path() {
        let tcp = |text: &str| Place::Tcp(text.parse().expect("an address"));
        assert_eq!("127.0.0.1:80".parse(), Ok(tcp("127.0.0.1:80")));
        assert_eq!("192.0.2.1".parse(), Ok(tcp("192.0.2.1:7000")));
        assert_eq!("[::1]:80".parse(), Ok(tcp("[::1]:80")));
        assert_eq!("::1".parse(), Ok(tcp("[::1]:7000")));
        assert_eq!("unix:/run/x.sock".parse(), Ok(Place::Unix("/run/x.sock".into())));
        for wrong in ["", "unix:", "localhost", "1.2.3.4:99999", "x:80"] {
            assert!(wrong.parse::<Place>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn only_loopback_and_unix_sockets_are_private() {
        for (place, public) in [
            ("127.0.0.1:1", false),
            ("127.9.9.9:1", false),
            ("[::1]:1", false),
            ("[::ffff:127.0.0.1]:1", false),
            ("unix:x", false),
            ("0.0.0.0:1", true),
            ("[::]:1", true),
            ("192.168.1.2:1", true),
            ("[::ffff:10.0.0.1]:1", true),
        ] {
            assert_eq!(place.parse::<Place>().expect(place).is_public(), public, "{place}");
        }
    }

    #[tokio::test]
    async fn an_address_in_use_is_named() {
        let first = Listener::bind(&["127.0.0.1:0".parse().expect("a place")]).expect("a free port");
        let told = Listener::bind(&[first[0].place().clone()]).expect_err("in use");
        let Place::Tcp(address) = first[0].place() else { panic!("TCP") };
        assert!(matches!(&told, Error::Busy(message) if message.contains(&address.to_string())), "{told}");
    }

    #[tokio::test]
    async fn a_stale_socket_is_replaced_and_a_live_one_is_not() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("socket");
        drop(std::os::unix::net::UnixListener::bind(&path).expect("bound"));
        let place = [Place::Unix(path.clone())];
        let listener = Listener::bind(&place).expect("a stale one is replaced");
        assert_eq!(fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o600);
        assert!(matches!(Listener::bind(&place), Err(Error::Busy(_))));
        drop(listener);
        assert!(!path.exists());
        fs::write(&path, "precious").expect("a file");
        assert!(Listener::bind(&place).is_err() && path.exists());
    }
}
