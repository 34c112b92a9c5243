//! What neither std nor tokio offers of sockets.

use super::OwnFd;
use socket2::{Domain, SockRef, Socket, Type};
use std::io;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::time::Duration;

/// Begins to connect a new socket, which blocks on nothing: it is connected, or has failed, when it can be written to. Noted as the
/// library's from the beginning, for it may take long; the note is to be dropped before the socket.
pub fn begin_connect(address: SocketAddr) -> io::Result<(TcpStream, OwnFd)> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM.nonblocking(), None)?;
    // Declared after the socket: dropped before it.
    let own = OwnFd::new(&socket);
    match socket.connect(&address.into()) {
        Err(e) if e.raw_os_error() != Some(libc::EINPROGRESS) => Err(e),
        _ => Ok((socket.into(), own)),
    }
}

/// Ends a socket for whoever has a descriptor for it, a forked child too: a listener is none any more, and its port free.
pub fn shut_down(socket: &impl AsFd) {
    // That it is not connected is no matter.
    let _ = SockRef::from(socket).shutdown(Shutdown::Both);
}

/// How many connections the kernel makes for a listener before they are accepted. (The system may allow less.)
pub fn set_backlog(listener: &impl AsFd, most: u32) -> io::Result<()> {
    // To listen anew changes the number and nothing else.
    SockRef::from(listener).listen(most.try_into().unwrap_or(i32::MAX))
}

/// Tunes the socket of a link. `unsent`: the kernel takes no more than about this many bytes that it cannot send yet,
/// so that what is written later does not queue behind megabytes. `unacknowledged`: the kernel gives the connection up
/// when the peer's machine has acknowledged nothing for so long.
pub fn tune_link_socket(socket: &impl AsFd, unsent: u32, unacknowledged: Duration) -> io::Result<()> {
    limit_unsent(socket, unsent)?;
    SockRef::from(socket).set_tcp_user_timeout(Some(unacknowledged))
}

/// Changes what the kernel takes of what it cannot send yet.
pub fn limit_unsent(socket: &impl AsFd, unsent: u32) -> io::Result<()> {
    SockRef::from(socket).set_tcp_notsent_lowat(unsent)
}
