//! What a failed call means (WIRE 7.1, 7.5).

use std::{error::Error as StdError, time::Duration};

use http::StatusCode;
use tonic::{Code, Status};
use tonic_types::{ErrorDetail, StatusExt as _};

use super::{
    carrier::{NotGrpc, Sent, answered},
    target::root_cause,
};
use crate::{
    agent::a2a::CallError,
    error::ErrorKind,
    task::Dialect,
    wire::fault::{kind, one_line},
};

/// The longest pause that is believed.
const LONGEST_AFTER: Duration = Duration::from_secs(24 * 3600);

/// What a failed call means. `cancels`: it was a call to cancel a task.
pub(super) fn fault(status: &Status, sent: &Sent, cancels: bool) -> CallError {
    if answered(status) {
        return refusal(status, cancels);
    }
    if let Some(answer) = cause::<NotGrpc>(status) {
        return not_grpc(answer);
    }
    if !sent.get() {
        return CallError::Unreached(format!("cannot connect to the agent: {}", one_line(&root_cause(status))));
    }
    if let Some(broken) = cause::<h2::Error>(status) {
        return broken_connection(broken);
    }
    let what = one_line(&root_cause(status));
    // Errors of the connection have a source; what is wrong with a message's bytes is told by tonic itself.
    match status.code() {
        _ if status.source().is_some() => CallError::Lost(format!("the connection to the agent broke: {what}")),
        Code::Unknown | Code::Cancelled => CallError::Lost("the agent's answer ended before its end".to_owned()),
        code => {
            let why = one_line(status.message());
            CallError::Malformed(match why.split_once("too large: ") {
                Some((_, sizes)) if code == Code::OutOfRange => {
                    format!("the agent's answer is larger than allowed: {sizes}")
                }
                _ => format!("the agent's answer cannot be read: {why}"),
            })
        }
    }
}

/// What the agent, or a proxy before it, says.
fn refusal(status: &Status, cancels: bool) -> CallError {
    let text = match one_line(status.message()) {
        text if text.is_empty() => format!("{}, without a message", status.code().description()),
        text => text,
    };
    if let Some(kind) = named(status) {
        return CallError::Refused { kind: Some(kind), text };
    }
    let refused = |kind| CallError::Refused { kind, text: text.clone() };
    match status.code() {
        Code::NotFound => refused(Some(ErrorKind::TaskNotFound)),
        Code::InvalidArgument | Code::OutOfRange => refused(Some(ErrorKind::InvalidArgument)),
        Code::FailedPrecondition if cancels => refused(Some(ErrorKind::TaskNotCancelable)),
        Code::FailedPrecondition | Code::Unimplemented => refused(Some(ErrorKind::UnsupportedOperation)),
        Code::Unauthenticated | Code::PermissionDenied => credentials(&text),
        // What gRPC's servers say of a request above their limit; it will be no smaller next time.
        Code::ResourceExhausted if text.contains("larger than max") => refused(None),
        Code::Unavailable | Code::ResourceExhausted => CallError::busy(text, retry_after(status)),
        Code::DeadlineExceeded | Code::Cancelled => CallError::Lost(format!("the agent broke the call off: {text}")),
        _ => refused(None),
    }
}

/// What the error is called in A2A: by its details, or, as 0.3's Python SDK does, at the beginning of its message:
/// `TaskNotFoundError: …`.
fn named(status: &Status) -> Option<ErrorKind> {
    let details = status.get_error_details_vec();
    let mut reasons = details.iter().filter_map(|detail| match detail {
        ErrorDetail::ErrorInfo(info) => Some(info.reason.as_str()),
        _ => None,
    });
    reasons.find_map(|reason| kind(Some(reason), None, Dialect::V1)).or_else(|| {
        let (name, _) = status.message().split_once(':')?;
        kind(Some(&screaming(name.trim().strip_suffix("Error")?)), None, Dialect::V03)
    })
}

/// `TaskNotFound` as `TASK_NOT_FOUND`.
fn screaming(camel: &str) -> String {
    let mut name = String::with_capacity(camel.len() + 8);
    for c in camel.chars() {
        if c.is_ascii_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.push(c.to_ascii_uppercase());
    }
    name
}

fn credentials(text: &str) -> CallError {
    CallError::Refused { kind: None, text: format!("the agent refused the gateway's credentials: {text}") }
}

/// When to try again, as gRPC's error details or its retry metadata say it; a negative time there means never.
fn retry_after(status: &Status) -> Option<Duration> {
    let pushback = || {
        let millis = status.metadata().get("grpc-retry-pushback-ms")?.to_str().ok()?;
        millis.parse().ok().map(Duration::from_millis)
    };
    let after = status.get_details_retry_info().and_then(|info| info.retry_delay).or_else(pushback);
    after.map(|after| after.min(LONGEST_AFTER))
}

/// An answer of something that does not speak gRPC, such as a proxy that cannot reach the agent.
fn not_grpc(answer: &NotGrpc) -> CallError {
    let what = answer.to_string();
    match answer.status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::PROXY_AUTHENTICATION_REQUIRED => {
            credentials(&what)
        }
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
            let after = answer.retry_after.map(|after| after.min(LONGEST_AFTER));
            CallError::busy(format!("the agent is busy: {what}"), after)
        }
        StatusCode::BAD_GATEWAY | StatusCode::GATEWAY_TIMEOUT | StatusCode::REQUEST_TIMEOUT => {
            CallError::Lost(format!("the way to the agent is broken: {what}"))
        }
        _ => CallError::Malformed(format!("the agent's address answered {what}")),
    }
}

/// A connection, or a stream on it, that HTTP/2 says is broken.
fn broken_connection(error: &h2::Error) -> CallError {
    let what = one_line(&error.to_string());
    let reason = error.reason();
    // The peer says so of streams only that it has not looked at.
    let unseen = error.is_remote()
        && (reason == Some(h2::Reason::REFUSED_STREAM) || error.is_go_away() && reason == Some(h2::Reason::NO_ERROR));
    if unseen {
        CallError::Unreached(format!("the agent closed the connection before it took the call: {what}"))
    } else if error.is_library() {
        CallError::Malformed(format!("the agent's address does not speak HTTP/2 properly: {what}"))
    } else {
        CallError::Lost(format!("the connection to the agent broke: {what}"))
    }
}

/// The error of this type among the causes.
fn cause<E: StdError + 'static>(status: &Status) -> Option<&E> {
    let mut cause: Option<&(dyn StdError + 'static)> = Some(status);
    while let Some(error) = cause {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        cause = error.source();
    }
    None
}
