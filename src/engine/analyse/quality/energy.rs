//! Are virtual monochromatic images of an energy that was tried?

use crate::engine::volume::{Monochromatic, Reason, Rejection, Volume};

/// That the images are virtual monochromatic ones of an energy outside `tried` (lowest and highest, in keV), or of one
/// that is not stated. The attenuation of contrast agent depends on it: three times as much at 40 keV as at 70.
pub(super) fn untried(volume: &Volume, [lowest, highest]: [f64; 2]) -> Option<Rejection> {
    let images = Monochromatic::of(&volume.header)?;
    let tried = images.kev.is_some_and(|kev| (lowest..=highest).contains(&kev));
    (!tried).then(|| {
        Rejection::new(
            Reason::UntriedEnergy,
            format!("{images}; {lowest} to {highest} keV were tried, on phantoms alone"),
        )
    })
}
