//! Groups, with what the engine would say given by hand.

use super::*;
use crate::flow::MAX_WINDOW;
use crate::model::{ConnectionId, Effect, Members, Name, NodeId, Pid, Reason};
use crate::node::{EventKind, Field};
use std::collections::BTreeMap;

const PEER: NodeId = NodeId(2);

fn far(serial: u64) -> Pid {
    Pid { node: PEER, serial }
}

fn publish(delivery: &mut Delivery, group: &[u8], local: &[Pid], others: &[Pid]) {
    let members = Members::new(local.to_vec(), others.to_vec());
    delivery.apply(Effect::PublishGroups { groups: vec![(Name::new(group), Some(members))] });
}

fn link(delivery: &mut Delivery, message_limit: u64) {
    let (name, address) = ("peer".to_owned(), "127.0.0.1:9".to_owned());
    let connection = Some(ConnectionId(1));
    delivery.apply(Effect::PublishPeer { node: PEER, name, address, connection, message_limit });
}

fn count(node: &Node, group: &[u8], rounds: u32) -> BTreeMap<Pid, u32> {
    let mut counts = BTreeMap::new();
    (0..rounds).for_each(|_| *counts.entry(node.closest(group).unwrap()).or_default() += 1);
    counts
}

#[test]
fn members_are_read_as_published() {
    let (node, mut delivery) = by_hand();
    let here = Process::spawn(&node, None).unwrap().pid();
    for read in [Node::members, Node::local_members] {
        assert_eq!(status(read(&node, b"g")), Status::NotFound);
    }
    publish(&mut delivery, b"g", &[here, here], &[far(1), far(2)]);
    publish(&mut delivery, b"empty", &[], &[]);
    let all = node.members(b"g").unwrap();
    assert_eq!(all.pids().unwrap(), [here, here, far(1), far(2)]);
    assert_eq!((all.len(), all.pid(3), all.pid(4), all.name(0)), (4, Some(far(2)), None, None));
    let local = node.local_members(b"g").unwrap();
    assert_eq!((local.pids().unwrap(), local.len(), local.pid(2)), (&[here, here][..], 2, None));
    let groups = node.groups().unwrap();
    assert_eq!((groups.len(), groups.name(0), groups.name(1)), (2, Some(&b"empty"[..]), Some(&b"g"[..])));
    assert_eq!((groups.u64(0, Field::Count), groups.u64(1, Field::Count)), (Some(0), Some(4)));
    assert!(groups.pids().is_none());
    assert_eq!(node.stats().groups, 2);
    let empty = node.members(b"empty").unwrap();
    assert!(empty.is_empty() && empty.pids().unwrap().is_empty());
    delivery.apply(Effect::PublishGroups { groups: vec![(Name::new(b"g"), None)] });
    assert_eq!(status(node.members(b"g")), Status::NotFound);
    assert_eq!(all.pids().unwrap().len(), 4, "a list does not change");
    node.shut();
    for read in [Node::members, Node::local_members] {
        assert_eq!(status(read(&node, b"empty")), Status::Closed);
    }
    assert_eq!(status(node.closest(b"empty")), Status::Closed);
    assert_eq!(status(node.groups()), Status::Closed);
}

#[test]
fn a_member_of_this_node_that_has_ended_is_none_at_once() {
    let (node, mut delivery) = by_hand();
    let (one, two) = (Process::spawn(&node, None).unwrap(), Process::spawn(&node, None).unwrap());
    publish(&mut delivery, b"g", &[one.pid(), one.pid(), two.pid()], &[far(1)]);
    one.exit(Reason::NORMAL, b"").unwrap();
    assert_eq!(node.members(b"g").unwrap().pids().unwrap(), [two.pid(), far(1)]);
    assert_eq!(node.local_members(b"g").unwrap().pids().unwrap(), [two.pid()]);
    assert_eq!(count(&node, b"g", 50).into_keys().collect::<Vec<_>>(), [two.pid()]);
    two.free();
    assert_eq!(node.closest(b"g").unwrap(), far(1));
    publish(&mut delivery, b"h", &[one.pid()], &[]);
    assert_eq!(status(node.closest(b"h")), Status::NoProcess);
    // The engine has caught up: tables first, then the end of the process.
    publish(&mut delivery, b"g", &[], &[far(1)]);
    publish(&mut delivery, b"h", &[], &[]);
    for process in [&one, &two] {
        delivery.apply(Effect::ProcessGone { process: process.pid().serial });
    }
    assert!(!node.shared().processes.any_dying());
    assert_eq!(node.members(b"g").unwrap().pids().unwrap(), [far(1)]);
}

#[test]
fn the_closest_is_a_local_one_and_every_entry_is_as_likely() {
    const ROUNDS: u32 = 30_000;
    let (node, mut delivery) = by_hand();
    let (one, two) = (Process::spawn(&node, None).unwrap().pid(), Process::spawn(&node, None).unwrap().pid());
    assert_eq!(status(node.closest(b"g")), Status::NotFound);
    publish(&mut delivery, b"g", &[], &[]);
    assert_eq!(status(node.closest(b"g")), Status::NoProcess);
    // Ten standard deviations and more on either side.
    let about = |count: u32, expected: u32| count.abs_diff(expected) < 1200;
    publish(&mut delivery, b"g", &[one, one, two], &[far(1)]);
    let counts = count(&node, b"g", ROUNDS);
    assert!(counts.len() == 2 && about(counts[&one], 20_000) && about(counts[&two], 10_000), "{counts:?}");
    publish(&mut delivery, b"g", &[], &[far(1), far(2), far(2)]);
    let counts = count(&node, b"g", ROUNDS);
    assert!(counts.len() == 2 && about(counts[&far(2)], 20_000), "{counts:?}");
}

#[test]
fn a_message_goes_once_to_every_member() {
    let (node, mut delivery) = by_hand();
    let (queue, sender, other) = on_queue(&node);
    assert_eq!(status(sender.group_send(b"g", b"x")), Status::NotFound);
    publish(&mut delivery, b"g", &[], &[]);
    assert_eq!(sender.group_send(b"g", b"x").unwrap().accepted, 0);
    link(&mut delivery, 100);
    let gone = Pid { node: node.id(), serial: 999 };
    let cut_off = Pid { node: NodeId(3), serial: 1 };
    let local = [sender.pid(), other.pid(), other.pid(), gone];
    publish(&mut delivery, b"g", &local, &[far(1), far(1), far(2), cut_off]);
    let sent = sender.group_send(b"g", b"hello").unwrap();
    assert_eq!((sent.accepted, sent.refused), (4, None));
    assert_eq!(text(&queue.next(0).unwrap()), "hello");
    let event = other.recv(0).unwrap();
    assert_eq!((text(&event), event.peer()), ("hello".to_owned(), Some(sender.pid())));
    assert_eq!(status(other.recv(0)), Status::Timeout, "once");
    assert_eq!(node.stats().messages_sent, 4);

    let sent = sender.group_send(b"g", &[7; 101]).unwrap();
    assert_eq!((sent.accepted, sent.refused.unwrap().status), (2, Status::TooBig), "for the peer");
    assert_eq!(status(sender.group_send(b"g", &vec![0; (16 << 20) + 1])), Status::TooBig);
    sender.exit(Reason::NORMAL, b"").unwrap();
    assert_eq!(status(sender.group_send(b"g", b"x")), Status::NoProcess);
}

#[test]
fn a_full_member_is_told_of_and_the_others_get_the_message() {
    let (node, mut delivery) = by_hand();
    let (_queue, _, sender) = on_queue(&node);
    let [full, free] = [0, 1].map(|_| Process::spawn(&node, None).unwrap());
    for _ in 0..MAX_WINDOW.messages {
        sender.send(full.pid(), b"").unwrap();
    }
    link(&mut delivery, 0);
    publish(&mut delivery, b"g", &[full.pid(), free.pid()], &[far(1)]);
    let sent = sender.group_send(b"g", b"x").unwrap();
    assert_eq!((sent.accepted, sent.refused.unwrap().status), (1, Status::Full), "before TooBig");
    assert_eq!(text(&free.recv(0).unwrap()), "x");
    for _ in 0..MAX_WINDOW.messages {
        full.recv(0).unwrap();
    }
    let event = sender.recv(0).unwrap();
    assert_eq!((event.kind(), event.peer()), (EventKind::Sendable, Some(full.pid())));
}
