//! Weights, optimiser and progress on disk, replaced as a whole or not at all.

use std::path::{Path, PathBuf};

use burn::module::Module;
use serde::{Deserialize, Serialize};

use super::Optimiser;
use crate::learn::train::TrainError;
use crate::learn::train::files;

/// How far a fit has come.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Progress {
    /// Epochs done.
    pub(crate) epoch: usize,
    /// Steps done.
    pub(crate) steps: usize,
    /// Seconds spent.
    pub(crate) seconds: f64,
    /// Best validation figure so far, if there is one.
    pub(crate) best: Option<f64>,
    /// Epoch that gave it, from 1.
    pub(crate) best_epoch: usize,
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

    /// Keeps the network as the best so far.
    pub(crate) fn save_best<M: Module>(&self, network: &M) -> Result<(), TrainError> {
        self.write("best.bpk", |path| network.clone().save_file(path).map_err(|error| error.to_string()))
    }

    /// Keeps all that a resumed fit needs. The progress names its generation of files and is written last.
    pub(crate) fn save<M: Module>(
        &self,
        network: &M,
        optimiser: &Optimiser<M>,
        progress: &Progress,
    ) -> Result<(), TrainError> {
        let generation = progress.epoch % 2;
        self.write(&format!("last-{generation}.bpk"), |path| {
            network.clone().save_file(path).map_err(|error| error.to_string())
        })?;
        self.write(&format!("optimiser-{generation}.bpk"), |path| {
            optimiser.inner().save(path).map_err(|error| error.to_string())
        })?;
        let progress = Progress { steps: optimiser.steps(), ..progress.clone() };
        let text = serde_json::to_string_pretty(&progress).unwrap_or_default();
        files::write_whole(&self.folder.join("progress.json"), text.as_bytes())
    }

    /// Loads the last checkpoint into network and optimiser; `None` if there is none.
    pub(crate) fn resume<M: Module>(
        &self,
        network: &mut M,
        optimiser: &mut Optimiser<M>,
    ) -> Result<Option<Progress>, TrainError> {
        let Some(progress) = self.progress()? else { return Ok(None) };
        let generation = progress.epoch % 2;
        *network = self.load(&format!("last-{generation}.bpk"), network.clone())?;
        let path = self.folder.join(format!("optimiser-{generation}.bpk"));
        let record = burn::optim::OptimizerRecord::load(&path)
            .map_err(|error| TrainError::Checkpoint { path: path.clone(), problem: error.to_string() })?;
        optimiser.restore(|fresh| fresh.load_record(record), progress.steps);
        Ok(Some(progress))
    }

    /// The weights of the last epoch.
    pub(crate) fn last<M: Module>(&self, network: M) -> Result<M, TrainError> {
        let generation = self.progress()?.unwrap_or_default().epoch % 2;
        self.load(&format!("last-{generation}.bpk"), network)
    }

    fn progress(&self) -> Result<Option<Progress>, TrainError> {
        let path = self.folder.join("progress.json");
        let Ok(text) = std::fs::read_to_string(&path) else { return Ok(None) };
        serde_json::from_str(&text)
            .map(Some)
            .map_err(|error| TrainError::Checkpoint { path, problem: error.to_string() })
    }

    /// The best weights so far.
    pub(crate) fn best<M: Module>(&self, network: M) -> Result<M, TrainError> {
        self.load("best.bpk", network)
    }

    fn load<M: Module>(&self, name: &str, network: M) -> Result<M, TrainError> {
        let path = self.folder.join(name);
        if !path.is_file() {
            return Err(TrainError::StepMissing { path, step: "fit" });
        }
        let loaded = network.try_load_file(&path);
        loaded.map_err(|error| TrainError::Checkpoint { path, problem: error.to_string() })
    }

    fn write(&self, name: &str, save: impl FnOnce(&Path) -> Result<(), String>) -> Result<(), TrainError> {
        let (path, partial) = (self.folder.join(name), self.folder.join(format!("partial-{name}")));
        save(&partial).map_err(|problem| TrainError::Checkpoint { path: partial.clone(), problem })?;
        std::fs::rename(&partial, &path).map_err(TrainError::file("renaming", &partial))
    }
}
