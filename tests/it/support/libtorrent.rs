//! A foreign client: libtorrent, by its Python binding.

use std::{
    net::{IpAddr, SocketAddr},
    process::{Command, Stdio},
};

use tempfile::TempDir;

use super::{
    Torrent,
    process::{self, Kill},
};

/// Takes up `seeded.torrent` in the directory that it is run in, with the trackers that it is told; prints the port,
/// and when it has everything.
const SCRIPT: &str = r#"
import sys, time, libtorrent as lt
host = sys.argv[1]
session = lt.session({"listen_interfaces": host + ":0", "enable_dht": False, "enable_lsd": False,
                      "enable_upnp": False, "enable_natpmp": False, "enable_incoming_utp": False,
                      "allow_multiple_connections_per_ip": False, "alert_mask": 0})
params = lt.add_torrent_params()
params.ti, params.save_path, params.trackers = lt.torrent_info("seeded.torrent"), ".", sys.argv[2:]
seeded = session.add_torrent(params)
while not (session.listen_port() and (sys.argv[2:] or seeded.status().is_seeding)):
    time.sleep(0.01)
print("port", session.listen_port(), flush=True)
while not seeded.status().is_seeding:
    time.sleep(0.01)
print("complete", flush=True)
while True:
    time.sleep(60)
"#;

/// Debian's own interpreter, which its packages are for, whatever else is in front of it.
const PYTHON: &str = "/usr/bin/python3";

/// A libtorrent with one torrent on loopback; killed when dropped.
pub struct Libtorrent {
    addr: SocketAddr,
    _child: Kill,
    dir: TempDir,
}

impl Libtorrent {
    /// Fails when it is not installed: a test that is skipped in silence protects nobody.
    pub fn seeding_at(torrent: &Torrent, ip: IpAddr) -> Self {
        Self::start(torrent, ip, None, true, port_of)
    }

    /// A seed that dials whomever this tracker names.
    pub fn seeding_through(torrent: &Torrent, ip: IpAddr, tracker: &str) -> Self {
        Self::start(torrent, ip, Some(tracker), true, port_of)
    }

    /// What it has got of a torrent from whomever this tracker names, when it says that it has all.
    pub fn fetched_through(torrent: &Torrent, ip: IpAddr, tracker: &str) -> Vec<u8> {
        let complete = |line: &str| (line == "complete").then_some(0);
        let fetched = Self::start(torrent, ip, Some(tracker), false, complete);
        std::fs::read(torrent.file_path(fetched.dir.path(), 0)).unwrap()
    }

    fn start(
        torrent: &Torrent,
        ip: IpAddr,
        tracker: Option<&str>,
        has_it: bool,
        tell: fn(&str) -> Option<u16>,
    ) -> Self {
        let dir = tempfile::tempdir().unwrap();
        if has_it {
            torrent.write_content(dir.path());
        }
        std::fs::write(dir.path().join("seeded.torrent"), torrent.metainfo()).unwrap();
        let host = SocketAddr::new(ip, 0).to_string();
        let mut command = Command::new(PYTHON);
        command.args(["-c", SCRIPT, host.trim_end_matches(":0")]).args(tracker).current_dir(dir.path());
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = process::spawn(&mut command).expect("python3 cannot be started");
        let output = child.stdout.take().expect("stdout is piped");
        let _child = Kill(child);
        let port = process::told(output, "what libtorrent does; is python3-libtorrent installed?", tell);
        Self { addr: (ip, port).into(), _child, dir }
    }

    pub fn addr(&self) -> SocketAddr {
        self.addr
    }
}

fn port_of(line: &str) -> Option<u16> {
    line.strip_prefix("port ")?.parse().ok()
}
