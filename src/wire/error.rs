//! Why bytes were not understood.

use std::fmt;

/// The bytes of a peer are not what the protocol says. The connection is over: a stream has no place to start again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WireError {
    /// A frame of a length that is not allowed at this point of the connection.
    Length { length: usize, limit: usize },
    /// A lane that does not exist or is not open at this point of the connection.
    Lane(u8),
    /// The body does not decode.
    Malformed(&'static str),
    /// Whoever sent this does not speak Convoke's protocol.
    Stranger,
    /// The peer speaks other versions of the protocol: from, to.
    Version(u16, u16),
}

impl fmt::Display for WireError {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            WireError::Length { length, limit } => {
                write!(f, "a frame of {length} bytes where 1 to {limit} are allowed")
            }
            WireError::Lane(lane) => write!(f, "a frame on lane {lane}, which is not open"),
            WireError::Malformed(what) => write!(f, "a {what} that does not decode"),
            WireError::Stranger => f.write_str("the peer does not speak Convoke's protocol"),
            WireError::Version(min, max) => write!(
                f,
                "the peer speaks protocol versions {min} to {max}, this node {} to {}",
                super::VERSIONS.0,
                super::VERSIONS.1
            ),
        }
    }
}

impl std::error::Error for WireError {}
