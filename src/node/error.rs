//! How calls of this room fail.

use crate::model::Status;

/// A status, never `Ok`, and what it is about in English (may be empty).
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{}{}{detail}", status.c_name(), if detail.is_empty() { "" } else { ": " })]
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
