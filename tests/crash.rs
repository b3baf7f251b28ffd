//! The promises that a crash must not break, held against the real program: killed in the midst of submits and open
//! watches and started again on the same data, several times.
//!
//! Nothing that was acknowledged is lost, nothing happens twice, and nobody who watched misses an event, sees one again
//! or has seen one that was not stored. The moments of the kills come from a seed, which a failure shows;
//! `A2A_CRASH_SEED` repeats it.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests fail by panicking")]

mod process;

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use a2a_gateway::proto::{
    a2a::{Artifact, Part, TaskState, part::Content},
    gateway::{
        ListTasksRequest, TaskEvent, TaskRecord, WatchTaskRequest, WatchTasksRequest, WatchTasksResponse,
        gateway_client::GatewayClient, task_event::Event,
    },
};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use process::{Gateway, Random, chunks, connect, http, seed, send_message, submit, texts};
use tokio::{
    sync::{oneshot, watch},
    task::JoinHandle,
};
use tonic::{Status, Streaming, transport::Channel};
use tonic_types::StatusExt as _;

const KILLS: u64 = 5;
/// The text of the task that tells the feed's reader that all is over.
const LAST: &str = "the last task";

/// The gateway of the moment.
#[derive(Clone, Debug, Default)]
struct Place {
    address: String,
    generation: u64,
}

impl Place {
    /// Whether this gateway will not be killed.
    fn stays(&self) -> bool {
        self.generation == KILLS
    }
}

/// A client that moves on to the next gateway when its own has been killed.
#[derive(Clone)]
struct Client {
    places: watch::Receiver<Place>,
    place: Place,
    grpc: GatewayClient<Channel>,
    /// Connections lost.
    losses: usize,
}

impl Client {
    async fn new(mut places: watch::Receiver<Place>) -> Self {
        let place = places.borrow_and_update().clone();
        let grpc = connect(&place.address).await.unwrap();
        Self { places, place, grpc, losses: 0 }
    }

    /// After a call that failed: connects to the gateway that comes after the one called. What a gateway says while it
    /// runs is no reason.
    async fn next(&mut self, status: &Status) {
        assert!(status.get_details_error_info().is_none(), "the gateway refused: {status:?}");
        self.lost(status).await;
    }

    async fn lost(&mut self, cause: &(dyn std::fmt::Debug + Sync)) {
        self.losses += 1;
        loop {
            assert!(!self.place.stays(), "lost the last gateway: {cause:?}");
            let old = self.place.generation;
            self.place = self.places.wait_for(|place| place.generation > old).await.unwrap().clone();
            if let Ok(grpc) = connect(&self.place.address).await {
                self.grpc = grpc;
                return;
            }
        }
    }

    /// Submits a text, again after each loss, until it is acknowledged.
    async fn submit(&mut self, text: &str) -> TaskRecord {
        loop {
            match self.grpc.submit_task(submit(text, text)).await {
                Ok(record) => return record.into_inner(),
                Err(status) => self.next(&status).await,
            }
        }
    }

    async fn watch(&mut self, task_id: &str, after: i64) -> Result<Streaming<TaskEvent>, Status> {
        let request = WatchTaskRequest { task_id: task_id.to_owned(), after_sequence: Some(after) };
        Ok(self.grpc.watch_task(request).await?.into_inner())
    }
}

/// What one worker submitted.
#[derive(Default)]
struct Submits {
    /// Text and task of those that were acknowledged.
    acknowledged: Vec<(String, String)>,
    /// Those that were cut off and not tried again: stored or not, but not twice.
    unknown: Vec<String>,
    losses: usize,
}

/// Submits over gRPC until the gateway that stays is there. Each submit has a request id and is repeated after a loss.
async fn submit_over_grpc(mut client: Client, worker: usize) -> Submits {
    let mut submits = Submits::default();
    for n in 0.. {
        if client.places.borrow().stays() {
            break;
        }
        let text = format!("grpc {worker}.{n}");
        let record = client.submit(&text).await;
        submits.acknowledged.push((text, record.task.unwrap().id));
    }
    Submits { losses: client.losses, ..submits }
}

/// Sends over JSON-RPC and waits for the outcome of each, until the gateway that stays is there. `keyed`: sends have an
/// idempotency key and are repeated after a loss.
async fn send_over_json(mut client: Client, worker: usize, keyed: bool) -> Submits {
    let mut submits = Submits::default();
    let http = http();
    for n in 0.. {
        if client.places.borrow().stays() {
            break;
        }
        let text = format!("json {worker}.{n}");
        loop {
            let mut request = http.post(format!("http://{}/a2a", client.place.address)).json(&send_message(&text));
            if keyed {
                request = request.header("Idempotency-Key", &text);
            }
            let answer = async { request.send().await?.json::<serde_json::Value>().await };
            match answer.await {
                Ok(answer) => {
                    let task = &answer["result"]["task"];
                    assert_eq!(task["status"]["state"], "TASK_STATE_COMPLETED", "{answer}");
                    assert_eq!(task["artifacts"][0]["parts"][0]["text"], format!("Echo: {text}"), "{answer}");
                    submits.acknowledged.push((text, task["id"].as_str().unwrap().to_owned()));
                    break;
                }
                Err(cause) => client.lost(&cause).await,
            }
            if !keyed {
                submits.unknown.push(text);
                break;
            }
        }
    }
    Submits { losses: client.losses, ..submits }
}

/// Submits a task and records all that a watcher sees of it.
async fn submit_and_watch(mut client: Client, text: String) -> Recording {
    let id = client.submit(&text).await.task.unwrap().id;
    let mut events: Vec<TaskEvent> = Vec::new();
    loop {
        let after = events.len() as i64;
        let watched = async {
            let mut stream = client.watch(&id, after).await?;
            while let Some(event) = stream.message().await? {
                assert_eq!(event.sequence, events.len() as i64 + 1, "{text}: resumed after {after}");
                events.push(event);
            }
            Ok::<_, Status>(())
        };
        match watched.await {
            Ok(()) => return Recording { text, id, events, losses: client.losses },
            Err(status) => client.next(&status).await,
        }
    }
}

/// What a watcher saw of a task.
struct Recording {
    text: String,
    id: String,
    /// In the order they came, over all connections.
    events: Vec<TaskEvent>,
    losses: usize,
}

/// Follows the feed over all kills, until the last task is done; returns what it told of each task, in its order.
async fn follow_feed(
    mut client: Client,
    mut stream: Streaming<WatchTasksResponse>,
    begun: oneshot::Sender<()>,
) -> HashMap<String, Vec<TaskEvent>> {
    let mut seen: HashMap<String, Vec<TaskEvent>> = HashMap::new();
    let mut cursor = String::new();
    let mut begun = Some(begun);
    let mut last = None;
    loop {
        let item = match stream.message().await {
            Ok(item) => item.expect("the feed has no end"),
            Err(mut status) => loop {
                client.next(&status).await;
                let request = WatchTasksRequest { cursor: cursor.clone(), ..WatchTasksRequest::default() };
                match client.grpc.watch_tasks(request).await {
                    Ok(answer) => {
                        stream = answer.into_inner();
                        break WatchTasksResponse { cursor: cursor.clone(), ..WatchTasksResponse::default() };
                    }
                    Err(again) => status = again,
                }
            },
        };
        assert!(!item.cursor.is_empty(), "a snapshot, although nothing was there or a cursor was given: {item:?}");
        cursor = item.cursor;
        let Some(event) = item.event else { continue };
        if let Some(begun) = begun.take() {
            begun.send(()).unwrap();
        }
        if said(&event) == Some(LAST) {
            last = Some(event.task_id.clone());
        }
        let over = last.as_ref() == Some(&event.task_id) && state(&event) == Some(TaskState::Completed);
        let task = seen.entry(event.task_id.clone()).or_default();
        assert_eq!(event.sequence, task.len() as i64 + 1, "the feed's next event of task {}", event.task_id);
        task.push(event);
        if over {
            return seen;
        }
    }
}

/// What the caller said, if the event is a task's first.
fn said(event: &TaskEvent) -> Option<&str> {
    match &event.event {
        Some(Event::Snapshot(task)) => texts(&task.history[0].parts).first().copied(),
        _ => None,
    }
}

fn state(event: &TaskEvent) -> Option<TaskState> {
    match &event.event {
        Some(Event::StatusUpdate(update)) => Some(update.status.as_ref().unwrap().state()),
        _ => None,
    }
}

/// What an event adds to the task's artifact.
fn pieces(event: &TaskEvent) -> &[Part] {
    match &event.event {
        Some(Event::ArtifactUpdate(update)) => &update.artifact.as_ref().unwrap().parts,
        _ => &[],
    }
}

/// The artifact of a task that nothing interrupts.
fn artifact(text: &str) -> Artifact {
    let parts = match text.split_once(": ") {
        Some(("slow" | "burst", n)) => chunks(n.parse().unwrap()),
        _ => vec![format!("Echo: {text}")],
    };
    let parts = parts.into_iter().map(|text| Part { content: Some(Content::Text(text)), ..Part::default() });
    Artifact { artifact_id: "echo-1".into(), name: "echo".into(), parts: parts.collect(), ..Artifact::default() }
}

/// Every task there is, by its text.
async fn all_tasks(client: &mut Client) -> BTreeMap<String, Vec<TaskRecord>> {
    let mut tasks: BTreeMap<_, Vec<_>> = BTreeMap::new();
    let mut request = ListTasksRequest { page_size: 100, include_artifacts: true, ..ListTasksRequest::default() };
    loop {
        let page = client.grpc.list_tasks(request.clone()).await.unwrap().into_inner();
        for record in page.tasks {
            let text = texts(&record.task.as_ref().unwrap().history[0].parts)[0].to_owned();
            tasks.entry(text).or_default().push(record);
        }
        if page.next_page_token.is_empty() {
            return tasks;
        }
        request.page_token = page.next_page_token;
    }
}

/// The whole log of a task, once the task has settled.
async fn log(mut client: Client, id: String) -> (String, Vec<TaskEvent>) {
    let events: Vec<_> = client.watch(&id, 0).await.unwrap().try_collect().await.unwrap();
    assert!(events.iter().map(|event| event.sequence).eq(1..=events.len() as i64), "task {id}: {events:?}");
    assert!(events.iter().all(|event| event.task_id == id), "task {id}: {events:?}");
    (id, events)
}

/// The logs of all tasks, by id. Waits for those that have not settled.
async fn all_logs(client: &mut Client) -> HashMap<String, Vec<TaskEvent>> {
    let tasks = all_tasks(client).await;
    let ids = tasks.into_values().flatten().map(|record| record.task.unwrap().id);
    let reading: Vec<_> = ids.map(|id| log(client.clone(), id)).collect();
    stream::iter(reading).buffer_unordered(16).collect().await
}

/// The work that goes on while gateways are killed.
struct Work {
    submits: Vec<JoinHandle<Submits>>,
    watchers: Vec<JoinHandle<Recording>>,
    feed: JoinHandle<HashMap<String, Vec<TaskEvent>>>,
}

impl Work {
    /// Begins it; returns once the feed has told of an event.
    async fn begin(client: &Client) -> Self {
        let mut feed_client = client.clone();
        let stream = feed_client.grpc.watch_tasks(WatchTasksRequest::default()).await.unwrap().into_inner();
        let (begun, feed_has_begun) = oneshot::channel();
        let feed = tokio::spawn(follow_feed(feed_client, stream, begun));
        let mut submits: Vec<_> = (0..3).map(|n| tokio::spawn(submit_over_grpc(client.clone(), n))).collect();
        submits.extend((0..4).map(|n| tokio::spawn(send_over_json(client.clone(), n, n % 2 == 0))));
        let watchers = (0..3).map(|n| tokio::spawn(submit_and_watch(client.clone(), format!("slow: {}", 6 + n))));
        let watchers = watchers.collect();
        feed_has_begun.await.unwrap();
        Self { submits, watchers, feed }
    }
}

async fn scenario(seed: u64) {
    let data = tempfile::tempdir().unwrap();
    let mut random = Random(seed);
    let mut gateway = Gateway::start(data.path());
    let (told, places) = watch::channel(Place { address: gateway.address.clone(), generation: 0 });
    let mut work = Work::begin(&Client::new(places.clone()).await).await;
    for generation in 1..=KILLS {
        // More in each round, so that young tasks and long logs are hit as well.
        let client = Client::new(places.clone()).await;
        for text in [format!("slow: {}", 1 + generation % 5), format!("burst: {}", 1000 + generation)] {
            work.watchers.push(tokio::spawn(submit_and_watch(client.clone(), text)));
        }
        tokio::time::sleep(Duration::from_millis(20 + random.below(400))).await;
        gateway.kill9();
        gateway = Gateway::start(data.path());
        told.send(Place { address: gateway.address.clone(), generation }).unwrap();
    }
    check(work, Client::new(places).await).await;
}

async fn check(work: Work, mut client: Client) {
    let mut submits = Submits::default();
    for worker in work.submits {
        let done = worker.await.unwrap();
        submits.acknowledged.extend(done.acknowledged);
        submits.unknown.extend(done.unknown);
        submits.losses += done.losses;
    }
    let mut recordings = Vec::new();
    for watcher in work.watchers {
        recordings.push(watcher.await.unwrap());
    }
    // The kills hit submits and watches that were under way.
    assert!(submits.losses >= KILLS as usize, "only {} submits were cut off", submits.losses);
    assert!(!submits.unknown.is_empty() && submits.acknowledged.len() >= 20, "{}", submits.acknowledged.len());
    let cut_off = recordings.iter().filter(|recording| recording.losses > 0).count();
    assert!(cut_off >= 3, "only {cut_off} watches were cut off");

    let mut logs = all_logs(&mut client).await;
    let last = client.submit(LAST).await.task.unwrap().id;
    let feed = work.feed.await.unwrap();
    logs.extend([log(client.clone(), last).await]);
    for (id, told) in &feed {
        assert_eq!(told, &logs[id], "the feed and the log of task {id}");
    }
    assert_eq!(feed.len(), logs.len(), "the feed told of each task");

    let tasks = all_tasks(&mut client).await;
    let watched = recordings.iter().map(|recording| (&recording.text, &recording.id));
    for (text, id) in submits.acknowledged.iter().map(|(text, id)| (text, id)).chain(watched) {
        assert_eq!(tasks[text][0].task.as_ref().unwrap().id, *id, "{text}");
    }
    for (text, records) in &tasks {
        assert_eq!(records.len(), 1, "{text}: submitted once");
        let (record, task) = (&records[0], records[0].task.as_ref().unwrap());
        assert_eq!(task.status.as_ref().unwrap().state(), TaskState::Completed, "{text}");
        assert_eq!(task.artifacts, [artifact(text)], "{text}");
        let log = &logs[&task.id];
        // Resumed, not begun anew: the log has each piece once.
        let pieces: Vec<_> = log.iter().flat_map(pieces).cloned().collect();
        assert_eq!(pieces, task.artifacts[0].parts, "{text}");
        assert_eq!((said(&log[0]), record.sequence), (Some(text.as_str()), log.len() as i64));
        assert_eq!(log.iter().filter(|event| state(event) == Some(TaskState::Completed)).count(), 1, "{text}");
    }
    let submitted = submits.acknowledged.len() + recordings.len() + 1;
    assert!((submitted..=submitted + submits.unknown.len()).contains(&tasks.len()), "{} tasks", tasks.len());
    for Recording { text, id, events, .. } in &recordings {
        assert_eq!(events, &logs[id], "{text}: what the watcher saw and the log");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_again_and_again_nothing_is_lost_told_twice_or_told_too_early() {
    let seed = seed();
    tokio::time::timeout(Duration::from_secs(60), scenario(seed)).await.expect("it takes seconds");
}
