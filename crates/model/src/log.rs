//! What is worth telling an operator: levels, and a closed list of subjects, so that both can be filtered by.
//!
//! Texts name nodes, pids and names (escaped and shortened), never a payload or a secret.

use crate::numbered;
use std::fmt;

numbered! {
    /// How much a record matters; a listener gets those up to its own.
    Level: u8 {
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
}

numbered! {
    /// What a record is about.
    Topic: u8 {
        /// a node opens, closes (and why), was paused, met an internal error
        Node = 0, "convoke.node";
        /// links come up and go down, with the reason; peers that broke the protocol
        Link = 1, "convoke.link";
        /// peers that fall silent, are asked after, are heard again or given up
        Liveness = 2, "convoke.liveness";
        /// addresses that are dialled and do not answer
        Dial = 3, "convoke.dial";
        /// connections that cannot be accepted
        Listener = 4, "convoke.listener";
        /// connections that were refused, by this node or by the other end
        Handshake = 5, "convoke.handshake";
        /// registrations and acquisitions: every one at the finest level, and those that wait for long
        Claim = 6, "convoke.claim";
        /// locks that their holders can rely on no longer
        Lock = 7, "convoke.lock";
        /// two bindings of one name: found, decided
        Clash = 8, "convoke.clash";
        /// resolver functions that are late, fail, or are left behind
        Resolver = 9, "convoke.resolver";
        /// processes that those of other nodes kill, and names that those take from them: by whom
        Process = 10, "convoke.process";
        /// groups that are made and deleted
        Group = 11, "convoke.group";
        /// senders that are refused because a receiver or a link has no room
        Queue = 12, "convoke.queue";
        /// records that were dropped because their reader was too slow
        Log = 13, "convoke.log";
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
        for topic in Topic::ALL {
            assert!(topic.c_name().starts_with("convoke."), "{topic:?}");
        }
        let numbers: Vec<u8> = Level::ALL.iter().map(|level| level.number()).collect();
        assert_eq!(numbers, [1, 2, 3, 4, 5]);
    }
}
