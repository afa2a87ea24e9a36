//! What players and the page are given beside the files themselves: the playlist of a torrent, and its subtitles as
//! WebVTT, the one kind that browsers show.

use std::sync::Arc;

use time::OffsetDateTime;
use warp::{
    http::{HeaderValue, StatusCode, header},
    reply::Response,
};

use super::{
    add,
    body::{Chunks as _, Content as _},
    library::{FileReport, Library, TorrentReport, Wanted},
    links::{self, Links},
    reply::{self, Problem},
    routes::{Ask, Site},
    stream,
};
use crate::core::{
    media::{FileSelector, Kind, Media},
    subtitles,
};

/// No subtitles of text are longer.
const MAX_SUBTITLES: u64 = 8 << 20;

type Answered = Result<Response, Problem>;

/// `GET /playlist/{hash}.m3u8`.
pub async fn m3u8<L: Library>(site: &Arc<Site<L>>, ask: &Ask, name: &str) -> Answered {
    ask.only("GET, HEAD")?;
    let hash = name.strip_suffix(".m3u8").ok_or_else(Problem::not_found)?;
    let mut wanted = stream::wanted(ask, hash, None)?;
    wanted.selector = FileSelector::Auto;
    let torrent = add::look(site, ask, wanted).await?;
    // Whoever has a link gets nothing that lives longer than it.
    let usual = OffsetDateTime::now_utc() + links::USUAL;
    let own = ask.value("expires").and_then(|at| OffsetDateTime::from_unix_timestamp(at.parse().ok()?).ok());
    let expires = own.map_or(usual, |own| own.min(usual));
    let links = Links::new(site.guard.policy(), &ask.visitor, expires).ok_or_else(Problem::internal)?;
    let more: Vec<_> = ask.query.iter().filter(|(key, _)| key == "tr" || key == "magnet").cloned().collect();
    let mut response = Response::new(written(&torrent, &links, &more).into());
    let headers = response.headers_mut();
    // Not HLS, whose type is application/vnd.apple.mpegurl: players would take the files for segments.
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("audio/x-mpegurl; charset=utf-8"));
    let disposition = reply::disposition(&format!("{}.m3u8", torrent.name.as_deref().unwrap_or(hash)));
    reply::put(headers, header::CONTENT_DISPOSITION, &disposition);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    Ok(response)
}

/// Every playable file, or the only file when none is known to play.
fn written(torrent: &TorrentReport, links: &Links<'_>, more: &[(String, String)]) -> String {
    let url = |file: &FileReport| links.file(&torrent.info_hash, file.index, &file.path, more);
    let only = torrent.files.len() == 1;
    let mut text = "#EXTM3U\n".to_owned();
    for file in torrent.files.iter().filter(|file| only || file.kind.plays()) {
        text.push_str(&format!("#EXTINF:-1,{}\n", title(&file.path)));
        let beside = torrent.files.iter().filter(|other| other.subtitles_of == Some(file.index));
        let slaves: Vec<_> = beside.map(|subtitles| url(subtitles).to_string()).collect();
        if !slaves.is_empty() {
            // No URL of ours has a # in it, which parts one from the next.
            text.push_str(&format!("#EXTVLCOPT:input-slave={}\n", slaves.join("#")));
        }
        text.push_str(&format!("{}\n", url(file)));
    }
    text
}

/// A foreign name on one line: what ends or turns a line is gone. A comma ends the duration, and players look for the last
/// one or for the first, so there is but one.
fn title(path: &str) -> String {
    let name = path.rsplit('/').next().unwrap_or(path);
    let plain = |c: char| match c {
        ',' => '\u{201a}',
        c if c.is_control() || is_invisible(c) => ' ',
        c => c,
    };
    name.chars().map(plain).collect::<String>().trim().to_owned()
}

/// Line and paragraph separators, and marks that change the direction of a text.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{2028}' | '\u{2029}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// `GET /subtitles/{hash}/{N}.vtt`.
pub async fn subtitles<L: Library>(site: &Arc<Site<L>>, ask: &Ask, hash: &str, name: &str) -> Answered {
    ask.only("GET, HEAD")?;
    let index = name.strip_suffix(".vtt").ok_or_else(Problem::not_found)?;
    let wanted: Wanted = stream::wanted(ask, hash, Some(index))?;
    let whole = |media: &Media| if fits(media) { 0..media.len } else { 0..0 };
    let (content, mut chunks) = stream::open(site, ask, wanted, Box::new(whole)).await?;
    let media = content.media();
    let unfit = || {
        Problem::new(StatusCode::NOT_FOUND, "no_such_file", "No such file")
            .saying(format!("file {index} is no subtitles of text (srt, ass, ssa or vtt)"))
    };
    if !fits(media) {
        return Err(unfit());
    }
    let mut bytes = Vec::new();
    while let Some(chunk) = chunks.chunk(1 << 20).await.map_err(|error| stream::failed(site, &error))? {
        bytes.extend_from_slice(&chunk);
    }
    let mut response = Response::new(subtitles::web_vtt(media.name(), &bytes).ok_or_else(unfit)?.into());
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/vtt; charset=utf-8"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, max-age=3600"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    Ok(response)
}

fn fits(media: &Media) -> bool {
    media.len <= MAX_SUBTITLES && Kind::of(media.name()) == Kind::Subtitles
}
