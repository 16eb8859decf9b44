//! Logs and metrics. Both speak of objects by unique identifier only, never of patients.

use std::sync::OnceLock;
use std::time::Duration;

use metrics::{counter, describe_counter, describe_gauge, describe_histogram, histogram};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::config::{LogConfig, LogFormat};

/// Why logging cannot start.
#[derive(Debug, thiserror::Error)]
#[error("log.filter = `{filter}` cannot be used: {source}; an example is `info,pe_node=debug`")]
pub struct TelemetryError {
    filter: String,
    source: tracing_subscriber::filter::ParseError,
}

/// Starts logging to standard error. Standard output belongs to what the commands print. A process that already logs
/// goes on as it does.
pub fn start_logging(config: &LogConfig) -> Result<(), TelemetryError> {
    let filter = EnvFilter::try_new(&config.filter)
        .map_err(|source| TelemetryError { filter: config.filter.clone(), source })?;
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let registry = tracing_subscriber::registry().with(filter);
    let started = match config.format {
        LogFormat::Text => registry.with(lines.with_ansi(false)).try_init(),
        LogFormat::Json => registry.with(lines.json().flatten_event(true)).try_init(),
    };
    if started.is_err() {
        tracing::debug!("logging had started before");
    }
    Ok(())
}

/// Through which door an object came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Door {
    /// C-STORE.
    Dimse,
    /// STOW-RS.
    Stow,
}

impl Door {
    fn name(self) -> &'static str {
        match self {
            Self::Dimse => "dimse",
            Self::Stow => "stow",
        }
    }
}

/// Counts an object that came through a door. `outcome` is `new`, `already`, `conflict` or `refused`; `bytes` is the
/// size of its data set.
pub fn count_received(door: Door, outcome: &'static str, bytes: usize) {
    counter!("pe_node_instances_received_total", "door" => door.name(), "outcome" => outcome).increment(1);
    counter!("pe_node_received_bytes_total", "door" => door.name()).increment(bytes as u64);
}

/// Counts a job that reached a final state (`analysed`, `rejected`, `failed`) or lost an attempt (`retried`).
pub fn count_job(state: &'static str) {
    counter!("pe_node_jobs_finished_total", "state" => state).increment(1);
}

/// Counts a series that a candidate model was shown. `outcome` is `seen` or `failed`.
pub fn count_shadow(outcome: &'static str) {
    counter!("pe_node_shadow_total", "outcome" => outcome).increment(1);
}

/// Records how long a stage of an analysis took.
pub fn record_stage(stage: &str, duration: Duration) {
    histogram!("pe_node_stage_seconds", "stage" => stage.to_owned()).record(duration.as_secs_f64());
}

/// Counts an attempt to deliver a result object. `outcome` is `delivered`, `retried` or `dead`.
pub fn count_delivery(destination: &str, outcome: &'static str) {
    counter!("pe_node_deliveries_total", "destination" => destination.to_owned(), "outcome" => outcome).increment(1);
}

/// The process's metrics, collected from the first call on.
pub fn metrics() -> PrometheusHandle {
    static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();
    HANDLE
        .get_or_init(|| {
            let recorder = builder().build_recorder();
            let handle = recorder.handle();
            if metrics::set_global_recorder(recorder).is_err() {
                tracing::warn!("metrics are collected elsewhere in this process; /metrics stays empty");
            }
            describe();
            handle
        })
        .clone()
}

fn builder() -> PrometheusBuilder {
    const SECONDS: [f64; 12] = [0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 40.0, 80.0, 160.0];
    PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)
        .expect("the list of buckets is not empty")
}

fn describe() {
    describe_counter!(
        "pe_node_instances_received_total",
        "Objects received, by door (dimse, stow) and outcome (new, already, conflict, refused)"
    );
    describe_counter!("pe_node_received_bytes_total", "Bytes of received data sets, by door");
    describe_counter!("pe_node_jobs_finished_total", "Analyses ended, by state");
    describe_counter!("pe_node_shadow_total", "Series that a candidate model was shown, by outcome (seen, failed)");
    describe_gauge!(
        "pe_node_models_refused",
        "1 if the packages that were promoted last are not the ones that analyse"
    );
    describe_histogram!("pe_node_stage_seconds", "Duration of an analysis by stage, in seconds");
    describe_counter!("pe_node_deliveries_total", "Attempts to deliver a result, by destination and outcome");
    describe_gauge!("pe_node_archived", "What the archive holds, results included, by kind (study, series, instance)");
    describe_gauge!("pe_node_conflicts", "Objects kept apart because another had their identifier");
    describe_gauge!("pe_node_series_receiving", "Series whose instances may still come");
    describe_gauge!("pe_node_jobs", "Analyses by state");
    describe_gauge!("pe_node_analysis_ready", "1 if the analysis process has loaded its models");
    describe_gauge!("pe_node_queue_depth", "Jobs that wait for analysis");
    describe_gauge!("pe_node_deliveries", "Deliveries by destination and state");
    describe_gauge!("pe_node_free_bytes", "Free space where the archive lies, in bytes");
}
