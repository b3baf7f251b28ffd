//! What the gateway asks of agents: `params` of JSON-RPC calls, and bodies of 1.0's REST calls, which are the same JSON.
//!
//! Values are views: [`json`] writes one as a body, [`rpc`] writes one into the call around it, without a tree or a copy
//! between. Webhooks of a message stay with the gateway, which serves them itself: they are never written.

use std::borrow::Cow;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use serde::{Serialize, Serializer, ser::SerializeMap};

use super::{
    view::{In, option, text},
    write,
};
use crate::{
    proto::{
        a2a::{Message, Part, SendMessageConfiguration, SendMessageRequest, part::Content},
        well_known::Struct,
    },
    task::Dialect::{self, Praison, V1, V03},
};

/// The media type of a file that names none.
const UNKNOWN_FILE: &str = "application/octet-stream";

/// A JSON-RPC 2.0 call.
#[derive(Serialize)]
struct Call<'a, P> {
    jsonrpc: &'static str,
    id: &'a str,
    method: &'a str,
    params: &'a P,
}

struct Send<'a> {
    dialect: Dialect,
    tenant: &'a str,
    request: &'a SendMessageRequest,
}

/// How to answer a message.
struct Configuration<'a>(Dialect, &'a SendMessageConfiguration);

struct Named<'a> {
    dialect: Dialect,
    tenant: &'a str,
    id: &'a str,
    history_length: Option<i32>,
    metadata: Option<&'a Struct>,
}

/// A message to send. `tenant`: the interface's, which only 1.0 has; REST has it in the path.
///
/// The older dialects are always told whether to wait, since their agents differ in what they take silence to mean.
pub fn send<'a>(request: &'a SendMessageRequest, dialect: Dialect, tenant: &'a str) -> impl Serialize + 'a {
    Send { dialect, tenant, request }
}

/// Which task to get. `history_length`: none leaves it to the agent; PraisonAI's has no such choice.
///
/// `tenant` as for [`send`]; REST has the id in the path, and no body.
pub fn get<'a>(id: &'a str, history_length: Option<i32>, dialect: Dialect, tenant: &'a str) -> impl Serialize + 'a {
    Named { dialect, tenant, id, history_length: history_length.filter(|_| dialect != Praison), metadata: None }
}

/// Which task to cancel. `tenant` as for [`send`]; REST has the id in the path: it is empty then.
pub fn cancel<'a>(id: &'a str, metadata: Option<&'a Struct>, dialect: Dialect, tenant: &'a str) -> impl Serialize + 'a {
    Named { dialect, tenant, id, history_length: None, metadata }
}

/// Which task to stream. `tenant` and `id` as for [`cancel`].
pub fn subscribe<'a>(id: &'a str, dialect: Dialect, tenant: &'a str) -> impl Serialize + 'a {
    Named { dialect, tenant, id, history_length: None, metadata: None }
}

/// The value as a body.
pub fn json(value: &impl Serialize) -> Bytes {
    write(value)
}

/// The value as the `params` of a JSON-RPC call. `id` is text, since some agents can echo nothing else.
pub fn rpc(id: &str, method: &str, params: &impl Serialize) -> Bytes {
    write(&Call { jsonrpc: "2.0", id, method, params })
}

impl Serialize for Send<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let &Self { dialect, tenant, request } = self;
        let mut map = serializer.serialize_map(None)?;
        tenanted(&mut map, dialect, tenant)?;
        let message = request.message.as_ref().map(|message| takeable(dialect, message));
        option(&mut map, "message", message.as_deref().map(|message| In(dialect, message)).as_ref())?;
        let default = SendMessageConfiguration::default();
        let configuration = request.configuration.as_ref().unwrap_or(&default);
        if dialect != V1 || says_something(configuration) {
            map.serialize_entry("configuration", &Configuration(dialect, configuration))?;
        }
        option(&mut map, "metadata", request.metadata.as_ref())?;
        map.end()
    }
}

impl Serialize for Configuration<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let &Self(dialect, configuration) = self;
        let mut map = serializer.serialize_map(None)?;
        let (modes, at_once) = (&configuration.accepted_output_modes, configuration.return_immediately);
        // The first agents of 0.3's line require the list, empty or not.
        if dialect == V03 || (dialect == V1 && !modes.is_empty()) {
            map.serialize_entry("acceptedOutputModes", modes)?;
        }
        if dialect != Praison {
            option(&mut map, "historyLength", configuration.history_length.as_ref())?;
        }
        match dialect {
            V1 if !at_once => {}
            V1 | Praison => map.serialize_entry("returnImmediately", &at_once)?,
            V03 => map.serialize_entry("blocking", &!at_once)?,
        }
        map.end()
    }
}

fn says_something(configuration: &SendMessageConfiguration) -> bool {
    !configuration.accepted_output_modes.is_empty()
        || configuration.history_length.is_some()
        || configuration.return_immediately
}

impl Serialize for Named<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        tenanted(&mut map, self.dialect, self.tenant)?;
        text(&mut map, "id", self.id)?;
        option(&mut map, "historyLength", self.history_length.as_ref())?;
        option(&mut map, "metadata", self.metadata)?;
        map.end()
    }
}

fn tenanted<M: SerializeMap>(map: &mut M, dialect: Dialect, tenant: &str) -> Result<(), M::Error> {
    if dialect == V1 { text(map, "tenant", tenant) } else { Ok(()) }
}

/// The message in parts that the agent can take: PraisonAI drops a file's bytes silently but takes any URL, so that
/// bytes go as a `data:` URL there (RFC 2397).
fn takeable(dialect: Dialect, message: &Message) -> Cow<'_, Message> {
    let is_raw = |part: &Part| matches!(part.content, Some(Content::Raw(_)));
    if dialect != Praison || !message.parts.iter().any(is_raw) {
        return Cow::Borrowed(message);
    }
    let parts = message.parts.iter().map(|part| match &part.content {
        Some(Content::Raw(bytes)) => {
            let media = if part.media_type.is_empty() { UNKNOWN_FILE } else { &part.media_type };
            let url = format!("data:{media};base64,{}", STANDARD.encode(bytes));
            Part { content: Some(Content::Url(url)), ..part.clone() }
        }
        _ => part.clone(),
    });
    Cow::Owned(Message { parts: parts.collect(), ..message.clone() })
}
