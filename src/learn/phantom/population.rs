//! Who is scanned: the patients of a site, their findings, and how contrast is injected.

use super::recipe::{Preset, Site};

/// What the exams of a cohort are drawn from. Ranges are uniform, shares are probabilities.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Population {
    /// Exams with emboli.
    pub(super) prevalence: f32,
    /// Years.
    pub(super) ages: [usize; 2],
    /// Body size relative to the anatomy's frame.
    pub(super) sizes: [f32; 2],
    /// Subcutaneous fat that the fattest have beyond 8 mm, in millimetres.
    pub(super) fat: f32,
    /// Size of the heart.
    pub(super) hearts: [f32; 2],
    pub(super) ventricles: Ventricles,
    /// Width of the pulmonary arteries relative to a healthy adult's.
    pub(super) arteries: f32,
    pub(super) emboli: Emboli,
    pub(super) injection: Injection,
    /// How much more often than at the internal site other findings occur.
    pub(super) confounders: f32,
}

/// How the right ventricle relates to the left one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Ventricles {
    /// The radii are drawn, whatever the emboli.
    Radii([f32; 2]),
    /// The widths that an image shows are drawn: the right ventricle is the wider one with a probability that grows
    /// with the most proximal embolus.
    Strained(Strain),
}

/// Probabilities that the right ventricle is at least as wide as the left one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Strain {
    pub(super) without_emboli: f32,
    /// By level, from the saddle outwards.
    pub(super) levels: [f32; 5],
}

/// What emboli there are.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Emboli {
    /// Shares of the most proximal level up to and including saddle, main, lobar, segmental; the rest is subsegmental.
    pub(super) levels: [f32; 4],
    /// Least and greatest number of further emboli where the most proximal one lies in a lobar or larger artery, in a
    /// segmental or in a subsegmental one.
    pub(super) further: [[usize; 2]; 3],
    /// Factor on the length drawn by level.
    pub(super) length: f32,
    /// Arteries narrower than this (radius in millimetres) carry no embolus: it could not be seen.
    pub(super) narrowest: f32,
    /// Of the exams with a lobar or larger embolus: the share whose emboli are all chronic, and the share with both
    /// kinds.
    pub(super) chronic: f32,
    /// See `chronic`.
    pub(super) mixed: f32,
}

/// The contrast agent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Injection {
    /// Exams that no reader could decide, and exams that are poor or worse.
    pub(super) non_diagnostic: f32,
    /// See `non_diagnostic`.
    pub(super) poor: f32,
    /// Hounsfield units of the pulmonary arteries in the exams that are neither.
    pub(super) good: [f32; 2],
    /// Contrast of veins and left heart relative to the arteries': the later the scan, the more.
    pub(super) venous: [f32; 2],
    /// Contrast of the superior vena cava relative to the arteries'.
    pub(super) cava: [f32; 2],
}

const STRAIN: Strain = Strain { without_emboli: 0.15, levels: [0.75, 0.6, 0.4, 0.2, 0.15] };

const INTERNAL: Population = Population {
    prevalence: 0.45,
    ages: [22, 89],
    sizes: [0.95, 1.07],
    fat: 26.0,
    hearts: [0.92, 1.1],
    ventricles: Ventricles::Radii([0.72, 1.25]),
    arteries: 1.0,
    emboli: Emboli {
        levels: [0.08, 0.25, 0.52, 0.88],
        further: [[2, 6], [1, 5], [1, 3]],
        length: 1.0,
        narrowest: 1.5,
        chronic: 0.0,
        mixed: 0.0,
    },
    injection: Injection {
        non_diagnostic: 0.03,
        poor: 0.17,
        good: [250.0, 500.0],
        venous: [0.55, 0.95],
        cava: [1.0, 2.4],
    },
    confounders: 1.0,
};

/// Older and larger patients with larger hearts, less often embolism, later scans with less contrast.
const EXTERNAL: Population = Population {
    prevalence: 0.3,
    ages: [38, 96],
    sizes: [0.92, 1.1],
    fat: 38.0,
    hearts: [0.98, 1.2],
    ventricles: Ventricles::Strained(STRAIN),
    emboli: Emboli { levels: [0.06, 0.2, 0.48, 0.88], chronic: 0.14, mixed: 0.1, ..INTERNAL.emboli },
    injection: Injection {
        poor: 0.2,
        good: [230.0, 440.0],
        venous: [0.7, 1.05],
        cava: [0.7, 1.8],
        ..INTERNAL.injection
    },
    confounders: 1.15,
    ..INTERNAL
};

impl Population {
    /// The patients of a site, with emboli that the slices of a preset can show.
    pub(super) fn of(preset: Preset, site: Site) -> Self {
        let population = match site {
            Site::Internal => INTERNAL,
            Site::External => EXTERNAL,
        };
        match preset {
            Preset::Clinical | Preset::Light => population,
            Preset::Tiny => population.on_a_coarse_grid(),
        }
    }

    /// Pixels of 2.6 mm show emboli in wide arteries only. From labels alone, a small network can be trained within
    /// minutes only on what takes up much of the picture: dilated arteries full of contrast, and many large emboli,
    /// most of them in central arteries. Segmental emboli, thin chronic ones and exams with poor contrast remain hard.
    fn on_a_coarse_grid(self) -> Self {
        let [saddle, main, ..] = self.emboli.levels;
        let emboli = Emboli {
            levels: [saddle + 0.1, main + 0.36, 0.93, 1.0],
            further: [[6, 10], [2, 5], [1, 3]],
            length: 1.7,
            narrowest: 3.2,
            chronic: 0.12,
            mixed: 0.1,
        };
        let injection =
            Injection { good: self.injection.good.map(|hounsfield| 0.7 * hounsfield + 250.0), ..self.injection };
        Self { ventricles: Ventricles::Strained(STRAIN), arteries: 1.7, emboli, injection, ..self }
    }
}
