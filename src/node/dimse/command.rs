//! Command sets ([PS3.7 chapter 6.3](https://dicom.nema.org/medical/dicom/current/output/chtml/part07/chapter_6.html) and
//! annex E), read from and written to bytes, without IO.

use dicom_core::value::PrimitiveValue;
use dicom_core::{DataElement, Tag, VR};
use dicom_dictionary_std::tags;
use dicom_object::InMemDicomObject;
use dicom_transfer_syntax_registry::entries::IMPLICIT_VR_LITTLE_ENDIAN;

use super::status::Status;
use crate::dicom::Uid;

/// The longest command set that is read. The longest one the standard knows has a few hundred bytes.
pub(super) const MAXIMUM_COMMAND_BYTES: usize = 16 << 10;

/// Command Data Set Type (0000,0800) of a message without a data set.
const NO_DATA_SET: u16 = 0x0101;
const RESPONSE: u16 = 0x8000;

/// What a message asks for or answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operation {
    Store,
    Echo,
    Cancel,
    /// Any other Command Field, without the bit that marks a response.
    Other(u16),
}

impl Operation {
    fn of(command_field: u16) -> Self {
        match command_field & !RESPONSE {
            0x0001 => Self::Store,
            0x0030 => Self::Echo,
            0x0FFF => Self::Cancel,
            other => Self::Other(other),
        }
    }

    fn code(self) -> u16 {
        match self {
            Self::Store => 0x0001,
            Self::Echo => 0x0030,
            Self::Cancel => 0x0FFF,
            Self::Other(code) => code,
        }
    }
}

/// Request or response, with the identifier that ties them together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Role {
    Request { message_id: u16 },
    Response { to_message_id: u16, status: Status, comment: String },
}

/// A command set, as far as C-ECHO and C-STORE need it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Command {
    pub(super) operation: Operation,
    pub(super) role: Role,
    pub(super) affected_sop_class_uid: Option<Uid>,
    pub(super) affected_sop_instance_uid: Option<Uid>,
    pub(super) has_data_set: bool,
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
            affected_sop_class_uid: Uid::parse(super::VERIFICATION).ok(),
            affected_sop_instance_uid: None,
            has_data_set: false,
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
        }
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
        Ok(Self {
            operation: Operation::of(command_field),
            role,
            affected_sop_class_uid: uid(tags::AFFECTED_SOP_CLASS_UID),
            affected_sop_instance_uid: uid(tags::AFFECTED_SOP_INSTANCE_UID),
            has_data_set: elements.short(tags::COMMAND_DATA_SET_TYPE)? != NO_DATA_SET,
        })
    }

    /// The command set's bytes, group length included.
    pub(super) fn encode(&self) -> Vec<u8> {
        let short = |tag, value: u16| DataElement::new(tag, VR::US, PrimitiveValue::from(value));
        let mut elements = Vec::new();
        match &self.role {
            Role::Request { message_id } => {
                elements.push(short(tags::COMMAND_FIELD, self.operation.code()));
                elements.push(short(tags::MESSAGE_ID, *message_id));
                if self.operation == Operation::Store {
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
        let uids = [
            (tags::AFFECTED_SOP_CLASS_UID, &self.affected_sop_class_uid),
            (tags::AFFECTED_SOP_INSTANCE_UID, &self.affected_sop_instance_uid),
        ];
        for (tag, uid) in uids {
            elements.extend(uid.iter().map(|uid| DataElement::new(tag, VR::UI, uid.as_str())));
        }
        let mut bytes = Vec::new();
        InMemDicomObject::command_from_element_iter(elements)
            .write_dataset_with_ts(&mut bytes, &IMPLICIT_VR_LITTLE_ENDIAN.erased())
            .expect("a command set has no element that implicit VR cannot encode, and a vector takes all bytes");
        bytes
    }
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
