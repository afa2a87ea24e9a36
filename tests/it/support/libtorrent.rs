//! A foreign seeder: libtorrent, by its Python binding.

use std::{
    net::{IpAddr, SocketAddr},
    process::{Command, Stdio},
};

use tempfile::TempDir;

use super::{
    Torrent,
    process::{self, Kill},
};

/// Seeds `seeded.torrent` in the directory that it is run in, and prints the port.
const SCRIPT: &str = r#"
import sys, time, libtorrent as lt
host = sys.argv[1]
session = lt.session({"listen_interfaces": host + ":0", "enable_dht": False, "enable_lsd": False,
                      "enable_upnp": False, "enable_natpmp": False, "enable_incoming_utp": False,
                      "allow_multiple_connections_per_ip": False, "alert_mask": 0})
params = lt.add_torrent_params()
params.ti, params.save_path = lt.torrent_info("seeded.torrent"), "."
seeded = session.add_torrent(params)
while not (seeded.status().is_seeding and session.listen_port()):
    time.sleep(0.01)
print("port", session.listen_port(), flush=True)
while True:
    time.sleep(60)
"#;

/// Debian's own interpreter, which its packages are for, whatever else is in front of it.
const PYTHON: &str = "/usr/bin/python3";

/// A libtorrent that seeds one torrent on loopback; killed when dropped.
pub struct Libtorrent {
    addr: SocketAddr,
    _child: Kill,
    _dir: TempDir,
}

impl Libtorrent {
    /// Fails when it is not installed: a test that is skipped in silence protects nobody.
    pub fn seeding_at(torrent: &Torrent, ip: IpAddr) -> Self {
        let dir = tempfile::tempdir().unwrap();
        torrent.write_content(dir.path());
        std::fs::write(dir.path().join("seeded.torrent"), torrent.metainfo()).unwrap();
        let host = SocketAddr::new(ip, 0).to_string();
        let mut command = Command::new(PYTHON);
        command.args(["-c", SCRIPT, host.trim_end_matches(":0")]).current_dir(dir.path());
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = process::spawn(&mut command).expect("python3 cannot be started");
        let output = child.stdout.take().expect("stdout is piped");
        let _child = Kill(child);
        let port = process::told(output, "libtorrent's port; is python3-libtorrent installed?", |line| {
            line.strip_prefix("port ")?.parse().ok()
        });
        Self { addr: (ip, port).into(), _child, _dir: dir }
    }

    pub fn addr(&self) -> SocketAddr {
        self.addr
    }
}
