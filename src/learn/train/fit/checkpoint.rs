//! Weights, optimiser and progress on disk, replaced as a whole or not at all.
//!
//! Each epoch that matters, the last and the best, has files of its own, which are never changed. `progress.json` names
//! them; it is written when they are on disk and before older ones are removed, so a kill at any moment leaves the
//! state before the epoch or the state after it.

use std::path::{Path, PathBuf};

use burn::module::Module;
use burn::optim::OptimizerRecord;
use serde::{Deserialize, Serialize};

use super::log::EpochLine;
use super::optimiser::Optimiser;
use crate::learn::train::TrainError;
use crate::learn::train::files;
use crate::learn::train::step::Step;

/// How far a fit has come.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Progress {
    /// Epochs done.
    pub(crate) epoch: usize,
    /// Steps of the optimiser done.
    pub(crate) steps: usize,
    /// Seconds spent.
    pub(crate) seconds: f64,
    /// Best validation metric so far, if there is one.
    pub(crate) best: Option<f64>,
    /// Epoch that gave it, from 1; 0 for the weights that the fit began with.
    pub(crate) best_epoch: usize,
    /// In a fit that continues another one, the digest of that one's best weights.
    pub(crate) begun_with: String,
    /// The lines of the log.
    pub(crate) log: Vec<EpochLine>,
}

/// The checkpoints of one fit.
pub(crate) struct Checkpoints {
    folder: PathBuf,
}

impl Checkpoints {
    pub(crate) fn new(folder: &Path) -> Result<Self, TrainError> {
        files::create_folder(folder)?;
        Ok(Self { folder: folder.to_owned() })
    }

    /// Saves what the progress names: the weights of its last epoch, with what a resumed fit needs, and the best.
    pub(crate) fn save<M: Module>(
        &self,
        network: &M,
        optimiser: &Optimiser<M>,
        progress: &Progress,
    ) -> Result<(), TrainError> {
        self.save_weights(network, progress.epoch)?;
        let path = self.folder.join(optimiser_name(progress.epoch));
        optimiser.inner().save(&path).map_err(|error| unwritten(&path, &error))?;
        self.write_progress(progress)?;
        self.remove_others(progress);
        Ok(())
    }

    /// Saves weights as the best that no fit of this folder has changed.
    pub(crate) fn save_unfitted<M: Module>(&self, network: &M, begun_with: &str) -> Result<(), TrainError> {
        let progress = Progress { begun_with: begun_with.to_owned(), ..Progress::default() };
        self.save_weights(network, progress.epoch)?;
        self.write_progress(&progress)?;
        self.remove_others(&progress);
        Ok(())
    }

    /// Loads the last checkpoint into network and optimiser; `None` if there is none, or if it is one of a fit that
    /// began with other weights.
    pub(crate) fn resume<M: Module>(
        &self,
        network: &mut M,
        optimiser: &mut Optimiser<M>,
        begun_with: &str,
    ) -> Result<Option<Progress>, TrainError> {
        let Some(progress) = self.progress()? else { return Ok(None) };
        if progress.begun_with != begun_with {
            tracing::info!("{}: starts again, because its initial weights have changed", self.folder.display());
            return Ok(None);
        }
        if progress.epoch > 0 {
            *network = self.load(progress.epoch, network.clone())?;
            let path = self.folder.join(optimiser_name(progress.epoch));
            let record = OptimizerRecord::load(&path).map_err(|error| failed(&path, &error))?;
            optimiser.restore(|fresh| fresh.load_record(record), progress.steps);
        }
        Ok(Some(progress))
    }

    /// How far the fit has come; `None` before its first epoch.
    pub(crate) fn progress(&self) -> Result<Option<Progress>, TrainError> {
        let path = self.folder.join("progress.json");
        match std::fs::read_to_string(&path) {
            Ok(text) => serde_json::from_str(&text).map(Some).map_err(|error| failed(&path, &error)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(TrainError::file("reading", &path)(error)),
        }
    }

    /// The weights of the last epoch.
    pub(crate) fn last<M: Module>(&self, network: M) -> Result<M, TrainError> {
        self.load(self.fitted()?.epoch, network)
    }

    /// The best weights so far.
    pub(crate) fn best<M: Module>(&self, network: M) -> Result<M, TrainError> {
        self.load(self.fitted()?.best_epoch, network)
    }

    /// Digest of the file of the best weights.
    pub(crate) fn best_digest(&self) -> Result<String, TrainError> {
        self.digest(self.fitted()?.best_epoch)
    }

    /// Digest of the file of the last epoch's weights.
    pub(crate) fn last_digest(&self) -> Result<String, TrainError> {
        self.digest(self.fitted()?.epoch)
    }

    fn digest(&self, epoch: usize) -> Result<String, TrainError> {
        let path = self.folder.join(weights_name(epoch));
        let bytes = std::fs::read(&path).map_err(TrainError::file("reading", &path))?;
        Ok(files::digest(&bytes))
    }

    fn fitted(&self) -> Result<Progress, TrainError> {
        let missing = || TrainError::StepMissing { path: self.folder.join("progress.json"), step: Step::Fit };
        self.progress()?.ok_or_else(missing)
    }

    fn load<M: Module>(&self, epoch: usize, network: M) -> Result<M, TrainError> {
        let path = self.folder.join(weights_name(epoch));
        network.try_load_file(&path).map_err(|error| failed(&path, &error))
    }

    fn save_weights<M: Module>(&self, network: &M, epoch: usize) -> Result<(), TrainError> {
        let path = self.folder.join(weights_name(epoch));
        network.clone().save_file(&path).map_err(|error| unwritten(&path, &error))
    }

    fn write_progress(&self, progress: &Progress) -> Result<(), TrainError> {
        let text = serde_json::to_string_pretty(progress).unwrap_or_default();
        files::write_whole(&self.folder.join("progress.json"), text.as_bytes())
    }

    /// Removes weights and optimisers that the progress does not name: those of earlier epochs, and what a kill left.
    fn remove_others(&self, progress: &Progress) {
        let kept = [weights_name(progress.epoch), optimiser_name(progress.epoch), weights_name(progress.best_epoch)];
        let Ok(entries) = std::fs::read_dir(&self.folder) else { return };
        for path in entries.flatten().map(|entry| entry.path()) {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if name.contains(".bpk") && !kept.iter().any(|kept| *kept == name) {
                // A file that stays only takes up space.
                let _ = std::fs::remove_file(&path);
            }
        }
    }
}

fn weights_name(epoch: usize) -> String {
    format!("weights-{epoch}.bpk")
}

fn optimiser_name(epoch: usize) -> String {
    format!("optimiser-{epoch}.bpk")
}

fn unwritten(path: &Path, error: &dyn std::fmt::Display) -> TrainError {
    failed(
        path,
        &format!("{error}; free some space and run the step again: it continues from the last complete checkpoint"),
    )
}

fn failed(path: &Path, error: &dyn std::fmt::Display) -> TrainError {
    TrainError::Checkpoint { path: path.to_owned(), problem: error.to_string() }
}
