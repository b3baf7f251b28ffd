//! Retention: settled tasks, request ids and conversations whose time is over, and the ends of long logs.

use super::session::{Failure, Session};
use crate::{error::Error, task::TaskId};

pub async fn purge(
    _: &Session,
    _webhooks: bool,
    _cutoff: Option<i64>,
    _now: i64,
    _batch: usize,
) -> Result<Vec<TaskId>, Failure> {
    Err(Error::internal("stub", "stub").into())
}
