//! Which of a card's interfaces to call, where it really is, and the link to it.

use std::sync::Arc;

use reqwest::Url;

use crate::{
    agent::a2a::{
        grpc::GrpcLink,
        http::Client,
        jsonrpc::JsonRpcLink,
        link::Link,
        rest::RestLink,
        settings::{Binding, Interface, Preference, Settings},
    },
    task::Dialect,
    wire::card::Offer,
};

/// Hosts that mean every address of the machine that says them.
const UNSPECIFIED: [&str; 2] = ["0.0.0.0", "[::]"];
const LOOPBACK: [&str; 3] = ["localhost", "127.0.0.1", "[::1]"];

/// The interface to call: the first that the settings prefer; else, of those that are spoken here, the card's first of
/// the newest version. None: none is spoken here.
pub fn choose<'a>(offers: &'a [Offer], settings: &Settings) -> Option<&'a Offer> {
    let spoken = || offers.iter().filter_map(|offer| Some((offer, spoken(offer)?)));
    let fits = |preference: &Preference, interface: Interface| {
        preference.binding.is_none_or(|binding| binding == interface.binding)
            && preference.dialect.is_none_or(|dialect| dialect == interface.dialect)
    };
    let preferred = settings.prefer.iter().find_map(|wanted| spoken().find(|(_, interface)| fits(wanted, *interface)));
    let newest = || {
        spoken().min_by_key(|(_, interface)| match interface.dialect {
            Dialect::V1 => 0,
            Dialect::V03 => 1,
            Dialect::Praison => 2,
        })
    };
    preferred.or_else(newest).map(|(offer, _)| offer)
}

/// The link to an interface.
///
/// # Errors
/// A text that says why it cannot be called.
pub fn link(offer: &Offer, settings: &Settings, client: Arc<Client>) -> Result<Arc<dyn Link>, String> {
    let unknown = || format!("the binding {:?} is not spoken here", offer.binding);
    let interface = spoken(offer).ok_or_else(unknown)?;
    let url = || {
        let url = Url::parse(&offer.url).map_err(|error| format!("the interface's URL cannot be read: {error}"))?;
        match url.scheme() {
            "http" | "https" => Ok(url),
            other => Err(format!("the interface's URL must begin with http: or https:, not {other}:")),
        }
    };
    let dialect = interface.dialect;
    Ok(match interface.binding {
        Binding::JsonRpc => Arc::new(JsonRpcLink::new(client, url()?, dialect, offer.tenant.clone())),
        Binding::Rest => Arc::new(RestLink::new(client, url()?, dialect, &offer.tenant)),
        Binding::Grpc => Arc::new(GrpcLink::new(&offer.url, dialect, offer.tenant.clone(), settings)?),
    })
}

/// What an offer is, if it is spoken here. Names are compared without case and punctuation.
fn spoken(offer: &Offer) -> Option<Interface> {
    let name: String = offer.binding.chars().filter(char::is_ascii_alphanumeric).collect();
    let binding = match name.to_ascii_lowercase().as_str() {
        "jsonrpc" => Binding::JsonRpc,
        "grpc" if offer.dialect != Dialect::Praison => Binding::Grpc,
        "httpjson" | "rest" if offer.dialect != Dialect::Praison => Binding::Rest,
        _ => return None,
    };
    Some(Interface { binding, dialect: offer.dialect })
}

/// Completes an offer's URL with what is known from where the card was read: a relative one is resolved, and a host that
/// means the agent's own machine is named as it was reached.
pub(super) fn complete(offer: &mut Offer, card: &Url) {
    let host = card.host_str().unwrap_or_default();
    let grpc = spoken(offer).is_some_and(|interface| interface.binding == Binding::Grpc);
    let url = if grpc { offer.url.clone() } else { absolute(&offer.url, card) };
    offer.url = with_host(&url, host);
    if offer.dialect == Dialect::Praison && !grpc {
        praisonai(offer, card);
    }
}

/// The URL of an HTTP interface, with scheme and host.
fn absolute(url: &str, card: &Url) -> String {
    let resolved = card.join(url).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
    match resolved {
        Some(url) => url.into(),
        // A host and port look like a scheme and a path.
        None => format!("{}://{url}", card.scheme()),
    }
}

/// The URL with `host` for a host that is meant for the agent's own machine: the unspecified address always, a loopback
/// one when the agent was reached elsewhere. `host:port` counts as a URL, as gRPC has it.
fn with_host(url: &str, host: &str) -> String {
    let start = url.find("://").map_or(0, |colon| colon + 3);
    // Of `dns:///` there is a third slash.
    let start = start + usize::from(url[start..].starts_with('/'));
    let rest = &url[start..];
    let end = if rest.starts_with('[') { rest.find(']').map(|end| end + 1) } else { rest.find([':', '/', '?']) };
    let (said, after) = rest.split_at(end.unwrap_or(rest.len()));
    let here = |said: &str| LOOPBACK.contains(&said.to_ascii_lowercase().as_str());
    if UNSPECIFIED.contains(&said) || (here(said) && !here(host)) {
        format!("{}{host}{after}", &url[..start])
    } else {
        url.to_owned()
    }
}

/// PraisonAI's clients call `/a2a` beside the card whatever its URL says, which therefore is often wrong: it counts only
/// when it names the same origin.
fn praisonai(offer: &mut Offer, card: &Url) {
    let same = Url::parse(&offer.url).is_ok_and(|url| url.origin() == card.origin());
    let base = card.path().find("/.well-known/").map(|end| &card.path()[..end]);
    if let Some(base) = base.filter(|_| !same) {
        let mut url = card.clone();
        url.set_path(&format!("{base}/a2a"));
        offer.url = url.into();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::agent::a2a::settings::{Mode, OnLost, Tls};

    fn settings(prefer: &[(Option<Binding>, Option<Dialect>)]) -> Settings {
        Settings {
            name: "a".into(),
            url: "http://h".into(),
            interface: None,
            prefer: prefer
                .iter()
                .map(|(binding, dialect)| Preference { binding: *binding, dialect: *dialect })
                .collect(),
            headers: Vec::new(),
            tls: Tls::default(),
            mode: Mode::Auto,
            on_lost: OnLost::Fail,
            max_concurrency: None,
            connect_timeout: Duration::from_secs(1),
            request_timeout: Duration::from_secs(1),
            idle_timeout: Duration::from_secs(1),
            unreachable_timeout: Duration::from_secs(1),
            poll_interval: Duration::from_secs(1),
            card_refresh: Duration::from_secs(1),
            max_message: 1000,
        }
    }

    fn offer(url: &str, binding: &str, dialect: Dialect) -> Offer {
        Offer { url: url.into(), binding: binding.into(), dialect, tenant: String::new() }
    }

    #[test]
    fn the_preferred_interface_is_chosen_and_else_the_newest() {
        use Binding::{Grpc, JsonRpc, Rest};
        use Dialect::{Praison, V1, V03};
        let offers = [
            offer("custom", "HTTPS://EXAMPLE.COM/CUSTOM", V1),
            offer("p-grpc", "GRPC", Praison),
            offer("p", "jsonrpc", Praison),
            offer("03-rest", "http+json", V03),
            offer("03", "JsonRpc", V03),
            offer("1-grpc", "grpc", V1),
            offer("1", "JSONRPC", V1),
        ];
        let chosen = |offers, prefer: &[_]| choose(offers, &settings(prefer)).map(|offer| offer.url.as_str());
        for (prefer, expected) in [
            (&[] as &[_], "1-grpc"),
            (&[(Some(JsonRpc), None)], "p"),
            (&[(Some(JsonRpc), Some(V1))], "1"),
            (&[(None, Some(V03))], "03-rest"),
            (&[(Some(Grpc), Some(V03)), (Some(Rest), None)], "03-rest"),
            (&[(Some(Rest), Some(V1))], "1-grpc"),
            (&[(Some(Grpc), Some(Praison))], "1-grpc"),
        ] {
            assert_eq!(chosen(&offers, prefer), Some(expected), "{prefer:?}");
        }
        assert_eq!(chosen(&offers[..5], &[]), Some("03-rest"));
        assert_eq!(chosen(&offers[..3], &[]), Some("p"));
        assert_eq!(chosen(&offers[..2], &[]), None);
    }

    #[test]
    fn urls_are_completed_from_where_the_card_was_read() {
        for (card, binding, url, expected) in [
            ("http://h:1/x/.well-known/agent-card.json", "JSONRPC", "/rpc", "http://h:1/rpc"),
            ("http://h:1/x/card.json", "JSONRPC", "rpc", "http://h:1/x/rpc"),
            ("https://h/c.json", "HTTP+JSON", "//other/a", "https://other/a"),
            ("https://h/c.json", "JSONRPC", "localhost.example:9/a", "https://localhost.example:9/a"),
            ("https://h/c.json", "JSONRPC", "http://0.0.0.0:9999/", "http://h:9999/"),
            ("http://h/c.json", "JSONRPC", "http://[::]:9999/a", "http://h:9999/a"),
            ("http://h/c.json", "JSONRPC", "http://localhost:9999/a", "http://h:9999/a"),
            ("http://localhost/c.json", "JSONRPC", "http://127.0.0.1:9/a", "http://127.0.0.1:9/a"),
            ("http://[::1]/c.json", "JSONRPC", "http://0.0.0.0:9/a", "http://[::1]:9/a"),
            ("http://h/c.json", "GRPC", "0.0.0.0:50051", "h:50051"),
            ("http://h/c.json", "GRPC", "[::]:50051", "h:50051"),
            ("http://h/c.json", "GRPC", "http://localhost:50051", "http://h:50051"),
            ("http://h/c.json", "GRPC", "dns:///0.0.0.0:50051", "dns:///h:50051"),
            ("http://h/c.json", "GRPC", "grpc.example:50051", "grpc.example:50051"),
            ("http://h/c.json", "OTHER", "http://elsewhere/a?b=//0.0.0.0", "http://elsewhere/a?b=//0.0.0.0"),
        ] {
            let mut offer = offer(url, binding, Dialect::V1);
            complete(&mut offer, &Url::parse(card).unwrap());
            assert_eq!(offer.url, expected, "{url} in {card}");
        }
    }
}
