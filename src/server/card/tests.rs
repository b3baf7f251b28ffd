use http::{
    StatusCode,
    header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED, VARY},
};
use serde_json::Value;

use super::{document::etag, *};
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
            assert_eq!(read(&cards, path, version)["capabilities"]["pushNotifications"], push, "{path:?} {version:?}");
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
    let visitor = Visitor { base: base(), authorization: None };
    let card = cards(true).extended_json(&agent(false), Dialect::Praison, &visitor, DOOR).unwrap();
    let card: Value = serde_json::from_str(&card).unwrap();
    assert_eq!(card["url"], "http://gw.test:8080/agents/echo/a2a");
}

#[test]
fn an_agent_that_was_never_reached_has_a_card_that_is_not_kept() {
    let cards = cards(true);
    let document = cards.document("", &unknown(), &base(), Path::AgentCard, None);
    assert_eq!(document.cache_control, NO_CACHE);
    let card: Value = serde_json::from_str(&document.json).unwrap();
    assert_eq!((&card["name"], &card["description"]), (&"echo".into(), &"Not reached yet.".into()));
    assert_eq!((&card["url"], &card["capabilities"]["streaming"]), (&"http://gw.test:8080/a2a".into(), &true.into()));
    let lost = AgentStatus { ready: false, ..agent(true) };
    for known in [agent(true), lost] {
        assert_eq!(cards.document("", &known, &base(), Path::AgentCard, None).cache_control, MAX_AGE);
    }
}

#[test]
fn a_card_that_changes_is_a_later_one() {
    let cards = cards(true);
    let modified = |asked: &str, agent: &AgentStatus| cards.modified(asked, Kind::Public, agent);
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
    let document =
        || Document { json: "{}".into(), media: JSON, modified, cache_control: MAX_AGE, vary: "A2A-Version" };
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
