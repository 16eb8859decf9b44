//! A structured report as text: what a person reads of its content tree
//! ([PS3.3 C.17.3](https://dicom.nema.org/medical/dicom/current/output/chtml/part03/sect_C.17.3.html)).

use std::fmt::Write as _;

use dicom_core::Tag;
use dicom_dictionary_std::tags;

use crate::dicom::elements::{self, DataSet};

/// Items that serve programs and are left out.
const IMAGE_LIBRARY: &str = "111028";
const MACHINE_ONLY: [&str; 2] = ["UIDREF", "SCOORD"];

/// The document title and all content that says something to a reader.
pub(super) fn text(report: &DataSet) -> String {
    let mut text = String::new();
    let _ = writeln!(text, "{}", name(report).unwrap_or_default());
    children(report, 1, &mut text);
    text
}

fn children(item: &DataSet, depth: usize, text: &mut String) {
    let mut images = 0;
    for child in items(item, tags::CONTENT_SEQUENCE) {
        let value_type = elements::text(child, tags::VALUE_TYPE).unwrap_or_default();
        if code(child).as_deref() == Some(IMAGE_LIBRARY) || MACHINE_ONLY.contains(&value_type.as_str()) {
            continue;
        }
        if value_type == "IMAGE" {
            images += 1;
            continue;
        }
        let indent = "  ".repeat(depth);
        let name = name(child).unwrap_or_default();
        let _ = match value(child, &value_type) {
            Some(value) => writeln!(text, "{indent}{name}: {value}"),
            None => writeln!(text, "{indent}{name}"),
        };
        children(child, depth + 1, text);
    }
    if images > 0 {
        let _ =
            writeln!(text, "{}({images} image{} referred to)", "  ".repeat(depth), if images == 1 { "" } else { "s" });
    }
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

fn items(data_set: &DataSet, tag: Tag) -> &[DataSet] {
    data_set.get(tag).and_then(|element| element.value().items()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use dicom_core::value::DataSetSequence;
    use dicom_core::{DataElement, VR};

    use super::*;

    fn concept(meaning: &str) -> DataSet {
        DataSet::from_element_iter([
            DataElement::new(tags::CODE_VALUE, VR::SH, "%"),
            DataElement::new(tags::CODE_MEANING, VR::LO, meaning),
        ])
    }

    fn item(value_type: &str, name: &str, more: Vec<(Tag, Vec<DataSet>)>) -> DataSet {
        let mut item = DataSet::from_element_iter([DataElement::new(tags::VALUE_TYPE, VR::CS, value_type)]);
        for (tag, items) in more.into_iter().chain([(tags::CONCEPT_NAME_CODE_SEQUENCE, vec![concept(name)])]) {
            item.put(DataElement::new(tag, VR::SQ, DataSetSequence::from(items)));
        }
        item
    }

    #[test]
    fn a_report_reads_as_an_indented_list() {
        let mut measured = DataSet::from_element_iter([DataElement::new(tags::NUMERIC_VALUE, VR::DS, "87.3")]);
        measured.put(DataElement::new(
            tags::MEASUREMENT_UNITS_CODE_SEQUENCE,
            VR::SQ,
            DataSetSequence::from(vec![concept("percent")]),
        ));
        let probability = item("NUM", "Probability", vec![(tags::MEASURED_VALUE_SEQUENCE, vec![measured])]);
        let finding = item("CODE", "Finding", vec![(tags::CONCEPT_CODE_SEQUENCE, vec![concept("Pulmonary embolism")])]);
        let image = item("IMAGE", "Source", Vec::new());
        let group = item(
            "CONTAINER",
            "Measurement Group",
            vec![(tags::CONTENT_SEQUENCE, vec![finding, probability, image, item("UIDREF", "UID", Vec::new())])],
        );
        let report = item("CONTAINER", "Report", vec![(tags::CONTENT_SEQUENCE, vec![group])]);
        assert_eq!(
            text(&report),
            "Report\n  Measurement Group\n    Finding: Pulmonary embolism\n    Probability: 87.3 %\n    \
             (1 image referred to)\n"
        );
    }
}
