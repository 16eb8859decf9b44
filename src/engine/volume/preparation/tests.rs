use super::super::chest_wall::CHEST_WALL;
use super::super::testing::{MIRRORED, PRONE, SUPINE, TURNED, geometry, volume};
use super::super::{LEFT_LUNG, RIGHT_LUNG};
use super::*;

fn preparation(crop: Crop) -> Preparation {
    Preparation {
        window: [-1000.0, 1000.0],
        normalisation: None,
        colour: None,
        size: [40, 50],
        spacing_mm: 2.0,
        slice_step_mm: 2.0,
        neighbours: 1,
        crop,
    }
}

/// A body on a table, with a dense ball in its left half.
fn patient(place: [f64; 3]) -> f64 {
    let [x, y, _] = place;
    if (x - 20.0).hypot(y) < 8.0 {
        return 600.0;
    }
    let body = (x / 40.0).hypot(y / 25.0) < 1.0;
    let table = (30.0..33.0).contains(&y) && x.abs() < 48.0;
    if body {
        0.0
    } else if table {
        300.0
    } else {
        -1000.0
    }
}

#[test]
fn left_is_left_whatever_the_orientation_of_the_images() {
    for orientation in [SUPINE, PRONE, MIRRORED] {
        let volume = volume(geometry([100, 80, 12], [1.0, 1.0, 1.5], orientation), patient);
        let preparer = Preparer::new(&volume, None, &preparation(Crop::None)).expect("prepares");
        let image = preparer.images(3..4);
        let ball = preparer.geometry().to_voxel(PatientPoint([20.0, 0.0, 0.0]));
        assert!(ball.column > 25.0, "the ball lies in the left half, on columns that grow to the left");
        let value = |column: f64, row: f64| image[(0, row.round() as usize, column.round() as usize)];
        assert!((value(ball.column, ball.row) - 0.8).abs() < 1e-3);
        assert!((value(49.0 - ball.column, ball.row) - 0.5).abs() < 1e-3);
    }
}

#[test]
fn batches_are_the_same_however_the_stack_is_divided_and_however_many_threads_run() {
    let source = geometry([100, 80, 37], [0.9, 1.1, 1.3], SUPINE);
    let volume = volume(source, |[x, y, z]| 300.0 * (x * 0.3).sin() + 200.0 * (y * 0.4).cos() + 10.0 * z);
    let preparer = Preparer::new(&volume, None, &preparation(Crop::Body)).expect("prepares");
    let slices = preparer.slices();
    let whole = preparer.batch(0..slices);
    assert_eq!(whole.dim(), (slices, 3, 40, 50));
    for count in [1, 3] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(count).build().expect("threads");
        for start in (0..slices).step_by(5) {
            let range = start..(start + 5).min(slices);
            let batch = pool.install(|| preparer.batch(range.clone()));
            let same = batch.axis_iter(Axis(0)).zip(range).all(|(part, slice)| {
                part.iter()
                    .map(|value| value.to_bits())
                    .eq(whole.index_axis(Axis(0), slice).iter().map(|value| value.to_bits()))
            });
            assert!(same, "batch from {start} with {count} threads");
        }
    }
}

#[test]
fn channels_are_true_neighbours_and_the_ends_repeat() {
    let volume = volume(geometry([20, 20, 9], [2.0, 2.0, 2.0], SUPINE), |[_, _, z]| 10.0 * z);
    let parameters = Preparation { size: [10, 10], ..preparation(Crop::None) };
    let batch = Preparer::new(&volume, None, &parameters).expect("prepares").batch(0..9);
    let level = |slice: usize, channel: usize| batch[(slice, channel, 5, 5)];
    for slice in 1..8 {
        assert_eq!(level(slice, 0).to_bits(), level(slice - 1, 1).to_bits());
        assert_eq!(level(slice, 2).to_bits(), level(slice + 1, 1).to_bits());
        assert!(level(slice, 1) > level(slice, 0));
    }
    assert_eq!(level(0, 0).to_bits(), level(0, 1).to_bits());
    assert_eq!(level(8, 2).to_bits(), level(8, 1).to_bits());
}

#[test]
fn values_are_scaled_as_they_were_for_training() {
    let volume = volume(geometry([20, 20, 9], [2.0, 2.0, 2.0], SUPINE), |_| 300.0);
    let value = |parameters: &Preparation, channel: usize| {
        Preparer::new(&volume, None, parameters).expect("prepares").batch(4..5)[(0, channel, 5, 5)]
    };
    let plain = Preparation { size: [10, 10], neighbours: 0, ..preparation(Crop::None) };
    assert_eq!(value(&plain, 0).to_bits(), ((300.0_f32 + 1000.0) * (1.0 / 2000.0)).to_bits());
    let normalisation = Some(Normalisation { mean: 100.0, standard_deviation: 50.0 });
    let z_score = Preparation { window: [-100.0, 250.0], normalisation, ..plain.clone() };
    assert!((value(&z_score, 0) - 3.0).abs() < 1e-6, "clipped to 250, then (250 - 100) / 50");
    let colour = Some(Colour { mean: [0.5, 0.25, 0.0], standard_deviation: [0.1, 0.2, 1.0] });
    let coloured = Preparation { colour, ..plain.clone() };
    assert_eq!(coloured.channels(), 3);
    for (channel, expected) in [1.5, 2.0, 0.65].into_iter().enumerate() {
        assert!((value(&coloured, channel) - expected).abs() < 1e-5);
    }
    for wrong in [
        Preparation { neighbours: 1, ..coloured.clone() },
        Preparation { normalisation: Some(Normalisation { mean: 0.0, standard_deviation: 0.0 }), ..plain.clone() },
    ] {
        assert!(matches!(Preparer::new(&volume, None, &wrong), Err(PreparationError::Parameter(_))));
    }
}

#[test]
fn the_lung_square_fills_the_slice_with_the_longer_side_of_the_box() {
    let volume = volume(geometry([60, 50, 40], [1.0, 1.0, 1.0], SUPINE), patient);
    let mut lungs = LungMask(Array3::zeros((40, 50, 60)));
    for slice in 10..=20 {
        lungs.0[(slice, 20, 12)] = RIGHT_LUNG;
        lungs.0[(slice, 30, 41)] = LEFT_LUNG;
    }
    let wide = |spacing_mm: f64| {
        let parameters = Preparation { spacing_mm, size: [20, 20], ..preparation(Crop::LungSquare) };
        Preparer::new(&volume, Some(&lungs), &parameters).expect("prepares").geometry().spacing
    };
    let extent = lung_extent(&lungs, &volume.geometry).expect("lungs");
    let longer = extent.high[0] - extent.low[0];
    assert!(longer >= 29.0);
    assert!((wide(9.0)[0] - longer / 20.0).abs() < 1e-9 && (wide(9.0)[1] - longer / 20.0).abs() < 1e-9);
    assert!((wide(1.0)[0] - 1.0).abs() < 1e-9, "never coarser than `spacing_mm`");
}

#[test]
fn the_body_crop_is_centred_on_the_body_and_not_on_its_table() {
    let mut source = geometry([120, 120, 10], [1.0, 1.0, 1.5], SUPINE);
    source.origin.0[0] -= 10.0;
    source.origin.0[1] += 12.0;
    let volume = volume(source, patient);
    let preparer = Preparer::new(&volume, None, &preparation(Crop::Body)).expect("prepares");
    let middle = preparer.geometry().to_patient(VoxelPoint { column: 24.5, row: 19.5, slice: 0.0 });
    assert!(middle.0[0].abs() < 4.0 && middle.0[1].abs() < 4.0, "{middle:?}");
}

#[test]
fn the_lung_box_spans_the_lungs_and_one_step_on_each_side() {
    let volume = volume(geometry([60, 50, 40], [1.0, 1.0, 1.0], SUPINE), patient);
    let mut lungs = LungMask(Array3::zeros((40, 50, 60)));
    assert_eq!(
        Preparer::new(&volume, Some(&lungs), &preparation(Crop::LungBox)).err(),
        Some(PreparationError::NoLungs)
    );
    for slice in 10..=20 {
        lungs.0[(slice, 20, 12)] = RIGHT_LUNG;
        lungs.0[(slice, 30, 40)] = LEFT_LUNG;
    }
    let preparer = Preparer::new(&volume, Some(&lungs), &preparation(Crop::LungBox)).expect("prepares");
    let heights: Vec<f64> = (0..preparer.slices())
        .map(|slice| {
            let point = VoxelPoint { column: 24.5, row: 19.5, slice: slice as f64 };
            let source = volume.geometry.to_voxel(preparer.geometry().to_patient(point));
            assert!((source.column - 26.0).abs() < 1e-9 && (source.row - 25.0).abs() < 1e-9);
            source.slice
        })
        .collect();
    assert_eq!(heights, [8.0, 10.0, 12.0, 14.0, 16.0, 18.0, 20.0, 22.0]);
    assert_eq!(preparer.prepared_slice(5), None);
    assert_eq!(preparer.prepared_slice(8), Some(0));
    assert_eq!(preparer.prepared_slice(13), Some(3));
    assert_eq!(preparer.prepared_slice(30), None);
}

#[test]
fn every_source_slice_of_a_whole_stack_has_a_prepared_one() {
    for (distance, count) in [(0.7, 50), (1.3, 41), (3.0, 33), (5.0, 20)] {
        let volume = volume(geometry([20, 20, count], [2.0, 2.0, distance], PRONE), |_| 0.0);
        let preparer = Preparer::new(&volume, None, &preparation(Crop::None)).expect("prepares");
        assert!((0..count).all(|slice| preparer.prepared_slice(slice).is_some()), "distance {distance}");
    }
}

#[test]
fn maps_return_to_the_place_they_were_made_of() {
    for orientation in [SUPINE, PRONE, MIRRORED] {
        let volume = volume(geometry([60, 50, 20], [1.0, 1.0, 1.5], orientation), |_| 0.0);
        let preparer = Preparer::new(&volume, None, &preparation(Crop::None)).expect("prepares");
        let cells = preparer.cell_geometry(20, 25);
        let plane = |place: [f64; 3]| (place[0] + 2.0 * place[1] + 3.0 * place[2]) as f32;
        let maps = Array4::from_shape_fn((preparer.slices(), 1, 20, 25), |(slice, _, row, column)| {
            let point = VoxelPoint { column: column as f64, row: row as f64, slice: slice as f64 };
            plane(cells.to_patient(point).0)
        });
        let upsampler = preparer.upsampler(20, 25);
        let image = upsampler.slice(&maps.view(), 0, 8, f32::NAN);
        for (row, column) in [(25, 30), (10, 12), (40, 44)] {
            let point = VoxelPoint { column: column as f64, row: row as f64, slice: 8.0 };
            let expected = plane(volume.geometry.to_patient(point).0);
            let found = image[(row, column)];
            assert!((found - expected).abs() < 1e-3, "{found} instead of {expected} at {point:?}");
        }
    }
}

#[test]
fn outside_the_maps_values_are_those_that_the_caller_gives() {
    let volume = volume(geometry([100, 50, 5], [2.0, 2.0, 2.0], SUPINE), |_| 0.0);
    let preparer = Preparer::new(&volume, None, &preparation(Crop::None)).expect("prepares");
    let maps = Array4::ones((preparer.slices(), 1, 40, 50));
    let image = preparer.upsampler(40, 50).slice(&maps.view(), 0, 2, -7.0);
    assert_eq!((image[(25, 0)], image[(25, 50)]), (-7.0, 1.0));
}

/// The body of [`patient`] in a circle of reconstruction that cuts it on both sides; padding around.
fn cut(place: [f64; 3]) -> f64 {
    if place[0].hypot(place[1]) > 32.0 { f64::from(AIR) } else { patient(place) }
}

#[test]
fn around_the_lungs_chest_wall_lies_beyond_the_field_of_view() {
    for orientation in [SUPINE, TURNED] {
        let volume = volume(geometry([90, 90, 8], [1.0, 1.0, 2.0], orientation), cut);
        let wall = (CHEST_WALL + 1000.0) / 2000.0;
        let mut lungs = LungMask(Array3::zeros((8, 90, 90)));
        lungs.0.fill(RIGHT_LUNG);
        let at = |crop: Crop, x: f64| {
            let preparer = Preparer::new(&volume, Some(&lungs), &preparation(crop)).expect("prepares");
            let place = preparer.geometry().to_voxel(PatientPoint([x, 0.0, 0.0]));
            preparer.images(1..2)[(0, place.row.round() as usize, place.column.round() as usize)]
        };
        for x in [-38.0, 38.0] {
            assert!((at(Crop::LungBox, x) - wall).abs() < 1e-6, "a thick wall");
            assert!(at(Crop::Body, x) < 1e-6, "padding is shown as it is");
        }
        assert_eq!(at(Crop::LungBox, -28.0).to_bits(), at(Crop::Body, -28.0).to_bits());
    }
}
