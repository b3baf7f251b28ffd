//! Commands as agents, with real processes. Tests steer them by named pipes: a script that must wait reads from one.

#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests fail by panicking")]

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use a2a_gateway::{
    agent::{
        Agent, AgentError, Cancel, Exec, ExecInput, ExecOutput, ExecSettings, Recovery, Turn, Update, a2a::OnLost,
    },
    error::ErrorKind,
    proto::{
        a2a::{Message, Part, Role, Task, TaskState, part::Content},
        well_known::Value,
    },
    task::Upstream,
};
use futures::StreamExt as _;
use rustix::{
    io::Errno,
    process::{Pid, test_kill_process},
};
use tokio::time::Instant;

/// An agent that runs a shell script.
fn sh(script: &str) -> ExecSettings {
    ExecSettings {
        grace: Duration::from_millis(200),
        ..ExecSettings::new("script", vec!["/bin/sh".into(), "-c".into(), script.into()])
    }
}

fn text_part(text: &str) -> Part {
    Part { content: Some(Content::Text(text.into())), ..Part::default() }
}

fn turn(parts: Vec<Part>) -> Turn {
    let message = Message {
        message_id: "m-1".into(),
        task_id: "t-1".into(),
        context_id: "c-1".into(),
        role: Role::User.into(),
        parts,
        ..Message::default()
    };
    let task = Task { id: "t-1".into(), context_id: "c-1".into(), history: vec![message.clone()], ..Task::default() };
    Turn {
        task,
        message,
        metadata: None,
        accepted_output_modes: Vec::new(),
        extensions: Vec::new(),
        upstream: Upstream::default(),
        resumed: false,
        queued: Instant::now(),
    }
}

fn say(text: &str) -> Turn {
    turn(vec![text_part(text)])
}

fn cancel() -> Cancel {
    Cancel { task: say("").task, upstream: Upstream::default(), sent: true, metadata: None, extensions: Vec::new() }
}

/// A turn that is followed by hand.
struct Run {
    updates: a2a_gateway::agent::UpdateStream,
}

impl Run {
    /// Starts a turn and follows it until the command runs.
    async fn start(agent: &Exec, turn: Turn) -> Self {
        let mut run = Self { updates: agent.run(turn) };
        assert_eq!(run.next().await, Update::Sending);
        assert_eq!(run.next().await, Update::Status { state: TaskState::Working, message: None, metadata: None });
        run
    }

    async fn next(&mut self) -> Update {
        self.updates.next().await.expect("the turn goes on").expect("no error")
    }

    /// The next chunk, which must be one: its text, whether it is appended, whether it is the last.
    async fn chunk(&mut self) -> (String, bool, bool) {
        let Update::Artifact { artifact, append, last_chunk, .. } = self.next().await else { panic!("a chunk") };
        assert_eq!((artifact.name.as_str(), artifact.parts.len()), ("output", 1));
        let Some(Content::Text(text)) = &artifact.parts[0].content else { panic!("text") };
        (text.clone(), append, last_chunk)
    }

    /// Follows the turn to its end.
    async fn finish(mut self) -> Ended {
        let mut ended = Ended::default();
        while let Some(update) = self.updates.next().await {
            match update.unwrap() {
                Update::Artifact { artifact, append, last_chunk, .. } => {
                    assert!(!ended.closed, "nothing follows the last chunk");
                    assert_eq!(append, !ended.chunks.is_empty());
                    ended.artifact = artifact.artifact_id;
                    ended.closed = last_chunk;
                    ended.chunks.extend(artifact.parts.into_iter().map(|part| part.content.unwrap()));
                }
                Update::Status { state, message, .. } => {
                    ended.state = Some(state);
                    ended.said = message.map(|message| text_of(&message.parts)).unwrap_or_default();
                }
                other => panic!("unexpected: {other:?}"),
            }
        }
        ended
    }
}

/// What came of a turn.
#[derive(Debug, Default)]
struct Ended {
    state: Option<TaskState>,
    said: String,
    artifact: String,
    chunks: Vec<Content>,
    closed: bool,
}

impl Ended {
    fn output(&self) -> String {
        let texts = self.chunks.iter().map(|content| match content {
            Content::Text(text) => text.as_str(),
            other => panic!("no text: {other:?}"),
        });
        texts.collect()
    }

    fn completed(&self) -> String {
        assert_eq!((self.state, self.said.as_str()), (Some(TaskState::Completed), ""));
        assert_eq!(self.closed, !self.chunks.is_empty());
        self.output()
    }

    fn failed(&self) -> &str {
        assert_eq!(self.state, Some(TaskState::Failed));
        &self.said
    }
}

async fn run(settings: ExecSettings, turn: Turn) -> Ended {
    let agent = Exec::new(settings);
    let ended = Run::start(&agent, turn).await.finish().await;
    agent.stopped().await;
    ended
}

fn text_of(parts: &[Part]) -> String {
    let texts = parts.iter().filter_map(|part| match &part.content {
        Some(Content::Text(text)) => Some(text.as_str()),
        _ => None,
    });
    texts.collect()
}

/// A named pipe on which a script waits for the test's word.
struct Gate(PathBuf);

impl Gate {
    fn new(dir: &Path) -> Self {
        let path = dir.join("gate");
        assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
        Self(path)
    }

    /// The shell's words to wait.
    fn wait(&self) -> String {
        format!("read word < '{}'", self.0.display())
    }

    /// Waits until the script waits, and lets it go on.
    async fn open(&self) {
        let path = self.0.clone();
        tokio::task::spawn_blocking(move || fs::write(path, "go\n")).await.unwrap().unwrap();
    }
}

/// Whether a process has ended; it may still have to be waited for by whoever is its parent now.
fn is_gone(pid: &str) -> bool {
    if test_kill_process(Pid::from_raw(pid.trim().parse().unwrap()).unwrap()) == Err(Errno::SRCH) {
        return true;
    }
    let state = std::process::Command::new("ps").args(["-o", "stat=", "-p", pid.trim()]).output().unwrap().stdout;
    state.is_empty() || state.starts_with(b"Z")
}

#[tokio::test]
async fn output_is_seen_while_the_command_runs() {
    let dir = tempfile::tempdir().unwrap();
    let gate = Gate::new(dir.path());
    let agent = Exec::new(sh(&format!("echo one; {}; echo two", gate.wait())));
    let mut run = Run::start(&agent, say("")).await;
    assert_eq!(run.chunk().await, ("one\n".into(), false, false));
    gate.open().await;
    let (mut rest, mut last) = (String::new(), false);
    while !last {
        let (text, append, is_last) = run.chunk().await;
        assert!(append);
        rest += &text;
        last = is_last;
    }
    assert_eq!(rest, "two\n");
    let ended = run.finish().await;
    assert_eq!((ended.state, ended.chunks.len()), (Some(TaskState::Completed), 0));
}

#[tokio::test]
async fn each_turn_has_an_artifact_of_its_own_unless_there_is_no_output() {
    let mut second = say("");
    second.task.history.push(second.message.clone());
    assert_eq!(run(sh("echo out"), say("")).await.artifact, "output-1");
    assert_eq!(run(sh("echo out"), second).await.artifact, "output-2");
    let silent = run(sh(":"), say("")).await;
    assert_eq!((silent.completed().as_str(), silent.chunks.len()), ("", 0));
}

#[tokio::test]
async fn a_failure_is_told_with_the_end_of_standard_error() {
    let failed = run(sh("echo out; printf 'no \\033[1mpaper\\n' >&2; exit 3"), say("")).await;
    assert_eq!(failed.failed(), "The command exited with status 3.\nno [1mpaper");
    assert_eq!((failed.output().as_str(), failed.closed), ("out\n", true));
    assert_eq!(run(sh("exit 75"), say("")).await.failed(), "The command exited with status 75.");
    assert_eq!(run(sh("kill -9 $$"), say("")).await.failed(), "The command was killed by signal 9.");
    // More than any buffer holds, and only its end is told.
    let script = "i=0; while [ $i -lt 20000 ]; do echo line $i; i=$((i+1)); done >&2; exit 1";
    let failed = run(sh(script), say("")).await;
    let text = failed.failed();
    assert!(text.starts_with("The command exited with status 1.\nline 19") && text.ends_with("line 19999"), "{text}");
    assert!(text.len() < 2_100, "{}", text.len());
    assert_eq!(run(sh("echo fine >&2"), say("")).await.completed(), "");
}

#[tokio::test]
async fn text_is_given_on_standard_input() {
    let parts = vec![text_part("hello"), Part { content: Some(Content::Raw("x".into())), ..Part::default() }];
    let parts = [parts, vec![text_part("wörld")]].concat();
    assert_eq!(run(sh("cat"), turn(parts)).await.completed(), "hello\nwörld");
    // More than the pipes hold, both ways at once.
    let long = "0123456789abcdef".repeat(1 << 16);
    assert!(run(sh("cat"), say(&long)).await.completed() == long);
}

#[tokio::test]
async fn a_message_without_text_is_refused() {
    let agent = Exec::new(sh("cat"));
    let data = Part { content: Some(Content::Data(Value::NULL)), ..Part::default() };
    let first = agent.run(turn(vec![data])).next().await.unwrap();
    assert_eq!(first.unwrap_err().refusal, Some(ErrorKind::ContentTypeNotSupported));
}

#[tokio::test]
async fn json_on_request() {
    let mut turn = say("hello");
    let metadata = serde_json::json!({ "depth": 3 });
    turn.metadata = Some(metadata.as_object().unwrap().clone().into());
    let settings = ExecSettings { input: ExecInput::Json, ..sh("cat") };
    let output = run(settings.clone(), turn).await.completed();
    let object: serde_json::Value = serde_json::from_str(&output).unwrap();
    assert_eq!(object["task"]["id"], "t-1");
    assert_eq!(object["task"]["history"][0]["messageId"], "m-1");
    assert_eq!(object["message"]["parts"], serde_json::json!([{ "text": "hello" }]));
    assert_eq!(object["message"]["role"], "ROLE_USER");
    assert_eq!(object["metadata"], metadata);
    let output = run(settings, say("hello")).await.completed();
    let object: serde_json::Value = serde_json::from_str(&output).unwrap();
    assert_eq!(object.as_object().unwrap().keys().collect::<Vec<_>>(), ["message", "task"]);
}

#[tokio::test]
async fn input_that_nobody_reads_does_no_harm() {
    let long = "x".repeat(1 << 20);
    assert_eq!(run(sh("exec true"), say(&long)).await.completed(), "");
    assert_eq!(run(sh("exec <&-; echo out"), say(&long)).await.completed(), "out\n");
    assert_eq!(run(sh("exit 2"), say(&long)).await.failed(), "The command exited with status 2.");
    // A process that is left behind holds the pipe and does not read.
    assert_eq!(run(sh("sleep 1000 & echo out"), say(&long)).await.completed(), "out\n");
}

/// Runs itself again with variables that this process cannot set for itself.
#[tokio::test]
async fn the_environment_is_the_gateways_without_its_settings() {
    const NAME: &str = "the_environment_is_the_gateways_without_its_settings";
    if std::env::var_os("A2A_GATEWAY_SECRET").is_none() {
        let mut again = std::process::Command::new(std::env::current_exe().unwrap());
        again.args(["--exact", NAME]).env("A2A_GATEWAY_SECRET", "s3cret").env("EXEC_TEST", "inherited");
        let output = again.output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        return assert!(output.status.success() && text.contains("1 passed"), "{text}");
    }
    let dir = tempfile::tempdir().unwrap();
    let script = "echo $A2A_AGENT $A2A_TASK_ID $A2A_CONTEXT_ID $A2A_MESSAGE_ID $EXEC_TEST ${A2A_GATEWAY_SECRET:-none} $MORE; pwd";
    let settings = ExecSettings {
        directory: Some(dir.path().to_owned()),
        environment: vec![("MORE".into(), "of it".into()), ("A2A_TASK_ID".into(), "forged".into())],
        ..sh(script)
    };
    let output = run(settings, say("")).await.completed();
    let (variables, directory) = output.trim().split_once('\n').unwrap();
    assert_eq!(variables, "script t-1 c-1 m-1 inherited none of it");
    assert_eq!(fs::canonicalize(directory).unwrap(), fs::canonicalize(dir.path()).unwrap());
}

#[tokio::test]
async fn characters_are_never_cut() {
    let dir = tempfile::tempdir().unwrap();
    let gate = Gate::new(dir.path());
    let agent = Exec::new(sh(&format!("printf 'a\\342\\202'; {}; printf '\\254b\\377'", gate.wait())));
    let mut run = Run::start(&agent, say("")).await;
    assert_eq!(run.chunk().await, ("a".into(), false, false));
    gate.open().await;
    assert_eq!(run.chunk().await.0, "€b\u{fffd}");
}

#[tokio::test]
async fn bytes_are_handed_on_as_they_are() {
    let settings = ExecSettings { output: ExecOutput::Raw, ..sh("printf 'a\\000\\377\\342'") };
    let ended = run(settings, say("")).await;
    let bytes: Vec<u8> = ended
        .chunks
        .iter()
        .flat_map(|content| match content {
            Content::Raw(bytes) => bytes.to_vec(),
            other => panic!("not raw: {other:?}"),
        })
        .collect();
    assert_eq!(bytes, b"a\0\xff\xe2");
    assert_eq!(ended.state, Some(TaskState::Completed));
}

#[tokio::test]
async fn a_slow_consumer_slows_the_command() {
    const SIZE: usize = 50 << 20;
    let dir = tempfile::tempdir().unwrap();
    let mark = dir.path().join("written");
    let script = format!("head -c {SIZE} /dev/zero | tr '\\0' x; echo > '{}'", mark.display());
    let agent = Exec::new(sh(&script));
    let mut run = Run::start(&agent, say("")).await;
    let mut read = 0;
    // The pipes and one chunk hold far less than what is left then.
    while read < SIZE - (2 << 20) {
        let (text, ..) = run.chunk().await;
        assert!(text.len() <= 64 << 10, "{}", text.len());
        read += text.len();
    }
    assert!(!mark.exists(), "the command cannot have written all of it");
    let ended = run.updates.filter_map(async |update| match update.unwrap() {
        Update::Artifact { artifact, .. } => Some(text_of(&artifact.parts).len()),
        _ => None,
    });
    let rest: usize = ended.collect::<Vec<_>>().await.into_iter().sum();
    assert_eq!(read + rest, SIZE);
    assert!(mark.exists());
}

#[tokio::test]
async fn too_much_output_ends_the_command() {
    let agent = Exec::new(ExecSettings { max_output: 100_000, ..sh("echo $$; exec yes") });
    let ended = Run::start(&agent, say("")).await.finish().await;
    assert_eq!(ended.failed(), "The command wrote more than the 100000 bytes that are allowed.");
    assert_eq!((ended.output().len(), ended.closed), (100_000, true));
    agent.stopped().await;
    assert!(is_gone(ended.output().lines().next().unwrap()));
    // Exactly as much is not too much.
    let settings = ExecSettings { max_output: 5, ..sh("printf 12345") };
    assert_eq!(run(settings, say("")).await.completed(), "12345");
}

#[tokio::test]
async fn a_cancel_kills_what_does_not_want_to_end() {
    // The signal is ignored by the program and by what it starts.
    let agent = Exec::new(sh("trap '' TERM; sleep 1000 & echo $$ $!; wait"));
    let mut run = Run::start(&agent, say("")).await;
    let (pids, ..) = run.chunk().await;
    let (program, started) = pids.trim().split_once(' ').unwrap();
    assert!(!is_gone(program) && !is_gone(started));
    drop(run);
    let start = Instant::now();
    assert_eq!(agent.cancel(cancel()).await, Ok(Vec::new()));
    assert!(start.elapsed() >= Duration::from_millis(150), "it has its grace: {:?}", start.elapsed());
    assert!(is_gone(program) && is_gone(started));
    // Nothing is there any more, nor of a task that never ran.
    assert_eq!(agent.cancel(cancel()).await, Ok(Vec::new()));
}

#[tokio::test]
async fn a_command_may_tidy_up_when_it_is_asked_to_end() {
    let dir = tempfile::tempdir().unwrap();
    let mark = dir.path().join("tidy");
    // It writes to both pipes first: they must still be open.
    let tidy = format!("echo bye; echo bye >&2; echo > \"{}\"; exit", mark.display());
    let settings = sh(&format!("trap '{tidy}' TERM; sleep 1000 & echo ready; wait"));
    let agent = Exec::new(ExecSettings { grace: Duration::from_secs(60), ..settings });
    let mut run = Run::start(&agent, say("")).await;
    assert_eq!(run.chunk().await.0, "ready\n");
    drop(run);
    assert_eq!(agent.cancel(cancel()).await, Ok(Vec::new()));
    assert!(mark.exists());
    agent.stopped().await;
}

#[tokio::test]
async fn time_that_is_up_ends_the_command() {
    let limit = Duration::from_secs(1);
    let start = Instant::now();
    let ended =
        run(ExecSettings { timeout: Some(limit), ..sh("echo out; echo busy >&2; exec sleep 1000") }, say("")).await;
    assert!(start.elapsed() >= limit);
    assert_eq!(ended.failed(), "The command took longer than its timeout of 1s.\nbusy");
    assert_eq!((ended.output().as_str(), ended.closed), ("out\n", true));
    // Whoever wants neither to end nor to be quiet is killed, and what it wrote until then is kept.
    let script = "trap '' TERM; sleep 1000 & echo $!; wait";
    let ended = run(ExecSettings { timeout: Some(limit), ..sh(script) }, say("")).await;
    assert_eq!(ended.failed(), "The command took longer than its timeout of 1s.");
    assert!(is_gone(&ended.output()));
}

#[tokio::test]
async fn time_runs_also_for_a_consumer_that_does_not_ask() {
    let agent = Exec::new(ExecSettings { timeout: Some(Duration::from_millis(50)), ..sh("exec sleep 1000") });
    let run = Run::start(&agent, say("")).await;
    // The turn is there, and not polled.
    assert_eq!(agent.cancel(cancel()).await, Ok(Vec::new()));
    assert_eq!(run.finish().await.failed(), "The command took longer than its timeout of 50ms.");
}

#[tokio::test]
async fn a_command_that_closes_its_output_is_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let gate = Gate::new(dir.path());
    let agent = Exec::new(sh(&format!("echo out; exec >&-; {}; exit 4", gate.wait())));
    let mut run = Run::start(&agent, say("")).await;
    let (text, _, last) = run.chunk().await;
    assert_eq!(text, "out\n");
    assert!(last || run.chunk().await == (String::new(), true, true));
    gate.open().await;
    assert_eq!(run.finish().await.failed(), "The command exited with status 4.");
}

#[tokio::test]
async fn what_a_command_leaves_behind_neither_holds_the_turn_nor_lives_on() {
    let agent = Exec::new(sh("sleep 1000 & echo $!"));
    let ended = Run::start(&agent, say("")).await.finish().await;
    let left = ended.completed();
    agent.stopped().await;
    assert!(is_gone(&left));
    // The same with a failure, whose standard error is held open too.
    let failed = run(sh("sleep 1000 & echo why >&2; exit 1"), say("")).await;
    assert_eq!(failed.failed(), "The command exited with status 1.\nwhy");
}

#[tokio::test]
async fn a_dropped_turn_ends_its_command_before_anything_was_asked_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let gate = Gate::new(dir.path());
    let agent = Exec::new(sh(&format!("echo $$ > '{}'; exec sleep 1000", gate.0.display())));
    let run = Run::start(&agent, say("")).await;
    let path = gate.0.clone();
    let pid = tokio::task::spawn_blocking(move || fs::read_to_string(path)).await.unwrap().unwrap();
    assert!(!is_gone(&pid));
    drop(run);
    agent.stopped().await;
    assert!(is_gone(&pid));
}

#[test]
fn a_runtime_that_ends_takes_the_commands_with_it() {
    let settings = sh("trap '' TERM; sleep 1000 & echo $!; wait");
    let agent = Exec::new(ExecSettings { grace: Duration::from_secs(60), ..settings });
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (run, pid) = runtime.block_on(async {
        let mut run = Run::start(&agent, say("")).await;
        let (pid, ..) = run.chunk().await;
        (run, pid)
    });
    assert!(!is_gone(&pid));
    drop(runtime);
    // A kill takes effect in its own time.
    let start = Instant::now();
    while !is_gone(&pid) {
        assert!(start.elapsed() < Duration::from_secs(30));
        std::thread::yield_now();
    }
    drop(run);
}

#[tokio::test]
async fn a_command_that_cannot_be_started_was_not_sent_anything() {
    async fn updates(settings: ExecSettings) -> Vec<Result<Update, AgentError>> {
        Exec::new(settings).run(say("")).collect().await
    }
    let refused = |why: &str| vec![Ok(Update::Sending), Ok(Update::NotSent), Err(AgentError::failed(why))];
    let missing = ExecSettings::new("script", vec!["/nowhere/prog".into()]);
    assert_eq!(updates(missing).await, refused("The command `prog` could not be started: No such file or directory."));
    let directory = ExecSettings { directory: Some("/nowhere".into()), ..sh(":") };
    assert_eq!(
        updates(directory).await,
        refused("The command `sh` could not be started: its working directory is not there.")
    );
    assert_eq!(
        updates(ExecSettings::new("none", Vec::new())).await,
        refused("The command `` could not be started: no program is set.")
    );
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    fs::write(&data, "no program").unwrap();
    let file = ExecSettings::new("script", vec![data.to_str().unwrap().into()]);
    assert_eq!(updates(file).await, refused("The command `data` could not be started: Permission denied."));
}

#[test]
fn the_card_says_what_it_runs_and_takes() {
    let agent = Exec::new(sh("cat"));
    let card = agent.card();
    assert_eq!((card.name.as_str(), card.description.as_str(), card.version.as_str()), ("script", "Runs sh.", "1"));
    assert_eq!(
        (&card.default_input_modes, &card.default_output_modes),
        (&vec!["text/plain".into()], &vec!["text/plain".into()])
    );
    assert_eq!(card.capabilities.as_ref().unwrap().streaming, Some(true));
    assert_eq!(card.skills.len(), 1);
    assert_eq!((agent.recovery(), agent.max_concurrency()), (Recovery::Fail, None));

    let settings = ExecSettings {
        description: "Says it back.".into(),
        input: ExecInput::Json,
        output: ExecOutput::Raw,
        max_concurrency: Some(2),
        on_lost: OnLost::Resend,
        environment: vec![("KEY".into(), "s3cret".into())],
        ..sh("cat")
    };
    assert!(!format!("{settings:?}").contains("s3cret"));
    let agent = Exec::new(settings);
    let card = agent.card();
    assert_eq!(card.description, "Says it back.");
    assert_eq!(card.default_input_modes, ["text/plain", "application/json"]);
    assert_eq!(card.default_output_modes, ["application/octet-stream"]);
    assert_eq!((agent.recovery(), agent.max_concurrency()), (Recovery::Resend, Some(2)));
}
