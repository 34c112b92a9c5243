//! What an error of the operating system is about.

use std::io;

/// This machine has not tried: no descriptor, no memory, no port, no thread is left, or it may not. It says nothing about
/// whoever is at the other end.
pub fn is_own_trouble(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(
            libc::EMFILE
                | libc::ENFILE
                | libc::ENOMEM
                | libc::ENOBUFS
                | libc::EAGAIN
                | libc::EADDRNOTAVAIL
                | libc::EACCES
                | libc::EPERM
        )
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_table_of_descriptors_says_nothing_of_the_peer() {
        assert!(is_own_trouble(&io::Error::from_raw_os_error(libc::EMFILE)));
        for of_the_peer in [libc::ECONNREFUSED, libc::ETIMEDOUT, libc::EHOSTUNREACH, libc::ENETUNREACH] {
            assert!(!is_own_trouble(&io::Error::from_raw_os_error(of_the_peer)));
        }
    }
}
