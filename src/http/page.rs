//! The web page: a few files in the binary. It asks nobody but this server, and runs nothing but its own script.
//!
//! It is the one thing that is given to whoever has not shown the token: it holds no secret, and asks for it.

use std::sync::LazyLock;

use sha2::{Digest as _, Sha256};
use warp::{
    http::{HeaderValue, StatusCode, header},
    reply::Response,
};

use super::{
    reply::{self, Problem},
    routes::Ask,
};

/// Scripts and styles are files of ours, text never becomes markup, and no other page frames this one.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
     media-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
     require-trusted-types-for 'script'; trusted-types 'none'";

/// A file of the page.
struct Part {
    name: &'static str,
    kind: &'static str,
    text: &'static str,
    etag: String,
}

static PARTS: LazyLock<Vec<Part>> = LazyLock::new(|| {
    let script = "text/javascript; charset=utf-8";
    let part = |(name, kind, text): (&'static str, &'static str, &'static str)| {
        let digest = Sha256::digest(text.as_bytes());
        Part { name, kind, text, etag: format!("\"{}\"", data_encoding::HEXLOWER.encode(&digest[..12])) }
    };
    [
        ("", "text/html; charset=utf-8", include_str!("page/index.html")),
        ("style.css", "text/css; charset=utf-8", include_str!("page/style.css")),
        ("icon.svg", "image/svg+xml", include_str!("page/icon.svg")),
        ("app.js", script, include_str!("page/app.js")),
        ("server.js", script, include_str!("page/server.js")),
        ("torrents.js", script, include_str!("page/torrents.js")),
        ("player.js", script, include_str!("page/player.js")),
        ("pictures.js", script, include_str!("page/pictures.js")),
        ("operator.js", script, include_str!("page/operator.js")),
        ("words.js", script, include_str!("page/words.js")),
    ]
    .map(part)
    .into()
});

/// `GET /` and `GET /page/{name}`.
pub fn file(ask: &Ask, name: &str) -> Result<Response, Problem> {
    ask.only("GET, HEAD")?;
    let part = PARTS.iter().find(|part| part.name == name).ok_or_else(Problem::not_found)?;
    let known = ask.headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|tags| tags.to_str().ok());
    let fresh =
        known.flat_map(|tags| tags.split(',')).any(|tag| tag.trim().trim_start_matches("W/") == part.etag);
    let mut response = Response::new(if fresh { "" } else { part.text }.into());
    if fresh {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    }
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(part.kind));
    reply::put(headers, header::ETAG, &part.etag);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    Ok(response)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value as Json, json};

    use super::*;

    #[test]
    fn every_part_of_the_page_is_described() {
        let api: Json = serde_json::from_str(include_str!("openapi.json")).expect("JSON");
        let parts: Vec<_> = PARTS.iter().filter(|part| !part.name.is_empty()).collect();
        let names: Vec<_> = parts.iter().map(|part| part.name).collect();
        assert_eq!(api["components"]["parameters"]["part"]["schema"]["enum"], json!(names));
        let kinds = &api["paths"]["/page/{part}"]["get"]["responses"]["200"]["content"];
        for Part { name, kind, .. } in parts {
            let kind = kind.split(';').next().unwrap_or_default();
            assert!(kinds[kind].is_object(), "{name} is {kind}");
        }
    }
}
