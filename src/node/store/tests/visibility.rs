//! What is listed and what is retrieved.

use dicom_dictionary_std::tags;
use strum::VariantArray;

use super::*;
use crate::dicom::elements::integer;
use crate::node::store::index::set_visibility;

/// A store with three slices of which the last has this visibility, and with a series of that one alone.
async fn with_hidden(visibility: Visibility, list_superseded: bool) -> (tempfile::TempDir, Store) {
    let (folder, archive) = archive().await;
    for (series, number) in [("1.1.1", 1), ("1.1.1", 2), ("1.1.1", 3), ("1.1.2", 4)] {
        archive.store(slice(STUDY, series, number, &[])).await.expect("store");
    }
    let store = archive.index().restarted(Rules { list_superseded, ..two_destinations() }).await;
    let mut change = store.database.begin().await.expect("begin");
    for hidden in ["1.1.1.3", "1.1.2.4"] {
        let changed = set_visibility(&mut change, &uid(hidden), Visibility::Current, visibility).await.expect("set");
        assert!(changed);
        let again = set_visibility(&mut change, &uid(hidden), Visibility::Current, visibility).await.expect("set");
        assert_eq!(again, visibility == Visibility::Current);
    }
    change.commit().await.expect("commit");
    (folder, store)
}

/// Numbers of studies, series and instances that a search lists, and of series and instances that it counts.
async fn listed(store: &Store) -> [usize; 5] {
    let query = Query { include: vec![tags::SOP_CLASSES_IN_STUDY], ..Query::default() };
    let mut listed = Vec::new();
    for level in [Level::Study, Level::Series, Level::Instance] {
        listed.push(store.find(level, &query).await.expect("search"));
    }
    let counted = |tag| listed[0].first().and_then(|study| integer(study, tag)).unwrap_or_default() as usize;
    let of_series: i64 =
        listed[1].iter().filter_map(|series| integer(series, tags::NUMBER_OF_SERIES_RELATED_INSTANCES)).sum();
    assert_eq!(of_series as usize, counted(tags::NUMBER_OF_STUDY_RELATED_INSTANCES));
    let [studies, series, instances] = [0, 1, 2].map(|level| listed[level].len());
    [
        studies,
        series,
        instances,
        counted(tags::NUMBER_OF_STUDY_RELATED_SERIES),
        counted(tags::NUMBER_OF_STUDY_RELATED_INSTANCES),
    ]
}

#[tokio::test]
async fn what_is_not_current_is_neither_listed_nor_counted_nor_retrieved() {
    for visibility in Visibility::VARIANTS {
        let (_folder, store) = with_hidden(*visibility, false).await;
        let all = *visibility == Visibility::Current;
        assert_eq!(listed(&store).await, if all { [1, 2, 4, 2, 4] } else { [1, 1, 2, 1, 2] }, "{visibility}");
        let retrieved = async |scope| store.instances(&scope).await.expect("instances").len();
        assert_eq!(retrieved(Scope::Study(uid(STUDY))).await, if all { 4 } else { 2 });
        assert_eq!(retrieved(Scope::Series(uid(STUDY), uid("1.1.2"))).await, usize::from(all));
        let by_identifier = Scope::Instance(uid(STUDY), uid("1.1.2"), uid("1.1.2.4"));
        let by_identifier = retrieved(by_identifier).await == 1;
        assert_eq!(by_identifier, all || *visibility == Visibility::Superseded, "{visibility}");
        assert_eq!(store.members(&series()).await.expect("members").len(), if all { 3 } else { 2 });
    }
}

#[tokio::test]
async fn superseded_results_are_listed_where_a_setting_says_so_and_others_never() {
    let (_folder, store) = with_hidden(Visibility::Superseded, true).await;
    assert_eq!(listed(&store).await, [1, 2, 4, 2, 4]);
    let (_folder, store) = with_hidden(Visibility::Withdrawn, true).await;
    assert_eq!(listed(&store).await, [1, 1, 2, 1, 2]);
}

#[tokio::test]
async fn a_study_is_not_found_by_what_is_hidden_in_it() {
    let (_folder, store) = with_hidden(Visibility::Rejected, false).await;
    for (tag, pattern, found) in [
        (tags::SOP_INSTANCE_UID, "1.1.1.1", 1),
        (tags::SOP_INSTANCE_UID, "1.1.2.4", 0),
        (tags::SERIES_INSTANCE_UID, "1.1.1", 1),
        (tags::SERIES_INSTANCE_UID, "1.1.2", 0),
    ] {
        let query = Query { matching: vec![(tag, pattern.to_owned())], ..Query::default() };
        assert_eq!(store.find(Level::Study, &query).await.expect("search").len(), found, "{pattern}");
    }
}

#[tokio::test]
async fn a_study_without_a_visible_instance_is_not_listed() {
    let (_folder, archive) = archive().await;
    archive.store(slice(STUDY, SERIES, 1, &[])).await.expect("store");
    let store = archive.index();
    let mut change = store.database.begin().await.expect("begin");
    set_visibility(&mut change, &uid("1.1.1.1"), Visibility::Current, Visibility::Rejected).await.expect("set");
    change.commit().await.expect("commit");
    assert_eq!(listed(store).await, [0; 5]);
    assert!(store.studies(9).await.expect("studies").is_empty());
}

#[tokio::test]
async fn pages_count_studies_and_not_their_instances() {
    let (_folder, archive, store) = opened().await;
    for study in 1..=3 {
        let (study, series) = (format!("1.{study}"), format!("1.{study}.1"));
        for number in 1..=3 {
            archive.store(slice(&study, &series, number, &[])).await.expect("store");
        }
    }
    for skipped in 0..=3 {
        let page = Page { limit: 10, start: Start::Skipping(skipped), state: None };
        let studies = store.studies(page).await.expect("studies");
        assert_eq!(studies.len(), 3 - skipped as usize, "after {skipped}");
        let query = Query { offset: skipped, ..Query::default() };
        let found = store.find(Level::Study, &query).await.expect("found");
        assert_eq!(found.len(), 3 - skipped as usize, "after {skipped}");
    }
}
