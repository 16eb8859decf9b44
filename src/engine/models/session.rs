//! Running networks with ONNX Runtime: the only file that names `ort`.
//!
//! The shared library is loaded at run time (`library`) and one environment serves the whole process, with telemetry
//! off. Execution providers are registered so that a failure is an error: networks run on the provider that
//! [`Runtime::provider`] names. A `Network` is owned by one thread; its intermediate tensors are freed after every run,
//! so that memory is bounded by one batch.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use ndarray::{ArrayD, ArrayViewD};
use ort::environment::Environment;
use ort::ep::cuda::{CUDA_DYLIBS, CUDNN_DYLIBS};
use ort::ep::{ArenaExtendStrategy, CPU, CUDA, ExecutionProviderDispatch};
use ort::logging::LogLevel;
use ort::session::Session;
use ort::session::builder::SessionBuilder;
use ort::value::{Outlet, TensorElementType, TensorRef};
use serde::{Deserialize, Serialize};

use super::library;
use crate::config::{DeviceConfig, OnnxRuntimeConfig};

/// Why a network cannot be run.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// There is no shared library.
    #[error(
        "the ONNX Runtime library was not found (searched {searched}); run deploy/fetch-onnxruntime.sh, or set \
         onnxruntime.library"
    )]
    LibraryMissing {
        /// The places, separated by commas.
        searched: String,
    },
    /// The shared library does not load.
    #[error("loading the ONNX Runtime library: {0}; run deploy/fetch-onnxruntime.sh for one that fits")]
    LibraryUnfit(String),
    /// Another library is in use in this process.
    #[error("the ONNX Runtime library {wanted} was asked for after {loaded} was loaded; one process uses one", wanted = wanted.display(), loaded = loaded.display())]
    LibraryChanged {
        /// What was asked for.
        wanted: PathBuf,
        /// What is loaded.
        loaded: PathBuf,
    },
    /// ONNX Runtime does not start.
    #[error("starting ONNX Runtime: {0}")]
    Environment(String),
    /// The device that was asked for is not available.
    #[error(
        "onnxruntime.device = \"cuda:{number}\" is not available: {reason}; fetch the libraries with \
         deploy/fetch-onnxruntime.sh cuda, or set the device to \"auto\" or \"cpu\""
    )]
    Device {
        /// Number of the device.
        number: u32,
        /// Why not.
        reason: DeviceError,
    },
    /// A file is not a network that ONNX Runtime can run.
    #[error("loading the network: {0}")]
    Load(String),
    /// The network failed on an input.
    #[error("running the network: {0}")]
    Run(String),
    /// The network has no such tensor.
    #[error("the network has no {side} `{name}`; it has {present}")]
    TensorMissing {
        /// Where it was looked for.
        side: Side,
        /// The name asked for.
        name: String,
        /// The names there are.
        present: String,
    },
}

/// Why a CUDA device cannot be used.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum DeviceError {
    /// The library is built for CPUs only.
    #[error("this ONNX Runtime has no CUDA provider ({CUDA_PROVIDER})")]
    NoProvider,
    /// There is no driver.
    #[error("there is no NVIDIA driver ({0})")]
    NoDriver(String),
    /// A library beside ONNX Runtime does not load.
    #[error("a CUDA library does not load: {0}")]
    Library(String),
    /// ONNX Runtime refused the device.
    #[error("{0}")]
    Refused(String),
    /// It computes wrong values.
    #[error("the device computed 3 + 3 = {0:?}")]
    Wrong(Vec<f32>),
}

/// What ran the networks: the execution provider and its device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Provider(pub String);

/// A loaded ONNX Runtime on a device that was tested.
#[derive(Debug, Clone)]
pub struct Runtime {
    environment: Environment,
    /// Where the shared library lies, and its providers beside it.
    folder: PathBuf,
    device: Device,
    threads: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Device {
    Cpu,
    Cuda(u32),
}

/// A network, its input and its outputs by name.
#[derive(Debug)]
pub(super) struct Network {
    session: Session,
}

/// A tensor of a network as its file declares it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TensorDeclaration {
    /// Sizes of its axes; `None` where the size is dynamic.
    pub(super) shape: Vec<Option<usize>>,
    /// True if its elements are 32-bit floating point numbers.
    pub(super) float: bool,
}

/// Which tensors of a network are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::Display)]
#[strum(serialize_all = "lowercase")]
pub enum Side {
    /// What it takes.
    Input,
    /// What it gives.
    Output,
}

/// ONNX Runtime allows one environment per process; it lives as long as the process does.
static ENVIRONMENT: Mutex<Option<(PathBuf, Environment)>> = Mutex::new(None);

/// y = x + x over one number, as ONNX bytes; it tells whether a device really computes.
/// `fixtures/README.md` has the recipe.
const PROBE: &[u8] = include_bytes!("probe.onnx");

/// ONNX Runtime's CUDA provider, and the driver that it needs.
const CUDA_PROVIDER: &str = "libonnxruntime_providers_cuda.so";
const CUDA_DRIVER: &str = "libcuda.so.1";

/// Where ONNX Runtime looks for weights outside a network's file, instead of in the working directory. Nothing can
/// exist there. Such weights are refused because the package's digest would not cover them. Errors of loading name the
/// folder.
const WEIGHTS_OUTSIDE: &str = "/dev/null/weights-outside-the-file-are-refused";

impl Runtime {
    /// Loads the library and tests the device.
    ///
    /// # Errors
    /// No library, one that does not load, or `cuda:N` that is not available. `auto` falls back to the CPU and says so
    /// in the log.
    pub fn start(config: &OnnxRuntimeConfig) -> Result<Self, SessionError> {
        let (environment, folder) = environment(config)?;
        let threads = match config.threads {
            0 => std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            threads => threads,
        };
        let mut runtime = Self { environment, folder, device: Device::Cpu, threads };
        match config.device {
            DeviceConfig::Cpu => {}
            DeviceConfig::Cuda(number) => {
                runtime.try_cuda(number).map_err(|reason| SessionError::Device { number, reason })?;
                runtime.device = Device::Cuda(number);
            }
            DeviceConfig::Auto => match runtime.try_cuda(0) {
                Ok(()) => runtime.device = Device::Cuda(0),
                Err(reason) => tracing::info!(%reason, "no CUDA device; networks run on the CPU"),
            },
        }
        tracing::info!(provider = runtime.provider().0, "ONNX Runtime is ready");
        Ok(runtime)
    }

    /// The execution provider that runs the networks: `CPUExecutionProvider` or `CUDAExecutionProvider (device 0)`.
    pub fn provider(&self) -> Provider {
        Provider(match self.device {
            Device::Cpu => "CPUExecutionProvider".to_owned(),
            Device::Cuda(number) => format!("CUDAExecutionProvider (device {number})"),
        })
    }

    /// True if networks run on the CPU.
    pub fn is_cpu(&self) -> bool {
        matches!(self.device, Device::Cpu)
    }

    /// Threads that a network runs on.
    pub fn threads(&self) -> usize {
        self.threads
    }

    /// Loads a network from the bytes of an ONNX file, which must hold all its weights.
    pub(super) fn load(&self, onnx: &[u8]) -> Result<Network, SessionError> {
        let session = self
            .builder(self.device)
            .and_then(|mut builder| builder.commit_from_memory(onnx))
            .map_err(|error| SessionError::Load(one_line(&error)))?;
        Ok(Network { session })
    }

    fn builder(&self, device: Device) -> ort::Result<SessionBuilder> {
        Ok(Session::builder(&self.environment)?
            .with_execution_providers(providers(device))?
            .with_log_level(LogLevel::Warning)?
            .with_intra_threads(self.threads)?
            .with_inter_threads(1)?
            // Between batches the cores belong to the preparation of the next one.
            .with_intra_op_spinning(false)?
            // A memory pattern would keep an allocation for the largest batch between runs.
            .with_memory_pattern(false)?
            .with_config_entry("session.model_external_initializers_file_folder_path", WEIGHTS_OUTSIDE)?)
    }

    /// Computes on the device, with falling back to the CPU forbidden.
    fn try_cuda(&self, number: u32) -> Result<(), DeviceError> {
        preload_cuda(&self.folder)?;
        let compute = || -> ort::Result<Vec<f32>> {
            let mut session =
                self.builder(Device::Cuda(number))?.with_disable_cpu_fallback()?.commit_from_memory(PROBE)?;
            let outputs = session.run(ort::inputs![TensorRef::from_array_view(([1_usize], &[3.0_f32][..]))?])?;
            Ok(outputs[0].try_extract_tensor::<f32>()?.1.to_vec())
        };
        match compute() {
            Ok(values) if values == [6.0] => Ok(()),
            Ok(values) => Err(DeviceError::Wrong(values)),
            Err(error) => Err(DeviceError::Refused(one_line(&error))),
        }
    }
}

impl Network {
    /// The tensor of that name, as the file declares it.
    pub(super) fn declaration(&self, side: Side, name: &str) -> Result<TensorDeclaration, SessionError> {
        let outlet = self.outlets(side).iter().find(|outlet| outlet.name() == name).ok_or_else(|| {
            SessionError::TensorMissing {
                side,
                name: name.to_owned(),
                present: self.names(side).iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", "),
            }
        })?;
        Ok(declaration(outlet))
    }

    /// Names of its tensors, in the order of the file.
    pub(super) fn names(&self, side: Side) -> Vec<String> {
        self.outlets(side).iter().map(|outlet| outlet.name().to_owned()).collect()
    }

    fn outlets(&self, side: Side) -> &[Outlet] {
        match side {
            Side::Input => self.session.inputs(),
            Side::Output => self.session.outputs(),
        }
    }

    /// Number of inputs that must be given.
    pub(super) fn input_count(&self) -> usize {
        self.session.inputs().len()
    }

    /// Runs the network on one input and gives the outputs of the given names, in that order.
    pub(super) fn run(
        &mut self,
        input: (&str, ArrayViewD<'_, f32>),
        outputs: &[String],
    ) -> Result<Vec<ArrayD<f32>>, SessionError> {
        let (name, values) = input;
        let values = values.as_standard_layout();
        let failed = |error: &ort::Error| SessionError::Run(one_line(error));
        let tensor = TensorRef::from_array_view(values.view()).map_err(|error| failed(&error))?;
        let results = self.session.run(ort::inputs![name => tensor]).map_err(|error| failed(&error))?;
        outputs
            .iter()
            .map(|name| {
                let value = results.get(name).ok_or_else(|| SessionError::Run(format!("no output `{name}`")))?;
                Ok(value.try_extract_array::<f32>().map_err(|error| failed(&error))?.to_owned())
            })
            .collect()
    }
}

fn environment(config: &OnnxRuntimeConfig) -> Result<(Environment, PathBuf), SessionError> {
    let variable = std::env::var("ORT_DYLIB_PATH").ok();
    let binary = std::env::current_exe().ok();
    let path = library::find(&config.library, variable.as_deref(), binary.as_deref()).map_err(|searched| {
        let searched = searched.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ");
        SessionError::LibraryMissing { searched }
    })?;
    let path = path.canonicalize().unwrap_or(path);
    let folder = path.parent().unwrap_or(Path::new(".")).to_owned();
    let mut current = ENVIRONMENT.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((loaded, environment)) = &*current {
        if *loaded != path {
            return Err(SessionError::LibraryChanged { wanted: path, loaded: loaded.clone() });
        }
        return Ok((environment.clone(), folder));
    }
    let environment = ort::init_from(&path)
        .map_err(|error| SessionError::LibraryUnfit(error.to_string()))?
        .with_name("pe-node")
        .with_telemetry(false)
        .build()
        .map_err(|error| SessionError::Environment(one_line(&error)))?;
    environment.set_log_level(LogLevel::Warning);
    *current = Some((path, environment.clone()));
    Ok((environment, folder))
}

/// Loads the driver and the CUDA libraries that lie beside ONNX Runtime, so that its provider finds them without a
/// search path. What is missing there may be installed in the system; the test of the device shows whether all are
/// there.
fn preload_cuda(folder: &Path) -> Result<(), DeviceError> {
    if !folder.join(CUDA_PROVIDER).is_file() {
        return Err(DeviceError::NoProvider);
    }
    ort::util::preload_dylib(CUDA_DRIVER).map_err(|error| DeviceError::NoDriver(error.to_string()))?;
    for name in ["libnvJitLink.so.13"].iter().chain(CUDA_DYLIBS).chain(CUDNN_DYLIBS) {
        let path = folder.join(name);
        if path.is_file() {
            ort::util::preload_dylib(&path).map_err(|error| DeviceError::Library(error.to_string()))?;
        }
    }
    Ok(())
}

fn providers(device: Device) -> Vec<ExecutionProviderDispatch> {
    // Without an arena, memory is freed after every run instead of being kept at the largest batch's size.
    let cpu = CPU::default().with_arena_allocator(false).build().error_on_failure();
    match device {
        Device::Cpu => vec![cpu],
        Device::Cuda(number) => {
            let cuda = CUDA::default()
                .with_device_id(i32::try_from(number).unwrap_or(i32::MAX))
                .with_arena_extend_strategy(ArenaExtendStrategy::SameAsRequested)
                .build()
                .error_on_failure();
            vec![cuda, cpu]
        }
    }
}

fn declaration(outlet: &Outlet) -> TensorDeclaration {
    let shape =
        outlet.dtype().tensor_shape().map(|shape| shape.iter().map(|size| usize::try_from(*size).ok()).collect());
    TensorDeclaration {
        shape: shape.unwrap_or_default(),
        float: outlet.dtype().tensor_type() == Some(TensorElementType::Float32),
    }
}

/// ONNX Runtime's messages span lines and may carry its source paths; the first line says what happened.
fn one_line<T>(error: &ort::Error<T>) -> String {
    error.message().lines().next().unwrap_or_default().trim().to_owned()
}
