//! What the engine writes into the log. A text is only made when somebody listens at its level.

use super::machine::Engine;
use super::{Effect, Key, Name, NodeId};
pub(super) use super::{Level, Short, Topic};

impl Engine {
    pub(super) fn is_logged(&self, level: Level) -> bool {
        self.cx.is_logged(level)
    }

    pub(super) fn log(&mut self, level: Level, topic: Topic, text: impl FnOnce(&Self) -> String) {
        // `Closed` is the last word.
        if self.is_logged(level) && !self.cx.is_closed() {
            let text = text(self);
            self.event(Effect::Log { level, topic, text });
        }
    }

    /// A node by its name, or by its incarnation where there is no link.
    pub(super) fn name_of(&self, node: NodeId) -> String {
        match self.view.name(node) {
            Some(name) => Short(name.as_bytes()).to_string(),
            None if node == self.cx.config.node => "this node".to_owned(),
            None => format!("{node:?}, which has no link"),
        }
    }

    /// A node by its name and its incarnation, where the log is to say for good who has done something.
    pub(super) fn identity_of(&self, node: NodeId) -> String {
        match self.view.name(node) {
            Some(name) => format!("{} ({node:?})", Short(name.as_bytes())),
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
}

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
