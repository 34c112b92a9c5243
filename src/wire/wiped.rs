//! The primitives of Noise, which forget their keys: snow and ring leave them behind in memory that they give back.
//!
//! What belongs to snow itself cannot be got at, its chaining key above all: it lies in memory that was given back until that is used
//! again.

use snow::Error;
use snow::params::{CipherChoice, DHChoice, HashChoice};
use snow::resolvers::{BoxedCryptoResolver, CryptoResolver, DefaultResolver, FallbackResolver, RingResolver};
use snow::types::{Cipher, Dh, Hash, Random};

const KEY: usize = 32;
/// More than the block of any hash.
const BLOCK: usize = 128;

/// ring has the fastest cipher, and no X25519 and no BLAKE2s for Noise.
pub(super) fn resolver() -> BoxedCryptoResolver {
    Box::new(Wiping(FallbackResolver::new(Box::new(RingResolver), Box::new(DefaultResolver))))
}

struct Wiping(FallbackResolver);

impl CryptoResolver for Wiping {
    fn resolve_rng(&self) -> Option<Box<dyn Random>> {
        self.0.resolve_rng()
    }
    fn resolve_dh(&self, choice: &DHChoice) -> Option<Box<dyn Dh>> {
        let dh = self.0.resolve_dh(choice)?;
        Some(Box::new(WipedDh { dh, has_key: false }))
    }
    fn resolve_hash(&self, choice: &HashChoice) -> Option<Box<dyn Hash>> {
        Some(Box::new(WipedHash(self.0.resolve_hash(choice)?)))
    }
    fn resolve_cipher(&self, choice: &CipherChoice) -> Option<Box<dyn Cipher>> {
        Some(Box::new(WipedCipher(self.0.resolve_cipher(choice)?)))
    }
}

struct WipedCipher(Box<dyn Cipher>);

impl Drop for WipedCipher {
    fn drop(&mut self) {
        self.0.set(&[0; KEY]); // where the key was
    }
}

impl Cipher for WipedCipher {
    fn name(&self) -> &'static str {
        self.0.name()
    }
    fn set(&mut self, key: &[u8; KEY]) {
        self.0.set(key);
    }
    fn encrypt(&self, nonce: u64, authtext: &[u8], plaintext: &[u8], out: &mut [u8]) -> usize {
        self.0.encrypt(nonce, authtext, plaintext, out)
    }
    fn decrypt(
        &self,
        nonce: u64,
        authtext: &[u8],
        ciphertext: &[u8],
        out: &mut [u8],
    ) -> Result<usize, Error> {
        self.0.decrypt(nonce, authtext, ciphertext, out)
    }
    fn rekey(&mut self) {
        self.0.rekey();
    }
}

struct WipedDh {
    dh: Box<dyn Dh>,
    /// To wipe costs as much as to make a key, and most of them never have one.
    has_key: bool,
}

impl Drop for WipedDh {
    fn drop(&mut self) {
        if self.has_key {
            self.dh.set(&[0; KEY]);
        }
    }
}

impl Dh for WipedDh {
    fn name(&self) -> &'static str {
        self.dh.name()
    }
    fn pub_len(&self) -> usize {
        self.dh.pub_len()
    }
    fn priv_len(&self) -> usize {
        self.dh.priv_len()
    }
    fn set(&mut self, privkey: &[u8]) {
        self.has_key = true;
        self.dh.set(privkey);
    }
    fn generate(&mut self, rng: &mut dyn Random) -> Result<(), Error> {
        self.has_key = true;
        self.dh.generate(rng)
    }
    fn pubkey(&self) -> &[u8] {
        self.dh.pubkey()
    }
    fn privkey(&self) -> &[u8] {
        self.dh.privkey()
    }
    fn dh(&self, pubkey: &[u8], out: &mut [u8]) -> Result<(), Error> {
        self.dh.dh(pubkey, out)
    }
    fn dh_len(&self) -> usize {
        self.dh.dh_len()
    }
}

struct WipedHash(Box<dyn Hash>);

impl Drop for WipedHash {
    fn drop(&mut self) {
        // What it was fed last, and the state that came of it.
        self.0.input(&[0; BLOCK]);
        self.0.reset();
    }
}

impl Hash for WipedHash {
    fn name(&self) -> &'static str {
        self.0.name()
    }
    fn block_len(&self) -> usize {
        self.0.block_len()
    }
    fn hash_len(&self) -> usize {
        self.0.hash_len()
    }
    fn reset(&mut self) {
        self.0.reset();
    }
    fn input(&mut self, data: &[u8]) {
        self.0.input(data);
    }
    fn result(&mut self, out: &mut [u8]) {
        self.0.result(out);
    }
}

/// Does this, and overwrites what it has left on the stack.
pub(super) fn leaving_no_trace<R>(f: impl FnOnce() -> R) -> R {
    let result = beneath(f);
    wipe_stack::<{ 16 << 10 }>();
    result
}

/// A frame of its own, below that of the caller.
#[inline(never)]
fn beneath<R>(f: impl FnOnce() -> R) -> R {
    f()
}

/// Threads of the program may have little of it.
#[inline(never)]
fn wipe_stack<const BYTES: usize>() {
    let mut room = [0u8; BYTES];
    std::hint::black_box(&mut room);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os::memory::{count, masked};
    use zeroize::Zeroizing;

    /// Made anew each time: what the compiler knows beforehand would stand among its constants.
    fn byte(at: usize) -> u8 {
        (std::hint::black_box(at) as u8).wrapping_mul(91) ^ 0x3c
    }

    #[cfg(not(miri))] // it has no memory to look at
    #[test]
    fn nothing_is_left_of_keys() {
        // The allocator writes into the beginning of what it is given back.
        let wanted = masked((KEY / 2..KEY).map(byte));
        let mut cipher = resolver().resolve_cipher(&CipherChoice::ChaChaPoly).unwrap();
        let mut dh = resolver().resolve_dh(&DHChoice::Curve25519).unwrap();
        let mut hash = resolver().resolve_hash(&HashChoice::Blake2s).unwrap();
        beneath(|| {
            let mut key = Zeroizing::new([0; KEY]);
            key.iter_mut().enumerate().for_each(|(at, place)| *place = byte(at));
            cipher.set(&key);
            dh.set(&*key);
            hash.input(&*key);
        });
        // The arithmetic of curves without optimisations goes deep.
        wipe_stack::<{ 256 << 10 }>();
        assert!(count(&wanted).0 >= 3, "they keep it as long as they live");
        drop((cipher, dh, hash));
        assert_eq!(count(&wanted), (0, 0));
    }
}
