//! `/metrics` for Prometheus: counts of what happened, and the present state of the database and the disk.

use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use metrics::gauge;

use super::services::Web;
use crate::node::http::HttpResult;
use crate::node::queue::JobState;
use crate::node::store::Counts;
use crate::node::telemetry::Gauge;

/// The text format's media type.
const TEXT_FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";

pub(super) async fn page(State(web): State<Web>) -> HttpResult {
    let counts = web.0.store.counts().await?;
    set(&counts);
    for (destination, count) in web.stranded(&counts) {
        gauge!(Gauge::DeliveriesStranded.name(), "destination" => destination).set(count as f64);
    }
    for (state, count) in web.0.store.commitment_counts().await? {
        gauge!(Gauge::Commitments.name(), "state" => state.name()).set(count as f64);
    }
    let (ready, refused) = {
        let analysis = web.0.analysis.borrow();
        (analysis.ready.is_some(), analysis.refused.is_some())
    };
    gauge!(Gauge::AnalysisReady.name()).set(f64::from(u8::from(ready)));
    gauge!(Gauge::ModelsRefused.name()).set(f64::from(u8::from(refused)));
    gauge!(Gauge::DamagedObjects.name()).set(web.0.archive.damaged().len() as f64);
    gauge!(Gauge::FreeBytes.name()).set(web.0.archive.free_bytes().await? as f64);
    web.0.metrics.run_upkeep();
    Ok(([(header::CONTENT_TYPE, TEXT_FORMAT)], web.0.metrics.render()).into_response())
}

fn set(counts: &Counts) {
    use crate::node::queue::DeliveryState::Failed;

    for (kind, count) in [("study", counts.studies), ("series", counts.series), ("instance", counts.instances)] {
        gauge!(Gauge::Archived.name(), "kind" => kind).set(count as f64);
    }
    for (state, count) in &counts.conflicts {
        gauge!(Gauge::Conflicts.name(), "state" => <&str>::from(*state)).set(*count as f64);
    }
    gauge!(Gauge::SeriesReceiving.name()).set(counts.receiving as f64);
    for (state, count) in &counts.jobs {
        gauge!(Gauge::Jobs.name(), "state" => state.name()).set(*count as f64);
    }
    let waiting = counts.jobs.get(&JobState::Queued).copied().unwrap_or(0);
    gauge!(Gauge::QueueDepth.name()).set(waiting as f64);
    for (destination, states) in &counts.deliveries {
        for (state, count) in states {
            // `dead-letter` was the state's name before 0.2; the version after 0.2 removes it.
            let former = (*state == Failed).then_some("dead-letter");
            for name in former.into_iter().chain([state.name()]) {
                gauge!(Gauge::Deliveries.name(), "destination" => destination.clone(), "state" => name)
                    .set(*count as f64);
            }
        }
    }
}
