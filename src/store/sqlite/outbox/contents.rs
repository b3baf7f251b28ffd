//! What deliveries are about: the event, and where it is wanted the task as of it.

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension as _, params};

use crate::{
    proto::a2a::Task,
    store::{
        Content, Wanted, as_of, segment,
        sqlite::{
            Failure,
            read::{self, Header},
        },
    },
    task::Event,
};

const SEGMENT: &str = "SELECT first, data FROM segments WHERE task = ?1 AND last >= ?2 ORDER BY last LIMIT 1";

/// See `Outbox::contents`. What cannot be read for its own sake is as good as gone, and does not keep back the others;
/// where the database as a whole fails, so does this.
pub fn contents(sql: &Connection, wanted: &[Wanted]) -> Result<Vec<Option<Content>>, Failure> {
    let readable = |wanted: &Wanted| match content(sql, *wanted) {
        Err(Failure::Error(error)) => {
            tracing::error!(task = %wanted.task, sequence = wanted.sequence, %error, "an event cannot be read");
            Ok(None)
        }
        Err(Failure::Sql(cause)) if cause.sqlite_error_code().is_none() => {
            tracing::error!(task = %wanted.task, sequence = wanted.sequence, %cause, "an event cannot be read");
            Ok(None)
        }
        other => other,
    };
    wanted.iter().map(readable).collect()
}

fn content(sql: &Connection, wanted: Wanted) -> Result<Option<Content>, Failure> {
    let Some(header) = Header::find(sql, wanted.task)? else { return Ok(None) };
    let Some(event) = event(sql, &header, wanted.sequence)? else { return Ok(None) };
    let task = if wanted.fold { Some(fold(sql, &header, &event)?) } else { None };
    Ok(Some(Content { identity: header.identity, event, task }))
}

fn event(sql: &Connection, header: &Header, sequence: u64) -> Result<Option<Arc<Event>>, Failure> {
    let segment: Option<(u64, Vec<u8>)> = sql
        .prepare_cached(SEGMENT)?
        .query_row(params![header.key, sequence], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let Some((first, data)) = segment.filter(|(first, _)| *first <= sequence) else { return Ok(None) };
    let events = segment::decode(header.identity.id, first, sequence.saturating_sub(1), data)?;
    Ok(events.into_iter().next().filter(|event| event.sequence == sequence))
}

/// The task as of an event.
fn fold(sql: &Connection, header: &Header, event: &Event) -> Result<Task, Failure> {
    let snapshot = read::snapshot(sql, header.key)?;
    let after = as_of::needed_after(snapshot.as_ref().map(|(_, sequence)| *sequence), event);
    let between = between(sql, header, after, event.sequence)?;
    Ok(as_of::fold(snapshot, header.floor, event, &between))
}

fn between(sql: &Connection, header: &Header, after: u64, to: u64) -> Result<Vec<Arc<Event>>, Failure> {
    let mut statement = sql.prepare_cached(read::SEGMENTS_AFTER)?;
    let mut rows = statement.query(params![header.key, after])?;
    let mut events = Vec::new();
    while let Some(row) = rows.next()? {
        let first: u64 = row.get(0)?;
        if first > to {
            break;
        }
        events.extend(segment::decode(header.identity.id, first, after, row.get(1)?)?);
    }
    events.retain(|event| event.sequence <= to);
    Ok(events)
}

#[cfg(test)]
pub const PLANNED: [&str; 1] = [SEGMENT];
