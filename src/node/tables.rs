//! The tables that callers read without asking anybody.

/// Published names and peers.
pub struct Tables {}
