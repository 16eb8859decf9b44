//! From findings to DICOM objects, without a network: the structured report and the lung segmentation of a phantom. Its
//! findings are taken from its ground truth.
//!
//! ```sh
//! cargo run --release --example build_report -- reports
//! ```

use std::error::Error;
use std::path::{Path, PathBuf};

use jiff::ZonedDateTime;
use pe_node::cohort::{Layout, Mask};
use pe_node::config::Config;
use pe_node::engine::analyse::enhancement::Enhancement;
use pe_node::engine::analyse::findings::{AnalysedField, Completeness, Decision, Findings, Probability, Provider};
use pe_node::engine::analyse::lungs;
use pe_node::engine::models::registry::Registry;
use pe_node::engine::report::{Context, results};
use pe_node::engine::volume::{LungMask, Volume, group_by_series, nifti, read_series};
use pe_node::learn::phantom::{Exam, Preset, Recipe};

fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::args_os().nth(1).ok_or("name a folder for the report")?;
    std::fs::create_dir_all(&folder)?;
    for path in write_report(Path::new(&folder), &Config::load(None, std::env::vars(), &[])?)? {
        println!("{}", path.display());
    }
    Ok(())
}

/// Draws a phantom, and writes a report on it.
pub(crate) fn write_report(out: &Path, config: &Config) -> Result<Vec<PathBuf>, Box<dyn Error>> {
    let work = tempfile::tempdir()?;
    let layout = Layout::below(work.path());
    let truth = Exam::draw(&Recipe { pe: Some(true), ..Recipe::new(Preset::Light, 1, 0) }).write(&layout)?;

    let found = group_by_series(&[layout.images()], &config.limits);
    let volume = read_series(&found.series[0].files, &config.limits).volume.ok_or("a phantom makes a volume")?;
    let (labels, _) = nifti::read(&layout.mask(&truth.series_instance_uid, Mask::Lungs))?;
    let mask = LungMask(labels.mapv(|label| label as u8));

    let context = Context {
        volume: &volume,
        lungs: &mask,
        findings: &findings(&volume, &mask, config)?,
        settings: &config.report,
        // In the node, both come from the job: the digest of its instances and the time when it was made. The same context
        // gives the same objects, byte for byte.
        instance_set_digest: "a digest over the instances of the series",
        version: 1,
        issue: 0,
        time: &ZonedDateTime::now(),
        predecessor: None,
        software_version: env!("CARGO_PKG_VERSION"),
    };
    let mut paths = Vec::new();
    for result in results(&context)?.objects {
        let path = out.join(format!("{}.dcm", result.kind.name()));
        result.object.write_to_file(&path)?;
        paths.push(path);
    }
    Ok(paths)
}

/// What an analysis would have found. A report must name models, so it names those that the settings choose.
fn findings(volume: &Volume, mask: &LungMask, config: &Config) -> Result<Findings, Box<dyn Error>> {
    let registry = Registry::open(&config.models)?;
    let models = registry.lineup(&config.models)?.packages;
    let classifier = registry.package(&models.embolism.package)?.manifest().clone();
    let [columns, rows, slices] = volume.geometry.size;
    let [right, bottom] = [columns as f64, rows as f64];
    Ok(Findings {
        probability: Probability::new(0.97).ok_or("from 0 to 1")?,
        standard_deviation: None,
        decision: Decision::Present,
        targets: Vec::new(),
        evidence: None,
        field: AnalysedField { slice: slices / 2, corners: [[0.0, 0.0], [right, 0.0], [right, bottom], [0.0, bottom]] },
        lungs: lungs::measure(mask, &volume.geometry),
        completeness: Completeness::default(),
        enhancement: Enhancement::default(),
        warnings: Vec::new(),
        left_out: Vec::new(),
        synthetic: true,
        intended_use: classifier.intended_use,
        classifier,
        models,
        provider: Provider("the phantom's truth".to_owned()),
    })
}
