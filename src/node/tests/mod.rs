//! Tests of the room: queues and callbacks driven by hand, then processes on nodes with an engine.

mod backlog;
mod delivery;
mod dispatch;
mod group;
mod inbox;
mod lock;
mod observe;
mod process;
mod queue;
mod resolver;

use super::{Completion, Delivery, Event, Node, Options, Process, Queue, Result};
use crate::model::Status;
use std::sync::Arc;

/// Long enough for anything that happens; a test that needs it has failed.
const LONG: i64 = 20_000;

/// A node driven by hand: what the engine would say is applied with the second.
fn by_hand() -> (Node, Delivery) {
    by_hand_with(&[])
}

fn by_hand_with(options: &[(&str, &str)]) -> (Node, Delivery) {
    let node = Node::without_thread(&options_of(options)).unwrap();
    let delivery = Delivery::new(node.shared().clone());
    (node, delivery)
}

fn options_of(set: &[(&str, &str)]) -> Options {
    let mut options = Options::new();
    options.set("cluster", &crate::testing::cluster()).unwrap();
    set.iter().for_each(|(key, value)| options.set(key, value).unwrap());
    options
}

/// A queue, a process on it that receives, and one with a mailbox that sends.
fn on_queue(node: &Node) -> (Queue, Process, Process) {
    let queue = Queue::new(node).unwrap();
    let receiver = Process::spawn(node, Some(&queue)).unwrap();
    let sender = Process::spawn(node, None).unwrap();
    (queue, receiver, sender)
}

fn status<T>(result: Result<T>) -> Status {
    result.map(|_| Status::Ok).unwrap_or_else(|error| error.status)
}

fn text(event: &Arc<Event>) -> String {
    String::from_utf8_lossy(event.payload().unwrap_or_default()).into_owned()
}

/// Registers the name for the process and waits for the answer.
fn register(process: &Process, name: &[u8]) -> Status {
    status(process.register(name, None, None, false, LONG, Completion::Wait))
}
