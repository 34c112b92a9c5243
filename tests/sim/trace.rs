//! What happened in a run, line by line. Lines are only made when somebody wants them: most runs are never read.

use std::collections::VecDeque;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Tracing {
    Off,
    /// The last lines and a digest of all.
    Keep,
    /// Every line goes to stderr.
    Print,
}

pub(crate) struct Trace {
    tracing: Tracing,
    last: VecDeque<String>,
    lines: u64,
    digest: u64,
}

/// How many lines a failure shows.
const SHOWN: usize = 60;

impl Trace {
    pub(crate) fn new(tracing: Tracing) -> Self {
        Self { tracing, last: VecDeque::new(), lines: 0, digest: 0xCBF2_9CE4_8422_2325 }
    }

    /// `line` is called only when the run is traced.
    pub(crate) fn say(&mut self, now: u64, line: impl FnOnce() -> String) {
        if self.tracing == Tracing::Off {
            return;
        }
        let line = format!("{:>11} {}", now, line());
        for byte in line.bytes() {
            self.digest = (self.digest ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3);
        }
        self.lines += 1;
        if self.tracing == Tracing::Print {
            eprintln!("{line}");
        }
        if self.last.len() == SHOWN {
            self.last.pop_front();
        }
        self.last.push_back(line);
    }

    /// The same for two runs only if they are the same byte for byte (but for a collision of 64 bits).
    pub(crate) fn digest(&self) -> (u64, u64) {
        (self.lines, self.digest)
    }

    pub(crate) fn last_lines(&self) -> String {
        self.last.iter().map(|line| format!("  {line}\n")).collect()
    }
}
