use std::collections::BTreeMap;

use super::*;
use crate::proto::{
    a2a::{
        AgentCapabilities, AgentCardSignature, AgentExtension, AgentInterface, AgentProvider, AgentSkill,
        ApiKeySecurityScheme, AuthorizationCodeOAuthFlow, DeviceCodeOAuthFlow, HttpAuthSecurityScheme,
        MutualTlsSecurityScheme, OAuth2SecurityScheme, OAuthFlows, OpenIdConnectSecurityScheme, SecurityRequirement,
        SecurityScheme, StringList, o_auth_flows::Flow, security_scheme::Scheme,
    },
    well_known::Struct,
};

pub(super) const URL: &str = "https://gw.test/a2a";

fn interface(url: &str, binding: &str, version: &str) -> AgentInterface {
    AgentInterface {
        url: url.into(),
        protocol_binding: binding.into(),
        protocol_version: version.into(),
        tenant: String::new(),
    }
}

fn flow(flow: Flow) -> Scheme {
    Scheme::Oauth2SecurityScheme(OAuth2SecurityScheme {
        flows: Some(OAuthFlows { flow: Some(flow) }),
        ..OAuth2SecurityScheme::default()
    })
}

pub(super) fn sample() -> AgentCard {
    let code = AuthorizationCodeOAuthFlow {
        authorization_url: "https://a".into(),
        token_url: "https://t".into(),
        scopes: [("read".to_owned(), "Read".to_owned())].into(),
        pkce_required: true,
        ..AuthorizationCodeOAuthFlow::default()
    };
    let device = DeviceCodeOAuthFlow { device_authorization_url: "https://d".into(), ..Default::default() };
    let schemes = [
        (
            "key",
            Scheme::ApiKeySecurityScheme(ApiKeySecurityScheme {
                location: "header".into(),
                name: "X-Key".into(),
                ..Default::default()
            }),
        ),
        (
            "bearer",
            Scheme::HttpAuthSecurityScheme(HttpAuthSecurityScheme {
                scheme: "Bearer".into(),
                bearer_format: "JWT".into(),
                description: "d".into(),
            }),
        ),
        ("oauth", flow(Flow::AuthorizationCode(code))),
        ("device", flow(Flow::DeviceCode(device))),
        (
            "oidc",
            Scheme::OpenIdConnectSecurityScheme(OpenIdConnectSecurityScheme {
                open_id_connect_url: "https://o".into(),
                ..Default::default()
            }),
        ),
        ("mtls", Scheme::MtlsSecurityScheme(MutualTlsSecurityScheme::default())),
    ];
    let requirement = |name: &str, scopes: &[&str]| SecurityRequirement {
        schemes: BTreeMap::from([(
            name.to_owned(),
            StringList { list: scopes.iter().map(|scope| (*scope).to_owned()).collect() },
        )]),
    };
    AgentCard {
        name: "echo-gw".into(),
        description: String::new(),
        supported_interfaces: vec![
            interface(URL, "JSONRPC", "1.0"),
            interface("gw.test:443", "GRPC", "1.0"),
            interface(URL, "JSONRPC", "0.3"),
            interface("gw.test:443", "GRPC", "0.3.0"),
        ],
        provider: Some(AgentProvider { url: "https://p".into(), organization: "Org".into() }),
        version: "2.1.0".into(),
        documentation_url: Some("https://docs".into()),
        capabilities: Some(AgentCapabilities {
            streaming: Some(true),
            push_notifications: None,
            extensions: vec![AgentExtension { uri: "http://x".into(), ..AgentExtension::default() }],
            extended_agent_card: Some(true),
        }),
        security_schemes: schemes
            .into_iter()
            .map(|(name, scheme)| (name.to_owned(), SecurityScheme { scheme: Some(scheme) }))
            .collect(),
        security_requirements: vec![requirement("oauth", &["read"]), requirement("bearer", &[])],
        default_input_modes: vec!["text/plain".into()],
        default_output_modes: Vec::new(),
        skills: vec![AgentSkill {
            id: "echo".into(),
            name: "Echo".into(),
            security_requirements: vec![requirement("key", &[])],
            ..AgentSkill::default()
        }],
        signatures: vec![AgentCardSignature {
            protected: "p".into(),
            signature: "s".into(),
            header: Some(Struct::default()),
        }],
        icon_url: None,
    }
}

fn parse(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

fn v1_schemes() -> Value {
    json!({
        "key": {"apiKeySecurityScheme": {"location": "header", "name": "X-Key"}},
        "bearer": {"httpAuthSecurityScheme": {"scheme": "Bearer", "bearerFormat": "JWT", "description": "d"}},
        "oauth": {"oauth2SecurityScheme": {"flows": {"authorizationCode": {"authorizationUrl": "https://a",
            "tokenUrl": "https://t", "scopes": {"read": "Read"}, "pkceRequired": true}}}},
        "device": {"oauth2SecurityScheme": {"flows": {"deviceCode": {"deviceAuthorizationUrl": "https://d",
            "tokenUrl": "", "scopes": {}}}}},
        "oidc": {"openIdConnectSecurityScheme": {"openIdConnectUrl": "https://o"}},
        "mtls": {"mtlsSecurityScheme": {}}
    })
}

fn v1_card() -> Value {
    json!({
        "name": "echo-gw", "description": "", "version": "2.1.0",
        "supportedInterfaces": [
            {"url": URL, "protocolBinding": "JSONRPC", "protocolVersion": "1.0"},
            {"url": "gw.test:443", "protocolBinding": "GRPC", "protocolVersion": "1.0"},
            {"url": URL, "protocolBinding": "JSONRPC", "protocolVersion": "0.3"},
            {"url": "gw.test:443", "protocolBinding": "GRPC", "protocolVersion": "0.3.0"}
        ],
        "provider": {"url": "https://p", "organization": "Org"},
        "documentationUrl": "https://docs",
        "capabilities": {"streaming": true, "extendedAgentCard": true, "extensions": [{"uri": "http://x"}]},
        "securitySchemes": v1_schemes(),
        "securityRequirements": [{"schemes": {"oauth": {"list": ["read"]}}}, {"schemes": {"bearer": {}}}],
        "defaultInputModes": ["text/plain"], "defaultOutputModes": [],
        "skills": [{"id": "echo", "name": "Echo", "description": "", "tags": [],
            "securityRequirements": [{"schemes": {"key": {}}}]}],
        "signatures": [{"protected": "p", "signature": "s", "header": {}}]
    })
}

fn v03_card() -> Value {
    json!({
        "protocolVersion": "0.3.0", "name": "echo-gw", "description": "", "version": "2.1.0",
        "url": URL, "preferredTransport": "JSONRPC",
        "additionalInterfaces": [{"url": URL, "transport": "JSONRPC"}, {"url": "gw.test:443", "transport": "GRPC"}],
        "provider": {"url": "https://p", "organization": "Org"},
        "documentationUrl": "https://docs",
        "capabilities": {"streaming": true, "pushNotifications": false, "stateTransitionHistory": false,
            "extensions": [{"uri": "http://x"}]},
        "supportsAuthenticatedExtendedCard": true,
        "securitySchemes": {
            "key": {"type": "apiKey", "in": "header", "name": "X-Key"},
            "bearer": {"type": "http", "scheme": "Bearer", "bearerFormat": "JWT", "description": "d"},
            "oauth": {"type": "oauth2", "flows": {"authorizationCode": {"authorizationUrl": "https://a",
                "tokenUrl": "https://t", "scopes": {"read": "Read"}}}},
            "device": {"type": "oauth2", "flows": {}},
            "oidc": {"type": "openIdConnect", "openIdConnectUrl": "https://o"},
            "mtls": {"type": "mutualTLS"}
        },
        "security": [{"oauth": ["read"]}, {"bearer": []}],
        "defaultInputModes": ["text/plain"], "defaultOutputModes": [],
        "skills": [{"id": "echo", "name": "Echo", "description": "", "tags": [], "security": [{"key": []}]}]
    })
}

#[test]
fn the_1_0_card_is_the_contracts_with_required_fields_and_signatures() {
    assert_eq!(parse(&v1(&sample())), v1_card());
    assert_eq!(serde_json::from_str::<AgentCard>(&v1(&sample())).unwrap(), sample());
    assert_eq!(
        parse(&v1(&AgentCard::default())),
        json!({"name": "", "description": "", "version": "", "supportedInterfaces": [], "capabilities": {},
            "defaultInputModes": [], "defaultOutputModes": [], "skills": []})
    );
}

#[test]
fn the_0_3_card_is_flat_and_unsigned() {
    assert_eq!(parse(&v03(&sample(), URL)), v03_card());
    assert_eq!(parse(&v03(&AgentCard::default(), URL))["supportsAuthenticatedExtendedCard"], false);
}

#[test]
fn the_merged_card_holds_both_whole() {
    let merged = parse(&merged(&sample(), URL));
    assert_contains(&merged, &v1_card());
    assert_contains(&merged, &v03_card());

    let mut read = sample();
    read.capabilities.as_mut().unwrap().push_notifications = Some(false);
    assert_eq!(serde_json::from_value::<AgentCard>(merged.clone()).unwrap(), read, "a 1.0 client reads the 1.0 card");
    assert!(merged["provider"].as_object().unwrap().values().all(Value::is_string));
}

/// All that `part` holds is in `whole` too; only a 1.0 flow's extra members may be beside 0.3's.
fn assert_contains(whole: &Value, part: &Value) {
    match (whole, part) {
        (Value::Object(whole), Value::Object(part)) => {
            for (name, value) in part {
                assert_contains(whole.get(name).unwrap_or_else(|| panic!("{name} is missing")), value);
            }
        }
        (Value::Array(whole), Value::Array(part)) => {
            assert_eq!(whole.len(), part.len());
            whole.iter().zip(part).for_each(|(whole, part)| assert_contains(whole, part));
        }
        _ => assert_eq!(whole, part),
    }
}

#[test]
fn the_praisonai_card_has_its_own_shapes() {
    let expected = json!({
        "name": "echo-gw", "url": URL, "version": "2.1.0", "description": "", "documentationUrl": "https://docs",
        "capabilities": {"streaming": true, "pushNotifications": false, "stateTransitionHistory": false,
            "extendedAgentCard": true},
        "provider": {"name": "Org", "url": "https://p"},
        "defaultInputModes": ["text/plain"], "defaultOutputModes": [],
        "skills": [{"id": "echo", "name": "Echo", "description": "", "tags": []}],
        "securitySchemes": {
            "key": {"apiKey": {"in": "header", "name": "X-Key"}},
            "bearer": {"http": {"scheme": "Bearer", "bearerFormat": "JWT", "description": "d"}},
            "oauth": {"oauth2": {"flows": {"authorizationCode": {"authorizationUrl": "https://a",
                "tokenUrl": "https://t", "scopes": {"read": "Read"}}}}},
            "device": {"oauth2": {"flows": {}}},
            "oidc": {"openIdConnect": {"openIdConnectUrl": "https://o"}},
            "mtls": {"mutualTls": {}}
        },
        "security": [{"oauth": ["read"]}, {"bearer": []}]
    });
    assert_eq!(parse(&praisonai(&sample(), URL)), expected);
    let bare = parse(&praisonai(&AgentCard::default(), URL));
    for absent in ["skills", "provider", "securitySchemes", "security"] {
        assert_eq!(bare.get(absent), None, "{absent}");
    }
}

#[test]
fn what_is_signed_is_the_1_0_card_without_signatures_and_empty_values() {
    let mut card = sample();
    let text = signed_form(&card);
    card.signatures.clear();
    assert_eq!(signed_form(&card), text);
    assert!(text.starts_with("{\"capabilities\":{") && !text.contains(' '), "{text}");
    let value = parse(&text);
    assert_eq!(canonical(&value), text);
    assert_eq!(value.get("description"), None, "it is empty");
    assert_eq!(value.get("defaultOutputModes"), None, "it is empty");
    assert_eq!(
        value["securityRequirements"],
        json!([{"schemes": {"oauth": {"list": ["read"]}}}]),
        "without scopes it is empty"
    );
    assert_eq!(value["capabilities"]["streaming"], true);
    assert_eq!(value["skills"], json!([{"id": "echo", "name": "Echo"}]));
    let read: AgentCard = serde_json::from_str(&merged(&card, URL)).unwrap();
    let same = AgentCard { capabilities: card.capabilities.clone(), ..read };
    assert_eq!(signed_form(&same), text, "who reads the merged card verifies the same");
    let changed = AgentCard { name: "other".into(), ..card };
    assert_ne!(signed_form(&changed), text);
}
