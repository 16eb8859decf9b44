//! What an association is accepted with ([PS3.8 7.1](https://dicom.nema.org/medical/dicom/current/output/chtml/part08/chapter_7.html),
//! PS3.7 annex D), decided without IO.

use std::net::IpAddr;

use dicom_dictionary_std::uids;
use dicom_ul::pdu::{
    AssociationAC, AssociationRJ, AssociationRJResult, AssociationRJServiceProviderASCEReason,
    AssociationRJServiceProviderPresentationReason, AssociationRJServiceUserReason, AssociationRJSource,
    PresentationContextResult, PresentationContextResultReason, RequestorRoles, UserVariableItem,
};

use super::association_request::{AssociationRequest, ProposedContext, UserIdentity};
use super::service::{Permissions, Service};
use crate::config::{DicomConfig, PeerConfig, UserIdentityConfig};
use crate::dicom::{implementation, transfer_syntax};
use crate::node::archive::Rights;

pub(super) const DICOM_APPLICATION_CONTEXT: &str = uids::DICOM_APPLICATION_CONTEXT;

/// What messages of all services but storage are exchanged in, and what every provider of storage accepts.
pub(super) const UNCOMPRESSED: [&str; 2] = [uids::EXPLICIT_VR_LITTLE_ENDIAN, uids::IMPLICIT_VR_LITTLE_ENDIAN];

/// The item that answers a user identity (PS3.7 table D.3-15), and its content for a user name, with or without a
/// passcode: a response of no bytes.
const USER_IDENTITY_RESPONSE: (u8, [u8; 2]) = (0x59, [0, 0]);
/// Types of a user identity that such a response belongs to: user name, user name and passcode.
const USER_NAMES: [u8; 2] = [1, 2];

/// A presentation context that was accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Context {
    pub(super) id: u8,
    pub(super) service: Service,
    pub(super) abstract_syntax: String,
    pub(super) transfer_syntax: String,
    /// True if the settings grant the service to the peer.
    pub(super) peer_may_use: bool,
    /// True if the peer takes objects of this class over the association (C-GET), or reports on commitments of its own.
    pub(super) peer_is_provider: bool,
}

/// An association that is accepted.
#[derive(Debug)]
pub(super) struct Accepted {
    pub(super) answer: AssociationAC,
    pub(super) contexts: Vec<Context>,
    pub(super) calling_ae_title: String,
    /// Those of the entries of `dicom.peers` that admit the caller.
    pub(super) rights: Rights,
    /// The longest PDU that the peer receives; 0 for no limit.
    pub(super) maximum_pdu: u32,
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
    #[error("it asks for a positive response to a user identity (dicom.user_identity)")]
    UserIdentity,
    #[error("dicom.maximum_associations are open")]
    Busy,
}

impl Refusal {
    /// The answer that says so (PS3.8 table 9-21). Only being busy passes with time.
    pub(super) fn answer(self) -> AssociationRJ {
        use AssociationRJServiceProviderASCEReason as Provider;
        use AssociationRJServiceUserReason as User;
        let user = |reason| (AssociationRJResult::Permanent, AssociationRJSource::ServiceUser(reason));
        let provider = |reason| (AssociationRJResult::Permanent, AssociationRJSource::ServiceProviderASCE(reason));
        let (result, source) = match self {
            Self::Caller => user(User::CallingAETitleNotRecognized),
            Self::Called => user(User::CalledAETitleNotRecognized),
            Self::ApplicationContext => user(User::ApplicationContextNameNotSupported),
            Self::ProtocolVersion => provider(Provider::ProtocolVersionNotSupported),
            // PS3.7 D.3.3.7: permanent, by the service provider, no reason given.
            Self::UserIdentity => provider(Provider::NoReasonGiven),
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
pub(super) fn negotiate(
    request: AssociationRequest,
    address: IpAddr,
    config: &DicomConfig,
) -> Result<Accepted, Refusal> {
    // PS3.8 9.3.2: only bit 0 is tested.
    if request.protocol_version & 1 == 0 {
        return Err(Refusal::ProtocolVersion);
    }
    if request.application_context != DICOM_APPLICATION_CONTEXT {
        return Err(Refusal::ApplicationContext);
    }
    if !is_called(&request.called_ae_title, config) {
        return Err(Refusal::Called);
    }
    let entries = || config.peers.iter().filter(|peer| admits(peer, &request.calling_ae_title, address));
    if entries().next().is_none() {
        return Err(Refusal::Caller);
    }
    let rights = Rights {
        may_correct: entries().any(|peer| peer.may_correct),
        may_reject: entries().any(|peer| peer.may_reject),
    };
    let identity_response = respond_to_identity(request.user_identity, config.user_identity)?;
    let terms = Terms { permissions: Permissions::of(entries()), roles: &request.roles };
    let decided: Vec<(PresentationContextResult, Option<Context>)> =
        request.contexts.iter().map(|context| terms.decide(context)).collect();
    let (results, contexts): (Vec<_>, Vec<_>) = decided.into_iter().unzip();
    let mut user_variables = vec![
        UserVariableItem::MaxLength(config.maximum_pdu_bytes),
        UserVariableItem::ImplementationClassUID(implementation::CLASS_UID.to_owned()),
        UserVariableItem::ImplementationVersionName(implementation::VERSION_NAME.to_owned()),
    ];
    user_variables.extend(terms.roles());
    user_variables.extend(terms.extended_negotiation(&request.extended));
    user_variables.extend(identity_response);
    Ok(Accepted {
        answer: AssociationAC {
            protocol_version: 1,
            application_context_name: DICOM_APPLICATION_CONTEXT.to_owned(),
            calling_ae_title: request.calling_ae_title.clone(),
            called_ae_title: request.called_ae_title,
            presentation_contexts: results,
            user_variables,
        },
        contexts: contexts.into_iter().flatten().collect(),
        calling_ae_title: request.calling_ae_title,
        rights,
        maximum_pdu: request.maximum_pdu,
    })
}

/// On what terms a peer's proposals are accepted.
struct Terms<'a> {
    permissions: Permissions,
    roles: &'a [(String, RequestorRoles)],
}

impl Terms<'_> {
    fn decide(&self, proposed: &ProposedContext) -> (PresentationContextResult, Option<Context>) {
        use PresentationContextResultReason as Reason;
        let refused = |reason| {
            let transfer_syntax = uids::IMPLICIT_VR_LITTLE_ENDIAN.to_owned();
            (PresentationContextResult { id: proposed.id, reason, transfer_syntax }, None)
        };
        let abstract_syntax = proposed.abstract_syntax.as_str();
        let Some(service) = Service::of(abstract_syntax) else { return refused(Reason::AbstractSyntaxNotSupported) };
        let peer_may_use = self.permissions.allow(service);
        let peer_is_provider = self.accepted_roles(abstract_syntax).is_some_and(|roles| roles.scp);
        let reports = service == Service::Commitment && peer_is_provider;
        if !peer_may_use && !reports {
            let setting = service.permission();
            tracing::info!(
                abstract_syntax,
                setting,
                "a service is refused to a peer that the settings do not grant it"
            );
            return refused(Reason::UserRejection);
        }
        let Some(transfer_syntax) = choose(service, peer_is_provider, &proposed.transfer_syntaxes) else {
            return refused(Reason::TransferSyntaxesNotSupported);
        };
        let context = Context {
            id: proposed.id,
            service,
            abstract_syntax: abstract_syntax.to_owned(),
            transfer_syntax: transfer_syntax.to_owned(),
            peer_may_use,
            peer_is_provider,
        };
        let transfer_syntax = transfer_syntax.to_owned();
        (PresentationContextResult { id: proposed.id, reason: Reason::Acceptance, transfer_syntax }, Some(context))
    }

    /// The roles that the peer gets of those it proposes for a class; `None` where it proposes none
    /// ([PS3.7 D.3.3.4](https://dicom.nema.org/medical/dicom/current/output/chtml/part07/sect_D.3.3.4.html)).
    fn accepted_roles(&self, abstract_syntax: &str) -> Option<RequestorRoles> {
        let (_, proposed) = self.roles.iter().find(|(class, _)| class == abstract_syntax)?;
        let service = Service::of(abstract_syntax)?;
        let may_provide = match service {
            Service::Storage => self.permissions.allow_retrieval(),
            // Reports on what the node asked a destination to keep. What it did not ask for changes nothing.
            Service::Commitment => true,
            Service::Verification | Service::Find(_) | Service::Move(_) | Service::Get(_) => false,
        };
        let may_use = self.permissions.allow(service);
        Some(RequestorRoles { scu: proposed.scu && may_use, scp: proposed.scp && may_provide })
    }

    fn roles(&self) -> impl Iterator<Item = UserVariableItem> {
        self.roles.iter().filter_map(|(class, _)| {
            let roles = self.accepted_roles(class)?;
            Some(UserVariableItem::ScuScpRoleSelectionSubItem(class.clone(), roles))
        })
    }

    /// Of the extended negotiation of queries, relational queries alone are accepted: the first byte (PS3.4 C.5.1.1).
    fn extended_negotiation(&self, proposed: &[(String, Vec<u8>)]) -> impl Iterator<Item = UserVariableItem> {
        proposed.iter().filter_map(|(class, options)| {
            let service = Service::of(class).filter(|service| self.permissions.allow(*service))?;
            let relational = u8::from(options.first() == Some(&1));
            matches!(service, Service::Find(_) | Service::Move(_) | Service::Get(_))
                .then(|| UserVariableItem::SopClassExtendedNegotiationSubItem(class.clone(), vec![relational]))
        })
    }
}

/// The transfer syntax of a context. Where the peer sends objects, it is the first of its proposals that decodes here.
/// Where it takes objects, it is an uncompressed one if there is one: each object can be turned into that.
fn choose(service: Service, peer_is_provider: bool, proposed: &[String]) -> Option<&str> {
    let among = |offered: &[&str]| proposed.iter().map(String::as_str).find(|uid| offered.contains(uid));
    match service {
        Service::Storage if peer_is_provider => among(&UNCOMPRESSED).or_else(|| among(&transfer_syntax::ACCEPTED)),
        Service::Verification | Service::Storage => among(&transfer_syntax::ACCEPTED),
        Service::Find(_) | Service::Move(_) | Service::Get(_) | Service::Commitment => among(&UNCOMPRESSED),
    }
}

/// The response to a user identity, if one is asked for and settings allow it.
fn respond_to_identity(
    identity: Option<UserIdentity>,
    setting: UserIdentityConfig,
) -> Result<Option<UserVariableItem>, Refusal> {
    let Some(identity) = identity.filter(|identity| identity.positive_response_requested) else { return Ok(None) };
    match setting {
        UserIdentityConfig::Ignore => Ok(None),
        UserIdentityConfig::Reject => Err(Refusal::UserIdentity),
        UserIdentityConfig::Acknowledge => {
            let (item_type, content) = USER_IDENTITY_RESPONSE;
            let response = || UserVariableItem::Unknown(item_type, content.to_vec());
            // Tickets and assertions are answered by what only a check can give.
            Ok(USER_NAMES.contains(&identity.identity_type).then(response))
        }
    }
}

fn is_called(title: &str, config: &DicomConfig) -> bool {
    let own = config.ae_title.as_str();
    title == own || (config.called_title_in_any_case && title.eq_ignore_ascii_case(own))
}

/// True if some entry of `dicom.peers` can admit a caller from `address`, whatever its title.
pub(super) fn knows_network(address: IpAddr, config: &DicomConfig) -> bool {
    config.peers.iter().any(|peer| peer.network.contains(address))
}

fn admits(peer: &PeerConfig, calling_ae_title: &str, address: IpAddr) -> bool {
    let title = peer.ae_title.trim_matches([' ', '\0']);
    (title == "*" || title == calling_ae_title) && peer.network.contains(address)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    const CT: &str = "1.2.840.10008.5.1.4.1.1.2";

    fn config(overrides: &[&str]) -> DicomConfig {
        Config::from_defaults(overrides).expect("settings").dicom
    }

    fn request(called: &str, contexts: &[(&str, &[&str])]) -> AssociationRequest {
        let propose = |(index, (abstract_syntax, syntaxes)): (usize, &(&str, &[&str]))| ProposedContext {
            id: index as u8 * 2 + 1,
            abstract_syntax: (*abstract_syntax).to_owned(),
            transfer_syntaxes: syntaxes.iter().map(|uid| (*uid).to_owned()).collect(),
        };
        AssociationRequest {
            protocol_version: 1,
            calling_ae_title: "CT-1".to_owned(),
            called_ae_title: called.to_owned(),
            application_context: DICOM_APPLICATION_CONTEXT.to_owned(),
            contexts: contexts.iter().enumerate().map(propose).collect(),
            ..AssociationRequest::default()
        }
    }

    fn negotiated(request: AssociationRequest, overrides: &[&str]) -> Result<Accepted, Refusal> {
        negotiate(request, address("127.0.0.1"), &config(overrides))
    }

    fn address(text: &str) -> IpAddr {
        text.parse().expect("address")
    }

    #[test]
    fn the_senders_first_transfer_syntax_that_decodes_is_accepted() {
        let contexts: [(&str, &[&str]); 6] = [
            (CT, &[uids::JPEG_EXTENDED12_BIT, uids::JPEG2000_LOSSLESS, uids::EXPLICIT_VR_LITTLE_ENDIAN]),
            (uids::VERIFICATION, &[uids::IMPLICIT_VR_LITTLE_ENDIAN]),
            ("1.2.840.10008.5.1.4.1.1.999.1", &[uids::EXPLICIT_VR_LITTLE_ENDIAN]),
            ("1.2.840.10008.5.1.4.31", &[uids::EXPLICIT_VR_LITTLE_ENDIAN]),
            (CT, &["1.2.3"]),
            (CT, &[uids::HTJ2K_LOSSLESS]),
        ];
        let accepted = negotiated(request("PE-NODE", &contexts), &[]).expect("an association");
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

    const FIND: &str = uids::STUDY_ROOT_QUERY_RETRIEVE_INFORMATION_MODEL_FIND;
    const GET: &str = uids::STUDY_ROOT_QUERY_RETRIEVE_INFORMATION_MODEL_GET;

    fn granting(permissions: &str) -> String {
        format!("dicom.peers=[{{ ae_title = \"CT-1\", network = \"127.0.0.1\", {permissions} }}]")
    }

    #[test]
    fn services_are_granted_by_name() {
        let syntaxes = [uids::IMPLICIT_VR_LITTLE_ENDIAN];
        let classes = [FIND, GET, uids::STORAGE_COMMITMENT_PUSH_MODEL];
        let contexts = classes.map(|class| (class, &syntaxes[..]));
        let granted = |overrides: &[&str]| {
            let accepted = negotiated(request("PE-NODE", &contexts), overrides).expect("an association");
            accepted.contexts.iter().map(|context| context.id).collect::<Vec<u8>>()
        };
        assert_eq!(granted(&[]), Vec::<u8>::new(), "nothing is granted unasked");
        for (permission, ids) in [("may_query = true", [1]), ("may_retrieve = true", [3]), ("may_commit = true", [5])] {
            assert_eq!(granted(&[granting(permission).as_str()]), ids, "{permission}");
        }
        let accepted = negotiated(request("PE-NODE", &contexts), &[]).expect("an association");
        let reasons = accepted.answer.presentation_contexts.iter().map(|result| result.reason.clone());
        assert!(reasons.into_iter().all(|reason| reason == PresentationContextResultReason::UserRejection));
    }

    #[test]
    fn who_may_retrieve_gets_the_role_of_a_provider_and_uncompressed_objects() {
        let proposed = [uids::JPEG2000_LOSSLESS, uids::EXPLICIT_VR_LITTLE_ENDIAN];
        let roles = RequestorRoles { scu: false, scp: true };
        let asked =
            AssociationRequest { roles: vec![(CT.to_owned(), roles)], ..request("PE-NODE", &[(CT, &proposed)]) };
        let granting = granting("may_retrieve = true");
        for (overrides, scp, syntax) in
            [(&[granting.as_str()][..], true, uids::EXPLICIT_VR_LITTLE_ENDIAN), (&[], false, uids::JPEG2000_LOSSLESS)]
        {
            let accepted = negotiated(asked.clone(), overrides).expect("an association");
            let answered = UserVariableItem::ScuScpRoleSelectionSubItem(CT.to_owned(), RequestorRoles { scp, ..roles });
            assert!(accepted.answer.user_variables.contains(&answered));
            let context = &accepted.contexts[0];
            assert_eq!((context.peer_is_provider, context.transfer_syntax.as_str()), (scp, syntax));
        }
    }

    #[test]
    fn relational_queries_are_accepted_where_they_are_asked_for() {
        let extended = vec![(FIND.to_owned(), vec![1, 1, 1])];
        let asked = AssociationRequest { extended, ..request("PE-NODE", &[]) };
        let accepted = negotiated(asked, &[granting("may_query = true").as_str()]).expect("an association");
        let answered = UserVariableItem::SopClassExtendedNegotiationSubItem(FIND.to_owned(), vec![1]);
        assert!(accepted.answer.user_variables.contains(&answered));
    }

    #[test]
    fn a_user_identity_is_answered_as_the_settings_say() {
        let asked = |identity_type, positive_response_requested| AssociationRequest {
            user_identity: Some(UserIdentity { identity_type, positive_response_requested }),
            ..request("PE-NODE", &[])
        };
        let answered =
            |accepted: Accepted| accepted.answer.user_variables.contains(&UserVariableItem::Unknown(0x59, vec![0, 0]));
        assert_eq!(negotiated(asked(1, true), &[]).map(answered), Ok(false), "nothing was checked");
        let acknowledge = ["dicom.user_identity=acknowledge"];
        for (identity_type, requested, expected) in
            [(1, true, true), (2, true, true), (2, false, false), (3, true, false)]
        {
            let accepted = negotiated(asked(identity_type, requested), &acknowledge);
            assert_eq!(accepted.map(answered), Ok(expected), "type {identity_type}");
        }
        let reject = ["dicom.user_identity=reject"];
        assert_eq!(negotiated(asked(1, true), &reject).map(answered), Err(Refusal::UserIdentity));
        assert_eq!(negotiated(asked(1, false), &reject).map(answered), Ok(false));
    }

    #[test]
    fn the_called_title_is_taken_in_any_case_where_the_settings_say_so() {
        let called = |overrides: &[&str]| negotiated(request("pe-node", &[]), overrides).err();
        assert_eq!(called(&[]), Some(Refusal::Called));
        assert_eq!(called(&["dicom.called_title_in_any_case=true"]), None);
    }
}
