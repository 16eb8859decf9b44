//! From a folder of DICOM files to findings: what the bundled models predict for each series, or why it was not analysed.
//!
//! ```sh
//! make onnxruntime                       # ONNX Runtime, once
//! pe-node phantom --out cohort
//! cargo run --release --example analyse_folder -- cohort/train
//! ```
//!
//! The bundled models were trained on phantoms alone. Their predictions for patients mean nothing.

use std::error::Error;
use std::fmt::Write as _;
use std::path::Path;

use pe_node::config::Config;
use pe_node::engine::analyse::findings::Findings;
use pe_node::engine::models::Models;
use pe_node::engine::pipeline::{FindOptions, Found, find};
use pe_node::engine::volume::group_by_series;

fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::args_os().nth(1).ok_or("name a folder of DICOM files")?;
    // The defaults, and what the environment changes of them: PE_NODE__MODELS__DIRECTORY, for instance.
    let config = Config::load(None, std::env::vars(), &[])?;
    print!("{}", analyse(Path::new(&folder), &config)?);
    Ok(())
}

/// Analyses every series below a folder with the active models.
pub(crate) fn analyse(folder: &Path, config: &Config) -> Result<String, Box<dyn Error>> {
    let mut models = Models::load(&config.models, &config.onnxruntime)?;
    let options = FindOptions {
        limits: &config.limits,
        quality: &config.quality,
        ignore_quality: false,
        allow_demonstration: config.models.allow_demonstration,
        refused: &[],
        key_slices: config.report.key_slices,
    };
    let mut text = String::new();
    for series in group_by_series(&[folder.to_owned()], &config.limits).series {
        writeln!(text, "series {}", series.series_instance_uid)?;
        match find(&series.files, &mut models, &options)?.found {
            Found::Analysed(analysed) => tell(&analysed.findings, &mut text)?,
            // Unusable images are an answer, not an error.
            Found::Rejected(rejected) => {
                for rejection in rejected.rejections {
                    writeln!(text, "  rejected, {}: {}", rejection.reason, rejection.explanation)?;
                }
            }
        }
    }
    Ok(text)
}

fn tell(findings: &Findings, text: &mut String) -> std::fmt::Result {
    writeln!(text, "  embolism: {:.1} %, {}", findings.probability.percent(), findings.decision)?;
    for (side, lung) in [("left", &findings.lungs.left), ("right", &findings.lungs.right)] {
        let millilitres = lung.as_ref().map_or(0.0, |lung| lung.millilitres);
        writeln!(text, "  {side} lung: {millilitres:.0} ml")?;
    }
    for key in findings.evidence.iter().flat_map(|evidence| &evidence.key_slices) {
        writeln!(text, "  slice {}: {:.1} %", key.slice, key.probability.percent())?;
    }
    Ok(())
}
