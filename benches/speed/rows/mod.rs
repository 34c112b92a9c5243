//! The rows of the table: each measures one subject, on the parent's side with `run`, on the nodes' side with `tasks`.

mod death;
mod fight;
mod group;
mod idle;
mod join;
mod lock;
mod lookup;
mod members;
mod merge;
mod register;
mod secret;
mod send;

use crate::child::Task;
use crate::floors::Floors;
use crate::measure::Spread;
use crate::report::Figure;
use std::time::Duration;

/// What a row may use.
pub struct Bench {
    pub floors: Floors,
    /// With the large sizes.
    pub full: bool,
}

pub struct Row {
    pub name: &'static str,
    /// What it measures, in one sentence.
    pub about: &'static str,
    pub tasks: &'static [(&'static str, Task)],
    pub run: fn(&mut Bench) -> Result<Vec<Figure>, String>,
    /// The suite of the Erlang scripts that has its figures, or "".
    pub otp_suite: &'static str,
}

pub const ALL: &[Row] = &[
    lookup::LOOKUP,
    register::REGISTER,
    register::FLIGHT,
    register::FLIGHT_ALL,
    register::WAITS,
    lock::LOCK,
    lock::FLIGHT,
    fight::FIGHT,
    group::GROUP,
    group::FLIGHT,
    group::GROW,
    members::MEMBERS,
    send::SEND,
    send::ROUND_TRIP,
    secret::ENCRYPTED,
    secret::STRANGERS,
    death::DEATH,
    death::KILL,
    join::JOIN,
    join::MEMORY,
    merge::MERGE,
    idle::IDLE,
    idle::LIBRARY,
];

/// How often a row that is compared with a latency is measured, floors in between; the medians count.
pub const ROUNDS: usize = 3;
const FLOOR_TIME: Duration = Duration::from_millis(400);

/// The latency floors around a row.
#[derive(Default)]
struct Rounds {
    plain: Vec<Spread>,
    relay: Vec<Spread>,
    row: Vec<Spread>,
}

impl Rounds {
    /// Measures the floors and the row in turn. The relay with an application that answers, or without.
    fn measure(
        bench: &mut Bench,
        application: bool,
        mut row: impl FnMut() -> Result<Spread, String>,
    ) -> Result<Self, String> {
        let mut rounds = Self::default();
        for _ in 0..ROUNDS {
            rounds.plain.push(bench.floors.plain(FLOOR_TIME)?);
            rounds.relay.push(bench.floors.relay(application, FLOOR_TIME)?);
            rounds.row.push(row()?);
        }
        Ok(rounds)
    }
    fn plain(&self) -> Spread {
        Spread::median(&self.plain)
    }
    fn relay(&self) -> Spread {
        Spread::median(&self.relay)
    }
    fn row(&self) -> Spread {
        Spread::median(&self.row)
    }
    /// The whole of it goes into the raw numbers.
    fn note(&self, mut figure: Figure) -> Figure {
        for (what, spread) in [("plain", self.plain()), ("relay", self.relay()), ("row", self.row())] {
            figure = figure
                .raw(format!("{what}_p50_us"), spread.p50)
                .raw(format!("{what}_p99_us"), spread.p99)
                .raw(format!("{what}_p99.9_us"), spread.p999)
                .raw(format!("{what}_max_us"), spread.max);
        }
        figure
    }
}
