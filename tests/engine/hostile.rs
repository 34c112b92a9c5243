//! Every message in every state that matters, said by a puppet: also those that no honest node would say. The engine
//! never panics; what honest nodes cannot say ends the link with a goodbye, and nothing else changes.

use crate::harness::{Frame, NodeIndex, World, config, name};
use convoke::engine::{
    Binding, ClashMessage, Connectivity, Ending, Fact, Goodbye, Identity, Key, MAX_CLOCK_STEP, Message, Pair,
    Refusal, Reg, Stamped, Task, Treatment, Tx, Want,
};
use convoke::flow::{Credit, DataHeader};
use convoke::model::{Config, ConnectionId, Deadline, MAX_RESOLVER, Name, NodeId, Pid, Resolver, Status};
use std::collections::{BTreeMap, BTreeSet};

/// The engine under test, and the node the test speaks for.
pub(crate) const ENGINE: NodeIndex = 0;
pub(crate) const PUPPET: NodeIndex = 1;
/// An honest node beside them.
pub(crate) const FRIEND: NodeIndex = 2;

/// What the puppet's link is like when it speaks.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) enum State {
    /// A connection, but the arbiter has not said Go.
    NotLinked,
    /// Linked, and its snapshot has not come.
    Linked,
    Synced,
}

/// An engine (the arbiter of all, if `puppet_id` is more than 1), a puppet in this state, and a friend with a name.
pub(crate) fn world(state: State) -> World {
    let mut world = World::empty();
    let config_ = Config { node: NodeId(10), ..config(0) };
    world.add(config_);
    // A puppet that is higher waits for the engine's Go; one that is lower says Go itself, when it is time.
    let id = if state == State::NotLinked { 5 } else { 20 };
    world.add_puppet(id);
    world.add(Config { node: NodeId(30), ..config(2) });
    world.link(ENGINE, FRIEND);
    let friend = world.spawn(FRIEND);
    world.register(friend, "friend's");
    let own = world.spawn(ENGINE);
    world.register(own, "own");
    world.settle();
    match state {
        State::Synced => world.link(ENGINE, PUPPET),
        _ => {
            world.connect(ENGINE, PUPPET);
        }
    }
    world.told(PUPPET);
    world
}

pub(crate) fn me() -> NodeId {
    NodeId(10)
}
pub(crate) fn puppet() -> NodeId {
    NodeId(20)
}
pub(crate) fn friend() -> NodeId {
    NodeId(30)
}
pub(crate) fn tx(node: NodeId) -> Tx {
    Tx { lamport: 100, node }
}
pub(crate) fn reg(node: NodeId) -> Reg {
    Reg { node, seq: 77 }
}
pub(crate) fn key(text: &str) -> Key {
    Key::Name(name(text))
}
pub(crate) fn binding(node: NodeId) -> Binding {
    Binding {
        reg: reg(node),
        serial: 1,
        resolver: Resolver::RandomExit,
        supersedes: BTreeSet::new(),
        settled: false,
    }
}
fn hello(bindings: Vec<(Name, Binding)>) -> Message {
    Message::Hello { facts: bindings.into_iter().map(|(n, b)| Fact::Binding(n, b)).collect(), last: true }
}
pub(crate) fn acquire(node: NodeId, text: &str) -> Message {
    Message::Acquire { tx: tx(node), key: key(text), want: Want::Name { replace: false }, no_wait: false }
}
pub(crate) fn commit(tx: Tx, text: &str, binding: Binding) -> Message {
    Message::Commit { tx, name: name(text), binding }
}
fn pair(low: NodeId, high: NodeId) -> Pair {
    Pair { low: reg(low), high: reg(high) }
}

/// What honest nodes cannot say, with the message in which it stands.
fn violations() -> Vec<(&'static str, Message)> {
    let foreign = friend();
    let empty = Name::new(&[]);
    vec![
        ("a second snapshot", hello(vec![])),
        ("a claim of another node", acquire(foreign, "x")),
        ("a claim of the receiver", acquire(me(), "x")),
        (
            "a claim of an empty name",
            Message::Acquire {
                tx: tx(puppet()),
                key: Key::Name(empty.clone()),
                want: Want::Name { replace: true },
                no_wait: true,
            },
        ),
        ("a yield for another node", Message::Yield { tx: tx(foreign), key: key("x") }),
        ("a release for another node", Message::Release { tx: tx(foreign), key: key("x") }),
        ("a binding of another node", commit(tx(puppet()), "x", binding(foreign))),
        ("a binding of the receiver", commit(tx(puppet()), "x", binding(me()))),
        ("a commit under the claim of another node", commit(tx(foreign), "x", binding(puppet()))),
        (
            "a resolver with a name longer than any",
            commit(
                tx(puppet()),
                "x",
                Binding { resolver: Resolver::from_name(&"r".repeat(MAX_RESOLVER + 1)), ..binding(puppet()) },
            ),
        ),
        (
            "a verdict on a clash of other nodes",
            Message::Verdict {
                name: name("x"),
                pair: pair(puppet(), friend()),
                treatment: Treatment::Silent,
            },
        ),
        (
            "a verdict of another node",
            Message::Verdict { name: name("x"), pair: pair(friend(), me()), treatment: Treatment::Silent },
        ),
        ("an empty name", commit(tx(puppet()), "", binding(puppet()))),
        ("a pid of no process", commit(tx(puppet()), "x", Binding { serial: 0, ..binding(puppet()) })),
        (
            "a withdrawal of another's binding",
            Message::Unregistered {
                name: name("friend's"),
                reg: Reg { node: foreign, seq: 1 },
                beneath: None,
                ack: None,
            },
        ),
        (
            "a binding of another beneath's binding",
            Message::Unregistered {
                name: name("x"),
                reg: reg(puppet()),
                beneath: Some(binding(foreign)),
                ack: None,
            },
        ),
        (
            "a clash of other homes",
            Message::Engage { name: name("own"), pair: pair(foreign, me()), round: 7 },
        ),
        (
            "a clash that is another's to decide",
            Message::Engage { name: name("x"), pair: pair(puppet(), foreign), round: 7 },
        ),
        (
            "a forward of another node",
            Message::Forward { id: tx(foreign), task: Task::IsAlive { serial: 1 }, remaining_ms: None },
        ),
        ("a cancel for another node", Message::Cancel { id: tx(foreign) }),
    ]
}

/// What an honest node may say although it comes to nothing: late, repeated, or about what is over.
fn harmless() -> Vec<Message> {
    let x = || name("x");
    let via = |to: NodeId, from: NodeId| Message::Relayed {
        to,
        from,
        clash: ClashMessage::Engage { name: name("x"), pair: pair(from, to), round: 7 },
    };
    vec![
        Message::HelloAck,
        Message::Heartbeat,
        Message::Ping { number: 7 },
        Message::Pong { number: 7 },
        Message::Probe { about: [friend(), NodeId(99)].into() },
        Message::Probe { about: [me()].into() },
        Message::Probe { about: BTreeSet::new() },
        Message::Queued { tx: tx(me()) },
        Message::Vouch { node: friend() },
        Message::Vouch { node: me() },
        Message::Vouch { node: NodeId(99) },
        Message::Vouched { node: friend() },
        Message::Vouched { node: NodeId(99) },
        Message::Where { nodes: [me(), friend(), NodeId(99)].into() },
        Message::Where { nodes: BTreeSet::new() },
        Message::Peers { peers: vec![], last: true },
        Message::ProbeAnswer { silent: [friend()].into() },
        Message::ProbeAnswer { silent: [NodeId(99), me()].into() },
        Message::ProbeAnswer { silent: BTreeSet::new() },
        Message::Grant { tx: tx(me()), key: key("x"), epoch: 0, regs: vec![] },
        Message::Deny { tx: tx(me()) },
        Message::Busy { tx: tx(me()), reg: reg(friend()) },
        Message::Wound { tx: tx(me()), key: key("x") },
        Message::Yield { tx: tx(puppet()), key: key("x") },
        Message::Release { tx: tx(puppet()), key: key("x") },
        Message::Ack { tx: tx(me()) },
        Message::Ack { tx: tx(friend()) },
        Message::Settled { name: x(), reg: reg(puppet()), to: me(), supersedes: [reg(me())].into() },
        Message::Settled { name: x(), reg: reg(puppet()), to: NodeId(99), supersedes: BTreeSet::new() },
        Message::Unregistered { name: x(), reg: reg(puppet()), beneath: None, ack: None },
        Message::Engage { name: x(), pair: pair(puppet(), me()), round: 7 },
        Message::Engaged { name: x(), pair: pair(me(), puppet()), round: 7, age_ms: 0 },
        Message::ClashEnded { name: x(), pair: pair(me(), puppet()) },
        Message::Verdict { name: x(), pair: pair(puppet(), me()), treatment: Treatment::Kill { by: None } },
        Message::ClashSeen {
            name: x(),
            pair: pair(me(), NodeId(99)),
            high: Pid { node: NodeId(99), serial: 1 },
        },
        via(me(), NodeId(99)),
        via(me(), puppet()),
        via(NodeId(99), puppet()),
        via(friend(), NodeId(99)),
        via(me(), me()),
        Message::Relayed {
            to: me(),
            from: NodeId(99),
            clash: ClashMessage::Engage { name: name("x"), pair: pair(friend(), me()), round: 7 },
        },
        Message::Answer { id: tx(me()), status: Status::Ok, value: 1 },
        Message::Answer { id: tx(friend()), status: Status::Ok, value: 1 },
        Message::Cancel { id: tx(puppet()) },
        Message::Demonitor { watcher: 1, reference: 1, target: 1 },
        Message::Monitor { watcher: 1, reference: 1, target: 999 },
        Message::Credit { to: 999, credit: Credit { messages: u64::MAX, bytes: u64::MAX, taken: u64::MAX } },
        Message::NoReceiver { to: 999 },
    ]
}

/// The state that no message of these tables may change.
#[derive(PartialEq, Debug)]
struct Tables {
    names: BTreeMap<Name, Pid>,
    residue: Vec<(&'static str, usize)>,
    pending: usize,
    friend: bool,
}

fn tables(world: &World) -> Tables {
    let engine = world.engine(ENGINE);
    Tables {
        names: engine.names().map(|(name, pid)| (name.clone(), pid)).collect(),
        residue: engine.residue(),
        pending: engine.pending_operations(),
        friend: world.is_linked(ENGINE, FRIEND),
    }
}

#[test]
fn what_no_honest_node_says_ends_the_link() {
    for (what, message) in violations() {
        let mut world = world(State::Synced);
        let before = tables(&world);
        world.say(PUPPET, ENGINE, message);
        assert!(!world.is_linked(ENGINE, PUPPET), "{what}");
        assert_eq!(world.goodbye(PUPPET), Some(Goodbye::Violation), "{what}");
        assert_eq!(tables(&world), before, "{what}");
        assert_eq!(world.log(ENGINE).len(), 1, "an operator can read of it: {what}");
        // The engine goes on with others as before.
        let pid = world.spawn(ENGINE);
        let op = world.register(pid, "x");
        world.settle();
        assert_eq!(world.status(op), Some(Status::Ok), "{what}");
        world.assert_at_rest();
    }
}

#[test]
fn what_comes_late_does_no_harm() {
    for message in harmless() {
        for state in [State::Linked, State::Synced] {
            let mut world = world(state);
            let before = tables(&world);
            for _ in 0..2 {
                world.say(PUPPET, ENGINE, message.clone());
            }
            assert!(world.is_linked(ENGINE, PUPPET), "{message:?}");
            world.settle();
            assert_eq!(tables(&world), before, "{message:?} while {state:?}");
            assert_eq!(world.log(ENGINE), [""; 0]);
            world.assert_at_rest();
        }
    }
}

/// A connection is not a link before the arbiter's Go, and not after its end: what comes then is void.
#[test]
fn what_comes_without_a_link_is_void() {
    let all = || violations().into_iter().map(|(_, message)| message).chain(harmless());
    for message in all().chain([Message::Goodbye { why: Goodbye::Closing }]) {
        let mut world = world(State::NotLinked);
        let before = tables(&world);
        world.say(PUPPET, ENGINE, message.clone());
        world.settle();
        assert_eq!(tables(&world), before, "{message:?}");
        assert_eq!(world.nodes[ENGINE].closed, None, "{message:?}");
        assert_eq!(world.told(PUPPET), [], "{message:?}");
        // The connection is as good as before.
        world.frame(PUPPET, ENGINE, Frame::Go);
        world.settle();
        assert!(world.is_linked(ENGINE, PUPPET));
    }
    for message in all() {
        let mut world = world(State::Synced);
        world.say(PUPPET, ENGINE, Message::Goodbye { why: Goodbye::Disconnected });
        let before = tables(&world);
        world.told(PUPPET);
        world.say_too_late(PUPPET, ENGINE, message.clone());
        assert_eq!(tables(&world), before, "{message:?}");
        assert_eq!(world.told(PUPPET), [], "{message:?}");
    }
}

/// The clocks of what the engine says next.
fn clock_of(world: &mut World) -> u64 {
    world.settle();
    let pid = world.spawn(ENGINE);
    world.register(pid, "x");
    let clocks = world.in_flight().into_iter().filter_map(|(_, _, frame)| match frame {
        Frame::Control(Stamped { clock, .. }) => Some(clock),
        _ => None,
    });
    let clock = clocks.max().expect("a claim is asked");
    world.settle();
    clock
}

/// "EVERY message carries the clock"; one message moves it by one step at most, and nobody is blamed for being ahead.
#[test]
fn a_clock_that_jumps_is_followed_step_by_step() {
    let mut world = world(State::Synced);
    world.say_at(PUPPET, ENGINE, MAX_CLOCK_STEP / 2, Message::Heartbeat);
    let clock = clock_of(&mut world);
    assert!((MAX_CLOCK_STEP / 2..MAX_CLOCK_STEP / 2 + 100).contains(&clock));
    for step in 1..4 {
        world.say_at(PUPPET, ENGINE, u64::MAX, Message::Heartbeat);
        let now = clock_of(&mut world);
        let least = clock + step * MAX_CLOCK_STEP;
        assert!((least..least + 1000).contains(&now), "{now} after {step} steps from {clock}");
        // The friend, far behind, goes on with it.
        assert!(
            world.is_linked(ENGINE, PUPPET)
                && world.is_linked(ENGINE, FRIEND)
                && world.is_linked(FRIEND, ENGINE)
        );
    }
    assert_eq!((world.log(ENGINE), world.log(FRIEND)), (vec![], vec![]));
    // It never voted.
    world.cut(ENGINE, PUPPET);
    world.stay_apart();
    world.assert_at_rest();
}

/// Two honest nodes whose clocks somebody has moved apart by more than a step find together again.
#[test]
fn clocks_far_apart_do_not_part_the_honest() {
    let mut world = world(State::Synced);
    world.cut(ENGINE, FRIEND);
    for _ in 0..10 {
        world.say_at(PUPPET, ENGINE, u64::MAX, Message::Heartbeat);
    }
    world.link(ENGINE, FRIEND);
    assert!(world.is_linked(ENGINE, FRIEND) && world.is_linked(FRIEND, ENGINE));
    world.all_show("friend's", world.whereis(FRIEND, "friend's"));
    assert!(world.whereis(FRIEND, "friend's").is_some());
}

#[test]
fn a_claim_twice_ends_the_link() {
    let mut world = world(State::Synced);
    world.say(PUPPET, ENGINE, acquire(puppet(), "x"));
    let told = world.told(PUPPET);
    assert!(matches!(told[..], [Message::Grant { .. }]), "{told:?}");
    world.say(PUPPET, ENGINE, acquire(puppet(), "x"));
    assert_eq!(world.goodbye(PUPPET), Some(Goodbye::Violation));
    // Its claim went with it.
    world.assert_at_rest();
    let pid = world.spawn(ENGINE);
    let op = world.register(pid, "x");
    world.settle();
    assert_eq!(world.status(op), Some(Status::Ok));
}

#[test]
fn a_forward_twice_ends_the_link() {
    let mut world = world(State::Synced);
    // A task that is not answered at once: the puppet itself does not vote.
    let task = Task::Register {
        name: name("x"),
        serial: 1,
        resolver: Resolver::RandomExit,
        replace: false,
        no_wait: false,
    };
    let forward = Message::Forward { id: tx(puppet()), task, remaining_ms: None };
    world.say(PUPPET, ENGINE, forward.clone());
    assert!(world.is_linked(ENGINE, PUPPET));
    world.say(PUPPET, ENGINE, forward);
    assert_eq!(world.goodbye(PUPPET), Some(Goodbye::Violation));
    world.settle();
    // What it had asked for, and is still under way, is undone.
    assert_eq!(world.whereis(ENGINE, "x"), None);
    world.assert_at_rest();
}

/// A snapshot is held to the same rules as a commit, in any part of it.
#[test]
fn a_snapshot_with_what_is_not_the_senders_ends_the_link() {
    let rows = [
        (name("x"), binding(friend())),
        (name("x"), binding(me())),
        (name(""), binding(puppet())),
        (name("x"), Binding { serial: 0, ..binding(puppet()) }),
    ];
    for row in rows {
        for last in [false, true] {
            let mut world = world(State::Linked);
            let before = tables(&world);
            let good = (name("good"), binding(puppet()));
            let bindings = vec![good, row.clone()];
            world.say(
                PUPPET,
                ENGINE,
                Message::Hello {
                    facts: bindings.into_iter().map(|(n, b)| Fact::Binding(n, b)).collect(),
                    last,
                },
            );
            assert_eq!(world.goodbye(PUPPET), Some(Goodbye::Violation), "{row:?}");
            assert_eq!(tables(&world), before, "what was good in it went with the link: {row:?}");
        }
    }
}

/// An answer to what another node was asked.
#[test]
fn an_answer_in_the_name_of_another_ends_the_link() {
    let mut world = world(State::Synced);
    let caller = world.spawn(ENGINE);
    let pid = world.spawn(FRIEND);
    world.hang(FRIEND);
    let op = world.register_as(caller, "x", pid, false, Deadline::FOREVER);
    let id = world.in_flight().into_iter().find_map(|(_, _, frame)| match frame.message() {
        Some(Message::Forward { id, .. }) => Some(*id),
        _ => None,
    });
    let answer = Message::Answer { id: id.expect("it is forwarded"), status: Status::Ok, value: 0 };
    world.say(PUPPET, ENGINE, answer);
    assert_eq!(world.goodbye(PUPPET), Some(Goodbye::Violation));
    assert_eq!(world.status(op), None);
    world.wake(FRIEND);
    world.settle();
    assert_eq!(world.status(op), Some(Status::Ok));
}

/// A link refused or ended by a stranger's word is only its own.
#[test]
fn refusals_of_unknown_connections_change_nothing() {
    let mut world = world(State::Synced);
    let before = tables(&world);
    let id = ConnectionId(999);
    for why in [Refusal::Linked, Refusal::Myself, Refusal::Closing, Refusal::TooManyPeers] {
        world.input(ENGINE, |engine, now| engine.handle_refused(now, id, why));
    }
    world.input(ENGINE, |engine, now| engine.handle_go(now, id));
    world.input(ENGINE, |engine, now| engine.handle_connection_end(now, id, Ending::Broke, "gone"));
    world.input(ENGINE, |engine, now| engine.handle_dial_failed(now, "nowhere", Status::Io, "no"));
    assert_eq!(tables(&world), before);
    assert!(world.is_linked(ENGINE, PUPPET));
}

/// Identities that cannot be: zero, and this very node's.
#[test]
fn impossible_identities_are_refused() {
    for node in [NodeId(0), me()] {
        let mut world = world(State::Synced);
        let before = tables(&world);
        let peer = Identity {
            node,
            name: "stranger".into(),
            address: String::new(),
            connectivity: Connectivity::default(),
            groups: 0,
            uptime_ms: u64::MAX,
            message_limit: 1 << 20,
        };
        let id = ConnectionId(999);
        world.input(ENGINE, |engine, now| engine.handle_connection(now, id, peer, None));
        assert_eq!(world.refused, [(id, Refusal::Myself)]);
        assert_eq!(tables(&world), before);
    }
}

/// The data lane: what is for nobody is harmless; kills and exits of processes that are not there too.
#[test]
fn data_for_nobody_does_no_harm() {
    let mut world = world(State::Synced);
    let before = tables(&world);
    for header in [
        DataHeader::Exit { from: 1, to: 1, reference: 5, reason: 3 },
        DataHeader::Exit { from: 1, to: 999, reference: 5, reason: 3 },
        DataHeader::Kill { from: 1, to: 999, reason: 3 },
        DataHeader::Message { from: 1, to: 999 },
    ] {
        world.say_data(PUPPET, ENGINE, header, b"data");
        assert!(world.is_linked(ENGINE, PUPPET), "{header:?}");
    }
    assert_eq!(tables(&world), before);
}

/// What is said in the name of another that would say it itself is void, and counted: of a node that is linked here, and of this
/// very node. Else any member could take a name from its holder in the name of anybody.
#[test]
fn words_in_the_name_of_others_are_void() {
    let own = |world: &World| {
        let mut bindings = world.engine(ENGINE).bindings();
        let of_mine = |(of, binding): &(&Name, &Binding)| **of == name("own") && binding.reg.node == me();
        bindings.find(of_mine).map(|(_, binding)| binding.reg).expect("its own name is bound")
    };
    for origin in [friend(), me()] {
        let mut world = world(State::Synced);
        let mine = own(&world);
        let pair = Pair { low: Reg { node: origin, seq: 1 }, high: mine };
        let said = |clash| Message::Relayed { to: me(), from: origin, clash };
        world.say(PUPPET, ENGINE, said(ClashMessage::Engage { name: name("own"), pair, round: 1 }));
        world.settle();
        let treatment = Treatment::Kill { by: None };
        world.say(PUPPET, ENGINE, said(ClashMessage::Verdict { name: name("own"), pair, treatment }));
        world.settle();
        let reg = Reg { node: origin, seq: u64::MAX };
        let supersedes = BTreeSet::from([mine]);
        world.say(PUPPET, ENGINE, Message::Settled { name: name("own"), reg, to: me(), supersedes });
        // Nor is anything passed on that its sender has not said itself.
        let clash = ClashMessage::ClashEnded { name: name("own"), pair };
        world.say(PUPPET, ENGINE, Message::Relayed { to: friend(), from: NodeId(99), clash });
        world.settle();
        assert_eq!(own(&world), mine, "{origin:?}");
        assert!(world.whereis(ENGINE, "own").is_some() && world.is_linked(ENGINE, PUPPET));
        let picture = world.engine(ENGINE).inspect(world.now);
        let of = |node: NodeId| {
            let mut rows = picture.links.rows.iter();
            rows.find(|row| row.node.incarnation == format!("{:016x}", node.0))
                .map(|row| row.counts.relays_refused)
        };
        assert_eq!((of(puppet()), of(friend())), (Some(4), Some(0)), "{origin:?}");
        assert_eq!(world.engine(ENGINE).counters().relays_refused, 4);
    }
}
