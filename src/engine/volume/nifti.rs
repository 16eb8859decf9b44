//! Volumes as NIfTI-1 files ([the format](https://nifti.nimh.nih.gov/nifti-1)), whose axes go to the right, the
//! front and the head (RAS) where DICOM's go to the left, the back and the head (LPS).

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use ndarray::{Array3, Ix3};
use nifti::writer::WriterOptions;
use nifti::{DataElement, IntoNdArray, NiftiHeader, NiftiObject, ReaderOptions};

use super::geometry::{Geometry, PatientPoint, cross, dot, norm};

/// Why a NIfTI file cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum NiftiError {
    /// The file could not be written.
    #[error("writing {path}: {source}", path = path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        source: Box<nifti::NiftiError>,
    },
    /// The file could not be read.
    #[error("reading {path}: {source}", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        source: Box<nifti::NiftiError>,
    },
    /// The file's grid is not one of perpendicular axes in three dimensions.
    #[error("reading {path}: {what}", path = path.display())]
    Grid {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: &'static str,
    },
}

/// Writes voxels `[slice, row, column]` on a grid; compressed if the name ends in `.gz`. `sform` and `qform` both say
/// where the voxels lie. The file is written beside its place and renamed, so that no reader sees half of it.
pub fn write<T>(path: &Path, voxels: &Array3<T>, geometry: &Geometry) -> Result<(), NiftiError>
where
    T: DataElement + bytemuck::Pod,
{
    let failed = |source: nifti::NiftiError| NiftiError::Write { path: path.to_owned(), source: Box::new(source) };
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // The name's ending tells the writer whether to compress.
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let partial = tempfile::Builder::new()
        .prefix(".partial-")
        .suffix(name.as_ref())
        .permissions(Permissions::from_mode(0o666))
        .tempfile_in(folder)
        .map_err(|error| failed(error.into()))?;
    WriterOptions::new(partial.path()).reference_header(&header(geometry)).write_nifti(&voxels.t()).map_err(failed)?;
    partial.persist(path).map_err(|error| failed(error.error.into()))?;
    Ok(())
}

/// Reads a three-dimensional file: voxels `[slice, row, column]` with the file's scaling applied, and their grid.
pub fn read(path: &Path) -> Result<(Array3<f32>, Geometry), NiftiError> {
    let fail = |source| NiftiError::Read { path: path.to_owned(), source: Box::new(source) };
    let object = ReaderOptions::new().read_file(path).map_err(fail)?;
    let geometry = geometry(object.header()).map_err(|what| NiftiError::Grid { path: path.to_owned(), what })?;
    let voxels = object.into_volume().into_ndarray::<f32>().map_err(fail)?;
    let voxels = voxels
        .into_dimensionality::<Ix3>()
        .map_err(|_| NiftiError::Grid { path: path.to_owned(), what: "three dimensions were expected" })?;
    Ok((voxels.reversed_axes().as_standard_layout().into_owned(), geometry))
}

/// From LPS to RAS, or back.
fn to_ras(point: [f64; 3]) -> [f64; 3] {
    [-point[0], -point[1], point[2]]
}

fn header(geometry: &Geometry) -> NiftiHeader {
    let directions = geometry.directions.map(to_ras);
    let origin = to_ras(geometry.origin.0);
    let row = |component: usize| -> [f32; 4] {
        std::array::from_fn(|axis| match axis {
            3 => origin[component] as f32,
            _ => (directions[axis][component] * geometry.spacing[axis]) as f32,
        })
    };
    // A quaternion can only turn: for a left-handed grid the third axis is reversed, and pixdim[0] says so.
    let handedness = dot(cross(directions[0], directions[1]), directions[2]).signum();
    let [b, c, d] = quaternion([directions[0], directions[1], directions[2].map(|component| component * handedness)]);
    let spacing = geometry.spacing.map(|distance| distance as f32);
    NiftiHeader {
        pixdim: [handedness as f32, spacing[0], spacing[1], spacing[2], 0.0, 0.0, 0.0, 0.0],
        // Millimetres.
        xyzt_units: 2,
        // NIFTI_XFORM_SCANNER_ANAT: the scanner's coordinates.
        qform_code: 1,
        sform_code: 1,
        quatern_b: b as f32,
        quatern_c: c as f32,
        quatern_d: d as f32,
        quatern_x: origin[0] as f32,
        quatern_y: origin[1] as f32,
        quatern_z: origin[2] as f32,
        srow_x: row(0),
        srow_y: row(1),
        srow_z: row(2),
        ..NiftiHeader::default()
    }
}

/// The last three components of the unit quaternion, its first one not negative, of a rotation given by its columns.
fn quaternion(columns: [[f64; 3]; 3]) -> [f64; 3] {
    let at = |row: usize, column: usize| columns[column][row];
    let trace = at(0, 0) + at(1, 1) + at(2, 2);
    let (a, vector) = if trace > 0.0 {
        let scale = 2.0 * (trace + 1.0).sqrt();
        let vector = [at(2, 1) - at(1, 2), at(0, 2) - at(2, 0), at(1, 0) - at(0, 1)];
        (scale / 4.0, vector.map(|component| component / scale))
    } else {
        // The largest component first: dividing by it is safe.
        let i = (0..3).max_by(|x, y| at(*x, *x).total_cmp(&at(*y, *y))).unwrap_or(0);
        let (j, k) = ((i + 1) % 3, (i + 2) % 3);
        let scale = 2.0 * (1.0 + at(i, i) - at(j, j) - at(k, k)).sqrt();
        let mut vector = [0.0; 3];
        vector[i] = scale / 4.0;
        vector[j] = (at(j, i) + at(i, j)) / scale;
        vector[k] = (at(k, i) + at(i, k)) / scale;
        ((at(k, j) - at(j, k)) / scale, vector)
    };
    if a < 0.0 { vector.map(|component| -component) } else { vector }
}

fn geometry(header: &NiftiHeader) -> Result<Geometry, &'static str> {
    let dimensions = header.dim().map_err(|_| "its dimensions are not valid")?;
    let size: [usize; 3] =
        <[u16; 3]>::try_from(dimensions).map_err(|_| "three dimensions were expected")?.map(usize::from);
    if header.sform_code == 0 {
        return Err("it has no sform");
    }
    let rows = [header.srow_x, header.srow_y, header.srow_z].map(|row| row.map(f64::from));
    let columns: [[f64; 3]; 3] = std::array::from_fn(|axis| to_ras([rows[0][axis], rows[1][axis], rows[2][axis]]));
    let spacing = columns.map(norm);
    if spacing.iter().any(|distance| !(distance.is_finite() && *distance > 0.0)) {
        return Err("its voxels have no size");
    }
    let directions: [[f64; 3]; 3] =
        std::array::from_fn(|axis| columns[axis].map(|component| component / spacing[axis]));
    let perpendicular = |a: usize, b: usize| dot(directions[a], directions[b]).abs() < 1e-3;
    if !(perpendicular(0, 1) && perpendicular(1, 2) && perpendicular(0, 2)) {
        return Err("its axes are not perpendicular");
    }
    Ok(Geometry { size, spacing, directions, origin: PatientPoint(to_ras([rows[0][3], rows[1][3], rows[2][3]])) })
}

#[cfg(test)]
mod tests {
    use super::super::testing::{MIRRORED, PRONE, SUPINE, TURNED, geometry};
    use super::*;

    /// The affine that `qform` stands for, by the formulas of the format's header file.
    fn affine_of_quaternion(header: &NiftiHeader) -> [[f32; 3]; 3] {
        let [b, c, d] = [header.quatern_b, header.quatern_c, header.quatern_d];
        let a = (1.0 - (b * b + c * c + d * d)).max(0.0).sqrt();
        let [i, j, k] = [header.pixdim[1], header.pixdim[2], header.pixdim[3] * header.pixdim[0]];
        [
            [(a * a + b * b - c * c - d * d) * i, 2.0 * (b * c - a * d) * j, 2.0 * (b * d + a * c) * k],
            [2.0 * (b * c + a * d) * i, (a * a + c * c - b * b - d * d) * j, 2.0 * (c * d - a * b) * k],
            [2.0 * (b * d - a * c) * i, 2.0 * (c * d + a * b) * j, (a * a + d * d - c * c - b * b) * k],
        ]
    }

    #[test]
    fn a_volume_comes_back_as_it_was_written() {
        let folder = tempfile::tempdir().expect("temporary folder");
        for (index, orientation) in [SUPINE, PRONE, TURNED, MIRRORED].into_iter().enumerate() {
            let path = folder.path().join(format!("1.2.{index}.nii.gz"));
            let grid = geometry([5, 4, 3], [0.7, 0.8, 2.5], orientation);
            let voxels = Array3::from_shape_fn((3, 4, 5), |(slice, row, column)| (slice * 20 + row * 5 + column) as u8);
            write(&path, &voxels, &grid).expect("write");
            let (read, found) = read(&path).expect("read");
            assert_eq!(read, voxels.mapv(f32::from));
            for axis in 0..3 {
                assert!((found.spacing[axis] - grid.spacing[axis]).abs() < 1e-6);
                assert!((found.origin.0[axis] - grid.origin.0[axis]).abs() < 1e-5);
                assert!((0..3).all(|i| (found.directions[axis][i] - grid.directions[axis][i]).abs() < 1e-6));
            }
        }
    }

    #[test]
    fn a_file_is_replaced_as_a_whole_and_others_may_read_it() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let path = folder.path().join("mask.nii.gz");
        let grid = geometry([5, 4, 3], [0.7, 0.8, 2.5], SUPINE);
        std::fs::write(&path, "half a file").expect("written");
        let other_name = folder.path().join("still open");
        std::fs::hard_link(&path, &other_name).expect("linked");
        write(&path, &Array3::<u8>::ones((3, 4, 5)), &grid).expect("writes");
        assert_eq!(std::fs::read(other_name).expect("read"), b"half a file", "no byte of the old file was touched");
        assert!(read(&path).is_ok_and(|(voxels, _)| voxels.iter().all(|value| *value > 0.5)));
        assert_eq!(std::fs::metadata(&path).expect("metadata").permissions().mode() & 0o400, 0o400);
        assert_eq!(std::fs::read_dir(folder.path()).expect("folder").count(), 2, "nothing is left beside");
    }

    #[test]
    fn sform_and_qform_agree_and_left_is_negative() {
        let leaning = [[0.6, 0.8, 0.0], [-0.8, 0.6, 0.0]];
        for orientation in [SUPINE, PRONE, TURNED, MIRRORED, leaning] {
            let header = header(&geometry([5, 4, 3], [0.7, 0.8, 2.5], orientation));
            let rows = affine_of_quaternion(&header);
            for (row, sform) in rows.iter().zip([header.srow_x, header.srow_y, header.srow_z]) {
                assert!((0..3).all(|axis| (row[axis] - sform[axis]).abs() < 1e-5), "{rows:?} {header:?}");
            }
        }
        assert!(header(&geometry([5, 4, 3], [0.7, 0.8, 2.5], SUPINE)).srow_x[0] < 0.0);
    }
}
