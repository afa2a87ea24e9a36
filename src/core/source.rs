//! What a torrent can be named by: info hash, magnet URI, metainfo file or URL.

use std::{fmt, str::FromStr};

use super::Error;

/// A v1 info hash: 20 bytes, printed as lower hex.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct InfoHash([u8; 20]);

impl InfoHash {
    /// From its bytes.
    pub const fn new(bytes: [u8; 20]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    pub const fn bytes(&self) -> &[u8; 20] {
        &self.0
    }
}

impl fmt::Display for InfoHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&data_encoding::HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for InfoHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for InfoHash {
    type Err = Error;

    /// 40 hex or 32 base32 characters, either case.
    fn from_str(text: &str) -> Result<Self, Error> {
        let decoded = match text.len() {
            40 => data_encoding::HEXLOWER_PERMISSIVE.decode(text.as_bytes()).ok(),
            32 => data_encoding::BASE32.decode(text.to_ascii_uppercase().as_bytes()).ok(),
            _ => None,
        };
        decoded.and_then(|bytes| bytes.try_into().ok()).map(InfoHash).ok_or_else(|| {
            Error::BadSource(format!("{text:?} is not an info hash (40 hex or 32 base32 characters)"))
        })
    }
}

impl serde::Serialize for InfoHash {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for InfoHash {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}
