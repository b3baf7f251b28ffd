//! Who asks, for which agent, and which protocol version they ask for.

use http::HeaderMap;
use url::form_urlencoded;

use crate::{
    engine::Caller,
    error::{Error, ErrorKind, Result},
    task::id_problem,
};

/// The header, gRPC metadata key and query parameter that carries the protocol version.
pub const VERSION: &str = "a2a-version";
/// The gRPC metadata key that names the agent.
const AGENT: &str = "a2a-agent";

/// A protocol version that is spoken here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// 1.x.
    V1,
    /// 0.3.x.
    V03,
}

/// The caller: the anonymous one, as long as no identities are configured.
pub fn identify(_headers: &HeaderMap) -> Caller {
    Caller::default()
}

/// The agent that a gRPC call's metadata names; empty: none.
///
/// # Errors
/// `InvalidArgument` naming the key.
pub fn agent(metadata: &HeaderMap) -> Result<String> {
    let Some(value) = metadata.get(AGENT) else { return Ok(String::new()) };
    let name = value.to_str().ok().filter(|name| name.is_empty() || id_problem(name).is_none());
    name.map(str::to_owned).ok_or_else(|| Error::invalid(AGENT, "must be the name of an agent, in ASCII"))
}

/// The version that the request asks for, by header or, where that says nothing, by query parameter; none when neither
/// says. Of several values, which proxies make of one, all must be spoken here, and the first counts.
///
/// # Errors
/// `VersionNotSupported` for any but 1.x and 0.3.x (A2A 1.0 section 3.6.2; a patch part is ignored).
pub fn version(headers: &HeaderMap, query: Option<&str>) -> Result<Option<Version>> {
    let mut named = None;
    for value in headers.get_all(VERSION) {
        for text in value.to_str().unwrap_or("not ASCII").split(',') {
            named = named.or(parse(text)?);
        }
    }
    if named.is_some() {
        return Ok(named);
    }
    for (name, text) in form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
        if name.eq_ignore_ascii_case(VERSION) {
            named = named.or(parse(&text)?);
        }
    }
    Ok(named)
}

fn parse(text: &str) -> Result<Option<Version>> {
    let text = text.trim();
    if text.is_empty() {
        return Ok(None);
    }
    let mut numbers = text.split('.');
    let (major, minor) = (numbers.next(), numbers.next());
    let well_formed = text.split('.').count() <= 3
        && text.split('.').all(|n| !n.is_empty() && n.len() < 10 && n.bytes().all(|b| b.is_ascii_digit()));
    match (major, minor) {
        (Some("1"), _) if well_formed => Ok(Some(Version::V1)),
        (Some("0"), Some("3")) if well_formed => Ok(Some(Version::V03)),
        _ => {
            let asked: String = text.chars().take(32).collect();
            let message = format!("A2A version {asked} is not supported; supported are 1.0 and 0.3");
            Err(Error::new(ErrorKind::VersionNotSupported, message).with("supported", "1.0, 0.3"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn by_header(value: &str) -> Result<Option<Version>> {
        let mut headers = HeaderMap::new();
        headers.insert("A2A-Version", value.parse().unwrap());
        version(&headers, None)
    }

    #[test]
    fn versions_with_and_without_patch_are_taken() {
        for text in ["1", "1.0", "1.0.1", "1.7", " 1.0 "] {
            assert_eq!(by_header(text), Ok(Some(Version::V1)), "{text}");
        }
        for text in ["0.3", "0.3.0", "0.3.26"] {
            assert_eq!(by_header(text), Ok(Some(Version::V03)), "{text}");
        }
        assert_eq!(by_header(""), Ok(None));
        assert_eq!(version(&HeaderMap::new(), None), Ok(None));
    }

    #[test]
    fn others_are_refused() {
        for text in
            ["99.0", "0.2", "0", "2", "0.30", "1.x", "1.", ".1", "1.0.0.0", "10.0", "v1", "-1", "1.0.99999999999"]
        {
            assert_eq!(by_header(text).unwrap_err().kind(), ErrorKind::VersionNotSupported, "{text}");
        }
    }

    #[test]
    fn metadata_may_name_an_agent() {
        let with = |value: &[u8]| {
            HeaderMap::from_iter([(AGENT.parse().unwrap(), http::HeaderValue::from_bytes(value).unwrap())])
        };
        assert_eq!(agent(&HeaderMap::new()), Ok(String::new()));
        assert_eq!(agent(&with(b"")), Ok(String::new()));
        assert_eq!(agent(&with(b"echo")), Ok("echo".to_owned()));
        for value in [&b"\xff"[..], b"a\tb", &[b'x'; 257]] {
            let error = agent(&with(value)).unwrap_err();
            assert_eq!(error.field_violations()[0].field, AGENT);
        }
    }

    #[test]
    fn the_query_is_read_when_there_is_no_header() {
        assert_eq!(version(&HeaderMap::new(), Some("x=1&A2A-Version=0.3")), Ok(Some(Version::V03)));
        assert_eq!(version(&HeaderMap::new(), Some("a2a-version=1.0")), Ok(Some(Version::V1)));
        assert!(version(&HeaderMap::new(), Some("A2A-Version=99.0")).is_err());
        let mut headers = HeaderMap::new();
        headers.insert(VERSION, "1.0".parse().unwrap());
        assert_eq!(version(&headers, Some("A2A-Version=0.3")), Ok(Some(Version::V1)));
        headers.insert(VERSION, "".parse().unwrap());
        assert_eq!(version(&headers, Some("A2A-VERSION=0%2E3")), Ok(Some(Version::V03)));
        for query in ["", "A2A-Version", "A2A-Version=", "xA2A-Version=99.0"] {
            assert_eq!(version(&headers, Some(query)), Ok(None), "{query}");
        }
    }

    #[test]
    fn of_several_values_all_must_be_spoken_and_the_first_counts() {
        let lines = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(VERSION, value.parse().unwrap());
            }
            version(&headers, Some("A2A-Version=0.2"))
        };
        assert_eq!(lines(&["1.0", "0.3"]), Ok(Some(Version::V1)));
        assert_eq!(lines(&["", "0.3, 1.0"]), Ok(Some(Version::V03)));
        for values in [&["1.0", "99.0"][..], &["1.0,99.0"], &["", " "]] {
            assert_eq!(lines(values).unwrap_err().kind(), ErrorKind::VersionNotSupported, "{values:?}");
        }
        let query = "A2A-Version=1.0&a2a-version=99.0";
        assert!(version(&HeaderMap::new(), Some(query)).is_err());
    }
}
