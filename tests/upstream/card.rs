//! The agent's card: the one that its kind of server gives, unless the test puts another in its place.

use std::sync::Mutex;

use http::{Method, Response};
use serde_json::{Value, json};
use tokio::sync::watch;

use super::{
    Face, Options, PATIENCE,
    model::checksum,
    request::{PRAISON_PATH, REST_PATH, RPC_PATH},
    server::{Body, Received},
    wire::response,
};

/// What is served as the card.
pub struct Card {
    path: &'static str,
    served: Mutex<Served>,
    asked: watch::Sender<usize>,
}

#[derive(Clone)]
struct Served {
    status: u16,
    body: String,
    headers: Vec<(String, String)>,
}

impl Card {
    pub fn new(face: Face, card: &Value) -> Self {
        let path = if face == Face::Praison { "/.well-known/agent.json" } else { "/.well-known/agent-card.json" };
        let served = Served { status: 200, body: card.to_string(), headers: Vec::new() };
        Self { path, served: Mutex::new(served), asked: watch::Sender::new(0) }
    }

    /// The card as it is served; null: what is served is not JSON.
    pub fn get(&self) -> Value {
        serde_json::from_str(&self.served.lock().unwrap().body).unwrap_or_default()
    }

    pub fn set(&self, card: &Value) {
        self.set_body(&card.to_string());
    }

    /// Serves these bytes, whatever they are.
    pub fn set_body(&self, body: &str) {
        self.served.lock().unwrap().body = body.into();
    }

    /// Serves another status than 200, without a body.
    pub fn set_status(&self, status: u16) {
        self.served.lock().unwrap().status = status;
    }

    /// Sent with the card, beside its tag.
    pub fn set_headers(&self, headers: &[(&str, &str)]) {
        let headers = headers.iter().map(|(name, value)| ((*name).into(), (*value).into()));
        self.served.lock().unwrap().headers = headers.collect();
    }

    /// How often it was asked for, with and without success.
    pub fn asked(&self) -> usize {
        *self.asked.borrow()
    }

    /// Waits until it was asked for so often.
    pub async fn wait_asked(&self, times: usize) {
        let mut asked = self.asked.subscribe();
        let enough = asked.wait_for(|asked| *asked >= times);
        tokio::time::timeout(PATIENCE, enough).await.expect("nobody asked for the card").unwrap();
    }

    /// None: the request is not for the card.
    pub fn answer(&self, received: &Received) -> Option<Response<Body>> {
        if received.method != Method::GET || received.uri.path() != self.path {
            return None;
        }
        self.asked.send_modify(|asked| *asked += 1);
        let served = self.served.lock().unwrap().clone();
        if served.status != 200 {
            return Some(response::<http::HeaderName>(served.status, [], ""));
        }
        let tag = format!("W/\"{:08x}\"", checksum(&served.body));
        let known = received.headers.get("if-none-match").is_some_and(|known| known.as_bytes() == tag.as_bytes());
        let (status, body) = if known { (304, String::new()) } else { (200, served.body) };
        let own = [("content-type", "application/json"), ("etag", &tag)];
        let others = served.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let headers = own.into_iter().chain(others);
        let headers = headers.map(|(name, value)| (http::HeaderName::try_from(name).unwrap(), value));
        Some(response(status, headers.collect::<Vec<_>>(), body))
    }
}

/// Where the face is called: below the base URL, or at the gRPC address.
pub fn endpoint(face: Face, base: &str, grpc: &str) -> String {
    match face {
        Face::JsonRpc10 | Face::JsonRpc03 => format!("{base}{RPC_PATH}"),
        Face::Praison => format!("{base}{PRAISON_PATH}"),
        Face::Rest10 | Face::Rest03 => format!("{base}{REST_PATH}"),
        Face::Grpc10 | Face::Grpc03 => grpc.into(),
    }
}

/// The card that the face's servers give.
pub fn card(face: Face, options: &Options, endpoint: &str) -> Value {
    let binding = match face {
        Face::JsonRpc10 | Face::JsonRpc03 | Face::Praison => "JSONRPC",
        Face::Rest10 | Face::Rest03 => "HTTP+JSON",
        Face::Grpc10 | Face::Grpc03 => "GRPC",
    };
    let skill = json!({"id": "script", "name": "Script", "description": "Does as it is told", "tags": ["test"]});
    let mut card = json!({
        "name": "scripted",
        "description": "An agent that a test steers",
        "version": "1.2.3",
        "capabilities": {"streaming": options.streaming, "pushNotifications": false},
        "defaultInputModes": ["text/plain"],
        "defaultOutputModes": ["text/plain"],
        "skills": [skill],
    });
    match face {
        Face::JsonRpc10 | Face::Rest10 | Face::Grpc10 => {
            let interface = json!({"url": endpoint, "protocolBinding": binding, "protocolVersion": "1.0"});
            card["supportedInterfaces"] = json!([interface]);
        }
        Face::JsonRpc03 | Face::Rest03 | Face::Grpc03 => {
            card["protocolVersion"] = "0.3.0".into();
            card["url"] = endpoint.into();
            card["preferredTransport"] = binding.into();
        }
        Face::Praison => {
            card["url"] = endpoint.into();
            card["provider"] = json!({"name": "PraisonAI"});
            card["capabilities"]["stateTransitionHistory"] = false.into();
            card["capabilities"]["extendedAgentCard"] = false.into();
            for name in ["skills", "defaultInputModes", "defaultOutputModes"] {
                card.as_object_mut().unwrap().remove(name);
            }
        }
    }
    card
}
