//! The time that a request may take to come: a call whose client sends half a request, or none, does not wait for ever.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::body::Body;
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep_until};
use tonic::Status;

/// A request's body, which breaks off at its deadline. Most bodies are there when they are asked for, and set no timer.
pub struct Timed {
    body: Body,
    time: Duration,
    deadline: Instant,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Timed {
    /// The body, of which all has to come within `time` from now.
    pub fn new(body: Body, time: Duration) -> Self {
        Self { body, time, deadline: Instant::now() + time, timer: None }
    }
}

impl http_body::Body for Timed {
    type Data = Bytes;
    type Error = axum::BoxError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = self.get_mut();
        if let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(cx) {
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        let deadline = this.deadline;
        let timer = this.timer.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        ready!(timer.as_mut().poll(cx));
        let late = Status::deadline_exceeded(format!("the request took longer than {:?}", this.time));
        Poll::Ready(Some(Err(late.into())))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use futures::stream;
    use http_body_util::{BodyExt as _, StreamBody};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_has_come_is_read_and_what_does_not_come_is_not_waited_for() {
        let time = Duration::from_secs(30);
        let whole = Timed::new(Body::from("whole"), time);
        assert_eq!(whole.collect().await.unwrap().to_bytes(), "whole");

        let half = stream::iter([Ok::<_, std::io::Error>(Frame::data(Bytes::from_static(b"half")))]);
        let half = Body::new(StreamBody::new(futures::StreamExt::chain(half, stream::pending())));
        let mut half = Timed::new(half, time);
        let started = Instant::now();
        assert_eq!(half.frame().await.unwrap().unwrap().into_data().unwrap(), "half");
        let error = half.frame().await.unwrap().unwrap_err();
        assert_eq!(error.downcast::<Status>().unwrap().code(), tonic::Code::DeadlineExceeded);
        assert!((time..time + Duration::from_secs(1)).contains(&started.elapsed()));
    }
}
