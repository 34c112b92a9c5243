//! What the outboxes of links are filled by.

pub use crate::wire::DataEncoder;
