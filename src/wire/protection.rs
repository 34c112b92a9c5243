//! How a node protects its links, and how those that there are were protected when they were made.

use super::preamble::Mode;
use super::secret::Keyring;
use super::tls::Credentials;
use std::fmt::Write;
use std::path::Path;
use std::sync::Arc;

/// How a node protects its links. Cheap to clone.
#[derive(Clone, Default, Debug)]
pub enum Protection {
    /// Not at all: everybody who gets at the bytes may read and change them.
    #[default]
    Plain,
    /// By a secret that all nodes share.
    Secret(Arc<Keyring>),
    /// By certificates, one of each node.
    Tls(Arc<Credentials>),
}

impl Protection {
    pub fn mode(&self) -> Mode {
        match self {
            Self::Plain => Mode::Plain,
            Self::Secret(_) => Mode::Secret,
            Self::Tls(_) => Mode::Tls,
        }
    }

    /// The file of the secret, if it is one that was made for the user of this process.
    pub fn user_file(&self) -> Option<&Path> {
        match self {
            Self::Secret(keyring) => keyring.user_file(),
            Self::Plain | Self::Tls(_) => None,
        }
    }

    /// Whether links may leave this machine: under what somebody has set up.
    pub fn may_leave(&self) -> bool {
        !matches!(self, Self::Plain) && self.user_file().is_none()
    }

    /// The hints of the secrets that are good, the preferred one first.
    pub fn hints(&self) -> Vec<String> {
        match self {
            Self::Secret(keyring) => keyring.hints().map(|hint| hex(&hint)).collect(),
            Self::Plain | Self::Tls(_) => Vec::new(),
        }
    }

    /// The certificate of this node.
    pub fn certificate(&self) -> Option<Certificate> {
        match self {
            Self::Tls(credentials) => Some(credentials.certificate()),
            Self::Plain | Self::Secret(_) => None,
        }
    }
}

/// Tells a secret, or the files of certificates of a node, from others, and tells nothing about them.
pub(super) type Mark = [u8; 8];

/// Under what a link was made.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum LinkProtection {
    #[default]
    Plain,
    /// The hint of the secret, which is in the clear at the beginning of each connection.
    Secret(Mark),
    Tls(Certificates),
}

/// What both ends of a link have shown.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Certificates {
    /// Of the files that this node had then.
    pub(super) mark: Mark,
    pub own: Certificate,
    pub peer: Certificate,
}

/// What can be said of a certificate to whoever looks after it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Certificate {
    /// SHA-256, as `openssl x509 -fingerprint -sha256` gives it.
    pub fingerprint: [u8; 32],
    /// When it, or one of those between it and the authority, expires: seconds since 1970. `None`: it says so in no way that is known
    /// here.
    pub expires: Option<u64>,
}

impl LinkProtection {
    /// `plain`, `secret` or `tls`.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Secret(_) => "secret",
            Self::Tls(_) => "tls",
        }
    }

    /// What the peer has shown, as hexadecimal digits: the hint of the secret, or the fingerprint of its certificate. Empty: nothing.
    pub fn credential(&self) -> String {
        match self {
            Self::Plain => String::new(),
            Self::Secret(hint) => hex(hint),
            Self::Tls(certificates) => hex(&certificates.peer.fingerprint),
        }
    }

    /// When what the peer has shown expires, in seconds since 1970.
    pub fn expires(&self) -> Option<u64> {
        match self {
            Self::Plain | Self::Secret(_) => None,
            Self::Tls(certificates) => certificates.peer.expires,
        }
    }

    /// Whether such a link could not be made any more, because what it was made under has been replaced.
    pub fn is_replaced(&self, now: &Protection) -> bool {
        match (self, now) {
            (Self::Plain, Protection::Plain) => false,
            (Self::Secret(mark), Protection::Secret(keyring)) => !keyring.hints().any(|hint| hint == *mark),
            (Self::Tls(then), Protection::Tls(credentials)) => then.mark != credentials.mark(),
            _ => true,
        }
    }
}

impl Certificate {
    pub fn fingerprint_text(&self) -> String {
        hex(&self.fingerprint)
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        // Nothing is written to a string in vain.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Secret;

    const OLD: &str = "0f1e2d3c4b5a69788796a5b4c3d2e1f000112233445566778899aabbccddeef1";
    const NEW: &str = "9d1e2d3c4b5a69788796a5b4c3d2e1f000112233445566778899aabbccddee72";

    #[test]
    fn a_link_is_replaced_when_its_secret_is_good_no_more() {
        let under = |secrets: &[&str]| {
            let secrets: Vec<Secret> = secrets.iter().map(|text| Secret::from_text(text).unwrap()).collect();
            Protection::Secret(Arc::new(Keyring::new("c", &secrets).unwrap()))
        };
        let [old, new] = [OLD, NEW].map(|secret| {
            let Protection::Secret(keyring) = under(&[secret]) else { panic!("a secret") };
            LinkProtection::Secret(keyring.hints().next().unwrap())
        });
        for (now, old_is, new_is) in [
            (under(&[OLD]), false, true),
            (under(&[NEW, OLD]), false, false),
            (under(&[NEW]), true, false),
            (Protection::Plain, true, true),
        ] {
            assert_eq!((old.is_replaced(&now), new.is_replaced(&now)), (old_is, new_is), "{now:?}");
        }
        assert!(!LinkProtection::Plain.is_replaced(&Protection::Plain));
        assert!(LinkProtection::Plain.is_replaced(&under(&[OLD])));
        assert_eq!(under(&[NEW, OLD]).hints(), [new.credential(), old.credential()]);
        assert_eq!((new.word(), new.credential().len(), new.expires()), ("secret", 16, None));
    }
}
