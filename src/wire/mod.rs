//! Bytes <-> messages: frames, the codec and the handshake.
//!
//! Touches the types of `engine` and nothing else: no sockets, no time. `bincode` is named in `codec` alone, so that
//! another codec costs one file and a protocol version.
//!
//! A link is a stream of frames in each direction: the length of what follows (u32, little-endian), one byte that
//! names the lane, the body. Every length is judged before anything is buffered or decoded for it, and whatever bytes
//! arrive, decoding ends in a value or an error, in memory bounded by the frame.

mod codec;
mod error;
mod frame;
#[cfg(test)]
mod golden;
mod handshake;
#[cfg(test)]
mod hostile;

pub use error::WireError;
pub use frame::{DataEncoder, Frame, FrameReader, encode_control, encode_handshake};
pub use handshake::{Handshake, VERSIONS};
