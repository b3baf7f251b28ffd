//! Reads: each is one statement, so that what it reads belongs together.

use crate::{
    error::Error,
    proto::a2a::TaskState,
    store::{FeedPage, Link, LogPage, Stored, TaskPage, TaskQuery, Used},
    task::TaskId,
};

use super::session::{Failure, Session};

/// A piece of the feed.
pub struct Feed {
    pub page: FeedPage,
    /// Whether there are commits whose place is still open.
    pub open: bool,
}

fn missing() -> Failure {
    Error::internal("stub", "stub").into()
}

pub async fn request(_: &Session, _: &str, _: &str, _: &str, _: i64) -> Result<Option<Used>, Failure> {
    Err(missing())
}
pub async fn task(_: &Session, _: TaskId) -> Result<Option<Stored>, Failure> {
    Err(missing())
}
pub async fn log(_: &Session, _: TaskId, _: u64) -> Result<Option<LogPage>, Failure> {
    Err(missing())
}
pub async fn list(_: &Session, _: &TaskQuery) -> Result<TaskPage, Failure> {
    Err(missing())
}
pub async fn feed(_: &Session, _base: i64, _after: u64) -> Result<Feed, Failure> {
    Err(missing())
}
pub async fn overdue(_: &Session, _me: i64, _now: i64) -> Result<Vec<TaskId>, Failure> {
    Err(missing())
}
pub async fn link(_: &Session, _: TaskId) -> Result<Option<Link>, Failure> {
    Err(missing())
}
pub async fn linked(_: &Session, _: &str, _: &str, _: &str) -> Result<Option<TaskId>, Failure> {
    Err(missing())
}
pub async fn upstream_context(_: &Session, _: &str, _: &str, _: &str) -> Result<Option<String>, Failure> {
    Err(missing())
}
pub async fn counts(_: &Session) -> Result<Vec<(TaskState, u64)>, Failure> {
    Err(missing())
}
