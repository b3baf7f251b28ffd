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
        // JSON-RPC and A2A have no code for it: that of the official Go SDK, in the only dialect that it says it in.
        K::Unauthenticated => ("UNAUTHENTICATED", [-31401, -32600, -32600]),
        K::AgentNotFound => ("AGENT_NOT_FOUND", [-32001, -32001, -32000]),
        K::WebhookNotFound => ("WEBHOOK_NOT_FOUND", [-32001, -32001, -32000]),
        K::DeliveryNotFound => ("DELIVERY_NOT_FOUND", [-32001, -32001, -32000]),
        K::WebhookLimit => ("WEBHOOK_LIMIT", [-32602, -32602, -32602]),
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

/// The reason that error details hold: a list of them, also as `details` of an object, or a single one. The first that
/// A2A knows, else the first.
fn reason(details: &Value) -> Option<&str> {
    let list = details.get("details").unwrap_or(details).as_array();
    let Some(list) = list else { return details.get("reason")?.as_str() };
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const DIALECTS: [Dialect; 3] = [Dialect::V1, Dialect::V03, Dialect::Praison];

    #[test]
    fn what_the_table_writes_reads_back() {
        for kind in NAMED {
            let names = names(kind);
            for dialect in DIALECTS {
                assert_eq!(super::kind(Some(names.reason), Some(-32603), dialect), Some(kind));
            }
            for dialect in [Dialect::V1, Dialect::V03] {
                assert_eq!(super::kind(None, Some(names.v1.into()), dialect), Some(kind));
                assert_eq!(super::kind(Some("SOMETHING_ELSE"), Some(names.v1.into()), dialect), Some(kind));
            }
        }
    }

    #[test]
    fn codes_that_dialects_share_or_have_alone() {
        use ErrorKind::{InvalidArgument, TaskNotCancelable, TaskNotFound, UnsupportedOperation};
        for (code, v1, v03, praison) in [
            (-32001, Some(TaskNotFound), Some(TaskNotFound), None),
            (-32000, None, None, Some(TaskNotFound)),
            (-32002, Some(TaskNotCancelable), Some(TaskNotCancelable), Some(TaskNotCancelable)),
            (-32602, Some(InvalidArgument), Some(InvalidArgument), Some(InvalidArgument)),
            (-32601, Some(UnsupportedOperation), Some(UnsupportedOperation), Some(UnsupportedOperation)),
            (-32600, Some(InvalidArgument), Some(InvalidArgument), None),
            (-32603, None, None, None),
            (-32700, None, None, None),
            (-31401, None, None, None),
            (0, None, None, None),
            (i64::MIN, None, None, None),
        ] {
            let read = DIALECTS.map(|dialect| kind(None, Some(code), dialect));
            assert_eq!(read, [v1, v03, praison], "{code}");
        }
        assert_eq!(kind(None, None, Dialect::V1), None);
        assert_eq!(kind(Some("UNSUPPORTED_CONTENT_TYPE"), None, Dialect::V1), Some(ErrorKind::ContentTypeNotSupported));
        assert_eq!(kind(Some("STORE_FULL"), None, Dialect::V1), None, "the gateway's own names mean nothing to it");
    }

    #[test]
    fn errors_are_read_in_every_known_shape() {
        let info = |reason: &str| json!({"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason});
        let found = Some(ErrorKind::TaskNotFound);
        for (dialect, body, kind, text) in [
            // JSON-RPC: 1.0 with details, also behind another detail; 0.3; PraisonAI.
            (
                Dialect::V1,
                json!({"code": -32001, "message": "No t-9", "data": [info("TASK_NOT_FOUND")]}),
                found,
                "No t-9",
            ),
            (
                Dialect::V1,
                json!({"code": -32603, "message": "no",
                    "data": [{"@type": "x", "a": 1}, info("ODD"), info("TASK_NOT_FOUND")]}),
                found,
                "no",
            ),
            (Dialect::V03, json!({"code": -32001, "message": "Task not found", "data": null}), found, "Task not found"),
            (
                Dialect::V03,
                json!({"code": -32603, "message": "gone", "data": {"details": [info("TASK_NOT_FOUND")]}}),
                found,
                "gone",
            ),
            (Dialect::Praison, json!({"code": -32000, "message": "Task not found: t"}), found, "Task not found: t"),
            (Dialect::V1, json!({"code": -32603, "message": "Internal error"}), None, "Internal error"),
            (Dialect::V03, json!({"code": -32603, "message": "Internal", "data": "boom"}), None, "Internal: boom"),
            (
                Dialect::V03,
                json!({"code": -32602, "data": [{"loc": ["x"]}]}),
                Some(ErrorKind::InvalidArgument),
                "code -32602, no message",
            ),
            // A whole JSON-RPC answer.
            (Dialect::V1, json!({"jsonrpc": "2.0", "id": null, "error": {"code": -32001, "message": "m"}}), found, "m"),
            // 1.0 REST, with and without details.
            (
                Dialect::V1,
                json!({"error": {"code": 400, "status": "FAILED_PRECONDITION", "message": "settled",
                    "details": [info("TASK_NOT_CANCELABLE")]}}),
                Some(ErrorKind::TaskNotCancelable),
                "settled",
            ),
            (Dialect::V1, json!({"error": {"code": 404, "status": "NOT_FOUND", "message": "gone"}}), found, "gone"),
            (Dialect::V1, json!({"error": {"code": 500, "status": "INTERNAL", "message": "bad day"}}), None, "bad day"),
            // 0.3 REST: Python's, JavaScript's, and what compatibility layers send.
            (Dialect::V03, json!({"message": "Task not found"}), None, "Task not found"),
            (Dialect::V03, json!({"code": -32001, "message": "Task not found"}), found, "Task not found"),
            (
                Dialect::V03,
                json!({"error": {"code": 404, "message": "gone", "details": [info("TASK_NOT_FOUND")]}}),
                found,
                "gone",
            ),
            // Frameworks.
            (Dialect::Praison, json!({"detail": "Authorization required"}), None, "Authorization required"),
            (Dialect::V1, json!({"title": "Not Acceptable"}), None, "Not Acceptable"),
            (Dialect::V1, json!({"error": "overloaded"}), None, "overloaded"),
            (Dialect::V1, json!("overloaded"), None, "overloaded"),
            (Dialect::V1, json!({"data": {"reason": "TASK_NOT_FOUND"}}), found, "no message"),
            (Dialect::V1, json!({"code": "x", "message": 1, "data": 2, "details": {}}), None, "no message"),
            (Dialect::V1, json!(null), None, "no message"),
            (Dialect::V1, json!([]), None, "no message"),
        ] {
            assert_eq!(read(&body, dialect), (kind, text.to_owned()), "{body}");
        }
    }

    #[test]
    fn texts_are_one_line_of_a_bounded_length() {
        assert_eq!(one_line("  a\r\n\tb\u{0}c \u{1b}[31mred\u{7f} "), "a b c [31mred");
        assert_eq!(one_line(" \n "), "");
        for text in ["é".repeat(10_000), "word ".repeat(10_000), format!("{} {}", "x".repeat(299), "y".repeat(9))] {
            let line = one_line(&text);
            assert!(line.chars().count() <= MAX_TEXT + 1, "{}", line.chars().count());
            assert!(line.ends_with('…'), "{line}");
        }
        assert_eq!(one_line(&"x".repeat(MAX_TEXT)), "x".repeat(MAX_TEXT));
    }
}
