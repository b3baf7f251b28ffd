//! Removes deliveries.

use crate::{
    store::{
        Identity,
        postgres::{
            Shared,
            session::{Failure, Session},
        },
    },
    task::TaskId,
};

pub async fn trim_limit(_: &Session, _: i64, _: &Identity) -> Result<Option<u64>, Failure> {
    Ok(Some(u64::MAX))
}

pub async fn remove_task(_: &Shared, _: &Session, _: i64, _: &str, _: TaskId) -> Result<usize, Failure> {
    Ok(0)
}
