//! What must be true when all is done.

use std::collections::{BTreeMap, HashMap, HashSet};

use a2a_gateway::proto::{
    a2a::{Message, Part, Role, Task, TaskState},
    gateway::{ListTasksRequest, TaskEvent, TaskRecord, task_event::Event},
};
use futures::TryStreamExt as _;

use crate::{
    agents::{Seen, chunks},
    caller::{Client, Door, Story, state, status},
    process::texts,
};

/// What came of all tasks.
#[derive(Debug, Default)]
pub struct Tally {
    pub completed: usize,
    pub canceled: usize,
    /// Failed since nobody knows whether the agent had the message.
    pub unknown: usize,
    /// Those of them whose message was not even sent: the gateway was killed when it was about to.
    pub unsent: usize,
    /// Messages that an agent had more than once.
    pub resent: usize,
    /// Questions that were asked again, since the answer had not arrived.
    pub asked_again: usize,
    /// Connections that callers lost.
    pub losses: usize,
}

/// Waits until every task has settled, those among them of whose begin nobody has heard.
pub async fn settled(client: &mut Client) {
    for record in all_tasks(client).await.into_values().flatten() {
        let log = client.watch(&record.task.unwrap().id, 0).await.unwrap();
        log.try_for_each(|_| std::future::ready(Ok(()))).await.unwrap();
    }
}

/// Holds the stories, the gateway and what the agents were sent against each other. `resends`: messages whose fate is
/// unknown are sent again.
pub async fn check(stories: &[Story], client: &mut Client, seen: &[Seen], resends: bool) -> Tally {
    let tasks = all_tasks(client).await;
    let mut tally = Tally { losses: stories.iter().map(|story| story.losses).sum(), ..Tally::default() };
    let mut messages = HashMap::new();
    for seen in seen {
        messages.extend(seen.messages.iter().map(|(id, count)| (id.as_str(), *count)));
    }
    for story in stories {
        let text = &story.plan.text;
        let Some(id) = &story.id else {
            assert!(tasks.get(text).is_none_or(|records| records.len() == 1), "{text}");
            continue;
        };
        let records = tasks.get(text).unwrap_or_else(|| panic!("{text}: acknowledged, and lost"));
        let task = records[0].task.as_ref().unwrap();
        assert_eq!(task.id, *id, "{text}");
        let canceled = task.status.as_ref().unwrap().state() == TaskState::Canceled;
        assert!(!canceled || story.plan.cancel.is_some(), "{text}: canceled by nobody");
    }
    let recorded: HashMap<_, _> = stories.iter().filter_map(|story| Some((story.id.clone()?, &story.events))).collect();
    let mut ids = HashSet::new();
    for (text, records) in &tasks {
        assert_eq!(records.len(), 1, "{text}: stored once");
        let task = records[0].task.as_ref().unwrap();
        let log: Vec<_> = client.watch(&task.id, 0).await.unwrap().try_collect().await.unwrap();
        if let Some(events) = recorded.get(&task.id) {
            assert_eq!(**events, log, "{text}: what the watcher saw and the log");
        }
        assert_eq!(records[0].sequence, log.len() as i64, "{text}");
        check_log(text, task, &log);
        check_outcome(text, task, &log, &messages, resends, &mut tally);
        ids.extend([task.id.as_str(), task.context_id.as_str()]);
    }
    // Message ids are the callers' own: which message an agent had does not depend on the task.
    for seen in seen {
        for word in &seen.words {
            let told = word.split(|c: char| !c.is_ascii_alphanumeric() && c != '-').find(|part| ids.contains(part));
            assert!(told.is_none(), "an agent was told an id of the gateway's: {word}");
        }
    }
    let unknown: usize = stories.iter().filter(|story| story.id.is_none()).count();
    let once = stories.iter().filter(|story| story.plan.door == Door::JsonOnce).count();
    assert!(unknown <= once, "an answer was given up");
    tally
}

/// Every task, by its text.
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

/// A log has no holes and one end, and what it says adds up to the task, each chunk said once. All ids are the
/// gateway's.
fn check_log(text: &str, task: &Task, log: &[TaskEvent]) {
    assert!(log.iter().map(|event| event.sequence).eq(1..=log.len() as i64), "{text}: {log:?}");
    let ends = log.iter().filter(|event| state(event).is_some_and(is_settled)).count();
    assert!(ends == 1 && state(log.last().unwrap()).is_some_and(is_settled), "{text}: {log:?}");
    let said = log.iter().flat_map(pieces).cloned();
    let held = task.artifacts.iter().flat_map(|artifact| artifact.parts.iter().cloned());
    assert!(said.eq(held), "{text}: the log and the task: {log:?}\n{task:?}");
    for event in log {
        let (id, context, messages) = match event.event.as_ref().unwrap() {
            Event::Snapshot(task) => (&task.id, &task.context_id, task.history.iter().collect()),
            Event::Message(message) => (&message.task_id, &message.context_id, vec![message]),
            Event::StatusUpdate(update) => {
                let said = update.status.as_ref().unwrap().message.iter();
                (&update.task_id, &update.context_id, said.collect())
            }
            Event::ArtifactUpdate(update) => (&update.task_id, &update.context_id, Vec::new()),
        };
        assert_eq!((&event.task_id, id, context), (&task.id, &task.id, &task.context_id), "{text}: {event:?}");
        assert!(messages.iter().all(|message| is_of(message, task)), "{text}: {event:?}");
    }
    assert!(task.history.iter().all(|message| is_of(message, task)), "{text}: {task:?}");
}

/// Whether a message names this task and conversation, or none.
fn is_of(message: &Message, task: &Task) -> bool {
    let fits = |named: &str, is: &str| named.is_empty() || named == is;
    fits(&message.task_id, &task.id) && fits(&message.context_id, &task.context_id)
}

/// What an event adds to artifacts.
fn pieces(event: &TaskEvent) -> &[Part] {
    match &event.event {
        Some(Event::ArtifactUpdate(update)) => &update.artifact.as_ref().unwrap().parts,
        _ => &[],
    }
}

fn is_settled(state: TaskState) -> bool {
    matches!(state, TaskState::Completed | TaskState::Failed | TaskState::Canceled | TaskState::Rejected)
}

/// The task has settled as what its agent was sent allows.
fn check_outcome(
    text: &str,
    task: &Task,
    log: &[TaskEvent],
    messages: &HashMap<&str, usize>,
    resends: bool,
    tally: &mut Tally,
) {
    let asked = log.iter().filter(|event| state(event) == Some(TaskState::InputRequired)).count();
    let mine = task.history.iter().filter(|message| message.role() == Role::User);
    let mine: Vec<_> = mine.map(|message| texts(&message.parts)[0]).collect();
    let came: Vec<_> = mine.iter().map(|text| (*text, messages.get(text).copied().unwrap_or_default())).collect();
    assert!(resends || came.iter().all(|(_, count)| *count <= 1), "{text}: sent twice: {came:?}");
    tally.resent += came.iter().filter(|(_, count)| *count > 1).count();
    let expected: Vec<_> = came.iter().filter(|(_, count)| *count > 0).flat_map(|(text, _)| chunks(text)).collect();
    let held: Vec<_> = task.artifacts.iter().flat_map(|artifact| texts(&artifact.parts)).collect();
    assert!(task.artifacts.len() <= 1, "{text}: {task:?}");
    let (now, said) = (task.status.as_ref().unwrap(), log.last().and_then(status).unwrap());
    assert_eq!(now.state(), said.state(), "{text}");
    match now.state() {
        TaskState::Completed => {
            tally.completed += 1;
            tally.asked_again += asked.saturating_sub(1);
            assert!(came.last().unwrap().1 > 0, "{text}: done without its last message: {came:?}");
            assert_eq!(held, expected, "{text}: {log:?}");
        }
        TaskState::Canceled => {
            tally.canceled += 1;
            assert!(held.len() <= expected.len() && held == expected[..held.len()], "{text}: {log:?}");
        }
        TaskState::Failed => {
            let why = now.message.as_ref().map(|message| texts(&message.parts).concat()).unwrap_or_default();
            assert!(why.contains("outcome is unknown") && !resends, "{text}: {why}: {log:?}");
            // Nothing had come of it: else the agent had named the task, and it was to be taken up again.
            assert!(held.is_empty() && asked == 0, "{text}: {why}: {log:?}");
            tally.unknown += 1;
            tally.unsent += usize::from(!messages.contains_key(came[0].0));
        }
        other => panic!("{text}: {other:?}"),
    }
}
