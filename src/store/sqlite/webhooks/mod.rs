//! Webhooks and their deliveries in SQLite: the store's traits over what the writer and the readers do.

pub mod config;
pub mod new_row;
pub mod reseal;
pub mod rows;

use std::sync::{Arc, atomic::Ordering};

use futures::future::BoxFuture;
use rusqlite::Connection;

use super::{
    Failure, Sqlite,
    outbox::{contents, read},
    unexpected,
    writer::{Done, Work},
};
use crate::{
    error::Result,
    store::{
        Backlog, Claims, Content, DeliveryPage, DeliveryQuery, Outbox, Redelivery, Requeued, Round, Standing, Wanted,
        WebhookChange, WebhookPage, WebhookQuery, Webhooks, Which,
    },
    task::{Webhook, WebhookId},
};

impl Sqlite {
    /// Has what arrived spread over the tables that are read of webhooks and by rounds, if anything waits for that.
    pub(super) async fn spread(&self) -> Result<()> {
        if self.waits.load(Ordering::Acquire) {
            self.write(Work::Spread(usize::MAX)).await?;
        }
        Ok(())
    }

    /// Reads those tables: whoever was told that a webhook or an event is stored finds it there.
    async fn read_spread<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Connection) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T> {
        self.spread().await?;
        self.readers.read(query).await
    }
}

impl Webhooks for Sqlite {
    fn put_webhook(&self, webhook: Webhook) -> BoxFuture<'_, Result<Webhook>> {
        Box::pin(async move {
            match self.write(Work::PutWebhook(Box::new(webhook))).await? {
                Done::Webhook(Some(webhook)) => Ok(*webhook),
                other => Err(unexpected(&other)),
            }
        })
    }

    fn webhook(&self, owner: Arc<str>, which: Which) -> BoxFuture<'_, Result<Option<Webhook>>> {
        let keys = self.keys.clone();
        Box::pin(self.read_spread(move |connection| {
            let found = rows::find(connection, &keys, &owner, &which)?;
            Ok(found.map(|stored| stored.webhook))
        }))
    }

    fn webhooks(&self, query: WebhookQuery) -> BoxFuture<'_, Result<WebhookPage>> {
        let keys = self.keys.clone();
        Box::pin(self.read_spread(move |connection| rows::list(connection, &keys, &query)))
    }

    fn update_webhook(&self, owner: Arc<str>, change: WebhookChange) -> BoxFuture<'_, Result<Option<Webhook>>> {
        Box::pin(async move {
            match self.write(Work::UpdateWebhook(owner, Box::new(change))).await? {
                Done::Webhook(webhook) => Ok(webhook.map(|webhook| *webhook)),
                other => Err(unexpected(&other)),
            }
        })
    }

    fn delete_webhook(&self, owner: Arc<str>, id: WebhookId) -> BoxFuture<'_, Result<bool>> {
        Box::pin(async move {
            match self.write(Work::DeleteWebhook(owner, id)).await? {
                Done::Count(count) => Ok(count > 0),
                other => Err(unexpected(&other)),
            }
        })
    }

    fn standing(&self, id: WebhookId) -> BoxFuture<'_, Result<Standing>> {
        Box::pin(self.read_spread(move |connection| rows::standing(connection, id)))
    }

    fn deliveries(&self, query: DeliveryQuery) -> BoxFuture<'_, Result<DeliveryPage>> {
        Box::pin(self.read_spread(move |connection| read::list(connection, &query)))
    }

    fn redeliver(&self, owner: Arc<str>, wanted: Redelivery) -> BoxFuture<'_, Result<Requeued>> {
        Box::pin(async move {
            match self.write(Work::Redeliver(owner, wanted)).await? {
                Done::Requeued(requeued) => Ok(requeued),
                other => Err(unexpected(&other)),
            }
        })
    }
}

impl Outbox for Sqlite {
    fn dispatch(&self, round: Round) -> BoxFuture<'_, Result<Claims>> {
        Box::pin(async move {
            match self.write(Work::Dispatch(round)).await? {
                Done::Claims(claims) => Ok(claims),
                other => Err(unexpected(&other)),
            }
        })
    }

    fn contents(&self, wanted: Vec<Wanted>) -> BoxFuture<'_, Result<Vec<Option<Content>>>> {
        Box::pin(self.readers.read(move |connection| contents::contents(connection, &wanted)))
    }

    fn backlog(&self) -> BoxFuture<'_, Result<Backlog>> {
        Box::pin(self.read_spread(read::backlog))
    }

    fn purge_deliveries(&self, cutoff: Option<i64>, now: i64, batch: usize) -> BoxFuture<'_, Result<usize>> {
        Box::pin(async move {
            match self.write(Work::PurgeDeliveries { cutoff, now, batch }).await? {
                Done::Count(count) => Ok(count),
                other => Err(unexpected(&other)),
            }
        })
    }
}
