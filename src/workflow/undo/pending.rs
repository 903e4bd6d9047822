//! A step with `undo` that is on its way: written down before it is sent, settled by its answer.

use super::compile::Undo;
use super::held::{Held, Undoing};
use crate::measure::{Creation, CreationPhase, FailureKind, Fate};
use crate::workflow::answer::Answer;
use crate::workflow::step::Step;
use crate::workflow::variable::Context;
use http::{HeaderMap, Uri};
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

/// What an iteration created so far.
pub(crate) type Made = Rc<RefCell<Vec<Held>>>;

/// A creation whose answer is not there yet. One that is dropped before is kept: it may have been created.
pub(crate) struct Pending {
    held: Option<Held>,
    made: Made,
}

/// In whose name something is created.
pub(crate) struct Maker {
    pub(crate) phase: CreationPhase,
    pub(crate) user: u32,
    pub(crate) group: u64,
}

// === impl Pending ===

impl Pending {
    /// Writes down that a step is about to be sent, and waits until that is safe. None where nothing is to be undone.
    ///
    /// # Errors
    /// Where it could not be written: the step is not to be sent.
    pub(crate) async fn begin(
        undoing: &Undoing,
        step: &Step,
        maker: Maker,
        context: Context<'_>,
        scratch: &mut Vec<u8>,
        made: &Made,
    ) -> std::io::Result<Option<Self>> {
        let (Some(undo), Some(log)) = (&step.undo, undoing.log()) else { return Ok(None) };
        let uri = undo.url.fill(context).ok();
        let creation = Creation {
            id: undoing.number(),
            phase: maker.phase,
            scenario: step.scenario.clone(),
            step: step.name.clone(),
            user: maker.user,
            group: maker.group,
            method: undo.method.to_string(),
            url: uri.as_ref().map(Uri::to_string),
        };
        let headers = undo.headers(context, scratch);
        log.before(&creation).await?;
        let held = Held { creation, uri, headers, sure: false, log: Arc::clone(log), leftover: false };
        Ok(Some(Self { held: Some(held), made: Rc::clone(made) }))
    }

    /// The answer is there.
    pub(crate) fn settle(mut self, undo: &Undo, answer: &Answer, context: Context<'_>, scratch: &mut Vec<u8>) {
        let Some(mut held) = self.held.take() else { return };
        if !may_have_created(answer, held.uri.is_some()) {
            held.log.after(held.creation.id, Fate::Nothing);
            return;
        }
        held.sure = answer.failure.is_none() && answer.status < 400;
        if let Some(headers) = undo.headers(context, scratch) {
            held.headers = Some(headers);
        }
        if held.sure {
            held.uri = undo.url.fill(context).ok();
            held.creation.url = held.uri.as_ref().map(Uri::to_string);
            if let Some(url) = &held.creation.url {
                held.log.after(held.creation.id, Fate::Created { url: url.clone() });
            }
        }
        self.made.borrow_mut().push(held);
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        // The load ended while it was on its way.
        if let Some(held) = self.held.take() {
            self.made.borrow_mut().push(held);
        }
    }
}

// === impl Undo ===

impl Undo {
    /// The headers that it is sent with, as far as the variables are there.
    pub(crate) fn headers(&self, context: Context<'_>, scratch: &mut Vec<u8>) -> Option<HeaderMap> {
        let mut headers = self.headers.fixed.clone();
        self.headers.fill(context, scratch, &mut headers).ok()?;
        Some(headers)
    }
}

/// Whether the step may have created something. `known` is whether what undoes it was known before its answer.
///
/// What was never sent, or was refused by a status of 400 to 499, created nothing. One of 500 and above may have: it is
/// undone where that can be said, and taken for nothing where not.
fn may_have_created(answer: &Answer, known: bool) -> bool {
    match answer.failure {
        Some(
            FailureKind::Refused
            | FailureKind::Dns
            | FailureKind::Tls
            | FailureKind::InvalidRequest
            | FailureKind::Forbidden
            | FailureKind::Connect,
        ) => false,
        Some(FailureKind::Reset | FailureKind::Timeout | FailureKind::Protocol | FailureKind::TooLarge) => true,
        None => answer.status < 400 || (answer.status >= 500 && known),
    }
}
