//! Extended agent cards through every door, and signed cards.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests fail by panicking")]

mod door;

use a2a_gateway::proto::{a2a, a2a_v03 as v03};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use door::{grpc::fault, kinds::*, *};
use reqwest::{Response, header::HeaderMap};
use ring::signature::{ECDSA_P256_SHA256_FIXED, ED25519, UnparsedPublicKey, VerificationAlgorithm};
use serde_json::{Value, json};
use tonic::metadata::MetadataValue;

const TOKEN: &str = "t-0123456789";
const PUBLIC: &str = "/.well-known/agent-card.json";
const JWKS: &str = "/.well-known/jwks.json";

/// Keys, with the name of their algorithm.
const KEYS: [(&str, &str); 2] = [
    ("EdDSA", concat!(env!("CARGO_MANIFEST_DIR"), "/src/jws/tests/ed25519.pem")),
    ("ES256", concat!(env!("CARGO_MANIFEST_DIR"), "/src/jws/tests/p256.pem")),
];

/// The settings of two agents, of which the first has an extended card; `cards`: of the section.
fn settings(dir: &std::path::Path, cards: &str) -> String {
    let card = dir.join("extended.json");
    let extended = json!({"description": "For friends.", "skills": [{"id": "more", "name": "More", "tags": ["x"]}]});
    std::fs::write(&card, extended.to_string()).unwrap();
    format!(
        "[cards]\n{cards}\n[[agents]]\nname = \"first\"\nurl = \"echo:\"\nextended_card = \"{}\"\n\
         [[agents]]\nname = \"second\"\nurl = \"echo:\"\n",
        card.display()
    )
}

/// A gateway whose first agent has an extended card for who sends [`TOKEN`].
async fn start() -> (Gateway, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let (gateway, _) = Gateway::start_file(&settings(dir.path(), &format!("extended_tokens = [\"{TOKEN}\"]"))).await;
    (gateway, dir)
}

fn authorized(request: reqwest::RequestBuilder, token: &str) -> reqwest::RequestBuilder {
    if token.is_empty() { request } else { request.bearer_auth(token) }
}

async fn get(gateway: &Gateway, path: &str, token: &str) -> Response {
    authorized(gateway.http.get(gateway.url(path)), token).send().await.unwrap()
}

async fn public(gateway: &Gateway, path: &str, version: &str) -> Value {
    let request = gateway.http.get(gateway.url(path)).header("a2a-version", version);
    request.send().await.unwrap().json().await.unwrap()
}

async fn rpc(gateway: &Gateway, path: &str, method: &str, token: &str) -> Response {
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": method});
    authorized(gateway.http.post(gateway.url(path)), token).json(&body).send().await.unwrap()
}

/// The JSON-RPC methods and where they are called, for the first agent, under all of its names.
const METHODS: [(&str, &str); 6] = [
    ("/a2a", "GetExtendedAgentCard"),
    ("/a2a", "agent/getAuthenticatedExtendedCard"),
    ("/a2a", "agent/getExtendedCard"),
    ("/praisonai/a2a", "agent/getExtendedCard"),
    ("/agents/first/a2a", "GetExtendedAgentCard"),
    ("/agents/first/a2a", "agent/getAuthenticatedExtendedCard"),
];

/// The REST paths of its extended card.
const PATHS: [&str; 6] = [
    "/extendedAgentCard",
    "/first/extendedAgentCard",
    "/agents/first/extendedAgentCard",
    "/agents/first/first/extendedAgentCard",
    "/v1/card",
    "/agents/first/v1/card",
];

fn call<T>(message: T, token: &str, agent: &str) -> tonic::Request<T> {
    let mut request = tonic::Request::new(message);
    let metadata = request.metadata_mut();
    if !token.is_empty() {
        metadata.insert("authorization", MetadataValue::try_from(format!("Bearer {token}")).unwrap());
    }
    if !agent.is_empty() {
        metadata.insert("a2a-agent", MetadataValue::try_from(agent).unwrap());
    }
    request
}

async fn grpc(gateway: &Gateway, token: &str, tenant: &str, agent: &str) -> Result<a2a::AgentCard, tonic::Status> {
    let request = call(a2a::GetExtendedAgentCardRequest { tenant: tenant.into() }, token, agent);
    gateway.client(Door::A2aGrpc).a2a().get_extended_agent_card(request).await.map(tonic::Response::into_inner)
}

async fn grpc_v03(gateway: &Gateway, token: &str, agent: &str) -> Result<v03::AgentCard, tonic::Status> {
    let request = call(v03::GetAgentCardRequest {}, token, agent);
    gateway.client(Door::Grpc03).a2a_v03().get_agent_card(request).await.map(tonic::Response::into_inner)
}

/// Checks what an extended card says in every form.
fn check_extended(card: &Value, at: &str) {
    assert_eq!((&card["name"], &card["description"]), (&json!("echo"), &json!("For friends.")), "{at}");
    let skills: Vec<_> = card["skills"].as_array().unwrap().iter().map(|skill| &skill["id"]).collect();
    assert_eq!((skills.len(), *skills.last().unwrap()), (7, &json!("more")), "{at}: {card}");
}

#[tokio::test]
async fn who_has_a_token_reads_the_extended_card_through_every_door() {
    let (gateway, _dir) = start().await;
    for (path, method) in METHODS {
        let answer = rpc(&gateway, path, method, TOKEN).await;
        assert_eq!(answer.status(), 200, "{path} {method}");
        let card = answer.json::<Value>().await.unwrap()["result"].take();
        check_extended(&card, method);
        let is_v1 = method == "GetExtendedAgentCard";
        assert_eq!((card.get("supportedInterfaces").is_some(), card.get("url").is_some()), (is_v1, !is_v1), "{method}");
        if method == "agent/getExtendedCard" {
            assert_eq!(card["url"], gateway.url(path));
        }
    }
    for path in PATHS {
        let answer = get(&gateway, path, TOKEN).await;
        assert_eq!(answer.status(), 200, "{path}");
        let card: Value = answer.json().await.unwrap();
        check_extended(&card, path);
        assert_eq!(card.get("supportedInterfaces").is_some(), !path.ends_with("/v1/card"), "{path}");
    }
    let cards = public(&gateway, PUBLIC, "1.0").await["supportedInterfaces"].take();
    assert_eq!(get(&gateway, PATHS[0], TOKEN).await.json::<Value>().await.unwrap()["supportedInterfaces"], cards);
    for (tenant, agent) in [("", ""), ("first", ""), ("", "first"), ("first", "first")] {
        let card = grpc(&gateway, TOKEN, tenant, agent).await.unwrap();
        assert_eq!((card.description.as_str(), card.skills.len()), ("For friends.", 7));
        assert_eq!(card.supported_interfaces.len(), 6);
    }
    for agent in ["", "first"] {
        let card = grpc_v03(&gateway, TOKEN, agent).await.unwrap();
        assert_eq!((card.description.as_str(), card.skills.len()), ("For friends.", 7));
        assert!(card.supports_authenticated_extended_card);
    }
}

#[tokio::test]
async fn who_has_none_or_a_wrong_one_is_asked_for_credentials() {
    let (gateway, _dir) = start().await;
    for (token, error) in [("", ""), ("t-wrong", ", error=\"invalid_token\"")] {
        let challenge = format!("Bearer realm=\"a2a-gateway\"{error}");
        let check = |answer: &Response, at: &str| {
            assert_eq!(answer.status(), 401, "{at}");
            assert_eq!(answer.headers()["www-authenticate"], challenge, "{at}");
        };
        for (path, method) in METHODS {
            let answer = rpc(&gateway, path, method, token).await;
            check(&answer, method);
            let body: Value = answer.json().await.unwrap();
            if method == "agent/getExtendedCard" {
                assert!(body["detail"].as_str().unwrap().contains("token"), "{body}");
            } else {
                let v1 = method == "GetExtendedAgentCard";
                let code = if v1 { -31401 } else { -32600 };
                assert_eq!((&body["id"], &body["error"]["code"]), (&json!(1), &json!(code)), "{method}");
                let data = &body["error"]["data"];
                let details = if v1 { data } else { &data["details"] };
                assert_eq!(details[0]["reason"], "UNAUTHENTICATED");
            }
        }
        for path in PATHS {
            let answer = get(&gateway, path, token).await;
            check(&answer, path);
            let body: Value = answer.json().await.unwrap();
            if path.ends_with("/v1/card") {
                assert_eq!(body["code"], -32600, "{body}");
            } else {
                assert_eq!(
                    (&body["error"]["code"], &body["error"]["status"]),
                    (&json!(401), &json!("UNAUTHENTICATED"))
                );
            }
        }
        fault(grpc(&gateway, token, "", "").await.unwrap_err()).is(&UNAUTHENTICATED);
        fault(grpc_v03(&gateway, token, "").await.unwrap_err()).is(&UNAUTHENTICATED);
    }
    let get = |id| json!({"jsonrpc": "2.0", "id": id, "method": "GetExtendedAgentCard"});
    let answer = gateway.http.post(gateway.url("/a2a")).json(&json!([get(1), get(2)])).send().await.unwrap();
    assert_eq!(answer.status(), 200, "the batch itself was read");
    let codes: Vec<_> =
        answer.json::<Vec<Value>>().await.unwrap().iter().map(|one| one["error"]["code"].clone()).collect();
    assert_eq!(codes, [-31401, -31401]);
}

#[tokio::test]
async fn an_agent_without_an_extended_card_has_none_for_anybody() {
    let (gateway, _dir) = start().await;
    for token in ["", TOKEN] {
        fault(grpc(&gateway, token, "second", "").await.unwrap_err()).is(&UNSUPPORTED_OPERATION);
        fault(grpc(&gateway, token, "nobody", "").await.unwrap_err()).is(&AGENT_NOT_FOUND);
        for (path, status) in [
            ("/second/extendedAgentCard", 400),
            ("/agents/second/extendedAgentCard", 400),
            ("/nobody/extendedAgentCard", 404),
        ] {
            assert_eq!(get(&gateway, path, token).await.status(), status, "{path}");
        }
        let old = get(&gateway, "/agents/second/v1/card", token).await;
        assert_eq!((old.status().as_u16(), &old.json::<Value>().await.unwrap()["code"]), (404, &json!(-32007)));
        for (method, code) in [("GetExtendedAgentCard", -32004), ("agent/getAuthenticatedExtendedCard", -32007)] {
            let answer = rpc(&gateway, "/agents/second/a2a", method, token).await;
            assert_eq!(answer.status(), 200);
            assert_eq!(answer.json::<Value>().await.unwrap()["error"]["code"], code, "{method}");
        }
        // These two have no error for it, and one method for both cards.
        let card =
            rpc(&gateway, "/agents/second/a2a", "agent/getExtendedCard", token).await.json::<Value>().await.unwrap();
        assert_eq!(card["result"]["capabilities"]["extendedAgentCard"], false);
        assert!(!grpc_v03(&gateway, token, "second").await.unwrap().supports_authenticated_extended_card);
    }
}

#[tokio::test]
async fn the_public_card_says_that_there_is_an_extended_one_and_what_it_needs() {
    let (gateway, _dir) = start().await;
    let card = public(&gateway, PUBLIC, "1.0").await;
    assert_eq!(card["capabilities"]["extendedAgentCard"], true);
    let scheme = &card["securitySchemes"]["extendedCardToken"]["httpAuthSecurityScheme"];
    assert_eq!(scheme["scheme"], "Bearer");
    assert_eq!(
        card["securityRequirements"],
        json!([{}, {"schemes": {"extendedCardToken": {}}}]),
        "only one of two ways"
    );
    assert!(card["description"] != "For friends." && card["skills"].as_array().unwrap().len() == 6);
    let old = public(&gateway, PUBLIC, "0.3").await;
    assert_eq!(
        (&old["supportsAuthenticatedExtendedCard"], &old["security"]),
        (&json!(true), &json!([{}, {"extendedCardToken": []}]))
    );
    assert_eq!(old["securitySchemes"]["extendedCardToken"]["type"], "http");
    let praison: Value = get(&gateway, "/praisonai/.well-known/agent.json", "").await.json().await.unwrap();
    assert_eq!(praison["capabilities"]["extendedAgentCard"], true);

    for path in ["/agents/second/.well-known/agent-card.json"] {
        let card = public(&gateway, path, "1.0").await;
        assert_eq!((&card["capabilities"]["extendedAgentCard"], card.get("securitySchemes")), (&json!(false), None));
    }
    // Tasks need no token.
    assert_eq!(rpc(&gateway, "/a2a", "ListTasks", "").await.status(), 200);
}

#[tokio::test]
async fn behind_a_proxy_all_who_ask_may_read_it() {
    let dir = tempfile::tempdir().unwrap();
    let (gateway, _) = Gateway::start_file(&settings(dir.path(), "extended_trust_proxy = true")).await;
    check_extended(&get(&gateway, PATHS[0], "").await.json().await.unwrap(), "REST");
    assert_eq!(grpc(&gateway, "", "", "").await.unwrap().description, "For friends.");
    let card = public(&gateway, PUBLIC, "1.0").await;
    assert_eq!((&card["capabilities"]["extendedAgentCard"], card.get("securitySchemes")), (&json!(true), None));
}

#[tokio::test]
async fn extended_cards_come_and_go_with_the_agents_settings() {
    let dir = tempfile::tempdir().unwrap();
    let text = settings(dir.path(), &format!("extended_tokens = \"{TOKEN}\""));
    let (gateway, reload) = Gateway::start_file(&text).await;
    let tag = get(&gateway, PUBLIC, "").await.headers()["etag"].clone();
    let agents = |text: &str| {
        let dir = tempfile::tempdir().unwrap();
        read_settings(text, dir.path()).unwrap().agents
    };
    let until = async |status: u16| {
        let changed = async { while get(&gateway, PATHS[0], TOKEN).await.status() != status {} };
        tokio::time::timeout(PATIENCE, changed).await.expect("the reload had no effect");
    };
    reload
        .send(agents(&text.lines().filter(|line| !line.starts_with("extended_card")).collect::<Vec<_>>().join("\n")))
        .await
        .unwrap();
    until(400).await;
    assert_ne!(get(&gateway, PUBLIC, "").await.headers()["etag"], tag);
    reload.send(agents(&text)).await.unwrap();
    until(200).await;
    assert_eq!(get(&gateway, PUBLIC, "").await.headers()["etag"], tag);
}

/// Checks that a document can be kept, by whom, and that who has it is not sent it again.
async fn check_cached(gateway: &Gateway, path: &str, token: &str, control: &str) -> HeaderMap {
    let first = get(gateway, path, token).await;
    let headers = first.headers().clone();
    assert!(first.status() == 200 && headers["cache-control"].to_str().unwrap().starts_with(control), "{path}");
    let (tag, modified) = (&headers["etag"], &headers["last-modified"]);
    assert_eq!(get(gateway, path, token).await.headers()["etag"], tag, "{path}: the tag changes by itself");
    for (name, value) in [("if-none-match", tag), ("if-modified-since", modified)] {
        let again = authorized(gateway.http.get(gateway.url(path)), token).header(name, value).send().await.unwrap();
        assert_eq!((again.status().as_u16(), &again.headers()["etag"]), (304, tag), "{path}");
        assert_eq!(again.headers()["cache-control"], headers["cache-control"]);
        assert_eq!(again.text().await.unwrap(), "");
    }
    headers
}

#[tokio::test]
async fn cards_and_keys_can_be_kept_and_extended_cards_only_by_who_asked() {
    for (_, key) in KEYS {
        let dir = tempfile::tempdir().unwrap();
        let cards = format!("extended_tokens = \"{TOKEN}\"\nsigning_keys = \"{key}\"");
        let text = format!("[server]\npublic_url = \"https://gw.test\"\n{}", settings(dir.path(), &cards));
        let (gateway, _) = Gateway::start_file(&text).await;
        check_cached(&gateway, PUBLIC, "", "public, max-age=").await;
        check_cached(&gateway, JWKS, "", "public, max-age=").await;
        for path in PATHS {
            let headers = check_cached(&gateway, path, TOKEN, "private, max-age=").await;
            assert!(headers["vary"].to_str().unwrap().contains("Authorization"), "{path}");
            let tag = &headers["etag"];
            let request = gateway.http.get(gateway.url(path)).header("if-none-match", tag);
            assert_eq!(request.send().await.unwrap().status(), 401, "a tag is no token");
        }
    }
    assert_eq!(get(&Gateway::start().await, JWKS, "").await.status(), 404);
}

fn decoded(value: &Value) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(value.as_str().unwrap()).unwrap()
}

/// Leaves out what is empty, in depth. None: nothing is left.
fn stripped(value: Value) -> Option<Value> {
    match value {
        Value::Null => None,
        Value::String(text) => (!text.is_empty()).then(|| text.into()),
        Value::Array(items) => {
            let items: Vec<_> = items.into_iter().filter_map(stripped).collect();
            (!items.is_empty()).then(|| items.into())
        }
        Value::Object(members) => {
            let members = members.into_iter().filter_map(|(name, value)| Some((name, stripped(value)?)));
            let members: serde_json::Map<_, _> = members.collect();
            (!members.is_empty()).then(|| members.into())
        }
        value => Some(value),
    }
}

/// Verifies a 1.0 card's only signature with a key of the set, without the gateway's code: these cards have neither numbers
/// nor names beyond ASCII, so that sorted JSON without spaces is canonical.
fn verify(card: &Value, jwks: &Value, algorithm: &str) -> Result<(), ring::error::Unspecified> {
    let [signature] = card["signatures"].as_array().unwrap().as_slice() else { panic!("not one signature: {card}") };
    let header: Value = serde_json::from_slice(&decoded(&signature["protected"])).unwrap();
    assert_eq!((&header["alg"], &header["typ"]), (&json!(algorithm), &json!("JOSE")));
    assert_eq!(header["jku"], "https://gw.test/base/.well-known/jwks.json");
    let key = jwks["keys"].as_array().unwrap().iter().find(|key| key["kid"] == header["kid"]).unwrap();
    assert!(key["alg"] == algorithm && key["use"] == "sig" && key.get("d").is_none());
    let mut payload = card.clone();
    payload.as_object_mut().unwrap().remove("signatures");
    let payload = URL_SAFE_NO_PAD.encode(stripped(payload).unwrap().to_string());
    let input = format!("{}.{payload}", signature["protected"].as_str().unwrap());
    let (rule, public): (&'static dyn VerificationAlgorithm, _) = match algorithm {
        "EdDSA" => (&ED25519, decoded(&key["x"])),
        _ => (&ECDSA_P256_SHA256_FIXED, [vec![4], decoded(&key["x"]), decoded(&key["y"])].concat()),
    };
    UnparsedPublicKey::new(rule, public).verify(input.as_bytes(), &decoded(&signature["signature"]))
}

#[tokio::test]
async fn the_first_key_signs_every_1_0_card_and_all_are_published() {
    for (n, (algorithm, first)) in KEYS.into_iter().enumerate() {
        let second = KEYS[1 - n].1;
        let dir = tempfile::tempdir().unwrap();
        let cards = format!("extended_tokens = \"{TOKEN}\"\nsigning_keys = [\"{first}\", \"{second}\"]");
        let text = format!("[server]\npublic_url = \"https://gw.test/base/\"\n{}", settings(dir.path(), &cards));
        let (gateway, _) = Gateway::start_file(&text).await;
        let jwks: Value = get(&gateway, JWKS, "").await.json().await.unwrap();
        assert_eq!(jwks["keys"].as_array().unwrap().len(), 2);

        let card = public(&gateway, PUBLIC, "1.0").await;
        let extended: Value = get(&gateway, PATHS[0], TOKEN).await.json().await.unwrap();
        let second = public(&gateway, "/agents/second/.well-known/agent-card.json", "1.0").await;
        let rpc: Value = rpc(&gateway, "/a2a", "GetExtendedAgentCard", TOKEN).await.json().await.unwrap();
        let grpc = serde_json::to_value(grpc(&gateway, TOKEN, "", "").await.unwrap()).unwrap();
        for card in [&card, &extended, &second, &rpc["result"], &grpc] {
            verify(card, &jwks, algorithm).unwrap();
        }
        let mut forged = card.clone();
        forged["supportedInterfaces"][0]["url"] = "https://elsewhere.test".into();
        verify(&forged, &jwks, algorithm).unwrap_err();

        // Who reads the 1.0 members of the merged card verifies the same.
        let merged: Value = get(&gateway, PUBLIC, "").await.json().await.unwrap();
        let read: a2a::AgentCard = serde_json::from_value(merged.clone()).unwrap();
        verify(&serde_json::to_value(read).unwrap(), &jwks, algorithm).unwrap();
        assert_eq!(merged["signatures"], card["signatures"]);
        assert_eq!(public(&gateway, PUBLIC, "0.3").await.get("signatures"), None);
    }
}
