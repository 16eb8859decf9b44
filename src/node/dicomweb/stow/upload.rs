//! One STOW-RS request: from bytes of the body to outcomes. Objects are stored while the next ones arrive. The memory
//! of all requests together is bounded.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use dicom_dictionary_std::tags;
use dicom_transfer_syntax_registry::{TransferSyntaxIndex, TransferSyntaxRegistry};
use tokio::sync::Semaphore;
use tokio::task::{JoinError, JoinSet};

use super::outcome::{FailureReason, PartOutcome, SopIdentity};
use crate::dicom::bounded::{self, Limits};
use crate::dicom::{Uid, content, elements};
use crate::node::archive::{Archive, ArchiveError, InstanceId, Origin, ReceivedInstance, Rights, Stored};
use crate::node::arrivals::{Feed, StoreEvents};
use crate::node::dicomweb::media::MediaType;
use crate::node::dicomweb::multipart::{Event, MultipartError, Parser};
use crate::node::memory::{Budget, Held};
use crate::node::queue::RefusalCause;
use crate::node::telemetry::{self, Interface, Received};

/// Bytes of complete objects, over all requests, that may wait for the disk; one larger object waits alone.
const WAITING_BYTES: usize = 64 * 1024 * 1024;

/// What all uploads share.
#[derive(Clone)]
pub(super) struct Intake {
    archive: Archive,
    limits: Limits,
    /// Who is told what is stored.
    events: Arc<dyn StoreEvents>,
    /// One permit per byte of [`WAITING_BYTES`]; an object waits until enough are free.
    waiting: Arc<Semaphore>,
    /// Memory for parts that are being received: in all, the largest object that is allowed plus [`WAITING_BYTES`].
    memory: Budget,
}

impl Intake {
    pub(super) fn new(archive: Archive, limits: Limits, events: Arc<dyn StoreEvents>) -> Self {
        let memory = Budget::new(limits.object_bytes().saturating_add(WAITING_BYTES as u64));
        Self { archive, limits, events, waiting: Arc::new(Semaphore::new(WAITING_BYTES)), memory }
    }
}

/// An upload in progress.
pub(super) struct Upload {
    intake: Intake,
    /// Dropped when the request ends.
    feed: Box<dyn Feed>,
    parser: Parser,
    study: Option<Uid>,
    address: SocketAddr,
    /// The part that is being received, or why it is not kept.
    part: Option<Result<Held, FailureReason>>,
    /// Parts seen so far.
    count: usize,
    storing: JoinSet<(usize, Ended)>,
    outcomes: Vec<(usize, PartOutcome)>,
    /// Size of the last part: the next one is likely as large.
    expected: usize,
}

impl Upload {
    /// An upload of parts separated by the parser's boundary, all of `study` if one is given.
    pub(super) fn new(intake: Intake, parser: Parser, study: Option<Uid>, address: SocketAddr) -> Self {
        Self {
            feed: intake.events.begin(),
            intake,
            parser,
            study,
            address,
            part: None,
            count: 0,
            storing: JoinSet::new(),
            outcomes: Vec::new(),
            expected: 0,
        }
    }

    /// Takes in bytes of the body; waits while too much waits for the disk.
    pub(super) async fn push(&mut self, bytes: &[u8]) -> Result<(), MultipartError> {
        self.parser.push(bytes);
        while let Some(event) = self.parser.event()? {
            match event {
                Event::Part(media_type) => self.begin(media_type.as_ref()),
                Event::Content(content) => self.append(&content),
                Event::EndOfPart => self.end().await,
            }
        }
        Ok(())
    }

    /// What became of each part, in the order of the request, and whether the body was complete. A part that was cut
    /// off counts as failed.
    pub(super) async fn finish(mut self) -> (Vec<PartOutcome>, Result<(), MultipartError>) {
        if self.part.take().is_some() {
            self.fail(FailureReason::Unreadable);
        }
        while let Some(stored) = self.storing.join_next().await {
            self.note(stored);
        }
        self.outcomes.sort_by_key(|(index, _)| *index);
        (self.outcomes.into_iter().map(|(_, outcome)| outcome).collect(), self.parser.finish())
    }

    fn begin(&mut self, media_type: Option<&MediaType>) {
        let known = media_type.is_none_or(|media_type| {
            matches!(media_type.essence.as_str(), "application/dicom" | "application/octet-stream")
        });
        self.count += 1;
        let mut content = known.then(Held::default).ok_or(FailureReason::Unreadable);
        if let Ok(held) = &mut content {
            // If there is no room for that much, the part may still be smaller than the one before.
            held.reserve(self.expected, &self.intake.memory);
        }
        self.part = Some(content);
    }

    /// Takes in more of a part, or drops all of it.
    fn append(&mut self, more: &[u8]) {
        let Some(Ok(held)) = &mut self.part else { return };
        if (held.len() + more.len()) as u64 > self.intake.limits.object_bytes() {
            self.part = Some(Err(FailureReason::TooLarge));
        } else if !held.extend(more, &self.intake.memory) {
            self.part = Some(Err(FailureReason::Overloaded));
        }
    }

    async fn end(&mut self) {
        let (content, memory) = match self.part.take() {
            Some(Ok(held)) => held.complete(),
            Some(Err(reason)) => return self.fail(reason),
            None => return,
        };
        self.expected = content.len();
        let permits = content.len().clamp(1, WAITING_BYTES) as u32;
        let Ok(waiting) = Arc::clone(&self.intake.waiting).acquire_many_owned(permits).await else { return };
        let (intake, study, address, index) = (self.intake.clone(), self.study.clone(), self.address, self.count);
        self.storing.spawn(async move {
            let outcome = store(&intake, study.as_ref(), address, content).await;
            drop((waiting, memory));
            (index, outcome)
        });
        while let Some(stored) = self.storing.try_join_next() {
            self.note(stored);
        }
    }

    /// Records what became of a part, and reports a stored object to the feed.
    fn note(&mut self, ended: Result<(usize, Ended), JoinError>) {
        let (index, outcome) = match ended {
            Ok((index, Ok((stored, outcome)))) => {
                if let PartOutcome::Stored { series, .. } = &outcome {
                    self.feed.stored(series, stored);
                }
                (index, outcome)
            }
            Ok((index, Err((reason, identity)))) => (index, PartOutcome::Failed { identity, reason }),
            Err(error) => {
                tracing::error!(%error, "storing an object ended by a fault of this program");
                (
                    self.count,
                    PartOutcome::Failed { identity: SopIdentity::default(), reason: FailureReason::Processing },
                )
            }
        };
        self.outcomes.push((index, outcome));
    }

    /// Records a part that was not kept.
    fn fail(&mut self, reason: FailureReason) {
        telemetry::count_received(Interface::Stow, Received::Refused, 0);
        self.outcomes.push((self.count, PartOutcome::Failed { identity: SopIdentity::default(), reason }));
    }
}

/// How storing an object ended.
type Ended = Result<(Stored, PartOutcome), Failure>;
type Failure = (FailureReason, SopIdentity);

/// Reads and stores one object.
async fn store(intake: &Intake, study: Option<&Uid>, address: SocketAddr, file: Bytes) -> Ended {
    let bytes = file.len();
    let reader = intake.clone();
    let read = tokio::task::spawn_blocking(move || read(&file, &reader)).await;
    let ended = match read.unwrap_or(Err((FailureReason::Processing, SopIdentity::default()))) {
        Ok(instance) => file_away(intake, study, address, instance).await,
        Err(failure) => Err(failure),
    };
    let outcome = ended.as_ref().map_or(Received::Refused, |(stored, _)| (*stored).into());
    telemetry::count_received(Interface::Stow, outcome, bytes);
    if let Err((reason, identity)) = &ended {
        tracing::warn!(
            reason = format!("{:04X}", reason.code()),
            sop_instance_uid = identity.sop_instance_uid.as_ref().map(Uid::as_str),
            "an object sent by STOW-RS is refused"
        );
    }
    ended
}

/// A readable object.
struct Readable {
    instance: ReceivedInstance,
    identity: SopIdentity,
}

/// Reads a DICOM file and checks it against its own file meta information.
fn read(file: &Bytes, intake: &Intake) -> Result<Readable, Failure> {
    let parts = bounded::split(file).map_err(|error| ((&error).into(), SopIdentity::default()))?;
    let named = SopIdentity { sop_class_uid: parts.sop_class_uid, sop_instance_uid: parts.sop_instance_uid };
    let fail = |reason: FailureReason| (reason, named.clone());
    let transfer_syntax_uid = Uid::parse(&parts.transfer_syntax_uid).map_err(|_| fail(FailureReason::Unreadable))?;
    if TransferSyntaxRegistry.get(transfer_syntax_uid.as_str()).is_none() {
        return Err(fail(FailureReason::TransferSyntax));
    }
    let (header, pixels) = content::read(parts.data_set, transfer_syntax_uid.as_str(), &intake.limits).map_err(|error| {
        tracing::info!(%error, "an object sent by STOW-RS cannot be read");
        intake.archive.note_unreadable(parts.data_set, transfer_syntax_uid.as_str(), &intake.limits, &error);
        fail((&error).into())
    })?;
    let identity = SopIdentity {
        sop_class_uid: elements::uid(&header, tags::SOP_CLASS_UID),
        sop_instance_uid: elements::uid(&header, tags::SOP_INSTANCE_UID),
    };
    let contradicts = |named: &Option<Uid>, own: &Option<Uid>| named.is_some() && own.is_some() && named != own;
    if contradicts(&named.sop_class_uid, &identity.sop_class_uid)
        || contradicts(&named.sop_instance_uid, &identity.sop_instance_uid)
    {
        intake.archive.note_refusal(&header, RefusalCause::Contradiction);
        return Err((FailureReason::Mismatch, identity));
    }
    let data_set = file.slice_ref(parts.data_set);
    let origin = Origin::Stow { address: String::new() };
    Ok(Readable { instance: ReceivedInstance { transfer_syntax_uid, data_set, header, pixels, origin, rights: Rights::default() }, identity })
}

async fn file_away(intake: &Intake, study: Option<&Uid>, address: SocketAddr, readable: Readable) -> Ended {
    let Readable { mut instance, identity } = readable;
    instance.origin = Origin::Stow { address: address.ip().to_string() };
    let Ok(id) = InstanceId::of(&instance.header) else { return Err((FailureReason::Unreadable, identity)) };
    if study.is_some_and(|study| *study != id.series.study_instance_uid) {
        intake.archive.note_refusal(&instance.header, RefusalCause::OtherStudy);
        return Err((FailureReason::OtherStudy, identity));
    }
    let InstanceId { series, sop_instance_uid, sop_class_uid } = id;
    let stored = intake.archive.store(instance).await.map_err(|error| {
        if !matches!(error, ArchiveError::Conflict(_)) {
            tracing::error!(%error, %sop_instance_uid, "storing an object sent by STOW-RS");
        }
        (FailureReason::from(&error), identity)
    })?;
    Ok((stored, PartOutcome::Stored { sop_class_uid, sop_instance_uid, series }))
}
