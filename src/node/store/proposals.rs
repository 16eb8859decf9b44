//! What held objects propose that their study should say. Objects that agree make one proposal; a person, or a trusted
//! sender that sends the whole study, decides on it as a whole.

use std::collections::{BTreeMap, BTreeSet};

use dicom_object::Tag;

use super::conflicts::HeldObject;
use crate::dicom::content::{self, digest_of};
use crate::dicom::elements::DataSet;
use crate::dicom::{SeriesId, Uid};

/// Held objects that agree in every attribute of patient and study in which one that is held for the study differs from
/// the stored object.
#[derive(Debug, Clone, PartialEq)]
pub struct Proposal {
    /// Its name, a digest of what it says.
    pub id: String,
    /// Its objects, the newest of each SOP Instance UID, in order of these.
    pub objects: Vec<HeldObject>,
    /// The attributes of patient and study in question.
    pub tags: BTreeSet<Tag>,
    /// Digests of what the stored objects said that came again.
    replaced: BTreeSet<String>,
}

impl Proposal {
    /// The proposals that objects make, those of one study.
    pub fn all(held: Vec<HeldObject>) -> Vec<Self> {
        let tags: BTreeSet<Tag> = held.iter().flat_map(HeldObject::study_tags).collect();
        let mut proposals: BTreeMap<String, BTreeMap<Uid, HeldObject>> = BTreeMap::new();
        for object in held {
            let objects = proposals.entry(digest_of(&object.attributes, &tags)).or_default();
            let newest =
                objects.get(&object.sop_instance_uid).is_none_or(|other| other.received_at <= object.received_at);
            if newest {
                objects.insert(object.sop_instance_uid.clone(), object);
            }
        }
        let proposal = |(id, objects): (String, BTreeMap<Uid, HeldObject>)| Self {
            id,
            replaced: objects.values().map(|object| digest_of(&object.stored, &tags)).collect(),
            objects: objects.into_values().collect(),
            tags: tags.clone(),
        };
        proposals.into_iter().map(proposal).collect()
    }

    /// True if an object says of patient and study what is proposed.
    pub fn agrees(&self, header: &DataSet) -> bool {
        digest_of(header, &self.tags) == self.id
    }

    /// True if an object says of patient and study what one of those said that came again.
    pub fn is_of_replaced(&self, header: &DataSet) -> bool {
        self.replaced.contains(&digest_of(header, &self.tags))
    }

    /// True if objects of one series contradict each other in what only a series has in common.
    pub fn is_contradictory(&self) -> bool {
        let mut of_series: BTreeMap<&SeriesId, (BTreeSet<Tag>, Vec<&DataSet>)> = BTreeMap::new();
        for object in &self.objects {
            let (tags, said) = of_series.entry(&object.series).or_default();
            tags.extend(object.differing.iter().filter(|tag| content::is_of_patient(**tag)));
            said.push(&object.attributes);
        }
        of_series.values().any(|(tags, said)| {
            let digests: BTreeSet<String> = said.iter().map(|attributes| digest_of(attributes, tags)).collect();
            digests.len() > 1
        })
    }

    /// True if patient or study change, and not descriptions alone.
    pub fn changes_patient(&self) -> bool {
        self.objects.iter().any(|object| object.differing.iter().any(|tag| content::is_of_patient(*tag)))
    }

    /// The object of a series that came first in order, and the attributes that another one of the series takes from it; of
    /// any series, if none of this one came.
    pub fn example_for(&self, series: &SeriesId) -> Option<(&HeldObject, BTreeSet<Tag>)> {
        let of_series = self.objects.iter().find(|object| object.series == *series);
        let example = of_series.or_else(|| self.objects.first())?;
        let mut tags = self.tags.clone();
        if of_series.is_some() {
            tags.extend(example.differing.iter().copied().filter(|tag| content::is_of_patient(*tag)));
        }
        Some((example, tags))
    }
}

impl HeldObject {
    /// The attributes in which it differs that all objects of a study share.
    fn study_tags(&self) -> impl Iterator<Item = Tag> {
        self.differing.iter().copied().filter(|tag| content::is_of_study(*tag))
    }
}
