//! Operations that wait for long are told of in the log.

use crate::machine::Engine;
use crate::timers::Timer;
use crate::*;

/// Operations that are told of by themselves, of those that come to wait for long at one moment.
const AT_ONCE: usize = 16;

impl Engine {
    /// A look at the claims is due one detection time from now, if none is.
    pub(crate) fn watch_claims(&mut self) {
        if !self.cx.timers.is_set(&Timer::Claims) {
            self.cx.timers.set(Timer::Claims, self.cx.now + self.cx.config.detection);
        }
    }

    /// Tells of every operation that has waited for a detection time, once, and whom it waits for.
    pub(crate) fn claims_due(&mut self) {
        if !self.is_logged(Level::Warn) {
            return;
        }
        let detection = self.cx.config.detection;
        let is_due = |since: Time| self.cx.now.since(since) >= detection;
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
