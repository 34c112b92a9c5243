//! The receiving side alone.

use super::super::{
    Credit, DataHeader, INITIAL_CREDIT, Inbound, MAX_STREAMS, MAX_WINDOW, Received, Violation, Window, cost,
};
use crate::FRAGMENT;
use convoke_model::{Limits, NodeId, Payload};

const A: NodeId = NodeId(1);
const B: NodeId = NodeId(2);
const LARGE: usize = 1 << 20;
const DEAD: u64 = 99;

type Answer = Result<(Received, Option<(u64, Credit)>), Violation>;
const NOTHING: Answer = Ok((Received::Nothing, None));

fn inbound() -> Inbound {
    with(&Limits::default())
}

fn with(limits: &Limits) -> Inbound {
    let mut inbound = Inbound::new(limits);
    inbound.link_up(A, 1);
    inbound.link_up(B, 2);
    inbound
}

/// The cap is 3 MiB and takes two payloads of 1 MiB, or nearly three.
fn small() -> Inbound {
    with(&Limits { message: LARGE, memory: 4 << 20, ..Limits::default() })
}

fn frame(inbound: &mut Inbound, peer: NodeId, header: DataHeader, len: usize) -> Answer {
    inbound.frame(peer, header, &vec![7; len], &|serial| serial < DEAD)
}

fn message(from: u64, to: u64) -> DataHeader {
    DataHeader::Message { from, to }
}

fn first(from: u64, to: u64, total: usize) -> DataHeader {
    DataHeader::First { from, to, total: total as u64 }
}

fn more(from: u64, to: u64) -> DataHeader {
    DataHeader::More { from, to }
}

fn request(to: u64, len: usize) -> DataHeader {
    DataHeader::Request { to, bytes: cost(len) }
}

fn window(from: NodeId, to: u64) -> Window {
    Window { from, link: from.0, to }
}

fn got(peer: NodeId, from: u64, to: u64, len: usize) -> Answer {
    let payload = Payload::new(&vec![7; len]);
    Ok((Received::Message { from, payload, window: window(peer, to) }, None))
}

/// Credit for a payload of this length when `messages` of `bytes` were taken so far.
fn credit(messages: u64, bytes: u64, room: u64) -> Credit {
    Credit { messages: messages + INITIAL_CREDIT.messages, bytes: bytes + room, taken: bytes }
}

fn large(inbound: &mut Inbound, peer: NodeId, from: u64, to: u64, len: usize) -> Answer {
    let mut rest = len - FRAGMENT;
    assert_eq!(frame(inbound, peer, first(from, to, len), FRAGMENT), NOTHING);
    while rest > FRAGMENT {
        assert_eq!(frame(inbound, peer, more(from, to), FRAGMENT), NOTHING);
        rest -= FRAGMENT;
    }
    frame(inbound, peer, more(from, to), rest)
}

/// The situations in which a frame may come. In all that have room: at process 2.
const STATES: [&str; 6] = ["fresh", "in use", "in pieces", "exhausted", "requested", "no link"];

fn state(name: &str) -> Inbound {
    let mut inbound = small();
    match name {
        "in use" => drop(frame(&mut inbound, A, message(1, 2), 10)),
        "in pieces" => drop(frame(&mut inbound, A, first(1, 2, 70_000), 10)),
        "exhausted" => (0..64).for_each(|_| drop(frame(&mut inbound, A, message(1, 2), 10))),
        "requested" => {
            // B holds all that can be granted.
            for to in 3..6 {
                drop(frame(&mut inbound, B, request(to, LARGE), 0));
            }
            assert_eq!(frame(&mut inbound, A, request(2, LARGE), 0), NOTHING);
        }
        "no link" => inbound.link_down(A),
        _ => {}
    }
    inbound
}

/// What each frame does in each state: '.' nothing yet, 'm' a message, 's' a signal, 'c' a credit, '!' a violation.
#[test]
fn every_frame_in_every_state() {
    let want = Credit { messages: 5, bytes: 5000, taken: 0 };
    let early = Credit { messages: 500, bytes: 5 << 20, taken: INITIAL_CREDIT.bytes };
    let liar = Credit { taken: u64::MAX, ..want };
    let exit = DataHeader::Exit { from: 1, to: 2, reference: 3, reason: 4 };
    let kill = DataHeader::Kill { from: 1, to: 2, reason: 4 };
    let table = [
        // header, length of the body, one result per state
        (message(1, 2), 0, "mm!!!!"),
        (message(1, 2), 1000, "mm!!!!"),
        (message(9, 2), 1000, "mmm!!!"),
        (message(9, 2), FRAGMENT, "mm!!!!"),
        (message(1, 2), FRAGMENT + 1, "!!!!!!"),
        (message(1, 7), 1000, "mmmmm!"),
        (first(1, 2, 80_000), FRAGMENT, "..!!!!"),
        (first(9, 2, 80_000), 1, "..!!!!"),
        (first(1, 2, 80_000), 0, "!!!!!!"),
        (first(1, 2, 80_000), FRAGMENT + 1, "!!!!!!"),
        (first(1, 2, FRAGMENT), 1000, "!!!!!!"),
        (first(1, 2, 100 << 10), FRAGMENT, "!!!!!!"),
        (first(1, 2, LARGE + 1), FRAGMENT, "!!!!!!"),
        (first(1, 2, usize::MAX), FRAGMENT, "!!!!!!"),
        (more(1, 2), 1000, "!!.!!!"),
        (more(1, 2), 0, "!!!!!!"),
        (more(1, 2), FRAGMENT, "!!.!!!"),
        (more(1, 2), FRAGMENT + 1, "!!!!!!"),
        (more(9, 2), 1000, "!!!!!!"),
        (request(2, LARGE), 0, "c!!!!!"),
        (request(2, LARGE), 1, "!!!!!!"),
        (request(2, LARGE + 1), 0, "!!!!!!"),
        (DataHeader::Request { to: 2, bytes: u64::MAX }, 0, "!!!!!!"),
        (DataHeader::Request { to: 2, bytes: 0 }, 0, ".!!!!!"),
        (exit, 100, "ss!ss!"),
        (exit, (64 << 10) + 1, "!!!!!!"),
        (kill, 0, "ss!ss!"),
        (kill, (64 << 10) + 1, "!!!!!!"),
        (DataHeader::Wait { to: 2, want }, 0, ".....!"),
        (DataHeader::Wait { to: 2, want: early }, 0, ".....!"),
        (DataHeader::Wait { to: 2, want: liar }, 0, "!!!!!!"),
        (DataHeader::Wait { to: 2, want }, 1, "!!!!!!"),
    ];
    for (header, len, results) in table {
        for (name, result) in STATES.iter().zip(results.chars()) {
            let got = match frame(&mut state(name), A, header, len) {
                Err(_) => '!',
                Ok((Received::Nothing, None)) => '.',
                Ok((Received::Nothing, Some(_))) => 'c',
                Ok((Received::Message { .. }, None)) => 'm',
                Ok((Received::Exit { .. } | Received::Kill { .. }, None)) => 's',
                other => panic!("{header:?} when {name}: {other:?}"),
            };
            assert_eq!(got, result, "{header:?} with {len} bytes when {name}");
        }
    }
}

#[test]
fn frames_for_the_dead_are_answered_and_take_no_room() {
    let mut inbound = inbound();
    let gone = |to| Ok((Received::NoReceiver { to }, None));
    assert_eq!(frame(&mut inbound, A, message(1, DEAD), 10), gone(DEAD));
    // What was under way before the peer heard of it.
    for _ in 0..1000 {
        assert_eq!(frame(&mut inbound, A, message(1, DEAD), 10), NOTHING);
        assert_eq!(frame(&mut inbound, A, first(1, DEAD, LARGE), FRAGMENT), NOTHING);
        assert_eq!(frame(&mut inbound, A, more(1, DEAD), FRAGMENT), NOTHING);
    }
    assert_eq!(frame(&mut inbound, B, more(1, DEAD), 10), gone(DEAD));
    let want = INITIAL_CREDIT;
    for _ in 0..2 {
        assert_eq!(frame(&mut inbound, A, request(DEAD, LARGE), 0), gone(DEAD));
        assert_eq!(frame(&mut inbound, A, DataHeader::Wait { to: DEAD, want }, 0), gone(DEAD));
    }
    for to in DEAD + 1..DEAD + 65 {
        assert_eq!(frame(&mut inbound, A, message(1, to), 10), gone(to));
    }
    assert_eq!(frame(&mut inbound, A, message(1, DEAD), 10), gone(DEAD));
    let exit = DataHeader::Exit { from: 1, to: DEAD, reference: 3, reason: 4 };
    let received = Received::Exit { from: 1, to: DEAD, reference: 3, reason: 4 };
    assert_eq!(frame(&mut inbound, A, exit, 1), Ok((received, None)));
    assert_eq!(inbound.reserved(), 0);
}

#[test]
fn pieces_become_a_message() {
    let mut inbound = inbound();
    frame(&mut inbound, A, request(2, LARGE), 0).unwrap();
    let mut whole = Vec::new();
    for n in 0..LARGE / FRAGMENT {
        let header = if n == 0 { first(1, 2, LARGE) } else { more(1, 2) };
        let piece = vec![n as u8; FRAGMENT];
        whole.extend(&piece);
        let answer = inbound.frame(A, header, &piece, &|_| true);
        if n < LARGE / FRAGMENT - 1 {
            assert_eq!(answer, NOTHING);
            // Another pair's message in between; another node's.
            assert_eq!(frame(&mut inbound, A, message(1, 3), 5), got(A, 1, 3, 5));
            assert_eq!(frame(&mut inbound, B, message(1, 2), 5), got(B, 1, 2, 5));
        } else {
            let payload = Payload::from(std::mem::take(&mut whole));
            assert_eq!(answer, Ok((Received::Message { from: 1, payload, window: window(A, 2) }, None)));
        }
    }
    let too_much = frame(&mut inbound, A, more(1, 2), 1);
    assert_eq!(too_much, Err(Violation("a piece of a message that never began")));
}

#[test]
fn an_eighth_of_a_window_taken_gives_credit() {
    let mut inbound = inbound();
    for _ in 0..40 {
        assert_eq!(frame(&mut inbound, A, message(1, 2), 8), got(A, 1, 2, 8));
    }
    assert_eq!(inbound.taken(window(A, 2), 7, 7 * cost(8)), []);
    let after = credit(8, 8 * cost(8), INITIAL_CREDIT.bytes);
    assert_eq!(inbound.taken(window(A, 2), 1, cost(8)), [(A, 2, after)]);
    // More than there is: only what is there counts.
    let after = credit(40, 40 * cost(8), INITIAL_CREDIT.bytes);
    frame(&mut inbound, A, DataHeader::Wait { to: 2, want: Credit { taken: 40 * cost(8), ..MAX_WINDOW } }, 0)
        .unwrap();
    assert_eq!(inbound.taken(window(A, 2), u64::MAX, u64::MAX), [(A, 2, after)]);
    assert_eq!(inbound.taken(window(B, 2), 1, 1), []);
    assert_eq!(inbound.taken(window(NodeId(7), 2), 1, 1), []);
}

#[test]
fn who_waits_is_answered_when_it_fits_or_all_is_taken() {
    let mut inbound = inbound();
    for _ in 0..3 {
        frame(&mut inbound, A, message(1, 2), 10 << 10).unwrap();
    }
    let one = cost(10 << 10);
    let wait = |bytes| DataHeader::Wait { to: 2, want: Credit { messages: 4, bytes, taken: 3 * one } };
    assert_eq!(frame(&mut inbound, A, wait(INITIAL_CREDIT.bytes + one), 0), NOTHING);
    assert_eq!(inbound.taken(window(A, 2), 1, one), [(A, 2, credit(1, one, INITIAL_CREDIT.bytes))]);
    assert_eq!(frame(&mut inbound, A, wait(INITIAL_CREDIT.bytes + one), 0), NOTHING, "it is on its way");
    assert_eq!(frame(&mut inbound, A, wait(5 << 20), 0), NOTHING);
    assert_eq!(inbound.taken(window(A, 2), 1, one), []);
    let all = inbound.taken(window(A, 2), 1, one);
    assert_eq!(all[0].2.taken, 3 * one);
    assert_eq!(inbound.taken(window(A, 2), 0, 0), []);
}

/// A sender that uses up every credit, and a receiver that takes at once what has come.
struct Stream {
    peer: NodeId,
    to: u64,
    granted: Credit,
    sent: (u64, u64),
}

impl Stream {
    fn new(peer: NodeId, to: u64) -> Self {
        Self { peer, to, granted: INITIAL_CREDIT, sent: (0, 0) }
    }

    /// So many messages more; the window afterwards.
    fn run(&mut self, inbound: &mut Inbound, len: usize, count: u64) -> u64 {
        let (until, one) = (self.sent.0 + count, cost(len));
        while self.sent.0 < until {
            let before = self.sent.0;
            while self.sent.0 < self.granted.messages && self.sent.1 + one <= self.granted.bytes {
                let answer = frame(inbound, self.peer, message(1, self.to), len);
                assert_eq!(answer, got(self.peer, 1, self.to, len));
                self.sent = (self.sent.0 + 1, self.sent.1 + one);
            }
            let new = self.sent.0 - before;
            assert!(new > 0, "no credit");
            for (_, _, credit) in inbound.taken(window(self.peer, self.to), new, new * one) {
                self.granted = credit;
            }
        }
        self.granted.bytes - self.granted.taken
    }
}

#[test]
fn a_window_grows_while_the_receiver_keeps_up_with_a_sender_that_uses_it() {
    let mut inbound = inbound();
    assert_eq!(Stream::new(A, 2).run(&mut inbound, 32, 100_000), MAX_WINDOW.bytes);
    assert_eq!(inbound.reserved(), MAX_WINDOW.bytes - INITIAL_CREDIT.bytes);
    let most = (0..MAX_WINDOW.messages).all(|_| frame(&mut inbound, A, message(1, 2), 0).is_ok());
    assert!(most);
    assert_eq!(frame(&mut inbound, A, message(1, 2), 0), Err(Violation("a message beyond the credit")));
    inbound.link_down(A);
    assert_eq!(inbound.reserved(), MAX_WINDOW.messages * cost(0));
    inbound.taken(window(A, 2), MAX_WINDOW.messages, MAX_WINDOW.messages * cost(0));
    assert_eq!(inbound.reserved(), 0);
}

#[test]
fn a_window_that_is_never_used_up_does_not_grow() {
    let mut inbound = inbound();
    for _ in 0..10_000 {
        frame(&mut inbound, A, message(1, 2), 32).unwrap();
        inbound.taken(window(A, 2), 1, cost(32));
    }
    assert_eq!(inbound.reserved(), 0);
}

#[test]
fn windows_share_what_there_is_and_leave_room_for_large_payloads() {
    let mut inbound = small();
    for to in 1..50 {
        Stream::new(A, to).run(&mut inbound, 1000, 5000);
        Stream::new(B, to).run(&mut inbound, 1000, 5000);
    }
    let grown = inbound.reserved();
    assert!((1 << 20..3 << 19).contains(&grown), "{grown}");
    // Nobody takes anything back from idle windows; a large payload comes through all the same.
    let (_, granted) = frame(&mut inbound, A, request(60, LARGE), 0).unwrap();
    assert_eq!(granted, Some((60, credit(0, 0, cost(LARGE)))));
}

#[test]
fn a_window_in_use_gives_way_to_others() {
    let mut inbound = small();
    let mut one = Stream::new(A, 1);
    let alone = one.run(&mut inbound, 1000, 5000);
    let mut others: Vec<Stream> = (2..8).map(|to| Stream::new(B, to)).collect();
    for _ in 0..10 {
        others.iter_mut().for_each(|other| _ = other.run(&mut inbound, 1000, 500));
        one.run(&mut inbound, 1000, 1000);
    }
    let shared = one.run(&mut inbound, 1000, 1000);
    let other = others[0].run(&mut inbound, 1000, 1000);
    assert!(shared < alone && other >= shared, "{alone} alone, then {shared} and {other}");
}

#[test]
fn large_payloads_are_granted_in_order_and_what_they_took_comes_back() {
    let mut inbound = small();
    let granted = |to| Ok((Received::Nothing, Some((to, credit(0, 0, cost(LARGE))))));
    for to in 1..4 {
        assert_eq!(frame(&mut inbound, A, request(to, LARGE), 0), granted(to));
    }
    // 288 KiB are left.
    assert_eq!(frame(&mut inbound, A, request(4, LARGE), 0), NOTHING);
    assert_eq!(frame(&mut inbound, B, request(1, 200 << 10), 0), NOTHING, "the older comes first");
    assert_eq!(frame(&mut inbound, B, request(5, LARGE), 0), NOTHING);
    assert_eq!(large(&mut inbound, A, 9, 1, LARGE), got(A, 9, 1, LARGE));
    assert_eq!(inbound.credits_due(), []);
    let credits = inbound.taken(window(A, 1), 1, cost(LARGE));
    // Its sender used all it had, so its window is twice as large from now on.
    let again = credit(1, cost(LARGE), 2 * INITIAL_CREDIT.bytes);
    let again = Credit { messages: again.messages + 64, ..again };
    let smaller = credit(0, 0, cost(200 << 10));
    assert_eq!(credits, [(A, 1, again), (A, 4, credit(0, 0, cost(LARGE))), (B, 1, smaller)]);
    // The receiver of one that was granted exits: what it reserved goes to the next.
    assert_eq!(inbound.receiver_exit(2), [A]);
    assert_eq!(inbound.credits_due(), [(B, 5, credit(0, 0, cost(LARGE)))]);
    assert_eq!(inbound.receiver_exit(2), []);
    // One that waits is given up with its link, one that is granted too.
    assert_eq!(frame(&mut inbound, A, request(6, LARGE), 0), NOTHING);
    assert_eq!(frame(&mut inbound, B, request(7, LARGE), 0), NOTHING);
    inbound.link_down(A);
    assert_eq!(inbound.credits_due(), [(B, 7, credit(0, 0, cost(LARGE)))]);
    inbound.link_up(A, 3);
    assert_eq!(
        frame(&mut inbound, A, message(1, 8), 0).unwrap().1,
        None,
        "the new link has asked for nothing"
    );
    inbound.link_down(B);
    assert_eq!((inbound.credits_due(), inbound.reserved()), (vec![], 0));
}

#[test]
fn a_new_link_has_asked_for_nothing() {
    let mut inbound = small();
    for to in 1..5 {
        frame(&mut inbound, B, request(to, LARGE), 0).unwrap();
    }
    assert_eq!(frame(&mut inbound, A, request(5, LARGE), 0), NOTHING);
    inbound.link_down(A);
    inbound.link_up(A, 3);
    assert!(matches!(frame(&mut inbound, A, message(1, 5), 0), Ok((Received::Message { .. }, None))));
    inbound.receiver_exit(1);
    inbound.receiver_exit(2);
    assert_eq!(inbound.credits_due(), [(B, 4, credit(0, 0, cost(LARGE)))]);
}

#[test]
fn what_is_unread_counts_until_it_is_taken() {
    let mut inbound = small();
    for to in 1..4 {
        frame(&mut inbound, A, request(to, LARGE), 0).unwrap();
        large(&mut inbound, A, 9, to, LARGE).unwrap();
    }
    assert_eq!(inbound.receiver_exit(1), [A]);
    inbound.link_down(A);
    inbound.link_up(A, 3);
    assert_eq!(inbound.reserved(), 3 * cost(LARGE));
    assert_eq!(frame(&mut inbound, A, request(2, LARGE), 0), NOTHING);
    // The window of the old link is not that of the new one.
    let granted = inbound.taken(window(A, 2), 1, cost(LARGE));
    assert_eq!(granted, [(A, 2, credit(0, 0, cost(LARGE)))]);
    assert_eq!(inbound.taken(window(A, 2), 1, cost(LARGE)), []);
    assert_eq!(inbound.taken(window(A, 1), 1, cost(LARGE)), []);
    assert_eq!(inbound.taken(window(A, 3), 1, cost(LARGE) - 1), []);
    assert_eq!(inbound.taken(window(A, 3), 1, 5), []);
    inbound.link_down(A);
    assert_eq!(inbound.reserved(), 0);
}

#[test]
fn pieces_of_a_receiver_that_exits_are_dropped() {
    let mut inbound = inbound();
    let alive = std::cell::Cell::new(true);
    let mut frame = |header, len| inbound.frame(A, header, &vec![0; len], &|_| alive.get());
    assert_eq!(frame(first(1, 2, 70_000), FRAGMENT), NOTHING);
    assert_eq!(frame(message(3, 2), 9).unwrap().1, None);
    alive.set(false);
    assert_eq!(inbound.receiver_exit(2), [A]);
    assert_eq!(inbound.reserved(), cost(9));
    let mut frame = |header, len| inbound.frame(A, header, &vec![0; len], &|_| alive.get());
    assert_eq!(frame(more(1, 2), 70_000 - FRAGMENT), NOTHING);
    assert_eq!(frame(first(1, 2, 70_000), FRAGMENT), NOTHING);
}

#[test]
fn a_peer_cannot_keep_many_messages_in_pieces() {
    let mut inbound = inbound();
    for to in 0..MAX_STREAMS as u64 {
        let answer = inbound.frame(A, first(1, to, 80_000), b"x", &|_| true);
        assert_eq!(answer, NOTHING);
    }
    let one_more = inbound.frame(A, first(1, 5000, 80_000), b"x", &|_| true);
    assert_eq!(one_more, Err(Violation("too many messages in pieces")));
    assert_eq!(inbound.frame(B, first(1, 5000, 80_000), b"x", &|_| true), NOTHING);
}

#[test]
fn the_largest_payload_fits_into_any_memory() {
    for memory in [0, LARGE, 2 * LARGE] {
        let mut inbound = with(&Limits { message: LARGE, memory, ..Limits::default() });
        let (_, granted) = frame(&mut inbound, A, request(1, LARGE), 0).unwrap();
        assert!(granted.is_some());
        Stream::new(B, 1).run(&mut inbound, 1000, 1000);
    }
}
