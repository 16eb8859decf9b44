//! What a presentation context is for, by its abstract syntax
//! ([PS3.4](https://dicom.nema.org/medical/dicom/current/output/chtml/part04/PS3.4.html)), and who may use it.

use dicom_dictionary_std::uids;

use crate::config::PeerConfig;

/// The information model of a query: where its levels begin (PS3.4 C.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Root {
    Patient,
    Study,
}

/// A service that this node provides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Service {
    Verification,
    Storage,
    Find(Root),
    Move(Root),
    Get(Root),
    Commitment,
}

/// The standard's branch for storage, in which new classes appear every year.
pub(super) const STORAGE_CLASSES: &str = "1.2.840.10008.5.1.4.1.1.";

/// Every service with a SOP class of its own.
pub(super) const SERVICES: [(&str, Service); 8] = [
    (uids::VERIFICATION, Service::Verification),
    (uids::PATIENT_ROOT_QUERY_RETRIEVE_INFORMATION_MODEL_FIND, Service::Find(Root::Patient)),
    (uids::PATIENT_ROOT_QUERY_RETRIEVE_INFORMATION_MODEL_MOVE, Service::Move(Root::Patient)),
    (uids::PATIENT_ROOT_QUERY_RETRIEVE_INFORMATION_MODEL_GET, Service::Get(Root::Patient)),
    (uids::STUDY_ROOT_QUERY_RETRIEVE_INFORMATION_MODEL_FIND, Service::Find(Root::Study)),
    (uids::STUDY_ROOT_QUERY_RETRIEVE_INFORMATION_MODEL_MOVE, Service::Move(Root::Study)),
    (uids::STUDY_ROOT_QUERY_RETRIEVE_INFORMATION_MODEL_GET, Service::Get(Root::Study)),
    (uids::STORAGE_COMMITMENT_PUSH_MODEL, Service::Commitment),
];

impl Service {
    /// The service of an abstract syntax, if this node provides it.
    pub(super) fn of(abstract_syntax: &str) -> Option<Self> {
        let own = SERVICES.into_iter().find(|(uid, _)| *uid == abstract_syntax);
        own.map(|(_, service)| service)
            .or_else(|| abstract_syntax.starts_with(STORAGE_CLASSES).then_some(Self::Storage))
    }

    /// The key of `dicom.peers` that grants the service; `None` where every peer may use it.
    pub(super) fn permission(self) -> Option<&'static str> {
        match self {
            Self::Verification | Self::Storage => None,
            Self::Find(_) => Some("may_query"),
            Self::Move(_) | Self::Get(_) => Some("may_retrieve"),
            Self::Commitment => Some("may_commit"),
        }
    }
}

/// What a peer may do beyond sending objects.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Permissions {
    query: bool,
    retrieve: bool,
    commit: bool,
}

impl Permissions {
    /// What any of the entries that admit a peer grants.
    pub(super) fn of<'a>(entries: impl IntoIterator<Item = &'a PeerConfig>) -> Self {
        entries.into_iter().fold(Self::default(), |so_far, entry| Self {
            query: so_far.query | entry.may_query,
            retrieve: so_far.retrieve | entry.may_retrieve,
            commit: so_far.commit | entry.may_commit,
        })
    }

    /// True if the peer may use the service.
    pub(super) fn allow(self, service: Service) -> bool {
        match service {
            Service::Verification | Service::Storage => true,
            Service::Find(_) => self.query,
            Service::Move(_) | Service::Get(_) => self.retrieve,
            Service::Commitment => self.commit,
        }
    }

    /// True if objects may be sent back to the peer over its own association (C-GET).
    pub(super) fn allow_retrieval(self) -> bool {
        self.retrieve
    }
}
