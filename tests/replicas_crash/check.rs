//! What must be true when all is done.

use std::collections::{BTreeMap, HashMap, HashSet};

use a2a_gateway::proto::{
    a2a::{Part, Role, Task, TaskState},
    gateway::{ListTasksRequest, TaskEvent, TaskRecord, gateway_client::GatewayClient, task_event::Event},
};

use futures::future::join_all;

use crate::{
    agents::{Agent, Seen, chunks},
    caller::{Client, Stories, is_settled, state, status},
    feed::{self, Feed},
    hooks::{self, Hooks},
    place::{Place, REPLICAS},
    process::{Random, texts},
};

/// The logs of all tasks, and whose tasks they are: the agent's.
pub type Logs = BTreeMap<String, (String, Vec<TaskEvent>)>;

/// What came of all tasks.
#[derive(Debug, Default)]
pub struct Tally {
    pub stories: usize,
    pub completed: usize,
    pub canceled: usize,
    /// Of these, tasks whose agents could not be told.
    pub untold: usize,
    /// Failed since nobody knows whether the agent had the message.
    pub unknown: usize,
    /// Events in all logs.
    pub events: usize,
    /// Calls and streams of callers that broke.
    pub losses: usize,
    pub hooks: hooks::Tally,
}

/// Holds the stories, each gateway, the agents, the watchers of all tasks and the receivers against each other.
pub async fn check(
    place: &mut Place,
    told: &Stories,
    agents: impl IntoIterator<Item = Agent>,
    feeds: Vec<Feed>,
    hooks: &Hooks,
) -> Tally {
    let stories = &told.take();
    let mut tally = Tally { stories: stories.len(), losses: told.losses(), ..Tally::default() };
    let mut client = place.client(Random(0));
    let tasks = all_tasks(&mut client).await;
    let mut logs = Logs::new();
    for (text, records) in &tasks {
        assert_eq!(records.len(), 1, "{text}: stored once");
        let id = records[0].task.as_ref().unwrap().id.clone();
        // Also of tasks of whose begin nobody has heard: they settle, too.
        let log = client.log(&id).await;
        logs.insert(id, (records[0].agent.clone(), log));
    }
    join_all((0..REPLICAS).map(|replica| is_told(place.client_of(replica), replica, &logs))).await;
    let ids: HashSet<_> = logs.keys().cloned().collect();
    for feed in feeds {
        check_feed(feed.end(ids.clone()).await, &logs);
    }
    tally.hooks = hooks.check(&mut client, stories, &logs, &place.faults).await;
    let mut seen = Vec::new();
    for agent in agents {
        let noted = agent.seen.clone();
        agent.end().await;
        seen.push(std::mem::take(&mut *noted.lock().unwrap()));
    }
    let plans: HashMap<_, _> = stories.iter().map(|story| (&*story.id, story)).collect();
    for (text, records) in all_tasks(&mut client).await {
        let task = records[0].task.as_ref().unwrap();
        let log = &logs[&task.id].1;
        tally.events += log.len();
        check_log(&text, task, log);
        check_outcome(&text, task, log, &seen, &mut tally);
        let canceled = task.status.as_ref().unwrap().state() == TaskState::Canceled;
        let story = plans.get(&*task.id);
        assert!(!canceled || story.is_some_and(|story| story.plan.cancel.is_some()), "{text}: canceled by nobody");
    }
    for story in stories {
        let text = &story.plan.text;
        let records = tasks.get(text).unwrap_or_else(|| panic!("{text}: acknowledged, and lost"));
        assert_eq!(records[0].task.as_ref().unwrap().id, story.id, "{text}");
        for watched in &story.watched {
            assert_eq!(*watched, logs[&story.id].1, "{text}: what a watcher saw and the log");
        }
    }
    tally
}

/// Every task, by its text.
async fn all_tasks(client: &mut Client) -> BTreeMap<String, Vec<TaskRecord>> {
    let mut tasks: BTreeMap<_, Vec<_>> = BTreeMap::new();
    let mut request = ListTasksRequest { page_size: 100, include_artifacts: true, ..ListTasksRequest::default() };
    loop {
        let call = |mut gateway: GatewayClient<_>, request| async move { gateway.list_tasks(request).await };
        let page = client.insist(&request, call).await.unwrap();
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

/// A gateway tells all logs as they are.
async fn is_told(mut client: Client, replica: usize, logs: &Logs) {
    for (id, (_, log)) in logs {
        assert_eq!(client.log(id).await, *log, "as gateway {replica} tells it");
    }
}

/// A watcher of all tasks saw each log as it is, from the first event on.
fn check_feed(mut seen: feed::Seen, logs: &Logs) {
    for (id, (_, log)) in logs {
        assert_eq!(seen.remove(id).unwrap_or_default(), *log, "as a watcher of all tasks was told");
    }
    assert!(seen.is_empty(), "told of tasks that are not there: {seen:?}");
}

/// A log has no holes and one end, and what it says adds up to the task, each chunk said once.
fn check_log(text: &str, task: &Task, log: &[TaskEvent]) {
    assert!(log.iter().map(|event| event.sequence).eq(1..=log.len() as i64), "{text}: {log:?}");
    assert!(matches!(log[0].event, Some(Event::Snapshot(_))), "{text}: {log:?}");
    let ends = log.iter().filter(|event| state(event).is_some_and(is_settled)).count();
    assert_eq!(ends, 1, "{text}: {log:?}");
    let told: Vec<_> = log.iter().flat_map(|event| texts(pieces(event))).collect();
    assert_eq!(told, held(task), "{text}: {log:?}");
}

/// What an event adds to artifacts.
fn pieces(event: &TaskEvent) -> &[Part] {
    match &event.event {
        Some(Event::ArtifactUpdate(update)) => &update.artifact.as_ref().unwrap().parts,
        _ => &[],
    }
}

fn held(task: &Task) -> Vec<&str> {
    task.artifacts.iter().flat_map(|artifact| texts(&artifact.parts)).collect()
}

/// The task has settled as what its agent was sent allows.
fn check_outcome(text: &str, task: &Task, log: &[TaskEvent], seen: &[Seen], tally: &mut Tally) {
    let count = |message: &str| seen.iter().filter_map(|seen| seen.messages.get(message)).sum::<usize>();
    let mine = task.history.iter().filter(|message| message.role() == Role::User);
    let came: Vec<_> = mine.map(|message| texts(&message.parts)[0]).map(|text| (text, count(text))).collect();
    assert!(came.iter().all(|(_, count)| *count <= 1), "{text}: sent twice: {came:?}");
    let expected: Vec<_> = came.iter().filter(|(_, count)| *count > 0).flat_map(|(text, _)| chunks(text)).collect();
    let held = held(task);
    let (now, said) = (task.status.as_ref().unwrap(), log.last().and_then(status).unwrap());
    assert_eq!(now.state(), said.state(), "{text}");
    match now.state() {
        TaskState::Completed => {
            tally.completed += 1;
            // One before it may have been lost on its way: then the agent was found to ask still, and was answered anew.
            assert!(came.last().unwrap().1 > 0, "{text}: done without its last message: {came:?}");
            assert_eq!(held, expected, "{text}: {log:?}");
        }
        TaskState::Canceled => {
            tally.canceled += 1;
            assert!(held.len() <= expected.len() && held == expected[..held.len()], "{text}: {log:?}");
            let told = |seen: &Seen| seen.tasks.get(text).is_none_or(|task| seen.cancels.contains(task));
            let why = now.message.as_ref().map(|message| texts(&message.parts).concat()).unwrap_or_default();
            let untold = why.contains("may still be working");
            tally.untold += usize::from(untold);
            assert!(untold || seen.iter().all(told), "{text}: its agent was not told that it is canceled: {log:?}");
        }
        TaskState::Failed => {
            tally.unknown += 1;
            let why = now.message.as_ref().map(|message| texts(&message.parts).concat()).unwrap_or_default();
            assert!(why.contains("outcome is unknown"), "{text}: {why}: {log:?}");
            // Nothing had come of it: else the agent had named the task, and it was to be taken up again.
            assert!(held.is_empty(), "{text}: {why}: {log:?}");
        }
        other => panic!("{text}: {other:?}"),
    }
}
