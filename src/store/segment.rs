//! Segments: how the events of one commit lie in one row.

use std::sync::Arc;

use bytes::Bytes;
use prost::Message as _;

use crate::{
    error::{Error, Result},
    proto::a2a::TaskState,
    task::{Event, TaskId},
};

#[derive(Clone, PartialEq, prost::Message)]
struct Segment {
    #[prost(message, repeated, tag = "1")]
    entries: Vec<Entry>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Entry {
    /// Milliseconds since 1970 UTC.
    #[prost(int64, tag = "1")]
    time: i64,
    /// The task's state after the event.
    #[prost(enumeration = "TaskState", tag = "2")]
    state: i32,
    /// An `lf.a2a.v1.StreamResponse`.
    #[prost(bytes = "bytes", tag = "3")]
    payload: Bytes,
}

/// The row's bytes for consecutive events.
pub fn encode(events: &[Arc<Event>]) -> Vec<u8> {
    let entry =
        |event: &Arc<Event>| Entry { time: event.time, state: event.state.into(), payload: event.bytes().clone() };
    Segment { entries: events.iter().map(entry).collect() }.encode_to_vec()
}

/// The events of a row whose first sequence is `first`, those after `after` only.
pub fn decode(task: TaskId, first: u64, after: u64, data: Vec<u8>) -> Result<Vec<Arc<Event>>> {
    let segment = Segment::decode(Bytes::from(data))
        .map_err(|cause| Error::internal("reading a stored segment", format!("{task}/{first}: {cause}")))?;
    let numbered = segment.entries.into_iter().zip(first..).filter(|(_, sequence)| *sequence > after);
    numbered
        .map(|(entry, sequence)| {
            let state = entry.state();
            Event::from_stored(task, sequence, entry.time, state, entry.payload).map(Arc::new)
        })
        .collect()
}
