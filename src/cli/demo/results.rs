//! The node as a client sees it: the state of a study, and its results by WADO-RS.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use dicom_object::{FileDicomObject, InMemDicomObject};
use indicatif::ProgressBar;
use serde::Deserialize;

use super::super::CliError;
use crate::engine::pipeline::{ResultKind, ResultReference, Stage};

/// Pause between two requests for the state.
const EVERY: Duration = Duration::from_millis(200);

/// A result that came back.
pub(super) struct Fetched {
    pub(super) kind: ResultKind,
    pub(super) object: FileDicomObject<InMemDicomObject>,
}

/// A running node.
pub(super) struct Node {
    client: reqwest::Client,
    url: String,
}

/// What the demo reads of `/api/v1/studies/{uid}`.
#[derive(Debug, Deserialize)]
struct Study {
    series: Vec<Series>,
}

#[derive(Debug, Deserialize)]
struct Series {
    state: String,
    reasons: Vec<String>,
    error: Option<String>,
    timings_ms: BTreeMap<Stage, u64>,
    results: Vec<ResultReference>,
}

impl Node {
    pub(super) fn at(address: SocketAddr) -> Self {
        Self {
            client: crate::node::http::client::builder().build().expect("a client"),
            url: format!("http://{address}"),
        }
    }

    /// Waits until the study is analysed and fetches its results, which are also written to `out`.
    pub(super) async fn results(&self, study: &str, patience: Duration, out: &Path) -> Result<Vec<Fetched>, CliError> {
        let series = self.analysed(study, patience).await?;
        let mut fetched = Vec::new();
        for result in &series.results {
            fetched.push(self.fetch(study, result, out).await?);
        }
        Ok(fetched)
    }

    async fn analysed(&self, study: &str, patience: Duration) -> Result<Series, CliError> {
        let start = Instant::now();
        let spinner = ProgressBar::new_spinner();
        while start.elapsed() < patience {
            let series = self.study(study).await?.and_then(|study| study.series.into_iter().next());
            let state = series.as_ref().map_or_else(|| "receiving".to_owned(), |series| series.state.clone());
            spinner.set_message(format!("{state}, {:.0} s", start.elapsed().as_secs_f64()));
            spinner.tick();
            match (state.as_str(), series) {
                ("analysed", Some(series)) => {
                    spinner.finish_and_clear();
                    let stages: Vec<String> =
                        series.timings_ms.iter().map(|(stage, time)| format!("{stage} {time} ms")).collect();
                    println!("Analysed  after {:.1} s ({})", start.elapsed().as_secs_f64(), stages.join(", "));
                    return Ok(series);
                }
                ("rejected" | "failed", Some(series)) => {
                    spinner.finish_and_clear();
                    let reason = series.error.unwrap_or_else(|| series.reasons.join(", "));
                    return Err(CliError::Failed(format!("the exam was {}: {reason}", series.state)));
                }
                _ => tokio::time::sleep(EVERY).await,
            }
        }
        Err(CliError::Failed(format!("the exam was not analysed within {} s", patience.as_secs())))
    }

    /// The study; `None` while the node knows nothing of it.
    async fn study(&self, uid: &str) -> Result<Option<Study>, CliError> {
        let answer = self
            .client
            .get(format!("{}/api/v1/studies/{uid}", self.url))
            .send()
            .await
            .map_err(|error| CliError::failed(&error))?;
        if answer.status() == reqwest::StatusCode::NOT_FOUND {
            return Ok(None);
        }
        let answer = answer.error_for_status().map_err(|error| CliError::failed(&error))?;
        answer.json().await.map(Some).map_err(|error| CliError::failed(&error))
    }

    async fn fetch(&self, study: &str, result: &ResultReference, out: &Path) -> Result<Fetched, CliError> {
        let ResultReference { kind, series_instance_uid, sop_instance_uid } = result;
        let url =
            format!("{}/dicomweb/studies/{study}/series/{series_instance_uid}/instances/{sop_instance_uid}", self.url);
        let request = self.client.get(url).header("Accept", "application/dicom; transfer-syntax=*");
        let answer = request.send().await.and_then(reqwest::Response::error_for_status);
        let bytes = match answer {
            Ok(answer) => answer.bytes().await,
            Err(error) => Err(error),
        }
        .map_err(|error| CliError::failed(&error))?;
        let object = dicom_object::from_reader(&bytes[..])
            .map_err(|error| CliError::Failed(format!("the {kind} that came back cannot be read: {error}")))?;
        let path = out.join(format!("{kind}.dcm"));
        std::fs::write(&path, &bytes).map_err(|error| CliError::Failed(format!("{}: {error}", path.display())))?;
        println!("Fetched   {} by WADO-RS, {} kB: {}", kind.name().to_uppercase(), bytes.len() / 1000, path.display());
        Ok(Fetched { kind: *kind, object })
    }
}
