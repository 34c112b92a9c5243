//! Making connections.

use super::refusals::Refused;
use super::{Core, Mesh};
use crate::engine::Status;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};

/// A name may stand for many addresses; so many of them are tried.
const MAX_CANDIDATES: usize = 8;
/// Look-ups that run or wait for a thread. One that hangs cannot be ended, only not be joined by ever more of them.
const MAX_LOOKUPS: usize = 64;

pub(super) async fn run<C: Core>(mesh: Mesh<C>, address: String) {
    let deadline = Instant::now() + mesh.settings().handshake;
    let connected = match timeout_at(deadline, connect(&mesh, &address, deadline)).await {
        Ok(connected) => connected,
        Err(_) => Err("no answer in time".to_owned().into()),
    };
    match connected {
        Ok(stream) => mesh.adopt(stream, Some(address)),
        Err(Failure { status, text }) => {
            mesh.with_core(|core| {
                core.begin();
                core.handle_dial_failed(&address, status, &format!("{address}: {text}"));
            });
        }
    }
    mesh.turn();
}

struct Failure {
    status: Status,
    text: String,
}

impl From<String> for Failure {
    fn from(text: String) -> Failure {
        Failure { status: Status::Unreachable, text }
    }
}

/// What to do about an address on another machine when links are not protected.
pub const UNPROTECTED: &str = "without a secret links stay on this machine: set the option secret or secret.file, alike on \
    all nodes of the cluster; or insecure.plaintext to allow, if everybody who can reach the network may read, change and \
    join";

async fn connect<C: Core>(mesh: &Mesh<C>, address: &str, deadline: Instant) -> Result<TcpStream, Failure> {
    let candidates: Vec<SocketAddr> = match address.parse() {
        Ok(literal) => vec![literal],
        Err(_) => resolve(address, mesh.lookups()).await?,
    };
    // Wherever the address came from: a caller, a peer, the name service.
    if let Some(elsewhere) = candidates.iter().find(|candidate| !mesh.settings().may_reach(candidate.ip())) {
        mesh.refuse(Refused::Unprotected, Some(*elsewhere), true, UNPROTECTED);
        return Err(Failure {
            status: Status::Option,
            text: format!("{} is not a loopback address; {UNPROTECTED}", elsewhere.ip()),
        });
    }
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
    Err(failure.into())
}

/// The addresses of a host name. The resolver of the C library blocks, so it runs on a thread of tokio's, which ends
/// soon after.
async fn resolve(address: &str, lookups: &Arc<AtomicUsize>) -> Result<Vec<SocketAddr>, String> {
    struct Running(Arc<AtomicUsize>);
    impl Drop for Running {
        fn drop(&mut self) {
            self.0.fetch_sub(1, Ordering::Relaxed);
        }
    }
    let running = Running(lookups.clone());
    if lookups.fetch_add(1, Ordering::Relaxed) >= MAX_LOOKUPS {
        return Err("too many names are being resolved".to_owned());
    }
    let address = address.to_owned();
    let found = tokio::task::spawn_blocking(move || {
        let _running = running;
        address.to_socket_addrs().map(|found| found.take(MAX_CANDIDATES).collect())
    });
    match found.await {
        Ok(Ok(candidates)) => Ok(candidates),
        Ok(Err(e)) => Err(format!("the name cannot be resolved: {e}")),
        Err(_) => Err("the name cannot be resolved".to_owned()),
    }
}
