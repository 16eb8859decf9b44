//! The character set of a data set: Specific Character Set (0008,0005), read as leniently as it is written in practice
//! ([PS3.3 C.12.1.1.2](https://dicom.nema.org/medical/dicom/current/output/chtml/part03/sect_C.12.html)).

use dicom_core::VR;
use encoding_rs::{Encoding, GB18030, GBK, UTF_8};

use super::code_extensions::{self, ESCAPE, RightHalf};

/// How the bytes of text are to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CharacterSet {
    /// Nothing usable is declared: UTF-8 where the bytes are that, otherwise ISO 8859-1.
    Undeclared,
    /// One without code extensions, in which a byte below 0x80 may belong to a character of several bytes.
    Whole(&'static Encoding),
    /// ASCII and this, with code extensions.
    Extended(RightHalf),
}

impl CharacterSet {
    /// The character set that the values of Specific Character Set mean.
    pub(super) fn declared<'a>(values: impl IntoIterator<Item = &'a str>) -> Self {
        let mut labels = values.into_iter().map(Self::labelled);
        let first = labels.next().flatten();
        match first {
            Some(Self::Undeclared) | None => {
                // An empty first value stands for ASCII. A set without code extensions belongs there; it is meant.
                let later: Vec<Self> = labels.flatten().collect();
                let whole = later.iter().find(|set| matches!(set, Self::Whole(_)));
                let extended =
                    || if later.is_empty() { Self::Undeclared } else { Self::Extended(RightHalf::Undeclared) };
                whole.copied().unwrap_or_else(extended)
            }
            Some(set) => set,
        }
    }

    /// The character set that one value names: `iso ir 192` and `ISO-IR-192` mean `ISO_IR 192`.
    fn labelled(label: &str) -> Option<Self> {
        let upper = label.to_uppercase();
        let words: Vec<&str> = upper.split([' ', '_', '-', '\0']).filter(|word| !word.is_empty()).collect();
        match words.as_slice() {
            ["ISO", "IR", "192"] | ["ISO", "2022", "IR", "192"] => Some(Self::Whole(UTF_8)),
            ["ISO", "IR", "6"] | ["ISO", "2022", "IR", "6"] => Some(Self::Undeclared),
            ["ISO", "2022", "GBK"] | ["GBK" | "GB2312"] => Some(Self::Whole(GBK)),
            ["ISO", "2022", "IR", number] | ["ISO", "IR" | "2022", number] => {
                RightHalf::registered(number).map(Self::Extended)
            }
            ["GB18030"] => Some(Self::Whole(GB18030)),
            // Names that other programs use, such as `utf8` and `latin1`.
            _ => Encoding::for_label(label.trim_matches([' ', '\0']).as_bytes())
                .filter(|encoding| encoding.is_ascii_compatible())
                .map(Self::Whole),
        }
    }

    /// The text that bytes of a value representation stand for. Values are not split yet.
    pub(super) fn decode(self, bytes: &[u8], vr: VR) -> String {
        let delimiters: &[u8] = if vr == VR::PN { b"\\\r\n\t\x0C^=" } else { b"\\\r\n\t\x0C" };
        match self {
            Self::Whole(encoding) => encoding.decode_without_bom_handling(bytes).0.into_owned(),
            // Without a set of its own to return to, what an escape sequence changed lasts beyond the parts of a name:
            // senders are known to write it once.
            Self::Extended(RightHalf::Undeclared) => {
                code_extensions::decode(bytes, RightHalf::Undeclared, &delimiters[..5])
            }
            Self::Extended(right) => code_extensions::decode(bytes, right, delimiters),
            Self::Undeclared if bytes.contains(&ESCAPE) => Self::Extended(RightHalf::Undeclared).decode(bytes, vr),
            Self::Undeclared => {
                std::str::from_utf8(bytes).map_or_else(|_| RightHalf::Latin1.decode(bytes).into_owned(), str::to_owned)
            }
        }
    }
}
