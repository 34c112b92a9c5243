//! Queues: nobody sleeps while something waits, the descriptor says what is so, callbacks never overlap, and whoever
//! waits leaves when it is over.

use super::Security;
use super::dispatch::Dispatching;
use super::event::Body;
use super::process_core::ProcessCore;
use super::queue_core::{QueueCore, Wait};
use super::shared::Shared;
use crate::Model;
use crate::model::{Config, Event as EngineEvent, NodeId, Pid, Reason, Ref, Status};
use crate::os::EventFd;
use crate::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use crate::sync::thread;
use std::sync::Arc;
use std::time::Duration;

pub(crate) const MODELS: &[Model] = &[
    ("queue: two readers and two writers", two_readers_and_two_writers),
    ("queue: a wake is not lost beside an event", a_wake_is_not_lost),
    ("queue: the descriptor is readable while something waits", the_descriptor_says_what_is_so),
    ("queue: readers leave when it is freed", || readers_leave(false)),
    ("queue: readers leave when the node is closed", || readers_leave(true)),
    ("queue: callbacks of two threads do not overlap", callbacks_do_not_overlap),
    ("queue: its thread calls all handlers and stops", its_thread_stops),
    ("queue: its thread waits for a handler", its_thread_waits_for_a_handler),
];

/// A node without a thread.
pub(super) fn shared_with(config: Config) -> Arc<Shared> {
    let security = Security::default();
    Shared::new(config, "blue".to_owned(), security, Duration::from_secs(5)).expect("a node")
}

fn shared() -> Arc<Shared> {
    shared_with(Config::new(NodeId(7), "model"))
}

fn queue() -> Arc<QueueCore> {
    let queue = Arc::new(QueueCore::new());
    queue.fd().expect("a descriptor");
    queue
}

/// An event of no process, with a number.
fn event(number: u64) -> Body {
    Body::Engine(EngineEvent::SnapshotEnd { reference: Ref(number) })
}

fn two_readers_and_two_writers() {
    let queue = queue();
    let writers: Vec<_> = (1..3)
        .map(|number| {
            let queue = queue.clone();
            thread::spawn(move || drop(queue.push(None, event(number))))
        })
        .collect();
    let readers: Vec<_> = (0..2)
        .map(|_| {
            let queue = queue.clone();
            thread::spawn(move || queue.take(&Wait::forever()).expect("an event").0.reference().0)
        })
        .collect();
    writers.into_iter().for_each(|writer| writer.join().unwrap());
    let taken: u64 = readers.into_iter().map(|reader| reader.join().unwrap()).sum();
    assert_eq!((taken, queue.depth()), (1 + 2, 0));
}

fn a_wake_is_not_lost() {
    let queue = queue();
    let (pusher, waker) = (queue.clone(), queue.clone());
    let pusher = thread::spawn(move || drop(pusher.push(None, event(1))));
    let waker = thread::spawn(move || waker.wake());
    let (mut events, mut wakes) = (0, 0);
    while (events, wakes) != (1, 1) {
        match queue.take(&Wait::forever()) {
            Ok(_) => events += 1,
            Err(error) => {
                assert_eq!(error.status, Status::Timeout);
                wakes += 1;
            }
        }
    }
    pusher.join().unwrap();
    waker.join().unwrap();
}

/// An application that polls: it looks into the queue only when the descriptor is readable, and finds all there is.
fn the_descriptor_says_what_is_so() {
    let queue = queue();
    queue.asked_fd().expect("a descriptor");
    let pushers: Vec<_> = (1..3)
        .map(|number| {
            let queue = queue.clone();
            thread::spawn(move || drop(queue.push(None, event(number))))
        })
        .collect();
    let waker = {
        let queue = queue.clone();
        thread::spawn(move || queue.wake())
    };
    let (mut events, mut wakes) = (0, 0);
    while (events, wakes) != (2, 1) {
        queue.fd().expect("a descriptor").wait(None);
        loop {
            match queue.take(&Wait::from_ms(0).expect("a timeout")) {
                Ok(_) => events += 1,
                Err(error) if error.detail == "woken" => wakes += 1,
                Err(_) => break,
            }
        }
    }
    pushers.into_iter().for_each(|pusher| pusher.join().unwrap());
    waker.join().unwrap();
    // A wake that was used up before it was written may be seen once more, and then no more.
    let _ = queue.take(&Wait::from_ms(0).expect("a timeout"));
    assert!(!queue.fd().expect("a descriptor").is_readable(), "nothing waits");
}

fn readers_leave(by_close: bool) {
    let queue = queue();
    let readers: Vec<_> = (0..2)
        .map(|_| {
            let queue = queue.clone();
            thread::spawn(move || {
                let mut events = 0;
                loop {
                    match queue.take(&Wait::forever()) {
                        Ok(_) => events += 1,
                        Err(error) => return (events, error.status),
                    }
                }
            })
        })
        .collect();
    if by_close {
        drop(queue.node_closed(Body::NodeClosed { reason: Reason::NORMAL }));
    } else {
        drop(queue.push(None, event(1)));
        drop(queue.free());
    }
    let left: Vec<(i32, Status)> = readers.into_iter().map(|reader| reader.join().unwrap()).collect();
    let events: i32 = left.iter().map(|(events, _)| events).sum();
    assert!(left.iter().all(|(_, status)| *status == Status::Closed), "{left:?}");
    assert!(if by_close { events == 1 } else { events <= 1 }, "{left:?}");
}

/// A handler that notices another call of it under way, and counts.
fn exclusive(count: Arc<AtomicUsize>) -> super::Handler {
    let busy = AtomicBool::new(false);
    Box::new(move |_| {
        assert!(!busy.swap(true, Ordering::SeqCst), "two callbacks at once");
        count.fetch_add(1, Ordering::SeqCst);
        busy.store(false, Ordering::SeqCst);
    })
}

fn callbacks_do_not_overlap() {
    let (shared, queue, count) = (shared(), queue(), Arc::new(AtomicUsize::new(0)));
    queue.set_handler(Some(exclusive(count.clone()))).expect("a handler");
    let dispatchers: Vec<_> = (0..2)
        .map(|_| {
            let (shared, queue) = (shared.clone(), queue.clone());
            thread::spawn(move || queue.dispatch(&shared, 1, &Wait::forever()).expect("an event"))
        })
        .collect();
    for number in 1..3 {
        drop(queue.push(None, event(number)));
    }
    let calls: u32 = dispatchers.into_iter().map(|dispatcher| dispatcher.join().unwrap()).sum();
    assert_eq!((calls, count.load(Ordering::SeqCst)), (2, 2));
}

fn its_thread_stops() {
    let (shared, queue, count) = (shared(), queue(), Arc::new(AtomicUsize::new(0)));
    queue.set_handler(Some(exclusive(count.clone()))).expect("a handler");
    queue.start_thread(&shared).expect("a thread");
    let pusher = {
        let queue = queue.clone();
        thread::spawn(move || drop(queue.push(None, event(1))))
    };
    queue.wake();
    pusher.join().unwrap();
    queue.stop_thread(&Wait::forever()).expect("it stops");
    // What the thread did not come to is there for the next one.
    let called = count.load(Ordering::SeqCst);
    assert_eq!(called + queue.depth(), 1);
    assert!(matches!(queue.lock().dispatching, Dispatching { .. }));
}

fn its_thread_waits_for_a_handler() {
    let (shared, queue) = (shared(), queue());
    let pid = Pid { node: NodeId(7), serial: 1 };
    let process = Arc::new(ProcessCore::new(pid, queue.clone(), false));
    drop(queue.push(Some(process), event(1)));
    queue.start_thread(&shared).expect("a thread");
    let called = Arc::new(EventFd::new().expect("a descriptor"));
    let setter = {
        let (queue, called) = (queue.clone(), called.clone());
        let handler: super::Handler = Box::new(move |_| called.set());
        thread::spawn(move || queue.set_handler(Some(handler)).expect("a handler"))
    };
    called.wait(None);
    setter.join().unwrap();
    queue.stop_thread(&Wait::forever()).expect("it stops");
    assert_eq!(queue.depth(), 0);
}
