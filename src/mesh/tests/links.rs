//! Links between honest nodes.

use super::*;
use crate::engine::Goodbye;
use crate::model::Payload;

#[test]
fn two_nodes_link_and_talk() {
    run(async {
        let (low, here, high, there) = pair().await;
        assert!(matches!(
            low.with_core(|c| c.seen[0].clone()),
            Seen::Connection { peer: NodeId(2), dialled: None, .. }
        ));
        assert!(matches!(
            high.with_core(|c| c.seen[0].clone()),
            Seen::Connection { peer: NodeId(1), dialled: Some(_), .. }
        ));
        for number in 0..1000 {
            low.say(here, number);
            high.say(there, 1000 + number);
        }
        assert!(high.numbers(1000).await.into_iter().eq(0..1000));
        assert!(low.numbers(1000).await.into_iter().eq(1000..2000));
    });
}

#[test]
fn the_lower_node_may_be_the_one_that_dials() {
    run(async {
        let (low, _) = start(settings(1)).await;
        let (high, address) = start(settings(2)).await;
        low.order(Order::Dial { address });
        let there = high.wait_seen(|seen| if let Seen::Go(id) = seen { Some(*id) } else { None }).await;
        high.say(there, 5);
        assert_eq!(low.numbers(1).await, [5]);
    });
}

/// On a slow line a frame takes its time; the core learns that the peer lives.
#[test]
fn a_frame_that_comes_bit_by_bit_is_heard_before_it_is_whole() {
    run(async {
        let (low, address) = start(settings(1)).await;
        // A stranger is heard when it has said who it is, and not before.
        let mut stranger = Peer::connect(&address).await;
        stranger.stream.write_all(b"CON").await.unwrap();
        let mut peer = Peer::link(&address, 2).await;
        let connection = low.connection().await;
        let mut sealed = Vec::new();
        peer.channel.seal(&data_block(100), &mut sealed).unwrap();
        let (last, parts) = sealed.split_last().unwrap();
        for (i, part) in parts.chunks(40).enumerate() {
            peer.stream.write_all(part).await.unwrap();
            let count = |core: &Script| core.seen.iter().filter(|s| **s == Seen::Part(connection)).count();
            low.wait(|core| (count(core) == i + 1).then_some(())).await;
        }
        peer.stream.write_all(&[*last]).await.unwrap();
        let is_whole = |seen: &Seen| matches!(seen, Seen::Data(id, _, 100) if *id == connection);
        low.wait_seen(|seen| is_whole(seen).then_some(())).await;
        let is_other = |seen: &Seen| matches!(seen, Seen::Part(id) if *id != connection);
        assert!(low.with_core(|core| !core.seen.iter().any(is_other)));
    });
}

#[test]
fn a_refused_connection_ends_on_both_sides() {
    run(async {
        let (low, address) = start(settings(1)).await;
        low.with_core(|core| core.refuse = Some(Refusal::TooManyPeers));
        let (high, _) = start(settings(2)).await;
        high.order(Order::Dial { address });
        let why =
            high.wait_seen(|seen| if let Seen::Refused(_, why) = seen { Some(*why) } else { None }).await;
        assert_eq!(why, Refusal::TooManyPeers);
        high.empty().await;
        low.empty().await;
        assert!(low.with_core(|c| !c.seen.iter().any(|s| matches!(s, Seen::End(..)))), "it was ordered");
    });
}

/// The peer's objection counts also when it crosses the Go of the side that decides: a namesake learns of it so.
#[test]
fn a_refusal_that_crosses_our_go_is_heard() {
    run(async {
        let (low, address) = start(settings(1)).await;
        let mut peer = Peer::link(&address, 2).await;
        let connection = low.connection().await;
        let mut bytes = Vec::new();
        wire::encode_handshake(&Handshake::Refuse(Refusal::NameTaken), &mut bytes);
        peer.write(&bytes).await;
        let refused =
            low.wait_seen(|seen| if let Seen::Refused(..) = seen { Some(seen.clone()) } else { None });
        assert_eq!(refused.await, Seen::Refused(connection, Refusal::NameTaken));
        low.empty().await;
        assert!(peer.is_ended().await);
        assert!(low.with_core(|c| !c.seen.iter().any(|s| matches!(s, Seen::End(..)))));
    });
}

#[test]
fn another_cluster_is_refused() {
    run(async {
        let (low, address) = start(settings(1)).await;
        let (high, _) = start(Settings { cluster: "other".to_owned(), ..settings(2) }).await;
        high.order(Order::Dial { address: address.clone() });
        let failed = high.wait_seen(|seen| match seen {
            Seen::DialFailed { address, status, .. } => Some((address.clone(), *status)),
            _ => None,
        });
        assert_eq!(failed.await, (address, Status::Auth));
        high.empty().await;
        low.empty().await;
        assert!(
            low.with_core(|core| core.seen.iter().all(|s| matches!(s, Seen::Log(..)))),
            "the core never hears of it"
        );
    });
}

#[test]
fn a_failed_dial_says_why() {
    run(async {
        let (mesh, _) = start(settings(1)).await;
        let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().to_string();
        for address in [&*gone, "no-port", "name.invalid:1", "256.0.0.1:99", ""] {
            mesh.order(Order::Dial { address: address.to_owned() });
            let (status, detail) = mesh
                .wait_seen(|seen| match seen {
                    Seen::DialFailed { address: a, status, detail } if a == address => {
                        Some((*status, detail.clone()))
                    }
                    _ => None,
                })
                .await;
            assert_eq!(status, Status::Unreachable, "{address}: {detail}");
        }
    });
}

#[test]
fn the_end_of_a_link_is_told_at_once() {
    run(async {
        let (low, address) = start(settings(1)).await;
        for node in 2..4 {
            let mut peer = Peer::link(&address, node).await;
            peer.say(node).await;
            low.numbers(node as usize - 1).await;
            if node == 3 {
                peer.stream.set_zero_linger().unwrap(); // a reset instead of an end
            }
            drop(peer);
            low.empty().await;
            assert!(low.with_core(|core| matches!(core.seen.last(), Some(Seen::End(..)))));
        }
    });
}

#[test]
fn what_was_said_before_an_end_is_heard() {
    run(async {
        let (low, address) = start(settings(1)).await;
        let mut peer = Peer::link(&address, 2).await;
        let here = low.connection().await;
        peer.say(1).await;
        drop(peer);
        // Writing into the void must not hide what is still to be read.
        for number in 0..100 {
            low.say(here, number);
        }
        assert_eq!(low.numbers(1).await, [1]);
        low.empty().await;
    });
}

#[test]
fn a_goodbye_comes_behind_everything_and_then_the_end() {
    run(async {
        let (low, address) = start(settings(1)).await;
        let mut peer = Peer::link(&address, 2).await;
        let connection = low.connection().await;
        let blocks: Blocks = Rc::new(RefCell::new((0..50).map(|_| data_block(60_000)).collect()));
        low.say(connection, 1);
        low.order(Order::Attach { connection, outbox: blocks.clone() });
        let rest = blocks.borrow_mut().drain(..).collect();
        low.order(Order::Detach { connection, rest });
        let header = DataHeader::Exit { from: 1, to: 2, reference: 3, reason: 4 };
        low.order(Order::Tail { connection, header, data: Payload::new(b"bye") });
        low.order(Order::Close { connection, goodbye: Some(Goodbye::Closing) });
        let (mut data, mut exits, mut last) = (0, 0, None);
        while peer
            .next(|frame| match frame {
                Frame::Data(DataHeader::Message { .. }, body) => {
                    assert_eq!(body.len(), 60_000);
                    data += 1;
                }
                Frame::Data(header, _) => exits += usize::from(matches!(header, DataHeader::Exit { .. })),
                Frame::Control(message) => last = Some((message.message, data, exits)),
                Frame::Handshake(handshake) => panic!("{handshake:?}"),
            })
            .await
            .is_some()
        {}
        assert_eq!(last, Some((Message::Goodbye { why: Goodbye::Closing }, 50, 1)));
        drop(peer);
        low.empty().await;
    });
}

#[test]
fn control_waits_for_one_block_and_not_for_all() {
    run(async {
        let (low, address) = start(settings(1)).await;
        let mut peer = Peer::link(&address, 2).await;
        let connection = low.connection().await;
        const BLOCKS: usize = 1000; // 64 MB: more than the kernel holds
        let blocks: Blocks = Rc::new(RefCell::new((0..BLOCKS).map(|_| data_block(64_000)).collect()));
        low.order(Order::Attach { connection, outbox: blocks.clone() });
        // Nothing is read yet: some blocks are on their way, most wait.
        let mut stuck = None;
        loop {
            tokio::task::yield_now().await;
            let written = low.with_core(|core| core.blocks_written);
            if stuck.replace(written) == Some(written) && written > 0 {
                break;
            }
        }
        low.say(connection, 1);
        let taken = BLOCKS - blocks.borrow().len();
        assert!(taken < BLOCKS / 2, "{taken} blocks are in buffers already");
        let mut before = 0;
        while !peer
            .next(|frame| match frame {
                Frame::Data(..) => {
                    before += 1;
                    false
                }
                other => other == Frame::Control(Stamped { clock: 1, message: Message::Ping { number: 1 } }),
            })
            .await
            .unwrap()
        {}
        assert!(before <= taken, "{before} blocks came before it, {taken} had been begun");
        for _ in before..BLOCKS {
            assert!(peer.next(|frame| matches!(frame, Frame::Data(..))).await.unwrap());
        }
        assert_eq!(low.with_core(|core| core.blocks_written), BLOCKS);
    });
}

#[test]
fn two_flooded_links_do_not_stand_in_each_others_way() {
    run(async {
        let (low, here, high, there) = pair().await;
        low.with_core(|core| core.quiet = true);
        high.with_core(|core| core.quiet = true);
        for (mesh, connection) in [(&low, here), (&high, there)] {
            let blocks: Blocks = Rc::new(RefCell::new((0..300).map(|_| data_block(64_000)).collect()));
            mesh.order(Order::Attach { connection, outbox: blocks });
        }
        low.say(here, 1);
        high.say(there, 2);
        assert_eq!(high.numbers(1).await, [1]);
        assert_eq!(low.numbers(1).await, [2]);
        for mesh in [&low, &high] {
            mesh.wait(|core| (core.blocks_written == 300).then_some(())).await;
        }
    });
}

#[test]
fn a_panic_is_reported_and_not_swallowed() {
    run(async {
        let (low, address) = start(settings(1)).await;
        low.with_core(|core| core.panic_on_message = true);
        let mut peer = Peer::link(&address, 2).await;
        peer.say(1).await;
        let text = std::future::poll_fn(|cx| {
            low.watch(cx.waker());
            low.panic().map_or(Poll::Pending, Poll::Ready)
        });
        assert!(text.await.contains("on purpose"));
    });
}

/// How a link ended at the first mesh, when this was done to the peer's socket.
async fn ending_when(end: impl AsyncFnOnce(Peer, &Mesh<Script>, ConnectionId)) -> Ending {
    let (low, address) = start(settings(1)).await;
    let peer = Peer::link(&address, 2).await;
    let connection = low.connection().await;
    end(peer, &low, connection).await;
    low.wait_seen(|seen| if let Seen::End(_, ending, _) = seen { Some(ending.clone()) } else { None }).await
}

/// The peers of these tests say no address, and are on this machine.
#[test]
fn an_end_says_what_became_of_the_peer() {
    run(async {
        let closed = ending_when(async |peer, _, _| drop(peer)).await;
        assert_eq!(closed, Ending::Died, "as the kernel closes what a process leaves");
        let reset = ending_when(async |peer, _, _| {
            peer.stream.set_zero_linger().unwrap();
            drop(peer);
        })
        .await;
        assert_eq!(reset, Ending::Broke);
        let garbage = ending_when(async |mut peer, _, _| peer.write(b"\x01\0\0\0\x09").await).await;
        assert_eq!(garbage, Ending::Broke);
    });
}

/// A node that lives and ends a link without a goodbye resets it: an end of the stream would say that it is dead.
#[test]
fn a_link_that_is_ended_without_a_goodbye_is_reset() {
    run(async {
        let (low, address) = start(settings(1)).await;
        let mut peer = Peer::link(&address, 2).await;
        peer.write(b"\x01\0\0\0\x09").await;
        low.empty().await;
        let mut rest = [0; 64];
        let error = loop {
            match peer.stream.read(&mut rest).await {
                Ok(0) => panic!("the stream was ended"),
                Ok(_) => {}
                Err(error) => break error.kind(),
            }
        };
        assert_eq!(error, std::io::ErrorKind::ConnectionReset);
    });
}

#[test]
fn a_refused_dial_says_that_nobody_listens() {
    run(async {
        let (low, _) = start(settings(1)).await;
        let address = {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            listener.local_addr().unwrap().to_string()
        };
        low.order(Order::Dial { address: address.clone() });
        low.wait_seen(|seen| (*seen == Seen::NobodyListens(address.clone())).then_some(())).await;
        // Who accepts and says nothing listens.
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        low.order(Order::Dial { address: listener.local_addr().unwrap().to_string() });
        drop(listener.accept().await.unwrap());
        low.wait_seen(|seen| {
            matches!(seen, Seen::DialFailed { address: a, .. } if *a != address).then_some(())
        })
        .await;
        assert_eq!(
            low.with_core(|core| core.seen.iter().filter(|s| matches!(s, Seen::NobodyListens(_))).count()),
            1
        );
    });
}
