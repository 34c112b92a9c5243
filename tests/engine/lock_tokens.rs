//! Fencing tokens: what they promise over holders, sharers, links that come and go, and restarts.

use crate::asks::{acquire, grant};
use crate::harness::{World, config, name};
use crate::holds::by;
use crate::lock_splits::link_all;
use convoke::engine::{Goodbye, Hold, Key, Message, Tx, Want};
use convoke::model::{Config, NodeId, Reason};

/// Nodes with these first tokens, all linked.
fn mesh_of(first_tokens: &[u64]) -> World {
    let mut world = World::empty();
    for (index, first_token) in first_tokens.iter().enumerate() {
        world.add(Config { first_token: *first_token, ..config(index) });
    }
    for a in 0..first_tokens.len() {
        for b in a + 1..first_tokens.len() {
            world.link(a, b);
        }
    }
    world
}

/// "Larger than the token of every earlier foreign hold": each holder's is above those before it, whoever's clock is ahead.
#[test]
fn tokens_rise_from_holder_to_holder() {
    for first_tokens in [[0, 0, 0], [5000, 7, 1 << 46], [0, 1 << 40, 3]] {
        let mut world = mesh_of(&first_tokens);
        let mut last = 0;
        for turn in 0..9 {
            let pid = world.spawn(turn % 3);
            let requester = format!("turn{turn}");
            let token = world.take_lock(pid, by(&requester));
            assert!(token > last, "{token} after {last}");
            assert!(token > first_tokens.into_iter().max().unwrap_or(0), "the largest vote");
            last = token;
            world.give_back(pid, by(&requester));
        }
        world.assert_at_rest();
    }
}

/// "Held and Hello carry it and raise counters": a node that has only heard of a token gives higher ones, also by itself
/// and over a split.
#[test]
fn tokens_rise_on_a_node_that_only_heard_of_them() {
    for by_snapshot in [false, true] {
        let mut world = if by_snapshot { World::empty() } else { mesh_of(&[1 << 50, 0]) };
        if by_snapshot {
            for (index, first_token) in [1 << 50, 0].into_iter().enumerate() {
                world.add(Config { first_token, ..config(index) });
            }
        }
        let (holder, other) = (world.spawn(0), world.spawn(1));
        let token = world.take_lock(holder, by("holder").on(&[0]));
        if by_snapshot {
            world.link(0, 1);
        }
        world.cut(0, 1);
        world.stay_apart();
        assert!(world.take_lock(other, by("other")) > token, "{}", world.picture());
    }
}

/// A hold that grows keeps the largest token that it ever had, whichever vote comes last.
#[test]
fn the_token_of_a_hold_does_not_fall() {
    let mut world = mesh_of(&[0, 1 << 40, 5]);
    let pid = world.spawn(0);
    let ops = [1, 2].map(|node| world.acquire(pid, by("me").on(&[node])));
    world.until(0, 1, acquire);
    world.until(0, 2, acquire);
    world.until(1, 0, grant);
    let token = world.token(ops[0]);
    world.until(2, 0, grant);
    assert_eq!(world.token(ops[1]), token, "what the second vote was is nothing to the holder");
    world.settle();
    assert_eq!(world.checks(pid, "me"), [Some(token)]);
    world.give_back(pid, by("me"));
    world.assert_at_rest();
}

/// A sharer's token is above the tokens of those who held before, also if the lock came to this voter by a snapshot.
#[test]
fn an_epoch_ends_with_a_hold_that_was_not_granted_here() {
    let mut world = mesh_of(&[0, 0]);
    let late = world.add(Config { first_token: 1 << 30, ..config(2) });
    let (holder, sharer, rival) = (world.spawn(0), world.spawn(0), world.spawn(late));
    let first = world.take_lock(holder, by("team"));
    let foreign = world.take_lock(rival, by("rival"));
    // The rival's hold comes by snapshots, and goes; the voters of the team's lock have heard of its token.
    link_all(&mut world, &[(0, late), (1, late)]);
    assert!(foreign > first);
    assert_eq!(world.lost_locks(holder), [Reason::SECOND_HOLDER]);
    world.give_back(rival, by("rival"));
    let token = world.take_lock(sharer, by("team"));
    assert!(token > foreign, "{token} is above {foreign}, which bound here meanwhile");
    world.exit(holder);
    world.exit(sharer);
    world.settle();
    world.assert_at_rest();
}

/// "They rise over restarts": an incarnation that starts with a lower clock learns of what its peers know.
#[test]
fn a_restart_with_a_lower_clock_does_not_lower_tokens() {
    let mut world = mesh_of(&[1 << 50, 1 << 50]);
    let pid = world.spawn(0);
    let token = world.take_lock(pid, by("first"));
    world.crash(0);
    world.settle();
    let restarted = world.add(Config { node: NodeId(66), first_token: 0, ..config(0) });
    world.link(1, restarted);
    let pid = world.spawn(restarted);
    assert!(world.take_lock(pid, by("second")) > token);
    world.exit(pid);
    world.settle();
    world.assert_at_rest();
}

/// In one epoch sharers get what the voters gave the first of them; a new epoch begins when the lock was free.
#[test]
fn sharers_of_one_epoch_have_its_token() {
    let mut world = World::mesh(3);
    let sharers = [world.spawn(0), world.spawn(1), world.spawn(2)];
    let tokens = sharers.map(|pid| world.take_lock(pid, by("team")));
    assert_eq!(tokens, [tokens[0]; 3]);
    for pid in sharers {
        world.give_back(pid, by("team"));
    }
    assert!(world.take_lock(sharers[0], by("team")) > tokens[0]);
    world.exit(sharers[0]);
    world.settle();
    world.assert_at_rest();
}

const DAY: u64 = (24 * 3600 * 1000) << 20;
/// Some day at 3:33 h, and the end of the next.
const CLOCK: u64 = 2_000_000_000_000 << 20;
const TOMORROW: u64 = (CLOCK / DAY + 2) * DAY;

/// One message must not end the tokens of all nodes: nothing beyond the end of tomorrow is followed, and a day after that it is a
/// violation. Those who have gone along as far as that stay together, and tokens rise.
#[test]
fn tokens_far_ahead_of_the_clock_are_not_followed() {
    let clock = CLOCK;
    for (told, is_violation) in [
        (clock + DAY / 2, false),
        (TOMORROW - 1, false),
        (TOMORROW, false),
        (TOMORROW + DAY, false),
        (TOMORROW + DAY + 1, true),
        (u64::MAX / 2, true),
        (u64::MAX, true),
    ] {
        // The clocks of the honest are not the same.
        let mut world = mesh_of(&[clock, clock - 1000, clock + 1000]);
        let puppet = world.add_puppet(40);
        world.link(0, puppet);
        let hold = Hold {
            resource: name("other"),
            requester: name("liar"),
            serial: 1,
            view: false,
            nodes: [NodeId(1), NodeId(40)].into(),
            token: told,
            watched: false,
        };
        let tx = Tx { lamport: 9, node: NodeId(40) };
        let want = Want::Lock { requester: name("liar"), serial: 1 };
        world.say(puppet, 0, Message::Acquire { tx, key: Key::Lock(name("other")), want, no_wait: false });
        world.say(puppet, 0, Message::SharePublished { tx, hold });
        assert_eq!(world.goodbye(puppet), is_violation.then_some(Goodbye::Violation), "{told}");
        let mut last = 0;
        for turn in 0..6 {
            let pid = world.spawn(turn % 3);
            let token = world.take_lock(pid, by("me").on(&[0, 1, 2]));
            assert!(token > last && token < TOMORROW + 10, "{told}: {token}");
            assert!(told > TOMORROW || token > told, "it is followed");
            last = token;
            world.exit(pid);
            world.settle();
        }
        for (a, b) in [(0, 1), (1, 2), (2, 0)] {
            assert!(world.is_linked(a, b), "{told}");
        }
    }
}

/// A voter that lies does not make the holder a liar.
#[test]
fn votes_far_ahead_of_the_clock_are_not_followed() {
    for (told, is_violation) in [(TOMORROW + DAY / 2, false), (u64::MAX / 2, true)] {
        let mut world = mesh_of(&[CLOCK, CLOCK - 1000]);
        let puppet = world.add_puppet(40);
        world.link(0, puppet);
        let pid = world.spawn(0);
        let op = world.acquire(pid, by("me").on(&[0, 1, puppet]));
        world.settle();
        let asked = world.told(puppet).into_iter().find_map(|message| match message {
            Message::Acquire { tx, key, .. } => Some((tx, key)),
            _ => None,
        });
        let (tx, key) = asked.expect("it is asked");
        world.say(puppet, 0, Message::Grant { tx, key, epoch: told, regs: vec![] });
        world.settle();
        if is_violation {
            assert_eq!(world.goodbye(puppet), Some(Goodbye::Violation));
        } else {
            assert_eq!(world.token(op), TOMORROW);
        }
        assert!(world.is_linked(0, 1) && world.is_linked(1, 0));
    }
}
