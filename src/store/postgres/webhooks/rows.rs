//! Webhooks as rows, and what owners read of them.
//!
//! What the outside calls a webhook or a task may hold anything; what holds a NUL is not there, for `text` takes none.

use tokio_postgres::{Row, types::ToSql};
use uuid::Uuid;

use crate::{
    error::Error,
    store::{
        Standing, WebhookPage, WebhookQuery, Which,
        codes::{dialect_code, dialect_of},
        postgres::session::{Failure, Session},
        rules::{COUNTED, events_of, state_of},
        seal::Keys,
    },
    task::{Health, Webhook, WebhookId},
};

/// A row's columns, in the order that [`read`] reads them.
const SELECT: &str =
    "SELECT w.key, w.id, w.owner, w.agent, w.task, w.name, w.url, w.origin, w.payload, w.events, w.secrets,
        w.state, w.created, w.updated, w.failing_since, w.last_success, w.last_failure, w.last_error
     FROM webhooks AS w";

/// A webhook and where it lies.
pub struct Stored {
    pub key: i64,
    pub webhook: Webhook,
}

fn read(row: &Row, keys: &Keys) -> Result<Stored, Failure> {
    let id = WebhookId::from_bytes(row.get::<_, Uuid>(1).into_bytes());
    let secrets = keys
        .open(id, row.get(10))
        .ok_or_else(|| Error::internal("reading a webhook's secrets", format!("no key opens those of {id}")))?;
    let webhook = Webhook {
        id,
        owner: row.get::<_, &str>(2).into(),
        agent: row.get::<_, &str>(3).into(),
        task: row.get(4),
        name: row.get(5),
        url: row.get(6),
        origin: row.get(7),
        payload: dialect_of(row.get(8)),
        events: events_of(row.get(9)),
        secrets,
        state: state_of(row.get(11)),
        created: row.get(12),
        updated: row.get(13),
        health: Health {
            failing_since: row.get(14),
            last_success: row.get(15),
            last_failure: row.get(16),
            last_error: row.get(17),
        },
    };
    Ok(Stored { key: row.get(0), webhook })
}

const BY_KEYS: &str = "w.key = ANY($1)";
const BY_ID: &str = "w.id = $1 AND w.owner = $2";
// The sum keeps the database from going through an owner's webhooks in their order.
const FIRST_OF_TASK: &str = "w.owner = $1 AND w.task = $2 AND w.task <> '' ORDER BY w.key + 0 LIMIT 1";
const OF_TASK: &str = "w.owner = $1 AND w.task = $2 AND w.name = $3 AND w.task <> ''";
const OF_AGENT: &str = "w.owner = $1 AND w.agent = $2 AND w.name = $3 AND w.task = ''";

fn select(wheres: &str) -> String {
    format!("{SELECT} WHERE {wheres}")
}

async fn one(
    session: &Session,
    keys: &Keys,
    wheres: &str,
    values: &[&(dyn ToSql + Sync)],
) -> Result<Option<Stored>, Failure> {
    let row = session.query_opt(&select(wheres), values).await?;
    row.map(|row| read(&row, keys)).transpose()
}

/// Those with these keys that are there.
pub async fn by_keys(session: &Session, keys: &Keys, wanted: &[i64]) -> Result<Vec<Stored>, Failure> {
    let rows = session.query(&select(BY_KEYS), &[&wanted]).await?;
    rows.iter().map(|row| read(row, keys)).collect()
}

/// The owner's webhook that is meant.
pub async fn find(session: &Session, keys: &Keys, owner: &str, which: &Which) -> Result<Option<Stored>, Failure> {
    let (place, name) = match which {
        Which::Id(id) => return one(session, keys, BY_ID, &[&Uuid::from_bytes(id.to_bytes()), &owner]).await,
        Which::Task { task, name } => (task, name),
        Which::Agent { agent, name } => (agent, name),
    };
    if place.contains('\0') || name.contains('\0') {
        return Ok(None);
    }
    match which {
        Which::Task { task, name } if name.is_empty() => {
            let named = one(session, keys, OF_TASK, &[&owner, task, task]).await?;
            if named.is_some() {
                return Ok(named);
            }
            one(session, keys, FIRST_OF_TASK, &[&owner, task]).await
        }
        Which::Task { .. } => one(session, keys, OF_TASK, &[&owner, place, name]).await,
        Which::Agent { .. } | Which::Id(_) => one(session, keys, OF_AGENT, &[&owner, place, name]).await,
    }
}

/// See `Webhooks::webhooks`.
pub async fn list(session: &Session, keys: &Keys, query: &WebhookQuery) -> Result<WebhookPage, Failure> {
    if query.agent.iter().chain(&query.task).any(|text| text.contains('\0')) {
        return Ok(WebhookPage { webhooks: Vec::new(), next: None });
    }
    let limit = i64::try_from(query.limit).unwrap_or(i64::MAX).saturating_add(1);
    let owner = &*query.owner;
    let mut values: Vec<&(dyn ToSql + Sync)> = vec![&owner, &query.after, &limit];
    if let Some(agent) = &query.agent {
        values.push(agent);
    }
    if let Some(task) = query.task.as_ref().filter(|task| !task.is_empty()) {
        values.push(task);
    }
    let rows = session.query(&page_of(query), &values).await?;
    let mut found = rows.iter().map(|row| read(row, keys)).collect::<Result<Vec<_>, _>>()?;
    let more = found.len() > query.limit;
    found.truncate(query.limit);
    let next = found.last().filter(|_| more).map(|stored| stored.key);
    Ok(WebhookPage { webhooks: found.into_iter().map(|stored| stored.webhook).collect(), next })
}

/// The webhooks of a task are few and are sorted: what keeps other indexes from being used for them is added. All others
/// come in the order of an index, as a range of all its columns: by keys alone all owners' would be gone through.
fn page_of(query: &WebhookQuery) -> String {
    let mut wheres = match (query.task.as_deref(), &query.agent) {
        (None, None) => "(w.owner, w.key) > ($1, $2) AND w.owner <= $1".to_owned(),
        (None, Some(_)) => "(w.agent, w.owner, w.key) > ($4, $1, $2) AND (w.agent, w.owner) <= ($4, $1)".to_owned(),
        (Some(_), None) => "w.owner = $1 AND w.key > $2".to_owned(),
        (Some(_), Some(_)) => "w.owner = $1 AND w.key > $2 AND w.agent || '' = $4".to_owned(),
    };
    match query.task.as_deref() {
        None => {}
        // Those of agents as a whole have an index of their own, too.
        Some("") => wheres.push_str(" AND w.task = ''"),
        Some(_) if query.agent.is_some() => wheres.push_str(" AND w.task = $5 AND w.task <> ''"),
        Some(_) => wheres.push_str(" AND w.task = $4 AND w.task <> ''"),
    }
    if let Some(payload) = query.payload {
        // Not a parameter: only so the index of PraisonAI's can be used, the only ones that are asked for.
        wheres.push_str(&format!(" AND w.payload = {}", dialect_code(payload)));
    }
    let order = match (query.task.is_some(), query.agent.is_some()) {
        (true, _) => "w.key + 0",
        (false, true) => "w.agent, w.owner, w.key",
        (false, false) => "w.owner, w.key",
    };
    format!("{SELECT} WHERE {wheres} ORDER BY {order} LIMIT $3")
}

/// See `Webhooks::standing`.
pub async fn standing(session: &Session, id: WebhookId) -> Result<Standing, Failure> {
    let count = |state: i64| {
        format!(
            "(SELECT count(*) FROM (SELECT 1 FROM deliveries AS d
                WHERE d.webhook = (SELECT w.key FROM webhooks AS w WHERE w.id = $1) AND d.state = {state}
                LIMIT {COUNTED}) AS counted)"
        )
    };
    let statement = format!("SELECT {}, {}", count(0), count(2));
    let row = session.query_one(&statement, &[&Uuid::from_bytes(id.to_bytes())]).await?;
    let number = |at: usize| row.get::<_, i64>(at).cast_unsigned();
    Ok(Standing { pending: number(0), failed: number(1) })
}

#[cfg(test)]
pub fn planned() -> Vec<String> {
    [BY_KEYS, BY_ID, FIRST_OF_TASK, OF_TASK, OF_AGENT].map(select).into()
}

/// Lists, each with the index it is to go by.
#[cfg(test)]
pub fn planned_lists() -> [(String, &'static str); 5] {
    let all = WebhookQuery::default;
    let text = || Some("1".to_owned());
    let payload = Some(crate::task::Dialect::Praison);
    [
        (all(), "webhooks_by_owner"),
        (WebhookQuery { agent: text(), ..all() }, "webhooks_by_agent"),
        (WebhookQuery { task: text(), ..all() }, "webhooks_of_tasks"),
        (WebhookQuery { task: text(), agent: text(), payload, ..all() }, "webhooks_of_tasks"),
        (WebhookQuery { payload, ..all() }, "webhooks_of_praisonai"),
    ]
    .map(|(query, index)| (page_of(&query), index))
}
