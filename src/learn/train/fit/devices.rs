//! The devices of a fit.

use burn::tensor::Device;

use crate::learn::train::TrainError;
use crate::learn::train::configuration::{Fit, FitDevice};

/// The devices that train together, each on its own exams: data parallelism. The first keeps the weights and the
/// optimiser, and validates.
#[derive(Debug, Clone)]
pub(crate) struct Devices {
    main: Device,
    others: Vec<Device>,
}

impl Devices {
    /// The devices that the configuration asks for.
    pub(crate) fn new(settings: &Fit) -> Result<Self, TrainError> {
        match settings.devices.as_slice() {
            [] => Ok(Self { main: named(settings.device)?, others: Vec::new() }),
            numbers => {
                let found: Option<Vec<Device>> = numbers.iter().map(|number| cuda(*number)).collect();
                let mut devices = found.unwrap_or_default().into_iter();
                let main = devices.next().ok_or_else(|| missing("devices", &format!("{numbers:?}")))?;
                Ok(Self { main, others: devices.collect() })
            }
        }
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

    pub(super) fn seed(&self, seed: u64) {
        for device in std::iter::once(&self.main).chain(&self.others) {
            device.seed(seed);
        }
    }
}

fn named(device: FitDevice) -> Result<Device, TrainError> {
    match device {
        FitDevice::Auto => Ok(Device::default()),
        FitDevice::Cpu => Ok(Device::flex()),
        FitDevice::Cuda(number) => cuda(number).ok_or_else(|| missing("device", &format!("\"{device}\""))),
    }
}

#[cfg(feature = "cuda")]
fn cuda(number: usize) -> Option<Device> {
    Device::enumerate(burn::tensor::DeviceType::Cuda).get(number).cloned()
}

#[cfg(not(feature = "cuda"))]
fn cuda(_number: usize) -> Option<Device> {
    None
}

fn missing(key: &str, value: &str) -> TrainError {
    let built = if cfg!(feature = "cuda") { "" } else { "; this program was built without the feature `cuda`" };
    let expected =
        if key == "device" { "\"auto\", \"cpu\" or \"cuda:N\"" } else { "numbers of CUDA devices that exist" };
    TrainError::Exams(format!("fit.{key} = {value}: {expected} was expected{built}"))
}

#[cfg(all(test, not(feature = "cuda")))]
mod tests {
    use super::*;
    use crate::learn::train::configuration::TrainConfiguration;

    #[test]
    fn unavailable_devices_are_refused() {
        for (setting, named) in [("fit.devices=[0, 1]", "fit.devices = [0, 1]"), ("fit.device=cuda:0", "\"cuda:0\"")] {
            let settings = TrainConfiguration::load(None, &[setting.to_owned()]).expect("valid").fit;
            let problem = Devices::new(&settings).expect_err("no CUDA here").to_string();
            assert!(problem.contains(named) && problem.contains("without the feature `cuda`"), "{problem}");
        }
    }
}
