//! The simulator itself is tested: engines that break one rule on purpose must be found out, each within a bounded number
//! of seeds. A fault that is not found means that a check is missing.
//!
//! Only with the feature `faults`: `cargo test --release --features faults --test sim mutants`. `CONVOKE_SIM_FAULT=name`
//! looks for one fault only, `CONVOKE_SIM_SEEDS=n` for longer or shorter, `CONVOKE_SIM_MODE=mode` in another mode;
//! with `CONVOKE_SIM_SEED=n` the one run is traced on stderr.

use crate::plan::{Mode, Plan};
use crate::trace::Tracing;
use crate::world::World;
use crate::{attempt, modes, number, silence_panics};
use convoke::engine::Fault;
use convoke::flow::Outbox;
use convoke::wire::DataEncoder;
use std::collections::VecDeque;
use std::sync::Mutex;

/// What a run is mostly about: some faults show much sooner where there is little else.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Subject {
    Everything,
    Registrations,
    Locks,
    Groups,
    Messages,
}
use Subject::{Everything, Groups, Locks, Messages, Registrations};

/// Every fault, and where it shows soonest, but for those in `tests/engine/mutants.rs`. Those that take longest come first, so that all cores are busy to the end.
const FAULTS: &[(Fault, Mode, Subject)] = &[
    (Fault::GoneReceiverIsNotTold, Mode::Stable, Messages),
    (Fault::LowerGoesFirst, Mode::Faulty, Registrations),
    (Fault::HomeIsNotAskedToStop, Mode::Stable, Registrations),
    (Fault::UndoneStaysBeneath, Mode::Join, Registrations),
    (Fault::EngagedWithoutGone, Mode::Join, Registrations),
    (Fault::NoDigest, Mode::Faulty, Groups),
    (Fault::BrokenLinkShrinksClaims, Mode::Faulty, Locks),
    (Fault::ClaimsBeginWithoutTheMissing, Mode::Faulty, Locks),
    (Fault::ExitOvertakesMessages, Mode::Stable, Messages),
    (Fault::DeleteForgetsUnseenDots, Mode::Stable, Groups),
    (Fault::BusyIsJudgedOnce, Mode::Join, Registrations),
    (Fault::GraceIsShort, Mode::Faulty, Registrations),
    (Fault::UndoneCreateTakesAll, Mode::Stable, Groups),
    (Fault::RepeatedCreateIsNotUndone, Mode::Stable, Groups),
    (Fault::UndoneCreateIsDelete, Mode::Stable, Groups),
    (Fault::CreditBeforeTaken, Mode::Stable, Messages),
    (Fault::CoveredStaysBeneath, Mode::Stable, Registrations),
    (Fault::DeleteIsAckedAtOnce, Mode::Join, Groups),
    (Fault::VerdictIsToldOnce, Mode::Faulty, Registrations),
    (Fault::SettledIsNotInSnapshots, Mode::Faulty, Registrations),
    (Fault::UnseenOwnerIsWaitedFor, Mode::Join, Registrations),
    (Fault::PartialReleaseIsIgnored, Mode::Stable, Locks),
    (Fault::HoldWoundsNobody, Mode::Join, Locks),
    (Fault::VerdictIsForgotten, Mode::Faulty, Everything),
    (Fault::UndoneJoinTakesAll, Mode::Stable, Groups),
    (Fault::ContextDoesNotTravel, Mode::Faulty, Everything),
    (Fault::LostIsHeldAgainInPart, Mode::Faulty, Everything),
    (Fault::DoomedForEver, Mode::Faulty, Everything),
    (Fault::PublicationIsNotAwaited, Mode::Stable, Everything),
    (Fault::LeaverIsMissed, Mode::Faulty, Locks),
    (Fault::NewcomerIsNotCounted, Mode::Faulty, Locks),
    (Fault::NewLinkJoinsNoAcks, Mode::Faulty, Everything),
    (Fault::ReplacedLinkIsNotMissed, Mode::Faulty, Everything),
    (Fault::NewcomerIsNotAsked, Mode::Join, Everything),
    (Fault::VoterKeepsClaimsOfTheLost, Mode::Faulty, Everything),
    (Fault::NobodyIsWounded, Mode::Stable, Everything),
    (Fault::WoundedKeepsTheVote, Mode::Stable, Everything),
    (Fault::FailureReleasesGrantsOnly, Mode::Stable, Everything),
    (Fault::SelfMessagesAreReentrant, Mode::Faulty, Everything),
    (Fault::VotersDenyNames, Mode::Stable, Everything),
    (Fault::NothingIsRestored, Mode::Stable, Everything),
    (Fault::SettledAtCommit, Mode::Stable, Everything),
    (Fault::LoserIsNotWithdrawn, Mode::Join, Everything),
    (Fault::ThirdNodeIsSilent, Mode::Join, Everything),
    (Fault::SharerPassesOlder, Mode::Stable, Everything),
    (Fault::FailureDropsWhatWasHeld, Mode::Stable, Everything),
    (Fault::ListGoesOnWithoutNode, Mode::Faulty, Everything),
    (Fault::SnapshotWithoutHolds, Mode::Join, Everything),
    (Fault::NoWaitWaits, Mode::Stable, Everything),
    (Fault::RetriesAreEndless, Mode::Stable, Everything),
    (Fault::MinorityIsNotNoticed, Mode::Faulty, Everything),
    (Fault::SecondHolderIsNotTold, Mode::Join, Everything),
    (Fault::SecondHolderIsNotAsked, Mode::Join, Locks),
    (Fault::LostHoldStays, Mode::Faulty, Locks),
    (Fault::ScopeMakesGood, Mode::Faulty, Locks),
    (Fault::WaiterIsNotTold, Mode::Join, Everything),
    (Fault::TokenIsSmallestVote, Mode::Stable, Everything),
    (Fault::HeldRaisesNoCounter, Mode::Stable, Everything),
    (Fault::EpochSurvivesForeignHold, Mode::Join, Everything),
    (Fault::MergeEndsMemberships, Mode::Join, Everything),
    (Fault::DeleteSparesMembers, Mode::Stable, Everything),
    (Fault::MembershipOutlivesProcess, Mode::Stable, Everything),
    (Fault::NotUndoneAtDeadline, Mode::Join, Everything),
    (Fault::UndoneHereOnly, Mode::Stable, Everything),
    (Fault::DeadlineIsIgnored, Mode::Stable, Everything),
    (Fault::ExitIsToldTwice, Mode::Faulty, Everything),
    (Fault::NoExitAtLinkDown, Mode::Faulty, Everything),
    (Fault::HoldOutlivesProcess, Mode::Stable, Everything),
    (Fault::NameOutlivesProcess, Mode::Stable, Everything),
    (Fault::CreditIsNeverReturned, Mode::Stable, Everything),
    (Fault::SilenceIsEndless, Mode::Faulty, Everything),
    (Fault::NamesakesGoOn, Mode::Faulty, Everything),
    (Fault::JoinDoesNotWait, Mode::Stable, Everything),
    (Fault::SilentFailJoin, Mode::Join, Everything),
    (Fault::AliasIsSettled, Mode::Join, Everything),
    (Fault::LedBackIsForEver, Mode::Join, Everything),
];

/// So many seeds at most until a fault is found out.
const MOST_SEEDS: u64 = 20_000;

/// How a fault was found out: after so many seeds, and what the simulator said.
struct Caught {
    seeds: u64,
    failure: String,
}

struct Hunt {
    fault: Fault,
    mode: Mode,
    subject: Subject,
    caught: Option<Caught>,
}

/// The outbox of a link, which may be broken too.
pub(crate) fn outbox(fault: Option<Fault>, mut outbox: Outbox<DataEncoder>) -> Outbox<DataEncoder> {
    outbox.exits_overtake = fault == Some(Fault::ExitOvertakesMessages);
    outbox
}

impl Subject {
    fn narrow(self, plan: &mut Plan) {
        let w = &mut plan.weights;
        if self == Everything {
            return;
        }
        if self != Registrations {
            (w.register, w.reregister, w.unregister) = (1, 0, 0);
        }
        if self != Locks {
            (w.acquire, w.release, w.watch_lock) = (0, 0, 0);
        }
        if self != Groups {
            (w.create, w.delete, w.join, w.leave, w.watch_group) = (0, 0, 0, 0, 0);
        }
        if self != Messages {
            (w.send, w.deafen) = (0, 0);
        }
        match self {
            Everything => {}
            Registrations => (w.register, w.reregister) = (w.register.max(8), w.reregister.max(8)),
            Locks => (w.acquire, w.release) = (w.acquire.max(12), w.release.max(4)),
            Groups => {
                (w.create, w.join, w.leave) = (w.create.max(4), w.join.max(4), w.leave.max(2));
                w.delete = w.delete.max(2);
                if plan.mode == Mode::Faulty {
                    (w.crash, w.cut) = (w.crash.max(3), w.cut.max(3));
                }
            }
            Messages => {
                (w.send, w.deafen, w.monitor) = (w.send.max(10), w.deafen.max(2), w.monitor.max(4));
                (w.exit, w.spawn) = (w.exit.max(3), w.spawn.max(3));
            }
        }
    }
}

impl Hunt {
    /// A run in which all engines have the fault. A panic and a hang are failures of promise 7.
    fn run(&self, fault: Option<Fault>, seed: u64, tracing: Tracing) -> Result<(), String> {
        let mut world = World::new(seed, self.mode, tracing);
        world.plan.fault = fault;
        self.subject.narrow(&mut world.plan);
        attempt(&mut world)
    }

    fn go(&mut self) {
        let most = number("CONVOKE_SIM_SEEDS").unwrap_or(MOST_SEEDS);
        self.caught = (1..=most).find_map(|seed| {
            let failure = self.run(Some(self.fault), seed, Tracing::Off).err()?;
            Some(Caught { seeds: seed, failure })
        });
    }

    /// A line of the table in `docs/mutants.md`.
    fn say(&self) {
        let Self { fault, mode, subject, caught } = self;
        let (seeds, failure) = match caught {
            Some(caught) => (caught.seeds.to_string(), caught.failure.lines().next().unwrap_or_default()),
            None => ("-".to_owned(), "not found out"),
        };
        let subject = format!("{subject:?}").to_lowercase();
        println!("| `{fault:?}` | {} | {subject} | {seeds} | {failure:.120}", mode.name());
    }
}

/// What is to be looked for.
fn wanted() -> Vec<Hunt> {
    let only = std::env::var("CONVOKE_SIM_FAULT").ok();
    let other_mode = std::env::var("CONVOKE_SIM_MODE").ok().and_then(|_| modes().first().copied());
    let wanted = FAULTS.iter().filter(|(fault, ..)| only.as_ref().is_none_or(|o| *o == format!("{fault:?}")));
    let hunt = |(fault, mode, subject): &(Fault, Mode, Subject)| Hunt {
        fault: *fault,
        mode: other_mode.unwrap_or(*mode),
        subject: *subject,
        caught: None,
    };
    wanted.map(hunt).collect()
}

/// One fault after the other on each core.
fn hunt_all() -> Vec<Hunt> {
    let wanted = Mutex::new(VecDeque::from(wanted()));
    let done = Mutex::new(Vec::new());
    let workers = number("CONVOKE_SIM_THREADS")
        .map_or_else(|| std::thread::available_parallelism().map_or(1, usize::from), |n| n as usize);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                let next = || wanted.lock().ok()?.pop_front();
                while let Some(mut hunt) = next() {
                    hunt.go();
                    hunt.say();
                    if let Ok(mut done) = done.lock() {
                        done.push(hunt);
                    }
                }
            });
        }
    });
    done.into_inner().unwrap_or_default()
}

#[test]
fn every_fault_is_found_out() {
    if number("CONVOKE_SIM_SEED").is_some() {
        return; // `replay` does that one.
    }
    silence_panics();
    let hunts = hunt_all();
    let missed: Vec<_> = hunts.iter().filter(|h| h.caught.is_none()).map(|h| (h.fault, h.mode)).collect();
    assert!(missed.is_empty(), "no check notices {missed:?}");
    // It was the fault: the sound engine passes the very run.
    for hunt in &hunts {
        let Some(Caught { seeds, failure }) = &hunt.caught else { continue };
        let sound = hunt.run(None, *seeds, Tracing::Off);
        assert!(sound.is_ok(), "{:?}: {failure}; without it seed {seeds} says {sound:?}", hunt.fault);
    }
}

#[test]
fn replay() {
    let Some(seed) = number("CONVOKE_SIM_SEED") else { return };
    for hunt in wanted() {
        if let Err(what) = hunt.run(Some(hunt.fault), seed, Tracing::Print) {
            panic!("{:?}, seed {seed} in {} mode: {what}", hunt.fault, hunt.mode.name());
        }
    }
}
