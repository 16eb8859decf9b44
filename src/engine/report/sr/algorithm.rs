//! The algorithm and its parameters: [TID
//! 4019](https://dicom.nema.org/medical/dicom/current/output/chtml/part16/sect_TID_4019.html).

use super::super::element::{PRODUCT, ascii};
use super::super::{Context, statements};
use super::content::{ContentItem, Relationship};
use crate::dicom::concept::dcm;
use crate::engine::analyse::findings::ModelIdentity;

/// Longest text of one parameter; UT allows more, displays do not.
const LONGEST: usize = 1024;

/// The embolism classifier with its operating point and calibration, as modifiers of a measurement group.
pub(super) fn classifier(context: &Context) -> Vec<ContentItem> {
    let manifest = &context.findings.classifier;
    let several = manifest.calibration.len() > 1;
    let calibrations = manifest.calibration.iter().enumerate().map(|(member, calibration)| {
        let name = if several { format!("calibration-of-network-{}", member + 1) } else { "calibration".to_owned() };
        format!("{name}={}", statements::calibration(calibration))
    });
    let operating_point = manifest.operating_point.as_ref();
    let parameters = [
        operating_point.map(|point| format!("threshold={}", statements::operating_point(point))),
        operating_point.map(|point| format!("threshold-chosen={}", point.chosen)),
        several.then(|| format!("networks={}", manifest.members())),
        Some(format!("intended-use={}", statements::intended_use(manifest))),
        Some(format!("training-data={}", manifest.training.data)),
    ];
    let parameters = parameters.into_iter().flatten().chain(calibrations);
    identification(context, &context.findings.models.embolism, parameters)
}

/// The lung segmentation network, as modifiers of a measurement group.
pub(super) fn lung_segmentation(context: &Context) -> Vec<ContentItem> {
    identification(context, &context.findings.models.lungs, [])
}

fn identification(
    context: &Context,
    model: &ModelIdentity,
    parameters: impl IntoIterator<Item = String>,
) -> Vec<ContentItem> {
    let all = [format!("sha256={}", model.sha256), format!("execution-provider={}", context.findings.provider.0)];
    let parameters = all.into_iter().chain(parameters);
    [
        ContentItem::text(&dcm::ALGORITHM_NAME, &ascii(model.package.name.as_str(), LONGEST)),
        ContentItem::text(&dcm::ALGORITHM_VERSION, &ascii(&model.package.version.to_string(), LONGEST)),
        ContentItem::text(&dcm::ALGORITHM_MANUFACTURER, PRODUCT),
        ContentItem::code(&dcm::ALGORITHM_FAMILY, &dcm::ARTIFICIAL_INTELLIGENCE),
    ]
    .into_iter()
    .chain(parameters.map(|text| ContentItem::text(&dcm::ALGORITHM_PARAMETERS, &ascii(&text, LONGEST))))
    .collect()
}

impl ContentItem {
    /// Names the algorithm of a measurement group.
    pub(super) fn with_algorithm(self, algorithm: &[ContentItem]) -> Self {
        self.children(Relationship::HasConceptModifier, algorithm.iter().cloned())
    }
}
