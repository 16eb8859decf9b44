use dicom_core::DataElement;
use dicom_dictionary_std::uids;

use super::super::bounded::{self, Limits};
use super::super::elements;
use super::*;

const LIMITS: Limits = Limits { object_mib: 16, depth: 8, elements: 2000, pixels: 1 << 24 };

/// An element in Explicit VR Little Endian.
fn explicit(tag: Tag, vr: &str, value: &[u8]) -> Vec<u8> {
    let mut bytes = [tag.group().to_le_bytes(), tag.element().to_le_bytes()].concat();
    bytes.extend(vr.as_bytes());
    let padded = value.len().next_multiple_of(2);
    if matches!(vr, "SQ" | "UT" | "UC") {
        bytes.extend([0, 0]);
        bytes.extend((padded as u32).to_le_bytes());
    } else {
        bytes.extend((padded as u16).to_le_bytes());
    }
    bytes.extend(value);
    bytes.resize(bytes.len() + padded - value.len(), b' ');
    bytes
}

fn read(elements: &[Vec<u8>]) -> DataSet {
    bounded::data_set(&elements.concat(), uids::EXPLICIT_VR_LITTLE_ENDIAN, &LIMITS).expect("a data set")
}

/// A patient's name as it is read from these bytes; values apart by `|`.
fn name_in(character_set: Option<&str>, bytes: &[u8]) -> String {
    let declared = character_set.map(|label| explicit(tags::SPECIFIC_CHARACTER_SET, "CS", label.as_bytes()));
    let data_set = read(&declared.into_iter().chain([explicit(tags::PATIENT_NAME, "PN", bytes)]).collect::<Vec<_>>());
    elements::texts(&data_set, tags::PATIENT_NAME).join("|")
}

/// Names of PS3.5 annexes H to K and of other languages, with what pydicom 3 decodes them to.
#[test]
fn names_are_decoded_by_their_character_set() {
    let cases: &[(&str, &[u8], &str)] = &[
        ("ISO_IR 100", b"Buc^J\xe9r\xf4me", "Buc^Jérôme"),
        ("ISO_IR 101", b"W\xb1\xb3ek^\xa3ucja", "Wąłek^Łucja"),
        ("ISO_IR 109", b"\xa1amrun^\xb1al", "Ħamrun^ħal"),
        ("ISO_IR 110", b"\xa6ep^\xb6\xe0", "Ļep^ļā"),
        ("ISO_IR 126", b"\xc4\xe9\xef\xed\xf5\xf3\xe9\xef\xf2", "Διονυσιος"),
        ("ISO_IR 127", b"\xe2\xc8\xc7\xe6\xea^\xe4\xe6\xd2\xc7\xd1", "قباني^لنزار"),
        ("ISO_IR 138", b"\xf9\xf8\xe5\xef^\xe3\xe1\xe5\xf8\xe4", "שרון^דבורה"),
        ("ISO_IR 144", b"\xbb\xee\xda\x63\x65\xdc\xd1\x79\x70\xd3", "Люкceмбypг"),
        ("ISO_IR 148", b"\xc7avu\xfeo\xf0lu", "Çavuşoğlu"),
        ("ISO_IR 166", b"\xb9\xd2\xc2^\xca\xc1\xaa\xd2\xc2", "นาย^สมชาย"),
        ("ISO_IR 192", "Wang^XiaoDong=王^小東".as_bytes(), "Wang^XiaoDong=王^小東"),
        ("GB18030", b"Wang^XiaoDong=\xcd\xf5^\xd0\xa1\xb6\xab", "Wang^XiaoDong=王^小东"),
        ("GB18030", b"\x81\x40\x81\x5c", "丂乗"),
        ("GBK", b"Zhang^\x8a\x5c=\xd5\xc5^\x97\x5c", "Zhang^奬=张^梊"),
        ("ISO_IR 13", b"\xd4\xcf\xc0\xde^\xc0\xdb\xb3\x5c\xb1", "ﾔﾏﾀﾞ^ﾀﾛｳ|ｱ"),
        (
            "\\ISO 2022 IR 87",
            b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B=\x1b$B$d$^$@\x1b(B^\x1b$B$?$m$&\x1b(B",
            "Yamada^Tarou=山田^太郎=やまだ^たろう",
        ),
        (
            "ISO 2022 IR 13\\ISO 2022 IR 87",
            b"\xd4\xcf\xc0\xde^\xc0\xdb\xb3=\x1b$B;3ED\x1b(J^\x1b$BB@O:\x1b(J",
            "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎",
        ),
        ("\\ISO 2022 IR 87\\ISO 2022 IR 159", b"\x1b$(D\x30\x21\x1b(B^\x1b$B\x21\x41\x1b(B", "丂^〜"),
        (
            "\\ISO 2022 IR 149",
            b"Hong^Gildong=\x1b$)C\xfb\xf3^\x1b$)C\xd1\xce\xd4\xd7=\x1b$)C\xc8\xab^\x1b$)C\xb1\xe6\xb5\xbf",
            "Hong^Gildong=洪^吉洞=홍^길동",
        ),
        ("\\ISO 2022 IR 149", b"=\x1b$)C\xfb\xf3^\xd1\xce\xd4\xd7", "=洪^吉洞"),
        ("\\ISO 2022 IR 58", b"Zhang=\x1b$)A\xd5\xc5^\x1b$)A\xd0\xa1\xb6\xab", "Zhang=张^小东"),
        ("ISO 2022 IR 100\\ISO 2022 IR 126", b"J\xe9r^\x1b-F\xc4\xe9\xef^J\xe9r", "Jér^Διο^Jér"),
        ("ISO 2022 IR 100\\ISO 2022 IR 144", b"\x1b-L\xbb\xee\\J\xe9r", "Лю|Jér"),
    ];
    for (character_set, bytes, name) in cases {
        assert_eq!(&name_in(Some(character_set), bytes), name, "{character_set}");
    }
}

#[test]
fn odd_spellings_and_undeclared_utf_8_are_read_as_meant() {
    let bytes = "Müller^Jürgen".as_bytes();
    for spelling in ["ISO IR 192", "iso_ir_192 ", "UTF-8", "\\ISO_IR 192", "ISO 2022 IR 192"] {
        assert_eq!(name_in(Some(spelling), bytes), "Müller^Jürgen", "{spelling}");
    }
    for spelling in ["ISO-IR 100", "ISO 2022 IR 100", "latin1", "ISO_IR 6", "nonsense", ""] {
        assert_eq!(name_in(Some(spelling), b"M\xfcller"), "Müller", "{spelling}");
    }
    assert_eq!(name_in(None, bytes), "Müller^Jürgen");
    assert_eq!(name_in(None, b"M\xfcller"), "Müller");
    assert_eq!(name_in(Some("ISO_IR 100"), b"M\xc3\xbcller"), "MÃ¼ller", "what was declared and is known stays");
}

#[test]
fn what_cannot_be_read_is_shown_as_such() {
    assert_eq!(name_in(Some("ISO_IR 192"), b"M\xffller"), "M\u{FFFD}ller");
    assert_eq!(name_in(Some("\\ISO 2022 IR 87"), b"a\x1b$XYZ"), "a\u{1B}$XYZ");
    assert_eq!(name_in(Some("\\ISO 2022 IR 87"), b"a\x1b$B;"), "a;");
}

/// A data set whose root is in Latin, with one item in Greek and one that inherits.
fn nested() -> DataSet {
    let greek = [
        explicit(tags::SPECIFIC_CHARACTER_SET, "CS", b"ISO_IR 126"),
        explicit(tags::REQUESTED_PROCEDURE_DESCRIPTION, "LO", b"\xc4\xe9\xef"),
    ]
    .concat();
    let latin = explicit(tags::REQUESTED_PROCEDURE_DESCRIPTION, "LO", b"R\xf6ntgen");
    let items: Vec<u8> = [greek, latin]
        .iter()
        .flat_map(|item| [&[0xFE, 0xFF, 0x00, 0xE0][..], &(item.len() as u32).to_le_bytes(), item].concat())
        .collect();
    read(&[
        explicit(tags::SPECIFIC_CHARACTER_SET, "CS", b"ISO_IR 100"),
        explicit(tags::PATIENT_NAME, "PN", b"J\xe9r\xf4me"),
        explicit(tags::PATIENT_COMMENTS, "LT", b"a\\b \xe9"),
        explicit(tags::REQUEST_ATTRIBUTES_SEQUENCE, "SQ", &items),
    ])
}

#[test]
fn items_have_the_character_set_that_they_declare_or_else_the_one_around_them() {
    let data_set = nested();
    let items = elements::items(&data_set, tags::REQUEST_ATTRIBUTES_SEQUENCE);
    let text = |item| elements::text(item, tags::REQUESTED_PROCEDURE_DESCRIPTION).expect("text");
    assert_eq!([&items[0], &items[1]].map(text), ["Διο", "Röntgen"]);
    assert!(items.iter().all(|item| item.get(tags::SPECIFIC_CHARACTER_SET).is_none() && item.get(HIDDEN).is_none()));
    assert_eq!(data_set.get(tags::PATIENT_COMMENTS).expect("text").to_str().expect("text"), "a\\b é");
    assert_eq!(elements::text(&data_set, tags::SPECIFIC_CHARACTER_SET).as_deref(), Some(UNICODE));
}

#[test]
fn decoded_text_is_encoded_again_as_it_is() {
    use dicom_transfer_syntax_registry::{TransferSyntaxIndex as _, TransferSyntaxRegistry};
    let data_set = nested();
    for syntax in [
        uids::EXPLICIT_VR_LITTLE_ENDIAN,
        uids::IMPLICIT_VR_LITTLE_ENDIAN,
        crate::dicom::transfer_syntax::EXPLICIT_VR_BIG_ENDIAN,
    ] {
        let mut bytes = Vec::new();
        data_set
            .write_dataset_with_ts(&mut bytes, TransferSyntaxRegistry.get(syntax).expect("known"))
            .expect("it can be written");
        let again = bounded::data_set(&bytes, syntax, &LIMITS).expect("a data set");
        for tag in [tags::PATIENT_NAME, tags::PATIENT_COMMENTS] {
            assert_eq!(elements::text(&again, tag), elements::text(&data_set, tag), "{syntax}");
        }
        let items = elements::items(&again, tags::REQUEST_ATTRIBUTES_SEQUENCE);
        assert_eq!(
            elements::text(&items[0], tags::REQUESTED_PROCEDURE_DESCRIPTION).as_deref(),
            Some("Διο"),
            "{syntax}"
        );
    }
}

#[test]
fn a_data_set_of_ascii_declares_what_it_did() {
    for (label, kept) in [("ISO_IR 13", "ISO_IR 13"), ("GBK", "GBK"), ("odd\nlabel", "oddlabel")] {
        let data_set = read(&[
            explicit(tags::SPECIFIC_CHARACTER_SET, "CS", label.as_bytes()),
            explicit(tags::PATIENT_NAME, "PN", b"Doe^Jane"),
        ]);
        assert_eq!(elements::text(&data_set, tags::SPECIFIC_CHARACTER_SET).as_deref(), Some(kept));
        assert!(data_set.get(HIDDEN).is_none() && !holds_more_than_ascii(&data_set));
    }
    let plain = DataSet::from_element_iter([DataElement::new(tags::PATIENT_NAME, VR::PN, "Doe^Jane")]);
    assert_eq!(decode(plain.clone()), plain);
}
