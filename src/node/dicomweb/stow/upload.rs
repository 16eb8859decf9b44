//! One STOW-RS request: from bytes of the body to outcomes. Objects are stored while the next ones arrive. The memory
//! of all requests together is bounded.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use dicom_dictionary_std::tags;
use tokio::sync::Semaphore;
use tokio::task::{JoinError, JoinSet};

use super::composition::{Composed, Composition};
use super::envelope::Form;
use super::outcome::{Failure, FailureReason, PartOutcome, SopIdentity};
use crate::dicom::bounded::{self, Limits, ReadError};
use crate::dicom::sop_class::is_storage_class;
use crate::dicom::{Uid, content, elements, transfer_syntax};
use crate::node::archive::{Archive, ArchiveError, InstanceId, Origin, ReceivedInstance, Rights, Stored};
use crate::node::arrivals::{Feed, StoreEvents};
use crate::node::dicomweb::multipart::{Event, MultipartError, Parser, PartHeaders};
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

    /// The largest object that is accepted.
    pub(super) fn object_bytes(&self) -> u64 {
        self.limits.object_bytes()
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
    /// The part that is being received, or why it is not kept, and its headers.
    part: Option<(PartHeaders, Result<Held, FailureReason>)>,
    /// What objects are made of, where the parts are not objects.
    composition: Option<Composition>,
    /// Parts seen so far.
    count: usize,
    storing: JoinSet<(usize, Ended)>,
    outcomes: Vec<(usize, PartOutcome)>,
    /// Size of the last part: the next one is likely as large.
    expected: usize,
}

impl Upload {
    /// An upload of parts separated by the parser's boundary, all of `study` if one is given.
    pub(super) fn new(intake: Intake, form: Form, parser: Parser, study: Option<Uid>, address: SocketAddr) -> Self {
        Self {
            feed: intake.events.begin(),
            intake,
            parser,
            study,
            address,
            part: None,
            composition: (form == Form::Metadata).then(Composition::default),
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
                Event::Part(headers) => self.begin(headers),
                Event::Content(content) => self.append(&content),
                Event::EndOfPart => self.end().await,
            }
        }
        Ok(())
    }

    /// What became of each part, in the order of the request, and whether the body was complete. A part that was cut
    /// off counts as failed.
    pub(super) async fn finish(mut self) -> (Vec<PartOutcome>, Result<(), MultipartError>) {
        let complete = self.parser.finish();
        if self.part.take().is_some() {
            self.fail(FailureReason::Unreadable);
        }
        if let Some(composition) = self.composition.take().filter(|_| complete.is_ok()) {
            self.compose(composition).await;
        }
        while let Some(stored) = self.storing.join_next().await {
            self.note(stored);
        }
        self.outcomes.sort_by_key(|(index, _)| *index);
        (self.outcomes.into_iter().map(|(_, outcome)| outcome).collect(), complete)
    }

    /// Whatever a part is called, its bytes say whether it is DICOM: clients call it text/plain, too.
    fn begin(&mut self, headers: PartHeaders) {
        self.count += 1;
        let mut held = Held::default();
        // If there is no room for that much, the part may still be smaller than the one before.
        held.reserve(self.expected, &self.intake.memory);
        self.part = Some((headers, Ok(held)));
    }

    /// Takes in more of a part, or drops all of it.
    fn append(&mut self, more: &[u8]) {
        let Some((_, content)) = &mut self.part else { return };
        let Ok(held) = content else { return };
        if (held.len() + more.len()) as u64 > self.intake.limits.object_bytes() {
            *content = Err(FailureReason::TooLarge);
        } else if !held.extend(more, &self.intake.memory) {
            *content = Err(FailureReason::Overloaded);
        }
    }

    async fn end(&mut self) {
        let Some((headers, content)) = self.part.take() else { return };
        if let Some(composition) = &mut self.composition {
            return composition.add(headers, content.map(Held::complete));
        }
        let (content, memory) = match content {
            Ok(held) => held.complete(),
            Err(reason) => return self.fail(reason),
        };
        self.expected = content.len();
        let permits = content.len().clamp(1, WAITING_BYTES) as u32;
        let Ok(waiting) = Arc::clone(&self.intake.waiting).acquire_many_owned(permits).await else { return };
        let (intake, study, address, index) = (self.intake.clone(), self.study.clone(), self.address, self.count);
        self.storing.spawn(async move {
            let reader = intake.clone();
            let outcome = store(&intake, study.as_ref(), address, content.len(), move || read(&content, &reader)).await;
            drop((waiting, memory));
            (index, outcome)
        });
        while let Some(stored) = self.storing.try_join_next() {
            self.note(stored);
        }
    }

    /// Makes objects of what has come, and stores them one after another.
    async fn compose(&mut self, composition: Composition) {
        // Metadata as text is small, and large in memory: that of one request at a time is.
        static COMPOSING: Semaphore = Semaphore::const_new(1);
        let Ok(_turn) = COMPOSING.acquire().await else { return };
        let composition = Arc::new(composition);
        let reader = Arc::clone(&composition);
        let data_sets = tokio::task::spawn_blocking(move || reader.data_sets()).await;
        let data_sets = match data_sets.unwrap_or(Err(FailureReason::Unreadable)) {
            Ok(data_sets) => data_sets,
            Err(reason) => return self.fail(reason),
        };
        for data_set in data_sets {
            self.count += 1;
            let (intake, composition) = (self.intake.clone(), Arc::clone(&composition));
            let read = move || {
                let Composed { transfer_syntax_uid, data_set } = composition.compose(&data_set)?;
                checked(data_set, &transfer_syntax_uid, &SopIdentity::default(), &intake)
            };
            let outcome = store(&self.intake, self.study.as_ref(), self.address, 0, read).await;
            self.note(Ok((self.count, outcome)));
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
                (self.count, PartOutcome::Failed { identity: SopIdentity::default(), reason: FailureReason::Fault })
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

/// Reads and stores one object, which came in so many bytes.
async fn store(
    intake: &Intake,
    study: Option<&Uid>,
    address: SocketAddr,
    bytes: usize,
    read: impl FnOnce() -> Result<Readable, Failure> + Send + 'static,
) -> Ended {
    // A parser that panics cannot read the object.
    let read = tokio::task::spawn_blocking(read).await;
    let ended = match read.unwrap_or(Err((FailureReason::Unreadable, SopIdentity::default()))) {
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

/// Reads a DICOM file.
fn read(file: &Bytes, intake: &Intake) -> Result<Readable, Failure> {
    let parts = bounded::split(file).map_err(|error| ((&error).into(), SopIdentity::default()))?;
    let named = SopIdentity { sop_class_uid: parts.sop_class_uid, sop_instance_uid: parts.sop_instance_uid };
    checked(file.slice_ref(parts.data_set), &parts.transfer_syntax_uid, &named, intake)
}

/// Checks a data set against what is said of it, and against what C-STORE accepts.
fn checked(
    data_set: Bytes,
    transfer_syntax_uid: &str,
    named: &SopIdentity,
    intake: &Intake,
) -> Result<Readable, Failure> {
    let fail = |reason: FailureReason| (reason, named.clone());
    let note = |error: &ReadError| {
        intake.archive.note_unreadable(&data_set, transfer_syntax_uid, &intake.limits, error);
    };
    if !transfer_syntax::is_accepted(transfer_syntax_uid) {
        tracing::info!(transfer_syntax_uid, "an object sent by STOW-RS is in a transfer syntax that is not accepted");
        note(&ReadError::Unreadable(format!("transfer syntax {transfer_syntax_uid} is not accepted")));
        return Err(fail(FailureReason::TransferSyntax));
    }
    let uid = Uid::parse(transfer_syntax_uid).map_err(|_| fail(FailureReason::Unreadable))?;
    let (header, pixels) = content::read(&data_set, transfer_syntax_uid, &intake.limits).map_err(|error| {
        tracing::info!(%error, "an object sent by STOW-RS cannot be read");
        note(&error);
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
    if identity.sop_class_uid.as_ref().is_some_and(|class| !is_storage_class(class.as_str())) {
        return Err((FailureReason::SopClass, identity));
    }
    let origin = Origin::Stow { address: String::new() };
    let rights = Rights::default();
    let instance = ReceivedInstance { transfer_syntax_uid: uid, data_set, header, pixels, origin, rights };
    Ok(Readable { instance, identity })
}

async fn file_away(intake: &Intake, study: Option<&Uid>, address: SocketAddr, readable: Readable) -> Ended {
    let Readable { mut instance, identity } = readable;
    instance.origin = Origin::Stow { address: address.ip().to_string() };
    let Ok(id) = InstanceId::of(&instance.header) else { return Err((FailureReason::Mismatch, identity)) };
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
