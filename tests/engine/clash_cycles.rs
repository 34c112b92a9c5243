//! Clashes of three homes in a circle: each pair is decided for itself, and what is said about one is late. Whatever the resolvers
//! say, not all lose to each other.

use crate::harness::{DETECTION, NodeIndex, World, config, ms};
use crate::resolvers::{apart, decided};
use convoke::engine::{ClashMessage, Message};
use convoke::model::{ClashAnswer, ClashLoser, ClashWinner, Pid};

const NEITHER: ClashAnswer = ClashAnswer::Decided { winner: ClashWinner::Neither, loser: ClashLoser::Notify };

fn low_wins() -> ClashAnswer {
    decided(ClashWinner::A, ClashLoser::Notify)
}

fn high_wins() -> ClashAnswer {
    decided(ClashWinner::B, ClashLoser::Notify)
}

fn engaged(message: &Message) -> bool {
    matches!(message, Message::Relayed { clash: ClashMessage::Engaged { .. }, .. })
}

fn verdict(message: &Message) -> bool {
    matches!(message, Message::Relayed { clash: ClashMessage::Verdict { .. }, .. })
}

/// Three homes of `x` and a fourth node, which is linked with `low` and `high` alone, and tells the lower one. What it passes on
/// does not arrive at `late` from the first message of that kind on.
fn told_by_a_third_node(
    [low, high]: [NodeIndex; 2],
    late: NodeIndex,
    kind: impl Fn(&Message) -> bool,
) -> (World, Vec<Pid>) {
    let (mut world, pids) = apart(3, "f");
    let third = world.add(config(3));
    world.link(low, third);
    world.link(high, third);
    world.advance(DETECTION - ms(1));
    world.advance_still(ms(1));
    world.settle_but(third, late, kind);
    (world, pids)
}

/// One of them has the name in the end, wherever links are missing meanwhile, and the others have heard that they lost it.
fn kept(mut world: World, pids: &[Pid]) -> Pid {
    for a in 0..world.nodes.len() {
        for b in a + 1..world.nodes.len() {
            if !world.is_linked(a, b) {
                world.link(a, b);
            }
        }
    }
    let kept = world.kept_by("x", pids);
    let [winner] = kept[..] else { panic!("kept by {kept:?}\n{}", world.picture()) };
    for pid in pids {
        let told = usize::from(*pid != winner);
        assert_eq!(world.events(*pid).len(), told, "{pid:?}, {winner:?} keeps it\n{}", world.picture());
    }
    world.assert_at_rest();
    winner
}

/// The lowest home asks the highest one through a third node, and the answer is on its way for long. Meanwhile that one loses to the
/// middle one, and the middle one to the lowest, which must not lose to what the answer says any more.
#[test]
pub(crate) fn an_old_answer_through_a_third_node_is_void() {
    let (mut world, pids) = told_by_a_third_node([0, 2], 0, engaged);
    world.connect(1, 2);
    world.settle_but(3, 0, engaged);
    world.answer(0, low_wins());
    world.settle_but(3, 0, engaged);
    assert_eq!(world.whereis(2, "x"), Some(pids[1]));
    world.connect(0, 1);
    world.settle_but(3, 0, engaged);
    world.answer(0, low_wins()); // the call of the lowest home
    world.settle_but(3, 0, engaged);
    assert_eq!([0, 1, 2].map(|node| world.whereis(node, "x")), [Some(pids[0]), Some(pids[0]), None]);
    world.settle();
    assert_eq!(world.calls().len(), 2, "the lowest one has no rival any more");
    assert_eq!(kept(world, &pids), pids[0]);
}

/// The lowest home decides about the middle one through a third node, and the verdict is on its way for long. Meanwhile it loses
/// itself to the highest one (or goes, where neither was to keep the name), and the middle one beats that.
#[test]
pub(crate) fn an_old_verdict_through_a_third_node_is_void() {
    for answer in [low_wins(), NEITHER] {
        let (mut world, pids) = told_by_a_third_node([0, 1], 1, verdict);
        world.answer(0, answer);
        world.settle_but(3, 1, verdict);
        world.connect(0, 2);
        world.settle_but(3, 1, verdict);
        if answer != NEITHER {
            world.answer(1, high_wins());
            world.settle_but(3, 1, verdict);
        }
        assert_eq!(world.whereis(0, "x"), Some(pids[2]), "{}", world.picture());
        world.connect(1, 2);
        world.settle_but(3, 1, verdict);
        let last = world.calls().len() - 1;
        world.answer(last, low_wins());
        world.settle_but(3, 1, verdict);
        assert_eq!(world.whereis(2, "x"), Some(pids[1]));
        world.settle();
        assert_eq!(kept(world, &pids), pids[1]);
    }
}

/// The same verdict in time: it counts, and the home that has decided waits for nobody.
#[test]
fn a_verdict_through_a_third_node_counts_in_time() {
    for (answer, winner) in [(low_wins(), Some(0)), (high_wins(), Some(1)), (NEITHER, None)] {
        let (mut world, pids) = told_by_a_third_node([0, 1], 1, verdict);
        world.answer(0, answer);
        world.settle();
        let shown = winner.map(|node: usize| pids[node]);
        for node in 0..2 {
            assert_eq!(world.whereis(node, "x"), shown.filter(|pid| world.index(pid.node) == node));
        }
        assert_eq!(world.whereis(3, "x"), shown);
    }
}

/// Neither of two was to keep the name, and the link broke before the lower home heard that the higher one has gone. When it meets a
/// third one it goes, instead of taking that one along.
#[test]
pub(crate) fn who_was_to_go_takes_nobody_along() {
    for gone in [true, false] {
        for (low, high, other) in [(1, 2, 0), (0, 2, 1), (0, 1, 2)] {
            let (mut world, pids) = apart(3, "f");
            world.link(low, high);
            world.answer(0, NEITHER);
            if gone {
                world.until(low, high, |message| matches!(message, Message::Verdict { .. }));
            }
            world.cut(low, high);
            assert_eq!(world.whereis(high, "x"), (!gone).then_some(pids[high]));
            assert_eq!(world.whereis(low, "x"), Some(pids[low]), "it may be needed yet");
            world.link(low, other);
            assert_eq!(world.calls().len(), 1, "nobody is asked");
            assert_eq!([low, other].map(|node| world.whereis(node, "x")), [Some(pids[other]); 2]);
            if gone {
                assert_eq!(kept(world, &pids), pids[other]);
            }
        }
    }
}
