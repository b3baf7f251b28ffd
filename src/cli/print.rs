//! The terminal: content on standard output, notes about it on standard error, and how records look.
//!
//! Colour is for terminals only and honours `NO_COLOR`; `anstream` takes it out elsewhere.

use std::io::{self, IsTerminal as _, Write};

use owo_colors::{OwoColorize as _, Style};
use serde::Serialize;

use super::text::{
    Cell, message, one_below_the_other, one_line, part, relative, sanitize, state, state_name, state_style, table,
};
use crate::proto::{
    a2a::{AgentCard, Artifact, Message, Role, TaskState},
    gateway::{AgentInfo, AgentState, TaskRecord},
    well_known::Timestamp,
};

/// Where commands write. Content may come in pieces of a line; notes are whole lines.
pub(super) struct Screen {
    out: Box<dyn Write>,
    err: Box<dyn Write>,
    /// Whether both end up on one terminal, so that a note must not start in the midst of a line of content.
    shared: bool,
    mid_line: bool,
}

impl Screen {
    /// Standard output and standard error. `json`: output goes out byte for byte.
    pub(super) fn standard(json: bool) -> Self {
        let out: Box<dyn Write> = if json { Box::new(io::stdout()) } else { Box::new(anstream::stdout()) };
        let shared = io::stdout().is_terminal() && io::stderr().is_terminal();
        Self::new(out, Box::new(anstream::stderr()), shared)
    }

    pub(super) fn new(out: Box<dyn Write>, err: Box<dyn Write>, shared: bool) -> Self {
        Self { out, err, shared, mid_line: false }
    }

    /// Writes content where the last one ended.
    pub(super) fn content(&mut self, text: &str) -> io::Result<()> {
        self.out.write_all(text.as_bytes())?;
        self.mid_line = if text.is_empty() { self.mid_line } else { !text.ends_with('\n') };
        self.out.flush()
    }

    /// Ends the line of content that has been begun, if any.
    pub(super) fn end_line(&mut self) -> io::Result<()> {
        if self.mid_line { self.content("\n") } else { Ok(()) }
    }

    /// Writes content on lines of its own.
    pub(super) fn block(&mut self, text: &str) -> io::Result<()> {
        self.end_line()?;
        self.content(text)?;
        self.end_line()
    }

    /// Writes a note: one or more whole lines.
    pub(super) fn note(&mut self, text: &str) -> io::Result<()> {
        if self.shared {
            self.end_line()?;
        }
        writeln!(self.err, "{}", text.trim_end_matches('\n'))
    }

    /// Writes a value as one line of JSON.
    pub(super) fn json(&mut self, value: &impl Serialize) -> io::Result<()> {
        let mut line = serde_json::to_string(value)?;
        line.push('\n');
        self.content(&line)
    }
}

/// A note that stands back.
pub(super) fn dim(text: &str) -> String {
    text.dimmed().to_string()
}

/// A task's state; unknown when the gateway left it out.
pub(super) fn record_state(record: &TaskRecord) -> TaskState {
    record.task.as_ref().and_then(|task| task.status.as_ref()).map_or(TaskState::Unspecified, |status| status.state())
}

/// A task with its messages and artifacts.
pub(super) fn record(record: &TaskRecord, now: Timestamp) -> String {
    let task = record.task.clone().unwrap_or_default();
    let when = |time: Option<Timestamp>| time.map(|time| format!("{time} ({})", relative(time, now)));
    let lines = [
        ("Task", Some(one_line(&task.id, 300))),
        ("State", Some(state(record_state(record)))),
        ("Agent", Some(one_line(&record.agent, 300))),
        ("Context", Some(one_line(&task.context_id, 300))),
        ("Created", when(record.create_time)),
        ("Updated", when(record.update_time)),
        ("Deadline", when(record.deadline)),
        ("Sequence", Some(record.sequence.to_string())),
    ];
    let mut text = String::new();
    for (name, value) in lines.into_iter().filter_map(|(name, value)| Some((name, value?))) {
        text.push_str(&format!("{}  {value}\n", format!("{name:<8}").dimmed()));
    }
    let status_message = task.status.as_ref().and_then(|status| status.message.as_ref());
    for spoken in task.history.iter().chain(status_message) {
        text.push_str(&format!("\n{} {}\n", speaker(spoken), message(spoken)));
    }
    for artifact in &task.artifacts {
        text.push_str(&format!("\n{}\n{}\n", artifact_title(artifact).bold(), parts(artifact)));
    }
    text
}

/// Who speaks: `you:`, `agent:`.
pub(super) fn speaker(message: &Message) -> String {
    match message.role() {
        Role::User => "you:".blue().to_string(),
        Role::Agent => "agent:".green().to_string(),
        Role::Unspecified => "unknown:".dimmed().to_string(),
    }
}

/// An artifact's name, or else its id.
pub(super) fn artifact_title(artifact: &Artifact) -> String {
    let name = if artifact.name.is_empty() { &artifact.artifact_id } else { &artifact.name };
    format!("artifact {}", one_line(name, 100))
}

/// An artifact's parts, one after the other.
pub(super) fn parts(artifact: &Artifact) -> String {
    one_below_the_other(artifact.parts.iter().map(part))
}

/// Tasks, one a line.
pub(super) fn records(records: &[TaskRecord], now: Timestamp) -> String {
    let rows = records.iter().map(|record| {
        let task = record.task.clone().unwrap_or_default();
        let state = record_state(record);
        let said = task.status.and_then(|status| status.message).or_else(|| task.history.last().cloned());
        [
            Cell(one_line(&task.id, 40), Style::new()),
            Cell(state_name(state).to_owned(), state_style(state)),
            Cell(one_line(&record.agent, 24), Style::new()),
            Cell(record.update_time.map(|time| relative(time, now)).unwrap_or_default(), Style::new().dimmed()),
            Cell(said.map(|said| one_line(&message(&said), 40)).unwrap_or_default(), Style::new()),
        ]
    });
    table(["TASK", "STATE", "AGENT", "UPDATED", "LAST MESSAGE"], rows.collect())
}

/// Agents, one a line; below it, why one takes no tasks.
pub(super) fn agents(agents: &[AgentInfo]) -> String {
    let rows = agents.iter().map(|agent| {
        let (state, style) = match agent.state() {
            AgentState::Ready => ("ready", Style::new().green()),
            AgentState::Unreachable => ("unreachable", Style::new().red()),
            AgentState::Unspecified => ("unknown", Style::new().dimmed()),
        };
        let running = match agent.max_concurrency {
            Some(max) => format!("{} of {max}", agent.running_tasks),
            None => agent.running_tasks.to_string(),
        };
        let name = format!("{}{}", one_line(&agent.name, 40), if agent.default { " (default)" } else { "" });
        [
            Cell(name, Style::new().bold()),
            Cell(state.to_owned(), style),
            Cell(running, Style::new()),
            Cell(agent.queued_tasks.to_string(), Style::new()),
            Cell(one_line(&agent.description, 80), Style::new()),
        ]
    });
    let table = table(["AGENT", "STATE", "RUNNING", "QUEUED", "DESCRIPTION"], rows.collect());
    // The heading has no agent, and so no problem.
    let problems = std::iter::once("").chain(agents.iter().map(|agent| agent.problem.as_str()));
    table.lines().zip(problems).fold(String::new(), |mut text, (line, problem)| {
        text.push_str(&format!("{line}\n"));
        let problem = one_line(problem, usize::MAX);
        if !problem.is_empty() {
            text.push_str(&format!("  {}\n", problem.red()));
        }
        text
    })
}

/// An agent's card.
pub(super) fn card(card: &AgentCard) -> String {
    let mut text = format!("{} {}\n", one_line(&card.name, 200).bold(), one_line(&card.version, 100).dimmed());
    if !card.description.is_empty() {
        text.push_str(&format!("{}\n", sanitize(&card.description)));
    }
    let mut line = |name: &str, value: String| {
        if !value.is_empty() {
            text.push_str(&format!("{}  {value}\n", format!("{name:<8}").dimmed()));
        }
    };
    let provider = card.provider.clone().unwrap_or_default();
    line("Provider", one_line(&format!("{} {}", provider.organization, provider.url), 300));
    let capabilities = card.capabilities.clone().unwrap_or_default();
    let able = [("streaming", capabilities.streaming), ("push notifications", capabilities.push_notifications)];
    let able: Vec<_> = able.iter().filter(|(_, able)| *able == Some(true)).map(|(name, _)| *name).collect();
    line("Can do", able.join(", "));
    line("Takes", one_line(&card.default_input_modes.join(", "), 300));
    line("Gives", one_line(&card.default_output_modes.join(", "), 300));
    for door in &card.supported_interfaces {
        let words = [&door.protocol_binding, &door.protocol_version, &door.url, &door.tenant];
        line("Door", one_line(&words.map(String::as_str).join(" "), 500));
    }
    for skill in &card.skills {
        let name = one_line(if skill.name.is_empty() { &skill.id } else { &skill.name }, 100);
        line("Skill", format!("{}  {}", name.bold(), one_line(&skill.description, 300)));
    }
    text
}

#[cfg(test)]
pub(super) mod tests {
    use std::{cell::RefCell, rc::Rc};

    use super::*;
    use crate::proto::a2a::{Part, Task, TaskStatus, part::Content};

    /// A writer whose bytes can be read while it is in use.
    #[derive(Clone, Default)]
    pub(in crate::cli) struct Paper(Rc<RefCell<Vec<u8>>>);

    impl Write for Paper {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.borrow_mut().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Paper {
        /// What was written, without colours.
        pub(in crate::cli) fn text(&self) -> String {
            let text = String::from_utf8(self.0.borrow().clone()).unwrap();
            anstream::adapter::strip_str(&text).to_string()
        }
    }

    /// A screen, and what gets onto its output and its error output.
    pub(in crate::cli) fn screen(shared: bool) -> (Screen, Paper, Paper) {
        let (out, err) = (Paper::default(), Paper::default());
        (Screen::new(Box::new(out.clone()), Box::new(err.clone()), shared), out, err)
    }

    pub(in crate::cli) fn said(id: &str, role: Role, text: &str) -> Message {
        let parts = vec![Part { content: Some(Content::Text(text.to_owned())), ..Part::default() }];
        Message { message_id: id.to_owned(), role: role.into(), parts, ..Message::default() }
    }

    fn sample() -> TaskRecord {
        let status = TaskStatus {
            state: TaskState::InputRequired.into(),
            message: Some(said("2", Role::Agent, "Which\nway?")),
            ..TaskStatus::default()
        };
        let artifact = Artifact {
            artifact_id: "a1".to_owned(),
            name: "map\u{1b}[2J".to_owned(),
            parts: vec![
                Part { content: Some(Content::Text("\u{1b}]0;x\u{7}north".to_owned())), ..Part::default() },
                Part {
                    content: Some(Content::Raw(vec![0; 2048].into())),
                    filename: "map.png".to_owned(),
                    media_type: "image/png".to_owned(),
                    ..Part::default()
                },
                Part { content: Some(Content::Url("https://a.example/m".to_owned())), ..Part::default() },
                Part { content: Some(Content::Data(serde_json::json!({"n": 1}).into())), ..Part::default() },
            ],
            ..Artifact::default()
        };
        TaskRecord {
            task: Some(Task {
                id: "t1".to_owned(),
                context_id: "c1".to_owned(),
                status: Some(status),
                history: vec![said("1", Role::User, "Show me the way")],
                artifacts: vec![artifact],
                ..Task::default()
            }),
            sequence: 4,
            agent: "guide".to_owned(),
            update_time: Some(Timestamp::from_millis(1_000_000)),
            deadline: Some(Timestamp::from_millis(1_130_000)),
            ..TaskRecord::default()
        }
    }

    fn plain(text: &str) -> String {
        anstream::adapter::strip_str(text).to_string()
    }

    #[test]
    fn a_record_shows_state_messages_and_artifacts_made_harmless() {
        let text = record(&sample(), Timestamp::from_millis(1_010_000));
        let expected = "Task      t1\nState     input-required\nAgent     guide\nContext   c1\n\
            Updated   1970-01-01T00:16:40.000Z (10s ago)\nDeadline  1970-01-01T00:18:50.000Z (in 2m)\nSequence  4\n\n\
            you: Show me the way\n\nagent: Which\nway?\n\nartifact map\nnorth\n[file map.png image/png, 2.0 KiB]\n\
            [link: https://a.example/m]\n{\n  \"n\": 1\n}\n";
        assert_eq!(plain(&text), expected);
    }

    #[test]
    fn lists_have_one_line_for_each() {
        let text = records(&[sample()], Timestamp::from_millis(1_010_000));
        let expected = "TASK  STATE           AGENT  UPDATED  LAST MESSAGE\n\
            t1    input-required  guide  10s ago  Which way?\n";
        assert_eq!(plain(&text), expected);

        let info = |name: &str, default, state: AgentState| AgentInfo {
            name: name.to_owned(),
            default,
            state: state.into(),
            description: "says\nit again".to_owned(),
            running_tasks: 3,
            ..AgentInfo::default()
        };
        let problem = "no connection to\nhttp://far.example: refused ".repeat(8);
        let far = AgentInfo {
            problem: problem.clone(),
            queued_tasks: 12,
            max_concurrency: Some(4),
            ..info("far", false, AgentState::Unreachable)
        };
        let text = agents(&[info("echo", true, AgentState::Ready), far, info("near", false, AgentState::Ready)]);
        let expected = format!(
            "AGENT           STATE        RUNNING  QUEUED  DESCRIPTION\n\
            echo (default)  ready        3        0       says it again\n\
            far             unreachable  3 of 4   12      says it again\n  \
            {}\n\
            near            ready        3        0       says it again\n",
            problem.replace('\n', " ").trim()
        );
        assert_eq!(plain(&text), expected);
    }

    #[test]
    fn notes_break_a_line_of_content_only_on_a_shared_terminal() {
        for (shared, content) in [(true, "ab\nc\nd\n"), (false, "abc\nd\n")] {
            let (mut screen, out, err) = screen(shared);
            screen.content("a").unwrap();
            screen.content("b").unwrap();
            screen.note("note\n").unwrap();
            screen.content("c").unwrap();
            screen.block("d").unwrap();
            assert_eq!((out.text().as_str(), err.text().as_str()), (content, "note\n"));
        }
    }
}
