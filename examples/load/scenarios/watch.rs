//! Watchers: many events to many of them, and the memory of many that wait.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use a2a_gateway::proto::{
    a2a::{Message, TaskState},
    gateway::{CancelTaskRequest, SubmitTaskRequest, TaskEvent, WatchTaskRequest, task_event::Event},
    well_known::Duration as ProtoDuration,
};
use prost::Message as _;
use tokio::{sync::Semaphore, task::JoinSet};

use super::{gateway, within};
use crate::{
    Options, Result,
    callers::message,
    client_grpc::{Connection, EventStream},
    process::Gateway,
    report::{Row, Target},
};

/// Watchers on one connection when events flow.
const BUSY_STREAMS: usize = 100;

/// Watchers on one connection when they idle.
const IDLE_STREAMS: usize = 500;

/// One watcher in this many decodes its events in full; the others only their sequences.
const CHECK_EVERY: usize = 100;

/// How long opening all watchers may take, and delivering all events to them.
const LIMIT: Duration = Duration::from_secs(120);

/// How long memory is watched for its highest value once all watchers are open.
const MEMORY_SAMPLES: u32 = 20;
const MEMORY_INTERVAL: Duration = Duration::from_millis(50);

/// An event of which only the sequence is decoded; the other fields are skipped.
#[derive(Clone, PartialEq, prost::Message)]
struct Numbered {
    #[prost(int64, tag = "6")]
    sequence: i64,
}

/// What a watcher saw after it had attached.
struct Seen {
    events: u64,
    last_sequence: i64,
}

/// A task that waits for a message.
#[derive(Clone)]
struct Waiting {
    id: String,
    /// Its newest event.
    sequence: i64,
}

/// One task, many watchers, many events without pause: events delivered per second, from the message that sets them
/// off until the last watcher's stream has ended.
pub async fn fan_out(options: &Options) -> Result<Vec<Row>> {
    let gateway = gateway(options).await?;
    let control = Connection::open(&gateway.address).await?;
    let task = waiting_task(&control).await?;
    let connections = Connection::open_many(&gateway.address, options.watchers.div_ceil(BUSY_STREAMS)).await?;
    let attached = Arc::new(Semaphore::new(0));
    let mut watchers = JoinSet::new();
    for number in 0..options.watchers {
        let connection = connections[number % connections.len()].clone();
        let watcher = Watcher { task: task.clone(), attached: attached.clone(), checked: number % CHECK_EVERY == 0 };
        watchers.spawn(watcher.follow(connection, options.events));
    }
    let everyone = u32::try_from(options.watchers)?;
    within(LIMIT, "attaching all watchers (does the gateway take 100 streams on a connection?)", async {
        tokio::select! {
            permits = attached.acquire_many(everyone) => Ok(permits.map(|_| ())?),
            Some(ended) = watchers.join_next() => match ended? {
                Ok(_) => Err("a watcher's stream ended while its task waits".into()),
                Err(error) => Err(error),
            },
        }
    })
    .await?;

    let start = Instant::now();
    let burst = Message { task_id: task.id.clone(), ..message(&format!("burst: {}", options.events)) };
    let request = SubmitTaskRequest { message: Some(burst), ..SubmitTaskRequest::default() };
    control.gateway().submit_task(request).await?;
    let seen = within(LIMIT, "delivering all events", async {
        let mut seen = Vec::with_capacity(options.watchers);
        while let Some(watcher) = watchers.join_next().await {
            seen.push(watcher??);
        }
        Ok(seen)
    })
    .await?;
    Ok(vec![fan_out_row(options, &seen, task.sequence, start.elapsed())?])
}

/// Sums up, after checking that all watchers saw the same and that it is all.
fn fan_out_row(options: &Options, seen: &[Seen], before: i64, elapsed: Duration) -> Result<Row> {
    let last = seen.first().map(|watcher| watcher.last_sequence).ok_or("no watchers")?;
    if let Some(other) = seen.iter().find(|watcher| watcher.last_sequence != last) {
        return Err(format!("one watcher saw {last} events, another {}", other.last_sequence).into());
    }
    if last < before + i64::from(options.events) {
        return Err(format!("the task has only {last} events").into());
    }
    let delivered: u64 = seen.iter().map(|watcher| watcher.events).sum();
    let note = format!(
        "{} watchers, {} events each, {:.2} s; every watcher got every sequence once and in order",
        seen.len(),
        last - before,
        elapsed.as_secs_f64(),
    );
    let rate = delivered as f64 / elapsed.as_secs_f64();
    Ok(Row::new("watch", rate, "events/s").target(Target::AtLeast(200_000.0)).note(note))
}

/// One watcher of a waiting task.
struct Watcher {
    task: Waiting,
    /// Gets a permit from each watcher that has read the log so far and now waits for more.
    attached: Arc<Semaphore>,
    /// Whether to decode events in full.
    checked: bool,
}

impl Watcher {
    /// Reads the whole log and what follows until the stream ends, and checks that no sequence is missing or comes twice.
    async fn follow(self, connection: Connection, chunks: u32) -> Result<Seen> {
        let mut stream = connection.watch(&watch_request(&self.task, Some(0))).await?;
        let mut seen = Seen { events: 0, last_sequence: 0 };
        let mut content = Content::default();
        let mut waiting = true;
        let more = |event: &[u8], seen: &mut Seen, content: &mut Content| {
            let sequence = Numbered::decode(event)?.sequence;
            if sequence != seen.last_sequence + 1 {
                return Err(format!("sequence {sequence} came after {}", seen.last_sequence).into());
            }
            seen.last_sequence = sequence;
            seen.events += u64::from(sequence > self.task.sequence);
            if self.checked { content.add(event, &self.task.id) } else { Ok(()) }
        };
        while stream.next(|event| more(event, &mut seen, &mut content)).await? {
            if waiting && seen.last_sequence >= self.task.sequence {
                waiting = false;
                self.attached.add_permits(1);
            }
        }
        if self.checked {
            content.check(chunks)?;
        }
        Ok(seen)
    }
}

/// What a watcher that decodes its events has learnt from them.
#[derive(Default)]
struct Content {
    chunks: u32,
    state: TaskState,
}

impl Content {
    fn add(&mut self, event: &[u8], task_id: &str) -> Result<()> {
        let event = TaskEvent::decode(event)?;
        if event.task_id != task_id {
            return Err(format!("an event of another task came: {event:?}").into());
        }
        match event.event {
            Some(Event::StatusUpdate(update)) => self.state = update.status.unwrap_or_default().state(),
            Some(Event::ArtifactUpdate(_)) => self.chunks += 1,
            Some(Event::Snapshot(_) | Event::Message(_)) => {}
            None => return Err("an event without content came".into()),
        }
        Ok(())
    }

    fn check(&self, chunks: u32) -> Result<()> {
        if self.chunks < chunks || self.state != TaskState::Completed {
            return Err(format!("{} of {chunks} chunks came, and the task ended {:?}", self.chunks, self.state).into());
        }
        Ok(())
    }
}

/// Memory of the gateway for each of many watchers of one task that waits.
pub async fn idle(options: &Options) -> Result<Vec<Row>> {
    let gateway = Gateway::start().await?;
    let control = Connection::open(&gateway.address).await?;
    let task = waiting_task(&control).await?;
    let before = gateway.resident_kib()?;
    let opening = open_idle(&gateway.address, &task, options.idle_watchers);
    let what = "opening all idle watchers (does the gateway take 500 streams on a connection?)";
    let streams = within(LIMIT, what, opening).await?;
    let mut after = 0;
    for _ in 0..MEMORY_SAMPLES {
        after = after.max(gateway.resident_kib()?);
        tokio::time::sleep(MEMORY_INTERVAL).await;
    }
    // Only a watcher that still gets the task's end was one while memory was measured.
    let cancel = CancelTaskRequest { task_id: task.id.clone(), metadata: None };
    control.gateway().cancel_task(cancel).await?;
    within(LIMIT, "telling all idle watchers of the end", read_to_end(streams)).await?;

    let each = after.saturating_sub(before) as f64 / options.idle_watchers as f64;
    let note = format!(
        "{} watchers on {} connections: {:.1} MiB before, {:.1} MiB after",
        options.idle_watchers,
        options.idle_watchers.div_ceil(IDLE_STREAMS),
        before as f64 / 1024.0,
        after as f64 / 1024.0,
    );
    Ok(vec![Row::new("idle", each, "KiB each").target(Target::AtMost(32.0)).note(note)])
}

/// Opens so many watchers and reads the snapshot that each starts with.
async fn open_idle(address: &str, task: &Waiting, count: usize) -> Result<Vec<EventStream>> {
    let mut openers = JoinSet::new();
    let connections = Connection::open_many(address, count.div_ceil(IDLE_STREAMS)).await?;
    for (number, connection) in connections.into_iter().enumerate() {
        let (request, sequence) = (watch_request(task, None), task.sequence);
        let share = IDLE_STREAMS.min(count - number * IDLE_STREAMS);
        openers.spawn(async move {
            let mut streams = Vec::with_capacity(share);
            for _ in 0..share {
                let mut stream = connection.watch(&request).await?;
                let mut snapshot = None;
                while snapshot.is_none() {
                    let open = stream.next(|event| {
                        snapshot = Some(Numbered::decode(event)?.sequence);
                        Ok(())
                    });
                    if !open.await? {
                        return Err("an idle watcher's stream ended".into());
                    }
                }
                if snapshot != Some(sequence) {
                    return Err(format!("the snapshot is of {snapshot:?}, not {sequence}").into());
                }
                streams.push(stream);
            }
            Ok::<_, crate::Error>(streams)
        });
    }
    let mut streams = Vec::with_capacity(count);
    while let Some(opened) = openers.join_next().await {
        streams.extend(opened??);
    }
    Ok(streams)
}

/// Reads each stream to its end, and checks that something came before it.
async fn read_to_end(streams: Vec<EventStream>) -> Result<()> {
    for mut stream in streams {
        let mut events = 0;
        let mut count = |_: &[u8]| {
            events += 1;
            Ok(())
        };
        while stream.next(&mut count).await? {}
        if events == 0 {
            return Err("an idle watcher was not told of its task's end".into());
        }
    }
    Ok(())
}

/// Starts a task that asks a question, and waits until it does.
async fn waiting_task(control: &Connection) -> Result<Waiting> {
    let wait = Some(ProtoDuration { seconds: 10, nanos: 0 });
    let request = SubmitTaskRequest { message: Some(message("ask: go?")), wait, ..SubmitTaskRequest::default() };
    let record = control.gateway().submit_task(request).await?.into_inner();
    let task = record.task.unwrap_or_default();
    match task.status.as_ref().map(|status| status.state()) {
        Some(TaskState::InputRequired) => Ok(Waiting { id: task.id, sequence: record.sequence }),
        other => Err(format!("the task does not wait for input but is {other:?}").into()),
    }
}

fn watch_request(task: &Waiting, after_sequence: Option<i64>) -> WatchTaskRequest {
    WatchTaskRequest { task_id: task.id.clone(), after_sequence }
}
