//! Images named by what a person finds them by: acquisition, instances, places.

use std::collections::{BTreeMap, BTreeSet};

use super::labels::Label;
use super::slice_header::{ImageNumber, SliceHeader};

/// Numbers that are named one by one; more are named by their range.
const NAMED: usize = 3;

/// `(acquisition 2, kernel B70f, 40 keV, instances 122 to 242)`, as far as the images say so; empty where they say nothing.
pub(super) fn named<'a>(images: impl Iterator<Item = &'a SliceHeader> + Clone) -> String {
    let acquisitions = images.clone().filter_map(acquisition);
    let found_by = image_numbers(images.clone().map(SliceHeader::number));
    let kernel = shared(images.clone(), Label::Kernel).map(|kernel| format!("kernel {kernel}"));
    let energy = shared(images, Label::Energy).map(|energy| format!("{energy} keV"));
    let parts = [numbers("acquisition", acquisitions), kernel, energy, found_by];
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

/// `instances 7 to 40`, `frames 1 to 20 of instance 3`, `instances 1 to 9 with 90 frames`; `None` for no number.
pub(super) fn image_numbers(images: impl Iterator<Item = ImageNumber>) -> Option<String> {
    let (frames, objects): (Vec<ImageNumber>, Vec<ImageNumber>) = images.partition(|image| image.frame.is_some());
    let mut by_instance: BTreeMap<Option<i64>, Vec<i64>> = BTreeMap::new();
    for image in &frames {
        by_instance.entry(image.instance).or_default().extend(image.frame.map(|frame| i64::from(frame.get())));
    }
    let mut parts: Vec<String> =
        numbers("instance", objects.iter().filter_map(|image| image.instance)).into_iter().collect();
    if by_instance.len() > NAMED {
        let instances = numbers("instance", by_instance.keys().copied().flatten());
        parts.push(format!("{} with {} frames", instances?, frames.len()));
    } else {
        parts.extend(by_instance.into_iter().filter_map(|(instance, frames)| {
            let of = instance.map_or_else(String::new, |instance| format!(" of instance {instance}"));
            Some(format!("{}{of}", numbers("frame", frames.into_iter())?))
        }));
    }
    (!parts.is_empty()).then(|| parts.join(", "))
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
    use crate::dicom::FrameNumber;

    #[test]
    fn frames_are_named_within_their_instances() {
        let image = |instance, frame| ImageNumber { instance: Some(instance), frame: FrameNumber::new(frame) };
        let said = |images: &[ImageNumber]| image_numbers(images.iter().copied()).unwrap_or_default();
        assert_eq!(said(&[image(7, 0), image(8, 0), image(9, 0)]), "instances 7 to 9");
        assert_eq!(
            said(&[image(3, 1), image(3, 2), image(4, 5), image(1, 0)]),
            "instance 1, frames 1 and 2 of instance 3, frame 5 of instance 4"
        );
        let many: Vec<ImageNumber> = (1..6).flat_map(|instance| [image(instance, 1), image(instance, 2)]).collect();
        assert_eq!(said(&many), "instances 1 to 5 with 10 frames");
        assert_eq!(said(&[ImageNumber { instance: None, frame: FrameNumber::new(2) }]), "frame 2");
    }

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
