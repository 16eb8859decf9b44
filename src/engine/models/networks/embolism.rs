//! Networks that classify an exam: encoder and head with evidence slice by slice, or one network over all slices.

use std::ops::Range;

use ndarray::{Array1, Array2, Array3, Array4, Array5, ArrayD, ArrayView2, ArrayView4, Axis, concatenate};

use super::error::{Fault, Misfit, ModelsError};
use super::limits::{BATCH, TRIALS, WIDEST_CELL_MM};
use super::loading::{Extent, Loader, Part};
use super::shape::shaped;
use crate::engine::models::identity::ModelIdentity;
use crate::engine::models::manifest::{Layout, Manifest, Role};
use crate::engine::models::package::Package;
use crate::engine::models::session::{Runtime, SessionError};

/// A package that classifies exams, of the layout `encoder+head` or `exam`.
#[derive(Debug)]
pub struct EmbolismNetwork {
    manifest: Manifest,
    identity: ModelIdentity,
    members: Members,
}

/// All members have one layout.
#[derive(Debug)]
enum Members {
    EncoderHead(Vec<EncoderHead>),
    Exam(Vec<ExamNetwork>),
}

/// One member's reading of an exam, in logits.
#[derive(Debug, Clone)]
pub struct Reading {
    /// `[T]`: the targets in the order of the manifest, embolism first.
    pub targets: Array1<f32>,
    /// Its reading of each slice; `None` for a network that reads exams as a whole.
    pub slices: Option<SliceReading>,
}

/// One member's reading of the D slices of an exam, lowest first.
#[derive(Debug, Clone)]
pub struct SliceReading {
    /// Logits of embolism on each slice, `[D]`.
    pub logits: Array1<f32>,
    /// Shares of the exam's attention, `[D]`.
    pub attention: Array1<f32>,
    /// Logits of embolism in each cell, `[D, h, w]`.
    pub evidence: Array3<f32>,
}

impl EmbolismNetwork {
    /// Loads and checks a package.
    pub fn load(package: &Package, runtime: &Runtime) -> Result<Self, ModelsError> {
        let loader = Loader::new(package, runtime)?;
        let manifest = loader.manifest().clone();
        let members = match manifest.layout {
            Layout::Exam => Members::Exam(loader.members(|member| ExamNetwork::load(&loader, member))?),
            _ => Members::EncoderHead(loader.members(|member| EncoderHead::load(&loader, member))?),
        };
        let mut loaded = Self { identity: loader.identity(), manifest, members };
        loaded.trial().map_err(|fault| loader.unfit(fault))?;
        Ok(loaded)
    }

    /// The package's manifest.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Name, version and digest of the package.
    pub fn identity(&self) -> &ModelIdentity {
        &self.identity
    }

    /// Each member's reading of an exam of D prepared slices. `batch` gives any range of them as `[n, C, H, W]`, lowest
    /// slice first.
    ///
    /// # Errors
    /// Those of `batch`, or a network failed.
    pub fn read_exam<E: From<SessionError>>(
        &mut self,
        slices: usize,
        mut batch: impl FnMut(Range<usize>) -> Result<Array4<f32>, E>,
    ) -> Result<Vec<Reading>, E> {
        let targets = self.manifest.targets().len();
        match &mut self.members {
            Members::EncoderHead(members) => {
                let encoded = encode(members, slices, batch)?;
                let readings = members.iter_mut().zip(encoded).map(|(member, encoded)| {
                    let read = member.read(&encoded.features.view(), targets);
                    let ExamLogits { slices, exam, attention } = read.map_err(|error| member.head.at_fault(error))?;
                    let slices = Some(SliceReading { logits: slices, attention, evidence: encoded.evidence });
                    Ok::<_, SessionError>(Reading { targets: exam, slices })
                });
                Ok(readings.collect::<Result<_, _>>()?)
            }
            Members::Exam(members) => {
                members.iter_mut().map(|member| member.read(slices, targets, &mut batch)).collect()
            }
        }
    }

    /// Features and evidence of prepared slices `[N, C, H, W]`, from the first stage alone.
    ///
    /// # Errors
    /// The package is not a single encoder and head, or the network failed.
    pub fn encode(&mut self, images: &ArrayView4<'_, f32>) -> Result<Encoded, SessionError> {
        let member = self.single()?;
        member.encode(images).map_err(|error| member.encoder.at_fault(error))
    }

    /// Logits and attention of an exam from the features `[D, F]` of its slices, lowest first.
    ///
    /// # Errors
    /// As [`Self::encode`].
    pub fn read(&mut self, features: &ArrayView2<'_, f32>) -> Result<ExamLogits, SessionError> {
        let targets = self.manifest.targets().len();
        let member = self.single()?;
        member.read(features, targets).map_err(|error| member.head.at_fault(error))
    }

    fn single(&mut self) -> Result<&mut EncoderHead, SessionError> {
        match &mut self.members {
            Members::EncoderHead(members) if members.len() == 1 => Ok(&mut members[0]),
            _ => Err(SessionError::Run("the package is not a single encoder and head".to_owned())),
        }
    }

    /// Runs every member on blank slices.
    fn trial(&mut self) -> Result<(), Fault> {
        let targets = self.manifest.targets().len();
        let [rows, columns] = self.manifest.input.size;
        let channels = self.manifest.input.channels();
        let mut blank = |range: Range<usize>| Ok(Array4::zeros((range.len(), channels, rows, columns)));
        match &mut self.members {
            Members::EncoderHead(members) => {
                // The other members must have the first one's cells: means are taken cell by cell.
                let mut cells = [None; 2];
                for member in members {
                    member.cells = cells;
                    cells = member.trial(&self.manifest)?;
                }
            }
            Members::Exam(members) => {
                for member in members {
                    for slices in member.depth.map_or(TRIALS.to_vec(), |depth| vec![depth]) {
                        let outcome: Result<Reading, SessionError> = member.read(slices, targets, &mut blank);
                        outcome.map_err(|error| member.network.fault(error))?;
                    }
                }
            }
        }
        Ok(())
    }
}

/// Encoder and head of one member.
#[derive(Debug)]
struct EncoderHead {
    encoder: Part,
    head: Part,
    /// Rows and columns of the evidence, which are the same whatever the slices show; known from the trial on.
    cells: [Option<usize>; 2],
}

/// What an encoder gives for N slices.
#[derive(Debug, Clone)]
pub struct Encoded {
    /// `[N, F]`.
    pub features: Array2<f32>,
    /// Evidence logits, `[N, h, w]`.
    pub evidence: Array3<f32>,
}

/// What a head gives for an exam of D slices.
#[derive(Debug, Clone)]
pub struct ExamLogits {
    /// `[D]`.
    pub slices: Array1<f32>,
    /// Of the exam, `[T]`: the targets in the order of the manifest.
    pub exam: Array1<f32>,
    /// `[D]`: shares of the exam's attention.
    pub attention: Array1<f32>,
}

impl EncoderHead {
    fn load(loader: &Loader, member: usize) -> Result<Self, ModelsError> {
        let input = &loader.manifest().input;
        let [rows, columns] = input.size;
        let image = [input.channels(), rows, columns].map(Extent::Size);
        Ok(Self {
            encoder: loader.part(Role::Encoder, member, &[Extent::Dynamic, image[0], image[1], image[2]])?,
            head: loader.part(Role::Head, member, &[Extent::Dynamic, Extent::Any])?,
            cells: [None; 2],
        })
    }

    /// Features and evidence of prepared slices `[N, C, H, W]`.
    fn encode(&mut self, images: &ArrayView4<'_, f32>) -> Result<Encoded, SessionError> {
        let slices = images.len_of(Axis(0));
        let [features, evidence] = self.encoder.run(images.view().into_dyn())?;
        let features = shaped(features, self.encoder.output(0), &[Some(slices), None])?;
        let [rows, columns] = self.cells;
        let evidence: Array4<f32> = shaped(evidence, self.encoder.output(1), &[Some(slices), Some(1), rows, columns])?;
        Ok(Encoded { features, evidence: evidence.remove_axis(Axis(1)) })
    }

    /// What the head reads from the features of all slices of an exam.
    fn read(&mut self, features: &ArrayView2<'_, f32>, targets: usize) -> Result<ExamLogits, SessionError> {
        let slices = features.len_of(Axis(0));
        let [logits, exam, attention] = self.head.run(features.view().into_dyn())?;
        Ok(ExamLogits {
            slices: shaped(logits, self.head.output(0), &[Some(slices)])?,
            exam: shaped(exam, self.head.output(1), &[Some(targets)])?,
            attention: shaped(attention, self.head.output(2), &[Some(slices)])?,
        })
    }

    /// Runs the member on blank slices; records and returns the cells of its evidence.
    fn trial(&mut self, manifest: &Manifest) -> Result<[Option<usize>; 2], Fault> {
        let [rows, columns] = manifest.input.size;
        for slices in TRIALS {
            let images = Array4::zeros((slices, manifest.input.channels(), rows, columns));
            self.trial_of(manifest, &images.view())?;
        }
        Ok(self.cells)
    }

    fn trial_of(&mut self, manifest: &Manifest, images: &ArrayView4<'_, f32>) -> Result<(), Fault> {
        let encoded = self.encode(images).map_err(|error| self.encoder.fault(error))?;
        check_cells(manifest, encoded.evidence.dim()).map_err(|misfit| self.encoder.fault(misfit))?;
        let (_, rows, columns) = encoded.evidence.dim();
        self.cells = [Some(rows), Some(columns)];
        let reading = self.read(&encoded.features.view(), manifest.targets().len());
        reading.map(drop).map_err(|error| self.head.fault(error))
    }
}

/// Each member's encoding of all slices; each batch is prepared once for all members.
fn encode<E: From<SessionError>>(
    members: &mut [EncoderHead],
    slices: usize,
    mut batch: impl FnMut(Range<usize>) -> Result<Array4<f32>, E>,
) -> Result<Vec<Encoded>, E> {
    let mut batches: Vec<Vec<Encoded>> = members.iter().map(|_| Vec::new()).collect();
    for first in (0..slices).step_by(BATCH) {
        let images = batch(first..(first + BATCH).min(slices))?;
        for (member, batches) in members.iter_mut().zip(&mut batches) {
            let encoded = member.encode(&images.view());
            batches.push(encoded.map_err(|error| member.encoder.at_fault(error))?);
        }
    }
    Ok(batches.iter().map(|batches| joined(batches)).collect::<Result<_, _>>()?)
}

fn joined(batches: &[Encoded]) -> Result<Encoded, SessionError> {
    let features: Vec<_> = batches.iter().map(|batch| batch.features.view()).collect();
    let evidence: Vec<_> = batches.iter().map(|batch| batch.evidence.view()).collect();
    let uneven = |error: ndarray::ShapeError| SessionError::Run(format!("batches of slices do not join: {error}"));
    Ok(Encoded {
        features: concatenate(Axis(0), &features).map_err(uneven)?,
        evidence: concatenate(Axis(0), &evidence).map_err(uneven)?,
    })
}

/// Evidence cells must tile the slice and be small enough for an embolus.
fn check_cells(manifest: &Manifest, (_, height, width): (usize, usize, usize)) -> Result<(), Misfit> {
    let pixels @ [rows, columns] = manifest.input.size;
    if height == 0 || width == 0 || rows % height != 0 || columns % width != 0 {
        return Err(Misfit::UnevenCells { cells: [height, width], pixels });
    }
    let cell = manifest.input.spacing_mm * (rows / height).max(columns / width) as f64;
    if cell > WIDEST_CELL_MM + 1e-6 {
        return Err(Misfit::WideCells(cell));
    }
    Ok(())
}

/// One network over all slices of an exam.
#[derive(Debug)]
struct ExamNetwork {
    network: Part,
    /// Number of slices that it takes; `None` for any.
    depth: Option<usize>,
}

impl ExamNetwork {
    fn load(loader: &Loader, member: usize) -> Result<Self, ModelsError> {
        let input = &loader.manifest().input;
        let [rows, columns] = input.size;
        let sizes = [input.channels(), rows, columns].map(Extent::Size);
        let network =
            loader.part(Role::Network, member, &[Extent::Size(1), Extent::Any, sizes[0], sizes[1], sizes[2]])?;
        let declared = network.declared_input().map_err(|error| loader.unfit(network.fault(error)))?;
        let depth = declared.get(1).copied().flatten();
        if depth == Some(0) {
            return Err(loader.unfit(network.fault(Misfit::NoDepth)));
        }
        Ok(Self { network, depth })
    }

    fn read<E: From<SessionError>>(
        &mut self,
        slices: usize,
        targets: usize,
        batch: &mut impl FnMut(Range<usize>) -> Result<Array4<f32>, E>,
    ) -> Result<Reading, E> {
        let taken: Vec<usize> = match self.depth {
            Some(depth) => evenly_spaced(slices, depth),
            None => (0..slices).collect(),
        };
        let mut exam: Option<Array5<f32>> = None;
        for (entry, slice) in taken.iter().enumerate() {
            let image = batch(*slice..slice + 1)?;
            let (_, channels, rows, columns) = image.dim();
            let exam = exam.get_or_insert_with(|| Array5::zeros((1, taken.len(), channels, rows, columns)));
            exam.index_axis_mut(Axis(0), 0).index_axis_mut(Axis(0), entry).assign(&image.index_axis(Axis(0), 0));
        }
        let exam = exam.ok_or_else(|| SessionError::Run("an exam without slices cannot be read".to_owned()))?;
        let [logits] = self.network.run(exam.view().into_dyn())?;
        Ok(Reading { targets: self.exam_logits(logits, targets)?, slices: None })
    }

    /// `[T]`, whether the network gives that shape or a batch of one.
    fn exam_logits(&self, logits: ArrayD<f32>, targets: usize) -> Result<Array1<f32>, SessionError> {
        let batched = logits.ndim() == 2 && logits.len_of(Axis(0)) == 1;
        let logits = if batched { logits.index_axis_move(Axis(0), 0) } else { logits };
        shaped(logits, self.network.output(0), &[Some(targets)])
    }
}

/// `count` of `slices` slices at even distances from the first to the last, as NumPy's `linspace` places them, each
/// rounded to the nearest; slices repeat where there are fewer.
fn evenly_spaced(slices: usize, count: usize) -> Vec<usize> {
    let last = slices.saturating_sub(1) as f64;
    let place = |index: usize| if count == 1 { last / 2.0 } else { last * index as f64 / (count - 1) as f64 };
    (0..count).map(|index| place(index).round() as usize).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fixed_number_of_slices_reaches_from_the_first_to_the_last() {
        assert_eq!(evenly_spaced(101, 5), [0, 25, 50, 75, 100]);
        assert_eq!(evenly_spaced(3, 5), [0, 1, 1, 2, 2]);
        assert_eq!(evenly_spaced(7, 1), [3]);
        assert_eq!(evenly_spaced(1, 3), [0, 0, 0]);
    }
}
