//! gRPC by hand: frames and trailers of the script's choosing, around the messages of A2A 1.0 and 0.3.

mod v03;
mod v1;

use bytes::{BufMut as _, Bytes, BytesMut};
use http::{HeaderMap, HeaderValue};

use super::{
    Face,
    model::{Event, Said, Snapshot},
    request::{Operation, Reject, Request, violation},
    server::Received,
};

/// The bytes of no message.
pub const GARBAGE: &[u8] = &[0xff; 7];

/// A message with the prefix that gRPC gives it.
pub fn frame(message: &[u8]) -> Bytes {
    let mut frame = BytesMut::with_capacity(message.len() + 5);
    frame.put_u8(0);
    frame.put_u32(message.len().try_into().unwrap());
    frame.put_slice(message);
    frame.freeze()
}

/// The trailers of a call that went well.
pub fn ok() -> HeaderMap {
    [(http::header::HeaderName::from_static("grpc-status"), HeaderValue::from_static("0"))].into_iter().collect()
}

/// Reads a call of either version.
pub fn read(face: Face, received: &Received) -> Result<Request, Reject> {
    let (package, version) = if face == Face::Grpc10 { ("lf.a2a.v1", Some("1.0")) } else { ("a2a.v1", None) };
    let path = received.uri.path();
    let header = |name| received.headers.get(name).map(|value: &HeaderValue| value.to_str().unwrap());
    if header("content-type") != Some("application/grpc") || header("te") != Some("trailers") {
        return violation("not gRPC");
    }
    if header("a2a-version") != version && (version.is_some() || header("a2a-version") != Some("0.3")) {
        return violation(format!("a2a-version: {:?}", header("a2a-version")));
    }
    let Some(method) = path.strip_prefix(&format!("/{package}.A2AService/")) else {
        return violation(format!("no such method: {path}"));
    };
    let operation = match (face, method) {
        (_, "SendMessage") => Operation::SEND,
        (_, "SendStreamingMessage") => Operation::Stream,
        (_, "GetTask") => Operation::Get,
        (_, "CancelTask") => Operation::Cancel,
        (Face::Grpc10, "SubscribeToTask") | (Face::Grpc03, "TaskSubscription") => Operation::Subscribe,
        _ => return violation(format!("no such method: {path}")),
    };
    let message = match received.body.split_at_checked(5) {
        Some((prefix, message)) if frame(message)[..5] == *prefix => message,
        _ => return violation("not one message"),
    };
    let mut request = Request::new(operation, received);
    let read = if face == Face::Grpc10 { v1::read(&mut request, message) } else { v03::read(&mut request, message) };
    read.map_err(|error| Reject::Violation(format!("{method}: {error}")))?;
    if request.operation.is_send() && (request.message_id.is_empty() || request.parts == 0) {
        return violation("a message without id or parts");
    }
    Ok(request)
}

/// A task, in answer to what is no stream.
pub fn task(face: Face, operation: Operation, task: &Snapshot) -> Vec<u8> {
    if face == Face::Grpc10 { v1::answer(operation, task) } else { v03::answer(operation, task) }
}

/// A direct reply to a send.
pub fn message(face: Face, said: &Said) -> Vec<u8> {
    if face == Face::Grpc10 { v1::reply(said) } else { v03::reply(said) }
}

/// An event of a stream.
pub fn event(face: Face, event: &Event) -> Vec<u8> {
    if face == Face::Grpc10 { v1::event(event) } else { v03::event(event) }
}
