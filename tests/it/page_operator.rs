//! What the page does for whoever runs the server: the failed table, the disk.

use crate::{
    page::{film, fits, paste, plays},
    support::{
        Answer, Behaviour, ClosedPort, HttpTracker, Peer, Sandbox, Seeder, Visit,
        visit::{DESK, PHONE},
    },
};

const DEAD: &str = "aabbccddeeff00112233445566778899aabbccdd";
const DEADER: &str = "00112233445566778899aabbccddeeff00112233";

#[tokio::test]
async fn failures_are_seen_with_their_time_and_cleared_one_by_one_or_all() {
    let nobody = ClosedPort::reserve();
    let tracker = HttpTracker::start(Answer::empty()).await;
    let visit = Visit::to(|serve| serve.tracker(tracker.url()).peer(nobody.addr()).impatient()).await;
    let Visit { sandbox, page, .. } = &visit;
    paste(page, DEAD).await;
    page.until("the search", "document.querySelector('#now').textContent.startsWith('Looking for peers: ')")
        .await;
    page.screenshot("searching-light").await;
    page.until("the failure", "document.querySelector('#notice').textContent.includes('no peers found')")
        .await;
    page.until("a row", "document.querySelectorAll('#failed tr').length === 1").await;
    paste(page, DEAD).await;
    page.until(
        "the cooldown",
        "/Try again in \\d+ seconds/.test(document.querySelector('#notice').textContent)",
    )
    .await;
    page.click("#anyway").await;
    page.until("a second failure", "/2 times in a row/.test(document.querySelector('#failed').textContent)")
        .await;
    paste(page, DEADER).await;
    page.until("two rows", "document.querySelectorAll('#failed tr').length === 2").await;
    page.until(
        "the time that is left",
        "/^\\d+ min$/.test(document.querySelector('#failed .left').textContent)",
    )
    .await;
    page.screenshot("failed-light").await;
    page.resize(PHONE).await;
    fits(page).await;
    page.screenshot("failed-phone").await;
    page.resize(DESK).await;
    page.click(&format!("[aria-label='Clear {DEAD}']")).await;
    page.until("one row", "document.querySelectorAll('#failed tr').length === 1").await;
    assert_eq!(sandbox.only_failed().info_hash, DEADER);
    page.click("#clear").await;
    page.until("no table", "!document.querySelector('#failed-card').checkVisibility()").await;
    assert!(sandbox.failed().is_empty());
    visit.end().await;
}

#[tokio::test]
async fn cleanup_says_first_what_would_go() {
    let torrent = film("Old Train.webm");
    let seeder = Seeder::start(&torrent).await;
    let sandbox = Sandbox::new();
    let kept = sandbox.stream(torrent.hex()).peer(seeder.addr()).run().await;
    kept.code(0).delivered(torrent.content());
    let visit = Visit::within(sandbox, |serve| serve.peer(seeder.addr())).await;
    let Visit { sandbox, page, .. } = &visit;
    page.until("the disk", "document.querySelector('#disk-word').textContent.includes('free')").await;
    page.click("#cleanup").await;
    page.until(
        "what would go",
        "document.querySelector('#cleanup-word').textContent.startsWith('1 torrent ')",
    )
    .await;
    page.click("#cleanup-no").await;
    assert!(sandbox.torrent_dir(&torrent).exists());
    page.click("#cleanup").await;
    page.click("#cleanup-yes").await;
    page.until(
        "that it went",
        "document.querySelector('#cleanup-word').textContent.startsWith('Deleted 1 torrent')",
    )
    .await;
    assert!(!sandbox.torrent_dir(&torrent).exists());
    paste(page, &torrent.hex()).await;
    plays(page).await;
    page.click("#cleanup").await;
    page.until(
        "that nothing goes",
        "document.querySelector('#cleanup-word').textContent.startsWith('Nothing')",
    )
    .await;
    visit.end().await;
}

#[tokio::test]
async fn a_search_tells_what_it_waits_for_and_ends_when_it_is_told_to() {
    let torrent = film("Never.webm");
    let peer = Peer::start(&torrent, Behaviour::WithholdMetadata).await;
    let visit = Visit::to(|serve| serve.peer(peer.addr())).await;
    let Visit { sandbox, serve, page, .. } = &visit;
    paste(page, &torrent.hex()).await;
    page.until("whom it asks", "document.querySelector('#now').textContent.startsWith('Asking 1 peer')")
        .await;
    page.prefer("dark").await;
    page.screenshot("asking-dark").await;
    page.click("#stop").await;
    let nothing = "document.querySelector('#stage').hidden && !document.querySelector('.torrent')";
    page.until("an end", nothing).await;
    assert_eq!(serve.json("GET", "/torrents").await["torrents"], serde_json::json!([]), "here as well");
    assert!(sandbox.failed().is_empty(), "that is no failure of the torrent's");
    visit.end().await;
}
