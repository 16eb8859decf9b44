//! `/healthz`: the process answers. `/readyz`: the node can receive and analyse exams; if not, it says what is missing.

use std::collections::BTreeMap;
use std::fmt::Display;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::json;

use super::services::Web;
use crate::node::worker::Analysis;
use crate::node::worker::protocol::Ready;

/// Damaged objects that are named.
const NAMED: usize = 5;

/// What is needed to receive and analyse exams, and whether it is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Readiness {
    /// True if nothing is missing.
    pub(super) ready: bool,
    /// Each need, with the reason if it is not met.
    pub(super) checks: Vec<Check>,
}

/// One need.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Check {
    pub(super) name: &'static str,
    pub(super) ready: bool,
    /// Why it is not met, or what meets it.
    pub(super) detail: String,
    /// What the administrator should look at although the node works.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) warning: Option<String>,
}

pub(super) async fn alive() -> Json<serde_json::Value> {
    Json(json!({ "status": "alive", "version": env!("CARGO_PKG_VERSION") }))
}

pub(super) async fn ready(State(web): State<Web>) -> Response {
    let readiness = web.readiness().await;
    let status = if readiness.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(readiness)).into_response()
}

impl Web {
    /// Checks everything that is needed.
    pub(super) async fn readiness(&self) -> Readiness {
        let archive = self.0.archive.check_writable().await.map(|()| "accepts objects");
        let counts = self.0.store.counts().await;
        let stranded = counts.as_ref().map(|counts| self.stranded(counts)).unwrap_or_default();
        let store = match self.0.store.damage() {
            Some(damage) => Err(damage),
            None => counts.map(|_| "answers").map_err(|error| error.to_string()),
        };
        let analysis = self.0.analysis.borrow().clone();
        let checks = vec![
            Check::new("archive", archive),
            Check::new("queue", store),
            Check { warning: warning(&analysis), ..Check::new("analysis", ready_with(analysis.ready.as_ref())) },
            self.destinations(&stranded),
            self.objects(),
        ];
        Readiness { ready: checks.iter().all(|check| check.ready), checks }
    }
}

impl Web {
    /// Whether stored objects are known to be damaged. The node works on with the others.
    fn objects(&self) -> Check {
        let damaged = self.0.archive.damaged();
        let warning = (!damaged.is_empty()).then(|| {
            let mut named: Vec<String> = damaged.iter().take(NAMED).map(ToString::to_string).collect();
            named.extend((damaged.len() > NAMED).then(|| format!("and {} more", damaged.len() - NAMED)));
            format!("{} stored objects are damaged; send them again: {}", damaged.len(), named.join("; "))
        });
        Check { name: "objects", ready: true, detail: "read only if their SHA-256 is right".to_owned(), warning }
    }

    /// Where results go. That something waits for a destination that left the settings keeps the node from nothing.
    fn destinations(&self, stranded: &BTreeMap<String, u64>) -> Check {
        let waiting = stranded.iter().filter(|(_, count)| **count > 0);
        let named: Vec<String> = waiting.map(|(name, count)| format!("{count} to `{name}`")).collect();
        let warning = (!named.is_empty()).then(|| {
            format!(
                "deliveries wait for destinations that left the settings: {}; name them again, or redirect or drop what \
                 is due to them (POST /api/v1/deliveries/redirect, /api/v1/deliveries/drop)",
                named.join(", ")
            )
        });
        let detail = match self.0.destinations.len() {
            0 => "none configured".to_owned(),
            count => format!("{count} configured"),
        };
        Check { name: "destinations", ready: true, detail, warning }
    }
}

impl Check {
    fn new<T: Into<String>, E: Display>(name: &'static str, result: Result<T, E>) -> Self {
        let (ready, detail) = match result {
            Ok(detail) => (true, detail.into()),
            Err(error) => (false, error.to_string()),
        };
        Self { name, ready, detail, warning: None }
    }
}

/// A warning if the promoted packages are not in use.
fn warning(analysis: &Analysis) -> Option<String> {
    let reason = analysis.refused.as_ref()?;
    let packages = analysis.packages.ids().join(" and ");
    Some(format!("{packages} stay active; the promoted packages are refused: {reason}"))
}

#[derive(Debug, thiserror::Error)]
#[error("the analysis process has ended; the next exam starts it again; the log says why it ended")]
struct AnalysisEnded;

fn ready_with(ready: Option<&Ready>) -> Result<String, AnalysisEnded> {
    let Ready { provider, models } = ready.ok_or(AnalysisEnded)?;
    Ok(format!("{} on {}", models.ids().join(", "), provider.0))
}
