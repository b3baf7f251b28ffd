//! The document against the router, in both directions, and against itself.

use std::collections::BTreeSet;

use http::{HeaderValue, StatusCode, header};

use super::*;
use crate::{
    server::{ops, rest::query},
    wire::method::Operation,
};

fn made() -> Value {
    document(None)
}

/// Each operation: its path, its verb, what it is.
fn operations(document: &Value) -> Vec<(String, Method, Value)> {
    let mut all = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (verb, name) in VERBS {
            all.extend(item.get(name).map(|operation| (path.clone(), verb, operation.clone())));
        }
        let others = item.as_object().unwrap().keys().filter(|key| !VERBS.iter().any(|(_, name)| name == key));
        assert!(others.into_iter().all(|key| key == "parameters"), "{path}");
    }
    all
}

fn is_a2a(operation: &Value) -> bool {
    [Form::V1, Form::V03].into_iter().any(|form| operation["tags"][0] == operation::tag(form))
}

#[test]
fn what_is_described_is_what_the_router_does() {
    let document = made();
    let mut described = 0;
    for (path, verb, operation) in operations(&document).into_iter().filter(|(.., operation)| is_a2a(operation)) {
        let target = path::find(&path).unwrap_or_else(|_| panic!("nothing at {path}"));
        let does = target.place.operation(&verb).unwrap_or_else(|| panic!("no {verb} at {path}"));
        assert_eq!(operation["summary"], does.name(), "{verb} {path}");
        assert_eq!(operation["tags"][0], operation::tag(target.form), "{path}");
        assert_eq!(target.agent, if path.contains("{agent}") { "{agent}" } else { "" }, "{path}");
        assert_eq!(target.tenant, if path.contains("{tenant}") { "{tenant}" } else { "" }, "{path}");
        assert!(operation["description"].as_str().is_some_and(|text| !text.is_empty()), "{path}");
        described += 1;
    }
    // Eleven operations, of which one has two verbs; four times in 1.0, twice in 0.3.
    assert_eq!(described, 12 * 6);
}

#[test]
fn what_the_router_does_is_described() {
    let document = made();
    let prefixes = [
        ("", Form::V1),
        ("/{tenant}", Form::V1),
        ("/agents/{agent}", Form::V1),
        ("/agents/{agent}/{tenant}", Form::V1),
        ("/v1", Form::V03),
        ("/agents/{agent}/v1", Form::V03),
    ];
    for (prefix, form) in prefixes {
        let mut found = BTreeSet::new();
        for below in path::templates(form) {
            let path = format!("{prefix}/{below}");
            let place = path::find(&path).unwrap().place;
            let item = document["paths"][&path].as_object().unwrap_or_else(|| panic!("{path} is not described"));
            for verb in place.allow().split(", ").filter(|verb| *verb != "HEAD") {
                assert!(item.contains_key(&verb.to_lowercase()), "{verb} {path} is not described");
                found.insert(place.operation(&verb.parse().unwrap()).unwrap().name());
            }
        }
        assert_eq!(found.len(), Operation::ALL.len(), "an operation has no place below {prefix:?}");
    }
    // The gateway's other paths, as it names them itself.
    for path in ops::PATHS.iter().filter_map(|path| path.strip_prefix("GET ")) {
        let path = path.replace("{name}", "{agent}");
        assert!(document["paths"][&path]["get"].is_object(), "{path} is not described");
    }
}

#[test]
fn every_query_parameter_is_one_that_is_read() {
    let document = made();
    let mut seen = BTreeSet::new();
    for (path, _, operation) in operations(&document).into_iter().filter(|(.., operation)| is_a2a(operation)) {
        let form = path::find(&path).unwrap().form;
        for parameter in operation["parameters"].as_array().unwrap().iter().filter(|one| one["in"] == "query") {
            let name = parameter["name"].as_str().unwrap();
            let read = query::read(Some(&format!("{name}=1")), form).unwrap();
            assert_eq!(read.as_object().unwrap().len(), 1, "{name} of {path} is not read");
            assert!(parameter["schema"].is_object());
            seen.insert(name.to_owned());
        }
    }
    let expected = ["contextId", "historyLength", "includeArtifacts", "pageSize", "pageToken", "status"];
    let expected = expected.into_iter().chain(["statusTimestampAfter", "tenant"]).map(str::to_owned).collect();
    assert_eq!(seen, expected);
}

/// All references in a value.
fn pointers(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| pointers(item, found)),
        Value::Object(members) => {
            found.extend(members.get("$ref").map(|to| to.as_str().unwrap().to_owned()));
            members.values().for_each(|member| pointers(member, found));
        }
        _ => {}
    }
}

#[test]
fn every_reference_leads_somewhere_and_nothing_is_without_use() {
    let document = made();
    let mut used = BTreeSet::new();
    pointers(&document, &mut used);
    for to in &used {
        assert!(document.pointer(to.strip_prefix('#').unwrap()).is_some(), "{to} leads nowhere");
    }
    for (kind, members) in document["components"].as_object().unwrap() {
        for name in members.as_object().unwrap().keys() {
            assert!(used.contains(&format!("#/components/{kind}/{name}")), "{kind} {name} is not used");
        }
    }
    for (name, schema) in document["components"]["schemas"].as_object().unwrap() {
        for required in schema["required"].as_array().into_iter().flatten() {
            assert!(schema["properties"][required.as_str().unwrap()].is_object(), "{name} has no {required}");
        }
    }
}

#[test]
fn operations_have_ids_of_their_own_and_paths_declare_their_names() {
    let document = made();
    let mut ids = BTreeSet::new();
    for (path, verb, operation) in operations(&document) {
        assert!(ids.insert(operation["operationId"].as_str().unwrap().to_owned()), "{verb} {path}: id twice");
        let named: Vec<_> = path.split(['{', '}']).skip(1).step_by(2).collect();
        let parameters = document["paths"][&path]["parameters"].as_array().cloned().unwrap_or_default();
        let declared: Vec<_> = parameters
            .iter()
            .map(|one| document.pointer(&one["$ref"].as_str().unwrap()[1..]).unwrap()["name"].as_str().unwrap())
            .collect();
        assert_eq!(declared, named, "{path}");
    }
}

#[test]
fn the_server_is_the_public_one_or_the_one_that_was_asked() {
    assert_eq!(document(None)["servers"], json!([{"url": "/"}]));
    assert_eq!(document(Some("https://gw.test/base/"))["servers"], json!([{"url": "https://gw.test/base"}]));
    assert_eq!(made()["info"]["version"], env!("CARGO_PKG_VERSION"));
}

#[test]
fn who_has_the_document_is_told_so() {
    let document = Document::new(None);
    let first = document.answer(&HeaderMap::new());
    assert_eq!(first.status(), StatusCode::OK);
    assert_eq!(first.headers()[header::CACHE_CONTROL], "public, max-age=300");
    let etag = first.headers()[header::ETAG].clone();
    let again = document.answer(&HeaderMap::from_iter([(header::IF_NONE_MATCH, etag.clone())]));
    assert_eq!((again.status(), &again.headers()[header::ETAG]), (StatusCode::NOT_MODIFIED, &etag));
    let other = document.answer(&HeaderMap::from_iter([(header::IF_NONE_MATCH, HeaderValue::from_static("\"x\""))]));
    assert_eq!(other.status(), StatusCode::OK);
}
