//! Voter and coordinator, message by message, in each state of a key and of a claim. A puppet is the other side.

use crate::harness::name;
use crate::hostile::{
    ENGINE, FRIEND, PUPPET, State, acquire, binding, commit, friend, key, me, puppet, reg, tx, world,
};
use convoke::engine::{Message, Tx, Want};
use convoke::model::{NodeId, Status};

// ---- the voter, message by message

/// Acquire in each state of the key: free, held by another claim (older, younger), bound, crowded.
#[test]
fn a_voter_answers_by_the_state_of_the_key() {
    let older = Tx { lamport: 1, node: puppet() };
    let grant = |told: &[Message]| matches!(told, [Message::Grant { regs, .. }] if regs.is_empty());
    // Free.
    let mut world = world(State::Synced);
    world.say(PUPPET, ENGINE, acquire(puppet(), "free"));
    assert!(grant(&world.told(PUPPET)));
    // Held by a claim of the puppet itself, older and younger.
    world.say(
        PUPPET,
        ENGINE,
        Message::Acquire { tx: older, key: key("free"), want: Want::Name { replace: false }, no_wait: false },
    );
    let told = world.told(PUPPET);
    assert!(matches!(told[..], [Message::Wound { tx: t, .. }] if t == tx(puppet())), "{told:?}");
    let younger = Tx { lamport: 200, node: puppet() };
    world.say(
        PUPPET,
        ENGINE,
        Message::Acquire {
            tx: younger,
            key: key("free"),
            want: Want::Name { replace: false },
            no_wait: false,
        },
    );
    assert_eq!(world.told(PUPPET), [], "it waits; the wound is not repeated");
    let no_wait = Tx { lamport: 300, node: puppet() };
    world.say(
        PUPPET,
        ENGINE,
        Message::Acquire {
            tx: no_wait,
            key: key("free"),
            want: Want::Name { replace: false },
            no_wait: true,
        },
    );
    assert_eq!(world.told(PUPPET), [Message::Deny { tx: no_wait }]);
    // It yields: the older one is served and keeps the key; the others keep their age.
    world.say(PUPPET, ENGINE, Message::Yield { tx: tx(puppet()), key: key("free") });
    let told = world.told(PUPPET);
    assert!(matches!(&told[..], [Message::Grant { tx, .. }] if *tx == older), "{told:?}");
    for next in [tx(puppet()), younger] {
        let last = if next == younger { tx(puppet()) } else { older };
        world.say(PUPPET, ENGINE, Message::Release { tx: last, key: key("free") });
        let told = world.told(PUPPET);
        assert!(matches!(&told[..], [Message::Grant { tx, .. }] if *tx == next), "{told:?}");
    }
    world.say(PUPPET, ENGINE, Message::Release { tx: younger, key: key("free") });
    world.assert_at_rest();

    // Bound here or elsewhere: a plain claim waits and is told which; a replacing one is granted, with what is shown.
    for (taken, owner) in [("own", me()), ("friend's", friend())] {
        world.say(PUPPET, ENGINE, acquire(puppet(), taken));
        let told = world.told(PUPPET);
        assert!(matches!(&told[..], [Message::Busy { reg, .. }] if reg.node == owner), "{told:?}");
        let replacing = Tx { lamport: 101, node: puppet() };
        world.say(
            PUPPET,
            ENGINE,
            Message::Acquire {
                tx: replacing,
                key: key(taken),
                want: Want::Name { replace: true },
                no_wait: true,
            },
        );
        let told = world.told(PUPPET);
        let [Message::Grant { regs, .. }] = &told[..] else { panic!("{told:?}") };
        assert!(matches!(regs[..], [reg] if reg.node == owner), "{regs:?}");
        world.say(PUPPET, ENGINE, Message::Release { tx: replacing, key: key(taken) });
        assert_eq!(world.told(PUPPET), [], "the same binding is named once");
        world.say(PUPPET, ENGINE, Message::Release { tx: tx(puppet()), key: key(taken) });
    }
    world.assert_at_rest();

    // Crowded: a clash is under way, so a re-register waits too. The puppet's binding of a friend's name.
    world.say(PUPPET, ENGINE, commit(tx(puppet()), "friend's", binding(puppet())));
    assert_eq!(world.told(PUPPET), [Message::Ack { tx: tx(puppet()) }]);
    world.say(
        PUPPET,
        ENGINE,
        Message::Acquire {
            tx: older,
            key: key("friend's"),
            want: Want::Name { replace: true },
            no_wait: false,
        },
    );
    let told = world.told(PUPPET);
    assert!(matches!(&told[..], [Message::Busy { reg, .. }] if reg.node == friend()), "seen first: {told:?}");
    // Its end serves the waiter.
    let withdrawal = Message::Unregistered {
        name: name("friend's"),
        reg: reg(puppet()),
        beneath: None,
        ack: Some(younger),
    };
    world.say(PUPPET, ENGINE, withdrawal);
    let told = world.told(PUPPET);
    assert!(matches!(&told[..], [Message::Ack { .. }, Message::Grant { .. }]), "{told:?}");
}

// ---- the coordinator, message by message

/// Votes and refusals for a claim in each phase of it, from the node that was asked and from one that was not.
#[test]
fn a_coordinator_heeds_only_whom_it_asked() {
    let start = || {
        let mut world = world(State::Synced);
        let pid = world.spawn(ENGINE);
        let op = world.register(pid, "x");
        let told = world.told(PUPPET);
        let [Message::Acquire { tx, .. }] = told[..] else { panic!("{told:?}") };
        (world, op, tx)
    };
    let grant = |tx: Tx| Message::Grant { tx, key: key("x"), epoch: 0, regs: vec![] };
    // In order.
    let (mut world, op, tx) = start();
    world.say(PUPPET, ENGINE, Message::Ack { tx });
    assert_eq!(world.status(op), None, "there is nothing to acknowledge yet");
    world.say(PUPPET, ENGINE, grant(tx));
    world.say(PUPPET, ENGINE, grant(tx));
    let told = world.told(PUPPET);
    assert!(matches!(told[..], [Message::Commit { .. }]), "{told:?}");
    for late in
        [Message::Deny { tx }, Message::Wound { tx, key: key("x") }, Message::Busy { tx, reg: reg(friend()) }]
    {
        world.say(PUPPET, ENGINE, late);
    }
    assert_eq!((world.status(op), world.told(PUPPET)), (None, vec![]));
    world.say(PUPPET, ENGINE, Message::Ack { tx });
    assert_eq!(world.status(op), Some(Status::Ok));
    // A vote for what is over is given back.
    world.say(PUPPET, ENGINE, grant(tx));
    assert_eq!(world.told(PUPPET), [Message::Release { tx, key: key("x") }]);
    world.assert_at_rest();

    // Wounded before it granted, or twice: only a vote that was given is given back.
    let (mut world, op, tx) = start();
    world.say(PUPPET, ENGINE, Message::Wound { tx, key: key("x") });
    assert_eq!(world.told(PUPPET), []);
    world.hang(FRIEND);
    let (mut world2, op2, tx2) = (world, op, tx);
    world2.say(PUPPET, ENGINE, Message::Deny { tx: tx2 });
    assert_eq!(world2.status(op2), Some(Status::Timeout));
    assert_eq!(world2.told(PUPPET), [Message::Release { tx: tx2, key: key("x") }]);
    world2.wake(FRIEND);
    world2.settle();
    world2.assert_at_rest();

    // A newcomer that was not asked has no say.
    let (mut world, op, tx) = start();
    let stranger = world.add_puppet(40);
    world.connect(ENGINE, stranger);
    for early in [grant(tx), Message::Busy { tx, reg: reg(NodeId(40)) }, Message::Wound { tx, key: key("x") }]
    {
        world.say(stranger, ENGINE, early);
    }
    world.say(PUPPET, ENGINE, grant(tx));
    assert_eq!(world.status(op), None);
    let told = world.told(stranger);
    assert!(told.iter().any(|m| matches!(m, Message::Commit { .. })), "it is shown it: {told:?}");
    world.say(PUPPET, ENGINE, Message::Ack { tx });
    world.settle();
    assert_eq!(world.status(op), None, "{}", world.picture());
    world.say(stranger, ENGINE, Message::Ack { tx });
    assert_eq!(world.status(op), Some(Status::Ok));
}
