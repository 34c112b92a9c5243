use super::*;
use crate::node::Handler;
use crate::node::shared::lock;
use crate::os::thread_number;
use crate::sync::Mutex;
use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};

/// Counts how often it is dropped.
struct Counted(Arc<AtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

fn logger(log: &Arc<Mutex<Vec<String>>>, prefix: &'static str, drops: &Arc<AtomicUsize>) -> Handler {
    let (log, counted) = (log.clone(), Counted(drops.clone()));
    Box::new(move |event| {
        let _held = &counted;
        lock(&log).push(format!("{prefix}{}", text(event)));
    })
}

fn sends(log: Sender<String>) -> Handler {
    let log = Mutex::new(log);
    Box::new(move |event| {
        // The test may be over before the last event.
        let _ = lock(&log).send(text(event));
    })
}

#[test]
fn handlers_of_processes_override_the_queue_s() {
    let (node, _delivery) = by_hand();
    let (queue, receiver, sender) = on_queue(&node);
    let other = Process::spawn(&node, Some(&queue)).unwrap();
    let (log, drops) = (Arc::default(), Arc::default());
    queue.set_handler(Some(logger(&log, "queue ", &drops))).unwrap();
    other.set_handler(Some(logger(&log, "own ", &drops))).unwrap();
    for (to, message) in [(&receiver, "1"), (&other, "2"), (&receiver, "3")] {
        sender.send(to.pid(), message.as_bytes()).unwrap();
    }
    assert_eq!(queue.dispatch(2, 0).unwrap(), 2);
    assert_eq!(queue.dispatch(0, 0).unwrap(), 1);
    assert_eq!(status(queue.dispatch(0, 0)), Status::Timeout);
    assert_eq!(*lock(&log), ["queue 1", "own 2", "queue 3"]);
    other.free();
    assert_eq!(drops.load(Ordering::SeqCst), 1);
    queue.close();
    assert_eq!(drops.load(Ordering::SeqCst), 2);
    let error = queue.set_handler(Some(logger(&log, "late ", &drops)));
    assert_eq!(status(error), Status::Closed);
    assert_eq!(drops.load(Ordering::SeqCst), 3, "dropped also when the registration fails");
    assert_eq!(status(sender.set_handler(Some(logger(&log, "mailbox ", &drops)))), Status::State);
    assert_eq!(status(other.set_handler(Some(logger(&log, "dead ", &drops)))), Status::NoProcess);
    assert_eq!(drops.load(Ordering::SeqCst), 5);
}

#[test]
fn an_event_without_a_handler_stays_for_next() {
    let (node, _delivery) = by_hand();
    let (queue, receiver, sender) = on_queue(&node);
    sender.send(receiver.pid(), b"1").unwrap();
    assert_eq!(status(queue.dispatch(0, -1)), Status::State);
    assert_eq!(text(&queue.next(0).unwrap()), "1");
}

#[test]
fn a_handler_may_replace_and_free_itself() {
    let (node, _delivery) = by_hand();
    let (queue, receiver, sender) = on_queue(&node);
    let (log, old_drops, new_drops) = (Arc::default(), Arc::<AtomicUsize>::default(), Arc::default());
    let replacement = Mutex::new(Some(logger(&log, "new ", &new_drops)));
    let (counted, me, seen) = (Counted(old_drops.clone()), queue.clone(), old_drops.clone());
    let handler: Handler = Box::new(move |_| {
        let _held = &counted;
        me.set_handler(lock(&replacement).take()).unwrap();
        assert_eq!(seen.load(Ordering::SeqCst), 0, "not while it is being called");
        assert_eq!(status(me.dispatch(1, 0)), Status::WouldDeadlock);
        assert_eq!(status(me.stop_thread(-1)), Status::Ok, "there is no thread");
    });
    queue.set_handler(Some(handler)).unwrap();
    for message in ["1", "2", "3", "4"] {
        sender.send(receiver.pid(), message.as_bytes()).unwrap();
    }
    assert_eq!(queue.dispatch(2, 0).unwrap(), 2);
    assert_eq!(old_drops.load(Ordering::SeqCst), 1);
    assert_eq!(*lock(&log), ["new 2"]);

    // Frees the process, then the queue, from inside.
    let (counted, me, process) = (Counted(old_drops.clone()), queue.clone(), receiver.clone());
    let handler: Handler = Box::new(move |_| {
        let _held = &counted;
        process.free();
        me.close();
    });
    receiver.set_handler(Some(handler)).unwrap();
    assert_eq!(queue.dispatch(0, 0).unwrap(), 1);
    assert_eq!((old_drops.load(Ordering::SeqCst), new_drops.load(Ordering::SeqCst)), (2, 1));
    assert_eq!(status(queue.dispatch(0, 0)), Status::Closed);
}

#[test]
fn callbacks_of_one_queue_never_overlap() {
    let (node, _delivery) = by_hand();
    let (queue, receiver, sender) = on_queue(&node);
    let inside = AtomicUsize::new(0);
    let calls = Arc::new(AtomicUsize::new(0));
    let (entered, counter) = (Arc::new(inside), calls.clone());
    let handler: Handler = Box::new(move |_| {
        assert_eq!(entered.fetch_add(1, Ordering::SeqCst), 0, "two at once");
        std::thread::yield_now();
        entered.fetch_sub(1, Ordering::SeqCst);
        counter.fetch_add(1, Ordering::SeqCst);
    });
    queue.set_handler(Some(handler)).unwrap();
    const EVENTS: usize = 3_000;
    for _ in 0..EVENTS {
        sender.send(receiver.pid(), b"").unwrap();
    }
    queue.start_thread().unwrap();
    std::thread::scope(|scope| {
        let dispatch = |_| scope.spawn(|| while queue.dispatch(3, 0).is_ok() {});
        let threads: Vec<_> = (0..2).map(dispatch).collect();
        while calls.load(Ordering::SeqCst) < EVENTS {
            std::thread::yield_now();
        }
        // Joined one by one: ThreadSanitizer does not see how a scope waits.
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    });
    queue.stop_thread(-1).unwrap();
}

#[test]
fn the_second_dispatcher_waits_its_turn_until_its_deadline() {
    let (node, _delivery) = by_hand();
    let (queue, receiver, sender) = on_queue(&node);
    let (inside, leave) = (Arc::new(Barrier::new(2)), Arc::new(Barrier::new(2)));
    let (entered, left) = (inside.clone(), leave.clone());
    let first = AtomicUsize::new(0);
    let handler: Handler = Box::new(move |_| {
        if first.fetch_add(1, Ordering::SeqCst) == 0 {
            entered.wait();
            left.wait();
        }
    });
    queue.set_handler(Some(handler)).unwrap();
    sender.send(receiver.pid(), b"1").unwrap();
    sender.send(receiver.pid(), b"2").unwrap();
    std::thread::scope(|scope| {
        let busy = scope.spawn(|| queue.dispatch(1, -1));
        inside.wait();
        assert_eq!(status(queue.dispatch(1, 0)), Status::Timeout);
        assert_eq!(status(queue.dispatch(1, 10)), Status::Timeout);
        assert_eq!(text(&queue.next(0).unwrap()), "2", "pulling needs no turn");
        sender.send(receiver.pid(), b"3").unwrap();
        let waiting = scope.spawn(|| queue.dispatch(1, -1));
        leave.wait();
        assert_eq!((busy.join().unwrap().unwrap(), waiting.join().unwrap().unwrap()), (1, 1));
    });
}

#[test]
fn the_library_s_thread_dispatches_and_stops() {
    let (node, _delivery) = by_hand();
    let (queue, receiver, sender) = on_queue(&node);
    let (log, events) = channel();
    queue.set_handler(Some(sends(log))).unwrap();
    queue.start_thread().unwrap();
    assert_eq!(status(queue.start_thread()), Status::State);
    for message in ["1", "2"] {
        sender.send(receiver.pid(), message.as_bytes()).unwrap();
        assert_eq!(events.recv().unwrap(), message);
    }
    queue.wake();
    queue.stop_thread(-1).unwrap();
    queue.stop_thread(0).unwrap();
    sender.send(receiver.pid(), b"3").unwrap();
    assert!(events.try_recv().is_err());
    queue.start_thread().unwrap();
    assert_eq!(events.recv().unwrap(), "3");
    queue.close();
    queue.stop_thread(LONG).unwrap();
}

#[test]
fn the_library_s_thread_cannot_wait_for_itself() {
    let (node, _delivery) = by_hand();
    let (queue, receiver, sender) = on_queue(&node);
    let (log, events) = channel();
    let (log, me) = (Mutex::new(log), queue.clone());
    let host = thread_number();
    let handler: Handler = Box::new(move |_| {
        assert_ne!(thread_number(), host);
        let name = std::thread::current().name().map(str::to_owned);
        lock(&log).send((name, status(me.stop_thread(-1)))).unwrap();
    });
    queue.set_handler(Some(handler)).unwrap();
    queue.start_thread().unwrap();
    sender.send(receiver.pid(), b"").unwrap();
    assert_eq!(events.recv().unwrap(), (Some("convoke/queue".to_owned()), Status::WouldDeadlock));
    // It ends after the callback, so that it can be started again.
    queue.stop_thread(-1).unwrap();
    queue.start_thread().unwrap();
    queue.stop_thread(-1).unwrap();
    queue.close();
}

#[test]
fn a_running_callback_makes_stop_time_out() {
    let (node, _delivery) = by_hand();
    let (queue, receiver, sender) = on_queue(&node);
    let (inside, leave) = (Arc::new(Barrier::new(2)), Arc::new(Barrier::new(2)));
    let (entered, left) = (inside.clone(), leave.clone());
    queue
        .set_handler(Some(Box::new(move |_| {
            entered.wait();
            left.wait();
        })))
        .unwrap();
    queue.start_thread().unwrap();
    sender.send(receiver.pid(), b"").unwrap();
    inside.wait();
    assert_eq!(status(queue.stop_thread(0)), Status::Timeout);
    assert_eq!(status(queue.stop_thread(5)), Status::Timeout);
    leave.wait();
    queue.stop_thread(-1).unwrap();
}

#[test]
fn the_library_s_thread_waits_for_a_handler() {
    let (node, _delivery) = by_hand();
    let (queue, receiver, sender) = on_queue(&node);
    let other = Process::spawn(&node, Some(&queue)).unwrap();
    let (log, events) = channel();
    other.set_handler(Some(sends(log.clone()))).unwrap();
    queue.start_thread().unwrap();
    sender.send(receiver.pid(), b"unhandled").unwrap();
    sender.send(other.pid(), b"behind").unwrap();
    while !queue.core.lock().dispatching.stalled {
        std::thread::yield_now();
    }
    // Taken in another way: what is behind it goes on.
    assert_eq!(text(&queue.next(0).unwrap()), "unhandled");
    assert_eq!(events.recv().unwrap(), "behind");
    // A handler is set.
    sender.send(receiver.pid(), b"late").unwrap();
    receiver.set_handler(Some(sends(log))).unwrap();
    assert_eq!(events.recv().unwrap(), "late");
    // Nobody will ever want it.
    receiver.set_handler(None).unwrap();
    sender.send(receiver.pid(), b"orphan").unwrap();
    sender.send(other.pid(), b"next").unwrap();
    receiver.free();
    assert_eq!(events.recv().unwrap(), "next");
    queue.stop_thread(-1).unwrap();
}

#[test]
fn the_library_s_thread_ends_with_the_node() {
    let (node, mut delivery) = by_hand();
    let (queue, receiver, sender) = on_queue(&node);
    let (log, events) = channel();
    queue.set_handler(Some(sends(log))).unwrap();
    sender.send(receiver.pid(), b"").unwrap();
    queue.start_thread().unwrap();
    events.recv().unwrap();
    delivery.fail_all(Status::Internal);
    events.recv().unwrap();
    while queue.core.lock().dispatching.thread_runs() {
        std::thread::yield_now();
    }
    queue.stop_thread(0).unwrap();
}

#[test]
fn a_panicking_handler_gives_the_turn_up() {
    let (node, _delivery) = by_hand();
    let (queue, receiver, sender) = on_queue(&node);
    queue.set_handler(Some(Box::new(|event| assert_ne!(text(event), "panic", "meant to happen")))).unwrap();
    sender.send(receiver.pid(), b"panic").unwrap();
    sender.send(receiver.pid(), b"fine").unwrap();
    let call = std::panic::AssertUnwindSafe(|| queue.dispatch(0, 0));
    assert!(std::panic::catch_unwind(call).is_err());
    assert_eq!(queue.dispatch(0, 0).unwrap(), 1);
}
