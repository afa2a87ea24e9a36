//! Bencode, just enough to write torrents and to talk to peers, trackers and DHT nodes.
//!
//! Own and lenient on purpose: the hostile torrents of these tests are what a careful library refuses to write.

use std::collections::BTreeMap;

/// One bencoded value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    Int(i64),
    /// An integer as these digits, which may be more than any type has room for. Never decoded.
    Number(String),
    Bytes(Vec<u8>),
    List(Vec<Value>),
    Dict(BTreeMap<Vec<u8>, Value>),
}

impl Value {
    pub fn bytes(bytes: impl AsRef<[u8]>) -> Self {
        Value::Bytes(bytes.as_ref().to_vec())
    }

    pub fn dict<K: AsRef<[u8]>>(entries: impl IntoIterator<Item = (K, Value)>) -> Self {
        Value::Dict(entries.into_iter().map(|(key, value)| (key.as_ref().to_vec(), value)).collect())
    }

    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.encode_into(&mut out);
        out
    }

    fn encode_into(&self, out: &mut Vec<u8>) {
        match self {
            Value::Int(number) => out.extend(format!("i{number}e").bytes()),
            Value::Number(digits) => out.extend(format!("i{digits}e").bytes()),
            Value::Bytes(bytes) => encode_bytes(bytes, out),
            Value::List(items) => {
                out.push(b'l');
                items.iter().for_each(|item| item.encode_into(out));
                out.push(b'e');
            }
            Value::Dict(entries) => {
                out.push(b'd');
                for (key, value) in entries {
                    encode_bytes(key, out);
                    value.encode_into(out);
                }
                out.push(b'e');
            }
        }
    }

    /// Decodes one value; also says how many bytes it took, because messages carry raw data behind it.
    pub fn decode(input: &[u8]) -> Option<(Value, usize)> {
        let mut rest = input;
        let value = decode_value(&mut rest)?;
        Some((value, input.len() - rest.len()))
    }

    pub fn get(&self, key: &str) -> Option<&Value> {
        match self {
            Value::Dict(entries) => entries.get(key.as_bytes()),
            _ => None,
        }
    }

    /// The keys of a dictionary.
    pub fn keys(&self) -> Vec<String> {
        let Value::Dict(entries) = self else { return Vec::new() };
        entries.keys().map(|key| String::from_utf8_lossy(key).into_owned()).collect()
    }

    pub fn as_int(&self) -> Option<i64> {
        match self {
            Value::Int(number) => Some(*number),
            _ => None,
        }
    }

    pub fn as_bytes(&self) -> Option<&[u8]> {
        match self {
            Value::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Value::bytes(text)
    }
}

fn encode_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    out.extend(format!("{}:", bytes.len()).bytes());
    out.extend(bytes);
}

fn decode_value(rest: &mut &[u8]) -> Option<Value> {
    match *rest.first()? {
        b'i' => {
            *rest = &rest[1..];
            Some(Value::Int(take_until(rest, b'e')?.parse().ok()?))
        }
        b'l' => Some(Value::List(decode_items(rest, decode_value)?)),
        b'd' => {
            let entries = decode_items(rest, |rest| Some((decode_bytes(rest)?, decode_value(rest)?)))?;
            Some(Value::Dict(entries.into_iter().collect()))
        }
        _ => decode_bytes(rest).map(Value::Bytes),
    }
}

fn decode_items<T>(rest: &mut &[u8], item: impl Fn(&mut &[u8]) -> Option<T>) -> Option<Vec<T>> {
    *rest = &rest[1..];
    let mut items = Vec::new();
    while *rest.first()? != b'e' {
        items.push(item(rest)?);
    }
    *rest = &rest[1..];
    Some(items)
}

fn decode_bytes(rest: &mut &[u8]) -> Option<Vec<u8>> {
    let len: usize = take_until(rest, b':')?.parse().ok()?;
    let bytes = rest.get(..len)?.to_vec();
    *rest = &rest[len..];
    Some(bytes)
}

fn take_until<'a>(rest: &mut &'a [u8], end: u8) -> Option<&'a str> {
    let at = rest.iter().position(|&byte| byte == end)?;
    let text = std::str::from_utf8(&rest[..at]).ok()?;
    *rest = &rest[at + 1..];
    Some(text)
}
