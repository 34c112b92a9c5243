//! The simulator itself is tested: engines that break one rule on purpose must be found out, each within a bounded number
//! of seeds. A fault that is not found means that a check is missing.
//!
//! Only with the feature `faults`: `cargo test --release --features faults --test sim mutants`.

use crate::plan::Mode;
use crate::trace::Tracing;
use crate::world::World;
use crate::{attempt, modes, number, silence_panics};
use convoke::engine::Fault;
use convoke::engine::message::Outbox;
use convoke::wire::DataEncoder;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Every fault, and the mode in which it shows first.
const FAULTS: &[(Fault, Mode)] = &[
    (Fault::NewLinkJoinsNoAcks, Mode::Faulty),
    (Fault::ReplacedLinkIsNotMissed, Mode::Faulty),
    (Fault::NewcomerIsNotAsked, Mode::Faulty),
    (Fault::VoterKeepsClaimsOfTheLost, Mode::Faulty),
    (Fault::NobodyIsWounded, Mode::Faulty),
    (Fault::WoundedKeepsTheVote, Mode::Faulty),
    (Fault::FailureReleasesGrantsOnly, Mode::Faulty),
    (Fault::LateVoteIsKept, Mode::Faulty),
    (Fault::SelfMessagesAreReentrant, Mode::Faulty),
    (Fault::StaleSnapshotCounts, Mode::Faulty),
    (Fault::VotersDenyNames, Mode::Faulty),
    (Fault::BusyIsJudgedOnce, Mode::Faulty),
    (Fault::BusyIsToldOnce, Mode::Faulty),
    (Fault::UnseenOwnerIsWaitedFor, Mode::Faulty),
    (Fault::AdmittedWaitsBehindUnadmitted, Mode::Faulty),
    (Fault::NothingIsRestored, Mode::Faulty),
    (Fault::SettledAtCommit, Mode::Faulty),
    (Fault::SettledIsNotInSnapshots, Mode::Faulty),
    (Fault::SettledIgnoresKept, Mode::Faulty),
    (Fault::VoteWithoutKept, Mode::Faulty),
    (Fault::SnapshotWithoutKept, Mode::Faulty),
    (Fault::NewerTakesOverNothing, Mode::Faulty),
    (Fault::LoserIsNotWithdrawn, Mode::Faulty),
    (Fault::VerdictIsForgotten, Mode::Faulty),
    (Fault::VerdictIsToldOnce, Mode::Faulty),
    (Fault::EngagementOutlivesLink, Mode::Faulty),
    (Fault::EngagedWithoutGone, Mode::Faulty),
    (Fault::LowerGoesFirst, Mode::Faulty),
    (Fault::ThirdNodeIsSilent, Mode::Faulty),
    (Fault::SharerPassesOlder, Mode::Faulty),
    (Fault::FailureDropsWhatWasHeld, Mode::Faulty),
    (Fault::ListGoesOnWithoutNode, Mode::Faulty),
    (Fault::LostIsHeldAgainInPart, Mode::Faulty),
    (Fault::HoldWoundsNobody, Mode::Faulty),
    (Fault::PartialReleaseIsIgnored, Mode::Faulty),
    (Fault::SnapshotWithoutHolds, Mode::Faulty),
    (Fault::HastyWaits, Mode::Faulty),
    (Fault::RetriesAreEndless, Mode::Faulty),
    (Fault::MinorityIsNotNoticed, Mode::Faulty),
    (Fault::SecondHolderIsNotTold, Mode::Faulty),
    (Fault::SecondHolderIsToldOnce, Mode::Faulty),
    (Fault::WaiterIsNotTold, Mode::Faulty),
    (Fault::TokenIsSmallestVote, Mode::Faulty),
    (Fault::HeldRaisesNoCounter, Mode::Faulty),
    (Fault::TenureSurvivesForeignHold, Mode::Faulty),
    (Fault::DeleteForgetsUnseenDots, Mode::Faulty),
    (Fault::SnapshotWithoutContext, Mode::Faulty),
    (Fault::MergeEndsMemberships, Mode::Faulty),
    (Fault::DeleteSparesMembers, Mode::Faulty),
    (Fault::DeleteIsAckedAtOnce, Mode::Faulty),
    (Fault::NoDigest, Mode::Faulty),
    (Fault::DoomedForEver, Mode::Faulty),
    (Fault::MembershipOutlivesProcess, Mode::Faulty),
    (Fault::UndoneJoinTakesAll, Mode::Faulty),
    (Fault::NotUndoneAtDeadline, Mode::Faulty),
    (Fault::UndoneHereOnly, Mode::Faulty),
    (Fault::DeadlineIsIgnored, Mode::Faulty),
    (Fault::HomeIsNotAskedToStop, Mode::Faulty),
    (Fault::ExitIsToldTwice, Mode::Faulty),
    (Fault::NoExitAtLinkDown, Mode::Faulty),
    (Fault::ExitOvertakesMessages, Mode::Faulty),
    (Fault::HoldOutlivesProcess, Mode::Faulty),
    (Fault::NameOutlivesProcess, Mode::Faulty),
    (Fault::CreditIsReturnedTwice, Mode::Faulty),
    (Fault::CreditIsNeverReturned, Mode::Faulty),
    (Fault::GoneReceiverIsNotTold, Mode::Faulty),
    (Fault::SilenceIsEndless, Mode::Faulty),
    (Fault::NamesakesGoOn, Mode::Faulty),
];

/// So many seeds at most until a fault is found out.
const MOST_SEEDS: u64 = 5_000;

/// How a fault was found out: after so many seeds, and what the simulator said.
struct Caught {
    seeds: u64,
    failure: String,
}

/// The outbox of a link, which may be broken too.
pub(crate) fn outbox(fault: Option<Fault>, mut outbox: Outbox<DataEncoder>) -> Outbox<DataEncoder> {
    outbox.exits_overtake = fault == Some(Fault::ExitOvertakesMessages);
    outbox
}

/// A run in which all engines have the fault; a panic and a hang are failures of promise 7.
fn run(fault: Option<Fault>, mode: Mode, seed: u64) -> Result<(), String> {
    let mut world = World::new(seed, mode, Tracing::Off);
    world.plan.fault = fault;
    attempt(&mut world)
}

fn hunt(fault: Fault, mode: Mode) -> Option<Caught> {
    let most = number("CONVOKE_SIM_SEEDS").unwrap_or(MOST_SEEDS);
    (1..=most).find_map(|seed| Some(Caught { seeds: seed, failure: run(Some(fault), mode, seed).err()? }))
}

/// The promise that was seen broken, or the check that saw it.
fn check_of(failure: &str) -> &str {
    failure.lines().next().unwrap_or_default().split(':').next().unwrap_or_default()
}

/// One fault after the other on each core.
fn hunt_all() -> Vec<(Fault, Mode, Option<Caught>)> {
    let (next, found) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let workers = number("CONVOKE_SIM_THREADS")
        .map_or_else(|| std::thread::available_parallelism().map_or(1, usize::from), |n| n as usize);
    let only = std::env::var("CONVOKE_SIM_FAULT").ok();
    let only_mode = std::env::var("CONVOKE_SIM_MODE").ok().map(|_| modes()[0]);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                while let Some((fault, mode)) = FAULTS.get(next.fetch_add(1, Ordering::Relaxed)).copied() {
                    if only.as_ref().is_some_and(|only| *only != format!("{fault:?}")) {
                        continue;
                    }
                    let mode = only_mode.unwrap_or(mode);
                    let start = std::time::Instant::now();
                    let caught = hunt(fault, mode);
                    match &caught {
                        Some(c) => println!("{fault:?} {} {} [{}] {:?} {:.300}", mode.name(), c.seeds, check_of(&c.failure), start.elapsed(), c.failure.lines().next().unwrap_or_default()),
                        None => println!("{fault:?} {} NOT {:?}", mode.name(), start.elapsed()),
                    }
                    if let Ok(mut found) = found.lock() {
                        found.push((fault, mode, caught));
                    }
                }
            });
        }
    });
    found.into_inner().unwrap_or_default()
}

#[test]
fn every_fault_is_found_out() {
    silence_panics();
    let found = hunt_all();
    let missed: Vec<_> = found.iter().filter(|(_, _, caught)| caught.is_none()).map(|(fault, mode, _)| (fault, mode)).collect();
    assert!(missed.is_empty(), "no check notices {missed:?}");
    for (fault, mode, caught) in &found {
        let Some(Caught { seeds, failure }) = caught else { continue };
        let sound = run(None, *mode, *seeds);
        assert!(sound.is_ok(), "{fault:?}: {failure}; without the fault seed {seeds} says {sound:?}");
    }
}
