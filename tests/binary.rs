//! The real program: its commands, exit codes and outputs, what it says when it cannot start, and how it stops.

#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests fail by panicking")]

mod process;

use std::{
    collections::HashSet,
    fs,
    io::{BufRead as _, BufReader},
    net::{TcpListener, TcpStream},
    path::Path,
    time::{Duration, Instant},
};

use a2a_gateway::proto::{
    a2a::TaskState,
    gateway::{
        CancelTaskRequest, ListTasksRequest, SubmitTaskRequest, TaskEvent, WatchTaskRequest, WatchTasksRequest,
        WatchTasksResponse, gateway_client::GatewayClient, task_event::Event,
    },
    well_known,
};
use process::{Finished, Gateway, LIMIT, Process, chunks, command, http, run, send_message, submit, texts};
use serde_json::Value;
use tonic::{Code, Streaming, transport::Channel};

/// Runs a client command against a gateway.
fn ask(gateway: &Gateway, arguments: &[&str]) -> Finished {
    run(&[arguments, &["--gateway", &gateway.address]].concat())
}

/// Runs a client command that must go well; what it put out.
fn told(gateway: &Gateway, arguments: &[&str]) -> String {
    let done = ask(gateway, arguments);
    assert_eq!(done.code, Some(0), "{arguments:?}: {done:?}");
    done.out
}

/// Each line of a `--json` output.
fn json(output: &str) -> Vec<Value> {
    output.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
}

/// Runs a gateway that must not start; what it said.
fn refused(arguments: &[&str], code: i32) -> String {
    let done = run(&[&["serve", "--listen", "127.0.0.1:0", "--log-format", "text"], arguments].concat());
    assert_eq!((done.code, done.out.as_str()), (Some(code), ""), "{done:?}");
    done.err
}

#[test]
fn in_an_empty_folder_it_serves_and_keeps_its_data_there() {
    let folder = tempfile::tempdir().unwrap();
    for arguments in [&["serve", "--listen", "127.0.0.1:0"][..], &["--listen", "127.0.0.1:0"]] {
        let data = folder.path().join("data");
        let mut gateway = Gateway::spawn(command(arguments).current_dir(folder.path()), &data);
        assert_eq!(told(&gateway, &["send", "hello"]), "Echo: hello\n");
        assert!(data.join("gateway.db").is_file());
        gateway.term();
        assert_eq!(gateway.wait(LIMIT).code(), Some(0));
    }
    let entries = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name());
    assert_eq!(entries.collect::<Vec<_>>(), ["data"]);
}

#[test]
fn once_it_has_stopped_its_database_file_can_be_copied_alone() {
    let (data, copy) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut gateway = Gateway::start(data.path());
    let id = told(&gateway, &["send", "--no-wait", "hello"]).trim_end().to_owned();
    told(&gateway, &["watch", &id]);
    gateway.term();
    assert_eq!(gateway.wait(LIMIT).code(), Some(0));
    fs::copy(data.path().join("gateway.db"), copy.path().join("gateway.db")).unwrap();
    let gateway = Gateway::start(copy.path());
    assert!(told(&gateway, &["get", &id]).contains("Echo: hello"));
}

#[test]
fn commands_send_show_list_and_cancel() {
    let data = tempfile::tempdir().unwrap();
    let gateway = Gateway::start(data.path());
    assert_eq!(told(&gateway, &["send", "hello", "world"]), "Echo: hello world\n");
    assert_eq!(told(&gateway, &["send", "message: pong"]), "pong\n");

    let stored = json(&told(&gateway, &["send", "--no-wait", "--json", "slow: 500"]));
    let slow = stored[0]["task"]["id"].as_str().unwrap();
    assert_eq!((stored.len(), &stored[0]["task"]["status"]["state"]), (1, &"TASK_STATE_SUBMITTED".into()));
    let plain = told(&gateway, &["send", "--no-wait", "ask: Which way?", "--request-id", "r-1"]);
    let asking = plain.trim_end();
    assert_eq!(told(&gateway, &["send", "--no-wait", "ask: Which way?", "--request-id", "r-1"]), plain);

    let text = told(&gateway, &["get", slow]);
    assert!(text.contains(slow) && text.contains("you: slow: 500"), "{text}");
    let record = json(&told(&gateway, &["get", slow, "--json", "--history", "0"]));
    assert_eq!((&record[0]["task"]["id"], &record[0]["agent"]), (&slow.into(), &"echo".into()));
    assert!(record[0]["task"].get("history").is_none_or(|history| history == &Value::Array(Vec::new())), "{record:?}");

    assert_eq!(ask(&gateway, &["watch", asking, "--until-input"]).code, Some(4));
    let listed = json(&told(&gateway, &["list", "--json"]));
    assert_eq!(listed.len(), 4, "{listed:?}");
    let waiting = told(&gateway, &["list", "--state", "input-required"]);
    assert!(waiting.contains(asking) && !waiting.contains(slow), "{waiting}");
    assert_eq!(json(&told(&gateway, &["list", "--state", "completed", "--json"])).len(), 2);

    let canceled = json(&told(&gateway, &["cancel", slow, "--json"]));
    assert_eq!(canceled[0]["task"]["status"]["state"], "TASK_STATE_CANCELED");
    assert!(told(&gateway, &["cancel", slow]).contains("canceled"));
    assert_eq!(ask(&gateway, &["watch", slow]).code, Some(3));

    assert!(told(&gateway, &["card"]).contains("http://"));
    let card = json(&told(&gateway, &["card", "--agent", "echo", "--json"]));
    assert_eq!(card[0]["name"], "echo");
    assert!(told(&gateway, &["agents"]).contains("echo (default)"));
    assert_eq!(json(&told(&gateway, &["agents", "--json"]))[0]["name"], "echo");
}

#[test]
fn exit_codes_tell_how_it_ended() {
    let data = tempfile::tempdir().unwrap();
    let gateway = Gateway::start(data.path());
    let failed = ask(&gateway, &["send", "fail: out of paper"]);
    assert_eq!((failed.code, failed.out.as_str()), (Some(3), ""));
    assert!(failed.err.contains("out of paper"), "{failed:?}");

    let asked = ask(&gateway, &["send", "ask: Which way?", "--json"]);
    assert_eq!(asked.code, Some(4));
    let id = json(&asked.out)[0]["task"]["id"].as_str().unwrap().to_owned();
    assert_eq!(told(&gateway, &["send", "--task", &id, "That one"]), "Echo: That one\n");
    let settled = ask(&gateway, &["send", "--task", &id, "And another"]);
    assert_eq!((settled.code, settled.out.as_str()), (Some(1), ""));
    assert!(settled.err.contains("takes no more messages"), "{settled:?}");
    assert_eq!(ask(&gateway, &["cancel", &id]).code, Some(1));

    let unknown = ask(&gateway, &["get", "01980c0e-0000-7000-8000-000000000000"]);
    assert_eq!((unknown.code, unknown.out.as_str()), (Some(1), ""));
    assert!(unknown.err.contains("Task not found: 01980c0e-"), "{unknown:?}");
    for wrong in [&["send"][..], &["get", "x", "--history", "-1"], &["fly"], &["list", "--state", "asleep"]] {
        let done = ask(&gateway, wrong);
        assert_eq!((done.code, done.out.as_str()), (Some(2), ""), "{wrong:?}");
        assert!(done.err.starts_with("error: "), "{done:?}");
    }
    assert_eq!(run(&["agents", "--gateway", "http://127.0.0.1:1/path"]).code, Some(2));

    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let nobody = run(&["send", "hello", "--gateway", &free]);
    assert_eq!((nobody.code, nobody.out.as_str()), (Some(1), ""));
    assert!(nobody.err.contains(&format!("cannot reach the gateway at http://{free}")), "{nobody:?}");
}

#[test]
fn a_watch_outlives_the_gateway_and_shows_each_chunk_once() {
    const CHUNKS: usize = 8;
    let data = tempfile::tempdir().unwrap();
    let mut gateway = Gateway::start(data.path());
    let address = gateway.address.clone();
    let id = told(&gateway, &["send", "--no-wait", &format!("slow: {CHUNKS}")]).trim_end().to_owned();
    let watch = |arguments: &[&str]| {
        Process::spawn(&mut command(&[&["watch", &id, "--gateway", &address], arguments].concat()))
    };
    let (mut text, mut all) = (watch(&[]), watch(&["--after", "0", "--json"]));
    text.out.until("chunk", |line| line.starts_with("chunk 2/"));
    all.out.until("chunk", |line| line.contains("chunk 2/"));
    gateway.kill9();
    text.err.until("loss", |line| line.starts_with("connection lost (") && line.contains("; resuming after #"));
    let _gateway = Gateway::start_at(&address, data.path(), &[]);

    let text = text.finish();
    assert_eq!((text.code, text.out), (Some(0), chunks(CHUNKS).concat()), "{}", text.err);
    let all = all.finish();
    assert_eq!(all.code, Some(0), "{}", all.err);
    let events = json(&all.out);
    let sequences = events.iter().map(|event| event["sequence"].as_str().unwrap().parse::<usize>().unwrap());
    assert!(sequences.eq(1..=events.len()), "{}", all.out);
    let parts = events.iter().filter_map(|event| event["artifactUpdate"]["artifact"]["parts"][0]["text"].as_str());
    assert_eq!(parts.collect::<Vec<_>>(), chunks(CHUNKS));
    assert_eq!(events[events.len() - 1]["statusUpdate"]["status"]["state"], "TASK_STATE_COMPLETED");
}

#[test]
fn a_watch_that_is_interrupted_tells_how_to_go_on() {
    let data = tempfile::tempdir().unwrap();
    let gateway = Gateway::start(data.path());
    let id = told(&gateway, &["send", "--no-wait", "slow: 500"]).trim_end().to_owned();
    let mut watch = Process::spawn(&mut command(&["watch", &id, "--gateway", &gateway.address]));
    watch.out.until("chunk", |line| line.starts_with("chunk 1/"));
    watch.signal("INT");
    let done = watch.finish();
    assert_eq!(done.code, Some(130), "{done:?}");
    assert!(done.err.contains(&format!("go on with: a2a-gateway watch {id} --after ")), "{done:?}");
}

#[test]
fn wrong_settings_are_told_all_at_once_and_change_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("gateway.toml");
    fs::write(&file, "[server]\nlisten = \"nowhere\"\nmax_bodi = 1\n[store]\nreaders = 0\n").unwrap();
    let mut command = command(&["serve", "--config", file.to_str().unwrap(), "--log-level", "inof"]);
    command.args(["--set", "tasks.max_running=many"]).current_dir(folder.path());
    command.env("A2A_GATEWAY_RETENTION_SETTLED", "soon").env("A2A_GATEWAY_SERVER_LISTN", "127.0.0.1:1");
    let done = Process::spawn(&mut command).finish();
    assert_eq!((done.code, done.out.as_str()), (Some(2), ""), "{done:?}");
    assert!(done.err.starts_with("error: 7 settings are wrong:\n"), "{}", done.err);
    for told in [
        "gateway.toml:2: server.listen: ",
        "gateway.toml:3: server.max_bodi: no such setting; did you mean server.max_body?",
        "gateway.toml:5: store.readers: ",
        "A2A_GATEWAY_RETENTION_SETTLED: ",
        "A2A_GATEWAY_SERVER_LISTN: no setting has this name; did you mean A2A_GATEWAY_SERVER_LISTEN?",
        "--log-level: ",
        "--set tasks.max_running: ",
    ] {
        assert_eq!(done.err.matches(told).count(), 1, "{told}: {}", done.err);
    }
    assert!(!folder.path().join("data").exists());
}

#[test]
fn agents_are_read_again_on_sighup_and_wrong_ones_change_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("gateway.toml");
    let write = |text: &str| fs::write(&file, text).unwrap();
    write("[[agents]]\nname = \"second\"\nurl = \"echo:\"\n");
    let arguments = ["--agent", "first=echo:", "--config", file.to_str().unwrap()];
    let mut gateway = Gateway::start_at("127.0.0.1:0", &folder.path().join("data"), &arguments);
    assert!(gateway.child.err.seen.contains("first (built in), second (built in)"), "{}", gateway.child.err.seen);

    write("[[agents]]\nname = \"second\"\nurll = \"echo:\"\ntoken = \"s3cret s3cret\"\n");
    gateway.child.signal("HUP");
    let reason = gateway.child.err.until("reason", |line| line.contains("agents[0].urll"));
    assert!(
        reason.contains("gateway.toml:3: agents[0].urll: no such setting; did you mean agents[0].url?"),
        "{reason}"
    );
    gateway.child.err.until("verdict", |line| line.contains("those that are in effect stay"));
    assert_eq!(told(&gateway, &["send", "hello"]), "Echo: hello\n");

    write("[store]\nreaders = 3\n[[agents]]\nname = \"third\"\nurl = \"echo:\"\n");
    gateway.child.signal("HUP");
    gateway.child.err.until("warning", |line| line.contains("a restart is needed for store.readers"));
    gateway.child.err.until("agents", |line| line.contains("\"first, third\""));
    gateway.child.err.until("change", |line| line.contains("the agents are as the settings say now"));
    assert_eq!(told(&gateway, &["send", "hello"]), "Echo: hello\n");
    assert_eq!(told(&gateway, &["send", "--agent", "third", "hello"]), "Echo: hello\n");
    let gone = ask(&gateway, &["send", "--agent", "second", "hello"]);
    assert!(gone.code == Some(1) && gone.err.contains("the agents are: first, third"), "{gone:?}");
    gateway.term();
    assert_eq!(gateway.wait(LIMIT).code(), Some(0));
    assert!(!gateway.child.err.seen.contains("s3cret"), "{}", gateway.child.err.seen);
}

#[test]
fn data_that_cannot_be_used_is_named_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    fs::write(path("file"), "").unwrap();
    let said = refused(&["--data-dir", &path("file/data")], 1);
    assert!(said.contains(&format!("cannot use the data directory {}", path("file/data"))), "{said}");

    let made = path("made");
    let mut gateway = Gateway::start(Path::new(&made));
    let said = refused(&["--data-dir", &made], 1);
    assert!(said.contains(&format!("the data directory {made} is in use by another gateway")), "{said}");
    assert_eq!(told(&gateway, &["send", "still there"]), "Echo: still there\n");
    gateway.term();
    assert!(gateway.wait(LIMIT).success());

    let database = format!("{made}/gateway.db");
    let good = fs::read(&database).unwrap();
    let noise: Vec<u8> = good[..100].iter().copied().chain((0..20_000_u32).map(|i| (i * i / 7) as u8)).collect();
    for bad in [b"this is no database, whatever its name says".repeat(100), noise] {
        fs::write(&database, &bad).unwrap();
        let said = refused(&["--data-dir", &made], 1);
        assert!(said.contains(&format!("the database {database} is damaged (")), "{said}");
        assert!(fs::read(&database).unwrap() == bad, "a damaged database was written to");
    }
    for (pragma, told) in [
        ("PRAGMA user_version = 99", "the database has schema version 99, newer than this gateway's "),
        ("PRAGMA application_id = 1", "the database belongs to another program"),
    ] {
        fs::write(&database, &good).unwrap();
        rusqlite::Connection::open(&database).unwrap().execute_batch(pragma).unwrap();
        let before = fs::read(&database).unwrap();
        let said = refused(&["--data-dir", &made], 1);
        assert!(said.contains(told) && said.contains("nothing was changed"), "{said}");
        assert!(fs::read(&database).unwrap() == before, "a foreign database was written to");
    }
}

#[test]
fn a_port_in_use_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let done = run(&["serve", "--listen", &address, "--data-dir", data.to_str().unwrap()]);
    assert_eq!((done.code, done.out.as_str()), (Some(1), ""), "{done:?}");
    assert!(done.err.contains(&format!("error: cannot listen on {address}: ")), "{done:?}");
    assert!(!data.exists());
}

#[test]
fn a_person_at_a_terminal_is_greeted_and_programs_get_json() {
    let data = tempfile::tempdir().unwrap();
    let arguments = ["serve", "--listen", "127.0.0.1:0", "--log-format", "text", "--data-dir"];
    let mut greeted = Process::spawn(command(&arguments).arg(data.path()));
    greeted.err.until("greeting", |line| line.contains("listens on 127.0.0.1:"));
    greeted.err.until("data directory", |line| line.contains(data.path().to_str().unwrap()));
    greeted.signal("INT");
    let done = greeted.finish();
    assert_eq!((done.code, done.out.as_str()), (Some(0), ""), "{done:?}");

    let mut gateway = Gateway::start_at("127.0.0.1:0", data.path(), &["--log-level", "debug"]);
    told(&gateway, &["send", "hello"]);
    gateway.term();
    assert_eq!(gateway.wait(LIMIT).code(), Some(0));
    let entries = json(&gateway.child.err.seen);
    for entry in &entries {
        assert!(["timestamp", "level", "message"].iter().all(|name| entry[name].is_string()), "{entry}");
    }
    assert!(entries.iter().any(|entry| entry["message"].as_str().unwrap().starts_with("SIGTERM: shutting down")));
}

#[test]
fn a_log_that_nobody_reads_any_more_stops_nothing() {
    let data = tempfile::tempdir().unwrap();
    let (log, end) = std::io::pipe().unwrap();
    let arguments = ["serve", "--listen", "127.0.0.1:0", "--log-level", "debug", "--data-dir"];
    let mut gateway = Process::spawn(command(&arguments).arg(data.path()).stderr(end));
    let line = BufReader::new(log).lines().map(Result::unwrap).find(|line| line.contains("\"listening\"")).unwrap();
    let address = json(&line)[0]["address"].as_str().unwrap().to_owned();
    // The reader is gone now, and each entry an error.
    let done = run(&["send", "hello", "--gateway", &address]);
    assert_eq!((done.code, done.out.as_str()), (Some(0), "Echo: hello\n"), "{done:?}");
    gateway.signal("TERM");
    assert_eq!(gateway.wait(LIMIT).code(), Some(0));
}

/// What a test watches while a gateway stops.
struct Watched {
    client: GatewayClient<Channel>,
    feed: Streaming<WatchTasksResponse>,
}

impl Watched {
    async fn new(gateway: &Gateway) -> Self {
        let mut client = gateway.client().await;
        let feed = client.watch_tasks(WatchTasksRequest::default()).await.unwrap().into_inner();
        Self { client, feed }
    }

    /// Waits until the chunks are there, in whatever order; the id of the last one's task, and the event's sequence.
    async fn chunks<const N: usize>(&mut self, wanted: [&str; N]) -> (String, i64) {
        let mut wanted = HashSet::from(wanted);
        let waiting = async {
            loop {
                let event = self.feed.message().await.unwrap().unwrap().event.unwrap_or_default();
                if chunk_of(&event).is_some_and(|chunk| wanted.remove(chunk)) && wanted.is_empty() {
                    return (event.task_id, event.sequence);
                }
            }
        };
        tokio::time::timeout(LIMIT, waiting).await.expect("the chunks come")
    }

    async fn watch(&mut self, id: &str, after: i64) -> Streaming<TaskEvent> {
        let request = WatchTaskRequest { task_id: id.to_owned(), after_sequence: Some(after) };
        self.client.watch_task(request).await.unwrap().into_inner()
    }
}

fn chunk_of(event: &TaskEvent) -> Option<&str> {
    match &event.event {
        Some(Event::ArtifactUpdate(update)) => texts(&update.artifact.as_ref().unwrap().parts).first().copied(),
        _ => None,
    }
}

/// A blocking send over JSON-RPC, begun.
fn send(gateway: &Gateway, text: &str) -> tokio::task::JoinHandle<reqwest::Result<Value>> {
    let request = http().post(format!("http://{}/a2a", gateway.address)).json(&send_message(text));
    tokio::spawn(async move { request.send().await?.json().await })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn told_to_stop_it_ends_streams_answers_calls_and_takes_nothing_new() {
    let data = tempfile::tempdir().unwrap();
    let mut gateway = Gateway::start(data.path());
    let mut watched = Watched::new(&gateway).await;
    let long = watched.client.submit_task(submit("slow: 500", "")).await.unwrap().into_inner().task.unwrap().id;
    let mut stream = watched.watch(&long, 0).await;
    let sent = send(&gateway, "slow: 5");
    let mut client = gateway.client().await;
    let wait = Some(well_known::Duration::from(LIMIT));
    let submitted =
        tokio::spawn(async move { client.submit_task(SubmitTaskRequest { wait, ..submit("slow: 6", "") }).await });
    watched.chunks(["chunk 1/5\n", "chunk 1/6\n"]).await;

    let told = Instant::now();
    gateway.term();
    let ended = loop {
        match tokio::time::timeout(LIMIT, stream.message()).await.expect("the stream ends") {
            Ok(event) => {
                assert!(event.is_some(), "the stream of a task that goes on must not end as if it had settled")
            }
            Err(status) => break status,
        }
    };
    assert_eq!(ended.code(), Code::Unavailable, "{ended:?}");
    // The port is closed before streams are ended.
    assert!(TcpStream::connect(&gateway.address).is_err());
    // A late call is refused, or meets the end of its connection: what its client makes of that is the client's.
    watched.client.submit_task(submit("too late", "")).await.unwrap_err();

    let answer = tokio::time::timeout(LIMIT, sent).await.expect("the call is answered").unwrap().unwrap();
    let task = &answer["result"]["task"];
    assert_eq!(task["status"]["state"], "TASK_STATE_COMPLETED", "{answer}");
    assert_eq!(task["artifacts"][0]["parts"].as_array().unwrap().len(), 5);
    let task = submitted.await.unwrap().unwrap().into_inner().task.unwrap();
    assert_eq!(task.status.unwrap().state(), TaskState::Completed);
    assert_eq!(texts(&task.artifacts[0].parts), chunks(6));
    assert_eq!(gateway.wait(LIMIT).code(), Some(0));
    assert!(told.elapsed() < Duration::from_secs(10), "it drained before its deadline: {:?}", told.elapsed());

    // However it was refused, nothing of it was taken.
    let gateway = Gateway::start(data.path());
    let listed = gateway.client().await.list_tasks(ListTasksRequest::default()).await.unwrap().into_inner();
    assert_eq!(listed.tasks.len(), 3, "{:?}", listed.tasks);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_that_outlast_the_drain_deadline_are_cut_off_and_their_tasks_go_on_later() {
    let data = tempfile::tempdir().unwrap();
    let mut gateway = Gateway::start_at("127.0.0.1:0", data.path(), &["--set", "server.drain_deadline=300ms"]);
    let mut watched = Watched::new(&gateway).await;
    let sent = send(&gateway, "slow: 100");
    let (id, sequence) = watched.chunks(["chunk 2/100\n"]).await;
    let told = Instant::now();
    gateway.term();
    assert_eq!(gateway.wait(LIMIT).code(), Some(0));
    let took = told.elapsed();
    assert!((Duration::from_millis(300)..Duration::from_secs(5)).contains(&took), "{took:?}");
    assert!(sent.await.unwrap().is_err(), "the call cannot have been answered");

    let gateway = Gateway::start(data.path());
    let mut watched = Watched::new(&gateway).await;
    let mut stream = watched.watch(&id, sequence).await;
    for n in 3..=8 {
        let event = tokio::time::timeout(LIMIT, stream.message()).await.expect("an event comes").unwrap().unwrap();
        assert_eq!((event.sequence, chunk_of(&event)), (sequence + n - 2, Some(&*format!("chunk {n}/100\n"))));
    }
    watched.client.cancel_task(CancelTaskRequest { task_id: id, metadata: None }).await.unwrap();
}

/// Whether `/readyz` says that the gateway is ready, on a connection of its own.
async fn is_ready(gateway: &Gateway) -> bool {
    let answer = reqwest::get(format!("http://{}/readyz", gateway.address)).await.expect("it serves");
    answer.status().is_success()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn before_it_drains_it_serves_on_and_says_that_it_is_not_ready() {
    let data = tempfile::tempdir().unwrap();
    let mut gateway = Gateway::start_at("127.0.0.1:0", data.path(), &["--set", "server.drain_delay=1h"]);
    let mut watched = Watched::new(&gateway).await;
    let sent = send(&gateway, "slow: 5");
    assert!(is_ready(&gateway).await);
    gateway.term();
    let unready = async {
        while is_ready(&gateway).await {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(LIMIT, unready).await.expect("it says that it is not ready");
    // Streams go on, and calls are taken: on old connections and on new ones.
    watched.chunks(["chunk 5/5\n"]).await;
    assert_eq!(sent.await.unwrap().unwrap()["result"]["task"]["status"]["state"], "TASK_STATE_COMPLETED");
    watched.client.submit_task(submit("hello", "")).await.unwrap();
    gateway.client().await.submit_task(submit("hello", "")).await.unwrap();
    gateway.term();
    assert_eq!(gateway.wait(LIMIT).code(), Some(130));

    let mut gateway = Gateway::start_at("127.0.0.1:0", data.path(), &["--set", "server.drain_delay=300ms"]);
    let told = Instant::now();
    gateway.term();
    assert_eq!(gateway.wait(LIMIT).code(), Some(0));
    assert!((Duration::from_millis(300)..Duration::from_secs(5)).contains(&told.elapsed()), "{:?}", told.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_signal_ends_it_at_once() {
    let data = tempfile::tempdir().unwrap();
    for signals in [["TERM", "TERM"], ["INT", "TERM"]] {
        let mut gateway = Gateway::start_at("127.0.0.1:0", data.path(), &["--set", "server.drain_deadline=1h"]);
        let mut watched = Watched::new(&gateway).await;
        let sent = send(&gateway, "slow: 1000");
        watched.chunks(["chunk 1/1000\n"]).await;
        gateway.child.signal(signals[0]);
        gateway.child.err.until("shutdown", |line| line.contains("shutting down"));
        gateway.child.signal(signals[1]);
        assert_eq!(gateway.wait(LIMIT).code(), Some(130));
        assert!(sent.await.unwrap().is_err());
    }
}
