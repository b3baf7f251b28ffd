//! A new webhook as it is stored: written at once, or first of all as a part of the arrival of its task.

use std::fmt;

use rusqlite::{Connection, params};

use crate::{
    store::{
        rules::{events_code, events_of, state_code},
        sqlite::{
            Failure,
            outbox::{State, hear::Ear, lanes::Receiver, origins},
            read,
        },
    },
    task::Webhook,
};

/// All that is stored of a new webhook, its secrets sealed. Its `Debug` says nothing of them.
#[derive(Clone, PartialEq, prost::Message)]
#[prost(skip_debug)]
pub struct NewRow {
    #[prost(int64, tag = "1")]
    pub key: i64,
    #[prost(bytes = "vec", tag = "2")]
    id: Vec<u8>,
    #[prost(string, tag = "3")]
    owner: String,
    #[prost(string, tag = "4")]
    agent: String,
    #[prost(string, tag = "5")]
    task: String,
    #[prost(string, tag = "6")]
    name: String,
    #[prost(string, tag = "7")]
    url: String,
    /// The origin's name.
    #[prost(string, tag = "8")]
    origin: String,
    #[prost(int32, tag = "9")]
    payload: i32,
    #[prost(int64, tag = "10")]
    events: i64,
    #[prost(bytes = "vec", tag = "11")]
    secrets: Vec<u8>,
    #[prost(int64, tag = "12")]
    state: i64,
    #[prost(int64, tag = "13")]
    created: i64,
    #[prost(int64, tag = "14")]
    updated: i64,
    #[prost(int64, optional, tag = "15")]
    failing_since: Option<i64>,
    #[prost(int64, optional, tag = "16")]
    last_success: Option<i64>,
    #[prost(int64, optional, tag = "17")]
    last_failure: Option<i64>,
    #[prost(string, tag = "18")]
    last_error: String,
}

impl fmt::Debug for NewRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewRow").field("key", &self.key).finish_non_exhaustive()
    }
}

impl NewRow {
    /// Gives a webhook its key and seals its secrets.
    pub fn new(state: &mut State, webhook: &Webhook) -> Result<Self, Failure> {
        Ok(Self {
            key: state.next_webhook(),
            id: webhook.id.to_bytes().to_vec(),
            owner: webhook.owner.to_string(),
            agent: webhook.agent.to_string(),
            task: webhook.task.clone(),
            name: webhook.name.clone(),
            url: webhook.url.clone(),
            origin: webhook.origin.clone(),
            payload: read::dialect_code(webhook.payload),
            events: events_code(webhook.events),
            secrets: state.keys.seal(webhook.id, &webhook.secrets)?,
            state: state_code(webhook.state),
            created: webhook.created,
            updated: webhook.updated,
            failing_since: webhook.health.failing_since,
            last_success: webhook.health.last_success,
            last_failure: webhook.health.last_failure,
            last_error: webhook.health.last_error.clone(),
        })
    }

    /// What it hears of; none: nothing, for it is disabled.
    pub fn ear(&self) -> Option<Ear> {
        (self.state <= 1).then(|| Ear { webhook: self.key, state: self.state, events: events_of(self.events) })
    }

    /// Writes it, of a task that exists or of none.
    pub fn insert(&self, sql: &Connection, task: Option<i64>) -> rusqlite::Result<Receiver> {
        let origin = origins::refer(sql, &self.origin)?;
        let inserted = sql
            .prepare_cached(
                "INSERT INTO webhooks (key, id, owner, agent, task, task_key, name, url, origin, payload, events,
                        secrets, state, created, updated, disabled, failing_since, last_success, last_failure, last_error)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, NULL, ?16, ?17, ?18, ?19)",
            )?
            .execute(params![
                self.key,
                self.id,
                self.owner,
                self.agent,
                self.task,
                task,
                self.name,
                self.url,
                origin,
                self.payload,
                self.events,
                self.secrets,
                self.state,
                self.created,
                self.updated,
                self.failing_since,
                self.last_success,
                self.last_failure,
                self.last_error,
            ]);
        if let Err(refused) = inserted {
            origins::unrefer(sql, origin)?;
            origins::tidy(sql, origin)?;
            return Err(refused);
        }
        Ok(Receiver { webhook: self.key, origin, state: self.state })
    }
}
