//! What neither std nor tokio offers of sockets.

use super::OwnFd;
use std::io;
use std::mem::{size_of, zeroed};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::time::Duration;

/// Begins to connect a new socket, which blocks on nothing: it is connected, or has failed, when it can be written to. Noted as the
/// library's from the beginning, for it may take long; the note is to be dropped before the socket.
pub fn begin_connect(address: SocketAddr) -> io::Result<(TcpStream, OwnFd)> {
    let family = if address.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
    // SAFETY: no pointers are passed; the result is checked before it is owned.
    let fd = unsafe { libc::socket(family, libc::SOCK_STREAM | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK, 0) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: `fd` was just made and nobody else owns it.
    let socket = TcpStream::from(unsafe { OwnedFd::from_raw_fd(fd) });
    // Declared after the socket: dropped before it.
    let own = OwnFd::new(&socket);
    match connect(&socket, address) {
        0 => Ok((socket, own)),
        _ => match io::Error::last_os_error() {
            e if e.raw_os_error() == Some(libc::EINPROGRESS) => Ok((socket, own)),
            e => {
                drop(own);
                Err(e)
            }
        },
    }
}

fn connect(socket: &TcpStream, address: SocketAddr) -> libc::c_int {
    let fd = socket.as_raw_fd();
    match address {
        SocketAddr::V4(address) => {
            // SAFETY: all-zero is a valid address of this family.
            let mut to: libc::sockaddr_in = unsafe { zeroed() };
            to.sin_family = libc::AF_INET as libc::sa_family_t;
            to.sin_port = address.port().to_be();
            to.sin_addr.s_addr = u32::from_ne_bytes(address.ip().octets());
            // SAFETY: the address is live and of the length that is told.
            unsafe { libc::connect(fd, (&raw const to).cast(), size_of_val(&to) as libc::socklen_t) }
        }
        SocketAddr::V6(address) => {
            // SAFETY: all-zero is a valid address of this family.
            let mut to: libc::sockaddr_in6 = unsafe { zeroed() };
            to.sin6_family = libc::AF_INET6 as libc::sa_family_t;
            to.sin6_port = address.port().to_be();
            to.sin6_flowinfo = address.flowinfo();
            to.sin6_scope_id = address.scope_id();
            to.sin6_addr.s6_addr = address.ip().octets();
            // SAFETY: as above.
            unsafe { libc::connect(fd, (&raw const to).cast(), size_of_val(&to) as libc::socklen_t) }
        }
    }
}

/// Ends a socket for whoever has a descriptor for it, a forked child too: a listener is none any more, and its port free.
pub fn shut_down(socket: &impl AsFd) {
    // SAFETY: the descriptor is borrowed and open. That it is not connected is no matter.
    unsafe { libc::shutdown(socket.as_fd().as_raw_fd(), libc::SHUT_RDWR) };
}

/// How many connections the kernel makes for a listener before they are accepted. (The system may allow less.)
pub fn set_backlog(listener: &impl AsFd, most: u32) -> io::Result<()> {
    let most = libc::c_int::try_from(most).unwrap_or(libc::c_int::MAX);
    // SAFETY: the descriptor is borrowed and open. To listen anew changes the number and nothing else.
    let result = unsafe { libc::listen(listener.as_fd().as_raw_fd(), most) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

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
