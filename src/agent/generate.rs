//! Update streams written as plain async functions.
//!
//! What is emitted is handed over one by one: `emit` returns when the consumer asks for more, that is, once it has dealt
//! with what it was given. Dropping the stream drops the function where it stands.

use std::{
    future::{Future, poll_fn},
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};

use futures::Stream;

use super::{AgentError, Update, UpdateStream};

/// Gives updates to the stream's consumer.
#[derive(Debug)]
pub struct Emitter {
    slot: Arc<Mutex<Option<Update>>>,
}

impl Emitter {
    /// Hands over an update; returns when the consumer wants the next one.
    pub async fn emit(&self, update: Update) {
        *lock(&self.slot) = Some(update);
        poll_fn(|_| if lock(&self.slot).is_none() { Poll::Ready(()) } else { Poll::Pending }).await;
    }
}

/// The stream of what a function emits; its error is the stream's last item.
pub fn generate<F>(function: impl FnOnce(Emitter) -> F) -> UpdateStream
where
    F: Future<Output = Result<(), AgentError>> + Send + 'static,
{
    let slot = Arc::new(Mutex::new(None));
    let future = Box::pin(function(Emitter { slot: slot.clone() }));
    Box::pin(Generated { slot, state: State::Running(future) })
}

struct Generated<F> {
    slot: Arc<Mutex<Option<Update>>>,
    state: State<F>,
}

enum State<F> {
    Running(Pin<Box<F>>),
    /// The function has returned; its error is still to be told.
    Returned(Option<AgentError>),
}

impl<F: Future<Output = Result<(), AgentError>>> Stream for Generated<F> {
    type Item = Result<Update, AgentError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let State::Running(future) = &mut self.state
            && let Poll::Ready(result) = future.as_mut().poll(cx)
        {
            self.state = State::Returned(result.err());
        }
        if let Some(update) = lock(&self.slot).take() {
            return Poll::Ready(Some(Ok(update)));
        }
        match &mut self.state {
            State::Running(_) => Poll::Pending,
            State::Returned(error) => Poll::Ready(error.take().map(Err)),
        }
    }
}

fn lock(slot: &Mutex<Option<Update>>) -> std::sync::MutexGuard<'_, Option<Update>> {
    slot.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures::{FutureExt as _, StreamExt as _};

    use super::*;
    use crate::proto::a2a::{Message, TaskState};

    fn status(state: TaskState) -> Update {
        Update::Status { state, message: None, metadata: None }
    }

    #[tokio::test]
    async fn the_function_waits_until_its_update_was_dealt_with() {
        let passed = Arc::new(AtomicUsize::new(0));
        let seen = passed.clone();
        let mut stream = generate(async move |emitter: Emitter| {
            emitter.emit(Update::Sending).await;
            seen.fetch_add(1, Ordering::Relaxed);
            emitter.emit(status(TaskState::Working)).await;
            seen.fetch_add(1, Ordering::Relaxed);
            Err(AgentError::failed("broken"))
        });
        assert_eq!(stream.next().await, Some(Ok(Update::Sending)));
        assert_eq!(passed.load(Ordering::Relaxed), 0, "not before the next one is asked for");
        assert_eq!(stream.next().await, Some(Ok(status(TaskState::Working))));
        assert_eq!(passed.load(Ordering::Relaxed), 1);
        assert_eq!(stream.next().await, Some(Err(AgentError::failed("broken"))));
        assert_eq!(stream.next().await, None);
        assert_eq!(stream.next().await, None, "it stays ended");
    }

    #[tokio::test]
    async fn what_is_pending_is_waited_for() {
        let (send, receive) = tokio::sync::oneshot::channel();
        let mut stream = generate(async move |emitter: Emitter| {
            let message: Message = receive.await.map_err(|_| AgentError::failed("gone"))?;
            emitter.emit(Update::Reply(message)).await;
            Ok(())
        });
        assert!(stream.next().now_or_never().is_none());
        send.send(Message::default()).unwrap();
        assert_eq!(stream.next().await, Some(Ok(Update::Reply(Message::default()))));
        assert_eq!(stream.next().await, None);
    }
}
