//! Deliberate faults, to find out whether the simulator would notice.
//!
//! Each stands for one rule of the protocol that is left out or turned round, with one `if` where the rule is. Compiled in
//! only with the feature `faults`, and then only one at a time, if the configuration asks for it (`Engine::break_rule`); without
//! the feature the question [`is_broken`](Engine::is_broken) is `false` at compile time and nothing of it is left.

use super::claims::Operation;
use super::machine::Engine;

/// A rule that is broken. The promises are those of `docs/design.md`; which of them suffers stands behind each.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    // ---- claims
    /// A link that comes up does not join the acknowledgements of what is being published: OK before its peer shows it (P1).
    NewLinkJoinsNoAcks,
    /// A link that is replaced in the same moment counts as gone for good: OK before the peer has read the snapshot (P1).
    ReplacedLinkIsNotMissed,
    /// A claim that is being asked when a peer is synced is not asked of it: two owners, two holders (P3, P6).
    NewcomerIsNotAsked,
    /// The end of a link leaves its peer's claims with the voter: others wait for ever (P7).
    VoterKeepsClaimsOfTheLost,
    /// A broken link takes its peer out of the sets of claims at once: a program that was paused gets what another holds (P3).
    BrokenLinkShrinksClaims,
    /// A claim that begins while most of the nodes are missing does without them: likewise (P3).
    ClaimsBeginWithoutTheMissing,
    /// A voter lets younger, incomplete claims be: two that each have half of the votes wait for ever (P7).
    NobodyIsWounded,
    /// A wounded coordinator gives the vote back and counts it all the same: two owners, two holders (P3, P6).
    WoundedKeepsTheVote,
    /// What is published or withdrawn without a claim is answered before it is heard everywhere (P1).
    PublicationIsNotAwaited,
    /// An attempt that fails is released only where it was granted: elsewhere it waits for ever (P7).
    FailureReleasesGrantsOnly,
    /// Messages to oneself are handled at once, in the middle of what sends them.
    SelfMessagesAreReentrant,
    /// A snapshot older than what was heard on an earlier link counts: what was withdrawn comes back (P1).
    StaleSnapshotCounts,

    // ---- names
    /// A coordinator takes a voter's word that a name is taken: `E_EXISTS` for a name that nobody has (P7).
    VotersDenyNames,
    /// A coordinator looks at its own table at the first Busy, and never again: it waits for a name that is taken (P7).
    BusyIsJudgedOnce,
    /// A voter tells a waiter of one binding only, and not of the next one in its way: it waits for ever (P7).
    BusyIsToldOnce,
    /// A binding of an owner without a link is waited for without an end (P7).
    UnseenOwnerIsWaitedFor,
    /// An owner without a link is waited for only a moment: `E_EXISTS` for a name whose owner is dead (P7).
    GraceIsShort,
    /// A voter that shows a binding of an owner without a link is believed after the grace, though it may have been paused
    /// while the owner died: `E_EXISTS` for a name whose owner is dead (P7).
    VoterIsNotAskedAgain,
    /// A re-register that is withdrawn restores nothing: readers see none (P4).
    NothingIsRestored,
    /// A re-register is settled as it is published: the covered binding goes before all nodes show the new one (P4).
    SettledAtCommit,
    /// A snapshot does not say that a binding is settled: what it covers stays for ever (P2).
    SettledIsNotInSnapshots,
    /// What stands beneath a re-register is not ended by what covers it: it comes back (P6).
    CoveredStaysBeneath,
    /// What a voter shows of an owner that has no vote is not covered: OK, and the voter goes on to show it (P1).
    UnvotedIsNotCovered,
    /// A snapshot does not name what stands beneath re-registers: what was decided about it is forgotten (P6).
    SnapshotWithoutBeneath,
    /// A re-register that is undone beneath a newer one stays there: it comes back if that one is undone, too (P1).
    UndoneStaysBeneath,
    /// A loser is removed where it lived, and nobody else is told (P2).
    LoserIsNotWithdrawn,

    // ---- clashes
    /// A binding takes part in clashes before all linked nodes show it: readers see none (P4).
    ClashBeforeSettled,
    /// A verdict goes with the link: the resolver is asked again about the same pair (P6).
    VerdictIsForgotten,
    /// A verdict that was lost with a link is not told again (P6).
    VerdictIsToldOnce,
    /// A home that takes part in a pair that was given up is not told, and waits for ever (P7).
    EngagedWithoutGone,
    /// Where neither wins the lower home goes first: a lost verdict leaves the name to the higher one (P6).
    LowerGoesFirst,
    /// What was said of a clash through a third node counts however much has happened since: all lose to each other (P6).
    UnlinkedPairsOverlap,
    /// A home that was to go with one that is out of reach takes part in another clash: nobody is left (P6).
    NothingIsForfeited,
    /// A third node that sees a clash of homes without a link tells nobody (P6).
    ThirdNodeIsSilent,

    // ---- locks
    /// Sharers enter before a lock is held although an older claim of another requester waits (P7).
    SharerPassesOlder,
    /// A failed attempt takes with it what the process held before (P3).
    FailureDropsWhatWasHeld,
    /// A claim on a list goes on without a node that went down (P3).
    ListGoesOnWithoutNode,
    /// A lost lock is held again although not all of its nodes have granted it anew (P9).
    LostIsHeldAgainInPart,
    /// A hold that is installed over another requester's incomplete claim does not wound it: both wait for ever (P7).
    HoldWoundsNobody,
    /// What is given back on some nodes goes on binding there: others wait for ever (P7).
    PartialReleaseIsIgnored,
    /// A snapshot names no holds: a node that joins grants the lock to others (P3).
    SnapshotWithoutHolds,
    /// A claim without patience queues behind others (P7).
    NoWaitWaits,
    /// The end of the retries is not told to the voters (P7).
    RetriesAreEndless,
    /// A node that leaves in order, or is dead for certain, is missed like one that the link broke to: a lock is lost for no reason
    /// (P9).
    LeaverIsMissed,
    /// A node that comes back, or joins, is not counted among those that a lock is on (P9).
    NewcomerIsNotCounted,
    /// A holder is not told that broken links have left it in a minority (P9).
    MinorityIsNotNoticed,
    /// Nobody is told of a second holder (P9).
    SecondHolderIsNotTold,
    /// A holder is told of a second one only when it is new at the voter (P9).
    SecondHolderIsToldOnce,
    /// A voter that seems to see a second holder asks nobody: holders are told that released in time (P9).
    SecondHolderIsNotAsked,
    /// What a scope acquires makes good what was lost outside of it (P9).
    ScopeMakesGood,
    /// A hold that was lost to a broken link stays when it meets one that is relied on (P9).
    LostHoldStays,
    /// A watcher is not told that others wait.
    WaiterIsNotTold,

    // ---- tokens
    /// A token is the smallest vote (P3).
    TokenIsSmallestVote,
    /// A hold that is heard of does not raise the counter (P3).
    HeldRaisesNoCounter,
    /// A foreign hold does not end the epoch (P3).
    EpochSurvivesForeignHold,

    // ---- groups
    /// A delete does not remember dots that were not seen yet: the group comes back (P1).
    DeleteForgetsUnseenDots,
    /// Nodes tell each other of live dots only: what was deleted on one side of a split comes back (P2).
    ContextDoesNotTravel,
    /// A merged snapshot ends memberships as a delete does (P1).
    MergeEndsMemberships,
    /// A delete ends no memberships: the group stays (P1).
    DeleteSparesMembers,
    /// A delete is acknowledged before its withdrawals are heard everywhere (P1).
    DeleteIsAckedAtOnce,
    /// A delete does not wait for dots that another node has retracted: a node goes on to show the group (P1).
    RetractsAreNotAwaited,
    /// Nodes with the same live dots do not tell each other what they have seen: what was deleted comes back (P2).
    LiveDotsAreAllKnowledge,
    /// Nobody sends a digest: nodes go on to differ about what nobody owns (P2).
    NoDigest,
    /// What one node alone had no room for is no news: nodes go on to differ about it (P2).
    TrimIsNoNews,
    /// What came and went at once is news: nodes that differ about their links tell each other of it for ever (P7).
    EveryMergeIsNews,
    /// Members about to go are so for ever, and the group cannot be joined.
    DoomedForEver,
    /// The end of a process leaves its memberships (P5).
    MembershipOutlivesProcess,
    /// A creation that is undone takes one that has returned with it (P1).
    UndoneCreateTakesAll,
    /// A creation of a group that is there is not undone: it outlives a delete that has not seen it (P1).
    RepeatedCreateIsNotUndone,
    /// A creation that is undone ends memberships as a delete does (P1).
    UndoneCreateIsDelete,
    /// A join that is undone takes earlier joins of the process with it (P1).
    UndoneJoinTakesAll,

    // ---- deadlines
    /// What is published is not withdrawn at its deadline (P1).
    NotUndoneAtDeadline,
    /// The withdrawal of what was published goes to nobody else (P1).
    UndoneHereOnly,
    /// Deadlines strike nothing (P7).
    DeadlineIsIgnored,
    /// What a home has done for a caller that was gone by then is not taken back (P1).
    DoneForNobodyStays,
    /// A home goes on with what it runs for a node whose link is gone (P1).
    OrphansGoOn,
    /// At the deadline of what another node runs, that node is not asked to stop (P1).
    HomeIsNotAskedToStop,

    // ---- processes and monitors
    /// An exit leaves its monitor, and the end of the link tells of it again (P5).
    ExitIsToldTwice,
    /// The end of a link tells no monitors (P5).
    NoExitAtLinkDown,
    /// An exit notice overtakes messages on the data lane (P8). It is the outbox of the link that does so.
    #[cfg(feature = "faults")]
    ExitOvertakesMessages,
    /// The end of a process leaves its shares of locks (P5).
    HoldOutlivesProcess,
    /// The end of a process leaves its registrations beneath those that its own calls make (P5).
    BeneathOutlivesProcess,
    /// The end of a process leaves its names (P5).
    NameOutlivesProcess,

    // ---- messages and links
    /// Room is granted again when a message arrives, and not when it is taken: memory without a bound (P8).
    CreditBeforeTaken,
    /// Room is never granted again (P8).
    CreditIsNeverReturned,
    /// Senders are not told that a receiver is no more (P8).
    GoneReceiverIsNotTold,
    /// Silence ends no link (P7).
    SilenceIsEndless,
    /// A node that joins waits for nobody: what it registers then clashes (P3).
    JoinDoesNotWait,
    /// A node that joins fails for the sake of those who say nothing: a hung seed keeps it from opening (P7).
    SilentFailJoin,
    /// A seed that led to a link is not dialled while that lasts, wherever its peer says to be dialled: behind a balancer a
    /// cluster stays in parts (P2).
    AliasIsSettled,
    /// An address that led back to the node is not dialled again: behind a balancer a cluster stays in parts (P2).
    LedBackIsForEver,
    /// A peer that keeps others waiting is waited for for ever (P7).
    SlowPeersStay,
    /// What a peer publishes is kept without bound.
    PublishedWithoutBound,
    /// Of two live nodes of one name the one that was opened first stays, though it was given up and replaced while it was
    /// paused.
    OlderNamesakeStays,
    /// Two live nodes of one name go on.
    NamesakesGoOn,
}

impl Engine {
    /// Is this rule to be broken? Without the feature `faults` none is.
    #[cfg(not(feature = "faults"))]
    #[inline(always)]
    pub(super) const fn is_broken(&self, _: Fault) -> bool {
        false
    }

    /// From now on the engine breaks this rule.
    #[cfg(feature = "faults")]
    pub fn break_rule(&mut self, fault: Option<Fault>) {
        self.cx.set_fault(fault);
    }

    /// Is this rule to be broken?
    #[cfg(feature = "faults")]
    pub(super) fn is_broken(&self, fault: Fault) -> bool {
        self.cx.fault() == Some(fault)
    }

    // ---- what a broken rule does besides, across rooms

    /// [`Fault::SelfMessagesAreReentrant`]
    pub(super) fn reenter_if_broken(&mut self) {
        if self.is_broken(Fault::SelfMessagesAreReentrant) {
            self.drain_self_queue();
        }
    }

    /// [`Fault::ReplacedLinkIsNotMissed`]
    pub(super) fn settle_if_broken(&mut self) {
        if self.is_broken(Fault::ReplacedLinkIsNotMissed) {
            self.settle();
        }
    }

    /// [`Fault::FailureDropsWhatWasHeld`]
    pub(super) fn drop_what_was_held_if_broken(&mut self, op: &Operation) {
        if self.is_broken(Fault::FailureDropsWhatWasHeld)
            && let Some(id) = op.lock()
        {
            self.end_hold(&id, None);
        }
    }
}
