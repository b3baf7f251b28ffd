//! Webhooks.

pub mod config;
pub mod reseal;

use super::Postgres;
use crate::{
    error::{Error, Result},
    store::{
        Backlog, Claims, Content, DeliveryPage, DeliveryQuery, Outbox, Redelivery, Requeued, Round, Standing, Wanted,
        WebhookChange, WebhookPage, WebhookQuery, Webhooks, Which,
    },
    task::{Webhook, WebhookId},
};
use futures::future::BoxFuture;
use std::sync::Arc;
fn stub<T: Send + 'static>() -> BoxFuture<'static, Result<T>> {
    Box::pin(async { Err(Error::internal("stub", "stub")) })
}
impl Webhooks for Postgres {
    fn put_webhook(&self, _: Webhook) -> BoxFuture<'_, Result<Webhook>> {
        stub()
    }
    fn webhook(&self, _: Arc<str>, _: Which) -> BoxFuture<'_, Result<Option<Webhook>>> {
        stub()
    }
    fn webhooks(&self, _: WebhookQuery) -> BoxFuture<'_, Result<WebhookPage>> {
        stub()
    }
    fn update_webhook(&self, _: Arc<str>, _: WebhookChange) -> BoxFuture<'_, Result<Option<Webhook>>> {
        stub()
    }
    fn delete_webhook(&self, _: Arc<str>, _: WebhookId) -> BoxFuture<'_, Result<bool>> {
        stub()
    }
    fn standing(&self, _: WebhookId) -> BoxFuture<'_, Result<Standing>> {
        stub()
    }
    fn deliveries(&self, _: DeliveryQuery) -> BoxFuture<'_, Result<DeliveryPage>> {
        stub()
    }
    fn redeliver(&self, _: Arc<str>, _: Redelivery) -> BoxFuture<'_, Result<Requeued>> {
        stub()
    }
}
impl Outbox for Postgres {
    fn dispatch(&self, _: Round) -> BoxFuture<'_, Result<Claims>> {
        stub()
    }
    fn contents(&self, _: Vec<Wanted>) -> BoxFuture<'_, Result<Vec<Option<Content>>>> {
        stub()
    }
    fn backlog(&self) -> BoxFuture<'_, Result<Backlog>> {
        stub()
    }
    fn purge_deliveries(&self, _: Option<i64>, _: i64, _: usize) -> BoxFuture<'_, Result<usize>> {
        stub()
    }
}
