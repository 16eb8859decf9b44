//! C-STORE of many objects, one answer at a time: who records an answer has recorded it before the next object goes.

use std::collections::BTreeSet;

use super::super::command::{Command, MoveOriginator};
use super::super::requesting::{Proposal, Requested};
use super::super::status::Status;
use super::encode;
use super::outcome::{SendOutcome, refused};
use super::outgoing::Outgoing;
use super::peer::{Peer, ScuError};
use crate::dicom::bounded::Limits;

/// Presentation contexts have odd identifiers of one byte (PS3.8 9.3.2.2).
const MAXIMUM_CONTEXTS: usize = 128;

/// Objects on their way to a peer.
///
/// If the association breaks at an object, those after it are sent over another one. If that breaks at its first object
/// too, the peer is at fault, and the rest is not sent.
pub struct Sending<'a> {
    peer: &'a Peer,
    objects: &'a [Outgoing],
    limits: &'a Limits,
    /// Place of the next object.
    next: usize,
    association: Option<Open>,
    /// True if the last object broke its association.
    broke: bool,
    /// Why nothing more is sent.
    given_up: Option<String>,
}

/// The association in use, and the places of the objects that it can carry.
struct Open {
    association: Requested,
    first: usize,
    end: usize,
}

impl<'a> Sending<'a> {
    /// Nothing is sent before [`Sending::next`].
    pub fn new(peer: &'a Peer, objects: &'a [Outgoing], limits: &'a Limits) -> Self {
        Self { peer, objects, limits, next: 0, association: None, broke: false, given_up: None }
    }

    /// Sends the next object; its outcome, or `None` after the last one. The outcomes come in the order of the objects.
    pub async fn next(&mut self) -> Option<SendOutcome> {
        let Some(object) = self.objects.get(self.next) else {
            self.end().await;
            return None;
        };
        let place = self.next;
        self.next += 1;
        if let Some(reason) = &self.given_up {
            return Some(SendOutcome::Unsent(reason.clone()));
        }
        let mut open = match self.open(place).await {
            Ok(open) => open,
            Err(error) => return Some(SendOutcome::Unsent(self.give_up(&error))),
        };
        match store_one(&mut open.association, object, self.peer.originator.clone(), self.limits).await {
            Ok(outcome) => {
                self.association = Some(open);
                self.broke = false;
                Some(outcome)
            }
            Err(error) => {
                if self.broke && open.first == place {
                    self.give_up(&error);
                }
                self.broke = true;
                Some(SendOutcome::Unanswered(error.to_string()))
            }
        }
    }

    /// Leaves out the next object: it is not to be sent after all.
    pub fn skip(&mut self) {
        self.next += 1;
    }

    fn give_up(&mut self, error: &ScuError) -> String {
        self.given_up.insert(error.to_string()).clone()
    }

    /// The association that carries the object at `place`.
    async fn open(&mut self, place: usize) -> Result<Open, ScuError> {
        if let Some(open) = self.association.take_if(|open| place < open.end) {
            return Ok(open);
        }
        self.end().await;
        let (count, proposals) = plan(&self.objects[place..]);
        let association = Requested::associate(self.peer, &proposals).await?;
        Ok(Open { association, first: place, end: place + count })
    }

    /// Releases the association, if there is one.
    pub async fn end(&mut self) {
        if let Some(open) = self.association.take() {
            open.association.conversation.release().await;
        }
    }
}

/// Stores files at a peer. `each` is called with every outcome as it comes and the object's place in `objects`; all
/// outcomes are returned in order.
pub async fn store(
    peer: &Peer,
    objects: &[Outgoing],
    limits: &Limits,
    mut each: impl FnMut(usize, &SendOutcome),
) -> Vec<SendOutcome> {
    let mut outcomes: Vec<SendOutcome> = Vec::with_capacity(objects.len());
    let mut sending = Sending::new(peer, objects, limits);
    while let Some(outcome) = sending.next().await {
        each(outcomes.len(), &outcome);
        outcomes.push(outcome);
    }
    outcomes
}

async fn store_one(
    association: &mut Requested,
    object: &Outgoing,
    originator: Option<MoveOriginator>,
    limits: &Limits,
) -> Result<SendOutcome, ScuError> {
    let class = object.sop_class_uid.as_str();
    let Some((context_id, transfer_syntax)) = association.context(class, Some(&object.transfer_syntax_uid)) else {
        return Ok(SendOutcome::ClassRefused(association.refusal(class)));
    };
    let bytes = match encode::in_background(object, transfer_syntax, limits).await {
        Ok(bytes) => bytes,
        Err(error) => return Ok(SendOutcome::Unsendable(error.to_string())),
    };
    let request = |message_id| {
        Command::store(message_id, object.sop_class_uid.clone(), object.sop_instance_uid.clone())
            .on_behalf_of(originator)
    };
    let (status, comment) = association.conversation.request(context_id, &bytes, request).await?;
    Ok(match status {
        status if status.is_stored() => SendOutcome::Stored(status),
        Status::SOP_CLASS_NOT_SUPPORTED => SendOutcome::ClassRefused(refused(status, &comment)),
        status => SendOutcome::Refused(status, comment),
    })
}

/// How many of the objects one association can carry, and what it proposes. For each class, each transfer syntax in use
/// has a context of its own, because a peer accepts only one per context. One more context has the uncompressed ones.
fn plan(objects: &[Outgoing]) -> (usize, Vec<Proposal>) {
    let mut stored = BTreeSet::new();
    let mut classes = BTreeSet::new();
    let mut count = 0;
    for object in objects {
        let class = object.sop_class_uid.as_str();
        let more_stored = !stored.contains(&(class, object.transfer_syntax_uid.as_str()));
        let more_classes = !classes.contains(class);
        if stored.len() + classes.len() + usize::from(more_stored) + usize::from(more_classes) > MAXIMUM_CONTEXTS {
            break;
        }
        stored.insert((class, object.transfer_syntax_uid.as_str()));
        classes.insert(class);
        count += 1;
    }
    let exact = stored.iter().map(|(class, syntax)| Proposal::new(class, &[*syntax]));
    let uncompressed = classes.iter().map(|class| Proposal::service(class));
    (count, exact.chain(uncompressed).collect())
}
