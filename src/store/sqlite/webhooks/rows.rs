//! Webhooks as rows, and what owners read of them.

use rusqlite::{Connection, OptionalExtension as _, Params, Row, types::Value as Sql};

use crate::{
    error::Error,
    store::{
        Standing, WebhookPage, WebhookQuery, Which,
        rules::{COUNTED, events_of, state_of},
        seal::Keys,
        sqlite::{Failure, read},
    },
    task::{Health, Webhook, WebhookId},
};

/// A row's columns, in the order that [`Raw::read`] reads them.
const SELECT: &str = "SELECT w.key, w.origin, w.id, w.owner, w.agent, w.task, w.name, w.url, o.name,
            w.payload, w.events, w.secrets, w.state, w.created, w.updated, w.failing_since, w.last_success,
            w.last_failure, w.last_error
     FROM webhooks AS w CROSS JOIN origins AS o ON o.key = w.origin";

/// A webhook and where it lies.
pub struct Stored {
    pub key: i64,
    /// The origin's.
    pub origin: i64,
    pub webhook: Webhook,
}

/// A row with its secrets still sealed.
struct Raw {
    stored: Stored,
    secrets: Vec<u8>,
}

impl Raw {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        let webhook = Webhook {
            id: WebhookId::from_bytes(row.get(2)?),
            owner: row.get::<_, String>(3)?.into(),
            agent: row.get::<_, String>(4)?.into(),
            task: row.get(5)?,
            name: row.get(6)?,
            url: row.get(7)?,
            origin: row.get(8)?,
            payload: read::dialect_of(row.get(9)?),
            events: events_of(row.get(10)?),
            secrets: Default::default(),
            state: state_of(row.get(12)?),
            created: row.get(13)?,
            updated: row.get(14)?,
            health: Health {
                failing_since: row.get(15)?,
                last_success: row.get(16)?,
                last_failure: row.get(17)?,
                last_error: row.get(18)?,
            },
        };
        let stored = Stored { key: row.get(0)?, origin: row.get(1)?, webhook };
        Ok(Self { stored, secrets: row.get(11)? })
    }

    fn open(self, keys: &Keys) -> Result<Stored, Failure> {
        let Self { mut stored, secrets } = self;
        let id = stored.webhook.id;
        stored.webhook.secrets = keys
            .open(id, &secrets)
            .ok_or_else(|| Error::internal("reading a webhook's secrets", format!("no key opens those of {id}")))?;
        Ok(stored)
    }
}

const BY_KEY: &str = "w.key = ?1";
const BY_ID: &str = "w.id = ?1 AND w.owner = ?2";
const FIRST_OF_TASK: &str = "w.owner = ?1 AND w.task = ?2 AND w.task <> '' ORDER BY +w.key LIMIT 1";
const OF_TASK: &str = "w.owner = ?1 AND w.task = ?2 AND w.name = ?3 AND w.task <> ''";
const OF_AGENT: &str = "w.owner = ?1 AND w.agent = ?2 AND w.name = ?3 AND w.task = ''";

fn one_of(wheres: &str) -> String {
    format!("{SELECT} WHERE {wheres}")
}

fn one(sql: &Connection, keys: &Keys, wheres: &str, values: impl Params) -> Result<Option<Stored>, Failure> {
    let raw = sql.prepare_cached(&one_of(wheres))?.query_row(values, Raw::read).optional()?;
    raw.map(|raw| raw.open(keys)).transpose()
}

pub fn by_key(sql: &Connection, keys: &Keys, key: i64) -> Result<Option<Stored>, Failure> {
    one(sql, keys, BY_KEY, [key])
}

/// The owner's webhook that is meant.
pub fn find(sql: &Connection, keys: &Keys, owner: &str, which: &Which) -> Result<Option<Stored>, Failure> {
    match which {
        Which::Id(id) => one(sql, keys, BY_ID, rusqlite::params![id.to_bytes(), owner]),
        Which::Task { task, name } if name.is_empty() => {
            let named = of_task(sql, keys, owner, task, task)?;
            if named.is_some() {
                return Ok(named);
            }
            one(sql, keys, FIRST_OF_TASK, [owner, task])
        }
        Which::Task { task, name } => of_task(sql, keys, owner, task, name),
        Which::Agent { agent, name } => one(sql, keys, OF_AGENT, [owner, agent, name]),
    }
}

fn of_task(sql: &Connection, keys: &Keys, owner: &str, task: &str, name: &str) -> Result<Option<Stored>, Failure> {
    one(sql, keys, OF_TASK, [owner, task, name])
}

/// See `Webhooks::webhooks`.
pub fn list(sql: &Connection, keys: &Keys, query: &WebhookQuery) -> Result<WebhookPage, Failure> {
    let (wheres, values) = filter(query);
    let mut statement = sql.prepare_cached(&page_of(&wheres, query))?;
    let rows = statement.query_map(rusqlite::params_from_iter(values), Raw::read)?;
    let mut found = Vec::new();
    for row in rows {
        found.push(row?.open(keys)?);
    }
    let more = found.len() > query.limit;
    found.truncate(query.limit);
    let next = found.last().filter(|_| more).map(|stored| stored.key);
    Ok(WebhookPage { webhooks: found.into_iter().map(|stored| stored.webhook).collect(), next })
}

fn page_of(wheres: &str, query: &WebhookQuery) -> String {
    format!("{SELECT} WHERE {wheres} ORDER BY {}w.key LIMIT ?", sorted(query))
}

/// What is asked of the rows. The webhooks of a task are few and are sorted: see [`sorted`]. All others come in the order
/// of an index.
fn filter(query: &WebhookQuery) -> (String, Vec<Sql>) {
    let plus = sorted(query);
    let mut wheres = format!("w.owner = ? AND {plus}w.key > ?");
    let mut values = vec![Sql::from(query.owner.to_string()), query.after.into()];
    if let Some(agent) = &query.agent {
        wheres.push_str(&format!(" AND {plus}w.agent = ?"));
        values.push(agent.clone().into());
    }
    match query.task.as_deref() {
        None => {}
        // Those of agents as a whole have an index of their own, too.
        Some("") => wheres.push_str(" AND w.task = ''"),
        Some(task) => {
            wheres.push_str(" AND w.task = ? AND w.task <> ''");
            values.push(task.to_owned().into());
        }
    }
    if let Some(payload) = query.payload {
        // Not a parameter: only so the index of PraisonAI's can be used, the only ones that are asked for.
        wheres.push_str(&format!(" AND {plus}w.payload = {}", read::dialect_code(payload)));
    }
    values.push(i64::try_from(query.limit).unwrap_or(i64::MAX).saturating_add(1).into());
    (wheres, values)
}

/// What keeps an index from being used for a column where the rows of a task are sorted.
fn sorted(query: &WebhookQuery) -> &'static str {
    if query.task.is_some() { "+" } else { "" }
}

/// See `Webhooks::standing`.
pub fn standing(sql: &Connection, id: WebhookId) -> Result<Standing, Failure> {
    let count = |state: i64| -> rusqlite::Result<u64> {
        sql.prepare_cached(&format!(
            "SELECT count(*) FROM (SELECT 1 FROM webhooks CROSS JOIN deliveries
                ON deliveries.webhook = webhooks.key AND deliveries.state = {state} WHERE id = ?1 LIMIT {COUNTED})"
        ))?
        .query_row([id.to_bytes()], |row| row.get(0))
    };
    Ok(Standing { pending: count(0)?, failed: count(2)? })
}

#[cfg(test)]
pub fn planned() -> Vec<String> {
    [BY_KEY, BY_ID, FIRST_OF_TASK, OF_TASK, OF_AGENT].map(one_of).into()
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
    .map(|(query, index)| (page_of(&filter(&query).0, &query), index))
}
