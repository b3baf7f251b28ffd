//! Agent cards: the agent's own, with interfaces and capabilities that are true of the gateway.
//!
//! The well-known paths answer conditional requests (RFC 9110 section 13) with an ETag over the content, and vary
//! by the protocol version asked for. An agent that has not been reached yet has a card too: its name and what else is
//! known of it, not to be cached.

use std::{
    collections::HashMap,
    fmt::Write as _,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use http::{
    HeaderMap, HeaderValue, Response, StatusCode, Uri,
    header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, HOST, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED, VARY},
};
use sha2::{Digest as _, Sha256};

use super::{caller::Version, route};
use crate::{
    engine::AgentStatus,
    proto::{
        a2a::{AgentCapabilities, AgentCard, AgentInterface},
        a2a_v03 as v03,
    },
    wire,
};

/// How long a card may be used without asking again. Short, so that a restart with other settings shows soon.
const MAX_AGE: &str = "public, max-age=60";
/// For the card of an agent whose own is not known yet: it may be any moment.
const NO_CACHE: &str = "no-cache";

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

/// Adapts and serves cards.
pub struct Cards {
    public: Option<Base>,
    grpc_url: Option<String>,
    fallback: Base,
    offers: Offers,
    started: SystemTime,
    /// What was served last, by the name that was asked for: empty for the default agent.
    served: Mutex<HashMap<String, Served>>,
}

/// What a card was made of, and since when.
struct Served {
    agent: Arc<str>,
    default: bool,
    card: Arc<AgentCard>,
    since: SystemTime,
}

/// A card as it is served at a path.
#[derive(Debug)]
pub struct Document {
    json: String,
    modified: SystemTime,
    cache_control: &'static str,
}

impl Cards {
    /// Cards of a gateway that listens on `local`. `public`: where clients reach it, if that is known.
    pub fn new(public: Option<Base>, local: SocketAddr, offers: Offers) -> Self {
        let fallback = Base { url: format!("http://{local}"), authority: local.to_string() };
        Self { public, grpc_url: None, fallback, offers, started: SystemTime::now(), served: Mutex::default() }
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

    /// The agent's card as the gateway serves it. Signatures and security schemes are left out: the first do not hold
    /// for a changed card, and the others say how to reach the agent, not the gateway.
    pub fn adapt(&self, agent: &AgentStatus, base: &Base) -> AgentCard {
        let own = &*agent.card;
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
                extended_agent_card: Some(false),
            }),
            security_schemes: Default::default(),
            security_requirements: Vec::new(),
            signatures: Vec::new(),
            ..own.clone()
        };
        for skill in &mut card.skills {
            skill.security_requirements.clear();
        }
        card
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
        let modified = self.modified(asked, agent);
        Document { json: self.json(agent, base, path, version), modified, cache_control }
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

    /// The card in PraisonAI's form, for those who came through its door or, as it can be told apart there, the common one.
    pub fn praison_json(&self, agent: &AgentStatus, base: &Base, path: &str) -> String {
        wire::card::praisonai(&self.adapt(agent, base), &door(agent, base, path))
    }

    /// The card as 0.3's contract has it.
    pub fn v03(&self, agent: &AgentStatus, base: &Base) -> v03::AgentCard {
        wire::v03::card::card(self.adapt(agent, base), door(agent, base, DOOR))
    }

    /// Since when the card is as it is, as far as anyone was told.
    fn modified(&self, asked: &str, agent: &AgentStatus) -> SystemTime {
        let serve =
            |since| Served { agent: agent.name.clone(), default: agent.default, card: agent.card.clone(), since };
        let mut served = self.served.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(last) = served.get_mut(asked) else {
            served.insert(asked.to_owned(), serve(self.started));
            return self.started;
        };
        if last.agent != agent.name || last.default != agent.default || last.card != agent.card {
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

/// The card as an answer: 304 when the request's conditions say that the client has it.
pub fn answer(headers: &HeaderMap, document: Document) -> Response<String> {
    let Document { json, modified, cache_control } = document;
    let etag = etag(&json);
    let fresh = is_fresh(headers, &etag, modified);
    let mut answer = Response::new(if fresh { String::new() } else { json });
    if fresh {
        *answer.status_mut() = StatusCode::NOT_MODIFIED;
    } else {
        answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    let headers = answer.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static(cache_control));
    headers.insert(VARY, HeaderValue::from_static("A2A-Version"));
    // Weak, since the same card may be sent compressed.
    for (name, value) in [(ETAG, format!("W/{etag}")), (LAST_MODIFIED, httpdate::fmt_http_date(modified))] {
        if let Ok(value) = value.parse() {
            headers.insert(name, value);
        }
    }
    answer
}

/// Whether the client's copy is this card. `If-Modified-Since` counts only without `If-None-Match`.
fn is_fresh(headers: &HeaderMap, etag: &str, modified: SystemTime) -> bool {
    if headers.contains_key(IF_NONE_MATCH) {
        let lists = headers.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
        let mut tags = lists.flat_map(|list| list.split(',')).map(str::trim);
        return tags.any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == etag);
    }
    let since = headers.get(IF_MODIFIED_SINCE).and_then(|value| value.to_str().ok());
    let since = since.and_then(|text| httpdate::parse_http_date(text).ok());
    since.is_some_and(|since| httpdate::HttpDate::from(modified) <= httpdate::HttpDate::from(since))
}

fn etag(json: &str) -> String {
    let mut tag = String::from("\"");
    for byte in &Sha256::digest(json.as_bytes())[..16] {
        let _ = write!(tag, "{byte:02x}");
    }
    tag.push('"');
    tag
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::proto::a2a::{AgentCardSignature, AgentProvider, AgentSkill};

    fn cards(merged: bool) -> Cards {
        Cards::new(None, "127.0.0.1:8080".parse().unwrap(), Offers { push: false, merged })
    }

    fn agent(default: bool) -> AgentStatus {
        let card = AgentCard {
            name: "echo".into(),
            version: "1".into(),
            provider: Some(AgentProvider { organization: "us".into(), url: "http://us".into() }),
            supported_interfaces: vec![AgentInterface { url: "http://inner".into(), ..AgentInterface::default() }],
            security_schemes: [("key".to_owned(), crate::proto::a2a::SecurityScheme::default())].into(),
            signatures: vec![AgentCardSignature::default()],
            skills: vec![AgentSkill { id: "s".into(), ..AgentSkill::default() }],
            capabilities: Some(AgentCapabilities { push_notifications: Some(true), ..AgentCapabilities::default() }),
            ..AgentCard::default()
        };
        AgentStatus {
            name: "echo".into(),
            default,
            ready: true,
            problem: None,
            card: Arc::new(card),
            running: 0,
            queued: 0,
            max_concurrency: None,
        }
    }

    /// What there is to say of an agent that was never reached.
    fn unknown() -> AgentStatus {
        let card = AgentCard { name: "echo".into(), description: "Not reached yet.".into(), ..AgentCard::default() };
        AgentStatus { ready: false, problem: Some("refused".into()), card: Arc::new(card), ..agent(true) }
    }

    fn base() -> Base {
        Base::parse("http://gw.test:8080").unwrap()
    }

    fn read(cards: &Cards, path: Path, version: Option<Version>) -> Value {
        serde_json::from_str(&cards.json(&agent(true), &base(), path, version)).unwrap()
    }

    #[test]
    fn the_card_is_true_of_the_gateway() {
        let base = Base::parse("https://gw.test/base/").unwrap();
        let card = cards(true).adapt(&agent(true), &base);
        let interfaces: Vec<_> = card
            .supported_interfaces
            .iter()
            .map(|i| (i.url.as_str(), i.protocol_binding.as_str(), i.protocol_version.as_str(), i.tenant.as_str()))
            .collect();
        assert_eq!(
            interfaces,
            [
                ("https://gw.test/base/a2a", "JSONRPC", "1.0", ""),
                ("gw.test:443", "GRPC", "1.0", ""),
                ("https://gw.test/base", "HTTP+JSON", "1.0", ""),
                ("https://gw.test/base/a2a", "JSONRPC", "0.3", ""),
                ("https://gw.test/base", "HTTP+JSON", "0.3", ""),
                ("gw.test:443", "GRPC", "0.3", ""),
            ]
        );
        let capabilities = card.capabilities.unwrap();
        assert_eq!((capabilities.streaming, capabilities.push_notifications), (Some(true), Some(false)));
        assert_eq!(capabilities.extended_agent_card, Some(false));
        assert!(card.signatures.is_empty() && card.security_schemes.is_empty());
        assert_eq!((card.name.as_str(), card.skills[0].id.as_str()), ("echo", "s"));
    }

    #[test]
    fn push_notifications_are_told_of_in_every_card_that_offers_them() {
        for push in [true, false] {
            let cards = Cards::new(None, "127.0.0.1:8080".parse().unwrap(), Offers { push, merged: true });
            for (path, version) in [
                (Path::AgentCard, None),
                (Path::AgentCard, Some(Version::V1)),
                (Path::Agent, Some(Version::V03)),
                (Path::Praison, None),
            ] {
                assert_eq!(
                    read(&cards, path, version)["capabilities"]["pushNotifications"],
                    push,
                    "{path:?} {version:?}"
                );
            }
        }
    }

    #[test]
    fn another_agent_than_the_default_is_reached_by_its_name() {
        let card = cards(true).adapt(&agent(false), &base());
        let interfaces: Vec<_> = card
            .supported_interfaces
            .iter()
            .map(|i| (i.url.as_str(), i.protocol_binding.as_str(), i.protocol_version.as_str(), i.tenant.as_str()))
            .collect();
        assert_eq!(
            interfaces,
            [
                ("http://gw.test:8080/agents/echo/a2a", "JSONRPC", "1.0", ""),
                ("gw.test:8080", "GRPC", "1.0", "echo"),
                ("http://gw.test:8080/agents/echo", "HTTP+JSON", "1.0", ""),
                ("http://gw.test:8080/agents/echo/a2a", "JSONRPC", "0.3", ""),
                ("http://gw.test:8080/agents/echo", "HTTP+JSON", "0.3", ""),
            ]
        );
        for (path, version, url) in [
            (Path::AgentCard, None, "/agents/echo/a2a"),
            (Path::Agent, Some(Version::V03), "/agents/echo/a2a"),
            (Path::Praison, None, "/agents/echo/praisonai/a2a"),
        ] {
            let card: Value = serde_json::from_str(&cards(true).json(&agent(false), &base(), path, version)).unwrap();
            assert_eq!(card["url"], format!("http://gw.test:8080{url}"));
        }
        let card: Value = serde_json::from_str(&cards(true).praison_json(&agent(false), &base(), DOOR)).unwrap();
        assert_eq!(card["url"], "http://gw.test:8080/agents/echo/a2a");
    }

    #[test]
    fn an_agent_that_was_never_reached_has_a_card_that_is_not_kept() {
        let cards = cards(true);
        let document = cards.document("", &unknown(), &base(), Path::AgentCard, None);
        assert_eq!(document.cache_control, NO_CACHE);
        let card: Value = serde_json::from_str(&document.json).unwrap();
        assert_eq!((&card["name"], &card["description"]), (&"echo".into(), &"Not reached yet.".into()));
        assert_eq!(
            (&card["url"], &card["capabilities"]["streaming"]),
            (&"http://gw.test:8080/a2a".into(), &true.into())
        );
        let lost = AgentStatus { ready: false, ..agent(true) };
        for known in [agent(true), lost] {
            assert_eq!(cards.document("", &known, &base(), Path::AgentCard, None).cache_control, MAX_AGE);
        }
    }

    #[test]
    fn a_card_that_changes_is_a_later_one() {
        let cards = cards(true);
        let modified = |asked: &str, agent: &AgentStatus| cards.modified(asked, agent);
        assert_eq!(modified("", &unknown()), cards.started);
        assert_eq!(modified("", &unknown()), cards.started);
        let known = modified("", &agent(true));
        assert!(httpdate::HttpDate::from(known) > httpdate::HttpDate::from(cards.started));
        assert_eq!(modified("", &agent(true)), known);
        assert_eq!(modified("echo", &agent(true)), cards.started, "a path of its own");
        let other = AgentStatus { name: "other".into(), ..agent(true) };
        assert!(modified("", &other) > known, "another default agent");
        assert!(modified("echo", &agent(false)) > cards.started, "other interfaces");
    }

    #[test]
    fn each_path_and_version_has_its_card() {
        let cards = cards(true);
        let merged = read(&cards, Path::AgentCard, None);
        assert_eq!(merged["url"], "http://gw.test:8080/a2a");
        assert_eq!(merged["supportedInterfaces"][0]["protocolVersion"], "1.0");
        assert_eq!(read(&cards, Path::Agent, None), merged);
        let v1 = read(&cards, Path::Agent, Some(Version::V1));
        assert!(v1.get("url").is_none() && v1.get("supportedInterfaces").is_some());
        let v03 = read(&cards, Path::AgentCard, Some(Version::V03));
        assert!(v03.get("url").is_some() && v03.get("supportedInterfaces").is_none());
        assert_eq!(read(&cards, Path::Praison, None)["url"], "http://gw.test:8080/praisonai/a2a");
    }

    #[test]
    fn without_merging_each_path_keeps_to_its_dialect() {
        let cards = cards(false);
        assert!(read(&cards, Path::AgentCard, None).get("url").is_none());
        assert!(read(&cards, Path::Agent, None).get("supportedInterfaces").is_none());
    }

    #[test]
    fn the_base_is_what_the_client_used_unless_it_is_set() {
        let cards = cards(true);
        let hosted = |host: &str| HeaderMap::from_iter([(HOST, HeaderValue::from_bytes(host.as_bytes()).unwrap())]);
        let path = Uri::from_static("/x");
        assert_eq!(
            cards.base(&path, &hosted("gw.test")),
            Base { url: "http://gw.test".into(), authority: "gw.test:80".into() }
        );
        let by_authority = Uri::from_static("http://[::1]:9000/x");
        assert_eq!(cards.base(&by_authority, &HeaderMap::new()).authority, "[::1]:9000");
        for host in ["", "a b", "gw.test/\"x", "user@gw.test", "gw.test/path", "\u{e9}"] {
            assert_eq!(cards.base(&path, &hosted(host)).url, "http://127.0.0.1:8080", "{host}");
        }
        assert_eq!(cards.base(&path, &HeaderMap::new()).url, "http://127.0.0.1:8080");
        let set = Cards::new(
            Base::parse("https://a.test"),
            "127.0.0.1:8080".parse().unwrap(),
            Offers { push: false, merged: true },
        );
        assert_eq!(set.base(&path, &hosted("gw.test")).at("/a2a"), "https://a.test/a2a");
    }

    #[test]
    fn only_http_urls_are_bases() {
        for url in ["gw.test", "ftp://gw.test", "http://", "/a", "", "https://"] {
            assert_eq!(Base::parse(url), None, "{url}");
        }
    }

    #[test]
    fn a_client_that_has_the_card_is_told_so() {
        let modified = SystemTime::now();
        let document = || Document { json: "{}".into(), modified, cache_control: MAX_AGE };
        let full = answer(&HeaderMap::new(), document());
        assert_eq!((full.status(), full.body().as_str()), (StatusCode::OK, "{}"));
        assert_eq!(full.headers()[CONTENT_TYPE], "application/json");
        assert!(full.headers()[CACHE_CONTROL].to_str().unwrap().contains("max-age"));
        assert_eq!(full.headers()[VARY], "A2A-Version");
        let (tag, date) = (full.headers()[ETAG].to_str().unwrap(), full.headers()[LAST_MODIFIED].to_str().unwrap());
        let later = httpdate::fmt_http_date(modified + Duration::from_secs(5));
        let earlier = httpdate::fmt_http_date(modified - Duration::from_secs(5));
        let strong = format!("\"other\", {}", tag.strip_prefix("W/").unwrap());
        for (conditions, status) in [
            (vec![(IF_NONE_MATCH, tag)], 304),
            (vec![(IF_NONE_MATCH, strong.as_str())], 304),
            (vec![(IF_NONE_MATCH, "*")], 304),
            (vec![(IF_NONE_MATCH, "\"other\"")], 200),
            (vec![(IF_NONE_MATCH, "\"other\""), (IF_MODIFIED_SINCE, later.as_str())], 200),
            (vec![(IF_MODIFIED_SINCE, date)], 304),
            (vec![(IF_MODIFIED_SINCE, later.as_str())], 304),
            (vec![(IF_MODIFIED_SINCE, earlier.as_str())], 200),
            (vec![(IF_MODIFIED_SINCE, "yesterday")], 200),
        ] {
            let mut headers = HeaderMap::new();
            for (name, value) in &conditions {
                headers.insert(name, value.parse().unwrap());
            }
            let answer = answer(&headers, document());
            assert_eq!(answer.status().as_u16(), status, "{conditions:?}");
            assert_eq!(answer.body().is_empty(), status == 304);
            assert_eq!(answer.headers()[ETAG], tag);
        }
        assert_ne!(etag("{}"), etag("{ }"));
    }
}
