//! Agent cards to 0.3's contract, which only its gRPC binding serves: the others serve the card as JSON.

use crate::proto::{
    a2a::{self as v1, o_auth_flows::Flow, security_scheme::Scheme},
    a2a_v03 as v03,
};

/// A version of 0.3, as its cards name it.
const PROTOCOL_VERSION: &str = "0.3.0";
/// The binding at the card's own URL.
const PREFERRED: &str = "JSONRPC";

/// The card, of which only the interfaces of 0.3 are shown. `url` is where 0.3's JSON-RPC is served. Signatures are left
/// out: they hold for the 1.0 card alone.
pub fn card(card: v1::AgentCard, url: String) -> v03::AgentCard {
    let capabilities = card.capabilities.unwrap_or_default();
    let interfaces = card.supported_interfaces.into_iter().filter(|each| each.protocol_version.starts_with("0.3"));
    v03::AgentCard {
        protocol_version: PROTOCOL_VERSION.to_owned(),
        name: card.name,
        description: card.description,
        url,
        preferred_transport: PREFERRED.to_owned(),
        additional_interfaces: interfaces
            .map(|each| v03::AgentInterface { url: each.url, transport: each.protocol_binding })
            .collect(),
        provider: card.provider.map(|it| v03::AgentProvider { url: it.url, organization: it.organization }),
        version: card.version,
        documentation_url: card.documentation_url.unwrap_or_default(),
        supports_authenticated_extended_card: capabilities.extended_agent_card(),
        capabilities: Some(v03::AgentCapabilities {
            streaming: capabilities.streaming(),
            push_notifications: capabilities.push_notifications(),
            extensions: capabilities.extensions.into_iter().map(extension).collect(),
            state_transition_history: false,
        }),
        security_schemes: card
            .security_schemes
            .into_iter()
            .filter_map(|(name, scheme)| Some((name, security_scheme(scheme)?)))
            .collect(),
        security: card.security_requirements.into_iter().map(security).collect(),
        default_input_modes: card.default_input_modes,
        default_output_modes: card.default_output_modes,
        skills: card.skills.into_iter().map(skill).collect(),
        signatures: Vec::new(),
        icon_url: card.icon_url.unwrap_or_default(),
    }
}

fn extension(extension: v1::AgentExtension) -> v03::AgentExtension {
    v03::AgentExtension {
        uri: extension.uri,
        description: extension.description,
        required: extension.required,
        params: extension.params,
    }
}

fn skill(skill: v1::AgentSkill) -> v03::AgentSkill {
    v03::AgentSkill {
        id: skill.id,
        name: skill.name,
        description: skill.description,
        tags: skill.tags,
        examples: skill.examples,
        input_modes: skill.input_modes,
        output_modes: skill.output_modes,
        security: skill.security_requirements.into_iter().map(security).collect(),
    }
}

fn security(requirement: v1::SecurityRequirement) -> v03::Security {
    let schemes = requirement.schemes.into_iter();
    v03::Security { schemes: schemes.map(|(name, it)| (name, v03::StringList { list: it.list })).collect() }
}

/// None: one of a kind that is not known here.
fn security_scheme(scheme: v1::SecurityScheme) -> Option<v03::SecurityScheme> {
    use v03::security_scheme::Scheme as Old;

    let scheme = match scheme.scheme? {
        Scheme::ApiKeySecurityScheme(it) => Old::ApiKeySecurityScheme(v03::ApiKeySecurityScheme {
            description: it.description,
            location: it.location,
            name: it.name,
        }),
        Scheme::HttpAuthSecurityScheme(it) => Old::HttpAuthSecurityScheme(v03::HttpAuthSecurityScheme {
            description: it.description,
            scheme: it.scheme,
            bearer_format: it.bearer_format,
        }),
        Scheme::Oauth2SecurityScheme(it) => Old::Oauth2SecurityScheme(v03::OAuth2SecurityScheme {
            description: it.description,
            flows: it.flows.and_then(|flows| flows.flow).and_then(flow),
            oauth2_metadata_url: it.oauth2_metadata_url,
        }),
        Scheme::OpenIdConnectSecurityScheme(it) => Old::OpenIdConnectSecurityScheme(v03::OpenIdConnectSecurityScheme {
            description: it.description,
            open_id_connect_url: it.open_id_connect_url,
        }),
        Scheme::MtlsSecurityScheme(it) => {
            Old::MtlsSecurityScheme(v03::MutualTlsSecurityScheme { description: it.description })
        }
    };
    Some(v03::SecurityScheme { scheme: Some(scheme) })
}

/// None: the flow for devices, which 0.3 does not have.
fn flow(flow: Flow) -> Option<v03::OAuthFlows> {
    use v03::o_auth_flows::Flow as Old;

    let flow = match flow {
        Flow::AuthorizationCode(it) => Old::AuthorizationCode(v03::AuthorizationCodeOAuthFlow {
            authorization_url: it.authorization_url,
            token_url: it.token_url,
            refresh_url: it.refresh_url,
            scopes: it.scopes,
        }),
        Flow::ClientCredentials(it) => Old::ClientCredentials(v03::ClientCredentialsOAuthFlow {
            token_url: it.token_url,
            refresh_url: it.refresh_url,
            scopes: it.scopes,
        }),
        #[allow(deprecated, reason = "1.0 keeps it for the agents that have it")]
        Flow::Implicit(it) => Old::Implicit(v03::ImplicitOAuthFlow {
            authorization_url: it.authorization_url,
            refresh_url: it.refresh_url,
            scopes: it.scopes,
        }),
        #[allow(deprecated, reason = "1.0 keeps it for the agents that have it")]
        Flow::Password(it) => Old::Password(v03::PasswordOAuthFlow {
            token_url: it.token_url,
            refresh_url: it.refresh_url,
            scopes: it.scopes,
        }),
        Flow::DeviceCode(_) => return None,
    };
    Some(v03::OAuthFlows { flow: Some(flow) })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_card_is_that_of_the_contract() {
        let new: v1::AgentCard = serde_json::from_value(json!({
            "name": "n", "description": "d", "version": "1", "documentationUrl": "http://doc",
            "provider": {"organization": "o", "url": "http://o"},
            "supportedInterfaces": [
                {"url": "http://gw/a2a", "protocolBinding": "JSONRPC", "protocolVersion": "1.0"},
                {"url": "gw:80", "protocolBinding": "GRPC", "protocolVersion": "0.3"},
            ],
            "capabilities": {"streaming": true, "pushNotifications": true,
                "extensions": [{"uri": "http://x", "required": true, "params": {"a": 1}}]},
            "securitySchemes": {
                "key": {"apiKeySecurityScheme": {"location": "header", "name": "X"}},
                "oauth": {"oauth2SecurityScheme": {"flows": {"clientCredentials": {"tokenUrl": "http://t", "scopes": {"r": "read"}}}}},
                "device": {"oauth2SecurityScheme": {"flows": {"deviceCode": {"tokenUrl": "http://t"}}}},
                "none": {},
            },
            "securityRequirements": [{"schemes": {"oauth": {"list": ["r"]}}}],
            "defaultInputModes": ["text/plain"], "defaultOutputModes": ["a/b"],
            "skills": [{"id": "s", "name": "n", "tags": ["t"], "securityRequirements": [{"schemes": {"key": {}}}]}],
            "signatures": [{"protected": "p", "signature": "s"}],
        }))
        .unwrap();
        let old = serde_json::to_value(card(new, "http://gw/a2a".into())).unwrap();
        let expected = json!({
            "protocolVersion": "0.3.0", "name": "n", "description": "d", "version": "1", "documentationUrl": "http://doc",
            "url": "http://gw/a2a", "preferredTransport": "JSONRPC",
            "provider": {"organization": "o", "url": "http://o"},
            "additionalInterfaces": [{"url": "gw:80", "transport": "GRPC"}],
            "capabilities": {"streaming": true, "pushNotifications": true,
                "extensions": [{"uri": "http://x", "required": true, "params": {"a": 1.0}}]},
            "securitySchemes": {
                "key": {"apiKeySecurityScheme": {"location": "header", "name": "X"}},
                "oauth": {"oauth2SecurityScheme": {"flows": {"clientCredentials": {"tokenUrl": "http://t", "scopes": {"r": "read"}}}}},
                "device": {"oauth2SecurityScheme": {}},
            },
            "security": [{"schemes": {"oauth": {"list": ["r"]}}}],
            "defaultInputModes": ["text/plain"], "defaultOutputModes": ["a/b"],
            "skills": [{"id": "s", "name": "n", "tags": ["t"], "security": [{"schemes": {"key": {}}}]}],
        });
        assert_eq!(old, expected);
    }
}
