//! Extended agent cards (A2A 1.0, section 3.1.11): which agents have one, and who may read it.
//!
//! An agent has one when its settings say what the card says beyond the public one, and the public card says so then.
//! Who may read it is told by a bearer token of the settings (RFC 6750), unless a proxy in front has seen to it. Tokens
//! are compared in constant time, all of them each time, and kept only as digests under a key of this process.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    sync::{Arc, PoisonError, RwLock},
};

use http::HeaderValue;
use ring::{hmac, rand};

use super::status;
use crate::{
    error::{Error, ErrorKind, Result},
    proto::a2a::{
        HttpAuthSecurityScheme, SecurityRequirement, SecurityScheme, StringList, security_scheme::Scheme as Kind,
    },
    wire::card::Overlay,
};

/// The security scheme's name in cards.
const SCHEME: &str = "extendedCardToken";

/// The extended cards of all agents. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct Extended {
    access: Arc<Access>,
    /// By the agents' names.
    overlays: Arc<RwLock<HashMap<String, Arc<Overlay>>>>,
}

/// Who may read extended cards.
enum Access {
    /// Who gets past the proxy in front.
    Proxy,
    /// Who sends a token that one of the tags is made of.
    Tokens(hmac::Key, Vec<hmac::Tag>),
}

impl Extended {
    /// For who sends one of these tokens; for nobody when there are none.
    ///
    /// # Errors
    /// When the system has no random numbers.
    pub fn for_tokens<'a>(tokens: impl IntoIterator<Item = &'a str>) -> Result<Self, String> {
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &rand::SystemRandom::new());
        let key = key.map_err(|_| "the system has no random numbers")?;
        let tags = tokens.into_iter().map(|token| hmac::sign(&key, token.as_bytes())).collect();
        Ok(Self::new(Access::Tokens(key, tags)))
    }

    /// For all who ask: a proxy in front lets only those ask who may.
    pub fn behind_proxy() -> Self {
        Self::new(Access::Proxy)
    }

    fn new(access: Access) -> Self {
        Self { access: Arc::new(access), overlays: Arc::default() }
    }

    /// Changes what extended cards say, by the agents' names, and which agents have one.
    pub fn replace(&self, overlays: impl IntoIterator<Item = (String, Overlay)>) {
        let overlays = overlays.into_iter().map(|(name, overlay)| (name, Arc::new(overlay))).collect();
        *self.overlays.write().unwrap_or_else(PoisonError::into_inner) = overlays;
    }

    /// What an agent's extended card says beyond the public one; none: it has no extended card.
    pub fn of(&self, agent: &str) -> Option<Arc<Overlay>> {
        self.overlays.read().unwrap_or_else(PoisonError::into_inner).get(agent).cloned()
    }

    /// Whether a request with this `Authorization` may read extended cards.
    ///
    /// # Errors
    /// `Unauthenticated`.
    pub fn admits(&self, authorization: Option<&HeaderValue>) -> Result<()> {
        let (key, tags) = match &*self.access {
            Access::Proxy => return Ok(()),
            Access::Tokens(key, tags) => (key, tags),
        };
        let Some(token) = authorization.and_then(bearer) else {
            let message = "the extended agent card needs authentication: send Authorization: Bearer and a token";
            return Err(Error::new(ErrorKind::Unauthenticated, message));
        };
        let known = tags.iter().fold(false, |known, tag| known | hmac::verify(key, token, tag.as_ref()).is_ok());
        if known {
            return Ok(());
        }
        tracing::warn!("a wrong token was sent for an extended agent card");
        let error = Error::new(ErrorKind::Unauthenticated, "the token is not one that may read extended agent cards");
        Err(error.with(status::WRONG_TOKEN, true))
    }

    /// What cards of agents with an extended card say about how to authenticate. The requirement is one of two, of which
    /// the other one is none at all: all else can be asked without a token.
    pub fn security(&self) -> (BTreeMap<String, SecurityScheme>, Vec<SecurityRequirement>) {
        if matches!(*self.access, Access::Proxy) {
            return Default::default();
        }
        let scheme = HttpAuthSecurityScheme {
            description: "A bearer token, for the extended agent card only.".to_owned(),
            scheme: "Bearer".to_owned(),
            bearer_format: String::new(),
        };
        let scheme = SecurityScheme { scheme: Some(Kind::HttpAuthSecurityScheme(scheme)) };
        let token = SecurityRequirement { schemes: [(SCHEME.to_owned(), StringList::default())].into() };
        ([(SCHEME.to_owned(), scheme)].into(), vec![SecurityRequirement::default(), token])
    }
}

/// The bearer token of an `Authorization`.
fn bearer(authorization: &HeaderValue) -> Option<&[u8]> {
    let (scheme, token) = authorization.as_bytes().split_at_checked("Bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then(|| token.trim_ascii()).filter(|token| !token.is_empty())
}

impl Default for Extended {
    /// No agent has one.
    fn default() -> Self {
        Self::new(Access::Tokens(hmac::Key::new(hmac::HMAC_SHA256, &[]), Vec::new()))
    }
}

impl fmt::Debug for Extended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Extended").finish_non_exhaustive()
    }
}

/// Clones of one are equal.
impl PartialEq for Extended {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.overlays, &other.overlays)
    }
}

impl Eq for Extended {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_known_bearer_token_is_let_in() {
        let extended = Extended::for_tokens(["t-1", "t-2"]).unwrap();
        for value in ["Bearer t-1", "bearer t-2", "BEARER  t-1 "] {
            assert_eq!(extended.admits(Some(&HeaderValue::from_static(value))), Ok(()), "{value}");
        }
        let challenge = |value: &'static str| {
            let error = extended.admits(Some(&HeaderValue::from_static(value))).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unauthenticated);
            status::challenge(&error).unwrap().to_str().unwrap().to_owned()
        };
        for value in ["Bearer t-3", "Bearer t-1t-2", "Bearer t", "Bearer t-1 t-2"] {
            assert!(challenge(value).ends_with("error=\"invalid_token\""), "{value}");
        }
        for value in ["Basic t-1", "Bearer", "Bearer ", "t-1", ""] {
            assert_eq!(challenge(value), "Bearer realm=\"a2a-gateway\"", "{value}");
        }
        assert_eq!(extended.admits(None).unwrap_err().kind(), ErrorKind::Unauthenticated);
    }

    #[test]
    fn without_tokens_nobody_is_let_in_and_behind_a_proxy_all_are() {
        for extended in [Extended::default(), Extended::for_tokens([]).unwrap()] {
            assert!(extended.admits(Some(&HeaderValue::from_static("Bearer t-1"))).is_err());
        }
        assert_eq!(Extended::behind_proxy().admits(None), Ok(()));
        assert!(Extended::behind_proxy().security().1.is_empty());
    }

    #[test]
    fn agents_have_one_as_long_as_they_are_set() {
        let extended = Extended::default();
        let overlay = Overlay::parse("{}").unwrap();
        extended.replace([("a".to_owned(), overlay)]);
        assert!(extended.of("a").is_some() && extended.of("b").is_none());
        extended.clone().replace([]);
        assert!(extended.of("a").is_none());
    }
}
