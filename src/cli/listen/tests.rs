//! A real receiver on a free port, and deliveries sent to it.

use http::HeaderValue;
use tokio::sync::oneshot;

use super::*;
use crate::{
    cli::print::tests::{Paper, screen},
    task::signature,
};

const SECRET: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const OTHER: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const STATUS: &str = r#"{"statusUpdate":{"taskId":"t1","contextId":"c","status":{"state":"TASK_STATE_INPUT_REQUIRED",
    "message":{"messageId":"m","role":"ROLE_AGENT","parts":[{"text":"Which\nway?"}]}}}}"#;

fn given(text: &str) -> Option<Given> {
    Some(Given::parse(text).unwrap())
}

/// A delivery as the gateway sends it.
fn delivery(http: &reqwest::Client, url: &str, id: &str, body: &str) -> reqwest::RequestBuilder {
    let time = now().seconds;
    let signature = signature::sign([SECRET], id, time, body.as_bytes()).unwrap();
    http.post(url)
        .header(signature::ID, id)
        .header(signature::TIMESTAMP, time)
        .header(signature::SIGNATURE, signature)
        .header("a2a-event-sequence", "3")
        .body(body.to_owned())
}

/// Receives while `work` goes on. What was shown on standard output and on standard error.
async fn receiving<F: Future<Output = ()>>(
    checks: Checks,
    status: u16,
    json: bool,
    work: impl FnOnce(reqwest::Client, String) -> F,
) -> (String, String) {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let (mut screen, out, err): (_, Paper, Paper) = screen(false);
    let (done, stop) = oneshot::channel::<()>();
    let status = StatusCode::from_u16(status).unwrap();
    let receive = receive(listener, &checks, status, json, &mut screen, async { drop(stop.await) });
    let work = async {
        work(reqwest::Client::new(), url).await;
        drop(done);
    };
    tokio::join!(async { receive.await.unwrap() }, work);
    (out.text(), err.text())
}

/// The lines without the time at the start of the first.
fn lines(out: &str) -> Vec<&str> {
    let begins = |line: &str| line.starts_with("20") && line.as_bytes().get(23) == Some(&b'Z');
    out.lines().map(|line| if begins(line) { &line[26..] } else { line }).collect()
}

#[tokio::test]
async fn a_right_delivery_is_shown_and_a_repeated_one_too() {
    let checks = Checks::new(given(SECRET), given("tk"), given("Bearer xyz")).unwrap();
    let (out, err) = receiving(checks, 204, false, async |http, url| {
        for _ in 0..2 {
            let request = delivery(&http, &url, "id-1", STATUS)
                .header("x-a2a-notification-token", "tk")
                .header("a2a-notification-token", "tk")
                .header("authorization", "Bearer xyz");
            assert_eq!(request.send().await.unwrap().status(), 204);
        }
    })
    .await;
    let shown = [
        "#3 status input-required: Which way?",
        "  task t1  (A2A 1.0)",
        "  id id-1",
        "  verified: signature, token, authorization",
    ];
    let again = "  again: it has come once before";
    let all = lines(&out);
    assert_eq!((&all[..4], &all[4..7], all[7], all[8]), (&shown[..], &shown[..3], again, shown[3]), "{out}");
    assert_eq!((all.len(), err.as_str()), (9, ""));
}

#[tokio::test]
async fn what_is_not_as_demanded_is_refused_with_the_reason() {
    let checks = Checks::new(given(SECRET), given("tk"), given("Bearer xyz")).unwrap();
    let (out, _) = receiving(checks, 200, false, async |http, url| {
        let right = |body: &str| {
            let request = delivery(&http, &url, "id-1", body);
            request.header("x-webhook-token", "tk").header("authorization", "Bearer xyz").build().unwrap()
        };
        let old = (now().seconds - 301).to_string();
        let future = (now().seconds + 310).to_string();
        let set = |name: &'static str, value: &str| {
            let mut request = right(STATUS);
            request.headers_mut().insert(name, HeaderValue::from_str(value).unwrap());
            request
        };
        let without = |name: &'static str| {
            let mut request = right(STATUS);
            request.headers_mut().remove(name).unwrap();
            request
        };
        let mut changed = right(STATUS);
        *changed.body_mut() = Some(STATUS.replace("t1", "t2").into());
        for (request, reason) in [
            (changed, "signature: no signature is that of the secret"),
            (set("webhook-id", "id-2"), "signature: no signature is that of the secret"),
            (set("webhook-timestamp", &old), "signature: webhook-timestamp is too long ago"),
            (set("webhook-timestamp", &future), "signature: webhook-timestamp is in the future"),
            (set("webhook-signature", "v1,x"), "signature: no signature is that of the secret"),
            (without("webhook-signature"), "signature: there is no webhook-signature header"),
            (without("webhook-id"), "signature: there is no webhook-id header"),
            (set("x-webhook-token", "tkk"), "token: it is another"),
            (set("a2a-notification-token", ""), "token: it is another"),
            (without("x-webhook-token"), "token: there is no token header"),
            (set("authorization", "Bearer xy"), "authorization: the Authorization header is another"),
            (without("authorization"), "authorization: there is no Authorization header"),
        ] {
            let answer = http.execute(request).await.unwrap();
            assert_eq!(answer.status(), 401, "{reason}");
            assert_eq!(answer.text().await.unwrap(), format!("{reason}\n"));
        }
        assert_eq!(http.execute(right(STATUS)).await.unwrap().status(), 200);
    })
    .await;
    assert_eq!(out.matches("answered 401 Unauthorized").count(), 12);
    assert!(out.contains("  not verified: token: it is another\n"), "{out}");
    assert!(out.ends_with("  verified: signature, token, authorization\n"), "{out}");
}

#[tokio::test]
async fn with_a_secret_of_its_own_it_takes_all_and_says_what_is_verified() {
    let checks = Checks { secret: Given::parse(SECRET).unwrap(), ..Checks::new(None, None, None).unwrap() };
    let (out, _) = receiving(checks, 503, true, async |http, url| {
        let request = delivery(&http, &url, "id-1", STATUS);
        assert_eq!(request.send().await.unwrap().status(), 503);
        let mut request = delivery(&http, &url, "id-2", "{}").build().unwrap();
        let signature = signature::sign([OTHER], "id-2", now().seconds, b"{}").unwrap();
        request.headers_mut().insert("webhook-signature", signature.parse().unwrap());
        assert_eq!(http.execute(request).await.unwrap().status(), 503);
        assert_eq!(http.post(&url).body("no JSON").send().await.unwrap().status(), 503);
    })
    .await;
    let shown: Vec<serde_json::Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let event = serde_json::json!({
        "form": "A2A 1.0", "kind": "status", "state": "input-required", "text": "Which\nway?", "taskId": "t1"
    });
    assert_eq!((&shown[0]["event"], &shown[0]["sequence"], &shown[0]["id"]), (&event, &3.into(), &"id-1".into()));
    assert_eq!(
        (&shown[0]["verified"], &shown[0]["answered"], &shown[0]["again"]),
        (&true.into(), &503.into(), &0.into())
    );
    assert_eq!(shown[0]["body"], serde_json::from_str::<serde_json::Value>(STATUS).unwrap());
    assert_eq!((&shown[1]["verified"], &shown[1]["problems"]), (&false.into(), &serde_json::json!([])));
    assert_eq!(shown[1]["unchecked"], serde_json::json!(["signature: give its webhook's secret as --secret"]));
    assert_eq!((&shown[2]["body"], &shown[2]["id"]), (&"no JSON".into(), &serde_json::Value::Null));
    assert_eq!(shown.len(), 3);
}

#[tokio::test]
async fn an_unsigned_delivery_with_the_right_token_is_taken_and_said_to_be_both() {
    let checks = Checks::new(None, given("tk"), None).unwrap();
    let (out, _) = receiving(checks, 200, false, async |http, url| {
        let request = http.post(&url).header("x-webhook-token", "tk").body(STATUS);
        assert_eq!(request.send().await.unwrap().status(), 200);
    })
    .await;
    let told = "  verified: token; not verified: signature: there is no webhook-id header\n";
    assert!(out.ends_with(told), "{out}");
}

#[tokio::test]
async fn other_methods_and_too_large_bodies_are_refused() {
    let checks = Checks::new(None, None, None).unwrap();
    let (out, err) = receiving(checks, 200, false, async |http, url| {
        let answer = http.get(&url).send().await.unwrap();
        assert_eq!((answer.status().as_u16(), &answer.headers()["allow"]), (405, &HeaderValue::from_static("POST")));
        let large = |size| http.post(&url).body(vec![b' '; size]).send();
        assert_eq!(large((4 << 20) + 1).await.unwrap().status(), 413);
        assert_eq!(large(4 << 20).await.unwrap().status(), 200);
    })
    .await;
    assert!(err.ends_with("a delivery of more than 4 MiB was refused\n") && err.lines().count() == 1, "{err}");
    assert!(lines(&out)[0].starts_with("4194304 bytes:"), "{out:.200}");
}

#[test]
fn the_greeting_tells_how_to_send_here() {
    let checks = Checks::new(given(SECRET), given("a b"), None).unwrap();
    let plain = |address: &str| anstream::adapter::strip_str(&greeting(address.parse().unwrap(), &checks)).to_string();
    let text = plain("127.0.0.1:9000");
    let create = format!("  a2a-gateway webhook create --url http://127.0.0.1:9000/ --secret {SECRET} --token 'a b'\n");
    assert!(text.starts_with("listening on http://127.0.0.1:9000/\n") && text.contains(&create), "{text}");
    assert!(text.ends_with("\n  a2a-gateway --webhook-allow 127.0.0.0/8"), "{text}");
    for (address, url, network) in [
        ("0.0.0.0:1", "http://127.0.0.1:1/", "127.0.0.0/8"),
        ("[::]:1", "http://[::1]:1/", "::1/128"),
        ("192.0.2.7:1", "http://192.0.2.7:1/", "192.0.2.7/32"),
    ] {
        let text = plain(address);
        assert!(text.contains(&format!("--url {url} ")) && text.ends_with(network), "{text}");
    }
}

#[tokio::test]
async fn a_port_that_is_taken_is_told() {
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = taken.local_addr().unwrap();
    let args = ListenArgs { port, secret: None, token: None, auth: None, status: StatusCode::OK, json: false };
    let failure = listen(args, &mut screen(false).0).await.unwrap_err();
    assert!(failure.report().contains(&format!("cannot listen on {port}: ")), "{}", failure.report());
    assert_eq!(failure.exit(), Exit::Failed);
}

#[test]
fn a_made_secret_is_a_secret_and_new_each_time() {
    let made = || Checks::new(None, None, None).unwrap().arguments();
    let (one, other) = (made(), made());
    assert_ne!(one, other);
    assert!(parse_signing(one.strip_prefix(" --secret ").unwrap()).is_ok(), "{one}");
}

#[test]
fn ids_are_counted_and_the_oldest_forgotten() {
    let mut seen = Seen::default();
    assert_eq!([seen.before("a"), seen.before("a"), seen.before("b"), seen.before("a")], [0, 1, 0, 2]);
    assert_eq!([seen.before(""), seen.before("")], [0, 0]);
    for n in 0..REMEMBERED {
        seen.before(&n.to_string());
    }
    assert_eq!((seen.before("a"), seen.counts.len(), seen.order.len()), (0, REMEMBERED, REMEMBERED));
}

#[test]
fn arguments_are_read() {
    assert_eq!(parse_address("9001").unwrap(), "127.0.0.1:9001".parse().unwrap());
    assert_eq!(parse_address("0.0.0.0:1").unwrap(), "0.0.0.0:1".parse().unwrap());
    for bad in ["", "65536", "localhost", "1.2.3.4", "-1"] {
        assert!(parse_address(bad).is_err(), "{bad}");
    }
    assert_eq!(parse_status("503").unwrap(), StatusCode::SERVICE_UNAVAILABLE);
}

#[test]
fn every_form_of_a_body_is_understood() {
    for (body, form, kind, state, text, task) in [
        (
            r#"{"task":{"id":"t","status":{"state":"TASK_STATE_SUBMITTED"},
               "history":[{"parts":[{"text":"old"}]},{"parts":[{"text":"Hello"}]}]}}"#,
            "A2A 1.0",
            "task",
            "submitted",
            "Hello",
            "t",
        ),
        (
            r#"{"artifactUpdate":{"taskId":"t","artifact":{"parts":[{"text":"a"},{"data":1},{"raw":"AA==","filename":"f"}]}}}"#,
            "A2A 1.0",
            "artifact",
            "",
            "a[data][file f]",
            "t",
        ),
        (r#"{"message":{"taskId":"t","parts":[{"text":"hi"}]}}"#, "A2A 1.0", "message", "", "hi", "t"),
        (
            r#"{"kind":"task","id":"t","status":{"state":"completed"},
               "artifacts":[{"parts":[{"kind":"text","text":"x"},{"kind":"file","file":{"name":"n"}}]}]}"#,
            "A2A 0.3",
            "task",
            "completed",
            "x[file n]",
            "t",
        ),
        (r#"{"taskId":"t","status":"working","timestamp":"2026"}"#, "PraisonAI", "status", "working", "", "t"),
        (r#"{"taskId":"t","status":{"state":"input-required"}}"#, "PraisonAI", "status", "input-required", "", "t"),
    ] {
        let told = event::read(&serde_json::from_str(body).unwrap()).unwrap();
        let expected = event::Told { form, kind, state: state.into(), text: text.into(), task: task.into() };
        assert_eq!(told, expected, "{body}");
    }
    for other in ["{}", "[]", "1", "null", r#"{"message":"x"}"#, r#"{"taskId":1,"status":"x"}"#] {
        assert_eq!(event::read(&serde_json::from_str(other).unwrap()), None, "{other}");
    }
}
