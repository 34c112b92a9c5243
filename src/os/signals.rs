//! The signal mask of the library's own threads.

/// Blocks every signal in the calling thread. The host's handlers then never run on a thread of ours, and a write to
/// a closed socket is an error instead of a SIGPIPE, with the host's dispositions left as they are.
pub fn block_all_signals() {
    block();
}

/// Runs `start` with every signal blocked in the calling thread: a thread that it starts is born that way, and no
/// signal can find it before. The caller's mask is as before afterwards.
pub fn with_signals_blocked<R>(start: impl FnOnce() -> R) -> R {
    struct Restore(libc::sigset_t);
    impl Drop for Restore {
        fn drop(&mut self) {
            // SAFETY: the set was filled in by the kernel; only this thread's mask changes.
            unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const self.0, std::ptr::null_mut()) };
        }
    }
    let _restore = Restore(block());
    start()
}

/// Blocks every signal and gives the mask that was in force.
fn block() -> libc::sigset_t {
    // SAFETY: `all` is initialised by sigfillset before it is read, `before` by the kernel, and all-zero is a valid
    // set; only this thread's mask changes.
    unsafe {
        let mut all = std::mem::zeroed::<libc::sigset_t>();
        let mut before = std::mem::zeroed::<libc::sigset_t>();
        libc::sigfillset(&raw mut all);
        libc::pthread_sigmask(libc::SIG_BLOCK, &raw const all, &raw mut before);
        before
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_blocked(signal: libc::c_int) -> bool {
        // SAFETY: asks for the mask into a live, zeroed set.
        unsafe {
            let mut set = std::mem::zeroed::<libc::sigset_t>();
            libc::pthread_sigmask(libc::SIG_BLOCK, std::ptr::null(), &raw mut set);
            libc::sigismember(&raw const set, signal) == 1
        }
    }

    #[test]
    fn threads_are_born_with_all_signals_blocked() {
        let before = is_blocked(libc::SIGUSR1);
        let thread = with_signals_blocked(|| std::thread::spawn(|| is_blocked(libc::SIGUSR1)));
        assert!(thread.join().unwrap());
        assert_eq!(is_blocked(libc::SIGUSR1), before);
    }
}
