//! Making connections.

use super::lookup::is_link_local;
use super::refusals::Refused;
use super::{Core, Mesh};
use crate::model::Status;
use crate::os::{self, OwnFd};
use std::io;
use std::net::SocketAddr;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Dials an address. What is a name, or a range of ports, is looked up instead, and the core told what it stands for.
pub(super) async fn run<C: Core>(mesh: Mesh<C>, address: String) {
    let limit = mesh.settings().handshake;
    let failed = match address.parse() {
        Ok(literal) => match timeout(limit, connect(&mesh, literal)).await {
            Ok(Ok(stream)) => {
                mesh.dialled(stream, address);
                return mesh.turn();
            }
            Ok(Err(failure)) => failure,
            Err(_) => "no answer in time".to_owned().into(),
        },
        Err(_) => match timeout(limit, mesh.lookups().look_up(&mesh.settings().hosts, &address)).await {
            Ok(Ok(found)) => {
                mesh.with_core(|core| {
                    core.begin();
                    core.handle_looked_up(&address, found);
                });
                return mesh.turn();
            }
            Ok(Err(failure)) => failure,
            Err(_) => "the look-up of the name takes too long".to_owned().into(),
        },
    };
    let Failure { status, refused, text } = failed;
    let text = format!("{address}: {text}");
    mesh.with_core(|core| {
        core.begin();
        if refused {
            core.handle_dial_refused(&address, &text);
        } else {
            core.handle_dial_failed(&address, status, &text);
        }
    });
    mesh.turn();
}

pub(super) struct Failure {
    status: Status,
    /// By the machine that has the address: nobody listens there.
    refused: bool,
    text: String,
}

impl From<String> for Failure {
    fn from(text: String) -> Self {
        Self { status: Status::Unreachable, refused: false, text }
    }
}

impl Failure {
    /// It is this machine's.
    pub(super) fn here(text: &str) -> Self {
        Self { status: Status::Io, refused: false, text: text.to_owned() }
    }

    /// `Io` if this machine did not even try, whoever is at the other end.
    pub(super) fn of_system(error: &io::Error, text: String) -> Self {
        let status = if os::is_own_trouble(error) { Status::Io } else { Status::Unreachable };
        Self { status, refused: error.kind() == io::ErrorKind::ConnectionRefused, text }
    }
}

/// What to do about an address on another machine when links are not protected.
pub const UNPROTECTED: &str = "unless a secret is set links stay on this machine: set the option secret or secret.file (or those of TLS), alike on \
    all nodes of the cluster; or insecure.plaintext to allow, if everybody who can reach the network may read, change and \
    join";

async fn connect<C: Core>(mesh: &Mesh<C>, address: SocketAddr) -> Result<TcpStream, Failure> {
    if is_link_local(address.ip()) {
        return Err("a link-local address means another node on every interface".to_owned().into());
    }
    // Wherever the address came from: a caller, a peer, the name service.
    if !mesh.settings().may_reach(address.ip()) {
        mesh.refuse(Refused::Unprotected, Some(address), true, UNPROTECTED);
        let text = format!("{} is not a loopback address; {UNPROTECTED}", address.ip());
        return Err(Failure { status: Status::Option, refused: false, text });
    }
    if !mesh.settings().networks.contain(address.ip()) {
        let text = format!("{} is in none of the networks of dial.networks", address.ip());
        mesh.refuse(Refused::Network, Some(address), true, &text);
        return Err(Failure { status: Status::Option, refused: false, text });
    }
    let stream = connected(address).await.map_err(|e| Failure::of_system(&e, e.to_string()))?;
    // Dialling a free port of one's own machine may, by chance, connect a socket to itself.
    if stream.local_addr().ok() == stream.peer_addr().ok() {
        let text = "nobody listens there".to_owned();
        return Err(Failure { status: Status::Unreachable, refused: true, text });
    }
    Ok(stream)
}

/// As tokio's `TcpStream::connect`, with a socket that a forked child does not keep meanwhile.
async fn connected(address: SocketAddr) -> io::Result<TcpStream> {
    let (socket, own) = os::begin_connect(address)?;
    // Should this fail the socket is closed in there.
    drop(own);
    let stream = TcpStream::from_std(socket)?;
    // Declared after the socket: dropped before it.
    let _own = OwnFd::new(&stream);
    stream.writable().await?;
    match stream.take_error()? {
        None => Ok(stream),
        Some(e) => Err(e),
    }
}
