//! Finding cards and choosing among what they offer.

use std::time::Duration;

use a2a_gateway::{
    agent::a2a::{CallError, Client, Fetched, Settings, choose, discover},
    task::Dialect,
};
use http::header::{CACHE_CONTROL, ETAG, LAST_MODIFIED};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::fake::{Fake, Seen, answer, json_answer, raw, refused, settings};

fn card(url: &str) -> Value {
    json!({"name": "a", "supportedInterfaces": [{"url": url, "protocolBinding": "JSONRPC", "protocolVersion": "1.0"}]})
}

async fn read(settings: &Settings, previous: Option<&Fetched>) -> Result<Fetched, CallError> {
    discover(&Client::new(settings).unwrap(), settings, previous).await
}

fn paths(fake: &Fake) -> Vec<String> {
    fake.seen().into_iter().map(|Seen { method, path, .. }| format!("{method} {path}")).collect()
}

#[tokio::test]
async fn the_first_place_with_a_card_is_taken() {
    let places = [
        "/a/.well-known/agent-card.json",
        "/a/.well-known/agent.json",
        "/.well-known/agent-card.json",
        "/.well-known/agent.json",
    ];
    for (i, place) in places.into_iter().enumerate() {
        for (status, missing) in [(404, "no"), (405, "no"), (410, "no"), (200, "<html>"), (200, "{}"), (400, "bad")] {
            let fake = Fake::start(move |seen| {
                if seen.path == place { json_answer(200, card("/rpc")) } else { answer(status, "text/html", missing) }
            })
            .await;
            let fetched = read(&settings(&format!("{}/a/", fake.url)), None).await.unwrap();
            assert_eq!(fetched.card.card.name, "a");
            assert_eq!(fetched.card.offers[0].url, format!("{}/rpc", fake.url), "relative to the card");
            assert_eq!(fetched.url.as_str(), format!("{}{place}", fake.url));
            let expected: Vec<_> = places[..=i].iter().map(|place| format!("GET {place}")).collect();
            assert_eq!(paths(&fake), expected);
        }
    }
}

#[tokio::test]
async fn where_there_is_no_card_each_place_is_told() {
    let fake = Fake::start(|seen| {
        if seen.path.ends_with("agent.json") { answer(200, "text/html", "hi") } else { answer(404, "text/html", "") }
    })
    .await;
    let error = read(&settings(&fake.url), None).await.unwrap_err();
    let url = &fake.url;
    let text = format!(
        "found no agent card: {url}/.well-known/agent-card.json answers with HTTP 404; \
         what {url}/.well-known/agent.json holds is no agent card: it is not JSON"
    );
    assert_eq!(error, CallError::Refused { kind: None, text });
}

#[tokio::test]
async fn a_failure_ends_the_search() {
    let closed = format!("{}/a", refused().await);
    assert!(matches!(read(&settings(&closed), None).await, Err(CallError::Unreached(_))));
    let cut = format!("{}/a", raw(async |stream| drop(stream)).await);
    assert!(matches!(read(&settings(&cut), None).await, Err(CallError::Lost(_))));
    for status in [401, 403, 429, 502, 503] {
        let fake = Fake::start(move |_| answer(status, "text/plain", "no")).await;
        let error = read(&settings(&format!("{}/a", fake.url)), None).await.unwrap_err();
        assert!(error.to_string().contains(&format!("HTTP {status}")), "{error}");
        assert_eq!(fake.seen().len(), 1, "{status}");
    }
}

#[tokio::test]
async fn a_url_of_a_json_file_is_the_card() {
    let fake = Fake::start(|_| json_answer(200, card("http://elsewhere:7/rpc"))).await;
    let fetched = read(&settings(&format!("{}/cards/mine.json?v=1", fake.url)), None).await.unwrap();
    assert_eq!(fetched.card.offers[0].url, "http://elsewhere:7/rpc");
    assert_eq!(paths(&fake), ["GET /cards/mine.json?v=1"]);
    assert_eq!(fake.only().header("a2a-version"), "1.0");
}

#[tokio::test(start_paused = true)]
async fn a_card_is_asked_for_again_where_it_was_found() {
    let fake = Fake::start(|seen| {
        if seen.path != "/.well-known/agent.json" {
            return answer(404, "text/plain", "");
        }
        let known = seen.header("if-none-match") == "\"1\"" && !seen.header("if-modified-since").is_empty();
        let mut answer = if known { answer(304, "text/plain", "") } else { json_answer(200, card("/rpc")) };
        let headers = answer.headers_mut();
        if !known {
            headers.insert(ETAG, "\"1\"".parse().unwrap());
            headers.insert(LAST_MODIFIED, "Sun, 06 Nov 1994 08:49:37 GMT".parse().unwrap());
        }
        headers.insert(CACHE_CONTROL, if known { "max-age=100" } else { "no-cache" }.parse().unwrap());
        answer
    })
    .await;
    let settings = settings(&fake.url);
    let start = Instant::now();
    let first = read(&settings, None).await.unwrap();
    let kept = |fetched: &Fetched| fetched.fresh_until.duration_since(start);
    assert_eq!(kept(&first), Duration::from_secs(10));
    assert_eq!(fake.seen().len(), 2);
    let again = read(&settings, Some(&first)).await.unwrap();
    assert_eq!((&again.card, &again.url, kept(&again)), (&first.card, &first.url, Duration::from_secs(100)));
    assert_eq!((&again.etag, &again.last_modified), (&first.etag, &first.last_modified), "kept for the next time");
    assert_eq!(fake.seen().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_card_that_has_moved_is_found_again() {
    let fake = Fake::start(|seen| {
        let here = if seen.headers.contains_key("if-none-match") { "nowhere" } else { "agent.json" };
        if seen.path.ends_with(here) { json_answer(200, card("/rpc")) } else { answer(404, "text/plain", "") }
    })
    .await;
    let settings = settings(&fake.url);
    let found = read(&settings, None).await.unwrap();
    let start = Instant::now();
    assert_eq!(found.fresh_until.duration_since(start), settings.card_refresh, "what the agent does not say");
    let moved = Fetched {
        url: format!("{}/.well-known/agent-card.json", fake.url).parse().unwrap(),
        etag: Some("\"1\"".parse().unwrap()),
        ..found.clone()
    };
    assert_eq!(read(&settings, Some(&moved)).await.unwrap().url, found.url);
}

#[tokio::test]
async fn a_card_that_is_too_large_is_none() {
    let fake = Fake::start(|_| json_answer(200, json!({"name": "a", "description": "x".repeat(1 << 20)}))).await;
    let error = read(&settings(&fake.url), None).await.unwrap_err();
    assert!(error.to_string().contains("larger than 1048576 bytes"), "{error}");
}

#[tokio::test]
async fn a_praisonai_agent_is_called_beside_its_card() {
    let fake = Fake::start(|seen| {
        let card = json!({"name": "a", "url": "http://localhost:1/a2a", "version": "1",
            "capabilities": {"streaming": true, "extendedAgentCard": false}});
        if seen.path == "/p/.well-known/agent.json" { json_answer(200, card) } else { answer(404, "text/plain", "") }
    })
    .await;
    let settings = settings(&format!("{}/p", fake.url));
    let fetched = read(&settings, None).await.unwrap();
    let offer = choose(&fetched.card.offers, &settings).unwrap();
    assert_eq!((offer.dialect, offer.url.as_str()), (Dialect::Praison, format!("{}/p/a2a", fake.url).as_str()));
}
