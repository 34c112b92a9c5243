//! Locks message by message, at the voter and at the coordinator: a puppet claims, holds and votes.

use crate::harness::{Frame, World, ms, name};
use crate::holds::{Lock, by};
use crate::hostile::{ENGINE, FRIEND, PUPPET, State, friend, me, puppet, world};
use convoke::engine::{Fact, Hold, Key, Message, Reg, Standing, Tx, Want};
use convoke::model::{NodeId, Pid, Reason, Ref, Status};
use std::collections::BTreeSet;

pub(crate) fn tx(lamport: u64) -> Tx {
    Tx { lamport, node: puppet() }
}

pub(crate) fn key() -> Key {
    Key::Lock(name("r"))
}

pub(crate) fn claim(lamport: u64, requester: &str, no_wait: bool) -> Message {
    let want = Want::Lock { requester: name(requester), serial: lamport };
    Message::Acquire { tx: tx(lamport), key: key(), want, no_wait }
}

/// The hold of the claim with this number, on the engine alone.
pub(crate) fn hold(lamport: u64, requester: &str, token: u64) -> Hold {
    Hold {
        resource: name("r"),
        requester: name(requester),
        serial: lamport,
        view: false,
        nodes: [me()].into(),
        token,
        watched: false,
    }
}

pub(crate) fn complete(lamport: u64, requester: &str, token: u64) -> Message {
    Message::SharePublished { tx: tx(lamport), hold: hold(lamport, requester, token) }
}

pub(crate) fn release(lamport: u64, requester: &str) -> Message {
    let (resource, requester) = (name("r"), name(requester));
    Message::ShareReleased { resource, requester, serial: lamport, rest: None, ack: None }
}

/// The puppet says to every question whether its hold is what it is asked about that it relies on it.
fn told_and_confirmed(world: &mut World) -> Vec<Message> {
    let mut told = Vec::new();
    loop {
        let more = world.told(PUPPET);
        if more.is_empty() {
            return told;
        }
        for message in more {
            match message {
                Message::ConfirmHold { question, resource, requester, serial, .. } => {
                    let standing = Some(Standing::Relied);
                    let answer = Message::HoldConfirmed { question, resource, requester, serial, standing };
                    world.say(PUPPET, ENGINE, answer);
                }
                message => told.push(message),
            }
        }
    }
}

/// What the engine answers to this, in short.
pub(crate) fn answers(world: &mut World, message: Message) -> Vec<String> {
    world.say(PUPPET, ENGINE, message);
    let told = told_and_confirmed(world).into_iter();
    let short = told.filter_map(|message| {
        Some(match message {
            Message::Grant { tx, .. } => format!("grant {}", tx.lamport),
            Message::Deny { tx } => format!("deny {}", tx.lamport),
            Message::Wound { tx, .. } => format!("wound {}", tx.lamport),
            Message::LockConflict { serial, ends: false, .. } => format!("second {serial}"),
            Message::Ack { tx } => format!("ack {}", tx.lamport),
            Message::SharePublished { .. } | Message::Commit { .. } => return None,
            other => format!("{other:?}"),
        })
    });
    short.collect()
}

fn epoch(world: &mut World, message: Message) -> u64 {
    world.say(PUPPET, ENGINE, message);
    let told = world.told(PUPPET);
    let votes = told.iter().filter_map(|message| match message {
        Message::Grant { epoch, .. } => Some(*epoch),
        _ => None,
    });
    votes.max().unwrap_or_else(|| panic!("no vote: {told:?}"))
}

// ---- the voter

/// "may_share: holders' req==req & (some holder is Held | no older waiter of another req)"; "wound: unless some holder is
/// Held, each holder younger than the oldest waiter of another req, once"; "next = oldest of the queue".
#[test]
fn a_voter_grants_shares_and_wounds_by_age() {
    let mut world = world(State::Synced);
    assert_eq!(answers(&mut world, claim(50, "a", false)), ["grant 50"]);
    assert_eq!(answers(&mut world, claim(60, "a", false)), ["grant 60"], "nobody else waits");
    assert_eq!(answers(&mut world, claim(70, "b", false)), [""; 0], "it is younger than the holders");
    assert_eq!(answers(&mut world, claim(80, "a", false)), [""; 0], "behind an older one of another");
    assert_eq!(answers(&mut world, claim(65, "a", false)), ["grant 65"], "before it");
    assert_eq!(answers(&mut world, claim(55, "c", false)), ["wound 60", "wound 65"]);
    assert_eq!(answers(&mut world, claim(52, "d", false)), [""; 0], "each is wounded once");
    assert_eq!(answers(&mut world, Message::Yield { tx: tx(65), key: key() }), [""; 0]);
    assert_eq!(answers(&mut world, Message::Yield { tx: tx(60), key: key() }), [""; 0]);
    // The last one is over: the oldest waiter is served, then each in its turn. Sharers of it enter unless one of
    // another requester is older.
    let releases = |lamport| Message::Release { tx: tx(lamport), key: key() };
    assert_eq!(answers(&mut world, releases(50)), ["grant 52"]);
    assert_eq!(answers(&mut world, releases(52)), ["grant 55"]);
    assert_eq!(answers(&mut world, releases(55)), ["grant 60", "grant 65"]);
    assert_eq!(answers(&mut world, releases(70)), ["grant 80"], "who stood in its way is gone");
    for lamport in [60, 65, 80] {
        assert_eq!(answers(&mut world, releases(lamport)), [""; 0]);
    }
    world.assert_at_rest();
}

/// "Held: mark the holder Held; Deny nowait waiters of other requesters": then age gives way, and only sharers enter.
#[test]
fn a_hold_that_is_complete_is_not_wounded() {
    let mut world = world(State::Synced);
    assert_eq!(answers(&mut world, claim(50, "a", false)), ["grant 50"]);
    assert_eq!(answers(&mut world, claim(40, "b", true)), ["wound 50"], "older, so it may hope");
    assert_eq!(answers(&mut world, claim(45, "b", false)), [""; 0]);
    assert_eq!(answers(&mut world, complete(50, "a", 7)), ["deny 40"]);
    assert_eq!(answers(&mut world, claim(30, "c", false)), [""; 0], "older, but the lock is held");
    assert_eq!(answers(&mut world, claim(20, "c", true)), ["deny 20"]);
    assert_eq!(answers(&mut world, claim(90, "a", true)), ["grant 90"], "it shares");
    assert_eq!(answers(&mut world, complete(90, "a", 7)), [""; 0]);
    assert_eq!(answers(&mut world, release(50, "a")), [""; 0], "one of two");
    assert_eq!(answers(&mut world, release(90, "a")), ["grant 30"]);
    for lamport in [30, 45] {
        answers(&mut world, Message::Release { tx: tx(lamport), key: key() });
    }
    world.assert_at_rest();
}

/// "nowait & a holder is Held or an older claim of another requester is here: Deny." Also when that comes to be later.
#[test]
fn a_try_is_denied_behind_an_older_claim() {
    let mut world = world(State::Synced);
    assert_eq!(answers(&mut world, claim(50, "a", false)), ["grant 50"]);
    assert_eq!(answers(&mut world, claim(60, "b", true)), ["deny 60"]);
    assert_eq!(answers(&mut world, claim(45, "b", true)), ["wound 50"]);
    assert_eq!(answers(&mut world, claim(47, "c", true)), ["deny 47"], "behind the waiter");
    assert_eq!(answers(&mut world, claim(40, "d", false)), ["deny 45"], "which is behind this one now");
    // From now on it does not wait for others.
    assert_eq!(answers(&mut world, claim(70, "e", false)), [""; 0]);
    assert_eq!(answers(&mut world, Message::NoWait { tx: tx(70), key: key() }), ["deny 70"]);
    assert_eq!(answers(&mut world, Message::NoWait { tx: tx(50), key: key() }), [""; 0], "it has its vote");
    assert_eq!(answers(&mut world, Message::NoWait { tx: tx(40), key: key() }), [""; 0], "it is first");
    assert_eq!(answers(&mut world, complete(50, "a", 7)), ["deny 40"]);
    assert_eq!(answers(&mut world, release(50, "a")), [""; 0]);
    world.assert_at_rest();
}

/// Those who are denied stand in nobody's way: a sharer behind them enters.
#[test]
fn a_denial_lets_in_who_stood_behind() {
    let mut world = world(State::Synced);
    assert_eq!(answers(&mut world, claim(50, "a", false)), ["grant 50"]);
    assert_eq!(answers(&mut world, claim(60, "b", false)), [""; 0]);
    assert_eq!(answers(&mut world, claim(70, "a", false)), [""; 0]);
    assert_eq!(answers(&mut world, Message::NoWait { tx: tx(60), key: key() }), ["deny 60", "grant 70"]);
    for lamport in [50, 70] {
        answers(&mut world, Message::Release { tx: tx(lamport), key: key() });
    }
    world.assert_at_rest();
}

/// "Installing a hold over another requester's incomplete claim wounds that claim whatever its age; over a complete one,
/// both stay and both homes are told." "may_share demands that ALL holds bound here have the requester."
#[test]
fn a_foreign_hold_wounds_claims_and_meets_holds() {
    let mut world = world(State::Synced);
    assert_eq!(answers(&mut world, claim(10, "a", false)), ["grant 10"]);
    assert_eq!(answers(&mut world, complete(90, "b", 7)), ["wound 10"]);
    assert_eq!(
        answers(&mut world, complete(10, "a", 8)),
        ["second 10", "second 90"],
        "it was complete before"
    );
    assert_eq!(answers(&mut world, complete(11, "a", 8)), ["second 10", "second 11", "second 90"]);
    assert_eq!(
        answers(&mut world, complete(12, "c", 8)),
        ["second 10", "second 11", "second 90", "second 12"]
    );
    for requester in ["a", "b", "c", "d"] {
        assert_eq!(answers(&mut world, claim(20, requester, true)), ["deny 20"], "{requester}");
    }
    assert_eq!(answers(&mut world, claim(21, "b", false)), [""; 0]);
    assert_eq!(answers(&mut world, claim(22, "d", false)), [""; 0]);
    assert_eq!(answers(&mut world, release(12, "c")), [""; 0]);
    assert_eq!(answers(&mut world, release(10, "a")), [""; 0]);
    assert_eq!(answers(&mut world, release(11, "a")), ["grant 21"], "the sharer of who is left");
    assert_eq!(answers(&mut world, release(90, "b")), [""; 0]);
    assert_eq!(answers(&mut world, Message::Release { tx: tx(21), key: key() }), ["grant 22"]);
    answers(&mut world, Message::Release { tx: tx(22), key: key() });
    world.assert_at_rest();
}

/// A share that is acquired anew while another requester's hold comes in: what its home heard of that was about the time
/// before. Told again, it loses the lock again; nobody relies on what two have.
#[test]
fn a_share_acquired_anew_is_told_again() {
    let mut voter = world(State::Synced);
    assert_eq!(answers(&mut voter, claim(50, "a", false)), ["grant 50"]);
    assert_eq!(answers(&mut voter, complete(50, "a", 7)), [""; 0]);
    let want = Want::Lock { requester: name("a"), serial: 50 };
    let again = Message::Acquire { tx: tx(60), key: key(), want, no_wait: false };
    assert_eq!(answers(&mut voter, again), ["grant 60"]);
    assert_eq!(answers(&mut voter, complete(90, "b", 7)), ["wound 60", "second 50", "second 90"]);
    let held = Message::SharePublished { tx: tx(60), hold: hold(50, "a", 7) };
    assert_eq!(answers(&mut voter, held)[0], "second 50");

    let (mut home, pid, op, tx) = asked(|_| by("me"));
    home.say(PUPPET, ENGINE, vote(tx, 5));
    let first = home.token(op);
    home.hang(FRIEND);
    let op = home.acquire(pid, by("me"));
    let told = home.told(PUPPET);
    let asks = told.iter().find_map(|message| match message {
        Message::Acquire { tx, .. } => Some(*tx),
        _ => None,
    });
    home.say(PUPPET, ENGINE, vote(asks.expect("it is asked"), 5));
    let second = |token| Message::LockConflict {
        resource: name("r"),
        requester: name("me"),
        serial: pid.serial,
        token,
        ends: false,
    };
    home.say(PUPPET, ENGINE, second(first));
    assert_eq!(home.check(pid, "me"), None);
    home.wake(FRIEND);
    home.settle();
    let token = home.token(op);
    assert!(token >= first);
    assert!(home.check(pid, "me").is_some());
    home.say(PUPPET, ENGINE, second(token));
    assert_eq!(home.check(pid, "me"), None);
    assert_eq!(home.lost_locks(pid), [Reason::SECOND_HOLDER; 2]);
}

/// "A resource goes from free to granted: epoch=++counter, voted with every Grant of that epoch"; "Held of a claim granted
/// here: epoch=max(epoch,token)"; "a hold that was not granted here, or that meets another requester's hold or claim
/// here, ends the epoch: the next grant, also to a sharer, takes ++counter".
#[test]
fn the_numbers_of_epochs() {
    let mut world = world(State::Synced);
    let first = epoch(&mut world, claim(50, "a", false));
    assert_eq!(epoch(&mut world, claim(51, "a", false)), first);
    let token = first + 1000;
    answers(&mut world, complete(50, "a", token));
    assert_eq!(epoch(&mut world, claim(52, "a", false)), token, "the epoch has risen to it");
    // Not granted here: it came otherwise.
    answers(&mut world, complete(60, "a", token + 5));
    let next = epoch(&mut world, claim(53, "a", false));
    assert_eq!(next, token + 6);
    // The same hold told of again, because something else of it changed, is no news.
    answers(&mut world, complete(60, "a", token + 5));
    assert_eq!(epoch(&mut world, claim(54, "a", false)), next);
    // It has got a higher token elsewhere.
    answers(&mut world, complete(60, "a", token + 50));
    let next = epoch(&mut world, claim(55, "a", false));
    assert_eq!(next, token + 51);
    // A foreign one meets it and goes.
    answers(&mut world, complete(99, "b", 3));
    answers(&mut world, release(99, "b"));
    assert_eq!(epoch(&mut world, claim(56, "a", false)), next + 1);
    for lamport in [50, 60] {
        answers(&mut world, release(lamport, "a"));
    }
    for lamport in 51..57 {
        answers(&mut world, Message::Release { tx: tx(lamport), key: key() });
    }
    world.assert_at_rest();
    assert_eq!(epoch(&mut world, claim(70, "a", false)), next + 2, "free once more");
    // A foreign hold meets a claim that is not complete; it yields, and the sharer that comes next has a new number.
    answers(&mut world, complete(98, "b", 3));
    answers(&mut world, release(98, "b"));
    assert_eq!(epoch(&mut world, claim(71, "a", false)), next + 3);
}

/// "Hello carries it and raises counters", also of holds that do not bind here.
#[test]
fn every_token_heard_of_raises_the_counter() {
    for bound in [false, true] {
        let mut world = world(State::Linked);
        let nodes: BTreeSet<NodeId> = if bound { [me()].into() } else { [NodeId(99)].into() };
        let fact = Fact::Hold(Hold { nodes, ..hold(60, "a", 1 << 40) });
        world.say(PUPPET, ENGINE, Message::Hello { facts: vec![fact], last: true });
        assert_eq!(world.holders(ENGINE).len(), 1);
        let taken = answers(&mut world, claim(61, "b", true)).contains(&"deny 61".to_owned());
        assert_eq!(taken, bound);
        answers(&mut world, release(60, "a"));
        let other = Message::Release { tx: tx(61), key: key() };
        answers(&mut world, other);
        assert!(epoch(&mut world, claim(62, "a", false)) > 1 << 40);
    }
}

/// A share that goes from a node in part binds there no longer; what is said of a share that is not there is void.
#[test]
fn a_drop_in_part_unbinds() {
    let mut world = world(State::Synced);
    answers(&mut world, claim(50, "a", false));
    answers(&mut world, complete(50, "a", 7));
    assert_eq!(answers(&mut world, claim(60, "b", false)), [""; 0]);
    let elsewhere = Hold { nodes: [puppet()].into(), ..hold(50, "a", 7) };
    let drop = |rest, ack| Message::ShareReleased {
        resource: name("r"),
        requester: name("a"),
        serial: 50,
        rest,
        ack,
    };
    let told = answers(&mut world, drop(Some(elsewhere), Some(tx(3))));
    assert_eq!(told, ["ack 3", "grant 60"]);
    assert_eq!(world.holders(ENGINE).len(), 1, "it is listed still");
    assert_eq!(answers(&mut world, drop(None, Some(tx(4)))), ["ack 4"]);
    assert_eq!(answers(&mut world, drop(None, Some(tx(5)))), ["ack 5"]);
    assert_eq!(world.holders(ENGINE), []);
    answers(&mut world, Message::Release { tx: tx(60), key: key() });
    world.assert_at_rest();
}

// ---- the coordinator

/// A claim of the engine that the friend has granted and the puppet is asked for.
pub(crate) fn asked(lock: impl FnOnce(&World) -> Lock<'static>) -> (World, Pid, Ref, Tx) {
    let mut world = world(State::Synced);
    let pid = world.spawn(ENGINE);
    let lock = lock(&world);
    let op = world.acquire(pid, lock);
    let told = world.told(PUPPET);
    let [Message::Acquire { tx, .. }] = told[..] else { panic!("{told:?}") };
    (world, pid, op, tx)
}

pub(crate) fn vote(tx: Tx, epoch: u64) -> Message {
    Message::Grant { tx, key: key(), epoch, regs: vec![] }
}

/// "token = max of the votes", whoever votes last; "op unknown: Release".
#[test]
fn the_token_is_the_largest_vote() {
    let (mut world, pid, op, tx) = asked(|_| by("me"));
    world.say(PUPPET, ENGINE, vote(tx, 1 << 40));
    assert_eq!(world.token(op), 1 << 40);
    world.settle();
    assert_eq!(world.check(pid, "me"), Some(1 << 40));
    let told = world.told(PUPPET);
    let [Message::SharePublished { hold, .. }] = &told[..] else { panic!("{told:?}") };
    assert_eq!((hold.token, hold.view, hold.watched), (1 << 40, true, false));
    assert_eq!(hold.nodes, [me(), puppet(), friend()].into());
    world.say(PUPPET, ENGINE, vote(tx, 1));
    assert_eq!(world.told(PUPPET), [Message::Release { tx, key: key() }]);
}

/// "Wound(from,tx) at coordinator: nowait -> Release everywhere, answer no; else granted-=from; send Yield".
#[test]
fn a_wounded_claim_yields_or_gives_up() {
    let (mut world, _, op, tx) = asked(|_| by("me"));
    let third = world.add_puppet(40);
    world.link(ENGINE, third);
    world.told(third);
    world.say(PUPPET, ENGINE, vote(tx, 5));
    world.say(PUPPET, ENGINE, Message::Wound { tx, key: key() });
    assert_eq!(world.told(PUPPET), [Message::Yield { tx, key: key() }]);
    world.say(third, ENGINE, vote(tx, 5));
    assert_eq!(world.status(op), None, "that vote is given back");
    world.say(PUPPET, ENGINE, vote(tx, 6));
    assert_eq!(world.token(op), 6);

    let (mut world, _, op, tx) = asked(|_| by("me").retries(0));
    let third = world.add_puppet(40);
    world.link(ENGINE, third);
    world.say(PUPPET, ENGINE, vote(tx, 5));
    world.say(PUPPET, ENGINE, Message::Wound { tx, key: key() });
    assert_eq!(world.told(PUPPET), [Message::Release { tx, key: key() }]);
    assert_eq!(world.status(op), Some(Status::Timeout));
    world.settle();
    world.assert_at_rest();
}

/// A claim that stops waiting says so to those who have not granted, and asks who joins then as one that does not wait.
#[test]
fn who_has_not_granted_hears_that_a_claim_stops_waiting() {
    let (mut world, _, op, tx) = asked(|_| by("me").retries(1));
    world.delivered.clear();
    world.advance(ms(125));
    assert_eq!(world.told(PUPPET), [Message::NoWait { tx, key: key() }]);
    let hurries = |frame: &Frame| matches!(frame.message(), Some(Message::NoWait { .. }));
    assert_eq!(world.delivered.iter().filter(|(_, to, frame)| *to == FRIEND && hurries(frame)).count(), 0);
    let third = world.add_puppet(40);
    world.link(ENGINE, third);
    let told = world.told(third);
    assert!(told.iter().any(|message| matches!(message, Message::Acquire { no_wait: true, .. })), "{told:?}");
    world.say(third, ENGINE, Message::Deny { tx });
    assert_eq!(world.status(op), Some(Status::Timeout));
}

/// Denied, wounded or voted for by who was not asked: void.
#[test]
fn a_claim_on_a_list_heeds_only_the_list() {
    let mut world = world(State::Synced);
    let pid = world.spawn(ENGINE);
    world.hang(FRIEND);
    let op = world.acquire(pid, by("me").on(&[FRIEND]));
    let tx = world.in_flight().into_iter().find_map(|(_, _, frame)| match frame.message() {
        Some(Message::Acquire { tx, .. }) => Some(*tx),
        _ => None,
    });
    let tx = tx.expect("it is asked");
    for message in [Message::Deny { tx }, vote(tx, 5), Message::Wound { tx, key: key() }] {
        world.say(PUPPET, ENGINE, message);
    }
    assert_eq!(world.status(op), None);
    assert_eq!(world.told(PUPPET), []);
    world.wake(FRIEND);
    world.settle();
    assert!(world.token(op) < 5);
}

/// A hold of another that is told of, although the claim waits: a binding that a voter shows is nothing to a lock.
#[test]
fn a_lock_is_not_busy() {
    let (mut world, _, op, tx) = asked(|_| by("me"));
    world.say(PUPPET, ENGINE, Message::Busy { tx, reg: Reg { node: NodeId(99), seq: 1 } });
    for _ in 0..20 {
        world.advance(ms(500));
        world.say(PUPPET, ENGINE, Message::Heartbeat);
    }
    assert_eq!(world.status(op), None);
    world.say(PUPPET, ENGINE, vote(tx, 5));
    world.token(op);
}
