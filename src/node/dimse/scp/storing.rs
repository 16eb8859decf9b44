//! C-STORE ([PS3.4 annex B](https://dicom.nema.org/medical/dicom/current/output/chtml/part04/chapter_B.html)).

use std::sync::Arc;

use bytes::Bytes;
use dicom_dictionary_std::tags;

use super::super::command::Command;
use super::super::message::Body;
use super::super::negotiation::Context;
use super::super::service::Service;
use super::super::status::{Reply, Status};
use super::session::{Asked, Session};
use crate::dicom::bounded;
use crate::dicom::elements::{self, DataSet};
use crate::dicom::{SeriesId, Uid};
use crate::node::archive::{Origin, ReceivedInstance, Stored};
use crate::node::arrivals::Feed;
use crate::node::queue::RefusalCause;
use crate::node::telemetry::{self, Interface, Received};

impl Session {
    /// Stores an object.
    pub(super) async fn store(&self, asked: &Asked<'_>, body: Body, feed: &mut dyn Feed) -> Reply {
        let size = if let Body::DataSet(bytes, _) = &body { bytes.len() } else { 0 };
        let (reply, outcome) = match self.try_store(asked, &body, feed).await {
            Ok(stored) => (Reply::from(stored), stored.into()),
            Err(reply) => (reply, Received::Refused),
        };
        telemetry::count_received(Interface::Dimse, outcome, size);
        if reply.status != Status::SUCCESS {
            tracing::warn!(
                sop_instance_uid = asked.command.affected_sop_instance_uid.as_ref().map(tracing::field::display),
                calling_ae_title = self.calling_ae_title,
                address = %self.address,
                status = %reply.status,
                reason = reply.comment,
                "an object was refused, or stored with a warning"
            );
        }
        reply
    }

    async fn try_store(&self, asked: &Asked<'_>, body: &Body, feed: &mut dyn Feed) -> Result<Stored, Reply> {
        let Asked { command, context, .. } = asked;
        let bytes = match body {
            Body::DataSet(bytes, _) => bytes,
            Body::Nothing => return Err(Reply::new(Status::CANNOT_UNDERSTAND, "the request has no data set")),
            Body::TooLarge => return Err(Reply::new(Status::OUT_OF_RESOURCES, "no memory for so large an object now")),
        };
        if context.service != Service::Storage {
            return Err(Reply::new(Status::SOP_CLASS_NOT_SUPPORTED, "the presentation context is not for storage"));
        }
        let header = self.scan(bytes, &context.transfer_syntax).await?;
        let series = identify(&header, command, context)
            .inspect_err(|_| self.provider.archive.note_refusal(&header, RefusalCause::Contradiction))?;
        let instance = ReceivedInstance {
            transfer_syntax_uid: uid(&context.transfer_syntax)?,
            data_set: bytes.clone(),
            header,
            origin: Origin::Dimse {
                calling_ae: self.calling_ae_title.clone(),
                address: self.address.ip().to_canonical().to_string(),
            },
        };
        let stored = self.provider.archive.store(instance).await.map_err(|error| {
            // The peer is told the kind of failure; the paths and the database's words stay here.
            tracing::error!(%error, "an object cannot be stored");
            Reply::from(&error)
        })?;
        feed.stored(&series, stored);
        Ok(stored)
    }

    /// Pre-scans all bytes and parses the header, on a thread of its own: other associations continue meanwhile, and a
    /// panic of the parser would cost only this object.
    async fn scan(&self, bytes: &Bytes, transfer_syntax_uid: &str) -> Result<DataSet, Reply> {
        let (bytes, syntax, provider) = (bytes.clone(), transfer_syntax_uid.to_owned(), Arc::clone(&self.provider));
        let read = move || {
            let limits = &provider.limits;
            bounded::header(&bytes, &syntax, limits)
                .inspect_err(|error| provider.archive.note_unreadable(&bytes, &syntax, limits, error))
        };
        match tokio::task::spawn_blocking(read).await {
            Ok(result) => result.map_err(|error| Reply::from(&error)),
            Err(_) => Err(Reply::new(Status::CANNOT_UNDERSTAND, "reading the object failed")),
        }
    }
}

/// The series of an object that is what its request says it is.
fn identify(header: &DataSet, command: &Command, context: &Context) -> Result<SeriesId, Reply> {
    let required = |tag, name: &str| {
        elements::uid(header, tag).ok_or_else(|| Reply::new(Status::DOES_NOT_MATCH, format!("{name} is missing")))
    };
    let class = required(tags::SOP_CLASS_UID, "SOP Class UID")?;
    let instance = required(tags::SOP_INSTANCE_UID, "SOP Instance UID")?;
    let announced = command.affected_sop_class_uid.as_ref();
    if class.as_str() != context.abstract_syntax || announced.is_some_and(|announced| *announced != class) {
        return Err(Reply::new(Status::DOES_NOT_MATCH, "the SOP class is not the one that was announced"));
    }
    if command.affected_sop_instance_uid.as_ref() != Some(&instance) {
        return Err(Reply::new(Status::DOES_NOT_MATCH, "the SOP instance is not the one that was announced"));
    }
    let study = required(tags::STUDY_INSTANCE_UID, "Study Instance UID")?;
    Ok(SeriesId::new(study, required(tags::SERIES_INSTANCE_UID, "Series Instance UID")?))
}

fn uid(text: &str) -> Result<Uid, Reply> {
    Uid::parse(text).map_err(|error| Reply::new(Status::CANNOT_UNDERSTAND, error.to_string()))
}
