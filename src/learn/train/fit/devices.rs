//! The devices of a fit.

use burn::tensor::Device;

use crate::learn::train::TrainError;
use crate::learn::train::configuration::{Fit, FitDevice, GpuInterface};

/// The devices that train together, each on its own exams: data parallelism. The first keeps the weights and the
/// optimiser, and validates.
#[derive(Debug, Clone)]
pub(crate) struct Devices {
    main: Device,
    others: Vec<Device>,
}

impl Devices {
    /// The devices that the configuration asks for.
    ///
    /// # Errors
    /// A device that is not there, or that the program was built without.
    pub(crate) fn new(settings: &Fit) -> Result<Self, TrainError> {
        let mut devices = match settings.devices.as_slice() {
            [] => vec![named(settings.device)?],
            numbers => {
                let interface = interface(settings.device);
                numbers.iter().map(|number| gpu(interface, *number, "devices")).collect::<Result<_, _>>()?
            }
        };
        let others = devices.split_off(1);
        Ok(Self { main: devices.remove(0), others })
    }

    /// One device several times, to test what several do.
    #[cfg(test)]
    pub(crate) fn repeated(device: &Device, count: usize) -> Self {
        Self { main: device.clone(), others: vec![device.clone(); count - 1] }
    }

    /// The first, without gradients.
    pub(crate) fn main(&self) -> &Device {
        &self.main
    }

    /// The first, with gradients.
    pub(super) fn training(&self) -> Device {
        self.main.clone().autodiff()
    }

    /// All but the first, with gradients.
    pub(super) fn others(&self) -> impl Iterator<Item = Device> {
        self.others.iter().map(|device| device.clone().autodiff())
    }

    pub(super) fn count(&self) -> usize {
        1 + self.others.len()
    }

    /// Seeds all of them, and the CPU, where initial weights are drawn.
    pub(super) fn seed(&self, seed: u64) {
        Device::flex().seed(seed);
        for device in std::iter::once(&self.main).chain(&self.others) {
            device.seed(seed);
        }
    }
}

fn named(device: FitDevice) -> Result<Device, TrainError> {
    match device {
        FitDevice::Auto => {
            let found = [GpuInterface::Cuda, GpuInterface::Vulkan]
                .into_iter()
                .find_map(|interface| Some((interface, gpus(interface).into_iter().find(|gpu| !is_software(gpu))?)));
            let interface = found.as_ref().map_or("cpu", |(interface, _)| (*interface).into());
            tracing::info!(device = interface, "training on the device that was found");
            Ok(found.map_or_else(Device::flex, |(_, gpu)| gpu))
        }
        FitDevice::Cpu => Ok(Device::flex()),
        FitDevice::Gpu(interface, number) => gpu(interface, number, "device"),
    }
}

/// The interface of the numbers in `fit.devices`.
fn interface(device: FitDevice) -> GpuInterface {
    match device {
        FitDevice::Gpu(interface, _) => interface,
        _ if cfg!(feature = "vulkan") && !cfg!(feature = "cuda") => GpuInterface::Vulkan,
        _ => GpuInterface::Cuda,
    }
}

fn gpu(interface: GpuInterface, number: usize, key: &str) -> Result<Device, TrainError> {
    let found = gpus(interface);
    let count = found.len();
    found.into_iter().nth(number).ok_or_else(|| {
        let built = match interface {
            GpuInterface::Cuda => cfg!(feature = "cuda"),
            GpuInterface::Vulkan => cfg!(feature = "vulkan"),
        };
        let why = if built {
            format!("{count} devices were found")
        } else {
            format!("this program was built without the feature `{interface}`")
        };
        TrainError::Exams(format!("fit.{key}: there is no {interface}:{number}; {why}"))
    })
}

/// The devices of an interface, software that stands in for a GPU included.
fn gpus(interface: GpuInterface) -> Vec<Device> {
    match interface {
        #[cfg(feature = "cuda")]
        GpuInterface::Cuda => Device::enumerate(burn::tensor::DeviceType::Cuda).to_vec(),
        #[cfg(feature = "vulkan")]
        GpuInterface::Vulkan => Device::enumerate(burn::tensor::DeviceType::Vulkan).to_vec(),
        #[cfg(not(all(feature = "cuda", feature = "vulkan")))]
        _ => Vec::new(),
    }
}

/// Whether a device is software, which is slower than the CPU's own implementation.
#[cfg(feature = "vulkan")]
fn is_software(device: &Device) -> bool {
    *device == Device::vulkan(burn::tensor::DeviceKind::Cpu)
}

#[cfg(not(feature = "vulkan"))]
fn is_software(_device: &Device) -> bool {
    false
}

#[cfg(all(test, not(any(feature = "cuda", feature = "vulkan"))))]
mod tests {
    use super::*;
    use crate::learn::train::configuration::TrainConfiguration;

    #[test]
    fn unavailable_devices_are_refused() {
        let refused = |setting: &str| {
            let settings = TrainConfiguration::load(None, &[setting.to_owned()]).expect("valid").fit;
            Devices::new(&settings).expect_err("no GPU here").to_string()
        };
        for (setting, device) in [
            ("fit.devices=[0, 1]", "fit.devices: there is no cuda:0"),
            ("fit.device=cuda:0", "fit.device: there is no cuda:0"),
            ("fit.device=vulkan:1", "fit.device: there is no vulkan:1"),
        ] {
            let problem = refused(setting);
            assert!(problem.contains(device) && problem.contains("without the feature"), "{problem}");
        }
        let automatic = TrainConfiguration::load(None, &[]).expect("defaults").fit;
        assert_eq!(Devices::new(&automatic).expect("a device").main, Device::flex());
    }
}
