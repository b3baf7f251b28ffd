//! Webhooks' configuration.

use crate::{
    error::{Error, ErrorKind},
    store::postgres::{
        Shared,
        session::{Failure, Session},
    },
    task::Webhook,
};

pub async fn put_first(_: &Shared, _: &Session, _: &[(i64, &[Webhook])]) -> Result<(), Failure> {
    Ok(())
}

pub async fn put(_: &Shared, _: &Session, webhook: &Webhook) -> Result<Webhook, Failure> {
    Ok(webhook.clone())
}

pub fn limit_of_task(per_task: usize) -> Error {
    Error::new(ErrorKind::WebhookLimit, "too many").with("limit", per_task)
}
