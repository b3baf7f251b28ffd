//! Agents' cards: read in any of the three shapes, or a document that mixes them (WIRE 3.10, 3.11, 4.1, 4.2).
//!
//! A card is read for what it tells: a skill, scheme or interface that cannot be read is left out, and missing texts are
//! empty. Only a card without a name is none. Signatures are left out, since they hold for the agent's own document only.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::{Object, SCHEMES, objects};
use crate::{
    error::{Error, Result},
    proto::a2a::{
        AgentCapabilities, AgentCard, AgentInterface, AgentProvider, AgentSkill, SecurityRequirement, SecurityScheme,
        StringList,
    },
    task::Dialect,
};

/// The binding of interfaces that name none.
const JSON_RPC: &str = "JSONRPC";

/// Names of scheme objects that are neither 1.0's nor PraisonAI's: the official Go SDK's.
const GO_MTLS: &str = "mutualTLS";

/// OAuth flows, the one to keep first: a 1.0 scheme has one only.
const FLOWS: [&str; 5] = ["authorizationCode", "clientCredentials", "deviceCode", "implicit", "password"];

/// One way to call an agent, as its card offers it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// Where, as the card has it: gRPC's often is a bare `host:port`.
    pub url: String,
    /// How, in upper case: `JSONRPC`, `GRPC`, `HTTP+JSON`, or one that is not known here.
    pub binding: String,
    /// What is spoken there.
    pub dialect: Dialect,
    /// What 1.0 requests there must name; empty: nothing.
    pub tenant: String,
}

/// What an agent's card tells.
#[derive(Clone, Debug, PartialEq)]
pub struct Discovered {
    /// The card as a 1.0 card. Its interfaces are those that the card lists in 1.0's shape.
    pub card: AgentCard,
    /// The ways to call the agent, in the card's order of preference. Empty: none that is spoken here.
    pub offers: Vec<Offer>,
}

/// Reads a card.
///
/// # Errors
/// `InvalidArgument` when it is no object or has no name.
pub fn read(json: Value) -> Result<Discovered> {
    let Value::Object(mut card) = json else { return Err(Error::invalid("card", "must be an object")) };
    prune(&mut card);
    let name = string(&card, "name");
    if name.is_empty() {
        return Err(Error::invalid("name", "is required: the agent's name"));
    }
    let offers = offers(&card);
    let card = AgentCard {
        name,
        description: string(&card, "description"),
        supported_interfaces: objects(&card, "supportedInterfaces").map(interface).collect(),
        provider: provider(&card),
        version: string(&card, "version"),
        documentation_url: optional(&card, "documentationUrl"),
        capabilities: Some(capabilities(&card)),
        security_schemes: schemes(&card),
        security_requirements: requirements(&card),
        default_input_modes: strings(&card, "defaultInputModes"),
        default_output_modes: strings(&card, "defaultOutputModes"),
        skills: objects(&card, "skills").filter_map(skill).collect(),
        signatures: Vec::new(),
        icon_url: optional(&card, "iconUrl"),
    };
    Ok(Discovered { card, offers })
}

fn offers(card: &Object) -> Vec<Offer> {
    let listed = objects(card, "supportedInterfaces").filter_map(|object| {
        let AgentInterface { url, protocol_binding, protocol_version, tenant } = interface(object);
        Some(Offer { url, binding: binding(&protocol_binding), dialect: listed_dialect(&protocol_version)?, tenant })
    });
    let dialect = flat_dialect(card);
    let flat = |object: &Object, transport: &str| Offer {
        url: string(object, "url"),
        binding: binding(&string(object, transport)),
        dialect,
        tenant: String::new(),
    };
    let main = flat(card, "preferredTransport");
    let more = objects(card, "additionalInterfaces").map(|object| flat(object, "transport"));

    let mut offers: Vec<Offer> = Vec::new();
    for offer in listed.chain([main]).chain(more) {
        let known = |other: &Offer| {
            (&other.url, &other.binding, other.dialect) == (&offer.url, &offer.binding, offer.dialect)
                && (offer.tenant.is_empty() || offer.tenant == other.tenant)
        };
        if !offer.url.is_empty() && !offers.iter().any(known) {
            offers.push(offer);
        }
    }
    offers
}

/// What an interface of 1.0's list speaks. None: a version that is not spoken here.
fn listed_dialect(version: &str) -> Option<Dialect> {
    match version.split('.').next() {
        Some("1") => Some(Dialect::V1),
        Some("") => Some(Dialect::V03),
        _ if version == "0.3" || version.starts_with("0.3.") => Some(Dialect::V03),
        _ => None,
    }
}

/// What is spoken at the `url` of a card itself: what its version says, and without one 0.3, unless it looks like
/// PraisonAI's. Those tell no version and no transport, and either print `extendedAgentCard` among the capabilities,
/// which no card of 0.3's line does, or lack the modes that every such card must have.
fn flat_dialect(card: &Object) -> Dialect {
    let old = ["supportedInterfaces", "protocolVersion", "preferredTransport", "additionalInterfaces"];
    let version = string(card, "protocolVersion");
    if version == "1" || version.starts_with("1.") {
        return Dialect::V1;
    }
    let extended = card.get("capabilities").is_some_and(|all| all.get("extendedAgentCard").is_some());
    let praison = extended || !card.contains_key("defaultInputModes");
    if praison && !old.iter().any(|name| card.contains_key(*name)) { Dialect::Praison } else { Dialect::V03 }
}

fn interface(object: &Object) -> AgentInterface {
    AgentInterface {
        url: string(object, "url"),
        protocol_binding: string(object, "protocolBinding"),
        protocol_version: string(object, "protocolVersion"),
        tenant: string(object, "tenant"),
    }
}

fn binding(name: &str) -> String {
    if name.is_empty() { JSON_RPC.to_owned() } else { name.to_ascii_uppercase() }
}

/// Who provides the agent; PraisonAI calls the organization a name.
fn provider(card: &Object) -> Option<AgentProvider> {
    let object = card.get("provider")?.as_object()?;
    let organization = optional(object, "organization").unwrap_or_else(|| string(object, "name"));
    let provider = AgentProvider { url: string(object, "url"), organization };
    (provider != AgentProvider::default()).then_some(provider)
}

fn capabilities(card: &Object) -> AgentCapabilities {
    let empty = Map::new();
    let all = card.get("capabilities").and_then(Value::as_object).unwrap_or(&empty);
    let flag = |name: &str| all.get(name).and_then(Value::as_bool);
    let extended = card.get("supportsAuthenticatedExtendedCard").and_then(Value::as_bool);
    AgentCapabilities {
        streaming: flag("streaming"),
        push_notifications: flag("pushNotifications"),
        extensions: objects(all, "extensions").filter_map(|object| typed(object.clone())).collect(),
        extended_agent_card: flag("extendedAgentCard").or(extended),
    }
}

fn skill(object: &Object) -> Option<AgentSkill> {
    let mut object = object.clone();
    let requirements = requirements(&object);
    object.remove("securityRequirements");
    let skill: AgentSkill = typed(object)?;
    let named = !(skill.id.is_empty() && skill.name.is_empty());
    named.then_some(AgentSkill { security_requirements: requirements, ..skill })
}

/// The requirements, in 1.0's shape or the older one: `[{"oauth": ["read"]}]`.
fn requirements(object: &Object) -> Vec<SecurityRequirement> {
    let name = ["securityRequirements", "security"].into_iter().find(|name| object.contains_key(*name));
    let requirement = |object: &Object| {
        let nested = object.get("schemes").and_then(Value::as_object);
        let scopes = |value: &Value| {
            let list = value.get("list").unwrap_or(value).as_array().into_iter().flatten();
            StringList { list: list.filter_map(Value::as_str).map(str::to_owned).collect() }
        };
        let schemes = nested.unwrap_or(object).iter().map(|(name, value)| (name.clone(), scopes(value)));
        SecurityRequirement { schemes: schemes.collect() }
    };
    name.map(|name| objects(object, name).map(requirement).collect()).unwrap_or_default()
}

fn schemes(card: &Object) -> BTreeMap<String, SecurityScheme> {
    let schemes = card.get("securitySchemes").and_then(Value::as_object);
    let read = schemes.into_iter().flatten().filter_map(|(id, value)| Some((id.clone(), scheme(value.as_object()?)?)));
    read.collect()
}

/// A scheme: under 1.0's key, or flat with 0.3's `type`, or under PraisonAI's key.
fn scheme(object: &Object) -> Option<SecurityScheme> {
    let kind = object.get("type").and_then(Value::as_str);
    let (key, mut fields) = SCHEMES.into_iter().find_map(|(v1, v03, praison)| {
        let under = |name: &str| object.get(name).and_then(Value::as_object);
        let nested = under(v1).or_else(|| if kind == Some(v03) { Some(object) } else { None });
        let go = || if praison == "mutualTls" { under(GO_MTLS) } else { None };
        Some((v1, nested.or_else(|| under(praison)).or_else(go)?.clone()))
    })?;
    if let Some(location) = fields.remove("in") {
        fields.entry("location").or_insert(location);
    }
    if key == "oauth2SecurityScheme" {
        let flows = fields.get("flows")?.as_object()?;
        let (name, flow) = FLOWS.into_iter().find_map(|name| Some((name, flows.get(name)?.clone())))?;
        fields.insert("flows".into(), json!({name: flow}));
    }
    typed(Object::from_iter([(key.to_owned(), Value::Object(fields))]))
}

/// The members as a type of the 1.0 contract; none when one of them is of the wrong type.
fn typed<T: DeserializeOwned>(object: Object) -> Option<T> {
    serde_json::from_value(Value::Object(object)).ok()
}

/// Takes out null members, in depth: they are absent ones.
fn prune(object: &mut Object) {
    object.retain(|_, value| !value.is_null());
    object.values_mut().for_each(prune_value);
}

fn prune_value(value: &mut Value) {
    match value {
        Value::Object(object) => prune(object),
        Value::Array(items) => items.iter_mut().for_each(prune_value),
        _ => {}
    }
}

fn optional(object: &Object, name: &str) -> Option<String> {
    object.get(name)?.as_str().map(str::to_owned)
}

fn string(object: &Object, name: &str) -> String {
    optional(object, name).unwrap_or_default()
}

fn strings(object: &Object, name: &str) -> Vec<String> {
    let list = object.get(name).and_then(Value::as_array).into_iter().flatten();
    list.filter_map(Value::as_str).map(str::to_owned).collect()
}
