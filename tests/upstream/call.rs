//! The script's side of a call: what was asked, and the ways to answer.

use std::{
    ops::Deref,
    sync::{Arc, Mutex},
};

use a2a_gateway::proto::a2a::{Role, TaskState};
use http::{HeaderName, Response};
use serde_json::Value;
use tokio::sync::{mpsc, oneshot};

use super::{
    Face, PATIENCE,
    model::{Event, Kind, Said, Snapshot, said},
    request::Request,
    server::{Body, Piece},
    wire::{Wire, response},
};

/// Answers that never come.
pub type Hung = Arc<Mutex<Vec<oneshot::Sender<Response<Body>>>>>;

/// A call that waits for its answer. Dropped without one, its connection is reset.
pub struct Call {
    request: Request,
    wire: Wire,
    /// What the agent would call the task and its conversation.
    ids: (String, String),
    answer: oneshot::Sender<Response<Body>>,
    hung: Hung,
}

impl Deref for Call {
    type Target = Request;

    fn deref(&self) -> &Request {
        &self.request
    }
}

impl Call {
    pub fn new(
        request: Request,
        wire: Wire,
        fresh: usize,
        hung: Hung,
        answer: oneshot::Sender<Response<Body>>,
    ) -> Self {
        let or_fresh =
            |given: &str, kind: &str| if given.is_empty() { format!("{kind}-{fresh}") } else { given.into() };
        let praison = wire.face == Face::Praison;
        // For PraisonAI every send is a new task, and a context is there only when it is given.
        let task = if praison && request.operation.is_send() { "" } else { &request.task_id };
        let context = if praison { request.context_id.clone() } else { or_fresh(&request.context_id, "ctx") };
        let ids = (or_fresh(task, "task"), context);
        Self { request, wire, ids, answer, hung }
    }

    /// The task that is meant, or a new one, with the message in its history where there is one.
    pub fn snapshot(&self, state: TaskState) -> Snapshot {
        let snapshot = Snapshot::new(&self.ids.0, &self.ids.1, state);
        if self.operation.is_send() { snapshot.history(Role::User, &self.text) } else { snapshot }
    }

    /// With a task.
    pub fn task(self, task: &Snapshot) {
        let answer = self.wire.task(task);
        self.give(answer);
    }

    /// With a message and no task. PraisonAI's servers have no such thing, and give a completed task.
    pub fn message(self, text: &str) {
        let answer = if self.wire.face == Face::Praison {
            self.wire.task(&self.snapshot(TaskState::Completed).artifact("art-reply", &[text]))
        } else {
            self.wire.message(&reply(&self.ids, text))
        };
        self.give(answer);
    }

    /// With an error in the face's own form.
    pub fn error(self, kind: Kind) {
        self.error_saying(kind, &format!("scripted: {kind:?}"));
    }

    pub fn error_saying(self, kind: Kind, text: &str) {
        let answer = self.wire.error(kind, text);
        self.give(answer);
    }

    /// With any gRPC status.
    pub fn status(self, status: &tonic::Status) {
        let answer = self.wire.status(status);
        self.give(answer);
    }

    /// With any result, in the envelope of an HTTP face.
    pub fn result(self, result: &Value) {
        let answer = self.wire.result(result);
        self.give(answer);
    }

    /// With something of the right media type that is not A2A.
    pub fn garbage(self) {
        let answer = self.wire.garbage();
        self.give(answer);
    }

    /// With any HTTP answer, on gRPC, too.
    pub fn raw_http(self, status: u16, headers: &[(&'static str, &str)], body: impl Into<bytes::Bytes>) {
        let headers = headers.iter().map(|(name, value)| (HeaderName::from_static(name), *value));
        let answer = response(status, headers, body);
        self.give(answer);
    }

    /// Never, though the connection stays open.
    pub fn hang(self) {
        self.hung.lock().unwrap().push(self.answer);
    }

    /// With the end of the connection (RST).
    pub fn reset(self) {}

    /// Waits until the gateway has given up the call.
    pub async fn gone(mut self) {
        tokio::time::timeout(PATIENCE, self.answer.closed()).await.expect("the call was not given up");
    }

    /// With a stream, whose head is sent at once.
    pub fn stream(self) -> Stream {
        let (pieces, answer) = self.wire.stream();
        let stream = Stream { wire: self.wire, ids: self.ids, pieces };
        drop(self.answer.send(answer));
        stream
    }

    /// Nobody may be waiting any more; that is no fault of the script's.
    fn give(self, answer: Response<Body>) {
        drop(self.answer.send(answer));
    }
}

/// A stream that the script writes. What it says waits for a slow reader; it is lost when the reader has gone. Dropped,
/// the stream is closed without an end of its own.
pub struct Stream {
    wire: Wire,
    ids: (String, String),
    pieces: mpsc::Sender<Piece>,
}

impl Stream {
    /// As [`Call::snapshot`], without history.
    pub fn snapshot(&self, state: TaskState) -> Snapshot {
        Snapshot::new(&self.ids.0, &self.ids.1, state)
    }

    /// The task and context that later events are about.
    pub fn set_ids(&mut self, task: &str, context: &str) {
        self.ids = (task.into(), context.into());
    }

    /// A whole task; later events are about it. PraisonAI's servers say it in status and artifact events.
    pub async fn task(&mut self, task: &Snapshot) {
        self.set_ids(&task.id, &task.context);
        self.event(&Event::Task(task.clone())).await;
    }

    /// A message instead of a task. PraisonAI's servers say a completed task.
    pub async fn message(&mut self, text: &str) {
        let mut said = reply(&self.ids, text);
        if self.wire.face == Face::Praison {
            said.task.clone_from(&self.ids.0);
        }
        self.event(&Event::Message(said)).await;
    }

    /// A status; without a message if the text is empty.
    pub async fn status(&mut self, state: TaskState, text: &str) {
        let (task, context) = self.ids.clone();
        let said = said(&task, &context, state, text);
        self.event(&Event::Status { task, context, state, said }).await;
    }

    /// An artifact of one part, or one more part of it.
    pub async fn artifact(&mut self, id: &str, text: &str, append: bool, last: bool) {
        let (task, context) = self.ids.clone();
        self.event(&Event::Artifact { task, context, id: id.into(), text: text.into(), append, last }).await;
    }

    pub async fn event(&mut self, event: &Event) {
        for piece in self.wire.event(event) {
            self.send(piece).await;
        }
    }

    /// An error, which ends the stream.
    pub async fn error(mut self, kind: Kind) {
        for piece in self.wire.stream_error(kind, &format!("scripted: {kind:?}")) {
            self.send(piece).await;
        }
    }

    /// An event of the right form whose content is not A2A.
    pub async fn garbage(&mut self) {
        let piece = self.wire.garbage_event();
        self.send(piece).await;
    }

    /// Any bytes of the body.
    pub async fn event_raw(&mut self, bytes: impl Into<bytes::Bytes>) {
        self.send(Piece::Data(bytes.into())).await;
    }

    /// A sign of life, where the face's server gives any.
    pub async fn ping(&mut self) {
        if let Some(piece) = self.wire.ping() {
            self.send(piece).await;
        }
    }

    /// Ends the stream as the face does when all is said.
    pub async fn end(mut self) {
        for piece in self.wire.end() {
            self.send(piece).await;
        }
    }

    /// Ends the connection (RST), after what was said has been written to it.
    pub async fn reset(mut self) {
        self.send(Piece::Reset).await;
        self.gone().await;
    }

    /// Waits until the gateway reads no more.
    pub async fn gone(self) {
        tokio::time::timeout(PATIENCE, self.pieces.closed()).await.expect("the stream was not given up");
    }

    async fn send(&mut self, piece: Piece) {
        drop(self.pieces.send(piece).await);
    }
}

fn reply((task, context): &(String, String), text: &str) -> Said {
    let (context, text) = (context.clone(), text.into());
    Said { id: format!("reply-to-{task}"), task: String::new(), context, role: Role::Agent, text }
}
