//! What no honest node says of locks: it is void or ends the link, and what a peer can make this node keep is limited.

use crate::harness::{World, config, name};
use crate::holds::by;
use crate::hostile::{ENGINE, FRIEND, PUPPET, State, friend, puppet, world};
use crate::lock_voter::{answers, asked, claim, complete, hold, key, release, tx, vote};
use convoke::engine::{Fact, Goodbye, Hold, Key, Message, Standing, Tx, Want};
use convoke::model::{Config, Limits, Pid, Status};

const BEYOND: u64 = u64::MAX / 2 + 1;

/// A hold of the engine's process, and the puppet's word on it.
#[test]
fn what_is_void() {
    let mut world = world(State::Synced);
    let (pid, list) = (world.spawn(ENGINE), [ENGINE, FRIEND]);
    let token = world.take_lock(pid, by("me").on(&list));
    let watch = world.watch(pid, by("me"));
    world.settle();
    let (resource, requester) = (name("r"), name("me"));
    let say = |world: &mut World, message: Message| {
        world.say(PUPPET, ENGINE, message);
        world.settle();
        assert!(world.is_linked(ENGINE, PUPPET));
    };
    let waiter = Pid { node: puppet(), serial: 1 };
    for serial in [pid.serial, 77] {
        for requester in [requester.clone(), name("nobody")] {
            // The puppet is not in the set: nothing of it binds there, nobody waits there.
            let resource = resource.clone();
            let conflict = |ends| Message::LockConflict {
                resource: resource.clone(),
                requester: requester.clone(),
                serial,
                token,
                ends,
            };
            say(&mut world, conflict(false));
            say(&mut world, conflict(true));
            // An answer to what was not asked.
            let standing = Some(Standing::Relied);
            let (resource, requester) = (resource.clone(), requester.clone());
            say(&mut world, Message::HoldConfirmed { question: 1, resource, requester, serial, standing });
        }
        let (resource, requester) = (resource.clone(), requester.clone());
        say(&mut world, Message::Wanted { tx: tx(5), resource, requester, serial, waiter });
    }
    // What it drops is its own, whoever else has the same requester and serial.
    let (resource, requester) = (resource.clone(), requester.clone());
    say(
        &mut world,
        Message::ShareReleased { resource, requester, serial: pid.serial, rest: None, ack: None },
    );
    say(&mut world, Message::NoWait { tx: tx(5), key: key() });
    say(&mut world, Message::Release { tx: tx(5), key: key() });
    say(&mut world, Message::Yield { tx: tx(5), key: key() });
    assert_eq!((world.check(pid, "me"), world.lost_locks(pid)), (Some(token), vec![]));
    assert_eq!(world.wanted_by(pid, watch), []);
    assert_eq!(world.holders(ENGINE), [("me".into(), pid)]);
    world.exit(pid);
    world.settle();
    world.assert_at_rest();
}

/// What ends the link, whatever was held before; nothing of it stays.
#[test]
fn what_ends_the_link() {
    let good = || hold(60, "a", 7);
    let held = |hold: Hold| Message::SharePublished { tx: tx(60), hold };
    let want = |requester: &str, serial| Want::Lock { requester: name(requester), serial };
    let drop = |rest| Message::ShareReleased {
        resource: name("r"),
        requester: name("a"),
        serial: 60,
        rest: Some(rest),
        ack: Some(tx(1)),
    };
    let violations = vec![
        (
            "a hold under another's claim",
            Message::SharePublished { tx: Tx { node: friend(), ..tx(60) }, hold: good() },
        ),
        ("no resource", held(Hold { resource: name(""), ..good() })),
        ("no requester", held(Hold { requester: name(""), ..good() })),
        ("no process", held(Hold { serial: 0, ..good() })),
        ("a huge token", held(Hold { token: BEYOND, ..good() })),
        (
            "a hold of another requester than was claimed",
            Message::SharePublished { tx: tx(50), hold: good() },
        ),
        ("the rest of another lock", drop(Hold { resource: name("s"), ..good() })),
        ("the rest of another requester's", drop(Hold { requester: name("s"), ..good() })),
        ("the rest of another process's", drop(Hold { serial: 61, ..good() })),
        ("a huge token of a rest", drop(Hold { token: u64::MAX, ..good() })),
        (
            "a lock with a name's want",
            Message::Acquire { tx: tx(9), key: key(), want: Want::Name { replace: false }, no_wait: false },
        ),
        (
            "a name with a lock's want",
            Message::Acquire { tx: tx(9), key: Key::Name(name("r")), want: want("a", 1), no_wait: false },
        ),
        (
            "no requester of a claim",
            Message::Acquire { tx: tx(9), key: key(), want: want("", 1), no_wait: false },
        ),
        (
            "no process of a claim",
            Message::Acquire { tx: tx(9), key: key(), want: want("a", 0), no_wait: false },
        ),
        (
            "no resource of a claim",
            Message::Acquire { tx: tx(9), key: Key::Lock(name("")), want: want("a", 1), no_wait: false },
        ),
        ("a claim twice", claim(50, "b", false)),
        (
            "a claim of another stops waiting",
            Message::NoWait { tx: Tx { node: friend(), ..tx(50) }, key: key() },
        ),
        ("a huge vote", Message::Grant { tx: tx(9), key: key(), epoch: BEYOND, regs: vec![] }),
    ];
    for (what, message) in violations {
        let mut world = world(State::Synced);
        world.say(PUPPET, ENGINE, claim(50, "b", false));
        world.say(PUPPET, ENGINE, claim(51, "b", false));
        world.say(PUPPET, ENGINE, complete(51, "b", 3));
        world.say(PUPPET, ENGINE, message);
        assert_eq!(world.goodbye(PUPPET), Some(Goodbye::Violation), "{what}");
        assert_eq!(world.log(ENGINE).len(), 1, "{what}");
        assert_eq!(world.holders(ENGINE), [], "{what}");
        let pid = world.spawn(ENGINE);
        world.take_lock(pid, by("me"));
        world.give_back(pid, by("me"));
        world.assert_at_rest();
    }
}

/// A snapshot is held to the same rules.
#[test]
fn a_snapshot_with_a_senseless_hold_ends_the_link() {
    let good = || hold(60, "a", 7);
    for bad in [
        Hold { resource: name(""), ..good() },
        Hold { requester: name(""), ..good() },
        Hold { serial: 0, ..good() },
        Hold { token: BEYOND, ..good() },
    ] {
        let mut world = world(State::Linked);
        let facts = vec![Fact::Hold(hold(61, "a", 7)), Fact::Hold(bad)];
        world.say(PUPPET, ENGINE, Message::Hello { facts, last: true });
        assert_eq!(world.goodbye(PUPPET), Some(Goodbye::Violation));
        assert_eq!(world.holders(ENGINE), [], "what was good in it went with the link");
        world.assert_at_rest();
    }
}

/// A vote, or a wound, for the right claim under a wrong key.
#[test]
fn a_vote_for_another_key_ends_the_link() {
    for wrong in [Key::Lock(name("s")), Key::Name(name("r"))] {
        let (mut world, _, op, tx) = asked(|_| by("me"));
        world.say(PUPPET, ENGINE, Message::Grant { tx, key: wrong.clone(), epoch: 1, regs: vec![] });
        assert_eq!(world.goodbye(PUPPET), Some(Goodbye::Violation));
        world.stay_apart();
        world.token(op); // the others have granted
        let (mut world, _, _, tx) = asked(|_| by("me"));
        let third = world.add_puppet(40);
        world.link(ENGINE, third);
        world.say(PUPPET, ENGINE, vote(tx, 1));
        world.say(PUPPET, ENGINE, Message::Wound { tx, key: wrong });
        assert_eq!(world.goodbye(PUPPET), Some(Goodbye::Violation));
    }
}

/// The largest token that is no violation does not overflow anything: the next ones cannot rise, and nothing panics.
#[test]
fn the_largest_token_is_the_end_of_tokens() {
    let mut world = world(State::Synced);
    answers(&mut world, complete(60, "a", BEYOND - 1));
    answers(&mut world, release(60, "a"));
    world.say(PUPPET, ENGINE, Message::Goodbye { why: Goodbye::Closing });
    let pid = world.spawn(ENGINE);
    assert_eq!(world.take_lock(pid, by("me")), BEYOND - 1);
    assert!(world.is_linked(ENGINE, FRIEND), "honest nodes do not take each other for liars");
}

// ---- limits

/// "Shares of locks that processes of this node may hold": E_FULL beyond, those under way count; what is held already is
/// no new one; what is given back can be taken again.
#[test]
fn own_locks_are_limited() {
    let mut world = World::empty();
    for index in 0..2 {
        world.add(Config { limits: Limits { locks: 3, ..Limits::default() }, ..config(index) });
    }
    world.link(0, 1);
    let (pid, waiter) = (world.spawn(0), world.spawn(0));
    let ops = [0, 1, 2, 3, 4].map(|i| world.acquire(pid, by("me").of(["a", "b", "c", "d", "e"][i])));
    world.settle();
    let statuses = ops.map(|op| world.status(op));
    assert_eq!(statuses[..3], [Some(Status::Ok); 3]);
    assert_eq!(statuses[3..], [Some(Status::Full); 2]);
    world.take_lock(pid, by("me").of("a"));
    let op = world.acquire(waiter, by("me").of("a"));
    assert_eq!(world.status(op), Some(Status::Full), "a sharer's share is one more");
    world.give_back(pid, by("me").of("b"));
    world.take_lock(waiter, by("me").of("a"));
    // Names are another matter.
    let op = world.register(pid, "name");
    world.settle();
    assert_eq!(world.status(op), Some(Status::Ok));
    assert!(world.is_linked(0, 1));
    world.exit(pid);
    world.exit(waiter);
    world.settle();
    world.assert_at_rest();
}
