//! Loading the files of a package and checking their tensors.

use ndarray::{ArrayD, ArrayViewD};

use super::error::{Fault, Misfit, ModelsError, TensorMisfit};
use super::shape::Shape;
use crate::engine::models::identity::ModelIdentity;
use crate::engine::models::manifest::{File, Manifest, Role};
use crate::engine::models::package::{Contents, MANIFEST, Package};
use crate::engine::models::session::{Network, Runtime, SessionError, Side, TensorDeclaration};
use crate::engine::models::validation::ManifestError;

/// One file of a package, running.
#[derive(Debug)]
pub(super) struct Part {
    file: File,
    network: Network,
}

impl Part {
    /// Name of the file.
    pub(super) fn path(&self) -> &str {
        &self.file.path
    }

    /// Name of an output, in the order of the layout.
    pub(super) fn output(&self, index: usize) -> &str {
        &self.file.outputs[index]
    }

    /// What is wrong with the file, by its name.
    pub(super) fn fault(&self, problem: impl Into<Misfit>) -> Fault {
        Fault { file: self.path().to_owned(), problem: problem.into() }
    }

    /// The error of a run with the name of the file.
    pub(super) fn at_fault(&self, error: SessionError) -> SessionError {
        match error {
            SessionError::Run(problem) => SessionError::Run(format!("{}: {problem}", self.path())),
            other => other,
        }
    }

    /// The sizes of the input's axes as the file declares them; `None` where they are dynamic.
    pub(super) fn declared_input(&self) -> Result<Vec<Option<usize>>, SessionError> {
        Ok(self.network.declaration(Side::Input, &self.file.inputs[0])?.shape)
    }

    /// Runs the network; outputs that are not finite are an error.
    pub(super) fn run<const OUTPUTS: usize>(
        &mut self,
        input: ArrayViewD<'_, f32>,
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

/// What an axis of an input must be declared as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Extent {
    /// Dynamic: the number of slices.
    Dynamic,
    /// A size, or dynamic.
    Size(usize),
    /// Whatever it is.
    Any,
}

/// Names of the tensors of an ONNX file, in its order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorNames {
    /// What it takes.
    pub inputs: Vec<String>,
    /// What it gives.
    pub outputs: Vec<String>,
}

/// Loads the bytes of an ONNX file for the names of its tensors.
///
/// # Errors
/// ONNX Runtime cannot load it, or weights lie outside it.
pub fn tensor_names(onnx: &[u8], runtime: &Runtime) -> Result<TensorNames, SessionError> {
    let network = runtime.load(onnx)?;
    Ok(TensorNames { inputs: network.names(Side::Input), outputs: network.names(Side::Output) })
}

/// Loads the files of one package and says which of them is at fault.
pub(super) struct Loader<'a> {
    package: &'a Package,
    runtime: &'a Runtime,
    contents: Contents,
}

impl<'a> Loader<'a> {
    pub(super) fn new(package: &'a Package, runtime: &'a Runtime) -> Result<Self, ModelsError> {
        Ok(Self { package, runtime, contents: package.contents()? })
    }

    pub(super) fn manifest(&self) -> &'a Manifest {
        self.package.manifest()
    }

    pub(super) fn identity(&self) -> ModelIdentity {
        self.contents.identity.clone()
    }

    pub(super) fn unfit(&self, Fault { file, problem }: Fault) -> ModelsError {
        let package = self.contents.identity.package.clone();
        ModelsError::Unfit { package, file, problem: Box::new(problem) }
    }

    /// The manifest is at fault.
    pub(super) fn unfit_manifest(&self, problem: ManifestError) -> ModelsError {
        self.unfit(Fault { file: MANIFEST.to_owned(), problem: problem.into() })
    }

    /// One network per member, made of the files that `load` asks for.
    pub(super) fn members<T>(&self, load: impl Fn(usize) -> Result<T, ModelsError>) -> Result<Vec<T>, ModelsError> {
        (0..self.manifest().members()).map(load).collect()
    }

    /// The network of a role of a member. Its input must be declared as the layout expects.
    pub(super) fn part(&self, role: Role, member: usize, input: &[Extent]) -> Result<Part, ModelsError> {
        let file = self.manifest().file(role, member).map_err(|error| self.unfit_manifest(error))?.clone();
        let problem = |problem: Misfit| self.unfit(Fault { file: file.path.clone(), problem });
        let network = self.runtime.load(self.contents.bytes(role, member)).map_err(|error| problem(error.into()))?;
        if network.input_count() != 1 {
            return Err(problem(Misfit::Inputs(network.input_count())));
        }
        let inputs = file.inputs.iter().map(|name| (Side::Input, name));
        for (side, name) in inputs.chain(file.outputs.iter().map(|name| (Side::Output, name))) {
            let declared = network.declaration(side, name).map_err(|error| problem(error.into()))?;
            let fits = check_declaration(&declared, if side == Side::Input { Some(input) } else { None });
            fits.map_err(|misfit| problem(Misfit::Tensor { side, name: name.clone(), problem: misfit }))?;
        }
        Ok(Part { file, network })
    }
}

/// Compares a tensor's declaration with the axes that the layout expects; `None` where only the trial run checks them.
fn check_declaration(declared: &TensorDeclaration, expected: Option<&[Extent]>) -> Result<(), TensorMisfit> {
    if !declared.float {
        return Err(TensorMisfit::Elements);
    }
    let Some(expected) = expected else { return Ok(()) };
    if declared.shape.len() != expected.len() {
        return Err(TensorMisfit::Axes { found: declared.shape.len(), expected: expected.len() });
    }
    let axes = || declared.shape.iter().zip(expected);
    if axes().any(|(size, extent)| *extent == Extent::Dynamic && size.is_some()) {
        return Err(TensorMisfit::FixedSlices);
    }
    let fits = |(size, extent): (&Option<usize>, &Extent)| match (size, extent) {
        (Some(size), Extent::Size(wanted)) => size == wanted,
        _ => true,
    };
    if axes().all(fits) {
        return Ok(());
    }
    let wanted = expected.iter().map(|extent| if let Extent::Size(size) = extent { Some(*size) } else { None });
    Err(TensorMisfit::Sizes { found: Shape(declared.shape.clone()), expected: Shape(wanted.collect()) })
}
