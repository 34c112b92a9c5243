//! Links under mutual TLS 1.3: each node has a certificate of its own, and is taken for the name that stands in it.
//!
//! TLS begins behind the preambles. Both ends show a certificate that an authority of `tls.ca` has signed and that no
//! list of `tls.crl` revokes. The first thing that each says inside is its *proof*: a nonce, a digest of what both have
//! said in the clear, one of the cluster's name, and its own name, for which its certificate must be valid. So the
//! certificate of one node is of no use to claim another's name, and nothing else that the peer says is looked at before.
//!
//! No session is resumed: each link is authenticated anew, so that a revocation counts from then on.
//!
//! All of it is there with the feature `tls` only. Without it there are no credentials, and so no such connection.

#[cfg(feature = "tls")]
mod credentials;
#[cfg(not(feature = "tls"))]
mod none;
#[cfg(feature = "tls")]
mod session;
#[cfg(feature = "tls")]
mod validity;
mod work;

#[cfg(feature = "tls")]
pub use self::credentials::Credentials;
#[cfg(not(feature = "tls"))]
pub use self::none::Credentials;
#[cfg(not(feature = "tls"))]
pub(super) use self::none::Session;
#[cfg(feature = "tls")]
pub(super) use self::session::Session;
#[cfg(all(test, feature = "tls"))]
pub(crate) use self::work::WORK_HERE;
pub use self::work::{Work, Worked};

use super::noise::Nonce;

/// The contents of the files that make a node's credentials, in PEM.
#[derive(Clone, Copy, Debug)]
pub struct Pem<'a> {
    /// The node's certificate, and those between it and the authority.
    pub cert: &'a [u8],
    pub key: &'a [u8],
    /// The authorities that are trusted.
    pub ca: &'a [u8],
    /// What they have revoked.
    pub crl: Option<&'a [u8]>,
}

/// An option, and what is wrong with its value.
pub type Complaint = (&'static str, String);

/// What a peer has proven.
pub(super) struct Proven {
    pub(super) nonce: Nonce,
    pub(super) name: String,
}
