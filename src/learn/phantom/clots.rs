//! Emboli: filling defects that follow the course of the arteries.

use super::random::Draws;
use super::shapes::{Tube, tubes};
use super::thorax::Side;
use super::vector::Vector;
use super::vessels::{Level, Tree};

/// Arteries narrower than this (radius in millimetres) carry no clot: nobody could see it.
const NARROWEST: f32 = 1.5;

/// How much of the artery a clot fills.
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
pub(super) struct Clot {
    pub(super) level: Level,
    /// Sides of the patient the clot lies on.
    pub(super) sides: Vec<Side>,
    pub(super) hounsfield: f32,
    pub(super) tubes: Vec<Tube>,
}

/// The level of the most proximal clot, with probabilities: half of the exams have nothing larger than segmental.
fn most_proximal(draws: &mut Draws) -> Level {
    match draws.between(0.0, 1.0) {
        share if share < 0.08 => Level::Saddle,
        share if share < 0.25 => Level::Main,
        share if share < 0.52 => Level::Lobar,
        share if share < 0.88 => Level::Segmental,
        _ => Level::Subsegmental,
    }
}

/// Draws the emboli of one exam; `level` demands the level of the most proximal one.
pub(super) fn draw(draws: &mut Draws, arteries: &Tree, level: Option<Level>) -> Vec<Clot> {
    let drawn = most_proximal(draws);
    let first = level.unwrap_or(drawn);
    let further = match first {
        Level::Saddle | Level::Main | Level::Lobar => draws.whole(2, 6),
        Level::Segmental => draws.whole(1, 5),
        Level::Subsegmental => draws.whole(1, 3),
    };
    let mut clots: Vec<Clot> = one(draws, arteries, first).into_iter().collect();
    for _ in 0..further {
        let deeper: Vec<Level> = [Level::Lobar, Level::Segmental, Level::Subsegmental]
            .into_iter()
            .filter(|&deeper| deeper >= first)
            .collect();
        let level = *draws.choose(&deeper);
        clots.extend(one(draws, arteries, level));
    }
    clots
}

fn one(draws: &mut Draws, arteries: &Tree, level: Level) -> Option<Clot> {
    let length = match level {
        Level::Saddle => draws.between(45.0, 80.0),
        Level::Main => draws.between(22.0, 45.0),
        Level::Lobar => draws.between(15.0, 38.0),
        Level::Segmental => draws.between(10.0, 26.0),
        Level::Subsegmental => draws.between(9.0, 16.0),
    };
    let (path, sides) = if level == Level::Saddle {
        (saddle(draws, arteries, length), Side::BOTH.to_vec())
    } else {
        let hosts: Vec<usize> = arteries
            .branches
            .iter()
            .enumerate()
            .filter(|(_, branch)| branch.level == level && branch.side.is_some() && branch.radius() >= NARROWEST)
            .map(|(index, _)| index)
            .collect();
        if hosts.is_empty() {
            return None;
        }
        let host = *draws.choose(&hosts);
        (course(draws, arteries, host, length), arteries.branches[host].side.into_iter().collect())
    };
    let occlusion = *draws.choose(&match level {
        Level::Saddle | Level::Main => [Occlusion::Central, Occlusion::Central, Occlusion::Eccentric],
        Level::Lobar => [Occlusion::Central, Occlusion::Eccentric, Occlusion::Complete],
        Level::Segmental | Level::Subsegmental => [Occlusion::Central, Occlusion::Complete, Occlusion::Complete],
    });
    Some(Clot { level, sides, hounsfield: draws.between(30.0, 90.0), tubes: shape(draws, &path, occlusion) })
}

/// From the left main artery backwards over the bifurcation into the right one.
fn saddle(draws: &mut Draws, arteries: &Tree, length: f32) -> Vec<(Vector, f32)> {
    let main =
        |side: Side| arteries.branches.iter().find(|branch| branch.level == Level::Main && branch.side == Some(side));
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
fn course(draws: &mut Draws, arteries: &Tree, host: usize, length: f32) -> Vec<(Vector, f32)> {
    let branch = &arteries.branches[host];
    let room = (branch.length() - length).max(0.2 * branch.length());
    let mut path = along(&branch.points, draws.between(0.0, room), length);
    let mut left = length - extent(&path);
    let mut current = host;
    while left > 2.0 {
        let daughters = &arteries.branches[current].daughters;
        let wide: Vec<usize> =
            daughters.iter().copied().filter(|&daughter| arteries.branches[daughter].radius() >= NARROWEST).collect();
        if wide.is_empty() {
            break;
        }
        current = *draws.choose(&wide);
        let part = along(&arteries.branches[current].points, 0.0, left);
        left -= extent(&part);
        path.extend(part.into_iter().skip(1));
    }
    path
}

fn extent(path: &[(Vector, f32)]) -> f32 {
    path.windows(2).map(|pair| (pair[1].0 - pair[0].0).length()).sum()
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

/// The clot around its path: tapered ends, an uneven surface.
fn shape(draws: &mut Draws, path: &[(Vector, f32)], occlusion: Occlusion) -> Vec<Tube> {
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
            let taper = (1.0 - place.powi(6)).max(0.25).sqrt();
            let uneven = 1.0 + 0.07 * draws.normal().clamp(-2.0, 2.0);
            let ahead = (path[(index + 1).min(count - 1)].0 - path[index.saturating_sub(1)].0).unit();
            let (first, second) = ahead.perpendiculars();
            let offset = (first * heading.cos() + second * heading.sin()) * (aside * radius);
            (point + offset, (radius * fill * taper * uneven).max(1.15))
        })
        .collect();
    tubes(&rings, 1.0).collect()
}

#[cfg(test)]
mod tests {
    use super::super::{Exam, Preset, Recipe};
    use super::*;

    fn exam(index: usize, level: Option<Level>) -> Exam {
        Exam::draw(&Recipe { pe: Some(true), level, ..Recipe::new(Preset::Light, 77, index) })
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

    #[test]
    fn a_clot_lies_in_the_arteries_of_its_side() {
        for level in [Level::Main, Level::Lobar, Level::Segmental, Level::Subsegmental] {
            let exam = exam(3, Some(level));
            for clot in &exam.clots {
                let sign = clot.sides[0].sign();
                assert!(clot.level == Level::Main || clot.tubes.iter().all(|tube| tube.from.x * sign > 0.0));
                assert!((30.0..=90.0).contains(&clot.hounsfield));
            }
        }
    }
}
