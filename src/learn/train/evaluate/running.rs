//! Exported networks over prepared exams, in ONNX Runtime: exams side by side, one session a core.

use std::sync::atomic::{AtomicUsize, Ordering};

use ndarray::{Array4, Axis, concatenate};
use rayon::prelude::*;

use crate::config::Config;
use crate::engine::models::ModelsError;
use crate::engine::models::networks::{BATCH, EmbolismNetwork, ExamLogits, LungNetwork};
use crate::engine::models::registry::Package;
use crate::engine::models::session::{Runtime, SessionError};
use crate::learn::train::dataset::Dataset;
use crate::learn::train::fit::lungs::{Overlap, add_overlaps};
use crate::learn::train::labels::Split;
use crate::learn::train::loss::UNLABELLED;
use crate::learn::train::metrics::Scored;
use crate::learn::train::{TrainError, progress};

/// Raw logits of the exams of one split, in their order.
pub(super) struct SplitLogits {
    pub(super) split: Split,
    pub(super) series: Vec<String>,
    pub(super) exams: Vec<Scored>,
    /// Of the slices that carry a label.
    pub(super) slices: Vec<Scored>,
}

/// Logits of whole exams.
pub(super) fn embolism(package: &Package, splits: &[(Split, Dataset)]) -> Result<Vec<SplitLogits>, TrainError> {
    let mut networks = sessions(|runtime| EmbolismNetwork::load(package, runtime))?;
    splits
        .iter()
        .map(|(split, data)| {
            let logits = side_by_side(&mut networks, data.exams.len(), |network, exam| logits_of(network, data, exam))?;
            let mut found = SplitLogits { split: *split, series: vec![], exams: vec![], slices: vec![] };
            for (exam, (row, logits)) in data.exams.iter().zip(&logits).enumerate() {
                found.series.push(row.series.clone());
                found.exams.push(Scored { score: f64::from(logits.exam[0]), positive: row.embolism });
                found.slices.extend(labelled(logits.slices.iter().copied(), data.slice_labels(exam)));
            }
            Ok(found)
        })
        .collect()
}

/// Overlaps of left and right lung with the truth, exam by exam.
pub(super) fn lungs(
    package: &Package,
    splits: &[(Split, Dataset)],
) -> Result<Vec<(Split, Vec<[Overlap; 2]>)>, TrainError> {
    let mut networks = sessions(|runtime| LungNetwork::load(package, runtime))?;
    splits
        .iter()
        .map(|(split, data)| {
            let overlaps =
                side_by_side(&mut networks, data.exams.len(), |network, exam| overlaps_of(network, data, exam))?;
            Ok((*split, overlaps))
        })
        .collect()
}

/// As many networks as there are cores, each on one of them; on another device a single one, which fills it.
fn sessions<N>(load: impl Fn(&Runtime) -> Result<N, ModelsError>) -> Result<Vec<N>, TrainError> {
    let mut config = Config::load(None, std::env::vars(), &[])?.onnxruntime;
    let runtime = Runtime::start(&config).map_err(ModelsError::Runtime)?;
    if !runtime.is_cpu() {
        return Ok(vec![load(&runtime)?]);
    }
    let cores = runtime.threads();
    config.threads = 1;
    let runtime = Runtime::start(&config).map_err(ModelsError::Runtime)?;
    (0..cores).map(|_| load(&runtime).map_err(TrainError::from)).collect()
}

/// Does the work for `0..count`, on all networks at once. Gives the results in order, or an error met.
fn side_by_side<N: Send, T: Send>(
    networks: &mut [N],
    count: usize,
    work: impl Fn(&mut N, usize) -> Result<T, TrainError> + Sync,
) -> Result<Vec<T>, TrainError> {
    let (next, bar) = (AtomicUsize::new(0), progress::bar(count as u64, "evaluate"));
    let share = |network: &mut N| -> Result<Vec<(usize, T)>, TrainError> {
        let mut done = Vec::new();
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            if index >= count {
                return Ok(done);
            }
            // After a failure nobody begins anew.
            done.push((index, work(network, index).inspect_err(|_| next.store(count, Ordering::Relaxed))?));
            bar.inc(1);
        }
    };
    let shares: Result<Vec<_>, TrainError> = networks.par_iter_mut().map(share).collect();
    bar.finish_and_clear();
    let mut all: Vec<(usize, T)> = shares?.into_iter().flatten().collect();
    all.sort_by_key(|(index, _)| *index);
    Ok(all.into_iter().map(|(_, one)| one).collect())
}

fn logits_of(network: &mut EmbolismNetwork, data: &Dataset, exam: usize) -> Result<ExamLogits, TrainError> {
    let slices: Vec<usize> = (0..data.exams[exam].slices).collect();
    let mut features = Vec::new();
    for some in slices.chunks(BATCH) {
        features.push(network.encode(&batch(data, exam, some)?.view()).map_err(failed)?.features);
    }
    let features: Vec<_> = features.iter().map(|batch| batch.view()).collect();
    let features = concatenate(Axis(0), &features).map_err(|error| TrainError::Export(error.to_string()))?;
    network.read(&features.view()).map_err(failed)
}

fn overlaps_of(network: &mut LungNetwork, data: &Dataset, exam: usize) -> Result<[Overlap; 2], TrainError> {
    let slices: Vec<usize> = (0..data.exams[exam].slices).collect();
    let classes = network.classes();
    let sides = [classes.background, classes.left, classes.right];
    let mut overlaps = [Overlap::default(); 2];
    for some in slices.chunks(BATCH) {
        let logits = network.logits(&batch(data, exam, some)?.view()).map_err(failed)?;
        // [N, classes, H, W] to the most likely class of each pixel.
        let best = logits.map_axis(Axis(1), |pixel| {
            (0..sides.len()).max_by(|a, b| pixel[sides[*a]].total_cmp(&pixel[sides[*b]])).unwrap_or_default()
        });
        add_overlaps(&mut overlaps, best.into_iter(), &data.masks(exam, some)?.concat());
    }
    Ok(overlaps)
}

/// Prepared slices `[N, C, H, W]` as they are served.
pub(crate) fn batch(data: &Dataset, exam: usize, slices: &[usize]) -> Result<Array4<f32>, TrainError> {
    let [rows, columns] = data.size();
    let values = data.batch(exam, slices, |image| image)?;
    Array4::from_shape_vec((slices.len(), data.channels(), rows, columns), values)
        .map_err(|error| TrainError::Export(error.to_string()))
}

fn failed(source: SessionError) -> TrainError {
    TrainError::Models(ModelsError::Runtime(source))
}

/// Logits of the slices that carry a label, beside their labels.
fn labelled<'a>(logits: impl Iterator<Item = f32> + 'a, targets: &'a [u8]) -> impl Iterator<Item = Scored> + 'a {
    logits
        .zip(targets)
        .filter(|(_, target)| **target != UNLABELLED)
        .map(|(logit, target)| Scored { score: f64::from(logit), positive: *target == 1 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_order_whoever_makes_them() {
        let mut workers = [0_usize; 3];
        let doubled = side_by_side(&mut workers, 50, |worker, index| {
            *worker += 1;
            Ok(2 * index)
        });
        assert_eq!(doubled.expect("done"), (0..50).map(|index| 2 * index).collect::<Vec<_>>());
        assert_eq!(workers.iter().sum::<usize>(), 50);
    }

    #[test]
    fn after_a_failure_nothing_more_is_begun() {
        let begun = AtomicUsize::new(0);
        let failing = side_by_side(&mut [(); 1], 100, |(), index| {
            begun.fetch_add(1, Ordering::Relaxed);
            if index == 3 { Err(TrainError::Exams("broken".to_owned())) } else { Ok(()) }
        });
        assert!(matches!(failing, Err(TrainError::Exams(problem)) if problem == "broken"));
        assert_eq!(begun.into_inner(), 4);
    }
}
