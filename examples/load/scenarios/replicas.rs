//! One, two and three gateways on one PostgreSQL database each, and one on SQLite, in turns: blocking sends and submits, as fast
//! as they are answered. Then, at a moderate rate, tasks that one gateway runs and another is asked for.
//!
//! All of it shares the machine's cores: what more gateways cost or gain here is what they cost or gain by themselves.

use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use a2a_gateway::proto::gateway::{SubmitTaskRequest, TaskEvent, WatchTaskRequest, WatchTasksRequest};
use prost::Message as _;
use tokio::{sync::Mutex, task::JoinSet};

use super::{fill::settled, within};
use crate::{
    Options, Result,
    callers::{JsonRpcSend, Submit, message},
    client_grpc::Connection,
    process::{Gateway, postgres},
    report::{Row, Target, millis},
    rounds::{Caller, Plan, Side, full_turns},
    stats::Histogram,
};

/// How long the tasks of the latency run may take.
const LIMIT: Duration = Duration::from_secs(60);

/// What is measured of each topology, by the number of its gateways; 0: SQLite.
const NAMES: [[&str; 2]; 4] = [
    ["sqlite: send", "sqlite: submit"],
    ["1 replica: send", "1 replica: submit"],
    ["2 replicas: send", "2 replicas: submit"],
    ["3 replicas: send", "3 replicas: submit"],
];

/// Events are this far apart that `slow: N` makes, whose echo takes no processor time between them.
const STEPS: &str = "slow: 3";

/// All of it.
pub async fn replicas(options: &Options) -> Result<Vec<Row>> {
    let server = postgres()?;
    let mut topologies = vec![vec![Gateway::start().await?]];
    for count in 1..NAMES.len() {
        let database = server.database().await;
        let mut gateways = Vec::new();
        for _ in 0..count {
            gateways.push(Gateway::on(&database).await?);
        }
        topologies.push(gateways);
    }
    let mut controls = Vec::new();
    for gateways in &topologies {
        controls.push(Connection::open(&gateways[0].address).await?);
    }
    let plan = Plan::new(options.seconds);
    let (mut sends, mut submits) = (Vec::new(), Vec::new());
    for gateways in &topologies {
        sends.push(spread(gateways, options.connections, JsonRpcSend::callers).await?);
        submits.push(spread(gateways, options.connections, Submit::callers).await?);
    }
    let settle = async || {
        for control in &controls {
            settled(control).await?;
        }
        Ok(())
    };
    let sends = full_turns(plan, &mut sends, async || Ok(())).await?;
    let submits = full_turns(plan, &mut submits, settle).await?;
    let mut rows = Vec::new();
    for (kind, sides) in [sends, submits].iter().enumerate() {
        let names = NAMES.map(|names| names[kind]);
        rows.extend(names.into_iter().zip(sides).map(|(name, side)| rate(name, side, &sides[0])));
    }
    let pair = &topologies[2];
    rows.extend(latency(options, &pair[0].address, &pair[1].address).await?);
    Ok(rows)
}

/// Callers of each of the gateways, as many in all as are asked for.
async fn spread<C: Caller>(
    gateways: &[Gateway],
    count: usize,
    callers: impl AsyncFn(&str, usize) -> Result<Vec<C>>,
) -> Result<Vec<C>> {
    let mut all = Vec::new();
    for gateway in gateways {
        all.extend(callers(&gateway.address, count.div_ceil(gateways.len())).await?);
    }
    Ok(all)
}

fn rate(name: &'static str, side: &Side, sqlite: &Side) -> Row {
    Row::new(name, side.rate(), "calls/s")
        .against(sqlite.rate())
        .latency(side.latency.quantile(0.5), side.latency.quantile(0.99))
        .errors("gateway", side.errors, side.first_error.as_deref())
        .note("baseline: SQLite")
}

/// From an event being made at one gateway to its arrival at a watcher of another: of its task, and of all tasks.
async fn latency(options: &Options, runs: &str, watches: &str) -> Result<Vec<Row>> {
    let (at, elsewhere) = (Connection::open(runs).await?, Connection::open(watches).await?);
    let one = Arc::new(Mutex::new(Histogram::default()));
    let all = Arc::new(Mutex::new(Histogram::default()));
    let feed = tokio::spawn(feed(elsewhere.clone(), all.clone()));
    let tasks = (options.rate as f64 * options.seconds) as u32;
    let start = Instant::now();
    let mut watchers = JoinSet::new();
    for number in 0..tasks {
        let due = start + Duration::from_secs_f64(f64::from(number) / options.rate as f64);
        tokio::time::sleep_until(due.into()).await;
        watchers.spawn(watched(at.clone(), elsewhere.clone(), one.clone()));
    }
    within(LIMIT, "watching all tasks", async {
        while let Some(watcher) = watchers.join_next().await {
            watcher??;
        }
        Ok(())
    })
    .await?;
    feed.abort();
    let row = |name, histogram: &Histogram, what: &str| -> Result<Row> {
        let p99 = histogram.quantile(0.99).ok_or("no event had a time")?;
        let row = Row::new(name, millis(p99), "ms").latency(histogram.quantile(0.5), Some(p99));
        Ok(row.target(Target::AtMost(50.0)).note(format!(
            "p99 from an event being made at one of two gateways to its arrival at {what} of the other, its commit included, \
             rounded up by up to 1 ms; {} events, {} tasks/s",
            histogram.count(),
            options.rate
        )))
    };
    let rows = [
        row("watch elsewhere", &*one.lock().await, "a watcher of its task")?,
        row("watch all elsewhere", &*all.lock().await, "a watcher of all tasks")?,
    ];
    Ok(rows.into())
}

/// Runs a task at one gateway and watches it at another; what was made before the watch was open does not count.
async fn watched(at: Connection, elsewhere: Connection, into: Arc<Mutex<Histogram>>) -> Result<()> {
    let request = SubmitTaskRequest { message: Some(message(STEPS)), ..SubmitTaskRequest::default() };
    let task = at.gateway().submit_task(request).await?.into_inner().task.unwrap_or_default();
    let request = WatchTaskRequest { task_id: task.id, after_sequence: Some(0) };
    let opened = now();
    let mut stream = elsewhere.watch(&request).await?;
    let mut sequence = 0;
    let mut events = Vec::new();
    while stream
        .next(|bytes| {
            let event = TaskEvent::decode(bytes)?;
            sequence += 1;
            if event.sequence != sequence {
                return Err(format!("event {} came after {}", event.sequence, sequence - 1).into());
            }
            events.extend(since(&event, opened));
            Ok(())
        })
        .await?
    {}
    let mut histogram = into.lock().await;
    events.into_iter().for_each(|latency| histogram.record(latency));
    Ok(())
}

async fn feed(connection: Connection, into: Arc<Mutex<Histogram>>) -> Result<()> {
    let opened = now();
    let mut events = connection.gateway().watch_tasks(WatchTasksRequest::default()).await?.into_inner();
    while let Some(answer) = events.message().await? {
        if let Some(latency) = answer.event.as_ref().and_then(|event| since(event, opened)) {
            into.lock().await.record(latency);
        }
    }
    Ok(())
}

/// How long ago an event was made, if that was after a time.
fn since(event: &TaskEvent, opened: Duration) -> Option<Duration> {
    let time = event.time.as_ref()?;
    let made = Duration::new(u64::try_from(time.seconds).ok()?, u32::try_from(time.nanos).ok()?);
    (made > opened).then(|| now().saturating_sub(made))
}

/// Since 1970.
fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}
