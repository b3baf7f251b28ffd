//! The built-in agent: says back what it is told, and obeys a few directives, so that everything the gateway does can
//! be tried without an agent of one's own.
//!
//! | message | what it does |
//! |---|---|
//! | `slow: N` | N chunks, 200 ms apart |
//! | `burst: N` | N chunks without a pause |
//! | `ask: Q` | asks Q and waits for input; the next message is then echoed or obeyed |
//! | `fail: WHY` | fails with that message |
//! | `message: TEXT` | a direct reply instead of a task |
//! | anything else | an artifact `Echo: <text>`, files and data added as they came |
//!
//! It is deterministic: after a restart it looks at what the task already holds and goes on from there, so a resumed
//! task has the same artifact as one that was never interrupted.

use std::{sync::Arc, time::Duration};

use futures::{
    FutureExt as _, StreamExt as _,
    future::{self, BoxFuture},
    stream,
};

use super::{Agent, AgentError, Cancel, Recovery, Turn, Update, UpdateStream};
use crate::{
    proto::a2a::{AgentCapabilities, AgentCard, AgentSkill, Artifact, Message, Part, Role, TaskState, part::Content},
    task::mint,
};

/// Between two chunks of `slow: N`.
const PAUSE: Duration = Duration::from_millis(200);

/// The most chunks that `slow` and `burst` make.
const MAX_CHUNKS: usize = 100_000;

/// The built-in echo agent.
#[derive(Debug, Default)]
pub struct Echo;

impl Agent for Echo {
    fn card(&self) -> Arc<AgentCard> {
        let skill = |id: &str, name: &str, description: &str, example: &str| AgentSkill {
            id: id.into(),
            name: name.into(),
            description: description.into(),
            tags: vec!["demo".into()],
            examples: vec![example.into()],
            ..AgentSkill::default()
        };
        Arc::new(AgentCard {
            name: "echo".into(),
            description: "The gateway's built-in agent: says back what it is told, and obeys simple directives.".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            capabilities: Some(AgentCapabilities { streaming: Some(true), ..AgentCapabilities::default() }),
            default_input_modes: vec!["text/plain".into(), "application/json".into()],
            default_output_modes: vec!["text/plain".into(), "application/json".into()],
            skills: vec![
                skill("echo", "Echo", "Says back the message's text, files and data.", "hello"),
                skill("slow", "Slow", "Streams N chunks, 200 ms apart.", "slow: 5"),
                skill("burst", "Burst", "Streams N chunks without a pause.", "burst: 1000"),
                skill("ask", "Ask", "Asks back and waits for the answer.", "ask: What is your name?"),
                skill("fail", "Fail", "Fails with the given reason.", "fail: out of paper"),
                skill("message", "Message", "Replies with a message instead of a task.", "message: pong"),
            ],
            ..AgentCard::default()
        })
    }

    fn recovery(&self) -> Recovery {
        Recovery::Continue
    }

    fn run(&self, turn: Turn) -> UpdateStream {
        match Directive::parse(&text_of(&turn.message)) {
            Directive::Slow(chunks) => chunked(&turn, chunks, Some(PAUSE)),
            Directive::Burst(chunks) => chunked(&turn, chunks, None),
            Directive::Ask(question) => updates([working(), status(TaskState::InputRequired, Some(&question))]),
            Directive::Fail(why) => updates([working(), status(TaskState::Failed, Some(&why))]),
            Directive::Message(text) => updates([Update::Reply(say(&text))]),
            Directive::Echo(text) => updates([working(), echo(&turn, &text), status(TaskState::Completed, None)]),
        }
    }

    fn cancel(&self, _cancel: Cancel) -> BoxFuture<'static, Result<Vec<Update>, AgentError>> {
        future::ready(Ok(Vec::new())).boxed()
    }
}

enum Directive {
    Slow(usize),
    Burst(usize),
    Ask(String),
    Fail(String),
    Message(String),
    Echo(String),
}

impl Directive {
    fn parse(text: &str) -> Self {
        let trimmed = text.trim();
        let Some((word, rest)) = trimmed.split_once(':') else { return Self::Echo(text.to_owned()) };
        let rest = rest.trim();
        let chunks = || rest.parse().map(|n: usize| n.min(MAX_CHUNKS));
        match word.to_ascii_lowercase().as_str() {
            "slow" => chunks().map_or_else(|_| Self::Echo(text.to_owned()), Self::Slow),
            "burst" => chunks().map_or_else(|_| Self::Echo(text.to_owned()), Self::Burst),
            "ask" => Self::Ask(rest.to_owned()),
            "fail" => Self::Fail(rest.to_owned()),
            "message" => Self::Message(rest.to_owned()),
            _ => Self::Echo(text.to_owned()),
        }
    }
}

/// `chunks` appended to this turn's artifact, less those that the task already holds, then COMPLETED.
fn chunked(turn: &Turn, chunks: usize, pause: Option<Duration>) -> UpdateStream {
    let artifact_id = artifact_id(turn);
    let done =
        turn.task.artifacts.iter().find(|known| known.artifact_id == artifact_id).map_or(0, |known| known.parts.len());
    let parts = stream::iter(done..chunks).then(move |i| {
        let update = Update::Artifact {
            artifact: artifact(&artifact_id, vec![text_part(format!("chunk {}/{chunks}\n", i + 1))]),
            append: i > 0,
            last_chunk: i + 1 == chunks,
            metadata: None,
        };
        async move {
            if let Some(pause) = pause {
                tokio::time::sleep(pause).await;
            }
            Ok(update)
        }
    });
    stream::iter([Ok(working())]).chain(parts).chain(stream::iter([Ok(status(TaskState::Completed, None))])).boxed()
}

fn echo(turn: &Turn, text: &str) -> Update {
    let attachments = turn.message.parts.iter().filter(|part| !matches!(part.content, Some(Content::Text(_))));
    let attachments: Vec<Part> = attachments.cloned().collect();
    let said = (!text.is_empty() || attachments.is_empty()).then(|| text_part(format!("Echo: {text}")));
    Update::Artifact {
        artifact: artifact(&artifact_id(turn), said.into_iter().chain(attachments).collect()),
        append: false,
        last_chunk: true,
        metadata: None,
    }
}

/// One artifact a turn: `echo-1`, `echo-2`, …
fn artifact_id(turn: &Turn) -> String {
    let turns = turn.task.history.iter().filter(|message| message.role() == Role::User).count();
    format!("echo-{}", turns.max(1))
}

fn artifact(id: &str, parts: Vec<Part>) -> Artifact {
    Artifact { artifact_id: id.to_owned(), name: "echo".into(), parts, ..Artifact::default() }
}

fn text_part(text: String) -> Part {
    Part { content: Some(Content::Text(text)), ..Part::default() }
}

fn text_of(message: &Message) -> String {
    let texts = message.parts.iter().filter_map(|part| match &part.content {
        Some(Content::Text(text)) => Some(text.as_str()),
        _ => None,
    });
    texts.collect::<Vec<_>>().join("\n")
}

fn say(text: &str) -> Message {
    Message {
        message_id: mint(),
        role: Role::Agent.into(),
        parts: vec![text_part(text.to_owned())],
        ..Message::default()
    }
}

fn working() -> Update {
    status(TaskState::Working, None)
}

fn status(state: TaskState, text: Option<&str>) -> Update {
    Update::Status { state, message: text.map(say), metadata: None }
}

fn updates<const N: usize>(updates: [Update; N]) -> UpdateStream {
    stream::iter(updates.map(Ok)).boxed()
}
