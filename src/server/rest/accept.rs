//! Which media type an answer is to have: `application/json`, which every client reads, unless the client would rather
//! have `application/a2a+json`.

use http::{HeaderMap, header};

/// What every client reads.
pub const JSON: &str = "application/json";
/// A2A 1.0's own.
pub const A2A_JSON: &str = "application/a2a+json";

/// Whether the client prefers A2A's own type: it names it, and gives it more weight than the other (RFC 9110 section
/// 12.5.1).
pub fn prefers_a2a(headers: &HeaderMap) -> bool {
    let lists = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let ranges: Vec<_> = lists.flat_map(|list| list.split(',')).filter_map(range).collect();
    let weight = |name: &str| ranges.iter().find(|(range, _)| range == name).map(|(_, weight)| *weight);
    let Some(own) = weight(A2A_JSON) else { return false };
    own > [JSON, "application/*", "*/*"].into_iter().find_map(weight).unwrap_or(0.0)
}

/// A media range, in lower case, and its weight.
fn range(text: &str) -> Option<(String, f32)> {
    let mut parameters = text.split(';').map(str::trim);
    let range = parameters.next()?.to_ascii_lowercase();
    let weight = parameters.find_map(|parameter| parameter.strip_prefix(['q', 'Q'])?.trim_start().strip_prefix('='));
    Some((range, weight.map_or(Some(1.0), |weight| weight.trim().parse().ok())?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefers(values: &[&str]) -> bool {
        prefers_a2a(&HeaderMap::from_iter(values.iter().map(|value| (header::ACCEPT, value.parse().unwrap()))))
    }

    #[test]
    fn only_who_prefers_it_gets_it() {
        for values in [
            &[A2A_JSON][..],
            &["application/a2a+json, text/event-stream"],
            &["Application/A2A+JSON;q=0.9, application/json;q=0.5"],
            &["text/event-stream", "application/a2a+json, */*; q=0.1"],
        ] {
            assert!(prefers(values), "{values:?}");
        }
        for values in [
            &[][..],
            &["*/*"],
            &[JSON],
            &["application/json, application/a2a+json"],
            &["application/a2a+json, */*"],
            &["application/a2a+json;q=0.5, application/*"],
            &["application/a2a+json; q=0"],
            &["application/a2a+json;q=x"],
            &["text/html"],
            &["", ",;,"],
        ] {
            assert!(!prefers(values), "{values:?}");
        }
    }
}
