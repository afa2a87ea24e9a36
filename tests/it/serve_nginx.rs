//! The same requests to `serve` and to nginx, for the same file: where the standard leaves no choice, the same answers.

use std::{
    collections::HashMap,
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
};

use crate::support::{KIB, PATIENCE, Sandbox, Seeder, Serve, Torrent, process, serve::path};

/// nginx with one file, on a Unix socket; ended when dropped.
struct Nginx {
    child: Child,
    dir: TempDir,
}

impl Nginx {
    async fn serving(bytes: &[u8]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("film.mkv"), bytes).unwrap();
        let root = dir.path().display();
        let user = if rustix::process::geteuid().is_root() { "user root;" } else { "" };
        let config = format!(
            "{user} daemon off; master_process off; pid {root}/pid; error_log {root}/error.log;\n\
             events {{}}\n\
             http {{ access_log off; client_body_temp_path {root}/b; proxy_temp_path {root}/p;\n\
             fastcgi_temp_path {root}/f; uwsgi_temp_path {root}/u; scgi_temp_path {root}/s;\n\
             server {{ listen unix:{root}/socket; root {root}; }} }}\n"
        );
        std::fs::write(dir.path().join("nginx.conf"), config).unwrap();
        let mut command = Command::new("nginx");
        command.args(["-e", "error.log", "-c", "nginx.conf", "-p"]).arg(dir.path());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = process::spawn(&mut command).expect("nginx cannot be started; install the package nginx");
        let nginx = Self { child, dir };
        nginx.wait().await;
        nginx
    }

    async fn wait(&self) {
        let listening = async {
            while UnixStream::connect(self.socket()).await.is_err() {
                tokio::task::yield_now().await;
            }
        };
        let log = || std::fs::read_to_string(self.dir.path().join("error.log")).unwrap_or_default();
        tokio::time::timeout(PATIENCE, listening).await.unwrap_or_else(|_| panic!("nginx: {}", log()));
    }

    fn socket(&self) -> PathBuf {
        self.dir.path().join("socket")
    }

    async fn ask(&self, method: &str, lines: &str) -> (u16, HashMap<String, String>, Vec<u8>) {
        let mut stream = UnixStream::connect(self.socket()).await.unwrap();
        let head =
            format!("{method} /film.mkv HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{lines}\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).await.unwrap();
        let answer = crate::support::serve::Answer::parse(&bytes);
        (answer.status, answer.headers, answer.body)
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn ranges_and_conditions_are_answered_as_nginx_answers_them() {
    let torrent = Torrent::single("film.mkv", 64 * KIB).build();
    let sandbox = Sandbox::new();
    let seeder = Seeder::start(&torrent).await;
    let serve = Serve::start(sandbox.serve().peer(seeder.addr())).await;
    let ours = serve.get(&path(&torrent)).await;
    let nginx = Nginx::serving(torrent.content()).await;
    let (_, theirs, _) = nginx.ask("GET", "").await;
    let range = |text: &str| format!("Range: bytes={text}\r\n");
    let mut cases = vec![String::new(), "Range: items=0-1\r\n".into(), "Range: Bytes=0-1\r\n".into()];
    for text in [
        "0-0",
        "0-",
        "0-1",
        "100-199",
        "65535-",
        "0-65535",
        "65535-65536",
        "100-99999999",
        "-1",
        "-500",
        "-65536",
        "-99999999",
        "-0",
        "65536-",
        "70000-80000",
        "0-9223372036854775806",
        "000-0001",
    ] {
        cases.push(range(text));
        cases.push(range(text) + "If-Range: ETAG\r\n");
        cases.push(range(text) + "If-Range: \"other\"\r\n");
        cases.push(range(text) + "If-Match: ETAG\r\n");
        cases.push(range(text) + "If-Match: \"other\"\r\n");
        cases.push(range(text) + "If-None-Match: ETAG\r\n");
        cases.push(range(text) + "If-None-Match: \"other\"\r\n");
    }
    for lines in [
        "If-None-Match: *\r\n",
        "If-None-Match: W/ETAG\r\n",
        "If-None-Match: \"a\", ETAG\r\n",
        "If-Match: *\r\n",
    ] {
        cases.push(lines.to_owned());
    }
    for case in cases {
        let mine = serve.ask("GET", &path(&torrent), &case.replace("ETAG", &ours.headers["etag"])).await;
        let (status, headers, body) = nginx.ask("GET", &case.replace("ETAG", &theirs["etag"])).await;
        assert_eq!(mine.status, status, "{case}");
        let place = "content-range".to_owned();
        assert_eq!(mine.headers.get(&place), headers.get(&place), "{case}");
        assert!(status >= 400 || mine.body == body, "{case}");
    }
    serve.stop().await;
}
