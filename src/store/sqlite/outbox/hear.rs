//! Who hears of events: deliveries are written in the transaction of their events, as arrivals.
//!
//! A task's own webhooks are looked up only where the task is marked as having some; those of agents as a whole are few
//! and kept in memory. So events of tasks without webhooks cost one look into a map.

use std::{collections::HashMap, sync::Arc};

use rusqlite::{Connection, params};

use super::{
    State,
    arrivals::{self, Arrival, Deliveries, Heard},
    lanes,
};
use crate::{
    store::{Identity, rules::events_of, sqlite::webhooks::new_row::NewRow},
    task::{Event, Events},
};

/// The webhooks of agents as a whole, by owner and agent.
pub type Ears = HashMap<Arc<str>, HashMap<Arc<str>, Vec<Ear>>>;

/// A webhook that hears of events: enabled or paused.
#[derive(Clone, Copy)]
pub struct Ear {
    pub webhook: i64,
    /// The webhook's state as it is stored.
    pub state: i64,
    pub events: Events,
}

/// Events that were just written, in one commit.
pub struct Told<'a> {
    /// The commit's.
    pub position: u64,
    pub task: i64,
    pub identity: &'a Identity,
    /// Whether the task has webhooks of its own, besides those that it brings.
    pub own: bool,
    pub events: &'a [Arc<Event>],
}

/// The webhooks of task `?1`, of owner `?2` and called `?3`.
const OF_TASK: &str = "SELECT key, state, events FROM webhooks
     WHERE owner = ?2 AND task = ?3 AND task <> '' AND task_key = ?1 AND state <= 1";

/// The webhooks of agents as a whole. The index has no others.
const OF_AGENTS: &str = "SELECT owner, agent, key, state, events FROM webhooks INDEXED BY webhooks_of_agents
     WHERE task = '' AND state <= 1";

/// Writes the webhooks that a new task brings, and what webhooks are to hear of events.
pub fn hear(state: &mut State, sql: &Connection, told: &Told<'_>, brought: Vec<NewRow>) -> rusqlite::Result<()> {
    let mut lanes = Vec::new();
    if state.enabled {
        let mut ears: Vec<Ear> = brought.iter().filter_map(NewRow::ear).collect();
        if told.own {
            own(state, sql, told, &mut ears)?;
        }
        let all = of_agents(state, sql)?;
        let agents = all.get(&told.identity.owner);
        ears.extend(agents.and_then(|agents| agents.get(&told.identity.agent)).into_iter().flatten());
        for Ear { webhook, state: held, events } in ears {
            let heard = told.events.iter().filter(|event| events.include(event.payload()));
            let events: Vec<_> = heard.map(|it| Heard { sequence: it.sequence, created: it.time }).collect();
            if events.is_empty() {
                continue;
            }
            // What stands behind others is not due.
            let behind = state.waiting.has_deliveries(told.task, webhook) || lanes::exists(sql, webhook, told.task)?;
            state.due |= held == 0 && !behind;
            lanes.push(Deliveries { webhook, events });
        }
    }
    arrivals::write(state, sql, told.position, told.task, &Arrival { webhooks: brought, lanes })
}

/// The task's own webhooks. Those that it brought may not be where others are yet.
fn own(state: &State, sql: &Connection, told: &Told<'_>, ears: &mut Vec<Ear>) -> rusqlite::Result<()> {
    let waiting = state.waiting.ears(told.task);
    if !waiting.is_empty() {
        ears.extend(waiting);
        return Ok(());
    }
    let mut statement = sql.prepare_cached(OF_TASK)?;
    let values = params![told.task, &*told.identity.owner, told.identity.id.to_string()];
    for found in statement.query_map(values, |row| ear(row, 0))? {
        ears.push(found?);
    }
    Ok(())
}

fn of_agents(state: &mut State, sql: &Connection) -> rusqlite::Result<Arc<Ears>> {
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
    Ok(Ear { webhook: row.get(at)?, state: row.get(at + 1)?, events: events_of(row.get(at + 2)?) })
}

#[cfg(test)]
pub const PLANNED: [&str; 2] = [OF_TASK, OF_AGENTS];
