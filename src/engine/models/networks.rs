//! The active packages as networks with typed inputs and outputs.
//!
//! Every tensor is checked against the manifest when a package is loaded: name, element type, rank and size as the
//! file declares them, and then what the network really gives in a trial run on blank slices, with more than one
//! slice, so that an axis that should be dynamic and is not shows at start and not in the first study.

use ndarray::{Array, Array1, Array2, Array3, Array4, ArrayD, ArrayView2, ArrayView4, Axis, Dimension, IntoDimension};

use super::manifest::{File, Kind, Layout, Manifest, Role};
use super::registry::{Contents, Package, Registry, RegistryError};
use super::session::{Network, Runtime, SessionError, Side, TensorDeclaration};
use super::{ModelIdentity, Provider};
use crate::config::{ModelsConfig, OnnxRuntimeConfig};

/// Widest cell of an evidence map in millimetres: emboli of segmental arteries are about as large.
pub const WIDEST_CELL_MM: f64 = 5.0;
/// Slices that enter a network at once: enough to fill the cores, few enough to bound memory.
pub const BATCH: usize = 8;

/// Why the models cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ModelsError {
    /// The packages.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// ONNX Runtime.
    #[error(transparent)]
    Runtime(SessionError),
    /// A package's network does not do what its manifest says.
    #[error("model package {package}: {file}: {problem}")]
    Unfit {
        /// `name/version`.
        package: String,
        /// The file.
        file: String,
        /// What was found and what was expected.
        problem: String,
    },
}

/// The active packages, loaded. One thread owns them.
#[derive(Debug)]
pub struct Models {
    /// Finds the lungs.
    pub lungs: LungNetwork,
    /// Finds embolism.
    pub embolism: EmbolismNetwork,
    provider: Provider,
}

impl Models {
    /// Starts ONNX Runtime and loads the selected packages.
    pub fn load(models: &ModelsConfig, onnxruntime: &OnnxRuntimeConfig) -> Result<Self, ModelsError> {
        let registry = Registry::open(models)?;
        let lungs = registry.select(Kind::LungSegmentation, &models.lungs)?;
        let embolism = registry.select(Kind::EmbolismClassifier, &models.embolism)?;
        Self::of(lungs, embolism, onnxruntime)
    }

    /// Starts ONNX Runtime and loads two packages, wherever they lie.
    pub fn of(lungs: &Package, embolism: &Package, onnxruntime: &OnnxRuntimeConfig) -> Result<Self, ModelsError> {
        let runtime = Runtime::start(onnxruntime).map_err(ModelsError::Runtime)?;
        Ok(Self {
            lungs: LungNetwork::load(lungs, &runtime)?,
            embolism: EmbolismNetwork::load(embolism, &runtime)?,
            provider: Provider(runtime.provider()),
        })
    }

    /// Identity of each package: lungs, then embolism.
    pub fn identities(&self) -> Vec<ModelIdentity> {
        vec![self.lungs.identity.clone(), self.embolism.identity.clone()]
    }

    /// The execution provider that runs the networks.
    pub fn provider(&self) -> &Provider {
        &self.provider
    }
}

/// Loads a package of either kind to see whether it can be used, and gives its identity.
pub fn verify(package: &Package, runtime: &Runtime) -> Result<ModelIdentity, ModelsError> {
    match package.manifest().kind {
        Kind::LungSegmentation => LungNetwork::load(package, runtime).map(|network| network.identity),
        Kind::EmbolismClassifier => EmbolismNetwork::load(package, runtime).map(|network| network.identity),
    }
}

/// A package of the layout `slices`.
#[derive(Debug)]
pub struct LungNetwork {
    manifest: Manifest,
    identity: ModelIdentity,
    network: Part,
    classes: LungClasses,
}

/// Where each class lies along the class axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LungClasses {
    /// Neither lung.
    pub background: usize,
    /// The patient's left lung.
    pub left: usize,
    /// The patient's right lung.
    pub right: usize,
}

impl LungNetwork {
    /// Loads and checks a package.
    pub fn load(package: &Package, runtime: &Runtime) -> Result<Self, ModelsError> {
        let manifest = package.manifest().clone();
        let loader = Loader::new(package, runtime)?;
        let network = loader.part(Role::Network, 4, &[4])?;
        let class = |name| manifest.class(name).ok_or_else(|| loader.unfit("model.toml", format!("no label `{name}`")));
        let classes =
            LungClasses { background: class("background")?, left: class("left-lung")?, right: class("right-lung")? };
        let mut loaded =
            Self { identity: loader.contents.identity.clone(), network, classes, manifest: manifest.clone() };
        loaded
            .logits(&blank(&manifest).view())
            .map_err(|error| loader.unfit(&loaded.network.file.path, error.to_string()))?;
        Ok(loaded)
    }

    /// What the package says of itself.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Where each class lies along the class axis.
    pub fn classes(&self) -> LungClasses {
        self.classes
    }

    /// Class logits `[N, classes, H, W]` of prepared slices `[N, C, H, W]`.
    pub fn logits(&mut self, batch: &ArrayView4<'_, f32>) -> Result<Array4<f32>, SessionError> {
        let [rows, columns] = self.manifest.input.size;
        let expected = [batch.len_of(Axis(0)), self.manifest.labels.len(), rows, columns];
        let [logits] = self.network.run(batch.view().into_dyn())?;
        shaped(logits, &self.network.file.outputs[0], &expected.map(Some))
    }
}

/// A package of the layout `encoder+head`.
#[derive(Debug)]
pub struct EmbolismNetwork {
    manifest: Manifest,
    identity: ModelIdentity,
    encoder: Part,
    head: Part,
}

/// What the encoder gives for a batch of slices.
#[derive(Debug, Clone)]
pub struct Encoded {
    /// `[N, F]`.
    pub features: Array2<f32>,
    /// Evidence logits, `[N, h, w]`.
    pub evidence: Array3<f32>,
}

/// What the head gives for an exam of D slices.
#[derive(Debug, Clone)]
pub struct ExamLogits {
    /// `[D]`.
    pub slices: Array1<f32>,
    /// Of the exam, `[T]`: the targets in the order of the manifest.
    pub exam: Array1<f32>,
    /// `[D]`: shares of the exam's attention.
    pub attention: Array1<f32>,
}

impl EmbolismNetwork {
    /// Loads and checks a package.
    pub fn load(package: &Package, runtime: &Runtime) -> Result<Self, ModelsError> {
        let manifest = package.manifest().clone();
        let loader = Loader::new(package, runtime)?;
        let encoder = loader.part(Role::Encoder, 4, &[2, 4])?;
        let head = loader.part(Role::Head, 2, &[1, 1, 1])?;
        let mut loaded = Self { identity: loader.contents.identity.clone(), encoder, head, manifest };
        loaded.trial().map_err(|(file, problem)| loader.unfit(&file, problem))?;
        Ok(loaded)
    }

    /// What the package says of itself.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Features and evidence of prepared slices `[N, C, H, W]`.
    pub fn encode(&mut self, batch: &ArrayView4<'_, f32>) -> Result<Encoded, SessionError> {
        let slices = batch.len_of(Axis(0));
        let [features, evidence] = self.encoder.run(batch.view().into_dyn())?;
        let names = &self.encoder.file.outputs;
        let features = shaped(features, &names[0], &[Some(slices), None])?;
        let evidence: Array4<f32> = shaped(evidence, &names[1], &[Some(slices), Some(1), None, None])?;
        Ok(Encoded { features, evidence: evidence.remove_axis(Axis(1)) })
    }

    /// Logits and attention of an exam from the features `[D, F]` of its slices, lowest first.
    pub fn read(&mut self, features: &ArrayView2<'_, f32>) -> Result<ExamLogits, SessionError> {
        let slices = features.len_of(Axis(0));
        let [logits, exam, attention] = self.head.run(features.view().into_dyn())?;
        let names = &self.head.file.outputs;
        let targets = self.manifest.targets().len();
        Ok(ExamLogits {
            slices: shaped(logits, &names[0], &[Some(slices)])?,
            exam: shaped(exam, &names[1], &[Some(targets)])?,
            attention: shaped(attention, &names[2], &[Some(slices)])?,
        })
    }

    /// One pass over blank slices: the file at fault and its problem.
    fn trial(&mut self) -> Result<(), (String, String)> {
        let files = [self.encoder.file.path.clone(), self.head.file.path.clone()];
        let failed = |file: usize, problem: String| (files[file].clone(), problem);
        let blank = blank(&self.manifest);
        let encoded = self.encode(&blank.view()).map_err(|error| failed(0, error.to_string()))?;
        check_cells(&self.manifest, encoded.evidence.dim()).map_err(|problem| failed(0, problem))?;
        self.read(&encoded.features.view()).map_err(|error| failed(1, error.to_string()))?;
        Ok(())
    }
}

/// One file of a package, running.
#[derive(Debug)]
struct Part {
    file: File,
    network: Network,
}

impl Part {
    fn run<const OUTPUTS: usize>(
        &mut self,
        input: ndarray::ArrayViewD<'_, f32>,
    ) -> Result<[ArrayD<f32>; OUTPUTS], SessionError> {
        let outputs = self.network.run((&self.file.inputs[0], input), &self.file.outputs)?;
        for (name, values) in self.file.outputs.iter().zip(&outputs) {
            if !values.iter().all(|value| value.is_finite()) {
                return Err(SessionError::Run(format!("output `{name}` holds a value that is not a finite number")));
            }
        }
        let count = outputs.len();
        outputs.try_into().map_err(|_| SessionError::Run(format!("{count} outputs, {OUTPUTS} were expected")))
    }
}

/// Loads the files of one package and says which of them is at fault.
struct Loader<'a> {
    package: &'a Package,
    runtime: &'a Runtime,
    contents: Contents,
}

impl<'a> Loader<'a> {
    fn new(package: &'a Package, runtime: &'a Runtime) -> Result<Self, ModelsError> {
        Ok(Self { package, runtime, contents: package.contents()? })
    }

    fn unfit(&self, file: &str, problem: String) -> ModelsError {
        let ModelIdentity { name, version, .. } = &self.contents.identity;
        ModelsError::Unfit { package: format!("{name}/{version}"), file: file.to_owned(), problem }
    }

    /// The network of a role whose input and outputs have the given ranks.
    fn part(&self, role: Role, input: usize, outputs: &[usize]) -> Result<Part, ModelsError> {
        let manifest = self.package.manifest();
        if manifest.members() > 1 || matches!(manifest.layout, Layout::Patches | Layout::Exam) {
            return Err(self.unfit("model.toml", "ensembles, patches and exam networks cannot be run".to_owned()));
        }
        let file = manifest.file(role, 0).map_err(|error| self.unfit("model.toml", error.to_string()))?.clone();
        let problem = |problem: String| self.unfit(&file.path, problem);
        let network = self.runtime.load(self.contents.bytes(role, 0)).map_err(|error| problem(error.to_string()))?;
        if network.input_count() != 1 {
            return Err(problem(format!("{} inputs, 1 was expected", network.input_count())));
        }
        let inputs = file.inputs.iter().map(|name| (Side::Input, name, input));
        let outputs = file.outputs.iter().zip(outputs).map(|(name, rank)| (Side::Output, name, *rank));
        for (side, name, rank) in inputs.chain(outputs) {
            let declared = network.declaration(side, name).map_err(|error| problem(error.to_string()))?;
            check_declaration(manifest, role, (side, name, rank), &declared).map_err(problem)?;
        }
        Ok(Part { file, network })
    }
}

/// Compares what a file declares of a tensor with the rank of the layout and, for images, with the preparation.
fn check_declaration(
    manifest: &Manifest,
    role: Role,
    (side, name, rank): (Side, &str, usize),
    declared: &TensorDeclaration,
) -> Result<(), String> {
    let side = side.name();
    if !declared.float {
        return Err(format!("{side} `{name}` does not hold 32-bit floating point numbers"));
    }
    if declared.shape.len() != rank {
        return Err(format!("{side} `{name}` has {} axes, {rank} were expected", declared.shape.len()));
    }
    let of_the_whole_exam =
        role == Role::Head && side == "output" && declared.shape == [Some(manifest.targets().len())];
    if declared.shape[0].is_some() && !of_the_whole_exam {
        return Err(format!("{side} `{name}` has a fixed number of slices, a dynamic axis was expected"));
    }
    if side == "input" && role != Role::Head {
        let [rows, columns] = manifest.input.size;
        let expected = [manifest.input.channels(), rows, columns];
        let fits =
            declared.shape[1..].iter().zip(expected).all(|(size, wanted)| size.is_none_or(|size| size == wanted));
        if !fits {
            let sizes = declared.shape[1..].iter().map(|size| size.map_or("?".to_owned(), |size| size.to_string()));
            let sizes = sizes.collect::<Vec<_>>().join(" x ");
            let wanted = expected.map(|size| size.to_string()).join(" x ");
            return Err(format!("{side} `{name}` takes images of {sizes}, the manifest prepares {wanted}"));
        }
    }
    Ok(())
}

/// Blank slices, more than one.
fn blank(manifest: &Manifest) -> Array4<f32> {
    let [rows, columns] = manifest.input.size;
    Array4::zeros((2, manifest.input.channels(), rows, columns))
}

/// Evidence cells must tile the slice and be small enough for an embolus.
fn check_cells(manifest: &Manifest, (_, height, width): (usize, usize, usize)) -> Result<(), String> {
    let [rows, columns] = manifest.input.size;
    if height == 0 || width == 0 || rows % height != 0 || columns % width != 0 {
        return Err(format!("evidence of {height} x {width} cells does not divide {rows} x {columns} pixels"));
    }
    let cell = manifest.input.spacing_mm * (rows / height).max(columns / width) as f64;
    if cell > WIDEST_CELL_MM + 1e-6 {
        return Err(format!("cells of the evidence are {cell} mm wide, at most {WIDEST_CELL_MM} mm was expected"));
    }
    Ok(())
}

/// The array with as many axes as `expected` has, where `None` stands for any size.
fn shaped<const RANK: usize, D>(
    values: ArrayD<f32>,
    name: &str,
    expected: &[Option<usize>; RANK],
) -> Result<Array<f32, D>, SessionError>
where
    D: Dimension,
    [usize; RANK]: IntoDimension<Dim = D>,
{
    let shape = values.shape().to_vec();
    let fits = shape.len() == RANK
        && shape.iter().zip(expected).all(|(size, wanted)| wanted.is_none_or(|wanted| wanted == *size));
    let wrong = || SessionError::Run(format!("output `{name}` has the shape {shape:?}, {expected:?} was expected"));
    if !fits {
        return Err(wrong());
    }
    values.into_dimensionality::<D>().map_err(|_| wrong())
}
