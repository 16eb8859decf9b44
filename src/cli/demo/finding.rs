//! A structured report as text: what a person reads of its content tree
//! ([PS3.3 C.17.3](https://dicom.nema.org/medical/dicom/current/output/chtml/part03/sect_C.17.3.html)).

use std::collections::BTreeSet;
use std::fmt::Write as _;

use dicom_dictionary_std::tags;

use crate::dicom::elements::{self, DataSet, items};

/// Content for programs, which is left out: the image library, identifiers, coordinates.
const IMAGE_LIBRARY: &str = "111028";
const MACHINE_ONLY: [&str; 2] = ["UIDREF", "SCOORD"];
/// Tracking Identifier: what a measurement group is called.
const TRACKING_IDENTIFIER: &str = "112039";
/// Comment: in a measurement group it is the name once more, for viewers.
const COMMENT: &str = "121106";
/// The description of an algorithm: name, version, parameters, manufacturer, family (PS3.16 TID 4019).
const ALGORITHM: [&str; 5] = ["111001", "111003", "111002", "122405", "111000"];

/// The document title and all content for a reader. Each algorithm is described once.
pub(super) fn text(report: &DataSet) -> String {
    let mut text = format!("{}\n", name(report).unwrap_or_default());
    children(report, 1, &mut BTreeSet::new(), &mut text);
    text
}

fn children(item: &DataSet, depth: usize, algorithms: &mut BTreeSet<String>, text: &mut String) {
    let indent = "  ".repeat(depth);
    let content = items(item, tags::CONTENT_SEQUENCE);
    let value_type = |item| elements::text(item, tags::VALUE_TYPE).unwrap_or_default();
    let described: Vec<&DataSet> =
        content.iter().filter(|child| code(child).is_some_and(|code| ALGORITHM.contains(&code.as_str()))).collect();
    let description: Vec<String> = described.iter().filter_map(|child| value(child, &value_type(child))).collect();
    let new = algorithms.insert(description.join("\n"));
    let images = content.iter().filter(|child| value_type(child) == "IMAGE").count();
    let is_group = tracking_identifier(item).is_some();
    for child in content {
        let (value_type, code) = (value_type(child), code(child).unwrap_or_default());
        let known = ALGORITHM.contains(&code.as_str()) && !new;
        let silent = value_type == "IMAGE" || MACHINE_ONLY.contains(&value_type.as_str());
        let named = code == TRACKING_IDENTIFIER || (is_group && code == COMMENT);
        if known || silent || named || code == IMAGE_LIBRARY {
            continue;
        }
        let name = tracking_identifier(child).or_else(|| name(child)).unwrap_or_default();
        let _ = match value(child, &value_type) {
            Some(value) => writeln!(text, "{indent}{name}: {value}"),
            None => writeln!(text, "{indent}{name}"),
        };
        children(child, depth + 1, algorithms, text);
    }
    if images > 0 {
        let plural = if images == 1 { "" } else { "s" };
        let _ = writeln!(text, "{indent}({images} image{plural} referred to)");
    }
}

/// What a measurement group calls itself.
fn tracking_identifier(group: &DataSet) -> Option<String> {
    let named = |child: &&DataSet| code(child).as_deref() == Some(TRACKING_IDENTIFIER);
    elements::text(items(group, tags::CONTENT_SEQUENCE).iter().find(named)?, tags::TEXT_VALUE)
}

fn value(item: &DataSet, value_type: &str) -> Option<String> {
    match value_type {
        "TEXT" => elements::text(item, tags::TEXT_VALUE),
        "CODE" => meaning(items(item, tags::CONCEPT_CODE_SEQUENCE).first()?),
        "NUM" => {
            let measured = items(item, tags::MEASURED_VALUE_SEQUENCE).first()?;
            let unit = items(measured, tags::MEASUREMENT_UNITS_CODE_SEQUENCE)
                .first()
                .and_then(|unit| elements::text(unit, tags::CODE_VALUE))
                .unwrap_or_default();
            Some(format!("{} {unit}", elements::text(measured, tags::NUMERIC_VALUE)?))
        }
        "DATETIME" => elements::text(item, tags::DATE_TIME),
        "PNAME" => elements::text(item, tags::PERSON_NAME),
        _ => None,
    }
}

fn name(item: &DataSet) -> Option<String> {
    meaning(items(item, tags::CONCEPT_NAME_CODE_SEQUENCE).first()?)
}

fn code(item: &DataSet) -> Option<String> {
    elements::text(items(item, tags::CONCEPT_NAME_CODE_SEQUENCE).first()?, tags::CODE_VALUE)
}

fn meaning(code: &DataSet) -> Option<String> {
    elements::text(code, tags::CODE_MEANING)
}

#[cfg(test)]
mod tests {
    use dicom_core::value::DataSetSequence;
    use dicom_core::{DataElement, Tag, VR};

    use super::*;

    fn concept(code: &str, meaning: &str) -> DataSet {
        DataSet::from_element_iter([
            DataElement::new(tags::CODE_VALUE, VR::SH, code),
            DataElement::new(tags::CODE_MEANING, VR::LO, meaning),
        ])
    }

    fn sequence(tag: Tag, items: Vec<DataSet>) -> dicom_object::mem::InMemElement {
        DataElement::new(tag, VR::SQ, DataSetSequence::from(items))
    }

    fn item(value_type: &str, name: DataSet) -> DataSet {
        let mut item = DataSet::from_element_iter([DataElement::new(tags::VALUE_TYPE, VR::CS, value_type)]);
        item.put(sequence(tags::CONCEPT_NAME_CODE_SEQUENCE, vec![name]));
        item
    }

    fn said(code: &str, meaning: &str, text: &str) -> DataSet {
        let mut item = item("TEXT", concept(code, meaning));
        item.put(DataElement::new(tags::TEXT_VALUE, VR::UT, text));
        item
    }

    fn group(title: &str, percent: &str) -> DataSet {
        let mut measured = DataSet::from_element_iter([DataElement::new(tags::NUMERIC_VALUE, VR::DS, percent)]);
        measured.put(sequence(tags::MEASUREMENT_UNITS_CODE_SEQUENCE, vec![concept("%", "percent")]));
        let mut probability = item("NUM", concept("122157", "Probability"));
        probability.put(sequence(tags::MEASURED_VALUE_SEQUENCE, vec![measured]));
        let mut finding = item("CODE", concept("121071", "Finding"));
        finding.put(sequence(tags::CONCEPT_CODE_SEQUENCE, vec![concept("59282003", "Pulmonary embolism")]));
        let mut group = item("CONTAINER", concept("125007", "Measurement Group"));
        let content = vec![
            said(TRACKING_IDENTIFIER, "Tracking Identifier", title),
            item("UIDREF", concept("112040", "Tracking Unique Identifier")),
            finding,
            said("111001", "Algorithm Name", "model"),
            probability,
            item("IMAGE", concept("121112", "Source of Measurement")),
        ];
        group.put(sequence(tags::CONTENT_SEQUENCE, content));
        group
    }

    #[test]
    fn a_report_reads_as_an_indented_list_that_says_nothing_twice() {
        let mut report = item("CONTAINER", concept("126000", "Report"));
        report.put(sequence(tags::CONTENT_SEQUENCE, vec![group("Exam", "87.3"), group("Key slice 1", "91")]));
        let expected = "Report\n  Exam\n    Finding: Pulmonary embolism\n    Algorithm Name: model\n    \
                        Probability: 87.3 %\n    (1 image referred to)\n  Key slice 1\n    \
                        Finding: Pulmonary embolism\n    Probability: 91 %\n    (1 image referred to)\n";
        assert_eq!(text(&report), expected);
    }
}
