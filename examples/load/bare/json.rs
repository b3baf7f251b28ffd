//! The bare echo by JSON-RPC.

use std::{borrow::Cow, net::SocketAddr};

use axum::{
    body::Body,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{json, value::RawValue};

use super::{ARTIFACT, CONTEXT, TIME, task_id};
use crate::Error;

/// The card, which offers the JSON-RPC interface.
pub fn card(address: SocketAddr) -> String {
    let card = json!({
        "name": "Bare echo",
        "description": "Repeats what it is told.",
        "version": "1",
        "supportedInterfaces": [
            {"url": format!("http://{address}/a2a"), "protocolBinding": "JSONRPC", "protocolVersion": "1.0"},
        ],
        "capabilities": {"streaming": true},
        "defaultInputModes": ["text/plain"],
        "defaultOutputModes": ["text/plain"],
        "skills": [],
    });
    card.to_string()
}

#[derive(Deserialize)]
struct Call<'a> {
    #[serde(borrow)]
    id: &'a RawValue,
    method: &'a str,
    #[serde(borrow)]
    params: Params<'a>,
}

#[derive(Deserialize)]
struct Params<'a> {
    #[serde(borrow)]
    message: JsonMessage<'a>,
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct JsonMessage<'a> {
    message_id: &'a str,
    #[serde(default, skip_deserializing)]
    context_id: &'a str,
    #[serde(default, skip_deserializing)]
    task_id: &'a str,
    role: &'a str,
    #[serde(borrow)]
    parts: Vec<JsonPart<'a>>,
}

#[derive(Deserialize, Serialize)]
struct JsonPart<'a> {
    text: Cow<'a, str>,
}

#[derive(Serialize)]
struct Reply<'a> {
    jsonrpc: &'static str,
    id: &'a RawValue,
    result: JsonResult<'a>,
}

/// The answer to a send, or an event of a stream.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
enum JsonResult<'a> {
    Task(JsonTask<'a>),
    #[serde(rename_all = "camelCase")]
    ArtifactUpdate {
        task_id: &'a str,
        context_id: &'static str,
        artifact: JsonArtifact<'a>,
    },
    #[serde(rename_all = "camelCase")]
    StatusUpdate {
        task_id: &'a str,
        context_id: &'static str,
        status: JsonStatus,
    },
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct JsonTask<'a> {
    id: &'a str,
    context_id: &'static str,
    status: JsonStatus,
    artifacts: Vec<JsonArtifact<'a>>,
    history: [JsonMessage<'a>; 1],
}

#[derive(Serialize)]
struct JsonStatus {
    state: &'static str,
    timestamp: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct JsonArtifact<'a> {
    artifact_id: &'static str,
    parts: [JsonPart<'a>; 1],
}

impl JsonStatus {
    fn of(state: &'static str) -> Self {
        Self { state, timestamp: TIME }
    }
}

/// Answers a call.
pub async fn answer(body: Bytes) -> Response {
    let Ok(Call { id, method, params: Params { message } }) = serde_json::from_slice(&body) else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let Some(first) = message.parts.first() else { return StatusCode::BAD_REQUEST.into_response() };
    let echo = JsonPart { text: format!("Echo: {}", first.text).into() };
    let artifact = JsonArtifact { artifact_id: ARTIFACT, parts: [echo] };
    let task_id = &*task_id();
    let task = |state, artifacts| {
        let history = [JsonMessage { context_id: CONTEXT, task_id, ..message }];
        JsonResult::Task(JsonTask {
            id: task_id,
            context_id: CONTEXT,
            status: JsonStatus::of(state),
            artifacts,
            history,
        })
    };
    let reply = |result| serde_json::to_vec(&Reply { jsonrpc: "2.0", id, result });
    match method {
        "SendMessage" => match reply(task("TASK_STATE_COMPLETED", vec![artifact])) {
            Ok(body) => typed("application/json", body.into()),
            Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        },
        "SendStreamingMessage" => {
            let (context_id, status) = (CONTEXT, JsonStatus::of("TASK_STATE_COMPLETED"));
            let results = [
                task("TASK_STATE_WORKING", Vec::new()),
                JsonResult::ArtifactUpdate { task_id, context_id, artifact },
                JsonResult::StatusUpdate { task_id, context_id, status },
            ];
            // One piece of the body each, as agents that work between them write them.
            let events = results.map(|result| Ok::<_, Error>([b"data: ", &*reply(result)?, b"\n\n"].concat()));
            typed("text/event-stream", Body::from_stream(tokio_stream::iter(events)))
        }
        _ => StatusCode::BAD_REQUEST.into_response(),
    }
}

/// An answer of a media type.
pub fn typed(media_type: &'static str, body: Body) -> Response {
    ([(header::CONTENT_TYPE, HeaderValue::from_static(media_type))], body).into_response()
}
