//! Options of a link's socket that neither std nor tokio offers.

use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::time::Duration;

/// Tunes the socket of a link. `unsent`: the kernel takes no more than about this many bytes that it cannot send yet,
/// so that what is written later does not queue behind megabytes. `unacknowledged`: the kernel gives the connection up
/// when the peer's machine has acknowledged nothing for so long.
pub fn tune_link_socket(socket: &impl AsFd, unsent: u32, unacknowledged: Duration) -> io::Result<()> {
    let ms = u32::try_from(unacknowledged.as_millis()).unwrap_or(u32::MAX);
    limit_unsent(socket, unsent)?;
    set(socket, libc::TCP_USER_TIMEOUT, ms)
}

/// Changes what the kernel takes of what it cannot send yet.
pub fn limit_unsent(socket: &impl AsFd, unsent: u32) -> io::Result<()> {
    set(socket, libc::TCP_NOTSENT_LOWAT, unsent)
}

fn set(socket: &impl AsFd, option: libc::c_int, value: u32) -> io::Result<()> {
    let value = libc::c_int::try_from(value).unwrap_or(libc::c_int::MAX);
    // SAFETY: the descriptor is borrowed and open; the option's value is a live int of the size that is told.
    let result = unsafe {
        libc::setsockopt(
            socket.as_fd().as_raw_fd(),
            libc::IPPROTO_TCP,
            option,
            (&raw const value).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
