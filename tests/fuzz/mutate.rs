//! A small fuzzer without feedback, for toolchains that have none: inputs are taken from the corpus and changed.

use crate::targets::MAX_INPUT;
use rand::rngs::StdRng;
use rand::{Rng, RngExt};

/// Bytes at which something begins or ends: of a length, of the codec's numbers.
const EDGES: [u8; 12] = [0, 1, 2, 3, 0x3f, 0x7f, 0x80, 0xfa, 0xfb, 0xfc, 0xfd, 0xff];

/// A new input made of these.
pub(crate) fn input(rng: &mut StdRng, corpus: &[Vec<u8>]) -> Vec<u8> {
    if corpus.is_empty() || rng.random_range(0..5) == 0 {
        let mut bytes = vec![0; rng.random_range(0..700)];
        rng.fill_bytes(&mut bytes);
        return bytes;
    }
    let mut bytes = corpus[rng.random_range(0..corpus.len())].clone();
    for _ in 0..rng.random_range(1..6) {
        change(rng, &mut bytes, corpus);
    }
    bytes.truncate(MAX_INPUT);
    bytes
}

fn change(rng: &mut StdRng, bytes: &mut Vec<u8>, corpus: &[Vec<u8>]) {
    let at = rng.random_range(0..=bytes.len());
    let piece = rng.random_range(1..32).min(bytes.len() - at);
    match rng.random_range(0..8) {
        0 if piece > 0 => bytes[at] ^= 1 << rng.random_range(0..8),
        1 if piece > 0 => bytes[at] = EDGES[rng.random_range(0..EDGES.len())],
        2 if piece > 0 => bytes[at] = bytes[at].wrapping_add(rng.random_range(0..3)).wrapping_sub(1),
        3 => {
            bytes.drain(at..at + piece);
        }
        4 => {
            let again = bytes[at..at + piece].to_vec();
            bytes.splice(at..at, again);
        }
        5 => {
            let mut new = vec![0; rng.random_range(1..16)];
            rng.fill_bytes(&mut new);
            bytes.splice(at..at, new);
        }
        6 => {
            // The end of another one.
            let other = &corpus[rng.random_range(0..corpus.len())];
            let from = rng.random_range(0..=other.len());
            bytes.truncate(at);
            bytes.extend_from_slice(&other[from..]);
        }
        _ => {
            let length = rng.random_range(0..400u32).to_le_bytes();
            let end = (at + 4).min(bytes.len());
            bytes[at..end].copy_from_slice(&length[..end - at]);
        }
    }
}
