//! Extensions of the protocol (A2A 1.0 section 4.6): a caller asks for them by URI, an agent's card declares them, and
//! those on which both agree are active for the turn.
//!
//! What is asked for and not declared is passed over, as the text wants it, and never an earlier version taken instead.
//! What the card calls required and nobody asks for is an error before anything is stored.

use crate::{
    error::{Error, ErrorKind, Result},
    proto::a2a::{AgentCard, AgentExtension},
};

/// The most extensions of one request.
pub const MAX_EXTENSIONS: usize = 64;
/// The longest URI that is looked at, in bytes.
pub const MAX_URI: usize = 512;

/// Whether text can be an extension's URI in a list: printable ASCII, without spaces and commas.
pub fn is_uri(text: &str) -> bool {
    (1..=MAX_URI).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b',')
}

/// Those of a request and those that its message says it uses, each once, without what can be no URI.
pub fn union(asked: &[String], used: &[String]) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    for uri in asked.iter().chain(used).filter(|uri| is_uri(uri)) {
        if all.len() < MAX_EXTENSIONS && !all.contains(uri) {
            all.push(uri.clone());
        }
    }
    all
}

/// Those that a card declares.
pub fn declared(card: &AgentCard) -> &[AgentExtension] {
    card.capabilities.as_ref().map(|capabilities| capabilities.extensions.as_slice()).unwrap_or_default()
}

/// Of those that are asked for, those that are active at an agent with this card.
///
/// # Errors
/// `ExtensionSupportRequired`, naming those that the card calls required and that are not asked for.
pub fn negotiate(card: &AgentCard, mut asked: Vec<String>) -> Result<Vec<String>> {
    let declared = declared(card);
    let lacking = declared.iter().filter(|extension| extension.required && !asked.contains(&extension.uri));
    let lacking: Vec<&str> = lacking.map(|extension| extension.uri.as_str()).collect();
    if !lacking.is_empty() {
        let lacking = lacking.join(", ");
        let message =
            format!("the agent requires extensions that the request does not ask for in A2A-Extensions: {lacking}");
        return Err(Error::new(ErrorKind::ExtensionSupportRequired, message).with("extensions", lacking));
    }
    asked.retain(|uri| declared.iter().any(|extension| extension.uri == *uri));
    Ok(asked)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::a2a::AgentCapabilities;

    fn card(extensions: &[(&str, bool)]) -> AgentCard {
        let extension = |(uri, required): &(&str, bool)| AgentExtension {
            uri: (*uri).into(),
            required: *required,
            ..Default::default()
        };
        let extensions = extensions.iter().map(extension).collect();
        let capabilities = AgentCapabilities { extensions, ..AgentCapabilities::default() };
        AgentCard { capabilities: Some(capabilities), ..AgentCard::default() }
    }

    fn uris(uris: &[&str]) -> Vec<String> {
        uris.iter().map(|uri| (*uri).to_owned()).collect()
    }

    #[test]
    fn active_is_what_is_asked_for_and_declared_in_the_order_of_the_request() {
        let declares = card(&[("http://e/1", false), ("http://e/2", false), ("http://e/3", true)]);
        let asked = uris(&["http://e/3", "http://e/1/v2", "http://e/1", "HTTP://E/2"]);
        assert_eq!(negotiate(&declares, asked), Ok(uris(&["http://e/3", "http://e/1"])));
        assert_eq!(negotiate(&AgentCard::default(), uris(&["http://e/1"])), Ok(Vec::new()));
    }

    #[test]
    fn required_ones_that_are_not_asked_for_are_named() {
        let declares = card(&[("http://e/1", true), ("http://e/2", false), ("http://e/3", true)]);
        let error = negotiate(&declares, uris(&["http://e/2"])).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ExtensionSupportRequired);
        assert_eq!(error.metadata(), [("extensions", "http://e/1, http://e/3".to_owned())]);
        assert!(error.message().contains("http://e/1, http://e/3"));
    }

    #[test]
    fn each_is_counted_once_and_what_is_no_uri_not_at_all() {
        let long = format!("http://{}", "x".repeat(MAX_URI));
        let odd = uris(&["http://e/1", "", "two words", "a,b", "line\nbreak", "é", &long, "http://e/1"]);
        assert_eq!(union(&odd, &uris(&["http://e/2", "http://e/1"])), uris(&["http://e/1", "http://e/2"]));
        let many: Vec<String> = (0..1000).map(|n| format!("urn:{n}")).collect();
        assert_eq!(union(&[], &many).len(), MAX_EXTENSIONS);
    }
}
