//! A document that clients may keep: with a tag and a date, and no body for those who have it (RFC 9110, section 13).

use std::{fmt::Write as _, time::SystemTime};

use http::{
    HeaderMap, HeaderValue, Response, StatusCode,
    header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED, VARY},
};
use sha2::{Digest as _, Sha256};

/// JSON, as it is served at a path.
#[derive(Clone, Debug)]
pub struct Document {
    /// The content.
    pub json: String,
    /// Its media type.
    pub media: &'static str,
    /// Since when it is as it is.
    pub modified: SystemTime,
    /// Who may keep it, and for how long.
    pub cache_control: &'static str,
    /// The request's headers that it depends on; empty: none.
    pub vary: &'static str,
}

/// The document as an answer: 304 when the request's conditions say that the client has it.
pub fn answer(headers: &HeaderMap, document: Document) -> Response<String> {
    let Document { json, media, modified, cache_control, vary } = document;
    let etag = etag(&json);
    let fresh = is_fresh(headers, &etag, modified);
    let mut answer = Response::new(if fresh { String::new() } else { json });
    if fresh {
        *answer.status_mut() = StatusCode::NOT_MODIFIED;
    } else {
        answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media));
    }
    let headers = answer.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static(cache_control));
    if !vary.is_empty() {
        headers.insert(VARY, HeaderValue::from_static(vary));
    }
    // Weak, since the same content may be sent compressed.
    for (name, value) in [(ETAG, format!("W/{etag}")), (LAST_MODIFIED, httpdate::fmt_http_date(modified))] {
        if let Ok(value) = value.parse() {
            headers.insert(name, value);
        }
    }
    answer
}

/// Whether the client's copy is this one. `If-Modified-Since` counts only without `If-None-Match`.
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

/// The tag of a content.
pub fn etag(json: &str) -> String {
    let mut tag = String::from("\"");
    for byte in &Sha256::digest(json.as_bytes())[..16] {
        let _ = write!(tag, "{byte:02x}");
    }
    tag.push('"');
    tag
}
