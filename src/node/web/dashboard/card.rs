//! One series on the page.

use maud::{Markup, html};

use crate::engine::analyse::findings::{Decision, Probability};
use crate::engine::pipeline::{AnalysisSummary, EnhancementSummary, ResultKind};
use crate::engine::volume::{LeftOut, Rejection};
use crate::node::dicomweb::ROOT;
use crate::node::queue::{DeliveryState, JobState};
use crate::node::store::{SeriesProgress, SeriesView, StudyView};

/// How urgent a series is for the reader; also the order on the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Urgency {
    /// Somebody has to do something.
    Problem,
    /// In progress.
    Running,
    /// Done, with a finding.
    Finding,
    /// Done, without one.
    Done,
    /// Not usable, with its reasons; or its result was withdrawn or rejected.
    Rejected,
}

impl Urgency {
    /// All, with the heading of each.
    pub(super) const TITLES: [(Self, &'static str); 5] = [
        (Self::Problem, "Needs attention"),
        (Self::Running, "In progress"),
        (Self::Finding, "Embolism present or undetermined"),
        (Self::Done, "Embolism absent"),
        (Self::Rejected, "Not analysed, or result withdrawn"),
    ];
}

/// A series and what the page shows of it.
pub(super) struct Card<'a> {
    pub(super) urgency: Urgency,
    study: &'a StudyView,
    series: &'a SeriesView,
    /// Study Date, YYYYMMDD.
    date: Option<&'a str>,
}

impl<'a> Card<'a> {
    pub(super) fn new(study: &'a StudyView, series: &'a SeriesView, date: Option<&'a str>) -> Self {
        Self { urgency: urgency(series), study, series, date }
    }

    pub(super) fn markup(&self) -> Markup {
        let (class, verdict) = self.verdict();
        let series = self.series;
        html! {
            article.card.(class) {
                div {
                    p.verdict.(class) { (verdict) }
                    @for earlier in self.series.decided_otherwise() {
                        p.alarm {
                            "Version " (earlier.version) " was decided otherwise: "
                            b { (headline(earlier.decision, Some(earlier.probability))) }
                        }
                    }
                    @if let Some(later) = &self.series.later { p.alarm { (later) } }
                    @if let (Some(void), false) = (&self.series.void, self.is_analysed()) {
                        p.alarm { "Result of version " (void.version) " " (void) }
                    }
                    @if let Some(probability) = self.probability() {
                        meter.(class) min="0" max="1" value=(probability.value())
                            aria-label=(format!("Probability of embolism {:.2} %", probability.percent())) {}
                    }
                    @if !self.reasons().is_empty() {
                        ul.reasons {
                            @for rejection in self.reasons() {
                                li { b { (rejection.reason.code()) } ": " (rejection.explanation) }
                            }
                        }
                    }
                    @if let Some(left_out) = self.left_out() {
                        ul.reasons {
                            @for left_out in left_out { li { (left_out) } }
                        }
                    }
                    @if let (Some(error), false) = (&series.error, self.is_done()) { p.alarm { (error) } }
                    p.identity {
                        (self.date.map(readable_date).unwrap_or_default()) " " (series.modality) ", "
                        (series.instances) " images, received " (received(self.study))
                    }
                    p.identity.quiet {
                        "Study " a href=(format!("api/v1/studies/{}", self.study.study_instance_uid)) {
                            (self.study.study_instance_uid)
                        }
                    }
                    (self.facts())
                    (self.shadow())
                    (self.retries())
                }
                @if let Some(image) = self.key_image() { (image) }
            }
        }
    }

    fn summary(&self) -> Option<&'a AnalysisSummary> {
        self.series.summary()
    }

    fn probability(&self) -> Option<Probability> {
        self.summary().and_then(AnalysisSummary::probability)
    }

    fn decision(&self) -> Option<Decision> {
        self.summary().and_then(AnalysisSummary::decision)
    }

    /// Why the series was not analysed, or what limits its result.
    fn reasons(&self) -> &'a [Rejection] {
        self.summary().map_or(&[], AnalysisSummary::rejections)
    }

    fn left_out(&self) -> Option<&'a [LeftOut]> {
        self.summary().map(|summary| summary.left_out.as_slice()).filter(|left_out| !left_out.is_empty())
    }

    fn is_analysed(&self) -> bool {
        self.series.state == SeriesProgress::Job(JobState::Analysed)
    }

    fn is_done(&self) -> bool {
        matches!(self.series.state, SeriesProgress::Job(JobState::Analysed | JobState::Rejected))
    }

    /// Colour and headline: the result that counts, whatever came later, or the state where there is none.
    fn verdict(&self) -> (&'static str, String) {
        match (self.decision(), self.series.state) {
            (Some(decision), _) => {
                let class = match decision {
                    Decision::Present => "alarm",
                    Decision::Absent => "good",
                    Decision::Undetermined => "warn",
                };
                (class, headline(decision, self.probability()))
            }
            (None, SeriesProgress::Receiving) => ("busy", "Receiving".to_owned()),
            (None, SeriesProgress::Job(JobState::Queued)) => ("busy", "Waiting for analysis".to_owned()),
            (None, SeriesProgress::Job(JobState::Running)) => ("busy", "Being analysed".to_owned()),
            (None, SeriesProgress::Job(JobState::Failed)) => {
                ("alarm", format!("Analysis failed after {} attempts", self.series.attempts))
            }
            (None, SeriesProgress::Job(JobState::Rejected)) => ("warn", "Not analysed".to_owned()),
            (None, SeriesProgress::Job(JobState::Analysed)) => {
                let void = self.series.void.as_ref().map(|void| format!("Result {void}"));
                ("warn", void.unwrap_or_else(|| headline(Decision::Undetermined, None)))
            }
        }
    }

    /// Lung volumes and enhancement, as far as they were measured.
    fn measurements(&self) -> Vec<(&'static str, String)> {
        let Some(summary) = self.summary() else { return Vec::new() };
        let lungs = summary.lungs();
        let EnhancementSummary { trunk_hu, aorta_hu, ratio } = summary.enhancement;
        let measured = [
            ("Left lung", lungs.map(|lungs| format!("{:.0} ml", lungs.left_ml))),
            ("Right lung", lungs.map(|lungs| format!("{:.0} ml", lungs.right_ml))),
            ("Pulmonary trunk", trunk_hu.map(|hounsfield| format!("{hounsfield:.0} HU"))),
            ("Aorta", aorta_hu.map(|hounsfield| format!("{hounsfield:.0} HU"))),
            ("Trunk to aorta", ratio.map(|ratio| format!("{ratio:.2}"))),
        ];
        measured.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
    }

    fn facts(&self) -> Markup {
        let seconds = self.summary().map_or(0.0, |summary| summary.timings.total().as_secs_f64());
        html! {
            dl {
                @for (name, value) in self.measurements() { div { dt { (name) } dd { (value) } } }
                @if seconds > 0.0 { div { dt { "Analysis" } dd { (format!("{seconds:.1} s")) } } }
                @if let Some(summary) = self.summary() {
                    @if let Some(provider) = summary.provider() { div { dt { "Ran on" } dd { (provider.0) } } }
                    @for model in summary.models() { div { dt { "Model" } dd { (model.package) } } }
                    @if summary.is_demonstration() {
                        div { dt { "Kind" } dd.warn { "demonstration model, not delivered by default" } }
                    }
                }
                @for (destination, state, count) in self.deliveries() {
                    div {
                        dt { "To " (destination) }
                        dd.alarm[state == DeliveryState::Failed].warn[state == DeliveryState::Retrying] {
                            (count) " " (state.name())
                        }
                    }
                }
            }
        }
    }

    /// Predictions of shadow models, apart from the result.
    fn shadow(&self) -> Markup {
        html! {
            @for shadow in &self.series.shadow {
                p.shadow {
                    b { "Shadow " } (shadow.package) ": "
                    @match (&shadow.error, shadow.summary.as_ref().and_then(AnalysisSummary::analysed)) {
                        (Some(error), _) => { span.alarm { "failed: " (error) } }
                        (None, Some(analysed)) => {
                            (headline(analysed.decision, Some(analysed.probability)))
                            @if self.decision().is_some_and(|active| active != analysed.decision) { b { " (differs)" } }
                        }
                        (None, None) => { "not analysed" }
                    }
                    ". Not part of the result, never sent."
                }
            }
        }
    }

    /// Buttons that queue again what has failed.
    fn retries(&self) -> Markup {
        let mut failed: Vec<&str> = self
            .deliveries()
            .into_iter()
            .filter(|(_, state, _)| *state == DeliveryState::Failed)
            .map(|(destination, ..)| destination)
            .collect();
        failed.dedup();
        html! {
            @if let (SeriesProgress::Job(JobState::Failed), Some(job)) = (self.series.state, &self.series.job) {
                form method="post" action=(format!("api/v1/jobs/{job}/retry")) { button { "Analyse again" } }
            }
            @for destination in failed {
                form method="post" action="api/v1/deliveries/retry" {
                    input type="hidden" name="destination" value=(destination);
                    button { "Send again what " (destination) " has not received" }
                }
            }
        }
    }

    /// Deliveries counted by destination and state.
    fn deliveries(&self) -> Vec<(&str, DeliveryState, usize)> {
        let mut counts: Vec<(&str, DeliveryState, usize)> = Vec::new();
        for delivery in &self.series.deliveries {
            let same = |(name, state, _): &&mut (&str, DeliveryState, usize)| {
                *name == delivery.destination && *state == delivery.state
            };
            match counts.iter_mut().find(same) {
                Some((_, _, count)) => *count += 1,
                None => counts.push((&delivery.destination, delivery.state, 1)),
            }
        }
        counts
    }

    /// The first heat map: the second frame of the Secondary Capture, after its summary.
    fn key_image(&self) -> Option<Markup> {
        let capture = self.series.results.iter().find(|result| result.kind == ResultKind::Sc)?;
        let instance = format!(
            "{}/studies/{}/series/{}/instances/{}/rendered",
            ROOT.trim_start_matches('/'),
            self.study.study_instance_uid,
            capture.series_instance_uid,
            capture.sop_instance_uid
        );
        let text = "Heat map over the most suspicious slice";
        Some(html! {
            a href=(format!("{instance}?frame=1&accept=image/png")) {
                img.key src=(format!("{instance}?frame=2&viewport=480,480&accept=image/png")) alt=(text) loading="lazy" width="480" height="480";
            }
        })
    }
}

/// A decision in words, with its probability.
fn headline(decision: Decision, probability: Option<Probability>) -> String {
    let text = match decision {
        Decision::Present => "▲ Embolism present",
        Decision::Absent => "○ Embolism absent",
        Decision::Undetermined => "? Undetermined",
    };
    let percent = probability.map(|value| format!(", {:.1} %", value.percent())).unwrap_or_default();
    format!("{text}{percent}")
}

fn urgency(series: &SeriesView) -> Urgency {
    if series.deliveries.iter().any(|delivery| delivery.state == DeliveryState::Failed) {
        return Urgency::Problem;
    }
    if series.state == SeriesProgress::Job(JobState::Failed) {
        return Urgency::Problem;
    }
    let decision = series.summary().and_then(AnalysisSummary::decision);
    if decision.is_some_and(|decision| decision != Decision::Absent) || series.decided_otherwise().next().is_some() {
        return Urgency::Finding;
    }
    match series.state {
        SeriesProgress::Receiving | SeriesProgress::Job(JobState::Queued | JobState::Running) => Urgency::Running,
        SeriesProgress::Job(JobState::Rejected) => Urgency::Rejected,
        SeriesProgress::Job(JobState::Analysed) if series.void.is_some() => Urgency::Rejected,
        SeriesProgress::Job(JobState::Analysed) if decision.is_none() => Urgency::Finding,
        SeriesProgress::Job(JobState::Analysed | JobState::Failed) => Urgency::Done,
    }
}

/// A date as stored (YYYYMMDD) with hyphens; anything else as it stands.
fn readable_date(date: &str) -> String {
    match (date.get(..4), date.get(4..6), date.get(6..8)) {
        (Some(year), Some(month), Some(day)) if date.len() == 8 => format!("{year}-{month}-{day}"),
        _ => date.to_owned(),
    }
}

/// When the study arrived, in UTC to the minute.
fn received(study: &StudyView) -> String {
    study.received_at.strftime("%Y-%m-%d %H:%M UTC").to_string()
}
