//! Webhooks and their deliveries in PostgreSQL: the store's traits.
//!
//! Reads go by the connections that read. Rounds, and all that changes webhooks or makes deliveries due, go one at a time
//! over all processes (see `outbox`).

pub mod config;
pub mod reseal;
pub mod rows;

use std::sync::Arc;

use futures::future::BoxFuture;

use super::{
    Postgres, bus,
    outbox::{contents, purge, read, requeue, round},
    session::Session,
};
use crate::{
    error::Result,
    store::{
        Backlog, Claims, Content, DeliveryPage, DeliveryQuery, Outbox, Redelivery, Requeued, Round, Standing, Wanted,
        WebhookChange, WebhookPage, WebhookQuery, Webhooks, Which,
    },
    task::{Webhook, WebhookId, WebhookState},
};

impl Postgres {
    /// After the commit of something that made deliveries due.
    fn told(&self, due: bool) {
        if due {
            self.shared.listener.due();
        }
    }
}

impl Webhooks for Postgres {
    fn put_webhook(&self, webhook: Webhook) -> BoxFuture<'_, Result<Webhook>> {
        Box::pin(async move {
            let (shared, webhook) = (&*self.shared, &webhook);
            let work = |session: Arc<Session>| async move { config::put_and_tell(shared, &session, webhook).await };
            let (stored, due) = shared.outbox.run(work).await?;
            self.told(due);
            Ok(stored)
        })
    }

    fn webhook(&self, owner: Arc<str>, which: Which) -> BoxFuture<'_, Result<Option<Webhook>>> {
        Box::pin(async move {
            let (keys, owner, which) = (&*self.shared.keys, &*owner, &which);
            let query = |session: Arc<Session>| async move { rows::find(&session, keys, owner, which).await };
            Ok(self.shared.readers.read(query).await?.map(|stored| stored.webhook))
        })
    }

    fn webhooks(&self, query: WebhookQuery) -> BoxFuture<'_, Result<WebhookPage>> {
        Box::pin(async move {
            let (keys, query) = (&*self.shared.keys, &query);
            self.shared.readers.read(|session| async move { rows::list(&session, keys, query).await }).await
        })
    }

    fn update_webhook(&self, owner: Arc<str>, change: WebhookChange) -> BoxFuture<'_, Result<Option<Webhook>>> {
        Box::pin(async move {
            let (shared, owner, change) = (&*self.shared, &*owner, &change);
            let work = |session: Arc<Session>| async move { config::update(shared, &session, owner, change).await };
            let Some((webhook, due)) = shared.outbox.run(work).await? else { return Ok(None) };
            self.told(due);
            if webhook.state == WebhookState::Paused && change.state.is_some() {
                bus::stop_elsewhere(shared, webhook.id).await?;
            }
            Ok(Some(webhook))
        })
    }

    fn delete_webhook(&self, owner: Arc<str>, id: WebhookId) -> BoxFuture<'_, Result<bool>> {
        Box::pin(async move {
            let (shared, owner) = (&*self.shared, &*owner);
            let work = |session: Arc<Session>| async move { config::delete(shared, &session, owner, id).await };
            let removed = shared.outbox.run(work).await?;
            if removed {
                bus::stop_elsewhere(shared, id).await?;
            }
            Ok(removed)
        })
    }

    fn standing(&self, id: WebhookId) -> BoxFuture<'_, Result<Standing>> {
        Box::pin(self.shared.readers.read(move |session| async move { rows::standing(&session, id).await }))
    }

    fn deliveries(&self, query: DeliveryQuery) -> BoxFuture<'_, Result<DeliveryPage>> {
        Box::pin(async move {
            let query = &query;
            self.shared.readers.read(|session| async move { read::list(&session, query).await }).await
        })
    }

    fn redeliver(&self, owner: Arc<str>, wanted: Redelivery) -> BoxFuture<'_, Result<Requeued>> {
        Box::pin(async move {
            let (shared, owner, wanted) = (&*self.shared, &*owner, &wanted);
            let work = |session: Arc<Session>| async move { requeue::redeliver(shared, &session, owner, wanted).await };
            let (requeued, due) = shared.outbox.run(work).await?;
            self.told(due);
            Ok(requeued)
        })
    }
}

impl Outbox for Postgres {
    fn dispatch(&self, round: Round) -> BoxFuture<'_, Result<Claims>> {
        Box::pin(round::dispatch(&self.shared, round))
    }

    fn contents(&self, wanted: Vec<Wanted>) -> BoxFuture<'_, Result<Vec<Option<Content>>>> {
        Box::pin(async move {
            let wanted = &wanted;
            self.shared.readers.read(|session| async move { contents::contents(&session, wanted).await }).await
        })
    }

    fn backlog(&self) -> BoxFuture<'_, Result<Backlog>> {
        Box::pin(self.shared.readers.read(|session| async move { read::backlog(&session).await }))
    }

    fn purge_deliveries(&self, cutoff: Option<i64>, now: i64, batch: usize) -> BoxFuture<'_, Result<usize>> {
        let shared = &*self.shared;
        let work = move |session: Arc<Session>| async move { purge::purge(shared, &session, cutoff, now, batch).await };
        Box::pin(shared.outbox.run(work))
    }
}
