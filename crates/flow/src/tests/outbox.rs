//! The sending side alone.

use super::super::{Credit, DataHeader, INITIAL_CREDIT, MAX_STREAMS, Outbox, SendRefusal, cost};
use super::{TestEncoder, decode};
use crate::FRAGMENT;
use convoke_model::Limits;

type Box = Outbox<TestEncoder>;
const LARGE: usize = 300 << 10;

fn outbox() -> Box {
    Outbox::new(&Limits::default())
}

/// An outbox that was granted plenty for the receivers 1 to 9.
fn rich() -> Box {
    let mut outbox = outbox();
    for to in 1..10 {
        outbox.send(1, to, b"").unwrap();
        outbox.credit(to, Credit { messages: 10_000, bytes: 64 << 20, taken: 0 });
    }
    drain(&mut outbox);
    outbox
}

/// Writes everything; the headers of each block.
fn drain(outbox: &mut Box) -> Vec<Vec<DataHeader>> {
    let mut blocks = Vec::new();
    while let Some(block) = outbox.next_block() {
        blocks.push(decode(&block).into_iter().map(|(header, _)| header).collect());
        assert_eq!(outbox.written(block), []);
    }
    blocks
}

fn headers(outbox: &mut Box) -> Vec<DataHeader> {
    drain(outbox).concat()
}

fn message(from: u64, to: u64) -> DataHeader {
    DataHeader::Message { from, to }
}

fn first(from: u64, to: u64) -> DataHeader {
    DataHeader::First { from, to, total: LARGE as u64 }
}

fn more(from: u64, to: u64) -> DataHeader {
    DataHeader::More { from, to }
}

fn exit(from: u64, to: u64) -> DataHeader {
    DataHeader::Exit { from, to, reference: 1, reason: 0 }
}

fn taken(messages: u64, bytes: u64) -> Credit {
    Credit { messages: messages + INITIAL_CREDIT.messages, bytes: bytes + INITIAL_CREDIT.bytes, taken: bytes }
}

#[test]
fn small_messages_of_all_pairs_share_blocks_in_order() {
    let mut outbox = outbox();
    assert!(outbox.is_empty() && outbox.next_block().is_none());
    for n in 0..60 {
        outbox.send(n % 3, n % 7, &[n as u8; 2000]).unwrap();
    }
    let mut number = 0;
    let mut sizes = Vec::new();
    while let Some(block) = outbox.next_block() {
        sizes.push(block.len());
        for (header, body) in decode(&block) {
            assert_eq!((header, body), (message(number % 3, number % 7), vec![number as u8; 2000]));
            number += 1;
        }
        outbox.written(block);
    }
    assert_eq!(number, 60);
    assert_eq!(sizes.len(), 2);
    assert!(sizes[0] > FRAGMENT - 3000 && sizes[0] <= FRAGMENT + 100);
    assert_eq!(outbox.backlog(), 0);
}

#[test]
fn blocks_are_used_again() {
    let mut outbox = rich();
    outbox.send(1, 1, b"x").unwrap();
    let block = outbox.next_block().unwrap();
    let address = block.as_ptr();
    outbox.written(block);
    for _ in 0..5 {
        outbox.send(1, 1, b"y").unwrap();
        let block = outbox.next_block().unwrap();
        assert_eq!(block.as_ptr(), address);
        outbox.written(block);
    }
}

#[test]
fn large_messages_take_turns_and_small_ones_of_others_wait_for_one_fragment() {
    let mut outbox = rich();
    outbox.send(1, 1, &[1; LARGE]).unwrap();
    outbox.send(2, 2, &[2; LARGE]).unwrap();
    let mut next = || {
        let block = outbox.next_block()?;
        let header = decode(&block)[0].0;
        outbox.written(block);
        outbox.send(3, 3, b"small").unwrap();
        Some(header)
    };
    let small = message(3, 3);
    for fragment in [first(1, 1), first(2, 2), more(1, 1), more(2, 2), more(1, 1), more(2, 2)] {
        assert_eq!(next(), Some(fragment));
        assert_eq!(next(), Some(small));
    }
}

/// The writer may find out in the middle of a message how fast the line is.
#[test]
fn fragments_are_as_small_as_the_line_is_slow() {
    let mut outbox = rich();
    let payload: Vec<u8> = (0..LARGE).map(|i| (i / 7) as u8).collect();
    outbox.send(1, 1, &payload).unwrap();
    let mut arrived = Vec::new();
    for size in [FRAGMENT, 1000, 1, 0, usize::MAX].into_iter().cycle() {
        let Some(block) = outbox.next_block_of(size) else { break };
        let (header, body) = decode(&block).remove(0);
        assert_eq!(header, if arrived.is_empty() { first(1, 1) } else { more(1, 1) });
        assert!(!body.is_empty() && body.len() <= size.clamp(1, FRAGMENT));
        arrived.extend(body);
        outbox.written(block);
    }
    assert!(arrived == payload && outbox.is_empty() && outbox.backlog() == 0);
}

#[test]
fn a_pair_is_first_in_first_out() {
    let mut outbox = rich();
    outbox.send(1, 1, b"a").unwrap();
    outbox.send(1, 1, &[0; LARGE]).unwrap();
    outbox.send(1, 1, b"b").unwrap();
    outbox.send(1, 1, b"c").unwrap();
    outbox.send(1, 1, &[0; LARGE]).unwrap();
    outbox.signal(DataHeader::Kill { from: 1, to: 1, reason: 0 }, b"");
    outbox.signal(exit(1, 1), b"data");
    let large = [vec![first(1, 1)], vec![more(1, 1); 4]].concat();
    let kill = DataHeader::Kill { from: 1, to: 1, reason: 0 };
    let small = vec![message(1, 1), message(1, 1)];
    let all = [vec![message(1, 1)], large.clone(), small, large, vec![kill, exit(1, 1)]].concat();
    assert_eq!(headers(&mut outbox), all);
    outbox.send(1, 1, b"d").unwrap();
    assert_eq!(headers(&mut outbox), [message(1, 1)]);
}

#[test]
fn a_large_message_does_not_overtake_what_its_pair_has_in_a_block() {
    let mut outbox = rich();
    outbox.send(9, 9, b"").unwrap();
    let block = outbox.next_block().unwrap();
    // It is a fragment's turn.
    outbox.signal(exit(1, 77), b"");
    outbox.send(1, 1, b"").unwrap();
    outbox.send(1, 1, &[0; LARGE]).unwrap();
    outbox.send(1, 2, &[0; LARGE]).unwrap();
    assert_eq!(headers(&mut outbox)[..4], [first(1, 2), exit(1, 77), message(1, 1), more(1, 2)]);
    outbox.written(block);
    // A receiver that was only signalled to before.
    outbox.send(9, 9, b"").unwrap();
    let block = outbox.next_block().unwrap();
    outbox.written(block);
    outbox.signal(DataHeader::Kill { from: 1, to: 55, reason: 0 }, b"");
    outbox.send(1, 55, &[0; 90 << 10]).unwrap();
    assert!(matches!(headers(&mut outbox)[..2], [DataHeader::Kill { .. }, DataHeader::First { .. }]));
}

#[test]
fn what_follows_a_large_message_is_not_overtaken_by_the_next() {
    let mut outbox = rich();
    outbox.send(1, 1, &[0; LARGE]).unwrap();
    outbox.send(1, 1, b"").unwrap();
    outbox.send(1, 1, &[0; LARGE]).unwrap();
    for _ in 0..8 {
        outbox.send(9, 9, &[0; FRAGMENT]).unwrap();
    }
    let frames = headers(&mut outbox);
    let small = frames.iter().position(|&header| header == message(1, 1)).unwrap();
    let second = frames.iter().rposition(|&header| header == first(1, 1)).unwrap();
    assert!(small < second, "{frames:?}");
}

#[test]
fn without_credit_senders_are_refused_and_told_once() {
    let mut outbox = outbox();
    for _ in 0..INITIAL_CREDIT.messages {
        outbox.send(1, 1, b"").unwrap();
    }
    for from in [3, 2, 3, 2] {
        assert_eq!(outbox.send(from, 1, b""), Err(SendRefusal::Full));
    }
    outbox.send(2, 2, b"").unwrap();
    let sent = 64 * cost(0);
    let want = Credit { messages: 65, bytes: sent + (96 << 10) / 4, taken: sent };
    let frames = headers(&mut outbox);
    assert_eq!(frames[64..], [DataHeader::Wait { to: 1, want }, message(2, 2)]);
    // Less than a quarter of the window is free: not yet, but the node asks again.
    let little = Credit { messages: 64, bytes: INITIAL_CREDIT.bytes + 128, taken: 128 };
    assert_eq!(outbox.credit(1, little), []);
    assert_eq!(headers(&mut outbox), [DataHeader::Wait { to: 1, want }]);
    let credit = taken(32, 32 * cost(0));
    assert_eq!(outbox.credit(1, credit), [(3, 1), (2, 1)]);
    assert_eq!(outbox.credit(1, credit), []);
    assert_eq!(outbox.credit(1, little), [], "a late credit does no harm");
    for _ in 0..32 {
        outbox.send(2, 1, b"").unwrap();
    }
    assert_eq!(outbox.send(2, 1, b""), Err(SendRefusal::Full));
}

#[test]
fn a_payload_within_the_window_waits_until_it_fits() {
    let mut outbox = outbox();
    outbox.send(1, 1, &[0; 60 << 10]).unwrap();
    assert_eq!(outbox.send(1, 1, &[0; 60 << 10]), Err(SendRefusal::Full));
    assert_eq!(outbox.send(2, 1, &[0; 50 << 10]), Err(SendRefusal::Full));
    outbox.send(3, 1, b"small").unwrap();
    assert_eq!(headers(&mut outbox).len(), 3, "two messages and one Wait, for the larger");
    let sent = cost(60 << 10) + cost(5);
    let credit = Credit { messages: 65, bytes: (96 << 10) + (20 << 10), taken: 20 << 10 };
    assert_eq!(outbox.credit(1, credit), [(2, 1)]);
    let want = Credit { messages: 3, bytes: sent + cost(60 << 10), taken: sent };
    assert_eq!(headers(&mut outbox), [DataHeader::Wait { to: 1, want }]);
    assert_eq!(outbox.credit(1, taken(2, sent)), [(1, 1)]);
}

#[test]
fn a_payload_beyond_the_window_waits_for_room_if_the_window_is_untouched() {
    let mut outbox = outbox();
    outbox.send(1, 1, &[0; LARGE]).unwrap();
    outbox.signal(exit(1, 1), b"");
    let bytes = cost(LARGE);
    assert_eq!(headers(&mut outbox), [DataHeader::Request { to: 1, bytes }]);
    assert_eq!(outbox.send(1, 1, b""), Err(SendRefusal::Full));
    assert_eq!(outbox.send(2, 1, b""), Err(SendRefusal::Full));
    outbox.send(1, 2, b"").unwrap();
    assert_eq!(headers(&mut outbox), [message(1, 2)]);
    assert_eq!(outbox.credit(1, Credit { messages: 65, ..INITIAL_CREDIT }), []);
    assert_eq!(headers(&mut outbox), [], "it is asked for once");
    assert_eq!(outbox.credit(1, Credit { messages: 64, bytes, taken: 0 }), []);
    let mut frames = headers(&mut outbox);
    assert!(matches!(frames.remove(1), DataHeader::Wait { .. }));
    assert_eq!(frames, [first(1, 1), more(1, 1), more(1, 1), more(1, 1), more(1, 1), exit(1, 1)]);
    assert_eq!(outbox.credit(1, taken(1, bytes)), [(1, 1), (2, 1)]);
    outbox.send(1, 1, &[0; LARGE]).unwrap();
    assert_eq!(headers(&mut outbox), [DataHeader::Request { to: 1, bytes }]);
}

fn wait(to: u64, messages: u64, sent: u64, cost: u64) -> DataHeader {
    DataHeader::Wait { to, want: Credit { messages, bytes: sent + cost, taken: sent } }
}

#[test]
fn a_payload_beyond_a_window_in_use_is_asked_for_when_all_is_taken() {
    let mut outbox = outbox();
    outbox.send(1, 1, b"").unwrap();
    outbox.send(2, 1, b"").unwrap();
    outbox.send(1, 1, &[0; LARGE]).unwrap();
    assert_eq!(outbox.send(2, 1, b""), Err(SendRefusal::Full));
    let asked = wait(1, 3, 256, cost(LARGE));
    assert_eq!(headers(&mut outbox), [message(1, 1), message(2, 1), asked]);
    assert_eq!(outbox.credit(1, taken(1, 128)), []);
    assert_eq!(headers(&mut outbox), [asked]);
    assert_eq!(outbox.credit(1, taken(2, 256)), []);
    let bytes = cost(LARGE);
    assert_eq!(headers(&mut outbox), [DataHeader::Request { to: 1, bytes }]);
    assert_eq!(outbox.credit(1, Credit { messages: 66, bytes: 256 + bytes, taken: 256 }), []);
    assert_eq!(headers(&mut outbox).len(), 6, "the pieces, and a Wait for who was refused");
    assert_eq!(outbox.credit(1, taken(3, 256 + bytes)), [(2, 1)]);
}

#[test]
fn a_window_that_grows_may_make_room_for_what_waits() {
    let mut outbox = outbox();
    outbox.send(1, 1, b"").unwrap();
    outbox.send(1, 1, &[0; LARGE]).unwrap();
    outbox.credit(1, Credit { messages: 128, bytes: 1 << 20, taken: 0 });
    assert!(headers(&mut outbox).contains(&first(1, 1)));
}

#[test]
fn a_receiver_that_does_not_read_keeps_no_payload_for_others_away() {
    let mut outbox = Box::new(&Limits { link_buffer: 2 * LARGE, ..Limits::default() });
    for to in 1..5 {
        outbox.send(1, to, b"").unwrap();
    }
    outbox.send(1, 1, &[0; LARGE]).unwrap();
    assert_eq!(
        outbox.send(1, 2, &[0; LARGE]),
        Err(SendRefusal::Full),
        "no more of those that depend on readers"
    );
    outbox.send(1, 9, &[0; LARGE]).unwrap();
    drain(&mut outbox);
    assert_eq!(outbox.credit(2, taken(1, 128)), [(1, 2)]);
    assert_eq!(outbox.send(1, 2, &[0; LARGE]), Err(SendRefusal::Full), "two large ones are too many");
    assert_eq!(outbox.no_receiver(9), [(1, 2)]);
    outbox.send(1, 2, &[0; LARGE]).unwrap();
    assert!(matches!(headers(&mut outbox)[..], [DataHeader::Request { to: 2, .. }]));
    outbox.no_receiver(1);
    outbox.send(1, 3, &[0; LARGE]).unwrap();
    // One waits for the credit of its receiver even when others have room.
    assert_eq!(headers(&mut outbox), [wait(3, 2, 128, cost(LARGE))]);
}

#[test]
fn a_kill_overtakes_what_waits_for_room() {
    let mut outbox = outbox();
    outbox.send(1, 1, b"").unwrap();
    outbox.send(1, 1, &[0; LARGE]).unwrap();
    outbox.signal(exit(1, 1), b"");
    let kill = DataHeader::Kill { from: 1, to: 1, reason: 0 };
    outbox.signal(kill, b"");
    assert_eq!(headers(&mut outbox), [message(1, 1), wait(1, 2, 128, cost(LARGE)), kill]);
    assert_eq!(outbox.no_receiver(1), []);
    assert_eq!((outbox.is_empty(), outbox.backlog()), (true, 0));
}

#[test]
fn a_pair_with_a_large_message_under_way_parks_no_other() {
    let mut outbox = outbox();
    outbox.send(1, 1, &[0; 70 << 10]).unwrap();
    assert_eq!(outbox.send(1, 1, &[0; LARGE]), Err(SendRefusal::Full));
    outbox.send(2, 1, &[0; LARGE]).unwrap();
    let sent = cost(70 << 10);
    outbox.credit(1, taken(1, sent));
    outbox.credit(1, Credit { messages: 66, bytes: sent + cost(LARGE), taken: sent });
    assert_eq!(outbox.credit(1, taken(2, sent + cost(LARGE))), [(1, 1)]);
}

#[test]
fn payloads_that_wait_for_room_are_bounded() {
    let mut outbox = Box::new(&Limits { link_buffer: 2 * LARGE, ..Limits::default() });
    let huge = vec![0; 4 * LARGE];
    outbox.send(1, 1, &huge).unwrap();
    assert_eq!(outbox.send(1, 2, &huge), Err(SendRefusal::Full), "one alone may be larger than the limit");
    assert_eq!(outbox.send(1, 3, &[0; LARGE]), Err(SendRefusal::Full));
    outbox.send(1, 4, b"others go on").unwrap();
    drain(&mut outbox);
    let granted = Credit { messages: 64, bytes: cost(4 * LARGE), taken: 0 };
    assert_eq!(outbox.credit(1, granted), [(1, 2), (1, 3)]);
    assert_eq!(outbox.send(1, 4, b"x"), Err(SendRefusal::Full), "it counts for the link now");
    let mut told = Vec::new();
    while let Some(block) = outbox.next_block() {
        told.extend(outbox.written(block));
    }
    assert_eq!(told, [(1, 4)]);
    outbox.send(1, 3, &[0; LARGE]).unwrap();
    assert_eq!(outbox.send(1, 2, &huge), Err(SendRefusal::Full));
    assert_eq!(outbox.no_receiver(3), [(1, 2)], "the payload for it is dropped");
}

#[test]
fn a_full_link_refuses_until_half_of_it_is_written() {
    let mut outbox = Box::new(&Limits { link_buffer: 256 << 10, ..Limits::default() });
    let mut sent = 0;
    while outbox.send(1, sent, &[0; 30 << 10]).is_ok() {
        sent += 1;
    }
    assert_eq!(sent, 9);
    assert_eq!(outbox.send(2, 5, b""), Err(SendRefusal::Full));
    assert_eq!(outbox.send(2, 5, b""), Err(SendRefusal::Full));
    let mut told = Vec::new();
    while let Some(mut block) = outbox.next_block() {
        block.clear();
        told.push(outbox.written(block));
    }
    assert_eq!(told, [vec![], vec![], vec![(1, 9), (2, 5)], vec![], vec![]]);
    assert_eq!(outbox.backlog(), 0);
}

#[test]
fn a_receiver_that_is_no_more_is_remembered() {
    let mut outbox = rich();
    outbox.send(1, 1, &[0; LARGE]).unwrap();
    outbox.send(2, 1, &[0; LARGE]).unwrap();
    outbox.signal(exit(1, 1), b"");
    let block = outbox.next_block().unwrap();
    for from in 3.. {
        if outbox.send(from, 1, &[0; 1 << 20]).is_err() {
            break;
        }
    }
    outbox.written(block);
    assert_eq!(outbox.no_receiver(1).len(), 1);
    assert_eq!(outbox.send(2, 1, b""), Err(SendRefusal::NoProcess));
    assert_eq!(outbox.no_receiver(1), []);
    assert_eq!((headers(&mut outbox), outbox.backlog()), (vec![], 0));
    assert_eq!(outbox.credit(1, Credit { messages: 9, bytes: 9, taken: 9 }), []);
    outbox.signal(DataHeader::Kill { from: 1, to: 1, reason: 0 }, b"");
    assert_eq!(headers(&mut outbox).len(), 1);
    for to in 2..1026 {
        outbox.no_receiver(to);
    }
    assert_eq!(outbox.send(2, 2, b""), Err(SendRefusal::NoProcess));
    assert_eq!(outbox.send(2, 1, b""), Ok(()), "the oldest is forgotten");
}

#[test]
fn a_sender_that_is_no_more_is_not_told() {
    let mut outbox = outbox();
    outbox.send(1, 1, &[0; 90 << 10]).unwrap();
    assert_eq!(outbox.send(1, 1, &[0; 90 << 10]), Err(SendRefusal::Full));
    assert_eq!(outbox.send(2, 1, &[0; 90 << 10]), Err(SendRefusal::Full));
    outbox.forget_sender(1);
    assert_eq!(outbox.credit(1, taken(1, cost(90 << 10))), [(2, 1)]);
    assert_eq!(headers(&mut outbox).len(), 3, "what it sent still goes");
}

#[test]
fn at_the_end_of_the_link_all_who_wait_are_told() {
    let mut outbox = Box::new(&Limits { link_buffer: 200 << 10, ..Limits::default() });
    outbox.send(1, 1, &[0; 90 << 10]).unwrap();
    assert_eq!(outbox.send(2, 1, &[0; 90 << 10]), Err(SendRefusal::Full));
    outbox.send(1, 2, &[0; 200 << 10]).unwrap();
    assert_eq!(outbox.send(3, 3, &[0; 200 << 10]), Err(SendRefusal::Full));
    outbox.send(1, 4, &[0; 90 << 10]).unwrap();
    outbox.send(1, 5, &[0; 90 << 10]).unwrap();
    assert_eq!(outbox.send(1, 6, b""), Err(SendRefusal::Full));
    let block = outbox.next_block().unwrap();
    assert_eq!(outbox.close(), [(2, 1), (3, 3), (1, 6)]);
    assert_eq!(outbox.close(), []);
    assert_eq!((outbox.is_empty(), outbox.backlog()), (true, 0));
    assert_eq!(outbox.written(block), []);
    assert_eq!(outbox.send(1, 1, b""), Ok(()));
    outbox.signal(exit(1, 1), b"");
    assert_eq!(outbox.no_receiver(1), []);
    assert_eq!(outbox.credit(1, taken(1, 1)), []);
    assert_eq!(outbox.next_block(), None);
}

#[test]
fn only_so_many_messages_are_in_pieces_at_a_time() {
    let mut outbox = outbox();
    let pairs = MAX_STREAMS as u64 + 10;
    let mut sent = 0;
    let (mut begun, mut most, mut done) = (0, 0, 0);
    loop {
        // Three fragments each: 65 KiB is beyond one.
        while sent < pairs && outbox.send(1, sent, &[0; FRAGMENT + 1]).is_ok() {
            sent += 1;
        }
        let Some(block) = outbox.next_block() else { break };
        for (header, _) in decode(&block) {
            match header {
                DataHeader::First { .. } => begun += 1,
                DataHeader::More { .. } => done += 1,
                header => panic!("{header:?}"),
            }
        }
        most = most.max(begun - done);
        outbox.written(block);
    }
    assert_eq!((sent, begun, done), (pairs, pairs, pairs));
    assert!(most <= MAX_STREAMS as u64);
}

#[test]
fn messages_dropped_in_pieces_give_way_to_others() {
    let mut outbox = outbox();
    for to in 0..=MAX_STREAMS as u64 {
        outbox.send(1, to, &[0; FRAGMENT + 1]).unwrap();
        let block = outbox.next_block().unwrap();
        assert!(matches!(decode(&block)[..], [(DataHeader::First { .. }, _)]));
        outbox.written(block);
        outbox.no_receiver(to);
    }
    assert_eq!((outbox.is_empty(), outbox.backlog()), (true, 0));
}

#[test]
fn no_credit_breaks_the_outbox() {
    let max = u64::MAX;
    for credit in [
        Credit { messages: max, bytes: max, taken: max },
        Credit { messages: 0, bytes: 0, taken: max },
        Credit { messages: max, bytes: 0, taken: 0 },
        Credit { messages: 0, bytes: max, taken: 0 },
    ] {
        let mut outbox = outbox();
        assert_eq!(outbox.credit(5, credit), []);
        for from in 0..200 {
            let _ = outbox.send(from, 1, &[0; 10 << 10]);
            let _ = outbox.send(from, 1, &[0; LARGE]);
            outbox.credit(1, credit);
        }
        while let Some(block) = outbox.next_block() {
            outbox.written(block);
        }
        outbox.no_receiver(1);
        assert_eq!(outbox.backlog(), 0);
    }
}
