//! Step `fit`: the loop that all networks share.
//!
//! AdamW with linear warm-up and a cosine, gradients averaged over the exams of a step (however it is accumulated or
//! divided over devices) and clipped by their global norm, the best checkpoint by the validation metric, early stop,
//! resume. Everything drawn depends on the seed, the epoch and the batch alone, so a resumed fit continues with the
//! batches an unbroken one would have seen. A loader thread keeps batches ready.

mod bags;
mod checkpoint;
mod clock;
mod devices;
mod draw;
pub(crate) mod embolism;
mod epoch;
pub(crate) mod head;
mod log;
pub(crate) mod lungs;
mod optimiser;
mod part;
pub(crate) mod patches;
mod reading_ahead;
mod task;
#[cfg(test)]
mod tests;
mod training_loop;

pub(crate) use checkpoint::Checkpoints;
pub(crate) use devices::Devices;
pub(crate) use log::EpochLine;
pub(crate) use optimiser::Optimiser;
pub(crate) use part::FitPart;
pub(crate) use training_loop::{is_done, run};
