//! Making connections.

use super::{Core, Mesh};
use crate::engine::Status;
use std::net::SocketAddr;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::{Instant, timeout, timeout_at};

/// A name may stand for many addresses; so many of them are tried.
const MAX_CANDIDATES: usize = 8;

pub(super) async fn run<C: Core>(mesh: Mesh<C>, address: String) {
    let deadline = Instant::now() + mesh.settings().handshake;
    let connected = match timeout_at(deadline, connect(&address, deadline)).await {
        Ok(connected) => connected,
        Err(_) => Err("no answer in time".to_owned()),
    };
    match connected {
        Ok(stream) => mesh.adopt(stream, Some(address)),
        Err(text) => {
            mesh.with_core(|core| {
                core.begin();
                core.handle_dial_failed(&address, Status::Unreachable, &format!("{address}: {text}"));
            });
            mesh.turn();
        }
    }
}

async fn connect(address: &str, deadline: Instant) -> Result<TcpStream, String> {
    let candidates: Vec<SocketAddr> = match address.parse() {
        Ok(literal) => vec![literal],
        // On a thread of tokio's that ends soon after: the resolver of the C library blocks.
        Err(_) => match lookup_host(address).await {
            Ok(found) => found.take(MAX_CANDIDATES).collect(),
            Err(e) => return Err(format!("the name cannot be resolved: {e}")),
        },
    };
    let mut failure = "the name has no address".to_owned();
    for (tried, candidate) in candidates.iter().enumerate() {
        // An address that never answers leaves time for those behind it.
        let left = deadline.saturating_duration_since(Instant::now());
        let share = left / (candidates.len() - tried) as u32;
        failure = match timeout(share, TcpStream::connect(candidate)).await {
            Err(_) => "no answer in time".to_owned(),
            Ok(Err(e)) => e.to_string(),
            // Dialling a free port of one's own machine may, by chance, connect a socket to itself.
            Ok(Ok(stream)) if stream.local_addr().ok() == stream.peer_addr().ok() => {
                "nobody listens there".to_owned()
            }
            Ok(Ok(stream)) => return Ok(stream),
        };
    }
    Err(failure)
}
