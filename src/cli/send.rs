//! `send`: a message to an agent, and what comes of it.

use std::{
    fs,
    io::{self, IsTerminal as _, Read as _},
    path::{Path, PathBuf},
    time::Duration,
};

use clap::Args;
use owo_colors::OwoColorize as _;
use tonic::Request;

use super::{
    Exit,
    client::{Failure, Gateway, Target},
    follow::{Follow, TaskEvents, backoff, is_settled},
    print::{Screen, dim, record_state},
    text::{one_line, state},
    transcript::Transcript,
    watch::{Until, View, exit_of, watch_task},
    webhook::{self, Inline},
};
use crate::proto::{
    a2a::{Message, Part, Role, TaskState, part::Content},
    gateway::{SubmitTaskRequest, TaskRecord},
    well_known::{Struct, Value},
};

/// Arguments of `send`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "The task goes on at the gateway when this command is stopped.\n\
    The agent's text goes to standard output, everything else to standard error.\n\n\
    Exit codes:\n  0  completed (with --no-wait: stored)\n  1  the request failed\n  2  wrong arguments\n  \
    3  the task failed, was rejected or canceled\n  4  the task waits for input\n\n\
    Examples:\n  a2a-gateway send \"Hello\"\n  a2a-gateway send --agent echo \"slow: 10\"\n  \
    a2a-gateway send --task 01980c0e-… \"The second one\"\n  \
    a2a-gateway send \"Summarise this\" --file report.pdf --timeout 5m > summary.txt\n  \
    git diff | a2a-gateway send - --metadata kind=review --json\n  \
    id=$(a2a-gateway send --no-wait \"slow: 100\")")]
pub(super) struct SendArgs {
    /// The message, its words joined by blanks; "-" reads standard input
    #[arg(required_unless_present_any = ["file", "data"])]
    text: Vec<String>,
    /// The agent's name [default: the gateway's default agent, or the task's]
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    agent: String,
    /// Continue this task, which waits for input
    #[arg(long, value_name = "ID", default_value = "", hide_default_value = true)]
    task: String,
    /// Start the task in this conversation
    #[arg(long, value_name = "ID", default_value = "", hide_default_value = true)]
    context: String,
    /// Attach a file; may be repeated
    #[arg(long, value_name = "PATH")]
    file: Vec<PathBuf>,
    /// Attach a JSON value; may be repeated
    #[arg(long, value_name = "JSON", value_parser = parse_json)]
    data: Vec<Value>,
    /// The task's metadata: KEY=TEXT or KEY:=JSON; may be repeated
    #[arg(long, value_name = "KEY=TEXT", value_parser = parse_metadata)]
    metadata: Vec<(String, Value)>,
    /// Ask for an extension of A2A by its URI; may be repeated
    #[arg(long, value_name = "URI", value_parser = parse_extension)]
    extension: Vec<String>,
    /// Fail the task if it takes longer, such as 90s or 10m [default: the gateway's setting]
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    timeout: Option<Duration>,
    /// Makes a repeated send return the first task
    #[arg(long, value_name = "ID", default_value = "", hide_default_value = true)]
    request_id: String,
    /// Do not wait: print the task's id once it is stored
    #[arg(long)]
    no_wait: bool,
    /// Show what happens as it happens; the default on a terminal without --json
    #[arg(long, visible_alias = "stream", conflicts_with = "no_wait")]
    watch: bool,
    #[command(flatten)]
    webhook: Inline,
    #[command(flatten)]
    pub(super) target: Target,
}

/// The request with what asks for extensions.
fn asking_for<T>(extensions: &[String], request: T) -> Result<Request<T>, Failure> {
    let mut request = Request::new(request);
    if !extensions.is_empty() {
        let value = extensions.join(", ").parse();
        let value = value.map_err(|_| Failure::Usage("--extension must be ASCII text".to_owned()))?;
        request.metadata_mut().insert("a2a-extensions", value);
    }
    Ok(request)
}

fn parse_extension(text: &str) -> Result<String, String> {
    let is_uri = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b',');
    if is_uri { Ok(text.to_owned()) } else { Err("must be a URI, without blanks and commas".to_owned()) }
}

/// Sends a message and shows what comes of it.
pub(super) async fn send(args: SendArgs, screen: &mut Screen) -> Result<Exit, Failure> {
    let request = asking_for(&args.extension, request(&args)?)?;
    let mut gateway = Gateway::connect(&args.target).await?;
    let answer = gateway.client.submit_task(request).await;
    let record = answer.map_err(|status| gateway.refused("send the message", status))?.into_inner();
    let id = record.task.as_ref().map(|task| task.id.clone()).unwrap_or_default();
    let json = args.target.json;
    let live = args.watch || (!json && io::stdout().is_terminal());
    if record.replayed {
        screen.note(&dim("this request id was used before: this is its task"))?;
    }
    webhook::submitted(&record.webhooks, screen)?;
    if args.no_wait {
        return stored(&gateway, &record, json, screen);
    }
    if live && !json {
        screen.note(&dim(&format!("task {} at agent {}", one_line(&id, 300), one_line(&record.agent, 300))))?;
    }
    let exit = match already_over(&record) {
        Some(exit) if live => {
            if json {
                screen.json(&record)?
            } else {
                results(&record, screen)?
            }
            exit
        }
        Some(exit) => exit,
        None => {
            let mut follow = Follow::new(TaskEvents::new(gateway.clone(), id.clone(), Some(record.sequence)), backoff);
            let mut view = match (live, json) {
                (true, true) => View::Json,
                (true, false) => View::Text(Transcript::default()),
                (false, _) => View::Quiet,
            };
            watch_task(&gateway, &mut follow, Until::Interrupted, &mut view, screen).await?
        }
    };
    if exit == Exit::Stopped {
        let (watch, cancel) = (gateway.command(&format!("watch {id}")), gateway.command(&format!("cancel {id}")));
        screen.note(&dim(&format!("the task goes on\n  watch it:  {watch}\n  cancel it: {cancel}")))?;
        return Ok(exit);
    }
    if !live {
        let record = TaskRecord { webhooks: record.webhooks, ..gateway.get(&id, None).await? };
        if json { screen.json(&record)? } else { results(&record, screen)? }
    }
    if exit == Exit::NeedsInput && !json {
        let command = gateway.command(&format!("send --task {} \"…\"", one_line(&id, 300)));
        screen.note(&format!("{} {command}", "answer with:".bold()))?;
    }
    Ok(exit)
}

/// What there is to say about a task that nobody waits for.
fn stored(gateway: &Gateway, record: &TaskRecord, json: bool, screen: &mut Screen) -> Result<Exit, Failure> {
    if json {
        screen.json(record)?;
        return Ok(Exit::Done);
    }
    let id = one_line(record.task.as_ref().map(|task| task.id.as_str()).unwrap_or_default(), 300);
    screen.block(&id)?;
    let watch = gateway.command(&format!("watch {id}"));
    screen.note(&format!("{}; {}", state(record_state(record)), dim(&format!("watch it with: {watch}"))))?;
    Ok(Exit::Done)
}

/// How the task ended, when a used request id has returned one that is no longer running.
fn already_over(record: &TaskRecord) -> Option<Exit> {
    let state = record_state(record);
    let waits = matches!(state, TaskState::InputRequired | TaskState::AuthRequired);
    (is_settled(state) || (record.replayed && waits)).then(|| exit_of(state))
}

/// Shows what was made of a task.
fn results(record: &TaskRecord, screen: &mut Screen) -> io::Result<()> {
    let task = record.task.clone().unwrap_or_default();
    Transcript::default().results(&task, record.sequence, screen)?;
    screen.end_line()
}

fn request(args: &SendArgs) -> Result<SubmitTaskRequest, Failure> {
    let mut parts = Vec::new();
    if !args.text.is_empty() {
        let text = if args.text == ["-"] { read_input()? } else { args.text.join(" ") };
        parts.push(Part { content: Some(Content::Text(text)), ..Part::default() });
    }
    parts.extend(args.data.iter().map(|data| Part { content: Some(Content::Data(data.clone())), ..Part::default() }));
    for path in &args.file {
        parts.push(file_part(path)?);
    }
    let message = Message {
        context_id: args.context.clone(),
        task_id: args.task.clone(),
        role: Role::User.into(),
        parts,
        ..Message::default()
    };
    let metadata = Struct { fields: args.metadata.iter().cloned().collect() };
    Ok(SubmitTaskRequest {
        agent: args.agent.clone(),
        message: Some(message),
        timeout: args.timeout.map(Into::into),
        metadata: (!metadata.fields.is_empty()).then_some(metadata),
        request_id: args.request_id.clone(),
        webhooks: args.webhook.new_webhook().into_iter().collect(),
        ..SubmitTaskRequest::default()
    })
}

/// Standard input, without the line break that ends most of it.
fn read_input() -> Result<String, Failure> {
    let mut text = String::new();
    let read = io::stdin().lock().read_to_string(&mut text);
    read.map_err(|cause| Failure::Input { what: "standard input".to_owned(), cause })?;
    let text = text.strip_suffix('\n').unwrap_or(&text);
    Ok(text.strip_suffix('\r').unwrap_or(text).to_owned())
}

fn file_part(path: &Path) -> Result<Part, Failure> {
    let bytes = fs::read(path).map_err(|cause| Failure::Input { what: path.display().to_string(), cause })?;
    let filename = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let media_type = media_type(path, &bytes).to_owned();
    Ok(Part { content: Some(Content::Raw(bytes.into())), filename, media_type, ..Part::default() })
}

/// The media type of a file, by its name, or else by whether it is text.
fn media_type(path: &Path, bytes: &[u8]) -> &'static str {
    let extension = path.extension().map(|extension| extension.to_string_lossy().to_ascii_lowercase());
    match extension.as_deref().unwrap_or_default() {
        "csv" => "text/csv",
        "gif" => "image/gif",
        "htm" | "html" => "text/html",
        "jpeg" | "jpg" => "image/jpeg",
        "json" => "application/json",
        "md" => "text/markdown",
        "mp3" => "audio/mpeg",
        "mp4" => "video/mp4",
        "pdf" => "application/pdf",
        "png" => "image/png",
        "svg" => "image/svg+xml",
        "wav" => "audio/wav",
        "webp" => "image/webp",
        "xml" => "application/xml",
        "yaml" | "yml" => "application/yaml",
        "zip" => "application/zip",
        _ if std::str::from_utf8(bytes).is_ok() => "text/plain",
        _ => "application/octet-stream",
    }
}

fn parse_json(text: &str) -> Result<Value, String> {
    serde_json::from_str(text).map_err(|cause| format!("is not JSON: {cause}"))
}

fn parse_metadata(text: &str) -> Result<(String, Value), String> {
    let (key, value) = text.split_once('=').ok_or("must be KEY=TEXT or KEY:=JSON")?;
    let (key, value) = match key.strip_suffix(':') {
        Some(key) => (key, parse_json(value)?),
        None => (key, Value::from(serde_json::Value::from(value))),
    };
    if key.is_empty() { Err("the key is empty".to_owned()) } else { Ok((key.to_owned(), value)) }
}

fn parse_duration(text: &str) -> Result<Duration, String> {
    let good = humantime::parse_duration(text).ok().filter(|duration| !duration.is_zero());
    good.ok_or_else(|| "must be a duration above zero with its unit, such as 500ms, 90s or 10m".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::{
        cli::{
            follow::tests::{Script, Scripted, completed, record, status, working},
            print::tests::screen,
        },
        proto::gateway::Webhook,
    };

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: SendArgs,
    }

    fn built(arguments: &[&str]) -> SubmitTaskRequest {
        let line = Line::try_parse_from(std::iter::once(&"send").chain(arguments)).unwrap();
        request(&line.args).unwrap()
    }

    #[test]
    fn extensions_are_asked_for_in_metadata() {
        let line = Line::try_parse_from(["send", "hi", "--extension", "http://e/1", "--extension", "urn:2"]).unwrap();
        let request = asking_for(&line.args.extension, ()).unwrap();
        assert_eq!(request.metadata().get("a2a-extensions").unwrap(), "http://e/1, urn:2");
        assert!(asking_for(&[], ()).unwrap().metadata().is_empty());
        for uri in ["", "two words", "a,b", "é"] {
            assert!(Line::try_parse_from(["send", "hi", "--extension", uri]).is_err(), "{uri:?}");
        }
    }

    #[test]
    fn arguments_become_a_request() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notes.MD");
        fs::write(&path, "# x").unwrap();
        let request = built(&[
            "two",
            "words",
            "--agent",
            "a",
            "--task",
            "t",
            "--context",
            "c",
            "--request-id",
            "r",
            "--timeout",
            "1m30s",
            "--metadata",
            "k=v=w",
            "--metadata",
            "n:=[1]",
            "--data",
            "{\"x\":1}",
            "--file",
            path.to_str().unwrap(),
        ]);
        let message = request.message.unwrap();
        assert_eq!((message.task_id.as_str(), message.context_id.as_str(), message.role()), ("t", "c", Role::User));
        assert_eq!(message.parts[0].content, Some(Content::Text("two words".to_owned())));
        assert_eq!(message.parts[1].content, Some(Content::Data(serde_json::json!({"x": 1}).into())));
        assert_eq!(message.parts[2].content, Some(Content::Raw("# x".into())));
        assert_eq!(
            (message.parts[2].filename.as_str(), message.parts[2].media_type.as_str()),
            ("notes.MD", "text/markdown")
        );
        assert_eq!((request.agent.as_str(), request.request_id.as_str()), ("a", "r"));
        assert_eq!(request.timeout.unwrap().seconds, 90);
        assert_eq!(serde_json::to_string(&request.metadata).unwrap(), r#"{"k":"v=w","n":[1]}"#);
    }

    /// Sends to a scripted gateway: the exit code, and what is on standard output and standard error.
    async fn sent(script: Script, arguments: &[&str]) -> (Exit, String, String) {
        let (_, address) = Scripted::start(script).await;
        let fixed = ["send", "hi", "--gateway", &address];
        let line = Line::try_parse_from(fixed.iter().chain(arguments)).unwrap();
        let (mut screen, out, err) = screen(false);
        let exit = send(line.args, &mut screen).await.unwrap();
        (exit, out.text(), err.text().replace(&address, "ADDRESS"))
    }

    #[tokio::test]
    async fn a_question_is_shown_with_the_command_that_answers_it() {
        let script = Script {
            submit_task: [record(1, TaskState::Submitted)].into(),
            watch_task: [Ok(vec![working(2), Ok(status(3, TaskState::InputRequired))])].into(),
            ..Script::default()
        };
        let (exit, _, err) = sent(script, &["--watch"]).await;
        assert_eq!(exit, Exit::NeedsInput);
        let answer = "answer with: a2a-gateway send --task t1 \"…\" --gateway http://ADDRESS\n";
        assert!(err.ends_with(&format!("#3 input-required\n{answer}")), "{err}");
    }

    #[tokio::test]
    async fn without_watching_programs_get_the_task_as_it_ended() {
        let script = Script {
            submit_task: [record(1, TaskState::Submitted)].into(),
            watch_task: [Ok(vec![working(2), completed(3)])].into(),
            get_task: [Ok(record(3, TaskState::Completed))].into(),
            ..Script::default()
        };
        let (exit, out, err) = sent(script, &["--json"]).await;
        assert_eq!((exit, err.as_str()), (Exit::Done, ""));
        let task: serde_json::Value = serde_json::from_str(&out).unwrap();
        assert_eq!(task["task"]["status"]["state"], "TASK_STATE_COMPLETED");
    }

    #[tokio::test]
    async fn a_used_request_id_whose_task_is_over_is_not_watched() {
        for (state, code) in [(TaskState::Failed, Exit::Unsuccessful), (TaskState::InputRequired, Exit::NeedsInput)] {
            let replayed = TaskRecord { replayed: true, ..record(9, state) };
            let script = Script { submit_task: [replayed].into(), ..Script::default() };
            let (exit, _, err) = sent(script, &["--watch", "--request-id", "r"]).await;
            assert_eq!(exit, code);
            assert!(err.starts_with("this request id was used before: this is its task\n"), "{err}");
        }
    }

    #[tokio::test]
    async fn a_webhook_goes_with_the_message_and_its_secret_is_told() {
        let request = built(&["hi", "--webhook", "http://h.test/", "--webhook-token", "tk"]);
        let [new] = &request.webhooks[..] else { panic!("{:?}", request.webhooks) };
        assert_eq!((new.url.as_str(), new.token.as_str(), new.task_id.as_str()), ("http://h.test/", "tk", ""));
        assert!(built(&["hi"]).webhooks.is_empty());

        let stored = Webhook { id: "w1".into(), signing_secret: "whsec_new".into(), ..Webhook::default() };
        let submitted = || TaskRecord { webhooks: vec![stored.clone()], ..record(1, TaskState::Completed) };
        let script = Script { submit_task: [submitted()].into(), ..Script::default() };
        let (_, out, err) = sent(script, &["--no-wait"]).await;
        assert_eq!(out, "t1\n");
        assert!(err.starts_with("webhook w1, signing secret whsec_new (not shown again)\n"), "{err}");
        // What a program reads last has it as well.
        let script = Script {
            submit_task: [submitted()].into(),
            get_task: [Ok(record(1, TaskState::Completed))].into(),
            ..Script::default()
        };
        let (_, out, _) = sent(script, &["--json"]).await;
        assert!(out.contains(r#""signingSecret":"whsec_new""#), "{out}");
    }

    #[tokio::test]
    async fn without_waiting_only_the_id_is_content() {
        let script = Script { submit_task: [record(1, TaskState::Submitted)].into(), ..Script::default() };
        let (exit, out, err) = sent(script, &["--no-wait"]).await;
        assert_eq!((exit, out.as_str()), (Exit::Done, "t1\n"));
        assert!(err.contains("a2a-gateway watch t1"), "{err}");
    }

    #[test]
    fn what_is_not_given_stays_unset() {
        let request = built(&["hi"]);
        assert_eq!((request.metadata, request.timeout, request.wait), (None, None, None));
        assert!(request.agent.is_empty() && request.request_id.is_empty());
    }

    #[test]
    fn impossible_arguments_are_refused() {
        for line in [
            vec!["send"],
            vec!["send", "x", "--data", "{"],
            vec!["send", "x", "--metadata", "novalue"],
            vec!["send", "x", "--metadata", "=v"],
            vec!["send", "x", "--timeout", "0"],
            vec!["send", "x", "--timeout", "5"],
            vec!["send", "x", "--no-wait", "--watch"],
        ] {
            assert!(Line::try_parse_from(&line).is_err(), "{line:?}");
        }
        let line = Line::try_parse_from(["send", "--file", "/nowhere/x"]).unwrap();
        let report = request(&line.args).unwrap_err().report();
        assert!(report.contains("cannot read /nowhere/x: "), "{report}");
    }

    #[test]
    fn files_without_a_known_name_are_text_or_bytes() {
        assert_eq!(media_type(Path::new("Makefile"), b"all:"), "text/plain");
        assert_eq!(media_type(Path::new("x.bin"), &[0xff, 0xfe]), "application/octet-stream");
    }
}
