use super::*;
use crate::wire::card::{
    self,
    tests::{URL, sample},
};

fn offer(url: &str, binding: &str, dialect: Dialect) -> Offer {
    Offer { url: url.into(), binding: binding.into(), dialect, tenant: String::new() }
}

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

/// A card with these members and a name.
fn named(mut members: Value) -> Value {
    members["name"] = "a".into();
    members
}

fn offers_of(members: Value) -> Vec<Offer> {
    read(named(members)).unwrap().offers
}

fn ours() -> Vec<Offer> {
    vec![
        offer(URL, "JSONRPC", Dialect::V1),
        offer("gw.test:443", "GRPC", Dialect::V1),
        offer(URL, "JSONRPC", Dialect::V03),
        offer("gw.test:443", "GRPC", Dialect::V03),
    ]
}

#[test]
fn our_own_1_0_and_merged_cards_are_read_back() {
    let mut expected = sample();
    expected.signatures.clear();
    let read_back = read(parsed(&card::v1(&sample()))).unwrap();
    assert_eq!(read_back, Discovered { card: expected.clone(), offers: ours() });

    // The merged card tells in 0.3's words that there is no push.
    expected.capabilities.as_mut().unwrap().push_notifications = Some(false);
    let read_back = read(parsed(&card::merged(&sample(), URL))).unwrap();
    assert_eq!(read_back, Discovered { card: expected, offers: ours() }, "each interface is offered once");
}

#[test]
fn our_own_older_cards_are_read_as_far_as_they_tell() {
    let mut expected = sample();
    expected.signatures.clear();
    expected.supported_interfaces.clear();
    expected.capabilities.as_mut().unwrap().push_notifications = Some(false);
    // 0.3 has neither device codes nor proof keys.
    expected.security_schemes.remove("device");
    let oauth = &parsed(
        r#"{"flows": {"authorizationCode": {"authorizationUrl": "https://a", "tokenUrl": "https://t",
        "scopes": {"read": "Read"}}}}"#,
    );
    expected
        .security_schemes
        .insert("oauth".into(), serde_json::from_value(json!({"oauth2SecurityScheme": oauth})).unwrap());

    let read_back = read(parsed(&card::v03(&sample(), URL))).unwrap();
    assert_eq!(read_back.card, expected);
    assert_eq!(read_back.offers, ours()[2..]);

    // PraisonAI's has no extensions, and skills without security.
    expected.capabilities.as_mut().unwrap().extensions.clear();
    expected.skills[0].security_requirements.clear();
    let read_back = read(parsed(&card::praisonai(&sample(), URL))).unwrap();
    assert_eq!(read_back.card, expected);
    assert_eq!(read_back.offers, [offer(URL, "JSONRPC", Dialect::Praison)]);
}

#[test]
fn praisonais_own_card_is_told_from_old_a2a_cards() {
    let bare = json!({
        "name": "echo", "url": "http://localhost:8000/a2a", "version": "1.0.0", "description": "PraisonAI Agent",
        "capabilities": {"streaming": true, "pushNotifications": false, "stateTransitionHistory": false,
            "extendedAgentCard": false},
        "provider": {"name": "PraisonAI"}
    });
    let mut full = bare.clone();
    full["capabilities"]["extendedAgentCard"] = true.into();
    full["skills"] = json!([{"id": "f", "name": "f", "description": "Tool: f", "tags": ["tool"]}]);
    full["securitySchemes"] = json!({"bearer": {"http": {"scheme": "bearer", "bearerFormat": "token"}}});
    full["security"] = json!([{"bearer": []}]);
    let mut with_modes = bare.clone();
    with_modes["defaultInputModes"] = json!(["text/plain"]);
    for card in [bare, full.clone(), with_modes, json!({"name": "hand-made", "url": "http://localhost:8000/a2a"})] {
        let offers = read(card.clone()).unwrap().offers;
        assert_eq!(offers, [offer("http://localhost:8000/a2a", "JSONRPC", Dialect::Praison)], "{card}");
    }
    let card = read(full).unwrap().card;
    assert_eq!(card.provider.unwrap().organization, "PraisonAI");
    assert_eq!(card.skills[0].tags, ["tool"]);
    assert_eq!(card.capabilities.unwrap().extended_agent_card, Some(true));
    let bearer = serde_json::to_value(&card.security_schemes["bearer"]).unwrap();
    assert_eq!(bearer, json!({"httpAuthSecurityScheme": {"scheme": "bearer", "bearerFormat": "token"}}));
    assert!(card.security_requirements[0].schemes.contains_key("bearer"));

    // A2A 0.2 had no version in its cards.
    let old = json!({"url": "http://h/", "version": "1", "description": "d", "skills": [],
        "capabilities": {"streaming": true}, "defaultInputModes": ["text"], "defaultOutputModes": ["text"]});
    assert_eq!(offers_of(old), [offer("http://h/", "JSONRPC", Dialect::V03)]);
}

#[test]
fn offers_follow_the_cards_order_and_versions() {
    use Dialect::{V1, V03};
    for (members, expected) in [
        (
            json!({"supportedInterfaces": [
                {"url": "http://a", "protocolBinding": "HTTP+JSON", "protocolVersion": "1.0", "tenant": "x"},
                {"url": "h:1", "protocolBinding": "grpc", "protocolVersion": "1.0.1"},
                {"url": "http://b", "protocolBinding": "JSONRPC", "protocolVersion": "0.3"},
                {"url": "http://c", "protocolBinding": "JSONRPC", "protocolVersion": "0.3.0"},
                {"url": "http://d", "protocolBinding": "JSONRPC"},
                {"url": "http://e", "protocolBinding": "JSONRPC", "protocolVersion": "2.0"},
                {"url": "http://e", "protocolBinding": "JSONRPC", "protocolVersion": "0.30"},
                {"url": "http://e", "protocolBinding": "JSONRPC", "protocolVersion": "10.1"},
                {"protocolBinding": "JSONRPC", "protocolVersion": "1.0"},
                {"url": "http://f", "protocolBinding": "SLIMRPC", "protocolVersion": "1"},
                "http://g", null
            ]}),
            vec![
                Offer { tenant: "x".into(), ..offer("http://a", "HTTP+JSON", V1) },
                offer("h:1", "GRPC", V1),
                offer("http://b", "JSONRPC", V03),
                offer("http://c", "JSONRPC", V03),
                offer("http://d", "JSONRPC", V03),
                offer("http://f", "SLIMRPC", V1),
            ],
        ),
        (
            json!({"protocolVersion": "0.3.0", "url": "http://a", "additionalInterfaces": [
                {"transport": "JSONRPC", "url": "http://a"}, {"transport": "HTTP+JSON", "url": "http://b"}]}),
            vec![offer("http://a", "JSONRPC", V03), offer("http://b", "HTTP+JSON", V03)],
        ),
        (
            json!({"protocolVersion": "0.2.6", "url": "h:1", "preferredTransport": "GRPC",
                "additionalInterfaces": null}),
            vec![offer("h:1", "GRPC", V03)],
        ),
        // A union in which 1.0 stands first.
        (
            json!({"url": "http://a", "preferredTransport": "JSONRPC", "protocolVersion": "0.3",
                "supportedInterfaces": [{"url": "http://a", "protocolBinding": "JSONRPC", "protocolVersion": "1.0"}]}),
            vec![offer("http://a", "JSONRPC", V1), offer("http://a", "JSONRPC", V03)],
        ),
        (json!({"preferredTransport": "HTTP+JSON", "url": "http://a"}), vec![offer("http://a", "HTTP+JSON", V03)]),
        (json!({"protocolVersion": "1.0", "url": "http://a"}), vec![offer("http://a", "JSONRPC", V1)]),
        (json!({"supportedInterfaces": []}), vec![]),
        (json!({}), vec![]),
    ] {
        assert_eq!(offers_of(members.clone()), expected, "{members}");
    }
}

#[test]
fn what_cannot_be_read_is_left_out() {
    let card = read(named(json!({
        "description": null, "version": 3, "provider": "me", "iconUrl": 1, "documentationUrl": null,
        "capabilities": {"streaming": "yes", "pushNotifications": true, "extensions": [
            {"uri": "http://x", "required": true, "params": null}, {"uri": 1}, 7]},
        "defaultInputModes": ["text/plain", 1], "defaultOutputModes": "text/plain",
        "skills": [{"id": "s", "name": "S", "tags": null, "examples": ["e"], "extra": 1}, {"id": 1}, {}, "s"],
        "securitySchemes": {
            "key": {"type": "apiKey", "in": "query", "name": "k"},
            "go": {"type": "http", "scheme": "Bearer", "http": {"scheme": "Bearer"}},
            "mtls": {"mutualTLS": {"description": "d"}},
            "flows": {"type": "oauth2", "flows": {
                "implicit": {"authorizationUrl": "http://i"},
                "clientCredentials": {"tokenUrl": "http://t", "scopes": {"a": "A"}}}},
            "none": {"type": "oauth2", "flows": {}},
            "odd": {"type": "smoke-signals"}, "bad": {"type": "http", "scheme": 1}, "text": "Bearer", "null": null
        },
        "securityRequirements": [{"schemes": {"key": {}, "flows": {"list": ["a"]}}}],
        "signatures": [{"protected": "p", "signature": "s"}]
    })))
    .unwrap()
    .card;
    assert_eq!((card.description.as_str(), card.version.as_str()), ("", ""));
    assert_eq!((&card.provider, &card.icon_url, &card.documentation_url), (&None, &None, &None));
    assert_eq!((card.default_input_modes.len(), card.default_output_modes.len()), (1, 0));
    assert!(card.signatures.is_empty());
    let capabilities = card.capabilities.unwrap();
    assert_eq!((capabilities.streaming, capabilities.push_notifications), (None, Some(true)));
    assert_eq!(capabilities.extensions.len(), 1);
    assert_eq!(card.skills.iter().map(|skill| skill.id.as_str()).collect::<Vec<_>>(), ["s"]);
    assert_eq!(
        serde_json::to_value(&card.security_schemes).unwrap(),
        json!({
            "key": {"apiKeySecurityScheme": {"location": "query", "name": "k"}},
            "go": {"httpAuthSecurityScheme": {"scheme": "Bearer"}},
            "mtls": {"mtlsSecurityScheme": {"description": "d"}},
            "flows": {"oauth2SecurityScheme": {"flows": {
                "clientCredentials": {"tokenUrl": "http://t", "scopes": {"a": "A"}}}}}
        })
    );
    assert_eq!(card.security_requirements[0].schemes["flows"].list, ["a"]);
}

#[test]
fn a_card_needs_a_name() {
    for (card, expected) in [
        (json!([]), "card must be an object"),
        (json!(null), "card must be an object"),
        (json!({}), "name is required: the agent's name"),
        (json!({"name": null, "url": "http://a"}), "name is required: the agent's name"),
        (json!({"name": 1}), "name is required: the agent's name"),
    ] {
        assert_eq!(read(card.clone()).unwrap_err().to_string(), expected, "{card}");
    }
    let deep = (0..120).fold(json!({}), |inner, _| json!({"params": [inner]}));
    let card = read(named(json!({"capabilities": {"extensions": [{"uri": "u", "params": deep}]}}))).unwrap().card;
    assert_eq!(card.capabilities.unwrap().extensions.len(), 1);
}
