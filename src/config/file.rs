//! The configuration file and the trackers file, read with errors that say where.

use std::{
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
};

use url::Url;

use super::{Directories, Layer, values};
use crate::core::Error;

/// The file at `explicit`, which must be there, or the usual one, which need not.
pub(super) fn read(explicit: Option<&Path>, directories: &Directories) -> Result<Layer, Error> {
    let Some(path) = explicit.map(PathBuf::from).or_else(|| directories.config_file()) else {
        return Ok(Layer::default());
    };
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if explicit.is_none() && is_absent(&error) => return Ok(Layer::default()),
        Err(error) => return Err(unreadable("configuration file", &path, &error)),
    };
    let layer = parse(&text).map_err(|fault| Error::Usage(format!("{}, {fault}", path.display())))?;
    Ok(layer.anchored_at(path.parent().unwrap_or(Path::new("")), directories))
}

/// The trackers of a list with one URL a line; `#` starts a comment.
pub(super) fn read_trackers(path: &Path) -> Result<Vec<Url>, Error> {
    let text = fs::read_to_string(path).map_err(|error| unreadable("trackers file", path, &error))?;
    let mut trackers = Vec::new();
    for (number, line) in text.lines().enumerate() {
        // A fragment has no meaning in an announce URL, so `#` can start a comment anywhere.
        let line = line.split('#').next().unwrap_or_default().trim();
        if line.is_empty() {
            continue;
        }
        let tracker = values::tracker(line).map_err(|expected| {
            Error::Usage(format!("{}, line {}: {expected}", path.display(), number + 1))
        })?;
        trackers.push(tracker);
    }
    Ok(trackers)
}

pub(super) fn parse(text: &str) -> Result<Layer, String> {
    let document = toml::Deserializer::parse(text).map_err(|error| fault(text, "", &error))?;
    serde_path_to_error::deserialize(document)
        .map_err(|error| fault(text, &error.path().to_string(), error.inner()))
}

/// "line 3: waits.timeout: expected …".
fn fault(text: &str, path: &str, error: &toml::de::Error) -> String {
    let at = error.span().map_or(text.len(), |span| span.start);
    let line = text.as_bytes().iter().take(at).filter(|&&byte| byte == b'\n').count();
    let message = without_value(error.message()).replacen("unknown field", "unknown key", 1);
    let key = match path {
        "" | "." => text.lines().nth(line).and_then(key_of),
        path => Some(path),
    };
    let subject = key.map(|key| format!("{key}: ")).unwrap_or_default();
    format!("line {}: {subject}{message}{}", line + 1, spelling(path, &message))
}

/// The key of `key = value`. Nothing else of a line that cannot be read is shown: a secret, or a part of one, may stand
/// anywhere in it.
fn key_of(line: &str) -> Option<&str> {
    let key = line.split_once(" =")?.0.trim();
    let is_bare = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
    (!key.is_empty() && key.chars().all(is_bare)).then_some(key)
}

/// A text where something else was expected may be a secret as well.
fn without_value(message: &str) -> String {
    match (message.split_once(": string \""), message.rsplit_once("\", expected ")) {
        (Some((before, _)), Some((_, expected))) => format!("{before}: text, expected {expected}"),
        _ => message.to_owned(),
    }
}

/// Flags are spelt with dashes, keys with underscores: the one mistake worth a word of its own.
fn spelling(key: &str, message: &str) -> &'static str {
    let dashed = key.contains('-') && message.starts_with("unknown key");
    if dashed { " (keys are spelt with _, not -)" } else { "" }
}

fn is_absent(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

fn unreadable(what: &str, path: &Path, error: &std::io::Error) -> Error {
    Error::Usage(format!("cannot read the {what} {}: {error}", path.display()))
}

/// Values as [`values`] reads them, for serde.
pub(super) mod de {
    use std::{
        fmt,
        net::{IpAddr, SocketAddr},
        num::NonZeroU32,
        time::Duration,
    };

    use serde::{
        Deserializer,
        de::{DeserializeSeed, Error, SeqAccess, Visitor},
    };
    use url::Url;

    use crate::{
        config::{LogFormat, ProgressMode, values},
        http::{
            guard::{self, HostName},
            listen::Place,
            token::Token,
        },
    };

    /// Text, or a number that is read as its digits, so that `min_free = 0` needs no quotes.
    struct Text;

    impl Visitor<'_> for Text {
        type Value = String;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("text or a number")
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<String, E> {
            Ok(text.to_owned())
        }

        fn visit_i64<E: Error>(self, number: i64) -> Result<String, E> {
            Ok(number.to_string())
        }
    }

    /// One value: the function that reads it, and how an error shows it.
    struct One<T>(fn(&str) -> Result<T, String>, fn(&str) -> String);

    fn shown(text: &str) -> String {
        format!("{text:?}: ")
    }

    fn hidden(_: &str) -> String {
        String::new()
    }

    impl<'de, T> DeserializeSeed<'de> for One<T> {
        type Value = T;

        fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<T, D::Error> {
            let text = deserializer.deserialize_any(Text)?;
            (self.0)(&text).map_err(|expected| D::Error::custom((self.1)(&text) + &expected))
        }
    }

    /// A list of them; each has its own place in the file, and so in an error.
    struct Many<T>(fn(&str) -> Result<T, String>, fn(&str) -> String);

    impl<'de, T> Visitor<'de> for Many<T> {
        type Value = Vec<T>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a list")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<T>, A::Error> {
            let mut values = Vec::new();
            while let Some(value) = list.next_element_seed(One(self.0, self.1))? {
                values.push(value);
            }
            Ok(values)
        }
    }

    fn one<'de, D: Deserializer<'de>, T>(
        deserializer: D,
        read: fn(&str) -> Result<T, String>,
    ) -> Result<Option<T>, D::Error> {
        One(read, shown).deserialize(deserializer).map(Some)
    }

    fn secret<'de, D: Deserializer<'de>, T>(
        deserializer: D,
        read: fn(&str) -> Result<T, String>,
    ) -> Result<Option<T>, D::Error> {
        One(read, hidden).deserialize(deserializer).map(Some)
    }

    fn many<'de, D: Deserializer<'de>, T>(
        deserializer: D,
        read: fn(&str) -> Result<T, String>,
    ) -> Result<Option<Vec<T>>, D::Error> {
        deserializer.deserialize_any(Many(read, shown)).map(Some)
    }

    fn secrets<'de, D: Deserializer<'de>, T>(
        deserializer: D,
        read: fn(&str) -> Result<T, String>,
    ) -> Result<Option<Vec<T>>, D::Error> {
        deserializer.deserialize_any(Many(read, hidden)).map(Some)
    }

    macro_rules! readers {
        ($($name:ident: $how:ident($read:expr) -> $value:ty;)*) => {$(
            pub fn $name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<$value>, D::Error> {
                $how(deserializer, $read)
            }
        )*};
    }

    readers! {
        size: one(values::size) -> u64;
        rate: one(values::rate) -> NonZeroU32;
        duration: one(values::duration) -> Duration;
        duration_or_zero: one(values::duration_or_zero) -> Duration;
        count: one(values::count) -> NonZeroU32;
        port: one(values::port) -> u16;
        peer_limit: one(values::peer_limit) -> usize;
        proxy: secret(values::proxy) -> Url;
        device: one(values::device) -> String;
        log_format: one(LogFormat::read) -> LogFormat;
        progress: one(ProgressMode::read) -> ProgressMode;
        peers: many(values::peer) -> Vec<SocketAddr>;
        trackers: secrets(values::tracker) -> Vec<Url>;
        hosts: many(values::host_port) -> Vec<String>;
        places: many(values::place) -> Vec<Place>;
        token: secret(Token::read) -> Token;
        http_url: one(values::http_url) -> Url;
        host_names: many(guard::host_name) -> Vec<HostName>;
        origins: many(values::origin) -> Vec<String>;
        addresses: many(values::address) -> Vec<IpAddr>;
    }
}
