//! The files of one series: result objects, masks and maps, pictures, slices.

use std::fs;
use std::path::Path;

use serde::Serialize;

use super::series::PredictedSeries;
use crate::cli::CliError;
use crate::dicom::FrameNumber;
use crate::engine::analyse::findings::Evidence;
use crate::engine::report::Results;
use crate::engine::volume::{SourceSlice, nifti};

/// One row of `slices.csv`, lowest slice first.
#[derive(Debug, Serialize)]
struct SliceRow<'a> {
    sop_instance_uid: &'a str,
    /// The frame of an enhanced CT, from 1; empty where the object is the image.
    frame_number: Option<u32>,
    /// From 0 to 1.
    pe_probability: String,
    attention: String,
}

/// Writes what there is: lungs whenever their stage ran, everything else when the series was analysed. Results of an
/// earlier run are removed first: the folder never mixes two runs. Nothing else in it is touched.
pub(super) fn write(folder: &Path, predicted: &PredictedSeries) -> Result<(), CliError> {
    remove_results(folder)?;
    let Some((lungs, geometry)) = predicted.outcome.lungs() else { return Ok(()) };
    fs::create_dir_all(folder).map_err(|error| failed(folder, &error))?;
    nifti::write(&folder.join("lungs.nii.gz"), &lungs.0, geometry).map_err(|error| CliError::failed(&error))?;
    if let Some(results) = &predicted.results {
        write_results(folder, results)?;
    }
    let Some(series) = predicted.outcome.analysed() else { return Ok(()) };
    let Some(evidence) = &series.findings.evidence else { return Ok(()) };
    nifti::write(&folder.join("evidence.nii.gz"), &evidence.map.cells, &evidence.map.geometry)
        .map_err(|error| CliError::failed(&error))?;
    write_slices(&folder.join("slices.csv"), evidence, &series.volume.slices)
}

/// Objects and pictures, each named by its kind.
fn write_results(folder: &Path, results: &Results) -> Result<(), CliError> {
    for (index, object) in results.objects.iter().enumerate() {
        let kind = object.kind;
        let same = results.objects[..index].iter().filter(|other| other.kind == kind).count();
        let name = if same == 0 { format!("{}.dcm", kind.name()) } else { format!("{}-{}.dcm", kind.name(), same + 1) };
        let path = folder.join(name);
        object.object.write_to_file(&path).map_err(|error| failed(&path, &error))?;
    }
    for (stem, picture) in results.pictures.named() {
        let path = folder.join(format!("{stem}.png"));
        picture.save(&path).map_err(|error| failed(&path, &error))?;
    }
    Ok(())
}

/// Removes the files that [`write()`] makes, by their names.
fn remove_results(folder: &Path) -> Result<(), CliError> {
    if !folder.is_dir() {
        return Ok(());
    }
    for entry in fs::read_dir(folder).map_err(|error| failed(folder, &error))? {
        let path = entry.map_err(|error| failed(folder, &error))?.path();
        if path.is_file() && path.file_name().and_then(|name| name.to_str()).is_some_and(is_result) {
            fs::remove_file(&path).map_err(|error| failed(&path, &error))?;
        }
    }
    Ok(())
}

fn is_result(name: &str) -> bool {
    let (stem, extension) = name.split_once('.').unwrap_or((name, ""));
    let kind = stem.split_once('-').map_or(stem, |(kind, _)| kind);
    match extension {
        "dcm" => ["sr", "sc", "seg", "kos", "pr", "pm", "pdf"].contains(&kind),
        "png" => ["summary", "key"].contains(&kind),
        "nii.gz" => ["lungs", "evidence"].contains(&stem),
        "csv" => stem == "slices",
        _ => false,
    }
}

fn write_slices(path: &Path, evidence: &Evidence, slices: &[SourceSlice]) -> Result<(), CliError> {
    let mut writer = csv::Writer::from_path(path).map_err(|error| failed(path, &error))?;
    for finding in &evidence.slices {
        let image = &slices[finding.slice].image;
        let row = SliceRow {
            sop_instance_uid: image.sop_instance_uid().as_str(),
            frame_number: image.frame().map(FrameNumber::get),
            pe_probability: format!("{:.6}", finding.probability.value()),
            attention: format!("{:.6}", finding.attention),
        };
        writer.serialize(row).map_err(|error| failed(path, &error))?;
    }
    writer.flush().map_err(|error| failed(path, &error))
}

fn failed(path: &Path, error: &dyn std::fmt::Display) -> CliError {
    CliError::Failed(format!("writing {}: {error}", path.display()))
}
