//! What an extended card says beyond the public one: a JSON merge patch (RFC 7396) of it, in which `skills` are added to
//! the public ones, or take the place of those with the same id.
//!
//! It is written by an operator, so that what would have no effect is an error, and not left out.

use serde_json::Value;

use super::{Object, tree};
use crate::proto::a2a::AgentCard;

/// What an overlay may say.
const MEMBERS: [&str; 10] = [
    "capabilities",
    "defaultInputModes",
    "defaultOutputModes",
    "description",
    "documentationUrl",
    "iconUrl",
    "name",
    "provider",
    "skills",
    "version",
];

/// What only the gateway knows.
const GATEWAYS: [&str; 4] = ["supportedInterfaces", "securitySchemes", "securityRequirements", "signatures"];

/// What an extended card says beyond the public one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Overlay(Object);

impl Overlay {
    /// Reads an overlay: an object of members of a 1.0 card.
    ///
    /// # Errors
    /// What is wrong with it, to follow the name of what holds it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let value: Value = serde_json::from_str(text).map_err(|error| format!("is not JSON: {error}"))?;
        let Value::Object(members) = value else { return Err("must hold an object: members of an agent card".into()) };
        for name in members.keys() {
            if GATEWAYS.contains(&name.as_str()) {
                return Err(format!("must not have {name}, which the gateway writes itself"));
            }
            if !MEMBERS.contains(&name.as_str()) {
                return Err(format!("has {name}, and may have only {}", MEMBERS.join(", ")));
            }
        }
        if members.get("name").is_some_and(|name| name.as_str().is_none_or(str::is_empty)) {
            return Err("must have a text for name, or no name at all".into());
        }
        for skill in members.get("skills").and_then(Value::as_array).into_iter().flatten() {
            let text = |name| skill.get(name).and_then(Value::as_str).unwrap_or_default();
            if text("id").is_empty() || text("name").is_empty() {
                return Err("has a skill without an id or a name".into());
            }
        }
        let overlay = Self(members);
        let nobody = AgentCard { name: "agent".into(), ..AgentCard::default() };
        overlay.apply(&nobody).map_err(|problem| format!("is no part of an A2A 1.0 agent card: {problem}"))?;
        Ok(overlay)
    }

    /// The extended card of the agent whose public one this is.
    ///
    /// # Errors
    /// When the two together are no card.
    pub fn apply(&self, card: &AgentCard) -> Result<AgentCard, serde_json::Error> {
        let mut members = tree(card);
        for (name, value) in &self.0 {
            match (name.as_str(), members.get_mut(name), value) {
                ("skills", Some(Value::Array(skills)), Value::Array(more)) => add(skills, more),
                (_, Some(target), value) if !value.is_null() => merge(target, value),
                (_, None, value) if !value.is_null() => merge(members.entry(name).or_insert(Value::Null), value),
                _ => {
                    members.remove(name);
                }
            }
        }
        serde_json::from_value(Value::Object(members))
    }
}

/// Adds skills; one whose id is there already takes its place.
fn add(skills: &mut Vec<Value>, more: &[Value]) {
    for skill in more {
        match skills.iter_mut().find(|known| known.get("id") == skill.get("id")) {
            Some(known) => *known = skill.clone(),
            None => skills.push(skill.clone()),
        }
    }
}

/// RFC 7396: objects are merged, all else is replaced, and null removes.
fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        target.clone_from(patch);
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Object::new());
    }
    let Value::Object(target) = target else { return };
    for (name, value) in patch {
        if value.is_null() {
            target.remove(name);
        } else {
            merge(target.entry(name).or_insert(Value::Null), value);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{super::tests::sample, *};

    fn overlay(value: Value) -> Result<Overlay, String> {
        Overlay::parse(&value.to_string())
    }

    #[test]
    fn objects_are_merged_skills_added_and_nulls_removed() {
        let card = sample();
        let first = card.skills[0].id.clone();
        let patch = json!({
            "description": "For friends.", "iconUrl": null, "provider": {"organization": "Friends"},
            "skills": [{"id": first, "name": "Better", "tags": ["t"]}, {"id": "secret", "name": "Secret"}],
        });
        let extended = overlay(patch).unwrap().apply(&card).unwrap();
        assert_eq!((extended.description.as_str(), extended.icon_url.as_deref()), ("For friends.", None));
        let provider = (card.provider.clone().unwrap(), extended.provider.clone().unwrap());
        assert_eq!((provider.1.organization.as_str(), &provider.1.url), ("Friends", &provider.0.url));
        let names: Vec<_> = extended.skills.iter().map(|skill| skill.name.as_str()).collect();
        assert_eq!((names[0], names.last()), ("Better", Some(&"Secret")));
        assert_eq!(extended.skills.len(), card.skills.len() + 1);
        assert_eq!((&extended.name, &extended.supported_interfaces), (&card.name, &card.supported_interfaces));
        assert_eq!(overlay(json!({})).unwrap().apply(&card).unwrap(), card);
        assert_eq!(overlay(json!({"skills": null})).unwrap().apply(&card).unwrap().skills, []);
    }

    #[test]
    fn what_would_have_no_effect_is_refused() {
        for (text, part) in [
            ("{", "is not JSON: EOF"),
            ("[]", "must hold an object"),
            (r#"{"skils": []}"#, "has skils, and may have only capabilities, "),
            (r#"{"supportedInterfaces": []}"#, "must not have supportedInterfaces, which the gateway writes"),
            (r#"{"signatures": []}"#, "must not have signatures"),
            (r#"{"name": null}"#, "must have a text for name"),
            (r#"{"skills": [{"id": "a"}]}"#, "a skill without an id or a name"),
            (r#"{"skills": "all"}"#, "is no part of an A2A 1.0 agent card: "),
            (r#"{"description": 1}"#, "is no part of an A2A 1.0 agent card: "),
        ] {
            let problem = Overlay::parse(text).unwrap_err();
            assert!(problem.contains(part), "{text}: {problem}");
        }
    }
}
