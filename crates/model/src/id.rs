//! The identities that everything else refers to.

use crate::MAX_NAME;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::borrow::Borrow;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// A node's incarnation, another one at every start: 64 bits of a digest of its name and of random bytes, to which it is held by
/// whoever it meets. Zero is excluded.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[repr(transparent)]
pub struct NodeId(pub u64);

/// A process: the incarnation of its home and a serial that its home never uses again.
/// Serials start at 1, so that an all-zero pid means "none". Laid out as `convoke_pid` in C: snapshots are lent as they are.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[repr(C)]
pub struct Pid {
    pub node: NodeId,
    pub serial: u64,
}

/// Names a monitor or a pending operation of one node (`convoke_ref` in C). Given out by the caller's side; 0 is none.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Ref(pub u64);

/// One transport connection, numbered by the driver, never used again. A reconnect is a new connection.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ConnectionId(pub u64);

/// A name: any bytes, 1 to [`Limits::name`](crate::Limits) of them. Cheap to clone.
///
/// Tables hold very many: a short one lies in the table itself, so that comparing it reads no other memory.
#[derive(Clone)]
pub struct Name(Text);

#[derive(Clone)]
enum Text {
    Short { len: u8, bytes: [u8; SHORT] },
    Long(Arc<[u8]>),
}

/// As long as costs nothing beyond what `Long` takes with its tag, and a little more: 24 bytes in all.
const SHORT: usize = 22;

/// A user's payload: bytes that Convoke never looks into. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Payload(Option<Arc<[u8]>>);

impl Name {
    pub fn new(bytes: &[u8]) -> Self {
        let mut short = [0; SHORT];
        match short.get_mut(..bytes.len()) {
            Some(room) => {
                room.copy_from_slice(bytes);
                Self(Text::Short { len: bytes.len() as u8, bytes: short })
            }
            None => Self(Text::Long(bytes.into())),
        }
    }
    pub fn as_bytes(&self) -> &[u8] {
        match &self.0 {
            Text::Short { len, bytes } => &bytes[..usize::from(*len)],
            Text::Long(bytes) => bytes,
        }
    }
}

impl PartialEq for Name {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}
impl Eq for Name {}
impl PartialOrd for Name {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Name {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.as_bytes().cmp(other.as_bytes())
    }
}
impl Hash for Name {
    /// Like the bytes themselves: tables are asked with either.
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_bytes().hash(state);
    }
}

impl Borrow<[u8]> for Name {
    fn borrow(&self) -> &[u8] {
        self.as_bytes()
    }
}

impl Payload {
    pub fn new(bytes: &[u8]) -> Self {
        Self((!bytes.is_empty()).then(|| bytes.into()))
    }
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_deref().unwrap_or_default()
    }
}

impl From<Vec<u8>> for Payload {
    fn from(bytes: Vec<u8>) -> Self {
        Self((!bytes.is_empty()).then(|| bytes.into()))
    }
}

/// Reads bytes without trusting the length that stands before them: the codec checks it against what is there.
struct BytesVisitor;

impl serde::de::Visitor<'_> for BytesVisitor {
    type Value = Name;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("bytes")
    }
    fn visit_bytes<E: serde::de::Error>(self, bytes: &[u8]) -> Result<Name, E> {
        let too_long = || E::custom("a name that is too long");
        (bytes.len() <= MAX_NAME).then(|| Name::new(bytes)).ok_or_else(too_long)
    }
    fn visit_byte_buf<E: serde::de::Error>(self, bytes: Vec<u8>) -> Result<Name, E> {
        self.visit_bytes(&bytes)
    }
}

impl Serialize for Name {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_bytes(self.as_bytes())
    }
}

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        d.deserialize_bytes(BytesVisitor)
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "n{:x}", self.0)
    }
}
impl fmt::Debug for Pid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}.{}", self.node, self.serial)
    }
}
impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.as_bytes().escape_ascii())
    }
}
impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{} bytes]", self.as_bytes().len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::hash::BuildHasher;

    #[test]
    fn short_and_long_names_are_their_bytes() {
        let hasher = foldhash::fast::FixedState::default();
        let text = [7; SHORT + 2];
        let names: Vec<Name> = (0..=text.len()).map(|len| Name::new(&text[..len])).collect();
        for (len, name) in names.iter().enumerate() {
            assert_eq!(name.as_bytes(), &text[..len]);
            assert_eq!(hasher.hash_one(name), hasher.hash_one(&text[..len]));
        }
        assert!(names.is_sorted());
        assert_eq!(size_of::<Name>(), 24);
    }
}
