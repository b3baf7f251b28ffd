//! The OpenAPI 3.1 document of the HTTP+JSON doors, of agent cards and of what operators ask.
//!
//! It is made from what serves: paths and verbs by the router of these doors, query parameters and schemas by the
//! compiled contracts, statuses by the one error table. What stands here by hand is how these belong together. It is made
//! when it is first asked for, and is the same until the gateway ends.

mod components;
mod operation;
mod pages;
#[cfg(test)]
mod tests;

use std::{collections::BTreeSet, sync::OnceLock, time::SystemTime};

use axum::response::{IntoResponse, Response};
use http::{HeaderMap, Method};
use serde_json::{Map, Value, json};

use self::operation::{Contract, Place};
use super::{Form, path};
use crate::{proto::SCHEMAS, server::card};

/// How long the document may be used without asking again. Short, so that another version of the gateway shows soon.
const MAX_AGE: &str = "public, max-age=300";

/// Where it is served.
pub const PATH: &str = "/openapi.json";

const ABOUT: &str = "\
The HTTP+JSON (REST) doors of a2a-gateway: A2A 1.0 at the root and below a tenant, A2A 0.3 below `/v1`, all of them also \
below `/agents/{agent}`. `HEAD` is answered where `GET` is, except by streams. Descriptions call members as the contracts \
do (`page_size` is `pageSize`; both are read). Members and parameters that are not known are passed over. The same tasks \
are served over JSON-RPC at `/a2a`, and over gRPC and gRPC-Web on the same port; those doors are not described here.";

/// The document, made when it is first asked for.
pub struct Document {
    public_url: Option<String>,
    made: OnceLock<(String, SystemTime)>,
}

impl Document {
    /// Of a gateway that clients reach there; none: where the document came from.
    pub fn new(public_url: Option<String>) -> Self {
        Self { public_url, made: OnceLock::new() }
    }

    /// Answers a request for it: 304 when the client has it.
    pub fn answer(&self, headers: &HeaderMap) -> Response {
        let made = || (document(self.public_url.as_deref()).to_string(), SystemTime::now());
        let (json, modified) = self.made.get_or_init(made).clone();
        let document = card::Document { json, media: "application/json", modified, cache_control: MAX_AGE, vary: "" };
        card::answer(headers, document).into_response()
    }
}

fn document(public_url: Option<&str>) -> Value {
    let contract = Contract::read(SCHEMAS);
    let mut paths = Map::new();
    for place in places() {
        paths.insert(place.template(), place.item(&contract));
    }
    paths.extend(pages::paths());
    let server = public_url.map_or("/", |url| url.trim_end_matches('/'));
    let mut document = json!({
        "openapi": "3.1.0",
        "info": {
            "title": "a2a-gateway",
            "version": env!("CARGO_PKG_VERSION"),
            "description": ABOUT,
            "license": {"name": "Apache License 2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": server}],
        "tags": [
            {"name": operation::tag(Form::V1), "description": "The HTTP+JSON binding of A2A 1.0."},
            {"name": operation::tag(Form::V03), "description": "The HTTP+JSON binding of A2A 0.3."},
            {"name": pages::CARDS, "description": "Agent cards."},
            {"name": pages::OPERATIONS, "description": "Health, metrics and this document."},
        ],
        "paths": paths,
        "components": {
            "parameters": components::parameters(),
            "responses": operation::failures(),
            "headers": components::headers(),
        },
    });
    let schemas = used(&document, components::schemas(contract));
    document["components"]["schemas"] = schemas.into();
    document
}

/// All places that the router knows, in both versions, at the root, below tenants and below agents.
fn places() -> Vec<Place> {
    let mut places = Vec::new();
    for form in [Form::V1, Form::V03] {
        for agent in [false, true] {
            for tenant in [false, true] {
                // 0.3 has no tenants.
                if tenant && form == Form::V03 {
                    continue;
                }
                places.extend(path::templates(form).map(|below| Place { form, agent, tenant, below }));
            }
        }
    }
    places
}

/// The verbs that a description can hold, and their names in it.
const VERBS: [(Method, &str); 3] = [(Method::GET, "get"), (Method::POST, "post"), (Method::DELETE, "delete")];

/// Those of the schemas that the document refers to, or that these refer to.
fn used(document: &Value, mut schemas: Map<String, Value>) -> Map<String, Value> {
    let mut found = BTreeSet::new();
    let mut open = references(document);
    let mut kept = Map::new();
    while let Some(name) = open.pop() {
        if found.insert(name.clone())
            && let Some(schema) = schemas.remove(&name)
        {
            open.extend(references(&schema));
            kept.insert(name, schema);
        }
    }
    kept
}

/// The names of the schemas that a value refers to.
fn references(value: &Value) -> Vec<String> {
    match value {
        Value::Array(items) => items.iter().flat_map(references).collect(),
        Value::Object(members) => {
            let own = members.get("$ref").and_then(Value::as_str).and_then(|to| to.strip_prefix(SCHEMA));
            own.map(str::to_owned).into_iter().chain(members.values().flat_map(references)).collect()
        }
        _ => Vec::new(),
    }
}

/// Where references to schemas begin.
const SCHEMA: &str = "#/components/schemas/";

fn schema(name: &str) -> Value {
    json!({"$ref": format!("{SCHEMA}{name}")})
}
