//! `/metrics` for Prometheus: what was counted as it happened, and what stands in the database and on the disk now.

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use metrics::gauge;

use super::Web;
use crate::node::dicomweb::problem::Problem;
use crate::node::queue::{Counts, JobState};

/// The text format's media type.
const TEXT_FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";

pub(super) async fn page(State(web): State<Web>) -> Result<Response, Problem> {
    let counts = web.0.queue.counts().await.map_err(|error| Problem::reading(&error))?;
    set(&counts);
    let (ready, refused) = {
        let analysis = web.0.analysis.borrow();
        (analysis.ready.is_some(), analysis.refused.is_some())
    };
    gauge!("pe_node_analysis_ready").set(f64::from(u8::from(ready)));
    gauge!("pe_node_models_refused").set(f64::from(u8::from(refused)));
    gauge!("pe_node_free_bytes").set(web.0.archive.free_bytes().await? as f64);
    web.0.metrics.run_upkeep();
    Ok(([(header::CONTENT_TYPE, TEXT_FORMAT)], web.0.metrics.render()).into_response())
}

fn set(counts: &Counts) {
    for (kind, count) in [("study", counts.studies), ("series", counts.series), ("instance", counts.instances)] {
        gauge!("pe_node_archived", "kind" => kind).set(count as f64);
    }
    gauge!("pe_node_conflicts").set(counts.conflicts as f64);
    gauge!("pe_node_series_receiving").set(counts.receiving as f64);
    for (state, count) in &counts.jobs {
        gauge!("pe_node_jobs", "state" => state.name()).set(*count as f64);
    }
    let waiting = counts.jobs.get(&JobState::Queued).copied().unwrap_or(0);
    gauge!("pe_node_queue_depth").set(waiting as f64);
    for (destination, states) in &counts.deliveries {
        for (state, count) in states {
            gauge!("pe_node_deliveries", "destination" => destination.clone(), "state" => state.name())
                .set(*count as f64);
        }
    }
}
