//! Which networks may be dialled (option `dial.networks`).

use std::net::IpAddr;

/// Any, or those that are named.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Networks(Option<Vec<(IpAddr, u8)>>);

impl Networks {
    /// `any`, or networks like `10.0.0.0/8` and `fd00::/8`, or single addresses, with commas between them.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text == "any" {
            return Ok(Self(None));
        }
        let network = |part: &str| {
            let (address, bits) =
                part.split_once('/').map_or((part, None), |(address, bits)| (address, Some(bits)));
            let address: IpAddr =
                address.parse().map_err(|_| format!("\"{part}\" is no network, as 10.0.0.0/8 is"))?;
            let most = if address.is_ipv4() { 32 } else { 128 };
            let bits = bits.map_or(Ok(most), str::parse).ok().filter(|bits| *bits <= most);
            let bits = bits.ok_or_else(|| format!("\"{part}\": at most {most} bits"))?;
            let network = masked(address, bits);
            if network != address {
                return Err(format!("\"{part}\" has bits beyond its {bits}; is {network}/{bits} meant?"));
            }
            Ok((network, bits))
        };
        text.split(',').map(|part| network(part.trim())).collect::<Result<_, _>>().map(|all| Self(Some(all)))
    }

    pub fn contain(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        let is_in = |(network, bits): &(IpAddr, u8)| {
            network.is_ipv4() == address.is_ipv4() && masked(address, *bits) == *network
        };
        self.0.as_ref().is_none_or(|networks| networks.iter().any(is_in))
    }
}

/// The first bits of the address, and zeros.
fn masked(address: IpAddr, bits: u8) -> IpAddr {
    match address {
        IpAddr::V4(address) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(bits)).unwrap_or(0);
            IpAddr::V4((address.to_bits() & mask).into())
        }
        IpAddr::V6(address) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0);
            IpAddr::V6((address.to_bits() & mask).into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn which_addresses_are_in_a_network() {
        for (networks, inside, outside) in [
            ("any", &["1.2.3.4", "::1"][..], &[][..]),
            (
                "10.0.0.0/8",
                &["10.0.0.0", "10.255.255.255", "::ffff:10.1.1.1"],
                &["11.0.0.0", "9.255.255.255", "::1"],
            ),
            (
                "10.0.0.0/8, 192.168.1.7,fd00::/8",
                &["10.1.2.3", "192.168.1.7", "fdff::1"],
                &["192.168.1.8", "fe80::1"],
            ),
            ("0.0.0.0/0", &["1.2.3.4"], &["2001:db8::1"]),
            ("::/0", &["2001:db8::1"], &["1.2.3.4"]),
            ("127.0.0.1/32,::1/128", &["127.0.0.1", "::1"], &["127.0.0.2", "::2"]),
        ] {
            let networks = Networks::parse(networks).unwrap();
            let contain = |address: &&str| networks.contain(address.parse().unwrap());
            assert!(inside.iter().all(contain) && !outside.iter().any(contain), "{networks:?}");
        }
    }

    #[test]
    fn what_is_no_network_is_refused_with_a_text() {
        for (text, word) in [
            ("", "no network"),
            ("everything", "no network"),
            ("10.0.0.0/33", "at most 32"),
            ("fd00::/129", "at most 128"),
            ("10.0.0.0/-1", "at most 32"),
            ("10.0.0.1/8", "10.0.0.0/8"),
            ("10.0.0.0/8,", "no network"),
            ("host/8", "no network"),
        ] {
            let error = Networks::parse(text).unwrap_err();
            assert!(error.contains(word), "{text}: {error}");
        }
    }
}
