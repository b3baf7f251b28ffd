//! Agent cards: the agent's own, with interfaces and capabilities that are true of the gateway.
//!
//! The well-known paths answer conditional requests (RFC 9110 section 13) with an ETag over the content, and vary
//! by the protocol version asked for. An agent that has not been reached yet has a card too: its name and what else is
//! known of it, not to be cached. An extended card is made in the same way, of the agent's own card and what its settings
//! add, and is told only to who may read it. Where there are keys, all cards are signed in their 1.0 form.

mod document;
mod signer;

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use http::{
    HeaderMap, HeaderValue, Uri,
    header::{AUTHORIZATION, HOST},
};

pub use self::{
    document::{Document, answer},
    signer::{JWKS, Signer},
};
use super::{caller::Version, extended::Extended, route};
use crate::{
    engine::AgentStatus,
    error::{Error, ErrorKind, Result},
    jws::Key,
    proto::{
        a2a::{AgentCapabilities, AgentCard, AgentInterface},
        a2a_v03 as v03,
    },
    task::Dialect,
    wire::{self, card::Overlay},
};

/// How long a card may be used without asking again. Short, so that a restart with other settings shows soon.
const MAX_AGE: &str = "public, max-age=60";
/// For the card of an agent whose own is not known yet: it may be any moment.
const NO_CACHE: &str = "no-cache";
/// As these two, for extended cards: nobody else may keep them.
const PRIVATE_MAX_AGE: &str = "private, max-age=60";
const PRIVATE_NO_CACHE: &str = "private, no-cache";

const JSON: &str = "application/json";

/// The JSON-RPC door of every dialect.
pub const DOOR: &str = "/a2a";
/// The JSON-RPC door of PraisonAI's dialect alone.
pub const PRAISON_DOOR: &str = "/praisonai/a2a";

/// The name of the REST binding.
const REST: &str = "HTTP+JSON";

/// Where clients reach the gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Base {
    /// `http://host:port`, perhaps with a path, without a slash at its end.
    url: String,
    /// `host:port`, unless the operator names another place for gRPC.
    authority: String,
}

impl Base {
    /// From a URL; none unless it is absolute, with the scheme `http` or `https` and a host.
    pub fn parse(url: &str) -> Option<Self> {
        let uri: Uri = url.parse().ok()?;
        let default_port = match uri.scheme_str()? {
            "http" => 80,
            "https" => 443,
            _ => return None,
        };
        let authority = uri.authority().filter(|authority| !authority.host().is_empty())?;
        let authority = format!("{}:{}", authority.host(), authority.port_u16().unwrap_or(default_port));
        Some(Self { url: url.trim_end_matches('/').to_owned(), authority })
    }

    /// The URL of a path.
    pub fn at(&self, path: &str) -> String {
        format!("{}{path}", self.url)
    }
}

/// Which card a path serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Path {
    /// `/.well-known/agent-card.json`, where 1.0 and 0.3 look.
    AgentCard,
    /// `/.well-known/agent.json`, where PraisonAI and the oldest 0.3 clients look.
    Agent,
    /// `/praisonai/.well-known/agent.json`.
    Praison,
}

/// What cards say, and how.
#[derive(Clone, Copy, Debug)]
pub struct Offers {
    /// Whether push notifications are offered.
    pub push: bool,
    /// Whether the well-known paths serve one card for all dialects.
    pub merged: bool,
}

/// Who asks for a card.
#[derive(Clone, Debug)]
pub struct Visitor {
    /// Where they reach the gateway.
    pub base: Base,
    /// Their credentials.
    authorization: Option<HeaderValue>,
}

/// Which of an agent's two cards is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Kind {
    Public,
    Extended,
}

/// Adapts and serves cards.
pub struct Cards {
    public: Option<Base>,
    grpc_url: Option<String>,
    fallback: Base,
    offers: Offers,
    extended: Extended,
    signer: Option<Signer>,
    started: SystemTime,
    /// What was served last, by the name that was asked for: empty for the default agent.
    served: Mutex<HashMap<(String, Kind), Served>>,
}

/// What a card was made of, and since when.
struct Served {
    agent: Arc<str>,
    default: bool,
    card: Arc<AgentCard>,
    overlay: Option<Arc<Overlay>>,
    since: SystemTime,
}

impl Cards {
    /// Cards of a gateway that listens on `local`. `public`: where clients reach it, if that is known.
    pub fn new(public: Option<Base>, local: SocketAddr, offers: Offers) -> Self {
        let fallback = Base { url: format!("http://{local}"), authority: local.to_string() };
        let started = SystemTime::now();
        Self {
            public,
            grpc_url: None,
            fallback,
            offers,
            extended: Extended::default(),
            signer: None,
            started,
            served: Mutex::default(),
        }
    }

    /// With these extended cards, and with these keys, the first of which signs. Nothing is signed while it is not known
    /// where clients reach the gateway: each request could choose what URLs are signed.
    pub fn with(mut self, extended: Extended, keys: Vec<Arc<Key>>) -> Self {
        self.extended = extended;
        self.signer = self.public.as_ref().and_then(|public| Signer::new(keys, public, self.started));
        self
    }

    /// Who sent a request to this URI with these headers.
    pub fn visitor(&self, uri: &Uri, headers: &HeaderMap) -> Visitor {
        Visitor { base: self.base(uri, headers), authorization: headers.get(AUTHORIZATION).cloned() }
    }

    /// The public keys of signatures; none: cards are not signed.
    pub fn jwks(&self) -> Option<Document> {
        self.signer.as_ref().map(Signer::jwks)
    }

    /// The same, with the address that gRPC interfaces have, if that is another than the rest of the gateway's.
    pub fn with_grpc_url(self, grpc_url: Option<String>) -> Self {
        Self { grpc_url, ..self }
    }

    /// Where the sender of a request to this URI with these headers reaches the gateway: as set, or else as it has just done.
    pub fn base(&self, uri: &Uri, headers: &HeaderMap) -> Base {
        let base = self.http_base(uri, headers);
        match &self.grpc_url {
            Some(url) => Base { authority: url.clone(), ..base },
            None => base,
        }
    }

    fn http_base(&self, uri: &Uri, headers: &HeaderMap) -> Base {
        if let Some(public) = &self.public {
            return public.clone();
        }
        let authority = uri.authority().map(|authority| authority.as_str());
        let host = authority.or_else(|| headers.get(HOST)?.to_str().ok());
        let host = host.filter(|host| !host.contains(['/', '@', '?', '#']));
        host.and_then(|host| Base::parse(&format!("http://{host}"))).unwrap_or_else(|| self.fallback.clone())
    }

    /// The agent's card as the gateway serves it.
    pub fn adapt(&self, agent: &AgentStatus, base: &Base) -> AgentCard {
        self.adapted(&agent.card, agent, base)
    }

    /// The agent's extended card as the gateway serves it.
    ///
    /// # Errors
    /// When the agent has none, `UnsupportedOperation`, for which 0.3 has `ExtendedAgentCardNotConfigured`; when the visitor
    /// may not read it, `Unauthenticated`.
    pub fn extended(&self, agent: &AgentStatus, dialect: Dialect, visitor: &Visitor) -> Result<AgentCard> {
        let overlay = self.extended.of(&agent.name).ok_or_else(|| {
            let kind = match dialect {
                Dialect::V03 => ErrorKind::ExtendedAgentCardNotConfigured,
                Dialect::V1 | Dialect::Praison => ErrorKind::UnsupportedOperation,
            };
            Error::new(kind, "the agent has no extended card")
        })?;
        self.extended.admits(visitor.authorization.as_ref())?;
        let own =
            overlay.apply(&agent.card).map_err(|cause| Error::internal("making an extended agent card", cause))?;
        Ok(self.adapted(&own, agent, &visitor.base))
    }

    /// As [`Cards::extended`], or the card that all get when the agent has no extended one.
    ///
    /// # Errors
    /// `Unauthenticated`.
    pub fn extended_or_public(&self, agent: &AgentStatus, dialect: Dialect, visitor: &Visitor) -> Result<AgentCard> {
        match self.extended.of(&agent.name) {
            Some(_) => self.extended(agent, dialect, visitor),
            None => Ok(self.adapt(agent, &visitor.base)),
        }
    }

    /// The card for clients of the gateway. The agent's own signatures and security schemes are left out: the first do not
    /// hold for a changed card, and the others say how to reach the agent, not the gateway.
    fn adapted(&self, own: &AgentCard, agent: &AgentStatus, base: &Base) -> AgentCard {
        let extended = self.extended.of(&agent.name).is_some();
        let (security_schemes, security_requirements) =
            if extended { self.extended.security() } else { Default::default() };
        let interface = |url: String, binding: &str, version: &str| AgentInterface {
            url,
            protocol_binding: binding.to_owned(),
            tenant: String::new(),
            protocol_version: version.to_owned(),
        };
        let rest = door(agent, base, "");
        let door = door(agent, base, DOOR);
        // Over gRPC there are no paths to tell agents apart.
        let tenant = if agent.default { String::new() } else { agent.name.to_string() };
        let grpc = AgentInterface { tenant, ..interface(base.authority.clone(), "GRPC", "1.0") };
        let mut interfaces = vec![
            interface(door.clone(), "JSONRPC", "1.0"),
            grpc,
            interface(rest.clone(), REST, "1.0"),
            interface(door, "JSONRPC", "0.3"),
            // Its paths begin with the version themselves.
            interface(rest, REST, "0.3"),
        ];
        // In 0.3 there are no tenants either: clients that go by the card would reach the default agent.
        if agent.default {
            interfaces.push(interface(base.authority.clone(), "GRPC", "0.3"));
        }
        let mut card = AgentCard {
            supported_interfaces: interfaces,
            capabilities: Some(AgentCapabilities {
                streaming: Some(true),
                push_notifications: Some(self.offers.push),
                extensions: own.capabilities.as_ref().map(|own| own.extensions.clone()).unwrap_or_default(),
                extended_agent_card: Some(extended),
            }),
            security_schemes,
            security_requirements,
            signatures: Vec::new(),
            ..own.clone()
        };
        for skill in &mut card.skills {
            skill.security_requirements.clear();
        }
        match &self.signer {
            Some(signer) => signer.sign(card),
            None => card,
        }
    }

    /// The card of an agent that was asked for as `asked` (empty: as the default one), for a path and the version that
    /// was asked for.
    pub fn document(
        &self,
        asked: &str,
        agent: &AgentStatus,
        base: &Base,
        path: Path,
        version: Option<Version>,
    ) -> Document {
        let cache_control = if is_known(agent) { MAX_AGE } else { NO_CACHE };
        let modified = self.modified(asked, Kind::Public, agent);
        let json = self.json(agent, base, path, version);
        Document { json, media: JSON, modified, cache_control, vary: "A2A-Version" }
    }

    /// The extended card in the version's form and of the media type.
    ///
    /// # Errors
    /// As [`Cards::extended`].
    pub fn extended_document(
        &self,
        agent: &AgentStatus,
        dialect: Dialect,
        visitor: &Visitor,
        media: &'static str,
    ) -> Result<Document> {
        let card = self.extended(agent, dialect, visitor)?;
        let json = match dialect {
            Dialect::V1 => wire::card::v1(&card),
            Dialect::V03 => wire::card::v03(&card, &door(agent, &visitor.base, DOOR)),
            Dialect::Praison => wire::card::praisonai(&card, &door(agent, &visitor.base, PRAISON_DOOR)),
        };
        let cache_control = if is_known(agent) { PRIVATE_MAX_AGE } else { PRIVATE_NO_CACHE };
        let modified = self.modified(&agent.name, Kind::Extended, agent);
        Ok(Document { json, media, modified, cache_control, vary: "Authorization, Accept" })
    }

    /// The extended card as JSON-RPC gives it, to those who came through the door at `path`. PraisonAI's clients get the
    /// card that all get when there is none.
    ///
    /// # Errors
    /// As [`Cards::extended`].
    pub fn extended_json(
        &self,
        agent: &AgentStatus,
        dialect: Dialect,
        visitor: &Visitor,
        path: &str,
    ) -> Result<String> {
        let url = door(agent, &visitor.base, path);
        Ok(match dialect {
            Dialect::V1 => wire::card::v1(&self.extended(agent, dialect, visitor)?),
            Dialect::V03 => wire::card::v03(&self.extended(agent, dialect, visitor)?, &url),
            Dialect::Praison => wire::card::praisonai(&self.extended_or_public(agent, dialect, visitor)?, &url),
        })
    }

    fn json(&self, agent: &AgentStatus, base: &Base, path: Path, version: Option<Version>) -> String {
        let card = self.adapt(agent, base);
        let common = || door(agent, base, DOOR);
        match (path, version) {
            (Path::Praison, _) => wire::card::praisonai(&card, &door(agent, base, PRAISON_DOOR)),
            (_, Some(Version::V1)) => wire::card::v1(&card),
            (_, Some(Version::V03)) => wire::card::v03(&card, &common()),
            (_, None) if self.offers.merged => wire::card::merged(&card, &common()),
            (Path::AgentCard, None) => wire::card::v1(&card),
            (Path::Agent, None) => wire::card::v03(&card, &common()),
        }
    }

    /// The card as 0.3's contract has it, which has one method for both: the extended one where the agent has it.
    ///
    /// # Errors
    /// `Unauthenticated`.
    pub fn v03(&self, agent: &AgentStatus, visitor: &Visitor) -> Result<v03::AgentCard> {
        let card = self.extended_or_public(agent, Dialect::V03, visitor)?;
        Ok(wire::v03::card::card(card, door(agent, &visitor.base, DOOR)))
    }

    /// Since when the card is as it is, as far as anyone was told.
    fn modified(&self, asked: &str, kind: Kind, agent: &AgentStatus) -> SystemTime {
        let overlay = self.extended.of(&agent.name);
        let (name, default, card) = (agent.name.clone(), agent.default, agent.card.clone());
        let serve = |since| Served { agent: name, default, card, overlay: overlay.clone(), since };
        let mut served = self.served.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(last) = served.get_mut(&(asked.to_owned(), kind)) else {
            served.insert((asked.to_owned(), kind), serve(self.started));
            return self.started;
        };
        let same = last.agent == agent.name && last.default == agent.default && last.card == agent.card;
        if !same || last.overlay != overlay {
            // HTTP dates have whole seconds: two cards must not share one.
            *last = serve(SystemTime::now().max(last.since + Duration::from_secs(1)));
        }
        last.since
    }
}

/// The URL of a door of an agent's, or of all of them: of the default agent at the root, of another below its name.
fn door(agent: &AgentStatus, base: &Base, door: &str) -> String {
    if agent.default { base.at(door) } else { base.at(&route::path(&agent.name, door)) }
}

/// Whether the agent's card is its own: one that was never reached has none to show.
fn is_known(agent: &AgentStatus) -> bool {
    agent.ready || !agent.card.supported_interfaces.is_empty() || !agent.card.skills.is_empty()
}

#[cfg(test)]
mod tests;
