use super::*;
use crate::model::{Effect, Reason};
use crate::node::EventKind;
use std::sync::Barrier;
use std::time::{Duration, Instant};

fn is_readable(queue: &Queue) -> bool {
    queue.core.fd().unwrap().wait(Some(Instant::now()))
}

/// Waits until `count` threads sleep on the queue.
fn await_sleepers(queue: &Queue, count: u32) {
    while queue.core.lock().sleepers() != count {
        std::thread::yield_now();
    }
}

#[test]
fn the_descriptor_is_readable_exactly_while_something_waits() {
    let (node, _delivery) = by_hand();
    let (queue, receiver, sender) = on_queue(&node);
    sender.send(receiver.pid(), b"1").unwrap();
    assert!(!is_readable(&queue), "nobody looks, so nothing is written");
    queue.fd().unwrap();
    assert!(is_readable(&queue), "asked for late");
    sender.send(receiver.pid(), b"2").unwrap();
    assert_eq!(text(&queue.next(0).unwrap()), "1");
    assert!(is_readable(&queue), "level triggered");
    assert_eq!(text(&queue.next(0).unwrap()), "2");
    assert!(!is_readable(&queue));
    assert_eq!(status(queue.next(0)), Status::Timeout);
    for round in 0..100 {
        sender.send(receiver.pid(), b"x").unwrap();
        assert!(is_readable(&queue), "{round}");
        queue.next(-1).unwrap();
        assert!(!is_readable(&queue), "{round}");
    }
}

#[test]
fn next_waits_until_its_deadline() {
    let (node, _delivery) = by_hand();
    let (queue, ..) = on_queue(&node);
    let begin = Instant::now();
    assert_eq!(status(queue.next(30)), Status::Timeout);
    assert!(begin.elapsed() >= Duration::from_millis(30));
    assert_eq!(status(queue.next(-2)), Status::Invalid);
    assert!(!is_readable(&queue));
}

#[test]
fn a_blocked_next_gets_what_comes() {
    let (node, _delivery) = by_hand();
    let (queue, receiver, sender) = on_queue(&node);
    std::thread::scope(|scope| {
        let blocked: Vec<_> = (0..3).map(|_| scope.spawn(|| text(&queue.next(-1).unwrap()))).collect();
        await_sleepers(&queue, 3);
        for message in ["a", "b", "c"] {
            sender.send(receiver.pid(), message.as_bytes()).unwrap();
        }
        let mut got: Vec<_> = blocked.into_iter().map(|thread| thread.join().unwrap()).collect();
        got.sort();
        assert_eq!(got, ["a", "b", "c"]);
    });
}

#[test]
fn wake_ends_one_wait_and_shows_on_the_descriptor() {
    let (node, _delivery) = by_hand();
    let (queue, receiver, sender) = on_queue(&node);
    std::thread::scope(|scope| {
        let blocked = scope.spawn(|| queue.next(-1).unwrap_err());
        await_sleepers(&queue, 1);
        queue.wake();
        assert_eq!(blocked.join().unwrap().status, Status::Timeout);
    });
    // Nobody waits: it counts for the next wait, twice is once.
    queue.fd().unwrap();
    queue.wake();
    queue.wake();
    assert!(is_readable(&queue));
    assert_eq!(status(queue.next(-1)), Status::Timeout);
    assert!(!is_readable(&queue));
    assert_eq!(status(queue.next(5)), Status::Timeout);
    // An event goes before it.
    queue.wake();
    sender.send(receiver.pid(), b"x").unwrap();
    assert_eq!(text(&queue.next(-1).unwrap()), "x");
    assert!(is_readable(&queue));
    assert_eq!(status(queue.dispatch(1, -1)), Status::Timeout);
    assert!(!is_readable(&queue));
}

#[test]
fn wakes_and_messages_from_many_threads_leave_the_descriptor_right() {
    let (node, _delivery) = by_hand();
    let (queue, receiver, sender) = on_queue(&node);
    queue.fd().unwrap();
    const EACH: usize = 2_000;
    let begin = Barrier::new(3);
    let mut got = 0;
    std::thread::scope(|scope| {
        let wakes = scope.spawn(|| {
            begin.wait();
            (0..EACH).for_each(|_| queue.wake());
        });
        let sends = scope.spawn(|| {
            begin.wait();
            (0..EACH).for_each(|_| sender.send(receiver.pid(), b"x").unwrap());
        });
        begin.wait();
        while got < EACH {
            got += usize::from(queue.next(-1).is_ok());
        }
        // Joined one by one: ThreadSanitizer does not see how a scope waits.
        wakes.join().unwrap();
        sends.join().unwrap();
    });
    // At most the last wakes are left.
    let _ = queue.next(0);
    assert_eq!(status(queue.next(0)), Status::Timeout);
    assert!(!is_readable(&queue));
}

#[test]
fn freeing_ends_every_wait_and_drops_what_waits() {
    let (node, _delivery) = by_hand();
    let (queue, receiver, sender) = on_queue(&node);
    std::thread::scope(|scope| {
        let blocked: Vec<_> = (0..2).map(|_| scope.spawn(|| status(queue.next(-1)))).collect();
        let dispatching = scope.spawn(|| status(queue.dispatch(0, -1)));
        await_sleepers(&queue, 3);
        queue.close();
        for thread in blocked.into_iter().chain([dispatching]) {
            assert_eq!(thread.join().unwrap(), Status::Closed);
        }
    });
    queue.close();
    sender.send(receiver.pid(), b"nobody will read it").unwrap();
    assert_eq!(node.stats().dropped, 1);
    assert_eq!(status(queue.fd()), Status::Closed);
    assert_eq!(status(queue.set_handler(None)), Status::Closed);
    assert_eq!(status(queue.start_thread()), Status::Closed);
    assert_eq!(status(Process::spawn(&node, Some(&queue))), Status::Closed);
    queue.wake();
}

#[test]
fn a_closed_node_hands_out_what_waits_then_one_last_event_then_closed() {
    let (node, mut delivery) = by_hand();
    let (queue, receiver, sender) = on_queue(&node);
    let other = Queue::new(&node).unwrap();
    let monitor = receiver.monitor(sender.pid()).unwrap();
    let event = crate::model::Event::Exit {
        reference: monitor,
        pid: sender.pid(),
        reason: Reason::KILLED,
        data: Default::default(),
        by: None,
    };
    delivery.apply(Effect::Notify { process: receiver.pid().serial, event });
    std::thread::scope(|scope| {
        let blocked: Vec<_> = (0..2).map(|_| scope.spawn(|| other.next(-1).map(|e| e.kind()))).collect();
        await_sleepers(&other, 2);
        delivery.apply(Effect::Closed { reason: Reason::NAME_TAKEN });
        let mut ends: Vec<_> = blocked.into_iter().map(|t| t.join().unwrap().map_err(|e| e.status)).collect();
        ends.sort_by_key(Result::is_err);
        assert_eq!(ends, [Ok(EventKind::NodeClosed), Err(Status::Closed)]);
    });
    assert_eq!(queue.next(-1).unwrap().kind(), EventKind::Exit);
    let last = queue.next(-1).unwrap();
    assert_eq!(
        (last.kind(), last.process(), last.reason()),
        (EventKind::NodeClosed, None, Reason::NAME_TAKEN)
    );
    assert_eq!(status(queue.next(-1)), Status::Closed);
    assert_eq!(status(queue.dispatch(0, -1)), Status::Closed);
    assert_eq!(status(Queue::new(&node)), Status::Closed);
    // A mailbox too.
    assert_eq!(sender.recv(-1).unwrap().kind(), EventKind::NodeClosed);
    assert_eq!(status(sender.recv(-1)), Status::Closed);
    assert_eq!(status(sender.send(receiver.pid(), b"")), Status::Closed);
}

#[test]
fn queues_of_another_node_are_refused() {
    let (one, _one) = by_hand();
    let (two, _two) = by_hand();
    let queue = Queue::new(&one).unwrap();
    assert_eq!(status(Process::spawn(&two, Some(&queue))), Status::Invalid);
}
