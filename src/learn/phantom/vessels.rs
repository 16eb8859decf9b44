//! Branching trees that fill the lungs: pulmonary arteries, pulmonary veins, bronchi beside the arteries.
//!
//! A tree grows towards points spread evenly through a lobe: the set of points ahead of a branch is cut in two across
//! its widest direction, and each half gets a daughter, until a branch has one point left. Radii follow the number of
//! points supplied with the exponent of Murray's law as measured in pulmonary arteries (Huang et al., J Appl Physiol
//! 81 (1996) 2123: about 2.7 to 3).

use super::level::Level;
use super::random::Draws;
use super::shapes::{Tube, tubes};
use super::thorax::{Lobe, Side, Thorax};
use super::vector::{Vector, at};

const MURRAY: f32 = 2.7;
/// Points that a tree grows towards in each lung: enough arteries that the smallest is 2 mm wide, about the smallest
/// that a CT shows; fewer veins, which are seen no further out.
const ARTERIAL_POINTS: usize = 300;
const VENOUS_POINTS: usize = 220;

/// A vessel between two bifurcations.
#[derive(Debug, Clone)]
pub(super) struct Branch {
    /// Centre line with radii.
    pub(super) points: Vec<(Vector, f32)>,
    pub(super) level: Level,
    /// `None` for the trunk.
    pub(super) side: Option<Side>,
    pub(super) daughters: Vec<usize>,
}

impl Branch {
    fn end(&self) -> Vector {
        self.points[self.points.len() - 1].0
    }

    fn direction(&self) -> Vector {
        let count = self.points.len();
        (self.points[count - 1].0 - self.points[count - 2].0).unit()
    }

    pub(super) fn radius(&self) -> f32 {
        self.points[self.points.len() / 2].1
    }

    pub(super) fn length(&self) -> f32 {
        extent(&self.points)
    }

    pub(super) fn tubes(&self) -> impl Iterator<Item = Tube> + '_ {
        self.points.windows(2).map(|pair| Tube { from: pair[0].0, to: pair[1].0, radii: [pair[0].1, pair[1].1] })
    }
}

/// Length of a centre line.
pub(super) fn extent(points: &[(Vector, f32)]) -> f32 {
    points.windows(2).map(|pair| (pair[1].0 - pair[0].0).length()).sum()
}

/// A tree of branches; a branch comes before its daughters.
#[derive(Debug, Clone, Default)]
pub(super) struct Tree {
    pub(super) branches: Vec<Branch>,
}

impl Tree {
    fn add(&mut self, parent: Option<usize>, branch: Branch) -> usize {
        let index = self.branches.len();
        self.branches.push(branch);
        if let Some(parent) = parent {
            self.branches[parent].daughters.push(index);
        }
        index
    }

    pub(super) fn tubes(&self) -> impl Iterator<Item = Tube> + '_ {
        self.branches.iter().flat_map(Branch::tubes)
    }
}

/// Points spread evenly through one lobe.
struct Territory {
    side: Side,
    lobe: Lobe,
    points: Vec<Vector>,
}

/// Even points in the lungs, by lobe; about `count` in each lung.
fn territories(draws: &mut Draws, thorax: &Thorax, count: usize) -> Vec<Territory> {
    let mut territories = Vec::new();
    for side in Side::BOTH {
        let mut points = Vec::with_capacity(count);
        // A lung fills about half of its bounding box; the bound keeps a degenerate chest from looping for ever.
        for _ in 0..count * 40 {
            if points.len() == count {
                break;
            }
            let point =
                at(side.sign() * draws.between(4.0, 142.0), draws.between(-105.0, 95.0), draws.between(-185.0, 100.0));
            if thorax.lung(point) < -5.0 {
                points.push(point);
            }
        }
        for lobe in [Lobe::Upper, Lobe::Middle, Lobe::Lower] {
            let points: Vec<Vector> = points.iter().copied().filter(|&point| thorax.lobe(point) == lobe).collect();
            if !points.is_empty() {
                territories.push(Territory { side, lobe, points });
            }
        }
    }
    territories
}

/// How a lobe's tree tapers: the radius of its stem and how many points the whole lobe has.
#[derive(Clone, Copy)]
struct Taper {
    stem: f32,
    points: usize,
}

impl Taper {
    fn radius(self, ahead: usize) -> f32 {
        self.stem * (ahead as f32 / self.points as f32).powf(1.0 / MURRAY)
    }

    fn level(self, ahead: usize) -> Level {
        // A lobe has two to five segments, each of which has two subsegments at least.
        let share = ahead as f32 / self.points as f32;
        if share > 0.6 {
            Level::Lobar
        } else if share > 0.14 {
            Level::Segmental
        } else {
            Level::Subsegmental
        }
    }
}

/// A bent piece of vessel from `start`, leaving along `direction`, to `end`.
fn bend(start: Vector, direction: Vector, end: Vector, radii: [f32; 2]) -> Vec<(Vector, f32)> {
    let length = (end - start).length();
    let control = start + direction * (0.35 * length);
    let steps = ((length / 7.0).ceil() as usize).clamp(2, 8);
    (0..=steps)
        .map(|step| {
            let share = step as f32 / steps as f32;
            let point = start.towards(control, share).towards(control.towards(end, share), share);
            (point, radii[0] + (radii[1] - radii[0]) * share)
        })
        .collect()
}

/// Grows the vessels from the end of `parent` to all `points`.
fn grow(tree: &mut Tree, draws: &mut Draws, parent: usize, side: Side, points: &mut [Vector], taper: Taper) {
    let (start, direction) = (tree.branches[parent].end(), tree.branches[parent].direction());
    let count = points.len();
    let centre = points.iter().fold(Vector::default(), |sum, &point| sum + point) * (1.0 / count as f32);
    let radius = taper.radius(count);
    let end = if count == 1 {
        points[0]
    } else {
        // Not all the way to the middle of what it supplies, or its daughters would turn back.
        let reach = draws.between(0.32, 0.46);
        start.towards(centre, reach) + draws.jitter(0.06 * (centre - start).length())
    };
    let last = if count == 1 { 0.7 * radius } else { 0.94 * radius };
    let branch = Branch {
        points: bend(start, direction, end, [radius, last]),
        level: taper.level(count),
        side: Some(side),
        daughters: Vec::new(),
    };
    let index = tree.add(Some(parent), branch);
    if count > 1 {
        let axis = widest(points, centre, (end - start).unit());
        points.sort_by(|first, second| first.dot(axis).total_cmp(&second.dot(axis)));
        // Arteries seldom divide evenly.
        let share = draws.between(0.34, 0.66);
        let cut = ((count as f32 * share).round() as usize).clamp(1, count - 1);
        let (near, far) = points.split_at_mut(cut);
        grow(tree, draws, index, side, near, taper);
        grow(tree, draws, index, side, far, taper);
    }
}

/// The direction across `along` in which the points spread most, by power iteration on their covariance.
fn widest(points: &[Vector], centre: Vector, along: Vector) -> Vector {
    // Not wholly across: a set that is long and thin may be cut along its length too.
    let across = |vector: Vector| vector - along * (0.8 * vector.dot(along));
    let mut axis = along.perpendiculars().0;
    // Six rounds are enough for a direction; nothing depends on its last digits.
    for _ in 0..6 {
        let next = points.iter().fold(Vector::default(), |sum, &point| {
            let offset = across(point - centre);
            sum + offset * offset.dot(axis)
        });
        axis = next.unit();
    }
    axis
}

fn stem(points: &[(Vector, f32)], level: Level, side: Option<Side>) -> Branch {
    Branch { points: points.to_vec(), level, side, daughters: Vec::new() }
}

/// The arteries between the heart and the lobes, and the indices of those that the arteries of lobes leave.
struct Central {
    tree: Tree,
    left: usize,
    right: usize,
    left_interlobar: usize,
    right_interlobar: usize,
}

impl Central {
    /// `place` maps a point of the drawing and the vessel's radius there into this patient.
    fn new(place: impl Fn(f32, f32, f32, f32) -> (Vector, f32)) -> Self {
        let mut tree = Tree::default();
        let trunk = [
            place(18.0, -50.0, -62.0, 13.0),
            place(20.0, -40.0, -42.0, 13.5),
            place(18.0, -26.0, -30.0, 13.0),
            place(15.0, -15.0, -24.0, 11.5),
        ];
        let trunk = tree.add(None, stem(&trunk, Level::Saddle, None));
        let right = [
            place(15.0, -15.0, -24.0, 11.0),
            place(-5.0, -5.0, -23.0, 10.5),
            place(-26.0, 0.0, -25.0, 10.0),
            place(-42.0, 5.0, -28.0, 9.0),
        ];
        let right = tree.add(Some(trunk), stem(&right, Level::Main, Some(Side::Right)));
        let left = [
            place(15.0, -15.0, -24.0, 11.0),
            place(27.0, -2.0, -15.0, 10.5),
            place(38.0, 11.0, -13.0, 10.0),
            place(46.0, 20.0, -20.0, 9.0),
        ];
        let left = tree.add(Some(trunk), stem(&left, Level::Main, Some(Side::Left)));
        let interlobar = [place(46.0, 20.0, -20.0, 8.0), place(48.0, 16.0, -42.0, 7.6), place(50.0, 22.0, -58.0, 7.0)];
        let left_interlobar = tree.add(Some(left), stem(&interlobar, Level::Lobar, Some(Side::Left)));
        let interlobar =
            [place(-42.0, 5.0, -28.0, 8.0), place(-50.0, 16.0, -42.0, 7.6), place(-52.0, 22.0, -58.0, 7.0)];
        let right_interlobar = tree.add(Some(right), stem(&interlobar, Level::Lobar, Some(Side::Right)));
        Self { tree, left, right, left_interlobar, right_interlobar }
    }

    /// The branch that the artery of a lobe leaves, and that artery's radius.
    fn origin(&self, side: Side, lobe: Lobe) -> (usize, f32) {
        match (side, lobe) {
            (Side::Right, Lobe::Upper) => (self.right, 6.0),
            (Side::Right, Lobe::Middle) => (self.right_interlobar, 4.6),
            (Side::Right, Lobe::Lower) => (self.right_interlobar, 6.4),
            (Side::Left, Lobe::Upper | Lobe::Middle) => (self.left, 6.4),
            (Side::Left, Lobe::Lower) => (self.left_interlobar, 6.2),
        }
    }
}

/// The pulmonary arteries from the valve to the subsegmental branches; `width` is 1 for those of a healthy adult.
pub(super) fn arteries(draws: &mut Draws, thorax: &Thorax, width: f32) -> Tree {
    let calibre = width * draws.between(0.88, 1.12);
    let shift = draws.jitter(2.0);
    let mut central = Central::new(|x, y, z, radius| (at(x, y, z) + shift, radius * calibre));
    for mut territory in territories(draws, thorax, ARTERIAL_POINTS) {
        let (parent, radius) = central.origin(territory.side, territory.lobe);
        let taper = Taper { stem: radius * calibre, points: territory.points.len() };
        grow(&mut central.tree, draws, parent, territory.side, &mut territory.points, taper);
    }
    central.tree
}

/// The pulmonary veins, from their mouths in the left atrium outwards.
pub(super) fn veins(draws: &mut Draws, thorax: &Thorax) -> Tree {
    let mut tree = Tree::default();
    for mut territory in territories(draws, thorax, VENOUS_POINTS) {
        let sign = territory.side.sign();
        let upper = territory.lobe != Lobe::Lower;
        let (mouth, hilum) = if upper {
            (at(sign * 24.0, 12.0, -54.0), at(sign * 46.0, -4.0, -42.0 + draws.between(-4.0, 6.0)))
        } else {
            (at(sign * 24.0, 24.0, -68.0), at(sign * 46.0, 30.0, -76.0 + draws.between(-5.0, 5.0)))
        };
        let radius = if territory.lobe == Lobe::Middle { 3.6 } else { 5.6 };
        let trunk = stem(&[(mouth, radius + 1.0), (hilum, radius)], Level::Lobar, Some(territory.side));
        let trunk = tree.add(None, trunk);
        let taper = Taper { stem: radius, points: territory.points.len() };
        grow(&mut tree, draws, trunk, territory.side, &mut territory.points, taper);
    }
    tree
}

/// Trachea and main bronchi, then a bronchus beside every artery that is wide enough: lumina, without walls.
pub(super) fn bronchi(draws: &mut Draws, arteries: &Tree) -> Vec<Tube> {
    let mut lumina = Vec::new();
    let mut chain = |points: &[(Vector, f32)]| {
        lumina.extend(tubes(points, 1.0));
    };
    chain(&[(at(1.0, 4.0, 130.0), 8.5), (at(1.0, 12.0, 50.0), 8.5), (at(0.0, 18.0, 0.0), 8.0)]);
    chain(&[
        (at(-1.0, 18.0, 0.0), 7.5),
        (at(-20.0, 20.0, -18.0), 7.0),
        (at(-40.0, 20.0, -30.0), 6.0),
        (at(-46.0, 26.0, -58.0), 4.8),
    ]);
    chain(&[
        (at(1.0, 18.0, 0.0), 7.0),
        (at(22.0, 23.0, -22.0), 6.3),
        (at(42.0, 27.0, -36.0), 5.5),
        (at(47.0, 32.0, -60.0), 4.6),
    ]);
    chain(&[(at(-22.0, 20.0, -19.0), 5.0), (at(-44.0, 14.0, -8.0), 4.2)]);
    chain(&[(at(40.0, 27.0, -35.0), 4.8), (at(56.0, 10.0, -28.0), 4.2)]);
    let turn = draws.between(0.0, 1.0);
    for branch in arteries.branches.iter().filter(|branch| branch.level >= Level::Segmental && branch.radius() > 1.5) {
        for tube in branch.tubes() {
            let axis = (tube.to - tube.from).unit();
            let (first, second) = axis.perpendiculars();
            let beside = (first * turn + second * (1.0 - turn)).unit();
            // A bronchus runs beside its artery and has an outer width like it; the wall takes the rest.
            let lumen = tube.radii.map(|radius| 0.62 * radius);
            let move_by = |radius: f32| beside * (1.75 * radius + 0.7);
            lumina.push(Tube {
                from: tube.from + move_by(tube.radii[0]),
                to: tube.to + move_by(tube.radii[1]),
                radii: lumen,
            });
        }
    }
    lumina
}
