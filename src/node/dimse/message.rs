//! Presentation data values to messages ([PS3.8 annex E](https://dicom.nema.org/medical/dicom/current/output/chtml/part08/chapter_E.html)),
//! within a budget of memory that all associations share.

use bytes::Bytes;
use dicom_ul::pdu::{PDataValue, PDataValueType};

use super::command::{Command, CommandError, MAXIMUM_COMMAND_BYTES};
use crate::node::memory::{Budget, Held, Lease};

/// A message, complete.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) context_id: u8,
    pub(super) command: Command,
    pub(super) body: Body,
}

/// What came with a command.
#[derive(Debug)]
pub(super) enum Body {
    /// No data set.
    Nothing,
    /// A data set; its memory returns to the budget when this is dropped.
    DataSet(Bytes, #[allow(dead_code, reason = "held for its Drop")] Lease),
    /// A data set for which there was no room; its bytes were read and dropped.
    TooLarge,
}

/// How a peer broke the protocol; the association cannot go on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum MessageError {
    #[error("{0}")]
    Command(#[from] CommandError),
    #[error("a command set is longer than {MAXIMUM_COMMAND_BYTES} bytes")]
    LongCommand,
    #[error("a {0} fragment came out of turn")]
    OutOfTurn(&'static str),
}

/// Puts messages together.
#[derive(Debug)]
pub(super) struct Assembler {
    budget: Budget,
    state: State,
}

#[derive(Debug)]
enum State {
    Command { context_id: Option<u8>, bytes: Vec<u8> },
    DataSet { context_id: u8, command: Command, data_set: Partial },
}

/// A data set that is being received; none if there was no room for it.
#[derive(Debug)]
struct Partial(Option<Held>);

impl State {
    fn start() -> Self {
        Self::Command { context_id: None, bytes: Vec::new() }
    }
}

impl Assembler {
    pub(super) fn new(budget: Budget) -> Self {
        Self { budget, state: State::start() }
    }

    /// True between messages.
    pub(super) fn is_idle(&self) -> bool {
        matches!(self.state, State::Command { context_id: None, .. })
    }

    /// Takes the next value; returns a message when it completes one.
    pub(super) fn push(&mut self, value: PDataValue) -> Result<Option<Message>, MessageError> {
        let id = value.presentation_context_id;
        match (std::mem::replace(&mut self.state, State::start()), value.value_type) {
            (State::Command { context_id, bytes }, PDataValueType::Command)
                if context_id.is_none_or(|open| open == id) =>
            {
                self.command(id, bytes, &value.data, value.is_last)
            }
            (State::DataSet { context_id, command, mut data_set }, PDataValueType::Data) if context_id == id => {
                data_set.extend(&value.data, &self.budget);
                if value.is_last {
                    return Ok(Some(Message { context_id, command, body: data_set.into() }));
                }
                self.state = State::DataSet { context_id, command, data_set };
                Ok(None)
            }
            (State::Command { .. }, _) => Err(MessageError::OutOfTurn("data set")),
            (State::DataSet { .. }, _) => Err(MessageError::OutOfTurn("command")),
        }
    }

    fn command(
        &mut self,
        context_id: u8,
        mut bytes: Vec<u8>,
        more: &[u8],
        is_last: bool,
    ) -> Result<Option<Message>, MessageError> {
        if bytes.len() + more.len() > MAXIMUM_COMMAND_BYTES {
            return Err(MessageError::LongCommand);
        }
        bytes.extend_from_slice(more);
        if !is_last {
            self.state = State::Command { context_id: Some(context_id), bytes };
            return Ok(None);
        }
        let command = Command::parse(&bytes)?;
        if !command.has_data_set {
            return Ok(Some(Message { context_id, command, body: Body::Nothing }));
        }
        self.state = State::DataSet { context_id, command, data_set: Partial(Some(Held::default())) };
        Ok(None)
    }
}

impl Partial {
    fn extend(&mut self, more: &[u8], budget: &Budget) {
        if self.0.as_mut().is_some_and(|held| !held.extend(more, budget)) {
            self.0 = None;
        }
    }
}

impl From<Partial> for Body {
    fn from(Partial(held): Partial) -> Self {
        held.map_or(Self::TooLarge, |held| {
            let (bytes, lease) = held.complete();
            Self::DataSet(bytes, lease)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dicom::Uid;

    const MEBIBYTE: usize = 1 << 20;

    fn value(value_type: PDataValueType, is_last: bool, data: Vec<u8>) -> PDataValue {
        PDataValue { presentation_context_id: 3, value_type, is_last, data }
    }

    fn store() -> Vec<u8> {
        let uid = |text| Uid::parse(text).expect("uid");
        Command::store(9, uid("1.2.840.10008.5.1.4.1.1.2"), uid("1.2.3")).encode()
    }

    #[test]
    fn fragments_of_command_and_data_set_become_one_message() {
        let mut assembler = Assembler::new(Budget::new(MEBIBYTE as u64));
        let command = store();
        let (first, second) = command.split_at(20);
        assert!(assembler.push(value(PDataValueType::Command, false, first.to_vec())).expect("first").is_none());
        assert!(!assembler.is_idle());
        assert!(assembler.push(value(PDataValueType::Command, true, second.to_vec())).expect("second").is_none());
        assert!(assembler.push(value(PDataValueType::Data, false, vec![1, 2])).expect("third").is_none());
        let message = assembler.push(value(PDataValueType::Data, true, vec![3])).expect("last").expect("message");
        assert!(matches!(message.body, Body::DataSet(bytes, _) if bytes == [1_u8, 2, 3][..]));
        assert!(assembler.is_idle());
    }

    #[test]
    fn a_data_set_beyond_the_budget_is_swallowed_and_the_next_one_fits_again() {
        let budget = Budget::new(2 * MEBIBYTE as u64);
        let mut assembler = Assembler::new(budget.clone());
        assembler.push(value(PDataValueType::Command, true, store())).expect("command");
        for _ in 0..4 {
            assembler.push(value(PDataValueType::Data, false, vec![0; MEBIBYTE])).expect("data");
        }
        let message = assembler.push(value(PDataValueType::Data, true, vec![])).expect("last").expect("message");
        assert!(matches!(message.body, Body::TooLarge));
        assert_eq!(budget.free_bytes(), 2 * MEBIBYTE);
        assembler.push(value(PDataValueType::Command, true, store())).expect("command");
        let message =
            assembler.push(value(PDataValueType::Data, true, vec![0; MEBIBYTE])).expect("last").expect("message");
        assert!(matches!(message.body, Body::DataSet(..)));
        assert_eq!(budget.free_bytes(), MEBIBYTE);
        drop(message);
        assert_eq!(budget.free_bytes(), 2 * MEBIBYTE);
    }

    #[test]
    fn fragments_out_of_turn_and_endless_commands_break_the_association() {
        let mut assembler = Assembler::new(Budget::new(MEBIBYTE as u64));
        assert!(assembler.push(value(PDataValueType::Data, true, vec![1])).is_err());
        let mut assembler = Assembler::new(Budget::new(MEBIBYTE as u64));
        assembler.push(value(PDataValueType::Command, true, store())).expect("command");
        assert!(assembler.push(value(PDataValueType::Command, true, store())).is_err());
        let mut assembler = Assembler::new(Budget::new(MEBIBYTE as u64));
        let long = value(PDataValueType::Command, false, vec![0; MAXIMUM_COMMAND_BYTES + 1]);
        assert_eq!(assembler.push(long).err(), Some(MessageError::LongCommand));
    }
}
