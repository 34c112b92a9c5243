//! How nodes come to agree about the existence of groups, which belongs to nobody.
//!
//! A node may have learned of a group, or of its end, from one that is gone since, and its peers may not. So after every end
//! of a link and after every merge that brought news a node tells its peers a digest of what it knows; who differs answers
//! with all of it, and gets the same back. Why that is enough stands in `existence`.

use super::existence::Changed;
use super::maker::Makers;
use super::memberships::Groups;
use crate::fault::Fault;
use crate::links::View;
use crate::machine::Engine;
use crate::timers::Timer;
use crate::*;
use std::collections::BTreeSet;
use std::time::Duration;

/// What is remembered of an incarnation that has no link is forgotten after this time, unless it has a live dot. A group
/// that was deleted during a split that lasts longer may come back.
const MEMORY: Duration = Duration::from_secs(24 * 3600);
/// And not to the second: no look at all of them follows another sooner.
const LOOK: Duration = Duration::from_secs(60);

/// Rows in one message: enough that it costs little, and few enough that the peer reads while more are made.
const PART: usize = 512;

fn in_parts(all: impl Iterator<Item = Existence>) -> Vec<Vec<Existence>> {
    links::in_parts(all, PART, |part| {
        // Two numbers and what comes before them.
        24 + if let Existence::Live { group, .. } = part { group.as_bytes().len() } else { 0 }
    })
}

/// Whether a node is this one, or has a link, by the number under which it makes groups.
fn is_present(config: &Config, view: &View, makers: &Makers) -> impl Fn(NodeId) -> bool {
    |number| {
        let node = makers.node(number);
        node == config.node || view.is_linked(node)
    }
}

impl Engine {
    /// Something was learned that peers may not know. One digest for all that happens within a heartbeat.
    fn existence_changed(&mut self) {
        if !self.cx.timers.is_set(&Timer::GroupDigest) && !self.is_broken(Fault::NoDigest) {
            self.cx.timers.set(Timer::GroupDigest, self.cx.now + self.cx.config.heartbeat);
        }
    }

    /// Something was learned of these incarnations. Of those without a link nobody will say that they have left.
    pub(super) fn remember_absent(&mut self, nodes: impl IntoIterator<Item = NodeId>) {
        let absent: Vec<NodeId> = {
            let is_present = is_present(&self.cx.config, &self.view, &self.groups.makers);
            nodes.into_iter().filter(|node| !is_present(*node)).collect()
        };
        if self.groups.dots.forget_later(self.cx.now + MEMORY, absent) {
            self.arm_group_memory(self.cx.now + MEMORY);
        }
    }

    fn arm_group_memory(&mut self, at: Time) {
        if !self.cx.timers.is_set(&Timer::GroupMemory) {
            self.cx.timers.set(Timer::GroupMemory, at);
        }
    }

    /// Looks at all of them, so at most once in a while, and not for each of those that have left one after the other.
    pub(crate) fn group_memory_due(&mut self) {
        let is_present = is_present(&self.cx.config, &self.view, &self.groups.makers);
        if let Some(next) = self.groups.dots.forget_due(self.cx.now, self.cx.now + MEMORY, is_present) {
            self.arm_group_memory(next.max(self.cx.now + LOOK));
        }
    }

    pub(crate) fn group_digest_due(&mut self) {
        for node in self.view.linked() {
            *self.groups.unanswered.entry(node).or_default() += 1;
        }
        let digest = self.groups.dots.digest();
        self.broadcast(Message::GroupDigest { digest });
    }

    /// The peer differs: it is told all, once per round trip.
    pub(crate) fn on_group_digest(&mut self, from: NodeId, digest: u64) -> Result<(), Violation> {
        if digest == self.groups.dots.digest() {
            return Ok(());
        }
        match self.groups.asked.get_mut(&from) {
            Some(again) => *again = true,
            None => self.tell_all_in_turn(from),
        }
        Ok(())
    }

    /// At most once in a heartbeat, which is how often an honest node sends a digest: all that is known may be very much, and
    /// a digest and an empty answer are a few bytes.
    fn tell_all_in_turn(&mut self, to: NodeId) {
        let due = self.groups.told_all.get(&to).map_or(self.cx.now, |last| *last + self.cx.config.heartbeat);
        if due > self.cx.now {
            return self.cx.timers.set(Timer::GroupAnswer(to), due);
        }
        self.groups.told_all.insert(to, self.cx.now);
        self.groups.asked.insert(to, false);
        self.tell_existence(to, true);
    }

    pub(crate) fn group_answer_due(&mut self, to: NodeId) {
        if !self.groups.asked.contains_key(&to) {
            self.tell_all_in_turn(to);
        }
    }

    /// What a peer is told of what this node knows of the existence of groups.
    pub fn existence_digest(&self) -> u64 {
        let dots = &self.groups.dots;
        if self.is_broken(Fault::LiveDotsAreAllKnowledge) { dots.digest() } else { dots.knowledge() }
    }

    /// All that this node knows of the existence of groups, in parts.
    pub(crate) fn existence_parts(&self) -> Vec<Vec<Existence>> {
        let live_only = self.is_broken(Fault::ContextDoesNotTravel);
        let all = self.groups.dots.parts();
        in_parts(all.filter(|part| !live_only || matches!(part, Existence::Live { .. })))
    }

    fn tell_existence(&mut self, to: NodeId, answer: bool) {
        self.tell_parts(to, self.existence_parts(), answer);
    }

    /// Its maker shows a group by a dot that is none here: it is told that the dot is known, and by that that it is no more. If
    /// somebody has lied about later ones it is told of the last, or each of its next dots would be none either.
    pub(super) fn tell_end_of(&mut self, maker: NodeId, dot: Dot) {
        let dots = &self.groups.dots;
        let last = Dot { number: dots.last_known(dot.node), ..dot };
        let last = Some(last).filter(|last| *last != dot && !dots.is_live_anywhere(last));
        let parts = [Some(dot), last].into_iter().flatten().map(Existence::Beyond).collect();
        self.send(maker, Message::GroupState { parts, last: true, answer: false });
    }

    fn tell_parts(&mut self, to: NodeId, parts: Vec<Vec<Existence>>, answer: bool) {
        let mut parts = parts.into_iter().peekable();
        while let Some(part) = parts.next() {
            self.send(to, Message::GroupState { parts: part, last: parts.peek().is_none(), answer });
        }
    }

    /// Part of what a peer knows, in a snapshot or by itself.
    fn learn_existence(&mut self, from: NodeId, parts: Vec<Existence>) -> Result<(), Violation> {
        if parts.is_empty() {
            return Ok(());
        }
        for part in &parts {
            let dot = match part {
                Existence::Live { dot, .. } | Existence::Beyond(dot) => *dot,
                Existence::Seen { node, up_to } => Dot { node: *node, number: *up_to },
            };
            self.groups.makers.heard_of(self.cx.config.node, dot);
        }
        let told = self.groups.told.entry(from).or_default();
        parts.into_iter().for_each(|part| told.add(part));
        if told.is_within(&self.cx.config.limits) {
            Ok(())
        } else {
            Err(Violation("more groups than the limit"))
        }
    }

    /// What the peer knows is complete.
    pub(crate) fn merge_existence(&mut self, from: NodeId) {
        let Some(told) = self.groups.told.remove(&from) else { return };
        let before = self.groups.dots.digest();
        // Where many are told of, all are gone through once: that is quicker.
        let nodes = (told.len() < self.groups.dots.incarnations().len() / 8).then(|| told.nodes());
        let changed = self.groups.dots.merge(told);
        let is_news = changed != Changed::These(Vec::new());
        if self.is_broken(Fault::MergeEndsMemberships) {
            self.end_memberships_without_dots(&changed);
        }
        match changed {
            Changed::These(groups) => groups.iter().for_each(|group| self.groups.touch(group, false)),
            Changed::All => self.groups.touch_all_live(),
        }
        self.trim_dots(from);
        // What came and went at once is no news: else two who differ about whom they have links to would tell each other
        // the same for ever.
        let every_merge = is_news && self.is_broken(Fault::EveryMergeIsNews);
        if self.groups.dots.digest() != before || every_merge {
            self.existence_changed();
        }
        if let Some(nodes) = nodes {
            return self.remember_absent(nodes);
        }
        let is_present = is_present(&self.cx.config, &self.view, &self.groups.makers);
        if self.groups.dots.forget_absent_later(self.cx.now + MEMORY, is_present) {
            self.arm_group_memory(self.cx.now + MEMORY);
        }
    }

    /// [`Fault::MergeEndsMemberships`]
    fn end_memberships_without_dots(&mut self, changed: &Changed) {
        let groups: Vec<Name> = match changed {
            Changed::These(groups) => groups.clone(),
            Changed::All => self.groups.dots.groups().cloned().collect(),
        };
        for group in &groups {
            let rows = self.groups.rows_of(group).into_iter().flatten().flat_map(|(_, rows)| rows.values());
            let dots = rows.flat_map(|row| row.dots.iter().copied());
            let gone = dots.filter(|dot| !self.groups.dots.is_live_dot(group, dot)).collect();
            self.carry_out_delete(group, &gone);
        }
    }

    /// A caller elsewhere knows these dots of the group; this node perhaps not yet.
    pub(super) fn learn_dots(&mut self, group: &Name, dots: BTreeSet<Dot>) {
        let mut is_news = false;
        let makers: BTreeSet<NodeId> = dots.iter().map(|dot| dot.node).collect();
        for dot in dots.into_iter().filter(|dot| self.groups.makers.node(dot.node) != self.cx.config.node) {
            is_news |= self.groups.dots.has_room(&self.cx.config.limits) && self.groups.dots.add(group, dot);
        }
        if is_news {
            self.groups.touch(group, false);
            self.existence_changed();
            self.remember_absent(makers);
        }
    }

    pub(crate) fn on_group_state(
        &mut self,
        from: NodeId,
        parts: Vec<Existence>,
        last: bool,
        answer: bool,
    ) -> Result<(), Violation> {
        self.learn_existence(from, parts)?;
        if !last {
            if self.view.is_linked(from) && !self.view.is_synced(from) {
                self.note_tables(from, false); // it belongs to the snapshot
            }
            return Ok(());
        }
        self.merge_existence(from);
        if answer {
            match self.groups.unanswered.get_mut(&from) {
                Some(digests) if *digests > 0 => *digests -= 1,
                _ => return Err(Violation("it asks for all groups although no digest was sent")),
            }
            self.tell_existence(from, false);
        } else if self.groups.asked.remove(&from) == Some(true) {
            self.tell_all_in_turn(from);
        }
        Ok(())
    }

    /// What peers have made this node remember stays bounded; `trim` says how. Says whether groups have lost something.
    fn trim_dots(&mut self, from: NodeId) -> bool {
        let Groups { dots, makers, .. } = &mut self.groups;
        let members =
            self.view.nodes().map(|(node, _)| node).chain([self.cx.config.node]).chain(makers.all());
        let trimmed = dots.trim(&self.cx.config.limits, members);
        for group in &trimmed.groups {
            self.groups.touch(group, false);
        }
        if !trimmed.groups.is_empty() {
            self.log(Level::Warn, Topic::Group, |engine| {
                let (count, name) = (trimmed.groups.len(), engine.name_of(from));
                format!("{count} groups were dropped: there were too many after what node {name} told")
            });
        }
        !trimmed.groups.is_empty()
    }

    /// After an operation of a peer. Others may have room for what was dropped here.
    pub(super) fn keep_dots_within(&mut self, from: NodeId) {
        if self.trim_dots(from) && !self.is_broken(Fault::TrimIsNoNews) {
            self.existence_changed();
        }
    }

    /// The end of a link: members there are gone, and others may not have heard what that node said last.
    pub(crate) fn drop_groups_of(&mut self, node: NodeId, why: Reason) {
        self.drop_memberships_of(node, why);
        self.groups.clear_doomed();
        self.groups.told.remove(&node);
        self.groups.asked.remove(&node);
        self.groups.unanswered.remove(&node);
        self.groups.told_all.remove(&node);
        self.cx.timers.cancel(&Timer::GroupAnswer(node));
        let numbers = self.groups.makers.of(node).chain([node]).collect::<Vec<_>>();
        for number in numbers {
            if self.groups.dots.forget_at(self.cx.now + MEMORY, number) {
                self.arm_group_memory(self.cx.now + MEMORY);
            }
        }
        self.groups.makers.forget(node);
        if self.groups.dots.incarnations().len() > 0 {
            self.existence_changed();
        }
    }

    /// The node closes: readers see no members of others any more, as they see no names.
    pub(crate) fn drop_all_groups(&mut self) {
        for node in self.groups.homes() {
            self.drop_memberships_of(node, Reason::NODE_CLOSED);
        }
    }
}
