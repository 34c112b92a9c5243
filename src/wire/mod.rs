//! Bytes <-> messages: the channel with its preamble and its cipher, frames, the codec and the handshake.
//!
//! Uses the types of `engine`, and `os` for memory that secrets lie in: no sockets, no time. `bincode` is named in `codec` alone, so that
//! another codec costs one file and a protocol version.
//!
//! A connection begins with a preamble from each end and the handshake of the cipher ([`Channel`]); only then frames are
//! read, and written, in records of the cipher or as they are. A link is a stream of frames in each direction: the length of what follows (u32, little-endian), one byte that
//! names the lane, a check of both, the body. Every header is judged before anything is buffered or decoded for it, and whatever bytes
//! arrive, decoding ends in a value or an error, in memory bounded by the frame.

mod buffer;
mod channel;
#[cfg(test)]
mod channel_tests;
mod check;
mod codec;
mod error;
mod frame;
#[cfg(test)]
mod golden;
#[cfg(test)]
mod golden_parts;
mod handshake;
#[cfg(test)]
mod hostile;
mod noise;
mod preamble;
mod protection;
mod secret;
mod tls;
mod wiped;

pub use channel::{Channel, Setup, Shown, Step, deny};
pub use error::{Flaw, WireError};
pub use frame::{DataEncoder, Frame, FrameReader, HEADER, encode_control, encode_handshake, frame_header};
pub use handshake::{Handshake, Opening, VERSIONS};
pub use preamble::{Denial, Mode};
pub use protection::{Certificate, LinkProtection, Protection};
pub use secret::{Keyring, MAX_SECRETS, SECRET, Secret};
#[cfg(all(test, feature = "tls"))]
pub(crate) use tls::WORK_HERE;
pub use tls::{Complaint, Credentials, Pem, Work, Worked};
