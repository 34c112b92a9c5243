//! How nodes find each other: names of many addresses, IPv6, wildcards, addresses that are not those listened at, ranges
//! of ports. Whole nodes on loopback; the names are the test's own.

#[path = "support/ports.rs"]
#[allow(dead_code)] // other tests use the rest
mod ports;

use convoke::model::Status;
use convoke::node::{Completion, Error, Field, Node, Options, Process};
use convoke::testing::set_addresses;
use ports::Ports;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex};
use std::thread::spawn;
use std::time::{Duration, Instant};

/// Long enough for anything that happens; a test that needs it has failed.
const LONG: i64 = 30_000;
const V4: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const V6: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);

fn try_open(set: &[(&str, &str)]) -> Result<Node, Error> {
    let mut options = Options::new();
    options.set("cluster", &convoke::testing::cluster()).unwrap();
    set.iter().for_each(|(key, value)| options.set(key, value).unwrap());
    Node::open(&options)
}

fn open(set: &[(&str, &str)]) -> Node {
    try_open(set).unwrap()
}

fn port(node: &Node) -> u16 {
    node.address().rsplit_once(':').unwrap().1.parse().unwrap()
}

/// Waits until the node is linked with exactly so many others.
fn wait_for_peers(node: &Node, count: u64) {
    wait_for_peers_in(node, count..=count);
}

fn wait_for_peers_in(node: &Node, counts: RangeInclusive<u64>) {
    let process = Process::spawn(node, None).unwrap();
    process.node_monitor().unwrap();
    let start = Instant::now();
    while !counts.contains(&node.stats().peers) {
        let left = Duration::from_millis(LONG as u64).checked_sub(start.elapsed());
        let left = left.unwrap_or_else(|| panic!("{} has {} peers", node.name(), node.stats().peers));
        // Any change of the peers wakes it.
        let _ = process.recv(left.as_millis() as i64);
    }
    process.free();
}

fn connect(node: &Node, address: &str) -> Result<(), Error> {
    let process = Process::spawn(node, None).unwrap();
    let connected = process.connect(address, LONG, Completion::Wait).map(|_| ());
    process.free();
    connected
}

fn has_ipv6() -> bool {
    let there = TcpListener::bind((V6, 0)).is_ok();
    if !there {
        println!("this machine has no IPv6");
    }
    there
}

/// So many loopback addresses with one port that is kept free at all of them.
fn service(count: u8) -> (Vec<IpAddr>, u16, Ports) {
    let addresses: Vec<IpAddr> = (1..=count).map(|n| Ipv4Addr::new(127, 0, 77, n).into()).collect();
    loop {
        let first = Ports::at([SocketAddr::new(addresses[0], 0)]).unwrap().addresses()[0];
        let all = addresses.iter().map(|address| SocketAddr::new(*address, first.port()));
        if let Ok(ports) = Ports::at(all) {
            return (addresses, first.port(), ports);
        }
    }
}

/// Hands every connection on to another address, as a router with a forwarded port does.
fn forwarder(to: SocketAddr) -> SocketAddr {
    balancer(move || to)
}

/// Hands each connection on to the address that is chosen for it, as a balancer does.
fn balancer(mut choose: impl FnMut() -> SocketAddr + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind((V4, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    spawn(move || {
        for inward in listener.incoming().map_while(Result::ok) {
            let Ok(outward) = TcpStream::connect(choose()) else { continue };
            for (mut from, mut to) in
                [(inward.try_clone().unwrap(), outward.try_clone().unwrap()), (outward, inward)]
            {
                spawn(move || {
                    let mut buffer = [0; 4096];
                    while let Ok(n @ 1..) = from.read(&mut buffer) {
                        if to.write_all(&buffer[..n]).is_err() {
                            break;
                        }
                    }
                    let _ = to.shutdown(Shutdown::Both);
                    let _ = from.shutdown(Shutdown::Both);
                });
            }
        }
    });
    address
}

/// "N containers have the same list of seeds, one name"; one is replaced at another address.
#[test]
fn the_nodes_of_a_headless_service_find_each_other() {
    let (addresses, port, _ports) = service(5);
    let host = "headless.example";
    set_addresses(host, &addresses[..4]);
    let seed = format!("{host}:{port}");
    let start = |at: &IpAddr| open(&[("listen", &format!("{at}:{port}")), ("seeds", &seed)]);
    let nodes: Vec<Node> = addresses[..4].iter().map(start).collect();
    nodes.iter().for_each(|node| wait_for_peers(node, 3));
    nodes[3].close(-1).unwrap();
    set_addresses(host, &[addresses[4], addresses[2], addresses[0], addresses[1]]);
    let late = start(&addresses[4]);
    wait_for_peers(&late, 3);
    nodes[..3].iter().for_each(|node| wait_for_peers(node, 3));
}

/// No node of one half was ever told of one of the other; the name is all they share.
#[test]
fn two_halves_that_share_a_name_find_each_other() {
    let (addresses, port, _ports) = service(4);
    let host = "halves.example";
    let seed = format!("{host}:{port}");
    let refresh = ("seeds.refresh_ms", "500");
    let mut nodes = Vec::new();
    for half in [&addresses[..2], &addresses[2..]] {
        set_addresses(host, half);
        let first = nodes.len();
        for at in half {
            nodes.push(open(&[("listen", &format!("{at}:{port}")), ("seeds", &seed), refresh]));
        }
        // One of its own half; on a slow machine the first half may have looked the name up again already.
        nodes[first..].iter().for_each(|node| wait_for_peers_in(node, 1..=3));
    }
    set_addresses(host, &addresses);
    nodes.iter().for_each(|node| wait_for_peers(node, 3));
}

/// "Clusters whose only seed is the balancer always end in one part", although it leads each node to itself at first, and
/// then anywhere.
#[test]
fn nodes_behind_a_balancer_find_each_other() {
    for (round, count) in [3, 3, 3, 4, 4, 5].into_iter().enumerate() {
        let (addresses, port, _ports) = service(count);
        let open_ones = Arc::new(Mutex::new(Vec::new()));
        let backends = open_ones.clone();
        let mut dials = round;
        let seed = balancer(move || {
            let backends: &Vec<SocketAddr> = &backends.lock().unwrap();
            dials += 1;
            // The last one is the one that is being opened.
            if dials.is_multiple_of(3) {
                backends[dials / 3 % backends.len()]
            } else {
                backends[backends.len() - 1]
            }
        });
        let nodes: Vec<Node> = addresses
            .iter()
            .map(|at| {
                open_ones.lock().unwrap().push(SocketAddr::new(*at, port));
                let (listen, seed) = (format!("{at}:{port}"), seed.to_string());
                open(&[("listen", &listen), ("seeds", &seed), ("seeds.refresh_ms", "300")])
            })
            .collect();
        nodes.iter().for_each(|node| wait_for_peers(node, u64::from(count) - 1));
    }
}

/// A program that hangs, or one that is no node at all: it accepts, and says nothing.
fn silent() -> (TcpListener, String) {
    let listener = TcpListener::bind((V4, 0)).unwrap();
    let address = listener.local_addr().unwrap().to_string();
    (listener, address)
}

/// "A seed that hangs never makes open fail": alone it is waited for as long as the option says, beside a node that
/// answers no longer than a second.
#[test]
fn a_seed_that_hangs_does_not_keep_a_node_from_opening() {
    let (_silent, hung) = silent();
    let start = Instant::now();
    let alone = open(&[("seeds", &hung), ("join.wait", "300")]);
    assert!(start.elapsed() >= Duration::from_millis(300));
    assert_eq!(alone.stats().peers, 0);
    for seeds in [format!("{hung},{}", alone.address()), format!("{},{hung}", alone.address())] {
        // Below the five seconds after which a handshake is given up.
        let node = open(&[("seeds", &seeds), ("join.wait", "4000")]);
        assert!(node.stats().peers >= 1, "{seeds}");
    }
}

/// The same for one of several addresses of a name, beside a name that has none: none delays another.
#[test]
fn an_address_that_hangs_does_not_delay_the_others() {
    let (addresses, port, _ports) = service(3);
    let _hung: Vec<TcpListener> =
        [0, 2].iter().map(|at| TcpListener::bind((addresses[*at], port)).unwrap()).collect();
    let host = "half-dead.example";
    set_addresses(host, &addresses);
    set_addresses("nobody.example", &[]);
    let seeds = format!("nobody.example:1,{host}:{port}");
    let first = open(&[("listen", &format!("{}:{port}", addresses[1]))]);
    let node = open(&[("seeds", &seeds), ("join.wait", "4000")]);
    assert_eq!((first.stats().peers, node.stats().peers), (1, 1));
}

/// The first node of a cluster: its seeds refuse, or are the node itself, and it is open at once.
#[test]
fn the_first_node_of_a_cluster_is_open_at_once() {
    let (addresses, port, _ports) = service(2);
    let (own, nobody) = (format!("{}:{port}", addresses[0]), format!("{}:{port}", addresses[1]));
    let advertised = forwarder(SocketAddr::new(addresses[0], port)).to_string();
    let start = Instant::now();
    for seeds in ["", &own, &nobody, &format!("{nobody},{own},{advertised}")] {
        let node =
            open(&[("listen", &own), ("advertise", &advertised), ("seeds", seeds), ("join.wait", "3600000")]);
        node.close(-1).unwrap();
    }
    println!("four nodes were opened and closed in {:?}", start.elapsed());
}

#[test]
fn a_name_that_cannot_be_looked_up_yet_is_tried_again() {
    let host = "later.example";
    set_addresses(host, &[]);
    let one = open(&[]);
    let address = format!("{host}:{}", port(&one));
    let two = open(&[("seeds", &address), ("join.wait", "10000")]);
    let error = connect(&two, &address).unwrap_err();
    assert_eq!(error.status, Status::Unreachable);
    assert!(error.detail.contains("cannot be looked up"), "{error}");
    set_addresses(host, &[V4]);
    wait_for_peers(&two, 1);
    connect(&two, &address).unwrap();
    // It is its own address only.
    let error = connect(&one, &address).unwrap_err();
    assert_eq!(error.status, Status::Invalid);
}

#[test]
fn the_node_of_a_name_with_addresses_of_two_families_is_found() {
    let host = "two-families.example";
    set_addresses(host, &[V6, V4]);
    let one = open(&[]);
    let two = open(&[]);
    connect(&two, &format!("{host}:{}", port(&one))).unwrap();
    assert_eq!(two.stats().peers, 1);
    // The system's own answer.
    let three = open(&[("seeds", &format!("localhost:{}", port(&one)))]);
    wait_for_peers(&three, 2);
}

#[test]
fn nodes_link_over_ipv6() {
    if !has_ipv6() {
        return;
    }
    let one = open(&[("listen", "[::1]:0")]);
    assert_eq!(one.address(), format!("[::1]:{}", port(&one)));
    let two = open(&[("listen", "[::1]:0"), ("seeds", one.address())]);
    let three = open(&[("listen", "[::1]:0"), ("seeds", two.address())]);
    [&one, &two, &three].into_iter().for_each(|node| wait_for_peers(node, 2));
}

/// `[::]` takes IPv4 too, and says where it is to be dialled.
#[test]
fn a_wildcard_listens_in_both_families() {
    if !has_ipv6() {
        return;
    }
    let allow = ("insecure.plaintext", "allow");
    let one = open(&[("listen", "[::]:0"), ("advertise", "localhost:0"), allow]);
    assert_eq!(one.address(), format!("localhost:{}", port(&one)));
    let four = open(&[("seeds", &format!("127.0.0.1:{}", port(&one)))]);
    let six = open(&[("listen", "[::1]:0"), ("seeds", &format!("[::1]:{}", port(&one)))]);
    [&one, &four, &six].into_iter().for_each(|node| wait_for_peers(node, 2));
    let error = try_open(&[("listen", "[::]:0"), allow]).map(|_| ()).unwrap_err();
    assert_eq!(error.status, Status::Option);
    assert!(error.detail.contains("set advertise"), "{error}");
}

/// The address that a node is reached at is not the one it listens at: others are told the former.
#[test]
fn a_node_behind_a_forwarded_port_is_found_by_third_nodes() {
    // The port must be known before the node is: it is forwarded to one that is free and then listened at.
    let (hidden, inner, _ports) = service(1);
    let hidden = SocketAddr::new(hidden[0], inner);
    let outside = forwarder(hidden).to_string();
    let behind = open(&[("listen", &hidden.to_string()), ("advertise", &outside)]);
    assert_eq!(behind.address(), outside);
    let seed = open(&[("seeds", &outside)]);
    wait_for_peers(&seed, 1);
    let told = open(&[("seeds", seed.address())]);
    [&behind, &seed, &told].into_iter().for_each(|node| wait_for_peers(node, 2));
    let peers = told.peers().unwrap();
    let addresses: Vec<_> = (0..peers.len()).filter_map(|row| peers.bytes(row, Field::Address)).collect();
    assert!(addresses.contains(&outside.as_bytes()), "{outside}");
    // Itself, by way of the forwarder.
    assert_eq!(connect(&behind, &outside).unwrap_err().status, Status::Invalid);
}

#[test]
fn nodes_of_one_machine_share_a_range_of_ports() {
    let ports = loop {
        let first = Ports::on_loopback(1).addresses()[0].port();
        let range = first..first.saturating_add(8);
        match Ports::at(range.map(|port| SocketAddr::new(V4, port))) {
            Ok(ports) if ports.addresses().len() == 8 => break ports,
            _ => {}
        }
    };
    let low = ports.addresses()[0].port();
    let range = format!("127.0.0.1:{low}-{}", low + 7);
    let open_one = || open(&[("listen", &range), ("seeds", &range)]);
    let nodes = [open_one(), open_one(), open_one()];
    nodes.iter().for_each(|node| wait_for_peers(node, 2));
    let ports: Vec<u16> = nodes.iter().map(port).collect();
    assert!(ports.iter().all(|port| (low..low + 8).contains(port)), "{ports:?}");
    // An address of a program that is no node does no harm, and neither does waiting for all of them.
    let other = open(&[("seeds", &range), ("join.wait", "20000")]);
    assert_eq!(other.stats().peers, 3);
    connect(&nodes[0], &range).unwrap();
}

/// Seeds can be replaced while a node is open; links stay.
#[test]
fn seeds_are_replaced_by_a_reload() {
    let (one, two) = (open(&[]), open(&[]));
    let set = [("name", "reloaded"), ("seeds", one.address())];
    let node = open(&set);
    wait_for_peers(&node, 1);
    let options = |seeds: &str| {
        let mut options = Options::new();
        options.set("name", "reloaded").unwrap();
        options.set("cluster", &convoke::testing::cluster()).unwrap();
        options.set("seeds", seeds).unwrap();
        options
    };
    node.reload(&options(two.address())).unwrap();
    [&one, &two, &node].into_iter().for_each(|node| wait_for_peers(node, 2));
    let mut other = options("");
    other.set("detection_ms", "777").unwrap();
    let error = node.reload(&other).unwrap_err();
    assert!(error.status == Status::Option && error.detail.contains("seeds"), "{error}");
}

#[test]
fn what_is_no_address_says_what_would_be() {
    let node = open(&[]);
    for (address, text) in [
        ("0.0.0.0:4370", "every address"),
        ("[fe80::1%eth0]:4370", "unique local"),
        ("127.0.0.1:0", "port 0"),
        ("::1:4370", "brackets"),
        ("host", "host:port"),
        ("host:1-1000", "64 ports"),
    ] {
        let error = connect(&node, address).unwrap_err();
        assert_eq!(error.status, Status::Invalid);
        assert!(error.detail.contains(text), "{address}: {error}");
        let error = Options::new().set("seeds", address).unwrap_err();
        assert!(error.status == Status::Option && error.detail.contains(text), "{address}: {error}");
    }
}
