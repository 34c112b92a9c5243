//! The signal mask of the library's own threads.

/// Blocks every signal in the calling thread. The host's handlers then never run on a thread of ours, and a write to
/// a closed socket is an error instead of a SIGPIPE, with the host's dispositions left as they are.
pub fn block_all_signals() {
    // SAFETY: `set` is initialised by sigfillset before it is read; only this thread's mask changes.
    unsafe {
        let mut set = std::mem::zeroed::<libc::sigset_t>();
        libc::sigfillset(&raw mut set);
        libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut());
    }
}
