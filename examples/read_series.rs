//! From a folder of DICOM files to volumes in Hounsfield units: what each series is, or why it makes no volume.
//!
//! ```sh
//! pe-node phantom --out cohort
//! cargo run --release --example read_series -- cohort/train
//! ```

use std::error::Error;
use std::fmt::Write as _;
use std::path::Path;

use pe_node::config::Config;
use pe_node::engine::volume::{Volume, VoxelPoint, group_by_series, read_series};

fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::args_os().nth(1).ok_or("name a folder of DICOM files")?;
    print!("{}", describe(Path::new(&folder))?);
    Ok(())
}

/// Reads every series below a folder.
pub(crate) fn describe(folder: &Path) -> Result<String, Box<dyn Error>> {
    // What a file may claim before it is refused: the files may come from anywhere.
    let limits = Config::load(None, std::env::vars(), &[])?.limits;
    let mut text = String::new();
    for series in group_by_series(&[folder.to_owned()], &limits).series {
        writeln!(text, "series {}, {} files", series.series_instance_uid, series.files.len())?;
        let reading = read_series(&series.files, &limits);
        // A series can have a volume and reasons to reject it: slices that are too thick, a gap.
        for rejection in &reading.rejections {
            writeln!(text, "  {}: {}", rejection.reason, rejection.explanation)?;
        }
        for left_out in &reading.left_out {
            writeln!(text, "  {left_out}")?;
        }
        if let Some(volume) = &reading.volume {
            describe_volume(volume, &mut text)?;
        }
    }
    Ok(text)
}

fn describe_volume(volume: &Volume, text: &mut String) -> std::fmt::Result {
    let geometry = &volume.geometry;
    let [columns, rows, slices] = geometry.size;
    let [across, along, up] = geometry.spacing;
    writeln!(text, "  {columns} x {rows} x {slices} voxels of {across:.2} x {along:.2} x {up:.2} mm")?;
    // Patient coordinates grow to the left, the back and the head; slice 0 is the lowest.
    let middle = VoxelPoint { column: columns as f64 / 2.0, row: rows as f64 / 2.0, slice: slices as f64 / 2.0 };
    let [left, back, head] = geometry.to_patient(middle).0;
    writeln!(text, "  its middle lies at {left:.1}, {back:.1}, {head:.1} mm")?;
    let (lowest, highest) =
        volume.hounsfield.iter().fold((i16::MAX, i16::MIN), |(low, high), &value| (low.min(value), high.max(value)));
    writeln!(text, "  {lowest} to {highest} HU")
}
