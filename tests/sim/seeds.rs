//! Seeds that once found a defect, in the engine or in the simulator. A change of the simulator's choices makes a seed
//! another run; it costs nothing to keep it, and the cases themselves stand in `tests/engine`.

use crate::plan::Mode;

/// Mode, seed, and what it found.
pub(crate) const KEPT: &[(Mode, u64, &str)] = &[
    (
        Mode::Faulty,
        41,
        "OK was answered between the end of a link and the snapshot of the one that replaced it",
    ),
    (Mode::Faulty, 243, "two nodes that parted on purpose never linked again"),
    (
        Mode::Faulty,
        1179,
        "a Go and a snapshot of an older connection were read later and brought a binding back",
    ),
    (Mode::Faulty, 6441, "the bound of an outbox that parks a large payload, as the simulator saw it"),
    (Mode::Faulty, 16918, "E_EXISTS for a dead owner: the grace ended before the voter's detection"),
    (Mode::Faulty, 17783, "a promise was broken once; the engine had changed before it was looked into"),
    (Mode::Faulty, 65073, "a peer that vouched for itself was held against its own successor"),
    (Mode::Faulty, 214018, "the end of a process uncovered a row of it that its own call kept"),
    (Mode::Faulty, 567, "a decided clash was not told again where another pair was next"),
    (Mode::Faulty, 2304, "a lost lock was acquired anew on a node whose link had just ended"),
    (Mode::Faulty, 5512, "a node that came back only to leave in order was missed by a lock"),
    (Mode::Faulty, 11292, "a decided clash waited for a binding that its home had replaced in place"),
    (Mode::Faulty, 119135, "three homes lost a name to each other while a verdict was on its way"),
    (
        Mode::Faulty,
        5206,
        "a scope ended with a lost node in it, as the simulator saw it: the rest was on the view still",
    ),
    (Mode::Stable, 456, "a binding that was replaced twice was seen again when the first replacement went"),
    (Mode::Join, 315, "a re-register was granted while a voter still showed the one before"),
    (Mode::Join, 314359, "what had been unregistered came back with a re-register that was taken back"),
    (Mode::Stable, 305404, "an unregister of what was taken back meanwhile left what that restored"),
    (Mode::Faulty, 50547, "an unregister was answered while the withdrawal of an exit was on its way"),
    (Mode::Faulty, 320221, "a clock that stood still after the heal, as the simulator saw it"),
    (Mode::Join, 157, "a member whose home did not hear of a delete was about to go for ever"),
    (Mode::Stable, 1073493, "an unregister was OK while a node showed again what had been replaced before"),
    (Mode::Join, 1096031, "an honest node was cut off: what its operations keep was counted among its names"),
    (
        Mode::Faulty,
        1795695355841,
        "a look-up was answered to a paused process, as the simulator saw it: its calls ran out unserved",
    ),
    (
        Mode::Faulty,
        17264,
        "a connect to an address was never answered when the node of that name turned up elsewhere",
    ),
    (
        Mode::Faulty,
        20270,
        "a link that had just come back was ended on purpose, and the simulator went on to demand the vote of that node",
    ),
    (
        Mode::Faulty,
        20800,
        "a death that was proved by the link that then came up let a claim complete before it did",
    ),
    (
        Mode::Join,
        43259,
        "what was lost was asked for anew and then released: the simulator did not know that the home had voted too",
    ),
    (
        Mode::Join,
        53467,
        "a delete was OK while a node still showed the group by dots that a third node had retracted",
    ),
    (
        Mode::Join,
        61634,
        "a node that had said who it is on a connection that crossed another was not merged in time: nobody had answered, as the simulator saw it",
    ),
    (
        Mode::Faulty,
        705078,
        "two nodes that had been told of each other forgot each other: who had told of them left, and who told of them again was not heard, since they were linked then",
    ),
    (
        Mode::Faulty,
        547787,
        "a join was done by its home, whose answer did not come in time over a link that lasted: the simulator took the caller's E_UNREACHABLE for a no",
    ),
    (
        Mode::Faulty,
        1704,
        "two links that ended at one moment cost a hold one part after the other, and the process was told twice",
    ),
    (
        Mode::Faulty,
        32252,
        "a node whose namesake could not be reached was refused by nodes behind a name, after its Go, and looked the name up without a pause that grows",
    ),
    (
        Mode::Faulty,
        595924,
        "a node whose namesake could not be reached was refused by third nodes and dialled them without a pause that grows",
    ),
    (
        Mode::Join,
        88370,
        "a holder that had met a second one acquired the lock on one more node: the simulator took that for a new hold on all of them",
    ),
];
