//! What one transaction does: for all of its jobs at once, so that it takes a few round trips however many there are.
//!
//! It may be run again, and keeps nothing from the time before.

use std::sync::Arc;

use futures::future::{try_join, try_join4};

use super::{
    queue::Work,
    requests,
    rows::{self, Author, Counts, Place},
};
use crate::{
    error::{Error, ErrorKind, Result},
    store::{
        Append, Commit, NewTask, Receipt,
        postgres::{
            Shared,
            outbox::hear::{self, Heard},
            retention,
            session::{Failure, Session},
            webhooks::config,
        },
    },
    task::{Event, TaskId, Webhook},
};

/// Rows of `counts` that those who write are spread over.
const SHARDS: i64 = 64;

/// What became of jobs, by their places; none: still to be written.
pub type Results = Vec<Option<Result<Receipt>>>;

/// What came of a batch.
pub struct Written {
    pub results: Vec<Result<Receipt>>,
    pub commits: Vec<Commit>,
    /// Where the tasks are now.
    pub moved: Vec<Moved>,
    /// Whether deliveries became due.
    pub due: bool,
}

/// Where a task is.
pub struct Moved {
    pub task: TaskId,
    pub head: u64,
    pub epoch: u64,
}

/// The jobs of a batch that are to be written, in the order of their tasks, by their places in it.
struct Jobs<'a> {
    creates: Vec<(i64, &'a NewTask)>,
    appends: Vec<(i64, &'a Append)>,
}

impl<'a> Jobs<'a> {
    fn of(works: &[&'a Work], results: &Results) -> Self {
        let mut jobs = Self { creates: Vec::new(), appends: Vec::new() };
        for (number, (work, _)) in (0..).zip(works.iter().zip(results)).filter(|(_, (_, result))| result.is_none()) {
            match work {
                Work::Create(new) => jobs.creates.push((number, new)),
                Work::Append(append) => jobs.appends.push((number, append)),
            }
        }
        jobs.creates.sort_unstable_by_key(|(_, new)| new.identity.id);
        jobs.appends.sort_unstable_by_key(|(_, append)| append.identity.id);
        jobs
    }
}

/// Writes a batch. `lane`: which writer.
pub async fn write(shared: &Shared, session: &Session, lane: usize, works: &[&Work]) -> Result<Written, Failure> {
    let mut results = limits(shared, works);
    requests::claim(session, works, &mut results).await?;
    let jobs = Jobs::of(works, &results);
    put_webhooks(shared, session, &jobs).await?;
    let author = Author { base: shared.xid_base, replica: shared.replica() };
    let (created, appended) =
        try_join(rows::create(session, author, &jobs.creates), rows::append(session, author, &jobs.appends)).await?;
    let places: Vec<Place> = created.into_iter().chain(appended).collect();
    for place in &places {
        results[place.number] = Some(Ok(Receipt::Written));
    }
    let refused: Vec<usize> = (0..results.len()).filter(|number| results[*number].is_none()).collect();
    if !refused.is_empty() && jobs.appends.iter().any(|(_, append)| !append.webhooks.is_empty()) {
        // Its webhooks go as they came, with the transaction.
        return Err(conflict().into());
    }
    let due = consequences(shared, session, lane, works, &places, &refused).await?;
    let results = results.into_iter().map(|result| result.unwrap_or_else(|| Err(conflict()))).collect();
    let moved = places.iter().map(|place| moved(works[place.number], place)).collect();
    let commits = places.iter().filter_map(|place| commit(works[place.number], place)).collect();
    Ok(Written { results, commits, moved, due })
}

fn conflict() -> Error {
    Error::new(ErrorKind::Conflict, "the task changed meanwhile: try again")
}

/// Refuses new tasks that bring more webhooks than one may have.
fn limits(shared: &Shared, works: &[&Work]) -> Results {
    let most = shared.settings.webhooks_per_task;
    let refusal = |work: &&Work| match work {
        Work::Create(new) if new.webhooks.len() > most => Some(Err(config::limit_of_task(most))),
        _ => None,
    };
    works.iter().map(refusal).collect()
}

/// Stores the webhooks that appends bring; such an append is alone.
async fn put_webhooks(shared: &Shared, session: &Session, jobs: &Jobs<'_>) -> Result<(), Failure> {
    for webhook in jobs.appends.iter().flat_map(|(_, append)| &append.webhooks) {
        config::put(shared, session, webhook).await?;
    }
    Ok(())
}

/// Writes what follows from the tasks' own rows; whether deliveries became due.
async fn consequences(
    shared: &Shared,
    session: &Session,
    lane: usize,
    works: &[&Work],
    places: &[Place],
    refused: &[usize],
) -> Result<bool, Failure> {
    let mut counts = Counts::default();
    let mut appends = Vec::new();
    for place in places {
        match works[place.number] {
            Work::Create(new) => counts.add(&new.identity.owner, &new.identity.agent, new.event.state, 1),
            Work::Append(append) => {
                counts.append(append);
                appends.push(&**append);
            }
        }
    }
    let ((), (), (), due) = try_join4(
        requests::forget(session, works, refused),
        rows::note_contexts(session, &appends),
        counts.write(session, shard(shared, lane)),
        tell_webhooks(shared, session, works, places),
    )
    .await?;
    for place in places {
        if let Work::Append(append) = works[place.number]
            && let Some(to) = append.trim_to.filter(|_| append.snapshot.is_some())
        {
            retention::trim(shared, session, place.key, &append.identity, to).await?;
        }
    }
    Ok(due)
}

/// The row of a count that a writer adds to. Two of them rarely share one.
fn shard(shared: &Shared, lane: usize) -> i32 {
    let writers = i64::try_from(shared.settings.writers.max(1)).unwrap_or(1);
    let lane = i64::try_from(lane).unwrap_or(0);
    let number = shared.replica().wrapping_mul(writers).wrapping_add(lane).rem_euclid(SHARDS);
    i32::try_from(number).unwrap_or(0)
}

/// Writes the webhooks of new tasks, and what webhooks are to hear of events.
async fn tell_webhooks(shared: &Shared, session: &Session, works: &[&Work], places: &[Place]) -> Result<bool, Failure> {
    let brought = |place: &Place| match works[place.number] {
        Work::Create(new) if !new.webhooks.is_empty() => Some((place.key, &new.webhooks[..])),
        _ => None,
    };
    let brought: Vec<(i64, &[Webhook])> = places.iter().filter_map(brought).collect();
    if !brought.is_empty() {
        config::put_first(shared, session, &brought).await?;
    }
    let heard = |place: &Place| {
        let work = works[place.number];
        Heard { task: place.key, identity: work.identity(), own: place.webhooks, events: events(work) }
    };
    let heard: Vec<_> = places.iter().map(heard).filter(|heard| !heard.events.is_empty()).collect();
    if heard.is_empty() || !shared.settings.webhooks_enabled {
        return Ok(false);
    }
    hear::hear(shared, session, &heard).await
}

fn events(work: &Work) -> &[Arc<Event>] {
    match work {
        Work::Create(new) => std::slice::from_ref(&new.event),
        Work::Append(append) => &append.events,
    }
}

fn moved(work: &Work, place: &Place) -> Moved {
    let head = match work {
        Work::Create(new) => new.event.sequence,
        Work::Append(append) => append.events.last().map_or(append.after, |event| event.sequence),
    };
    Moved { task: work.identity().id, head, epoch: place.epoch }
}

fn commit(work: &Work, place: &Place) -> Option<Commit> {
    let events = events(work);
    (!events.is_empty()).then(|| Commit {
        position: place.position,
        identity: work.identity().clone(),
        events: events.to_vec(),
    })
}
