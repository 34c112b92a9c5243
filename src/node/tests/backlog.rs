use crate::model::{Event as EngineEvent, Name, NodeId, Payload, Pid, Reason, Ref};
use crate::node::Event;
use crate::node::backlog::{Backlog, Charge, Content, Entry};
use crate::node::event::{Body, EventKind, Field};
use crate::node::process_core::ProcessCore;
use crate::node::queue_core::{QueueCore, event_of};
use std::sync::Arc;

fn process(serial: u64) -> Arc<ProcessCore> {
    Arc::new(ProcessCore::new(Pid { node: NodeId(1), serial }, Arc::new(QueueCore::new()), true))
}

fn pid(serial: u64) -> Pid {
    Pid { node: NodeId(2), serial }
}

fn push(backlog: &mut Backlog, process: &Arc<ProcessCore>, body: Body) {
    backlog.push(Entry { process: Some(process.clone()), content: Content::System(Box::new(body)) });
}

fn message(backlog: &mut Backlog, process: &Arc<ProcessCore>, text: &str) {
    let payload = Payload::new(text.as_bytes());
    let content = Content::Message { from: pid(1), payload, charge: Charge::Local };
    backlog.push(Entry { process: Some(process.clone()), content });
}

fn changed(reference: u64, old: Option<u64>, new: Option<u64>) -> Body {
    let name = Name::new(b"name");
    Body::Engine(EngineEvent::NameChanged {
        reference: Ref(reference),
        name,
        old: old.map(pid),
        new: new.map(pid),
        changes: 1,
    })
}

fn up(reference: u64, node: u64) -> Body {
    let text = || String::from("n");
    Body::Engine(EngineEvent::NodeUp {
        reference: Ref(reference),
        node: NodeId(node),
        name: text(),
        address: text(),
    })
}

fn down(reference: u64, node: u64) -> Body {
    let text = || String::from("n");
    let (reference, node, reason) = (Ref(reference), NodeId(node), Reason::OS_PROCESS_DIED);
    Body::Engine(EngineEvent::NodeDown { reference, node, name: text(), address: text(), reason, changes: 1 })
}

fn joined(reference: u64, member: u64, old: u64, count: u64) -> Body {
    Body::Engine(EngineEvent::GroupJoined {
        reference: Ref(reference),
        group: Name::new(b"g"),
        pid: pid(member),
        old,
        count,
    })
}

fn left(reference: u64, member: u64, old: u64, count: u64, reason: Reason) -> Body {
    let (reference, group, pid) = (Ref(reference), Name::new(b"g"), pid(member));
    Body::Engine(EngineEvent::GroupLeft { reference, group, pid, old, count, reason })
}

fn wanted(reference: u64, waiter: u64) -> Body {
    let name = || Name::new(b"lock");
    Body::Engine(EngineEvent::LockWanted {
        reference: Ref(reference),
        resource: name(),
        requester: name(),
        waiter: pid(waiter),
    })
}

/// (kind, member, count) of all events.
fn changes(backlog: &mut Backlog) -> Vec<(EventKind, Pid, u64)> {
    let change = |event: Arc<Event>| (event.kind(), event.peer().unwrap(), event.u64(Field::Count).unwrap());
    std::iter::from_fn(|| backlog.pop()).map(|entry| change(event_of(entry))).collect()
}

fn kinds(backlog: &mut Backlog) -> Vec<EventKind> {
    std::iter::from_fn(|| backlog.pop()).map(|entry| event_of(entry).kind()).collect()
}

#[test]
fn unread_changes_of_a_name_become_one_with_the_oldest_old() {
    let (mut backlog, process) = (Backlog::default(), process(1));
    push(&mut backlog, &process, changed(1, None, Some(1)));
    push(&mut backlog, &process, changed(2, None, Some(1)));
    push(&mut backlog, &process, changed(1, Some(1), Some(2)));
    push(&mut backlog, &process, changed(1, Some(2), Some(3)));
    assert_eq!(backlog.len(), 2);
    let event = event_of(backlog.pop().unwrap());
    assert_eq!(event.reference(), Ref(1));
    assert_eq!(event.pid(Field::OldPid), Some(Pid { node: NodeId(0), serial: 0 }));
    assert_eq!((event.peer(), event.u64(Field::Changes)), (Some(pid(3)), Some(3)));
    // Once read, the next change is its own event.
    push(&mut backlog, &process, changed(1, Some(3), None));
    assert_eq!(backlog.len(), 2);
    assert_eq!(event_of(backlog.pop().unwrap()).reference(), Ref(2));
    assert_eq!(event_of(backlog.pop().unwrap()).pid(Field::OldPid), Some(pid(3)));
    assert!(backlog.pop().is_none());
}

/// (kind, node, changes) of all events; 0 for a kind that does not count.
fn nodes(backlog: &mut Backlog) -> Vec<(EventKind, u64, u64)> {
    let told = |event: Arc<Event>| {
        (event.kind(), event.u64(Field::Node).unwrap(), event.u64(Field::Changes).unwrap_or(0))
    };
    std::iter::from_fn(|| backlog.pop()).map(|entry| told(event_of(entry))).collect()
}

/// "A node that came and went in between leaves a trace": one for all such nodes, which counts them.
#[test]
fn nodes_that_came_and_went_unread_leave_one_trace() {
    use EventKind::{NodeDown, NodeUp};
    let (mut backlog, process) = (Backlog::default(), process(1));
    push(&mut backlog, &process, up(1, 5));
    push(&mut backlog, &process, up(2, 5));
    push(&mut backlog, &process, up(1, 6));
    push(&mut backlog, &process, down(1, 5));
    assert_eq!(backlog.len(), 3, "the other monitor and the other node keep theirs");
    assert_eq!(nodes(&mut backlog), [(NodeUp, 5, 0), (NodeUp, 6, 0), (NodeDown, 5, 2)]);
    // Read: then its going is news, and what happens in between is counted behind it.
    push(&mut backlog, &process, down(1, 6));
    push(&mut backlog, &process, up(1, 6));
    push(&mut backlog, &process, down(1, 6));
    assert_eq!(nodes(&mut backlog), [(NodeDown, 6, 1), (NodeDown, 6, 2)]);
    // Of many the last is named, where it went.
    for node in 7..10 {
        push(&mut backlog, &process, up(1, node));
        push(&mut backlog, &process, up(2, node));
        push(&mut backlog, &process, down(1, node));
    }
    push(&mut backlog, &process, up(1, 10));
    push(&mut backlog, &process, down(2, 8));
    let told = [(NodeUp, 7, 0), (NodeUp, 9, 0), (NodeDown, 9, 6), (NodeUp, 10, 0), (NodeDown, 8, 2)];
    assert_eq!(nodes(&mut backlog), told);
    // What was read is not counted again.
    push(&mut backlog, &process, up(1, 11));
    push(&mut backlog, &process, down(1, 11));
    assert_eq!(nodes(&mut backlog), [(NodeDown, 11, 2)]);
}

#[test]
fn unread_changes_of_a_member_become_what_they_come_to() {
    use EventKind::{GroupJoined, GroupLeft};
    let (mut backlog, process) = (Backlog::default(), process(1));
    for body in [
        joined(1, 1, 0, 1),
        joined(1, 2, 0, 3),
        joined(2, 1, 0, 1),
        joined(1, 1, 1, 2),
        left(1, 2, 3, 0, Reason::KILLED),
        joined(1, 3, 0, 2),
        left(1, 3, 2, 1, Reason::NORMAL),
    ] {
        push(&mut backlog, &process, body);
    }
    assert_eq!(
        backlog.len(),
        3,
        "a member that came and went unread is not mentioned, however often it had joined"
    );
    assert_eq!(
        changes(&mut backlog),
        [(GroupJoined, pid(1), 2), (GroupJoined, pid(1), 1), (GroupJoined, pid(3), 1)]
    );
    // Read: the member is known to be one, twice.
    for body in [
        left(1, 1, 2, 1, Reason::NORMAL),
        left(1, 1, 1, 0, Reason::KILLED),
        left(2, 1, 1, 0, Reason::KILLED),
        joined(2, 1, 0, 1),
        joined(1, 3, 1, 2),
        left(1, 3, 2, 0, Reason::GROUP_DELETED),
        joined(1, 3, 0, 1),
        joined(1, 3, 1, 4),
    ] {
        push(&mut backlog, &process, body);
    }
    assert_eq!(backlog.len(), 2, "one that left and came back is what it was");
    let gone = event_of(backlog.pop().unwrap());
    assert_eq!((gone.kind(), gone.u64(Field::Count), gone.reason()), (GroupLeft, Some(0), Reason::KILLED));
    assert_eq!(changes(&mut backlog), [(GroupJoined, pid(3), 4)]);
    // A leaving with a joining behind it that does not make up for it.
    push(&mut backlog, &process, left(1, 3, 4, 1, Reason::GROUP_DELETED));
    push(&mut backlog, &process, joined(1, 3, 1, 2));
    let fewer = event_of(backlog.pop().unwrap());
    assert_eq!(
        (fewer.kind(), fewer.u64(Field::Count), fewer.reason()),
        (GroupLeft, Some(2), Reason::GROUP_DELETED)
    );
    assert!(backlog.is_empty());
}

#[test]
fn members_that_come_and_go_unread_take_no_room() {
    let (mut backlog, process) = (Backlog::default(), process(1));
    push(&mut backlog, &process, Body::Engine(EngineEvent::SnapshotEnd { reference: Ref(1) }));
    for member in 1..10_000 {
        push(&mut backlog, &process, joined(1, member, 0, 2));
        push(&mut backlog, &process, left(1, member, 2, 0, Reason::KILLED));
    }
    assert_eq!(backlog.len(), 1);
    assert!(backlog.slots_held() < 200, "{} slots", backlog.slots_held());
    assert_eq!(kinds(&mut backlog), [EventKind::SnapshotEnd]);
}

#[test]
fn of_those_who_want_a_lock_the_newest_is_enough() {
    let (mut backlog, process) = (Backlog::default(), process(1));
    for (reference, waiter) in [(1, 5), (2, 5), (1, 6), (1, 7)] {
        push(&mut backlog, &process, wanted(reference, waiter));
    }
    let waiters: Vec<_> =
        std::iter::from_fn(|| backlog.pop()).map(|entry| event_of(entry).peer().unwrap()).collect();
    assert_eq!(waiters, [pid(7), pid(5)]);
    push(&mut backlog, &process, wanted(1, 8));
    assert_eq!(backlog.len(), 1, "once read, the next is its own event");
}

#[test]
fn one_sendable_per_receiver_is_enough() {
    let (mut backlog, one, two) = (Backlog::default(), process(1), process(2));
    for process in [&one, &two, &one] {
        push(&mut backlog, process, Body::Sendable { receiver: pid(9) });
    }
    push(&mut backlog, &one, Body::Sendable { receiver: pid(8) });
    assert_eq!(backlog.len(), 3);
}

#[test]
fn messages_of_a_dead_process_go_and_its_other_events_stay_in_order() {
    let (mut backlog, one, two) = (Backlog::default(), process(1), process(2));
    message(&mut backlog, &one, "a");
    message(&mut backlog, &two, "b");
    push(&mut backlog, &one, changed(1, None, None));
    message(&mut backlog, &one, "c");
    message(&mut backlog, &two, "d");
    assert_eq!(backlog.remove_messages(&one).len(), 2);
    assert_eq!(backlog.len(), 3);
    push(&mut backlog, &one, changed(1, None, Some(4)));
    assert_eq!(backlog.len(), 3, "the change is still found where it is");
    assert_eq!(kinds(&mut backlog), [EventKind::Message, EventKind::NameChanged, EventKind::Message]);
    assert!(backlog.is_empty() && backlog.front().is_none());
}

#[test]
fn what_annihilates_behind_an_unread_head_takes_no_room() {
    let (mut backlog, process) = (Backlog::default(), process(1));
    push(&mut backlog, &process, Body::Engine(EngineEvent::SnapshotEnd { reference: Ref(1) }));
    push(&mut backlog, &process, changed(7, None, None));
    for _ in 0..1_000 {
        for node in 0..10 {
            push(&mut backlog, &process, up(1, node));
        }
        for node in 0..10 {
            push(&mut backlog, &process, down(1, node));
        }
    }
    assert_eq!(backlog.len(), 3);
    assert!(backlog.slots_held() < 200, "{} slots", backlog.slots_held());
    push(&mut backlog, &process, changed(7, None, Some(1)));
    assert_eq!(backlog.len(), 3, "keys are right after the gaps are closed");
    backlog.pop();
    backlog.pop();
    assert_eq!(nodes(&mut backlog), [(EventKind::NodeDown, 9, 20_000)]);
}

/// The texts of all messages.
fn texts(backlog: &mut Backlog) -> String {
    let entries = std::iter::from_fn(|| backlog.pop());
    entries.map(|entry| String::from_utf8_lossy(event_of(entry).payload().unwrap()).into_owned()).collect()
}

/// Whatever was read, removed or moved up meanwhile, exactly the messages of the process that ends go.
#[test]
fn the_messages_of_a_process_are_found_wherever_they_lie() {
    let mut backlog = Backlog::default();
    let processes: Vec<_> = (0..200).map(process).collect();
    for round in ["a", "b"] {
        for process in &processes {
            message(&mut backlog, process, round);
        }
    }
    for _ in 0..50 {
        backlog.pop();
    }
    let texts_of = |removed: Vec<Entry>| -> String {
        let payload = |entry| String::from_utf8_lossy(event_of(entry).payload().unwrap()).into_owned();
        removed.into_iter().map(payload).collect()
    };
    assert_eq!(texts_of(backlog.remove_messages(&processes[10])), "b", "the first was read");
    // So many that what is left moves up.
    for process in &processes[60..] {
        assert_eq!(texts_of(backlog.remove_messages(process)), "ab");
        assert_eq!(texts_of(backlog.remove_messages(process)), "");
    }
    assert!(backlog.slots_held() < 200, "{} slots", backlog.slots_held());
    for process in &processes[50..55] {
        message(&mut backlog, process, "c");
        assert_eq!(texts_of(backlog.remove_messages(process)), "abc");
    }
    assert_eq!(texts(&mut backlog), format!("{}{}", "a".repeat(5), "b".repeat(49 + 5)));
}

/// Linear: were each looked for among all, this would take 10^10 steps in each order.
#[test]
fn many_processes_of_one_queue_end_in_no_time() {
    let queue = Arc::new(QueueCore::new());
    for order in 0..3 {
        let mut backlog = Backlog::default();
        let pid = |serial| Pid { node: NodeId(1), serial };
        let mut processes: Vec<_> = (0..100_000)
            .map(|serial| Arc::new(ProcessCore::new(pid(serial), queue.clone(), false)))
            .collect();
        for process in &processes {
            message(&mut backlog, process, "x");
        }
        match order {
            0 => {}
            1 => processes.reverse(),
            _ => processes.sort_by_key(|process| process.pid().serial % 1000),
        }
        for process in &processes {
            assert_eq!(backlog.remove_messages(process).len(), 1);
        }
        assert!(backlog.is_empty());
    }
}
