//! Links under a cipher, and somebody on their way who meddles.

use super::*;
use crate::mesh::Refused;
use tokio::net::tcp::OwnedReadHalf;

fn shared() -> Protection {
    let bytes: Vec<u8> = (0..32u32).map(|at| (at * at * 53 + 7) as u8).collect();
    secret("test", &[Secret::from_bytes(&bytes).unwrap()])
}

fn sealed(node: u64) -> Settings {
    Settings { protection: Arc::new(RwLock::new(shared())), ..settings(node) }
}

/// Passes bytes between a dialler and the address, whole preambles, messages and records at a time, as `meddle` wants
/// it: what the dialler says, with its number, becomes what is passed on.
pub(super) async fn meddler(
    to: &str,
    read: impl AsyncFn(&mut OwnedReadHalf, bool) -> std::io::Result<Vec<u8>> + 'static,
    mut meddle: impl FnMut(usize, Vec<u8>) -> Vec<Vec<u8>> + 'static,
) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let to: SocketAddr = to.parse().unwrap();
    tokio::task::spawn_local(async move {
        let (dialler, _) = listener.accept().await.unwrap();
        let (mut from_dialler, mut to_dialler) = dialler.into_split();
        let (mut from_other, mut to_other) = TcpStream::connect(to).await.unwrap().into_split();
        tokio::task::spawn_local(async move {
            let _ = tokio::io::copy(&mut from_other, &mut to_dialler).await;
        });
        let mut number = 0;
        while let Ok(unit) = read(&mut from_dialler, number == 0).await {
            for bytes in meddle(number, unit) {
                if to_other.write_all(&bytes).await.is_err() {
                    return;
                }
            }
            number += 1;
        }
    });
    address
}

/// One preamble, or one message or record.
async fn read_unit(from: &mut OwnedReadHalf, is_preamble: bool) -> std::io::Result<Vec<u8>> {
    let mut unit = vec![0; if is_preamble { 16 } else { 4 }];
    from.read_exact(&mut unit).await?;
    let length = if is_preamble {
        usize::from(unit[12])
    } else {
        4 + usize::from(u16::from_le_bytes([unit[0], unit[1]]))
    };
    let head = unit.len();
    unit.resize(length, 0);
    from.read_exact(&mut unit[head..]).await?;
    Ok(unit)
}

/// The same under TLS.
#[cfg(feature = "tls")]
pub(super) async fn read_record(from: &mut OwnedReadHalf, is_preamble: bool) -> std::io::Result<Vec<u8>> {
    if is_preamble {
        return read_unit(from, true).await;
    }
    let mut unit = vec![0; 5];
    from.read_exact(&mut unit).await?;
    unit.resize(5 + usize::from(u16::from_be_bytes([unit[3], unit[4]])), 0);
    from.read_exact(&mut unit[5..]).await?;
    Ok(unit)
}

/// The first unit of the dialler's that is a record with one of the test's numbers: the preamble, the message of the
/// handshake and the identity go before it.
const FIRST: usize = 3;

/// Links through a meddler, says numbers one by one, and gives what arrived, and why the link ended at the reader.
async fn talk_through(meddle: impl FnMut(usize, Vec<u8>) -> Vec<Vec<u8>> + 'static) -> (Vec<u64>, String) {
    let (low, address) = start(sealed(1)).await;
    let (high, _) = start(sealed(2)).await;
    let way = meddler(&address, read_unit, meddle).await;
    high.order(Order::Dial { address: way });
    let there = high.wait_seen(|seen| if let Seen::Go(id) = seen { Some(*id) } else { None }).await;
    // Many: a length that was changed is found out when so many bytes are there.
    for number in 0..600 {
        high.say(there, number);
    }
    let why =
        low.wait_seen(|seen| if let Seen::End(_, _, why) = seen { Some(why.clone()) } else { None }).await;
    low.empty().await;
    high.wait_seen(|seen| matches!(seen, Seen::End(..)).then_some(())).await;
    high.empty().await;
    assert_eq!((low.panic(), high.panic()), (None, None));
    let arrived = low.with_core(|core| {
        core.seen
            .iter()
            .filter_map(|seen| match seen {
                Seen::Message(_, Message::Ping { number }) => Some(*number),
                _ => None,
            })
            .collect()
    });
    if why.contains("does not open") {
        assert_eq!(low.settings().refusals.get(Refused::Record), 1);
        assert!(low.with_core(|core| core.seen.iter().any(|seen| matches!(seen, Seen::Log(..)))));
    }
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

fn up_to(count: u64) -> Vec<u64> {
    (0..count).collect()
}

#[test]
fn a_flipped_bit_ends_the_link() {
    run(async {
        for bit in [0, 9, 16, 40, 200] {
            let (arrived, why) = talk_through(move |number, mut unit| {
                if number == FIRST + 4 {
                    let at = bit % (unit.len() * 8);
                    unit[at / 8] ^= 1 << (at % 8);
                }
                vec![unit]
            })
            .await;
            assert_eq!(arrived, up_to(4));
            assert!(why.contains("does not open"), "bit {bit}: {why}");
        }
    });
}

#[test]
fn a_repeated_record_ends_the_link() {
    run(async {
        let (arrived, why) =
            talk_through(
                |number, unit| if number == FIRST + 4 { vec![unit.clone(), unit] } else { vec![unit] },
            )
            .await;
        assert_eq!(arrived, up_to(5), "the repeated one does not count");
        assert!(why.contains("repeated"), "{why}");
    });
}

#[test]
fn records_in_another_order_end_the_link() {
    run(async {
        let mut held = None;
        let (arrived, why) = talk_through(move |number, unit| match number - number.min(FIRST) {
            4 if number > FIRST => {
                held = Some(unit);
                vec![]
            }
            5 => vec![unit, held.take().unwrap()],
            _ => vec![unit],
        })
        .await;
        assert_eq!(arrived, up_to(4));
        assert!(why.contains("moved"), "{why}");
    });
}

#[test]
fn a_record_that_is_left_out_ends_the_link() {
    run(async {
        let (arrived, why) =
            talk_through(|number, unit| if number == FIRST + 4 { vec![] } else { vec![unit] }).await;
        assert_eq!(arrived, up_to(4));
        assert!(why.contains("left out"), "{why}");
    });
}

#[test]
fn a_record_that_is_cut_short_ends_the_link() {
    run(async {
        let mut cut_short = None;
        let (arrived, why) = talk_through(move |number, unit| match number - number.min(FIRST) {
            4 if number > FIRST => {
                cut_short = Some(unit);
                vec![]
            }
            5 => {
                // The next record's first bytes complete it: not with those that it had, as one byte in 256 would by chance.
                let mut short = cut_short.take().unwrap();
                let differs = |cut: &usize| short[short.len() - cut..] != unit[..*cut];
                let cut = (1..unit.len()).find(differs).unwrap();
                short.truncate(short.len() - cut);
                vec![short, unit]
            }
            _ => vec![unit],
        })
        .await;
        assert_eq!(arrived, up_to(4));
        assert!(why.contains("does not open"), "{why}");
    });
}

/// Any bit of what both say before the cipher begins: there is no link, and nobody hears of one.
#[test]
fn meddling_with_the_handshake_makes_no_link() {
    run(async {
        for unit in [0, 1] {
            for bit in (0..40 * 8).step_by(7) {
                let (low, address) = start(sealed(1)).await;
                let (high, _) = start(sealed(2)).await;
                let way = meddler(&address, read_unit, move |number, mut bytes| {
                    // The length of a preamble may not change, or the test would wait for the rest of it.
                    let at = bit % (bytes.len() * 8);
                    if number == unit && !(number == 0 && at / 8 == 12) && !(number == 1 && at / 8 < 2) {
                        bytes[at / 8] ^= 1 << (at % 8);
                    } else if number == unit {
                        let last = bytes.len() - 1;
                        bytes[last] ^= 1;
                    }
                    vec![bytes]
                })
                .await;
                high.order(Order::Dial { address: way });
                high.wait_seen(|seen| matches!(seen, Seen::DialFailed { .. }).then_some(())).await;
                for mesh in [&low, &high] {
                    assert!(mesh.with_core(|core| {
                        core.seen.iter().all(|s| matches!(s, Seen::DialFailed { .. } | Seen::Log(..)))
                    }));
                }
            }
        }
    });
}

#[test]
fn keys_change_in_time_and_nobody_notices() {
    run(async {
        let (low, address) = start(Settings { rekey: Duration::ZERO, ..sealed(1) }).await;
        let (high, _) = start(Settings { rekey: Duration::ZERO, ..sealed(2) }).await;
        high.order(Order::Dial { address });
        let there = high.wait_seen(|seen| if let Seen::Go(id) = seen { Some(*id) } else { None }).await;
        let here = low.connection().await;
        for number in 0..500 {
            low.say(here, number);
            high.say(there, number);
        }
        assert_eq!(high.numbers(500).await, up_to(500));
        assert_eq!(low.numbers(500).await, up_to(500));
    });
}

#[test]
fn large_blocks_and_control_go_through_together() {
    run(async {
        let (low, address) = start(sealed(1)).await;
        let (high, _) = start(sealed(2)).await;
        high.order(Order::Dial { address });
        let there = high.wait_seen(|seen| if let Seen::Go(id) = seen { Some(*id) } else { None }).await;
        let blocks: Blocks = Rc::new(RefCell::new((0..200).map(|_| data_block(64_000)).collect()));
        high.order(Order::Attach { connection: there, outbox: blocks });
        for number in 0..2000 {
            high.say(there, number);
        }
        assert_eq!(low.numbers(2000).await, up_to(2000));
        low.wait(|core| {
            let data = core.seen.iter().filter(|seen| matches!(seen, Seen::Data(_, _, 64_000))).count();
            (data == 200).then_some(())
        })
        .await;
    });
}

#[test]
fn links_outlive_a_change_of_secrets_and_new_ones_follow_it() {
    run(async {
        let one = |seed: u32| {
            let bytes: Vec<u8> = (0..32u32).map(|at| (at * at * 29 + seed * 71 + 3) as u8).collect();
            Secret::from_bytes(&bytes).unwrap()
        };
        let settings = |node, secrets: &[Secret]| Settings {
            protection: Arc::new(RwLock::new(secret("test", secrets))),
            ..settings(node)
        };
        let (old, new) = (one(1), one(2));
        let (low, address) = start(settings(1, std::slice::from_ref(&old))).await;
        let (high, _) = start(settings(2, std::slice::from_ref(&old))).await;
        high.order(Order::Dial { address: address.clone() });
        let there = high.wait_seen(|seen| if let Seen::Go(id) = seen { Some(*id) } else { None }).await;
        // One node after the other takes the new secret, then drops the old one; a third links at every step.
        let both = [new.clone(), old.clone()];
        let (olds, news) = (&both[1..], &both[..1]);
        let steps = [(&both[..], olds), (&both, &both), (news, &both), (news, news)];
        for (step, (lows, highs)) in steps.into_iter().enumerate() {
            *low.settings().protection.write().unwrap() = secret("test", lows);
            *high.settings().protection.write().unwrap() = secret("test", highs);
            high.say(there, step as u64);
            let (third, _) = start(settings(3 + step as u64, highs)).await;
            third.order(Order::Dial { address: address.clone() });
            third.wait_seen(|seen| if let Seen::Go(id) = seen { Some(*id) } else { None }).await;
        }
        assert_eq!(low.numbers(4).await, up_to(4));
        let (late, _) = start(settings(9, olds)).await;
        late.order(Order::Dial { address });
        late.wait_seen(|seen| matches!(seen, Seen::DialFailed { status: Status::Auth, .. }).then_some(()))
            .await;
    });
}
