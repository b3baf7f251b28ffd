//! The JSON-RPC 2.0 envelope: reading requests, writing answers.
//!
//! An id is kept as the text it came as, so that it goes back exactly so. A request without one is answered with the id
//! null, as A2A's SDKs do: no method of A2A is a notification.

use std::{borrow::Cow, sync::Arc};

use bytes::{BufMut as _, BytesMut};
use serde::Deserialize;
use serde_json::{error::Category, value::RawValue};

use crate::server::status::RpcError;

/// The longest id in bytes, since every event of a stream repeats it.
const MAX_ID: usize = 1024;

/// A request's id: the JSON text of a string or an integer, or `null`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Id(Arc<str>);

impl Id {
    /// The id of answers to what has none, or none that can be read.
    pub fn null() -> Self {
        Self::of("null")
    }

    /// The id of this JSON text, which must be one.
    pub fn of(json: &str) -> Self {
        Self(json.into())
    }

    fn read(raw: Option<&RawValue>) -> Result<Self, RpcError> {
        let Some(text) = raw.map(RawValue::get) else { return Ok(Self::null()) };
        if text.len() > MAX_ID {
            return Err(RpcError::invalid_request(&format!("Invalid Request: id must be at most {MAX_ID} bytes long")));
        }
        let is_integer = || text.strip_prefix('-').unwrap_or(text).bytes().all(|byte| byte.is_ascii_digit());
        // What is skipped over may hold half a surrogate pair, which the client could not read back.
        let is_text = || text.starts_with('"') && text_of(raw).is_some();
        if text == "null" || is_text() || is_integer() {
            Ok(Self::of(text))
        } else {
            Err(RpcError::invalid_request("Invalid Request: id must be a string, an integer or null"))
        }
    }
}

/// What a body holds.
#[derive(Debug)]
pub enum Body<'a> {
    /// One request, or what claims to be one.
    One(&'a str),
    /// A batch of such.
    Batch(Vec<&'a RawValue>),
}

/// One request.
#[derive(Debug)]
pub struct Request<'a> {
    /// Its id.
    pub id: Id,
    /// The method.
    pub method: Cow<'a, str>,
    /// The parameters; none when there are none.
    pub params: Option<&'a RawValue>,
}

/// A request that cannot be carried out, and the id to say so to.
#[derive(Debug)]
pub struct Refusal {
    /// The request's id, as far as it could be read.
    pub id: Id,
    /// Why.
    pub error: RpcError,
}

/// Tells a batch from a single request.
///
/// # Errors
/// -32700 when the body is not JSON in UTF-8; -32600 when the batch is empty or has more than `max_batch` requests.
pub fn body(bytes: &[u8], max_batch: usize) -> Result<Body<'_>, RpcError> {
    let text = std::str::from_utf8(bytes).map_err(|_| RpcError::parse("Parse error: the body is not UTF-8"))?;
    let text = text.trim_ascii();
    if !text.starts_with('[') {
        return Ok(Body::One(text));
    }
    let requests: Vec<&RawValue> = serde_json::from_str(text).map_err(|_| not_json())?;
    if requests.is_empty() {
        return Err(RpcError::invalid_request("Invalid Request: the batch is empty"));
    }
    if requests.len() > max_batch {
        let message = format!("Invalid Request: the batch has {} requests; {max_batch} are allowed", requests.len());
        return Err(RpcError::invalid_request(&message));
    }
    Ok(Body::Batch(requests))
}

/// Reads one request.
///
/// # Errors
/// -32700 when it is not JSON, -32600 when it is not a request.
pub fn request(text: &str) -> Result<Request<'_>, Refusal> {
    let Members { jsonrpc, id, method, params } = serde_json::from_str(text).map_err(|cause| {
        let error = match cause.classify() {
            Category::Data => RpcError::invalid_request("Invalid Request: must be an object without repeated members"),
            Category::Io | Category::Syntax | Category::Eof => not_json(),
        };
        Refusal { id: Id::null(), error }
    })?;
    let id = Id::read(id).map_err(|error| Refusal { id: Id::null(), error })?;
    let refuse = |message| Refusal { id: id.clone(), error: RpcError::invalid_request(message) };
    if text_of(jsonrpc).as_deref() != Some("2.0") {
        return Err(refuse("Invalid Request: jsonrpc must be '2.0'"));
    }
    let method = text_of(method).ok_or_else(|| refuse("Invalid Request: method must be a string"))?;
    Ok(Request { id, method, params })
}

#[derive(Deserialize)]
struct Members<'a> {
    #[serde(borrow, default)]
    jsonrpc: Option<&'a RawValue>,
    #[serde(borrow, default)]
    id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    method: Option<&'a RawValue>,
    #[serde(borrow, default)]
    params: Option<&'a RawValue>,
}

fn text_of(raw: Option<&RawValue>) -> Option<Cow<'_, str>> {
    #[derive(Deserialize)]
    struct Text<'a>(#[serde(borrow)] Cow<'a, str>);
    serde_json::from_str(raw?.get()).ok().map(|Text(text)| text)
}

fn not_json() -> RpcError {
    RpcError::parse("Parse error: invalid JSON")
}

/// Writes the answer with a result, which is JSON already. There is no `error` member: clients stumble over a null one.
pub fn write_success(out: &mut BytesMut, id: &Id, result: &[u8]) {
    out.reserve(result.len() + id.0.len() + 48);
    out.put_slice(br#"{"jsonrpc":"2.0","id":"#);
    out.put_slice(id.0.as_bytes());
    out.put_slice(br#","result":"#);
    out.put_slice(result);
    out.put_u8(b'}');
}

/// Writes the answer with an error.
pub fn write_failure(out: &mut BytesMut, id: &Id, error: &RpcError) {
    out.put_slice(br#"{"jsonrpc":"2.0","id":"#);
    out.put_slice(id.0.as_bytes());
    out.put_slice(br#","error":"#);
    out.put_slice(serde_json::json!(error).to_string().as_bytes());
    out.put_u8(b'}');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> (String, i32) {
        let refusal = request(text).unwrap_err();
        (refusal.id.0.to_string(), refusal.error.code)
    }

    #[test]
    fn ids_go_back_as_they_came() {
        for id in [r#""1""#, "1", "-7", "null", r#""ä\u00e4\n""#, "123456789012345678901234567890", r#""""#] {
            let text = format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"GetTask"}}"#);
            let mut out = BytesMut::new();
            write_success(&mut out, &request(&text).unwrap().id, b"{}");
            assert_eq!(out, format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{}}}}"#));
        }
        assert_eq!(request(r#"{"jsonrpc":"2.0","method":"m"}"#).unwrap().id, Id::null());
    }

    #[test]
    fn other_ids_are_refused() {
        let long = format!("\"{}\"", "x".repeat(MAX_ID));
        for id in ["1.5", "1e3", "1.0", "true", "{}", "[1]", r#""\ud800""#, long.as_str()] {
            let text = format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"GetTask"}}"#);
            assert_eq!(refused(&text), ("null".to_owned(), -32600), "{id}");
        }
    }

    #[test]
    fn what_is_not_a_request_is_refused_with_its_id() {
        for (text, id, code) in [
            ("not json", "null", -32700),
            ("", "null", -32700),
            (r#"{"jsonrpc":"2.0","id":1,"method":"m""#, "null", -32700),
            ("3", "null", -32600),
            ("\"text\"", "null", -32600),
            ("null", "null", -32600),
            ("{}", "null", -32600),
            (r#"{"jsonrpc":"1.0","id":1,"method":"m"}"#, "1", -32600),
            (r#"{"jsonrpc":2.0,"id":1,"method":"m"}"#, "1", -32600),
            (r#"{"id":"a","method":"m"}"#, "\"a\"", -32600),
            (r#"{"jsonrpc":"2.0","id":1}"#, "1", -32600),
            (r#"{"jsonrpc":"2.0","id":1,"method":7}"#, "1", -32600),
            (r#"{"jsonrpc":"2.0","id":1,"id":2,"method":"m"}"#, "null", -32600),
        ] {
            assert_eq!(refused(text), (id.to_owned(), code), "{text}");
        }
    }

    #[test]
    fn methods_may_be_escaped_and_params_absent() {
        let read = request(r#" {"jsonrpc":"2.0","method":"Get\u0054ask","params":null,"more":[1]} "#).unwrap();
        assert_eq!(read.method, "GetTask");
        assert!(read.params.is_none());
        let read = request(r#"{"jsonrpc":"2.0","method":"m","params":{"a": 1}}"#).unwrap();
        assert_eq!(read.params.unwrap().get(), r#"{"a": 1}"#);
    }

    #[test]
    fn batches_are_told_apart_and_bounded() {
        assert!(matches!(body(b" \n{}", 2), Ok(Body::One("{}"))));
        let Ok(Body::Batch(requests)) = body(b" [1, {\"a\":2}]", 2) else { panic!("not a batch") };
        assert_eq!(requests.iter().map(|raw| raw.get()).collect::<Vec<_>>(), ["1", "{\"a\":2}"]);
        for (bytes, code) in
            [(&b"[]"[..], -32600), (b"[1,2,3]", -32600), (b"[1,", -32700), (b"[1}", -32700), (b"{\"\xff\"}", -32700)]
        {
            assert_eq!(body(bytes, 2).unwrap_err().code, code, "{bytes:?}");
        }
    }

    #[test]
    fn failures_have_code_message_and_data_only() {
        let mut out = BytesMut::new();
        write_failure(&mut out, &Id::null(), &RpcError::method_not_found("no\"pe"));
        let json: serde_json::Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(
            json,
            serde_json::json!({"jsonrpc": "2.0", "id": null, "error": {"code": -32601, "message": "Method not found: no\"pe"}})
        );
    }
}
