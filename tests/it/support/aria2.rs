//! A foreign seeder: aria2, another code base with its own idea of the protocol.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    process::{Command, Stdio},
};

use tempfile::TempDir;

use super::{
    Run, Torrent,
    process::{self, Kill},
};

/// An aria2c process that seeds one torrent on loopback; killed when dropped.
pub struct Aria2 {
    addr: SocketAddr,
    _child: Kill,
    _dir: TempDir,
}

impl Aria2 {
    pub fn seeding(torrent: &Torrent) -> Self {
        Self::seeding_at(torrent, Ipv4Addr::LOCALHOST.into())
    }

    pub fn seeding_at(torrent: &Torrent, ip: IpAddr) -> Self {
        Self::start(&["aria2c".to_owned()], torrent, ip, "20000-29999")
    }

    /// In the network that the program has for itself, where nobody else has the port.
    pub fn seeding_beside(run: &Run, torrent: &Torrent, port: u16) -> Self {
        Self::start(&run.inside(["aria2c"]), torrent, Ipv4Addr::LOCALHOST.into(), &port.to_string())
    }

    /// Fails when aria2c is not installed: a test that is skipped in silence protects nobody.
    fn start(line: &[String], torrent: &Torrent, ip: IpAddr, ports: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        torrent.write_content(dir.path());
        let metainfo = dir.path().join("seeded.torrent");
        std::fs::write(&metainfo, torrent.metainfo()).unwrap();
        let mut command = Command::new(&line[0]);
        command
            .args(&line[1..])
            .args(["--no-conf", "--console-log-level=notice", "--summary-interval=0", "--enable-color=false"])
            .args([
                "--enable-dht=false",
                "--enable-dht6=false",
                "--bt-enable-lpd=false",
                "--disable-ipv6=true",
            ])
            .args([&format!("--listen-port={ports}"), "--file-allocation=none"])
            .args(["--check-integrity=true", "--seed-ratio=0.0", "--async-dns=false"])
            .arg(format!("--interface={ip}"))
            .arg(format!("--dir={}", dir.path().display()))
            .arg(&metainfo)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let mut child =
            process::spawn(&mut command).expect("aria2c cannot be started; install the package aria2");
        let output = child.stdout.take().expect("stdout is piped");
        let _child = Kill(child);
        // It takes the first free port of its range.
        let port = process::told(output, "the port that aria2 listens on", |line| {
            line.split("listening on TCP port ").nth(1)?.trim().parse().ok()
        });
        Self { addr: (ip, port).into(), _child, _dir: dir }
    }

    pub fn addr(&self) -> SocketAddr {
        self.addr
    }
}
