//! Deliberate faults that the simulator would need very many seeds for: each is found out by a test written by hand. All
//! others stand in `tests/sim/mutants.rs`.

use crate::{
    budget, claims, clash_cycles, clashes, conduct, forward, groups_deletes, groups_full, groups_splits,
    lock_splits, namesakes, reregister, rules,
};
use convoke::engine::Fault;
use std::cell::Cell;
use std::panic::catch_unwind;

thread_local! {
    static FAULT: Cell<Option<Fault>> = const { Cell::new(None) };
}

/// The rule that engines of this thread break.
pub(crate) fn fault() -> Option<Fault> {
    FAULT.get()
}

const FAULTS: &[(Fault, fn())] = &[
    (Fault::BusyIsToldOnce, rules::a_waiter_hears_of_every_binding_that_is_in_its_way),
    (Fault::VoterIsNotAskedAgain, claims::a_starved_voter_is_asked_whether_it_hears_the_owner),
    (Fault::SlowPeersStay, conduct::who_is_stopped_most_of_the_time_is_parted),
    (Fault::PublishedWithoutBound, budget::all_peers_publish),
    (Fault::LiveDotsAreAllKnowledge, groups_splits::who_shows_the_same_is_told_what_was_deleted),
    (Fault::RetractsAreNotAwaited, groups_deletes::dots_that_were_retracted_just_before),
    (Fault::OlderNamesakeStays, namesakes::who_was_replaced_while_paused_goes),
    (Fault::SnapshotWithoutBeneath, rules::a_snapshot_names_what_stands_beneath),
    (Fault::BeneathOutlivesProcess, rules::the_end_of_a_process_takes_what_it_has_beneath),
    (Fault::SecondHolderIsToldOnce, lock_splits::what_is_acquired_anew_meets_the_second_holder_again),
    (Fault::UnvotedIsNotCovered, reregister::what_a_voter_shows_of_a_home_without_a_vote_is_covered),
    (Fault::ClashBeforeSettled, clashes::what_is_being_published_waits_with_its_clash),
    (Fault::UnlinkedPairsOverlap, clash_cycles::an_old_answer_through_a_third_node_is_void),
    (Fault::NothingIsForfeited, clash_cycles::who_was_to_go_takes_nobody_along),
    (Fault::DoneForNobodyStays, forward::what_was_done_for_a_caller_that_is_gone_is_taken_back),
    (Fault::OrphansGoOn, forward::the_end_of_the_callers_node_undoes_what_is_under_way),
    (Fault::StaleSnapshotCounts, rules::a_snapshot_of_an_older_connection_is_void),
    (Fault::TrimIsNoNews, groups_full::nodes_that_dropped_other_groups_tell_each_other),
    (Fault::EveryMergeIsNews, groups_full::who_sees_other_members_is_not_told_for_ever),
];

#[test]
fn every_fault_is_found_out() {
    for (fault, test) in FAULTS {
        test();
        FAULT.set(Some(*fault));
        let found = catch_unwind(test).is_err();
        FAULT.set(None);
        assert!(found, "no test notices {fault:?}");
    }
}
