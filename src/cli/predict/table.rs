//! The table of `predict`: one row a series, on disk as soon as it is written.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use serde::Serialize;

use super::series::PredictedSeries;
use crate::cli::CliError;
use crate::engine::analyse::findings::TargetFinding;
use crate::engine::pipeline::{AnalysisSummary, Ending};
use crate::engine::volume::{LeftOut, Reason, Rejection, SeriesFiles};

/// One row of the table. Column names and values are part of the contract with scripts.
#[derive(Debug, Default, Serialize)]
pub(super) struct Row {
    study_instance_uid: String,
    series_instance_uid: String,
    status: &'static str,
    /// Codes of all reasons that apply, joined by semicolons.
    reasons: String,
    /// From 0 to 1.
    pe_probability: Option<String>,
    decision: Option<String>,
    left_lung_ml: Option<String>,
    right_lung_ml: Option<String>,
    seconds: String,
    /// Standard deviation of the probability over the networks of an ensemble.
    probability_spread: Option<String>,
    /// Probabilities of the classifier's further targets: `name=probability`, joined by semicolons.
    targets: String,
    /// The same as `probability_spread`, which is the former name.
    probability_standard_deviation: Option<String>,
    /// What of the series was not analysed: `kind=images`, joined by semicolons.
    left_out: String,
    /// Lung that is beyond the field of view, lost, or gone by disease, in millilitres.
    left_lung_missing_ml: Option<String>,
    right_lung_missing_ml: Option<String>,
    /// Hounsfield units of the great vessels, where they were measured.
    pulmonary_trunk_hu: Option<String>,
    aorta_hu: Option<String>,
}

pub(super) fn row(series: &SeriesFiles, outcome: &Result<PredictedSeries, CliError>, elapsed: Duration) -> Row {
    let summary = outcome.as_ref().ok().map(|predicted| &predicted.summary);
    let analysed = summary.and_then(AnalysisSummary::analysed);
    let lungs = summary.and_then(AnalysisSummary::lungs);
    let missing = summary.and_then(AnalysisSummary::missing_lung);
    let enhancement = summary.map(|summary| summary.enhancement).unwrap_or_default();
    let deviation = analysed.and_then(|analysed| analysed.standard_deviation).map(|share| format!("{share:.6}"));
    Row {
        study_instance_uid: series.study_instance_uid.to_string(),
        series_instance_uid: series.series_instance_uid.to_string(),
        status: match summary.map(|summary| &summary.ending) {
            Some(Ending::Analysed(_)) => "analysed",
            Some(Ending::Rejected(_)) => "rejected",
            None => "failed",
        },
        reasons: summary.map(codes).unwrap_or_default(),
        pe_probability: analysed.map(|analysed| format!("{:.6}", analysed.probability.value())),
        decision: analysed.map(|analysed| analysed.decision.to_string()),
        left_lung_ml: lungs.map(|lungs| format!("{:.1}", lungs.left_ml)),
        right_lung_ml: lungs.map(|lungs| format!("{:.1}", lungs.right_ml)),
        seconds: format!("{:.2}", elapsed.as_secs_f64()),
        probability_spread: deviation.clone(),
        targets: analysed.map(|analysed| targets(&analysed.targets)).unwrap_or_default(),
        probability_standard_deviation: deviation,
        left_out: summary.map(|summary| left_out(&summary.left_out)).unwrap_or_default(),
        left_lung_missing_ml: missing.map(|missing| format!("{:.1}", missing.left_ml)),
        right_lung_missing_ml: missing.map(|missing| format!("{:.1}", missing.right_ml)),
        pulmonary_trunk_hu: enhancement.trunk_hu.map(|hounsfield| format!("{hounsfield:.1}")),
        aorta_hu: enhancement.aorta_hu.map(|hounsfield| format!("{hounsfield:.1}")),
    }
}

fn codes(summary: &AnalysisSummary) -> String {
    summary.reasons().into_iter().map(Reason::code).collect::<Vec<_>>().join(";")
}

fn left_out(left_out: &[LeftOut]) -> String {
    left_out.iter().map(|one| format!("{}={}", one.kind, one.images)).collect::<Vec<_>>().join(";")
}

fn targets(findings: &[TargetFinding]) -> String {
    let of_target = |finding: &TargetFinding| format!("{}={:.6}", finding.target, finding.probability.value());
    findings.iter().map(of_target).collect::<Vec<_>>().join(";")
}

/// The row of files that could not be placed in a series, for one cause.
pub(super) fn unreadable(rejection: &Rejection) -> Row {
    Row {
        status: "rejected",
        reasons: rejection.reason.code().to_owned(),
        seconds: "0.00".to_owned(),
        ..Row::default()
    }
}

/// The table, whose rows are on disk as soon as they are written.
pub(super) struct Table {
    writer: csv::Writer<Box<dyn Write>>,
}

impl Table {
    pub(super) fn create(path: Option<&Path>) -> Result<Self, CliError> {
        let sink: Box<dyn Write> = match path {
            Some(path) => {
                Box::new(File::create(path).map_err(|error| CliError::Usage(format!("{}: {error}", path.display())))?)
            }
            None => Box::new(std::io::stdout()),
        };
        Ok(Self { writer: csv::Writer::from_writer(sink) })
    }

    pub(super) fn write(&mut self, row: &Row) -> Result<(), CliError> {
        self.writer.serialize(row).map_err(|error| CliError::failed(&error))?;
        self.writer.flush().map_err(|error| CliError::failed(&error))
    }
}
