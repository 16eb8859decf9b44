//! Objects that were refused: which of them a series still lacks, and why.

use dicom_core::VR;
use dicom_dictionary_std::tags;

use super::*;
use crate::config::StorageConfig;
use crate::node::archive::ArchiveError;
use crate::node::archive::testing::{open, storage};
use crate::node::queue::{Refusal, RefusalCause, RefusedImages};

fn refusal(number: u16, cause: RefusalCause, seconds: i64) -> Refusal {
    let sop_instance_uid = uid(&format!("{SERIES}.{number}"));
    Refusal { series: series(), sop_instance_uid, cause, at: at(seconds) }
}

fn refused(cause: RefusalCause, images: u64, seconds: [i64; 2]) -> RefusedImages {
    let [first_at, last_at] = seconds.map(at);
    RefusedImages { cause, images, first_at, last_at }
}

/// What a job that is made now is told.
async fn told(store: &Store) -> Vec<RefusedImages> {
    analyse(store, 1..=1, 1).await;
    store.claim(at(1000)).await.expect("claim").expect("due").refused
}

fn causes(told: &[RefusedImages]) -> Vec<(RefusalCause, u64)> {
    told.iter().map(|one| (one.cause, one.images)).collect()
}

#[tokio::test]
async fn a_job_is_told_what_was_refused_of_its_series_and_by_which_cause() {
    let (_folder, _archive, store) = opened().await;
    for (number, cause, seconds) in [
        (2, RefusalCause::Full, 3),
        (3, RefusalCause::Fault, 4),
        // The last cause counts, and all times.
        (3, RefusalCause::Full, 9),
        (4, RefusalCause::Unreadable, 5),
    ] {
        store.refused(refusal(number, cause, seconds));
    }
    store.refused(Refusal { series: SeriesId::new(uid(STUDY), uid("1.1.2")), ..refusal(7, RefusalCause::Full, 6) });
    let expected = [refused(RefusalCause::Full, 2, [3, 9]), refused(RefusalCause::Unreadable, 1, [5, 5])];
    assert_eq!(told(&store).await, expected);
    store.refused(refusal(8, RefusalCause::Full, 50));
    let again = restart(&store).await.claim(at(2000)).await.expect("claim").expect("due");
    assert_eq!(again.refused, expected, "a retry is told the same, and writes the same bytes");
}

#[tokio::test]
async fn what_came_after_all_was_not_lost_and_what_was_refused_for_its_identifier_was() {
    let (_folder, archive, store) = opened().await;
    store.refused(refusal(1, RefusalCause::Full, 3));
    store.refused(refusal(2, RefusalCause::Full, 3));
    archive.store(slice(STUDY, SERIES, 2, &[])).await.expect("sent again");
    // Another object had the identifier of a slice of this series. Of its refusals the last one counts.
    archive.store(slice("7", "7.1", 1, &[])).await.expect("store");
    store.refused(Refusal { sop_instance_uid: uid("7.1.1"), ..refusal(3, RefusalCause::Full, 3) });
    let stolen = [(tags::STUDY_INSTANCE_UID, VR::UI, STUDY), (tags::SERIES_INSTANCE_UID, VR::UI, SERIES)];
    archive.store(slice("7", "7.1", 1, &stolen)).await.expect_err("refused");
    assert_eq!(causes(&told(&store).await), [(RefusalCause::Conflict, 1)]);
}

#[tokio::test]
async fn images_that_share_an_identifier_with_another_one_of_their_series_are_counted_each() {
    let (_folder, archive, store) = opened().await;
    let first = uid(&format!("{SERIES}.1"));
    for number in [2, 3, 3] {
        let sharing = [(tags::SOP_INSTANCE_UID, VR::UI, first.as_str())];
        archive.store(slice(STUDY, SERIES, number, &sharing)).await.expect_err("refused");
    }
    assert_eq!(causes(&told(&store).await), [(RefusalCause::ConflictInSeries, 2)]);
}

#[tokio::test]
async fn a_full_archive_notes_what_it_refuses_and_closing_writes_it() {
    let (folder, archive, store) = opened().await;
    archive.close().await;
    drop((archive, store));
    let full = open(&StorageConfig { minimum_free_mib: 1 << 40, ..storage(folder.path()) }).await;
    let refused = full.store(slice(STUDY, SERIES, 2, &[])).await;
    assert!(matches!(refused, Err(ArchiveError::Full(_))));
    full.close().await;
    drop(full);
    let archive = open(&storage(folder.path())).await;
    assert_eq!(causes(&told(archive.index()).await), [(RefusalCause::Full, 1)]);
}

#[tokio::test]
async fn refusals_of_one_instant_are_all_recorded() {
    let (_folder, _archive, store) = opened().await;
    (0..10_000).for_each(|number| store.refused(refusal(number + 10, RefusalCause::Full, 3)));
    assert_eq!(causes(&told(&store).await), [(RefusalCause::Full, 10_000)]);
}

#[tokio::test]
async fn an_object_that_is_refused_without_end_is_one_row_and_the_oldest_rows_go() {
    let (_folder, _archive, store) = opened().await;
    for round in 0..20_000 {
        store.refused(refusal(2, RefusalCause::Full, round));
    }
    assert_eq!(causes(&told(&store).await), [(RefusalCause::Full, 1)]);
    let count = async |store: &Store| -> i64 {
        sqlx::query_scalar("SELECT COUNT(*) FROM refusals").fetch_one(store.readers()).await.expect("count")
    };
    assert_eq!(count(&store).await, 1);
    for number in 0..10_500_u16 {
        store.refused(refusal(number + 10, RefusalCause::Full, 30_000 + i64::from(number)));
        if number == 5_000 {
            store.refusals.flush().await;
        }
    }
    store.refusals.flush().await;
    assert_eq!(count(&store).await, 10_000);
}
