//! Streams: the same events in the same order on every door, from a subscription and from the message itself.

use a2a_gateway::{
    agent::{Recovery, Update},
    proto::{
        a2a::{
            Artifact, Role, SendMessageRequest, StreamResponse, SubscribeToTaskRequest, TaskState,
            TaskStatusUpdateEvent, stream_response::Payload,
        },
        a2a_v03 as v03,
        gateway::{SubmitTaskRequest, TaskEvent, WatchTaskRequest, task_event::Event},
        well_known::Timestamp,
    },
};
use futures::{Stream, StreamExt as _};
use reqwest::{Method, Response};
use serde_json::json;
use tokio::{sync::mpsc, task::JoinHandle};

use super::{
    door::{sse::Parser, *},
    model::{self, Form},
    support::{Played, scripted},
    tasks,
};

/// Events, each with its sequence where the door tells it.
type Told = Vec<(Option<u64>, Payload)>;

/// Reads a stream to its end, and says when it has begun.
fn read(mut events: impl Stream<Item = (Option<u64>, Option<Payload>)> + std::marker::Send + Unpin + 'static) -> Heard {
    let (began, begun) = mpsc::channel(1);
    let told = tokio::spawn(async move {
        let mut told = Told::new();
        while let Some((sequence, payload)) = events.next().await {
            told.extend(payload.map(|payload| (sequence, payload)));
            let _ = began.try_send(());
        }
        told
    });
    Heard { begun, told }
}

/// A stream that is being read.
struct Heard {
    begun: mpsc::Receiver<()>,
    told: JoinHandle<Told>,
}

impl Heard {
    async fn begun(&mut self) {
        tokio::time::timeout(PATIENCE, self.begun.recv()).await.expect("the stream did not begin");
    }

    async fn told(self) -> Told {
        tokio::time::timeout(PATIENCE, self.told).await.expect("the stream did not end").unwrap()
    }
}

/// The events of a body of Server-Sent Events.
fn sse(form: Form, enveloped: bool, response: Response) -> Heard {
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let mut parser = Parser::default();
    let frames = response.bytes_stream().map(move |bytes| futures::stream::iter(parser.push(&bytes.unwrap())));
    read(frames.flatten().map(move |frame| {
        let data: serde_json::Value = serde_json::from_str(frame.data.as_ref().unwrap()).unwrap();
        let data = if enveloped { &data["result"] } else { &data };
        (frame.id.map(|id| id.parse().unwrap()), model::event(form, frame.event.as_deref(), data))
    }))
}

fn own(event: TaskEvent) -> (Option<u64>, Option<Payload>) {
    let payload = match event.event.unwrap() {
        Event::Snapshot(task) => Payload::Task(task),
        Event::Message(message) => Payload::Message(message),
        Event::StatusUpdate(update) => Payload::StatusUpdate(update),
        Event::ArtifactUpdate(update) => Payload::ArtifactUpdate(update),
    };
    (Some(u64::try_from(event.sequence).unwrap()), Some(payload))
}

fn a2a(event: Result<StreamResponse, tonic::Status>) -> (Option<u64>, Option<Payload>) {
    (None, event.unwrap().payload)
}

fn contract(event: Result<v03::StreamResponse, tonic::Status>) -> (Option<u64>, Option<Payload>) {
    (None, Some(model::event_of_contract(&event.unwrap())))
}

/// Posts a request for a stream over JSON-RPC.
async fn rpc(client: &Client, method: &str, params: serde_json::Value) -> Heard {
    let form = Form::of(client.door, client.door.dialect());
    let body = json!({"jsonrpc": "2.0", "id": "q-1", "method": method, "params": params});
    sse(form, form != Form::Praison, client.post(body.to_string(), &[]).await)
}

async fn watch(client: &Client, id: &str) -> Heard {
    match client.door {
        Door::Gateway => {
            let request = WatchTaskRequest { task_id: id.into(), after_sequence: None };
            read(client.gateway().watch_task(request).await.unwrap().into_inner().map(|event| own(event.unwrap())))
        }
        Door::A2aGrpc => {
            let request = SubscribeToTaskRequest { id: id.into(), ..Default::default() };
            read(client.a2a().subscribe_to_task(request).await.unwrap().into_inner().map(a2a))
        }
        Door::Grpc03 => {
            let request = v03::TaskSubscriptionRequest { name: format!("tasks/{id}") };
            read(client.a2a_v03().task_subscription(request).await.unwrap().into_inner().map(contract))
        }
        Door::Rest => {
            sse(Form::V1, false, client.ask(Method::POST, &format!("/tasks/{id}:subscribe"), None, &[]).await)
        }
        Door::Rest03 => {
            let path = format!("/v1/tasks/{id}:subscribe");
            sse(Form::Contract03, false, client.ask(Method::GET, &path, None, &[]).await)
        }
        Door::V1 => rpc(client, "SubscribeToTask", json!({"id": id})).await,
        _ => rpc(client, "tasks/resubscribe", json!({"id": id})).await,
    }
}

async fn stream(client: &Client, text: &str) -> Heard {
    let configuration = json!({"blocking": true});
    let params = json!({"message": client.door.dialect().map(|_| client.message(text))});
    match client.door {
        Door::Gateway => {
            let request = SubmitTaskRequest { message: Some(grpc::message(text)), ..Default::default() };
            let record = client.gateway().submit_task(request).await.unwrap().into_inner();
            // From the first event on, whatever has come of it meanwhile.
            let task_id = record.task.unwrap().id;
            let request = WatchTaskRequest { task_id, after_sequence: Some(0) };
            read(client.gateway().watch_task(request).await.unwrap().into_inner().map(|event| own(event.unwrap())))
        }
        Door::A2aGrpc => {
            let request = SendMessageRequest { message: Some(grpc::message(text)), ..Default::default() };
            read(client.a2a().send_streaming_message(request).await.unwrap().into_inner().map(a2a))
        }
        Door::Grpc03 => {
            let request = v03::SendMessageRequest { request: Some(grpc_v03::message(text)), ..Default::default() };
            read(client.a2a_v03().send_streaming_message(request).await.unwrap().into_inner().map(contract))
        }
        Door::Rest => {
            let body = Some(params.to_string());
            sse(Form::V1, false, client.ask(Method::POST, "/message:stream", body, &[]).await)
        }
        Door::Rest03 => {
            let message = json!({"messageId": "m-1", "role": "ROLE_USER", "content": [{"text": text}]});
            let body = json!({"message": message, "configuration": configuration}).to_string();
            sse(Form::Contract03, false, client.ask(Method::POST, "/v1/message:stream", Some(body), &[]).await)
        }
        Door::V1 => rpc(client, "SendStreamingMessage", params).await,
        _ => rpc(client, "message/stream", params).await,
    }
}

/// What the form can tell of the events.
///
/// PraisonAI's streams have no tasks, begin at `working`, and tell no times.
fn reduced(form: Form, told: &Told) -> Vec<Payload> {
    let payloads = told.iter().filter_map(|(_, payload)| match payload.clone() {
        Payload::Task(task) if form == Form::Praison => {
            let status = task.status.filter(|status| status.state() != TaskState::Submitted);
            let (task_id, context_id) = (task.id, task.context_id);
            status.map(|status| {
                let update = TaskStatusUpdateEvent { task_id, context_id, status: Some(status), metadata: None };
                Payload::StatusUpdate(update)
            })
        }
        payload => Some(payload),
    });
    let reduce = |payload| match payload {
        Payload::Task(task) => Payload::Task(model::reduced(form, task)),
        Payload::Message(mut message) => {
            model::reduce_message(form, &mut message);
            Payload::Message(message)
        }
        Payload::StatusUpdate(mut update) => {
            let status = update.status.as_mut().unwrap();
            status.message.iter_mut().for_each(|message| model::reduce_message(form, message));
            status.timestamp = status.timestamp.filter(|_| form != Form::Praison);
            Payload::StatusUpdate(update)
        }
        Payload::ArtifactUpdate(mut update) => {
            let artifact = update.artifact.as_mut().unwrap();
            model::reduce(form, &mut artifact.parts, &mut artifact.extensions);
            Payload::ArtifactUpdate(update)
        }
    };
    payloads.map(reduce).collect()
}

/// What the agent says, to the end.
async fn play(turn: &Played) {
    let artifact = Artifact {
        artifact_id: "a-1".into(),
        name: "result".into(),
        parts: tasks::parts("first"),
        extensions: vec!["https://ext.test/two".into()],
        ..Artifact::default()
    };
    let more = Artifact { artifact_id: "a-1".into(), parts: tasks::parts("second"), ..Artifact::default() };
    let said = Some(tasks::rich("on it", Role::Agent));
    turn.say(Update::Status { state: TaskState::Working, message: said, metadata: None }).await;
    turn.say(Update::Artifact { artifact, append: false, last_chunk: false, metadata: None }).await;
    turn.say(Update::Artifact { artifact: more, append: true, last_chunk: true, metadata: None }).await;
    let said = Some(tasks::rich("done", Role::Agent));
    turn.say(Update::Status { state: TaskState::Completed, message: said, metadata: None }).await;
}

#[tokio::test]
async fn all_who_watch_a_task_hear_the_same_whatever_their_door() {
    let (agent, mut script) = scripted(Recovery::Fail);
    let gateway = Gateway::start_with(vec![("a".into(), agent)], &[]).await;
    let id = gateway.client(Door::A2aGrpc).send(say_at_once("go")).await.unwrap().task().id;
    let turn = script.turn().await;
    let mut heard = Vec::new();
    for door in Door::ALL.into_iter().filter(|door| *door != Door::Praison) {
        let mut stream = watch(&gateway.client(door), &id).await;
        // A stream that has not begun would begin with a later snapshot. PraisonAI's tells nothing of it.
        if door != Door::PraisonOwn {
            stream.begun().await;
        }
        heard.push((door, stream));
    }
    play(&turn).await;
    let mut reference: Option<Told> = None;
    for (door, stream) in heard {
        let told = stream.told().await;
        let form = Form::of(door, door.dialect());
        let reference = reference.get_or_insert_with(|| told.clone());
        assert_eq!(reference.len(), 5, "{reference:?}");
        let payloads: Vec<_> = told.iter().map(|(_, payload)| payload.clone()).collect();
        assert_eq!(payloads, reduced(form, reference), "{door:?}");
        if Door::RESUMABLE.contains(&door) {
            let sequences = |told: &Told| told.iter().map(|(sequence, _)| *sequence).collect::<Vec<_>>();
            assert_eq!(sequences(&told), sequences(reference), "{door:?}");
        }
    }
}

#[tokio::test]
async fn a_streamed_message_tells_the_same_on_every_door() {
    let (agent, mut script) = scripted(Recovery::Fail);
    let gateway = Gateway::start_with(vec![("a".into(), agent)], &[]).await;
    let mut reference: Option<Told> = None;
    for door in Door::ALL {
        let client = gateway.client(door);
        let heard = tokio::spawn(async move { stream(&client, "go").await });
        let turn = script.turn().await;
        play(&turn).await;
        let told = nameless(heard.await.unwrap().told().await);
        let form = Form::of(door, door.dialect());
        let reference = reference.get_or_insert_with(|| told.clone());
        let payloads: Vec<_> = told.iter().map(|(_, payload)| payload.clone()).collect();
        assert_eq!(payloads, reduced(form, reference), "{door:?}");
    }
}

/// The events without ids that the gateway mints, and times.
fn nameless(told: Told) -> Told {
    let timed = |time: &mut Option<Timestamp>| {
        *time = time.take().map(|_| Timestamp::default());
    };
    let told = told.into_iter().map(|(_, mut payload)| {
        match &mut payload {
            Payload::Task(task) => {
                *task = model::canonical(std::mem::take(task));
                // Where the stream begins, and how soon, is not the door's to say.
                task.status.as_mut().unwrap().timestamp = Some(Timestamp::default());
            }
            Payload::Message(message) => (message.task_id, message.context_id) = Default::default(),
            Payload::StatusUpdate(update) => {
                (update.task_id, update.context_id) = Default::default();
                let status = update.status.as_mut().unwrap();
                timed(&mut status.timestamp);
                if let Some(message) = &mut status.message {
                    (message.task_id, message.context_id) = Default::default();
                }
            }
            Payload::ArtifactUpdate(update) => (update.task_id, update.context_id) = Default::default(),
        }
        (None, payload)
    });
    told.collect()
}
