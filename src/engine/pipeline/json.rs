//! Summaries as JSON: flat objects, as in the database and in the API since the first version. Reading one checks that
//! the fields fit each other.

use std::time::Duration;

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::summary::{
    AnalysedSummary, AnalysisSummary, Ending, EnhancementSummary, LungStage, LungVolumes, MissingLung, RejectedSummary,
};
use super::timings::{Stage, Timings};
use crate::dicom::Uid;
use crate::engine::analyse::findings::{Decision, ModelIdentity, Probability, Provider, TargetFinding};
use crate::engine::models::lineup::Packages;
use crate::engine::report::ResultReference;
use crate::engine::volume::{LeftOut, Reason, Rejection};

/// What stored summaries and API have in common.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Flat {
    status: Option<Status>,
    rejections: Vec<Rejection>,
    /// Older versions did not tell.
    #[serde(default)]
    left_out: Vec<LeftOut>,
    probability: Option<Probability>,
    /// The former name of `probability_standard_deviation`.
    #[serde(default)]
    probability_spread: Option<f64>,
    #[serde(default)]
    probability_standard_deviation: Option<f64>,
    #[serde(default)]
    targets: Vec<TargetFinding>,
    decision: Option<Decision>,
    left_lung_ml: Option<f64>,
    right_lung_ml: Option<f64>,
    /// Absent before lungs were checked for completeness.
    #[serde(default)]
    left_lung_missing_ml: Option<f64>,
    #[serde(default)]
    right_lung_missing_ml: Option<f64>,
    /// Absent before the great vessels were measured, as the next two.
    #[serde(default)]
    pulmonary_trunk_hu: Option<f64>,
    #[serde(default)]
    aorta_hu: Option<f64>,
    #[serde(default)]
    trunk_to_aorta_ratio: Option<f64>,
    /// Absent before the energy was told.
    #[serde(default)]
    monochromatic_kev: Option<f64>,
    provider: Option<Provider>,
    /// Lungs, then embolism, as far as the analysis went.
    models: Vec<ModelIdentity>,
    demonstration: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Status {
    Analysed,
    Rejected,
}

/// A summary in the database and between the node and its analysis process.
#[derive(Debug, Serialize, Deserialize)]
struct Stored {
    study_instance_uid: Option<Uid>,
    series_instance_uid: Option<Uid>,
    #[serde(flatten)]
    flat: Flat,
    timings_ms: Vec<(Stage, u64)>,
    results: Vec<ResultReference>,
}

/// A summary in an answer of the API, next to other fields of its series.
#[derive(Debug, Serialize)]
struct ApiSummary<'a> {
    #[serde(flatten)]
    flat: Flat,
    reasons: Vec<Reason>,
    timings_ms: &'a Timings,
}

/// Serialises a summary flat, for `#[serde(flatten)]` in an answer of the API; nulls and empty lists where there is
/// none.
///
/// # Errors
/// Those of the serialiser.
pub fn answer<S: Serializer>(summary: &Option<AnalysisSummary>, serializer: S) -> Result<S::Ok, S::Error> {
    answer_with_reasons_of(summary.as_ref(), None, serializer)
}

/// As [`answer`], with the reasons of a later analysis that was rejected, and what it left out, in place of its own.
///
/// # Errors
/// Those of the serialiser.
pub fn answer_with_reasons_of<S: Serializer>(
    summary: Option<&AnalysisSummary>,
    rejected: Option<&AnalysisSummary>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let timings = Timings::default();
    let mut flat = summary.map(Flat::from).unwrap_or_default();
    if let Some(rejected) = rejected {
        (flat.rejections, flat.left_out) = (rejected.rejections().to_vec(), rejected.left_out.clone());
    }
    let reasons = flat.rejections.iter().map(|rejection| rejection.reason).collect();
    ApiSummary { flat, reasons, timings_ms: summary.map_or(&timings, |summary| &summary.timings) }.serialize(serializer)
}

impl From<&AnalysisSummary> for Flat {
    fn from(summary: &AnalysisSummary) -> Self {
        let analysed = summary.analysed();
        let standard_deviation = analysed.and_then(|analysed| analysed.standard_deviation);
        let (lungs, missing) = (summary.lungs(), summary.missing_lung());
        Self {
            status: Some(if analysed.is_some() { Status::Analysed } else { Status::Rejected }),
            rejections: summary.rejections().to_vec(),
            left_out: summary.left_out.clone(),
            probability: summary.probability(),
            probability_spread: standard_deviation,
            probability_standard_deviation: standard_deviation,
            targets: analysed.map_or_else(Vec::new, |analysed| analysed.targets.clone()),
            decision: summary.decision(),
            left_lung_ml: lungs.map(|lungs| lungs.left_ml),
            right_lung_ml: lungs.map(|lungs| lungs.right_ml),
            left_lung_missing_ml: missing.map(|missing| missing.left_ml),
            right_lung_missing_ml: missing.map(|missing| missing.right_ml),
            pulmonary_trunk_hu: summary.enhancement.trunk_hu,
            aorta_hu: summary.enhancement.aorta_hu,
            trunk_to_aorta_ratio: summary.enhancement.ratio,
            monochromatic_kev: summary.monochromatic_kev,
            provider: summary.provider().cloned(),
            models: summary.models().cloned().collect(),
            demonstration: summary.is_demonstration(),
        }
    }
}

impl Flat {
    /// How the analysis ended, or what contradicts it.
    fn ending(self, results: Vec<ResultReference>) -> Result<Ending, &'static str> {
        let volumes = self.left_lung_ml.zip(self.right_lung_ml);
        let volumes = volumes.map(|(left_ml, right_ml)| LungVolumes { left_ml, right_ml });
        let missing = self.left_lung_missing_ml.zip(self.right_lung_missing_ml);
        let mut models = self.models.into_iter();
        let (lungs, embolism) = (models.next(), models.next());
        if self.status.ok_or("without a status")? == Status::Rejected {
            let lungs = match (lungs, volumes, self.provider) {
                (None, None, None) => None,
                (Some(model), Some(volumes), Some(provider)) => {
                    Some(LungStage { volumes, model, provider, demonstration: self.demonstration })
                }
                _ => return Err("rejected with half a lung stage"),
            };
            return Ok(Ending::Rejected(RejectedSummary { rejections: self.rejections, lungs }));
        }
        Ok(Ending::Analysed(Box::new(AnalysedSummary {
            probability: self.probability.ok_or("analysed without a probability")?,
            standard_deviation: self.probability_standard_deviation.or(self.probability_spread),
            targets: self.targets,
            decision: self.decision.ok_or("analysed without a decision")?,
            lungs: volumes.ok_or("analysed without lung volumes")?,
            models: Packages {
                lungs: lungs.ok_or("analysed without models")?,
                embolism: embolism.ok_or("analysed without a classifier")?,
            },
            provider: self.provider.ok_or("analysed without a provider")?,
            demonstration: self.demonstration,
            missing: missing.map(|(left_ml, right_ml)| MissingLung { left_ml, right_ml }),
            warnings: self.rejections,
            results,
        })))
    }
}

impl Serialize for AnalysisSummary {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let stored = Stored {
            study_instance_uid: self.study_instance_uid.clone(),
            series_instance_uid: self.series_instance_uid.clone(),
            flat: Flat::from(self),
            timings_ms: self.timings.iter().map(|(stage, time)| (stage, time.as_millis() as u64)).collect(),
            results: self.results().to_vec(),
        };
        stored.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for AnalysisSummary {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Stored { study_instance_uid, series_instance_uid, mut flat, timings_ms, results } =
            Stored::deserialize(deserializer)?;
        let timings = timings_ms.into_iter().map(|(stage, milliseconds)| (stage, Duration::from_millis(milliseconds)));
        Ok(Self {
            study_instance_uid,
            series_instance_uid,
            timings: timings.collect(),
            left_out: std::mem::take(&mut flat.left_out),
            enhancement: EnhancementSummary {
                trunk_hu: flat.pulmonary_trunk_hu,
                aorta_hu: flat.aorta_hu,
                ratio: flat.trunk_to_aorta_ratio,
            },
            monochromatic_kev: flat.monochromatic_kev,
            ending: flat.ending(results).map_err(|problem| D::Error::custom(format!("a summary {problem}")))?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::models::manifest::Kind;
    use crate::engine::volume::LeftOutKind;

    /// Rows as a version 0.x wrote them, before this layout of types.
    const ANALYSED: &str = r#"{"study_instance_uid":"1.2","series_instance_uid":"1.2.3","status":"analysed",
        "rejections":[{"reason":"too-thick","explanation":"slices lie 5.00 mm apart"}],
        "probability":0.75,"probability_spread":0.0421,
        "targets":[{"target":"left-sided-pe","probability":0.5,"spread":0.01,"calibrated":true}],
        "decision":"present","left_lung_ml":2100.5,"right_lung_ml":2400.0,"provider":"CPUExecutionProvider",
        "models":[{"name":"lungs","version":"1.0.0","sha256":"aa"},{"name":"embolism","version":"2.0.0","sha256":"bb"}],
        "demonstration":true,"timings_ms":[["read",120],["quality",30],["lungs",800],["embolism",900],["evidence",5],
        ["report",70]],"results":[{"kind":"sr","series_instance_uid":"2.25.1","sop_instance_uid":"2.25.1.1"}]}"#;
    const REJECTED: &str = r#"{"study_instance_uid":"1.2","series_instance_uid":null,"status":"rejected",
        "rejections":[{"reason":"bad-geometry","explanation":"no positions"}],"probability":null,
        "probability_spread":null,"targets":[],"decision":null,"left_lung_ml":null,"right_lung_ml":null,
        "provider":null,"models":[],"demonstration":false,"timings_ms":[["read",4]],"results":[]}"#;
    const REJECTED_WITH_LUNGS: &str = r#"{"study_instance_uid":"1.2","series_instance_uid":"1.2.3",
        "status":"rejected","rejections":[{"reason":"no-contrast","explanation":"41 HU"}],"probability":null,
        "probability_spread":null,"targets":[],"decision":null,"left_lung_ml":0.0,"right_lung_ml":2400.0,
        "provider":"CPUExecutionProvider","models":[{"name":"lungs","version":"1.0.0","sha256":"aa"}],
        "demonstration":true,"timings_ms":[["read",120],["quality",30],["lungs",800]],"results":[]}"#;

    fn read(row: &str) -> AnalysisSummary {
        serde_json::from_str(row).expect("a row")
    }

    #[test]
    fn an_analysed_row_of_the_previous_version_is_read() {
        let summary = read(ANALYSED);
        let analysed = summary.analysed().expect("analysed");
        assert_eq!((analysed.probability.value(), analysed.standard_deviation), (0.75, Some(0.0421)));
        assert_eq!((analysed.targets[0].standard_deviation, analysed.warnings.len()), (Some(0.01), 1));
        assert_eq!((analysed.lungs.left_ml, analysed.lungs.right_ml), (2100.5, 2400.0));
        assert_eq!((analysed.models.lungs.sha256.as_str(), analysed.models.embolism.sha256.as_str()), ("aa", "bb"));
        assert!(analysed.demonstration && summary.results().len() == 1);
        assert_eq!(summary.timings.total(), Duration::from_millis(1925));
    }

    #[test]
    fn rejected_rows_of_the_previous_version_are_read() {
        let before = read(REJECTED);
        assert_eq!((before.reasons(), before.lungs()), (vec![Reason::BadGeometry], None));
        assert!(before.analysed().is_none() && before.provider().is_none() && before.models().next().is_none());
        let after = read(REJECTED_WITH_LUNGS);
        let lungs = after.lungs().expect("volumes");
        assert_eq!((lungs.left_ml, lungs.right_ml), (0.0, 2400.0));
        assert_eq!(after.model(Kind::LungSegmentation).map(|model| model.sha256.as_str()), Some("aa"));
        assert!(after.model(Kind::EmbolismClassifier).is_none() && after.is_demonstration());
    }

    #[test]
    fn what_is_written_has_every_field_of_the_previous_version_with_the_same_value() {
        for row in [ANALYSED, REJECTED, REJECTED_WITH_LUNGS] {
            let before: serde_json::Value = serde_json::from_str(row).expect("JSON");
            let mut after = serde_json::to_value(read(row)).expect("JSON");
            assert_eq!(after["probability_standard_deviation"], before["probability_spread"]);
            for target in after["targets"].as_array_mut().expect("targets") {
                assert_eq!(target["standard_deviation"], target["spread"]);
                target.as_object_mut().expect("a target").remove("standard_deviation");
            }
            let object = after.as_object_mut().expect("an object");
            assert_eq!(object.remove("left_out"), Some(serde_json::json!([])));
            for added in [
                "probability_standard_deviation",
                "left_lung_missing_ml",
                "right_lung_missing_ml",
                "pulmonary_trunk_hu",
                "aorta_hu",
                "trunk_to_aorta_ratio",
                "monochromatic_kev",
            ] {
                object.remove(added);
            }
            assert_eq!(after, before);
            assert_eq!(read(row), serde_json::from_value(after).expect("a row"));
        }
    }

    #[test]
    fn what_was_left_out_is_kept_and_answered_whatever_the_ending() {
        let left_out =
            vec![LeftOut { kind: LeftOutKind::OtherStack, images: 121, explanation: "acquisition 2".to_owned() }];
        for row in [ANALYSED, REJECTED] {
            let summary = AnalysisSummary { left_out: left_out.clone(), ..read(row) };
            let json = serde_json::to_value(&summary).expect("JSON");
            assert_eq!(
                (&json["left_out"][0]["kind"], &json["left_out"][0]["images"]),
                (&"other-stack".into(), &121.into())
            );
            assert_eq!(serde_json::from_value::<AnalysisSummary>(json).expect("a row"), summary);
        }
    }

    #[test]
    fn the_energy_of_monochromatic_images_is_kept_and_answered_where_it_is_stated() {
        let kev = |summary: &AnalysisSummary| {
            let json = serde_json::to_value(summary).expect("JSON");
            assert_eq!(&serde_json::from_value::<AnalysisSummary>(json.clone()).expect("a row"), summary);
            json["monochromatic_kev"].clone()
        };
        assert_eq!(kev(&read(REJECTED_WITH_LUNGS)), serde_json::Value::Null);
        assert_eq!(kev(&AnalysisSummary { monochromatic_kev: Some(70.0), ..read(REJECTED_WITH_LUNGS) }), 70.0);
    }

    #[test]
    fn what_is_missing_of_the_lungs_is_a_reason_that_rejects_nothing() {
        let mut summary = read(ANALYSED);
        let Ending::Analysed(analysed) = &mut summary.ending else { panic!("analysed") };
        assert_eq!(analysed.missing, None, "the previous version did not look");
        analysed.missing = Some(MissingLung { left_ml: 0.0, right_ml: 210.5 });
        analysed.warnings.push(Rejection::new(Reason::LungsIncomplete, "about 210 mL"));
        let json = serde_json::to_value(&summary).expect("JSON");
        assert_eq!((&json["right_lung_missing_ml"], &json["status"]), (&210.5.into(), &"analysed".into()));
        let back: AnalysisSummary = serde_json::from_value(json).expect("a row");
        assert_eq!(back, summary);
        assert_eq!(back.reasons(), [Reason::TooThick, Reason::LungsIncomplete]);
    }

    #[test]
    fn a_row_that_contradicts_itself_is_an_error() {
        for (row, part, problem) in [
            (ANALYSED, r#""probability":0.75"#, "analysed without a probability"),
            (ANALYSED, r#""decision":"present""#, "analysed without a decision"),
            (REJECTED_WITH_LUNGS, r#""left_lung_ml":0.0"#, "rejected with half a lung stage"),
        ] {
            let (key, _) = part.split_once(':').expect("a pair");
            let spoilt = row.replace(part, &format!("{key}:null"));
            let error = serde_json::from_str::<AnalysisSummary>(&spoilt).expect_err("an error").to_string();
            assert!(error.contains(problem), "{error}");
        }
    }

    #[test]
    fn the_api_answers_stages_by_name_and_nothing_where_there_is_no_summary() {
        #[derive(Serialize)]
        struct View {
            #[serde(flatten, serialize_with = "answer")]
            summary: Option<AnalysisSummary>,
        }
        let json = |summary| serde_json::to_value(View { summary }).expect("JSON");
        let analysed = json(Some(read(ANALYSED)));
        assert_eq!((&analysed["timings_ms"]["lungs"], &analysed["reasons"][0]), (&800.into(), &"too-thick".into()));
        assert_eq!(
            (&analysed["models"][1]["name"], &analysed["provider"]),
            (&"embolism".into(), &"CPUExecutionProvider".into())
        );
        let none = json(None);
        for key in ["status", "probability", "decision", "left_lung_ml", "provider"] {
            assert!(none[key].is_null(), "{key}");
        }
        assert_eq!((&none["models"], &none["timings_ms"]), (&serde_json::json!([]), &serde_json::json!({})));
    }
}
