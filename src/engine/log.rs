//! What is worth telling an operator: levels, and a closed list of subjects, so that both can be filtered by.
//!
//! Texts name nodes, pids and names (escaped and shortened), never a payload or a secret. A text is only made when
//! somebody listens at its level.

use super::machine::Engine;
use super::output::Output;
use super::time::Time;
use super::timers::Timer;
use super::{Key, Name, NodeId};
use std::ffi::CStr;
use std::fmt;

macro_rules! levels {
    ($($(#[doc = $doc:literal])* $name:ident = $number:literal, $c:literal;)*) => {
        /// How much a record matters. The numbers are those of the C interface; a listener gets those up to its own.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Hash)]
        #[repr(u8)]
        pub enum Level { $($(#[doc = $doc])* $name = $number,)* }

        impl Level {
            /// With what the documents say of each.
            pub const ALL: &[(Level, &str, &str)] = &[$((Level::$name, $c, concat!($($doc),*)),)*];
        }
    };
}

levels! {
    /// Something is broken and stays so until somebody acts.
    Error = 1, "CONVOKE_LOG_ERROR";
    /// Something went wrong, or waits for longer than it should.
    Warn = 2, "CONVOKE_LOG_WARN";
    /// What an operator wants to read afterwards: nodes that open, close, come and go; clashes that are decided.
    Info = 3, "CONVOKE_LOG_INFO";
    /// What helps to understand a single case: dials, suspicions, who refused whom.
    Debug = 4, "CONVOKE_LOG_DEBUG";
    /// Every claim and every answer.
    Trace = 5, "CONVOKE_LOG_TRACE";
}

impl Level {
    pub fn number(self) -> u8 {
        self as u8
    }
}

macro_rules! targets {
    ($($name:ident = $text:literal, $meaning:literal;)*) => {
        /// What a record is about.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Hash)]
        pub enum Target { $($name,)* }

        impl Target {
            /// With what the documents say of each.
            pub const ALL: &[(Target, &str)] = &[$((Target::$name, $meaning),)*];
            /// Its name, as C gets it.
            pub const fn c_name(self) -> &'static CStr { match self { $(Target::$name => $text,)* } }
        }
    };
}

targets! {
    Node = c"convoke.node", "a node opens, closes (and why), was paused, met a defect";
    Link = c"convoke.link", "links come up and go down, with the reason; peers that broke the protocol";
    Liveness = c"convoke.liveness", "peers that fall silent, are asked after, are heard again or given up";
    Dial = c"convoke.dial", "addresses that are dialled and do not answer";
    Listener = c"convoke.listener", "connections that cannot be accepted";
    Handshake = c"convoke.handshake", "connections that were refused, by this node or by the other end";
    Claim = c"convoke.claim", "registrations and acquisitions: every one at the finest level, and those that wait for long";
    Lock = c"convoke.lock", "locks that their holders can rely on no longer";
    Clash = c"convoke.clash", "two bindings of one name: found, decided";
    Resolver = c"convoke.resolver", "resolver functions that are late, fail, or are left behind";
    Process = c"convoke.process", "processes that those of other nodes kill, and names that those take from them: by whom";
    Group = c"convoke.group", "groups that are made and deleted";
    Queue = c"convoke.queue", "senders that are refused because a receiver or a link has no room";
    Log = c"convoke.log", "records that were dropped because their reader was too slow";
}

impl Target {
    pub fn name(self) -> &'static str {
        self.c_name().to_str().unwrap_or_default()
    }
}

/// A name as a log shows it: escaped, and not longer than a glance.
pub struct Short<'a>(pub &'a [u8]);

impl fmt::Display for Short<'_> {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        const GLANCE: usize = 64;
        let shown = &self.0[..self.0.len().min(GLANCE)];
        write!(f, "\"{}\"", shown.escape_ascii())?;
        if self.0.len() > GLANCE { write!(f, "... ({} bytes)", self.0.len()) } else { Ok(()) }
    }
}

impl Engine {
    /// From now on records up to this level are made; `None`: none. What is known does not change with it.
    pub fn set_log_level(&mut self, level: Option<Level>) {
        self.log_level = level.map_or(0, Level::number);
        if self.is_logged(Level::Warn) && !self.claims.operations.is_empty() {
            self.watch_claims();
        }
    }

    pub(super) fn is_logged(&self, level: Level) -> bool {
        level.number() <= self.log_level
    }

    pub(super) fn log(&mut self, level: Level, target: Target, text: impl FnOnce(&Engine) -> String) {
        // `Closed` is the last word.
        if self.is_logged(level) && !self.closed {
            let text = text(self);
            self.event(Output::Log { level, target, text });
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
        format!("{} ({node:?})", self.name_of(node))
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
                0..AT_ONCE => self.log(Level::Warn, Target::Claim, |engine| engine.tell_of_wait(tx)),
                AT_ONCE => self.log(Level::Warn, Target::Claim, |_| "and others: see the dump".to_owned()),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_escaped_and_shortened() {
        assert_eq!(Short(b"a\n\xff\"").to_string(), r#""a\n\xff\"""#);
        let shown = Short(&[b'x'; 1000]).to_string();
        assert!(shown.len() < 100 && shown.ends_with("... (1000 bytes)"), "{shown}");
    }

    #[test]
    fn targets_are_dotted_names_and_levels_follow_each_other() {
        for (target, meaning) in Target::ALL {
            assert!(target.name().starts_with("convoke.") && !meaning.is_empty(), "{target:?}");
        }
        let numbers: Vec<u8> = Level::ALL.iter().map(|(level, ..)| level.number()).collect();
        assert_eq!(numbers, [1, 2, 3, 4, 5]);
    }
}
