//! `serve` and a browser that shows a page of somebody else's: the page starts nothing, changes nothing, learns nothing.
//!
//! The browser is driven by the page alone: it tries what it can, and tells its own server what came of it.

use std::{
    process::{Child, Command, Stdio},
    time::Duration,
};

use tempfile::TempDir;

use crate::support::{Answer, HttpTracker, Sandbox, Serve, WORLD, WebServer, process};

/// A name that the browser finds on loopback, as whoever owns a name can make it do.
const EVIL: &str = "evil.example";

/// The torrent whose failure the server remembers; the page asks it to forget.
const REMEMBERED: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

/// A page that tries everything against the servers in `TARGETS` and the torrents in `HASHES`.
const PAGE: &str = include_str!("serve_browser.html");

/// Chromium without a window; killed when dropped.
struct Browser {
    child: Child,
    _profile: TempDir,
}

impl Browser {
    /// Opens a page, and leaves it open.
    fn open(url: &str) -> Self {
        let profile = tempfile::tempdir().unwrap();
        let mut command = chromium(&profile, url);
        command.stdout(Stdio::null());
        let child = process::spawn(&mut command).expect("chromium cannot be started; install its package");
        Self { child, _profile: profile }
    }

    /// What a page looks like to a browser, as HTML.
    async fn shown(url: &str) -> String {
        let profile = tempfile::tempdir().unwrap();
        let mut command = chromium(&profile, url);
        command.arg("--dump-dom").stdout(Stdio::piped());
        let shown = WORLD.spawn_blocking(move || process::output(&mut command));
        String::from_utf8(shown.await.unwrap().stdout).unwrap()
    }
}

fn chromium(profile: &TempDir, url: &str) -> Command {
    let mut command = Command::new("chromium");
    command
        // Root is given no sandbox, and a container has none to give.
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"])
        .args(["--no-first-run", "--disable-background-networking", "--disable-component-update"])
        .arg(format!("--host-resolver-rules=MAP {EVIL} 127.0.0.1"))
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .arg(url)
        .env("HOME", profile.path())
        .stdin(Stdio::null())
        .stderr(Stdio::null());
    command
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Shows a browser the page, aimed at a server under its address and under two names; what the page could read or show.
async fn attack(serve: &Serve) -> Vec<String> {
    let port = serve.address.port();
    let bases = ["127.0.0.1", "localhost", EVIL].map(|host| format!("http://{host}:{port}"));
    let hashes: Vec<String> = (0..64).map(|number| format!("{number:040x}")).collect();
    let page = PAGE
        .replace("BASES", &serde_json::to_string(&bases).unwrap())
        .replace("HASHES", &serde_json::to_string(&hashes).unwrap());
    let web = WebServer::serving(page).await;
    let _browser = Browser::open(&format!("http://{EVIL}:{}/", web.addr().port()));
    let told = web.wait_for("what the page has to tell", |request| request.target.starts_with("/told")).await;
    assert_eq!(serve.metric("swarmcat_panics_total").await, 0.0);
    serde_json::from_slice(&told.parameter("got").unwrap()).unwrap()
}

/// A server that remembers a failure, and would ask a tracker.
async fn remembering(sandbox: &Sandbox, tracker: &HttpTracker, more: &[&str]) -> Serve {
    sandbox.plant_failures([REMEMBERED], Duration::from_secs(3600));
    Serve::start(sandbox.serve().tracker(tracker.url()).impatient().args(more)).await
}

#[tokio::test]
async fn a_page_of_another_site_starts_nothing_changes_nothing_and_reads_nothing() {
    let sandbox = Sandbox::new();
    let tracker = HttpTracker::start(Answer::empty()).await;
    let serve = remembering(&sandbox, &tracker, &[]).await;
    assert_eq!(attack(&serve).await, [""; 0]);
    assert_eq!(serve.metric("swarmcat_starts_total").await, 0.0);
    assert_eq!(tracker.announces().len(), 0);
    assert_eq!(sandbox.only_failed().info_hash, REMEMBERED);
    // Of the address and of `localhost`: three elements, two fetches and four POSTs each.
    let cross_site = serve.metric("swarmcat_refusals_total{type=\"cross_site\"}").await;
    assert!(cross_site >= 18.0, "the page has tried: {cross_site}");
    // The other name is not ours, whatever is asked for under it.
    let misdirected = serve.metric("swarmcat_refusals_total{type=\"misdirected\"}").await;
    assert!(misdirected >= 15.0, "the page has tried: {misdirected}");
    serve.stop().await;
}

/// What nobody but a token keeps it from: browsers do not say where a page is from to a name that they reach over http.
#[tokio::test]
async fn a_page_starts_torrents_under_a_name_without_a_token_and_still_changes_and_reads_nothing() {
    let sandbox = Sandbox::new();
    let tracker = HttpTracker::start(Answer::empty()).await;
    let serve = remembering(&sandbox, &tracker, &["--allow-host", EVIL]).await;
    assert_eq!(attack(&serve).await, [""; 0]);
    assert!(serve.metric("swarmcat_starts_total").await >= 1.0, "README says so");
    assert!(sandbox.failed().iter().any(|row| row.info_hash == REMEMBERED));
    serve.stop().await;
}

#[tokio::test]
async fn a_page_that_the_operator_allows_does_all_of_that() {
    let sandbox = Sandbox::new();
    let tracker = HttpTracker::start(Answer::empty()).await;
    let serve = remembering(&sandbox, &tracker, &["--allow-origin", "*"]).await;
    let got = attack(&serve).await;
    for base in ["127.0.0.1", "localhost"] {
        for what in ["fetch GET", "fetch POST", "fetch DELETE", "events"] {
            let start = format!("{what} http://{base}:");
            assert!(got.iter().any(|got| got.starts_with(&start)), "{start}: {got:?}");
        }
    }
    assert!(serve.metric("swarmcat_starts_total").await >= 8.0);
    assert!(sandbox.failed().iter().all(|row| row.info_hash != REMEMBERED));
    serve.stop().await;
}

#[tokio::test]
async fn a_page_under_a_name_that_was_made_to_point_here_is_not_ours() {
    let sandbox = Sandbox::new();
    let serve = Serve::start(sandbox.serve().arg("--no-trackers")).await;
    let url = format!("http://{EVIL}:{}/torrents", serve.address.port());
    let shown = Browser::shown(&url).await;
    assert!(shown.contains("misdirected"), "{shown}");
    serve.stop().await;
}
