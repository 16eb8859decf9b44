//! The A-ASSOCIATE-RQ ([PS3.8 9.3.2](https://dicom.nema.org/medical/dicom/current/output/chtml/part08/sect_9.3.2.html),
//! [PS3.7 D.3.3](https://dicom.nema.org/medical/dicom/current/output/chtml/part07/sect_D.3.3.html)), read without IO.
//!
//! Items and sub-items of unknown types are passed over, as PS3.8 9.3.1 demands; dicom-ul 0.10 refuses the request because
//! of them.

use dicom_ul::pdu::RequestorRoles;

/// The type of this PDU.
pub(super) const PDU_TYPE: u8 = 0x01;

/// Item types (PS3.8 tables 9-12 to 9-16, PS3.7 annex D.3.3).
mod item {
    pub(super) const APPLICATION_CONTEXT: u8 = 0x10;
    pub(super) const PRESENTATION_CONTEXT: u8 = 0x20;
    pub(super) const ABSTRACT_SYNTAX: u8 = 0x30;
    pub(super) const TRANSFER_SYNTAX: u8 = 0x40;
    pub(super) const USER_INFORMATION: u8 = 0x50;
    pub(super) const MAXIMUM_LENGTH: u8 = 0x51;
    pub(super) const ROLE_SELECTION: u8 = 0x54;
    pub(super) const EXTENDED_NEGOTIATION: u8 = 0x56;
    pub(super) const USER_IDENTITY: u8 = 0x58;
}

/// A request for an association, as far as this node understands it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct AssociationRequest {
    pub(super) protocol_version: u16,
    pub(super) called_ae_title: String,
    pub(super) calling_ae_title: String,
    pub(super) application_context: String,
    pub(super) contexts: Vec<ProposedContext>,
    /// The longest PDU that the peer receives; 0 for no limit.
    pub(super) maximum_pdu: u32,
    /// Roles that the peer proposes for a SOP class.
    pub(super) roles: Vec<(String, RequestorRoles)>,
    /// Extended negotiation of a SOP class: what the service says with it.
    pub(super) extended: Vec<(String, Vec<u8>)>,
    pub(super) user_identity: Option<UserIdentity>,
}

/// A presentation context as it is proposed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct ProposedContext {
    pub(super) id: u8,
    pub(super) abstract_syntax: String,
    pub(super) transfer_syntaxes: Vec<String>,
}

/// A user that the peer names. What proves it is not read: nothing here checks it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct UserIdentity {
    pub(super) identity_type: u8,
    pub(super) positive_response_requested: bool,
}

/// Why bytes are not an association request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum RequestError {
    #[error("the association request ends within its {0}")]
    Truncated(&'static str),
}

impl AssociationRequest {
    /// Reads what follows type and length of the PDU.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, RequestError> {
        let mut fields = Fields(bytes);
        let mut request = Self { protocol_version: fields.short("protocol version")?, ..Self::default() };
        fields.take(2, "reserved field")?;
        request.called_ae_title = text(fields.take(16, "called AE title")?);
        request.calling_ae_title = text(fields.take(16, "calling AE title")?);
        fields.take(32, "reserved field")?;
        while let Some((item_type, content)) = fields.item()? {
            match item_type {
                item::APPLICATION_CONTEXT => request.application_context = text(content),
                item::PRESENTATION_CONTEXT => request.contexts.push(ProposedContext::parse(content)?),
                item::USER_INFORMATION => request.read_user_information(content)?,
                _ => {}
            }
        }
        Ok(request)
    }

    fn read_user_information(&mut self, bytes: &[u8]) -> Result<(), RequestError> {
        let mut fields = Fields(bytes);
        while let Some((item_type, content)) = fields.item()? {
            let mut content = Fields(content);
            match item_type {
                item::MAXIMUM_LENGTH => self.maximum_pdu = content.long("maximum length")?,
                item::ROLE_SELECTION => {
                    let class = content.sized("role selection")?;
                    let roles = content.take(2, "role selection")?;
                    self.roles.push((text(class), RequestorRoles { scu: roles[0] != 0, scp: roles[1] != 0 }));
                }
                item::EXTENDED_NEGOTIATION => {
                    let class = content.sized("extended negotiation")?;
                    self.extended.push((text(class), content.0.to_vec()));
                }
                item::USER_IDENTITY => {
                    let identity = content.take(2, "user identity")?;
                    self.user_identity = Some(UserIdentity {
                        identity_type: identity[0],
                        positive_response_requested: identity[1] == 1,
                    });
                }
                _ => {}
            }
        }
        Ok(())
    }
}

impl ProposedContext {
    fn parse(bytes: &[u8]) -> Result<Self, RequestError> {
        let mut fields = Fields(bytes);
        let mut context = Self { id: fields.take(4, "presentation context")?[0], ..Self::default() };
        while let Some((item_type, content)) = fields.item()? {
            match item_type {
                item::ABSTRACT_SYNTAX => context.abstract_syntax = text(content),
                item::TRANSFER_SYNTAX => context.transfer_syntaxes.push(text(content)),
                _ => {}
            }
        }
        Ok(context)
    }
}

/// Bytes that are not read yet.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn take(&mut self, length: usize, what: &'static str) -> Result<&'a [u8], RequestError> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(RequestError::Truncated(what))?;
        self.0 = rest;
        Ok(taken)
    }

    fn short(&mut self, what: &'static str) -> Result<u16, RequestError> {
        let bytes = self.take(2, what)?;
        Ok(u16::from_be_bytes([bytes[0], bytes[1]]))
    }

    fn long(&mut self, what: &'static str) -> Result<u32, RequestError> {
        Ok(u32::from(self.short(what)?) << 16 | u32::from(self.short(what)?))
    }

    /// A field that its length of two bytes stands before.
    fn sized(&mut self, what: &'static str) -> Result<&'a [u8], RequestError> {
        let length = self.short(what)?;
        self.take(usize::from(length), what)
    }

    /// The next item, by its type; `None` at the end.
    fn item(&mut self) -> Result<Option<(u8, &'a [u8])>, RequestError> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let item_type = self.take(2, "items")?[0];
        Ok(Some((item_type, self.sized("items")?)))
    }
}

/// Text without padding. What is not ASCII matches nothing that this node knows.
fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim_matches([' ', '\0']).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(item_type: u8, content: &[u8]) -> Vec<u8> {
        [&[item_type, 0][..], &(content.len() as u16).to_be_bytes(), content].concat()
    }

    fn sized(text: &str) -> Vec<u8> {
        [&(text.len() as u16).to_be_bytes()[..], text.as_bytes()].concat()
    }

    /// A request with an unknown item, and unknown sub-items in a context and in the user information.
    fn request() -> Vec<u8> {
        let unknown = item(0x77, &[1, 2, 3]);
        let context = [
            vec![5, 0, 0, 0],
            item(item::ABSTRACT_SYNTAX, b"1.2.840.10008.1.1"),
            unknown.clone(),
            item(item::TRANSFER_SYNTAX, b"1.2.840.10008.1.2\0"),
        ];
        let user = [
            item(item::MAXIMUM_LENGTH, &[0, 1, 0, 0]),
            unknown.clone(),
            item(item::ROLE_SELECTION, &[sized("1.2.3"), vec![0, 1]].concat()),
            item(item::EXTENDED_NEGOTIATION, &[sized("1.2.4"), vec![1, 0]].concat()),
            item(item::USER_IDENTITY, &[vec![9, 1], sized("user"), sized("")].concat()),
        ];
        [
            vec![0, 1, 0, 0],
            b"PE-NODE         CT-1            ".to_vec(),
            vec![0; 32],
            unknown,
            item(item::APPLICATION_CONTEXT, b"1.2.840.10008.3.1.1.1"),
            item(item::PRESENTATION_CONTEXT, &context.concat()),
            item(item::USER_INFORMATION, &user.concat()),
        ]
        .concat()
    }

    #[test]
    fn items_of_unknown_types_are_passed_over() {
        let roles = RequestorRoles { scu: false, scp: true };
        let expected = AssociationRequest {
            protocol_version: 1,
            called_ae_title: "PE-NODE".to_owned(),
            calling_ae_title: "CT-1".to_owned(),
            application_context: "1.2.840.10008.3.1.1.1".to_owned(),
            contexts: vec![ProposedContext {
                id: 5,
                abstract_syntax: "1.2.840.10008.1.1".to_owned(),
                transfer_syntaxes: vec!["1.2.840.10008.1.2".to_owned()],
            }],
            maximum_pdu: 1 << 16,
            roles: vec![("1.2.3".to_owned(), roles)],
            extended: vec![("1.2.4".to_owned(), vec![1, 0])],
            user_identity: Some(UserIdentity { identity_type: 9, positive_response_requested: true }),
        };
        assert_eq!(AssociationRequest::parse(&request()), Ok(expected));
    }

    #[test]
    fn a_request_that_is_cut_off_is_refused_or_read_without_its_end() {
        let whole = request();
        for length in 0..whole.len() {
            // What ends between two items is a shorter request.
            if let Ok(read) = AssociationRequest::parse(&whole[..length]) {
                assert!(length >= 68 && read.user_identity.is_none(), "{length} bytes");
            }
        }
    }
}
