//! The two versions of the binding: what is read and written as which.

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use serde_json::Value;

use super::accept;
use crate::{
    error::{Error, Result},
    proto::a2a::{
        GetTaskRequest, ListTaskPushNotificationConfigsResponse, ListTasksRequest, ListTasksResponse,
        SendMessageRequest, Task, TaskPushNotificationConfig, send_message_response,
    },
    server::status,
    task::{Dialect, Event},
    wire::{decode, encode, v03::rest as v03},
};

/// A version of the binding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A2A 1.0.
    V1,
    /// A2A 0.3: ProtoJSON of its contract, which is not the JSON of its JSON-RPC.
    V03,
}

impl Form {
    /// Its dialect.
    pub fn dialect(self) -> Dialect {
        match self {
            Self::V1 => Dialect::V1,
            Self::V03 => Dialect::V03,
        }
    }

    /// The door's name in metrics.
    pub fn door(self) -> &'static str {
        match self {
            Self::V1 => "rest-1.0",
            Self::V03 => "rest-0.3",
        }
    }

    /// The media type of answers to a request with these headers.
    pub fn media(self, headers: &HeaderMap) -> &'static str {
        if self == Self::V1 && accept::prefers_a2a(headers) { accept::A2A_JSON } else { accept::JSON }
    }

    /// An error's HTTP status and body.
    pub fn error(self, error: &Error) -> (StatusCode, Value) {
        match self {
            Self::V1 => status::http(error),
            Self::V03 => status::http_v03(error),
        }
    }

    /// One event of a stream; none when there is no form for it.
    pub fn event(self, event: &Event) -> Option<Bytes> {
        match self {
            Self::V1 => encode::event(Dialect::V1, event),
            Self::V03 => v03::event(event),
        }
    }

    pub(super) fn read_send(self, params: Value) -> Result<SendMessageRequest> {
        match self {
            Self::V1 => decode::send_message(params, Dialect::V1),
            Self::V03 => v03::read_send(params),
        }
    }

    pub(super) fn read_get(self, params: Value) -> Result<GetTaskRequest> {
        match self {
            Self::V1 => decode::get_task(params, Dialect::V1),
            Self::V03 => v03::read_get(params),
        }
    }

    pub(super) fn read_list(self, params: Value) -> Result<ListTasksRequest> {
        match self {
            Self::V1 => decode::list_tasks(params, Dialect::V1),
            Self::V03 => v03::read_list(params),
        }
    }

    pub(super) fn sent(self, answer: &send_message_response::Payload) -> Bytes {
        match self {
            Self::V1 => encode::send_response(Dialect::V1, answer),
            Self::V03 => v03::send_response(answer),
        }
    }

    pub(super) fn task(self, task: &Task) -> Bytes {
        match self {
            Self::V1 => encode::task(Dialect::V1, task),
            Self::V03 => v03::task(task),
        }
    }

    pub(super) fn tasks(self, list: &ListTasksResponse) -> Bytes {
        match self {
            Self::V1 => encode::task_list(Dialect::V1, list),
            Self::V03 => v03::task_list(list),
        }
    }

    pub(super) fn push_config(self, config: &TaskPushNotificationConfig) -> Bytes {
        match self {
            Self::V1 => encode::push_config(Dialect::V1, config),
            Self::V03 => v03::push_config(config),
        }
    }

    pub(super) fn push_configs(self, list: &ListTaskPushNotificationConfigsResponse) -> Bytes {
        match self {
            Self::V1 => encode::push_configs(Dialect::V1, list),
            Self::V03 => v03::push_configs(list),
        }
    }
}
