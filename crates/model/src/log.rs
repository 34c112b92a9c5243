//! What is worth telling an operator: levels, and a closed list of subjects, so that both can be filtered by.
//!
//! Texts name nodes, pids and names (escaped and shortened), never a payload or a secret.

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
        pub enum Topic { $($name,)* }

        impl Topic {
            /// With what the documents say of each.
            pub const ALL: &[(Topic, &str)] = &[$((Topic::$name, $meaning),)*];
            /// Its name, as C gets it.
            pub const fn c_name(self) -> &'static CStr { match self { $(Topic::$name => $text,)* } }
        }
    };
}

targets! {
    Node = c"convoke.node", "a node opens, closes (and why), was paused, met an internal error";
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

impl Topic {
    pub fn name(self) -> &'static str {
        self.c_name().to_str().unwrap_or_default()
    }
}

/// A name as a log shows it: escaped, and not longer than a glance.
pub struct Short<'a>(pub &'a [u8]);

impl fmt::Display for Short<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const GLANCE: usize = 64;
        let shown = &self.0[..self.0.len().min(GLANCE)];
        write!(f, "\"{}\"", shown.escape_ascii())?;
        if self.0.len() > GLANCE { write!(f, "... ({} bytes)", self.0.len()) } else { Ok(()) }
    }
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
        for (topic, meaning) in Topic::ALL {
            assert!(topic.name().starts_with("convoke.") && !meaning.is_empty(), "{topic:?}");
        }
        let numbers: Vec<u8> = Level::ALL.iter().map(|(level, ..)| level.number()).collect();
        assert_eq!(numbers, [1, 2, 3, 4, 5]);
    }
}
