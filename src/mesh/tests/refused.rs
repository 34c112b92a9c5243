//! Who is refused before it becomes a connection that the core knows of, what both sides get to hear, and how many may try
//! at one time.

use super::*;
use crate::mesh::{Networks, Refused};

fn one(seed: u8) -> Secret {
    let bytes: Vec<u8> = (0..32u32).map(|at| (at * at * 37 + u32::from(seed) * 101 + 11) as u8).collect();
    Secret::from_bytes(&bytes).unwrap()
}

fn with(protection: Protection, node: u64) -> Settings {
    Settings { protection: Arc::new(RwLock::new(protection)), ..settings(node) }
}

fn plain(node: u64) -> Settings {
    with(Protection::Plain, node)
}

fn under(cluster: &str, secrets: &[Secret], node: u64) -> Settings {
    Settings { cluster: cluster.to_owned(), ..with(secret(cluster, secrets), node) }
}

/// Dials the second from the first: how that failed, and how often each has refused for this reason.
async fn dial(low: Settings, high: Settings, why: Refused) -> (Status, String, u64, u64) {
    let (low, address) = start(low).await;
    let (high, _) = start(high).await;
    high.order(Order::Dial { address: address.clone() });
    let failed = high
        .wait_seen(|seen| match seen {
            Seen::DialFailed { status, detail, .. } => Some((*status, detail.clone())),
            _ => None,
        })
        .await;
    high.empty().await;
    low.empty().await;
    for mesh in [&low, &high] {
        mesh.with_core(|core| {
            let nobody = core.seen.iter().all(|seen| matches!(seen, Seen::DialFailed { .. } | Seen::Log(..)));
            assert!(nobody, "the core never hears of the connection: {:?}", core.seen);
            let logs = core
                .seen
                .iter()
                .filter(|seen| matches!(seen, Seen::Log(_, text) if text.contains("127.0.0.1")));
            assert_eq!(logs.count(), 1, "both sides are told, with the address: {:?}", core.seen);
        });
    }
    let counts = |mesh: &Mesh<Script>| mesh.settings().refusals.get(why);
    (failed.0, failed.1, counts(&low), counts(&high))
}

#[test]
fn a_wrong_secret() {
    run(async {
        let (low, high) = (under("test", &[one(1)], 1), under("test", &[one(2), one(3)], 2));
        let (status, text, there, here) = dial(low, high, Refused::Secret).await;
        assert_eq!((status, there, here), (Status::Auth, 1, 1));
        assert!(text.contains("share no secret") && text.contains("secret.file"), "{text}");
    });
}

#[test]
fn another_cluster() {
    run(async {
        for (low, high) in [
            (under("test", &[one(1)], 1), under("tset", &[one(1)], 2)),
            (plain(1), Settings { cluster: "tset".to_owned(), ..plain(2) }),
        ] {
            let (status, text, there, here) = dial(low, high, Refused::Cluster).await;
            assert_eq!((status, there, here), (Status::Auth, 1, 1));
            assert!(text.contains("option cluster"), "{text}");
        }
    });
}

#[test]
fn a_secret_on_one_side_only() {
    run(async {
        for (low, high) in [(under("test", &[one(1)], 1), plain(2)), (plain(1), under("test", &[one(1)], 2))]
        {
            let (status, text, there, here) = dial(low, high, Refused::Mode).await;
            assert_eq!((status, there, here), (Status::Auth, 1, 1));
            assert!(text.contains("on both"), "{text}");
        }
    });
}

#[test]
fn no_common_version() {
    run(async {
        for protected in [false, true] {
            for (mine, theirs) in [((1, 2), (3, 4)), ((7, 9), (1, 6))] {
                let settings = |node| if protected { under("test", &[one(1)], node) } else { plain(node) };
                let (low, high) = (
                    Settings { versions: mine, ..settings(1) },
                    Settings { versions: theirs, ..settings(2) },
                );
                let (status, text, there, here) = dial(low, high, Refused::Version).await;
                assert_eq!((status, there, here), (Status::Version, 1, 1));
                let expected = format!(
                    "the peer speaks protocol versions {} to {}, this node {} to {}",
                    mine.0, mine.1, theirs.0, theirs.1
                );
                assert_eq!(text, expected);
            }
        }
    });
}

#[test]
fn an_older_and_a_newer_node_speak_the_highest_common_version() {
    run(async {
        for (mine, theirs, common) in [((1, 1), (1, 3), 1), ((2, 5), (1, 3), 3), ((1, 2), (2, 2), 2)] {
            let (low, address) = start(Settings { versions: mine, ..settings(1) }).await;
            let (high, _) = start(Settings { versions: theirs, ..settings(2) }).await;
            high.order(Order::Dial { address });
            let there = high.wait_seen(|seen| if let Seen::Go(id) = seen { Some(*id) } else { None }).await;
            let here = low.connection().await;
            assert_eq!((low.version(here), high.version(there)), (Some(common), Some(common)));
            high.say(there, 8);
            assert_eq!(low.numbers(1).await, [8]);
        }
    });
}

#[test]
fn an_identity_that_the_handshake_did_not_speak_of() {
    run(async {
        let settings = under("test", &[one(1)], 1);
        let (low, address) = start(settings.clone()).await;
        let setup = Setup { protection: settings.protection(), ..setup(3) };
        let mut peer = Peer::connect_as(&address, setup).await;
        peer.knock().await.unwrap();
        peer.introduce(4).await;
        while !peer.is_ended().await {}
        low.empty().await;
        assert_eq!(low.settings().refusals.get(Refused::Handshake), 1);
        assert!(low.with_core(|core| core.seen.iter().all(|seen| matches!(seen, Seen::Log(..)))));
    });
}

#[test]
fn a_stranger_is_logged_once_however_often_it_comes() {
    run(async {
        let (low, address) = start(settings(1)).await;
        for _ in 0..50 {
            let mut stranger = Peer::connect(&address).await;
            stranger.stream.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
            let _ = stranger.stream.read_to_end(&mut Vec::new()).await;
        }
        low.empty().await;
        assert_eq!(low.settings().refusals.get(Refused::Stranger), 50);
        let logs = low.with_core(|core| core.seen.iter().filter(|s| matches!(s, Seen::Log(..))).count());
        assert_eq!(logs, 1);
    });
}

#[test]
fn what_leaves_the_machine_is_refused_where_it_is_dialled() {
    run(async {
        let (low, _) = start(plain(1)).await;
        // Numbers from a range that is for documentation only: nobody is ever dialled there.
        for address in ["192.0.2.1:9", "[2001:db8::1]:9", "[::ffff:192.0.2.1]:9"] {
            low.order(Order::Dial { address: address.to_owned() });
            let detail = low
                .wait_seen(|seen| match seen {
                    Seen::DialFailed { address: a, status: Status::Option, detail } if a == address => {
                        Some(detail.clone())
                    }
                    _ => None,
                })
                .await;
            assert!(detail.contains("secret.file") && detail.contains("insecure.plaintext"), "{detail}");
        }
        assert_eq!(low.settings().refusals.get(Refused::Unprotected), 3);
        assert!(plain(1).may_reach("::ffff:127.0.0.1".parse().unwrap()));
        for settings in [under("test", &[one(1)], 1), Settings { plaintext_may_leave: true, ..plain(1) }] {
            assert!(settings.may_reach("192.0.2.1".parse().unwrap()));
        }
    });
}

/// Who is refused keeps its place until it is gone, so that those who are refused and stay cannot pile up.
#[test]
fn who_is_refused_and_stays_takes_a_place() {
    run(async {
        let (low, address) = start(Settings {
            half_open: 4,
            farewell: Duration::from_secs(20),
            handshake: Duration::from_secs(20),
            ..settings(1)
        })
        .await;
        let mut refused = Vec::new();
        for _ in 0..12 {
            let mut peer = Peer::connect_as(&address, Setup { versions: (8, 9), ..setup(2) }).await;
            assert!(matches!(peer.knock().await, Err(WireError::Version(..))));
            refused.push(peer);
        }
        assert!(low.connections() <= 4, "{} connections", low.connections());
        Peer::link(&address, 3).await;
    });
}

/// An incarnation is made of the node's name and of random bytes, which a peer shows: nobody takes that of another name, and
/// under certificates a name is a certificate's.
#[test]
fn an_incarnation_that_is_another_s_is_refused() {
    run(async {
        let proving = Settings { is_proven: Settings::new(NodeId(1), "test").is_proven, ..settings(1) };
        let (low, address) = start(proving).await;
        let of = |name: &str, opening: Opening| Identity {
            name: name.to_owned(),
            node: opening.incarnation(name),
            ..identity(9)
        };
        let honest = of("honest", OPENING);
        let thief = Identity { name: "thief".to_owned(), ..honest.clone() };
        for (identity, opening, is_taken) in
            [(honest.clone(), OPENING, true), (honest, Opening([8; 32]), false), (thief, OPENING, false)]
        {
            let setup = Setup { node: identity.node, name: identity.name.clone(), ..setup(0) };
            let mut peer = Peer::connect_as(&address, setup).await;
            peer.knock().await.unwrap();
            let mut bytes = Vec::new();
            wire::encode_handshake(&Handshake::identity("test", identity.clone(), opening), &mut bytes);
            peer.write(&bytes).await;
            if is_taken {
                low.wait_seen(|seen| {
                    matches!(seen, Seen::Connection { peer, .. } if *peer == identity.node).then_some(())
                })
                .await;
            } else {
                while !peer.is_ended().await {}
            }
        }
        let known = low.with_core(|core| {
            core.seen.iter().filter(|seen| matches!(seen, Seen::Connection { .. })).count()
        });
        assert_eq!(known, 1);
    });
}

/// What lies in none of the networks of `dial.networks` is not dialled, whoever names it: an address, or a name that stands for it.
#[test]
fn only_the_networks_that_may_be_dialled_are() {
    run(async {
        let (_low, address) = start(settings(1)).await;
        for (networks, is_dialled) in [("10.0.0.0/8,::1", false), ("10.0.0.0/8,127.0.0.0/8", true)] {
            let networks = Networks::parse(networks).unwrap();
            let (high, _) = start(Settings { networks, ..settings(2) }).await;
            high.order(Order::Dial { address: address.clone() });
            if is_dialled {
                high.connection().await;
                continue;
            }
            let told = high.wait_seen(|seen| match seen {
                Seen::DialFailed { status, detail, .. } => Some((*status, detail.clone())),
                _ => None,
            });
            let (status, detail) = told.await;
            assert!(status == Status::Option && detail.contains("dial.networks"), "{detail}");
        }
    });
}
