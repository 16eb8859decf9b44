//! Numbers that hold for every network.

/// Widest cell of an evidence map in millimetres: emboli of segmental arteries are about as large.
pub const WIDEST_CELL_MM: f64 = 5.0;
/// Slices that enter a network at once: enough to fill the cores, few enough to bound memory.
pub const BATCH: usize = 8;
/// Numbers of slices of the trial runs where a network takes any: one, as the last batch of an exam may hold, and more.
/// A network that is fixed to one number fails in some of them.
pub(super) const TRIALS: [usize; 3] = [1, 2, 3];
