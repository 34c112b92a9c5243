//! Groups: what `pg2`'s manual page says, and what of it is agreed by whom.

use crate::harness::{HEARTBEAT, NodeIndex, World, name};
use convoke::engine::{Message, Output};
use convoke::model::{
    Action, Call, Command, Deadline, Effect, Event, Machine, Members, Pid, Reason, Ref, Status,
};

impl World {
    pub(crate) fn create(&mut self, caller: Pid, group: &str) -> Ref {
        let (group, deadline) = (name(group), Deadline::FOREVER);
        self.operate(caller, deadline, Action::CreateGroup { group })
    }
    pub(crate) fn delete(&mut self, caller: Pid, group: &str) -> Ref {
        let (group, deadline) = (name(group), Deadline::FOREVER);
        self.operate(caller, deadline, Action::DeleteGroup { group })
    }
    pub(crate) fn join(&mut self, caller: Pid, group: &str, pid: Pid) -> Ref {
        let (group, deadline) = (name(group), Deadline::FOREVER);
        self.operate(caller, deadline, Action::JoinGroup { group, pid })
    }
    pub(crate) fn leave(&mut self, caller: Pid, group: &str, pid: Pid) -> Ref {
        let (group, deadline) = (name(group), Deadline::FOREVER);
        self.operate(caller, deadline, Action::LeaveGroup { group, pid })
    }
    pub(crate) fn join_within(&mut self, caller: Pid, group: &str, pid: Pid, timeout_ms: i64) -> Ref {
        let (group, deadline) = (name(group), self.within(timeout_ms));
        self.operate(caller, deadline, Action::JoinGroup { group, pid })
    }
    pub(crate) fn create_within(&mut self, caller: Pid, group: &str, timeout_ms: i64) -> Ref {
        let (group, deadline) = (name(group), self.within(timeout_ms));
        self.operate(caller, deadline, Action::CreateGroup { group })
    }
    pub(crate) fn watch_group(&mut self, watcher: Pid, group: &str) -> Ref {
        let group = name(group);
        self.call(watcher, |process, reference| Command::MonitorGroup { process, reference, group })
    }
    /// A group with these members, each of which has joined by itself.
    pub(crate) fn make_group(&mut self, group: &str, members: &[Pid]) {
        let op = self.create(members[0], group);
        assert_eq!(self.done(op), Status::Ok);
        for pid in members {
            let op = self.join(*pid, group, *pid);
            assert_eq!(self.done(op), Status::Ok);
        }
    }
    /// Every two of these nodes get a link.
    pub(crate) fn join_up(&mut self, nodes: &[NodeIndex]) {
        for (at, a) in nodes.iter().enumerate() {
            for b in &nodes[at + 1..] {
                if !self.is_linked(*a, *b) {
                    self.link(*a, *b);
                }
            }
        }
        self.agree();
    }
    /// Time for digests to be told and answered.
    pub(crate) fn agree(&mut self) {
        self.advance(HEARTBEAT);
        self.advance(HEARTBEAT);
    }
    /// Cuts all links between the two parts.
    pub(crate) fn split(&mut self, one: &[NodeIndex], other: &[NodeIndex]) {
        for a in one {
            for b in other {
                self.cut(*a, *b);
            }
        }
        self.settle();
    }
    /// `None`: there is no such group.
    pub(crate) fn members(&self, node: NodeIndex, group: &str) -> Option<Vec<Pid>> {
        let all = self.engine(node).groups();
        let mut entries = all.into_iter().find(|(g, _)| *g == name(group))?.1.as_slice().to_vec();
        entries.sort_unstable();
        Some(entries)
    }
    /// Every node shows exactly these members (`None`: no such group).
    pub(crate) fn all_show_members(&self, group: &str, members: Option<&[Pid]>) {
        let mut expected = members.map(<[Pid]>::to_vec);
        if let Some(expected) = &mut expected {
            expected.sort_unstable();
        }
        for node in 0..self.nodes.len() {
            if self.nodes[node].engine.is_some() {
                assert_eq!(self.members(node, group), expected, "node {node}: {group}\n{}", self.picture());
            }
        }
    }
    pub(crate) fn done(&mut self, op: Ref) -> Status {
        self.settle();
        self.status(op).expect("it is answered")
    }
}

#[test]
fn a_group_is_made_joined_left_and_deleted() {
    let mut world = World::mesh(3);
    let (a, b) = (world.spawn(0), world.spawn(1));
    let op = world.create(a, "g");
    assert_eq!(world.done(op), Status::Ok);
    world.all_show_members("g", Some(&[]));
    for (caller, pid) in [(a, a), (a, b), (b, b)] {
        let op = world.join(caller, "g", pid);
        assert_eq!(world.done(op), Status::Ok);
    }
    // "A process can join a group many times and must then leave the group the same number of times."
    world.all_show_members("g", Some(&[a, b, b]));
    let op = world.leave(a, "g", b);
    assert_eq!(world.done(op), Status::Ok);
    world.all_show_members("g", Some(&[a, b]));
    let op = world.create(b, "g");
    assert_eq!(world.done(op), Status::Ok);
    world.all_show_members("g", Some(&[a, b]));
    let op = world.delete(b, "g");
    assert_eq!(world.done(op), Status::Ok);
    world.all_show_members("g", None);
    let op = world.create(a, "g");
    assert_eq!(world.done(op), Status::Ok);
    world.all_show_members("g", Some(&[]));
    world.assert_at_rest();
}

#[test]
fn unknown_groups_and_members() {
    let mut world = World::mesh(2);
    let (a, b) = (world.spawn(0), world.spawn(1));
    let op = world.join(a, "none", a);
    assert_eq!(world.done(op), Status::NotFound);
    let op = world.leave(a, "none", a);
    assert_eq!(world.done(op), Status::NotFound);
    let op = world.delete(a, "none");
    assert_eq!(world.done(op), Status::Ok);
    let op = world.create(a, "g");
    world.done(op);
    // "If the process is not a member of the group, ok is returned."
    for pid in [a, b] {
        let op = world.leave(a, "g", pid);
        assert_eq!(world.done(op), Status::Ok);
    }
    world.exit(b);
    world.settle();
    let op = world.join(a, "g", b);
    assert_eq!(world.done(op), Status::NoProcess);
    world.all_show_members("g", Some(&[]));
    world.assert_at_rest();
}

/// After OK every linked node shows it, at that very moment; after OK of a delete none does.
#[test]
fn what_returns_is_true_on_all_nodes() {
    let mut world = World::mesh(3);
    let pids = [world.spawn(0), world.spawn(1), world.spawn(2)];
    let op = world.create(pids[0], "g");
    let mut ops = vec![(op, Some(vec![]))];
    let check = |world: &mut World, op: Ref, expected: &Option<Vec<Pid>>| {
        world.settle_with(|world| {
            if world.status(op).is_some() {
                world.all_show_members("g", expected.as_deref());
            }
        });
        assert_eq!(world.status(op), Some(Status::Ok));
    };
    let (first, expected) = ops.remove(0);
    check(&mut world, first, &expected);
    let mut members = Vec::new();
    for pid in pids {
        let op = world.join(pids[1], "g", pid);
        members.push(pid);
        check(&mut world, op, &Some(members.clone()));
    }
    let op = world.leave(pids[0], "g", pids[2]);
    check(&mut world, op, &Some(pids[..2].to_vec()));
    let op = world.delete(pids[2], "g");
    check(&mut world, op, &None);
    world.assert_at_rest();
}

#[test]
fn members_end_with_their_process_and_their_node_and_the_group_stays() {
    let mut world = World::mesh(3);
    let pids = [world.spawn(0), world.spawn(1), world.spawn(1), world.spawn(2)];
    let op = world.create(pids[1], "g");
    world.done(op);
    for pid in pids {
        let op = world.join(pid, "g", pid);
        world.done(op);
    }
    world.exit(pids[1]);
    world.settle();
    world.all_show_members("g", Some(&[pids[0], pids[2], pids[3]]));
    let watcher = world.spawn(0);
    let reference = world.new_ref();
    let group = name("g");
    world.command(0, Command::MonitorGroup { process: watcher.serial, reference, group: group.clone() });
    world.crash(1);
    world.settle();
    world.all_show_members("g", Some(&[pids[0], pids[3]]));
    let left: Vec<Event> =
        world.events(watcher).into_iter().filter(|event| matches!(event, Event::GroupLeft { .. })).collect();
    let reason = Reason::OS_PROCESS_DIED;
    assert_eq!(left, [Event::GroupLeft { reference, group, pid: pids[2], count: 0, old: 1, reason }]);
}

/// The readers' list: those of this node first, copies adjacent.
#[test]
fn members_of_this_node_come_first() {
    let mut world = World::mesh(3);
    let pids = [world.spawn(0), world.spawn(1), world.spawn(2)];
    world.make_group("g", &[pids[2], pids[0], pids[1], pids[2], pids[1]]);
    let (a, b, c) = (pids[0], pids[1], pids[2]);
    for (node, entries, local) in [(0, [a, b, b, c, c], 1), (1, [b, b, a, c, c], 2), (2, [c, c, a, b, b], 2)]
    {
        let members = world.nodes[node].groups[&name("g")].clone();
        assert_eq!((members.as_slice().to_vec(), members.local()), (entries.to_vec(), local), "node {node}");
    }
}

/// What changes nothing that a reader sees is not published.
#[test]
fn only_changes_are_published() {
    let mut world = World::mesh(2);
    let (a, b) = (world.spawn(0), world.spawn(1));
    world.make_group("g", &[a, b]);
    let published = |world: &World| {
        let all = world.nodes.iter().flat_map(|node| &node.seen);
        let changed = |output: &Output| {
            if let Output::Effect(Effect::PublishGroups { groups }) = output { groups.len() } else { 0 }
        };
        all.map(changed).sum::<usize>()
    };
    assert_eq!(published(&world), 2 * 3);
    for op in [world.create(a, "g"), world.create(b, "g"), world.delete(a, "none")] {
        assert_eq!(world.done(op), Status::Ok);
    }
    let other = world.spawn(1);
    let op = world.leave(a, "g", other);
    assert_eq!(world.done(op), Status::Ok);
    world.agree();
    assert_eq!(published(&world), 2 * 3);
}

/// A process may be in many groups: all of them see it go, with one publication each, and nothing is left of it.
#[test]
fn a_process_with_many_groups_leaves_them_all() {
    let mut world = World::mesh(2);
    let (a, b) = (world.spawn(0), world.spawn(1));
    for i in 0..150 {
        world.make_group(&format!("g{i}"), &[a, a, b]);
    }
    world.delivered.clear();
    world.exit(a);
    world.settle();
    for i in 0..150 {
        world.all_show_members(&format!("g{i}"), Some(&[b]));
    }
    let acks = world.delivered.iter().filter(|(_, _, f)| matches!(f.message(), Some(Message::Ack { .. })));
    assert_eq!(acks.count(), 1, "they are acknowledged together");
    world.assert_at_rest();
}

/// A node that closes takes its members along; its own readers see no members of others any more.
#[test]
fn a_node_that_closes() {
    let mut world = World::mesh(3);
    let pids = [world.spawn(0), world.spawn(1), world.spawn(2)];
    world.make_group("g", &pids);
    world.make_group("own", &pids[1..2]);
    let op = world.join(pids[1], "g", pids[0]);
    world.command(1, Command::Close);
    assert_eq!(world.status(op), Some(Status::Closed));
    world.settle();
    for node in [0, 2] {
        assert_eq!(world.members(node, "g").map(|m| m.contains(&pids[1])), Some(false));
        assert_eq!(world.members(node, "own"), Some(vec![]), "\"empty groups exist\"");
        world.assert_at_rest_at(node);
    }
    assert_eq!(world.members(1, "g"), Some(vec![]));
    assert_eq!(world.engine(1).residue().iter().map(|(_, count)| count).sum::<usize>(), 0);
}

/// The home of the pid has not heard of the group yet: the caller says under which dots it knows it.
#[test]
fn a_join_reaches_the_home_before_the_group_does() {
    let mut world = World::mesh(3);
    let pids = [world.spawn(0), world.spawn(1), world.spawn(2)];
    world.hang(2);
    world.create(pids[0], "g");
    world.step(0, 1);
    // 1 knows the group by 0; 2 has not read that yet when 1 speaks.
    let op = world.join(pids[1], "g", pids[2]);
    world.wake(2);
    world.until(1, 2, |message| matches!(message, Message::Forward { .. }));
    assert_eq!(world.members(2, "g"), Some(vec![pids[2]]));
    assert_eq!(world.done(op), Status::Ok);
    world.all_show_members("g", Some(&[pids[2]]));
    // It is no member that outlives the delete.
    let op = world.delete(pids[0], "g");
    assert_eq!(world.done(op), Status::Ok);
    world.all_show_members("g", None);
    world.assert_at_rest();
}

/// A leave where the home does not know the group any more.
#[test]
fn a_leave_reaches_the_home_after_the_delete() {
    let mut world = World::mesh(2);
    let (a, b) = (world.spawn(0), world.spawn(1));
    world.make_group("g", &[a, b]);
    world.hang(0);
    let op = world.delete(b, "g");
    let leave = world.leave(a, "g", b);
    let join = world.join(a, "g", b);
    world.wake(0);
    assert_eq!(
        (world.done(op), world.done(leave), world.done(join)),
        (Status::Ok, Status::Ok, Status::NotFound)
    );
    world.all_show_members("g", None);
    world.assert_at_rest();
}

/// Homes without a link, and links that are lost meanwhile.
#[test]
fn the_home_cannot_be_had() {
    let mut world = World::mesh(2);
    let (a, b) = (world.spawn(0), world.spawn(1));
    world.make_group("g", &[a]);
    world.hang(1);
    let join = world.join(a, "g", b);
    let leave = world.leave(a, "g", b);
    world.cut(0, 1);
    assert_eq!(
        (world.status(join), world.status(leave)),
        (Some(Status::Unreachable), Some(Status::Unreachable))
    );
    let join = world.join(a, "g", b);
    assert_eq!(world.status(join), Some(Status::Unreachable));
    world.wake(1);
    world.join_up(&[0, 1]);
    world.all_show_members("g", Some(&[a]));
    world.assert_at_rest();
}

#[test]
fn names_of_groups_are_checked() {
    let mut world = World::mesh(1);
    let a = world.spawn(0);
    let long = "g".repeat(1025);
    for (group, status) in [("", Status::Invalid), (&long, Status::TooBig)] {
        for op in [
            world.create(a, group),
            world.delete(a, group),
            world.join(a, group, a),
            world.leave(a, group, a),
        ] {
            assert_eq!(world.status(op), Some(status));
        }
    }
    world.exit(a);
    for op in [world.create(a, "g"), world.delete(a, "g"), world.join(a, "g", a), world.leave(a, "g", a)] {
        assert_eq!(world.status(op), Some(Status::NoProcess));
    }
    world.assert_at_rest();
}

#[test]
fn a_group_that_many_join_in_a_row_is_published_once() {
    let mut world = World::mesh(1);
    let maker = world.spawn(0);
    let op = world.create(maker, "g");
    assert_eq!(world.done(op), Status::Ok);
    let pids: Vec<Pid> = (0..50).map(|_| world.spawn(0)).collect();
    let now = world.now;
    let engine = world.nodes[0].engine.as_mut().expect("it runs");
    for (&pid, op) in pids.iter().zip(1000..) {
        let (process, op, group, deadline) = (pid.serial, Ref(op), name("g"), Deadline::FOREVER);
        engine.handle_command(
            now,
            Command::Call(Call { process, op, deadline, what: Action::JoinGroup { group, pid } }),
        );
    }
    let outputs: Vec<Output> = std::iter::from_fn(|| engine.poll_any()).collect();
    let shown = outputs.iter().filter_map(|output| match output {
        Output::Effect(Effect::PublishGroups { groups }) => Some(groups),
        _ => None,
    });
    let shown: Vec<_> = shown.flatten().map(|(_, members)| members.as_ref().map(Members::as_slice)).collect();
    assert_eq!(shown, [Some(&pids[..])], "all of them at once");
}
