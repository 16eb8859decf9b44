//! Number and description of result series. Viewers list series by them: they keep the results of one source series
//! together, and those of other series and other versions apart.

use super::Context;
use super::element::ascii;
use super::kind::ResultKind;
use super::statements;
use crate::dicom::Uid;
use crate::dicom::elements::{self, DataSet};
use dicom_dictionary_std::tags;

/// The series numbers of one source series; its versions share them.
const NUMBERS: i64 = 1000;
/// The series numbers of one version.
const NUMBERS_OF_VERSION: i64 = 10;
/// The greatest Series Number of a source whose results have numbers that begin with it; numbers are 32-bit.
const GREATEST_SOURCE: i64 = 999_999;

/// The Series Number: source 2, version 1 has 2001 for its first kind, version 2 has 2011.
pub(super) fn series_number(source: &DataSet, source_series: &Uid, version: u32, kind: ResultKind) -> i64 {
    let source = source_number(source).filter(|number| (1..=GREATEST_SOURCE).contains(number));
    // Without a number of its own, a series has one that depends on its identifier.
    let source = source.unwrap_or_else(|| GREATEST_SOURCE + 1 + digest(source_series));
    let place = match kind {
        // First where a viewer sorts by number: whoever cannot show a report shows pictures.
        ResultKind::Sc => 1,
        ResultKind::Sr => 2,
        ResultKind::Seg => 3,
        ResultKind::Kos => 4,
        ResultKind::Pr => 5,
        ResultKind::Pdf => 6,
        ResultKind::Pm => 7,
        ResultKind::Notice => 8,
        ResultKind::RejectionNote => 9,
    };
    let versions = NUMBERS / NUMBERS_OF_VERSION;
    let version = i64::from(version.saturating_sub(1)) % versions;
    source * NUMBERS + version * NUMBERS_OF_VERSION + place
}

/// The Series Description: what it is, of which series, which version, and that it is for research.
pub(super) fn series_description(context: &Context, what: &str) -> String {
    let source =
        source_number(&context.volume.header).map_or_else(String::new, |number| format!(" of series {number}"));
    let banner = if statements::banner(context.findings).is_some() { " (research use only)" } else { "" };
    ascii(&format!("{what}{source}, version {}{banner}", context.version), 64)
}

fn source_number(source: &DataSet) -> Option<i64> {
    elements::integer(source, tags::SERIES_NUMBER)
}

/// A number below a million that depends on an identifier.
fn digest(uid: &Uid) -> i64 {
    let folded = uid.as_str().bytes().fold(0_u64, |sum, byte| (sum * 31 + u64::from(byte)) % 1_000_000);
    folded as i64
}
