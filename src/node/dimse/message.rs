//! Presentation data values to messages ([PS3.8 annex E](https://dicom.nema.org/medical/dicom/current/output/chtml/part08/chapter_E.html)),
//! within a budget of memory that all associations share.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use dicom_ul::pdu::{PDataValue, PDataValueType};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::command::{Command, CommandError, MAXIMUM_COMMAND_BYTES};

/// A budget is spent in pieces of so many bytes.
const PIECE: usize = 1 << 20;

/// Memory for data sets on their way in: together they never hold more than one object may have at most. Beyond it a
/// data set is refused rather than waited for.
#[derive(Debug, Clone)]
pub(super) struct Budget(Arc<Semaphore>);

impl Budget {
    pub(super) fn new(mebibytes: u64) -> Self {
        let pieces = usize::try_from(mebibytes).unwrap_or(usize::MAX).clamp(1, Semaphore::MAX_PERMITS);
        Self(Arc::new(Semaphore::new(pieces)))
    }
}

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
    /// A data set; the budget is given back when this is dropped.
    DataSet(Bytes, #[allow(dead_code, reason = "held for its Drop")] Option<OwnedSemaphorePermit>),
    /// A data set for which there was no room; its bytes were read and let go.
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

#[derive(Debug)]
enum Partial {
    Held { bytes: BytesMut, permit: Option<OwnedSemaphorePermit>, pieces: usize },
    TooLarge,
}

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

    /// Takes the next value; gives a message when it completes one.
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
        let data_set = Partial::Held { bytes: BytesMut::new(), permit: None, pieces: 0 };
        self.state = State::DataSet { context_id, command, data_set };
        Ok(None)
    }
}

impl Partial {
    fn extend(&mut self, more: &[u8], budget: &Budget) {
        let Self::Held { bytes, permit, pieces } = self else { return };
        let missing = (bytes.len() + more.len()).div_ceil(PIECE) - *pieces;
        if missing > 0 {
            let taken =
                u32::try_from(missing).ok().and_then(|count| budget.0.clone().try_acquire_many_owned(count).ok());
            let Some(taken) = taken else {
                *self = Self::TooLarge;
                return;
            };
            *pieces += missing;
            match permit {
                Some(held) => held.merge(taken),
                None => *permit = Some(taken),
            }
        }
        bytes.extend_from_slice(more);
    }
}

impl From<Partial> for Body {
    fn from(partial: Partial) -> Self {
        match partial {
            Partial::Held { bytes, permit, .. } => Self::DataSet(bytes.freeze(), permit),
            Partial::TooLarge => Self::TooLarge,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dicom::Uid;

    fn value(value_type: PDataValueType, is_last: bool, data: Vec<u8>) -> PDataValue {
        PDataValue { presentation_context_id: 3, value_type, is_last, data }
    }

    fn store() -> Vec<u8> {
        let uid = |text| Uid::parse(text).expect("uid");
        Command::store(9, uid("1.2.840.10008.5.1.4.1.1.2"), uid("1.2.3")).encode()
    }

    #[test]
    fn fragments_of_command_and_data_set_become_one_message() {
        let mut assembler = Assembler::new(Budget::new(1));
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
        let budget = Budget::new(2);
        let mut assembler = Assembler::new(budget.clone());
        assembler.push(value(PDataValueType::Command, true, store())).expect("command");
        for _ in 0..4 {
            assembler.push(value(PDataValueType::Data, false, vec![0; PIECE])).expect("data");
        }
        let message = assembler.push(value(PDataValueType::Data, true, vec![])).expect("last").expect("message");
        assert!(matches!(message.body, Body::TooLarge));
        assert_eq!(budget.0.available_permits(), 2);
        assembler.push(value(PDataValueType::Command, true, store())).expect("command");
        let message =
            assembler.push(value(PDataValueType::Data, true, vec![0; PIECE])).expect("last").expect("message");
        assert!(matches!(message.body, Body::DataSet(..)));
        assert_eq!(budget.0.available_permits(), 1);
        drop(message);
        assert_eq!(budget.0.available_permits(), 2);
    }

    #[test]
    fn fragments_out_of_turn_and_endless_commands_break_the_association() {
        let mut assembler = Assembler::new(Budget::new(1));
        assert!(assembler.push(value(PDataValueType::Data, true, vec![1])).is_err());
        let mut assembler = Assembler::new(Budget::new(1));
        assembler.push(value(PDataValueType::Command, true, store())).expect("command");
        assert!(assembler.push(value(PDataValueType::Command, true, store())).is_err());
        let mut assembler = Assembler::new(Budget::new(1));
        let long = value(PDataValueType::Command, false, vec![0; MAXIMUM_COMMAND_BYTES + 1]);
        assert_eq!(assembler.push(long).err(), Some(MessageError::LongCommand));
    }
}
