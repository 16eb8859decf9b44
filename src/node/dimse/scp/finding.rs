//! C-FIND ([PS3.4 C.4.1](https://dicom.nema.org/medical/dicom/current/output/chtml/part04/sect_C.4.html)).

use super::super::conversation::AssociationError;
use super::super::encoding;
use super::super::message::Body;
use super::super::query::{Find, Patients, QueryLevel};
use super::super::service::Root;
use super::super::status::{Reply, Status};
use super::session::{Asked, Session};
use crate::dicom::elements::DataSet;
use crate::node::archive::ArchiveError;

/// Matches that are read from the index at once.
const PAGE: u32 = 2_000;

/// How matches end before all are sent.
enum Interruption {
    Association(AssociationError),
    Archive(ArchiveError),
    Cancelled,
}

impl From<AssociationError> for Interruption {
    fn from(error: AssociationError) -> Self {
        Self::Association(error)
    }
}

impl From<ArchiveError> for Interruption {
    fn from(error: ArchiveError) -> Self {
        Self::Archive(error)
    }
}

impl Session {
    /// Answers a query: a pending response for each match, and one that ends them.
    pub(super) async fn find(&mut self, asked: &Asked<'_>, root: Root, body: Body) -> Result<(), AssociationError> {
        let find = match self.data_set(asked, &body).and_then(|identifier| Find::parse(&identifier, root)) {
            Ok(find) => find,
            Err(reply) => return self.reply(asked, &reply).await,
        };
        drop(body);
        let reply = match self.send_matches(asked, &find).await {
            Ok(()) => Reply::new(Status::SUCCESS, ""),
            Err(Interruption::Cancelled) => Reply::new(Status::CANCELLED, ""),
            Err(Interruption::Archive(error)) => {
                tracing::error!(%error, "a query cannot be answered");
                Reply::from(&error)
            }
            Err(Interruption::Association(error)) => return Err(error),
        };
        self.reply(asked, &reply).await
    }

    async fn send_matches(&mut self, asked: &Asked<'_>, find: &Find) -> Result<(), Interruption> {
        let mut patients = Patients::default();
        let mut query = find.query(PAGE);
        loop {
            let found = self.provider.archive.find(find.level.of_index(), &query).await?;
            let is_last = found.len() < PAGE as usize;
            query.offset += PAGE;
            for data_set in found {
                if find.level == QueryLevel::Patient {
                    patients.add(data_set);
                } else {
                    self.send_match(asked, find, &data_set).await?;
                }
            }
            if is_last {
                break;
            }
        }
        for patient in patients.into_matches() {
            self.send_match(asked, find, &patient).await?;
        }
        Ok(())
    }

    async fn send_match(&mut self, asked: &Asked<'_>, find: &Find, found: &DataSet) -> Result<(), Interruption> {
        if self.conversation.is_cancelled(asked.message_id).await? {
            return Err(Interruption::Cancelled);
        }
        let answer = find.answer(found, &self.provider.config.ae_title);
        let answer = encoding::encode(answer, &asked.context.transfer_syntax);
        let response = asked.command.answer(asked.message_id, find.pending(), "").with_data_set();
        Ok(self.conversation.send(asked.context.id, &response, &answer).await?)
    }
}
