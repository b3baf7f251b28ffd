//! Arrivals: what webhooks are to hear of events, and the webhooks that tasks bring, in one row beside the event.
//!
//! The tables that rounds go by have indexes, and each of them is a page that a commit writes. So an event's transaction
//! writes one row at the end of a small table, which is the record of its deliveries, and the row is spread over those
//! tables later: before anything reads or changes them, and by the writer when it has nothing else to do.
//!
//! Promises:
//! - **With the event.** The row is written in the transaction of its event, and goes in the one that spreads it.
//! - **As it was.** Rows are spread in the order of their events, and nothing that they are about changes while they wait.
//! - **Bounded.** After a commit no more than [`MOST`] wait.
//! - **Nobody is kept back.** A row that cannot be spread for its own sake is told of in the log, and goes.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use prost::Message as _;
use rusqlite::{Connection, ErrorCode, OptionalExtension as _, params};

use super::{
    State,
    hear::Ear,
    lanes::{self, Receiver},
};
use crate::store::sqlite::webhooks::new_row::NewRow;

/// The most webhooks and deliveries that wait when a commit is over.
pub const MOST: usize = 1024;

/// From so many on they are spread when the writer has nothing else to do, about so many at a time. Rounds mostly come
/// first, and then what is spread shares their commit.
pub const IDLE: usize = 32;

/// The oldest.
const OLDEST: &str = "SELECT position, task, data FROM arrivals WHERE position > 0 ORDER BY position LIMIT ?1";

const SPREAD: &str = "DELETE FROM arrivals WHERE position <= ?1";

const RECEIVER: &str = "SELECT origin, state FROM webhooks WHERE key = ?1";

/// What one event, or several that were committed together, brought.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Arrival {
    /// The webhooks of a new task.
    #[prost(message, repeated, tag = "1")]
    pub webhooks: Vec<NewRow>,
    /// The deliveries.
    #[prost(message, repeated, tag = "2")]
    pub lanes: Vec<Deliveries>,
}

/// Deliveries to one webhook about one task.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Deliveries {
    /// The webhook's key.
    #[prost(int64, tag = "1")]
    pub webhook: i64,
    #[prost(message, repeated, tag = "2")]
    pub events: Vec<Heard>,
}

/// An event that a webhook is to hear of.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct Heard {
    #[prost(uint64, tag = "1")]
    pub sequence: u64,
    /// Milliseconds since 1970 UTC.
    #[prost(int64, tag = "2")]
    pub created: i64,
}

impl Arrival {
    /// Its webhooks and deliveries; at least one.
    fn size(&self) -> usize {
        let deliveries: usize = self.lanes.iter().map(|lane| lane.events.len()).sum();
        (self.webhooks.len() + deliveries).max(1)
    }
}

/// What is known of the rows that wait, by task and webhook.
#[derive(Clone, Default)]
pub struct Waiting {
    /// Webhooks and deliveries.
    size: usize,
    lanes: Arc<BTreeMap<(i64, i64), Lane>>,
}

#[derive(Clone, Copy, Default)]
struct Lane {
    /// Of a webhook that waits itself.
    ear: Option<Ear>,
    /// Rows with deliveries.
    rows: usize,
}

impl Waiting {
    /// How many webhooks and deliveries.
    pub fn size(&self) -> usize {
        self.size
    }

    /// Whether something of a task waits.
    pub fn has(&self, task: i64) -> bool {
        self.of(task).next().is_some()
    }

    /// Whether deliveries of a task to a webhook wait.
    pub fn has_deliveries(&self, task: i64, webhook: i64) -> bool {
        self.lanes.get(&(task, webhook)).is_some_and(|lane| lane.rows > 0)
    }

    /// The webhooks of a task that wait themselves: either all that it has, or none.
    pub fn ears(&self, task: i64) -> Vec<Ear> {
        self.of(task).filter_map(|lane| lane.ear).collect()
    }

    fn of(&self, task: i64) -> impl Iterator<Item = &Lane> {
        self.lanes.range((task, i64::MIN)..=(task, i64::MAX)).map(|(_, lane)| lane)
    }

    fn add(&mut self, task: i64, arrival: &Arrival) {
        self.size += arrival.size();
        let lanes = Arc::make_mut(&mut self.lanes);
        for new in &arrival.webhooks {
            lanes.entry((task, new.key)).or_default().ear = new.ear();
        }
        for lane in &arrival.lanes {
            lanes.entry((task, lane.webhook)).or_default().rows += 1;
        }
    }

    fn remove(&mut self, task: i64, arrival: &Arrival) {
        self.size = self.size.saturating_sub(arrival.size());
        let lanes = Arc::make_mut(&mut self.lanes);
        for new in &arrival.webhooks {
            lanes.entry((task, new.key)).or_default().ear = None;
        }
        for lane in &arrival.lanes {
            let lane = lanes.entry((task, lane.webhook)).or_default();
            lane.rows = lane.rows.saturating_sub(1);
        }
        let webhooks = arrival.webhooks.iter().map(|new| new.key).chain(arrival.lanes.iter().map(|lane| lane.webhook));
        for webhook in webhooks {
            if lanes.get(&(task, webhook)).is_some_and(|lane| lane.ear.is_none() && lane.rows == 0) {
                lanes.remove(&(task, webhook));
            }
        }
    }
}

/// What waits in an opened file, and the newest key of a webhook in it.
pub fn load(sql: &Connection) -> rusqlite::Result<(Waiting, i64)> {
    let newest = sql.query_row("SELECT seq FROM sqlite_sequence WHERE name = 'webhooks'", [], |row| row.get(0));
    let mut newest = newest.optional()?.unwrap_or(0);
    let mut waiting = Waiting::default();
    for row in oldest(sql, usize::MAX)? {
        let arrival = row.arrival();
        newest = arrival.webhooks.iter().map(|new| new.key).fold(newest, i64::max);
        waiting.add(row.task, &arrival);
    }
    Ok((waiting, newest))
}

/// Spreads what an earlier process left. A store that is full opens all the same, and does it when it has room.
pub fn spread_left(sql: &mut Connection, state: State) -> rusqlite::Result<State> {
    let mut spread_out = state.clone();
    let transaction = sql.transaction()?;
    match spread(&mut spread_out, &transaction, usize::MAX).and_then(|()| transaction.commit()) {
        Ok(()) => Ok(spread_out),
        Err(failure) if failure.sqlite_error_code() == Some(ErrorCode::DiskFull) => {
            tracing::warn!(%failure, waiting = state.waiting.size, "what webhooks are to hear of waits for room in the store");
            Ok(state)
        }
        Err(failure) => Err(failure),
    }
}

/// Writes what came with a commit, at its position.
pub fn write(state: &mut State, sql: &Connection, position: u64, task: i64, arrival: &Arrival) -> rusqlite::Result<()> {
    if arrival.webhooks.is_empty() && arrival.lanes.is_empty() {
        return Ok(());
    }
    sql.prepare_cached("INSERT INTO arrivals (position, task, data) VALUES (?1, ?2, ?3)")?.execute(params![
        position,
        task,
        arrival.encode_to_vec()
    ])?;
    state.waiting.add(task, arrival);
    Ok(())
}

/// Spreads what is more than [`MOST`].
pub fn bound(state: &mut State, sql: &Connection) -> rusqlite::Result<()> {
    let over = state.waiting.size.saturating_sub(MOST);
    spread(state, sql, over)
}

/// Spreads the oldest rows, with so many webhooks and deliveries, or all there are.
pub fn spread(state: &mut State, sql: &Connection, most: usize) -> rusqlite::Result<()> {
    if state.waiting.size == 0 || most == 0 {
        return Ok(());
    }
    // Dispatchers were told when the rows were written.
    let due = state.due;
    let left = state.waiting.size.saturating_sub(most);
    let mut receivers = HashMap::new();
    let mut last = None;
    for row in oldest(sql, most)? {
        let arrival = row.arrival();
        spread_one(state, sql, row.task, &arrival, &mut receivers)?;
        state.waiting.remove(row.task, &arrival);
        last = Some(row.position);
        if state.waiting.size <= left {
            break;
        }
    }
    sql.prepare_cached(SPREAD)?.execute([last])?;
    state.due = due;
    Ok(())
}

/// Receivers by the keys of their webhooks. None: it could not be stored.
type Receivers = HashMap<i64, Option<Receiver>>;

fn spread_one(
    state: &mut State,
    sql: &Connection,
    task: i64,
    arrival: &Arrival,
    receivers: &mut Receivers,
) -> rusqlite::Result<()> {
    for new in &arrival.webhooks {
        let receiver = match new.insert(sql, Some(task)) {
            Ok(receiver) => Some(receiver),
            Err(refused) if refused.sqlite_error_code() == Some(ErrorCode::ConstraintViolation) => {
                tracing::error!(webhook = new.key, %refused, "a webhook that a task brought cannot be stored");
                None
            }
            Err(failure) => return Err(failure),
        };
        receivers.insert(new.key, receiver);
    }
    let mut statement =
        sql.prepare_cached("INSERT INTO deliveries (webhook, task, sequence, created) VALUES (?1, ?2, ?3, ?4)")?;
    for lane in &arrival.lanes {
        let Some(receiver) = receiver(sql, lane.webhook, receivers)? else { continue };
        for event in &lane.events {
            statement.execute(params![lane.webhook, task, event.sequence, event.created])?;
        }
        if let Some(first) = lane.events.first() {
            lanes::wait(state, sql, receiver, task, first.created)?;
        }
    }
    Ok(())
}

fn receiver(sql: &Connection, webhook: i64, known: &mut Receivers) -> rusqlite::Result<Option<Receiver>> {
    if let Some(known) = known.get(&webhook) {
        return Ok(*known);
    }
    let found = sql
        .prepare_cached(RECEIVER)?
        .query_row([webhook], |row| Ok(Receiver { webhook, origin: row.get(0)?, state: row.get(1)? }))
        .optional()?;
    known.insert(webhook, found);
    Ok(found)
}

struct Row {
    position: i64,
    task: i64,
    data: Vec<u8>,
}

impl Row {
    fn arrival(&self) -> Arrival {
        Arrival::decode(&self.data[..]).unwrap_or_else(|cause| {
            let position = self.position;
            tracing::error!(position, %cause, "what webhooks were to hear of an event cannot be read, and is left out");
            Arrival::default()
        })
    }
}

fn oldest(sql: &Connection, most: usize) -> rusqlite::Result<Vec<Row>> {
    let most = i64::try_from(most).unwrap_or(i64::MAX);
    let mut statement = sql.prepare_cached(OLDEST)?;
    let rows =
        statement.query_map([most], |row| Ok(Row { position: row.get(0)?, task: row.get(1)?, data: row.get(2)? }))?;
    rows.collect()
}

#[cfg(test)]
pub const PLANNED: [&str; 3] = [OLDEST, SPREAD, RECEIVER];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        store::{
            seal::Keys,
            sqlite::{schema, webhooks::config},
        },
        task::{Dialect, Events, Health, Secrets, TaskId, Webhook, WebhookId, WebhookState},
    };

    fn count(sql: &Connection, table: &str) -> usize {
        sql.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap()
    }

    fn webhook(task: TaskId) -> Webhook {
        let id = WebhookId::mint();
        Webhook {
            id,
            owner: "me".into(),
            agent: "a".into(),
            task: task.to_string(),
            name: id.to_string(),
            url: "https://h/".into(),
            origin: "https://h:443".into(),
            payload: Dialect::V1,
            events: Events { status: true, artifacts: true, messages: true },
            secrets: Secrets::default(),
            state: WebhookState::Enabled,
            created: 1,
            updated: 1,
            health: Health::default(),
        }
    }

    /// Writes what a task of `size` webhooks brings, with a delivery each, and one delivery more.
    fn arrive(state: &mut State, sql: &Connection, task: u64, size: usize) {
        let brought: Vec<_> = (0..size).map(|_| webhook(TaskId::mint())).collect();
        let webhooks = config::bring(state, sql, &brought).unwrap();
        let heard = |sequence| vec![Heard { sequence, created: 1 }];
        let lanes: Vec<_> = webhooks.iter().map(|new| Deliveries { webhook: new.key, events: heard(1) }).collect();
        let later = vec![Deliveries { webhook: webhooks[0].key, events: heard(2) }];
        let key = i64::try_from(task).unwrap();
        write(state, sql, 2 * task, key, &Arrival { webhooks, lanes }).unwrap();
        write(state, sql, 2 * task + 1, key, &Arrival { webhooks: Vec::new(), lanes: later }).unwrap();
    }

    /// What is known of what waits is what a process that is started now would find.
    fn check(state: &State, sql: &Connection) {
        let (found, newest) = load(sql).unwrap();
        assert_eq!((state.waiting.size, state.webhook), (found.size, newest));
        let of = |waiting: &Waiting| -> Vec<_> {
            let lanes = waiting.lanes.iter();
            lanes.map(|(at, lane)| (*at, lane.rows, lane.ear.map(|ear| (ear.webhook, ear.state)))).collect()
        };
        assert_eq!(of(&state.waiting), of(&found));
    }

    fn store() -> (Connection, State) {
        let mut sql = Connection::open_in_memory().unwrap();
        schema::migrate(&mut sql).unwrap();
        let state = State::open(&sql, Arc::new(Keys::default()), 32, true).unwrap();
        (sql, state)
    }

    #[test]
    fn pieces_are_the_oldest_rows_and_what_is_known_follows() {
        let (sql, mut state) = store();
        let mut all = 0;
        for task in 1..40 {
            let size = usize::try_from(task % 5).unwrap() + 1;
            arrive(&mut state, &sql, task, size);
            all += 2 * size + 1;
            assert!(!state.waiting.ears(i64::try_from(task).unwrap()).is_empty());
            check(&state, &sql);
            spread(&mut state, &sql, usize::try_from(task % 7).unwrap()).unwrap();
            check(&state, &sql);
        }
        assert_eq!(count(&sql, "webhooks") + count(&sql, "deliveries") + state.waiting.size, all);
        let oldest: i64 = sql.query_row("SELECT min(task) FROM arrivals", [], |row| row.get(0)).unwrap();
        let newest: i64 = sql.query_row("SELECT max(task) FROM deliveries", [], |row| row.get(0)).unwrap();
        assert!(newest <= oldest && oldest < 39, "{newest} is spread, {oldest} waits");
        spread(&mut state, &sql, usize::MAX).unwrap();
        check(&state, &sql);
        assert!(!state.due && state.waiting.size == 0 && state.waiting.lanes.is_empty());
        assert_eq!((count(&sql, "webhooks") + count(&sql, "deliveries"), count(&sql, "arrivals")), (all, 0));
    }

    #[test]
    fn no_more_waits_than_is_bounded() {
        let (sql, mut state) = store();
        for task in 1..500 {
            arrive(&mut state, &sql, task, 3);
            bound(&mut state, &sql).unwrap();
            assert!(state.waiting.size <= MOST, "{}", state.waiting.size);
        }
        assert!(state.waiting.size > MOST - 10, "no more is spread than has to be");
        check(&state, &sql);
    }

    #[test]
    fn a_row_that_cannot_be_spread_keeps_back_no_other() {
        let (sql, mut state) = store();
        for task in 1..=3 {
            arrive(&mut state, &sql, task, 1);
        }
        sql.execute("UPDATE arrivals SET data = x'ff' WHERE position = 2", []).unwrap();
        // The second task's is there already, of no task.
        oldest(&sql, 9).unwrap()[2].arrival().webhooks[0].insert(&sql, None).unwrap();
        let mut state = State::open(&sql, Arc::new(Keys::default()), 32, true).unwrap();
        spread(&mut state, &sql, usize::MAX).unwrap();
        assert_eq!((count(&sql, "arrivals"), state.waiting.size), (0, 0));
        let tasks: Vec<i64> = sql
            .prepare("SELECT DISTINCT task FROM deliveries ORDER BY task")
            .unwrap()
            .query_map([], |row| row.get(0))
            .unwrap()
            .map(Result::unwrap)
            .collect();
        assert_eq!(tasks, [3]);
    }
}
