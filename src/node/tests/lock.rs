//! Locks, with what the engine would say given by hand.

use super::*;
use crate::model::{Action, Call, Command, Effect, LockRow, Name, NodeId, Outcome, Pid};
use crate::node::{Attempt, Field, LockId, Reply, Request};

const LOCK: LockId<'_> = LockId { resource: b"r", requester: Some(b"me") };

fn attempt() -> Attempt {
    Attempt { nodes: None, retries: None, timeout_ms: LONG }
}

fn hold(process: &Process, token: Option<u64>) -> Effect {
    let (resource, requester) = (Name::new(b"r"), Name::new(b"me"));
    Effect::PublishHold { process: process.pid().serial, resource, requester, token }
}

fn requests(node: &Node) -> Vec<Request> {
    let mut requests = Vec::new();
    node.shared().inbox.drain(&mut requests);
    requests
}

/// The command that is waited for next, with who waits.
fn next_operation(node: &Node) -> (Command, Reply) {
    loop {
        for request in requests(node) {
            if let Request::Command { command, reply: Some(reply) } = request {
                return (command, reply);
            }
        }
        std::thread::yield_now();
    }
}

#[test]
fn check_says_what_was_published_for_this_process() {
    let (node, mut delivery) = by_hand();
    let (one, two) = (Process::spawn(&node, None).unwrap(), Process::spawn(&node, None).unwrap());
    assert_eq!(status(one.lock_check(LOCK)), Status::NotOwner);
    delivery.apply(hold(&one, Some(7)));
    assert_eq!(one.lock_check(LOCK).unwrap(), 7);
    assert_eq!(status(two.lock_check(LOCK)), Status::NotOwner);
    for other in [LockId { requester: None, ..LOCK }, LockId { resource: b"s", ..LOCK }] {
        assert_eq!(status(one.lock_check(other)), Status::NotOwner);
    }
    assert_eq!(status(one.lock_check(LockId { resource: b"", ..LOCK })), Status::Invalid);
    assert_eq!(status(one.lock_check(LockId { requester: Some(b""), ..LOCK })), Status::Invalid);
    assert_eq!(status(one.lock_check(LockId { resource: &[0; 1025], ..LOCK })), Status::TooBig);
    delivery.apply(hold(&two, Some(8)));
    delivery.apply(hold(&one, Some(9)));
    assert_eq!((one.lock_check(LOCK).unwrap(), node.stats().locks_held), (9, 2), "a share counts once");
    delivery.apply(hold(&one, None));
    delivery.apply(hold(&one, None));
    assert_eq!((status(one.lock_check(LOCK)), node.stats().locks_held), (Status::NotOwner, 1));
    two.exit(crate::model::Reason::NORMAL, b"").unwrap();
    assert_eq!(status(two.lock_check(LOCK)), Status::NoProcess);
    delivery.apply(Effect::ProcessGone { process: two.pid().serial });
    assert_eq!(node.stats().locks_held, 0);
    delivery.apply(hold(&two, None));
    assert_eq!(node.stats().locks_held, 0, "told twice");
}

#[test]
fn a_process_is_its_own_requester_unless_it_says_otherwise() {
    let (node, _delivery) = by_hand();
    let process = Process::spawn(&node, None).unwrap();
    process.acquire(LockId { requester: None, ..LOCK }, attempt(), Completion::Event).unwrap();
    process.acquire(LOCK, attempt(), Completion::Event).unwrap();
    let requesters: Vec<Name> = requests(&node)
        .into_iter()
        .filter_map(|request| match request {
            Request::Command {
                command: Command::Call(Call { what: Action::Acquire { requester, .. }, .. }),
                ..
            } => Some(requester),
            _ => None,
        })
        .collect();
    let Pid { node: NodeId(incarnation), serial } = process.pid();
    let own = [incarnation.to_le_bytes(), serial.to_le_bytes()].concat();
    assert_eq!(requesters, [Name::new(&own), Name::new(b"me")]);
}

#[test]
fn with_runs_exactly_under_the_lock_and_gives_it_back() {
    let (node, _delivery) = by_hand();
    let process = Process::spawn(&node, None).unwrap();
    let answer = |reply: Reply, outcome: Outcome| match reply {
        Reply::Wait(waiter) => assert!(waiter.answer(outcome).is_none()),
        Reply::Event(_) | Reply::Place => panic!("somebody waits"),
    };
    std::thread::scope(|threads| {
        let nodes = Some(vec!["a".to_owned()]);
        let on_a = Attempt { nodes: nodes.clone(), ..attempt() };
        let running = threads.spawn(|| process.lock_with(LOCK, on_a, |token| token + 1));
        let (command, reply) = next_operation(&node);
        let Command::Call(Call { what: Action::Acquire { nodes: asked, scope: Some(scope), .. }, .. }) =
            command
        else {
            panic!()
        };
        assert_eq!(asked, nodes);
        answer(reply, Outcome::value(41));
        let (command, reply) = next_operation(&node);
        assert!(
            matches!(&command, Command::Call(Call { what: Action::Release { nodes: None, scope: Some(same), .. }, .. }) if *same == scope)
        );
        answer(reply, Outcome::of(Status::Timeout));
        assert_eq!(running.join().unwrap().unwrap(), 42, "that it takes time to give it back is not told");

        for (said, told) in [
            (Status::Timeout, Status::Aborted),
            (Status::Unreachable, Status::Unreachable),
            (Status::NoProcess, Status::NoProcess),
            (Status::Closed, Status::Closed),
        ] {
            let running =
                threads.spawn(|| process.lock_with(LOCK, attempt(), |_| panic!("it was not obtained")));
            answer(next_operation(&node).1, Outcome::of(said));
            assert_eq!(status(running.join().unwrap()), told);
            assert!(requests(&node).is_empty(), "nothing to give back");
        }
    });
}

#[test]
fn a_question_about_locks_never_hangs() {
    let (node, mut delivery) = by_hand();
    let row = LockRow {
        resource: Name::new(b"r"),
        requester: Name::new(b"me"),
        pid: Pid { node: node.id(), serial: 5 },
        token: 3,
        is_waiter: false,
        since_ms: 12,
    };
    let wait_for_question = || loop {
        if let Some(request) = requests(&node).pop() {
            return request;
        }
        std::thread::yield_now();
    };
    std::thread::scope(|threads| {
        let asking = threads.spawn(|| node.locks(Some(b"r")).unwrap());
        let Request::Locks { resource, answer } = wait_for_question() else { panic!("no question") };
        assert_eq!(resource, Some(Name::new(b"r")));
        let waiter = LockRow { token: 0, is_waiter: true, ..row.clone() };
        answer.try_send(vec![row.clone(), waiter]).unwrap();
        let list = asking.join().unwrap();
        assert_eq!((list.len(), list.pids().unwrap()), (2, &[row.pid, row.pid][..]));
        assert_eq!((list.name(1), list.bytes(0, Field::Requester)), (Some(&b"r"[..]), Some(&b"me"[..])));
        let numbers =
            |index| [Field::Fence, Field::IsWaiter, Field::SinceMs].map(|f| list.u64(index, f).unwrap());
        assert_eq!((numbers(0), numbers(1)), ([3, 0, 12], [0, 1, 12]));
        assert_eq!((list.u64(0, Field::Count), list.u64(2, Field::Fence), list.pid(2)), (None, None, None));

        // Taken and not answered, and not even taken.
        let asking = threads.spawn(|| status(node.locks(None)));
        drop(wait_for_question());
        assert_eq!(asking.join().unwrap(), Status::Closed);
        let asking = threads.spawn(|| status(node.locks(None)));
        while node.shared().inbox.len() == 0 {
            std::thread::yield_now();
        }
        delivery.fail_all(Status::Internal);
        assert_eq!(asking.join().unwrap(), Status::Closed);
    });
    assert_eq!(status(node.locks(None)), Status::Closed);
    assert_eq!(status(node.locks(Some(b""))), Status::Closed);
}

#[test]
fn a_node_with_its_thread_answers_at_once() {
    let node = Node::open(&Options::new()).unwrap();
    assert_eq!(status(node.locks(Some(b""))), Status::Invalid);
    assert_eq!(node.locks(Some(b"r")).unwrap().len(), 0);
    std::thread::scope(|threads| {
        let asking = threads.spawn(|| while node.locks(None).is_ok() {});
        node.close(-1).unwrap();
        asking.join().unwrap();
    });
    let process = Process::spawn(&node, None);
    assert_eq!(status(process), Status::Closed);
}
