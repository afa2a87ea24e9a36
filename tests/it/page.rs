//! The page at `/` as people use it: a real Chromium, a real film, a swarm on loopback.

use std::{
    io::Write,
    net::{IpAddr, Ipv4Addr},
    process::{Command, Stdio},
    sync::LazyLock,
};

use crate::support::{
    Behaviour, Chromium, ClosedPort, KIB, Page, Peer, Sandbox, Seeder, Serve, Torrent, Visit, process,
    serve::path,
    visit::{DESK, PHONE},
};

const SECONDS: u32 = 20;
const TOKEN: &str = "a-token-of-24-characters";
const ENGLISH: &str =
    "1\n00:00:00,000 --> 00:00:09,000\nMind the gap\n\n2\n00:00:09,000 --> 00:00:19,000\nMind <b>it</b>\n";
const GERMAN: &str = "[Events]\nFormat: Layer, Start, End, Style, Text\nDialogue: 0,0:00:01.00,0:00:05.00,Main,Vorsicht, Zug\n";

/// Made by ffmpeg, once for all tests: pictures and a tone, a key frame every second.
static FILM: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("film.webm");
    let mut command = Command::new("ffmpeg");
    let line = format!(
        "-v error -f lavfi -i testsrc2=size=640x360:rate=24:duration={SECONDS} \
         -f lavfi -i sine=frequency=330:duration={SECONDS} -c:v libvpx -deadline realtime -cpu-used 8 \
         -b:v 900k -g 24 -c:a libopus -b:a 64k -threads 1"
    );
    command.args(line.split_whitespace()).arg(&path).stdout(Stdio::piped()).stderr(Stdio::piped());
    let output = process::output(&mut command);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    std::fs::read(path).unwrap()
});

/// A film of its own hash for each name.
pub fn film(name: &str) -> Torrent {
    Torrent::of(name, FILM.clone()).piece_length(32 * KIB).build()
}

/// A film with subtitles beside it, and a text.
fn night_train() -> Torrent {
    let parts = [FILM.as_slice(), ENGLISH.as_bytes(), GERMAN.as_bytes(), FILM.as_slice(), b"Read me"];
    Torrent::multi("Night Train (2026)")
        .file("Night Train.webm", FILM.len())
        .file("Subs/Night Train.en.srt", ENGLISH.len())
        .file("Night Train.de.ass", GERMAN.len())
        .file("Making of Night Train.webm", FILM.len())
        .file("readme.txt", 7)
        .bytes(parts.concat())
        .piece_length(32 * KIB)
        .build()
}

/// Pastes a torrent as a person does.
pub async fn paste(page: &Page, source: &str) {
    page.click("#source").await;
    page.eval("document.querySelector('#source').select()").await;
    page.write(source).await;
    page.press("Enter").await;
}

pub async fn plays(page: &Page) {
    page.until("a picture that moves", "document.querySelector('video').currentTime > 0.5").await;
}

/// Nothing is wider than the screen.
pub async fn fits(page: &Page) {
    let wide = "[...document.querySelectorAll('body *')].filter((one) => one.checkVisibility() \
         && !one.closest('.unseen, .skip, svg') \
         && one.getBoundingClientRect().right > innerWidth + 1).map((one) => one.outerHTML.slice(0, 100))";
    assert_eq!(page.eval(wide).await, serde_json::json!([]), "wider than the screen");
    assert_eq!(page.eval("document.documentElement.scrollWidth <= innerWidth").await, true);
}

#[tokio::test]
async fn a_pasted_hash_plays_while_it_comes_and_seeks() {
    let torrent = film("Night Train.webm");
    // The film comes at half the speed that it plays at, so that there is always something to wait for.
    let peer = Peer::start(&torrent, Behaviour::Rate { bytes_per_second: 60_000 }).await;
    let visit = Visit::to(|serve| serve.peer(peer.addr())).await;
    let Visit { serve, browser, page, .. } = &visit;
    page.until("events", "document.querySelector('#link').textContent === 'live'").await;
    page.screenshot("empty-light").await;
    page.prefer("dark").await;
    page.screenshot("empty-dark").await;
    paste(page, &torrent.hex()).await;
    plays(page).await;
    page.until("a piece that is waited for or read", "/waiting for|reader/.test(map.ariaLabel)").await;
    page.until("a rate", "parseFloat(document.querySelector('#down').textContent) > 0").await;
    page.until("some pieces", "/^Pieces: ([5-9]|[1-9]\\d) of/.test(map.ariaLabel)").await;
    page.screenshot("playing-dark").await;
    page.prefer("light").await;
    page.screenshot("playing-light").await;
    let other = browser.open(&serve.url(&format!("/#{}", torrent.hex())), DESK).await;
    let title = "document.querySelector('#title').innerText === 'Night Train.webm'";
    other.until("the same torrent", title).await;
    other.until("who reads it", "/1 reader/.test(document.querySelector('.torrent').innerText)").await;
    page.eval("document.querySelector('video').currentTime = 17").await;
    peer.set(Behaviour::Serve);
    let from_there =
        "(() => { const v = document.querySelector('video'); return v.currentTime > 17.5 && !v.seeking; })()";
    page.until("a picture from there", from_there).await;
    page.until(
        "the whole film",
        "document.querySelector('#now').textContent.startsWith('All of it is here')",
    )
    .await;
    assert_eq!(page.text("#title").await, "Night Train.webm");
    assert_eq!(page.eval("location.hash").await, format!("#{}", torrent.hex()));
    fits(page).await;
    visit.end().await;
}

#[tokio::test]
async fn a_torrent_file_shows_its_files_and_its_subtitles_are_seen() {
    let torrent = night_train();
    let seeder = Seeder::start(&torrent).await;
    let visit = Visit::to(|serve| serve.peer(seeder.addr())).await;
    let Visit { sandbox, serve, page, .. } = &visit;
    let metainfo = sandbox.write("night.torrent", torrent.metainfo());
    page.choose_file("#metainfo", &metainfo).await;
    page.until("its files", "document.querySelectorAll('#files button').length === 2").await;
    assert!(page.text("#others").await.starts_with("3 other files"));
    assert_eq!(serve.json("GET", "/torrents").await["torrents"][0]["state"], "paused", "nothing is fetched");
    page.screenshot("files-light").await;
    assert_eq!(page.eval("document.querySelector('video').hidden").await, true, "a person chooses first");
    page.click("#files button").await;
    plays(page).await;
    let labels = page.eval("[...document.querySelectorAll('track')].map((track) => track.label)").await;
    assert_eq!(labels, serde_json::json!(["en", "de"]));
    page.eval("document.querySelector('video').textTracks[0].mode = 'showing'").await;
    let shown = "document.querySelector('video').textTracks[0].activeCues?.[0]?.text === 'Mind the gap'";
    page.until("a subtitle", shown).await;
    page.screenshot("subtitles-light").await;
    page.click("[data-copy=command]").await;
    page.until("a word", "document.querySelector('#said').textContent === 'Copied'").await;
    let playlist = serve.get(&format!("/playlist/{}.m3u8", torrent.hex())).await.text();
    assert_eq!(playlist.matches("#EXTINF:-1,").count(), 2, "{playlist}");
    let slaves = playlist.lines().find(|line| line.starts_with("#EXTVLCOPT:input-slave=")).unwrap();
    assert_eq!(slaves.matches("/stream/proxy/").count(), 2, "{playlist}");
    let vtt = serve.get(&format!("/subtitles/{}/2.vtt", torrent.hex())).await;
    assert_eq!(vtt.headers["content-type"], "text/vtt; charset=utf-8");
    assert!(vtt.text().contains("00:00:01.000 --> 00:00:05.000\nVorsicht, Zug"), "{}", vtt.text());
    visit.end().await;
}

#[tokio::test]
async fn the_keyboard_is_enough() {
    let torrent = night_train();
    let seeder = Seeder::start(&torrent).await;
    let visit = Visit::to(|serve| serve.peer(seeder.addr())).await;
    let Visit { sandbox, page, .. } = &visit;
    page.tab_to("the field", "document.activeElement.id === 'source'").await;
    page.write(&torrent.magnet()).await;
    page.press("Enter").await;
    page.until("the first file", "document.activeElement.matches('#files [aria-current=true]')").await;
    let ring = "getComputedStyle(document.activeElement).outlineStyle === 'solid'";
    assert_eq!(page.eval(ring).await, true, "the focus is seen");
    page.press("Enter").await;
    plays(page).await;
    page.tab_to("the second file", "document.activeElement.textContent.startsWith('Making of')").await;
    page.press("Enter").await;
    page.until("the other film", "document.querySelector('video').src.includes('/3/')").await;
    plays(page).await;
    page.tab_to("deletion", "document.activeElement.id === 'drop'").await;
    page.press("Enter").await;
    page.until("a question", "document.activeElement.textContent.endsWith('?')").await;
    page.press("Enter").await;
    page.until(
        "nothing",
        "document.querySelector('#stage').hidden && document.activeElement.id === 'source'",
    )
    .await;
    assert!(!sandbox.torrent_dir(&torrent).exists());
    visit.end().await;
}

/// An address of this machine by which others see it, if it has one.
fn address() -> IpAddr {
    let mut command = Command::new("hostname");
    let output = process::output(command.arg("-I").stdout(Stdio::piped()));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut addresses = text.split_whitespace().filter_map(|address| address.parse().ok());
    addresses.find(IpAddr::is_ipv4).unwrap_or(Ipv4Addr::new(127, 0, 0, 2).into())
}

#[tokio::test]
async fn a_phone_opens_it_with_the_token_at_another_address() {
    let torrent = night_train();
    let seeder = Seeder::start(&torrent).await;
    let sandbox = Sandbox::new();
    let serve = sandbox.swarmcat(["serve", "--listen", "0.0.0.0:0", "--no-dht", "--token", TOKEN]);
    let serve = Serve::start(serve.peer(seeder.addr())).await;
    let browser = Chromium::start();
    let there = format!("http://{}:{}/", address(), serve.address.port());
    let page = browser.open(&there, PHONE).await;
    page.until("a question for the token", "document.querySelector('#ask').open").await;
    page.screenshot("phone-token").await;
    page.write("not-the-token").await;
    page.press("Enter").await;
    page.until("a word", "document.querySelector('#token-word').checkVisibility()").await;
    page.write(TOKEN).await;
    page.press("Enter").await;
    page.until("events", "document.querySelector('#link').textContent === 'live'").await;
    fits(&page).await;
    page.screenshot("phone-empty").await;
    paste(&page, &torrent.hex()).await;
    page.until("its files", "document.querySelectorAll('#files button').length === 2").await;
    page.click("#files button").await;
    plays(&page).await;
    let source = page.eval("document.querySelector('video').src").await;
    assert!(
        source.as_str().unwrap().contains("sig=") && !source.as_str().unwrap().contains(TOKEN),
        "{source}"
    );
    page.until("subtitles", "document.querySelector('video').textTracks.length === 2").await;
    page.eval("document.querySelector('video').textTracks[0].mode = 'showing'").await;
    page.until("a subtitle", "document.querySelector('video').textTracks[0].cues?.length === 2").await;
    fits(&page).await;
    let small = "[...document.querySelectorAll('button:not(.text), a.button')].filter((one) => one.checkVisibility() \
                 && one.getBoundingClientRect().height < 40).map((one) => one.outerHTML)";
    assert_eq!(page.eval(small).await, serde_json::json!([]), "a finger needs room");
    page.screenshot("phone-playing-light").await;
    page.prefer("dark").await;
    page.screenshot("phone-playing-dark").await;
    page.click("[data-copy=stream]").await;
    page.until("a copy", "document.querySelector('#said').textContent === 'Copied'").await;
    page.is_calm();
    serve.stop().await;
}

#[tokio::test]
async fn a_page_with_an_old_token_asks_for_a_new_one_and_keeps_nobody_at_its_address_out() {
    let sandbox = Sandbox::new();
    let serve = Serve::start(sandbox.serve().args(["--no-trackers", "--token", TOKEN])).await;
    let browser = Chromium::start();
    let page = browser.open(&serve.url("/#token=the-token-of-yesterday"), DESK).await;
    page.until("a question for the token", "document.querySelector('#ask').open").await;
    // All that the page asks while it is there, more often than the server hears wrong tokens.
    let asked = "(async () => { const server = await import(new URL('page/server.js', location).href); \
                 const ask = () => server.json('GET', 'health').catch(({ status }) => status); \
                 return Promise.all(Array.from({ length: 30 }, ask)); })()";
    assert_eq!(page.eval(asked).await, serde_json::json!(vec![401; 30]));
    let bearer = format!("Authorization: Bearer {TOKEN}\r\n");
    assert_eq!(serve.ask("GET", "/torrents", &bearer).await.status, 200);
    page.write(TOKEN).await;
    page.press("Enter").await;
    page.until("events", "document.querySelector('#link').textContent === 'live'").await;
    page.until("the disk", "document.querySelector('#disk-word').textContent.includes('free')").await;
    page.is_calm();
    serve.stop().await;
}

#[tokio::test]
async fn the_peers_are_listed_for_whoever_opens_their_list() {
    let torrent = film("Crowded.webm");
    let choking = Peer::start_at(&torrent, Behaviour::NeverUnchoke, [127, 0, 5, 1].into()).await;
    let closed = ClosedPort::reserve();
    let visit = Visit::to(|serve| serve.peer(choking.addr()).peer(closed.addr())).await;
    opens_the_list_of_peers(&visit.page, &torrent, &choking, &closed).await;
    visit.page.screenshot("peers-light").await;
    // Opened only now: Chromium loads no film for a page that is not seen.
    let phone = visit.browser.open(&visit.serve.url("/"), PHONE).await;
    opens_the_list_of_peers(&phone, &torrent, &choking, &closed).await;
    phone.prefer("dark").await;
    phone.screenshot("phone-peers-dark").await;
    choking.set(Behaviour::Rate { bytes_per_second: 60_000 });
    phone.until("a rate", "/sends · \\d+ KB/.test(document.querySelector('#peer-list ul').innerText)").await;
    phone.is_calm();
    visit.end().await;
}

/// With the keyboard alone.
async fn opens_the_list_of_peers(page: &Page, torrent: &Torrent, choking: &Peer, closed: &ClosedPort) {
    paste(page, &torrent.hex()).await;
    let summary = "document.querySelector('#peer-list summary').innerText";
    page.until("who does what", &format!("{summary} === '1 choking us, 1 refused'")).await;
    assert_eq!(page.eval("document.querySelectorAll('#peer-list li').length").await, 0, "nobody looks");
    page.tab_to("the list", "document.activeElement.matches('#peer-list summary')").await;
    page.press("Enter").await;
    page.until("each of them", "document.querySelectorAll('#peer-list li').length === 2").await;
    let text = page.text("#peer-list ul").await;
    let (choking, closed) = (choking.addr().to_string(), closed.addr().to_string());
    let name = "<img src=x onerror=owned=1>";
    for word in [&choking, "chokes us", name, "not let us ask for", &closed, "refused the connection"] {
        assert!(text.contains(word), "{word}: {text}");
    }
    assert_eq!(page.eval("typeof owned").await, "undefined");
    fits(page).await;
}

#[tokio::test]
async fn a_file_that_the_browser_cannot_decode_says_so_and_a_player_can() {
    let torrent = Torrent::single("Old film.avi", 300 * KIB).build();
    let seeder = Seeder::start(&torrent).await;
    let visit = Visit::to(|serve| serve.peer(seeder.addr())).await;
    let Visit { serve, page, .. } = &visit;
    paste(page, &torrent.magnet()).await;
    let word =
        "document.querySelector('#trouble').textContent.includes('This browser cannot play this file (avi)')";
    page.until("a clear word", word).await;
    page.screenshot("not-decoded-light").await;
    assert_eq!(serve.get(&path(&torrent)).await.body, torrent.content(), "but a player gets it");
    visit.end().await;
}

#[tokio::test]
async fn what_is_no_torrent_is_told_beside_the_field() {
    let visit = Visit::alone().await;
    let Visit { sandbox, page, .. } = &visit;
    for (source, word) in [
        ("<b>x</b>", "is not an info hash"),
        ("magnet:?dn=x", "names no torrent"),
        ("magnet:?xt=urn:btmh:1220aa", "v2"),
    ] {
        page.eval("document.querySelector('#source').value = ''").await;
        paste(page, source).await;
        let told = format!(
            "document.querySelector('#notice').checkVisibility() && document.querySelector('#notice').textContent.includes({word:?})"
        );
        page.until(word, &told).await;
    }
    let refused = "document.querySelector('#notice').textContent.includes('not a usable torrent')";
    page.choose_file("#metainfo", &sandbox.write("bad.torrent", b"d3:fooi1ee")).await;
    page.until("a word", refused).await;
    page.eval("document.querySelector('#notice p').textContent = ''").await;
    let drop = "(() => { const data = new DataTransfer(); data.items.add(new File(['d3:bari2ee'], 'x.torrent')); \
                const event = { dataTransfer: data, bubbles: true, cancelable: true }; \
                document.body.dispatchEvent(new DragEvent('drop', event)); })()";
    page.eval(drop).await;
    page.until("a word about what was dropped", refused).await;
    visit.end().await;
}

#[tokio::test]
async fn the_whole_page_is_below_60_kib_compressed() {
    let sandbox = Sandbox::new();
    let serve = Serve::start(sandbox.serve().arg("--no-trackers")).await;
    let html = serve.get("/").await.text();
    let mut left: Vec<String> = vec!["/".to_owned()];
    let mut all: Vec<(String, Vec<u8>)> = Vec::new();
    while let Some(target) = left.pop() {
        if all.iter().any(|(known, _)| *known == target) {
            continue;
        }
        let answer = serve.get(&target).await;
        assert_eq!(answer.status, 200, "{target}");
        let text = answer.text();
        let named = text.split(['"', '\'']).filter_map(|word| {
            let name = word.strip_prefix("page/").or_else(|| word.strip_prefix("./"))?;
            name.contains('.').then(|| format!("/page/{name}"))
        });
        left.extend(named);
        all.push((target, answer.body));
    }
    assert!(all.len() > 5 && html.contains("app.js"), "the parts were found");
    let compressed: usize = all.iter().map(|(_, bytes)| gzip(bytes)).sum();
    assert!(compressed < 60 * KIB, "{compressed} bytes");
    serve.stop().await;
}

fn gzip(bytes: &[u8]) -> usize {
    let mut command = Command::new("gzip");
    let mut child = process::spawn(command.arg("-c").stdin(Stdio::piped()).stdout(Stdio::piped())).unwrap();
    child.stdin.take().unwrap().write_all(bytes).unwrap();
    child.wait_with_output().unwrap().stdout.len()
}
