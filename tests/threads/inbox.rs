//! The node's thread sleeps on the inbox only when nothing is there, and is woken by whatever comes then.

use crate::Model;
use crate::flow::Window;
use crate::model::{Command, ConnectionId, NodeId};
use crate::node::{Inbox, Request};
use crate::sync::thread;
use std::sync::Arc;

pub(crate) const MODELS: &[Model] = &[
    ("inbox: nothing that is pushed is slept over", nothing_is_slept_over),
    ("inbox: a report is not slept over when room is wanted", a_report_is_not_slept_over),
];

fn command(process: u64) -> Request {
    Request::Command { command: Command::Spawn { process }, reply: None }
}

/// The loop of the node's thread, until so much has come. Sleeps on the edge of the eventfd, as the driver does.
fn serve(inbox: &Inbox, mut requests: usize, mut pokes: usize) {
    let mut seen = 0;
    let (mut taken, mut dirty) = (Vec::new(), Vec::new());
    loop {
        inbox.awake();
        inbox.drain_dirty(&mut dirty);
        pokes -= dirty.drain(..).count();
        inbox.drain(&mut taken);
        requests -= taken.drain(..).count();
        if requests == 0 && pokes == 0 {
            return;
        }
        if inbox.prepare_sleep() {
            seen = inbox.event_fd().wait_edge(seen);
        }
    }
}

fn nothing_is_slept_over() {
    let inbox = Arc::new(Inbox::new().unwrap());
    let callers: Vec<_> = (0..2)
        .map(|caller| {
            let inbox = inbox.clone();
            thread::spawn(move || {
                inbox.push(command(caller)).unwrap();
                inbox.poke(ConnectionId(caller));
                inbox.push(command(caller)).unwrap();
            })
        })
        .collect();
    serve(&inbox, 4, 2);
    callers.into_iter().for_each(|caller| caller.join().unwrap());
}

/// A small report wakes nobody, unless another node waits for room: the thread learns of that before it sleeps.
fn a_report_is_not_slept_over() {
    let inbox = Arc::new(Inbox::new().unwrap());
    inbox.set_room_wanted(true);
    let reader = {
        let inbox = inbox.clone();
        thread::spawn(move || {
            for to in 1..3 {
                let window = Window { from: NodeId(1), link: 1, to };
                inbox.push(Request::Taken { window, messages: 1, bytes: 129 }).unwrap();
            }
        })
    };
    serve(&inbox, 2, 0);
    reader.join().unwrap();
}
