//! Command sets ([PS3.7 chapter 6.3](https://dicom.nema.org/medical/dicom/current/output/chtml/part07/chapter_6.html) and
//! annex E), read from and written to bytes, without IO.

use dicom_core::value::PrimitiveValue;
use dicom_core::{DataElement, Tag, VR};
use dicom_dictionary_std::{tags, uids};
use dicom_object::InMemDicomObject;
use dicom_transfer_syntax_registry::entries::IMPLICIT_VR_LITTLE_ENDIAN;

use super::status::Status;
use crate::dicom::{AeTitle, Uid};

/// The longest command set that is read. The longest one the standard knows has a few hundred bytes.
pub(super) const MAXIMUM_COMMAND_BYTES: usize = 16 << 10;

/// Command Data Set Type (0000,0800) of a message without a data set.
const NO_DATA_SET: u16 = 0x0101;
const RESPONSE: u16 = 0x8000;

/// What a message asks for or answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operation {
    Store,
    Get,
    Find,
    Move,
    Echo,
    EventReport,
    Action,
    Cancel,
    /// Any other Command Field, without the bit that marks a response.
    Other(u16),
}

impl Operation {
    /// Command Fields of requests (PS3.7 E.1).
    const CODES: [(Self, u16); 8] = [
        (Self::Store, 0x0001),
        (Self::Get, 0x0010),
        (Self::Find, 0x0020),
        (Self::Move, 0x0021),
        (Self::Echo, 0x0030),
        (Self::EventReport, 0x0100),
        (Self::Action, 0x0130),
        (Self::Cancel, 0x0FFF),
    ];

    fn of(command_field: u16) -> Self {
        let request = command_field & !RESPONSE;
        let known = Self::CODES.into_iter().find(|(_, code)| *code == request);
        known.map_or(Self::Other(request), |(operation, _)| operation)
    }

    fn code(self) -> u16 {
        match self {
            Self::Other(code) => code,
            known => Self::CODES.into_iter().find(|(operation, _)| *operation == known).map_or(0, |(_, code)| code),
        }
    }

    /// Composite operations beside C-ECHO have a Priority (PS3.7 9.3).
    fn has_priority(self) -> bool {
        matches!(self, Self::Store | Self::Get | Self::Find | Self::Move)
    }
}

/// Request or response, with the identifier that ties them together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Role {
    Request { message_id: u16 },
    Response { to_message_id: u16, status: Status, comment: String },
}

/// How many C-STORE sub-operations of a C-MOVE or C-GET there are, by state (PS3.4 C.4.2.1.6 to C.4.2.1.9).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct SubOperations {
    /// `None` in the last response, unless the operation was cancelled.
    pub(super) remaining: Option<u16>,
    pub(super) completed: u16,
    pub(super) failed: u16,
    pub(super) warning: u16,
}

/// The C-MOVE that a C-STORE is a sub-operation of (PS3.7 9.3.1.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MoveOriginator {
    /// Who sent the C-MOVE.
    pub ae_title: AeTitle,
    /// Message ID of the C-MOVE.
    pub message_id: u16,
}

/// What some operations state besides.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Details {
    /// C-MOVE request: the AE title of whom to send to.
    pub(super) move_destination: Option<String>,
    /// C-STORE request.
    pub(super) move_originator: Option<MoveOriginator>,
    /// C-MOVE and C-GET responses.
    pub(super) sub_operations: Option<SubOperations>,
    /// Action Type ID of N-ACTION, Event Type ID of N-EVENT-REPORT.
    pub(super) type_id: Option<u16>,
}

/// A command set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Command {
    pub(super) operation: Operation,
    pub(super) role: Role,
    /// The SOP class that it is about: Affected, or in N-ACTION Requested SOP Class UID.
    pub(super) affected_sop_class_uid: Option<Uid>,
    /// The SOP instance that it is about.
    pub(super) affected_sop_instance_uid: Option<Uid>,
    pub(super) has_data_set: bool,
    pub(super) details: Details,
}

/// Why bytes are not a command set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum CommandError {
    #[error("a command set ends early")]
    Truncated,
    #[error("a command set holds an element of group {0:04X}")]
    ForeignGroup(u16),
    #[error("a command set lacks its element (0000,{0:04X})")]
    Missing(u16),
}

impl Command {
    /// A C-ECHO request.
    pub(super) fn echo(message_id: u16) -> Self {
        Self {
            operation: Operation::Echo,
            role: Role::Request { message_id },
            affected_sop_class_uid: Uid::parse(uids::VERIFICATION).ok(),
            affected_sop_instance_uid: None,
            has_data_set: false,
            details: Details::default(),
        }
    }

    /// A C-STORE request.
    pub(super) fn store(message_id: u16, sop_class_uid: Uid, sop_instance_uid: Uid) -> Self {
        Self {
            operation: Operation::Store,
            role: Role::Request { message_id },
            affected_sop_class_uid: Some(sop_class_uid),
            affected_sop_instance_uid: Some(sop_instance_uid),
            has_data_set: true,
            details: Details::default(),
        }
    }

    /// This C-STORE as a sub-operation of a C-MOVE, if it is one.
    pub(super) fn on_behalf_of(mut self, originator: Option<MoveOriginator>) -> Self {
        self.details.move_originator = originator;
        self
    }

    /// An N-EVENT-REPORT request of storage commitment (PS3.4 J.3.3).
    pub(super) fn event_report(message_id: u16, event_type: u16) -> Self {
        Self {
            operation: Operation::EventReport,
            role: Role::Request { message_id },
            affected_sop_class_uid: Uid::parse(uids::STORAGE_COMMITMENT_PUSH_MODEL).ok(),
            affected_sop_instance_uid: Uid::parse(uids::STORAGE_COMMITMENT_PUSH_MODEL_INSTANCE).ok(),
            has_data_set: true,
            details: Details { type_id: Some(event_type), ..Details::default() },
        }
    }

    /// The answer to this request. `comment` goes into Error Comment (0000,0902) when there is one.
    pub(super) fn answer(&self, message_id: u16, status: Status, comment: &str) -> Self {
        // LO: at most 64 characters, no backslash, no control characters.
        let printable = |character: &char| (' '..='~').contains(character) && *character != '\\';
        Self {
            operation: self.operation,
            role: Role::Response {
                to_message_id: message_id,
                status,
                comment: comment.chars().filter(printable).take(64).collect(),
            },
            affected_sop_class_uid: self.affected_sop_class_uid.clone(),
            affected_sop_instance_uid: self.affected_sop_instance_uid.clone(),
            has_data_set: false,
            details: Details { type_id: self.details.type_id, ..Details::default() },
        }
    }

    /// This answer with a data set to follow it.
    pub(super) fn with_data_set(self) -> Self {
        Self { has_data_set: true, ..self }
    }

    /// This answer with what has become of its sub-operations.
    pub(super) fn with_sub_operations(mut self, counts: SubOperations) -> Self {
        self.details.sub_operations = Some(counts);
        self
    }

    /// Reads a command set: always implicit VR little endian, every element in group 0000.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, CommandError> {
        let elements = Elements::parse(bytes)?;
        let command_field = elements.short(tags::COMMAND_FIELD)?;
        let role = if command_field & RESPONSE == 0 {
            Role::Request {
                // C-CANCEL names the request it cancels instead of bearing an identifier of its own.
                message_id: elements
                    .short(tags::MESSAGE_ID)
                    .or_else(|_| elements.short(tags::MESSAGE_ID_BEING_RESPONDED_TO))?,
            }
        } else {
            Role::Response {
                to_message_id: elements.short(tags::MESSAGE_ID_BEING_RESPONDED_TO)?,
                status: Status(elements.short(tags::STATUS)?),
                comment: elements.text(tags::ERROR_COMMENT).unwrap_or_default().to_owned(),
            }
        };
        let uid = |tag| elements.text(tag).and_then(|text| Uid::parse(text).ok());
        let either = |affected, requested| uid(affected).or_else(|| uid(requested));
        Ok(Self {
            operation: Operation::of(command_field),
            role,
            affected_sop_class_uid: either(tags::AFFECTED_SOP_CLASS_UID, tags::REQUESTED_SOP_CLASS_UID),
            affected_sop_instance_uid: either(tags::AFFECTED_SOP_INSTANCE_UID, tags::REQUESTED_SOP_INSTANCE_UID),
            has_data_set: elements.short(tags::COMMAND_DATA_SET_TYPE)? != NO_DATA_SET,
            details: Details::of(&elements),
        })
    }

    /// The command set's bytes, group length included.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut elements = Vec::new();
        match &self.role {
            Role::Request { message_id } => {
                elements.push(short(tags::COMMAND_FIELD, self.operation.code()));
                elements.push(short(tags::MESSAGE_ID, *message_id));
                if self.operation.has_priority() {
                    const MEDIUM_PRIORITY: u16 = 0;
                    elements.push(short(tags::PRIORITY, MEDIUM_PRIORITY));
                }
            }
            Role::Response { to_message_id, status, comment } => {
                elements.push(short(tags::COMMAND_FIELD, self.operation.code() | RESPONSE));
                elements.push(short(tags::MESSAGE_ID_BEING_RESPONDED_TO, *to_message_id));
                elements.push(short(tags::STATUS, status.0));
                if !comment.is_empty() {
                    elements.push(DataElement::new(tags::ERROR_COMMENT, VR::LO, comment.as_str()));
                }
            }
        }
        // Any value but 0101H says that a data set follows; 0000H is common.
        elements.push(short(tags::COMMAND_DATA_SET_TYPE, if self.has_data_set { 0 } else { NO_DATA_SET }));
        // N-ACTION asks for an instance, and its answer says which was affected (PS3.7 10.1.4.1).
        let asks = self.operation == Operation::Action && matches!(self.role, Role::Request { .. });
        let [class, instance] = if asks {
            [tags::REQUESTED_SOP_CLASS_UID, tags::REQUESTED_SOP_INSTANCE_UID]
        } else {
            [tags::AFFECTED_SOP_CLASS_UID, tags::AFFECTED_SOP_INSTANCE_UID]
        };
        let uids = [(class, &self.affected_sop_class_uid), (instance, &self.affected_sop_instance_uid)];
        for (tag, uid) in uids {
            elements.extend(uid.iter().map(|uid| DataElement::new(tag, VR::UI, uid.as_str())));
        }
        elements.extend(self.details.elements(self.operation));
        let mut bytes = Vec::new();
        InMemDicomObject::command_from_element_iter(elements)
            .write_dataset_with_ts(&mut bytes, &IMPLICIT_VR_LITTLE_ENDIAN.erased())
            .expect("a command set has no element that implicit VR cannot encode, and a vector takes all bytes");
        bytes
    }
}

impl Details {
    fn of(elements: &Elements<'_>) -> Self {
        let number = |tag| elements.short(tag).ok();
        let originator = elements.text(tags::MOVE_ORIGINATOR_APPLICATION_ENTITY_TITLE);
        Self {
            move_destination: elements.text(tags::MOVE_DESTINATION).map(str::to_owned),
            move_originator: originator.and_then(|title| AeTitle::parse(title).ok()).map(|ae_title| MoveOriginator {
                ae_title,
                message_id: number(tags::MOVE_ORIGINATOR_MESSAGE_ID).unwrap_or_default(),
            }),
            sub_operations: number(tags::NUMBER_OF_COMPLETED_SUBOPERATIONS).map(|completed| SubOperations {
                remaining: number(tags::NUMBER_OF_REMAINING_SUBOPERATIONS),
                completed,
                failed: number(tags::NUMBER_OF_FAILED_SUBOPERATIONS).unwrap_or_default(),
                warning: number(tags::NUMBER_OF_WARNING_SUBOPERATIONS).unwrap_or_default(),
            }),
            type_id: number(tags::ACTION_TYPE_ID).or_else(|| number(tags::EVENT_TYPE_ID)),
        }
    }

    fn elements(&self, operation: Operation) -> Vec<CommandElement> {
        let mut elements = Vec::new();
        if let Some(title) = &self.move_destination {
            elements.push(DataElement::new(tags::MOVE_DESTINATION, VR::AE, title.as_str()));
        }
        if let Some(MoveOriginator { ae_title, message_id }) = &self.move_originator {
            let tag = tags::MOVE_ORIGINATOR_APPLICATION_ENTITY_TITLE;
            elements.push(DataElement::new(tag, VR::AE, ae_title.as_str()));
            elements.push(short(tags::MOVE_ORIGINATOR_MESSAGE_ID, *message_id));
        }
        if let Some(counts) = &self.sub_operations {
            elements.extend(counts.remaining.map(|count| short(tags::NUMBER_OF_REMAINING_SUBOPERATIONS, count)));
            elements.push(short(tags::NUMBER_OF_COMPLETED_SUBOPERATIONS, counts.completed));
            elements.push(short(tags::NUMBER_OF_FAILED_SUBOPERATIONS, counts.failed));
            elements.push(short(tags::NUMBER_OF_WARNING_SUBOPERATIONS, counts.warning));
        }
        let type_id = if operation == Operation::Action { tags::ACTION_TYPE_ID } else { tags::EVENT_TYPE_ID };
        elements.extend(self.type_id.map(|id| short(type_id, id)));
        elements
    }
}

type CommandElement = DataElement<InMemDicomObject>;

fn short(tag: Tag, value: u16) -> CommandElement {
    DataElement::new(tag, VR::US, PrimitiveValue::from(value))
}

/// The elements of a command set, unread.
struct Elements<'a>(Vec<(Tag, &'a [u8])>);

impl<'a> Elements<'a> {
    fn parse(mut bytes: &'a [u8]) -> Result<Self, CommandError> {
        let mut elements = Vec::new();
        while !bytes.is_empty() {
            let (header, rest) = bytes.split_first_chunk::<8>().ok_or(CommandError::Truncated)?;
            let [group_low, group_high, element_low, element_high, length @ ..] = *header;
            let tag = Tag(u16::from_le_bytes([group_low, group_high]), u16::from_le_bytes([element_low, element_high]));
            if tag.0 != 0 {
                return Err(CommandError::ForeignGroup(tag.0));
            }
            let length = u32::from_le_bytes(length) as usize;
            let value = rest.get(..length).ok_or(CommandError::Truncated)?;
            elements.push((tag, value));
            bytes = &rest[length..];
        }
        Ok(Self(elements))
    }

    fn value(&self, tag: Tag) -> Option<&'a [u8]> {
        self.0.iter().find(|(candidate, _)| *candidate == tag).map(|(_, value)| *value)
    }

    fn short(&self, tag: Tag) -> Result<u16, CommandError> {
        let bytes = self.value(tag).and_then(|value| value.first_chunk::<2>());
        bytes.map(|bytes| u16::from_le_bytes(*bytes)).ok_or(CommandError::Missing(tag.1))
    }

    fn text(&self, tag: Tag) -> Option<&'a str> {
        std::str::from_utf8(self.value(tag)?).ok().map(|text| text.trim_matches([' ', '\0']))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uid(text: &str) -> Uid {
        Uid::parse(text).expect("uid")
    }

    #[test]
    fn requests_and_answers_survive_their_encoding() {
        let request = Command::store(7, uid("1.2.840.10008.5.1.4.1.1.2"), uid("1.2.3"));
        assert_eq!(Command::parse(&request.encode()), Ok(request.clone()));
        let answer = request.answer(7, Status::OUT_OF_RESOURCES, "the archive is full");
        let parsed = Command::parse(&answer.encode()).expect("answer");
        assert_eq!(parsed, answer);
        assert!(!parsed.has_data_set);
        let echo = Command::echo(1);
        assert_eq!(Command::parse(&echo.encode()), Ok(echo));
        let report = Command::event_report(3, 2);
        assert_eq!(Command::parse(&report.encode()), Ok(report.clone()));
        let counts = SubOperations { remaining: Some(3), completed: 1, failed: 2, warning: 0 };
        let moved = Command { operation: Operation::Move, ..report.answer(3, Status::PENDING, "") };
        let moved = Command { details: Details::default(), ..moved }.with_sub_operations(counts).with_data_set();
        assert_eq!(Command::parse(&moved.encode()), Ok(moved));
    }

    #[test]
    fn a_sub_operation_names_the_request_that_it_belongs_to() {
        let originator = MoveOriginator { ae_title: AeTitle::parse("VIEWER").expect("title"), message_id: 12 };
        let request = Command::store(7, uid("1.2.840.10008.5.1.4.1.1.2"), uid("1.2.3")).on_behalf_of(Some(originator));
        assert_eq!(Command::parse(&request.encode()), Ok(request));
    }

    #[test]
    fn an_error_comment_holds_no_more_than_its_representation_allows() {
        let answer = Command::echo(1).answer(1, Status::SUCCESS, &"line\\\n".repeat(40));
        let Role::Response { comment, .. } = answer.role else { panic!("a response") };
        assert_eq!(comment.len(), 64);
        assert!(!comment.contains(['\\', '\n']));
    }

    #[test]
    fn broken_command_sets_are_refused_without_reading_beyond_them() {
        let whole = Command::echo(1).encode();
        for length in 0..whole.len() {
            assert!(Command::parse(&whole[..length]).is_err(), "{length} bytes");
        }
        assert_eq!(Command::parse(&[8, 0, 0x18, 0, 0, 0, 0, 0]), Err(CommandError::ForeignGroup(8)));
        assert_eq!(Command::parse(&[0, 0, 0, 1, 255, 255, 255, 255]), Err(CommandError::Truncated));
    }
}
