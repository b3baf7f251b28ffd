//! Who hears of events: deliveries are written in the transaction of their events.
//!
//! A task's own webhooks are looked up only where the task is marked as having some; those of agents as a whole are few
//! and kept in memory. So events of tasks without webhooks cost one look into a map.

use std::{collections::HashMap, sync::Arc};

use rusqlite::{Connection, params};

use super::{State, lanes, lanes::Receiver};
use crate::{
    store::{Identity, rules::events_of},
    task::{Event, Events},
};

/// The webhooks of agents as a whole, by owner and agent.
pub type Ears = HashMap<Arc<str>, HashMap<Arc<str>, Vec<Ear>>>;

/// A webhook that hears of events: enabled or paused.
#[derive(Clone, Copy)]
pub struct Ear {
    receiver: Receiver,
    events: Events,
}

/// The webhooks of task `?1`, of owner `?2` and called `?3`.
const OF_TASK: &str = "SELECT key, origin, state, events FROM webhooks
     WHERE owner = ?2 AND task = ?3 AND task <> '' AND task_key = ?1 AND state <= 1";

/// The webhooks of agents as a whole. The index has no others.
const OF_AGENTS: &str = "SELECT owner, agent, key, origin, state, events FROM webhooks INDEXED BY webhooks_of_agents
     WHERE task = '' AND state <= 1";

/// Writes what webhooks are to hear of events. `own`: whether the task has webhooks of its own.
pub fn hear(
    state: &mut State,
    sql: &Connection,
    task: i64,
    identity: &Identity,
    own: bool,
    events: &[Arc<Event>],
) -> rusqlite::Result<()> {
    if events.is_empty() || !state.enabled {
        return Ok(());
    }
    if own {
        let mut statement = sql.prepare_cached(OF_TASK)?;
        let values = params![task, &*identity.owner, identity.id.to_string()];
        let ears = statement.query_map(values, |row| ear(row, 0))?.collect::<rusqlite::Result<Vec<_>>>()?;
        for ear in ears {
            write(state, sql, task, ear, events)?;
        }
    }
    let all = ears(state, sql)?;
    if let Some(ears) = all.get(&identity.owner).and_then(|agents| agents.get(&identity.agent)) {
        for ear in ears {
            write(state, sql, task, *ear, events)?;
        }
    }
    Ok(())
}

fn write(state: &mut State, sql: &Connection, task: i64, ear: Ear, events: &[Arc<Event>]) -> rusqlite::Result<()> {
    let mut statement =
        sql.prepare_cached("INSERT INTO deliveries (webhook, task, sequence, created) VALUES (?1, ?2, ?3, ?4)")?;
    let mut first = None;
    for event in events.iter().filter(|event| ear.events.include(event.payload())) {
        statement.execute(params![ear.receiver.webhook, task, event.sequence, event.time])?;
        first = first.or(Some(event.time));
    }
    if let Some(created) = first {
        lanes::wait(state, sql, ear.receiver, task, created)?;
    }
    Ok(())
}

fn ears(state: &mut State, sql: &Connection) -> rusqlite::Result<Arc<Ears>> {
    if let Some(ears) = &state.ears {
        return Ok(ears.clone());
    }
    let mut ears = Ears::default();
    let mut statement = sql.prepare_cached(OF_AGENTS)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (owner, agent): (String, String) = (row.get(0)?, row.get(1)?);
        ears.entry(owner.into()).or_default().entry(agent.into()).or_default().push(ear(row, 2)?);
    }
    let ears = Arc::new(ears);
    state.ears = Some(ears.clone());
    Ok(ears)
}

fn ear(row: &rusqlite::Row<'_>, at: usize) -> rusqlite::Result<Ear> {
    let receiver = Receiver { webhook: row.get(at)?, origin: row.get(at + 1)?, state: row.get(at + 2)? };
    Ok(Ear { receiver, events: events_of(row.get(at + 3)?) })
}

#[cfg(test)]
pub const PLANNED: [&str; 2] = [OF_TASK, OF_AGENTS];
