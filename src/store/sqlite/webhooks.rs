//! Webhooks and their deliveries in SQLite.

use std::sync::Arc;

use futures::future::BoxFuture;

use super::Sqlite;
use crate::{
    error::Result,
    store::{
        Backlog, Claims, Content, DeliveryPage, DeliveryQuery, Outbox, Redelivery, Requeued, Round, Standing, Wanted,
        WebhookChange, WebhookPage, WebhookQuery, Webhooks, Which, closed,
    },
    task::{Webhook, WebhookId},
};

impl Webhooks for Sqlite {
    fn put_webhook(&self, _webhook: Webhook) -> BoxFuture<'_, Result<Webhook>> {
        Box::pin(async { Err(closed()) })
    }
    fn webhook(&self, _owner: Arc<str>, _which: Which) -> BoxFuture<'_, Result<Option<Webhook>>> {
        Box::pin(async { Err(closed()) })
    }
    fn webhooks(&self, _query: WebhookQuery) -> BoxFuture<'_, Result<WebhookPage>> {
        Box::pin(async { Err(closed()) })
    }
    fn update_webhook(&self, _owner: Arc<str>, _change: WebhookChange) -> BoxFuture<'_, Result<Option<Webhook>>> {
        Box::pin(async { Err(closed()) })
    }
    fn delete_webhook(&self, _owner: Arc<str>, _id: WebhookId) -> BoxFuture<'_, Result<bool>> {
        Box::pin(async { Err(closed()) })
    }
    fn standing(&self, _id: WebhookId) -> BoxFuture<'_, Result<Standing>> {
        Box::pin(async { Err(closed()) })
    }
    fn deliveries(&self, _query: DeliveryQuery) -> BoxFuture<'_, Result<DeliveryPage>> {
        Box::pin(async { Err(closed()) })
    }
    fn redeliver(&self, _owner: Arc<str>, _wanted: Redelivery) -> BoxFuture<'_, Result<Requeued>> {
        Box::pin(async { Err(closed()) })
    }
}

impl Outbox for Sqlite {
    fn dispatch(&self, _round: Round) -> BoxFuture<'_, Result<Claims>> {
        Box::pin(async { Err(closed()) })
    }
    fn contents(&self, _wanted: Vec<Wanted>) -> BoxFuture<'_, Result<Vec<Option<Content>>>> {
        Box::pin(async { Err(closed()) })
    }
    fn backlog(&self) -> BoxFuture<'_, Result<Backlog>> {
        Box::pin(async { Err(closed()) })
    }
    fn purge_deliveries(&self, _cutoff: i64, _batch: usize) -> BoxFuture<'_, Result<usize>> {
        Box::pin(async { Err(closed()) })
    }
}
