//! Logs and metrics. Both name objects by unique identifier only, never patients.

use std::sync::OnceLock;
use std::time::Duration;

use metrics::{counter, describe_counter, describe_gauge, describe_histogram, histogram};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use strum::{EnumIter, EnumMessage, IntoEnumIterator, IntoStaticStr};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use super::log_line::OneLine;
use crate::config::{LogConfig, LogFormat};

/// Why logging cannot start.
#[derive(Debug, thiserror::Error)]
#[error("log.filter = `{filter}` cannot be used: {source}; an example is `info,pe_node=debug`")]
pub struct TelemetryError {
    filter: String,
    source: tracing_subscriber::filter::ParseError,
}

/// Starts logging to standard error: standard output belongs to what the commands print. In a process that already logs,
/// nothing changes.
pub fn start_logging(config: &LogConfig) -> Result<(), TelemetryError> {
    let filter = EnvFilter::try_new(&config.filter)
        .map_err(|source| TelemetryError { filter: config.filter.clone(), source })?;
    let lines = tracing_subscriber::fmt::layer().with_writer(|| OneLine(std::io::stderr()));
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

/// The interface that received an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr)]
#[strum(serialize_all = "lowercase")]
pub enum Interface {
    /// C-STORE.
    Dimse,
    /// STOW-RS.
    Stow,
}

/// What became of a received object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr)]
#[strum(serialize_all = "lowercase")]
pub enum Received {
    /// Stored for the first time.
    New,
    /// Stored before with the same content.
    Already,
    /// A correction that waits for the rest of its study.
    Held,
    /// The last object of a correction, which took effect.
    Corrected,
    /// Not stored.
    Refused,
}

/// How an attempt at a job ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr)]
#[strum(serialize_all = "lowercase")]
pub enum JobEnd {
    /// The job is done, with findings.
    Analysed,
    /// The job is done: the series is not usable.
    Rejected,
    /// The job has failed for good.
    Failed,
    /// The job has lost an attempt and is tried again.
    Retried,
    /// The node could not do it for now, which costs no attempt.
    Postponed,
}

/// How the analysis of a series by a shadow model ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr)]
#[strum(serialize_all = "lowercase")]
pub enum ShadowEnd {
    /// It has a prediction, or rejected the series.
    Seen,
    /// It failed.
    Failed,
}

/// How an attempt to deliver a result object ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr)]
#[strum(serialize_all = "lowercase")]
pub enum DeliveryEnd {
    /// The destination has it.
    Delivered,
    /// It is tried again.
    Retried,
    /// It has failed for good.
    Failed,
}

/// What is counted as it happens. The documentation of each is also its help text.
#[derive(Debug, Clone, Copy, EnumIter, EnumMessage, IntoStaticStr)]
enum Counter {
    /// Objects received, by interface (dimse, stow) and outcome (new, already, held, corrected, refused)
    #[strum(serialize = "pe_node_instances_received_total")]
    InstancesReceived,
    /// Bytes of received data sets, by interface
    #[strum(serialize = "pe_node_received_bytes_total")]
    ReceivedBytes,
    /// Attempts at analyses that ended, by state
    #[strum(serialize = "pe_node_jobs_finished_total")]
    JobsFinished,
    /// Series that a shadow model was given, by outcome (seen, failed)
    #[strum(serialize = "pe_node_shadow_total")]
    Shadow,
    /// Newer versions of exams that were decided otherwise than the ones before
    #[strum(serialize = "pe_node_changed_decisions_total")]
    ChangedDecisions,
    /// Attempts to deliver a result, by destination and outcome (delivered, retried, failed)
    #[strum(serialize = "pe_node_deliveries_total")]
    Deliveries,
}

/// What is measured at the moment of the request. The documentation of each is also its help text.
#[derive(Debug, Clone, Copy, EnumIter, EnumMessage, IntoStaticStr)]
pub enum Gauge {
    /// 1 if the packages that were promoted last are not the ones in use
    #[strum(serialize = "pe_node_models_refused")]
    ModelsRefused,
    /// What the archive holds, results included, by kind (study, series, instance)
    #[strum(serialize = "pe_node_archived")]
    Archived,
    /// Objects that came under the identifier of another one, or name another patient than their study, by state (held, refused, replaced, stray)
    #[strum(serialize = "pe_node_conflicts")]
    Conflicts,
    /// Stored objects whose files are known to be damaged or gone
    #[strum(serialize = "pe_node_damaged_objects")]
    DamagedObjects,
    /// Series whose instances may still arrive
    #[strum(serialize = "pe_node_series_receiving")]
    SeriesReceiving,
    /// Analyses by state
    #[strum(serialize = "pe_node_jobs")]
    Jobs,
    /// 1 if the analysis process has loaded its models
    #[strum(serialize = "pe_node_analysis_ready")]
    AnalysisReady,
    /// Jobs that wait for analysis
    #[strum(serialize = "pe_node_queue_depth")]
    QueueDepth,
    /// Deliveries by destination and state
    #[strum(serialize = "pe_node_deliveries")]
    Deliveries,
    /// Deliveries that wait for a destination that left the settings, or have failed there
    #[strum(serialize = "pe_node_deliveries_stranded")]
    DeliveriesStranded,
    /// Storage commitments that peers asked for, by state of their reports (requested, reported, failed)
    #[strum(serialize = "pe_node_commitments")]
    Commitments,
    /// Free space where the archive lies, in bytes
    #[strum(serialize = "pe_node_free_bytes")]
    FreeBytes,
}

impl Counter {
    fn name(self) -> &'static str {
        self.into()
    }
}

impl Gauge {
    /// The name in `/metrics`.
    pub fn name(self) -> &'static str {
        self.into()
    }
}

const STAGE_SECONDS: &str = "pe_node_stage_seconds";

/// Counts an object that an interface received; `bytes` is the size of its data set.
pub fn count_received(interface: Interface, outcome: Received, bytes: usize) {
    let (interface, outcome): (&str, &str) = (interface.into(), outcome.into());
    // `door` was the label's name before 0.2; the version after 0.2 removes it.
    let labels = [("interface", interface), ("door", interface)];
    counter!(Counter::ReceivedBytes.name(), &labels).increment(bytes as u64);
    let labels = [labels[0], labels[1], ("outcome", outcome)];
    counter!(Counter::InstancesReceived.name(), &labels).increment(1);
}

/// Counts an attempt at a job that ended.
pub fn count_job(end: JobEnd) {
    counter!(Counter::JobsFinished.name(), "state" => <&str>::from(end)).increment(1);
}

/// Counts a series that a shadow model was given.
pub fn count_shadow(end: ShadowEnd) {
    counter!(Counter::Shadow.name(), "outcome" => <&str>::from(end)).increment(1);
}

/// Counts a newer version of an exam that was decided otherwise than the one before.
pub fn count_changed_decision() {
    counter!(Counter::ChangedDecisions.name()).increment(1);
}

/// Records how long a stage of an analysis took.
pub fn record_stage(stage: &str, duration: Duration) {
    histogram!(STAGE_SECONDS, "stage" => stage.to_owned()).record(duration.as_secs_f64());
}

/// Counts an attempt to deliver a result object.
pub fn count_delivery(destination: &str, end: DeliveryEnd) {
    let count = |outcome: &'static str| {
        counter!(Counter::Deliveries.name(), "destination" => destination.to_owned(), "outcome" => outcome)
            .increment(1);
    };
    count(end.into());
    // `dead` was the outcome's name before 0.2; the version after 0.2 removes it.
    if end == DeliveryEnd::Failed {
        count("dead");
    }
}

/// The process's metrics, collected from the first call on.
pub fn metrics() -> PrometheusHandle {
    static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();
    HANDLE
        .get_or_init(|| {
            let recorder = builder().build_recorder();
            let handle = recorder.handle();
            if metrics::set_global_recorder(recorder).is_err() {
                tracing::warn!("another recorder collects the metrics of this process; /metrics stays empty");
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
    let help = |text: Option<&'static str>| text.unwrap_or_default();
    for counter in Counter::iter() {
        describe_counter!(counter.name(), help(counter.get_documentation()));
    }
    for gauge in Gauge::iter() {
        describe_gauge!(gauge.name(), help(gauge.get_documentation()));
    }
    describe_histogram!(STAGE_SECONDS, "Duration of an analysis by stage, in seconds");
}
