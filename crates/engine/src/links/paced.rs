//! Lines of the log that a peer can cause without end.

use crate::Time;
use crate::machine::Engine;
use crate::{Level, Topic};
use std::time::Duration;

/// So many lines in so much time are all told.
const MANY: u64 = 256;
const WINDOW: Duration = Duration::from_secs(10);
/// Of a flood one line is told after one window, the next after twice as long, and so on up to this.
const LONGEST: Duration = Duration::from_secs(3600);

/// When lines of one kind are told.
#[derive(Debug, Default)]
pub(super) struct Paced {
    since: Time,
    /// Lines since then, told or not.
    count: u64,
    /// In a flood: from one line that is told to the next.
    pause: Option<Duration>,
}

impl Paced {
    /// Whether this line is told, and how many before it were not.
    fn is_due(&mut self, now: Time) -> Option<u64> {
        let passed = now.since(self.since);
        let Some(pause) = self.pause else {
            if passed >= WINDOW {
                (self.since, self.count) = (now, 0);
            }
            self.count += 1;
            if self.count <= MANY {
                return Some(0);
            }
            (self.since, self.count, self.pause) = (now, 1, Some(WINDOW));
            return None;
        };
        if passed < pause {
            self.count += 1;
            return None;
        }
        let untold = std::mem::replace(&mut self.count, 0);
        let is_over = untold <= MANY || passed >= 2 * pause;
        self.since = now;
        self.pause = (!is_over).then(|| (2 * pause).min(LONGEST));
        self.count = u64::from(is_over);
        Some(untold)
    }
}

impl Engine {
    /// A line about links or their ends. Peers that come and go without end, each under another name, fill no log.
    pub(crate) fn log_paced(&mut self, level: Level, topic: Topic, text: impl FnOnce(&Self) -> String) {
        if !self.is_logged(level) {
            return;
        }
        let now = self.cx.now;
        let Some(untold) = self.view.lines.entry(topic).or_default().is_due(now) else { return };
        self.log(level, topic, |engine| match untold {
            0 => text(engine),
            _ => format!("{} ({untold} more lines like this since the last)", text(engine)),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn what_happens_now_and_then_is_all_told() {
        let mut paced = Paced::default();
        for second in 0..1000 {
            for _ in 0..MANY / 10 {
                assert_eq!(paced.is_due(Time(0) + SECOND * second), Some(0));
            }
        }
    }

    #[test]
    fn a_flood_is_told_ever_more_rarely_until_it_is_over() {
        let mut paced = Paced::default();
        let mut told = Vec::new();
        for second in 0..24 * 3600 {
            for _ in 0..100 {
                if let Some(untold) = paced.is_due(Time(0) + SECOND * second) {
                    told.push((second, untold));
                }
            }
        }
        assert!(told[..MANY as usize].iter().all(|(second, untold)| *second <= 2 && *untold == 0));
        let rare: Vec<u32> = told[MANY as usize..].iter().map(|(second, _)| *second).collect();
        assert_eq!(rare[..4], [12, 32, 72, 152]);
        assert!(rare.len() < 40, "{} lines", rare.len());
        let all: u64 = told.iter().map(|(_, untold)| untold + 1).sum();
        assert!(24 * 3600 * 100 - all < 3600 * 100, "none goes uncounted");
        // The next one says how many there were, and then all are told again.
        let later = Time(0) + 48 * 3600 * SECOND;
        assert!(paced.is_due(later).is_some_and(|untold| untold > 0));
        assert!((1..MANY).all(|_| paced.is_due(later) == Some(0)));
        assert_eq!(paced.is_due(later), None);
    }
}
