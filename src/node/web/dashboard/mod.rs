//! `/`: what the node is doing, on one page that loads nothing from other sites. Problems come first. Studies are named by
//! identifier, date and modality; no name of a patient is shown.

mod card;
mod conflict;

use std::collections::BTreeMap;
use std::net::SocketAddr;

use axum::Extension;
use axum::extract::{ConnectInfo, State};
use axum::http::{HeaderMap, header};
use axum::response::{Html, IntoResponse};
use dicom_dictionary_std::tags;
use maud::{DOCTYPE, Markup, PreEscaped, html};

use self::card::{Card, Urgency};
use super::health::Readiness;
use super::locality::is_local;
use super::services::Web;
use crate::dicom::elements;
use crate::node::archive::{Level, Query};
use crate::node::http::{External, HttpResult, Problem};
use crate::node::store::{StudyConflict, StudyView};

/// Studies on the page.
const STUDIES: u32 = 60;
/// Studies in conflict on the page.
const CONFLICTS: u32 = 20;
/// Shown on every page.
const BANNER: &str = "Research use only. Not for diagnosis.";

pub(super) async fn page(
    State(web): State<Web>,
    ConnectInfo(caller): ConnectInfo<SocketAddr>,
    request: HeaderMap,
    Extension(external): Extension<External>,
) -> HttpResult {
    let readiness = web.readiness().await;
    let studies = web.0.store.studies(STUDIES).await?;
    let conflicts = web.conflicts(is_local(caller, &request), CONFLICTS).await?;
    let dates = web.dates(&studies).await?;
    let mut cards: Vec<Card<'_>> = studies
        .iter()
        .flat_map(|study| {
            let date = dates.get(study.study_instance_uid.as_str()).map(String::as_str);
            study.series.iter().map(move |series| Card::new(study, series, date))
        })
        .collect();
    // The sort is stable: within one urgency the newest stays first.
    cards.sort_by_key(|card| card.urgency);
    // Inline style and script are named by a number that only this response knows.
    let nonce = format!("{:032x}", rand::random::<u128>());
    let policy = format!(
        "default-src 'none'; img-src 'self'; connect-src 'self'; style-src 'nonce-{nonce}'; script-src 'nonce-{nonce}'; \
         base-uri 'self'; form-action 'self'; frame-ancestors 'none'"
    );
    let headers = [(header::CONTENT_SECURITY_POLICY, policy), (header::CACHE_CONTROL, "no-store".to_owned())];
    let document = document(&readiness, &conflicts, &cards, &nonce, external.prefix());
    Ok((headers, Html(document.into_string())).into_response())
}

impl Web {
    /// Study dates by Study Instance UID.
    async fn dates(&self, studies: &[StudyView]) -> Result<BTreeMap<String, String>, Problem> {
        if studies.is_empty() {
            return Ok(BTreeMap::new());
        }
        let uids: Vec<&str> = studies.iter().map(|study| study.study_instance_uid.as_str()).collect();
        let query = Query { matching: vec![(tags::STUDY_INSTANCE_UID, uids.join("\\"))], ..Query::default() };
        let found = self.0.archive.find(Level::Study, &query).await?;
        let date = |data_set| {
            Some((elements::text(data_set, tags::STUDY_INSTANCE_UID)?, elements::text(data_set, tags::STUDY_DATE)?))
        };
        Ok(found.iter().filter_map(date).collect())
    }
}

/// The page. Its links are relative, so that they work behind a proxy that puts something before the path; where that is
/// known, they work without a slash after it, too.
fn document(
    readiness: &Readiness,
    conflicts: &[StudyConflict],
    cards: &[Card<'_>],
    nonce: &str,
    prefix: &str,
) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                @if !prefix.is_empty() { base href=(format!("{prefix}/")); }
                title { "pe-node" }
                style nonce=(nonce) { (PreEscaped(include_str!("page.css"))) }
                noscript { meta http-equiv="refresh" content="10"; }
            }
            body {
                div.banner role="note" { (BANNER) }
                header {
                    h1 { "pe-node " span.quiet { (env!("CARGO_PKG_VERSION")) } }
                    span #stale .alarm role="alert" hidden { "The node does not answer. What you see may be old." }
                }
                main { (status(readiness, conflicts, cards)) (conflict::list(conflicts)) (list(cards)) }
                footer.quiet { "Pulmonary embolism on CT angiograms, found by a model. A radiologist reads every exam." }
                script nonce=(nonce) { (PreEscaped(include_str!("page.js"))) }
            }
        }
    }
}

/// The status line, large enough to be read from across the room, and the checks behind it.
fn status(readiness: &Readiness, conflicts: &[StudyConflict], cards: &[Card<'_>]) -> Markup {
    let count = |urgency| cards.iter().filter(|card| card.urgency == urgency).count();
    let warnings = readiness.checks.iter().filter(|check| check.warning.is_some()).count();
    let (problems, running) = (count(Urgency::Problem) + conflicts.len() + warnings, count(Urgency::Running));
    let (class, text) = match (readiness.ready, problems, running) {
        (false, ..) => ("alarm", "Not ready".to_owned()),
        (true, 1, _) => ("alarm", "1 problem".to_owned()),
        (true, 2.., _) => ("alarm", format!("{problems} problems")),
        (true, 0, 1..) => ("busy", format!("Working on {running}")),
        (true, 0, 0) => ("good", "Ready".to_owned()),
    };
    html! {
        section aria-live="polite" aria-label="State of the node" {
            p.status.(class) { (text) }
            ul.checks {
                @for check in &readiness.checks {
                    li.quiet[check.ready].alarm[!check.ready] {
                        (if check.ready { "✓" } else { "✗" }) " " (check.name) ": " (check.detail)
                        @if let Some(warning) = &check.warning { ". " b.warn { (warning) } }
                    }
                }
            }
        }
    }
}

fn list(cards: &[Card<'_>]) -> Markup {
    html! {
        @for (urgency, title) in Urgency::TITLES {
            @let of_this: Vec<_> = cards.iter().filter(|card| card.urgency == urgency).collect();
            @if !of_this.is_empty() {
                h2 { (title) " (" (of_this.len()) ")" }
                @for card in of_this { (card.markup()) }
            }
        }
        @if cards.is_empty() {
            p.quiet { "No study yet. Send a CT pulmonary angiogram by C-STORE or STOW-RS." }
        }
    }
}
