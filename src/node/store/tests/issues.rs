//! Issues of a result: other identifiers where the first ones cannot be used.

use super::*;

/// A report with a comment, in a series of its own.
fn report(series: &str, comment: &str) -> ReceivedInstance {
    let comment = (dicom_dictionary_std::tags::IMAGE_COMMENTS, dicom_core::VR::LT, comment);
    ReceivedInstance { origin: Origin::Analysis, ..slice(STUDY, series, 1, &[comment]) }
}

fn naming(series: &str) -> AnalysisSummary {
    let reference = ResultReference {
        kind: ResultKind::Sr,
        series_instance_uid: uid(series),
        sop_instance_uid: uid(&format!("{series}.1")),
    };
    testing::analysed(|summary| summary.results = vec![reference])
}

async fn from_outside(archive: &Archive, comment: &str) {
    let origin = Origin::Stow { address: "127.0.0.1".to_owned() };
    archive.store(ReceivedInstance { origin, ..report("2.25.1", comment) }).await.expect("store");
}

/// A PACS had sent the results of the node to another one that analyses the same images.
#[tokio::test]
async fn a_result_whose_identifier_another_object_has_is_made_again_under_another() {
    let (_folder, archive, store) = opened().await;
    from_outside(&archive, "of another node").await;
    let id = analyse(&store, 1..=3, 1).await;
    let job = store.claim(at(0)).await.expect("claim").expect("due");
    let own = archive.keep(report("2.25.1", "own")).await.expect("keep");
    store.finish(&job, &naming("2.25.1"), &[own], at(1)).await.expect("finish");
    let again = store.claim(at(2)).await.expect("claim").expect("due at once");
    assert_eq!((&again.id, job.issue, again.issue, again.attempts), (&id, 0, 1, 1), "no attempt is lost");
    let own = archive.keep(report("2.25.2", "own")).await.expect("keep");
    store.finish(&again, &naming("2.25.2"), &[own], at(3)).await.expect("finish");
    let series = state(&store).await;
    assert_eq!((series.state, series.results.len()), (SeriesProgress::Job(JobState::Analysed), 1));
    assert_eq!(series.results[0].sop_instance_uid, uid("2.25.2.1"));
    let foreign = Scope::Instance(uid(STUDY), uid("2.25.1"), uid("2.25.1.1"));
    assert!(!store.instances(&foreign).await.expect("instances")[0].is_result);
    // Jobs of later versions go on with this issue: what they find in the same slices has the same identifiers.
    analyse(&store, 1..=4, 2).await;
    assert_eq!(store.claim(at(4)).await.expect("claim").expect("due").issue, 1);
}

#[tokio::test]
async fn a_result_that_came_back_as_it_is_made_is_the_nodes_own() {
    let (_folder, archive, store) = opened().await;
    from_outside(&archive, "own").await;
    analyse(&store, 1..=3, 1).await;
    let job = store.claim(at(0)).await.expect("claim").expect("due");
    let own = archive.keep(report("2.25.1", "own")).await.expect("keep");
    store.finish(&job, &naming("2.25.1"), &[own], at(1)).await.expect("finish");
    assert_eq!(state(&store).await.results.len(), 1);
    let result = Scope::Instance(uid(STUDY), uid("2.25.1"), uid("2.25.1.1"));
    assert!(store.instances(&result).await.expect("instances")[0].is_result);
    assert_eq!(store.claim_due("a", 9, at(2)).await.expect("claim").len(), 1);
}
