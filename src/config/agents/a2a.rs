//! The keys of agents that speak A2A.

use std::time::Duration;

use http::{HeaderName, HeaderValue, Uri};

use super::{
    table::Table,
    target::{Target, has_path},
    tls::tls,
};
use crate::config::{
    agent::{A2aAgent, Binding, Interface, Mode, Preference, Secret, Tls, Version},
    value::Value,
};

/// The keys that only such agents have.
pub(super) const KEYS: [&str; 16] = [
    "binding",
    "version",
    "prefer",
    "headers",
    "token",
    "tls_ca",
    "tls_cert",
    "tls_key",
    "mode",
    "connect_timeout",
    "request_timeout",
    "idle_timeout",
    "unreachable_timeout",
    "poll_interval",
    "card_refresh",
    "max_message",
];

const BINDINGS: [(&str, Binding); 3] =
    [("jsonrpc", Binding::JsonRpc), ("grpc", Binding::Grpc), ("rest", Binding::Rest)];

const VERSIONS: [(&str, Version); 3] = [("1.0", Version::V1), ("0.3", Version::V03), ("praisonai", Version::PraisonAi)];

/// Headers that say how a message is carried, which the gateway decides, and the version, which goes with the interface.
const RESERVED: [&str; 13] = [
    "a2a-version",
    "accept",
    "connection",
    "content-length",
    "content-type",
    "expect",
    "host",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Headers whose value is the caller's.
const EXTENSIONS: [&str; 2] = ["a2a-extensions", "x-a2a-extensions"];

/// Reads the keys; `target` is the url where it is right. The result's own `url` is the caller's to fill.
pub(super) fn read(table: &mut Table<'_>, target: Option<&Target>) -> A2aAgent {
    const MS: Duration = Duration::from_millis(1);
    const SECOND: Duration = Duration::from_secs(1);
    const HOUR: Duration = Duration::from_secs(3600);
    const DAY: Duration = Duration::from_secs(24 * 3600);

    let defaults = A2aAgent::new(String::new(), None);
    let interface = interface(table, target);
    let modes = [("auto", Mode::Auto), ("stream", Mode::Stream), ("poll", Mode::Poll), ("blocking", Mode::Blocking)];
    let time = |table: &mut Table<'_>, key, default, from, to| {
        table.find(key, |value| value.duration(from..=to)).unwrap_or(default)
    };
    A2aAgent {
        url: defaults.url,
        interface,
        prefer: prefer(table, interface),
        headers: headers(table),
        tls: secure(table, target, interface),
        mode: table.find("mode", |value| value.choice(&modes)).unwrap_or(defaults.mode),
        connect_timeout: time(table, "connect_timeout", defaults.connect_timeout, 100 * MS, 600 * SECOND),
        request_timeout: time(table, "request_timeout", defaults.request_timeout, 100 * MS, HOUR),
        idle_timeout: time(table, "idle_timeout", defaults.idle_timeout, SECOND, 30 * DAY),
        unreachable_timeout: time(table, "unreachable_timeout", defaults.unreachable_timeout, Duration::ZERO, 30 * DAY),
        poll_interval: time(table, "poll_interval", defaults.poll_interval, 100 * MS, HOUR),
        card_refresh: time(table, "card_refresh", defaults.card_refresh, SECOND, 30 * DAY),
        max_message: table.find("max_message", |v| v.size(1024..=1 << 30)).unwrap_or(defaults.max_message),
    }
}

/// The explicit interface, from `binding`, `version` and a `grpc://` url.
fn interface(table: &mut Table<'_>, target: Option<&Target>) -> Option<Interface> {
    let binding = table.find("binding", |value| word(value, &BINDINGS)).flatten();
    let version = table.find("version", |value| word(value, &VERSIONS)).flatten();
    if table.is_wrong("binding") || table.is_wrong("version") {
        return None;
    }
    let over_grpc = matches!(target, Some(Target::Grpc(_)));
    let (binding, version) = match (binding, version) {
        (None | Some(Binding::Grpc), version) if over_grpc => (Binding::Grpc, version.unwrap_or(Version::V1)),
        (Some(_), _) if over_grpc => {
            table.wrong("binding", "must be \"grpc\" or left out: the url is a gRPC one");
            return None;
        }
        (None, None) => return None,
        (None, Some(Version::PraisonAi)) => (Binding::JsonRpc, Version::PraisonAi),
        (Some(binding), Some(version)) => (binding, version),
        (Some(_), None) => {
            table.wrong("binding", "needs version beside it; to choose among the card's interfaces, use prefer");
            return None;
        }
        (None, Some(_)) => {
            table.wrong("version", "needs binding beside it; to choose among the card's interfaces, use prefer");
            return None;
        }
    };
    if version == Version::PraisonAi && binding != Binding::JsonRpc {
        table.wrong("version", "praisonai is spoken over jsonrpc only");
        return None;
    }
    if let (Binding::Grpc, Some(Target::Http(url))) = (binding, target)
        && url.parse::<Uri>().is_ok_and(|uri| has_path(&uri))
    {
        table.wrong("url", "has a path, which gRPC cannot call: with binding = \"grpc\" it must be a server's alone");
    }
    Some(Interface { binding, version })
}

/// One of some words, or empty for none.
fn word<T: Copy>(value: &Value, words: &[(&str, T)]) -> Result<Option<T>, String> {
    match value.text() {
        Some("") => Ok(None),
        // A version without quotes is a TOML number.
        _ => value.choice(words).map(Some).map_err(|right| format!("{right} in quotes")),
    }
}

fn prefer(table: &mut Table<'_>, interface: Option<Interface>) -> Vec<Preference> {
    let prefer = table.find("prefer", |value| {
        let words = value.words().ok_or("must be an array of strings, such as [\"grpc\", \"jsonrpc/0.3\"]")?;
        words.iter().map(|word| preference(word)).collect::<Result<Vec<_>, _>>()
    });
    let prefer = prefer.unwrap_or_default();
    if !prefer.is_empty() && interface.is_some() {
        table.wrong("prefer", "chooses among the card's interfaces, and here binding, version or the url name the one");
    }
    prefer
}

/// `grpc`, `jsonrpc/0.3` or `0.3`.
fn preference(text: &str) -> Result<Preference, String> {
    fn of<T: Copy>(words: &[(&str, T)], word: &str) -> Option<T> {
        words.iter().find(|(known, _)| *known == word).map(|(_, value)| *value)
    }
    let found = match text.split_once('/') {
        Some((binding, version)) => of(&BINDINGS, binding).zip(of(&VERSIONS, version)).map(|(b, v)| (Some(b), Some(v))),
        None => of(&BINDINGS, text)
            .map(|binding| (Some(binding), None))
            .or_else(|| of(&VERSIONS, text).map(|version| (None, Some(version)))),
    };
    match found {
        Some((Some(Binding::Grpc | Binding::Rest), Some(Version::PraisonAi))) | None => Err(format!(
            "{text:?} in it must be a binding (jsonrpc, grpc, rest), a version (1.0, 0.3, praisonai), or both, as in \
             jsonrpc/0.3"
        )),
        Some((binding, version)) => Ok(Preference { binding, version }),
    }
}

/// The headers, the token among them, names in lower case.
fn headers(table: &mut Table<'_>) -> Vec<(String, Secret)> {
    let mut headers: Vec<(String, Secret)> = Vec::new();
    let given = table.secrets("headers", |name, value| {
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| "its name is not that of a header")?;
        if EXTENSIONS.contains(&name.as_str()) {
            let text = "cannot be set: callers say in it which extensions they ask for. Have them send it to the gateway, which \
                        passes it on";
            return Err(text.to_owned());
        }
        if RESERVED.contains(&name.as_str()) || name.as_str().starts_with("grpc-") {
            return Err("is a header that the gateway sets itself".to_owned());
        }
        HeaderValue::from_str(value).map(|_| ()).map_err(|_| "its value cannot be sent in a header".to_owned())
    });
    for (name, value) in given {
        let lower = name.to_ascii_lowercase();
        if headers.iter().any(|(known, _)| *known == lower) {
            table.wrong_member("headers", &name, "the header is given twice: its name is the same in any case");
        }
        headers.push((lower, value));
    }
    let token = table.secret("token", |token| {
        let good = token.bytes().all(|byte| byte.is_ascii_graphic());
        let value = format!("Bearer {token}");
        if good { Ok(Secret(value)) } else { Err("must be visible ASCII characters without spaces".to_owned()) }
    });
    if let Some(token) = token {
        if headers.iter().any(|(name, _)| name == "authorization") {
            table.wrong("token", "does not go together with the header authorization, which it would be sent as");
        }
        headers.push(("authorization".to_owned(), token));
    }
    headers
}

/// TLS, which a plain url has no use for when calls go to it and nowhere else.
fn secure(table: &mut Table<'_>, target: Option<&Target>, interface: Option<Interface>) -> Tls {
    let tls = tls(table);
    if let (Some(Target::Http(url) | Target::Grpc(url)), Some(_)) = (target, interface)
        && url.starts_with("http:")
    {
        for (key, given) in [("tls_ca", tls.ca.is_some()), ("tls_cert", tls.identity.is_some())] {
            if given {
                table.wrong(key, "means nothing here: calls go to the url, which is without TLS");
            }
        }
    }
    tls
}
