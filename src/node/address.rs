//! Addresses that an operator gives: what each may be, and how a node listens at one.

use super::options::{is_here, not_loopback};
use super::{Error, Result};
use crate::mesh::{Hosts, MAX_PORTS, is_link_local, split_address};
use crate::model::Status;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv6Addr, SocketAddr, TcpListener};

/// What an address is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Purpose {
    /// Port 0 and a range of ports are fine.
    Listen,
    /// Told to others; port 0 stands for the one that is bound.
    Advertise,
    /// A range of ports is fine.
    Dial,
}

/// `Err`: what is expected.
pub(super) fn check_address(value: &str, purpose: Purpose) -> Result<(), String> {
    let Some((host, low, high)) = split_address(value) else {
        return Err(format!(
            "takes host:port, or host:low-high with at most {MAX_PORTS} ports; an IPv6 host in brackets, as in [::1]:4370"
        ));
    };
    if host.contains('%') {
        return Err(LINK_LOCAL.to_owned());
    }
    let is_host = match host.strip_prefix('[') {
        Some(host) => host.strip_suffix(']').is_some_and(|host| host.parse::<Ipv6Addr>().is_ok()),
        None => {
            let is_of_host = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_');
            !host.is_empty() && host.len() <= 253 && host.chars().all(is_of_host)
        }
    };
    if !is_host {
        return Err("takes host:port; an IPv6 host in brackets, as in [::1]:4370".to_owned());
    }
    let ip = ip_of(value);
    if ip.is_some_and(is_link_local) {
        return Err(LINK_LOCAL.to_owned());
    }
    if purpose != Purpose::Listen && ip.is_some_and(|ip| ip.is_unspecified()) {
        return Err(format!(
            "{host} stands for every address of a machine, so nobody can dial it; give one that other nodes reach"
        ));
    }
    match purpose {
        Purpose::Advertise if low != high => Err("takes one port, not a range".to_owned()),
        Purpose::Dial if low == 0 => {
            Err("port 0 cannot be dialled; give the one that is listened at".to_owned())
        }
        Purpose::Listen if low == 0 && high > 0 => {
            Err("a range begins at port 1; port 0 alone takes any that is free".to_owned())
        }
        _ => Ok(()),
    }
}

const LINK_LOCAL: &str = "an IPv6 address of one link (fe80::, with %interface or without) means something else on \
                          every machine; give a global or a unique local one";

/// The address in numbers, if it is one.
pub(super) fn ip_of(address: &str) -> Option<IpAddr> {
    let (host, ..) = split_address(address)?;
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host).parse().ok()
}

/// The one text that stands for an address, so that it is known again however it was written.
pub(super) fn canonical(address: &str) -> String {
    match address.parse::<SocketAddr>() {
        Ok(literal) => SocketAddr::new(literal.ip().to_canonical(), literal.port()).to_string(),
        Err(_) => address.to_ascii_lowercase(),
    }
}

/// Listens, at the first port of a range that is free. `may_leave`: also where others can reach it.
pub(super) fn bind(listen: &str, advertise: &str, may_leave: bool) -> Result<TcpListener> {
    let failed = |text: String| Error::new(Status::Io, format!("listen {listen}: {text}"));
    let Some((host, low, high)) = split_address(listen) else {
        return Err(failed("it is no address".to_owned()));
    };
    let ips =
        Hosts::of_system().find(host).map_err(|e| failed(format!("the name cannot be looked up: {e}")))?;
    if !may_leave && !ips.iter().all(|ip| is_here(*ip)) {
        return Err(not_loopback("listen", listen));
    }
    if ips.iter().any(IpAddr::is_unspecified) && advertise.is_empty() {
        let text = format!(
            "listen: {listen} stands for every address of this machine; set advertise to the one that other nodes \
             are to dial (host:0 takes the port that is bound)"
        );
        return Err(Error::new(Status::Option, text));
    }
    let mut failure = io::Error::from(ErrorKind::AddrNotAvailable);
    for port in low..=high {
        let addresses: Vec<SocketAddr> = ips.iter().map(|ip| SocketAddr::new(*ip, port)).collect();
        match TcpListener::bind(addresses.as_slice()) {
            Ok(listener) => {
                listener.set_nonblocking(true).map_err(|e| failed(e.to_string()))?;
                return Ok(listener);
            }
            Err(e) => failure = e,
        }
        if failure.kind() != ErrorKind::AddrInUse {
            break;
        }
    }
    let advice = match failure.kind() {
        ErrorKind::AddrInUse if low < high => {
            "every port of the range is taken; give another, or port 0 for any"
        }
        ErrorKind::AddrInUse => "give another port, a range (host:4370-4380), or 0 for any that is free",
        ErrorKind::AddrNotAvailable => {
            "give an address of this machine; one that only others see (NAT) belongs into advertise"
        }
        ErrorKind::PermissionDenied => "give a port above 1023",
        _ => return Err(failed(failure.to_string())),
    };
    Err(failed(format!("{failure}; {advice}")))
}

/// What nobody may dial is not told to others. A name without an address cannot be dialled.
pub(super) fn check_advertised(advertise: &str) -> Result<()> {
    let found = split_address(advertise).and_then(|(host, ..)| Hosts::of_system().find(host).ok());
    match found.into_iter().flatten().all(is_here) {
        true => Ok(()),
        false => Err(not_loopback("advertise", advertise)),
    }
}

/// What other nodes are told to dial: option `advertise`, with the port that was bound where it says 0, or the bound
/// address.
pub(super) fn advertised(advertise: &str, bound: SocketAddr) -> String {
    match advertise.rsplit_once(':') {
        Some((host, "0")) => canonical(&format!("{host}:{}", bound.port())),
        Some(_) => canonical(advertise),
        None => bound.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(listen: &str) -> Result<TcpListener> {
        bind(listen, "", true)
    }

    #[test]
    fn each_purpose_takes_its_own_forms() {
        use Purpose::{Advertise, Dial, Listen};
        for (address, listen, advertise, dial) in [
            ("127.0.0.1:4370", true, true, true),
            ("[::1]:4370", true, true, true),
            ("some-host.example:4370", true, true, true),
            ("127.0.0.1:0", true, true, false),
            ("[::1]:4370-4380", true, false, true),
            ("host:4370-4433", true, false, true),
            ("host:4370-4434", false, false, false),
            ("host:0-5", false, false, false),
            ("0.0.0.0:4370", true, false, false),
            ("[::]:4370", true, false, false),
            ("[fe80::1]:4370", false, false, false),
            ("[fe80::1%eth0]:4370", false, false, false),
            ("fe80::1%2:4370", false, false, false),
            ("::1:4370", false, false, false),
            ("[::1:4370", false, false, false),
            ("[127.0.0.1]:4370", false, false, false),
            (":4370", false, false, false),
            ("a b:1", false, false, false),
        ] {
            for (purpose, fine) in [(Listen, listen), (Advertise, advertise), (Dial, dial)] {
                assert_eq!(check_address(address, purpose).is_ok(), fine, "{address} {purpose:?}");
            }
        }
        assert!(check_address("[fe80::1%eth0]:1", Dial).unwrap_err().contains("unique local"));
        assert!(check_address("0.0.0.0:1", Dial).unwrap_err().contains("every address"));
        assert!(check_address("h:0", Dial).unwrap_err().contains("port 0"));
        assert!(check_address("h:1-100", Dial).unwrap_err().contains("64 ports"));
    }

    #[test]
    fn an_address_has_one_text() {
        for (given, text) in [
            ("[0:0::1]:4370", "[::1]:4370"),
            ("[::ffff:127.0.0.1]:1", "127.0.0.1:1"),
            ("127.0.0.1:1", "127.0.0.1:1"),
            ("Host.Example:1", "host.example:1"),
        ] {
            assert_eq!(canonical(given), text);
        }
        let bound = "[::]:4370".parse().unwrap();
        assert_eq!(advertised("", bound), "[::]:4370");
        assert_eq!(advertised("db.example:0", bound), "db.example:4370");
        assert_eq!(advertised("[2001:DB8::1]:0", bound), "[2001:db8::1]:4370");
        assert_eq!(advertised("10.0.0.1:99", bound), "10.0.0.1:99");
    }

    #[test]
    fn a_wildcard_needs_an_address_to_tell() {
        for listen in ["0.0.0.0:0", "[::]:0"] {
            let error = bind(listen, "", false).unwrap_err();
            assert!(error.detail.contains("not a loopback address"), "{error}");
            let error = open(listen).unwrap_err();
            assert_eq!(error.status, Status::Option);
            assert!(error.detail.contains("set advertise"), "{error}");
        }
        let bound = bind("0.0.0.0:0", "127.0.0.1:0", true).unwrap();
        assert!(bound.local_addr().unwrap().ip().is_unspecified());
    }

    /// The first free port of the range; and what to do when there is none.
    #[test]
    fn a_range_of_ports_is_tried_in_order() {
        // Some five ports in a row: what is free between two looks may be taken, so others are tried then.
        let (low, taken) = loop {
            let first = TcpListener::bind("127.0.0.1:0").unwrap();
            let low = first.local_addr().unwrap().port();
            let second = low.checked_add(1).and_then(|port| TcpListener::bind(("127.0.0.1", port)).ok());
            if let Some(second) = second.filter(|_| low < u16::MAX - 5) {
                break (low, [first, second]);
            }
        };
        let range = |high| format!("127.0.0.1:{low}-{high}");
        let error = open(&range(low + 1)).unwrap_err();
        assert_eq!(error.status, Status::Io);
        assert!(error.detail.contains("every port of the range is taken"), "{error}");
        let error = open(&format!("127.0.0.1:{low}")).unwrap_err();
        assert!(error.detail.contains("give another port, a range"), "{error}");
        let bound = open(&range(low + 5)).unwrap().local_addr().unwrap().port();
        assert!((low + 2..=low + 5).contains(&bound), "{bound}");
        drop(taken);
    }

    #[test]
    fn what_cannot_be_bound_says_what_to_do() {
        // An address of documentation (RFC 5737): no machine has it.
        let error = open("192.0.2.1:0").unwrap_err();
        assert!(error.detail.contains("belongs into advertise"), "{error}");
    }
}
