//! Telling threads apart without a thread-local.

/// The calling thread; no other living thread has the same number. Works while a thread or the process ends, when
/// `std::thread::current` may panic.
pub fn thread_number() -> usize {
    // SAFETY: takes nothing and cannot fail.
    unsafe { libc::pthread_self() as usize }
}
