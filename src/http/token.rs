//! The secret that opens the server, and links that it has signed: for a device that cannot keep a secret, for one
//! file, for some hours.
//!
//! Everything is compared through a keyed hash, in a time that tells nothing.

use std::{fmt, time::Duration};

use hmac::{Hmac, Mac};
use sha2::Sha256;
use time::OffsetDateTime;

use crate::core::source::InfoHash;

/// The shortest secret that is worth the name.
const SHORTEST: usize = 16;

/// A link is good for no longer: whoever has it, has it.
pub const LONGEST: Duration = Duration::from_secs(7 * 24 * 3600);

/// What a link is about: everything in its URL that decides what is answered.
pub type Pairs<'a> = &'a [(String, String)];

/// A secret. Never printed.
#[derive(Clone)]
pub struct Token(Vec<u8>);

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// Why a link does not open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BadLink {
    /// Its time is over.
    Expired,
    /// It was not signed with this token, or was changed since.
    Forged,
}

impl Token {
    /// Reads a secret: at least 16 characters that need no encoding in a URL or a header.
    pub fn read(text: &str) -> Result<Self, String> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
        if text.len() < SHORTEST || !text.bytes().all(plain) {
            return Err(format!(
                "expected at least {SHORTEST} letters, digits, or any of - . _ ~ (try: openssl rand -hex 16)"
            ));
        }
        Ok(Self(text.as_bytes().to_vec()))
    }

    /// Whether `given` is the secret.
    pub fn is(&self, given: &[u8]) -> bool {
        let expected = mac(&self.0, b"token", &[&self.0]).finalize().into_bytes();
        mac(&self.0, b"token", &[given]).verify(&expected).is_ok()
    }

    /// The signature of a link to `info_hash` that says `pairs` (`expires` among them).
    pub fn sign(&self, info_hash: &InfoHash, pairs: Pairs<'_>) -> String {
        data_encoding::HEXLOWER.encode(&self.link(info_hash, pairs).finalize().into_bytes())
    }

    /// Whether the link with `pairs` (`expires` and `sig` among them) opens now.
    pub fn verify(&self, info_hash: &InfoHash, pairs: Pairs<'_>, now: OffsetDateTime) -> Result<(), BadLink> {
        let value = |name| pairs.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
        let signature = value("sig").and_then(|sig| data_encoding::HEXLOWER.decode(sig.as_bytes()).ok());
        let signature = signature.ok_or(BadLink::Forged)?;
        self.link(info_hash, pairs).verify_slice(&signature).map_err(|_| BadLink::Forged)?;
        let expires: i64 = value("expires").and_then(|at| at.parse().ok()).ok_or(BadLink::Forged)?;
        if now.unix_timestamp() < expires { Ok(()) } else { Err(BadLink::Expired) }
    }

    fn link(&self, info_hash: &InfoHash, pairs: Pairs<'_>) -> Hmac<Sha256> {
        let mut said: Vec<_> = pairs.iter().filter(|(key, _)| key != "sig").collect();
        said.sort();
        let parts: Vec<&[u8]> =
            said.iter().flat_map(|(key, value)| [key.as_bytes(), value.as_bytes()]).collect();
        let mut parts_with_hash: Vec<&[u8]> = vec![info_hash.bytes()];
        parts_with_hash.extend(parts);
        mac(&self.0, b"link", &parts_with_hash)
    }
}

/// Each part with its length, so that no two lists of parts look the same.
fn mac(key: &[u8], purpose: &[u8], parts: &[&[u8]]) -> Hmac<Sha256> {
    // HMAC takes keys of any length.
    let mut mac = <Hmac<Sha256> as Mac>::new_from_slice(key).expect("HMAC takes keys of any length");
    for part in std::iter::once(&purpose).chain(parts) {
        mac.update(&(part.len() as u64).to_be_bytes());
        mac.update(part);
    }
    mac
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: InfoHash = InfoHash::new([7; 20]);

    fn token() -> Token {
        Token::read("0123456789abcdef").expect("long enough")
    }

    fn pairs(text: &str) -> Vec<(String, String)> {
        url::form_urlencoded::parse(text.as_bytes()).into_owned().collect()
    }

    #[test]
    fn only_the_secret_is_the_secret() {
        assert!(token().is(b"0123456789abcdef"));
        for wrong in ["", "0123456789abcde", "0123456789abcdeF", "0123456789abcdef0"] {
            assert!(!token().is(wrong.as_bytes()), "{wrong}");
        }
        assert!(!format!("{:?}", token()).contains("0123"));
        for weak in ["short", "with a space in between", "0123456789abcde&"] {
            assert!(Token::read(weak).is_err(), "{weak}");
        }
    }

    #[test]
    fn a_link_opens_what_it_was_signed_for_until_it_expires() {
        let at = |seconds| OffsetDateTime::from_unix_timestamp(seconds).expect("a time");
        let signed = "file=2&expires=1000";
        let sig = token().sign(&HASH, &pairs(signed));
        let verify = |hash: &InfoHash, text: &str, now| token().verify(hash, &pairs(text), at(now));
        assert_eq!(verify(&HASH, &format!("{signed}&sig={sig}"), 999), Ok(()));
        assert_eq!(verify(&HASH, &format!("sig={sig}&expires=1000&file=2"), 999), Ok(()));
        assert_eq!(verify(&HASH, &format!("{signed}&sig={sig}"), 1000), Err(BadLink::Expired));
        let changed = [
            format!("file=3&expires=1000&sig={sig}"),
            format!("file=2&expires=2000&sig={sig}"),
            format!("{signed}&force=1&sig={sig}"),
            format!("{signed}&sig={}", sig.to_uppercase()),
            format!("{signed}&sig={}", &sig[2..]),
            signed.to_owned(),
        ];
        for text in changed {
            assert_eq!(verify(&HASH, &text, 999), Err(BadLink::Forged), "{text}");
        }
        let other = InfoHash::new([8; 20]);
        assert_eq!(verify(&other, &format!("{signed}&sig={sig}"), 999), Err(BadLink::Forged));
        let unlimited = token().sign(&HASH, &pairs("file=2"));
        assert_eq!(verify(&HASH, &format!("file=2&sig={unlimited}"), 0), Err(BadLink::Forged));
    }
}
