//! Agent cards to JSON: pure, or one document that clients of all dialects can read (WIRE 3.10, 3.11, 4.1, 4.2).
//!
//! All shapes are made from the 1.0 JSON, which holds the required fields even where they are empty: signatures are
//! over that form (A2A 1.0, section 8.4). Cards are made rarely and kept by who serves them, so these build a tree.
//! [`read()`] is the other way: agents' cards in any of these shapes.

mod overlay;
mod read;
#[cfg(test)]
mod tests;

pub use overlay::Overlay;
pub use read::{Discovered, Offer, read};

use serde_json::{Map, Value, json};

use super::canonical::canonical;
use crate::proto::a2a::AgentCard;

const PROTOCOL_VERSION: &str = "0.3.0";

/// A security scheme's name in each dialect: 1.0's key, 0.3's `type`, PraisonAI's key.
const SCHEMES: [(&str, &str, &str); 5] = [
    ("apiKeySecurityScheme", "apiKey", "apiKey"),
    ("httpAuthSecurityScheme", "http", "http"),
    ("oauth2SecurityScheme", "oauth2", "oauth2"),
    ("openIdConnectSecurityScheme", "openIdConnect", "openIdConnect"),
    ("mtlsSecurityScheme", "mutualTLS", "mutualTls"),
];

type Object = Map<String, Value>;

/// The pure A2A 1.0 card, signatures kept.
pub fn v1(card: &AgentCard) -> String {
    Value::Object(tree(card)).to_string()
}

/// What a signature of the 1.0 card covers: all but the signatures, without what is empty, as canonical JSON.
///
/// The text (A2A 1.0, section 8.4.1) keeps required members that are empty; the official SDKs leave them out, and it is
/// they who verify.
pub fn signed_form(card: &AgentCard) -> String {
    let mut tree = tree(card);
    tree.remove("signatures");
    strip(&mut tree);
    canonical(&Value::Object(tree))
}

/// Takes out what is empty or null, in depth, and what becomes empty by that.
fn strip(object: &mut Object) {
    object.retain(|_, value| !strips(value));
}

/// Strips a value; whether nothing is left of it.
fn strips(value: &mut Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => {
            items.retain_mut(|item| !strips(item));
            items.is_empty()
        }
        Value::Object(object) => {
            strip(object);
            object.is_empty()
        }
        Value::Bool(_) | Value::Number(_) => false,
    }
}

/// One document that 1.0, 0.3 and PraisonAI clients can all read: the 1.0 card with 0.3's members beside. Its signatures
/// are the 1.0 card's: who verifies those reads the 1.0 members alone. `v03_url` is where 0.3's JSON-RPC is served.
pub fn merged(card: &AgentCard, v03_url: &str) -> String {
    let mut merged = tree(card);
    let old = older(card, &merged, v03_url);
    add(&mut merged, old);
    Value::Object(merged).to_string()
}

/// The pure A2A 0.3 card. `url` is where its JSON-RPC is served.
pub fn v03(card: &AgentCard, url: &str) -> String {
    Value::Object(older(card, &tree(card), url)).to_string()
}

/// The PraisonAI card. `url` is where its JSON-RPC is served.
pub fn praisonai(card: &AgentCard, url: &str) -> String {
    let tree = tree(card);
    let mut out = pick(&tree, &["name", "description", "version", "documentationUrl"]);
    out.extend(pick(&tree, &["defaultInputModes", "defaultOutputModes"]));
    out.insert("url".into(), url.into());
    let capabilities = card.capabilities.clone().unwrap_or_default();
    out.insert(
        "capabilities".into(),
        json!({
            "streaming": capabilities.streaming(),
            "pushNotifications": capabilities.push_notifications(),
            "stateTransitionHistory": false,
            "extendedAgentCard": capabilities.extended_agent_card(),
        }),
    );
    if let Some(provider) = &card.provider {
        out.insert("provider".into(), json!({"name": provider.organization, "url": provider.url}));
    }
    let skill = ["id", "name", "description", "tags", "examples", "inputModes", "outputModes"];
    let skills: Vec<_> = objects(&tree, "skills").map(|object| Value::Object(pick(object, &skill))).collect();
    if !skills.is_empty() {
        out.insert("skills".into(), skills.into());
    }
    let schemes = schemes(&tree, |(_, _, key), flat| Object::from_iter([(key.to_owned(), Value::Object(flat))]));
    if !schemes.is_empty() {
        out.insert("securitySchemes".into(), schemes.into());
    }
    insert_security(&mut out, &tree);
    Value::Object(out).to_string()
}

/// The 0.3 card.
fn older(card: &AgentCard, tree: &Object, url: &str) -> Object {
    let mut out = pick(tree, &["name", "description", "version", "provider", "documentationUrl", "iconUrl"]);
    out.extend(pick(tree, &["defaultInputModes", "defaultOutputModes"]));
    out.insert("protocolVersion".into(), PROTOCOL_VERSION.into());
    out.insert("url".into(), url.into());
    out.insert("preferredTransport".into(), "JSONRPC".into());
    let interfaces = card.supported_interfaces.iter().filter(|each| each.protocol_version.starts_with("0.3"));
    let interfaces: Vec<_> =
        interfaces.map(|each| json!({"url": each.url, "transport": each.protocol_binding})).collect();
    out.insert("additionalInterfaces".into(), interfaces.into());

    let capabilities = card.capabilities.clone().unwrap_or_default();
    let mut shown = json!({
        "streaming": capabilities.streaming(),
        "pushNotifications": capabilities.push_notifications(),
        "stateTransitionHistory": false,
    });
    if let Some(extensions) = tree.get("capabilities").and_then(|value| value.get("extensions")) {
        shown["extensions"] = extensions.clone();
    }
    out.insert("capabilities".into(), shown);
    out.insert("supportsAuthenticatedExtendedCard".into(), capabilities.extended_agent_card().into());

    let skills = objects(tree, "skills").map(|object| {
        let mut skill = object.clone();
        skill.remove("securityRequirements");
        insert_security(&mut skill, object);
        Value::Object(skill)
    });
    out.insert("skills".into(), skills.collect());
    let schemes = schemes(tree, |(_, kind, _), mut flat| {
        flat.insert("type".into(), kind.into());
        flat
    });
    if !schemes.is_empty() {
        out.insert("securitySchemes".into(), schemes.into());
    }
    insert_security(&mut out, tree);
    out
}

/// The 1.0 JSON with its required members, which ProtoJSON leaves out when they are empty.
#[expect(clippy::expect_used, reason = "a card has no enums and no map keys other than text, so it always serializes")]
fn tree(card: &AgentCard) -> Object {
    let Value::Object(mut tree) = serde_json::to_value(card).expect("serializable to JSON") else {
        return Object::new();
    };
    let no_objects = || Value::Object(Object::new());
    require(&mut tree, &["name", "description", "version"], "".into());
    require(&mut tree, &["supportedInterfaces", "defaultInputModes", "defaultOutputModes", "skills"], json!([]));
    require(&mut tree, &["capabilities"], no_objects());
    for (list, texts) in [
        ("supportedInterfaces", &["url", "protocolBinding", "protocolVersion"]),
        ("skills", &["id", "name", "description"]),
    ] {
        for object in objects_mut(&mut tree, list) {
            require(object, texts, "".into());
        }
    }
    for skill in objects_mut(&mut tree, "skills") {
        require(skill, &["tags"], json!([]));
    }
    for signature in objects_mut(&mut tree, "signatures") {
        require(signature, &["protected", "signature"], "".into());
    }
    if let Some(Value::Object(provider)) = tree.get_mut("provider") {
        require(provider, &["url", "organization"], "".into());
    }
    for scheme in values_mut(tree.get_mut("securitySchemes")) {
        for (name, required) in [
            ("apiKeySecurityScheme", &["location", "name"] as &[&str]),
            ("httpAuthSecurityScheme", &["scheme"]),
            ("openIdConnectSecurityScheme", &["openIdConnectUrl"]),
        ] {
            if let Some(Value::Object(fields)) = scheme.get_mut(name) {
                require(fields, required, "".into());
            }
        }
        if let Some(Value::Object(oauth)) = scheme.get_mut("oauth2SecurityScheme") {
            require(oauth, &["flows"], no_objects());
            for (name, required) in [
                ("authorizationCode", &["authorizationUrl", "tokenUrl"] as &[&str]),
                ("clientCredentials", &["tokenUrl"]),
                ("deviceCode", &["deviceAuthorizationUrl", "tokenUrl"]),
            ] {
                if let Some(Value::Object(flow)) = oauth.get_mut("flows").and_then(|flows| flows.get_mut(name)) {
                    require(flow, required, "".into());
                    require(flow, &["scopes"], no_objects());
                }
            }
        }
    }
    tree
}

/// The security schemes, each made from its names and its fields as 0.3 has them: flat, with `in` for `location`, and
/// only the flows and flow fields that 0.3 knows.
fn schemes(tree: &Object, make: impl Fn((&str, &str, &str), Object) -> Object) -> Object {
    let Some(Value::Object(schemes)) = tree.get("securitySchemes") else { return Object::new() };
    let made = schemes.iter().filter_map(|(id, scheme)| {
        let names = SCHEMES.into_iter().find(|(v1, ..)| scheme.get(v1).is_some())?;
        let mut flat = scheme.get(names.0)?.as_object()?.clone();
        if let Some(location) = flat.remove("location") {
            flat.insert("in".into(), location);
        }
        if let Some(Value::Object(flows)) = flat.get_mut("flows") {
            flows.remove("deviceCode");
            for flow in flows.values_mut().filter_map(Value::as_object_mut) {
                flow.remove("pkceRequired");
                require(flow, &["scopes"], Value::Object(Object::new()));
            }
        }
        Some((id.clone(), Value::Object(make(names, flat))))
    });
    made.collect()
}

/// Puts `from`'s security requirements into `out` as the older dialects write them: `[{"oauth": ["read"]}]`.
fn insert_security(out: &mut Object, from: &Object) {
    let security: Vec<_> = objects(from, "securityRequirements")
        .map(|requirement| {
            let schemes = requirement.get("schemes").and_then(Value::as_object).into_iter().flatten();
            let scopes = |list: &Value| list.get("list").cloned().unwrap_or_else(|| json!([]));
            schemes.map(|(name, list)| (name.clone(), scopes(list))).collect::<Value>()
        })
        .collect();
    if !security.is_empty() {
        out.insert("security".into(), security.into());
    }
}

/// Adds what `target` does not have, in depth; what it has stays.
fn add(target: &mut Object, more: Object) {
    for (name, value) in more {
        match (target.get_mut(&name), value) {
            (None, value) => {
                target.insert(name, value);
            }
            (Some(Value::Object(target)), Value::Object(more)) => add(target, more),
            (Some(Value::Array(targets)), Value::Array(more)) => {
                for pair in targets.iter_mut().zip(more) {
                    if let (Value::Object(target), Value::Object(more)) = pair {
                        add(target, more);
                    }
                }
            }
            (Some(_), _) => {}
        }
    }
}

fn pick(from: &Object, names: &[&str]) -> Object {
    names.iter().filter_map(|name| Some((name.to_string(), from.get(*name)?.clone()))).collect()
}

fn require(object: &mut Object, names: &[&str], empty: Value) {
    for name in names {
        object.entry(*name).or_insert_with(|| empty.clone());
    }
}

fn objects<'a>(from: &'a Object, list: &str) -> impl Iterator<Item = &'a Object> {
    from.get(list).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_object)
}

fn objects_mut<'a>(from: &'a mut Object, list: &str) -> impl Iterator<Item = &'a mut Object> {
    from.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten().filter_map(Value::as_object_mut)
}

fn values_mut(map: Option<&mut Value>) -> impl Iterator<Item = &mut Object> {
    map.and_then(Value::as_object_mut).into_iter().flat_map(|map| map.values_mut()).filter_map(Value::as_object_mut)
}
