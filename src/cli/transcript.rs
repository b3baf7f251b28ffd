//! A task's events as a person reads them: the agent's text as it comes, everything else as notes.

use std::{collections::HashSet, io};

use super::{
    print::{Screen, artifact_title, dim, parts, speaker},
    text::{message, one_line, part, sanitize, state},
};
use crate::proto::{
    a2a::{Artifact, Message, Role, Task, TaskArtifactUpdateEvent, TaskState, TaskStatus},
    gateway::{TaskEvent, task_event::Event},
};

/// What has been shown of a task, so that chunks go on where the last one ended and nothing is said twice.
#[derive(Debug, Default)]
pub(super) struct Transcript {
    /// The artifact whose text was shown last: the next chunk of it goes on in the same line.
    open: Option<String>,
    shown: HashSet<String>,
    last_message: String,
}

impl Transcript {
    /// Shows what happened.
    pub(super) fn show(&mut self, event: &TaskEvent, screen: &mut Screen) -> io::Result<()> {
        match &event.event {
            Some(Event::Snapshot(task)) => self.snapshot(task, event.sequence, screen),
            Some(Event::Message(spoken)) => self.message(spoken, screen),
            Some(Event::StatusUpdate(update)) => match &update.status {
                Some(status) => self.status(status, event.sequence, screen),
                None => Ok(()),
            },
            Some(Event::ArtifactUpdate(update)) => self.artifact(update, screen),
            None => Ok(()),
        }
    }

    /// Shows a task as it stands: what was said, what was made, and the state.
    pub(super) fn snapshot(&mut self, task: &Task, sequence: i64, screen: &mut Screen) -> io::Result<()> {
        screen.note(&dim(&format!(
            "task {} in context {}",
            one_line(&task.id, 300),
            one_line(&task.context_id, 300)
        )))?;
        for spoken in &task.history {
            self.message(spoken, screen)?;
        }
        self.results(task, sequence, screen)
    }

    /// Shows what was made of a task, and its state.
    pub(super) fn results(&mut self, task: &Task, sequence: i64, screen: &mut Screen) -> io::Result<()> {
        for artifact in &task.artifacts {
            self.begin(artifact, screen)?;
            screen.content(&parts(artifact))?;
        }
        task.status.as_ref().map_or(Ok(()), |status| self.status(status, sequence, screen))
    }

    fn message(&mut self, spoken: &Message, screen: &mut Screen) -> io::Result<()> {
        if self.is_repeated(spoken) {
            return Ok(());
        }
        self.open = None;
        match spoken.role() {
            Role::Agent => screen.block(&message(spoken)),
            Role::User | Role::Unspecified => screen.note(&format!("{} {}", speaker(spoken), dim(&message(spoken)))),
        }
    }

    fn status(&mut self, status: &TaskStatus, sequence: i64, screen: &mut Screen) -> io::Result<()> {
        let spoken = status.message.as_ref().filter(|spoken| !self.is_repeated(spoken)).map(message);
        let number = dim(&format!("#{sequence}"));
        let (now, state) = (status.state(), state(status.state()));
        if now != TaskState::Working {
            self.open = None;
            screen.end_line()?;
        }
        match (now, spoken) {
            // What completes a task or asks the caller is content: the answer, the question.
            (TaskState::Completed | TaskState::InputRequired | TaskState::AuthRequired, Some(spoken)) => {
                screen.block(&spoken)?;
                screen.note(&format!("{number} {state}"))
            }
            (_, Some(spoken)) => screen.note(&format!("{number} {state}: {spoken}")),
            // A second "working" that says nothing would only tear the text apart.
            (TaskState::Working, None) if self.open.is_some() => Ok(()),
            (_, None) => screen.note(&format!("{number} {state}")),
        }
    }

    fn artifact(&mut self, update: &TaskArtifactUpdateEvent, screen: &mut Screen) -> io::Result<()> {
        let Some(artifact) = &update.artifact else { return Ok(()) };
        let goes_on = update.append && self.open.as_ref() == Some(&artifact.artifact_id);
        if !goes_on {
            if !update.append && self.shown.contains(&artifact.artifact_id) {
                screen.note(&dim(&format!("{} is replaced", artifact_title(artifact))))?;
            }
            self.begin(artifact, screen)?;
        }
        // Chunks of text join; parts of other kinds get lines of their own.
        for chunk in &artifact.parts {
            match &chunk.content {
                Some(crate::proto::a2a::part::Content::Text(text)) => screen.content(&sanitize(text))?,
                _ => screen.block(&part(chunk))?,
            }
        }
        if update.last_chunk {
            self.open = None;
            screen.end_line()?;
        }
        Ok(())
    }

    /// Starts an artifact on a new line; tells its name where there is more than one.
    fn begin(&mut self, artifact: &Artifact, screen: &mut Screen) -> io::Result<()> {
        screen.end_line()?;
        self.shown.insert(artifact.artifact_id.clone());
        self.open = Some(artifact.artifact_id.clone());
        if self.shown.len() > 1 { screen.note(&dim(&artifact_title(artifact))) } else { Ok(()) }
    }

    /// Whether this very message was shown last: a direct reply comes as a message and again with the final status.
    fn is_repeated(&mut self, message: &Message) -> bool {
        let repeated = !message.message_id.is_empty() && self.last_message == message.message_id;
        self.last_message.clone_from(&message.message_id);
        repeated
    }
}

/// An event of one of many tasks, on one line.
pub(super) fn line(event: &TaskEvent, agent: &str) -> String {
    let what = match &event.event {
        Some(Event::Snapshot(task)) => status_line(task.status.as_ref()),
        Some(Event::StatusUpdate(update)) => status_line(update.status.as_ref()),
        Some(Event::Message(spoken)) => format!("{} {}", speaker(spoken), one_line(&message(spoken), 80)),
        Some(Event::ArtifactUpdate(update)) => update.artifact.as_ref().map_or_else(String::new, |artifact| {
            format!("{}: {}", artifact_title(artifact), one_line(&parts(artifact), 80))
        }),
        None => String::new(),
    };
    let time = event.time.map(|time| time.to_string()).unwrap_or_default();
    let place = format!("{} #{}", one_line(agent, 40), event.sequence);
    format!("{} {} {} {what}", dim(&time), one_line(&event.task_id, 40), dim(&place))
}

fn status_line(status: Option<&TaskStatus>) -> String {
    let Some(status) = status else { return String::new() };
    let spoken = status.message.as_ref().map(|spoken| format!(": {}", one_line(&message(spoken), 80)));
    format!("{}{}", state(status.state()), spoken.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        cli::print::tests::{said, screen},
        proto::{
            a2a::{Part, TaskStatusUpdateEvent, part::Content},
            well_known::Timestamp,
        },
    };

    fn event(sequence: i64, event: Event) -> TaskEvent {
        let time = Some(Timestamp::from_millis(0));
        TaskEvent { event: Some(event), task_id: "t1".to_owned(), sequence, time }
    }

    fn status(sequence: i64, state: TaskState, message: Option<Message>) -> TaskEvent {
        let status = Some(TaskStatus { state: state.into(), message, timestamp: None });
        event(sequence, Event::StatusUpdate(TaskStatusUpdateEvent { status, ..TaskStatusUpdateEvent::default() }))
    }

    fn chunk(sequence: i64, id: &str, text: &str, append: bool) -> TaskEvent {
        let parts = vec![Part { content: Some(Content::Text(text.to_owned())), ..Part::default() }];
        let artifact = Some(Artifact { artifact_id: id.to_owned(), parts, ..Artifact::default() });
        event(
            sequence,
            Event::ArtifactUpdate(TaskArtifactUpdateEvent { artifact, append, ..TaskArtifactUpdateEvent::default() }),
        )
    }

    /// What the events put onto standard output and standard error.
    fn shown(events: &[TaskEvent]) -> (String, String) {
        let (mut screen, out, err) = screen(false);
        let mut transcript = Transcript::default();
        for event in events {
            transcript.show(event, &mut screen).unwrap();
        }
        (out.text(), err.text())
    }

    #[test]
    fn chunks_join_and_states_are_notes() {
        let events = [
            status(2, TaskState::Working, None),
            chunk(3, "a", "Echo: ", false),
            status(4, TaskState::Working, None),
            chunk(5, "a", "hel\u{1b}[5mlo", true),
            status(6, TaskState::Completed, None),
        ];
        assert_eq!(shown(&events), ("Echo: hello\n".to_owned(), "#2 working\n#6 completed\n".to_owned()));
    }

    #[test]
    fn artifacts_that_alternate_or_are_replaced_are_told_apart() {
        let events =
            [chunk(1, "a", "1", false), chunk(2, "b", "2", false), chunk(3, "a", "3", true), chunk(4, "a", "4", false)];
        let notes = "artifact b\nartifact a\nartifact a is replaced\nartifact a\n";
        assert_eq!(shown(&events), ("1\n2\n3\n4".to_owned(), notes.to_owned()));
    }

    #[test]
    fn a_direct_reply_is_shown_once() {
        let reply = said("m", Role::Agent, "Hi\u{7}!");
        let events = [event(2, Event::Message(reply.clone())), status(3, TaskState::Completed, Some(reply))];
        assert_eq!(shown(&events), ("Hi!\n".to_owned(), "#3 completed\n".to_owned()));
    }

    #[test]
    fn questions_are_content_and_reasons_are_notes() {
        let events = [
            status(2, TaskState::InputRequired, Some(said("q", Role::Agent, "Which?"))),
            event(3, Event::Message(said("u", Role::User, "That"))),
            status(4, TaskState::Failed, Some(said("f", Role::Agent, "no\u{1b}[1m way"))),
        ];
        let notes = "#2 input-required\nyou: That\n#4 failed: no way\n";
        assert_eq!(shown(&events), ("Which?\n".to_owned(), notes.to_owned()));
    }

    #[test]
    fn many_tasks_get_one_line_an_event() {
        let failed = status(7, TaskState::Failed, Some(said("f", Role::Agent, "a\nb")));
        let plain = |event: &TaskEvent| anstream::adapter::strip_str(&line(event, "echo")).to_string();
        assert_eq!(plain(&failed), "1970-01-01T00:00:00.000Z t1 echo #7 failed: a b");
        assert_eq!(plain(&chunk(8, "a", "x\ny", true)), "1970-01-01T00:00:00.000Z t1 echo #8 artifact a: x y");
    }
}
