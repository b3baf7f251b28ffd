//! Parameters of a query, by the names and types of the request's fields (A2A 1.0 section 11.5): camelCase, or the
//! contract's snake_case.
//!
//! Query values are text. Where the reader of requests wants more, it is made of it here; what cannot be is left for that
//! reader to refuse under the field's name. Parameters that no request has are passed over, and empty ones count as
//! absent.

use serde_json::{Map, Value};
use url::form_urlencoded;

use super::Form;
use crate::error::{Error, Result, Violation};

/// What a parameter's text means.
#[derive(Clone, Copy)]
enum Kind {
    /// Itself, or a number in digits.
    Text,
    /// `true` or `false`.
    Flag,
    /// A word, or its number.
    Word,
    /// A time.
    Time,
}

/// Each parameter: the field's name in the contract, other names, and its kind.
const PARAMETERS: [(&str, &[&str], Kind); 8] = [
    ("tenant", &[], Kind::Text),
    ("context_id", &["contextId"], Kind::Text),
    ("status", &[], Kind::Word),
    ("page_size", &["pageSize"], Kind::Text),
    ("page_token", &["pageToken"], Kind::Text),
    ("history_length", &["historyLength"], Kind::Text),
    // By the other names the Go SDK calls it, in its 1.0 and its 0.3.
    (
        "status_timestamp_after",
        &["statusTimestampAfter", "lastUpdatedAfter", "last_updated_after", "lastUpdatedTime", "last_updated_time"],
        Kind::Time,
    ),
    ("include_artifacts", &["includeArtifacts"], Kind::Flag),
];

/// Reads a query as a request's fields, under their names in the contract.
///
/// # Errors
/// `InvalidArgument` naming every parameter that is given twice.
pub fn read(query: Option<&str>, form: Form) -> Result<Value> {
    let mut fields = Map::new();
    let mut twice = Vec::new();
    for (name, value) in form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
        let known = |(own, others, _): &&(&str, &[&str], Kind)| *own == name || others.contains(&&*name);
        let Some((field, _, kind)) = PARAMETERS.iter().find(known).filter(|_| !value.is_empty()) else { continue };
        if fields.insert((*field).to_owned(), typed(*kind, &value)).is_some() {
            twice.push(Violation { field: (*field).to_owned(), description: "must be given only once".to_owned() });
        }
    }
    if form == Form::V03 {
        fields.remove("tenant");
    }
    if twice.is_empty() { Ok(Value::Object(fields)) } else { Err(Error::violations(twice)) }
}

fn typed(kind: Kind, text: &str) -> Value {
    match kind {
        Kind::Flag if text.eq_ignore_ascii_case("true") => true.into(),
        Kind::Flag if text.eq_ignore_ascii_case("false") => false.into(),
        Kind::Word => text.parse::<i32>().map_or_else(|_| text.into(), Value::from),
        Kind::Time => with_plus(text).into(),
        Kind::Text | Kind::Flag => text.into(),
    }
}

/// The time with the plus of its offset, which a query that was not encoded loses: it stands for a space there.
fn with_plus(text: &str) -> String {
    match text.rsplit_once(' ') {
        Some((time, offset)) if time.contains('T') => format!("{time}+{offset}"),
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn parameters_have_two_spellings_and_their_types() {
        let after = "2026-01-02T03:04:05+01:00";
        let expected = json!({
            "context_id": "a b&c", "status": "TASK_STATE_WORKING", "page_size": "5", "page_token": "t+/=", "tenant": "acme",
            "history_length": "0", "status_timestamp_after": after, "include_artifacts": true,
        });
        for query in [
            "contextId=a+b%26c&status=TASK_STATE_WORKING&pageSize=5&pageToken=t%2B%2F%3D&tenant=acme&historyLength=0\
             &statusTimestampAfter=2026-01-02T03:04:05%2B01:00&includeArtifacts=true",
            "context_id=a%20b%26c&status=TASK_STATE_WORKING&page_size=5&page_token=t%2B%2F%3D&tenant=acme&history_length=0\
             &status_timestamp_after=2026-01-02T03:04:05+01:00&include_artifacts=True&unknown=1&unknown=2&A2A-Version=1.0",
            "contextId=a+b%26c&status=TASK_STATE_WORKING&pageSize=5&pageToken=t%2B%2F%3D&tenant=acme&historyLength=0\
             &lastUpdatedAfter=2026-01-02T03:04:05%2B01:00&includeArtifacts=TRUE",
        ] {
            assert_eq!(read(Some(query), Form::V1), Ok(expected.clone()), "{query}");
        }
        let v03 = read(Some("tenant=acme&lastUpdatedTime=2026-01-02T03:04:05Z"), Form::V03).unwrap();
        assert_eq!(v03, json!({"status_timestamp_after": "2026-01-02T03:04:05Z"}));
        assert_eq!(
            read(Some("status=2&includeArtifacts=no"), Form::V1),
            Ok(json!({"status": 2, "include_artifacts": "no"}))
        );
    }

    #[test]
    fn empty_parameters_are_absent() {
        for query in [None, Some(""), Some("&&"), Some("pageToken=&status=&pageSize&historyLength="), Some("=&=1")] {
            assert_eq!(read(query, Form::V1), Ok(json!({})), "{query:?}");
        }
    }

    #[test]
    fn a_parameter_that_is_given_twice_is_named() {
        let error = read(Some("pageSize=1&status=2&page_size=2&status=2&contextId=c"), Form::V1).unwrap_err();
        let named: Vec<_> = error.field_violations().iter().map(|violation| violation.field.as_str()).collect();
        assert_eq!(named, ["page_size", "status"]);
    }
}
