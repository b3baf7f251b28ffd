//! Reading one task, and listing tasks page by page.

use std::sync::Arc;

use super::{Caller, Inner, page::Token};
use crate::{
    error::Result,
    proto::{a2a::TaskState, well_known::Timestamp},
    store::TaskQuery,
    task::{Record, TaskId, cut_history, validate::Violations},
};

/// Which tasks to list. Unset filters match all.
#[derive(Clone, Debug, Default)]
pub struct ListQuery {
    /// The agent's name.
    pub agent: String,
    /// The context id.
    pub context_id: String,
    /// Any of these states.
    pub states: Vec<TaskState>,
    /// Status changed at this time or later.
    pub updated_after: Option<Timestamp>,
    /// 1 to 100; none: 50.
    pub page_size: Option<i32>,
    /// From the page before; empty: the first page.
    pub page_token: String,
    /// See [`super::Engine::get`].
    pub history_length: Option<i32>,
    /// Whether the tasks come with artifacts.
    pub include_artifacts: bool,
}

/// One page of a list.
#[derive(Clone, Debug)]
pub struct Page {
    /// Most recently updated first.
    pub records: Vec<Record>,
    /// Empty on the last page.
    pub next_page_token: String,
    /// The size that was used.
    pub page_size: i32,
    /// Matches on all pages.
    pub total: u64,
}

pub(super) async fn get(inner: &Inner, caller: &Caller, id: TaskId, history_length: Option<i32>) -> Result<Record> {
    let mut violations = Violations::default();
    violations.history_length("history_length", history_length);
    violations.check()?;
    let mut record = inner.record(caller, id).await?;
    cut_history(&mut record.task, history_length);
    Ok(record)
}

pub(super) async fn list(inner: &Arc<Inner>, caller: &Caller, query: ListQuery) -> Result<Page> {
    let mut violations = Violations::default();
    violations.id("agent", &query.agent);
    violations.id("context_id", &query.context_id);
    violations.history_length("history_length", query.history_length);
    let page_size = violations.page_size("page_size", query.page_size);
    let updated_from = query.updated_after.map(first_millisecond);
    let states = distinct(&query.states);
    let numbers: Vec<i32> = states.iter().copied().map(i32::from).collect();
    let token = Token::new(&(&caller.owner, &query.agent, &query.context_id, numbers, updated_from));
    let after = if query.page_token.is_empty() { None } else { token.read(&query.page_token) };
    if after.is_none() && !query.page_token.is_empty() {
        violations.add("page_token", "must be the next_page_token of a list with the same filters");
    }
    violations.check()?;
    if !query.agent.is_empty() {
        inner.roster.find(&query.agent)?;
    }
    let page = inner
        .store
        .list(TaskQuery {
            owner: caller.owner.clone(),
            agent: Some(query.agent.clone()).filter(|agent| !agent.is_empty()),
            context_id: Some(query.context_id.clone()).filter(|context| !context.is_empty()),
            states,
            updated_from,
            after,
            limit: usize::try_from(page_size).unwrap_or(1),
            count: true,
        })
        .await?;
    let records = page.tasks.into_iter().map(|stored| {
        let mut record = stored.into_record();
        cut_history(&mut record.task, query.history_length);
        if !query.include_artifacts {
            record.task.artifacts.clear();
        }
        record
    });
    Ok(Page {
        records: records.collect(),
        next_page_token: page.next.map(|key| token.write(key)).unwrap_or_default(),
        page_size,
        total: page.total,
    })
}

/// The states of a filter without repetition, and without UNSPECIFIED, which filters nothing.
pub(super) fn distinct(states: &[TaskState]) -> Vec<TaskState> {
    let mut states: Vec<_> = states.iter().copied().filter(|state| *state != TaskState::Unspecified).collect();
    states.sort_unstable();
    states.dedup();
    states
}

/// The first whole millisecond at or after a time: update times have whole milliseconds.
fn first_millisecond(time: Timestamp) -> i64 {
    time.millis().saturating_add(i64::from(time.nanos.rem_euclid(1_000_000) > 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_filter_is_inclusive() {
        assert_eq!(first_millisecond(Timestamp { seconds: 1, nanos: 0 }), 1000);
        assert_eq!(first_millisecond(Timestamp { seconds: 1, nanos: 1 }), 1001);
    }
}
