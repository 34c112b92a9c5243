//! Seeds that once found a defect, in the engine or in the simulator. A change of the simulator's choices makes a seed
//! another run; it costs nothing to keep it.

use crate::plan::Mode;

/// Mode, seed, and what it found.
pub(crate) const KEPT: &[(Mode, u64, &str)] = &[];
