//! What a manifest must hold before any of its files is touched.

use std::collections::BTreeSet;

use super::manifest::{Calibration, File, Kind, Layout, Manifest, OperatingPoint, Role};
use crate::engine::volume::preparation::Preparation;

/// Rows and columns of a prepared slice beyond which a network would not fit into memory.
const LARGEST_SLICE: usize = 2048;
/// Neighbours on each side beyond which a slice is a volume.
const MOST_NEIGHBOURS: usize = 16;
/// What the classes of a lung segmentation may be called; each stands once.
const LUNG_LABELS: [&str; 3] = ["background", "left-lung", "right-lung"];

/// Why a manifest is not one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// Not TOML, an unknown key, a missing key or a wrong type.
    #[error("model.toml cannot be read: {0}")]
    Syntax(String),
    /// A value that cannot be.
    #[error("model.toml: {key}: {problem}")]
    Value {
        /// The key.
        key: String,
        /// What it says and what was expected.
        problem: String,
    },
}

impl Manifest {
    /// Reads and validates the text of a `model.toml`.
    pub fn parse(text: &str) -> Result<Self, ManifestError> {
        let manifest: Self =
            toml::from_str(text).map_err(|error| ManifestError::Syntax(error.to_string().trim().replace('\n', " ")))?;
        manifest.validate()?;
        Ok(manifest)
    }

    /// The manifest as the text of a `model.toml`.
    pub fn to_toml(&self) -> String {
        toml::to_string_pretty(self).unwrap_or_else(|error| format!("# cannot be written: {error}"))
    }

    /// The file of a role. [`Self::parse`] saw to it that each role of the layout has one.
    pub(super) fn file(&self, role: Role) -> Result<&File, ManifestError> {
        let missing = || value("files", format!("no file has the role {role:?}"));
        self.files.iter().find(|file| file.role == role).ok_or_else(missing)
    }

    /// Index of the class of that name.
    pub(super) fn class(&self, name: &str) -> Option<usize> {
        self.labels.iter().find(|label| label.name == name).map(|label| label.index)
    }

    fn validate(&self) -> Result<(), ManifestError> {
        ensure(self.schema == 1, "schema", || format!("{}: this program knows 1", self.schema))?;
        ensure(is_token(&self.name), "name", || format!("`{}`: letters, digits, `.`, `_`, `-`", self.name))?;
        ensure(is_token(&self.version), "version", || format!("`{}`: letters, digits, `.`, `_`, `-`", self.version))?;
        preparation(&self.input)?;
        let roles: &[(Role, usize)] = match (self.kind, self.layout) {
            (Kind::LungSegmentation, Layout::Slices) => &[(Role::Network, 1)],
            (Kind::EmbolismClassifier, Layout::EncoderHead) => &[(Role::Encoder, 2), (Role::Head, 3)],
            (kind, layout) => return Err(value("layout", format!("{layout:?} does not go with {kind:?}"))),
        };
        files(&self.files, roles)?;
        match self.kind {
            Kind::LungSegmentation => self.lung_labels(),
            Kind::EmbolismClassifier => {
                let calibrated = self.calibration.as_ref();
                calibration(calibrated.ok_or_else(|| value("calibration", "a classifier must have one".to_owned()))?)?;
                let point = self.operating_point.as_ref();
                operating_point(point.ok_or_else(|| value("operating_point", "a classifier must have one".to_owned()))?)
            }
        }
    }

    fn lung_labels(&self) -> Result<(), ManifestError> {
        for name in LUNG_LABELS {
            let count = self.labels.iter().filter(|label| label.name == name).count();
            ensure(count == 1, "labels", || format!("`{name}` stands {count} times, once was expected"))?;
        }
        let indices: BTreeSet<usize> = self.labels.iter().map(|label| label.index).collect();
        let complete = indices.len() == self.labels.len() && indices.iter().copied().eq(0..self.labels.len());
        ensure(complete, "labels", || "indices from 0 without gap or repetition were expected".to_owned())
    }
}

/// True for a text that may name a folder or a file: nothing that a path could be made of.
pub(super) fn is_token(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 128
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
        && !text.starts_with('.')
}

fn preparation(input: &Preparation) -> Result<(), ManifestError> {
    let [low, high] = input.window;
    ensure(low.is_finite() && high.is_finite() && low < high, "input.window", || {
        format!("[{low}, {high}]: an ascending pair was expected")
    })?;
    ensure(input.size.iter().all(|size| (8..=LARGEST_SLICE).contains(size)), "input.size", || {
        format!("{:?}: from 8 to {LARGEST_SLICE} was expected", input.size)
    })?;
    for (key, distance) in [("input.spacing_mm", input.spacing_mm), ("input.slice_step_mm", input.slice_step_mm)] {
        ensure((0.1..=50.0).contains(&distance), key, || format!("{distance}: from 0.1 to 50 mm was expected"))?;
    }
    ensure(input.neighbours <= MOST_NEIGHBOURS, "input.neighbours", || {
        format!("{}: at most {MOST_NEIGHBOURS} was expected", input.neighbours)
    })
}

fn files(files: &[File], roles: &[(Role, usize)]) -> Result<(), ManifestError> {
    ensure(files.len() == roles.len(), "files", || format!("{} files, {} were expected", files.len(), roles.len()))?;
    for (role, outputs) in roles {
        let file = files.iter().find(|file| file.role == *role);
        let file = file.ok_or_else(|| value("files", format!("no file has the role {role:?}")))?;
        ensure(is_token(&file.path), "files.path", || {
            format!("`{}`: a plain file name in the package's folder was expected", file.path.escape_default())
        })?;
        let hexadecimal = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        ensure(file.sha256.len() == 64 && file.sha256.bytes().all(hexadecimal), "files.sha256", || {
            format!("of `{}`: 64 lower-case hexadecimal digits were expected", file.path)
        })?;
        ensure(file.inputs.len() == 1, "files.inputs", || {
            format!("of `{}`: {} names, 1 was expected", file.path, file.inputs.len())
        })?;
        ensure(file.outputs.len() == *outputs, "files.outputs", || {
            format!("of `{}`: {} names, {outputs} were expected", file.path, file.outputs.len())
        })?;
    }
    Ok(())
}

fn calibration(calibration: &Calibration) -> Result<(), ManifestError> {
    let pairs = [
        ("calibration.temperature", calibration.temperature, calibration.bias),
        ("calibration.slice_temperature", calibration.slice_temperature, calibration.slice_bias),
    ];
    for (key, temperature, bias) in pairs {
        ensure(temperature.is_finite() && temperature > 0.0 && bias.is_finite(), key, || {
            format!("{temperature} with bias {bias}: a positive number and a finite bias were expected")
        })?;
    }
    Ok(())
}

fn operating_point(point: &OperatingPoint) -> Result<(), ManifestError> {
    let within = |number: f64| (0.0..=1.0).contains(&number);
    let [low, high] = point.indeterminate;
    ensure(within(point.threshold), "operating_point.threshold", || {
        format!("{}: a probability was expected", point.threshold)
    })?;
    ensure(within(low) && within(high) && low <= high, "operating_point.indeterminate", || {
        format!("[{low}, {high}]: two ascending probabilities were expected")
    })?;
    ensure(low <= point.threshold && point.threshold <= high || low >= high, "operating_point.indeterminate", || {
        format!("[{low}, {high}]: a band around the threshold {} was expected", point.threshold)
    })
}

fn ensure(condition: bool, key: &str, problem: impl FnOnce() -> String) -> Result<(), ManifestError> {
    if condition { Ok(()) } else { Err(value(key, problem())) }
}

fn value(key: &str, problem: String) -> ManifestError {
    ManifestError::Value { key: key.to_owned(), problem }
}
