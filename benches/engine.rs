//! What an object waits for before it is acknowledged, and an exam before a network is given it.
//!
//! `cargo bench` measures; the numbers are those of one machine and are compared with themselves. How long whole
//! studies take, from the first object to the delivered report, is measured by `make evidence`.

use std::hint::black_box;
use std::path::PathBuf;

use divan::Bencher;
use divan::counter::BytesCount;
use pe_node::cohort::{Layout, Mask};
use pe_node::dicom::bounded::{self, Limits};
use pe_node::engine::models::networks::BATCH;
use pe_node::engine::volume::preparation::{Crop, Preparation, Preparer};
use pe_node::engine::volume::{LungMask, Volume, group_by_series, nifti, read_series};
use pe_node::learn::phantom::{Exam, Preset, Recipe};
use tempfile::TempDir;

const LIMITS: Limits = Limits { object_mib: 64, depth: 16, elements: 10_000, pixels: 1 << 24 };

/// A phantom of about 120 slices of 256 x 256 pixels on the disk.
struct Series {
    files: Vec<PathBuf>,
    lungs: LungMask,
    _folder: TempDir,
}

impl Series {
    fn write() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let layout = Layout::below(folder.path());
        let row = Exam::draw(&Recipe::new(Preset::Light, 1, 0)).write(&layout).expect("a phantom");
        let files = group_by_series(&[layout.images()], &LIMITS).series.remove(0).files;
        let (mask, _) = nifti::read(&layout.mask(&row.series_instance_uid, Mask::Lungs)).expect("a mask");
        Self { files, lungs: LungMask(mask.mapv(|label| label as u8)), _folder: folder }
    }

    fn volume(&self) -> Volume {
        read_series(&self.files, &LIMITS).volume.expect("a volume")
    }
}

fn main() {
    divan::main();
}

/// Intake: what a C-STORE or STOW-RS does with the bytes of each object before it keeps them.
#[divan::bench]
fn scan_an_object_and_read_its_header(bencher: Bencher) {
    let series = Series::write();
    let bytes = std::fs::read(&series.files[0]).expect("an image");
    bencher.counter(BytesCount::of_slice(&bytes)).bench_local(|| {
        let parts = bounded::split(black_box(&bytes)).expect("a file");
        bounded::header(parts.data_set, &parts.transfer_syntax_uid, &LIMITS).expect("a header")
    });
}

/// Analysis: what is read of each object when a volume is made.
#[divan::bench]
fn read_an_object_whole(bencher: Bencher) {
    let series = Series::write();
    let bytes = std::fs::read(&series.files[0]).expect("an image");
    bencher
        .counter(BytesCount::of_slice(&bytes))
        .bench_local(|| bounded::file(black_box(&bytes), &LIMITS).expect("an object"));
}

/// Latency: from the files of a series to a volume.
#[divan::bench(sample_count = 20)]
fn read_a_series_to_a_volume(bencher: Bencher) {
    let series = Series::write();
    bencher.bench_local(|| series.volume());
}

/// Latency: from a volume to what the lung network is given.
#[divan::bench(sample_count = 20)]
fn prepare_a_batch_for_the_lungs(bencher: Bencher) {
    let volume = Series::write().volume();
    let preparation = preparation([-1000.0, 400.0], [128, 128], 3.0, 0, Crop::Body);
    bencher.bench_local(|| batch(&volume, None, &preparation));
}

/// Latency: from a volume and its lungs to what the embolism classifier is given.
#[divan::bench(sample_count = 20)]
fn prepare_a_batch_for_embolism(bencher: Bencher) {
    let series = Series::write();
    let volume = series.volume();
    let preparation = preparation([-250.0, 450.0], [144, 192], 1.6, 1, Crop::LungBox);
    bencher.bench_local(|| batch(&volume, Some(&series.lungs), &preparation));
}

fn preparation(window: [f64; 2], size: [usize; 2], spacing_mm: f64, neighbours: usize, crop: Crop) -> Preparation {
    Preparation { window, normalisation: None, colour: None, size, spacing_mm, slice_step_mm: 3.0, neighbours, crop }
}

fn batch(volume: &Volume, lungs: Option<&LungMask>, preparation: &Preparation) -> f32 {
    let preparer = Preparer::new(volume, lungs, preparation).expect("a grid");
    let middle = preparer.slices() / 2;
    preparer.batch(middle - BATCH / 2..middle + BATCH / 2).sum()
}
