//! Code extensions: text whose character sets change within a value by escape sequences ([PS3.5
//! 6.1.2.5](https://dicom.nema.org/medical/dicom/current/output/chtml/part05/sect_6.1.2.5.html), ISO 2022).

use std::borrow::Cow;

use encoding_rs::{
    EUC_JP, EUC_KR, Encoding, GBK, ISO_8859_2, ISO_8859_3, ISO_8859_4, ISO_8859_5, ISO_8859_6, ISO_8859_7, ISO_8859_8,
    ISO_8859_15, SHIFT_JIS, WINDOWS_874, WINDOWS_1254,
};

/// What begins an escape sequence.
pub(super) const ESCAPE: u8 = 0x1B;

/// What bytes from 0x80 on stand for (G1), together with the ASCII characters below.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RightHalf {
    /// Nothing that is declared, read as ISO 8859-1.
    Undeclared,
    /// ISO 8859-1.
    Latin1,
    /// Another character set that holds ASCII.
    Of(&'static Encoding),
}

impl RightHalf {
    /// The character set with a registration number (ISO-IR), as far as one has a right half.
    pub(super) fn registered(number: &str) -> Option<Self> {
        Some(Self::Of(match number {
            "100" => return Some(Self::Latin1),
            // Kanji are only ever reached by an escape sequence.
            "87" | "159" => return Some(Self::Undeclared),
            // Half-width Katakana are single bytes of Shift JIS; senders are known to write its Kanji, too.
            "13" => SHIFT_JIS,
            "58" => GBK,
            "101" => ISO_8859_2,
            "109" => ISO_8859_3,
            "110" => ISO_8859_4,
            "126" => ISO_8859_7,
            "127" => ISO_8859_6,
            "138" => ISO_8859_8,
            "144" => ISO_8859_5,
            "148" => WINDOWS_1254,
            "149" => EUC_KR,
            "166" => WINDOWS_874,
            "203" => ISO_8859_15,
            _ => return None,
        }))
    }

    /// Bytes as text, what cannot be read as U+FFFD.
    pub(super) fn decode(self, bytes: &[u8]) -> Cow<'_, str> {
        match self {
            Self::Undeclared | Self::Latin1 => encoding_rs::mem::decode_latin1(bytes),
            Self::Of(encoding) => encoding.decode_without_bom_handling(bytes).0,
        }
    }
}

/// What bytes below 0x80 stand for (G0).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LeftHalf {
    /// ISO 646; its Japanese form (ISO-IR 14) has a yen sign for the backslash, which stays the delimiter of values.
    Ascii,
    /// JIS X 0208, two bytes a character.
    Kanji,
    /// JIS X 0212, two bytes a character.
    SupplementaryKanji,
}

/// What an escape sequence changes.
enum Change {
    Left(LeftHalf),
    Right(RightHalf),
}

/// The escape sequence that bytes begin with (PS3.3 tables C.12-3 and C.12-4), and what follows it.
fn escape_sequence(bytes: &[u8]) -> Option<(Change, &[u8])> {
    let (number, length) = match bytes.get(1..)? {
        [b'(', b'B' | b'J', ..] => return Some((Change::Left(LeftHalf::Ascii), &bytes[3..])),
        [b'$', b'B' | b'@', ..] => return Some((Change::Left(LeftHalf::Kanji), &bytes[3..])),
        [b'$', b'(', b'D', ..] => return Some((Change::Left(LeftHalf::SupplementaryKanji), &bytes[4..])),
        [b')', b'I', ..] => ("13", 3),
        [b'$', b')', b'A', ..] => ("58", 4),
        [b'$', b')', b'C', ..] => ("149", 4),
        [b'-', letter, ..] => {
            let number = match letter {
                b'A' => "100",
                b'B' => "101",
                b'C' => "109",
                b'D' => "110",
                b'F' => "126",
                b'G' => "127",
                b'H' => "138",
                b'L' => "144",
                b'M' => "148",
                b'T' => "166",
                b'b' => "203",
                _ => return None,
            };
            (number, 3)
        }
        _ => return None,
    };
    Some((Change::Right(RightHalf::registered(number)?), &bytes[length..]))
}

/// Decodes text that begins with ASCII and `initial`. A delimiter puts these back in place (6.1.2.5.3).
pub(super) fn decode(bytes: &[u8], initial: RightHalf, delimiters: &[u8]) -> String {
    let mut decoder = Decoder { initial, delimiters, left: LeftHalf::Ascii, right: initial, text: String::new() };
    let mut rest = bytes;
    while !rest.is_empty() {
        rest = decoder.step(rest);
    }
    decoder.text
}

struct Decoder<'a> {
    initial: RightHalf,
    delimiters: &'a [u8],
    left: LeftHalf,
    right: RightHalf,
    text: String,
}

impl Decoder<'_> {
    /// Decodes the bytes up to the next change; returns what follows.
    fn step<'b>(&mut self, bytes: &'b [u8]) -> &'b [u8] {
        match (escape_sequence(bytes).filter(|_| bytes[0] == ESCAPE), self.left) {
            (Some((change, rest)), _) => {
                match change {
                    Change::Left(half) => self.left = half,
                    Change::Right(half) => self.right = half,
                }
                rest
            }
            (None, LeftHalf::Ascii) => self.single_bytes(bytes),
            (None, kanji) => self.double_bytes(bytes, kanji == LeftHalf::SupplementaryKanji),
        }
    }

    fn single_bytes<'b>(&mut self, bytes: &'b [u8]) -> &'b [u8] {
        // Where nothing is to be put back, a delimiter may be the second byte of a character.
        let changed = self.right != self.initial;
        let ends = |byte: &u8| *byte == ESCAPE || (changed && self.delimiters.contains(byte));
        let end = 1 + bytes[1..].iter().position(ends).unwrap_or(bytes.len() - 1);
        if changed && self.delimiters.contains(&bytes[0]) {
            self.right = self.initial;
        }
        self.text.push_str(&self.right.decode(&bytes[..end]));
        &bytes[end..]
    }

    fn double_bytes<'b>(&mut self, bytes: &'b [u8], supplementary: bool) -> &'b [u8] {
        if let [first @ 0x21..=0x7E, second @ 0x21..=0x7E, rest @ ..] = bytes {
            let pair = [0x8F, first | 0x80, second | 0x80];
            let pair = if supplementary { &pair[..] } else { &pair[1..] };
            let decoded = EUC_JP.decode_without_bom_handling(pair).0;
            self.text.extend(decoded.chars().map(|character| as_in_jis(character, supplementary)));
            return rest;
        }
        let high = bytes.iter().take_while(|byte| **byte >= 0x80).count();
        if high > 0 {
            self.text.push_str(&self.right.decode(&bytes[..high]));
            return &bytes[high..];
        }
        if bytes[0].is_ascii_control() && bytes[0] != ESCAPE {
            (self.left, self.right) = (LeftHalf::Ascii, self.initial);
        }
        self.text.push(char::from(bytes[0]));
        &bytes[1..]
    }
}

/// The character that JIS means where encodings of the web mean a look-alike of Microsoft's.
fn as_in_jis(character: char, supplementary: bool) -> char {
    match character {
        '\u{FF5E}' if supplementary => '~',
        '\u{FF5E}' => '\u{301C}',
        '\u{2225}' => '\u{2016}',
        '\u{FF0D}' => '\u{2212}',
        '\u{FFE0}' => '\u{A2}',
        '\u{FFE1}' => '\u{A3}',
        '\u{FFE2}' => '\u{AC}',
        other => other,
    }
}
