//! The events of a stream over HTTP.

use std::{collections::VecDeque, ops::ControlFlow};

use futures::stream;

use super::Reply;
use crate::agent::a2a::{
    link::{CallError, Event, Events},
    sse,
};

/// What one Server-Sent Event is: one of the agent's events, nothing, or the end of the stream.
pub(in crate::agent::a2a) type Step = ControlFlow<(), Option<Event>>;

/// The stream of what `read` makes of the answer's events. Any byte counts as sound, keep-alives too.
pub(in crate::agent::a2a) fn events(
    reply: Reply,
    read: impl FnMut(sse::Event) -> Result<Step, CallError> + Send + 'static,
) -> Events {
    let parser = sse::Parser::new(reply.limit());
    let open = Open { reply, parser, ready: VecDeque::new(), read };
    Box::pin(stream::unfold(Some(open), async |open| {
        let mut open = open?;
        match open.next().await {
            Ok(Some(event)) => Some((Ok(event), Some(open))),
            Ok(None) => None,
            Err(error) => Some((Err(error), None)),
        }
    }))
}

/// A stream that has not ended.
struct Open<R> {
    reply: Reply,
    parser: sse::Parser,
    ready: VecDeque<sse::Event>,
    read: R,
}

impl<R: FnMut(sse::Event) -> Result<Step, CallError>> Open<R> {
    async fn next(&mut self) -> Result<Option<Event>, CallError> {
        loop {
            while let Some(event) = self.ready.pop_front() {
                match (self.read)(event)? {
                    Step::Continue(Some(event)) => return Ok(Some(event)),
                    Step::Continue(None) => {}
                    Step::Break(()) => return Ok(None),
                }
            }
            let Some(chunk) = self.reply.chunk().await? else { return Ok(None) };
            let whole = self.parser.push(&chunk, &mut self.ready);
            // What came before an event that is too large is still told.
            if whole.is_err() && self.ready.is_empty() {
                let (place, limit) = (self.reply.place(), self.reply.limit());
                return Err(CallError::Malformed(format!("an event of {place} is larger than {limit} bytes")));
            }
        }
    }
}
