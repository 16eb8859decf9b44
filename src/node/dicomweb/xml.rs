//! The Native DICOM Model as XML
//! ([PS3.19 A.1](https://dicom.nema.org/medical/dicom/current/output/chtml/part19/chapter_A.html)), made from DICOM JSON:
//! both say the same, so that what is bulk data and how text is read is decided once.

use std::borrow::Cow;
use std::io::{self, Write};

use dicom_core::Tag;
use dicom_core::dictionary::{DataDictionary, DataDictionaryEntry};
use dicom_dictionary_std::StandardDataDictionary;
use serde_json::{Map, Value};

/// A DICOM JSON object.
type Object = Map<String, Value>;

/// The components of a name's component group, in the order of PS3.5 6.2.1.
const NAME_COMPONENTS: [&str; 5] = ["FamilyName", "GivenName", "MiddleName", "NamePrefix", "NameSuffix"];
/// The component groups of a name.
const NAME_GROUPS: [&str; 3] = ["Alphabetic", "Ideographic", "Phonetic"];

/// Writes an object as a document.
pub(super) fn write(sink: &mut impl Write, object: &Object) -> io::Result<()> {
    sink.write_all(b"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n")?;
    sink.write_all(
        b"<NativeDicomModel xmlns=\"http://dicom.nema.org/PS3.19/models/NativeDICOM\" xml:space=\"preserve\">",
    )?;
    write_attributes(sink, object)?;
    sink.write_all(b"</NativeDicomModel>\n")
}

fn write_attributes(sink: &mut impl Write, object: &Object) -> io::Result<()> {
    object.iter().try_for_each(|(key, element)| write_attribute(sink, object, key, element))
}

fn write_attribute(sink: &mut impl Write, object: &Object, key: &str, element: &Value) -> io::Result<()> {
    let vr = element["vr"].as_str().unwrap_or("UN");
    write!(sink, "<DicomAttribute tag=\"{}\" vr=\"{vr}\"", tag(key))?;
    if let Some(keyword) = keyword(key) {
        write!(sink, " keyword=\"{keyword}\"")?;
    }
    if let Some(creator) = private_creator(object, key) {
        write!(sink, " privateCreator=\"{}\"", escaped(creator))?;
    }
    sink.write_all(b">")?;
    if let Some(uri) = element["BulkDataURI"].as_str() {
        write!(sink, "<BulkData uri=\"{}\"/>", escaped(uri))?;
    } else if let Some(base64) = element["InlineBinary"].as_str() {
        write!(sink, "<InlineBinary>{}</InlineBinary>", escaped(base64))?;
    } else if let Some(values) = element["Value"].as_array() {
        for (index, value) in values.iter().enumerate() {
            write_value(sink, vr, index + 1, value)?;
        }
    }
    sink.write_all(b"</DicomAttribute>")
}

fn write_value(sink: &mut impl Write, vr: &str, number: usize, value: &Value) -> io::Result<()> {
    match value {
        Value::Object(item) if vr == "SQ" => {
            write!(sink, "<Item number=\"{number}\">")?;
            write_attributes(sink, item)?;
            sink.write_all(b"</Item>")
        }
        Value::Object(name) => {
            write!(sink, "<PersonName number=\"{number}\">")?;
            for group in NAME_GROUPS {
                if let Some(text) = name.get(group).and_then(Value::as_str) {
                    write_name_group(sink, group, text)?;
                }
            }
            sink.write_all(b"</PersonName>")
        }
        Value::Null => write!(sink, "<Value number=\"{number}\"/>"),
        Value::String(text) => write!(sink, "<Value number=\"{number}\">{}</Value>", escaped(text)),
        other => write!(sink, "<Value number=\"{number}\">{other}</Value>"),
    }
}

fn write_name_group(sink: &mut impl Write, group: &str, text: &str) -> io::Result<()> {
    write!(sink, "<{group}>")?;
    for (component, text) in NAME_COMPONENTS.iter().zip(text.split('^')).filter(|(_, text)| !text.is_empty()) {
        write!(sink, "<{component}>{}</{component}>", escaped(text))?;
    }
    write!(sink, "</{group}>")
}

/// The tag as the model writes it: private elements without the block that they happen to lie in.
fn tag(key: &str) -> Cow<'_, str> {
    match parsed(key) {
        Some(tag) if is_private(tag) => Cow::Owned(format!("{:04X}00{:02X}", tag.group(), tag.element() & 0xFF)),
        _ => Cow::Borrowed(key),
    }
}

fn keyword(key: &str) -> Option<&'static str> {
    let tag = parsed(key).filter(|tag| tag.group() % 2 == 0)?;
    StandardDataDictionary.by_tag(tag).map(DataDictionaryEntry::alias)
}

/// Who defined a private element: the creator of its block.
fn private_creator<'a>(object: &'a Object, key: &str) -> Option<&'a str> {
    let tag = parsed(key).filter(|tag| is_private(*tag))?;
    let creator = format!("{:04X}00{:02X}", tag.group(), tag.element() >> 8);
    object.get(&creator)?["Value"][0].as_str()
}

/// True for the elements of a private block (PS3.5 7.8.1).
fn is_private(tag: Tag) -> bool {
    tag.group() % 2 == 1 && tag.element() >= 0x1000
}

fn parsed(key: &str) -> Option<Tag> {
    let number = u32::from_str_radix(key, 16).ok()?;
    Some(Tag((number >> 16) as u16, number as u16))
}

/// Text with what XML does not take replaced: markup by references, other control characters, which it cannot hold at
/// all, by the replacement character.
fn escaped(text: &str) -> Cow<'_, str> {
    let plain =
        |character: char| character >= ' ' && !matches!(character, '<' | '>' | '&' | '"' | '\u{FFFE}' | '\u{FFFF}');
    if text.chars().all(plain) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        match character {
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '&' => escaped.push_str("&amp;"),
            '"' => escaped.push_str("&quot;"),
            '\r' => escaped.push_str("&#13;"),
            '\n' => escaped.push_str("&#10;"),
            '\t' => escaped.push_str("&#9;"),
            other if plain(other) => escaped.push(other),
            _ => escaped.push('\u{FFFD}'),
        }
    }
    Cow::Owned(escaped)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn xml(object: Value) -> String {
        let mut bytes = Vec::new();
        write(&mut bytes, object.as_object().expect("object")).expect("write");
        let text = String::from_utf8(bytes).expect("UTF-8");
        let start = text.find("preserve\">").expect("root") + "preserve\">".len();
        text[start..].trim_end().trim_end_matches("</NativeDicomModel>").to_owned()
    }

    #[test]
    fn values_are_numbered_and_escaped() {
        assert_eq!(
            xml(json!({"00081030": {"vr": "LO", "Value": ["a <b> & \"c\"\r\u{1}"]}})),
            "<DicomAttribute tag=\"00081030\" vr=\"LO\" keyword=\"StudyDescription\"><Value number=\"1\">a &lt;b&gt; &amp; \
             &quot;c&quot;&#13;\u{FFFD}</Value></DicomAttribute>"
        );
        assert_eq!(
            xml(json!({"00200032": {"vr": "DS", "Value": [-1.5, null, 2]}})),
            "<DicomAttribute tag=\"00200032\" vr=\"DS\" keyword=\"ImagePositionPatient\"><Value number=\"1\">-1.5</Value>\
             <Value number=\"2\"/><Value number=\"3\">2</Value></DicomAttribute>"
        );
        let empty = "<DicomAttribute tag=\"00100020\" vr=\"LO\" keyword=\"PatientID\"></DicomAttribute>";
        assert_eq!(xml(json!({"00100020": {"vr": "LO"}})), empty);
    }

    #[test]
    fn names_sequences_and_bulk_data_have_elements_of_their_own() {
        let name = json!({"vr": "PN", "Value": [{"Alphabetic": "Yamada^Tarou^^Dr", "Ideographic": "山田^太郎"}]});
        assert_eq!(
            xml(json!({"0040A730": {"vr": "SQ", "Value": [{"00100010": name}]}})),
            "<DicomAttribute tag=\"0040A730\" vr=\"SQ\" keyword=\"ContentSequence\"><Item number=\"1\">\
             <DicomAttribute tag=\"00100010\" vr=\"PN\" keyword=\"PatientName\"><PersonName number=\"1\"><Alphabetic>\
             <FamilyName>Yamada</FamilyName><GivenName>Tarou</GivenName><NamePrefix>Dr</NamePrefix></Alphabetic>\
             <Ideographic><FamilyName>山田</FamilyName><GivenName>太郎</GivenName></Ideographic></PersonName>\
             </DicomAttribute></Item></DicomAttribute>"
        );
        let bulk = xml(json!({"7FE00010": {"vr": "OW", "BulkDataURI": "http://h/a?b&c"}}));
        assert!(bulk.contains("<BulkData uri=\"http://h/a?b&amp;c\"/>"), "{bulk}");
        assert!(
            xml(json!({"00420011": {"vr": "OB", "InlineBinary": "AQID"}}))
                .contains("<InlineBinary>AQID</InlineBinary>")
        );
    }

    #[test]
    fn private_elements_name_their_creator_and_not_their_block() {
        let text = xml(json!({
            "00090010": {"vr": "LO", "Value": ["VENDOR"]},
            "00091001": {"vr": "LO", "Value": ["x"]},
        }));
        assert!(text.contains("<DicomAttribute tag=\"00090010\" vr=\"LO\"><Value"), "{text}");
        assert!(text.contains("<DicomAttribute tag=\"00090001\" vr=\"LO\" privateCreator=\"VENDOR\">"), "{text}");
    }
}
