//! Noticing a fork: the library's threads do not exist in a forked child, so what was opened before must say so.

use std::sync::Once;
use std::sync::atomic::{AtomicU32, Ordering};

static EPOCH: AtomicU32 = AtomicU32::new(0);
static WATCH: Once = Once::new();

/// How many forks lie between the first process and this one. What was made in another epoch is not usable here.
pub fn fork_epoch() -> u32 {
    EPOCH.load(Ordering::Relaxed)
}

/// Starts counting; called before the first handle is made. Costs nothing per call, unlike asking for the process id.
pub fn watch_forks() {
    extern "C" fn in_child() {
        EPOCH.fetch_add(1, Ordering::Relaxed);
    }
    WATCH.call_once(|| {
        // SAFETY: the handler touches one atomic. The library is linked `-z nodelete`, so it stays mapped.
        unsafe { libc::pthread_atfork(None, None, Some(in_child)) };
    });
}
