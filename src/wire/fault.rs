//! Errors on the JSON wire: the one table of reasons and codes, and how an agent's error is read by it.
//!
//! What the table names is a promise to clients: reasons and codes never change. Read it is more loosely: by the reason
//! before the code, and in any of the bodies that agents are known to send (WIRE 7.3, 7.5, 7.6).

use serde_json::Value;

use crate::{error::ErrorKind, task::Dialect};

/// The longest text that an agent's error yields, in characters.
const MAX_TEXT: usize = 300;

/// The names of one kind of error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Names {
    /// `google.rpc.ErrorInfo.reason`.
    pub reason: &'static str,
    /// The JSON-RPC code in A2A 1.0.
    pub v1: i32,
    /// The JSON-RPC code in A2A 0.3, which has neither -32008 nor -32009.
    pub v03: i32,
    /// The JSON-RPC code in PraisonAI's dialect, which has -32000 and -32002 only.
    pub praison: i32,
}

/// The kinds that A2A has a name for: what an agent's error can mean. All others are the gateway's own.
pub const NAMED: [ErrorKind; 10] = [
    ErrorKind::InvalidArgument,
    ErrorKind::TaskNotFound,
    ErrorKind::TaskNotCancelable,
    ErrorKind::PushNotificationNotSupported,
    ErrorKind::UnsupportedOperation,
    ErrorKind::ContentTypeNotSupported,
    ErrorKind::InvalidAgentResponse,
    ErrorKind::ExtendedAgentCardNotConfigured,
    ErrorKind::ExtensionSupportRequired,
    ErrorKind::VersionNotSupported,
];

/// The names of an error kind.
pub fn names(kind: ErrorKind) -> Names {
    use ErrorKind as K;
    let (reason, [v1, v03, praison]) = match kind {
        // The name that the official SDKs know, though the specification's table lacks it.
        K::InvalidArgument => ("INVALID_PARAMS", [-32602, -32602, -32602]),
        K::TaskNotFound => ("TASK_NOT_FOUND", [-32001, -32001, -32000]),
        K::TaskNotCancelable => ("TASK_NOT_CANCELABLE", [-32002, -32002, -32002]),
        K::PushNotificationNotSupported => ("PUSH_NOTIFICATION_NOT_SUPPORTED", [-32003, -32003, -32601]),
        K::UnsupportedOperation => ("UNSUPPORTED_OPERATION", [-32004, -32004, -32600]),
        K::ContentTypeNotSupported => ("CONTENT_TYPE_NOT_SUPPORTED", [-32005, -32005, -32600]),
        K::InvalidAgentResponse => ("INVALID_AGENT_RESPONSE", [-32006, -32006, -32603]),
        K::ExtendedAgentCardNotConfigured => ("EXTENDED_AGENT_CARD_NOT_CONFIGURED", [-32007, -32007, -32600]),
        K::ExtensionSupportRequired => ("EXTENSION_SUPPORT_REQUIRED", [-32008, -32004, -32600]),
        K::VersionNotSupported => ("VERSION_NOT_SUPPORTED", [-32009, -32004, -32600]),
        K::AgentNotFound => ("AGENT_NOT_FOUND", [-32001, -32001, -32000]),
        K::RequestIdReused => ("REQUEST_ID_REUSED", [-32602, -32602, -32602]),
        K::SequenceTrimmed => ("SEQUENCE_TRIMMED", [-32602, -32602, -32602]),
        K::SequenceAhead => ("SEQUENCE_AHEAD", [-32602, -32602, -32602]),
        K::CursorTrimmed => ("CURSOR_TRIMMED", [-32602, -32602, -32602]),
        K::Conflict => ("CONFLICT", [-32603, -32603, -32603]),
        K::RequestTooLarge => ("REQUEST_TOO_LARGE", [-32600, -32600, -32600]),
        K::StoreFull => ("STORE_FULL", [-32603, -32603, -32603]),
        K::Unavailable => ("UNAVAILABLE", [-32603, -32603, -32603]),
        K::Internal => ("INTERNAL", [-32603, -32603, -32603]),
    };
    Names { reason, v1, v03, praison }
}

/// What an agent's error means: by its reason, else by its JSON-RPC code. None: an internal error, or one that A2A has
/// no name for.
pub fn kind(reason: Option<&str>, code: Option<i64>, dialect: Dialect) -> Option<ErrorKind> {
    reason.and_then(by_reason).or_else(|| by_code(code?, dialect))
}

/// What an HTTP status means in an answer that an agent gave on purpose, with a body of its own: the last resort, since
/// 1.0's older text, its newer one and the SDKs of 0.3 use different ones.
pub fn by_status(status: u16) -> Option<ErrorKind> {
    match status {
        400 | 422 => Some(ErrorKind::InvalidArgument),
        404 => Some(ErrorKind::TaskNotFound),
        409 => Some(ErrorKind::TaskNotCancelable),
        415 => Some(ErrorKind::ContentTypeNotSupported),
        501 => Some(ErrorKind::UnsupportedOperation),
        _ => None,
    }
}

/// Reads an agent's error: what it means, and what it says in one line. Takes the `error` of a JSON-RPC answer, or the
/// whole body of a REST one, in any of the shapes that 1.0 and 0.3 have for it.
pub fn read(error: &Value, dialect: Dialect) -> (Option<ErrorKind>, String) {
    let error = error.get("error").filter(|inner| !inner.is_null()).unwrap_or(error);
    let reason = ["data", "details"].into_iter().find_map(|name| reason(error.get(name)?));
    let code = error.get("code").and_then(Value::as_i64);
    let status = code.and_then(|code| u16::try_from(code).ok());
    let kind = kind(reason, code, dialect)
        .or_else(|| by_grpc_name(error.get("status")?.as_str()?))
        .or_else(|| by_status(status?));
    (kind, said(error, code))
}

/// One line for people: control characters and line breaks become spaces, and long text is cut.
pub fn one_line(text: &str) -> String {
    let mut line = String::new();
    let blank = |c: char| c.is_whitespace() || c.is_control();
    let words = text.split(blank).filter(|word| !word.is_empty());
    let mut room = MAX_TEXT;
    for word in words {
        if !line.is_empty() {
            line.push(' ');
            room = room.saturating_sub(1);
        }
        if let Some((end, _)) = word.char_indices().nth(room) {
            line.push_str(&word[..end]);
            line.push('…');
            break;
        }
        line.push_str(word);
        room -= word.chars().count();
    }
    line
}

fn by_reason(reason: &str) -> Option<ErrorKind> {
    match reason {
        // The official Rust SDK's name, 0.3's name, and what gRPC libraries put where A2A's name should be.
        "UNSUPPORTED_CONTENT_TYPE" => Some(ErrorKind::ContentTypeNotSupported),
        "AUTHENTICATED_EXTENDED_CARD_NOT_CONFIGURED" => Some(ErrorKind::ExtendedAgentCardNotConfigured),
        "INVALID_ARGUMENT" | "INVALID_REQUEST" => Some(ErrorKind::InvalidArgument),
        "METHOD_NOT_FOUND" => Some(ErrorKind::UnsupportedOperation),
        _ => NAMED.into_iter().find(|kind| names(*kind).reason == reason),
    }
}

/// By the codes of 1.0, of which 0.3's are a part; PraisonAI's agents use -32000 and -32002 only.
fn by_code(code: i64, dialect: Dialect) -> Option<ErrorKind> {
    match (dialect, code) {
        (_, -32601) => Some(ErrorKind::UnsupportedOperation),
        // Some SDKs say so of bad parameters.
        (Dialect::V1 | Dialect::V03, -32600) => Some(ErrorKind::InvalidArgument),
        (Dialect::Praison, -32600 | -32603) => None,
        (Dialect::Praison, _) => NAMED.into_iter().find(|kind| i64::from(names(*kind).praison) == code),
        (Dialect::V1 | Dialect::V03, _) => NAMED.into_iter().find(|kind| i64::from(names(*kind).v1) == code),
    }
}

/// By the name of a gRPC code, which 1.0's REST bodies hold.
fn by_grpc_name(status: &str) -> Option<ErrorKind> {
    match status {
        "NOT_FOUND" => Some(ErrorKind::TaskNotFound),
        "INVALID_ARGUMENT" => Some(ErrorKind::InvalidArgument),
        "UNIMPLEMENTED" => Some(ErrorKind::UnsupportedOperation),
        _ => None,
    }
}

/// The reason that error details hold: a list of them, or a single one. The first that A2A knows, else the first.
fn reason(details: &Value) -> Option<&str> {
    let Some(list) = details.as_array() else { return details.get("reason")?.as_str() };
    let reasons = || list.iter().filter_map(|detail| detail.get("reason")?.as_str());
    reasons().find(|reason| by_reason(reason).is_some()).or_else(|| reasons().next())
}

/// What the error says: its message, in whichever member frameworks put it, and what its data adds in words.
fn said(error: &Value, code: Option<i64>) -> String {
    let member = |name: &str| error.get(name).and_then(Value::as_str);
    let message = error.as_str().or_else(|| ["message", "detail", "title"].into_iter().find_map(member));
    let message = one_line(message.unwrap_or_default());
    let more = member("data").map(one_line).unwrap_or_default();
    match (message.is_empty(), more.is_empty()) {
        (false, true) => message,
        (false, false) => one_line(&format!("{message}: {more}")),
        (true, false) => more,
        (true, true) => code.map_or_else(|| "no message".to_owned(), |code| format!("code {code}, no message")),
    }
}
