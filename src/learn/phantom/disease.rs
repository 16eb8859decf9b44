//! The patient's findings other than emboli. They are drawn without knowledge of the emboli, so that nothing gives the
//! emboli away.
//!
//! Probabilities are chosen so that a cohort of a hundred exams shows each finding often enough to be distinguished
//! from emboli; most exams have two or three, as in the elderly patients who are scanned. Lengths are millimetres and
//! densities are Hounsfield units in the range that radiologists call typical.

use super::level::Level;
use super::random::Draws;
use super::shapes::{Ellipsoid, Tube};
use super::thorax::{Effusion, Side, Thorax};
use super::vector::{Vector, at};
use super::vessels::Tree;

/// A region of changed lung.
#[derive(Debug, Clone, Copy)]
pub(super) struct Opacity {
    pub(super) region: Ellipsoid,
    pub(super) hounsfield: f32,
    /// Share of the air that is replaced in the middle of the region.
    pub(super) density: f32,
    /// How ragged the border is, in millimetres.
    pub(super) ragged: f32,
}

/// Unmixed blood in an artery: darker, without a border.
#[derive(Debug, Clone, Copy)]
pub(super) struct FlowArtefact {
    pub(super) centre: Vector,
    pub(super) reach: f32,
    /// Share of the contrast that is missing in the middle.
    pub(super) missing: f32,
}

/// Slices blurred by breathing or heartbeat.
#[derive(Debug, Clone, Copy)]
pub(super) struct Motion {
    pub(super) from: f32,
    pub(super) to: f32,
    /// Shift of the second contour in millimetres.
    pub(super) shift: [f32; 2],
}

/// Findings other than emboli.
#[derive(Debug, Clone, Default)]
pub(super) struct Disease {
    pub(super) opacities: Vec<Opacity>,
    pub(super) nodules: Vec<Ellipsoid>,
    pub(super) nodes: Vec<Ellipsoid>,
    /// Bronchi full of mucus.
    pub(super) mucus: Vec<Tube>,
    /// Thickness of the soft tissue around arteries.
    pub(super) cuff: f32,
    pub(super) flow: Vec<FlowArtefact>,
    pub(super) motion: Option<Motion>,
    /// How much more often than at the internal site each finding occurs.
    more: f32,
    /// Names of the confounders present, as in the table of exams.
    pub(super) names: Vec<&'static str>,
}

impl Disease {
    /// Draws the findings of one patient; effusions go into the chest.
    pub(super) fn draw(draws: &mut Draws, thorax: &mut Thorax, arteries: &Tree, bronchi: &[Tube], more: f32) -> Self {
        let mut disease = Self { more, cuff: draws.between(0.4, 1.0), ..Self::default() };
        disease.effusion(draws, thorax);
        disease.consolidation(draws, thorax);
        disease.atelectasis(draws, thorax);
        disease.nodules(draws, thorax);
        disease.nodes(draws, arteries);
        disease.cuffing(draws);
        disease.mucus(draws, bronchi);
        disease.flow(draws, arteries);
        disease.motion(draws);
        disease
    }

    fn effusion(&mut self, draws: &mut Draws, thorax: &mut Thorax) {
        if !draws.chance(0.28 * self.more) {
            return;
        }
        self.names.push("effusion");
        let both = draws.chance(0.4);
        let first = usize::from(!draws.chance(0.5));
        for side in 0..2 {
            if both || side == first {
                // From a rim at the very back to a third of the chest.
                thorax.effusions[side] =
                    Some(Effusion { level: draws.between(62.0, 108.0), hounsfield: draws.between(2.0, 28.0) });
            }
        }
    }

    fn consolidation(&mut self, draws: &mut Draws, thorax: &Thorax) {
        if !draws.chance(0.22 * self.more) {
            return;
        }
        self.names.push("consolidation");
        for _ in 0..draws.whole(1, 3) {
            let glass = draws.chance(0.4);
            let radii = at(draws.between(12.0, 34.0), draws.between(12.0, 34.0), draws.between(12.0, 40.0));
            let Some(centre) = in_lung(draws, thorax, -4.0) else { continue };
            let region = Ellipsoid::along(centre, draws.jitter(1.0), radii);
            // Ground glass leaves most of the air, and vessels show through it; consolidation hides them.
            let density = if glass { draws.between(0.15, 0.4) } else { draws.between(0.85, 1.0) };
            self.opacities.push(Opacity { region, hounsfield: draws.between(25.0, 70.0), density, ragged: 7.0 });
        }
    }

    fn atelectasis(&mut self, draws: &mut Draws, thorax: &Thorax) {
        if !draws.chance(0.35 * self.more) {
            return;
        }
        self.names.push("atelectasis");
        for _ in 0..draws.whole(1, 4) {
            let side = draws.sign();
            // At the base and the back, where the lung of a patient who lies still collapses first.
            let centre = at(side * draws.between(45.0, 105.0), draws.between(20.0, 80.0), draws.between(-135.0, -70.0));
            if thorax.lung(centre) > 5.0 {
                continue;
            }
            // A plate: thin across, wide along.
            let radii = at(draws.between(2.0, 5.0), draws.between(14.0, 34.0), draws.between(12.0, 30.0));
            // Thin along this direction: most plates lie nearly flat.
            let region = Ellipsoid::along(centre, at(0.2, 0.5, 1.0) + draws.jitter(0.4), radii);
            self.opacities.push(Opacity { region, hounsfield: draws.between(40.0, 95.0), density: 0.95, ragged: 1.5 });
        }
    }

    fn nodules(&mut self, draws: &mut Draws, thorax: &Thorax) {
        if !draws.chance(0.3 * self.more) {
            return;
        }
        self.names.push("nodules");
        for _ in 0..draws.whole(1, 5) {
            let Some(centre) = in_lung(draws, thorax, -6.0) else { continue };
            // Most are small: the square keeps half of the radii below 4 mm.
            let radius = 2.0 + 7.0 * draws.between(0.0, 1.0).powi(2);
            let radii = at(radius, radius * draws.between(0.75, 1.0), radius * draws.between(0.75, 1.0));
            self.nodules.push(Ellipsoid::along(centre, draws.jitter(1.0), radii));
        }
    }

    /// Lymph nodes: small ones in everybody, beside the central arteries where they mimic emboli; large ones in some.
    fn nodes(&mut self, draws: &mut Draws, arteries: &Tree) {
        let large = draws.chance(0.28 * self.more);
        if large {
            self.names.push("nodes");
        }
        let hosts: Vec<usize> = (0..arteries.branches.len())
            .filter(|&index| {
                arteries.branches[index].level <= Level::Segmental && arteries.branches[index].radius() > 3.0
            })
            .collect();
        let count = if large { draws.whole(8, 18) } else { draws.whole(2, 8) };
        for _ in 0..count {
            let branch = &arteries.branches[*draws.choose(&hosts)];
            let (point, width) = *draws.choose(&branch.points);
            let radius = draws.between(2.5, if large { 8.0 } else { 4.5 });
            // It dents the artery by a quarter of its own radius.
            let away = draws.jitter(1.0).unit() * (width + 0.75 * radius);
            let radii = at(radius * draws.between(1.0, 1.8), radius, radius * draws.between(0.7, 1.0));
            self.nodes.push(Ellipsoid::along(point + away, draws.jitter(1.0), radii));
        }
        // Subcarinal, right and left paratracheal, and in front of the great vessels.
        for place in [at(0.0, 28.0, -24.0), at(-18.0, 4.0, 12.0), at(20.0, 2.0, 2.0), at(-6.0, -30.0, 24.0)] {
            let radius = draws.between(2.0, if large { 9.0 } else { 5.0 });
            let radii = at(radius * 1.4, radius, radius);
            self.nodes.push(Ellipsoid::along(place + draws.jitter(4.0), draws.jitter(1.0), radii));
        }
    }

    fn cuffing(&mut self, draws: &mut Draws) {
        if draws.chance(0.25 * self.more) {
            self.names.push("cuffing");
            self.cuff = draws.between(1.2, 2.6);
        }
    }

    fn mucus(&mut self, draws: &mut Draws, bronchi: &[Tube]) {
        // A plugged bronchus of the width of a segmental artery is what is mistaken for an embolus.
        let small: Vec<Tube> = bronchi.iter().copied().filter(|tube| (1.0..2.6).contains(&tube.radii[0])).collect();
        if !draws.chance(0.2 * self.more) || small.is_empty() {
            return;
        }
        self.names.push("mucus");
        for _ in 0..draws.whole(3, 12) {
            self.mucus.push(*draws.choose(&small));
        }
    }

    fn flow(&mut self, draws: &mut Draws, arteries: &Tree) {
        if !draws.chance(0.25 * self.more) {
            return;
        }
        self.names.push("flow-artefact");
        let hosts: Vec<usize> =
            (0..arteries.branches.len()).filter(|&index| arteries.branches[index].radius() > 2.2).collect();
        for _ in 0..draws.whole(2, 8) {
            let branch = &arteries.branches[*draws.choose(&hosts)];
            let (point, width) = *draws.choose(&branch.points);
            self.flow.push(FlowArtefact {
                centre: point + draws.jitter(0.6 * width),
                reach: draws.between(5.0, 12.0) + 0.6 * width,
                missing: draws.between(0.25, 0.55),
            });
        }
    }

    fn motion(&mut self, draws: &mut Draws) {
        if !draws.chance(0.15 * self.more) {
            return;
        }
        self.names.push("motion");
        let from = draws.between(-170.0, -20.0);
        let turn = draws.between(0.0, std::f32::consts::TAU);
        let reach = draws.between(2.0, 5.0);
        self.motion = Some(Motion {
            from,
            to: from + draws.between(25.0, 90.0),
            shift: [reach * turn.cos(), reach * turn.sin()],
        });
    }
}

/// A point of the lungs at least as deep as `depth` (negative: inside). Half of the box is lung, so sixty trials
/// practically never miss it.
fn in_lung(draws: &mut Draws, thorax: &Thorax, depth: f32) -> Option<Vector> {
    (0..60)
        .map(|_| {
            let side = if draws.chance(0.5) { Side::Left } else { Side::Right };
            at(side.sign() * draws.between(10.0, 135.0), draws.between(-90.0, 85.0), draws.between(-150.0, 85.0))
        })
        .find(|&point| thorax.lung(point) < depth)
}
