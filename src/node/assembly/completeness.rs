//! When is a series complete? Rules without IO.
//!
//! A sender never says so. An association that brought slices and is still open may bring more; one that was released
//! may be followed by another; a gap between the slices hints that the missing ones are on their way. A series is
//! complete when none of its senders is connected and nothing arrived for the quiet period. With a gap, or with a
//! sender that stays connected, it waits for a multiple of the quiet period.

use std::time::Duration;

use crate::dicom::concatenation::Parts;
use crate::node::store::SeriesMember;

/// How many quiet periods a series with a gap waits.
const QUIET_PERIODS_WITH_GAP: u32 = 3;
/// How many quiet periods a series waits while its sender stays connected and sends nothing, and the shortest such
/// wait. Some senders keep an association open for the whole day.
const QUIET_PERIODS_WHILE_CONNECTED: u32 = 10;
const LEAST_WAIT_WHILE_CONNECTED: Duration = Duration::from_secs(60);

/// The shortest wait of a series that arrived before a restart of the node: its sender may have been cut off and needs
/// time to connect again.
const LEAST_WAIT_AFTER_RESTART: Duration = Duration::from_secs(5);

/// A slice distance beyond this multiple of the usual one is a gap.
const GAP: f64 = 1.5;
/// Positions closer than this, in millimetres, are the same.
const SAME_PLACE_MM: f64 = 0.01;

/// Whether the slices of a series lie at regular distances.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Spacing {
    /// No slice seems to be missing, or positions do not tell.
    NoGap,
    /// Some distance is much larger than the usual one, or a concatenation lacks a part.
    Gap,
}

/// Whether more of a series may be on its way, as far as its senders tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sender {
    /// One that brought slices is connected.
    Connected,
    /// All have left.
    Left,
    /// Nothing arrived since the node was restarted.
    CutOff,
}

/// How long a series must have been quiet to count as complete.
pub(super) fn wait(quiet: Duration, sender: Sender, spacing: Spacing) -> Duration {
    let usual = match spacing {
        Spacing::Gap => quiet * QUIET_PERIODS_WITH_GAP,
        Spacing::NoGap => quiet,
    };
    match sender {
        Sender::Connected => (quiet * QUIET_PERIODS_WHILE_CONNECTED).max(LEAST_WAIT_WHILE_CONNECTED),
        Sender::Left => usual,
        Sender::CutOff => usual.max(LEAST_WAIT_AFTER_RESTART),
    }
}

/// Looks for a gap between the parts of a concatenation, and along the normal of the first slice that has a place.
pub(super) fn spacing(members: &[SeriesMember]) -> Spacing {
    if Parts::of(members.iter().filter_map(|member| member.part.as_ref())).missing().next().is_some() {
        return Spacing::Gap;
    }
    let Some(normal) = members.iter().find_map(|member| member.orientation).map(normal) else { return Spacing::NoGap };
    let along = |position: [f64; 3]| position.iter().zip(normal).map(|(a, b)| a * b).sum::<f64>();
    let mut places: Vec<f64> = members.iter().filter_map(|member| member.position).map(along).collect();
    places.sort_by(f64::total_cmp);
    places.dedup_by(|a, b| (*a - *b).abs() < SAME_PLACE_MM);
    let mut distances: Vec<f64> = places.windows(2).map(|pair| pair[1] - pair[0]).collect();
    distances.sort_by(f64::total_cmp);
    match (distances.get(distances.len() / 2), distances.last()) {
        (Some(usual), Some(largest)) if *largest > GAP * usual => Spacing::Gap,
        _ => Spacing::NoGap,
    }
}

/// The cross product of the directions of rows and columns.
fn normal(orientation: [f64; 6]) -> [f64; 3] {
    let [a, b, c, d, e, f] = orientation;
    [b * f - c * e, c * d - a * f, a * e - b * d]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dicom::Uid;
    use crate::dicom::concatenation::Part;

    fn slices(places: &[f64]) -> Vec<SeriesMember> {
        let member = |place: &f64| SeriesMember {
            sop_instance_uid: Uid::parse("1.2").expect("uid"),
            sop_class_uid: Uid::parse("1.2").expect("uid"),
            sha256: String::new(),
            image_type: Vec::new(),
            position: Some([-170.0, -170.0, *place]),
            orientation: Some([1.0, 0.0, 0.0, 0.0, 1.0, 0.0]),
            part: None,
        };
        places.iter().map(member).collect()
    }

    #[test]
    fn a_missing_slice_is_a_gap_and_order_and_duplicates_are_not() {
        assert_eq!(spacing(&slices(&[4.0, 0.0, 2.0, 2.0, 6.0])), Spacing::NoGap);
        assert_eq!(spacing(&slices(&[0.0, 2.0, 4.0, 8.0, 10.0])), Spacing::Gap);
        assert_eq!(spacing(&slices(&[0.0])), Spacing::NoGap);
        assert_eq!(spacing(&[]), Spacing::NoGap);
    }

    #[test]
    fn a_part_of_a_concatenation_that_has_not_come_is_a_gap() {
        let part = |number| {
            let concatenation = Uid::parse("1.2.9").expect("uid");
            Some(Part { concatenation, number, total: Some(3), frames_before: 0 })
        };
        let mut members = slices(&[0.0, 2.0, 4.0]);
        members.iter_mut().zip(1..).for_each(|(member, number)| member.part = part(number));
        assert_eq!(spacing(&members), Spacing::NoGap);
        assert_eq!(spacing(&members[..2]), Spacing::Gap);
    }

    #[test]
    fn a_series_waits_longer_while_its_sender_may_bring_more() {
        let quiet = Duration::from_secs(30);
        assert_eq!(wait(quiet, Sender::Left, Spacing::NoGap), quiet);
        assert_eq!(wait(quiet, Sender::Left, Spacing::Gap), 3 * quiet);
        assert_eq!(wait(quiet, Sender::Connected, Spacing::NoGap), 10 * quiet);
        let short = Duration::from_secs(1);
        assert_eq!(wait(short, Sender::Connected, Spacing::Gap), LEAST_WAIT_WHILE_CONNECTED);
        assert_eq!(wait(short, Sender::CutOff, Spacing::NoGap), LEAST_WAIT_AFTER_RESTART);
        assert_eq!(wait(quiet, Sender::CutOff, Spacing::NoGap), quiet);
    }
}
