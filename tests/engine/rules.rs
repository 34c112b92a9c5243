//! Rules of the claim machine and of clashes that only show in rare schedules, each brought about by a puppet.

use crate::asks::line;
use crate::harness::{Frame, World, ms, name};
use crate::hostile::{ENGINE, FRIEND, PUPPET, State, binding, friend, me, puppet, reg, tx, world};
use convoke::engine::{Binding, Fact, Key, Message, Pair, Reg, Stamped, Tx, Want};
use convoke::model::{Deadline, Event, Name, NodeId, Pid, Ref, Resolver, Status};
use std::collections::BTreeSet;

/// A re-register of `x` by a process of the engine, over a binding of another of its processes, that the puppet has
/// granted and not acknowledged. Both processes, the operation, and the two bindings: the one beneath and the new one.
struct Stacked {
    world: World,
    old: Pid,
    new: Pid,
    op: Ref,
    tx: Tx,
    beneath: Reg,
    reg: Reg,
}

/// Registers at the engine, and grants for the puppet. The transaction and the binding that was published.
fn granted(world: &mut World, pid: Pid) -> (Ref, Tx, Binding) {
    world.told(PUPPET);
    let op = world.reregister(pid, "x");
    let told = world.told(PUPPET);
    let [Message::Acquire { tx, .. }] = told[..] else { panic!("{told:?}") };
    world.say(PUPPET, ENGINE, Message::Grant { tx, key: Key::Name(name("x")), epoch: 0, regs: vec![] });
    let told = world.told(PUPPET);
    let [Message::Commit { binding, .. }] = &told[..] else { panic!("{told:?}") };
    (op, tx, binding.clone())
}

fn stacked() -> Stacked {
    let mut world = world(State::Synced);
    let (old, new) = (world.spawn(ENGINE), world.spawn(ENGINE));
    let (_, first, binding) = granted(&mut world, old);
    world.say(PUPPET, ENGINE, Message::Ack { tx: first });
    let (op, tx, covering) = granted(&mut world, new);
    assert_eq!((world.status(op), world.whereis(ENGINE, "x")), (None, Some(new)));
    Stacked { world, old, new, op, tx, beneath: binding.reg, reg: covering.reg }
}

fn lost(world: &World, pid: Pid) -> usize {
    world.events(pid).iter().filter(|event| matches!(event, Event::NameConflict { .. })).count()
}

/// A vote names what is shown, and who covers that covers what stands beneath it: that does not come back when the call that it
/// waits for is undone, and its process is told once the new binding is complete.
#[test]
fn who_covers_a_binding_covers_what_stands_beneath_it() {
    let Stacked { mut world, old, new, op, reg, .. } = stacked();
    let claim = Message::Acquire {
        tx: tx(puppet()),
        key: Key::Name(name("x")),
        want: Want::Name { replace: true },
        no_wait: false,
    };
    world.say(PUPPET, ENGINE, claim);
    let told = world.told(PUPPET);
    let [Message::Grant { regs, .. }] = &told[..] else { panic!("{told:?}") };
    assert_eq!(regs[..], [reg]);
    let (resolver, supersedes) = (Resolver::RandomExit, BTreeSet::from([reg]));
    let theirs = Reg { node: puppet(), seq: 1 };
    let binding =
        Binding { reg: theirs, serial: 1, resolver, supersedes: supersedes.clone(), settled: false };
    world.say(PUPPET, ENGINE, Message::Commit { tx: tx(puppet()), name: name("x"), binding });
    world.cancel(new, op);
    assert_eq!(world.whereis(ENGINE, "x"), Some(Pid { node: puppet(), serial: 1 }));
    let to = world.nodes[ENGINE].id;
    world.say(PUPPET, ENGINE, Message::Settled { name: name("x"), reg: theirs, to, supersedes });
    assert_eq!(lost(&world, old), 1);
    world.say(
        PUPPET,
        ENGINE,
        Message::Unregistered { name: name("x"), reg: theirs, beneath: None, ack: None },
    );
    assert_eq!(world.whereis(ENGINE, "x"), None);
}

/// A snapshot names the bindings of a home, and what stands beneath them.
#[test]
pub(crate) fn a_snapshot_names_what_stands_beneath() {
    let Stacked { mut world, beneath, reg, .. } = stacked();
    let newcomer = world.add_puppet(40);
    world.connect(ENGINE, newcomer);
    let told = world.told(newcomer);
    let [Message::Hello { facts, .. }] = &told[..] else { panic!("{told:?}") };
    let named = facts.iter().filter(|fact| matches!(fact, Fact::Beneath(_))).collect::<Vec<_>>();
    assert_eq!(named, [&Fact::Beneath(beneath)]);
    assert!(
        facts.iter().any(|fact| matches!(fact, Fact::Binding(_, b) if b.reg == reg && !b.settled)),
        "{facts:?}"
    );
}

/// "Nothing of it ever comes back": a process moves its name to another one and ends before all have acknowledged that. Its
/// call is undone, and what stands beneath it of its own is not shown again.
#[test]
pub(crate) fn the_end_of_a_process_takes_what_it_has_beneath() {
    let mut world = world(State::Synced);
    let (old, new) = (world.spawn(ENGINE), world.spawn(ENGINE));
    let (_, first, _) = granted(&mut world, old);
    world.say(PUPPET, ENGINE, Message::Ack { tx: first });
    world.told(PUPPET);
    world.register_as(old, "x", new, true, Deadline::FOREVER);
    let told = world.told(PUPPET);
    let [Message::Acquire { tx, .. }] = told[..] else { panic!("{told:?}") };
    world.say(PUPPET, ENGINE, Message::Grant { tx, key: Key::Name(name("x")), epoch: 0, regs: vec![] });
    let told = world.told(PUPPET);
    let [Message::Commit { binding, .. }] = &told[..] else { panic!("{told:?}") };
    world.exit(old);
    let undone = Message::Unregistered { name: name("x"), reg: binding.reg, beneath: None, ack: None };
    let told = world.told(PUPPET);
    assert!(told.contains(&undone), "{told:?}");
    assert_eq!(world.whereis(ENGINE, "x"), None);
}

/// What is covered for good goes, also beneath the shown one, which uncovers nothing then; its process is told that it was replaced.
#[test]
fn what_is_settled_beneath_is_not_restored() {
    for both in [false, true] {
        let Stacked { mut world, old, new, op, beneath, reg, .. } = stacked();
        let supersedes: BTreeSet<Reg> = if both { [beneath, reg].into() } else { [beneath].into() };
        let settled =
            Message::Settled { name: name("x"), reg: crate::hostile::reg(puppet()), to: me(), supersedes };
        world.say(PUPPET, ENGINE, settled);
        assert_eq!((lost(&world, old), lost(&world, new)), (1, usize::from(both)));
        world.cancel(new, op);
        assert_eq!(world.status(op), Some(Status::Cancelled));
        assert_eq!(world.whereis(ENGINE, "x"), None, "nothing is left to restore");
        world.settle();
        world.all_show("x", None);
        assert_eq!(lost(&world, old), 1);
        world.assert_at_rest();
    }
}

/// What stands beneath may settle there: what is shown again is what all nodes have acknowledged.
#[test]
fn what_settles_beneath_comes_back_settled() {
    let Stacked { mut world, new, tx, op, reg, .. } = stacked();
    let newer = world.spawn(ENGINE);
    let (newest, _, _) = granted(&mut world, newer);
    world.say(PUPPET, ENGINE, Message::Ack { tx });
    assert_eq!(world.status(op), Some(Status::Ok));
    world.told(PUPPET);
    world.cancel(newer, newest);
    let told = world.told(PUPPET);
    let [Message::Unregistered { beneath: Some(restored), .. }] = &told[..] else { panic!("{told:?}") };
    assert_eq!((restored.reg, restored.settled), (reg, true));
    world.all_show("x", Some(new));
    world.assert_at_rest();
}

/// What stands beneath is shown again: one that is settled settles what it covers.
#[test]
fn a_settled_row_that_is_restored_settles_what_it_covers() {
    let mut world = world(State::Synced);
    let own = world.spawn(ENGINE);
    let (_, tx_, mine) = granted(&mut world, own);
    world.say(PUPPET, ENGINE, Message::Ack { tx: tx_ });
    let covering = |seq, settled| Binding {
        reg: Reg { node: puppet(), seq },
        supersedes: [mine.reg].into(),
        settled,
        ..binding(puppet())
    };
    for (lamport, row) in [(1, covering(1, false)), (2, covering(2, false))] {
        let tx = Tx { lamport, node: puppet() };
        world.say(PUPPET, ENGINE, Message::Commit { tx, name: name("x"), binding: row });
    }
    assert_eq!(lost(&world, own), 0, "not all nodes show it yet");
    // The first was settled before it was replaced in place; the second is withdrawn.
    let reg = covering(2, false).reg;
    let withdrawal =
        Message::Unregistered { name: name("x"), reg, beneath: Some(covering(1, true)), ack: None };
    world.say(PUPPET, ENGINE, withdrawal);
    assert_eq!(lost(&world, own), 1);
    let told = world.told(PUPPET);
    assert!(
        told.iter().any(|m| matches!(m, Message::Unregistered { reg, .. } if *reg == mine.reg)),
        "{told:?}"
    );
}

/// "Settled: passed on once" to an owner that the settling home has no link to, and only from that home.
#[test]
fn a_settlement_is_passed_on_once() {
    let mut world = world(State::Synced);
    let settled = |node| Message::Settled {
        name: name("x"),
        reg: reg(node),
        to: friend(),
        supersedes: [reg(friend())].into(),
    };
    world.delivered.clear();
    world.say(PUPPET, ENGINE, settled(puppet()));
    world.say(PUPPET, ENGINE, settled(NodeId(99)));
    world.settle();
    let passed: Vec<_> = world.delivered.iter().filter(|(_, to, _)| *to == FRIEND).collect();
    assert_eq!(passed.len(), 1);
    assert_eq!(passed[0].2.message(), Some(&settled(puppet())));
}

/// "Busy{reg} to every waiter that is not admitted and was not yet told of this reg": the name moves while it waits.
#[test]
pub(crate) fn a_waiter_hears_of_every_binding_that_is_in_its_way() {
    let mut world = world(State::Synced);
    let claim = Message::Acquire {
        tx: tx(puppet()),
        key: Key::Name(name("friend's")),
        want: Want::Name { replace: false },
        no_wait: false,
    };
    world.say(PUPPET, ENGINE, claim);
    let told = world.told(PUPPET);
    let [Message::Busy { reg: first, .. }] = told[..] else { panic!("{told:?}") };
    let heir = world.spawn(FRIEND);
    world.reregister(heir, "friend's");
    let told = world.told(PUPPET);
    let [Message::Busy { reg: second, .. }] = told[..] else { panic!("{told:?}") };
    assert_ne!(first, second);
    world.unregister(heir, "friend's");
    let told = world.told(PUPPET);
    assert!(matches!(told[..], [Message::Grant { .. }]), "{told:?}");
}

/// "None such: that timer stops": what was in the way is gone, another voter takes longer than the grace.
#[test]
fn the_grace_ends_when_nothing_is_in_the_way() {
    let (mut world, owner, claimant) = line();
    let puppet = world.add_puppet(50);
    world.link(0, puppet);
    world.told(puppet);
    let op = world.register(claimant, "x");
    let told = world.told(puppet);
    let [Message::Acquire { tx, .. }] = told[..] else { panic!("{told:?}") };
    world.advance(ms(500));
    world.exit(owner);
    for _ in 0..20 {
        world.advance(ms(500));
        world.say(puppet, 0, Message::Heartbeat);
    }
    assert_eq!(world.status(op), None, "{}", world.picture());
    world.say(puppet, 0, Message::Grant { tx, key: Key::Name(name("x")), epoch: 0, regs: vec![] });
    world.settle();
    world.say(puppet, 0, Message::Ack { tx });
    assert_eq!(world.status(op), Some(Status::Ok));
}

// ---- links

/// The arbiter made two connections the link, one after the other, and the bytes of the older one are read last. What its
/// snapshot says was withdrawn since.
#[test]
pub(crate) fn a_snapshot_of_an_older_connection_is_void() {
    let mut world = world(State::NotLinked);
    let older = world.wire(PUPPET, ENGINE).expect("a connection");
    let newer = world.connect(ENGINE, PUPPET);
    let binding = binding(world.nodes[PUPPET].id);
    let hello =
        |clock, facts| Frame::Control(Stamped { clock, message: Message::Hello { facts, last: true } });
    world.arrive(newer, ENGINE, Frame::Go);
    world.arrive(newer, ENGINE, hello(9, vec![]));
    assert!(world.engine(ENGINE).links().any(|(node, synced)| node == binding.reg.node && synced));
    world.arrive(older, ENGINE, Frame::Go);
    world.arrive(older, ENGINE, hello(5, vec![Fact::Binding(name("x"), binding.clone())]));
    assert_eq!(world.whereis(ENGINE, "x"), None);
    assert!(world.engine(ENGINE).links().all(|(node, _)| node != binding.reg.node));
}

// ---- clashes

/// "Engage: Gone if it is no more." "Engaged for a pair that I did not ask, or whose lower binding is gone: Gone to the
/// higher home, which frees itself."
#[test]
fn questions_about_what_is_gone_are_answered() {
    let mut world = world(State::Synced);
    let high = Pair { low: reg(puppet()), high: reg(me()) };
    let low = Pair { low: reg(me()), high: reg(puppet()) };
    let gone = |pair| vec![Message::ClashEnded { name: name("x"), pair }];
    for (asked, pair) in [
        (Message::Engage { name: name("x"), pair: high, round: 7 }, high),
        (Message::Engaged { name: name("x"), pair: low, round: 7, age_ms: 0 }, low),
    ] {
        world.say(PUPPET, ENGINE, asked);
        assert_eq!(world.told(PUPPET), gone(pair));
    }
    world.assert_at_rest();
}

/// The engine's own registration of `x`; the puppet has acknowledged it.
fn owner(world: &mut World) -> (Pid, Reg) {
    let pid = world.spawn(ENGINE);
    let (op, tx, binding) = granted(world, pid);
    world.say(PUPPET, ENGINE, Message::Ack { tx });
    assert_eq!(world.status(op), Some(Status::Ok));
    (pid, binding.reg)
}

/// The message asks the higher home of this pair to take part.
fn asks(message: &Message, about: Pair) -> bool {
    matches!(message, Message::Engage { pair, .. } if *pair == about)
}

/// "Between unlinked homes a pair blocks nothing": a question on its way through a third node does not keep the binding
/// from a clash with a linked home.
#[test]
fn a_pair_of_unlinked_homes_blocks_nothing() {
    let mut world = world(State::Synced);
    let (_, mine) = owner(&mut world);
    let far = Pair { low: mine, high: Reg { node: NodeId(99), seq: 1 } };
    let high = Pid { node: NodeId(99), serial: 1 };
    world.say(PUPPET, ENGINE, Message::ClashSeen { name: name("x"), pair: far, high });
    let told = world.told(PUPPET);
    assert!(matches!(&told[..], [Message::Relayed { to: NodeId(99), .. }]), "{told:?}");
    world.say(
        PUPPET,
        ENGINE,
        Message::Commit { tx: tx(puppet()), name: name("x"), binding: binding(puppet()) },
    );
    let near = Pair { low: mine, high: reg(puppet()) };
    let told = world.told(PUPPET);
    assert!(told.iter().any(|message| asks(message, near)), "{told:?}");
}

/// "One pair at a time": while a linked home is being asked the next one waits; it is asked when the first is through.
#[test]
fn one_pair_at_a_time() {
    let mut world = world(State::Synced);
    let (_, mine) = owner(&mut world);
    let second = world.add_puppet(40);
    world.link(ENGINE, second);
    world.say(
        PUPPET,
        ENGINE,
        Message::Commit { tx: tx(puppet()), name: name("x"), binding: binding(puppet()) },
    );
    let other = binding(NodeId(40));
    world.say(second, ENGINE, Message::Commit { tx: tx(NodeId(40)), name: name("x"), binding: other });
    let engage = |told: &[Message]| told.iter().filter(|m| matches!(m, Message::Engage { .. })).count();
    assert!(engage(&world.told(PUPPET)) >= 1);
    assert_eq!(engage(&world.told(second)), 0);
    // The first one's binding ends.
    let end = Message::Unregistered { name: name("x"), reg: reg(puppet()), beneath: None, ack: None };
    world.say(PUPPET, ENGINE, end);
    let told = world.told(second);
    let pair = Pair { low: mine, high: reg(NodeId(40)) };
    assert!(told.iter().any(|message| asks(message, pair)), "{told:?}");
}

/// A binding that takes part in a clash as the higher one answers the next lower home when the first is through.
#[test]
fn the_higher_home_takes_one_pair_at_a_time() {
    let mut world = world(State::Synced);
    let (_, mine) = owner(&mut world);
    let lower = [world.add_puppet(5), world.add_puppet(6)];
    for puppet in lower {
        world.link(ENGINE, puppet);
        let id = world.nodes[puppet].id;
        world.say(puppet, ENGINE, Message::Commit { tx: tx(id), name: name("x"), binding: binding(id) });
        world.told(puppet);
    }
    let pair = |node| Pair { low: reg(node), high: mine };
    let [first, second] = [pair(NodeId(5)), pair(NodeId(6))];
    world.say(lower[0], ENGINE, Message::Engage { name: name("x"), pair: first, round: 7 });
    world.say(lower[1], ENGINE, Message::Engage { name: name("x"), pair: second, round: 7 });
    assert_eq!(
        world.told(lower[0]),
        [Message::Engaged { name: name("x"), pair: first, round: 7, age_ms: 0 }]
    );
    assert_eq!(world.told(lower[1]), []);
    // Asked again it answers again.
    world.say(lower[0], ENGINE, Message::Engage { name: name("x"), pair: first, round: 7 });
    assert_eq!(
        world.told(lower[0]),
        [Message::Engaged { name: name("x"), pair: first, round: 7, age_ms: 0 }]
    );
    // The first lower home is lost: "engagements need an end on every link event".
    world.cut(ENGINE, lower[0]);
    assert_eq!(
        world.told(lower[1]),
        [Message::Engaged { name: name("x"), pair: second, round: 7, age_ms: 0 }]
    );
}

/// "Forget: verdicts go when either reg is gone for good (its owner's Unreg, or a Hello of the owner that has it
/// neither shown nor beneath)": what was decided does not pile up.
#[test]
fn verdicts_are_forgotten_with_what_they_are_about() {
    for while_apart in [false, true] {
        let mut world = World::nodes(2);
        for round in 0..20 {
            let pids = [world.spawn(0), world.spawn(1)];
            for pid in pids {
                world.register(pid, &format!("name{round}"));
            }
        }
        world.connect(0, 1);
        // Up to the verdicts of the lower home; what it says of them is lost.
        for (from, to) in [(0, 1), (1, 0), (0, 1), (1, 0)] {
            while world.step(from, to).is_some() {}
        }
        assert!(world.engine(0).describe().contains("Decided"));
        if while_apart {
            world.cut(0, 1);
            let names: Vec<(Name, Pid)> =
                world.engine(1).names().map(|(name, pid)| (name.clone(), pid)).collect();
            for (_, pid) in names {
                world.exit(pid);
            }
        }
        world.settle();
        if while_apart {
            world.link(0, 1);
        }
        for node in 0..2 {
            assert!(world.engine(node).describe().contains("clashes {}"), "{}", world.picture());
        }
        world.assert_at_rest();
    }
}
