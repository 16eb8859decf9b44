//! `/healthz`: the process answers. `/readyz`: it can also take and analyse exams, or says what is missing.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::json;

use super::Web;
use crate::node::worker::Analysis;
use crate::node::worker::protocol::Ready;

/// What is needed to take and analyse exams, and whether it is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Readiness {
    /// True if nothing is missing.
    pub(super) ready: bool,
    /// Each need with what stands in its way.
    pub(super) checks: Vec<Check>,
}

/// One need.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Check {
    pub(super) name: &'static str,
    pub(super) ready: bool,
    /// Why not, or which.
    pub(super) detail: String,
    /// What somebody should look at although the node works.
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
    /// Looks at everything that is needed.
    pub(super) async fn readiness(&self) -> Readiness {
        let check = |name, result: Result<String, String>| match result {
            Ok(detail) => Check { name, ready: true, detail, warning: None },
            Err(detail) => Check { name, ready: false, detail, warning: None },
        };
        let archive = self.0.archive.check_space().await;
        let queue = self.0.queue.counts().await;
        let analysis = self.0.analysis.borrow().clone();
        let checks = vec![
            check("archive", archive.map(|()| "takes objects".to_owned()).map_err(|error| error.to_string())),
            check("queue", queue.map(|_| "answers".to_owned()).map_err(|error| error.to_string())),
            Check { warning: warning(&analysis), ..check("analysis", ready_with(analysis.ready.as_ref())) },
        ];
        Readiness { ready: checks.iter().all(|check| check.ready), checks }
    }
}

/// The promoted packages are not in use.
fn warning(analysis: &Analysis) -> Option<String> {
    let reason = analysis.refused.as_ref()?;
    Some(format!("{} go on, the promoted packages are not taken: {reason}", analysis.packages.ids().join(" and ")))
}

fn ready_with(ready: Option<&Ready>) -> Result<String, String> {
    let Ready { provider, models } =
        ready.ok_or("the analysis process has ended; the next exam starts it again, the log says why it ended")?;
    Ok(format!("{} on {}", models.ids().join(", "), provider.0))
}
