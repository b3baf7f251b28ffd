//! What is read of an answer besides its status.

use std::time::{Duration, SystemTime};

use http::{
    HeaderMap,
    header::{DATE, RETRY_AFTER},
};

/// No pause is longer: arithmetic with times stays in bounds.
const LONGEST_PAUSE: Duration = Duration::from_secs(365 * 24 * 3600);

/// When to come again: seconds or a date (RFC 9110, section 10.2.3), a year at most. A date counts from the answer's own
/// where it has one, so that clocks need not agree; one that has passed means now. What is neither is ignored.
pub(super) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(value.parse().map_or(LONGEST_PAUSE, Duration::from_secs).min(LONGEST_PAUSE));
    }
    let date = httpdate::parse_http_date(value).ok()?;
    let said = headers.get(DATE).and_then(|value| httpdate::parse_http_date(value.to_str().ok()?).ok());
    let now = said.unwrap_or_else(SystemTime::now);
    Some(date.duration_since(now).unwrap_or_default().min(LONGEST_PAUSE))
}

/// The beginning of a body, for people.
pub(super) struct Excerpt {
    limit: usize,
    bytes: Vec<u8>,
}

impl Excerpt {
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, bytes: Vec::new() }
    }

    pub(super) fn push(&mut self, chunk: &[u8]) {
        let room = self.limit - self.bytes.len();
        self.bytes.extend_from_slice(&chunk[..chunk.len().min(room)]);
    }

    /// One line without control characters, at most `limit` bytes long.
    pub(super) fn text(self) -> String {
        let mut bytes = self.bytes.as_slice();
        // A character that the limit cut is no bad one.
        if let Err(error) = std::str::from_utf8(bytes)
            && error.error_len().is_none()
            && bytes.len() == self.limit
        {
            bytes = &bytes[..error.valid_up_to()];
        }
        let text = String::from_utf8_lossy(bytes);
        let words = text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty());
        let mut text = words.collect::<Vec<_>>().join(" ");
        // What stands for bad bytes is longer than they are.
        while text.len() > self.limit {
            text.pop();
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(value: &str, date: Option<&str>) -> Option<Duration> {
        let mut headers = HeaderMap::from_iter([(RETRY_AFTER, value.parse().unwrap())]);
        headers.extend(date.map(|date| (DATE, date.parse().unwrap())));
        retry_after(&headers)
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        assert_eq!(after("7", None), Some(Duration::from_secs(7)));
        assert_eq!(after(" 0 ", None), Some(Duration::ZERO));
        let noon = "Sun, 22 Nov 2026 12:00:00 GMT";
        for later in ["Sun, 22 Nov 2026 12:02:00 GMT", "Sunday, 22-Nov-26 12:02:00 GMT", "Sun Nov 22 12:02:00 2026"] {
            assert_eq!(after(later, Some(noon)), Some(Duration::from_secs(120)), "{later}");
        }
        assert_eq!(after("Sun, 06 Nov 1994 08:49:37 GMT", None), Some(Duration::ZERO));
        let soon = httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(100));
        for date in [None, Some("yesterday")] {
            let pause = after(&soon, date).unwrap();
            assert!(pause > Duration::from_secs(50) && pause <= Duration::from_secs(100), "{pause:?}");
        }
        for long in ["18446744073709551615", "99999999999999999999999", "Fri, 31 Dec 9999 23:59:59 GMT"] {
            assert_eq!(after(long, None), Some(LONGEST_PAUSE), "{long}");
        }
        for bad in ["soon", "-1", "+1", "1.5", "", "12 s", "Sun, 99 Nov 2026 12:00:00 GMT"] {
            assert_eq!(after(bad, None), None, "{bad}");
        }
        assert_eq!(retry_after(&HeaderMap::new()), None);
    }

    #[test]
    fn an_excerpt_is_one_line_of_bounded_length() {
        let text = |limit, chunks: &[&[u8]]| {
            let mut excerpt = Excerpt::new(limit);
            chunks.iter().for_each(|chunk| excerpt.push(chunk));
            excerpt.text()
        };
        assert_eq!(text(99, &[b"<h1>no</h1>\r\n\x1b[31m", b"way\0"]), "<h1>no</h1> [31mway");
        assert_eq!(text(4, &[b"ab", b"cdef", b"g"]), "abcd");
        assert_eq!(text(5, &["abéé".as_bytes()]), "abé", "a cut character is left out");
        assert_eq!(text(9, &[b"ab\xff"]), "ab\u{fffd}");
        assert_eq!(text(4, &[b"\xff\xff\xff\xff"]), "\u{fffd}");
        assert_eq!(text(9, &[]), "");
    }
}
