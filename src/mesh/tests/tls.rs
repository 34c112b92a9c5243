//! Links under mutual TLS: who is taken, who is not, and somebody on their way who meddles.

#[path = "../../../tests/support/authority.rs"]
pub(super) mod authority;

use self::authority::{Authority, Files, Kind};
use super::ciphers::{meddler, read_record};
use super::*;
use crate::mesh::Refused;
use crate::wire::{Credentials, Pem};
use std::cell::Cell;

fn pem(files: &Files) -> Pem<'_> {
    Pem {
        cert: files.cert.as_bytes(),
        key: files.key.as_bytes(),
        ca: files.ca.as_bytes(),
        crl: files.crl.as_deref().map(str::as_bytes),
    }
}

fn name(node: u64) -> String {
    identity(node).name
}

/// What a node of this name brings, whether or not it would be taken.
pub(super) fn protection_of(node: u64, files: &Files) -> Protection {
    Protection::Tls(Arc::new(Credentials::unchecked(&name(node), &pem(files)).unwrap()))
}

fn with(node: u64, files: &Files) -> Settings {
    Settings { protection: Arc::new(RwLock::new(protection_of(node, files))), ..settings(node) }
}

pub(super) fn good(authority: &Authority, node: u64) -> Settings {
    let files = authority.node(&name(node));
    let credentials = Credentials::new(&name(node), &pem(&files)).unwrap();
    Settings { protection: Arc::new(RwLock::new(Protection::Tls(Arc::new(credentials)))), ..settings(node) }
}

async fn go(mesh: &Mesh<Script>) -> ConnectionId {
    mesh.wait_seen(|seen| if let Seen::Go(id) = seen { Some(*id) } else { None }).await
}

#[test]
fn nodes_with_certificates_of_one_authority_link_and_talk() {
    run(async {
        let authority = Authority::new("ours");
        for (low_dials, seed) in [(false, 0), (true, 1000)] {
            let (low, at_low) = start(good(&authority, 1)).await;
            let (high, at_high) = start(good(&authority, 2)).await;
            match low_dials {
                false => high.order(Order::Dial { address: at_low }),
                true => low.order(Order::Dial { address: at_high }),
            }
            let there = go(&high).await;
            let here = low.connection().await;
            for number in seed..seed + 1000 {
                low.say(here, number);
                high.say(there, number);
            }
            assert!(high.numbers(1000).await.into_iter().eq(seed..seed + 1000));
            assert!(low.numbers(1000).await.into_iter().eq(seed..seed + 1000));
        }
    });
}

/// Blocks that are larger than a record, in both directions at once.
#[test]
fn large_data_go_both_ways() {
    run(async {
        let authority = Authority::new("ours");
        let (low, address) = start(good(&authority, 1)).await;
        let (high, _) = start(good(&authority, 2)).await;
        high.order(Order::Dial { address });
        let (there, here) = (go(&high).await, low.connection().await);
        for (mesh, connection) in [(&low, here), (&high, there)] {
            mesh.with_core(|core| core.quiet = true);
            let blocks: Blocks = Rc::new(RefCell::new((0..300).map(|_| data_block(64_000)).collect()));
            mesh.order(Order::Attach { connection, outbox: blocks });
        }
        low.say(here, 1);
        high.say(there, 2);
        assert_eq!((high.numbers(1).await, low.numbers(1).await), (vec![1], vec![2]));
        for mesh in [&low, &high] {
            mesh.wait(|core| (core.blocks_written == 300).then_some(())).await;
        }
    });
}

/// How a dial from the second to the first failed, and how often each has refused somebody for this reason.
async fn dial(low: Settings, high: Settings, why: Refused) -> (Status, String, u64, u64) {
    let (low, address) = start(low).await;
    let (high, _) = start(high).await;
    high.order(Order::Dial { address });
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
        });
        assert_eq!(mesh.panic(), None);
    }
    (failed.0, failed.1, low.settings().refusals.get(why), high.settings().refusals.get(why))
}

/// Each fault, at the end that dials and at the one that is dialled: no link, both sides count it, whoever dialled learns
/// which it is.
#[test]
fn who_has_no_good_certificate_is_refused() {
    run(async {
        let (ours, foreign, namesake) =
            (Authority::new("ours"), Authority::new("foreign"), Authority::new("ours"));
        let revoked = |name: &str| ours.sign(name, Kind::Good, 7);
        let list = || Some(ours.revoke(&[5, 7]));
        let kind = |kind| {
            let ours = &ours;
            move |name: &str| ours.sign(name, kind, 2)
        };
        let stranger = |name: &str| Files { ca: ours.pem.clone(), ..foreign.node(name) };
        let forged = |name: &str| Files { ca: ours.pem.clone(), ..namesake.node(name) };
        type Case<'a> = (&'a str, &'a dyn Fn(&str) -> Files, &'a str, &'a str);
        let cases: [Case<'_>; 6] = [
            ("expired", &kind(Kind::Expired), "not valid any more", "not valid any more"),
            ("early", &kind(Kind::Early), "not valid yet", "not valid any more, or not yet"),
            ("foreign", &stranger, "no authority that is trusted", "no authority that is trusted"),
            ("forged", &forged, "no authority that is trusted", "no authority that is trusted"),
            ("revoked", &revoked, "revoked", "revoked"),
            ("for servers", &kind(Kind::ServerOnly), "clientAuth", "clientAuth"),
        ];
        for (what, bad, seen_here, told_by_peer) in cases {
            let good = |node| {
                let files = Files { crl: list(), ..ours.node(&name(node)) };
                with(node, &files)
            };
            // The bad one dials: the other refuses it and says so.
            let (status, text, there, here) =
                dial(good(1), with(2, &bad(&name(2))), Refused::Certificate).await;
            assert_eq!((status, there, here), (Status::Auth, 1, 1), "{what}: {text}");
            assert!(text.contains("the peer refuses the certificate of this node"), "{what}: {text}");
            assert!(text.contains(told_by_peer), "{what}: {text}");
            // The bad one is dialled.
            let (status, text, there, here) =
                dial(with(1, &bad(&name(1))), good(2), Refused::Certificate).await;
            assert_eq!((status, there, here), (Status::Auth, 1, 1), "{what}: {text}");
            assert!(text.contains("the certificate of the peer is refused"), "{what}: {text}");
            assert!(text.contains(seen_here), "{what}: {text}");
        }
    });
}

/// A good certificate, and somebody else's name.
#[test]
fn a_certificate_is_of_no_use_for_another_name() {
    run(async {
        let authority = Authority::new("ours");
        let other = authority.node("node9");
        let (status, text, there, _) = dial(with(1, &other), good(&authority, 2), Refused::Certificate).await;
        assert_eq!((status, there), (Status::Auth, 0), "{text}");
        assert!(text.contains("not valid for the name"), "{text}");
        let (status, _, there, _) = dial(good(&authority, 1), with(2, &other), Refused::Certificate).await;
        assert_eq!(there, 1, "the one that was dialled refuses it");
        assert!(status == Status::Auth || status == Status::Unreachable);
    });
}

#[test]
fn another_cluster_a_secret_or_nothing_is_refused() {
    run(async {
        let authority = Authority::new("ours");
        let elsewhere = Settings { cluster: "other".to_owned(), ..good(&authority, 2) };
        let (status, text, ..) = dial(good(&authority, 1), elsewhere, Refused::Cluster).await;
        assert_eq!(status, Status::Auth);
        assert!(text.contains("option cluster"), "{text}");
        let bytes: Vec<u8> = (0..32u32).map(|at| (at * at * 53 + 7) as u8).collect();
        let shared = secret("test", &[Secret::from_bytes(&bytes).unwrap()]);
        for protection in [Protection::Plain, shared] {
            let other =
                |node| Settings { protection: Arc::new(RwLock::new(protection.clone())), ..settings(node) };
            for (low, high) in [(good(&authority, 1), other(2)), (other(1), good(&authority, 2))] {
                let (status, text, there, here) = dial(low, high, Refused::Mode).await;
                assert_eq!((status, there, here), (Status::Auth, 1, 1));
                assert!(text.contains("TLS"), "{text}");
            }
        }
    });
}

/// What every other node would refuse is refused where it is made, with the option and what to do.
#[test]
fn files_that_do_not_fit_say_which_and_why() {
    let (ours, foreign) = (Authority::new("ours"), Authority::new("foreign"));
    let good = ours.node("node1");
    let other = ours.node("node1");
    let no = |files: &Files, option: &str, word: &str| {
        let (key, text) = Credentials::new("node1", &pem(files)).unwrap_err();
        assert_eq!(key, option, "{text}");
        assert!(text.contains(word), "{text}");
    };
    no(&Files { key: other.key.clone(), ..good.clone() }, "tls.key", "does not fit");
    no(&Files { key: good.cert.clone(), ..good.clone() }, "tls.key", "no private key");
    no(&Files { cert: good.key.clone(), ..good.clone() }, "tls.cert", "BEGIN CERTIFICATE");
    no(&Files { cert: String::new(), ..good.clone() }, "tls.cert", "BEGIN CERTIFICATE");
    no(&Files { ca: "nonsense".to_owned(), ..good.clone() }, "tls.ca", "BEGIN CERTIFICATE");
    no(&Files { ca: foreign.pem.clone(), ..good.clone() }, "tls.cert", "no authority that is trusted");
    no(&Files { crl: Some(good.cert.clone()), ..good.clone() }, "tls.crl", "BEGIN X509 CRL");
    no(&Files { crl: Some(ours.revoke(&[1])), ..good.clone() }, "tls.cert", "revoked");
    no(
        &Files { crl: Some(foreign.revoke(&[])), ..good.clone() },
        "tls.cert",
        "no good list of the authority",
    );
    no(&ours.sign("node1", Kind::Expired, 2), "tls.cert", "renew it");
    no(&ours.node("node2"), "tls.cert", "DNS:node1");
    for name in ["two words", "grüße", "", "a..b", "-a", "1.2.3.4", &"x".repeat(64)] {
        let (key, text) = Credentials::new(name, &pem(&good)).unwrap_err();
        assert_eq!(key, "name", "{name:?}: {text}");
    }
    assert!(!format!("{:?}", Credentials::new("node1", &pem(&good)).unwrap()).contains("KEY"));
}

/// New certificates are for new links; those that are there go on with what they began with.
#[test]
fn a_renewal_and_another_authority_lose_nothing() {
    run(async {
        let (old, new) = (Authority::new("old"), Authority::new("new"));
        let both = || format!("{}{}", old.pem, new.pem);
        let (low, address) = start(good(&old, 1)).await;
        let (high, _) = start(good(&old, 2)).await;
        let replace = |mesh: &Mesh<Script>, node, files: &Files| {
            *mesh.settings().protection.write().unwrap() = protection_of(node, files);
        };
        high.order(Order::Dial { address: address.clone() });
        let (there, here) = (go(&high).await, low.connection().await);
        let mut said = 0;
        let mut talk = async || {
            for number in said..said + 100 {
                low.say(here, number);
                high.say(there, number);
            }
            said += 100;
            assert!(high.numbers(said as usize).await.into_iter().eq(0..said));
            assert!(low.numbers(said as usize).await.into_iter().eq(0..said));
        };
        talk().await;
        // First both are trusted everywhere, then each node gets a certificate of the new one, then the old one goes.
        let rounds: [&dyn Fn(&str) -> Files; 3] = [
            &|name| Files { ca: both(), ..old.node(name) },
            &|name| Files { ca: both(), ..new.node(name) },
            &|name| new.node(name),
        ];
        let mut late = 10;
        for round in rounds {
            for (mesh, node) in [(&low, 1), (&high, 2)] {
                replace(mesh, node, &round(&name(node)));
                talk().await;
                late += 1;
                let (newcomer, _) = start(with(late, &round(&name(late)))).await;
                newcomer.order(Order::Dial { address: address.clone() });
                // Between the rounds every two nodes have an authority in common.
                go(&newcomer).await;
            }
        }
        let (outsider, _) = start(with(30, &old.node(&name(30)))).await;
        outsider.order(Order::Dial { address });
        outsider.wait_seen(|seen| matches!(seen, Seen::DialFailed { .. }).then_some(())).await;
        talk().await;
    });
}

/// Links through a meddler that lets everything pass until there is a link; gives what arrived then, and why it ended.
async fn talk_through(
    mut meddle: impl FnMut(usize, Vec<u8>) -> Vec<Vec<u8>> + 'static,
) -> (Vec<u64>, String) {
    let authority = Authority::new("ours");
    let (low, address) = start(good(&authority, 1)).await;
    let (high, _) = start(good(&authority, 2)).await;
    let armed = Rc::new(Cell::new(false));
    let (is_armed, mut number) = (armed.clone(), 0);
    let way = meddler(&address, read_record, move |_, unit| {
        if !is_armed.get() {
            return vec![unit];
        }
        number += 1;
        meddle(number - 1, unit)
    })
    .await;
    high.order(Order::Dial { address: way });
    let there = go(&high).await;
    low.connection().await;
    armed.set(true);
    for number in 0..50 {
        high.say(there, number);
    }
    let why =
        low.wait_seen(|seen| if let Seen::End(_, _, why) = seen { Some(why.clone()) } else { None }).await;
    low.empty().await;
    high.wait_seen(|seen| matches!(seen, Seen::End(..)).then_some(())).await;
    high.empty().await;
    assert_eq!((low.panic(), high.panic()), (None, None));
    let arrived = low.with_core(|core| {
        let number = |seen: &Seen| match seen {
            Seen::Message(_, Message::Ping { number }) => Some(*number),
            _ => None,
        };
        core.seen.iter().filter_map(number).collect()
    });
    assert_eq!(low.settings().refusals.get(Refused::Record), 1);
    // The pair links again, and nothing is left of the trouble.
    high.order(Order::Dial { address });
    let again = high
        .wait_seen(|seen| match seen {
            Seen::Go(id) if *id != there => Some(*id),
            _ => None,
        })
        .await;
    high.say(again, 77);
    low.wait_seen(|seen| matches!(seen, Seen::Message(_, Message::Ping { number: 77 })).then_some(())).await;
    (arrived, why)
}

/// In the length of a record, at its beginning and its end. (What stands before the length is always the same, and is not
/// looked at.)
#[test]
fn a_flipped_bit_ends_the_link() {
    run(async {
        for at in [3, 5, 20, usize::MAX] {
            let (arrived, why) = talk_through(move |number, mut unit| {
                if number == 4 {
                    let at = at.min(unit.len() - 1);
                    unit[at] ^= if at == 3 { 0x80 } else { 1 };
                }
                vec![unit]
            })
            .await;
            assert_eq!(arrived, [0, 1, 2, 3], "byte {at}");
            assert!(why.contains("does not open"), "byte {at}: {why}");
        }
    });
}

#[test]
fn a_repeated_record_ends_the_link() {
    run(async {
        let (arrived, _) = talk_through(|number, unit| match number {
            4 => vec![unit.clone(), unit],
            _ => vec![unit],
        })
        .await;
        assert_eq!(arrived, [0, 1, 2, 3, 4], "the repeated one does not count");
    });
}

#[test]
fn a_record_that_is_left_out_ends_the_link() {
    run(async {
        let (arrived, _) = talk_through(|number, unit| if number == 4 { vec![] } else { vec![unit] }).await;
        assert_eq!(arrived, [0, 1, 2, 3], "nothing counts behind it");
    });
}

#[test]
fn records_in_another_order_end_the_link() {
    run(async {
        let mut held = None;
        let (arrived, _) = talk_through(move |number, unit| match number {
            4 => {
                held = Some(unit);
                vec![]
            }
            5 => vec![unit, held.take().unwrap()],
            _ => vec![unit],
        })
        .await;
        assert_eq!(arrived, [0, 1, 2, 3]);
    });
}

#[test]
fn half_a_record_ends_the_link() {
    run(async {
        let (arrived, _) = talk_through(|number, mut unit| {
            if number == 4 {
                let half = unit.len() / 2;
                unit.truncate(half);
            }
            vec![unit]
        })
        .await;
        assert_eq!(arrived, [0, 1, 2, 3]);
    });
}

/// The preambles are said in the clear: what is changed in them is found out inside.
#[test]
fn a_changed_preamble_makes_no_link() {
    run(async {
        let authority = Authority::new("ours");
        // A higher version, and the digest that binds the name.
        for (at, bit) in [(10, 4), (20, 1)] {
            let (low, address) = start(good(&authority, 1)).await;
            let (high, _) = start(good(&authority, 2)).await;
            let way = meddler(&address, read_record, move |number, mut unit| {
                if number == 0 {
                    unit[at] ^= bit;
                }
                vec![unit]
            })
            .await;
            high.order(Order::Dial { address: way });
            high.wait_seen(|seen| matches!(seen, Seen::DialFailed { .. }).then_some(())).await;
            low.empty().await;
            assert!(low.with_core(|core| core.seen.iter().all(|seen| matches!(seen, Seen::Log(..)))));
            assert_eq!(low.settings().refusals.get(Refused::Handshake), 1);
        }
    });
}

/// Who listens on the way learns neither names nor what is said.
#[test]
fn nothing_is_said_in_the_clear() {
    run(async {
        let authority = Authority::new("ours");
        let (low, address) = start(good(&authority, 1)).await;
        let (high, _) = start(good(&authority, 2)).await;
        let heard = Rc::new(RefCell::new(Vec::new()));
        let recorder = heard.clone();
        let way = meddler(&address, read_record, move |_, unit| {
            recorder.borrow_mut().extend_from_slice(&unit);
            vec![unit]
        })
        .await;
        high.order(Order::Dial { address: way });
        let there = go(&high).await;
        let blocks: Blocks = Rc::new(RefCell::new([data_block(5000)].into()));
        high.order(Order::Attach { connection: there, outbox: blocks });
        high.say(there, 1);
        low.numbers(1).await;
        low.wait_seen(|seen| matches!(seen, Seen::Data(..)).then_some(())).await;
        let heard = heard.borrow();
        assert!(heard.len() > 5000);
        for clear in [&b"node2"[..], b"node1", &[7; 8]] {
            assert!(!heard.windows(clear.len()).any(|window| window == clear), "{clear:?}");
        }
    });
}

/// Whatever a stranger says inside or instead of a handshake: it ends, in bounded memory, and nobody else notices.
#[test]
fn strangers_get_nowhere() {
    run(async {
        let authority = Authority::new("ours");
        let (low, address) = start(good(&authority, 1)).await;
        let accepted = {
            let mut setup = setup(2);
            setup.protection = protection_of(2, &authority.node("node2"));
            let mut channel = Channel::dial(setup);
            let mut preamble = Vec::new();
            channel.take_handshake_bytes(&mut preamble);
            preamble
        };
        let junk: [&[u8]; 4] = [
            &[0; 4000],
            b"GET / HTTP/1.1\r\n\r\n",
            &[22, 3, 1, 0xff, 0xff, 1, 2, 3],
            // A handshake message that claims to be sixteen megabytes long.
            &[22, 3, 1, 0, 4, 1, 0xff, 0xff, 0xff],
        ];
        for junk in junk {
            let mut peer = TcpStream::connect(&address).await.unwrap();
            peer.write_all(&accepted).await.unwrap();
            peer.write_all(junk).await.unwrap();
            let mut rest = Vec::new();
            let _ = peer.read_to_end(&mut rest).await;
        }
        low.empty().await;
        assert_eq!(low.panic(), None);
        let (high, _) = start(good(&authority, 2)).await;
        high.order(Order::Dial { address });
        let there = go(&high).await;
        high.say(there, 3);
        assert_eq!(low.numbers(1).await, [3]);
    });
}
