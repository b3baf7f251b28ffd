//! What the faces write, held against text.

use a2a_gateway::proto::a2a::TaskState;
use serde_json::{Value, json};

use crate::{
    client::{JSON, ask, client, options, start, text},
    upstream::{Face, Kind, Operation, Options, Sdk, Upstream},
};

#[tokio::test]
async fn a_task_is_shown_in_the_faces_own_words() {
    let http = client();
    for face in JSON {
        let mut agent = Upstream::start(face, Options::default());
        let asked = start(ask(&http, &agent, Operation::SEND, ""));
        let call = agent.expect(Operation::SEND).await;
        assert_eq!((call.text.as_str(), call.message_id.as_str(), call.parts), ("hello", "m-1", 1));
        let mut task = call.snapshot(TaskState::InputRequired).text("which?").artifact("a", &["x", "y"]);
        task.id = "t".into();
        task.context = if face == Face::Praison { String::new() } else { "c".into() };
        call.task(&task);
        let (status, media, body) = text(asked).await;
        assert_eq!(status, 200);
        assert_eq!(media, if face == Face::Rest10 { "application/a2a+json" } else { "application/json" });
        let mut body: Value = serde_json::from_str(&body).unwrap();
        let message = |id: &str, role: &str, text: &str| match face {
            Face::JsonRpc10 | Face::Rest10 => json!({
                "messageId": id, "taskId": "t", "contextId": "c", "role": role, "parts": [{"text": text}],
            }),
            Face::Rest03 => json!({
                "messageId": id, "taskId": "t", "contextId": "c", "role": role, "content": [{"text": text}],
            }),
            Face::JsonRpc03 => json!({
                "kind": "message", "messageId": id, "taskId": "t", "contextId": "c", "role": role,
                "parts": [{"kind": "text", "text": text}],
            }),
            _ => json!({"messageId": id, "taskId": "t", "role": role, "parts": [{"text": text}]}),
        };
        let (state, user, agent_role, time) = match face {
            Face::JsonRpc10 | Face::Rest10 | Face::Rest03 => {
                ("TASK_STATE_INPUT_REQUIRED", "ROLE_USER", "ROLE_AGENT", "2026-01-02T03:04:05.678Z")
            }
            Face::JsonRpc03 => ("input-required", "user", "agent", "2026-01-02T03:04:05.678901+00:00"),
            _ => ("input_required", "user", "agent", "2026-01-02T03:04:05.678901+00:00"),
        };
        let mut expected = json!({
            "id": "t",
            "status": {"state": state, "message": message("t-6-5ea0f2ad", agent_role, "which?"), "timestamp": time},
            "artifacts": [{"artifactId": "a", "parts": [{"text": "x"}, {"text": "y"}]}],
            "history": [message("t-h0", user, "hello")],
        });
        if face == Face::JsonRpc03 {
            expected["kind"] = "task".into();
            expected["artifacts"][0]["parts"] = json!([{"kind": "text", "text": "x"}, {"kind": "text", "text": "y"}]);
        }
        if face != Face::Praison {
            expected["contextId"] = "c".into();
        }
        expected = match face {
            Face::JsonRpc10 | Face::Rest10 | Face::Rest03 => json!({"task": expected}),
            _ => expected,
        };
        if !matches!(face, Face::Rest10 | Face::Rest03) {
            expected = json!({"jsonrpc": "2.0", "id": "q", "result": expected});
        }
        // The id of the status message is a function of its text.
        let path = match face {
            Face::JsonRpc10 => "/result/task/status/message/messageId",
            Face::Rest10 | Face::Rest03 => "/task/status/message/messageId",
            _ => "/result/status/message/messageId",
        };
        assert!(body.pointer(path).unwrap().as_str().unwrap().starts_with("t-6-"), "{body}");
        *body.pointer_mut(path).unwrap() = "t-6-5ea0f2ad".into();
        assert_eq!(body, expected, "{face:?}");
    }
}

/// What each face's server writes for: working, an artifact of one chunk, completed.
fn stream_of(face: Face, sdk: Sdk) -> String {
    let status = |state: &str| {
        let (state, done) = match face {
            Face::JsonRpc03 | Face::Praison => (state.to_lowercase(), format!("\"final\":{},", state == "COMPLETED")),
            Face::Rest03 if state == "COMPLETED" => (format!("TASK_STATE_{state}"), "\"final\":true,".into()),
            _ => (format!("TASK_STATE_{state}"), String::new()),
        };
        (state, done)
    };
    let ids = if face == Face::Praison { "\"taskId\":\"t\"" } else { "\"contextId\":\"c\",\"taskId\":\"t\"" };
    let mut lines = Vec::new();
    for step in ["WORKING", "artifact", "COMPLETED"] {
        let (name, event) = if step == "artifact" {
            let part = if face == Face::JsonRpc03 { r#"{"kind":"text","text":"hi"}"# } else { r#"{"text":"hi"}"# };
            let artifact = format!(r#""artifact":{{"artifactId":"a","parts":[{part}]}}"#);
            let event = match face {
                Face::JsonRpc03 => {
                    format!(r#"{{"append":false,{artifact},"kind":"artifact-update","lastChunk":true,IDS}}"#)
                }
                Face::Praison => format!(r#"{{"append":false,{artifact},"lastChunk":true,IDS}}"#),
                _ => format!(r#"{{"artifactUpdate":{{{artifact},"lastChunk":true,IDS}}}}"#),
            };
            ("task.artifact", event)
        } else {
            let (state, done) = status(step);
            let event = match face {
                Face::JsonRpc03 => {
                    let time = r#""timestamp":"2026-01-02T03:04:05.678901+00:00""#;
                    format!(r#"{{{done}"kind":"status-update","status":{{"state":"{state}",{time}}},IDS}}"#)
                }
                Face::Praison => format!(r#"{{{done}"status":{{"state":"{state}"}},IDS}}"#),
                _ => {
                    let time = r#""timestamp":"2026-01-02T03:04:05.678Z""#;
                    format!(r#"{{"statusUpdate":{{{done}"status":{{"state":"{state}",{time}}},IDS}}}}"#)
                }
            };
            ("task.status", event)
        };
        lines.push((name, sorted(&event.replace("IDS", ids))));
    }
    let python = sdk == Sdk::Python && face != Face::Praison;
    let end = if python { "\r\n" } else { "\n" };
    let mut text = String::new();
    for (name, event) in lines {
        if face == Face::Praison {
            text += &format!("event: {name}\n");
        } else if sdk == Sdk::Go {
            text += "id: ID\n";
        }
        let event = match face {
            Face::JsonRpc10 | Face::JsonRpc03 => format!(r#"{{"id":"q","jsonrpc":"2.0","result":{event}}}"#),
            _ => event,
        };
        if python && face == Face::Rest03 {
            let value: Value = serde_json::from_str(&event).unwrap();
            for line in serde_json::to_string_pretty(&value).unwrap().lines() {
                text += &format!("data: {line}\r\n");
            }
        } else {
            text += &format!("data: {event}{end}");
        }
        text += end;
    }
    match (face, sdk) {
        (Face::Praison, _) => text + "event: done\ndata: {}\n\n",
        (_, Sdk::Python) => text + ": ping - 2026-01-02 03:04:05.678901+00:00\r\n\r\n",
        (_, Sdk::Go) => text + ": keep-alive\n\n",
        (_, Sdk::Js) => text,
    }
}

/// The members in the order in which they are printed here.
fn sorted(json: &str) -> String {
    serde_json::from_str::<Value>(json).unwrap().to_string()
}

#[tokio::test]
async fn a_stream_is_written_as_the_faces_servers_write_it() {
    let http = client();
    for (face, sdk) in JSON.into_iter().flat_map(|face| Sdk::ALL.map(|sdk| (face, sdk))) {
        let mut agent = Upstream::start(face, options(sdk));
        let asked = start(ask(&http, &agent, Operation::Stream, ""));
        let mut stream = agent.expect(Operation::Stream).await.stream();
        stream.set_ids("t", if face == Face::Praison { "" } else { "c" });
        stream.status(TaskState::Working, "").await;
        stream.artifact("a", "hi", false, true).await;
        stream.status(TaskState::Completed, "").await;
        stream.ping().await;
        stream.end().await;
        let (status, media, body) = text(asked).await;
        assert_eq!((status, media.split(';').next().unwrap()), (200, "text/event-stream"));
        let lines = body.split_inclusive('\n');
        let body: String = lines.map(|line| if line.starts_with("id: ") { "id: ID\n" } else { line }).collect();
        assert_eq!(body, stream_of(face, sdk), "{face:?} {sdk:?}");
    }
}

#[tokio::test]
async fn a_refusal_has_the_form_of_the_face_and_of_its_server() {
    let http = client();
    let rows = [
        (Face::JsonRpc10, Sdk::Js, Kind::TaskNotFound, 200, "application/json", "/error/code", json!(-32001)),
        (
            Face::JsonRpc10,
            Sdk::Js,
            Kind::TaskNotCancelable,
            200,
            "application/json",
            "/error/data/0/reason",
            json!("TASK_NOT_CANCELABLE"),
        ),
        (Face::JsonRpc03, Sdk::Python, Kind::UnsupportedOperation, 200, "application/json", "/error/data", Value::Null),
        (Face::Praison, Sdk::Python, Kind::TaskNotFound, 200, "application/json", "/error/code", json!(-32000)),
        (Face::Rest10, Sdk::Js, Kind::TaskNotFound, 404, "application/a2a+json", "/error/status", json!("NOT_FOUND")),
        (
            Face::Rest10,
            Sdk::Go,
            Kind::UnsupportedOperation,
            400,
            "application/json",
            "/error/status",
            json!("FAILED_PRECONDITION"),
        ),
        (
            Face::Rest03,
            Sdk::Python,
            Kind::InvalidParams,
            422,
            "application/json",
            "/message",
            json!("scripted: InvalidParams"),
        ),
        (Face::Rest03, Sdk::Js, Kind::TaskNotFound, 404, "application/json", "/code", json!(-32001)),
        (
            Face::Rest03,
            Sdk::Go,
            Kind::TaskNotFound,
            404,
            "application/problem+json",
            "/error/details/0/reason",
            json!("TASK_NOT_FOUND"),
        ),
    ];
    for (face, sdk, kind, status, media, path, value) in rows {
        let mut agent = Upstream::start(face, options(sdk));
        let asked = start(ask(&http, &agent, Operation::Get, "t"));
        agent.expect(Operation::Get).await.error(kind);
        let (seen, kind_seen, body) = text(asked).await;
        assert_eq!((seen, kind_seen.as_str()), (status, media), "{face:?} {sdk:?}");
        let body: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(body.pointer(path), Some(&value), "{face:?} {sdk:?}: {body}");
    }
    // Before a stream: a body, save from Go.
    for (sdk, body_type) in [(Sdk::Python, "application/json"), (Sdk::Go, "text/event-stream")] {
        let mut agent = Upstream::start(Face::JsonRpc10, options(sdk));
        let asked = start(ask(&http, &agent, Operation::Stream, ""));
        agent.expect(Operation::Stream).await.error(Kind::UnsupportedOperation);
        let (status, media, body) = text(asked).await;
        assert_eq!((status, media.as_str()), (200, body_type));
        assert!(body.contains("-32004"), "{body}");
    }
    // Within one.
    let mut agent = Upstream::start(Face::Rest10, Options::default());
    let asked = start(ask(&http, &agent, Operation::Stream, ""));
    agent.expect(Operation::Stream).await.stream().error(Kind::Internal).await;
    let body = text(asked).await.2;
    assert!(body.starts_with("event: error\r\ndata: {\"error\":{\"code\":500,"), "{body}");
}

#[tokio::test]
async fn each_face_has_its_card_at_its_place() {
    let http = client();
    for face in Face::ALL {
        let agent = Upstream::start(face, Options { streaming: false, ..Options::default() });
        let url = |name: &str| format!("{}/.well-known/{name}", agent.url());
        let (own, other) = ("agent-card.json", "agent.json");
        let (own, other) = if face == Face::Praison { (other, own) } else { (own, other) };
        assert_eq!(http.get(url(other)).send().await.unwrap().status(), 404);
        let card = http.get(url(own)).send().await.unwrap();
        let tag = card.headers()["etag"].clone();
        let card: Value = card.json().await.unwrap();
        let at = if card.get("url").is_some() { &card["url"] } else { &card["supportedInterfaces"][0]["url"] };
        assert_eq!((at, &card["capabilities"]["streaming"]), (&json!(agent.endpoint()), &json!(false)), "{face:?}");
        let again = http.get(url(own)).header("if-none-match", tag.clone()).send().await.unwrap();
        assert_eq!(again.status(), 304);
        let mut changed = agent.card.get();
        changed["version"] = "2".into();
        agent.card.set(&changed);
        agent.card.set_headers(&[("cache-control", "max-age=5")]);
        let again = http.get(url(own)).header("if-none-match", tag).send().await.unwrap();
        assert_eq!((again.status().as_u16(), &again.headers()["cache-control"]), (200, &"max-age=5".parse().unwrap()));
        agent.card.set_status(500);
        assert_eq!(http.get(url(own)).send().await.unwrap().status(), 500);
        assert_eq!(agent.card.asked(), 4);
    }
}
