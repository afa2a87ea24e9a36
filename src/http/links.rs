//! URLs of this server as it is called from outside: by `--public-url`, by what a trusted proxy says, or by the name that
//! the request used, which the guard has let through. With a token they are signed, each for what it opens.

use std::time::Duration;

use time::OffsetDateTime;
use url::Url;

use super::{
    guard::{Policy, Visitor},
    reply,
    token::Token,
};
use crate::core::source::InfoHash;

/// How long a signed link is good unless a request says so.
pub const USUAL: Duration = Duration::from_secs(12 * 3600);

type Pair = (String, String);

/// Makes URLs for one visitor.
#[derive(Debug)]
pub struct Links<'a> {
    base: Url,
    signed: Option<(&'a Token, OffsetDateTime)>,
}

impl<'a> Links<'a> {
    /// Links that are good until `expires`, if they need to be signed at all.
    pub fn new(policy: &'a Policy, visitor: &Visitor, expires: OffsetDateTime) -> Option<Self> {
        let scheme = if visitor.secure { "https" } else { "http" };
        let named = || Url::parse(&format!("{scheme}://{}/", visitor.authority)).ok();
        let base = policy.public_url.clone().or_else(named)?;
        Some(Self { base, signed: policy.token.as_ref().map(|token| (token, expires)) })
    }

    /// When they expire; `None` when they never do.
    pub fn expires(&self) -> Option<OffsetDateTime> {
        self.signed.map(|(_, expires)| expires)
    }

    /// A file by its number, with its name for players that judge by the extension, and what else the request says.
    pub fn file(&self, info_hash: &InfoHash, index: usize, path: &str, more: &[Pair]) -> Url {
        let said = [pair("file", &index.to_string())];
        let name = match path.rsplit('/').next().unwrap_or_default() {
            "" | "." | ".." => "file",
            name => name,
        };
        let path = format!("stream/proxy/{info_hash}/{index}/{}", reply::encoded(name));
        self.url(info_hash, &path, &said, more.to_vec())
    }

    /// The file that a request's `file` chooses, or the one that is chosen without.
    pub fn choice(&self, info_hash: &InfoHash, file: Option<&str>) -> Url {
        let asked = file.map(|file| pair("file", file)).into_iter().collect();
        self.url(info_hash, &format!("stream/proxy/{info_hash}"), &[], asked)
    }

    /// The playlist.
    pub fn playlist(&self, info_hash: &InfoHash) -> Url {
        self.url(info_hash, &format!("playlist/{info_hash}.m3u8"), &[pair("playlist", "1")], Vec::new())
    }

    /// `said` is what the path says already: it is signed, but not said again.
    fn url(&self, info_hash: &InfoHash, path: &str, said: &[Pair], mut query: Vec<Pair>) -> Url {
        if let Some((token, expires)) = self.signed {
            query.push(pair("expires", &expires.unix_timestamp().to_string()));
            let all: Vec<Pair> = query.iter().chain(said).cloned().collect();
            query.push(pair("sig", &token.sign(info_hash, &all)));
        }
        let mut url = self.base.clone();
        url.set_path(&format!("{}/{path}", self.base.path().trim_end_matches('/')));
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(&query);
        }
        url
    }
}

fn pair(key: &str, value: &str) -> Pair {
    (key.to_owned(), value.to_owned())
}
