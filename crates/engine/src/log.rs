//! What the engine writes into the log. A text is only made when somebody listens at its level.

use super::machine::Engine;
use super::timers::Timer;
use super::{Effect, Key, Name, NodeId, Time};
pub(super) use super::{Level, Short, Topic};

impl Engine {
    pub(super) fn is_logged(&self, level: Level) -> bool {
        level.number() <= self.log_level
    }

    pub(super) fn log(&mut self, level: Level, topic: Topic, text: impl FnOnce(&Engine) -> String) {
        // `Closed` is the last word.
        if self.is_logged(level) && !self.closed {
            let text = text(self);
            self.event(Effect::Log { level, topic, text });
        }
    }

    /// A node by its name, or by its incarnation where there is no link.
    pub(super) fn name_of(&self, node: NodeId) -> String {
        match self.view.links.get(&node) {
            Some(link) => Short(link.name.as_bytes()).to_string(),
            None if node == self.config.node => "this node".to_owned(),
            None => format!("{node:?}, which has no link"),
        }
    }

    /// A node by its name and its incarnation, where the log is to say for good who has done something.
    pub(super) fn identity_of(&self, node: NodeId) -> String {
        match self.view.links.get(&node) {
            Some(link) => format!("{} ({node:?})", Short(link.name.as_bytes())),
            None => self.name_of(node),
        }
    }

    pub(super) fn names_of<'a>(&self, nodes: impl Iterator<Item = &'a NodeId>) -> String {
        const SHOWN: usize = 5;
        let mut nodes = nodes.peekable();
        let shown: Vec<String> = nodes.by_ref().take(SHOWN).map(|node| self.name_of(*node)).collect();
        let more = nodes.count();
        let shown = shown.join(", ");
        if more > 0 { format!("{shown} and {more} more") } else { shown }
    }

    // ---- claims that wait for long

    /// A look at the claims is due one detection time from now, if none is.
    pub(super) fn watch_claims(&mut self) {
        if !self.timers.is_set(&Timer::Claims) {
            self.timers.set(Timer::Claims, self.now + self.config.detection);
        }
    }

    /// Tells of every operation that has waited for a detection time, once, and whom it waits for.
    pub(super) fn claims_due(&mut self) {
        if !self.is_logged(Level::Warn) {
            return;
        }
        let detection = self.config.detection;
        let is_due = |since: Time| self.now.since(since) >= detection;
        let late = self.claims.operations.iter().filter(|(_, op)| !op.told && is_due(op.since));
        for (number, tx) in late.map(|(tx, _)| *tx).collect::<Vec<_>>().into_iter().enumerate() {
            match number {
                0..AT_ONCE => self.log(Level::Warn, Topic::Claim, |engine| engine.tell_of_wait(tx)),
                AT_ONCE => self.log(Level::Warn, Topic::Claim, |_| "and others: see the dump".to_owned()),
                _ => {}
            }
            if let Some(op) = self.claims.operations.get_mut(&tx) {
                op.told = true;
            }
        }
        if self.claims.operations.values().any(|op| !op.told) {
            self.watch_claims();
        }
    }
}

/// Operations that are told of by themselves, of those that come to wait for long at one moment.
const AT_ONCE: usize = 16;

/// What a key is, for a log.
pub(super) fn of_key(key: Option<&Key>) -> String {
    match key {
        Some(Key::Name(name)) => format!("the name {}", Short(name.as_bytes())),
        Some(Key::Lock(resource)) => format!("the lock {}", Short(resource.as_bytes())),
        None => "what was published".to_owned(),
    }
}

/// A name, for a log.
pub(super) fn of_name(name: &Name) -> String {
    Short(name.as_bytes()).to_string()
}
