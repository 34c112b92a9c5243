//! How calls of this room fail.

use crate::model::Status;

/// A status, never `Ok`, and what it is about in English (may be empty).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Error {
    pub status: Status,
    pub detail: String,
}

pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    pub fn new(status: Status, detail: impl Into<String>) -> Self {
        Self { status, detail: detail.into() }
    }
}

impl From<Status> for Error {
    fn from(status: Status) -> Self {
        Self { status, detail: String::new() }
    }
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.status.c_name())?;
        if self.detail.is_empty() { Ok(()) } else { write!(f, ": {}", self.detail) }
    }
}

impl std::error::Error for Error {}
