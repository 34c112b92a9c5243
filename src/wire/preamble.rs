//! The first words of a connection, in the clear: of a fixed layout that is taken apart by hand, before anything else of
//! a stranger is looked at.
//!
//! The end that dials speaks first. The other answers with a preamble of its own, which accepts or says why not, and only
//! then a cipher and frames begin. All numbers are little-endian.
//!
//! | at | bytes | what |
//! |---|---|---|
//! | 0 | 8 | `CONVOKE`, and a zero |
//! | 8 | 2, 2 | the first and the last version of the protocol that the sender speaks |
//! | 12 | 1 | the length of the preamble, all of it |
//! | 13 | 1 | how many hints there are |
//! | 14 | 1 | how the sender protects its links ([`Mode`]) |
//! | 15 | 1 | 0: it dials; 1: it accepts; from 2 on: it does not ([`Denial`]) |
//! | 16 | 16 | what binds the sender's name and incarnation, see [`Binding`] |
//! | 32 | 8 | plain links: a digest of the cluster's name |
//! | 40 | 8 each | hints of the secrets that the dialler knows, or of the one that is accepted |
//! | | 8 each | of a dialler: for each hint a MAC of all before the MACs, under a key made of that secret |
//!
//! So who listens knows a holder of the secret by its first words, and need keep no place and no answer for anybody else.
//! A MAC that was recorded is as good as new, but not twice at the same node, and what comes behind it is bound to the answer.
//!
//! The first 16 bytes keep their place in every version. A later version may put more behind all this; it is skipped.

use super::WireError;
use super::secret::{Hint, MAX_SECRETS};
use crate::model::NodeId;
use blake2::{Blake2s256, Digest};

/// The first bytes of every connection.
pub(super) const MAGIC: [u8; 8] = *b"CONVOKE\0";
/// What a preamble has before its hints.
const FIXED: usize = 40;
/// The part that every version understands.
const HEAD: usize = 16;
/// A MAC is so long: enough for something that can only be tried on a node that listens.
pub(super) const MAC: usize = 8;

/// How a node protects its links. Both ends of one do it alike.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Mode {
    Plain = 0,
    Secret = 1,
    Tls = 2,
}

impl Mode {
    fn from_byte(byte: u8) -> Option<Self> {
        [Self::Plain, Self::Secret, Self::Tls].into_iter().find(|mode| *mode as u8 == byte)
    }
}

/// Why the end that was dialled does not go on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Denial {
    /// There is no common version of the protocol.
    Version = 2,
    /// It protects its links in another way.
    Mode = 3,
    /// It belongs to another cluster.
    Cluster = 4,
    /// It knows none of the secrets.
    Secret = 5,
    /// Too many handshakes are under way.
    Busy = 6,
}

impl Denial {
    pub const ALL: [Self; 5] = [Self::Version, Self::Mode, Self::Cluster, Self::Secret, Self::Busy];

    fn from_byte(byte: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|denial| *denial as u8 == byte)
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Opcode {
    Dial,
    Accept,
    Deny(Denial),
    /// A refusal of a later version.
    DenyUnknown(u8),
}

/// A digest of a node's name, its incarnation and a random number that is told under the cipher only. So both are part of
/// what the two ends agree on from the first byte, and nobody else can read or guess them.
pub(super) type Binding = [u8; 16];

pub(super) fn binding(nonce: &[u8; 16], node: NodeId, name: &str) -> Binding {
    let digest = Blake2s256::new()
        .chain_update(b"convoke 1 binding\0")
        .chain_update(nonce)
        .chain_update(node.0.to_le_bytes())
        .chain_update(name)
        .finalize();
    let mut binding = [0; 16];
    binding.copy_from_slice(&digest[..16]);
    binding
}

/// A digest of a cluster's name.
pub(super) fn cluster_digest(cluster: &str) -> [u8; 8] {
    let digest = Blake2s256::new().chain_update(b"convoke 1 cluster\0").chain_update(cluster).finalize();
    let mut short = [0; 8];
    short.copy_from_slice(&digest[..8]);
    short
}

/// The highest version of both ranges.
pub(super) fn common(mine: (u16, u16), theirs: (u16, u16)) -> Option<u16> {
    let highest = mine.1.min(theirs.1);
    (mine.0 <= highest && theirs.0 <= highest).then_some(highest)
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Preamble {
    pub(super) versions: (u16, u16),
    /// `None`: one that this version does not know.
    pub(super) mode: Option<Mode>,
    pub(super) word: Opcode,
    pub(super) binding: Binding,
    pub(super) cluster: [u8; 8],
    hints: [Hint; MAX_SECRETS],
    count: u8,
}

impl Preamble {
    /// Hints beyond [`MAX_SECRETS`] are left out.
    pub(super) fn new(
        versions: (u16, u16),
        mode: Mode,
        word: Opcode,
        hints: impl IntoIterator<Item = Hint>,
    ) -> Self {
        let mut preamble = Self {
            versions,
            mode: Some(mode),
            word,
            binding: [0; 16],
            cluster: [0; 8],
            hints: [[0; 8]; MAX_SECRETS],
            count: 0,
        };
        for (slot, hint) in preamble.hints.iter_mut().zip(hints) {
            *slot = hint;
            preamble.count += 1;
        }
        preamble
    }

    pub(super) fn hints(&self) -> &[Hint] {
        &self.hints[..usize::from(self.count)]
    }

    /// How long the preamble with so many hints is.
    fn length(word: Opcode, count: usize) -> usize {
        let macs = if word == Opcode::Dial { count * MAC } else { 0 };
        FIXED + 8 * count + macs
    }

    /// Of one that dials all but the MACs, which belong behind it.
    pub(super) fn encode(&self) -> Vec<u8> {
        let hints = self.hints();
        let length = Self::length(self.word, hints.len());
        let mut out = Vec::with_capacity(length);
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&self.versions.0.to_le_bytes());
        out.extend_from_slice(&self.versions.1.to_le_bytes());
        out.push(length as u8); // at most 168
        out.push(self.count);
        out.push(self.mode.map_or(0xff, |mode| mode as u8));
        out.push(match self.word {
            Opcode::Dial => 0,
            Opcode::Accept => 1,
            Opcode::Deny(denial) => denial as u8,
            Opcode::DenyUnknown(byte) => byte,
        });
        out.extend_from_slice(&self.binding);
        out.extend_from_slice(&self.cluster);
        out.extend(hints.iter().flatten());
        out
    }

    /// The preamble at the start of `bytes` and its length. `None`: there is more of it to come. Whatever cannot become
    /// one is an error as soon as that can be told, and so are ranges of versions that have none in common.
    pub(super) fn decode(bytes: &[u8], mine: (u16, u16)) -> Result<Option<(Self, usize)>, WireError> {
        let known = bytes.len().min(MAGIC.len());
        if bytes[..known] != MAGIC[..known] {
            return Err(WireError::Stranger);
        }
        let Some(head) = bytes.first_chunk::<HEAD>() else { return Ok(None) };
        let versions = (u16::from_le_bytes([head[8], head[9]]), u16::from_le_bytes([head[10], head[11]]));
        if versions.0 > versions.1 {
            return Err(WireError::Stranger);
        }
        if common(mine, versions).is_none() {
            return Err(WireError::Version(versions, mine));
        }
        let [length, count, mode, word] = [head[12], head[13], head[14], head[15]];
        let word = match word {
            0 => Opcode::Dial,
            1 => Opcode::Accept,
            byte => Denial::from_byte(byte).map_or(Opcode::DenyUnknown(byte), Opcode::Deny),
        };
        let (length, count) = (usize::from(length), usize::from(count));
        if count > MAX_SECRETS || length < Self::length(word, count) {
            return Err(WireError::Stranger);
        }
        let Some(whole) = bytes.get(..length) else { return Ok(None) };
        let (hints, _) = whole[FIXED..].as_chunks::<8>();
        let hints = hints.iter().copied().take(count);
        let mut preamble = Self::new(versions, Mode::Plain, word, hints);
        preamble.mode = Mode::from_byte(mode);
        preamble.binding.copy_from_slice(&whole[16..32]);
        preamble.cluster.copy_from_slice(&whole[32..40]);
        Ok(Some((preamble, length)))
    }
}

/// Of a dialler's preamble that was decoded: what its MACs are of, and the one that goes with the hint at this place.
pub(super) fn signed(whole: &[u8], at: usize) -> Option<(&[u8], &[u8])> {
    let count = usize::from(*whole.get(13)?);
    let (said, macs) = whole.split_at_checked(FIXED + 8 * count)?;
    (at < count).then_some(())?;
    Some((said, macs.get(at * MAC..(at + 1) * MAC)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Preamble {
        let mut preamble = Preamble::new((1, 3), Mode::Secret, Opcode::Dial, [[1; 8], [2; 8]]);
        preamble.binding = [7; 16];
        preamble.cluster = [9; 8];
        preamble
    }

    /// As it travels.
    fn encoded() -> Vec<u8> {
        [&sample().encode()[..], &[3; 8], &[4; 8]].concat()
    }

    #[test]
    fn golden() {
        let golden = [
            &b"CONVOKE\0\x01\0\x03\0\x48\x02\x01\0"[..],
            &[7; 16],
            &[9; 8],
            &[1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2],
            &[3, 3, 3, 3, 3, 3, 3, 3, 4, 4, 4, 4, 4, 4, 4, 4],
        ]
        .concat();
        assert_eq!(encoded(), golden);
        assert_eq!(signed(&golden, 0), Some((&golden[..56], &[3; 8][..])));
        assert_eq!(signed(&golden, 1), Some((&golden[..56], &[4; 8][..])));
        assert_eq!((signed(&golden, 2), signed(&golden[..60], 1)), (None, None));
        assert_eq!(Preamble::decode(&golden, (1, 1)), Ok(Some((sample(), golden.len()))));
        for (word, byte) in [
            (Opcode::Dial, 0),
            (Opcode::Accept, 1),
            (Opcode::Deny(Denial::Version), 2),
            (Opcode::Deny(Denial::Mode), 3),
            (Opcode::Deny(Denial::Cluster), 4),
            (Opcode::Deny(Denial::Secret), 5),
            (Opcode::Deny(Denial::Busy), 6),
            (Opcode::DenyUnknown(7), 7),
        ] {
            for (mode, number) in [(Mode::Plain, 0), (Mode::Secret, 1), (Mode::Tls, 2)] {
                let bytes = Preamble::new((1, 1), mode, word, []).encode();
                assert_eq!((bytes[14], bytes[15], bytes.len()), (number, byte, FIXED));
                let (decoded, _) = Preamble::decode(&bytes, (1, 1)).unwrap().unwrap();
                assert_eq!((decoded.mode, decoded.word), (Some(mode), word));
            }
        }
    }

    /// Digests are of the protocol too.
    #[test]
    fn golden_digests() {
        let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
        assert_eq!(hex(&cluster_digest("default")), "08e801bf51c8c1fc");
        assert_eq!(hex(&binding(&[3; 16], NodeId(5), "ann")), "a017c544fb3e690e2511ebb3fc0c95a3");
    }

    #[test]
    fn it_is_awaited_to_its_end_and_no_further() {
        let mut bytes = encoded();
        for cut in 0..bytes.len() {
            assert_eq!(Preamble::decode(&bytes[..cut], (1, 1)), Ok(None), "{cut} bytes");
        }
        bytes.extend(b"what follows");
        assert_eq!(Preamble::decode(&bytes, (1, 1)), Ok(Some((sample(), bytes.len() - 12))));
    }

    #[test]
    fn a_later_version_may_say_more() {
        let mut bytes = encoded();
        bytes.extend([0xee; 20]);
        bytes[12] += 20;
        bytes[14] = 9;
        let expected = Preamble { mode: None, ..sample() };
        assert_eq!(Preamble::decode(&bytes, (1, 1)), Ok(Some((expected, bytes.len()))));
    }

    #[test]
    fn garbage_is_known_by_its_first_bytes() {
        for garbage in [&b"G"[..], b"CONVOKF", b"\0", b"CONVOKE1", b"CONVOKE\0\x02\0\x01\0\x28\0\0\0"] {
            assert_eq!(Preamble::decode(garbage, (1, 9)), Err(WireError::Stranger), "{garbage:?}");
        }
        for (at, byte) in [(12, 0), (12, 71), (13, 9), (13, 255)] {
            let mut bytes = encoded();
            bytes[at] = byte;
            assert_eq!(Preamble::decode(&bytes, (1, 1)), Err(WireError::Stranger));
        }
    }

    #[test]
    fn the_highest_common_version_is_spoken() {
        for (mine, theirs, version) in [
            ((1, 1), (1, 1), Some(1)),
            ((1, 1), (1, 4), Some(1)),
            ((1, 3), (2, 5), Some(3)),
            ((2, 5), (1, 3), Some(3)),
            ((1, 1), (2, 5), None),
            ((3, 4), (1, 2), None),
            ((0, u16::MAX), (7, 7), Some(7)),
        ] {
            assert_eq!(common(mine, theirs), version);
            let bytes = Preamble::new(theirs, Mode::Plain, Opcode::Dial, []).encode();
            let decoded = Preamble::decode(&bytes, mine);
            match version {
                Some(_) => assert!(matches!(decoded, Ok(Some(_)))),
                None => assert_eq!(decoded, Err(WireError::Version(theirs, mine))),
            }
        }
    }
}
