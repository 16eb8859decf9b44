//! Emboli: filling defects that follow the course of the arteries. Acute ones are surrounded by contrast or block the
//! artery; chronic ones lie broadly along one wall with a smooth inner border, or cross a narrow artery as webs
//! (Castañer et al., Radiographics 29 (2009) 31, doi 10.1148/rg.291085061).

use super::level::Level;
use super::population::Emboli;
use super::random::Draws;
use super::shapes::{Tube, tubes};
use super::thorax::Side;
use super::vector::Vector;
use super::vessels::{Branch, Tree, extent};

/// Radius of the bands of a web in millimetres, and how many steps of the centre line lie between them.
const BAND: f32 = 0.9;
const BAND_DISTANCE: usize = 3;

/// Least radius of an embolus in millimetres: thinner ones are lost between the voxels of every preset.
const THINNEST: f32 = 1.15;

/// How much of the artery an acute embolus fills.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Occlusion {
    /// Free on all sides, with a rim of contrast.
    Central,
    /// Along one wall.
    Eccentric,
    /// From wall to wall.
    Complete,
}

/// One embolus.
#[derive(Debug, Clone)]
pub(super) struct Embolus {
    pub(super) level: Level,
    /// Sides of the patient the embolus lies on.
    pub(super) sides: Vec<Side>,
    pub(super) chronic: bool,
    pub(super) hounsfield: f32,
    pub(super) tubes: Vec<Tube>,
}

/// Draws the level of the most proximal embolus.
pub(super) fn most_proximal(draws: &mut Draws, emboli: &Emboli) -> Level {
    let share = draws.between(0.0, 1.0);
    let index = emboli.levels.iter().position(|&up_to| share < up_to).unwrap_or(emboli.levels.len());
    Level::ALL[index]
}

/// How old the emboli of one exam are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Age {
    /// All acute.
    Acute,
    /// All chronic.
    Chronic,
    /// Some acute, some chronic.
    Both,
}

impl Age {
    /// The age of some emboli; `None` without any.
    pub(super) fn of(emboli: &[Embolus]) -> Option<Self> {
        let any = |chronic: bool| emboli.iter().any(|embolus| embolus.chronic == chronic);
        match (any(false), any(true)) {
            (false, false) => None,
            (true, false) => Some(Self::Acute),
            (false, true) => Some(Self::Chronic),
            (true, true) => Some(Self::Both),
        }
    }

    /// Chronic emboli are drawn only where the most proximal one lies in a wide artery: in narrow ones a reader does
    /// not recognise them.
    fn draw(draws: &mut Draws, emboli: &Emboli, first: Level) -> Self {
        if emboli.chronic + emboli.mixed <= 0.0 || first > Level::Lobar {
            return Self::Acute;
        }
        match draws.between(0.0, 1.0) {
            share if share < emboli.chronic => Self::Chronic,
            share if share < emboli.chronic + emboli.mixed => Self::Both,
            _ => Self::Acute,
        }
    }

    /// Whether the embolus of a number in the exam is chronic.
    fn chronic(self, number: usize) -> bool {
        match self {
            Self::Acute => false,
            Self::Chronic => true,
            Self::Both => number.is_multiple_of(2),
        }
    }
}

/// Draws the emboli of one exam, of which `first` is the level of the most proximal one.
pub(super) fn draw(draws: &mut Draws, arteries: &Tree, first: Level, emboli: &Emboli) -> Vec<Embolus> {
    let age = Age::draw(draws, emboli, first);
    let further = match first {
        Level::Saddle | Level::Main | Level::Lobar => emboli.further[0],
        Level::Segmental => emboli.further[1],
        Level::Subsegmental => emboli.further[2],
    };
    let further = draws.whole(further[0], further[1]);
    let bed = Bed { arteries, emboli };
    let mut emboli: Vec<Embolus> = bed.lodge(draws, first, age.chronic(0)).into_iter().collect();
    for number in 1..=further {
        let deeper: Vec<Level> = [Level::Lobar, Level::Segmental, Level::Subsegmental]
            .into_iter()
            .filter(|&deeper| deeper >= first)
            .collect();
        let level = *draws.choose(&deeper);
        emboli.extend(bed.lodge(draws, level, age.chronic(number)));
    }
    emboli
}

/// The arteries in which emboli lodge.
struct Bed<'a> {
    arteries: &'a Tree,
    emboli: &'a Emboli,
}

impl Bed<'_> {
    fn lodge(&self, draws: &mut Draws, level: Level, chronic: bool) -> Option<Embolus> {
        let length = match level {
            Level::Saddle => draws.between(45.0, 80.0),
            Level::Main => draws.between(22.0, 45.0),
            Level::Lobar => draws.between(15.0, 38.0),
            Level::Segmental => draws.between(10.0, 26.0),
            Level::Subsegmental => draws.between(9.0, 16.0),
        } * self.emboli.length;
        let (path, sides) = if level == Level::Saddle {
            (self.saddle(draws, length), Side::BOTH.to_vec())
        } else {
            let hosts: Vec<usize> = self
                .arteries
                .branches
                .iter()
                .enumerate()
                .filter(|(_, branch)| branch.level == level && branch.side.is_some() && self.holds(branch))
                .map(|(index, _)| index)
                .collect();
            if hosts.is_empty() {
                return None;
            }
            let host = *draws.choose(&hosts);
            (self.course(draws, host, length), self.arteries.branches[host].side.into_iter().collect())
        };
        let (hounsfield, tubes) = if chronic {
            (draws.between(50.0, 110.0), if level <= Level::Lobar { mural(draws, &path) } else { web(draws, &path) })
        } else {
            let occlusion = *draws.choose(&match level {
                Level::Saddle | Level::Main => [Occlusion::Central, Occlusion::Central, Occlusion::Eccentric],
                Level::Lobar => [Occlusion::Central, Occlusion::Eccentric, Occlusion::Complete],
                Level::Segmental | Level::Subsegmental => {
                    [Occlusion::Central, Occlusion::Complete, Occlusion::Complete]
                }
            });
            (draws.between(30.0, 90.0), acute(draws, &path, occlusion))
        };
        Some(Embolus { level, sides, chronic, hounsfield, tubes })
    }

    fn holds(&self, branch: &Branch) -> bool {
        branch.radius() >= self.emboli.narrowest
    }

    /// From the left main artery backwards over the bifurcation into the right one.
    fn saddle(&self, draws: &mut Draws, length: f32) -> Vec<(Vector, f32)> {
        let branches = &self.arteries.branches;
        let main = |side: Side| branches.iter().find(|branch| branch.level == Level::Main && branch.side == Some(side));
        let mut path = Vec::new();
        let left = length * draws.between(0.35, 0.6);
        for (side, length) in [(Side::Left, left), (Side::Right, length - left)] {
            let Some(branch) = main(side) else { continue };
            let part = along(&branch.points, 0.0, length);
            if side == Side::Left {
                path.extend(part.into_iter().rev());
            } else {
                path.extend(part);
            }
        }
        path
    }

    /// Downstream from a place in `host`, on into a daughter where the branch is too short.
    fn course(&self, draws: &mut Draws, host: usize, length: f32) -> Vec<(Vector, f32)> {
        let branches = &self.arteries.branches;
        let branch = &branches[host];
        let room = (branch.length() - length).max(0.2 * branch.length());
        let mut path = along(&branch.points, draws.between(0.0, room), length);
        let mut left = length - extent(&path);
        let mut current = host;
        while left > 2.0 {
            let daughters = &branches[current].daughters;
            let wide: Vec<usize> =
                daughters.iter().copied().filter(|&daughter| self.holds(&branches[daughter])).collect();
            if wide.is_empty() {
                break;
            }
            current = *draws.choose(&wide);
            let part = along(&branches[current].points, 0.0, left);
            left -= extent(&part);
            path.extend(part.into_iter().skip(1));
        }
        path
    }
}

/// The stretch of a centre line from `start`, `length` long, in steps of 1.5 mm.
fn along(points: &[(Vector, f32)], start: f32, length: f32) -> Vec<(Vector, f32)> {
    const STEP: f32 = 1.5;
    let mut path = Vec::new();
    let mut passed = 0.0;
    let mut next = start;
    for pair in points.windows(2) {
        let piece = (pair[1].0 - pair[0].0).length();
        while next <= passed + piece && next <= start + length {
            let share = (next - passed) / piece.max(1e-3);
            path.push((pair[0].0.towards(pair[1].0, share), pair[0].1 + (pair[1].1 - pair[0].1) * share));
            next += STEP;
        }
        passed += piece;
    }
    path
}

/// The embolus around its path: tapered ends, an uneven surface.
fn acute(draws: &mut Draws, path: &[(Vector, f32)], occlusion: Occlusion) -> Vec<Tube> {
    let (fill, aside) = match occlusion {
        Occlusion::Central => (draws.between(0.6, 0.78), draws.between(0.0, 0.12)),
        Occlusion::Eccentric => (draws.between(0.62, 0.8), draws.between(0.3, 0.42)),
        Occlusion::Complete => (1.05, 0.0),
    };
    let heading = draws.between(0.0, std::f32::consts::TAU);
    let count = path.len();
    let rings: Vec<(Vector, f32)> = path
        .iter()
        .enumerate()
        .map(|(index, &(point, radius))| {
            let place = 2.0 * (index as f32 + 0.5) / count as f32 - 1.0;
            // Round at the ends and even between them; thrombus is not smooth.
            let taper = (1.0 - place.powi(6)).max(0.25).sqrt();
            let uneven = 1.0 + 0.07 * draws.normal().clamp(-2.0, 2.0);
            let offset = across(path, index, heading) * (aside * radius);
            (point + offset, (radius * fill * taper * uneven).max(THINNEST))
        })
        .collect();
    tubes(&rings, 1.0).collect()
}

/// A broad, smooth layer on one wall: the part of a round body of the artery's width that stays inside when the body is
/// moved mostly out of the artery.
fn mural(draws: &mut Draws, path: &[(Vector, f32)]) -> Vec<Tube> {
    let fill = draws.between(0.85, 1.05);
    let aside = fill + draws.between(0.1, 0.3);
    let heading = draws.between(0.0, std::f32::consts::TAU);
    let rings: Vec<(Vector, f32)> = path
        .iter()
        .enumerate()
        .map(|(index, &(point, radius))| {
            (point + across(path, index, heading) * (aside * radius), (fill * radius).max(THINNEST))
        })
        .collect();
    tubes(&rings, 1.0).collect()
}

/// Thin bands from wall to wall.
fn web(draws: &mut Draws, path: &[(Vector, f32)]) -> Vec<Tube> {
    let band = |(index, &(point, radius)): (usize, &(Vector, f32))| {
        let half = across(path, index, draws.between(0.0, std::f32::consts::TAU)) * radius;
        Tube { from: point + half, to: point + half * -1.0, radii: [BAND; 2] }
    };
    path.iter().enumerate().step_by(BAND_DISTANCE).map(band).collect()
}

/// The unit vector across a path at one of its points, in a direction around it.
fn across(path: &[(Vector, f32)], index: usize, heading: f32) -> Vector {
    let ahead = (path[(index + 1).min(path.len() - 1)].0 - path[index.saturating_sub(1)].0).unit();
    let (first, second) = ahead.perpendiculars();
    first * heading.cos() + second * heading.sin()
}

#[cfg(test)]
mod tests {
    use super::super::{Exam, Preset, Recipe, Site};
    use super::*;

    fn recipe(index: usize) -> Recipe {
        Recipe::new(Preset::Light, 77, index)
    }

    fn exam(index: usize, level: Option<Level>) -> Exam {
        Exam::draw(&Recipe { pe: Some(true), level, ..recipe(index) })
    }

    #[test]
    fn a_demanded_level_is_the_most_proximal_one() {
        for level in Level::ALL {
            assert_eq!(exam(0, Some(level)).truth().level, Some(level));
        }
    }

    #[test]
    fn two_in_five_positives_have_nothing_larger_than_segmental() {
        let count = 60;
        let small = (0..count).filter(|&index| exam(index, None).truth().level >= Some(Level::Segmental)).count();
        assert!((count * 2 / 5..=count * 3 / 5).contains(&small), "{small} of {count}");
    }

    /// How far the middle of an embolus lies from the nearest centre line, against the artery's radius there.
    fn aside(exam: &Exam, embolus: &Embolus) -> f32 {
        let middle = embolus.tubes[embolus.tubes.len() / 2].from;
        let lines = exam.arteries.branches.iter().flat_map(|branch| along(&branch.points, 0.0, branch.length()));
        let nearest = lines.min_by(|a, b| (a.0 - middle).length().total_cmp(&(b.0 - middle).length())).unwrap();
        (nearest.0 - middle).length() / nearest.1
    }

    #[test]
    fn chronic_emboli_lie_along_the_wall_and_the_exam_says_so() {
        let mut ages = Vec::new();
        for index in 0..40 {
            let recipe = Recipe { site: Site::External, level: Some(Level::Lobar), pe: Some(true), ..recipe(index) };
            let exam = Exam::draw(&recipe);
            ages.extend(exam.truth().age);
            for embolus in exam.emboli.iter().filter(|embolus| embolus.level == Level::Lobar) {
                let aside = aside(&exam, embolus);
                assert!(
                    if embolus.chronic { aside > 0.6 } else { aside < 0.6 },
                    "exam {index}: {embolus:?} at {aside}"
                );
            }
        }
        for age in [Age::Acute, Age::Chronic, Age::Both] {
            assert!(ages.contains(&age), "{age:?}");
        }
    }

    #[test]
    fn no_embolus_of_the_internal_site_is_chronic() {
        assert!((0..20).all(|index| exam(index, None).truth().age == Some(Age::Acute)));
    }

    #[test]
    fn an_embolus_lies_in_the_arteries_of_its_side() {
        for level in [Level::Main, Level::Lobar, Level::Segmental, Level::Subsegmental] {
            let exam = exam(3, Some(level));
            for embolus in &exam.emboli {
                let sign = embolus.sides[0].sign();
                assert!(embolus.level == Level::Main || embolus.tubes.iter().all(|tube| tube.from.x * sign > 0.0));
                assert!((30.0..=90.0).contains(&embolus.hounsfield));
            }
        }
    }
}
