//! From a JSON-RPC request to the operation and back: which dialect, which parameters, which result.
//!
//! The dialect of a slash method that 0.3 and PraisonAI share is told by the request's marks, else by the task it names,
//! which remembers the dialect that created it, and is 0.3 when there is neither.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, header, request::Parts};
use serde_json::{Value, value::RawValue};

use super::{Door, envelope::Request};
use crate::{
    error::{Error, Result},
    proto::a2a::GetTaskRequest,
    server::{
        Shared,
        a2a::{Origin, Updates},
        caller,
        card::{DOOR, PRAISON_DOOR},
        extensions::Extensions,
        request::{last_event_id, request_id},
    },
    task::{Dialect, TaskId},
    wire::{
        decode, encode,
        method::{Method, Operation, marks},
    },
};

/// What an operation gives.
pub enum Reply {
    /// The result, as JSON.
    Json(Bytes),
    /// A stream.
    Updates(Box<Updates>),
}

/// An error, and the dialect to say it in.
pub struct Failure {
    /// The dialect.
    pub dialect: Dialect,
    /// The error.
    pub error: Error,
}

/// The operations as one HTTP request may call them.
pub struct Operations<'a> {
    shared: &'a Shared,
    door: Door,
    /// The agent that the path names; empty: none.
    agent: String,
    head: &'a Parts,
    extensions: Result<Extensions>,
}

impl<'a> Operations<'a> {
    /// The operations for a request with this head, whose path names `agent`; empty: nobody.
    pub fn new(shared: &'a Shared, door: Door, agent: String, head: &'a Parts) -> Self {
        // A request of the older dialects may name the header as they do; one that names none is answered as 1.0 is.
        let extensions = Extensions::read(&head.headers, door.dialect());
        Self { shared, door, agent, head, extensions }
    }

    /// The door that the request came through.
    pub fn door(&self) -> Door {
        self.door
    }

    /// Writes into the headers of the answer which extensions are active.
    pub fn name_extensions(&self, headers: &mut HeaderMap) {
        if let Ok(extensions) = &self.extensions {
            extensions.write(headers);
        }
    }

    /// How often a silent stream says that it is there.
    pub fn sse_keep_alive(&self) -> Duration {
        self.shared.settings.sse_keep_alive
    }

    /// Whether the client takes nothing but events for an answer to a stream's request, a refusal included. So do clients
    /// made for 0.3, which do not say their version, and the official Go SDK, to which a stream without events is one that
    /// ended well. It does not say its name, only Go's, and that it accepts events alone, as others do who tell errors apart
    /// only when they come as plain JSON. PraisonAI's streams have no event for it.
    pub fn reads_events_only(&self, dialect: Dialect) -> bool {
        let headers = &self.head.headers;
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let names_version = !matches!(caller::version(headers, self.head.uri.query()), Ok(None));
        let is_go = || {
            let events = text(header::ACCEPT).trim().eq_ignore_ascii_case("text/event-stream");
            events && text(header::USER_AGENT).starts_with("Go-http-client/")
        };
        match dialect {
            Dialect::V1 => is_go(),
            Dialect::V03 => !names_version || is_go(),
            Dialect::Praison => false,
        }
    }

    /// Carries a request out.
    pub async fn answer(
        &self,
        method: Method,
        request: &Request<'_>,
    ) -> std::result::Result<(Dialect, Reply), Failure> {
        let guess = match self.door {
            Door::Praison => Some(Dialect::Praison),
            Door::Any => method.dialect,
        };
        let params = read(request.params);
        let dialect = guess.or_else(|| marks(method.operation, params.as_ref().ok()?));
        let fallback = dialect.unwrap_or(Dialect::V03);
        let version = caller::version(&self.head.headers, self.head.uri.query());
        let extensions = self.extensions.as_ref().map(drop).map_err(Clone::clone);
        let params = match version.and(extensions).and(params) {
            Ok(params) => params,
            Err(error) => return Err(Failure { dialect: fallback, error }),
        };
        match method.operation {
            // The task is read anyway, so that its dialect costs nothing.
            Operation::GetTask | Operation::CancelTask => {
                let id = dialect.is_none().then(|| params.get("id")?.as_str().and_then(TaskId::known)).flatten();
                let record = self.task(method.operation, params, fallback).await;
                let remembered = match (&record, id) {
                    (Ok(record), _) => Some(record.dialect),
                    (Err(_), Some(id)) => self.remembered(id).await,
                    (Err(_), None) => None,
                };
                let dialect = dialect.unwrap_or(older(remembered));
                match record {
                    Ok(record) => Ok((dialect, Reply::Json(encode::task(dialect, &record.task)))),
                    Err(error) => Err(Failure { dialect, error }),
                }
            }
            operation => match self.run(operation, fallback, params).await {
                Ok(reply) => Ok((fallback, reply)),
                Err(error) => Err(Failure { dialect: fallback, error }),
            },
        }
    }

    fn origin(&self, dialect: Dialect) -> Origin {
        let caller = caller::identify(&self.head.headers);
        let extensions = self.extensions.clone().unwrap_or_default();
        Origin { caller, dialect, request_id: String::new(), agent: self.agent.clone(), extensions }
    }

    async fn task(&self, operation: Operation, params: Value, dialect: Dialect) -> Result<crate::task::Record> {
        let (a2a, origin) = (&self.shared.a2a, self.origin(dialect));
        if operation == Operation::CancelTask {
            a2a.cancel(&origin, decode::cancel_task(params, dialect)?).await
        } else {
            a2a.get(&origin, decode::get_task(params, dialect)?).await
        }
    }

    async fn remembered(&self, id: TaskId) -> Option<Dialect> {
        let request = GetTaskRequest { id: id.to_string(), history_length: Some(0), ..GetTaskRequest::default() };
        self.shared.a2a.get(&self.origin(Dialect::V03), request).await.ok().map(|record| record.dialect)
    }

    async fn run(&self, operation: Operation, dialect: Dialect, params: Value) -> Result<Reply> {
        let a2a = &self.shared.a2a;
        let mut origin = self.origin(dialect);
        // Of push, whether it is offered comes before the parameters: clients probe with any.
        match operation {
            Operation::SendMessage => {
                origin.request_id = request_id(&self.head.headers)?;
                let answer = a2a.send(&origin, decode::send_message(params, dialect)?).await?;
                Ok(Reply::Json(encode::send_response(dialect, &answer)))
            }
            Operation::SendStreamingMessage => {
                origin.request_id = request_id(&self.head.headers)?;
                let updates = a2a.stream(&origin, decode::send_message(params, dialect)?).await?;
                Ok(Reply::Updates(Box::new(updates)))
            }
            Operation::GetTask | Operation::CancelTask => {
                let record = self.task(operation, params, dialect).await?;
                Ok(Reply::Json(encode::task(dialect, &record.task)))
            }
            Operation::ListTasks => {
                let list = a2a.list(&origin, decode::list_tasks(params, dialect)?).await?;
                Ok(Reply::Json(encode::task_list(dialect, &list)))
            }
            Operation::SubscribeToTask => {
                let resume = last_event_id(&self.head.headers)?;
                let updates = a2a.subscribe(&origin, decode::subscribe(params, dialect)?, resume).await?;
                Ok(Reply::Updates(Box::new(updates)))
            }
            Operation::CreatePushConfig => {
                a2a.offers_push(&origin)?;
                let config = a2a.create_push(&origin, decode::create_push_config(params, dialect)?).await?;
                Ok(Reply::Json(encode::push_config(dialect, &config)))
            }
            Operation::GetPushConfig => {
                a2a.offers_push(&origin)?;
                let config = a2a.get_push(&origin, decode::get_push_config(params, dialect)?).await?;
                Ok(Reply::Json(encode::push_config(dialect, &config)))
            }
            Operation::ListPushConfigs => {
                a2a.offers_push(&origin)?;
                let list = a2a.list_push(&origin, decode::list_push_configs(params, dialect)?).await?;
                Ok(Reply::Json(encode::push_configs(dialect, &list)))
            }
            Operation::DeletePushConfig => {
                a2a.offers_push(&origin)?;
                a2a.delete_push(&origin, decode::delete_push_config(params, dialect)?).await?;
                Ok(Reply::Json(encode::push_deleted(dialect)))
            }
            Operation::GetExtendedAgentCard => self.extended_card(&origin, params),
        }
    }

    fn extended_card(&self, origin: &Origin, params: Value) -> Result<Reply> {
        let (shared, request) = (self.shared, decode::extended_card(params, origin.dialect)?);
        let agent = shared.a2a.status(origin, request.tenant)?;
        let visitor = shared.cards.visitor(&self.head.uri, &self.head.headers);
        let door = if self.door == Door::Praison { PRAISON_DOOR } else { DOOR };
        Ok(Reply::Json(shared.cards.extended_json(&agent, origin.dialect, &visitor, door)?.into()))
    }
}

/// Reads the parameters.
fn read(params: Option<&RawValue>) -> Result<Value> {
    let Some(raw) = params else { return Ok(Value::Null) };
    // What is read here is known to be JSON, so that only its depth can be wrong.
    match serde_json::from_str(raw.get()) {
        Ok(value @ (Value::Object(_) | Value::Null)) => Ok(value),
        Ok(_) => Err(Error::invalid("params", "must be an object")),
        Err(_) => Err(Error::invalid("params", "must be JSON at most 128 levels deep, without numbers out of range")),
    }
}

/// The older dialect in which a task is shown that another dialect may have created.
fn older(remembered: Option<Dialect>) -> Dialect {
    match remembered {
        Some(Dialect::Praison) => Dialect::Praison,
        Some(Dialect::V1 | Dialect::V03) | None => Dialect::V03,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slash_method_shows_only_older_dialects() {
        assert_eq!(older(Some(Dialect::Praison)), Dialect::Praison);
        for remembered in [Some(Dialect::V1), Some(Dialect::V03), None] {
            assert_eq!(older(remembered), Dialect::V03);
        }
    }
}
