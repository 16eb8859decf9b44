//! Solids with soft edges: what share of each voxel of a slice they fill. The edge of a solid is as wide as the voxel
//! is in the direction of the surface, so that pixel size and slice thickness give their true partial volume.

use super::vector::{Vector, at};

/// The voxels of one slice in the frame of the anatomy.
#[derive(Debug, Clone, Copy)]
pub(super) struct Grid {
    pub(super) columns: usize,
    pub(super) rows: usize,
    /// Centre of the first voxel.
    pub(super) first: Vector,
    /// Extent of a voxel; rows grow towards the back, columns towards the left.
    pub(super) voxel: Vector,
}

impl Grid {
    pub(super) fn x(&self, column: usize) -> f32 {
        self.first.x + column as f32 * self.voxel.x
    }

    pub(super) fn y(&self, row: usize) -> f32 {
        self.first.y + row as f32 * self.voxel.y
    }

    pub(super) fn len(&self) -> usize {
        self.columns * self.rows
    }

    /// Columns and rows whose centres lie within `reach` of the rectangle of two corners.
    fn window(&self, low: Vector, high: Vector) -> Window {
        let index = |coordinate: f32, first: f32, step: f32, size: usize| {
            (((coordinate - first) / step).clamp(0.0, size as f32)) as usize
        };
        Window {
            left: index(low.x, self.first.x, self.voxel.x, self.columns),
            right: index(high.x + self.voxel.x, self.first.x, self.voxel.x, self.columns),
            top: index(low.y, self.first.y, self.voxel.y, self.rows),
            bottom: index(high.y + self.voxel.y, self.first.y, self.voxel.y, self.rows),
        }
    }
}

/// A rectangle of voxels; `right` and `bottom` are excluded.
#[derive(Debug, Clone, Copy, Default)]
struct Window {
    left: usize,
    right: usize,
    top: usize,
    bottom: usize,
}

/// The share of each voxel of a slice that a tissue fills.
#[derive(Debug, Clone, Default)]
pub(super) struct Coverage {
    pub(super) values: Vec<f32>,
    touched: Option<Window>,
}

impl Coverage {
    pub(super) fn new(grid: &Grid) -> Self {
        Self { values: vec![0.0; grid.len()], touched: None }
    }

    fn touch(&mut self, window: Window) {
        self.touched = Some(match self.touched {
            None => window,
            Some(old) => Window {
                left: old.left.min(window.left),
                right: old.right.max(window.right),
                top: old.top.min(window.top),
                bottom: old.bottom.max(window.bottom),
            },
        });
    }

    /// Empties the coverage for the next tissue.
    pub(super) fn clear(&mut self, grid: &Grid) {
        if let Some(window) = self.touched.take() {
            for row in window.top..window.bottom {
                self.values[row * grid.columns + window.left..row * grid.columns + window.right].fill(0.0);
            }
        }
    }

    /// Calls `visit(index, x, y, share)` for each voxel that is filled in part.
    pub(super) fn each(&self, grid: &Grid, mut visit: impl FnMut(usize, f32, f32, f32)) {
        let Some(window) = self.touched else { return };
        for row in window.top..window.bottom {
            let y = grid.y(row);
            for column in window.left..window.right {
                let index = row * grid.columns + column;
                let share = self.values[index];
                if share > 0.0 {
                    visit(index, grid.x(column), y, share);
                }
            }
        }
    }

    /// Adds the union with a solid: `inside(x, y)` is the share of the voxel it fills.
    fn add(&mut self, grid: &Grid, low: Vector, high: Vector, inside: impl Fn(f32, f32) -> f32) {
        let window = grid.window(low, high);
        if window.left >= window.right || window.top >= window.bottom {
            return;
        }
        self.touch(window);
        for row in window.top..window.bottom {
            let y = grid.y(row);
            let start = row * grid.columns;
            for column in window.left..window.right {
                let value = &mut self.values[start + column];
                *value = value.max(inside(grid.x(column), y));
            }
        }
    }
}

/// The share of a voxel inside a surface at signed distance `distance` (negative inside), `width` the extent of the
/// voxel across the surface.
pub(super) fn share(distance: f32, width: f32) -> f32 {
    (0.5 - distance / width).clamp(0.0, 1.0)
}

/// A straight piece of a vessel, bronchus or bone: a cone with round ends.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tube {
    pub(super) from: Vector,
    pub(super) to: Vector,
    pub(super) radii: [f32; 2],
}

impl Tube {
    /// The tube with its surface moved outwards by `distance`; `None` where nothing is left.
    pub(super) fn grown(self, distance: f32) -> Option<Self> {
        let radii = self.radii.map(|radius| radius + distance);
        (radii[0].max(radii[1]) > 0.05).then(|| Self { radii: radii.map(|radius| radius.max(0.05)), ..self })
    }

    fn widest(&self) -> f32 {
        self.radii[0].max(self.radii[1])
    }

    /// Adds the part of the tube that lies in the slice.
    pub(super) fn fill(&self, grid: &Grid, coverage: &mut Coverage) {
        let z = grid.first.z;
        let reach = self.widest();
        let vertical = reach + 0.5 * grid.voxel.z;
        if z < self.from.z.min(self.to.z) - vertical || z > self.from.z.max(self.to.z) + vertical {
            return;
        }
        let reach = reach + 0.6 * grid.voxel.x.max(grid.voxel.y);
        let low = at(self.from.x.min(self.to.x) - reach, self.from.y.min(self.to.y) - reach, z);
        let high = at(self.from.x.max(self.to.x) + reach, self.from.y.max(self.to.y) + reach, z);
        let axis = self.to - self.from;
        let scale = 1.0 / axis.dot(axis).max(1e-6);
        let voxel = grid.voxel;
        coverage.add(grid, low, high, |x, y| {
            let offset = at(x, y, z) - self.from;
            let along = (offset.dot(axis) * scale).clamp(0.0, 1.0);
            let away = offset - axis * along;
            let distance = away.length();
            let radius = self.radii[0] + (self.radii[1] - self.radii[0]) * along;
            let width = if distance > 1e-3 {
                (away.x.abs() * voxel.x + away.y.abs() * voxel.y + away.z.abs() * voxel.z) / distance
            } else {
                voxel.x
            };
            share(distance - radius, width).min(2.0 * radius / width)
        });
    }
}

/// A chain of tubes through points with radii.
pub(super) fn tubes(points: &[(Vector, f32)], factor: f32) -> impl Iterator<Item = Tube> + use<> {
    let pairs: Vec<Tube> = points
        .windows(2)
        .map(|pair| Tube { from: pair[0].0, to: pair[1].0, radii: [pair[0].1 * factor, pair[1].1 * factor] })
        .collect();
    pairs.into_iter()
}

/// An ellipsoid in any orientation.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ellipsoid {
    centre: Vector,
    axes: [Vector; 3],
    radii: Vector,
}

impl Ellipsoid {
    /// An ellipsoid whose first axis points along `direction`.
    pub(super) fn along(centre: Vector, direction: Vector, radii: Vector) -> Self {
        let first = direction.unit();
        let (second, third) = first.perpendiculars();
        Self { centre, axes: [first, second, third], radii }
    }

    /// An ellipsoid along the axes of the patient.
    pub(super) fn upright(centre: Vector, radii: Vector) -> Self {
        Self { centre, axes: [at(1.0, 0.0, 0.0), at(0.0, 1.0, 0.0), at(0.0, 0.0, 1.0)], radii }
    }

    pub(super) fn centre(&self) -> Vector {
        self.centre
    }

    /// The ellipsoid with its surface moved outwards by `distance`.
    pub(super) fn grown(self, distance: f32) -> Self {
        Self { radii: self.radii + at(distance, distance, distance), ..self }
    }

    /// Whether a point may lie inside or within `margin` of the surface: a quick test by the surrounding sphere.
    pub(super) fn near(&self, point: Vector, margin: f32) -> bool {
        let offset = point - self.centre;
        let reach = self.radii.x.max(self.radii.y).max(self.radii.z) + margin;
        offset.dot(offset) < reach * reach
    }

    /// Signed distance to the surface, negative inside; exact on the surface, an estimate elsewhere.
    pub(super) fn distance(&self, point: Vector) -> f32 {
        let offset = point - self.centre;
        let local = at(
            offset.dot(self.axes[0]) / self.radii.x,
            offset.dot(self.axes[1]) / self.radii.y,
            offset.dot(self.axes[2]) / self.radii.z,
        );
        let slope = at(local.x / self.radii.x, local.y / self.radii.y, local.z / self.radii.z).length();
        let depth = local.length();
        if slope > 1e-6 { depth * (depth - 1.0) / slope } else { -self.radii.x.min(self.radii.y).min(self.radii.z) }
    }

    /// Whether the slab of a slice can meet the ellipsoid.
    pub(super) fn meets(&self, z: f32, thickness: f32) -> bool {
        let reach = self.reach(2);
        (z - self.centre.z).abs() <= reach + 0.5 * thickness
    }

    fn reach(&self, axis: usize) -> f32 {
        let component = |vector: Vector| [vector.x, vector.y, vector.z][axis];
        let radii = [self.radii.x, self.radii.y, self.radii.z];
        (0..3).map(|index| (component(self.axes[index]) * radii[index]).powi(2)).sum::<f32>().sqrt()
    }

    /// Adds the part of the ellipsoid that lies in the slice.
    pub(super) fn fill(&self, grid: &Grid, coverage: &mut Coverage) {
        if !self.meets(grid.first.z, grid.voxel.z) {
            return;
        }
        let z = grid.first.z;
        let margin = grid.voxel.x.max(grid.voxel.y);
        let reach = at(self.reach(0) + margin, self.reach(1) + margin, 0.0);
        let width = margin.max(0.4 * grid.voxel.z);
        coverage.add(grid, self.centre - reach, self.centre + reach, |x, y| share(self.distance(at(x, y, z)), width));
    }
}
