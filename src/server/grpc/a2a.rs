//! A2A 1.0 over gRPC: `lf.a2a.v1.A2AService`.

use std::sync::Arc;

use axum::body::Body;
use bytes::Bytes;

use super::call::{self, Answer, Batches, Calls};
use crate::{
    error::Result,
    proto::a2a::{
        CancelTaskRequest, DeleteTaskPushNotificationConfigRequest, GetExtendedAgentCardRequest,
        GetTaskPushNotificationConfigRequest, GetTaskRequest, ListTaskPushNotificationConfigsRequest, ListTasksRequest,
        SendMessageRequest, SendMessageResponse, SubscribeToTaskRequest, TaskPushNotificationConfig,
    },
    server::{
        a2a::{A2a, Origin, Updates},
        card::Cards,
    },
    task::Dialect,
};

/// The service's full name.
pub const NAME: &str = "lf.a2a.v1.A2AService";

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
        let origin = match call::origin(&request, Dialect::V1) {
            Ok(origin) => origin,
            Err(error) => {
                let refusing = Self { calls: self.calls.refusing(error), ..self.clone() };
                return refusing.answer_to(&Origin::unread(Dialect::V1), method, request).await;
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
                    let payload = a2a.send(origin, q).await?;
                    Ok(SendMessageResponse { payload: Some(payload) })
                };
                calls.unary("SendMessage", request, send).await
            }
            "SendStreamingMessage" => {
                let stream = async |q: SendMessageRequest| a2a.stream(origin, q).await.map(Events);
                calls.streaming("SendStreamingMessage", request, stream).await
            }
            "GetTask" => {
                let get = async |q: GetTaskRequest| a2a.get(origin, q).await.map(|record| record.task);
                calls.unary("GetTask", request, get).await
            }
            "ListTasks" => {
                calls.unary("ListTasks", request, async |q: ListTasksRequest| a2a.list(origin, q).await).await
            }
            "CancelTask" => {
                let cancel = async |q: CancelTaskRequest| a2a.cancel(origin, q).await.map(|record| record.task);
                calls.unary("CancelTask", request, cancel).await
            }
            "SubscribeToTask" => {
                let subscribe = async |q: SubscribeToTaskRequest| a2a.subscribe(origin, q, None).await.map(Events);
                calls.streaming("SubscribeToTask", request, subscribe).await
            }
            "GetExtendedAgentCard" => {
                let visitor = &self.cards.visitor(request.uri(), request.headers());
                let card = async |q: GetExtendedAgentCardRequest| {
                    self.cards.extended(&a2a.status(origin, q.tenant)?, origin.dialect, visitor)
                };
                calls.unary("GetExtendedAgentCard", request, card).await
            }
            _ => return self.answer_push(origin, method, request).await,
        })
    }

    /// Operations on push notification configs.
    async fn answer_push(&self, origin: &Origin, method: &str, request: http::Request<Body>) -> Option<Answer> {
        let (a2a, calls) = (&self.a2a, &self.calls);
        Some(match method {
            "CreateTaskPushNotificationConfig" => {
                let create = async |q: TaskPushNotificationConfig| a2a.create_push(origin, q).await;
                calls.unary("CreateTaskPushNotificationConfig", request, create).await
            }
            "GetTaskPushNotificationConfig" => {
                let get = async |q: GetTaskPushNotificationConfigRequest| a2a.get_push(origin, q).await;
                calls.unary("GetTaskPushNotificationConfig", request, get).await
            }
            "ListTaskPushNotificationConfigs" => {
                let list = async |q: ListTaskPushNotificationConfigsRequest| a2a.list_push(origin, q).await;
                calls.unary("ListTaskPushNotificationConfigs", request, list).await
            }
            "DeleteTaskPushNotificationConfig" => {
                let delete = async |q: DeleteTaskPushNotificationConfigRequest| a2a.delete_push(origin, q).await;
                calls.unary("DeleteTaskPushNotificationConfig", request, delete).await
            }
            _ => return None,
        })
    }
}

/// A stream's events, which are sent as they are stored.
struct Events(Updates);

impl Batches for Events {
    async fn next(&mut self) -> Option<Result<Vec<Bytes>>> {
        let batch = self.0.next_batch().await?;
        Some(batch.map(|events| events.iter().map(|event| event.bytes().clone()).collect()))
    }
}
