//! Ports for nodes that come later or come again.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use tokio::net::TcpSocket;

/// Bound, so that the kernel gives them to nobody else, and not listened at, so that whoever dials one is refused. A node
/// may listen there meanwhile: both sides say SO_REUSEADDR. To look for a free port and let it go is a race with every
/// other test of the machine that asks for any.
pub(crate) struct Ports(Vec<TcpSocket>);

impl Ports {
    /// These, if nobody has one of them. Port 0 is any.
    pub(crate) fn at(addresses: impl IntoIterator<Item = SocketAddr>) -> io::Result<Self> {
        let bound = addresses.into_iter().map(|address| {
            let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
            // Only afterwards: else this would share the port with another of these.
            socket.bind(address)?;
            socket.set_reuseaddr(true)?;
            Ok(socket)
        });
        bound.collect::<io::Result<_>>().map(Ports)
    }

    pub(crate) fn on_loopback(count: usize) -> Self {
        let any = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
        Self::at((0..count).map(|_| any)).expect("free ports")
    }

    pub(crate) fn addresses(&self) -> Vec<SocketAddr> {
        self.0.iter().map(|socket| socket.local_addr().expect("its address")).collect()
    }
}
