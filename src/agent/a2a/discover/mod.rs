//! Finding an agent: its card, and which of its interfaces to call.
//!
//! A card that was read once is asked for again where it was found, with what it was sent with, so that an agent that
//! knows caching answers with nothing.

mod interface;

use std::{fmt::Write as _, time::Duration};

use http::{
    HeaderMap, HeaderName, HeaderValue, Method, StatusCode,
    header::{ACCEPT, CACHE_CONTROL, ETAG, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED},
};
use reqwest::Url;
use tokio::time::Instant;

pub use interface::{choose, link};

use super::{
    http::{Call, Client, Patience, Reply, place, refused},
    link::CallError,
    settings::Settings,
};
use crate::wire::{self, card::Discovered};

/// Where cards are, below an agent's URL. PraisonAI's agents and 0.3's older ones serve the second only.
const WELL_KNOWN: [&str; 2] = ["/.well-known/agent-card.json", "/.well-known/agent.json"];
const MAX_CARD: usize = 1 << 20;
/// Bounds for how long an agent says that its card may be kept.
const FRESH: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(3600));

/// A card that was read, and what to ask for it again with.
#[derive(Clone, Debug)]
pub struct Fetched {
    /// The card and the interfaces that it offers, their URLs complete.
    pub card: Discovered,
    /// Where it was found.
    pub url: Url,
    /// The answer's `ETag`.
    pub etag: Option<HeaderValue>,
    /// The answer's `Last-Modified`.
    pub last_modified: Option<HeaderValue>,
    /// When it should be read again.
    pub fresh_until: Instant,
}

/// Reads the card of the agent at the settings' URL. `previous`: the card as it was read before.
///
/// # Errors
/// As calls. `Refused`, with what was found at each place, when none of the places has a card.
pub async fn discover(client: &Client, settings: &Settings, previous: Option<&Fetched>) -> Result<Fetched, CallError> {
    let mut places = candidates(&settings.url)?;
    if let Some(known) = previous {
        places.retain(|url| *url != known.url);
        places.insert(0, known.url.clone());
    }
    let mut found = String::new();
    for url in places {
        let known = previous.filter(|known| known.url == url);
        match fetch(client, settings, &url, known).await? {
            Ok(fetched) => return Ok(fetched),
            Err(why) => {
                let _ = write!(found, "{}{why}", if found.is_empty() { "" } else { "; " });
            }
        }
    }
    Err(CallError::Refused { kind: None, text: format!("found no agent card: {found}") })
}

/// Reads the card at one place; the inner error says why there is none. `known`: the card as it was read there before.
async fn fetch(
    client: &Client,
    settings: &Settings,
    url: &Url,
    known: Option<&Fetched>,
) -> Result<Result<Fetched, String>, CallError> {
    let headers = conditions(known);
    let call = Call { method: Method::GET, url, headers, body: None, patience: Patience::Answer };
    let mut reply = match client.call(call).await {
        Ok(reply) => reply,
        Err(CallError::Refused { text, .. }) => return Ok(Err(text)),
        Err(error) => return Err(error),
    };
    let status = reply.status();
    let card = match known {
        Some(known) if status == StatusCode::NOT_MODIFIED => known.card.clone(),
        _ if status.is_success() => match reply.read(MAX_CARD).await {
            Ok(body) => match read(&body) {
                Ok(mut card) => {
                    card.offers.iter_mut().for_each(|offer| interface::complete(offer, url));
                    card
                }
                Err(why) => return Ok(Err(format!("what {} holds is no agent card: {why}", place(url)))),
            },
            Err(CallError::Malformed(why)) => return Ok(Err(why)),
            Err(error) => return Err(error),
        },
        _ => return none(reply, url).await.map(Err),
    };
    let header = |name: HeaderName, before: Option<&HeaderValue>| reply.headers().get(name).or(before).cloned();
    let keep = max_age(reply.headers()).unwrap_or(settings.card_refresh);
    let now = Instant::now();
    Ok(Ok(Fetched {
        card,
        url: url.clone(),
        etag: header(ETAG, known.and_then(|known| known.etag.as_ref())),
        last_modified: header(LAST_MODIFIED, known.and_then(|known| known.last_modified.as_ref())),
        fresh_until: now.checked_add(keep).unwrap_or(now + FRESH.1),
    }))
}

fn read(body: &[u8]) -> Result<Discovered, String> {
    let json = serde_json::from_slice(body).map_err(|_| "it is not JSON".to_owned())?;
    wire::card::read(json).map_err(|error| error.message().to_owned())
}

/// Why there is no card, by the answer's status; an error when looking further would tell no more.
async fn none(mut reply: Reply, url: &Url) -> Result<String, CallError> {
    let status = reply.status();
    if matches!(status, StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED | StatusCode::GONE) {
        return Ok(format!("{} answers with HTTP {}", place(url), status.as_u16()));
    }
    let body = reply.read(MAX_CARD).await.unwrap_or_default();
    match refused(status, reply.headers(), &body, None, &place(url)) {
        CallError::Refused { text, .. } if !matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) => {
            Ok(text)
        }
        CallError::Malformed(text) => Ok(text),
        error => Err(error),
    }
}

/// The headers of a request for a card. The version asks those that have several cards for the one of 1.0.
fn conditions(known: Option<&Fetched>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
    headers.insert("a2a-version", HeaderValue::from_static("1.0"));
    if let Some(known) = known {
        let conditions = [(IF_NONE_MATCH, &known.etag), (IF_MODIFIED_SINCE, &known.last_modified)];
        headers.extend(conditions.into_iter().filter_map(|(name, value)| Some((name, value.clone()?))));
    }
    headers
}

/// How long the answer may be kept (RFC 9111, section 5.2.2), within bounds; none: it does not say.
fn max_age(headers: &HeaderMap) -> Option<Duration> {
    let lines = headers.get_all(CACHE_CONTROL).iter().filter_map(|line| line.to_str().ok());
    let mut directives = lines.flat_map(|line| line.split(',')).map(|each| each.trim().to_ascii_lowercase());
    let seconds = directives.find_map(|each| match each.as_str() {
        "no-cache" | "no-store" => Some(0),
        each => each.strip_prefix("max-age=")?.trim_matches('"').parse().ok(),
    });
    Some(Duration::from_secs(seconds?).clamp(FRESH.0, FRESH.1))
}

/// Where the card of an agent at `url` may be, the likeliest place first.
fn candidates(url: &str) -> Result<Vec<Url>, CallError> {
    let bad = |why: String| CallError::Unreached(format!("the agent's URL {why}"));
    let mut url = Url::parse(url).map_err(|error| bad(format!("cannot be read: {error}")))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(bad(format!("must begin with http: or https:, not {}:", url.scheme())));
    }
    url.set_fragment(None);
    if url.path().to_ascii_lowercase().ends_with(".json") {
        return Ok(vec![url]);
    }
    let base = url.path().trim_end_matches('/').to_owned();
    let bases = if base.is_empty() { vec![base] } else { vec![base, String::new()] };
    let places = bases.iter().flat_map(|base| WELL_KNOWN.map(|path| format!("{base}{path}")));
    Ok(places
        .map(|path| {
            let mut place = url.clone();
            place.set_path(&path);
            place
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(url: &str) -> Vec<String> {
        candidates(url).unwrap().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_card_is_looked_for_below_the_url_and_then_at_the_origin() {
        let root = ["http://h:1/.well-known/agent-card.json", "http://h:1/.well-known/agent.json"];
        assert_eq!(places("http://h:1"), root);
        assert_eq!(places("http://h:1/#top"), root);
        let below = ["http://h:1/a/b/.well-known/agent-card.json", "http://h:1/a/b/.well-known/agent.json"];
        for url in ["http://h:1/a/b", "http://h:1/a/b//"] {
            assert_eq!(places(url), [below, root].concat());
        }
        assert_eq!(places("https://h/x?key=1")[2], "https://h/.well-known/agent-card.json?key=1");
        assert_eq!(places("http://h/cards/Mine.JSON?v=2"), ["http://h/cards/Mine.JSON?v=2"]);
        for bad in ["h:1", "", "/a", "ftp://h"] {
            assert!(matches!(candidates(bad), Err(CallError::Unreached(_))), "{bad}");
        }
    }

    #[test]
    fn max_age_is_bounded() {
        let of = |values: &[&'static str]| {
            max_age(&values.iter().map(|value| (CACHE_CONTROL, HeaderValue::from_static(value))).collect())
        };
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        assert_eq!(of(&["public, Max-Age=60"]), seconds(60));
        assert_eq!(of(&["public", "max-age=\"60\""]), seconds(60));
        assert_eq!(of(&["max-age=0"]), seconds(10));
        assert_eq!(of(&["no-cache"]), seconds(10));
        assert_eq!(of(&["max-age=99999999"]), seconds(3600));
        assert_eq!(of(&["public", "max-age=soon", "s-maxage=5"]), None);
        assert_eq!(of(&[]), None);
    }
}
