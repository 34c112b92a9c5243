//! Addresses that lead to another node each time, oneself included.

use crate::dial::with_seeds;
use crate::harness::{Frame, NodeIndex, World, address, config, ms};
use crate::lookup::{SERVICE, refresh};
use convoke::engine::Refusal;
use convoke::model::{Config, ConnectionId, Deadline, NodeId, Status};
use std::time::Duration;

impl World {
    /// What the node has dialled leads to itself this time.
    pub(crate) fn lead_back(&mut self, node: NodeIndex, address: &str) {
        let (own, peer) = (self.identity(node), self.identity(node));
        let (out, inwards) = (ConnectionId(u64::MAX), ConnectionId(u64::MAX - 1));
        let dialled = Some(address.to_owned());
        self.input(node, |engine, now| engine.handle_connection(now, out, peer, dialled));
        self.input(node, |engine, now| engine.handle_connection(now, inwards, own, None));
        let refused = self.refused.split_off(self.refused.len() - 2);
        assert_eq!(refused, [(out, Refusal::Myself), (inwards, Refusal::Myself)]);
    }
}

/// "Everything else that led to oneself is tried again, at `seeds.refresh_ms` at the latest", with back-off; for behind a
/// balancer another node answers next time.
#[test]
fn an_address_that_led_back_is_dialled_again() {
    let mut world = World::empty();
    let config = with_seeds(0, &["balancer:1"]);
    let (shortest, longest) = (config.dial_min, config.seeds_refresh);
    world.add(config);
    let mut dials = 0;
    let mut last = Duration::ZERO;
    assert_eq!(world.dials(0), ["balancer:1"]);
    for failures in 1..40_u32 {
        dials += 1;
        world.lead_back(0, "balancer:1");
        let pid = world.spawn(0);
        last = world.pause_before_dial_within(0, "balancer:1", longest).expect("it is dialled again");
        let full = shortest.saturating_mul(1 << failures.min(16)).min(longest);
        assert!(last >= full / 2 && last <= full + ms(10), "{failures} times: {last:?} of {full:?}");
        world.exit(pid);
    }
    assert!(dials == 39 && last >= longest / 2);
    // The next one leads to another node, and that is that.
    let other = world.add(self::config(1));
    world.connect_at(0, other, "balancer:1");
    world.settle();
    assert!(world.is_linked(0, other) && world.is_linked(other, 0));
}

/// Whoever calls is told what it is this time, and may ask again.
#[test]
fn connect_to_an_address_that_leads_back() {
    let mut world = World::nodes(2);
    let pid = world.spawn(0);
    for _ in 0..2 {
        let op = world.connect_call(pid, "balancer:1", Deadline::FOREVER);
        assert_eq!(world.dials(0), ["balancer:1"]);
        world.lead_back(0, "balancer:1");
        assert_eq!(world.status(op), Some(Status::Invalid));
    }
    assert_eq!(world.pause_before_dial(0, "balancer:1"), None, "nobody asked for more");
    let op = world.connect_call(pid, "balancer:1", Deadline::FOREVER);
    world.connect_at(0, 1, "balancer:1");
    world.settle();
    assert_eq!(world.status(op), Some(Status::Ok));
    world.assert_at_rest();
}

/// The proof is the incarnation. What a peer says is none: it could keep a node away from an address for ever.
#[test]
fn a_peer_that_calls_itself_this_node_is_not_believed() {
    for says in [true, false] {
        let mut world = World::empty();
        world.add_puppet(if says { 1 } else { 0 });
        let node = world.add(Config { node: NodeId(9), ..with_seeds(1, &[&address(0)]) });
        let longest = config(1).dial_max;
        world.dials(node);
        for _ in 0..20 {
            world.connect(node, 0);
            if says {
                world.frame(0, node, Frame::Refuse(Refusal::Myself));
                world.settle();
            }
            let pause = world.pause_before_dial_within(node, &address(0), longest + ms(10));
            assert!(pause.is_some(), "as one that never answers");
        }
    }
}

/// A seed behind which a peer answers that says another address of itself may lead to others too: two pairs that came in
/// through a balancer find each other. One that leads to the peer that says so is not dialled again.
#[test]
fn a_seed_that_may_lead_to_others_is_dialled_while_it_is_linked() {
    let mut world = World::empty();
    let config = with_seeds(0, &["balancer:1", "host1:1"]);
    let longest = config.seeds_refresh;
    world.add(config);
    let (one, two) = (world.add(self::config(1)), world.add(self::config(2)));
    assert_eq!(world.dials(0), ["balancer:1", "host1:1"]);
    world.connect_at(0, one, "balancer:1");
    world.settle();
    world.connect_at(0, one, "host1:1");
    world.settle();
    for _ in 0..3 {
        let start = world.now;
        let pause = world.pause_before_dial_within(0, "balancer:1", longest + ms(10));
        assert!(pause.is_some_and(|pause| pause >= longest / 2 - ms(10)), "{pause:?}");
        assert!(world.now.since(start) <= longest + ms(10));
        world.connect_at(0, one, "balancer:1");
        world.settle();
        assert!(world.is_linked(0, one) && world.is_linked(one, 0));
        // And back to itself in between.
        assert!(world.pause_before_dial_within(0, "balancer:1", longest + ms(10)).is_some());
        world.lead_back(0, "balancer:1");
    }
    assert!(world.pause_before_dial_within(0, "balancer:1", longest + ms(10)).is_some());
    world.connect_at(0, two, "balancer:1");
    world.settle();
    assert!(world.is_linked(0, one) && world.is_linked(0, two));
    world.assert_at_rest();
}

/// Dials that look for others are far apart, and the link is heard in between: they put it in no doubt, however slow the
/// peer is when they come.
#[test]
fn dials_that_look_for_others_put_no_link_in_doubt() {
    for dialler in 0..2 {
        let mut world = World::mesh(2);
        for _ in 0..4 {
            world.connect_at(dialler, 1 - dialler, "balancer:1");
            world.advance_still(ms(1500));
            assert!(world.is_linked(0, 1) && world.is_linked(1, 0));
            world.settle();
            world.advance(ms(10_000));
        }
    }
}

/// "Behind a ClusterIP": a name for the one address of a balancer. Two pairs that came in through it find each other.
#[test]
fn a_name_for_a_balancer_is_dialled_also_when_it_led_to_a_link() {
    let mut world = World::empty();
    let node = world.add_of_service();
    let (one, two) = (world.add(config(1)), world.add(config(2)));
    world.dials(node);
    world.look_up(node, SERVICE, &["balancer:1"]);
    world.connect_at(node, one, "balancer:1");
    world.settle();
    let longest = refresh() + ms(10);
    for _ in 0..3 {
        assert!(world.pause_before_dial_within(node, SERVICE, longest).is_some());
        world.look_up(node, SERVICE, &["balancer:1"]);
        assert_eq!(world.dials(node), ["balancer:1"]);
        world.connect_at(node, one, "balancer:1");
        world.settle();
    }
    assert!(world.pause_before_dial_within(node, SERVICE, longest).is_some());
    world.look_up(node, SERVICE, &["balancer:1"]);
    world.connect_at(node, two, "balancer:1");
    world.settle();
    assert!(world.is_linked(node, one) && world.is_linked(node, two));
    // With many such addresses one of them is enough.
    assert!(world.pause_before_dial_within(node, SERVICE, longest).is_some());
    world.look_up(node, SERVICE, &["alias1:1", "alias2:1"]);
    world.dials(node);
    world.connect_at(node, one, "alias1:1");
    world.connect_at(node, two, "alias2:1");
    world.settle();
    assert!(world.pause_before_dial_within(node, SERVICE, longest).is_some());
    world.look_up(node, SERVICE, &["alias1:1", "alias2:1"]);
    assert_eq!(world.dials(node).len(), 1);
}
