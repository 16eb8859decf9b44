//! Images named by what a person finds them by: acquisition, instances, places.

use std::collections::BTreeSet;

use super::labels::Label;
use super::slice_header::SliceHeader;

/// Numbers that are named one by one; more are named by their range.
const NAMED: usize = 3;

/// `(acquisition 2, kernel B70f, 40 keV, instances 122 to 242)`, as far as the images say so; empty where they say nothing.
pub(super) fn named<'a>(images: impl Iterator<Item = &'a SliceHeader> + Clone) -> String {
    let acquisitions = images.clone().filter_map(acquisition);
    let instances = images.clone().filter_map(|image| image.instance_number);
    let kernel = shared(images.clone(), Label::Kernel).map(|kernel| format!("kernel {kernel}"));
    let energy = shared(images, Label::Energy).map(|energy| format!("{energy} keV"));
    let parts = [numbers("acquisition", acquisitions), kernel, energy, numbers("instance", instances)];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    if parts.is_empty() { String::new() } else { format!(" ({})", parts.join(", ")) }
}

/// The acquisitions of images alone: `acquisitions 1 and 2`.
pub(super) fn acquisitions<'a>(images: impl Iterator<Item = &'a SliceHeader>) -> Option<String> {
    numbers("acquisition", images.filter_map(acquisition))
}

fn acquisition(image: &SliceHeader) -> Option<i64> {
    image.labels.get(Label::AcquisitionNumber)?.parse().ok()
}

/// The value of a label that all images share.
fn shared<'a>(mut images: impl Iterator<Item = &'a SliceHeader>, label: Label) -> Option<&'a str> {
    let value = images.next()?.labels.get(label)?;
    // It goes into logs and pages.
    let plain = value.len() <= 32 && value.bytes().all(|byte| byte.is_ascii_graphic());
    (plain && images.all(|image| image.labels.get(label) == Some(value))).then_some(value)
}

/// `instance 7`, `instances 7, 9 and 12`, `instances 7 to 40`, `20 instances from 7 to 40`; `None` for no number.
pub(super) fn numbers(name: &str, values: impl Iterator<Item = i64>) -> Option<String> {
    let values: Vec<i64> = values.collect::<BTreeSet<_>>().into_iter().collect();
    let (first, last) = (values.first()?, values.last()?);
    let count = values.len();
    let in_a_row = last.abs_diff(*first) == count as u64 - 1;
    Some(match count {
        1 => format!("{name} {first}"),
        3.. if in_a_row => format!("{name}s {first} to {last}"),
        _ if count <= NAMED => {
            let before: Vec<String> = values[..count - 1].iter().map(i64::to_string).collect();
            format!("{name}s {} and {last}", before.join(", "))
        }
        _ => format!("{count} {name}s from {first} to {last}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_numbers_are_named_and_many_by_their_range() {
        let said = |values: &[i64]| numbers("instance", values.iter().copied());
        assert_eq!(said(&[]), None);
        assert_eq!(said(&[7, 7]).as_deref(), Some("instance 7"));
        assert_eq!(said(&[9, 7]).as_deref(), Some("instances 7 and 9"));
        assert_eq!(said(&[12, 7, 9]).as_deref(), Some("instances 7, 9 and 12"));
        assert_eq!(said(&[1, 2, 3, 4]).as_deref(), Some("instances 1 to 4"));
        assert_eq!(said(&[1, 2, 3, 5]).as_deref(), Some("4 instances from 1 to 5"));
        assert_eq!(
            said(&[i64::MIN, i64::MAX]).as_deref(),
            Some("instances -9223372036854775808 and 9223372036854775807")
        );
    }
}
