//! What went wrong with a request that got no answer.

use std::{error::Error as StdError, io};

use url::Url;

use super::SendSettings;
use crate::{
    webhook::{Failure, guard::DialError},
    wire::fault::one_line,
};

/// A request that got no answer. The words come from the causes; the outer errors would name the URL.
pub(super) fn failure(error: &reqwest::Error, url: &Url, settings: &SendSettings) -> Failure {
    match find::<DialError>(error) {
        Some(DialError::Refused(why)) => return Failure::Refused(why.clone()),
        Some(DialError::Unresolved(why)) => return Failure::Resolve(why.clone()),
        None => {}
    }
    if error.is_builder() {
        return Failure::Refused("the URL cannot be called".to_owned());
    }
    if let Some(tls) = find::<rustls::Error>(error) {
        return Failure::Tls(tls_words(tls));
    }
    if error.is_connect() {
        let limit = settings.connect_timeout.min(settings.timeout);
        return unconnected(error, url.scheme() == "https", limit);
    }
    if error.is_timeout() {
        return Failure::Timeout("the connection went silent".to_owned());
    }
    Failure::Broken(broken(error))
}

/// No connection, or none that TLS could be spoken on.
fn unconnected(error: &reqwest::Error, secure: bool, limit: std::time::Duration) -> Failure {
    let kind = kind(error);
    match kind {
        // A connection that is refused or cannot be made has other kinds: this one was there.
        Some(io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe) if secure => {
            Failure::Tls("the receiver closed the connection during the TLS handshake".to_owned())
        }
        // The system's own timeout has a kind, too, and says the same.
        _ if error.is_timeout() => {
            Failure::Connect(format!("no connection within {}", humantime::format_duration(limit)))
        }
        Some(kind) if kind != io::ErrorKind::Other => Failure::Connect(kind.to_string()),
        _ => Failure::Connect(innermost(error)),
    }
}

fn tls_words(error: &rustls::Error) -> String {
    match error {
        rustls::Error::InvalidMessage(_) => "the receiver does not speak TLS there".to_owned(),
        rustls::Error::InvalidCertificate(problem) => {
            one_line(&format!("the receiver's certificate is not trusted: {problem}"))
        }
        rustls::Error::AlertReceived(alert) => format!("the receiver ended the TLS handshake: {alert:?}"),
        other => one_line(&other.to_string()),
    }
}

/// A connection that broke, or what came on it was not HTTP.
fn broken(error: &reqwest::Error) -> String {
    if let Some(hyper) = find::<hyper::Error>(error) {
        if hyper.is_parse_too_large() {
            return "the headers of the answer are too large".to_owned();
        }
        if hyper.is_parse() {
            return "what came is not HTTP".to_owned();
        }
        if hyper.is_incomplete_message() {
            return "the connection was closed before an answer".to_owned();
        }
    }
    match kind(error) {
        Some(kind) if kind != io::ErrorKind::Other => format!("the connection broke: {kind}"),
        _ => format!("the connection broke: {}", innermost(error)),
    }
}

/// The innermost cause, which says most.
fn innermost(error: &reqwest::Error) -> String {
    causes(error).last().map(|cause| one_line(&cause.to_string())).unwrap_or_default()
}

/// What the system says, where it does: other I/O errors only hold the one that says it.
fn kind(error: &reqwest::Error) -> Option<io::ErrorKind> {
    causes(error).filter_map(|cause| cause.downcast_ref::<io::Error>()).last().map(io::Error::kind)
}

fn find<T: StdError + 'static>(error: &reqwest::Error) -> Option<&T> {
    causes(error).find_map(|cause| cause.downcast_ref())
}

/// The causes of an error, the outermost first, without the error itself.
fn causes(error: &reqwest::Error) -> impl Iterator<Item = &(dyn StdError + 'static)> {
    std::iter::successors(error.source(), |cause| next(*cause))
}

fn next<'e>(cause: &'e (dyn StdError + 'static)) -> Option<&'e (dyn StdError + 'static)> {
    // An I/O error that holds another one says only what is behind that one.
    match cause.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        Some(held) => Some(held),
        None => cause.source(),
    }
}
