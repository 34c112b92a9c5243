//! What a peer may say of groups, and what ends its link: never a panic, never more memory than the limits, and nothing
//! that its own snapshot to others would make a violation.

use crate::harness::{HEARTBEAT, World, config, name};
use crate::hostile::{ENGINE, FRIEND, PUPPET, State, friend, me, puppet, tx, world};
use convoke::engine::{Dot, Existence, Fact, Goodbye, MAX_DOT, Membership, Message, Task, Tx};
use convoke::model::{Action, Config, Deadline, Limits, Members, Name, NodeId, Reason, Status};
use std::collections::BTreeSet;
use std::time::Duration;

pub(crate) fn dot(node: NodeId, number: u64) -> Dot {
    Dot { node, number }
}

fn membership(group: &str, serial: u64, count: u64, dots: &[Dot]) -> Message {
    let (group, dots, why) = (name(group), dots.iter().copied().collect(), Reason::NORMAL);
    Message::Membership { membership: Membership { group, serial, count, dots, why }, ack: None }
}

fn create_under(group: &str, dot: Dot, generation: u32) -> Message {
    Message::Create { group: name(group), dot, generation, ack: Some(tx(puppet())) }
}

pub(crate) fn create(group: &str, dot: Dot) -> Message {
    create_under(group, dot, 0)
}

pub(crate) fn delete(group: &str, dots: &[Dot]) -> Message {
    Message::Delete { group: name(group), dots: dots.iter().copied().collect(), ack: Some(tx(puppet())) }
}

fn retract(group: &str, dots: &[Dot]) -> Message {
    Message::Retract { group: name(group), dots: dots.iter().copied().collect(), ack: None }
}

pub(crate) fn state(parts: Vec<Existence>) -> Message {
    Message::GroupState { parts, last: true, answer: false }
}

pub(crate) fn live(group: &str, dot: Dot) -> Existence {
    Existence::Live { group: name(group), dot }
}

fn join(number: u64, group: &str, serial: u64, dots: BTreeSet<Dot>) -> Message {
    let id = Tx { lamport: number, node: puppet() };
    Message::Forward { id, task: Task::Join { group: name(group), serial, dots }, remaining_ms: None }
}

/// The groups that the engine and its friend show.
fn shown(world: &World) -> [Vec<(Name, Members)>; 2] {
    [world.engine(ENGINE).groups(), world.engine(FRIEND).groups()]
}

fn names_shown(world: &World) -> [Vec<Name>; 2] {
    shown(world).map(|groups| groups.into_iter().map(|(group, _)| group).collect())
}

/// An engine and its friend with a group, and a puppet.
fn with_group() -> World {
    let mut world = World::empty();
    world.add(Config { node: me(), ..config(0) });
    world.add_puppet(puppet().0);
    world.add(Config { node: friend(), ..config(2) });
    world.link(ENGINE, FRIEND);
    let pids = [world.spawn(ENGINE), world.spawn(FRIEND)];
    world.make_group("g", &pids);
    world.link(ENGINE, PUPPET);
    world.told(PUPPET);
    world
}

#[test]
fn what_no_honest_node_says_of_groups_ends_the_link() {
    let own = dot(puppet(), 1);
    let messages = [
        ("a group made in the name of another", create("x", dot(friend(), 9))),
        ("a group made in the name of the receiver", create("x", dot(me(), 9))),
        ("a group made under a number that is not its own", create_under("x", dot(NodeId(77), 9), 1)),
        ("a group made under its own number of another time", create_under("x", own, 1)),
        ("an empty name made", create("", own)),
        ("an empty name deleted", delete("", &[own])),
        ("an empty name retracted", retract("", &[own])),
        ("a member of an empty name", membership("", 1, 1, &[own])),
        ("a member that is no process", membership("g", 0, 1, &[own])),
        ("a count above the limit", membership("g", 1, (1 << 16) + 1, &[own])),
        ("a count beyond all", membership("g", 1, u64::MAX, &[own])),
        ("a member under no dot", membership("g", 1, 1, &[])),
        ("a live dot of an empty name", state(vec![live("", own)])),
        ("a question that nobody asked for", Message::GroupState { parts: vec![], last: true, answer: true }),
    ];
    for (what, message) in messages {
        let mut world = with_group();
        let before = shown(&world);
        world.say(PUPPET, ENGINE, message);
        assert_eq!(world.goodbye(PUPPET), Some(Goodbye::Violation), "{what}");
        assert!(!world.is_linked(ENGINE, PUPPET), "{what}");
        assert_eq!(shown(&world), before, "{what}");
        world.agree();
        assert_eq!(shown(&world), before, "{what}");
        world.assert_at_rest();
    }
}

/// The same in a snapshot, of which nothing counts then: neither did what was good in it.
#[test]
fn a_snapshot_is_held_to_the_same_rules() {
    let part = |group| {
        let parts = vec![live(group, dot(puppet(), 1))];
        Message::GroupState { parts, last: false, answer: false }
    };
    let no_process = Fact::Membership(Membership {
        group: name("x"),
        serial: 0,
        count: 1,
        dots: [dot(puppet(), 1)].into(),
        why: Reason::NORMAL,
    });
    for bad in [part(""), Message::Hello { facts: vec![no_process], last: true }] {
        let mut world = world(State::Linked);
        let before = shown(&world);
        world.say(PUPPET, ENGINE, part("good"));
        assert_eq!(world.goodbye(PUPPET), None);
        world.say(PUPPET, ENGINE, bad.clone());
        assert_eq!(world.goodbye(PUPPET), Some(Goodbye::Violation), "{bad:?}");
        assert_eq!(shown(&world), before);
        world.assert_at_rest();
    }
}

/// A lie about dots of an honest node, told to another one, must not set the two at odds: the other passes it on in good
/// faith. What was never made counts from then on, and what is made later is new everywhere.
#[test]
fn a_lie_about_an_honest_node_does_not_part_the_honest() {
    let lies = [
        vec![live("x", dot(me(), 99))],
        vec![live("x", dot(me(), MAX_DOT))],
        vec![Existence::Beyond(dot(me(), 99))],
        vec![Existence::Seen { node: me(), up_to: 99 }],
        vec![Existence::Seen { node: me(), up_to: MAX_DOT }],
    ];
    for lie in lies {
        let mut world = with_group();
        world.link(FRIEND, PUPPET);
        world.say(PUPPET, FRIEND, state(lie.clone()));
        // As if the home had deleted it, too: then its own delete names the dot.
        let pid = world.spawn(FRIEND);
        world.settle();
        let deadline = Deadline::FOREVER;
        world.operate(pid, deadline, Action::DeleteGroup { group: name("x") });
        for peer in [ENGINE, FRIEND] {
            world.cut(peer, PUPPET);
        }
        // Their link goes down and comes up again: the snapshots tell of it.
        for _ in 0..2 {
            world.agree();
            assert!(world.is_linked(ENGINE, FRIEND) && world.is_linked(FRIEND, ENGINE), "{lie:?}");
            assert_eq!((world.log(ENGINE), world.log(FRIEND)), (vec![], vec![]), "{lie:?}");
            let [here, there] = names_shown(&world);
            assert_eq!(here, there, "{lie:?}");
            world.cut(ENGINE, FRIEND);
            world.link(ENGINE, FRIEND);
        }
        let pid = world.spawn(ENGINE);
        let op = world.operate(pid, deadline, Action::CreateGroup { group: name("new") });
        world.agree();
        // A node that is said to have made its last dot goes on under another number.
        for _ in 0..2 {
            assert_eq!(world.status(op), Some(Status::Ok), "{lie:?}");
            for node in [ENGINE, FRIEND] {
                let there = world.engine(node).groups().iter().any(|(group, _)| *group == name("new"));
                assert!(there, "{lie:?} at {node}");
            }
            world.cut(ENGINE, FRIEND);
            world.link(ENGINE, FRIEND);
            world.agree();
        }
        let op = world.operate(pid, deadline, Action::DeleteGroup { group: name("new") });
        world.agree();
        assert_eq!(world.status(op), Some(Status::Ok), "{lie:?}");
        assert!(names_shown(&world).iter().all(|shown| !shown.contains(&name("new"))), "{lie:?}");
        world.assert_at_rest();
    }
}

/// The same while the honest have their link all the time, so that no snapshot tells of the lie: what is said to be deleted
/// before it is made is made known to its maker when it makes it. The maker's other groups stay, and it can make the group again.
#[test]
fn a_dot_that_is_said_to_be_deleted_before_it_is_made() {
    let lies = [
        Existence::Seen { node: me(), up_to: 99 },
        Existence::Beyond(dot(me(), 2)),
        Existence::Beyond(dot(me(), 3)),
    ];
    for lie in lies {
        let mut world = with_group();
        world.link(FRIEND, PUPPET);
        world.say(PUPPET, FRIEND, state(vec![lie.clone()]));
        world.agree();
        let pid = world.spawn(ENGINE);
        for group in ["new", "newer", "new"] {
            let deadline = Deadline::FOREVER;
            world.operate(pid, deadline, Action::CreateGroup { group: name(group) });
            world.agree();
            let [here, there] = names_shown(&world);
            assert_eq!(here, there, "{lie:?}");
        }
        assert!(names_shown(&world)[0].contains(&name("new")), "{lie:?}");
        assert!(world.is_linked(ENGINE, FRIEND) && world.is_linked(FRIEND, ENGINE));
        assert_eq!((world.log(ENGINE), world.log(FRIEND)), (vec![], vec![]), "{lie:?}");
    }
}

/// Late, repeated, or about what is not there.
#[test]
fn what_comes_to_nothing() {
    let own = dot(puppet(), 1);
    let messages = [
        delete("none", &[]),
        delete("none", &[dot(NodeId(99), 7), dot(puppet(), 7)]),
        delete("g", &[]),
        retract("g", &[]),
        retract("none", &[dot(NodeId(99), 7), dot(me(), 99)]),
        membership("g", 77, 0, &[]),
        membership("none", 77, 0, &[own]),
        Message::GroupDigest { digest: 1 },
        Message::GroupState { parts: vec![], last: false, answer: true },
        state(vec![]),
        state(vec![
            Existence::Beyond(dot(NodeId(99), u64::MAX)),
            Existence::Seen { node: NodeId(99), up_to: u64::MAX },
        ]),
        state(vec![Existence::Seen { node: NodeId(0), up_to: 0 }, Existence::Beyond(dot(NodeId(0), 0))]),
        join(1, "", 1, [own].into()),
        join(1, "none", 1, BTreeSet::new()),
        join(1, "none", 1, [dot(me(), 99)].into()),
        join(1, "g", 999, BTreeSet::new()),
        join(1, "g", 0, BTreeSet::new()),
        Message::Forward {
            id: tx(puppet()),
            task: Task::Leave { group: name(""), serial: 999 },
            remaining_ms: Some(0),
        },
    ];
    for message in messages {
        let mut world = with_group();
        let before = shown(&world);
        world.say(PUPPET, ENGINE, message.clone());
        world.settle();
        assert!(world.is_linked(ENGINE, PUPPET), "{message:?}");
        assert_eq!(shown(&world), before, "{message:?}");
        // Whatever it has left in the tables, the friend takes it.
        world.cut(ENGINE, PUPPET);
        world.cut(ENGINE, FRIEND);
        world.link(ENGINE, FRIEND);
        world.agree();
        assert!(world.is_linked(ENGINE, FRIEND), "{message:?}");
        assert_eq!(shown(&world), before, "{message:?}");
        world.assert_at_rest();
    }
}

/// Numbers at the very end of their range.
#[test]
fn the_last_numbers() {
    let mut world = with_group();
    let last = dot(puppet(), u64::MAX);
    world.say(PUPPET, ENGINE, create("x", dot(puppet(), u64::MAX - 1)));
    world.say(PUPPET, ENGINE, create("x", last));
    world.say(
        PUPPET,
        ENGINE,
        state(vec![Existence::Seen { node: puppet(), up_to: u64::MAX }, live("x", last)]),
    );
    assert_eq!(world.members(ENGINE, "x"), Some(vec![]));
    world.say(PUPPET, ENGINE, delete("x", &[last]));
    assert_eq!(world.members(ENGINE, "x"), None);
    world.say(PUPPET, ENGINE, create("x", last));
    assert_eq!(world.members(ENGINE, "x"), None, "a deleted dot stays deleted");
    assert!(world.is_linked(ENGINE, PUPPET));
    world.agree();
    assert!(world.is_linked(ENGINE, FRIEND));
}

/// Every dot of the same name under another group: what is known is not believed anew.
#[test]
fn a_dot_of_two_groups() {
    let mut world = with_group();
    let of_g = dot(me(), 1);
    world.say(PUPPET, ENGINE, state(vec![live("x", of_g), live("y", of_g)]));
    assert_eq!((world.members(ENGINE, "x"), world.members(ENGINE, "y")), (None, None));
    assert!(world.members(ENGINE, "g").is_some());
    world.agree();
    world.assert_at_rest();
}

/// Floods of digests that all differ, and of answers to what was told: all is told once in a heartbeat. What is known may be
/// very much, and these are a few bytes.
#[test]
fn a_flood_of_digests_is_answered_once_in_a_heartbeat() {
    let mut world = with_group();
    let states = |world: &mut World| {
        world.told(PUPPET).iter().filter(|message| matches!(message, Message::GroupState { .. })).count()
    };
    for heartbeat in 0..4 {
        for digest in 0..1000 {
            world.say(PUPPET, ENGINE, Message::GroupDigest { digest });
            world.say(PUPPET, ENGINE, state(vec![]));
        }
        assert_eq!(states(&mut world), usize::from(heartbeat == 0));
        world.advance(config(0).heartbeat - Duration::from_millis(1));
        assert_eq!(states(&mut world), 0);
        world.advance(Duration::from_millis(1));
        assert_eq!(states(&mut world), 1);
    }
}

/// It may ask for everything as often as it was told a digest.
#[test]
fn a_flood_of_questions_ends_the_link() {
    let mut world = with_group();
    let ask = || Message::GroupState { parts: vec![], last: true, answer: true };
    let pid = world.spawn(ENGINE);
    // News from a third node: a digest for all.
    world.cut(ENGINE, FRIEND);
    world.advance(HEARTBEAT);
    let told = world.told(PUPPET);
    let digests = told.iter().filter(|message| matches!(message, Message::GroupDigest { .. })).count();
    assert_eq!(digests, 1, "{told:?}");
    world.say(PUPPET, ENGINE, ask());
    assert!(matches!(world.told(PUPPET)[..], [Message::GroupState { answer: false, .. }]));
    world.say(PUPPET, ENGINE, ask());
    assert_eq!(world.goodbye(PUPPET), Some(Goodbye::Violation));
    let op = world.create(pid, "after");
    assert_eq!(world.done(op), Status::Ok);
}

fn limited() -> World {
    let mut world = World::empty();
    let limits = Limits { existence: 100, peers: 10, ..Limits::default() };
    world.add(Config { node: me(), limits, ..config(0) });
    world.add_puppet(puppet().0);
    world.link(ENGINE, PUPPET);
    world
}

/// How much the engine tells of what it knows: of live dots, of others with a gap before them, and of incarnations.
fn known(world: &mut World) -> [usize; 3] {
    world.advance(HEARTBEAT);
    world.told(PUPPET);
    world.say(PUPPET, ENGINE, Message::GroupDigest { digest: 1 });
    let mut known = [0; 3];
    for message in world.told(PUPPET) {
        let Message::GroupState { parts, .. } = message else { continue };
        for part in parts {
            known[match part {
                Existence::Live { .. } => 0,
                Existence::Beyond(_) => 1,
                Existence::Seen { .. } => 2,
            }] += 1;
        }
    }
    world.say(PUPPET, ENGINE, state(vec![]));
    known
}

type Part = fn(u64) -> Existence;

const PARTS: [Part; 4] = [
    |i| live(&format!("x{i}"), dot(puppet(), i + 1)),
    |i| Existence::Beyond(dot(NodeId(99), 2 * i + 2)),
    |i| Existence::Seen { node: NodeId(1000 + i), up_to: 1 },
    |i| live(&format!("x{i}"), dot(NodeId(1000 + i), 1)),
];

/// Parts without end, that are never finished: what one peer says at once is more than an honest one knows.
#[test]
fn a_state_that_never_ends() {
    for part in PARTS {
        let mut world = limited();
        let mut said = 0;
        while world.is_linked(ENGINE, PUPPET) {
            let message = Message::GroupState { parts: vec![part(said)], last: false, answer: false };
            world.say(PUPPET, ENGINE, message);
            said += 1;
            assert!(said <= 401, "bounded by four times the limit");
        }
        assert!(said > 100);
        assert_eq!(world.goodbye(PUPPET), Some(Goodbye::Violation));
        world.assert_at_rest();
    }
}

/// Each of them could be the word of an honest node, which has heard it from others: what is too much is dropped.
#[test]
fn states_without_end_are_bounded() {
    for part in PARTS {
        let mut world = limited();
        for i in 0..2000 {
            world.say(PUPPET, ENGINE, state(vec![part(i)]));
        }
        let [live, beyond, seen] = known(&mut world);
        assert!(live + beyond + seen > 40, "something is remembered");
        assert!(live <= 400 && beyond <= 100 && seen <= 151, "{live} {beyond} {seen}");
        assert!(world.is_linked(ENGINE, PUPPET));
        world.agree();
        world.assert_at_rest();
    }
}

/// Dots by the thousand with gaps, in deletes, creates and forwarded joins.
#[test]
fn dots_with_gaps_are_bounded() {
    type Say = fn(u64) -> Message;
    let says: [Say; 3] = [
        |i| delete("x", &(1..100).map(|j| dot(NodeId(500 + i), 2 * j)).collect::<Vec<_>>()),
        |i| create(&format!("x{i}"), dot(puppet(), 2 * i + 2)),
        |i| delete("x", &[dot(NodeId(1000 + i), 1)]),
    ];
    for say in says {
        let mut world = limited();
        for i in 0..2000 {
            world.say(PUPPET, ENGINE, say(i));
        }
        let [live, beyond, seen] = known(&mut world);
        assert!(live + beyond + seen > 40, "something is remembered");
        assert!(live <= 400 && beyond <= 100 && seen <= 151, "{live} {beyond} {seen}");
        assert!(world.is_linked(ENGINE, PUPPET));
        world.assert_at_rest();
    }
    // A forwarded join teaches no more than there is room for.
    for gap in [1, 2] {
        let mut world = limited();
        for i in 0..100 {
            let dots = (1..100).map(|j| dot(NodeId(500 + i), gap * j)).collect();
            world.say(PUPPET, ENGINE, join(i, &format!("x{i}"), 1, dots));
        }
        assert!(world.is_linked(ENGINE, PUPPET));
        assert!(world.engine(ENGINE).groups().len() <= 6);
        world.agree();
        world.cut(ENGINE, PUPPET);
        let pid = world.spawn(ENGINE);
        let op = world.delete(pid, "x0");
        assert_eq!(world.done(op), Status::Ok);
    }
}

/// A row that is told again is no news: neither to readers (each publication is checked) nor to monitors.
#[test]
fn a_membership_that_is_told_again() {
    let mut world = with_group();
    let watcher = world.spawn(ENGINE);
    world.watch_group(watcher, "g");
    let before = world.events(watcher).len();
    for dots in [&[dot(puppet(), 1)][..], &[dot(puppet(), 1)], &[dot(puppet(), 2)]] {
        world.say(PUPPET, ENGINE, membership("g", 1, 2, dots));
        assert_eq!(world.events(watcher).len(), before + 1);
    }
}
