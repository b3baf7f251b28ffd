//! The one writer of Server-Sent Events.
//!
//! One `data:` line per event, LF only, `id:` the event's sequence. A keep-alive is a comment with one LF and never an
//! empty line: an empty line would dispatch an event, and official clients crash on one without data. Reading the next
//! events waits until the client has taken the last ones, and the watch is dropped with the connection.

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use bytes::{BufMut as _, Bytes, BytesMut};
use futures::{Stream, stream};
use http::header;
use http_body_util::StreamBody;
use hyper::body::Frame;
use tokio::time::{Duration, Instant, sleep_until};

use super::{
    a2a::Updates,
    jsonrpc::envelope::{Id, write_failure, write_success},
    observe::Observation,
    rest::Form,
    status::{self, RpcError},
};
use crate::{
    error::Error,
    task::{Dialect, Event},
    wire,
};

const HEADERS: [(header::HeaderName, &str); 3] = [
    (header::CONTENT_TYPE, "text/event-stream"),
    (header::CACHE_CONTROL, "no-cache"),
    (header::HeaderName::from_static("x-accel-buffering"), "no"),
];
const KEEP_ALIVE: &[u8] = b": ping\n";

/// How the events of one stream are written.
pub enum Writer {
    /// As JSON-RPC answers; PraisonAI's bare, under the name of what happened.
    JsonRpc {
        /// The dialect of the request.
        dialect: Dialect,
        /// The request's id, which every event repeats.
        id: Id,
        /// The method that was called.
        method: String,
    },
    /// Bare, as REST has them.
    Rest(Form),
}

impl Writer {
    /// One event; nothing when the dialect has no form for it.
    fn event(&self, out: &mut BytesMut, event: &Event) {
        match self {
            Self::JsonRpc { dialect: Dialect::Praison, .. } => {
                let Some(json) = wire::encode::event(Dialect::Praison, event) else { return };
                line(out, "event: ", wire::praisonai::event_name(event).as_bytes());
                line(out, "data: ", &json);
            }
            Self::JsonRpc { dialect, id, .. } => {
                let Some(json) = wire::encode::event(*dialect, event) else { return };
                line(out, "id: ", event.sequence.to_string().as_bytes());
                out.put_slice(b"data: ");
                write_success(out, id, &json);
                out.put_u8(b'\n');
            }
            Self::Rest(form) => {
                let Some(json) = form.event(event) else { return };
                line(out, "id: ", event.sequence.to_string().as_bytes());
                line(out, "data: ", &json);
            }
        }
        out.put_u8(b'\n');
    }

    /// An error after the stream has begun. PraisonAI's dialect has no such event: its stream just ends. REST has no
    /// envelope that tells one from what happened, so that the event's name does.
    fn error(&self, out: &mut BytesMut, error: &Error) {
        match self {
            Self::JsonRpc { dialect: Dialect::Praison, .. } => return,
            Self::JsonRpc { dialect, id, method } => {
                out.put_slice(b"data: ");
                write_failure(out, id, &status::jsonrpc(error, *dialect, method));
                out.put_u8(b'\n');
            }
            Self::Rest(form) => {
                line(out, "event: ", b"error");
                line(out, "data: ", form.error(error).1.to_string().as_bytes());
            }
        }
        out.put_u8(b'\n');
    }

    /// What follows the last event.
    fn end(&self, out: &mut BytesMut) {
        if let Self::JsonRpc { dialect: Dialect::Praison, .. } = self {
            line(out, "event: ", wire::praisonai::DONE.as_bytes());
            line(out, "data: ", b"{}");
            out.put_u8(b'\n');
        }
    }
}

fn line(out: &mut BytesMut, field: &str, value: &[u8]) {
    out.put_slice(field.as_bytes());
    out.put_slice(value);
    out.put_u8(b'\n');
}

/// The answer that streams the updates.
pub fn answer(updates: Updates, writer: Writer, keep_alive: Duration, seen: Observation) -> Response {
    let open = Open { updates, writer, keep_alive, seen };
    let frames = futures::StreamExt::map(chunks(open), |chunk| Ok::<_, std::convert::Infallible>(Frame::data(chunk)));
    (HEADERS, Body::new(StreamBody::new(frames))).into_response()
}

/// The answer that is a stream of one error.
pub fn refusal(id: &Id, error: &RpcError) -> Response {
    let mut out = BytesMut::new();
    out.put_slice(b"data: ");
    write_failure(&mut out, id, error);
    out.put_slice(b"\n\n");
    (HEADERS, out.freeze()).into_response()
}

/// A stream that has not ended.
struct Open {
    updates: Updates,
    writer: Writer,
    keep_alive: Duration,
    seen: Observation,
}

/// The stream's text, as much at a time as is ready.
fn chunks(open: Open) -> impl Stream<Item = Bytes> + Send {
    stream::unfold(Some(open), async |open| {
        let mut open = open?;
        let mut out = BytesMut::new();
        let ping = Instant::now() + open.keep_alive;
        loop {
            let batch = tokio::select! {
                biased;
                batch = open.updates.next_batch() => batch,
                () = sleep_until(ping) => return Some((Bytes::from_static(KEEP_ALIVE), Some(open))),
            };
            match batch {
                Some(Ok(events)) => {
                    open.seen.answered();
                    events.iter().for_each(|event| open.writer.event(&mut out, event));
                    if !out.is_empty() {
                        return Some((out.freeze(), Some(open)));
                    }
                }
                Some(Err(error)) => {
                    open.writer.error(&mut out, &error);
                    open.seen.fail(&error);
                    return Some((out.freeze(), None));
                }
                None => {
                    open.writer.end(&mut out);
                    open.seen.succeed();
                    return Some((out.freeze(), None));
                }
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        error::ErrorKind,
        proto::a2a::{TaskState, TaskStatus, TaskStatusUpdateEvent, stream_response::Payload},
        task::TaskId,
    };

    fn event(state: TaskState) -> Event {
        let status = TaskStatus { state: state.into(), ..TaskStatus::default() };
        let task_id = TaskId::mint();
        let update = TaskStatusUpdateEvent {
            task_id: task_id.to_string(),
            context_id: "two\nlines".into(),
            status: Some(status),
            metadata: None,
        };
        Event::new(task_id, 7, 0, state, Payload::StatusUpdate(update))
    }

    fn writer(dialect: Dialect) -> Writer {
        Writer::JsonRpc { dialect, id: Id::of("\"q-1\""), method: "message/stream".into() }
    }

    fn written(write: impl FnOnce(&mut BytesMut)) -> String {
        let mut out = BytesMut::new();
        write(&mut out);
        String::from_utf8(out.to_vec()).unwrap()
    }

    #[test]
    fn an_event_is_an_id_line_and_one_data_line() {
        for dialect in [Dialect::V1, Dialect::V03] {
            let text = written(|out| writer(dialect).event(out, &event(TaskState::Working)));
            let (id, rest) = text.split_once('\n').unwrap();
            assert_eq!(id, "id: 7");
            let data = rest.strip_prefix("data: ").unwrap().strip_suffix("\n\n").unwrap();
            assert!(!data.contains(['\n', '\r']));
            let json: serde_json::Value = serde_json::from_str(data).unwrap();
            assert_eq!((&json["jsonrpc"], &json["id"]), (&"2.0".into(), &"q-1".into()));
            assert!(json["result"].is_object() && json.get("error").is_none());
        }
    }

    #[test]
    fn praisonai_has_named_events_without_envelope_and_a_last_one() {
        let text = written(|out| {
            writer(Dialect::Praison).event(out, &event(TaskState::Completed));
            writer(Dialect::Praison).end(out);
        });
        let (first, rest) = text.split_once("\n\n").unwrap();
        let (name, data) = first.split_once('\n').unwrap();
        assert_eq!(name, "event: task.status");
        let json: serde_json::Value = serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap();
        assert_eq!((&json["status"]["state"], &json["final"]), (&"completed".into(), &true.into()));
        assert_eq!(rest, "event: done\ndata: {}\n\n");
    }

    #[test]
    fn rest_has_bare_events_and_errors_under_a_name() {
        let error = Error::new(ErrorKind::Unavailable, "shutting down");
        for (form, member) in [(Form::V1, "/error/code"), (Form::V03, "/code")] {
            let text = written(|out| Writer::Rest(form).event(out, &event(TaskState::Working)));
            let data = text.strip_prefix("id: 7\ndata: ").unwrap().strip_suffix("\n\n").unwrap();
            let json: serde_json::Value = serde_json::from_str(data).unwrap();
            assert_eq!(json["statusUpdate"]["status"]["state"], "TASK_STATE_WORKING");
            assert_eq!(json["statusUpdate"].get("final").is_some(), form == Form::V03);
            let text = written(|out| Writer::Rest(form).error(out, &error));
            let data = text.strip_prefix("event: error\ndata: ").unwrap().strip_suffix("\n\n").unwrap();
            let json: serde_json::Value = serde_json::from_str(data).unwrap();
            assert_eq!(json.pointer(member), Some(&if form == Form::V1 { 503 } else { -32603 }.into()));
            assert_eq!(written(|out| Writer::Rest(form).end(out)), "");
        }
    }

    #[test]
    fn an_error_in_midstream_is_a_jsonrpc_error_but_not_for_praisonai() {
        let error = Error::new(ErrorKind::Unavailable, "shutting down");
        let text = written(|out| writer(Dialect::V1).error(out, &error));
        let json: serde_json::Value =
            serde_json::from_str(text.strip_prefix("data: ").unwrap().strip_suffix("\n\n").unwrap()).unwrap();
        assert_eq!(json["error"]["code"], -32603);
        assert_eq!(json["error"]["data"][0]["reason"], "UNAVAILABLE");
        assert!(json.get("result").is_none());
        assert_eq!(written(|out| writer(Dialect::Praison).error(out, &error)), "");
        assert_eq!(written(|out| writer(Dialect::V1).end(out)), "");
    }

    #[test]
    fn a_keep_alive_is_a_comment_without_an_empty_line() {
        let text = std::str::from_utf8(KEEP_ALIVE).unwrap();
        assert!(text.starts_with(':') && text.ends_with('\n'));
        assert_eq!(text.matches('\n').count(), 1);
    }
}
