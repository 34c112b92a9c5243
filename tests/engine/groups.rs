//! Groups: what `pg2`'s manual page says, and what of it is agreed by whom.

use crate::harness::*;
use convoke::engine::*;

impl World {
    pub(crate) fn create(&mut self, caller: Pid, group: &str) -> Ref {
        let (group, patience) = (name(group), Patience::FOREVER);
        self.call(caller, |process, op| Command::CreateGroup { process, op, group, patience })
    }
    pub(crate) fn delete(&mut self, caller: Pid, group: &str) -> Ref {
        let (group, patience) = (name(group), Patience::FOREVER);
        self.call(caller, |process, op| Command::DeleteGroup { process, op, group, patience })
    }
    pub(crate) fn join(&mut self, caller: Pid, group: &str, pid: Pid) -> Ref {
        let (group, patience) = (name(group), Patience::FOREVER);
        self.call(caller, |process, op| Command::JoinGroup { process, op, group, pid, patience })
    }
    pub(crate) fn leave(&mut self, caller: Pid, group: &str, pid: Pid) -> Ref {
        let (group, patience) = (name(group), Patience::FOREVER);
        self.call(caller, |process, op| Command::LeaveGroup { process, op, group, pid, patience })
    }
    /// `None`: there is no such group.
    pub(crate) fn members(&self, node: NodeIndex, group: &str) -> Option<Vec<Pid>> {
        let all = self.engine(node).groups();
        let mut entries = all.into_iter().find(|(g, _)| *g == name(group))?.1.entries.to_vec();
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
        let (process, op, group, patience) = (pid.serial, Ref(op), name("g"), Patience::FOREVER);
        engine.handle_command(now, Command::JoinGroup { process, op, group, pid, patience });
    }
    let outputs: Vec<Output> = std::iter::from_fn(|| engine.poll_output()).collect();
    let shown = outputs.iter().filter_map(|output| match output {
        Output::PublishGroup { members, .. } => members.as_ref().map(|members| members.entries.to_vec()),
        _ => None,
    });
    assert_eq!(shown.collect::<Vec<_>>(), [pids], "all of them at once");
}
