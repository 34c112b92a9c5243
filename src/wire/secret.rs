//! The secret that the nodes of a cluster share.
//!
//! A secret is 32 random bytes. Passwords are refused: whoever has recorded one handshake may try guesses on it at
//! leisure, and what people can remember is guessed.

use super::preamble::MAC;
use super::wiped::leaving_no_trace;
use crate::os::Hidden;
use blake2::Blake2sMac256;
use blake2::digest::Mac;
use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// The length of a secret in bytes.
pub const SECRET: usize = 32;
/// So many secrets a node may know at one time: the one that it prefers, and those that are on their way out or in.
pub const MAX_SECRETS: usize = 8;

const HOW_TO_MAKE_ONE: &str = "make one with convoke_secret_generate, or as text with: head -c 32 /dev/urandom | od -An -vtx1 | tr -d ' \\n'";

/// 32 bytes that get into no core dump and are erased when they are dropped. They stay in their place, so that they leave no copies.
type Erased = Hidden<Zeroizing<[u8; 32]>>;

/// Erased when it is dropped, and shown nowhere.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Erased);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

impl Secret {
    /// `Err`: what is wrong, and how to make a good one.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, String> {
        if bytes.len() != SECRET {
            return Err(format!(
                "a secret is exactly {SECRET} random bytes, not {}. Passwords are refused: whoever records one \
                 handshake can try guesses on it for ever; {HOW_TO_MAKE_ONE}",
                bytes.len()
            ));
        }
        let mut secret = Erased::default();
        secret.copy_from_slice(bytes);
        if is_guessable(&secret) {
            return Err(format!(
                "these bytes are not random (a text, a pattern, or all alike), so they can be guessed; \
                 {HOW_TO_MAKE_ONE}"
            ));
        }
        Ok(Self(secret))
    }

    /// 64 hexadecimal digits. `Err`: as for `from_bytes`; what was given is never repeated in it.
    pub fn from_text(text: &str) -> Result<Self, String> {
        let digits = text.as_bytes();
        if digits.len() != 2 * SECRET || !digits.iter().all(u8::is_ascii_hexdigit) {
            return Err(format!(
                "a secret as text is exactly {} hexadecimal digits. Passwords are refused: whoever records one \
                 handshake can try guesses on it for ever; {HOW_TO_MAKE_ONE}",
                2 * SECRET
            ));
        }
        let value = |digit: u8| (digit as char).to_digit(16).unwrap_or(0) as u8;
        let mut bytes = Erased::default();
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = value(pair[0]) << 4 | value(pair[1]);
        }
        Self::from_bytes(&**bytes)
    }

    /// A number that nobody can compute who does not know the secret, and that tells nothing about it.
    fn derive(&self, purpose: &str, cluster: &str) -> Erased {
        leaving_no_trace(|| {
            let mut derived = Erased::default();
            // A key of 32 bytes is one that BLAKE2s takes, so there is always a MAC.
            if let Ok(mac) = Blake2sMac256::new_from_slice(&**self.0) {
                let mac = mac.chain_update(purpose).chain_update([0]).chain_update(cluster);
                derived.copy_from_slice(&mac.finalize().into_bytes());
            }
            derived
        })
    }
}

/// What random bytes are practically never, and what people type.
fn is_guessable(bytes: &[u8; SECRET]) -> bool {
    let different: BTreeSet<u8> = bytes.iter().copied().collect();
    let is_text = bytes.iter().all(|byte| matches!(byte, b' '..=b'~'));
    let has_period = |period| (period..SECRET).all(|at| bytes[at] == bytes[at - period]);
    let step = bytes[1].wrapping_sub(bytes[0]);
    let is_sequence = bytes.windows(2).all(|pair| pair[1].wrapping_sub(pair[0]) == step);
    different.len() < 12 || is_text || is_sequence || (1..=SECRET / 2).any(has_period)
}

/// By what a secret is named on a connection: four bytes of it alone, four of it and the cluster's name, so that two ends
/// know what they differ in. Without the secret it tells nothing of either.
pub(super) type Hint = [u8; 8];

/// One secret, as it is used in one cluster.
#[derive(Clone)]
pub(super) struct Key {
    pub(super) hint: Hint,
    /// The pre-shared key of the Noise handshake.
    pub(super) psk: Erased,
    /// What the first words of a dialler are signed with.
    knock: Erased,
}

impl Key {
    #[cfg(test)]
    pub(super) fn for_test(psk: [u8; 32]) -> Self {
        Self { hint: [0; 8], psk: Hidden::new(psk.into()), knock: Erased::default() }
    }

    fn mac(&self, said: &[u8]) -> Option<Blake2sMac256> {
        // A key of 32 bytes is one that BLAKE2s takes, so there is always a MAC.
        Blake2sMac256::new_from_slice(&**self.knock).ok().map(|mac| mac.chain_update(said))
    }

    /// What only a holder of the secret can say of these words.
    pub(super) fn sign(&self, said: &[u8]) -> [u8; MAC] {
        let whole = self.mac(said).map(|mac| mac.finalize().into_bytes());
        whole.and_then(|whole| whole.first_chunk().copied()).unwrap_or_default()
    }

    pub(super) fn has_signed(&self, said: &[u8], mac: &[u8]) -> bool {
        mac.len() == MAC && self.mac(said).is_some_and(|own| own.verify_truncated_left(mac).is_ok())
    }
}

/// The secrets that a node knows, the one that it prefers first.
#[derive(Clone)]
pub struct Keyring {
    cluster: String,
    keys: Vec<Key>,
    /// See `of_user`.
    user_file: Option<PathBuf>,
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keyring of {}", self.keys.len())
    }
}

/// What of a peer's hints fits.
pub(super) enum Found<'a> {
    Key(&'a Key),
    /// The secret is known, and the peer uses it for a cluster of another name.
    OtherCluster,
    Nothing,
}

impl Keyring {
    /// `None`: no secret, or more than [`MAX_SECRETS`].
    pub fn new(cluster: &str, secrets: &[Secret]) -> Option<Self> {
        let key = |secret: &Secret| {
            let mut hint = [0; 8];
            hint[..4].copy_from_slice(&secret.derive("convoke 1 secret", "")[..4]);
            hint[4..].copy_from_slice(&secret.derive("convoke 1 cluster", cluster)[..4]);
            let psk = secret.derive("convoke 1 psk", cluster);
            Key { hint, psk, knock: secret.derive("convoke 2 knock", cluster) }
        };
        let count = secrets.len();
        let keys = || secrets.iter().map(key).collect();
        (1..=MAX_SECRETS).contains(&count).then(|| Self {
            cluster: cluster.to_owned(),
            keys: keys(),
            user_file: None,
        })
    }

    /// The secrets were given by nobody but made for one user of this machine, and lie in this file.
    pub fn of_user(self, file: PathBuf) -> Self {
        Self { user_file: Some(file), ..self }
    }

    pub(super) fn user_file(&self) -> Option<&Path> {
        self.user_file.as_deref()
    }

    pub(super) fn cluster(&self) -> &str {
        &self.cluster
    }

    pub(super) fn hints(&self) -> impl Iterator<Item = Hint> {
        self.keys.iter().map(|key| key.hint)
    }

    /// Appends a MAC of what is there already for each hint.
    pub(super) fn sign(&self, said: &mut Vec<u8>) {
        let end = said.len();
        for key in &self.keys {
            let mac = key.sign(&said[..end]);
            said.extend(mac);
        }
    }

    /// The first of the peer's secrets that is known here.
    pub(super) fn find(&self, hints: &[Hint]) -> Found<'_> {
        for hint in hints {
            if let Some(key) = self.keys.iter().find(|key| key.hint == *hint) {
                return Found::Key(key);
            }
        }
        match hints.iter().any(|hint| self.keys.iter().any(|key| key.hint[..4] == hint[..4])) {
            true => Found::OtherCluster,
            false => Found::Nothing,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os::memory::{count, masked};
    use rand::rngs::StdRng;
    use rand::{Rng, SeedableRng};

    fn random(seed: u64) -> [u8; SECRET] {
        let mut bytes = [0; SECRET];
        StdRng::seed_from_u64(seed).fill_bytes(&mut bytes);
        bytes
    }

    #[test]
    fn random_bytes_are_taken_and_others_are_not() {
        for seed in 0..10_000 {
            assert!(Secret::from_bytes(&random(seed)).is_ok(), "seed {seed}");
        }
        let sequence: Vec<u8> = (1..=32).collect();
        let halves = [&random(1)[..16], &random(1)[..16]].concat();
        for bytes in [
            &[0; 32][..],
            &[0xa5; 32],
            &sequence,
            &halves,
            b"correct horse battery staple 123",
            b"0123456789abcdef0123456789abcdef",
        ] {
            let text = Secret::from_bytes(bytes).unwrap_err();
            assert!(text.contains("not random") && text.contains("convoke_secret_generate"), "{text}");
        }
        for bytes in [&b"password"[..], &random(1)[..31], &[1; 33], b""] {
            let text = Secret::from_bytes(bytes).unwrap_err();
            assert!(text.contains("exactly 32") && text.contains("Passwords are refused"), "{text}");
        }
    }

    #[test]
    fn text_is_hexadecimal_and_nothing_else() {
        let hex: String = random(3).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(Secret::from_text(&hex), Secret::from_bytes(&random(3)));
        assert_eq!(Secret::from_text(&hex.to_uppercase()), Secret::from_bytes(&random(3)));
        let wrong = [hex[..63].to_owned(), format!("{hex}0"), hex.replace('a', "g"), "hunter2".to_owned()];
        for text in wrong {
            let error = Secret::from_text(&text).unwrap_err();
            assert!(error.contains("64 hexadecimal digits"), "{error}");
            assert!(!error.contains(&text), "a secret is not repeated");
        }
    }

    #[cfg(not(miri))] // it has no memory to look at
    #[test]
    fn a_secret_and_what_is_made_of_it_get_into_no_core_dump_and_are_wiped() {
        let byte = |at: usize| (at as u8).wrapping_mul(197) ^ 0x4d;
        let wanted = masked((0..SECRET).map(byte));
        let secret = {
            let mut bytes = Zeroizing::new([0; SECRET]);
            bytes.iter_mut().enumerate().for_each(|(at, place)| *place = byte(at));
            Secret::from_bytes(&*bytes).unwrap()
        };
        let keyring = Keyring::new("c", std::slice::from_ref(&secret)).unwrap();
        let derived = masked(keyring.keys[0].psk.iter().copied());
        let (again, copy) = (keyring.clone(), secret.clone());
        assert_eq!((count(&wanted), count(&derived)), ((0, 1), (0, 1)));
        drop((keyring, again, secret, copy));
        assert_eq!((count(&wanted), count(&derived)), ((0, 0), (0, 0)));
    }

    #[test]
    fn nothing_of_a_secret_is_shown() {
        let secret = Secret::from_bytes(&random(4)).unwrap();
        let keyring = Keyring::new("c", std::slice::from_ref(&secret)).unwrap();
        assert_eq!(format!("{secret:?} {keyring:?}"), "Secret Keyring of 1");
    }

    /// What is derived is of the protocol.
    #[test]
    fn golden() {
        let text = "0f1e2d3c4b5a69788796a5b4c3d2e1f000112233445566778899aabbccddeef1";
        let ring = Keyring::new("blue", &[Secret::from_text(text).unwrap()]).unwrap();
        let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
        assert_eq!(hex(&ring.keys[0].hint), "802703667989e962");
        assert_eq!(
            hex(&**ring.keys[0].psk),
            "71dfe0fa3907523cfead4077694f6850dfa03a3a82082ffb95804ee9acf4bcbb"
        );
        assert_eq!(hex(&ring.keys[0].sign(b"words")), "734fe38972c5910e");
    }

    #[test]
    fn words_are_signed_by_whoever_has_the_secret_for_this_cluster() {
        let ring = |cluster: &str, seed| {
            Keyring::new(cluster, &[Secret::from_bytes(&random(seed)).unwrap()]).unwrap()
        };
        let (mine, mac) = (&ring("c", 1).keys[0], ring("c", 1).keys[0].sign(b"words"));
        assert!(mine.has_signed(b"words", &mac));
        assert!(!mine.has_signed(b"swords", &mac) && !mine.has_signed(b"words", &mac[..7]));
        assert!(!mine.has_signed(b"words", b"") && !mine.has_signed(b"words", &[0; 32]));
        for other in [ring("d", 1), ring("c", 2)] {
            assert!(!other.keys[0].has_signed(b"words", &mac));
        }
    }

    #[test]
    fn a_keyring_finds_the_first_common_secret_and_tells_the_cluster_from_the_secret() {
        let secret = |seed| Secret::from_bytes(&random(seed)).unwrap();
        let ring = |cluster: &str, seeds: &[u64]| {
            Keyring::new(cluster, &seeds.iter().map(|&seed| secret(seed)).collect::<Vec<_>>()).unwrap()
        };
        let hints = |ring: &Keyring| ring.hints().collect::<Vec<_>>();
        let mine = ring("c", &[1, 2]);
        for (peer, found) in [(&[1, 2][..], 1), (&[2, 1], 2), (&[3, 2], 2), (&[4, 5, 1], 1)] {
            match mine.find(&hints(&ring("c", peer))) {
                Found::Key(key) => assert_eq!(key.hint, hints(&ring("c", &[found]))[0]),
                _ => panic!("{peer:?} has a common secret"),
            }
        }
        assert!(matches!(mine.find(&hints(&ring("d", &[2]))), Found::OtherCluster));
        assert!(matches!(mine.find(&hints(&ring("c", &[3]))), Found::Nothing));
        assert!(matches!(mine.find(&[]), Found::Nothing));
        assert!(Keyring::new("c", &[]).is_none());
        assert!(Keyring::new("c", &vec![secret(1); MAX_SECRETS + 1]).is_none());
    }
}
