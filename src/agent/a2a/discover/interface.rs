//! Which of a card's interfaces to call, where it really is, and the link to it.

use std::sync::Arc;

use reqwest::Url;

use crate::{
    agent::a2a::{
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
        Binding::Grpc => return Err(format!("{}", settings.name)),
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
    let start = url.rfind("//").map_or(0, |slashes| slashes + 2);
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
