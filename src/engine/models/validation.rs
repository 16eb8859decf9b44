//! What a manifest must hold before any of its files is touched.

use std::collections::BTreeSet;

use super::manifest::{Calibration, File, Kind, Layout, Manifest, OperatingPoint, Patches, Ranges, Role};
use super::package_id::is_token;
use super::syntax::SyntaxError;
use super::target::Target;
use crate::engine::volume::preparation::{Crop, Preparation, check};

/// Rows and columns of a prepared slice beyond which a network would not fit into memory.
const LARGEST_SLICE: usize = 2048;
/// Neighbours on each side beyond which a slice is a volume.
const MOST_NEIGHBOURS: usize = 16;
/// Networks of an ensemble beyond which memory would not suffice.
const MOST_MEMBERS: usize = 32;
/// Classes that a lung segmentation has, each once. Those of other names are not lung.
const LUNG_LABELS: [&str; 3] = ["background", "left-lung", "right-lung"];

/// Why a manifest is not valid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// Not TOML, an unknown key, a missing key or a wrong type.
    #[error("model.toml cannot be read: {0}")]
    Syntax(SyntaxError),
    /// A value that is not allowed.
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
        let manifest: Self = toml::from_str(text).map_err(|error| ManifestError::Syntax(error.into()))?;
        manifest.validate()?;
        Ok(manifest)
    }

    /// The manifest as the text of a `model.toml`.
    pub fn to_toml(&self) -> String {
        toml::to_string_pretty(self).unwrap_or_else(|error| format!("# cannot be written: {error}"))
    }

    /// The file of a role of a member. [`Self::parse`] ensures that each role of the layout has one.
    pub(super) fn file(&self, role: Role, member: usize) -> Result<&File, ManifestError> {
        let missing = || value("files", format!("no file of member {member} has the role {role}"));
        self.files.iter().find(|file| file.role == role && file.member == member).ok_or_else(missing)
    }

    /// Number of networks of an ensemble; 1 where there is no ensemble.
    pub fn members(&self) -> usize {
        1 + self.files.iter().map(|file| file.member).max().unwrap_or(0)
    }

    /// The targets of an embolism classifier in the order of its logits; embolism first.
    pub fn targets(&self) -> Vec<Target> {
        let named = (0..self.labels.len())
            .map_while(|index| self.labels.iter().find(|label| label.index == index)?.name.parse().ok());
        let named: Vec<Target> = named.collect();
        if named.is_empty() { vec![Target::PulmonaryEmbolism] } else { named }
    }

    /// True if every member's probability of a target is calibrated.
    pub fn is_calibrated(&self, target: Target) -> bool {
        self.calibration.iter().all(|member| match target {
            Target::PulmonaryEmbolism => member.exam_fitted,
            further => member.targets.contains_key(&further),
        })
    }

    /// Index of the class of that name.
    pub(super) fn class(&self, name: &str) -> Result<usize, ManifestError> {
        let label = self.labels.iter().find(|label| label.name == name);
        label.map(|label| label.index).ok_or_else(|| value("labels", format!("no label `{name}`")))
    }

    fn validate(&self) -> Result<(), ManifestError> {
        ensure(self.schema == 1, "schema", || format!("{}: this program knows 1", self.schema))?;
        preparation(&self.input)?;
        ranges(&self.training.ranges)?;
        let roles: &[(Role, usize)] = match (self.kind, self.layout) {
            (Kind::LungSegmentation, Layout::Slices | Layout::Patches) | (Kind::EmbolismClassifier, Layout::Exam) => {
                &[(Role::Network, 1)]
            }
            (Kind::EmbolismClassifier, Layout::EncoderHead) => &[(Role::Encoder, 2), (Role::Head, 3)],
            (kind, layout) => return Err(value("layout", format!("{layout} does not go with {kind}"))),
        };
        files(&self.files, roles, self.members())?;
        match (self.layout, &self.patches) {
            (Layout::Patches, Some(cut)) => patches(cut, &self.input)?,
            (Layout::Patches, None) => return Err(value("patches", "the layout needs the size of its patches".into())),
            (_, Some(_)) => return Err(value("patches", "the layout has no patches".into())),
            (_, None) => {}
        }
        match self.kind {
            Kind::LungSegmentation => self.lungs(),
            Kind::EmbolismClassifier => self.classifier(),
        }
    }

    fn classifier(&self) -> Result<(), ManifestError> {
        self.target_labels()?;
        let (members, calibrations) = (self.members(), self.calibration.len());
        ensure(members == calibrations, "calibration", || {
            format!("{calibrations} are given, one for each of {members} members was expected")
        })?;
        let targets = self.targets();
        self.calibration.iter().try_for_each(|member| calibration(member, &targets))?;
        let point = self.operating_point.as_ref();
        operating_point(point.ok_or_else(|| value("operating_point", "a classifier must have one".to_owned()))?)
    }

    /// No labels, or targets in the order of the logits with embolism first.
    fn target_labels(&self) -> Result<(), ManifestError> {
        for label in &self.labels {
            label.name.parse::<Target>().map_err(|error| value("labels", error.to_string()))?;
        }
        self.complete_labels()?;
        let targets = self.targets();
        ensure(targets[0] == Target::PulmonaryEmbolism, "labels", || {
            format!("index 0 is `{}`, `{}` was expected", targets[0], Target::PulmonaryEmbolism)
        })?;
        let different = targets.iter().collect::<BTreeSet<_>>().len() == targets.len();
        ensure(different, "labels", || "a target appears more than once".to_owned())
    }

    /// A network that finds the lungs cannot be given images that are cropped around them.
    fn lungs(&self) -> Result<(), ManifestError> {
        let crop = self.input.crop;
        ensure(!matches!(crop, Crop::LungBox | Crop::LungSquare), "input.crop", || {
            format!("{crop:?} needs the lungs that this network is to find: `body` or `none` was expected")
        })?;
        self.lung_labels()
    }

    fn lung_labels(&self) -> Result<(), ManifestError> {
        for name in LUNG_LABELS {
            let count = self.labels.iter().filter(|label| label.name == name).count();
            ensure(count == 1, "labels", || format!("`{name}` appears {count} times, once was expected"))?;
        }
        self.complete_labels()
    }

    fn complete_labels(&self) -> Result<(), ManifestError> {
        let indices: BTreeSet<usize> = self.labels.iter().map(|label| label.index).collect();
        let complete = indices.len() == self.labels.len() && indices.iter().copied().eq(0..self.labels.len());
        ensure(complete, "labels", || "indices from 0 without gap or repetition were expected".to_owned())
    }
}

fn ranges(stated: &Ranges) -> Result<(), ManifestError> {
    let Ranges { slice_mm, pixel_mm, age_years, kernels } = stated;
    for (key, range) in [("slice_mm", slice_mm), ("pixel_mm", pixel_mm), ("age_years", age_years)] {
        let Some([low, high]) = *range else { continue };
        ensure(high.is_finite() && 0.0 <= low && low <= high, &format!("training.ranges.{key}"), || {
            format!("[{low}, {high}]: two ascending numbers from 0 on were expected")
        })?;
    }
    let named = kernels.iter().all(|kernel| !kernel.trim().is_empty());
    ensure(named, "training.ranges.kernels", || "a name is empty".to_owned())
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
    })?;
    check(input).map_err(|error| value("input", error.to_string()))
}

/// Each member must have each role of the layout once, in files of their own.
fn files(files: &[File], roles: &[(Role, usize)], members: usize) -> Result<(), ManifestError> {
    ensure(members <= MOST_MEMBERS, "files.member", || format!("{members} members, at most {MOST_MEMBERS} are run"))?;
    let expected = roles.len() * members;
    ensure(files.len() == expected, "files", || format!("{} files, {expected} were expected", files.len()))?;
    for member in 0..members {
        for (role, outputs) in roles {
            let file = files.iter().find(|file| file.role == *role && file.member == member);
            let missing = || value("files", format!("no file of member {member} has the role {role}"));
            file_of_role(file.ok_or_else(missing)?, *outputs)?;
        }
    }
    let paths: BTreeSet<&str> = files.iter().map(|file| file.path.as_str()).collect();
    ensure(paths.len() == files.len(), "files.path", || "a path appears more than once".to_owned())
}

fn file_of_role(file: &File, outputs: usize) -> Result<(), ManifestError> {
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
    ensure(file.outputs.len() == outputs, "files.outputs", || {
        format!("of `{}`: {} names, {outputs} were expected", file.path, file.outputs.len())
    })
}

/// Patches must fit into a prepared slice and overlap by less than a whole.
fn patches(patches: &Patches, input: &Preparation) -> Result<(), ManifestError> {
    let [slices, rows, columns] = patches.size;
    let fits = (1..=LARGEST_SLICE).contains(&slices)
        && (1..=input.size[0]).contains(&rows)
        && (1..=input.size[1]).contains(&columns);
    ensure(fits, "patches.size", || {
        format!(
            "{:?}: slices, rows and columns within a prepared slice of {:?} were expected",
            patches.size, input.size
        )
    })?;
    ensure((0.0..=0.9).contains(&patches.overlap), "patches.overlap", || {
        format!("{}: from 0 to 0.9 was expected", patches.overlap)
    })?;
    ensure(input.channels() == 1, "input", || {
        format!("patches have one channel, the preparation gives {}", input.channels())
    })
}

fn calibration(calibration: &Calibration, targets: &[Target]) -> Result<(), ManifestError> {
    let own = [
        ("calibration.temperature".to_owned(), calibration.temperature, calibration.bias),
        ("calibration.slice_temperature".to_owned(), calibration.slice_temperature, calibration.slice_bias),
    ];
    let further = calibration
        .targets
        .iter()
        .map(|(target, of)| (format!("calibration.targets.{target}.temperature"), of.temperature, of.bias));
    for (key, temperature, bias) in own.into_iter().chain(further) {
        ensure(temperature.is_finite() && temperature > 0.0 && bias.is_finite(), &key, || {
            format!("{temperature} with bias {bias}: a positive number and a finite bias were expected")
        })?;
    }
    let unknown = calibration.targets.keys().find(|target| !targets[1..].contains(target));
    unknown.map_or(Ok(()), |target| {
        Err(value("calibration.targets", format!("`{target}` is not a further target of the labels")))
    })
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
