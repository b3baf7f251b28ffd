//! Watchers of all tasks, who resume at another gateway again and again.

use std::{
    collections::{BTreeMap, HashSet},
    time::Duration,
};

use a2a_gateway::proto::gateway::{TaskEvent, WatchTasksRequest, WatchTasksResponse, gateway_client::GatewayClient};
use tokio::{
    sync::oneshot,
    task::JoinHandle,
    time::{Instant, timeout},
};
use tonic::Streaming;

use crate::{
    caller::{Client, is_loss, is_settled, state},
    process::LIMIT,
};

/// How long a stream may be silent until another gateway is asked.
const PATIENCE: Duration = Duration::from_secs(1);

/// A watcher of all tasks.
pub struct Feed {
    /// Tells it which tasks it has to see the end of.
    tasks: oneshot::Sender<HashSet<String>>,
    following: JoinHandle<Seen>,
}

/// What a watcher saw, by task, in the order in which it came.
pub type Seen = BTreeMap<String, Vec<TaskEvent>>;

impl Feed {
    /// Starts one, before there is a task.
    pub async fn start(mut client: Client) -> Self {
        let (tasks, wanted) = oneshot::channel();
        let stream = open(&mut client, "").await;
        Self { tasks, following: tokio::spawn(follow(client, stream, wanted)) }
    }

    /// Waits until it has seen the end of these tasks; what it saw.
    pub async fn end(self, tasks: HashSet<String>) -> Seen {
        self.tasks.send(tasks).unwrap();
        self.following.await.unwrap()
    }
}

/// Opens a watch of all tasks at any gateway.
async fn open(client: &mut Client, cursor: &str) -> Streaming<WatchTasksResponse> {
    let request = WatchTasksRequest { cursor: cursor.to_owned(), ..WatchTasksRequest::default() };
    let call = |mut gateway: GatewayClient<_>, request| async move { gateway.watch_tasks(request).await };
    client.insist(&request, call).await.unwrap()
}

async fn follow(
    mut client: Client,
    mut stream: Streaming<WatchTasksResponse>,
    mut wanted: oneshot::Receiver<HashSet<String>>,
) -> Seen {
    let (mut seen, mut tasks) = (Seen::new(), None);
    let (mut ended, mut cursor) = (HashSet::new(), String::new());
    let mut deadline = None;
    loop {
        let cut = 1 + client.random.below(400);
        for _ in 0..cut {
            if tasks.is_none() {
                tasks = wanted.try_recv().ok();
                deadline = tasks.as_ref().map(|_| Instant::now() + LIMIT);
            }
            if let Some(tasks) = &tasks
                && tasks.is_subset(&ended)
            {
                return seen;
            }
            let missing = || tasks.iter().flatten().find(|task| !ended.contains(*task));
            assert!(deadline.is_none_or(|deadline| Instant::now() < deadline), "no end was told of {:?}", missing());
            match timeout(PATIENCE, stream.message()).await {
                Ok(Ok(Some(response))) => {
                    cursor = response.cursor;
                    // A position alone says that there is nothing of interest before it.
                    let Some(event) = response.event else { continue };
                    if state(&event).is_some_and(is_settled) {
                        ended.insert(event.task_id.clone());
                    }
                    seen.entry(event.task_id.clone()).or_default().push(event);
                }
                Ok(Err(status)) if !is_loss(&status) => panic!("watching all tasks after {cursor:?}: {status:?}"),
                // It ends, breaks, or has nothing to tell, perhaps since its gateway stands still.
                _ => break,
            }
        }
        stream = open(&mut client, &cursor).await;
    }
}
