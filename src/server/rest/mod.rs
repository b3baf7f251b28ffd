//! The HTTP+JSON doors: A2A 1.0 at the root and under `/{tenant}`, 0.3 under `/v1`, both also under `/agents/{name}`.
//!
//! The path tells the version, the agent and, with the verb, the operation. What it names counts before what the body
//! or the query says. Nothing is guessed: an error has an HTTP status and the body that its version gives it, and a
//! stream that is refused is refused so too.
//!
//! These paths are looked at only when no other path of the gateway is meant, so that none is shadowed.

mod accept;
mod form;
pub mod openapi;
mod path;
mod query;
mod refusal;

use std::sync::Arc;

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use http::{HeaderValue, Method, Request, StatusCode, header, request::Parts};
use http_body::Body as _;
use serde_json::Value;

pub use self::form::Form;
use self::{path::Target, refusal::Refusal};
use super::{
    Shared,
    a2a::{Origin, Updates},
    caller,
    card::{self, Document},
    extensions::Extensions,
    observe::Observation,
    ops, request, sse,
};
use crate::{
    error::Error,
    proto::a2a::{DeleteTaskPushNotificationConfigRequest, GetTaskPushNotificationConfigRequest},
    task::Dialect,
    wire::{decode, method::Operation},
};

/// What an operation gives.
enum Reply {
    /// The result, as JSON.
    Json(Bytes),
    /// An extended card, which clients may keep.
    Card(Document),
    /// A stream.
    Updates(Box<Updates>),
}

/// Answers a request whose path is none of the gateway's others.
pub async fn serve(shared: Arc<Shared>, request: Request<Body>) -> Response {
    let target = match path::find(request.uri().path()) {
        Ok(target) => target,
        Err(Form::V1) => return ops::nothing_at(request.uri().path()),
        Err(Form::V03) => return Refusal::Path.answer(Form::V03, accept::JSON),
    };
    let (head, body) = request.into_parts();
    let form = target.form;
    let media = form.media(&head.headers);
    let mut seen = Observation::start(&shared.metrics, form.door(), "unknown");
    let extensions = match Extensions::read(&head.headers, form.dialect()) {
        Ok(extensions) => extensions,
        Err(error) => {
            seen.fail(&error);
            return Refusal::Error(error).answer(form, media);
        }
    };
    let answer = answer(&shared, target, &head, body, &extensions, &mut seen).await;
    let mut response = match answer {
        Ok(Reply::Json(json)) => {
            seen.succeed();
            (StatusCode::OK, [(header::CONTENT_TYPE, media)], json).into_response()
        }
        Ok(Reply::Card(card)) => {
            seen.succeed();
            card::answer(&head.headers, card).into_response()
        }
        Ok(Reply::Updates(updates)) => {
            sse::answer(*updates, sse::Writer::Rest(form), shared.settings.sse_keep_alive, seen)
        }
        Err(refusal) => {
            seen.end(refusal.outcome());
            refusal.answer(form, media)
        }
    };
    extensions.write(response.headers_mut());
    // Tasks change, and are the caller's own: without a word caches may keep what a GET gave, and 404 and 405 too.
    response.headers_mut().entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

async fn answer(
    shared: &Shared,
    target: Target,
    head: &Parts,
    body: Body,
    extensions: &Extensions,
    seen: &mut Observation,
) -> Result<Reply, Refusal> {
    let operation = target.place.operation(&head.method).ok_or_else(|| Refusal::Verb(target.place.allow()))?;
    seen.calls(operation.name());
    caller::version(&head.headers, head.uri.query())?;
    let caller = caller::identify(&head.headers);
    let dialect = target.form.dialect();
    let (agent, extensions) = (target.agent.clone(), extensions.clone());
    let mut origin = Origin { caller, dialect, request_id: String::new(), agent, extensions };
    if is_push(operation) {
        // Whether push is offered comes before the parameters: clients probe with any.
        shared.a2a.offers_push(&origin)?;
    }
    if matches!(operation, Operation::SendMessage | Operation::SendStreamingMessage) {
        origin.request_id = request::request_id(&head.headers)?;
    }
    let mut params = match head.method {
        Method::POST => content(shared, head, body).await?,
        _ => query::read(head.uri.query(), target.form)?,
    };
    target.name(&mut params);
    run(shared, &origin, operation, target, head, params).await
}

/// Carries an operation out.
async fn run(
    shared: &Shared,
    origin: &Origin,
    operation: Operation,
    target: Target,
    head: &Parts,
    params: Value,
) -> Result<Reply, Refusal> {
    let (a2a, form, dialect) = (&shared.a2a, target.form, target.form.dialect());
    let json = match operation {
        Operation::SendMessage => form.sent(&a2a.send(origin, form.read_send(params)?).await?),
        Operation::SendStreamingMessage => {
            return Ok(Reply::Updates(Box::new(a2a.stream(origin, form.read_send(params)?).await?)));
        }
        Operation::GetTask => form.task(&a2a.get(origin, form.read_get(params)?).await?.task),
        Operation::ListTasks => form.tasks(&a2a.list(origin, form.read_list(params)?).await?),
        Operation::CancelTask => form.task(&a2a.cancel(origin, decode::cancel_task(params, dialect)?).await?.task),
        Operation::SubscribeToTask => {
            let resume = request::last_event_id(&head.headers)?;
            let updates = a2a.subscribe(origin, decode::subscribe(params, dialect)?, resume).await?;
            return Ok(Reply::Updates(Box::new(updates)));
        }
        Operation::CreatePushConfig => {
            form.push_config(&a2a.create_push(origin, decode::create_push_config(params, dialect)?).await?)
        }
        Operation::GetPushConfig => {
            let (tenant, task_id, id) = named(target, params)?;
            let request = GetTaskPushNotificationConfigRequest { tenant, task_id, id };
            form.push_config(&a2a.get_push(origin, request).await?)
        }
        Operation::ListPushConfigs => {
            // 0.3 calls the task by another name, and only there.
            let request = decode::list_push_configs(params, Dialect::V1)?;
            form.push_configs(&a2a.list_push(origin, request).await?)
        }
        Operation::DeletePushConfig => {
            let (tenant, task_id, id) = named(target, params)?;
            a2a.delete_push(origin, DeleteTaskPushNotificationConfigRequest { tenant, task_id, id }).await?;
            Bytes::from_static(b"{}")
        }
        Operation::GetExtendedAgentCard => {
            let agent = a2a.status(origin, decode::extended_card(params, dialect)?.tenant)?;
            let visitor = shared.cards.visitor(&head.uri, &head.headers);
            let media = form.media(&head.headers);
            return Ok(Reply::Card(shared.cards.extended_document(&agent, dialect, &visitor, media)?));
        }
    };
    Ok(Reply::Json(json))
}

/// The tenant, the task and the config that a path names.
fn named(target: Target, params: Value) -> Result<(String, String, String), Error> {
    let (task, config) = target.place.into_ids();
    Ok((decode::extended_card(params, target.form.dialect())?.tenant, task, config))
}

fn is_push(operation: Operation) -> bool {
    matches!(
        operation,
        Operation::CreatePushConfig
            | Operation::GetPushConfig
            | Operation::ListPushConfigs
            | Operation::DeletePushConfig
    )
}

/// What a body holds: an object, or null when there is no body.
async fn content(shared: &Shared, head: &Parts, body: Body) -> Result<Value, Refusal> {
    if body.is_end_stream() {
        return Ok(Value::Null);
    }
    request::fit(&head.headers).map_err(Refusal::Unfit)?;
    let body = request::body(&shared.settings, body).await.map_err(Refusal::Unread)?;
    if body.iter().all(u8::is_ascii_whitespace) {
        return Ok(Value::Null);
    }
    match serde_json::from_slice(&body) {
        Ok(value @ (Value::Object(_) | Value::Null)) => Ok(value),
        Ok(_) => Err(Error::invalid("body", "must be an object").into()),
        Err(_) => Err(Refusal::NotJson),
    }
}
