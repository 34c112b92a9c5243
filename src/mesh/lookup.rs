//! Looking up what a name, a range of ports or both stand for.
//!
//! The resolver of the C library blocks, for as long as it likes, so it runs on a few threads of tokio's that end soon
//! after. One that hangs cannot be ended: no name is looked up twice at one time, so that it holds one of them and not all.

use super::dialler::Failure;
use crate::sync::Mutex;
use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, PoisonError};

/// Look-ups that run or wait for a thread.
pub(crate) const MAX_LOOKUPS: usize = 64;
/// Addresses that are made of one name, in all.
const MAX_ADDRESSES: usize = 1024;
/// Ports in a range.
pub(crate) const MAX_PORTS: u16 = 64;

type Find = dyn Fn(&str) -> io::Result<Vec<IpAddr>> + Send + Sync;

/// What finds the addresses of a host.
#[derive(Clone)]
pub struct Hosts(Arc<Find>);

impl Hosts {
    /// It may block; it is called on threads of its own.
    pub fn new(find: impl Fn(&str) -> io::Result<Vec<IpAddr>> + Send + Sync + 'static) -> Self {
        Self(Arc::new(find))
    }

    /// What the operating system is configured to ask: the file of hosts, DNS.
    pub fn of_system() -> Self {
        Self::new(|host| {
            #[cfg(feature = "test-hooks")]
            if let Some(found) = crate::testing::addresses_of(host) {
                return found;
            }
            Ok((host, 0).to_socket_addrs()?.map(|found| found.ip()).collect())
        })
    }

    /// The addresses of a host, or the one that it says itself.
    pub(crate) fn find(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        match bare.parse() {
            Ok(address) => Ok(vec![address]),
            Err(_) => (self.0)(host),
        }
    }
}

impl fmt::Debug for Hosts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hosts")
    }
}

/// `host:port` or `host:low-high` in parts; an IPv6 host keeps its brackets.
pub(crate) fn split_address(address: &str) -> Option<(&str, u16, u16)> {
    let (host, ports) = address.rsplit_once(':')?;
    let (low, high) = ports.split_once('-').unwrap_or((ports, ports));
    let port = |text: &str| text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok()).flatten();
    let (low, high) = (port(low)?, port(high)?);
    (low <= high && high - low < MAX_PORTS).then_some((host, low, high))
}

/// An address of a network interface without a router: it means something else on every interface, so no node can tell
/// it to another.
pub(crate) fn is_link_local(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(v6) if v6.is_unicast_link_local())
}

/// The look-ups of one mesh.
#[derive(Clone, Default)]
pub(super) struct LookUps {
    running: Arc<Mutex<BTreeSet<String>>>,
}

impl LookUps {
    /// What an address that is none by itself stands for at this moment, as text. It may take for ever.
    pub(super) async fn look_up(&self, hosts: &Hosts, address: &str) -> Result<Vec<String>, Failure> {
        let Some((host, low, high)) = split_address(address) else {
            let text = "it is no address: host:port is one, with an IPv6 host in brackets";
            return Err(text.to_owned().into());
        };
        let running = self.begin(address)?;
        let (hosts, host) = (hosts.clone(), host.to_owned());
        let look_up = move || {
            let _running = running;
            hosts.find(&host)
        };
        // It panics when the system has no thread for it, which must not be the end of the node.
        let started = catch_unwind(AssertUnwindSafe(|| tokio::task::spawn_blocking(look_up)));
        let Ok(found) = started else {
            return Err(Failure::here("no thread is left to look the name up"));
        };
        let found = match found.await {
            Ok(Ok(found)) => found,
            Ok(Err(e)) => {
                return Err(Failure::of_system(&e, format!("the name cannot be looked up: {e}")));
            }
            Err(_) => return Err("the name cannot be looked up".to_owned().into()),
        };
        let all = found.len();
        let usable = found.into_iter().map(|ip| ip.to_canonical()).filter(|ip| !is_link_local(*ip));
        let addresses = usable.flat_map(|ip| (low..=high).map(move |port| SocketAddr::new(ip, port)));
        let addresses: Vec<String> = addresses.take(MAX_ADDRESSES).map(|found| found.to_string()).collect();
        match (addresses.is_empty(), all) {
            (false, _) => Ok(addresses),
            (true, 0) => Err("the name has no address".to_owned().into()),
            (true, _) => {
                let text = "the name has link-local addresses only, which are of no use to nodes";
                Err(text.to_owned().into())
            }
        }
    }

    fn begin(&self, address: &str) -> Result<Running, String> {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if running.len() >= MAX_LOOKUPS {
            return Err("too many names are being looked up".to_owned());
        }
        if !running.insert(address.to_owned()) {
            return Err("the look-up of this name has no answer yet".to_owned());
        }
        Ok(Running { all: self.running.clone(), address: address.to_owned() })
    }
}

/// A look-up that runs or waits, also when nobody waits for it any more.
struct Running {
    all: Arc<Mutex<BTreeSet<String>>>,
    address: String,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.all.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.address);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_host_and_ports() {
        assert_eq!(split_address("host:1"), Some(("host", 1, 1)));
        assert_eq!(split_address("[::1]:1-3"), Some(("[::1]", 1, 3)));
        assert_eq!(split_address("host:4370-4433"), Some(("host", 4370, 4433)));
        for not in [
            "host",
            "host:",
            "host:x",
            "host:3-1",
            "host:1-",
            "host:-1",
            "host:+1",
            "host:1-65",
            "host:65536",
        ] {
            assert_eq!(split_address(not), None, "{not}");
        }
    }

    #[test]
    fn link_local_addresses_are_told_apart() {
        assert!(is_link_local("fe80::1".parse().unwrap()));
        for other in ["fd00::1", "::1", "2001:db8::1", "169.254.0.1"] {
            assert!(!is_link_local(other.parse().unwrap()), "{other}");
        }
    }
}
