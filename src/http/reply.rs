//! From core values to HTTP: a file becomes headers, an error becomes a status and a JSON body.
//!
//! The one place that knows which class of trouble has which status. Never a `Debug` print, and no path of
//! this machine: a client gets what it can act on, the log gets the rest.

use std::{borrow::Cow, ops::Range};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use warp::{
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    reply::Response,
};

use crate::core::{Error, error::Class, media::Media};

/// What a URL's path segment or an extended parameter (RFC 8187) may hold as it is.
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Bytes never change under an info hash and an index, so a client may keep them for a year.
const FOR_EVER: HeaderValue = HeaderValue::from_static("private, max-age=31536000, immutable");

/// Seconds after which a request that found us busy may come again.
const BUSY_RETRY: u64 = 5;

/// The strong entity tag: content is fixed by info hash and index.
pub fn etag(media: &Media) -> String {
    format!("\"{}-{}\"", media.info_hash, media.index)
}

/// A foreign name as one path segment.
pub fn encoded(name: &str) -> Cow<'_, str> {
    utf8_percent_encode(name, UNRESERVED).into()
}

/// The media type for a player: video and audio by the name's extension, nothing else by its own type, so
/// that no browser renders or runs what a torrent holds.
pub fn content_type(name: &str) -> &'static str {
    let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension).to_ascii_lowercase();
    match extension.as_str() {
        "mp4" | "m4v" => "video/mp4",
        "mkv" | "mk3d" => "video/x-matroska",
        "webm" => "video/webm",
        "avi" | "divx" => "video/x-msvideo",
        "mov" | "qt" => "video/quicktime",
        "wmv" | "asf" => "video/x-ms-wmv",
        "flv" => "video/x-flv",
        "mpg" | "mpeg" | "mpe" | "vob" => "video/mpeg",
        "ts" | "m2ts" | "mts" => "video/mp2t",
        "ogv" => "video/ogg",
        "3gp" => "video/3gpp",
        "rmvb" => "video/vnd.rn-realvideo",
        "mp3" => "audio/mpeg",
        "m4a" | "m4b" => "audio/mp4",
        "aac" => "audio/aac",
        "flac" => "audio/flac",
        "ogg" | "oga" | "opus" => "audio/ogg",
        "wav" => "audio/wav",
        "wma" => "audio/x-ms-wma",
        "aif" | "aiff" => "audio/aiff",
        "mka" => "audio/x-matroska",
        "weba" => "audio/webm",
        "ape" => "audio/x-ape",
        "alac" => "audio/alac",
        "wv" => "audio/x-wavpack",
        _ => "application/octet-stream",
    }
}

/// The answer with the whole file: 200. The caller fills in the body; its length is already announced.
pub fn whole(media: &Media, response: Response) -> Response {
    delivered(media, response, StatusCode::OK, media.len)
}

/// The answer with a part of the file: 206.
pub fn part(media: &Media, range: &Range<u64>, response: Response) -> Response {
    let len = range.end - range.start;
    let mut response = delivered(media, response, StatusCode::PARTIAL_CONTENT, len);
    let content_range = format!("bytes {}-{}/{}", range.start, range.end - 1, media.len);
    put(response.headers_mut(), header::CONTENT_RANGE, &content_range);
    response
}

/// The client has the file already: 304.
pub fn not_modified(media: &Media) -> Response {
    let mut response = Response::default();
    *response.status_mut() = StatusCode::NOT_MODIFIED;
    put(response.headers_mut(), header::ETAG, &etag(media));
    response.headers_mut().insert(header::CACHE_CONTROL, FOR_EVER);
    response
}

fn delivered(media: &Media, mut response: Response, status: StatusCode, len: u64) -> Response {
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_LENGTH, len.into());
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type(media.name())));
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(header::CACHE_CONTROL, FOR_EVER);
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    put(headers, header::ETAG, &etag(media));
    put(headers, header::CONTENT_DISPOSITION, &disposition(media.name()));
    response
}

/// Shown in place when it plays, saved when not; the name in ASCII for the old, in UTF-8 for all others
/// (RFC 6266). What could end the quoted string or be decoded twice is left out of the former.
pub fn disposition(name: &str) -> String {
    let kind = if content_type(name) == "application/octet-stream" { "attachment" } else { "inline" };
    let plain = |c: char| matches!(c, ' '..='~') && !matches!(c, '"' | '\\' | '%');
    let fallback: String = name.chars().map(|c| if plain(c) { c } else { '_' }).collect();
    format!("{kind}; filename=\"{fallback}\"; filename*=UTF-8''{}", encoded(name))
}

/// Sets a header whose value was built here from printable ASCII; anything else is left out, never sent.
pub fn put(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

/// An answer for scripts, as of now.
pub fn json(value: &impl serde::Serialize) -> Result<Response, Problem> {
    let text = serde_json::to_string(value).map_err(|_| Problem::internal())?;
    let mut response = Response::new(tame(text).into());
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    Ok(response)
}

/// JSON lets DEL and the C1 controls through as they are, which a terminal obeys; they can only stand in its strings.
fn tame(json: String) -> String {
    let obeyed = |c: char| c.is_control() && c != '\n';
    match json.contains(obeyed) {
        true => json
            .chars()
            .map(|c| if obeyed(c) { format!("\\u{:04x}", u32::from(c)) } else { c.into() })
            .collect(),
        false => json,
    }
}

/// A refusal: status, headers and the JSON body `{"error", "message", "type"}`.
#[derive(Debug, Clone)]
pub struct Problem {
    status: StatusCode,
    kind: &'static str,
    error: &'static str,
    message: String,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Problem {
    /// A refusal with its `type` and its short `error`; the latter is the message until there is a better one.
    pub fn new(status: StatusCode, kind: &'static str, error: &'static str) -> Self {
        Self { status, kind, error, message: error.to_owned(), headers: Vec::new() }
    }

    /// With this message for a person.
    pub fn saying(mut self, message: impl Into<String>) -> Self {
        self.message = message.into();
        self
    }

    /// With this header.
    pub fn with(mut self, name: HeaderName, value: impl Into<HeaderValue>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// 416, with the length that a client needs to ask again.
    pub fn range(len: u64) -> Self {
        let problem = Self::new(StatusCode::RANGE_NOT_SATISFIABLE, "range", "Range not satisfiable")
            .saying(format!("the range lies outside the file, which has {len} bytes"));
        match HeaderValue::try_from(format!("bytes */{len}")) {
            Ok(value) => problem.with(header::CONTENT_RANGE, value),
            Err(_) => problem,
        }
    }

    /// 404 for a path that is nothing here.
    pub fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", "Not found")
    }

    /// 405; `allowed` is what the path takes.
    pub fn method_not_allowed(allowed: &'static str) -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "bad_request", "Method not allowed")
            .saying(format!("only {} here", allowed.replace(", ", " and ")))
            .with(header::ALLOW, HeaderValue::from_static(allowed))
    }

    /// 204, the answer to OPTIONS: what is allowed here. Nobody is refused by it.
    pub fn methods(allowed: &'static str) -> Self {
        let problem = Self::new(StatusCode::NO_CONTENT, "options", "");
        match HeaderValue::try_from(format!("{allowed}, OPTIONS")) {
            Ok(allowed) => problem.with(header::ALLOW, allowed),
            Err(_) => problem,
        }
    }

    /// Whether somebody is refused.
    pub fn is_refusal(&self) -> bool {
        self.status != StatusCode::NO_CONTENT
    }

    /// 405; only `GET` and `HEAD` are ever allowed on a file.
    pub fn read_only() -> Self {
        Self::method_not_allowed("GET, HEAD")
    }

    /// 400: what was asked for makes no sense.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad_request", "Bad request").saying(message)
    }

    /// Its `type`.
    pub fn kind(&self) -> &'static str {
        self.kind
    }

    /// 500: a defect of ours, of which the log tells more.
    pub fn internal() -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "Internal server error")
    }

    /// 412: the client holds a part of something else.
    pub fn precondition() -> Self {
        Self::new(StatusCode::PRECONDITION_FAILED, "precondition", "Precondition failed")
            .saying("the file is not the one that the request asks to go on with")
    }

    /// 503: the server has no connection to spare, and this one ends.
    pub fn full() -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "busy", "Busy")
            .saying(format!("all connections of this server are in use. Try again in {BUSY_RETRY} seconds"))
            .with(header::RETRY_AFTER, BUSY_RETRY)
            .with(header::CONNECTION, HeaderValue::from_static("close"))
    }

    /// The answer as it goes over the wire, to a client that has asked nothing yet.
    pub fn into_wire(self) -> Vec<u8> {
        let (status, body) = (self.status, self.body());
        let mut wire =
            format!("HTTP/1.1 {status}\r\n{}: {}\r\n", header::CONTENT_LENGTH, body.len()).into_bytes();
        for (name, value) in self.into_response().headers() {
            wire.extend([name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat());
        }
        wire.extend([b"\r\n", body.as_bytes()].concat());
        wire
    }

    fn body(&self) -> String {
        serde_json::json!({ "error": self.error, "message": self.message, "type": self.kind }).to_string()
    }

    /// The answer, with its body.
    pub fn into_response(self) -> Response {
        let (mut response, body) = (Response::default(), self.is_refusal().then(|| self.body()));
        *response.status_mut() = self.status;
        response.headers_mut().extend(self.headers);
        let Some(body) = body else { return response };
        *response.body_mut() = body.into();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        response
    }
}

impl From<&Error> for Problem {
    fn from(error: &Error) -> Self {
        let (status, kind, title) = class(error.class());
        let problem = Self::new(status, kind, title);
        match error {
            Error::Storage { action, source, .. } => problem.saying(format!("{action}: {source}")),
            Error::Internal(_) => problem,
            Error::Cooldown { remaining, .. } => {
                let seconds = remaining.as_secs() + u64::from(remaining.subsec_nanos() > 0);
                problem.saying(error.to_string()).with(header::RETRY_AFTER, seconds.max(1))
            }
            Error::Busy(_) | Error::Cancelled => {
                problem.saying(error.to_string()).with(header::RETRY_AFTER, BUSY_RETRY)
            }
            _ => problem.saying(error.to_string()),
        }
    }
}

/// The one map from a class of trouble to a status, a `type` and a title.
fn class(class: Class) -> (StatusCode, &'static str, &'static str) {
    match class {
        Class::Cooldown => (StatusCode::SERVICE_UNAVAILABLE, "cooldown", "Torrent temporarily unavailable"),
        Class::NoPeers => (StatusCode::NOT_FOUND, "no_peers", "No peers found"),
        Class::Timeout => (StatusCode::GATEWAY_TIMEOUT, "timeout", "Timed out"),
        Class::BadSource => (StatusCode::BAD_REQUEST, "bad_request", "Bad torrent"),
        Class::NoSuchFile => (StatusCode::NOT_FOUND, "no_such_file", "No such file"),
        Class::Storage => (StatusCode::INSUFFICIENT_STORAGE, "storage", "Storage failed"),
        Class::Busy => (StatusCode::SERVICE_UNAVAILABLE, "busy", "Busy"),
        Class::Offline => (StatusCode::SERVICE_UNAVAILABLE, "offline", "Offline"),
        Class::Usage => (StatusCode::BAD_REQUEST, "bad_request", "Bad request"),
        Class::Cancelled => (StatusCode::SERVICE_UNAVAILABLE, "busy", "Shutting down"),
        Class::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "internal", "Internal server error"),
    }
}

#[cfg(test)]
mod tests {
    use std::{io, time::Duration};

    use super::*;
    use crate::core::{failed::FailureKind, source::InfoHash};

    const HASH: InfoHash = InfoHash::new([0xab; 20]);

    fn media(path: &str) -> Media {
        Media { info_hash: HASH, index: 3, path: path.to_owned(), len: 1000 }
    }

    fn failed(kind: FailureKind) -> Error {
        Error::Failed { info_hash: HASH, kind, reason: "seen".to_owned() }
    }

    #[test]
    fn every_error_has_the_status_and_type_of_the_contract() {
        let cooldown = Error::Cooldown {
            info_hash: HASH,
            kind: FailureKind::NoPeers,
            reason: "no peers found".to_owned(),
            remaining: Duration::from_millis(269_500),
        };
        let disk = Error::storage("writing", "/private/path", io::ErrorKind::StorageFull.into());
        let no_file = Error::NoSuchFile { info_hash: HASH, reason: "no file 9".to_owned() };
        let table = [
            (cooldown, 503, "cooldown", Some("270")),
            (failed(FailureKind::NoPeers), 404, "no_peers", None),
            (failed(FailureKind::ConnectionError), 404, "no_peers", None),
            (failed(FailureKind::Timeout), 504, "timeout", None),
            (failed(FailureKind::BadTorrent), 400, "bad_request", None),
            (Error::Offline("no answer".to_owned()), 503, "offline", None),
            (Error::BadSource("no hash".to_owned()), 400, "bad_request", None),
            (no_file, 404, "no_such_file", None),
            (Error::Usage("nothing to try".to_owned()), 400, "bad_request", None),
            (disk, 507, "storage", None),
            (Error::Busy("held".to_owned()), 503, "busy", Some("5")),
            (Error::Cancelled, 503, "busy", Some("5")),
            (Error::Internal("secret".to_owned()), 500, "internal", None),
        ];
        for (error, status, kind, retry_after) in table {
            let problem = Problem::from(&error);
            assert_eq!((problem.status.as_u16(), problem.kind), (status, kind), "{error}");
            assert!(!problem.message.contains("/private") && !problem.message.contains("secret"), "{error}");
            let headers = problem.into_response().headers().clone();
            let retry = headers.get(header::RETRY_AFTER).map(|value| value.to_str().expect("digits"));
            assert_eq!(retry, retry_after, "{error}");
            assert_eq!(headers[header::CACHE_CONTROL], "no-store");
            assert!(!headers.contains_key(header::ETAG) && !headers.contains_key(header::ACCEPT_RANGES));
        }
    }

    #[test]
    fn a_cooldown_says_when_to_come_back() {
        let error = Error::Cooldown {
            info_hash: HASH,
            kind: FailureKind::NoPeers,
            reason: "no peers found".to_owned(),
            remaining: Duration::from_secs(270),
        };
        let message = Problem::from(&error).message;
        assert!(message.ends_with("Try again in 270 seconds or use different source"), "{message}");
    }

    #[test]
    fn a_part_names_its_place_and_the_whole_does_not() {
        let part = part(&media("a.mkv"), &(200..300), Response::default());
        assert_eq!(part.status(), 206);
        assert_eq!(part.headers()[header::CONTENT_RANGE], "bytes 200-299/1000");
        assert_eq!(part.headers()[header::CONTENT_LENGTH], "100");
        assert_eq!(part.headers()[header::ETAG], format!("\"{HASH}-3\"").as_str());
        let whole = whole(&media("a.mkv"), Response::default());
        assert_eq!(whole.status(), 200);
        assert_eq!(whole.headers()[header::CONTENT_LENGTH], "1000");
        assert!(!whole.headers().contains_key(header::CONTENT_RANGE));
    }

    #[test]
    fn what_a_browser_could_run_is_only_bytes_to_save() {
        for name in ["a.html", "a.svg", "a.xml", "a.pdf", "a.js", "a.mp4.HTM", "mp4", "a.", ""] {
            assert_eq!(content_type(name), "application/octet-stream", "{name:?}");
            assert!(disposition(name).starts_with("attachment; "), "{name:?}");
        }
        assert_eq!(content_type("A Film (2020).MKV"), "video/x-matroska");
        assert!(disposition("song.flac").starts_with("inline; "));
    }

    #[test]
    fn json_holds_nothing_that_a_terminal_obeys_and_means_the_same() {
        let name = "a\u{7f}\u{9b}31m\u{1b}[2J\n\u{e9}";
        let text = tame(serde_json::to_string(name).expect("JSON"));
        assert!(!text.chars().any(char::is_control), "{text:?}");
        assert_eq!(serde_json::from_str::<String>(&text).expect("JSON"), name);
    }

    #[test]
    fn no_name_gets_out_of_its_header() {
        let hostile =
            ["a\"; x=\".mp4", "a\r\nSet-Cookie: x.mp4", "100%0d%0a.mp4", "\u{202e}4pm.mp4", "\0\u{7f}"];
        for name in hostile {
            let value = disposition(name);
            assert!(value.bytes().all(|byte| matches!(byte, b' '..=b'~')), "{value}");
            assert_eq!(value.matches('"').count(), 2, "{value}");
            let response = whole(&media(name), Response::default());
            assert_eq!(response.headers()[header::CONTENT_DISPOSITION], value.as_str());
        }
        assert_eq!(
            disposition("Amélie.mkv"),
            "inline; filename=\"Am_lie.mkv\"; filename*=UTF-8''Am%C3%A9lie.mkv"
        );
    }
}
