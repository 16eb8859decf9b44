//! How bright contrast agent makes the great vessels.

use crate::engine::volume::VoxelPoint;

/// What was measured in the great vessels; `None` where a vessel could not be found with certainty.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Enhancement {
    /// Of the pulmonary trunk.
    pub trunk: Option<Vessel>,
    /// Of the thoracic aorta.
    pub aorta: Option<Vessel>,
}

/// One vessel.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Vessel {
    /// The median over some slices of the means of a disc of blood, in Hounsfield units.
    pub hounsfield: f64,
    /// The middle of the disc that shows it best, on the source grid (whole numbers).
    pub place: VoxelPoint,
}

impl Enhancement {
    /// Hounsfield units of the pulmonary trunk as a multiple of those of the aorta.
    pub fn ratio(&self) -> Option<f64> {
        let (trunk, aorta) = self.trunk.zip(self.aorta)?;
        (aorta.hounsfield > 0.0).then(|| trunk.hounsfield / aorta.hounsfield)
    }

    /// What was measured, in words.
    pub fn explanation(&self) -> String {
        let told = |vessel: Option<Vessel>| {
            vessel.map_or_else(|| "not measured".to_owned(), |vessel| format!("{:.0} HU", vessel.hounsfield))
        };
        let ratio = self.ratio().map_or_else(String::new, |ratio| format!(" (ratio {ratio:.2})"));
        format!("pulmonary trunk {}, aorta {}{ratio}", told(self.trunk), told(self.aorta))
    }
}
