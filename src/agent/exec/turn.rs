//! One turn: what the command gets, what becomes of its output, and what its end means.

use std::{process::ExitStatus, sync::Arc};

use bytes::Bytes;
use serde::Serialize;
use serde_json::value::RawValue;

use super::{ExecSettings, Input, Output, Shared, card::media_type, command::Running, keeper::Exit, output::End};
use crate::{
    agent::{AgentError, Emitter, Turn, Update},
    error::ErrorKind,
    proto::{
        a2a::{Artifact, Message, Part, Role, TaskState, part::Content},
        well_known::Struct,
    },
    task::{Dialect, mint},
    wire::encode,
};

/// Runs a command for a turn.
pub(super) async fn run(emitter: Emitter, shared: Arc<Shared>, turn: Turn) -> Result<(), AgentError> {
    let settings = &shared.settings;
    let input = match settings.input {
        Input::Text => text_input(&turn.message)?,
        Input::Json => json_input(&turn)?,
    };
    emitter.emit(Update::Sending).await;
    let mut command = match Running::start(&shared, &turn, input) {
        Ok(command) => command,
        Err(problem) => {
            emitter.emit(Update::NotSent).await;
            return Err(AgentError::failed(problem));
        }
    };
    let artifact_id = artifact_id(&turn);
    // The command may run for long, and the task may be large.
    drop(turn);
    emitter.emit(Update::Status { state: TaskState::Working, message: None, metadata: None }).await;
    let end = hand_on(&emitter, &mut command, &artifact_id, settings.output).await;
    let failure = outcome(&mut command, end, settings).await?;
    // What is left of it is asked to end before anybody hears that the task has ended.
    drop(command);
    let state = if failure.is_none() { TaskState::Completed } else { TaskState::Failed };
    emitter.emit(Update::Status { state, message: failure.map(say), metadata: None }).await;
    Ok(())
}

fn text_input(message: &Message) -> Result<Vec<u8>, AgentError> {
    let texts = message.parts.iter().filter_map(|part| match &part.content {
        Some(Content::Text(text)) => Some(text.as_str()),
        _ => None,
    });
    let texts: Vec<_> = texts.collect();
    if texts.is_empty() {
        let problem = "The agent takes text: the message has no text part.";
        return Err(AgentError::refused(ErrorKind::ContentTypeNotSupported, problem));
    }
    Ok(texts.join("\n").into_bytes())
}

fn json_input(turn: &Turn) -> Result<Vec<u8>, AgentError> {
    #[derive(Serialize)]
    struct Object<'a> {
        task: &'a RawValue,
        message: &'a RawValue,
        #[serde(skip_serializing_if = "Option::is_none")]
        metadata: Option<&'a Struct>,
    }
    let (task, message) = (encode::task(Dialect::V1, &turn.task), encode::message(Dialect::V1, &turn.message));
    let write = || {
        let (task, message) = (serde_json::from_slice(&task)?, serde_json::from_slice(&message)?);
        serde_json::to_vec(&Object { task, message, metadata: turn.metadata.as_ref() })
    };
    write().map_err(|error: serde_json::Error| {
        tracing::error!(task = turn.task.id, %error, "a command's input cannot be written as JSON");
        AgentError::failed("The message cannot be given to the command.")
    })
}

/// One artifact a turn: `output-1`, `output-2`, …
fn artifact_id(turn: &Turn) -> String {
    let turns = turn.task.history.iter().filter(|message| message.role() == Role::User).count();
    format!("output-{}", turns.max(1))
}

/// Hands the command's output on as it comes.
async fn hand_on(emitter: &Emitter, command: &mut Running, artifact_id: &str, output: Output) -> End {
    let mut append = false;
    loop {
        let chunk = command.chunk().await;
        let content = chunk.content.or_else(|| (append && chunk.end.is_some()).then(|| nothing(output)));
        if let Some(content) = content {
            let media_type = if output == Output::Raw { media_type(output) } else { "" };
            let part = Part { content: Some(content), media_type: media_type.into(), ..Part::default() };
            let artifact = Artifact {
                artifact_id: artifact_id.to_owned(),
                name: "output".into(),
                parts: vec![part],
                ..Artifact::default()
            };
            let last_chunk = chunk.end.is_some();
            emitter.emit(Update::Artifact { artifact, append, last_chunk, metadata: None }).await;
            append = true;
        }
        if let Some(end) = chunk.end {
            return end;
        }
    }
}

/// What the last chunk holds when all was handed on before the end was known: A2A wants a part in every artifact.
fn nothing(output: Output) -> Content {
    match output {
        Output::Text => Content::Text(String::new()),
        Output::Raw => Content::Raw(Bytes::new()),
    }
}

/// Why the command failed; none: it did what it was to do.
async fn outcome(command: &mut Running, output: End, settings: &ExecSettings) -> Result<Option<String>, AgentError> {
    if output == End::Over {
        let problem = format!("The command wrote more than the {} bytes that are allowed.", settings.max_output);
        return Ok(Some(problem));
    }
    let Some(exit) = command.exit().await else {
        return Err(AgentError::failed("The gateway stopped while the command ran."));
    };
    let Some(problem) = problem(exit, settings) else { return Ok(None) };
    let last_words = command.last_words().await;
    Ok(Some(if last_words.is_empty() { problem } else { format!("{problem}\n{last_words}") }))
}

fn problem(exit: Exit, settings: &ExecSettings) -> Option<String> {
    if let Some(timeout) = settings.timeout.filter(|_| exit.overdue) {
        return Some(format!("The command took longer than its timeout of {timeout:?}."));
    }
    let Some(status) = exit.status else { return Some("The command ended in an unknown way.".into()) };
    if status.success() {
        return None;
    }
    Some(match (status.code(), signal(status)) {
        (Some(code), _) => format!("The command exited with status {code}."),
        (None, Some(signal)) => format!("The command was killed by signal {signal}."),
        (None, None) => "The command ended in an unknown way.".into(),
    })
}

#[cfg(unix)]
fn signal(status: ExitStatus) -> Option<i32> {
    std::os::unix::process::ExitStatusExt::signal(&status)
}

#[cfg(not(unix))]
fn signal(_: ExitStatus) -> Option<i32> {
    None
}

fn say(text: String) -> Message {
    let part = Part { content: Some(Content::Text(text)), ..Part::default() };
    Message { message_id: mint(), role: Role::Agent.into(), parts: vec![part], ..Message::default() }
}
