//! The mirror, against an agent whose log is known.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests fail by panicking")]

use std::collections::HashSet;

use proptest::prelude::*;

use super::*;
use crate::{
    proto::{
        a2a::{TaskArtifactUpdateEvent, TaskStatusUpdateEvent},
        well_known::{Kind, Value},
    },
    task::{self, Event, TaskId},
};

fn part(text: &str) -> Part {
    Part { content: Some(Content::Text(text.into())), ..Part::default() }
}

fn said(id: &str, text: &str) -> Message {
    Message { message_id: id.into(), role: Role::Agent.into(), parts: vec![part(text)], ..Message::default() }
}

fn asked(id: &str) -> Message {
    Message { role: Role::User.into(), ..said(id, "do it") }
}

fn artifact(id: &str, texts: &[&str]) -> Artifact {
    let parts = texts.iter().map(|text| part(text)).collect();
    Artifact { artifact_id: id.into(), parts, ..Artifact::default() }
}

fn in_state(state: TaskState, message: Option<Message>) -> TaskStatus {
    TaskStatus { state: state.into(), message, timestamp: None }
}

fn report(task_id: &str, state: TaskState, message: Option<Message>) -> Payload {
    Payload::StatusUpdate(TaskStatusUpdateEvent {
        task_id: task_id.into(),
        context_id: "c".into(),
        status: Some(in_state(state, message)),
        metadata: None,
    })
}

fn made(task_id: &str, artifact: Artifact, append: bool) -> Payload {
    Payload::ArtifactUpdate(TaskArtifactUpdateEvent {
        task_id: task_id.into(),
        context_id: "c".into(),
        artifact: Some(artifact),
        append,
        ..TaskArtifactUpdateEvent::default()
    })
}

fn fields(value: f64) -> Struct {
    let value = Value { kind: Some(Kind::Number(value)) };
    Struct { fields: [("progress".to_owned(), value)].into_iter().collect() }
}

/// The task as a caller has it when the turn begins.
fn begun() -> Task {
    Task {
        id: "gateway's".into(),
        status: Some(in_state(TaskState::Submitted, None)),
        history: vec![asked("m-1")],
        ..Task::default()
    }
}

fn agents(state: TaskState, message: Option<Message>) -> Task {
    Task {
        id: "t".into(),
        context_id: "c".into(),
        status: Some(in_state(state, message)),
        history: vec![asked("m-1")],
        ..Task::default()
    }
}

fn first_turn() -> Mirror {
    Mirror::new(&begun(), Upstream::default(), "m-1", false)
}

/// A second turn of a task in which the agent had asked `question`.
fn second_turn(question: Message) -> Mirror {
    let mut task = begun();
    task.status = Some(in_state(TaskState::Working, None));
    task.history.extend([question, asked("m-2")]);
    Mirror::new(&task, Upstream { task_id: "t".into(), context_id: "c".into() }, "m-2", true)
}

/// The updates but for `Known`, in words.
fn words(updates: &[Update]) -> Vec<String> {
    let texts = |parts: &[Part]| {
        let texts = parts.iter().map(|part| match &part.content {
            Some(Content::Text(text)) => text.as_str(),
            _ => "?",
        });
        texts.collect::<Vec<_>>().join(" ")
    };
    let words = updates.iter().filter_map(|update| match update {
        Update::Status { state, message, .. } => {
            let text = message.as_ref().map(|message| texts(&message.parts)).unwrap_or_default();
            Some(format!("{} {text}", state::word(*state)).trim().to_owned())
        }
        Update::Artifact { artifact, append, .. } => {
            let sign = if *append { "+=" } else { "=" };
            Some(format!("{} {sign} {}", artifact.artifact_id, texts(&artifact.parts)))
        }
        Update::Reply(message) => Some(format!("reply {}", texts(&message.parts))),
        Update::Known(_) => None,
        other => Some(format!("{other:?}")),
    });
    words.collect()
}

/// Folds an update as the engine does.
fn fold(task: &mut Task, update: Update) {
    let payload = match update {
        Update::Status { state, message, metadata } => Payload::StatusUpdate(TaskStatusUpdateEvent {
            status: Some(in_state(state, message)),
            metadata,
            ..TaskStatusUpdateEvent::default()
        }),
        Update::Artifact { artifact, append, last_chunk, metadata } => {
            Payload::ArtifactUpdate(TaskArtifactUpdateEvent {
                artifact: Some(artifact),
                append,
                last_chunk,
                metadata,
                ..TaskArtifactUpdateEvent::default()
            })
        }
        Update::Reply(message) => Payload::Message(message),
        Update::Known(_) | Update::Sending | Update::NotSent => return,
    };
    let state = task.status.as_ref().unwrap().state();
    task::apply(task, &Event::new(TaskId::mint(), 1, 0, state, payload));
}

#[test]
fn the_task_is_named_once_and_its_context_is_the_first_one() {
    let mut mirror = first_turn();
    let updates = mirror.snapshot(agents(TaskState::Working, None), Snapshot::Fresh);
    let upstream = Upstream { task_id: "t".into(), context_id: "c".into() };
    assert_eq!(updates[0], Update::Known(upstream.clone()));
    for again in [agents(TaskState::Working, None), Task { context_id: "d".into(), ..agents(TaskState::Working, None) }]
    {
        assert_eq!(mirror.snapshot(again, Snapshot::Again), []);
    }
    assert_eq!(mirror.event(report("t", TaskState::Working, None)), []);
    assert_eq!(mirror.upstream, upstream);
    // A task that the agent had named before is not named again.
    let mut mirror = Mirror::new(&begun(), upstream, "m-1", false);
    assert_eq!(words(&mirror.snapshot(agents(TaskState::Working, None), Snapshot::Again)), ["working"]);
}

#[test]
fn events_of_other_tasks_are_dropped() {
    let mut mirror = first_turn();
    mirror.event(report("t", TaskState::Working, None));
    assert_eq!(mirror.event(report("u", TaskState::Completed, None)), []);
    assert_eq!(mirror.event(made("u", artifact("a", &["1"]), false)), []);
    let other = Task { id: "u".into(), ..agents(TaskState::Failed, None) };
    assert_eq!(mirror.snapshot(other, Snapshot::Again), []);
    assert!(!mirror.is_over());
    assert_eq!(mirror.upstream.task_id, "t");
    // One without an id is the turn's own.
    assert_eq!(words(&mirror.event(report("", TaskState::Completed, None))), ["completed"]);
    assert!(mirror.is_over());
}

#[test]
fn what_a_snapshot_has_beyond_what_was_told_is_told() {
    let mut mirror = first_turn();
    mirror.event(made("t", artifact("a", &["1"]), false));
    mirror.event(made("t", artifact("a", &["2"]), true));
    let shows = |state, artifacts: &[Artifact]| Task { artifacts: artifacts.to_vec(), ..agents(state, None) };
    let mut look = |state, artifacts: &[Artifact]| words(&mirror.snapshot(shows(state, artifacts), Snapshot::Again));
    let nothing: [&str; 0] = [];
    assert_eq!(look(TaskState::Working, &[artifact("a", &["1", "2"])]), ["working"]);
    assert_eq!(look(TaskState::Working, &[artifact("a", &["1", "2"])]), nothing, "the same");
    let more = artifact("a", &["1", "2", "3", "4"]);
    assert_eq!(look(TaskState::Working, &[more.clone(), artifact("b", &["x"])]), ["a += 3 4", "b = x"]);
    assert_eq!(look(TaskState::Working, &[artifact("a", &["1", "2", "3"])]), nothing, "an older one");
    let mut holed = more.clone();
    holed.parts.insert(1, Part::default());
    assert_eq!(look(TaskState::Working, &[holed.clone()]), nothing, "a part without content is none");
    holed.parts.push(part("5"));
    assert_eq!(look(TaskState::Working, &[holed]), ["a += 5"]);
    let other = artifact("a", &["1", "2", "x", "4", "5"]);
    assert_eq!(look(TaskState::Working, &[other]), ["a = 1 2 x 4 5"], "another one");
    assert_eq!(look(TaskState::Completed, &[artifact("a", &["z"])]), ["a = z", "completed"], "shorter, but the last");
}

#[test]
fn a_restarted_gateway_tells_only_what_its_log_lacks() {
    let mut task = begun();
    task.status = Some(in_state(TaskState::Working, Some(said("a-1", "begun"))));
    task.artifacts = vec![artifact("a", &["1", "2"])];
    let mut mirror = Mirror::new(&task, Upstream { task_id: "t".into(), context_id: "c".into() }, "m-1", false);
    let now = Task {
        artifacts: vec![artifact("a", &["1", "2", "3"])],
        history: vec![asked("m-1"), said("a-1", "begun"), said("a-2", "half")],
        ..agents(TaskState::Completed, Some(said("a-3", "done")))
    };
    assert_eq!(words(&mirror.snapshot(now, Snapshot::Again)), ["a += 3", "working half", "completed done"]);
}

#[test]
fn messages_that_were_missed_come_from_the_history_once() {
    let mut mirror = first_turn();
    mirror.event(report("t", TaskState::Working, Some(said("a-1", "one"))));
    let now = |upto: usize| Task {
        history: [said("a-0", "before this turn"), asked("m-1"), said("a-1", "one"), said("a-2", "two"), asked("m-9")]
            .into_iter()
            .chain([said("a-3", "three"), said("", "without an id")])
            .take(upto)
            .collect(),
        ..agents(TaskState::Working, Some(said("a-4", "now")))
    };
    assert_eq!(words(&mirror.snapshot(now(4), Snapshot::Again)), ["working two", "working now"]);
    assert_eq!(words(&mirror.snapshot(now(7), Snapshot::Again)), ["working three"]);
    assert_eq!(words(&mirror.snapshot(now(7), Snapshot::Again)), [""; 0]);
    // What comes with the stream itself has missed nothing, and a history without the turn's message says nothing of it.
    let mut mirror = first_turn();
    assert_eq!(words(&mirror.snapshot(now(4), Snapshot::Fresh)), ["working now"]);
    let mut mirror = Mirror::new(&begun(), Upstream::default(), "elsewhere", false);
    assert_eq!(words(&mirror.snapshot(now(4), Snapshot::Again)), ["working now"]);
}

#[test]
fn states_that_a2a_does_not_have_change_nothing() {
    let mut mirror = first_turn();
    mirror.event(report("t", TaskState::Working, None));
    assert_eq!(mirror.event(report("t", TaskState::Unspecified, None)), []);
    assert_eq!(mirror.event(report("t", TaskState::Submitted, None)), []);
    let told = mirror.event(report("t", TaskState::Unspecified, Some(said("a-1", "pondering"))));
    assert_eq!(words(&told), ["working pondering"]);
    assert_eq!(mirror.event(report("t", TaskState::Unspecified, Some(said("a-1", "pondering")))), []);
    assert_eq!(mirror.state(), TaskState::Working);
    assert!(!mirror.is_over());
}

#[test]
fn a_failure_without_a_word_gets_some() {
    for (state, text) in
        [(TaskState::Failed, "failed, without saying why"), (TaskState::Rejected, "without saying why")]
    {
        let empty = Message { parts: Vec::new(), ..said("a-1", "") };
        for message in [None, Some(empty)] {
            let updates = first_turn().event(report("", state, message));
            assert!(words(&updates)[0].contains(text), "{updates:?}");
        }
        assert_eq!(
            words(&first_turn().event(report("", state, Some(said("a-1", "no paper")))))[0],
            format!("{} no paper", state::word(state))
        );
    }
    assert_eq!(words(&first_turn().event(report("", TaskState::Canceled, None))), ["canceled"]);
}

#[test]
fn the_question_that_the_turn_answers_is_not_asked_again() {
    let question = || said("q-1", "your name?");
    let same_words = said("q-9", "your name?");
    for stale in [Some(question()), Some(same_words), None] {
        for how in [Snapshot::Fresh, Snapshot::Again] {
            let mut mirror = second_turn(question());
            assert_eq!(mirror.snapshot(agents(TaskState::InputRequired, stale.clone()), how), [], "{stale:?}");
            assert!(mirror.is_waiting() && !mirror.is_over());
        }
        let mut mirror = second_turn(question());
        assert_eq!(mirror.event(report("t", TaskState::InputRequired, stale.clone())), []);
        // Once the agent has begun, the same words are a question again.
        assert_eq!(mirror.event(report("t", TaskState::Working, None)), []);
        assert!(!mirror.is_waiting());
        assert_eq!(mirror.event(report("t", TaskState::InputRequired, stale.clone())).len(), 1);
        assert!(mirror.is_over());
        // So they are in a stream that has shown the task as it was before: what follows has happened since.
        for before in [TaskState::InputRequired, TaskState::Submitted] {
            let mut mirror = second_turn(question());
            assert_eq!(mirror.event(Payload::Task(agents(before, Some(question())))), []);
            // Reading the task proves nothing yet: the stream may have broken off before the agent began.
            let read = agents(TaskState::InputRequired, stale.clone());
            assert_eq!(mirror.snapshot(read, Snapshot::Again), []);
            assert!(mirror.is_waiting() && !mirror.is_over());
            assert_eq!(mirror.event(report("t", TaskState::InputRequired, stale.clone())).len(), 1, "{stale:?}");
            assert!(mirror.is_over());
        }
    }
    // Another question is an answer.
    let mut mirror = second_turn(question());
    let next = mirror.event(report("t", TaskState::InputRequired, Some(said("q-2", "your age?"))));
    assert_eq!((words(&next), mirror.is_over()), (vec!["input-required your age?".to_owned()], true));
    // So is a result, an artifact, or what the history says.
    let mut mirror = second_turn(question());
    mirror.event(made("t", artifact("a", &["1"]), false));
    assert!(!mirror.is_waiting());
    let mut mirror = second_turn(question());
    assert_eq!(words(&mirror.event(report("t", TaskState::Completed, None))), ["completed"]);
    assert!(mirror.is_over());
    let mut mirror = second_turn(question());
    let history = vec![asked("m-2"), said("a-2", "thanks")];
    let again = Task { history, ..agents(TaskState::InputRequired, Some(question())) };
    assert_eq!(words(&mirror.snapshot(again, Snapshot::Again)), ["working thanks", "input-required your name?"]);
}

#[test]
fn an_agent_that_insists_on_its_question_is_believed_in_the_end() {
    let mut mirror = second_turn(said("q-1", "your name?"));
    let shown = || agents(TaskState::InputRequired, Some(said("q-1", "your name?")));
    assert_eq!(mirror.snapshot(shown(), Snapshot::Again), []);
    mirror.stop_waiting();
    assert_eq!(words(&mirror.snapshot(shown(), Snapshot::Again)), ["input-required your name?"]);
    assert!(mirror.is_over());
}

#[test]
fn words_of_the_gateway_in_between_do_not_make_a_question_new() {
    let mut task = begun();
    task.status = Some(in_state(TaskState::Working, None));
    let refusal = said("gateway's own", "The agent refused the message");
    task.history.extend([said("q-1", "your name?"), asked("m-2"), refusal, asked("m-3")]);
    let mut mirror = Mirror::new(&task, Upstream { task_id: "t".into(), context_id: "c".into() }, "m-3", true);
    let shown = agents(TaskState::InputRequired, Some(said("q-1", "your name?")));
    assert_eq!(mirror.snapshot(shown, Snapshot::Again), []);
    assert!(mirror.is_waiting());
}

#[test]
fn metadata_that_was_told_live_is_known_to_snapshots() {
    let mut mirror = first_turn();
    let with = |value| Task { metadata: Some(fields(value)), ..agents(TaskState::Working, None) };
    assert_eq!(mirror.snapshot(with(1.0), Snapshot::Fresh).len(), 2);
    let Payload::StatusUpdate(update) = report("t", TaskState::Working, None) else { unreachable!() };
    let live = TaskStatusUpdateEvent { metadata: Some(fields(2.0)), ..update };
    assert_eq!(mirror.event(Payload::StatusUpdate(live)).len(), 1);
    assert_eq!(mirror.snapshot(with(2.0), Snapshot::Again), []);
    // What it became while nobody listened, though it was so before.
    assert_eq!(mirror.snapshot(with(1.0), Snapshot::Again).len(), 1);
}

/// What an agent does next.
#[derive(Clone, Debug)]
enum Deed {
    Work,
    Say,
    Note,
    AskForCredentials,
    Make { id: u8, append: bool },
}

/// What a client hears next.
#[derive(Clone, Debug)]
enum Heard {
    /// The next event, as long as none was lost.
    Live,
    /// Events are lost: from here on the task is read.
    Lose(usize),
    /// A snapshot as it stood so many events ago.
    Snapshot { age: usize, fresh: bool },
}

fn deed() -> impl Strategy<Value = Deed> {
    prop_oneof![
        1 => Just(Deed::Work),
        2 => Just(Deed::Say),
        1 => Just(Deed::Note),
        1 => Just(Deed::AskForCredentials),
        6 => (0..3_u8, prop::bool::weighted(0.7)).prop_map(|(id, append)| Deed::Make { id, append }),
    ]
}

fn heard() -> impl Strategy<Value = Heard> {
    prop_oneof![
        8 => Just(Heard::Live),
        1 => (1..6_usize).prop_map(Heard::Lose),
        2 => (prop_oneof![3 => Just(0_usize), 1 => 1..5_usize], any::<bool>())
            .prop_map(|(age, fresh)| Heard::Snapshot { age, fresh }),
    ]
}

/// An agent's log, and its task after each event; before the first, too.
fn lived(deeds: &[Deed], last: TaskState) -> (Vec<Payload>, Vec<Task>) {
    let mut events = Vec::new();
    for (n, deed) in deeds.iter().enumerate() {
        events.push(match deed {
            Deed::Work => report("t", TaskState::Working, None),
            Deed::Say => report("t", TaskState::Working, Some(said(&format!("a-{n}"), &format!("word {n}")))),
            Deed::Note => {
                let Payload::StatusUpdate(update) = report("t", TaskState::Working, None) else { unreachable!() };
                let metadata = Some(fields((n % 3) as f64));
                Payload::StatusUpdate(TaskStatusUpdateEvent { metadata, ..update })
            }
            Deed::AskForCredentials => {
                report("t", TaskState::AuthRequired, Some(said(&format!("a-{n}"), &format!("sign in {n}"))))
            }
            Deed::Make { id, append } => {
                made("t", artifact(&format!("artifact {id}"), &[&format!("chunk {n}")]), *append)
            }
        });
    }
    events.push(report("t", last, Some(said("a-last", "over"))));
    let mut task = agents(TaskState::Submitted, None);
    let mut tasks = vec![task.clone()];
    for event in &events {
        let state = task.status.as_ref().unwrap().state();
        task::apply(&mut task, &Event::new(TaskId::mint(), 1, 0, state, event.clone()));
        tasks.push(task.clone());
    }
    (events, tasks)
}

/// The parts of each artifact.
fn contents(task: &Task) -> Vec<(String, Vec<Part>)> {
    let mut contents: Vec<_> =
        task.artifacts.iter().map(|artifact| (artifact.artifact_id.clone(), artifact.parts.clone())).collect();
    contents.sort_by(|(a, _), (b, _)| a.cmp(b));
    contents
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_lost_repeated_or_stale_the_told_task_becomes_the_agents(
        deeds in prop::collection::vec(deed(), 0..24),
        hears in prop::collection::vec(heard(), 0..40),
        last in prop::sample::select(vec![TaskState::Completed, TaskState::Failed, TaskState::Canceled, TaskState::Rejected]),
    ) {
        let (events, tasks) = lived(&deeds, last);
        let states: HashSet<String> = tasks.iter().flat_map(contents).map(|one| format!("{one:?}")).collect();
        let mut mirror = first_turn();
        let mut told = begun();
        let (mut at, mut live, mut names) = (0, true, 0);
        let mut finish = [Heard::Lose(events.len()), Heard::Snapshot { age: 0, fresh: false }].into_iter();
        let mut hears = hears.into_iter();
        while !mirror.is_over() {
            let updates = match hears.next().or_else(|| finish.next()).expect("the settled snapshot ends the turn") {
                Heard::Live if live && at < events.len() => {
                    at += 1;
                    mirror.event(events[at - 1].clone())
                }
                Heard::Live => continue,
                Heard::Lose(events_lost) => {
                    at = (at + events_lost).min(events.len());
                    live = false;
                    continue;
                }
                Heard::Snapshot { age, fresh } => {
                    // Who has heard an old one does not trust single events any more.
                    live &= age == 0;
                    let how = if fresh { Snapshot::Fresh } else { Snapshot::Again };
                    mirror.snapshot(tasks[at.saturating_sub(age)].clone(), how)
                }
            };
            for update in updates {
                names += usize::from(matches!(update, Update::Known(_)));
                fold(&mut told, update);
                for one in contents(&told) {
                    prop_assert!(states.contains(&format!("{one:?}")), "never the agent's: {one:?}");
                    let distinct: HashSet<_> = one.1.iter().map(|part| format!("{part:?}")).collect();
                    prop_assert_eq!(distinct.len(), one.1.len(), "a chunk came twice: {:?}", one);
                }
            }
        }
        let theirs = tasks.last().unwrap();
        prop_assert_eq!(contents(&told), contents(theirs));
        prop_assert_eq!(&told.status, &theirs.status);
        prop_assert_eq!(&told.metadata, &theirs.metadata);
        prop_assert_eq!(names, 1);
    }
}
