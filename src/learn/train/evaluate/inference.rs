//! Exported networks over prepared exams, in ONNX Runtime: exams in parallel, one session per core.

use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};

use ndarray::{Array1, Array3, Array4, Axis};
use rayon::prelude::*;

use crate::engine::models::ModelsError;
use crate::engine::models::networks::{BATCH, EmbolismNetwork, LungClasses, LungNetwork, Reading};
use crate::engine::models::package::Package;
use crate::engine::models::session::Runtime;
use crate::engine::volume::BACKGROUND;
use crate::learn::train::dataset::Dataset;
use crate::learn::train::fit::lungs::{Overlap, add_overlaps};
use crate::learn::train::labels::Split;
use crate::learn::train::{TrainError, TrainingContext, progress};

/// What one network says of an exam, in logits.
#[derive(Debug, Clone)]
pub(super) struct Logits {
    /// Of the exam, `[T]`: the targets in the order of the manifest, embolism first.
    pub(super) exam: Array1<f32>,
    /// Of its D prepared slices, `[D]`; `None` for a network that reads exams as a whole.
    pub(super) slices: Option<Array1<f32>>,
}

/// A classifier on all cores.
pub(super) struct Classifier(Vec<EmbolismNetwork>);

impl Classifier {
    /// Loads the networks of a package.
    pub(super) fn load(package: &Package, context: &TrainingContext) -> Result<Self, TrainError> {
        Ok(Self(sessions(context, |runtime| EmbolismNetwork::load(package, runtime))?))
    }

    /// Raw logits of whole exams, in their order.
    pub(super) fn logits(&mut self, data: &Dataset) -> Result<Vec<Logits>, TrainError> {
        let logits = |network: &mut EmbolismNetwork, exam| {
            let Reading { targets, slices } = read(network, data, exam)?;
            Ok(Logits { exam: targets, slices: slices.map(|slices| slices.logits) })
        };
        side_by_side(&mut self.0, data.exams.len(), logits)
    }

    /// Evidence logits of one exam, `[D, h, w]`; `None` for a network that reads exams as a whole.
    pub(super) fn evidence(&mut self, data: &Dataset, exam: usize) -> Result<Option<Array3<f32>>, TrainError> {
        let Some(network) = self.0.first_mut() else { return Ok(None) };
        Ok(read(network, data, exam)?.slices.map(|slices| slices.evidence))
    }
}

/// Overlaps of left and right lung with the truth, exam by exam of each split.
pub(super) fn lungs(
    package: &Package,
    context: &TrainingContext,
    splits: &[(Split, Dataset)],
) -> Result<Vec<Vec<[Overlap; 2]>>, TrainError> {
    let mut networks = sessions(context, |runtime| LungNetwork::load(package, runtime))?;
    splits
        .iter()
        .map(|(_, data)| {
            side_by_side(&mut networks, data.exams.len(), |network, exam| overlaps_of(network, data, exam))
        })
        .collect()
}

/// On the CPU one network per core; on another device a single one, which fills it.
fn sessions<N>(
    context: &TrainingContext,
    load: impl Fn(&Runtime) -> Result<N, ModelsError>,
) -> Result<Vec<N>, TrainError> {
    let runtime = context.runtime()?;
    if !runtime.is_cpu() {
        return Ok(vec![load(&runtime)?]);
    }
    let cores = runtime.threads();
    let runtime = context.single_threaded_runtime()?;
    (0..cores).map(|_| load(&runtime).map_err(TrainError::from)).collect()
}

/// Does the work for `0..count`, on all networks at once. Returns the results in order, or an error.
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
            // After a failure no network begins another.
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

/// The reading of all slices of an exam, as the node reads them. A package under evaluation holds a single network.
fn read(network: &mut EmbolismNetwork, data: &Dataset, exam: usize) -> Result<Reading, TrainError> {
    let batch = |range: Range<usize>| data.served_batch(exam, &range.collect::<Vec<_>>());
    let readings = network.read_exam(data.exams[exam].slices, batch)?;
    readings.into_iter().next().ok_or_else(|| TrainError::Exams("the package holds no network".to_owned()))
}

fn overlaps_of(network: &mut LungNetwork, data: &Dataset, exam: usize) -> Result<[Overlap; 2], TrainError> {
    let slices: Vec<usize> = (0..data.exams[exam].slices).collect();
    let classes = network.classes().clone();
    let mut overlaps = [Overlap::default(); 2];
    for some in slices.chunks(BATCH) {
        let logits = network.logits(&data.served_batch(exam, some)?.view())?;
        let found = lung_labels(&logits, &classes).into_iter().map(usize::from);
        add_overlaps(&mut overlaps, found, &data.masks(exam, some)?.concat());
    }
    Ok(overlaps)
}

/// The lung that each pixel of class logits `[N, classes, H, W]` belongs to, by the node's rule.
fn lung_labels(logits: &Array4<f32>, classes: &LungClasses) -> Array3<u8> {
    logits.map_axis(Axis(1), |pixel| match classes.likelier_lung(|class| pixel[class]) {
        (side, margin) if margin > 0.0 => side,
        _ => BACKGROUND,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::volume::{LEFT_LUNG, RIGHT_LUNG};

    #[test]
    fn a_class_that_is_neither_lung_nor_background_is_not_lung() {
        // Airway, right, left, background; a column each.
        let columns = [[6.0, 5.0, 1.0, 0.0], [4.0, 5.0, 1.0, 0.0], [0.0, 1.0, 5.0, 0.0], [0.0, 1.0, 5.0, 6.0]];
        let logits = Array4::from_shape_fn((1, 4, 1, 4), |(_, class, _, column)| columns[column][class]);
        let classes = LungClasses { left: 2, right: 1, other: vec![0, 3] };
        let labels: Vec<u8> = lung_labels(&logits, &classes).into_iter().collect();
        assert_eq!(labels, [BACKGROUND, RIGHT_LUNG, LEFT_LUNG, BACKGROUND]);
    }

    #[test]
    fn results_come_in_order_whichever_worker_makes_them() {
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
