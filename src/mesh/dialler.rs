//! Making connections.

use super::{Core, Mesh};
use crate::engine::Status;
use crate::mesh::lookup::is_link_local;
use std::net::SocketAddr;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Dials an address. What is a name, or a range of ports, is looked up instead, and the core told what it stands for.
pub(super) async fn run<C: Core>(mesh: Mesh<C>, address: String) {
    let limit = mesh.settings().handshake;
    let failed = match address.parse() {
        Ok(literal) => match timeout(limit, connect(literal)).await {
            Ok(Ok(stream)) => return mesh.adopt(stream, Some(address)),
            Ok(Err(text)) => text,
            Err(_) => "no answer in time".to_owned(),
        },
        Err(_) => match timeout(limit, mesh.lookups().look_up(&mesh.settings().hosts, &address)).await {
            Ok(Ok(found)) => {
                mesh.with_core(|core| {
                    core.begin();
                    core.handle_looked_up(&address, found);
                });
                return mesh.turn();
            }
            Ok(Err(text)) => text,
            Err(_) => "the look-up of the name takes too long".to_owned(),
        },
    };
    mesh.with_core(|core| {
        core.begin();
        core.handle_dial_failed(&address, Status::Unreachable, &format!("{address}: {failed}"));
    });
    mesh.turn();
}

async fn connect(address: SocketAddr) -> Result<TcpStream, String> {
    if is_link_local(address.ip()) {
        return Err("a link-local address means another node on every interface".to_owned());
    }
    let stream = TcpStream::connect(address).await.map_err(|e| e.to_string())?;
    // Dialling a free port of one's own machine may, by chance, connect a socket to itself.
    if stream.local_addr().ok() == stream.peer_addr().ok() {
        return Err("nobody listens there".to_owned());
    }
    Ok(stream)
}
