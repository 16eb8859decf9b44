//! Objects that say something else of patient or study than those that are stored: who looks at them decides for the
//! whole study. Only a caller on this machine may, until the node knows who its callers are.

use std::net::SocketAddr;

use axum::extract::{ConnectInfo, Path, State};
use axum::http::HeaderMap;
use axum::response::IntoResponse;
use axum::{Form, Json};
use serde::Deserialize;
use serde_json::json;

use super::api::{done, identifier};
use super::locality::{LocalCaller, is_local};
use super::services::Web;
use crate::node::http::{HttpResult, Problem};
use crate::node::store::StudyConflict;

/// Conflicts in the answer.
const MAXIMUM: u32 = 1000;

impl Web {
    /// Studies in conflict, as this caller may see them: values of patient and study are for callers on this machine.
    pub(super) async fn conflicts(&self, is_local: bool, limit: u32) -> Result<Vec<StudyConflict>, Problem> {
        let mut conflicts = self.0.store.study_conflicts(limit, self.0.store.now()).await?;
        if !is_local {
            let all = conflicts.iter_mut().flat_map(|conflict| {
                let StudyConflict { proposals, differing, .. } = conflict;
                proposals.iter_mut().flat_map(|one| &mut one.differing).chain(differing)
            });
            for attribute in all {
                (attribute.stored, attribute.received) = Default::default();
            }
        }
        Ok(conflicts)
    }
}

pub(super) async fn list(
    State(web): State<Web>,
    ConnectInfo(caller): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
) -> HttpResult {
    Ok(Json(web.conflicts(is_local(caller, &headers), MAXIMUM).await?).into_response())
}

/// What to do with the objects that are held for a study.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Verdict {
    /// The study is corrected by them.
    Accept,
    /// The stored objects stand.
    Refuse,
}

/// A decision of a person.
#[derive(Debug, Deserialize)]
pub(super) struct Decision {
    decision: Verdict,
    /// The proposal that is accepted; it may be left out where there is one alone.
    #[serde(default)]
    proposal: String,
    /// Who decides, for the record.
    #[serde(default)]
    by: String,
}

/// Decides on what is held for a study.
pub(super) async fn decide(
    State(web): State<Web>,
    Path(study): Path<String>,
    LocalCaller(caller): LocalCaller,
    headers: HeaderMap,
    Form(decision): Form<Decision>,
) -> HttpResult {
    let study = identifier(&study)?;
    let by = person(&decision.by, caller);
    let archive = &web.0.archive;
    let (objects, left) = match decision.decision {
        Verdict::Accept => {
            let id = Some(decision.proposal.trim()).filter(|id| !id.is_empty());
            let accepted = archive.accept_held(&study, id, &by).await?;
            accepted.map_or((0, 0), |accepted| (accepted.corrected as u64, accepted.left as u64))
        }
        Verdict::Refuse => (archive.refuse_held(&study).await?, 0),
    };
    if objects == 0 {
        return Err(Problem::NotFound(format!("nothing is held for the study {study}")));
    }
    tracing::info!(%study, objects, left, decision = ?decision.decision, "decided on held objects by hand");
    Ok(done(&headers, json!({ "objects": objects, "left": left })))
}

/// The corrections of a study, oldest first.
pub(super) async fn records(State(web): State<Web>, Path(study): Path<String>) -> HttpResult {
    let study = identifier(&study)?;
    Ok(Json(web.0.store.records(&study).await?).into_response())
}

/// Who a record names: what the person said, and where the request came from.
pub(super) fn person(name: &str, caller: SocketAddr) -> String {
    let name: String = name.trim().chars().filter(|character| !character.is_control()).take(64).collect();
    let from = caller.ip().to_canonical();
    if name.is_empty() { format!("a person at {from}") } else { format!("{name} at {from}") }
}
