//! Who this process acts as.

/// The user whose files are one's own.
pub fn effective_user() -> u32 {
    rustix::process::geteuid().as_raw()
}
