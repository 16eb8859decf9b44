//! `/api/v1/models` and `/api/v1/shadow`: the packages, and the shadow model compared with the active ones.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::listing::{Parameters, limited};
use super::services::Web;
use crate::engine::analyse::findings::Probability;
use crate::engine::pipeline::{AnalysisSummary, Ending};
use crate::node::http::{HttpResult, Problem};
use crate::node::models::ModelEntry;
use crate::node::store::Comparison;

/// Most series of one answer.
const MAXIMUM: u32 = 100_000;
/// Series where no number is given.
const USUAL: u32 = 1000;

/// A package with the part that it has in the node.
#[derive(Serialize)]
struct Listed<'a> {
    #[serde(flatten)]
    entry: &'a ModelEntry,
    /// True if it analyses exams.
    active: bool,
    /// True if it is the shadow model.
    shadow: bool,
}

/// All packages, and the reason where the promoted ones are not active.
pub(super) async fn list(State(web): State<Web>) -> Response {
    let (analysis, shadow) = (web.0.analysis.borrow().clone(), web.0.shadow.borrow().clone());
    let entries = web.0.models.borrow().clone();
    let models: Vec<Listed<'_>> = entries
        .iter()
        .map(|entry| {
            let shadow = shadow.as_ref().is_some_and(|status| entry.is(&status.package));
            Listed { entry, active: analysis.packages.each().iter().any(|model| entry.is(&model.package)), shadow }
        })
        .collect();
    let provider = analysis.ready.map(|ready| ready.provider);
    Json(json!({ "provider": provider, "models": models, "refused": analysis.refused, "shadow": shadow }))
        .into_response()
}

/// How many comparisons are wanted, and in which form.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TableRequest {
    limit: Option<u32>,
    #[serde(default)]
    format: Format,
}

/// Forms of a table.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Format {
    #[default]
    Json,
    Csv,
}

/// Predictions of shadow models next to those of the active models, the newest first.
pub(super) async fn comparisons(State(web): State<Web>, Parameters(request): Parameters<TableRequest>) -> HttpResult {
    let comparisons = web.0.store.comparisons(limited(request.limit, USUAL, MAXIMUM)?).await?;
    match request.format {
        Format::Json => {
            let agreement = agreement(&comparisons);
            Ok(Json(json!({ "agreement": agreement, "series": comparisons })).into_response())
        }
        Format::Csv => {
            let table = table(&comparisons).map_err(|error| Problem::reading(&error))?;
            let disposition = "attachment; filename=\"shadow.csv\"";
            Ok(([(header::CONTENT_TYPE, "text/csv; charset=utf-8"), (header::CONTENT_DISPOSITION, disposition)], table)
                .into_response())
        }
    }
}

/// How far a shadow model and the active models agree.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
struct Agreement {
    /// The shadow model, as `name/version`.
    package: String,
    /// Series that it was given.
    series: u64,
    /// Of these, those at which it failed.
    failed: u64,
    /// Of these, those that can be compared: it did not fail, and the other model was the same in both results.
    comparable: u64,
    /// Of the comparable ones, the same decision, or rejected by both.
    agree: u64,
    /// Of the comparable ones, those with a probability of both.
    both_probabilities: u64,
    /// Mean absolute difference of the two probabilities of these.
    mean_absolute_difference: Option<f64>,
}

fn agreement(comparisons: &[Comparison]) -> Vec<Agreement> {
    let mut by_model: BTreeMap<(&str, &str), (Agreement, f64)> = BTreeMap::new();
    for comparison in comparisons {
        let shadow = &comparison.shadow;
        let key = (shadow.package.as_str(), shadow.sha256.as_str());
        let (agreement, difference) = by_model.entry(key).or_default();
        agreement.series += 1;
        agreement.failed += u64::from(shadow.error.is_some());
        agreement.comparable += u64::from(comparison.is_comparable());
        agreement.agree += u64::from(comparison.agrees());
        if comparison.is_comparable()
            && let [Some(active), Some(shadow)] = [comparison.active.as_ref(), shadow.summary.as_ref()].map(probability)
        {
            agreement.both_probabilities += 1;
            *difference += (active.value() - shadow.value()).abs();
        }
    }
    let finished = |((package, _), (agreement, difference)): ((&str, &str), (Agreement, f64))| Agreement {
        package: package.to_owned(),
        mean_absolute_difference: (agreement.both_probabilities > 0)
            .then(|| difference / agreement.both_probabilities as f64),
        ..agreement
    };
    by_model.into_iter().map(finished).collect()
}

/// The columns of the table; they are written even if there is no row.
const COLUMNS: [&str; 18] = [
    "study_instance_uid",
    "series_instance_uid",
    "recorded_at",
    "active_models",
    "active_status",
    "active_probability",
    "active_decision",
    "shadow_package",
    "shadow_sha256",
    "shadow_models",
    "shadow_status",
    "shadow_probability",
    "shadow_decision",
    "comparable",
    "agree",
    "active_seconds",
    "shadow_seconds",
    "shadow_error",
];

/// One row of the table, in the order of its columns: both predictions for a series.
#[derive(Serialize)]
struct Row<'a> {
    study_instance_uid: &'a str,
    series_instance_uid: &'a str,
    recorded_at: String,
    active_models: String,
    active_status: &'static str,
    active_probability: Option<f64>,
    active_decision: String,
    shadow_package: &'a str,
    shadow_sha256: &'a str,
    shadow_models: String,
    shadow_status: &'static str,
    shadow_probability: Option<f64>,
    shadow_decision: String,
    comparable: bool,
    agree: bool,
    active_seconds: f64,
    shadow_seconds: f64,
    shadow_error: &'a str,
}

impl<'a> From<&'a Comparison> for Row<'a> {
    fn from(comparison: &'a Comparison) -> Self {
        let shadow = &comparison.shadow;
        let [active, shadowed] = [&comparison.active, &shadow.summary].map(Option::as_ref);
        Self {
            study_instance_uid: comparison.series.study_instance_uid.as_str(),
            series_instance_uid: comparison.series.series_instance_uid.as_str(),
            recorded_at: shadow.recorded_at.to_string(),
            active_models: models(active),
            active_status: status(active),
            active_probability: probability(active).map(Probability::value),
            active_decision: decision(active),
            shadow_package: &shadow.package,
            shadow_sha256: &shadow.sha256,
            shadow_models: models(shadowed),
            shadow_status: shadow.error.as_ref().map_or_else(|| status(shadowed), |_| "failed"),
            shadow_probability: probability(shadowed).map(Probability::value),
            shadow_decision: decision(shadowed),
            comparable: comparison.is_comparable(),
            agree: comparison.agrees(),
            active_seconds: seconds(active),
            shadow_seconds: seconds(shadowed),
            shadow_error: shadow.error.as_deref().unwrap_or_default(),
        }
    }
}

fn status(summary: Option<&AnalysisSummary>) -> &'static str {
    match summary.map(|summary| &summary.ending) {
        Some(Ending::Analysed(_)) => "analysed",
        Some(Ending::Rejected(_)) => "rejected",
        None => "",
    }
}

fn probability(summary: Option<&AnalysisSummary>) -> Option<Probability> {
    summary.and_then(AnalysisSummary::probability)
}

fn decision(summary: Option<&AnalysisSummary>) -> String {
    summary.and_then(AnalysisSummary::decision).map(|decision| decision.to_string()).unwrap_or_default()
}

/// `name/version` of the models that took part.
fn models(summary: Option<&AnalysisSummary>) -> String {
    let models = summary.into_iter().flat_map(AnalysisSummary::models);
    models.map(|model| model.package.to_string()).collect::<Vec<_>>().join(" ")
}

fn seconds(summary: Option<&AnalysisSummary>) -> f64 {
    summary.map_or(0.0, |summary| summary.timings.total().as_secs_f64())
}

fn table(comparisons: &[Comparison]) -> Result<Vec<u8>, csv::Error> {
    let mut writer = csv::WriterBuilder::new().has_headers(false).from_writer(Vec::new());
    writer.write_record(COLUMNS)?;
    for comparison in comparisons {
        writer.serialize(Row::from(comparison))?;
    }
    writer.into_inner().map_err(|error| csv::Error::from(error.into_error()))
}
