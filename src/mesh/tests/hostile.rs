//! Peers and strangers that do not keep to the protocol, or to any.

use super::*;
use crate::engine::PeerAddress;
use std::time::Instant;

#[test]
fn garbage_from_strangers_ends_their_connection_only() {
    run(async {
        let (low, address) = start(settings(1)).await;
        let mut honest = Peer::link(&address, 9).await;
        let mut identity_frame = Vec::new();
        wire::encode_handshake(&Handshake::identity("test", identity(3), OPENING), &mut identity_frame);
        let mut go = Vec::new();
        wire::encode_handshake(&Handshake::Go, &mut go);
        let twice = [&identity_frame[..], &identity_frame].concat();
        // The lower node says Go, and not its peer.
        let usurper = [&identity_frame[..], &go].concat();
        for words in [
            &b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"[..],
            b"\0\0\0\0\0\0\0\0",
            &[0xff; 5000],
            &u32::MAX.to_le_bytes(),
            b"\x05\0\0\0\x01\xfb\x2c\x01\x01",
            &go,
            &twice,
            &usurper,
        ] {
            // Before a word of the protocol, and behind an open channel.
            let mut stranger = Peer::connect(&address).await;
            let _ = stranger.stream.write_all(words).await;
            let mut rest = Vec::new();
            let _ = stranger.stream.read_to_end(&mut rest).await;
            assert!(rest.is_empty(), "a stranger is told nothing");
            let mut stranger = Peer::open(&address, 3).await;
            stranger.write(words).await;
            while !stranger.is_ended().await {}
        }
        honest.say(7).await;
        assert_eq!(low.numbers(1).await, [7]);
    });
}

#[test]
fn whoever_says_nothing_is_cut_off_in_time() {
    run(async {
        let (low, address) = start(settings(1)).await;
        let began = Instant::now();
        let mut silent = Peer::connect(&address).await;
        let mut slow = Peer::connect(&address).await;
        slow.stream.write_all(b"CONVOKE").await.unwrap(); // and the rest never comes
        let mut shy = Peer::open(&address, 3).await;
        let mut halfway = Peer::open(&address, 0x7fff).await;
        halfway.introduce(0x7fff).await; // higher, and gets a Go: this one is a link and stays
        for peer in [&mut silent, &mut slow] {
            assert_eq!(peer.stream.read(&mut [0; 9]).await.unwrap(), 0);
        }
        assert!(matches!(shy.handshake().await, Some(Handshake::Identity { .. })));
        assert!(shy.is_ended().await);
        assert!(began.elapsed() >= Duration::from_millis(250));
        assert!(!low.is_empty());

        // A dialled peer that never says who it is.
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        low.order(Order::Dial { address: listener.local_addr().unwrap().to_string() });
        low.wait_seen(|seen| matches!(seen, Seen::DialFailed { .. }).then_some(())).await;
    });
}

#[test]
fn who_is_to_decide_has_to_in_time() {
    run(async {
        let (high, address) = start(settings(5)).await;
        let mut lower = Peer::open(&address, 4).await;
        lower.introduce(4).await;
        let connection = high.connection().await;
        let ended = high.wait_seen(|seen| match seen {
            Seen::End(id, _, text) => Some((*id, text.clone())),
            _ => None,
        });
        let (id, text) = ended.await;
        assert_eq!(id, connection);
        assert!(text.contains("in time"), "{text}");
    });
}

#[test]
fn silent_strangers_do_not_keep_others_out() {
    run(async {
        let (low, address) =
            start(Settings { half_open: 4, handshake: Duration::from_secs(20), ..settings(1) }).await;
        let mut strangers = Vec::new();
        for _ in 0..8 {
            strangers.push(Peer::connect(&address).await);
        }
        let mut honest = Peer::link(&address, 2).await;
        honest.say(1).await;
        assert_eq!(low.numbers(1).await, [1]);
    });
}

#[test]
fn links_do_not_count_as_half_open() {
    run(async {
        let (low, address) = start(Settings { half_open: 2, ..settings(1) }).await;
        let mut peers = Vec::new();
        for node in 0..10 {
            peers.push(Peer::link(&address, 2 + node).await);
        }
        for peer in &mut peers {
            peer.say(1).await;
        }
        low.numbers(10).await;
    });
}

#[test]
fn garbage_on_a_link_ends_it() {
    run(async {
        let (low, address) = start(settings(1)).await;
        for (node, words) in [(2, &b"\x02\0\0\0\x01\xff"[..]), (3, &[0xff; 9]), (4, b"\x01\0\0\0\x09")] {
            let mut peer = Peer::link(&address, node).await;
            peer.write(words).await;
            assert!(peer.is_ended().await);
            low.empty().await;
            assert!(matches!(low.with_core(|core| core.seen.last().cloned()), Some(Seen::End(..))));
        }
    });
}

#[test]
fn a_peer_that_never_reads_does_not_keep_a_link_from_closing() {
    run(async {
        let (low, address) = start(settings(1)).await;
        let peer = Peer::link(&address, 2).await;
        let connection = low.connection().await;
        let blocks: Blocks = Rc::new(RefCell::new((0..1000).map(|_| data_block(64_000)).collect()));
        low.order(Order::Attach { connection, outbox: blocks });
        low.say(connection, 1);
        let began = Instant::now();
        low.order(Order::Close { connection, goodbye: Some(crate::engine::Goodbye::Closing) });
        low.empty().await;
        let took = began.elapsed();
        assert!(took >= Duration::from_millis(250) && took < Duration::from_secs(2), "{took:?}");
        drop(peer);
    });
}

/// Some 200 kB.
fn large_message() -> Stamped {
    let peer = PeerAddress { node: NodeId(1), name: "x".repeat(50_000), address: String::new() };
    let message = Message::Peers { peers: vec![peer; 4], last: false };
    Stamped { clock: 1, message }
}

#[test]
fn a_link_may_begin_with_more_than_it_may_leave_unread_later() {
    run(async {
        let (low, address) = start(settings(1)).await;
        const TIMES: usize = 400; // 80 MB
        low.with_core(|core| core.greeting = Some((large_message(), TIMES)));
        let mut peer = Peer::link(&address, 2).await;
        for _ in 0..TIMES {
            assert!(peer.next(|frame| matches!(frame, Frame::Control(_))).await.unwrap());
        }
        low.say(low.connection().await, 1);
        assert!(peer.next(|frame| matches!(frame, Frame::Control(_))).await.unwrap());
    });
}

#[test]
fn a_peer_that_leaves_everything_unread_is_taken_down() {
    run(async {
        let (low, address) = start(settings(1)).await;
        let peer = Peer::link(&address, 2).await;
        let connection = low.connection().await;
        let message = large_message();
        for _ in 0..500 {
            low.order(Order::Send { to: vec![connection], message: message.clone() });
        }
        let text = low
            .wait_seen(|seen| if let Seen::End(_, _, text) = seen { Some(text.clone()) } else { None })
            .await;
        assert!(text.contains("unread"), "{text}");
        drop(peer);
    });
}

#[test]
fn closing_the_mesh_cuts_what_is_left() {
    run(async {
        let (low, address) = start(settings(1)).await;
        let mut linked = Peer::link(&address, 2).await;
        let mut stranger = Peer::open(&address, 3).await;
        assert!(matches!(stranger.handshake().await, Some(Handshake::Identity { .. })));
        low.close();
        low.empty().await;
        assert!(linked.is_ended().await);
        assert!(stranger.is_ended().await);
    });
}

/// All in one go, before this side has written a word: the core, which knows of the connection, is told of its end.
#[test]
fn garbage_right_behind_an_identity_is_told_to_the_core() {
    run(async {
        let (low, address) = start(settings(1)).await;
        low.settings().protection.write().unwrap().clone_from(&Protection::Plain);
        let mut peer = Peer::connect_as(&address, Setup { protection: Protection::Plain, ..setup(9) }).await;
        let mut words = Vec::new();
        peer.channel.take_handshake_bytes(&mut words);
        wire::encode_handshake(&Handshake::identity("test", identity(9), OPENING), &mut words);
        words.extend([0xff; 9]);
        peer.stream.write_all(&words).await.unwrap();
        low.wait_seen(|seen| matches!(seen, Seen::Connection { .. }).then_some(())).await;
        low.wait_seen(|seen| matches!(seen, Seen::End(..)).then_some(())).await;
        low.empty().await;
    });
}

/// A few bytes that cost much: each keeps the thread busy for a millisecond, and there are hundreds in one packet. Another peer
/// does not wait until all of them are done, and callers neither.
#[test]
fn messages_that_cost_much_do_not_keep_the_others_waiting() {
    run(async {
        let (low, address) = start(settings(1)).await;
        let (mut dear, mut other) = (Peer::link(&address, 8).await, Peer::link(&address, 9).await);
        low.with_core(|core| core.message_takes = Duration::from_millis(1));
        let mut bytes = Vec::new();
        for number in 0..500 {
            let message = Stamped { clock: 1, message: Message::Ping { number } };
            wire::encode_control(&message, &mut bytes).unwrap();
        }
        dear.write(&bytes).await;
        assert_eq!(low.numbers(1).await[0], 0);
        other.say(1000).await;
        let before = low
            .wait(|core| {
                let number = |seen: &Seen| matches!(seen, Seen::Message(_, Message::Ping { number: 1000 }));
                core.seen.iter().position(number)
            })
            .await;
        assert!(before < 50, "{before} were handled before it");
        // Nothing is lost, and all comes in its order.
        let numbers = low.numbers(501).await;
        assert!(numbers.iter().filter(|number| **number < 1000).copied().eq(0..500));
    });
}
