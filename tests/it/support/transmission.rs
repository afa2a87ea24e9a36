//! A foreign seeder: Transmission.

use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener},
    process::{Command, Stdio},
};

use tempfile::TempDir;

use super::{
    Torrent,
    process::{self, Kill},
};

/// A transmission-daemon that seeds one torrent on loopback; killed when dropped.
pub struct Transmission {
    addr: SocketAddr,
    _child: Kill,
    _dir: TempDir,
}

impl Transmission {
    /// Fails when it is not installed: a test that is skipped in silence protects nobody.
    pub fn seeding_at(torrent: &Torrent, ip: Ipv4Addr) -> Self {
        let dir = tempfile::tempdir().unwrap();
        torrent.write_content(dir.path());
        std::fs::create_dir(dir.path().join("watched")).unwrap();
        std::fs::write(dir.path().join("watched/seeded.torrent"), torrent.metainfo()).unwrap();
        // It cannot choose a port itself and say which; nobody else uses this address.
        let addr = TcpListener::bind((ip, 0)).unwrap().local_addr().unwrap();
        let settings = serde_json::json!({
            "bind-address-ipv4": ip,
            "bind-address-ipv6": "::1",
            "dht-enabled": false,
            "download-dir": dir.path(),
            "lpd-enabled": false,
            "message-level": 6,
            "peer-port": addr.port(),
            "pex-enabled": false,
            "port-forwarding-enabled": false,
            "rpc-enabled": false,
            "utp-enabled": false,
            "watch-dir": dir.path().join("watched"),
            "watch-dir-enabled": true,
        });
        std::fs::write(dir.path().join("settings.json"), settings.to_string()).unwrap();
        let mut command = Command::new("transmission-daemon");
        command.args(["--foreground", "--config-dir"]).arg(dir.path());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let child = process::spawn(&mut command);
        let mut child = child.expect("transmission-daemon cannot be started; install transmission-daemon");
        let log = child.stderr.take().expect("stderr is piped");
        let _child = Kill(child);
        process::told(log, "that Transmission has checked its file", |line| {
            line.contains("Verification is done").then_some(())
        });
        Self { addr, _child, _dir: dir }
    }

    pub fn addr(&self) -> SocketAddr {
        self.addr
    }
}
