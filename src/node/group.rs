//! Groups: members from the published table, changes on behalf of a process.

use super::process::{Completion, check_pid};
use super::send::Outgoing;
use super::shared::Shared;
use super::{Done, Error, List, Node, Process, Result, chance};
use crate::model::{Action, Command, Members, Pid, Ref, Status};

/// What became of a message to a group.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sent {
    /// So many members have taken it.
    pub accepted: u32,
    /// `Full`, or else `TooBig`, if any has refused it.
    pub refused: Option<Error>,
}

impl Shared {
    /// The members of a group. A process of this node that has ended is not among them.
    fn members(&self, group: &[u8]) -> Result<Members> {
        // Before the table is read.
        let any_dying = self.processes.any_dying();
        let members = self.tables.members(group, Members::clone).ok_or(Status::NotFound)?;
        Ok(if any_dying { self.living(members) } else { members })
    }

    /// Without the processes of this node that have ended and are about to be taken out of the table.
    #[cold]
    fn living(&self, members: Members) -> Members {
        let is_alive = |pid: &Pid| !self.processes.is_here(*pid) || self.processes.is_alive(pid.serial);
        if members.iter().all(is_alive) {
            return members;
        }
        let living = |pid: &&Pid| is_alive(pid);
        let local = members.iter().take(members.local()).filter(living).copied().collect();
        Members::new(local, members.iter().skip(members.local()).filter(living).copied().collect())
    }

    /// A random entry of this node if there is one, else any.
    fn closest(&self, group: &[u8]) -> Result<Pid> {
        if self.processes.any_dying() {
            return closest_of(&self.members(group)?);
        }
        // The usual case, without even a count of the table's share.
        self.tables.members(group, closest_of).ok_or(Status::NotFound)?
    }
}

fn closest_of(members: &Members) -> Result<Pid> {
    let near = if members.local() > 0 { members.local() } else { members.len() };
    let chosen = if near > 0 { members.get(chance::below(near)) } else { None };
    chosen.ok_or_else(|| Status::NoProcess.into())
}

impl Node {
    /// Rows with Pid: every member as often as it has joined, its entries side by side, those of this node first.
    /// `NotFound`: there is no such group.
    pub fn members(&self, group: &[u8]) -> Result<List> {
        self.shared().check_open()?;
        Ok(List::of_members(self.shared().members(group)?))
    }

    /// The same, of this node only.
    pub fn local_members(&self, group: &[u8]) -> Result<List> {
        self.shared().check_open()?;
        Ok(List::of_local_members(self.shared().members(group)?))
    }

    /// A member chosen at random among the entries of this node, or, if there are none, among all. `NoProcess`: the
    /// group is empty.
    pub fn closest(&self, group: &[u8]) -> Result<Pid> {
        self.shared().check_open()?;
        self.shared().closest(group)
    }

    /// Rows with Name and Count (of entries), sorted by name: all groups, empty ones too.
    pub fn groups(&self) -> Result<List> {
        self.shared().check_open()?;
        Ok(List::of_groups(self.shared().tables.groups()))
    }
}

impl Process {
    /// Makes a group; one that exists already is made anew, and keeps its members.
    pub fn group_create(&self, group: &[u8], timeout_ms: i64, completion: Completion) -> Result<Done> {
        let group = self.name(group)?;
        self.operate(timeout_ms, completion, Action::CreateGroup { group })
    }

    /// Deletes a group with its memberships. Unknown: fine.
    pub fn group_delete(&self, group: &[u8], timeout_ms: i64, completion: Completion) -> Result<Done> {
        let group = self.name(group)?;
        self.operate(timeout_ms, completion, Action::DeleteGroup { group })
    }

    /// `pid`: who joins, `None` for this process. `NotFound`: there is no such group.
    pub fn group_join(
        &self,
        group: &[u8],
        pid: Option<Pid>,
        timeout_ms: i64,
        completion: Completion,
    ) -> Result<Done> {
        let group = self.name(group)?;
        let pid = pid.unwrap_or(self.pid());
        check_pid(pid)?;
        self.operate_or_take_back(timeout_ms, completion, true, Action::JoinGroup { group, pid })
    }

    /// Takes one joining back. Of a non-member: fine. `NotFound`: there is no such group.
    pub fn group_leave(
        &self,
        group: &[u8],
        pid: Option<Pid>,
        timeout_ms: i64,
        completion: Completion,
    ) -> Result<Done> {
        let group = self.name(group)?;
        let pid = pid.unwrap_or(self.pid());
        check_pid(pid)?;
        self.operate(timeout_ms, completion, Action::LeaveGroup { group, pid })
    }

    /// GROUP_JOINED for every present member, SNAPSHOT_END, then every change. The group need not exist.
    pub fn group_monitor(&self, group: &[u8]) -> Result<Ref> {
        let group = self.name(group)?;
        self.watch(|process, reference| Command::MonitorGroup { process, reference, group })
    }

    /// Sends to every member once, however often it has joined. Those that have ended or cannot be reached are passed
    /// over. `NotFound`: there is no such group. `TooBig`: for this node.
    pub fn group_send(&self, group: &[u8], payload: &[u8]) -> Result<Sent> {
        self.check_alive()?;
        let members = self.shared.members(group)?;
        let outgoing = Outgoing::new(&self.shared, payload)?;
        let mut sent = Sent { accepted: 0, refused: None };
        let mut last = None;
        // Entries of one member stand side by side.
        for pid in members.iter().filter(|pid| last.replace(**pid) != Some(**pid)) {
            match self.shared.send(&self.core, *pid, &outgoing) {
                Ok(()) => sent.accepted += 1,
                Err(error) => match (error.status, &sent.refused) {
                    (Status::Full, Some(Error { status: Status::Full, .. })) => {}
                    (Status::Full, _) | (Status::TooBig, None) => sent.refused = Some(error),
                    _ => {}
                },
            }
        }
        Ok(sent)
    }
}
