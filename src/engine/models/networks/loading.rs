//! Loading the files of a package and checking their tensors.

use ndarray::{Array, ArrayD, ArrayViewD, Dimension, IntoDimension};

use super::error::ModelsError;
use crate::engine::models::identity::ModelIdentity;
use crate::engine::models::manifest::{File, Manifest, Role};
use crate::engine::models::package::{Contents, Package};
use crate::engine::models::session::{Network, Runtime, SessionError, Side, TensorDeclaration};

/// Widest cell of an evidence map in millimetres: emboli of segmental arteries are about as large.
pub const WIDEST_CELL_MM: f64 = 5.0;
/// Slices that enter a network at once: enough to fill the cores, few enough to bound memory.
pub const BATCH: usize = 8;
/// Numbers of slices of the trial runs where a network takes any: one, as the last batch of an exam may hold, and more.
/// A number that is baked into a network differs from some of them.
pub(super) const TRIALS: [usize; 3] = [1, 2, 3];

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

    pub(super) fn unfit(&self, file: &str, problem: String) -> ModelsError {
        ModelsError::Unfit { package: self.contents.identity.package.clone(), file: file.to_owned(), problem }
    }

    /// One network a member, made of the files that `load` asks for.
    pub(super) fn members<T>(&self, load: impl Fn(usize) -> Result<T, ModelsError>) -> Result<Vec<T>, ModelsError> {
        (0..self.manifest().members()).map(load).collect()
    }

    /// The network of a role of a member, whose input is declared as the layout has it.
    pub(super) fn part(&self, role: Role, member: usize, input: &[Extent]) -> Result<Part, ModelsError> {
        let file = self.manifest().file(role, member);
        let file = file.map_err(|error| self.unfit("model.toml", error.to_string()))?.clone();
        let problem = |problem: String| self.unfit(&file.path, problem);
        let network =
            self.runtime.load(self.contents.bytes(role, member)).map_err(|error| problem(error.to_string()))?;
        if network.input_count() != 1 {
            return Err(problem(format!("{} inputs, 1 was expected", network.input_count())));
        }
        let inputs = file.inputs.iter().map(|name| (Side::Input, name));
        for (side, name) in inputs.chain(file.outputs.iter().map(|name| (Side::Output, name))) {
            let declared = network.declaration(side, name).map_err(|error| problem(error.to_string()))?;
            let fits = check_declaration(&declared, if side == Side::Input { Some(input) } else { None });
            fits.map_err(|what| problem(format!("{} `{name}` {what}", side.name())))?;
        }
        Ok(Part { file, network })
    }
}

/// Compares what a file declares of a tensor with what the layout expects of its axes, where it expects something
/// before the trial run.
fn check_declaration(declared: &TensorDeclaration, expected: Option<&[Extent]>) -> Result<(), String> {
    if !declared.float {
        return Err("does not hold 32-bit floating point numbers".to_owned());
    }
    let Some(expected) = expected else { return Ok(()) };
    if declared.shape.len() != expected.len() {
        return Err(format!("has {} axes, {} were expected", declared.shape.len(), expected.len()));
    }
    let axes = || declared.shape.iter().zip(expected);
    if axes().any(|(size, extent)| *extent == Extent::Dynamic && size.is_some()) {
        return Err("has a fixed number of slices, a dynamic axis was expected".to_owned());
    }
    let fits = |(size, extent): (&Option<usize>, &Extent)| match (size, extent) {
        (Some(size), Extent::Size(wanted)) => size == wanted,
        _ => true,
    };
    if axes().all(fits) {
        return Ok(());
    }
    let wanted = expected.iter().map(|extent| if let Extent::Size(size) = extent { Some(*size) } else { None });
    Err(format!("takes {}, the manifest prepares {}", shape_text(declared.shape.iter().copied()), shape_text(wanted)))
}

/// A shape in words: `? x 3 x 128 x 128`.
fn shape_text(sizes: impl Iterator<Item = Option<usize>>) -> String {
    sizes.map(|size| size.map_or("?".to_owned(), |size| size.to_string())).collect::<Vec<_>>().join(" x ")
}

/// The array with as many axes as `expected` has, where `None` stands for any size.
pub(super) fn shaped<const RANK: usize, D>(
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
    let wrong = || {
        let (found, wanted) = (shape_text(shape.iter().copied().map(Some)), shape_text(expected.iter().copied()));
        SessionError::Run(format!("output `{name}` has the shape {found}, {wanted} was expected"))
    };
    if !fits {
        return Err(wrong());
    }
    values.into_dimensionality::<D>().map_err(|_| wrong())
}
