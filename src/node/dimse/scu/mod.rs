//! The service class user: C-ECHO, C-STORE, C-FIND, C-MOVE and storage commitment. Each object is sent in the transfer
//! syntax that it is stored in if the peer accepts that, and decompressed otherwise.

mod commitment;
mod echo;
mod encode;
mod find;
mod outcome;
mod outgoing;
mod peer;
mod retrieve;
mod sending;
#[cfg(test)]
mod tests;

pub(super) use self::commitment::read_report;
pub use self::commitment::request_commitment;
pub use self::echo::echo;
#[cfg(test)]
pub(super) use self::encode::encode;
pub(super) use self::encode::in_background as encode_in_background;
pub use self::find::{find, holds};
pub use self::outcome::SendOutcome;
pub use self::outgoing::{Outgoing, Source};
pub use self::peer::{Peer, ScuError};
pub use self::retrieve::{Retrieved, retrieve};
pub use self::sending::{Sending, store};
pub use super::command::MoveOriginator;
