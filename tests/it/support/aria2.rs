//! A foreign seeder: aria2, another code base with its own idea of the protocol.

use std::{
    io::{BufRead, BufReader},
    net::SocketAddr,
    process::{Child, Command, Stdio},
    sync::mpsc,
};

use tempfile::TempDir;

use super::{PATIENCE, Torrent, process};

/// An aria2c process that seeds one torrent on loopback; killed when dropped.
pub struct Aria2 {
    child: Child,
    addr: SocketAddr,
    _dir: TempDir,
}

impl Aria2 {
    /// Fails when aria2c is not installed: a test that is skipped in silence protects nobody.
    pub fn seeding(torrent: &Torrent) -> Self {
        let dir = tempfile::tempdir().unwrap();
        torrent.write_content(dir.path());
        let metainfo = dir.path().join("seeded.torrent");
        std::fs::write(&metainfo, torrent.metainfo()).unwrap();
        let mut command = Command::new("aria2c");
        command
            .args(["--no-conf", "--console-log-level=notice", "--summary-interval=0", "--enable-color=false"])
            .args([
                "--enable-dht=false",
                "--enable-dht6=false",
                "--bt-enable-lpd=false",
                "--disable-ipv6=true",
            ])
            .args(["--interface=127.0.0.1", "--listen-port=20000-29999", "--file-allocation=none"])
            .args(["--check-integrity=true", "--seed-ratio=0.0", "--async-dns=false"])
            .arg(format!("--dir={}", dir.path().display()))
            .arg(&metainfo)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let mut child =
            process::spawn(&mut command).expect("aria2c cannot be started; install the package aria2");
        let port = listening_port(&mut child);
        Self { child, addr: SocketAddr::from(([127, 0, 0, 1], port)), _dir: dir }
    }

    pub fn addr(&self) -> SocketAddr {
        self.addr
    }
}

impl Drop for Aria2 {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// aria2 takes the first free port of its range and names it in its log.
fn listening_port(child: &mut Child) -> u16 {
    let lines = BufReader::new(child.stdout.take().expect("stdout is piped")).lines();
    let (found, port) = mpsc::channel();
    std::thread::spawn(move || {
        for line in lines.map_while(Result::ok) {
            let named = line.split("listening on TCP port ").nth(1).and_then(|port| port.trim().parse().ok());
            if let Some(port) = named {
                let _ = found.send(port);
            }
        }
    });
    port.recv_timeout(PATIENCE).expect("aria2c named no port that it listens on")
}
