//! A2A 0.3 over gRPC: `a2a.v1.A2AService`.
//!
//! Tasks and configs go by resource names here. What a request leaves out is what the contract's zero means: `blocking`
//! is false where there is a configuration, and a history length of 0 is no limit.

use std::sync::Arc;

use axum::body::Body;
use bytes::Bytes;

use super::call::{self, Answer, Batches, Calls};
use crate::{
    error::Result,
    proto::a2a_v03::{
        AgentCard, CancelTaskRequest, CreateTaskPushNotificationConfigRequest, DeleteTaskPushNotificationConfigRequest,
        GetAgentCardRequest, GetTaskPushNotificationConfigRequest, GetTaskRequest,
        ListTaskPushNotificationConfigRequest, SendMessageRequest, TaskSubscriptionRequest,
    },
    server::{
        a2a::{A2a, Origin, Updates},
        card::{Cards, Visitor},
    },
    task::Dialect,
    wire::v03::{
        decode, encode,
        field::{Request, named},
        grpc as written,
    },
};

/// The service's full name.
pub const NAME: &str = "a2a.v1.A2AService";

/// The service.
#[derive(Clone)]
pub struct A2aService {
    a2a: A2a,
    cards: Arc<Cards>,
    calls: Calls,
}

impl A2aService {
    /// The service on the operations.
    pub fn new(a2a: A2a, cards: Arc<Cards>, calls: Calls) -> Self {
        Self { a2a, cards, calls }
    }

    /// Answers the call of a method; none when the service has no such method.
    pub async fn answer(&self, method: &str, request: http::Request<Body>) -> Option<Answer> {
        let origin = match call::origin(&request, Dialect::V03) {
            Ok(origin) => origin,
            Err(error) => {
                let refusing = Self { calls: self.calls.refusing(error), ..self.clone() };
                return refusing.answer_to(&Origin::unread(Dialect::V03), method, request).await;
            }
        };
        let mut answer = self.answer_to(&origin, method, request).await?;
        origin.extensions.write(answer.headers_mut());
        Some(answer)
    }

    async fn answer_to(&self, origin: &Origin, method: &str, request: http::Request<Body>) -> Option<Answer> {
        let (a2a, calls) = (&self.a2a, &self.calls);
        Some(match method {
            "SendMessage" => {
                let send = async |q: SendMessageRequest| {
                    let sent = a2a.send(origin, decode::send(q)).await;
                    sent.map(written::sent).map_err(|error| named(Request::Send, error))
                };
                calls.unary("SendMessage", request, send).await
            }
            "SendStreamingMessage" => {
                let stream = async |q: SendMessageRequest| {
                    let updates = a2a.stream(origin, decode::send(q)).await;
                    updates.map(Events).map_err(|error| named(Request::Send, error))
                };
                calls.streaming("SendStreamingMessage", request, stream).await
            }
            "GetTask" => {
                let get = async |q: GetTaskRequest| {
                    let record = a2a.get(origin, decode::get_task(&q)?).await;
                    record.map(|record| written::task(record.task)).map_err(|error| named(Request::Named, error))
                };
                calls.unary("GetTask", request, get).await
            }
            "CancelTask" => {
                let cancel = async |q: CancelTaskRequest| {
                    let record = a2a.cancel(origin, decode::cancel_task(&q)?).await;
                    record.map(|record| written::task(record.task)).map_err(|error| named(Request::Named, error))
                };
                calls.unary("CancelTask", request, cancel).await
            }
            "TaskSubscription" => {
                let subscribe = async |q: TaskSubscriptionRequest| {
                    let updates = a2a.subscribe(origin, decode::subscribe(&q)?, None).await;
                    updates.map(Events).map_err(|error| named(Request::Named, error))
                };
                // One name in metrics for what is one operation.
                calls.streaming("SubscribeToTask", request, subscribe).await
            }
            "GetAgentCard" => {
                let visitor = self.cards.visitor(request.uri(), request.headers());
                let card = async |_: GetAgentCardRequest| self.card(origin, &visitor);
                calls.unary("GetAgentCard", request, card).await
            }
            _ => return self.answer_push(origin, method, request).await,
        })
    }

    /// Operations on push notification configs. Whether they are offered comes before what the names are, since clients
    /// probe with any.
    async fn answer_push(&self, origin: &Origin, method: &str, request: http::Request<Body>) -> Option<Answer> {
        let (a2a, calls) = (&self.a2a, &self.calls);
        Some(match method {
            "CreateTaskPushNotificationConfig" => {
                let create = async |q: CreateTaskPushNotificationConfigRequest| {
                    a2a.offers_push(origin)?;
                    let config = a2a.create_push(origin, decode::create_push_config(q)?).await;
                    config.map(encode::push_config).map_err(|error| named(Request::CreatePushConfig, error))
                };
                calls.unary("CreateTaskPushNotificationConfig", request, create).await
            }
            "GetTaskPushNotificationConfig" => {
                let get = async |q: GetTaskPushNotificationConfigRequest| {
                    a2a.offers_push(origin)?;
                    let config = a2a.get_push(origin, decode::get_push_config(&q)?).await;
                    config.map(encode::push_config).map_err(|error| named(Request::Named, error))
                };
                calls.unary("GetTaskPushNotificationConfig", request, get).await
            }
            "ListTaskPushNotificationConfig" => {
                let list = async |q: ListTaskPushNotificationConfigRequest| {
                    a2a.offers_push(origin)?;
                    let configs = a2a.list_push(origin, decode::list_push_configs(q)?).await;
                    configs.map(encode::push_configs).map_err(|error| named(Request::ListPushConfigs, error))
                };
                calls.unary("ListTaskPushNotificationConfigs", request, list).await
            }
            "DeleteTaskPushNotificationConfig" => {
                let delete = async |q: DeleteTaskPushNotificationConfigRequest| {
                    a2a.offers_push(origin)?;
                    let deleted = a2a.delete_push(origin, decode::delete_push_config(&q)?).await;
                    deleted.map_err(|error| named(Request::Named, error))
                };
                calls.unary("DeleteTaskPushNotificationConfig", request, delete).await
            }
            _ => return None,
        })
    }

    /// The agent's card: the contract has one method for the card and for the extended one.
    fn card(&self, origin: &Origin, visitor: &Visitor) -> Result<AgentCard> {
        self.cards.v03(&self.a2a.engine.agent(&origin.agent)?, visitor)
    }
}

/// A stream's events, in the form that all streams of 0.3 share.
struct Events(Updates);

impl Batches for Events {
    async fn next(&mut self) -> Option<Result<Vec<Bytes>>> {
        loop {
            match self.0.next_batch().await? {
                Ok(events) => {
                    let batch: Vec<_> = events.iter().filter_map(|event| written::event(event)).collect();
                    if !batch.is_empty() {
                        return Some(Ok(batch));
                    }
                }
                Err(error) => return Some(Err(error)),
            }
        }
    }
}
