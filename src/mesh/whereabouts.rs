//! What the end of a connection says about the peer: that depends on where the peer is.
//!
//! When an OS process ends, its machine ends the streams of its connections, or resets them if something was left unread. On this
//! machine nobody else does so: an end of stream is a certain death. On the way from another machine somebody else might; but
//! if the machine that the connection came from, and where the peer said to listen, then refuses a connection, nobody
//! listens there any more. A peer that told an address on another machine than its connection came from (through a
//! tunnel, a proxy, translated addresses) is never taken for dead.

use super::lookup::split_address;
use crate::engine::Ending;
use std::net::{IpAddr, SocketAddr};

#[derive(Default, Debug)]
pub(super) struct Whereabouts {
    /// The peer is on this machine.
    is_here: bool,
    /// Where it listens, if a dial of that address can tell whether it does.
    listens_at: Option<String>,
}

impl Whereabouts {
    /// `told`: where the peer says that it listens. `local`, `remote`: the ends of the connection.
    pub(super) fn of(told: &str, local: Option<SocketAddr>, remote: Option<SocketAddr>) -> Self {
        let ip = |end: Option<SocketAddr>| end.map(|end| end.ip().to_canonical());
        let (Some(local), Some(remote)) = (ip(local), ip(remote)) else { return Self::default() };
        let is_one = |a: IpAddr, b: IpAddr| a == b || a.is_loopback() && b.is_loopback();
        let is_here = is_one(local, remote);
        match told.parse::<SocketAddr>() {
            Ok(told_) if is_one(told_.ip().to_canonical(), remote) => {
                Self { is_here, listens_at: Some(told.to_owned()) }
            }
            Ok(_) => Self::default(),
            // Nobody can dial it; or the one name that is an address of this machine.
            Err(_) => {
                let host = split_address(told).map(|(host, ..)| host);
                let is_localhost = host == Some("localhost") && remote.is_loopback();
                Self { is_here: is_here && (told.is_empty() || is_localhost), listens_at: None }
            }
        }
    }

    /// The stream has ended, and the peer had not said goodbye.
    pub(super) fn ended(&self) -> Ending {
        if self.is_here { Ending::Died } else { self.may_have_died() }
    }

    /// The connection was reset. On the way from another machine a firewall may have done that.
    pub(super) fn reset(&self) -> Ending {
        if self.is_here { self.may_have_died() } else { Ending::Broke }
    }

    fn may_have_died(&self) -> Ending {
        match &self.listens_at {
            Some(address) => Ending::MayHaveDied { address: address.clone() },
            None => Ending::Broke,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_end_says_depends_on_where_the_peer_is() {
        let told = |address: &str| Ending::MayHaveDied { address: address.to_owned() };
        let cases = [
            // Where it says to listen, this end, its end; after an end of stream, after a reset.
            ("127.0.0.1:7000", "127.0.0.1:1", "127.0.0.1:2", Ending::Died, told("127.0.0.1:7000")),
            ("[::1]:7000", "[::1]:1", "[::1]:2", Ending::Died, told("[::1]:7000")),
            ("10.0.0.1:7000", "10.0.0.1:1", "10.0.0.1:2", Ending::Died, told("10.0.0.1:7000")),
            ("10.0.0.1:7000", "[::ffff:10.0.0.1]:1", "10.0.0.1:2", Ending::Died, told("10.0.0.1:7000")),
            ("", "127.0.0.1:1", "127.0.0.1:2", Ending::Died, Ending::Broke),
            ("localhost:7000", "127.0.0.1:1", "127.0.0.1:2", Ending::Died, Ending::Broke),
            ("10.0.0.2:7000", "10.0.0.1:1", "10.0.0.2:2", told("10.0.0.2:7000"), Ending::Broke),
            // Its addresses are translated, or it is behind a proxy or a tunnel on this machine.
            ("10.0.0.3:7000", "10.0.0.1:1", "10.0.0.2:2", Ending::Broke, Ending::Broke),
            ("10.0.0.3:7000", "127.0.0.1:1", "127.0.0.1:2", Ending::Broke, Ending::Broke),
            ("127.0.0.1:7000", "10.0.0.1:1", "10.0.0.2:2", Ending::Broke, Ending::Broke),
            ("host:7000", "127.0.0.1:1", "127.0.0.1:2", Ending::Broke, Ending::Broke),
            ("", "10.0.0.1:1", "10.0.0.2:2", Ending::Broke, Ending::Broke),
        ];
        for (listens, local, remote, ended, reset) in cases {
            let end = |text: &str| Some(text.parse().unwrap());
            let whereabouts = Whereabouts::of(listens, end(local), end(remote));
            assert_eq!((whereabouts.ended(), whereabouts.reset()), (ended, reset), "{listens} {remote}");
        }
        assert_eq!(Whereabouts::of("127.0.0.1:1", None, None).ended(), Ending::Broke);
    }
}
