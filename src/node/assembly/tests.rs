use dicom_core::VR;
use dicom_dictionary_std::{tags, uids};

use jiff::{SignedDuration, Timestamp};

use super::*;
use crate::node::archive::Archive;
use crate::node::archive::testing::{archive, rules, slice, uid};
use crate::node::queue::JobState;
use crate::node::store::SeriesProgress;

const QUIET: f64 = 30.0;

async fn opened() -> (tempfile::TempDir, Archive, Assembly) {
    let (folder, archive) = archive().await;
    let assembly = Assembly::new(archive.index().clone(), &StudyConfig { quiet_seconds: QUIET });
    (folder, archive, assembly)
}

/// Stores slices of series 1.1 of study 1 through an association and returns it, still open.
async fn send(archive: &Archive, assembly: &Assembly, numbers: &[u16]) -> Box<dyn Feed> {
    let mut feed = assembly.begin();
    for number in numbers {
        let stored = archive.store(slice("1", "1.1", *number, &[])).await.expect("store");
        feed.stored(&SeriesId::new(uid("1"), uid("1.1")), stored);
    }
    feed
}

async fn state_after(assembly: &Assembly, seconds: u64) -> Option<SeriesProgress> {
    assembly.shared.advance(Instant::now() + Duration::from_secs(seconds), false).await.expect("advance");
    let study = assembly.shared.store.study(&uid("1")).await.expect("study").expect("known");
    study.series.first().map(|series| series.state)
}

#[tokio::test]
async fn a_series_becomes_a_job_once_its_sender_left_and_the_quiet_period_passed() {
    let (_folder, archive, assembly) = opened().await;
    let association = send(&archive, &assembly, &[1, 2, 3]).await;
    assert_eq!(state_after(&assembly, 40).await, Some(SeriesProgress::Receiving), "the sender is connected");
    drop(association);
    assert_eq!(state_after(&assembly, 20).await, Some(SeriesProgress::Receiving), "it is not quiet yet");
    assert_eq!(state_after(&assembly, 31).await, Some(SeriesProgress::Job(JobState::Queued)));
}

#[tokio::test]
async fn a_sender_that_never_leaves_does_not_hold_a_series_for_ever() {
    let (_folder, archive, assembly) = opened().await;
    let _association = send(&archive, &assembly, &[1, 2, 3]).await;
    assert_eq!(state_after(&assembly, 299).await, Some(SeriesProgress::Receiving));
    assert_eq!(state_after(&assembly, 301).await, Some(SeriesProgress::Job(JobState::Queued)));
}

#[tokio::test]
async fn a_sender_that_goes_on_to_another_study_holds_back_the_first_no_longer() {
    let (_folder, archive, assembly) = opened().await;
    let mut association = send(&archive, &assembly, &[1, 2, 3]).await;
    let stored = archive.store(slice("2", "2.1", 1, &[])).await.expect("store");
    association.stored(&SeriesId::new(uid("2"), uid("2.1")), stored);
    assert_eq!(state_after(&assembly, 29).await, Some(SeriesProgress::Receiving), "it is not quiet yet");
    assert_eq!(state_after(&assembly, 31).await, Some(SeriesProgress::Job(JobState::Queued)));
    let second = assembly.shared.store.study(&uid("2")).await.expect("study").expect("known");
    assert_eq!(second.series[0].state, SeriesProgress::Receiving, "its sender is connected");
    // It returns to the first: both are waited for as any other.
    let stored = archive.store(slice("1", "1.1", 4, &[])).await.expect("store");
    association.stored(&SeriesId::new(uid("1"), uid("1.1")), stored);
    assert_eq!(state_after(&assembly, 40).await, Some(SeriesProgress::Receiving));
    drop(association);
    assert_eq!(state_after(&assembly, 31).await, Some(SeriesProgress::Job(JobState::Queued)));
}

#[tokio::test]
async fn a_gap_makes_a_series_wait_longer() {
    let (_folder, archive, assembly) = opened().await;
    drop(send(&archive, &assembly, &[1, 2, 3, 7, 8]).await);
    assert_eq!(state_after(&assembly, 31).await, Some(SeriesProgress::Receiving));
    assert_eq!(state_after(&assembly, 91).await, Some(SeriesProgress::Job(JobState::Queued)));
}

#[tokio::test]
async fn late_slices_make_a_new_job_and_repeated_ones_do_not() {
    let (_folder, archive, assembly) = opened().await;
    drop(send(&archive, &assembly, &[1, 2, 3]).await);
    assert_eq!(state_after(&assembly, 31).await, Some(SeriesProgress::Job(JobState::Queued)));
    let first = assembly.shared.store.claim(Timestamp::now()).await.expect("claim").expect("due");
    drop(send(&archive, &assembly, &[1, 2, 3]).await);
    assert_eq!(state_after(&assembly, 0).await, Some(SeriesProgress::Job(JobState::Running)), "nothing new came");
    drop(send(&archive, &assembly, &[4]).await);
    assert_eq!(state_after(&assembly, 0).await, Some(SeriesProgress::Receiving));
    assert_eq!(state_after(&assembly, 31).await, Some(SeriesProgress::Job(JobState::Queued)));
    let second = assembly.shared.store.claim(Timestamp::now() + SignedDuration::from_secs(40)).await;
    let second = second.expect("claim").expect("due");
    assert_ne!(first.id, second.id);
    assert_eq!((first.instances.len(), second.instances.len()), (3, 4));
}

#[tokio::test]
async fn a_restart_forgets_no_series_and_gives_its_sender_time_to_return() {
    let (_folder, archive, assembly) = opened().await;
    std::mem::forget(send(&archive, &assembly, &[1, 2, 3]).await);
    let again =
        Assembly::new(archive.index().restarted(rules(&[], false)).await, &StudyConfig { quiet_seconds: QUIET });
    again.shared.advance(Instant::now(), true).await.expect("advance");
    assert_eq!(state_after(&again, 25).await, Some(SeriesProgress::Receiving));
    assert_eq!(state_after(&again, 31).await, Some(SeriesProgress::Job(JobState::Queued)));
    assert_eq!(state_after(&again, 32).await, Some(SeriesProgress::Job(JobState::Queued)));
    assert_eq!(again.shared.store.jobs(10).await.expect("jobs").len(), 1);
}

#[tokio::test]
async fn a_clock_that_is_set_back_after_the_last_slice_holds_up_nothing() {
    let (_folder, archive, assembly) = opened().await;
    drop(send(&archive, &assembly, &[1, 2, 3]).await);
    // As if the clock had been two hours ahead while the slices came.
    archive.index().received_later(SignedDuration::from_hours(2)).await;
    assert_eq!(state_after(&assembly, 20).await, Some(SeriesProgress::Receiving));
    assert_eq!(state_after(&assembly, 31).await, Some(SeriesProgress::Job(JobState::Queued)));
}

#[tokio::test]
async fn images_of_other_modalities_are_rejected_and_own_results_are_not_looked_at() {
    let (_folder, archive, assembly) = opened().await;
    let mr = [(tags::SOP_CLASS_UID, VR::UI, uids::MR_IMAGE_STORAGE), (tags::MODALITY, VR::CS, "MR")];
    archive.store(slice("1", "1.2", 1, &mr)).await.expect("store");
    let mut own = slice("1", "1.3", 1, &[]);
    own.origin = crate::node::archive::Origin::Analysis;
    archive.store(own).await.expect("store");
    assembly.shared.advance(Instant::now(), false).await.expect("advance");
    assert_eq!(state_after(&assembly, 31).await, Some(SeriesProgress::Job(JobState::Rejected)));
    let study = assembly.shared.store.study(&uid("1")).await.expect("study").expect("known");
    assert_eq!(study.series.len(), 1);
    assert_eq!(study.series[0].summary().expect("a summary").reasons()[0].code(), "wrong-modality");
}
