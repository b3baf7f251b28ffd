//! Events: the entries of a task's log.
//!
//! An event is immutable once committed. It is kept as the protobuf bytes of a `StreamResponse`, decoded once
//! and encoded at most once per wire form, however many watchers it has.

use std::sync::OnceLock;

use bytes::Bytes;
use prost::Message as _;

use super::TaskId;
use crate::{
    error::{Error, Result},
    proto::{
        a2a::{StreamResponse, TaskState, stream_response::Payload},
        well_known::Timestamp,
    },
};

/// One committed entry of a task's log, shared by all who read it.
#[derive(Debug)]
pub struct Event {
    /// The task.
    pub task_id: TaskId,
    /// 1, 2, 3, … within the task. For a snapshot that opens a watch: that of the newest event it holds.
    pub sequence: u64,
    /// When it was committed: milliseconds since 1970 UTC.
    pub time: i64,
    /// The task's state after it.
    pub state: TaskState,
    payload: Payload,
    bytes: Bytes,
    forms: [OnceLock<Bytes>; 6],
}

/// The wire forms of which an event keeps its encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// `a2a.gateway.v1.TaskEvent`, protobuf.
    Gateway,
    /// A2A 1.0 `StreamResponse`, ProtoJSON.
    V1Json,
    /// A2A 0.3 event, JSON of JSON-RPC.
    V03Json,
    /// A2A 0.3 `StreamResponse`, ProtoJSON.
    V03Rest,
    /// A2A 0.3 `StreamResponse`, protobuf.
    V03Grpc,
    /// PraisonAI event, JSON.
    PraisonJson,
}

impl Event {
    /// An event from its payload.
    pub fn new(task_id: TaskId, sequence: u64, time: i64, state: TaskState, payload: Payload) -> Self {
        let response = StreamResponse { payload: Some(payload) };
        let bytes = response.encode_to_vec().into();
        let StreamResponse { payload: Some(payload) } = response else { unreachable!("just made") };
        Self { task_id, sequence, time, state, payload, bytes, forms: Default::default() }
    }

    /// An event from the bytes in the store.
    ///
    /// # Errors
    /// `Internal` when they are not a `StreamResponse` with a payload.
    pub fn from_stored(task_id: TaskId, sequence: u64, time: i64, state: TaskState, bytes: Bytes) -> Result<Self> {
        let corrupt = |cause: &dyn std::fmt::Display| {
            Error::internal("reading a stored event", format!("{task_id}/{sequence}: {cause}"))
        };
        let response = StreamResponse::decode(bytes.clone()).map_err(|cause| corrupt(&cause))?;
        let payload = response.payload.ok_or_else(|| corrupt(&"it has no payload"))?;
        Ok(Self { task_id, sequence, time, state, payload, bytes, forms: Default::default() })
    }

    /// The protobuf bytes of the A2A 1.0 `StreamResponse`: what gRPC sends and the store keeps.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// What happened.
    pub fn payload(&self) -> &Payload {
        &self.payload
    }

    /// When it was committed.
    pub fn timestamp(&self) -> Timestamp {
        Timestamp::from_millis(self.time)
    }

    /// The event in a wire form, made by `encode` the first time.
    pub fn form(&self, form: Form, encode: impl FnOnce(&Self) -> Bytes) -> Bytes {
        self.forms[form as usize].get_or_init(|| encode(self)).clone()
    }
}
