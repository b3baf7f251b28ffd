//! Lists: ranges of an index each, merged.

use std::cmp::Reverse;

use futures::future::try_join;
use tokio_postgres::types::ToSql;

use super::{BODY, BODY_COLUMNS, COLUMN_COUNT, COLUMNS, Header, number};
use crate::{
    proto::a2a::TaskState,
    store::{
        Key, LIST_BYTES, TaskPage, TaskQuery,
        codes::{OPEN, SETTLED, standing_of, state_of},
        postgres::session::{Failure, Session},
    },
};

/// The largest page of a list whose statement is prepared apart from those of larger ones.
const SIZES: [usize; 3] = [2, 16, 64];

/// Open tasks, and settled ones by state where that is asked for.
type Ranges = Vec<(i32, Option<TaskState>)>;

pub async fn list(session: &Session, query: &TaskQuery) -> Result<TaskPage, Failure> {
    let ranges = ranges(query);
    let total = async { if query.count { count(session, query, &ranges).await } else { Ok(0) } };
    let (page, total) = try_join(page(session, query, &ranges), total).await?;
    Ok(TaskPage { total, ..page })
}

fn ranges(query: &TaskQuery) -> Ranges {
    if query.states.is_empty() {
        return vec![(OPEN, None), (SETTLED, None)];
    }
    query.states.iter().map(|state| (standing_of(*state), Some(*state))).collect()
}

async fn page(session: &Session, query: &TaskQuery, ranges: &Ranges) -> Result<TaskPage, Failure> {
    let place = query.after.unwrap_or(Key { updated: i64::MAX, row: i64::MAX });
    let wanted = i64::try_from(query.limit.saturating_add(1)).unwrap_or(i64::MAX);
    let mut values = Values::default();
    let statement = statement(query, ranges, place, wanted, &mut values);
    let rows = session.query(&statement, &values.params()).await?;
    let found = rows.first().map_or(0, |row| number(row, COLUMN_COUNT + 4));
    let mut tasks = Vec::with_capacity(rows.len());
    for row in &rows {
        let header = Header::read(row);
        let place = Key { updated: header.updated, row: header.key };
        tasks.push((place, header.fold(row, COLUMN_COUNT)?));
    }
    tasks.sort_unstable_by_key(|(place, _)| Reverse(*place));
    let more = found > tasks.len() as u64;
    let next = tasks.last().filter(|_| more).map(|(place, _)| *place);
    Ok(TaskPage { tasks: tasks.into_iter().map(|(_, stored)| stored).collect(), next, total: 0 })
}

/// A page of rows, and one more to know whether there are more; of those what the tasks are folded from, until that reaches
/// [`LIST_BYTES`].
fn statement(query: &TaskQuery, ranges: &Ranges, place: Key, wanted: i64, values: &mut Values) -> String {
    let size = SIZES.iter().find(|size| query.limit < **size);
    // How many rows a range gives is part of the text, so that no plan is made for many.
    let size = size.map_or_else(|| query.limit.max(100).saturating_add(1), |size| *size);
    let (updated, key) = (values.add(place.updated), values.add(place.row));
    let wheres = Filter::new(query, values);
    let ranges: Vec<_> = ranges
        .iter()
        .map(|(standing, state)| {
            let wheres = wheres.of(*standing, *state, values);
            format!(
                "(SELECT * FROM tasks WHERE {wheres} AND (updated, key) < ({updated}, {key})
                  ORDER BY updated DESC, key DESC LIMIT {size})"
            )
        })
        .collect();
    let (ranges, wanted) = (ranges.join(" UNION ALL "), values.add(wanted));
    format!(
        "SELECT {COLUMNS}, {BODY_COLUMNS}, tasks.found
         FROM (SELECT sized.*, row_number() OVER newest AS number, count(*) OVER () AS found,
                      sum(size) OVER (newest ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before
               FROM (SELECT page.*, coalesce(octet_length(snapshots.data), 0) + coalesce((
                            SELECT sum(octet_length(data)) FROM segments
                            WHERE segments.task = page.key AND last > coalesce(snapshots.sequence, 0)), 0) AS size
                     FROM (SELECT * FROM ({ranges}) AS ranges ORDER BY updated DESC, key DESC LIMIT {wanted}) AS page
                     LEFT JOIN snapshots ON snapshots.task = page.key) AS sized
               WINDOW newest AS (ORDER BY updated DESC, key DESC)) AS tasks
         {BODY} WHERE tasks.number < {wanted} AND coalesce(tasks.before, 0) < {LIST_BYTES}"
    )
}

/// Matches on all pages: from the kept counts where they tell, else by counting.
async fn count(session: &Session, query: &TaskQuery, ranges: &Ranges) -> Result<u64, Failure> {
    let mut values = Values::default();
    let wheres = Filter::new(query, &mut values);
    if query.context_id.is_some() || query.updated_from.is_some() {
        let ranges: Vec<_> = ranges
            .iter()
            .map(|(standing, state)| {
                let wheres = wheres.of(*standing, *state, &mut values);
                format!("(SELECT count(*) FROM tasks WHERE {wheres})")
            })
            .collect();
        let counted = session.query_one(&format!("SELECT {}", ranges.join(" + ")), &values.params()).await?;
        return Ok(number(&counted, 0));
    }
    let statement = format!("SELECT state, sum(tasks)::bigint FROM counts WHERE {} GROUP BY state", wheres.0);
    let rows = session.query(&statement, &values.params()).await?;
    let asked = |state| query.states.is_empty() || query.states.contains(&state);
    Ok(rows.iter().filter(|row| asked(state_of(row.get(0)))).map(|row| number(row, 1)).sum())
}

/// The conditions of a list without its place and its ranges.
struct Filter(String);

impl Filter {
    fn new(query: &TaskQuery, values: &mut Values) -> Self {
        let mut wheres = format!("owner = {}", values.add(query.owner.to_string()));
        let mut add = |condition: &str, value: String| {
            wheres.push_str(&format!(" AND {condition} {value}"));
        };
        if let Some(context) = &query.context_id {
            add("context =", values.add(context.clone()));
        }
        if let Some(agent) = &query.agent {
            add("agent =", values.add(agent.clone()));
        }
        if let Some(from) = query.updated_from {
            add("updated >=", values.add(from));
        }
        Self(wheres)
    }

    fn of(&self, standing: i32, state: Option<TaskState>, values: &mut Values) -> String {
        let state = state.map_or_else(String::new, |state| format!(" AND state = {}", values.add(i32::from(state))));
        format!("standing = {standing} AND {}{state}", self.0)
    }
}

/// What a statement is called with.
#[derive(Default)]
struct Values(Vec<Box<dyn ToSql + Sync + Send>>);

impl Values {
    /// Adds a value; how it is named.
    fn add(&mut self, value: impl ToSql + Sync + Send + 'static) -> String {
        self.0.push(Box::new(value));
        format!("${}", self.0.len())
    }

    fn params(&self) -> Vec<&(dyn ToSql + Sync)> {
        self.0.iter().map(|value| &**value as &(dyn ToSql + Sync)).collect()
    }
}

/// The ranges of lists by each filter that there is.
#[cfg(test)]
pub fn planned() -> Vec<String> {
    let place = Key { updated: 0, row: 0 };
    let mut planned = Vec::new();
    for bits in 0..8 {
        let given = |bit: i32| bits & bit > 0;
        for states in [&[][..], &[TaskState::Completed], &[TaskState::Working]] {
            let query = TaskQuery {
                context_id: given(1).then(String::new),
                agent: given(2).then(String::new),
                updated_from: given(4).then_some(0),
                states: states.to_vec(),
                limit: 50,
                ..TaskQuery::default()
            };
            planned.push(statement(&query, &ranges(&query), place, 51, &mut Values::default()));
        }
    }
    planned
}
