//! Values <-> bytes. The only file that knows which codec that is.
//!
//! Decoding borrows from the input and never trusts a count: byte strings are checked against what is there, lists are
//! read element by element into a bounded list (see `engine::protocol`), and no wire type is recursive or has elements
//! without size. The limit bounds what a length may claim in any case.

use super::WireError;
use crate::engine::MAX_FRAME;
use bincode::config::{Configuration, Limit, LittleEndian, Varint};
use serde::{Deserialize, Serialize};

const CONFIG: Configuration<LittleEndian, Varint, Limit<MAX_FRAME>> =
    bincode::config::standard().with_limit::<MAX_FRAME>();

/// Appends the value.
pub(super) fn encode<T: Serialize>(value: &T, out: &mut Vec<u8>) {
    // A Vec takes every write and the wire types hold nothing that cannot be serialised, so this cannot fail; were it
    // to fail, the peer would see a frame that does not decode and end the link.
    let written = bincode::serde::encode_into_std_write(value, out, CONFIG);
    debug_assert!(written.is_ok(), "{written:?}");
}

/// Decodes a value that is all of `bytes`. `what` is named in the error.
pub(super) fn decode<'a, T: Deserialize<'a>>(what: &'static str, bytes: &'a [u8]) -> Result<T, WireError> {
    match decode_prefix(what, bytes)? {
        (value, used) if used == bytes.len() => Ok(value),
        _ => Err(WireError::Malformed(what)),
    }
}

/// Decodes a value at the start of `bytes` and says how many bytes it took.
pub(super) fn decode_prefix<'a, T: Deserialize<'a>>(
    what: &'static str,
    bytes: &'a [u8],
) -> Result<(T, usize), WireError> {
    bincode::serde::borrow_decode_from_slice(bytes, CONFIG).map_err(|_| WireError::Malformed(what))
}

/// How many variants an enumeration has: a number from there on is refused as none of them, whatever follows it.
#[cfg(test)]
pub(super) fn variants<T: serde::de::DeserializeOwned>() -> u8 {
    let is_known = |number: u8| {
        let bytes = [&[number][..], &[0; 64]].concat();
        match bincode::serde::decode_from_slice::<T, _>(&bytes, CONFIG) {
            Ok(_) => true,
            Err(error) => !error.to_string().contains("variant index"),
        }
    };
    (0..=u8::MAX).find(|&number| !is_known(number)).expect("an enumeration")
}
