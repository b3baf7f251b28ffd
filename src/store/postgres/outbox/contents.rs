//! What deliveries are about: the event, and where it is wanted the task as of it.

use std::{collections::HashMap, sync::Arc};

use prost::Message as _;
use tokio_postgres::Row;
use uuid::Uuid;

use crate::{
    error::{Error, Result},
    proto::a2a::Task,
    store::{
        Content, Identity, Wanted, as_of,
        codes::dialect_of,
        postgres::session::{Failure, Session},
        segment,
    },
    task::{Event, TaskId},
};

/// The segments that hold events `$2` of tasks `$1`, which come with their tasks.
const SEGMENTS: &str = "SELECT w.place, t.key, t.floor, s.first, s.data, t.id, t.owner, t.agent, t.context, t.dialect,
        t.created, t.deadline, t.output_modes
     FROM unnest($1::uuid[], $2::bigint[]) WITH ORDINALITY AS w (task, sequence, place)
     JOIN tasks AS t ON t.id = w.task
     CROSS JOIN LATERAL (SELECT g.first, g.data FROM segments AS g
        WHERE g.task = t.key AND g.last >= w.sequence ORDER BY g.last LIMIT 1) AS s";

const SNAPSHOT: &str = "SELECT sequence, data FROM snapshots WHERE task = $1";
const BETWEEN: &str = "SELECT first, data FROM segments WHERE task = $1 AND last > $2 AND first <= $3 ORDER BY last";

/// An event that was found.
struct Found {
    task: i64,
    floor: u64,
    identity: Arc<Identity>,
    event: Arc<Event>,
}

/// See `Outbox::contents`. What cannot be read for its own sake is as good as gone, and does not keep back the others;
/// where the database as a whole fails, so does this.
pub async fn contents(session: &Session, wanted: &[Wanted]) -> Result<Vec<Option<Content>>, Failure> {
    let found = events(session, wanted).await?;
    let mut contents = Vec::with_capacity(wanted.len());
    for wanted in wanted {
        let Some(found) = found.get(&(wanted.task, wanted.sequence)) else {
            contents.push(None);
            continue;
        };
        let (identity, event) = (found.identity.clone(), found.event.clone());
        let task = match wanted.fold {
            false => Ok(None),
            true => fold(session, found).await.map(Some),
        };
        contents.push(match task {
            Ok(task) => Some(Content { identity, event, task }),
            Err(Failure::Error(error)) => {
                unreadable(wanted.task, wanted.sequence, &error);
                None
            }
            Err(failure) => return Err(failure),
        });
    }
    Ok(contents)
}

fn unreadable(task: TaskId, sequence: u64, error: &Error) {
    tracing::error!(%task, sequence, %error, "an event cannot be read");
}

/// Events that are there and can be read. Each is read once, however many want it.
async fn events(session: &Session, wanted: &[Wanted]) -> Result<HashMap<(TaskId, u64), Found>, Failure> {
    let mut pairs: Vec<_> = wanted.iter().map(|wanted| (wanted.task, wanted.sequence)).collect();
    pairs.sort_unstable();
    pairs.dedup();
    let tasks: Vec<Uuid> = pairs.iter().map(|(task, _)| Uuid::from_bytes(task.to_bytes())).collect();
    let sequences: Vec<i64> = pairs.iter().map(|(_, sequence)| i64::try_from(*sequence).unwrap_or(i64::MAX)).collect();
    let mut found = HashMap::with_capacity(pairs.len());
    for row in session.query(SEGMENTS, &[&tasks, &sequences]).await? {
        let place = usize::try_from(row.get::<_, i64>(0)).unwrap_or_default();
        let Some(&(task, sequence)) = place.checked_sub(1).and_then(|place| pairs.get(place)) else { continue };
        match event(&row, task, sequence) {
            Ok(Some(event)) => {
                let identity = Arc::new(identity(&row, task));
                let (key, floor) = (row.get(1), row.get::<_, i64>(2).cast_unsigned());
                found.insert((task, sequence), Found { task: key, floor, identity, event });
            }
            Ok(None) => {}
            Err(error) => unreadable(task, sequence, &error),
        }
    }
    Ok(found)
}

fn event(row: &Row, task: TaskId, sequence: u64) -> Result<Option<Arc<Event>>> {
    let first = row.get::<_, i64>(3).cast_unsigned();
    if first > sequence {
        return Ok(None);
    }
    let events = segment::decode(task, first, sequence.saturating_sub(1), row.get(4))?;
    Ok(events.into_iter().next().filter(|event| event.sequence == sequence))
}

fn identity(row: &Row, id: TaskId) -> Identity {
    Identity {
        id,
        owner: row.get::<_, &str>(6).into(),
        agent: row.get::<_, &str>(7).into(),
        context_id: row.get(8),
        dialect: dialect_of(row.get(9)),
        created: row.get(10),
        deadline: row.get(11),
        output_modes: row.get::<_, &str>(12).lines().map(str::to_owned).collect(),
    }
}

/// The task as of an event.
async fn fold(session: &Session, found: &Found) -> Result<Task, Failure> {
    let Found { task, floor, identity, event } = found;
    let mut snapshot = None;
    if let Some(row) = session.query_opt(SNAPSHOT, &[task]).await? {
        let decoded = Task::decode(row.get::<_, &[u8]>(1));
        let decoded = decoded.map_err(|cause| Error::internal("reading a snapshot", cause))?;
        snapshot = Some((decoded, row.get::<_, i64>(0).cast_unsigned()));
    }
    let after = as_of::needed_after(snapshot.as_ref().map(|(_, sequence)| *sequence), event);
    let rows = session.query(BETWEEN, &[task, &after.cast_signed(), &event.sequence.cast_signed()]).await?;
    let mut between = Vec::new();
    for row in rows {
        between.extend(segment::decode(identity.id, row.get::<_, i64>(0).cast_unsigned(), after, row.get(1))?);
    }
    between.retain(|of| of.sequence <= event.sequence);
    Ok(as_of::fold(snapshot, *floor, event, &between))
}

#[cfg(test)]
pub const PLANNED: [&str; 3] = [SEGMENTS, SNAPSHOT, BETWEEN];
