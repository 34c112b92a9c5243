//! How nodes depart: who is waited for, what is a certain death, and what each does to claims and holds.

use crate::harness::{DETECTION, Frame, NodeIndex, World, address, config, ms};
use crate::holds::by;
use convoke::engine::{Ending, Engine, Message, Stamped};
use convoke::model::{Action, Command, Config, ConnectionId, Deadline, Machine, NodeId, Pid, Reason, Status};

const CONFIRMATION: std::time::Duration = std::time::Duration::from_secs(1);

impl World {
    /// Both links of a node of three break, as those of a program that was stopped do when it goes on.
    fn lose_both(&mut self, node: NodeIndex) {
        for other in (0..3).filter(|other| *other != node) {
            self.cut(node, other);
        }
        self.settle();
    }

    fn shut_out(&mut self, node: NodeIndex, other: NodeIndex) {
        let process = self.spawn(node);
        self.operate(process, Deadline::FOREVER, Action::Disconnect { node_name: format!("node{other}") });
        self.settle();
    }

    /// Until the node believes in its link with the other.
    fn until_linked(&mut self, node: NodeIndex, other: NodeIndex) {
        while !self.is_linked(node, other) {
            self.step(other, node).expect("it is about to be linked");
        }
    }

    /// The node hears this on the connection, before anything that is on its way.
    fn hears(&mut self, connection: ConnectionId, node: NodeIndex, message: Message) {
        self.arrive(connection, node, Frame::Control(Stamped { clock: 1, message }));
    }

    fn missing(&self, node: NodeIndex) -> Vec<NodeId> {
        self.engine(node).missing().map(|(node, ..)| node).collect()
    }

    /// Undisturbed: nothing was lost, and the process lives.
    fn assert_undisturbed(&self, holder: Pid, token: u64) {
        assert_eq!(self.lost_locks(holder), []);
        assert_eq!(self.check(holder, "holder"), Some(token));
        assert!(!self.is_gone(holder));
    }
}

// ---- who waits

/// A claim that waits for a lock loses its links, and gets them again: it asks anew, and goes on waiting.
#[test]
fn a_claim_waits_for_nodes_whose_links_broke() {
    let mut world = World::mesh(3);
    let (holder, waiter) = (world.spawn(0), world.spawn(1));
    let token = world.take_lock(holder, by("holder"));
    let op = world.acquire(waiter, by("waiter"));
    world.settle();
    world.lose_both(1);
    assert_eq!(world.missing(1), [NodeId(1), NodeId(3)]);
    world.advance(DETECTION / 2);
    assert_eq!(world.status(op), None);
    world.link(0, 1);
    assert_eq!(world.missing(1), [NodeId(3)], "linked and synced");
    world.link(1, 2);
    assert_eq!(world.missing(1), []);
    world.advance(DETECTION * 2);
    assert_eq!(world.status(op), None, "it waits for the holder, and for nobody else");
    world.assert_undisturbed(holder, token);
    world.give_back(holder, by("holder"));
    assert!(world.token(op) > token);
    world.give_back(waiter, by("waiter"));
    world.assert_at_rest();
}

/// It waits for one detection time. What is taken then is taken in a split.
#[test]
fn a_claim_waits_for_one_detection_time() {
    let mut world = World::mesh(3);
    let (holder, waiter) = (world.spawn(0), world.spawn(1));
    world.take_lock(holder, by("holder"));
    let op = world.acquire(waiter, by("waiter"));
    let named = world.register(waiter, "x");
    world.settle();
    let late = world.register(waiter, "late");
    world.hang(0);
    world.hang(2);
    world.lose_both(1);
    world.advance(DETECTION - ms(100));
    assert_eq!((world.status(op), world.status(late)), (None, None));
    world.advance(ms(100));
    assert_eq!((world.status(op), world.status(late)), (Some(Status::Ok), Some(Status::Ok)));
    assert_eq!(
        world.status(named),
        Some(Status::Ok),
        "what was published is acknowledged by those who are linked"
    );
    assert_eq!(world.missing(1), []);
}

/// A claim on a list is told that a node of it cannot be reached, when that is sure enough.
#[test]
fn a_claim_on_a_list_asks_a_node_that_is_back_again() {
    let mut world = World::mesh(3);
    let (holder, waiter) = (world.spawn(0), world.spawn(1));
    let token = world.take_lock(holder, by("holder").on(&[0]));
    let op = world.acquire(waiter, by("waiter").on(&[0, 2]));
    world.settle();
    world.cut(0, 1);
    world.advance(DETECTION / 2);
    world.link(0, 1);
    world.advance(DETECTION);
    assert_eq!(world.status(op), None);
    world.assert_undisturbed(holder, token);
    world.give_back(holder, by("holder"));
    assert_eq!(world.status(op), Some(Status::Ok));
    world.exit(waiter);
    world.settle();
    world.assert_at_rest();
}

/// A program that was stopped asks for what it does not see any more: for a lock, for a name, or for a name anew.
#[test]
fn who_may_be_the_one_that_was_cut_off_asks_the_missing() {
    let mut world = World::mesh(3);
    let (holder, woken) = (world.spawn(0), world.spawn(1));
    let token = world.take_lock(holder, by("holder"));
    world.register(holder, "leader");
    world.settle();
    world.lose_both(1);
    assert_eq!(world.whereis(1, "leader"), None);
    let lock = world.acquire(woken, by("woken"));
    let registered = world.register(woken, "leader");
    let again = world.reregister(woken, "other");
    world.settle();
    for op in [lock, registered, again] {
        assert_eq!(world.status(op), None);
    }
    world.link(0, 1);
    world.link(1, 2);
    assert_eq!(world.status(registered), Some(Status::Exists));
    assert_eq!(world.status(again), Some(Status::Ok), "nobody has it");
    assert_eq!(world.status(lock), None);
    world.advance(DETECTION * 2);
    world.assert_undisturbed(holder, token);
    world.all_show("leader", Some(holder));
    world.give_back(holder, by("holder"));
    assert_eq!(world.status(lock), Some(Status::Ok));
}

/// Those who are a majority do without the missing: this is the side of those who were not cut off.
#[test]
fn a_majority_begins_without_the_missing() {
    for (nodes, lost, waits) in [(2, 1, true), (3, 1, false), (4, 1, false), (4, 2, true), (5, 2, false)] {
        let mut world = World::mesh(nodes);
        let pid = world.spawn(0);
        for other in 1..=lost {
            world.cut(0, other);
        }
        let op = world.acquire(pid, by("me"));
        world.settle();
        assert_eq!(world.status(op).is_none(), waits, "{lost} of {nodes} are missing");
        world.stay_apart();
        assert_eq!(world.status(op), Some(Status::Ok), "{lost} of {nodes} are missing");
    }
}

/// A node that has just been opened has met others, and lost them before it had read their tables.
#[test]
fn a_link_that_broke_before_it_was_synced_counts() {
    let mut world = World::nodes(2);
    let (holder, new) = (world.spawn(0), world.spawn(1));
    let token = world.take_lock(holder, by("holder"));
    world.connect(0, 1);
    world.until_linked(1, 0);
    world.cut(0, 1);
    let op = world.acquire(new, by("new"));
    world.settle();
    assert_eq!(world.status(op), None);
    world.link(0, 1);
    world.advance(DETECTION * 2);
    assert_eq!(world.status(op), None);
    world.assert_undisturbed(holder, token);
}

/// The time in which this node stood still says nothing about others: it could not have heard of them.
#[test]
fn the_time_of_an_own_pause_does_not_count() {
    let mut world = World::mesh(3);
    let (holder, waiter) = (world.spawn(0), world.spawn(1));
    let token = world.take_lock(holder, by("holder"));
    let op = world.acquire(waiter, by("waiter"));
    world.settle();
    // The links are told to have broken at the time that was read before the pause.
    world.lose_both(1);
    world.hang(1);
    world.advance(DETECTION * 3);
    world.wake(1);
    world.input(1, Engine::handle_timeout);
    assert_eq!(world.status(op), None);
    world.advance(DETECTION / 2);
    assert_eq!(world.status(op), None);
    world.link(0, 1);
    world.link(1, 2);
    world.advance(DETECTION * 2);
    assert_eq!(world.status(op), None);
    world.assert_undisturbed(holder, token);
}

/// Who comes and goes all the time is waited for once, and again when a link with it has lasted.
#[test]
fn a_link_that_does_not_last_is_waited_for_once() {
    let mut world = World::mesh(2);
    let pid = world.spawn(0);
    world.hang(1);
    let op = world.acquire(pid, by("me"));
    let mut waited = ms(0);
    while world.status(op).is_none() {
        world.cut(0, 1);
        world.advance(DETECTION / 4);
        if world.status(op).is_none() {
            waited += DETECTION / 4;
            world.wake(1);
            world.connect(0, 1);
            world.settle_but(1, 0, |message| matches!(message, Message::Grant { .. }));
            world.hang(1);
        }
        assert!(waited < DETECTION * 2, "{}", world.picture());
    }
    assert!(waited >= DETECTION / 2, "{waited:?}");
    world.give_back(pid, by("me"));
    world.wake(1);
    world.link(0, 1);
    world.advance(DETECTION * 2);
    world.hang(1);
    let again = world.acquire(pid, by("me"));
    world.cut(0, 1);
    world.advance(DETECTION / 2);
    assert_eq!(world.status(again), None);
}

/// While a node is linked it is waited for, however long its table takes.
#[test]
fn a_node_that_is_linked_and_not_synced_is_waited_for() {
    let mut world = World::mesh(2);
    let (holder, waiter) = (world.spawn(0), world.spawn(1));
    let token = world.take_lock(holder, by("holder").on(&[0]));
    let op = world.acquire(waiter, by("waiter").on(&[0]));
    world.settle();
    world.cut(0, 1);
    world.advance(DETECTION / 2);
    world.connect(0, 1);
    let is_hello = |message: &Message| matches!(message, Message::Hello { .. });
    let id = world.wire(0, 1).expect("a connection");
    world.until_linked(1, 0);
    // Node 0 lives, and its snapshot is on its way.
    for _ in 0..40 {
        world.advance_still(DETECTION / 20);
        world.hears(id, 1, Message::Heartbeat);
        world.hears(id, 0, Message::Heartbeat);
        assert_eq!(world.status(op), None);
    }
    assert!(world.in_flight().iter().any(|(_, to, frame)| *to == 1 && frame.message().is_some_and(is_hello)));
    world.settle();
    assert_eq!((world.missing(1), world.status(op)), (vec![], None));
    world.assert_undisturbed(holder, token);
}

/// A node that is waited for comes back, and goes for good before it was asked.
#[test]
fn a_node_that_dies_before_it_was_asked_again_is_not_waited_for() {
    for in_order in [false, true] {
        let mut world = World::mesh(3);
        let pid = world.spawn(0);
        world.hang(1);
        let op = world.acquire(pid, by("me"));
        world.settle();
        world.cut(0, 1);
        world.connect(0, 1);
        world.until_linked(0, 1);
        assert_eq!((world.missing(0), world.status(op)), (vec![NodeId(2)], None));
        world.wake(1);
        if in_order {
            world.command(1, Command::Close);
        } else {
            world.die(1);
        }
        world.settle();
        assert_eq!((world.missing(0), world.status(op)), (vec![], Some(Status::Ok)));
        world.exit(pid);
        world.settle();
        world.assert_at_rest_at(0);
    }
}

// ---- who is dead

/// A death on the same machine is certain at once: nobody waits, and no lock is lost, in a pair either.
#[test]
fn a_death_on_this_machine_is_certain() {
    let mut world = World::mesh(3);
    let (holder, waiter) = (world.spawn(0), world.spawn(1));
    world.take_lock(holder, by("holder"));
    let op = world.acquire(waiter, by("waiter"));
    world.settle();
    world.hang(0);
    let lost = world.acquire(waiter, by("waiter").of("lost").on(&[0]));
    world.settle();
    assert_eq!((world.status(op), world.status(lost)), (None, None));
    world.die(0);
    world.settle();
    let token = world.token(op);
    assert_eq!(world.status(lost), Some(Status::Unreachable));
    assert_eq!(world.missing(1), []);
    world.die(2);
    world.settle();
    assert_eq!(
        (world.lost_locks(waiter), world.check(waiter, "waiter")),
        (vec![], Some(token)),
        "alone of three"
    );
}

/// A death elsewhere is found out by a dial. Meanwhile nothing is judged and nobody goes on without the node.
#[test]
fn a_refused_dial_makes_a_death_certain() {
    let mut world = World::mesh(2);
    let (standby, holder) = (world.spawn(0), world.spawn(1));
    let token = world.take_lock(holder, by("holder"));
    let op = world.acquire(holder, by("holder").of("more"));
    world.dials(1);
    world.die_elsewhere(0);
    world.settle();
    assert_eq!(world.dials(1), [address(0)], "at once");
    assert_eq!((world.status(op), world.lost_locks(holder)), (None, vec![]));
    world.refuse_dial(1, &address(0));
    assert_eq!(world.status(op), Some(Status::Ok));
    world.advance(DETECTION * 2);
    world.assert_undisturbed(holder, token);
    assert_eq!(world.missing(1), []);
    let _ = standby;
}

/// Another incarnation at the same address proves it as well; the same one proves that it lives.
#[test]
fn who_answers_at_the_address_tells() {
    for dead in [true, false] {
        let mut world = World::mesh(2);
        let holder = world.spawn(1);
        let token = world.take_lock(holder, by("holder"));
        let id = world.wire(0, 1).expect("a link");
        world.arrive(id, 1, Frame::Ended(Ending::MayHaveDied { address: address(0) }));
        assert_eq!(world.lost_locks(holder), []);
        if dead {
            world.nodes[0].engine = None;
            let successor = world.add(Config { node: NodeId(100), ..config(0) });
            world.connect_at(1, successor, &address(0));
            assert_eq!(world.missing(1), []);
            world.settle();
            world.assert_undisturbed(holder, token);
        } else {
            world.connect(1, 0);
            assert_eq!(world.missing(1), [NodeId(1)]);
            assert_eq!(world.lost_locks(holder), [Reason::MINORITY], "the link broke, and that was all");
        }
    }
}

/// A dial that tells nothing leaves a broken link: after a second holds are judged, and claims wait on.
#[test]
fn what_cannot_be_found_out_is_a_broken_link() {
    for failing in [false, true] {
        let mut world = World::mesh(2);
        let holder = world.spawn(1);
        world.take_lock(holder, by("holder"));
        let op = world.acquire(holder, by("holder").of("more"));
        world.die_elsewhere(0);
        world.settle();
        if failing {
            world.fail_dial(1, &address(0));
        }
        world.advance(CONFIRMATION - ms(10));
        assert_eq!(world.lost_locks(holder), []);
        world.advance(ms(10));
        assert_eq!(world.lost_locks(holder), [Reason::MINORITY]);
        assert_eq!(world.status(op), None);
        // Too late to be told from a machine that was started anew, with nothing on it yet.
        world.refuse_dial(1, &address(0));
        assert_eq!((world.missing(1), world.status(op)), (vec![NodeId(1)], None));
        world.advance(DETECTION);
        assert_eq!(world.status(op), Some(Status::Ok));
    }
}

/// The process dies while it is dialled: its machine accepts, and then resets. The next dial is refused.
#[test]
fn a_dial_that_met_the_dying_is_repeated() {
    let mut world = World::mesh(2);
    let holder = world.spawn(1);
    let token = world.take_lock(holder, by("holder"));
    world.dials(1);
    world.die_elsewhere(0);
    world.settle();
    world.fail_dial(1, &address(0));
    world.dials(1);
    let mut waited = ms(0);
    while world.dials(1).is_empty() {
        world.advance(ms(10));
        waited += ms(10);
        assert!(waited < CONFIRMATION);
    }
    world.refuse_dial(1, &address(0));
    world.advance(DETECTION * 2);
    world.assert_undisturbed(holder, token);
}

/// What else breaks meanwhile is judged by those who are there or may be.
#[test]
fn a_link_that_breaks_while_a_death_is_found_out_is_judged() {
    let mut world = World::mesh(4);
    let holder = world.spawn(3);
    world.take_lock(holder, by("holder"));
    world.die_elsewhere(0);
    world.settle();
    world.cut(3, 1);
    assert_eq!(world.lost_locks(holder), [], "three of four are there, or may be");
    world.refuse_dial(3, &address(0));
    assert_eq!(world.lost_locks(holder), [], "two of three are there");
    world.cut(3, 2);
    assert_eq!(world.lost_locks(holder), [Reason::MINORITY]);
}

/// Whoever joined after the acquisition and has died does not count: three short-lived programs beside a healthy trio.
#[test]
fn the_deaths_of_those_who_joined_later_lose_nothing() {
    for elsewhere in [false, true] {
        let mut world = World::mesh(3);
        let holder = world.spawn(0);
        let token = world.take_lock(holder, by("holder"));
        let joined: Vec<NodeIndex> = (3..6).map(|index| world.add(config(index))).collect();
        for new in &joined {
            for old in 0..3 {
                world.link(old, *new);
            }
        }
        for new in joined {
            if elsewhere {
                world.die_elsewhere(new);
                world.settle();
                (0..3).for_each(|node| world.refuse_dial(node, &address(new)));
            } else {
                world.die(new);
                world.settle();
            }
        }
        world.advance(DETECTION);
        world.assert_undisturbed(holder, token);
        world.cut(0, 1);
        world.assert_undisturbed(holder, token);
        world.cut(0, 2);
        assert_eq!(world.lost_locks(holder), [Reason::MINORITY], "one of three");
    }
}

/// A node that is started again under the name of one that is missing has taken its place: nobody waits for that one.
#[test]
fn a_successor_ends_the_wait_for_its_predecessor() {
    let mut world = World::mesh(2);
    let pid = world.spawn(0);
    world.hang(1);
    let op = world.acquire(pid, by("me"));
    world.crash(1);
    world.settle();
    assert_eq!((world.status(op), world.missing(0)), (None, vec![NodeId(2)]));
    let successor = world.add(Config { node: NodeId(100), ..config(1) });
    world.link(0, successor);
    assert_eq!((world.status(op), world.missing(0)), (Some(Status::Ok), vec![]));
}

// ---- who was shut out

/// `convoke_node_disconnect` shuts a node out, and says nothing about what it holds: for locks it is a broken link, on both
/// sides.
#[test]
fn a_disconnect_is_a_broken_link_for_locks() {
    let mut world = World::mesh(3);
    let (holder, other) = (world.spawn(0), world.spawn(1));
    world.take_lock(holder, by("holder"));
    world.take_lock(other, by("other").of("two").on(&[0, 1]));
    for node in 1..3 {
        world.shut_out(node, 0);
    }
    assert_eq!(world.lost_locks(holder), [Reason::MINORITY], "it was shut out");
    assert_eq!(world.lost_locks(other), [Reason::MINORITY], "half of the list is gone");
    let op = world.acquire(other, by("other"));
    world.settle();
    assert_eq!(world.status(op), Some(Status::Ok), "the majority goes on");
}
