//! Names are foreign text: in the page they are text, whatever they hold.

use crate::{
    page::{fits, paste},
    support::{
        Peer, Torrent, Visit, WebServer,
        visit::{DESK, PHONE},
    },
};

const NAMES: [&str; 9] = [
    "<img src=x onerror=owned=1>.mkv",
    "\"><script>owned=1<!--.mkv",
    "'-owned=1-'.mkv",
    "javascript:owned=1.mp3",
    "${owned=1}{{owned=1}}.mp4",
    "\u{202e}gpj.knurt\u{202c}\u{200b}\u{feff}.mp4",
    "new\nline\tand\u{7f}\u{1b}[31m.mp4",
    "&lt;b&gt;&#60;script&#62;.webm",
    "a,b;c#EXTM3U %0d%0a?x=y.mp4",
];

fn hostile() -> Torrent {
    let torrent = Torrent::multi("<svg onload=owned=1>\u{202e}");
    let named = |torrent: crate::support::torrent::TorrentBuilder, name: &str| {
        torrent.raw_file(vec![b"<iframe src=data:,x>".to_vec(), name.as_bytes().to_vec()], 1000)
    };
    let long = ["W".repeat(180), "w ".repeat(90), "語".repeat(80)];
    let torrent = NAMES.into_iter().fold(torrent, named);
    long.iter().fold(torrent, |torrent, name| named(torrent, &format!("{name}.mkv"))).build()
}

#[tokio::test]
async fn hostile_names_are_text_and_nothing_but_text() {
    let torrent = hostile();
    let peer = Peer::serving(&torrent).await;
    let visit = Visit::to(|serve| serve.peer(peer.addr())).await;
    let phone = visit.browser.open(&visit.serve.url("/"), PHONE).await;
    for (name, page) in [("hostile-desk", &visit.page), ("hostile-phone", &phone)] {
        paste(page, &torrent.magnet()).await;
        page.until("its files", "document.querySelectorAll('#files button').length === 12").await;
        for file in 1..=12 {
            page.click(&format!("#files li:nth-child({file}) button")).await;
        }
        let text = page.text("#files").await;
        assert!(text.contains("<img src=x onerror=owned=1>.mkv") && !text.contains('\u{202e}'), "{text}");
        fits(page).await;
        page.screenshot(name).await;
        assert_eq!(page.eval("typeof owned").await, "undefined");
        let foreign = "document.querySelectorAll('iframe, script:not([src^=\"page/\"]), img:not([src^=\"page/\"])').length";
        assert_eq!(page.eval(foreign).await, 0);
        let turning = "document.title.includes('\\u202e')";
        assert_eq!(page.eval(turning).await, false);
    }
    phone.is_calm();
    visit.end().await;
}

/// A page that could frame this one could have a user click on what it hides.
#[tokio::test]
async fn no_other_page_frames_it() {
    let visit = Visit::alone().await;
    let frame = format!("<!doctype html><title>x</title><iframe src=\"{}\"></iframe>", visit.serve.url("/"));
    let evil = WebServer::serving(frame).await;
    let page = visit.browser.open(&evil.url(""), DESK).await;
    page.complaint("frame-ancestors").await;
    visit.end().await;
}

/// The rule is the browser's own, so it is tried: what the page's policy forbids does not happen.
#[tokio::test]
async fn the_policy_holds_even_against_the_page_itself() {
    let visit = Visit::alone().await;
    let page = &visit.page;
    let inline = "(() => { const one = document.createElement('script'); try { one.textContent = 'owned = 1'; document.body.append(one); } \
                  catch { /* the policy throws */ } return typeof owned; })()";
    assert_eq!(page.eval(inline).await, "undefined");
    let markup = "(() => { try { document.body.innerHTML = '<b>x</b>'; return 'set'; } catch (error) { return error.name; } })()";
    assert_eq!(page.eval(markup).await, "TypeError");
    let outside = "fetch('http://127.0.0.1:9/').then(() => 'sent', (error) => error.name)";
    assert_eq!(page.eval(outside).await, "TypeError");
    page.complaint("connect-src").await;
    visit.serve.stop().await;
}
