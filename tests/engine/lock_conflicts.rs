//! Two holders of one lock: who is told, who is asked before, and whose share ends.

use crate::harness::{NodeIndex, World, config, name};
use crate::holds::by;
use crate::hostile::{ENGINE, PUPPET, State, puppet, world};
use crate::lock_splits::{cut_all, link_all};
use crate::lock_voter::{complete, release};
use convoke::engine::{Goodbye, Key, Message, Standing};
use convoke::model::{Command, Config, NodeId, Pid, Reason, Ref, Status};

fn is_asked(message: &Message) -> bool {
    matches!(message, Message::ConfirmHold { .. })
}

/// How often homes were asked whether they hold what seems to have two holders.
fn asked(world: &World) -> usize {
    world.delivered.iter().filter(|(_, _, frame)| frame.message().is_some_and(is_asked)).count()
}

// ---- only where there are two

/// A newcomer hears of the new hold before it hears that the old one has ended, on another link: nobody is told of anything.
#[test]
fn a_newcomer_asks_before_it_tells() {
    let mut world = World::nodes(3);
    world.link(0, 1);
    let (first, second) = (world.spawn(0), world.spawn(1));
    world.take_lock(first, by("first"));
    let waiting = world.acquire(second, by("second"));
    world.settle();
    world.link(0, 2);
    let released = world.release(first, by("first"));
    while world.step(0, 1).is_some() | world.step(1, 0).is_some() {}
    assert_eq!(world.status(waiting), Some(Status::Ok), "node 2 has no part in it");
    world.connect(1, 2);
    while world.step(1, 2).is_some() | world.step(2, 1).is_some() {}
    assert_eq!(world.holders(2).len(), 2, "as far as node 2 knows");
    world.settle();
    assert_eq!(world.status(released), Some(Status::Ok));
    assert_eq!([world.lost_locks(first), world.lost_locks(second)], [[], []]);
    assert_eq!(asked(&world), 2);
    world.all_list(&[("second", second)]);
    world.give_back(second, by("second"));
    world.assert_at_rest();
}

/// The same with the home of the old hold as the voter that seems to see two: it asks itself, too.
#[test]
fn a_home_asks_itself() {
    let mut world = World::nodes(2);
    let holders = [world.spawn(0), world.spawn(1)];
    for (holder, requester) in holders.into_iter().zip(["0", "1"]) {
        world.take_lock(holder, by(requester));
    }
    world.connect(0, 1);
    // Node 0 has heard of the other's hold, and asks both homes; node 1 knows nothing yet.
    world.step(0, 1); // the arbiter has opened the link
    world.until(1, 0, |message| matches!(message, Message::Hello { .. }));
    assert_eq!(world.holders(0).len(), 2);
    world.release(holders[0], by("0"));
    world.settle();
    assert_eq!([world.lost_locks(holders[0]), world.lost_locks(holders[1])], [[], []]);
    assert!(world.check(holders[1], "1").is_some());
}

/// 300 nodes join and leave in order while two processes, and one of each that joins, fight for a lock; everything arrives
/// in a random order. Two seem to hold it now and then, and nobody is ever told so.
#[test]
fn orderly_joins_lose_no_lock() {
    let mut world = World::nodes(2);
    world.link(0, 1);
    let steady = [world.spawn(0), world.spawn(1)];
    let mut random = 7_u64;
    let mut pick = move |below: usize| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) as usize % below
    };
    let mut calls = [(steady[0], None), (steady[1], None)];
    for round in 0..300 {
        let id = NodeId(1000 + (round * 7919) % 3001);
        let newcomer = world.add(Config { node: id, ..config(world.nodes.len()) });
        let third = world.spawn(newcomer);
        for node in [0, 1] {
            world.connect(newcomer, node);
        }
        let mut third_call = None;
        for _ in 0..150 {
            match pick(8) {
                turn @ 0..2 => take_turns(&mut world, &mut calls[turn]),
                2 if world.engine(newcomer).links().filter(|(_, synced)| *synced).count() == 2 => {
                    let mut call = (third, third_call);
                    take_turns(&mut world, &mut call);
                    third_call = call.1;
                }
                _ => {
                    let channels = world.channels();
                    if !channels.is_empty() {
                        let (from, to) = channels[pick(channels.len())];
                        world.step(from, to);
                    }
                }
            }
        }
        world.command(newcomer, Command::Close);
        world.settle();
        for pid in [steady[0], steady[1], third] {
            assert_eq!(world.lost_locks(pid), [], "round {round}\n{}", world.picture());
        }
    }
    assert!(asked(&world) > 20, "two seemed to hold it {} times", asked(&world));
}

/// Acquires, or gives back what is acquired.
fn take_turns(world: &mut World, (pid, call): &mut (Pid, Option<Ref>)) {
    let requester = format!("{pid:?}");
    match call.map(|op| world.status(op)) {
        None => *call = Some(world.acquire(*pid, by(&requester))),
        Some(None) => {}
        Some(Some(_)) => {
            world.release(*pid, by(&requester));
            *call = None;
        }
    }
}

// ---- the round of questions, message by message

/// An answer of the puppet about its share; `None`: the share has ended.
fn answer(question: u64, serial: u64, requester: &str, standing: Option<Standing>) -> Message {
    let (resource, requester) = (name("r"), name(requester));
    Message::HoldConfirmed { question, resource, requester, serial, standing }
}

/// What the puppet is asked about: the number of the question, serials and tokens.
fn questions(world: &mut World) -> Vec<(u64, u64, u64)> {
    let told = world.told(PUPPET).into_iter();
    let asked = told.filter_map(|message| match message {
        Message::ConfirmHold { question, serial, token, .. } => Some((question, serial, token)),
        _ => None,
    });
    asked.collect()
}

/// Whom of the puppet's the engine tells of what: serials, and whether their share ends.
fn verdicts(world: &mut World) -> Vec<(u64, bool)> {
    let told = world.told(PUPPET).into_iter();
    let told = told.filter_map(|message| match message {
        Message::LockConflict { serial, ends, .. } => Some((serial, ends)),
        _ => None,
    });
    told.collect()
}

/// Two shares of two requesters, both held as far as the engine knows: it asks about both.
fn two_shares() -> (World, u64) {
    let mut world = world(State::Synced);
    world.say(PUPPET, ENGINE, complete(50, "a", 7));
    assert_eq!(questions(&mut world), []);
    world.say(PUPPET, ENGINE, complete(60, "b", 8));
    let asked = questions(&mut world);
    let question = asked[0].0;
    assert_eq!(asked, [(question, 50, 7), (question, 60, 8)]);
    (world, question)
}

#[test]
fn nobody_is_told_before_both_have_confirmed() {
    use Standing::{Minority, Relied, SecondHolder};
    type Case = ([Option<Standing>; 2], &'static [(u64, bool)]);
    let cases: [Case; 9] = [
        ([Some(Relied), Some(Relied)], &[(50, false), (60, false)]),
        ([Some(Relied), None], &[]),
        ([None, Some(Relied)], &[]),
        ([None, None], &[]),
        ([Some(Minority), Some(Relied)], &[(50, true)]),
        ([Some(Relied), Some(Minority)], &[(60, true)]),
        ([Some(Minority), Some(Minority)], &[]),
        ([Some(SecondHolder), Some(Relied)], &[(60, false)]),
        ([Some(Minority), Some(SecondHolder)], &[(50, true)]),
    ];
    for ([first, second], told) in cases {
        for late in [50, 60] {
            let (mut world, question) = two_shares();
            let answers = [answer(question, 50, "a", first), answer(question, 60, "b", second)];
            let (soon, then) = if late == 50 { (1, 0) } else { (0, 1) };
            world.say(PUPPET, ENGINE, answers[soon].clone());
            assert_eq!(verdicts(&mut world), [], "one has not answered");
            world.say(PUPPET, ENGINE, answers[then].clone());
            assert_eq!(verdicts(&mut world), told, "{first:?} {second:?}");
            world.say(PUPPET, ENGINE, answers[then].clone());
            assert_eq!(verdicts(&mut world), [], "the round is over");
            assert!(world.is_linked(ENGINE, PUPPET));
        }
    }
}

/// What an answer says is of the moment at which was asked: one to another round is void, and whoever comes in between, or
/// is taken anew, is asked about in another round, once, with all the others.
#[test]
fn what_comes_during_a_round_is_asked_about_after_it() {
    let relied = Some(Standing::Relied);
    let (mut world, question) = two_shares();
    world.say(PUPPET, ENGINE, answer(question + 1, 50, "a", relied));
    world.say(PUPPET, ENGINE, answer(question, 50, "a", relied));
    for token in 9..20 {
        world.say(PUPPET, ENGINE, complete(60, "b", token)); // taken anew, and again
    }
    world.say(PUPPET, ENGINE, complete(70, "c", 9));
    assert_eq!(questions(&mut world), [], "one round at a time");
    world.say(PUPPET, ENGINE, answer(question, 60, "b", None));
    let asked = questions(&mut world);
    let next = asked[0].0;
    assert!(next > question);
    assert_eq!(asked, [(next, 50, 7), (next, 60, 19), (next, 70, 9)]);
    for (serial, requester) in [(60, "b"), (70, "c")] {
        world.say(PUPPET, ENGINE, answer(question, serial, requester, relied));
        world.say(PUPPET, ENGINE, answer(next, serial, requester, relied));
    }
    assert_eq!(verdicts(&mut world), [], "what was said in the first round does not count");
    world.say(PUPPET, ENGINE, release(50, "a"));
    assert_eq!(verdicts(&mut world), [(60, false), (70, false)], "nobody waits for who is gone");
    assert_eq!(questions(&mut world), []);
}

/// Nothing is left of a round when those that were asked about are gone, however they go.
#[test]
fn nothing_is_left_of_a_round() {
    for how in 0..4 {
        let (mut world, _) = two_shares();
        match how {
            0 => world.say(PUPPET, ENGINE, release(60, "b")),
            1 => world.cut(ENGINE, PUPPET),
            2 => world.say(PUPPET, ENGINE, Message::Goodbye { why: Goodbye::Closing }),
            _ => world.command(ENGINE, Command::Close),
        }
        world.settle();
        if how == 0 {
            world.say(PUPPET, ENGINE, release(50, "a"));
        }
        assert_eq!(verdicts(&mut world), []);
        world.assert_at_rest();
    }
}

/// The home says what is true when it is asked, of the hold with that token, where it binds at who asks.
#[test]
fn a_home_says_what_its_hold_is_worth() {
    let mut world = world(State::Synced);
    let pid = world.spawn(ENGINE);
    let requester = || name("me");
    let ask = |world: &mut World, serial, token| {
        let question =
            Message::ConfirmHold { question: 3, resource: name("r"), requester: requester(), serial, token };
        world.told(PUPPET);
        world.say(PUPPET, ENGINE, question);
        let told = world.told(PUPPET);
        let [Message::HoldConfirmed { question: 3, standing, .. }] = told[..] else { panic!("{told:?}") };
        standing
    };
    assert_eq!(ask(&mut world, pid.serial, 0), None);
    let token = world.take_lock(pid, by("me").on(&[ENGINE]));
    assert_eq!(ask(&mut world, pid.serial, token), None, "not there");
    world.exit(pid);
    let pid = world.spawn(ENGINE);
    // The puppet votes.
    let op = world.acquire(pid, by("me"));
    let told = world.told(PUPPET);
    let tx = told.iter().find_map(|message| match message {
        Message::Acquire { tx, .. } => Some(*tx),
        _ => None,
    });
    let tx = tx.expect("it is asked");
    world.say(PUPPET, ENGINE, Message::Grant { tx, key: Key::Lock(name("r")), epoch: 99, regs: vec![] });
    let token = world.token(op);
    assert_eq!(ask(&mut world, pid.serial, token), Some(Standing::Relied));
    assert_eq!(ask(&mut world, pid.serial, token + 1), None);
    assert_eq!(ask(&mut world, pid.serial + 1, token), None);
    let conflict = |serial, token, ends| {
        let (resource, requester) = (name("r"), requester());
        Message::LockConflict { resource, requester, serial, token, ends }
    };
    // That it ends is for a hold that is lost to broken links; what is said of another token is void.
    world.say(PUPPET, ENGINE, conflict(pid.serial, token, true));
    world.say(PUPPET, ENGINE, conflict(pid.serial, token - 1, false));
    assert_eq!(ask(&mut world, pid.serial, token), Some(Standing::Relied));
    world.say(PUPPET, ENGINE, conflict(pid.serial, token, false));
    assert_eq!(ask(&mut world, pid.serial, token), Some(Standing::SecondHolder));
    world.say(PUPPET, ENGINE, conflict(pid.serial, token, true));
    assert_eq!(ask(&mut world, pid.serial, token), Some(Standing::SecondHolder));
    assert_eq!(world.lost_locks(pid), [Reason::SECOND_HOLDER]);
    let released = world.release(pid, by("me"));
    world.settle();
    let told = world.told(PUPPET);
    let ack = told.iter().find_map(|message| match message {
        Message::ShareReleased { ack, .. } => *ack,
        _ => None,
    });
    world.say(PUPPET, ENGINE, Message::Ack { tx: ack.expect("it is withdrawn") });
    assert_eq!(world.status(released), Some(Status::Ok));
    assert_eq!(puppet(), NodeId(20));
}

// ---- what was lost to broken links

const FIVE: [(NodeIndex, NodeIndex); 4] = [(0, 1), (0, 2), (0, 3), (0, 4)];

/// Five nodes, the one of the first holder cut off; the four others let another one have the lock.
fn one_is_cut_off() -> (World, Pid, Pid, u64) {
    let mut world = World::mesh(5);
    let (old, new) = (world.spawn(0), world.spawn(1));
    world.take_lock(old, by("old"));
    cut_all(&mut world, &FIVE);
    assert_eq!(world.lost_locks(old), [Reason::MINORITY]);
    let token = world.take_lock(new, by("new"));
    (world, old, new, token)
}

/// "Of two holders that meet, one of whom was told MINORITY before, that one's shares end and the other hears nothing."
#[test]
pub(crate) fn what_was_lost_to_broken_links_ends_where_it_meets_a_holder() {
    let (mut world, old, new, token) = one_is_cut_off();
    link_all(&mut world, &FIVE);
    assert_eq!(world.lost_locks(old), [Reason::MINORITY], "no more than it was told");
    assert_eq!((world.lost_locks(new), world.check(new, "new")), (vec![], Some(token)));
    world.all_list(&[("new", new)]);
    let again = world.acquire(new, by("new").within(&world, 0));
    world.settle();
    assert_eq!(world.status(again), Some(Status::Ok), "nothing is in its way");
    let released = world.release(old, by("old"));
    world.settle();
    assert_eq!(world.status(released), Some(Status::NotOwner), "it has ended by itself");
    let waiting = world.acquire(old, by("old"));
    world.settle();
    world.give_back(new, by("new"));
    assert!(world.token(waiting) > token);
    world.give_back(old, by("old"));
    world.assert_at_rest();
}

/// The claim by which it is acquired anew goes on, and waits for who has it.
#[test]
fn a_claim_for_what_has_ended_goes_on() {
    let (mut world, old, new, token) = one_is_cut_off();
    world.connect(0, 2);
    let waiting = world.acquire(old, by("old").on(&[0]));
    assert!(world.status(waiting).is_some(), "on its own node it has it still");
    link_all(&mut world, &FIVE);
    // Acquired anew while it was apart: it could rely on it again, as the other one on its.
    assert_eq!(world.lost_locks(old), [Reason::MINORITY, Reason::SECOND_HOLDER]);
    assert_eq!((world.lost_locks(new), world.check(new, "new")), (vec![Reason::SECOND_HOLDER], None));
    let waiting = world.acquire(old, by("old"));
    world.settle();
    assert_eq!(world.status(waiting), None);
    world.give_back(new, by("new"));
    assert!(world.token(waiting) > token);
    world.give_back(old, by("old"));
    world.assert_at_rest();
}

/// Sharers of one requester, of whom one was cut off: only its share ends.
#[test]
fn only_the_share_that_was_lost_ends() {
    let mut world = World::nodes(4);
    link_all(&mut world, &[(0, 1), (0, 2), (1, 2)]);
    let sharers = [world.spawn(0), world.spawn(1)];
    for sharer in sharers {
        world.take_lock(sharer, by("team"));
    }
    cut_all(&mut world, &[(0, 1), (0, 2)]);
    assert_eq!(world.lost_locks(sharers[0]), [Reason::MINORITY]);
    let other = world.spawn(3);
    world.take_lock(other, by("other"));
    link_all(&mut world, &[(0, 3), (1, 3), (2, 3), (0, 1), (0, 2)]);
    assert_eq!(world.lost_locks(sharers[0]), [Reason::MINORITY]);
    assert_eq!(world.lost_locks(sharers[1]), [Reason::SECOND_HOLDER]);
    assert_eq!(world.lost_locks(other), [Reason::SECOND_HOLDER]);
    world.all_list(&[("other", other), ("team", sharers[1])]);
}

/// Two that were both lost to broken links: neither is relied on, so both stay, and keep others out until they are given back.
#[test]
fn two_that_were_lost_both_stay() {
    let mut world = World::mesh(4);
    let holders = [world.spawn(0), world.spawn(2)];
    world.take_lock(holders[0], by("0"));
    cut_all(&mut world, &[(0, 2), (0, 3), (1, 2), (1, 3)]);
    world.stay_apart();
    world.take_lock(holders[1], by("1"));
    world.cut(2, 3);
    link_all(&mut world, &[(0, 2), (0, 3), (1, 2), (1, 3), (2, 3)]);
    for holder in holders {
        assert_eq!(world.lost_locks(holder), [Reason::MINORITY]);
    }
    world.all_list(&[("0", holders[0]), ("1", holders[1])]);
    world.give_back(holders[0], by("0"));
    world.give_back(holders[1], by("1"));
    world.assert_at_rest();
}
