//! Where one acquisition follows another along a stack, and the images show that it is no continuation: another phase,
//! another kernel.
//!
//! Only places where labels change are looked at. Labels alone prove nothing there: acquisition numbers change within one
//! scan, and long scans are made in parts.

use ndarray::{Array2, Array3, Axis};

use super::appearance::{Cell, SOFT_TISSUE, cell_size, cells};
use super::labels::Label;
use super::stack::Stack;

/// A label that changes more often numbers slices.
const MOST_CHANGES: usize = 4;
/// Slices next to a seam that show how much neighbours differ.
const NEIGHBOURS: usize = 4;
/// Hounsfield units above which soft tissue has contrast agent in it, or is bone.
const BRIGHT: f64 = 100.0;
/// Mean change of bright tissue, in Hounsfield units, that is another phase. The parts of one scan, seconds apart, differ
/// by less.
const OTHER_PHASE: f64 = 60.0;
/// It must also be as many times the usual change of neighbours.
const TIMES_USUAL: f64 = 3.0;
/// Ratio of noise that is another kernel.
const OTHER_NOISE: f64 = 2.0;
/// Fewest cells that prove something.
const FEWEST_CELLS: usize = 50;

/// The index of the first slice above the lowest such place.
pub(super) fn broken_at(stack: &Stack, hounsfield: &Array3<i16>) -> Option<usize> {
    let size = cell_size(&stack.slices[0].grid);
    let look = |index: usize| cells(&hounsfield.index_axis(Axis(0), index), size);
    seams(stack).into_iter().find(|seam| {
        let from = seam.saturating_sub(NEIGHBOURS);
        let to = (seam + NEIGHBOURS).min(stack.slices.len());
        let slices: Vec<Array2<Cell>> = (from..to).map(look).collect();
        is_break(&slices, seam - from)
    })
}

/// Indices of slices whose labels differ from those of the slice below.
fn seams(stack: &Stack) -> Vec<usize> {
    let labels =
        [Label::AcquisitionNumber, Label::FrameOfReference, Label::Kernel, Label::TubeVoltage, Label::AcquisitionTime];
    let changes = |label: Label| -> Vec<usize> {
        let value = |index: usize| stack.slices[index].labels.get(label);
        (1..stack.slices.len()).filter(|index| value(*index) != value(index - 1)).collect()
    };
    let mut seams: Vec<usize> =
        labels.into_iter().map(changes).filter(|changes| changes.len() <= MOST_CHANGES).flatten().collect();
    seams.sort_unstable();
    seams.dedup();
    seams
}

/// True if the slices below and above a seam differ as no neighbours of one scan do.
fn is_break(slices: &[Array2<Cell>], seam: usize) -> bool {
    let change = |upper: usize| brightness_change(&slices[upper - 1], &slices[upper]).map(f64::abs);
    let mut usual: Vec<f64> = (1..slices.len()).filter(|upper| *upper != seam).filter_map(change).collect();
    usual.sort_by(f64::total_cmp);
    let usual = usual.get(usual.len() / 2).copied().unwrap_or_default();
    let other_phase = change(seam).is_some_and(|change| change > OTHER_PHASE.max(TIMES_USUAL * usual));
    let noise = noise(&slices[seam - 1]).zip(noise(&slices[seam]));
    let other_kernel = noise.is_some_and(|(below, above)| below.max(above) > OTHER_NOISE * below.min(above));
    other_phase || other_kernel
}

/// How much brighter the bright tissue of two neighbours is in the upper one.
fn brightness_change(lower: &Array2<Cell>, upper: &Array2<Cell>) -> Option<f64> {
    let soft = |cell: &Cell| SOFT_TISSUE.contains(&cell.mean);
    let pairs = lower.iter().zip(upper).filter(|(a, b)| soft(a) && soft(b) && a.mean.max(b.mean) > BRIGHT);
    mean(pairs.map(|(a, b)| b.mean - a.mean))
}

fn noise(slice: &Array2<Cell>) -> Option<f64> {
    mean(slice.iter().filter(|cell| SOFT_TISSUE.contains(&cell.mean)).map(|cell| cell.deviation))
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, count) = values.fold((0.0, 0), |(sum, count), value| (sum + value, count + 1));
    (count >= FEWEST_CELLS).then(|| sum / count as f64)
}
