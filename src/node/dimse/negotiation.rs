//! What an association is accepted with ([PS3.8 7.1](https://dicom.nema.org/medical/dicom/current/output/chtml/part08/chapter_7.html),
//! PS3.7 annex D), decided without IO.

use std::net::IpAddr;

use dicom_dictionary_std::uids;
use dicom_ul::pdu::{
    AssociationAC, AssociationRJ, AssociationRJResult, AssociationRJServiceProviderPresentationReason,
    AssociationRJServiceUserReason, AssociationRJSource, AssociationRQ, PresentationContextProposed,
    PresentationContextResult, PresentationContextResultReason, UserVariableItem,
};

use super::VERIFICATION;
use crate::config::{DicomConfig, PeerConfig};
use crate::dicom::sop_class::is_storage_class;
use crate::dicom::{implementation, transfer_syntax};

const DICOM_APPLICATION_CONTEXT: &str = "1.2.840.10008.3.1.1.1";

/// A presentation context that was accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Context {
    pub(super) id: u8,
    pub(super) abstract_syntax: String,
    pub(super) transfer_syntax: String,
}

/// An association that is accepted.
#[derive(Debug)]
pub(super) struct Accepted {
    pub(super) answer: AssociationAC,
    pub(super) contexts: Vec<Context>,
    pub(super) calling_ae_title: String,
}

/// Why an association is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    #[error("the calling AE title is not allowed from this network; add it to dicom.peers")]
    Caller,
    #[error("the called AE title is not this node's (dicom.ae_title)")]
    Called,
    #[error("the application context is not DICOM's")]
    ApplicationContext,
    #[error("the protocol version is not 1")]
    ProtocolVersion,
    #[error("dicom.maximum_associations are open")]
    Busy,
}

impl Refusal {
    /// The answer that says so (PS3.8 table 9-21). Only being busy passes with time.
    pub(super) fn answer(self) -> AssociationRJ {
        use AssociationRJServiceUserReason as User;
        let user = |reason| (AssociationRJResult::Permanent, AssociationRJSource::ServiceUser(reason));
        let (result, source) = match self {
            Self::Caller => user(User::CallingAETitleNotRecognized),
            Self::Called => user(User::CalledAETitleNotRecognized),
            Self::ApplicationContext => user(User::ApplicationContextNameNotSupported),
            Self::ProtocolVersion => user(User::NoReasonGiven),
            Self::Busy => (
                AssociationRJResult::Transient,
                AssociationRJSource::ServiceProviderPresentation(
                    AssociationRJServiceProviderPresentationReason::LocalLimitExceeded,
                ),
            ),
        };
        AssociationRJ { result, source }
    }
}

/// Decides on a request from `address`.
pub(super) fn negotiate(request: AssociationRQ, address: IpAddr, config: &DicomConfig) -> Result<Accepted, Refusal> {
    // PS3.8 9.3.2: only bit 0 is tested.
    if request.protocol_version & 1 == 0 {
        return Err(Refusal::ProtocolVersion);
    }
    if trim(&request.application_context_name) != DICOM_APPLICATION_CONTEXT {
        return Err(Refusal::ApplicationContext);
    }
    if trim(&request.called_ae_title) != config.ae_title.as_str() {
        return Err(Refusal::Called);
    }
    let calling_ae_title = trim(&request.calling_ae_title).to_owned();
    if !config.peers.iter().any(|peer| admits(peer, &calling_ae_title, address)) {
        return Err(Refusal::Caller);
    }
    let results: Vec<(PresentationContextResult, String)> = request.presentation_contexts.iter().map(decide).collect();
    let contexts = results
        .iter()
        .filter(|(result, _)| result.reason == PresentationContextResultReason::Acceptance)
        .map(|(result, abstract_syntax)| Context {
            id: result.id,
            abstract_syntax: abstract_syntax.clone(),
            transfer_syntax: result.transfer_syntax.clone(),
        })
        .collect();
    Ok(Accepted {
        answer: AssociationAC {
            protocol_version: 1,
            application_context_name: DICOM_APPLICATION_CONTEXT.to_owned(),
            calling_ae_title: request.calling_ae_title,
            called_ae_title: request.called_ae_title,
            presentation_contexts: results.into_iter().map(|(result, _)| result).collect(),
            user_variables: vec![
                UserVariableItem::MaxLength(config.maximum_pdu_bytes),
                UserVariableItem::ImplementationClassUID(implementation::CLASS_UID.to_owned()),
                UserVariableItem::ImplementationVersionName(implementation::VERSION_NAME.to_owned()),
            ],
        },
        contexts,
        calling_ae_title,
    })
}

fn decide(proposed: &PresentationContextProposed) -> (PresentationContextResult, String) {
    let abstract_syntax = trim(&proposed.abstract_syntax).to_owned();
    let known = abstract_syntax == VERIFICATION || is_storage_class(&abstract_syntax);
    // The first one that is accepted is the one that the sender has the object in.
    let chosen = proposed.transfer_syntaxes.iter().map(|uid| trim(uid)).find(|uid| transfer_syntax::is_accepted(uid));
    let (reason, transfer_syntax) = match chosen {
        _ if !known => (PresentationContextResultReason::AbstractSyntaxNotSupported, uids::IMPLICIT_VR_LITTLE_ENDIAN),
        None => (PresentationContextResultReason::TransferSyntaxesNotSupported, uids::IMPLICIT_VR_LITTLE_ENDIAN),
        Some(uid) => (PresentationContextResultReason::Acceptance, uid),
    };
    (
        PresentationContextResult { id: proposed.id, reason, transfer_syntax: transfer_syntax.to_owned() },
        abstract_syntax,
    )
}

/// True if some entry of `dicom.peers` can admit a caller from `address`, whatever its title.
pub(super) fn knows_network(address: IpAddr, config: &DicomConfig) -> bool {
    config.peers.iter().any(|peer| peer.network.contains(address))
}

fn admits(peer: &PeerConfig, calling_ae_title: &str, address: IpAddr) -> bool {
    (peer.ae_title == "*" || trim(&peer.ae_title) == calling_ae_title) && peer.network.contains(address)
}

fn trim(text: &str) -> &str {
    text.trim_matches([' ', '\0'])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    const CT: &str = "1.2.840.10008.5.1.4.1.1.2";

    fn config(overrides: &[&str]) -> DicomConfig {
        Config::from_defaults(overrides).expect("settings").dicom
    }

    fn request(called: &str, contexts: &[(&str, &[&str])]) -> AssociationRQ {
        let propose = |(index, (abstract_syntax, syntaxes)): (usize, &(&str, &[&str]))| PresentationContextProposed {
            id: index as u8 * 2 + 1,
            abstract_syntax: (*abstract_syntax).to_owned(),
            transfer_syntaxes: syntaxes.iter().map(|uid| (*uid).to_owned()).collect(),
        };
        AssociationRQ {
            protocol_version: 1,
            calling_ae_title: "CT-1".to_owned(),
            called_ae_title: called.to_owned(),
            application_context_name: DICOM_APPLICATION_CONTEXT.to_owned(),
            presentation_contexts: contexts.iter().enumerate().map(propose).collect(),
            user_variables: Vec::new(),
        }
    }

    fn address(text: &str) -> IpAddr {
        text.parse().expect("address")
    }

    #[test]
    fn the_senders_first_transfer_syntax_that_decodes_is_accepted() {
        let contexts: [(&str, &[&str]); 6] = [
            (CT, &[uids::JPEG_EXTENDED12_BIT, uids::JPEG2000_LOSSLESS, uids::EXPLICIT_VR_LITTLE_ENDIAN]),
            (VERIFICATION, &[uids::IMPLICIT_VR_LITTLE_ENDIAN]),
            ("1.2.840.10008.5.1.4.1.1.999.1\0", &[uids::EXPLICIT_VR_LITTLE_ENDIAN]),
            ("1.2.840.10008.5.1.4.1.2.2.1", &[uids::EXPLICIT_VR_LITTLE_ENDIAN]),
            (CT, &["1.2.3"]),
            (CT, &[uids::HTJ2K_LOSSLESS]),
        ];
        let accepted =
            negotiate(request("PE-NODE", &contexts), address("127.0.0.1"), &config(&[])).expect("an association");
        let ids: Vec<u8> = accepted.contexts.iter().map(|context| context.id).collect();
        assert_eq!(ids, [1, 3, 5, 11]);
        assert_eq!(accepted.contexts[0].transfer_syntax, uids::JPEG2000_LOSSLESS);
        let reasons: Vec<_> =
            accepted.answer.presentation_contexts.iter().map(|result| result.reason.clone()).collect();
        assert_eq!(reasons[3], PresentationContextResultReason::AbstractSyntaxNotSupported);
        assert_eq!(reasons[4], PresentationContextResultReason::TransferSyntaxesNotSupported);
    }

    #[test]
    fn strangers_and_wrong_titles_are_refused_for_good_and_the_busy_node_for_now() {
        let refusal = |called: &str, from: &str, config: &DicomConfig| {
            negotiate(request(called, &[]), address(from), config).err()
        };
        let default = config(&[]);
        assert_eq!(refusal("PE-NODE", "127.0.0.1", &default), None);
        assert_eq!(refusal("PE-NODE", "::ffff:127.0.0.1", &default), None);
        assert_eq!(refusal("PE-NODE", "192.168.1.9", &default), Some(Refusal::Caller));
        assert_eq!(refusal("OTHER", "127.0.0.1", &default), Some(Refusal::Called));
        let named = config(&["dicom.peers=[{ ae_title = \"CT-2\", network = \"192.168.0.0/16\" }]"]);
        assert_eq!(refusal("PE-NODE", "192.168.1.9", &named), Some(Refusal::Caller));
        assert_eq!(Refusal::Caller.answer().result, AssociationRJResult::Permanent);
        assert_eq!(Refusal::Busy.answer().result, AssociationRJResult::Transient);
    }
}
