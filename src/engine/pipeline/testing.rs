//! Summaries for tests of what stores and shows them.

use super::{
    AnalysedSummary, AnalysisSummary, Ending, EnhancementSummary, LungStage, LungVolumes, RejectedSummary, Timings,
};
use crate::engine::analyse::findings::{Decision, ModelIdentity, Probability, Provider};
use crate::engine::models::lineup::Packages;
use crate::engine::volume::Rejection;

/// An analysed series, changed as a test needs it.
pub(crate) fn analysed(change: impl FnOnce(&mut AnalysedSummary)) -> AnalysisSummary {
    let mut analysed = AnalysedSummary {
        probability: Probability::new(0.25).expect("a probability"),
        standard_deviation: None,
        targets: Vec::new(),
        decision: Decision::Absent,
        lungs: LungVolumes { left_ml: 2000.0, right_ml: 2500.0 },
        missing: None,
        models: packages(["lungs", "1.0.0"], ["embolism", "1.0.0"]),
        provider: Provider("script".to_owned()),
        demonstration: false,
        warnings: Vec::new(),
        results: Vec::new(),
    };
    change(&mut analysed);
    summary(Ending::Analysed(Box::new(analysed)))
}

/// A series that was rejected before the lung stage.
pub(crate) fn rejected(rejections: Vec<Rejection>) -> AnalysisSummary {
    summary(Ending::Rejected(RejectedSummary { rejections, lungs: None }))
}

/// A series that was rejected after the lung stage, run with this version of the package `lungs`.
pub(crate) fn lungs_only(version: &str) -> AnalysisSummary {
    let stage = LungStage {
        volumes: LungVolumes { left_ml: 0.0, right_ml: 0.0 },
        model: packages(["lungs", version], ["embolism", "1.0.0"]).lungs,
        provider: Provider("script".to_owned()),
        demonstration: false,
    };
    summary(Ending::Rejected(RejectedSummary { rejections: Vec::new(), lungs: Some(stage) }))
}

/// Packages by name and version; their digests are both.
pub(crate) fn packages(lungs: [&str; 2], embolism: [&str; 2]) -> Packages {
    let [lungs, embolism] = [lungs, embolism]
        .map(|[name, version]| ModelIdentity::of(&format!("{name}/{version}"), &format!("{name} {version}")));
    Packages { lungs, embolism }
}

fn summary(ending: Ending) -> AnalysisSummary {
    AnalysisSummary {
        study_instance_uid: None,
        series_instance_uid: None,
        timings: Timings::default(),
        left_out: Vec::new(),
        enhancement: EnhancementSummary::default(),
        monochromatic_kev: None,
        ending,
    }
}
