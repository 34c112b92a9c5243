//! What the tests ask of a world, and every order of arrival of a small one.

use crate::harness::{DETECTION, NodeIndex, World, name};
use convoke::engine::{Goodbye, Message, Output};
use convoke::model::{Effect, Event, Level, Outcome, Pid, Reason, Ref, Status};
use std::time::Duration;

impl World {
    pub(crate) fn outcome(&self, op: Ref) -> Option<Outcome> {
        self.answers.get(&op).cloned()
    }

    pub(crate) fn status(&self, op: Ref) -> Option<Status> {
        self.answers.get(&op).map(|outcome| outcome.status)
    }

    pub(crate) fn whereis(&self, node: NodeIndex, name: &str) -> Option<Pid> {
        self.engine(node).whereis(name.as_bytes())
    }

    /// Every node shows this under the name.
    pub(crate) fn all_show(&self, name: &str, pid: Option<Pid>) {
        for node in 0..self.nodes.len() {
            if self.nodes[node].engine.is_some() {
                assert_eq!(self.whereis(node, name), pid, "node {node}, name {name}\n{}", self.picture());
            }
        }
    }

    pub(crate) fn all_show_at(&self, node: NodeIndex, name: &str, pid: Option<Pid>) {
        assert_eq!(self.whereis(node, name), pid, "node {node}, name {name}\n{}", self.picture());
    }

    /// Everything that readers of the node were shown under the name, oldest first.
    pub(crate) fn history(&self, node: NodeIndex, name_: &str) -> Vec<Option<Pid>> {
        self.nodes[node].shown.get(&name(name_)).cloned().unwrap_or_default()
    }

    /// The events of one process so far.
    pub(crate) fn events(&self, pid: Pid) -> Vec<Event> {
        let seen = self.nodes[self.index(pid.node)].seen.iter();
        let own = seen.filter_map(|output| match output {
            Output::Effect(Effect::Notify { process, event }) if *process == pid.serial => {
                Some(event.clone())
            }
            _ => None,
        });
        own.collect()
    }

    /// The reasons of every exit notice that came for a monitor.
    pub(crate) fn exits(&self, watcher: Pid, monitor: Ref) -> Vec<Reason> {
        let events = self.events(watcher).into_iter();
        let exits = events.filter_map(|event| match event {
            Event::Exit { reference, reason, .. } if reference == monitor => Some(reason),
            _ => None,
        });
        exits.collect()
    }

    /// Whether the process has ended.
    pub(crate) fn is_gone(&self, pid: Pid) -> bool {
        let seen = &self.nodes[self.index(pid.node)].seen;
        seen.contains(&Output::Effect(Effect::ProcessGone { process: pid.serial }))
    }

    pub(crate) fn is_linked(&self, a: NodeIndex, b: NodeIndex) -> bool {
        let b = self.nodes[b].id;
        self.engine(a).links().any(|(node, _)| node == b)
    }

    /// How the link with `puppet` ended, as it was told.
    pub(crate) fn goodbye(&mut self, puppet: NodeIndex) -> Option<Goodbye> {
        let told = self.told(puppet);
        told.iter().find_map(|message| match message {
            Message::Goodbye { why } => Some(*why),
            _ => None,
        })
    }

    /// What it takes for broken.
    pub(crate) fn log(&self, node: NodeIndex) -> Vec<String> {
        let logged = self.nodes[node].seen.iter().filter_map(|output| match output {
            Output::Effect(Effect::Log { level: Level::Error, text, .. }) => Some(text.clone()),
            _ => None,
        });
        logged.collect()
    }

    /// Nothing is under way anywhere and nothing is left of what was.
    pub(crate) fn assert_at_rest(&self) {
        for node in 0..self.nodes.len() {
            self.assert_at_rest_at(node);
        }
    }

    pub(crate) fn assert_at_rest_at(&self, node: NodeIndex) {
        let Some(engine) = &self.nodes[node].engine else { return };
        assert_eq!(engine.pending_operations(), 0, "calls without an answer\n{}", self.picture());
        for (what, count) in engine.residue() {
            assert_eq!(count, 0, "{what} left at node {node}\n{}", self.picture());
        }
    }

    /// The whole world, for failures.
    pub(crate) fn picture(&self) -> String {
        let engines = self.nodes.iter().filter_map(|node| node.engine.as_ref());
        let states: String = engines.map(|engine| engine.describe() + "\n").collect();
        format!("{states}in flight: {:#?}", self.in_flight())
    }
}

/// Runs a small world in every order in which its messages can arrive, FIFO per direction: all orders of the first
/// `depth` arrivals, then to rest. `check` sees each world at its end. Returns how many orders there were.
pub(crate) fn every_order<T>(
    depth: usize,
    start: impl Fn() -> (World, T),
    mut look: impl FnMut(&World, &T),
    mut check: impl FnMut(World, T),
) -> usize {
    let mut path: Vec<(usize, usize)> = Vec::new();
    for runs in 1.. {
        let (mut world, things) = start();
        for at in 0..depth {
            let channels = world.channels();
            if channels.is_empty() {
                break;
            }
            if at == path.len() {
                path.push((0, channels.len()));
            }
            let (from, to) = channels[path[at].0];
            world.step(from, to);
            look(&world, &things);
        }
        world.settle_with(|world| look(world, &things));
        check(world, things);
        while path.last().is_some_and(|(chosen, of)| chosen + 1 == *of) {
            path.pop();
        }
        match path.last_mut() {
            Some((chosen, _)) => *chosen += 1,
            None => return runs,
        }
    }
    unreachable!("the loop ends by its return")
}

// ---- what several subjects need

pub(crate) fn acquire(message: &Message) -> bool {
    matches!(message, Message::Acquire { .. })
}

pub(crate) fn grant(message: &Message) -> bool {
    matches!(message, Message::Grant { .. })
}

pub(crate) fn commit(message: &Message) -> bool {
    matches!(message, Message::Commit { .. })
}

/// For so long a claim waits for a binding that only a voter sees.
pub(crate) const GRACE: Duration = Duration::from_millis(DETECTION.as_millis() as u64 * 3 / 2);

/// A line of three: 2 holds the name, 0 has no link to 2, 1 sees both.
pub(crate) fn line() -> (World, Pid, Pid) {
    let mut world = World::nodes(3);
    world.link(0, 1);
    world.link(1, 2);
    let (owner, claimant) = (world.spawn(2), world.spawn(0));
    world.register(owner, "x");
    world.settle();
    assert_eq!((world.whereis(0, "x"), world.whereis(1, "x")), (None, Some(owner)));
    (world, owner, claimant)
}

/// How far the registration has come when it ends.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) enum Phase {
    /// Node 1 does not answer.
    Acquiring,
    /// All have granted; node 1 does not acknowledge.
    Committing,
}

impl World {
    /// Up to the moment in which the home shows its new binding of `x`.
    pub(crate) fn settle_until_published(&mut self, pid: Pid) {
        while self.whereis(0, "x") != Some(pid) {
            let (from, to) = self.channels()[0];
            self.step(from, to);
        }
    }
}
